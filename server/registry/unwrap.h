/**
 * Reads of DEKs of shared KEKs: one call of the KMS however many ask at once, and for a few seconds after
 * (csfle.shared.dek.cache.ms) none. A read that has to wait is parked by its caller and holds no thread.
 *
 * What is kept belongs to one record of a DEK and one of its KEK: whatever writes another (rewrap, deletion, new
 * kmsProps) ends it at once (registry_unwraps_forget), and the sweep wipes it when its time is over.
 */
#ifndef REGISTRY_REGISTRY_UNWRAP_H
#define REGISTRY_REGISTRY_UNWRAP_H

#include "server/registry/registry.h"

typedef struct registry_unwraps_options {
  int64_t           keep_ms;     /**< 0: nothing is kept */
  size_t            waiting_max; /**< then 503 */
  int64_t           wait_ms;     /**< calls that have waited longer for their turn are not made: 503 */
  registry_executor blocking;    /**< where the KMS is called */
  size_t            of_one;      /**< calls for one KEK at a time, so that its KMS cannot hold all threads; 0: any number */
} registry_unwraps_options;

registry_unwraps *registry_unwraps_new(registry *g, const registry_unwraps_options *o);
/** Nobody waits and no call is under way. */
void registry_unwraps_free(registry_unwraps *u);

typedef enum { REGISTRY_UNWRAPPED, REGISTRY_UNWRAP_FAILED, REGISTRY_UNWRAP_PARKED } registry_unwrapped;
/**
 * The key material of @p d, a DEK of @p k, under the registry's lock. PARKED: who->wake is called, or has been: nothing
 * of the request may be touched. FAILED: *p says why; 503 when too many wait.
 */
registry_unwrapped registry_unwrap(registry *g, const csfle__kek *k, const csfle__dek *d, registry_caller *who,
                                   csfle__secret *out, registry_problem *p);
/** For one who waited and is answered without it: the DEK is gone by now. */
void registry_unwrap_leave(registry *g, registry_caller *who);
/** A record with this key is written: what was made from the one before is wiped. */
void registry_unwraps_forget(registry_unwraps *u, csfle__bytes record_key);
void registry_unwraps_forget_all(registry_unwraps *u);
/** Wipes what is past its time. */
void registry_unwraps_sweep(registry_unwraps *u);

/** The end is near: who waits is answered 503 now, whatever the KMS is doing, and who comes too. */
void registry_unwraps_end(registry_unwraps *u);

typedef struct registry_unwraps_figures {
  uint64_t hits, joined; /**< answered from memory; by another's call */
  size_t   kept, waiting, waiting_max;
} registry_unwraps_figures;
registry_unwraps_figures registry_unwraps_look(registry_unwraps *u);

#endif
