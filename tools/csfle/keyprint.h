/** Keys as JSON and as lines for people. Plain key material and what looks like a secret among a KEK's properties are never among it. */
#ifndef CSFLE_TOOLS_KEYPRINT_H
#define CSFLE_TOOLS_KEYPRINT_H

#include "tools/csfle/args.h"
#include "tools/csfle/keyset.h"

/** Append the object without its closing brace, so that members may follow. */
csfle_status kek_put(csfle_buf *b, const csfle__kek *k);
csfle_status dek_put(csfle_buf *b, const csfle__dek *d);
/** What stands in the columns SUBJECTS, DEKS, OLDEST and STATE of `kek list`. */
typedef struct kek_state {
  size_t  subjects, deks;
  int64_t oldest_days;  /**< of the data keys in use; -1: none */
  int64_t overdue_days; /**< the shortest period that one in use is past; 0: none */
  char    text[64];     /**< "ok", "deleted 12d ago", "ROTATION OVERDUE (90d)" */
} kek_state;
kek_state kek_state_of(const keyset_kek *k, const keyset_rules *rules);

/** "label          value"; nothing for an absent value. Control characters become blanks. */
void print_line(const char *label, csfle__bytes value);
/** A key as lines, or as JSON with -o json. 0, or an exit code after the complaint. */
int print_kek(const args *a, const csfle__kek *k);
int print_dek(const args *a, const csfle__dek *d);

#endif
