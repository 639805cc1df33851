/* Proves the table of properties: what is known, what is refused, and with which words. */
#include "client/config/config.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static csfle_status open_with(const char *text, csfle_error *err)
{
  csfle_config *c = csfle_config_new(text);
  assert_non_null(c);
  csfle_client *cl = csfle_client_open(c, err);
  csfle_status  rc = cl ? CSFLE_OK : err->code;
  csfle_client_close(cl);
  csfle_config_free(c);
  return rc;
}

TEST(a_property_is_known_or_refused_by_name)
{
  const struct { const char *name, *value, *why; } cases[] = {
    { "schema.registy.url", "http://x", "unknown property 'schema.registy.url'; the nearest known one is 'schema.registry.url'" },
    { "use.latest.versoin", "true", "unknown property 'use.latest.versoin'; the nearest known one is 'use.latest.version'" },
    { "use.latest.version", "yes", "'use.latest.version' must be true or false" },
    { "max.retries", "-1", "'max.retries' must be a whole number of at least 0" },
    { "max.retries", "1x", "'max.retries' must be a whole number of at least 0" },
    { "use.latest.with.metadata", "a=b", "'use.latest.with.metadata' is not supported yet" },
    { "bearer.auth.client.id", "x", "'bearer.auth.client.id' is not supported yet" },
    { "value.subject.name.strategy", "RecordNameStrategy", "'value.subject.name.strategy' may be TopicNameStrategy|TOPIC|"
      "io.confluent.kafka.serializers.subject.TopicNameStrategy, not 'RecordNameStrategy'; other values are not supported" },
    { "csfle.block", "never", "'csfle.block' may be always, not 'never'; other values are not supported" },
    { "csfle.allow.plaintext", "disabled-rules,everything", "'csfle.allow.plaintext' is a list of disabled-rules|onfailure-none|unreachable-tags|"
      "suppressed-rules, not 'everything'" },
    { "schema.registry.url", "mock://a", "'schema.registry.url': mock:// is a transport of libcsfle-testing, which this program does not use" },
    { "schema.registry.url", "ftp://a", "'schema.registry.url' must begin with http:// or https://" },
    { "rule.executors.x", "y", "'rule.executors.x' lacks what it sets: .param.NAME, .disabled, .onFailure or .onSuccess" },
    { "rule.executors.x.class", "y", "'rule.executors.x.class': executors of one's own are not supported" },
    { "request.header.X", "a\r\nY: b", "'request.header.X' may not contain a line break" },
    { "schema.registry.ssl.truststore.location", "x.jks", "'schema.registry.ssl.truststore.location' is not supported: give PEM: schema.registry.ssl.ca.location" },
  };
  csfle_config *c = csfle_config_new(NULL);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle_error e = CSFLE_ERROR_INIT;
    assert_int_equal(csfle_config_set(c, cases[i].name, cases[i].value, &e), CSFLE_E_CONFIG);
    assert_string_equal(e.msg, cases[i].why);
  }
  assert_int_equal(c->count, 0);
  assert_ok(csfle_config_set(c, "rule.executors._default_.param.secret", "x", err));
  assert_ok(csfle_config_set(c, "rule.executors.encryptPII.disabled", "true", err));
  assert_ok(csfle_config_set(c, "schema.registry.basic.auth.user.info", "u:p", err));
  assert_string_equal(csfle__config_text(c, "basic.auth.user.info"), "u:p");
  assert_string_equal(csfle__config_text(c, "latest.cache.ttl.sec"), "300");
  csfle_config_free(c);
}

TEST(the_command_line_can_ask_which_names_are_ours)
{
  const char *ours[] = { "schema.registry.url", "basic.auth.user.info", "use.latest.version", "rule.executors.a.param.b", "csfle.require.tags",
                         "encrypt.alternate.kms.key.ids", "secret", "use.latest.with.metadata", "csfle.anything", "auto.register.schemas" };
  const char *kafkas[] = { "bootstrap.servers", "ssl.ca.location", "linger.ms", "client.id", "retries", "security.protocol", "sasl.username" };
  for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) assert_true(csfle__config_knows(ours[i]));
  for (size_t i = 0; i < sizeof kafkas / sizeof *kafkas; i++) assert_false(csfle__config_knows(kafkas[i]));
  assert_true(csfle__config_secret("basic.auth.user.info"));
  assert_true(csfle__config_secret("rule.executors._default_.param.secret"));
  assert_false(csfle__config_secret("schema.registry.url"));
  for (size_t i = 0; i < csfle__property_count; i++) assert_true(strlen(csfle__properties[i].help) > 3);
}

TEST(what_concerns_several_properties_is_checked_at_open) /* SERDE-49 SERDE-50 SERDE-165 */
{
  const struct { const char *text, *why; } cases[] = {
    { "", "'schema.registry.url' is not set" },
    { "schema.registry.url=http://a\nbasic.auth.credentials.source=USER_INFO\nbasic.auth.user.info=u:p\nbearer.auth.token=t",
      "only one of 'basic.auth.user.info' and 'bearer.auth.token' may be specified" },
    { "schema.registry.url=http://u:p@a\nbearer.auth.token=t", "'schema.registry.url' has user:password@, and another property gives credentials too" },
    { "schema.registry.url=http://a\nauto.register.schemas=true\nuse.latest.version=true",
      "'auto.register.schemas' cannot be combined with 'use.latest.version' or 'use.schema.id'" },
    { "schema.registry.url=http://a\nbasic.auth.credentials.source=USER_INFO", "'basic.auth.user.info' must be user:password" },
    { "schema.registry.url=http://a\ncsfle.kms.ssl.key.location=/k", "'csfle.kms.ssl.key.location' needs 'csfle.kms.ssl.certificate.location'" },
    { "schema.registry.url=http://a\nthis is no line", "no '=' in this line" },
    { "schema.registry.url=http://a\ninclude=/nonexistent/x.properties", "include=/nonexistent/x.properties: cannot be opened" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle_error e = CSFLE_ERROR_INIT;
    assert_int_equal(open_with(cases[i].text, &e), CSFLE_E_CONFIG);
    assert_string_equal(e.msg, cases[i].why);
  }
  csfle_error e = CSFLE_ERROR_INIT;
  open_with("# comment\n\nschema.registry.url=http://a\n  max.retries = x", &e);
  assert_string_equal(e.where, "line 4");
  assert_int_equal(open_with("schema.registry.url = http://a , http://b/\r\n", &e), CSFLE_OK);
}

static void nothing(void *opaque, csfle_exchange *x) { (void)opaque, (void)x; }
TEST(certificates_are_not_dropped_in_silence_when_the_program_sends_requests_itself)
{
  csfle_error     e = CSFLE_ERROR_INIT;
  csfle_config   *c = csfle_config_new("schema.registry.url=http://a\ncsfle.kms.ssl.ca.location=/ca");
  csfle_transport t = { sizeof t, NULL, nothing, nothing };
  assert_int_equal(csfle_config_add_transport(c, &t, &e), CSFLE_OK);
  assert_null(csfle_client_open(c, &e));
  assert_int_equal(e.code, CSFLE_E_CONFIG);
  assert_non_null(strstr(e.msg, "csfle.kms.ssl"));
  csfle_config_free(c);
}

TEST(a_file_can_be_included_but_not_for_ever)
{
  char path[] = "/tmp/csfle-config-XXXXXX", text[128];
  int  fd = mkstemp(path);
  assert_true(fd >= 0);
  assert_true(dprintf(fd, "schema.registry.url=http://a\n") > 0);
  csfle_error e = CSFLE_ERROR_INIT;
  snprintf(text, sizeof text, "include=%s", path);
  assert_int_equal(open_with(text, &e), CSFLE_OK);
  assert_true(dprintf(fd, "include=%s\n", path) > 0);
  assert_int_equal(open_with(text, &e), CSFLE_E_CONFIG);
  assert_non_null(strstr(e.msg, "include each other"));
  close(fd);
  unlink(path);
}

TEST(of_a_transport_as_much_is_read_as_the_program_had)
{
  csfle_config   *c = csfle_config_new(NULL);
  csfle_error     e = CSFLE_ERROR_INIT;
  csfle_transport t = { sizeof t, NULL, nothing, nothing, CSFLE_TRANSPORT_ASKS_ADDRESSES };
  assert_int_equal(csfle_config_add_transport(c, &t, &e), CSFLE_OK);
  assert_int_equal(c->transport.flags, CSFLE_TRANSPORT_ASKS_ADDRESSES);
  t.size = offsetof(csfle_transport, flags); /* compiled with a header that had no flags: what is there is not ours */
  assert_int_equal(csfle_config_add_transport(c, &t, &e), CSFLE_OK);
  assert_int_equal(c->transport.flags, 0);
  t.size--;
  assert_int_equal(csfle_config_add_transport(c, &t, &e), CSFLE_E_MISUSE);
  csfle_config_free(c);
}

static csfle_status configure(void)
{
  csfle_config *c = csfle_config_new("schema.registry.url=http://u:p%40@a,http://b\nsecret=abc\nrequest.header.X=y");
  csfle_error   e = CSFLE_ERROR_INIT;
  if (!c) return CSFLE_E_NOMEM;
  csfle_status rc = csfle_config_set(c, "secret", "other", &e);
  csfle_transport t = { sizeof t, NULL, NULL, NULL };
  if (rc == CSFLE_OK && csfle_config_add_transport(c, &t, NULL) != CSFLE_E_MISUSE) rc = CSFLE_E_INTERNAL;
  csfle_config_free(c);
  return rc;
}

TEST(every_failed_allocation_is_survived_and_secrets_are_wiped) { TORTURE(configure()); }
