/**
 * The frame of a C test program: TEST(the_sentence_it_proves) { ... }. main() and the list come by themselves;
 * output is TAP. TORTURE(call) runs a call with its 1st, 2nd, ... allocation failing until it succeeds.
 */
#ifndef CSFLE_TESTS_SUPPORT_TEST_H
#define CSFLE_TESTS_SUPPORT_TEST_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "core/base/alloc.h"
#include "core/base/buf.h"
#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/base/json.h"

void csfle_test_add(const char *name, void (*fn)(void **state));

#define TEST(name)                                                                  \
  static void name(void **state);                                                   \
  __attribute__((constructor)) static void add_##name(void) { csfle_test_add(#name, name); } \
  static void name(void **state __attribute__((unused)))

#define BYTES(literal) CSFLE__LIT(literal)
/** The whole file tests/vectors/<name>, parsed; fails the test when it is not there. Caller frees the document. */
yyjson_doc *csfle_test_vectors(const char *name);
/** Hex digits to bytes in *buf (at least len/2); the view. */
csfle__bytes csfle_test_unhex(csfle__bytes hex, uint8_t *buf, size_t cap);
/** Text of a member, "" when absent; lives as long as the document. */
const char *csfle_test_text(yyjson_val *obj, const char *name);

#define assert_ok(call)                                                                         \
  do {                                                                                          \
    csfle_error  e_ = CSFLE_ERROR_INIT;                                                         \
    csfle_error *err = &e_;                                                                     \
    csfle_status s_ = (call);                                                                   \
    if (s_ != CSFLE_OK) fail_msg("%s: %s: %s %s", #call, csfle_status_name(s_), e_.where, e_.msg); \
    (void)err;                                                                                  \
  } while (0)
#define assert_bytes_equal(a, b)                                                                \
  do {                                                                                          \
    csfle__bytes a_ = (a), b_ = (b);                                                            \
    assert_int_equal(a_.len, b_.len);                                                           \
    if (a_.len) assert_memory_equal(a_.ptr, b_.ptr, a_.len);                                    \
  } while (0)

/**
 * Allocator of the tests: counts, fails the allocation number `fail_at` (1 = the next; 0 = none), and aborts when
 * secret memory that is not zero is released.
 */
typedef struct csfle_test_memory { long live, total, fail_at; int dirty_secrets; } csfle_test_memory;
extern csfle_test_memory csfle_test_mem;
void csfle_test_memory_on(void);
void csfle_test_memory_off(void);

/** Runs @p call (a csfle_status expression) failing its 1st, 2nd, ... allocation; only OK or NOMEM may come out, nothing may leak. */
#define TORTURE(call)                                                                            \
  do {                                                                                           \
    csfle_test_memory_on();                                                                      \
    for (long n_ = 1;; n_++) {                                                                   \
      long before_ = csfle_test_mem.live;                                                        \
      csfle_test_mem.fail_at = csfle_test_mem.total + n_;                                        \
      csfle_status s_ = (call);                                                                  \
      int spent_ = csfle_test_mem.total >= csfle_test_mem.fail_at;                               \
      csfle_test_mem.fail_at = 0;                                                                \
      assert_int_equal(csfle_test_mem.live, before_);                                            \
      assert_int_equal(csfle_test_mem.dirty_secrets, 0);                                         \
      if (!spent_) { assert_int_equal(s_, CSFLE_OK); break; }                                    \
      if (s_ != CSFLE_OK) assert_int_equal(s_, CSFLE_E_NOMEM);                                   \
    }                                                                                            \
    csfle_test_memory_off();                                                                     \
  } while (0)

#endif
