/** aws-kms inside: the open key, its session, and the machine that finds credentials (aws_login.c, aws_profile.c). */
#ifndef CSFLE_KMS_AWS_H
#define CSFLE_KMS_AWS_H

#include "core/kms/session.h"
#include "core/kms/sigv4.h"

enum { CSFLE__AWS_ID, CSFLE__AWS_SECRET, CSFLE__AWS_PROFILE, CSFLE__AWS_ROLE, CSFLE__AWS_ROLE_SESSION, CSFLE__AWS_ROLE_EXTERNAL, CSFLE__AWS_PROPS };

typedef struct csfle__aws {
  csfle__kms    base;
  csfle__hosts  hosts;
  char         *key_id;
  csfle__bytes  region;      /**< view into key_id */
  const char   *suffix;      /**< "amazonaws.com" */
  bool          checks_key;  /**< the configured id is a key ARN: answers must name it */
  csfle__secret props[CSFLE__AWS_PROPS];
  csfle__sessions sessions;
  int64_t         skew_ms;   /**< under sessions.lock: AWS's clock minus ours, once it has complained */
} csfle__aws;

/** Member @p name of a profile in the text of a credentials or config file; {NULL,0} when absent. */
csfle__bytes csfle__aws_profile_get(csfle__bytes file, bool config, csfle__bytes profile, const char *name);

typedef struct csfle__aws_role { csfle__bytes arn, session, external; } csfle__aws_role;
enum { CSFLE__AWS_MAX_ROLES = 6, CSFLE__AWS_VARIABLES = 21 };

/** Finds credentials: the chain of section 4.3 as one machine. Zero state; freed with csfle__aws_login_free. */
typedef struct csfle__aws_login {
  int                line, source;
  unsigned           tries;
  size_t             i, role_count;
  csfle__secret      env[CSFLE__AWS_VARIABLES], files[2], text;
  char               path[1024];
  csfle__bytes       web_file, web_role, web_session;
  csfle__aws_role    roles[CSFLE__AWS_MAX_ROLES]; /**< the last is assumed first */
  csfle__session     got;
} csfle__aws_login;
csfle__next csfle__aws_login_step(csfle__aws *a, csfle__aws_login *l, csfle__kms_call *call, csfle_error *err);
void csfle__aws_login_free(csfle__aws_login *l);

/** csfle__http_fail with what AWS's codes mean: class DENIED for refused access and unusable keys, RECORD only where the wrapped bytes are named. */
csfle_status csfle__aws_fail(const csfle__http_about *about, const csfle__kms_call *call, const csfle__http_words *w, csfle_error *err);
bool csfle__aws_transient(const csfle__reply *r, const csfle__http_words *w);
/** A clock complaint with a Date at least a minute away from ours: takes the offset. At most once a call: *tried. */
bool csfle__aws_skewed(csfle__aws *a, const csfle__kms_call *call, const csfle__http_words *w, bool *tried);
int64_t csfle__aws_now(csfle__aws *a, const csfle__kms_call *call);

#endif
