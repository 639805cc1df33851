/* Proves the choice of rules: actions, overrides, suppression. What is refused is proved with whole records in serde/test_safety.c. */
#include "client/rule/rule.h"
#include "tests/support/test.h"

#include <stdio.h>

static const char *const *settings; /* name, value, ..., NULL */
static const char *get(void *opaque, const char *name)
{
  (void)opaque;
  for (const char *const *p = settings; p && *p; p += 2)
    if (strcmp(p[0], name) == 0) return p[1];
  return NULL;
}

typedef struct choice { csfle__arena a; yyjson_doc *doc; csfle__rule_list list; csfle_status st; csfle_error err; } choice;

static choice choose(const char *rules, csfle__direction d, const char *const *set, bool allow)
{
  choice           c = { CSFLE__ARENA_INIT, NULL, { 0 }, 0, CSFLE_ERROR_INIT };
  csfle__rule_set *rs = NULL;
  settings = set;
  csfle__rule_options o = { .get = get, .environment = CSFLE__AT_CLIENT, .allow_disabled = allow, .allow_onfailure_none = allow, .allow_suppressed = allow };
  assert_ok(csfle__json_parse(&c.doc, csfle__str(rules), err));
  assert_ok(csfle__rule_set_parse(&c.a, yyjson_doc_get_root(c.doc), &rs, err));
  c.st = csfle__rules_select(&c.a, rs, d, &o, &c.list, &c.err);
  return c;
}
static void done(choice *c) { csfle__arena_free(&c->a), yyjson_doc_free(c->doc); }

#define ONE(more) "{\"domainRules\":[{\"name\":\"r\",\"type\":\"ENCRYPT\",\"tags\":[\"A\"]" more "}]}"

TEST(actions_are_pairs_of_write_and_read) /* SERDE-81 SERDE-82 SERDE-83 SERDE-84 SERDE-86 SERDE-87 SERDE-100 */
{
  enum { ERR = CSFLE__ACTION_ERROR, NON = CSFLE__ACTION_NONE, BAD = 99 };
  const struct { const char *more; int write, read; } cases[] = {
    { "", ERR, ERR }, { ",\"onFailure\":\"NONE\"", NON, NON }, { ",\"onFailure\":\"ERROR,NONE\"", ERR, NON }, { ",\"onFailure\":\" ERROR , NONE \"", ERR, NON },
    { ",\"onFailure\":\"NONE,ERROR\"", NON, ERR }, { ",\"onFailure\":\",NONE\"", ERR, NON }, { ",\"onFailure\":\"NONE,\"", NON, ERR },
    { ",\"onFailure\":\"\"", ERR, ERR }, { ",\"onFailure\":\"ERROR,NONE,DLQ\"", ERR, NON }, { ",\"onFailure\":\"DLQ,NONE\"", BAD, NON },
    { ",\"onFailure\":\"none\"", BAD, BAD }, { ",\"mode\":\"WRITE\",\"onFailure\":\"ERROR,NONE\"", BAD, -1 }, { ",\"mode\":\"READ\",\"onFailure\":\"NONE\"", -1, NON },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int d = 0; d < 2; d++) {
      char rules[512];
      int  want = d ? cases[i].read : cases[i].write;
      snprintf(rules, sizeof rules, ONE("%s"), cases[i].more);
      choice c = choose(rules, d ? CSFLE__ON_READ : CSFLE__ON_WRITE, NULL, true);
      if (want == BAD) {
        assert_int_equal(c.st, CSFLE_E_RULE);
        assert_non_null(strstr(c.err.msg, "Could not find rule action of type "));
      } else if (want == -1) {
        assert_int_equal(c.st, CSFLE_OK);
        assert_int_equal(c.list.count, 0);
      } else {
        assert_int_equal(c.st, CSFLE_OK);
        assert_int_equal(c.list.at[0].on_failure, want);
        assert_int_equal(c.list.at[0].on_success, NON);
      }
      done(&c);
    }
}

TEST(the_operator_overrides_by_rule_then_type_then_default) /* SERDE-73 SERDE-74 */
{
  static const char *const all[] = { "rule.executors.r.onFailure", "NONE", "rule.executors._ENCRYPT_.onFailure", "ERROR", "rule.executors._default_.onFailure", "ERROR", NULL };
  for (int from = 0; from < 3; from++) {
    static const char *const none[] = { "rule.executors._default_.onFailure", "NONE", NULL };
    choice c = choose(ONE(",\"onFailure\":\"ERROR\""), CSFLE__ON_READ, from == 2 ? none : all + 2 * from, true);
    assert_int_equal(c.list.at[0].on_failure, from == 1 ? CSFLE__ACTION_ERROR : CSFLE__ACTION_NONE);
    done(&c);
  }
}

TEST(of_rules_with_equal_tags_the_first_runs) /* SERDE-110 SERDE-111 SERDE-112 */
{
  const struct { const char *a, *b; size_t count; } cases[] = {
    { "\"tags\":[\"A\",\"B\"]", "\"tags\":[\"B\",\"A\"]", 1 }, { "\"tags\":[\"A\"]", "\"tags\":[\"A\",\"B\"]", 2 },
    { "\"tags\":[\"A\"]", "\"tags\":[\"A\"],\"mode\":\"WRITE\"", 2 }, { "\"x\":1", "\"x\":1", 2 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int d = 0; d < 2; d++) {
      char rules[512];
      snprintf(rules, sizeof rules, "{\"domainRules\":[{\"name\":\"a\",\"type\":\"ENCRYPT\",%s},{\"name\":\"b\",\"type\":\"encrypt\",%s}]}", cases[i].a, cases[i].b);
      choice c = choose(rules, d ? CSFLE__ON_READ : CSFLE__ON_WRITE, NULL, false);
      assert_int_equal(c.st, CSFLE_OK);
      size_t want = i == 2 && d ? 1 : cases[i].count;
      assert_int_equal(c.list.count, want);
      assert_true(csfle__eq_str(c.list.at[0].rule->name, "a"));
      done(&c);
    }
}
