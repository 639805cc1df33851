/*
 * Runs a plan over a value: every byte is looked at as the schema says, selected leaves become spans. The hot path of
 * serializing and deserializing: one switch, no function call for a field, no allocation once the walk has grown.
 */
#include "core/schema/avro/plan.h"

#include "core/base/alloc.h"

#include <stdio.h>

typedef avro_frame frame;

static csfle_status bad(const avro_plan *p, const avro_op *o, size_t offset, csfle_error *err, const char *what)
{
  csfle__fail(err, CSFLE_E_DATUM, "%s at byte %zu", what, offset);
  if (!err) return CSFLE_E_DATUM;
  err->offset = offset;
  csfle__bytes name = p->names[p->fields[o - p->ops]];
  if (name.len) csfle__where(err, "%.*s", CSFLE__FMT(name));
  return CSFLE_E_DATUM;
}

static csfle_status too_deep(const avro_plan *p, const avro_op *o, size_t offset, csfle_error *err)
{
  bad(p, o, offset, err, "");
  if (err) snprintf(err->msg, sizeof err->msg, "nested deeper than %d levels at byte %zu", CSFLE__PLAN_MAX_DEPTH, offset);
  return CSFLE_E_DATUM;
}

static int more_spans(csfle__walk *w) { return csfle__grow((void **)&w->spans, &w->cap, w->count + 1, sizeof *w->spans); }
static int more_frames(csfle__walk *w, size_t depth)
{
  return csfle__grow(&w->stack, &w->stack_cap, depth + 1, sizeof(frame));
}

const char *csfle__avro_block(const uint8_t **at, const uint8_t *end, uint64_t *count, const uint8_t **block_end)
{
  int64_t        n, size;
  const uint8_t *q = csfle__avro_varint(*at, end, &n);
  *block_end = NULL;
  if (!q) return "block count that does not end";
  *count = (uint64_t)n;
  if (n < 0) {
    if (n == INT64_MIN) return "block count out of range";
    *count = (uint64_t)-n;
    q = csfle__avro_varint(q, end, &size);
    if (!q) return "block size that does not end";
    if (size < 0 || (uint64_t)size > (uint64_t)(end - q)) return "block larger than the bytes left";
    *block_end = q + size;
  }
  *at = q;
  return NULL;
}

csfle_status csfle__avro_walk(const csfle__plan *base, csfle__bytes in, csfle__walk *w, csfle_error *err)
{
  const avro_plan *p = (const avro_plan *)(const void *)base;
  const avro_op   *o = p->ops;
  const uint8_t   *at = in.len ? in.ptr : (const uint8_t *)"", *end = at + in.len, *mark = at, *q;
  size_t           depth = 0, empties = 0;
  const char      *why = NULL;
  int64_t          v;

  w->count = 0, w->consumed = 0;

#define OFFSET       ((size_t)(at - (end - in.len)))
#define REFUSE(text) do { why = (text); goto refused; } while (0)
  for (;; o++) {
    switch ((avro_code)o->code) {
    case OP_LEAF:
    case OP_BYTES:
      if (!(q = csfle__avro_varint(at, end, &v))) REFUSE("length that does not end");
      if (v < 0 || (uint64_t)v > (uint64_t)(end - q)) REFUSE("length larger than the bytes left");
      if (o->code == OP_LEAF) {
        if (__builtin_expect(w->count == w->cap, 0) && more_spans(w) != 0) return csfle__nomem(err);
        w->spans[w->count++] = (csfle__span){ OFFSET, OFFSET + (size_t)(q - at), (size_t)v, o->a, 0 };
      }
      at = q + v;
      break;
    case OP_INT:
      if (!(q = csfle__avro_varint(at, end, &v))) REFUSE("int that does not end");
      if (v != (int32_t)v || q - at > 5) REFUSE("int out of range");
      at = q;
      break;
    case OP_LONG:
      if (!(q = csfle__avro_varint(at, end, &v))) REFUSE("long that does not end");
      at = q;
      break;
    case OP_SKIP:
      if (o->a > (size_t)(end - at)) REFUSE("value of fixed size larger than the bytes left");
      at += o->a;
      break;
    case OP_BOOLEAN:
      if (at == end || *at > 1) REFUSE(at == end ? "boolean is missing" : "boolean is neither 0 nor 1");
      at++;
      break;
    case OP_ENUM:
      if (!(q = csfle__avro_varint(at, end, &v))) REFUSE("enum that does not end");
      if (v < 0 || v >= o->a || q - at > 5) REFUSE("enum index out of range");
      at = q;
      break;
    case OP_MARK: mark = at; break;
    case OP_MARKED:
      if (w->count == w->cap && more_spans(w) != 0) return csfle__nomem(err);
      w->spans[w->count++] = (csfle__span){ OFFSET - (size_t)(at - mark), OFFSET - (size_t)(at - mark), (size_t)(at - mark), o->a, 0 };
      break;
    case OP_UNION:
      if (!(q = csfle__avro_varint(at, end, &v))) REFUSE("union index that does not end");
      if (v < 0 || v >= o->b || q - at > 5) REFUSE("union index out of range");
      at = q;
      o = p->ops + p->targets[o->a + (uint32_t)v] - 1;
      break;
    case OP_JUMP: o = p->ops + o->a - 1; break;
    case OP_CALL:
      if (depth == CSFLE__PLAN_MAX_DEPTH) return too_deep(p, o, OFFSET, err);
      if (depth == w->stack_cap && more_frames(w, depth) != 0) return csfle__nomem(err);
      ((frame *)w->stack)[depth++] = (frame){ (uint32_t)(o - p->ops), 0, 0, NULL };
      o = p->ops + o->a - 1;
      break;
    case OP_END:
      if (depth == 0) {
        w->consumed = OFFSET;
        return CSFLE_OK;
      }
      o = p->ops + ((frame *)w->stack)[--depth].pc;
      break;
    case OP_EMPTIES:
      for (;;) {
        uint64_t       count;
        const uint8_t *block_end;
        if ((why = csfle__avro_block(&at, end, &count, &block_end))) goto refused;
        if (count == 0) break;
        if (block_end && block_end != at) REFUSE("block of items without bytes says that it has some");
        if (count > CSFLE__PLAN_MAX_EMPTY_ITEMS - empties) REFUSE("more than 1000000 items that take no bytes");
        empties += count;
      }
      break;
    case OP_ARRAY:
    case OP_MAP: {
      if (depth == CSFLE__PLAN_MAX_DEPTH) return too_deep(p, o, OFFSET, err);
      if (depth == w->stack_cap && more_frames(w, depth) != 0) return csfle__nomem(err);
      /* as if a block had ended: OP_NEXT of this loop reads the first header */
      ((frame *)w->stack)[depth++] = (frame){ (uint32_t)(o - p->ops), 0, 1, NULL };
      o = p->ops + o->a - 2;
      break;
    }
    case OP_NEXT: {
      frame *f = &((frame *)w->stack)[depth - 1];
      if (--f->left == 0) {
        const avro_op *loop = p->ops + o->a;
        if (f->end && f->end != at) REFUSE("block whose size is not that of its items");
        /* a header with nothing selected behind it stays as it is */
        if (f->header && f->header == w->count) w->count--;
        f->header = 0;
        const uint8_t *from = at;
        if ((why = csfle__avro_block(&at, end, &f->left, &f->end))) goto refused;
        if (f->left == 0) {
          depth--;
          break;
        }
        if (f->left > (uint64_t)(end - at)) REFUSE("block of more items than bytes left");
        if (f->end && loop->b) {
          if (w->count == w->cap && more_spans(w) != 0) return csfle__nomem(err);
          w->spans[w->count++] = (csfle__span){ OFFSET - (size_t)(at - from), OFFSET, 0, 0, 1 };
          f->header = (uint32_t)w->count;
        }
      }
      if (f->end && at >= f->end) REFUSE("block whose size is not that of its items");
      o = p->ops + o->a;
      if (o->code == OP_MAP) {
        if (!(q = csfle__avro_varint(at, end, &v))) REFUSE("length of a map key that does not end");
        if (v < 0 || (uint64_t)v > (uint64_t)(end - q)) REFUSE("map key longer than the bytes left");
        at = q + v;
      }
      break;
    }
    }
  }
refused:
  return bad(p, o, OFFSET, err, why);
}
