/* See unwrap.h. Lock order: the registry's, then this one; nobody is woken under either. */
#include "server/registry/unwrap.h"

#include "core/base/base64.h"
#include "server/log/must.h"

#define WRAPPED_MAX (64 * 1024) /* of Base64: a KEK may be shared after anything was stored under it */

typedef struct flight {
  registry_unwraps *table;
  size_t            refs;   /* the table's, its call's, and one of each who waits */
  csfle__arena      arena;
  csfle__bytes      id, kek_id; /* keys of the two records */
  int64_t           dek_offset, kek_offset;
  uint64_t          epoch; /* the table's when it was made */
  registry_kms_key  key;
  csfle__bytes      subject, wrapped;
  int64_t           made_ms;
  bool              done, ok;
  csfle__secret     material;
  int               status, code;
  char             *text; /* why not */
  int64_t           until_ms;
  registry_caller  *waiting;
  size_t            count, cap;
  struct flight    *next, **link; /* among those under way */
  struct flight    *behind; /* in its lane */
} flight;

/* the calls for one KEK; some wait for one to end when there are as many as may be */
typedef struct lane {
  size_t  calls;
  flight *first, *last;
} lane;

struct registry_unwraps {
  registry                *g;
  registry_unwraps_options options;
  pthread_mutex_t          lock;
  csfle__map               flights; /* id -> flight *: under way, or kept */
  flight                  *under_way; /* in the table or not */
  csfle__map               lanes; /* key of a KEK's record -> lane *, while it has calls */
  registry_unwraps_figures figures;
  uint64_t                 epoch; /* offsets mean something within one */
  bool                     ending;
};

registry_unwraps *registry_unwraps_new(registry *g, const registry_unwraps_options *o)
{
  registry_unwraps *u = (registry_unwraps *)must_calloc(sizeof *u);
  *u = (registry_unwraps){ .g = g, .options = *o };
  pthread_mutex_init(&u->lock, NULL);
  return u;
}

static void drop(flight *f)
{
  if (--f->refs) return;
  csfle__secret_wipe(&f->material);
  csfle__arena_free(&f->arena);
  csfle__free(f->text);
  csfle__free(f->waiting);
  csfle__free(f);
}

/* out of the table; whoever waits for it is still told */
static void forget(registry_unwraps *u, flight *f)
{
  if (csfle__map_get(&u->flights, f->id) != f) return;
  csfle__map_remove(&u->flights, f->id);
  drop(f);
}

void registry_unwraps_free(registry_unwraps *u)
{
  if (!u) return;
  while (u->flights.count) forget(u, (flight *)u->flights.entries[0].value);
  csfle__map_free(&u->flights, NULL);
  csfle__map_free(&u->lanes, csfle__free);
  pthread_mutex_destroy(&u->lock);
  csfle__free(u);
}

void registry_unwraps_forget_all(registry_unwraps *u)
{
  if (!u) return;
  pthread_mutex_lock(&u->lock);
  u->epoch++;
  while (u->flights.count) forget(u, (flight *)u->flights.entries[0].value);
  pthread_mutex_unlock(&u->lock);
}

void registry_unwraps_forget(registry_unwraps *u, csfle__bytes key)
{
  if (!u) return;
  pthread_mutex_lock(&u->lock);
  flight *f = (flight *)csfle__map_get(&u->flights, key);
  if (f) forget(u, f);
  else
    for (size_t i = u->flights.count; i-- > 0;) { /* a KEK's record ends all that is under it */
      f = (flight *)u->flights.entries[i].value;
      if (csfle__eq(f->kek_id, key)) forget(u, f);
    }
  pthread_mutex_unlock(&u->lock);
}

void registry_unwraps_sweep(registry_unwraps *u)
{
  int64_t now = u->g->clock->monotonic_ms(u->g->clock->opaque);
  pthread_mutex_lock(&u->lock);
  for (size_t i = u->flights.count; i-- > 0;) {
    flight *f = (flight *)u->flights.entries[i].value;
    if (f->done && f->until_ms <= now) forget(u, f);
  }
  pthread_mutex_unlock(&u->lock);
}

registry_unwraps_figures registry_unwraps_look(registry_unwraps *u)
{
  pthread_mutex_lock(&u->lock);
  registry_unwraps_figures figures = u->figures;
  figures.kept = 0;
  figures.waiting_max = u->options.waiting_max;
  for (size_t i = 0; i < u->flights.count; i++) figures.kept += ((const flight *)u->flights.entries[i].value)->done;
  pthread_mutex_unlock(&u->lock);
  return figures;
}

static const char busy[] = "too many requests are waiting for the KMS, try again later";

/* whether its call may be made now; else it is when one for the same KEK ends */
static bool enter(registry_unwraps *u, flight *f)
{
  lane *n = (lane *)csfle__map_get(&u->lanes, f->kek_id);
  if (!n) {
    n = (lane *)must_calloc(sizeof *n);
    must_map_put(&u->lanes, f->kek_id, n);
  }
#ifndef CSFLE_BREAK_NO_LANES
  if (u->options.of_one && n->calls >= u->options.of_one) {
    if (n->last) n->last->behind = f;
    else n->first = f;
    n->last = f;
    return false;
  }
#endif
  n->calls++;
  return true;
}

/* a call for a KEK is over: the one that takes its place, or NULL */
static flight *leave(registry_unwraps *u, csfle__bytes kek_id)
{
  lane   *n = (lane *)csfle__map_get(&u->lanes, kek_id);
  flight *f = n->first;
  if (f) {
    n->first = f->behind;
    if (!n->first) n->last = NULL;
  } else if (--n->calls == 0) {
    csfle__map_remove(&u->lanes, kek_id);
    csfle__free(n);
  }
  return f;
}

/* one call; the one that takes its place, or NULL */
static flight *call_one(flight *f)
{
  registry_unwraps *u = f->table;
  registry_problem *p = (registry_problem *)must_calloc(sizeof *p);
  csfle__secret     material = CSFLE__SECRET_INIT;

  pthread_mutex_lock(&u->lock);
  bool late = f->done || u->g->clock->monotonic_ms(u->g->clock->opaque) - f->made_ms > u->options.wait_ms; /* who waited may be gone */
  pthread_mutex_unlock(&u->lock);
  bool ok = late ? registry_refuse(p, 503, 503, "%s", busy) : registry_kms_unwrap(u->g, &f->key, f->subject, f->wrapped, &material, p);
  pthread_mutex_lock(&u->lock);
  if (!f->done) { /* else the end came first */
    f->ok = ok;
    f->done = true;
    csfle__secret_move(&f->material, &material);
    f->status = p->status, f->code = p->code;
    if (!ok) f->text = (char *)must(csfle__dup(p->text, strlen(p->text)));
  }
  *f->link = f->next;
  if (f->next) f->next->link = f->link;
  f->until_ms = u->g->clock->monotonic_ms(u->g->clock->opaque) + u->options.keep_ms;
  if (!f->ok || !u->options.keep_ms) forget(u, f);
  registry_caller *waiting = f->waiting; /* nobody joins what is done */
  size_t           count = f->count;
  f->waiting = NULL, f->count = 0;
  u->figures.waiting -= count;
  flight *next = leave(u, f->kek_id);
  drop(f); /* the call's; those who wait have theirs */
  pthread_mutex_unlock(&u->lock);
  for (size_t i = 0; i < count; i++) waiting[i].wake(waiting[i].waiter);
  csfle__free(waiting);
  csfle__secret_wipe(&material);
  csfle__free(p);
  return next;
}

/* on a thread that may block */
static void call_kms(void *arg)
{
  flight            *f = (flight *)arg;
  registry_executor *on = &f->table->options.blocking;
  do f = call_one(f); /* behind those of other KEKs, if there is room */
  while (f && !on->run(on->opaque, call_kms, f));
}

void registry_unwraps_end(registry_unwraps *u)
{
  registry_caller *all;
  size_t           n = 0;

  pthread_mutex_lock(&u->lock);
  u->ending = true;
  all = (registry_caller *)must_calloc((u->figures.waiting + 1) * sizeof *all);
  for (flight *f = u->under_way; f; f = f->next) {
    if (f->done) continue;
    f->done = true;
    f->status = f->code = 503;
    f->text = (char *)must(csfle__dup(busy, strlen(busy)));
    if (f->count) memcpy(all + n, f->waiting, f->count * sizeof *all);
    n += f->count;
    f->count = 0;
  }
  while (u->flights.count) forget(u, (flight *)u->flights.entries[0].value);
  u->figures.waiting -= n;
  pthread_mutex_unlock(&u->lock);
  for (size_t i = 0; i < n; i++) all[i].wake(all[i].waiter);
  csfle__free(all);
}

static flight *make(registry_unwraps *u, const csfle__kek *k, const csfle__dek *d, csfle__bytes id, registry_problem *p)
{
  flight       *f = (flight *)must_calloc(sizeof *f);
  csfle__bytes  text = d->encrypted_key_material;
  csfle_buf     kek_id;
  size_t        n = 0;

  f->table = u;
  f->refs = 1;
  f->made_ms = u->g->clock->monotonic_ms(u->g->clock->opaque);
  f->dek_offset = d->offset, f->kek_offset = k->offset, f->epoch = u->epoch;
  f->id = registry_copied(&f->arena, id);
  f->subject = registry_copied(&f->arena, d->subject);
  f->key = registry_kms_key_copied(&f->arena, k);
  csfle_buf_init(&kek_id, 0, 0);
  registry_put_kek_key(&kek_id, k->name);
  f->kek_id = registry_copied(&f->arena, csfle__buf_view(&kek_id));
  csfle_buf_free(&kek_id);
  uint8_t *raw = (uint8_t *)must(csfle__arena_alloc(&f->arena, (text.len > WRAPPED_MAX ? 0 : text.len) / 4 * 3 + 6));
  if (text.len > WRAPPED_MAX || !csfle__base64_decode(text, raw, &n)) {
    registry_refuse(p, 500, 50070, "Could not generate raw dek for %.*s: the wrapped key is %s", CSFLE__FMT(d->subject), text.len > WRAPPED_MAX ? "longer than any KMS makes one" : "not base64");
    drop(f);
    return NULL;
  }
  f->wrapped = csfle__view(raw, n);
  return f;
}

static registry_unwrapped take(const flight *f, csfle__secret *out, registry_problem *p)
{
  if (f->ok) {
    must_ok(csfle__secret_copy(out, csfle__secret_view(&f->material), NULL));
    return REGISTRY_UNWRAPPED;
  }
  registry_refuse(p, f->status, f->code, "%s", f->text);
  return REGISTRY_UNWRAP_FAILED;
}

void registry_unwrap_leave(registry *g, registry_caller *who)
{
  flight *f = (flight *)*who->waited;
  if (!f) return;
  *who->waited = NULL;
  pthread_mutex_lock(&g->unwraps->lock);
  drop(f);
  pthread_mutex_unlock(&g->unwraps->lock);
}

static registry_unwrapped too_many(registry_problem *p)
{
  registry_refuse(p, 503, 503, "%s", busy);
  return REGISTRY_UNWRAP_FAILED;
}

registry_unwrapped registry_unwrap(registry *g, const csfle__kek *k, const csfle__dek *d, registry_caller *who,
                                   csfle__secret *out, registry_problem *p)
{
  registry_unwraps  *u = g->unwraps;
  int64_t            now = g->clock->monotonic_ms(g->clock->opaque);
  flight            *own = (flight *)*who->waited, *f;
  registry_unwrapped rc = REGISTRY_UNWRAP_FAILED;
  csfle_buf          id;

  csfle_buf_init(&id, 0, 0);
  registry_put_dek_key(&id, d);
  pthread_mutex_lock(&u->lock);
  *who->waited = NULL;
  if (own && own->epoch == u->epoch && own->dek_offset == d->offset && own->kek_offset == k->offset && csfle__eq(own->id, csfle__buf_view(&id))) {
    rc = take(own, out, p);
    goto out;
  }
  f = (flight *)csfle__map_get(&u->flights, csfle__buf_view(&id));
  if (f && (f->dek_offset != d->offset || f->kek_offset != k->offset || (f->done && f->until_ms <= now))) {
    forget(u, f);
    f = NULL;
  }
#ifdef CSFLE_BREAK_NO_SINGLE_FLIGHT
  if (f) forget(u, f);
  f = NULL;
#endif
  if (f && f->done) {
    u->figures.hits++;
    rc = take(f, out, p);
    goto out;
  }
  if (u->ending || u->figures.waiting >= u->options.waiting_max) {
    rc = too_many(p);
    goto out;
  }
  if (f) {
    u->figures.joined++;
  } else {
    f = make(u, k, d, csfle__buf_view(&id), p);
    if (!f) goto out;
    must_map_put(&u->flights, f->id, f);
    f->refs++; /* the call's */
    f->next = u->under_way;
    f->link = &u->under_way;
    if (f->next) f->next->link = &f->next;
    u->under_way = f;
    if (enter(u, f) && (!u->options.blocking.run || !u->options.blocking.run(u->options.blocking.opaque, call_kms, f))) {
      (void)leave(u, f->kek_id); /* nobody waits in the lane: it was not full */
      u->under_way = f->next;
      if (f->next) f->next->link = &u->under_way;
      forget(u, f);
      drop(f);
      rc = too_many(p);
      goto out;
    }
  }
  /* the call takes this lock before it is done: it finds us among those who wait */
  f->refs++;
  *who->waited = f;
  u->figures.waiting++;
  who->park(who->waiter);
  must_grow((void **)&f->waiting, &f->cap, f->count + 1, sizeof *f->waiting);
  f->waiting[f->count++] = *who;
  rc = REGISTRY_UNWRAP_PARKED;
out:
  if (own) drop(own);
  pthread_mutex_unlock(&u->lock);
  csfle_buf_free(&id);
  return rc;
}
