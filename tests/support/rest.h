/**
 * Conformance cases over HTTP as tables. An ITEM is one item of a checklist: requests in order, and what each answer
 * must be. Items of one file run in the order they are written and share one csfle-registry; GROUP starts a new,
 * empty one.
 *
 *     ITEM("DEK-3", creating_a_kek_twice_conflicts,
 *          { "POST ~/keks", "{'name':'kek1','kmsType':'t','kmsKeyId':'i'}",
 *            NO(409, 40971, "Key 'kek1' already exists; use a different value") })
 *
 * Texts. "~" at the front of a path is /dek-registry/v1. In bodies and expected answers that open with { or [ a single
 * quote stands for a double one, and <name> is a value of an earlier answer or one of the checklist's constants (A1,
 * W, ...), as JSON; in a path the same without quotes.
 *
 * Expected answers are JSON and complete: a member that is not named fails the test, unless the object holds
 * '...':1. Where a string begins with $ it is a rule:
 *     $any $int $text $uuid $ts     present; an integer; a string that is not empty; a lower case UUID; 13 digits.
 *                                   With :name behind it the value is kept: $ts:first
 *     $absent                       the member is not there
 *     $is:name $not:name            the same value as kept; another one
 *     $ge:name $gt:name             a number not smaller; greater
 *     $starts:text $has:text $lacks:text    of a string
 *     $b64:34:1a20:name             Base64 of 34 bytes that begin 1a 20; kept as name (both may be left out)
 *     ["$holds", x, y]  ["$lacks", x]  ["$set", x, y]    arrays: among others; not; these in any order
 *
 * A citation is earned: each answer is also shown to its step with one thing changed (mutants.h), and an item fails
 * as not covered when there is a kind of change that its case does not see in any answer. Cites with a '-' are items.
 *
 * Every answer is also checked for what section 2 of both specifications says of all: X-Request-ID, the media type,
 * an error body of exactly error_code and message, an empty body with 204.
 */
#ifndef CSFLE_TESTS_SUPPORT_REST_H
#define CSFLE_TESTS_SUPPORT_REST_H

#include "tests/support/registry.h"
#include "tests/support/test.h"

typedef struct csfle_test_step {
  const char *request; /**< "POST ~/keks" */
  const char *body;    /**< NULL: none */
  int         status;
  int         code;    /**< error_code; 0: no error */
  const char *want;    /**< of an error the message ("^..." begins with, "*..." contains, NULL any); else JSON, NULL any */
  const char *header;  /**< lines of the request, '\n' between them; NULL: the usual media type */
  const char *type;    /**< media type of the answer; NULL: application/vnd.schemaregistry.v1+json */
  const char *text;    /**< the body is exactly this text (raw schemas) */
  void (*check)(const csfle_test_reply *p); /**< one more look: it must fail when the answer is another */
  void (*then)(void);  /**< something done before the next request */
} csfle_test_step;

#define OK(json)               200, 0, json
#define NO(status, code, text) status, code, text
#define EMPTY                  204, 0, NULL
#define RAW(body)              200, 0, NULL, .text = body

#define ITEM(cite, name, ...)                                                                         \
  static void name(void **state);                                                                     \
  __attribute__((constructor)) static void add_##name(void) { csfle_test_add(cite " " #name, name); } \
  static void name(void **state __attribute__((unused)))                                              \
  {                                                                                                   \
    const csfle_test_step steps_[] = { __VA_ARGS__ };                                                 \
    csfle_test_steps(cite, steps_, sizeof steps_ / sizeof *steps_);                                   \
  }

/** Starts an empty registry with extra arguments and forgets kept values. Stops the one before. */
#define GROUP(name, ...)                                                                              \
  TEST(name)                                                                                          \
  {                                                                                                   \
    static const char *const args_[] = { __VA_ARGS__ __VA_OPT__(, ) NULL };                           \
    csfle_test_rest_fresh(args_);                                                                     \
  }
/** The last line of a file. */
#define THE_END TEST(registry_stops_cleanly) { csfle_test_rest_stop(); }

/** Runs the steps one after the other; fails the test with request, answer and what was expected. */
void csfle_test_steps(const char *cite, const csfle_test_step *steps, size_t count);
/** The kind of change in @p p that the step does not see in any mutant (mutants.h), NULL when it sees every kind. */
const char *csfle_test_rest_blind(const csfle_test_step *s, const csfle_test_reply *p);
/** The registry of the group. */
csfle_test_registry *csfle_test_rest_registry(void);
void csfle_test_rest_fresh(const char *const *args);
void csfle_test_rest_stop(void);
/** Keeps a JSON text under a name; NULL forgets. */
void csfle_test_rest_keep(const char *name, const char *json);
/** What is kept, as JSON text; fails the test when there is nothing. */
const char *csfle_test_rest_kept(const char *name);
/** NULL when @p got is as @p want says, else what is wrong (static buffer). */
const char *csfle_test_rest_match(yyjson_val *want, yyjson_val *got);

/** Fails the test when @p got is not as the text of a table says; @p what names it. */
void csfle_test_rest_expect(const char *what, const char *want, yyjson_val *got);

/**
 * Stops the registry, reads its whole store with `csfle-registry dump`, starts it again. The root of the document is
 * the array of records {topic, offset, ts, key, value}; key and value are texts, value null for a tombstone. Owner
 * frees with yyjson_doc_free.
 */
yyjson_doc *csfle_test_rest_dump(void);
/** Starts a registry whose store holds these records (lines as dump writes them, ' for "). */
void csfle_test_rest_load(const char *lines, const char *const *args);
/** The record of a topic that is @p back records behind its newest; NULL when there is none. */
yyjson_val *csfle_test_rest_record(yyjson_doc *dump, const char *topic, size_t back);
/** Its key is exactly this text, and its value as the text of a table says (NULL: a tombstone). */
void csfle_test_rest_record_is(yyjson_val *record, const char *key, const char *value);

/** Constants of the checklists, as C texts. */
#define REST_A1  "{\"type\":\"record\",\"name\":\"User\",\"fields\":[{\"name\":\"f1\",\"type\":\"string\"}]}"
#define REST_A2                                                                                          \
  "{\"type\":\"record\",\"name\":\"User\",\"fields\":[{\"name\":\"f1\",\"type\":\"string\"},"            \
  "{\"name\":\"f2\",\"type\":\"string\",\"default\":\"x\"}]}"
#define REST_A3                                                                                          \
  "{\"type\":\"record\",\"name\":\"User\",\"fields\":[{\"name\":\"f1\",\"type\":\"string\"},"            \
  "{\"name\":\"f2\",\"type\":\"string\"}]}"
#define REST_A4                                                                                          \
  "{\"type\":\"record\",\"name\":\"User\",\"fields\":[{\"name\":\"f1\",\"type\":\"string\"},"            \
  "{\"name\":\"f3\",\"type\":\"int\",\"default\":0}]}"
#define REST_B1  "{\"type\":\"record\",\"name\":\"Other\",\"fields\":[{\"name\":\"g1\",\"type\":\"int\"}]}"
#define REST_W1  "{\"type\":\"record\",\"name\":\"Wrap\",\"fields\":[{\"name\":\"u\",\"type\":\"User\"}]}"
#define REST_BAD "{\"type\":\"record\",\"name\":\"User\",\"fields\":[{\"name\":\"f1\",\"type\":\"str\"}]}"
#define REST_A1_GUID "6dcd1ea2-5ae7-e905-bdc3-fe09476b0799"
#define REST_W   "07V2ndh02DA73p+dTybwZFm7DKQSZN1tEwQh+FoX1DZLk4Yj2LLu4omYjp/84tAg3BYlkfGSz+zZacJHIE4="
#define REST_R   "GiBB5SNMJKak+FsdgjfpmhLfhyLwwhg3VWrNDset3lhpzw=="

#endif
