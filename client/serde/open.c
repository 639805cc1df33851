/* Opening and closing a serde, and what writing and reading share. See serde.h. */
#include "client/serde/serde.h"
#include "core/base/alloc.h"

#include <stdio.h>

static void use_destroy(csfle__shared *x)
{
  csfle__use *u = (csfle__use *)x;
  csfle__release(&u->contract->shared);
  if (u->upgrade) csfle__release(&u->upgrade->shared);
  csfle__free(u);
}

csfle_status csfle__use_over(csfle__contract *c, int64_t fetched, int64_t refresh, bool stale, csfle__use **out, csfle_error *err)
{
  csfle__use *u = csfle__alloc(sizeof *u);
  if (!u) return csfle__nomem(err);
  csfle__shared_init(&u->shared, use_destroy);
  csfle__retain(&c->shared);
  u->order = 0, u->contract = c, u->upgrade = NULL, u->fetched_mono_ms = fetched, u->refresh_mono_ms = refresh, u->stale = stale;
  u->schema_id = c->registered->info->id, u->version = c->registered->info->version;
  *out = u;
  return CSFLE_OK;
}

csfle_status csfle__use_make(csfle_serde *s, csfle__registered *r, csfle__direction d, csfle__use **out, csfle_error *err)
{
  csfle__contract *c;
  csfle_status     rc = csfle__contract_make(&c, r, d, &s->options, err);
  if (rc != CSFLE_OK) return rc;
  pthread_mutex_lock(&s->client->lock);
  for (size_t i = 0; i < c->rule_count; i++)
    if (csfle__rule_encrypts(&c->rules[i].active)) c->rules[i].tally = csfle__ledger_rule(s->ledger, c->rules[i].active.rule->name);
  pthread_mutex_unlock(&s->client->lock);
  rc = csfle__use_over(c, csfle__client_mono(s->client), INT64_MAX, false, out, err);
  csfle__release(&c->shared);
  return rc;
}

void csfle__info_fill(csfle_info *info, const csfle_serde *s, const csfle__use *u, uint32_t encrypted, uint32_t decrypted,
                      uint32_t passed, uint32_t flags)
{
  csfle_info full = CSFLE_INFO_INIT;
  if (!info || info->size < sizeof info->size) return;
  full.subject = s->subject;
  if (u) {
    full.schema_id = u->schema_id, full.version = u->version;
    memcpy(full.guid, u->contract->guid, 16);
    full.schema_type = csfle__schema_format(u->contract->schema)->type;
    full.flags = flags | (u->stale ? CSFLE_INFO_STALE_SCHEMA : 0);
  }
  full.encrypted = encrypted, full.decrypted = decrypted, full.passed_through = passed;
  full.size = info->size;
  memcpy(info, &full, info->size < sizeof full ? info->size : sizeof full);
}

csfle_status csfle__finish(csfle_buf *out, csfle_status rc, csfle_error *err)
{
  if (rc == CSFLE_OK) return csfle__ok(err);
  if (rc != CSFLE_E_SPACE) out->len = 0;
  return rc;
}

csfle_status csfle__emit(csfle_buf *out, csfle__bytes prefix, csfle__bytes body, csfle_error *err)
{
  csfle_status rc = csfle__buf_reserve(out, prefix.len + body.len, err);
  if (rc == CSFLE_E_SPACE) out->len = prefix.len + body.len;
  if (rc != CSFLE_OK) return rc;
  if (prefix.len) memcpy(out->ptr, prefix.ptr, prefix.len);
  if (body.len) memcpy(out->ptr + prefix.len, body.ptr, body.len);
  out->len = prefix.len + body.len;
  return CSFLE_OK;
}

static const char *config_get(void *opaque, const char *name) { return csfle__config_given(opaque, name); }

static const csfle__executor_ops *config_executor(void *opaque, csfle__bytes type, void **executor_opaque)
{
  const csfle__config_executor *x = csfle__config_executor_find(opaque, type);
  if (x) *executor_opaque = x->opaque;
  return x ? x->ops : NULL;
}

static csfle__enable_at environment(const char *name)
{
  static const csfle__enable_at all[] = { CSFLE__AT_ALL, CSFLE__AT_CLIENT, CSFLE__AT_GATEWAY, CSFLE__AT_SERVER, CSFLE__AT_NONE };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (strcmp(csfle__enable_at_name(all[i]), name) == 0) return all[i];
  return CSFLE__AT_CLIENT;
}

static csfle_status read_options(csfle_serde *s, csfle_error *err)
{
  const csfle_config *c = s->config;
  csfle__bytes        allow = csfle__str(csfle__config_text(c, "csfle.allow.plaintext")), item;
  csfle__bytes        tags = csfle__str(csfle__config_text(c, "csfle.require.tags")), rest = tags;
  size_t              n = 0;
  s->use_latest = csfle__config_bool(c, "use.latest.version");
  s->use_id = (int32_t)csfle__config_int(c, "use.schema.id");
  s->auto_register = csfle__config_bool(c, "auto.register.schemas");
  s->normalize = csfle__config_bool(c, "normalize.schemas");
  s->fail_trailing = csfle__config_bool(c, "avro.fail.on.trailing.data");
  s->text_flags = strcmp(csfle__config_text(c, "csfle.json.unions"), "plain") == 0 ? CSFLE__TEXT_PLAIN_UNIONS : 0;
  while (csfle__list_next(&rest, &item)) n++;
  s->required = csfle__calloc(n + 1, sizeof *s->required);
  if (!s->required) return csfle__nomem(err);
  for (n = 0, rest = tags; csfle__list_next(&rest, &item);) s->required[n++] = item; /* views into the config */
  s->options = (csfle__contract_options){
    .config = c, .caller_schema = s->caller_schema, .required = s->required, .required_count = n,
    .rules = { .get = config_get, .executor = config_executor, .opaque = s->config, .environment = environment(csfle__config_text(c, "execution.environment")),
               .allow_disabled = csfle__list_has(allow, CSFLE__LIT("disabled-rules")),
               .allow_onfailure_none = csfle__list_has(allow, CSFLE__LIT("onfailure-none")),
               .allow_suppressed = csfle__list_has(allow, CSFLE__LIT("suppressed-rules")), .log = &s->client->rc.world.log },
    .allow_unreachable = csfle__list_has(allow, CSFLE__LIT("unreachable-tags")) };
  return CSFLE_OK;
}

static void serde_free(csfle_serde *s)
{
  if (s->write) csfle__release(&s->write->shared);
  csfle__cache_free(&s->readers);
  while (s->idle) {
    csfle__scratch *x = s->idle;
    s->idle = x->next;
    csfle__scratch_free(x);
  }
  for (size_t i = 0; i < CSFLE__STRIPES; i++) csfle__scratch_free(s->stripes[i].scratch);
  csfle__serde_drop_keys(s);
  csfle__flights_free(&s->flights);
  pthread_mutex_destroy(&s->lock);
  csfle__schema_free(s->caller_schema);
  csfle__free(s->schema_text);
  csfle__free(s->subject);
  csfle__free(s->required);
  csfle_config_free(s->config);
  csfle__free(s);
}

static csfle_status open_serde(csfle_serde *s, const char *topic, const csfle_serde_opts *o, csfle_error *err)
{
  s->config = csfle__config_copy(s->client->config);
  if (!s->config) return csfle__nomem(err);
  for (const char *const *p = o->props; p && *p; p += 2) {
    if (!p[1]) return csfle__fail(err, CSFLE_E_MISUSE, "csfle_serde_opts.props: '%.80s' has no value", *p);
    csfle_status rc = csfle__config_put(s->config, p[0], p[1], true, err);
    if (rc != CSFLE_OK) return rc;
  }
  csfle_status rc = csfle__config_check(s->config, err);
  if (rc != CSFLE_OK) return rc;
  s->role = o->role;
  if (o->subject) {
    if (!*o->subject) return csfle__fail(err, CSFLE_E_CONFIG, "the subject is empty");
    s->subject = csfle__dup(o->subject, strlen(o->subject));
  } else {
    if (!topic || !*topic) return csfle__fail(err, CSFLE_E_CONFIG, "a topic or a subject is needed");
    size_t n = strlen(topic) + 8;
    s->subject = csfle__alloc(n);
    if (s->subject) snprintf(s->subject, n, "%s-%s", topic, o->role == CSFLE_KEY ? "key" : "value"); /* [SERDE-36] */
  }
  if (!s->subject || !(s->ledger = csfle__client_ledger(s->client, s->subject))) return csfle__nomem(err);
  if (o->message) return csfle__fail(err, CSFLE_E_CONFIG, "csfle_serde_opts.message: Protobuf is not supported yet");
  if (o->schema) {
    s->schema_text = csfle__dup(o->schema, strlen(o->schema));
    if (!s->schema_text) return csfle__nomem(err);
    rc = csfle__schema_parse(&s->caller_schema, CSFLE__LIT("AVRO"), csfle__str(s->schema_text), NULL, 0, 0, err);
    if (rc != CSFLE_OK) {
      if (rc != CSFLE_E_NOMEM) csfle__where(err, "csfle_serde_opts.schema");
      return rc;
    }
  }
  return read_options(s, err);
}

csfle_serde *csfle_serde_open(csfle_client *cl, const char *topic, const csfle_serde_opts *o, csfle_error *err)
{
  csfle_serde_opts opts = { 0 };
  csfle_error      local = CSFLE_ERROR_INIT;
  if (!cl) return NULL;
  if (!err) err = &local;
  if (o) memcpy(&opts, o, o->size < sizeof opts ? o->size : sizeof opts); /* only what the caller had */
  if (opts.role != CSFLE_VALUE && opts.role != CSFLE_KEY) {
    csfle__fail(err, CSFLE_E_MISUSE, "role is %d, expected CSFLE_VALUE or CSFLE_KEY", opts.role);
    return NULL;
  }
  csfle_serde *s = csfle__calloc(1, sizeof *s);
  if (!s) {
    csfle__nomem(err);
    return NULL;
  }
  s->client = cl;
  pthread_mutex_init(&s->lock, NULL);
  csfle__flights_init(&s->flights);
  csfle__cache_init(&s->readers, CSFLE__MAX_READERS);
  if (open_serde(s, topic, &opts, err) != CSFLE_OK) {
    serde_free(s);
    return NULL;
  }
  pthread_mutex_lock(&cl->lock);
  s->next = cl->serdes, cl->serdes = s;
  pthread_mutex_unlock(&cl->lock);
  csfle__ok(err);
  return s;
}

void csfle_serde_close(csfle_serde *s)
{
  if (!s) return;
  pthread_mutex_lock(&s->client->lock);
  for (csfle_serde **p = &s->client->serdes; *p; p = &(*p)->next)
    if (*p == s) {
      *p = s->next;
      break;
    }
  csfle__serde_tally(s, &s->ledger->closed); /* no call is under way */
  pthread_mutex_unlock(&s->client->lock);
  serde_free(s);
}
