/* Hostile sizes: 1,000 fields, 300 branches, 10 MB of text, 500 levels, each against its half: what is done must grow in
   proportion, on 128 KiB of stack, and past a limit the error names it. Time is compared with time, never with a clock's
   idea of fast; what is quadratic comes out as four, so that three is enough room. [AB-14] */
#include "tests/support/test.h"

#include "core/schema/compat.h"
#include "core/schema/plan.h"
#include "core/schema/text.h"

#include <pthread.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__)
#define STACK (1024 * 1024) /* a sanitizer's frames are several times as large */
#else
#define STACK (128 * 1024)
#endif

static const csfle__bytes          pii[] = { { (const uint8_t *)"PII", 3 } };
static const csfle__selection_rule rules[] = { { pii, 1 } };
static const csfle__selection      sel = { rules, 1, NULL, 0, NULL, 0 };

static void on_small_stack(void *(*fn)(void *))
{
  pthread_attr_t a;
  pthread_t      t;
  assert_int_equal(pthread_attr_init(&a), 0);
  assert_int_equal(pthread_attr_setstacksize(&a, STACK), 0);
  assert_int_equal(pthread_create(&t, &a, fn, NULL), 0);
  assert_int_equal(pthread_join(t, NULL), 0);
  pthread_attr_destroy(&a);
}

/* of this thread: others do not count */
static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

typedef struct cost {
  double seconds;
  long   allocations;
} cost;

/* everything there is, with a schema and a value of it; the value's bytes come back the same */
static csfle_status use(csfle__bytes text, csfle__bytes json, csfle_error *e)
{
  csfle__schema *s = NULL;
  csfle__plan   *p = NULL;
  csfle__walk    w = CSFLE__WALK_INIT;
  csfle_buf      out, in, again;
  bool           same = true;
  csfle_buf_init(&out, 0, 0), csfle_buf_init(&in, 0, 0), csfle_buf_init(&again, 0, 0);
  csfle_status rc = csfle__schema_parse(&s, CSFLE__NONE, text, NULL, 0, CSFLE__SCHEMA_NEW, e);
  if (rc == CSFLE_OK) rc = csfle__schema_format(s)->canonical(s, &out, e);
  csfle__buf_clear(&out);
  if (rc == CSFLE_OK) rc = csfle__schema_format(s)->normalized(s, &out, e);
  if (rc == CSFLE_OK) rc = csfle__schema_compare(s, s, &same, NULL, NULL, e);
  if (rc == CSFLE_OK) rc = csfle__plan_compile(&p, s, &sel, e);
  if (rc == CSFLE_OK) rc = csfle__value_from_json(s, json, &in, e);
  if (rc == CSFLE_OK) rc = csfle__plan_walk(p, csfle__buf_view(&in), &w, e);
  csfle__buf_clear(&out);
  if (rc == CSFLE_OK) rc = csfle__value_to_json(s, csfle__buf_view(&in), 0, &out, NULL, e);
  if (rc == CSFLE_OK) rc = csfle__value_from_json(s, csfle__buf_view(&out), &again, e);
  if (rc == CSFLE_OK && !csfle__eq(csfle__buf_view(&in), csfle__buf_view(&again))) rc = CSFLE_E_INTERNAL;
  if (rc == CSFLE_OK && !same) rc = CSFLE_E_SCHEMA_MISMATCH;
  csfle_buf_free(&out), csfle_buf_free(&in), csfle_buf_free(&again);
  csfle__walk_free(&w), csfle__plan_free(p), csfle__schema_free(s);
  return rc;
}

typedef void (*maker)(int n, csfle_buf *text, csfle_buf *json);

/* the least of three: noise only adds */
static cost cost_of(maker make, int n)
{
  csfle_buf   text, json;
  csfle_error e = CSFLE_ERROR_INIT;
  cost        c = { 1e9, 0 };
  csfle_buf_init(&text, 0, 0), csfle_buf_init(&json, 0, 0);
  make(n, &text, &json);
  for (int i = 0; i < 3; i++) {
    csfle_test_memory_on();
    double       from = now();
    csfle_status rc = use(csfle__buf_view(&text), csfle__buf_view(&json), &e);
    double       took = now() - from;
    c.allocations = csfle_test_mem.total;
    csfle_test_memory_off();
    if (rc != CSFLE_OK) fail_msg("%d: %s: %s %s", n, csfle_status_name(rc), e.where, e.msg);
    if (took < c.seconds) c.seconds = took;
  }
  csfle_buf_free(&text), csfle_buf_free(&json);
  return c;
}

static void grows_in_proportion(const char *what, maker make, int n)
{
  cost half = cost_of(make, n / 2), whole = cost_of(make, n);
  print_message("# %s: %d: %.1f ms, %ld allocations; %d: %.1f ms, %ld allocations\n", what, n / 2, half.seconds * 1e3, half.allocations, n,
                whole.seconds * 1e3, whole.allocations);
  assert_true(whole.allocations <= 2 * half.allocations + half.allocations / 2 + 100);
  assert_true(whole.seconds <= 3 * half.seconds + 0.02);
}

static void put(csfle_buf *b, const char *text) { assert_ok(csfle__buf_puts(b, text, err)); }
#define PRINT(b, ...) assert_ok(csfle__buf_printf(b, err, __VA_ARGS__))

static void fields(int n, csfle_buf *text, csfle_buf *json)
{
  put(text, "{\"type\":\"record\",\"name\":\"R\",\"fields\":["), put(json, "{");
  for (int i = 0; i < n; i++) {
    PRINT(text, "%s{\"name\":\"f%d\",\"type\":[\"null\",\"string\"],\"default\":null,\"aliases\":[\"g%d\"],\"confluent:tags\":[\"PII\"]}", i ? "," : "", i, i);
    PRINT(json, "%s\"f%d\":{\"string\":\"v\"}", i ? "," : "", n - 1 - i);
  }
  put(text, "]}"), put(json, "}");
}

/* where a union meets a union comparing is the product of both, by the rules of Avro: so the union stands alone */
static void branches(int n, csfle_buf *text, csfle_buf *json)
{
  put(text, "{\"type\":\"array\",\"items\":[\"null\""), put(json, "[null");
  for (int i = 0; i < n; i++) {
    PRINT(text, ",{\"type\":\"record\",\"name\":\"B%d\",\"fields\":[{\"name\":\"p\",\"type\":\"string\"}]}", i);
    PRINT(json, ",{\"B%d\":{\"p\":\"x\"}}", i);
  }
  put(text, "]}"), put(json, "]");
}

static void documented(int n, csfle_buf *text, csfle_buf *json)
{
  put(text, "{\"type\":\"record\",\"name\":\"R\",\"fields\":["), put(json, "{");
  for (int i = 0; i < n; i++) {
    PRINT(text, "%s{\"name\":\"f%d\",\"type\":\"int\",\"doc\":\"%0900d\",\"x\":{\"y\":[%d]},\"default\":1}", i ? "," : "", i, i, i);
    if (i % 2) PRINT(json, "%s\"f%d\":%d", i > 1 ? "," : "", i, i);
  }
  put(text, "]}"), put(json, "}");
}

static void levels(int n, csfle_buf *text, csfle_buf *json)
{
  for (int i = 0; i < n; i++) put(text, "{\"type\":\"array\",\"items\":"), put(json, "[");
  put(text, "\"string\""), put(json, "\"x\"");
  for (int i = 0; i < n; i++) put(text, "}"), put(json, "]");
}

static void named(int n, csfle_buf *text, csfle_buf *json)
{
  for (int i = 0; i < n; i++) {
    PRINT(text, "{\"type\":\"record\",\"name\":\"R%d\",\"fields\":[{\"name\":\"a\",\"type\":", i);
    put(json, "{\"a\":");
  }
  put(text, "\"string\""), put(json, "\"x\"");
  for (int i = 0; i < n; i++) put(text, "}]}"), put(json, "}");
}

/* levels that the text does not show: each record holds the one defined before it */
static void chained(int n, csfle_buf *text, csfle_buf *json)
{
  put(text, "{\"type\":\"record\",\"name\":\"T\",\"fields\":["), put(json, "{");
  for (int i = 0; i < n; i++) {
    PRINT(text, "%s{\"name\":\"f%d\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"R%d\",\"fields\":[{\"name\":\"a\",\"type\":", i ? "," : "", i, i);
    if (i) PRINT(text, "\"R%d\"}]}],\"default\":null}", i - 1);
    else put(text, "\"string\"}]}],\"default\":null}");
  }
  PRINT(json, "\"f%d\":{\"R%d\":", n - 1, n - 1);
  for (int i = 0; i < n; i++) put(json, "{\"a\":");
  put(json, "\"x\"");
  for (int i = 0; i < n; i++) put(json, "}");
  put(text, "]}"), put(json, "}}");
}

static void *wide(void *arg)
{
  grows_in_proportion("fields", fields, 1000);
  grows_in_proportion("fields", fields, 10000);
  grows_in_proportion("megabytes of text", documented, 10500);
  return arg;
}
TEST(a_thousand_fields_and_ten_megabytes_cost_in_proportion) { on_small_stack(wide); } /* AB-14 */

static void *deep(void *arg)
{
  grows_in_proportion("arrays in arrays", levels, 498);
  grows_in_proportion("records in records", named, 160);
  grows_in_proportion("records by name", chained, 498);
  return arg;
}
TEST(five_hundred_levels_cost_in_proportion) { on_small_stack(deep); } /* AB-14 */

static void *unions(void *arg)
{
  cost half = cost_of(branches, 150), whole = cost_of(branches, 300);
  print_message("# branches: 150: %.1f ms, %ld allocations; 300: %.1f ms, %ld allocations\n", half.seconds * 1e3, half.allocations, whole.seconds * 1e3, whole.allocations);
  assert_true(whole.seconds <= 5 * half.seconds + 0.02); /* a union against a union: every branch with every other */
  return arg;
}
TEST(three_hundred_branches_cost_at_most_their_square) { on_small_stack(unions); } /* AB-14 */

static void *past(void *arg)
{
  csfle_buf   text, json;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf_init(&text, 0, 0), csfle_buf_init(&json, 0, 0);
  levels(500, &text, &json);
  assert_int_equal(use(csfle__buf_view(&text), csfle__buf_view(&json), &e), CSFLE_OK);
  csfle__buf_clear(&text), csfle__buf_clear(&json);
  levels(501, &text, &json);
  assert_int_equal(use(csfle__buf_view(&text), csfle__buf_view(&json), &e), CSFLE_E_SCHEMA);
  assert_non_null(strstr(e.msg, "500"));
  csfle__buf_clear(&text), csfle__buf_clear(&json);
  levels(100000, &text, &json);
  assert_int_equal(use(csfle__buf_view(&text), csfle__buf_view(&json), &e), CSFLE_E_SCHEMA);
  assert_non_null(strstr(e.msg, "500"));
  csfle_buf_free(&text), csfle_buf_free(&json);
  return arg;
}
TEST(past_five_hundred_levels_the_error_names_the_limit) { on_small_stack(past); }
