/* Proves the base types: views, numbers, buffers, secrets, base64, maps, JSON strings, errors. */
#include "core/base/arena.h"
#include "core/base/base64.h"
#include "core/base/map.h"
#include "core/base/secret.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>

TEST(numbers_are_read_whole_or_not_at_all)
{
  const struct { csfle__bytes in; bool ok; int64_t v; } cases[] = {
    { BYTES("0"), true, 0 }, { BYTES("-1"), true, -1 }, { BYTES("+7"), true, 7 },
    { BYTES("9223372036854775807"), true, INT64_MAX }, { BYTES("-9223372036854775808"), true, INT64_MIN },
    { BYTES("9223372036854775808"), false, 0 }, { BYTES(""), false, 0 }, { BYTES("-"), false, 0 },
    { BYTES("1x"), false, 0 }, { BYTES("1.0"), false, 0 }, { BYTES("99999999999999999999999"), false, 0 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int64_t v = 0;
    assert_int_equal(csfle__parse_i64(cases[i].in, &v), cases[i].ok);
    if (cases[i].ok) assert_int_equal(v, cases[i].v);
  }
}

TEST(names_sort_by_utf16_code_unit)
{
  assert_true(csfle__cmp_utf16(BYTES("B"), BYTES("_a")) < 0);
  assert_true(csfle__cmp_utf16(BYTES("_a"), BYTES("b")) < 0);
  /* U+1F600 is D83D DE00 in UTF-16, before U+FF01, although its UTF-8 bytes are greater */
  assert_true(csfle__cmp_utf16(BYTES("\xF0\x9F\x98\x80"), BYTES("\xEF\xBC\x81")) < 0);
  assert_true(csfle__cmp_utf16(BYTES("a"), BYTES("ab")) < 0);
  assert_int_equal(csfle__cmp_utf16(BYTES("ab"), BYTES("ab")), 0);
}

TEST(utf8_is_checked_strictly)
{
  assert_true(csfle__utf8_valid(BYTES("a\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80")));
  assert_false(csfle__utf8_valid(BYTES("\xC0\x80")));
  assert_false(csfle__utf8_valid(BYTES("\xED\xA0\x80")));
  assert_false(csfle__utf8_valid(BYTES("\xF4\x90\x80\x80")));
  assert_false(csfle__utf8_valid(BYTES("\xE4\xB8")));
}

TEST(base64_round_trips_every_length_and_is_strict) /* ENC-31 ENC-40 */
{
  uint8_t in[64], out[96];
  char    text[96];
  size_t  n;
  for (size_t i = 0; i < sizeof in; i++) in[i] = (uint8_t)(i * 37 + 11);
  for (size_t len = 0; len <= sizeof in; len++) {
    csfle__base64_encode(csfle__view(in, len), text);
    assert_true(csfle__base64_decode(csfle__view(text, csfle__base64_len(len)), out, &n));
    assert_bytes_equal(csfle__view(out, n), csfle__view(in, len));
  }
  csfle__base64_encode(BYTES("\xff\xfe\xfd"), text);
  assert_memory_equal(text, "//79", 4);
  assert_true(csfle__base64_decode(BYTES("YQ"), out, &n));
  assert_false(csfle__base64_decode(BYTES("Y"), out, &n));
  assert_false(csfle__base64_decode(BYTES("YW-_"), out, &n));
  assert_false(csfle__base64_decode(BYTES("YWJj\n"), out, &n));
  assert_false(csfle__base64_decode(BYTES("YW=j"), out, &n));
  assert_false(csfle__base64_decode(BYTES("===="), out, &n));
  for (unsigned c = 0; c < 256; c++) {
    char quad[4] = { 'A', (char)c, 'A', 'A' };
    bool in_alphabet = strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", (int)c) && c;
    assert_int_equal(csfle__base64_decode(csfle__view(quad, 4), out, &n), in_alphabet);
  }
}

TEST(a_map_keeps_what_a_plain_array_keeps)
{
  csfle__map m = CSFLE__MAP_INIT;
  char       key[32];
  bool       in[2000] = { false };
  srand(7);
  for (int step = 0; step < 40000; step++) {
    size_t k = (size_t)rand() % 2000;
    snprintf(key, sizeof key, "subject-%zu", k);
    if (rand() % 3) {
      assert_int_equal(csfle__map_put(&m, csfle__str(key), (void *)(k + 1), NULL), 0), in[k] = true;
    } else {
      assert_int_equal((size_t)csfle__map_remove(&m, csfle__str(key)), in[k] ? k + 1 : 0), in[k] = false;
    }
  }
  size_t live = 0;
  for (size_t k = 0; k < 2000; k++) {
    snprintf(key, sizeof key, "subject-%zu", k);
    assert_int_equal((size_t)csfle__map_get(&m, csfle__str(key)), in[k] ? k + 1 : 0);
    live += in[k];
  }
  assert_int_equal(m.count, live);
  csfle__map_free(&m, NULL);
}

TEST(a_map_that_borrows_points_at_the_callers_keys)
{
  static char a[2][4] = { "one", "one" }, b[] = "two";
  csfle__map  m = CSFLE__MAP_INIT;
  void       *old = NULL;
  m.borrows = true;
  csfle_test_memory_on();
  assert_int_equal(csfle__map_put(&m, csfle__str(a[0]), a[0], NULL), 0);
  long arrays = csfle_test_mem.live; /* entries and slots; no key */
  assert_int_equal(csfle__map_put(&m, csfle__str(b), b, NULL), 0);
  assert_int_equal(csfle_test_mem.live, arrays);
  assert_int_equal(csfle__map_put(&m, csfle__str(a[1]), a[1], &old), 0);
  assert_ptr_equal(old, a[0]);
  assert_ptr_equal(m.entries[0].key.ptr, a[1]); /* the key of the value that is there now */
  a[0][0] = 'x';
  assert_ptr_equal(csfle__map_get(&m, BYTES("one")), a[1]);
  assert_ptr_equal(csfle__map_remove(&m, BYTES("one")), a[1]);
  assert_ptr_equal(csfle__map_get(&m, BYTES("two")), b);
  csfle__map_free(&m, NULL);
  assert_int_equal(csfle_test_mem.live, 0);
  csfle_test_memory_off();
}

static csfle_status fill_a_map(void)
{
  csfle__map   m = CSFLE__MAP_INIT;
  csfle_status rc = CSFLE_OK;
  for (int i = 0; i < 40 && rc == CSFLE_OK; i++) {
    char key[16];
    snprintf(key, sizeof key, "%d", i);
    if (csfle__map_put(&m, csfle__str(key), &m, NULL) != 0) rc = CSFLE_E_NOMEM;
  }
  csfle__map_free(&m, NULL);
  return rc;
}

static csfle_status grow_a_wiped_buffer(void)
{
  csfle_buf b;
  csfle_buf_init(&b, 1000, CSFLE_BUF_WIPE);
  csfle_status rc = CSFLE_OK;
  for (int i = 0; i < 900 && rc == CSFLE_OK; i++) rc = csfle__buf_putc(&b, 'x', NULL);
  csfle_buf_free(&b);
  return rc;
}

static csfle_status move_secrets(void)
{
  csfle__secret a = CSFLE__SECRET_INIT, b = CSFLE__SECRET_INIT;
  csfle_status  rc = csfle__secret_copy(&a, BYTES("0123456789abcdef"), NULL);
  if (rc == CSFLE_OK) rc = csfle__secret_copy(&b, BYTES("old"), NULL);
  if (rc == CSFLE_OK) csfle__secret_move(&b, &a);
  csfle__secret_wipe(&a), csfle__secret_wipe(&b);
  return rc;
}

static csfle_status use_an_arena(void)
{
  csfle__arena a = CSFLE__ARENA_INIT;
  csfle_status rc = CSFLE_OK;
  for (size_t i = 1; i < 3000 && rc == CSFLE_OK; i *= 3)
    if (!csfle__arena_alloc(&a, i * 7)) rc = CSFLE_E_NOMEM;
  csfle__arena_free(&a);
  return rc;
}

TEST(every_failed_allocation_is_survived_and_secrets_are_wiped) /* ENC-101 */
{
  TORTURE(fill_a_map());
  TORTURE(grow_a_wiped_buffer());
  TORTURE(move_secrets());
  TORTURE(use_an_arena());
}

TEST(a_buffer_stops_at_its_limit_and_says_what_it_needs)
{
  csfle_buf   b;
  csfle_error e = CSFLE_ERROR_INIT;
  uint8_t     mem[4];
  csfle_buf_init(&b, 10, 0);
  assert_ok(csfle__buf_put(&b, "0123456789", 10, err));
  assert_int_equal(csfle__buf_putc(&b, 'x', &e), CSFLE_E_SPACE);
  assert_string_equal(e.msg, "output needs 11 bytes, the buffer may hold 10");
  assert_int_equal(b.len, 10);
  csfle_buf_free(&b);
  csfle_buf fixed = { mem, 0, sizeof mem, sizeof mem, NULL, NULL, 0 };
  assert_ok(csfle__buf_put(&fixed, "abcd", 4, err));
  assert_int_equal(csfle__buf_putc(&fixed, 'x', NULL), CSFLE_E_SPACE);
}

TEST(strings_are_escaped_as_jackson_does) /* DEK-165 */
{
  csfle_buf b;
  csfle_buf_init(&b, 0, 0);
  assert_ok(csfle__json_put_string(&b, BYTES("a\"b\\c/d\x01\x1f\n\x7f\xE4\xB8\xAD\xF0\x9F\x98\x80"), true, err));
  assert_bytes_equal(csfle__buf_view(&b), BYTES("\"a\\\"b\\\\c/d\\u0001\\u001F\\n\x7f\xE4\xB8\xAD\\uD83D\\uDE00\""));
  csfle__buf_clear(&b);
  assert_ok(csfle__json_put_string(&b, BYTES("\xF0\x9F\x98\x80"), false, err));
  assert_bytes_equal(csfle__buf_view(&b), BYTES("\"\xF0\x9F\x98\x80\""));
  csfle_buf_free(&b);
}

TEST(json_depth_is_limited_and_the_last_duplicate_counts)
{
  csfle_error e = CSFLE_ERROR_INIT;
  yyjson_doc *doc;
  char        deep[2 * 501 + 1];
  memset(deep, '[', 501), memset(deep + 501, ']', 501);
  assert_int_equal(csfle__json_parse(&doc, csfle__view(deep, 1002), &e), CSFLE_E_SCHEMA);
  assert_ok(csfle__json_parse(&doc, csfle__view(deep + 1, 1000), err));
  yyjson_doc_free(doc);
  assert_ok(csfle__json_parse(&doc, BYTES("{\"a\":1,\"a\":23456789012345678901}"), err));
  int64_t v;
  assert_false(csfle__json_i64(csfle__json_member(yyjson_doc_get_root(doc), "a"), &v));
  yyjson_doc_free(doc);
  assert_int_equal(csfle__json_parse(&doc, BYTES("{\"a\":}"), &e), CSFLE_E_SCHEMA);
  assert_int_equal(e.offset, 5);
}

TEST(an_error_names_the_outermost_place_first)
{
  csfle_error e = CSFLE_ERROR_INIT;
  csfle__fail(&e, CSFLE_E_DECRYPT, "data key is %d bytes, expected %d", 3, 32);
  csfle__where(&e, "Customer.ssn");
  csfle__where(&e, "%s v%d", "orders-value", 7);
  assert_string_equal(e.where, "orders-value v7 Customer.ssn");
  assert_string_equal(e.msg, "data key is 3 bytes, expected 32");
  assert_string_equal(csfle_status_name(e.code), "DECRYPT");
  assert_string_equal(csfle_status_name(12345), "UNKNOWN");
}

TEST(a_quote_in_a_comment_does_not_hide_nesting_from_the_depth_limit) /* AB-14 */
{
  char        text[2100] = "/* \" */ // \"\n";
  yyjson_doc *doc;
  csfle_error err;
  size_t      n = strlen(text);
  memset(text + n, '[', 1000), memset(text + n + 1000, ']', 1000);
  assert_int_equal(csfle__json_parse_comments(&doc, csfle__view(text, n + 2000), &err), CSFLE_E_SCHEMA);
  assert_non_null(strstr(err.msg, "nested deeper"));
  assert_int_equal(csfle__json_parse_comments(&doc, CSFLE__LIT("/* [[ */ [1] // ]"), &err), CSFLE_OK);
  yyjson_doc_free(doc);
}

TEST(a_parsed_secret_text_is_wiped)
{
  yyjson_doc *doc = NULL;
  csfle_test_memory_on();
  assert_ok(csfle__json_parse_secret(&doc, CSFLE__LIT("{\"a\":[\"secret\",1]}"), err));
  yyjson_doc_free(doc);
  assert_int_equal(csfle_test_mem.dirty_secrets, 0);
  assert_int_equal(csfle_test_mem.live, 0);
  csfle_test_memory_off();
}
