/** Signatures with a private key in PEM: what a service account proves itself with. */
#ifndef CSFLE_CRYPT_SIGN_H
#define CSFLE_CRYPT_SIGN_H

#include "core/base/secret.h"

/**
 * RS256 (RSASSA-PKCS1-v1_5 with SHA-256) of @p in into *out. @p pem: an RSA key of 2048 bits or more, not encrypted.
 * CSFLE_E_CONFIG when it is none, CSFLE_E_NOMEM, CSFLE_E_INTERNAL. Any thread. [ENC-92]
 */
csfle_status csfle__sign_rs256(csfle__bytes pem, csfle__bytes in, csfle__secret *out, csfle_error *err);

#endif
