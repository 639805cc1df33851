/**
 * Which rules of a rule set run, in which order, and what happens when one succeeds or fails. Pure: a rule set and the
 * operator's settings in, a list out. What would let a tagged field leave in clear is refused here, when the schema is
 * loaded, not at the first record. [SERDE-62] .. [SERDE-100] [SERDE-110] .. [SERDE-113]
 */
#ifndef CSFLE_RULE_RULE_H
#define CSFLE_RULE_RULE_H

#include "client/rule/executor.h"
#include "core/base/world.h"

typedef enum csfle__action {
#define CSFLE_ACTION(name) CSFLE__ACTION_##name,
#include "client/rule/actions.def"
#undef CSFLE_ACTION
} csfle__action;

/** A rule that runs. */
typedef struct csfle__active_rule {
  const csfle__rule         *rule;
  const csfle__executor_ops *ops; /**< NULL: no executor, only when reading */
  void                      *opaque;
  csfle__action              on_success, on_failure;
} csfle__active_rule;

typedef struct csfle__rule_options {
  /** "rule.executors.<name>" or NULL: the operator's overrides of disabled, onSuccess, onFailure [SERDE-74] */
  const char *(*get)(void *opaque, const char *name);
  void       *opaque;
  /** Executors that the build lacks, by type, or NULL; built-in ones go first. */
  const csfle__executor_ops *(*executor)(void *opaque, csfle__bytes type, void **executor_opaque);
  csfle__enable_at  environment; /**< execution.environment */
  bool              allow_disabled, allow_onfailure_none, allow_suppressed; /**< csfle.allow.plaintext */
  const csfle__log *log;
} csfle__rule_options;

typedef struct csfle__rule_list {
  csfle__active_rule *at; /**< in contract order: WRITE runs them so, READ from the end [SERDE-62] */
  size_t              count;
  /** Writing: ENCRYPT rules that would run but are disabled or not enabled here. Their fields must not be in clear (S8, S15). */
  const csfle__rule **off;
  size_t              off_count;
} csfle__rule_list;

/**
 * The domain rules that run in direction @p d, into @p a. @p rules NULL: none. Encoding rules are looked at too: one
 * that would have to run is an error, for there is no executor yet. Fails with CSFLE_E_RULE, or CSFLE_E_POLICY where
 * plaintext would be written; err->where names the rule. Views into @p rules, which must outlive the list.
 */
csfle_status csfle__rules_select(csfle__arena *a, const csfle__rule_set *rules, csfle__direction d,
                                 const csfle__rule_options *o, csfle__rule_list *out, csfle_error *err);
/** Whether @p r runs ENCRYPT. */
static inline bool csfle__rule_encrypts(const csfle__active_rule *r) { return r->ops == &csfle__encrypt_executor; }
/** CSFLE_E_RULE "Could not find rule executor of type CEL". [SERDE-88] */
csfle_status csfle__executor_missing(csfle__bytes type, csfle_error *err);

#endif
