/** Asking. See ask.h. */
#include "tools/csfle/ask.h"

#include "tools/common/report.h"
#include "tools/csfle/table.h"

#include <unistd.h>

int ask_for(const args *a, const char *word, const char *go_on)
{
  char line[1100], shown[1100];

  if (a->force) return 0;
  if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) return fail(EXIT_USAGE, "nothing was changed: there is no terminal to ask on; --yes says that it is meant");
  snprintf(shown, sizeof shown, "%s", word);
  table_tame(shown);
  fprintf(stderr, "Type %s to %s: ", shown, go_on);
  fflush(stderr);
  if (!fgets(line, sizeof line, stdin)) *line = 0;
  line[strcspn(line, "\r\n")] = 0;
  if (strcmp(line, word) == 0) return 0;
  return fail(EXIT_FAILED, "nothing was changed: that is not '%s'", shown);
}
