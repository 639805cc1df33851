/**
 * What the user hears: one-line complaints, exit codes, progress and the summary of a run. All on stderr.
 * A complaint names the thing and what to do; it never holds a record's data, a key or a token.
 */
#ifndef CSFLE_TOOLS_REPORT_H
#define CSFLE_TOOLS_REPORT_H

#include "core/base/buf.h"

#include <stdio.h>

/** Exit codes of every command. */
enum {
  EXIT_DONE        = 0,
  EXIT_FAILED      = 1, /**< the asked-for thing failed */
  EXIT_USAGE       = 2,
  EXIT_MISSING     = 3, /**< not found */
  EXIT_DENIED      = 4,
  EXIT_UNAVAILABLE = 5, /**< or timed out: retry may help */
  EXIT_CONFLICT    = 6, /**< or incompatible */
  EXIT_PARTLY      = 7, /**< finished, but some records failed */
  EXIT_REFUSED     = 8  /**< by policy: plaintext would have been written, or a key asked of a host that is not allowed */
};

/** Name for complaints: "csfle produce". Borrowed. */
void report_name(const char *name);
/** Writes "csfle produce: ..." as one line (control characters become blanks) and returns @p code. */
int  fail(int code, const char *fmt, ...) CSFLE__PRINTF(2, 3);
/** A line of its own, as fail, for what is no failure. */
void note(const char *fmt, ...) CSFLE__PRINTF(1, 2);
/** Exit code of an error of the library. */
int  exit_code_of(const csfle_error *err);
/** Complains about @p err with a hint what to do about its kind; returns its exit code. @p what may be NULL. */
int  fail_with(const csfle_error *err, const char *what);

/** A run over records. */
typedef struct run {
  const char *done_word;   /**< "sent", "read" */
  const char *fields_word; /**< "encrypted", "decrypted" */
  bool        quiet, verbose, progress;
  uint64_t    records, done, failed, fields, passed_through, bytes;
  int64_t     start_ms, shown_ms;
  unsigned    complaints;
  int         first_failure; /**< exit code of the first failed record, 0 none */
  bool        mixed;         /**< failures of more than one exit code */
} run;

void run_begin(run *r, const char *done_word, const char *fields_word, bool quiet, bool verbose);
/** Progress once a second on a terminal or with -v. Cheap: call it for every record. */
void run_tick(run *r);
/** Counts a failed record and complains about the first ones: `place` is "line 7" or "orders [0] at offset 5". */
void run_failed(run *r, int code, const char *place, const char *why_where, const char *why);
/** The last line, and the exit code of the run: @p stopped when it is not 0, else 0, 7 or 4 (every record denied). */
int  run_end(run *r, int stopped);
double run_seconds(const run *r);
int64_t now_ms(void);

/** SIGINT and SIGTERM ask for the end (a second one ends at once); SIGPIPE is ignored. */
void stop_on_signals(void);
bool stop_wanted(void);

#endif
