/* Wiped memory. See secret.h. */
#include "core/base/secret.h"
#include "core/base/locked.h"

#include <openssl/crypto.h>

csfle_status csfle__secret_make(csfle__secret *s, size_t len, csfle_error *err)
{
  csfle__secret_wipe(s);
  void *p = csfle__locked_alloc(len);
  if (!p) return csfle__nomem(err);
  s->ptr = p, s->len = len;
  return CSFLE_OK;
}

csfle_status csfle__secret_copy(csfle__secret *s, csfle__bytes from, csfle_error *err)
{
  csfle__secret made = CSFLE__SECRET_INIT;
  csfle_status  rc = csfle__secret_make(&made, from.len, err);
  if (rc != CSFLE_OK) return rc;
  if (from.len) memcpy(made.ptr, from.ptr, from.len);
  csfle__secret_move(s, &made);
  return CSFLE_OK;
}

void csfle__secret_move(csfle__secret *to, csfle__secret *from)
{
  csfle__secret_wipe(to);
  *to = *from;
  *from = (csfle__secret)CSFLE__SECRET_INIT;
}

void csfle__secret_wipe(csfle__secret *s)
{
  csfle__locked_free(s->ptr, s->len);
  *s = (csfle__secret)CSFLE__SECRET_INIT;
}

bool csfle__secret_equal(csfle__bytes a, csfle__bytes b)
{
  return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0);
}

void csfle__wipe(void *ptr, size_t len) { OPENSSL_cleanse(ptr, len); }
