/* Bounded cache and single flight. See cache.h. */
#include "client/regclient/cache.h"
#include "core/base/alloc.h"

typedef struct entry {
  csfle__shared *object;
  int64_t        expires_ms;
  uint64_t       born; /* order of insertion */
} entry;

static _Atomic(uint64_t) births;

static void entry_free(void *value)
{
  entry *e = value;
  if (!e) return;
  csfle__release(e->object);
  csfle__free(e);
}

void csfle__cache_init(csfle__cache *c, size_t max)
{
  *c = (csfle__cache){ .map = CSFLE__MAP_INIT, .max = max };
  pthread_mutex_init(&c->lock, NULL);
}

void csfle__cache_free(csfle__cache *c)
{
  csfle__map_free(&c->map, entry_free);
  pthread_mutex_destroy(&c->lock);
}

/* under the lock; the caller frees it outside */
static entry *take_out(csfle__cache *c, csfle__bytes key)
{
  entry *e = csfle__map_remove(&c->map, key);
  if (e) c->bytes -= e->object->bytes;
  return e;
}

csfle__shared *csfle__cache_get(csfle__cache *c, csfle__bytes key, int64_t now_ms)
{
  csfle__shared *found = NULL;
  entry         *old = NULL;
  pthread_mutex_lock(&c->lock);
  entry *e = csfle__map_get(&c->map, key);
  if (e && now_ms >= e->expires_ms) old = take_out(c, key);
  else if (e) csfle__retain(found = e->object);
  pthread_mutex_unlock(&c->lock);
  entry_free(old);
  return found;
}

void csfle__cache_put_while(csfle__cache *c, csfle__bytes key, csfle__shared *s, int64_t expires_ms, const _Atomic(uint64_t) *epoch, uint64_t was)
{
  entry *e = c->max ? csfle__alloc(sizeof *e) : NULL;
  void  *old = NULL, *evicted = NULL;
  if (!e) return;
  *e = (entry){ s, expires_ms, births++ };
  csfle__retain(s);
  pthread_mutex_lock(&c->lock);
  if ((epoch && *epoch != was) || csfle__map_put(&c->map, key, e, &old) != 0) old = e;
  else c->bytes += s->bytes - (old ? ((entry *)old)->object->bytes : 0);
  if (c->map.count > c->max) {
    size_t oldest = 0;
    for (size_t i = 1; i < c->map.count; i++)
      if (((entry *)c->map.entries[i].value)->born < ((entry *)c->map.entries[oldest].value)->born) oldest = i;
    evicted = take_out(c, c->map.entries[oldest].key);
  }
  pthread_mutex_unlock(&c->lock);
  entry_free(old);
  entry_free(evicted);
}

void csfle__cache_put(csfle__cache *c, csfle__bytes key, csfle__shared *s, int64_t expires_ms)
{
  csfle__cache_put_while(c, key, s, expires_ms, NULL, 0);
}

void csfle__cache_drop(csfle__cache *c, csfle__bytes key)
{
  pthread_mutex_lock(&c->lock);
  entry *old = take_out(c, key);
  pthread_mutex_unlock(&c->lock);
  entry_free(old);
}

void csfle__cache_drop_if(csfle__cache *c, bool (*want)(void *, csfle__shared *), void *opaque)
{
  pthread_mutex_lock(&c->lock);
  for (size_t i = 0; i < c->map.count;) {
    entry *e = c->map.entries[i].value;
    if (want(opaque, e->object)) entry_free(take_out(c, c->map.entries[i].key));
    else i++;
  }
  pthread_mutex_unlock(&c->lock);
}

void csfle__cache_sweep(csfle__cache *c, int64_t now_ms)
{
  pthread_mutex_lock(&c->lock);
  for (size_t i = 0; i < c->map.count;) {
    const entry *e = c->map.entries[i].value;
    if (now_ms >= e->expires_ms) entry_free(take_out(c, c->map.entries[i].key));
    else i++;
  }
  pthread_mutex_unlock(&c->lock);
}

void csfle__cache_size(csfle__cache *c, size_t *count, size_t *bytes)
{
  pthread_mutex_lock(&c->lock);
  *count = c->map.count, *bytes = c->bytes;
  pthread_mutex_unlock(&c->lock);
}

static void missing_free(csfle__shared *s) { csfle__free(s); }

void csfle__missing_put(csfle__cache *c, csfle__bytes key, const csfle_error *err, int64_t now_ms)
{
  csfle__missing *m = csfle__alloc(sizeof *m);
  if (!m) return;
  csfle__shared_init(&m->shared, missing_free);
  m->err = *err;
  csfle__cache_put(c, key, &m->shared, now_ms + CSFLE__MISSING_MS);
  csfle__release(&m->shared);
}

bool csfle__missing_get(csfle__cache *c, csfle__bytes key, csfle_error *err, int64_t now_ms)
{
  csfle__missing *m = (csfle__missing *)csfle__cache_get(c, key, now_ms);
  if (!m) return false;
  if (err) *err = m->err;
  csfle__release(&m->shared);
  return true;
}

void csfle__flights_init(csfle__flights *f)
{
  pthread_mutex_init(&f->lock, NULL);
  pthread_cond_init(&f->change, NULL);
  f->head = NULL;
}

void csfle__flights_free(csfle__flights *f)
{
  pthread_cond_destroy(&f->change);
  pthread_mutex_destroy(&f->lock);
}

static csfle__flight *find(csfle__flights *f, csfle__bytes key)
{
  for (csfle__flight *x = f->head; x; x = x->next)
    if (csfle__eq(x->key, key)) return x;
  return NULL;
}

bool csfle__flight_begin(csfle__flights *f, csfle__flight *mine, csfle__bytes key, csfle__shared **result,
                         csfle_status *status, csfle_error *err)
{
  pthread_mutex_lock(&f->lock);
  csfle__flight *other = find(f, key);
  if (!other) {
    *mine = (csfle__flight){ .next = f->head, .key = key };
    f->head = mine;
    pthread_mutex_unlock(&f->lock);
    return true;
  }
  other->waiting++;
  while (!other->done) pthread_cond_wait(&f->change, &f->lock);
  *status = other->status, *result = other->result;
  if (err && *status != CSFLE_OK) *err = other->err;
  csfle__retain(*result);
  other->waiting--;
  pthread_cond_broadcast(&f->change);
  pthread_mutex_unlock(&f->lock);
  return false;
}

void csfle__flight_end(csfle__flights *f, csfle__flight *mine, csfle__shared *result, csfle_status status, const csfle_error *err)
{
  pthread_mutex_lock(&f->lock);
  for (csfle__flight **p = &f->head; *p; p = &(*p)->next)
    if (*p == mine) {
      *p = mine->next;
      break;
    }
  mine->done = true, mine->status = status, mine->result = result;
  if (err) mine->err = *err;
  pthread_cond_broadcast(&f->change);
  while (mine->waiting) pthread_cond_wait(&f->change, &f->lock);
  pthread_mutex_unlock(&f->lock);
}

bool csfle__flight_going(csfle__flights *f, csfle__bytes key)
{
  pthread_mutex_lock(&f->lock);
  bool going = find(f, key) != NULL;
  pthread_mutex_unlock(&f->lock);
  return going;
}
