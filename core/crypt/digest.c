/* See digest.h. */
#include "core/crypt/digest.h"
#include "core/base/alloc.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

csfle_status csfle__hkdf_sha256(csfle__bytes input, csfle__secret *out, csfle_error *err)
{
  uint8_t      nothing = 0;
  EVP_KDF     *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
  EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
  OSSL_PARAM   params[] = {
    OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)"SHA256", 0),
    /* an empty secret is an input too, and OpenSSL wants to see a pointer for it */
    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, input.len ? (void *)(uintptr_t)input.ptr : &nothing, input.len),
    OSSL_PARAM_construct_end(),
  };
  int ok = ctx && EVP_KDF_derive(ctx, out->ptr, out->len, params) == 1;
  EVP_KDF_CTX_free(ctx);
  EVP_KDF_free(kdf);
  if (ok) return CSFLE_OK;
  csfle__wipe(out->ptr, out->len);
  return csfle__fail(err, CSFLE_E_INTERNAL, "OpenSSL could not derive a key with HKDF-SHA256");
}

csfle_status csfle__sha256(csfle__bytes in, uint8_t out[32], csfle_error *err)
{
  if (EVP_Digest(in.len ? (const void *)in.ptr : "", in.len, out, NULL, EVP_sha256(), NULL) == 1) return CSFLE_OK;
  return csfle__fail(err, CSFLE_E_INTERNAL, "OpenSSL failed in SHA-256");
}

static csfle_status hmac(const char *digest, csfle__bytes key, csfle__bytes in, uint8_t *out, size_t size, csfle_error *err)
{
  size_t n = 0;
  if (EVP_Q_mac(NULL, "HMAC", NULL, digest, NULL, key.len ? (const void *)key.ptr : "", key.len, in.len ? in.ptr : (const uint8_t *)"", in.len, out, size,
                &n) && n == size)
    return CSFLE_OK;
  csfle__wipe(out, size);
  return csfle__fail(err, CSFLE_E_INTERNAL, "OpenSSL failed in HMAC-%s", digest);
}

csfle_status csfle__hmac_sha256(csfle__bytes key, csfle__bytes in, uint8_t out[32], csfle_error *err)
{
  return hmac("SHA256", key, in, out, 32, err);
}

csfle_status csfle__hmac_sha1(csfle__bytes key, csfle__bytes in, uint8_t out[20], csfle_error *err)
{
  return hmac("SHA1", key, in, out, 20, err);
}

struct csfle__md5 {
  EVP_MD_CTX *ctx;
};

csfle_status csfle__md5_new(csfle__md5 **out, csfle_error *err)
{
  csfle__md5 *m = csfle__calloc(1, sizeof *m);
  *out = NULL;
  if (!m) return csfle__nomem(err);
  m->ctx = EVP_MD_CTX_new();
  if (!m->ctx || EVP_DigestInit_ex(m->ctx, EVP_md5(), NULL) != 1) {
    csfle__md5_free(m);
    return csfle__fail(err, CSFLE_E_INTERNAL, "OpenSSL offers no MD5, which content hashes are made of");
  }
  *out = m;
  return CSFLE_OK;
}

csfle_status csfle__md5_add(csfle__md5 *m, csfle__bytes piece, csfle_error *err)
{
  if (piece.len == 0 || EVP_DigestUpdate(m->ctx, piece.ptr, piece.len) == 1) return CSFLE_OK;
  return csfle__fail(err, CSFLE_E_INTERNAL, "OpenSSL failed in MD5");
}

csfle_status csfle__md5_end(csfle__md5 *m, uint8_t out[16], csfle_error *err)
{
  int ok = EVP_DigestFinal_ex(m->ctx, out, NULL) == 1;
  csfle__md5_free(m);
  return ok ? CSFLE_OK : csfle__fail(err, CSFLE_E_INTERNAL, "OpenSSL failed in MD5");
}

void csfle__md5_free(csfle__md5 *m)
{
  if (!m) return;
  EVP_MD_CTX_free(m->ctx);
  csfle__free(m);
}
