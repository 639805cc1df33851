/* See arena.h. Blocks double up to 64 KiB; a larger piece gets a block of its own. */
#include "core/base/arena.h"
#include "core/base/alloc.h"

#include <stdalign.h>

struct csfle__arena_block {
  struct csfle__arena_block *next;
  size_t used, cap;
  alignas(16) uint8_t data[];
};

void *csfle__arena_alloc(csfle__arena *a, size_t size)
{
  struct csfle__arena_block *b = a->head;
  if (size > SIZE_MAX - 4096) return NULL;
  size = (size + 15) & ~(size_t)15;
  if (!b || b->cap - b->used < size) {
    size_t cap = b ? (b->cap < 65536 ? b->cap * 2 : 65536) : 512;
    if (cap < size) cap = size;
    struct csfle__arena_block *made = csfle__alloc(sizeof *made + cap);
    if (!made) return NULL;
    made->next = b, made->used = 0, made->cap = cap;
    a->head = b = made;
  }
  void *p = b->data + b->used;
  b->used += size;
  memset(p, 0, size);
  return p;
}

csfle__bytes csfle__arena_copy(csfle__arena *a, csfle__bytes from)
{
  uint8_t *p = csfle__arena_alloc(a, from.len + 1);
  if (!p) return CSFLE__NONE;
  if (from.len) memcpy(p, from.ptr, from.len);
  return csfle__view(p, from.len);
}

void csfle__arena_free(csfle__arena *a)
{
  for (struct csfle__arena_block *b = a->head, *next; b; b = next) next = b->next, csfle__free(b);
  a->head = NULL;
}
