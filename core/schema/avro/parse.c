/*
 * Text to tree (spec/schemas-and-compatibility.md 3.1 .. 3.3, 3.8). A work list on the heap takes the place of
 * recursion. Types are visited in the order of the text, because a name means what is defined by then; what is not
 * defined yet stays open until the text ends.
 */
#include "core/schema/avro/plan.h"

#include "core/base/alloc.h"
#include "core/base/map.h"

#include <math.h>
#include <stdlib.h>

static const char *const words[] = { "null",   "boolean", "int",    "long", "float", "double", "bytes",
                                     "string", "record",  "enum",   "fixed", "array", "map",   "union" };

const char *csfle__avro_kind_name(csfle__avro_kind k) { return words[k]; }

int csfle__avro_kind_find(csfle__bytes word, bool all)
{
  for (int i = 0; i <= (all ? AVRO_UNION : AVRO_STRING); i++) {
    if (csfle__eq_str(word, words[i])) return i;
  }
  return -1;
}

/* primitives without properties are shared by all schemas */
static const csfle__avro_type primitives[] = {
  { .kind = AVRO_NULL },  { .kind = AVRO_BOOLEAN }, { .kind = AVRO_INT },   { .kind = AVRO_LONG },
  { .kind = AVRO_FLOAT }, { .kind = AVRO_DOUBLE },  { .kind = AVRO_BYTES }, { .kind = AVRO_STRING },
};

typedef struct work {
  yyjson_val              *v;
  csfle__bytes             ns;
  const csfle__avro_type **slot;
  const csfle__avro_type  *owner; /* record and name of the field it is in, for errors */
  csfle__bytes             field;
  bool                     branch; /* of a union */
} work;
/* a place that holds a name not yet defined, or a second definition of a name */
typedef struct open_slot {
  const csfle__avro_type **slot;
  csfle__bytes             full;   /* open name */
  csfle__avro_type        *second; /* definition to compare with the first */
  const csfle__avro_type  *owner;
  csfle__bytes             field;
} open_slot;

typedef struct parser {
  csfle__avro_schema *s;
  csfle__map          names; /* full name -> csfle__avro_type */
  work               *works;
  size_t              work_count, work_cap;
  open_slot          *open;
  size_t              open_count, open_cap;
  csfle__avro_type  **made; /* records and unions of this text */
  size_t              made_count, made_cap;
  const work         *at;
  csfle_error        *err;
} parser;

#define BAD(p, ...) where(p, csfle__fail((p)->err, CSFLE_E_SCHEMA, __VA_ARGS__), (p)->at->owner, (p)->at->field)
#define NOMEM(p)    csfle__nomem((p)->err)

static csfle_status where(parser *p, csfle_status rc, const csfle__avro_type *owner, csfle__bytes field)
{
  if (owner) csfle__where(p->err, "%.*s.%.*s", CSFLE__FMT(owner->full), CSFLE__FMT(field));
  return rc;
}

/* ---- small parts -------------------------------------------------------------------------------------------------- */

static int index_order(const void *a, const void *b)
{
  const csfle__avro_index *x = a, *y = b;
  int                      d = csfle__cmp(x->name, y->name);
  return d ? d : (x->pos > y->pos) - (x->pos < y->pos);
}

int64_t csfle__avro_index_find(const csfle__avro_index *ix, size_t count, csfle__bytes name)
{
  for (size_t lo = 0, hi = count; lo < hi;) {
    size_t mid = lo + (hi - lo) / 2;
    int    d = csfle__cmp(name, ix[mid].name);
    if (d == 0) return ix[mid].pos;
    if (d < 0) hi = mid;
    else lo = mid + 1;
  }
  return -1;
}

/* sorts, and gives the name that occurs twice, if one does */
static const csfle__bytes *sort_index(csfle__avro_index *ix, size_t count)
{
  qsort(ix, count, sizeof *ix, index_order);
  for (size_t i = 1; i < count; i++) {
    if (csfle__eq(ix[i - 1].name, ix[i].name)) return &ix[i].name;
  }
  return NULL;
}

/* code points that are no letters or digits although they are beyond ASCII: the common blocks of signs. Stored texts
   passed the check of the registry that accepted them, so only gross mistakes have to be caught here. */
static bool wide_letter(int32_t c)
{
  if (c < 0xAA || (c > 0xAA && c < 0xC0 && c != 0xB5 && c != 0xBA) || c == 0xD7 || c == 0xF7) return false;
  return !((c >= 0x2000 && c <= 0x206F) || (c >= 0x20A0 && c <= 0x20CF) || (c >= 0x2190 && c <= 0x2BFF) ||
           (c >= 0x3000 && c <= 0x3004) || (c >= 0x3008 && c <= 0x3020) || (c >= 0xE000 && c <= 0xF8FF) ||
           (c >= 0xFE10 && c <= 0xFE6F) || (c >= 0x1F000 && c <= 0x1FAFF) || c >= 0xE0000);
}

static bool name_ok(csfle__bytes n, bool strict)
{
  if (n.len == 0) return false;
  for (size_t i = 0, first = 1; i < n.len; first = 0) {
    uint8_t c = n.ptr[i];
    if (c >= 0x80) {
      if (strict || !wide_letter(csfle__utf8_next(n, &i))) return false;
      continue;
    }
    if (!(c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (!first && c >= '0' && c <= '9'))) return false;
    i++;
  }
  return true;
}

static bool strict(const parser *p) { return p->s->flags & CSFLE__SCHEMA_NEW; }

static csfle__bytes last_part(csfle__bytes full, csfle__bytes *ns)
{
  size_t dot = full.len;
  while (dot && full.ptr[dot - 1] != '.') dot--;
  *ns = dot ? csfle__view(full.ptr, dot - 1) : CSFLE__NONE;
  return csfle__from(full, dot);
}

static csfle__bytes join(parser *p, csfle__bytes ns, csfle__bytes name)
{
  if (ns.len == 0) return name;
  uint8_t *t = csfle__arena_alloc(&p->s->arena, ns.len + name.len + 2);
  if (!t) return CSFLE__NONE;
  memcpy(t, ns.ptr, ns.len), t[ns.len] = '.', memcpy(t + ns.len + 1, name.ptr, name.len);
  return csfle__view(t, ns.len + 1 + name.len);
}

typedef struct members {
  yyjson_val *type, *name, *ns, *doc, *aliases, *fields, *symbols, *size, *items, *values, *def, *order;
} members;

static void scan(yyjson_val *obj, members *m)
{
  static const struct {
    const char *key;
    size_t      off;
  } known[] = {
    { "type", offsetof(members, type) },       { "name", offsetof(members, name) },       { "namespace", offsetof(members, ns) },
    { "doc", offsetof(members, doc) },         { "aliases", offsetof(members, aliases) }, { "fields", offsetof(members, fields) },
    { "symbols", offsetof(members, symbols) }, { "size", offsetof(members, size) },       { "items", offsetof(members, items) },
    { "values", offsetof(members, values) },   { "default", offsetof(members, def) },     { "order", offsetof(members, order) },
  };
  size_t      i, n;
  yyjson_val *k, *v;
  memset(m, 0, sizeof *m);
  yyjson_obj_foreach(obj, i, n, k, v)
  {
    csfle__bytes key = csfle__json_text(k);
    for (size_t j = 0; j < sizeof known / sizeof *known; j++) {
      if (csfle__eq_str(key, known[j].key)) *(yyjson_val **)((char *)m + known[j].off) = v;
    }
  }
}

static bool reserved(csfle__bytes key, bool field, csfle__avro_kind kind)
{
  static const char *const on_types[] = { "doc", "fields", "items", "name", "namespace", "size", "symbols", "values", "type", "aliases" };
  static const char *const on_fields[] = { "default", "doc", "name", "order", "type", "aliases" };
  const char *const *list = field ? on_fields : on_types;
  size_t             n = field ? sizeof on_fields / sizeof *on_fields : sizeof on_types / sizeof *on_types;
  if (!field && kind == AVRO_ENUM && csfle__eq_str(key, "default")) return true;
  for (size_t i = 0; i < n; i++) {
    if (csfle__eq_str(key, list[i])) return true;
  }
  return false;
}

static int prop_order(const void *a, const void *b)
{
  const csfle__avro_prop *x = *(const csfle__avro_prop *const *)a, *y = *(const csfle__avro_prop *const *)b;
  int                     d = csfle__cmp_utf16(x->key, y->key);
  return d ? d : (x > y) - (x < y);
}

/* every key that is not reserved, in order; of a key given twice the first place and the last value */
static csfle_status props(parser *p, yyjson_val *obj, bool field, csfle__avro_kind kind, csfle__avro_props *out)
{
  size_t      i, n, count = 0, kept = 0;
  yyjson_val *k, *v;
  yyjson_obj_foreach(obj, i, n, k, v)
  {
    (void)v;
    count += !reserved(csfle__json_text(k), field, kind);
  }
  if (!count) return CSFLE_OK;
  out->items = csfle__arena_alloc(&p->s->arena, count * sizeof *out->items);
  out->sorted = csfle__arena_alloc(&p->s->arena, count * sizeof *out->sorted);
  if (!out->items || !out->sorted) return NOMEM(p);
  yyjson_obj_foreach(obj, i, n, k, v)
  {
    if (!reserved(csfle__json_text(k), field, kind)) out->items[out->count++] = (csfle__avro_prop){ csfle__json_text(k), v };
  }
  for (i = 0; i < count; i++) out->sorted[i] = &out->items[i];
  qsort(out->sorted, count, sizeof *out->sorted, prop_order);
  for (i = 1; i < count; i++) {
    csfle__avro_prop *a = (csfle__avro_prop *)(uintptr_t)out->sorted[i - 1], *b = (csfle__avro_prop *)(uintptr_t)out->sorted[i];
    if (!csfle__eq(a->key, b->key)) continue;
    a->value = b->value, b->value = NULL;
    out->sorted[i] = a, out->sorted[i - 1] = b;
  }
  for (i = 0; i < count; i++) {
    if (out->items[i].value) out->items[kept++] = out->items[i];
  }
  if (kept != count) {
    for (i = 0; i < kept; i++) out->sorted[i] = &out->items[i];
    qsort(out->sorted, kept, sizeof *out->sorted, prop_order);
  }
  out->count = kept;
  return CSFLE_OK;
}

yyjson_val *csfle__avro_prop_find(const csfle__avro_props *p, const char *key)
{
  for (size_t lo = 0, hi = p->count; lo < hi;) {
    size_t mid = lo + (hi - lo) / 2;
    int    d = csfle__cmp_utf16(csfle__str(key), p->sorted[mid]->key);
    if (d == 0) return p->sorted[mid]->value;
    if (d < 0) hi = mid;
    else lo = mid + 1;
  }
  return NULL;
}

/* aliases of a field, or of a type whose namespace is ns (then full names); each once */
static csfle_status aliases(parser *p, yyjson_val *v, bool type, csfle__bytes ns, const csfle__bytes **out, size_t *count)
{
  size_t      i, n, made = 0, kept = 0;
  yyjson_val *x;
  if (!v) return CSFLE_OK;
  if (!yyjson_is_arr(v)) return BAD(p, "aliases are no array");
  n = yyjson_arr_size(v);
  if (!n) return CSFLE_OK;
  csfle__bytes      *list = csfle__arena_alloc(&p->s->arena, n * sizeof *list);
  csfle__avro_index *ix = csfle__alloc(n * sizeof *ix);
  csfle_status       rc = CSFLE_OK;
  if (!list || !ix) rc = NOMEM(p);
  if (rc == CSFLE_OK) {
    yyjson_arr_foreach(v, i, n, x)
    {
      csfle__bytes a = csfle__json_text(x), space;
      if (!yyjson_is_str(x)) {
        rc = BAD(p, "alias %zu is no string", i);
        break;
      }
      if (type) {
        csfle__bytes simple = last_part(a, &space);
        if (strict(p) && !name_ok(simple, true)) {
          rc = BAD(p, "alias \"%.*s\" is no name", CSFLE__FMT(a));
          break;
        }
        if (simple.len == a.len) {
          a = join(p, ns, a);
          if (!a.ptr) {
            rc = NOMEM(p);
            break;
          }
        } else if (space.len == 0) {
          a = simple.len ? simple : CSFLE__LIT(""); /* "." */
        }
      }
      list[made] = a, ix[made] = (csfle__avro_index){ a, (uint32_t)made }, made++;
    }
  }
  if (rc == CSFLE_OK && sort_index(ix, made)) {
    for (i = 1; i < made; i++) {
      if (csfle__eq(ix[i - 1].name, ix[i].name)) list[ix[i].pos].ptr = NULL;
    }
    for (i = 0; i < made; i++) {
      if (list[i].ptr) list[kept++] = list[i];
    }
    made = kept;
  }
  csfle__free(ix);
  *out = list, *count = made;
  return rc;
}

static csfle_status push(parser *p, work w)
{
  if (csfle__grow((void **)&p->works, &p->work_cap, p->work_count + 1, sizeof w) != 0) return NOMEM(p);
  p->works[p->work_count++] = w;
  return CSFLE_OK;
}

/* what was pushed since @p base is visited first to last */
static void in_order(parser *p, size_t base)
{
  for (size_t a = base, b = p->work_count; a + 1 < b; a++, b--) {
    work keep = p->works[a];
    p->works[a] = p->works[b - 1], p->works[b - 1] = keep;
  }
}

static csfle_status remember(parser *p, open_slot o)
{
  if (csfle__grow((void **)&p->open, &p->open_cap, p->open_count + 1, sizeof o) != 0) return NOMEM(p);
  p->open[p->open_count++] = o;
  return CSFLE_OK;
}

static csfle_status made(parser *p, csfle__avro_type *t)
{
  if (csfle__grow((void **)&p->made, &p->made_cap, p->made_count + 1, sizeof t) != 0) return NOMEM(p);
  p->made[p->made_count++] = t;
  return CSFLE_OK;
}

/* ---- one node each ------------------------------------------------------------------------------------------------ */

static csfle_status use_name(parser *p, csfle__bytes name, const work *w)
{
  int                     prim = csfle__avro_kind_find(name, false);
  csfle__bytes            ns, full = name, simple = last_part(name, &ns);
  const csfle__avro_type *t = NULL;
  if (prim >= 0) return *w->slot = &primitives[prim], CSFLE_OK;
  if (simple.len == name.len && w->ns.len) {
    full = join(p, w->ns, name);
    if (!full.ptr) return NOMEM(p);
    t = csfle__map_get(&p->names, full);
  } else if (ns.len == 0) full = simple;
  if (!t) t = csfle__map_get(&p->names, simple.len == name.len ? name : full);
  if (t) return *w->slot = t, CSFLE_OK;
  return remember(p, (open_slot){ w->slot, full, NULL, w->owner, w->field });
}

/* everything of a field but its type, which is put on the work list */
static csfle_status field(parser *p, yyjson_val *v, csfle__avro_type *rec, size_t i)
{
  csfle__avro_field *f = &rec->fields[i];
  members            m;
  if (!yyjson_is_obj(v)) return BAD(p, "field %zu of \"%.*s\" is no object", i, CSFLE__FMT(rec->full));
  scan(v, &m);
  f->name = csfle__json_text(m.name);
  if (!yyjson_is_str(m.name)) return BAD(p, "field %zu of \"%.*s\" has no name", i, CSFLE__FMT(rec->full));
  if (!name_ok(f->name, strict(p)))
    return BAD(p, "field \"%.*s\" of \"%.*s\" has no valid name", CSFLE__FMT(f->name), CSFLE__FMT(rec->full));
  if (!m.type) return BAD(p, "field \"%.*s\" of \"%.*s\" has no type", CSFLE__FMT(f->name), CSFLE__FMT(rec->full));
  if (yyjson_is_str(m.doc)) f->doc = csfle__json_text(m.doc);
  f->def = m.def;
  if (m.order) {
    csfle__bytes o = csfle__json_text(m.order);
    if (csfle__eq_nocase(o, CSFLE__LIT("ascending"))) f->order = AVRO_ASCENDING;
    else if (csfle__eq_nocase(o, CSFLE__LIT("descending"))) f->order = AVRO_DESCENDING;
    else if (csfle__eq_nocase(o, CSFLE__LIT("ignore"))) f->order = AVRO_IGNORE;
    else return BAD(p, "order of field \"%.*s\" is not ascending, descending or ignore", CSFLE__FMT(f->name));
  }
  csfle_status rc = aliases(p, m.aliases, false, CSFLE__NONE, &f->aliases, &f->alias_count);
  if (rc == CSFLE_OK) rc = props(p, v, true, AVRO_NULL, &f->props);
  rec->count = i + 1;
  return rc == CSFLE_OK ? push(p, (work){ m.type, rec->ns, &f->type, rec, f->name, false }) : rc;
}

static csfle_status record(parser *p, csfle__avro_type *t, const members *m)
{
  size_t       i, n, base = p->work_count;
  yyjson_val  *x;
  csfle_status rc = CSFLE_OK;
  if (!yyjson_is_arr(m->fields)) return BAD(p, "record \"%.*s\" has no fields", CSFLE__FMT(t->full));
  n = yyjson_arr_size(m->fields);
  csfle__avro_index *ix = csfle__arena_alloc(&p->s->arena, n * sizeof *ix);
  t->fields = csfle__arena_alloc(&p->s->arena, n * sizeof *t->fields);
  if (!ix || !t->fields) return NOMEM(p);
  yyjson_arr_foreach(m->fields, i, n, x)
  {
    if ((rc = field(p, x, t, i)) != CSFLE_OK) return rc;
    ix[i] = (csfle__avro_index){ t->fields[i].name, (uint32_t)i };
  }
  const csfle__bytes *twice = sort_index(ix, t->count);
  if (twice) return BAD(p, "record \"%.*s\" has two fields \"%.*s\"", CSFLE__FMT(t->full), CSFLE__FMT(*twice));
  t->index = ix;
  in_order(p, base);
  return made(p, t);
}

static csfle_status enumeration(parser *p, csfle__avro_type *t, const members *m)
{
  size_t      i, n;
  yyjson_val *x;
  if (!yyjson_is_arr(m->symbols)) return BAD(p, "enum \"%.*s\" has no symbols", CSFLE__FMT(t->full));
  n = yyjson_arr_size(m->symbols);
  csfle__avro_index *ix = csfle__arena_alloc(&p->s->arena, n * sizeof *ix);
  csfle__bytes      *symbols = csfle__arena_alloc(&p->s->arena, n * sizeof *symbols);
  if (!ix || !symbols) return NOMEM(p);
  yyjson_arr_foreach(m->symbols, i, n, x)
  {
    symbols[i] = csfle__json_text(x);
    if (!name_ok(symbols[i], strict(p)))
      return BAD(p, "symbol %zu \"%.*s\" of enum \"%.*s\" is no name", i, CSFLE__FMT(symbols[i]), CSFLE__FMT(t->full));
    ix[i] = (csfle__avro_index){ symbols[i], (uint32_t)i };
  }
  t->symbols = symbols, t->count = n, t->index = ix;
  const csfle__bytes *twice = sort_index(ix, n);
  if (twice) return BAD(p, "enum \"%.*s\" has symbol \"%.*s\" twice", CSFLE__FMT(t->full), CSFLE__FMT(*twice));
  if (yyjson_is_str(m->def)) {
    t->enum_default = csfle__json_text(m->def);
    if (csfle__avro_index_find(ix, n, t->enum_default) < 0)
      return BAD(p, "default \"%.*s\" of enum \"%.*s\" is none of its symbols", CSFLE__FMT(t->enum_default), CSFLE__FMT(t->full));
  }
  return CSFLE_OK;
}

static csfle_status fixed(parser *p, csfle__avro_type *t, const members *m)
{
  int64_t size;
  if (!m->size || !csfle__json_i64(m->size, &size)) return BAD(p, "fixed \"%.*s\" has no valid size", CSFLE__FMT(t->full));
  if (size < 0 || size > 2147483639)
    return BAD(p, "size of fixed \"%.*s\" is %lld, expected 0 to 2147483639", CSFLE__FMT(t->full), (long long)size);
  t->size = (size_t)size;
  return CSFLE_OK;
}

static csfle_status named(parser *p, csfle__avro_type *t, const members *m, const work *w)
{
  csfle__bytes given = csfle__json_text(m->name), ns;
  if (!yyjson_is_str(m->name)) return BAD(p, "%s without a name", csfle__avro_kind_name(t->kind));
  t->name = last_part(given, &ns);
  if (t->name.len == given.len) ns = yyjson_is_str(m->ns) ? csfle__json_text(m->ns) : w->ns;
  t->ns = ns;
  if (!name_ok(t->name, strict(p))) return BAD(p, "\"%.*s\" is no valid name", CSFLE__FMT(given));
  for (csfle__bytes rest = ns, part; strict(p) && rest.len; ) {
    const uint8_t *dot = memchr(rest.ptr, '.', rest.len);
    part = csfle__view(rest.ptr, dot ? (size_t)(dot - rest.ptr) : rest.len);
    if (!name_ok(part, true) || (dot && part.len + 1 == rest.len))
      return BAD(p, "namespace \"%.*s\" is not valid", CSFLE__FMT(ns));
    rest = dot ? csfle__from(rest, part.len + 1) : CSFLE__NONE;
  }
  t->full = join(p, ns, t->name);
  if (!t->full.ptr) return NOMEM(p);
  if (ns.len == 0 && csfle__avro_kind_find(t->name, false) >= 0)
    return BAD(p, "\"%.*s\" is a primitive and cannot be defined", CSFLE__FMT(t->name));
  if (yyjson_is_str(m->doc)) t->doc = csfle__json_text(m->doc);
  t->id = p->s->named_count++;
  csfle_status rc = aliases(p, m->aliases, true, ns, &t->aliases, &t->alias_count);
  if (rc != CSFLE_OK) return rc;
  csfle__avro_type *first = csfle__map_get(&p->names, t->full);
  *w->slot = t;
  if (first) return remember(p, (open_slot){ w->slot, t->full, t, w->owner, w->field });
  return csfle__map_put(&p->names, t->full, t, NULL) == 0 ? CSFLE_OK : NOMEM(p);
}

static csfle_status object(parser *p, const work *w)
{
  members m;
  scan(w->v, &m);
  csfle__bytes word = csfle__json_text(m.type);
  if (!yyjson_is_str(m.type)) return BAD(p, "an object without a \"type\" that is a string");
  bool error = csfle__eq_str(word, "error");
  int  kind = error ? AVRO_RECORD : csfle__avro_kind_find(word, true);
  if (kind < 0 || kind == AVRO_UNION) return use_name(p, word, w);

  csfle__avro_type *t = csfle__arena_alloc(&p->s->arena, sizeof *t);
  if (!t) return NOMEM(p);
  t->kind = (csfle__avro_kind)kind, t->error = error;
  csfle_status rc = csfle__avro_named(t->kind) ? named(p, t, &m, w) : CSFLE_OK;
  if (rc == CSFLE_OK) rc = props(p, w->v, false, t->kind, &t->props);
  if (rc != CSFLE_OK) return rc;
  if (t->kind <= AVRO_STRING) {
    *w->slot = t->props.count ? t : &primitives[t->kind];
    return CSFLE_OK;
  }
  *w->slot = t;
  switch (t->kind) {
  case AVRO_RECORD: return record(p, t, &m);
  case AVRO_ENUM: return enumeration(p, t, &m);
  case AVRO_FIXED: return fixed(p, t, &m);
  default: {
    yyjson_val *in = t->kind == AVRO_ARRAY ? m.items : m.values;
    if (!in) return BAD(p, t->kind == AVRO_ARRAY ? "array without \"items\"" : "map without \"values\"");
    return push(p, (work){ in, w->ns, &t->item, w->owner, w->field, false });
  }
  }
}

static csfle_status unite(parser *p, const work *w)
{
  if (w->branch) return BAD(p, "a union directly inside a union");
  csfle__avro_type *t = csfle__arena_alloc(&p->s->arena, sizeof *t);
  size_t            i, n = yyjson_arr_size(w->v);
  yyjson_val       *x;
  if (!t || !(t->branches = csfle__arena_alloc(&p->s->arena, n * sizeof *t->branches))) return NOMEM(p);
  t->kind = AVRO_UNION, t->count = n;
  *w->slot = t;
  size_t base = p->work_count;
  yyjson_arr_foreach(w->v, i, n, x)
  {
    csfle_status rc = push(p, (work){ x, w->ns, &t->branches[i], w->owner, w->field, true });
    if (rc != CSFLE_OK) return rc;
  }
  in_order(p, base);
  return made(p, t);
}

/* ---- a text ------------------------------------------------------------------------------------------------------- */

static csfle_status close_names(parser *p)
{
  for (size_t i = 0; i < p->open_count; i++) {
    open_slot              *o = &p->open[i];
    const csfle__avro_type *t = csfle__map_get(&p->names, o->full);
    if (!t)
      return where(p, csfle__fail(p->err, CSFLE_E_SCHEMA, "undefined name \"%.*s\"", CSFLE__FMT(o->full)), o->owner, o->field);
    *o->slot = t;
  }
  for (size_t i = 0; i < p->open_count; i++) {
    open_slot *o = &p->open[i];
    if (!o->second) continue;
    int same = csfle__avro_compare(*o->slot, o->second, AVRO_SAME_DEFINITION);
    if (same < 0) return NOMEM(p);
    if (!same)
      return where(p, csfle__fail(p->err, CSFLE_E_SCHEMA, "\"%.*s\" is defined twice, differently", CSFLE__FMT(o->full)),
                   o->owner, o->field);
  }
  return CSFLE_OK;
}

static csfle_status index_union(parser *p, csfle__avro_type *t)
{
  csfle__avro_index *ix = csfle__arena_alloc(&p->s->arena, t->count * sizeof *ix);
  if (!ix) return NOMEM(p);
  for (size_t i = 0; i < t->count; i++) ix[i] = (csfle__avro_index){ csfle__avro_branch_name(t->branches[i]), (uint32_t)i };
  t->index = ix;
  const csfle__bytes *twice = sort_index(ix, t->count);
  if (twice) return csfle__fail(p->err, CSFLE_E_SCHEMA, "union with \"%.*s\" twice", CSFLE__FMT(*twice));
  return CSFLE_OK;
}

static csfle_status check_defaults(parser *p, csfle__avro_type *t)
{
  size_t budget = 1000000; /* a union of records is tried branch by branch: bounded, whatever the text */
  for (size_t i = 0; i < t->count; i++) {
    csfle__avro_field *f = &t->fields[i];
    if (!f->def) continue;
    if (!csfle__avro_shallow(f->def))
      return where(p, csfle__fail(p->err, CSFLE_E_SCHEMA, "default is nested deeper than %d levels", CSFLE__AVRO_MAX_NESTED), t, f->name);
    bool real = f->type->kind == AVRO_FLOAT || f->type->kind == AVRO_DOUBLE;
    if (real && yyjson_is_str(f->def)) {
      if (!csfle__avro_java_double(csfle__json_text(f->def), &f->def_value))
        return where(p, csfle__fail(p->err, CSFLE_E_SCHEMA, "default is no number"), t, f->name);
      f->def_double = true;
    } else if (strict(p) && !csfle__avro_default_fits(f->type, f->def, &budget)) {
      return where(p, csfle__fail(p->err, CSFLE_E_SCHEMA, budget ? "default does not fit its type \"%.*s\""
                                                                 : "default takes more than 1000000 steps to check against \"%.*s\"",
                                  CSFLE__FMT(csfle__avro_branch_name(f->type))), t, f->name);
    }
  }
  return CSFLE_OK;
}

static csfle_status parse_text(parser *p, csfle__bytes text, const csfle__avro_type **root)
{
  yyjson_doc  *doc = NULL;
  csfle_status rc = csfle__json_parse_comments(&doc, text, p->err);
  if (rc != CSFLE_OK) return rc;
  p->s->docs[p->s->doc_count++] = doc;
  p->work_count = p->open_count = p->made_count = 0;
  rc = push(p, (work){ yyjson_doc_get_root(doc), CSFLE__NONE, root, NULL, CSFLE__NONE, false });
  while (rc == CSFLE_OK && p->work_count) {
    work w = p->works[--p->work_count];
    p->at = &w;
    if (yyjson_is_str(w.v)) rc = use_name(p, csfle__json_text(w.v), &w);
    else if (yyjson_is_obj(w.v)) rc = object(p, &w);
    else if (yyjson_is_arr(w.v)) rc = unite(p, &w);
    else rc = BAD(p, "a schema is a string, an object or an array, not %s", yyjson_is_raw(w.v) ? "a number" : yyjson_get_type_desc(w.v));
  }
  if (rc == CSFLE_OK) rc = close_names(p);
  for (size_t i = 0; rc == CSFLE_OK && i < p->made_count; i++) {
    if (p->made[i]->kind == AVRO_UNION) rc = index_union(p, p->made[i]);
  }
  for (size_t i = 0; rc == CSFLE_OK && i < p->made_count; i++) {
    if (p->made[i]->kind == AVRO_RECORD) rc = check_defaults(p, p->made[i]);
  }
  return rc;
}

static csfle_status keep_references(csfle__avro_schema *s, const csfle__reference *refs, size_t count)
{
  s->docs = csfle__arena_alloc(&s->arena, (count + 1) * sizeof *s->docs);
  s->refs = csfle__arena_alloc(&s->arena, (count + 1) * sizeof *s->refs);
  s->ref_roots = csfle__arena_alloc(&s->arena, (count + 1) * sizeof *s->ref_roots);
  if (!s->docs || !s->refs || !s->ref_roots) return CSFLE_E_NOMEM;
  for (size_t i = 0; i < count; i++) {
    s->refs[i].name = csfle__arena_copy(&s->arena, refs[i].name);
    s->refs[i].text = csfle__arena_copy(&s->arena, refs[i].text);
    if (!s->refs[i].name.ptr || !s->refs[i].text.ptr) return CSFLE_E_NOMEM;
  }
  s->ref_count = count;
  return CSFLE_OK;
}

extern const csfle__format csfle__format_avro;

csfle_status csfle__avro_parse(csfle__schema **out, csfle__bytes text, const csfle__reference *refs, size_t ref_count,
                               unsigned flags, csfle_error *err)
{
  parser              p = { .names = CSFLE__MAP_INIT, .err = err };
  csfle__avro_schema *s = csfle__calloc(1, sizeof *s);
  *out = NULL;
  if (!s) return csfle__nomem(err);
  s->base.format = &csfle__format_avro, s->flags = flags, p.s = s;
  csfle_status rc = keep_references(s, refs, ref_count);
  if (rc != CSFLE_OK) csfle__nomem(err);
  for (size_t i = 0; rc == CSFLE_OK && i < ref_count; i++) {
    rc = parse_text(&p, s->refs[i].text, &s->ref_roots[i]);
    if (rc != CSFLE_OK) csfle__where(err, "reference \"%.*s\"", CSFLE__FMT(refs[i].name));
  }
  if (rc == CSFLE_OK) rc = parse_text(&p, text, &s->root);
  if (rc == CSFLE_OK) {
    s->zero = csfle__arena_alloc(&s->arena, s->named_count + 1);
    if (!s->zero || !csfle__avro_zero_table(s->root, s->named_count, s->zero)) rc = csfle__nomem(err);
  }
  csfle__map_free(&p.names, NULL);
  csfle__free(p.works), csfle__free(p.open), csfle__free(p.made);
  if (rc == CSFLE_OK) *out = &s->base;
  else csfle__avro_free(&s->base);
  return rc;
}

void csfle__avro_free(csfle__schema *base)
{
  csfle__avro_schema *s = (csfle__avro_schema *)(void *)base;
  if (!s) return;
  for (size_t i = 0; i < s->doc_count; i++) yyjson_doc_free(s->docs[i]);
  csfle__arena_free(&s->arena);
  csfle__free(s);
}
