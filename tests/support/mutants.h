/**
 * Answers with one thing changed: what a case must tell from the real one, or it proves nothing. [DESIGN 8]
 *
 * Kinds: the status; error_code; a member (of an array: an element) added, removed, altered. Of an answer that is no
 * JSON the text is altered; one without a body gets one.
 */
#ifndef CSFLE_TESTS_SUPPORT_MUTANTS_H
#define CSFLE_TESTS_SUPPORT_MUTANTS_H

#include "tests/support/registry.h"

typedef enum csfle_test_mutation {
  CSFLE_TEST_STATUS, CSFLE_TEST_ERROR_CODE, CSFLE_TEST_ADDED, CSFLE_TEST_REMOVED, CSFLE_TEST_ALTERED, CSFLE_TEST_MUTATIONS
} csfle_test_mutation;
const char *csfle_test_mutation_name(csfle_test_mutation kind);

/**
 * The mutant of @p kind with this number, counted from 0: false when the answer has no more of them. *out shares the headers
 * of @p p; its body is the caller's (free).
 */
bool csfle_test_mutant(const csfle_test_reply *p, csfle_test_mutation kind, size_t number, csfle_test_reply *out);

#endif
