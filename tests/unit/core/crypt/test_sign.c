/* core/crypt/sign.c: which keys sign, and that what they sign verifies. The known answers (jwt-1, jwt-2) are in test_gcp.c. */
#include "core/crypt/sign.h"
#include "tests/support/certificate.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>

static csfle__bytes pem_of(EVP_PKEY *key, const char *password, char *out, size_t size) { return csfle_test_pem(key, password, NULL, out, size); }

/* ENC-92 */
TEST(a_signature_verifies_and_other_keys_are_refused_without_their_text)
{
  char          text[8192];
  csfle__secret sig = CSFLE__SECRET_INIT;
  csfle_error   err = CSFLE_ERROR_INIT;
  EVP_PKEY     *good = EVP_RSA_gen(2048), *small = EVP_RSA_gen(1024), *curve = EVP_EC_gen("P-256");
  assert_int_equal(csfle__sign_rs256(pem_of(good, NULL, text, sizeof text), BYTES("signed text"), &sig, &err), CSFLE_OK);
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, good), 1);
  assert_int_equal(EVP_DigestVerify(ctx, sig.ptr, sig.len, (const unsigned char *)"signed text", 11), 1);
  EVP_MD_CTX_free(ctx);
  csfle__bytes bad[] = { pem_of(small, NULL, text, 2048), pem_of(curve, NULL, text + 2048, 2048), pem_of(good, "password", text + 4096, 4096), BYTES("no key"), BYTES("") };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(csfle__sign_rs256(bad[i], BYTES("x"), &sig, &err), CSFLE_E_CONFIG);
    assert_string_equal(err.msg, "the private key is no RSA key of 2048 bits or more in PEM, without a password");
  }
  csfle__secret_wipe(&sig);
  EVP_PKEY_free(good), EVP_PKEY_free(small), EVP_PKEY_free(curve);
}

TEST(ps256_verifies_as_such_and_takes_a_password)
{
  char          text[8192];
  csfle__secret sig = CSFLE__SECRET_INIT;
  csfle_error   err = CSFLE_ERROR_INIT;
  EVP_PKEY     *key = EVP_RSA_gen(2048);
  EVP_PKEY_CTX *how;
  csfle__bytes  locked = pem_of(key, "open sesame", text, 4096);
  assert_int_equal(csfle__sign_ps256(locked, BYTES("open sesame"), BYTES("signed text"), &sig, &err), CSFLE_OK);
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  assert_int_equal(EVP_DigestVerifyInit(ctx, &how, EVP_sha256(), NULL, key), 1);
  assert_true(EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) == 1 && EVP_PKEY_CTX_set_rsa_pss_saltlen(how, 32) == 1);
  assert_int_equal(EVP_DigestVerify(ctx, sig.ptr, sig.len, (const unsigned char *)"signed text", 11), 1);
  EVP_MD_CTX_free(ctx);
  assert_int_equal(csfle__sign_ps256(pem_of(key, NULL, text + 4096, 4096), BYTES("not needed"), BYTES("signed text"), &sig, &err), CSFLE_OK);
  csfle__bytes wrong[] = { BYTES(""), BYTES("open sesam"), csfle__view(text, 4000) };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    assert_int_equal(csfle__sign_ps256(locked, wrong[i], BYTES("x"), &sig, &err), CSFLE_E_CONFIG);
    assert_string_equal(err.msg, "the private key is no RSA key of 2048 bits or more in PEM, or its password is another");
  }
  csfle__secret_wipe(&sig);
  EVP_PKEY_free(key);
}

TEST(the_first_certificate_of_a_file_is_the_one_behind_its_key)
{
  char        text[16384];
  uint8_t     sum[32], expected[32];
  csfle_error err = CSFLE_ERROR_INIT;
  EVP_PKEY   *key = EVP_RSA_gen(2048);
  X509       *x = csfle_test_certificate(key), *other = csfle_test_certificate(key);
  unsigned    n = 0;
  assert_int_equal(X509_digest(x, EVP_sha256(), expected, &n), 1);
  csfle__bytes pem = csfle_test_pem(key, NULL, (X509 *[]){ x, other, NULL }, text, sizeof text);
  assert_int_equal(csfle__certificate_sha256(pem, sum, &err), CSFLE_OK);
  assert_memory_equal(sum, expected, 32);
  TORTURE(csfle__certificate_sha256(pem, sum, NULL));
  assert_int_equal(csfle__certificate_sha256(pem_of(key, NULL, text, sizeof text), sum, &err), CSFLE_E_CONFIG);
  assert_int_equal(csfle__certificate_sha256(BYTES(""), sum, &err), CSFLE_E_CONFIG);
  X509_free(x), X509_free(other), EVP_PKEY_free(key);
}

static csfle_status sign_once(csfle__bytes pem)
{
  csfle__secret sig = CSFLE__SECRET_INIT;
  csfle_status  rc = csfle__sign_rs256(pem, BYTES("signed text"), &sig, NULL);
  if (rc == CSFLE_OK) rc = csfle__sign_ps256(pem, BYTES(""), BYTES("signed text"), &sig, NULL);
  csfle__secret_wipe(&sig);
  return rc;
}

TEST(signing_survives_every_failed_allocation_of_ours) /* ENC-101 */
{
  char         text[4096];
  EVP_PKEY    *key = EVP_RSA_gen(2048);
  csfle__bytes pem = pem_of(key, NULL, text, sizeof text);
  TORTURE(sign_once(pem));
  EVP_PKEY_free(key);
}
