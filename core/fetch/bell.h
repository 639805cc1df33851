/** A bell: one thread waits, any other rings it once. It stays rung. */
#ifndef CSFLE_FETCH_BELL_H
#define CSFLE_FETCH_BELL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct csfle__bell {
  pthread_mutex_t lock;
  pthread_cond_t  change;
  bool            rung;
} csfle__bell;
void csfle__bell_init(csfle__bell *b);
void csfle__bell_free(csfle__bell *b);
/** What was written before is seen by who finds it rung. The one who waits may free @p b as soon as this has let go of its lock. */
void csfle__bell_ring(csfle__bell *b);
bool csfle__bell_rung(csfle__bell *b);
/** Waits at most @p ms, for ever when below 0. Whether it was rung. */
bool csfle__bell_wait(csfle__bell *b, int64_t ms);

#endif
