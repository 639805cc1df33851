/* Any bytes as key material: a key that is accepted is written again as material that gives the same key. Input: one byte
   (the algorithm), material. */
#include "fuzz/fuzz.h"

#include "core/crypt/material.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  csfle__bytes     in = csfle__view(data, size);
  csfle__algorithm a = (csfle__algorithm)(fuzz_byte(&in) % CSFLE__ALGORITHM_COUNT);
  csfle__secret    raw = CSFLE__SECRET_INIT, material = CSFLE__SECRET_INIT, again = CSFLE__SECRET_INIT;
  csfle_error      e = CSFLE_ERROR_INIT;

  csfle_status rc = csfle__dek_decode(a, in, &raw, &e);
  if (rc == CSFLE_OK) {
    size_t want = csfle__algorithm_key_bytes(a);
    if (a == CSFLE__AES256_SIV) MUST(raw.len == want);
    else MUST(raw.len == 16 || raw.len == 32);
    if (raw.len != want) a = a == CSFLE__AES128_GCM ? CSFLE__AES256_GCM : CSFLE__AES128_GCM;
    MUST_OK(csfle__dek_encode(a, &raw, &material, err));
    MUST(material.len <= in.len); /* the shortest form there is */
    MUST_OK(csfle__dek_decode(a, csfle__secret_view(&material), &again, err));
    MUST(csfle__eq(csfle__secret_view(&raw), csfle__secret_view(&again)));
  } else {
    MUST(rc == CSFLE_E_DECRYPT && e.msg[0] && raw.len == 0);
  }
  csfle__secret_wipe(&raw), csfle__secret_wipe(&material), csfle__secret_wipe(&again);
  return 0;
}
