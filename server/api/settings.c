/* /config, /mode, /contexts, and what the server says about itself. [SR 4.1, 4.7 to 4.10, 4.13] */
#include "server/api/api.h"

#include "server/log/must.h"

/* the scope named by the path, "" for the global one */
static csfle__bytes scope(registry_call *c)
{
  return c->param[0].ptr ? registry_normalized(c, c->param[0]) : CSFLE__LIT("");
}

static bool is_global_context(csfle__bytes name)
{
  return csfle__eq_str(name, ":.__GLOBAL:");
}

bool registry_config_get(registry_call *c)
{
  csfle__bytes     name = scope(c);
  registry_config *own = registry_state_config(c->g->state, name);

  if (registry_flag_of(c, "defaultToGlobal")) {
    registry_put_effective_config(c->g, name, c->out);
    return true;
  }
  if (name.len && !own && !is_global_context(name))
    return registry_refuse(&c->problem, 404, 40408, "Subject '%.*s' does not have subject-level compatibility configured", CSFLE__FMT(name));
  registry_put_config(c->g, own, false, c->out);
  return true;
}

bool registry_config_put_call(registry_call *c)
{
  return registry_config_put(c->g, scope(c), c->body, c->out, &c->problem);
}

bool registry_config_delete_call(registry_call *c)
{
  return registry_config_delete(c->g, scope(c), c->out, &c->problem);
}

static void put_mode(csfle_buf *b, registry_mode m)
{
  put(b, "{\"mode\":\""), put(b, registry_mode_name(m)), put(b, "\"}");
}

bool registry_mode_get(registry_call *c)
{
  csfle__bytes  name = scope(c);
  registry_mode own = registry_state_mode(c->g->state, name);

  if (registry_flag_of(c, "defaultToGlobal")) own = registry_mode_of(c->g, name);
  else if (name.len && !own && !is_global_context(name))
    return registry_refuse(&c->problem, 404, 40409, "Subject '%.*s' does not have subject-level mode configured", CSFLE__FMT(name));
  put_mode(c->out, own ? own : REGISTRY_READWRITE);
  return true;
}

bool registry_mode_put_call(registry_call *c)
{
  yyjson_val   *m = csfle__json_member(c->body, "mode");
  registry_mode mode = REGISTRY_MODE_UNSET;

  if (!m || (!yyjson_is_null(m) && !registry_mode_parse(csfle__json_text(m), &mode)))
    return registry_refuse(&c->problem, 422, 42204, "Invalid mode. Valid values are READWRITE, READONLY, IMPORT and FORWARD.");
  if (!registry_mode_put(c->g, scope(c), mode, registry_flag_of(c, "force"), &c->problem)) return false;
  put(c->out, "{\"mode\":"), must_ok(csfle__json_put_value(c->out, m, NULL)), put(c->out, "}");
  return true;
}

bool registry_mode_delete_call(registry_call *c)
{
  registry_mode old;
  if (!registry_mode_delete(c->g, scope(c), registry_flag_of(c, "recursive"), &old, &c->problem)) return false;
  if (old) put_mode(c->out, old);
  else put(c->out, "{}");
  return true;
}

bool registry_contexts_list(registry_call *c)
{
  csfle__bytes *names, prefix = registry_query(c->rq, "contextPrefix");
  size_t        offset, limit, kept = 0;

  if (!registry_page(c, c->g->options.contexts, &offset, &limit)) return false;
  size_t n = registry_state_context_names(c->g->state, &names);
  for (size_t i = 0; i < n; i++)
    if (csfle__starts(names[i], prefix)) names[kept++] = names[i];
  registry_put_names(c->out, names, kept, offset, limit);
  csfle__free(names);
  return true;
}

bool registry_context_delete_call(registry_call *c)
{
  if (!registry_context_delete(c->g, scope(c), &c->problem)) return false;
  c->status = 204;
  return true;
}

bool registry_root(registry_call *c)
{
  put(c->out, "{}");
  return true;
}

bool registry_server_id(registry_call *c)
{
  put(c->out, "{\"id\":\"\",\"scope\":{\"path\":[],\"clusters\":{\"kafka-cluster\":\"csfle-registry\",\"schema-registry-cluster\":");
  put_json(c->out, csfle__str(c->g->options.group_id));
  put(c->out, "}}}");
  return true;
}

bool registry_server_version(registry_call *c)
{
  put(c->out, "{\"version\":\"8.1.1\",\"commitId\":\"csfle-registry " CSFLE_VERSION_TEXT "\"}");
  return true;
}

bool registry_server_deployment(registry_call *c)
{
  put(c->out, "{\"attributes\":[]}");
  return true;
}

/* nothing is associated: clients ask this before they look for a subject */
bool registry_associations_none(registry_call *c)
{
  put(c->out, "[]");
  return true;
}

bool registry_associations_change(registry_call *c)
{
  return registry_unsupported(c, "Associations of topics with subjects");
}

bool registry_association_delete(registry_call *c)
{
  return registry_refuse(&c->problem, 404, 40410, "Association for '%.*s' not found.", CSFLE__FMT(c->param[0]));
}
