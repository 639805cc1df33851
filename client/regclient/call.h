/**
 * One request to the registry: headers, credentials, several URLs, retries with full jitter, error bodies. A machine.
 * [SERDE-157] .. [SERDE-165]
 */
#ifndef CSFLE_REGCLIENT_CALL_H
#define CSFLE_REGCLIENT_CALL_H

#include "client/regclient/step.h"
#include "core/base/json.h"

typedef struct csfle__rc_url {
  char         *base;  /**< without user information and trailing slashes */
  csfle__secret basic; /**< "user:password" of the URL, decoded; empty: none [SERDE-164] */
} csfle__rc_url;

typedef struct csfle__seed csfle__seed; /* seed.h */

/** The registry as configured. Immutable but for `last`. */
typedef struct csfle__rc {
  csfle__rc_url    *urls;
  size_t            url_count;
  _Atomic(size_t)   last;    /**< the URL that answered last [SERDE-160] */
  csfle_buf         headers; /**< of every request; wiped when freed */
  uint32_t          max_retries, wait_ms, max_wait_ms, timeout_ms;
  csfle__world      world;
  csfle__seed      *seed;    /**< owned; NULL: the registry itself answers */
} csfle__rc;
/** @p urls: comma separated; @p user_info "user:password" or NULL; @p headers: further lines. CSFLE_E_CONFIG, CSFLE_E_NOMEM. */
csfle_status csfle__rc_init(csfle__rc *rc, const csfle__world *w, csfle__bytes urls, const char *user_info,
                            csfle__bytes headers, csfle_error *err);
void csfle__rc_free(csfle__rc *rc);

typedef struct csfle__rc_call {
  int         line;
  csfle__io   io;
  const char *method;
  csfle_buf   path; /**< from the slash on, encoded */
  csfle_buf   body; /**< empty: none */
  size_t      first, tried;
  uint32_t    attempt;
  int         status; /**< HTTP status of the last reply, 0 none */
  yyjson_doc *doc;    /**< of a reply 2xx; NULL: it had no body */
} csfle__rc_call;
/** @p path and @p body are written by the caller after this. */
void csfle__rc_call_init(csfle__rc_call *c, const char *method);
void csfle__rc_call_free(csfle__rc_call *c);
/**
 * DONE: c->doc. FAIL: err has http and remote_code; the code is by the HTTP status: 401 UNAUTHENTICATED, 403 FORBIDDEN,
 * 429 THROTTLED, 408 500 502 503 504 and no reply UNAVAILABLE or TIMEOUT, others SCHEMA.
 */
csfle__next csfle__rc_step(csfle__rc *rc, csfle__rc_call *c, csfle_error *err);

#endif
