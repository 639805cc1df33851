/* Opening and closing a client; its cache of registered schemas. See client.h. */
#include "client/serde/client.h"
#include "client/regclient/seed.h"
#include "client/serde/serde.h"
#include "core/base/alloc.h"
#include "core/crypt/random.h"

#include <stdio.h>

uint32_t csfle_version(void) { return CSFLE_VERSION; }

#define CSFLE_KMS_DRIVER(file) extern const csfle__kms_driver csfle__kms_driver_##file;
#include "core/kms/drivers.def"
#undef CSFLE_KMS_DRIVER

static char features[256] = "avro,curl";
static void list_features(void)
{
#define CSFLE_KMS_DRIVER(file) snprintf(features + strlen(features), sizeof features - strlen(features), ",%s", csfle__kms_driver_##file.type);
#include "core/kms/drivers.def"
#undef CSFLE_KMS_DRIVER
}
const char *csfle_features(void)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, list_features);
  return features;
}

static uint32_t random_below(uint32_t bound)
{
  uint8_t b[4];
  if (bound < 2 || csfle__random_fill(b, sizeof b) != 1) return 0;
  return csfle__get_u32be(b) % bound;
}

static csfle_status put_header(csfle_buf *b, const char *name, const char *before, const char *value, csfle_error *err)
{
  return value && *value ? csfle__buf_printf(b, err, "%s: %s%s\r\n", name, before, value) : CSFLE_OK;
}

static csfle_status open_registry(csfle_client *cl, csfle_error *err)
{
  const csfle_config *c = cl->config;
  csfle__world        w = { c->clock, c->log, c->transport.start ? &c->transport : csfle__curl_transport(cl->curl), random_below, &cl->meter };
  bool                user_info = strcmp(csfle__config_text(c, "basic.auth.credentials.source"), "USER_INFO") == 0;
  csfle_buf           headers;
  csfle_buf_init(&headers, 0, CSFLE_BUF_WIPE);
  csfle_status rc = put_header(&headers, "Authorization", "Bearer ", csfle__config_text(c, "bearer.auth.token"), err);
  if (rc == CSFLE_OK) rc = put_header(&headers, "target-sr-cluster", "", csfle__config_text(c, "bearer.auth.logical.cluster"), err);
  if (rc == CSFLE_OK) rc = put_header(&headers, "Confluent-Identity-Pool-Id", "", csfle__config_text(c, "bearer.auth.identity.pool.id"), err);
  for (size_t i = 0; i < c->count && rc == CSFLE_OK; i++)
    if (strncmp(c->at[i].name, "request.header.", 15) == 0) rc = put_header(&headers, c->at[i].name + 15, "", c->at[i].value, err);
  if (rc == CSFLE_OK)
    rc = csfle__rc_init(&cl->rc, &w, csfle__str(csfle__config_text(c, "schema.registry.url")), user_info ? csfle__config_text(c, "basic.auth.user.info") : NULL,
                        csfle__buf_view(&headers), err);
  csfle_buf_free(&headers);
  if (rc != CSFLE_OK) return rc;
  for (size_t i = 0; i < cl->rc.url_count; i++)
    if (cl->rc.urls[i].basic.len && (user_info || csfle__config_given(c, "bearer.auth.token"))) {
      rc = csfle__fail(err, CSFLE_E_CONFIG, "'schema.registry.url' has user:password@, and another property gives credentials too");
      csfle__rc_free(&cl->rc);
      return rc;
    }
  cl->rc.max_retries = (uint32_t)csfle__config_int(c, "max.retries");
  cl->rc.wait_ms = (uint32_t)csfle__config_int(c, "retries.wait.ms");
  cl->rc.max_wait_ms = (uint32_t)csfle__config_int(c, "retries.max.wait.ms");
  cl->rc.timeout_ms = (uint32_t)csfle__config_int(c, "http.read.timeout.ms");
  return CSFLE_OK;
}

static const char *non_empty(const char *v) { return v && *v ? v : NULL; }

static csfle__tls tls_of(const csfle_config *c, const char *prefix)
{
  const char *parts[4] = { "ca.location", "certificate.location", "key.location", "key.password" }, *v[4];
  for (size_t i = 0; i < 4; i++) {
    char name[96];
    snprintf(name, sizeof name, "%s.ssl.%s", prefix, parts[i]);
    v[i] = non_empty(csfle__config_text(c, name));
  }
  return (csfle__tls){ v[0], v[1], v[2], v[3] };
}

static csfle_status open_curl(csfle_client *cl, csfle_error *err)
{
  const csfle_config *c = cl->config;
  char                proxy[512] = "";
  const char         *host = csfle__config_text(c, "proxy.host");
  int64_t             port = csfle__config_int(c, "proxy.port");
  csfle__tls          kms = tls_of(c, "csfle.kms");
  if (kms.key_file && !kms.cert_file) return csfle__fail(err, CSFLE_E_CONFIG, "'csfle.kms.ssl.key.location' needs 'csfle.kms.ssl.certificate.location'");
  if (c->transport.start && (kms.ca_file || kms.cert_file))
    return csfle__fail(err, CSFLE_E_CONFIG, "'csfle.kms.ssl.*' are settings of the library's own transport, and the application brought another");
  if (c->transport.start) return CSFLE_OK;
  if (*host) snprintf(proxy, sizeof proxy, port >= 0 ? "%s:%lld" : "%s", host, (long long)port);
  csfle__curl_options o = { .connect_timeout_ms = (uint32_t)csfle__config_int(c, "http.connect.timeout.ms"),
                            .timeout_ms = (uint32_t)csfle__config_int(c, "http.read.timeout.ms"), .max_reply_bytes = 16u << 20,
                            .tls = tls_of(c, "schema.registry"), .kms_tls = kms, .proxy = non_empty(proxy) };
  return csfle__curl_new(&cl->curl, &o, err);
}

static csfle__bytes list_of(const csfle_config *c, const char *name) { return csfle__str(csfle__config_text(c, name)); }

csfle_client *csfle_client_open(const csfle_config *c, csfle_error *err)
{
  csfle_error local = CSFLE_ERROR_INIT;
  if (!c) return NULL;
  if (!err) err = &local;
  if (c->bad.code) {
    *err = c->bad;
    return NULL;
  }
  if (csfle__config_check(c, err) != CSFLE_OK) return NULL;
  csfle_client *cl = csfle__calloc(1, sizeof *cl);
  if (!cl || !(cl->config = csfle__config_copy(c))) {
    csfle__free(cl);
    csfle__nomem(err);
    return NULL;
  }
  c = cl->config;
  csfle__meter_init(&cl->meter, c->event, c->event_opaque, &c->clock);
  csfle_status rc = open_curl(cl, err);
  if (rc == CSFLE_OK) rc = open_registry(cl, err);
  if (rc != CSFLE_OK) {
    if (cl->curl) csfle__curl_free(cl->curl);
    csfle__meter_free(&cl->meter);
    csfle_config_free(cl->config);
    csfle__free(cl);
    return NULL;
  }
  int64_t expiry = csfle__config_int(c, "cache.expiry.secs"), ttl = csfle__config_int(c, "latest.cache.ttl.sec");
  cl->latest_ttl_ms = ttl < 0 ? INT64_MAX / 4 : ttl * 1000;
  cl->max_stale_ms = csfle__config_int(c, "csfle.max.stale.ms");
  cl->grace_ms = csfle__config_int(c, "csfle.rotation.grace.ms");
  cl->max_age_ms = csfle__config_int(c, "csfle.key.max.age.ms");
  cl->max_overdue_ms = csfle__config_int(c, "csfle.rotation.max.overdue.ms");
  cl->allow_overused = csfle__config_bool(c, "csfle.allow.overused.keys");
  cl->key_expiry_ms = expiry < 0 || expiry * 1000 > cl->max_age_ms ? cl->max_age_ms : expiry * 1000;
  csfle__ring_options o = { .max_entries = (size_t)csfle__config_int(c, "cache.size"), .expiry_ms = expiry < 0 ? -1 : expiry * 1000,
                            .max_age_ms = cl->max_age_ms, .allow_keks = list_of(c, "csfle.allow.keks"),
                            .allow_algorithms = list_of(c, "csfle.allow.algorithms"), .allow_kms_props = list_of(c, "csfle.allow.kms.props"),
                            .plugins = &c->plugins, .kms_timeout_ms = (uint32_t)csfle__config_int(c, "csfle.kms.timeout.ms") };
  csfle__ring_init(&cl->ring, &cl->rc, &o);
  csfle__cache_init(&cl->schemas, (size_t)csfle__config_int(c, "max.schemas.per.subject"));
  csfle__cache_init(&cl->missing, CSFLE__MISSING_MAX);
  csfle__flights_init(&cl->flights);
  pthread_mutex_init(&cl->lock, NULL);
  csfle__ok(err);
  return cl;
}

csfle_status csfle_client_seed(csfle_client *cl, const void *registry_json, size_t len, csfle_error *err)
{
  csfle__seed *made = NULL;
  if (!cl) return err && err->code ? err->code : CSFLE_E_MISUSE;
  pthread_mutex_lock(&cl->lock);
  bool used = cl->serdes != NULL;
  pthread_mutex_unlock(&cl->lock);
  if (used) return csfle__fail(err, CSFLE_E_MISUSE, "a client is seeded before its first serde is opened");
  csfle_status rc = csfle__seed_new(&made, csfle__view(registry_json, registry_json ? len : 0), err);
  if (rc != CSFLE_OK) return rc;
  csfle__seed_free(cl->rc.seed);
  cl->rc.seed = made;
  return csfle__ok(err);
}

void csfle_client_forget_keys(csfle_client *cl, const char *kek)
{
  if (!cl) return;
  csfle__ring_forget(&cl->ring, kek);
  pthread_mutex_lock(&cl->lock);
  for (csfle_serde *s = cl->serdes; s; s = s->next) csfle__serde_forget(s);
  pthread_mutex_unlock(&cl->lock);
}

void csfle_client_close(csfle_client *cl)
{
  if (!cl) return;
  while (cl->ledgers) {
    csfle__ledger *l = cl->ledgers;
    cl->ledgers = l->next;
    csfle__free(l);
  }
  csfle__ring_free(&cl->ring);
  csfle__cache_free(&cl->schemas);
  csfle__cache_free(&cl->missing);
  csfle__flights_free(&cl->flights);
  csfle__rc_free(&cl->rc);
  if (cl->curl) csfle__curl_free(cl->curl);
  pthread_mutex_destroy(&cl->lock);
  csfle__meter_free(&cl->meter);
  csfle_config_free(cl->config);
  csfle__free(cl);
}

csfle__ledger *csfle__client_ledger(csfle_client *cl, const char *subject)
{
  if (!csfle__config_bool(cl->config, "csfle.metrics.subject")) subject = ""; /* one for all */
  size_t n = strlen(subject) + 1;
  pthread_mutex_lock(&cl->lock);
  csfle__ledger *l = cl->ledgers;
  while (l && strcmp(l->subject, subject) != 0) l = l->next;
  if (!l && (l = csfle__calloc(1, sizeof *l + n))) {
    memcpy(l->subject, subject, n);
    l->next = cl->ledgers, cl->ledgers = l;
  }
  pthread_mutex_unlock(&cl->lock);
  return l;
}

/* ---- schemas */

static csfle_status name_of(csfle_buf *b, const csfle__schema_want *w, csfle_error *err)
{
  char         guid[37] = "";
  if (w->by == CSFLE__BY_GUID) csfle__guid_text(w->guid, guid);
  csfle_status rc = csfle__buf_printf(b, err, "%d %d %d %d %s ", w->of_record, (int)w->by, w->by == CSFLE__BY_ID ? (int)w->id : 0, w->normalize, guid);
  if (rc == CSFLE_OK) rc = csfle__buf_put(b, w->subject.ptr, w->subject.len, err);
  if (rc == CSFLE_OK && w->text.len) {
    rc = csfle__buf_putc(b, 0, err);
    if (rc == CSFLE_OK) rc = csfle__buf_put(b, w->text.ptr, w->text.len, err);
  }
  return rc;
}

typedef struct schema_machine {
  csfle__rc          *rc;
  csfle__schema_fetch f;
} schema_machine;
static csfle__io  *schema_io(void *self) { return &((schema_machine *)self)->f.call.io; }
static csfle__next schema_step(void *self, csfle_error *err)
{
  schema_machine *m = self;
  return csfle__schema_fetch_step(m->rc, &m->f, err);
}

static csfle_status fetch(csfle_client *cl, const csfle__schema_want *w, csfle__registered **out, csfle_error *err)
{
  schema_machine *m = csfle__alloc(sizeof *m);
  if (!m) return csfle__nomem(err);
  m->rc = &cl->rc;
  csfle__schema_fetch_init(&m->f);
  m->f.by = w->by, m->f.subject = w->subject, m->f.text = w->text, m->f.normalize = w->normalize, m->f.id = w->id;
  memcpy(m->f.guid, w->guid, 16);
  csfle_status rc = csfle__drive(&cl->rc.world, (csfle__machine){ schema_step, schema_io, m }, err);
  if (rc == CSFLE_OK) *out = m->f.result, m->f.result = NULL;
  csfle__schema_fetch_free(&m->f);
  csfle__free(m);
  return rc;
}

static size_t size_of(const csfle__registered *r)
{
  size_t n = sizeof *r + sizeof *r->info + r->info->schema.len;
  for (size_t i = 0; i < r->ref_count; i++) n += sizeof *r->refs + r->refs[i].text.len;
  return n;
}

/* From the cache, if it will do. */
static csfle__shared *look(csfle_client *cl, const csfle__schema_want *w, csfle__bytes name, int64_t now)
{
  csfle__shared *s = w->fresh && !w->held ? NULL : csfle__cache_get(&cl->schemas, name, now);
  if (!s || !w->fresh || ((csfle__registered *)s)->order > w->held) return s;
  csfle__release(s);
  return NULL;
}

csfle_status csfle__client_schema(csfle_client *cl, const csfle__schema_want *w, csfle__registered **out, csfle_error *err)
{
  csfle_buf      name;
  csfle__flight  flight;
  csfle__shared *found = NULL;
  int64_t        now = csfle__client_mono(cl);
  csfle_buf_init(&name, 0, 0);
  *out = NULL;
  csfle_status rc = name_of(&name, w, err);
  if (rc != CSFLE_OK) goto out;
  found = look(cl, w, csfle__buf_view(&name), now);
  if (!found && w->of_record && csfle__missing_get(&cl->missing, csfle__buf_view(&name), err, now)) {
    rc = CSFLE_E_WIRE;
    if (err) rc = err->code;
    goto out;
  }
  if (!found && csfle__flight_begin(&cl->flights, &flight, csfle__buf_view(&name), &found, &rc, err)) {
    csfle__registered *r = NULL;
    csfle_error        local = CSFLE_ERROR_INIT;
    /* another's flight may have ended between our look and our lead */
    r = (csfle__registered *)look(cl, w, csfle__buf_view(&name), now);
    bool here = r != NULL;
    rc = here ? CSFLE_OK : fetch(cl, w, &r, &local);
    if (rc == CSFLE_OK && !here) r->shared.bytes = size_of(r), r->order = ++cl->fetches;
    if (rc == CSFLE_OK && !here)
      csfle__cache_put(&cl->schemas, csfle__buf_view(&name), &r->shared, w->by == CSFLE__BY_ID || w->by == CSFLE__BY_GUID ? INT64_MAX : now + cl->latest_ttl_ms);
    found = r ? &r->shared : NULL;
    if (rc != CSFLE_OK && w->of_record && local.http == 404) {
      local.code = rc = CSFLE_E_WIRE;
      csfle__missing_put(&cl->missing, csfle__buf_view(&name), &local, now);
    }
    if (CSFLE_CLASS(rc) == CSFLE_CLASS_DENIED)
      csfle__meter_tell(&cl->meter, &(csfle__event){ .event = CSFLE_EVENT_DENIED, .subject = w->subject, .cause = &local });
    csfle__flight_end(&cl->flights, &flight, found, rc, &local);
    if (rc != CSFLE_OK && err) *err = local;
  }
  *out = (csfle__registered *)found;
out:
  csfle_buf_free(&name);
  return rc;
}
