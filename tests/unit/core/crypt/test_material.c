/* core/crypt/material.c: key messages read leniently where protobuf is, strictly where keys are. */
#include "core/crypt/material.h"
#include "core/crypt/random.h"
#include "tests/support/test.h"

#include <stdio.h>

/* ENC-1 ENC-2 ENC-3 ENC-4 ENC-5 ENC-6 */
TEST(every_key_message_vector_is_accepted_or_refused_as_it_should)
{
  yyjson_doc *doc = csfle_test_vectors("encryption.json");
  yyjson_val *list = csfle__json_member(yyjson_doc_get_root(doc), "dek_proto"), *e;
  size_t      i, n, ran = 0;
  yyjson_arr_foreach(list, i, n, e)
  {
    uint8_t          m[256], k[64];
    csfle__algorithm a;
    csfle__secret    raw = CSFLE__SECRET_INIT, again = CSFLE__SECRET_INIT;
    csfle__bytes     message = csfle_test_unhex(csfle__str(csfle_test_text(e, "proto_hex")), m, sizeof m);
    csfle__bytes     key = csfle_test_unhex(csfle__str(csfle_test_text(e, "key_hex")), k, sizeof k);
    const char      *expect = csfle_test_text(e, "expect");
    bool             refuse = strncmp(expect, "reject", 6) == 0, mismatch = strncmp(expect, "length mismatch", 15) == 0;
    assert_true(csfle__algorithm_parse(csfle__str(csfle_test_text(e, "algorithm")), &a));
    csfle_status rc = csfle__dek_decode(a, message, &raw, NULL);
    if (rc != (refuse ? CSFLE_E_DECRYPT : CSFLE_OK)) fail_msg("%s: %d", csfle_test_text(e, "id"), rc);
    if (refuse) assert_null(raw.ptr);
    if (!refuse && key.len) assert_bytes_equal(csfle__secret_view(&raw), key);
    /* a key of the other GCM size can be read with, not written */
    if (!refuse) assert_int_equal(raw.len == csfle__algorithm_key_bytes(a), !mismatch);
    if (!refuse) assert_int_equal(csfle__dek_encode(a, &raw, &again, NULL), mismatch ? CSFLE_E_DECRYPT : CSFLE_OK);
    if (yyjson_is_true(csfle__json_member(e, "canonical"))) assert_bytes_equal(csfle__secret_view(&again), message);
    csfle__secret_wipe(&raw);
    csfle__secret_wipe(&again);
    ran++;
  }
  printf("# dek_proto: %zu entries\n", ran);
  assert_int_equal(ran, 19);
  yyjson_doc_free(doc);
}

TEST(torn_and_foreign_messages_say_what_is_wrong)
{
  const struct {
    csfle__bytes in;
    const char  *why;
  } cases[] = {
    { BYTES(""), "data key material holds no AES128_GCM key" },
    { BYTES("\x12\x02\x00\x00"), "data key material holds no AES128_GCM key" },
    { BYTES("\x08\x01"), "data key material has version 1, expected 0" },
    { BYTES("\x1a\x03"
            "abc"),
      "data key is 3 bytes, expected 16" },
    { BYTES("\x1a\x05"
            "abc"),
      "data key material is not a key message" },
    { BYTES("\x1a"), "data key material is not a key message" },
    { BYTES("\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), "data key material is not a key message" },
    { BYTES("\x00\x01"), "data key material is not a key message" },
    { BYTES("\x1b\x1c"), "data key material is not a key message" },
    { BYTES("\x79\x00\x00"), "data key material is not a key message" },
    { BYTES("\x7d\x00\x00\x00\x00"), "data key material holds no AES128_GCM key" },
    { BYTES("\x80"), "data key material is not a key message" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle_error   err = CSFLE_ERROR_INIT;
    csfle__secret raw = CSFLE__SECRET_INIT;
    assert_int_equal(csfle__dek_decode(CSFLE__AES128_GCM, cases[i].in, &raw, &err), CSFLE_E_DECRYPT);
    assert_string_equal(err.msg, cases[i].why);
  }
}

/* ENC-1, ENC-2, ENC-10 */
TEST(generated_keys_have_their_size_and_differ)
{
  const uint8_t head[CSFLE__ALGORITHM_COUNT][2] = { { 0x1a, 0x10 }, { 0x1a, 0x20 }, { 0x12, 0x40 } };
  const size_t  bytes[CSFLE__ALGORITHM_COUNT] = { 16, 32, 64 };
  for (int a = 0; a < CSFLE__ALGORITHM_COUNT; a++) {
    csfle__secret x = CSFLE__SECRET_INIT, y = CSFLE__SECRET_INIT, m = CSFLE__SECRET_INIT;
    assert_ok(csfle__dek_generate((csfle__algorithm)a, &x, err));
    assert_ok(csfle__dek_generate((csfle__algorithm)a, &y, err));
    assert_int_equal(x.len, bytes[a]);
    assert_false(csfle__secret_equal(csfle__secret_view(&x), csfle__secret_view(&y)));
    assert_ok(csfle__dek_encode((csfle__algorithm)a, &x, &m, err));
    assert_int_equal(m.len, bytes[a] + 2);
    assert_memory_equal(m.ptr, head[a], 2);
    assert_memory_equal(m.ptr + 2, x.ptr, x.len);
    csfle__secret_wipe(&x), csfle__secret_wipe(&y), csfle__secret_wipe(&m);
  }
}

static int fill_nothing(void *opaque, uint8_t *out, size_t len) { return (void)opaque, (void)out, (void)len, 0; }
TEST(no_key_comes_from_a_random_source_that_fails)
{
  csfle__secret x = CSFLE__SECRET_INIT;
  csfle__random_set(fill_nothing, NULL);
  assert_int_equal(csfle__dek_generate(CSFLE__AES256_GCM, &x, NULL), CSFLE_E_INTERNAL);
  assert_null(x.ptr);
  csfle__random_set(NULL, NULL);
}

/* ENC-9 */
TEST(algorithm_names_are_exact)
{
  csfle__algorithm a;
  assert_true(csfle__algorithm_parse(BYTES("AES256_SIV"), &a));
  assert_int_equal(a, CSFLE__AES256_SIV);
  const char *bad[] = { "", "aes256_gcm", "AES256_GCM ", "AES256", "AES192_GCM" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(csfle__algorithm_parse(csfle__str(bad[i]), &a));
}

static csfle_status round_trip(void)
{
  csfle__secret raw = CSFLE__SECRET_INIT, m = CSFLE__SECRET_INIT, back = CSFLE__SECRET_INIT;
  csfle_status  rc = csfle__dek_generate(CSFLE__AES256_SIV, &raw, NULL);
  if (rc == CSFLE_OK) rc = csfle__dek_encode(CSFLE__AES256_SIV, &raw, &m, NULL);
  if (rc == CSFLE_OK) rc = csfle__dek_decode(CSFLE__AES256_SIV, csfle__secret_view(&m), &back, NULL);
  csfle__secret_wipe(&raw), csfle__secret_wipe(&m), csfle__secret_wipe(&back);
  return rc;
}
TEST(key_material_survives_every_failed_allocation) { TORTURE(round_trip()); }
