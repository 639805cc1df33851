/* core/kms: the driver interface and local-kms. */
#include "core/base/base64.h"
#include "core/crypt/material.h"
#include "core/crypt/random.h"
#include "core/kms/driver.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>

static const char *secret_of(void *opaque, const char *name) { return strcmp(name, "secret") == 0 ? opaque : NULL; }
static csfle__kms_props props(const char *secret) { return (csfle__kms_props){ secret_of, (void *)(uintptr_t)secret }; }

static csfle_status run(const char *secret, bool unwrap, csfle__bytes in, csfle__secret *out, csfle_error *err)
{
  csfle__kms      *k = NULL;
  csfle__kms_props p = props(secret);
  csfle_status     rc = csfle__kms_open(&k, BYTES("local-kms"), BYTES("mykey"), &p, err);
  if (rc != CSFLE_OK) return rc;
  csfle__kms_call c;
  csfle__kms_call_init(&c, unwrap, in);
  rc = csfle__kms_run(k, &c, NULL, NULL, err);
  if (rc == CSFLE_OK) csfle__secret_move(out, &c.out);
  csfle__kms_call_free(&c);
  csfle__kms_close(k);
  return rc;
}

static uint8_t nonce[12];
static int     fill(void *opaque, uint8_t *out, size_t len)
{
  (void)opaque;
  for (size_t i = 0; i < len; i++) out[i] = nonce[i % sizeof nonce];
  return 1;
}

/* ENC-12, ENC-13 */
TEST(every_wrap_vector_unwraps_and_wraps_again_under_its_nonce)
{
  yyjson_doc *doc = csfle_test_vectors("encryption.json");
  yyjson_val *list = csfle__json_member(yyjson_doc_get_root(doc), "dek_wrap"), *e;
  size_t      i, n, ran = 0;
  yyjson_arr_foreach(list, i, n, e)
  {
    uint8_t          w[256], m[128], k[64], text[256];
    size_t           text_len;
    csfle__secret    got = CSFLE__SECRET_INIT, raw = CSFLE__SECRET_INIT, again = CSFLE__SECRET_INIT;
    csfle__bytes     wrapped = csfle_test_unhex(csfle__str(csfle_test_text(e, "wrapped_hex")), w, sizeof w);
    csfle__bytes     material = csfle_test_unhex(csfle__str(csfle_test_text(e, "dek_proto_hex")), m, sizeof m);
    csfle__bytes     key = csfle_test_unhex(csfle__str(csfle_test_text(e, "dek_key_hex")), k, sizeof k);
    csfle__algorithm a;
    assert_true(csfle__base64_decode(csfle__str(csfle_test_text(e, "encryptedKeyMaterial")), text, &text_len));
    assert_bytes_equal(csfle__view(text, text_len), wrapped);
    assert_ok(run(csfle_test_text(e, "secret"), true, wrapped, &got, err));
    if (material.len) assert_bytes_equal(csfle__secret_view(&got), material);
    assert_true(csfle__algorithm_parse(csfle__str(csfle_test_text(e, "algorithm")), &a));
    assert_ok(csfle__dek_decode(a, csfle__secret_view(&got), &raw, err));
    assert_true(key.len != 0);
    assert_bytes_equal(csfle__secret_view(&raw), key);
    csfle_test_unhex(csfle__str(csfle_test_text(e, "nonce_hex")), nonce, sizeof nonce);
    csfle__random_set(fill, NULL);
    assert_ok(run(csfle_test_text(e, "secret"), false, csfle__secret_view(&got), &again, err));
    csfle__random_set(NULL, NULL);
    assert_bytes_equal(csfle__secret_view(&again), wrapped);
    csfle__secret_wipe(&got), csfle__secret_wipe(&raw), csfle__secret_wipe(&again);
    ran++;
  }
  printf("# dek_wrap: %zu entries\n", ran);
  assert_int_equal(ran, 15);
  yyjson_doc_free(doc);
}

/* ENC-14 */
TEST(the_secret_comes_from_the_property_or_else_the_environment)
{
  csfle__secret wrapped = CSFLE__SECRET_INIT, got = CSFLE__SECRET_INIT;
  unsetenv("LOCAL_SECRET");
  const struct {
    const char *property, *variable;
    bool        ok;
  } cases[] = { { NULL, NULL, false }, { NULL, "", false }, { "", "mysecret", false }, { NULL, "mysecret", true }, { "mysecret", "other", true } };
  assert_ok(run("mysecret", false, BYTES("material"), &wrapped, err));
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle_error err = CSFLE_ERROR_INIT;
    if (cases[i].variable) setenv("LOCAL_SECRET", cases[i].variable, 1);
    else unsetenv("LOCAL_SECRET");
    csfle_status rc = run(cases[i].property, true, csfle__secret_view(&wrapped), &got, &err);
    assert_int_equal(rc, cases[i].ok ? CSFLE_OK : CSFLE_E_CONFIG);
    if (cases[i].ok) assert_bytes_equal(csfle__secret_view(&got), BYTES("material"));
    else assert_string_equal(err.msg, "cannot load secret");
    csfle__secret_wipe(&got);
  }
  unsetenv("LOCAL_SECRET");
  csfle__secret_wipe(&wrapped);
}

/* ENC-15 (neg-40), ENC-16 */
TEST(a_wrong_secret_is_an_unwrap_failure_and_two_keys_in_a_process_keep_apart)
{
  csfle__secret a = CSFLE__SECRET_INIT, b = CSFLE__SECRET_INIT, got = CSFLE__SECRET_INIT;
  csfle_error   err = CSFLE_ERROR_INIT;
  assert_int_equal(run("one", false, BYTES("AAAA"), &a, &err), CSFLE_OK);
  assert_int_equal(run("two", false, BYTES("BBBB"), &b, &err), CSFLE_OK);
  assert_int_equal(run("two", true, csfle__secret_view(&a), &got, &err), CSFLE_E_DECRYPT);
  assert_string_equal(err.msg, "authentication failed");
  assert_null(got.ptr);
  assert_int_equal(run("one", true, csfle__secret_view(&a), &got, &err), CSFLE_OK);
  assert_bytes_equal(csfle__secret_view(&got), BYTES("AAAA"));
  assert_int_equal(run("two", true, csfle__secret_view(&b), &got, &err), CSFLE_OK);
  assert_bytes_equal(csfle__secret_view(&got), BYTES("BBBB"));
  assert_int_equal(run("one", true, BYTES("short"), &got, &err), CSFLE_E_DECRYPT);
  csfle__secret_wipe(&a), csfle__secret_wipe(&b), csfle__secret_wipe(&got);
}

TEST(the_secret_is_asked_for_in_a_step_of_its_own)
{
  csfle__kms      *k;
  csfle__kms_props p = props(NULL);
  csfle__kms_call  c;
  csfle_error      err = CSFLE_ERROR_INIT;
  assert_int_equal(csfle__kms_open(&k, BYTES("Local-KMS"), BYTES(""), &p, &err), CSFLE_OK);
  csfle__kms_call_init(&c, false, BYTES("x"));
  assert_int_equal(csfle__kms_step(k, &c, &err), CSFLE__NEED);
  assert_int_equal(c.io.need_kind, CSFLE__NEED_VARIABLE);
  assert_string_equal(c.io.need_name, "LOCAL_SECRET");
  assert_int_equal(csfle__secret_copy(&c.io.need_value, BYTES("s"), &err), CSFLE_OK);
  c.io.need_found = true;
  assert_int_equal(csfle__kms_step(k, &c, &err), CSFLE__DONE);
  assert_null(c.io.need_value.ptr); /* gone as soon as it was used */
  assert_int_equal(c.out.len, 29);
  csfle__kms_call_free(&c);
  csfle__kms_close(k);
}

TEST(an_unknown_type_is_named)
{
  csfle__kms *k = NULL;
  csfle_error err = CSFLE_ERROR_INIT;
  assert_int_equal(csfle__kms_open(&k, BYTES("aws-kms2"), BYTES("arn:x"), NULL, &err), CSFLE_E_CONFIG);
  assert_string_equal(err.msg, "no KMS driver supports: aws-kms2://arn:x");
  assert_null(k);
  assert_null(csfle__kms_driver_find(BYTES("")));
  assert_string_equal(csfle__kms_driver_find(BYTES("local-kms"))->type, "local-kms");
}

static csfle_status there_and_back(const char *secret)
{
  csfle__secret wrapped = CSFLE__SECRET_INIT, got = CSFLE__SECRET_INIT;
  csfle_status  rc = run(secret, false, BYTES("material"), &wrapped, NULL);
  if (rc == CSFLE_OK) rc = run(secret, true, csfle__secret_view(&wrapped), &got, NULL);
  csfle__secret_wipe(&wrapped), csfle__secret_wipe(&got);
  return rc;
}
TEST(wrapping_survives_every_failed_allocation)
{
  TORTURE(there_and_back("mysecret"));
  setenv("LOCAL_SECRET", "mysecret", 1);
  TORTURE(there_and_back(NULL));
  unsetenv("LOCAL_SECRET");
}
