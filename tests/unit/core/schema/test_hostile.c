/* Failing allocations, small stacks, deep and wide schemas: bounded time, memory and stack, whatever the text says. */
#include "tests/support/test.h"

#include "core/schema/plan.h"
#include "core/schema/text.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void put(csfle_buf *b, const char *text) { assert_ok(csfle__buf_puts(b, text, err)); }

static const csfle__bytes          pii[] = { { (const uint8_t *)"PII", 3 } };
static const csfle__selection_rule rules[] = { { pii, 1 } };
static const csfle__tag_pattern    patterns[] = { { { (const uint8_t *)"**.p", 4 }, pii, 1 } };
static const csfle__selection      sel = { rules, 1, patterns, 1, pii, 1 };

/* ---- allocations --------------------------------------------------------------------------------------------------- */

#define TAG "\"confluent:tags\":[\"PII\"]"
static const char everything[] =
  "{\"type\":\"record\",\"name\":\"n.R\",\"doc\":\"d\",\"aliases\":[\"Q\",\"m.Z\",\"Q\"],\"x\":{\"b\":[1.5,{\"d\":null,\"c\":true}],\"a\":1},\"fields\":["
  "{\"name\":\"p\",\"type\":[\"null\",\"string\",\"bytes\",\"int\"]," TAG ",\"default\":null,\"aliases\":[\"z\",\"y\"]},"
  "{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]},\"default\":\"A\"},"
  "{\"name\":\"a\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"map\",\"values\":\"string\"}}," TAG ",\"default\":[{\"b\":\"1\",\"a\":\"2\"}]},"
  "{\"name\":\"r\",\"type\":{\"type\":\"record\",\"name\":\"I\",\"fields\":[{\"name\":\"v\",\"type\":\"string\"}]}," TAG ",\"default\":{\"v\":\"x\"}},"
  "{\"name\":\"s\",\"type\":[\"null\",\"R\",\"I\",{\"type\":\"map\",\"values\":\"I\"}],\"default\":null},"
  "{\"name\":\"again\",\"type\":{\"type\":\"record\",\"name\":\"I\",\"fields\":[{\"name\":\"v\",\"type\":\"string\"}]},\"default\":{\"v\":\"y\"}},"
  "{\"name\":\"f\",\"type\":\"double\",\"default\":\"1.5\"},{\"name\":\"b\",\"type\":\"bytes\",\"default\":\"\\u00ff\"}]}";
static const char value[] = "{\"p\":{\"string\":\"x\"},\"a\":[{\"k\":\"v\",\"l\":\"w\"}],\"s\":{\"v\":\"bare\"}}";

static csfle_status parse_all(void)
{
  const csfle__reference refs[] = { { BYTES("I"), BYTES("{\"type\":\"record\",\"name\":\"n.I\",\"fields\":[{\"name\":\"v\",\"type\":\"string\"}]}") } };
  csfle__schema         *s = NULL, *t = NULL;
  csfle_buf              b;
  csfle_buf_init(&b, 0, 0);
  csfle_status rc = csfle__schema_parse(&s, CSFLE__NONE, csfle__str(everything), refs, 1, CSFLE__SCHEMA_NEW, NULL);
  if (rc == CSFLE_OK) rc = csfle__schema_parse(&t, CSFLE__NONE, csfle__str(everything), refs, 1, 0, NULL);
  if (rc == CSFLE_OK) rc = csfle__schema_format(s)->canonical(s, &b, NULL);
  if (rc == CSFLE_OK) rc = csfle__schema_format(s)->formatted(s, CSFLE__LIT("resolved"), &b, NULL);
  if (rc == CSFLE_OK) rc = csfle__schema_format(s)->normalized(s, &b, NULL);
  /* no memory makes schemas differ, never equal: said as NOMEM here */
  if (rc == CSFLE_OK && (!csfle__schema_format(s)->equivalent(s, t) || !csfle__schema_format(s)->same_layout(s, t))) rc = CSFLE_E_NOMEM;
  csfle_buf_free(&b);
  csfle__schema_free(s), csfle__schema_free(t);
  return rc;
}
TEST(parsing_and_every_text_survive_every_failed_allocation) { TORTURE(parse_all()); }

static csfle__schema *the_schema;

static csfle_status plan_all(void)
{
  csfle__plan       *p = NULL;
  csfle__walk        w = CSFLE__WALK_INIT;
  csfle__replacement r[16];
  csfle_buf          in, out;
  csfle_buf_init(&in, 0, CSFLE_BUF_WIPE), csfle_buf_init(&out, 0, CSFLE_BUF_WIPE);
  for (int i = 0; i < 16; i++) r[i] = (csfle__replacement){ CSFLE__LIT("0123456789"), false };
  csfle_status rc = csfle__value_from_json(the_schema, csfle__str(value), &in, NULL);
  if (rc == CSFLE_OK) rc = csfle__plan_compile(&p, the_schema, &sel, NULL);
  if (rc == CSFLE_OK) rc = csfle__plan_walk(p, csfle__buf_view(&in), &w, NULL);
  if (rc == CSFLE_OK) rc = csfle__plan_splice(p, csfle__buf_view(&in), &w, r, &out, NULL);
  if (rc == CSFLE_OK) rc = csfle__plan_walk(p, csfle__buf_view(&out), &w, NULL);
  csfle__buf_clear(&out);
  if (rc == CSFLE_OK) rc = csfle__value_to_json(the_schema, csfle__buf_view(&in), 0, &out, NULL, NULL);
  if (rc == CSFLE_OK && p->problem_count == 0) rc = CSFLE_E_INTERNAL;
  csfle_buf_free(&in), csfle_buf_free(&out);
  csfle__walk_free(&w), csfle__plan_free(p);
  return rc;
}
TEST(plans_walks_splices_and_texts_of_values_survive_every_failed_allocation)
{
  assert_ok(csfle__schema_parse(&the_schema, CSFLE__NONE, csfle__str(everything), NULL, 0, 0, err));
  assert_int_equal(plan_all(), CSFLE_OK);
  TORTURE(plan_all());
  csfle__schema_free(the_schema);
}

TEST(a_second_walk_allocates_nothing)
{
  csfle__schema *s = NULL;
  csfle__plan   *p = NULL;
  csfle__walk    w = CSFLE__WALK_INIT;
  csfle_buf      in;
  csfle_buf_init(&in, 0, 0);
  csfle_test_memory_on();
  assert_ok(csfle__schema_parse(&s, CSFLE__NONE, csfle__str(everything), NULL, 0, 0, err));
  assert_ok(csfle__plan_compile(&p, s, &sel, err));
  assert_ok(csfle__value_from_json(s, csfle__str(value), &in, err));
  assert_ok(csfle__plan_walk(p, csfle__buf_view(&in), &w, err));
  long before = csfle_test_mem.total;
  assert_ok(csfle__plan_walk(p, csfle__buf_view(&in), &w, err));
  assert_int_equal(csfle_test_mem.total, before);
  csfle_buf_free(&in), csfle__walk_free(&w), csfle__plan_free(p), csfle__schema_free(s);
  csfle_test_memory_off();
}

/* ---- small stacks --------------------------------------------------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__)
#define STACK (1024 * 1024) /* a sanitizer's frames are several times as large */
#else
#define STACK (128 * 1024)
#endif

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

static void repeat(csfle_buf *b, const char *text, int n)
{
  while (n--) put(b, text);
}

/* everything there is with one text; what fails must fail cleanly */
static csfle_status use_all(csfle__bytes text, csfle__bytes json)
{
  csfle__schema *s = NULL;
  csfle__plan   *p = NULL;
  csfle__walk    w = CSFLE__WALK_INIT;
  csfle_buf      b, in;
  csfle_error    err = CSFLE_ERROR_INIT;
  csfle_buf_init(&b, 0, 0), csfle_buf_init(&in, 0, 0);
  csfle_status rc = csfle__schema_parse(&s, CSFLE__NONE, text, NULL, 0, CSFLE__SCHEMA_NEW, &err);
  if (rc == CSFLE_OK) rc = csfle__schema_format(s)->canonical(s, &b, &err);
  if (rc == CSFLE_OK) rc = csfle__schema_format(s)->normalized(s, &b, &err);
  if (rc == CSFLE_OK) csfle__schema_format(s)->same_layout(s, s), csfle__schema_format(s)->equivalent(s, s);
  if (rc == CSFLE_OK) rc = csfle__plan_compile(&p, s, &sel, &err);
  if (rc == CSFLE_OK) rc = csfle__value_from_json(s, json, &in, &err);
  if (rc == CSFLE_OK) rc = csfle__plan_walk(p, csfle__buf_view(&in), &w, &err);
  b.len = 0;
  if (rc == CSFLE_OK) rc = csfle__value_to_json(s, csfle__buf_view(&in), 0, &b, NULL, &err);
  if (rc != CSFLE_OK) printf("# %s: %s %s\n", csfle_status_name(rc), err.where, err.msg);
  csfle_buf_free(&b), csfle_buf_free(&in), csfle__walk_free(&w), csfle__plan_free(p), csfle__schema_free(s);
  return rc;
}

static void *deep_schemas(void *arg)
{
  csfle_buf b, json;
  csfle_buf_init(&b, 0, 0), csfle_buf_init(&json, 0, 0);
  /* 499 arrays in a field's type would be 502 levels: 490 */
  put(&b, "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"p\",\"type\":");
  repeat(&b, "{\"type\":\"array\",\"items\":", 490), put(&b, "\"string\""), repeat(&b, "}", 490), put(&b, "}]}");
  put(&json, "{\"p\":"), repeat(&json, "[", 490), put(&json, "\"x\""), repeat(&json, "]", 490), put(&json, "}");
  assert_int_equal(use_all(csfle__buf_view(&b), csfle__buf_view(&json)), CSFLE_OK);
  /* 160 records, each inside the one before */
  b.len = json.len = 0;
  for (int i = 0; i < 160; i++) assert_ok(csfle__buf_printf(&b, err, "{\"type\":\"record\",\"name\":\"R%d\",\"fields\":[{\"name\":\"a\",\"type\":", i));
  put(&b, "\"string\""), repeat(&b, "}]}", 160);
  repeat(&json, "{\"a\":", 160), put(&json, "\"x\""), repeat(&json, "}", 160);
  assert_int_equal(use_all(csfle__buf_view(&b), csfle__buf_view(&json)), CSFLE_OK);
  /* a default and a property as deep as a text may be */
  b.len = 0;
  put(&b, "{\"type\":\"record\",\"name\":\"R\",\"x\":"), repeat(&b, "[", 480), repeat(&b, "]", 480);
  put(&b, ",\"fields\":[{\"name\":\"p\",\"default\":"), repeat(&b, "[", 100), repeat(&b, "]", 100), put(&b, ",\"type\":");
  repeat(&b, "{\"type\":\"array\",\"items\":", 100), put(&b, "\"string\""), repeat(&b, "}", 100), put(&b, "}]}");
  assert_int_equal(use_all(csfle__buf_view(&b), BYTES("{}")), CSFLE_OK);
  /* a default that is too deep */
  b.len = 0;
  put(&b, "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"p\",\"type\":\"string\",\"default\":");
  repeat(&b, "[", 101), repeat(&b, "]", 101), put(&b, "}]}");
  assert_int_equal(use_all(csfle__buf_view(&b), BYTES("{}")), CSFLE_E_SCHEMA);
  /* deeper than a text may be */
  b.len = 0;
  repeat(&b, "{\"type\":\"array\",\"items\":", 501), put(&b, "\"string\""), repeat(&b, "}", 501);
  assert_int_equal(use_all(csfle__buf_view(&b), BYTES("[]")), CSFLE_E_SCHEMA);
  /* names that open a level each, though the text is flat: 2,000 records, each used before it is defined */
  b.len = 0;
  put(&b, "[");
  for (int i = 0; i < 2000; i++)
    assert_ok(csfle__buf_printf(&b, err, "%s{\"type\":\"record\",\"name\":\"R%d\",\"fields\":[{\"name\":\"i\",\"type\":\"int\"},{\"name\":\"a\",\"type\":\"%s%d\"}]}",
                                i ? "," : "", i, i < 1999 ? "R" : "F", i < 1999 ? i + 1 : 1));
  put(&b, ",{\"type\":\"fixed\",\"name\":\"F1\",\"size\":1}]");
  assert_int_equal(use_all(csfle__buf_view(&b), BYTES("null")), CSFLE_E_SCHEMA); /* its canonical text would be too deep */
  csfle_buf_free(&b), csfle_buf_free(&json);
  return arg;
}
/* branches that have to be tried, and wrapped ones that have not, in values as deep as a text may be */
static void *deep_values(void *arg)
{
  static const char text[] = "{\"type\":\"record\",\"name\":\"T\",\"fields\":[{\"name\":\"x\",\"type\":[\"int\",\"T\",{\"type\":\"record\",\"name\":\"B\","
                             "\"fields\":[{\"name\":\"x\",\"type\":[\"int\",\"T\",\"B\"]}]}]}]}";
  csfle_buf json;
  csfle_buf_init(&json, 0, 0);
  repeat(&json, "{\"x\":", 60), put(&json, "1"), repeat(&json, "}", 60);
  assert_int_equal(use_all(csfle__str(text), csfle__buf_view(&json)), CSFLE_OK);
  json.len = 0;
  repeat(&json, "{\"x\":", 490), put(&json, "1"), repeat(&json, "}", 490);
  assert_int_equal(use_all(csfle__str(text), csfle__buf_view(&json)), CSFLE_E_DATUM);
  json.len = 0;
  put(&json, "{\"x\":"), repeat(&json, "{\"B\":{\"x\":", 245), put(&json, "{\"int\":1}"), repeat(&json, "}}", 245), put(&json, "}");
  assert_int_equal(use_all(csfle__str(text), csfle__buf_view(&json)), CSFLE_OK);
  csfle_buf_free(&json);
  return arg;
}
TEST(values_500_levels_deep_fit_a_stack_of_128_kilobytes) { on_small_stack(deep_values); }

TEST(schemas_500_levels_deep_fit_a_stack_of_128_kilobytes) { on_small_stack(deep_schemas); } /* AB-14 */

static const char list[] = "{\"type\":\"record\",\"name\":\"L\",\"fields\":[{\"name\":\"p\",\"type\":\"string\"},{\"name\":\"next\",\"type\":[\"null\",\"L\"]}]}";

static csfle_status walk_list(size_t n, csfle_error *err, size_t *spans)
{
  csfle__schema *s = NULL;
  csfle__plan   *p = NULL;
  csfle__walk    w = CSFLE__WALK_INIT;
  csfle_buf      in, text;
  csfle_buf_init(&in, 0, 0), csfle_buf_init(&text, 0, 0);
  assert_int_equal(csfle__schema_parse(&s, CSFLE__NONE, csfle__str(list), NULL, 0, 0, err), CSFLE_OK);
  assert_int_equal(csfle__plan_compile(&p, s, &sel, err), CSFLE_OK);
  for (size_t i = 0; i < n; i++) csfle__buf_put(&in, "\2x\2", 3, err);
  csfle__buf_put(&in, "\2x\0", 3, err);
  csfle_status rc = csfle__plan_walk(p, csfle__buf_view(&in), &w, err);
  *spans = w.count;
  if (rc == CSFLE_OK) assert_int_equal(csfle__value_to_json(s, csfle__buf_view(&in), CSFLE__TEXT_PLAIN_UNIONS, &text, NULL, err), CSFLE_OK);
  csfle_buf_free(&in), csfle_buf_free(&text), csfle__walk_free(&w), csfle__plan_free(p), csfle__schema_free(s);
  return rc;
}

static void *long_lists(void *arg)
{
  csfle_error err = CSFLE_ERROR_INIT;
  size_t      spans;
  assert_int_equal(walk_list(1000, &err, &spans), CSFLE_OK);
  assert_int_equal(spans, 1001);
  assert_int_equal(walk_list(4095, &err, &spans), CSFLE_OK);
  assert_int_equal(spans, 4096);
  assert_int_equal(walk_list(4097, &err, &spans), CSFLE_E_DATUM);
  assert_non_null(strstr(err.msg, "nested deeper than 4096 levels"));
  return arg;
}
TEST(linked_lists_are_walked_to_the_end_or_to_a_named_limit) { on_small_stack(long_lists); } /* SERDE-124 */

/* ---- time ------------------------------------------------------------------------------------------------------------ */

#if defined(__SANITIZE_ADDRESS__) || !defined(__OPTIMIZE__)
#define SECONDS 20.0 /* what is bounded takes far less; what is not takes for ever */
#else
#define SECONDS 5.0
#endif

TEST(a_record_without_a_finite_value_is_refused_quickly)
{
  const char *texts[] = {
    "{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"a\",\"type\":\"A\"}]}",
    "{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"a\",\"type\":\"A\"},{\"name\":\"b\",\"type\":\"A\"}]}",
    "{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"a\",\"type\":{\"type\":\"record\",\"name\":\"B\",\"fields\":[{\"name\":\"b\",\"type\":\"A\"}]}}]}",
  };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    csfle__schema *s = NULL;
    csfle__plan   *p = NULL;
    csfle__walk    w = CSFLE__WALK_INIT;
    csfle_buf      out;
    csfle_error    err;
    csfle_buf_init(&out, 0, 0);
    assert_int_equal(csfle__schema_parse(&s, CSFLE__NONE, csfle__str(texts[i]), NULL, 0, 0, &err), CSFLE_OK);
    assert_int_equal(csfle__plan_compile(&p, s, &sel, &err), CSFLE_OK);
    assert_int_equal(csfle__plan_walk(p, CSFLE__NONE, &w, &err), CSFLE_E_DATUM);
    assert_int_equal(csfle__value_to_json(s, CSFLE__NONE, 0, &out, NULL, &err), CSFLE_E_DATUM);
    assert_int_equal(csfle__value_from_json(s, CSFLE__LIT("{}"), &out, &err), CSFLE_E_DATUM);
    csfle_buf_free(&out), csfle__walk_free(&w), csfle__plan_free(p), csfle__schema_free(s);
  }
}

TEST(doubling_defaults_and_doubling_empty_records_end_at_a_named_limit)
{
  csfle_buf      b, out;
  csfle__schema *s = NULL;
  csfle__plan   *p = NULL;
  csfle__walk    w = CSFLE__WALK_INIT;
  csfle_error    e;
  double         from = now();
  csfle_buf_init(&b, 0, 0), csfle_buf_init(&out, 0, 0);
  /* R0 { R1 a = {}, R1 b = {} } and so on, 40 levels: 2^40 values from the text {} and from no bytes at all */
  put(&b, "[");
  for (int i = 0; i < 40; i++)
    assert_ok(csfle__buf_printf(&b, err, "%s{\"type\":\"record\",\"name\":\"R%d\",\"fields\":[{\"name\":\"a\",\"type\":\"R%d\",\"default\":{}},{\"name\":\"b\",\"type\":\"R%d\",\"default\":{}}]}",
                                i ? "," : "", i, i + 1, i + 1));
  put(&b, ",{\"type\":\"record\",\"name\":\"R40\",\"fields\":[]}]");
  assert_ok(csfle__schema_parse(&s, CSFLE__NONE, csfle__buf_view(&b), NULL, 0, CSFLE__SCHEMA_NEW, err));
  assert_int_equal(csfle__value_from_json(s, CSFLE__LIT("{\"R0\":{}}"), &out, &e), CSFLE_E_DATUM);
  assert_non_null(strstr(e.msg, "too many steps"));
  assert_int_equal(csfle__value_to_json(s, CSFLE__LIT("\0"), 0, &out, NULL, &e), CSFLE_E_DATUM);
  assert_non_null(strstr(e.msg, "1000000"));
  assert_ok(csfle__plan_compile(&p, s, &sel, err));
  assert_ok(csfle__plan_walk(p, CSFLE__LIT("\0"), &w, err));
  csfle__walk_free(&w), csfle__plan_free(p), csfle__schema_free(s);
  csfle_buf_free(&b), csfle_buf_free(&out);
  assert_true(now() - from < SECONDS);
}

TEST(a_union_of_records_does_not_multiply_with_the_depth_of_a_value)
{
  csfle_buf      json;
  csfle__schema *s = NULL;
  csfle_buf      out;
  csfle_error    e;
  double         from = now();
  csfle_buf_init(&json, 0, 0), csfle_buf_init(&out, 0, 0);
  /* A and B look alike until the innermost value, which fits neither */
  const char text[] = "{\"type\":\"record\",\"name\":\"T\",\"fields\":[{\"name\":\"x\",\"type\":[\"int\",{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"x\","
                      "\"type\":[\"int\",\"A\",{\"type\":\"record\",\"name\":\"B\",\"fields\":[{\"name\":\"x\",\"type\":[\"int\",\"A\",\"B\"]}]}]}]},\"B\"]}]}";
  assert_ok(csfle__schema_parse(&s, CSFLE__NONE, csfle__str(text), NULL, 0, 0, err));
  repeat(&json, "{\"x\":", 90), put(&json, "\"no\""), repeat(&json, "}", 90);
  assert_int_equal(csfle__value_from_json(s, csfle__buf_view(&json), &out, &e), CSFLE_E_DATUM);
  csfle__schema_free(s);
  /* the same as a default */
  json.len = 0;
  put(&json, "{\"type\":\"record\",\"name\":\"T\",\"fields\":[{\"name\":\"d\",\"type\":[\"int\",{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"x\","
             "\"type\":[\"int\",\"A\",{\"type\":\"record\",\"name\":\"B\",\"fields\":[{\"name\":\"x\",\"type\":[\"int\",\"A\",\"B\"]}]}]}]},\"B\"],\"default\":");
  repeat(&json, "{\"x\":", 90), put(&json, "\"no\""), repeat(&json, "}", 90), put(&json, "}]}");
  assert_int_equal(csfle__schema_parse(&s, CSFLE__NONE, csfle__buf_view(&json), NULL, 0, CSFLE__SCHEMA_NEW, &e), CSFLE_E_SCHEMA);
  assert_non_null(strstr(e.msg, "steps"));
  csfle_buf_free(&json), csfle_buf_free(&out);
  assert_true(now() - from < SECONDS);
}

TEST(wide_schemas_take_time_in_proportion) /* AB-14 */
{
  csfle_buf b, json;
  double    from = now();
  csfle_buf_init(&b, 0, 0), csfle_buf_init(&json, 0, 0);
  /* 5,000 fields, one of 300 branches, 5,000 symbols, 5,000 aliases, 5,000 properties */
  put(&b, "{\"type\":\"record\",\"name\":\"R\",\"aliases\":[\"A\"");
  for (int i = 0; i < 5000; i++) assert_ok(csfle__buf_printf(&b, err, ",\"A%d\"", i));
  put(&b, "],\"fields\":[{\"name\":\"u\",\"type\":[\"null\"");
  for (int i = 0; i < 300; i++) assert_ok(csfle__buf_printf(&b, err, ",{\"type\":\"record\",\"name\":\"B%d\",\"fields\":[{\"name\":\"p\",\"type\":\"string\"}]}", i));
  put(&b, "]},{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"S\"");
  for (int i = 0; i < 5000; i++) assert_ok(csfle__buf_printf(&b, err, ",\"S%d\"", i));
  put(&b, "]}}");
  put(&json, "{\"u\":{\"B299\":{\"p\":\"x\"}},\"e\":\"S4999\"");
  for (int i = 0; i < 5000; i++) {
    assert_ok(csfle__buf_printf(&b, err, ",{\"name\":\"f%d\",\"type\":\"string\"," TAG "}", i));
    assert_ok(csfle__buf_printf(&json, err, ",\"f%d\":\"x\"", 4999 - i));
  }
  put(&b, "]"), put(&json, "}");
  for (int i = 0; i < 5000; i++) assert_ok(csfle__buf_printf(&b, err, ",\"x%d\":{\"y\":%d}", i, i));
  put(&b, "}");
  assert_int_equal(use_all(csfle__buf_view(&b), csfle__buf_view(&json)), CSFLE_OK);
  /* a chain of 3,000 records of one field costs no calls: 100,000 items of it */
  b.len = json.len = 0;
  put(&b, "{\"type\":\"record\",\"name\":\"T\",\"fields\":[");
  for (int i = 0; i < 3000; i++)
    assert_ok(csfle__buf_printf(&b, err, "%s{\"name\":\"f%d\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"R%d\",\"fields\":[{\"name\":\"a\",\"type\":\"%s%d\"}]}]}",
                                i ? "," : "", i, 2999 - i, i ? "R" : "F", i ? 3000 - i : 0));
  put(&b, ",{\"name\":\"x\",\"type\":{\"type\":\"array\",\"items\":\"R0\"}},{\"name\":\"y\",\"type\":{\"type\":\"fixed\",\"name\":\"F0\",\"size\":1}}]}");
  csfle__schema *s = NULL;
  csfle__plan   *p = NULL;
  csfle__walk    w = CSFLE__WALK_INIT;
  assert_ok(csfle__schema_parse(&s, CSFLE__NONE, csfle__buf_view(&b), NULL, 0, 0, err));
  assert_ok(csfle__plan_compile(&p, s, &sel, err));
  for (int i = 0; i < 3000; i++) assert_ok(csfle__buf_putc(&json, 0, err));
  assert_ok(csfle__buf_put(&json, "\xc0\x9a\x0c", 3, err)); /* 100,000 */
  for (int i = 0; i < 100000; i++) assert_ok(csfle__buf_putc(&json, 7, err));
  assert_ok(csfle__buf_put(&json, "\0\1", 2, err));
  assert_ok(csfle__plan_walk(p, csfle__buf_view(&json), &w, err));
  assert_int_equal(w.consumed, json.len);
  csfle__walk_free(&w), csfle__plan_free(p), csfle__schema_free(s);
  csfle_buf_free(&b), csfle_buf_free(&json);
  assert_true(now() - from < SECONDS);
}
