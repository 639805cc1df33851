/* Proves what csfle_client_stats says of records, requests, caches and exceptions, and that counting costs no allocation. */
#include "tests/unit/client/rig.h"

#include <pthread.h>

#define NO_LIMIT "latest.cache.ttl.sec=-1"

static csfle_status send_one(csfle_serde *s, csfle_buf *out)
{
  csfle_error e = CSFLE_ERROR_INIT;
  return csfle_serialize(s, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, out, NULL, &e);
}

TEST(records_and_fields_are_counted_by_result_also_after_a_serde_is_closed)
{
  rig         r;
  csfle_buf   out, back;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf_init(&out, 0, 0), csfle_buf_init(&back, 0, 0);
  rig_open(&r, CUSTOMER, NULL, PII_RULES, NO_LIMIT "\ncsfle.allow.plaintext=disabled-rules,onfailure-none");
  for (int round = 1; round <= 2; round++) {
    for (int i = 0; i < 3; i++) assert_int_equal(send_one(r.serde, &out), CSFLE_OK);
    assert_int_equal(csfle_serialize(r.serde, CSFLE_NATIVE, "\x02", 1, NULL, &back, NULL, &e), CSFLE_E_DATUM);
    assert_int_equal(csfle_deserialize(r.serde, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, NULL, &e), CSFLE_OK);
    assert_int_equal(csfle_deserialize(r.serde, CSFLE_NATIVE, out.ptr, 5, NULL, &back, NULL, &e), CSFLE_E_DATUM);
    out.ptr[20] = out.ptr[20] == 'A' ? 'B' : 'A';
    assert_int_equal(csfle_deserialize(r.serde, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, NULL, &e), CSFLE_OK);
    for (int closed = 0; closed < 2; closed++) {
      assert_true(rig_metric(r.client, "csfle_messages_total{op=\"serialize\",subject=\"orders-value\",result=\"OK\"}") == 3 * round);
      assert_true(rig_metric(r.client, "csfle_messages_total{op=\"serialize\",subject=\"orders-value\",result=\"DATUM\"}") == round);
      assert_true(rig_metric(r.client, "csfle_messages_total{op=\"deserialize\",subject=\"orders-value\",result=\"OK\"}") == 2 * round);
      assert_true(rig_metric(r.client, "csfle_messages_total{op=\"deserialize\",subject=\"orders-value\",result=\"DATUM\"}") == round);
#define FIELDS(op, result) "csfle_fields_total{op=\"" op "\",subject=\"orders-value\",rule=\"encryptPII\",result=\"" result "\"}"
      assert_true(rig_metric(r.client, FIELDS("serialize", "encrypted")) == 3 * round);
      assert_true(rig_metric(r.client, FIELDS("deserialize", "decrypted")) == round);
      assert_true(rig_metric(r.client, FIELDS("deserialize", "passed_through")) == round);
      assert_true(rig_metric(r.client, "csfle_dek_encryptions_total{kek=\"kek1\",subject=\"orders-value\",algorithm=\"AES256_GCM\",version=\"1\"}") == 3 * round);
      if (closed) continue;
      csfle_serde_close(r.serde);
      r.serde = NULL;
    }
    r.serde = rig_serde(r.client, "orders", CUSTOMER, NULL);
  }
  assert_true(rig_metric(r.client, "csfle_policy_exceptions{property=\"csfle.allow.plaintext\"}") == 2);
  assert_true(rig_metric(r.client, "csfle_policy_exceptions{property=\"csfle.allow.overused.keys\"}") == 0);
  assert_true(rig_metric(r.client, "csfle_http_requests_total{peer=\"registry\",code=\"404\"}") == 2);
  assert_true(rig_metric(r.client, "csfle_http_seconds_count{peer=\"registry\"}") == csfle_fake_count(&r.fake, ""));
  assert_true(rig_metric(r.client, "csfle_cache_entries{cache=\"keks\"}") == 2); /* as producers and as consumers see it */
  assert_true(rig_metric(r.client, "csfle_cache_entries{cache=\"deks\"}") == 2);
  assert_true(rig_metric(r.client, "csfle_cache_bytes{cache=\"deks\"}") > 2 * 32);
  assert_true(rig_metric(r.client, "csfle_cache_bytes{cache=\"schemas\"}") > sizeof CUSTOMER);
  assert_true(rig_metric(r.client, "csfle_secret_locked_bytes{locked=\"true\"}") + rig_metric(r.client, "csfle_secret_locked_bytes{locked=\"false\"}") > 0);
  csfle_client_forget_keys(r.client, NULL);
  assert_true(rig_metric(r.client, "csfle_cache_entries{cache=\"deks\"}") == 0);
  assert_true(rig_metric(r.client, "csfle_cache_bytes{cache=\"deks\"}") == 0);
  csfle_buf_free(&out), csfle_buf_free(&back);
  rig_close(&r);
}

TEST(subjects_can_be_left_out)
{
  rig       r;
  csfle_buf out;
  csfle_buf_init(&out, 0, 0);
  rig_open(&r, CUSTOMER, NULL, PII_RULES, NO_LIMIT "\ncsfle.metrics.subject=false");
  csfle_fake_add_schema(&r.fake, "other-value", 13, 1, CUSTOMER, NULL, PII_RULES);
  csfle_serde *s = rig_serde(r.client, "other", CUSTOMER, NULL);
  assert_null(r.client->ledgers->next); /* nor do they cost memory each */
  assert_int_equal(send_one(r.serde, &out), CSFLE_OK);
  assert_int_equal(send_one(s, &out), CSFLE_OK);
  assert_true(rig_metric(r.client, "csfle_messages_total{op=\"serialize\",result=\"OK\"}") == 2);
  assert_true(rig_metric(r.client, "csfle_dek_encryptions_total{kek=\"kek1\",algorithm=\"AES256_GCM\",version=\"1\"}") == 2);
  assert_ok(csfle_client_stats(r.client, CSFLE_STATS_PROMETHEUS, &out, err));
  assert_false(rig_contains(csfle__buf_view(&out), "-value"));
  csfle_buf_free(&out);
  csfle_serde_close(s);
  rig_close(&r);
}

TEST(statistics_are_json_or_prometheus_text_and_fit_or_say_how_much_they_need)
{
  rig         r;
  csfle_buf   out;
  csfle_error e = CSFLE_ERROR_INIT;
  yyjson_doc *d = NULL;
  uint8_t     room[16];
  csfle_buf   small = { room, 0, sizeof room, sizeof room, NULL, NULL, 0 };
  csfle_buf_init(&out, 0, 0);
  rig_open(&r, CUSTOMER, NULL, PII_RULES, NULL);
  assert_int_equal(send_one(r.serde, &out), CSFLE_OK);
  assert_ok(csfle_client_stats(r.client, CSFLE_STATS_JSON, &out, err));
  assert_ok(csfle__json_parse(&d, csfle__buf_view(&out), err));
  assert_non_null(yyjson_obj_get(yyjson_doc_get_root(d), "csfle_messages_total"));
  yyjson_doc_free(d);
  assert_int_equal(csfle_client_stats(r.client, CSFLE_STATS_JSON, &small, &e), CSFLE_E_SPACE);
  assert_int_equal(small.len, out.len);
  assert_int_equal(csfle_client_stats(r.client, 7, &out, &e), CSFLE_E_MISUSE);
  assert_int_equal(csfle_client_stats(r.client, 0, NULL, &e), CSFLE_E_MISUSE);
  e.code = 0;
  assert_int_equal(csfle_client_stats(NULL, 0, &out, &e), CSFLE_E_MISUSE);
  csfle_buf_free(&out);
  rig_close(&r);
}

TEST(rules_beyond_the_sixteenth_are_counted_together)
{
  csfle__ledger *l = csfle__calloc(1, sizeof *l + 1);
  char           name[200];
  for (uint32_t i = 0; i < 40; i++) {
    snprintf(name, sizeof name, "rule%u", (unsigned)i);
    uint32_t want = i < CSFLE__TALLY_RULES - 1 ? i : CSFLE__TALLY_RULES - 1;
    assert_int_equal(csfle__ledger_rule(l, csfle__str(name)), want);
    assert_int_equal(csfle__ledger_rule(l, csfle__str(name)), want);
  }
  assert_string_equal(l->rules[CSFLE__TALLY_RULES - 1], "other");
  csfle__free(l);
  l = csfle__calloc(1, sizeof *l + 1);
  for (size_t i = 0; i < 99; i++) memcpy(name + 2 * i, "\xC3\xA9", 2);
  assert_int_equal(csfle__ledger_rule(l, csfle__view(name, 198)), 0);
  assert_true(csfle__utf8_valid(csfle__str(l->rules[0])));
  csfle__free(l);
}

/* ---- allocations */

static rig tortured;
static csfle_status stats(void)
{
  csfle_buf b;
  csfle_buf_init(&b, 0, 0);
  csfle_status rc = csfle_client_stats(tortured.client, CSFLE_STATS_PROMETHEUS, &b, NULL);
  csfle_buf_free(&b);
  return rc;
}
TEST(statistics_survive_every_failed_allocation)
{
  csfle_buf out;
  csfle_buf_init(&out, 0, 0);
  rig_open(&tortured, CUSTOMER, NULL, PII_RULES, NULL);
  assert_int_equal(send_one(tortured.serde, &out), CSFLE_OK);
  TORTURE(stats());
  csfle_buf_free(&out);
  rig_close(&tortured);
}

/* ---- threads */

static rig          shared;
static _Atomic(int) stop;
static void *work(void *arg)
{
  csfle_buf out;
  csfle_buf_init(&out, 0, 0);
  size_t n = 0;
  for (; n < 3000; n++)
    if (send_one(shared.serde, &out) != CSFLE_OK) break;
  *(size_t *)arg = n;
  csfle_buf_free(&out);
  return NULL;
}
static void *look(void *arg)
{
  double before = 0;
  while (!stop) {
    double now = rig_metric(shared.client, "csfle_dek_encryptions_total{kek=\"kek1\",subject=\"orders-value\",algorithm=\"AES256_GCM\",version=\"1\"}");
    if (now >= 0 && now < before) *(int *)arg = 1;
    if (now >= 0) before = now;
  }
  return NULL;
}
TEST(counters_never_go_back_and_lose_nothing_while_threads_write)
{
  pthread_t t[4], watcher;
  size_t    n[4], sum = 0;
  int       back = 0;
  rig_open(&shared, CUSTOMER, NULL, PII_RULES, NO_LIMIT);
  stop = 0;
  assert_int_equal(pthread_create(&watcher, NULL, look, &back), 0);
  for (size_t i = 0; i < 4; i++) assert_int_equal(pthread_create(&t[i], NULL, work, &n[i]), 0);
  for (size_t i = 0; i < 4; i++) pthread_join(t[i], NULL), sum += n[i];
  stop = 1;
  pthread_join(watcher, NULL);
  assert_int_equal(back, 0);
  assert_int_equal(sum, 12000);
  assert_true(rig_metric(shared.client, "csfle_messages_total{op=\"serialize\",subject=\"orders-value\",result=\"OK\"}") == 12000);
  assert_true(rig_metric(shared.client, "csfle_dek_encryptions_total{kek=\"kek1\",subject=\"orders-value\",algorithm=\"AES256_GCM\",version=\"1\"}") == 12000);
  rig_close(&shared);
}
