/* See bell.h. */
#include "core/fetch/bell.h"

#include <errno.h>
#include <time.h>

#define LONGEST_MS INT64_C(86400000)

void csfle__bell_init(csfle__bell *b)
{
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_mutex_init(&b->lock, NULL);
  pthread_cond_init(&b->change, &monotonic);
  pthread_condattr_destroy(&monotonic);
  b->rung = false;
}

void csfle__bell_free(csfle__bell *b)
{
  pthread_cond_destroy(&b->change);
  pthread_mutex_destroy(&b->lock);
}

void csfle__bell_ring(csfle__bell *b)
{
  pthread_mutex_lock(&b->lock);
  b->rung = true;
  pthread_cond_signal(&b->change);
  pthread_mutex_unlock(&b->lock); /* the last touch */
}

bool csfle__bell_rung(csfle__bell *b)
{
  pthread_mutex_lock(&b->lock);
  bool rung = b->rung;
  pthread_mutex_unlock(&b->lock);
  return rung;
}

bool csfle__bell_wait(csfle__bell *b, int64_t ms)
{
  struct timespec end;
  int             rc = 0;
  if (ms > LONGEST_MS) ms = LONGEST_MS;
  clock_gettime(CLOCK_MONOTONIC, &end);
  if (ms > 0) end.tv_sec += (time_t)(ms / 1000), end.tv_nsec += (long)(ms % 1000) * 1000000;
  if (end.tv_nsec >= 1000000000) end.tv_sec++, end.tv_nsec -= 1000000000;
  pthread_mutex_lock(&b->lock);
  while (!b->rung && rc != ETIMEDOUT) rc = ms < 0 ? pthread_cond_wait(&b->change, &b->lock) : pthread_cond_timedwait(&b->change, &b->lock, &end);
  bool rung = b->rung;
  pthread_mutex_unlock(&b->lock);
  return rung;
}
