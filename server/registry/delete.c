/* Soft and permanent deletion of versions and subjects. [SR 5.8] */
#include "server/registry/registry.h"

#include "server/log/must.h"

/* whether something but @p self references the version: soft-deleted referrers count for a permanent delete only */
static bool referenced(const registry *g, csfle__bytes subject, int32_t version, bool permanent, const registry_subject *self)
{
  registry_refs *refs = registry_state_referrers(g->state, subject, version);
  for (size_t i = 0; refs && i < refs->count; i++) {
    if (refs->at[i]->subject == self) continue;
    if (permanent || !refs->at[i]->deleted) return true;
  }
  return false;
}

static bool refuse_referenced(csfle__bytes subject, int32_t version, registry_problem *p)
{
  return registry_refuse(p, 422, 42206, "One or more references exist to the schema {magic=1,keytype=SCHEMA,subject=%.*s,version=%d}.", CSFLE__FMT(subject), version);
}

static void add_tombstone(registry_change *c, csfle__bytes subject, int32_t version)
{
  csfle_buf key;
  csfle_buf_init(&key, 0, 0);
  registry_put_schema_key(&key, subject, version);
  registry_change_add(c, REGISTRY_SCHEMAS, csfle__buf_view(&key), CSFLE__NONE);
  csfle_buf_free(&key);
}

bool registry_delete_version(registry *g, csfle__bytes name, int32_t number, bool permanent, int32_t *deleted, registry_problem *p)
{
  registry_subject *subject = registry_state_subject(g->state, name);
  registry_version *v = number == -1 ? registry_subject_latest(subject, false) : registry_subject_version(subject, number);
  registry_change   change = { 0 };

  if (!subject || (number == -1 && !v && !permanent)) return registry_refuse(p, 404, 40401, "Subject '%.*s' not found.", CSFLE__FMT(name));
  if (!v) return registry_refuse(p, 404, 40402, "Version %d not found.", number);
  if (v->deleted && !permanent)
    return registry_refuse(p, 404, 40406, "Subject '%.*s' Version %d was soft deleted.Set permanent=true to delete permanently", CSFLE__FMT(name), v->number);
  if (!registry_writable(g, name, p)) return false;
  if (referenced(g, name, v->number, permanent, NULL)) return refuse_referenced(name, v->number, p);
  if (permanent && !v->deleted)
    return registry_refuse(p, 404, 40407, "Subject '%.*s' Version %d was not deleted first before being permanently deleted", CSFLE__FMT(name), v->number);
  *deleted = v->number;
  if (permanent) {
    add_tombstone(&change, name, v->number);
    if (subject->count == 1) registry_settings_dropped(g, name, &change);
  } else {
    csfle_buf key, value;
    csfle_buf_init(&key, 0, 0);
    csfle_buf_init(&value, 0, 0);
    registry_put_schema_key(&key, name, v->number);
    registry_put_schema_value(&value, name, v->number, v->id, v->content->info, true);
    registry_change_add(&change, REGISTRY_SCHEMAS, csfle__buf_view(&key), csfle__buf_view(&value));
    csfle_buf_free(&key);
    csfle_buf_free(&value);
  }
  return registry_change_commit(g, &change, p);
}

bool registry_delete_subject(registry *g, csfle__bytes name, bool permanent, int32_t **out, size_t *count, registry_problem *p)
{
  registry_subject *subject = registry_state_subject(g->state, name);
  registry_change   change = { 0 };

  *out = NULL, *count = 0;
  if (!subject) return registry_refuse(p, 404, 40401, "Subject '%.*s' not found.", CSFLE__FMT(name));
  if (!permanent && !registry_subject_live(subject, false))
    return registry_refuse(p, 404, 40404, "Subject '%.*s' was soft deleted.Set permanent=true to delete permanently", CSFLE__FMT(name));
  if (!registry_writable(g, name, p)) return false;
  for (size_t i = 0; i < subject->count; i++) {
    registry_version *v = subject->versions[i];
    if (!permanent && v->deleted) continue;
    if (referenced(g, name, v->number, permanent, subject)) return refuse_referenced(name, v->number, p);
    if (permanent && !v->deleted)
      return registry_refuse(p, 404, 40405, "Subject '%.*s' was not deleted first before being permanently deleted", CSFLE__FMT(name));
  }
  int32_t *numbers = (int32_t *)must(csfle__calloc(subject->count + 1, sizeof *numbers));
  size_t   n = 0;
  for (size_t i = 0; i < subject->count; i++)
    if (permanent || !subject->versions[i]->deleted) numbers[n++] = subject->versions[i]->number;
  if (permanent) {
    for (size_t i = n; i-- > 0;) add_tombstone(&change, name, numbers[i]);
    registry_settings_dropped(g, name, &change);
  } else {
    csfle_buf key, value;
    csfle_buf_init(&key, 0, 0);
    csfle_buf_init(&value, 0, 0);
    put(&key, "{\"keytype\":\"DELETE_SUBJECT\",\"subject\":");
    must_ok(csfle__json_put_string(&key, name, true, NULL));
    put(&key, ",\"magic\":0}");
    put(&value, "{\"subject\":"), put_json(&value, name);
    put(&value, ",\"version\":"), put_int(&value, numbers[n - 1]), put(&value, "}");
    registry_change_add(&change, REGISTRY_SCHEMAS, csfle__buf_view(&key), csfle__buf_view(&value));
    csfle_buf_free(&key);
    csfle_buf_free(&value);
  }
  *out = numbers, *count = n;
  return registry_change_commit(g, &change, p);
}
