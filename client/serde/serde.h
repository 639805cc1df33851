/**
 * csfle_serde inside: what is fixed at open, the contract that writes, those that read, and a pool of scratch for the
 * threads that are in it. Read it as a value travels: open.c, write.c, read.c; scratch.c is what they work with.
 */
#ifndef CSFLE_SERDE_SERDE_H
#define CSFLE_SERDE_SERDE_H

#include "client/encrypt/field.h"
#include "client/serde/client.h"
#include "client/serde/contract.h"

#define CSFLE__SLOTS       16 /**< ciphers a scratch keeps */
#define CSFLE__STRIPES     16 /**< places for one scratch each, by thread: threads do not touch each other's cache lines */
#define CSFLE__IDLE_MAX    16 /**< further scratches kept while nobody uses them */
#define CSFLE__COUNT_BATCH 256 /**< encryptions counted in a scratch before the key's own count is touched */
#define CSFLE__KEEP_BYTES  (1u << 20) /**< a buffer that grew beyond this is not kept */
#define CSFLE__MAX_READERS 1000
#define CSFLE__RETRY_STALE_MS 5000 /**< after registry or KMS did not answer */

/** A cipher ready to use, and until when. */
typedef struct csfle__slot {
  uint64_t       contract;
  uint32_t       rule;
  int32_t        version;  /**< reading: of the key; writing: 0 */
  csfle__key    *key;
  csfle__cipher *cipher;
  csfle__due     due;
  bool           kept;     /**< as of csfle__key_got */
  int64_t        refresh_mono_ms, expires_mono_ms; /**< when to ask again; when not to use it any more [AB-11] */
  uint32_t       uncounted; /**< encryptions not yet added to key->track->uses */
} csfle__slot;

/** Records of another version, read with the contract of the latest: brought into its layout first, still encrypted. [SERDE-69] */
typedef struct csfle__upgrade {
  csfle__shared      shared;
  csfle__contract   *writer;
  csfle__resolution *resolution; /**< NULL: laid out alike */
} csfle__upgrade;

/** The contract in use, and how long. Shared, immutable. */
typedef struct csfle__use {
  csfle__shared    shared;
  csfle__contract *contract;
  csfle__upgrade  *upgrade; /**< NULL: the record's schema is the contract's */
  int64_t          fetched_mono_ms, refresh_mono_ms;
  uint64_t         order; /**< of the fetch it was made or confirmed by, where it is asked for again */
  bool             stale;
  int32_t          schema_id, version; /**< of the framing: when reading with a reader schema not the contract's */
} csfle__use;

/** Of a span's current bytes: what may be plaintext; ciphertext of an ENCRYPT rule; new ones whose place is not known yet. */
enum { CSFLE__SPAN_CLEAR, CSFLE__SPAN_SEALED, CSFLE__SPAN_PENDING };

/** What one call works with; one thread at a time. Nothing here is allocated anew once it has seen such a record. */
typedef struct csfle__scratch {
  struct csfle__scratch *next;
  csfle_serde           *serde;
  struct csfle__scratch *all_next;     /**< list of the serde, under its lock */
  csfle__tally           tally;
  csfle__walk            walk;
  csfle__replacement    *repl, *saved; /**< parallel to walk.spans */
  uint8_t               *state, *saved_state; /**< CSFLE__SPAN_*, parallel too */
  size_t                 repl_cap, saved_cap, state_cap, saved_state_cap;
  csfle__walk            other;        /**< of a message rule's answer, until it is taken */
  size_t                *table, table_cap; /**< ciphertexts by hash */
  csfle_buf             *pass;         /**< what each rule put out */
  size_t                 pass_cap;
  csfle_buf              native, resolved, tmp, spliced, text, answer, turns[2]; /**< plaintext may be in them: wiped */
  unsigned               next_turn;    /**< which of `turns` a message rule may fill */
  csfle__nonces         *nonces;
  csfle__slot            slots[CSFLE__SLOTS];
  unsigned               next_slot;
  uint64_t               epoch;        /**< of the ring when the slots were made */
  csfle__use            *write, *read; /**< used last, retained: asked for first */
  uint64_t               write_generation;
  int32_t                read_id;      /**< -1: read was found by GUID */
  int64_t                told_mono_ms; /**< when passed_through was told last */
} csfle__scratch;

typedef struct csfle__stripe {
  _Atomic(csfle__scratch *) scratch;
  char                      apart[128 - sizeof(void *)]; /* no two on one cache line, wherever the serde begins */
} csfle__stripe;

/** A key for writing that all threads of the serde share; under the serde's lock. */
typedef struct csfle__write_key {
  uint64_t       contract;
  uint32_t       rule;
  csfle__key_got got;
} csfle__write_key;

struct csfle_serde {
  csfle_client           *client;
  csfle_serde            *next;   /**< list of the client, under its lock */
  csfle__ledger          *ledger; /**< borrowed from the client */
  csfle_config           *config; /**< the client's with the serde's properties over it */
  char                   *subject;
  int                     role;
  char                   *schema_text;
  csfle__schema          *caller_schema;
  csfle__bytes           *required;
  csfle__contract_options options;
  bool                    use_latest, auto_register, normalize, fail_trailing;
  unsigned                text_flags;
  int32_t                 use_id;
  csfle__cache            readers; /**< id or GUID -> csfle__use */
  pthread_mutex_t         lock;
  csfle__use             *write;
  _Atomic(uint64_t)       write_generation; /**< goes up with every new `write` */
  csfle__write_key        write_keys[CSFLE__PLAN_MAX_RULES];
  csfle__flights          flights;  /**< of write_keys */
  bool                    refreshing;
  csfle__scratch         *idle;
  size_t                  idle_count;
  csfle__scratch         *all;
  csfle__tally            closed;  /**< of scratches that are gone */
  csfle__stripe           stripes[CSFLE__STRIPES];
};

/* scratch.c */
csfle_status csfle__scratch_take(csfle_serde *s, csfle__scratch **out, csfle_error *err);
void csfle__scratch_give(csfle_serde *s, csfle__scratch *x);
void csfle__scratch_free(csfle__scratch *x);
/** Room for the walk's spans, all kept; and for @p passes buffers. */
csfle_status csfle__scratch_ready(csfle__scratch *x, size_t passes, csfle_error *err);
/** Drops slots of keys that were forgotten meanwhile. */
void csfle__scratch_check(csfle_serde *s, csfle__scratch *x);
csfle__slot *csfle__slot_find(csfle__scratch *x, uint64_t contract, uint32_t rule, int32_t version);
/** Whether the key of @p t may be used at @p mono_ms: not longer than the configured maximum. [AB-11] */
static inline bool csfle__slot_alive(const csfle__slot *t, int64_t mono_ms)
{
#ifndef CSFLE_BREAK_KEYS_FOR_EVER
  return mono_ms < t->expires_mono_ms && !t->key->refused;
#else
  (void)mono_ms;
  return t->key != NULL;
#endif
}
/** Whether it is time to ask for it again: the last fifth of its life, and not just after nobody answered. */
static inline bool csfle__slot_ageing(const csfle__slot *t, int64_t mono_ms)
{
#ifndef CSFLE_BREAK_KEYS_FOR_EVER
  return mono_ms >= t->refresh_mono_ms && mono_ms >= t->key->track->retry_mono_ms;
#else
  (void)t, (void)mono_ms;
  return false;
#endif
}
/** Asked for without an answer: goes on with what it has, for now, and says so. */
void csfle__slot_stale(csfle_serde *s, csfle__slot *t, const csfle_error *why);
/** Makes a slot over @p got (taken in every case). */
csfle_status csfle__slot_make(csfle_serde *s, csfle__scratch *x, uint64_t contract, uint32_t rule, int32_t version,
                              csfle__key_got *got, csfle__slot **out, csfle_error *err);
/** Adds what the serde's scratches counted, those in use too, to @p to. */
void csfle__serde_tally(csfle_serde *s, csfle__tally *to);
/** Brings the encryptions that idle scratches have counted to their keys' tracks. */
void csfle__serde_settle(csfle_serde *s);
/** The same for one slot; tells when a key comes near its limit. Under no lock. [ENC-106] */
void csfle__slot_count(csfle_serde *s, csfle__slot *t);
/** Counts the result of a call. */
static inline void csfle__count_message(csfle__scratch *x, int op, csfle_status rc)
{
  csfle__tally_add(&x->tally.messages[op][rc == CSFLE_OK ? 0 : csfle__tally_status(rc)], 1);
}
/** Drops the shared write keys; under the serde's lock. */
void csfle__serde_drop_keys(csfle_serde *s);
/** Drops what idle scratches hold and the shared write keys: csfle_client_forget_keys. */
void csfle__serde_forget(csfle_serde *s);
/** The spliced value: in[0, consumed) itself when nothing is replaced. */
csfle_status csfle__scratch_splice(csfle__scratch *x, const csfle__plan *p, csfle__bytes in, csfle__bytes *out, csfle_error *err);

/* open.c */
/** A use over a fetched schema; takes nothing, the caller releases. */
csfle_status csfle__use_make(csfle_serde *s, csfle__registered *r, csfle__direction d, csfle__use **out, csfle_error *err);
/** Writes the value in the other layout; @p trailing bytes may follow it. The view is of @p out, which is cleared. */
csfle_status csfle__scratch_resolve(csfle__scratch *x, const csfle__resolution *r, csfle__bytes in, bool trailing, csfle_buf *to, csfle__bytes *out,
                                    csfle_error *err);
csfle_status csfle__use_over(csfle__contract *c, int64_t fetched, int64_t refresh, bool stale, csfle__use **out, csfle_error *err);
void csfle__info_fill(csfle_info *info, const csfle_serde *s, const csfle__use *u, uint32_t encrypted, uint32_t decrypted,
                      uint32_t passed, uint32_t flags);
/** Ends a call: len 0 (the need with SPACE) in @p out on failure. */
csfle_status csfle__finish(csfle_buf *out, csfle_status rc, csfle_error *err);
/** Copies @p prefix and @p body to @p out, growing once. */
csfle_status csfle__emit(csfle_buf *out, csfle__bytes prefix, csfle__bytes body, csfle_error *err);

/* write.c */
/** The contract to write with; @p x holds it for the time of the call. */
csfle_status csfle__write_use(csfle_serde *s, csfle__scratch *x, const csfle__use **out, csfle_error *err);
/** The cipher of rule @p i for writing. */
csfle_status csfle__write_slot(csfle_serde *s, csfle__scratch *x, const csfle__contract *c, uint32_t i, csfle__slot **out, csfle_error *err);

#endif
