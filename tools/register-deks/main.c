/** register-deks: makes the data keys that a data contract needs, and the successors of those past their age. [DEK 9.1] */
#include "client/deks/deks.h"
#include "tools/common/cli.h"

static const char help[] =
  "Usage: register-deks [-hV] [-X=<prop=val>]... <url> <subject> [<version>]\n"
  "Register and/or auto-rotate DEKs according to a specified data contract.\n"
  "      <url>                   SR (Schema Registry) URL\n"
  "      <subject>               Subject\n"
  "      [<version>]             Version, defaults to latest\n"
  "  -X, --property=<prop=val>   Set configuration property.\n"
  "  -h, --help                  Show this help message and exit.\n"
  "  -V, --version               Print version information and exit.\n";

int main(int argc, char **argv)
{
  cli         c = { .name = "register-deks", .help = help, .names = { "<url>", "<subject>", "<version>" }, .required = 2, .max = 3 };
  csfle_error err = CSFLE_ERROR_INIT;
  int64_t     version = -1;
  int         rc;
  if (!cli_parse(&c, argc, argv, &rc)) goto out;
  if (c.count > 2 && (!csfle__parse_i64(csfle__str(c.operands[2]), &version) || version < INT32_MIN || version > INT32_MAX))
    rc = cli_usage(&c, "Invalid value for positional parameter at index 2 (<version>): '%s' is not an int", c.operands[2]);
  if (!rc) rc = cli_open(&c);
  if (!rc && csfle__deks_register(c.client, csfle__str(c.operands[1]), (int32_t)version, cli_done, NULL, &err) != CSFLE_OK) rc = cli_fail(&err);
out:
  cli_close(&c);
  return rc;
}
