/* Any pattern against any path: bounded time, refused patterns match nothing, and a path without magic matches itself.
   Input: pattern, line feed, path. */
#include "fuzz/fuzz.h"

#include "core/schema/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  csfle__bytes path = csfle__view(data, size), pattern = fuzz_part(&path, '\n');
  bool         valid = csfle__tag_path_valid(pattern), match = csfle__tag_path_match(pattern, path), plain = true;
  if (!valid) MUST(!match);
  for (size_t i = 0; i < path.len; i++) plain = plain && path.ptr[i] < 0x80 && !memchr("*?[]{}()|+^$\\", path.ptr[i], 13);
  if (plain && path.len && csfle__tag_path_valid(path)) MUST(csfle__tag_path_match(path, path));
  return 0;
}
