/* Proves in which form values leave and keys are taken: prefixes, raw bytes, defaults of parameters, records without material. */
#include "core/base/base64.h"
#include "core/crypt/cipher.h"
#include "tests/unit/client/rig.h"

#define ENCRYPT_RULE(params) "{\"domainRules\":[{\"name\":\"r\",\"type\":\"ENCRYPT\",\"tags\":[\"PII\"],\"params\":{" params "}}]}"
#define BOTH "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"s\",\"type\":\"string\",\"confluent:tags\":[\"PII\"]},{\"name\":\"b\",\"type\":\"bytes\",\"confluent:tags\":[\"PII\"]}]}"
#define BOTH_VALUE "\x06" "abc" "\x08" "\x00\x01\x02\x03"

TEST(version_prefixes_of_the_vectors_are_written_and_split) /* ENC-48: 256 and 70000 among them */
{
  yyjson_doc *d = csfle_test_vectors("encryption.json");
  yyjson_val *e;
  size_t      i, n, ran = 0, reproduced = 0;
  yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(d), "rotation"), i, n, e)
  {
    uint8_t          key[64], plain[512], stored[1024], raw[1024], out[1024];
    csfle__algorithm a;
    csfle__secret    secret = CSFLE__SECRET_INIT;
    csfle__cipher   *c = NULL;
    csfle__nonces   *nonces = NULL;
    csfle__bytes     k = csfle_test_unhex(csfle__str(csfle_test_text(e, "dek_key_hex")), key, sizeof key), sealed;
    csfle__bytes     p = csfle_test_unhex(csfle__str(csfle_test_text(e, "plaintext_hex")), plain, sizeof plain);
    bool             text = strcmp(csfle_test_text(e, "field_type"), "STRING") == 0;
    int64_t          version;
    int32_t          seen;
    csfle__bytes     theirs = text ? csfle__str(csfle_test_text(e, "field_value_base64")) : csfle_test_unhex(csfle__str(csfle_test_text(e, "raw_hex")), stored, sizeof stored);
    csfle_buf        tmp;
    size_t           len;
    csfle_buf_init(&tmp, 0, CSFLE_BUF_WIPE);
    assert_true(csfle__json_i64(yyjson_obj_get(e, "dek_version"), &version));
    assert_true(csfle__algorithm_parse(csfle__str(csfle_test_text(e, "algorithm")), &a));
    assert_ok(csfle__secret_copy(&secret, k, err));
    assert_ok(csfle__cipher_new(&c, a, &secret, err));
    assert_ok(csfle__nonces_new(&nonces, err));
    assert_ok(csfle__field_split(text, true, theirs, raw, &seen, &sealed, err));
    assert_int_equal(seen, version);
    assert_ok(csfle__field_open(c, text, sealed, out, &len, err));
    assert_bytes_equal(csfle__view(out, len), p);
    assert_int_equal(csfle__field_sealed_len(a, (int32_t)version, text, p.len), theirs.len);
    assert_ok(csfle__field_seal(c, nonces, (int32_t)version, text, p, &tmp, out, err));
    if (a == CSFLE__AES256_SIV) {
      assert_bytes_equal(csfle__view(out, theirs.len), theirs);
      reproduced++;
    } else if (text) {
      assert_memory_equal(out, theirs.ptr, 4); /* three bytes of the prefix: what follows the fifth is random */
    } else {
      assert_memory_equal(out, theirs.ptr, CSFLE__VERSION_PREFIX);
    }
    csfle_buf_free(&tmp);
    csfle__nonces_free(nonces);
    csfle__cipher_free(c);
    csfle__secret_wipe(&secret);
    ran++;
  }
  printf("# rotation: %zu entries, %zu reproduced\n", ran, reproduced);
  assert_int_equal(ran, 15);
  assert_true(reproduced > 0);
  yyjson_doc_free(d);
}

TEST(strings_become_base64_bytes_stay_raw_and_only_rotating_rules_write_a_version) /* ENC-32 ENC-46 ENC-47 */
{
  const struct { const char *rules; size_t prefix; } cases[] = {
    { ENCRYPT_RULE(RULE_PARAMS), 0 },
    { ENCRYPT_RULE(RULE_PARAMS ",\"encrypt.dek.expiry.days\":\"0\""), 0 },
    { ENCRYPT_RULE(RULE_PARAMS ",\"encrypt.dek.expiry.days\":\"\""), 0 },
    { ENCRYPT_RULE(RULE_PARAMS ",\"encrypt.dek.expiry.days\":\"1\""), 5 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rig       r;
    csfle_buf out;
    char      in[] = BOTH_VALUE;
    csfle_buf_init(&out, 0, 0);
    rig_open(&r, BOTH, NULL, cases[i].rules, "preserve.source.fields=true");
    assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, in, sizeof in - 1, NULL, &out, NULL, err));
    assert_memory_equal(in, BOTH_VALUE, sizeof in); /* the caller's are not touched */
    size_t   text = csfle__base64_len(cases[i].prefix + 3 + 28), raw = cases[i].prefix + 4 + 28, n;
    uint8_t *s = out.ptr + 6, *b = s + text + 1, plain[128]; /* behind the framing and a length of one byte each */
    assert_int_equal(out.len, 5 + 1 + text + 1 + raw);
    assert_int_equal(out.ptr[5], 2 * text);
    assert_int_equal(b[-1], 2 * raw);
    assert_true(csfle__base64_decode(csfle__view(s, text), plain, &n));
    assert_int_equal(n, cases[i].prefix + 3 + 28);
    if (cases[i].prefix) {
      assert_memory_equal(plain, "\0\0\0\0\1", 5);
      assert_memory_equal(b, "\0\0\0\0\1", 5);
    }
    csfle_buf_free(&out);
    rig_close(&r);
  }
}

TEST(a_rule_without_an_algorithm_or_with_an_empty_one_uses_AES256_GCM) /* ENC-8 */
{
  const char *const rules[] = { ENCRYPT_RULE(RULE_PARAMS), ENCRYPT_RULE(RULE_PARAMS ",\"encrypt.dek.algorithm\":\"\"") };
  for (size_t i = 0; i < 2; i++) {
    rig       r;
    csfle_buf out;
    csfle_buf_init(&out, 0, 0);
    rig_open(&r, CUSTOMER, NULL, rules[i], NULL);
    assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
    assert_int_equal(csfle_fake_count(&r.fake, "GET /dek-registry/v1/keks/kek1/deks/orders-value/versions/1?algorithm=AES256_GCM&"), 1);
    assert_int_equal(csfle_fake_count(&r.fake, "POST /dek-registry/v1/keks/kek1/deks/orders-value {\"subject\":\"orders-value\",\"version\":1,\"algorithm\":\"AES256_GCM\""), 1);
    csfle_buf_free(&out);
    rig_close(&r);
  }
}

TEST(a_reader_takes_a_key_however_old_and_makes_none) /* ENC-54 */
{
  rig       r;
  csfle_buf out, back;
  csfle_buf_init(&out, 0, 0), csfle_buf_init(&back, 0, 0);
  rig_open(&r, CUSTOMER, NULL, ENCRYPT_RULE(RULE_PARAMS ",\"encrypt.dek.expiry.days\":\"1\""), NULL);
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
  csfle_client *cl = rig_client(&r.fake, NULL);
  csfle_serde  *s = rig_serde(cl, "orders", NULL, NULL);
  for (int year = 0; year < 3; year++) {
    r.fake.now_ms += INT64_C(31536000000);
    r.fake.mono_ms += INT64_C(31536000000);
    assert_ok(csfle_deserialize(s, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, NULL, err));
    assert_bytes_equal(csfle__buf_view(&back), BYTES(CUSTOMER_VALUE));
  }
  assert_int_equal(r.fake.dek_creates, 1);
  csfle_serde_close(s), csfle_client_close(cl);
  csfle_buf_free(&out), csfle_buf_free(&back);
  rig_close(&r);
}

TEST(a_dek_without_material_is_no_dek) /* ENC-75 */
{
  rig         r;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf   out, back;
  csfle_buf_init(&out, 0, 0), csfle_buf_init(&back, 0, 0);
  rig_open(&r, CUSTOMER, NULL, PII_RULES, NULL);
  csfle_fake_add_dek(&r.fake, "{\"kekName\":\"kek1\",\"subject\":\"orders-value\",\"version\":1,\"algorithm\":\"AES256_GCM\",\"ts\":1700000000000}");
  /* a producer makes one, is told that it is there, and looks again */
  assert_int_equal(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, &e), CSFLE_E_RULE);
  assert_non_null(strstr(e.msg, "No dek found for kek1 during produce"));
  assert_int_equal(csfle_fake_count(&r.fake, "POST /dek-registry/v1/keks/kek1/deks/orders-value "), 1);
  csfle_fake_drop_keys(&r.fake);
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
  csfle_fake_add_dek(&r.fake, "{\"kekName\":\"kek1\",\"subject\":\"orders-value\",\"version\":1,\"algorithm\":\"AES256_GCM\",\"ts\":1700000000000}");
  csfle_fake_add_kek(&r.fake, "{\"name\":\"kek1\",\"kmsType\":\"local-kms\",\"kmsKeyId\":\"mykey\",\"shared\":false}");
  csfle_client *cl = rig_client(&r.fake, "rule.executors.encryptPII.onFailure=ERROR");
  csfle_serde  *s = rig_serde(cl, "orders", NULL, NULL);
  assert_int_equal(csfle_deserialize(s, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, NULL, &e), CSFLE_E_KEY_GONE);
  if (!strstr(e.msg, "No dek found for kek1 during consume")) fail_msg("%s", e.msg);
  csfle_serde_close(s), csfle_client_close(cl);
  csfle_buf_free(&out), csfle_buf_free(&back);
  rig_close(&r);
}
