/**
 * The log: records in one order, appended, made durable in groups, replayed at start. State is a fold over it.
 *
 * append numbers the records at once and hands them to the one committer thread; what waits there when the thread is
 * free becomes one commit (many writers share a sync). `durable` moves when a commit is done. A position names the
 * newest record that an answer has looked at: the answer leaves once that record is durable. When a commit fails,
 * everything that is not durable is refused, state is dropped and replayed (on_lost), and positions handed out before
 * stay refused: an epoch in them tells.
 */
#ifndef REGISTRY_LOG_LOG_H
#define REGISTRY_LOG_LOG_H

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/base/world.h"

/** The topics a log holds; names of the first two are configurable. */
typedef enum registry_topic {
  REGISTRY_SCHEMAS, /**< byte-compatible with the Java registry's _schemas */
  REGISTRY_KEYS,    /**< byte-compatible with _dek_registry_keys */
  REGISTRY_OWN,     /**< what a Java node would not understand */
  REGISTRY_TOPICS
} registry_topic;

typedef struct registry_record {
  registry_topic topic;
  int64_t        offset, ts; /**< set by append; ts in ms since the epoch */
  csfle__bytes   key, value; /**< value.ptr NULL: tombstone */
} registry_record;

typedef struct registry_log_setup {
  const char *path;                    /**< embedded: the file */
  const char *topics[REGISTRY_TOPICS]; /**< names */
  const char *vfs;                     /**< embedded: name of an SQLite VFS, NULL the default one (tests) */
  const csfle__clock *clock;
  const csfle__log   *log;
} registry_log_setup;

/** Calls for each record of the log in order; the record's bytes live for the call. */
typedef void (*registry_record_fn)(void *opaque, const registry_record *r);

/** A kind of storage. One call at a time, from any thread. */
typedef struct registry_log_driver {
  const char *name;
  csfle_status (*open)(void **store, const registry_log_setup *setup, csfle_error *err);
  csfle_status (*replay)(void *store, registry_record_fn fn, void *opaque, csfle_error *err);
  /** Appends @p count records, all or none; durable when it returns. */
  csfle_status (*commit)(void *store, const registry_record *records, size_t count, csfle_error *err);
  /** Removes records before offset @p before that a newer one of the same topic and key supersedes, and tombstones, but
      never the newest record of all; *removed (may be NULL) gets their number. */
  csfle_status (*compact)(void *store, int64_t before, size_t *removed, csfle_error *err);
  void (*close)(void *store);
} registry_log_driver;

/** NULL: no such driver. */
const registry_log_driver *registry_log_driver_find(const char *name);

typedef struct registry_log registry_log;

/** Opens; no thread yet. CSFLE_E_CONFIG says what is wrong with the store. */
csfle_status registry_log_open(registry_log **out, const registry_log_driver *driver, const registry_log_setup *setup,
                               csfle_error *err);
/** Every record in order. Before registry_log_start, or inside on_lost. */
csfle_status registry_log_replay(registry_log *l, registry_record_fn fn, void *opaque, csfle_error *err);
/**
 * Appends @p records (what would be forgotten otherwise; may be none), then drops superseded records and tombstones.
 * After registry_log_replay, before registry_log_start. *removed may be NULL.
 */
csfle_status registry_log_compact(registry_log *l, registry_record *records, size_t count, size_t *removed, csfle_error *err);
/**
 * Starts the committer. @p on_lost is called from its thread after a failed commit, when nothing is pending; it must
 * drop the state and replay. Appends fail until it returns. When the replay fails too it must return false: the log
 * then refuses everything for good.
 */
csfle_status registry_log_start(registry_log *l, bool (*on_lost)(void *opaque), void *opaque, csfle_error *err);
/**
 * Appends @p count records as one: they become durable together or not at all. Their offset and ts are filled in;
 * bytes are copied. CSFLE_E_UNAVAILABLE while the log cannot take records. The caller serialises appends.
 */
csfle_status registry_log_append(registry_log *l, registry_record *records, size_t count, csfle_error *err);
/** Position after everything appended so far; 0 when nothing was: never waits. */
uint64_t registry_log_position(registry_log *l);
/** Whether @p position is known to be durable, without waiting or asking to be told. */
bool registry_log_settled(registry_log *l, uint64_t position);
typedef enum { REGISTRY_DURABLE, REGISTRY_PENDING, REGISTRY_LOST } registry_wait;
/** Whether @p position is durable. PENDING: fn(waiter, ok) is called once, from the committer's thread, when it is known. */
registry_wait registry_log_wait(registry_log *l, uint64_t position, void (*fn)(void *waiter, bool ok), void *waiter);
/**
 * Has the committer remove superseded records and tombstones before @p position when it is through with what was appended;
 * none when that did not become durable. Any thread.
 */
void registry_log_tidy(registry_log *l, uint64_t position);
/** Whether records can be appended; false after a commit failed and could not be made good. */
bool registry_log_healthy(registry_log *l);
/** Whether the newest commit failed: what was in it was undone, and the next may fare no better. */
bool registry_log_failing(registry_log *l);
/** Commits what is pending, ends the thread, closes. */
void registry_log_close(registry_log *l);
const char *registry_log_topic_name(const registry_log *l, registry_topic t);

#endif
