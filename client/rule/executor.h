/**
 * What a rule type does, as the serde calls it. A FIELD executor is asked for every leaf that its rule selects and
 * answers new bytes; a MESSAGE executor is asked once, with the record as JSON text as the rules before it left it.
 * Built-in types are lines of executors.def; others come with csfle__config_add_executor. [SERDE-62] .. [SERDE-98]
 */
#ifndef CSFLE_RULE_EXECUTOR_H
#define CSFLE_RULE_EXECUTOR_H

#include "core/base/buf.h"
#include "core/model/model.h"
#include "core/schema/plan.h"

typedef enum csfle__direction { CSFLE__ON_WRITE, CSFLE__ON_READ } csfle__direction;
typedef enum csfle__level { CSFLE__LEVEL_FIELD, CSFLE__LEVEL_MESSAGE } csfle__level;

/** An executor's answer. A rule of kind CONDITION fails on FALSE alone, as Java's does; one of kind TRANSFORM must not answer it. */
typedef enum csfle__answer {
  CSFLE__ANSWER_SAME,    /**< unchanged; of a condition: true */
  CSFLE__ANSWER_CHANGED, /**< the new bytes are in `out`; a condition's are ignored */
  CSFLE__ANSWER_FALSE
} csfle__answer;

/** Which rule runs, and for whom. Borrowed for the time of the call, as all below. */
typedef struct csfle__rule_call {
  const csfle__rule     *rule;
  const csfle__metadata *metadata; /**< of the schema, may be NULL: parameters that the rule lacks are its properties */
  csfle__direction       direction;
  const char            *subject;
} csfle__rule_call;

/** One selected leaf. */
typedef struct csfle__rule_field {
  csfle__bytes        name; /**< "ns.Record.field" */
  csfle__leaf_type    type;
  const csfle__names *tags; /**< inline and of metadata.tags, sorted */
} csfle__rule_field;

/**
 * An executor. `out` is empty, wiped afterwards; error texts must not carry values. Any thread, several at once. Failing
 * fails the rule (onFailure decides), except with CSFLE_E_NOMEM and statuses of class WAIT, which fail the record.
 */
typedef struct csfle__executor_ops {
  csfle__level level;
  unsigned     text_flags; /**< MESSAGE: CSFLE__TEXT_*; bytes in a plain union cannot be read back */
  /**
   * @p value: content of a string or bytes, else its encoding. Only strings (UTF-8), bytes, and fixed (of the same
   * length) may change. NULL in a FIELD executor: ENCRYPT, which the serde runs over all fields of a record at once.
   */
  csfle_status (*field)(void *opaque, const csfle__rule_call *call, const csfle__rule_field *f, csfle__bytes value,
                        csfle_buf *out, csfle__answer *answer, csfle_error *err);
  /** @p json in the format's JSON encoding; the answer must fit the schema. */
  csfle_status (*message)(void *opaque, const csfle__rule_call *call, csfle__bytes json, csfle_buf *out,
                          csfle__answer *answer, csfle_error *err);
} csfle__executor_ops;

#define CSFLE_EXECUTOR(type, ops) extern const csfle__executor_ops ops;
#include "client/rule/executors.def"
#undef CSFLE_EXECUTOR

#endif
