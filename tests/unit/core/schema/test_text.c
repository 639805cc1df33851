/* Values as JSON text and back: every type, unions wrapped and bare, defaults, and what is refused without showing it. */
#include "tests/support/test.h"

#include "core/schema/text.h"

#include <stdio.h>

static csfle__schema *schema(const char *text)
{
  csfle__schema *s = NULL;
  assert_ok(csfle__schema_parse(&s, CSFLE__NONE, csfle__str(text), NULL, 0, 0, err));
  return s;
}

#define F(type) "{\"type\":\"record\",\"name\":\"n.R\",\"fields\":[{\"name\":\"f\",\"type\":" type "}]}"
#define FIXED2 "{\"type\":\"fixed\",\"name\":\"F\",\"size\":2}"
#define ENUM "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}"
#define REC "{\"type\":\"record\",\"name\":\"I\",\"fields\":[{\"name\":\"x\",\"type\":\"int\"}]}"
#define REC2 "{\"type\":\"record\",\"name\":\"J\",\"fields\":[{\"name\":\"y\",\"type\":\"int\"}]}"
#define ARR(t) "{\"type\":\"array\",\"items\":" t "}"
#define MAP(t) "{\"type\":\"map\",\"values\":" t "}"

TEST(every_type_has_the_text_of_avros_json_encoding_and_comes_back)
{
  const struct {
    const char *schema, *hex, *json, *plain; /* plain NULL: the same */
  } cases[] = {
    { F("\"null\""), "", "{\"f\":null}", NULL },
    { F("\"boolean\""), "01", "{\"f\":true}", NULL },
    { F("\"int\""), "ffffffff0f", "{\"f\":-2147483648}", NULL },
    { F("\"long\""), "feffffffffffffffff01", "{\"f\":9223372036854775807}", NULL },
    { F("\"float\""), "cdcccc3d", "{\"f\":0.1}", NULL },
    { F("\"float\""), "0000c07f", "{\"f\":\"NaN\"}", NULL },
    { F("\"double\""), "9a9999999999b93f", "{\"f\":0.1}", NULL },
    { F("\"double\""), "000000000000f0ff", "{\"f\":\"-Infinity\"}", NULL },
    { F("\"double\""), "0000000000000080", "{\"f\":-0.0}", NULL },
    { F("\"double\""), "0000209bf35ea042", "{\"f\":9.0E12}", NULL },
    { F("\"string\""), "0a" "610a22c3a9", "{\"f\":\"a\\n\\\"\xC3\xA9\"}", NULL },
    { F("\"bytes\""), "0c" "00" "61" "22" "5c" "7f" "ff", "{\"f\":\"\\u0000a\\\"\\\\\\u007F\xC3\xBF\"}", NULL },
    { F(FIXED2), "80ff", "{\"f\":\"\xC2\x80\xC3\xBF\"}", NULL },
    { F(ENUM), "02", "{\"f\":\"B\"}", NULL },
    { F(ARR("\"int\"")), "04" "0204" "00", "{\"f\":[1,2]}", NULL },
    { F(ARR("\"int\"")), "00", "{\"f\":[]}", NULL },
    { F(MAP("\"int\"")), "04" "026102" "026204" "00", "{\"f\":{\"a\":1,\"b\":2}}", NULL },
    { F(REC), "02", "{\"f\":{\"x\":1}}", NULL },
    { F("[\"null\",\"string\"]"), "00", "{\"f\":null}", NULL },
    { F("[\"null\",\"string\"]"), "020261", "{\"f\":{\"string\":\"a\"}}", "{\"f\":\"a\"}" },
    { F("[\"null\"," REC "]"), "0202", "{\"f\":{\"n.I\":{\"x\":1}}}", "{\"f\":{\"x\":1}}" },
    { F("[\"null\"," ENUM "]"), "0200", "{\"f\":{\"n.E\":\"A\"}}", "{\"f\":\"A\"}" },
    { F("[\"null\"," ARR("[\"int\",\"string\"]") "]"), "02" "04" "0002" "020261" "00", "{\"f\":{\"array\":[{\"int\":1},{\"string\":\"a\"}]}}",
      "{\"f\":[1,\"a\"]}" },
    { F("[\"null\",\"double\"]"), "02000000000000f07f", "{\"f\":{\"double\":\"Infinity\"}}", "{\"f\":\"Infinity\"}" },
    { F(ARR("\"null\"")), "0600", "{\"f\":[null,null,null]}", NULL },
    { "\"string\"", "0261", "\"a\"", NULL },
    { "\"bytes\"", "04ff00", "\"\xC3\xBF\\u0000\"", NULL },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint8_t        data[64];
    size_t         consumed = 0;
    csfle_buf      out;
    csfle__schema *s = schema(cases[i].schema);
    csfle__bytes in = csfle_test_unhex(csfle__str(cases[i].hex), data, sizeof data);
    csfle_buf_init(&out, 0, CSFLE_BUF_WIPE);
    assert_ok(csfle__value_to_json(s, in, 0, &out, &consumed, err));
    assert_string_equal(csfle__buf_cstr(&out), cases[i].json);
    assert_int_equal(consumed, in.len);
    csfle__buf_clear(&out);
    assert_ok(csfle__value_from_json(s, csfle__str(cases[i].json), &out, err));
    assert_bytes_equal(csfle__buf_view(&out), in);
    csfle__buf_clear(&out);
    assert_ok(csfle__value_to_json(s, in, CSFLE__TEXT_PLAIN_UNIONS, &out, NULL, err));
    assert_string_equal(csfle__buf_cstr(&out), cases[i].plain ? cases[i].plain : cases[i].json);
    if (cases[i].plain) {
      csfle__buf_clear(&out);
      assert_ok(csfle__value_from_json(s, csfle__str(cases[i].plain), &out, err));
      assert_bytes_equal(csfle__buf_view(&out), in);
    }
    csfle_buf_free(&out);
    csfle__schema_free(s);
  }
}

static void expect_bytes(const char *text, const char *json, const char *hex)
{
  uint8_t        data[256];
  csfle_buf      out;
  csfle__schema *s = schema(text);
  csfle_buf_init(&out, 0, 0);
  assert_ok(csfle__value_from_json(s, csfle__str(json), &out, err));
  assert_bytes_equal(csfle__buf_view(&out), csfle_test_unhex(csfle__str(hex), data, sizeof data));
  csfle_buf_free(&out), csfle__schema_free(s);
}

TEST(bare_values_go_to_the_first_branch_that_fits)
{
  expect_bytes(F("[\"null\",\"bytes\",\"string\"]"), "{\"f\":\"a\"}", "040261");
  expect_bytes(F("[\"null\",\"bytes\",\"string\"]"), "{\"f\":{\"bytes\":\"a\"}}", "020261");
  expect_bytes(F("[\"string\"," ENUM "]"), "{\"f\":\"A\"}", "000241");
  expect_bytes(F("[" ENUM ",\"string\"]"), "{\"f\":\"A\"}", "0000");
  expect_bytes(F("[" ENUM ",\"string\"]"), "{\"f\":\"C\"}", "020243");
  expect_bytes(F("[\"int\",\"long\",\"double\"]"), "{\"f\":3000000000}", "0280f882ad16");
  expect_bytes(F("[\"int\",\"double\"]"), "{\"f\":1.0}", "02000000000000f03f");
  expect_bytes(F("[\"double\",\"string\"]"), "{\"f\":\"NaN\"}", "02064e614e");
  expect_bytes(F("[" REC "," REC2 "]"), "{\"f\":{\"y\":1}}", "0202");
  expect_bytes(F("[" REC "," MAP("\"string\"") "]"), "{\"f\":{\"x\":\"1\"}}", "02" "02" "0278" "0231" "00");
  expect_bytes(F("[" MAP("\"string\"") ",\"string\"]"), "{\"f\":{\"string\":\"1\"}}", "020231"); /* wrapped is looked at first */
  expect_bytes("[\"null\",\"string\"]", "\"a\"", "020261");
}

TEST(missing_fields_take_their_defaults_of_every_type)
{
#define D(type, def) "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"f\",\"type\":" type ",\"default\":" def "}]}"
  expect_bytes(D("\"null\"", "null"), "{}", "");
  expect_bytes(D("\"boolean\"", "true"), "{}", "01");
  expect_bytes(D("\"int\"", "-1"), "{}", "01");
  expect_bytes(D("\"long\"", "64"), "{}", "8001");
  expect_bytes(D("\"float\"", "1"), "{}", "0000803f");
  expect_bytes(D("\"double\"", "\"1.5\""), "{}", "000000000000f83f");
  expect_bytes(D("\"double\"", "\"NaN\""), "{}", "000000000000f87f");
  expect_bytes(D("\"string\"", "\"ab\""), "{}", "046162");
  expect_bytes(D("\"bytes\"", "\"\\u00ff\""), "{}", "02ff");
  expect_bytes(D(FIXED2, "\"ab\""), "{}", "6162");
  expect_bytes(D(ENUM, "\"B\""), "{}", "02");
  expect_bytes(D(ARR("\"int\""), "[1]"), "{}", "020200");
  expect_bytes(D(MAP("\"int\""), "{\"a\":1}"), "{}", "0202610200");
  expect_bytes(D("[\"null\",\"string\"]", "null"), "{}", "00");
  expect_bytes(D("[\"null\",\"string\"]", "\"a\""), "{}", "020261"); /* any branch, as Avro 1.12 */
  expect_bytes(D("[\"bytes\",\"string\"]", "\"a\""), "{}", "000261"); /* a default needs no wrapper */
  expect_bytes(D("{\"type\":\"record\",\"name\":\"S\",\"fields\":[{\"name\":\"x\",\"type\":\"int\"},{\"name\":\"y\",\"type\":\"int\",\"default\":3}]}", "{\"x\":1}"), "{}", "0206");
}

TEST(what_does_not_fit_is_refused_by_the_place_in_the_schema_and_never_shown) /* AB-3 S22 */
{
  const struct {
    const char *schema, *json, *where, *msg;
  } cases[] = {
    { F("\"int\""), "{\"f\":SECRET}", "", "not valid JSON" },
    { F("\"int\""), "{\"f\":\"SECRET\"}", "n.R.f", "another kind than \"int\"" },
    { F("\"int\""), "{\"f\":1.0}", "n.R.f", "fraction or exponent" },
    { F("\"int\""), "{\"f\":1e2}", "n.R.f", "fraction or exponent" },
    { F("\"int\""), "{\"f\":2147483648}", "n.R.f", "out of range" },
    { F("\"long\""), "{\"f\":9223372036854775808}", "n.R.f", "out of range" },
    { F("\"float\""), "{\"f\":1e39}", "n.R.f", "out of range" },
    { F("\"double\""), "{\"f\":1e999}", "n.R.f", "out of range" },
    { F("\"double\""), "{\"f\":\"SECRET\"}", "n.R.f", "another kind" },
    { F("\"string\""), "{\"f\":null}", "n.R.f", "another kind" },
    { F("\"bytes\""), "{\"f\":\"SECRET\xC4\x80\"}", "n.R.f", "beyond U+00FF" },
    { F(FIXED2), "{\"f\":\"SECRET\"}", "n.R.f", "another length" },
    { F(ENUM), "{\"f\":\"SECRET\"}", "n.R.f", "no symbol of \"n.E\"" },
    { F(REC), "{\"f\":{\"x\":1,\"SECRET\":2}}", "n.I", "member 2 is no field of \"n.I\"" },
    { F(REC), "{\"f\":{}}", "n.I.x", "missing and has no default" },
    { F("\"string\""), "{\"f\":\"SECRET\",\"f\":\"SECRET\"}", "n.R.f", "given twice" },
    { F(MAP("\"int\"")), "{\"f\":{\"SECRET\":1,\"SECRET\":2}}", "n.R.f", "key given twice" },
    { F("[\"null\",\"bytes\"]"), "{\"f\":\"SECRET\"}", "n.R.f", "fits no branch" },
    { F("[\"null\",\"int\"]"), "{\"f\":{\"int\":\"SECRET\"}}", "n.R.f", "another kind than \"int\"" },
    { F("[" MAP("\"string\"") ",\"int\"]"), "{\"f\":{\"int\":\"SECRET\"}}", "n.R.f", "another kind than \"int\"" }, /* no map: a wrapper */
    { F("[\"null\"," REC "]"), "{\"f\":{\"x\":\"SECRET\"}}", "n.I.x", "another kind than \"int\"" },
    { F("[\"null\",\"int\"]"), "{\"f\":{\"SECRET\":1}}", "n.R.f", "fits no branch" },
    { "\"string\"", "1", "", "another kind" },
    { "\"bytes\"", "\"SECRET\xC4\x80\"", "", "U+00FF" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle_error    err = CSFLE_ERROR_INIT;
    csfle_buf      out;
    csfle__schema *s = schema(cases[i].schema);
    csfle_buf_init(&out, 0, 0);
    csfle_status rc = csfle__value_from_json(s, csfle__str(cases[i].json), &out, &err);
    if (rc != CSFLE_E_DATUM || err.code != CSFLE_E_DATUM || strcmp(err.where, cases[i].where) != 0 || !strstr(err.msg, cases[i].msg))
      fail_msg("%s: %d \"%s\" in \"%s\"", cases[i].json, rc, err.msg, err.where);
    assert_null(strstr(err.msg, "SECRET"));
    assert_int_equal(out.len, 0);
    csfle_buf_free(&out), csfle__schema_free(s);
  }
}

TEST(encoded_values_that_do_not_fit_have_no_text)
{
  const struct {
    const char *schema, *hex, *msg;
    uint64_t    offset;
  } cases[] = {
    { F("\"string\""), "02ff", "not valid UTF-8", 2 },       { F("\"string\""), "04ff", "larger than the bytes left", 1 },
    { F("\"boolean\""), "02", "neither 0 nor 1", 0 },        { F("[\"null\"]"), "02", "out of range", 0 },
    { F(ENUM), "04", "out of range", 0 },                    { F("\"int\""), "8080808010", "out of range", 0 },
    { F(ARR("\"null\"")), "82897a00", "1000000", 3 },        { F(ARR("\"int\"")), "0104" "02" "00", "block whose size", 3 },
    { F(MAP("\"int\"")), "fe01", "more items", 2 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint8_t        data[64];
    csfle_error    err = CSFLE_ERROR_INIT;
    csfle_buf      out;
    csfle__schema *s = schema(cases[i].schema);
    csfle_buf_init(&out, 0, 0);
    csfle_status rc = csfle__value_to_json(s, csfle_test_unhex(csfle__str(cases[i].hex), data, sizeof data), 0, &out, NULL, &err);
    if (rc != CSFLE_E_DATUM || !strstr(err.msg, cases[i].msg) || err.offset != cases[i].offset || strcmp(err.where, "n.R.f") != 0)
      fail_msg("%s: %d \"%s\" at %d in \"%s\"", cases[i].hex, rc, err.msg, (int)err.offset, err.where);
    assert_int_equal(out.len, 0);
    csfle_buf_free(&out), csfle__schema_free(s);
  }
}

/* What stored schemas may hold (3.2): an alias of a dot alone, which was taken for a want of memory. */
TEST(an_alias_of_a_dot_alone_is_an_alias)
{
  static const char text[] = "{\"type\":\"record\",\"name\":\"n.R\",\"aliases\":[\".\",\"x\"],\"fields\":[]}";
  csfle__schema    *s = NULL;
  csfle_error       e = CSFLE_ERROR_INIT;
  csfle_buf         b;
  csfle_buf_init(&b, 0, 0);
  assert_ok(csfle__schema_parse(&s, CSFLE__NONE, csfle__str(text), NULL, 0, 0, err));
  assert_ok(csfle__schema_format(s)->canonical(s, &b, err));
  assert_bytes_equal(csfle__buf_view(&b), BYTES("{\"type\":\"record\",\"name\":\"R\",\"namespace\":\"n\",\"fields\":[],\"aliases\":[\"\",\"x\"]}"));
  csfle__schema_free(s);
  csfle_buf_free(&b);
  assert_int_equal(csfle__schema_parse(&s, CSFLE__NONE, csfle__str(text), NULL, 0, CSFLE__SCHEMA_NEW, &e), CSFLE_E_SCHEMA);
}
