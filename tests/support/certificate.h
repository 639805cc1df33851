/** A certificate for a key, made on the spot. */
#ifndef CSFLE_TESTS_SUPPORT_CERTIFICATE_H
#define CSFLE_TESTS_SUPPORT_CERTIFICATE_H

#include "tests/support/test.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

/** No two are the same: they have numbers. */
static X509 *csfle_test_certificate(EVP_PKEY *key)
{
  static int number;
  X509      *x = X509_new();
  X509_NAME *name = X509_get_subject_name(x);
  assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"csfle test", -1, -1, 0), 1);
  assert_true(X509_set_version(x, 2) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(x), ++number) == 1 && X509_set_issuer_name(x, name) == 1);
  assert_true(X509_gmtime_adj(X509_getm_notBefore(x), 0) && X509_gmtime_adj(X509_getm_notAfter(x), 86400) && X509_set_pubkey(x, key) == 1);
  assert_true(X509_sign(x, key, EVP_sha256()) > 0);
  return x;
}

/** Key, encrypted when there is a password, and then certificates up to NULL, in PEM. */
static csfle__bytes csfle_test_pem(EVP_PKEY *key, const char *password, X509 *const *certificates, char *out, size_t size)
{
  BIO *b = BIO_new(BIO_s_mem());
  assert_int_equal(PEM_write_bio_PKCS8PrivateKey(b, key, password ? EVP_aes_256_cbc() : NULL, NULL, 0, NULL, (void *)(uintptr_t)password), 1);
  for (; certificates && *certificates; certificates++) assert_int_equal(PEM_write_bio_X509(b, *certificates), 1);
  int n = BIO_read(b, out, (int)size);
  BIO_free(b);
  assert_true(n > 0 && (size_t)n < size);
  return csfle__view(out, (size_t)n);
}

#endif
