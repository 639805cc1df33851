/* csfle_buf: the one growing buffer. It grows with malloc(3), because csfle_buf_take hands out memory for free(3). */
#include "core/base/buf.h"
#include "core/base/alloc.h"
#include "core/base/locked.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void *heap_grow(csfle_buf *b, size_t need)
{
  if (!(b->flags & CSFLE_BUF_WIPE)) return csfle__realloc(b->ptr, need);
  /* plaintext never goes through realloc, which would leave a copy behind */
  void *p = csfle__alloc(need);
  if (!p) return NULL;
  if (b->len) memcpy(p, b->ptr, b->len);
  csfle__free_secret(b->ptr, b->cap);
  return p;
}

void csfle_buf_init(csfle_buf *b, size_t max_bytes, uint32_t flags)
{
  if (b) *b = (csfle_buf){ NULL, 0, 0, max_bytes, heap_grow, NULL, flags };
}

static void *locked_grow(csfle_buf *b, size_t need)
{
  void *p = csfle__locked_alloc(need);
  if (!p) return NULL;
  if (b->len) memcpy(p, b->ptr, b->len);
  csfle__locked_free(b->ptr, b->cap);
  return p;
}

void csfle__buf_init_secret(csfle_buf *b, size_t max_bytes)
{
  *b = (csfle_buf){ NULL, 0, 0, max_bytes, locked_grow, NULL, CSFLE_BUF_WIPE };
}

void *csfle_buf_take(csfle_buf *b, size_t *len)
{
  if (!b) return NULL;
  void *p = b->ptr;
  if (len) *len = b->len;
  b->ptr = NULL, b->len = b->cap = 0;
  return p;
}

void csfle_buf_free(csfle_buf *b)
{
  if (!b) return;
  if (b->grow == heap_grow) {
    if (b->flags & CSFLE_BUF_WIPE) csfle__free_secret(b->ptr, b->cap);
    else csfle__free(b->ptr);
    b->ptr = NULL, b->cap = 0;
  } else if (b->grow == locked_grow) {
    csfle__locked_free(b->ptr, b->cap);
    b->ptr = NULL, b->cap = 0;
  } else if (b->flags & CSFLE_BUF_WIPE && b->ptr) {
    OPENSSL_cleanse(b->ptr, b->cap);
  }
  b->len = 0;
}

csfle_status csfle__buf_reserve(csfle_buf *b, size_t more, csfle_error *err)
{
  if (more <= b->cap - b->len) return CSFLE_OK;
  if (more > SIZE_MAX / 2 - b->len) return csfle__nomem(err);
  size_t need = b->len + more, cap = b->cap ? b->cap : 64;
  if (!b->grow || (b->max && need > b->max))
    return csfle__fail(err, CSFLE_E_SPACE, "output needs %zu bytes, the buffer may hold %zu", need,
                       b->grow ? b->max : b->cap);
  while (cap < need) cap *= 2;
  if (b->max && cap > b->max) cap = b->max;
  void *p = b->grow(b, cap);
  if (!p) return csfle__nomem(err);
  b->ptr = p, b->cap = cap;
  return CSFLE_OK;
}

csfle_status csfle__buf_put(csfle_buf *b, const void *ptr, size_t len, csfle_error *err)
{
  csfle_status rc = csfle__buf_reserve(b, len, err);
  if (rc != CSFLE_OK) return rc;
  if (len) memcpy(b->ptr + b->len, ptr, len);
  b->len += len;
  return CSFLE_OK;
}

csfle_status csfle__buf_puts(csfle_buf *b, const char *text, csfle_error *err)
{
  return csfle__buf_put(b, text, strlen(text), err);
}

csfle_status csfle__buf_putc(csfle_buf *b, uint8_t c, csfle_error *err) { return csfle__buf_put(b, &c, 1, err); }

csfle_status csfle__buf_printf(csfle_buf *b, csfle_error *err, const char *fmt, ...)
{
  va_list ap, again;
  va_start(ap, fmt);
  va_copy(again, ap);
  int n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  csfle_status rc = n < 0 ? csfle__fail(err, CSFLE_E_INTERNAL, "bad format") : csfle__buf_reserve(b, (size_t)n + 1, err);
  if (rc == CSFLE_OK) {
    vsnprintf((char *)b->ptr + b->len, (size_t)n + 1, fmt, again);
    b->len += (size_t)n;
  }
  va_end(again);
  return rc;
}

void csfle__buf_clear(csfle_buf *b)
{
  if (b->flags & CSFLE_BUF_WIPE && b->ptr) OPENSSL_cleanse(b->ptr, b->len);
  b->len = 0;
}

const char *csfle__buf_cstr(csfle_buf *b)
{
  if (csfle__buf_reserve(b, 1, NULL) != CSFLE_OK) return NULL;
  b->ptr[b->len] = 0;
  return (const char *)b->ptr;
}
