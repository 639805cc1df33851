/* Proves when keys get a successor and what happens when they cannot: limits, refusals, clocks, by hand; and that all of it is told. */
#include "tests/unit/client/rig.h"
#include "core/base/base64.h"
#include "tests/support/fake_vault.h"

#define ENCRYPT_RULE(params) "{\"domainRules\":[{\"name\":\"r\",\"type\":\"ENCRYPT\",\"tags\":[\"PII\"],\"params\":{" params "}}]}"
#define ROTATING(days) ENCRYPT_RULE(RULE_PARAMS ",\"encrypt.dek.expiry.days\":\"" days "\"")
#define DAY  INT64_C(86400000)
#define HOUR INT64_C(3600000)
#define YEAR (365 * DAY)
#define NO_REFRESH "csfle.key.max.age.ms=99999999999\nlatest.cache.ttl.sec=-1"

/* ---- what was told */

static struct { int event; char json[2048]; } told[64];
static size_t told_count;
static csfle_client *told_by; /* a listener may ask for statistics */
static void on_event(void *opaque, int event, const char *json)
{
  (void)opaque;
  yyjson_doc *d = yyjson_read(json, strlen(json), 0);
  if (!d) fail_msg("not JSON: %s", json);
  assert_string_equal(csfle_test_text(yyjson_doc_get_root(d), "event"), csfle_event_name(event));
  yyjson_doc_free(d);
  if (strstr(json, "078-05-1120") || strstr(json, "mysecret") || strstr(json, "t0ken")) fail_msg("told: %s", json);
  assert_true(told_count < 64);
  if (told_by) assert_true(rig_metric(told_by, "csfle_cache_entries{cache=\"keks\"}") >= 0);
  told[told_count].event = event;
  snprintf(told[told_count++].json, sizeof told->json, "%s", json);
}

static size_t count_told(int event)
{
  size_t n = 0;
  for (size_t i = 0; i < told_count; i++) n += told[i].event == event;
  return n;
}

static const char *last_told(int event)
{
  for (size_t i = told_count; i-- > 0;)
    if (told[i].event == event) return told[i].json;
  return "";
}

static void open_rig(rig *r, const char *rules, const char *props)
{
  told_count = 0, told_by = NULL, rig_on_event = on_event;
  rig_open(r, CUSTOMER, NULL, rules, props);
  rig_on_event = NULL, told_by = r->client;
}

static csfle_info seen;
static csfle_status send_by(csfle_serde *s, csfle_error *e)
{
  csfle_buf out;
  csfle_buf_init(&out, 0, 0);
  seen = (csfle_info)CSFLE_INFO_INIT;
  csfle_status st = csfle_serialize(s, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, &seen, e);
  csfle_buf_free(&out);
  return st;
}
static csfle_status send_one(rig *r, csfle_error *e) { return send_by(r->serde, e); }

static void send_ok(rig *r)
{
  csfle_error e = CSFLE_ERROR_INIT;
  if (send_one(r, &e) != CSFLE_OK) fail_msg("%s %s", e.where, e.msg);
}

/* The version in the prefix of what is written now. */
static int version_written(csfle_serde *s)
{
  csfle_buf   out;
  csfle_error e = CSFLE_ERROR_INIT;
  uint8_t     raw[64];
  size_t      n;
  csfle_buf_init(&out, 0, 0);
  if (csfle_serialize(s, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, &e)) fail_msg("%s %s", e.where, e.msg);
  assert_true(csfle__base64_decode(csfle__view(out.ptr + 7, 8), raw, &n)); /* prefix 5, id 1, length 1 */
  assert_int_equal(raw[0], 0);
  csfle_buf_free(&out);
  return (int)csfle__get_u32be(raw + 1);
}

static void pass_time(rig *r, int64_t ms)
{
  r->fake.now_ms += ms;
  r->fake.mono_ms += ms;
}

static csfle__track *track_of(rig *r, csfle__algorithm a, int32_t version)
{
  return csfle__ring_track(&r->client->ring, BYTES("kek1"), BYTES("orders-value"), a, version);
}

/* ---- how often a key may be used */

TEST(encryptions_are_counted_by_key_and_told_at_half_the_limit) /* ENC-106 */
{
  rig r;
  open_rig(&r, ROTATING("30"), NO_REFRESH);
#define ENCRYPTIONS(version) "csfle_dek_encryptions_total{kek=\"kek1\",subject=\"orders-value\",algorithm=\"AES256_GCM\",version=\"" version "\"}"
  assert_true(rig_metric(r.client, ENCRYPTIONS("1")) < 0);
  for (int i = 0; i < 3; i++) send_ok(&r);
  assert_true(rig_metric(r.client, ENCRYPTIONS("1")) == 3);
  csfle__track *t = track_of(&r, CSFLE__AES256_GCM, 1);
  t->uses = CSFLE__MAX_GCM_USES / 2 - CSFLE__COUNT_BATCH;
  for (int i = 0; i < CSFLE__COUNT_BATCH - 1; i++) send_ok(&r);
  assert_int_equal(count_told(CSFLE_EVENT_LIMIT_NEAR), 0);
  send_ok(&r);
  assert_int_equal(count_told(CSFLE_EVENT_LIMIT_NEAR), 1);
  assert_string_equal(last_told(CSFLE_EVENT_LIMIT_NEAR), "{\"event\":\"limit_near\",\"kek\":\"kek1\",\"subject\":\"orders-value\",\"algorithm\":\"AES256_GCM\","
                                                         "\"version\":1,\"count\":2147483648}");
  for (int i = 0; i < 2 * CSFLE__COUNT_BATCH; i++) send_ok(&r);
  assert_int_equal(count_told(CSFLE_EVENT_LIMIT_NEAR), 1);
  assert_true(rig_metric(r.client, ENCRYPTIONS("1")) == 2147483648.0 + 2 * CSFLE__COUNT_BATCH);
  rig_close(&r);
}

TEST(at_the_limit_a_rotating_key_gets_a_successor_and_another_is_refused) /* ENC-106 */
{
  const struct { const char *rules, *props; csfle_status st; size_t creates; } cases[] = {
    { ROTATING("30"), NO_REFRESH, CSFLE_OK, 2 },
    { PII_RULES, NO_REFRESH, CSFLE_E_POLICY, 1 },
    { PII_RULES, NO_REFRESH "\ncsfle.allow.overused.keys=true", CSFLE_OK, 1 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rig         r;
    csfle_error e = CSFLE_ERROR_INIT;
    open_rig(&r, cases[i].rules, cases[i].props);
    send_ok(&r);
    track_of(&r, CSFLE__AES256_GCM, 1)->uses = CSFLE__MAX_GCM_USES - 1;
    send_ok(&r);
    track_of(&r, CSFLE__AES256_GCM, 1)->uses = CSFLE__MAX_GCM_USES;
    size_t before = csfle_fake_count(&r.fake, "");
    for (int k = 0; k < 3; k++) assert_int_equal(send_one(&r, &e), cases[i].st);
    assert_int_equal(r.fake.dek_creates, cases[i].creates);
    /* refused without asking anybody */
    if (cases[i].creates == 1) assert_int_equal(csfle_fake_count(&r.fake, ""), before);
    if (cases[i].st) assert_non_null(strstr(e.msg, "csfle.allow.overused.keys"));
    if (cases[i].st) assert_int_equal(count_told(CSFLE_EVENT_POLICY), 1);
    assert_int_equal(count_told(CSFLE_EVENT_DEK_ROTATED), cases[i].creates - 1);
    rig_close(&r);
  }
}

TEST(siv_is_not_counted) /* ENC-106 */
{
  rig r;
  open_rig(&r, ENCRYPT_RULE(RULE_PARAMS ",\"encrypt.dek.algorithm\":\"AES256_SIV\""), NO_REFRESH);
  for (int i = 0; i < 3 * CSFLE__COUNT_BATCH; i++) send_ok(&r);
  assert_true(rig_metric(r.client, "csfle_dek_encryptions_total{kek=\"kek1\",subject=\"orders-value\",algorithm=\"AES256_SIV\",version=\"1\"}") < 0);
  assert_int_equal(track_of(&r, CSFLE__AES256_SIV, 1)->uses, 0);
  rig_close(&r);
}

/* ---- when no successor can be made */

static int status_of_posts;
static _Atomic(int) down;
static int refuse(csfle_fake *f, const char *method, const char *path, const char **body)
{
  (void)f;
  if (down) return -1;
  if (!status_of_posts || strcmp(method, "POST") != 0 || !strstr(path, "/deks/")) return 0;
  *body = status_of_posts == 409 ? "{\"error_code\":40972,\"message\":\"Too many keys\"}" : "{\"error_code\":40301,\"message\":\"Forbidden\"}";
  return status_of_posts;
}

#define OVERDUE "csfle_rotation_overdue{kek=\"kek1\",subject=\"orders-value\"}"

TEST(a_successor_that_cannot_be_made_is_told_and_the_old_version_goes_on) /* ENC-56 AB-12 */
{
  const struct { int status; const char *in_event; } cases[] = { { 403, "\"status\":\"FORBIDDEN\",\"http\":403" }, { 409, "\"http\":409" }, { 0, "\"status\":\"UNAVAILABLE\"" } };
  for (size_t i = 0; i < 3; i++) {
    rig r;
    open_rig(&r, ROTATING("1"), "latest.cache.ttl.sec=-1");
    send_ok(&r);
    assert_int_equal(count_told(CSFLE_EVENT_DEK_MADE), 1);
    assert_true(rig_metric(r.client, OVERDUE) == 0);
    r.fake.hook = refuse, status_of_posts = cases[i].status, down = !cases[i].status;
    /* by the hour, so that it does not get old while nobody asks */
    for (int h = 0; h < 24; h++) {
      down = false;
      send_ok(&r);
      down = !cases[i].status;
      pass_time(&r, HOUR);
    }
    pass_time(&r, 61000); /* beyond the grace */
    size_t before = csfle_fake_count(&r.fake, "");
    for (int k = 0; k < 10; k++) assert_int_equal(version_written(r.serde), 1);
    assert_in_range(csfle_fake_count(&r.fake, "") - before, 1, 3); /* once: KEK, DEK, its successor */
    assert_int_equal(count_told(CSFLE_EVENT_ROTATION_OVERDUE), 1);
    if (!strstr(last_told(CSFLE_EVENT_ROTATION_OVERDUE), cases[i].in_event)) fail_msg("%s", last_told(CSFLE_EVENT_ROTATION_OVERDUE));
    assert_non_null(strstr(last_told(CSFLE_EVENT_ROTATION_OVERDUE), "\"kek\":\"kek1\",\"subject\":\"orders-value\",\"algorithm\":\"AES256_GCM\",\"version\":1"));
    assert_true(rig_metric(r.client, OVERDUE) == 1);
    assert_true(rig_metric(r.client, "csfle_dek_age_seconds{kek=\"kek1\",subject=\"orders-value\",algorithm=\"AES256_GCM\",version=\"1\"}") == 86400 + 61);
    /* it is asked for again, and told again, and over when it works */
    for (int k = 0; k < 3; k++) pass_time(&r, 61000), send_ok(&r);
    assert_true(seen.flags & CSFLE_INFO_STALE_KEY);
    assert_int_equal(count_told(CSFLE_EVENT_ROTATION_OVERDUE), 4);
    r.fake.hook = NULL;
    pass_time(&r, 61000);
    assert_int_equal(version_written(r.serde), 2);
    assert_non_null(strstr(last_told(CSFLE_EVENT_DEK_ROTATED), "\"version\":2,\"before\":1"));
    assert_true(rig_metric(r.client, OVERDUE) == 0);
    rig_close(&r);
  }
}

TEST(a_kms_that_does_not_wrap_keeps_the_old_version_and_one_that_refuses_it_ends_its_use) /* AB-11 AB-12 */
{
  const struct { int wrap, all; csfle_status class; const char *told; } cases[] = {
    { 403, 0, CSFLE_OK, "\"status\":\"FORBIDDEN\",\"http\":403" }, /* it may be used to unwrap */
    { -1, 0, CSFLE_OK, "\"status\":\"UNAVAILABLE\"" },
    { -1, -1, CSFLE_OK, "\"status\":\"UNAVAILABLE\"" },
    { 403, 403, CSFLE_CLASS_DENIED, "\"status\":\"FORBIDDEN\",\"http\":403" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle_fake       fake;
    csfle_fake_vault vault;
    csfle_error      e = CSFLE_ERROR_INIT;
    csfle_fake_init(&fake);
    csfle_fake_vault_init(&vault, &fake.transport);
    csfle_fake_add_schema(&fake, "orders-value", 12, 7, CUSTOMER, NULL,
                          ENCRYPT_RULE("\"encrypt.kek.name\":\"kek1\",\"encrypt.kms.type\":\"hcvault\",\"encrypt.kms.key.id\":\"" CSFLE_FAKE_VAULT_KEY
                                       "\",\"encrypt.dek.expiry.days\":\"1\""));
    told_count = 0, told_by = NULL, rig_on_event = on_event;
    csfle_client *cl = rig_client_over(&vault.transport, &fake.clock, CSFLE_FAKE_VAULT_PROPS "\n" NO_REFRESH);
    rig_on_event = NULL;
    csfle_serde *s = rig_serde(cl, "orders", CUSTOMER, NULL);
    assert_int_equal(send_by(s, &e), CSFLE_OK);
    vault.wrap_status = cases[i].wrap;
    vault.status = cases[i].all;
    fake.now_ms += DAY + 61000;
    fake.mono_ms += DAY + 61000;
    size_t before = vault.wraps;
    for (int k = 0; k < 5; k++) {
      csfle_status rc = send_by(s, &e);
      if (CSFLE_CLASS(rc) != cases[i].class) fail_msg("case %zu: %s", i, e.msg);
    }
    if (cases[i].class == CSFLE_OK) assert_in_range(vault.wraps - before, 1, 3); /* the driver's own tries */
    if (!strstr(last_told(CSFLE_EVENT_ROTATION_OVERDUE), cases[i].told)) fail_msg("case %zu: %s", i, last_told(CSFLE_EVENT_ROTATION_OVERDUE));
    vault.wrap_status = 0;
    vault.status = 0;
    fake.now_ms += 61000;
    fake.mono_ms += 61000;
    assert_int_equal(version_written(s), 2);
    csfle_serde_close(s), csfle_client_close(cl);
    csfle_fake_free(&fake);
  }
}

TEST(a_producer_past_the_maximum_stops) /* AB-12: csfle.rotation.max.overdue.ms */
{
  for (int registry_down = 0; registry_down < 2; registry_down++) {
    rig         r;
    csfle_error e = CSFLE_ERROR_INIT;
    open_rig(&r, ROTATING("1"), NO_REFRESH "\ncsfle.rotation.max.overdue.ms=90000");
    send_ok(&r);
    r.fake.hook = refuse, status_of_posts = 403, down = registry_down;
    pass_time(&r, DAY);
    send_ok(&r);
    pass_time(&r, 90000);
    send_ok(&r);
    pass_time(&r, 1);
    size_t before = csfle_fake_count(&r.fake, "POST");
    for (int k = 0; k < 5; k++) assert_int_equal(send_one(&r, &e), registry_down ? CSFLE_E_UNAVAILABLE : CSFLE_E_POLICY);
    if (!registry_down) assert_non_null(strstr(e.msg, "csfle.rotation.max.overdue.ms"));
    assert_int_equal(csfle_fake_count(&r.fake, "POST"), before); /* the next try has its time */
    r.fake.hook = NULL, down = false;
    pass_time(&r, 61000);
    assert_int_equal(version_written(r.serde), 2);
    rig_close(&r);
  }
}

TEST(two_serdes_of_a_subject_try_once) /* AB-12 */
{
  rig         r;
  csfle_error e = CSFLE_ERROR_INIT;
  open_rig(&r, ROTATING("1"), NO_REFRESH);
  csfle_serde *other = rig_serde(r.client, "orders", CUSTOMER, NULL);
  send_ok(&r);
  assert_int_equal(send_by(other, &e), CSFLE_OK);
  assert_int_equal(r.fake.dek_creates, 1);
  r.fake.hook = refuse, status_of_posts = 403, down = false;
  pass_time(&r, DAY);
  size_t before = csfle_fake_count(&r.fake, "POST");
  for (int k = 0; k < 3; k++) {
    send_ok(&r);
    assert_int_equal(send_by(other, &e), CSFLE_OK);
  }
  assert_int_equal(csfle_fake_count(&r.fake, "POST"), before + 1);
  csfle_serde_close(other);
  rig_close(&r);
}

/* ---- clocks */

TEST(clocks_that_are_years_apart_make_one_version_a_period) /* AB-12 */
{
  const int64_t behind[] = { YEAR, -YEAR, 3 * DAY, -3 * DAY, 0 };
  for (size_t i = 0; i < sizeof behind / sizeof *behind; i++) {
    rig          r;
    csfle_error  e = CSFLE_ERROR_INIT;
    csfle_serde *s[4];
    csfle_client *cl[4];
    open_rig(&r, ROTATING("2"), NULL);
    r.fake.behind_ms = behind[i], r.fake.says_date = true;
    for (size_t k = 0; k < 4; k++) cl[k] = rig_client(&r.fake, NULL), s[k] = rig_serde(cl[k], "orders", CUSTOMER, NULL);
    /* ten days, every hour, four producers, one of them started anew each hour */
    for (int h = 0; h < 240; h++) {
      for (size_t k = 0; k < 4; k++)
        if (send_by(s[k], &e) != CSFLE_OK) fail_msg("%s", e.msg);
      csfle_serde_close(s[h % 4]), csfle_client_close(cl[h % 4]);
      cl[h % 4] = rig_client(&r.fake, NULL), s[h % 4] = rig_serde(cl[h % 4], "orders", CUSTOMER, NULL);
      pass_time(&r, HOUR);
    }
    if (r.fake.dek_creates != 5) fail_msg("%zu versions in five periods, clock %lld days off", r.fake.dek_creates, (long long)(behind[i] / DAY));
    for (size_t k = 0; k < 4; k++) csfle_serde_close(s[k]), csfle_client_close(cl[k]);
    rig_close(&r);
  }
}

TEST(a_clock_that_jumps_makes_no_storm_and_no_standstill) /* AB-12 */
{
  rig r;
  open_rig(&r, ROTATING("2"), NULL);
  r.fake.says_date = true;
  int64_t jump = 0;
  for (int h = 0; h < 240; h++) {
    int64_t to = h % 3 == 0 ? YEAR : h % 3 == 1 ? -YEAR : 0;
    r.fake.now_ms += to - jump;
    r.fake.behind_ms += to - jump;
    jump = to;
    for (int k = 0; k < 3; k++) send_ok(&r);
    pass_time(&r, HOUR);
  }
  assert_in_range(r.fake.dek_creates, 4, 5); /* it may be noticed an hour late */
  rig_close(&r);
}

TEST(a_key_from_the_future_still_grows_old) /* AB-12 */
{
  rig r;
  open_rig(&r, ROTATING("2"), NO_REFRESH);
  r.fake.behind_ms = -YEAR; /* and the registry does not say what time it has */
  send_ok(&r);
  pass_time(&r, 2 * DAY - 1);
  send_ok(&r);
  assert_int_equal(r.fake.dek_creates, 1);
  pass_time(&r, 1);
  send_ok(&r);
  assert_int_equal(r.fake.dek_creates, 2);
  /* one that others made: it is as old as we know it, at least */
  csfle_fake_add_dek(&r.fake, "{\"kekName\":\"kek1\",\"subject\":\"other-value\",\"version\":1,\"algorithm\":\"AES256_GCM\",\"encryptedKeyMaterial\":"
                     "\"07V2ndh02DA73p+dTybwZFm7DKQSZN1tEwQh+FoX1DZLk4Yj2LLu4omYjp/84tAg3BYlkfGSz+zZacJHIE4=\",\"ts\":9700000000000}");
  csfle_fake_add_schema(&r.fake, "other-value", 13, 1, CUSTOMER, NULL, ROTATING("2"));
  csfle_serde *s = rig_serde(r.client, "other", CUSTOMER, NULL);
  assert_int_equal(version_written(s), 1);
  pass_time(&r, 2 * DAY - 1);
  assert_int_equal(version_written(s), 1);
  pass_time(&r, 1);
  assert_int_equal(version_written(s), 2);
  csfle_serde_close(s);
  rig_close(&r);
}

/* ---- by hand */

TEST(a_version_made_by_hand_is_used_once_the_key_is_asked_for_again)
{
  rig r;
  open_rig(&r, ROTATING("30"), "csfle.key.max.age.ms=10000\nlatest.cache.ttl.sec=-1");
  assert_int_equal(version_written(r.serde), 1);
  csfle_fake_add_dek(&r.fake, "{\"kekName\":\"kek1\",\"subject\":\"orders-value\",\"version\":2,\"algorithm\":\"AES256_GCM\",\"encryptedKeyMaterial\":"
                     "\"07V2ndh02DA73p+dTybwZFm7DKQSZN1tEwQh+FoX1DZLk4Yj2LLu4omYjp/84tAg3BYlkfGSz+zZacJHIE4=\",\"ts\":1700000000000}");
  assert_int_equal(version_written(r.serde), 1);
  pass_time(&r, 8000);
  assert_int_equal(version_written(r.serde), 2);
  rig_close(&r);
}

#define RULE_OF(kek, id) ENCRYPT_RULE("\"encrypt.kek.name\":\"" kek "\",\"encrypt.kms.type\":\"local-kms\",\"encrypt.kms.key.id\":\"" id "\"")

TEST(a_new_schema_version_with_another_kek_is_how_keys_are_changed_by_hand) /* ENC-69 */
{
  rig         r;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf   before, after, back;
  csfle_buf_init(&before, 0, 0), csfle_buf_init(&after, 0, 0), csfle_buf_init(&back, 0, 0);
  open_rig(&r, PII_RULES, NULL);
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &before, NULL, err));
  /* another DEK under the same KMS key; then another KMS key too */
  csfle_fake_add_schema(&r.fake, "orders-value", 13, 8, CUSTOMER, NULL, RULE_OF("kek2", "mykey"));
  pass_time(&r, 301000);
  send_ok(&r);
  assert_int_equal(seen.version, 8);
  assert_int_equal(csfle_fake_count(&r.fake, "POST /dek-registry/v1/keks/kek2/deks/orders-value"), 1);
  csfle_fake_add_schema(&r.fake, "orders-value", 14, 9, CUSTOMER, NULL, RULE_OF("kek3", "otherkey"));
  pass_time(&r, 301000);
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &after, NULL, err));
  assert_int_equal(csfle_fake_count(&r.fake, "POST /dek-registry/v1/keks/kek3/deks/orders-value"), 1);
  /* both are read, each by the rules of the version that wrote it */
  csfle_serde *reader = rig_serde(r.client, "orders", CUSTOMER, (const char *const[]){ "use.latest.version", "false", NULL });
  const csfle_buf *all[] = { &before, &after };
  for (size_t i = 0; i < 2; i++) {
    assert_ok(csfle_deserialize(reader, CSFLE_NATIVE, all[i]->ptr, all[i]->len, NULL, &back, NULL, err));
    assert_bytes_equal(csfle__buf_view(&back), BYTES(CUSTOMER_VALUE));
  }
  /* the same KEK with another key id is no rotation but a mismatch, and nothing is written */
  csfle_fake_add_schema(&r.fake, "orders-value", 15, 10, CUSTOMER, NULL, RULE_OF("kek3", "yetanother"));
  pass_time(&r, 301000);
  assert_int_equal(send_one(&r, &e), CSFLE_E_RULE);
  assert_non_null(strstr(e.msg, "Found kek3 with kms key id 'otherkey' which differs from rule kms key id 'yetanother'"));
  csfle_serde_close(reader);
  csfle_buf_free(&before), csfle_buf_free(&after), csfle_buf_free(&back);
  rig_close(&r);
}

/* ---- what else is told */

TEST(refusals_staleness_and_ciphertext_that_passes_are_told_once_a_minute)
{
  rig         r;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf   out, back;
  csfle_info  info = CSFLE_INFO_INIT;
  csfle_buf_init(&out, 0, 0), csfle_buf_init(&back, 0, 0);
  open_rig(&r, PII_RULES, NULL);
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
  assert_string_equal(last_told(CSFLE_EVENT_DEK_MADE), "{\"event\":\"dek_made\",\"kek\":\"kek1\",\"subject\":\"orders-value\",\"algorithm\":\"AES256_GCM\",\"version\":1}");
  /* a reader without the secret */
  rig_on_event = on_event;
  csfle_client *stranger = rig_client(&r.fake, "rule.executors._default_.param.secret=another");
  rig_on_event = NULL;
  csfle_serde *s = rig_serde(stranger, "orders", NULL, NULL);
  for (int i = 0; i < 3; i++) {
    assert_ok(csfle_deserialize(s, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, &info, err));
    assert_int_equal(info.passed_through, 1);
  }
  assert_int_equal(count_told(CSFLE_EVENT_PASSED_THROUGH), 1);
  assert_string_equal(last_told(CSFLE_EVENT_PASSED_THROUGH), "{\"event\":\"passed_through\",\"subject\":\"orders-value\",\"count\":1}");
  pass_time(&r, 60000);
  assert_ok(csfle_deserialize(s, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, &info, err));
  assert_int_equal(count_told(CSFLE_EVENT_PASSED_THROUGH), 2);
  csfle_serde_close(s), csfle_client_close(stranger);
  /* the registry cannot be reached */
  r.fake.hook = refuse, down = true;
  pass_time(&r, 301000);
  for (int i = 0; i < 3; i++) send_ok(&r);
  assert_int_equal(count_told(CSFLE_EVENT_STALE), 1);
  assert_non_null(strstr(last_told(CSFLE_EVENT_STALE), "\"status\":\"UNAVAILABLE\""));
  assert_true(rig_metric(r.client, "csfle_schema_stale_seconds{subject=\"orders-value\"}") == 361);
  pass_time(&r, 3600000);
  assert_int_equal(send_one(&r, &e), CSFLE_E_UNAVAILABLE);
  down = false;
  csfle_buf_free(&out), csfle_buf_free(&back);
  rig_close(&r);
}

static int forbid(csfle_fake *f, const char *method, const char *path, const char **body)
{
  (void)f, (void)method, (void)path;
  *body = "{\"error_code\":40301,\"message\":\"no \\u0001 \\\"right\\\"\"}";
  return 403;
}

TEST(a_refused_identity_is_told_with_what_the_registry_said)
{
  rig         r;
  csfle_error e = CSFLE_ERROR_INIT;
  open_rig(&r, PII_RULES, NULL);
  r.fake.hook = forbid;
  for (int i = 0; i < 3; i++) assert_int_equal(send_one(&r, &e), CSFLE_E_FORBIDDEN);
  assert_int_equal(count_told(CSFLE_EVENT_DENIED), 1);
  assert_non_null(strstr(last_told(CSFLE_EVENT_DENIED), "\"subject\":\"orders-value\",\"status\":\"FORBIDDEN\",\"http\":403,\"message\":\"registry http://fake answered 403: no   \\\"right\\\""));
  assert_true(rig_metric(r.client, "csfle_events_total{event=\"denied\"}") == 3);
  assert_true(rig_metric(r.client, "csfle_messages_total{op=\"serialize\",subject=\"orders-value\",result=\"FORBIDDEN\"}") == 3);
  rig_close(&r);
}

TEST(what_the_pin_refuses_is_told) /* AB-2 */
{
  rig         r;
  csfle_error e = CSFLE_ERROR_INIT;
  open_rig(&r, PII_RULES, "csfle.require.tags=PII");
  send_ok(&r);
  csfle_fake_add_schema(&r.fake, "orders-value", 13, 8, CUSTOMER, NULL, NULL); /* the rules are gone */
  pass_time(&r, 301000);
  for (int i = 0; i < 3; i++) assert_int_equal(send_one(&r, &e), CSFLE_E_POLICY);
  assert_int_equal(count_told(CSFLE_EVENT_POLICY), 1);
  assert_non_null(strstr(last_told(CSFLE_EVENT_POLICY), "\"subject\":\"orders-value\",\"status\":\"POLICY\",\"message\":\"csfle.require.tags: "));
  assert_true(rig_metric(r.client, "csfle_messages_total{op=\"serialize\",subject=\"orders-value\",result=\"POLICY\"}") == 3);
  rig_close(&r);
}

TEST(names_in_events_are_cut_at_a_character_and_never_break_the_json)
{
  rig   r;
  char  topic[600];
  size_t n = 0;
  while (n < 580) memcpy(topic + n, "\xC3\xA9\"", 3), n += 3;
  topic[n] = 0;
  open_rig(&r, PII_RULES, NULL);
  csfle_serde *s = rig_serde(r.client, topic, CUSTOMER, NULL);
  csfle_error  e = CSFLE_ERROR_INIT;
  r.fake.hook = forbid;
  assert_int_equal(send_by(s, &e), CSFLE_E_FORBIDDEN);
  assert_int_equal(count_told(CSFLE_EVENT_DENIED), 1); /* on_event parsed it */
  csfle_serde_close(s);
  rig_close(&r);
}
