/** rewrap-deks: wraps the data keys under a KEK again, after its KMS key got a new version. [DEK 9.2] */
#include "client/deks/deks.h"
#include "tools/common/cli.h"

static const char help[] =
  "Usage: rewrap-deks [-hV] [-X=<prop=val>]... <url> <kekName> [<subject>]\n"
  "                   [<includeDeleted>]\n"
  "Rewrap DEKs using the latest version of the KEK.\n"
  "      <url>                   SR (Schema Registry) URL\n"
  "      <kekName>               KEK name\n"
  "      [<subject>]             Subject, defaults to all subjects\n"
  "      [<includeDeleted>]      Include deleted DEKs, defaults to true\n"
  "  -X, --property=<prop=val>   Set configuration property.\n"
  "  -h, --help                  Show this help message and exit.\n"
  "  -V, --version               Print version information and exit.\n";

int main(int argc, char **argv)
{
  cli         c = { .name = "rewrap-deks", .help = help, .names = { "<url>", "<kekName>", "<subject>", "<includeDeleted>" }, .required = 2, .max = 4 };
  csfle_error err = CSFLE_ERROR_INIT;
  bool        deleted = true;
  int         rc;
  if (!cli_parse(&c, argc, argv, &rc)) goto out;
  if (c.count > 3) {
    csfle__bytes word = csfle__str(c.operands[3]);
    deleted = csfle__eq_nocase(word, CSFLE__LIT("true"));
    if (!deleted && !csfle__eq_nocase(word, CSFLE__LIT("false"))) rc = cli_usage(&c, "Unmatched argument at index 3: '%s'", c.operands[3]);
  }
  if (!rc && !*c.operands[1]) rc = cli_usage(&c, "<kekName> is empty");
  if (!rc && c.count > 2 && !*c.operands[2]) rc = cli_usage(&c, "<subject> is empty; leave it out for all subjects");
  if (!rc) rc = cli_open(&c);
  if (!rc && csfle__deks_rewrap(c.client, csfle__str(c.operands[1]), csfle__str(c.count > 2 ? c.operands[2] : ""), deleted, cli_done, NULL, &err) != CSFLE_OK)
    rc = cli_fail(&err);
out:
  cli_close(&c);
  return rc;
}
