/**
 * The keys of one client: KEKs and plain DEKs, found in the registry, made when missing, unwrapped by the KMS, kept
 * under (context, KEK, subject, algorithm, version, deleted flag). Any thread. Of many threads that need one key one
 * fetches or makes it. Plain DEKs are wiped when the last user lets go of an entry that was dropped. [ENC 3.4] .. [ENC 3.7]
 */
#ifndef CSFLE_ENCRYPT_RING_H
#define CSFLE_ENCRYPT_RING_H

#include "client/encrypt/params.h"
#include "client/regclient/cache.h"
#include "client/regclient/keys.h"
#include "core/kms/pool.h"

#define CSFLE__MAX_GCM_USES (UINT64_C(1) << 32) /**< SP 800-38D, random nonces */
#define CSFLE__RETRY_ROTATION_MS 60000 /**< after a successor could not be made */

typedef struct csfle__shared_kek {
  csfle__shared shared;
  csfle__kek   *kek;
  int64_t       fetched_mono_ms; /**< when it was asked for */
} csfle__shared_kek;

/** What this process knows of one DEK version for its whole life, whatever the caches do. */
typedef struct csfle__track {
  csfle__bytes      kek, subject;    /**< owned, one block with this struct */
  csfle__algorithm  algorithm;
  int32_t           version;
  _Atomic(uint64_t) uses;            /**< encryptions here, none counted of SIV [ENC-106] */
  _Atomic(int64_t)  seen_mono_ms;    /**< when we first saw it */
  _Atomic(int64_t)  created_mono_ms; /**< when we made it; -1: we did not */
  _Atomic(int64_t)  skew_ms;         /**< our clock less the registry's then */
  _Atomic(int64_t)  retry_mono_ms;   /**< registry or KMS did not answer: nobody asks again before */
  _Atomic(int64_t)  rotate_mono_ms;  /**< no successor could be made: nobody tries again before */
  _Atomic(int)      overdue;         /**< it should have one by now */
  _Atomic(int)      near_told;       /**< CSFLE_EVENT_LIMIT_NEAR was told */
} csfle__track;

/** When a key is due for its successor: `wall` and `mono` have both passed, or `late` has. INT64_MAX: never. */
typedef struct csfle__due {
  int64_t wall_ms, mono_ms;
  int64_t late_mono_ms;  /**< its period after we first saw it: by then it is over, whatever wall clocks say */
  int64_t period_end_ms; /**< of its period, by our wall clock; for how long it is overdue */
} csfle__due;
#define CSFLE__NEVER_DUE { INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX }
static inline bool csfle__due_now(const csfle__due *d, int64_t wall_ms, int64_t mono_ms)
{
  return (wall_ms >= d->wall_ms && mono_ms >= d->mono_ms) || mono_ms >= d->late_mono_ms;
}

/** A plain DEK. Immutable but for its track and `refused`. */
typedef struct csfle__key {
  csfle__shared      shared;
  csfle__shared_kek *kek;
  csfle__bytes       kek_name, subject; /**< owned, one block with this struct */
  csfle__algorithm   algorithm;
  int32_t            version;
  int64_t            ts_ms;           /**< of the registry's record */
  int64_t            fetched_mono_ms; /**< when KEK or DEK was asked for, the earlier: what is known of both is as old as that [AB-11] */
  uint64_t           order;           /**< of the ring's fetches */
  _Atomic(int)       refused;         /**< or forgotten: no longer used, whatever its age [AB-11] */
  csfle__secret      raw;
  csfle__track      *track;           /**< borrowed from the ring */
} csfle__key;

typedef struct csfle__ring_options {
  size_t       max_entries;
  int64_t      expiry_ms;    /**< cache.expiry.secs, -1 never */
  int64_t      max_age_ms;   /**< csfle.key.max.age.ms */
  csfle__bytes allow_keks, allow_algorithms, allow_kms_props; /**< lists, empty: all, all, none; borrowed */
  const csfle__plugins *plugins; /**< KMS of the application; borrowed */
  uint32_t     kms_timeout_ms;   /**< csfle.kms.timeout.ms */
} csfle__ring_options;

typedef struct csfle__ring {
  csfle__ring_options o;
  csfle__rc          *rc;
  csfle__cache        keks, deks, missing;
  csfle__flights      flights;
  csfle__kms_pool     kms;    /**< open drivers */
  pthread_mutex_t     lock;   /**< of tracks */
  csfle__map          tracks;
  _Atomic(uint64_t)   fetches;
  _Atomic(int64_t)    swept_mono_ms; /**< when keys past their age were last looked for */
  _Atomic(int64_t)    skew_ms; /**< our clock less the registry's, when that is an hour or more; else 0 */
  _Atomic(uint64_t)   epoch;  /**< goes up when keys are forgotten: ciphers made before must go */
} csfle__ring;
void csfle__ring_init(csfle__ring *r, csfle__rc *rc, const csfle__ring_options *o);
void csfle__ring_free(csfle__ring *r);
/** Drops the plain DEKs of @p kek (NULL: all), and the sessions with every KMS. */
void csfle__ring_forget(csfle__ring *r, const char *kek);

/** Which key. All borrowed for the call. */
typedef struct csfle__key_want {
  const csfle__encrypt_params *params;
  csfle__bytes                 subject;
  bool                         write;
  int32_t                      version;   /**< reading: of the prefix, or 1 */
  bool                         fresh;     /**< what is cached will not do: the key held is past its age, due or used up */
  uint64_t                     held;      /**< with `fresh`: a key fetched after the one of this order will do; 0: none will */
  bool                         used_up;   /**< writing with rotation: the latest version has encrypted all it may */
  const csfle__kms_props      *props;     /**< executor parameters, before the KEK's own */
} csfle__key_want;

typedef struct csfle__key_got {
  csfle__key *key;  /**< retained for the caller */
  csfle__due  due;
  bool        kept; /**< it is due, and no successor could be made: `due` says when to try again */
} csfle__key_got;

/**
 * Looks up or makes the key, waiting for the network. CSFLE_E_RULE (missing, mismatch), CSFLE_E_POLICY (not allowed),
 * CSFLE_E_DECRYPT (cannot be unwrapped), and what registry and KMS answer.
 */
csfle_status csfle__ring_get(csfle__ring *r, const csfle__key_want *w, csfle__key_got *out, csfle_error *err);

/** Whether a thread asks for it now. Allocates nothing when @p scratch has room. */
bool csfle__ring_going(csfle__ring *r, const csfle__key_want *w, csfle_buf *scratch);
/** Whether a failure says something about the key or the rule: not that nobody answered, or that memory is short. */
bool csfle__ring_lasting(csfle_status st);

/* ---- the machine inside, for other drivers and tests */

typedef struct csfle__key_fetch {
  int                    line;
  csfle__ring           *ring;
  const csfle__key_want *want;
  csfle__bytes           context;
  csfle__rc_call         call;
  csfle__io             *io; /**< of whatever asked last */
  csfle__shared_kek     *kek;
  csfle__dek            *dek; /**< as registered; absent NULL */
  csfle__key            *key; /**< result */
  bool                   created, kept_old, expired;
  int64_t                started_mono_ms;
  uint64_t               epoch;  /**< of the ring at the start: nothing is cached once keys were forgotten */
  int32_t                new_version, before; /**< to be made; which it follows, 0 none */
  csfle_buf              name;   /**< cache key */
  csfle_buf              base64; /**< wrapped material to send */
  csfle__secret          material;
  /* one KMS operation over the alternates */
  csfle__kms            *kms;
  csfle__kms_call        kms_call;
  bool                   kms_open, unwrap;
  int                    kms_line;
  csfle__bytes           kms_in;
  csfle__bytes           alternates;
  csfle__bytes           key_id;
  csfle_buf              wrapped;
  csfle_error            kms_err, old_err; /**< old_err: why no successor could be made */
} csfle__key_fetch;
void csfle__key_fetch_init(csfle__key_fetch *f, csfle__ring *r, const csfle__key_want *w);
void csfle__key_fetch_free(csfle__key_fetch *f);
csfle__next csfle__key_fetch_step(csfle__key_fetch *f, csfle_error *err);
/**
 * The KMS part alone: wraps or unwraps (f->unwrap) f->kms_in under f->kek and its alternates. DONE: the result is f->kms_call.out
 * until the next such operation or csfle__key_fetch_free. [ENC-79] [ENC-80]
 */
csfle__next csfle__key_fetch_kms(csfle__key_fetch *f, csfle_error *err);

/* shared between ring.c and fetch.c */
csfle_status csfle__ring_name(csfle_buf *b, const csfle__key_want *w, int32_t version, bool deleted, csfle_error *err);
/** The version argument of lookups: 1 without rotation, -1 writing with it, the prefix's when reading. */
int32_t csfle__want_version(const csfle__key_want *w);
csfle__track *csfle__ring_track(csfle__ring *r, csfle__bytes kek, csfle__bytes subject, csfle__algorithm a, int32_t version);
/** What the registry says the time is: a clock of ours that is far off must not rotate keys, or keep them. [AB-12] */
void csfle__ring_heard(csfle__ring *r, csfle__bytes reply_headers);
/** Our wall clock, by the registry's where they are far apart. */
int64_t csfle__ring_now(const csfle__ring *r);
/** Whether a DEK of @p ts_ms is due for its successor, our own clock guarded. [ENC 6 item 12] */
bool csfle__ring_due(csfle__ring *r, const csfle__track *t, int64_t ts_ms, int64_t days);
csfle_status csfle__kek_matches(const csfle__encrypt_params *p, const csfle__kek *k, csfle_error *err);
/** Next KMS key id: the primary, then the alternates. [ENC-79] */
bool csfle__list_take(csfle__bytes *rest, csfle__bytes *item);

#endif
