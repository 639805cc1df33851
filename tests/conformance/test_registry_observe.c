/* What is wrong is said: health, metrics and the log name a limit that is near, keys past their period, a KMS that fails. */
#include "tests/support/fake_kms.h"
#include "tests/support/rest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RUN(...)                                                            \
  do {                                                                      \
    const csfle_test_step steps_[] = { __VA_ARGS__ };                       \
    csfle_test_steps("a step", steps_, sizeof steps_ / sizeof *steps_);     \
  } while (0)
#define WELL "{'live':true,'ready':true,'warnings':[],'...':1}"
#define WARNS(code, says) OK("{'live':true,'ready':true,'warnings':[{'code':'" code "','message':'$has:" says "'}],'...':1}")

/* the value of a metric, -1: it is not told. Its name up to the blank, labels included. */
static double metric(const char *name)
{
  csfle_test_reply p = csfle_test_http(csfle_test_rest_registry(), "GET", "/metrics", NULL);
  double           value = -1;
  char             look[200];
  assert_int_equal(p.status, 200);
  snprintf(look, sizeof look, "\n%s ", name);
  const char *at = strstr(p.body, look);
  if (at) value = atof(at + strlen(look));
  csfle_test_reply_free(&p);
  return value;
}

static void metric_is(const char *name, double want)
{
  double got = metric(name);
  if (got < want || got > want) fail_msg("%s is %g, expected %g", name, got, want);
}

/* waits until the log has a line with both texts */
static void log_says(const char *a, const char *b)
{
  static char log[65536];
  for (int i = 0; i < 200; i++) {
    FILE *f = fopen(csfle_test_rest_registry()->log, "r");
    assert_non_null(f);
    size_t n = fread(log, 1, sizeof log - 1, f);
    log[n] = 0;
    fclose(f);
    for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n"))
      if (strstr(line, a) && strstr(line, b)) return;
    nanosleep(&(struct timespec){ 0, 25000000 }, NULL);
  }
  fail_msg("no line of the log has \"%s\" and \"%s\"", a, b);
}

/* ---- limits --------------------------------------------------------------------------------------------------------- */

GROUP(ten_keys, "-X", "dek.registry.max.keys=10", "-X", "csfle.housekeeping.ms=20")

TEST(a_limit_that_is_near_or_reached_is_said)
{
  char body[100];
  RUN({ "GET /csfle/v1/health", NULL, OK("{'live':true,'ready':true,'warnings':[],'keks':0,'deks':0,'maxKeys':10,'overdue':0,'trash':0}") });
  for (int i = 1; i <= 11; i++) {
    snprintf(body, sizeof body, "{'name':'k%d','kmsType':'t','kmsKeyId':'i'}", i);
    RUN({ "POST ~/keks", body, OK("{'...':1}") });
    if (i == 8) RUN({ "GET /csfle/v1/health", NULL, OK(WELL) });
    if (i == 9) RUN({ "GET /csfle/v1/health", NULL, WARNS("key-limit", "9 KEKs of at most 11 (dek.registry.max.keys)") });
  }
  metric_is("csfle_registry_warning{code=\"key-limit\"}", 1);
  metric_is("csfle_registry_key_limit_refusals_total", 0);
  RUN({ "GET /csfle/v1/health", NULL, WARNS("key-limit", "no KEK can be made") },
      { "POST ~/keks", "{'name':'more','kmsType':'t','kmsKeyId':'i'}", NO(409, 40972, "A maximum of 10 keys already exist") });
  metric_is("csfle_registry_key_limit_refusals_total", 1);
  metric_is("csfle_registry_keks", 11);
  metric_is("csfle_registry_deks", 0);
  metric_is("csfle_registry_keys_limit", 10);
  log_says("key-limit", "dek.registry.max.keys");
}

/* ---- periods -------------------------------------------------------------------------------------------------------- */

#define Q "\\\""
#define REC(ts, key, value) "{'topic':'_dek_registry_keys','offset':0,'ts':%lld,'key':'" key "','value':'" value "'}\n"
#define SCHEMA(days, more) \
  "{'schema':<A1>,'ruleSet':{'domainRules':[{'name':'r','kind':'TRANSFORM','type':'ENCRYPT','mode':'WRITEREAD','tags':['PII']," \
  "'params':{'encrypt.kek.name':'k','encrypt.kms.type':'t','encrypt.kms.key.id':'i','encrypt.dek.expiry.days':'" days "'}" more "}]}}"

/* the KEK k, and a DEK of s that is a hundred days old */
static void load_old_key(const char *const *args)
{
  static char lines[4096];
  long long   then = ((long long)time(NULL) - 100 * 86400 - 3600) * 1000;
  snprintf(lines, sizeof lines,
           REC(then, "{" Q "tenant" Q ":" Q "default" Q "," Q "name" Q ":" Q "k" Q "," Q "type" Q ":" Q "KEK" Q "}",
               "{" Q "name" Q ":" Q "k" Q "," Q "kmsType" Q ":" Q "t" Q "," Q "kmsKeyId" Q ":" Q "i" Q "," Q "kmsProps" Q ":{}," Q "shared" Q ":false," Q "deleted" Q ":false," Q "type" Q ":" Q "KEK" Q "}")
           REC(then, "{" Q "tenant" Q ":" Q "default" Q "," Q "kekName" Q ":" Q "k" Q "," Q "subject" Q ":" Q "s" Q "," Q "algorithm" Q ":" Q "AES256_GCM" Q "," Q "version" Q ":1," Q "type" Q ":" Q "DEK" Q "}",
               "{" Q "kekName" Q ":" Q "k" Q "," Q "subject" Q ":" Q "s" Q "," Q "algorithm" Q ":" Q "AES256_GCM" Q "," Q "version" Q ":1," Q "encryptedKeyMaterial" Q ":" Q "YQ==" Q "," Q "deleted" Q ":false," Q "type" Q ":" Q "DEK" Q "}"),
           then, then);
  csfle_test_rest_load(lines, args);
}

TEST(AB_12_a_key_past_its_period_is_said_until_it_is_replaced)
{
  static const char *const args[] = { "-X", "csfle.housekeeping.ms=20", NULL };
  load_old_key(args);
  RUN({ "GET /csfle/v1/health", NULL, OK(WELL) }, /* no rule asks for a period */
      { "POST /subjects/s/versions", SCHEMA("101", ""), OK("{'id':1,'...':1}") }, { "GET /csfle/v1/health", NULL, OK(WELL) },
      { "POST /subjects/s/versions", SCHEMA("90", ",'disabled':true"), OK("{'...':1}") }, { "GET /csfle/v1/health", NULL, OK(WELL) },
      { "POST /subjects/s/versions", SCHEMA("90", ""), OK("{'...':1}") },
      { "GET /csfle/v1/health", NULL, OK("{'warnings':[{'code':'rotation-overdue','message':'$has:KEK \\\"k\\\", subject \\\"s\\\", version 1 is 100 days old, its rule says 90'}],'overdue':1,'...':1}") });
  metric_is("csfle_registry_deks_overdue", 1);
  log_says("rotation-overdue", "100 days old");
  RUN({ "POST ~/keks/k/deks/s", "{'version':2,'encryptedKeyMaterial':'Yg=='}", OK("{'version':2,'...':1}") }, { "GET /csfle/v1/health", NULL, OK(WELL) });
  metric_is("csfle_registry_deks_overdue", 0);
}

TEST(AB_12_a_rotation_that_cannot_be_is_said)
{
  static const char *const args[] = { "-X", "dek.registry.max.keys=0", NULL };
  load_old_key(args);
  RUN({ "POST /subjects/s/versions", SCHEMA("90", ""), OK("{'...':1}") }, { "POST ~/keks/k/deks/s", "{'version':2,'encryptedKeyMaterial':'Yg=='}", NO(409, 40972, NULL) },
      { "GET /csfle/v1/health", NULL,
        OK("{'warnings':['$holds',{'code':'rotation-impossible','message':'$has:cannot be replaced'}],'...':1}") });
  metric_is("csfle_registry_warning{code=\"rotation-impossible\"}", 1);
}

/* ---- KMS ------------------------------------------------------------------------------------------------------------- */

TEST(a_kms_that_fails_is_said)
{
  static csfle_fake_kms kms;
  static char           allow[80];
  static const char    *args[] = { "-X", allow, "-X", "csfle.shared.dek.cache.ms=60000", NULL };
  char                  key[80];
  csfle_fake_kms_start(&kms);
  snprintf(allow, sizeof allow, "csfle.allow.kms.hosts=%s", kms.host);
  csfle_test_rest_fresh(args);
  snprintf(key, sizeof key, "\"%s/transit/keys/k0\"", kms.host);
  csfle_test_rest_keep("key", key);
  RUN({ "POST ~/keks", "{'name':'CANARYkek','kmsType':'hcvault','kmsKeyId':<key>,'kmsProps':{'token.id':'CANARYtoken'},'shared':true}", OK("{'...':1}") },
      { "POST ~/keks/CANARYkek/deks/CANARYsubject", "{}", OK("{'keyMaterial':'$b64:34::plain','...':1}") });
  metric_is("csfle_registry_kms_calls_total", 2);
  RUN({ "GET ~/keks/CANARYkek/deks/CANARYsubject", NULL, OK("{'...':1}") }, { "GET ~/keks/CANARYkek/deks/CANARYsubject", NULL, OK("{'...':1}") });
  metric_is("csfle_registry_kms_calls_total", 3);
  metric_is("csfle_registry_unwrap_hits_total", 1);
  metric_is("csfle_registry_unwrap_kept", 1);
  metric_is("csfle_registry_unwrap_waiting", 0);
  metric_is("csfle_registry_keks_shared", 1);
  atomic_store(&kms.fail, 400);
  for (int i = 0; i < 3; i++) RUN({ "POST ~/keks/CANARYkek/test", NULL, NO(500, 50070, NULL) });
  metric_is("csfle_registry_kms_failures_total", 3);
  RUN({ "GET /csfle/v1/health", NULL, WARNS("kms-failing", "the last 3 calls of a KMS failed") });
  atomic_store(&kms.fail, 0);
  RUN({ "POST ~/keks/CANARYkek/test", NULL, OK("{'...':1}") }, { "GET /csfle/v1/health", NULL, OK(WELL) });
  csfle_test_reply p = csfle_test_http(csfle_test_rest_registry(), "GET", "/metrics", NULL);
  if (strstr(p.body, "CANARY") || strstr(p.body, "\"sh\"")) fail_msg("metrics tell a name: %s", p.body);
  csfle_test_reply_free(&p);
  csfle_test_rest_stop();
  csfle_fake_kms_stop(&kms);
}

/* ---- form and place ---------------------------------------------------------------------------------------------------- */

GROUP(a_registry_like_any_other)

TEST(metrics_are_as_prometheus_reads_them)
{
  static const char *const accepts[] = { "Accept: text/plain", "Accept: application/openmetrics-text;version=1.0.0;q=0.9,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "Accept: text/plain;q=0.1" };
  for (size_t i = 0; i < sizeof accepts / sizeof *accepts; i++) {
    const char *const headers[] = { accepts[i], NULL };
    char              type[100];
    csfle_test_reply  p = csfle_test_http_headers(csfle_test_rest_registry(), "GET", "/metrics", NULL, headers);
    assert_int_equal(p.status, 200);
    assert_string_equal(csfle_test_reply_header(&p, "Content-Type", type, sizeof type), "text/plain; version=0.0.4; charset=utf-8");
    assert_true(p.len > 500 && p.body[p.len - 1] == '\n');
    for (char *line = strtok(p.body, "\n"); line; line = strtok(NULL, "\n")) {
      if (strncmp(line, "# HELP csfle_registry_", 22) == 0 || strncmp(line, "# TYPE csfle_registry_", 22) == 0) continue;
      char *blank = strrchr(line, ' '), *end;
      if (strncmp(line, "csfle_registry_", 15) != 0 || !blank) fail_msg("not a sample: %s", line);
      strtod(blank + 1, &end);
      if (*end || end == blank + 1) fail_msg("no number: %s", line);
    }
    csfle_test_reply_free(&p);
  }
}

TEST(requests_are_counted_by_route_and_class)
{
  RUN({ "GET ~/keks/none", NULL, NO(404, 40470, NULL) }, { "GET ~/keks/other", NULL, NO(404, 40470, NULL) }, { "GET ~/keks", NULL, OK("[]") });
  metric_is("csfle_registry_requests_total{method=\"GET\",route=\"/dek-registry/v1/keks/{name}\",code=\"4xx\"}", 2);
  metric_is("csfle_registry_requests_total{method=\"GET\",route=\"/dek-registry/v1/keks\",code=\"2xx\"}", 1);
}

GROUP(metrics_elsewhere, "-X", "csfle.metrics.listener=http://127.0.0.1:0", "-X", "dek.registry.max.keys=0")

TEST(metrics_can_have_a_listener_of_their_own)
{
  csfle_test_registry *r = csfle_test_rest_registry(), there = *r;
  assert_true(r->metrics_port > 0 && r->metrics_port != r->port);
  snprintf(there.url, sizeof there.url, "http://127.0.0.1:%d", r->metrics_port);
  static const struct { bool there; const char *path; int status; } cases[] = {
    { true, "/metrics", 200 }, { true, "/csfle/v1/health", 200 }, { true, "/subjects", 404 }, { true, "/dek-registry/v1/keks", 404 }, { true, "/csfle/v1/trash", 404 },
    { false, "/metrics", 404 }, { false, "/csfle/v1/health", 200 }, { false, "/subjects", 200 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle_test_reply p = csfle_test_http(cases[i].there ? &there : r, "GET", cases[i].path, NULL);
    if (strstr(cases[i].path, "health") && (!strstr(p.body, "\"code\":\"key-limit\"") || !strstr(p.body, "message") != cases[i].there)) fail_msg("%s: %s", cases[i].there ? "there" : "here", p.body);
    if (p.status != cases[i].status) fail_msg("%s %s: %ld", cases[i].there ? "metrics listener" : "listener", cases[i].path, p.status);
    csfle_test_reply_free(&p);
  }
}

/* ---- audit --------------------------------------------------------------------------------------------------------------- */

TEST(AB_7_who_may_have_keys_is_written_down)
{
  csfle_test_rest_fresh(NULL);
  RUN({ "POST ~/keks", "{'name':'k','kmsType':'local-kms','kmsKeyId':'CANARYid','kmsProps':{'secret':'CANARYsecret'}}", OK("{'...':1}") }, { "PUT ~/keks/k", "{'shared':true}", OK("{'...':1}") });
  log_says("audit", "KEK \"k\": shared switched on");
  RUN({ "PUT ~/keks/k", "{'kmsProps':{'secret':'CANARYother'}}", OK("{'...':1}") });
  log_says("audit", "KEK \"k\": shared unchanged, kmsProps changed");
  RUN({ "PUT ~/keks/k", "{'shared':false,'kmsProps':{}}", OK("{'...':1}") });
  log_says("audit", "KEK \"k\": shared switched off, kmsProps changed");
}

/* [DEK 3.18] */
GROUP(a_policy_text, "-X", "csfle.policy.text=run \"this\"")
ITEM("DEK-180", a_configured_policy_is_told, { "GET ~/policy", NULL, OK("{'policy':'run \\\"this\\\"'}") })
GROUP(a_policy_for_aws, "-X", "csfle.policy.aws.principal=arn:aws:iam::111122223333:role/registry", "-X", "schema.registry.group.id=lsrc-1")
ITEM("DEK-180", a_policy_for_aws_is_a_statement,
     { "GET ~/policy", NULL,
       OK("{'policy':'{\\\"Sid\\\":\\\"Allow the schema registry to use the key\\\",\\\"Effect\\\":\\\"Allow\\\",\\\"Principal\\\":{\\\"AWS\\\":\\\"arn:aws:iam::111122223333:role/registry\\\"},"
          "\\\"Action\\\":[\\\"kms:Encrypt\\\",\\\"kms:Decrypt\\\"],\\\"Resource\\\":\\\"*\\\",\\\"Condition\\\":{\\\"StringEquals\\\":{\\\"aws:PrincipalTag/TenantID\\\":\\\"lsrc-1\\\"}}}'}") })

THE_END
