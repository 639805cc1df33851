/* Tink's AesGcmKey and AesSivKey messages, read as protobuf and written in the one canonical form. See material.h. */
#include "core/crypt/material.h"
#include "core/crypt/random.h"

csfle_status csfle__dek_generate(csfle__algorithm a, csfle__secret *raw, csfle_error *err)
{
  csfle__secret made = CSFLE__SECRET_INIT;
  csfle_status  rc = csfle__secret_make(&made, csfle__algorithm_key_bytes(a), err);
  if (rc != CSFLE_OK) return rc;
  if (csfle__random_fill(made.ptr, made.len)) csfle__secret_move(raw, &made);
  else rc = csfle__fail(err, CSFLE_E_INTERNAL, "the random source failed");
  csfle__secret_wipe(&made);
  return rc;
}

static unsigned key_field(csfle__algorithm a) { return a == CSFLE__AES256_SIV ? 2 : 3; }

csfle_status csfle__dek_encode(csfle__algorithm a, const csfle__secret *raw, csfle__secret *material, csfle_error *err)
{
  csfle__secret made = CSFLE__SECRET_INIT;
  if (raw->len != csfle__algorithm_key_bytes(a))
    return csfle__fail(err, CSFLE_E_DECRYPT, "data key is %zu bytes, expected %zu", raw->len, csfle__algorithm_key_bytes(a));
  csfle_status rc = csfle__secret_make(&made, raw->len + 2, err);
  if (rc != CSFLE_OK) return rc;
  made.ptr[0] = (uint8_t)(key_field(a) << 3 | 2), made.ptr[1] = (uint8_t)raw->len;
  memcpy(made.ptr + 2, raw->ptr, raw->len);
  csfle__secret_move(material, &made);
  return CSFLE_OK;
}

static bool varint(csfle__bytes m, size_t *pos, uint64_t *out)
{
  uint64_t v = 0;
  for (unsigned shift = 0; shift < 70 && *pos < m.len; shift += 7) {
    uint8_t c = m.ptr[(*pos)++];
    if (shift == 63 && c > 1) return false;
    v |= (uint64_t)(c & 0x7F) << shift;
    if (!(c & 0x80)) return *out = v, true;
  }
  return false;
}

csfle_status csfle__dek_decode(csfle__algorithm a, csfle__bytes m, csfle__secret *raw, csfle_error *err)
{
  static const char torn[] = "data key material is not a key message";
  csfle__bytes      key = CSFLE__NONE;
  bool              found = false;

  for (size_t pos = 0; pos < m.len;) {
    uint64_t tag, v;
    if (!varint(m, &pos, &tag) || tag >> 3 == 0 || tag > UINT32_MAX) return csfle__fail(err, CSFLE_E_DECRYPT, torn);
    switch (tag & 7) {
    case 0:
      if (!varint(m, &pos, &v)) return csfle__fail(err, CSFLE_E_DECRYPT, torn);
      if (tag >> 3 == 1 && v != 0)
        return csfle__fail(err, CSFLE_E_DECRYPT, "data key material has version %llu, expected 0", (unsigned long long)v);
      continue;
    case 1: v = 8; break;
    case 5: v = 4; break;
    case 2:
      if (!varint(m, &pos, &v)) return csfle__fail(err, CSFLE_E_DECRYPT, torn);
      break;
    default: return csfle__fail(err, CSFLE_E_DECRYPT, torn);
    }
    if (v > m.len - pos) return csfle__fail(err, CSFLE_E_DECRYPT, torn);
    if ((tag & 7) == 2 && tag >> 3 == key_field(a)) key = csfle__view(m.ptr + pos, (size_t)v), found = true;
    pos += (size_t)v;
  }
  if (!found) return csfle__fail(err, CSFLE_E_DECRYPT, "data key material holds no %s key", csfle__algorithm_name(a));
  size_t want = csfle__algorithm_key_bytes(a);
  /* the two GCM algorithms share a message, and one client writes either size under either name */
  if (key.len != want && (a == CSFLE__AES256_SIV || (key.len != 16 && key.len != 32)))
    return csfle__fail(err, CSFLE_E_DECRYPT, "data key is %zu bytes, expected %zu", key.len, want);
  return csfle__secret_copy(raw, key, err);
}
