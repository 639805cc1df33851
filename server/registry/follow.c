/*
 * May a schema follow those of its subject? The question is copied out of the state under the lock and answered
 * without it: parsing and comparing what a client sends may take a second. [SR 4.6, 5.5 step 14, 5.10]
 */
#include "server/registry/registry.h"

#include "server/log/must.h"

static csfle__bytes copy(csfle__arena *a, csfle__bytes text)
{
  if (!text.ptr) return text;
  text = csfle__arena_copy(a, text);
  if (!text.ptr) registry_out_of_memory();
  return text;
}

static csfle__bytes property(csfle__arena *a, const csfle__metadata *m, csfle__bytes name)
{
  for (size_t i = 0; name.ptr && m && i < m->properties.count; i++)
    if (csfle__eq(m->properties.at[i].name, name)) return copy(a, m->properties.at[i].value);
  return CSFLE__NONE;
}

/* @p info as seen from @p context: its text and those it refers to */
static bool take(registry *g, registry_question *q, registry_asked *to, csfle__bytes context, csfle__schema_info *info,
                 bool stored, csfle__bytes group, registry_problem *p)
{
  if (!registry_resolve(g, context, info, stored, &q->arena, &to->refs, &to->ref_count, p)) return false;
  to->type = copy(&q->arena, info->schema_type);
  to->text = copy(&q->arena, info->schema);
  to->group = property(&q->arena, info->metadata, group);
  to->reserved = property(&q->arena, info->metadata, CSFLE__LIT("confluent:reserved"));
  return true;
}

static bool in_group(const registry_question *q, csfle__bytes group, const registry_version *v)
{
  csfle__bytes a = q->next.group, b = CSFLE__NONE;
  const csfle__metadata *m = v->content->info->metadata;
  for (size_t i = 0; m && i < m->properties.count; i++)
    if (csfle__eq(m->properties.at[i].name, group)) b = m->properties.at[i].value;
  return !group.ptr || (!a.ptr == !b.ptr && csfle__eq(a, b));
}

bool registry_ask(registry *g, const registry_scope *scope, csfle__bytes name, csfle__schema_info *info,
                  const registry_version *only, registry_question **out, registry_problem *p)
{
  registry_subject  *subject = registry_state_subject(g->state, name);
  registry_version  *last = scope->validate_fields ? registry_subject_latest(subject, false) : NULL;
  registry_question *q = (registry_question *)must_calloc(sizeof *q);
  bool transitive = scope->level == REGISTRY_BACKWARD_TRANSITIVE || scope->level == REGISTRY_FORWARD_TRANSITIVE || scope->level == REGISTRY_FULL_TRANSITIVE;
  bool found = scope->level == REGISTRY_NONE;
  size_t cap = 0;

  q->level = scope->level;
  q->validate_fields = scope->validate_fields;
  q->grouped = scope->group.ptr != NULL;
  q->flags = scope->validate_new_schemas ? CSFLE__SCHEMA_NEW : 0;
  if (csfle__eq_nocase(scope->policy, CSFLE__LIT("LOGICAL")) && !found) {
    registry_refuse(p, 501, 501, "compatibilityPolicy LOGICAL is not supported yet by this server");
    goto refused;
  }
  if (!take(g, q, &q->next, registry_context_of(name), info, false, scope->group, p)) goto refused;
  /* newest first: what the level looks at, and the very last, whose reserved fields count whatever its group */
  for (size_t i = subject ? subject->count : 0; i-- > 0;) {
    registry_version *v = subject->versions[i];
    bool              looked_at = !found && in_group(q, scope->group, v);
    if (v->deleted || (only ? v != only : !looked_at && v != last)) continue;
    must_grow((void **)&q->previous, &cap, q->count + 1, sizeof *q->previous);
    registry_asked *to = &q->previous[q->count];
    *to = (registry_asked){ .version = v->number };
    if (!take(g, q, to, v->subject->context->name, v->content->info, true, scope->group, p)) {
      to->unreadable = copy(&q->arena, csfle__str(p->text)); /* a reference is gone: the verdict is no, the request stands */
      to->type = copy(&q->arena, v->content->info->schema_type), to->text = copy(&q->arena, v->content->info->schema);
      to->group = q->next.group;
    }
    q->count++;
    found = found || (looked_at && !transitive);
    if (found || only) break; /* the last one, if it counts, came first */
  }
  for (size_t i = 0; i < q->count / 2; i++) { /* oldest first */
    registry_asked swap = q->previous[i];
    q->previous[i] = q->previous[q->count - 1 - i];
    q->previous[q->count - 1 - i] = swap;
  }
  *out = q;
  return true;
refused:
  registry_question_free(q);
  return false;
}

void registry_question_free(registry_question *q)
{
  if (!q) return;
  csfle__messages_free(&q->lines);
  csfle__arena_free(&q->arena);
  csfle__free(q->previous);
  csfle__free(q);
}

static bool same_asked(const registry_asked *a, const registry_asked *b)
{
  bool same = a->version == b->version && a->ref_count == b->ref_count && csfle__eq(a->type, b->type) && csfle__eq(a->text, b->text) &&
              !a->group.ptr == !b->group.ptr && csfle__eq(a->group, b->group) && csfle__eq(a->reserved, b->reserved) &&
              csfle__eq(a->unreadable, b->unreadable);
  for (size_t i = 0; same && i < a->ref_count; i++) same = csfle__eq(a->refs[i].name, b->refs[i].name) && csfle__eq(a->refs[i].text, b->refs[i].text);
  return same;
}

bool registry_question_same(const registry_question *a, const registry_question *b)
{
  bool same = a->level == b->level && a->validate_fields == b->validate_fields && a->grouped == b->grouped && a->flags == b->flags &&
              a->normalize == b->normalize && a->count == b->count && same_asked(&a->next, &b->next);
  for (size_t i = 0; same && i < a->count; i++) same = same_asked(&a->previous[i], &b->previous[i]);
  return same;
}

static csfle_status parse_asked(const registry_asked *a, unsigned flags, csfle__schema **out, csfle_error *err)
{
  if (a->unreadable.ptr) return csfle__fail(err, CSFLE_E_SCHEMA, "%.*s", CSFLE__FMT(a->unreadable));
  return csfle__schema_parse(out, a->type, a->text, a->refs, a->ref_count, flags, err);
}

static csfle_status parse_previous(void *opaque, size_t i, csfle__schema **out, csfle_error *err)
{
  const registry_question *q = (const registry_question *)opaque;
  csfle_status             rc = parse_asked(&q->previous[i], 0, out, err);
  if (rc != CSFLE_OK) csfle__where(err, "version %d", q->previous[i].version);
  return rc;
}

static csfle_status normalized(csfle__schema **s, const registry_asked *a, unsigned flags, csfle_error *err)
{
  csfle_buf      text;
  csfle__schema *again = NULL;
  csfle_buf_init(&text, 0, 0);
  csfle_status rc = (*s)->format->normalized(*s, &text, err);
  if (rc == CSFLE_OK) rc = csfle__schema_parse(&again, a->type, csfle__buf_view(&text), a->refs, a->ref_count, flags, err);
  if (rc == CSFLE_OK) {
    csfle__schema_free(*s);
    *s = again;
  }
  csfle_buf_free(&text);
  return rc;
}

bool registry_answer(registry_question *q, bool tell, registry_problem *p)
{
  csfle__schema         *next = NULL;
  csfle_error            err = CSFLE_ERROR_INIT;
  csfle__compat_version *history = (csfle__compat_version *)must(csfle__calloc(q->count + 1, sizeof *history));
  csfle__compat_input    in = { .level = (csfle__compat_level)(q->level - REGISTRY_NONE), .grouped = q->grouped, .validate_fields = q->validate_fields,
                                .next_group = q->next.group, .next_reserved = q->next.reserved, .previous = history, .count = q->count,
                                .parse = parse_previous, .opaque = q };

  q->answered = true;
  csfle_status rc = parse_asked(&q->next, q->flags, &next, &err);
  if (rc == CSFLE_OK && q->normalize) rc = normalized(&next, &q->next, q->flags, &err);
  if (rc == CSFLE_E_NOMEM) registry_out_of_memory();
  if (rc != CSFLE_OK) {
    csfle__free(history);
    return registry_refuse(p, 422, 42201, "Invalid schema of type %.*s, details: %s%s%s", CSFLE__FMT(q->next.type), err.where, err.where[0] ? ": " : "", err.msg);
  }
  for (size_t i = 0; i < q->count; i++) {
    const registry_asked *a = &q->previous[i];
    history[i] = (csfle__compat_version){ .version = a->version, .type = a->type, .text = a->text, .group = a->group, .reserved = a->reserved };
  }
  in.next = next;
  rc = csfle__compatible(&in, &q->compatible, tell ? &q->lines : NULL, &err);
  if (rc == CSFLE_E_NOMEM) registry_out_of_memory();
  if (rc != CSFLE_OK && tell) { /* a stored schema that this build cannot read */
    csfle_buf line;
    csfle_buf_init(&line, 0, 0);
    must_ok(csfle__buf_printf(&line, NULL, "Unexpected exception during compatibility check: %s%s%s", err.where, err.where[0] ? ": " : "", err.msg));
    must_ok(csfle__messages_add(&q->lines, csfle__buf_view(&line), NULL));
    csfle_buf_free(&line);
  }
  if (tell) must_ok(csfle__compat_last_line(&in, &q->lines, NULL));
  csfle__schema_free(next);
  csfle__free(history);
  return true;
}

bool registry_check_level(registry *g, const registry_scope *scope, registry_schema_request *r, registry_problem *p)
{
  registry_question *q = NULL;

  if (!registry_ask(g, scope, r->subject, r->info, NULL, &q, p)) return false;
  if (r->info->id >= 0) q->flags = 0;
  if (!q->validate_fields && (q->count == 0 || q->level == REGISTRY_NONE)) {
    registry_question_free(q);
    return true;
  }
  bool known = r->question && r->question->answered && registry_question_same(q, r->question);
  if (!known && r->may_ask) {
    r->asked = q;
    return registry_refuse(p, 503, 50302, "The compatibility check has to be made first");
  }
  if (!known && !registry_answer(q, true, p)) {
    registry_question_free(q);
    return false;
  }
  const registry_question *a = known ? r->question : q;
  bool                     ok = a->compatible;
  if (!ok) {
    csfle_buf b;
    csfle_buf_init(&b, 0, 0);
    must_ok(csfle__buf_printf(&b, NULL, "Schema being registered is incompatible with an earlier schema for subject \"%.*s\", details: [", CSFLE__FMT(r->subject)));
    for (size_t i = 0; i < a->lines.count; i++) put(&b, i ? ", " : ""), put_bytes(&b, csfle__messages_at(&a->lines, i));
    must_ok(csfle__buf_putc(&b, ']', NULL));
    must_ok(csfle__buf_putc(&b, 0, NULL));
    registry_refuse(p, 409, 40901, "%s", "incompatible");
    csfle__free(p->longer);
    p->longer = (char *)must(csfle__dup(b.ptr, b.len));
    csfle_buf_free(&b);
  }
  registry_question_free(q);
  return ok;
}
