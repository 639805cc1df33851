/**
 * A KMS driver: wraps and unwraps key material under one key. It builds requests and parses replies and does no I/O
 * itself; a credential is one more round of step. One file and one line in drivers.def a driver.
 */
#ifndef CSFLE_KMS_DRIVER_H
#define CSFLE_KMS_DRIVER_H

#include "core/fetch/fetch.h"

#include <pthread.h>

/** Driver properties: name to value, NULL when unset ("secret"). The value is borrowed for the call. */
typedef struct csfle__kms_props {
  const char *(*get)(void *opaque, const char *name); /**< whoever set it: the operator, or as far as allowed the registry */
  void *opaque;
  /**
   * What the operator alone has set, never the registry: csfle.allow.kms.hosts, and endpoints that are trusted because
   * the operator named them. NULL: nothing, so that only the defaults of hosts.h are allowed.
   */
  const char *(*own)(void *opaque, const char *name);
} csfle__kms_props;
/** The property, NULL when unset or @p p is NULL. */
const char *csfle__kms_prop(const csfle__kms_props *p, const char *name);
const char *csfle__kms_own_prop(const csfle__kms_props *p, const char *name);

#define CSFLE__KMS_TIMEOUT_MS 30000 /**< for one answer, where nothing else is said */

/** Copies of the @p count properties @p names into @p values, which stay as they are for what is unset or empty. CSFLE_E_NOMEM. */
csfle_status csfle__kms_read_props(csfle__secret *values, const char *const *names, size_t count, const csfle__kms_props *p, csfle_error *err);
/** CSFLE_E_CONFIG: "invalid key URI: aws-kms://...: expected arn:...". */
csfle_status csfle__kms_bad_key_id(const char *type, csfle__bytes key_id, const char *expected, csfle_error *err);

typedef struct csfle__kms csfle__kms; /**< one open key; the driver's own struct begins with struct csfle__kms */

/** One wrap or unwrap under way. Made by csfle__kms_call_init; machine state is the driver's. */
typedef struct csfle__kms_call {
  bool          unwrap;
  csfle__bytes  in;    /**< borrowed until DONE or FAIL: key material, or wrapped bytes */
  csfle__secret out;   /**< the result; owned */
  csfle__io     io;
  int           state; /**< the driver's, 0 at first */
  int64_t       now_ms; /**< wall clock, set by the caller before each step */
  int64_t       mono_ms; /**< monotonic clock, likewise: what io.wait_until_ms counts from */
  uint32_t      timeout_ms; /**< longest time for one request, or for an answer of a plug-in; 0: what the driver takes */
  csfle__kms   *login_of; /**< whose turn to log in this call has; NULL: none */
  uint64_t      waited;   /**< for which turn it has waited; 0: for none */
  void         *work;    /**< the driver's own, freed by free_work in csfle__kms_call_free */
  void        (*free_work)(void *work);
} csfle__kms_call;
void csfle__kms_call_init(csfle__kms_call *c, bool unwrap, csfle__bytes in);
void csfle__kms_call_free(csfle__kms_call *c);
/** The driver's own of this call, made with @p size zero bytes when it is stepped first. NULL: no memory, err says so. */
void *csfle__kms_work(csfle__kms_call *c, size_t size, void (*free_work)(void *work), csfle_error *err);

typedef struct csfle__kms_driver {
  const char *type; /**< the value of encrypt.kms.type: "local-kms" */
  /** Reads what it needs from @p props and checks @p key_id; no I/O. CSFLE_E_CONFIG. */
  csfle_status (*open)(csfle__kms **out, const csfle__kms_props *props, csfle__bytes key_id, csfle_error *err);
  /** Goes on with @p call until it needs something. FAIL sets err: class DENIED for refused access, WAIT for transient, else DECRYPT. */
  csfle__next (*step)(csfle__kms *kms, csfle__kms_call *call, csfle_error *err);
  void (*close)(csfle__kms *kms);
} csfle__kms_driver;

struct csfle__kms {
  const csfle__kms_driver *driver;
  pthread_mutex_t          lock; /**< of what follows; never held over a step */
  bool                     busy; /**< a call is logging in */
  uint64_t                 turn, failed_turn;
  csfle_error              failed; /**< how failed_turn ended */
};

/**
 * Of calls that need a session at once one fetches it. DONE: @p call is the one (until csfle__kms_login_end, its failure, or its
 * end). WAIT: another is at it; look for its session, then ask again. FAIL: the one that was waited for has failed, in the same way.
 */
csfle__next csfle__kms_login_turn(csfle__kms *k, csfle__kms_call *call, csfle_error *err);
/** Ends the turn: the session is there for all, or, @p failed not NULL, those who wait fail alike. No-op for a call that has none. */
void csfle__kms_login_end(csfle__kms_call *call, const csfle_error *failed);

/** Driver of a type; NULL when this build has none. */
const csfle__kms_driver *csfle__kms_driver_find(csfle__bytes type);
/** Opens @p type://@p key_id. Unknown type: CSFLE_E_CONFIG "no KMS driver supports: <type>://<key id>". */
csfle_status csfle__kms_open(csfle__kms **out, csfle__bytes type, csfle__bytes key_id, const csfle__kms_props *props,
                             csfle_error *err);
/** The same, looking among @p plugins (may be NULL) first. CSFLE_E_POLICY: @p key_id is not among csfle.allow.kms.keys. */
struct csfle__plugins;
csfle_status csfle__kms_open_any(csfle__kms **out, const struct csfle__plugins *plugins, csfle__bytes type, csfle__bytes key_id,
                                 const csfle__kms_props *props, csfle_error *err);
void csfle__kms_close(csfle__kms *k);
csfle__next csfle__kms_step(csfle__kms *k, csfle__kms_call *call, csfle_error *err);
/** Steps @p call to its end, answering every request itself: for tools, the server's workers and tests. */
csfle_status csfle__kms_run(csfle__kms *k, csfle__kms_call *call, const csfle_transport *t, const csfle__clock *clock,
                            csfle_error *err);

#endif
