/* Numbering, group commit and who waits for what; storage itself is a driver's. See log.h. */
#include "server/log/log.h"

#include "server/log/must.h"

#include <pthread.h>
#include <stdatomic.h>

#define BATCH_MAX 4096

typedef struct waiter {
  uint64_t position;
  void (*fn)(void *waiter, bool ok);
  void *opaque;
} waiter;

struct registry_log {
  const registry_log_driver *driver;
  void              *store;
  registry_log_setup setup;
  pthread_mutex_t    lock;
  pthread_cond_t     work;
  pthread_t          thread;
  bool               started, ending, broken, dead, failing;
  uint64_t           tidy_to; /* position that is to be tidied up to, 0: none */
  registry_record   *queue; /* appended, not yet handed to a commit; owns its bytes */
  size_t             queued, queue_cap;
  size_t            *ends; /* queue index after each append call: a commit never splits one */
  size_t             end_count, end_cap;
  waiter            *waiters; /* by ascending position */
  size_t             waiting, waiter_cap;
  int64_t            next, last_ts;
  _Atomic uint64_t   durable; /* as a position */
  _Atomic uint64_t   newest;
  uint64_t           epoch;
  bool (*on_lost)(void *opaque);
  void *opaque;
};

static uint64_t position_of(uint64_t epoch, int64_t offset)
{
  return epoch << 44 | (uint64_t)offset;
}

#define REGISTRY_LOG(name) extern const registry_log_driver registry_log_##name;
#include "server/log/logs.def"
#undef REGISTRY_LOG

const registry_log_driver *registry_log_driver_find(const char *name)
{
#define REGISTRY_LOG(known) if (strcmp(name, #known) == 0) return &registry_log_##known;
#include "server/log/logs.def"
#undef REGISTRY_LOG
  return NULL;
}

csfle_status registry_log_open(registry_log **out, const registry_log_driver *driver, const registry_log_setup *setup,
                               csfle_error *err)
{
  registry_log *l = (registry_log *)csfle__calloc(1, sizeof *l);
  if (!l) return csfle__nomem(err);
  l->driver = driver;
  l->setup = *setup;
  csfle_status rc = driver->open(&l->store, setup, err);
  if (rc != CSFLE_OK) {
    csfle__free(l);
    return rc;
  }
  pthread_mutex_init(&l->lock, NULL);
  pthread_cond_init(&l->work, NULL);
  *out = l;
  return CSFLE_OK;
}

const char *registry_log_topic_name(const registry_log *l, registry_topic t)
{
  return l->setup.topics[t];
}

typedef struct replaying {
  registry_log      *log;
  registry_record_fn fn;
  void              *opaque;
  int64_t            last;
} replaying;

static void on_record(void *opaque, const registry_record *r)
{
  replaying *p = (replaying *)opaque;
  p->last = r->offset;
  if (r->ts > p->log->last_ts) p->log->last_ts = r->ts;
  if (p->fn) p->fn(p->opaque, r);
}

csfle_status registry_log_replay(registry_log *l, registry_record_fn fn, void *opaque, csfle_error *err)
{
  replaying    p = { l, fn, opaque, -1 };
  csfle_status rc = l->driver->replay(l->store, on_record, &p, err);
  if (rc != CSFLE_OK) return rc;
  l->next = p.last + 1;
  uint64_t at = position_of(l->epoch, l->next);
  atomic_store(&l->durable, at);
  atomic_store(&l->newest, at);
  return CSFLE_OK;
}

csfle_status registry_log_compact(registry_log *l, registry_record *records, size_t count, size_t *removed, csfle_error *err)
{
  int64_t now = l->setup.clock->wall_ms(l->setup.clock->opaque);

  if (now > l->last_ts) l->last_ts = now;
  for (size_t i = 0; i < count; i++) records[i].offset = l->next + (int64_t)i, records[i].ts = l->last_ts;
  csfle_status rc = count ? l->driver->commit(l->store, records, count, err) : CSFLE_OK;
  if (rc != CSFLE_OK) return rc;
  l->next += (int64_t)count;
  atomic_store(&l->durable, position_of(l->epoch, l->next));
  atomic_store(&l->newest, position_of(l->epoch, l->next));
  return l->driver->compact(l->store, l->next, removed, err);
}

static void free_records(registry_record *r, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    csfle__free((void *)r[i].key.ptr);
    csfle__free((void *)r[i].value.ptr);
  }
}

csfle_status registry_log_append(registry_log *l, registry_record *records, size_t count, csfle_error *err)
{
  int64_t now = l->setup.clock->wall_ms(l->setup.clock->opaque);

  pthread_mutex_lock(&l->lock);
  if (l->broken || l->dead || l->ending) {
    pthread_mutex_unlock(&l->lock);
    return csfle__fail(err, CSFLE_E_UNAVAILABLE, "the store takes no records now");
  }
  if (now < l->last_ts) now = l->last_ts; /* time of records never goes back */
  l->last_ts = now;
  must_grow((void **)&l->queue, &l->queue_cap, l->queued + count, sizeof *l->queue);
  must_grow((void **)&l->ends, &l->end_cap, l->end_count + 1, sizeof *l->ends);
  for (size_t i = 0; i < count; i++) {
    records[i].offset = l->next++;
    records[i].ts = now;
    registry_record *q = &l->queue[l->queued++];
    *q = records[i];
    q->key = must_copy(q->key);
    if (q->value.ptr) q->value = must_copy(q->value);
  }
  l->ends[l->end_count++] = l->queued;
  atomic_store(&l->newest, position_of(l->epoch, l->next));
  pthread_cond_signal(&l->work);
  pthread_mutex_unlock(&l->lock);
  return CSFLE_OK;
}

uint64_t registry_log_position(registry_log *l)
{
  return atomic_load(&l->newest);
}

bool registry_log_settled(registry_log *l, uint64_t position)
{
#ifdef CSFLE_BREAK_ACK_BEFORE_SYNC
  (void)l, (void)position;
  return true;
#else
  return position == 0 || atomic_load(&l->durable) == position;
#endif
}

registry_wait registry_log_wait(registry_log *l, uint64_t position, void (*fn)(void *waiter, bool ok), void *opaque)
{
#ifdef CSFLE_BREAK_ACK_BEFORE_SYNC
  (void)l, (void)position, (void)fn, (void)opaque;
  return REGISTRY_DURABLE;
#endif
  if (atomic_load(&l->durable) == position) return REGISTRY_DURABLE; /* nothing in flight: one comparison */
  registry_wait rc = REGISTRY_PENDING;
  pthread_mutex_lock(&l->lock);
  uint64_t durable = atomic_load(&l->durable);
  if (l->dead || position >> 44 != l->epoch) {
    /* an older epoch: what was durable when it ended still is, and nothing tells how far that was */
    rc = REGISTRY_LOST;
  } else if (position <= durable) {
    rc = REGISTRY_DURABLE;
  } else {
    must_grow((void **)&l->waiters, &l->waiter_cap, l->waiting + 1, sizeof *l->waiters);
    size_t at = l->waiting++;
    for (; at > 0 && l->waiters[at - 1].position > position; at--) l->waiters[at] = l->waiters[at - 1];
    l->waiters[at] = (waiter){ position, fn, opaque };
  }
  pthread_mutex_unlock(&l->lock);
  return rc;
}

/* takes the waiters up to a position out of the list and calls them without the lock */
static void release(registry_log *l, uint64_t up_to, bool ok)
{
  size_t n = 0;
  while (n < l->waiting && l->waiters[n].position <= up_to) n++;
  if (!n) return;
  waiter *w = (waiter *)must(csfle__dup(l->waiters, n * sizeof *w));
  l->waiting -= n;
  memmove(l->waiters, l->waiters + n, l->waiting * sizeof *l->waiters);
  pthread_mutex_unlock(&l->lock);
  for (size_t i = 0; i < n; i++) w[i].fn(w[i].opaque, ok);
  pthread_mutex_lock(&l->lock);
  csfle__free(w);
}

/* a commit failed: nothing after durable happened. Called with the lock held. */
static void lose(registry_log *l, const csfle_error *why)
{
  csfle__log_line(l->setup.log, 3, "log", "commit failed, state is dropped and replayed: %s", why->msg);
  l->broken = l->failing = true;
  free_records(l->queue, l->queued);
  l->queued = l->end_count = 0;
  l->epoch++;
  release(l, UINT64_MAX, false);
  pthread_mutex_unlock(&l->lock);
  bool ok = l->on_lost(l->opaque); /* replays, which sets next, durable and newest */
  pthread_mutex_lock(&l->lock);
  l->dead = !ok;
  l->broken = false;
  if (l->dead) csfle__log_line(l->setup.log, 2, "log", "the store cannot be read back: refusing everything from now on");
}

/* called with the lock held; the store is this thread's alone */
static void tidy(registry_log *l)
{
  csfle_error err = CSFLE_ERROR_INIT;
  size_t      removed = 0;
  uint64_t    to = l->tidy_to;

  l->tidy_to = 0;
  if (l->dead) return;
#ifndef CSFLE_BREAK_TIDY_UNMARKED
  if (to >> 44 != l->epoch || to > atomic_load(&l->durable)) return; /* what was to come before it was lost */
#endif
  pthread_mutex_unlock(&l->lock);
  csfle_status rc = l->driver->compact(l->store, (int64_t)(to & ((UINT64_C(1) << 44) - 1)), &removed, &err);
  pthread_mutex_lock(&l->lock);
  if (rc != CSFLE_OK) csfle__log_line(l->setup.log, 4, "log", "superseded records could not be removed: %s", err.msg);
  else if (removed) csfle__log_line(l->setup.log, 6, "log", "%zu superseded records were removed", removed);
}

static void *commit_loop(void *opaque)
{
  registry_log    *l = (registry_log *)opaque;
  registry_record *batch = NULL;
  size_t           cap = 0;

  pthread_mutex_lock(&l->lock);
  for (;;) {
    while (!l->queued && !l->ending && !l->tidy_to) pthread_cond_wait(&l->work, &l->lock);
    if (!l->queued) {
      if (l->ending) break;
      tidy(l);
      continue;
    }
    size_t taken = 0, n = 0;
    while (taken < l->end_count && (n == 0 || l->ends[taken] <= BATCH_MAX)) n = l->ends[taken++];
    must_grow((void **)&batch, &cap, n, sizeof *batch);
    memcpy(batch, l->queue, n * sizeof *batch);
    l->queued -= n;
    memmove(l->queue, l->queue + n, l->queued * sizeof *l->queue);
    l->end_count -= taken;
    memmove(l->ends, l->ends + taken, l->end_count * sizeof *l->ends);
    for (size_t i = 0; i < l->end_count; i++) l->ends[i] -= n;
    uint64_t after = position_of(l->epoch, batch[n - 1].offset + 1);
    pthread_mutex_unlock(&l->lock);

    csfle_error  err = CSFLE_ERROR_INIT;
    csfle_status rc = l->driver->commit(l->store, batch, n, &err);
    free_records(batch, n);

    pthread_mutex_lock(&l->lock);
    if (rc == CSFLE_OK) {
      l->failing = false;
      atomic_store(&l->durable, after);
      release(l, after, true);
    } else {
      lose(l, &err);
    }
  }
  pthread_mutex_unlock(&l->lock);
  csfle__free(batch);
  return NULL;
}

csfle_status registry_log_start(registry_log *l, bool (*on_lost)(void *opaque), void *opaque, csfle_error *err)
{
  l->on_lost = on_lost;
  l->opaque = opaque;
  if (pthread_create(&l->thread, NULL, commit_loop, l) != 0)
    return csfle__fail(err, CSFLE_E_UNAVAILABLE, "cannot start the committer's thread");
  l->started = true;
  return CSFLE_OK;
}

void registry_log_tidy(registry_log *l, uint64_t position)
{
  pthread_mutex_lock(&l->lock);
  l->tidy_to = position;
  pthread_cond_signal(&l->work);
  pthread_mutex_unlock(&l->lock);
}

bool registry_log_healthy(registry_log *l)
{
  pthread_mutex_lock(&l->lock);
  bool ok = !l->broken && !l->dead;
  pthread_mutex_unlock(&l->lock);
  return ok;
}

bool registry_log_failing(registry_log *l)
{
  pthread_mutex_lock(&l->lock);
  bool yes = l->failing;
  pthread_mutex_unlock(&l->lock);
  return yes;
}

void registry_log_close(registry_log *l)
{
  if (!l) return;
  pthread_mutex_lock(&l->lock);
  l->ending = true;
  pthread_cond_signal(&l->work);
  pthread_mutex_unlock(&l->lock);
  if (l->started) pthread_join(l->thread, NULL);
  l->driver->close(l->store);
  free_records(l->queue, l->queued);
  csfle__free(l->queue);
  csfle__free(l->ends);
  csfle__free(l->waiters);
  pthread_cond_destroy(&l->work);
  pthread_mutex_destroy(&l->lock);
  csfle__free(l);
}
