/* One record into a Kafka payload. See serde.h. */
#include "client/serde/turns.h"
#include "client/wire/wire.h"

#include <stdatomic.h>

#define RETRY_STALE_MS 5000

/* ---- which contract */

static csfle_status fetch_schema(csfle_serde *s, bool fresh, csfle__registered **out, csfle_error *err)
{
  csfle__schema_want w = { .subject = csfle__str(s->subject), .id = s->use_id, .normalize = s->normalize, .fresh = fresh };
  if (s->auto_register || (s->use_id < 0 && !s->use_latest)) {
    if (!s->schema_text)
      return csfle__fail(err, CSFLE_E_CONFIG, "which schema to write with? set use.latest.version=true or use.schema.id, or give csfle_serde_opts.schema");
    w.by = s->auto_register ? CSFLE__BY_REGISTER : CSFLE__BY_LOOKUP;
    w.text = csfle__str(s->schema_text);
  } else {
    w.by = s->use_id >= 0 ? CSFLE__BY_ID : CSFLE__BY_LATEST; /* [SERDE-48] */
  }
  csfle_status rc = csfle__client_schema(s->client, &w, out, err);
  if (rc != CSFLE_OK && rc != CSFLE_E_NOMEM) csfle__where(err, "%s", s->subject);
  return rc;
}

static bool same_version(const csfle__registered *a, const csfle__registered *b)
{
  return a == b || (a->info->id == b->info->id && a->info->version == b->info->version);
}

/* What to go on with: a new use; or @p old again while the registry cannot be reached and it is not too old. [SERDE-170] [SERDE-171] */
static csfle_status make_use(csfle_serde *s, csfle__use *old, csfle__use **out, csfle_error *err)
{
  csfle_client      *cl = s->client;
  csfle__registered *r = NULL;
  int64_t            now = csfle__client_mono(cl);
  csfle_status       rc = fetch_schema(s, old != NULL, &r, err);
  if (rc != CSFLE_OK) {
    if (old && CSFLE_CLASS(rc) == CSFLE_CLASS_WAIT && now - old->fetched_mono_ms < cl->latest_ttl_ms + cl->max_stale_ms) {
      csfle__log_line(&cl->rc.world.log, 4, "serde", "%s: the latest version cannot be asked for; going on with version %d", s->subject, (int)old->version);
      return csfle__use_over(old->contract, old->fetched_mono_ms, now + RETRY_STALE_MS, true, out, err);
    }
    return rc;
  }
  bool fixed = s->use_id >= 0 && !s->auto_register; /* an id never means anything else */
  if (old && same_version(old->contract->registered, r)) rc = csfle__use_over(old->contract, now, now + cl->latest_ttl_ms, false, out, err);
  else rc = csfle__use_make(s, r, CSFLE__ON_WRITE, out, err);
  if (rc == CSFLE_OK && old && old->contract->encrypt_bits && !(*out)->contract->encrypt_bits)
    csfle__log_line(&cl->rc.world.log, 3, "serde", "%s: version %d has no ENCRYPT rule, version %d had one; csfle.require.tags would refuse it", s->subject,
                    (int)(*out)->version, (int)old->version);
  if (rc == CSFLE_OK) (*out)->refresh_mono_ms = fixed ? INT64_MAX : now + cl->latest_ttl_ms;
  csfle__release(&r->shared);
  return rc;
}

/* Retained for the caller; *generation is that of the use. */
static csfle_status shared_use(csfle_serde *s, csfle__use **out, uint64_t *generation, csfle_error *err)
{
  int64_t     now = csfle__client_mono(s->client);
  csfle__use *old, *made = NULL;
  pthread_mutex_lock(&s->lock);
  old = s->write;
  *generation = s->write_generation;
  if (old) csfle__retain(&old->shared);
  /* one thread refreshes, the others go on */
  bool good = old && (now < old->refresh_mono_ms || (s->refreshing && now - old->fetched_mono_ms < s->client->latest_ttl_ms + s->client->max_stale_ms));
  if (!good) s->refreshing = true;
  pthread_mutex_unlock(&s->lock);
  if (good) {
    *out = old;
    return CSFLE_OK;
  }
  csfle_status rc = make_use(s, old, &made, err);
  pthread_mutex_lock(&s->lock);
  s->refreshing = false;
  csfle__use *drop = NULL;
  if (rc == CSFLE_OK && s->write != old) { /* another thread was faster: one contract for all, so that keys are shared */
    drop = made, made = s->write;
    csfle__retain(&made->shared);
  } else if (rc == CSFLE_OK) {
    drop = s->write, s->write = made;
    s->write_generation++;
    csfle__retain(&made->shared);
  }
  *generation = s->write_generation;
  *out = made;
  pthread_mutex_unlock(&s->lock);
  if (drop) csfle__release(&drop->shared);
  if (old) csfle__release(&old->shared);
  return rc;
}

csfle_status csfle__write_use(csfle_serde *s, csfle__scratch *x, const csfle__use **out, csfle_error *err)
{
  /* the usual way touches nothing that another thread writes */
  if (!x->write || x->write_generation != s->write_generation || csfle__client_mono(s->client) >= x->write->refresh_mono_ms) {
    csfle__use  *u = NULL;
    uint64_t     generation;
    csfle_status rc = shared_use(s, &u, &generation, err);
    if (rc != CSFLE_OK) return rc;
    if (x->write) csfle__release(&x->write->shared);
    x->write = u, x->write_generation = generation;
  }
  *out = x->write;
  return CSFLE_OK;
}

/* ---- which key */

static bool due(int64_t wall, int64_t mono, int64_t due_wall, int64_t due_mono) { return wall >= due_wall && mono >= due_mono; }

static bool used_up(const csfle__key *k)
{
  return k->algorithm != CSFLE__AES256_SIV && k->track->uses >= CSFLE__MAX_GCM_USES;
}

/* The key that all threads of the serde share, retained; false when it must be fetched. */
static bool shared_key(csfle_serde *s, const csfle__contract *c, uint32_t i, int64_t wall, int64_t mono, csfle__key_got *out, bool *had)
{
  bool good = false;
  pthread_mutex_lock(&s->lock);
  csfle__write_key *k = &s->write_keys[i];
  if (k->got.key && k->contract == c->uid) {
    *had = true;
    good = !due(wall, mono, k->got.due_wall_ms, k->got.due_mono_ms) && mono < k->got.key->fetched_mono_ms + s->client->key_expiry_ms && !used_up(k->got.key);
    if (good) *out = k->got, csfle__retain(&k->got.key->shared);
  }
  pthread_mutex_unlock(&s->lock);
  return good;
}

static void share_key(csfle_serde *s, const csfle__contract *c, uint32_t i, const csfle__key_got *got, uint64_t epoch)
{
  csfle__key *drop = NULL;
  pthread_mutex_lock(&s->lock);
  if (s->client->ring.epoch == epoch) { /* not when keys were forgotten meanwhile */
    drop = s->write_keys[i].got.key;
    s->write_keys[i] = (csfle__write_key){ c->uid, i, *got };
    csfle__retain(&got->key->shared);
  }
  pthread_mutex_unlock(&s->lock);
  if (drop) csfle__release(&drop->shared);
}

csfle_status csfle__write_slot(csfle_serde *s, csfle__scratch *x, const csfle__contract *c, uint32_t i, csfle__slot **out, csfle_error *err)
{
  const csfle__contract_rule *r = &c->rules[i];
  csfle_client               *cl = s->client;
  int64_t                     mono = csfle__client_mono(cl), wall = r->params.expiry_days ? csfle__client_wall(cl) : 0;
  uint64_t                    epoch = cl->ring.epoch;
  csfle__slot                *t = csfle__slot_find(x, c->uid, i, 0);
  bool                        rotating = r->params.expiry_days > 0, had = t != NULL, full = t && used_up(t->key);
  bool alive = t && mono < t->expires_mono_ms, old = t && due(wall, mono, t->due_wall_ms, t->due_mono_ms);
  if (alive && !old && !full) {
    *out = t;
    return CSFLE_OK;
  }
  csfle__key_want want = { .params = &r->params, .subject = csfle__str(s->subject), .write = true, .props = &r->props };
  csfle__key_got  got;
  csfle_status    rc = CSFLE_OK;
  /* past its age, but young enough to go on with while another thread makes the next one */
  bool grace = alive && old && !full && t->due_wall_ms != INT64_MIN && wall - t->due_wall_ms < cl->grace_ms;
  if (grace && csfle__ring_name(&x->tmp, &want, -1, false, NULL) == CSFLE_OK && csfle__flight_going(&cl->ring.flights, csfle__buf_view(&x->tmp))) {
    *out = t;
    return CSFLE_OK;
  }
  if (!shared_key(s, c, i, wall, mono, &got, &had)) {
    want.fresh = had, want.used_up = full;
    rc = csfle__ring_get(&cl->ring, &want, &got, err);
    if (CSFLE_CLASS(rc) == CSFLE_CLASS_WAIT && grace) {
      *out = t;
      return CSFLE_OK;
    }
    if (rc != CSFLE_OK) return rc;
    if (used_up(got.key)) {
      csfle__release(&got.key->shared);
      return csfle__fail(err, CSFLE_E_POLICY, "data key version %d has encrypted 2^32 values, the most that AES-GCM allows%s", (int)got.key->version,
                         rotating ? "" : "; set encrypt.dek.expiry.days");
    }
    share_key(s, c, i, &got, epoch);
  }
  return csfle__slot_make(s, x, c->uid, i, 0, &got, out, err);
}

/* ---- one rule */

static void count_uses(const csfle_serde *s, csfle__slot *t, size_t n)
{
  t->uncounted += (uint32_t)n;
  if (t->uncounted < CSFLE__COUNT_BATCH) return;
  uint64_t add = t->uncounted, before = atomic_fetch_add(&t->key->track->uses, add);
  t->uncounted = 0;
  if (before < CSFLE__MAX_GCM_USES / 2 && before + add >= CSFLE__MAX_GCM_USES / 2 && t->key->algorithm != CSFLE__AES256_SIV)
    csfle__log_line(&s->client->rc.world.log, 4, "encrypt", "data key version %d of KEK %.*s has encrypted 2^31 values here; 2^32 is the most",
                    (int)t->key->version, CSFLE__FMT(t->key->kek_name));
}

static csfle_status seal_all(csfle_serde *s, csfle__scratch *x, const csfle__contract *c, uint32_t i, csfle__bytes in, uint32_t *flags, csfle_error *err)
{
  const csfle__contract_rule *r = &c->rules[i];
  const csfle__leaf          *leaves = c->plan->leaves;
  size_t                      n = 0, need = 0;
  csfle__slot                *t;
  if (r->broken.code) {
    if (err) *err = r->broken;
    return r->broken.code;
  }
  for (size_t k = 0; k < x->walk.count; k++) {
    const csfle__span *sp = &x->walk.spans[k];
    const csfle__leaf *l = &leaves[sp->leaf];
    if (sp->kind || !(l->rules & r->bit) || l->type == CSFLE__LEAF_NULL) continue;
    if (l->type != CSFLE__LEAF_STRING && l->type != CSFLE__LEAF_BYTES) {
      csfle_status rc = csfle__fail(err, CSFLE_E_TYPE, "Type '%s' not supported for encryption", csfle__leaf_type_name(l->type));
      if (err) err->offset = sp->head;
      csfle__where(err, "%.*s", CSFLE__FMT(l->name));
      return rc;
    }
    n++;
  }
  if (!n) return CSFLE_OK; /* nothing to encrypt costs no key [ENC-33] */
  csfle_status rc = csfle__write_slot(s, x, c, i, &t, err);
  if (rc != CSFLE_OK) return rc;
  if (csfle__dek_expired(t->key->ts_ms, r->params.expiry_days ? csfle__client_wall(s->client) : 0, r->params.expiry_days)) *flags |= CSFLE_INFO_STALE_KEY;
  int32_t          version = r->params.expiry_days > 0 ? t->key->version : 0;
  csfle__algorithm a = t->key->algorithm;
  for (size_t k = 0; k < x->walk.count; k++) {
    const csfle__leaf *l = &leaves[x->walk.spans[k].leaf];
    if (!x->walk.spans[k].kind && l->rules & r->bit && l->type != CSFLE__LEAF_NULL)
      need += csfle__field_sealed_len(a, version, l->type == CSFLE__LEAF_STRING, csfle__current(x, in, k).len);
  }
  csfle_buf *b = &x->pass[i];
  csfle__buf_clear(b);
  rc = csfle__buf_reserve(b, need, err);
  for (size_t k = 0; k < x->walk.count && rc == CSFLE_OK; k++) {
    const csfle__span *sp = &x->walk.spans[k];
    const csfle__leaf *l = &leaves[sp->leaf];
    if (sp->kind || !(l->rules & r->bit) || l->type == CSFLE__LEAF_NULL) continue;
    bool         text = l->type == CSFLE__LEAF_STRING;
    csfle__bytes plain = csfle__current(x, in, k);
    size_t       len = csfle__field_sealed_len(a, version, text, plain.len);
    rc = csfle__field_seal(t->cipher, x->nonces, version, text, plain, &x->tmp, b->ptr + b->len, err);
    if (rc != CSFLE_OK) {
      if (rc != CSFLE_E_NOMEM) csfle__where(err, "%.*s", CSFLE__FMT(l->name));
      if (err) err->offset = sp->off;
      break;
    }
    x->repl[k] = (csfle__replacement){ csfle__view(b->ptr + b->len, len), false };
    x->state[k] = CSFLE__SPAN_SEALED;
    b->len += len;
  }
  count_uses(s, t, n);
  return rc;
}

/* The operator's pin holds whatever a rule's onFailure says. [AB-2] */
static csfle_status check_required(const csfle__scratch *x, const csfle__contract *c, csfle_error *err)
{
#ifndef CSFLE_BREAK_NO_POLICY
  for (size_t k = 0; c->has_required && k < x->walk.count; k++) {
    const csfle__leaf *l = &c->plan->leaves[x->walk.spans[k].leaf];
    if (x->walk.spans[k].kind || !l->required || l->type == CSFLE__LEAF_NULL || x->state[k] == CSFLE__SPAN_SEALED) continue;
    csfle_status rc = csfle__fail(err, CSFLE_E_POLICY, "csfle.require.tags: the field would be written in clear");
    csfle__where(err, "%.*s", CSFLE__FMT(l->name));
    return rc;
  }
#else
  (void)x, (void)c, (void)err;
#endif
  return CSFLE_OK;
}

/* ---- the call */

static csfle_status to_native(csfle_serde *s, csfle__scratch *x, const csfle__contract *c, int form, csfle__bytes in, csfle__bytes *out, csfle_error *err)
{
  if (form == CSFLE_NATIVE) {
    /* whose layout are these bytes? the wrong one would encrypt the wrong field [AB-1] */
    if (!s->caller_schema)
      return csfle__fail(err, CSFLE_E_MISUSE, "native Avro bytes need csfle_serde_opts.schema: the schema they were written with");
    if (c->layout != CSFLE_OK) {
      if (err) *err = c->layout_err, err->where[0] = 0;
      return c->layout;
    }
    *out = in;
    return c->resolution ? csfle__scratch_resolve(x, c->resolution, in, false, &x->resolved, out, err) : CSFLE_OK;
  }
  csfle__buf_clear(&x->native);
  csfle_status rc = csfle__value_from_json(c->schema, in, &x->native, err);
  *out = csfle__buf_view(&x->native);
  return rc;
}

/* top-level bytes go without their length [SERDE-18] */
static csfle__bytes without_length(csfle__bytes v)
{
  size_t i = 0;
  while (i < v.len && v.ptr[i] & 0x80) i++;
  return csfle__from(v, i + 1);
}

static csfle_status write_record(csfle_serde *s, csfle__scratch *x, const csfle__use *u, int form, csfle__bytes in, csfle_buf *out,
                                 csfle_info *info, csfle_error *err)
{
  const csfle__contract *c = u->contract;
  csfle__bytes           native, body;
  uint64_t               failed = 0;
  uint32_t               flags = 0, encrypted = 0;
  uint8_t                prefix[CSFLE__WIRE_V0_BYTES];
  csfle_status           rc = to_native(s, x, c, form, in, &native, err);
  if (rc == CSFLE_OK) rc = csfle__plan_walk(c->plan, native, &x->walk, err);
  if (rc == CSFLE_OK && x->walk.consumed != native.len) {
    rc = csfle__fail(err, CSFLE_E_DATUM, "%zu bytes follow the value", native.len - x->walk.consumed);
    if (err) err->offset = x->walk.consumed;
  }
  if (rc == CSFLE_OK) rc = csfle__scratch_ready(x, c->rule_count, err);
  if (rc == CSFLE_OK) rc = csfle__run_rules(s, x, c, seal_all, &native, &failed, &flags, err);
  if (rc == CSFLE_OK) rc = check_required(x, c, err);
  if (rc == CSFLE_OK) rc = csfle__scratch_splice(x, c->plan, native, &body, err);
  if (rc != CSFLE_OK) return rc;
  if (c->bare_bytes) body = without_length(body);
  for (size_t k = 0; k < x->walk.count; k++) encrypted += !x->walk.spans[k].kind && x->state[k] == CSFLE__SPAN_SEALED;
  csfle__wire_prefix(u->schema_id, prefix);
  rc = csfle__emit(out, csfle__view(prefix, sizeof prefix), body, err);
  if (rc == CSFLE_OK) csfle__info_fill(info, s, u, encrypted, 0, 0, flags);
  return rc;
}

csfle_status csfle_serialize(csfle_serde *s, int form, const void *in, size_t len, const csfle_headers *h, csfle_buf *out,
                             csfle_info *info, csfle_error *err)
{
  csfle__scratch   *x;
  const csfle__use *u = NULL;
  (void)h; /* the prefix says the schema; nothing is added to the headers */
  if (!s) return err && err->code ? err->code : CSFLE_E_MISUSE;
  if (!out || (form != CSFLE_JSON && form != CSFLE_NATIVE)) return csfle__fail(err, CSFLE_E_MISUSE, "a buffer and a form are needed");
  csfle__buf_clear(out);
  if (!in) {
    csfle__info_fill(info, s, NULL, 0, 0, 0, 0);
    return csfle__ok(err);
  }
  csfle_status rc = csfle__scratch_take(s, &x, err);
  if (rc != CSFLE_OK) return csfle__finish(out, rc, err);
  rc = csfle__write_use(s, x, &u, err);
  if (rc == CSFLE_OK) {
    rc = write_record(s, x, u, form, csfle__view(in, len), out, info, err);
    if (rc != CSFLE_OK && rc != CSFLE_E_NOMEM) csfle__contract_where(u->contract->registered, err);
  }
  csfle__scratch_give(s, x);
  return csfle__finish(out, rc, err);
}

static csfle_status prepare(csfle_serde *s, csfle_error *err)
{
  csfle__scratch   *x;
  const csfle__use *u = NULL;
  csfle_status      rc = csfle__scratch_take(s, &x, err);
  if (rc != CSFLE_OK) return rc;
  rc = csfle__write_use(s, x, &u, err);
  for (uint32_t i = 0; rc == CSFLE_OK && i < u->contract->rule_count; i++) {
    const csfle__contract_rule *r = &u->contract->rules[i];
    csfle__slot                *t;
    if (!csfle__rule_encrypts(&r->active) || r->broken.code) continue; /* it would have failed already, had its onFailure not been NONE */
    rc = csfle__write_slot(s, x, u->contract, i, &t, err);
    if (rc != CSFLE_OK && r->active.on_failure == CSFLE__ACTION_NONE && CSFLE_CLASS(rc) != CSFLE_CLASS_WAIT && rc != CSFLE_E_NOMEM) rc = CSFLE_OK;
    if (rc != CSFLE_OK && rc != CSFLE_E_NOMEM) {
      csfle__where(err, "%.*s", CSFLE__FMT(r->active.rule->name));
      csfle__contract_where(u->contract->registered, err);
    }
  }
  csfle__scratch_give(s, x);
  return rc == CSFLE_OK ? csfle__ok(err) : rc;
}

csfle_status csfle_serde_prepare(csfle_serde *s, csfle_ready_fn fn, void *opaque, csfle_error *err)
{
  csfle_error local = CSFLE_ERROR_INIT;
  if (!s) return err && err->code ? err->code : CSFLE_E_MISUSE;
  csfle_status rc = prepare(s, err ? err : &local);
  if (!fn) return rc;
  fn(opaque, rc, err ? err : &local);
  return csfle__ok(err);
}
