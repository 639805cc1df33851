/* Scratch: a bounded pool of what calls work with, and the ciphers in it. See serde.h. */
#include "client/serde/serde.h"
#include "core/base/alloc.h"

#include <stdatomic.h>

static void settle_slot(csfle__slot *t)
{
  if (t->uncounted) t->key->track->uses += t->uncounted;
  t->uncounted = 0;
}

void csfle__slot_count(csfle_serde *s, csfle__slot *t)
{
  const csfle__key *k = t->key;
  settle_slot(t);
  uint64_t uses = k->track->uses;
  if (uses < CSFLE__MAX_GCM_USES / 2 || k->track->near_told || atomic_exchange(&k->track->near_told, 1)) return;
  csfle__log_line(&s->client->rc.world.log, 4, "encrypt", "data key version %d of KEK %.*s has encrypted 2^31 values here; 2^32 is the most", (int)k->version,
                  CSFLE__FMT(k->kek_name));
  csfle__meter_tell(&s->client->meter, &(csfle__event){ .event = CSFLE_EVENT_LIMIT_NEAR, .kek = k->kek_name, .subject = k->subject, .version = k->version,
                                                        .algorithm = csfle__algorithm_name(k->algorithm), .count = uses });
}

static void slot_clear(csfle__slot *t)
{
  if (t->key) settle_slot(t);
  csfle__cipher_free(t->cipher);
  if (t->key) csfle__release(&t->key->shared);
  *t = (csfle__slot){ 0 };
}

static void clear_slots(csfle__scratch *x)
{
  for (size_t i = 0; i < CSFLE__SLOTS; i++) slot_clear(&x->slots[i]);
}

void csfle__scratch_free(csfle__scratch *x)
{
  if (!x) return;
  csfle_serde *s = x->serde;
  clear_slots(x);
  pthread_mutex_lock(&s->lock);
  for (csfle__scratch **p = &s->all; *p; p = &(*p)->all_next)
    if (*p == x) {
      *p = x->all_next;
      csfle__tally_sum(&s->closed, &x->tally);
      break;
    }
  pthread_mutex_unlock(&s->lock);
  if (x->write) csfle__release(&x->write->shared);
  if (x->read) csfle__release(&x->read->shared);
  csfle__walk_free(&x->walk), csfle__walk_free(&x->other);
  csfle__free(x->repl);
  csfle__free(x->saved);
  csfle__free(x->state), csfle__free(x->saved_state), csfle__free(x->table);
  for (size_t i = 0; i < x->pass_cap; i++) csfle_buf_free(&x->pass[i]);
  csfle__free(x->pass);
  csfle_buf_free(&x->native), csfle_buf_free(&x->resolved), csfle_buf_free(&x->tmp), csfle_buf_free(&x->spliced), csfle_buf_free(&x->text);
  csfle_buf_free(&x->answer), csfle_buf_free(&x->turns[0]), csfle_buf_free(&x->turns[1]);
  csfle__nonces_free(x->nonces);
  csfle__free(x);
}

static csfle_status scratch_new(csfle_serde *s, csfle__scratch **out, csfle_error *err)
{
  csfle__scratch *x = csfle__calloc(1, sizeof *x);
  if (!x) return csfle__nomem(err);
  x->serde = s, x->told_mono_ms = INT64_MIN;
  x->walk = x->other = (csfle__walk)CSFLE__WALK_INIT;
  csfle_buf_init(&x->native, 0, CSFLE_BUF_WIPE);
  csfle_buf_init(&x->resolved, 0, CSFLE_BUF_WIPE);
  csfle_buf_init(&x->tmp, 0, CSFLE_BUF_WIPE);
  csfle_buf_init(&x->spliced, 0, CSFLE_BUF_WIPE);
  csfle_buf_init(&x->text, 0, CSFLE_BUF_WIPE);
  csfle_buf_init(&x->answer, 0, CSFLE_BUF_WIPE);
  for (size_t i = 0; i < 2; i++) csfle_buf_init(&x->turns[i], 0, CSFLE_BUF_WIPE);
  csfle_status rc = csfle__nonces_new(&x->nonces, err);
  if (rc != CSFLE_OK) {
    csfle__scratch_free(x);
    return rc;
  }
  pthread_mutex_lock(&s->lock);
  x->all_next = s->all, s->all = x;
  pthread_mutex_unlock(&s->lock);
  *out = x;
  return CSFLE_OK;
}

void csfle__scratch_check(csfle_serde *s, csfle__scratch *x)
{
  uint64_t epoch = s->client->ring.epoch;
  if (x->epoch == epoch) return;
  clear_slots(x);
  x->epoch = epoch;
}

/* Which stripe: only the address of a thread's variable matters. */
static csfle__stripe *my_stripe(csfle_serde *s)
{
  static _Thread_local char here;
  uint64_t                  h = ((uint64_t)(uintptr_t)&here >> 6) * UINT64_C(0x9E3779B97F4A7C15);
  return &s->stripes[h >> 60 & (CSFLE__STRIPES - 1)];
}

csfle_status csfle__scratch_take(csfle_serde *s, csfle__scratch **out, csfle_error *err)
{
  csfle__scratch *x = atomic_exchange(&my_stripe(s)->scratch, NULL);
  if (!x) {
    pthread_mutex_lock(&s->lock);
    x = s->idle;
    if (x) s->idle = x->next, s->idle_count--;
    pthread_mutex_unlock(&s->lock);
  }
  if (!x) {
    csfle_status rc = scratch_new(s, &x, err);
    if (rc != CSFLE_OK) return rc;
    x->epoch = s->client->ring.epoch;
  }
  csfle__scratch_check(s, x);
  *out = x;
  return CSFLE_OK;
}

static void put_back(csfle_serde *s, csfle__scratch *x, csfle__stripe *at)
{
  csfle__scratch *none = NULL;
  if (atomic_compare_exchange_strong(&at->scratch, &none, x)) return;
  pthread_mutex_lock(&s->lock);
  if (s->idle_count < CSFLE__IDLE_MAX) {
    x->next = s->idle, s->idle = x, s->idle_count++;
    x = NULL;
  }
  pthread_mutex_unlock(&s->lock);
  csfle__scratch_free(x);
}

static void tidy(csfle_buf *b)
{
  if (b->cap > CSFLE__KEEP_BYTES) csfle_buf_free(b);
  else if (b->len) csfle__buf_clear(b); /* most records leave most of them empty */
}

void csfle__scratch_give(csfle_serde *s, csfle__scratch *x)
{
  tidy(&x->native), tidy(&x->tmp), tidy(&x->spliced), tidy(&x->text);
  tidy(&x->answer), tidy(&x->turns[0]), tidy(&x->turns[1]);
  for (size_t i = 0; i < x->pass_cap; i++) tidy(&x->pass[i]);
  csfle__scratch_check(s, x);
  put_back(s, x, my_stripe(s));
}

csfle_status csfle__scratch_ready(csfle__scratch *x, size_t passes, csfle_error *err)
{
  size_t n = x->walk.count;
  if (csfle__grow((void **)&x->repl, &x->repl_cap, n, sizeof *x->repl) || csfle__grow((void **)&x->saved, &x->saved_cap, n, sizeof *x->saved) ||
      csfle__grow((void **)&x->state, &x->state_cap, n, 1) || csfle__grow((void **)&x->saved_state, &x->saved_state_cap, n, 1))
    return csfle__nomem(err);
  size_t had = x->pass_cap;
  if (csfle__grow((void **)&x->pass, &x->pass_cap, passes, sizeof *x->pass)) return csfle__nomem(err);
  for (size_t i = had; i < x->pass_cap; i++) csfle_buf_init(&x->pass[i], 0, CSFLE_BUF_WIPE);
  for (size_t i = 0; i < n; i++) x->repl[i] = (csfle__replacement){ CSFLE__NONE, true };
  if (n) memset(x->state, CSFLE__SPAN_CLEAR, n);
  return CSFLE_OK;
}

csfle__slot *csfle__slot_find(csfle__scratch *x, uint64_t contract, uint32_t rule, int32_t version)
{
  for (size_t i = 0; i < CSFLE__SLOTS; i++) {
    csfle__slot *t = &x->slots[i];
    if (t->contract == contract && t->rule == rule && t->version == version) return t;
  }
  return NULL;
}

csfle_status csfle__slot_make(csfle_serde *s, csfle__scratch *x, uint64_t contract, uint32_t rule, int32_t version,
                              csfle__key_got *got, csfle__slot **out, csfle_error *err)
{
  csfle__slot *t = csfle__slot_find(x, contract, rule, version);
  for (size_t i = 0; i < CSFLE__SLOTS; i++) /* ciphers that nobody uses any more hold keys too */
    if (x->slots[i].key && !csfle__slot_alive(&x->slots[i], csfle__client_mono(s->client))) slot_clear(&x->slots[i]);
  if (!t) t = &x->slots[x->next_slot++ % CSFLE__SLOTS];
  slot_clear(t);
  csfle__cipher *c = NULL;
  csfle_status   rc = csfle__cipher_new(&c, got->key->algorithm, &got->key->raw, err);
  if (rc != CSFLE_OK) {
    csfle__release(&got->key->shared);
    return rc;
  }
  int64_t from = got->key->fetched_mono_ms, life = s->client->key_expiry_ms;
  *t = (csfle__slot){ .contract = contract, .rule = rule, .version = version, .key = got->key, .cipher = c, .due = got->due, .kept = got->kept,
                      .refresh_mono_ms = from + life / 5 * 4, .expires_mono_ms = from + life };
  *out = t;
  return CSFLE_OK;
}

void csfle__slot_stale(csfle_serde *s, csfle__slot *t, const csfle_error *why)
{
  const csfle__key *k = t->key;
  k->track->retry_mono_ms = csfle__client_mono(s->client) + CSFLE__RETRY_STALE_MS;
  csfle__meter_tell(&s->client->meter, &(csfle__event){ .event = CSFLE_EVENT_STALE, .kek = k->kek_name, .subject = k->subject, .version = k->version,
                                                        .algorithm = csfle__algorithm_name(k->algorithm), .cause = why });
}

void csfle__serde_tally(csfle_serde *s, csfle__tally *to)
{
  pthread_mutex_lock(&s->lock);
  csfle__tally_sum(to, &s->closed);
  for (const csfle__scratch *x = s->all; x; x = x->all_next) csfle__tally_sum(to, &x->tally);
  pthread_mutex_unlock(&s->lock);
}

static void settle(csfle__scratch *x)
{
  for (size_t i = 0; i < CSFLE__SLOTS; i++)
    if (x->slots[i].key) settle_slot(&x->slots[i]);
}

void csfle__serde_settle(csfle_serde *s)
{
  for (size_t i = 0; i < CSFLE__STRIPES; i++) {
    csfle__scratch *x = atomic_exchange(&s->stripes[i].scratch, NULL);
    if (!x) continue; /* in use: it is at most CSFLE__COUNT_BATCH behind */
    settle(x);
    put_back(s, x, &s->stripes[i]);
  }
  pthread_mutex_lock(&s->lock);
  for (csfle__scratch *x = s->idle; x; x = x->next) settle(x);
  pthread_mutex_unlock(&s->lock);
}

void csfle__serde_drop_keys(csfle_serde *s)
{
  for (size_t i = 0; i < CSFLE__PLAN_MAX_RULES; i++) {
    if (s->write_keys[i].got.key) csfle__release(&s->write_keys[i].got.key->shared);
    s->write_keys[i] = (csfle__write_key){ 0 };
  }
}

void csfle__serde_forget(csfle_serde *s)
{
  for (size_t i = 0; i < CSFLE__STRIPES; i++) {
    csfle__scratch *x = atomic_exchange(&s->stripes[i].scratch, NULL);
    if (!x) continue; /* in use: its thread looks when it gives it back */
    csfle__scratch_check(s, x);
    put_back(s, x, &s->stripes[i]);
  }
  pthread_mutex_lock(&s->lock);
  for (csfle__scratch *x = s->idle; x; x = x->next) csfle__scratch_check(s, x);
  csfle__serde_drop_keys(s);
  pthread_mutex_unlock(&s->lock);
}

csfle_status csfle__scratch_splice(csfle__scratch *x, const csfle__plan *p, csfle__bytes in, csfle__bytes *out, csfle_error *err)
{
  bool any = false;
  for (size_t i = 0; i < x->walk.count && !any; i++) any = x->walk.spans[i].kind == 0 && !x->repl[i].keep;
  if (!any) {
    *out = csfle__view(in.ptr, x->walk.consumed);
    return CSFLE_OK;
  }
  csfle__buf_clear(&x->spliced);
  csfle_status rc = csfle__plan_splice(p, in, &x->walk, x->repl, &x->spliced, err);
  *out = csfle__buf_view(&x->spliced);
  return rc;
}
