/* One record into a Kafka payload. See serde.h. */
#include "client/serde/turns.h"
#include "client/wire/wire.h"

#include <stdatomic.h>

/* ---- which contract */

static csfle_status fetch_schema(csfle_serde *s, const csfle__use *old, csfle__registered **out, csfle_error *err)
{
  csfle__schema_want w = { .subject = csfle__str(s->subject), .id = s->use_id, .normalize = s->normalize, .fresh = old != NULL, .held = old ? old->order : 0 };
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
  csfle_status       rc = fetch_schema(s, old, &r, err);
  if (rc != CSFLE_OK) {
    if (old && CSFLE_CLASS(rc) == CSFLE_CLASS_WAIT && now - old->fetched_mono_ms < cl->latest_ttl_ms + cl->max_stale_ms) {
      csfle__log_line(&cl->rc.world.log, 4, "serde", "%s: the latest version cannot be asked for; going on with version %d", s->subject, (int)old->version);
      csfle__meter_tell(&cl->meter, &(csfle__event){ .event = CSFLE_EVENT_STALE, .subject = csfle__str(s->subject), .cause = err });
      rc = csfle__use_over(old->contract, old->fetched_mono_ms, now + CSFLE__RETRY_STALE_MS, true, out, err);
      if (rc == CSFLE_OK) (*out)->order = old->order;
    }
    return rc;
  }
  bool fixed = s->use_id >= 0 && !s->auto_register; /* an id never means anything else */
  if (old && same_version(old->contract->registered, r)) rc = csfle__use_over(old->contract, now, now + cl->latest_ttl_ms, false, out, err);
  else rc = csfle__use_make(s, r, CSFLE__ON_WRITE, out, err);
  if (rc == CSFLE_OK && old && old->contract->encrypt_bits && !(*out)->contract->encrypt_bits)
    csfle__log_line(&cl->rc.world.log, 3, "serde", "%s: version %d has no ENCRYPT rule, version %d had one; csfle.require.tags would refuse it", s->subject,
                    (int)(*out)->version, (int)old->version);
  if (rc == CSFLE_OK) (*out)->refresh_mono_ms = fixed ? INT64_MAX : now + cl->latest_ttl_ms, (*out)->order = r->order;
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
    if (old && old->contract != made->contract) csfle__serde_drop_keys(s); /* of rules that are no more */
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

static bool used_up(const csfle__key *k) { return k->track->uses >= CSFLE__MAX_GCM_USES; }

/* The limits a key that should have a successor may go on within. [ENC-106] [AB-12] */
static csfle_status may_write(const csfle_client *cl, const csfle__key *k, const csfle__due *d, bool rotating, int64_t wall, csfle_error *err)
{
#ifndef CSFLE_BREAK_OVERUSE
  if (used_up(k) && !cl->allow_overused)
    return csfle__fail(err, CSFLE_E_POLICY, "data key version %d has encrypted 2^32 values, the most that AES-GCM allows%s (csfle.allow.overused.keys permits more)",
                       (int)k->version, rotating ? ", and no next version can be made" : "; set encrypt.dek.expiry.days");
#endif
  if (rotating && cl->max_overdue_ms >= 0 && d->period_end_ms != INT64_MAX && wall - d->period_end_ms > cl->max_overdue_ms)
    return csfle__fail(err, CSFLE_E_POLICY, "data key version %d is past its period by more than csfle.rotation.max.overdue.ms, and no next version can be made",
                       (int)k->version);
  return CSFLE_OK;
}

/* The key that all threads of the serde share, retained; false when it must be fetched: *held is then its order, if there is one. */
static bool shared_key(csfle_serde *s, const csfle__contract *c, uint32_t i, int64_t wall, int64_t mono, csfle__key_got *out, uint64_t *held)
{
  bool    good = false;
  int64_t life = s->client->key_expiry_ms;
  pthread_mutex_lock(&s->lock);
  const csfle__write_key *w = &s->write_keys[i];
  const csfle__key       *k = w->contract == c->uid ? w->got.key : NULL;
  if (k) {
    csfle__slot as = { .key = w->got.key, .refresh_mono_ms = k->fetched_mono_ms + life / 5 * 4, .expires_mono_ms = k->fetched_mono_ms + life };
    if (k->order > *held) *held = k->order;
    good = csfle__slot_alive(&as, mono) && !csfle__slot_ageing(&as, mono) && !csfle__due_now(&w->got.due, wall, mono) &&
           (!used_up(k) || w->got.kept || !c->rules[i].params.expiry_days);
    if (good) *out = w->got, csfle__retain(&out->key->shared);
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

typedef struct flight_name {
  uint64_t contract, rule, epoch; /* who comes after keys were forgotten does not wait for what was asked for before */
} flight_name;

/*
 * Of the serde's threads one asks, and shares what it got before the others look. What the others wait for is not
 * handed over but looked up: a key has times beside it.
 */
static csfle_status fetch_key(csfle_serde *s, const csfle__contract *c, uint32_t i, int64_t wall, int64_t mono, csfle__key_want *want, csfle__key_got *got,
                              csfle_error *err)
{
  flight_name    name = { c->uid, i, s->client->ring.epoch };
  csfle__flight  flight;
  csfle__shared *none = NULL;
  csfle_status   rc = CSFLE_OK;
  if (shared_key(s, c, i, wall, mono, got, &want->held)) return CSFLE_OK;
  if (!csfle__flight_begin(&s->flights, &flight, csfle__view(&name, sizeof name), &none, &rc, err)) {
    if (rc != CSFLE_OK || shared_key(s, c, i, wall, mono, got, &want->held)) return rc;
    want->fresh = want->held != 0;
    return csfle__ring_get(&s->client->ring, want, got, err); /* it was forgotten at once, or lives for no time at all */
  }
  csfle_error local = CSFLE_ERROR_INIT;
  if (!shared_key(s, c, i, wall, mono, got, &want->held)) {
    want->fresh = want->held != 0;
    rc = csfle__ring_get(&s->client->ring, want, got, &local);
    if (rc == CSFLE_OK) share_key(s, c, i, got, name.epoch);
  }
  csfle__flight_end(&s->flights, &flight, NULL, rc, &local);
  if (rc != CSFLE_OK && err) *err = local;
  return rc;
}

/* Nobody answers: goes on with the key of @p t if it may. Past the grace a missing successor is told. */
static csfle_status go_on(csfle_serde *s, csfle__slot *t, bool rotating, bool due, bool grace, int64_t wall, csfle_error *err)
{
  csfle_client *cl = s->client;
  csfle_error   why = err ? *err : (csfle_error)CSFLE_ERROR_INIT;
  csfle_status  rc = why.code;
  if (due && may_write(cl, t->key, &t->due, rotating, wall, NULL) != CSFLE_OK) return rc;
  csfle__slot_stale(s, t, &why);
  if (due && !grace) {
    t->key->track->overdue = 1;
    csfle__meter_tell(&cl->meter, &(csfle__event){ .event = CSFLE_EVENT_ROTATION_OVERDUE, .kek = t->key->kek_name, .subject = t->key->subject, .cause = &why,
                                                   .algorithm = csfle__algorithm_name(t->key->algorithm), .version = t->key->version });
  }
  return CSFLE_OK;
}

csfle_status csfle__write_slot(csfle_serde *s, csfle__scratch *x, const csfle__contract *c, uint32_t i, csfle__slot **out, csfle_error *err)
{
  const csfle__contract_rule *r = &c->rules[i];
  csfle_client               *cl = s->client;
  bool                        rotating = r->params.expiry_days > 0;
  int64_t                     mono = csfle__client_mono(cl), wall = rotating ? csfle__client_wall(cl) : 0;
  csfle__slot                *t = csfle__slot_find(x, c->uid, i, 0);
  bool                        alive = t && csfle__slot_alive(t, mono), full = t && used_up(t->key);
  bool due = t && (csfle__due_now(&t->due, wall, mono) || (full && rotating && !t->kept)), ageing = t && csfle__slot_ageing(t, mono);
  *out = t;
  if (alive && !due && !ageing) return full || t->kept ? may_write(cl, t->key, &t->due, rotating, wall, err) : CSFLE_OK;
  /* nobody answered a moment ago */
  if (alive && !ageing && mono < t->key->track->retry_mono_ms && may_write(cl, t->key, &t->due, rotating, wall, NULL) == CSFLE_OK) return CSFLE_OK;
  /* due or ageing, but young enough to go on with while another thread asks */
  flight_name name = { c->uid, i, cl->ring.epoch };
  bool        grace = alive && !full && (!due || (t->due.wall_ms != INT64_MIN && wall - t->due.wall_ms < cl->grace_ms));
  if (grace && csfle__flight_going(&s->flights, csfle__view(&name, sizeof name))) return CSFLE_OK;
  csfle__key_want want = { .params = &r->params, .subject = csfle__str(s->subject), .write = true, .props = &r->props, .used_up = full };
  csfle__key_got  got;
  csfle_error     local = CSFLE_ERROR_INIT;
  if (!err) err = &local;
  if (t) want.held = t->key->order;
  csfle_status rc = fetch_key(s, c, i, wall, mono, &want, &got, err);
  if (CSFLE_CLASS(rc) == CSFLE_CLASS_WAIT && alive) return go_on(s, t, rotating, due, grace, wall, err);
  if (t && csfle__ring_lasting(rc)) t->key->refused = 1;
  if (rc != CSFLE_OK) return rc;
  if (used_up(got.key) || got.kept) rc = may_write(cl, got.key, &got.due, rotating, wall, err);
  if (rc == CSFLE_OK) return csfle__slot_make(s, x, c->uid, i, 0, &got, out, err);
  csfle__release(&got.key->shared);
  return rc;
}

/* ---- one rule */

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
  if (r->params.expiry_days && csfle__dek_expired(t->key->ts_ms, csfle__ring_now(&s->client->ring), r->params.expiry_days)) *flags |= CSFLE_INFO_STALE_KEY;
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
  if (a != CSFLE__AES256_SIV) t->uncounted += (uint32_t)n; /* it has no nonces to run out of */
  if (t->uncounted >= CSFLE__COUNT_BATCH) csfle__slot_count(s, t);
  if (rc == CSFLE_OK) csfle__tally_add(&x->tally.fields[r->tally][CSFLE__OP_WRITE][CSFLE__FIELDS_DONE], n);
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
  csfle__count_message(x, CSFLE__OP_WRITE, rc);
  csfle__scratch_give(s, x);
  if (rc == CSFLE_E_POLICY) csfle__meter_tell(&s->client->meter, &(csfle__event){ .event = CSFLE_EVENT_POLICY, .subject = csfle__str(s->subject), .cause = err });
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
