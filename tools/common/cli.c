/** Command line and client of the two tools. See cli.h. */
#include "tools/common/cli.h"

#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/resource.h>

int cli_usage(const cli *c, const char *fmt, ...)
{
  va_list ap;
  va_start(ap, fmt);
  vfprintf(stderr, fmt, ap);
  va_end(ap);
  fprintf(stderr, "\n%s", c->help);
  return EXIT_USAGE;
}

/* key=value of -X; the value may be a secret and is not repeated */
static int add_property(cli *c, const char *text)
{
  const char *equals = strchr(text, '=');
  if (!equals || equals == text) return cli_usage(c, "Value for option '--property' (<prop=val>) should be in KEY=VALUE format");
  int rc = props_add_text(&c->props, text);
  if (rc == EXIT_USAGE) fputs(c->help, stderr);
  return rc;
}

static int missing(const cli *c)
{
  char text[128] = "";
  for (int i = c->count; i < c->required; i++) {
    size_t n = strlen(text);
    snprintf(text + n, sizeof text - n, "%s'%s'", n ? ", " : "", c->names[i]);
  }
  return cli_usage(c, "Missing required parameter%s: %s", c->required - c->count > 1 ? "s" : "", text);
}

/* a group of -h and -V; they ask for nothing more to be looked at, though what follows must be well formed */
static bool flags(const char *arg, bool *help, bool *version)
{
  if (strcmp(arg, "--help") == 0 || strcmp(arg, "--version") == 0) {
    *(arg[2] == 'h' ? help : version) = true;
    return true;
  }
  size_t n = strspn(arg + 1, "hV");
  if (n == 0 || arg[1 + n]) return false;
  if (strchr(arg, 'h')) *help = true;
  if (strchr(arg, 'V')) *version = true;
  return true;
}

bool cli_parse(cli *c, int argc, char **argv, int *rc)
{
  static const char option[] = "--property";
  struct rlimit     none = { 0, 0 };
  bool              help = false, version = false, ended = false;
  const char       *extra = NULL;
  int               extra_at = 0;
  setrlimit(RLIMIT_CORE, &none); /* keys pass through this process */
#if !defined(__SANITIZE_ADDRESS__)
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
  report_name(c->name);
  *rc = 0;
  for (int i = 1; i < argc && !*rc; i++) {
    const char *arg = argv[i], *value = NULL;
    bool        is_operand = ended || arg[0] != '-' || !arg[1] || (arg[1] >= '0' && arg[1] <= '9');
    if (is_operand) {
      if (c->count < c->max) c->operands[c->count] = arg;
      else if (!extra) extra = arg, extra_at = c->count;
      c->count++;
      continue;
    }
    if (strcmp(arg, "--") == 0) {
      ended = true;
      continue;
    }
    if (flags(arg, &help, &version)) continue;
    if (strncmp(arg, "-X", 2) == 0) value = arg[2] ? arg + 2 : "";
    else if (strncmp(arg, option, sizeof option - 1) == 0 && (arg[sizeof option - 1] == '=' || !arg[sizeof option - 1])) value = arg + sizeof option - 1;
    else *rc = cli_usage(c, "Unknown option: '%.*s'", (int)strcspn(arg, "="), arg);
    if (!value) continue;
    bool joined = value[0] != 0;
    if (!joined && i + 1 < argc) value = argv[++i];
    else if (!joined) value = NULL;
    if (joined && value[0] == '=') value++;
    if (!value) *rc = cli_usage(c, "Missing required parameter for option '--property' (<prop=val>)");
    else *rc = add_property(c, value);
  }
  if (*rc) return false;
  if (help) fputs(c->help, stdout);
  if (help || version) {
    if (fflush(stdout) != 0 || ferror(stdout)) *rc = fail(EXIT_FAILED, "cannot write to standard output");
    return false;
  }
  if (extra) *rc = cli_usage(c, "Unmatched argument at index %d: '%.*s'", extra_at, (int)strcspn(extra, "="), extra); /* no secret after '=' */
  else if (c->count < c->required) *rc = missing(c);
  return *rc == 0;
}

static void log_line(void *opaque, int level, const char *facility, const char *text)
{
  (void)opaque, (void)level;
  note("%s: %s", facility, text);
}

int cli_open(cli *c)
{
  csfle_error   err = CSFLE_ERROR_INIT;
  csfle_config *config = csfle_config_new(NULL);
  int           rc = config ? 0 : fail(EXIT_FAILED, "no memory for the configuration");
  if (!rc && csfle_config_set(config, "http.connect.timeout.ms", "5000", &err) != CSFLE_OK) rc = fail(EXIT_FAILED, "%s", err.msg);
  if (!rc) rc = props_apply(&c->props, config, NULL);
  if (!rc && csfle_config_set(config, "schema.registry.url", c->operands[0], &err) != CSFLE_OK) rc = cli_usage(c, "<url>: %s", err.msg);
  if (!rc) {
    csfle_config_on_log(config, 4, log_line, NULL);
    c->client = csfle_client_open(config, &err);
    if (!c->client) rc = fail(err.code == CSFLE_E_CONFIG ? EXIT_USAGE : EXIT_FAILED, "%s", err.msg);
  }
  csfle_config_free(config);
  return rc;
}

void cli_close(cli *c)
{
  csfle_client_close(c->client);
  props_free(&c->props);
}

void cli_done(void *opaque, const char *text)
{
  (void)opaque;
  note("%s", text);
}

int cli_fail(const csfle_error *err)
{
  fail_with(err, NULL);
  return EXIT_FAILED;
}
