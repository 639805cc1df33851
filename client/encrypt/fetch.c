/* Finding or making a data key, as encryption-and-kms.md 3.4 and 3.5 say: registry and KMS calls in one machine. See ring.h. */
#include "client/encrypt/ring.h"
#include "core/base/alloc.h"
#include "core/base/base64.h"
#include "core/crypt/material.h"

#include <stdatomic.h>
#include <stdio.h>

#define SWEEP_MS 60000

static void destroy_kek(csfle__shared *s)
{
  csfle__shared_kek *k = (csfle__shared_kek *)s;
  csfle__kek_free(k->kek);
  csfle__free(k);
}

static void destroy_key(csfle__shared *s)
{
  csfle__key *k = (csfle__key *)s;
  csfle__secret_wipe(&k->raw);
  if (k->kek) csfle__release(&k->kek->shared);
  csfle__free(k);
}

void csfle__key_fetch_init(csfle__key_fetch *f, csfle__ring *r, const csfle__key_want *w)
{
  memset(f, 0, sizeof *f);
  f->started_mono_ms = csfle__mono_ms(&r->rc->world), f->epoch = r->epoch;
  f->ring = r, f->want = w, f->context = csfle__subject_parse(w->subject).context;
  csfle__rc_call_init(&f->call, "GET");
  csfle_buf_init(&f->name, 0, 0);
  csfle_buf_init(&f->base64, 0, 0);
  csfle_buf_init(&f->wrapped, 0, 0);
  f->io = &f->call.io;
}

/* @p st: how the call ended */
static void close_kms(csfle__key_fetch *f, csfle_status st)
{
  if (f->kms_open) csfle__kms_call_free(&f->kms_call);
  csfle__kms_give(&f->ring->kms, f->kms, st);
  f->kms = NULL, f->kms_open = false;
}

void csfle__key_fetch_free(csfle__key_fetch *f)
{
  close_kms(f, CSFLE_OK);
  csfle__rc_call_free(&f->call);
  if (f->kek) csfle__release(&f->kek->shared);
  csfle__dek_free(f->dek);
  if (f->key) csfle__release(&f->key->shared);
  csfle_buf_free(&f->name);
  csfle_buf_free(&f->base64);
  csfle_buf_free(&f->wrapped);
  csfle__secret_wipe(&f->material);
}

/* "<what>: <cause>", class and numbers kept */
static csfle__next wrap_error(csfle_error *err, const char *what, csfle__bytes name)
{
  if (err && err->code != CSFLE_E_NOMEM) {
    char cause[sizeof err->msg];
    memcpy(cause, err->msg, sizeof cause);
    snprintf(err->msg, sizeof err->msg, "%s %.*s: %.250s", what, name.len > 64 ? 64 : (int)name.len, (const char *)name.ptr, cause);
    if (err->code == CSFLE_E_SCHEMA) err->code = CSFLE_E_RULE;
  }
  return CSFLE__FAIL;
}

static int http_of(const csfle_error *err) { return err ? err->http : 0; }
static csfle_status code_of(const csfle_error *err) { return err ? err->code : CSFLE_OK; }

/* ---- policy */

static bool allowed_name(csfle__bytes list, csfle__bytes name)
{
  csfle__bytes item;
  if (!csfle__trim(list).len) return true;
  while (csfle__list_take(&list, &item)) {
    if (csfle__eq(item, name)) return true;
    if (item.ptr[item.len - 1] == '*' && csfle__starts(name, csfle__view(item.ptr, item.len - 1))) return true;
  }
  return false;
}

static csfle_status check_policy(const csfle__key_fetch *f, csfle_error *err)
{
  const csfle__encrypt_params *p = f->want->params;
  const char                  *algorithm = csfle__algorithm_name(p->algorithm);
  if (!allowed_name(f->ring->o.allow_keks, p->kek_name))
    return csfle__fail(err, CSFLE_E_POLICY, "KEK '%.*s' is not among csfle.allow.keks", CSFLE__FMT(p->kek_name));
  if (!allowed_name(f->ring->o.allow_algorithms, csfle__str(algorithm)))
    return csfle__fail(err, CSFLE_E_POLICY, "%s is not among csfle.allow.algorithms", algorithm);
  return CSFLE_OK;
}

/* ---- caches */

static int64_t lifetime_ms(const csfle__ring *r)
{
  return r->o.expiry_ms >= 0 && r->o.expiry_ms < r->o.max_age_ms ? r->o.expiry_ms : r->o.max_age_ms;
}

/* A key that nobody asks for any more is wiped too, some time after its age. */
static void sweep(csfle__ring *r)
{
  int64_t now = csfle__mono_ms(&r->rc->world), last = r->swept_mono_ms;
  if (now - last < SWEEP_MS || !atomic_compare_exchange_strong(&r->swept_mono_ms, &last, now)) return;
  csfle__cache_sweep(&r->deks, now);
  csfle__cache_sweep(&r->keks, now);
}

/* Not what was asked for before keys were forgotten. */
static void keep(csfle__key_fetch *f, csfle__cache *c, csfle__shared *s, int64_t expires_ms)
{
  csfle__cache_put_while(c, csfle__buf_view(&f->name), s, expires_ms, &f->ring->epoch, f->epoch);
}

static csfle_status kek_name(csfle__key_fetch *f, csfle_error *err)
{
  csfle__bytes kek = f->want->params->kek_name;
  csfle__buf_clear(&f->name);
  csfle_status rc = csfle__buf_put(&f->name, f->context.ptr, f->context.len, err);
  if (rc == CSFLE_OK) rc = csfle__buf_printf(&f->name, err, "%c%d%c", 0, !f->want->write, 0);
  return rc == CSFLE_OK ? csfle__buf_put(&f->name, kek.ptr, kek.len, err) : rc;
}

static csfle_status take_kek(csfle__key_fetch *f, csfle_error *err)
{
  yyjson_val        *root = f->call.doc ? yyjson_doc_get_root(f->call.doc) : NULL;
  csfle__kek        *kek = NULL;
  csfle_status       rc = yyjson_is_obj(root) ? csfle__kek_parse(&kek, root, err) : csfle__fail(err, CSFLE_E_RULE, "the registry's answer is no KEK");
  csfle__shared_kek *s = rc == CSFLE_OK ? csfle__alloc(sizeof *s) : NULL;
  if (rc != CSFLE_OK) return rc;
  if (!s) {
    csfle__kek_free(kek);
    return csfle__nomem(err);
  }
  csfle__shared_init(&s->shared, destroy_kek);
  s->shared.bytes = sizeof *s + sizeof *kek;
  s->kek = kek, f->kek = s, s->fetched_mono_ms = f->started_mono_ms;
  rc = kek_name(f, err);
  /* half a lifetime: DEKs that are fetched under it live as long from its time on, not from theirs */
  if (rc == CSFLE_OK) keep(f, &f->ring->keks, &s->shared, f->started_mono_ms + lifetime_ms(f->ring) / 2);
  return rc;
}

/* Only a complete record counts: one without encryptedKeyMaterial is absent [ENC-75]. */
static csfle_status take_dek(csfle__key_fetch *f, int32_t asked, csfle_error *err)
{
  yyjson_val  *root = f->call.doc ? yyjson_doc_get_root(f->call.doc) : NULL;
  csfle__dek  *dek = NULL;
  csfle_status rc = yyjson_is_obj(root) ? csfle__dek_parse(&dek, root, err) : csfle__fail(err, CSFLE_E_RULE, "the registry's answer is no DEK");
  if (rc != CSFLE_OK) return rc;
  if (!dek->encrypted_key_material.len) {
    csfle__dek_free(dek);
    return CSFLE_OK;
  }
  if (dek->algorithm != f->want->params->algorithm || dek->version < 1 || (asked > 0 && dek->version != asked)) {
    csfle__fail(err, CSFLE_E_RULE, "the registry answered with DEK version %d %s, asked for %d %s", (int)dek->version,
                csfle__algorithm_name(dek->algorithm), (int)asked, csfle__algorithm_name(f->want->params->algorithm));
    csfle__dek_free(dek);
    return CSFLE_E_RULE;
  }
  csfle__dek_free(f->dek);
  f->dek = dek;
  return CSFLE_OK;
}

static void drop_latest(csfle__key_fetch *f)
{
  for (int deleted = 0; deleted < 2; deleted++)
    if (csfle__ring_name(&f->name, f->want, -1, deleted, NULL) == CSFLE_OK) csfle__cache_drop(&f->ring->deks, csfle__buf_view(&f->name));
}

/* ---- the KMS, primary key id and alternates in turn */

/* A KEK's kmsProps come from the registry: only names that can do no harm, and those the operator allows, reach a driver. [ENC-80] */
static bool prop_allowed(const csfle__key_fetch *f, const char *name)
{
  csfle__bytes list = f->ring->o.allow_kms_props, item;
  if (strcmp(name, "encrypt.alternate.kms.key.ids") == 0 || strcmp(name, "encrypt.azure.key.version.save") == 0) return true;
  while (csfle__list_take(&list, &item))
    if (csfle__eq_str(item, name)) return true;
  return false;
}

static const char *get_prop(void *opaque, const char *name)
{
  csfle__key_fetch *f = opaque;
  csfle__bytes      v = prop_allowed(f, name) ? csfle__pairs_get(&f->kek->kek->kms_props, name) : CSFLE__NONE;
  if (v.ptr) return (const char *)v.ptr; /* the arena's copies end with NUL */
  return f->want->props && f->want->props->get ? f->want->props->get(f->want->props->opaque, name) : NULL;
}

/* What the operator alone has set: which hosts may be called, endpoints of their own. [AB-8] */
static const char *own_prop(void *opaque, const char *name)
{
  csfle__key_fetch *f = opaque;
#ifdef CSFLE_BREAK_KEK_ALLOWS_ITSELF
  csfle__bytes said = csfle__pairs_get(&f->kek->kek->kms_props, name);
  if (said.ptr) return (const char *)said.ptr;
#endif
  return csfle__kms_prop(f->want->props, name);
}

static csfle_status open_kms(csfle__key_fetch *f, csfle_error *err)
{
  csfle__kms_props props = { get_prop, f, own_prop };
  close_kms(f, CSFLE_OK);
  csfle_status rc = csfle__kms_take(&f->ring->kms, &f->kms, f->kek->kek->kms_type, f->key_id, &props, err);
  if (rc != CSFLE_OK) return rc;
  csfle__kms_call_init(&f->kms_call, f->unwrap, f->kms_in);
  f->kms_call.timeout_ms = f->ring->o.kms_timeout_ms;
  f->kms_open = true;
  return CSFLE_OK;
}

static csfle__next step_kms(csfle__key_fetch *f, csfle_error *err)
{
  f->kms_call.now_ms = csfle__wall_ms(&f->ring->rc->world);
  f->kms_call.mono_ms = csfle__mono_ms(&f->ring->rc->world);
  f->io = &f->kms_call.io;
  return csfle__kms_step(f->kms, &f->kms_call, err);
}

static csfle__next step_rc(csfle__key_fetch *f, csfle_error *err)
{
  f->io = &f->call.io;
  csfle__next next = csfle__rc_step(f->ring->rc, &f->call, err);
  if (next == CSFLE__DONE || next == CSFLE__FAIL) csfle__ring_heard(f->ring, csfle__buf_view(&f->call.io.reply.headers));
  return next;
}

/* Result in kms_call.out until close_kms. First success wins; access denied is the failure that is told, else the last. */
csfle__next csfle__key_fetch_kms(csfle__key_fetch *f, csfle_error *err)
{
  csfle__next next;
  switch (f->kms_line) {
  case 0:
    f->key_id = f->kek->kek->kms_key_id;
    f->alternates = csfle__str(get_prop(f, "encrypt.alternate.kms.key.ids"));
    f->kms_err.code = CSFLE_OK;
    for (;;) {
      if (open_kms(f, err) == CSFLE_OK) {
        f->kms_line = 1;
        __attribute__((fallthrough));
  case 1:
        next = step_kms(f, err);
        if (next != CSFLE__FAIL) {
          if (next == CSFLE__DONE) f->kms_line = 0;
          return next;
        }
        close_kms(f, code_of(err));
      }
      if (err && (CSFLE_CLASS(f->kms_err.code) != CSFLE_CLASS_DENIED || f->kms_err.code == CSFLE_OK)) f->kms_err = *err;
      csfle__log_line(&f->ring->rc->world.log, 6, "kms", "a key id of KEK %.*s could not %s a data key", CSFLE__FMT(f->want->params->kek_name),
                      f->unwrap ? "unwrap" : "wrap");
      if (!csfle__list_take(&f->alternates, &f->key_id)) break;
    }
    break;
  default: break;
  }
  f->kms_line = 0;
  if (err) *err = f->kms_err;
  return CSFLE__FAIL;
}

/* ---- making one */

static csfle_status start_wrap(csfle__key_fetch *f, csfle_error *err)
{
  csfle__secret raw = CSFLE__SECRET_INIT;
  csfle_status  rc = csfle__dek_generate(f->want->params->algorithm, &raw, err);
  if (rc == CSFLE_OK) rc = csfle__dek_encode(f->want->params->algorithm, &raw, &f->material, err);
  csfle__secret_wipe(&raw);
  f->unwrap = false, f->kms_in = csfle__secret_view(&f->material);
  return rc;
}

static csfle_status end_wrap(csfle__key_fetch *f, csfle_error *err)
{
  csfle__bytes w = csfle__secret_view(&f->kms_call.out);
  csfle__buf_clear(&f->base64);
  csfle_status rc = csfle__buf_reserve(&f->base64, csfle__base64_len(w.len), err);
  if (rc == CSFLE_OK) {
    csfle__base64_encode(w, (char *)f->base64.ptr);
    f->base64.len = csfle__base64_len(w.len);
  }
  close_kms(f, CSFLE_OK);
  csfle__secret_wipe(&f->material); /* what counts is what the registry keeps and the KMS unwraps [3.5] */
  return rc;
}

static csfle_status create_request(csfle__key_fetch *f, bool old_path, csfle_error *err)
{
  const csfle__encrypt_params *p = f->want->params;
  return csfle__dek_create_request(&f->call, p->kek_name, f->want->subject, f->new_version, p->algorithm,
                                   csfle__buf_view(&f->base64), old_path, err);
}

static csfle_status get_request(csfle__key_fetch *f, csfle_error *err)
{
  const csfle__encrypt_params *p = f->want->params;
  return csfle__dek_get_request(&f->call, p->kek_name, f->want->subject, csfle__want_version(f->want), p->algorithm, !f->want->write, err);
}

/* ---- the plain key */

static csfle_status start_unwrap(csfle__key_fetch *f, csfle_error *err)
{
  csfle__bytes text = f->dek->encrypted_key_material;
  csfle__buf_clear(&f->wrapped);
  csfle_status rc = csfle__buf_reserve(&f->wrapped, text.len / 4 * 3 + 3, err);
  if (rc != CSFLE_OK) return rc;
  if (!csfle__base64_decode(text, f->wrapped.ptr, &f->wrapped.len))
    return csfle__fail(err, CSFLE_E_DECRYPT, "encryptedKeyMaterial of DEK version %d is not base64", (int)f->dek->version);
  f->unwrap = true, f->kms_in = csfle__buf_view(&f->wrapped);
  return CSFLE_OK;
}

static csfle_status finish(csfle__key_fetch *f, csfle__bytes material, csfle_error *err)
{
  const csfle__key_want       *w = f->want;
  const csfle__encrypt_params *p = w->params;
  csfle__key                  *k = csfle__calloc(1, sizeof *k + p->kek_name.len + w->subject.len);
  if (!k) return csfle__nomem(err);
  csfle__shared_init(&k->shared, destroy_key);
  k->shared.bytes = sizeof *k + p->kek_name.len + w->subject.len + csfle__algorithm_key_bytes(p->algorithm);
  uint8_t *names = (uint8_t *)(k + 1);
  memcpy(names, p->kek_name.ptr, p->kek_name.len);
  if (w->subject.len) memcpy(names + p->kek_name.len, w->subject.ptr, w->subject.len);
  k->kek_name = csfle__view(names, p->kek_name.len), k->subject = csfle__view(names + p->kek_name.len, w->subject.len);
  k->algorithm = p->algorithm, k->version = f->dek->version, k->ts_ms = f->dek->ts;
  k->fetched_mono_ms = f->kek->fetched_mono_ms < f->started_mono_ms ? f->kek->fetched_mono_ms : f->started_mono_ms;
  k->track = csfle__ring_track(f->ring, p->kek_name, w->subject, p->algorithm, k->version);
  k->order = ++f->ring->fetches;
  k->kek = f->kek;
  csfle__retain(&f->kek->shared);
  csfle_status rc = k->track ? csfle__dek_decode(p->algorithm, material, &k->raw, err) : csfle__nomem(err);
  size_t       need = csfle__algorithm_key_bytes(p->algorithm);
  /* the other GCM size opens what is there, and encrypts nothing new [ENC-6] */
  if (rc == CSFLE_OK && w->write && k->raw.len != need)
    rc = csfle__fail(err, CSFLE_E_DECRYPT, "data key is %zu bytes, expected %zu", k->raw.len, need);
  if (rc == CSFLE_OK) rc = csfle__ring_name(&f->name, w, f->created || f->kept_old ? k->version : csfle__want_version(w), !w->write, err);
  if (rc != CSFLE_OK) {
    csfle__release(&k->shared);
    return rc;
  }
  if (f->created) {
    k->track->created_mono_ms = csfle__mono_ms(&f->ring->rc->world);
    k->track->skew_ms = csfle__wall_ms(&f->ring->rc->world) - k->ts_ms;
  }
  if (w->write) k->track->overdue = f->kept_old;
  keep(f, &f->ring->deks, &k->shared, k->fetched_mono_ms + lifetime_ms(f->ring));
  sweep(f->ring);
  f->key = k;
  return CSFLE_OK;
}

static csfle_status check_age(csfle__key_fetch *f, csfle_error *err)
{
  const csfle__encrypt_params *p = f->want->params;
  f->expired = false;
  if (!f->want->write || p->expiry_days == 0 || !f->dek) return CSFLE_OK;
  csfle__track *t = csfle__ring_track(f->ring, p->kek_name, f->want->subject, p->algorithm, f->dek->version);
  if (!t) return csfle__nomem(err);
  f->expired = csfle__ring_due(f->ring, t, f->dek->ts, p->expiry_days) || (f->want->used_up && t->uses >= CSFLE__MAX_GCM_USES);
  /* another serde tried a moment ago */
  if (f->expired && t->rotate_mono_ms > csfle__mono_ms(&f->ring->rc->world)) f->expired = false, f->kept_old = true;
  return CSFLE_OK;
}

static void tell(const csfle__key_fetch *f, int event, int32_t before, const csfle_error *cause)
{
  const csfle__encrypt_params *p = f->want->params;
  csfle__meter_tell(f->ring->rc->world.meter, &(csfle__event){ .event = event, .kek = p->kek_name, .subject = f->want->subject, .cause = cause,
                                                               .algorithm = csfle__algorithm_name(p->algorithm), .version = f->dek->version, .before = before });
}

/* No successor can be made: registry or KMS refuse or cannot be reached, the most keys are there. Never in silence. [ENC-56] [AB-12] */
static void keep_old(csfle__key_fetch *f, const csfle_error *cause)
{
  const csfle__encrypt_params *p = f->want->params;
  csfle__track                *t = csfle__ring_track(f->ring, p->kek_name, f->want->subject, p->algorithm, f->dek->version);
  f->kept_old = true;
  if (t) t->rotate_mono_ms = csfle__mono_ms(&f->ring->rc->world) + CSFLE__RETRY_ROTATION_MS;
  csfle__log_line(&f->ring->rc->world.log, 3, "encrypt", "KEK %.*s: version %d of the data key of %.*s is past its age or used up and no successor could be made; "
                  "going on with it: %s", CSFLE__FMT(p->kek_name), (int)f->dek->version, CSFLE__FMT(f->want->subject), cause->msg);
  tell(f, CSFLE_EVENT_ROTATION_OVERDUE, 0, cause);
}

/* "No kek found for <kek> during consume": the catalogue's sentences [ENC 7] */
static csfle__next missing(csfle_error *err, const char *what, csfle__bytes kek, bool write)
{
  csfle__fail(err, write ? CSFLE_E_RULE : CSFLE_E_KEY_GONE, "No %s found for %.*s during %s", what, CSFLE__FMT(kek), write ? "produce" : "consume");
  return CSFLE__FAIL;
}

csfle__next csfle__key_fetch_step(csfle__key_fetch *f, csfle_error *err)
{
  const csfle__key_want       *w = f->want;
  const csfle__encrypt_params *p = w->params;
  csfle__next                  next;
  CSFLE__BEGIN(f);
  if (check_policy(f, err) != CSFLE_OK || kek_name(f, err) != CSFLE_OK) return CSFLE__FAIL;

  /* the KEK [3.4] */
  f->kek = (csfle__shared_kek *)csfle__cache_get(&f->ring->keks, csfle__buf_view(&f->name), csfle__mono_ms(&f->ring->rc->world));
  if (!f->kek) {
    if (csfle__kek_get_request(&f->call, p->kek_name, !w->write, f->context, err) != CSFLE_OK) return CSFLE__FAIL;
    CSFLE__AWAIT(f, next, step_rc(f, err));
    if (next == CSFLE__DONE) {
      if (take_kek(f, err) != CSFLE_OK) return CSFLE__FAIL;
    } else if (http_of(err) != 404) {
      return wrap_error(err, "Could not get kek", p->kek_name);
    } else if (!w->write) {
      return missing(err, "kek", p->kek_name, false);
    } else if (!p->kms_type.len || !p->kms_key_id.len) {
      return missing(err, !p->kms_type.len ? "kms type" : "kms key id", p->kek_name, true);
    } else {
      if (csfle__kek_create_request(&f->call, p->kek_name, p->kms_type, p->kms_key_id, f->context, err) != CSFLE_OK) return CSFLE__FAIL;
      CSFLE__AWAIT(f, next, step_rc(f, err));
      if (next == CSFLE__FAIL) {
        if (http_of(err) != 409) return wrap_error(err, "Could not register kek", p->kek_name);
        if (csfle__kek_get_request(&f->call, p->kek_name, false, f->context, err) != CSFLE_OK) return CSFLE__FAIL;
        CSFLE__AWAIT(f, next, step_rc(f, err));
        if (next == CSFLE__FAIL)
          return http_of(err) == 404 ? missing(err, "kek", p->kek_name, true) : wrap_error(err, "Could not get kek", p->kek_name);
      }
      if (take_kek(f, err) != CSFLE_OK) return CSFLE__FAIL;
    }
  }
  if (csfle__kek_matches(p, f->kek->kek, err) != CSFLE_OK) return CSFLE__FAIL;

  /* the DEK [3.5] */
  if (get_request(f, err) != CSFLE_OK) return CSFLE__FAIL;
  CSFLE__AWAIT(f, next, step_rc(f, err));
  if (next == CSFLE__DONE) {
    if (take_dek(f, csfle__want_version(w), err) != CSFLE_OK) return CSFLE__FAIL;
  } else if (http_of(err) != 404) {
    return wrap_error(err, "Could not get dek for kek", p->kek_name);
  }
  if (check_age(f, err) != CSFLE_OK) return CSFLE__FAIL;
  if (!f->dek && !w->write) {
    missing(err, "dek", p->kek_name, false);
    if (err && p->expiry_days > 0) err->code = CSFLE_E_DECRYPT; /* the version comes from the record: it may be forged [ENC-52] */
    return CSFLE__FAIL;
  }

  if (!f->dek || f->expired) {
    f->before = f->dek ? f->dek->version : 0;
    f->new_version = f->dek ? f->dek->version + 1 : 1;
    next = CSFLE__DONE;
    if (!f->kek->kek->shared) {
      if (start_wrap(f, err) != CSFLE_OK) return CSFLE__FAIL;
      CSFLE__AWAIT(f, next, csfle__key_fetch_kms(f, err));
      if (next == CSFLE__DONE && end_wrap(f, err) != CSFLE_OK) return CSFLE__FAIL;
    }
    if (next == CSFLE__DONE) {
      if (create_request(f, false, err) != CSFLE_OK) return CSFLE__FAIL;
      CSFLE__AWAIT(f, next, step_rc(f, err));
      if (next == CSFLE__FAIL && http_of(err) == 405) {
        if (create_request(f, true, err) != CSFLE_OK) return CSFLE__FAIL;
        CSFLE__AWAIT(f, next, step_rc(f, err));
      }
#ifdef CSFLE_BREAK_EVERY_RACER
      while (next == CSFLE__FAIL && http_of(err) == 409 && f->dek) { /* as if another's version were not good enough */
        f->new_version++;
        if (create_request(f, false, err) != CSFLE_OK) return CSFLE__FAIL;
        CSFLE__AWAIT(f, next, step_rc(f, err));
      }
#endif
      drop_latest(f); /* whatever came of it [ENC-76] */
      if (next == CSFLE__DONE) {
        if (take_dek(f, f->new_version, err) != CSFLE_OK) return CSFLE__FAIL;
        f->created = true;
        tell(f, f->before ? CSFLE_EVENT_DEK_ROTATED : CSFLE_EVENT_DEK_MADE, f->before, NULL);
      } else if (http_of(err) == 409) {
        if (err) f->old_err = *err;
        /* somebody else was first: theirs counts [ENC-67] */
        if (get_request(f, err) != CSFLE_OK) return CSFLE__FAIL;
        CSFLE__AWAIT(f, next, step_rc(f, err));
        if (next == CSFLE__DONE) {
          if (take_dek(f, csfle__want_version(w), err) != CSFLE_OK) return CSFLE__FAIL;
        } else if (http_of(err) != 404 && !f->dek) {
          return wrap_error(err, "Could not get dek for kek", p->kek_name);
        }
        if (!f->dek) return missing(err, "dek", p->kek_name, true);
        if (f->expired && f->dek->version < f->new_version) keep_old(f, &f->old_err);
        next = CSFLE__DONE;
      }
    }
    if (next == CSFLE__FAIL) {
      if (!f->dek) return wrap_error(err, "Could not register dek for kek", p->kek_name);
      if (err) f->old_err = *err;
      keep_old(f, &f->old_err);
    }
  }
  if (!f->dek) return missing(err, "dek", p->kek_name, w->write);

  /* the plain key: the registry's own, or unwrapped by the KMS [ENC-70] */
  if (f->dek->key_material.len) {
    if (finish(f, csfle__secret_view(&f->dek->key_material), err) != CSFLE_OK) return CSFLE__FAIL;
    return CSFLE__DONE;
  }
  if (start_unwrap(f, err) != CSFLE_OK) return CSFLE__FAIL;
  CSFLE__AWAIT(f, next, csfle__key_fetch_kms(f, err));
  if (next == CSFLE__FAIL) return wrap_error(err, "Could not unwrap dek of kek", p->kek_name);
  if (finish(f, csfle__secret_view(&f->kms_call.out), err) != CSFLE_OK) return CSFLE__FAIL;
  close_kms(f, CSFLE_OK);
  return CSFLE__DONE;
  CSFLE__END;
  csfle__fail(err, CSFLE_E_INTERNAL, "key fetch stepped after its end");
  return CSFLE__FAIL;
}
