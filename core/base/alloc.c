/* The allocator table. See alloc.h. */
#include "core/base/alloc.h"

#include <openssl/crypto.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void *std_alloc(void *opaque, size_t size) { return (void)opaque, malloc(size ? size : 1); }
static void *std_resize(void *opaque, void *ptr, size_t size) { return (void)opaque, realloc(ptr, size ? size : 1); }
static void  std_release(void *opaque, void *ptr) { (void)opaque, free(ptr); }

static const csfle__alloc_hooks std_hooks = { std_alloc, std_resize, std_release, NULL, NULL };
static csfle__alloc_hooks       hooks = { std_alloc, std_resize, std_release, NULL, NULL };

void csfle__alloc_set(const csfle__alloc_hooks *h) { hooks = h ? *h : std_hooks; }

bool csfle__alloc_replaced(void) { return hooks.alloc != std_alloc; }

void *csfle__alloc(size_t size) { return hooks.alloc(hooks.opaque, size); }

void *csfle__calloc(size_t count, size_t size)
{
  if (size && count > SIZE_MAX / size) return NULL;
  void *p = hooks.alloc(hooks.opaque, count * size);
  if (p) memset(p, 0, count * size);
  return p;
}

void *csfle__realloc(void *ptr, size_t size) { return hooks.resize(hooks.opaque, ptr, size); }

void csfle__free(void *ptr)
{
  if (ptr) hooks.release(hooks.opaque, ptr);
}

char *csfle__dup(const void *ptr, size_t len)
{
  char *p = len < SIZE_MAX ? csfle__alloc(len + 1) : NULL;
  if (!p) return NULL;
  if (len) memcpy(p, ptr, len);
  p[len] = 0;
  return p;
}

void csfle__free_secret(void *ptr, size_t size)
{
  if (!ptr) return;
#ifndef CSFLE_BREAK_NO_WIPE
  OPENSSL_cleanse(ptr, size);
#endif
  if (hooks.secret_released) hooks.secret_released(hooks.opaque, ptr, size);
  hooks.release(hooks.opaque, ptr);
}

int csfle__grow(void **ptr, size_t *cap, size_t need, size_t item)
{
  if (need <= *cap) return 0;
  size_t n = *cap < 8 ? 8 : *cap;
  while (n < need) {
    if (n > SIZE_MAX / 2) return -1;
    n *= 2;
  }
  if (n > SIZE_MAX / item) return -1;
  void *p = csfle__realloc(*ptr, n * item);
  if (!p) return -1;
  *ptr = p, *cap = n;
  return 0;
}
