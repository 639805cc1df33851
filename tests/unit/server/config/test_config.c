/* Properties: files as Java reads them, names that are known, refused or unknown, listeners. */
#include "server/config/config.h"
#include "tests/support/test.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static csfle_status load(registry_properties *p, const char *text, csfle_error *err)
{
  char        path[256];
  const char *tmp = getenv("TMPDIR");
  snprintf(path, sizeof path, "%s/csfle-props-XXXXXX", tmp && *tmp ? tmp : "/tmp");
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
  close(fd);
  csfle_status rc = registry_properties_load(p, path, err);
  unlink(path);
  return rc;
}

TEST(a_properties_file_is_read_as_java_reads_it)
{
  registry_properties *p = registry_properties_new();
  assert_string_equal(registry_property(p, "listeners"), "http://127.0.0.1:8081");
  assert_ok(load(p,
                 "# a comment\n! another\n\n  listeners = http://127.0.0.1:9000  \n"
                 "kafkastore.topic:other\nschema.registry.group.id   my group\n"
                 "csfle.store.path = /a/\\\n    b\\tc\nauthentication.method=NONE\n",
                 err));
  assert_string_equal(registry_property(p, "listeners"), "http://127.0.0.1:9000  ");
  assert_string_equal(registry_property(p, "kafkastore.topic"), "other");
  assert_string_equal(registry_property(p, "schema.registry.group.id"), "my group");
  assert_string_equal(registry_property(p, "csfle.store.path"), "/a/b\tc");
  assert_true(registry_property_given(p, "kafkastore.topic"));
  assert_false(registry_property_given(p, "csfle.workers"));
  registry_properties_free(p);
}

TEST(what_the_server_does_not_do_is_refused_by_name)
{
  static const struct { const char *line, *says; } cases[] = {
    { "authentication.method=BASIC", "authentication is not supported yet" },
    { "ssl.client.auth=required", "client certificates are not supported yet" },
    { "ssl.truststore.location=/x.p12", "client certificates are not supported yet" },
    { "ssl.keystore.password=x", "the password of its key is ssl.key.password" },
    { "ssl.cipher.suites=x", "this setting of TLS is not supported" },
    { "kafkastore.bootstrap.servers=PLAINTEXT://k:9092", "a store on Kafka is not supported yet" },
    { "metadata.encoder.secret=s", "encrypting sensitive metadata is not supported yet" },
    { "no.such.property=1", "unknown property \"no.such.property\"" },
    { "noequals", "is not of the form name=value" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    registry_properties *p = registry_properties_new();
    csfle_error          e = CSFLE_ERROR_INIT;
    assert_int_equal(registry_properties_set_line(p, cases[i].line, &e), CSFLE_E_CONFIG);
    if (!strstr(e.msg, cases[i].says)) fail_msg("%s: %s", cases[i].line, e.msg);
    registry_properties_free(p);
  }
}

TEST(an_error_names_file_and_line)
{
  registry_properties *p = registry_properties_new();
  csfle_error          e = CSFLE_ERROR_INIT;
  assert_int_equal(load(p, "kafkastore.topic=a\n\nssl.cipher.suites=x\n", &e), CSFLE_E_CONFIG);
  assert_non_null(strstr(e.where, ":3"));
  registry_properties_free(p);
}

TEST(numbers_and_booleans_are_checked)
{
  registry_properties *p = registry_properties_new();
  csfle_error          e = CSFLE_ERROR_INIT;
  int64_t              n;
  bool                 b;
  assert_ok(registry_property_int(p, "csfle.workers", 1, 256, &n, err));
  assert_int_equal(n, 16);
  assert_ok(registry_properties_set_line(p, "csfle.workers=0", err));
  assert_int_equal(registry_property_int(p, "csfle.workers", 1, 256, &n, &e), CSFLE_E_CONFIG);
  assert_ok(registry_properties_set_line(p, "mode.mutability=FALSE", err));
  assert_ok(registry_property_bool(p, "mode.mutability", &b, err));
  assert_false(b);
  assert_ok(registry_properties_set_line(p, "mode.mutability=maybe", err));
  assert_int_equal(registry_property_bool(p, "mode.mutability", &b, &e), CSFLE_E_CONFIG);
  registry_properties_free(p);
}

TEST(listeners_are_plain_or_tls_addresses)
{
  registry_listener l[2];
  csfle_error       e = CSFLE_ERROR_INIT;
  int               n;
  assert_ok(registry_listeners_parse(l, 2, &n, "http://localhost:0", err));
  assert_true(n == 1 && l[0].loopback && !l[0].tls && l[0].port == 0 && strcmp(l[0].host, "127.0.0.1") == 0);
  assert_ok(registry_listeners_parse(l, 2, &n, " http://0.0.0.0:8081 , https://[::1]:8082", err));
  assert_true(n == 2 && !l[0].loopback && !l[0].tls && l[1].loopback && l[1].tls && l[1].port == 8082 && strcmp(l[1].host, "::1") == 0);
  static const char *const bad[] = { "http://a:1,http://b:2", "http://127.0.0.1", "http://host.example:80", "http://127.0.0.1:70000", "", "ftp://x:1", "http://127.0.0.1:1,",
                                     ",http://127.0.0.1:1", "http://127.0.0.1:1,http://127.0.0.1:2,http://127.0.0.1:3", "https://" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (registry_listeners_parse(l, 2, &n, bad[i], &e) == CSFLE_OK) fail_msg("\"%s\" was taken", bad[i]);
}

/* PEM texts are taken as they are; everything else says what to do */
TEST(tls_is_set_up_from_pem)
{
  static const struct { const char *lines, *says; } cases[] = {
    { "", "an https listener needs a certificate and its key" },
    { "ssl.keystore.type=JKS\nssl.keystore.location=/dev/null\n", "ssl.keystore.type is \"JKS\", only PEM is read; keytool -importkeystore" },
    { "ssl.keystore.location=/dev/null\n", "/dev/null is no PEM file; for JKS or PKCS12: keytool" },
    { "ssl.keystore.location=/no/such\n", "cannot read /no/such" },
    { "ssl.keystore.location=/dev/null\nssl.keystore.key=x\n", "which of them counts" },
    { "ssl.keystore.certificate.chain=x\nssl.keystore.key=y\n", "ssl.keystore.certificate.chain holds no certificate" },
    { "ssl.keystore.certificate.chain=-----BEGIN CERTIFICATE-----\nssl.keystore.key=y\n", "ssl.keystore.key holds no private key" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    registry_properties *p = registry_properties_new();
    registry_tls         tls = { 0 };
    csfle_error          e = CSFLE_ERROR_INIT;
    assert_ok(load(p, cases[i].lines, err));
    assert_int_equal(registry_tls_load(&tls, p, &e), CSFLE_E_CONFIG);
    if (!strstr(e.msg, cases[i].says)) fail_msg("%s: %s", cases[i].lines, e.msg);
    registry_tls_free(&tls);
    registry_properties_free(p);
  }
}

static csfle_status pem_texts(void)
{
  registry_properties *p = registry_properties_new();
  registry_tls         tls = { 0 };
  csfle_error          e = CSFLE_ERROR_INIT;
  csfle_status         rc = p ? CSFLE_OK : CSFLE_E_NOMEM;
  if (rc == CSFLE_OK) rc = registry_properties_set_line(p, "ssl.keystore.certificate.chain=-----BEGIN CERTIFICATE-----\nAA==", &e);
  if (rc == CSFLE_OK) rc = registry_properties_set_line(p, "ssl.keystore.key=-----BEGIN PRIVATE KEY-----\nAA==", &e);
  if (rc == CSFLE_OK) rc = registry_tls_load(&tls, p, &e);
  if (rc == CSFLE_OK) assert_string_equal((const char *)tls.key.ptr, "-----BEGIN PRIVATE KEY-----\nAA==");
  registry_tls_free(&tls);
  registry_properties_free(p);
  return rc;
}

TEST(pem_texts_survive_every_failed_allocation)
{
  TORTURE(pem_texts());
}

static const char *policy(const char *lines, csfle_buf *out, csfle_error *e)
{
  registry_properties *p = registry_properties_new();
  csfle__buf_clear(out);
  assert_ok(load(p, lines, err));
  csfle_status rc = registry_policy_text(p, out, e);
  registry_properties_free(p);
  return rc == CSFLE_OK ? csfle__buf_cstr(out) : NULL;
}

/* [DEK 3.18] */
TEST(a_policy_is_a_text_or_made_for_a_principal)
{
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf   out;
  csfle_buf_init(&out, 0, 0);
  assert_string_equal(policy("csfle.policy.text=az ad app federated-credential create --issuer \"x\"\n", &out, &e), "az ad app federated-credential create --issuer \"x\"");
  assert_string_equal(policy("csfle.policy.aws.principal=arn:aws:iam::111122223333:role/registry\nschema.registry.group.id=lsrc-1\n", &out, &e),
                      "{\"Sid\":\"Allow the schema registry to use the key\",\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::111122223333:role/registry\"},"
                      "\"Action\":[\"kms:Encrypt\",\"kms:Decrypt\"],\"Resource\":\"*\",\"Condition\":{\"StringEquals\":{\"aws:PrincipalTag/TenantID\":\"lsrc-1\"}}}");
  assert_null(strstr(policy("csfle.policy.aws.principal=arn:aws:iam::1:role/r\ncsfle.policy.aws.tenant.id=none\n", &out, &e), "Condition"));
  assert_null(policy("csfle.policy.aws.principal=somebody\n", &out, &e));
  assert_non_null(strstr(e.msg, "which is no ARN"));
  assert_null(policy("csfle.policy.aws.principal=arn:aws:iam::1:role/r\ncsfle.policy.text=x\n", &out, &e));
  csfle__buf_clear(&out);
  assert_string_equal(policy("", &out, &e), "");
  csfle_buf_free(&out);
}

/* a key that was pasted over several lines, a colon for the equals sign: what is behind may be a secret */
TEST(what_is_no_property_is_not_repeated)
{
  static const char    file[] = "ssl.keystore.key=-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgSECRETSECRETSEC=\n-----END PRIVATE KEY-----\n";
  csfle_error          e = CSFLE_ERROR_INIT;
  registry_properties *p = registry_properties_new();
  assert_int_equal(load(p, file, &e), CSFLE_E_CONFIG);
  assert_null(strstr(e.msg, "SECRET"));
  assert_non_null(strstr(e.where, ":2"));
  assert_non_null(strstr(e.msg, "has \\n for each line break"));
  assert_int_equal(registry_properties_set_line(p, "ssl.key.password:SECRET", &e), CSFLE_E_CONFIG);
  assert_null(strstr(e.msg, "SECRET"));
  assert_non_null(strstr(e.msg, "\"ssl.key.password...\" is not of the form name=value"));
  registry_properties_free(p);
}

/* ---- what is freed ---------------------------------------------------------------------------------------------- */

static int leftovers;

static void *plain_alloc(void *opaque, size_t size) { return (void)opaque, malloc(size ? size : 1); }
static void *plain_resize(void *opaque, void *ptr, size_t size) { return (void)opaque, realloc(ptr, size ? size : 1); }
static void  look_and_release(void *opaque, void *ptr)
{
  (void)opaque;
  if (memmem(ptr, malloc_usable_size(ptr), "hunter2", 7)) leftovers++;
  free(ptr);
}

/* The password and the text of a private key are properties. */
TEST(secrets_of_properties_do_not_stay_in_freed_memory)
{
  static const csfle__alloc_hooks hooks = { plain_alloc, plain_resize, look_and_release, NULL, NULL };
  csfle__alloc_set(&hooks);
  registry_properties *p = registry_properties_new();
  leftovers = 0;
  assert_ok(load(p, "ssl.key.password=hunter2\nssl.keystore.key=hunter2 \\\n  more\n", err));
  assert_ok(registry_properties_set_line(p, "ssl.key.password=hunter2 again", err));
  assert_string_equal(registry_property(p, "ssl.key.password"), "hunter2 again");
  registry_properties_free(p);
  csfle__alloc_set(NULL);
  assert_int_equal(leftovers, 0);
}
