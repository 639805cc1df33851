/* Writer and reader schema to a resolution. Nothing recurses: blocks wait in a list until their turn. See resolve.h. */
#include "core/schema/avro/resolve.h"

#include "core/base/alloc.h"
#include "core/base/map.h"

#define NONE UINT32_MAX

/* why a pair cannot be resolved; w and t name types, or fields with `field` */
typedef struct failure {
  enum { NO_DEFAULT, BAD_DEFAULT, TWO_FIELDS, OTHER_TYPE, OTHER_NAME, OTHER_SIZE, NO_BRANCH, NO_SYMBOL } why;
  csfle__bytes w, t;
  uint32_t     name; /* of the writer's field around it */
} failure;

typedef struct block {
  const csfle__avro_type *w, *t; /* t NULL: only skipped */
  uint32_t                entry, name;
  uint32_t                failed;    /* 1 + index of its failure */
  uint32_t                first_ref; /* 1 + index of the first reference to it */
} block;

/* an instruction that leads to a block */
typedef struct ref {
  uint32_t op, from, next;
  uint32_t in_union; /* 1 + union one of whose branches it is */
} ref;
typedef struct in_union {
  uint32_t block, live; /* branches that can be resolved */
} in_union;

typedef struct compiler {
  avro_resolution          *r;
  const csfle__avro_schema *w, *t;
  csfle_error              *err;
  csfle__map                found, defaults, fields; /* pair -> block, field -> constant, field -> name; all 1 + index */
  csfle_buf                 constants;
  block                    *blocks;
  ref                      *refs;
  in_union                 *unions;
  failure                  *failures;
  uint32_t                 *defs; /* offset and length of constants that are defaults */
  size_t                    op_count, op_cap, number_count, number_cap, name_count, name_cap, block_count, block_cap, ref_count, ref_cap,
    union_count, union_cap, failure_count, failure_cap, def_count, def_cap, steps;
  uint32_t                  block, name;
  uint32_t                  branch_of; /* 1 + union whose branch is being compiled */
} compiler;

#define NOMEM(c) csfle__nomem((c)->err)
#define GROW(c, list, cap, n) csfle__grow((void **)&(list), &(c)->cap, (n), sizeof *(list))

static csfle_status too_large(compiler *c, const char *what, size_t limit)
{
  return csfle__fail(c->err, CSFLE_E_SCHEMA_MISMATCH, "resolving one schema into the other takes more than %zu %s", limit, what);
}

static csfle_status spend(compiler *c, size_t n)
{
  c->steps += n;
  return c->steps > CSFLE__RESOLVE_MAX_STEPS ? too_large(c, "steps", CSFLE__RESOLVE_MAX_STEPS) : CSFLE_OK;
}

static csfle_status emit(compiler *c, res_code code, size_t a, size_t b)
{
  if (c->op_count == CSFLE__RESOLVE_MAX_CODE) return too_large(c, "instructions", CSFLE__RESOLVE_MAX_CODE);
  if (GROW(c, c->r->ops, op_cap, c->op_count + 1) != 0) return NOMEM(c);
  c->r->ops[c->op_count++] = (res_op){ code, (uint32_t)a, (uint32_t)b, c->name };
  return CSFLE_OK;
}

static csfle_status numbers(compiler *c, size_t n, uint32_t *at)
{
  if (c->number_count + n > CSFLE__RESOLVE_MAX_CODE) return too_large(c, "instructions", CSFLE__RESOLVE_MAX_CODE);
  if (GROW(c, c->r->numbers, number_cap, c->number_count + n + 1) != 0) return NOMEM(c);
  *at = (uint32_t)c->number_count;
  c->number_count += n;
  return CSFLE_OK;
}

/* The pair at hand cannot be resolved: its block cannot, or only values of the branch at hand cannot. */
static csfle_status fail(compiler *c, failure f)
{
  if (GROW(c, c->failures, failure_cap, c->failure_count + 1) != 0) return NOMEM(c);
  f.name = c->name;
  c->failures[c->failure_count++] = f;
  if (c->branch_of) {
    if (--c->unions[c->branch_of - 1].live) return emit(c, RES_FAIL, 0, 0);
  }
  if (!c->blocks[c->block].failed) c->blocks[c->block].failed = (uint32_t)c->failure_count;
  return emit(c, RES_FAIL, 0, 0);
}

static csfle_status refer(compiler *c, res_code code, const csfle__avro_type *w, const csfle__avro_type *t, size_t b)
{
  const void *key[2] = { w, t };
  uintptr_t   at = (uintptr_t)csfle__map_get(&c->found, csfle__view(key, sizeof key));
  if (!at) {
    if (c->block_count == CSFLE__RESOLVE_MAX_PAIRS) return too_large(c, "pairs of types", CSFLE__RESOLVE_MAX_PAIRS);
    if (GROW(c, c->blocks, block_cap, c->block_count + 1) != 0) return NOMEM(c);
    at = c->block_count + 1;
    if (csfle__map_put(&c->found, csfle__view(key, sizeof key), (void *)at, NULL) != 0) return NOMEM(c);
    c->blocks[c->block_count++] = (block){ w, t, 0, c->name, 0, 0 };
  }
  if (GROW(c, c->refs, ref_cap, c->ref_count + 1) != 0) return NOMEM(c);
  block *to = &c->blocks[at - 1];
  c->refs[c->ref_count++] = (ref){ (uint32_t)c->op_count, c->block, to->first_ref, c->branch_of };
  to->first_ref = (uint32_t)c->ref_count;
  return emit(c, code, at - 1, b);
}

static csfle_status put(compiler *c, const uint8_t *bytes, size_t n)
{
  if (c->constants.len + n > CSFLE__RESOLVE_MAX_WORK) return too_large(c, "bytes of defaults", CSFLE__RESOLVE_MAX_WORK);
  size_t       at = c->constants.len;
  csfle_status rc = csfle__buf_put(&c->constants, bytes, n, c->err);
  return rc == CSFLE_OK ? emit(c, RES_PUT, at, n) : rc;
}

/* ---- unions ------------------------------------------------------------------------------------------------------- */

static bool aliased(const csfle__avro_type *t, csfle__bytes full)
{
  for (size_t i = 0; i < t->alias_count; i++) {
    if (csfle__eq(t->aliases[i], full)) return true;
  }
  return false;
}

static int promotion(csfle__avro_kind w, csfle__avro_kind t)
{
  if (w == AVRO_INT) return t == AVRO_LONG ? RES_INT : t == AVRO_FLOAT ? RES_INT_FLOAT : t == AVRO_DOUBLE ? RES_INT_DOUBLE : -1;
  if (w == AVRO_LONG) return t == AVRO_FLOAT ? RES_LONG_FLOAT : t == AVRO_DOUBLE ? RES_LONG_DOUBLE : -1;
  if (w == AVRO_FLOAT) return t == AVRO_DOUBLE ? RES_FLOAT_DOUBLE : -1;
  if (w == AVRO_STRING || w == AVRO_BYTES) return t == AVRO_STRING || t == AVRO_BYTES ? RES_BYTES : -1;
  return -1;
}

/*
 * The reader's branch for a writer's type that is no union: the same type, of named types that of the same full name,
 * else one with it as alias, else one of the same simple name; else the first it is promoted to. -1: none.
 */
static csfle_status reader_branch(compiler *c, const csfle__avro_type *w, const csfle__avro_type *t, int64_t *out)
{
  csfle_status rc = spend(c, 1);
  int64_t      simple = -1, at = csfle__avro_index_find(t->index, t->count, csfle__avro_branch_name(w));
  *out = at >= 0 && t->branches[at]->kind == w->kind ? at : -1;
  for (size_t i = 0; *out < 0 && i < t->count && rc == CSFLE_OK; i++) {
    const csfle__avro_type *b = t->branches[i];
    rc = spend(c, 1 + b->alias_count);
    if (csfle__avro_named(w->kind)) {
      if (b->kind != w->kind) continue;
      if (aliased(b, w->full)) *out = (int64_t)i;
      else if (simple < 0 && csfle__eq(b->name, w->name)) simple = (int64_t)i;
    } else if (promotion(w->kind, b->kind) >= 0) *out = (int64_t)i;
  }
  if (*out < 0) *out = simple;
  return rc;
}

/* ---- pairs -------------------------------------------------------------------------------------------------------- */

static csfle_status enumeration(compiler *c, const csfle__avro_type *w, const csfle__avro_type *t)
{
  uint32_t     at = 0, known = 0;
  csfle_status rc = numbers(c, w->count, &at);
  if (rc == CSFLE_OK) rc = spend(c, w->count);
  if (rc != CSFLE_OK) return rc;
  int64_t other = t->enum_default.ptr ? csfle__avro_index_find(t->index, t->count, t->enum_default) : -1;
  for (size_t i = 0; i < w->count; i++) {
    int64_t pos = csfle__avro_index_find(t->index, t->count, w->symbols[i]);
    if (pos < 0) pos = other;
    c->r->numbers[at + i] = pos < 0 ? NONE : (uint32_t)pos;
    known += pos >= 0;
  }
  if (!known) return fail(c, (failure){ NO_SYMBOL, w->full, t->full, 0 });
  return emit(c, RES_ENUM, at, w->count);
}

static bool same_name(const csfle__avro_type *w, const csfle__avro_type *t) { return csfle__eq(w->name, t->name) || aliased(t, w->full); }

/* neither is a union */
static csfle_status plain(compiler *c, const csfle__avro_type *w, const csfle__avro_type *t)
{
  csfle_status rc;
  if (w->kind != t->kind) {
    int code = promotion(w->kind, t->kind);
    return code >= 0 ? emit(c, (res_code)code, 0, 0) : fail(c, (failure){ OTHER_TYPE, csfle__avro_branch_name(w), csfle__avro_branch_name(t), 0 });
  }
  if (csfle__avro_named(w->kind)) {
    if ((rc = spend(c, 1 + t->alias_count)) != CSFLE_OK) return rc;
    if (!same_name(w, t)) return fail(c, (failure){ OTHER_NAME, w->full, t->full, 0 });
  }
  switch (w->kind) {
  case AVRO_NULL: return CSFLE_OK;
  case AVRO_BOOLEAN: return emit(c, RES_BOOLEAN, 0, 0);
  case AVRO_INT: return emit(c, RES_INT, 0, 0);
  case AVRO_LONG: return emit(c, RES_LONG, 0, 0);
  case AVRO_FLOAT: return emit(c, RES_FIXED, 4, 0);
  case AVRO_DOUBLE: return emit(c, RES_FIXED, 8, 0);
  case AVRO_BYTES:
  case AVRO_STRING: return emit(c, RES_BYTES, 0, 0);
  case AVRO_ENUM: return enumeration(c, w, t);
  case AVRO_FIXED:
    if (w->size != t->size) return fail(c, (failure){ OTHER_SIZE, w->full, t->full, 0 });
    return w->size ? emit(c, RES_FIXED, w->size, 0) : CSFLE_OK;
  case AVRO_RECORD: return refer(c, RES_CALL, w, t, 0);
  default: return refer(c, w->kind == AVRO_ARRAY ? RES_ARRAY : RES_MAP, w->item, t->item, csfle__avro_takes_nothing(w->item, c->w->zero));
  }
}

static csfle_status skip(compiler *c, const csfle__avro_type *w)
{
  if (csfle__avro_takes_nothing(w, c->w->zero)) return CSFLE_OK;
  switch (w->kind) {
  case AVRO_BOOLEAN: return emit(c, RES_SKIP_BOOLEAN, 0, 0);
  case AVRO_INT: return emit(c, RES_SKIP_INT, 0, 0);
  case AVRO_LONG: return emit(c, RES_SKIP_LONG, 0, 0);
  case AVRO_FLOAT: return emit(c, RES_SKIP_FIXED, 4, 0);
  case AVRO_DOUBLE: return emit(c, RES_SKIP_FIXED, 8, 0);
  case AVRO_BYTES:
  case AVRO_STRING: return emit(c, RES_SKIP_BYTES, 0, 0);
  case AVRO_ENUM: return emit(c, RES_SKIP_ENUM, 0, w->count);
  case AVRO_FIXED: return emit(c, RES_SKIP_FIXED, w->size, 0);
  case AVRO_RECORD: return refer(c, RES_CALL, w, NULL, 0);
  default: return refer(c, w->kind == AVRO_ARRAY ? RES_SKIP_ARRAY : RES_SKIP_MAP, w->item, NULL, csfle__avro_takes_nothing(w->item, c->w->zero));
  }
}

/* a writer's type that is no union against any of the reader's; t NULL: skip */
static csfle_status one(compiler *c, const csfle__avro_type *w, const csfle__avro_type *t)
{
  uint8_t index[10];
  int64_t i;
  if (!t) return skip(c, w);
  if (t->kind != AVRO_UNION) return plain(c, w, t);
  csfle_status rc = reader_branch(c, w, t, &i);
  if (rc != CSFLE_OK) return rc;
  if (i < 0) return fail(c, (failure){ NO_BRANCH, csfle__avro_branch_name(w), CSFLE__NONE, 0 });
  rc = put(c, index, (size_t)(csfle__avro_put_varint(index, i) - index));
  return rc == CSFLE_OK ? plain(c, w, t->branches[i]) : rc;
}

static csfle_status pair(compiler *c, const csfle__avro_type *w, const csfle__avro_type *t)
{
  uint32_t     at = 0, *target;
  csfle_status rc;
  if (w->kind != AVRO_UNION) return one(c, w, t);
  if ((rc = numbers(c, w->count, &at)) != CSFLE_OK) return rc;
  if (GROW(c, c->unions, union_cap, c->union_count + 1) != 0) return NOMEM(c);
  c->unions[c->union_count++] = (in_union){ c->block, (uint32_t)w->count };
  if ((rc = emit(c, RES_UNION, at, w->count)) != CSFLE_OK) return rc;
  c->branch_of = (uint32_t)c->union_count;
  for (size_t i = 0; i < w->count && rc == CSFLE_OK; i++) {
    c->r->numbers[at + i] = (uint32_t)c->op_count;
    rc = one(c, w->branches[i], t);
    if (rc == CSFLE_OK) rc = emit(c, RES_JUMP, 0, 0);
  }
  c->branch_of = 0;
  target = &c->r->numbers[at];
  for (size_t i = 0; i < w->count && rc == CSFLE_OK; i++)
    c->r->ops[(i + 1 < w->count ? target[i + 1] : (uint32_t)c->op_count) - 1].a = (uint32_t)c->op_count;
  return rc;
}

/* ---- records ------------------------------------------------------------------------------------------------------ */

static csfle_status set_name(compiler *c, const csfle__avro_type *rec, const csfle__avro_field *f)
{
  uintptr_t at = (uintptr_t)csfle__map_get(&c->fields, csfle__view(&f, sizeof f));
  if (!at) {
    uint8_t *text = csfle__arena_alloc(&c->r->arena, rec->full.len + f->name.len + 2);
    if (!text || GROW(c, c->r->names, name_cap, c->name_count + 1) != 0) return NOMEM(c);
    memcpy(text, rec->full.ptr, rec->full.len), text[rec->full.len] = '.';
    memcpy(text + rec->full.len + 1, f->name.ptr, f->name.len);
    at = c->name_count;
    if (csfle__map_put(&c->fields, csfle__view(&f, sizeof f), (void *)at, NULL) != 0) return NOMEM(c);
    c->r->names[c->name_count++] = csfle__view(text, rec->full.len + 1 + f->name.len);
  }
  c->name = (uint32_t)at;
  return CSFLE_OK;
}

/* A reader's field that the writer does not have: encoded as JSON text of a record of that one field, empty, would be. */
static csfle_status put_default(compiler *c, const csfle__avro_type *rec, const csfle__avro_field *f)
{
  if (!f->def) return fail(c, (failure){ NO_DEFAULT, rec->full, f->name, 0 });
  uintptr_t at = (uintptr_t)csfle__map_get(&c->defaults, csfle__view(&f, sizeof f));
  if (!at) {
    csfle__avro_field  field = *f;
    csfle__avro_index  index = { f->name, 0 };
    csfle__avro_type   alone = *rec;
    csfle__avro_schema s = *c->t;
    size_t             from = c->constants.len;
    alone.fields = &field, alone.index = &index, alone.count = 1;
    s.root = &alone;
    csfle_error  why = CSFLE_ERROR_INIT;
    csfle_status rc = csfle__avro_from_json(&s.base, CSFLE__LIT("{}"), &c->constants, &why);
    if (rc == CSFLE_E_NOMEM) return NOMEM(c);
    if (rc != CSFLE_OK) return fail(c, (failure){ BAD_DEFAULT, rec->full, f->name, 0 });
    if (c->constants.len > CSFLE__RESOLVE_MAX_WORK) return too_large(c, "bytes of defaults", CSFLE__RESOLVE_MAX_WORK);
    if (GROW(c, c->defs, def_cap, c->def_count + 2) != 0) return NOMEM(c);
    c->defs[c->def_count] = (uint32_t)from, c->defs[c->def_count + 1] = (uint32_t)(c->constants.len - from);
    c->def_count += 2;
    at = c->def_count / 2;
    if (csfle__map_put(&c->defaults, csfle__view(&f, sizeof f), (void *)at, NULL) != 0) return NOMEM(c);
  }
  const uint32_t *d = &c->defs[2 * (at - 1)];
  return d[1] ? emit(c, RES_PUT, d[0], d[1]) : CSFLE_OK;
}

/* of_t[i]: the writer's field for the reader's i-th, of_w the reverse; NONE. Names come first, then aliases. */
static csfle_status match(compiler *c, const csfle__avro_type *w, const csfle__avro_type *t, uint32_t *of_t, uint32_t *of_w)
{
  csfle_status rc = spend(c, w->count + t->count);
  for (size_t i = 0; i < w->count; i++) of_w[i] = NONE;
  for (size_t i = 0; i < t->count; i++) {
    int64_t pos = csfle__avro_index_find(w->index, w->count, t->fields[i].name);
    of_t[i] = pos < 0 ? NONE : (uint32_t)pos;
    if (pos >= 0) of_w[pos] = (uint32_t)i;
  }
  for (size_t i = 0; i < t->count && rc == CSFLE_OK; i++) {
    const csfle__avro_field *f = &t->fields[i];
    rc = spend(c, f->alias_count);
    for (size_t k = 0; k < f->alias_count && rc == CSFLE_OK; k++) {
      int64_t pos = csfle__avro_index_find(w->index, w->count, f->aliases[k]);
      if (pos < 0 || of_t[i] == (uint32_t)pos) continue;
      bool other = of_w[pos] != NONE;
      if (other && of_t[i] == NONE && csfle__eq(t->fields[of_w[pos]].name, f->aliases[k])) continue; /* has a field of its very name */
      if (other || of_t[i] != NONE) return fail(c, (failure){ TWO_FIELDS, t->full, f->name, 0 });
      of_t[i] = (uint32_t)pos, of_w[pos] = (uint32_t)i;
    }
  }
  return rc;
}

/* as many of the writer's fields as lie before @p upto */
static csfle_status skip_fields(compiler *c, const csfle__avro_type *w, size_t *at, size_t upto)
{
  csfle_status rc = CSFLE_OK;
  for (; *at < upto && rc == CSFLE_OK; ++*at) {
    rc = set_name(c, w, &w->fields[*at]);
    if (rc == CSFLE_OK) rc = pair(c, w->fields[*at].type, NULL);
  }
  return rc;
}

static csfle_status in_order(compiler *c, const csfle__avro_type *w, const csfle__avro_type *t, const uint32_t *of_t)
{
  size_t       at = 0;
  csfle_status rc = CSFLE_OK;
  for (size_t i = 0; i < t->count && rc == CSFLE_OK; i++) {
    if (of_t[i] == NONE) {
      rc = put_default(c, t, &t->fields[i]);
      continue;
    }
    rc = skip_fields(c, w, &at, of_t[i]);
    if (rc == CSFLE_OK) rc = set_name(c, w, &w->fields[at]);
    if (rc == CSFLE_OK) rc = pair(c, w->fields[at++].type, t->fields[i].type);
  }
  return rc == CSFLE_OK ? skip_fields(c, w, &at, w->count) : rc;
}

static csfle_status reordered(compiler *c, const csfle__avro_type *w, const csfle__avro_type *t, const uint32_t *of_t, const uint32_t *of_w)
{
  uint32_t     at = 0, piece = 0;
  csfle_status rc = numbers(c, t->count, &at);
  for (size_t i = 0; i < w->count && rc == CSFLE_OK; i++) {
    rc = set_name(c, w, &w->fields[i]);
    if (rc == CSFLE_OK && of_w[i] != NONE) {
      c->r->numbers[at + of_w[i]] = piece++;
      rc = emit(c, RES_MARK, 0, 0);
    }
    if (rc == CSFLE_OK) rc = pair(c, w->fields[i].type, of_w[i] == NONE ? NULL : t->fields[of_w[i]].type);
  }
  for (size_t i = 0; i < t->count && rc == CSFLE_OK; i++) {
    if (of_t[i] != NONE) continue;
    c->r->numbers[at + i] = piece++;
    rc = emit(c, RES_MARK, 0, 0);
    if (rc == CSFLE_OK) rc = put_default(c, t, &t->fields[i]);
  }
  return rc == CSFLE_OK ? emit(c, RES_ORDER, at, t->count) : rc;
}

static csfle_status record(compiler *c, const csfle__avro_type *w, const csfle__avro_type *t)
{
  size_t at = 0;
  if (!t) return skip_fields(c, w, &at, w->count);
  uint32_t *of = csfle__alloc((w->count + t->count + 1) * sizeof *of), *of_w = of + t->count;
  if (!of) return NOMEM(c);
  csfle_status rc = match(c, w, t, of, of_w);
  bool         ordered = true;
  for (size_t i = 0, last = 0; i < t->count && rc == CSFLE_OK; i++) {
    if (of[i] == NONE) continue;
    ordered &= of[i] >= last;
    last = of[i];
  }
  if (rc == CSFLE_OK && !c->blocks[c->block].failed) rc = ordered ? in_order(c, w, t, of) : reordered(c, w, t, of, of_w);
  csfle__free(of);
  return rc;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

/* what leads to a pair that cannot be resolved: cannot either, but for a branch beside others */
static void spread(compiler *c)
{
  uint32_t *queue = (uint32_t *)(void *)c->r->numbers + c->number_count; /* compile() made room */
  size_t    count = 0;
  for (size_t i = 0; i < c->block_count; i++) {
    if (c->blocks[i].failed) queue[count++] = (uint32_t)i;
  }
  while (count) {
    const block *b = &c->blocks[queue[--count]];
    for (uint32_t k = b->first_ref; k; k = c->refs[k - 1].next) {
      const ref *x = &c->refs[k - 1];
      block     *from = &c->blocks[x->from];
      c->r->ops[x->op].code = RES_FAIL;
      if (x->in_union && --c->unions[x->in_union - 1].live) continue;
      if (from->failed) continue;
      from->failed = b->failed;
      queue[count++] = x->from;
    }
  }
}

static csfle_status mismatch(compiler *c, const failure *f)
{
  static const char *const said[] = {
    [NO_DEFAULT] = "field \"%.*s.%.*s\" of the reader's schema has no default and the writer's schema no such field",
    [BAD_DEFAULT] = "the default of field \"%.*s.%.*s\" of the reader's schema does not fit its type",
    [TWO_FIELDS] = "field \"%.*s.%.*s\" of the reader's schema and its aliases name several fields, or one that another takes",
    [OTHER_TYPE] = "%.*s in the writer's schema, %.*s in the reader's",
    [OTHER_NAME] = "\"%.*s\" in the writer's schema, \"%.*s\" without such an alias in the reader's",
    [OTHER_SIZE] = "\"%.*s\" in the writer's schema and \"%.*s\" in the reader's differ in size",
    [NO_BRANCH] = "no branch of the reader's union takes %.*s%.*s",
    [NO_SYMBOL] = "no symbol of \"%.*s\" is one of \"%.*s\" in the reader's schema",
  };
  csfle__bytes w = f->w, t = f->t;
  if (w.len > 80) w.len = 80;
  if (t.len > 80) t.len = 80;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  csfle__fail(c->err, CSFLE_E_SCHEMA_MISMATCH, said[f->why], CSFLE__FMT(w), CSFLE__FMT(t));
#pragma GCC diagnostic pop
  if (f->name) csfle__where(c->err, "%.*s", CSFLE__FMT(c->r->names[f->name]));
  return CSFLE_E_SCHEMA_MISMATCH;
}

static csfle_status compile(compiler *c)
{
  csfle_status rc = CSFLE_OK;
  uint32_t     at = 0;
  if (GROW(c, c->r->names, name_cap, 1) != 0) return NOMEM(c);
  c->r->names[c->name_count++] = CSFLE__LIT("");
  /* the first block is the root, whatever it is */
  if (GROW(c, c->blocks, block_cap, 1) != 0) return NOMEM(c);
  c->blocks[c->block_count++] = (block){ c->w->root, c->t->root, 0, 0, 0, 0 };
  for (size_t i = 0; i < c->block_count && rc == CSFLE_OK; i++) {
    const csfle__avro_type *w = c->blocks[i].w, *t = c->blocks[i].t;
    c->block = (uint32_t)i, c->name = c->blocks[i].name;
    c->blocks[i].entry = (uint32_t)c->op_count;
    /* names of records were compared where the block is referred to; here for the root and for items */
    if (w->kind == AVRO_RECORD && t && t->kind == AVRO_RECORD && !same_name(w, t)) rc = fail(c, (failure){ OTHER_NAME, w->full, t->full, 0 });
    else if (w->kind == AVRO_RECORD && (!t || t->kind == AVRO_RECORD)) rc = record(c, w, t);
    else rc = pair(c, w, t);
    if (rc == CSFLE_OK) rc = emit(c, RES_END, 0, 0);
  }
  if (rc == CSFLE_OK) rc = numbers(c, c->block_count, &at);
  if (rc != CSFLE_OK) return rc;
  c->number_count = at;
  spread(c);
  if (c->blocks[0].failed) return mismatch(c, &c->failures[c->blocks[0].failed - 1]);
  for (size_t i = 0; i < c->op_count; i++) {
    res_op *o = &c->r->ops[i];
    if (o->code == RES_CALL || o->code == RES_ARRAY || o->code == RES_MAP || o->code == RES_SKIP_ARRAY || o->code == RES_SKIP_MAP)
      o->a = c->blocks[o->a].entry;
  }
  return CSFLE_OK;
}

csfle_status csfle__avro_resolution_compile(csfle__resolution **out, const csfle__schema *writer, const csfle__schema *reader, csfle_error *err)
{
  compiler c = { .w = csfle__avro(writer), .t = csfle__avro(reader), .err = err, .found = CSFLE__MAP_INIT, .defaults = CSFLE__MAP_INIT,
                 .fields = CSFLE__MAP_INIT };
  *out = NULL;
  if (!(c.r = csfle__calloc(1, sizeof *c.r))) return csfle__nomem(err);
  c.r->base = (csfle__resolution){ writer, reader };
  csfle_buf_init(&c.constants, 0, 0);
  csfle_status rc = compile(&c);
  c.r->bytes = c.constants.ptr; /* of csfle__alloc: freed with it */
  csfle__map_free(&c.found, NULL), csfle__map_free(&c.defaults, NULL), csfle__map_free(&c.fields, NULL);
  csfle__free(c.blocks), csfle__free(c.refs), csfle__free(c.unions), csfle__free(c.failures), csfle__free(c.defs);
  if (rc == CSFLE_OK) *out = &c.r->base;
  else csfle__avro_resolution_free(&c.r->base);
  return rc;
}

void csfle__avro_resolution_free(csfle__resolution *base)
{
  avro_resolution *r = (avro_resolution *)(void *)base;
  if (!r) return;
  csfle__free(r->ops), csfle__free(r->numbers), csfle__free(r->bytes), csfle__free(r->names);
  csfle__arena_free(&r->arena);
  csfle__free(r);
}
