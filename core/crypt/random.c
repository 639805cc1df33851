/* The nonce pool. See random.h. */
#include "core/crypt/random.h"
#include "core/base/alloc.h"

#include <openssl/rand.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define PAGE_BYTES 8192

/* A forked child finds all of it zero: nothing left, so it fills its own. */
struct page {
  uint32_t left;       /* bytes not yet drawn: the last ones of bytes[] */
  uint32_t generation; /* of the random source that filled it */
  uint8_t  bytes[PAGE_BYTES - 8];
};

struct csfle__nonces {
  struct page *page; /* NULL: the kernel cannot wipe on fork, so nothing is kept */
};

static struct {
  int (*fill)(void *opaque, uint8_t *out, size_t len);
  void       *opaque;
  atomic_uint generation;
} source;

void csfle__random_set(int (*fill)(void *opaque, uint8_t *out, size_t len), void *opaque)
{
  source.fill = fill, source.opaque = opaque;
  atomic_fetch_add(&source.generation, 1); /* what pools hold came from the source before */
}

int csfle__random_fill(uint8_t *out, size_t len)
{
  if (source.fill) return source.fill(source.opaque, out, len) == 1;
  while (len) {
    size_t n = len < 1u << 20 ? len : 1u << 20;
    if (RAND_priv_bytes(out, (int)n) != 1) return 0;
    out += n, len -= n;
  }
  return 1;
}

csfle_status csfle__nonces_new(csfle__nonces **out, csfle_error *err)
{
  csfle__nonces *p = csfle__calloc(1, sizeof *p);
  *out = NULL;
  if (!p) return csfle__nomem(err);
  void *m = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (m == MAP_FAILED) {
    csfle__free(p);
    return csfle__nomem(err);
  }
  if (madvise(m, PAGE_BYTES, MADV_WIPEONFORK) == 0) {
    madvise(m, PAGE_BYTES, MADV_DONTDUMP);
    p->page = m;
  } else {
    munmap(m, PAGE_BYTES);
  }
  *out = p;
  return CSFLE_OK;
}

void csfle__nonces_free(csfle__nonces *p)
{
  if (!p) return;
  if (p->page) {
    csfle__wipe(p->page, PAGE_BYTES);
    munmap(p->page, PAGE_BYTES);
  }
  csfle__free(p);
}

static int fill_public(uint8_t *out, size_t len)
{
  return source.fill ? csfle__random_fill(out, len) : RAND_bytes(out, (int)len) == 1;
}

csfle_status csfle__nonces_draw(csfle__nonces *p, uint8_t *out, size_t len, csfle_error *err)
{
  struct page *g = p->page;
  unsigned     generation = atomic_load_explicit(&source.generation, memory_order_relaxed);

  if (!g) {
    if (!fill_public(out, len)) goto failed;
    return CSFLE_OK;
  }
  if (g->left < len || g->generation != generation) {
    g->left = 0; /* a source that fails half way leaves an empty pool */
    if (!fill_public(g->bytes, sizeof g->bytes)) goto failed;
    g->left = sizeof g->bytes, g->generation = generation;
  }
  uint8_t *from = g->bytes + (sizeof g->bytes - g->left);
  memcpy(out, from, len);
#ifndef CSFLE_BREAK_NONCE_REUSE
  g->left -= (uint32_t)len;
  csfle__wipe(from, len);
#endif
  return CSFLE_OK;
failed:
  csfle__wipe(out, len);
  return csfle__fail(err, CSFLE_E_INTERNAL, "the random source failed");
}
