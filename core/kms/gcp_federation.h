/** Google's workload identity federation: another provider's token exchanged for one of Google's. (external_account) */
#ifndef CSFLE_KMS_GCP_FEDERATION_H
#define CSFLE_KMS_GCP_FEDERATION_H

#include "core/kms/http.h"

/** Zero state; freed with csfle__gcp_federation_free. */
typedef struct csfle__gcp_federation {
  int           line;
  unsigned      tries;
  csfle__secret subject; /**< the provider's token */
  csfle__secret token;   /**< the result */
  int64_t       ends_ms; /**< wall clock */
  char          path[1024];
} csfle__gcp_federation;

/** What is missing or not supported in a credentials file @p root of the type external_account; NULL: nothing. */
const char *csfle__gcp_federation_lacks(yyjson_val *root);
/**
 * Goes on until f->token is there: reads the provider's token from its file or URL, exchanges it, and becomes the service
 * account if the file names one. @p root is as csfle__gcp_federation_lacks liked it and lives until DONE or FAIL; its
 * URLs are the operator's own. @p scope is asked for.
 */
csfle__next csfle__gcp_federation_step(csfle__gcp_federation *f, yyjson_val *root, const csfle__hosts *hosts, csfle__bytes key_id, const char *scope, csfle__kms_call *call, csfle_error *err);
void csfle__gcp_federation_free(csfle__gcp_federation *f);

#endif
