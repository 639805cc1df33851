/* Values of one schema in the layout of another: every promotion, default, alias, union and enum; malformed input; limits. */
#include "tests/support/test.h"

#include "core/schema/resolve.h"
#include "core/schema/text.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REC(fields) "{\"type\":\"record\",\"name\":\"n.R\",\"fields\":[" fields "]}"
#define F(name, type) "{\"name\":\"" name "\",\"type\":" type "}"
#define DEF(name, type, def) "{\"name\":\"" name "\",\"type\":" type ",\"default\":" def "}"
#define ENUM(symbols) "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[" symbols "]}"
#define ENUM_DEF(symbols, def) "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[" symbols "],\"default\":\"" def "\"}"
#define FIX(name, size) "{\"type\":\"fixed\",\"name\":\"" name "\",\"size\":" size "}"
#define ARRAY(item) "{\"type\":\"array\",\"items\":" item "}"
#define MAP(item) "{\"type\":\"map\",\"values\":" item "}"
#define SUB(name, type) "{\"type\":\"record\",\"name\":\"" name "\",\"fields\":[" F("v", type) "]}"

static csfle__schema *schema(const char *text)
{
  csfle__schema *s;
  assert_ok(csfle__schema_parse(&s, CSFLE__NONE, csfle__str(text), NULL, 0, 0, err));
  return s;
}

typedef struct resolved {
  const char *writer, *reader, *in, *out; /* JSON of both; out NULL: a record error, "!text": no value can be resolved, and why */
} resolved;

static const resolved cases[] = {
  /* promotions */
  { "\"int\"", "\"long\"", "-7", "-7" },
  { "\"int\"", "\"float\"", "-7", "-7.0" },
  { "\"int\"", "\"double\"", "2147483647", "2.147483647E9" },
  { "\"long\"", "\"float\"", "16777217", "1.6777216E7" },
  { "\"long\"", "\"double\"", "-9007199254740993", "-9.007199254740992E15" },
  { "\"float\"", "\"double\"", "1.5", "1.5" },
  { "\"float\"", "\"double\"", "\"NaN\"", "\"NaN\"" },
  { "\"string\"", "\"bytes\"", "\"ab\"", NULL }, /* top-level bytes: see below */
  { REC(F("a", "\"string\"")), REC(F("a", "\"bytes\"")), "{\"a\":\"ab\"}", "{\"a\":\"ab\"}" },
  { REC(F("a", "\"bytes\"")), REC(F("a", "\"string\"")), "{\"a\":\"ab\"}", "{\"a\":\"ab\"}" },
  { "\"long\"", "\"int\"", "1", "!long in the writer's schema, int in the reader's" },
  { "\"double\"", "\"float\"", "1", "!double" },
  { "\"float\"", "\"long\"", "1", "!float" },
  { "\"boolean\"", "\"int\"", "true", "!boolean" },
  { "\"int\"", "\"string\"", "1", "!int" },
  { "\"null\"", "\"null\"", "null", "null" },
  { "\"double\"", "\"double\"", "0.1", "0.1" },
  /* fields: order, names, aliases */
  { REC(F("a", "\"int\"") "," F("b", "\"string\"")), REC(F("b", "\"string\"") "," F("a", "\"int\"")), "{\"a\":1,\"b\":\"x\"}", "{\"b\":\"x\",\"a\":1}" },
  { REC(F("a", "\"int\"") "," F("b", "\"string\"") "," F("c", ARRAY("\"int\""))), REC(F("c", ARRAY("\"double\"")) "," F("a", "\"int\"")),
    "{\"a\":1,\"b\":\"x\",\"c\":[1,2]}", "{\"c\":[1.0,2.0],\"a\":1}" },
  { REC(F("a", "\"int\"") "," F("b", "\"string\"")), REC(F("b", "\"string\"")), "{\"a\":1,\"b\":\"x\"}", "{\"b\":\"x\"}" },
  { REC(F("a", "\"int\"")), REC("{\"name\":\"z\",\"type\":\"int\",\"aliases\":[\"q\",\"a\"]}"), "{\"a\":1}", "{\"z\":1}" },
  { REC(F("a", "\"int\"")), REC("{\"name\":\"z\",\"type\":\"int\",\"aliases\":[\"a\"],\"default\":5}," F("a", "\"int\"")), "{\"a\":1}", "{\"z\":5,\"a\":1}" },
  { REC(F("a", "\"int\"") "," F("z", "\"int\"")), REC("{\"name\":\"z\",\"type\":\"int\",\"aliases\":[\"a\"]}"), "{\"a\":1,\"z\":2}", "!\"n.R.z\"" },
  { REC(F("a", "\"int\"")), REC(F("b", "\"int\"")), "{\"a\":1}", "!\"n.R.b\" of the reader's schema has no default" },
  { REC(F("a", "\"int\"")), "{\"type\":\"record\",\"name\":\"m.R\",\"fields\":[" F("a", "\"int\"") "]}", "{\"a\":1}", "{\"a\":1}" },
  { REC(F("a", "\"int\"")), "{\"type\":\"record\",\"name\":\"m.S\",\"fields\":[" F("a", "\"int\"") "]}", "{\"a\":1}", "!\"n.R\" in the writer's schema, \"m.S\"" },
  { REC(F("a", "\"int\"")), "{\"type\":\"record\",\"name\":\"m.S\",\"aliases\":[\"n.R\"],\"fields\":[" F("a", "\"int\"") "]}", "{\"a\":1}", "{\"a\":1}" },
  /* defaults of every type */
  { REC(""), REC(DEF("a", "\"null\"", "null") "," DEF("b", "\"boolean\"", "true") "," DEF("c", "\"int\"", "-1") "," DEF("d", "\"long\"", "9") ","
        DEF("e", "\"float\"", "1.5") "," DEF("f", "\"double\"", "\"NaN\"") "," DEF("g", "\"bytes\"", "\"\\u00ff\"") "," DEF("h", "\"string\"", "\"s\"")),
    "{}", "{\"a\":null,\"b\":true,\"c\":-1,\"d\":9,\"e\":1.5,\"f\":\"NaN\",\"g\":\"\xc3\xbf\",\"h\":\"s\"}" },
  { REC(""), REC(DEF("a", ENUM("\"A\",\"B\""), "\"B\"") "," DEF("b", FIX("X", "2"), "\"ab\"") "," DEF("c", ARRAY("\"int\""), "[1,2]") "," DEF("d", MAP("\"int\""), "{\"k\":1}") ","
        DEF("e", "{\"type\":\"record\",\"name\":\"I\",\"fields\":[" F("x", "\"int\"") "," DEF("y", "\"string\"", "\"q\"") "]}", "{\"x\":3}") "," DEF("f", "[\"null\",\"int\"]", "null")),
    "{}", "{\"a\":\"B\",\"b\":\"ab\",\"c\":[1,2],\"d\":{\"k\":1},\"e\":{\"x\":3,\"y\":\"q\"},\"f\":null}" },
  { REC(""), REC(DEF("a", "\"int\"", "\"x\"")), "{}", "!default of field \"n.R.a\"" },
  { REC(F("b", "\"int\"") "," F("a", "\"int\"")), REC(F("a", "\"int\"") "," DEF("m", "\"string\"", "\"mid\"") "," F("b", "\"int\"")), "{\"b\":2,\"a\":1}", "{\"a\":1,\"m\":\"mid\",\"b\":2}" },
  /* enums and fixed */
  { ENUM("\"A\",\"B\""), ENUM("\"B\",\"C\",\"A\""), "\"A\"", "\"A\"" },
  { ENUM("\"A\",\"B\""), ENUM("\"B\""), "\"A\"", NULL },
  { ENUM("\"A\",\"B\""), ENUM_DEF("\"B\",\"C\"", "C"), "\"A\"", "\"C\"" },
  { ENUM("\"A\""), ENUM("\"B\""), "\"A\"", "!no symbol" },
  { FIX("X", "2"), FIX("X", "2"), "\"ab\"", "\"ab\"" },
  { FIX("X", "2"), FIX("X", "3"), "\"ab\"", "!differ in size" },
  { FIX("X", "2"), FIX("Y", "2"), "\"ab\"", "!\"X\"" },
  /* unions */
  { "[\"null\",\"string\"]", "[\"string\",\"null\"]", "{\"string\":\"x\"}", "{\"string\":\"x\"}" },
  { "\"string\"", "[\"null\",\"string\"]", "\"x\"", "{\"string\":\"x\"}" },
  { "[\"null\",\"string\"]", "\"string\"", "{\"string\":\"x\"}", "\"x\"" },
  { "[\"null\",\"string\"]", "\"string\"", "null", NULL },
  { "[\"null\",\"string\"]", "\"int\"", "null", "!int in the reader's" },
  { "[\"int\",\"string\"]", "[\"double\",\"long\",\"bytes\"]", "{\"int\":3}", "{\"double\":3.0}" },
  { "[\"int\",\"string\"]", "[\"double\",\"int\",\"bytes\"]", "{\"int\":3}", "{\"int\":3}" },
  { "[\"int\",\"string\"]", "[\"double\",\"long\",\"bytes\"]", "{\"string\":\"x\"}", "{\"bytes\":\"x\"}" },
  { "\"int\"", "[\"null\",\"string\"]", "3", "!no branch of the reader's union takes int" },
  { "[" SUB("A", "\"int\"") "," SUB("B", "\"int\"") "]", "[" SUB("B", "\"int\"") "," SUB("A", "\"int\"") "]", "{\"B\":{\"v\":1}}", "{\"B\":{\"v\":1}}" },
  { SUB("x.A", "\"int\""), "[" SUB("y.A", "\"int\"") "," SUB("x.A", "\"int\"") "]", "{\"v\":1}", "{\"x.A\":{\"v\":1}}" },
  { SUB("x.A", "\"int\""), "[" SUB("y.A", "\"int\"") ",{\"type\":\"record\",\"name\":\"B\",\"aliases\":[\"x.A\"],\"fields\":[" F("v", "\"int\"") "]}]", "{\"v\":1}", "{\"B\":{\"v\":1}}" },
  { SUB("x.A", "\"int\""), "[\"null\"," SUB("y.A", "\"long\"") "]", "{\"v\":1}", "{\"y.A\":{\"v\":1}}" },
  { "[\"null\"," SUB("A", "\"int\"") "]", "[\"null\"," SUB("A", "\"string\"") "]", "null", "null" },
  { "[\"null\"," SUB("A", "\"int\"") "]", "[\"null\"," SUB("A", "\"string\"") "]", "{\"A\":{\"v\":1}}", NULL },
  { "[" SUB("A", "\"int\"") "]", "[\"null\"," SUB("A", "\"string\"") "]", "{\"A\":{\"v\":1}}", "!int in the writer's" },
  { ARRAY("[\"null\",\"int\"]"), ARRAY("[\"int\",\"null\"]"), "[null,{\"int\":1}]", "[null,{\"int\":1}]" },
  { MAP(ARRAY("\"int\"")), MAP(ARRAY("\"long\"")), "{\"k\":[1,2],\"l\":[]}", "{\"k\":[1,2],\"l\":[]}" },
  { ARRAY(SUB("A", "\"int\"")), ARRAY(SUB("B", "\"int\"")), "[]", "!\"A\"" },
  /* items without bytes that become some, and the reverse */
  { ARRAY("{\"type\":\"record\",\"name\":\"Z\",\"fields\":[]}"), ARRAY("{\"type\":\"record\",\"name\":\"Z\",\"fields\":[" DEF("a", "\"int\"", "4") "]}"), "[{},{}]", "[{\"a\":4},{\"a\":4}]" },
  { ARRAY("\"null\""), ARRAY("[\"int\",\"null\"]"), "[null,null]", "[null,null]" },
  { ARRAY(SUB("Z", "\"int\"")), ARRAY("{\"type\":\"record\",\"name\":\"Z\",\"fields\":[]}"), "[{\"v\":1},{\"v\":2}]", "[{},{}]" },
  { MAP("\"null\""), MAP("[\"int\",\"null\"]"), "{\"k\":null}", "{\"k\":null}" },
  /* what is skipped */
  { REC(F("a", "[\"null\",\"int\",\"string\"]") "," F("b", ARRAY(MAP("\"bytes\""))) "," F("c", ENUM("\"A\"")) "," F("d", FIX("X", "2")) "," F("e", "[\"null\",\"n.R\"]") ","
        F("f", "\"double\"") "," F("g", "\"float\"") "," F("h", "\"boolean\"") "," F("i", "\"long\"") "," F("k", ARRAY("\"null\"")) "," F("z", "\"string\"")), REC(F("z", "\"string\"")),
    "{\"a\":{\"string\":\"x\"},\"b\":[{\"k\":\"v\"}],\"c\":\"A\",\"d\":\"ab\",\"e\":null,\"f\":1,\"g\":2,\"h\":true,\"i\":-1,\"k\":[null],\"z\":\"last\"}", "{\"z\":\"last\"}" },
  /* recursion, reordered at every level */
  { REC(F("next", "[\"null\",\"n.R\"]") "," F("v", "\"int\"")), REC(F("v", "\"long\"") "," F("next", "[\"n.R\",\"null\"]")),
    "{\"next\":{\"n.R\":{\"next\":{\"n.R\":{\"next\":null,\"v\":3}},\"v\":2}},\"v\":1}", "{\"v\":1,\"next\":{\"n.R\":{\"v\":2,\"next\":{\"n.R\":{\"v\":3,\"next\":null}}}}}" },
};

TEST(every_promotion_default_alias_union_and_enum_is_resolved_as_avro_says) /* SERDE-155 */
{
  csfle__walk w = CSFLE__WALK_INIT;
  csfle_buf   in, out, json;
  csfle_buf_init(&in, 0, 0), csfle_buf_init(&out, 0, CSFLE_BUF_WIPE), csfle_buf_init(&json, 0, 0);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const resolved    *x = &cases[i];
    csfle__schema     *from = schema(x->writer), *to = schema(x->reader);
    csfle__resolution *r = NULL;
    csfle__plan       *p;
    csfle_error        e = CSFLE_ERROR_INIT;
    csfle__buf_clear(&in), csfle__buf_clear(&out), csfle__buf_clear(&json);
    csfle_status st = csfle__resolution_compile(&r, from, to, &e);
    if (x->out && *x->out == '!') {
      if (st != CSFLE_E_SCHEMA_MISMATCH || !strstr(e.msg, x->out + 1)) fail_msg("%zu: %s '%s'", i, csfle_status_name(st), e.msg);
      assert_null(r);
    } else {
      if (st != CSFLE_OK) fail_msg("%zu: %s %s", i, e.where, e.msg);
      assert_ok(csfle__value_from_json(from, csfle__str(x->in), &in, err));
      size_t len = in.len;
      csfle__buf_puts(&in, "tail", NULL);
      st = csfle__resolve(r, csfle__buf_view(&in), &w, &out, &e);
      if (!x->out && strcmp(x->reader, "\"bytes\"") != 0) {
        if (st != CSFLE_E_DATUM || out.len) fail_msg("%zu: %s", i, csfle_status_name(st));
      } else {
        if (st != CSFLE_OK) fail_msg("%zu: %s %s", i, e.where, e.msg);
        assert_int_equal(w.consumed, len);
        assert_ok(csfle__plan_compile(&p, to, NULL, err));
        assert_ok(csfle__plan_walk(p, csfle__buf_view(&out), &w, err));
        assert_int_equal(w.consumed, out.len);
        csfle__plan_free(p);
        if (x->out) {
          assert_ok(csfle__value_to_json(to, csfle__buf_view(&out), 0, &json, NULL, err));
          if (!csfle__eq_str(csfle__buf_view(&json), x->out)) fail_msg("%zu: %.*s", i, CSFLE__FMT(csfle__buf_view(&json)));
        } else assert_bytes_equal(csfle__buf_view(&out), BYTES("\x04" "ab")); /* with its length: a value like any other */
      }
    }
    csfle__resolution_free(r);
    csfle__schema_free(from), csfle__schema_free(to);
  }
  printf("# %zu pairs of schemas\n", sizeof cases / sizeof *cases);
  csfle_buf_free(&in), csfle_buf_free(&out), csfle_buf_free(&json);
  csfle__walk_free(&w);
}

TEST(what_does_not_fit_the_writers_schema_is_refused_with_its_offset_and_field)
{
  static const struct { const char *type; csfle__bytes in; size_t offset; const char *what; } bad[] = {
    { "\"int\"", BYTES("\x80\x80\x80\x80\x80\x01"), 0, "int out of range" },
    { "\"int\"", BYTES("\x80"), 0, "does not end" },
    { "\"long\"", BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), 0, "does not end" },
    { "\"string\"", BYTES("\x06" "ab"), 0, "larger than the bytes left" },
    { "\"string\"", BYTES("\x01" "ab"), 0, "larger" },
    { "\"boolean\"", BYTES("\x02"), 0, "neither" },
    { "\"double\"", BYTES("1234567"), 0, "fixed size" },
    { "\"float\"", BYTES("123"), 0, "fixed size" },
    { ENUM("\"A\",\"B\""), BYTES("\x04"), 0, "enum index" },
    { "[\"null\",\"int\"]", BYTES("\x04"), 0, "union index" },
    { "[\"null\",\"int\"]", BYTES("\x02"), 1, "int that does not end" },
    { ARRAY("\"int\""), BYTES("\x10\x02\x02"), 1, "more items than bytes" },
    { ARRAY("\"int\""), BYTES("\x03\x06\x02\x02\x02\x00"), 4, "block whose size" },
    { ARRAY("\"int\""), BYTES("\x01"), 0, "block size" },
    { ARRAY("\"int\""), BYTES("\x02\x02"), 2, "block count" },
    { ARRAY("\"null\""), BYTES("\xa8\xd6\xb9\x07\x00"), 4, "take no bytes" },
    { MAP("\"int\""), BYTES("\x02\x10k"), 1, "map key" },
  };
  csfle__walk w = CSFLE__WALK_INIT;
  csfle_buf   out;
  csfle_buf_init(&out, 0, 0);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    for (int skip = 0; skip < 2; skip++) {
      char writer[600], reader[600];
      snprintf(writer, sizeof writer, REC("{\"name\":\"f\",\"type\":%s}"), bad[i].type);
      snprintf(reader, sizeof reader, skip ? REC("") "%.0s" : REC("{\"name\":\"f\",\"type\":%s}"), bad[i].type);
      csfle__schema     *from = schema(writer), *to = schema(reader);
      csfle__resolution *r;
      csfle_error        e = CSFLE_ERROR_INIT;
      assert_ok(csfle__resolution_compile(&r, from, to, err));
      csfle_status st = csfle__resolve(r, bad[i].in, &w, &out, &e);
      if (st != CSFLE_E_DATUM || e.offset != bad[i].offset || !strstr(e.msg, bad[i].what)) fail_msg("%zu: %s %s", i, csfle_status_name(st), e.msg);
      assert_string_equal(e.where, "n.R.f");
      assert_int_equal(out.len, 0);
      csfle__resolution_free(r);
      csfle__schema_free(from), csfle__schema_free(to);
    }
  }
  csfle_buf_free(&out);
  csfle__walk_free(&w);
}

/* ---- memory ---------------------------------------------------------------------------------------------------------- */

static csfle_status everything(void)
{
  static const char  writer[] = REC(F("next", "[\"null\",\"n.R\"]") "," F("v", "\"int\"") "," F("e", ENUM("\"A\",\"B\"")) "," F("m", MAP(ARRAY("\"int\""))));
  static const char  reader[] = REC(F("m", MAP(ARRAY("\"double\""))) "," F("e", ENUM("\"B\",\"A\"")) "," DEF("d", "\"string\"", "\"dd\"") "," F("next", "[\"n.R\",\"null\"]"));
  csfle__schema     *from = NULL, *to = NULL;
  csfle__resolution *r = NULL;
  csfle__walk        w = CSFLE__WALK_INIT;
  csfle_buf          out;
  csfle_buf_init(&out, 0, CSFLE_BUF_WIPE);
  csfle_status rc = csfle__schema_parse(&from, CSFLE__NONE, csfle__str(writer), NULL, 0, 0, NULL);
  if (rc == CSFLE_OK) rc = csfle__schema_parse(&to, CSFLE__NONE, csfle__str(reader), NULL, 0, 0, NULL);
  if (rc == CSFLE_OK) rc = csfle__resolution_compile(&r, from, to, NULL);
  if (rc == CSFLE_OK) rc = csfle__resolve(r, BYTES("\x02\x00\x02\x00\x00\x04\x02\x02\x02k\x04\x02\x04\x00\x00"), &w, &out, NULL);
  if (rc == CSFLE_OK) {
    long before = csfle_test_mem.total;
    csfle__buf_clear(&out);
    rc = csfle__resolve(r, BYTES("\x02\x00\x02\x00\x00\x04\x02\x02\x02k\x04\x02\x04\x00\x00"), &w, &out, NULL);
    assert_int_equal(csfle_test_mem.total, before); /* warm */
  }
  csfle_buf_free(&out);
  csfle__walk_free(&w);
  csfle__resolution_free(r);
  csfle__schema_free(from), csfle__schema_free(to);
  return rc;
}

TEST(nothing_leaks_when_an_allocation_fails_and_nothing_is_allocated_when_warm) { TORTURE(everything()); }

/* ---- limits ---------------------------------------------------------------------------------------------------------- */

static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static csfle_status compile(const csfle_buf *writer, const csfle_buf *reader, csfle_error *e, const csfle__bytes *value, csfle_buf *out)
{
  csfle__schema     *from, *to;
  csfle__resolution *r;
  csfle__walk        w = CSFLE__WALK_INIT;
  double             begin = now();
  assert_ok(csfle__schema_parse(&from, CSFLE__NONE, csfle__buf_view(writer), NULL, 0, 0, err));
  assert_ok(csfle__schema_parse(&to, CSFLE__NONE, csfle__buf_view(reader), NULL, 0, 0, err));
  csfle_status rc = csfle__resolution_compile(&r, from, to, e);
  if (rc == CSFLE_OK && value) rc = csfle__resolve(r, *value, &w, out, e);
  csfle__resolution_free(r);
  csfle__schema_free(from), csfle__schema_free(to);
  csfle__walk_free(&w);
  double took = now() - begin;
  printf("# %.3f s\n", took);
  assert_true(took < 20); /* sanitizers and other work included */
  return rc;
}

static void put(csfle_buf *b, const char *text) { assert_ok(csfle__buf_puts(b, text, err)); }

/* one thousand fields backwards; 300 branches against as many in reverse, each a record */
static void wide(csfle_buf *b, int kind, bool reversed)
{
  int n = kind == 0 ? 1000 : 300;
  put(b, kind == 0 ? "{\"type\":\"record\",\"name\":\"R\",\"fields\":[" : "[");
  for (int k = 0; k < n; k++) {
    int i = reversed ? n - 1 - k : k;
    if (k) put(b, ",");
    if (kind == 0) assert_ok(csfle__buf_printf(b, err, "{\"name\":\"f%d\",\"type\":[\"null\",\"long\"]}", i));
    if (kind == 1)
      assert_ok(csfle__buf_printf(b, err, "{\"type\":\"record\",\"name\":\"%s.R%d\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"},{\"name\":\"b\",\"type\":\"int\"}]}",
                                  reversed ? "other" : "one", i));
  }
  put(b, kind == 0 ? "]}" : "]");
}

/* @p n records of one simple name in a ring: two rings of coprime lengths make n * m pairs */
static void ring(csfle_buf *b, int n)
{
  put(b, "{\"type\":\"record\",\"name\":\"Root\",\"fields\":[");
  for (int i = 0; i < n; i++)
    assert_ok(csfle__buf_printf(b, err, "%s{\"name\":\"r%d\",\"default\":null,\"type\":[\"null\",{\"type\":\"record\",\"name\":\"n%d.R\",\"fields\":[{\"name\":\"v\",\"type\":\"int\"},"
                                        "{\"name\":\"n\",\"type\":[\"null\",\"n%d.R\"]}]}]}", i ? "," : "", i, i, (i + 1) % n));
  put(b, "]}");
}

static void *limits(void *unused)
{
  csfle_error  e = CSFLE_ERROR_INIT;
  csfle_buf    a, b, v, out;
  csfle__bytes in;
  for (int kind = 0; kind < 2; kind++) {
    csfle_buf_init(&a, 0, 0), csfle_buf_init(&b, 0, 0), csfle_buf_init(&v, 0, 0), csfle_buf_init(&out, 0, 0);
    wide(&a, kind, false), wide(&b, kind, true);
    for (int i = 0; i < 1000 && kind == 0; i++) csfle__buf_put(&v, "\x02\x02", 2, NULL);
    if (kind == 1) csfle__buf_put(&v, "\xd6\x04\x02\x04", 4, NULL); /* the last branch */
    in = csfle__buf_view(&v);
    if (compile(&a, &b, &e, &in, &out) != CSFLE_OK) fail_msg("%s", e.msg);
    if (kind == 0) assert_bytes_equal(csfle__buf_view(&out), in);
    else assert_bytes_equal(csfle__buf_view(&out), BYTES("\x00\x02\x04"));
    csfle_buf_free(&a), csfle_buf_free(&b), csfle_buf_free(&v), csfle_buf_free(&out);
  }
  csfle_buf_init(&a, 0, 0), csfle_buf_init(&b, 0, 0);
  ring(&a, 230), ring(&b, 231); /* 53,130 pairs */
  assert_int_equal(compile(&a, &b, &e, NULL, NULL), CSFLE_E_SCHEMA_MISMATCH);
  assert_non_null(strstr(e.msg, "50000 pairs of types"));
  csfle_buf_free(&a), csfle_buf_free(&b);
  /* a list that is the other way round at each of 4,096 levels, and one level more */
  for (int levels = 4096; levels < 4098; levels++) {
    csfle_buf_init(&a, 0, 0), csfle_buf_init(&b, 0, 0), csfle_buf_init(&v, 0, 0), csfle_buf_init(&out, 0, 0);
    put(&a, REC(F("next", "[\"null\",\"n.R\"]") "," F("v", "\"int\""))), put(&b, REC(F("v", "\"int\"") "," F("next", "[\"null\",\"n.R\"]")));
    for (int i = 0; i < levels; i++) csfle__buf_putc(&v, 2, NULL);
    csfle__buf_putc(&v, 0, NULL);
    for (int i = 0; i <= levels; i++) csfle__buf_putc(&v, 2, NULL);
    in = csfle__buf_view(&v);
    csfle_status st = compile(&a, &b, &e, &in, &out);
    assert_int_equal(st, levels == 4096 ? CSFLE_OK : CSFLE_E_DATUM);
    if (st != CSFLE_OK) assert_non_null(strstr(e.msg, "deeper than 4096"));
    csfle_buf_free(&a), csfle_buf_free(&b), csfle_buf_free(&v), csfle_buf_free(&out);
  }
  /* few bytes that would become many: a default of 1,000 bytes for each of a million items of none */
  csfle_buf_init(&a, 0, 0), csfle_buf_init(&b, 0, 0), csfle_buf_init(&out, 0, 0);
  put(&a, ARRAY("{\"type\":\"record\",\"name\":\"Z\",\"fields\":[]}"));
  put(&b, "{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"Z\",\"fields\":[{\"name\":\"s\",\"type\":\"string\",\"default\":\"");
  for (int i = 0; i < 1000; i++) put(&b, "x");
  put(&b, "\"}]}}");
  in = BYTES("\x80\x89\x7a\x00");
  assert_int_equal(compile(&a, &b, &e, &in, &out), CSFLE_E_DATUM);
  assert_non_null(strstr(e.msg, "too much work"));
  csfle_buf_free(&a), csfle_buf_free(&b), csfle_buf_free(&out);
  return unused;
}

TEST(time_memory_and_stack_stay_bounded_whatever_the_schemas_say) /* AB-14 */
{
  pthread_t      t;
  pthread_attr_t small;
  assert_int_equal(pthread_attr_init(&small), 0);
  assert_int_equal(pthread_attr_setstacksize(&small, 128 * 1024), 0);
  assert_int_equal(pthread_create(&t, &small, limits, NULL), 0);
  pthread_join(t, NULL);
  pthread_attr_destroy(&small);
}
