/* Making a contract. See contract.h. */
#include "client/serde/contract.h"
#include "client/serde/turns.h"
#include "core/base/alloc.h"

#include <stdio.h>

static _Atomic(uint64_t) uids;

static void destroy(csfle__shared *s)
{
  csfle__contract *c = (csfle__contract *)s;
  csfle__resolution_free(c->resolution);
  csfle__plan_free(c->plan);
  csfle__schema_free(c->schema);
  csfle__arena_free(&c->arena);
  if (c->registered) csfle__release(&c->registered->shared);
  csfle__free(c);
}

void csfle__contract_where(const csfle__registered *r, csfle_error *err)
{
  if (r->info->version > 0) csfle__where(err, "%.*s v%d", CSFLE__FMT(r->info->subject), (int)r->info->version);
  else csfle__where(err, "%.*s id %d", CSFLE__FMT(r->info->subject), (int)r->info->id);
}

/* rule.executors.<rule>.param.X, then _<TYPE>_, then _default_, then the plain property X [SERDE-80] */
static const char *executor_param(void *opaque, const char *name)
{
  const csfle__contract_rule *r = opaque;
  const csfle__rule          *rule = r->active.rule;
  char                        full[800];
  const char                 *v;
  snprintf(full, sizeof full, "rule.executors.%.*s.param.%s", rule->name.len > 512 ? 512 : (int)rule->name.len, (const char *)rule->name.ptr, name);
  if ((v = csfle__config_given(r->config, full))) return v;
  snprintf(full, sizeof full, "rule.executors._ENCRYPT_.param.%s", name);
  if ((v = csfle__config_given(r->config, full))) return v;
  snprintf(full, sizeof full, "rule.executors._default_.param.%s", name);
  if ((v = csfle__config_given(r->config, full))) return v;
  return csfle__config_given(r->config, name);
}

static bool has_tag(const csfle__bytes *tags, size_t count, csfle__bytes tag)
{
  for (size_t i = 0; i < count; i++)
    if (csfle__eq(tags[i], tag)) return true;
  return false;
}

static csfle_status parse_schema(csfle__contract *c, csfle_error *err)
{
  const csfle__registered *r = c->registered;
  csfle__reference        *refs = csfle__arena_alloc(&c->arena, (r->ref_count + 1) * sizeof *refs);
  csfle_buf                text;
  if (!refs) return csfle__nomem(err);
  for (size_t i = 0; i < r->ref_count; i++) refs[i] = (csfle__reference){ r->refs[i].name, r->refs[i].text };
  if (!csfle__format_find(r->info->schema_type))
    return csfle__fail(err, CSFLE_E_SCHEMA, "schema type %.*s is not supported yet", CSFLE__FMT(r->info->schema_type));
  csfle_status rc = csfle__schema_parse(&c->schema, r->info->schema_type, r->info->schema, refs, r->ref_count, 0, err);
  if (rc != CSFLE_OK) return rc;
  csfle_buf_init(&text, 0, 0);
  rc = csfle__schema_format(c->schema)->canonical(c->schema, &text, err);
  if (rc == CSFLE_OK) {
    csfle__bytes t = csfle__buf_view(&text);
    c->bare_bytes = csfle__eq_str(t, "\"bytes\"");
    if (!c->bare_bytes && t.len && t.ptr[0] == '{') {
      /* {"type":"bytes","logicalType":...} */
      yyjson_doc *doc = NULL;
      rc = csfle__json_parse(&doc, t, err);
      if (rc == CSFLE_OK) c->bare_bytes = csfle__eq_str(csfle__json_member_text(yyjson_doc_get_root(doc), "type"), "bytes");
      yyjson_doc_free(doc);
    }
  }
  csfle_buf_free(&text);
  return rc;
}

/* metadata.tags as the plan takes them */
static csfle_status patterns(csfle__contract *c, csfle__selection *sel, csfle_error *err)
{
  const csfle__metadata *m = c->registered->info->metadata;
  if (!m || !m->tag_count) return CSFLE_OK;
  csfle__tag_pattern *p = csfle__arena_alloc(&c->arena, m->tag_count * sizeof *p);
  if (!p) return csfle__nomem(err);
  for (size_t i = 0; i < m->tag_count; i++) p[i] = (csfle__tag_pattern){ m->tags[i].pattern, m->tags[i].tags.at, m->tags[i].tags.count };
  sel->patterns = p, sel->pattern_count = m->tag_count;
  return CSFLE_OK;
}

static csfle_status refuse_problem(const csfle__contract *c, const csfle__plan_problem *p, csfle_error *err)
{
  csfle_status rc;
  switch (p->kind) {
  case CSFLE__TAG_UNREACHABLE:
    return csfle__fail(err, CSFLE_E_POLICY, "tag '%.*s' at '%.*s' reaches no field: put it on a field (csfle.allow.plaintext=unreachable-tags permits it)",
                       CSFLE__FMT(p->tag), CSFLE__FMT(p->path));
  case CSFLE__TAG_ON_CONTAINER:
    return csfle__fail(err, CSFLE_E_POLICY, "tag '%.*s' at '%.*s' is on a container: tag the fields inside (csfle.allow.plaintext=unreachable-tags permits it)",
                       CSFLE__FMT(p->tag), CSFLE__FMT(p->path));
  case CSFLE__NO_FIELDS:
    return csfle__fail(err, CSFLE_E_POLICY, "the schema has no fields: an ENCRYPT rule can reach nothing (csfle.allow.plaintext=unreachable-tags permits it)");
  default: break;
  }
  rc = csfle__fail(err, CSFLE_E_POLICY, "rule reaches no field of the schema (csfle.allow.plaintext=unreachable-tags permits it)");
  for (size_t i = 0, n = 0; i < c->rule_count; i++)
    if (c->rules[i].bit && n++ == p->rule) csfle__where(err, "%.*s", CSFLE__FMT(c->rules[i].active.rule->name));
  return rc;
}

static bool tag_matters(const csfle__contract *c, csfle__bytes tag)
{
  for (size_t i = 0; i < c->rule_count; i++)
    if (c->rules[i].bit & c->encrypt_bits && has_tag(c->rules[i].active.rule->tags.at, c->rules[i].active.rule->tags.count, tag)) return true;
  return false;
}

/* Tags that can have no effect, and rules without a field. */
static csfle_status check_problems(const csfle__contract *c, const csfle__contract_options *o, csfle_error *err)
{
  for (size_t i = 0; i < c->plan->problem_count; i++) {
    const csfle__plan_problem *p = &c->plan->problems[i];
    bool                       of_tag = p->kind == CSFLE__TAG_UNREACHABLE || p->kind == CSFLE__TAG_ON_CONTAINER;
    bool                       pinned = of_tag && has_tag(o->required, o->required_count, p->tag);
    if (!pinned && o->allow_unreachable) continue;
    if (!pinned && of_tag && !tag_matters(c, p->tag)) continue;
    if (p->kind == CSFLE__NO_FIELDS && !c->encrypt_bits) continue;
    if (p->kind == CSFLE__RULE_REACHES_NOTHING && !(c->encrypt_bits >> p->rule & 1)) continue; /* others leave nothing in clear */
    return refuse_problem(c, p, err);
  }
  return CSFLE_OK;
}

/* The operator's own pin: a field that has to be encrypted is, or nothing is written. [AB-2] [S4] */
static csfle_status check_required(const csfle__contract *c, const csfle__contract_options *o, csfle_error *err)
{
#ifndef CSFLE_BREAK_NO_POLICY
  size_t required = 0;
  if (!o->required_count) return CSFLE_OK;
  for (size_t i = 0; i < c->plan->leaf_count; i++) {
    const csfle__leaf *l = &c->plan->leaves[i];
    required += l->required;
    if (!l->required || l->type == CSFLE__LEAF_NULL || l->rules & c->encrypt_bits) continue;
    csfle_status rc = csfle__fail(err, CSFLE_E_POLICY, "csfle.require.tags: no rule of the schema would encrypt this field");
    csfle__where(err, "%.*s", CSFLE__FMT(l->name));
    return rc;
  }
  if (!required) return csfle__fail(err, CSFLE_E_POLICY, "csfle.require.tags: no field of the schema carries one of these tags");
#else
  (void)c, (void)o, (void)err;
#endif
  return CSFLE_OK;
}

/* Rules that are disabled or meant for another place, but whose fields no other rule takes, leave plaintext. [S8] [S9] */
static csfle_status check_off(csfle__contract *c, const csfle__rule_list *list, const csfle__selection *active, csfle_error *err)
{
  if (!list->off_count) return CSFLE_OK;
  csfle__selection       sel = *active;
  size_t                 n = active->rule_count, total = n + list->off_count;
  csfle__selection_rule *rules = csfle__arena_alloc(&c->arena, (total ? total : 1) * sizeof *rules);
  csfle__plan           *plan = NULL;
  if (!rules) return csfle__nomem(err);
  if (total > CSFLE__PLAN_MAX_RULES) return csfle__fail(err, CSFLE_E_RULE, "rule set has more than %d ENCRYPT rules", CSFLE__PLAN_MAX_RULES);
  for (size_t i = 0; i < n; i++) rules[i] = active->rules[i];
  for (size_t i = 0; i < list->off_count; i++) rules[n + i] = (csfle__selection_rule){ list->off[i]->tags.at, list->off[i]->tags.count };
  sel.rules = rules, sel.rule_count = total;
  csfle_status rc = csfle__plan_compile(&plan, c->schema, &sel, err);
  uint64_t     on = c->encrypt_bits, off = n == 64 ? 0 : UINT64_MAX << n;
  for (size_t i = 0; rc == CSFLE_OK && i < plan->leaf_count; i++) {
    const csfle__leaf *l = &plan->leaves[i];
    if (l->type == CSFLE__LEAF_NULL || l->rules & on || !(l->rules & off)) continue;
    size_t r = 0;
    while (!(l->rules >> (n + r) & 1)) r++;
    rc = csfle__fail(err, CSFLE_E_POLICY, "rule is disabled: the field would be written in clear (csfle.allow.plaintext=disabled-rules permits it)");
    csfle__where(err, "%.*s %.*s", CSFLE__FMT(list->off[r]->name), CSFLE__FMT(l->name));
  }
  csfle__plan_free(plan);
  return rc;
}

static csfle_status make_rules(csfle__contract *c, const csfle__contract_options *o, const csfle__rule_list *list,
                               csfle__selection *sel, csfle_error *err)
{
  csfle__selection_rule *picked = csfle__arena_alloc(&c->arena, (list->count + 1) * sizeof *picked);
  c->rules = csfle__arena_alloc(&c->arena, (list->count + 1) * sizeof *c->rules);
  if (!picked || !c->rules) return csfle__nomem(err);
  for (size_t i = 0; i < list->count; i++) {
    csfle__contract_rule *r = &c->rules[c->rule_count++];
    r->active = list->at[i];
    r->config = o->config;
    r->props = (csfle__kms_props){ executor_param, r };
    if (!r->active.ops) continue;
    if (c->rule_count > CSFLE__PLAN_MAX_RULES) return csfle__fail(err, CSFLE_E_RULE, "rule set has more than %d rules that run here", CSFLE__PLAN_MAX_RULES);
    if (r->active.ops->level != CSFLE__LEVEL_FIELD) continue;
    r->bit = UINT64_C(1) << sel->rule_count;
    picked[sel->rule_count++] = (csfle__selection_rule){ r->active.rule->tags.at, r->active.rule->tags.count };
    if (!csfle__rule_encrypts(&r->active)) continue;
    c->encrypt_bits |= r->bit;
    csfle_status rc = csfle__encrypt_params_read(r->active.rule, c->registered->info->metadata, &r->params, &r->broken);
    if (rc != CSFLE_OK && c->direction == CSFLE__ON_WRITE && r->active.on_failure == CSFLE__ACTION_ERROR) {
      if (err) *err = r->broken;
      csfle__where(err, "%.*s", CSFLE__FMT(r->active.rule->name));
      return rc;
    }
  }
  sel->rules = picked;
  return CSFLE_OK;
}

static csfle_status make(csfle__contract *c, const csfle__contract_options *o, csfle_error *err)
{
  csfle__rule_list list;
  csfle__selection sel = { .required = o->required, .required_count = o->required_count };
  csfle_status     rc = parse_schema(c, err);
  if (rc == CSFLE_OK) rc = csfle__rules_select(&c->arena, c->registered->info->rule_set, c->direction, &o->rules, &list, err);
  if (rc == CSFLE_OK) rc = make_rules(c, o, &list, &sel, err);
  if (rc == CSFLE_OK) rc = patterns(c, &sel, err);
  if (rc == CSFLE_OK) rc = csfle__plan_compile(&c->plan, c->schema, &sel, err);
  if (rc == CSFLE_OK) rc = csfle__leaf_tags(c, err);
  if (rc == CSFLE_OK && c->direction == CSFLE__ON_WRITE) {
    rc = check_required(c, o, err);
    if (rc == CSFLE_OK) rc = check_off(c, &list, &sel, err);
    if (rc == CSFLE_OK) rc = check_problems(c, o, err);
  }
  c->has_required = o->required_count > 0;
  if (c->registered->info->guid.ptr) csfle__guid_parse(c->registered->info->guid, c->guid);
  return rc;
}

static void count_tag(void *opaque, csfle__bytes path, csfle__bytes tag) { (void)path, (void)tag, (*(size_t *)opaque)++; }

/* Tags that nobody acts on may be meant so; but it is said, once for each version. [AB-2] */
static void warn_of_idle_tags(const csfle__contract *c, const csfle__contract_options *o)
{
  const csfle__schema_info *info = c->registered->info;
  const csfle__format      *f = csfle__schema_format(c->schema);
  size_t                    tags = info->metadata ? info->metadata->tag_count : 0;
  if (c->direction != CSFLE__ON_WRITE || c->encrypt_bits) return;
  if (f->inline_tags) f->inline_tags(c->schema, count_tag, &tags);
  if (tags) csfle__log_line(o->rules.log, 4, "serde", "%.*s: fields carry tags, but no ENCRYPT rule is at work", CSFLE__FMT(info->subject));
}

/*
 * What the caller says its native bytes are, or shall be: the registered layout, one that the bytes can be brought into,
 * or an error of every call that has to. Only what cannot be worked out now is an error of the contract. [AB-1]
 */
static csfle_status check_layout(csfle__contract *c, const csfle__contract_options *o, csfle_error *err)
{
#ifndef CSFLE_BREAK_LAYOUT_UNCHECKED
  const csfle__schema *theirs = o->caller_schema;
  if (!theirs || (theirs->format == c->schema->format && theirs->format->same_layout(theirs, c->schema))) return CSFLE_OK;
  bool write = c->direction == CSFLE__ON_WRITE;
  c->layout = csfle__resolution_compile(&c->resolution, write ? theirs : c->schema, write ? c->schema : theirs, &c->layout_err);
  if (c->layout == CSFLE_E_NOMEM) return csfle__nomem(err);
  if (c->layout != CSFLE_OK) csfle__contract_where(c->registered, &c->layout_err);
#else
  (void)c, (void)o, (void)err;
#endif
  return CSFLE_OK;
}

csfle_status csfle__contract_make(csfle__contract **out, csfle__registered *r, csfle__direction d,
                                  const csfle__contract_options *o, csfle_error *err)
{
  csfle__contract *c = csfle__calloc(1, sizeof *c);
  if (!c) return csfle__nomem(err);
  csfle__shared_init(&c->shared, destroy);
  c->uid = ++uids, c->direction = d, c->registered = r;
  csfle__retain(&r->shared);
  csfle_status rc = make(c, o, err);
  if (rc != CSFLE_OK) {
    if (rc != CSFLE_E_NOMEM) csfle__contract_where(r, err);
    csfle__release(&c->shared);
    return rc;
  }
  warn_of_idle_tags(c, o);
  rc = check_layout(c, o, err);
  if (rc != CSFLE_OK) {
    csfle__release(&c->shared);
    return rc;
  }
  *out = c;
  return CSFLE_OK;
}
