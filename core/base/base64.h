/** RFC 4648 section 4 with padding: the alphabet of every ciphertext string and key in the registry. [ENC-31] */
#ifndef CSFLE_BASE_BASE64_H
#define CSFLE_BASE_BASE64_H

#include "core/base/buf.h"

/** Characters that @p n bytes become, padding included. */
static inline size_t csfle__base64_len(size_t n) { return (n + 2) / 3 * 4; }
/** Writes csfle__base64_len(in.len) characters to @p out, no NUL. May not overlap. Constant time in the data. */
void csfle__base64_encode(csfle__bytes in, char *out);
/**
 * Decodes into @p out (at least in.len / 4 * 3 + 3 bytes). Missing padding is accepted; any other character outside
 * the alphabet, blanks too, is refused [ENC-40]. False leaves @p *out_len 0. No table is indexed by the data.
 */
bool csfle__base64_decode(csfle__bytes in, uint8_t *out, size_t *out_len);

#endif
