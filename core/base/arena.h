/**
 * A bump arena: many small pieces, freed at once. For parsed schemas, rules, one request. Not for secrets.
 * One thread at a time; what it holds may be read by any thread once it no longer changes.
 */
#ifndef CSFLE_BASE_ARENA_H
#define CSFLE_BASE_ARENA_H

#include "core/base/bytes.h"

typedef struct csfle__arena {
  struct csfle__arena_block *head;
} csfle__arena;
#define CSFLE__ARENA_INIT { NULL }

/** @p size bytes aligned for any type, zeroed; NULL: no memory. */
void *csfle__arena_alloc(csfle__arena *a, size_t size);
/** Copy with a NUL after it (not counted); ptr NULL: no memory. */
csfle__bytes csfle__arena_copy(csfle__arena *a, csfle__bytes from);
void csfle__arena_free(csfle__arena *a);

#endif
