/** A token that several calls share until it ends: what the drivers with bearer tokens keep while a key is open. */
#ifndef CSFLE_KMS_BEARER_H
#define CSFLE_KMS_BEARER_H

#include "core/kms/http.h"

#include <pthread.h>

typedef struct csfle__bearer {
  pthread_mutex_t lock;    /**< never held over a step */
  csfle__secret   token;
  int64_t         ends_ms; /**< wall clock; 0: never */
} csfle__bearer;
void csfle__bearer_init(csfle__bearer *b);
void csfle__bearer_free(csfle__bearer *b);
/** Copies the token into *out if there is one that lives longer than @p margin_ms; *have says so. Any thread. */
csfle_status csfle__bearer_get(csfle__bearer *b, int64_t now_ms, int64_t margin_ms, csfle__secret *out, bool *have, csfle_error *err);
/** Keeps a copy of @p token. Any thread. */
csfle_status csfle__bearer_put(csfle__bearer *b, csfle__bytes token, int64_t ends_ms, csfle_error *err);
/** Drops the token if it still is @p refused: another call may have fetched a newer one. Any thread. */
void csfle__bearer_drop(csfle__bearer *b, csfle__bytes refused);
/** Reads an OAuth answer {"access_token", "expires_in": 3599 or "3599", or "expires_on"} and keeps its token, in *out too. CSFLE_E_UNAVAILABLE. */
csfle_status csfle__bearer_take_oauth(csfle__bearer *b, const csfle__kms_call *call, const csfle__http_about *about, csfle__secret *out, csfle_error *err);
/** A member that is a number or a text with a number in it. */
bool csfle__bearer_number(yyjson_val *root, const char *name, int64_t *v);

#endif
