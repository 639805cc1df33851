/**
 * The program that walks Avro data, private to this folder.
 *
 * A schema becomes one array of instructions: the root first, then each record that is called as a subroutine. Types
 * whose values take no bytes (null, fixed of 0, records of nothing else) become no instruction at all; every other type
 * takes at least one byte, so the time of a walk is bounded by the bytes walked, whatever the schema.
 */
#ifndef CSFLE_SCHEMA_AVRO_PLAN_H
#define CSFLE_SCHEMA_AVRO_PLAN_H

#include "core/schema/avro/avro.h"
#include "core/schema/plan.h"

typedef enum avro_code {
  OP_END,     /* of the root or a subroutine */
  OP_SKIP,    /* a: bytes of fixed size */
  OP_BOOLEAN, OP_INT, OP_LONG,
  OP_BYTES,   /* string or bytes */
  OP_ENUM,    /* a: symbols */
  OP_LEAF,    /* a: leaf; string or bytes that is selected */
  OP_MARK,    /* a selected value of another type begins */
  OP_MARKED,  /* a: leaf; it ended */
  OP_UNION,   /* a: first entry in targets, b: branches */
  OP_JUMP,    /* a: target */
  OP_CALL,    /* a: target */
  OP_ARRAY, OP_MAP, /* a: target behind the loop, b: 1 when leaves are inside */
  OP_EMPTIES, /* an array whose items take no bytes */
  OP_NEXT     /* end of an array's or map's body: a: its start */
} avro_code;

typedef struct avro_op {
  uint32_t code, a, b;
} avro_op;

/** A level of what runs over a value, in csfle__walk.stack: a walk and a resolution share the memory. */
typedef struct avro_frame {
  uint32_t       pc;     /* where to go on: behind the call; the body of the loop */
  uint32_t       header; /* walk: 1 + index of the span of the block's header, 0 none; resolution: 1 a loop */
  uint64_t       left;   /* items of the block still to come, the present one included */
  const uint8_t *end;    /* where the block says it ends, NULL unsaid */
} avro_frame;

typedef struct avro_plan {
  csfle__plan   base;
  csfle__arena  arena;
  avro_op      *ops;
  uint32_t     *targets; /* of unions */
  uint32_t     *fields;  /* of each instruction: index into names, for errors */
  csfle__bytes *names;   /* full names of fields; 0 is "" */
} avro_plan;

/** Zigzag varint of up to 10 bytes at p; NULL when it ends late or past @p end. */
static inline const uint8_t *csfle__avro_varint(const uint8_t *p, const uint8_t *end, int64_t *v)
{
  uint64_t u = 0;
  if (__builtin_expect(p < end && *p < 0x80, 1)) {
    u = *p++;
  } else {
    unsigned shift = 0;
    for (;; shift += 7) {
      if (p == end || shift > 63) return NULL;
      uint8_t c = *p++;
      if (shift == 63 && c > 1) return NULL; /* bits that readers drop: they would disagree about the value */
      u |= (uint64_t)(c & 0x7F) << shift;
      if (c < 0x80) break;
    }
  }
  *v = (int64_t)(u >> 1 ^ (~(u & 1) + 1));
  return p;
}
static inline size_t csfle__avro_varint_size(int64_t v)
{
  uint64_t u = (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
  size_t   n = 1;
  while (u >= 0x80) u >>= 7, n++;
  return n;
}
static inline uint8_t *csfle__avro_put_varint(uint8_t *p, int64_t v)
{
  uint64_t u = (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
  for (; u >= 0x80; u >>= 7) *p++ = (uint8_t)(u | 0x80);
  *p++ = (uint8_t)u;
  return p;
}

/** Fills zero[id] of every record below @p root: 1 when its values take no bytes. False: no memory. */
bool csfle__avro_zero_table(const csfle__avro_type *root, uint32_t named_count, uint8_t *zero);
/** Whether values of @p t take no bytes, once the table is there. */
bool csfle__avro_takes_nothing(const csfle__avro_type *t, const uint8_t *zero);

/**
 * Reads the header of an array's or map's next block at *at: *count items, 0 ends it. A block of a negative count says
 * its bytes too: *block_end then, else NULL. @return NULL, or what is wrong with it
 */
const char *csfle__avro_block(const uint8_t **at, const uint8_t *end, uint64_t *count, const uint8_t **block_end);

/* what csfle__format_avro does for core/schema/plan.h and text.h: see there */
csfle_status csfle__avro_plan_compile(csfle__plan **out, const csfle__schema *s, const csfle__selection *sel, csfle_error *err);
void         csfle__avro_plan_free(csfle__plan *p);
csfle_status csfle__avro_walk(const csfle__plan *p, csfle__bytes in, csfle__walk *w, csfle_error *err);
csfle_status csfle__avro_splice(const csfle__plan *p, csfle__bytes in, const csfle__walk *w, const csfle__replacement *r,
                                csfle_buf *out, csfle_error *err);
csfle_status csfle__avro_to_json(const csfle__schema *s, csfle__bytes in, unsigned flags, csfle_buf *out, size_t *consumed,
                                 csfle_error *err);
csfle_status csfle__avro_from_json(const csfle__schema *s, csfle__bytes json, csfle_buf *out, csfle_error *err);

#endif
