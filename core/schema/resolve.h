/**
 * Resolution: a value laid out by one schema, the writer's, written anew in the layout of another, the reader's. Both
 * schemas become one program, once; running it is one pass over the bytes.
 *
 *     writer schema + reader schema  --csfle__resolution_compile-->  program (immutable, any thread)
 *     value in the writer's layout   --csfle__resolve------------->  the same in the reader's
 *
 * Avro: fields by name and the reader's aliases, defaults of the reader, promotions, enum defaults, unions
 * (spec/serdes-and-rules.md 6.3; names as spec/schemas-and-compatibility.md 3.11). [AB-1] [SERDE-155]
 */
#ifndef CSFLE_SCHEMA_RESOLVE_H
#define CSFLE_SCHEMA_RESOLVE_H

#include "core/schema/plan.h"

#define CSFLE__RESOLVE_MAX_PAIRS 50000     /**< pairs of a writer's and a reader's type that are no scalars */
#define CSFLE__RESOLVE_MAX_CODE  4000000   /**< instructions */
#define CSFLE__RESOLVE_MAX_STEPS 20000000  /**< fields, branches, symbols and aliases looked at to compile */
/** Bytes of defaults, calls and bytes put in order that one value may take beside 64 for each of its bytes. */
#define CSFLE__RESOLVE_MAX_WORK  (64u << 20)

typedef struct csfle__resolution {
  const csfle__schema *writer, *reader; /**< borrowed: must outlive the resolution */
} csfle__resolution;

/**
 * CSFLE_E_SCHEMA_MISMATCH when no value could be resolved, naming the field, or past a limit; CSFLE_E_NOMEM. What only
 * some values lack (a branch that no reader's branch takes, an unknown symbol) is an error of those values.
 * Owner frees with csfle__resolution_free.
 */
csfle_status csfle__resolution_compile(csfle__resolution **out, const csfle__schema *writer, const csfle__schema *reader,
                                       csfle_error *err);
void csfle__resolution_free(csfle__resolution *r);
/**
 * Appends the value at the start of @p in, in the reader's layout, to @p out (give it CSFLE_BUF_WIPE: it holds the
 * value). @p w is memory to work with, none allocated once it has seen such a value; w->consumed gets the bytes taken.
 * Checks all that a walk of the writer's layout checks: CSFLE_E_DATUM with the offset in @p in and the writer's field.
 * On failure @p out is as it was.
 */
csfle_status csfle__resolve(const csfle__resolution *r, csfle__bytes in, csfle__walk *w, csfle_buf *out, csfle_error *err);

#endif
