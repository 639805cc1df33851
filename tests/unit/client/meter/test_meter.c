/* Proves how samples are combined and written, and how requests and events are counted. */
#include "client/meter/meter.h"
#include "client/meter/samples.h"
#include "tests/support/test.h"

#include <string.h>

#define ADD(s, metric, part, value, ...)                                                                \
  do {                                                                                                  \
    const csfle__label labels_[] = { __VA_ARGS__ };                                                     \
    csfle__samples_add(s, CSFLE__METRIC_##metric, part, labels_, sizeof labels_ / sizeof *labels_, value); \
  } while (0)

static void fill(csfle__samples *s)
{
  ADD(s, messages_total, "", 3, { "op", BYTES("serialize") }, { "subject", BYTES("a\\b\"c\nd") });
  ADD(s, messages_total, "", 4, { "op", BYTES("serialize") }, { "subject", BYTES("other") });
  ADD(s, messages_total, "", 1, { "op", BYTES("serialize") }, { "subject", BYTES("other") });
  ADD(s, dek_age_seconds, "", 1.5, { "subject", BYTES("x") });
  ADD(s, dek_age_seconds, "", 7, { "subject", BYTES("y") });
  ADD(s, http_seconds, "_count", 2, { "peer", BYTES("k\xFFms") });
}

static bool contains(const csfle_buf *b, const char *text) { return b->len && memmem(b->ptr, b->len, text, strlen(text)) != NULL; }

TEST(samples_are_written_as_prometheus_reads_them)
{
  csfle__samples s;
  csfle_buf      b;
  csfle_buf_init(&b, 0, 0);
  csfle__samples_init(&s, false);
  fill(&s);
  assert_ok(csfle__samples_write(&s, false, &b, err));
  assert_true(contains(&b, "# TYPE csfle_messages_total counter\ncsfle_messages_total{op=\"serialize\",subject=\"a\\\\b\\\"c\\nd\"} 3\n"
                           "csfle_messages_total{op=\"serialize\",subject=\"other\"} 5\n# HELP csfle_fields_total "));
  assert_true(contains(&b, "# TYPE csfle_dek_age_seconds gauge\ncsfle_dek_age_seconds{subject=\"x\"} 1.5\ncsfle_dek_age_seconds{subject=\"y\"} 7\n"));
  assert_true(contains(&b, "# TYPE csfle_http_seconds histogram\ncsfle_http_seconds_count{peer=\"\"} 2\n"));
  csfle_buf_free(&b);
  csfle__samples_free(&s);
}

TEST(without_subjects_counters_are_summed_and_the_greatest_gauge_is_kept)
{
  csfle__samples s;
  csfle_buf      b;
  yyjson_doc    *d = NULL;
  csfle_buf_init(&b, 0, 0);
  csfle__samples_init(&s, true);
  fill(&s);
  assert_ok(csfle__samples_write(&s, true, &b, err));
  assert_ok(csfle__json_parse(&d, csfle__buf_view(&b), err));
  yyjson_val *root = yyjson_doc_get_root(d);
  assert_int_equal(yyjson_obj_size(root), CSFLE__METRICS);
  assert_true(contains(&b, "\"csfle_messages_total\":[{\"op\":\"serialize\",\"value\":8}]"));
  assert_true(contains(&b, "\"csfle_dek_age_seconds\":[{\"value\":7}]"));
  assert_true(contains(&b, "\"csfle_http_seconds\":[{\"part\":\"count\",\"peer\":\"\",\"value\":2}]"));
  yyjson_doc_free(d);
  csfle_buf_free(&b);
  csfle__samples_free(&s);
}

static csfle_status write_all(bool json)
{
  csfle__samples s;
  csfle_buf      b;
  csfle_buf_init(&b, 0, 0);
  csfle__samples_init(&s, false);
  fill(&s);
  csfle_status rc = csfle__samples_write(&s, json, &b, NULL);
  csfle_buf_free(&b);
  csfle__samples_free(&s);
  return rc;
}
TEST(samples_survive_every_failed_allocation)
{
  TORTURE(write_all(true));
  TORTURE(write_all(false));
}

static int64_t now;
static int64_t clock_now(void *o) { return (void)o, now; }
static int     calls;
static char    last[8192];
static void    on_event(void *o, int event, const char *json)
{
  (void)o, (void)event;
  calls++;
  snprintf(last, sizeof last, "%s", json);
}

TEST(what_could_come_with_every_record_is_told_once_a_minute_for_each_cause)
{
  const csfle__clock clock = { clock_now, clock_now, NULL };
  csfle__meter       m;
  csfle_error        forbidden = { .code = CSFLE_E_FORBIDDEN, .http = 403, .msg = "no" }, gone = { .code = CSFLE_E_KEY_GONE, .http = 404, .msg = "no" };
  csfle__event       e = { .event = CSFLE_EVENT_DENIED, .kek = BYTES("k"), .subject = BYTES("s"), .cause = &forbidden };
  csfle__meter_init(&m, on_event, NULL, &clock);
  now = 1000, calls = 0;
  for (int i = 0; i < 3; i++) csfle__meter_tell(&m, &e);
  assert_int_equal(calls, 1);
  assert_string_equal(last, "{\"event\":\"denied\",\"kek\":\"k\",\"subject\":\"s\",\"status\":\"FORBIDDEN\",\"http\":403,\"message\":\"no\"}");
  e.cause = &gone;
  csfle__meter_tell(&m, &e);
  assert_int_equal(calls, 2);
  e.cause = &forbidden, now += CSFLE__TELL_AGAIN_MS - 1;
  csfle__meter_tell(&m, &e);
  assert_int_equal(calls, 2);
  now++;
  csfle__meter_tell(&m, &e);
  assert_int_equal(calls, 3);
  assert_int_equal(m.events[CSFLE_EVENT_DENIED], 6); /* counted, told or not */
  csfle__meter_tell(NULL, &e);
  csfle__meter_free(&m);
}

TEST(the_longest_event_fits)
{
  const csfle__clock clock = { clock_now, clock_now, NULL };
  csfle__meter       m;
  csfle_error        cause = { .code = CSFLE_E_FORBIDDEN, .http = 403 };
  char               name[4000];
  memset(name, 1, sizeof name), memset(cause.msg, 1, sizeof cause.msg - 1);
  csfle__meter_init(&m, on_event, NULL, &clock);
  csfle__meter_tell(&m, &(csfle__event){ CSFLE_EVENT_DENIED, csfle__view(name, sizeof name), csfle__view(name, sizeof name), "AES256_GCM", INT32_MAX, INT32_MAX, UINT64_MAX, &cause });
  yyjson_doc *d = yyjson_read(last, strlen(last), 0);
  assert_non_null(d);
  assert_int_equal(yyjson_get_len(yyjson_obj_get(yyjson_doc_get_root(d), "message")), sizeof cause.msg - 1);
  yyjson_doc_free(d);
  csfle__meter_free(&m);
}

TEST(names_that_are_no_text_are_left_out)
{
  const csfle__clock clock = { clock_now, clock_now, NULL };
  csfle__meter       m;
  csfle_error        cause = { .code = CSFLE_E_FORBIDDEN, .msg = "\xC3" };
  csfle__meter_init(&m, on_event, NULL, &clock);
  csfle__meter_tell(&m, &(csfle__event){ .event = CSFLE_EVENT_DENIED, .kek = BYTES("\xFF"), .subject = BYTES("s"), .cause = &cause });
  assert_string_equal(last, "{\"event\":\"denied\",\"subject\":\"s\",\"status\":\"FORBIDDEN\"}");
  csfle__meter_free(&m);
}

TEST(events_have_names)
{
  for (int e = 1; e < CSFLE__EVENTS; e++) assert_string_not_equal(csfle_event_name(e), "unknown");
  assert_string_equal(csfle_event_name(0), "unknown");
  assert_string_equal(csfle_event_name(CSFLE__EVENTS), "unknown");
  assert_string_equal(csfle_event_name(-1), "unknown");
}

TEST(requests_are_counted_by_peer_and_code_within_bounds)
{
  const csfle__clock clock = { clock_now, clock_now, NULL };
  csfle__meter       m;
  char               name[8];
  csfle__meter_init(&m, NULL, NULL, &clock);
  csfle__meter_http(NULL, "kms", 200, 1);
  csfle__meter_http(&m, "kms", 200, 5);
  csfle__meter_http(&m, "kms", 200, 6);
  csfle__meter_http(&m, "kms", 0, 20000);
  csfle__meter_http(&m, NULL, 200, -1);
  assert_int_equal(m.peer_count, 2);
  assert_int_equal(m.peers[0].buckets[0], 1);
  assert_int_equal(m.peers[0].buckets[1], 1);
  assert_int_equal(m.peers[0].buckets[CSFLE__HTTP_BUCKETS - 1], 1);
  assert_int_equal(m.codes[0].count, 2);
  for (int i = 0; i < 1000; i++) {
    snprintf(name, sizeof name, "p%d", i);
    csfle__meter_http(&m, name, 100 + i, 1);
  }
  assert_int_equal(m.peer_count, CSFLE__PEERS);
  assert_string_equal(m.peers[CSFLE__PEERS - 1].name, "other");
  uint64_t sum = 0;
  for (size_t i = 0; i < CSFLE__PEERS; i++) sum += m.peers[i].count;
  assert_int_equal(sum, 1004);
  assert_int_equal(m.code_count, CSFLE__HTTP_CODES);
  csfle__meter_free(&m);
}
