/* core/model: schemas with metadata and rule sets read, written, hashed, compared, validated and merged. */
#include "core/model/model.h"
#include "tests/support/test.h"

#include <stdio.h>

static csfle__schema_info *info(const char *text)
{
  yyjson_doc         *doc = NULL;
  csfle__schema_info *s = NULL;
  assert_ok(csfle__json_parse(&doc, csfle__str(text), err));
  assert_ok(csfle__schema_info_parse(&s, yyjson_doc_get_root(doc), err));
  yyjson_doc_free(doc); /* nothing may point into it */
  return s;
}

/* metadata, then rule set of a schema object, as JSON */
static void assert_json(csfle__schema_info *s, const char *metadata, const char *rules)
{
  csfle_buf b;
  csfle_buf_init(&b, 0, 0);
  if (metadata) {
    assert_non_null(s->metadata);
    assert_ok(csfle__metadata_put(&b, s->metadata, err));
    assert_string_equal(csfle__buf_cstr(&b), metadata);
  }
  csfle__buf_clear(&b);
  if (rules) {
    assert_non_null(s->rule_set);
    assert_ok(csfle__rule_set_put(&b, s->rule_set, err));
    assert_string_equal(csfle__buf_cstr(&b), rules);
  }
  csfle_buf_free(&b);
}

TEST(a_schema_object_is_read_and_written_in_the_members_order_with_sorted_sets)
{
  csfle__schema_info *s = info(
    "{\"id\":7,\"version\":2,\"subject\":\":.c:s\",\"guid\":\"g\",\"schemaType\":\"JSON\",\"schema\":\"{}\",\"ts\":99,\"deleted\":false,\"extra\":{},"
    "\"references\":[{\"version\":3,\"name\":\"n\",\"subject\":\"r\"}],"
    "\"metadata\":{\"sensitive\":[\"b\",\"a\",\"b\"],\"properties\":{\"z\":\"1\",\"a\":true,\"z\":2},\"tags\":{\"**.y\":[\"PII\",\"A\",\"PII\"],\"**.x\":[]}},"
    "\"ruleSet\":{\"enableAt\":\"CLIENT\",\"domainRules\":[{\"disabled\":true,\"name\":\"r\",\"doc\":\"\",\"onFailure\":\"ERROR\",\"onSuccess\":\"NONE\",\"expr\":\"e\\n\","
    "\"type\":\"ENCRYPT\",\"mode\":\"WRITE\",\"kind\":\"CONDITION\",\"tags\":[\"B\",\"A\"],\"params\":{\"y\":1,\"x\":\"2\"}},{\"name\":\"d\",\"type\":\"T\"}],"
    "\"migrationRules\":[],\"encodingRules\":null}}");
  assert_int_equal(s->id, 7);
  assert_int_equal(s->version, 2);
  assert_int_equal(s->ts, 99);
  assert_bytes_equal(s->subject, BYTES(":.c:s"));
  assert_bytes_equal(s->schema_type, BYTES("JSON"));
  assert_int_equal(s->reference_count, 1);
  assert_json(s, "{\"tags\":{\"**.x\":[],\"**.y\":[\"A\",\"PII\"]},\"properties\":{\"a\":\"true\",\"z\":\"2\"},\"sensitive\":[\"a\",\"b\"]}",
              "{\"domainRules\":[{\"name\":\"r\",\"kind\":\"CONDITION\",\"mode\":\"WRITE\",\"type\":\"ENCRYPT\",\"tags\":[\"A\",\"B\"],"
              "\"params\":{\"x\":\"2\",\"y\":\"1\"},\"expr\":\"e\\n\",\"onSuccess\":\"NONE\",\"onFailure\":\"ERROR\",\"disabled\":true},"
              "{\"name\":\"d\",\"kind\":\"TRANSFORM\",\"mode\":\"WRITEREAD\",\"type\":\"T\",\"disabled\":false}],\"enableAt\":\"CLIENT\"}");
  csfle_buf b;
  csfle_buf_init(&b, 0, 0);
  assert_ok(csfle__references_put(&b, s->references, s->reference_count, err));
  assert_string_equal(csfle__buf_cstr(&b), "[{\"name\":\"n\",\"subject\":\"r\",\"version\":3}]");
  csfle_buf_free(&b);
  csfle__schema_info_free(s);
}

TEST(what_is_absent_is_told_from_what_is_empty)
{
  csfle__schema_info *s = info("{}"), *e = info("{\"metadata\":{},\"ruleSet\":{},\"schema\":\"\",\"schemaType\":null}");
  assert_int_equal(s->id, -1);
  assert_int_equal(s->version, 0);
  assert_int_equal(s->ts, -1);
  assert_null(s->schema.ptr);
  assert_null(s->metadata);
  assert_null(s->rule_set);
  assert_bytes_equal(s->schema_type, BYTES("AVRO"));
  assert_non_null(e->schema.ptr);
  assert_bytes_equal(e->schema_type, BYTES("AVRO"));
  assert_json(e, "{}", "{}");
  csfle__schema_info_free(s);
  csfle__schema_info_free(e);
}

/* UTF-16 order differs from UTF-8 order here: U+10000 (D800 DC00) comes before U+FFFD */
TEST(names_are_sorted_by_utf16_units)
{
  csfle__schema_info *s = info("{\"metadata\":{\"sensitive\":[\"\xEF\xBF\xBD\",\"\xF0\x90\x80\x80\",\"a\"],\"properties\":{\"\xEF\xBF\xBD\":\"\",\"\xF0\x90\x80\x80\":\"\"}}}");
  assert_json(s, "{\"properties\":{\"\xF0\x90\x80\x80\":\"\",\"\xEF\xBF\xBD\":\"\"},\"sensitive\":[\"a\",\"\xF0\x90\x80\x80\",\"\xEF\xBF\xBD\"]}", NULL);
  csfle__schema_info_free(s);
}

/* SERDE-59, SERDE-60, SERDE-61 */
TEST(unknown_enumerations_and_wrong_shapes_are_refused)
{
  const struct {
    const char  *text;
    csfle_status code;
    const char  *why;
  } cases[] = {
    { "{\"ruleSet\":{\"domainRules\":[{\"name\":\"r\",\"kind\":\"transform\"}]}}", CSFLE_E_RULE, "unknown rule kind \"transform\"" },
    { "{\"ruleSet\":{\"domainRules\":[{\"name\":\"r\",\"mode\":\"BOTH\"}]}}", CSFLE_E_RULE, "unknown rule mode \"BOTH\"" },
    { "{\"ruleSet\":{\"enableAt\":\"HERE\"}}", CSFLE_E_RULE, "unknown rule enableAt \"HERE\"" },
    { "{\"ruleSet\":{\"enableAt\":\"\"}}", CSFLE_E_RULE, "unknown rule enableAt \"\"" },
    { "{\"ruleSet\":[]}", CSFLE_E_SCHEMA, "rule set is not a JSON object" },
    { "{\"ruleSet\":{\"domainRules\":{}}}", CSFLE_E_SCHEMA, "\"domainRules\" is not an array" },
    { "{\"ruleSet\":{\"domainRules\":[null]}}", CSFLE_E_SCHEMA, "rule is not a JSON object" },
    { "{\"ruleSet\":{\"domainRules\":[{\"tags\":[1,[]]}]}}", CSFLE_E_SCHEMA, "\"tags\" holds what is not a text" },
    { "{\"ruleSet\":{\"domainRules\":[{\"params\":{\"a\":[]}}]}}", CSFLE_E_SCHEMA, "\"params\" holds what is not a text" },
    { "{\"metadata\":7}", CSFLE_E_SCHEMA, "metadata is not a JSON object" },
    { "{\"metadata\":{\"tags\":{\"a\":\"PII\"}}}", CSFLE_E_SCHEMA, "\"tags\" is not an array" },
    { "{\"references\":{}}", CSFLE_E_SCHEMA, "\"references\" is not an array" },
    { "{\"references\":[1]}", CSFLE_E_SCHEMA, "reference is not a JSON object" },
    { "{\"schema\":{}}", CSFLE_E_SCHEMA, "\"schema\" is not a text" },
    { "{\"id\":\"x\"}", CSFLE_E_SCHEMA, "\"id\" is not an integer" },
    { "[]", CSFLE_E_SCHEMA, "schema object is not a JSON object" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    yyjson_doc         *doc = NULL;
    csfle__schema_info *s = NULL;
    csfle_error         err = CSFLE_ERROR_INIT;
    assert_int_equal(csfle__json_parse(&doc, csfle__str(cases[i].text), &err), CSFLE_OK);
    assert_int_equal(csfle__schema_info_parse(&s, yyjson_doc_get_root(doc), &err), cases[i].code);
    assert_string_equal(err.msg, cases[i].why);
    assert_null(s);
    yyjson_doc_free(doc);
  }
}

#define USER "\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"User\\\",\\\"fields\\\":[{\\\"name\\\":\\\"f1\\\",\\\"type\\\":\\\"string\\\"}]}\""
#define WRAP                                                                                                             \
  "\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"Wrap\\\",\\\"fields\\\":[{\\\"name\\\":\\\"u\\\",\\\"type\\\":\\\"User\\\"}]}\"," \
  "\"references\":[{\"name\":\"User\",\"subject\":\"user-value\",\"version\":1}]"

/* the table of schema-registry 5.4 */
TEST(content_hashes_are_those_of_the_java_registry)
{
  const struct {
    const char *text, *guid;
  } cases[] = {
    { "{\"schema\":\"\\\"string\\\"\"}", "095d71cf-1255-6b9d-5e33-0ad575b3df5d" },
    { "{" USER "}", "6dcd1ea2-5ae7-e905-bdc3-fe09476b0799" },
    { "{" USER ",\"metadata\":{}}", "910841ef-d845-c439-9360-29e8f4b096c4" },
    { "{" USER ",\"ruleSet\":{}}", "910841ef-d845-c439-9360-29e8f4b096c4" },
    { "{" USER ",\"metadata\":{\"properties\":{\"confluent:version\":\"2\"}}}", "db0f1f6f-5919-66d6-2925-e5b6008800a8" },
    { "{" USER ",\"ruleSet\":{\"domainRules\":[{\"name\":\"r1\",\"kind\":\"CONDITION\",\"mode\":\"WRITE\",\"type\":\"CEL\",\"expr\":\"true\"}]}}",
      "4d59171b-afb7-072b-fd7c-28c6f3b0d7d5" },
    { "{" WRAP "}", "a940a2de-3d54-df5f-1f25-dd4a3a337b04" },
    { "{" WRAP ",\"metadata\":{\"tags\":{\"**.u\":[\"PII\"]},\"properties\":{\"owner\":\"x\"},\"sensitive\":[\"owner\"]},"
      "\"ruleSet\":{\"domainRules\":[{\"name\":\"r1\",\"type\":\"ENCRYPT\",\"tags\":[\"PII\"],\"params\":{\"encrypt.kek.name\":\"k\"},"
      "\"onFailure\":\"ERROR,NONE\",\"disabled\":true}]}}",
      "c3147186-e6e2-2f30-e6de-c7c752b4dd4b" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle__schema_info *s = info(cases[i].text);
    uint8_t             hash[16], back[16];
    char                guid[37];
    assert_ok(csfle__content_hash(s->schema, s->references, s->reference_count, s->metadata, s->rule_set, hash, err));
    csfle__guid_text(hash, guid);
    assert_string_equal(guid, cases[i].guid);
    assert_true(csfle__guid_parse(csfle__str(guid), back));
    assert_memory_equal(back, hash, 16);
    csfle__schema_info_free(s);
  }
  printf("# content hashes: %zu entries\n", sizeof cases / sizeof *cases);
}

TEST(guids_are_read_in_both_spellings_and_no_other)
{
  uint8_t     g[16];
  const char *bad[] = { "", "095d71cf-1255-6b9d-5e33-0ad575b3df5", "095d71cf125-56b9d-5e33-0ad575b3df5dx", "095d71cf12556b9d5e330ad575b3df5g",
                        "095d71cf-1255-6b9d-5e330-ad575b3df5d" };
  assert_true(csfle__guid_parse(BYTES("095D71CF12556B9D5E330AD575B3DF5D"), g));
  assert_int_equal(g[0], 9);
  assert_int_equal(g[15], 0x5D);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(csfle__guid_parse(csfle__str(bad[i]), g));
}

/* schema-registry 6.2 */
TEST(rule_sets_are_refused_with_the_registrys_texts)
{
#define DOMAIN(rules) "{\"ruleSet\":{\"domainRules\":[" rules "]}}"
  char long_name[400];
  snprintf(long_name, sizeof long_name, DOMAIN("{\"name\":\"%0257d\",\"type\":\"T\"}"), 0);
  const struct {
    const char *text, *why;
  } cases[] = {
    { DOMAIN("{\"type\":\"T\"}"), "Missing rule name" },
    { DOMAIN("{\"name\":\"\",\"type\":\"T\"}"), "Empty rule name" },
    { long_name, "Rule name too long" },
    { DOMAIN("{\"name\":\"1a\",\"type\":\"T\"}"), "Illegal initial character in rule name: 1a" },
    { DOMAIN("{\"name\":\"-a\",\"type\":\"T\"}"), "Illegal initial character in rule name: -a" },
    { DOMAIN("{\"name\":\"a b\",\"type\":\"T\"}"), "Illegal character in rule name: a b" },
    { DOMAIN("{\"name\":\"sch\xC3\xA9ma-\xD9\xA3_\xE9\x8D\xB5\",\"type\":\"T\"}"), NULL },
    { DOMAIN("{\"name\":\"a\xF0\x9F\x94\x91\",\"type\":\"T\"}"), "Illegal character in rule name: a\xF0\x9F\x94\x91" },
    { DOMAIN("{\"name\":\"a\"}"), "Missing rule type" },
    { DOMAIN("{\"name\":\"a\",\"type\":\"\"}"), "Missing rule type" },
    { DOMAIN("{\"name\":\"a\",\"type\":\"T\",\"mode\":\"WRITE\",\"onSuccess\":\"NONE,ERROR\"}"), "Multiple actions only valid with WRITEREAD and UPDOWN" },
    { DOMAIN("{\"name\":\"a\",\"type\":\"T\",\"mode\":\"READ\",\"onFailure\":\"NONE,ERROR\"}"), "Multiple actions only valid with WRITEREAD and UPDOWN" },
    { DOMAIN("{\"name\":\"a\",\"type\":\"T\",\"onFailure\":\"NONE,ERROR\"}"), NULL },
    { DOMAIN("{\"name\":\"a\",\"type\":\"T\"},{\"name\":\"a\",\"type\":\"T\"}"), "Found rule with duplicate name 'a'" },
    { "{\"ruleSet\":{\"domainRules\":[{\"name\":\"a\",\"type\":\"T\"}],\"encodingRules\":[{\"name\":\"a\"}]}}", "Found rule with duplicate name 'a'" },
    { "{\"ruleSet\":{\"migrationRules\":[{\"name\":\"a\",\"type\":\"T\"}]}}", "Migration rules can only be UPGRADE, DOWNGRADE, UPDOWN" },
    { "{\"ruleSet\":{\"migrationRules\":[{\"name\":\"a\",\"type\":\"T\",\"mode\":\"UPDOWN\",\"onFailure\":\"A,B\"}]}}", NULL },
    { DOMAIN("{\"name\":\"a\",\"type\":\"T\",\"mode\":\"UPGRADE\"}"), "Domain rules can only be WRITE, READ, WRITEREAD" },
    { "{\"ruleSet\":{\"encodingRules\":[{\"name\":\"a\",\"type\":\"T\",\"mode\":\"DOWNGRADE\"}]}}", "Encoding rules can only be WRITE, READ, WRITEREAD" },
    { "{\"ruleSet\":{}}", NULL },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle__schema_info *s = info(cases[i].text);
    csfle_error         err = CSFLE_ERROR_INIT;
    csfle_status        rc = csfle__rule_set_validate(s->rule_set, &err);
    if (rc != (cases[i].why ? CSFLE_E_RULE : CSFLE_OK)) fail_msg("case %zu: %d %s", i, rc, err.msg);
    if (cases[i].why) assert_string_equal(err.msg, cases[i].why);
    csfle__schema_info_free(s);
  }
}

/* schema-registry 6.3 */
TEST(merging_takes_the_second_where_both_speak)
{
  csfle__schema_info *x = info("{\"metadata\":{\"tags\":{\"a\":[\"1\",\"2\"],\"c\":[\"1\"]},\"properties\":{\"p\":\"x\",\"q\":\"x\"},\"sensitive\":[\"p\"]},"
                               "\"ruleSet\":{\"enableAt\":\"ALL\",\"domainRules\":[{\"name\":\"r1\",\"type\":\"X\"},{\"name\":\"r2\",\"type\":\"X\"}]}}");
  csfle__schema_info *y = info("{\"metadata\":{\"tags\":{\"a\":[\"3\"],\"b\":[]},\"properties\":{\"q\":\"y\",\"r\":\"y\"},\"sensitive\":[\"o\",\"p\"]},"
                               "\"ruleSet\":{\"domainRules\":[{\"name\":\"r3\",\"type\":\"Y\"},{\"name\":\"r1\",\"type\":\"Y\"}],\"encodingRules\":[{\"name\":\"r2\",\"type\":\"Y\"}]}}");
  csfle__schema_info  m = { .arena = CSFLE__ARENA_INIT };
  assert_ok(csfle__metadata_merge(&m.arena, x->metadata, y->metadata, &m.metadata, err));
  assert_ok(csfle__rule_set_merge(&m.arena, x->rule_set, y->rule_set, &m.rule_set, err));
#define R(n, t) "{\"name\":\"" n "\",\"kind\":\"TRANSFORM\",\"mode\":\"WRITEREAD\",\"type\":\"" t "\",\"disabled\":false}"
  assert_json(&m, "{\"tags\":{\"a\":[\"3\"],\"b\":[],\"c\":[\"1\"]},\"properties\":{\"p\":\"x\",\"q\":\"y\",\"r\":\"y\"},\"sensitive\":[\"o\",\"p\"]}",
              "{\"domainRules\":[" R("r2", "X") "," R("r3", "Y") "," R("r1", "Y") "],\"encodingRules\":[" R("r2", "Y") "],\"enableAt\":\"ALL\"}");
  csfle__metadata *one;
  csfle__rule_set *set;
  assert_ok(csfle__metadata_merge(&m.arena, x->metadata, NULL, &one, err));
  assert_ptr_equal(one, x->metadata);
  assert_ok(csfle__metadata_merge(&m.arena, NULL, NULL, &one, err));
  assert_null(one);
  assert_ok(csfle__rule_set_merge(&m.arena, NULL, y->rule_set, &set, err));
  assert_ptr_equal(set, y->rule_set);
  csfle__arena_free(&m.arena);
  csfle__schema_info_free(x);
  csfle__schema_info_free(y);
}

TEST(equality_sees_every_member)
{
  const char *base = "{\"metadata\":{\"tags\":{\"a\":[\"1\"]},\"properties\":{\"p\":\"x\"},\"sensitive\":[\"p\"]},\"references\":[{\"name\":\"n\",\"subject\":\"s\",\"version\":1}],"
                     "\"ruleSet\":{\"enableAt\":\"ALL\",\"domainRules\":[{\"name\":\"r\",\"type\":\"X\",\"tags\":[\"T\"],\"params\":{\"a\":\"1\"},\"doc\":\"\"}]}}";
  const struct {
    const char *metadata, *rules; /* what differs: a whole object with that part changed, or NULL */
  } others[] = {
    { "{\"metadata\":{\"tags\":{\"b\":[\"1\"]},\"properties\":{\"p\":\"x\"},\"sensitive\":[\"p\"]}}", NULL },
    { "{\"metadata\":{\"tags\":{\"a\":[\"2\"]},\"properties\":{\"p\":\"x\"},\"sensitive\":[\"p\"]}}", NULL },
    { "{\"metadata\":{\"tags\":{\"a\":[\"1\"]},\"properties\":{\"p\":\"y\"},\"sensitive\":[\"p\"]}}", NULL },
    { "{\"metadata\":{\"tags\":{\"a\":[\"1\"]},\"properties\":{\"p\":\"x\"}}}", NULL },
    { "{\"metadata\":{}}", NULL },
    { "{}", NULL },
    { NULL, "{\"ruleSet\":{\"enableAt\":\"ALL\",\"domainRules\":[{\"name\":\"r\",\"type\":\"X\",\"tags\":[\"T\"],\"params\":{\"a\":\"2\"}}]}}" },
    { NULL, "{\"ruleSet\":{\"enableAt\":\"ALL\",\"domainRules\":[{\"name\":\"r\",\"type\":\"X\",\"tags\":[],\"params\":{\"a\":\"1\"}}]}}" },
    { NULL, "{\"ruleSet\":{\"enableAt\":\"ALL\",\"domainRules\":[{\"name\":\"r\",\"type\":\"X\",\"tags\":[\"T\"],\"params\":{\"a\":\"1\"},\"disabled\":true}]}}" },
    { NULL, "{\"ruleSet\":{\"domainRules\":[{\"name\":\"r\",\"type\":\"X\",\"tags\":[\"T\"],\"params\":{\"a\":\"1\"}}]}}" },
    { NULL, "{\"ruleSet\":{}}" },
    { NULL, "{}" },
  };
  csfle__schema_info *a = info(base), *b = info(base);
  assert_true(csfle__metadata_equal(a->metadata, b->metadata));
  assert_true(csfle__rule_set_equal(a->rule_set, b->rule_set));
  assert_true(csfle__references_equal(a->references, 1, b->references, 1));
  b->references[0].version = 2;
  assert_false(csfle__references_equal(a->references, 1, b->references, 1));
  assert_false(csfle__references_equal(a->references, 1, b->references, 0));
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    csfle__schema_info *o = info(others[i].metadata ? others[i].metadata : others[i].rules);
    if (others[i].metadata) assert_false(csfle__metadata_equal(a->metadata, o->metadata));
    else assert_false(csfle__rule_set_equal(a->rule_set, o->rule_set));
    csfle__schema_info_free(o);
  }
  assert_true(csfle__metadata_equal(NULL, NULL));
  csfle__schema_info_free(a);
  csfle__schema_info_free(b);
}

static csfle_status whole_life(void)
{
  static const char text[] = "{\"schema\":\"x\",\"references\":[{\"name\":\"n\",\"subject\":\"s\",\"version\":1}],\"metadata\":{\"tags\":{\"a\":[\"1\",\"0\"]},\"properties\":{\"p\":\"x\"},"
                             "\"sensitive\":[\"p\"]},\"ruleSet\":{\"domainRules\":[{\"name\":\"r\",\"type\":\"X\",\"params\":{\"a\":\"1\"}},{\"name\":\"q\",\"type\":\"X\"}]}}";
  yyjson_doc         *doc = NULL;
  csfle__schema_info *s = NULL;
  csfle__arena        a = CSFLE__ARENA_INIT;
  csfle__metadata    *m;
  csfle__rule_set    *r;
  csfle_buf           b;
  uint8_t             hash[16];
  csfle_buf_init(&b, 0, 0);
  csfle_status rc = csfle__json_parse(&doc, csfle__str(text), NULL);
  if (rc == CSFLE_OK) rc = csfle__schema_info_parse(&s, yyjson_doc_get_root(doc), NULL);
  if (rc == CSFLE_OK) rc = csfle__rule_set_validate(s->rule_set, NULL);
  if (rc == CSFLE_OK) rc = csfle__metadata_merge(&a, s->metadata, s->metadata, &m, NULL);
  if (rc == CSFLE_OK) rc = csfle__rule_set_merge(&a, s->rule_set, s->rule_set, &r, NULL);
  if (rc == CSFLE_OK) rc = csfle__content_hash(s->schema, s->references, s->reference_count, m, r, hash, NULL);
  if (rc == CSFLE_OK) rc = csfle__metadata_put(&b, m, NULL);
  if (rc == CSFLE_OK) rc = csfle__rule_set_put(&b, r, NULL);
  if (rc == CSFLE_OK) rc = csfle__references_put(&b, s->references, s->reference_count, NULL);
  if (rc == CSFLE_OK) rc = csfle__subject_put(&b, csfle__subject_parse(BYTES(":.c:s")), NULL);
  if (rc == CSFLE_OK) rc = csfle__put_path_segment(&b, BYTES("a/b"), NULL);
  csfle_buf_free(&b);
  csfle__arena_free(&a);
  csfle__schema_info_free(s);
  yyjson_doc_free(doc);
  return rc;
}
TEST(contracts_survive_every_failed_allocation) { TORTURE(whole_life()); }
