/**
 * A parsed schema of any format, and the table of formats (formats.def). Immutable once parsed; any thread may read it.
 * A new format is one folder with one csfle__format and one line in formats.def.
 */
#ifndef CSFLE_SCHEMA_SCHEMA_H
#define CSFLE_SCHEMA_SCHEMA_H

#include "core/base/buf.h"

typedef struct csfle__schema csfle__schema;
typedef struct csfle__plan   csfle__plan;
struct csfle__selection;
struct csfle__walk;
struct csfle__replacement;
struct csfle__difference;
struct csfle__resolution;

/** Text of a resolved reference, children before parents (spec/schemas-and-compatibility.md 1.4). */
typedef struct csfle__reference {
  csfle__bytes name, text;
} csfle__reference;

#define CSFLE__SCHEMA_NEW 1u /**< strict names and defaults: a text that is being registered; else "stored" mode */

typedef struct csfle__format {
  const char *type; /**< "AVRO" */
  csfle_status (*parse)(csfle__schema **out, csfle__bytes text, const csfle__reference *refs, size_t ref_count,
                        unsigned flags, csfle_error *err);
  void (*free)(csfle__schema *s);
  /** Appends the canonical text, the one that is stored and hashed. */
  csfle_status (*canonical)(const csfle__schema *s, csfle_buf *out, csfle_error *err);
  /** Appends the normalised text. */
  csfle_status (*normalized)(const csfle__schema *s, csfle_buf *out, csfle_error *err);
  /** Appends the text for `format=` of the registry ("resolved"); unknown names give the canonical text. */
  csfle_status (*formatted)(const csfle__schema *s, csfle__bytes format, csfle_buf *out, csfle_error *err);
  /** Same content for the registry's equivalence (5.7): order of extra properties does not matter. */
  bool (*equivalent)(const csfle__schema *a, const csfle__schema *b);
  /** Whether bytes of one are laid out exactly as bytes of the other: types, order, branches; names do not matter. [AB-1] */
  bool (*same_layout)(const csfle__schema *a, const csfle__schema *b);
  /** Record name for RecordName strategies; empty when there is none. Borrowed. */
  csfle__bytes (*record_name)(const csfle__schema *s);
  /** Calls @p each for every inline tag at any place of the text: tag and the path it stands at. */
  void (*inline_tags)(const csfle__schema *s, void (*each)(void *opaque, csfle__bytes path, csfle__bytes tag), void *opaque);
  /* what plan.h and text.h call: see there */
  csfle_status (*plan_compile)(csfle__plan **out, const csfle__schema *s, const struct csfle__selection *sel, csfle_error *err);
  void (*plan_free)(csfle__plan *p);
  csfle_status (*walk)(const csfle__plan *p, csfle__bytes in, struct csfle__walk *w, csfle_error *err);
  csfle_status (*splice)(const csfle__plan *p, csfle__bytes in, const struct csfle__walk *w,
                         const struct csfle__replacement *r, csfle_buf *out, csfle_error *err);
  csfle_status (*to_json)(const csfle__schema *s, csfle__bytes in, unsigned flags, csfle_buf *out, size_t *consumed, csfle_error *err);
  csfle_status (*from_json)(const csfle__schema *s, csfle__bytes json, csfle_buf *out, csfle_error *err);
  /* what resolve.h calls: see there */
  csfle_status (*resolution_compile)(struct csfle__resolution **out, const csfle__schema *writer, const csfle__schema *reader, csfle_error *err);
  void (*resolution_free)(struct csfle__resolution *r);
  csfle_status (*resolve)(const struct csfle__resolution *r, csfle__bytes in, struct csfle__walk *w, csfle_buf *out, csfle_error *err);
  /* what compat.h calls: see csfle__schema_compare there */
  csfle_status (*compare)(const csfle__schema *reader, const csfle__schema *writer, bool *compatible,
                          csfle_status (*each)(void *opaque, const struct csfle__difference *d, csfle_error *err), void *opaque,
                          csfle_error *err);
  /** Appends the verbose line of an incompatible difference; @p reader and @p writer are the words "new" and "old". */
  csfle_status (*difference_line)(const struct csfle__difference *d, const char *reader, const char *writer, csfle_buf *out,
                                  csfle_error *err);
  /** Whether the schema has a top-level field of that name (spec/schemas-and-compatibility.md 1.7). */
  bool (*top_field)(const csfle__schema *s, csfle__bytes name);
} csfle__format;

/** The format of a schemaType ("" and AVRO are Avro); NULL when this build has none. */
const csfle__format *csfle__format_find(csfle__bytes type);
/** Parsed text; CSFLE_E_SCHEMA says what is wrong and where. Owner frees with csfle__schema_free. */
csfle_status csfle__schema_parse(csfle__schema **out, csfle__bytes type, csfle__bytes text, const csfle__reference *refs,
                                 size_t ref_count, unsigned flags, csfle_error *err);
void csfle__schema_free(csfle__schema *s);
const csfle__format *csfle__schema_format(const csfle__schema *s);

/* every format's struct begins with this */
struct csfle__schema {
  const csfle__format *format;
};

#endif
