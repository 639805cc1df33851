/** The three DEK algorithms and what follows from them. [ENC 1.1] */
#ifndef CSFLE_CRYPT_ALGORITHM_H
#define CSFLE_CRYPT_ALGORITHM_H

#include "core/base/secret.h"

typedef enum csfle__algorithm {
  CSFLE__AES128_GCM, /**< order is the sort order of the DEK Registry */
  CSFLE__AES256_GCM, /**< the default */
  CSFLE__AES256_SIV,
  CSFLE__ALGORITHM_COUNT
} csfle__algorithm;

/** "AES256_GCM". */
const char *csfle__algorithm_name(csfle__algorithm a);
/** Exact, case-sensitive name; false for anything else, the empty text too. [ENC-9] */
bool csfle__algorithm_parse(csfle__bytes name, csfle__algorithm *out);
/** Raw key bytes: 16, 32, 64. */
size_t csfle__algorithm_key_bytes(csfle__algorithm a);
/** Bytes a ciphertext is longer than its plaintext: 28 (nonce 12, tag 16), or 16 for SIV. */
size_t csfle__algorithm_overhead(csfle__algorithm a);

#endif
