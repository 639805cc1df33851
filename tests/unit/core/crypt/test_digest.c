/* core/crypt/digest.c: key derivation of the local KMS and the MD5 of content hashes. */
#include "core/crypt/digest.h"
#include "tests/support/test.h"

#include <stdio.h>

/* ENC-11 */
TEST(every_derivation_vector_is_reproduced)
{
  yyjson_doc *doc = csfle_test_vectors("encryption.json");
  yyjson_val *list = csfle__json_member(yyjson_doc_get_root(doc), "kek_derivation"), *e;
  size_t      i, n, ran = 0;
  yyjson_arr_foreach(list, i, n, e)
  {
    uint8_t       s[256], k[16];
    csfle__secret key = CSFLE__SECRET_INIT;
    assert_ok(csfle__secret_make(&key, 16, err));
    assert_ok(csfle__hkdf_sha256(csfle_test_unhex(csfle__str(csfle_test_text(e, "secret_hex")), s, sizeof s), &key, err));
    assert_bytes_equal(csfle__secret_view(&key), csfle_test_unhex(csfle__str(csfle_test_text(e, "kek_key_hex")), k, sizeof k));
    csfle__secret_wipe(&key);
    ran++;
  }
  printf("# kek_derivation: %zu entries\n", ran);
  assert_int_equal(ran, 6);
  yyjson_doc_free(doc);
}

static csfle_status md5(uint8_t out[16])
{
  csfle__md5  *m;
  csfle_status rc = csfle__md5_new(&m, NULL);
  if (rc != CSFLE_OK) return rc;
  rc = csfle__md5_add(m, BYTES("a"), NULL);
  if (rc == CSFLE_OK) rc = csfle__md5_add(m, CSFLE__NONE, NULL);
  if (rc == CSFLE_OK) rc = csfle__md5_add(m, BYTES("bc"), NULL);
  return csfle__md5_end(m, out, NULL);
}
TEST(md5_goes_over_the_pieces_as_over_one_text)
{
  uint8_t out[16], want[16];
  assert_ok(md5(out));
  csfle_test_unhex(BYTES("900150983cd24fb0d6963f7d28e17f72"), want, 16);
  assert_memory_equal(out, want, 16);
  TORTURE(md5(out));
}
