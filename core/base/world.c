/* The machine's clocks, and formatting log lines. */
#include "core/base/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
  struct timespec t;
  clock_gettime(id, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t wall(void *opaque) { return (void)opaque, read_clock(CLOCK_REALTIME); }
static int64_t monotonic(void *opaque) { return (void)opaque, read_clock(CLOCK_MONOTONIC); }

const csfle__clock csfle__system_clock = { wall, monotonic, NULL };

void csfle__log_line(const csfle__log *log, int level, const char *facility, const char *fmt, ...)
{
  char    text[1024];
  va_list ap;
  if (!log || !log->write || level > log->max_level) return;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  log->write(log->opaque, level, facility, text);
}
