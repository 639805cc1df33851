/*
 * The caller says what its bytes are: a producer whose encoder was compiled from one schema goes on while the registered
 * one changes, a consumer asks for the layout it was compiled for. Whatever happens to the registered schema, the
 * tagged value never leaves in clear, and the id in front is that of the schema whose layout the bytes have. [AB-1]
 */
#include "tests/unit/client/rig.h"

#include "core/base/base64.h"

#define CANARY "078-05-1120"
#define REC(name, fields) "{\"type\":\"record\",\"name\":\"" name "\",\"fields\":[" fields "]}"
#define F(name, type) "{\"name\":\"" name "\",\"type\":" type "}"
#define TAGGED(name, type) "{\"name\":\"" name "\",\"type\":" type ",\"confluent:tags\":[\"PII\"]}"
#define WITH(name, type, more) "{\"name\":\"" name "\",\"type\":" type "," more "}"
#define PERSON "{\"type\":\"record\",\"name\":\"Person\",\"fields\":[" TAGGED("v", "\"string\"") "]}"
#define FIRM   "{\"type\":\"record\",\"name\":\"Firm\",\"fields\":[" F("v", "\"string\"") "]}"

static void no_canary(csfle__bytes hay)
{
  char b64[40], hex[32], padded[20];
  assert_false(rig_contains(hay, CANARY));
  for (int i = 0; i < 3; i++) { /* the part that does not depend on the neighbours */
    size_t n = (size_t)snprintf(padded, sizeof padded, "%.*s%s", i, "xx", CANARY) / 3 * 3;
    csfle__base64_encode(csfle__view(padded, n), b64);
    b64[n / 3 * 4] = 0;
    assert_false(rig_contains(hay, b64 + (i ? 4 : 0)));
  }
  for (size_t i = 0; i < strlen(CANARY); i++) snprintf(hex + 2 * i, 3, "%02x", (unsigned char)CANARY[i]);
  assert_false(rig_contains(hay, hex));
}

static void pass_an_hour(csfle_fake *f)
{
  f->mono_ms += 3600 * 1000;
  f->now_ms += 3600 * 1000;
}

typedef struct change {
  const char  *what, *old, *new; /* the encoder's schema and version 7; version 8 */
  csfle__bytes value;
  const char  *json; /* what a reader of version 8 sees; NULL: SCHEMA_MISMATCH */
} change;

static const change changes[] = {
  { "two strings swapped", REC("C", TAGGED("ssn", "\"string\"") "," F("note", "\"string\"")), REC("C", F("note", "\"string\"") "," TAGGED("ssn", "\"string\"")),
    BYTES("\x16" CANARY "\x0a" "plain"), "{\"note\":\"plain\",\"ssn\":\"" CANARY "\"}" },
  { "reordered", REC("C", F("id", "\"long\"") "," TAGGED("ssn", "\"string\"") "," F("note", "\"string\"")),
    REC("C", F("note", "\"string\"") "," TAGGED("ssn", "\"string\"") "," F("id", "\"long\"")), BYTES("\x02\x16" CANARY "\x0a" "plain"),
    "{\"note\":\"plain\",\"ssn\":\"" CANARY "\",\"id\":1}" },
  { "inserted", REC("C", TAGGED("ssn", "\"string\"") "," F("note", "\"string\"")),
    REC("C", WITH("first", "\"string\"", "\"default\":\"d\"") "," TAGGED("ssn", "\"string\"") "," F("note", "\"string\"")), BYTES("\x16" CANARY "\x0a" "plain"),
    "{\"first\":\"d\",\"ssn\":\"" CANARY "\",\"note\":\"plain\"}" },
  { "inserted without a default", REC("C", TAGGED("ssn", "\"string\"") "," F("note", "\"string\"")),
    REC("C", F("first", "\"string\"") "," TAGGED("ssn", "\"string\"") "," F("note", "\"string\"")), BYTES("\x16" CANARY "\x0a" "plain"), NULL },
  { "a tagged field inserted, filled from its default", REC("C", TAGGED("ssn", "\"string\"")),
    REC("C", "{\"name\":\"more\",\"type\":\"string\",\"default\":\"" CANARY "\",\"confluent:tags\":[\"PII\"]}," TAGGED("ssn", "\"string\"")), BYTES("\x16" CANARY),
    "{\"more\":\"" CANARY "\",\"ssn\":\"" CANARY "\"}" },
  { "promoted", REC("C", F("id", "\"int\"") "," TAGGED("ssn", "\"string\"")), REC("C", F("id", "\"double\"") "," TAGGED("ssn", "\"string\"")),
    BYTES("\x02\x16" CANARY), "{\"id\":1.0,\"ssn\":\"" CANARY "\"}" },
  { "string to bytes", REC("C", TAGGED("ssn", "\"string\"")), REC("C", TAGGED("ssn", "\"bytes\"")), BYTES("\x16" CANARY), "{\"ssn\":\"" CANARY "\"}" },
  { "branches swapped", REC("C", TAGGED("ssn", "[\"null\",\"string\"]") "," F("note", "[\"string\",\"null\"]")),
    REC("C", TAGGED("ssn", "[\"string\",\"null\"]") "," F("note", "[\"null\",\"string\"]")), BYTES("\x02\x16" CANARY "\x00\x0a" "plain"),
    "{\"ssn\":{\"string\":\"" CANARY "\"},\"note\":{\"string\":\"plain\"}}" },
  { "branches of like records swapped", REC("C", F("who", "[" FIRM "," PERSON "]")), REC("C", F("who", "[" PERSON "," FIRM "]")), BYTES("\x02\x16" CANARY),
    "{\"who\":{\"Person\":{\"v\":\"" CANARY "\"}}}" },
  { "made nullable", REC("C", TAGGED("ssn", "\"string\"")), REC("C", TAGGED("ssn", "[\"null\",\"string\"]")), BYTES("\x16" CANARY),
    "{\"ssn\":{\"string\":\"" CANARY "\"}}" },
  { "symbols swapped", REC("C", F("e", "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}") "," TAGGED("ssn", "\"string\"")),
    REC("C", F("e", "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"B\",\"A\"]}") "," TAGGED("ssn", "\"string\"")), BYTES("\x02\x16" CANARY),
    "{\"e\":\"B\",\"ssn\":\"" CANARY "\"}" },
  { "renamed with an alias", REC("C", TAGGED("ssn", "\"string\"") "," F("note", "\"string\"")),
    REC("C", F("note", "\"string\"") ",{\"name\":\"social\",\"type\":\"string\",\"aliases\":[\"ssn\"],\"confluent:tags\":[\"PII\"]}"), BYTES("\x16" CANARY "\x0a" "plain"),
    "{\"note\":\"plain\",\"social\":\"" CANARY "\"}" },
  { "renamed without one", REC("C", TAGGED("ssn", "\"string\"") "," F("note", "\"string\"")), REC("C", TAGGED("social", "\"string\"") "," F("note", "\"string\"")),
    BYTES("\x16" CANARY "\x0a" "plain"), NULL },
  { "removed", REC("C", F("old", "\"string\"") "," TAGGED("ssn", "\"string\"")), REC("C", TAGGED("ssn", "\"string\"")), BYTES("\x0a" "plain\x16" CANARY),
    "{\"ssn\":\"" CANARY "\"}" },
  { "the tagged field removed", REC("C", TAGGED("ssn", "\"string\"") "," TAGGED("pin", "\"string\"")), REC("C", TAGGED("pin", "\"string\"")), BYTES("\x16" CANARY "\x0a" "plain"),
    "{\"pin\":\"plain\"}" },
  { "the record renamed", REC("C", TAGGED("ssn", "\"string\"") "," F("id", "\"long\"")), REC("D", F("id", "\"long\"") "," TAGGED("ssn", "\"string\"")), BYTES("\x16" CANARY "\x02"), NULL },
};

/* what a record has to be when version 8 is the latest */
static void check_written(csfle_client *cl, const change *x, csfle_status st, const csfle_buf *out, const csfle_error *e)
{
  no_canary(csfle__buf_view(out));
  no_canary(csfle__str(e->msg)), no_canary(csfle__str(e->where));
  if (!x->json) {
    if (st != CSFLE_E_SCHEMA_MISMATCH) fail_msg("%s: %s %s", x->what, csfle_status_name(st), e->msg);
    assert_int_equal(out->len, 0);
    assert_true(strncmp(e->where, "orders-value v8", 15) == 0);
    return;
  }
  if (st != CSFLE_OK) fail_msg("%s: %s %s: %s", x->what, csfle_status_name(st), e->where, e->msg);
  assert_memory_equal(out->ptr, "\0\0\0\0\x0d", 5); /* id 13: the layout is that of version 8 */
  /* a reader without any wish sees what version 8 means */
  csfle_serde *reader = rig_serde(cl, "orders", NULL, (const char *const[]){ "use.latest.version", "false", NULL });
  csfle_buf    back;
  csfle_buf_init(&back, 0, 0);
  assert_ok(csfle_deserialize(reader, CSFLE_JSON, out->ptr, out->len, NULL, &back, NULL, err));
  assert_bytes_equal(csfle__buf_view(&back), csfle__str(x->json));
  csfle_buf_free(&back);
  csfle_serde_close(reader);
}

TEST(a_running_producer_survives_any_change_of_the_registered_schema_without_a_byte_in_clear) /* AB-1 SERDE-155 */
{
  for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
    const change *x = &changes[i];
    rig           r;
    csfle_buf     out;
    csfle_error   e = CSFLE_ERROR_INIT;
    csfle_info    info = CSFLE_INFO_INIT;
    csfle_buf_init(&out, 0, 0);
    rig_open(&r, x->old, NULL, PII_RULES, NULL);
    if (csfle_serialize(r.serde, CSFLE_NATIVE, x->value.ptr, x->value.len, NULL, &out, &info, &e)) fail_msg("%s: %s %s", x->what, e.where, e.msg);
    assert_memory_equal(out.ptr, "\0\0\0\0\x0c", 5);
    no_canary(csfle__buf_view(&out));
    /* version 8 comes: nobody has noticed, the bytes are still version 7 and say so */
    csfle_fake_add_schema(&r.fake, "orders-value", 13, 8, x->new, NULL, PII_RULES);
    assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, x->value.ptr, x->value.len, NULL, &out, NULL, err));
    assert_memory_equal(out.ptr, "\0\0\0\0\x0c", 5);
    no_canary(csfle__buf_view(&out));
    /* the refresh */
    pass_an_hour(&r.fake);
    csfle_status st = csfle_serialize(r.serde, CSFLE_NATIVE, x->value.ptr, x->value.len, NULL, &out, NULL, &e);
    check_written(r.client, x, st, &out, &e);
    st = csfle_serialize(r.serde, CSFLE_NATIVE, x->value.ptr, x->value.len, NULL, &out, NULL, &e); /* warm */
    check_written(r.client, x, st, &out, &e);
    /* the restart, with the encoder of before */
    csfle_client *again = rig_client(&r.fake, NULL);
    csfle_serde  *s = rig_serde(again, "orders", x->old, NULL);
    st = csfle_serialize(s, CSFLE_NATIVE, x->value.ptr, x->value.len, NULL, &out, NULL, &e);
    check_written(again, x, st, &out, &e);
    csfle_serde_close(s);
    csfle_client_close(again);
    csfle_buf_free(&out);
    rig_close(&r);
  }
}

#define V7 REC("C", TAGGED("ssn", "\"string\"") "," F("id", "\"int\"") "," F("note", "\"string\""))
#define V7_VALUE "\x16" CANARY "\x02\x0a" "plain"

TEST(a_reader_gets_the_layout_it_names_decrypted_by_the_writers_rules) /* SERDE-70 SERDE-155 */
{
  static const struct { const char *schema; csfle__bytes native; const char *json; } wanted[] = {
    { REC("C", F("id", "\"long\"") "," F("ssn", "\"string\"")), BYTES("\x02\x16" CANARY), "{\"id\":1,\"ssn\":\"" CANARY "\"}" },
    { REC("C", F("ssn", "\"bytes\"")), BYTES("\x16" CANARY), "{\"ssn\":\"" CANARY "\"}" },
    { REC("C", "{\"name\":\"who\",\"type\":\"string\",\"aliases\":[\"ssn\"]}," WITH("x", "\"boolean\"", "\"default\":true")), BYTES("\x16" CANARY "\x01"),
      "{\"who\":\"" CANARY "\",\"x\":true}" },
    { V7, BYTES(V7_VALUE), "{\"ssn\":\"" CANARY "\",\"id\":1,\"note\":\"plain\"}" },
    { REC("C", F("nowhere", "\"string\"")), { NULL, 0 }, NULL },
  };
  rig       r;
  csfle_buf out, back;
  csfle_buf_init(&out, 0, 0), csfle_buf_init(&back, 0, 0);
  rig_open(&r, V7, NULL, PII_RULES, NULL);
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, V7_VALUE, sizeof V7_VALUE - 1, NULL, &out, NULL, err));
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    csfle_error  e = CSFLE_ERROR_INIT;
    csfle_info   info = CSFLE_INFO_INIT;
    csfle_serde *s = rig_serde(r.client, "orders", wanted[i].schema, NULL);
    csfle_status st = csfle_deserialize(s, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, &info, &e);
    if (!wanted[i].json) {
      assert_int_equal(st, CSFLE_E_SCHEMA_MISMATCH);
      assert_non_null(strstr(e.msg, "nowhere"));
      assert_int_equal(csfle_deserialize(s, CSFLE_JSON, out.ptr, out.len, NULL, &back, &info, &e), CSFLE_E_SCHEMA_MISMATCH);
    } else {
      if (st != CSFLE_OK) fail_msg("%zu: %s %s", i, e.where, e.msg);
      assert_bytes_equal(csfle__buf_view(&back), wanted[i].native);
      assert_int_equal(info.decrypted, 1);
      assert_int_equal(info.schema_id, 12);
      assert_ok(csfle_deserialize(s, CSFLE_JSON, out.ptr, out.len, NULL, &back, NULL, err));
      assert_bytes_equal(csfle__buf_view(&back), csfle__str(wanted[i].json));
    }
    csfle_serde_close(s);
  }
  csfle_buf_free(&out), csfle_buf_free(&back);
  rig_close(&r);
}

TEST(with_the_latest_version_as_reader_schema_its_rules_decrypt_what_an_older_one_wrote) /* SERDE-69 SERDE-155 SERDE-127 */
{
  static const char v8[] = REC("C", F("id", "\"long\"") "," TAGGED("ssn", "[\"null\",\"string\"]") "," WITH("x", "\"int\"", "\"default\":7"));
  static const char filled[] = REC("C", TAGGED("ssn", "\"string\"") ",{\"name\":\"more\",\"type\":\"string\",\"default\":\"d\",\"confluent:tags\":[\"PII\"]}");
  rig         r;
  csfle_buf   out, back;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_info  info = CSFLE_INFO_INIT;
  csfle_buf_init(&out, 0, 0), csfle_buf_init(&back, 0, 0);
  rig_open(&r, V7, NULL, PII_RULES, NULL);
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, V7_VALUE, sizeof V7_VALUE - 1, NULL, &out, NULL, err));
  csfle_serde *s = rig_serde(r.client, "orders", NULL, NULL);
  assert_ok(csfle_deserialize(s, CSFLE_JSON, out.ptr, out.len, NULL, &back, NULL, err));
  assert_bytes_equal(csfle__buf_view(&back), csfle__str("{\"ssn\":\"" CANARY "\",\"id\":1,\"note\":\"plain\"}"));
  csfle_fake_add_schema(&r.fake, "orders-value", 13, 8, v8, NULL, PII_RULES);
  pass_an_hour(&r.fake);
  for (int warm = 0; warm < 2; warm++) {
    assert_ok(csfle_deserialize(s, CSFLE_JSON, out.ptr, out.len, NULL, &back, &info, err));
    assert_bytes_equal(csfle__buf_view(&back), csfle__str("{\"id\":1,\"ssn\":{\"string\":\"" CANARY "\"},\"x\":7}"));
    assert_int_equal(info.schema_id, 12);
    assert_int_equal(info.decrypted, 1);
  }
  /* and from there into what the caller names */
  csfle_serde *own = rig_serde(r.client, "orders", REC("C", F("x", "\"long\"") "," F("ssn", "[\"string\",\"null\"]")), NULL);
  assert_ok(csfle_deserialize(own, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, NULL, err));
  assert_bytes_equal(csfle__buf_view(&back), BYTES("\x0e\x00\x16" CANARY));
  csfle_serde_close(own);
  /* what a default filled in was never encrypted: decrypting it fails, as it does in Java, and nothing is delivered */
  csfle_fake_add_schema(&r.fake, "orders-value", 14, 9, filled, NULL, "{\"domainRules\":[" RULE("encryptPII", "PII", ",\"onFailure\":\"ERROR,ERROR\"") "]}");
  pass_an_hour(&r.fake);
  assert_int_not_equal(csfle_deserialize(s, CSFLE_JSON, out.ptr, out.len, NULL, &back, NULL, &e), CSFLE_OK);
  assert_non_null(strstr(e.where, "C.more"));
  assert_int_equal(back.len, 0);
  /* a latest version that cannot read it */
  csfle_fake_add_schema(&r.fake, "orders-value", 15, 10, REC("C", F("nowhere", "\"string\"")), NULL, NULL);
  pass_an_hour(&r.fake);
  assert_int_equal(csfle_deserialize(s, CSFLE_JSON, out.ptr, out.len, NULL, &back, NULL, &e), CSFLE_E_SCHEMA_MISMATCH);
  csfle_serde_close(s);
  csfle_buf_free(&out), csfle_buf_free(&back);
  rig_close(&r);
}

TEST(a_value_that_no_branch_takes_is_an_error_of_the_record_with_its_field_and_offset) /* AB-1 */
{
  rig         r;
  csfle_buf   out;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf_init(&out, 0, 0);
  rig_open(&r, REC("C", F("u", "[\"null\",\"string\"]") "," TAGGED("ssn", "\"string\"")), NULL, PII_RULES, NULL);
  csfle_serde *s = rig_serde(r.client, "orders", REC("C", TAGGED("ssn", "\"string\"") "," F("u", "[\"boolean\",\"null\"]")), NULL);
  assert_ok(csfle_serialize(s, CSFLE_NATIVE, "\x16" CANARY "\x02", 13, NULL, &out, NULL, err));
  no_canary(csfle__buf_view(&out));
  assert_int_equal(csfle_serialize(s, CSFLE_NATIVE, "\x16" CANARY "\x00\x01", 14, NULL, &out, NULL, &e), CSFLE_E_DATUM);
  assert_int_equal(e.offset, 13);
  assert_string_equal(e.where, "orders-value v7 C.u");
  assert_int_equal(out.len, 0);
  assert_int_equal(csfle_serialize(s, CSFLE_NATIVE, "\x16" CANARY "\x02!", 14, NULL, &out, NULL, &e), CSFLE_E_DATUM); /* bytes behind it */
  assert_int_equal(e.offset, 13);
  csfle_serde_close(s);
  csfle_buf_free(&out);
  rig_close(&r);
}

TEST(resolving_allocates_nothing_when_warm_and_survives_every_failing_allocation)
{
  rig       r;
  csfle_buf out, back;
  csfle_buf_init(&out, 0, 0), csfle_buf_init(&back, 0, 0);
  csfle_test_memory_on();
  rig_open(&r, changes[0].new, NULL, PII_RULES, NULL);
  csfle_serde *s = rig_serde(r.client, "orders", changes[0].old, NULL);
  for (int i = 0; i < 20; i++) {
    long before = csfle_test_mem.total;
    assert_ok(csfle_serialize(s, CSFLE_NATIVE, changes[0].value.ptr, changes[0].value.len, NULL, &out, NULL, err));
    assert_ok(csfle_deserialize(s, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, NULL, err));
    assert_bytes_equal(csfle__buf_view(&back), changes[0].value);
    if (i) assert_int_equal(csfle_test_mem.total, before);
  }
  csfle_serde_close(s);
  for (long k = 1;; k++) {
    csfle_error   e = CSFLE_ERROR_INIT;
    csfle_client *cl = rig_client(&r.fake, NULL);
    s = rig_serde(cl, "orders", changes[0].old, NULL);
    csfle_test_mem.fail_at = csfle_test_mem.total + k;
    csfle_status st = csfle_serialize(s, CSFLE_NATIVE, changes[0].value.ptr, changes[0].value.len, NULL, &out, NULL, &e);
    bool         reached = csfle_test_mem.total >= csfle_test_mem.fail_at;
    csfle_test_mem.fail_at = 0;
    no_canary(csfle__buf_view(&out));
    csfle_serde_close(s);
    csfle_client_close(cl);
    if (st == CSFLE_OK && !reached) break;
    if (st != CSFLE_OK) assert_int_equal(out.len, 0);
    assert_true(k < 5000);
  }
  csfle_buf_free(&out), csfle_buf_free(&back);
  rig_close(&r);
  assert_int_equal(csfle_test_mem.dirty_secrets, 0);
  csfle_test_memory_off();
}
