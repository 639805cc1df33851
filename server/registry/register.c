/* Registration and lookup. The steps are those of [SR 5.5] and [SR 5.6]. */
#include "server/registry/registry.h"

#include "server/log/must.h"

#include <stdio.h>

/* ---- records ---------------------------------------------------------------------------------------------------- */

void registry_put_schema_key(csfle_buf *b, csfle__bytes subject, int32_t version)
{
  put(b, "{\"keytype\":\"SCHEMA\",\"subject\":");
  must_ok(csfle__json_put_string(b, subject, true, NULL));
  put(b, ",\"version\":"), put_int(b, version), put(b, ",\"magic\":1}");
}

void registry_put_schema_value(csfle_buf *b, csfle__bytes subject, int32_t version, int32_t id, const csfle__schema_info *info, bool deleted)
{
  put(b, "{\"subject\":"), put_json(b, subject);
  put(b, ",\"version\":"), put_int(b, version);
  put(b, ",\"id\":"), put_int(b, id);
  put(b, ",\"schemaType\":"), put_json(b, info->schema_type);
  if (info->reference_count) {
    put(b, ",\"references\":");
    must_ok(csfle__references_put(b, info->references, info->reference_count, NULL));
  }
  if (info->metadata) {
    put(b, ",\"metadata\":");
    must_ok(csfle__metadata_put(b, info->metadata, NULL));
  }
  if (info->rule_set) {
    put(b, ",\"ruleSet\":");
    must_ok(csfle__rule_set_put(b, info->rule_set, NULL));
  }
  put(b, ",\"schema\":"), put_json(b, info->schema);
  put(b, deleted ? ",\"deleted\":true}" : ",\"deleted\":false}");
}

/* ---- contracts -------------------------------------------------------------------------------------------------- */

static bool key_char(uint8_t c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static void add_param(csfle__arena *a, csfle__rule *rule, const char *name, csfle__bytes value)
{
  csfle__pair *at = (csfle__pair *)must(csfle__arena_alloc(a, (rule->params.count + 1) * sizeof *at));
  size_t       n = 0, i = 0;
  for (; i < rule->params.count && csfle__cmp_utf16(rule->params.at[i].name, csfle__str(name)) < 0; i++) at[n++] = rule->params.at[i];
  at[n++] = (csfle__pair){ csfle__str(name), value };
  for (; i < rule->params.count; i++) at[n++] = rule->params.at[i];
  rule->params = (csfle__pairs){ at, n };
}

void registry_kms_defaults(csfle__schema_info *info)
{
  for (size_t i = 0; info->rule_set && i < info->rule_set->domain.count; i++) {
    csfle__rule *rule = &info->rule_set->domain.at[i];
    csfle__bytes id = csfle__pairs_get(&rule->params, "encrypt.kms.key.id");
    bool         arn = csfle__starts(id, CSFLE__LIT("arn:"));
    if (!id.ptr) continue;
    if (!csfle__pairs_get(&rule->params, "encrypt.kek.name").ptr) {
      csfle__bytes rest = arn ? csfle__from(id, 4) : id;
      uint8_t     *name = (uint8_t *)must(csfle__arena_alloc(&info->arena, rest.len + 1));
      size_t       n = 0, pos = 0;
      while (pos < rest.len) { /* one dash a character, not a byte */
        size_t  start = pos;
        int32_t c = csfle__utf8_next(rest, &pos);
        name[n++] = c >= 0 && c < 0x80 && key_char(rest.ptr[start]) ? rest.ptr[start] : '-';
      }
      add_param(&info->arena, rule, "encrypt.kek.name", csfle__view(name, n));
    }
    if (arn && !csfle__pairs_get(&rule->params, "encrypt.kms.type").ptr)
      add_param(&info->arena, rule, "encrypt.kms.type", CSFLE__LIT("aws-kms"));
  }
}

static void set_version_property(csfle__schema_info *info, int32_t number)
{
  char         text[16];
  csfle__bytes name = CSFLE__LIT("confluent:version");

  snprintf(text, sizeof text, "%d", number);
  csfle__metadata *m = (csfle__metadata *)must(csfle__arena_alloc(&info->arena, sizeof *m));
  if (info->metadata) *m = *info->metadata;
  csfle__pairs old = m->properties;
  csfle__pair *at = (csfle__pair *)must(csfle__arena_alloc(&info->arena, (old.count + 1) * sizeof *at));
  csfle__pair  mine = { name, csfle__arena_copy(&info->arena, csfle__str(text)) };
  size_t       n = 0, i = 0;
  for (; i < old.count && csfle__cmp_utf16(old.at[i].name, name) < 0; i++) at[n++] = old.at[i];
  at[n++] = mine;
  if (i < old.count && csfle__eq(old.at[i].name, name)) i++;
  for (; i < old.count; i++) at[n++] = old.at[i];
  m->properties = (csfle__pairs){ at, n };
  info->metadata = m;
}

/* metadata and rule set that would be stored [SR 6.3]; may share parts with the state: for the length of the command */
static void merge_contract(const registry_scope *scope, const registry_version *prev, csfle__schema_info *info)
{
  csfle__metadata       *m = info->metadata ? info->metadata : prev ? prev->content->info->metadata : NULL;
  csfle__rule_set       *r = info->rule_set ? info->rule_set : prev ? prev->content->info->rule_set : NULL;
  const registry_config *c = scope->config;

  if (c) {
    must_ok(csfle__metadata_merge(&info->arena, c->default_metadata, m, &m, NULL));
    must_ok(csfle__metadata_merge(&info->arena, m, c->override_metadata, &m, NULL));
    must_ok(csfle__rule_set_merge(&info->arena, c->default_rules, r, &r, NULL));
    must_ok(csfle__rule_set_merge(&info->arena, r, c->override_rules, &r, NULL));
  }
  info->metadata = m;
  info->rule_set = r;
}

static bool blank(csfle__bytes text)
{
  return csfle__trim(text).len == 0;
}

static bool validate_rules(const csfle__rule_set *rules, registry_problem *p)
{
  csfle_error err = CSFLE_ERROR_INIT;
  if (!rules || csfle__rule_set_validate(rules, &err) == CSFLE_OK) return true;
  return registry_refuse(p, 422, 42210, "%s", err.msg);
}

/* ---- registration ------------------------------------------------------------------------------------------------ */

/* steps 1 to 3; *done: r->version answers */
static bool fast_path(registry *g, registry_schema_request *r, const registry_scope *scope, bool *done, registry_problem *p)
{
  csfle__schema_info *info = r->info, copy;
  csfle__schema      *parsed = NULL;
  const registry_config *c = scope->config;
  registry_version   *found;
  bool                by_hash = false;

  *done = false;
  if (c && (c->default_metadata || c->override_metadata || c->default_rules || c->override_rules)) return true;
  if (blank(info->schema)) return true;
  copy = *info; /* texts are views; canonicalising replaces them in the copy only, its memory is the request's arena */
  csfle__schema_ref *refs = (csfle__schema_ref *)must(csfle__arena_alloc(&info->arena, (info->reference_count + 1) * sizeof *refs));
  if (info->reference_count) memcpy(refs, info->references, info->reference_count * sizeof *refs);
  copy.references = refs;
  copy.arena = info->arena;
  bool ok = registry_canonicalize(g, r->subject, &copy, 0, r->normalize, &parsed, p);
  info->arena = copy.arena;
  if (!ok) return false;
  if (info->version == -1) {
    found = registry_subject_latest(registry_state_subject(g->state, r->subject), false);
    if (found) {
      registry_content *same = registry_state_content(g->state, &copy, NULL);
      by_hash = same == found->content;
      if (!by_hash && !registry_equivalent(g, &copy, parsed, found)) found = NULL;
    }
  } else {
    found = registry_match(g, r->subject, &copy, parsed, false, &by_hash);
  }
  csfle__schema_free(parsed);
  if (!found) return true;
  if (info->version == 0 || info->version == -1) {
    *done = info->id < 0 || info->id == found->id;
  } else if (info->id == found->id && info->version == found->number) {
    *done = true;
  } else if (info->id >= 0) {
    registry_version *v = registry_subject_version(found->subject, info->version);
    if (v && !v->deleted && v->id == info->id && v->content == found->content) found = v, *done = true;
  }
  r->version = *done ? found : NULL;
  r->stored = !by_hash;
  return true;
}

static bool mode_allows(registry *g, const registry_schema_request *r, registry_mode mode, registry_problem *p)
{
  csfle__bytes context = registry_context_of(r->subject);
  const char  *why = NULL;
  char         text[512] = "";

  if (context.len > 1) snprintf(text, sizeof text, ":%.*s:", CSFLE__FMT(context));
  (void)g;
  if (mode == REGISTRY_READONLY || mode == REGISTRY_READONLY_OVERRIDE) why = "is in read-only mode";
  else if (mode == REGISTRY_READWRITE && r->info->id >= 0) why = "is not in import mode";
  else if (mode != REGISTRY_READWRITE && r->info->id < 0) why = "is not in read-write mode";
  return !why || registry_refuse(p, 422, 42205, "Subject %.*s in context %s %s", CSFLE__FMT(r->subject), text, why);
}

static void refuse_overwrite(csfle__bytes subject, int32_t id, registry_problem *p)
{
  csfle__bytes name = registry_context_of(subject);
  char         context[512] = "";
  if (name.len > 1) snprintf(context, sizeof context, ":%.*s:", CSFLE__FMT(name));
  registry_refuse(p, 422, 42205, "Overwrite new schema with id %d in context %s is not permitted.", id, context);
}

/* step 17: the id for the new version; 0 with the problem set */
static int32_t choose_id(registry *g, const registry_schema_request *r, int32_t remembered, registry_problem *p)
{
  csfle__bytes      name = registry_context_of(r->subject);
  registry_context *ctx = registry_state_context(g->state, name);
  int32_t           want = r->info->id >= 0 ? r->info->id : remembered;

  if (want >= 0) {
    registry_id      *id = registry_context_id(ctx, want);
    registry_content *same = registry_state_content(g->state, r->info, NULL);
    if (!id || id->content == same) return want;
    refuse_overwrite(r->subject, want, p);
    return -1;
  }
  if (ctx && ctx->max_id == INT32_MAX) {
    registry_refuse(p, 500, 50001, "Every id of the context is used");
    return -1;
  }
  return ctx ? ctx->max_id + 1 : 1;
}

/* steps 15, 18, 19 */
static bool write_version(registry *g, registry_schema_request *r, int32_t number, int32_t id, registry_problem *p)
{
  registry_change   change = { 0 };
  csfle_buf         key, value;
  csfle__bytes      context = registry_context_of(r->subject);
  registry_subject *subject = registry_state_subject(g->state, r->subject);
  registry_context *ctx = registry_state_context(g->state, context);

  csfle_buf_init(&key, 0, 0);
  csfle_buf_init(&value, 0, 0);
  if (context.len > 1 && (!ctx || !ctx->known)) {
    put(&key, "{\"keytype\":\"CONTEXT\",\"tenant\":\"default\",\"context\":");
    must_ok(csfle__json_put_string(&key, context, true, NULL));
    put(&key, ",\"magic\":0}");
    put(&value, "{\"tenant\":\"default\",\"context\":"), put_json(&value, context), put(&value, "}");
    registry_change_add(&change, REGISTRY_SCHEMAS, csfle__buf_view(&key), csfle__buf_view(&value));
  }
  for (size_t i = 0; subject && i < subject->count; i++) {
    registry_version *v = subject->versions[i];
    if (!v->deleted || v->number >= number || v->id != id || registry_state_referrers(g->state, r->subject, v->number)) continue;
    csfle__buf_clear(&key);
    registry_put_schema_key(&key, r->subject, v->number);
    registry_change_add(&change, REGISTRY_SCHEMAS, csfle__buf_view(&key), CSFLE__NONE);
  }
  csfle__buf_clear(&key), csfle__buf_clear(&value);
  registry_put_schema_key(&key, r->subject, number);
  registry_put_schema_value(&value, r->subject, number, id, r->info, false);
  registry_change_add(&change, REGISTRY_SCHEMAS, csfle__buf_view(&key), csfle__buf_view(&value));
  bool ok = registry_change_commit(g, &change, p);
  csfle_buf_free(&key);
  csfle_buf_free(&value);
  if (!ok) return false;
  r->version = registry_subject_version(registry_state_subject(g->state, r->subject), number);
  return r->version || registry_refuse(p, 500, 500, "Error while registering schema");
}

bool registry_register(registry *g, registry_schema_request *r, registry_problem *p)
{
  csfle__schema_info *info = r->info;
  csfle__schema      *parsed = NULL;
  registry_content   *clash;
  bool                done, ok = false;

  registry_kms_defaults(info);
  if (!validate_rules(info->rule_set, p)) return false;
  if (!registry_subject_valid(r->subject, false)) return registry_refuse(p, 422, 42208, "The specified subject '%.*s' is not a valid.", CSFLE__FMT(r->subject));
  if (g->options.reject_empty_subject) {
    csfle__bytes part = csfle__subject_parse(r->subject).name;
    if (!part.len || csfle__eq_str(part, "*")) return registry_refuse(p, 422, 42208, "The specified subject '%.*s' is not a valid.", CSFLE__FMT(r->subject));
  }
  registry_scope scope = registry_scope_of(g, r->subject);
  r->normalize = r->normalize || scope.normalize;
  if (!fast_path(g, r, &scope, &done, p)) return false;
  if (done) return true;

  registry_mode mode = registry_mode_of(g, r->subject);
  bool          import = mode == REGISTRY_IMPORT || mode == REGISTRY_FORWARDING;
  if (!mode_allows(g, r, mode, p)) return false;
  registry_subject *subject = registry_state_subject(g->state, r->subject);
  registry_version *prev = registry_subject_latest(subject, false), *top = registry_subject_latest(subject, true);
  if (top && top->number == INT32_MAX) return registry_refuse(p, 422, 42201, "Version is not one more than previous version");
  int32_t next = top ? top->number + 1 : 1;
  if (blank(info->schema)) {
    if (import || !prev) return registry_refuse(p, 422, 42201, "Empty schema");
    info->schema = prev->content->info->schema;
    info->schema_type = prev->content->info->schema_type;
    info->reference_count = prev->content->info->reference_count;
    info->references = (csfle__schema_ref *)must(csfle__arena_alloc(&info->arena, (info->reference_count + 1) * sizeof *info->references));
    if (info->reference_count) memcpy(info->references, prev->content->info->references, info->reference_count * sizeof *info->references);
  }
  if (!import) {
    merge_contract(&scope, prev, info);
    if (info->version != 0 || (info->metadata && csfle__pairs_get(&info->metadata->properties, "confluent:version").ptr))
      set_version_property(info, next);
  }
  unsigned flags = info->id < 0 && scope.validate_new_schemas ? CSFLE__SCHEMA_NEW : 0;
  if (!registry_canonicalize(g, r->subject, info, flags, r->normalize && !import, &parsed, p)) return false;

  int32_t           remembered = -1;
  registry_content *same = registry_state_content(g->state, info, &clash);
  registry_context *ctx = registry_state_context(g->state, registry_context_of(r->subject));
  registry_id      *known = registry_context_hash(ctx, same);
  if (clash) {
    registry_id *other = registry_context_hash(ctx, clash);
    if (other) refuse_overwrite(r->subject, other->id, p);
    else registry_refuse(p, 422, 42205, "Another schema with the hash of this one is registered");
    goto out;
  }
  if (known && (info->id < 0 || info->id == known->id)) {
    for (size_t i = subject && info->version == 0 ? subject->count : 0; i-- > 0;) {
      registry_version *v = subject->versions[i];
      if (v->id != known->id || v->deleted) continue;
      r->version = v;
      ok = true;
      goto out;
    }
    remembered = known->id;
  }
  for (size_t i = subject && info->version == 0 ? subject->count : 0; i-- > 0;) {
    registry_version *v = subject->versions[i];
    if (v->deleted || (info->id >= 0 && info->id != v->id) || !registry_equivalent(g, info, parsed, v)) continue;
    r->version = v;
    r->stored = true;
    ok = true;
    goto out;
  }
  if (!import && !r->force && !registry_check_level(g, &scope, r, p)) goto out;
  if (info->version > 0 && info->version != next && !import) {
    registry_refuse(p, 422, 42201, "Version is not one more than previous version");
    goto out;
  }
  int32_t id = choose_id(g, r, remembered, p);
  ok = id >= 0 && write_version(g, r, info->version > 0 ? info->version : next, id, p);
out:
  csfle__schema_free(parsed);
  return ok;
}

/* ---- lookup ------------------------------------------------------------------------------------------------------ */

/* steps 1 to 3 in one subject; *unreadable: p says why the request cannot be read here */
static bool lookup_in(registry *g, registry_schema_request *r, csfle__bytes name, registry_problem *p, bool *unreadable)
{
  csfle__schema_info *info = r->info, copy = *info;
  csfle__schema      *parsed = NULL;
  registry_scope      scope = registry_scope_of(g, name);
  bool                by_hash = false;

  csfle__schema_ref *refs = (csfle__schema_ref *)must(csfle__arena_alloc(&info->arena, (info->reference_count + 1) * sizeof *refs));
  if (info->reference_count) memcpy(refs, info->references, info->reference_count * sizeof *refs);
  copy.references = refs;
  copy.arena = info->arena;
  *unreadable = !registry_canonicalize(g, name, &copy, 0, r->normalize || scope.normalize, &parsed, p);
  if (!*unreadable) {
    registry_version *v = registry_match(g, name, &copy, parsed, r->deleted, &by_hash);
    registry_version *latest = registry_subject_latest(registry_state_subject(g->state, name), false);
    if (!v && latest) {
      csfle__metadata *m = copy.metadata;
      csfle__rule_set *rules = copy.rule_set;
      merge_contract(&scope, latest, &copy);
      if (m != copy.metadata || rules != copy.rule_set) v = registry_match(g, name, &copy, parsed, r->deleted, &by_hash);
    }
    r->version = v;
    r->stored = !by_hash;
  }
  info->arena = copy.arena;
  csfle__schema_free(parsed);
  return r->version != NULL;
}

bool registry_lookup(registry *g, registry_schema_request *r, registry_problem *p)
{
  registry_problem  other;
  registry_subject *subject = registry_state_subject(g->state, r->subject);
  bool              unreadable = false, live = registry_subject_live(subject, r->deleted);

  registry_kms_defaults(r->info);
  if (!blank(r->info->schema)) {
    if (lookup_in(g, r, r->subject, p, &unreadable) && live) return true;
    if (unreadable) return false;
    r->version = NULL;
    if (!live && csfle__eq_str(registry_context_of(r->subject), ".")) {
      csfle__bytes *names, plain = csfle__subject_parse(r->subject).name;
      size_t        n = registry_state_context_names(g->state, &names);
      for (size_t i = 0; i < n && !r->version; i++) {
        csfle_buf name;
        if (csfle__eq_str(names[i], ".")) continue;
        csfle_buf_init(&name, 0, 0);
        must_ok(csfle__subject_put(&name, (csfle__subject){ names[i], plain }, NULL));
        if (registry_subject_live(registry_state_subject(g->state, csfle__buf_view(&name)), r->deleted))
          (void)lookup_in(g, r, csfle__buf_view(&name), &other, &unreadable);
        csfle_buf_free(&name);
      }
      csfle__free(names);
      if (r->version) return true;
    }
  }
  if (!live) return registry_refuse(p, 404, 40401, "Subject '%.*s' not found.", CSFLE__FMT(r->subject));
  return registry_refuse(p, 404, 40403, "Schema not found");
}

bool registry_compatible(registry *g, registry_schema_request *r, int32_t version, registry_question **out, registry_problem *p)
{
  registry_scope    scope = registry_scope_of(g, r->subject);
  registry_subject *subject = registry_state_subject(g->state, r->subject);
  registry_version *against = version > 0 ? registry_subject_version(subject, version) : version < 0 ? registry_subject_latest(subject, false) : NULL;

  if (version > 0 && (!against || against->deleted)) return registry_refuse(p, 404, 40402, "Version %d not found.", version);
  if (blank(r->info->schema)) return registry_refuse(p, 422, 42201, "Empty schema");
  if (!registry_type_known(r->info->schema_type, p)) return false;
  if (!registry_ask(g, &scope, r->subject, r->info, against, out, p)) return false;
  (*out)->normalize = r->normalize || scope.normalize;
  return true;
}
