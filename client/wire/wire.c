/* Framing. See wire.h. */
#include "client/wire/wire.h"

void csfle__wire_prefix(int32_t id, uint8_t out[CSFLE__WIRE_V0_BYTES])
{
  out[0] = 0;
  csfle__put_u32be(out + 1, (uint32_t)id);
}

/* One identifier at the start of @p in; its size, 0 on failure. */
static size_t identifier(csfle__bytes in, const char *what, csfle__frame *out, csfle_error *err)
{
  if (in.ptr[0] == 0) {
    if (in.len < CSFLE__WIRE_V0_BYTES)
      return csfle__fail(err, CSFLE_E_WIRE, "%s of %zu bytes is shorter than its 5-byte prefix", what, in.len), 0;
    uint32_t id = csfle__get_u32be(in.ptr + 1);
    if (id > INT32_MAX) return csfle__fail(err, CSFLE_E_WIRE, "schema id in the %s is negative", what), 0;
    out->id = (int32_t)id;
    return CSFLE__WIRE_V0_BYTES;
  }
  if (in.ptr[0] == 1) {
    if (in.len < CSFLE__WIRE_V1_BYTES)
      return csfle__fail(err, CSFLE_E_WIRE, "%s of %zu bytes is shorter than its 17-byte prefix", what, in.len), 0;
    out->by_guid = true;
    memcpy(out->guid, in.ptr + 1, 16);
    return CSFLE__WIRE_V1_BYTES;
  }
  return csfle__fail(err, CSFLE_E_WIRE, "magic byte of the %s is 0x%02x, expected 0x00 or 0x01", what, in.ptr[0]), 0;
}

csfle_status csfle__wire_split(csfle__bytes msg, bool key, const csfle_headers *h, csfle__frame *out, csfle_error *err)
{
  size_t n = 0;
  *out = (csfle__frame){ 0 };
  const void *v = h && h->last ? h->last(h->opaque, key ? "__key_schema_id" : "__value_schema_id", &n) : NULL;
  if (v && n) {
    size_t used = identifier(csfle__view(v, n), "schema id header", out, err);
    if (!used) return CSFLE_E_WIRE;
    /* nothing may follow: message indexes belong to Protobuf, which this build does not have */
    if (used != n) return csfle__fail(err, CSFLE_E_WIRE, "schema id header is %zu bytes, expected %zu", n, used);
    out->in_header = true, out->payload = msg;
    return CSFLE_OK;
  }
  if (!msg.len) return csfle__fail(err, CSFLE_E_WIRE, "message is empty");
  size_t used = identifier(msg, "message", out, err);
  if (!used) return CSFLE_E_WIRE;
  out->payload = csfle__from(msg, used);
  return CSFLE_OK;
}
