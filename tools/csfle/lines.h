/** Lines of a file or a pipe, of any length up to a limit; memory that held them is wiped. */
#ifndef CSFLE_TOOLS_LINES_H
#define CSFLE_TOOLS_LINES_H

#include "core/base/buf.h"

#define LINES_MAX_BYTES (16u << 20)

typedef struct lines {
  int         fd;
  const char *name;   /**< for complaints; borrowed */
  csfle_buf   buf;    /**< read but not yet handed out from `pos` on */
  size_t      pos;
  uint64_t    number; /**< of the line handed out last, from 1 */
  bool        ended;
  bool      (*idle)(void *opaque); /**< called some times a second while no byte comes; true: stop waiting */
  void       *opaque;
} lines;

typedef enum lines_next {
  LINES_LINE,
  LINES_TOO_LONG, /**< a line over LINES_MAX_BYTES was skipped */
  LINES_END,
  LINES_STOPPED,  /**< a signal or `idle` asked for the end */
  LINES_FAILED    /**< errno says why */
} lines_next;

/** "-": standard input. 0, or an exit code after the complaint. */
int        lines_open(lines *l, const char *path);
/** The next line without its end (\n or \r\n), valid until the next call. */
lines_next lines_read(lines *l, csfle__bytes *line);
void       lines_close(lines *l);

#endif
