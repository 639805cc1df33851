/** alicloud-kms inside: the open key and the machine that finds credentials (alicloud_login.c). */
#ifndef CSFLE_KMS_ALICLOUD_H
#define CSFLE_KMS_ALICLOUD_H

#include "core/kms/acs3.h"
#include "core/kms/session.h"

enum {
  CSFLE__ALI_ENDPOINT, CSFLE__ALI_CA, CSFLE__ALI_TYPE, CSFLE__ALI_ID, CSFLE__ALI_SECRET, CSFLE__ALI_TOKEN, CSFLE__ALI_ROLE, CSFLE__ALI_SESSION, CSFLE__ALI_SECONDS,
  CSFLE__ALI_POLICY, CSFLE__ALI_STS, CSFLE__ALI_EXTERNAL, CSFLE__ALI_PROPS
};

typedef struct csfle__alicloud {
  csfle__kms    base;
  csfle__hosts  hosts;
  const char   *defaults[5];
  char          host[2][96]; /**< kms.<region>.aliyuncs.com, kms-vpc.<region>.aliyuncs.com */
  char          sts[96];     /**< sts.<region>.aliyuncs.com */
  char         *id;          /**< <region>/<key> as configured */
  char         *key;         /**< the key, percent-decoded */
  csfle__secret props[CSFLE__ALI_PROPS];
  bool          own[CSFLE__ALI_PROPS]; /**< the operator set it */
  csfle__sessions sessions;
} csfle__alicloud;

enum { CSFLE__ALI_VARIABLES = 22 };
/** Finds credentials: section 4.7 as one machine. Zero state; freed with csfle__alicloud_login_free. */
typedef struct csfle__alicloud_login {
  int                line, source;
  unsigned           tries;
  size_t             i;
  bool               assume;
  csfle__secret      env[CSFLE__ALI_VARIABLES], file, text, role, role_session;
  char               path[1024];
  csfle__session     got;
} csfle__alicloud_login;
/** Goes on until there are credentials in l->got, or none can be had. One thread at a time for one @p l. */
csfle__next csfle__alicloud_login_step(csfle__alicloud *a, csfle__alicloud_login *l, csfle__kms_call *call, csfle_error *err);
void csfle__alicloud_login_free(csfle__alicloud_login *l);

/** csfle__http_fail with what Alibaba's codes say beyond the status: refused, key disabled or gone, throttled. */
csfle_status csfle__alicloud_fail(const csfle__http_about *about, const csfle__kms_call *call, const csfle__http_words *w, csfle_error *err);
/** Worth another try: by status, or a code that begins with Throttling. */
bool csfle__alicloud_transient(const csfle__reply *r, const csfle__http_words *w);
/** 32 random hex digits and a NUL. CSFLE_E_INTERNAL when there is no randomness. */
csfle_status csfle__alicloud_nonce(char out[33], csfle_error *err);

#endif
