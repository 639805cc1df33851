/* The line of formats.def: csfle__format_avro; and the tags written in a text (3.9). */
#include "core/schema/avro/plan.h"

#include "core/base/alloc.h"
#include "core/schema/avro/compat.h"
#include "core/schema/avro/resolve.h"

static csfle__bytes record_name(const csfle__schema *s)
{
  const csfle__avro_type *root = csfle__avro(s)->root;
  return root->kind == AVRO_RECORD ? root->full : CSFLE__NONE;
}

typedef struct tag_walk {
  void (*each)(void *opaque, csfle__bytes path, csfle__bytes tag);
  void     *opaque;
  csfle_buf path;
} tag_walk;

static void tags_of(tag_walk *w, const csfle__avro_props *p)
{
  size_t      i, n;
  yyjson_val *x, *tags = csfle__avro_prop_find(p, "confluent:tags");
  if (!yyjson_is_arr(tags)) return;
  yyjson_arr_foreach(tags, i, n, x)
  {
    csfle_buf text;
    if (yyjson_is_str(x)) {
      w->each(w->opaque, csfle__buf_view(&w->path), csfle__json_text(x));
      continue;
    }
    csfle_buf_init(&text, 0, 0); /* elements that are no strings count as their text */
    if (csfle__avro_put_json(&text, x, false, NULL) == CSFLE_OK)
      w->each(w->opaque, csfle__buf_view(&w->path), csfle__buf_view(&text));
    csfle_buf_free(&text);
  }
}

typedef struct place {
  const csfle__avro_type  *t;
  const csfle__avro_type  *owner; /* with field: the place is the field itself */
  const csfle__avro_field *field;
  bool                     is_field;
} place;

/*
 * Paths: "ns.Record", "ns.Record.field" for the field object, "ns.Record.field (type)" for a type object inside a field's
 * type, "ns.Enum"; "" for a root without a name.
 */
static void inline_tags(const csfle__schema *base, void (*each)(void *opaque, csfle__bytes path, csfle__bytes tag), void *opaque)
{
  const csfle__avro_schema *s = csfle__avro(base);
  tag_walk                  w = { each, opaque, CSFLE__BUF_INIT };
  place                    *list = NULL;
  size_t                    count = 0, cap = 0;
  uint8_t                  *seen = csfle__calloc(s->named_count + 1, 1);
  csfle_buf_init(&w.path, 0, 0);
  bool ok = seen && csfle__grow((void **)&list, &cap, 1, sizeof *list) == 0;
  for (size_t i = 0; ok && i < s->ref_count; i++) { /* known by name: written elsewhere */
    if (csfle__avro_named(s->ref_roots[i]->kind)) seen[s->ref_roots[i]->id] = 1;
  }
  if (ok) list[count++] = (place){ s->root, NULL, NULL, false };
  while (ok && count) {
    place                   p = list[--count];
    const csfle__avro_type *t = p.t;
    csfle__buf_clear(&w.path);
    if (p.is_field) {
      csfle__buf_printf(&w.path, NULL, "%.*s.%.*s", CSFLE__FMT(p.owner->full), CSFLE__FMT(p.field->name));
      tags_of(&w, &p.field->props);
      list[count++] = (place){ p.field->type, p.owner, p.field, false };
      continue;
    }
    if (csfle__avro_named(t->kind)) {
      if (seen[t->id]++) {
        seen[t->id] = 1;
        continue;
      }
      csfle__buf_put(&w.path, t->full.ptr, t->full.len, NULL);
    } else if (p.owner)
      csfle__buf_printf(&w.path, NULL, "%.*s.%.*s (type)", CSFLE__FMT(p.owner->full), CSFLE__FMT(p.field->name));
    tags_of(&w, &t->props);
    size_t more = t->kind == AVRO_RECORD || t->kind == AVRO_UNION ? t->count : t->item ? 1 : 0;
    ok = csfle__grow((void **)&list, &cap, count + more + 1, sizeof *list) == 0;
    for (size_t i = more; ok && i--;) {
      if (t->kind == AVRO_RECORD) list[count++] = (place){ NULL, t, &t->fields[i], true };
      else list[count++] = (place){ t->kind == AVRO_UNION ? t->branches[i] : t->item, p.owner, p.field, false };
    }
  }
  csfle__free(list), csfle__free(seen);
  csfle_buf_free(&w.path);
}

extern const csfle__format csfle__format_avro;
const csfle__format        csfle__format_avro = {
  .type = "AVRO",
  .parse = csfle__avro_parse,
  .free = csfle__avro_free,
  .canonical = csfle__avro_canonical,
  .normalized = csfle__avro_normalized,
  .formatted = csfle__avro_formatted,
  .equivalent = csfle__avro_equivalent,
  .same_layout = csfle__avro_same_layout,
  .record_name = record_name,
  .inline_tags = inline_tags,
  .plan_compile = csfle__avro_plan_compile,
  .plan_free = csfle__avro_plan_free,
  .walk = csfle__avro_walk,
  .splice = csfle__avro_splice,
  .to_json = csfle__avro_to_json,
  .from_json = csfle__avro_from_json,
  .resolution_compile = csfle__avro_resolution_compile,
  .resolution_free = csfle__avro_resolution_free,
  .resolve = csfle__avro_resolve,
  .compare = csfle__avro_differences,
  .difference_line = csfle__avro_difference_line,
  .top_field = csfle__avro_top_field,
};
