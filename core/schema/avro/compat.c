/*
 * Can data written with one schema be read with another (3.11)? A walk over pairs of type objects with a stack on the
 * heap. Each pair is looked at once: its differences are kept as a list, with the path at which it was met first, and
 * another list may point at it, so lists form a graph that is only spelled out when it is shown.
 *
 * Objects, not structures: primitives are shared by all schemas here, so an unnamed type is known by the place that
 * refers to it (the field, the branch, the array), a named one by itself.
 */
#include "core/schema/avro/compat.h"

#include "core/base/alloc.h"
#include "core/base/map.h"
#include "core/schema/avro/avro.h"

#include <ctype.h>
#include <stdlib.h>

/* Only unions against unions make more pairs than the schemas are long: the product of their branches. */
#define MAX_PAIRS 250000
#define MAX_STEPS 20000000 /* fields, branches, aliases and symbols looked at */

typedef enum kind {
  NAME_MISMATCH, FIXED_SIZE_MISMATCH, MISSING_ENUM_SYMBOLS, TYPE_MISMATCH, MISSING_UNION_BRANCH, MISSING_DEFAULT,
  CHILD /* the list of another pair */
} kind;
static const char *const kind_names[] = { "NAME_MISMATCH", "FIXED_SIZE_MISMATCH", "MISSING_ENUM_SYMBOLS", "TYPE_MISMATCH",
                                          "MISSING_UNION_BRANCH", "READER_FIELD_MISSING_DEFAULT_VALUE" };

/* what a path goes on with below a pair */
typedef enum step { HERE, NAME, SIZE, SYMBOLS, ITEMS, VALUES, FIELD, FIELD_TYPE, BRANCH } step;

typedef struct place {
  const csfle__avro_type *t;
  const void             *object; /* identity */
} place;

typedef struct pair pair;
typedef struct item {
  struct item *next;
  pair        *child; /* CHILD */
  uint32_t     index; /* of step FIELD and BRANCH */
  uint8_t      kind, step;
} item;
struct pair {
  place    r, w;
  pair    *up; /* path: that of up and one step more; NULL: the root */
  item    *first, *last;
  pair    *below; /* the one under it on the stack */
  pair    *child; /* the one that was waited for */
  uint32_t next;  /* field or branch it is at */
  uint32_t index;
  uint8_t  step;
  bool     done;
};

typedef struct checker {
  csfle__arena arena;
  csfle__map   pairs;
  pair        *top; /* of the stack */
  size_t       steps;
  csfle_status rc;
  csfle_error *err;
  const char  *gave_up; /* past a limit */
  const csfle__avro_type  *twice; /* writer record in which a reader field finds more than one */
  const csfle__avro_field *twice_field;
  uint32_t                 twice_pos;
} checker;

static place at(const csfle__avro_type *const *slot)
{
  return (place){ *slot, csfle__avro_named((*slot)->kind) ? (const void *)*slot : (const void *)slot };
}

static bool stopped(const checker *c) { return c->rc != CSFLE_OK || c->gave_up || c->twice; }

static void spend(checker *c, size_t steps)
{
  c->steps += steps;
  if (c->steps > MAX_STEPS) c->gave_up = "more than 20000000 fields, branches and aliases to look at";
}

static void add(checker *c, pair *p, kind k, pair *child, step s, size_t index)
{
  item *i = csfle__arena_alloc(&c->arena, sizeof *i);
  if (!i) {
    c->rc = csfle__nomem(c->err);
    return;
  }
  *i = (item){ NULL, child, (uint32_t)index, (uint8_t)k, (uint8_t)s };
  if (p->last) p->last->next = i;
  else p->first = i;
  p->last = i;
}

/* whether a primitive reader takes a primitive writer */
static bool promotes(csfle__avro_kind r, csfle__avro_kind w)
{
  if (r == w) return true;
  switch (r) {
  case AVRO_LONG: return w == AVRO_INT;
  case AVRO_FLOAT: return w == AVRO_INT || w == AVRO_LONG;
  case AVRO_DOUBLE: return w == AVRO_INT || w == AVRO_LONG || w == AVRO_FLOAT;
  case AVRO_BYTES: return w == AVRO_STRING;
  case AVRO_STRING: return w == AVRO_BYTES;
  default: return false;
  }
}

typedef enum verdict { CLEAN, DIRTY, WAIT } verdict;

/*
 * The verdict on a pair below p, *found gets it when DIRTY; WAIT: it is on the stack now, ask again with the same
 * arguments when it is gone. fresh: its paths begin at the root.
 */
static verdict below(checker *c, pair *p, place r, place w, bool fresh, step s, size_t index, pair **found)
{
  const void *key[2] = { r.object, w.object };
  pair       *q = p->child;

  if (r.t->kind <= AVRO_STRING && promotes(r.t->kind, w.t->kind)) return CLEAN;
  p->child = NULL;
  if (!q) q = csfle__map_get(&c->pairs, csfle__view(key, sizeof key));
  if (q) {
    *found = q;
    return q->done && q->first ? DIRTY : CLEAN; /* not done: it is being worked on, further down the stack */
  }
  if (c->pairs.count >= MAX_PAIRS) {
    c->gave_up = "more than 250000 pairs of types to compare";
    return WAIT;
  }
  q = csfle__arena_alloc(&c->arena, sizeof *q);
  if (!q || csfle__map_put(&c->pairs, csfle__view(key, sizeof key), q, NULL) != 0) {
    c->rc = csfle__nomem(c->err);
    return WAIT;
  }
  *q = (pair){ .r = r, .w = w, .up = fresh ? NULL : p, .step = (uint8_t)(fresh ? HERE : s), .index = (uint32_t)index, .below = p };
  p->child = q;
  c->top = q;
  return WAIT;
}

/* as below, the list of a dirty pair becoming part of p's; false: wait */
static bool part(checker *c, pair *p, place r, place w, step s, size_t index)
{
  pair   *q;
  verdict v = below(c, p, r, w, false, s, index, &q);
  if (v == DIRTY) add(c, p, CHILD, q, HERE, 0);
  return v != WAIT;
}

static void names(checker *c, pair *p)
{
  const csfle__avro_type *r = p->r.t, *w = p->w.t;
  if (csfle__eq(r->name, w->name)) return;
  spend(c, r->alias_count);
  for (size_t i = 0; i < r->alias_count; i++) {
    if (csfle__eq(r->aliases[i], w->full)) return;
  }
  add(c, p, NAME_MISMATCH, NULL, NAME, 0);
}

static bool has_symbol(const csfle__avro_type *t, csfle__bytes symbol) { return csfle__avro_index_find(t->index, t->count, symbol) >= 0; }

static void symbols(checker *c, pair *p)
{
  const csfle__avro_type *r = p->r.t, *w = p->w.t;
  if (r->enum_default.ptr) return;
  spend(c, w->count);
  for (size_t i = 0; i < w->count; i++) {
    if (!has_symbol(r, w->symbols[i])) {
      add(c, p, MISSING_ENUM_SYMBOLS, NULL, SYMBOLS, 0);
      return;
    }
  }
}

/* The writer's field for the reader's i-th: its position, -1 none, -2 several. */
static int64_t writer_field(checker *c, const csfle__avro_field *f, const csfle__avro_type *w)
{
  int64_t found = csfle__avro_index_find(w->index, w->count, f->name);
  spend(c, f->alias_count + 1);
  for (size_t i = 0; i < f->alias_count; i++) {
    int64_t pos = csfle__avro_index_find(w->index, w->count, f->aliases[i]);
    if (pos < 0 || pos == found) continue;
    if (found >= 0) return -2;
    found = pos;
  }
  return found;
}

static void record(checker *c, pair *p)
{
  const csfle__avro_type *r = p->r.t, *w = p->w.t;
  if (p->next == 0 && !p->child) names(c, p);
  for (; p->next < r->count && !stopped(c); p->next++) {
    const csfle__avro_field *f = &r->fields[p->next];
    int64_t                  pos = writer_field(c, f, w);
    if (pos == -2) c->twice = w, c->twice_field = f, c->twice_pos = p->next;
    else if (pos >= 0) {
      if (!part(c, p, at(&f->type), at(&w->fields[pos].type), FIELD_TYPE, p->next)) return;
    } else if (f->def) continue;
    else if (f->type->kind == AVRO_ENUM && f->type->enum_default.ptr) { /* the Java registry's quirk: never compatible */
      if (!part(c, p, at(&f->type), p->w, FIELD_TYPE, p->next)) return;
    } else add(c, p, MISSING_DEFAULT, NULL, FIELD, p->next);
  }
  if (p->next >= r->count) p->done = true;
}

/* both unions: each branch of the writer against the reader's whole union */
static void unions(checker *c, pair *p)
{
  const csfle__avro_type *w = p->w.t;
  pair                   *q;
  for (; p->next < w->count && !stopped(c); p->next++) {
    verdict v = below(c, p, p->r, at(&w->branches[p->next]), true, HERE, 0, &q);
    if (v == WAIT) return;
    if (v == DIRTY) add(c, p, MISSING_UNION_BRANCH, NULL, BRANCH, p->next);
  }
  if (p->next >= w->count) p->done = true;
}

/* a union of the writer only: the reader has to take every branch */
static void writer_union(checker *c, pair *p)
{
  const csfle__avro_type *w = p->w.t;
  for (; p->next < w->count && !stopped(c); p->next++) {
    if (!part(c, p, p->r, at(&w->branches[p->next]), BRANCH, p->next)) return;
  }
  if (p->next >= w->count) p->done = true;
}

/* a union of the reader only: one branch has to take the writer's */
static void reader_union(checker *c, pair *p)
{
  const csfle__avro_type *r = p->r.t;
  pair                   *q;
  for (; p->next < r->count && !stopped(c); p->next++) {
    spend(c, 1);
    verdict v = below(c, p, at(&r->branches[p->next]), p->w, true, HERE, 0, &q);
    if (v == WAIT) return;
    if (v == CLEAN) {
      p->done = true;
      return;
    }
  }
  if (p->next >= r->count) {
    add(c, p, MISSING_UNION_BRANCH, NULL, HERE, 0);
    p->done = true;
  }
}

/* works on p until it is done or waits for another */
static void work(checker *c, pair *p)
{
  const csfle__avro_type *r = p->r.t, *w = p->w.t;

  if (r->kind != w->kind) {
    if (w->kind == AVRO_UNION) writer_union(c, p);
    else if (r->kind == AVRO_UNION) reader_union(c, p);
    else {
      if (!promotes(r->kind, w->kind)) add(c, p, TYPE_MISMATCH, NULL, HERE, 0);
      p->done = true;
    }
    return;
  }
  switch (r->kind) {
  case AVRO_ARRAY: p->done = part(c, p, at(&r->item), at(&w->item), ITEMS, 0); return;
  case AVRO_MAP: p->done = part(c, p, at(&r->item), at(&w->item), VALUES, 0); return;
  case AVRO_RECORD: record(c, p); return;
  case AVRO_UNION: unions(c, p); return;
  case AVRO_FIXED:
    names(c, p);
    if (r->size != w->size) add(c, p, FIXED_SIZE_MISMATCH, NULL, SIZE, 0);
    break;
  case AVRO_ENUM:
    names(c, p);
    symbols(c, p);
    break;
  default: break;
  }
  p->done = true;
}

/* ---- showing ------------------------------------------------------------------------------------------------------ */

static csfle_status put_step(csfle_buf *b, step s, uint32_t index, csfle_error *err)
{
  switch (s) {
  case NAME: return csfle__buf_puts(b, "/name", err);
  case SIZE: return csfle__buf_puts(b, "/size", err);
  case SYMBOLS: return csfle__buf_puts(b, "/symbols", err);
  case ITEMS: return csfle__buf_puts(b, "/items", err);
  case VALUES: return csfle__buf_puts(b, "/values", err);
  case FIELD: return csfle__buf_printf(b, err, "/fields/%u", index);
  case FIELD_TYPE: return csfle__buf_printf(b, err, "/fields/%u/type", index);
  case BRANCH: return csfle__buf_printf(b, err, "/%u", index);
  default: return CSFLE_OK;
  }
}

typedef struct shower {
  csfle__difference_fn each;
  void                *opaque;
  csfle_error         *err;
  csfle_buf            path, info;
  const pair         **chain; /* memory for paths */
  size_t               chain_cap;
} shower;

static csfle_status put_path(shower *s, const pair *p, const item *i)
{
  size_t       n = 0;
  csfle_status rc = CSFLE_OK;
  csfle__buf_clear(&s->path);
  for (; p; p = p->up) {
    if (csfle__grow((void **)&s->chain, &s->chain_cap, n + 1, sizeof *s->chain) != 0) return csfle__nomem(s->err);
    s->chain[n++] = p;
  }
  while (rc == CSFLE_OK && n--) rc = put_step(&s->path, (step)s->chain[n]->step, s->chain[n]->index, s->err);
  if (rc == CSFLE_OK) rc = put_step(&s->path, (step)i->step, i->index, s->err);
  if (rc == CSFLE_OK && s->path.len == 0) rc = csfle__buf_puts(&s->path, "/", s->err);
  return rc;
}

static const char *upper(csfle__avro_kind k, char out[16])
{
  const char *name = csfle__avro_kind_name(k);
  size_t      n = 0;
  for (; name[n] && n < 15; n++) out[n] = (char)toupper((unsigned char)name[n]);
  out[n] = 0;
  return out;
}

static int text_order(const void *a, const void *b) { return csfle__cmp_utf16(*(const csfle__bytes *)a, *(const csfle__bytes *)b); }

static csfle_status put_symbols(csfle_buf *b, const csfle__avro_type *r, const csfle__avro_type *w, csfle_error *err)
{
  csfle__bytes *list = csfle__alloc(w->count * sizeof *list);
  size_t        n = 0;
  if (!list) return csfle__nomem(err);
  for (size_t i = 0; i < w->count; i++) {
    if (!has_symbol(r, w->symbols[i])) list[n++] = w->symbols[i];
  }
  qsort(list, n, sizeof *list, text_order);
  csfle_status rc = csfle__buf_puts(b, "[", err);
  for (size_t i = 0; i < n && rc == CSFLE_OK; i++) {
    if (i) rc = csfle__buf_puts(b, ", ", err);
    if (rc == CSFLE_OK) rc = csfle__buf_put(b, list[i].ptr, list[i].len, err);
  }
  csfle__free(list);
  return rc == CSFLE_OK ? csfle__buf_puts(b, "]", err) : rc;
}

static csfle_status put_info(csfle_buf *b, const pair *p, const item *i, csfle_error *err)
{
  const csfle__avro_type *r = p->r.t, *w = p->w.t;
  char                    one[16], two[16];
  csfle_status            rc;
  csfle__buf_clear(b);
  switch ((kind)i->kind) {
  case NAME_MISMATCH:
    rc = csfle__buf_puts(b, "expected: ", err);
    return rc == CSFLE_OK ? csfle__buf_put(b, w->full.ptr, w->full.len, err) : rc;
  case FIXED_SIZE_MISMATCH: return csfle__buf_printf(b, err, "expected: %zu, found: %zu", w->size, r->size);
  case MISSING_ENUM_SYMBOLS: return put_symbols(b, r, w, err);
  case TYPE_MISMATCH:
    return csfle__buf_printf(b, err, "reader type: %s not compatible with writer type: %s", upper(r->kind, one), upper(w->kind, two));
  case MISSING_UNION_BRANCH:
    return csfle__buf_printf(b, err, "reader union lacking writer type: %s",
                             upper(i->step == BRANCH ? w->branches[i->index]->kind : w->kind, one));
  default: return csfle__buf_put(b, r->fields[i->index].name.ptr, r->fields[i->index].name.len, err);
  }
}

/* every list from p's on, depth first: as long as the caller takes more */
static csfle_status show(shower *s, const pair *p)
{
  struct {
    const pair *p;
    const item *i;
  } *stack = NULL;
  size_t       depth = 0, cap = 0;
  csfle_status rc = CSFLE_OK;

  for (const item *i = p->first; rc == CSFLE_OK;) {
    if (!i) {
      if (!depth) break;
      p = stack[--depth].p, i = stack[depth].i;
    } else if (i->kind == CHILD) {
      if (csfle__grow((void **)&stack, &cap, depth + 1, sizeof *stack) != 0) rc = csfle__nomem(s->err);
      else {
        if (i->next) stack[depth].p = p, stack[depth++].i = i->next;
        p = i->child, i = p->first;
      }
    } else {
      rc = put_path(s, p, i);
      if (rc == CSFLE_OK) rc = put_info(&s->info, p, i, s->err);
      if (rc == CSFLE_OK) {
        csfle__difference d = { kind_names[i->kind], csfle__buf_view(&s->path), csfle__buf_view(&s->info), true };
        rc = s->each(s->opaque, &d, s->err);
      }
      i = i->next;
    }
  }
  csfle__free(stack);
  return rc;
}

/* what Java throws, or what stands for it where we stop */
static csfle_status show_exception(shower *s, const checker *c, const csfle__schema *writer)
{
  csfle_buf   *b = &s->info;
  char         type[16];
  csfle_status rc;
  if (c->gave_up) rc = csfle__buf_puts(b, c->gave_up, s->err);
  else {
    csfle__avro_schema alone = *csfle__avro(writer);
    alone.root = c->twice, alone.ref_count = 0;
    rc = csfle__buf_puts(b, "Reader record field ", s->err);
    if (rc == CSFLE_OK) rc = csfle__buf_put(b, c->twice_field->name.ptr, c->twice_field->name.len, s->err);
    if (rc == CSFLE_OK) rc = csfle__buf_printf(b, s->err, " type:%s pos:%u matches multiple fields in writer record schema ",
                                               upper(c->twice_field->type->kind, type), c->twice_pos);
    if (rc == CSFLE_OK) rc = csfle__avro_canonical(&alone.base, b, s->err);
    if (rc == CSFLE_E_SCHEMA) rc = csfle__buf_put(b, c->twice->full.ptr, c->twice->full.len, s->err); /* too deep written out */
  }
  csfle__difference d = { "EXCEPTION", CSFLE__NONE, csfle__buf_view(b), true };
  return rc == CSFLE_OK ? s->each(s->opaque, &d, s->err) : rc;
}

/* ---- the functions of csfle__format_avro ----------------------------------------------------------------------------- */

csfle_status csfle__avro_differences(const csfle__schema *reader, const csfle__schema *writer, bool *compatible,
                                     csfle__difference_fn each, void *opaque, csfle_error *err)
{
  checker c = { .arena = CSFLE__ARENA_INIT, .pairs = CSFLE__MAP_INIT, .err = err };
  pair    root = { .r = at(&csfle__avro(reader)->root), .w = at(&csfle__avro(writer)->root) };
  const void *key[2] = { root.r.object, root.w.object };

  if (csfle__map_put(&c.pairs, csfle__view(key, sizeof key), &root, NULL) != 0) c.rc = csfle__nomem(err);
  c.top = &root;
  while (c.top && !stopped(&c)) {
    pair *p = c.top;
    spend(&c, 1);
    work(&c, p);
    if (p->done) c.top = p->below;
  }
  *compatible = !stopped(&c) && !root.first;
  if (c.rc == CSFLE_OK && each && !*compatible) {
    shower s = { each, opaque, err, CSFLE__BUF_INIT, CSFLE__BUF_INIT, NULL, 0 };
    csfle_buf_init(&s.path, 0, 0), csfle_buf_init(&s.info, 0, 0);
    c.rc = stopped(&c) ? show_exception(&s, &c, writer) : show(&s, &root);
    csfle_buf_free(&s.path), csfle_buf_free(&s.info);
    csfle__free(s.chain);
  }
  csfle__map_free(&c.pairs, NULL);
  csfle__arena_free(&c.arena);
  return c.rc;
}

csfle_status csfle__avro_difference_line(const csfle__difference *d, const char *reader, const char *writer, csfle_buf *out,
                                         csfle_error *err)
{
  /* p: path, i: info, r, w: the words */
  static const char *const said[] = {
    "The name of the schema has changed (path '%p')",
    "The size of FIXED type field at path '%p' in the %r schema does not match with the %w schema",
    "The %r schema is missing enum symbols '%i' at path '%p' in the %w schema",
    "The type (path '%p') of a field in the %r schema does not match with the %w schema",
    "The %r schema is missing a type inside a union field at path '%p' in the %w schema",
    "The field '%i' at path '%p' in the %r schema has no default value and is missing in the %w schema",
  };
  size_t       k = 0;
  csfle_status rc;

  while (k < sizeof said / sizeof *said && strcmp(kind_names[k], d->type) != 0) k++;
  if (k == sizeof said / sizeof *said) {
    rc = csfle__buf_puts(out, "Unexpected exception during compatibility check: ", err);
    return rc == CSFLE_OK ? csfle__buf_put(out, d->info.ptr, d->info.len, err) : rc;
  }
  rc = csfle__buf_printf(out, err, "{errorType:'%s', description:'", d->type);
  for (const char *s = said[k]; *s && rc == CSFLE_OK; s++) {
    if (*s != '%') {
      rc = csfle__buf_putc(out, (uint8_t)*s, err);
      continue;
    }
    csfle__bytes x = *++s == 'p' ? d->path : *s == 'i' ? d->info : csfle__str(*s == 'r' ? reader : writer);
    rc = csfle__buf_put(out, x.ptr, x.len, err);
  }
  if (rc == CSFLE_OK) rc = csfle__buf_puts(out, "', additionalInfo:'", err);
  if (rc == CSFLE_OK) rc = csfle__buf_put(out, d->info.ptr, d->info.len, err);
  return rc == CSFLE_OK ? csfle__buf_puts(out, "'}", err) : rc;
}

bool csfle__avro_top_field(const csfle__schema *s, csfle__bytes name)
{
  const csfle__avro_type *root = csfle__avro(s)->root;
  return root->kind == AVRO_RECORD && csfle__avro_index_find(root->index, root->count, name) >= 0;
}
