/** DEK key material: the small protobuf message that a KMS wraps (Tink's AesGcmKey and AesSivKey). [ENC 1.2] */
#ifndef CSFLE_CRYPT_MATERIAL_H
#define CSFLE_CRYPT_MATERIAL_H

#include "core/crypt/algorithm.h"

/** Fresh raw key from the system's CSPRNG. CSFLE_E_NOMEM; CSFLE_E_INTERNAL when the random source fails. [ENC-1] [ENC-10] */
csfle_status csfle__dek_generate(csfle__algorithm a, csfle__secret *raw, csfle_error *err);
/** 1a10 | 1a20 | 1240, then the key; nothing else. [ENC-2] */
csfle_status csfle__dek_encode(csfle__algorithm a, const csfle__secret *raw, csfle__secret *material, csfle_error *err);
/**
 * The raw key of key material. Explicit version 0 and unknown fields are accepted, the last key counts [ENC-3] [ENC-4];
 * another version, an empty, truncated or foreign message and wrong key sizes are CSFLE_E_DECRYPT [ENC-5] [ENC-6].
 * A GCM key of the other GCM size is accepted: compare raw->len with csfle__algorithm_key_bytes and refuse to write with it.
 */
csfle_status csfle__dek_decode(csfle__algorithm a, csfle__bytes material, csfle__secret *raw, csfle_error *err);

#endif
