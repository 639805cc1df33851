/*
 * JSON text to an encoded value. Unions are taken wrapped as Avro's JSON encoding has them, or bare: then in the first
 * branch that fits. Errors name places of the schema; neither a value nor a name of the text ever shows in one.
 *
 * Records, arrays and maps being written are levels of a stack on the heap; only fits() recurses, one small frame a
 * level of the JSON text. Every value looked at counts down a budget, because trying branches and expanding defaults of
 * defaults could otherwise take time exponential in the schema.
 */
#include "core/schema/avro/plan.h"

#include "core/base/alloc.h"
#include "core/base/map.h"

#include <math.h>
#include <stdio.h>

typedef struct level {
  const csfle__avro_type *t;
  yyjson_val             *v;    /* the next element; key of the next member */
  size_t                  next, left;
  size_t                  slots; /* record: where its members' values begin in the list of slots */
  bool                    def;   /* inside a default: its rules hold */
} level;

typedef struct encoder {
  csfle_buf   *out;
  csfle_error *err;
  level       *stack;
  size_t       depth, cap;
  yyjson_val **slots;
  size_t       slot_count, slot_cap;
  size_t       budget, fit_depth;
  bool         nomem, too_deep;
} encoder;

static csfle_status refuse(encoder *e, csfle_status code, const char *fmt, const csfle__avro_type *t)
{
  csfle__bytes name = t ? csfle__avro_branch_name(t) : CSFLE__NONE;
  char         shown[160];
  snprintf(shown, sizeof shown, "%.*s", CSFLE__FMT(name));
  csfle__fail(e->err, code, "%s%s%s%s", fmt, t ? " \"" : "", shown, t ? "\"" : "");
  for (size_t i = e->depth; i--;) {
    const level *l = &e->stack[i];
    if (l->t->kind != AVRO_RECORD) continue;
    if (l->next && l->next <= l->t->count)
      csfle__where(e->err, "%.*s.%.*s", CSFLE__FMT(l->t->full), CSFLE__FMT(l->t->fields[l->next - 1].name));
    else csfle__where(e->err, "%.*s", CSFLE__FMT(l->t->full));
    break;
  }
  return code;
}

static csfle_status spend(encoder *e)
{
  if (e->budget == 0) return refuse(e, CSFLE_E_DATUM, "choosing branches and filling in defaults takes too many steps", NULL);
  e->budget--;
  return CSFLE_OK;
}

/* ---- what fits ---------------------------------------------------------------------------------------------------- */

static bool has_branch(const csfle__avro_type *u, csfle__avro_kind k)
{
  csfle__bytes word = csfle__str(csfle__avro_kind_name(k));
  return csfle__avro_index_find(u->index, u->count, word) >= 0;
}

static bool special(csfle__bytes t) { return csfle__eq_str(t, "NaN") || csfle__eq_str(t, "Infinity") || csfle__eq_str(t, "-Infinity"); }

static bool number_fits(yyjson_val *v, bool single)
{
  double d;
  return csfle__avro_double(v, &d) && (single ? isfinite((float)d) : isfinite(d));
}

/*
 * Whether the kind of a bare value, and of a scalar its value, fits a branch. Strings never mean bytes or fixed there,
 * nor floats when there is a string branch to take them.
 */
static bool looks_like(const csfle__avro_type *u, const csfle__avro_type *t, yyjson_val *v)
{
  int64_t i;
  switch (t->kind) {
  case AVRO_NULL: return yyjson_is_null(v);
  case AVRO_BOOLEAN: return yyjson_is_bool(v);
  case AVRO_INT: return csfle__avro_integer(v) && csfle__json_i64(v, &i) && i == (int32_t)i;
  case AVRO_LONG: return csfle__avro_integer(v) && csfle__json_i64(v, &i);
  case AVRO_FLOAT:
  case AVRO_DOUBLE:
    if (yyjson_is_str(v)) return special(csfle__json_text(v)) && !(u && has_branch(u, AVRO_STRING));
    return number_fits(v, t->kind == AVRO_FLOAT);
  case AVRO_STRING: return yyjson_is_str(v);
  case AVRO_ENUM: return yyjson_is_str(v) && csfle__avro_index_find(t->index, t->count, csfle__json_text(v)) >= 0;
  case AVRO_ARRAY: return yyjson_is_arr(v);
  case AVRO_MAP: return yyjson_is_obj(v);
  case AVRO_RECORD: /* its first member says no to most others, a wrapper among them */
    if (!yyjson_is_obj(v)) return false;
    return yyjson_obj_size(v) == 0 || csfle__avro_index_find(t->index, t->count, csfle__json_text(unsafe_yyjson_get_first(v))) >= 0;
  default: return false;
  }
}

/* bytes of a string of characters up to U+00FF; -1 when there are others */
static int64_t latin_length(csfle__bytes t)
{
  int64_t n = 0;
  for (size_t i = 0; i < t.len; n++) {
    if (csfle__utf8_next(t, &i) > 0xFF) return -1;
  }
  return n;
}

static const csfle__avro_type *wrapped(const csfle__avro_type *u, yyjson_val **v)
{
  if (!yyjson_is_obj(*v) || yyjson_obj_size(*v) != 1) return NULL;
  yyjson_val *key = unsafe_yyjson_get_first(*v);
  int64_t     i = csfle__avro_index_find(u->index, u->count, csfle__json_text(key));
  if (i < 0 || u->branches[i]->kind == AVRO_NULL) return NULL;
  *v = key + 1;
  return u->branches[i];
}

static bool fits(encoder *e, const csfle__avro_type *t, yyjson_val *v);

/* whole of @p v against a type or the branches of a union, wrapped or bare */
static bool fits_below(encoder *e, const csfle__avro_type *t, yyjson_val *v)
{
  const csfle__avro_type *const *list = t->kind == AVRO_UNION ? t->branches : &t;
  const csfle__avro_type        *u = t->kind == AVRO_UNION ? t : NULL;
  size_t                         n = t->kind == AVRO_UNION ? t->count : 1;
  yyjson_val                    *in = v;
  if (e->budget == 0) return false;
  e->budget--;
  if (u) {
    const csfle__avro_type *w = wrapped(u, &in);
    if (w) return fits(e, w, in);
  }
  for (size_t b = 0; b < n; b++) {
    const csfle__avro_type *c = list[b];
    bool                    all = true;
    size_t                  have = 0, need = 0;
    if (!u && (c->kind == AVRO_BYTES || c->kind == AVRO_FIXED)) {
      int64_t len = yyjson_is_str(v) ? latin_length(csfle__json_text(v)) : -1;
      return len >= 0 && (c->kind == AVRO_BYTES || (uint64_t)len == c->size);
    }
    if (!looks_like(u, c, v)) continue;
    if (!yyjson_is_ctn(v)) return true;
    if (c->kind == AVRO_RECORD) {
      if (e->budget < c->count) return e->budget = 0, false;
      e->budget -= c->count;
      for (size_t i = 0; i < c->count; i++) need += c->fields[i].def == NULL;
    }
    yyjson_val *x = unsafe_yyjson_get_first(v);
    for (size_t i = yyjson_is_arr(v) ? yyjson_arr_size(v) : yyjson_obj_size(v); i && all; i--) {
      const csfle__avro_type *of = c->item;
      if (c->kind == AVRO_RECORD) {
        int64_t pos = csfle__avro_index_find(c->index, c->count, csfle__json_text(x));
        if (pos < 0) {
          all = false;
          break;
        }
        of = c->fields[pos].type;
        have += c->fields[pos].def == NULL; /* a member given twice is found when it is written */
      }
      if (yyjson_is_obj(v)) x++;
      all = fits(e, of, x);
      x = unsafe_yyjson_get_next(x);
    }
    if (all && have >= need) return true;
  }
  return false;
}

static bool fits(encoder *e, const csfle__avro_type *t, yyjson_val *v)
{
  if (e->fit_depth == CSFLE__AVRO_MAX_NESTED) return e->too_deep = true, false;
  e->fit_depth++;
  bool yes = fits_below(e, t, v);
  e->fit_depth--;
  return yes && !e->too_deep;
}

/* The branch of a value and, when wrapped, the value inside. NULL: none, or the budget is spent. */
static const csfle__avro_type *choose(encoder *e, const csfle__avro_type *u, yyjson_val **v, bool def)
{
  yyjson_val             *in = *v;
  size_t                  candidates = 0;
  const csfle__avro_type *only = NULL, *w;
  if (def) {
    for (size_t b = 0; b < u->count; b++) {
      if (csfle__avro_default_fits(u->branches[b], *v, &e->budget)) return u->branches[b];
    }
    return NULL;
  }
  /* what reads as a wrapper is one, whatever else it might be: the branch must not depend on what is inside */
  if ((w = wrapped(u, &in))) return *v = in, w;
  for (size_t b = 0; b < u->count; b++) {
    if (!looks_like(u, u->branches[b], *v)) continue;
    if (!yyjson_is_ctn(*v)) return u->branches[b];
    candidates++, only = u->branches[b];
  }
  if (candidates <= 1) return only; /* the error, if any, is then that of the value inside */
  for (size_t b = 0; b < u->count; b++) {
    if (looks_like(u, u->branches[b], *v) && fits(e, u->branches[b], *v)) return u->branches[b];
  }
  return NULL;
}

static int64_t position(const csfle__avro_type *u, const csfle__avro_type *branch)
{
  return csfle__avro_index_find(u->index, u->count, csfle__avro_branch_name(branch));
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

static csfle_status put_long(encoder *e, int64_t v)
{
  uint8_t b[10];
  return csfle__buf_put(e->out, b, (size_t)(csfle__avro_put_varint(b, v) - b), e->err);
}

static csfle_status put_real(encoder *e, double d, bool single)
{
  float    f = (float)d;
  uint64_t bits = 0;
  uint32_t low;
  uint8_t  b[8];
  if (single) memcpy(&low, &f, 4), bits = low;
  else memcpy(&bits, &d, 8);
  for (int i = 0; i < 8; i++) b[i] = (uint8_t)(bits >> 8 * i);
  return csfle__buf_put(e->out, b, single ? 4 : 8, e->err);
}

static csfle_status put_latin(encoder *e, const csfle__avro_type *t, csfle__bytes text)
{
  int64_t      n = latin_length(text);
  csfle_status rc = CSFLE_OK;
  if (n < 0) return refuse(e, CSFLE_E_DATUM, "a character beyond U+00FF in the text of", t);
  if (t->kind == AVRO_FIXED && (uint64_t)n != t->size) return refuse(e, CSFLE_E_DATUM, "text of another length than that of", t);
  if (t->kind == AVRO_BYTES) rc = put_long(e, n);
  if (rc == CSFLE_OK) rc = csfle__buf_reserve(e->out, (size_t)n, e->err);
  for (size_t i = 0; i < text.len && rc == CSFLE_OK;) rc = csfle__buf_putc(e->out, (uint8_t)csfle__utf8_next(text, &i), e->err);
  return rc;
}

static csfle_status scalar(encoder *e, const csfle__avro_type *t, yyjson_val *v, bool def)
{
  csfle__bytes s = csfle__json_text(v);
  int64_t      i;
  double       d;
  csfle_status rc;
  switch (t->kind) {
  case AVRO_NULL:
    if (yyjson_is_null(v)) return CSFLE_OK;
    break;
  case AVRO_BOOLEAN:
    if (yyjson_is_bool(v)) return csfle__buf_putc(e->out, yyjson_get_bool(v), e->err);
    break;
  case AVRO_INT:
  case AVRO_LONG:
    if (!yyjson_is_raw(v)) break;
    if (!csfle__avro_integer(v)) return refuse(e, CSFLE_E_DATUM, "a number with fraction or exponent for", t);
    if (!csfle__json_i64(v, &i) || (t->kind == AVRO_INT && i != (int32_t)i)) return refuse(e, CSFLE_E_DATUM, "a number out of range for", t);
    return put_long(e, i);
  case AVRO_FLOAT:
  case AVRO_DOUBLE:
    if (yyjson_is_str(v) && (special(s) || def) && csfle__avro_java_double(s, &d)) return put_real(e, d, t->kind == AVRO_FLOAT);
    if (!yyjson_is_raw(v)) break;
    if (!number_fits(v, t->kind == AVRO_FLOAT)) return refuse(e, CSFLE_E_DATUM, "a number out of range for", t);
    csfle__avro_double(v, &d);
    return put_real(e, d, t->kind == AVRO_FLOAT);
  case AVRO_STRING:
    if (!yyjson_is_str(v)) break;
    rc = put_long(e, (int64_t)s.len);
    return rc == CSFLE_OK ? csfle__buf_put(e->out, s.ptr, s.len, e->err) : rc;
  case AVRO_BYTES:
  case AVRO_FIXED:
    if (!yyjson_is_str(v)) break;
    return put_latin(e, t, s);
  default: /* enum */
    if (!yyjson_is_str(v)) break;
    i = csfle__avro_index_find(t->index, t->count, s);
    return i < 0 ? refuse(e, CSFLE_E_DATUM, "a text that is no symbol of", t) : put_long(e, i);
  }
  return refuse(e, CSFLE_E_DATUM, "a JSON value of another kind than", t);
}

static csfle_status push(encoder *e, level l)
{
  if (e->depth == CSFLE__JSON_MAX_DEPTH) return refuse(e, CSFLE_E_DATUM, "defaults nested too deep in", l.t);
  if (csfle__grow((void **)&e->stack, &e->cap, e->depth + 1, sizeof l) != 0) return csfle__nomem(e->err);
  e->stack[e->depth++] = l;
  return CSFLE_OK;
}

/* the values of a record's members, by field */
static csfle_status begin_record(encoder *e, const csfle__avro_type *t, yyjson_val *v, bool def)
{
  size_t       i, n, base = e->slot_count;
  yyjson_val  *k, *x;
  csfle_status rc = push(e, (level){ t, NULL, 0, t->count, base, def });
  if (rc != CSFLE_OK) return rc;
  if (csfle__grow((void **)&e->slots, &e->slot_cap, base + t->count, sizeof *e->slots) != 0) return csfle__nomem(e->err);
  if (t->count) memset(e->slots + base, 0, t->count * sizeof *e->slots);
  e->slot_count = base + t->count;
  yyjson_obj_foreach(v, i, n, k, x)
  {
    int64_t pos = csfle__avro_index_find(t->index, t->count, csfle__json_text(k));
    if (pos < 0 && def) continue;
    if (pos < 0) {
      char why[64];
      snprintf(why, sizeof why, "member %zu is no field of", i + 1); /* its name may be anybody's data */
      return refuse(e, CSFLE_E_DATUM, why, t);
    }
    if (e->slots[base + (size_t)pos] && !def) { /* which of them would be encrypted? [S22] */
      e->stack[e->depth - 1].next = (size_t)pos + 1;
      return refuse(e, CSFLE_E_DATUM, "given twice in", t);
    }
    e->slots[base + (size_t)pos] = x;
  }
  return CSFLE_OK;
}

static bool twice(encoder *e, yyjson_val *obj)
{
  csfle__map  m = CSFLE__MAP_INIT;
  size_t      i, n;
  yyjson_val *k, *x;
  bool        found = false;
  if (yyjson_obj_size(obj) < 2) return false;
  yyjson_obj_foreach(obj, i, n, k, x)
  {
    void *old = NULL;
    if (csfle__map_put(&m, csfle__json_text(k), x, &old) != 0) e->nomem = true;
    found |= old != NULL;
  }
  csfle__map_free(&m, NULL);
  return found;
}

static csfle_status begin(encoder *e, const csfle__avro_type *t, yyjson_val *v, bool def)
{
  csfle_status rc = spend(e);
  if (rc != CSFLE_OK) return rc;
  if (t->kind == AVRO_UNION) {
    const csfle__avro_type *branch = choose(e, t, &v, def);
    if (e->too_deep) return refuse(e, CSFLE_E_DATUM, "a value nested deeper than 100 levels whose branch has to be guessed: wrap it", NULL);
    if (!branch) return refuse(e, CSFLE_E_DATUM, e->budget ? "a JSON value that fits no branch of its union" : "choosing a branch takes too many steps", NULL);
    if ((rc = put_long(e, position(t, branch))) != CSFLE_OK) return rc;
    t = branch;
  }
  switch (t->kind) {
  case AVRO_RECORD: return yyjson_is_obj(v) ? begin_record(e, t, v, def) : refuse(e, CSFLE_E_DATUM, "a JSON value of another kind than", t);
  case AVRO_ARRAY:
  case AVRO_MAP: {
    bool   array = t->kind == AVRO_ARRAY;
    size_t n = array ? yyjson_arr_size(v) : yyjson_obj_size(v);
    if (array ? !yyjson_is_arr(v) : !yyjson_is_obj(v)) return refuse(e, CSFLE_E_DATUM, "a JSON value of another kind than", t);
    if (!array && !def && twice(e, v)) return refuse(e, CSFLE_E_DATUM, "a key given twice in", t);
    if (e->nomem) return csfle__nomem(e->err);
    if (n && (rc = put_long(e, (int64_t)n)) != CSFLE_OK) return rc;
    return push(e, (level){ t, unsafe_yyjson_get_first(v), 0, n, 0, def });
  }
  default: return scalar(e, t, v, def);
  }
}

static csfle_status next_field(encoder *e, level *l)
{
  const csfle__avro_field *f = &l->t->fields[l->next];
  yyjson_val              *v = e->slots[l->slots + l->next];
  bool                     def = l->def;
  csfle_status             rc;
  l->next++, l->left--;
  if (v) return begin(e, f->type, v, def);
  if (!f->def) return refuse(e, CSFLE_E_DATUM, "a field is missing and has no default in", l->t);
  if (f->def_double) return (rc = spend(e)) == CSFLE_OK ? put_real(e, f->def_value, f->type->kind == AVRO_FLOAT) : rc;
  return begin(e, f->type, f->def, true);
}

static csfle_status step(encoder *e)
{
  level       *l = &e->stack[e->depth - 1];
  csfle_status rc;
  if (l->left == 0) {
    if (l->t->kind == AVRO_RECORD) e->slot_count = l->slots;
    e->depth--;
    return l->t->kind == AVRO_RECORD ? CSFLE_OK : put_long(e, 0);
  }
  if (l->t->kind == AVRO_RECORD) return next_field(e, l);
  yyjson_val *v = l->v;
  if (l->t->kind == AVRO_MAP) {
    csfle__bytes key = csfle__json_text(v++);
    if ((rc = put_long(e, (int64_t)key.len)) != CSFLE_OK) return rc;
    if ((rc = csfle__buf_put(e->out, key.ptr, key.len, e->err)) != CSFLE_OK) return rc;
  }
  l->v = unsafe_yyjson_get_next(v);
  l->left--;
  return begin(e, l->t->item, v, l->def);
}

csfle_status csfle__avro_from_json(const csfle__schema *base, csfle__bytes json, csfle_buf *out, csfle_error *err)
{
  const csfle__avro_type *root = csfle__avro(base)->root;
  encoder                 e = { .out = out, .err = err };
  yyjson_doc             *doc = NULL;
  size_t                  start = out->len;
  csfle_status            rc = csfle__json_parse_secret(&doc, json, err);
  if (rc != CSFLE_OK) {
    if (rc == CSFLE_E_SCHEMA && err) err->code = CSFLE_E_DATUM;
    return rc == CSFLE_E_SCHEMA ? CSFLE_E_DATUM : rc;
  }
  yyjson_val *v = yyjson_doc_get_root(doc);
  e.budget = 1000000 + (json.len < SIZE_MAX / 200 ? json.len * 100 : 0);
  rc = begin(&e, root, v, false);
  while (rc == CSFLE_OK && e.depth) rc = step(&e);
  csfle__free(e.stack), csfle__free(e.slots);
  yyjson_doc_free(doc);
  if (rc != CSFLE_OK) out->len = start;
  return rc;
}
