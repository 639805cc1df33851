/**
 * Counted objects, a bounded cache of them with expiry, and single flight: of many threads that need one thing one
 * fetches it. Any thread. No lock is held while anything is fetched.
 */
#ifndef CSFLE_REGCLIENT_CACHE_H
#define CSFLE_REGCLIENT_CACHE_H

#include "core/base/error.h"
#include "core/base/map.h"

#include <pthread.h>

/** First member of whatever is shared. */
typedef struct csfle__shared {
  _Atomic(long) refs;
  void (*destroy)(struct csfle__shared *self);
  size_t        bytes; /**< about, for csfle_cache_bytes */
} csfle__shared;
static inline void csfle__shared_init(csfle__shared *s, void (*destroy)(csfle__shared *))
{
  s->refs = 1;
  s->destroy = destroy;
  s->bytes = 0;
}
static inline void csfle__retain(csfle__shared *s)
{
  if (s) s->refs++;
}
static inline void csfle__release(csfle__shared *s)
{
  if (s && --s->refs == 0) s->destroy(s);
}

typedef struct csfle__cache {
  pthread_mutex_t lock;
  csfle__map      map;
  size_t          max, bytes; /**< bytes: of all objects */
} csfle__cache;
void csfle__cache_init(csfle__cache *c, size_t max);
void csfle__cache_free(csfle__cache *c);
/** The object under @p key, retained for the caller, or NULL when there is none or @p now_ms is past its expiry. */
csfle__shared *csfle__cache_get(csfle__cache *c, csfle__bytes key, int64_t now_ms);
/** Keeps @p s (retained) until @p expires_ms (INT64_MAX: never); the oldest makes room. No memory: it is not kept. */
void csfle__cache_put(csfle__cache *c, csfle__bytes key, csfle__shared *s, int64_t expires_ms);
/** As csfle__cache_put, but only while *@p epoch is @p was: who changes it and then drops objects has dropped all that were put before. */
void csfle__cache_put_while(csfle__cache *c, csfle__bytes key, csfle__shared *s, int64_t expires_ms, const _Atomic(uint64_t) *epoch, uint64_t was);
void csfle__cache_drop(csfle__cache *c, csfle__bytes key);
/** Drops every object whose time is over. */
void csfle__cache_sweep(csfle__cache *c, int64_t now_ms);
/** How many objects are in it (expired ones count until they are looked for), and about how many bytes they are. */
void csfle__cache_size(csfle__cache *c, size_t *count, size_t *bytes);
/** Drops every object for which @p want says true. */
void csfle__cache_drop_if(csfle__cache *c, bool (*want)(void *opaque, csfle__shared *s), void *opaque);

/** That something is not there, for a moment: a stream of made-up ids or versions must not become a stream of requests. [AB-14] */
typedef struct csfle__missing {
  csfle__shared shared;
  csfle_error   err;
} csfle__missing;
#define CSFLE__MISSING_MS  1000
#define CSFLE__MISSING_MAX 1000
/** Remembers for CSFLE__MISSING_MS that @p key was answered with @p err. Without memory it does nothing. */
void csfle__missing_put(csfle__cache *c, csfle__bytes key, const csfle_error *err, int64_t now_ms);
/** True: it was not there a moment ago; *err says what was said then. */
bool csfle__missing_get(csfle__cache *c, csfle__bytes key, csfle_error *err, int64_t now_ms);

/** One fetch under way. Lives on the stack of the thread that leads it. */
typedef struct csfle__flight {
  struct csfle__flight *next;
  csfle__bytes          key;
  csfle_error           err;
  csfle_status          status;
  csfle__shared        *result;
  long                  waiting; /**< threads that wait for it: it may not go before they have looked */
  bool                  done;
} csfle__flight;
typedef struct csfle__flights {
  pthread_mutex_t lock;
  pthread_cond_t  change;
  csfle__flight  *head;
} csfle__flights;
void csfle__flights_init(csfle__flights *f);
void csfle__flights_free(csfle__flights *f);
/**
 * True: the caller leads, does the work and calls csfle__flight_end. False: another thread did it in the meantime;
 * *status, *err and *result (retained, or NULL) are what it got. @p key is borrowed until csfle__flight_end.
 */
bool csfle__flight_begin(csfle__flights *f, csfle__flight *mine, csfle__bytes key, csfle__shared **result,
                         csfle_status *status, csfle_error *err);
/** Tells the others; @p result is borrowed. Returns when all have looked. */
void csfle__flight_end(csfle__flights *f, csfle__flight *mine, csfle__shared *result, csfle_status status, const csfle_error *err);
/** Whether somebody leads a flight of @p key now. */
bool csfle__flight_going(csfle__flights *f, csfle__bytes key);

#endif
