/* The registry's own thread. See look.h. */
#include "server/registry/look.h"
#include "server/registry/trash.h"

#include "server/log/must.h"

#include <time.h>

#define TICK_MS  1000
#define AGAIN_MS (3600 * 1000LL)
#define JUMP_MS  (3600 * 1000LL)      /* by which the wall clock parts from the other */
#define HOLD_MS  (24 * 3600 * 1000LL) /* nothing of the trash expires after that */

struct registry_keeper {
  registry       *g;
  pthread_t       thread;
  pthread_mutex_t lock;
  pthread_cond_t  wake;
  bool            ending;
  int64_t         every_ms, tidy_ms;
  int64_t         apart_ms, hold_until; /* of the two clocks; on the monotonic one */
  struct { const char *code; int64_t at; } said[REGISTRY_WARNINGS_MAX]; /* when a warning was logged last */
};

static void warn(registry_keeper *k, const registry_warning *list, int count, int64_t now)
{
  for (int i = 0; i < count; i++) {
    int at = 0;
    while (k->said[at].code && at < REGISTRY_WARNINGS_MAX - 1 && strcmp(k->said[at].code, list[i].code) != 0) at++;
    if (k->said[at].code && now - k->said[at].at < AGAIN_MS) continue;
    if (i && strcmp(list[i].code, list[i - 1].code) == 0) continue; /* KEKs and DEKs: one line an hour will do */
    k->said[at].code = list[i].code, k->said[at].at = now;
    csfle__log_line(k->g->out, 4, "warning", "%s: %s", list[i].code, list[i].text);
  }
}

static int64_t clocks_apart(const registry *g)
{
  return g->clock->wall_ms(g->clock->opaque) - g->clock->monotonic_ms(g->clock->opaque);
}

/* what expires is gone for good, and a clock that is wrong is put right again: there is time for that */
static void expire(registry_keeper *k, int64_t now)
{
  int64_t apart = clocks_apart(k->g), jumped = apart - k->apart_ms;

  if (jumped > JUMP_MS || jumped < -JUMP_MS) {
    k->hold_until = now + HOLD_MS;
    csfle__log_line(k->g->out, 4, "trash", "the clock jumped by %lld s: nothing in the trash expires for a day, so that it can be put right", (long long)(jumped / 1000));
  }
  k->apart_ms = apart;
#ifndef CSFLE_BREAK_CLOCK_BELIEVED
  if (now < k->hold_until) return;
#endif
  size_t gone = registry_trash_expire(k->g);
  if (gone) csfle__log_line(k->g->out, 6, "trash", "%zu entries have expired", gone);
}

static void *keep(void *opaque)
{
  registry_keeper  *k = (registry_keeper *)opaque;
  registry_warning *list = (registry_warning *)must_calloc(REGISTRY_WARNINGS_MAX * sizeof *list);
  registry_figures  f;
  int64_t           looked = INT64_MIN / 2, tidied = 0;
  int64_t           tick = k->every_ms < TICK_MS ? k->every_ms : TICK_MS;

  pthread_mutex_lock(&k->lock);
  while (!k->ending) {
    struct timespec until;
    pthread_mutex_unlock(&k->lock);
    int64_t now = k->g->clock->monotonic_ms(k->g->clock->opaque);
    if (!tidied) tidied = now; /* the start has done it */
    registry_unwraps_sweep(k->g->unwraps);
    if (now - looked >= k->every_ms) {
      looked = now;
      warn(k, list, registry_look(k->g, &f, list), now);
      expire(k, now);
    }
    if (now - tidied >= k->tidy_ms) {
      tidied = now;
      registry_tidy(k->g);
    }
    pthread_mutex_lock(&k->lock);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(tick % 1000) * 1000000;
    until.tv_sec += tick / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    if (!k->ending) pthread_cond_timedwait(&k->wake, &k->lock, &until);
  }
  pthread_mutex_unlock(&k->lock);
  csfle__free(list);
  return NULL;
}

registry_keeper *registry_keeper_start(registry *g, int64_t every_ms, int64_t tidy_ms)
{
  registry_keeper   *k = (registry_keeper *)must_calloc(sizeof *k);
  pthread_condattr_t attr;

  k->g = g;
  k->every_ms = every_ms, k->tidy_ms = tidy_ms;
  k->apart_ms = clocks_apart(g);
  k->hold_until = INT64_MIN;
  pthread_mutex_init(&k->lock, NULL);
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&k->wake, &attr);
  pthread_condattr_destroy(&attr);
  if (pthread_create(&k->thread, NULL, keep, k) == 0) return k;
  pthread_cond_destroy(&k->wake);
  pthread_mutex_destroy(&k->lock);
  csfle__free(k);
  return NULL;
}

void registry_keeper_stop(registry_keeper *k)
{
  if (!k) return;
  pthread_mutex_lock(&k->lock);
  k->ending = true;
  pthread_cond_signal(&k->wake);
  pthread_mutex_unlock(&k->lock);
  pthread_join(k->thread, NULL);
  pthread_cond_destroy(&k->wake);
  pthread_mutex_destroy(&k->lock);
  csfle__free(k);
}
