/**
 * What register-deks and rewrap-deks share: a command line of operands, -X, -h and -V, and an open client. The texts are
 * those of the tools that other clients come with, so that scripts and people need not learn new ones. [DEK 9]
 */
#ifndef CSFLE_TOOLS_REGISTER_DEKS_CLI_H
#define CSFLE_TOOLS_REGISTER_DEKS_CLI_H

#include "tools/common/props.h"
#include "tools/common/report.h"

#define CLI_MAX_OPERANDS 4

typedef struct cli {
  const char  *name, *help;              /**< help: all of it, with the line end */
  const char  *names[CLI_MAX_OPERANDS];  /**< "<url>", in order */
  int          required, max;
  const char  *operands[CLI_MAX_OPERANDS];
  int          count;
  props        props;
  csfle_client *client;
} cli;

/** Reads the command line. True: go on. False: *rc is the exit code, everything has been said. */
bool cli_parse(cli *c, int argc, char **argv, int *rc);
/** EXIT_USAGE after @p fmt and the help text on standard error. */
int  cli_usage(const cli *c, const char *fmt, ...) CSFLE__PRINTF(2, 3);
/** Opens c->client for the registry at operand 0. 0, or an exit code after the complaint. */
int  cli_open(cli *c);
void cli_close(cli *c);
/** A csfle__deks_fn: a line on standard error. */
void cli_done(void *opaque, const char *text);
/** EXIT_FAILED after the complaint, whatever kind of error it is. */
int  cli_fail(const csfle_error *err);

#endif
