/* Versions as JSON, and requests that carry a schema. [SR 2.5 to 2.9, 3.5] */
#include "server/api/api.h"

#include "server/log/must.h"

#include <stdio.h>

static void put_references_qualified(csfle_buf *b, const registry_version *v)
{
  const csfle__schema_info *info = v->content->info;
  put(b, ",\"references\":[");
  for (size_t i = 0; i < info->reference_count; i++) {
    csfle_buf name;
    csfle_buf_init(&name, 0, 0);
    registry_put_reference_subject(&name, v->subject->context->name, info->references[i].subject);
    put(b, i ? ",{\"name\":" : "{\"name\":"), put_json(b, info->references[i].name);
    put(b, ",\"subject\":"), put_json(b, csfle__buf_view(&name));
    put(b, ",\"version\":"), put_int(b, info->references[i].version), put(b, "}");
    csfle_buf_free(&name);
  }
  put(b, "]");
}

static void put_content_qualified(csfle_buf *b, const registry_version *v)
{
  const csfle__schema_info *info = v->content->info;
  char                      guid[37];

  csfle__guid_text(registry_content_guid(v->content), guid);
  put(b, ",\"guid\":\""), put(b, guid), put(b, "\",\"schemaType\":"), put_json(b, info->schema_type);
  put_references_qualified(b, v);
  if (info->metadata) put(b, ",\"metadata\":"), must_ok(csfle__metadata_put(b, info->metadata, NULL));
  if (info->rule_set) put(b, ",\"ruleSet\":"), must_ok(csfle__rule_set_put(b, info->rule_set, NULL));
}

bool registry_put_version(registry_call *c, const registry_version *v, registry_view view)
{
  csfle_buf         *b = c->out;
  registry_content  *content = v->content;
  bool               qualify = view.qualified && v->subject->context->name.len > 1 && content->info->reference_count;
  size_t             start = b->len;
  const registry_rendered *rendered = registry_content_rendered(content);

  must_ok(csfle__buf_reserve(b, rendered->len + v->subject->name.len + 160, NULL));
  put(b, "{");
  if (!view.no_subject) {
    put(b, "\"subject\":"), put_json(b, v->subject->name);
    put(b, ",\"version\":"), put_int(b, v->number);
    if (!view.no_id) put(b, ",\"id\":"), put_int(b, v->id);
  }
  if (qualify) put_content_qualified(b, v);
  else put_bytes(b, csfle__view(rendered->text, rendered->schema_at));
  if (view.no_subject) { /* the first comma has nothing before it */
    memmove(b->ptr + start + 1, b->ptr + start + 2, b->len - start - 2);
    b->len--;
  }
  if (view.format.len) {
    csfle_buf text;
    csfle_buf_init(&text, 0, 0);
    bool ok = registry_formatted(c->g, v, view.format, &text, &c->problem);
    if (ok) put(b, ",\"schema\":"), put_json(b, csfle__buf_view(&text));
    csfle_buf_free(&text);
    if (!ok) return false;
  } else {
    put_bytes(b, csfle__view(rendered->text + rendered->schema_at, rendered->len - rendered->schema_at));
  }
  if (view.from_store) {
    put(b, ",\"ts\":"), put_int(b, v->ts);
    put(b, v->deleted ? ",\"deleted\":true" : ",\"deleted\":false");
  }
  return true;
}

bool registry_schema_request_read(registry_call *c, registry_schema_request *r)
{
  csfle_error err = CSFLE_ERROR_INIT;

  *r = (registry_schema_request){ .subject = c->param[0], .normalize = registry_flag_of(c, "normalize"),
                                  .force = registry_flag_of(c, "force"), .deleted = registry_flag_of(c, "deleted") };
  if (csfle__schema_info_parse(&r->info, c->body, &err) != CSFLE_OK) {
    r->info = NULL;
    return registry_refuse(&c->problem, 400, 400, "%s%s%s", err.where, err.where[0] ? ": " : "", err.msg);
  }
  return true;
}

registry_version *registry_read_version(registry_call *c, csfle__bytes name, int32_t number, bool deleted, bool search)
{
  registry_subject *subject = registry_state_subject(c->g->state, name);
  registry_version *v = number == -1 ? registry_subject_latest(subject, false) : registry_subject_version(subject, number);

  if (v && (deleted || !v->deleted)) return v;
  v = NULL;
  if (search && csfle__eq_str(registry_context_of(name), ".")) {
    csfle__bytes *contexts;
    size_t        n = registry_state_context_names(c->g->state, &contexts);
    for (size_t i = 0; i < n && !v; i++) {
      csfle_buf other;
      if (csfle__eq_str(contexts[i], ".")) continue;
      csfle_buf_init(&other, 0, 0);
      must_ok(csfle__subject_put(&other, (csfle__subject){ contexts[i], csfle__subject_parse(name).name }, NULL));
      registry_subject *s = registry_state_subject(c->g->state, csfle__buf_view(&other));
      v = number == -1 ? registry_subject_latest(s, false) : registry_subject_version(s, number);
      if (v && v->deleted && !deleted) v = NULL;
      csfle_buf_free(&other);
    }
    csfle__free(contexts);
  }
  if (v) return v;
  if (registry_subject_live(subject, deleted)) registry_refuse(&c->problem, 404, 40402, "Version %d not found.", number);
  else registry_refuse(&c->problem, 404, 40401, "Subject '%.*s' not found.", CSFLE__FMT(name));
  return NULL;
}
