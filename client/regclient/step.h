/** What the client's machines are given from outside, and the loop that drives one to its end. How they are written: core/fetch/step.h. */
#ifndef CSFLE_REGCLIENT_STEP_H
#define CSFLE_REGCLIENT_STEP_H

#include "client/meter/meter.h"
#include "core/fetch/step.h"

/** What machines are given from outside. Borrowed by everything that uses it. */
typedef struct csfle__world {
  csfle__clock           clock;
  csfle__log             log;
  const csfle_transport *transport;
  uint32_t (*random)(uint32_t bound); /**< 0 .. bound-1 */
  csfle__meter *meter; /**< NULL: nothing is counted */
} csfle__world;

/** The two clocks of @p w, in milliseconds: monotonic for ages and waits, wall for what others' timestamps are compared with. */
static inline int64_t csfle__mono_ms(const csfle__world *w) { return w->clock.monotonic_ms(w->clock.opaque); }
static inline int64_t csfle__wall_ms(const csfle__world *w) { return w->clock.wall_ms(w->clock.opaque); }

/** A machine as its driver sees it: step, and where its io is after SEND, WAIT or NEED. */
typedef struct csfle__machine {
  csfle__next (*step)(void *self, csfle_error *err);
  csfle__io  *(*io)(void *self);
  void        *self;
} csfle__machine;
/** Drives @p m to its end, blocking. CSFLE_OK or the error of FAIL. */
csfle_status csfle__drive(const csfle__world *w, csfle__machine m, csfle_error *err);

#endif
