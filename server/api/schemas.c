/* /schemas: lists, ids, GUIDs, types. [SR 4.2, 4.3] */
#include "server/api/api.h"

#include "server/log/must.h"

#include <stdlib.h>

bool registry_schema_types(registry_call *c)
{
  put(c->out, "[\"AVRO\"]"); /* what this build can register */
  return true;
}

/* ---- ids -------------------------------------------------------------------------------------------------------- */

/* a version of the content in the context, undeleted if there is one */
static registry_version *holder(const registry_id *id, const registry_context *ctx)
{
  registry_version *any = NULL;
  for (size_t i = 0; id && i < id->content->holder_count; i++) {
    registry_version *v = id->content->holders[i];
    if (v->id != id->id || v->subject->context != ctx) continue;
    if (!v->deleted) return v;
    any = v;
  }
  return any;
}

static registry_version *in_subject(const registry_subject *subject, int32_t id)
{
  registry_version *any = NULL;
  for (size_t i = subject ? subject->count : 0; i-- > 0;) {
    registry_version *v = subject->versions[i];
    if (v->id != id) continue;
    if (!v->deleted) return v;
    if (!any) any = v;
  }
  return any;
}

static registry_version *find_id(registry_call *c, int32_t id)
{
  csfle__bytes      asked = registry_query(c->rq, "subject");
  csfle__subject    q = csfle__subject_parse(asked);
  registry_context *ctx;
  registry_version *v = NULL;

  if (asked.len) {
    asked = registry_follow_alias(c, registry_normalized(c, asked), false);
    q = csfle__subject_parse(asked);
  }
  ctx = registry_state_context(c->g->state, q.context);
  if (!q.name.len) return ctx ? holder(registry_context_id(ctx, id), ctx) : NULL;
  v = in_subject(registry_state_subject(c->g->state, asked), id);
  if (v || !csfle__eq_str(q.context, ".")) return v;
  csfle__bytes *names;
  size_t        n = registry_state_context_names(c->g->state, &names);
  for (size_t i = 0; i < n && !v; i++) {
    csfle_buf other;
    csfle_buf_init(&other, 0, 0);
    must_ok(csfle__subject_put(&other, (csfle__subject){ names[i], q.name }, NULL));
    v = in_subject(registry_state_subject(c->g->state, csfle__buf_view(&other)), id);
    csfle_buf_free(&other);
  }
  csfle__free(names);
  return v ? v : ctx ? holder(registry_context_id(ctx, id), ctx) : NULL;
}

static registry_version *id_param(registry_call *c, const char *unknown)
{
  int32_t id;
  if (!registry_int_param(c, c->param[0], &id)) return NULL;
  registry_version *v = find_id(c, id);
  if (!v && unknown) registry_refuse(&c->problem, 404, 40403, "%s", unknown);
  else if (!v) registry_refuse(&c->problem, 404, 40403, "Schema %d not found", id);
  return v;
}

bool registry_schema_by_id(registry_call *c)
{
  registry_version *v = id_param(c, NULL);
  if (!v) return false;
  if (registry_query(c->rq, "findTags").ptr) return registry_unsupported(c, "findTags");
  registry_view view = { .no_id = true, .from_store = true, .format = registry_query(c->rq, "format"),
                         .qualified = csfle__eq_str(registry_query(c->rq, "referenceFormat"), "qualified") };
  if (!registry_put_version(c, v, view)) return false;
  if (registry_flag_of(c, "fetchMaxId")) put(c->out, ",\"maxId\":"), put_int(c->out, v->subject->context->max_id);
  put(c->out, "}");
  return true;
}

bool registry_schema_text_by_id(registry_call *c)
{
  registry_version *v = id_param(c, NULL);
  return v && registry_formatted(c->g, v, registry_query(c->rq, "format"), c->out, &c->problem);
}

static int by_subject(const void *a, const void *b)
{
  const registry_version *x = *(const registry_version *const *)a, *y = *(const registry_version *const *)b;
  return csfle__cmp_utf16(x->subject->name, y->subject->name);
}

/* one version a subject of the context that holds the same content: the one written last; *out is the caller's */
static size_t sharing(registry_call *c, const registry_version *v, registry_version ***out)
{
  registry_content *content = v->content;
  bool              deleted = registry_flag_of(c, "deleted");
  size_t            n = 0;

  *out = (registry_version **)must(csfle__calloc(content->holder_count + 1, sizeof **out));
  for (size_t i = content->holder_count; i-- > 0;) {
    registry_version *h = content->holders[i];
    if (h->subject->context == v->subject->context && (deleted || !h->deleted)) (*out)[n++] = h;
  }
  qsort(*out, n, sizeof **out, by_subject);
  size_t kept = 0;
  for (size_t i = 0; i < n; i++) {
    if (kept && (*out)[kept - 1]->subject == (*out)[i]->subject) {
      if ((*out)[i]->offset > (*out)[kept - 1]->offset) (*out)[kept - 1] = (*out)[i];
      continue;
    }
    (*out)[kept++] = (*out)[i];
  }
  return kept;
}

bool registry_schema_subjects(registry_call *c)
{
  registry_version **all, *v = id_param(c, "Schema not found");
  size_t             offset, limit;

  if (!v || !registry_page(c, c->g->options.subjects, &offset, &limit)) return false;
  size_t        n = sharing(c, v, &all);
  csfle__bytes *names = (csfle__bytes *)must(csfle__calloc(n + 1, sizeof *names));
  for (size_t i = 0; i < n; i++) names[i] = all[i]->subject->name;
  registry_put_names(c->out, names, n, offset, limit);
  csfle__free(names);
  csfle__free(all);
  return true;
}

bool registry_schema_versions(registry_call *c)
{
  registry_version **all, *v = id_param(c, "Schema not found");
  size_t             offset, limit;

  if (!v || !registry_page(c, c->g->options.subject_versions, &offset, &limit)) return false;
  size_t n = sharing(c, v, &all);
  put(c->out, "[");
  for (size_t i = offset, k = 0; i < n && k < limit; i++, k++) {
    put(c->out, k ? ",{\"subject\":" : "{\"subject\":"), put_json(c->out, all[i]->subject->name);
    put(c->out, ",\"version\":"), put_int(c->out, all[i]->number), put(c->out, "}");
  }
  put(c->out, "]");
  csfle__free(all);
  return true;
}

/* ---- GUIDs ------------------------------------------------------------------------------------------------------ */

/* a holder of the first content with this GUID, the default context's before others */
static registry_version *by_guid(registry_call *c, const uint8_t guid[16])
{
  registry_version *best = NULL;
  static const char *const types[] = { "AVRO", "JSON", "PROTOBUF" };

  for (size_t t = 0; t < 3 && !best; t++) {
    registry_content *content = registry_state_guid(c->g->state, guid, csfle__str(types[t]));
    for (size_t i = 0; content && i < content->holder_count; i++) {
      registry_version *v = content->holders[i];
      csfle__bytes      name = v->subject->context->name;
      if (!best || (best->subject->context->name.len > 1 && (name.len == 1 || csfle__cmp_utf16(name, best->subject->context->name) < 0))) best = v;
    }
  }
  return best;
}

bool registry_schema_by_guid(registry_call *c)
{
  uint8_t           guid[16];
  registry_version *v = csfle__guid_parse(c->param[0], guid) ? by_guid(c, guid) : NULL;

  if (!v) return registry_refuse(&c->problem, 404, 40403, "Schema %.*s not found", CSFLE__FMT(c->param[0]));
  registry_view view = { .no_subject = true, .no_id = true, .from_store = true, .format = registry_query(c->rq, "format") };
  if (!registry_put_version(c, v, view)) return false;
  put(c->out, "}");
  return true;
}

static int by_context_and_id(const void *a, const void *b)
{
  const registry_version *x = *(const registry_version *const *)a, *y = *(const registry_version *const *)b;
  int d = csfle__cmp_utf16(x->subject->context->name, y->subject->context->name);
  return d ? d : (x->id > y->id) - (x->id < y->id);
}

bool registry_schema_guid_ids(registry_call *c)
{
  uint8_t           guid[16];
  registry_version *v = csfle__guid_parse(c->param[0], guid) ? by_guid(c, guid) : NULL;

  put(c->out, "[");
  if (v) {
    size_t             n = v->content->holder_count, shown = 0;
    registry_version **all = (registry_version **)must(csfle__dup(v->content->holders, n * sizeof *all));
    qsort(all, n, sizeof *all, by_context_and_id);
    for (size_t i = 0; i < n; i++) {
      if (i && by_context_and_id(&all[i - 1], &all[i]) == 0) continue;
      put(c->out, shown++ ? ",{\"context\":" : "{\"context\":"), put_json(c->out, all[i]->subject->context->name);
      put(c->out, ",\"id\":"), put_int(c->out, all[i]->id), put(c->out, "}");
    }
    csfle__free(all);
  }
  put(c->out, "]");
  return true;
}

/* ---- GET /schemas ----------------------------------------------------------------------------------------------- */

static bool has_rule_type(const csfle__rules *rules, csfle__bytes type)
{
  for (size_t i = 0; i < rules->count; i++)
    if (csfle__eq(rules->at[i].type, type)) return true;
  return false;
}

static bool rule_type_fits(const registry_version *v, csfle__bytes type)
{
  const csfle__rule_set *r = v->content->info->rule_set;
  if (!type.len) return true;
  return r && (has_rule_type(&r->migration, type) || has_rule_type(&r->domain, type) || has_rule_type(&r->encoding, type));
}

/* names of aliases that match the prefix and lead to @p subject; appended as a JSON array with @p put_them */
static size_t aliases_of(registry_call *c, csfle__bytes prefix, csfle__bytes subject, bool put_them)
{
  const csfle__map *configs = &c->g->state->configs;
  size_t            n = 0;
  for (size_t i = 0; i < configs->count; i++) {
    const registry_config *config = (const registry_config *)configs->entries[i].value;
    csfle__bytes           name = configs->entries[i].key;
    if (!config->alias.len || !csfle__subject_parse(name).name.len || !registry_prefix_matches(prefix, name)) continue;
    if (!csfle__eq(registry_follow_alias(c, name, false), subject)) continue;
    if (put_them) put(c->out, n ? "," : ",\"aliases\":["), put_json(c->out, name);
    n++;
  }
  if (put_them && n) put(c->out, "]");
  return n;
}

/* nothing is associated here: what asks for an association finds nothing unless it also asks for NONE */
static bool associations_exclude(registry_call *c)
{
  bool asked = false;
  for (size_t i = 0; i < c->rq->query_count; i++) {
    const registry_param *q = &c->rq->query[i];
    if (csfle__eq_str(q->name, "lifecycle") && csfle__eq_nocase(q->value, CSFLE__LIT("NONE"))) return false;
    asked = asked || csfle__eq_str(q->name, "lifecycle") || csfle__eq_str(q->name, "resourceType") || csfle__eq_str(q->name, "associationType");
  }
  return asked;
}

bool registry_schemas_list(registry_call *c)
{
  csfle__bytes       prefix = registry_query(c->rq, "subjectPrefix"), type = registry_query(c->rq, "ruleType");
  bool               deleted = registry_flag_of(c, "deleted"), latest_only = registry_flag_of(c, "latestOnly"), aliases = registry_flag_of(c, "aliases");
  registry_subject **subjects = NULL;
  size_t             offset, limit, seen = 0, shown = 0;

  if (!registry_page(c, c->g->options.schemas, &offset, &limit)) return false;
  size_t n = associations_exclude(c) ? 0 : registry_state_subjects(c->g->state, &subjects);
  put(c->out, "[");
  for (size_t i = 0; i < n && shown < limit; i++) {
    registry_subject *s = subjects[i];
    if (!registry_prefix_matches(prefix, s->name) && !(aliases && aliases_of(c, prefix, s->name, false))) continue;
    registry_version *latest = latest_only ? registry_subject_latest(s, deleted) : NULL;
    for (size_t j = 0; j < s->count && shown < limit; j++) {
      registry_version *v = s->versions[j];
      if ((v->deleted && !deleted) || (latest_only && v != latest) || !rule_type_fits(v, type) || seen++ < offset) continue;
      if (shown++) put(c->out, ",");
      (void)registry_put_version(c, v, (registry_view){ .from_store = true });
      if (aliases) aliases_of(c, prefix, s->name, true);
      put(c->out, "}");
    }
  }
  put(c->out, "]");
  csfle__free(subjects);
  return true;
}
