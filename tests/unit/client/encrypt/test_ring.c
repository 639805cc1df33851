/* Proves key resolution beyond the recordings: clocks that disagree, used-up keys, alternates, kmsProps, policies. */
#include "tests/unit/client/rig.h"

#define ROTATING(days) "{\"domainRules\":[{\"name\":\"r\",\"type\":\"ENCRYPT\",\"tags\":[\"PII\"],\"params\":{" RULE_PARAMS ",\"encrypt.dek.expiry.days\":\"" days "\"}}]}"
#define DAY INT64_C(86400000)
#define HOUR INT64_C(3600000)
#define NO_REFRESH "csfle.key.max.age.ms=99999999999\nlatest.cache.ttl.sec=-1"

static csfle_info seen;
static csfle_status send_one(rig *r, csfle_error *e)
{
  csfle_buf out;
  csfle_buf_init(&out, 0, 0);
  seen = (csfle_info)CSFLE_INFO_INIT;
  csfle_status st = csfle_serialize(r->serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, &seen, e);
  csfle_buf_free(&out);
  return st;
}

TEST(a_clock_that_runs_ahead_does_not_make_a_key_for_every_record) /* AB-12 */
{
  rig         r;
  csfle_error e = CSFLE_ERROR_INIT;
  rig_open(&r, CUSTOMER, NULL, ROTATING("2"), NO_REFRESH);
  r.fake.behind_ms = 1000 * DAY; /* what the registry stores looks old at once */
  for (int i = 0; i < 5; i++)
    if (send_one(&r, &e) != CSFLE_OK) fail_msg("%s", e.msg);
  assert_int_equal(r.fake.dek_creates, 1);
  /* nor after the hour: by the monotonic clock its period has not passed */
  r.fake.mono_ms += 47 * HOUR;
  r.fake.now_ms += 47 * HOUR;
  assert_int_equal(send_one(&r, &e), CSFLE_OK);
  assert_int_equal(r.fake.dek_creates, 1);
  r.fake.mono_ms += 2 * HOUR;
  r.fake.now_ms += 2 * HOUR;
  assert_int_equal(send_one(&r, &e), CSFLE_OK);
  assert_int_equal(r.fake.dek_creates, 2);
  rig_close(&r);
}

TEST(an_hour_passes_between_two_versions_whatever_the_clock_says) /* AB-12 */
{
  rig         r;
  csfle_error e = CSFLE_ERROR_INIT;
  rig_open(&r, CUSTOMER, NULL, ROTATING("1"), NO_REFRESH);
  assert_int_equal(send_one(&r, &e), CSFLE_OK);
  r.fake.now_ms += 3 * DAY; /* the clock jumps */
  r.fake.mono_ms += HOUR - 1;
  assert_int_equal(send_one(&r, &e), CSFLE_OK);
  assert_int_equal(r.fake.dek_creates, 1);
  r.fake.mono_ms += 1;
  assert_int_equal(send_one(&r, &e), CSFLE_OK);
  assert_int_equal(r.fake.dek_creates, 2);
  r.fake.now_ms -= 400 * DAY; /* and back: never expired */
  r.fake.mono_ms += 2 * HOUR;
  assert_int_equal(send_one(&r, &e), CSFLE_OK);
  assert_int_equal(r.fake.dek_creates, 2);
  rig_close(&r);
}

TEST(a_used_up_gcm_key_is_followed_or_refused) /* ENC-106 */
{
  const struct { const char *rules; csfle_status st; size_t creates; } cases[] = { { ROTATING("30"), CSFLE_OK, 2 }, { PII_RULES, CSFLE_E_POLICY, 1 } };
  for (size_t i = 0; i < 2; i++) {
    rig         r;
    csfle_error e = CSFLE_ERROR_INIT;
    rig_open(&r, CUSTOMER, NULL, cases[i].rules, NO_REFRESH);
    assert_int_equal(send_one(&r, &e), CSFLE_OK);
    csfle__track *t = csfle__ring_track(&r.client->ring, BYTES("kek1"), BYTES("orders-value"), CSFLE__AES256_GCM, 1);
    assert_int_equal(t->uses, 0); /* counted in batches */
    for (int k = 1; k < CSFLE__COUNT_BATCH; k++) assert_int_equal(send_one(&r, &e), CSFLE_OK);
    assert_int_equal(t->uses, CSFLE__COUNT_BATCH);
    t->uses = CSFLE__MAX_GCM_USES;
    r.fake.mono_ms += 2 * HOUR;
    assert_int_equal(send_one(&r, &e), cases[i].st);
    if (i) assert_non_null(strstr(e.msg, "2^32"));
    assert_int_equal(r.fake.dek_creates, cases[i].creates);
    rig_close(&r);
  }
}

static int refuse_keks(csfle_fake *f, const char *method, const char *path, const char **body)
{
  (void)f;
  if (strcmp(method, "POST") != 0 || !strstr(path, "/deks/")) return 0;
  *body = "{\"error_code\":40301,\"message\":\"Forbidden\"}";
  return 403;
}

TEST(a_successor_that_is_refused_is_not_asked_for_with_every_record) /* ENC-56 */
{
  rig         r;
  csfle_error e = CSFLE_ERROR_INIT;
  rig_open(&r, CUSTOMER, NULL, ROTATING("1"), NO_REFRESH);
  assert_int_equal(send_one(&r, &e), CSFLE_OK);
  r.fake.hook = refuse_keks;
  r.fake.now_ms += DAY;
  r.fake.mono_ms += DAY;
  size_t before = csfle_fake_count(&r.fake, "POST");
  assert_false(seen.flags & CSFLE_INFO_STALE_KEY);
  for (int i = 0; i < 10; i++) assert_int_equal(send_one(&r, &e), CSFLE_OK);
  assert_true(seen.flags & CSFLE_INFO_STALE_KEY);
  assert_int_equal(csfle_fake_count(&r.fake, "POST"), before + 1);
  r.fake.hook = NULL;
  r.fake.now_ms += 61000;
  r.fake.mono_ms += 61000;
  assert_int_equal(send_one(&r, &e), CSFLE_OK);
  assert_int_equal(r.fake.dek_creates, 2);
  rig_close(&r);
}

TEST(the_kms_props_of_a_kek_reach_the_driver_only_where_allowed) /* ENC-80, security note 6 */
{
  const struct { const char *props; csfle_status st; } cases[] = {
    { NULL, CSFLE_OK },                              /* the registry's secret is not taken */
    { "csfle.allow.kms.props=secret", CSFLE_E_DECRYPT }, /* now it is, and it is the wrong one for this DEK */
  };
  for (size_t i = 0; i < 2; i++) {
    rig         r;
    csfle_error e = CSFLE_ERROR_INIT;
    rig_open(&r, CUSTOMER, NULL, PII_RULES, cases[i].props);
    csfle_fake_add_kek(&r.fake, "{\"name\":\"kek1\",\"kmsType\":\"local-kms\",\"kmsKeyId\":\"mykey\",\"kmsProps\":{\"secret\":\"planted\"},\"shared\":false}");
    csfle_fake_add_dek(&r.fake, "{\"kekName\":\"kek1\",\"subject\":\"orders-value\",\"version\":1,\"algorithm\":\"AES256_GCM\",\"encryptedKeyMaterial\":"
                       "\"07V2ndh02DA73p+dTybwZFm7DKQSZN1tEwQh+FoX1DZLk4Yj2LLu4omYjp/84tAg3BYlkfGSz+zZacJHIE4=\",\"ts\":1700000000000}");
    assert_int_equal(send_one(&r, &e), cases[i].st);
    rig_close(&r);
  }
}

TEST(a_kek_leads_no_credentials_to_a_host_that_the_operator_did_not_name) /* AB-8 */
{
  static const char rules[] = "{\"domainRules\":[{\"name\":\"r\",\"type\":\"ENCRYPT\",\"tags\":[\"PII\"],\"params\":{\"encrypt.kek.name\":\"kek1\"}}]}";
  const struct { const char *config; csfle_status st; } cases[] = {
    { "rule.executors._default_.param.token.id=t0ken", CSFLE_E_POLICY },
    { "rule.executors._default_.param.token.id=t0ken\ncsfle.allow.kms.hosts=vault.bank:8200", CSFLE_E_POLICY },
    { "rule.executors._default_.param.token.id=t0ken\ncsfle.allow.kms.hosts=http://vault.evil:8200", CSFLE_OK }, /* named: the request is made */
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rig         r;
    csfle_error e = CSFLE_ERROR_INIT;
    rig_open(&r, CUSTOMER, NULL, rules, cases[i].config);
    csfle_fake_add_kek(&r.fake, "{\"name\":\"kek1\",\"kmsType\":\"hcvault\",\"kmsKeyId\":\"http://vault.evil:8200/transit/keys/k\",\"kmsProps\":{"
                                "\"csfle.allow.kms.hosts\":\"http://vault.evil:8200\"},\"shared\":false}"); /* what it says of itself is no permission */
    csfle_status st = send_one(&r, &e);
    if (cases[i].st == CSFLE_E_POLICY) {
      assert_int_equal(st, CSFLE_E_POLICY);
      assert_non_null(strstr(e.msg, "csfle.allow.kms.hosts"));
      assert_int_equal(csfle_fake_count(&r.fake, "POST /v1/transit"), 0);
    } else {
      assert_int_not_equal(st, CSFLE_E_POLICY);
      assert_true(csfle_fake_count(&r.fake, "POST /v1/transit") > 0);
    }
    assert_null(strstr(e.msg, "t0ken"));
    rig_close(&r);
  }
}

TEST(a_transport_that_does_not_ask_about_addresses_sends_nothing_to_hosts_that_the_registry_names) /* AB-8 */
{
  static const char rules[] = "{\"domainRules\":[{\"name\":\"r\",\"type\":\"ENCRYPT\",\"tags\":[\"PII\"],\"params\":{\"encrypt.kek.name\":\"kek1\"}}]}";
  static const char config[] = "rule.executors._default_.param.token.id=t0ken\ncsfle.allow.kms.hosts=http://vault.bank:8200,http://192.0.2.7:8200";
  const struct { const char *host, *more; bool sends; } cases[] = {
    { "vault.bank", "", false }, { "vault.bank", "\ncsfle.allow.kms.transport=unchecked", true }, { "192.0.2.7", "", true }, /* an address: looked at already */
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rig         r;
    csfle_error e = CSFLE_ERROR_INIT;
    char        text[400], kek[200];
    snprintf(text, sizeof text, "%s%s", config, cases[i].more);
    snprintf(kek, sizeof kek, "{\"name\":\"kek1\",\"kmsType\":\"hcvault\",\"kmsKeyId\":\"http://%s:8200/transit/keys/k\",\"shared\":false}", cases[i].host);
    csfle_fake_init(&r.fake);
    r.fake.transport.flags = 0;
    csfle_fake_add_schema(&r.fake, "orders-value", 12, 7, CUSTOMER, NULL, rules);
    csfle_fake_add_kek(&r.fake, kek);
    r.client = rig_client(&r.fake, text);
    r.serde = rig_serde(r.client, "orders", CUSTOMER, NULL);
    csfle_status st = send_one(&r, &e);
    assert_int_equal(csfle_fake_count(&r.fake, "POST /v1/transit") > 0, cases[i].sends);
    assert_int_equal(st == CSFLE_E_POLICY, !cases[i].sends);
    if (!cases[i].sends && !strstr(e.msg, "csfle.allow.kms.transport")) fail_msg("%s", e.msg);
    rig_close(&r);
  }
}

TEST(alternate_key_ids_are_trimmed_and_empty_ones_dropped) /* ENC-79 */
{
  yyjson_doc *d = yyjson_read_file(CSFLE_TEST_VECTORS "/encryption.json", 0, NULL, NULL);
  yyjson_val *e;
  size_t      i, n, ran = 0;
  yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(d), "alternate_key_ids"), i, n, e)
  {
    const char  *config = yyjson_get_str(yyjson_obj_get(e, "executor_config")), *kek = yyjson_get_str(yyjson_obj_get(e, "kek_kmsProps"));
    csfle__bytes rest = csfle__str(kek ? kek : config), item;
    yyjson_val  *want = yyjson_obj_get(e, "expect");
    size_t       k = 1;
    while (csfle__list_take(&rest, &item)) assert_true(csfle__eq_str(item, yyjson_get_str(yyjson_arr_get(want, k++))));
    assert_int_equal(k, yyjson_arr_size(want));
    ran++;
  }
  print_message("# %zu lists of alternate key ids\n", ran);
  assert_int_equal(ran, 6);
  yyjson_doc_free(d);
}

TEST(an_alternate_key_is_tried_when_the_first_fails)
{
  /* a KMS type nobody has fails for every id, and says which */
  rig         r;
  csfle_error e = CSFLE_ERROR_INIT;
  rig_open(&r, CUSTOMER, NULL, "{\"domainRules\":[{\"name\":\"r\",\"type\":\"ENCRYPT\",\"tags\":[\"PII\"],\"params\":{\"encrypt.kek.name\":\"kek1\"}}]}", "encrypt.alternate.kms.key.ids= k2 ,,k3");
  csfle_fake_add_kek(&r.fake, "{\"name\":\"kek1\",\"kmsType\":\"moon-kms\",\"kmsKeyId\":\"k1\",\"shared\":false}");
  assert_int_equal(send_one(&r, &e), CSFLE_E_CONFIG);
  assert_non_null(strstr(e.msg, "moon-kms://k3"));
  rig_close(&r);
}

TEST(two_keks_of_one_process_use_their_own_secrets) /* ENC-16 */
{
  rig         r;
  csfle_buf   out, back;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf_init(&out, 0, 0), csfle_buf_init(&back, 0, 0);
  rig_open(&r, "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":\"string\",\"confluent:tags\":[\"PII\"]},{\"name\":\"b\",\"type\":\"string\",\"confluent:tags\":[\"TOP\"]}]}", NULL,
           "{\"domainRules\":[" RULE("one", "PII", ",\"onFailure\":\"ERROR,NONE\"") ",{\"name\":\"two\",\"type\":\"ENCRYPT\",\"tags\":[\"TOP\"],\"onFailure\":\"ERROR,NONE\","
           "\"params\":{\"encrypt.kek.name\":\"kek2\",\"encrypt.kms.type\":\"local-kms\",\"encrypt.kms.key.id\":\"k\"}}]}",
           "rule.executors.two.param.secret=second");
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, "\x02x\x02y", 4, NULL, &out, NULL, err));
  csfle_client *cl = rig_client(&r.fake, NULL); /* knows the first secret only */
  csfle_serde  *s = rig_serde(cl, "orders", NULL, NULL);
  csfle_info    info = CSFLE_INFO_INIT;
  if (csfle_deserialize(s, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, &info, &e)) fail_msg("%s", e.msg);
  assert_int_equal(info.decrypted, 1);
  assert_int_equal(info.passed_through, 1);
  assert_memory_equal(back.ptr, "\x02x", 2);
  csfle_serde_close(s), csfle_client_close(cl);
  csfle_buf_free(&out), csfle_buf_free(&back);
  rig_close(&r);
}

TEST(kek_names_follow_the_vectors) /* ENC-78 */
{
  yyjson_doc *d = yyjson_read_file(CSFLE_TEST_VECTORS "/encryption.json", 0, NULL, NULL);
  yyjson_val *e;
  size_t      i, n, ran = 0;
  yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(d), "context_of_subject"), i, n, e)
  {
    csfle__bytes context = csfle__subject_parse(csfle__str(csfle_test_text(e, "subject"))).context;
    const char  *want = yyjson_get_str(yyjson_obj_get(e, "expect_context"));
    bool         sent = context.len && !csfle__eq_str(context, ".");
    assert_int_equal(sent, want != NULL);
    if (want) assert_true(csfle__eq_str(context, want));
    ran++;
  }
  assert_int_equal(ran, 8); /* ENC-71 */
  yyjson_doc_free(d);
}

TEST(an_answer_that_is_not_what_was_asked_for_is_refused)
{
  const struct { const char *dek; } cases[] = {
    { "{\"kekName\":\"kek1\",\"subject\":\"orders-value\",\"version\":2,\"algorithm\":\"AES256_GCM\",\"encryptedKeyMaterial\":\"AAAA\",\"ts\":1}" },
    { "{\"kekName\":\"kek1\",\"subject\":\"orders-value\",\"version\":1,\"algorithm\":\"AES128_GCM\",\"encryptedKeyMaterial\":\"AAAA\",\"ts\":1}" },
    { "{\"kekName\":\"kek1\",\"subject\":\"orders-value\",\"version\":1,\"algorithm\":\"AES256_GCM\",\"encryptedKeyMaterial\":\"*\",\"ts\":1}" },
    { "[]" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rig         r;
    csfle_error e = CSFLE_ERROR_INIT;
    rig_open(&r, CUSTOMER, NULL, PII_RULES, NULL);
    csfle_fake_script(&r.fake, "GET", "", 200, "{\"subject\":\"orders-value\",\"version\":7,\"id\":12,\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"Customer\\\",\\\"fields\\\":"
                       "[{\\\"name\\\":\\\"id\\\",\\\"type\\\":\\\"long\\\"},{\\\"name\\\":\\\"ssn\\\",\\\"type\\\":\\\"string\\\",\\\"confluent:tags\\\":[\\\"PII\\\"]},{\\\"name\\\":\\\"note\\\",\\\"type\\\":\\\"string\\\"}]}\","
                       "\"ruleSet\":" PII_RULES "}");
    csfle_fake_script(&r.fake, "GET", "", 200, "{\"name\":\"kek1\",\"kmsType\":\"local-kms\",\"kmsKeyId\":\"mykey\",\"shared\":false}");
    csfle_fake_script(&r.fake, "GET", "", 200, cases[i].dek);
    csfle_status st = send_one(&r, &e);
    if (st == CSFLE_OK) fail_msg("case %zu passed", i);
    rig_close(&r);
  }
}
