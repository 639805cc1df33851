/**
 * Machines: code that may need the network is written straight on and stops where it must wait. A machine is a struct
 * whose first use has `line` 0; its step function is called again with the answer until it says DONE or FAIL. What
 * lives over a stop is in the struct, never on the stack.
 *
 *     static csfle__next step(machine *m, ...) {
 *       csfle__next next;
 *       CSFLE__BEGIN(m);
 *       ...
 *       CSFLE__AWAIT(m, next, csfle__rc_step(&m->call, ..., err));   // DONE or FAIL in next afterwards
 *       ...
 *       CSFLE__END;
 *     }
 */
#ifndef CSFLE_REGCLIENT_STEP_H
#define CSFLE_REGCLIENT_STEP_H

#include "core/fetch/fetch.h"

#define CSFLE__BEGIN(m) \
  switch ((m)->line) {  \
  case 0:
#define CSFLE__END \
  default: break; }
/** Returns @p what to the one who steps, goes on here. */
#define CSFLE__STOP(m, what)   \
  do {                         \
    (m)->line = __LINE__;      \
    return (what);             \
  case __LINE__:;              \
  } while (0)
/** Steps another machine to its end, passing on what it asks for. */
#define CSFLE__AWAIT(m, next, call)                        \
  do {                                                     \
    (m)->line = __LINE__;                                  \
    __attribute__((fallthrough));                          \
  case __LINE__:                                           \
    (next) = (call);                                       \
    if ((next) != CSFLE__DONE && (next) != CSFLE__FAIL) return (next); \
  } while (0)

/** What machines are given from outside. Borrowed by everything that uses it. */
typedef struct csfle__world {
  csfle__clock           clock;
  csfle__log             log;
  const csfle_transport *transport;
  uint32_t (*random)(uint32_t bound); /**< 0 .. bound-1 */
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
