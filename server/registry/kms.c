/* The server's own use of a KMS, for shared KEKs: only the KEK's properties, alternates in order. [DEK 4.3, 2.3] */
#include "server/registry/registry.h"

#include "core/kms/driver.h"
#include "server/log/must.h"

typedef struct asked {
  const csfle__pairs     *props;
  const registry_options *options;
} asked;

/* Names by which a KEK could have the server act as somebody the KEK's writer is not: only with credentials it brings. [AB-7] [AB-8] */
bool registry_kms_prop_allowed(const csfle__pairs *props, const char *name)
{
  static const struct {
    const char *prefix, *with, *and, *or; /* the prefix counts beside these; NULL asks for nothing */
  } steering[] = {
    { "role.", "access.key.id", "secret.access.key", NULL },
    { "profile", "access.key.id", "secret.access.key", NULL },
    { "tenant.id", "client.secret", NULL, NULL },
    { "client.id", "client.secret", NULL, "private.key" }, /* Azure picks a managed identity by it; Google's is part of a key */
    { "namespace", "token.id", NULL, "approle.secret.id" },
    { "approle.mount", "approle.secret.id", NULL, NULL },
    { "alicloud.kms.role", "alicloud.kms.accessKeyId", "alicloud.kms.accessKeySecret", NULL },
    { "alicloud.kms.stsEndpoint", "alicloud.kms.accessKeyId", "alicloud.kms.accessKeySecret", NULL },
    { "alicloud.kms.policy", "alicloud.kms.accessKeyId", "alicloud.kms.accessKeySecret", NULL },
    { "alicloud.kms.externalId", "alicloud.kms.accessKeyId", "alicloud.kms.accessKeySecret", NULL },
    { "alicloud.kms.credentialType", "alicloud.kms.accessKeyId", "alicloud.kms.accessKeySecret", NULL },
    { "alicloud.kms.endpoint", "alicloud.kms.accessKeyId", "alicloud.kms.accessKeySecret", NULL },
  };
  for (size_t i = 0; i < sizeof steering / sizeof *steering; i++) {
    if (strncmp(name, steering[i].prefix, strlen(steering[i].prefix)) != 0) continue;
    if (steering[i].or && csfle__pairs_get(props, steering[i].or).len) return true;
    return csfle__pairs_get(props, steering[i].with).len && (!steering[i].and || csfle__pairs_get(props, steering[i].and).len);
  }
  return true;
}

static const char *get_prop(void *opaque, const char *name)
{
  const csfle__pairs *props = ((const asked *)opaque)->props;
  if (!registry_kms_prop_allowed(props, name)) return NULL;
  csfle__bytes v = csfle__pairs_get(props, name);
  return v.ptr ? (const char *)v.ptr : NULL; /* texts of an arena end with NUL */
}

/* what a KEK cannot set: where the server's credentials may go [AB-8] */
static const char *own_prop(void *opaque, const char *name)
{
  const registry_options *o = ((const asked *)opaque)->options;
  const char             *v = strcmp(name, "csfle.allow.kms.hosts") == 0 ? o->kms_hosts : strcmp(name, "csfle.allow.kms.keys") == 0 ? o->kms_keys : NULL;
#ifdef CSFLE_BREAK_KEK_ALLOWS_ITSELF
  csfle__bytes said = csfle__pairs_get(((const asked *)opaque)->props, name);
  if (said.ptr) v = (const char *)said.ptr;
#endif
  return v && *v ? v : NULL;
}

registry_kms_key registry_kms_key_copied(csfle__arena *a, const csfle__kek *kek)
{
  registry_kms_key key = { registry_copied(a, kek->kms_type), registry_copied(a, kek->kms_key_id), { NULL, kek->kms_props.count } };
  key.props.at = (csfle__pair *)must(csfle__arena_alloc(a, (key.props.count + 1) * sizeof(csfle__pair)));
  for (size_t i = 0; i < key.props.count; i++)
    key.props.at[i] = (csfle__pair){ registry_copied(a, kek->kms_props.at[i].name), registry_copied(a, kek->kms_props.at[i].value) };
  return key;
}

static csfle_status once(registry *g, const registry_kms_key *k, csfle__bytes key_id, bool unwrap, csfle__bytes in,
                         csfle__secret *out, csfle_error *err)
{
  csfle__kms      *kms = NULL;
  csfle__kms_call  call;
  asked            a = { &k->props, &g->options };
  csfle__kms_props props = { get_prop, &a, own_prop };

  csfle_status rc = csfle__kms_take(&g->kms, &kms, k->type, key_id, &props, err);
  if (rc != CSFLE_OK) return rc;
  csfle__kms_call_init(&call, unwrap, in);
  call.timeout_ms = (uint32_t)g->options.kms_timeout_ms;
  rc = csfle__kms_run(kms, &call, g->transport, g->clock, err);
  atomic_fetch_add(&g->counters.kms_calls, 1);
  if (rc == CSFLE_OK) {
    csfle__secret_move(out, &call.out);
    atomic_store(&g->counters.kms_row, 0);
  } else {
    atomic_fetch_add(&g->counters.kms_failures, 1);
    atomic_fetch_add(&g->counters.kms_row, 1);
  }
  csfle__kms_call_free(&call);
  csfle__kms_give(&g->kms, kms, rc);
  return rc;
}

/* What a client gets 403 for: the KMS answered 401 or 403, or says so otherwise, as AWS does of keys it does not find. [DEK 4.3] */
static bool refuses(const csfle_error *e)
{
  if (e->code == CSFLE_E_KEY_GONE) return e->http == 401 || e->http == 403 || strstr(e->msg, "NotFoundException");
  return CSFLE_CLASS(e->code) == CSFLE_CLASS(CSFLE_E_FORBIDDEN);
}

static bool run(registry *g, const registry_kms_key *k, csfle__bytes subject, bool unwrap, csfle__bytes in,
                csfle__secret *out, registry_problem *p)
{
  const char  *what = unwrap ? "raw" : "encrypted";
  csfle_error  err = CSFLE_ERROR_INIT, last = CSFLE_ERROR_INIT;
  csfle__bytes more = csfle__pairs_get(&k->props, "encrypt.alternate.kms.key.ids"), key_id = k->key_id;
  bool         denied = false;

  if (!csfle__kms_driver_find(k->type))
    return registry_refuse(p, 500, 50070, "Could not generate %s dek for %.*s: No KMS driver supports: %.*s://%.*s", what,
                           CSFLE__FMT(subject), CSFLE__FMT(k->type), CSFLE__FMT(k->key_id));
  for (;;) {
    if (once(g, k, key_id, unwrap, in, out, &err) == CSFLE_OK) return true;
    bool refused = refuses(&err);
    if (refused || !denied) last = err; /* a refusal says more than what came after it */
    denied = denied || refused;
    key_id = CSFLE__NONE;
    while (more.len && !key_id.len) {
      const uint8_t *comma = (const uint8_t *)memchr(more.ptr, ',', more.len);
      size_t         n = comma ? (size_t)(comma - more.ptr) : more.len;
      key_id = csfle__trim(csfle__view(more.ptr, n));
      more = csfle__from(more, n + 1);
    }
    if (!key_id.len) break;
  }
  return registry_refuse(p, denied ? 403 : 500, denied ? 40370 : 50070, "Could not generate %s dek for %.*s: %s", what, CSFLE__FMT(subject), last.msg);
}

bool registry_kms_wrap(registry *g, const registry_kms_key *k, csfle__bytes subject, csfle__bytes material,
                       csfle__secret *wrapped, registry_problem *p)
{
  return run(g, k, subject, false, material, wrapped, p);
}

bool registry_kms_unwrap(registry *g, const registry_kms_key *k, csfle__bytes subject, csfle__bytes wrapped,
                         csfle__secret *material, registry_problem *p)
{
  return run(g, k, subject, true, wrapped, material, p);
}
