/* core/crypt/cipher.c against the vectors of the official JavaScript client, and against what must be refused. */
#include "core/base/base64.h"
#include "core/crypt/cipher.h"
#include "core/crypt/material.h"
#include "tests/support/test.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

static yyjson_doc *vectors(const char *group, yyjson_val **list)
{
  yyjson_doc *doc = csfle_test_vectors("encryption.json");
  *list = csfle__json_member(yyjson_doc_get_root(doc), group);
  assert_true(yyjson_is_arr(*list));
  return doc;
}

static csfle__bytes hex(yyjson_val *e, const char *name, uint8_t *buf, size_t cap)
{
  return csfle_test_unhex(csfle__str(csfle_test_text(e, name)), buf, cap);
}

static csfle__algorithm algorithm(yyjson_val *e)
{
  csfle__algorithm a;
  assert_true(csfle__algorithm_parse(csfle__str(csfle_test_text(e, "algorithm")), &a));
  return a;
}

static csfle__cipher *keyed(csfle__algorithm a, csfle__bytes key)
{
  csfle__secret  raw = CSFLE__SECRET_INIT;
  csfle__cipher *c;
  assert_ok(csfle__secret_copy(&raw, key, err));
  assert_ok(csfle__cipher_new(&c, a, &raw, err));
  csfle__secret_wipe(&raw);
  return c;
}

static void assert_opens(csfle__cipher *c, csfle__bytes sealed, csfle__bytes plain)
{
  uint8_t out[4096];
  size_t  n = 99;
  assert_ok(csfle__cipher_open(c, sealed, out, &n, err));
  assert_bytes_equal(csfle__view(out, n), plain);
}

static void assert_refused(csfle__cipher *c, csfle__bytes sealed, const char *msg)
{
  uint8_t     out[4096];
  size_t      n = 99, overhead = csfle__algorithm_overhead(csfle__cipher_algorithm(c));
  csfle_error err = CSFLE_ERROR_INIT;
  memset(out, 0xAA, sizeof out);
  assert_int_equal(csfle__cipher_open(c, sealed, out, &n, &err), CSFLE_E_DECRYPT);
  assert_int_equal(n, 0);
  if (msg) assert_string_equal(err.msg, msg);
  /* nothing of the plaintext is left where it was decrypted to [ENC-23] */
  if (sealed.len >= overhead)
    for (size_t i = 0; i < sealed.len - overhead; i++) assert_int_equal(out[i], 0);
}

/* One entry with raw_hex: opens, and SIV is made again byte for byte. @p skip: bytes of a version prefix. */
static void check_entry(yyjson_val *e, size_t skip)
{
  uint8_t          k[64], r[4096], p[4096], out[4096];
  csfle__algorithm a = algorithm(e);
  csfle__bytes     raw = csfle__from(hex(e, "raw_hex", r, sizeof r), skip), plain = hex(e, "plaintext_hex", p, sizeof p);
  csfle__cipher   *c = keyed(a, hex(e, "dek_key_hex", k, sizeof k));
  assert_opens(c, raw, plain);
  assert_int_equal(raw.len, plain.len + csfle__algorithm_overhead(a));
  if (a == CSFLE__AES256_SIV) {
    for (int twice = 0; twice < 2; twice++) { /* ENC-30 */
      assert_ok(csfle__cipher_seal(c, NULL, plain, out, err));
      assert_bytes_equal(csfle__view(out, raw.len), raw);
    }
  }
  if (*csfle_test_text(e, "field_value_base64")) { /* ENC-31 */
    char         text[8192];
    csfle__bytes all = hex(e, "raw_hex", r, sizeof r);
    csfle__base64_encode(all, text);
    assert_bytes_equal(csfle__view(text, csfle__base64_len(all.len)), csfle__str(csfle_test_text(e, "field_value_base64")));
  }
  csfle__cipher_free(c);
}

static void check_group(const char *group, size_t skip, size_t expected)
{
  yyjson_val *list, *e;
  yyjson_doc *doc = vectors(group, &list);
  size_t      i, n, ran = 0;
  yyjson_arr_foreach(list, i, n, e) check_entry(e, skip), ran++;
  printf("# %s: %zu entries\n", group, ran);
  assert_int_equal(ran, expected);
  yyjson_doc_free(doc);
}

/* ENC-18, ENC-24, ENC-26, ENC-34, ENC-35 */
TEST(every_field_vector_opens_and_siv_is_reproduced) { check_group("field_ciphertext", 0, 42); }
TEST(every_rotated_vector_opens_and_siv_is_reproduced) { check_group("rotation", 5, 15); }

static uint8_t fixed_nonce[12];
static int     fill_fixed(void *opaque, uint8_t *out, size_t len)
{
  (void)opaque;
  for (size_t i = 0; i < len; i++) out[i] = fixed_nonce[i % 12];
  return 1;
}

/* ENC-17, ENC-20 */
TEST(gcm_with_a_chosen_nonce_is_reproduced_with_and_without_the_pool)
{
  yyjson_val    *list, *e;
  yyjson_doc    *doc = vectors("gcm_fixed_nonce", &list);
  size_t         i, n, ran = 0;
  csfle__nonces *pool;
  assert_ok(csfle__nonces_new(&pool, err));
  yyjson_arr_foreach(list, i, n, e)
  {
    uint8_t        k[64], r[4096], v[4096], p[4096], out[4096];
    csfle__bytes   raw = hex(e, "raw_hex", r, sizeof r), plain = hex(e, "plaintext_hex", p, sizeof p);
    csfle__bytes   rotated = hex(e, "rotated_v7_hex", v, sizeof v);
    csfle__cipher *c = keyed(algorithm(e), hex(e, "key_hex", k, sizeof k));
    hex(e, "nonce_hex", fixed_nonce, sizeof fixed_nonce);
    csfle__random_set(fill_fixed, NULL);
    for (int pooled = 0; pooled < 3; pooled++) {
      memset(out, 0, sizeof out);
      assert_ok(csfle__cipher_seal(c, pooled ? pool : NULL, plain, out, err));
      assert_bytes_equal(csfle__view(out, raw.len), raw);
      assert_bytes_equal(csfle__view(out, raw.len), csfle__from(rotated, 5));
    }
    csfle__random_set(NULL, NULL);
    assert_opens(c, raw, plain);
    csfle__cipher_free(c);
    ran++;
  }
  printf("# gcm_fixed_nonce: %zu entries\n", ran);
  assert_int_equal(ran, 8);
  csfle__nonces_free(pool);
  yyjson_doc_free(doc);
}

/* ENC-25 */
TEST(siv_counts_one_empty_component_and_keeps_the_order_of_its_halves)
{
  yyjson_val *list, *e;
  yyjson_doc *doc = vectors("siv_associated_data", &list);
  size_t      i, n, ran = 0;
  yyjson_arr_foreach(list, i, n, e)
  {
    uint8_t        k[64], good[128], bad[128], out[128];
    csfle__bytes   plain = csfle__str(csfle_test_text(e, "plaintext_utf8"));
    csfle__bytes   right = hex(e, "correct_one_empty_aad_hex", good, sizeof good);
    csfle__cipher *c = keyed(CSFLE__AES256_SIV, hex(e, "key_hex", k, sizeof k));
    assert_ok(csfle__cipher_seal(c, NULL, plain, out, err));
    assert_bytes_equal(csfle__view(out, plain.len + 16), right);
    assert_opens(c, right, plain);
    assert_refused(c, hex(e, "wrong_no_aad_component_hex", bad, sizeof bad), "authentication failed");
    assert_refused(c, hex(e, "wrong_halves_swapped_hex", bad, sizeof bad), "authentication failed");
    csfle__cipher_free(c);
    ran++;
  }
  printf("# siv_associated_data: %zu entries\n", ran);
  assert_int_equal(ran, 2);
  yyjson_doc_free(doc);
}

/* ENC-21, ENC-22, ENC-28, ENC-29, ENC-103 */
TEST(negative_vectors_1_to_24_are_refused_with_one_text_for_all_authentication_failures)
{
  yyjson_val *list, *e;
  yyjson_doc *doc = vectors("negative", &list);
  size_t      i, n, ran = 0;
  yyjson_arr_foreach(list, i, n, e)
  {
    if (i >= 24) break;
    uint8_t          k[64], raw[4096];
    size_t           len;
    csfle__algorithm a;
    char             text[100];
    yyjson_val      *params = csfle__json_member(e, "params");
    assert_true(csfle__algorithm_parse(csfle__str(csfle_test_text(params, "encrypt.dek.algorithm")), &a));
    assert_true(csfle__base64_decode(csfle__str(csfle_test_text(e, "value_utf8")), raw, &len));
    csfle__cipher *c = keyed(a, hex(e, "dek_key_hex", k, sizeof k));
    const char    *expect = csfle_test_text(e, "expect");
    if (strcmp(expect, "too-short") == 0) {
      bool siv = a == CSFLE__AES256_SIV;
      snprintf(text, sizeof text, "ciphertext is %zu bytes, shorter than the %d of its %s", len, siv ? 16 : 28,
               siv ? "tag" : "nonce and tag");
      assert_refused(c, csfle__view(raw, len), text);
    } else {
      assert_string_equal(expect, "auth-failure");
      assert_refused(c, csfle__view(raw, len), "authentication failed");
    }
    csfle__cipher_free(c);
    ran++;
  }
  printf("# negative: %zu entries\n", ran);
  assert_int_equal(ran, 24);
  yyjson_doc_free(doc);
}

/* ENC-27, and around every block boundary; EVP's own SIV cannot do the empty plaintext, everything else must agree */
TEST(siv_agrees_with_openssl_for_every_length_up_to_700)
{
  uint8_t        key[64], plain[700], ours[716], theirs[716], tag[16], empty = 0;
  EVP_CIPHER    *evp = EVP_CIPHER_fetch(NULL, "AES-256-SIV", NULL);
  csfle__cipher *c;
  size_t         compared = 0;
  for (size_t i = 0; i < sizeof key; i++) key[i] = (uint8_t)(i * 7 + 1);
  for (size_t i = 0; i < sizeof plain; i++) plain[i] = (uint8_t)(i * 31 + 5);
  c = keyed(CSFLE__AES256_SIV, csfle__view(key, sizeof key));
  for (size_t n = 0; n <= sizeof plain; n++) {
    assert_ok(csfle__cipher_seal(c, NULL, csfle__view(plain, n), ours, err));
    assert_opens(c, csfle__view(ours, n + 16), csfle__view(plain, n));
    if (!evp || n == 0) continue;
    EVP_CIPHER_CTX *x = EVP_CIPHER_CTX_new();
    int             out;
    assert_int_equal(EVP_EncryptInit_ex2(x, evp, key, NULL, NULL), 1);
    assert_int_equal(EVP_EncryptUpdate(x, NULL, &out, &empty, 0), 1);
    assert_int_equal(EVP_EncryptUpdate(x, theirs, &out, plain, (int)n), 1);
    assert_int_equal(EVP_EncryptFinal_ex(x, theirs + n, &out), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_AEAD_GET_TAG, 16, tag), 1);
    EVP_CIPHER_CTX_free(x);
    assert_memory_equal(ours, tag, 16);
    assert_memory_equal(ours + 16, theirs, n);
    compared++;
  }
  printf("# %zu lengths compared with OpenSSL\n", compared);
  EVP_CIPHER_free(evp);
  csfle__cipher_free(c);
}

/* ENC-22, ENC-29: every bit of a value, every truncation, an appended byte */
TEST(no_flipped_bit_passes)
{
  uint8_t        key[64] = { 1, 2, 3 }, sealed[160], bad[160];
  csfle__bytes   plain = BYTES("4111 1111 1111 1111 or so");
  csfle__nonces *pool;
  assert_ok(csfle__nonces_new(&pool, err));
  for (int a = 0; a < CSFLE__ALGORITHM_COUNT; a++) {
    csfle__cipher *c = keyed((csfle__algorithm)a, csfle__view(key, csfle__algorithm_key_bytes((csfle__algorithm)a)));
    size_t         n = plain.len + csfle__algorithm_overhead((csfle__algorithm)a);
    assert_ok(csfle__cipher_seal(c, pool, plain, sealed, err));
    for (size_t bit = 0; bit < n * 8; bit++) {
      memcpy(bad, sealed, n);
      bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
      assert_refused(c, csfle__view(bad, n), "authentication failed");
    }
    for (size_t cut = 0; cut < n; cut++) assert_refused(c, csfle__view(sealed, cut), NULL);
    memcpy(bad, sealed, n), bad[n] = 0;
    assert_refused(c, csfle__view(bad, n + 1), "authentication failed");
    assert_opens(c, csfle__view(sealed, n), plain); /* and after all that the context still works */
    csfle__cipher_free(c);
  }
  csfle__nonces_free(pool);
}

/* ENC-19: the nonces of a million seals, sorted, have no two alike */
static int by_bytes(const void *a, const void *b) { return memcmp(a, b, 12); }
TEST(a_million_seals_use_a_million_nonces)
{
  enum { COUNT = 1000000 };
  uint8_t        key[16] = { 9 }, sealed[32], *all = malloc((size_t)COUNT * 12);
  csfle__cipher *c = keyed(CSFLE__AES128_GCM, csfle__view(key, 16));
  csfle__nonces *pool;
  csfle_error    why = CSFLE_ERROR_INIT;
  assert_non_null(all);
  assert_ok(csfle__nonces_new(&pool, err));
  for (size_t i = 0; i < COUNT; i++) {
    if (csfle__cipher_seal(c, pool, BYTES("abc"), sealed, &why) != CSFLE_OK) fail_msg("%s", why.msg);
    memcpy(all + i * 12, sealed, 12);
  }
  qsort(all, COUNT, 12, by_bytes);
  for (size_t i = 1; i < COUNT; i++)
    if (memcmp(all + i * 12 - 12, all + i * 12, 12) == 0) fail_msg("a nonce was used twice");
  free(all);
  csfle__nonces_free(pool);
  csfle__cipher_free(c);
}

TEST(a_large_value_goes_through)
{
  size_t         n = (1u << 20) + 3, out_len;
  uint8_t       *plain = calloc(1, n), *sealed = malloc(n + 28), *back = malloc(n), key[64] = { 5 };
  csfle__nonces *pool;
  assert_ok(csfle__nonces_new(&pool, err));
  for (size_t i = 0; i < n; i++) plain[i] = (uint8_t)(i * i >> 3);
  for (int a = 0; a < CSFLE__ALGORITHM_COUNT; a++) {
    csfle__cipher *c = keyed((csfle__algorithm)a, csfle__view(key, csfle__algorithm_key_bytes((csfle__algorithm)a)));
    size_t         len = n + csfle__algorithm_overhead((csfle__algorithm)a);
    assert_ok(csfle__cipher_seal(c, pool, csfle__view(plain, n), sealed, err));
    assert_ok(csfle__cipher_open(c, csfle__view(sealed, len), back, &out_len, err));
    assert_bytes_equal(csfle__view(back, out_len), csfle__view(plain, n));
    sealed[len / 2] ^= 1;
    assert_int_equal(csfle__cipher_open(c, csfle__view(sealed, len), back, &out_len, NULL), CSFLE_E_DECRYPT);
    for (size_t i = 0; i < n; i++)
      if (back[i]) fail_msg("plaintext was left behind");
    csfle__cipher_free(c);
  }
  csfle__nonces_free(pool);
  free(plain), free(sealed), free(back);
}

TEST(a_key_of_the_wrong_size_is_refused)
{
  const struct {
    csfle__algorithm a;
    size_t           bytes;
    bool             ok;
  } cases[] = {
    { CSFLE__AES128_GCM, 16, true }, { CSFLE__AES128_GCM, 32, true },  { CSFLE__AES256_GCM, 16, true },
    { CSFLE__AES256_GCM, 32, true }, { CSFLE__AES256_GCM, 24, false }, { CSFLE__AES128_GCM, 0, false },
    { CSFLE__AES256_SIV, 64, true }, { CSFLE__AES256_SIV, 32, false }, { CSFLE__AES256_SIV, 63, false },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle__secret  raw = CSFLE__SECRET_INIT;
    csfle__cipher *c;
    csfle_error    err = CSFLE_ERROR_INIT;
    assert_int_equal(csfle__secret_make(&raw, cases[i].bytes, &err), CSFLE_OK);
    assert_int_equal(csfle__cipher_new(&c, cases[i].a, &raw, &err), cases[i].ok ? CSFLE_OK : CSFLE_E_DECRYPT);
    if (!cases[i].ok) {
      char text[80];
      snprintf(text, sizeof text, "data key is %zu bytes, expected %zu", cases[i].bytes, csfle__algorithm_key_bytes(cases[i].a));
      assert_string_equal(err.msg, text);
      assert_null(c);
    }
    csfle__cipher_free(c);
    csfle__secret_wipe(&raw);
  }
}

static int fill_nothing(void *opaque, uint8_t *out, size_t len) { return (void)opaque, (void)out, (void)len, 0; }
TEST(a_failing_random_source_stops_the_seal)
{
  uint8_t        key[32] = { 1 }, out[64];
  csfle__cipher *c = keyed(CSFLE__AES256_GCM, csfle__view(key, 32));
  csfle__nonces *pool;
  assert_ok(csfle__nonces_new(&pool, err));
  csfle__random_set(fill_nothing, NULL);
  assert_int_equal(csfle__cipher_seal(c, pool, BYTES("x"), out, NULL), CSFLE_E_INTERNAL);
  assert_int_equal(csfle__cipher_seal(c, NULL, BYTES("x"), out, NULL), CSFLE_E_INTERNAL);
  csfle__random_set(NULL, NULL);
  assert_ok(csfle__cipher_seal(c, pool, BYTES("x"), out, err));
  csfle__nonces_free(pool);
  csfle__cipher_free(c);
}

static csfle_status seal_and_open(csfle__algorithm a)
{
  csfle__secret  raw = CSFLE__SECRET_INIT;
  csfle__cipher *c = NULL;
  csfle__nonces *pool = NULL;
  uint8_t        out[64], back[64];
  size_t         n;
  csfle_status   rc = csfle__dek_generate(a, &raw, NULL);
  if (rc == CSFLE_OK) rc = csfle__cipher_new(&c, a, &raw, NULL);
  if (rc == CSFLE_OK) rc = csfle__nonces_new(&pool, NULL);
  if (rc == CSFLE_OK) rc = csfle__cipher_seal(c, pool, BYTES("secret"), out, NULL);
  if (rc == CSFLE_OK) rc = csfle__cipher_open(c, csfle__view(out, 6 + csfle__algorithm_overhead(a)), back, &n, NULL);
  csfle__nonces_free(pool);
  csfle__cipher_free(c);
  csfle__secret_wipe(&raw);
  return rc;
}
/* ENC-101 too: the test allocator aborts on secret memory that is not zero */
TEST(ciphers_survive_every_failed_allocation)
{
  TORTURE(seal_and_open(CSFLE__AES128_GCM));
  TORTURE(seal_and_open(CSFLE__AES256_GCM));
  TORTURE(seal_and_open(CSFLE__AES256_SIV));
}
