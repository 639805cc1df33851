/* Making the data keys that a contract needs. See deks.h. */
#include "client/deks/call.h"

#include <stdio.h>

typedef struct rule_props {
  const csfle_config *config;
  const csfle__rule  *rule;
} rule_props;

/* rule.executors.<rule>.param.X, then _<TYPE>_, then _default_, then the plain property X, as in serdes [SERDE-80] */
static const char *get_prop(void *opaque, const char *name)
{
  const rule_props *p = opaque;
  char              full[800];
  const char       *v;
  csfle__bytes      keys[] = { p->rule->name, p->rule->type };
  for (int i = 0; i < 2; i++) {
    const char *around = i ? "_" : "";
    snprintf(full, sizeof full, "rule.executors.%s%.*s%s.param.%s", around, keys[i].len > 512 ? 512 : (int)keys[i].len, (const char *)keys[i].ptr,
             around, name);
    if ((v = csfle__config_given(p->config, full))) return v;
  }
  snprintf(full, sizeof full, "rule.executors._default_.param.%s", name);
  if ((v = csfle__config_given(p->config, full))) return v;
  return csfle__config_given(p->config, name);
}

static csfle_status one_rule(csfle_client *cl, csfle__bytes subject, const csfle__rule *r, const csfle__metadata *m, csfle__deks_fn done,
                             void *opaque, csfle_error *err)
{
  csfle__encrypt_params params;
  rule_props            rp = { cl->config, r };
  csfle__kms_props      props = { .get = get_prop, .opaque = &rp };
  csfle__key_got        got = { 0 };
  csfle_status          rc = csfle__encrypt_params_read(r, m, &params, err);
  if (rc != CSFLE_OK) return rc;
  csfle__key_want w = { .params = &params, .subject = subject, .write = true, .fresh = true, .props = &props };
  rc = csfle__ring_get(&cl->ring, &w, &got, err);
  if (rc != CSFLE_OK) return rc;
  int32_t version = got.key->version;
  if (csfle__ring_due(&cl->ring, got.key->track, got.key->ts_ms, params.expiry_days))
    rc = csfle__fail(err, CSFLE_E_UNAVAILABLE, "KEK '%.*s': version %d of the data key is past its age and no successor could be made",
                     CSFLE__FMT(params.kek_name), (int)version);
  else
    csfle__deks_say(done, opaque, "rule %.*s: KEK %.*s, subject %.*s, %s, version %d", CSFLE__FMT(r->name), CSFLE__FMT(params.kek_name),
                    CSFLE__FMT(subject), csfle__algorithm_name(params.algorithm), (int)version);
  csfle__release(&got.key->shared);
  return rc;
}

static csfle_status some_rules(csfle_client *cl, csfle__bytes subject, const csfle__schema_info *s, const csfle__rules *rules, const char *type,
                               csfle__deks_fn done, void *opaque, csfle_error *err)
{
  for (size_t i = 0; i < rules->count; i++) {
    const csfle__rule *r = &rules->at[i];
    if (r->disabled || !csfle__eq_nocase(r->type, csfle__str(type))) continue;
    csfle_status rc = one_rule(cl, subject, r, s->metadata, done, opaque, err);
    if (rc != CSFLE_OK) {
      csfle__where(err, "%.*s v%d %.*s", CSFLE__FMT(subject), (int)s->version, CSFLE__FMT(r->name));
      return rc;
    }
  }
  return CSFLE_OK;
}

static csfle_status fetch(csfle_client *cl, csfle__bytes subject, int32_t version, csfle__schema_info **out, csfle_error *err)
{
  csfle__rc_call c;
  csfle__rc_call_init(&c, "GET");
  csfle_status rc = csfle__buf_puts(&c.path, "/subjects/", err);
  if (rc == CSFLE_OK) rc = csfle__put_path_segment(&c.path, subject, err);
  if (rc == CSFLE_OK) rc = version < 0 ? csfle__buf_puts(&c.path, "/versions/latest", err) : csfle__buf_printf(&c.path, err, "/versions/%d", (int)version);
  if (rc == CSFLE_OK) rc = csfle__deks_call(cl, &c, err);
  if (rc == CSFLE_OK) {
    yyjson_val *root = c.doc ? yyjson_doc_get_root(c.doc) : NULL;
    rc = yyjson_is_obj(root) ? csfle__schema_info_parse(out, root, err) : csfle__fail(err, CSFLE_E_SCHEMA, "the registry's answer is no schema");
  } else if (err && err->http == 404) {
    char cause[sizeof err->msg];
    memcpy(cause, err->msg, sizeof cause);
    snprintf(err->msg, sizeof err->msg, "No schema found: %.250s", cause);
  }
  csfle__rc_call_free(&c);
  return rc;
}

csfle_status csfle__deks_register(csfle_client *cl, csfle__bytes subject, int32_t version, csfle__deks_fn done, void *opaque, csfle_error *err)
{
  csfle__schema_info *s = NULL;
  csfle_status        rc = fetch(cl, subject, version, &s, err);
  if (rc != CSFLE_OK) return rc;
  if (!s->rule_set) {
    csfle__deks_say(done, opaque, "No rules found");
  } else {
    rc = some_rules(cl, subject, s, &s->rule_set->domain, "ENCRYPT", done, opaque, err);
    if (rc == CSFLE_OK) rc = some_rules(cl, subject, s, &s->rule_set->encoding, "ENCRYPT_PAYLOAD", done, opaque, err);
  }
  csfle__schema_info_free(s);
  return rc;
}
