/* Every allocation of one field's way: its parameters, sealing, splitting, opening; text and bytes, rotating or not. */
#include "tests/support/test.h"

#include "client/encrypt/field.h"
#include "client/encrypt/params.h"

static csfle_status field(csfle__algorithm a, bool text, int32_t version)
{
  const csfle__bytes plain = BYTES("a value that is longer than the first block of anything");
  csfle__secret      key = CSFLE__SECRET_INIT;
  csfle__cipher     *c = NULL;
  csfle__bytes       sealed;
  csfle_buf          tmp;
  uint8_t            stored[256], raw[256], out[256];
  int32_t            seen = 0;
  size_t             n = 0, len = csfle__field_sealed_len(a, version, text, plain.len);
  csfle_buf_init(&tmp, 0, CSFLE_BUF_WIPE);
  csfle_status rc = csfle__secret_make(&key, csfle__algorithm_key_bytes(a), NULL);
  if (rc == CSFLE_OK) key.ptr[0] = 1, key.ptr[key.len - 1] = 2;
  if (rc == CSFLE_OK) rc = csfle__cipher_new(&c, a, &key, NULL);
  if (rc == CSFLE_OK) rc = csfle__field_seal(c, NULL, version, text, plain, &tmp, stored, NULL);
  if (rc == CSFLE_OK) rc = csfle__field_split(text, version > 0, csfle__view(stored, len), raw, &seen, &sealed, NULL);
  if (rc == CSFLE_OK) rc = csfle__field_open(c, text, sealed, out, &n, NULL);
  if (rc == CSFLE_OK && (!csfle__eq(csfle__view(out, n), plain) || seen != (version ? version : 1))) rc = CSFLE_E_INTERNAL;
  csfle_buf_free(&tmp);
  csfle__cipher_free(c);
  csfle__secret_wipe(&key);
  return rc;
}
TEST(sealing_and_opening_a_field_survive_every_failed_allocation) /* ENC-101 */
{
  for (int a = 0; a < CSFLE__ALGORITHM_COUNT; a++) {
    TORTURE(field((csfle__algorithm)a, true, 0));
    TORTURE(field((csfle__algorithm)a, false, 3));
    TORTURE(field((csfle__algorithm)a, true, 70000));
  }
}

static csfle_status params(void)
{
  yyjson_doc           *doc = NULL;
  csfle__arena          a = CSFLE__ARENA_INIT;
  csfle__rule_set      *set = NULL;
  csfle__encrypt_params p;
  csfle_status rc = csfle__json_parse(&doc, BYTES("{\"domainRules\":[{\"name\":\"r\",\"type\":\"ENCRYPT\",\"params\":{\"encrypt.kek.name\":\"k\",\"encrypt.dek.expiry.days\":\"3\"}}]}"), NULL);
  if (rc == CSFLE_OK) rc = csfle__rule_set_parse(&a, yyjson_doc_get_root(doc), &set, NULL);
  if (rc == CSFLE_OK) rc = csfle__encrypt_params_read(&set->domain.at[0], NULL, &p, NULL);
  if (rc == CSFLE_OK && p.expiry_days != 3) rc = CSFLE_E_INTERNAL;
  csfle__arena_free(&a);
  yyjson_doc_free(doc);
  return rc;
}
TEST(parameters_of_a_rule_survive_every_failed_allocation) { TORTURE(params()); }
