/* Every allocation of what test_base.c does not fail: room in buffers, JSON in and out. */
#include "tests/support/test.h"

#include "core/base/base64.h"

static csfle_status buffers(void)
{
  csfle_buf    b;
  uint8_t      raw[8];
  csfle_buf_init(&b, 0, CSFLE_BUF_WIPE);
  csfle_status rc = csfle__buf_reserve(&b, 1, NULL);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&b, "0123456789", NULL);
  memset(raw, 7, sizeof raw);
  for (int i = 0; i < 40 && rc == CSFLE_OK; i++) rc = csfle__buf_put(&b, raw, sizeof raw, NULL);
  if (rc == CSFLE_OK) rc = csfle__buf_printf(&b, NULL, "%0500d", 1);
  if (rc == CSFLE_OK) rc = csfle__buf_putc(&b, 'x', NULL);
  if (rc == CSFLE_OK && !csfle__buf_cstr(&b)) rc = CSFLE_E_NOMEM;
  csfle_buf_free(&b);
  return rc;
}
TEST(buffers_survive_every_failed_allocation) { TORTURE(buffers()); }

static csfle_status json(bool secret)
{
  const csfle__bytes text = BYTES("{\"a\":[1,2.5,true,null,\"x\\u00e9\\ud83d\\ude00\"],\"b\":{\"c\":\"d\"},\"a\":{}}");
  yyjson_doc        *doc = NULL;
  csfle_buf          b;
  csfle_buf_init(&b, 0, 0);
  csfle_status rc = secret ? csfle__json_parse_secret(&doc, text, NULL) : csfle__json_parse(&doc, text, NULL);
  if (rc == CSFLE_OK) rc = csfle__json_put_value(&b, yyjson_doc_get_root(doc), NULL);
  if (rc == CSFLE_OK) rc = csfle__json_put_string(&b, BYTES("\1\"\xf0\x9f\x98\x80"), true, NULL);
  yyjson_doc_free(doc);
  doc = NULL;
  if (rc == CSFLE_OK) rc = csfle__json_parse_into(&doc, BYTES("[1]"), csfle__json_alc(), NULL);
  yyjson_doc_free(doc);
  doc = NULL;
  if (rc == CSFLE_OK) rc = csfle__json_parse_comments(&doc, BYTES("/* c */ {\"a\": 1 // d\n}"), NULL);
  yyjson_doc_free(doc);
  csfle_buf_free(&b);
  return rc;
}
TEST(json_survives_every_failed_allocation)
{
  TORTURE(json(false));
  TORTURE(json(true));
}

/* what the caller had is still there after an append that failed */
TEST(a_failed_append_leaves_the_buffer_as_it_was)
{
  csfle_buf b;
  csfle_buf_init(&b, 0, 0);
  csfle_test_memory_on();
  assert_ok(csfle__buf_puts(&b, "kept", err));
  uint8_t big[4096] = { 0 };
  csfle_test_mem.fail_at = csfle_test_mem.total + 1;
  assert_int_equal(csfle__buf_put(&b, big, sizeof big, NULL), CSFLE_E_NOMEM);
  csfle_test_mem.fail_at = 0;
  assert_bytes_equal(csfle__buf_view(&b), BYTES("kept"));
  csfle_buf_free(&b);
  csfle_test_memory_off();
}
