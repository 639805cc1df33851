/**
 * Where memory comes from. One table of functions for the process, malloc(3) unless a test replaced it; tests make
 * the n-th allocation fail and refuse to take back secret memory that is not zero.
 */
#ifndef CSFLE_BASE_ALLOC_H
#define CSFLE_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

typedef struct csfle__alloc_hooks {
  void *(*alloc)(void *opaque, size_t size);               /**< NULL: no memory */
  void *(*resize)(void *opaque, void *ptr, size_t size);   /**< as realloc(3) */
  void  (*release)(void *opaque, void *ptr);               /**< NULL is allowed */
  /** Before memory that held a secret is released: it must be all zero by now. */
  void  (*secret_released)(void *opaque, const void *ptr, size_t size);
  void  *opaque;
} csfle__alloc_hooks;

/** Replaces the functions (copied); NULL restores malloc(3). Only while no other thread runs. */
void csfle__alloc_set(const csfle__alloc_hooks *hooks);

/** Whether they are replaced. */
bool csfle__alloc_replaced(void);

/** @p size bytes, uninitialised; size 0 gives a valid pointer. NULL: no memory. Owner frees with csfle__free. */
void *csfle__alloc(size_t size);
/** As csfle__alloc, zeroed; count * size is checked for overflow. */
void *csfle__calloc(size_t count, size_t size);
void *csfle__realloc(void *ptr, size_t size);
void  csfle__free(void *ptr);
/** Copy of @p len bytes with a NUL after them. */
char *csfle__dup(const void *ptr, size_t len);
/** Wipes @p size bytes, tells the hooks, frees. NULL is allowed. */
void  csfle__free_secret(void *ptr, size_t size);
/** Makes room for @p need items of @p item bytes in the array *ptr (capacity *cap, doubled). 0 ok, -1 no memory. */
int   csfle__grow(void **ptr, size_t *cap, size_t need, size_t item);

#endif
