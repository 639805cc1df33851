/* Any bytes as ciphertext: what opens is exactly what sealing its plaintext with its nonce gives, so nothing opens but
   what was sealed. And any bytes as plaintext: they come back, and not after one bit changed.
   Input: algorithm and key, flags (bit 0 text, bit 1 rotating), position of the flipped bit (2 bytes), the bytes. */
#include "fuzz/fuzz.h"

#include "client/encrypt/field.h"

static csfle__bytes fixed_nonce;
static int          counter;

static int fill(void *opaque, uint8_t *out, size_t len)
{
  (void)opaque;
  for (size_t i = 0; i < len; i++) out[i] = i < fixed_nonce.len ? fixed_nonce.ptr[i] : (uint8_t)(counter++ * 37);
  return 1;
}

/* the key of the published vectors: 00 01 02 ... */
static csfle__cipher *make(csfle__algorithm a)
{
  csfle__secret  raw = CSFLE__SECRET_INIT;
  csfle__cipher *c = NULL;
  MUST_OK(csfle__secret_make(&raw, csfle__algorithm_key_bytes(a), err));
  for (size_t i = 0; i < raw.len; i++) raw.ptr[i] = (uint8_t)i;
  MUST_OK(csfle__cipher_new(&c, a, &raw, err));
  csfle__secret_wipe(&raw);
  return c;
}

static void open_anything(csfle__cipher *c, csfle__algorithm a, bool text, bool rotating, csfle__bytes stored)
{
  uint8_t     *raw = (uint8_t *)malloc(stored.len + 1), *plain = (uint8_t *)malloc(stored.len + 1), *again = (uint8_t *)malloc(stored.len + 64);
  int32_t      version = 0;
  csfle__bytes sealed;
  size_t       n = 0;
  csfle_error  e = CSFLE_ERROR_INIT;
  csfle_status rc = csfle__field_split(text, rotating, stored, raw, &version, &sealed, &e);
  if (rc == CSFLE_OK) {
    MUST(version >= 1 && sealed.len <= stored.len);
    rc = csfle__field_open(c, text, sealed, plain, &n, &e);
    if (rc == CSFLE_OK) {
      MUST(n + csfle__algorithm_overhead(a) == sealed.len);
      fixed_nonce = csfle__view(sealed.ptr, 12);
      MUST_OK(csfle__cipher_seal(c, NULL, csfle__view(plain, n), again, err));
      fixed_nonce = CSFLE__NONE;
      MUST(csfle__eq(csfle__view(again, sealed.len), sealed));
    }
  }
  MUST(rc == CSFLE_OK || (rc == CSFLE_E_DECRYPT && e.msg[0]));
  free(raw), free(plain), free(again);
}

static void there_and_back(csfle__cipher *c, csfle__algorithm a, bool text, bool rotating, unsigned flip, csfle__bytes plain)
{
  int32_t      version = rotating ? 7 : 0, seen = 0;
  size_t       n = csfle__field_sealed_len(a, version, text, plain.len), got = 0;
  uint8_t     *stored = (uint8_t *)malloc(n + 1), *raw = (uint8_t *)malloc(n + 1), *out = (uint8_t *)malloc(n + 1);
  csfle__bytes sealed;
  csfle_buf    tmp;
  csfle_buf_init(&tmp, 0, CSFLE_BUF_WIPE);
  csfle_status rc = csfle__field_seal(c, NULL, version, text, plain, &tmp, stored, NULL);
  MUST(rc == CSFLE_OK || (rc == CSFLE_E_DATUM && text && !csfle__utf8_valid(plain)));
  if (rc == CSFLE_OK) {
    MUST_OK(csfle__field_split(text, rotating, csfle__view(stored, n), raw, &seen, &sealed, err));
    MUST(seen == (rotating ? 7 : 1));
    MUST_OK(csfle__field_open(c, text, sealed, out, &got, err));
    MUST(csfle__eq(csfle__view(out, got), plain));
    /* one bit: refused, or in what carries no authentication (the version, what base64 does not use) and the same value */
    stored[flip / 8 % n] ^= (uint8_t)(1u << flip % 8);
    if (csfle__field_split(text, rotating, csfle__view(stored, n), raw, &seen, &sealed, NULL) == CSFLE_OK &&
        csfle__field_open(c, text, sealed, out, &got, NULL) == CSFLE_OK) {
      MUST(text || (rotating && flip / 8 % n < CSFLE__VERSION_PREFIX));
      MUST(csfle__eq(csfle__view(out, got), plain));
    }
  }
  csfle_buf_free(&tmp);
  free(stored), free(raw), free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static csfle__cipher *ciphers[CSFLE__ALGORITHM_COUNT];
  csfle__bytes          in = csfle__view(data, size);
  csfle__algorithm      a = (csfle__algorithm)(fuzz_byte(&in) % CSFLE__ALGORITHM_COUNT);
  unsigned              flags = fuzz_byte(&in), flip = fuzz_byte(&in) << 8;
  flip |= fuzz_byte(&in);
  csfle__random_set(fill, NULL);
  if (!ciphers[a]) ciphers[a] = make(a);
  open_anything(ciphers[a], a, flags & 1, flags & 2, in);
  there_and_back(ciphers[a], a, flags & 1, flags & 2, flip, in);
  return 0;
}
