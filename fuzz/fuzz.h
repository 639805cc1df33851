/**
 * What the fuzz targets share: assertions that stay in optimised builds, and cutting an input into parts.
 * A target states properties: whatever is accepted must hold them. Inputs are texts with a selecting byte in front, so
 * that a person can write and read them; seeds.py makes the first ones.
 */
#ifndef CSFLE_FUZZ_FUZZ_H
#define CSFLE_FUZZ_FUZZ_H

#include "core/base/alloc.h"
#include "core/base/buf.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(property)                                                            \
  do {                                                                            \
    if (!(property)) {                                                            \
      fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #property); \
      abort();                                                                    \
    }                                                                             \
  } while (0)
/** The call must succeed: what it is given was accepted before. */
#define MUST_OK(call)                                                                                           \
  do {                                                                                                          \
    csfle_error  e_ = CSFLE_ERROR_INIT, *err = &e_;                                                             \
    csfle_status s_ = (call);                                                                                   \
    if (s_ != CSFLE_OK) {                                                                                       \
      fprintf(stderr, "%s:%d: %s: %s: %s %s\n", __FILE__, __LINE__, #call, csfle_status_name(s_), e_.where, e_.msg); \
      abort();                                                                                                  \
    }                                                                                                           \
    (void)err;                                                                                                  \
  } while (0)

/** The first byte of *in, which moves on; 0 at the end. */
static inline unsigned fuzz_byte(csfle__bytes *in)
{
  if (!in->len) return 0;
  unsigned c = *in->ptr;
  *in = csfle__from(*in, 1);
  return c;
}

/** What comes before the next @p separator, or all; *in moves behind it. */
static inline csfle__bytes fuzz_part(csfle__bytes *in, int separator)
{
  const uint8_t *p = in->len ? (const uint8_t *)memchr(in->ptr, separator, in->len) : NULL;
  size_t         n = p ? (size_t)(p - in->ptr) : in->len;
  csfle__bytes   part = csfle__view(in->ptr, n);
  *in = csfle__from(*in, p ? n + 1 : n);
  return part;
}

#endif
