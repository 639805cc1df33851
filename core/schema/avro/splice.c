/* Writes a walked value with new leaves: one size, one reservation, copies of the runs between. */
#include "core/schema/avro/plan.h"

/* header of a block of known size, written as a plain one: its bytes are no longer so many */
static int64_t block_count(csfle__bytes in, const csfle__span *s)
{
  int64_t n = 0;
  csfle__avro_varint(in.ptr + s->head, in.ptr + s->off, &n);
  return n < 0 ? -n : n;
}

static csfle_status new_size(const avro_plan *p, csfle__bytes in, const csfle__span *s, csfle__bytes value, size_t *size,
                             csfle_error *err)
{
  if (s->kind) {
    *size = csfle__avro_varint_size(block_count(in, s));
    return CSFLE_OK;
  }
  const csfle__leaf *leaf = &p->base.leaves[s->leaf];
  if (value.len > INT64_MAX / 4) return csfle__fail(err, CSFLE_E_SPACE, "new value is too large");
  *size = value.len;
  if (leaf->type == CSFLE__LEAF_STRING || leaf->type == CSFLE__LEAF_BYTES)
    *size += csfle__avro_varint_size((int64_t)value.len);
  else if (leaf->type != CSFLE__LEAF_FIXED || value.len != s->len) {
    csfle__fail(err, CSFLE_E_TYPE, "a value of type %s cannot be replaced by %zu bytes", csfle__leaf_type_name(leaf->type), value.len);
    csfle__where(err, "%.*s", CSFLE__FMT(leaf->name));
    return CSFLE_E_TYPE;
  }
  return CSFLE_OK;
}

csfle_status csfle__avro_splice(const csfle__plan *base, csfle__bytes in, const csfle__walk *w, const csfle__replacement *r,
                                csfle_buf *out, csfle_error *err)
{
  const avro_plan *p = (const avro_plan *)(const void *)base;
  size_t           total = w->consumed, at = 0, changed = 0;
  csfle_status     rc;

  if (w->consumed > in.len) return csfle__fail(err, CSFLE_E_INTERNAL, "walk of another value");
  for (size_t i = 0; i < w->count; i++) {
    const csfle__span *s = &w->spans[i];
    size_t             size = 0;
    if (!s->kind && r[i].keep) continue;
    if ((rc = new_size(p, in, s, s->kind ? CSFLE__NONE : r[i].value, &size, err)) != CSFLE_OK) return rc;
    changed += !s->kind;
    total -= s->off + s->len - s->head;
    if (size > SIZE_MAX / 2 - total) return csfle__fail(err, CSFLE_E_SPACE, "new value is too large");
    total += size;
  }
  if (!changed) return csfle__buf_put(out, in.ptr, w->consumed, err); /* headers too stay as they are */
  if ((rc = csfle__buf_reserve(out, total, err)) != CSFLE_OK) return rc;
  uint8_t *to = out->ptr + out->len;
  for (size_t i = 0; i < w->count; i++) {
    const csfle__span *s = &w->spans[i];
    if (!s->kind && r[i].keep) continue;
    if (s->head > at) memcpy(to, in.ptr + at, s->head - at), to += s->head - at;
    at = s->off + s->len;
    if (s->kind) {
      to = csfle__avro_put_varint(to, block_count(in, s));
      continue;
    }
    if (p->base.leaves[s->leaf].type != CSFLE__LEAF_FIXED) to = csfle__avro_put_varint(to, (int64_t)r[i].value.len);
    if (r[i].value.len) memcpy(to, r[i].value.ptr, r[i].value.len), to += r[i].value.len;
  }
  if (w->consumed > at) memcpy(to, in.ptr + at, w->consumed - at);
  out->len += total;
  return CSFLE_OK;
}
