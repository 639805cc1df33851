/** csfle__secret: owned bytes of fixed size, in memory of their own kind (locked.h), wiped before they are freed. There is no way to print one. */
#ifndef CSFLE_BASE_SECRET_H
#define CSFLE_BASE_SECRET_H

#include "core/base/bytes.h"
#include "core/base/error.h"

typedef struct csfle__secret {
  uint8_t *ptr;
  size_t   len;
} csfle__secret;
#define CSFLE__SECRET_INIT { NULL, 0 }

/** Gives *s (wiped first) @p len zero bytes. CSFLE_E_NOMEM. */
csfle_status csfle__secret_make(csfle__secret *s, size_t len, csfle_error *err);
/** Gives *s (wiped first) a copy of @p from. */
csfle_status csfle__secret_copy(csfle__secret *s, csfle__bytes from, csfle_error *err);
/** *to is wiped and gets what *from owns; *from is empty afterwards. */
void csfle__secret_move(csfle__secret *to, csfle__secret *from);
/** Wipes and frees; *s is empty afterwards. No-op on an empty one. */
void csfle__secret_wipe(csfle__secret *s);
/** Constant-time comparison. */
bool csfle__secret_equal(csfle__bytes a, csfle__bytes b);
static inline csfle__bytes csfle__secret_view(const csfle__secret *s) { return csfle__view(s->ptr, s->len); }
/** OPENSSL_cleanse, for arrays on the stack. */
void csfle__wipe(void *ptr, size_t len);

#endif
