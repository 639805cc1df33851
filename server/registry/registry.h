/**
 * Commands on the state: each checks, makes records, appends and applies them, in that order, under the one writer
 * lock. The caller holds the lock (registry_begin) and, before it lets anything out, waits for registry_end's position.
 */
#ifndef REGISTRY_REGISTRY_REGISTRY_H
#define REGISTRY_REGISTRY_REGISTRY_H

#include "server/registry/state.h"

#include <pthread.h>
#include <stdatomic.h>

#include "core/fetch/fetch.h"
#include "core/kms/pool.h"
#include "core/schema/compat.h"

typedef struct registry_limits {
  int64_t otherwise, max; /**< [SR 1.6] */
} registry_limits;

typedef struct registry_options {
  registry_level  level; /**< schema.compatibility.level */
  bool            validate_fields, validate_new_schemas, reject_empty_subject, mode_mutability, strict_reference_versions;
  int64_t         max_keys; /**< dek.registry.max.keys */
  registry_limits schemas, subjects, subject_versions, contexts, keks, dek_subjects, dek_versions;
  const char     *group_id; /**< schema.registry.group.id */
  const char     *kms_hosts; /**< csfle.allow.kms.hosts, "": the vendors' own; borrowed */
  int64_t         kms_timeout_ms; /**< of one request; 0: what the drivers take */
  const char     *kms_keys;  /**< csfle.allow.kms.keys, "": all; borrowed */
  bool            keys_over_plain; /**< csfle.key.material.over=plain */
  int64_t         unwrapped_keep_ms; /**< csfle.shared.dek.cache.ms */
  size_t          unwrapping_max; /**< csfle.kms.waiting.max */
  int64_t         unwrapping_wait_ms; /**< csfle.kms.wait.ms */
  size_t          unwrapping_of_one; /**< of csfle.kms.threads: those that one KEK may have */
  struct registry_executor { /**< where calls of a KMS are made; run false: there is no room */
    bool (*run)(void *opaque, void (*fn)(void *arg), void *arg);
    void *opaque;
  } blocking;
  int64_t         trash_ms;  /**< csfle.trash.days, 0: no trash */
  size_t          trash_max; /**< csfle.trash.max: entries */
  const char     *policy; /**< csfle.policy.*, NULL: none; borrowed */
} registry_options;
typedef struct registry_executor registry_executor;
typedef struct registry_unwraps registry_unwraps;

/** What was done since the start. */
typedef struct registry_counters {
  _Atomic uint64_t kms_calls, kms_failures, limit_refusals;
  _Atomic uint64_t kms_row; /**< failures since the last success */
  atomic_bool      untidy;  /**< records were superseded since the store was tidied */
} registry_counters;

typedef struct registry {
  registry_state  *state;
  registry_log    *log;
  pthread_rwlock_t lock; /**< write: one command at a time; read: answers */
  registry_options options;
  const csfle__log      *out;
  const csfle__clock    *clock;
  const csfle_transport *transport; /**< for KMS calls of shared KEKs */
  csfle__kms_pool        kms;       /**< open drivers */
  registry_unwraps      *unwraps;
  registry_counters      counters;
} registry;

/** Replays @p log into a new state, compacts it and starts its committer. The log is the registry's from now on. */
csfle_status registry_open(registry **out, registry_log *log, const registry_options *options, const csfle__clock *clock,
                           const csfle__log *lines, const csfle_transport *transport, csfle_error *err);
void registry_close(registry *g);
/** Has the store drop what is superseded, if anything is. Takes the lock. */
void registry_tidy(registry *g);
/** Applies the whole log to an empty @p s; *count (may be NULL) gets the number of its records. */
csfle_status registry_replay(registry_log *log, registry_state *s, size_t *count, csfle_error *err);
/** Takes the lock; registry_end gives it back and says which position the answer has to wait for. */
void     registry_begin(registry *g, bool write);
uint64_t registry_end(registry *g);

/** Why a command is refused. */
typedef struct registry_problem {
  int  status, code;
  char text[4096];
  char *longer; /**< instead of text when it does not fit there; whoever answers frees it (csfle__free) */
} registry_problem;
/** Fills @p p; false, so that it can be returned. */
bool registry_refuse(registry_problem *p, int status, int code, const char *fmt, ...) CSFLE__PRINTF(4, 5);

/** Who asks, where a command may need a KMS. */
typedef struct registry_caller {
  bool   may_block;    /**< on a thread for calls of a KMS */
  bool   confidential; /**< what is answered cannot be seen on a network */
  void  *waiter;
  void (*park)(void *waiter); /**< the answer will take a while */
  void (*wake)(void *waiter); /**< the same command can be given again, from any thread */
  void **waited; /**< NULL at first; kept for the caller between the two */
} registry_caller;
/** Instead of the HTTP status in a registry_problem. */
enum {
  REGISTRY_WAITS = 1,  /**< parked; nothing of the request may be touched */
  REGISTRY_NEEDS_KMS = 2 /**< to be given again with may_block; nothing was done */
};

/** Records of one command, made durable together. Zero state: registry_change_init. */
typedef struct registry_change {
  csfle__arena    arena;
  registry_record *records;
  size_t          count, cap;
  int64_t         trashed; /**< entries that it adds to the trash, less those it takes out */
  size_t          trashed_bytes; /**< of those it adds */
} registry_change;
/** Adds a record; bytes are copied; value.ptr NULL: tombstone. */
void registry_change_add(registry_change *c, registry_topic topic, csfle__bytes key, csfle__bytes value);
/** Frees what is not to be committed; false. */
bool registry_change_drop(registry_change *c);
/** Appends and applies; frees @p c either way. 500/50001 when the log does not take it. */
bool registry_change_commit(registry *g, registry_change *c, registry_problem *p);

/* ---- names, config, mode in scope ------------------------------------------------------------------------------ */

/** The view of csfle__subject_parse(name).context, which is "." for unqualified names. */
csfle__bytes registry_context_of(csfle__bytes name);
/** [SR 3.2]; @p settings: for config and mode, where the global context is allowed. */
bool registry_subject_valid(csfle__bytes name, bool settings);

/** Config in scope of a subject. [SR 5.10] */
typedef struct registry_scope {
  const registry_config *config; /**< the record found first, or NULL */
  bool                   normalize, validate_fields, validate_new_schemas;
  registry_level         level;
  csfle__bytes           group, policy;
} registry_scope;
registry_scope registry_scope_of(const registry *g, csfle__bytes subject);
registry_mode  registry_mode_of(const registry *g, csfle__bytes subject);
/** 42205 unless @p subject may be changed: not READONLY. */
bool registry_writable(const registry *g, csfle__bytes subject, registry_problem *p);

/* ---- may it follow ---------------------------------------------------------------------------------------------- */

/** A text of a question; all of it in the question's arena. */
typedef struct registry_asked {
  int32_t           version;
  csfle__bytes      type, text, group, reserved;
  csfle__reference *refs;
  size_t            ref_count;
  csfle__bytes      unreadable; /**< why it cannot be parsed; ptr NULL: it can, for all that is known */
} registry_asked;

/** Whether a schema may follow those of its subject: all that the answer depends on, so that it needs no lock. */
typedef struct registry_question {
  csfle__arena    arena;
  registry_level  level;
  bool            validate_fields, grouped, normalize;
  unsigned        flags; /**< how next is parsed */
  registry_asked  next, *previous; /**< oldest first; only those that are looked at */
  size_t          count;
  /* the answer */
  bool            answered, compatible;
  csfle__messages lines;
} registry_question;

struct registry_schema_request;
/** Copies the question out of the state. @p only: against this version alone; else against the live ones. 42201 when a
    reference of @p info is not there; 501 for a policy this build lacks. Owner frees *out. */
bool registry_ask(registry *g, const registry_scope *scope, csfle__bytes subject, csfle__schema_info *info,
                  const registry_version *only, registry_question **out, registry_problem *p);
/** Parses and compares, without the state: hold no lock. @p tell: the lines too. 42201 when next does not parse. */
bool registry_answer(registry_question *q, bool tell, registry_problem *p);
bool registry_question_same(const registry_question *a, const registry_question *b);
void registry_question_free(registry_question *q);
/**
 * Whether the request, canonical by now, may be registered; a refusal is 40901 with all lines. When the answer is not
 * at hand (r->question) and r->may_ask, the question is put into r->asked and the command refused: to be answered
 * without the lock, and asked again.
 */
bool registry_check_level(registry *g, const registry_scope *scope, struct registry_schema_request *r, registry_problem *p);

/* ---- schemas --------------------------------------------------------------------------------------------------- */

typedef struct registry_schema_request {
  csfle__bytes        subject; /**< normalised */
  csfle__schema_info *info;    /**< the request; changed by the command: what would be stored */
  bool                normalize, force;
  bool                deleted; /**< lookup: soft-deleted versions count */
  const registry_question *question; /**< answered before, or NULL */
  bool                may_ask;
  /* results */
  registry_question  *asked;    /**< to be answered before the command can be decided; the caller's */
  registry_version *version;
  bool              stored; /**< read from the store: ts and deleted are told [SR 2.5] */
} registry_schema_request;

/** POST /subjects/{s}/versions. See registry_check_level for may_ask and asked. [SR 5.5] */
bool registry_register(registry *g, registry_schema_request *r, registry_problem *p);
/** POST /subjects/{s}. [SR 5.6] */
bool registry_lookup(registry *g, registry_schema_request *r, registry_problem *p);
/** The question of POST /compatibility. @p version 0: all, -1: latest. [SR 4.6] */
bool registry_compatible(registry *g, registry_schema_request *r, int32_t version, registry_question **out, registry_problem *p);
/** Text for format= of a stored version; appends to @p out. */
bool registry_formatted(registry *g, const registry_version *v, csfle__bytes format, csfle_buf *out, registry_problem *p);
/** Soft or permanent delete. [SR 5.8] */
bool registry_delete_version(registry *g, csfle__bytes subject, int32_t version, bool permanent, int32_t *deleted, registry_problem *p);
/** Numbers go to *out (csfle__free), ascending. */
bool registry_delete_subject(registry *g, csfle__bytes subject, bool permanent, int32_t **out, size_t *count, registry_problem *p);

/** 42201 for a schemaType this server does not know. */
bool registry_type_known(csfle__bytes type, registry_problem *p);
/** Resolves references and parses; canonical (or normalised) text replaces info->schema. [SR 5.5 step 10] */
bool registry_canonicalize(registry *g, csfle__bytes subject, csfle__schema_info *info, unsigned flags, bool normalize,
                           csfle__schema **parsed, registry_problem *p);
/** Equivalence of 5.7 between a canonicalised request and a stored version. */
bool registry_equivalent(registry *g, const csfle__schema_info *info, const csfle__schema *parsed, const registry_version *v);
/** Version of the subject that equals the request, by hash and then by equivalence. [SR 5.6] */
registry_version *registry_match(registry *g, csfle__bytes subject, const csfle__schema_info *info,
                                 const csfle__schema *parsed, bool deleted, bool *by_hash);
/** Texts that @p info refers to, children first, copied into @p a. @p stored: what they need may be deleted by now. */
bool registry_resolve(registry *g, csfle__bytes context, csfle__schema_info *info, bool stored, csfle__arena *a,
                      csfle__reference **out, size_t *count, registry_problem *p);
/** encrypt.kek.name and encrypt.kms.type for rules with a bare key id. [DEK 10.2] */
void registry_kms_defaults(csfle__schema_info *info);
/** The value of a SCHEMA record. */
void registry_put_schema_value(csfle_buf *b, csfle__bytes subject, int32_t version, int32_t id, const csfle__schema_info *info, bool deleted);
void registry_put_schema_key(csfle_buf *b, csfle__bytes subject, int32_t version);

/* ---- config and mode ------------------------------------------------------------------------------------------- */

/** PUT /config[/{s}]: @p body is the request object; the resulting record in write form is appended to @p echo. */
bool registry_config_put(registry *g, csfle__bytes name, yyjson_val *body, csfle_buf *echo, registry_problem *p);
bool registry_config_delete(registry *g, csfle__bytes name, csfle_buf *old, registry_problem *p);
/** Read form, with the server's default level when the record has none. @p c may be NULL. */
void registry_put_config(const registry *g, const registry_config *c, bool write_form, csfle_buf *out);
/** The config that is in force, merged. [SR 4.7 defaultToGlobal] */
void registry_put_effective_config(const registry *g, csfle__bytes name, csfle_buf *out);
/** @p mode UNSET removes. [SR 4.8, 5.11] */
bool registry_mode_put(registry *g, csfle__bytes name, registry_mode mode, bool force, registry_problem *p);
/** *old UNSET: there was none (recursive on a context). */
bool registry_mode_delete(registry *g, csfle__bytes name, bool recursive, registry_mode *old, registry_problem *p);
bool registry_context_delete(registry *g, csfle__bytes name, registry_problem *p);
/** Adds the tombstones of a subject's config and mode records, where there are some. */
void registry_settings_dropped(const registry *g, csfle__bytes name, registry_change *c);

/* ---- keys ------------------------------------------------------------------------------------------------------ */

/** What a request says about a KEK; texts with ptr NULL are absent. */
typedef struct registry_kek_request {
  csfle__bytes  name, kms_type, kms_key_id, doc;
  csfle__pairs  props;
  bool          has_props, has_doc, has_shared; /**< members given, null included */
  bool          shared, deleted;
} registry_kek_request;
bool registry_kek_create(registry *g, const registry_kek_request *r, registry_problem *p);
bool registry_kek_update(registry *g, const registry_kek_request *r, registry_problem *p);
bool registry_kek_delete(registry *g, csfle__bytes name, bool permanent, registry_problem *p);
bool registry_kek_undelete(registry *g, csfle__bytes name, registry_problem *p);
/** Validation of a create request and its normal form, without the state. [DEK 3.2] */
bool registry_kek_check(registry_kek_request *r, registry_problem *p);
/** The KEK, 40470 when missing. @p deleted: soft-deleted ones count. */
registry_kek *registry_kek_get(const registry *g, csfle__bytes name, bool deleted, registry_problem *p);

typedef struct registry_dek_request {
  csfle__bytes     kek, subject, material; /**< material.ptr NULL: not given */
  csfle__algorithm algorithm;
  int32_t          version;
  bool             deleted, rewrap;
} registry_dek_request;
/** Create or rewrap, KMS calls included: takes and gives back the lock itself, never holds it across a call. [DEK 4.5]
    The stored DEK is appended as JSON to @p out; *position is what it waits for. NEEDS_KMS. */
bool registry_dek_create(registry *g, const registry_dek_request *r, registry_caller *who, csfle_buf *out, uint64_t *position, registry_problem *p);
/** Read with keyMaterial when the KEK is shared; takes the lock itself. @p version -1: latest. [DEK 3.9, 3.11] WAITS. */
bool registry_dek_read(registry *g, const registry_dek_request *r, registry_caller *who, csfle_buf *out, uint64_t *position, registry_problem *p);
/** Wraps a fresh key with the KEK; takes the lock itself. The KEK as JSON to @p out. [DEK 3.7] NEEDS_KMS. */
bool registry_kek_test(registry *g, csfle__bytes name, registry_caller *who, csfle_buf *out, uint64_t *position, registry_problem *p);
/** The same for a KEK as a request would make it. @p doing: "creating", "updating". NEEDS_KMS. */
bool registry_kek_test_sharing(registry *g, const registry_kek_request *r, registry_caller *who, const char *doing, uint64_t *position, registry_problem *p);
/** All versions of (subject, algorithm) with version 0, the latest with -1, else the one. */
bool registry_dek_delete(registry *g, const registry_dek_request *r, bool permanent, registry_problem *p);
bool registry_dek_undelete(registry *g, const registry_dek_request *r, registry_problem *p);
void registry_put_kek(csfle_buf *b, const csfle__kek *k);
/** @p material: decoded key material to tell, or empty. */
void registry_put_dek(csfle_buf *b, const csfle__dek *d, csfle__bytes material);
csfle__dek *registry_dek_latest(const registry_kek *k, csfle__bytes subject, csfle__algorithm a, bool deleted);
/** Keys of their records, exact to the byte. [DEK 5.3] */
void registry_put_kek_key(csfle_buf *b, csfle__bytes name);
void registry_put_dek_key(csfle_buf *b, const csfle__dek *d);
/** Their values. */
void registry_put_kek_value(csfle_buf *b, const csfle__kek *k);
void registry_put_dek_value(csfle_buf *b, const csfle__dek *d);
/** Adds the record of @p k. [DEK 5.3, 5.4] */
void registry_change_add_kek(registry_change *change, const csfle__kek *k);
/** 40972 when there are more than dek.registry.max.keys already. [DEK 4.7] */
bool registry_keys_left(registry *g, size_t count, registry_problem *p);
/** A copy; ptr NULL stays. */
csfle__bytes registry_copied(csfle__arena *a, csfle__bytes v);

/* between keys and kms: wraps or unwraps under a KEK's properties; 50070 or 40370 with the text of 2.3 on failure */
typedef struct registry_kms_key {
  csfle__bytes type, key_id;
  csfle__pairs props;
} registry_kms_key;
registry_kms_key registry_kms_key_copied(csfle__arena *a, const csfle__kek *kek);
/** Whether a KEK's kmsProps may set @p name: what chooses an identity needs credentials of the KEK's own beside it. [AB-7] */
bool registry_kms_prop_allowed(const csfle__pairs *props, const char *name);
bool registry_kms_wrap(registry *g, const registry_kms_key *k, csfle__bytes subject, csfle__bytes material,
                       csfle__secret *wrapped, registry_problem *p);
bool registry_kms_unwrap(registry *g, const registry_kms_key *k, csfle__bytes subject, csfle__bytes wrapped,
                         csfle__secret *material, registry_problem *p);

#endif
