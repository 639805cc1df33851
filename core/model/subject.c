/* Qualified subjects, and texts inside URLs. See model.h. */
#include "core/model/model.h"

csfle__subject csfle__subject_parse(csfle__bytes t)
{
  if (t.len >= 2 && t.ptr[0] == ':' && t.ptr[1] == '.') {
    csfle__bytes   rest = csfle__from(t, 1);
    const uint8_t *colon = memchr(rest.ptr, ':', rest.len);
    if (!colon) return (csfle__subject){ rest, CSFLE__NONE };
    size_t n = (size_t)(colon - rest.ptr);
    return (csfle__subject){ csfle__view(rest.ptr, n), csfle__from(rest, n + 1) };
  }
  if (csfle__starts(t, CSFLE__LIT(":*:"))) return (csfle__subject){ csfle__view(t.ptr + 1, 1), csfle__from(t, 3) };
  return (csfle__subject){ CSFLE__LIT("."), t };
}

csfle_status csfle__subject_put(csfle_buf *b, csfle__subject s, csfle_error *err)
{
  size_t start = b->len;
  bool   plain = csfle__eq_str(s.context, ".") || s.context.len == 0;
  /* reserved at once, so that a full buffer is left as it was */
  csfle_status rc = csfle__buf_reserve(b, s.name.len + (plain ? 0 : s.context.len + 2), err);
  if (rc == CSFLE_OK && !plain) {
    rc = csfle__buf_putc(b, ':', err);
    if (rc == CSFLE_OK) rc = csfle__buf_put(b, s.context.ptr, s.context.len, err);
    if (rc == CSFLE_OK) rc = csfle__buf_putc(b, ':', err);
  }
  if (rc == CSFLE_OK) rc = csfle__buf_put(b, s.name.ptr, s.name.len, err);
  if (rc != CSFLE_OK && b->len > start) b->len = start;
  return rc;
}

static bool unreserved(uint8_t c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
         c == '~';
}

static csfle_status put_encoded(csfle_buf *b, csfle__bytes text, const char *also, csfle_error *err)
{
  static const char hex[] = "0123456789ABCDEF";
  size_t            need = 0;
  for (size_t i = 0; i < text.len; i++) {
    uint8_t c = text.ptr[i];
    need += unreserved(c) || (c && strchr(also, c)) ? 1 : 3;
  }
  csfle_status rc = csfle__buf_reserve(b, need, err);
  if (rc != CSFLE_OK) return rc;
  for (size_t i = 0; i < text.len; i++) {
    uint8_t c = text.ptr[i];
    if (unreserved(c) || (c && strchr(also, c))) {
      b->ptr[b->len++] = c;
    } else {
      b->ptr[b->len++] = '%';
      b->ptr[b->len++] = (uint8_t)hex[c >> 4];
      b->ptr[b->len++] = (uint8_t)hex[c & 15];
    }
  }
  return CSFLE_OK;
}

csfle_status csfle__put_path_segment(csfle_buf *b, csfle__bytes text, csfle_error *err)
{
  /* a whole segment of dots would be taken for a step up the path by whatever lies between */
  if (csfle__eq_str(text, ".")) return csfle__buf_puts(b, "%2E", err);
  if (csfle__eq_str(text, "..")) return csfle__buf_puts(b, "%2E%2E", err);
  return put_encoded(b, text, "!$&'()*+,;=:@", err);
}

csfle_status csfle__put_query_value(csfle_buf *b, csfle__bytes text, csfle_error *err)
{
  return put_encoded(b, text, "", err);
}
