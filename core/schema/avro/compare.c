/*
 * Whether two schemas are the same: as definitions of one name, as contents, as layouts. Pairs of types are put on a
 * list; a pair of named types is looked at once, so recursive schemas end.
 *
 * Layout [AB-1]: an encoder compiled from one schema produces bytes that a plan of the other may walk only if both are
 * built alike: kinds, order of fields, union branches and symbols, sizes. Names of fields and symbols have to be the
 * same too, although no byte depends on them: where the name at a place differs the encoder means other data there, and
 * its tags would be those of the wrong field. For the same reason records (enums, fixed)
 * that are several in one union have to have the same names: two of like fields may have changed places. Other names of types, docs, defaults, aliases, orders and properties
 * do not matter.
 */
#include "core/schema/avro/avro.h"

#include "core/base/alloc.h"
#include "core/base/map.h"

#include <math.h>

#define MAX_PAIRS 200000 /* pairs of named types; two cyclic schemas could make as many as the product of their sizes */

typedef struct pair {
  const csfle__avro_type *a, *b;
} pair;
typedef struct comparison {
  pair                    *list;
  size_t                   count, cap;
  csfle__map               seen;
  csfle__avro_compare_mode mode;
} comparison;

static int also(comparison *c, const csfle__avro_type *a, const csfle__avro_type *b)
{
  if (a == b) return 1;
  if (a->kind != b->kind) return 0;
  if (csfle__grow((void **)&c->list, &c->cap, c->count + 1, sizeof *c->list) != 0) return -1;
  c->list[c->count++] = (pair){ a, b };
  return 1;
}

static int same_props(const csfle__avro_props *a, const csfle__avro_props *b)
{
  if (a->count != b->count) return 0;
  for (size_t i = 0; i < a->count; i++) {
    if (!csfle__eq(a->sorted[i]->key, b->sorted[i]->key)) return 0;
    int same = csfle__avro_json_same(a->sorted[i]->value, b->sorted[i]->value);
    if (same <= 0) return same;
  }
  return 1;
}

static bool same_text(csfle__bytes a, csfle__bytes b) { return !a.ptr == !b.ptr && csfle__eq(a, b); }

/* as sets: both hold each alias once */
static int same_aliases(const csfle__bytes *a, size_t na, const csfle__bytes *b, size_t nb)
{
  csfle__map m = CSFLE__MAP_INIT;
  int        same = na == nb;
  for (size_t i = 0; same == 1 && i < na; i++) {
    if (csfle__map_put(&m, a[i], &m, NULL) != 0) same = -1;
  }
  for (size_t i = 0; same == 1 && i < nb; i++) same = csfle__map_get(&m, b[i]) != NULL;
  csfle__map_free(&m, NULL);
  return same;
}

static int same_default(const csfle__avro_field *a, const csfle__avro_field *b)
{
  double x, y;
  if (!a->def || !b->def) return a->def == b->def;
  if (a->def_double || b->def_double) { /* "1.5" of a double is the number */
    if (a->def_double) x = a->def_value;
    else if (csfle__avro_integer(a->def) || !csfle__avro_double(a->def, &x)) return 0;
    if (b->def_double) y = b->def_value;
    else if (csfle__avro_integer(b->def) || !csfle__avro_double(b->def, &y)) return 0;
    return (isnan(x) && isnan(y)) || (x == y && signbit(x) == signbit(y));
  }
  return csfle__avro_json_same(a->def, b->def);
}

static int fields(comparison *c, const csfle__avro_type *a, const csfle__avro_type *b)
{
  int same = 1;
  for (size_t i = 0; i < a->count && same == 1; i++) {
    const csfle__avro_field *f = &a->fields[i], *g = &b->fields[i];
    same = csfle__eq(f->name, g->name);
    if (same == 1 && c->mode != AVRO_SAME_LAYOUT) {
      same = f->order == g->order;
      if (same == 1) same = same_default(f, g);
      if (same == 1) same = same_props(&f->props, &g->props);
    }
    if (same == 1 && c->mode == AVRO_SAME_CONTENT) {
      same = same_text(f->doc, g->doc);
      if (same == 1) same = same_aliases(f->aliases, f->alias_count, g->aliases, g->alias_count);
    }
    if (same == 1) same = also(c, f->type, g->type);
  }
  return same;
}

static int one(comparison *c, const csfle__avro_type *a, const csfle__avro_type *b)
{
  size_t of_kind[AVRO_UNION + 1] = { 0 };
  int    same = 1;
  if (csfle__avro_named(a->kind)) {
    pair key = { a, b };
    if (csfle__map_get(&c->seen, csfle__view(&key, sizeof key))) return 1;
    if (c->seen.count >= MAX_PAIRS) return 0;
    if (csfle__map_put(&c->seen, csfle__view(&key, sizeof key), c, NULL) != 0) return -1;
    if (c->mode != AVRO_SAME_LAYOUT && !csfle__eq(a->full, b->full)) return 0;
  }
  if (a->count != b->count || a->size != b->size) return 0;
  if (c->mode != AVRO_SAME_LAYOUT) same = same_props(&a->props, &b->props);
  if (same == 1 && c->mode == AVRO_SAME_CONTENT) {
    same = a->error == b->error && same_text(a->doc, b->doc) && same_text(a->enum_default, b->enum_default);
    if (same == 1) same = same_aliases(a->aliases, a->alias_count, b->aliases, b->alias_count);
  }
  switch (a->kind) {
  case AVRO_RECORD: return same == 1 ? fields(c, a, b) : same;
  case AVRO_ENUM:
    for (size_t i = 0; i < a->count && same == 1; i++) same = csfle__eq(a->symbols[i], b->symbols[i]);
    return same;
  case AVRO_UNION:
    for (size_t i = 0; i < a->count; i++) of_kind[a->branches[i]->kind]++;
    for (size_t i = 0; i < a->count && same == 1; i++) {
      const csfle__avro_type *x = a->branches[i], *y = b->branches[i];
      if (c->mode == AVRO_SAME_LAYOUT && csfle__avro_named(x->kind) && of_kind[x->kind] > 1 && !csfle__eq(x->full, y->full)) same = 0;
      else same = also(c, x, y);
    }
    return same;
  case AVRO_ARRAY:
  case AVRO_MAP: return same == 1 ? also(c, a->item, b->item) : same;
  default: return same;
  }
}

int csfle__avro_compare(const csfle__avro_type *a, const csfle__avro_type *b, csfle__avro_compare_mode mode)
{
  comparison c = { .seen = CSFLE__MAP_INIT, .mode = mode };
  int        same = also(&c, a, b);
  while (same == 1 && c.count) {
    pair p = c.list[--c.count];
    same = one(&c, p.a, p.b);
  }
  csfle__map_free(&c.seen, NULL);
  csfle__free(c.list);
  return same;
}

/* no memory counts as different: the caller then does the careful thing */
bool csfle__avro_equivalent(const csfle__schema *a, const csfle__schema *b)
{
  return csfle__avro_compare(csfle__avro(a)->root, csfle__avro(b)->root, AVRO_SAME_CONTENT) == 1;
}
bool csfle__avro_same_layout(const csfle__schema *a, const csfle__schema *b)
{
  return csfle__avro_compare(csfle__avro(a)->root, csfle__avro(b)->root, AVRO_SAME_LAYOUT) == 1;
}
