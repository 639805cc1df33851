/** What the pure core asks of the world: time and a place for log lines. Passed in, so that tests own them. */
#ifndef CSFLE_BASE_WORLD_H
#define CSFLE_BASE_WORLD_H

#include "core/base/error.h"

typedef struct csfle__clock {
  int64_t (*wall_ms)(void *opaque);      /**< milliseconds since 1970-01-01 UTC */
  int64_t (*monotonic_ms)(void *opaque); /**< never goes back */
  void *opaque;
} csfle__clock;

/** The machine's clocks. */
extern const csfle__clock csfle__system_clock;

typedef struct csfle__log {
  void (*write)(void *opaque, int syslog_level, const char *facility, const char *text); /**< NULL: no log */
  void *opaque;
  int   max_level;
} csfle__log;

/** One line, if its level is wanted. Never data, keys or tokens. @p log may be NULL. */
void csfle__log_line(const csfle__log *log, int level, const char *facility, const char *fmt, ...) CSFLE__PRINTF(4, 5);

#endif
