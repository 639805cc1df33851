/* /subjects and /compatibility. [SR 4.4 to 4.6] */
#include "server/api/api.h"

#include "server/log/must.h"

#include <stdlib.h>

#define ROUNDS 3 /* a registration is compared outside the lock before it is compared under it */

bool registry_subjects_list(registry_call *c)
{
  csfle__bytes       prefix = registry_query(c->rq, "subjectPrefix");
  bool               deleted = registry_flag_of(c, "deleted"), only = registry_flag_of(c, "deletedOnly");
  registry_subject **subjects;
  size_t             offset, limit, kept = 0;

  if (!registry_page(c, c->g->options.subjects, &offset, &limit)) return false;
  if (!prefix.ptr) prefix = CSFLE__LIT(":*:");
  size_t        n = registry_state_subjects(c->g->state, &subjects);
  csfle__bytes *names = (csfle__bytes *)must(csfle__calloc(n + 1, sizeof *names));
  for (size_t i = 0; i < n; i++) {
    bool live = registry_subject_live(subjects[i], false);
    if (registry_prefix_matches(prefix, subjects[i]->name) && (only ? !live : live || deleted)) names[kept++] = subjects[i]->name;
  }
  registry_put_names(c->out, names, kept, offset, limit);
  csfle__free(names);
  csfle__free(subjects);
  return true;
}

bool registry_subject_lookup(registry_call *c)
{
  registry_schema_request r;
  if (!registry_schema_request_read(c, &r)) return false;
  bool ok = registry_lookup(c->g, &r, &c->problem) &&
            registry_put_version(c, r.version, (registry_view){ .from_store = r.stored, .format = registry_query(c->rq, "format") });
  if (ok) put(c->out, "}");
  csfle__schema_info_free(r.info);
  return ok;
}

static bool register_once(registry_call *c, registry_schema_request *r)
{
  registry_view view = { .no_id = true, .no_subject = true, .format = registry_query(c->rq, "format") };

  if (!registry_register(c->g, r, &c->problem)) return false;
  view.from_store = r->stored;
  put(c->out, "{\"id\":"), put_int(c->out, r->version->id);
  put(c->out, ",\"version\":"), put_int(c->out, r->version->number), put(c->out, ",");
  size_t at = c->out->len;
  if (!registry_put_version(c, r->version, view)) return false;
  memmove(c->out->ptr + at, c->out->ptr + at + 1, c->out->len - at - 1); /* without the brace it begins with */
  c->out->len--;
  put(c->out, "}");
  return true;
}

bool registry_subject_register(registry_call *c)
{
  registry_schema_request r;
  registry_question      *question = NULL;
  bool                    ok = false, again = true;
  static const char *const edits[] = { "schemaTagsToAdd", "schemaTagsToRemove" };

  for (size_t i = 0; i < 2; i++) {
    yyjson_val *v = csfle__json_member(c->body, edits[i]);
    if (v && !yyjson_is_null(v) && yyjson_arr_size(v) > 0) return registry_unsupported(c, edits[i]);
  }
  if (yyjson_is_true(csfle__json_member(c->body, "propagateSchemaTags"))) return registry_unsupported(c, "propagateSchemaTags");
  if (csfle__eq_str(registry_query(c->rq, "format"), "logical")) return registry_refuse(&c->problem, 422, 42201, "format=logical is not supported by this server");
  /* parsed and compared without the lock, then decided under it; what changed in between is asked again */
  for (int round = 0; again; round++) {
    if (!registry_schema_request_read(c, &r)) break;
    r.question = question;
    r.may_ask = round < ROUNDS;
    registry_begin(c->g, true);
    ok = register_once(c, &r);
    c->rq->position = registry_end(c->g);
    csfle__schema_info_free(r.info);
    registry_question_free(question);
    question = r.asked;
    again = question && registry_answer(question, true, &c->problem);
  }
  registry_question_free(question);
  return ok;
}

bool registry_subject_delete(registry_call *c)
{
  int32_t *numbers;
  size_t   n;
  bool     ok = registry_delete_subject(c->g, c->param[0], registry_flag_of(c, "permanent"), &numbers, &n, &c->problem);
  if (ok) {
    put(c->out, "[");
    for (size_t i = 0; i < n; i++) put(c->out, i ? "," : ""), put_int(c->out, numbers[i]);
    put(c->out, "]");
  }
  csfle__free(numbers);
  return ok;
}

/* key=..&value=.. pairs in order, surplus ignored [SR 4.4.3] */
static bool pairs_fit(const registry_request *rq, const csfle__metadata *m)
{
  size_t k = 0, v = 0;
  if (!m) return false;
  for (;;) {
    while (k < rq->query_count && !csfle__eq_str(rq->query[k].name, "key")) k++;
    while (v < rq->query_count && !csfle__eq_str(rq->query[v].name, "value")) v++;
    if (k == rq->query_count || v == rq->query_count) return true;
    bool found = false;
    for (size_t i = 0; i < m->properties.count && !found; i++)
      found = csfle__eq(m->properties.at[i].name, rq->query[k].value) && csfle__eq(m->properties.at[i].value, rq->query[v].value);
    if (!found) return false;
    k++, v++;
  }
}

bool registry_subject_metadata(registry_call *c)
{
  registry_subject *subject = registry_state_subject(c->g->state, c->param[0]);
  bool              deleted = registry_flag_of(c, "deleted");

  if (!registry_subject_live(subject, deleted)) return registry_refuse(&c->problem, 404, 40401, "Subject '%.*s' not found.", CSFLE__FMT(c->param[0]));
  for (size_t i = subject->count; i-- > 0;) {
    registry_version *v = subject->versions[i];
    if ((v->deleted && !deleted) || !pairs_fit(c->rq, v->content->info->metadata)) continue;
    if (!registry_put_version(c, v, (registry_view){ .from_store = true, .format = registry_query(c->rq, "format") })) return false;
    put(c->out, "}");
    return true;
  }
  return registry_refuse(&c->problem, 404, 40403, "Schema not found");
}

bool registry_subject_versions(registry_call *c)
{
  registry_subject *subject = registry_state_subject(c->g->state, c->param[0]);
  bool deleted = registry_flag_of(c, "deleted"), only = registry_flag_of(c, "deletedOnly"), negative = registry_flag_of(c, "deletedAsNegative");
  size_t            offset, limit, n = 0;

  if (!registry_page(c, c->g->options.subject_versions, &offset, &limit)) return false;
  if (!registry_subject_live(subject, deleted || only)) return registry_refuse(&c->problem, 404, 40401, "Subject '%.*s' not found.", CSFLE__FMT(c->param[0]));
  int64_t *numbers = (int64_t *)must(csfle__calloc(subject->count + 1, sizeof *numbers));
  for (size_t i = 0; i < subject->count; i++) {
    registry_version *v = subject->versions[i];
    if (negative) numbers[n++] = v->deleted ? -v->number : v->number;
    else if (only ? v->deleted : deleted || !v->deleted) numbers[n++] = v->number;
  }
  registry_put_numbers(c->out, numbers, n, offset, limit);
  csfle__free(numbers);
  return true;
}

/* ---- one version ------------------------------------------------------------------------------------------------ */

static registry_version *version_of(registry_call *c, bool deleted, bool search)
{
  int32_t number;
  if (!registry_version_param(c, c->param[1], &number)) return NULL;
  return registry_read_version(c, c->param[0], number, deleted, search);
}

bool registry_version_get(registry_call *c)
{
  registry_version *v = version_of(c, registry_flag_of(c, "deleted"), true);
  if (!v) return false;
  if (registry_query(c->rq, "findTags").ptr) return registry_unsupported(c, "findTags");
  registry_view view = { .from_store = true, .format = registry_query(c->rq, "format"),
                         .qualified = csfle__eq_str(registry_query(c->rq, "referenceFormat"), "qualified") };
  if (!registry_put_version(c, v, view)) return false;
  put(c->out, "}");
  return true;
}

bool registry_version_text(registry_call *c)
{
  registry_version *v = version_of(c, registry_flag_of(c, "deleted"), true);
  return v && registry_formatted(c->g, v, registry_query(c->rq, "format"), c->out, &c->problem);
}

bool registry_version_delete(registry_call *c)
{
  int32_t number, deleted;
  if (!registry_version_param(c, c->param[1], &number)) return false;
  if (!registry_delete_version(c->g, c->param[0], number, registry_flag_of(c, "permanent"), &deleted, &c->problem)) return false;
  put_int(c->out, deleted);
  return true;
}

static int by_context_and_id(const void *a, const void *b)
{
  const registry_version *x = *(const registry_version *const *)a, *y = *(const registry_version *const *)b;
  int d = csfle__cmp_utf16(x->subject->context->name, y->subject->context->name);
  return d ? d : (x->id > y->id) - (x->id < y->id);
}

bool registry_version_referenced_by(registry_call *c)
{
  bool              deleted = registry_flag_of(c, "deleted");
  size_t            offset, limit, n = 0;
  int32_t           number;
  registry_subject *subject = registry_state_subject(c->g->state, c->param[0]);

  if (!registry_version_param(c, c->param[1], &number) || !registry_page(c, c->g->options.schemas, &offset, &limit)) return false;
  registry_version *v = number == -1 ? registry_subject_latest(subject, false) : registry_subject_version(subject, number);
  if (!v && subject) return registry_refuse(&c->problem, 404, 40402, "Version %d not found.", number);
  if (!v) return registry_refuse(&c->problem, 404, 40401, "Subject '%.*s' not found.", CSFLE__FMT(c->param[0]));
  registry_refs *refs = registry_state_referrers(c->g->state, c->param[0], v->number);
  size_t         count = refs ? refs->count : 0;
  registry_version **all = (registry_version **)must(csfle__calloc(count + 1, sizeof *all));
  int64_t           *ids = (int64_t *)must(csfle__calloc(count + 1, sizeof *ids));
  size_t             kept = 0;
  for (size_t i = 0; i < count; i++)
    if (deleted || !refs->at[i]->deleted) all[kept++] = refs->at[i];
  qsort(all, kept, sizeof *all, by_context_and_id);
  for (size_t i = 0; i < kept; i++)
    if (!i || by_context_and_id(&all[i - 1], &all[i]) != 0) ids[n++] = all[i]->id;
  registry_put_numbers(c->out, ids, n, offset, limit);
  csfle__free(ids);
  csfle__free(all);
  return true;
}

bool registry_version_tags(registry_call *c)
{
  return registry_unsupported(c, "Editing tags of a registered schema");
}

/* ---- compatibility ---------------------------------------------------------------------------------------------- */

static bool compatibility(registry_call *c, int32_t version)
{
  registry_schema_request r;
  registry_question      *q = NULL;
  bool                    verbose = registry_flag_of(c, "verbose");

  if (!registry_schema_request_read(c, &r)) return false;
  registry_begin(c->g, false);
  bool ok = registry_compatible(c->g, &r, version, &q, &c->problem);
  c->rq->position = registry_end(c->g);
  csfle__schema_info_free(r.info);
  if (ok) ok = registry_answer(q, verbose, &c->problem);
  if (ok) {
    put(c->out, q->compatible ? "{\"is_compatible\":true" : "{\"is_compatible\":false");
    if (verbose) put(c->out, ",\"messages\":[");
    for (size_t i = 0; i < q->lines.count; i++) put(c->out, i ? "," : ""), put_json(c->out, csfle__messages_at(&q->lines, i));
    put(c->out, verbose ? "]}" : "}");
  } else if (verbose && c->problem.code == 42201) {
    put(c->out, "{\"is_compatible\":false,\"messages\":["), put_json(c->out, csfle__str(c->problem.text)), put(c->out, "]}");
    ok = true;
  }
  registry_question_free(q);
  return ok;
}

bool registry_compatibility_all(registry_call *c)
{
  return compatibility(c, 0);
}

bool registry_compatibility_one(registry_call *c)
{
  int32_t version;
  return registry_version_param(c, c->param[1], &version) && compatibility(c, version);
}
