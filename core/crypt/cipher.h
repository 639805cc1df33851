/**
 * A keyed cipher for field and payload values, associated data always empty. OpenSSL contexts are made once and
 * reused: a cipher belongs to one thread at a time, and holds expanded key bytes in ordinary heap until freed.
 *
 *     AES*_GCM     nonce[12] | ciphertext[n] | tag[16]      [ENC 2.1]
 *     AES256_SIV   V[16]     | ciphertext[n]                [ENC 2.2]  S2V with one empty component
 */
#ifndef CSFLE_CRYPT_CIPHER_H
#define CSFLE_CRYPT_CIPHER_H

#include "core/crypt/algorithm.h"
#include "core/crypt/random.h"

typedef struct csfle__cipher csfle__cipher;

/** @p raw: csfle__algorithm_key_bytes(a) bytes, or for GCM either GCM size. CSFLE_E_NOMEM, CSFLE_E_DECRYPT (wrong size). */
csfle_status csfle__cipher_new(csfle__cipher **out, csfle__algorithm a, const csfle__secret *raw, csfle_error *err);
void csfle__cipher_free(csfle__cipher *c);
csfle__algorithm csfle__cipher_algorithm(const csfle__cipher *c);

/**
 * Seals @p plain (0 .. 2^31-1 bytes) into @p out, which has room for plain.len + overhead bytes and does not overlap.
 * GCM draws its nonce from @p nonces (NULL: straight from the random source, for a single seal); SIV does not use it. CSFLE_E_INTERNAL leaves nothing usable in @p out.
 */
csfle_status csfle__cipher_seal(csfle__cipher *c, csfle__nonces *nonces, csfle__bytes plain, uint8_t *out, csfle_error *err);
/**
 * Opens @p sealed into @p out (room for sealed.len - overhead bytes). Too short, or a tag that does not verify:
 * CSFLE_E_DECRYPT with one text for every authentication failure, and @p out wiped. [ENC-21] [ENC-22] [ENC-23] [ENC-103]
 */
csfle_status csfle__cipher_open(csfle__cipher *c, csfle__bytes sealed, uint8_t *out, size_t *out_len, csfle_error *err);

#endif
