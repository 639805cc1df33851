/** csfle: finds the command and runs it. */
#include "tools/csfle/args.h"
#include "tools/common/report.h"

#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define COMMAND(name) extern const command command_##name;
#include "tools/csfle/commands.def"
#undef COMMAND
#define COMMAND(name) &command_##name,
const command *const commands[] = {
#include "tools/csfle/commands.def"
  NULL
};

/* keys and plaintext pass through this process: no core files */
static void no_cores(void)
{
  struct rlimit none = { 0, 0 };
  setrlimit(RLIMIT_CORE, &none);
#if !defined(__SANITIZE_ADDRESS__) /* the leak checker needs to look into the process */
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

static int show_help(int argc, char **argv)
{
  int            words;
  const command *c = command_find(argc, argv, &words);
  if (argc < 2) commands_list(stdout, NULL);
  else if (c) command_help(c);
  else if (!commands_list(stdout, argv[1])) return fail(EXIT_USAGE, "there is no command '%s'; 'csfle --help' lists them", argv[1]);
  return 0;
}

static int run_command(const command *c, int argc, char **argv)
{
  char name[64];
  args a;
  int  rc;

  snprintf(name, sizeof name, "csfle %s", c->name);
  report_name(name);
  rc = args_parse(&a, c, argc, argv);
  if (rc == 0 && a.help) command_help(c);
  else if (rc == 0) rc = c->run(&a);
  args_free(&a);
  return rc;
}

int main(int argc, char **argv)
{
  int            rc, words = 0;
  const command *c;

  no_cores();
  stop_on_signals();
  c = command_find(argc, argv, &words);
  if (c) {
    rc = run_command(c, argc - words, argv + words);
  } else if (argc < 2) {
    commands_list(stderr, NULL);
    rc = EXIT_USAGE;
  } else if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
    rc = commands_list(stdout, NULL) ? 0 : EXIT_FAILED;
  } else if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
    printf("csfle %s (%s; librdkafka %s)\n", CSFLE_VERSION_TEXT, csfle_features(), rd_kafka_version_str());
    rc = 0;
  } else if (strcmp(argv[1], "help") == 0) {
    rc = show_help(argc - 1, argv + 1);
  } else if (argc == 2 && commands_list(stderr, argv[1])) {
    rc = EXIT_USAGE;
  } else if (argc == 3 && strcmp(argv[2], "--help") == 0 && commands_list(stdout, argv[1])) {
    rc = 0;
  } else {
    rc = fail(EXIT_USAGE, "there is no command '%s%s%s'; 'csfle --help' lists them", argv[1], argc > 2 && argv[2][0] != '-' ? " " : "",
              argc > 2 && argv[2][0] != '-' ? argv[2] : "");
  }
  if ((fflush(stdout) != 0 || ferror(stdout)) && rc == 0) rc = fail(EXIT_FAILED, "cannot write to standard output");
  return rc;
}
