/* One field value. See field.h. */
#include "client/encrypt/field.h"
#include "core/base/base64.h"

#include <limits.h>

static size_t raw_len(csfle__algorithm a, int32_t version, size_t plain_len)
{
  return (version ? CSFLE__VERSION_PREFIX : 0) + plain_len + csfle__algorithm_overhead(a);
}

size_t csfle__field_sealed_len(csfle__algorithm a, int32_t version, bool text, size_t plain_len)
{
  size_t n = raw_len(a, version, plain_len);
  return text ? csfle__base64_len(n) : n;
}

csfle_status csfle__field_seal(csfle__cipher *c, csfle__nonces *nonces, int32_t version, bool text, csfle__bytes plain,
                               csfle_buf *tmp, uint8_t *out, csfle_error *err)
{
  size_t   n = raw_len(csfle__cipher_algorithm(c), version, plain.len);
  uint8_t *raw = out;
  if (plain.len > INT_MAX - 64) return csfle__fail(err, CSFLE_E_DATUM, "value of %zu bytes is too long to encrypt", plain.len);
  if (text) {
    if (!csfle__utf8_valid(plain)) return csfle__fail(err, CSFLE_E_DATUM, "text is not valid UTF-8");
    tmp->len = 0;
    csfle_status rc = csfle__buf_reserve(tmp, n, err);
    if (rc != CSFLE_OK) return rc;
    raw = tmp->ptr;
  }
  if (version) raw[0] = 0, csfle__put_u32be(raw + 1, (uint32_t)version);
  csfle_status rc = csfle__cipher_seal(c, nonces, plain, raw + (version ? CSFLE__VERSION_PREFIX : 0), err);
  if (rc == CSFLE_OK && text) csfle__base64_encode(csfle__view(raw, n), (char *)out);
  return rc;
}

csfle_status csfle__field_split(bool text, bool rotating, csfle__bytes stored, uint8_t *raw, int32_t *version,
                                csfle__bytes *sealed, csfle_error *err)
{
  csfle__bytes in = stored;
  *version = 1;
  if (text) {
    size_t n;
    if (!csfle__base64_decode(stored, raw, &n)) return csfle__fail(err, CSFLE_E_DECRYPT, "value is not base64: it was not encrypted, or was changed");
    in = csfle__view(raw, n);
  }
  if (rotating) {
    if (in.len < CSFLE__VERSION_PREFIX)
      return csfle__fail(err, CSFLE_E_DECRYPT, "ciphertext too short: %zu bytes, expected its 5-byte version prefix", in.len);
    if (in.ptr[0] != 0) return csfle__fail(err, CSFLE_E_DECRYPT, "Unknown magic byte! of the version prefix: 0x%02x, expected 0x00", in.ptr[0]);
    uint32_t v = csfle__get_u32be(in.ptr + 1);
    if (v < 1 || v > INT32_MAX) return csfle__fail(err, CSFLE_E_DECRYPT, "data key version in the prefix is below 1");
    *version = (int32_t)v;
    in = csfle__from(in, CSFLE__VERSION_PREFIX);
  }
  *sealed = in;
  return CSFLE_OK;
}

csfle_status csfle__field_open(csfle__cipher *c, bool text, csfle__bytes sealed, uint8_t *out, size_t *out_len, csfle_error *err)
{
  csfle_status rc = csfle__cipher_open(c, sealed, out, out_len, err);
  if (rc == CSFLE_OK && text && !csfle__utf8_valid(csfle__view(out, *out_len))) {
    csfle__wipe(out, *out_len);
    *out_len = 0;
    rc = csfle__fail(err, CSFLE_E_DECRYPT, "decrypted text is not valid UTF-8");
  }
  return rc;
}
