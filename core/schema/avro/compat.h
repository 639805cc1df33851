/** The comparison of Avro schemas (3.11), for format.c: csfle__schema_compare and the lines of its differences. */
#ifndef CSFLE_SCHEMA_AVRO_COMPAT_H
#define CSFLE_SCHEMA_AVRO_COMPAT_H

#include "core/schema/compat.h"

/**
 * As csfle__format.compare. Time and memory grow with the schemas, and with the product of their branches where a
 * union meets a union. Past 250,000 pairs of types or 20 million fields, branches, aliases and symbols the answer is
 * "not compatible" with the one difference EXCEPTION that names the limit. The C stack does not grow.
 */
csfle_status csfle__avro_differences(const csfle__schema *reader, const csfle__schema *writer, bool *compatible,
                                     csfle__difference_fn each, void *opaque, csfle_error *err);
csfle_status csfle__avro_difference_line(const csfle__difference *d, const char *reader, const char *writer, csfle_buf *out,
                                         csfle_error *err);
bool csfle__avro_top_field(const csfle__schema *s, csfle__bytes name);

#endif
