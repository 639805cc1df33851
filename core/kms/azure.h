/** What the files of azure-kms share. */
#ifndef CSFLE_KMS_AZURE_H
#define CSFLE_KMS_AZURE_H

#include "core/kms/http.h"

/**
 * Appends the JWT by which an application proves that it has the key of its certificate (client_assertion): PS256, the
 * certificate named by x5t#S256, good for ten minutes at @p audience and for one request. @p pem has certificate and
 * private key. CSFLE_E_CONFIG, CSFLE_E_NOMEM, CSFLE_E_INTERNAL.
 */
csfle_status csfle__azure_assertion(csfle_buf *b, csfle__bytes pem, csfle__bytes password, csfle__bytes client, csfle__bytes audience, int64_t now_s, csfle_error *err);

#endif
