/* Numbers as Java reads and writes them, whatever the locale: strtod never sees a decimal point. */
#include "core/schema/avro/avro.h"

#include "core/base/alloc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

bool csfle__avro_integer(yyjson_val *v)
{
  if (!yyjson_is_raw(v)) return false;
  const char *t = yyjson_get_raw(v);
  for (size_t i = 0, n = yyjson_get_len(v); i < n; i++) {
    if (t[i] == '.' || t[i] == 'e' || t[i] == 'E') return false;
  }
  return true;
}

/* [sign] digits [. digits] [e exponent] -> digits and a decimal exponent, which strtod reads in any locale */
static bool read_decimal(csfle__bytes t, double *out)
{
  char   text[CSFLE__AVRO_MAX_NUMBER + 32];
  size_t n = 0, i = 0, digits = 0;
  long   exponent = 0;
  if (t.len == 0 || t.len > CSFLE__AVRO_MAX_NUMBER) return false;
  if (t.ptr[i] == '-' || t.ptr[i] == '+') text[n++] = (char)t.ptr[i++];
  for (bool point = false; i < t.len; i++) {
    if (t.ptr[i] == '.' && !point) {
      point = true;
    } else if (t.ptr[i] >= '0' && t.ptr[i] <= '9') {
      text[n++] = (char)t.ptr[i], digits++, exponent -= point;
    } else break;
  }
  if (digits == 0) return false;
  if (i < t.len && (t.ptr[i] == 'e' || t.ptr[i] == 'E')) {
    bool   minus = false;
    long   e = 0;
    size_t from;
    if (++i < t.len && (t.ptr[i] == '-' || t.ptr[i] == '+')) minus = t.ptr[i++] == '-';
    for (from = i; i < t.len && t.ptr[i] >= '0' && t.ptr[i] <= '9'; i++) {
      if (e < 1000000) e = e * 10 + (t.ptr[i] - '0');
    }
    if (i == from) return false;
    exponent += minus ? -e : e;
  }
  if (i != t.len) return false;
  snprintf(text + n, sizeof text - n, "e%ld", exponent);
  *out = strtod(text, NULL);
  return true;
}

bool csfle__avro_double(yyjson_val *v, double *out)
{
  return yyjson_is_raw(v) && read_decimal(csfle__view(yyjson_get_raw(v), yyjson_get_len(v)), out);
}

bool csfle__avro_java_double(csfle__bytes text, double *out)
{
  while (text.len && text.ptr[0] <= ' ') text = csfle__from(text, 1);
  while (text.len && text.ptr[text.len - 1] <= ' ') text.len--;
  csfle__bytes body = text;
  bool         minus = body.len && body.ptr[0] == '-';
  if (body.len && (body.ptr[0] == '-' || body.ptr[0] == '+')) body = csfle__from(body, 1);
  if (csfle__eq_str(body, "NaN")) return *out = NAN, true;
  if (csfle__eq_str(body, "Infinity")) return *out = minus ? -INFINITY : INFINITY, true;
  if (text.len > 1 && strchr("fFdD", text.ptr[text.len - 1])) text.len--;
  return read_decimal(text, out);
}

/* shortest digits that read back as the same value: "1234", exponent of the first digit */
static size_t shortest(double v, bool single, char digits[24], int *exponent)
{
  size_t n = 0;
  for (int precision = single ? 6 : 15, most = single ? 9 : 17; precision <= most; precision++) {
    char text[48], back[48];
    snprintf(text, sizeof text, "%.*e", precision - 1, v);
    char *e = strrchr(text, 'e');
    n = 0;
    for (char *p = text; p < e; p++) {
      if (*p >= '0' && *p <= '9') digits[n++] = *p;
    }
    *exponent = atoi(e + 1);
    snprintf(back, sizeof back, "%.*se%d", (int)n, digits, *exponent - (int)n + 1);
    if (single ? strtof(back, NULL) == (float)v : strtod(back, NULL) == v) break;
  }
  while (n > 1 && digits[n - 1] == '0') n--;
  return n;
}

size_t csfle__avro_print_double(double v, bool single, char out[40])
{
  char   digits[24];
  int    e = 0;
  size_t n, len = 0;
  if (single) v = (double)(float)v;
  if (isnan(v)) return (size_t)snprintf(out, 40, "NaN");
  if (isinf(v)) return (size_t)snprintf(out, 40, "%s", v < 0 ? "-Infinity" : "Infinity");
  if (signbit(v)) out[len++] = '-', v = -v;
  if (v == 0) return len + (size_t)snprintf(out + len, 40 - len, "0.0");
  n = shortest(v, single, digits, &e);
  if (e >= 7 || e < -3)
    return len + (size_t)snprintf(out + len, 40 - len, "%c.%.*sE%d", digits[0], n > 1 ? (int)n - 1 : 1,
                                  n > 1 ? digits + 1 : "0", e);
  if (e < 0) {
    out[len++] = '0', out[len++] = '.';
    for (int i = -1; i > e; i--) out[len++] = '0';
    memcpy(out + len, digits, n), len += n;
  } else {
    for (int i = 0; i <= e; i++) out[len++] = (size_t)i < n ? digits[i] : '0';
    out[len++] = '.';
    if (n <= (size_t)e + 1) out[len++] = '0';
    else memcpy(out + len, digits + e + 1, n - (size_t)e - 1), len += n - (size_t)e - 1;
  }
  out[len] = 0;
  return len;
}

csfle_status csfle__avro_put_number(csfle_buf *b, yyjson_val *v, csfle_error *err)
{
  csfle__bytes raw = csfle__view(yyjson_get_raw(v), yyjson_get_len(v));
  double       d;
  char         text[40];
  if (csfle__avro_integer(v)) return csfle__eq_str(raw, "-0") ? csfle__buf_putc(b, '0', err) : csfle__buf_put(b, raw.ptr, raw.len, err);
  /* beyond double: kept as written, nothing else would be the same number */
  if (!csfle__avro_double(v, &d) || isinf(d)) return csfle__buf_put(b, raw.ptr, raw.len, err);
  return csfle__buf_put(b, text, csfle__avro_print_double(d, false, text), err);
}

/* a member of an object: where its key stands first, and where its value stands (a key given twice: the last) */
typedef struct member {
  yyjson_val *first, *last;
} member;
typedef struct level {
  yyjson_val *at;   /* next value of an array */
  member     *keys; /* of an object */
  size_t      left, done;
  bool        object;
} level;

static int by_key(const void *a, const void *b)
{
  yyjson_val *x = ((const member *)a)->first, *y = ((const member *)b)->first;
  int         d = csfle__cmp_utf16(csfle__json_text(x), csfle__json_text(y));
  return d ? d : (x > y) - (x < y);
}
static int by_place(const void *a, const void *b)
{
  yyjson_val *x = ((const member *)a)->first, *y = ((const member *)b)->first;
  return (x > y) - (x < y);
}

static bool list_keys(level *l, yyjson_val *obj, bool sorted)
{
  size_t      i, n, count = 0, kept = 0;
  yyjson_val *k, *v;
  if (!(l->keys = csfle__alloc(l->left * sizeof *l->keys))) return false;
  yyjson_obj_foreach(obj, i, n, k, v)
  {
    (void)v;
    l->keys[count++] = (member){ k, k };
  }
  qsort(l->keys, count, sizeof *l->keys, by_key);
  for (i = 0; i < count; i++) {
    if (kept && csfle__eq(csfle__json_text(l->keys[kept - 1].first), csfle__json_text(l->keys[i].first)))
      l->keys[kept - 1].last = l->keys[i].last;
    else l->keys[kept++] = l->keys[i];
  }
  if (!sorted) qsort(l->keys, kept, sizeof *l->keys, by_place);
  l->left = kept;
  return true;
}

csfle_status csfle__avro_put_json(csfle_buf *b, yyjson_val *v, bool sorted, csfle_error *err)
{
  level       *stack = NULL;
  size_t       depth = 0, cap = 0;
  csfle_status rc = CSFLE_OK;

  for (;;) {
    if (yyjson_is_ctn(v)) {
      if (csfle__grow((void **)&stack, &cap, depth + 1, sizeof *stack) != 0) {
        rc = csfle__nomem(err);
        break;
      }
      level *l = &stack[depth];
      *l = (level){ unsafe_yyjson_get_first(v), NULL, unsafe_yyjson_get_len(v), 0, yyjson_is_obj(v) };
      if (l->object && !list_keys(l, v, sorted)) {
        rc = csfle__nomem(err);
        break;
      }
      depth++;
      rc = csfle__buf_putc(b, l->object ? '{' : '[', err);
    } else if (yyjson_is_raw(v)) rc = csfle__avro_put_number(b, v, err);
    else rc = csfle__json_put_value(b, v, err);

    while (rc == CSFLE_OK && depth && stack[depth - 1].left == 0) {
      level *l = &stack[--depth];
      csfle__free(l->keys);
      rc = csfle__buf_putc(b, l->object ? '}' : ']', err);
    }
    if (rc != CSFLE_OK || depth == 0) break;
    level *l = &stack[depth - 1];
    if (l->done) rc = csfle__buf_putc(b, ',', err);
    if (l->object) {
      yyjson_val *k = l->keys[l->done].last;
      if (rc == CSFLE_OK) rc = csfle__json_put_string(b, csfle__json_text(k), false, err);
      if (rc == CSFLE_OK) rc = csfle__buf_putc(b, ':', err);
      v = k + 1;
    } else {
      v = l->at;
      l->at = unsafe_yyjson_get_next(v);
    }
    l->left--, l->done++;
    if (rc != CSFLE_OK) break;
  }
  while (depth) csfle__free(stack[--depth].keys);
  csfle__free(stack);
  return rc;
}

int csfle__avro_json_same(yyjson_val *a, yyjson_val *b)
{
  csfle_buf ta, tb;
  int       same = -1;
  if (yyjson_get_type(a) != yyjson_get_type(b)) return 0;
  if (yyjson_is_str(a)) return csfle__eq(csfle__json_text(a), csfle__json_text(b));
  csfle_buf_init(&ta, 0, 0), csfle_buf_init(&tb, 0, 0);
  /* as sorted text: linear, while looking up each member of one object in another is not */
  if (csfle__avro_put_json(&ta, a, true, NULL) == CSFLE_OK && csfle__avro_put_json(&tb, b, true, NULL) == CSFLE_OK)
    same = csfle__eq(csfle__buf_view(&ta), csfle__buf_view(&tb));
  csfle_buf_free(&ta), csfle_buf_free(&tb);
  return same;
}
