/* Targets, Accept and Content-Type, gzip: the parts of http that need no socket. [SR 1.1, 1.5, 1.8] */
#include "server/http/http.h"
#include "tests/support/test.h"

static registry_request rq;

static bool parse(const char *target)
{
  csfle__arena_free(&rq.arena);
  memset(&rq, 0, sizeof rq);
  return registry_target_parse(&rq, target);
}

TEST(paths_are_cut_before_they_are_decoded)
{
  assert_true(parse("/subjects/a%2Fb/versions/"));
  assert_int_equal(rq.segment_count, 3);
  assert_bytes_equal(rq.segments[1], BYTES("a/b"));
  assert_true(parse("/subjects/a+b%2Bc%20d/versions"));
  assert_bytes_equal(rq.segments[1], BYTES("a+b+c d"));
  assert_true(parse("/subjects/%3A.ctx%3As"));
  assert_bytes_equal(rq.segments[1], BYTES(":.ctx:s"));
  assert_true(parse("/subjects/a%00b"));
  assert_bytes_equal(rq.segments[1], BYTES("a\0b"));
  assert_true(parse("/subjects//versions")); /* an empty segment is one */
  assert_int_equal(rq.segment_count, 3);
  assert_true(parse("/"));
  assert_int_equal(rq.segment_count, 0);
  parse("/");
}

TEST(plus_is_a_blank_in_query_values_only)
{
  assert_true(parse("/subjects?subjectPrefix=a+b%2B&deleted=TRUE&&empty=&bare"));
  assert_bytes_equal(registry_query(&rq, "subjectPrefix"), BYTES("a b+"));
  assert_bytes_equal(registry_query(&rq, "deleted"), BYTES("TRUE"));
  assert_non_null(registry_query(&rq, "empty").ptr);
  assert_int_equal(registry_query(&rq, "empty").len, 0);
  assert_non_null(registry_query(&rq, "bare").ptr);
  assert_null(registry_query(&rq, "none").ptr);
  parse("/");
  csfle__arena_free(&rq.arena);
}

TEST(malformed_targets_are_refused)
{
  static const char *const bad[] = { "", "subjects", "*", "http://x/", "/a%", "/a%4", "/a%zz", "/a%-1", "/a?b=%", "/%ff", "/%c0%af", "/%ed%a0%80", "/a b" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (parse(bad[i])) fail_msg("\"%s\" was taken", bad[i]);
  csfle__arena_free(&rq.arena);
}

TEST(accept_chooses_by_quality_and_then_by_preference)
{
  static const struct { const char *accept; int index; } cases[] = {
    { "", 0 }, { "*/*", 0 }, { "application/*", 0 }, { "application/json", 2 }, { "application/vnd.schemaregistry+json", 1 },
    { "application/vnd.schemaregistry.v1+json, application/json", 0 }, { "application/json, application/vnd.schemaregistry.v1+json", 0 },
    { "application/json;q=0.9, application/vnd.schemaregistry.v1+json;q=0.1", 2 }, { "text/html", -1 }, { "text/html, */*;q=0.1", 0 },
    { "application/json;q=0", -1 }, { "APPLICATION/JSON", 2 }, { "application/json ; charset=utf-8", 2 }, { "text/html,application/json;q=0.001", 2 },
    { ",,,", -1 }, { "application/json;q=banana", -1 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int got = registry_accept(csfle__str(cases[i].accept));
    if (got != cases[i].index && !(strstr(cases[i].accept, "banana"))) fail_msg("\"%s\": %d, expected %d", cases[i].accept, got, cases[i].index);
  }
}

TEST(request_types_are_those_of_the_specification)
{
  static const char *const good[] = { "application/json", "application/json; charset=utf-8", "application/octet-stream", "Application/VND.schemaregistry.v1+JSON", "application/vnd.schemaregistry+json" };
  static const char *const bad[] = { "text/plain", "application/xml", "", "application/x-www-form-urlencoded", "application/jsonp" };
  assert_true(registry_content_type_ok(CSFLE__NONE));
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) assert_true(registry_content_type_ok(csfle__str(good[i])));
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(registry_content_type_ok(csfle__str(bad[i])));
}

TEST(gzip_goes_there_and_back_and_stops_at_its_limit)
{
  csfle_buf b;
  csfle_buf_init(&b, 0, 0);
  for (int i = 0; i < 20000; i++) assert_ok(csfle__buf_puts(&b, "schema ", err));
  size_t len = b.len;
  assert_true(registry_gzip(&b));
  assert_true(b.len < len / 20);
  assert_int_equal(registry_gunzip(&b, len - 1), 413);
  assert_int_equal(registry_gunzip(&b, len + 1), 0);
  assert_int_equal(b.len, len);
  assert_memory_equal(b.ptr, "schema schema ", 14);
  assert_int_equal(registry_gunzip(&b, 1000000), 400); /* it is plain now */
  csfle_buf_free(&b);
  csfle_buf_init(&b, 0, 0);
  assert_ok(csfle__buf_puts(&b, "some text that is long enough to be compressed, compressed, compressed", err));
  assert_true(registry_gzip(&b));
  b.len -= 5;
  assert_int_equal(registry_gunzip(&b, 1000000), 400); /* cut short */
  csfle_buf_free(&b);
}

TEST(errors_are_two_members)
{
  registry_reply reply = { 0 };
  csfle_buf_init(&reply.body, 0, 0);
  registry_reply_error(&reply, 404, 40401, "Subject 'a\"b\n' not found.");
  assert_int_equal(reply.status, 404);
  assert_bytes_equal(csfle__buf_view(&reply.body), BYTES("{\"error_code\":40401,\"message\":\"Subject 'a\\\"b\\n' not found.\"}"));
  registry_reply_error(&reply, 405, 405, NULL);
  assert_bytes_equal(csfle__buf_view(&reply.body), BYTES("{\"error_code\":405,\"message\":\"HTTP 405 Method Not Allowed\"}"));
  csfle_buf_free(&reply.body);
}
