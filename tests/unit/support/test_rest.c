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
