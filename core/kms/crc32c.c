/* See crc32c.h. A bit at a time: a call has a few hundred bytes, and they may be a key. */
#include "core/kms/crc32c.h"

uint32_t csfle__crc32c(csfle__bytes in)
{
  uint32_t c = UINT32_MAX;
  for (size_t i = 0; i < in.len; i++) {
    c ^= in.ptr[i];
    for (int bit = 0; bit < 8; bit++) c = c >> 1 ^ (0x82f63b78u & -(c & 1));
  }
  return ~c;
}
