/** Complaints, exit codes, progress, summary. */
#include "tools/common/report.h"

#include "core/base/world.h"

#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

#define MAX_COMPLAINTS 20 /* about single records; -v shows all */

static const char *program = "csfle";
static bool        progress_line; /* the cursor stands after a progress text */

void report_name(const char *name) { program = name; }

static void end_progress(void)
{
  if (progress_line) fputs("\r\033[K", stderr);
  progress_line = false;
}

static void say(const char *fmt, va_list ap)
{
  char line[4096];
  end_progress();
  vsnprintf(line, sizeof line, fmt, ap);
  for (char *p = line; *p; p++)
    if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = ' '; /* texts of a registry or broker are not to steer a terminal */
  fprintf(stderr, "%s: %s\n", program, line);
}

int fail(int code, const char *fmt, ...)
{
  va_list ap;
  va_start(ap, fmt);
  say(fmt, ap);
  va_end(ap);
  return code;
}

void note(const char *fmt, ...)
{
  va_list ap;
  va_start(ap, fmt);
  say(fmt, ap);
  va_end(ap);
}

int exit_code_of(const csfle_error *err)
{
  switch (err->http) {
    case 401: case 403: return EXIT_DENIED;
    case 404: return EXIT_MISSING;
    case 409: return EXIT_CONFLICT;
    case 408: case 429: case 500: case 502: case 503: case 504: return EXIT_UNAVAILABLE;
    default: break;
  }
  switch (CSFLE_CLASS(err->code)) {
    case 0: return EXIT_DONE;
    case CSFLE_CLASS_WAIT: return EXIT_UNAVAILABLE;
    case CSFLE_CLASS_DENIED: return EXIT_DENIED;
    default: break;
  }
  return err->code == CSFLE_E_POLICY ? EXIT_REFUSED : EXIT_FAILED;
}

static const char *hint_of(const csfle_error *err, int code)
{
  switch (code) {
    case EXIT_REFUSED:
      if (strstr(err->msg, "csfle.allow.kms.hosts")) return ""; /* a host, and what to set is said */
      return "; nothing more was written; change the rule or name the exception (csfle.allow.plaintext)";
    case EXIT_UNAVAILABLE: return "; see that it runs and can be reached (-r is the address of the registry), then try again";
    case EXIT_DENIED: return "; check the credentials";
    default: break;
  }
  return strstr(err->msg, "cannot load secret") ? "; give it by LOCAL_SECRET or -X secret=@FILE" : "";
}

int fail_with(const csfle_error *err, const char *what)
{
  int code = exit_code_of(err);
  return fail(code, "%s%s%s%s%s%s", what ? what : "", what ? ": " : "", err->where, *err->where ? ": " : "", err->msg,
              hint_of(err, code));
}

int64_t now_ms(void) { return csfle__system_clock.monotonic_ms(csfle__system_clock.opaque); }

void run_begin(run *r, const char *done_word, const char *fields_word, bool quiet, bool verbose)
{
  *r             = (run){ 0 };
  r->done_word   = done_word;
  r->fields_word = fields_word;
  r->quiet       = quiet;
  r->verbose     = verbose;
  r->progress    = !quiet && (verbose || isatty(STDERR_FILENO));
  r->start_ms = r->shown_ms = now_ms();
}

double run_seconds(const run *r) { return (double)(now_ms() - r->start_ms) / 1000; }

/* 4700 -> "4,700" */
static const char *grouped(char out[32], uint64_t n)
{
  char  digits[24];
  int   len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
  char *p   = out;
  for (int i = 0; i < len; i++) {
    if (i && (len - i) % 3 == 0) *p++ = ',';
    *p++ = digits[i];
  }
  *p = 0;
  return out;
}

static uint64_t rate_of(const run *r)
{
  int64_t spent = now_ms() - r->start_ms;
  return spent > 0 ? r->done * 1000 / (uint64_t)spent : r->done * 1000;
}

void run_tick(run *r)
{
  int64_t now;
  char    rate[32];
  if (!r->progress) return;
  now = now_ms();
  if (now - r->shown_ms < 1000) return;
  r->shown_ms = now;
  end_progress();
  fprintf(stderr, "%llu records, %llu %s, %llu failed, %s/s", (unsigned long long)r->records, (unsigned long long)r->done,
          r->done_word, (unsigned long long)r->failed, grouped(rate, rate_of(r)));
  if (isatty(STDERR_FILENO)) progress_line = true;
  else fputc('\n', stderr);
  fflush(stderr);
}

void run_failed(run *r, int code, const char *place, const char *why_where, const char *why)
{
  r->failed++;
  if (!r->first_failure) r->first_failure = code;
  else if (r->first_failure != code) r->mixed = true;
  if (r->verbose || r->complaints < MAX_COMPLAINTS)
    note("%s: %s%s%s", place, why_where ? why_where : "", why_where && *why_where ? ": " : "", why);
  else if (r->complaints == MAX_COMPLAINTS)
    note("more records failed; -v shows each");
  r->complaints++;
}

int run_end(run *r, int stopped)
{
  char rate[32], passed[64] = "";
  end_progress();
  if (r->passed_through) snprintf(passed, sizeof passed, ", %llu passed through as ciphertext", (unsigned long long)r->passed_through);
  if (!r->quiet)
    fprintf(stderr, "%llu records, %llu %s, %llu failed, %llu fields %s%s, %.1f s (%s/s)\n", (unsigned long long)r->records,
            (unsigned long long)r->done, r->done_word, (unsigned long long)r->failed, (unsigned long long)r->fields,
            r->fields_word, passed, run_seconds(r), grouped(rate, rate_of(r)));
  if (stopped) return stopped;
  if (!r->failed) return EXIT_DONE;
  return r->done == 0 && !r->mixed && r->first_failure == EXIT_DENIED ? EXIT_DENIED : EXIT_PARTLY;
}

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
  (void)number;
  stop = 1;
}

void stop_on_signals(void)
{
  struct sigaction sa = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND }; /* no SA_RESTART: reads return */
  sigaction(SIGINT, &sa, NULL);
  sigaction(SIGTERM, &sa, NULL);
  signal(SIGPIPE, SIG_IGN);
}

bool stop_wanted(void) { return stop != 0; }
