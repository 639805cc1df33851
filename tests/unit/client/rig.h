/* What tests of the client share: a client over the fake registry, and small Avro values. */
#ifndef CSFLE_TESTS_UNIT_CLIENT_RIG_H
#define CSFLE_TESTS_UNIT_CLIENT_RIG_H

#include "client/config/config.h"
#include "client/serde/serde.h"
#include "tests/support/fake_registry.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>

#define RIG_PROPS "schema.registry.url=http://fake\nuse.latest.version=true\nretries.wait.ms=1\nmax.retries=0\n" \
                  "rule.executors._default_.param.secret=mysecret\n"
#define RULE_PARAMS "\"encrypt.kek.name\":\"kek1\",\"encrypt.kms.type\":\"local-kms\",\"encrypt.kms.key.id\":\"mykey\""
#define RULE(name, tag, more) \
  "{\"name\":\"" name "\",\"kind\":\"TRANSFORM\",\"mode\":\"WRITEREAD\",\"type\":\"ENCRYPT\",\"tags\":[\"" tag "\"],\"params\":{" RULE_PARAMS "}" more "}"
#define PII_RULES "{\"domainRules\":[" RULE("encryptPII", "PII", ",\"onFailure\":\"ERROR,NONE\"") "]}"
#define CUSTOMER "{\"type\":\"record\",\"name\":\"Customer\",\"fields\":[{\"name\":\"id\",\"type\":\"long\"}," \
                 "{\"name\":\"ssn\",\"type\":\"string\",\"confluent:tags\":[\"PII\"]},{\"name\":\"note\",\"type\":\"string\"}]}"
/* id 1, ssn 078-05-1120, note "plain" */
#define CUSTOMER_VALUE "\x02\x16" "078-05-1120" "\x0a" "plain"

typedef struct rig {
  csfle_fake    fake;
  csfle_client *client;
  csfle_serde  *serde;
} rig;

/* Every log line at every level: nothing secret may be in one. */
static inline void rig_log(void *opaque, int level, const char *facility, const char *text)
{
  (void)opaque, (void)level, (void)facility;
  if (strstr(text, "078-05-1120") || strstr(text, "mysecret")) fail_msg("logged: %s", text); /* ENC-102 */
}

/* NULL: nobody listens. */
static csfle_event_fn rig_on_event;

/* Over @p t and with @p clock, those of a fake registry or others. */
static inline csfle_client *rig_client_over(const csfle_transport *t, const csfle__clock *clock, const char *props)
{
  csfle_error   err = CSFLE_ERROR_INIT;
  csfle_config *c = csfle_config_new(RIG_PROPS);
  assert_non_null(c);
  if (c->bad.code) fail_msg("%s", c->bad.msg);
  csfle__config_set_clock(c, clock);
  csfle_config_on_log(c, 7, rig_log, NULL);
  if (rig_on_event) csfle_config_on_event(c, rig_on_event, NULL);
  assert_int_equal(csfle_config_add_transport(c, t, &err), CSFLE_OK);
  char *copy = strdup(props ? props : "");
  for (char *line = strtok(copy, "\n"); line; line = strtok(NULL, "\n")) {
    char *eq = strchr(line, '=');
    *eq = 0;
    if (csfle_config_set(c, line, eq + 1, &err) != CSFLE_OK) fail_msg("%s", err.msg);
  }
  free(copy);
  csfle_client *cl = csfle_client_open(c, &err);
  if (!cl) fail_msg("%s", err.msg);
  csfle_config_free(c);
  return cl;
}

static inline csfle_client *rig_client(csfle_fake *f, const char *props) { return rig_client_over(&f->transport, &f->clock, props); }

static inline csfle_serde *rig_serde(csfle_client *cl, const char *topic, const char *schema, const char *const *props)
{
  csfle_error      err = CSFLE_ERROR_INIT;
  csfle_serde_opts o = { sizeof o, CSFLE_VALUE, NULL, schema, NULL, props };
  csfle_serde     *s = csfle_serde_open(cl, topic, &o, &err);
  if (!s) fail_msg("%s %s", err.where, err.msg);
  return s;
}

/* A client, topic "orders" with @p schema and @p rules as version 7, id 12, and a serde whose native bytes have that schema. */
static inline void rig_open(rig *r, const char *schema, const char *metadata, const char *rules, const char *props)
{
  csfle_fake_init(&r->fake);
  csfle_fake_add_schema(&r->fake, "orders-value", 12, 7, schema, metadata, rules);
  r->client = rig_client(&r->fake, props);
  r->serde = rig_serde(r->client, "orders", schema, NULL);
}

static inline void rig_close(rig *r)
{
  csfle_serde_close(r->serde);
  csfle_client_close(r->client);
  csfle_fake_free(&r->fake);
}

/* A metric's line in the client's Prometheus text, "csfle_messages_total{op=\"serialize\",...}": its value, -1 when there is none. */
static inline double rig_metric(csfle_client *cl, const char *sample)
{
  csfle_buf   b;
  csfle_error e = CSFLE_ERROR_INIT;
  double      v = -1;
  csfle_buf_init(&b, 0, 0);
  if (csfle_client_stats(cl, CSFLE_STATS_PROMETHEUS, &b, &e) != CSFLE_OK) fail_msg("%s", e.msg);
  for (const char *line = csfle__buf_cstr(&b); line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : "")
    if (strncmp(line, sample, strlen(sample)) == 0 && line[strlen(sample)] == ' ') v = atof(line + strlen(sample) + 1);
  csfle_buf_free(&b);
  return v;
}

static inline bool rig_contains(csfle__bytes hay, const char *needle)
{
  return hay.len >= strlen(needle) && memmem(hay.ptr, hay.len, needle, strlen(needle)) != NULL;
}

#endif
