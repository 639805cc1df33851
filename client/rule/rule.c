/* Selecting rules. See rule.h. */
#include "client/rule/rule.h"

#include <stdio.h>

static const csfle__executor_ops *find_executor(const csfle__rule_options *o, csfle__bytes type, void **opaque)
{
  *opaque = NULL;
#define CSFLE_EXECUTOR(t, ops) \
  if (csfle__eq_nocase(type, CSFLE__LIT(#t))) return &ops;
#include "client/rule/executors.def"
#undef CSFLE_EXECUTOR
  return o->executor ? o->executor(o->opaque, type, opaque) : NULL;
}

static bool find_action(csfle__bytes name, csfle__action *out)
{
#define CSFLE_ACTION(n) \
  if (csfle__eq_str(name, #n)) return *out = CSFLE__ACTION_##n, true;
#include "client/rule/actions.def"
#undef CSFLE_ACTION
  return false;
}

csfle_status csfle__executor_missing(csfle__bytes type, csfle_error *err)
{
  return csfle__fail(err, CSFLE_E_RULE, "Could not find rule executor of type %.*s", CSFLE__FMT(type));
}

static bool is_type(const csfle__rule *r, const char *type) { return csfle__eq_nocase(r->type, csfle__str(type)); }

/* rule.executors.<rule>.<what>, then _<TYPE>_, then _default_ */
static const char *override(const csfle__rule_options *o, const csfle__rule *r, const char *what)
{
  char        name[640], type[128];
  size_t      n = r->type.len < sizeof type - 1 ? r->type.len : sizeof type - 1;
  const char *v;
  if (!o->get) return NULL;
  for (size_t i = 0; i < n; i++) type[i] = (char)(r->type.ptr[i] >= 'a' && r->type.ptr[i] <= 'z' ? r->type.ptr[i] - 32 : r->type.ptr[i]);
  type[n] = 0;
  snprintf(name, sizeof name, "rule.executors.%.*s.%s", r->name.len > 512 ? 512 : (int)r->name.len, (const char *)r->name.ptr, what);
  if ((v = o->get(o->opaque, name))) return v;
  snprintf(name, sizeof name, "rule.executors._%s_.%s", type, what);
  if ((v = o->get(o->opaque, name))) return v;
  snprintf(name, sizeof name, "rule.executors._default_.%s", what);
  return o->get(o->opaque, name);
}

static bool skipped(const csfle__rule_options *o, const csfle__rule_set *set, const csfle__rule *r)
{
  const char *v = override(o, r, "disabled");
  if (v) return csfle__truthy(csfle__trim(csfle__str(v)));
  switch (set->enable_at) {
  case CSFLE__AT_ABSENT:
  case CSFLE__AT_ALL: break;
  case CSFLE__AT_NONE: return true;
  default:
    if (set->enable_at != o->environment) return true;
  }
  return r->disabled;
}

static bool runs_in(const csfle__rule *r, csfle__direction d)
{
  return r->mode == CSFLE__WRITEREAD || r->mode == (d == CSFLE__ON_WRITE ? CSFLE__WRITE : CSFLE__READ);
}

/* "ERROR,NONE": one for writing, one for reading; blanks trimmed, empty is absent, further parts ignored [SERDE-83] [SERDE-100] */
static csfle_status pick_action(const csfle__rule_options *o, const csfle__rule *r, csfle__direction d, const char *what,
                                csfle__bytes own, csfle__action absent, csfle__action *out, csfle_error *err)
{
  const char  *v = override(o, r, what);
  csfle__bytes name = v ? csfle__str(v) : own;
  if (name.len && (r->mode == CSFLE__WRITEREAD || r->mode == CSFLE__UPDOWN)) {
    const uint8_t *comma = memchr(name.ptr, ',', name.len);
    if (comma && d == CSFLE__ON_WRITE) {
      name.len = (size_t)(comma - name.ptr);
    } else if (comma) {
      name = csfle__from(name, (size_t)(comma - name.ptr) + 1);
      const uint8_t *more = name.len ? memchr(name.ptr, ',', name.len) : NULL;
      if (more) name.len = (size_t)(more - name.ptr);
    }
  }
  name = csfle__trim(name);
  if (!name.len) return *out = absent, CSFLE_OK;
  if (!find_action(name, out))
    return csfle__fail(err, CSFLE_E_RULE, "Could not find rule action of type %.*s", CSFLE__FMT(name));
  return CSFLE_OK;
}

static bool same_tags(const csfle__names *a, const csfle__names *b)
{
  if (a->count != b->count) return false;
  for (size_t i = 0; i < a->count; i++)
    if (!csfle__eq(a->at[i], b->at[i])) return false; /* both are sorted sets */
  return true;
}

/* The earlier rule that makes this one idle, as in the Java client: same kind, mode, type and non-empty tags. [SERDE-110] */
static const csfle__rule *suppressor(const csfle__rules *rules, size_t i)
{
  const csfle__rule *r = &rules->at[i];
  if (r->kind != CSFLE__TRANSFORM || !r->tags.count) return NULL;
  for (size_t j = 0; j < i; j++) {
    const csfle__rule *e = &rules->at[j];
    if (e->kind == r->kind && e->mode == r->mode && csfle__eq_nocase(e->type, r->type) && same_tags(&e->tags, &r->tags)) return e;
  }
  return NULL;
}

static csfle_status check_placement(const csfle__rule *r, bool encoding, csfle_error *err)
{
  bool field = is_type(r, "ENCRYPT"), payload = is_type(r, "ENCRYPT_PAYLOAD");
  if (encoding && field) return csfle__fail(err, CSFLE_E_RULE, "an ENCRYPT rule belongs into domainRules, not into encodingRules");
  if (!encoding && payload)
    return csfle__fail(err, CSFLE_E_RULE, "an ENCRYPT_PAYLOAD rule belongs into encodingRules, not into domainRules");
  if ((field || payload) && r->kind == CSFLE__CONDITION)
    return csfle__fail(err, CSFLE_E_RULE, "an %s rule of kind CONDITION would encrypt nothing; its kind must be TRANSFORM", field ? "ENCRYPT" : "ENCRYPT_PAYLOAD");
  return CSFLE_OK;
}

static csfle_status encoding_rules(const csfle__rule_set *set, csfle__direction d, const csfle__rule_options *o, csfle_error *err)
{
  for (size_t i = 0; i < set->encoding.count; i++) {
    const csfle__rule *r = &set->encoding.at[i];
    csfle_status       rc = check_placement(r, true, err);
    if (rc == CSFLE_OK && runs_in(r, d)) {
      if (!skipped(o, set, r)) rc = csfle__executor_missing(r->type, err); /* a payload cannot be read without its rule */
      else if (d == CSFLE__ON_WRITE && is_type(r, "ENCRYPT_PAYLOAD") && !o->allow_disabled)
        rc = csfle__fail(err, CSFLE_E_POLICY, "rule is disabled: the payload would be written in clear (csfle.allow.plaintext=disabled-rules permits it)");
    }
    if (rc != CSFLE_OK) {
      csfle__where(err, "%.*s", CSFLE__FMT(r->name));
      return rc;
    }
  }
  return CSFLE_OK;
}

static csfle_status domain_rule(const csfle__rule_set *set, size_t i, csfle__direction d, const csfle__rule_options *o,
                                csfle__rule_list *out, csfle_error *err)
{
  const csfle__rule *r = &set->domain.at[i], *by;
  bool               encrypt = is_type(r, "ENCRYPT");
  csfle_status       rc = check_placement(r, false, err);
  if (rc != CSFLE_OK || !runs_in(r, d)) return rc;
  if (skipped(o, set, r)) {
    if (d == CSFLE__ON_WRITE && encrypt && !o->allow_disabled) out->off[out->off_count++] = r;
    return CSFLE_OK;
  }
  csfle__active_rule x = { r, NULL, NULL, CSFLE__ACTION_NONE, CSFLE__ACTION_ERROR };
  x.ops = find_executor(o, r->type, &x.opaque);
  rc = pick_action(o, r, d, "onSuccess", r->on_success, CSFLE__ACTION_NONE, &x.on_success, err);
  if (rc == CSFLE_OK) rc = pick_action(o, r, d, "onFailure", r->on_failure, CSFLE__ACTION_ERROR, &x.on_failure, err);
  if (rc != CSFLE_OK) return rc;
  if ((!x.ops || x.ops->level == CSFLE__LEVEL_FIELD) && (by = suppressor(&set->domain, i))) {
    if (d == CSFLE__ON_WRITE && encrypt && skipped(o, set, by) && !o->allow_suppressed)
      return csfle__fail(err, CSFLE_E_POLICY, "rule is suppressed by the disabled rule '%.*s' with the same tags: their fields would be written in "
                         "clear (csfle.allow.plaintext=suppressed-rules permits it)", CSFLE__FMT(by->name));
    return CSFLE_OK;
  }
  if (d == CSFLE__ON_WRITE) {
    /* not even onFailure NONE lets a record pass that nobody here can encrypt or check */
    if (!x.ops) return csfle__executor_missing(r->type, err);
    if (encrypt && x.on_failure == CSFLE__ACTION_NONE && !o->allow_onfailure_none)
      return csfle__fail(err, CSFLE_E_POLICY, "onFailure is NONE: a field that cannot be encrypted would be written in clear "
                         "(csfle.allow.plaintext=onfailure-none permits it)");
    if (encrypt && x.on_failure == CSFLE__ACTION_NONE)
      csfle__log_line(o->log, 4, "rule", "rule %.*s: onFailure NONE on write: fields may be written in clear", CSFLE__FMT(r->name));
  }
  out->at[out->count++] = x;
  return CSFLE_OK;
}

csfle_status csfle__rules_select(csfle__arena *a, const csfle__rule_set *rules, csfle__direction d,
                                 const csfle__rule_options *o, csfle__rule_list *out, csfle_error *err)
{
  *out = (csfle__rule_list){ 0 };
  if (!rules) return CSFLE_OK;
  csfle_status rc = encoding_rules(rules, d, o, err);
  if (rc != CSFLE_OK || !rules->domain.count) return rc;
  out->at = csfle__arena_alloc(a, rules->domain.count * sizeof *out->at);
  out->off = csfle__arena_alloc(a, rules->domain.count * sizeof *out->off);
  if (!out->at || !out->off) return csfle__nomem(err);
  for (size_t i = 0; i < rules->domain.count; i++) {
    rc = domain_rule(rules, i, d, o, out, err);
    if (rc != CSFLE_OK) {
      csfle__where(err, "%.*s", CSFLE__FMT(rules->domain.at[i].name));
      return rc;
    }
  }
  return CSFLE_OK;
}
