/*
 * What a sealed or opened field costs over the bare EVP calls for it: reused context, new nonce, update, final, tag.
 * For SIV the bare calls are one CBC pass and one CTR pass over as many bytes: all that the hardware has to do.
 * Prints nanoseconds, lowest of several rounds, both sides in turn; exits 1 when a ratio is missed by more than a quarter.
 */
#include "core/crypt/cipher.h"
#include "core/crypt/material.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 15, MAX = 1 << 20 };
#define BUDGET       1.5
#define BUDGET_LARGE (1 / 0.9) /* from 1 MB on: 90 % of the bare calls' throughput */

static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static csfle__cipher  *cipher;
static csfle__nonces  *nonces;
static EVP_CIPHER_CTX *bare_seal, *bare_open, *bare_cbc, *bare_ctr;
/* odd sizes keep the arrays off one another's cache sets: buffers 4096 bytes apart would cost 20 ns a call */
static uint8_t         plain[MAX + 64], pad1[320], sealed[MAX + 64], pad2[704], out[MAX + 64], ivs[256][16];
static unsigned        turn;
static size_t          size;

static void die(const char *what)
{
  fprintf(stderr, "bench_cipher: %s failed\n", what);
  exit(2);
}

static void ours_seal(void)
{
  if (csfle__cipher_seal(cipher, nonces, csfle__view(plain, size), sealed, NULL) != CSFLE_OK) die("seal");
}
static void ours_open(void)
{
  size_t n;
  if (csfle__cipher_open(cipher, csfle__view(sealed, size + csfle__algorithm_overhead(csfle__cipher_algorithm(cipher))), out, &n,
                         NULL) != CSFLE_OK)
    die("open");
}
static void evp_gcm_seal(void)
{
  int n;
  if (EVP_EncryptInit_ex2(bare_seal, NULL, NULL, ivs[turn++ % 256], NULL) != 1 || EVP_EncryptUpdate(bare_seal, out, &n, plain, (int)size) != 1 ||
      EVP_EncryptFinal_ex(bare_seal, out + n, &n) != 1 || EVP_CIPHER_CTX_ctrl(bare_seal, EVP_CTRL_AEAD_GET_TAG, 16, out + size) != 1)
    die("EVP seal");
}
static void evp_gcm_open(void)
{
  int n;
  if (EVP_DecryptInit_ex2(bare_open, NULL, NULL, sealed, NULL) != 1 ||
      EVP_DecryptUpdate(bare_open, out, &n, sealed + 12, (int)size) != 1 ||
      EVP_CIPHER_CTX_ctrl(bare_open, EVP_CTRL_AEAD_SET_TAG, 16, sealed + 12 + size) != 1 ||
      EVP_DecryptFinal_ex(bare_open, out + n, &n) != 1)
    die("EVP open");
}
static void evp_siv(void)
{
  int n;
  if (EVP_EncryptInit_ex2(bare_cbc, NULL, NULL, ivs[0], NULL) != 1 || EVP_EncryptUpdate(bare_cbc, out, &n, plain, (int)size) != 1 ||
      EVP_EncryptInit_ex2(bare_ctr, NULL, NULL, ivs[turn++ % 256], NULL) != 1 || EVP_EncryptUpdate(bare_ctr, out, &n, plain, (int)size) != 1)
    die("EVP CBC and CTR");
}

static double measure(void (*work)(void))
{
  int    calls = size < MAX ? 4000 : 20;
  double from = now();
  for (int i = 0; i < calls; i++) work();
  return (now() - from) / calls;
}

/* Both in turn, so that whatever else the machine does meets both; the lowest of each. */
static bool compare(const char *name, const char *what, void (*ours)(void), void (*bare)(void))
{
  double a = 1e12, b = 1e12;
  for (int i = 0; i < ROUNDS; i++) {
    double x = measure(ours), y = measure(bare);
    if (x < a) a = x;
    if (y < b) b = y;
  }
  bool ok = a / b <= (size < MAX ? BUDGET : BUDGET_LARGE) * 1.25;
  printf("%-10s %-4s %5zu bytes  %7.0f ns   bare EVP %7.0f ns   x %.2f%s\n", name, what, size, a, b, a / b, ok ? "" : "  MISSED");
  return ok;
}

static void new_context(EVP_CIPHER_CTX **ctx, const char *name, const uint8_t *key, int encrypt)
{
  EVP_CIPHER *c = EVP_CIPHER_fetch(NULL, name, NULL);
  EVP_CIPHER_CTX_free(*ctx);
  *ctx = EVP_CIPHER_CTX_new();
  if (!c || !*ctx || EVP_CipherInit_ex2(*ctx, c, key, ivs[0], encrypt, NULL) != 1) die(name);
  EVP_CIPHER_free(c);
}

int main(void)
{
  const size_t sizes[] = { 16, 64, 256, 1024, MAX };
  bool         ok = true;
  if (csfle__nonces_new(&nonces, NULL) != CSFLE_OK) die("nonce pool");
  if (!csfle__random_fill(ivs[0], sizeof ivs)) die("random source");
  memset(pad1, 1, sizeof pad1), memset(pad2, 1, sizeof pad2);
  printf("budget: at most %.2f x the bare EVP calls, %.2f x for 1 MB\n", BUDGET, BUDGET_LARGE);
  for (int a = 0; a < CSFLE__ALGORITHM_COUNT; a++) {
    const char   *name = csfle__algorithm_name((csfle__algorithm)a);
    bool          siv = a == CSFLE__AES256_SIV;
    csfle__secret raw = CSFLE__SECRET_INIT;
    if (csfle__dek_generate((csfle__algorithm)a, &raw, NULL) != CSFLE_OK ||
        csfle__cipher_new(&cipher, (csfle__algorithm)a, &raw, NULL) != CSFLE_OK)
      die("key");
    if (siv) {
      new_context(&bare_cbc, "AES-256-CBC", raw.ptr, 1);
      new_context(&bare_ctr, "AES-256-CTR", raw.ptr + 32, 1);
    } else {
      new_context(&bare_seal, raw.len == 16 ? "AES-128-GCM" : "AES-256-GCM", raw.ptr, 1);
      new_context(&bare_open, raw.len == 16 ? "AES-128-GCM" : "AES-256-GCM", raw.ptr, 0);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      size = sizes[i];
      ok &= compare(name, "seal", ours_seal, siv ? evp_siv : evp_gcm_seal);
      ours_seal();
      ok &= compare(name, "open", ours_open, siv ? evp_siv : evp_gcm_open);
    }
    csfle__cipher_free(cipher);
    csfle__secret_wipe(&raw);
  }
  csfle__nonces_free(nonces);
  EVP_CIPHER_CTX_free(bare_seal), EVP_CIPHER_CTX_free(bare_open), EVP_CIPHER_CTX_free(bare_cbc), EVP_CIPHER_CTX_free(bare_ctr);
  return ok ? 0 : 1;
}
