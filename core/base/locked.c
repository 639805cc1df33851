/*
 * See locked.h. Small pieces come from chunks of one size each, so that a page of its own is not spent on a key of 32
 * bytes; a larger one has pages of its own. A chunk is aligned to its size: its header is found from a piece.
 */
#include "core/base/locked.h"
#include "core/base/alloc.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK      65536u
#define SMALLEST   64u
#define CLASSES    7u /* 64 .. 4096 */
#define LARGEST    (SMALLEST << (CLASSES - 1))

typedef struct chunk {
  struct chunk *next;
  size_t        piece; /* bytes of each */
  uint32_t      used, fresh; /* pieces given out; the first that never was */
  uint32_t      free;  /* index + 1 of one that came back, 0: none; the next one's is in its first bytes */
  bool          locked;
} chunk;
_Static_assert(sizeof(chunk) <= SMALLEST, "a chunk's header is one piece of the smallest size");

static struct {
  pthread_mutex_t lock;
  chunk          *chunks[CLASSES];
  size_t          locked, unlocked;
} memory = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* a child that is forked while another thread is in here finds the lock free */
static void before_fork(void) { pthread_mutex_lock(&memory.lock); }
static void after_fork(void) { pthread_mutex_unlock(&memory.lock); }
static pthread_once_t once = PTHREAD_ONCE_INIT;
static void set_up(void) { pthread_atfork(before_fork, after_fork, after_fork); }

/* Fresh pages become what a key may lie in; false: they are given back. */
static bool guard(void *p, size_t size, bool *locked)
{
#ifndef CSFLE_BREAK_DUMPED
  if (madvise(p, size, MADV_DONTDUMP) != 0) {
    munmap(p, size);
    return false;
  }
#endif
  *locked = mlock(p, size) == 0;
  *(*locked ? &memory.locked : &memory.unlocked) += size;
  return true;
}

static void unmap(void *p, size_t size, bool locked)
{
  *(locked ? &memory.locked : &memory.unlocked) -= size;
  munmap(p, size); /* unlocks */
}

static unsigned class_of(size_t size)
{
  unsigned c = 0;
  while ((size_t)SMALLEST << c < size) c++;
  return c;
}

/* the first place has the header */
static uint8_t *piece_at(chunk *c, size_t index) { return (uint8_t *)c + (index + 1) * c->piece; }
static uint32_t pieces_of(const chunk *c) { return (uint32_t)(CHUNK / c->piece - 1); }

/* an aligned chunk: twice the size is mapped and the ends are given back */
static chunk *chunk_new(size_t piece)
{
  uint8_t *p = mmap(NULL, 2 * CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  bool     locked;
  if (p == MAP_FAILED) return NULL;
  uint8_t *at = (uint8_t *)(((uintptr_t)p + CHUNK - 1) & ~(uintptr_t)(CHUNK - 1));
  if (at > p) munmap(p, (size_t)(at - p));
  if (at < p + CHUNK) munmap(at + CHUNK, (size_t)(p + CHUNK - at));
  if (!guard(at, CHUNK, &locked)) return NULL;
  chunk *c = (chunk *)(void *)at;
  *c = (chunk){ .piece = piece, .locked = locked };
  return c;
}

static void *small_alloc(size_t size)
{
  unsigned class = class_of(size);
  chunk   *c = memory.chunks[class];
  while (c && c->used == pieces_of(c)) c = c->next;
  if (!c) {
    c = chunk_new((size_t)SMALLEST << class);
    if (!c) return NULL;
    c->next = memory.chunks[class];
    memory.chunks[class] = c;
  }
  c->used++;
  if (!c->free) return piece_at(c, c->fresh++); /* zero, for it was never used */
  uint8_t *p = piece_at(c, c->free - 1);
  memcpy(&c->free, p, sizeof c->free);
  memset(p, 0, sizeof c->free);
  return p;
}

/* the chunk that a piece lies in; NULL: it is none of ours */
static chunk *chunk_of(const void *ptr)
{
  chunk *at = (chunk *)((uintptr_t)ptr & ~(uintptr_t)(CHUNK - 1));
  for (unsigned i = 0; i < CLASSES; i++)
    for (chunk *c = memory.chunks[i]; c; c = c->next)
      if (c == at) return c;
  return NULL;
}

static void small_free(chunk *c, void *ptr)
{
  size_t index = (size_t)((uint8_t *)ptr - (uint8_t *)c) / c->piece - 1;
#ifndef CSFLE_BREAK_NO_WIPE
  OPENSSL_cleanse(ptr, c->piece);
#endif
  memcpy(ptr, &c->free, sizeof c->free);
  c->free = (uint32_t)index + 1;
  if (--c->used) return;
  unsigned class = class_of(c->piece);
  if (memory.chunks[class] == c && !c->next) return; /* the last one stays */
  for (chunk **at = &memory.chunks[class]; *at; at = &(*at)->next) {
    if (*at != c) continue;
    *at = c->next;
    break;
  }
  unmap(c, CHUNK, c->locked);
}

/* ---- large ones: a line before the bytes says how large ------------------------------------------------------- */

typedef struct large {
  struct large *next;
  size_t        size;
  bool          locked;
} large;
static large *larges;

static void *large_alloc(size_t size)
{
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  bool   locked;
  if (size > SIZE_MAX - SMALLEST - page) return NULL;
  size_t whole = (size + SMALLEST + page - 1) / page * page;
  large *l = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (l == MAP_FAILED || !guard(l, whole, &locked)) return NULL;
  *l = (large){ larges, whole, locked };
  larges = l;
  return (uint8_t *)l + SMALLEST;
}

/* its pages go back to the kernel, which wipes them before anybody else has them */
static bool large_free(void *ptr)
{
  for (large **at = &larges; *at; at = &(*at)->next) {
    large *l = *at;
    if ((uint8_t *)l + SMALLEST != (uint8_t *)ptr) continue;
    *at = l->next;
    unmap(l, l->size, l->locked);
    return true;
  }
  return false;
}

/* ---------------------------------------------------------------------------------------------------------------- */

void *csfle__locked_alloc(size_t size)
{
  if (csfle__alloc_replaced()) return csfle__calloc(1, size);
  pthread_once(&once, set_up);
  pthread_mutex_lock(&memory.lock);
  void *p = size <= LARGEST ? small_alloc(size) : large_alloc(size);
  pthread_mutex_unlock(&memory.lock);
  return p;
}

void csfle__locked_free(void *ptr, size_t size)
{
  if (!ptr) return;
  bool ours = true;
  pthread_mutex_lock(&memory.lock);
  chunk *c = size <= LARGEST ? chunk_of(ptr) : NULL;
  if (c) small_free(c, ptr);
  else if (size > LARGEST) ours = large_free(ptr);
  else ours = false;
  pthread_mutex_unlock(&memory.lock);
  if (!ours) csfle__free_secret(ptr, size); /* of a test's allocator */
}

void csfle__locked_amounts(size_t *locked, size_t *unlocked)
{
  pthread_mutex_lock(&memory.lock);
  *locked = memory.locked, *unlocked = memory.unlocked;
  pthread_mutex_unlock(&memory.lock);
}
