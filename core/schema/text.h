/**
 * Encoded values to and from JSON text of the record, by their schema. Avro: the Avro JSON encoding.
 * Output may be plaintext: give a buffer with CSFLE_BUF_WIPE.
 */
#ifndef CSFLE_SCHEMA_TEXT_H
#define CSFLE_SCHEMA_TEXT_H

#include "core/schema/schema.h"

#define CSFLE__TEXT_PLAIN_UNIONS 1u /**< unions without the {"type": value} wrapper on output */

/** Appends the JSON text of the value at the start of @p in; *consumed (may be NULL) gets its size. CSFLE_E_DATUM. */
csfle_status csfle__value_to_json(const csfle__schema *s, csfle__bytes in, unsigned flags, csfle_buf *out,
                                  size_t *consumed, csfle_error *err);
/**
 * Appends the encoding of JSON text @p json. Unions are taken wrapped ({"string": "x"}), or bare in the first branch
 * in declared order that fits. An object of one member that is named like a branch is always a wrapper; bytes and fixed
 * are never bare. A missing field takes its default; unknown members, members given twice, values that do not fit and
 * numbers out of range are CSFLE_E_DATUM naming the field (never its value).
 */
csfle_status csfle__value_from_json(const csfle__schema *s, csfle__bytes json, csfle_buf *out, csfle_error *err);

#endif
