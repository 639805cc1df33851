/** Credentials that requests are signed with, kept while a key is open and shared by its calls: as bearer.h is for tokens. */
#ifndef CSFLE_KMS_SESSION_H
#define CSFLE_KMS_SESSION_H

#include "core/kms/http.h"

#include <pthread.h>

/** Owned. Zero state: none. */
typedef struct csfle__session {
  csfle__secret id, key, token; /**< id empty: none */
  csfle__secret endpoint;       /**< of the KMS, as the same environment names it; empty: the vendor's */
  csfle__secret ca_file;        /**< certificates to trust there; empty: the transport's */
  bool          own_endpoint;   /**< the operator named it, not the registry */
  int64_t       expires_ms;     /**< wall clock; 0: they do not */
} csfle__session;
void csfle__session_wipe(csfle__session *s);
/** @p token may be empty; the rest of *s stays. */
csfle_status csfle__session_set(csfle__session *s, csfle__bytes id, csfle__bytes key, csfle__bytes token, int64_t expires_ms, csfle_error *err);

typedef struct csfle__sessions {
  pthread_mutex_t lock; /**< never held over a step */
  csfle__session  kept;
} csfle__sessions;
void csfle__sessions_init(csfle__sessions *s);
void csfle__sessions_free(csfle__sessions *s);
/** Copies what is kept into *out if it lives longer than @p margin_ms; *have says so. Any thread. */
csfle_status csfle__sessions_get(csfle__sessions *s, int64_t now_ms, int64_t margin_ms, csfle__session *out, bool *have, csfle_error *err);
/** Keeps a copy of @p got, and gives *out another. Any thread. */
csfle_status csfle__sessions_put(csfle__sessions *s, const csfle__session *got, csfle__session *out, csfle_error *err);
/** Drops what is kept if it still is @p refused: another call may have fetched a newer one. Any thread. */
void csfle__sessions_drop(csfle__sessions *s, const csfle__session *refused);

#endif
