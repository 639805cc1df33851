/**
 * What registry and client exchange: schemas with metadata and rule sets, KEKs, DEKs. Parsed from JSON once into an
 * arena, then immutable; views point into the arena. Owner frees the whole object. Any thread may read.
 */
#ifndef CSFLE_MODEL_MODEL_H
#define CSFLE_MODEL_MODEL_H

#include "core/base/arena.h"
#include "core/base/json.h"
#include "core/crypt/algorithm.h"

/** name -> text, sorted by UTF-16 order of the names (rule params, metadata properties, kmsProps). */
typedef struct csfle__pair {
  csfle__bytes name, value;
} csfle__pair;
typedef struct csfle__pairs {
  csfle__pair *at;
  size_t       count;
} csfle__pairs;
/** Value of @p name, or {NULL,0}: tell "" from absent by ptr. */
csfle__bytes csfle__pairs_get(const csfle__pairs *p, const char *name);

typedef struct csfle__names {
  csfle__bytes *at;
  size_t        count;
} csfle__names;

typedef enum { CSFLE__TRANSFORM, CSFLE__CONDITION } csfle__rule_kind;
typedef enum { CSFLE__UPGRADE, CSFLE__DOWNGRADE, CSFLE__UPDOWN, CSFLE__WRITE, CSFLE__READ, CSFLE__WRITEREAD } csfle__rule_mode;
typedef enum { CSFLE__AT_ABSENT, CSFLE__AT_ALL, CSFLE__AT_CLIENT, CSFLE__AT_GATEWAY, CSFLE__AT_SERVER, CSFLE__AT_NONE } csfle__enable_at;
const char *csfle__rule_kind_name(csfle__rule_kind k);
const char *csfle__rule_mode_name(csfle__rule_mode m);
const char *csfle__enable_at_name(csfle__enable_at e);

/** Absent texts have ptr NULL; present empty ones do not. */
typedef struct csfle__rule {
  csfle__bytes     name, doc, type, expr, on_success, on_failure;
  csfle__rule_kind kind; /**< TRANSFORM when absent [SERDE-59] */
  csfle__rule_mode mode; /**< WRITEREAD when absent */
  csfle__names     tags; /**< sorted set */
  csfle__pairs     params;
  bool             disabled;
} csfle__rule;
typedef struct csfle__rules {
  csfle__rule *at;
  size_t       count;
} csfle__rules;
typedef struct csfle__rule_set {
  csfle__rules     migration, domain, encoding;
  csfle__enable_at enable_at;
} csfle__rule_set;

typedef struct csfle__tagged_path {
  csfle__bytes pattern;
  csfle__names tags; /**< sorted set */
} csfle__tagged_path;
typedef struct csfle__metadata {
  csfle__tagged_path *tags;
  size_t              tag_count;
  csfle__pairs        properties;
  csfle__names        sensitive;
} csfle__metadata;

typedef struct csfle__schema_ref {
  csfle__bytes name, subject;
  int32_t      version;
} csfle__schema_ref;

/**
 * A schema as the registry answers or takes it (2.5, 2.6, 2.8, 2.9, topic values). Absent: ptr NULL, id -1,
 * version 0, ts -1, metadata / rule_set NULL (present but empty: not NULL).
 */
typedef struct csfle__schema_info {
  csfle__arena       arena;
  csfle__bytes       subject, guid, schema_type, schema; /**< schema_type "AVRO" when absent */
  int32_t            id, version;
  csfle__schema_ref *references;
  size_t             reference_count;
  csfle__metadata   *metadata;
  csfle__rule_set   *rule_set;
  int64_t            ts;
  bool               deleted;
} csfle__schema_info;

/**
 * From a JSON object; unknown members are ignored [SERDE-60]; numbers and booleans are taken for texts as Jackson does.
 * An unknown kind, mode or enableAt is CSFLE_E_RULE [SERDE-61]; another wrong shape CSFLE_E_SCHEMA.
 */
csfle_status csfle__schema_info_parse(csfle__schema_info **out, yyjson_val *obj, csfle_error *err);
void csfle__schema_info_free(csfle__schema_info *s);
/** Parts on their own, into @p a; absent or null gives *out NULL. */
csfle_status csfle__metadata_parse(csfle__arena *a, yyjson_val *v, csfle__metadata **out, csfle_error *err);
csfle_status csfle__rule_set_parse(csfle__arena *a, yyjson_val *v, csfle__rule_set **out, csfle_error *err);
csfle_status csfle__references_parse(csfle__arena *a, yyjson_val *v, csfle__schema_ref **out, size_t *count, csfle_error *err);

/** Append as JSON objects, empty members left out, kind mode disabled always there (2.2 to 2.4). */
csfle_status csfle__metadata_put(csfle_buf *b, const csfle__metadata *m, csfle_error *err);
csfle_status csfle__rule_put(csfle_buf *b, const csfle__rule *r, csfle_error *err);
csfle_status csfle__rule_set_put(csfle_buf *b, const csfle__rule_set *r, csfle_error *err);
csfle_status csfle__references_put(csfle_buf *b, const csfle__schema_ref *r, size_t count, csfle_error *err);
/** {"a":"1"} in order. */
csfle_status csfle__pairs_put(csfle_buf *b, const csfle__pairs *p, csfle_error *err);
csfle_status csfle__names_put(csfle_buf *b, const csfle__names *n, csfle_error *err);

/** Equal contents; NULL equals NULL only; an empty text is an absent one, for neither is stored or hashed. */
bool csfle__metadata_equal(const csfle__metadata *a, const csfle__metadata *b);
bool csfle__rule_set_equal(const csfle__rule_set *a, const csfle__rule_set *b);
bool csfle__references_equal(const csfle__schema_ref *a, size_t an, const csfle__schema_ref *b, size_t bn);

/** Section 6.2 of schema-registry.md: CSFLE_E_RULE with exactly the text given there. */
csfle_status csfle__rule_set_validate(const csfle__rule_set *r, csfle_error *err);
/** Merges of 6.3, into @p a: merge(x, NULL) = x. Results may share parts with both inputs. NULL result and true: nothing. */
csfle_status csfle__metadata_merge(csfle__arena *a, csfle__metadata *x, csfle__metadata *y, csfle__metadata **out, csfle_error *err);
csfle_status csfle__rule_set_merge(csfle__arena *a, csfle__rule_set *x, csfle__rule_set *y, csfle__rule_set **out, csfle_error *err);

/** MD5 of content (5.4): text, references, metadata, rule set. The 16 bytes; as a GUID in csfle__guid_text. */
csfle_status csfle__content_hash(csfle__bytes text, const csfle__schema_ref *refs, size_t ref_count,
                                 const csfle__metadata *m, const csfle__rule_set *r, uint8_t out[16], csfle_error *err);
/** 36 characters and NUL. */
void csfle__guid_text(const uint8_t guid[16], char out[37]);
/** 8-4-4-4-12 or 32 hex digits; false otherwise. */
bool csfle__guid_parse(csfle__bytes text, uint8_t out[16]);

typedef struct csfle__kek {
  csfle__arena arena;
  csfle__bytes name, kms_type, kms_key_id, doc; /**< doc.ptr NULL: none */
  csfle__pairs kms_props;
  bool         shared, deleted;
  int64_t      ts; /**< ms since the epoch; 0 unknown */
  int64_t      offset; /**< of its record, in a registry */
} csfle__kek;
typedef struct csfle__dek {
  csfle__arena     arena;
  csfle__bytes     kek_name, subject, encrypted_key_material; /**< base64 text; ptr NULL: none */
  csfle__secret    key_material;                              /**< decoded from keyMaterial; empty: none. Wiped on free */
  csfle__algorithm algorithm;                                 /**< AES256_GCM when absent */
  int32_t          version;                                   /**< 0 when absent */
  bool             deleted;
  int64_t          ts, offset;
} csfle__dek;
csfle_status csfle__kek_parse(csfle__kek **out, yyjson_val *obj, csfle_error *err);
void csfle__kek_free(csfle__kek *k);
/**
 * As Jackson reads it (dek-registry.md 2.1): numbers for texts, texts for numbers. An unknown algorithm and material that is not
 * Base64 are CSFLE_E_SCHEMA. The characters of keyMaterial are zeroed in @p obj, whose owner does not wipe it. [ENC-101]
 */
csfle_status csfle__dek_parse(csfle__dek **out, yyjson_val *obj, csfle_error *err);
void csfle__dek_free(csfle__dek *d);
/** KEK name rule of dek-registry.md 2.6 (1..256 UTF-16 units, Unicode letters/digits _ -). [ENC-78] */
bool csfle__kek_name_valid(csfle__bytes name);

/** A qualified subject (3.1): context without colons (".ctx", "." default, "*"), rest. Views into @p text. */
typedef struct csfle__subject {
  csfle__bytes context, name;
} csfle__subject;
csfle__subject csfle__subject_parse(csfle__bytes text);
/** Appends the normalised form: just the name in the default context, else ":.ctx:name". */
csfle_status csfle__subject_put(csfle_buf *b, csfle__subject s, csfle_error *err);

/** Appends @p text percent-encoded as one path segment (RFC 3986: unreserved, sub-delims, ':' and '@' stay). [SERDE-47] */
csfle_status csfle__put_path_segment(csfle_buf *b, csfle__bytes text, csfle_error *err);
/** Appends @p text percent-encoded as a query value: only unreserved stay, blank is %20. */
csfle_status csfle__put_query_value(csfle_buf *b, csfle__bytes text, csfle_error *err);

#endif
