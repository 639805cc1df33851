/* Counters of records. See tally.h. */
#include "client/serde/tally.h"

#include <string.h>

static const csfle_status statuses[] = {
  CSFLE_OK,       CSFLE_E_WOULD_BLOCK, CSFLE_E_TIMEOUT, CSFLE_E_UNAVAILABLE,     CSFLE_E_THROTTLED, CSFLE_E_WIRE,            CSFLE_E_DATUM,
  CSFLE_E_TYPE,   CSFLE_E_DECRYPT,     CSFLE_E_CONDITION, CSFLE_E_CONFIG,        CSFLE_E_SCHEMA,    CSFLE_E_RULE,            CSFLE_E_SCHEMA_MISMATCH,
  CSFLE_E_POLICY, CSFLE_E_UNAUTHENTICATED, CSFLE_E_FORBIDDEN, CSFLE_E_KEY_GONE,  CSFLE_E_NOMEM,     CSFLE_E_SPACE,           CSFLE_E_MISUSE,
  CSFLE_E_INTERNAL,
};
#define COUNT (sizeof statuses / sizeof *statuses)
_Static_assert(COUNT < CSFLE__STATUSES, "one place is for statuses that are not in the table");

size_t csfle__tally_status(csfle_status st)
{
  for (size_t i = 0; i < COUNT; i++)
    if (statuses[i] == st) return i;
  return CSFLE__STATUSES - 1;
}

csfle_status csfle__tally_status_at(size_t i) { return i < COUNT ? statuses[i] : -1; }

void csfle__tally_sum(csfle__tally *to, const csfle__tally *from)
{
  for (size_t op = 0; op < 2; op++) {
    for (size_t i = 0; i < CSFLE__STATUSES; i++) csfle__tally_add(&to->messages[op][i], from->messages[op][i]);
    for (size_t r = 0; r < CSFLE__TALLY_RULES; r++)
      for (size_t i = 0; i < CSFLE__FIELDS; i++) csfle__tally_add(&to->fields[r][op][i], from->fields[r][op][i]);
  }
}

uint32_t csfle__ledger_rule(csfle__ledger *l, csfle__bytes name)
{
  size_t n = name.len < CSFLE__TALLY_NAME - 1 ? name.len : CSFLE__TALLY_NAME - 1;
  while (n && n < name.len && (name.ptr[n] & 0xC0) == 0x80) n--; /* not in the middle of a character */
  for (size_t i = 0; i < l->rule_count; i++)
    if (strlen(l->rules[i]) == n && (!n || memcmp(l->rules[i], name.ptr, n) == 0)) return (uint32_t)i;
  if (l->rule_count == CSFLE__TALLY_RULES) return CSFLE__TALLY_RULES - 1;
  char *place = l->rules[l->rule_count];
  if (l->rule_count == CSFLE__TALLY_RULES - 1) {
    memcpy(place, "other", 6);
  } else {
    if (n) memcpy(place, name.ptr, n);
    place[n] = 0;
  }
  return (uint32_t)l->rule_count++;
}
