/**
 * What records are counted in: a tally in each scratch, written by the one thread that holds it, summed when somebody asks
 * (csfle_client_stats). Nothing here is shared by threads on the hot path. Counters only grow.
 */
#ifndef CSFLE_SERDE_TALLY_H
#define CSFLE_SERDE_TALLY_H

#include "core/base/bytes.h"
#include "core/base/error.h"

#include <stdatomic.h>

#define CSFLE__STATUSES    24 /**< results of a call, the last for those not in the table */
#define CSFLE__TALLY_RULES 16 /**< rules of a subject that are told apart by name; the last stands for all others */
#define CSFLE__TALLY_NAME  64

enum { CSFLE__OP_WRITE, CSFLE__OP_READ };
/** Sealed or opened; left as they were, for the rule failed and that is tolerated; not passed on, for it is not. */
enum { CSFLE__FIELDS_DONE, CSFLE__FIELDS_PASSED, CSFLE__FIELDS_REFUSED, CSFLE__FIELDS };

typedef struct csfle__tally {
  _Atomic(uint64_t) messages[2][CSFLE__STATUSES];
  _Atomic(uint64_t) fields[CSFLE__TALLY_RULES][2][CSFLE__FIELDS];
} csfle__tally;

/** The counter has one writer: no read-modify-write is needed. */
static inline void csfle__tally_add(_Atomic(uint64_t) *c, uint64_t n)
{
  atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}
/** Index of a status in csfle__tally.messages, and back. */
size_t       csfle__tally_status(csfle_status st);
csfle_status csfle__tally_status_at(size_t i);
/** Adds all of @p from to @p to, which nobody else writes. */
void csfle__tally_sum(csfle__tally *to, const csfle__tally *from);

/** Of one subject, for the life of the client: what closed serdes counted, and the names of its rules. Under the client's lock. */
typedef struct csfle__ledger {
  struct csfle__ledger *next;
  csfle__tally          closed;
  size_t                rule_count;
  char                  rules[CSFLE__TALLY_RULES][CSFLE__TALLY_NAME];
  char                  subject[]; /**< NUL at the end */
} csfle__ledger;
/** Number of a rule by its name, added when it is new. */
uint32_t csfle__ledger_rule(csfle__ledger *l, csfle__bytes name);

#endif
