/** Signatures with a private key in PEM: what a service account or a registered application proves itself with. */
#ifndef CSFLE_CRYPT_SIGN_H
#define CSFLE_CRYPT_SIGN_H

#include "core/base/secret.h"

/**
 * RS256 (RSASSA-PKCS1-v1_5 with SHA-256) of @p in into *out. @p pem: an RSA key of 2048 bits or more, not encrypted.
 * CSFLE_E_CONFIG when it is none, CSFLE_E_NOMEM, CSFLE_E_INTERNAL. Any thread. [ENC-92]
 */
csfle_status csfle__sign_rs256(csfle__bytes pem, csfle__bytes in, csfle__secret *out, csfle_error *err);
/** The same with PS256 (RSASSA-PSS, SHA-256 throughout, a salt of 32 bytes). @p password of the key; empty: it has none. */
csfle_status csfle__sign_ps256(csfle__bytes pem, csfle__bytes password, csfle__bytes in, csfle__secret *out, csfle_error *err);
/** SHA-256 of the first certificate in @p pem, as it stands in DER. CSFLE_E_CONFIG when there is none. */
csfle_status csfle__certificate_sha256(csfle__bytes pem, uint8_t out[32], csfle_error *err);

#endif
