/**
 * What a client counts about its requests, and what it tells the application: events, as JSON without data or key material.
 * Any thread; no lock is held while the application's callback runs. What is counted for each record is in the scratches
 * of serdes (client/serde/tally.h), so that the hot path shares nothing.
 */
#ifndef CSFLE_METER_METER_H
#define CSFLE_METER_METER_H

#include "core/base/bytes.h"
#include "core/base/world.h"

#include <pthread.h>

#define CSFLE__EVENTS         9  /**< numbers are below this */
#define CSFLE__TELL_AGAIN_MS  60000 /**< the same thing is not told again for so long */
#define CSFLE__TOLD           64
#define CSFLE__PEERS          8
#define CSFLE__HTTP_CODES     64
#define CSFLE__HTTP_BUCKETS   11

/** Upper bounds of csfle_http_seconds, in milliseconds; the last bucket has none. */
extern const int64_t csfle__http_bounds_ms[CSFLE__HTTP_BUCKETS - 1];

/** Requests to one kind of peer ("registry", "kms"). */
typedef struct csfle__peer {
  char     name[16];
  uint64_t count, sum_ms, buckets[CSFLE__HTTP_BUCKETS];
} csfle__peer;
typedef struct csfle__http_code {
  size_t   peer;
  int      status; /**< 0: no reply */
  uint64_t count;
} csfle__http_code;

typedef struct csfle__meter {
  csfle_event_fn    fn; /**< NULL: nobody listens */
  void             *opaque;
  csfle__clock      clock;
  _Atomic(uint64_t) events[CSFLE__EVENTS];
  pthread_mutex_t   lock; /**< of what follows */
  struct { uint64_t hash; int64_t at_ms; } told[CSFLE__TOLD];
  csfle__peer       peers[CSFLE__PEERS];
  csfle__http_code  codes[CSFLE__HTTP_CODES];
  size_t            peer_count, code_count;
} csfle__meter;
void csfle__meter_init(csfle__meter *m, csfle_event_fn fn, void *opaque, const csfle__clock *clock);
void csfle__meter_free(csfle__meter *m);

/** One request done; @p status 0: no reply. @p m may be NULL. Peers beyond the table's room count as "other", codes beyond it only in the histogram. */
void csfle__meter_http(csfle__meter *m, const char *purpose, int status, int64_t took_ms);

/** An event. What is empty, 0, NULL or no UTF-8 is left out of its JSON. */
typedef struct csfle__event {
  int                event; /**< CSFLE_EVENT_* */
  csfle__bytes       kek, subject;
  const char        *algorithm;
  int32_t            version, before; /**< DEK version, and the one it follows */
  uint64_t           count;           /**< encryptions, fields */
  const csfle_error *cause;
} csfle__event;
/**
 * Counts it and calls the application, but for what was told of the same event, names and cause within CSFLE__TELL_AGAIN_MS.
 * Events that happen once (made, rotated, near the limit) are always told. Allocates nothing. @p m may be NULL.
 */
void csfle__meter_tell(csfle__meter *m, const csfle__event *e);

#endif
