/* CONFIG and MODE records. [SR 7.3] */
#include "server/registry/state.h"

#include "server/log/must.h"

void registry_config_free(registry_config *c)
{
  if (!c) return;
  csfle__arena_free(&c->arena);
  csfle__free(c);
}

static csfle__bytes text_of(registry_config *c, yyjson_val *value, const char *name)
{
  csfle__bytes v = csfle__json_member_text(value, name);
  if (!v.ptr) return CSFLE__NONE;
  v = csfle__arena_copy(&c->arena, v);
  if (!v.ptr) registry_out_of_memory();
  return v;
}

static registry_flag flag_of(yyjson_val *value, const char *name)
{
  yyjson_val *v = csfle__json_member(value, name);
  return yyjson_is_bool(v) ? (yyjson_get_bool(v) ? REGISTRY_TRUE : REGISTRY_FALSE) : REGISTRY_UNSET;
}

registry_config *registry_config_read(yyjson_val *value)
{
  registry_config *c = (registry_config *)must_calloc(sizeof *c);
  c->alias = text_of(c, value, "alias");
  c->alias_for_deks = text_of(c, value, "aliasForDeks");
  c->group = text_of(c, value, "compatibilityGroup");
  c->policy = text_of(c, value, "compatibilityPolicy");
  c->normalize = flag_of(value, "normalize");
  c->validate_fields = flag_of(value, "validateFields");
  c->validate_new_schemas = flag_of(value, "validateNewSchemas");
  c->validate_rules = flag_of(value, "validateRules");
  (void)registry_level_parse(csfle__json_member_text(value, "compatibilityLevel"), &c->level);
  if (csfle__metadata_parse(&c->arena, csfle__json_member(value, "defaultMetadata"), &c->default_metadata, NULL) != CSFLE_OK ||
      csfle__metadata_parse(&c->arena, csfle__json_member(value, "overrideMetadata"), &c->override_metadata, NULL) != CSFLE_OK ||
      csfle__rule_set_parse(&c->arena, csfle__json_member(value, "defaultRuleSet"), &c->default_rules, NULL) != CSFLE_OK ||
      csfle__rule_set_parse(&c->arena, csfle__json_member(value, "overrideRuleSet"), &c->override_rules, NULL) != CSFLE_OK) {
    registry_config_free(c);
    return NULL;
  }
  return c;
}

/* normalised name of a CONFIG or MODE key; the global one is "" in both forms of its key [SR 7.2] */
static void scope_of(csfle_buf *b, yyjson_val *key)
{
  csfle_buf_init(b, 0, 0);
  must_ok(csfle__subject_put(b, csfle__subject_parse(csfle__json_member_text(key, "subject")), NULL));
}

void registry_apply_config(registry_state *s, yyjson_val *key, yyjson_val *value)
{
  registry_config *made = value ? registry_config_read(value) : NULL;
  csfle_buf        name;

  scope_of(&name, key);
  if (value && !made) {
    csfle__log_line(s->log, 4, "registry", "config record skipped: its value is not usable");
  } else {
    registry_config_free((registry_config *)csfle__map_remove(&s->configs, csfle__buf_view(&name)));
    if (made) must_map_put(&s->configs, csfle__buf_view(&name), made);
  }
  csfle_buf_free(&name);
}

void registry_apply_mode(registry_state *s, yyjson_val *key, yyjson_val *value)
{
  registry_mode mode = REGISTRY_MODE_UNSET;
  csfle_buf     name;

  if (value && !registry_mode_parse(csfle__json_member_text(value, "mode"), &mode)) {
    csfle__log_line(s->log, 4, "registry", "mode record skipped: its mode is not known");
    return;
  }
  scope_of(&name, key);
  if (mode) must_map_put(&s->modes, csfle__buf_view(&name), (void *)(uintptr_t)mode);
  else csfle__map_remove(&s->modes, csfle__buf_view(&name));
  csfle_buf_free(&name);
}
