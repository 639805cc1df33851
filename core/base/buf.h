/** Appending to a csfle_buf. A failed append leaves the buffer as it was. */
#ifndef CSFLE_BASE_BUF_H
#define CSFLE_BASE_BUF_H

#include "core/base/bytes.h"
#include "core/base/error.h"

#define CSFLE__BUF_INIT { NULL, 0, 0, 0, NULL, NULL, 0 }

/** As csfle_buf_init with CSFLE_BUF_WIPE, for what may hold key material: in locked memory (locked.h). Never to be taken. */
void csfle__buf_init_secret(csfle_buf *b, size_t max_bytes);
/** Room for @p more bytes after len. CSFLE_E_SPACE past max or in a fixed buffer (len then untouched), CSFLE_E_NOMEM. */
csfle_status csfle__buf_reserve(csfle_buf *b, size_t more, csfle_error *err);
csfle_status csfle__buf_put(csfle_buf *b, const void *ptr, size_t len, csfle_error *err);
csfle_status csfle__buf_puts(csfle_buf *b, const char *text, csfle_error *err);
csfle_status csfle__buf_putc(csfle_buf *b, uint8_t c, csfle_error *err);
csfle_status csfle__buf_printf(csfle_buf *b, csfle_error *err, const char *fmt, ...) CSFLE__PRINTF(3, 4);
/** len = 0; wiped first with CSFLE_BUF_WIPE. Memory is kept. */
void csfle__buf_clear(csfle_buf *b);
static inline csfle__bytes csfle__buf_view(const csfle_buf *b) { return csfle__view(b->ptr, b->len); }
/** A NUL after the bytes, not counted in len; the text, or NULL when there was no room. */
const char *csfle__buf_cstr(csfle_buf *b);

#endif
