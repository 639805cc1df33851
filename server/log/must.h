/**
 * Memory of the server's state. A record that is applied by half is worse than a process that ends and replays its log,
 * so running out of memory in these calls ends the process with a line that says so. What a client can make large
 * (bodies, answers) is bounded before it gets here.
 */
#ifndef REGISTRY_LOG_MUST_H
#define REGISTRY_LOG_MUST_H

#include "core/base/alloc.h"
#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/map.h"

_Noreturn void registry_out_of_memory(void);

static inline void *must(void *p)
{
  if (!p) registry_out_of_memory();
  return p;
}
static inline void must_ok(csfle_status s)
{
  if (s != CSFLE_OK) registry_out_of_memory();
}
static inline void *must_calloc(size_t size) { return must(csfle__calloc(1, size)); }
static inline csfle__bytes must_copy(csfle__bytes b) { return csfle__view(must(csfle__dup(b.ptr, b.len)), b.len); }
static inline void must_grow(void **p, size_t *cap, size_t need, size_t item)
{
  if (csfle__grow(p, cap, need, item) != 0) registry_out_of_memory();
}
static inline void must_map_put(csfle__map *m, csfle__bytes key, void *value)
{
  if (csfle__map_put(m, key, value, NULL) != 0) registry_out_of_memory();
}
/* appending to an unlimited csfle_buf */
static inline void put(csfle_buf *b, const char *text) { must_ok(csfle__buf_puts(b, text, NULL)); }
static inline void put_bytes(csfle_buf *b, csfle__bytes v) { must_ok(csfle__buf_put(b, v.ptr, v.len, NULL)); }
static inline void put_json(csfle_buf *b, csfle__bytes v) { must_ok(csfle__json_put_string(b, v, false, NULL)); }
void put_int(csfle_buf *b, int64_t n);

#endif
