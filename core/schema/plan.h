/**
 * Plans: a schema and the tags of a rule set, compiled once into a program that finds the tagged leaves of an encoded
 * value. Walking copies nothing and yields spans; one splice writes the output with new leaf bytes.
 *
 *     schema + selection  --csfle__plan_compile-->  plan (immutable, any thread)
 *     encoded value       --csfle__plan_walk---->   spans in a csfle__walk (one thread, memory reused)
 *     spans + new values  --csfle__plan_splice-->   output
 *
 * The walk checks the whole value against the schema, tagged or not: a datum that does not fit is CSFLE_E_DATUM with
 * its offset. Recursive schemas are plans that call themselves on an explicit stack of CSFLE__PLAN_MAX_DEPTH levels.
 */
#ifndef CSFLE_SCHEMA_PLAN_H
#define CSFLE_SCHEMA_PLAN_H

#include "core/schema/schema.h"

#define CSFLE__PLAN_MAX_DEPTH 4096
#define CSFLE__PLAN_MAX_RULES 64

typedef enum csfle__leaf_type {
  CSFLE__LEAF_STRING, CSFLE__LEAF_BYTES, CSFLE__LEAF_INT, CSFLE__LEAF_LONG, CSFLE__LEAF_FLOAT, CSFLE__LEAF_DOUBLE,
  CSFLE__LEAF_BOOLEAN, CSFLE__LEAF_NULL, CSFLE__LEAF_ENUM, CSFLE__LEAF_FIXED
} csfle__leaf_type;
/** "STRING": as errors name it. */
const char *csfle__leaf_type_name(csfle__leaf_type t);

/** What the rules of one rule set select. Rule i (0..63) takes a leaf when it has no tags or shares one with it. */
typedef struct csfle__selection_rule {
  const csfle__bytes *tags;
  size_t              tag_count;
} csfle__selection_rule;
/** metadata.tags: a path pattern (section 6.2 of schemas-and-compatibility.md) and its tags. */
typedef struct csfle__tag_pattern {
  csfle__bytes        pattern;
  const csfle__bytes *tags;
  size_t              tag_count;
} csfle__tag_pattern;
typedef struct csfle__selection {
  const csfle__selection_rule *rules;
  size_t                       rule_count;
  const csfle__tag_pattern    *patterns;
  size_t                       pattern_count;
  /** tags whose places are listed as leaves even when no rule takes them (csfle.require.tags) */
  const csfle__bytes *required;
  size_t              required_count;
} csfle__selection;

/** One selected place of the schema. */
typedef struct csfle__leaf {
  csfle__bytes     name;     /**< "ns.Record.field": full name of the field */
  csfle__leaf_type type;
  uint64_t         rules;    /**< bit i: rule i takes it; NULL branches are no leaves */
  bool             required; /**< carries one of selection.required */
} csfle__leaf;

/**
 * A tag that can have no effect: fail closed on write. Only tags that some rule or selection.required names are listed;
 * tags for other purposes may stand anywhere. [S19] [S20] [S24]
 */
typedef enum csfle__plan_problem_kind {
  CSFLE__TAG_UNREACHABLE,  /**< on a record, a type object, an enum's or fixed's type ...: no walk looks there (S19) */
  CSFLE__TAG_ON_CONTAINER, /**< on a field that holds records none of whose leaves carries it, or whose direct primitive
                                fields, which Java encrypts, do not all carry it (S20) */
  CSFLE__NO_FIELDS,        /**< a value outside any field (top-level primitive): no field rule can reach it (S24) */
  CSFLE__RULE_REACHES_NOTHING /**< rule `rule` selects no leaf at all */
} csfle__plan_problem_kind;
typedef struct csfle__plan_problem {
  csfle__plan_problem_kind kind;
  csfle__bytes             path; /**< where, for the message; borrowed from the plan */
  csfle__bytes             tag;  /**< empty for NO_FIELDS and RULE_REACHES_NOTHING */
  size_t                   rule; /**< of RULE_REACHES_NOTHING; else SIZE_MAX */
} csfle__plan_problem;

/** Public part of a plan. */
struct csfle__plan {
  const csfle__schema       *schema; /**< borrowed: must outlive the plan */
  const csfle__leaf         *leaves;
  size_t                     leaf_count;
  const csfle__plan_problem *problems;
  size_t                     problem_count;
};

/** A leaf found in a value. Bytes [head, end) of the input are replaced: length prefix and content. */
typedef struct csfle__span {
  size_t   head;  /**< where its encoding begins (the length prefix of strings and bytes) */
  size_t   off;   /**< where its content begins */
  size_t   len;   /**< bytes of content; end = off + len */
  uint32_t leaf;  /**< index into plan->leaves */
  uint32_t kind;  /**< 0 a leaf; else the format's own rewrite (an Avro block header that carried its byte size) */
} csfle__span;

/** Items of no bytes (null, empty records) that arrays of one value may hold together: nothing else bounds them. */
#define CSFLE__PLAN_MAX_EMPTY_ITEMS 1000000

typedef struct csfle__walk {
  csfle__span *spans; /**< in order of the input, leaves and the format's own rewrites together */
  size_t       count, cap;
  size_t       consumed; /**< bytes of the input that the value took */
  void        *stack;    /**< the format's */
  size_t       stack_cap;
} csfle__walk;
#define CSFLE__WALK_INIT { NULL, 0, 0, 0, NULL, 0 }
/** Frees its memory; it may be used again. */
void csfle__walk_free(csfle__walk *w);

/** New content of span i; ptr NULL with keep true leaves its bytes as they are. */
typedef struct csfle__replacement {
  csfle__bytes value;
  bool         keep;
} csfle__replacement;

/** CSFLE_E_SCHEMA, CSFLE_E_NOMEM, CSFLE_E_RULE for more than CSFLE__PLAN_MAX_RULES rules. Owner frees with csfle__plan_free. */
csfle_status csfle__plan_compile(csfle__plan **out, const csfle__schema *s, const csfle__selection *sel, csfle_error *err);
void csfle__plan_free(csfle__plan *p);
/** Checks the whole value and lists the selected leaves. Allocates nothing once @p w has seen a value as large. */
csfle_status csfle__plan_walk(const csfle__plan *p, csfle__bytes in, csfle__walk *w, csfle_error *err);
/**
 * Appends in[0, consumed) to @p out with every leaf span that has a replacement (parallel to w->spans; entries of the
 * format's own rewrites are ignored) written anew and every enclosing length with it. Bytes outside are unchanged.
 * Reserves once. CSFLE_E_SPACE, CSFLE_E_NOMEM.
 */
csfle_status csfle__plan_splice(const csfle__plan *p, csfle__bytes in, const csfle__walk *w, const csfle__replacement *r,
                                csfle_buf *out, csfle_error *err);

/** Whether @p pattern matches the whole field path, as the Java client's matcher does. [SERDE-104] .. [SERDE-109] */
bool csfle__tag_path_match(csfle__bytes pattern, csfle__bytes path);
/** False for a pattern Java refuses (unbalanced bracket), one nobody writes on purpose, or one of over 1,024 characters:
 *  it matches nothing, and csfle__plan_compile refuses it, because "no match" would mean plaintext. */
bool csfle__tag_path_valid(csfle__bytes pattern);

#endif
