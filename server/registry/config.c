/* Commands on CONFIG, MODE and CONTEXT records. [SR 4.7 to 4.9, 5.10, 5.11] */
#include "server/registry/registry.h"

#include "server/log/must.h"

#include <ctype.h>
#include <stdio.h>

/* {"keytype":"CONFIG","subject":"s","magic":0}; the global record has no subject [SR 7.2] */
static void put_settings_key(csfle_buf *b, const char *type, csfle__bytes name)
{
  csfle__buf_clear(b);
  put(b, "{\"keytype\":\""), put(b, type), put(b, "\"");
  if (name.len) {
    put(b, ",\"subject\":");
    must_ok(csfle__json_put_string(b, name, true, NULL));
  }
  put(b, ",\"magic\":0}");
}

void registry_settings_dropped(const registry *g, csfle__bytes name, registry_change *c)
{
  csfle_buf key;
  csfle_buf_init(&key, 0, 0);
  if (registry_state_mode(g->state, name)) {
    put_settings_key(&key, "MODE", name);
    registry_change_add(c, REGISTRY_SCHEMAS, csfle__buf_view(&key), CSFLE__NONE);
  }
  if (registry_state_config(g->state, name)) {
    put_settings_key(&key, "CONFIG", name);
    registry_change_add(c, REGISTRY_SCHEMAS, csfle__buf_view(&key), CSFLE__NONE);
  }
  csfle_buf_free(&key);
}

/* ---- config ----------------------------------------------------------------------------------------------------- */

static void member(csfle_buf *b, const char *name)
{
  if (b->ptr[b->len - 1] != '{') put(b, ",");
  put(b, "\""), put(b, name), put(b, "\":");
}
static void put_text(csfle_buf *b, const char *name, csfle__bytes v)
{
  if (v.ptr) member(b, name), put_json(b, v);
}
static void put_flag(csfle_buf *b, const char *name, registry_flag f)
{
  if (f != REGISTRY_UNSET) member(b, name), put(b, f == REGISTRY_TRUE ? "true" : "false");
}

/* all members that are set, the level under @p level_name; @p fallback for a missing level */
static void put_members(csfle_buf *b, const registry_config *c, const char *level_name, registry_level fallback)
{
  registry_level level = c && c->level ? c->level : fallback;
  if (c) {
    put_text(b, "alias", c->alias);
    put_text(b, "aliasForDeks", c->alias_for_deks);
    put_flag(b, "normalize", c->normalize);
    put_flag(b, "validateFields", c->validate_fields);
    put_flag(b, "validateNewSchemas", c->validate_new_schemas);
    put_flag(b, "validateRules", c->validate_rules);
  }
  if (level) put_text(b, level_name, csfle__str(registry_level_name(level)));
  if (!c) return;
  put_text(b, "compatibilityPolicy", c->policy);
  put_text(b, "compatibilityGroup", c->group);
  if (c->default_metadata) member(b, "defaultMetadata"), must_ok(csfle__metadata_put(b, c->default_metadata, NULL));
  if (c->override_metadata) member(b, "overrideMetadata"), must_ok(csfle__metadata_put(b, c->override_metadata, NULL));
  if (c->default_rules) member(b, "defaultRuleSet"), must_ok(csfle__rule_set_put(b, c->default_rules, NULL));
  if (c->override_rules) member(b, "overrideRuleSet"), must_ok(csfle__rule_set_put(b, c->override_rules, NULL));
}

void registry_put_config(const registry *g, const registry_config *c, bool write_form, csfle_buf *out)
{
  put(out, "{");
  put_members(out, c, write_form ? "compatibility" : "compatibilityLevel", write_form ? REGISTRY_LEVEL_UNSET : g->options.level);
  put(out, "}");
}

void registry_put_effective_config(const registry *g, csfle__bytes name, csfle_buf *out)
{
  registry_scope  s = registry_scope_of(g, name);
  registry_config merged = { 0 };

  const registry_config *global = registry_state_config(g->state, CSFLE__LIT(""));
  const registry_config *own = registry_state_config(g->state, name);
  if (s.config) merged = *s.config;
  else merged.normalize = merged.validate_fields = merged.validate_new_schemas = merged.validate_rules = REGISTRY_UNSET;
  if (own && global && own != global) {
    if (merged.normalize == REGISTRY_UNSET) merged.normalize = global->normalize;
    if (merged.validate_fields == REGISTRY_UNSET) merged.validate_fields = global->validate_fields;
    if (merged.validate_new_schemas == REGISTRY_UNSET) merged.validate_new_schemas = global->validate_new_schemas;
    if (merged.validate_rules == REGISTRY_UNSET) merged.validate_rules = global->validate_rules;
    if (!merged.policy.ptr) merged.policy = global->policy;
    if (!merged.group.ptr) merged.group = global->group;
  }
  registry_put_config(g, &merged, false, out);
}

static bool take_text(yyjson_val *body, const char *name, csfle__bytes *v, registry_problem *p)
{
  yyjson_val *m = csfle__json_member(body, name);
  if (!m) return true;
  if (!yyjson_is_null(m) && !yyjson_is_str(m)) return registry_refuse(p, 400, 400, "\"%s\" is no text", name);
  *v = yyjson_is_null(m) ? CSFLE__NONE : csfle__json_text(m);
  return true;
}

static bool take_flag(yyjson_val *body, const char *name, registry_flag *f, registry_problem *p)
{
  yyjson_val  *m = csfle__json_member(body, name);
  csfle__bytes text = csfle__json_text(m);
  if (!m) return true;
  if (yyjson_is_null(m)) *f = REGISTRY_UNSET;
  else if (yyjson_is_bool(m)) *f = yyjson_get_bool(m) ? REGISTRY_TRUE : REGISTRY_FALSE;
  else if (csfle__eq_nocase(text, CSFLE__LIT("true")) || csfle__eq_nocase(text, CSFLE__LIT("false"))) *f = csfle__truthy(text) ? REGISTRY_TRUE : REGISTRY_FALSE;
  else return registry_refuse(p, 400, 400, "\"%s\" is no boolean", name);
  return true;
}

static bool take_metadata(csfle__arena *a, yyjson_val *body, const char *name, csfle__metadata **m, registry_problem *p)
{
  csfle_error err = CSFLE_ERROR_INIT;
  yyjson_val *v = csfle__json_member(body, name);
  if (!v) return true;
  return csfle__metadata_parse(a, v, m, &err) == CSFLE_OK || registry_refuse(p, 400, 400, "%s", err.msg);
}

static bool take_rules(csfle__arena *a, yyjson_val *body, const char *name, csfle__rule_set **r, registry_problem *p)
{
  csfle_error err = CSFLE_ERROR_INIT;
  yyjson_val *v = csfle__json_member(body, name);
  if (!v) return true;
  if (csfle__rule_set_parse(a, v, r, &err) != CSFLE_OK) return registry_refuse(p, 400, 400, "%s", err.msg);
  return !*r || csfle__rule_set_validate(*r, &err) == CSFLE_OK || registry_refuse(p, 422, 42210, "%s", err.msg);
}

static csfle__bytes known_policy(csfle__bytes v)
{
  static const char *const names[] = { "STRICT", "LENIENT", "LOGICAL" };
  for (size_t i = 0; i < 3; i++)
    if (csfle__eq_nocase(v, csfle__str(names[i]))) return csfle__str(names[i]);
  return CSFLE__NONE; /* stored as unset [SR 4.7] */
}

static bool changed_config(csfle__arena *a, yyjson_val *body, registry_config *c, registry_problem *p)
{
  csfle__bytes level = CSFLE__NONE;
  yyjson_val  *m = csfle__json_member(body, "compatibility");

  if (!m) m = csfle__json_member(body, "compatibilityLevel"); /* some clients send the read name */
  if (m && yyjson_is_null(m)) c->level = REGISTRY_LEVEL_UNSET;
  else if (m) {
    level = csfle__json_text(m);
    if (!registry_level_parse(level, &c->level))
      return registry_refuse(p, 422, 42203, "Invalid compatibility level. Valid values are none, backward, forward, full, backward_transitive, forward_transitive, and full_transitive");
  }
  if (!take_text(body, "alias", &c->alias, p) || !take_text(body, "aliasForDeks", &c->alias_for_deks, p) ||
      !take_text(body, "compatibilityPolicy", &c->policy, p) || !take_text(body, "compatibilityGroup", &c->group, p))
    return false;
  if (c->policy.ptr) c->policy = known_policy(c->policy);
  return take_flag(body, "normalize", &c->normalize, p) && take_flag(body, "validateFields", &c->validate_fields, p) &&
         take_flag(body, "validateNewSchemas", &c->validate_new_schemas, p) &&
         take_flag(body, "validateRules", &c->validate_rules, p) &&
         take_metadata(a, body, "defaultMetadata", &c->default_metadata, p) &&
         take_metadata(a, body, "overrideMetadata", &c->override_metadata, p) &&
         take_rules(a, body, "defaultRuleSet", &c->default_rules, p) &&
         take_rules(a, body, "overrideRuleSet", &c->override_rules, p);
}

static bool valid_scope(csfle__bytes name, registry_problem *p)
{
  return registry_subject_valid(name, true) || registry_refuse(p, 422, 42208, "The specified subject '%.*s' is not a valid.", CSFLE__FMT(name));
}

bool registry_config_put(registry *g, csfle__bytes name, yyjson_val *body, csfle_buf *echo, registry_problem *p)
{
  registry_config  c = { 0 };
  registry_config *old = registry_state_config(g->state, name);
  registry_change  change = { 0 };
  csfle__arena     a = CSFLE__ARENA_INIT;
  csfle_buf        key, value;

  if (!valid_scope(name, p)) return false;
  if (old) c = *old; /* shares the old record's parts until the new one is written */
  else c.normalize = c.validate_fields = c.validate_new_schemas = c.validate_rules = REGISTRY_UNSET;
  csfle_buf_init(&key, 0, 0);
  csfle_buf_init(&value, 0, 0);
  bool ok = changed_config(&a, body, &c, p) && registry_writable(g, name, p);
  if (ok) {
    put_settings_key(&key, "CONFIG", name);
    put(&value, "{");
    if (name.len) put_text(&value, "subject", name);
    put_members(&value, &c, "compatibilityLevel", REGISTRY_LEVEL_UNSET);
    put(&value, "}");
    registry_put_config(g, &c, true, echo);
    registry_change_add(&change, REGISTRY_SCHEMAS, csfle__buf_view(&key), csfle__buf_view(&value));
    ok = registry_change_commit(g, &change, p);
  }
  csfle_buf_free(&key);
  csfle_buf_free(&value);
  csfle__arena_free(&a);
  return ok;
}

bool registry_config_delete(registry *g, csfle__bytes name, csfle_buf *old_form, registry_problem *p)
{
  registry_config *old = registry_state_config(g->state, name);
  registry_change  change = { 0 };
  csfle_buf        key;

  if (name.len && !old) return registry_refuse(p, 404, 40401, "Subject '%.*s' not found.", CSFLE__FMT(name));
  if (!registry_writable(g, name, p)) return false;
  registry_put_config(g, old, false, old_form);
  if (!old) return true;
  csfle_buf_init(&key, 0, 0);
  put_settings_key(&key, "CONFIG", name);
  registry_change_add(&change, REGISTRY_SCHEMAS, csfle__buf_view(&key), CSFLE__NONE);
  csfle_buf_free(&key);
  return registry_change_commit(g, &change, p);
}

/* ---- mode ------------------------------------------------------------------------------------------------------- */

/* whether a subject lies in the scope: the global one takes everything, a context its subjects, a subject itself */
static bool in_scope(csfle__bytes scope, csfle__bytes subject)
{
  csfle__subject a = csfle__subject_parse(scope), b = csfle__subject_parse(subject);
  if (!scope.len || csfle__eq_str(a.context, ".__GLOBAL")) return true;
  return csfle__eq(a.context, b.context) && (!a.name.len || csfle__eq(a.name, b.name));
}

static void add_mode(registry_change *change, csfle__bytes name, registry_mode mode)
{
  csfle_buf key, value;
  csfle_buf_init(&key, 0, 0);
  csfle_buf_init(&value, 0, 0);
  put_settings_key(&key, "MODE", name);
  if (mode) {
    put(&value, "{");
    if (name.len) put_text(&value, "subject", name);
    put_text(&value, "mode", csfle__str(registry_mode_name(mode)));
    put(&value, "}");
  }
  registry_change_add(change, REGISTRY_SCHEMAS, csfle__buf_view(&key), mode ? csfle__buf_view(&value) : CSFLE__NONE);
  csfle_buf_free(&key);
  csfle_buf_free(&value);
}

/* what has to be gone before ids and versions can be chosen freely [SR 5.11] */
static bool clear_for_import(registry *g, csfle__bytes name, registry_change *change, registry_problem *p)
{
  registry_subject **subjects;
  size_t             n = registry_state_subjects(g->state, &subjects);
  csfle_buf          key, value;
  bool               ok = true;

  csfle_buf_init(&key, 0, 0);
  csfle_buf_init(&value, 0, 0);
  for (size_t i = 0; i < n && ok; i++)
    if (in_scope(name, subjects[i]->name) && registry_subject_live(subjects[i], false))
      ok = registry_refuse(p, 422, 42205, "Cannot import since found existing subjects");
  for (size_t i = 0; i < n && ok; i++) {
    if (!in_scope(name, subjects[i]->name)) continue;
    for (size_t j = 0; j < subjects[i]->count && ok; j++) {
      registry_version *v = subjects[i]->versions[j];
      registry_refs    *refs = registry_state_referrers(g->state, subjects[i]->name, v->number);
      for (size_t k = 0; refs && k < refs->count && ok; k++)
        if (!in_scope(name, refs->at[k]->subject->name))
          ok = registry_refuse(p, 422, 42206, "One or more references exist to the schema {magic=1,keytype=SCHEMA,subject=%.*s,version=%d}.", CSFLE__FMT(subjects[i]->name), v->number);
      csfle__buf_clear(&key);
      registry_put_schema_key(&key, subjects[i]->name, v->number);
      registry_change_add(change, REGISTRY_SCHEMAS, csfle__buf_view(&key), CSFLE__NONE);
    }
  }
  if (ok) {
    put_settings_key(&key, "CLEAR_SUBJECT", name);
    put(&value, "{");
    if (name.len) put_text(&value, "subject", name);
    put(&value, "}");
    registry_change_add(change, REGISTRY_SCHEMAS, csfle__buf_view(&key), csfle__buf_view(&value));
  }
  csfle__free(subjects);
  csfle_buf_free(&key);
  csfle_buf_free(&value);
  return ok;
}

static void change_drop(registry_change *c)
{
  csfle__free(c->records);
  csfle__arena_free(&c->arena);
}

bool registry_mode_put(registry *g, csfle__bytes name, registry_mode mode, bool force, registry_problem *p)
{
  registry_change change = { 0 };

  if (!valid_scope(name, p)) return false;
  if (mode == REGISTRY_FORWARDING && !csfle__eq_str(name, ":.__GLOBAL:"))
    return registry_refuse(p, 422, 42204, "Forward mode only supported on global level");
  if (!g->options.mode_mutability) return registry_refuse(p, 422, 42205, "Mode changes are not allowed");
  if (mode == REGISTRY_IMPORT && !force && registry_mode_of(g, name) != REGISTRY_IMPORT && !clear_for_import(g, name, &change, p)) {
    change_drop(&change);
    return false;
  }
  if (mode || registry_state_mode(g->state, name)) add_mode(&change, name, mode);
  return registry_change_commit(g, &change, p);
}

bool registry_mode_delete(registry *g, csfle__bytes name, bool recursive, registry_mode *old, registry_problem *p)
{
  registry_change change = { 0 };
  csfle__subject  q = csfle__subject_parse(name);

  *old = registry_state_mode(g->state, name);
  recursive = recursive && (!q.name.len);
  if (name.len && !*old && !recursive) return registry_refuse(p, 404, 40401, "Subject '%.*s' not found.", CSFLE__FMT(name));
  if (!g->options.mode_mutability) return registry_refuse(p, 422, 42205, "Mode changes are not allowed");
  if (*old) add_mode(&change, name, REGISTRY_MODE_UNSET);
  for (size_t i = 0; recursive && i < g->state->modes.count; i++) {
    csfle__bytes   other = g->state->modes.entries[i].key;
    csfle__subject o = csfle__subject_parse(other);
    if (csfle__eq(o.context, q.context) && !csfle__eq(other, name)) add_mode(&change, other, REGISTRY_MODE_UNSET);
  }
  if (!name.len && !*old) *old = REGISTRY_READWRITE;
  return registry_change_commit(g, &change, p);
}

/* ---- contexts --------------------------------------------------------------------------------------------------- */

bool registry_context_delete(registry *g, csfle__bytes name, registry_problem *p)
{
  registry_change   change = { 0 };
  csfle_buf         key;
  csfle__bytes      context = registry_context_of(name);
  registry_context *c = registry_state_context(g->state, context);

  for (size_t i = 0; i < g->state->subjects.count; i++)
    if (csfle__eq(((registry_subject *)g->state->subjects.entries[i].value)->context->name, context))
      return registry_refuse(p, 422, 42211, "The specified context '%.*s' is not empty.", CSFLE__FMT(name));
  if (!c || !c->known) return true;
  csfle_buf_init(&key, 0, 0);
  put(&key, "{\"keytype\":\"CONTEXT\",\"tenant\":\"default\",\"context\":");
  must_ok(csfle__json_put_string(&key, context, true, NULL));
  put(&key, ",\"magic\":0}");
  registry_change_add(&change, REGISTRY_SCHEMAS, csfle__buf_view(&key), CSFLE__NONE);
  csfle_buf_free(&key);
  return registry_change_commit(g, &change, p);
}
