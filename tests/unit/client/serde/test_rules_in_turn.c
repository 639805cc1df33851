/* Proves rules in turn: executors for fields and for whole messages between ENCRYPT rules, both ways, and what their failures leave. */
#include "client/rule/executor.h"
#include "tests/unit/client/rig.h"

#define CANARY "078-05-1120"
#define FIELD(name, tag, expr, more) \
  "{\"name\":\"" name "\",\"type\":\"TEST_FIELD\",\"tags\":[\"" tag "\"],\"expr\":\"" expr "\"" more "}"
#define MESSAGE(name, expr, more) "{\"name\":\"" name "\",\"type\":\"TEST_MESSAGE\",\"expr\":\"" expr "\"" more "}"
#define SIV_RULE(name, tag, more)                                                                                                            \
  "{\"name\":\"" name "\",\"type\":\"ENCRYPT\",\"tags\":[\"" tag "\"],\"params\":{" RULE_PARAMS ",\"encrypt.dek.algorithm\":\"AES256_SIV\"}" \
  more "}"
#define RULES(all) "{\"domainRules\":[" all "]}"
#define NONE ",\"onFailure\":\"NONE\""
/* ssn carries A B C, note carries D, n carries E */
#define PERSON "{\"type\":\"record\",\"name\":\"P\",\"fields\":[{\"name\":\"ssn\",\"type\":\"string\",\"confluent:tags\":[\"C\",\"A\",\"B\"]}," \
               "{\"name\":\"note\",\"type\":\"string\",\"confluent:tags\":[\"D\"]},{\"name\":\"n\",\"type\":\"int\",\"confluent:tags\":[\"E\"]}]}"
#define PERSON_TEXT "{\"ssn\":\"" CANARY "\",\"note\":\"plain\",\"n\":7}"

/* ---- executors, told by the rule's expr what to do; what they saw is in `seen` */

static char seen[32][512];
static int  seen_count;
static bool keep_seen = true;

static void see(const csfle__rule *r, csfle__bytes v)
{
  if (keep_seen && seen_count < 32) snprintf(seen[seen_count++], sizeof seen[0], "%.*s: %.*s", CSFLE__FMT(r->name), CSFLE__FMT(v));
}

static csfle_status test_field(void *opaque, const csfle__rule_call *call, const csfle__rule_field *f, csfle__bytes v, csfle_buf *out,
                               csfle__answer *answer, csfle_error *err)
{
  const csfle__bytes e = call->rule->expr;
  csfle_status       rc = CSFLE_OK;
  assert_ptr_equal(opaque, seen);
  assert_string_equal(call->subject, "orders-value");
  assert_int_equal(out->len, 0);
  see(call->rule, v);
  if (csfle__eq_str(e, "wrap")) { /* longer on the way out, shorter on the way in */
    *answer = CSFLE__ANSWER_CHANGED;
    if (call->direction == CSFLE__ON_WRITE) return csfle__buf_printf(out, err, "<<%.*s>>", CSFLE__FMT(v));
    if (v.len < 4 || v.ptr[0] != '<') return csfle__fail(err, CSFLE_E_RULE, "not wrapped");
    return csfle__buf_put(out, v.ptr + 2, v.len - 4, err);
  }
  if (csfle__eq_str(e, "empty")) *answer = CSFLE__ANSWER_CHANGED;
  if (csfle__eq_str(e, "false")) *answer = CSFLE__ANSWER_FALSE;
  if (csfle__eq_str(e, "bytes")) *answer = CSFLE__ANSWER_CHANGED, rc = csfle__buf_put(out, "\xff\xfe", 2, err);
  if (csfle__eq_str(e, "mute")) return CSFLE_E_DATUM;
  if (csfle__eq_str(e, "fail")) return csfle__fail(err, CSFLE_E_DATUM, "did not work");
  if (csfle__eq_str(e, "wait")) return csfle__fail(err, CSFLE_E_TIMEOUT, "not now");
  if (csfle__eq_str(e, "fail second")) {
    static int n;
    if (n++ % 2) return csfle__fail(err, CSFLE_E_DATUM, "did not work");
    *answer = CSFLE__ANSWER_CHANGED, rc = csfle__buf_puts(out, "half done", err);
  }
  if (csfle__eq_str(e, "describe")) {
    csfle_buf b;
    csfle_buf_init(&b, 0, 0);
    csfle__buf_printf(&b, NULL, "%.*s %s", CSFLE__FMT(f->name), csfle__leaf_type_name(f->type));
    for (size_t i = 0; i < f->tags->count; i++) csfle__buf_printf(&b, NULL, " %.*s", CSFLE__FMT(f->tags->at[i]));
    see(call->rule, csfle__buf_view(&b));
    csfle_buf_free(&b);
  }
  return rc;
}

/* Appends @p json with its first @p from replaced. */
static csfle_status swap(csfle__bytes json, const char *from, const char *to, csfle_buf *out, csfle_error *err)
{
  const uint8_t *at = memmem(json.ptr, json.len, from, strlen(from));
  if (!at) return csfle__fail(err, CSFLE_E_RULE, "nothing to replace");
  size_t       n = (size_t)(at - json.ptr);
  csfle_status rc = csfle__buf_put(out, json.ptr, n, err);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(out, to, err);
  return rc == CSFLE_OK ? csfle__buf_put(out, at + strlen(from), json.len - n - strlen(from), err) : rc;
}

static csfle_status test_message(void *opaque, const csfle__rule_call *call, csfle__bytes json, csfle_buf *out, csfle__answer *answer, csfle_error *err)
{
  const csfle__bytes e = call->rule->expr;
  bool               write = call->direction == CSFLE__ON_WRITE;
  assert_ptr_equal(opaque, seen);
  assert_int_equal(out->len, 0);
  see(call->rule, json);
  if (csfle__eq_str(e, "false")) return *answer = CSFLE__ANSWER_FALSE, CSFLE_OK;
  if (csfle__eq_str(e, "fail")) return csfle__buf_puts(out, CANARY, NULL), csfle__fail(err, CSFLE_E_DATUM, "did not work");
  if (csfle__eq_str(e, "same") || !e.len) return CSFLE_OK;
  *answer = CSFLE__ANSWER_CHANGED;
  if (csfle__eq_str(e, "null")) return csfle__buf_puts(out, "null", err);
  if (csfle__eq_str(e, "nothing")) return CSFLE_OK;
  if (csfle__eq_str(e, "unfit")) return csfle__buf_puts(out, "{\"ssn\":{\"" CANARY "\":1},\"note\":\"" CANARY "\",\"n\":\"" CANARY "\",\"" CANARY "\":1}", err);
  if (csfle__eq_str(e, "longer")) return write ? swap(json, "plain", "plainer, much plainer", out, err) : swap(json, "plainer, much plainer", "plain", out, err);
  if (csfle__eq_str(e, "append")) return write ? swap(json, "]", ",\"c\"]", out, err) : swap(json, ",\"c\"]", "]", out, err);
  if (csfle__eq_str(e, "clear")) return csfle__buf_puts(out, "{\"ssn\":\"" CANARY "\",\"note\":\"plain\",\"n\":7}", err);
  if (csfle__eq_str(e, "reverse")) { /* the two texts of {"a":["x","y"]} change places */
    const char *a = memchr(json.ptr, '[', json.len), *m = memchr(json.ptr, ',', json.len), *z = memchr(json.ptr, ']', json.len);
    return csfle__buf_printf(out, err, "{\"a\":[%.*s,%.*s]}", (int)(z - m - 1), m + 1, (int)(m - a - 1), a + 1);
  }
  return csfle__fail(err, CSFLE_E_INTERNAL, "unknown expr");
}

static const csfle__executor_ops field_ops = { .level = CSFLE__LEVEL_FIELD, .field = test_field };
static const csfle__executor_ops message_ops = { .level = CSFLE__LEVEL_MESSAGE, .message = test_message };

/* ---- a rig with them */

static csfle_client *client_with(csfle_fake *f, const char *props, csfle_error *err)
{
  csfle_config *c = csfle_config_new(RIG_PROPS);
  csfle_client *cl = NULL;
  char         *copy = strdup(props ? props : "");
  csfle_status  rc = c ? csfle_config_add_transport(c, &f->transport, err) : (err->code = CSFLE_E_NOMEM);
  if (c) csfle__config_set_clock(c, &f->clock), csfle_config_on_log(c, 7, rig_log, NULL);
  if (rc == CSFLE_OK) rc = csfle__config_add_executor(c, "test_field", &field_ops, seen, err);
  if (rc == CSFLE_OK) rc = csfle__config_add_executor(c, "TEST_MESSAGE", &message_ops, seen, err);
  for (char *line = strtok(copy, "\n"); line && rc == CSFLE_OK; line = strtok(NULL, "\n")) {
    char *eq = strchr(line, '=');
    *eq = 0;
    rc = csfle_config_set(c, line, eq + 1, err);
  }
  free(copy);
  if (rc == CSFLE_OK) cl = csfle_client_open(c, err);
  csfle_config_free(c);
  return cl;
}

typedef struct run {
  rig          r;
  csfle_buf    out, back;
  csfle_status wrote, read;
  csfle_error  err;
  csfle_info   info, read_info;
} run;

static void begin(run *t, const char *schema, const char *metadata, const char *rules, const char *props)
{
  *t = (run){ .err = CSFLE_ERROR_INIT, .info = CSFLE_INFO_INIT, .read_info = CSFLE_INFO_INIT };
  csfle_buf_init(&t->out, 0, 0), csfle_buf_init(&t->back, 0, 0);
  csfle_fake_init(&t->r.fake);
  csfle_fake_add_schema(&t->r.fake, "orders-value", 12, 7, schema, metadata, rules);
  t->r.client = client_with(&t->r.fake, props, &t->err);
  if (!t->r.client) fail_msg("%s", t->err.msg);
  t->r.serde = rig_serde(t->r.client, "orders", schema, NULL);
  seen_count = 0;
}

static void end(run *t)
{
  csfle_buf_free(&t->out), csfle_buf_free(&t->back);
  rig_close(&t->r);
}

static void send_text(run *t, const char *json)
{
  t->wrote = csfle_serialize(t->r.serde, CSFLE_JSON, json, strlen(json), NULL, &t->out, &t->info, &t->err);
  t->read = -1;
  if (t->wrote != CSFLE_OK) return;
  t->read = csfle_deserialize(t->r.serde, CSFLE_JSON, t->out.ptr, t->out.len, NULL, &t->back, &t->read_info, &t->err);
}

static void assert_round_trip(run *t, const char *json)
{
  send_text(t, json);
  if (t->wrote != CSFLE_OK || t->read != CSFLE_OK) fail_msg("%d %d %s: %s", t->wrote, t->read, t->err.where, t->err.msg);
  assert_bytes_equal(csfle__buf_view(&t->back), csfle__str(json));
}

#define assert_seen(i, text) assert_string_equal(seen[i], text)

/* ---- tests */

TEST(three_rules_on_one_field_nest_and_unfold) /* SERDE-62 SERDE-64 SERDE-79 SERDE-112 */
{
  run t;
  begin(&t, PERSON, NULL, RULES(RULE("one", "A", "") "," FIELD("two", "B", "wrap", "") "," SIV_RULE("three", "C", "")), "csfle.require.tags=C");
  for (int i = 0; i < 3; i++) {
    seen_count = 0;
    assert_round_trip(&t, PERSON_TEXT);
    assert_int_equal(seen_count, 2); /* once each way */
    assert_int_equal(strlen(seen[0]), 5 + 52);
    assert_memory_equal(seen[1], "two: <<", 7);
    assert_memory_equal(seen[1] + 7, seen[0] + 5, 52); /* the reader's second rule sees what the writer's second put out */
    assert_int_equal(t.info.encrypted, 1);
    assert_int_equal(t.read_info.decrypted, 1);
    /* prefix, length (2 bytes), base64 of a 16-byte tag and 56 bytes; note, n */
    assert_int_equal(t.out.len, 5 + 2 + 96 + 6 + 1);
    assert_false(rig_contains(csfle__buf_view(&t.out), CANARY));
  }
  end(&t);
}

TEST(a_message_rule_sees_what_the_rules_before_it_left) /* SERDE-62 SERDE-67 */
{
  static const char *const exprs[] = { "same", "longer" };
  for (size_t i = 0; i < 2; i++) {
    char rules[2048];
    run  t;
    snprintf(rules, sizeof rules, RULES(RULE("a", "A", "") "," MESSAGE("m", "%s", "") "," RULE("d", "D", "")), exprs[i]);
    begin(&t, PERSON, NULL, rules, "csfle.require.tags=A,D");
    assert_round_trip(&t, PERSON_TEXT);
    assert_int_equal(seen_count, 2);
    assert_null(strstr(seen[0], CANARY)); /* encrypted before it */
    assert_non_null(strstr(seen[0], "\"plain\"")); /* encrypted after it */
    assert_null(strstr(seen[1], CANARY)); /* decrypted after it */
    assert_non_null(strstr(seen[1], i ? "\"plainer, much plainer\"" : "\"plain\"")); /* decrypted before it */
    if (!i) assert_string_equal(seen[0], seen[1]);
    assert_int_equal(t.info.encrypted, 2);
    assert_int_equal(t.read_info.decrypted, 2);
    assert_false(rig_contains(csfle__buf_view(&t.out), "plain"));
    end(&t);
  }
}

TEST(message_rules_follow_each_other_and_share_no_buffer) /* SERDE-62 */
{
  run t;
  begin(&t, PERSON, NULL, RULES(FIELD("w", "D", "wrap", "") "," MESSAGE("one", "longer", "") "," FIELD("x", "A", "wrap", "") ","
                                MESSAGE("two", "longer", "") "," MESSAGE("three", "same", "") "," MESSAGE("four", "longer", "") "," RULE("e", "A", "")), NULL);
  assert_round_trip(&t, PERSON_TEXT);
  assert_int_equal(seen_count, 12);
  assert_seen(0, "w: plain");
  assert_seen(1, "one: {\"ssn\":\"" CANARY "\",\"note\":\"<<plain>>\",\"n\":7}");
  assert_seen(3, "two: {\"ssn\":\"<<" CANARY ">>\",\"note\":\"<<plainer, much plainer>>\",\"n\":7}");
  assert_seen(4, "three: {\"ssn\":\"<<" CANARY ">>\",\"note\":\"<<plainer, much plainerer, much plainer>>\",\"n\":7}");
  assert_seen(10, "one: {\"ssn\":\"" CANARY "\",\"note\":\"<<plainer, much plainer>>\",\"n\":7}");
  assert_seen(11, "w: <<plain>>");
  end(&t);
}

TEST(blocks_that_say_their_size_pass_a_message_rule) /* SERDE-62 */
{
  static const char schema[] = "{\"type\":\"record\",\"name\":\"L\",\"fields\":[{\"name\":\"a\",\"type\":{\"type\":\"array\",\"items\":\"string\"},"
                               "\"confluent:tags\":[\"A\",\"B\"]},{\"name\":\"note\",\"type\":\"string\"}]}";
  /* a block of -2 items in 4 bytes, one of 1, the end */
  static const char value[] = "\x03\x08\x02x\x02y\x02\x02z\x00\x0aplain";
  run               t;
  begin(&t, schema, NULL, RULES(RULE("a", "A", "") "," MESSAGE("m", "append", "") "," RULE("b", "B", "")), "csfle.require.tags=A");
  for (int i = 0; i < 2; i++) {
    assert_ok(csfle_serialize(t.r.serde, CSFLE_NATIVE, value, sizeof value - 1, NULL, &t.out, &t.info, err));
    assert_int_equal(t.info.encrypted, 4);
    assert_ok(csfle_deserialize(t.r.serde, CSFLE_JSON, t.out.ptr, t.out.len, NULL, &t.back, &t.read_info, err));
    assert_bytes_equal(csfle__buf_view(&t.back), BYTES("{\"a\":[\"x\",\"y\",\"z\"],\"note\":\"plain\"}"));
  }
  end(&t);
}

TEST(a_field_executor_learns_name_type_and_all_tags)
{
  run t;
  begin(&t, PERSON, "{\"tags\":{\"**.note\":[\"X\",\"D\"],\"P.*\":[\"Y\"]}}", RULES("{\"name\":\"f\",\"mode\":\"WRITE\",\"type\":\"Test_Field\",\"expr\":\"describe\"}"), NULL);
  assert_round_trip(&t, PERSON_TEXT);
  assert_int_equal(seen_count, 6);
  assert_seen(0, "f: " CANARY);
  assert_seen(1, "f: P.ssn STRING A B C Y");
  assert_seen(3, "f: P.note STRING D X Y");
  assert_seen(4, "f: \x0e");
  assert_seen(5, "f: P.n INT E Y");
  end(&t);
}

TEST(one_way_rules_run_one_way) /* SERDE-64 */
{
  run t;
  begin(&t, PERSON, NULL, RULES(FIELD("w", "D", "wrap", ",\"mode\":\"WRITE\"") "," MESSAGE("r", "same", ",\"mode\":\"READ\"") ","
                                FIELD("u", "D", "fail", ",\"mode\":\"UPDOWN\"")), NULL);
  send_text(&t, PERSON_TEXT);
  assert_bytes_equal(csfle__buf_view(&t.back), BYTES("{\"ssn\":\"" CANARY "\",\"note\":\"<<plain>>\",\"n\":7}"));
  assert_int_equal(seen_count, 2);
  assert_seen(1, "r: {\"ssn\":\"" CANARY "\",\"note\":\"<<plain>>\",\"n\":7}");
  end(&t);
}

#define COND ",\"kind\":\"CONDITION\""

TEST(what_fails_says_why_and_shows_no_value) /* SERDE-81 SERDE-85 SERDE-88 SERDE-91 SERDE-92 SERDE-93 SERDE-94 SERDE-95 S4 */
{
  const struct { const char *rules; int code; const char *where, *msg; } cases[] = {
    { FIELD("f", "A", "false", COND), CSFLE_E_CONDITION, "orders-value v7 f P.ssn", "Expr failed: 'false'" },
    { FIELD("f", "A", "false", COND ",\"doc\":\"no such people\""), CSFLE_E_CONDITION, "orders-value v7 f P.ssn", "no such people" },
    { FIELD("f", "A", "false", COND ",\"doc\":\"\""), CSFLE_E_CONDITION, NULL, "Expr failed: 'false'" },
    { MESSAGE("m", "false", COND), CSFLE_E_CONDITION, "orders-value v7 m", "Expr failed: 'false'" },
    { MESSAGE("m", "false", COND ",\"doc\":\"no such people\""), CSFLE_E_CONDITION, "orders-value v7 m", "no such people" },
    { FIELD("f", "A", "wrap", COND), CSFLE_OK, NULL, NULL }, /* its bytes are not taken */
    { MESSAGE("m", "null", COND), CSFLE_OK, NULL, NULL },
    { FIELD("f", "A", "false", ""), CSFLE_E_RULE, "orders-value v7 f P.ssn", "the executor of a TRANSFORM rule answered false" },
    { MESSAGE("m", "false", ""), CSFLE_E_RULE, "orders-value v7 m", "the executor of a TRANSFORM rule answered false" },
    { FIELD("f", "A", "fail", ""), CSFLE_E_DATUM, "orders-value v7 f P.ssn", "did not work" },
    { FIELD("f", "A", "mute", ""), CSFLE_E_RULE, "orders-value v7 f P.ssn", "the executor failed without saying why" },
    { FIELD("f", "A", "wait", NONE), CSFLE_E_TIMEOUT, "orders-value v7 f P.ssn", "not now" },
    { FIELD("f", "A", "bytes", ""), CSFLE_E_RULE, "orders-value v7 f P.ssn", "the executor's text is not valid UTF-8" },
    { FIELD("f", "E", "bytes", ""), CSFLE_E_TYPE, "orders-value v7 f P.n", "a value of type INT cannot be replaced by 2 bytes" },
    { FIELD("f", "E", "same", ""), CSFLE_OK, NULL, NULL },
    { MESSAGE("m", "fail", ""), CSFLE_E_DATUM, "orders-value v7 m", "did not work" },
    { MESSAGE("m", "unfit", ""), CSFLE_E_RULE, "orders-value v7 m", NULL },
    { MESSAGE("m", "null", ""), CSFLE_E_RULE, "orders-value v7 m", NULL },
    { MESSAGE("m", "nothing", ""), CSFLE_E_RULE, "orders-value v7 m", NULL },
    { FIELD("f", "A", "same", ",\"onSuccess\":\"ERROR\""), CSFLE_E_RULE, "orders-value v7 f", "rule succeeded and its onSuccess is ERROR" },
    { MESSAGE("m", "same", ",\"onSuccess\":\"ERROR\"" NONE), CSFLE_E_RULE, "orders-value v7 m", "rule succeeded and its onSuccess is ERROR" },
    { "{\"name\":\"c\",\"type\":\"CEL\",\"onFailure\":\"NONE\"}", CSFLE_E_RULE, "orders-value v7 c", "Could not find rule executor of type CEL" },
    { FIELD("f", "A", "fail", NONE) "," MESSAGE("m", "fail", "") "," MESSAGE("after", "same", ""), CSFLE_E_DATUM, "orders-value v7 m", "did not work" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char rules[2048];
    run  t;
    snprintf(rules, sizeof rules, RULES("%s"), cases[i].rules);
    begin(&t, PERSON, NULL, rules, NULL);
    t.wrote = csfle_serialize(t.r.serde, CSFLE_JSON, PERSON_TEXT, strlen(PERSON_TEXT), NULL, &t.out, &t.info, &t.err);
    if (t.wrote != cases[i].code || (cases[i].where && strcmp(cases[i].where, t.err.where)) || (cases[i].msg && strcmp(cases[i].msg, t.err.msg)))
      fail_msg("%s: %d '%s' '%s'", cases[i].rules, t.wrote, t.err.where, t.err.msg);
    assert_null(strstr(t.err.msg, CANARY));
    assert_null(strstr(t.err.where, CANARY));
    if (strstr(cases[i].rules, "after")) assert_int_equal(seen_count, 2); /* it did not run */
    if (t.wrote != CSFLE_OK) assert_int_equal(t.out.len, 0);
    end(&t);
  }
}

static csfle_status always_false(void *opaque, const csfle__rule_call *call, csfle__bytes json, csfle_buf *out, csfle__answer *answer, csfle_error *err)
{
  (void)opaque, (void)call, (void)json, (void)out, (void)err;
  return *answer = CSFLE__ANSWER_FALSE, CSFLE_OK;
}

TEST(a_condition_with_neither_text_nor_expr_is_called_by_its_name) /* SERDE-91 */
{
  static const csfle__executor_ops ops = { .level = CSFLE__LEVEL_MESSAGE, .message = always_false };
  rig           r;
  csfle_error   err = CSFLE_ERROR_INIT;
  csfle_buf     out;
  csfle_config *c = csfle_config_new(RIG_PROPS);
  csfle_buf_init(&out, 0, 0);
  csfle_fake_init(&r.fake);
  csfle_fake_add_schema(&r.fake, "orders-value", 12, 7, PERSON, NULL, RULES("{\"name\":\"adults only\",\"type\":\"never\",\"kind\":\"CONDITION\"}"));
  csfle__config_set_clock(c, &r.fake.clock);
  assert_int_equal(csfle_config_add_transport(c, &r.fake.transport, &err), CSFLE_OK);
  assert_int_equal(csfle__config_add_executor(c, "NEVER", &ops, NULL, &err), CSFLE_OK);
  /* what is no executor of one's own */
  assert_int_equal(csfle__config_add_executor(c, "never", &ops, NULL, &err), CSFLE_E_MISUSE);
  assert_int_equal(csfle__config_add_executor(c, "encrypt", &ops, NULL, &err), CSFLE_E_MISUSE);
  assert_int_equal(csfle__config_add_executor(c, "ENCRYPT_PAYLOAD", &ops, NULL, &err), CSFLE_E_MISUSE);
  assert_int_equal(csfle__config_add_executor(c, "", &ops, NULL, &err), CSFLE_E_MISUSE);
  assert_int_equal(csfle__config_add_executor(c, "X", NULL, NULL, &err), CSFLE_E_MISUSE);
  r.client = csfle_client_open(c, &err);
  csfle_config_free(c);
  r.serde = rig_serde(r.client, "orders", PERSON, NULL);
  assert_int_equal(csfle_serialize(r.serde, CSFLE_JSON, PERSON_TEXT, strlen(PERSON_TEXT), NULL, &out, NULL, &err), CSFLE_E_CONDITION);
  assert_string_equal(err.msg, "Condition failed: 'adults only'");
  csfle_buf_free(&out);
  rig_close(&r);
}

TEST(a_tolerated_failure_leaves_the_record_as_it_was_before_the_rule) /* SERDE-82 SERDE-83 SERDE-90 SERDE-98 */
{
  static const char two[] = "{\"type\":\"record\",\"name\":\"P\",\"fields\":[{\"name\":\"ssn\",\"type\":\"string\",\"confluent:tags\":[\"A\"]},"
                            "{\"name\":\"note\",\"type\":\"string\",\"confluent:tags\":[\"A\"]}]}";
  const struct { const char *rules, *at_end; } cases[] = {
    { FIELD("w", "A", "wrap", ",\"mode\":\"WRITE\"") "," FIELD("f", "A", "fail second", NONE), "{\"ssn\":\"<<x>>\",\"note\":\"<<plain>>\"}" },
    { FIELD("w", "A", "wrap", ",\"mode\":\"WRITE\"") "," MESSAGE("m", "fail", NONE), "{\"ssn\":\"<<x>>\",\"note\":\"<<plain>>\"}" },
    { FIELD("w", "A", "wrap", ",\"mode\":\"WRITE\"") "," MESSAGE("m", "unfit", NONE) "," MESSAGE("n", "longer", ",\"mode\":\"WRITE\""),
      "{\"ssn\":\"<<x>>\",\"note\":\"<<plainer, much plainer>>\"}" },
    { MESSAGE("n", "longer", ",\"mode\":\"WRITE\"") "," MESSAGE("m", "unfit", NONE) "," FIELD("f", "A", "mute", NONE), "{\"ssn\":\"x\",\"note\":\"plainer, much plainer\"}" },
    { FIELD("f", "A", "false", COND NONE) "," MESSAGE("m", "false", COND NONE), "{\"ssn\":\"x\",\"note\":\"plain\"}" },
    { FIELD("f", "A", "fail", ",\"mode\":\"READ\"" NONE) "," FIELD("w", "A", "wrap", ""), "{\"ssn\":\"x\",\"note\":\"plain\"}" },
    { "{\"name\":\"c\",\"mode\":\"READ\",\"type\":\"CEL\",\"onFailure\":\"NONE\"}," FIELD("w", "A", "wrap", ""), "{\"ssn\":\"x\",\"note\":\"plain\"}" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char rules[2048];
    run  t;
    snprintf(rules, sizeof rules, RULES("%s"), cases[i].rules);
    begin(&t, two, NULL, rules, NULL);
    send_text(&t, "{\"ssn\":\"x\",\"note\":\"plain\"}");
    if (t.wrote != CSFLE_OK || t.read != CSFLE_OK) fail_msg("%s: %s %s", cases[i].rules, t.err.where, t.err.msg);
    assert_bytes_equal(csfle__buf_view(&t.back), csfle__str(cases[i].at_end));
    assert_true((t.info.flags | t.read_info.flags) & CSFLE_INFO_RULE_SKIPPED);
    end(&t);
  }
}

TEST(ciphertext_stays_whole_when_reading_fails_between_rules) /* SERDE-96 SERDE-97 SERDE-98 */
{
  run t;
  begin(&t, PERSON, NULL, RULES(RULE("one", "A", ",\"onFailure\":\"ERROR,NONE\"") "," FIELD("two", "B", "wrap", ",\"mode\":\"WRITE\"")), NULL);
  send_text(&t, PERSON_TEXT);
  assert_int_equal(t.read, CSFLE_OK);
  assert_true(t.read_info.flags & CSFLE_INFO_RULE_SKIPPED);
  assert_int_equal(t.read_info.passed_through, 1);
  assert_int_equal(t.read_info.decrypted, 0);
  assert_true(rig_contains(csfle__buf_view(&t.back), "\"<<"));
  end(&t);
}

TEST(rules_with_the_same_tags_collapse_when_they_are_of_fields) /* SERDE-110 SERDE-111 */
{
  const struct { const char *rules; int calls; } cases[] = {
    { FIELD("a", "A\",\"B", "same", "") "," FIELD("b", "B\",\"A", "same", ""), 2 },
    { FIELD("a", "A", "same", "") "," FIELD("b", "B", "same", ""), 4 },
    { FIELD("a", "A", "same", COND) "," FIELD("b", "A", "same", COND), 4 },
    { FIELD("a", "A", "same", "") "," FIELD("b", "A", "same", COND), 4 },
    { FIELD("a", "A", "same", "") "," FIELD("b", "A", "same", ",\"mode\":\"WRITE\""), 3 },
    { MESSAGE("a", "same", ",\"tags\":[\"A\"]") "," MESSAGE("b", "same", ",\"tags\":[\"A\"]"), 4 },
    { FIELD("a", "A", "same", ",\"disabled\":true") "," FIELD("b", "A", "same", ""), 0 }, /* as in Java */
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char rules[1024];
    run  t;
    snprintf(rules, sizeof rules, RULES("%s"), cases[i].rules);
    begin(&t, PERSON, NULL, rules, NULL);
    assert_round_trip(&t, PERSON_TEXT);
    if (seen_count != cases[i].calls) fail_msg("%s: %d calls", cases[i].rules, seen_count);
    end(&t);
  }
}

TEST(required_tags_ask_what_is_ciphertext_at_the_end) /* AB-2 S4 */
{
  static const char pair[] = "{\"type\":\"record\",\"name\":\"L\",\"fields\":[{\"name\":\"a\",\"type\":{\"type\":\"array\",\"items\":\"string\"},"
                             "\"confluent:tags\":[\"A\"]}]}";
  const struct { const char *schema, *rules, *json; int code; } cases[] = {
    { PERSON, RULE("e", "A", "") "," FIELD("f", "B", "same", ""), PERSON_TEXT, CSFLE_OK },
    { PERSON, RULE("e", "A", "") "," FIELD("f", "B", "wrap", ""), PERSON_TEXT, CSFLE_E_POLICY }, /* nobody knows what it put there */
    { PERSON, RULE("e", "A", "") "," FIELD("f", "B", "empty", ""), PERSON_TEXT, CSFLE_E_POLICY },
    { PERSON, RULE("e", "A", "") "," FIELD("f", "B", "empty", "") "," RULE("again", "C", ""), PERSON_TEXT, CSFLE_OK },
    { PERSON, RULE("e", "A", "") "," MESSAGE("m", "longer", ""), PERSON_TEXT, CSFLE_OK },
    { PERSON, RULE("e", "A", "") "," MESSAGE("m", "clear", ""), PERSON_TEXT, CSFLE_E_POLICY },
    { PERSON, RULE("e", "A", "") "," MESSAGE("m", "clear", "") "," RULE("again", "B", ""), PERSON_TEXT, CSFLE_OK },
    { PERSON, MESSAGE("m", "clear", "") "," RULE("e", "A", ""), PERSON_TEXT, CSFLE_OK },
    { pair, RULE("e", "A", "") "," MESSAGE("m", "reverse", ""), "{\"a\":[\"1\",\"23\"]}", CSFLE_OK },
    { pair, RULE("e", "A", "") "," MESSAGE("m", "append", ""), "{\"a\":[\"1\",\"23\"]}", CSFLE_E_POLICY }, /* the item that came after */
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char rules[2048];
    run  t;
    snprintf(rules, sizeof rules, RULES("%s"), cases[i].rules);
    begin(&t, cases[i].schema, NULL, rules, "csfle.require.tags=A");
    t.wrote = csfle_serialize(t.r.serde, CSFLE_JSON, cases[i].json, strlen(cases[i].json), NULL, &t.out, &t.info, &t.err);
    if (t.wrote != cases[i].code) fail_msg("%s: %d %s %s", cases[i].rules, t.wrote, t.err.where, t.err.msg);
    if (t.wrote == CSFLE_E_POLICY) assert_non_null(strstr(t.err.msg, "csfle.require.tags: the field would be written in clear"));
    assert_null(strstr(t.err.msg, CANARY));
    assert_false(rig_contains(csfle__buf_view(&t.out), CANARY));
    end(&t);
  }
}

#define EVERYTHING RULES(RULE("a", "A", "") "," FIELD("w", "D", "wrap", "") "," MESSAGE("m", "longer", "") "," FIELD("x", "B", "wrap", "") ","  \
                         MESSAGE("n", "longer", "") "," MESSAGE("bad", "unfit", NONE) "," FIELD("c", "A", "same", COND) "," SIV_RULE("z", "C", ""))

#define WARM(more) RULES(RULE("a", "A", "") "," FIELD("w", "D", "wrap", "") "," FIELD("x", "B", "wrap", "") more "," FIELD("bad", "B", "mute", COND NONE) "," SIV_RULE("z", "C", ""))

TEST(nothing_is_allocated_once_warm_with_executors)
{
  static const char value[] = "\x16" CANARY "\x0aplain\x0e";
  const struct { const char *rules; long each; } cases[] = { { WARM(""), 0 }, { WARM("," MESSAGE("m", "same", "")), 1 } }; /* what a text costs to write */
  keep_seen = false;
  for (size_t k = 0; k < 2; k++) {
    run t;
    begin(&t, PERSON, NULL, cases[k].rules, "csfle.require.tags=A");
    for (int i = 0; i < 12; i++) {
      if (i == 2) csfle_test_memory_on();
      assert_ok(csfle_serialize(t.r.serde, CSFLE_NATIVE, value, sizeof value - 1, NULL, &t.out, NULL, err));
      assert_ok(csfle_deserialize(t.r.serde, CSFLE_NATIVE, t.out.ptr, t.out.len, NULL, &t.back, NULL, err));
      assert_bytes_equal(csfle__buf_view(&t.back), csfle__view(value, sizeof value - 1));
    }
    long total = csfle_test_mem.total;
    csfle_test_memory_off();
    assert_int_equal(total, cases[k].each * 20);
    end(&t);
  }
  keep_seen = true;
}

static csfle_fake *fake;

static csfle_status whole_life(void)
{
  csfle_error  e = CSFLE_ERROR_INIT;
  csfle_buf    out, back;
  csfle_serde *s = NULL;
  csfle_buf_init(&out, 0, 0), csfle_buf_init(&back, 0, CSFLE_BUF_WIPE);
  csfle_fake_drop_keys(fake);
  csfle_client *cl = client_with(fake, "csfle.require.tags=A", &e);
  if (cl) s = csfle_serde_open(cl, "orders", NULL, &e);
  csfle_status rc = s ? CSFLE_OK : e.code;
  if (rc == CSFLE_OK) rc = csfle_serialize(s, CSFLE_JSON, PERSON_TEXT, strlen(PERSON_TEXT), NULL, &out, NULL, &e);
  if (rc == CSFLE_OK) rc = csfle_deserialize(s, CSFLE_JSON, out.ptr, out.len, NULL, &back, NULL, &e);
  if (rc == CSFLE_OK && !csfle__eq_str(csfle__buf_view(&back), PERSON_TEXT)) rc = CSFLE_E_INTERNAL;
  csfle_buf_free(&out), csfle_buf_free(&back);
  csfle_serde_close(s), csfle_client_close(cl);
  return rc;
}

TEST(every_failed_allocation_is_survived_with_executors) /* ENC-101 */
{
  csfle_fake f;
  csfle_fake_init(&f);
  csfle_fake_add_schema(&f, "orders-value", 12, 7, PERSON, NULL, EVERYTHING);
  fake = &f, keep_seen = false;
  TORTURE(whole_life());
  keep_seen = true;
  csfle_fake_free(&f);
}
