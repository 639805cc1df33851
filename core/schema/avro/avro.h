/**
 * The Avro schema language as an immutable tree, private to this folder.
 *
 * Strings and JSON values are views into the parsed documents, which the schema keeps. Named types are shared: a
 * recursive schema is a graph with cycles, so whoever follows it marks named types by their id or keeps a stack on the
 * heap. Nothing here recurses on the C stack deeper than JSON texts nest (CSFLE__JSON_MAX_DEPTH).
 */
#ifndef CSFLE_SCHEMA_AVRO_AVRO_H
#define CSFLE_SCHEMA_AVRO_AVRO_H

#include "core/base/arena.h"
#include "core/base/json.h"
#include "core/schema/schema.h"

typedef enum csfle__avro_kind {
  AVRO_NULL, AVRO_BOOLEAN, AVRO_INT, AVRO_LONG, AVRO_FLOAT, AVRO_DOUBLE, AVRO_BYTES, AVRO_STRING, /* primitives */
  AVRO_RECORD, AVRO_ENUM, AVRO_FIXED,                                                            /* named */
  AVRO_ARRAY, AVRO_MAP, AVRO_UNION
} csfle__avro_kind;
/** "record": the word of the schema language. */
const char *csfle__avro_kind_name(csfle__avro_kind k);
/** The kind of a word, primitives only unless @p all; -1 for other words. */
int csfle__avro_kind_find(csfle__bytes word, bool all);
static inline bool csfle__avro_named(csfle__avro_kind k) { return k == AVRO_RECORD || k == AVRO_ENUM || k == AVRO_FIXED; }

typedef struct csfle__avro_type  csfle__avro_type;
typedef struct csfle__avro_field csfle__avro_field;

/** Extra attributes in order of appearance, and the same sorted by key (UTF-16 order). */
typedef struct csfle__avro_prop {
  csfle__bytes key;
  yyjson_val  *value;
} csfle__avro_prop;
typedef struct csfle__avro_props {
  csfle__avro_prop        *items;
  const csfle__avro_prop **sorted;
  size_t                   count;
} csfle__avro_props;
yyjson_val *csfle__avro_prop_find(const csfle__avro_props *p, const char *key);

/** Names in order of bytes, for searching. */
typedef struct csfle__avro_index {
  csfle__bytes name;
  uint32_t     pos;
} csfle__avro_index;
/** Position of @p name or -1. */
int64_t csfle__avro_index_find(const csfle__avro_index *ix, size_t count, csfle__bytes name);

typedef enum csfle__avro_order { AVRO_ASCENDING, AVRO_DESCENDING, AVRO_IGNORE } csfle__avro_order;

struct csfle__avro_field {
  csfle__bytes            name, doc; /**< doc.ptr NULL: none */
  const csfle__avro_type *type;
  yyjson_val             *def;       /**< NULL: none */
  bool                    def_double; /**< def was a string of a float or double: its value is def_value */
  double                  def_value;
  csfle__avro_order       order;
  const csfle__bytes     *aliases;
  size_t                  alias_count;
  csfle__avro_props       props;
};

struct csfle__avro_type {
  csfle__avro_kind         kind;
  bool                     error; /**< a record written "error" */
  uint32_t                 id;    /**< named types: 0 .. named_count - 1 */
  csfle__bytes             name, ns, full, doc;
  const csfle__bytes      *aliases; /**< full names */
  size_t                   alias_count;
  csfle__avro_field       *fields;
  const csfle__bytes      *symbols;
  const csfle__avro_type **branches;
  const csfle__avro_index *index; /**< of fields, symbols or branches */
  size_t                   count; /**< of fields, symbols or branches */
  csfle__bytes             enum_default; /**< ptr NULL: none */
  size_t                   size;         /**< fixed */
  const csfle__avro_type  *item;         /**< array, map */
  csfle__avro_props        props;
};

typedef struct csfle__avro_schema {
  csfle__schema            base;
  csfle__arena             arena;
  yyjson_doc             **docs; /**< references first, the text itself last */
  size_t                   doc_count;
  const csfle__avro_type  *root;
  const csfle__avro_type **ref_roots;
  csfle__reference        *refs; /**< copies, for parsing the normalised text again */
  size_t                   ref_count;
  uint32_t                 named_count;
  uint8_t                 *zero; /**< by id of records: 1 when its values take no bytes */
  unsigned                 flags;
} csfle__avro_schema;
static inline const csfle__avro_schema *csfle__avro(const csfle__schema *s) { return (const csfle__avro_schema *)(const void *)s; }

/** How names a branch of a union in errors, JSON text and duplicates: full name of named types, else the type's word. */
static inline csfle__bytes csfle__avro_branch_name(const csfle__avro_type *t)
{
  return csfle__avro_named(t->kind) ? t->full : csfle__str(csfle__avro_kind_name(t->kind));
}

/* ---- the functions of csfle__format_avro, one file each --------------------------------------------------------- */

csfle_status csfle__avro_parse(csfle__schema **out, csfle__bytes text, const csfle__reference *refs, size_t ref_count,
                               unsigned flags, csfle_error *err);
void         csfle__avro_free(csfle__schema *s);
csfle_status csfle__avro_canonical(const csfle__schema *s, csfle_buf *out, csfle_error *err);
csfle_status csfle__avro_normalized(const csfle__schema *s, csfle_buf *out, csfle_error *err);
csfle_status csfle__avro_formatted(const csfle__schema *s, csfle__bytes format, csfle_buf *out, csfle_error *err);
bool         csfle__avro_equivalent(const csfle__schema *a, const csfle__schema *b);
bool         csfle__avro_same_layout(const csfle__schema *a, const csfle__schema *b);

typedef enum csfle__avro_compare_mode {
  AVRO_SAME_DEFINITION, /**< a name given twice: names, fields, symbols, sizes, properties; no docs, no aliases (3.3) */
  AVRO_SAME_CONTENT,    /**< schema-registry.md 5.7 */
  AVRO_SAME_LAYOUT      /**< AB-1 */
} csfle__avro_compare_mode;
/** 1 equal, 0 not, -1 no memory. */
int csfle__avro_compare(const csfle__avro_type *a, const csfle__avro_type *b, csfle__avro_compare_mode mode);

/** Levels that a default may nest, and a bare value whose branch has to be found by trying: what recurses, on small stacks. */
#define CSFLE__AVRO_MAX_NESTED 100

/** Whether the containers of @p v nest at most CSFLE__AVRO_MAX_NESTED levels. */
bool csfle__avro_shallow(yyjson_val *v);
/** Whether @p v, which is shallow, is a default for @p t (3.4). *budget counts down the values looked at; 0 left answers false. */
bool csfle__avro_default_fits(const csfle__avro_type *t, yyjson_val *v, size_t *budget);

/** Whether a logical type is known and valid on @p t (3.5). */
bool csfle__avro_logical_valid(const csfle__avro_type *t, csfle__bytes *name);

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

#define CSFLE__AVRO_MAX_NUMBER 400 /**< characters of a number that is read as a double */

/** Whether the raw JSON number has neither fraction nor exponent. */
bool csfle__avro_integer(yyjson_val *v);
/** JSON number to double, in any locale; false for none or one of more than CSFLE__AVRO_MAX_NUMBER characters. */
bool csfle__avro_double(yyjson_val *v, double *out);
/** What Java's Double.valueOf takes, hexadecimal forms aside. */
bool csfle__avro_java_double(csfle__bytes text, double *out);
/** Double.toString (Float.toString with @p single): shortest digits, E from 10^7 and below 10^-3. @return length */
size_t csfle__avro_print_double(double v, bool single, char out[40]);
/** Appends a number as Jackson writes it: integers as digits, others as Java doubles. */
csfle_status csfle__avro_put_number(csfle_buf *b, yyjson_val *v, csfle_error *err);
/** Same JSON value, order of members aside: 1, 0, -1 no memory. */
int csfle__avro_json_same(yyjson_val *a, yyjson_val *b);
/** Appends any JSON value compactly; with @p sorted the keys of objects in UTF-16 order at every depth. */
csfle_status csfle__avro_put_json(csfle_buf *b, yyjson_val *v, bool sorted, csfle_error *err);

#endif
