/* core/crypt/sign.c: which keys sign, and that what they sign verifies. The known answers (jwt-1, jwt-2) are in test_gcp.c. */
#include "core/crypt/sign.h"
#include "tests/support/test.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

static csfle__bytes pem_of(EVP_PKEY *key, const char *password, char *out, size_t size)
{
  BIO *b = BIO_new(BIO_s_mem());
  assert_int_equal(PEM_write_bio_PKCS8PrivateKey(b, key, password ? EVP_aes_256_cbc() : NULL, NULL, 0, NULL, (void *)(uintptr_t)password), 1);
  int n = BIO_read(b, out, (int)size);
  BIO_free(b);
  assert_true(n > 0 && (size_t)n < size);
  return csfle__view(out, (size_t)n);
}

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

static csfle_status sign_once(csfle__bytes pem)
{
  csfle__secret sig = CSFLE__SECRET_INIT;
  csfle_status  rc = csfle__sign_rs256(pem, BYTES("signed text"), &sig, NULL);
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
