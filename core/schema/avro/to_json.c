/* An encoded value as the JSON encoding of Avro. A stack on the heap; what is refused is what a walk refuses. */
#include "core/schema/avro/plan.h"

#include "core/base/alloc.h"
#include "core/schema/text.h"

#include <math.h>
#include <stdio.h>

typedef struct frame {
  const csfle__avro_type *t; /* record, array, map; a union: its wrapper is open */
  size_t                  next;
  uint64_t                left;
  const uint8_t          *end;
} frame;

typedef struct reader {
  const csfle__avro_schema *s;
  csfle_buf                *out;
  csfle_error              *err;
  const uint8_t            *start, *at, *end;
  frame                    *stack;
  size_t                    depth, cap, empties;
  bool                      plain;
} reader;

static csfle_status refuse(reader *r, const char *why)
{
  csfle__fail(r->err, CSFLE_E_DATUM, "%s at byte %zu", why, (size_t)(r->at - r->start));
  if (r->err) r->err->offset = (uint64_t)(r->at - r->start);
  for (size_t i = r->depth; i--;) {
    const frame *f = &r->stack[i];
    if (f->t->kind != AVRO_RECORD || f->next == 0 || f->next > f->t->count) continue;
    csfle__where(r->err, "%.*s.%.*s", CSFLE__FMT(f->t->full), CSFLE__FMT(f->t->fields[f->next - 1].name));
    break;
  }
  return CSFLE_E_DATUM;
}

static csfle_status text(reader *r, csfle__bytes t)
{
  if (!csfle__utf8_valid(t)) return refuse(r, "string is not valid UTF-8");
  return csfle__json_put_string(r->out, t, false, r->err);
}

/* bytes as characters U+0000 .. U+00FF */
static csfle_status latin(reader *r, csfle__bytes t)
{
  csfle_status rc = csfle__buf_reserve(r->out, t.len + 2, r->err);
  if (rc == CSFLE_OK) rc = csfle__buf_putc(r->out, '"', r->err);
  for (size_t i = 0; i < t.len && rc == CSFLE_OK; i++) {
    uint8_t c = t.ptr[i], two[2] = { (uint8_t)(0xC0 | c >> 6), (uint8_t)(0x80 | (c & 0x3F)) };
    if (c < 0x20 || c == 0x7F) rc = csfle__buf_printf(r->out, r->err, "\\u00%02X", c);
    else if (c >= 0x80) rc = csfle__buf_put(r->out, two, 2, r->err);
    else {
      if (c == '"' || c == '\\') rc = csfle__buf_putc(r->out, '\\', r->err);
      if (rc == CSFLE_OK) rc = csfle__buf_putc(r->out, c, r->err);
    }
  }
  return rc == CSFLE_OK ? csfle__buf_putc(r->out, '"', r->err) : rc;
}

static csfle_status take(reader *r, size_t n, csfle__bytes *out)
{
  if (n > (size_t)(r->end - r->at)) return refuse(r, "value larger than the bytes left");
  *out = csfle__view(r->at, n);
  r->at += n;
  return CSFLE_OK;
}

static csfle_status take_varint(reader *r, int64_t lo, int64_t hi, int64_t *v, const char *why)
{
  const uint8_t *q = csfle__avro_varint(r->at, r->end, v);
  if (!q) return refuse(r, "varint that does not end");
  if (*v < lo || *v > hi || (hi <= INT32_MAX && q - r->at > 5)) return refuse(r, why);
  r->at = q;
  return CSFLE_OK;
}

static csfle_status take_sized(reader *r, csfle__bytes *out)
{
  int64_t      n = 0;
  csfle_status rc = take_varint(r, 0, INT64_MAX, &n, "length is negative");
  return rc == CSFLE_OK ? take(r, (uint64_t)n > SIZE_MAX ? SIZE_MAX : (size_t)n, out) : rc;
}

static csfle_status real(reader *r, bool single)
{
  csfle__bytes b = CSFLE__NONE;
  uint64_t     bits = 0;
  float        f;
  double       d;
  char         digits[40];
  csfle_status rc = take(r, single ? 4 : 8, &b);
  if (rc != CSFLE_OK) return rc;
  for (size_t i = b.len; i--;) bits = bits << 8 | b.ptr[i];
  uint32_t low = (uint32_t)bits;
  if (single) memcpy(&f, &low, 4), d = (double)f;
  else memcpy(&d, &bits, 8);
  size_t n = csfle__avro_print_double(d, single, digits);
  if (!isfinite(d)) return csfle__json_put_string(r->out, csfle__view(digits, n), false, r->err);
  return csfle__buf_put(r->out, digits, n, r->err);
}

static csfle_status scalar(reader *r, const csfle__avro_type *t)
{
  csfle__bytes b = CSFLE__NONE;
  int64_t      v = 0;
  csfle_status rc;
  switch (t->kind) {
  case AVRO_NULL: return csfle__buf_puts(r->out, "null", r->err);
  case AVRO_BOOLEAN:
    if ((rc = take(r, 1, &b)) != CSFLE_OK) return rc;
    if (*b.ptr > 1) return r->at--, refuse(r, "boolean is neither 0 nor 1");
    return csfle__buf_puts(r->out, *b.ptr ? "true" : "false", r->err);
  case AVRO_INT:
  case AVRO_LONG:
    if (t->kind == AVRO_INT) rc = take_varint(r, INT32_MIN, INT32_MAX, &v, "int out of range");
    else rc = take_varint(r, INT64_MIN, INT64_MAX, &v, "");
    return rc == CSFLE_OK ? csfle__buf_printf(r->out, r->err, "%lld", (long long)v) : rc;
  case AVRO_FLOAT: return real(r, true);
  case AVRO_DOUBLE: return real(r, false);
  case AVRO_STRING: return (rc = take_sized(r, &b)) == CSFLE_OK ? text(r, b) : rc;
  case AVRO_BYTES: return (rc = take_sized(r, &b)) == CSFLE_OK ? latin(r, b) : rc;
  case AVRO_FIXED: return (rc = take(r, t->size, &b)) == CSFLE_OK ? latin(r, b) : rc;
  default: /* enum */
    rc = take_varint(r, 0, (int64_t)t->count - 1, &v, "enum index out of range");
    return rc == CSFLE_OK ? csfle__json_put_string(r->out, t->symbols[v], false, r->err) : rc;
  }
}

static csfle_status push(reader *r, const csfle__avro_type *t)
{
  if (r->depth == CSFLE__PLAN_MAX_DEPTH) {
    char why[64];
    snprintf(why, sizeof why, "nested deeper than %d levels", CSFLE__PLAN_MAX_DEPTH);
    return refuse(r, why);
  }
  if (csfle__grow((void **)&r->stack, &r->cap, r->depth + 1, sizeof *r->stack) != 0) return csfle__nomem(r->err);
  r->stack[r->depth++] = (frame){ t, 0, 0, NULL };
  return CSFLE_OK;
}

/* a value of no bytes that is not bounded by the fields around it */
static csfle_status count_empty(reader *r, uint64_t n)
{
  if (n > CSFLE__PLAN_MAX_EMPTY_ITEMS - r->empties) return refuse(r, "more than 1000000 items that take no bytes");
  r->empties += (size_t)n;
  return CSFLE_OK;
}

static csfle_status begin(reader *r, const csfle__avro_type *t)
{
  csfle_status rc;
  if (t->kind == AVRO_UNION) {
    int64_t v = 0;
    if ((rc = take_varint(r, 0, (int64_t)t->count - 1, &v, "union index out of range")) != CSFLE_OK) return rc;
    const csfle__avro_type *branch = t->branches[v];
    if (branch->kind != AVRO_NULL && !r->plain) {
      if ((rc = csfle__buf_putc(r->out, '{', r->err)) != CSFLE_OK) return rc;
      if ((rc = csfle__json_put_string(r->out, csfle__avro_branch_name(branch), false, r->err)) != CSFLE_OK) return rc;
      if ((rc = csfle__buf_putc(r->out, ':', r->err)) != CSFLE_OK) return rc;
      if ((rc = push(r, t)) != CSFLE_OK) return rc;
    }
    t = branch;
  }
  if (t->kind != AVRO_RECORD && t->kind != AVRO_ARRAY && t->kind != AVRO_MAP) return scalar(r, t);
  if (t->kind == AVRO_RECORD && r->s->zero[t->id] == 1 && (rc = count_empty(r, 1)) != CSFLE_OK) return rc;
  if ((rc = push(r, t)) != CSFLE_OK) return rc;
  return csfle__buf_putc(r->out, t->kind == AVRO_ARRAY ? '[' : '{', r->err);
}

static csfle_status next_item(reader *r, frame *f)
{
  csfle_status rc = CSFLE_OK;
  csfle__bytes key = CSFLE__NONE;
  bool         array = f->t->kind == AVRO_ARRAY;
  if (f->left == 0) {
    const char *why;
    if (f->end && f->end != r->at) return refuse(r, "block whose size is not that of its items");
    if ((why = csfle__avro_block(&r->at, r->end, &f->left, &f->end))) return refuse(r, why);
    if (f->left == 0) {
      r->depth--;
      return csfle__buf_putc(r->out, array ? ']' : '}', r->err);
    }
    if (array && csfle__avro_takes_nothing(f->t->item, r->s->zero)) rc = count_empty(r, f->left);
    else if (f->left > (uint64_t)(r->end - r->at)) rc = refuse(r, "block of more items than bytes left");
    if (rc != CSFLE_OK) return rc;
  }
  f->left--;
  if (f->next++ && (rc = csfle__buf_putc(r->out, ',', r->err)) != CSFLE_OK) return rc;
  if (!array) {
    if ((rc = take_sized(r, &key)) != CSFLE_OK) return rc;
    if ((rc = text(r, key)) != CSFLE_OK) return rc;
    if ((rc = csfle__buf_putc(r->out, ':', r->err)) != CSFLE_OK) return rc;
  }
  return begin(r, f->t->item);
}

static csfle_status step(reader *r)
{
  frame       *f = &r->stack[r->depth - 1];
  csfle_status rc = CSFLE_OK;
  if (f->t->kind == AVRO_ARRAY || f->t->kind == AVRO_MAP) return next_item(r, f);
  if (f->t->kind == AVRO_UNION || f->next == f->t->count) {
    r->depth--;
    return csfle__buf_putc(r->out, '}', r->err);
  }
  const csfle__avro_field *field = &f->t->fields[f->next];
  if (f->next++) rc = csfle__buf_putc(r->out, ',', r->err);
  if (rc == CSFLE_OK) rc = csfle__json_put_string(r->out, field->name, false, r->err);
  if (rc == CSFLE_OK) rc = csfle__buf_putc(r->out, ':', r->err);
  return rc == CSFLE_OK ? begin(r, field->type) : rc;
}

csfle_status csfle__avro_to_json(const csfle__schema *base, csfle__bytes in, unsigned flags, csfle_buf *out, size_t *consumed,
                                 csfle_error *err)
{
  const csfle__avro_schema *s = csfle__avro(base);
  const uint8_t            *from = in.len ? in.ptr : (const uint8_t *)"";
  reader                    r = { .s = s, .out = out, .err = err, .start = from, .at = from, .end = from + in.len,
                                  .plain = flags & CSFLE__TEXT_PLAIN_UNIONS };
  size_t                    start = out->len;
  csfle_status              rc = begin(&r, s->root);
  while (rc == CSFLE_OK && r.depth) rc = step(&r);
  csfle__free(r.stack);
  if (rc == CSFLE_OK && consumed) *consumed = (size_t)(r.at - r.start);
  if (rc != CSFLE_OK) out->len = start;
  return rc;
}
