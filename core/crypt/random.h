/**
 * Nonces from a per-thread pool filled by OpenSSL's DRBG: one draw costs nanoseconds, a RAND_bytes call a microsecond.
 * Bytes are wiped as they are used. The pool lives in a page that the kernel zeroes in a forked child
 * (MADV_WIPEONFORK), so that parent and child never use one nonce twice.
 */
#ifndef CSFLE_CRYPT_RANDOM_H
#define CSFLE_CRYPT_RANDOM_H

#include "core/base/secret.h"

typedef struct csfle__nonces csfle__nonces;

/** One pool; one thread at a time. CSFLE_E_NOMEM. */
csfle_status csfle__nonces_new(csfle__nonces **out, csfle_error *err);
void csfle__nonces_free(csfle__nonces *p);
/** Writes @p len (at most 64) fresh random bytes. CSFLE_E_INTERNAL when the source fails: nothing may be sealed then. */
csfle_status csfle__nonces_draw(csfle__nonces *p, uint8_t *out, size_t len, csfle_error *err);

/** Replaces the random source (tests with known answers); NULL restores the system's. Returns 1 on success as RAND_bytes. */
void csfle__random_set(int (*fill)(void *opaque, uint8_t *out, size_t len), void *opaque);
/** @p len random bytes from the source, not pooled: for keys. 1 on success. */
int csfle__random_fill(uint8_t *out, size_t len);

#endif
