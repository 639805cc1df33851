/**
 * Memory for key material: left out of core dumps, kept out of swap as far as RLIMIT_MEMLOCK lets, wiped when it is
 * given back. A forked child keeps what its parent had, unlocked. Any thread. [AB-13]
 *
 * csfle__secret lives in it; buffers through csfle__buf_init_secret. While a test has replaced the allocator
 * (core/base/alloc.h) new memory comes from there.
 */
#ifndef CSFLE_BASE_LOCKED_H
#define CSFLE_BASE_LOCKED_H

#include <stddef.h>

/** @p size zero bytes; NULL: no memory. Give back with csfle__locked_free and the same size. */
void *csfle__locked_alloc(size_t size);
/** Wipes and gives back; what came from a test's allocator goes there, and its hooks are told. NULL is allowed. */
void csfle__locked_free(void *ptr, size_t size);
/** Bytes of pages that are locked, and of those that the limit did not let be. */
void csfle__locked_amounts(size_t *locked, size_t *unlocked);

#endif
