/* Any message and header: a frame that is accepted is where its bytes say. Input: one byte (bit 0 key, bit 1 header given),
   with a header its length in one byte and its bytes; then the message. */
#include "fuzz/fuzz.h"

#include "client/wire/wire.h"

typedef struct header {
  const char  *name;
  csfle__bytes value;
} header;

static const void *last(void *opaque, const char *name, size_t *n)
{
  const header *h = (const header *)opaque;
  if (strcmp(name, h->name) != 0) return NULL;
  *n = h->value.len;
  return h->value.ptr;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  csfle__bytes  in = csfle__view(data, size);
  unsigned      flags = fuzz_byte(&in);
  bool          key = flags & 1;
  header        h = { key ? "__key_schema_id" : "__value_schema_id", CSFLE__NONE };
  csfle_headers headers = { &h, NULL, last };
  csfle__frame  f;
  csfle_error   e = CSFLE_ERROR_INIT;
  if (flags & 2) {
    size_t n = fuzz_byte(&in);
    if (n > in.len) n = in.len;
    h.value = csfle__view(in.ptr ? in.ptr : (const uint8_t *)"", n);
    in = csfle__from(in, n);
  }
  if (!in.len) return 0;
  memset(&f, 0, sizeof f);
  csfle_status rc = csfle__wire_split(in, key, flags & 2 || flags & 4 ? &headers : NULL, &f, &e);
  if (rc != CSFLE_OK) {
    MUST(rc == CSFLE_E_WIRE && e.msg[0]);
    return 0;
  }
  MUST(f.payload.len <= in.len && (!f.payload.len || f.payload.ptr + f.payload.len == in.ptr + in.len));
  csfle__bytes from = f.in_header ? h.value : in;
  MUST(f.in_header == (f.payload.len == in.len));
  if (f.in_header) MUST(h.value.ptr && (flags & 2));
  if (f.by_guid) {
    MUST(from.ptr[0] == 1 && memcmp(from.ptr + 1, f.guid, 16) == 0);
    if (!f.in_header) MUST(f.payload.len + CSFLE__WIRE_V1_BYTES == in.len);
  } else {
    uint8_t prefix[CSFLE__WIRE_V0_BYTES];
    csfle__wire_prefix(f.id, prefix);
    MUST(memcmp(from.ptr, prefix, sizeof prefix) == 0);
    if (!f.in_header) MUST(f.payload.len + CSFLE__WIRE_V0_BYTES == in.len);
  }
  return 0;
}
