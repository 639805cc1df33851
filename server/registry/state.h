/**
 * The registry's state: a fold of registry_state_apply over the log. No I/O, no lock, no clock, no thread: one at a
 * time may apply, readers may share while nobody does. Everything here can be rebuilt from the records.
 *
 * Text of names is the normalised qualified form everywhere: "s", ":.ctx:s", ":.ctx:" for a context; "" is the global
 * scope (the default context's own name).
 */
#ifndef REGISTRY_REGISTRY_STATE_H
#define REGISTRY_REGISTRY_STATE_H

#include "core/base/map.h"
#include "core/model/model.h"
#include "core/schema/schema.h"
#include "server/log/log.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct registry_subject registry_subject;
typedef struct registry_context registry_context;
typedef struct registry_version registry_version;
typedef struct registry_slab registry_slab;

/** A content as answers show it: members from guid to schema, comma first: ,"guid":..,"schema":".." */
typedef struct registry_rendered {
  size_t  len, schema_at; /**< schema_at: where ,"schema": begins */
  uint8_t text[];
} registry_rendered;

/** Text, type, references, metadata, rule set: kept once however many versions hold it; see contents.c. [SR 5.4] */
#define REGISTRY_CONTENT_KEY 52
typedef struct registry_content {
  uint8_t             key[REGISTRY_CONTENT_KEY]; /**< a hash of 16 bytes, type and number: what it is found by */
  bool                by_md5;  /**< the hash is the GUID */
  uint8_t             number;  /**< among contents of one key */
  csfle__schema_info *info;    /**< subject, id and version in it mean nothing; &own when there is nothing but a text */
  csfle__schema_info  own;
  registry_slab *slab;  /**< that it lies in, or NULL */
  _Atomic(void *)     guid, rendered; /**< registry_content_guid, _rendered */
  csfle__schema      *parsed;  /**< or NULL; see registry_state_parse */
  registry_version  **holders; /**< versions of any context */
  size_t              holder_count, holder_cap;
} registry_content;

/** Contents by GUID and type, made when first asked for; writers keep it up from then on. */
typedef struct registry_guids {
  pthread_mutex_t lock; /**< of readers that make it */
  atomic_bool     ready;
  bool            doubles; /**< some GUID and type has two contents */
  csfle__map      map;
} registry_guids;

/** An id of one context. */
typedef struct registry_id {
  int32_t           id;
  uint8_t           key[4]; /**< the same, big-endian */
  registry_content *content;
  size_t            versions; /**< that hold it; it goes with the last */
} registry_id;

struct registry_context {
  csfle__bytes name;   /**< "." or ".ctx" */
  csfle__map   ids;    /**< 4 bytes big-endian -> registry_id * */
  csfle__map   hashes; /**< content pointer's bytes -> registry_id *: the newest id given to it */
  int32_t      max_id; /**< never goes down */
  bool         known;  /**< listed by GET /contexts */
};

struct registry_version {
  registry_subject *subject;
  registry_content *content;
  int32_t           number, id;
  bool              deleted;
  int64_t           ts, offset;
};

struct registry_subject {
  csfle__bytes       name;    /**< qualified */
  registry_context  *context;
  registry_version **versions; /**< ascending */
  size_t             count, cap;
};

typedef enum registry_level {
  REGISTRY_LEVEL_UNSET, REGISTRY_NONE, REGISTRY_BACKWARD, REGISTRY_BACKWARD_TRANSITIVE, REGISTRY_FORWARD,
  REGISTRY_FORWARD_TRANSITIVE, REGISTRY_FULL, REGISTRY_FULL_TRANSITIVE, REGISTRY_LEVELS
} registry_level;
typedef enum registry_mode {
  REGISTRY_MODE_UNSET, REGISTRY_READWRITE, REGISTRY_READONLY, REGISTRY_READONLY_OVERRIDE, REGISTRY_IMPORT,
  REGISTRY_FORWARDING, REGISTRY_MODES
} registry_mode;
const char *registry_level_name(registry_level l);
/** Any case; false for an unknown one. */
bool registry_level_parse(csfle__bytes text, registry_level *out);
const char *registry_mode_name(registry_mode m);
bool registry_mode_parse(csfle__bytes text, registry_mode *out);

typedef enum { REGISTRY_UNSET = -1, REGISTRY_FALSE = 0, REGISTRY_TRUE = 1 } registry_flag;

/** A CONFIG record. Texts with ptr NULL are unset. [SR 2.11] */
typedef struct registry_config {
  csfle__arena     arena;
  csfle__bytes     alias, alias_for_deks, group, policy;
  registry_flag    normalize, validate_fields, validate_new_schemas, validate_rules;
  registry_level   level;
  csfle__metadata *default_metadata, *override_metadata;
  csfle__rule_set *default_rules, *override_rules;
} registry_config;

/** The DEKs of one KEK name, and the KEK unless only its DEKs are there. */
typedef struct registry_kek {
  csfle__bytes  name;
  csfle__kek   *kek;
  csfle__dek  **deks; /**< by subject (UTF-16 order), algorithm, version */
  size_t        count, cap;
} registry_kek;

typedef struct registry_trash registry_trash; /* trash.h */
typedef struct registry_moving registry_moving; /* move.h */

typedef struct registry_refs {
  registry_version **at;
  size_t             count, cap;
} registry_refs;

typedef struct registry_state {
  csfle__map contents;   /**< key, type and number -> registry_content * */
  registry_guids *guids;
  registry_slab *slab; /**< being filled, while the log is read */
  bool       loading;
  csfle__map contexts;   /**< name -> registry_context * */
  csfle__map subjects;   /**< qualified name -> registry_subject * */
  csfle__map configs;    /**< name -> registry_config * */
  csfle__map modes;      /**< name -> (void *)registry_mode */
  csfle__map referrers;  /**< qualified subject, NUL, version text -> registry_refs * */
  csfle__map keks;       /**< name -> registry_kek * */
  csfle__map trash;      /**< id -> registry_trash * */
  csfle__map trash_by_key; /**< key of a record -> the first registry_trash * of it */
  size_t     trash_bytes;  /**< of the records in it */
  csfle__map moves;      /**< name of a KEK -> registry_moving *: what a move replaced */
  size_t     kept_count; /**< records of moves */
  size_t     kek_count, dek_count; /**< soft-deleted ones too [DEK 4.7] */
  size_t     parsed_count;
  const csfle__log *log;
} registry_state;

registry_state *registry_state_new(const csfle__log *log);
void registry_state_free(registry_state *s);

/**
 * Applies one record. Records that cannot be read are logged (without their content) and skipped [SR 7.5] [DEK 5.5].
 * What a record of one topic does never depends on another topic.
 */
void registry_state_apply(registry_state *s, const registry_record *r);

/** The same in two steps: the first needs no state and may be done by another thread. */
typedef struct registry_parsed {
  registry_record r;     /**< without its bytes */
  yyjson_doc     *key, *value;
  const char     *wrong; /**< why it is to be skipped, or NULL */
} registry_parsed;
/** @p alc: where its documents lie, for registry_parsed_free or the end of that memory. */
void registry_record_parse(const registry_record *r, const yyjson_alc *alc, registry_parsed *out);
void registry_parsed_free(registry_parsed *p);
void registry_state_apply_parsed(registry_state *s, const registry_parsed *p);

/* ---- reading ------------------------------------------------------------------------------------------------- */

registry_context *registry_state_context(const registry_state *s, csfle__bytes name);
registry_subject *registry_state_subject(const registry_state *s, csfle__bytes name);
registry_version *registry_subject_version(const registry_subject *subject, int32_t number);
/** Highest undeleted (any with @p deleted), or NULL. */
registry_version *registry_subject_latest(const registry_subject *subject, bool deleted);
/** Whether the subject has a version that counts. */
bool registry_subject_live(const registry_subject *subject, bool deleted);
registry_id *registry_context_id(const registry_context *c, int32_t id);
registry_id *registry_context_hash(const registry_context *c, const registry_content *content);
/** The content with these members if it is stored; *clash (may be NULL): another content with this hash, when there is none. */
registry_content *registry_state_content(const registry_state *s, const csfle__schema_info *info, registry_content **clash);
/** The content of a type with this GUID, the first where there are two; NULL when there is none. Readers may share. */
registry_content *registry_state_guid(const registry_state *s, const uint8_t guid[16], csfle__bytes type);
/** The MD5 of a content, and its part of answers; made by the first that asks. Readers may share. */
const uint8_t *registry_content_guid(registry_content *c);
const registry_rendered *registry_content_rendered(registry_content *c);
registry_refs *registry_state_referrers(const registry_state *s, csfle__bytes subject, int32_t version);
registry_config *registry_state_config(const registry_state *s, csfle__bytes name);
registry_mode registry_state_mode(const registry_state *s, csfle__bytes name);
registry_kek *registry_state_kek(const registry_state *s, csfle__bytes name);
csfle__dek *registry_kek_dek(const registry_kek *k, csfle__bytes subject, csfle__algorithm a, int32_t version);
/** Index of the first DEK not before (subject, a, version) in k->deks. */
size_t registry_kek_find(const registry_kek *k, csfle__bytes subject, csfle__algorithm a, int32_t version);

/** Names of all contexts, "." first, then by UTF-16 order; *out is the caller's (csfle__free). */
size_t registry_state_context_names(const registry_state *s, csfle__bytes **out);
/** Subjects by UTF-16 order of their names; *out is the caller's. */
size_t registry_state_subjects(const registry_state *s, registry_subject ***out);

/* ---- between the files of this folder -------------------------------------------------------------------------- */

void registry_apply_schema(registry_state *s, const registry_record *r, yyjson_val *key, yyjson_val *value);
void registry_apply_delete_subject(registry_state *s, yyjson_val *value);
void registry_apply_clear_subject(registry_state *s, yyjson_val *key);
void registry_apply_config(registry_state *s, yyjson_val *key, yyjson_val *value);
void registry_apply_mode(registry_state *s, yyjson_val *key, yyjson_val *value);
void registry_apply_context(registry_state *s, yyjson_val *key, yyjson_val *value);
void registry_apply_trash(registry_state *s, const registry_record *r, yyjson_val *key, yyjson_val *value);
void registry_trash_free(registry_trash *t);
void registry_apply_move(registry_state *s, yyjson_val *key, yyjson_val *value);
void registry_moving_free(registry_moving *m);
void registry_apply_key(registry_state *s, const registry_record *r, yyjson_val *key, yyjson_val *value);
registry_context *registry_state_context_made(registry_state *s, csfle__bytes name);
void registry_version_remove(registry_state *s, registry_version *v);
/** The content with these members, made if need be. @p owned: @p info is taken, or freed. */
registry_content *registry_content_made(registry_state *s, csfle__schema_info *info, bool owned);
void registry_content_drop(registry_state *s, registry_content *c);
/** Around the reading of a log: new contents are many and will stay. */
void registry_contents_load(registry_state *s, bool begin);
void registry_content_unparse(registry_content *c);
registry_guids *registry_guids_new(void);
void registry_guids_free(registry_guids *g);
void registry_config_free(registry_config *c);
registry_config *registry_config_read(yyjson_val *value);
void registry_content_free(registry_content *c);
/** Appends the normalised qualified form of a reference's subject, seen from a subject of @p context. [SR 5.12] */
void registry_put_reference_subject(csfle_buf *b, csfle__bytes context, csfle__bytes subject);

#endif
