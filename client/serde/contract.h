/**
 * A contract: what one schema version of a subject means for one serde in one direction, worked out once and never
 * changed: the parsed schema, the plan that finds the tagged leaves, the rules that run, their parameters. Whatever
 * would let a tagged field leave in clear is refused when it is made. [S4] [S8] [S9] [S15] [S17] [S19] [S20] [S24]
 */
#ifndef CSFLE_SERDE_CONTRACT_H
#define CSFLE_SERDE_CONTRACT_H

#include "client/config/config.h"
#include "client/encrypt/params.h"
#include "client/regclient/schemas.h"
#include "client/rule/rule.h"
#include "core/kms/driver.h"
#include "core/schema/plan.h"
#include "core/schema/resolve.h"
#include "core/schema/text.h"

typedef struct csfle__contract_rule {
  csfle__active_rule    active;
  csfle__encrypt_params params;
  csfle_error           broken;  /**< code not OK: its parameters are wrong, the rule fails whenever it runs */
  uint32_t              tally;   /**< its number in the ledger of the subject */
  uint64_t              bit;     /**< of the plan's leaves; 0 of a message rule and when the executor is missing */
  csfle__kms_props      props;   /**< executor parameters; opaque is this rule */
  const csfle_config   *config;
} csfle__contract_rule;

typedef struct csfle__contract {
  csfle__shared         shared;
  uint64_t              uid;       /**< unique in the process: names cached ciphers */
  csfle__direction      direction;
  csfle__registered    *registered; /**< retained: schema, rules and metadata are its */
  csfle__schema        *schema;
  csfle__plan          *plan;
  csfle__arena          arena;
  csfle__contract_rule *rules;     /**< in contract order */
  size_t                rule_count;
  const csfle__names   *leaf_tags; /**< parallel to plan->leaves; NULL when no executor asks */
  uint64_t              encrypt_bits; /**< of rules that encrypt or decrypt */
  bool                  has_required;
  bool                  bare_bytes; /**< top-level Avro bytes: the payload has no length prefix [SERDE-18] */
  /** Between the caller's schema and the registered one, in the direction of the contract; NULL: they are laid out alike,
   *  or `layout` is not OK: the caller's schema does not fit (layout_err). [AB-1] */
  csfle__resolution    *resolution;
  csfle_status          layout;
  csfle_error           layout_err;
  uint8_t               guid[16];
} csfle__contract;

typedef struct csfle__contract_options {
  const csfle_config  *config;        /**< of the serde; must outlive the contract */
  const csfle__schema *caller_schema; /**< csfle_serde_opts.schema, or NULL */
  const csfle__bytes  *required;      /**< csfle.require.tags */
  size_t               required_count;
  csfle__rule_options  rules;
  bool                 allow_unreachable;
} csfle__contract_options;

/** @p r is retained. err->where names subject, version and rule. */
csfle_status csfle__contract_make(csfle__contract **out, csfle__registered *r, csfle__direction d,
                                  const csfle__contract_options *o, csfle_error *err);
/** Puts "orders-value v7" or "orders-value id 12" before err->where. */
void csfle__contract_where(const csfle__registered *r, csfle_error *err);

#endif
