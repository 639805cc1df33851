/* Starting and stopping: what is refused, what is read only, what is left behind, what is written to the log. */
#include "tests/support/registry.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PROGRAM "'" CSFLE_TEST_BINARIES "/csfle-registry' "

/* runs a command; its exit status, what it wrote in text */
static int run(const char *command, char *text, size_t size)
{
  char all[2048];
  snprintf(all, sizeof all, "{ %s; } 2>&1", command);
  FILE *f = popen(all, "r");
  assert_non_null(f);
  size_t n = fread(text, 1, size - 1, f);
  text[n] = 0;
  int status = pclose(f);
  return status >> 8;
}

TEST(what_cannot_be_done_is_refused_at_start)
{
  static const struct { const char *arguments, *says; } cases[] = {
    { "--dev -X listeners=http://0.0.0.0:0", "csfle.anonymous=read or csfle.anonymous=write" },
    { "--dev -X listeners=https://127.0.0.1:0", "an https listener needs a certificate and its key" },
    { "--dev -X listeners=https://127.0.0.1:0 -X ssl.keystore.type=PKCS12 -X ssl.keystore.location=x", "openssl pkcs12 -in" },
    { "--dev -X listeners=http://127.0.0.1:0,http://0.0.0.0:0", "csfle.anonymous=read or csfle.anonymous=write" },
    { "--dev -X csfle.key.material.over=all", "expected tls or plain" },
    { "--dev -X authentication.method=BASIC", "authentication is not supported yet" },
    { "--dev -X ssl.truststore.location=x", "client certificates are not supported yet" },
    { "--dev -X kafkastore.bootstrap.servers=k:9092", "a store on Kafka is not supported yet" },
    { "--dev -X no.such=1", "unknown property" },
    { "--dev -X csfle.store=kafka", "expected memory or embedded" },
    { "--dev -X schema.compatibility.level=sideways", "which is no level" },
    { "--dev -X csfle.anonymous=all", "expected read or write" },
    { "--dev --port 99999", "is no port" },
    { "", "no store" },
    { "--config /no/such/file", "cannot read /no/such/file" },
    { "--store /no/such/folder/s.db", "unable to open database file" },
    { "--dev surplus", "is not understood" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char command[512], text[4096];
    snprintf(command, sizeof command, "timeout 10 %s %s", PROGRAM, cases[i].arguments);
    int status = run(command, text, sizeof text);
    if (status == 0 || status == 124 || !strstr(text, cases[i].says)) fail_msg("%s: exit %d, said: %s", cases[i].arguments, status, text);
  }
}

TEST(version_and_help_are_told)
{
  char text[16384];
  assert_int_equal(run(PROGRAM "--version", text, sizeof text), 0);
  assert_non_null(strstr(text, "csfle-registry "));
  assert_int_equal(run(PROGRAM "--help", text, sizeof text), 0);
  assert_non_null(strstr(text, "dek.registry.max.keys"));
  assert_non_null(strstr(text, "csfle.anonymous"));
}

TEST(the_example_of_help_works_and_dev_leaves_nothing_behind)
{
  char text[4096], store[512] = "";
  assert_int_equal(run("timeout -s TERM 1 " PROGRAM "--dev --port 0 -X schema.compatibility.level=none; true", text, sizeof text), 0);
  assert_non_null(strstr(text, "listening on http://127.0.0.1:"));
  const char *at = strstr(text, "store /");
  assert_non_null(at);
  sscanf(at, "store %500s", store);
  assert_int_equal(access(store, F_OK), -1);
}

TEST(an_anonymous_reader_may_not_write)
{
  static const char *const args[] = { "-X", "listeners=http://0.0.0.0:0", "-X", "csfle.anonymous=read", NULL };
  csfle_test_registry r;
  csfle_test_registry_start(&r, args);
  static const struct { const char *method, *path, *body; long status; } cases[] = {
    { "GET", "/subjects", NULL, 200 },
    { "POST", "/subjects/s", "{\"schema\":\"\\\"string\\\"\"}", 404 }, /* looking up is reading */
    { "POST", "/compatibility/subjects/s/versions", "{\"schema\":\"\\\"string\\\"\"}", 200 },
    { "GET", "/dek-registry/v1/keks", NULL, 200 },
    { "POST", "/subjects/s/versions", "{\"schema\":\"\\\"string\\\"\"}", 403 },
    { "DELETE", "/subjects/s", NULL, 403 },
    { "PUT", "/config", "{\"compatibility\":\"NONE\"}", 403 },
    { "PUT", "/mode", "{\"mode\":\"READONLY\"}", 403 },
    { "POST", "/dek-registry/v1/keks", "{\"name\":\"k\",\"kmsType\":\"t\",\"kmsKeyId\":\"i\"}", 403 },
    { "POST", "/dek-registry/v1/keks/k/deks/s", "{}", 403 },
    { "POST", "/contexts/.c/dek-registry/v1/keks/k/deks/s", "{}", 403 },
    { "POST", "/contexts/.c/subjects/s/versions", "{\"schema\":\"\\\"string\\\"\"}", 403 },
    { "GET", "/csfle/v1/trash", NULL, 200 },
    { "POST", "/csfle/v1/trash/x/restore", NULL, 403 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle_test_reply p = csfle_test_http(&r, cases[i].method, cases[i].path, cases[i].body);
    if (p.status != cases[i].status) fail_msg("%s %s: %ld %s", cases[i].method, cases[i].path, p.status, p.body);
    csfle_test_reply_free(&p);
  }
  csfle_test_registry_stop(&r);
}

/* DEK 10.5 */
TEST(nothing_secret_is_logged)
{
  csfle_test_registry r;
  char                log[65536];
  csfle_test_registry_start(&r, NULL);
  static const struct { const char *method, *path, *body; } calls[] = {
    { "POST", "/dek-registry/v1/keks", "{\"name\":\"sh\",\"kmsType\":\"local-kms\",\"kmsKeyId\":\"CANARYid\",\"kmsProps\":{\"secret\":\"CANARYsecret\"},\"doc\":\"CANARYdoc\",\"shared\":true}" },
    { "POST", "/dek-registry/v1/keks/sh/deks/s", "{}" },
    { "GET", "/dek-registry/v1/keks/sh/deks/s", NULL },
    { "POST", "/dek-registry/v1/keks/sh/deks/t", "{\"encryptedKeyMaterial\":\"Q0FOQVJZ\"}" },
    { "POST", "/dek-registry/v1/keks", "{\"name\":\"CANARYname\",\"kmsType\":\"unknown\",\"kmsKeyId\":\"CANARY\",\"shared\":true}" },
    { "POST", "/dek-registry/v1/keks/CANARYname/test", NULL },
    { "POST", "/subjects/s/versions", "{\"schema\":\"CANARY\"}" },
    { "POST", "/subjects/s/versions", "CANARY" },
  };
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    csfle_test_reply p = csfle_test_http(&r, calls[i].method, calls[i].path, calls[i].body);
    assert_true(p.status >= 200);
    csfle_test_reply_free(&p);
  }
  csfle_test_registry_kill(&r);
  csfle_test_registry_restart(&r);
  assert_int_equal(csfle_test_registry_term(&r), 0);
  FILE *f = fopen(r.log, "r");
  assert_non_null(f);
  size_t n = fread(log, 1, sizeof log - 1, f);
  log[n] = 0;
  fclose(f);
  assert_true(n > 0);
  if (strstr(log, "CANARY") || strstr(log, "Q0FOQVJZ")) fail_msg("the log holds what it must not: %s", log);
  csfle_test_registry_stop(&r);
}

TEST(a_store_goes_out_by_dump_and_in_by_load)
{
  csfle_test_registry r;
  char                command[2048], text[16384], again[16384];

  csfle_test_registry_start(&r, NULL);
  csfle_test_reply p = csfle_test_http(&r, "POST", "/subjects/s/versions", "{\"schema\":\"\\\"string\\\"\"}");
  assert_int_equal(p.status, 200);
  csfle_test_reply_free(&p);
  p = csfle_test_http(&r, "POST", "/dek-registry/v1/keks", "{\"name\":\"k\",\"kmsType\":\"t\",\"kmsKeyId\":\"i\"}");
  assert_int_equal(p.status, 200);
  csfle_test_reply_free(&p);
  csfle_test_reply before = csfle_test_http(&r, "GET", "/subjects/s/versions/1", NULL);
  assert_int_equal(csfle_test_registry_term(&r), 0);
  snprintf(command, sizeof command, PROGRAM "dump --store '%s'", r.store);
  assert_int_equal(run(command, text, sizeof text), 0);
  assert_non_null(strstr(text, "{\"topic\":\"_schemas\",\"offset\":0,"));
  assert_non_null(strstr(text, "{\"topic\":\"_dek_registry_keys\",\"offset\":1,"));
  snprintf(command, sizeof command, PROGRAM "dump --store '%s' | " PROGRAM "load --store '%s/copy.db' && mv '%s/copy.db' '%s' && " PROGRAM "dump --store '%s'", r.store, r.dir, r.dir, r.store, r.store);
  assert_int_equal(run(command, again, sizeof again), 0);
  assert_string_equal(again, text); /* times and offsets too */
  snprintf(command, sizeof command, "echo '{}' | " PROGRAM "load --store '%s'", r.store);
  assert_int_equal(run(command, again, sizeof again), 1);
  assert_non_null(strstr(again, "load needs an empty one"));
  csfle_test_registry_restart(&r);
  p = csfle_test_http(&r, "GET", "/subjects/s/versions/1", NULL);
  assert_string_equal(p.body, before.body);
  csfle_test_reply_free(&p);
  csfle_test_reply_free(&before);
  csfle_test_registry_stop(&r);
}
