/* See must.h. */
#include "server/log/must.h"

#include <stdio.h>
#include <stdlib.h>

void registry_out_of_memory(void)
{
  fputs("csfle-registry: out of memory; ending rather than going on with half a change\n", stderr);
  abort();
}

void put_int(csfle_buf *b, int64_t n)
{
  char     text[24];
  size_t   at = sizeof text;
  uint64_t u = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;

  do text[--at] = (char)('0' + u % 10), u /= 10;
  while (u);
  if (n < 0) text[--at] = '-';
  must_ok(csfle__buf_put(b, text + at, sizeof text - at, NULL));
}
