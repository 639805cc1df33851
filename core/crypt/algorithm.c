/* See algorithm.h. */
#include "core/crypt/algorithm.h"

static const struct {
  const char *name;
  size_t      key_bytes, overhead;
} table[CSFLE__ALGORITHM_COUNT] = {
  [CSFLE__AES128_GCM] = { "AES128_GCM", 16, 28 },
  [CSFLE__AES256_GCM] = { "AES256_GCM", 32, 28 },
  [CSFLE__AES256_SIV] = { "AES256_SIV", 64, 16 },
};

const char *csfle__algorithm_name(csfle__algorithm a) { return table[a].name; }
size_t      csfle__algorithm_key_bytes(csfle__algorithm a) { return table[a].key_bytes; }
size_t      csfle__algorithm_overhead(csfle__algorithm a) { return table[a].overhead; }

bool csfle__algorithm_parse(csfle__bytes name, csfle__algorithm *out)
{
  for (int i = 0; i < CSFLE__ALGORITHM_COUNT; i++)
    if (csfle__eq_str(name, table[i].name)) return *out = (csfle__algorithm)i, true;
  return false;
}
