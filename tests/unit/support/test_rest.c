/* The table helper of the conformance suites must be able to fail: what it accepts and what it refuses. */
#include "tests/support/rest.h"

#include <stdio.h>
#include <string.h>

static bool matches(const char *want, const char *got)
{
  yyjson_doc *w = yyjson_read(want, strlen(want), 0), *g = yyjson_read(got, strlen(got), 0);
  assert_non_null(w);
  assert_non_null(g);
  bool ok = !csfle_test_rest_match(yyjson_doc_get_root(w), yyjson_doc_get_root(g));
  yyjson_doc_free(w);
  yyjson_doc_free(g);
  return ok;
}

TEST(expected_answers_accept_and_refuse)
{
  static const struct {
    const char *want, *got;
    bool        ok;
  } cases[] = {
    { "{\"a\":1}", "{\"a\":1}", true },
    { "{\"a\":1}", "{\"a\":2}", false },
    { "{\"a\":1}", "{\"a\":\"1\"}", false },
    { "{\"a\":1}", "{\"a\":1,\"b\":2}", false },
    { "{\"a\":1,\"...\":1}", "{\"a\":1,\"b\":2}", true },
    { "{\"a\":1,\"b\":2}", "{\"a\":1}", false },
    { "{\"a\":\"$absent\"}", "{}", true },
    { "{\"a\":\"$absent\",\"...\":1}", "{\"a\":1}", false },
    { "{\"a\":\"$any\"}", "{}", false },
    { "{\"a\":{\"b\":1}}", "{\"a\":{\"b\":1,\"c\":1}}", false },
    { "{\"a\":false}", "{\"a\":null}", false },
    { "{}", "[]", false },
    { "[]", "[]", true },
    { "[]", "[1]", false },
    { "[1,2]", "[1]", false },
    { "[1,2]", "[2,1]", false },
    { "[\"$holds\",1]", "[2,1]", true },
    { "[\"$holds\",3]", "[2,1]", false },
    { "[\"$lacks\",3]", "[2,1]", true },
    { "[\"$lacks\",1]", "[2,1]", false },
    { "[\"$set\",1,2]", "[2,1]", true },
    { "[\"$set\",1,2]", "[2,1,3]", false },
    { "[\"$set\",1,2]", "[2,3]", false },
    { "\"$int\"", "5", true },
    { "\"$int\"", "\"5\"", false },
    { "\"$ts\"", "1700000000000", true },
    { "\"$ts\"", "17000", false },
    { "\"$text\"", "\"\"", false },
    { "\"$uuid\"", "\"6dcd1ea2-5ae7-e905-bdc3-fe09476b0799\"", true },
    { "\"$uuid\"", "\"6DCD1EA2-5ae7-e905-bdc3-fe09476b0799\"", false },
    { "\"$starts:ab\"", "\"abc\"", true },
    { "\"$starts:bc\"", "\"abc\"", false },
    { "\"$has:bc\"", "\"abc\"", true },
    { "\"$has:cb\"", "\"abc\"", false },
    { "\"$lacks:bc\"", "\"abc\"", false },
    { "\"$b64:2:1a10\"", "\"GhA=\"", true },
    { "\"$b64:2:1a11\"", "\"GhA=\"", false },
    { "\"$b64:3:1a10\"", "\"GhA=\"", false },
    { "\"$b64:2\"", "\"GhA\"", false },
  };
  size_t count = sizeof cases / sizeof *cases;
  for (size_t i = 0; i < count; i++) {
    if (matches(cases[i].want, cases[i].got) != cases[i].ok) fail_msg("%s against %s", cases[i].want, cases[i].got);
  }
}

TEST(kept_values_are_compared_with)
{
  assert_true(matches("{\"a\":\"$int:n\"}", "{\"a\":5}"));
  assert_string_equal(csfle_test_rest_kept("n"), "5");
  assert_true(matches("\"$is:n\"", "5"));
  assert_false(matches("\"$is:n\"", "6"));
  assert_true(matches("\"$not:n\"", "6"));
  assert_false(matches("\"$not:n\"", "5"));
  assert_true(matches("\"$ge:n\"", "5"));
  assert_false(matches("\"$ge:n\"", "4"));
  assert_true(matches("\"$gt:n\"", "6"));
  assert_false(matches("\"$gt:n\"", "5"));
  csfle_test_rest_keep("n", NULL);
}

/* ---- what a case must see (make mutants) ------------------------------------------------------------------------ */

static const char headers[] = "X-Request-ID: 1\r\nContent-Type: application/vnd.schemaregistry.v1+json\r\n";

static void looks_at_the_name(const csfle_test_reply *p)
{
  assert_non_null(strstr(p->body, "\"a\":5"));
}

TEST(a_case_that_looks_away_is_found)
{
  static const struct {
    csfle_test_step step;
    const char     *body;
    const char     *blind;
  } cases[] = {
    { { "GET /x", NULL, OK("{'a':5}") }, "{\"a\":5}", NULL },
    { { "GET /x", NULL, 0, 0, "{'a':5}" }, "{\"a\":5}", "another status" },
    { { "GET /x", NULL, OK("{'a':5,'...':1}") }, "{\"a\":5,\"b\":1}", "a member added" },
    { { "GET /x", NULL, OK("{'a':'$int'}") }, "{\"a\":5}", "a member altered" },
    { { "GET /x", NULL, OK("{'a':'$any'}") }, "{\"a\":5}", "a member altered" },
    { { "GET /x", NULL, OK("['$holds',1]") }, "[1]", "a member added" },
    { { "GET /x", NULL, OK("['$lacks',3]") }, "[1,2]", "a member added" },
    { { "GET /x", NULL, OK(NULL) }, "[1]", "a member added" },
    { { "GET /x", NULL, OK(NULL), .check = looks_at_the_name }, "{\"a\":5}", "a member added" },
    { { "GET /x", NULL, OK("{'a':'$any'}"), .check = looks_at_the_name }, "{\"a\":5}", NULL },
    { { "GET /x", NULL, NO(404, 40401, "gone") }, "{\"error_code\":40401,\"message\":\"gone\"}", NULL },
    { { "GET /x", NULL, EMPTY }, "", NULL },
    { { "GET /x", NULL, RAW("abc") }, "abc", NULL },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int              status = cases[i].step.status ? cases[i].step.status : 200;
    csfle_test_reply p = { .status = status, .body = (char *)(uintptr_t)cases[i].body, .len = strlen(cases[i].body), .headers = (char *)(uintptr_t)headers };
    const char      *blind = csfle_test_rest_blind(&cases[i].step, &p);
    if ((blind == NULL) != (cases[i].blind == NULL) || (blind && strcmp(blind, cases[i].blind) != 0))
      fail_msg("%s against %s: blind to %s", cases[i].step.want ? cases[i].step.want : "-", cases[i].body, blind ? blind : "nothing");
  }
}
