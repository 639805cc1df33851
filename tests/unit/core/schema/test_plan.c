/* Plans over Avro: every type, every legal form of a block, every refusal with its offset, which leaves are taken. */
#include "tests/support/test.h"

#include "core/schema/plan.h"
#include "core/schema/text.h"

#include <stdio.h>
#include <stdlib.h>

static csfle__schema *schema(const char *text)
{
  csfle__schema *s = NULL;
  assert_ok(csfle__schema_parse(&s, CSFLE__NONE, csfle__str(text), NULL, 0, CSFLE__SCHEMA_NEW, err));
  return s;
}

#define PII_RULE                                                                   \
  static const csfle__bytes         pii[] = { { (const uint8_t *)"PII", 3 } };     \
  static const csfle__selection_rule rules[] = { { pii, 1 } };                     \
  const csfle__selection             sel = { .rules = rules, .rule_count = 1 }

static csfle__plan *plan(const csfle__schema *s, const csfle__selection *sel)
{
  csfle__plan *p = NULL;
  assert_ok(csfle__plan_compile(&p, s, sel, err));
  return p;
}

/* a record R of one tagged field f of a type, and hex data: the leaves found, or the error */
typedef struct one_field {
  const char *type, *hex;
  const char *spans; /* "head:off+len ..." */
  const char *msg;   /* or the error */
  uint64_t    offset;
} one_field;

static void check_one(const one_field *c)
{
  char            text[2048], got[512] = "";
  uint8_t         data[256];
  csfle__walk     w = CSFLE__WALK_INIT;
  csfle_error     err = CSFLE_ERROR_INIT;
  size_t          n = 0;
  PII_RULE;
  snprintf(text, sizeof text, "{\"type\":\"record\",\"name\":\"n.R\",\"fields\":[{\"name\":\"f\",\"type\":%s,\"confluent:tags\":[\"PII\"]}]}", c->type);
  csfle__schema *s = schema(text);
  csfle__plan   *p = plan(s, &sel);
  csfle__bytes   in = csfle_test_unhex(csfle__str(c->hex), data, sizeof data);
  uint8_t       *exact = malloc(in.len ? in.len : 1); /* so that a sanitizer sees a byte too far */
  memcpy(exact, data, in.len);
  csfle_status rc = csfle__plan_walk(p, csfle__view(exact, in.len), &w, &err);
  if (c->msg) {
    if (rc != CSFLE_E_DATUM || !strstr(err.msg, c->msg) || err.offset != c->offset || strcmp(err.where, "n.R.f") != 0)
      fail_msg("%s %s: %d \"%s\" at %llu in \"%s\"", c->type, c->hex, rc, err.msg, (unsigned long long)err.offset, err.where);
  } else {
    if (rc != CSFLE_OK) fail_msg("%s %s: %s %s", c->type, c->hex, err.where, err.msg);
    for (size_t i = 0; i < w.count; i++) {
      n += (size_t)snprintf(got + n, sizeof got - n, "%s%s%zu:%zu+%zu", n ? " " : "", w.spans[i].kind ? "b" : "", w.spans[i].head,
                            w.spans[i].off, w.spans[i].len);
      if (!w.spans[i].kind) assert_true(csfle__eq_str(p->leaves[w.spans[i].leaf].name, "n.R.f"));
    }
    assert_string_equal(got, c->spans);
    assert_int_equal(w.consumed, in.len);
  }
  csfle__walk_free(&w);
  csfle__plan_free(p), csfle__schema_free(s), free(exact);
}

TEST(every_type_and_every_form_of_its_encoding_is_walked) /* SERDE-116 .. SERDE-122, AB-3 */
{
  const one_field cases[] = {
    { "\"null\"", "", "", NULL, 0 },
    { "\"boolean\"", "01", "0:0+1", NULL, 0 },
    { "\"boolean\"", "02", NULL, "neither 0 nor 1", 0 },
    { "\"boolean\"", "", NULL, "missing", 0 },
    { "\"int\"", "ffffffff0f", "0:0+5", NULL, 0 },
    { "\"int\"", "8080808010", NULL, "out of range", 0 },
    { "\"int\"", "808080808000", NULL, "out of range", 0 },
    { "\"int\"", "80", NULL, "does not end", 0 },
    { "\"int\"", "8000", "0:0+2", NULL, 0 }, /* over-long */
    { "\"long\"", "ffffffffffffffffff01", "0:0+10", NULL, 0 },
    { "\"long\"", "ffffffffffffffffff02", NULL, "does not end", 0 },
    { "\"long\"", "ffffffffffffffffffff01", NULL, "does not end", 0 },
    { "\"float\"", "00000000", "0:0+4", NULL, 0 },
    { "\"float\"", "000000", NULL, "larger than the bytes left", 0 },
    { "\"double\"", "0000000000000000", "0:0+8", NULL, 0 },
    { "\"string\"", "06616263", "0:1+3", NULL, 0 },
    { "\"string\"", "8600616263", "0:2+3", NULL, 0 },
    { "\"string\"", "00", "0:1+0", NULL, 0 },
    { "\"string\"", "08616263", NULL, "larger than the bytes left", 0 },
    { "\"string\"", "01", NULL, "larger than the bytes left", 0 },
    { "\"string\"", "feffffffffffffffff01", NULL, "larger than the bytes left", 0 },
    { "\"bytes\"", "04ff00", "0:1+2", NULL, 0 },
    { "{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}", "010203", "0:0+3", NULL, 0 },
    { "{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}", "0102", NULL, "larger than the bytes left", 0 },
    { "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}", "02", "0:0+1", NULL, 0 },
    { "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}", "04", NULL, "enum index out of range", 0 },
    { "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}", "01", NULL, "enum index out of range", 0 },
    { "[\"null\",\"string\"]", "00", "", NULL, 0 },
    { "[\"null\",\"string\"]", "020261", "1:2+1", NULL, 0 },
    { "[\"null\",\"string\"]", "04", NULL, "union index out of range", 0 },
    { "[\"null\",\"string\"]", "01", NULL, "union index out of range", 0 },
    { "[\"null\",\"string\"]", "8200", NULL, "does not end", 2 },
    { "[\"float\",\"null\",\"double\"]", "0000000000", "1:1+4", NULL, 0 },
    { "[\"float\",\"null\",\"double\"]", "02", "", NULL, 0 },
    { "[]", "00", NULL, "union index out of range", 0 },
    { "{\"type\":\"array\",\"items\":\"string\"}", "00", "", NULL, 0 },
    { "{\"type\":\"array\",\"items\":\"string\"}", "0402610262" "02" "0263" "00", "1:2+1 3:4+1 6:7+1", NULL, 0 },
    { "{\"type\":\"array\",\"items\":\"string\"}", "0308" "02610262" "00", "b0:2+0 2:3+1 4:5+1", NULL, 0 },
    { "{\"type\":\"array\",\"items\":\"string\"}", "0306" "02610262" "00", NULL, "block whose size", 6 },
    { "{\"type\":\"array\",\"items\":\"string\"}", "030a" "0261026200" "00", NULL, "block whose size", 6 },
    { "{\"type\":\"array\",\"items\":\"string\"}", "03", NULL, "does not end", 0 },
    { "{\"type\":\"array\",\"items\":\"string\"}", "0301", NULL, "larger than the bytes left", 0 },
    { "{\"type\":\"array\",\"items\":\"string\"}", "ffffffffffffffffff0100", NULL, "out of range", 0 },
    { "{\"type\":\"array\",\"items\":\"string\"}", "feffffffffffffffff01", NULL, "more items than bytes left", 10 },
    { "{\"type\":\"array\",\"items\":\"string\"}", "04026102", NULL, "larger than the bytes left", 3 },
    { "{\"type\":\"array\",\"items\":\"string\"}", "020261", NULL, "does not end", 3 },
    { "{\"type\":\"array\",\"items\":[\"null\",\"string\"]}", "0102" "00" "00", "", NULL, 0 }, /* nothing selected behind the header */
    { "{\"type\":\"array\",\"items\":\"null\"}", "80897a00", "", NULL, 0 },
    { "{\"type\":\"array\",\"items\":\"null\"}", "82897a00", NULL, "1000000 items", 3 },
    { "{\"type\":\"array\",\"items\":\"null\"}", "80808080808080802000", NULL, "1000000 items", 9 },
    { "{\"type\":\"array\",\"items\":{\"type\":\"fixed\",\"name\":\"Z\",\"size\":0}}", "010000", "", NULL, 0 },
    { "{\"type\":\"map\",\"values\":\"bytes\"}", "02" "026b" "04ff00" "00", "3:4+2", NULL, 0 },
    { "{\"type\":\"map\",\"values\":\"bytes\"}", "010a" "026b" "04ff00" "00", "b0:2+0 4:5+2", NULL, 0 },
    { "{\"type\":\"map\",\"values\":\"null\"}", "04" "026b" "026c" "00", "", NULL, 0 },
    { "{\"type\":\"map\",\"values\":\"bytes\"}", "02046b", NULL, "map key longer", 1 },
    { "{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":\"string\"}}", "010a" "0104" "0261" "00" "00", "b0:2+0 b2:4+0 4:5+1", NULL, 0 },
    { "[\"null\",{\"type\":\"array\",\"items\":[\"int\",\"string\"]}]", "02" "04" "0002" "020261" "00", "3:3+1 5:6+1", NULL, 0 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    check_one(&cases[i]);
  }
}

TEST(top_level_bytes_are_checked_like_any_value) /* SERDE-18: their length is left out by the serde, not here */
{
  csfle__schema *s = schema("\"bytes\"");
  csfle__plan   *p = plan(s, NULL);
  csfle__walk    w = CSFLE__WALK_INIT;
  assert_int_equal(csfle__plan_walk(p, BYTES("\x04" "ab"), &w, NULL), CSFLE_OK);
  assert_int_equal(w.consumed, 3);
  assert_int_equal(csfle__plan_walk(p, BYTES("\x02" "ab"), &w, NULL), CSFLE_OK);
  assert_int_equal(w.consumed, 2); /* the serde refuses what is behind */
  assert_int_equal(csfle__plan_walk(p, BYTES("\x06" "ab"), &w, NULL), CSFLE_E_DATUM);
  assert_int_equal(csfle__plan_walk(p, BYTES(""), &w, NULL), CSFLE_E_DATUM);
  csfle__walk_free(&w);
  csfle__plan_free(p);
  csfle__schema_free(s);
}

/* ---- what is selected --------------------------------------------------------------------------------------------- */

static const char customer[] =
  "{\"type\":\"record\",\"name\":\"Order\",\"namespace\":\"com.acme\",\"fields\":["
  "{\"name\":\"id\",\"type\":\"string\"},"
  "{\"name\":\"customer\",\"type\":{\"type\":\"record\",\"name\":\"Customer\",\"fields\":["
  "  {\"name\":\"ssn\",\"type\":[\"null\",\"string\",\"int\"],\"confluent:tags\":[\"PII\"]},"
  "  {\"name\":\"note\",\"type\":\"bytes\"}]}},"
  "{\"name\":\"other\",\"type\":[\"null\",\"Customer\"]},"
  "{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":\"string\"}}]}";

static const csfle__leaf *find_leaf(const csfle__plan *p, const char *name, csfle__leaf_type type)
{
  for (size_t i = 0; i < p->leaf_count; i++) {
    if (csfle__eq_str(p->leaves[i].name, name) && p->leaves[i].type == type) return &p->leaves[i];
  }
  return NULL;
}

TEST(leaves_have_the_name_of_the_record_that_holds_the_field) /* SERDE-103 SERDE-115 SERDE-117 SERDE-120 */
{
  const csfle__bytes          pii[] = { BYTES("PII") }, ext[] = { BYTES("EXT"), BYTES("PII") };
  const csfle__selection_rule rules[] = { { pii, 1 }, { &ext[0], 1 } };
  const csfle__tag_pattern    patterns[] = { { BYTES("com.acme.*.m"), ext, 1 }, { BYTES("**.note"), ext, 2 } };
  const csfle__selection      sel = { rules, 2, patterns, 2, NULL, 0 };
  csfle__schema              *s = schema(customer);
  csfle__plan                *p = plan(s, &sel);
  assert_int_equal(p->problem_count, 0);
  assert_int_equal(p->leaf_count, 4);
  assert_int_equal(find_leaf(p, "com.acme.Customer.ssn", CSFLE__LEAF_STRING)->rules, 1);
  assert_int_equal(find_leaf(p, "com.acme.Customer.ssn", CSFLE__LEAF_INT)->rules, 1);
  assert_int_equal(find_leaf(p, "com.acme.Customer.note", CSFLE__LEAF_BYTES)->rules, 3);
  assert_int_equal(find_leaf(p, "com.acme.Order.m", CSFLE__LEAF_STRING)->rules, 2);
  csfle__plan_free(p), csfle__schema_free(s);
}

TEST(a_rule_without_tags_takes_every_leaf) /* SERDE-101 SERDE-102 */
{
  const csfle__selection_rule rules[] = { { NULL, 0 } };
  const csfle__selection      sel = { .rules = rules, .rule_count = 1 };
  csfle__schema              *s = schema(customer);
  csfle__plan                *p = plan(s, &sel);
  csfle__walk                 w = CSFLE__WALK_INIT;
  assert_int_equal(p->leaf_count, 5);
  /* id "a"; customer: ssn 7, note 01; other: ssn null, note ""; m: k -> v */
  const uint8_t in[] = { 2, 'a', 4, 14, 2, 1, 2, 0, 0, 2, 2, 'k', 2, 'v', 0 };
  assert_ok(csfle__plan_walk(p, csfle__view(in, sizeof in), &w, err));
  assert_int_equal(w.count, 5);
  assert_int_equal(w.consumed, sizeof in);
  csfle__walk_free(&w), csfle__plan_free(p), csfle__schema_free(s);
}

TEST(required_tags_make_leaves_without_a_rule)
{
  const csfle__bytes     pii[] = { BYTES("PII") };
  const csfle__selection sel = { .required = pii, .required_count = 1 };
  csfle__schema         *s = schema(customer);
  csfle__plan           *p = plan(s, &sel);
  assert_int_equal(p->leaf_count, 2);
  assert_true(p->leaves[0].required && p->leaves[0].rules == 0);
  csfle__plan_free(p), csfle__schema_free(s);
}

static void expect_problems(const char *text, const char *want)
{
  char got[1024] = "";
  size_t n = 0;
  PII_RULE;
  csfle__schema *s = schema(text);
  csfle__plan   *p = plan(s, &sel);
  for (size_t i = 0; i < p->problem_count; i++)
    n += (size_t)snprintf(got + n, sizeof got - n, "%s%d %.*s %.*s", i ? ", " : "", p->problems[i].kind,
                          CSFLE__FMT(p->problems[i].path), CSFLE__FMT(p->problems[i].tag));
  assert_string_equal(got, want);
  csfle__plan_free(p), csfle__schema_free(s);
}

TEST(tags_that_can_have_no_effect_are_listed_with_their_place) /* S19 S20 S24 AB-4 SERDE-114 */
{
#define TAG "\"confluent:tags\":[\"PII\",\"OTHER\"]"
#define REC(fields) "{\"type\":\"record\",\"name\":\"R\",\"fields\":[" fields "]}"
#define OK_FIELD "{\"name\":\"ok\",\"type\":\"string\"," TAG "}"
  expect_problems(REC(OK_FIELD), "");
  expect_problems("{\"type\":\"record\",\"name\":\"R\"," TAG ",\"fields\":[" OK_FIELD "]}", "0 R PII");
  expect_problems(REC(OK_FIELD ",{\"name\":\"a\",\"type\":{\"type\":\"string\"," TAG "}}"), "0 R.a PII");
  expect_problems(REC(OK_FIELD ",{\"name\":\"a\"," TAG ",\"type\":{\"type\":\"string\"," TAG "}}"), "");
  expect_problems(REC(OK_FIELD ",{\"name\":\"a\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"]," TAG "}}"), "0 E PII");
  expect_problems(REC(OK_FIELD ",{\"name\":\"a\",\"type\":{\"type\":\"fixed\",\"name\":\"F\",\"size\":2," TAG "}}"), "0 F PII");
  expect_problems(REC(OK_FIELD ",{\"name\":\"a\",\"type\":{\"type\":\"map\",\"values\":\"string\"," TAG "}}"), "0 R.a PII");
  expect_problems(REC(OK_FIELD ",{\"name\":\"a\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"string\"," TAG "}}}"), "0 R.a PII");
  /* containers */
  expect_problems(REC("{\"name\":\"r\"," TAG ",\"type\":{\"type\":\"record\",\"name\":\"I\",\"fields\":[{\"name\":\"x\",\"type\":\"string\"}]}}"),
                  "1 R.r PII, 3  ");
  expect_problems(REC("{\"name\":\"r\"," TAG ",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"I\",\"fields\":["
                      "{\"name\":\"x\",\"type\":[\"null\",\"string\"]}]}}}"), "1 R.r PII, 3  ");
  expect_problems(REC("{\"name\":\"r\"," TAG ",\"type\":{\"type\":\"record\",\"name\":\"I\",\"fields\":[{\"name\":\"x\",\"type\":\"string\"," TAG "}]}}"), "");
  expect_problems(REC("{\"name\":\"r\"," TAG ",\"type\":{\"type\":\"record\",\"name\":\"I\",\"fields\":[{\"name\":\"x\",\"type\":\"string\"," TAG "},"
                      "{\"name\":\"y\",\"type\":\"string\"}]}}"), "1 R.r PII");
  /* no fields */
  /* a record without bytes is a container too, in an array as elsewhere */
  expect_problems(REC(OK_FIELD ",{\"name\":\"r\"," TAG ",\"type\":{\"type\":\"record\",\"name\":\"I\",\"fields\":[]}}"), "1 R.r PII");
  expect_problems(REC(OK_FIELD ",{\"name\":\"r\"," TAG ",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"I\",\"fields\":[]}}}"), "1 R.r PII");
  expect_problems(REC(OK_FIELD ",{\"name\":\"r\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"I\",\"fields\":[]," TAG "}}}"), "0 I PII");
  expect_problems("\"string\"", "2 STRING , 3  ");
  expect_problems("\"bytes\"", "2 BYTES , 3  ");
  expect_problems("{\"type\":\"array\",\"items\":" REC(OK_FIELD) "}", "");
  /* tags of other purposes may stand anywhere */
  expect_problems(REC(OK_FIELD ",{\"name\":\"a\",\"type\":{\"type\":\"string\",\"confluent:tags\":[\"X\"]}}"), "");
}

TEST(what_cannot_be_selected_is_refused)
{
  const csfle__bytes          pii[] = { BYTES("PII") };
  csfle__selection_rule       rules[65];
  const csfle__tag_pattern    pattern[] = { { BYTES("a[b"), pii, 1 } };
  csfle__selection            sel = { .rules = rules, .rule_count = 65 };
  csfle_error                 err;
  csfle__plan                *p;
  for (size_t i = 0; i < 65; i++) rules[i] = (csfle__selection_rule){ pii, 1 };
  csfle__schema *s = schema(customer), *odd = schema(REC("{\"name\":\"a\",\"type\":\"string\",\"confluent:tags\":\"PII\"}"));
  assert_int_equal(csfle__plan_compile(&p, s, &sel, &err), CSFLE_E_RULE);
  sel.rule_count = 1, sel.patterns = pattern, sel.pattern_count = 1;
  assert_int_equal(csfle__plan_compile(&p, s, &sel, &err), CSFLE_E_RULE);
  assert_non_null(strstr(err.msg, "a[b"));
  sel.pattern_count = 0;
  assert_int_equal(csfle__plan_compile(&p, odd, &sel, &err), CSFLE_E_SCHEMA);
  assert_string_equal(err.where, "R.a");
  csfle__schema_free(s), csfle__schema_free(odd);
}

/* ---- splice ------------------------------------------------------------------------------------------------------- */

static void splice_case(const char *type, const char *hex, const char *value, const char *want)
{
  char             text[1024];
  uint8_t          data[128], expected[128];
  csfle__walk      w = CSFLE__WALK_INIT;
  csfle__replacement r[8];
  csfle_buf        out;
  PII_RULE;
  snprintf(text, sizeof text, REC("{\"name\":\"f\",\"type\":%s," TAG "}"), type);
  csfle__schema *s = schema(text);
  csfle__plan   *p = plan(s, &sel);
  csfle__bytes   in = csfle_test_unhex(csfle__str(hex), data, sizeof data);
  csfle_buf_init(&out, 0, CSFLE_BUF_WIPE);
  assert_ok(csfle__plan_walk(p, in, &w, err));
  for (size_t i = 0; i < w.count; i++) r[i] = (csfle__replacement){ csfle__str(value), value == NULL };
  assert_ok(csfle__plan_splice(p, in, &w, r, &out, err));
  assert_bytes_equal(csfle__buf_view(&out), csfle_test_unhex(csfle__str(want), expected, sizeof expected));
  csfle_buf_free(&out), csfle__walk_free(&w), csfle__plan_free(p), csfle__schema_free(s);
}

TEST(splice_writes_lengths_and_plain_block_headers) /* SERDE-116 SERDE-117 SERDE-118 AB-3 */
{
  splice_case("\"string\"", "0261", "xyz", "0678797a");
  splice_case("\"string\"", "820061", "", "00");
  splice_case("\"string\"", "820061", NULL, "820061");
  splice_case("[\"null\",\"string\"]", "00", "x", "00");
  splice_case("[\"null\",\"bytes\"]", "020261", "xyz", "020678797a");
  splice_case("{\"type\":\"array\",\"items\":\"string\"}", "0308" "02610262" "00", "xyz", "04" "0678797a0678797a" "00");
  splice_case("{\"type\":\"array\",\"items\":\"string\"}", "0308" "02610262" "00", NULL, "030802610262" "00");
  splice_case("{\"type\":\"map\",\"values\":\"string\"}", "0108" "026b" "0262" "00", "xyz", "02026b0678797a00");
  splice_case("{\"type\":\"fixed\",\"name\":\"F\",\"size\":2}", "6162", "xy", "7879");
}

TEST(splice_refuses_what_has_another_size_or_no_room)
{
  csfle__walk    w = CSFLE__WALK_INIT;
  csfle_error    err;
  csfle_buf      out;
  uint8_t        small[3];
  PII_RULE;
  csfle__schema *s = schema(REC("{\"name\":\"f\",\"type\":[\"int\",\"string\"]," TAG "}"));
  csfle__plan   *p = plan(s, &sel);
  csfle__replacement r[] = { { BYTES("xyz"), false } };
  csfle_buf_init(&out, 0, 0);
  assert_int_equal(csfle__plan_walk(p, BYTES("\0\2"), &w, &err), CSFLE_OK);
  assert_int_equal(csfle__plan_splice(p, BYTES("\0\2"), &w, r, &out, &err), CSFLE_E_TYPE);
  assert_string_equal(err.where, "R.f");
  assert_non_null(strstr(err.msg, "INT"));
  csfle_buf fixed = { small, 0, sizeof small, sizeof small, NULL, NULL, 0 };
  assert_int_equal(csfle__plan_walk(p, BYTES("\2\2a"), &w, &err), CSFLE_OK);
  assert_int_equal(csfle__plan_splice(p, BYTES("\2\2a"), &w, r, &fixed, &err), CSFLE_E_SPACE);
  assert_int_equal(fixed.len, 0);
  csfle_buf_free(&out), csfle__walk_free(&w), csfle__plan_free(p), csfle__schema_free(s);
}
