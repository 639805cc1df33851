/* Runs a resolution over a value: one pass, one switch, no allocation once its memory has grown. See resolve.h. */
#include "core/schema/avro/resolve.h"

#include "core/base/alloc.h"
#include "core/base/secret.h"

#include <stdio.h>

typedef struct runner {
  const avro_resolution *r;
  csfle__walk           *w;
  csfle_buf             *out;
  csfle_error           *err;
  size_t                 depth, work; /* work: what is left of it */
} runner;

static csfle_status bad(const runner *n, const res_op *o, size_t offset, const char *what)
{
  csfle__bytes name = n->r->names[o->field];
  csfle__fail(n->err, CSFLE_E_DATUM, "%s at byte %zu", what, offset);
  if (n->err) n->err->offset = offset;
  if (name.len) csfle__where(n->err, "%.*s", CSFLE__FMT(name));
  return CSFLE_E_DATUM;
}

static csfle_status too_deep(const runner *n, const res_op *o, size_t offset)
{
  char what[64];
  snprintf(what, sizeof what, "nested deeper than %d levels", CSFLE__PLAN_MAX_DEPTH);
  return bad(n, o, offset, what);
}

/* The last pieces of the output in the reader's order: laid out behind them, then moved down. */
static csfle_status put_in_order(runner *n, const res_op *o)
{
  csfle_buf         *out = n->out;
  const uint32_t    *order = n->r->numbers + o->a;
  const csfle__span *marks = n->w->spans + n->w->count - o->b;
  size_t             from = marks[0].head, total = out->len - from;
  csfle_status       rc = csfle__buf_reserve(out, total, n->err);
  if (rc != CSFLE_OK) return rc;
  uint8_t *to = out->ptr + out->len;
  for (uint32_t i = 0; i < o->b; i++) {
    size_t head = marks[order[i]].head, end = order[i] + 1 < o->b ? marks[order[i] + 1].head : out->len;
    if (end > head) memcpy(to, out->ptr + head, end - head), to += end - head;
  }
  if (total) memcpy(out->ptr + from, out->ptr + out->len, total);
  if (total && out->flags & CSFLE_BUF_WIPE) csfle__wipe(out->ptr + out->len, total);
  n->w->count -= o->b;
  return CSFLE_OK;
}

static uint8_t *put_float(uint8_t *to, float f)
{
  uint32_t bits;
  memcpy(&bits, &f, 4);
  for (int i = 0; i < 4; i++) *to++ = (uint8_t)(bits >> 8 * i);
  return to;
}

static uint8_t *put_double(uint8_t *to, double d)
{
  uint64_t bits;
  memcpy(&bits, &d, 8);
  for (int i = 0; i < 8; i++) *to++ = (uint8_t)(bits >> 8 * i);
  return to;
}

static float get_float(const uint8_t *at)
{
  uint32_t bits = (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
  float    f;
  memcpy(&f, &bits, 4);
  return f;
}

static csfle_status run(runner *n, csfle__bytes in)
{
  const avro_resolution *r = n->r;
  const res_op          *o = r->ops;
  csfle__walk           *w = n->w;
  csfle_buf             *out = n->out;
  const uint8_t         *at = in.len ? in.ptr : (const uint8_t *)"", *start = at, *end = at + in.len, *q;
  uint8_t               *to = NULL, *limit = NULL;
  size_t                 empties = 0;
  const char            *why = NULL;
  csfle_status           rc;
  int64_t                v;

#define OFFSET       ((size_t)(at - start))
#define REFUSE(text) do { why = (text); goto refused; } while (0)
/* to .. limit is room in the buffer; its len is right whenever somebody else looks at it */
#define SYNC()   (out->len = (size_t)(to - out->ptr))
#define RESYNC() (to = out->ptr + out->len, limit = out->ptr + out->cap)
#define ROOM(size)                                                                                     \
  do {                                                                                                 \
    if (__builtin_expect((size_t)(limit - to) < (size_t)(size), 0)) {                                  \
      SYNC();                                                                                          \
      if ((rc = csfle__buf_reserve(out, (size_t)(size), n->err)) != CSFLE_OK) return rc;               \
      RESYNC();                                                                                        \
    }                                                                                                  \
  } while (0)
#define WORK(amount)                                                                                   \
  do {                                                                                                 \
    if ((size_t)(amount) > n->work) REFUSE("value takes too much work to resolve");                    \
    n->work -= (size_t)(amount);                                                                       \
  } while (0)
  /* the buffer exists from here on, so that no arithmetic is done on NULL */
  if ((rc = csfle__buf_reserve(out, in.len + 64, n->err)) != CSFLE_OK) return rc;
  RESYNC();
  for (;; o++) {
    switch ((res_code)o->code) {
    case RES_CALL:
      if (n->depth == CSFLE__PLAN_MAX_DEPTH) return too_deep(n, o, OFFSET);
      if (n->depth == w->stack_cap && csfle__grow(&w->stack, &w->stack_cap, n->depth + 1, sizeof(avro_frame)) != 0) return csfle__nomem(n->err);
      WORK(1);
      ((avro_frame *)w->stack)[n->depth++] = (avro_frame){ (uint32_t)(o - r->ops), 0, 0, NULL };
      o = r->ops + o->a - 1;
      break;
    case RES_JUMP: o = r->ops + o->a - 1; break;
    case RES_UNION:
      if (!(q = csfle__avro_varint(at, end, &v))) REFUSE("union index that does not end");
      if (v < 0 || v >= o->b || q - at > 5) REFUSE("union index out of range");
      at = q;
      o = r->ops + r->numbers[o->a + (uint32_t)v] - 1;
      break;
    case RES_FAIL: REFUSE("a value that the reader's schema has no place for");
    case RES_PUT:
      WORK(o->b);
      ROOM(o->b);
      memcpy(to, r->bytes + o->a, o->b), to += o->b;
      break;
    case RES_MARK:
      if (w->count == w->cap && csfle__grow((void **)&w->spans, &w->cap, w->count + 1, sizeof *w->spans) != 0) return csfle__nomem(n->err);
      w->spans[w->count++] = (csfle__span){ .head = (size_t)(to - out->ptr) };
      break;
    case RES_ORDER:
      SYNC();
      WORK(out->len - w->spans[w->count - o->b].head);
      if ((rc = put_in_order(n, o)) != CSFLE_OK) return rc;
      RESYNC();
      break;
    case RES_ENUM:
    case RES_SKIP_ENUM:
      if (!(q = csfle__avro_varint(at, end, &v))) REFUSE("enum that does not end");
      if (v < 0 || v >= o->b || q - at > 5) REFUSE("enum index out of range");
      if (o->code == RES_ENUM) {
        uint32_t index = r->numbers[o->a + (uint32_t)v];
        if (index == UINT32_MAX) REFUSE("a symbol that the reader's schema does not have");
        ROOM(10);
        to = csfle__avro_put_varint(to, index);
      }
      at = q;
      break;
    case RES_BOOLEAN:
    case RES_SKIP_BOOLEAN:
      if (at == end || *at > 1) REFUSE(at == end ? "boolean is missing" : "boolean is neither 0 nor 1");
      if (o->code == RES_BOOLEAN) {
        ROOM(1);
        *to++ = *at;
      }
      at++;
      break;
    case RES_INT:
    case RES_INT_FLOAT:
    case RES_INT_DOUBLE:
    case RES_SKIP_INT:
      if (!(q = csfle__avro_varint(at, end, &v))) REFUSE("int that does not end");
      if (v != (int32_t)v || q - at > 5) REFUSE("int out of range");
      at = q;
      ROOM(10);
      if (o->code == RES_INT) to = csfle__avro_put_varint(to, v);
      else if (o->code == RES_INT_FLOAT) to = put_float(to, (float)v);
      else if (o->code == RES_INT_DOUBLE) to = put_double(to, (double)v);
      break;
    case RES_LONG:
    case RES_LONG_FLOAT:
    case RES_LONG_DOUBLE:
    case RES_SKIP_LONG:
      if (!(q = csfle__avro_varint(at, end, &v))) REFUSE("long that does not end");
      at = q;
      ROOM(10);
      if (o->code == RES_LONG) to = csfle__avro_put_varint(to, v);
      else if (o->code == RES_LONG_FLOAT) to = put_float(to, (float)v);
      else if (o->code == RES_LONG_DOUBLE) to = put_double(to, (double)v);
      break;
    case RES_FLOAT_DOUBLE:
      if (end - at < 4) REFUSE("value of fixed size larger than the bytes left");
      ROOM(8);
      to = put_double(to, (double)get_float(at));
      at += 4;
      break;
    case RES_FIXED:
    case RES_SKIP_FIXED:
      if (o->a > (size_t)(end - at)) REFUSE("value of fixed size larger than the bytes left");
      if (o->code == RES_FIXED) {
        ROOM(o->a);
        memcpy(to, at, o->a), to += o->a;
      }
      at += o->a;
      break;
    case RES_BYTES:
    case RES_SKIP_BYTES:
      if (!(q = csfle__avro_varint(at, end, &v))) REFUSE("length that does not end");
      if (v < 0 || (uint64_t)v > (uint64_t)(end - q)) REFUSE("length larger than the bytes left");
      if (o->code == RES_BYTES) {
        ROOM((size_t)v + 10);
        to = csfle__avro_put_varint(to, v);
        memcpy(to, q, (size_t)v), to += v;
      }
      at = q + v;
      break;
    case RES_ARRAY:
    case RES_MAP:
    case RES_SKIP_ARRAY:
    case RES_SKIP_MAP:
      if (n->depth == CSFLE__PLAN_MAX_DEPTH) return too_deep(n, o, OFFSET);
      if (n->depth == w->stack_cap && csfle__grow(&w->stack, &w->stack_cap, n->depth + 1, sizeof(avro_frame)) != 0) return csfle__nomem(n->err);
      ((avro_frame *)w->stack)[n->depth++] = (avro_frame){ (uint32_t)(o - r->ops), 1, 1, NULL }; /* as if a block had ended */
      goto next_item;
    case RES_END: {
      if (n->depth == 0) {
        SYNC();
        w->consumed = OFFSET;
        return CSFLE_OK;
      }
      const avro_frame *f = &((avro_frame *)w->stack)[n->depth - 1];
      if (!f->header) {
        o = r->ops + f->pc;
        n->depth--;
        break;
      }
      goto next_item;
    }
    }
    continue;
  next_item: {
    avro_frame   *f = &((avro_frame *)w->stack)[n->depth - 1];
    const res_op *loop = r->ops + f->pc;
    bool          silent = loop->code == RES_SKIP_ARRAY || loop->code == RES_SKIP_MAP;
    bool          map = loop->code == RES_MAP || loop->code == RES_SKIP_MAP;
    o = loop; /* for errors */
    if (--f->left == 0) {
      if (f->end && f->end != at) REFUSE("block whose size is not that of its items");
      if ((why = csfle__avro_block(&at, end, &f->left, &f->end))) goto refused;
      if (!silent) {
        ROOM(10);
        to = csfle__avro_put_varint(to, (int64_t)f->left);
      }
      if (f->left == 0) {
        n->depth--;
        continue;
      }
      if (loop->b && !map) {
        if (f->end && f->end != at) REFUSE("block of items without bytes says that it has some");
        if (f->left > CSFLE__PLAN_MAX_EMPTY_ITEMS - empties) REFUSE("more than 1000000 items that take no bytes");
        empties += f->left;
      } else if (f->left > (uint64_t)(end - at)) REFUSE("block of more items than bytes left");
    }
    if (f->end && at >= f->end && (map || !loop->b)) REFUSE("block whose size is not that of its items");
    if (map) {
      if (!(q = csfle__avro_varint(at, end, &v))) REFUSE("length of a map key that does not end");
      if (v < 0 || (uint64_t)v > (uint64_t)(end - q)) REFUSE("map key longer than the bytes left");
      if (!silent) {
        ROOM((size_t)v + 10);
        to = csfle__avro_put_varint(to, v);
        memcpy(to, q, (size_t)v), to += v;
      }
      at = q + v;
    }
    o = r->ops + loop->a - 1;
  }
  }
refused:
  return bad(n, o, OFFSET, why);
}

csfle_status csfle__avro_resolve(const csfle__resolution *base, csfle__bytes in, csfle__walk *w, csfle_buf *out, csfle_error *err)
{
  runner n = { .r = (const avro_resolution *)(const void *)base, .w = w, .out = out, .err = err,
               .work = CSFLE__RESOLVE_MAX_WORK + (in.len < SIZE_MAX / 128 ? in.len * 64 : 0) };
  size_t start = out->len;
  w->count = 0, w->consumed = 0;
  csfle_status rc = run(&n, in);
  w->count = 0;
  if (rc != CSFLE_OK) out->len = start;
  return rc;
}
