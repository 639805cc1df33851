/* The keys of one client. See ring.h; what talks to registry and KMS is fetch.c. */
#include "client/encrypt/ring.h"
#include "core/base/alloc.h"
#include "core/kms/http.h"

#include <stdio.h>

#define HOUR_MS INT64_C(3600000)
#define DAY_MS  INT64_C(86400000)

bool csfle__list_take(csfle__bytes *rest, csfle__bytes *item)
{
  while (rest->len) {
    const uint8_t *comma = memchr(rest->ptr, ',', rest->len);
    size_t         n = comma ? (size_t)(comma - rest->ptr) : rest->len;
    *item = csfle__trim(csfle__view(rest->ptr, n));
    *rest = csfle__from(*rest, n + 1);
    if (item->len) return true;
  }
  return false;
}

void csfle__ring_init(csfle__ring *r, csfle__rc *rc, const csfle__ring_options *o)
{
  memset(r, 0, sizeof *r);
  r->o = *o, r->rc = rc;
  csfle__cache_init(&r->keks, o->max_entries);
  csfle__cache_init(&r->deks, o->max_entries);
  csfle__cache_init(&r->missing, CSFLE__MISSING_MAX);
  csfle__flights_init(&r->flights);
  csfle__kms_pool_init(&r->kms, o->plugins);
  pthread_mutex_init(&r->lock, NULL);
}

void csfle__ring_free(csfle__ring *r)
{
  csfle__cache_free(&r->deks);
  csfle__cache_free(&r->missing);
  csfle__cache_free(&r->keks);
  csfle__flights_free(&r->flights);
  csfle__kms_pool_free(&r->kms);
  csfle__map_free(&r->tracks, csfle__free);
  pthread_mutex_destroy(&r->lock);
}

/* Whoever still holds it uses it no more. */
static bool of_kek(void *opaque, csfle__shared *s)
{
  const char *kek = opaque;
  csfle__key *k = (csfle__key *)s;
  bool        is = !kek || csfle__eq_str(k->kek_name, kek);
  if (is) k->refused = 1;
  return is;
}

static bool named(void *opaque, csfle__shared *s)
{
  const char *kek = opaque;
  return !kek || csfle__eq_str(((csfle__shared_kek *)s)->kek->name, kek);
}

void csfle__ring_forget(csfle__ring *r, const char *kek)
{
  r->epoch++;
  csfle__cache_drop_if(&r->deks, of_kek, (void *)kek);
  csfle__cache_drop_if(&r->keks, named, (void *)kek);
  csfle__kms_pool_forget(&r->kms);
}

int32_t csfle__want_version(const csfle__key_want *w)
{
  if (!w->write) return w->version;
  return w->params->expiry_days > 0 ? -1 : 1;
}

csfle_status csfle__ring_name(csfle_buf *b, const csfle__key_want *w, int32_t version, bool deleted, csfle_error *err)
{
  char         tail[48];
  int          n = snprintf(tail, sizeof tail, "%c%d%c%d%c%d", 0, (int)w->params->algorithm, 0, (int)version, 0, (int)deleted);
  csfle__bytes kek = w->params->kek_name;
  csfle__buf_clear(b);
  csfle_status rc = csfle__buf_reserve(b, kek.len + 1 + w->subject.len + (size_t)n, err);
  if (rc != CSFLE_OK) return rc;
  csfle__buf_put(b, kek.ptr, kek.len, NULL);
  csfle__buf_putc(b, 0, NULL);
  csfle__buf_put(b, w->subject.ptr, w->subject.len, NULL);
  csfle__buf_put(b, tail, (size_t)n, NULL);
  return CSFLE_OK;
}

csfle__track *csfle__ring_track(csfle__ring *r, csfle__bytes kek, csfle__bytes subject, csfle__algorithm a, int32_t version)
{
  csfle_buf     b;
  csfle__track *t = NULL;
  csfle_buf_init(&b, 0, 0);
  if (csfle__buf_put(&b, kek.ptr, kek.len, NULL) == CSFLE_OK && csfle__buf_putc(&b, 0, NULL) == CSFLE_OK &&
      csfle__buf_put(&b, subject.ptr, subject.len, NULL) == CSFLE_OK &&
      csfle__buf_printf(&b, NULL, "%c%d%c%d", 0, (int)a, 0, (int)version) == CSFLE_OK) {
    pthread_mutex_lock(&r->lock);
    t = csfle__map_get(&r->tracks, csfle__buf_view(&b));
    if (!t && (t = csfle__calloc(1, sizeof *t + kek.len + subject.len))) {
      uint8_t *names = (uint8_t *)(t + 1);
      if (kek.len) memcpy(names, kek.ptr, kek.len);
      if (subject.len) memcpy(names + kek.len, subject.ptr, subject.len);
      t->kek = csfle__view(names, kek.len), t->subject = csfle__view(names + kek.len, subject.len);
      t->algorithm = a, t->version = version;
      t->created_mono_ms = -1;
      t->seen_mono_ms = csfle__mono_ms(&r->rc->world);
      t->retry_mono_ms = t->rotate_mono_ms = INT64_MIN;
      if (csfle__map_put(&r->tracks, csfle__buf_view(&b), t, NULL) != 0) {
        csfle__free(t);
        t = NULL;
      }
    }
    pthread_mutex_unlock(&r->lock);
  }
  csfle_buf_free(&b);
  return t;
}

void csfle__ring_heard(csfle__ring *r, csfle__bytes reply_headers)
{
  int64_t theirs;
  if (!csfle__time_http(csfle__header(reply_headers, "Date"), &theirs)) return;
  int64_t skew = csfle__wall_ms(&r->rc->world) - theirs;
  if (skew < HOUR_MS && skew > -HOUR_MS) skew = 0;
  if (skew && !r->skew_ms)
    csfle__log_line(&r->rc->world.log, 4, "encrypt", "the clock of this machine is %lld hours %s the registry's; keys are rotated by the registry's",
                    (long long)((skew < 0 ? -skew : skew) / HOUR_MS), skew < 0 ? "behind" : "ahead of");
#ifndef CSFLE_BREAK_OWN_CLOCK
  r->skew_ms = skew;
#endif
}

int64_t csfle__ring_now(const csfle__ring *r) { return csfle__wall_ms(&r->rc->world) - r->skew_ms; }

/*
 * Age is our clock against the registry's timestamp. If ours is days ahead, a DEK just made already counts as expired
 * and every write would make another: so it is put right by what the registry says the time is, and, where it does not
 * say, one that this process made lives an hour at least, and its whole period by the monotonic clock when the clocks
 * were seen to disagree. If ours is behind, or the timestamp lies in the future, a DEK would never expire: so it does
 * when we have known it for its period. [ENC 6 item 12] [AB-12]
 */
static csfle__due due_times(const csfle__ring *r, const csfle__track *t, int64_t ts_ms, int64_t days)
{
  csfle__due d = CSFLE__NEVER_DUE;
  if (days <= 0) return d;
  int64_t period = days * DAY_MS, created = t->created_mono_ms, own = t->skew_ms, seen = t->seen_mono_ms;
  d.wall_ms = d.period_end_ms = ts_ms + period + r->skew_ms;
  d.mono_ms = INT64_MIN, d.late_mono_ms = seen + period;
  if (created < 0) return d;
  d.mono_ms = created + HOUR_MS;
  if (!r->skew_ms && (own >= HOUR_MS || own <= -HOUR_MS)) d.wall_ms = INT64_MIN, d.mono_ms = created + period, d.period_end_ms = ts_ms + period + own;
  return d;
}

bool csfle__ring_due(csfle__ring *r, const csfle__track *t, int64_t ts_ms, int64_t days)
{
  const csfle__world *w = &r->rc->world;
  csfle__due          d = due_times(r, t, ts_ms, days);
  bool                due = csfle__due_now(&d, csfle__wall_ms(w), csfle__mono_ms(w));
  if (!due && csfle__dek_expired(ts_ms, csfle__ring_now(r), days))
    csfle__log_line(&w->log, 4, "encrypt", "a data key that this process just made looks expired: clocks of this machine and the registry disagree");
  return due;
}

csfle_status csfle__kek_matches(const csfle__encrypt_params *p, const csfle__kek *k, csfle_error *err)
{
  if (p->kms_type.len && !csfle__eq(p->kms_type, k->kms_type))
    return csfle__fail(err, CSFLE_E_RULE, "Found %.*s with kms type '%.*s' which differs from rule kms type '%.*s'", CSFLE__FMT(p->kek_name),
                       CSFLE__FMT(k->kms_type), CSFLE__FMT(p->kms_type));
  if (p->kms_key_id.len && !csfle__eq(p->kms_key_id, k->kms_key_id))
    return csfle__fail(err, CSFLE_E_RULE, "Found %.*s with kms key id '%.*s' which differs from rule kms key id '%.*s'", CSFLE__FMT(p->kek_name),
                       CSFLE__FMT(k->kms_key_id), CSFLE__FMT(p->kms_key_id));
  return CSFLE_OK;
}

/* The key from the cache, retained, if it will do. */
static csfle__key *peek(csfle__ring *r, const csfle__key_want *w, csfle__bytes name)
{
  int64_t     now = csfle__mono_ms(&r->rc->world), days = w->write ? w->params->expiry_days : 0;
  csfle__key *k = w->fresh && !w->held ? NULL : (csfle__key *)csfle__cache_get(&r->deks, name, now);
  if (k && (k->refused || (w->fresh && k->order <= w->held) || (days && csfle__ring_due(r, k->track, k->ts_ms, days)))) {
    csfle__release(&k->shared);
    k = NULL;
  }
  return k;
}

static csfle__io  *fetch_io(void *self) { return ((csfle__key_fetch *)self)->io; }
static csfle__next fetch_step(void *self, csfle_error *err) { return csfle__key_fetch_step(self, err); }

static csfle_status answer(csfle__ring *r, const csfle__key_want *w, csfle__key *key, csfle__key_got *out, csfle_error *err)
{
  /* another rule may name the same KEK with another type or id */
  csfle_status rc = csfle__kek_matches(w->params, key->kek->kek, err);
  if (rc != CSFLE_OK) {
    csfle__release(&key->shared);
    return rc;
  }
  *out = (csfle__key_got){ key, CSFLE__NEVER_DUE, false };
  if (!w->write) return CSFLE_OK;
  int64_t mono = csfle__mono_ms(&r->rc->world), again = key->track->rotate_mono_ms;
  out->due = due_times(r, key->track, key->ts_ms, w->params->expiry_days);
  /* no successor could be made: it is tried again in a minute, not with every record */
  if (again > mono) out->kept = true, out->due.wall_ms = INT64_MIN, out->due.mono_ms = again, out->due.late_mono_ms = INT64_MAX;
  return CSFLE_OK;
}

/* The name in the cache, and the epoch: who comes after keys were forgotten does not wait for what was asked for before. */
static csfle_status flight_name(csfle_buf *b, const csfle__ring *r, const csfle__key_want *w, csfle_error *err)
{
  uint64_t     epoch = r->epoch;
  csfle_status rc = csfle__ring_name(b, w, csfle__want_version(w), !w->write, err);
  return rc == CSFLE_OK ? csfle__buf_put(b, &epoch, sizeof epoch, err) : rc;
}

bool csfle__ring_going(csfle__ring *r, const csfle__key_want *w, csfle_buf *scratch)
{
  return flight_name(scratch, r, w, NULL) == CSFLE_OK && csfle__flight_going(&r->flights, csfle__buf_view(scratch));
}

/* A failure is of the rule too: its parameters may be other ones. */
static csfle_status failure_name(csfle_buf *b, csfle__bytes name, const csfle__key_want *w, csfle_error *err)
{
  csfle_status rc = csfle__buf_put(b, name.ptr, name.len, err);
  return rc == CSFLE_OK ? csfle__buf_put(b, &w->params, sizeof w->params, err) : rc;
}

bool csfle__ring_lasting(csfle_status st)
{
  return st != CSFLE_OK && CSFLE_CLASS(st) != CSFLE_CLASS_WAIT && CSFLE_CLASS(st) != CSFLE_CLASS_LIMIT && CSFLE_CLASS(st) != CSFLE_CLASS_BUG;
}

csfle_status csfle__ring_get(csfle__ring *r, const csfle__key_want *w, csfle__key_got *out, csfle_error *err)
{
  csfle_buf      name, failure;
  csfle__flight  flight;
  csfle__shared *found = NULL;
  csfle_status   rc;
  csfle__key    *cached;
  csfle_buf_init(&name, 0, 0), csfle_buf_init(&failure, 0, 0);
  rc = flight_name(&name, r, w, err);
  if (rc != CSFLE_OK) goto out;
  csfle__bytes flying = csfle__buf_view(&name), cache_key = csfle__view(name.ptr, name.len - sizeof r->epoch);
  cached = peek(r, w, cache_key);
  if (cached) {
    rc = answer(r, w, cached, out, err);
    goto out;
  }
  rc = failure_name(&failure, flying, w, err);
  if (rc != CSFLE_OK) goto out;
again:
  if (!w->write && csfle__missing_get(&r->missing, csfle__buf_view(&failure), err, csfle__mono_ms(&r->rc->world))) {
    rc = err ? err->code : CSFLE_E_DECRYPT;
    goto out;
  }
  if (csfle__flight_begin(&r->flights, &flight, flying, &found, &rc, err)) {
    csfle_error       local = CSFLE_ERROR_INIT;
    csfle__key_fetch *f = NULL;
#ifndef CSFLE_BREAK_SECOND_LOOK
    cached = peek(r, w, cache_key); /* another's flight may have ended between our look and our lead */
#endif
    if (cached) {
      found = &cached->shared, rc = CSFLE_OK;
    } else if ((f = csfle__alloc(sizeof *f))) {
      csfle__key_fetch_init(f, r, w);
      rc = csfle__drive(&r->rc->world, (csfle__machine){ fetch_step, fetch_io, f }, &local);
      if (rc == CSFLE_OK) found = &f->key->shared, f->key = NULL;
      csfle__key_fetch_free(f);
      csfle__free(f);
    } else {
      rc = csfle__nomem(&local);
    }
    if (!w->write && csfle__ring_lasting(rc)) csfle__missing_put(&r->missing, csfle__buf_view(&failure), &local, csfle__mono_ms(&r->rc->world));
    if (CSFLE_CLASS(rc) == CSFLE_CLASS_DENIED)
      csfle__meter_tell(r->rc->world.meter, &(csfle__event){ .event = CSFLE_EVENT_DENIED, .kek = w->params->kek_name, .subject = w->subject, .cause = &local });
    csfle__flight_end(&r->flights, &flight, found, rc, &local);
    if (rc != CSFLE_OK && err) *err = local;
    if (rc == CSFLE_OK) rc = answer(r, w, (csfle__key *)found, out, err);
  } else if (rc == CSFLE_OK) {
    rc = answer(r, w, (csfle__key *)found, out, err);
  } else if (csfle__ring_lasting(rc)) {
    goto again; /* the other's failure may be its rule's alone */
  }
out:
  csfle_buf_free(&name), csfle_buf_free(&failure);
  return rc;
}
