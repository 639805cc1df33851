/* Schemas, metadata and rule sets from JSON. See model.h. */
#include "core/model/read.h"
#include "core/base/alloc.h"

#include <stdlib.h>

static const char *const kinds[] = { "TRANSFORM", "CONDITION" };
static const char *const modes[] = { "UPGRADE", "DOWNGRADE", "UPDOWN", "WRITE", "READ", "WRITEREAD" };
static const char *const places[] = { "", "ALL", "CLIENT", "GATEWAY", "SERVER", "NONE" };

const char *csfle__rule_kind_name(csfle__rule_kind k) { return kinds[k]; }
const char *csfle__rule_mode_name(csfle__rule_mode m) { return modes[m]; }
const char *csfle__enable_at_name(csfle__enable_at e) { return places[e]; }

/* Index of the member's text in @p names, from @p first on; absent: @p otherwise; unknown: CSFLE_E_RULE. */
static int read_enum(reader *r, const char *name, const char *const *names, int first, int count, int otherwise)
{
  csfle__bytes t = csfle__read_text(r, name);
  if (!t.ptr) return otherwise;
  for (int i = first; i < count; i++)
    if (csfle__eq_str(t, names[i])) return i;
  csfle__read_fail(r, CSFLE_E_RULE, "unknown rule %s \"%.*s\"", name, (int)(t.len < 64 ? t.len : 64), (const char *)t.ptr);
  return otherwise;
}

static csfle_status rule_parse(csfle__arena *a, yyjson_val *v, csfle__rule *out, csfle_error *err)
{
  reader r = csfle__read_object(a, v, "rule", err);
  out->name = csfle__read_text(&r, "name");
  out->doc = csfle__read_text(&r, "doc");
  out->kind = (csfle__rule_kind)read_enum(&r, "kind", kinds, 0, 2, CSFLE__TRANSFORM);
  out->mode = (csfle__rule_mode)read_enum(&r, "mode", modes, 0, 6, CSFLE__WRITEREAD);
  out->type = csfle__read_text(&r, "type");
  out->tags = csfle__read_names(&r, "tags");
  out->params = csfle__read_pairs(&r, "params");
  out->expr = csfle__read_text(&r, "expr");
  out->on_success = csfle__read_text(&r, "onSuccess");
  out->on_failure = csfle__read_text(&r, "onFailure");
  out->disabled = csfle__read_bool(&r, "disabled");
  if (r.rc != CSFLE_OK && out->name.ptr && out->name.len < 100)
    csfle__where(err, "rule \"%.*s\"", CSFLE__FMT(out->name));
  return r.rc;
}

static csfle__rules rules_parse(reader *r, const char *name)
{
  csfle__rules list = { NULL, 0 };
  yyjson_val  *v = csfle__read_array(r, name), *x;
  size_t       i, n;
  if (!v || yyjson_arr_size(v) == 0) return list;
  list.at = csfle__read_alloc(r, yyjson_arr_size(v), sizeof *list.at);
  if (!list.at) return list;
  yyjson_arr_foreach(v, i, n, x)
  {
    r->rc = rule_parse(r->arena, x, &list.at[i], r->err);
    if (r->rc != CSFLE_OK) return list;
    list.count++;
  }
  return list;
}

csfle_status csfle__rule_set_parse(csfle__arena *a, yyjson_val *v, csfle__rule_set **out, csfle_error *err)
{
  *out = NULL;
  if (!v || yyjson_is_null(v)) return CSFLE_OK;
  reader           r = csfle__read_object(a, v, "rule set", err);
  csfle__rule_set *s = r.rc == CSFLE_OK ? csfle__read_alloc(&r, 1, sizeof *s) : NULL;
  if (!s) return r.rc;
  s->migration = rules_parse(&r, "migrationRules");
  s->domain = rules_parse(&r, "domainRules");
  s->encoding = rules_parse(&r, "encodingRules");
  s->enable_at = (csfle__enable_at)read_enum(&r, "enableAt", places, 1, 6, CSFLE__AT_ABSENT);
  if (r.rc == CSFLE_OK) *out = s;
  return r.rc;
}

typedef struct numbered {
  csfle__tagged_path path;
  size_t             index;
} numbered;
static int by_pattern(const void *a, const void *b)
{
  const numbered *x = a, *y = b;
  int             d = csfle__cmp_utf16(x->path.pattern, y->path.pattern);
  return d ? d : (x->index > y->index) - (x->index < y->index);
}

static void tags_parse(reader *r, csfle__metadata *m)
{
  yyjson_val *v = csfle__read_object_member(r, "tags"), *k, *x;
  size_t      i, n, count = 0;
  if (!v || yyjson_obj_size(v) == 0) return;
  m->tags = csfle__read_alloc(r, yyjson_obj_size(v), sizeof *m->tags);
  numbered *all = csfle__calloc(yyjson_obj_size(v), sizeof *all);
  if (!all) csfle__read_fail(r, CSFLE_E_NOMEM, "%s", "");
  yyjson_obj_foreach(v, i, n, k, x)
  {
    if (r->rc != CSFLE_OK) break;
    if (yyjson_is_null(x)) continue;
    all[count].index = i;
    csfle__read_scalar(r, k, &all[count].path.pattern);
    all[count++].path.tags = csfle__read_names_of(r, x, "tags");
  }
  if (r->rc == CSFLE_OK) {
    qsort(all, count, sizeof *all, by_pattern);
    for (i = 0; i < count; i++)
      if (i + 1 == count || !csfle__eq(all[i].path.pattern, all[i + 1].path.pattern)) m->tags[m->tag_count++] = all[i].path;
  }
  csfle__free(all);
}

csfle_status csfle__metadata_parse(csfle__arena *a, yyjson_val *v, csfle__metadata **out, csfle_error *err)
{
  *out = NULL;
  if (!v || yyjson_is_null(v)) return CSFLE_OK;
  reader           r = csfle__read_object(a, v, "metadata", err);
  csfle__metadata *m = r.rc == CSFLE_OK ? csfle__read_alloc(&r, 1, sizeof *m) : NULL;
  if (!m) return r.rc;
  tags_parse(&r, m);
  m->properties = csfle__read_pairs(&r, "properties");
  m->sensitive = csfle__read_names(&r, "sensitive");
  if (r.rc == CSFLE_OK) *out = m;
  return r.rc;
}

csfle_status csfle__references_parse(csfle__arena *a, yyjson_val *v, csfle__schema_ref **out, size_t *count, csfle_error *err)
{
  yyjson_val *x;
  size_t      i, n;
  *out = NULL, *count = 0;
  if (!v || yyjson_is_null(v)) return CSFLE_OK;
  if (!yyjson_is_arr(v)) return csfle__fail(err, CSFLE_E_SCHEMA, "\"references\" is not an array");
  if (yyjson_arr_size(v) == 0) return CSFLE_OK;
  csfle__schema_ref *refs = csfle__arena_alloc(a, yyjson_arr_size(v) * sizeof *refs);
  if (!refs) return csfle__nomem(err);
  yyjson_arr_foreach(v, i, n, x)
  {
    reader r = csfle__read_object(a, x, "reference", err);
    refs[i].name = csfle__read_text(&r, "name");
    refs[i].subject = csfle__read_text(&r, "subject");
    refs[i].version = (int32_t)csfle__read_int(&r, "version", INT32_MIN, INT32_MAX, 0);
    if (r.rc != CSFLE_OK) return r.rc;
  }
  *out = refs, *count = n;
  return CSFLE_OK;
}

csfle_status csfle__schema_info_parse(csfle__schema_info **out, yyjson_val *obj, csfle_error *err)
{
  *out = NULL;
  csfle__schema_info *s = csfle__calloc(1, sizeof *s);
  if (!s) return csfle__nomem(err);
  reader r = csfle__read_object(&s->arena, obj, "schema object", err);
  s->subject = csfle__read_text(&r, "subject");
  s->guid = csfle__read_text(&r, "guid");
  s->schema_type = csfle__read_text(&r, "schemaType");
  if (!s->schema_type.ptr) s->schema_type = CSFLE__LIT("AVRO");
  s->schema = csfle__read_text(&r, "schema");
  s->id = (int32_t)csfle__read_int(&r, "id", INT32_MIN, INT32_MAX, -1);
  s->version = (int32_t)csfle__read_int(&r, "version", INT32_MIN, INT32_MAX, 0);
  s->ts = csfle__read_int(&r, "ts", INT64_MIN, INT64_MAX, -1);
  s->deleted = csfle__read_bool(&r, "deleted");
  csfle_status rc = r.rc;
  if (rc == CSFLE_OK)
    rc = csfle__references_parse(&s->arena, csfle__json_member(obj, "references"), &s->references, &s->reference_count, err);
  if (rc == CSFLE_OK) rc = csfle__metadata_parse(&s->arena, csfle__json_member(obj, "metadata"), &s->metadata, err);
  if (rc == CSFLE_OK) rc = csfle__rule_set_parse(&s->arena, csfle__json_member(obj, "ruleSet"), &s->rule_set, err);
  if (rc == CSFLE_OK) *out = s;
  else csfle__schema_info_free(s);
  return rc;
}

void csfle__schema_info_free(csfle__schema_info *s)
{
  if (!s) return;
  csfle__arena_free(&s->arena);
  csfle__free(s);
}
