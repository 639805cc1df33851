/* Comparing, trimming and reading numbers from views of bytes. */
#include "core/base/bytes.h"

static uint8_t lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c; }

bool csfle__eq_nocase(csfle__bytes a, csfle__bytes b)
{
  if (a.len != b.len) return false;
  for (size_t i = 0; i < a.len; i++)
    if (lower(a.ptr[i]) != lower(b.ptr[i])) return false;
  return true;
}

int32_t csfle__utf8_next(csfle__bytes a, size_t *pos)
{
  size_t   i = *pos, left = a.len - i;
  uint8_t  c = a.ptr[i];
  uint32_t v, least;
  size_t   n;

  *pos = i + 1;
  if (c < 0x80) return c;
  if (c >= 0xC2 && c < 0xE0) n = 1, v = c & 0x1Fu, least = 0x80;
  else if (c >= 0xE0 && c < 0xF0) n = 2, v = c & 0x0Fu, least = 0x800;
  else if (c >= 0xF0 && c < 0xF5) n = 3, v = c & 0x07u, least = 0x10000;
  else return -1;
  if (left <= n) return -1;
  for (size_t k = 1; k <= n; k++) {
    if ((a.ptr[i + k] & 0xC0) != 0x80) return -1;
    v = v << 6 | (a.ptr[i + k] & 0x3Fu);
  }
  if (v < least || v > 0x10FFFF || (v >= 0xD800 && v < 0xE000)) return -1;
  *pos = i + 1 + n;
  return (int32_t)v;
}

bool csfle__utf8_valid(csfle__bytes a)
{
  for (size_t i = 0; i < a.len;) {
    if (a.ptr[i] < 0x80) i++;
    else if (csfle__utf8_next(a, &i) < 0) return false;
  }
  return true;
}

/* A supplementary character is two surrogates (D800..DFFF) in UTF-16, so it sorts before U+E000..U+FFFF. */
static int32_t utf16_rank(int32_t c) { return c >= 0x10000 ? 0xD800 : c >= 0xE000 ? c + 0x2000 : c; }

int csfle__cmp_utf16(csfle__bytes a, csfle__bytes b)
{
  size_t i = 0, j = 0;
  while (i < a.len && j < b.len) {
    int32_t x = csfle__utf8_next(a, &i), y = csfle__utf8_next(b, &j);
    if (x == y) continue;
    int32_t rx = utf16_rank(x), ry = utf16_rank(y);
    if (rx != ry) return rx < ry ? -1 : 1;
    return x < y ? -1 : 1;
  }
  return (i < a.len) - (j < b.len);
}

bool csfle__parse_i64(csfle__bytes a, int64_t *out)
{
  size_t   i = 0;
  bool     minus = false;
  uint64_t v = 0;

  if (i < a.len && (a.ptr[i] == '-' || a.ptr[i] == '+')) minus = a.ptr[i++] == '-';
  if (i == a.len) return false;
  for (; i < a.len; i++) {
    unsigned d = a.ptr[i] - (unsigned)'0';
    if (d > 9 || v > (UINT64_MAX - d) / 10) return false;
    v = v * 10 + d;
  }
  if (v > (uint64_t)INT64_MAX + (minus ? 1 : 0)) return false;
  *out = minus ? (int64_t)(0 - v) : (int64_t)v;
  return true;
}

bool csfle__truthy(csfle__bytes a) { return csfle__eq_nocase(a, CSFLE__LIT("true")); }

static bool blank(uint8_t c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

csfle__bytes csfle__trim(csfle__bytes a)
{
  while (a.len && blank(a.ptr[0])) a.ptr++, a.len--;
  while (a.len && blank(a.ptr[a.len - 1])) a.len--;
  return a;
}
