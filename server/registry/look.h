/**
 * What an operator should know of a registry: figures for metrics, warnings for health, doctor and the log. A limit that
 * is near, a key past its period, a KMS that fails: never silent.
 */
#ifndef REGISTRY_REGISTRY_LOOK_H
#define REGISTRY_REGISTRY_LOOK_H

#include "server/registry/unwrap.h"

typedef struct registry_figures {
  size_t   keks, deks, shared_keks, subjects, trash; /**< soft-deleted keys too */
  size_t   overdue;                                  /**< DEKs that a rule says to replace and nobody has replaced */
  int64_t  max_keys;
  uint64_t kms_calls, kms_failures, limit_refusals;
  bool     ready;
  uint64_t position; /**< what an answer that tells them has to wait for */
  registry_unwraps_figures unwraps;
} registry_figures;

#define REGISTRY_WARNINGS_MAX 8
typedef struct registry_warning {
  const char *code; /**< "key-limit", "rotation-overdue", "rotation-impossible", "trash-full", "kms-failing", "store" */
  char        text[600]; /**< what is wrong and what to do */
} registry_warning;

/** Takes the lock for reading. @p warnings NULL, or room for REGISTRY_WARNINGS_MAX; their number. */
int registry_look(registry *g, registry_figures *f, registry_warning *warnings);

/** A thread that sweeps what is kept, expires trash, tidies the store, and logs warnings: each at once, then hourly. */
typedef struct registry_keeper registry_keeper;
registry_keeper *registry_keeper_start(registry *g, int64_t every_ms, int64_t tidy_ms);
void registry_keeper_stop(registry_keeper *k);

#endif
