/** Hashes and key derivation over EVP. */
#ifndef CSFLE_CRYPT_DIGEST_H
#define CSFLE_CRYPT_DIGEST_H

#include "core/base/secret.h"

/** HKDF-SHA256 without salt and info into @p out (already made to its size). [ENC-11] */
csfle_status csfle__hkdf_sha256(csfle__bytes input, csfle__secret *out, csfle_error *err);

/** SHA-256 of @p in. */
csfle_status csfle__sha256(csfle__bytes in, uint8_t out[32], csfle_error *err);
/** HMAC-SHA256 of @p in. */
csfle_status csfle__hmac_sha256(csfle__bytes key, csfle__bytes in, uint8_t out[32], csfle_error *err);
/** HMAC-SHA1 of @p in: for a vendor's old request signature only. */
csfle_status csfle__hmac_sha1(csfle__bytes key, csfle__bytes in, uint8_t out[20], csfle_error *err);

/** An MD5 over pieces: content hashes only, never for security. */
typedef struct csfle__md5 csfle__md5;
csfle_status csfle__md5_new(csfle__md5 **out, csfle_error *err);
csfle_status csfle__md5_add(csfle__md5 *m, csfle__bytes piece, csfle_error *err);
/** 16 bytes; frees @p m. */
csfle_status csfle__md5_end(csfle__md5 *m, uint8_t out[16], csfle_error *err);
void csfle__md5_free(csfle__md5 *m);

#endif
