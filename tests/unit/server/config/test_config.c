/* Properties: files as Java reads them, names that are known, refused or unknown, listeners. */
#include "server/config/config.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
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
    { "ssl.keystore.location=/x.p12", "TLS is not supported yet" },
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
  assert_int_equal(load(p, "kafkastore.topic=a\n\nssl.keystore.location=x\n", &e), CSFLE_E_CONFIG);
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

TEST(listeners_are_one_plain_address)
{
  registry_listener l;
  csfle_error       e = CSFLE_ERROR_INIT;
  assert_ok(registry_listener_parse(&l, "http://localhost:0", err));
  assert_true(l.loopback && l.port == 0 && strcmp(l.host, "127.0.0.1") == 0);
  assert_ok(registry_listener_parse(&l, " http://0.0.0.0:8081 ", err));
  assert_false(l.loopback);
  assert_ok(registry_listener_parse(&l, "http://[::1]:8081", err));
  assert_true(l.loopback && strcmp(l.host, "::1") == 0);
  static const char *const bad[] = { "https://127.0.0.1:8081", "http://a:1,http://b:2", "http://127.0.0.1", "http://host.example:80", "http://127.0.0.1:70000", "", "ftp://x:1" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (registry_listener_parse(&l, bad[i], &e) == CSFLE_OK) fail_msg("\"%s\" was taken", bad[i]);
}
