/**
 * Machines: code that may need the network is written straight on and stops where it must wait. A machine is a struct
 * whose first use has `line` 0; its step function is called again with the answer until it says DONE or FAIL. What
 * lives over a stop is in the struct, never on the stack.
 *
 *     static csfle__next step(machine *m, ...) {
 *       csfle__next next;
 *       CSFLE__BEGIN(m);
 *       ...
 *       CSFLE__AWAIT(m, next, inner_step(&m->inner, err));   // DONE or FAIL in next afterwards
 *       ...
 *       CSFLE__END;
 *     }
 */
#ifndef CSFLE_FETCH_STEP_H
#define CSFLE_FETCH_STEP_H

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

#endif
