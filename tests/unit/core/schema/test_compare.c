/* Equivalence of contents (schema-registry.md 5.7) and of layouts (AB-1), and texts that reach the corners of the parser. */
#include "tests/support/test.h"

#include "core/schema/schema.h"

static csfle__schema *schema(const char *text)
{
  csfle__schema *s = NULL;
  assert_ok(csfle__schema_parse(&s, CSFLE__LIT("AVRO"), csfle__str(text), NULL, 0, 0, err));
  return s;
}

#define R(fields) "{\"type\":\"record\",\"name\":\"n.R\",\"fields\":[" fields "]}"
#define FA "{\"name\":\"a\",\"type\":\"string\"}"
#define FB "{\"name\":\"b\",\"type\":\"int\"}"

TEST(equivalence_and_layout_tell_apart_what_they_should) /* SR 5.7, AB-1 */
{
  const struct {
    const char *a, *b;
    bool        equivalent, layout;
  } cases[] = {
    { R(FA "," FB), R(FA "," FB), true, true },
    { R(FA "," FB), R(FB "," FA), false, false }, /* reordered */
    { R(FA), R(FA "," FB), false, false },        /* inserted */
    { R(FB), R("{\"name\":\"b\",\"type\":\"long\"}"), false, false }, /* promoted */
    { R(FA), R("{\"name\":\"c\",\"type\":\"string\"}"), false, false }, /* other data at the same place */
    { R("{\"name\":\"a\",\"type\":[\"null\",\"string\"]}"), R("{\"name\":\"a\",\"type\":[\"string\",\"null\"]}"), false, false },
    { R(FA), "{\"type\":\"record\",\"name\":\"m.Q\",\"fields\":[" FA "]}", false, true },
    { R(FA), R("{\"name\":\"a\",\"type\":\"string\",\"doc\":\"d\"}"), false, true },
    { R(FA), R("{\"name\":\"a\",\"type\":\"string\",\"default\":\"d\"}"), false, true },
    { R(FA), R("{\"name\":\"a\",\"type\":\"string\",\"aliases\":[\"z\"]}"), false, true },
    { R(FA), R("{\"name\":\"a\",\"type\":\"string\",\"order\":\"ignore\"}"), false, true },
    { R(FA), R("{\"name\":\"a\",\"type\":{\"type\":\"string\",\"x\":1}}"), false, true },
    { R("{\"name\":\"a\",\"type\":\"string\",\"x\":1,\"y\":{\"p\":1,\"q\":2}}"), R("{\"name\":\"a\",\"y\":{\"q\":2,\"p\":1},\"x\":1,\"type\":\"string\"}"), true, true },
    { R("{\"name\":\"a\",\"type\":\"string\",\"x\":[1,2]}"), R("{\"name\":\"a\",\"type\":\"string\",\"x\":[2,1]}"), false, true },
    { R("{\"name\":\"a\",\"type\":\"double\",\"default\":\"1.5\"}"), R("{\"name\":\"a\",\"type\":\"double\",\"default\":1.5}"), true, true },
    { R("{\"name\":\"a\",\"type\":\"double\",\"default\":1}"), R("{\"name\":\"a\",\"type\":\"double\",\"default\":1.0}"), false, true },
    { R("{\"name\":\"a\",\"type\":\"string\",\"aliases\":[\"x\",\"y\"]}"), R("{\"name\":\"a\",\"type\":\"string\",\"aliases\":[\"y\",\"x\"]}"), true, true },
    { "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}", "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"B\",\"A\"]}", false, false },
    { "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"]}", "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"],\"default\":\"A\"}", false, true },
    { "{\"type\":\"fixed\",\"name\":\"F\",\"size\":2}", "{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}", false, false },
    { "{\"type\":\"array\",\"items\":\"int\"}", "{\"type\":\"map\",\"values\":\"int\"}", false, false },
    { "\"int\"", "{\"type\":\"int\"}", true, true },
    { R("{\"name\":\"a\",\"type\":[\"null\",\"R\"]}"), R("{\"name\":\"a\",\"type\":[\"null\",\"n.R\"]}"), true, true },
    /* recursive with periods 1 and 2: the same bytes */
    { R("{\"name\":\"a\",\"type\":[\"null\",\"R\"]}"), R("{\"name\":\"a\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"S\",\"fields\":[{\"name\":\"a\",\"type\":[\"null\",\"R\"]}]}]}"), false, true },
    { "{\"type\":\"error\",\"name\":\"X\",\"fields\":[]}", "{\"type\":\"record\",\"name\":\"X\",\"fields\":[]}", false, true },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle__schema       *a = schema(cases[i].a), *b = schema(cases[i].b);
    const csfle__format *f = csfle__schema_format(a);
    if (f->equivalent(a, b) != cases[i].equivalent || f->equivalent(b, a) != cases[i].equivalent)
      fail_msg("equivalent: %s and %s", cases[i].a, cases[i].b);
    if (f->same_layout(a, b) != cases[i].layout || f->same_layout(b, a) != cases[i].layout)
      fail_msg("layout: %s and %s", cases[i].a, cases[i].b);
    csfle__schema_free(a), csfle__schema_free(b);
  }
}

TEST(a_type_written_out_or_referred_to_is_the_same)
{
  const csfle__reference refs[] = { { BYTES("A"), BYTES("{\"type\":\"record\",\"name\":\"x.A\",\"fields\":[" FA "]}") } };
  csfle__schema         *a = NULL, *b = schema(R("{\"name\":\"f\",\"type\":{\"type\":\"record\",\"name\":\"x.A\",\"fields\":[" FA "]}}"));
  assert_ok(csfle__schema_parse(&a, CSFLE__NONE, BYTES(R("{\"name\":\"f\",\"type\":\"x.A\"}")), refs, 1, 0, err));
  assert_true(csfle__schema_format(a)->equivalent(a, b));
  csfle__schema_free(a), csfle__schema_free(b);
}

TEST(what_is_wrong_with_a_schema_is_said_with_its_place)
{
  const struct {
    const char *text, *where, *msg;
  } cases[] = {
    { R("{\"name\":\"a\",\"type\":\"Nope\"}"), "n.R.a", "undefined name \"n.Nope\"" },
    { R("{\"name\":\"a\",\"type\":\"x.Nope\"}"), "n.R.a", "undefined name \"x.Nope\"" },
    { R("{\"name\":\"a\",\"type\":[\"int\",[\"int\"]]}"), "n.R.a", "a union directly inside a union" },
    { R("{\"name\":\"a\",\"type\":[\"int\",\"int\"]}"), "", "union with \"int\" twice" },
    { R("{\"name\":\"a\",\"type\":5}"), "n.R.a", "not a number" },
    { R("{\"name\":\"a\",\"type\":\"int\",\"order\":\"up\"}"), "", "order of field \"a\"" },
    { R(FA "," FA), "", "record \"n.R\" has two fields \"a\"" },
    { "{\"type\":\"fixed\",\"name\":\"F\",\"size\":2147483640}", "", "expected 0 to 2147483639" },
    { "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[null]}", "", "is no name" },
    { "[\"x\"", "", "not valid JSON" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle_error    err = CSFLE_ERROR_INIT;
    csfle__schema *s = NULL;
    csfle_status   rc = csfle__schema_parse(&s, CSFLE__NONE, csfle__str(cases[i].text), NULL, 0, 0, &err);
    if (rc != CSFLE_E_SCHEMA || s || strcmp(err.where, cases[i].where) != 0 || !strstr(err.msg, cases[i].msg))
      fail_msg("%s: \"%s\" in \"%s\"", cases[i].text, err.msg, err.where);
  }
  csfle_error    err = CSFLE_ERROR_INIT;
  csfle__schema *s = NULL;
  assert_int_equal(csfle__schema_parse(&s, BYTES("THRIFT"), BYTES("x"), NULL, 0, 0, &err), CSFLE_E_SCHEMA);
  assert_string_equal(err.msg, "schema type \"THRIFT\" is not supported by this build");
}

TEST(duplicate_keys_keep_the_first_place_and_the_last_value)
{
  csfle_buf      b;
  csfle__schema *s = schema("{\"type\":\"int\",\"x\":{\"p\":1,\"q\":2,\"p\":3},\"y\":1,\"x\":{\"p\":1,\"q\":2,\"p\":4},\"big\":123456789012345678901234567890,\"e\":1E400}");
  csfle_buf_init(&b, 0, 0);
  assert_ok(csfle__schema_format(s)->canonical(s, &b, err));
  assert_string_equal(csfle__buf_cstr(&b), "{\"type\":\"int\",\"x\":{\"p\":4,\"q\":2},\"y\":1,\"big\":123456789012345678901234567890,\"e\":1E400}");
  csfle_buf_free(&b), csfle__schema_free(s);
}

TEST(a_normalised_text_is_its_own_normalised_text)
{
  csfle_buf      one, two;
  csfle__schema *s = schema(R("{\"name\":\"a\",\"type\":\"double\",\"default\":7,\"z\":1,\"b\":{\"d\":1,\"c\":[{\"f\":1,\"e\":2}]}}")), *t = NULL;
  csfle_buf_init(&one, 0, 0), csfle_buf_init(&two, 0, 0);
  assert_ok(csfle__schema_format(s)->normalized(s, &one, err));
  assert_ok(csfle__schema_parse(&t, CSFLE__NONE, csfle__buf_view(&one), NULL, 0, 0, err));
  assert_ok(csfle__schema_format(t)->normalized(t, &two, err));
  assert_bytes_equal(csfle__buf_view(&one), csfle__buf_view(&two));
  csfle_buf_free(&one), csfle_buf_free(&two), csfle__schema_free(s), csfle__schema_free(t);
}
