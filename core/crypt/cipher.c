/* GCM and SIV over reused EVP contexts. See cipher.h. */
#include "core/crypt/cipher.h"
#include "core/base/alloc.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>

enum { BLOCK = 16, NONCE = 12, TAG = 16 };

struct csfle__cipher {
  csfle__algorithm algorithm;
  EVP_CIPHER_CTX  *seal, *open; /* GCM: each keyed once, then only given nonces */
  EVP_CIPHER_CTX  *mac, *ctr;   /* SIV: AES-256-CBC under the first half, AES-256-CTR under the second */
  uint8_t          full[BLOCK], part[BLOCK]; /* CMAC subkeys for a full and for a padded last block */
  uint8_t          d[BLOCK], d2[BLOCK];      /* S2V after its one empty component, and that doubled */
};

/* Fetching costs more than sealing a field, so once a process; kept until it ends. */
static EVP_CIPHER    *gcm128, *gcm256, *cbc256, *ctr256;
static pthread_once_t fetched = PTHREAD_ONCE_INIT;
static void fetch(void)
{
  gcm128 = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
  gcm256 = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
  cbc256 = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
  ctr256 = EVP_CIPHER_fetch(NULL, "AES-256-CTR", NULL);
}

static csfle_status failed(csfle_error *err) { return csfle__fail(err, CSFLE_E_INTERNAL, "OpenSSL failed in a cipher"); }

/* ---- SIV ---------------------------------------------------------------------------------------------------- */

/* doubling in GF(2^128), without a branch on the secret */
static void dbl(uint8_t out[BLOCK], const uint8_t in[BLOCK])
{
  uint8_t carry = (uint8_t)(0 - (in[0] >> 7));
  for (int i = 0; i < BLOCK - 1; i++) out[i] = (uint8_t)(in[i] << 1 | in[i + 1] >> 7);
  out[BLOCK - 1] = (uint8_t)(in[BLOCK - 1] << 1 ^ (carry & 0x87));
}

static void xor_into(uint8_t *to, const uint8_t *from)
{
  for (int i = 0; i < BLOCK; i++) to[i] ^= from[i];
}

/*
 * CBC-MAC of whole blocks: @p head, then @p tail_len bytes at @p tail. The last block of ciphertext is the MAC. Padding is only
 * added by a final call, which never comes; turning it off would cost 15 ns at every new IV.
 */
static bool cbc_mac(csfle__cipher *c, csfle__bytes head, const uint8_t *tail, size_t tail_len, uint8_t out[BLOCK])
{
  static const uint8_t zero[BLOCK];
  uint8_t              scratch[512];
  size_t               used = head.len < sizeof scratch ? head.len : sizeof scratch;
  int                  n;
  if (EVP_EncryptInit_ex2(c->mac, NULL, NULL, zero, NULL) != 1) return false;
  for (size_t at = 0; at < head.len;) {
    size_t piece = head.len - at < sizeof scratch ? head.len - at : sizeof scratch;
    if (EVP_EncryptUpdate(c->mac, scratch, &n, head.ptr + at, (int)piece) != 1) return false;
    at += piece;
  }
  if (EVP_EncryptUpdate(c->mac, scratch, &n, tail, (int)tail_len) != 1 || n != (int)tail_len) return false;
  memcpy(out, scratch + tail_len - BLOCK, BLOCK);
  csfle__wipe(scratch, used > tail_len ? used : tail_len); /* chaining values belong to the key */
  return true;
}

/* V = S2V(K1, "", plain) [RFC 5297 2.4], with everything before the last component already in d */
static bool s2v(csfle__cipher *c, csfle__bytes plain, uint8_t v[BLOCK])
{
  uint8_t      tail[2 * BLOCK] = { 0 };
  csfle__bytes head = CSFLE__NONE;
  size_t       n = BLOCK; /* of tail */

  if (plain.len < BLOCK) {
    if (plain.len) memcpy(tail, plain.ptr, plain.len);
    tail[plain.len] = 0x80;
    xor_into(tail, c->d2);
    xor_into(tail, c->full);
  } else {
    size_t end = plain.len - BLOCK; /* d goes over the last 16 bytes, which may lie in two blocks */
    head = csfle__view(plain.ptr, end & ~(size_t)(BLOCK - 1));
    size_t rest = plain.len - head.len;
    memcpy(tail, plain.ptr + head.len, rest);
    xor_into(tail + (rest - BLOCK), c->d);
    if (rest == BLOCK) {
      xor_into(tail, c->full);
    } else {
      tail[rest] = 0x80;
      xor_into(tail + BLOCK, c->part);
      n = 2 * BLOCK;
    }
  }
  bool ok = cbc_mac(c, head, tail, n, v);
  csfle__wipe(tail, sizeof tail);
  return ok;
}

static bool ctr(csfle__cipher *c, const uint8_t v[BLOCK], csfle__bytes in, uint8_t *out)
{
  uint8_t q[BLOCK];
  int     n;
  memcpy(q, v, BLOCK);
  q[8] &= 0x7F, q[12] &= 0x7F;
  if (EVP_EncryptInit_ex2(c->ctr, NULL, NULL, q, NULL) != 1) return false;
  return in.len == 0 || EVP_EncryptUpdate(c->ctr, out, &n, in.ptr, (int)in.len) == 1;
}

static bool siv_key(csfle__cipher *c, const csfle__secret *raw)
{
  uint8_t block[BLOCK] = { 0 };
  c->mac = EVP_CIPHER_CTX_new(), c->ctr = EVP_CIPHER_CTX_new();
  if (!c->mac || !c->ctr || EVP_EncryptInit_ex2(c->mac, cbc256, raw->ptr, block, NULL) != 1 ||
      EVP_EncryptInit_ex2(c->ctr, ctr256, raw->ptr + 32, block, NULL) != 1)
    return false;
  if (!cbc_mac(c, CSFLE__NONE, block, BLOCK, block)) return false;
  dbl(c->full, block);
  dbl(c->part, c->full);
  /* D = dbl(CMAC(0^16)) xor CMAC("") */
  if (!cbc_mac(c, CSFLE__NONE, c->full, BLOCK, block)) return false;
  dbl(c->d, block);
  memset(block, 0, BLOCK);
  block[0] = 0x80;
  xor_into(block, c->part);
  if (!cbc_mac(c, CSFLE__NONE, block, BLOCK, block)) return false;
  xor_into(c->d, block);
  dbl(c->d2, c->d);
  csfle__wipe(block, BLOCK);
  return true;
}

/* ---- GCM ---------------------------------------------------------------------------------------------------- */

static bool gcm_key(csfle__cipher *c, const csfle__secret *raw)
{
  const EVP_CIPHER *kind = raw->len == 16 ? gcm128 : gcm256;
  c->seal = EVP_CIPHER_CTX_new(), c->open = EVP_CIPHER_CTX_new();
  return c->seal && c->open && EVP_EncryptInit_ex2(c->seal, kind, raw->ptr, NULL, NULL) == 1 &&
         EVP_DecryptInit_ex2(c->open, kind, raw->ptr, NULL, NULL) == 1;
}

static bool gcm_seal(csfle__cipher *c, csfle__bytes plain, uint8_t *out)
{
  int n;
  return EVP_EncryptInit_ex2(c->seal, NULL, NULL, out, NULL) == 1 &&
         (plain.len == 0 || EVP_EncryptUpdate(c->seal, out + NONCE, &n, plain.ptr, (int)plain.len) == 1) &&
         EVP_EncryptFinal_ex(c->seal, out + NONCE + plain.len, &n) == 1 &&
         EVP_CIPHER_CTX_ctrl(c->seal, EVP_CTRL_AEAD_GET_TAG, TAG, out + NONCE + plain.len) == 1;
}

static bool gcm_open(csfle__cipher *c, csfle__bytes sealed, uint8_t *out, size_t len)
{
  uint8_t none[BLOCK];
  int     n;
  if (EVP_DecryptInit_ex2(c->open, NULL, NULL, sealed.ptr, NULL) != 1 ||
      (len && EVP_DecryptUpdate(c->open, out, &n, sealed.ptr + NONCE, (int)len) != 1) ||
      EVP_CIPHER_CTX_ctrl(c->open, EVP_CTRL_AEAD_SET_TAG, TAG, (void *)(uintptr_t)(sealed.ptr + NONCE + len)) != 1)
    return false;
#ifdef CSFLE_BREAK_TAG_UNCHECKED
  EVP_DecryptFinal_ex(c->open, none, &n);
  return true;
#else
  return EVP_DecryptFinal_ex(c->open, none, &n) == 1;
#endif
}

/* ---- both --------------------------------------------------------------------------------------------------- */

csfle_status csfle__cipher_new(csfle__cipher **out, csfle__algorithm a, const csfle__secret *raw, csfle_error *err)
{
  size_t want = csfle__algorithm_key_bytes(a);
  bool   siv = a == CSFLE__AES256_SIV;

  *out = NULL;
  if (raw->len != want && (siv || (raw->len != 16 && raw->len != 32)))
    return csfle__fail(err, CSFLE_E_DECRYPT, "data key is %zu bytes, expected %zu", raw->len, want);
  pthread_once(&fetched, fetch);
  if (!gcm128 || !gcm256 || !cbc256 || !ctr256)
    return csfle__fail(err, CSFLE_E_INTERNAL, "OpenSSL offers no AES in GCM, CBC and CTR mode");
  csfle__cipher *c = csfle__calloc(1, sizeof *c);
  if (!c) return csfle__nomem(err);
  c->algorithm = a;
  if (!(siv ? siv_key(c, raw) : gcm_key(c, raw))) {
    csfle__cipher_free(c);
    return failed(err);
  }
  *out = c;
  return CSFLE_OK;
}

void csfle__cipher_free(csfle__cipher *c)
{
  if (!c) return;
  EVP_CIPHER_CTX_free(c->seal); /* OpenSSL wipes expanded keys itself */
  EVP_CIPHER_CTX_free(c->open);
  EVP_CIPHER_CTX_free(c->mac);
  EVP_CIPHER_CTX_free(c->ctr);
  csfle__free_secret(c, sizeof *c);
}

csfle__algorithm csfle__cipher_algorithm(const csfle__cipher *c) { return c->algorithm; }

csfle_status csfle__cipher_seal(csfle__cipher *c, csfle__nonces *nonces, csfle__bytes plain, uint8_t *out, csfle_error *err)
{
  bool ok;
  if (plain.len > INT32_MAX) return csfle__fail(err, CSFLE_E_DATUM, "value of %zu bytes is too long to encrypt", plain.len);
  if (c->algorithm == CSFLE__AES256_SIV) {
    ok = s2v(c, plain, out) && ctr(c, out, plain, out + BLOCK);
  } else {
    if (nonces) {
      csfle_status rc = csfle__nonces_draw(nonces, out, NONCE, err);
      if (rc != CSFLE_OK) return rc;
    } else if (!csfle__random_fill(out, NONCE)) {
      return csfle__fail(err, CSFLE_E_INTERNAL, "the random source failed");
    }
    ok = gcm_seal(c, plain, out);
  }
  if (ok) return CSFLE_OK;
  csfle__wipe(out, plain.len + csfle__algorithm_overhead(c->algorithm));
  return failed(err);
}

csfle_status csfle__cipher_open(csfle__cipher *c, csfle__bytes sealed, uint8_t *out, size_t *out_len, csfle_error *err)
{
  size_t overhead = csfle__algorithm_overhead(c->algorithm);
  bool   ok;

  *out_len = 0;
  if (sealed.len < overhead)
    return csfle__fail(err, CSFLE_E_DECRYPT, "ciphertext is %zu bytes, shorter than the %zu of its %s", sealed.len, overhead,
                       overhead == TAG ? "tag" : "nonce and tag");
  size_t len = sealed.len - overhead;
  if (len > INT32_MAX) return csfle__fail(err, CSFLE_E_DATUM, "ciphertext of %zu bytes is too long", sealed.len);
  if (c->algorithm == CSFLE__AES256_SIV) {
    /* the tag is over the plaintext: decrypt, compare, and only then let anybody see it */
    uint8_t v[BLOCK];
    ok = ctr(c, sealed.ptr, csfle__from(sealed, BLOCK), out) && s2v(c, csfle__view(out, len), v);
#ifndef CSFLE_BREAK_TAG_UNCHECKED
    ok = ok && CRYPTO_memcmp(v, sealed.ptr, BLOCK) == 0;
#endif
    csfle__wipe(v, sizeof v);
  } else {
    ok = gcm_open(c, sealed, out, len);
  }
  if (ok) {
    *out_len = len;
    return CSFLE_OK;
  }
  if (len) csfle__wipe(out, len);
  return csfle__fail(err, CSFLE_E_DECRYPT, "authentication failed");
}
