/* Tag patterns: the vectors of the Java client's matcher, and patterns that must not take long. */
#include "tests/support/test.h"

#include "core/schema/plan.h"

#include <stdio.h>

TEST(every_vector_of_the_java_matcher_gives_the_same_answer) /* SERDE-104 SERDE-105 SERDE-106 SERDE-107 SERDE-108 SERDE-109 */
{
  yyjson_doc *doc = csfle_test_vectors("tag-path-match.json");
  yyjson_val *c;
  size_t      i, n, ran = 0, bad = 0;
  yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, c)
  {
    bool want = yyjson_get_bool(csfle__json_member(c, "match"));
    bool got = csfle__tag_path_match(csfle__json_member_text(c, "pattern"), csfle__json_member_text(c, "path"));
    if (got != want) printf("# %s against %s\n", csfle_test_text(c, "pattern"), csfle_test_text(c, "path"));
    bad += got != want, ran++;
  }
  printf("# tag-path-match.json: %zu cases\n", ran);
  yyjson_doc_free(doc);
  assert_int_equal(bad, 0);
  assert_int_equal(ran, 43);
}

TEST(sentences_of_the_checklist_hold) /* SERDE-104 .. SERDE-109 */
{
  const struct {
    const char *pattern, *path;
    bool        match;
  } cases[] = {
    { "**.ssn", "a.b.R.ssn", true }, { "**.ssn", "$.x.ssn", true },     { "*.ssn", "R.ssn", true },
    { "*.ssn", "a.R.ssn", false },   { "a?c", "abc", true },            { "a?c", "a.c", false },
    { "a?c", "ac", false },          { "a.*", "a.b", true },            { "a.*", "a.b.c", false },
    { "a.**", "a.b.c", true },       { "a.**.*", "a.b", true },         { "+{}()|^$.", "+{}()|^$.", true },
    { "ssn", "R.ssn", false },       { "R.ssn", "R.ssnx", false },      { "[a-c]x", "bx", true },
    { "[a-c]x", "dx", false },       { "[^a]", "b", false },            { "a?c", "a\xC3\xA9" "c", true },
    { "", "", true },                { "", "a", false },                { "a\\+b", "a\\\\b", true },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    if (csfle__tag_path_match(csfle__str(cases[i].pattern), csfle__str(cases[i].path)) != cases[i].match)
      fail_msg("%s against %s", cases[i].pattern, cases[i].path);
  }
}

TEST(a_pattern_that_is_not_understood_is_invalid_and_matches_nothing)
{
  const char *bad[] = { "a[b", "a[]", "a\\(b", "[[a]]", "x\\\\yz", "[c-a]" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_false(csfle__tag_path_valid(csfle__str(bad[i])));
    assert_false(csfle__tag_path_match(csfle__str(bad[i]), csfle__str(bad[i])));
  }
  assert_true(csfle__tag_path_valid(BYTES("**.ssn")));
}

TEST(a_pattern_of_many_stars_takes_no_longer_than_its_length_times_the_path) /* AB-14 */
{
  char pattern[1001], path[4001];
  for (size_t i = 0; i < 1000; i++) pattern[i] = "*a"[i & 1];
  memset(path, 'a', 4000);
  path[3999] = 'b', pattern[1000] = path[4000] = 0;
  assert_false(csfle__tag_path_match(csfle__str(pattern), csfle__str(path)));
}
