/**
 * One field value, sealed and opened: base64 text for strings, raw for bytes, the version prefix when the rule rotates.
 *
 *     stored = base64?( [ 00 | version, 4 bytes big-endian ] | ciphertext )          [ENC 2.3] [ENC 2.4]
 */
#ifndef CSFLE_ENCRYPT_FIELD_H
#define CSFLE_ENCRYPT_FIELD_H

#include "core/base/buf.h"
#include "core/crypt/cipher.h"

#define CSFLE__VERSION_PREFIX 5

/** Bytes that csfle__field_seal writes. @p version 0: no prefix. */
size_t csfle__field_sealed_len(csfle__algorithm a, int32_t version, bool text, size_t plain_len);
/** Seals into @p out (room for csfle__field_sealed_len); @p tmp is scratch. CSFLE_E_DATUM for text that is no UTF-8. [ENC-31] [ENC-32] */
csfle_status csfle__field_seal(csfle__cipher *c, csfle__nonces *n, int32_t version, bool text, csfle__bytes plain,
                               csfle_buf *tmp, uint8_t *out, csfle_error *err);
/**
 * First half of opening: base64 into @p raw (room for stored.len bytes) when @p text, then the prefix when @p rotating.
 * *version is 1 without one. CSFLE_E_DECRYPT: bad base64, too short, magic byte, version below 1. [ENC-40] [ENC-49] .. [ENC-51]
 */
csfle_status csfle__field_split(bool text, bool rotating, csfle__bytes stored, uint8_t *raw, int32_t *version,
                                csfle__bytes *sealed, csfle_error *err);
/** Second half: into @p out (room for sealed.len). Text must be UTF-8 [2.4]; *out is wiped on failure. */
csfle_status csfle__field_open(csfle__cipher *c, bool text, csfle__bytes sealed, uint8_t *out, size_t *out_len, csfle_error *err);

#endif
