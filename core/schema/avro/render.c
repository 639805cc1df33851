/*
 * Tree to text: the canonical string (3.6), the resolved one, and the text that is parsed again for the normalised
 * form (3.7). One level of a stack for each open bracket; a result nested deeper than a JSON text may be is refused,
 * because nobody could read it back.
 */
#include "core/schema/avro/avro.h"

#include "core/base/alloc.h"

#include <math.h>
#include <stdlib.h>

typedef struct level {
  const csfle__avro_type *t;
  csfle__bytes            ns; /* in force inside */
  size_t                  next;
} level;

typedef struct writer {
  csfle_buf   *b;
  csfle_error *err;
  csfle_status rc;
  uint8_t     *known; /* by id of named type */
  bool         normal;
  level       *stack;
  size_t       depth, cap, brackets; /* open brackets of JSON: three for a record */
} writer;

static void puts_(writer *w, const char *text)
{
  if (w->rc == CSFLE_OK) w->rc = csfle__buf_puts(w->b, text, w->err);
}
static void string(writer *w, csfle__bytes text)
{
  if (w->rc == CSFLE_OK) w->rc = csfle__json_put_string(w->b, text, false, w->err);
}
/* ,"key":"text" */
static void member(writer *w, const char *key, csfle__bytes text)
{
  puts_(w, key);
  string(w, text);
}
static void json(writer *w, yyjson_val *v)
{
  if (w->rc == CSFLE_OK) w->rc = csfle__avro_put_json(w->b, v, w->normal, w->err);
}
static void prop(writer *w, csfle__bytes key, yyjson_val *v)
{
  puts_(w, ",");
  string(w, key);
  puts_(w, ":");
  json(w, v);
}
static void number(writer *w, double d, bool single)
{
  char   text[40];
  size_t n = csfle__avro_print_double(d, single, text);
  if (isfinite(d)) puts_(w, text);
  else string(w, csfle__view(text, n));
}

bool csfle__avro_logical_valid(const csfle__avro_type *t, csfle__bytes *name)
{
  static const struct {
    const char *name;
    int         kind;
    size_t      size; /* of a fixed; 0 any */
  } known[] = {
    { "big-decimal", AVRO_BYTES, 0 },           { "uuid", AVRO_STRING, 0 },
    { "uuid", AVRO_FIXED, 16 },                 { "date", AVRO_INT, 0 },
    { "time-millis", AVRO_INT, 0 },             { "time-micros", AVRO_LONG, 0 },
    { "timestamp-millis", AVRO_LONG, 0 },       { "timestamp-micros", AVRO_LONG, 0 },
    { "timestamp-nanos", AVRO_LONG, 0 },        { "local-timestamp-millis", AVRO_LONG, 0 },
    { "local-timestamp-micros", AVRO_LONG, 0 }, { "local-timestamp-nanos", AVRO_LONG, 0 },
    { "duration", AVRO_FIXED, 12 },             { "map", AVRO_ARRAY, 0 },
    { "variant", AVRO_RECORD, 0 },
  };
  yyjson_val *v = csfle__avro_prop_find(&t->props, "logicalType");
  *name = csfle__json_text(v);
  if (!yyjson_is_str(v)) return false;
  if (csfle__eq_str(*name, "decimal")) {
    yyjson_val *ps = csfle__avro_prop_find(&t->props, "precision"), *ss = csfle__avro_prop_find(&t->props, "scale");
    int64_t     precision, scale = 0;
    if (t->kind != AVRO_BYTES && t->kind != AVRO_FIXED) return false;
    if (!ps || !csfle__json_i64(ps, &precision) || precision <= 0 || precision > INT32_MAX) return false;
    if (ss && !csfle__json_i64(ss, &scale)) return false;
    if (t->kind == AVRO_FIXED && (t->size == 0 || (double)precision > floor(log10(2.0) * (8.0 * (double)t->size - 1)))) return false;
    return scale >= 0 && scale <= precision;
  }
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (csfle__eq_str(*name, known[i].name) && (int)t->kind == known[i].kind && (!known[i].size || known[i].size == t->size))
      return true;
  }
  return false;
}

static bool is_logical(csfle__bytes k, bool decimal, yyjson_val *v)
{
  int64_t scale;
  if (csfle__eq_str(k, "logicalType")) return true;
  if (!decimal) return false;
  return csfle__eq_str(k, "precision") || (csfle__eq_str(k, "scale") && !(csfle__json_i64(v, &scale) && scale == 0));
}

static void props(writer *w, const csfle__avro_type *t)
{
  static const char *const logical[] = { "logicalType", "precision", "scale" };
  csfle__bytes             name;
  bool                     valid = csfle__avro_logical_valid(t, &name), decimal = csfle__eq_str(name, "decimal");
  /* Java keeps logicalType first on records, arrays and maps; the normalised form puts all of its keys first */
  bool first = valid && (w->normal || t->kind == AVRO_RECORD || t->kind == AVRO_ARRAY || t->kind == AVRO_MAP);
  for (size_t i = 0; first && i < 3; i++) {
    yyjson_val *v = csfle__avro_prop_find(&t->props, logical[i]);
    if (v && is_logical(csfle__str(logical[i]), w->normal && decimal, v)) prop(w, csfle__str(logical[i]), v);
  }
  for (size_t i = 0; i < t->props.count; i++) {
    const csfle__avro_prop *p = w->normal ? t->props.sorted[i] : &t->props.items[i];
    if (!first || !is_logical(p->key, w->normal && decimal, p->value)) prop(w, p->key, p->value);
  }
}

static void reference(writer *w, csfle__bytes full, csfle__bytes ns)
{
  size_t       dot = full.len;
  csfle__bytes space, simple;
  while (dot && full.ptr[dot - 1] != '.') dot--;
  space = csfle__view(full.ptr, dot ? dot - 1 : 0), simple = csfle__from(full, dot);
  bool brief = !w->normal && csfle__eq(space, ns) && csfle__avro_kind_find(simple, true) < 0;
  string(w, brief ? simple : full);
}

static int text_order(const void *a, const void *b)
{
  return csfle__cmp_utf16(*(const csfle__bytes *)a, *(const csfle__bytes *)b);
}

static void aliases(writer *w, const csfle__bytes *list, size_t count, const csfle__avro_type *t)
{
  csfle__bytes *sorted = NULL;
  if (!count || w->rc != CSFLE_OK) return;
  if (w->normal) {
    if (!(sorted = csfle__alloc(count * sizeof *sorted))) {
      w->rc = csfle__nomem(w->err);
      return;
    }
    memcpy(sorted, list, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, text_order);
    list = sorted;
  }
  puts_(w, ",\"aliases\":[");
  for (size_t i = 0; i < count; i++) {
    if (i) puts_(w, ",");
    if (t) reference(w, list[i], t->ns);
    else string(w, list[i]);
  }
  puts_(w, "]");
  csfle__free(sorted);
}

/* ---- defaults of the normalised form ------------------------------------------------------------------------------ */

/*
 * What Java's conversion of a default to an object by its type makes of @p v: false when nothing is left of it. It
 * looks only at the first branch of unions, replaces what bytes cannot hold, and does not check. Recursion: as deep as
 * the default, at most CSFLE__AVRO_MAX_NESTED. Where Java fails w->rc is set.
 */
static bool normal_default(writer *w, const csfle__avro_type *t, yyjson_val *v);

static void normal_bytes(writer *w, csfle__bytes text)
{
  csfle_buf b;
  csfle_buf_init(&b, 0, 0);
  for (size_t i = 0; i < text.len && w->rc == CSFLE_OK;) {
    size_t from = i;
    if (csfle__utf8_next(text, &i) > 0xFF) w->rc = csfle__buf_putc(&b, '?', w->err);
    else w->rc = csfle__buf_put(&b, text.ptr + from, i - from, w->err);
  }
  string(w, csfle__buf_view(&b));
  csfle_buf_free(&b);
}

static int member_order(const void *a, const void *b)
{
  yyjson_val *x = *(yyjson_val *const *)a, *y = *(yyjson_val *const *)b;
  int         d = csfle__cmp_utf16(csfle__json_text(x), csfle__json_text(y));
  return d ? d : (x > y) - (x < y);
}

static void normal_object(writer *w, const csfle__avro_type *t, yyjson_val *v)
{
  size_t       n = yyjson_obj_size(v), i, max, at = 0;
  yyjson_val **keys = csfle__alloc(n * sizeof *keys), *k, *x;
  if (!keys) {
    w->rc = csfle__nomem(w->err);
    return;
  }
  yyjson_obj_foreach(v, i, max, k, x)
  {
    keys[at++] = k;
  }
  qsort(keys, n, sizeof *keys, member_order);
  puts_(w, "{");
  for (i = 0, at = 0; i < n && w->rc == CSFLE_OK; i++) {
    const csfle__avro_type *of = NULL;
    csfle__bytes            key = csfle__json_text(keys[i]);
    if (i + 1 < n && csfle__eq(key, csfle__json_text(keys[i + 1]))) continue;
    if (t && t->kind == AVRO_MAP) of = t->item;
    if (t && t->kind == AVRO_RECORD) {
      int64_t pos = csfle__avro_index_find(t->index, t->count, key);
      if (pos < 0) {
        w->rc = csfle__fail(w->err, CSFLE_E_SCHEMA, "cannot be normalised: default has \"%.*s\", no field of \"%.*s\"",
                            CSFLE__FMT(key), CSFLE__FMT(t->full));
        break;
      }
      of = t->fields[pos].type;
    }
    if (at++) puts_(w, ",");
    string(w, key);
    puts_(w, ":");
    if (!normal_default(w, of, keys[i] + 1)) puts_(w, "null");
  }
  puts_(w, "}");
  csfle__free(keys);
}

static bool normal_default(writer *w, const csfle__avro_type *t, yyjson_val *v)
{
  double  d;
  int64_t whole;
  if (t && t->kind == AVRO_UNION) t = t->count ? t->branches[0] : NULL;
  if (yyjson_is_null(v) || yyjson_is_bool(v)) return json(w, v), true;
  if (yyjson_is_raw(v) && csfle__avro_integer(v)) {
    if (!csfle__json_i64(v, &whole)) return false;
    if (!t || t->kind == AVRO_LONG || (t->kind == AVRO_INT && whole == (int32_t)whole)) return json(w, v), true;
    if (t->kind == AVRO_FLOAT || t->kind == AVRO_DOUBLE) return number(w, (double)whole, t->kind == AVRO_FLOAT), true;
    return false;
  }
  if (yyjson_is_raw(v)) {
    if ((t && t->kind != AVRO_FLOAT && t->kind != AVRO_DOUBLE) || !csfle__avro_double(v, &d)) return false;
    return number(w, d, t && t->kind == AVRO_FLOAT), true;
  }
  if (yyjson_is_str(v)) {
    if (!t || t->kind == AVRO_STRING || t->kind == AVRO_ENUM) return json(w, v), true;
    if (t->kind == AVRO_BYTES || t->kind == AVRO_FIXED) return normal_bytes(w, csfle__json_text(v)), true;
    return false;
  }
  if (yyjson_is_arr(v)) {
    size_t      i, n;
    yyjson_val *x;
    if (t && t->kind != AVRO_ARRAY && yyjson_arr_size(v)) {
      if (w->rc == CSFLE_OK) w->rc = csfle__fail(w->err, CSFLE_E_SCHEMA, "cannot be normalised: default is an array and no value of its type");
      return true;
    }
    puts_(w, "[");
    yyjson_arr_foreach(v, i, n, x)
    {
      if (i) puts_(w, ",");
      if (!normal_default(w, t ? t->item : NULL, x)) puts_(w, "null");
    }
    puts_(w, "]");
    return true;
  }
  normal_object(w, t, v);
  return true;
}

/* ---- types -------------------------------------------------------------------------------------------------------- */

static void field_default(writer *w, const csfle__avro_field *f)
{
  size_t before = w->b->len;
  if (!f->def) return;
  puts_(w, ",\"default\":");
  if (f->def_double) number(w, f->def_value, w->normal && f->type->kind == AVRO_FLOAT);
  else if (!w->normal) json(w, f->def);
  else if (!normal_default(w, f->type, f->def)) w->b->len = before;
}

/* after the type of a field */
static void field_end(writer *w, const csfle__avro_field *f)
{
  static const char *const orders[] = { "", ",\"order\":\"descending\"", ",\"order\":\"ignore\"" };
  if (f->doc.ptr) member(w, ",\"doc\":", f->doc);
  field_default(w, f);
  puts_(w, orders[f->order]);
  aliases(w, f->aliases, f->alias_count, NULL);
  for (size_t i = 0; i < f->props.count; i++) {
    const csfle__avro_prop *p = w->normal ? f->props.sorted[i] : &f->props.items[i];
    prop(w, p->key, p->value);
  }
  puts_(w, "}");
}

static void head(writer *w, const csfle__avro_type *t, csfle__bytes ns)
{
  puts_(w, t->error && !w->normal ? "{\"type\":\"error\"" : "{\"type\":\"");
  if (!t->error || w->normal) puts_(w, csfle__avro_kind_name(t->kind)), puts_(w, "\"");
  member(w, ",\"name\":", w->normal ? t->full : t->name);
  if (!w->normal && !csfle__eq(t->ns, ns)) member(w, ",\"namespace\":", t->ns);
  if (t->doc.ptr && !(w->normal && t->doc.len == 0)) member(w, ",\"doc\":", t->doc);
}

static void tail(writer *w, const csfle__avro_type *t)
{
  props(w, t);
  aliases(w, t->aliases, t->alias_count, t);
  puts_(w, "}");
}

static void open_type(writer *w, const csfle__avro_type *t, csfle__bytes ns)
{
  if (csfle__avro_named(t->kind)) {
    if (w->known[t->id]) {
      reference(w, t->full, ns);
      return;
    }
    w->known[t->id] = 1;
    head(w, t, ns);
  }
  switch (t->kind) {
  case AVRO_ENUM:
    puts_(w, ",\"symbols\":[");
    for (size_t i = 0; i < t->count; i++) {
      if (i) puts_(w, ",");
      string(w, t->symbols[i]);
    }
    puts_(w, "]");
    if (t->enum_default.ptr) member(w, ",\"default\":", t->enum_default);
    tail(w, t);
    return;
  case AVRO_FIXED:
    if (w->rc == CSFLE_OK) w->rc = csfle__buf_printf(w->b, w->err, ",\"size\":%zu", t->size);
    tail(w, t);
    return;
  case AVRO_RECORD: puts_(w, ",\"fields\":["); break;
  case AVRO_ARRAY: puts_(w, "{\"type\":\"array\",\"items\":"); break;
  case AVRO_MAP: puts_(w, "{\"type\":\"map\",\"values\":"); break;
  case AVRO_UNION: puts_(w, "["); break;
  default:
    if (t->props.count) {
      member(w, "{\"type\":", csfle__str(csfle__avro_kind_name(t->kind)));
      props(w, t);
      puts_(w, "}");
    } else string(w, csfle__str(csfle__avro_kind_name(t->kind)));
    return;
  }
  if (w->rc != CSFLE_OK) return;
  w->brackets += t->kind == AVRO_RECORD ? 3 : 1;
  if (w->brackets > CSFLE__JSON_MAX_DEPTH) {
    w->rc = csfle__fail(w->err, CSFLE_E_SCHEMA, "canonical text is nested deeper than %d levels", CSFLE__JSON_MAX_DEPTH);
    return;
  }
  if (csfle__grow((void **)&w->stack, &w->cap, w->depth + 1, sizeof *w->stack) != 0) w->rc = csfle__nomem(w->err);
  else w->stack[w->depth++] = (level){ t, t->kind == AVRO_RECORD ? t->ns : ns, 0 };
}

/* one more child of the innermost open type, or its end */
static void step(writer *w)
{
  level                  *l = &w->stack[w->depth - 1];
  const csfle__avro_type *t = l->t;
  size_t                  i = l->next++;
  switch (t->kind) {
  case AVRO_RECORD:
    if (i) field_end(w, &t->fields[i - 1]);
    if (i < t->count) {
      if (i) puts_(w, ",");
      member(w, "{\"name\":", t->fields[i].name);
      puts_(w, ",\"type\":");
      open_type(w, t->fields[i].type, l->ns);
    } else {
      puts_(w, "]");
      tail(w, t);
      w->depth--, w->brackets -= 3;
    }
    return;
  case AVRO_UNION:
    if (i < t->count) {
      if (i) puts_(w, ",");
      open_type(w, t->branches[i], l->ns);
    } else puts_(w, "]"), w->depth--, w->brackets--;
    return;
  default:
    if (i == 0) open_type(w, t->item, l->ns);
    else {
      props(w, t);
      puts_(w, "}");
      w->depth--, w->brackets--;
    }
  }
}

static csfle_status render(const csfle__avro_schema *s, bool normal, bool resolved, csfle_buf *out, csfle_error *err)
{
  size_t start = out->len;
  writer w = { .b = out, .err = err, .rc = CSFLE_OK, .normal = normal };
  if (!(w.known = csfle__calloc(s->named_count + 1, 1))) return csfle__nomem(err);
  for (size_t i = 0; i < s->ref_count && !resolved; i++) {
    if (csfle__avro_named(s->ref_roots[i]->kind)) w.known[s->ref_roots[i]->id] = 1;
  }
  open_type(&w, s->root, CSFLE__NONE);
  while (w.rc == CSFLE_OK && w.depth) step(&w);
  csfle__free(w.stack), csfle__free(w.known);
  if (w.rc != CSFLE_OK) out->len = start;
  return w.rc;
}

csfle_status csfle__avro_canonical(const csfle__schema *s, csfle_buf *out, csfle_error *err)
{
  return render(csfle__avro(s), false, false, out, err);
}

csfle_status csfle__avro_formatted(const csfle__schema *s, csfle__bytes format, csfle_buf *out, csfle_error *err)
{
  return render(csfle__avro(s), false, csfle__eq_nocase(format, CSFLE__LIT("resolved")), out, err);
}

csfle_status csfle__avro_normalized(const csfle__schema *base, csfle_buf *out, csfle_error *err)
{
  const csfle__avro_schema *s = csfle__avro(base);
  csfle__schema            *again = NULL;
  csfle_buf                 text;
  csfle_buf_init(&text, 0, 0);
  csfle_status rc = render(s, true, false, &text, err);
  if (rc == CSFLE_OK) rc = csfle__avro_parse(&again, csfle__buf_view(&text), s->refs, s->ref_count, s->flags, err);
  if (rc == CSFLE_OK) rc = csfle__avro_canonical(again, out, err);
  csfle__avro_free(again);
  csfle_buf_free(&text);
  return rc;
}
