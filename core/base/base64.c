/* Base64 without lookup tables: the data may be a key. */
#include "core/base/base64.h"

/* arithmetic on ranges instead of a table; the compiler makes it branch free */
static char enc(unsigned v)
{
  unsigned c = v + 'A';
  c += (unsigned)-(v > 25) & 6u;        /* 'a' - 'Z' - 1 */
  c -= (unsigned)-(v > 51) & 75u;       /* to '0' */
  c -= (unsigned)-(v > 61) & 15u;       /* to '+' */
  c += (unsigned)-(v > 62) & 3u;        /* to '/' */
  return (char)c;
}

static unsigned in_range(unsigned c, unsigned lo, unsigned hi) { return (unsigned)-(c >= lo && c <= hi); }

/* 0..63, or 64 and more for a character outside the alphabet */
static unsigned dec(unsigned c)
{
  unsigned v = 64;
  v ^= in_range(c, 'A', 'Z') & (64 ^ (c - 'A'));
  v ^= in_range(c, 'a', 'z') & (64 ^ (c - 'a' + 26));
  v ^= in_range(c, '0', '9') & (64 ^ (c - '0' + 52));
  v ^= in_range(c, '+', '+') & (64 ^ 62u);
  v ^= in_range(c, '/', '/') & (64 ^ 63u);
  return v;
}

void csfle__base64_encode(csfle__bytes in, char *out)
{
  size_t i = 0;
  for (; i + 3 <= in.len; i += 3, out += 4) {
    unsigned v = (unsigned)in.ptr[i] << 16 | (unsigned)in.ptr[i + 1] << 8 | in.ptr[i + 2];
    out[0] = enc(v >> 18), out[1] = enc(v >> 12 & 63), out[2] = enc(v >> 6 & 63), out[3] = enc(v & 63);
  }
  if (i < in.len) {
    unsigned v = (unsigned)in.ptr[i] << 16 | (i + 1 < in.len ? (unsigned)in.ptr[i + 1] << 8 : 0);
    out[0] = enc(v >> 18), out[1] = enc(v >> 12 & 63), out[2] = i + 1 < in.len ? enc(v >> 6 & 63) : '=', out[3] = '=';
  }
}

bool csfle__base64_decode(csfle__bytes in, uint8_t *out, size_t *out_len)
{
  size_t   n = in.len, o = 0, i = 0;
  unsigned bad = 0;

  *out_len = 0;
  if (n % 4 == 0 && n) {
    if (in.ptr[n - 1] == '=') n--;
    if (n % 4 == 3 && in.ptr[n - 1] == '=') n--;
  }
  if (n % 4 == 1) return false;
  for (; i + 4 <= n; i += 4) {
    unsigned a = dec(in.ptr[i]), b = dec(in.ptr[i + 1]), c = dec(in.ptr[i + 2]), d = dec(in.ptr[i + 3]);
    unsigned v = a << 18 | b << 12 | c << 6 | d;
    bad |= (a | b | c | d) & 64;
    out[o++] = (uint8_t)(v >> 16), out[o++] = (uint8_t)(v >> 8), out[o++] = (uint8_t)v;
  }
  if (i < n) {
    unsigned a = dec(in.ptr[i]), b = dec(in.ptr[i + 1]), c = i + 2 < n ? dec(in.ptr[i + 2]) : 0;
    bad |= (a | b | c) & 64;
    out[o++] = (uint8_t)(a << 2 | b >> 4);
    if (i + 2 < n) out[o++] = (uint8_t)(b << 4 | c >> 2);
  }
  if (bad) return false;
  *out_len = o;
  return true;
}
