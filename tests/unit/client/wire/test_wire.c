/* Proves the framing. */
#include "client/wire/wire.h"
#include "tests/support/test.h"

typedef struct header { const char *name; const void *v; size_t n; } header;
static const void *last(void *opaque, const char *name, size_t *n)
{
  header *h = opaque;
  if (strcmp(h->name, name) != 0) return NULL;
  *n = h->n;
  return h->v;
}

TEST(an_id_is_written_and_read_big_endian) /* SERDE-1 SERDE-2 */
{
  const struct { int32_t id; csfle__bytes bytes; } cases[] = {
    { 12, BYTES("\0\0\0\0\x0c") }, { 2147483647, BYTES("\0\x7f\xff\xff\xff") }, { 1, BYTES("\0\0\0\0\1") },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint8_t      out[5];
    csfle__frame f;
    csfle__wire_prefix(cases[i].id, out);
    assert_bytes_equal(csfle__view(out, 5), cases[i].bytes);
    assert_ok(csfle__wire_split(csfle__view(out, 5), false, NULL, &f, err));
    assert_int_equal(f.id, cases[i].id);
    assert_int_equal(f.payload.len, 0);
  }
}

TEST(a_guid_is_read_from_the_prefix) /* SERDE-6 SERDE-11 */
{
  csfle__frame f;
  assert_ok(csfle__wire_split(BYTES("\x01\x87\x14\x2d\x5b\xcd\x2e\x47\xbd\x92\x47\xe3\x54\xf7\xe4\xf0\x77" "abc"), false, NULL, &f, err));
  assert_true(f.by_guid);
  assert_memory_equal(f.guid, "\x87\x14\x2d\x5b\xcd\x2e\x47\xbd\x92\x47\xe3\x54\xf7\xe4\xf0\x77", 16);
  assert_bytes_equal(f.payload, BYTES("abc"));
}

TEST(the_header_wins_and_must_be_well_formed) /* SERDE-5 SERDE-9 SERDE-10 SERDE-12 SERDE-13 SERDE-17 */
{
  static const char guid[] = "\x01\x87\x14\x2d\x5b\xcd\x2e\x47\xbd\x92\x47\xe3\x54\xf7\xe4\xf0\x77";
  csfle__frame      f;
  header            x = { "__value_schema_id", guid, 17 };
  csfle_headers     h = { &x, NULL, last };
  csfle_error       e = CSFLE_ERROR_INIT;
  assert_ok(csfle__wire_split(BYTES("\0\0\0\0\x0c" "a"), false, &h, &f, err));
  assert_true(f.by_guid && f.in_header);
  assert_int_equal(f.payload.len, 6);
  assert_ok(csfle__wire_split(BYTES("a"), false, &h, &f, err));
  assert_int_equal(f.payload.len, 1);
  assert_ok(csfle__wire_split(BYTES("\0\0\0\0\x0c" "a"), true, &h, &f, err)); /* the value's header is not the key's */
  assert_false(f.in_header);
  x = (header){ "__key_schema_id", "\0\0\0\0\x0c", 5 };
  assert_ok(csfle__wire_split(BYTES("a"), true, &h, &f, err));
  assert_int_equal(f.id, 12);
  x = (header){ "__value_schema_id", "", 0 }; /* empty is absent */
  assert_ok(csfle__wire_split(BYTES("\0\0\0\0\x0d"), false, &h, &f, err));
  assert_int_equal(f.id, 13);
  for (size_t n = 1; n < 17; n++) {
    x = (header){ "__value_schema_id", guid, n };
    assert_int_equal(csfle__wire_split(BYTES("\0\0\0\0\x0d"), false, &h, &f, &e), CSFLE_E_WIRE);
  }
  x = (header){ "__value_schema_id", "\0\0\0\0\x0c\0", 6 };
  assert_int_equal(csfle__wire_split(BYTES("\0\0\0\0\x0d"), false, &h, &f, &e), CSFLE_E_WIRE);
  x = (header){ "__value_schema_id", "\7", 1 };
  assert_int_equal(csfle__wire_split(BYTES("\0\0\0\0\x0d"), false, &h, &f, &e), CSFLE_E_WIRE);
}

TEST(what_cannot_be_framed_is_refused_with_what_is_wrong) /* SERDE-14 SERDE-15 SERDE-16 */
{
  const struct { csfle__bytes in; const char *why; } cases[] = {
    { BYTES("\0\0\0\1"), "message of 4 bytes is shorter than its 5-byte prefix" },
    { BYTES("\0"), "message of 1 bytes is shorter than its 5-byte prefix" },
    { BYTES("\2\0\0\0\1"), "magic byte of the message is 0x02, expected 0x00 or 0x01" },
    { BYTES("{\"a\":1}"), "magic byte of the message is 0x7b, expected 0x00 or 0x01" },
    { BYTES("\1\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0"), "message of 16 bytes is shorter than its 17-byte prefix" },
    { BYTES("\0\xff\xff\xff\xff"), "schema id in the message is negative" },
    { BYTES(""), "message is empty" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle__frame f;
    csfle_error  e = CSFLE_ERROR_INIT;
    assert_int_equal(csfle__wire_split(cases[i].in, false, NULL, &f, &e), CSFLE_E_WIRE);
    assert_string_equal(e.msg, cases[i].why);
  }
}
