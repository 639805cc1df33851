/* See sign.h. */
#include "core/crypt/sign.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#define MIN_BITS 2048

/* OpenSSL asks here, and never at the terminal */
static int give_password(char *buf, int size, int rwflag, void *opaque)
{
  const csfle__bytes *password = opaque;
  (void)rwflag;
  if (size < 0 || password->len > (size_t)size) return 0;
  if (password->len) memcpy(buf, password->ptr, password->len);
  return (int)password->len;
}

static BIO *reader(csfle__bytes pem) { return pem.len && pem.len < INT_MAX ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL; }

static EVP_PKEY *read_key(csfle__bytes pem, csfle__bytes password)
{
  BIO      *bio = reader(pem);
  EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, give_password, &password) : NULL;
  BIO_free(bio);
  if (key && EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) >= MIN_BITS) return key;
  EVP_PKEY_free(key);
  ERR_clear_error();
  return NULL;
}

/* PS256; else RS256 */
static bool set_pss(EVP_PKEY_CTX *ctx)
{
  return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 && EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static csfle_status sign(EVP_PKEY *key, bool pss, csfle__bytes in, csfle__secret *out, csfle_error *err)
{
  EVP_MD_CTX   *ctx = NULL;
  EVP_PKEY_CTX *how = NULL;
  size_t        n = 0;
  csfle_status  rc = csfle__secret_make(out, (size_t)EVP_PKEY_get_size(key), err);
  if (rc == CSFLE_OK) {
    n = out->len;
    ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestSignInit(ctx, &how, EVP_sha256(), NULL, key) != 1 || (pss && !set_pss(how)) || EVP_DigestSign(ctx, out->ptr, &n, in.ptr, in.len) != 1 || n != out->len)
      rc = csfle__fail(err, CSFLE_E_INTERNAL, "OpenSSL could not sign with %s", pss ? "PS256" : "RS256");
  }
  EVP_MD_CTX_free(ctx);
  EVP_PKEY_free(key);
  if (rc != CSFLE_OK) csfle__secret_wipe(out);
  return rc;
}

csfle_status csfle__sign_rs256(csfle__bytes pem, csfle__bytes in, csfle__secret *out, csfle_error *err)
{
  EVP_PKEY *key = read_key(pem, CSFLE__NONE);
  if (!key) return csfle__fail(err, CSFLE_E_CONFIG, "the private key is no RSA key of %d bits or more in PEM, without a password", MIN_BITS);
  return sign(key, false, in, out, err);
}

csfle_status csfle__sign_ps256(csfle__bytes pem, csfle__bytes password, csfle__bytes in, csfle__secret *out, csfle_error *err)
{
  EVP_PKEY *key = read_key(pem, password);
  if (!key) return csfle__fail(err, CSFLE_E_CONFIG, "the private key is no RSA key of %d bits or more in PEM, or its password is another", MIN_BITS);
  return sign(key, true, in, out, err);
}

csfle_status csfle__certificate_sha256(csfle__bytes pem, uint8_t out[32], csfle_error *err)
{
  csfle__bytes none = CSFLE__NONE;
  unsigned     n = 0;
  BIO         *bio = reader(pem);
  X509        *x = bio ? PEM_read_bio_X509(bio, NULL, give_password, &none) : NULL;
  bool         ok = x && X509_digest(x, EVP_sha256(), out, &n) == 1 && n == 32;
  X509_free(x);
  BIO_free(bio);
  ERR_clear_error();
  return ok ? CSFLE_OK : csfle__fail(err, CSFLE_E_CONFIG, "there is no certificate in PEM");
}
