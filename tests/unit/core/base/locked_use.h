/** What threads do with locked memory in its tests. */
#ifndef TESTS_LOCKED_USE_H
#define TESTS_LOCKED_USE_H

#include "core/base/locked.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline void *use_some(void *opaque)
{
  for (int i = 0; i < 2000; i++) {
    size_t   size = (size_t)((i * 37 + (int)(intptr_t)opaque) % 700) + 1;
    uint8_t *p = csfle__locked_alloc(size);
    if (!p || p[0] || p[size - 1]) abort();
    memset(p, 1, size);
    csfle__locked_free(p, size);
  }
  return NULL;
}

#endif
