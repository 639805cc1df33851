/* The client against a real csfle-registry over HTTP: schemas, keys, records there and back. */
#include "include/csfle/csfle.h"
#include "tests/support/registry.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA \
  "{\"type\":\"record\",\"name\":\"Customer\",\"namespace\":\"com.acme\",\"fields\":[{\"name\":\"id\",\"type\":\"long\"}," \
  "{\"name\":\"ssn\",\"type\":\"string\",\"confluent:tags\":[\"PII\"]},{\"name\":\"photo\",\"type\":\"bytes\",\"confluent:tags\":[\"PII\"]}," \
  "{\"name\":\"phone\",\"type\":[\"null\",\"string\"],\"default\":null,\"confluent:tags\":[\"PII\"]}," \
  "{\"name\":\"aliases\",\"type\":{\"type\":\"array\",\"items\":\"string\"},\"confluent:tags\":[\"PII\"]}," \
  "{\"name\":\"attrs\",\"type\":{\"type\":\"map\",\"values\":\"string\"},\"confluent:tags\":[\"PII\"]},{\"name\":\"note\",\"type\":\"string\"}]}"
#define RECORD "{\"id\":1,\"ssn\":\"078-05-1120\",\"photo\":\"\\u0001\\u0002\",\"phone\":\"555\",\"aliases\":[\"Ada\",\"Countess\"],\"attrs\":{\"k\":\"v\"},\"note\":\"plain\"}"

static char *quoted(const char *text)
{
  char *out = malloc(2 * strlen(text) + 3), *p = out;
  for (*p++ = '"'; *text; text++) {
    if (*text == '"' || *text == '\\') *p++ = '\\';
    *p++ = *text;
  }
  *p++ = '"', *p = 0;
  return out;
}

static void post(csfle_test_registry *r, const char *path, const char *body, long status)
{
  csfle_test_reply reply = csfle_test_http(r, "POST", path, body);
  if (reply.status != status) fail_msg("POST %s: %ld %s", path, reply.status, reply.body);
  csfle_test_reply_free(&reply);
}

static void register_schema(csfle_test_registry *r, const char *subject, const char *schema, const char *params)
{
  char  path[128], *text = quoted(schema), *body;
  if (asprintf(&body, "{\"schema\":%s,\"ruleSet\":{\"domainRules\":[{\"name\":\"encryptPII\",\"kind\":\"TRANSFORM\",\"mode\":\"WRITEREAD\",\"type\":\"ENCRYPT\",\"tags\":[\"PII\"],"
               "\"params\":{\"encrypt.kek.name\":\"kek1\",\"encrypt.kms.type\":\"local-kms\",\"encrypt.kms.key.id\":\"mykey\"%s},\"onFailure\":\"ERROR,NONE\"}]}}", text, params) < 0) abort();
  snprintf(path, sizeof path, "/subjects/%s/versions", subject);
  post(r, path, body, 200);
  free(text), free(body);
}

static csfle_client *open_client(csfle_test_registry *r, const char *more)
{
  char        props[512];
  csfle_error e = CSFLE_ERROR_INIT;
  snprintf(props, sizeof props, "schema.registry.url=%s\nuse.latest.version=true\nmax.retries=0\n%s", r->url, more);
  csfle_config *c = csfle_config_new(props);
  csfle_client *cl = csfle_client_open(c, &e);
  if (!cl) fail_msg("%s", e.msg);
  csfle_config_free(c);
  return cl;
}

static bool contains(csfle__bytes hay, const char *needle) { return hay.len && memmem(hay.ptr, hay.len, needle, strlen(needle)) != NULL; }

TEST(records_go_there_and_back_under_every_algorithm) /* ENC-1 ENC-7 ENC-63 SERDE-51 SERDE-168 SERDE-182 */
{
  static const struct { const char *topic, *params; } cases[] = {
    { "a1", "" }, { "a2", ",\"encrypt.dek.algorithm\":\"AES128_GCM\"" }, { "a3", ",\"encrypt.dek.algorithm\":\"AES256_SIV\"" }, { "a4", ",\"encrypt.dek.expiry.days\":\"30\"" },
    { "a5", ",\"encrypt.dek.algorithm\":\"AES256_SIV\",\"encrypt.dek.expiry.days\":\"1\"" },
  };
  csfle_test_registry r;
  csfle_test_registry_start(&r, NULL);
  unsetenv("LOCAL_SECRET");
  csfle_client *writer = open_client(&r, "secret=mysecret"), *reader = open_client(&r, "secret=mysecret"), *stranger = open_client(&r, "");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char        subject[64];
    csfle_error e = CSFLE_ERROR_INIT;
    csfle_info  info = CSFLE_INFO_INIT;
    csfle_buf   out, back;
    csfle_buf_init(&out, 0, 0), csfle_buf_init(&back, 0, CSFLE_BUF_WIPE);
    snprintf(subject, sizeof subject, "%s-value", cases[i].topic);
    register_schema(&r, subject, SCHEMA, cases[i].params);
    const csfle_serde_opts o = { sizeof o, CSFLE_VALUE, NULL, NULL, NULL, (const char *const[]){ "csfle.json.unions", "plain", NULL } };
    csfle_serde           *w = csfle_serde_open(writer, cases[i].topic, &o, &e), *rd = csfle_serde_open(reader, cases[i].topic, &o, &e), *st = csfle_serde_open(stranger, cases[i].topic, &o, &e);
    for (int k = 0; k < 2; k++) {
      if (csfle_serialize(w, CSFLE_JSON, RECORD, sizeof RECORD - 1, NULL, &out, &info, &e)) fail_msg("%s: %s %s", cases[i].topic, e.where, e.msg);
      assert_int_equal(info.encrypted, 6);
      assert_int_equal(info.version, 1);
      assert_false(contains(csfle__view(out.ptr, out.len), "078-05-1120"));
      assert_false(contains(csfle__view(out.ptr, out.len), "Countess"));
      assert_true(contains(csfle__view(out.ptr, out.len), "plain"));
      if (csfle_deserialize(rd, CSFLE_JSON, out.ptr, out.len, NULL, &back, &info, &e)) fail_msg("%s: %s %s", cases[i].topic, e.where, e.msg);
      assert_int_equal(info.decrypted, 6);
      assert_int_equal(back.len, sizeof RECORD - 1 + 0 * k);
      assert_true(contains(csfle__view(back.ptr, back.len), "078-05-1120"));
      /* without the secret: the record, with ciphertext, and told so */
      if (csfle_deserialize(st, CSFLE_JSON, out.ptr, out.len, NULL, &back, &info, &e)) fail_msg("%s: %s %s", cases[i].topic, e.where, e.msg);
      assert_int_equal(info.passed_through, 6);
      assert_false(contains(csfle__view(back.ptr, back.len), "078-05-1120"));
    }
    csfle_serde_close(w), csfle_serde_close(rd), csfle_serde_close(st);
    csfle_buf_free(&out), csfle_buf_free(&back);
  }
  csfle_client_close(writer), csfle_client_close(reader), csfle_client_close(stranger);
  csfle_test_reply reply = csfle_test_http(&r, "GET", "/dek-registry/v1/keks/kek1/deks", NULL);
  assert_string_equal(reply.body, "[\"a1-value\",\"a2-value\",\"a3-value\",\"a4-value\",\"a5-value\"]");
  csfle_test_reply_free(&reply);
  csfle_test_registry_stop(&r);
}

TEST(a_schema_is_found_by_content_and_registered_on_request) /* SERDE-48 SERDE-54 SERDE-55 */
{
  csfle_test_registry r;
  csfle_error         e = CSFLE_ERROR_INIT;
  csfle_info          info = CSFLE_INFO_INIT;
  csfle_buf           out;
  csfle_buf_init(&out, 0, 0);
  csfle_test_registry_start(&r, (const char *const[]){ "--store", "memory", NULL });
  csfle_client    *cl = open_client(&r, "use.latest.version=false\nsecret=x");
  csfle_serde_opts o = { sizeof o, CSFLE_VALUE, "a/b c%-value", "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"f\",\"type\":\"string\"}]}", NULL, NULL };
  csfle_serde     *s = csfle_serde_open(cl, "t", &o, &e);
  assert_int_equal(csfle_serialize(s, CSFLE_NATIVE, "\x02x", 2, NULL, &out, &info, &e), CSFLE_E_SCHEMA);
  assert_int_equal(e.http, 404);
  o.props = (const char *const[]){ "auto.register.schemas", "true", NULL };
  csfle_serde *registering = csfle_serde_open(cl, "t", &o, &e);
  if (csfle_serialize(registering, CSFLE_NATIVE, "\x02x", 2, NULL, &out, &info, &e)) fail_msg("%s %s", e.where, e.msg);
  int32_t id = info.schema_id;
  assert_true(id > 0);
  if (csfle_serialize(s, CSFLE_NATIVE, "\x02x", 2, NULL, &out, &info, &e)) fail_msg("%s %s", e.where, e.msg);
  assert_int_equal(info.schema_id, id);
  csfle_serde_close(s), csfle_serde_close(registering);
  csfle_client_close(cl);
  csfle_test_registry_stop(&r);
  csfle_buf_free(&out);
}

TEST(a_registry_that_is_gone_is_a_reason_to_wait)
{
  csfle_error      e = CSFLE_ERROR_INIT;
  csfle_buf        out;
  csfle_buf_init(&out, 0, 0);
  csfle_config    *c = csfle_config_new("schema.registry.url=http://127.0.0.1:1\nuse.latest.version=true\nmax.retries=1\nretries.wait.ms=1");
  csfle_client    *cl = csfle_client_open(c, &e);
  csfle_serde     *s = csfle_serde_open(cl, "t", NULL, &e);
  csfle_config_free(c);
  assert_int_equal(csfle_serialize(s, CSFLE_JSON, "{}", 2, NULL, &out, NULL, &e), CSFLE_E_UNAVAILABLE);
  assert_int_equal(CSFLE_CLASS(e.code), CSFLE_CLASS_WAIT);
  assert_non_null(strstr(e.msg, "no reply from http://127.0.0.1:1"));
  csfle_serde_close(s);
  csfle_client_close(cl);
  csfle_buf_free(&out);
}
