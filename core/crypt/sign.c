/* See sign.h. */
#include "core/crypt/sign.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#define MIN_BITS 2048

/* an encrypted key must not make OpenSSL ask at the terminal */
static int no_password(char *buf, int size, int rwflag, void *u)
{
  (void)buf, (void)size, (void)rwflag, (void)u;
  return 0;
}

static EVP_PKEY *read_key(csfle__bytes pem)
{
  BIO      *bio = pem.len && pem.len < INT_MAX ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
  EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
  BIO_free(bio);
  if (key && EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) >= MIN_BITS) return key;
  EVP_PKEY_free(key);
  ERR_clear_error();
  return NULL;
}

csfle_status csfle__sign_rs256(csfle__bytes pem, csfle__bytes in, csfle__secret *out, csfle_error *err)
{
  EVP_PKEY   *key = read_key(pem);
  EVP_MD_CTX *ctx = NULL;
  size_t      n = 0;
  if (!key) return csfle__fail(err, CSFLE_E_CONFIG, "the private key is no RSA key of %d bits or more in PEM, without a password", MIN_BITS);
  csfle_status rc = csfle__secret_make(out, (size_t)EVP_PKEY_get_size(key), err);
  if (rc == CSFLE_OK) {
    n = out->len;
    ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) != 1 || EVP_DigestSign(ctx, out->ptr, &n, in.ptr, in.len) != 1 || n != out->len)
      rc = csfle__fail(err, CSFLE_E_INTERNAL, "OpenSSL could not sign with RS256");
  }
  EVP_MD_CTX_free(ctx);
  EVP_PKEY_free(key);
  if (rc != CSFLE_OK) csfle__secret_wipe(out);
  return rc;
}
