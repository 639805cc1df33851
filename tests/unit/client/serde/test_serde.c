/* Proves the public interface of a serde: its rules (API.md), framing, selection of schemas, allocations, errors. */
#include "tests/unit/client/rig.h"

#include "core/base/base64.h"

#include <sys/wait.h>
#include <unistd.h>

#define REC(fields) "{\"type\":\"record\",\"name\":\"R\",\"fields\":[" fields "]}"

static csfle_buf fresh(void)
{
  csfle_buf b;
  csfle_buf_init(&b, 0, CSFLE_BUF_WIPE);
  return b;
}

TEST(opening_makes_no_request_and_the_first_record_does) /* API rule 1, SERDE-51 */
{
  rig       r;
  csfle_buf out = fresh();
  rig_open(&r, CUSTOMER, NULL, PII_RULES, NULL);
  assert_int_equal(csfle_fake_count(&r.fake, ""), 0);
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
  assert_int_equal(csfle_fake_count(&r.fake, ""), 5);
  assert_memory_equal(out.ptr, "\0\0\0\0\x0c", 5);
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
  assert_int_equal(csfle_fake_count(&r.fake, ""), 5);
  csfle_buf_free(&out);
  rig_close(&r);
}

static int   told;
static void  ready(void *opaque, csfle_status st, const csfle_error *err)
{
  (void)opaque, (void)err;
  told = st == CSFLE_OK ? 1 : -1;
}

TEST(prepare_does_what_the_first_record_would) /* API rule 1 */
{
  rig       r;
  csfle_buf out = fresh();
  rig_open(&r, CUSTOMER, NULL, PII_RULES, NULL);
  assert_ok(csfle_serde_prepare(r.serde, ready, NULL, err));
  assert_int_equal(told, 1);
  size_t n = csfle_fake_count(&r.fake, "");
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
  assert_int_equal(csfle_fake_count(&r.fake, ""), n);
  csfle_buf_free(&out);
  rig_close(&r);
}

TEST(a_record_survives_the_round_trip_in_both_forms) /* SERDE-1 SERDE-126 SERDE-168 ENC-31 */
{
  rig         r;
  csfle_buf   out = fresh(), back = fresh();
  csfle_info  info = CSFLE_INFO_INIT;
  const char *json = "{\"id\":1,\"ssn\":\"078-05-1120\",\"note\":\"plain\"}";
  rig_open(&r, CUSTOMER, NULL, PII_RULES, NULL);
  assert_ok(csfle_serialize(r.serde, CSFLE_JSON, json, strlen(json), NULL, &out, &info, err));
  assert_int_equal(info.encrypted, 1);
  assert_int_equal(info.schema_id, 12);
  assert_int_equal(info.version, 7);
  assert_string_equal(info.subject, "orders-value");
  assert_string_equal(info.schema_type, "AVRO");
  assert_false(rig_contains(csfle__buf_view(&out), "078-05-1120"));
  assert_true(rig_contains(csfle__buf_view(&out), "plain"));
  assert_ok(csfle_deserialize(r.serde, CSFLE_JSON, out.ptr, out.len, NULL, &back, &info, err));
  assert_bytes_equal(csfle__buf_view(&back), csfle__str(json));
  assert_int_equal(info.decrypted, 1);
  assert_int_equal(info.passed_through, 0);
  assert_ok(csfle_deserialize(r.serde, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, &info, err));
  assert_bytes_equal(csfle__buf_view(&back), BYTES(CUSTOMER_VALUE));
  assert_memory_equal(info.guid, "\0\0\0\0\0\0\x40\0\x80\0\0\0\0\0\0\x0c", 16);
  csfle_buf_free(&out), csfle_buf_free(&back);
  rig_close(&r);
}

TEST(out_is_replaced_and_empty_after_a_failure) /* API rule 3 */
{
  rig         r;
  csfle_buf   out = fresh();
  csfle_error bad = CSFLE_ERROR_INIT;
  rig_open(&r, CUSTOMER, NULL, PII_RULES, NULL);
  assert_ok(csfle__buf_puts(&out, "what was there before", err));
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
  assert_memory_equal(out.ptr, "\0\0\0\0\x0c\x02", 6);
  assert_int_equal(csfle_serialize(r.serde, CSFLE_NATIVE, "\x02\x16short", 7, NULL, &out, NULL, &bad), CSFLE_E_DATUM);
  assert_int_equal(out.len, 0);
  assert_int_equal(csfle_deserialize(r.serde, CSFLE_NATIVE, "\7\7\7\7\7\7", 6, NULL, &out, NULL, &bad), CSFLE_E_WIRE);
  assert_int_equal(out.len, 0);
  csfle_buf_free(&out);
  rig_close(&r);
}

static size_t grown;
static void  *grow_once(csfle_buf *b, size_t need)
{
  grown++;
  return realloc(b->ptr, need);
}

TEST(a_fixed_buffer_learns_its_need_and_a_growing_one_grows_once) /* API rule 3 */
{
  rig         r;
  uint8_t     mem[128];
  csfle_buf   fixed = { mem, 0, 8, 8, NULL, NULL, 0 }, own = { NULL, 0, 0, 0, grow_once, NULL, 0 };
  csfle_error bad = CSFLE_ERROR_INIT;
  rig_open(&r, CUSTOMER, NULL, PII_RULES, NULL);
  assert_int_equal(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &fixed, NULL, &bad), CSFLE_E_SPACE);
  assert_int_equal(fixed.len, 5 + 1 + 1 + 52 + 6);
  fixed.cap = fixed.max = fixed.len;
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &fixed, NULL, err));
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &own, NULL, err));
  assert_int_equal(grown, 1);
  grown = 0;
  csfle_buf json = { NULL, 0, 0, 0, grow_once, NULL, 0 };
  assert_ok(csfle_deserialize(r.serde, CSFLE_JSON, fixed.ptr, fixed.len, NULL, &json, NULL, err));
  assert_int_equal(grown, 1);
  free(own.ptr), free(json.ptr);
  rig_close(&r);
}

TEST(null_handles_are_answered_and_success_clears_the_code) /* API rule 4 */
{
  csfle_error bad = CSFLE_ERROR_INIT;
  csfle_buf   out = fresh();
  assert_null(csfle_client_open(NULL, &bad));
  assert_null(csfle_serde_open(NULL, "t", NULL, &bad));
  assert_int_equal(bad.code, 0);
  assert_int_equal(csfle_serialize(NULL, CSFLE_JSON, "", 0, NULL, &out, NULL, &bad), CSFLE_E_MISUSE);
  assert_int_equal(bad.code, 0); /* untouched */
  bad.code = CSFLE_E_POLICY;
  assert_int_equal(csfle_deserialize(NULL, CSFLE_JSON, "", 0, NULL, &out, NULL, &bad), CSFLE_E_POLICY);
  assert_int_equal(csfle_serde_prepare(NULL, NULL, NULL, &bad), CSFLE_E_POLICY);
  assert_int_equal(csfle_serialize(NULL, CSFLE_JSON, "", 0, NULL, &out, NULL, NULL), CSFLE_E_MISUSE);
  assert_int_equal(csfle_config_set(NULL, "a", "b", NULL), CSFLE_E_MISUSE);
  csfle_serde_close(NULL), csfle_client_close(NULL), csfle_config_free(NULL), csfle_client_forget_keys(NULL, NULL);
  rig r;
  rig_open(&r, CUSTOMER, NULL, PII_RULES, NULL);
  assert_int_equal(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, &bad), CSFLE_OK);
  assert_int_equal(bad.code, CSFLE_OK);
  assert_int_equal(csfle_serialize(r.serde, CSFLE_NATIVE, "x", 1, NULL, NULL, NULL, &bad), CSFLE_E_MISUSE);
  assert_int_equal(csfle_serialize(r.serde, 7, "x", 1, NULL, &out, NULL, &bad), CSFLE_E_MISUSE);
  csfle_buf_free(&out);
  rig_close(&r);
}

TEST(structs_are_read_and_filled_up_to_their_size) /* API rule 5 */
{
  rig       r;
  csfle_buf out = fresh();
  struct { csfle_info info; uint8_t guard[8]; } small;
  rig_open(&r, CUSTOMER, NULL, PII_RULES, NULL);
  memset(&small, 0xee, sizeof small);
  small.info.size = offsetof(csfle_info, subject);
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, &small.info, err));
  assert_int_equal(small.info.schema_id, 12);
  assert_int_equal(((uint8_t *)&small.info.subject)[0], 0xee);
  csfle_error      bad = CSFLE_ERROR_INIT;
  csfle_serde_opts o;
  memset(&o, 0xee, sizeof o);
  o.size = offsetof(csfle_serde_opts, subject), o.role = CSFLE_KEY;
  csfle_serde *key = csfle_serde_open(r.client, "orders", &o, &bad);
  assert_non_null(key);
  assert_string_equal(key->subject, "orders-key"); /* SERDE-36 */
  csfle_serde_close(key);
  csfle_buf_free(&out);
  rig_close(&r);
}

TEST(null_is_a_tombstone_in_both_directions) /* SERDE-31 SERDE-32 SERDE-42 */
{
  rig       r;
  csfle_buf out = fresh();
  rig_open(&r, CUSTOMER, NULL, PII_RULES, NULL);
  assert_ok(csfle_serialize(r.serde, CSFLE_JSON, NULL, 0, NULL, &out, NULL, err));
  assert_int_equal(out.len, 0);
  assert_ok(csfle_deserialize(r.serde, CSFLE_JSON, NULL, 0, NULL, &out, NULL, err));
  assert_int_equal(out.len, 0);
  assert_ok(csfle_deserialize(r.serde, CSFLE_JSON, "", 0, NULL, &out, NULL, err));
  assert_int_equal(out.len, 0);
  assert_int_equal(csfle_fake_count(&r.fake, ""), 0);
  csfle_buf_free(&out);
  rig_close(&r);
}

typedef struct header { const char *name; const void *v; size_t n; } header;
static const void *last(void *opaque, const char *name, size_t *n)
{
  header *h = opaque;
  if (strcmp(h->name, name) != 0) return NULL;
  *n = h->n;
  return h->v;
}

TEST(a_guid_is_read_from_header_and_prefix) /* SERDE-9 SERDE-11 SERDE-17 */
{
  rig         r;
  csfle_buf   out = fresh(), back = fresh();
  uint8_t     guid[17] = "\x01\0\0\0\0\0\0\x40\0\x80\0\0\0\0\0\0", msg[256];
  guid[16] = 0x0c;
  rig_open(&r, CUSTOMER, NULL, PII_RULES, NULL);
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
  header        h = { "__value_schema_id", guid, 17 };
  csfle_headers hs = { &h, NULL, last };
  assert_ok(csfle_deserialize(r.serde, CSFLE_NATIVE, out.ptr + 5, out.len - 5, &hs, &back, NULL, err));
  assert_bytes_equal(csfle__buf_view(&back), BYTES(CUSTOMER_VALUE));
  memcpy(msg, guid, 17), memcpy(msg + 17, out.ptr + 5, out.len - 5);
  assert_ok(csfle_deserialize(r.serde, CSFLE_NATIVE, msg, out.len + 12, NULL, &back, NULL, err));
  assert_bytes_equal(csfle__buf_view(&back), BYTES(CUSTOMER_VALUE));
  csfle_buf_free(&out), csfle_buf_free(&back);
  rig_close(&r);
}

TEST(top_level_bytes_have_no_length_and_text_has) /* SERDE-18 SERDE-19 SERDE-3 */
{
  const struct { const char *schema; csfle__bytes native, payload; const char *text; } cases[] = {
    { "\"bytes\"", BYTES("\x06" "foo"), BYTES("foo"), "\"foo\"" },
    { "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":4}", BYTES("\x06" "foo"), BYTES("foo"), "\"foo\"" },
    { "\"string\"", BYTES("\x06" "foo"), BYTES("\x06" "foo"), "\"foo\"" },
    { REC("{\"name\":\"f1\",\"type\":\"string\"}"), BYTES("\x06" "foo"), BYTES("\x06" "foo"), "{\"f1\":\"foo\"}" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rig       r;
    csfle_buf out = fresh(), back = fresh();
    rig_open(&r, cases[i].schema, NULL, NULL, NULL);
    assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, cases[i].native.ptr, cases[i].native.len, NULL, &out, NULL, err));
    assert_bytes_equal(csfle__from(csfle__buf_view(&out), 5), cases[i].payload);
    assert_ok(csfle_deserialize(r.serde, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, NULL, err));
    assert_bytes_equal(csfle__buf_view(&back), cases[i].native);
    assert_ok(csfle_deserialize(r.serde, CSFLE_JSON, out.ptr, out.len, NULL, &back, NULL, err));
    assert_bytes_equal(csfle__buf_view(&back), csfle__str(cases[i].text));
    assert_ok(csfle_serialize(r.serde, CSFLE_JSON, cases[i].text, strlen(cases[i].text), NULL, &out, NULL, err));
    assert_bytes_equal(csfle__from(csfle__buf_view(&out), 5), cases[i].payload);
    csfle_buf_free(&out), csfle_buf_free(&back);
    rig_close(&r);
  }
}

TEST(bytes_after_a_value_are_ignored_unless_asked_for) /* SERDE-34 */
{
  rig         r;
  csfle_buf   out = fresh();
  csfle_error bad = CSFLE_ERROR_INIT;
  rig_open(&r, REC("{\"name\":\"f1\",\"type\":\"string\"}"), NULL, NULL, NULL);
  assert_ok(csfle_deserialize(r.serde, CSFLE_NATIVE, "\0\0\0\0\x0c\x06" "foo--", 11, NULL, &out, NULL, err));
  assert_bytes_equal(csfle__buf_view(&out), BYTES("\x06" "foo"));
  csfle_serde *strict = rig_serde(r.client, "orders", NULL, (const char *const[]){ "avro.fail.on.trailing.data", "true", NULL });
  assert_int_equal(csfle_deserialize(strict, CSFLE_NATIVE, "\0\0\0\0\x0c\x06" "foo--", 11, NULL, &out, NULL, &bad), CSFLE_E_DATUM);
  assert_int_equal(csfle_serialize(r.serde, CSFLE_NATIVE, "\x06" "foo--", 6, NULL, &out, NULL, &bad), CSFLE_E_DATUM);
  csfle_serde_close(strict);
  csfle_buf_free(&out);
  rig_close(&r);
}

TEST(the_schema_to_write_with_is_chosen_as_configured) /* SERDE-48 SERDE-51 SERDE-54 SERDE-55 SERDE-56 SERDE-57 SERDE-79 */
{
  csfle_fake       f;
  csfle_buf        out = fresh();
  csfle_error      bad = CSFLE_ERROR_INIT;
  csfle_serde     *s;
  csfle_fake_init(&f);
  csfle_fake_add_schema(&f, "orders-value", 12, 1, CUSTOMER, NULL, PII_RULES);
  csfle_client *cl = rig_client(&f, "use.latest.version=false");
  const struct { const char *props[5]; const char *request; } cases[] = {
    { { "use.latest.version", "true", NULL }, "GET /subjects/orders-value/versions/latest" },
    { { "use.schema.id", "12", NULL }, "GET /schemas/ids/12?subject=orders-value" },
    { { "use.schema.id", "12", "use.latest.version", "true", NULL }, "GET /schemas/ids/12?subject=orders-value" },
    { { "normalize.schemas", "true", NULL }, "POST /subjects/orders-value?normalize=true {\"schema\":" },
    { { NULL }, "POST /subjects/orders-value?normalize=false {\"schema\":" },
    { { "auto.register.schemas", "true", NULL }, "POST /subjects/orders-value/versions?normalize=false {\"schema\":" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t before = csfle_fake_count(&f, cases[i].request);
    s = rig_serde(cl, "orders", CUSTOMER, cases[i].props);
    csfle_info info = CSFLE_INFO_INIT;
    if (csfle_serialize(s, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, &info, &bad)) fail_msg("%zu %s %s", i, bad.where, bad.msg);
    assert_int_equal(info.encrypted, 1); /* the rules of the registered schema, however it was found */
    if (i != 2) assert_true(csfle_fake_count(&f, cases[i].request) > before);
    csfle_serde_close(s);
  }
  s = rig_serde(cl, "orders", NULL, NULL);
  assert_int_equal(csfle_serialize(s, CSFLE_JSON, "{}", 2, NULL, &out, NULL, &bad), CSFLE_E_CONFIG);
  assert_non_null(strstr(bad.msg, "use.latest.version"));
  csfle_serde_close(s);
  s = rig_serde(cl, "nosuch", CUSTOMER, (const char *const[]){ "use.latest.version", "true", NULL });
  assert_int_equal(csfle_serialize(s, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, &bad), CSFLE_E_SCHEMA);
  assert_int_equal(bad.http, 404);
  assert_int_equal(bad.remote_code, 40401);
  assert_int_equal(out.len, 0);
  csfle_serde_close(s);
  s = rig_serde(cl, "orders", "\"long\"", NULL);
  assert_int_equal(csfle_serialize(s, CSFLE_NATIVE, "\2", 1, NULL, &out, NULL, &bad), CSFLE_E_SCHEMA);
  assert_int_equal(bad.remote_code, 40403);
  csfle_serde_close(s);
  csfle_client_close(cl);
  csfle_fake_free(&f);
  csfle_buf_free(&out);
}

TEST(the_same_id_under_another_subject_is_asked_for_again) /* SERDE-168 SERDE-169, S14 */
{
  csfle_fake f;
  csfle_buf  out = fresh();
  csfle_fake_init(&f);
  csfle_fake_add_schema(&f, "a-value", 5, 1, "\"string\"", NULL, NULL);
  csfle_client *cl = rig_client(&f, NULL);
  csfle_serde  *a = rig_serde(cl, "a", NULL, (const char *const[]){ "use.latest.version", "false", NULL });
  csfle_serde  *b = rig_serde(cl, "b", NULL, (const char *const[]){ "use.latest.version", "false", NULL });
  for (int i = 0; i < 3; i++) assert_ok(csfle_deserialize(a, CSFLE_NATIVE, "\0\0\0\0\5\2x", 7, NULL, &out, NULL, err));
  assert_int_equal(csfle_fake_count(&f, "GET /schemas/ids/5?subject=a-value"), 1);
  assert_ok(csfle_deserialize(b, CSFLE_NATIVE, "\0\0\0\0\5\2x", 7, NULL, &out, NULL, err));
  assert_int_equal(csfle_fake_count(&f, "GET /schemas/ids/5?subject=b-value"), 1);
  csfle_serde_close(a), csfle_serde_close(b);
  csfle_client_close(cl);
  csfle_fake_free(&f);
  csfle_buf_free(&out);
}

static int down(csfle_fake *f, const char *method, const char *path, const char **body)
{
  (void)f, (void)method, (void)path, (void)body;
  return -1;
}

TEST(the_latest_version_is_asked_for_again_when_it_is_old) /* SERDE-170 SERDE-171 */
{
  rig         r;
  csfle_buf   out = fresh();
  csfle_info  info = CSFLE_INFO_INIT;
  csfle_error bad = CSFLE_ERROR_INIT;
  rig_open(&r, CUSTOMER, NULL, NULL, NULL);
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, &info, err));
  assert_int_equal(info.encrypted, 0);
  csfle_fake_add_schema(&r.fake, "orders-value", 13, 8, CUSTOMER, NULL, PII_RULES); /* a rule was added */
  r.fake.mono_ms += 299000;
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, &info, err));
  assert_int_equal(info.version, 7);
  r.fake.mono_ms += 2000;
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, &info, err));
  assert_int_equal(info.version, 8);
  assert_int_equal(info.encrypted, 1);
  /* the registry goes away: the old version is used for csfle.max.stale.ms, and said to be stale */
  r.fake.hook = down;
  r.fake.mono_ms += 301000;
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, &info, err));
  assert_true(info.flags & CSFLE_INFO_STALE_SCHEMA);
  r.fake.mono_ms += 600000;
  assert_int_equal(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, &info, &bad), CSFLE_E_UNAVAILABLE);
  r.fake.hook = NULL;
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, &info, err));
  assert_false(info.flags & CSFLE_INFO_STALE_SCHEMA);
  csfle_buf_free(&out);
  rig_close(&r);
}

TEST(a_schema_found_by_content_is_looked_up_again_too) /* SERDE-57 SERDE-170 */
{
  rig        r;
  csfle_buf  out = fresh();
  csfle_info info = CSFLE_INFO_INIT;
  rig_open(&r, CUSTOMER, NULL, NULL, "use.latest.version=false");
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, &info, err));
  for (int i = 0; i < 3; i++) assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, &info, err));
  assert_int_equal(csfle_fake_count(&r.fake, "POST /subjects/orders-value?"), 1);
  r.fake.mono_ms += 301000;
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, &info, err));
  assert_int_equal(csfle_fake_count(&r.fake, "POST /subjects/orders-value?"), 2);
  csfle_buf_free(&out);
  rig_close(&r);
}

TEST(a_key_that_nobody_asks_for_is_wiped_after_its_age_too) /* AB-11 */
{
  rig       r;
  csfle_buf out = fresh();
  rig_open(&r, CUSTOMER, NULL, PII_RULES, "csfle.key.max.age.ms=100000\nlatest.cache.ttl.sec=-1");
  csfle_fake_add_schema(&r.fake, "other-value", 13, 1, CUSTOMER, NULL, PII_RULES);
  csfle_serde *s = rig_serde(r.client, "other", CUSTOMER, NULL);
  assert_ok(csfle_serialize(s, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
  csfle_serde_close(s);
  assert_int_equal(r.client->ring.deks.map.count, 1);
  r.fake.mono_ms += 100001;
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
  assert_int_equal(r.client->ring.deks.map.count, 1); /* its own; the other is gone */
  csfle_buf_free(&out);
  rig_close(&r);
}

TEST(keys_can_be_forgotten_and_grow_old) /* AB-11 ENC-76 */
{
  rig       r;
  csfle_buf out = fresh();
  rig_open(&r, CUSTOMER, NULL, PII_RULES, "csfle.key.max.age.ms=5000\nlatest.cache.ttl.sec=-1");
  const char *get = "GET /dek-registry/v1/keks/kek1/deks/";
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
  assert_int_equal(csfle_fake_count(&r.fake, get), 1);
  csfle_client_forget_keys(r.client, "kek1");
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
  assert_int_equal(csfle_fake_count(&r.fake, get), 2);
  csfle_client_forget_keys(r.client, NULL);
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
  assert_int_equal(csfle_fake_count(&r.fake, get), 3);
  r.fake.mono_ms += 3999; /* the last fifth of its life is for asking again */
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
  assert_int_equal(csfle_fake_count(&r.fake, get), 3);
  r.fake.mono_ms += 2;
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
  assert_int_equal(csfle_fake_count(&r.fake, get), 4);
  csfle_buf_free(&out);
  rig_close(&r);
}

#define WIDE REC("{\"name\":\"a\",\"type\":\"string\",\"confluent:tags\":[\"PII\"]},{\"name\":\"b\",\"type\":\"bytes\",\"confluent:tags\":[\"PII\",\"TOP\"]}," \
                 "{\"name\":\"c\",\"type\":{\"type\":\"array\",\"items\":\"string\"},\"confluent:tags\":[\"TOP\"]},{\"name\":\"d\",\"type\":[\"null\",\"string\"],\"confluent:tags\":[\"PII\"]}")
#define WIDE_VALUE "\x06" "abc" "\x04" "xy" "\x04\x02" "1" "\x02" "2" "\x00" "\x02\x02" "z"
#define TWO_RULES "{\"domainRules\":[" RULE("one", "PII", "") "," \
  "{\"name\":\"two\",\"type\":\"ENCRYPT\",\"tags\":[\"TOP\"],\"params\":{\"encrypt.kek.name\":\"kek2\",\"encrypt.kms.type\":\"local-kms\",\"encrypt.kms.key.id\":\"k\"," \
  "\"encrypt.dek.algorithm\":\"AES256_SIV\",\"encrypt.dek.expiry.days\":\"7\"}}]}"

TEST(nothing_is_allocated_once_warm)
{
  rig       r;
  csfle_buf out = fresh(), back = fresh();
  rig_open(&r, WIDE, NULL, TWO_RULES, NULL);
  for (int i = 0; i < 2; i++) {
    assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, WIDE_VALUE, sizeof WIDE_VALUE - 1, NULL, &out, NULL, err));
    assert_ok(csfle_deserialize(r.serde, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, NULL, err));
    assert_bytes_equal(csfle__buf_view(&back), BYTES(WIDE_VALUE));
  }
  csfle_test_memory_on();
  for (int i = 0; i < 100; i++) {
    assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, WIDE_VALUE, sizeof WIDE_VALUE - 1, NULL, &out, NULL, err));
    assert_ok(csfle_deserialize(r.serde, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, NULL, err));
  }
  long total = csfle_test_mem.total;
  csfle_test_memory_off();
  print_message("# %ld allocations in 200 calls\n", total);
  assert_int_equal(total, 0);
  csfle_buf_free(&out), csfle_buf_free(&back);
  rig_close(&r);
}

TEST(blocks_that_carry_their_size_are_rewritten) /* SERDE-116 SERDE-117 */
{
  /* c as one block of -2 items and 4 bytes; b of two rules */
  static const char sized[] = "\x06" "abc" "\x04" "xy" "\x03\x08\x02" "1" "\x02" "2" "\x00" "\x02\x02" "z";
  rig               r;
  csfle_buf         out = fresh(), back = fresh();
  csfle_info        info = CSFLE_INFO_INIT;
  rig_open(&r, WIDE, NULL, TWO_RULES, NULL);
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, sized, sizeof sized - 1, NULL, &out, &info, err));
  assert_int_equal(info.encrypted, 5);
  assert_ok(csfle_deserialize(r.serde, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, &info, err));
  assert_bytes_equal(csfle__buf_view(&back), BYTES(WIDE_VALUE)); /* plain counted blocks */
  assert_int_equal(info.decrypted, 5);
  csfle_buf_free(&out), csfle_buf_free(&back);
  rig_close(&r);
}

TEST(a_child_process_draws_other_nonces) /* API rule 6, AB-13 */
{
  enum { N = 64 };
  static uint8_t mine[N][5 + 62], theirs[N][5 + 62];
  rig            r;
  csfle_buf      out = fresh();
  int            fds[2];
  rig_open(&r, REC("{\"name\":\"f\",\"type\":\"bytes\",\"confluent:tags\":[\"PII\"]}"), NULL, PII_RULES, NULL);
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, "\x02x", 2, NULL, &out, NULL, err));
  assert_int_equal(pipe(fds), 0);
  pid_t pid = fork();
  if (pid == 0) {
    for (int i = 0; i < N; i++) {
      if (csfle_serialize(r.serde, CSFLE_NATIVE, "\x02x", 2, NULL, &out, NULL, NULL) || write(fds[1], out.ptr, out.len) != (ssize_t)out.len) _exit(1);
    }
    _exit(0);
  }
  size_t len = out.len;
  for (int i = 0; i < N; i++) {
    assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, "\x02x", 2, NULL, &out, NULL, err));
    memcpy(mine[i], out.ptr, len);
  }
  for (int i = 0; i < N; i++)
    for (size_t got = 0; got < len;) {
      ssize_t n = read(fds[0], theirs[i] + got, len - got);
      assert_true(n > 0);
      got += (size_t)n;
    }
  int status;
  waitpid(pid, &status, 0);
  assert_int_equal(status, 0);
  for (int i = 0; i < N; i++)
    for (int k = 0; k < N; k++) assert_memory_not_equal(mine[i] + 6, theirs[k] + 6, 12);
  close(fds[0]), close(fds[1]);
  csfle_buf_free(&out);
  rig_close(&r);
}

static const char *forms[] = { "{\"a\":\"abc\",\"b\":\"xy\",\"c\":[\"1\",\"2\"],\"d\":\"z\"}" };

/* Made with malloc and before the counting begins: the fake, and a message to read. */
static csfle_fake torture_fake;
static csfle_buf  torture_msg;

static csfle_status whole_life(void)
{
  csfle_error      bad = CSFLE_ERROR_INIT;
  csfle_buf        out = fresh(), back = fresh();
  csfle_client    *cl = NULL;
  csfle_serde     *s = NULL;
  csfle_serde_opts o = { sizeof o, CSFLE_VALUE, NULL, WIDE, NULL, NULL };
  csfle_fake_drop_keys(&torture_fake);
  csfle_config *c = csfle_config_new(RIG_PROPS);
  if (!c) return CSFLE_E_NOMEM;
  csfle__config_set_clock(c, &torture_fake.clock);
  csfle_config_add_transport(c, &torture_fake.transport, &bad);
  if (!bad.code) cl = csfle_client_open(c, &bad);
  if (cl) s = csfle_serde_open(cl, "orders", &o, &bad);
  csfle_status rc = s ? CSFLE_OK : bad.code;
  if (rc == CSFLE_OK) rc = csfle_serialize(s, CSFLE_NATIVE, WIDE_VALUE, sizeof WIDE_VALUE - 1, NULL, &out, NULL, &bad);
  if (rc == CSFLE_OK) rc = csfle_serialize(s, CSFLE_JSON, forms[0], strlen(forms[0]), NULL, &out, NULL, &bad);
  if (rc == CSFLE_OK) rc = csfle_deserialize(s, CSFLE_JSON, out.ptr, out.len, NULL, &back, NULL, &bad);
  if (rc == CSFLE_OK) rc = csfle_deserialize(s, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, NULL, &bad);
  if (rc != CSFLE_OK && rc != CSFLE_E_NOMEM) print_message("# %s %s\n", bad.where, bad.msg);
  csfle_buf_free(&out), csfle_buf_free(&back);
  csfle_serde_close(s);
  csfle_client_close(cl);
  csfle_config_free(c);
  return rc;
}

TEST(every_failed_allocation_is_survived_and_secrets_are_wiped) /* ENC-101 */
{
  (void)torture_msg;
  csfle_fake_init(&torture_fake);
  csfle_fake_add_schema(&torture_fake, "orders-value", 12, 7, WIDE, "{\"tags\":{\"**.zz\":[\"PII\"]},\"properties\":{\"a\":\"b\"}}", TWO_RULES);
  assert_int_equal(whole_life(), CSFLE_OK);
  TORTURE(whole_life());
  csfle_fake_free(&torture_fake);
}
