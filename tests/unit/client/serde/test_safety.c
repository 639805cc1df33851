/*
 * What must never happen: a tagged field that leaves in clear, by mistake of the schema, the rules, the registry or the
 * caller. Every case is one the lists of spec/serdes-and-rules.md section 9 (S1..S18) and ABUSE.md (S19.., AB-n) name.
 */
#include "tests/unit/client/rig.h"

#include "core/base/base64.h"

#define CANARY "078-05-1120"
#define REC(fields) "{\"type\":\"record\",\"name\":\"R\",\"fields\":[" fields "]}"
#define ID "{\"name\":\"id\",\"type\":\"long\"}"
#define SSN "{\"name\":\"ssn\",\"type\":\"string\",\"confluent:tags\":[\"PII\"]}"
#define NOTE "{\"name\":\"note\",\"type\":\"string\"}"

/* Neither the output nor the error may hold the canary: raw, base64 at three offsets, hex. */
static void no_canary(const csfle_buf *out, const csfle_error *e)
{
  char b64[3][32], hex[32];
  char padded[16];
  for (int i = 0; i < 3; i++) {
    /* the middle part that does not depend on the neighbours */
    snprintf(padded, sizeof padded, "%.*s%s", i, "xx", CANARY);
    csfle__base64_encode(csfle__view(padded, (strlen(padded) / 3) * 3), b64[i]);
    b64[i][strlen(padded) / 3 * 4] = 0;
    memmove(b64[i], b64[i] + (i ? 4 : 0), strlen(b64[i]) + 1);
  }
  for (size_t i = 0; i < strlen(CANARY); i++) snprintf(hex + 2 * i, 3, "%02x", (unsigned char)CANARY[i]);
  const csfle__bytes where[] = { csfle__buf_view(out), csfle__str(e->where), csfle__str(e->msg) };
  for (size_t i = 0; i < 3; i++) {
    assert_false(rig_contains(where[i], CANARY));
    assert_false(rig_contains(where[i], hex));
    for (int k = 0; k < 3; k++) assert_false(rig_contains(where[i], b64[k]));
  }
}

typedef struct refusal {
  const char  *what, *schema, *metadata, *rules, *props;
  csfle_status code;
  const char  *text, *where;
} refusal;

#define DISABLED(x) "{\"domainRules\":[" RULE("encryptPII", "PII", x) "]}"

static const refusal refusals[] = {
  { "S8: the rule is disabled", CUSTOMER, NULL, DISABLED(",\"disabled\":true"), NULL, CSFLE_E_POLICY, "disabled", "orders-value v7 encryptPII Customer.ssn" },
  { "S8: disabled by the operator without the exception", CUSTOMER, NULL, PII_RULES, "rule.executors.encryptPII.disabled=true", CSFLE_E_POLICY, "disabled-rules", "orders-value v7 encryptPII Customer.ssn" },
  { "S8: a disabled rule suppresses an enabled one", CUSTOMER, NULL, "{\"domainRules\":[" RULE("a", "PII", ",\"disabled\":true") "," RULE("b", "PII", "") "]}", "csfle.allow.plaintext=disabled-rules",
    CSFLE_E_POLICY, "suppressed by the disabled rule 'a'", "orders-value v7 b" }, /* SERDE-113 */
  { "S9: enableAt is for someone else", CUSTOMER, NULL, "{\"enableAt\":\"GATEWAY\",\"domainRules\":[" RULE("encryptPII", "PII", "") "]}", NULL, CSFLE_E_POLICY, "disabled", "orders-value v7 encryptPII Customer.ssn" },
  { "S9: enableAt is NONE", CUSTOMER, NULL, "{\"enableAt\":\"NONE\",\"domainRules\":[" RULE("encryptPII", "PII", "") "]}", NULL, CSFLE_E_POLICY, "disabled", NULL },
  { "S15: onFailure NONE on write", CUSTOMER, NULL, "{\"domainRules\":[" RULE("encryptPII", "PII", ",\"onFailure\":\"NONE\"") "]}", NULL, CSFLE_E_POLICY, "onFailure is NONE", "orders-value v7 encryptPII" }, /* SERDE-84 */
  { "S15: NONE,ERROR", CUSTOMER, NULL, "{\"domainRules\":[" RULE("encryptPII", "PII", ",\"onFailure\":\" NONE , ERROR\"") "]}", NULL, CSFLE_E_POLICY, "onfailure-none", NULL },
  { "S15: the operator's own NONE", CUSTOMER, NULL, PII_RULES, "rule.executors._ENCRYPT_.onFailure=NONE", CSFLE_E_POLICY, "onFailure is NONE", NULL },
  { "S17: an unknown mode", CUSTOMER, NULL, "{\"domainRules\":[{\"name\":\"r\",\"mode\":\"SOMETIMES\",\"type\":\"ENCRYPT\",\"tags\":[\"PII\"]}]}", NULL, CSFLE_E_RULE, "SOMETIMES", NULL }, /* SERDE-61 */
  { "an unknown kind", CUSTOMER, NULL, "{\"domainRules\":[{\"name\":\"r\",\"kind\":\"WISH\",\"type\":\"ENCRYPT\",\"tags\":[\"PII\"]}]}", NULL, CSFLE_E_RULE, "WISH", NULL },
  { "S19: a tag on the record", "{\"type\":\"record\",\"name\":\"R\",\"confluent:tags\":[\"PII\"],\"fields\":[" SSN "]}", NULL, PII_RULES, NULL, CSFLE_E_POLICY, "reaches no field", NULL }, /* AB-4 */
  { "S19: a tag on the type object", REC(SSN ",{\"name\":\"x\",\"type\":{\"type\":\"string\",\"confluent:tags\":[\"PII\"]}}"), NULL, PII_RULES, NULL, CSFLE_E_POLICY, "reaches no field", NULL },
  { "S20: a tag on a container", REC(SSN ",{\"name\":\"x\",\"type\":{\"type\":\"record\",\"name\":\"I\",\"fields\":[{\"name\":\"y\",\"type\":\"string\"}]},\"confluent:tags\":[\"PII\"]}"), NULL, PII_RULES, NULL,
    CSFLE_E_POLICY, "is on a container", NULL },
  { "S24: no fields", "\"string\"", NULL, PII_RULES, NULL, CSFLE_E_POLICY, "no field", NULL },
  { "a rule that reaches nothing", REC(ID "," NOTE), NULL, PII_RULES, NULL, CSFLE_E_POLICY, "rule reaches no field", "orders-value v7 encryptPII" },
  { "a missing executor", CUSTOMER, NULL, "{\"domainRules\":[{\"name\":\"check\",\"kind\":\"CONDITION\",\"type\":\"CEL\",\"expr\":\"true\",\"onFailure\":\"NONE\"}]}", NULL, CSFLE_E_RULE,
    "Could not find rule executor of type CEL", "orders-value v7 check" }, /* SERDE-88 */
  { "a missing field executor", CUSTOMER, NULL, "{\"domainRules\":[{\"name\":\"mask\",\"type\":\"CEL_FIELD\",\"tags\":[\"PII\"]}]}", NULL, CSFLE_E_RULE, "Could not find rule executor of type CEL_FIELD", NULL },
  { "payload rule", CUSTOMER, NULL, "{\"encodingRules\":[{\"name\":\"p\",\"type\":\"ENCRYPT_PAYLOAD\"}]}", NULL, CSFLE_E_RULE, "Could not find rule executor of type ENCRYPT_PAYLOAD", "orders-value v7 p" },
  { "ENCRYPT in encodingRules", CUSTOMER, NULL, "{\"encodingRules\":[" RULE("e", "PII", "") "]}", NULL, CSFLE_E_RULE, "belongs into domainRules", "orders-value v7 e" }, /* SERDE-99 */
  { "ENCRYPT_PAYLOAD in domainRules", CUSTOMER, NULL, "{\"domainRules\":[{\"name\":\"p\",\"type\":\"ENCRYPT_PAYLOAD\"}]}", NULL, CSFLE_E_RULE, "belongs into encodingRules", NULL },
  { "ENCRYPT of kind CONDITION", CUSTOMER, NULL, "{\"domainRules\":[{\"name\":\"e\",\"kind\":\"CONDITION\",\"type\":\"ENCRYPT\",\"tags\":[\"PII\"]}]}", NULL, CSFLE_E_RULE, "kind CONDITION", NULL },
  { "an unknown action", CUSTOMER, NULL, "{\"domainRules\":[" RULE("e", "PII", ",\"onFailure\":\"DLQ,NONE\"") "]}", NULL, CSFLE_E_RULE, "Could not find rule action of type DLQ", "orders-value v7 e" }, /* SERDE-87 */
  { "onSuccess ERROR", CUSTOMER, NULL, "{\"domainRules\":[" RULE("e", "PII", ",\"onSuccess\":\"ERROR\"") "]}", NULL, CSFLE_E_RULE, "onSuccess is ERROR", "orders-value v7 e" }, /* SERDE-85 */
  { "AB-2: no rules, pinned", CUSTOMER, NULL, NULL, "csfle.require.tags=PII", CSFLE_E_POLICY, "csfle.require.tags", "orders-value v7 Customer.ssn" },
  { "AB-2: no tags, pinned", REC(ID ",{\"name\":\"ssn\",\"type\":\"string\"}," NOTE), NULL, NULL, "csfle.require.tags=PII", CSFLE_E_POLICY, "csfle.require.tags", "orders-value v7" },
  { "AB-2: narrower tags, pinned", REC(ID "," SSN ",{\"name\":\"note\",\"type\":\"string\",\"confluent:tags\":[\"PRIVATE\"]}"), NULL, PII_RULES, "csfle.require.tags=PII,PRIVATE", CSFLE_E_POLICY,
    "csfle.require.tags", "orders-value v7 R.note" },
  { "AB-2: disabled and permitted, but pinned", CUSTOMER, NULL, DISABLED(",\"disabled\":true"), "csfle.require.tags=PII\ncsfle.allow.plaintext=disabled-rules,unreachable-tags", CSFLE_E_POLICY, "csfle.require.tags", NULL },
  { "AB-2: another KEK", CUSTOMER, NULL, PII_RULES, "csfle.allow.keks=orders-*,kek2", CSFLE_E_POLICY, "csfle.allow.keks", "orders-value v7 encryptPII" },
  { "AB-2: another algorithm", CUSTOMER, NULL, PII_RULES, "csfle.allow.algorithms=AES256_SIV", CSFLE_E_POLICY, "csfle.allow.algorithms", NULL },
  { "S25: a pattern that nobody can match alike", CUSTOMER, "{\"tags\":{\"**.[ssn\":[\"PII\"]}}", PII_RULES, NULL, 0, NULL, NULL },
  { "no schema", "{\"type\":\"recrd\"}", NULL, NULL, NULL, CSFLE_E_SCHEMA, NULL, "orders-value v7" },
};

TEST(whatever_would_let_a_tagged_field_out_is_refused_before_anything_is_written) /* ENC-104 AB-2 AB-4 SERDE-58 */
{
  const char *json = "{\"id\":1,\"ssn\":\"" CANARY "\",\"note\":\"n\"}";
  for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
    const refusal *x = &refusals[i];
    csfle_fake     f;
    csfle_buf      out;
    csfle_error    e = CSFLE_ERROR_INIT;
    csfle_buf_init(&out, 0, 0);
    csfle_fake_init(&f);
    csfle_fake_add_schema(&f, "orders-value", 12, 7, x->schema, x->metadata, x->rules);
    csfle_client *cl = rig_client(&f, x->props);
    csfle_serde  *s = rig_serde(cl, "orders", NULL, NULL);
    csfle_status  st = csfle_serialize(s, CSFLE_JSON, json, strlen(json), NULL, &out, NULL, &e);
    if (x->code ? st != x->code : st == CSFLE_OK) fail_msg("%s: %s %s: %s", x->what, csfle_status_name(st), e.where, e.msg);
    if (x->text && !strstr(e.msg, x->text)) fail_msg("%s: '%s'", x->what, e.msg);
    if (x->where && strcmp(e.where, x->where) != 0) fail_msg("%s: where '%s'", x->what, e.where);
    assert_int_equal(out.len, 0);
    no_canary(&out, &e);
    if (strcmp(x->what, "onSuccess ERROR") != 0) assert_int_not_equal(csfle_serde_prepare(s, NULL, NULL, &e), CSFLE_OK);
    csfle_serde_close(s);
    csfle_client_close(cl);
    csfle_fake_free(&f);
    csfle_buf_free(&out);
  }
}

TEST(plaintext_leaves_only_where_the_operator_named_the_exception) /* SERDE-72 SERDE-73 SERDE-75 SERDE-76 SERDE-82 */
{
  const struct { const char *schema, *rules, *props; bool clear; uint32_t encrypted; } cases[] = {
    { CUSTOMER, PII_RULES, NULL, false, 1 },
    { CUSTOMER, DISABLED(",\"disabled\":true"), "csfle.allow.plaintext=disabled-rules", true, 0 },
    { CUSTOMER, PII_RULES, "rule.executors._default_.disabled=true\ncsfle.allow.plaintext=disabled-rules", true, 0 },
    { CUSTOMER, DISABLED(",\"disabled\":true"), "rule.executors.encryptPII.disabled=false", false, 1 },
    { CUSTOMER, DISABLED(",\"disabled\":true"), "rule.executors.encryptPII.disabled=false\nrule.executors._ENCRYPT_.disabled=true", false, 1 }, /* SERDE-74 */
    { CUSTOMER, "{\"enableAt\":\"CLIENT\",\"domainRules\":[" RULE("e", "PII", "") "]}", NULL, false, 1 },
    { CUSTOMER, "{\"enableAt\":\"ALL\",\"domainRules\":[" RULE("e", "PII", "") "]}", NULL, false, 1 },
    { CUSTOMER, "{\"enableAt\":\"GATEWAY\",\"domainRules\":[" RULE("e", "PII", "") "]}", "execution.environment=GATEWAY", false, 1 },
    { CUSTOMER, "{\"enableAt\":\"SERVER\",\"domainRules\":[" RULE("e", "PII", "") "]}", "csfle.allow.plaintext=disabled-rules", true, 0 },
    { CUSTOMER, "{\"domainRules\":[" RULE("a", "PII", ",\"disabled\":true") "," RULE("b", "PII", "") "]}", "csfle.allow.plaintext=disabled-rules,suppressed-rules", true, 0 },
    { CUSTOMER, "{\"domainRules\":[" RULE("a", "PII", ",\"onFailure\":\"NONE\"") "]}", "csfle.allow.plaintext=onfailure-none", false, 1 },
    { CUSTOMER, "{\"domainRules\":[" RULE("a", "PII", "") "," RULE("b", "PII", "") "]}", NULL, false, 1 }, /* SERDE-110: one of two, S12 */
    { CUSTOMER, "{\"domainRules\":[{\"name\":\"r\",\"type\":\"encrypt\",\"tags\":[\"PII\"],\"params\":{" RULE_PARAMS "}}]}", NULL, false, 1 }, /* SERDE-59 SERDE-79 */
    { CUSTOMER, PII_RULES, "csfle.require.tags=PII\ncsfle.allow.keks=kek*\ncsfle.allow.algorithms=AES256_GCM", false, 1 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rig        r;
    csfle_buf  out;
    csfle_info info = CSFLE_INFO_INIT;
    csfle_buf_init(&out, 0, 0);
    rig_open(&r, cases[i].schema, NULL, cases[i].rules, cases[i].props);
    csfle_error e = CSFLE_ERROR_INIT;
    if (csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, &info, &e)) fail_msg("%zu: %s %s", i, e.where, e.msg);
    assert_int_equal(rig_contains(csfle__buf_view(&out), CANARY), cases[i].clear);
    assert_int_equal(info.encrypted, cases[i].encrypted);
    csfle_buf_free(&out);
    rig_close(&r);
  }
}

TEST(a_key_that_cannot_be_had_writes_nothing_or_what_was_permitted) /* ENC-104 ENC-105 SERDE-81 SERDE-82, S6 */
{
  const struct { const char *props; bool passes; } cases[] = {
    { "rule.executors._default_.param.secret=mysecret", false },
    { "csfle.allow.plaintext=onfailure-none\nrule.executors._ENCRYPT_.onFailure=NONE", true },
    { "csfle.allow.plaintext=onfailure-none\nrule.executors._ENCRYPT_.onFailure=NONE\ncsfle.require.tags=PII", false },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rig         r;
    csfle_buf   out;
    csfle_error e = CSFLE_ERROR_INIT;
    csfle_info  info = CSFLE_INFO_INIT;
    csfle_buf_init(&out, 0, 0);
    rig_open(&r, CUSTOMER, NULL, PII_RULES, cases[i].props);
    csfle_fake_add_kek(&r.fake, "{\"name\":\"kek1\",\"kmsType\":\"local-kms\",\"kmsKeyId\":\"another\",\"shared\":false}");
    csfle_status st = csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, &info, &e);
    assert_int_equal(st == CSFLE_OK, cases[i].passes);
    if (st == CSFLE_OK) assert_true(info.flags & CSFLE_INFO_RULE_SKIPPED);
    else no_canary(&out, &e);
    csfle_buf_free(&out);
    rig_close(&r);
  }
}

static const char *const other_layouts[] = {
  REC(ID "," NOTE ",{\"name\":\"ssn\",\"type\":\"string\"}" ",{\"name\":\"z\",\"type\":\"string\"}"), /* inserted */
  REC(SSN "," ID "," NOTE),                                                                            /* reordered */
  REC("{\"name\":\"id\",\"type\":\"string\"}," SSN "," NOTE),                                          /* promoted */
  REC(ID ",{\"name\":\"ssn\",\"type\":[\"null\",\"string\"]}," NOTE),                                 /* made nullable */
  REC(ID "," SSN),                                                                                     /* removed */
  REC(ID "," SSN ",{\"name\":\"note\",\"type\":\"bytes\"}"),                                           /* another type of the same bytes */
};

TEST(native_bytes_of_another_layout_are_never_encrypted_with_this_plan) /* AB-1 */
{
  for (size_t i = 0; i < sizeof other_layouts / sizeof *other_layouts; i++) {
    rig         r;
    csfle_buf   out;
    csfle_error e = CSFLE_ERROR_INIT;
    csfle_buf_init(&out, 0, 0);
    rig_open(&r, CUSTOMER, NULL, PII_RULES, NULL);
    csfle_serde *s = rig_serde(r.client, "orders", other_layouts[i], NULL);
    assert_int_equal(csfle_serialize(s, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, &e), CSFLE_E_SCHEMA_MISMATCH);
    assert_int_equal(out.len, 0);
    assert_string_equal(e.where, "orders-value v7");
    no_canary(&out, &e);
    /* reading: the caller said what the bytes shall be */
    assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
    csfle_buf back;
    csfle_buf_init(&back, 0, 0);
    assert_int_equal(csfle_deserialize(s, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, NULL, &e), CSFLE_E_SCHEMA_MISMATCH);
    assert_int_equal(csfle_deserialize(s, CSFLE_JSON, out.ptr, out.len, NULL, &back, NULL, &e), CSFLE_E_SCHEMA_MISMATCH);
    csfle_buf_free(&back);
    csfle_serde_close(s);
    s = rig_serde(r.client, "orders", NULL, NULL);
    assert_int_equal(csfle_serialize(s, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, &e), CSFLE_E_MISUSE);
    assert_non_null(strstr(e.msg, "csfle_serde_opts.schema"));
    csfle_serde_close(s);
    csfle_buf_free(&out);
    rig_close(&r);
  }
}

TEST(a_new_version_of_another_layout_stops_the_old_encoder) /* AB-1: during load, at refresh */
{
  rig         r;
  csfle_buf   out;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf_init(&out, 0, 0);
  rig_open(&r, CUSTOMER, NULL, PII_RULES, NULL);
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
  csfle_fake_add_schema(&r.fake, "orders-value", 13, 8, "{\"type\":\"record\",\"name\":\"Customer\",\"fields\":[" ID "," NOTE "," SSN "]}", NULL, PII_RULES);
  csfle_fake_add_schema(&r.fake, "orders-value", 14, 9, "{\"type\":\"record\",\"name\":\"Customer\",\"fields\":[" ID ",{\"name\":\"text\",\"type\":\"string\"}," SSN "]}", NULL, PII_RULES);
  r.fake.mono_ms += 400000;
  /* long, string, string again: only the names tell that another field is meant */
  csfle_info info = CSFLE_INFO_INIT;
  csfle_status st = csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, &info, &e);
  if (st == CSFLE_OK) fail_msg("bytes of version 7 were written as version %d", info.version);
  assert_int_equal(st, CSFLE_E_SCHEMA_MISMATCH);
  no_canary(&out, &e);
  csfle_buf_free(&out);
  rig_close(&r);
}

TEST(a_registry_that_loses_its_rules_is_noticed_within_one_refresh) /* AB-2 */
{
  rig         r;
  csfle_buf   out;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf_init(&out, 0, 0);
  rig_open(&r, CUSTOMER, NULL, PII_RULES, "csfle.require.tags=PII");
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
  csfle_fake_add_schema(&r.fake, "orders-value", 13, 8, CUSTOMER, NULL, NULL);
  r.fake.mono_ms += 301000;
  for (int i = 0; i < 3; i++) {
    assert_int_equal(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, &e), CSFLE_E_POLICY);
    assert_string_equal(e.where, "orders-value v8 Customer.ssn");
    no_canary(&out, &e);
  }
  csfle_buf_free(&out);
  rig_close(&r);
}

TEST(a_tagged_value_of_another_type_stops_the_record) /* ENC-36 SERDE-119 SERDE-120 SERDE-121, S7 */
{
  const struct { const char *type; csfle__bytes value; const char *name; } cases[] = {
    { "\"int\"", BYTES("\x0a"), "INT" }, { "\"long\"", BYTES("\x0a"), "LONG" }, { "\"float\"", BYTES("\0\0\0\0"), "FLOAT" },
    { "\"double\"", BYTES("\0\0\0\0\0\0\0\0"), "DOUBLE" }, { "\"boolean\"", BYTES("\x01"), "BOOLEAN" },
    { "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"]}", BYTES("\0"), "ENUM" }, { "{\"type\":\"fixed\",\"name\":\"F\",\"size\":2}", BYTES("ab"), "FIXED" },
    { "[\"null\",\"int\"]", BYTES("\x02\x0a"), "INT" }, { "[\"null\",\"string\",\"int\"]", BYTES("\x04\x0a"), "INT" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char        schema[256], msg[32] = "\0\0\0\0\x0c";
    rig         r;
    csfle_buf   out;
    csfle_error e = CSFLE_ERROR_INIT;
    csfle_buf_init(&out, 0, 0);
    snprintf(schema, sizeof schema, "{\"type\":\"record\",\"name\":\"R\",\"namespace\":\"a.b\",\"fields\":[{\"name\":\"f\",\"type\":%s,\"confluent:tags\":[\"PII\"]}]}", cases[i].type);
    rig_open(&r, schema, NULL, PII_RULES, NULL);
    assert_int_equal(csfle_serialize(r.serde, CSFLE_NATIVE, cases[i].value.ptr, cases[i].value.len, NULL, &out, NULL, &e), CSFLE_E_TYPE);
    assert_non_null(strstr(e.msg, cases[i].name));
    assert_string_equal(e.where, "orders-value v7 encryptPII a.b.R.f"); /* SERDE-95 */
    assert_int_equal(out.len, 0);
    memcpy(msg + 5, cases[i].value.ptr, cases[i].value.len);
    assert_ok(csfle_deserialize(r.serde, CSFLE_NATIVE, msg, 5 + cases[i].value.len, NULL, &out, NULL, err)); /* unchanged on read */
    assert_bytes_equal(csfle__buf_view(&out), cases[i].value);
    csfle_buf_free(&out);
    rig_close(&r);
  }
}

TEST(text_that_is_no_utf8_is_refused)
{
  rig         r;
  csfle_buf   out;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf_init(&out, 0, 0);
  rig_open(&r, REC(SSN), NULL, PII_RULES, NULL);
  assert_int_equal(csfle_serialize(r.serde, CSFLE_NATIVE, "\x04\xff\xfe", 3, NULL, &out, NULL, &e), CSFLE_E_DATUM);
  csfle_buf_free(&out);
  rig_close(&r);
}

#define PAIR REC("{\"name\":\"a\",\"type\":\"string\",\"confluent:tags\":[\"PII\"]},{\"name\":\"b\",\"type\":\"string\",\"confluent:tags\":[\"PII\"]},{\"name\":\"c\",\"type\":\"string\",\"confluent:tags\":[\"TOP\"]}")
#define PAIR_RULES "{\"domainRules\":[" RULE("pii", "PII", ",\"onFailure\":\"ERROR,NONE\"") "," \
  "{\"name\":\"top\",\"type\":\"ENCRYPT\",\"tags\":[\"TOP\"],\"onFailure\":\"ERROR,NONE\",\"params\":{\"encrypt.kek.name\":\"kek2\",\"encrypt.kms.type\":\"local-kms\",\"encrypt.kms.key.id\":\"k\"}}]}"

TEST(after_a_tolerated_failure_no_field_is_half_decrypted) /* SERDE-83 SERDE-90 SERDE-98 */
{
  rig        r;
  csfle_buf  out, back, json;
  csfle_info info = CSFLE_INFO_INIT;
  csfle_buf_init(&out, 0, 0), csfle_buf_init(&back, 0, 0), csfle_buf_init(&json, 0, 0);
  rig_open(&r, PAIR, NULL, PAIR_RULES, NULL);
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, "\x02" "1\x02" "2\x02" "3", 6, NULL, &out, NULL, err));
  /* break the second field of the first rule: text a is 1 + 40 bytes, b's base64 begins after its length */
  size_t b = 5 + 1 + 40 + 1;
  out.ptr[b + 20] = out.ptr[b + 20] == 'A' ? 'B' : 'A';
  assert_ok(csfle_deserialize(r.serde, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, &info, err));
  assert_int_equal(info.passed_through, 2);
  assert_int_equal(info.decrypted, 1);
  assert_true(info.flags & CSFLE_INFO_RULE_SKIPPED);
  assert_memory_equal(back.ptr, out.ptr + 5, 82);
  assert_memory_equal(back.ptr + 82, "\x02" "3", 2);
  /* and with ERROR the record is refused, naming the field */
  csfle_client *cl = rig_client(&r.fake, "rule.executors.pii.onFailure=ERROR");
  csfle_serde  *s = rig_serde(cl, "orders", NULL, NULL);
  csfle_error   e = CSFLE_ERROR_INIT;
  assert_int_equal(csfle_deserialize(s, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, &info, &e), CSFLE_E_DECRYPT);
  assert_string_equal(e.where, "orders-value v7 pii R.b");
  assert_int_equal(back.len, 0);
  csfle_serde_close(s);
  csfle_client_close(cl);
  csfle_buf_free(&out), csfle_buf_free(&back), csfle_buf_free(&json);
  rig_close(&r);
}

TEST(a_missing_executor_on_read_follows_on_failure) /* SERDE-89 SERDE-90 */
{
  const struct { const char *on_failure; csfle_status st; } cases[] = { { "ERROR", CSFLE_E_RULE }, { "ERROR,NONE", CSFLE_OK } };
  for (size_t i = 0; i < 2; i++) {
    char        rules[1024];
    rig         r;
    csfle_buf   out, back;
    csfle_info  info = CSFLE_INFO_INIT;
    csfle_error e = CSFLE_ERROR_INIT;
    csfle_buf_init(&out, 0, 0), csfle_buf_init(&back, 0, 0);
    snprintf(rules, sizeof rules, "{\"domainRules\":[" RULE("encryptPII", "PII", "") ",{\"name\":\"mask\",\"mode\":\"READ\",\"type\":\"JSONATA\",\"onFailure\":\"%s\"},"
             "{\"name\":\"mask2\",\"mode\":\"WRITEREAD\",\"type\":\"JSONATA\",\"onFailure\":\"%s\",\"disabled\":true}]}", i ? "NONE" : "ERROR", cases[i].on_failure);
    rig_open(&r, CUSTOMER, NULL, rules, NULL);
    assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
    assert_int_equal(csfle_deserialize(r.serde, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, &info, &e), cases[i].st);
    if (cases[i].st == CSFLE_OK) {
      assert_bytes_equal(csfle__buf_view(&back), BYTES(CUSTOMER_VALUE)); /* the remaining rules still run */
      assert_true(info.flags & CSFLE_INFO_RULE_SKIPPED);
    } else {
      assert_string_equal(e.msg, "Could not find rule executor of type JSONATA");
    }
    csfle_buf_free(&out), csfle_buf_free(&back);
    rig_close(&r);
  }
}

TEST(rules_of_one_direction_run_in_that_direction) /* SERDE-64 */
{
  rig        r;
  csfle_buf  out, back;
  csfle_info info = CSFLE_INFO_INIT;
  csfle_buf_init(&out, 0, 0), csfle_buf_init(&back, 0, 0);
  rig_open(&r, CUSTOMER, NULL, "{\"domainRules\":[{\"name\":\"w\",\"mode\":\"WRITE\",\"type\":\"ENCRYPT\",\"tags\":[\"PII\"],\"params\":{" RULE_PARAMS "}},"
           "{\"name\":\"u\",\"mode\":\"UPGRADE\",\"type\":\"CEL\"}]}", NULL);
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, &info, err));
  assert_int_equal(info.encrypted, 1);
  assert_ok(csfle_deserialize(r.serde, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, &info, err));
  assert_bytes_equal(csfle__buf_view(&back), csfle__from(csfle__buf_view(&out), 5));
  csfle_buf_free(&out), csfle_buf_free(&back);
  rig_close(&r);
}

TEST(a_reader_with_the_latest_version_uses_its_rules_or_refuses) /* SERDE-69, S16 */
{
  rig         r;
  csfle_buf   out, back;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_info  info = CSFLE_INFO_INIT;
  csfle_buf_init(&out, 0, 0), csfle_buf_init(&back, 0, 0);
  rig_open(&r, CUSTOMER, NULL, PII_RULES, NULL);
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
  /* the same layout under another version: read with that one's rules, reported under the writer's id */
  csfle_fake_add_schema(&r.fake, "orders-value", 13, 8, CUSTOMER, "{\"properties\":{\"x\":\"y\"}}", PII_RULES);
  csfle_client *cl = rig_client(&r.fake, NULL);
  csfle_serde  *s = rig_serde(cl, "orders", NULL, NULL);
  assert_ok(csfle_deserialize(s, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, &info, err));
  assert_bytes_equal(csfle__buf_view(&back), BYTES(CUSTOMER_VALUE));
  assert_int_equal(info.schema_id, 12);
  csfle_serde_close(s), csfle_client_close(cl);
  /* another layout, and migrations: not silently ignored */
  csfle_fake_add_schema(&r.fake, "orders-value", 14, 9, REC(ID "," SSN), NULL, PII_RULES);
  cl = rig_client(&r.fake, NULL), s = rig_serde(cl, "orders", NULL, NULL);
  assert_int_equal(csfle_deserialize(s, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, &info, &e), CSFLE_E_SCHEMA_MISMATCH);
  csfle_serde_close(s), csfle_client_close(cl);
  csfle_fake_add_schema(&r.fake, "orders-value", 15, 10, CUSTOMER, NULL, "{\"migrationRules\":[{\"name\":\"m\",\"mode\":\"UPGRADE\",\"type\":\"JSONATA\"}],\"domainRules\":[" RULE("e", "PII", "") "]}");
  cl = rig_client(&r.fake, NULL), s = rig_serde(cl, "orders", NULL, NULL);
  assert_int_equal(csfle_deserialize(s, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, &info, &e), CSFLE_E_RULE);
  assert_non_null(strstr(e.msg, "migration rules are not supported yet"));
  csfle_serde_close(s), csfle_client_close(cl);
  csfle_buf_free(&out), csfle_buf_free(&back);
  rig_close(&r);
}

TEST(no_error_text_of_a_failing_call_holds_data) /* API rule 7, ENC-102 */
{
  const struct { const char *json; } cases[] = {
    { "{\"id\":\"" CANARY "\",\"ssn\":\"x\",\"note\":\"\"}" }, { "{\"id\":1,\"ssn\":{\"" CANARY "\":1},\"note\":\"\"}" },
    { "{\"id\":1,\"" CANARY "\":2,\"ssn\":\"x\",\"note\":\"\"}" }, { "{\"id\":1,\"ssn\":\"" CANARY "\"" }, { "\"" CANARY "\"" }, { CANARY },
    { "{\"id\":1,\"ssn\":\"" CANARY "\",\"ssn\":\"" CANARY "\",\"note\":\"\"}" }, { "{\"id\":1,\"ssn\":\"" CANARY "\",\"note\":1}" },
    { "{\"id\":1,\"ssn\":[\"" CANARY "\"],\"note\":\"\"}" }, { "{\"id\":1e99,\"ssn\":\"" CANARY "\",\"note\":\"\"}" },
  };
  rig r;
  rig_open(&r, CUSTOMER, NULL, PII_RULES, NULL);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle_buf   out;
    csfle_error e = CSFLE_ERROR_INIT;
    csfle_buf_init(&out, 0, 0);
    csfle_status st = csfle_serialize(r.serde, CSFLE_JSON, cases[i].json, strlen(cases[i].json), NULL, &out, NULL, &e);
    if (st == CSFLE_OK) fail_msg("case %zu was written", i);
    assert_int_equal(CSFLE_CLASS(st), CSFLE_CLASS_RECORD);
    no_canary(&out, &e);
    csfle_buf_free(&out);
  }
  rig_close(&r);
}

TEST(schema_types_to_come_are_refused_by_name)
{
  csfle_fake  f;
  csfle_buf   out;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf_init(&out, 0, 0);
  csfle_fake_init(&f);
  csfle_fake_add_schema_type(&f, "orders-value", 12, 7, "PROTOBUF", "syntax = \"proto3\"; message A {}", NULL, NULL);
  csfle_client *cl = rig_client(&f, NULL);
  csfle_serde  *s = rig_serde(cl, "orders", NULL, NULL);
  assert_int_equal(csfle_serialize(s, CSFLE_JSON, "{}", 2, NULL, &out, NULL, &e), CSFLE_E_SCHEMA);
  assert_non_null(strstr(e.msg, "PROTOBUF"));
  csfle_serde_close(s);
  csfle_client_close(cl);
  csfle_fake_free(&f);
  csfle_buf_free(&out);
}

TEST(made_up_ids_and_versions_do_not_become_requests) /* AB-14, security note 4 */
{
  rig         r;
  csfle_buf   out, back;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf_init(&out, 0, 0), csfle_buf_init(&back, 0, 0);
  rig_open(&r, REC("{\"name\":\"f\",\"type\":\"bytes\",\"confluent:tags\":[\"PII\"]}"), NULL,
           "{\"domainRules\":[{\"name\":\"r\",\"type\":\"ENCRYPT\",\"tags\":[\"PII\"],\"params\":{" RULE_PARAMS ",\"encrypt.dek.expiry.days\":\"9\"}}]}", NULL);
  for (int i = 0; i < 100; i++) {
    assert_int_equal(csfle_deserialize(r.serde, CSFLE_NATIVE, "\0\0\0\0\x63\2", 6, NULL, &back, NULL, &e), CSFLE_E_WIRE);
    assert_int_equal(CSFLE_CLASS(e.code), CSFLE_CLASS_RECORD);
    assert_string_equal(e.where, "orders-value id 99");
  }
  assert_int_equal(csfle_fake_count(&r.fake, "GET /schemas/ids/99"), 1);
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, "\x02x", 2, NULL, &out, NULL, err));
  out.ptr[10] = 77; /* the version in the prefix */
  for (int i = 0; i < 100; i++) assert_int_equal(csfle_deserialize(r.serde, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, NULL, &e), CSFLE_E_DECRYPT);
  assert_int_equal(csfle_fake_count(&r.fake, "GET /dek-registry/v1/keks/kek1/deks/orders-value/versions/77"), 1);
  r.fake.mono_ms += 1001;
  assert_int_equal(csfle_deserialize(r.serde, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, NULL, &e), CSFLE_E_DECRYPT);
  assert_int_equal(csfle_fake_count(&r.fake, "GET /dek-registry/v1/keks/kek1/deks/orders-value/versions/77"), 2);
  csfle_buf_free(&out), csfle_buf_free(&back);
  rig_close(&r);
}

static int  warnings;
static void count_warning(void *opaque, int level, const char *facility, const char *text)
{
  (void)opaque, (void)facility;
  if (level <= 4 && (strstr(text, "no ENCRYPT rule is at work") || strstr(text, "has no ENCRYPT rule"))) warnings++;
}

TEST(a_registry_that_loses_its_rules_is_spoken_of_even_without_a_pin) /* AB-2 */
{
  csfle_fake    f;
  csfle_buf     out;
  csfle_error   e = CSFLE_ERROR_INIT;
  csfle_buf_init(&out, 0, 0);
  csfle_fake_init(&f);
  csfle_fake_add_schema(&f, "orders-value", 12, 7, CUSTOMER, NULL, PII_RULES);
  csfle_config *c = csfle_config_new(RIG_PROPS);
  csfle__config_set_clock(c, &f.clock);
  csfle_config_on_log(c, 7, count_warning, NULL);
  csfle_config_add_transport(c, &f.transport, &e);
  csfle_client *cl = csfle_client_open(c, &e);
  csfle_config_free(c);
  csfle_serde *s = rig_serde(cl, "orders", CUSTOMER, NULL);
  warnings = 0;
  assert_ok(csfle_serialize(s, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
  assert_int_equal(warnings, 0);
  csfle_fake_add_schema(&f, "orders-value", 13, 8, CUSTOMER, NULL, NULL);
  f.mono_ms += 301000;
  assert_ok(csfle_serialize(s, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
  assert_int_equal(warnings, 2);
  csfle_serde_close(s);
  csfle_client_close(cl);
  csfle_fake_free(&f);
  csfle_buf_free(&out);
}
