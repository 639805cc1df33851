/**
 * csfle__bytes: a borrowed view of bytes, passed by value. Nobody frees one; it lives as long as what it looks at.
 */
#ifndef CSFLE_BASE_BYTES_H
#define CSFLE_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct csfle__bytes {
  const uint8_t *ptr; /**< may be NULL when len is 0 */
  size_t         len;
} csfle__bytes;

/** View of a string literal, without its final NUL; NULs inside count. */
#define CSFLE__LIT(text) ((csfle__bytes){ (const uint8_t *)(text), sizeof(text) - 1 })
#define CSFLE__NONE      ((csfle__bytes){ NULL, 0 })
/** For printf("%.*s", CSFLE__FMT(b)). */
#define CSFLE__FMT(b) (int)(b).len, ((b).len ? (const char *)(b).ptr : "")

/** View of @p len bytes at @p ptr, which may be NULL when there are none. */
static inline csfle__bytes csfle__view(const void *ptr, size_t len)
{
  return (csfle__bytes){ (const uint8_t *)ptr, len };
}

/** View of a NUL-terminated text; NULL gives the empty view. */
static inline csfle__bytes csfle__str(const char *text)
{
  return text ? csfle__view(text, strlen(text)) : CSFLE__NONE;
}

/** Equal bytes. Not for secrets: use csfle__secret_equal. */
static inline bool csfle__eq(csfle__bytes a, csfle__bytes b)
{
  return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/** The bytes of a NUL-terminated text. */
static inline bool csfle__eq_str(csfle__bytes a, const char *text) { return csfle__eq(a, csfle__str(text)); }

/** Order of unsigned bytes, a prefix first: <0, 0, >0. */
static inline int csfle__cmp(csfle__bytes a, csfle__bytes b)
{
  size_t n = a.len < b.len ? a.len : b.len;
  int    d = n ? memcmp(a.ptr, b.ptr, n) : 0;
  return d ? d : (a.len > b.len) - (a.len < b.len);
}

/** Whether @p a begins with @p prefix; every text begins with the empty one. */
static inline bool csfle__starts(csfle__bytes a, csfle__bytes prefix)
{
  return a.len >= prefix.len && (prefix.len == 0 || memcmp(a.ptr, prefix.ptr, prefix.len) == 0);
}

/** The part from @p off on; empty when @p off is past the end. */
static inline csfle__bytes csfle__from(csfle__bytes a, size_t off)
{
  return off >= a.len ? CSFLE__NONE : csfle__view(a.ptr + off, a.len - off);
}

/** ASCII letters compared without regard to case. */
bool csfle__eq_nocase(csfle__bytes a, csfle__bytes b);
/** Order of UTF-16 code units, as Java's String.compareTo; @p a and @p b are UTF-8. */
int csfle__cmp_utf16(csfle__bytes a, csfle__bytes b);
/** Whether @p a is well-formed UTF-8 (no surrogates, no over-long forms, at most U+10FFFF). */
bool csfle__utf8_valid(csfle__bytes a);
/** Decodes one code point of valid or invalid UTF-8 at @p *pos and moves on; a bad byte gives -1 and moves one byte. */
int32_t csfle__utf8_next(csfle__bytes a, size_t *pos);
/** Decimal int64 with optional sign, whole of @p a; false when it is not one or does not fit. */
bool csfle__parse_i64(csfle__bytes a, int64_t *out);
/** "true" in any case is true, everything else false: how the registry reads query booleans. */
bool csfle__truthy(csfle__bytes a);
/** Without spaces, tabs, CR and LF at both ends. */
csfle__bytes csfle__trim(csfle__bytes a);

/** Four bytes, most significant first: schema ids and DEK versions on the wire. */
static inline uint32_t csfle__get_u32be(const uint8_t *p)
{
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline void csfle__put_u32be(uint8_t *p, uint32_t v)
{
  p[0] = (uint8_t)(v >> 24), p[1] = (uint8_t)(v >> 16), p[2] = (uint8_t)(v >> 8), p[3] = (uint8_t)v;
}

#endif
