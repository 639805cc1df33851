/* See json.h. */
#include "core/base/json.h"
#include "core/base/alloc.h"
#include "core/base/locked.h"

#include <stdlib.h>

static void *alc_malloc(void *ctx, size_t size) { return (void)ctx, csfle__alloc(size); }
static void *alc_realloc(void *ctx, void *ptr, size_t old, size_t size)
{
  return (void)ctx, (void)old, csfle__realloc(ptr, size);
}
static void alc_free(void *ctx, void *ptr) { (void)ctx, csfle__free(ptr); }

const yyjson_alc *csfle__json_alc(void)
{
  static const yyjson_alc alc = { alc_malloc, alc_realloc, alc_free, NULL };
  return &alc;
}

/* the same with the size of each block before it, so that it can be wiped */
enum { SIZE_ROOM = 16 };
static void *wiping_malloc(void *ctx, size_t size)
{
  (void)ctx;
  uint8_t *p = size > SIZE_MAX - SIZE_ROOM ? NULL : csfle__locked_alloc(size + SIZE_ROOM);
  if (!p) return NULL;
  memcpy(p, &size, sizeof size);
  return p + SIZE_ROOM;
}
static void wiping_free(void *ctx, void *ptr)
{
  size_t size;
  (void)ctx;
  if (!ptr) return;
  uint8_t *p = (uint8_t *)ptr - SIZE_ROOM;
  memcpy(&size, p, sizeof size);
  csfle__locked_free(p, size + SIZE_ROOM);
}
static void *wiping_realloc(void *ctx, void *ptr, size_t old, size_t size)
{
  void *p = wiping_malloc(ctx, size);
  if (p && ptr) memcpy(p, ptr, old < size ? old : size), wiping_free(ctx, ptr);
  return p;
}
static const yyjson_alc wiping = { wiping_malloc, wiping_realloc, wiping_free, NULL };

/* yyjson is not recursive, but walkers of its trees are: count the nesting before anything looks at the tree */
static bool too_deep(csfle__bytes t, bool comments)
{
  size_t depth = 0, opened = 0;
  bool   quoted = false;
  for (size_t i = 0; i < t.len;) { /* most texts have too few for it: counted in bytes, which vectors do at once */
    uint8_t n = 0;
    size_t  end = t.len - i < 255 ? t.len : i + 255;
    for (; i < end; i++) n = (uint8_t)(n + ((t.ptr[i] | 0x20) == '{')); /* '[' differs from '{' in this bit */
    opened += n;
  }
  if (opened <= CSFLE__JSON_MAX_DEPTH) return false;
  for (size_t i = 0; i < t.len; i++) {
    uint8_t c = t.ptr[i];
    if (quoted) {
      if (c == '\\') i++;
      else if (c == '"') quoted = false;
    } else if (c == '"') quoted = true;
    else if (comments && c == '/' && i + 1 < t.len && (t.ptr[i + 1] == '/' || t.ptr[i + 1] == '*')) {
      /* a quote or a bracket in a comment is none */
      bool line = t.ptr[i + 1] == '/';
      for (i += 2; i < t.len && !(line ? t.ptr[i] == '\n' || t.ptr[i] == '\r' : i + 1 < t.len && t.ptr[i] == '*' && t.ptr[i + 1] == '/');) i++;
      i += !line;
    }
    else if (c == '{' || c == '[') {
      if (++depth > CSFLE__JSON_MAX_DEPTH) return true;
    } else if (c == '}' || c == ']') depth -= depth > 0;
  }
  return false;
}

static csfle_status parse(yyjson_doc **out, csfle__bytes text, yyjson_read_flag flags, const yyjson_alc *alc, csfle_error *err)
{
  yyjson_read_err why;
  *out = NULL;
  if (text.len == 0) return csfle__fail(err, CSFLE_E_SCHEMA, "JSON text is empty");
  if (too_deep(text, flags & YYJSON_READ_ALLOW_COMMENTS))
    return csfle__fail(err, CSFLE_E_SCHEMA, "JSON text is nested deeper than %d levels", CSFLE__JSON_MAX_DEPTH);
  *out = yyjson_read_opts((char *)(uintptr_t)text.ptr, text.len, flags | YYJSON_READ_NUMBER_AS_RAW, alc, &why);
  if (*out) return CSFLE_OK;
  if (why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION) return csfle__nomem(err);
  csfle__fail(err, CSFLE_E_SCHEMA, "not valid JSON at byte %zu: %s", why.pos, why.msg);
  if (err) err->offset = why.pos;
  return CSFLE_E_SCHEMA;
}

csfle_status csfle__json_parse(yyjson_doc **out, csfle__bytes text, csfle_error *err)
{
  return parse(out, text, 0, csfle__json_alc(), err);
}

csfle_status csfle__json_parse_into(yyjson_doc **out, csfle__bytes text, const yyjson_alc *alc, csfle_error *err)
{
  return parse(out, text, 0, alc, err);
}

csfle_status csfle__json_parse_secret(yyjson_doc **out, csfle__bytes text, csfle_error *err)
{
  return parse(out, text, 0, &wiping, err);
}

csfle_status csfle__json_parse_comments(yyjson_doc **out, csfle__bytes text, csfle_error *err)
{
  return parse(out, text, YYJSON_READ_ALLOW_COMMENTS, csfle__json_alc(), err);
}

yyjson_val *csfle__json_member_n(yyjson_val *obj, csfle__bytes name)
{
  yyjson_val *found = NULL, *k, *v;
  size_t      i, n;
  if (!yyjson_is_obj(obj)) return NULL;
  yyjson_obj_foreach(obj, i, n, k, v)
  {
    if (yyjson_get_len(k) == name.len && (name.len == 0 || memcmp(yyjson_get_str(k), name.ptr, name.len) == 0)) found = v;
  }
  return found;
}

yyjson_val *csfle__json_member(yyjson_val *obj, const char *name) { return csfle__json_member_n(obj, csfle__str(name)); }

csfle__bytes csfle__json_text(yyjson_val *v)
{
  return yyjson_is_str(v) ? csfle__view(yyjson_get_str(v), yyjson_get_len(v)) : CSFLE__NONE;
}

csfle__bytes csfle__json_member_text(yyjson_val *obj, const char *name)
{
  return csfle__json_text(csfle__json_member(obj, name));
}

bool csfle__json_i64(yyjson_val *v, int64_t *out)
{
  if (yyjson_is_raw(v)) {
    csfle__bytes t = csfle__view(yyjson_get_raw(v), yyjson_get_len(v));
    return csfle__parse_i64(t, out);
  }
  if (yyjson_is_sint(v)) return *out = yyjson_get_sint(v), true;
  if (yyjson_is_uint(v) && yyjson_get_uint(v) <= INT64_MAX) return *out = (int64_t)yyjson_get_uint(v), true;
  return false;
}

csfle_status csfle__json_put_string(csfle_buf *b, csfle__bytes text, bool surrogates, csfle_error *err)
{
  static const char hex[] = "0123456789ABCDEF";
  size_t            start = b->len;
  /* worst case six bytes a byte, plus quotes: reserve once */
  csfle_status rc = csfle__buf_reserve(b, text.len + 2, err);
  if (rc != CSFLE_OK) return rc;
  rc = csfle__buf_putc(b, '"', err);
  for (size_t i = 0; i < text.len && rc == CSFLE_OK;) {
    uint8_t c = text.ptr[i];
    char    esc[12];
    size_t  n = 0;
    switch (c) {
    case '"': case '\\': esc[n++] = '\\', esc[n++] = (char)c; break;
    case '\b': esc[n++] = '\\', esc[n++] = 'b'; break;
    case '\f': esc[n++] = '\\', esc[n++] = 'f'; break;
    case '\n': esc[n++] = '\\', esc[n++] = 'n'; break;
    case '\r': esc[n++] = '\\', esc[n++] = 'r'; break;
    case '\t': esc[n++] = '\\', esc[n++] = 't'; break;
    default:
      if (c < 0x20) memcpy(esc, "\\u00", 4), esc[4] = hex[c >> 4], esc[5] = hex[c & 15], n = 6;
    }
    if (n) {
      rc = csfle__buf_put(b, esc, n, err), i++;
    } else if (surrogates && c >= 0xF0) {
      int32_t cp = csfle__utf8_next(text, &i);
      if (cp < 0) {
        rc = csfle__buf_putc(b, c, err);
        continue;
      }
      unsigned hi = 0xD800 + (((unsigned)cp - 0x10000) >> 10), lo = 0xDC00 + (((unsigned)cp - 0x10000) & 0x3FF);
      rc = csfle__buf_printf(b, err, "\\u%04X\\u%04X", hi, lo);
    } else {
      size_t from = i++;
      while (i < text.len && text.ptr[i] >= 0x20 && text.ptr[i] != '"' && text.ptr[i] != '\\' &&
             !(surrogates && text.ptr[i] >= 0xF0))
        i++;
      rc = csfle__buf_put(b, text.ptr + from, i - from, err);
    }
  }
  if (rc == CSFLE_OK) rc = csfle__buf_putc(b, '"', err);
  if (rc != CSFLE_OK) b->len = start;
  return rc;
}

csfle_status csfle__json_put_value(csfle_buf *b, yyjson_val *v, csfle_error *err)
{
  csfle_status rc = CSFLE_OK;
  size_t       i, n;
  yyjson_val  *k, *x;

  if (yyjson_is_str(v)) return csfle__json_put_string(b, csfle__json_text(v), false, err);
  if (yyjson_is_raw(v)) return csfle__buf_put(b, yyjson_get_raw(v), yyjson_get_len(v), err);
  if (yyjson_is_bool(v)) return csfle__buf_puts(b, yyjson_get_bool(v) ? "true" : "false", err);
  if (yyjson_is_sint(v)) return csfle__buf_printf(b, err, "%lld", (long long)yyjson_get_sint(v));
  if (yyjson_is_uint(v)) return csfle__buf_printf(b, err, "%llu", (unsigned long long)yyjson_get_uint(v));
  if (yyjson_is_real(v)) return csfle__buf_printf(b, err, "%.17g", yyjson_get_real(v));
  if (yyjson_is_arr(v)) {
    rc = csfle__buf_putc(b, '[', err);
    yyjson_arr_foreach(v, i, n, x)
    {
      if (rc == CSFLE_OK && i) rc = csfle__buf_putc(b, ',', err);
      if (rc == CSFLE_OK) rc = csfle__json_put_value(b, x, err);
    }
    return rc == CSFLE_OK ? csfle__buf_putc(b, ']', err) : rc;
  }
  if (yyjson_is_obj(v)) {
    rc = csfle__buf_putc(b, '{', err);
    yyjson_obj_foreach(v, i, n, k, x)
    {
      if (rc == CSFLE_OK && i) rc = csfle__buf_putc(b, ',', err);
      if (rc == CSFLE_OK) rc = csfle__json_put_string(b, csfle__json_text(k), false, err);
      if (rc == CSFLE_OK) rc = csfle__buf_putc(b, ':', err);
      if (rc == CSFLE_OK) rc = csfle__json_put_value(b, x, err);
    }
    return rc == CSFLE_OK ? csfle__buf_putc(b, '}', err) : rc;
  }
  return csfle__buf_puts(b, "null", err);
}

/* raw numbers are not NUL-terminated */
static double number(yyjson_val *v)
{
  char   text[64];
  size_t n = yyjson_get_len(v) < sizeof text ? yyjson_get_len(v) : sizeof text - 1;
  memcpy(text, yyjson_get_raw(v), n);
  text[n] = 0;
  return strtod(text, NULL);
}

bool csfle__json_equal(yyjson_val *a, yyjson_val *b)
{
  size_t      i, n;
  yyjson_val *k, *x;
  if (!a || !b) return a == b;
  if (yyjson_get_type(a) != yyjson_get_type(b)) return false;
  if (yyjson_is_raw(a)) {
    csfle__bytes ta = csfle__view(yyjson_get_raw(a), yyjson_get_len(a)), tb = csfle__view(yyjson_get_raw(b), yyjson_get_len(b));
    int64_t      ia, ib;
    if (csfle__eq(ta, tb)) return true;
    if (csfle__parse_i64(ta, &ia) && csfle__parse_i64(tb, &ib)) return ia == ib;
    if (ta.len > 60 || tb.len > 60) return false;
    return number(a) == number(b);
  }
  if (yyjson_is_str(a)) return csfle__eq(csfle__json_text(a), csfle__json_text(b));
  if (yyjson_is_bool(a)) return yyjson_get_bool(a) == yyjson_get_bool(b);
  if (yyjson_is_arr(a)) {
    if (yyjson_arr_size(a) != yyjson_arr_size(b)) return false;
    yyjson_val *y = yyjson_arr_get_first(b);
    yyjson_arr_foreach(a, i, n, x)
    {
      if (!csfle__json_equal(x, y)) return false;
      y = unsafe_yyjson_get_next(y);
    }
    return true;
  }
  if (yyjson_is_obj(a)) {
    if (yyjson_obj_size(a) != yyjson_obj_size(b)) return false;
    yyjson_obj_foreach(a, i, n, k, x)
    {
      (void)x;
      if (!csfle__json_equal(csfle__json_member_n(a, csfle__json_text(k)), csfle__json_member_n(b, csfle__json_text(k))))
        return false;
    }
    return true;
  }
  return true;
}
