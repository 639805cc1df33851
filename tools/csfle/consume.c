/**
 * csfle consume: records in, JSON lines out, decrypted as far as the keys allow. Partitions are assigned, no consumer group
 * is joined. A record that cannot be read is reported by its place and the run goes on.
 */
#include "core/base/alloc.h"
#include "tools/csfle/format.h"
#include "tools/csfle/kafka.h"
#include "tools/csfle/offline.h"
#include "tools/common/report.h"

#include <errno.h>

typedef struct consumer {
  const args   *a;
  kafka         k;
  csfle_config *config;
  csfle_client *client;
  csfle_serde  *serde;
  int32_t      *partitions;
  bool         *ended; /* parallel: its end was reached */
  size_t        count, ended_count;
  csfle_buf     value, text;
  run           run;
} consumer;

static int find_partitions(consumer *c)
{
  int rc = kafka_reach(&c->k, c->a->topic, &c->partitions, &c->count);
  if (rc) return rc;
  if (c->a->partition >= 0) {
    size_t i = 0;
    while (i < c->count && c->partitions[i] != c->a->partition) i++;
    if (i == c->count) return fail(EXIT_MISSING, "topic '%s' has no partition %lld; it has %zu", c->a->topic, (long long)c->a->partition, c->count);
    c->partitions[0] = (int32_t)c->a->partition;
    c->count         = 1;
  }
  c->ended = csfle__calloc(c->count, sizeof *c->ended);
  return c->ended ? 0 : fail(EXIT_FAILED, "no memory for %zu partitions", c->count);
}

static int assign(consumer *c)
{
  const char                      *from = c->a->offset ? c->a->offset : "beginning";
  rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)c->count);
  rd_kafka_resp_err_t              e;
  int                              rc = 0;

  for (size_t i = 0; i < c->count && !rc; i++) {
    rd_kafka_topic_partition_t *tp = rd_kafka_topic_partition_list_add(list, c->a->topic, c->partitions[i]);
    rc = kafka_offset(&c->k, c->a->topic, c->partitions[i], from, &tp->offset);
  }
  if (!rc && (e = rd_kafka_assign(c->k.rk, list)) != RD_KAFKA_RESP_ERR_NO_ERROR)
    rc = fail(kafka_exit_code(e), "%s: cannot be read: %s", c->a->topic, rd_kafka_err2str(e));
  rd_kafka_topic_partition_list_destroy(list);
  return rc;
}

static int open_consumer(consumer *c, const args *a)
{
  rd_kafka_conf_t *conf;
  csfle_error      err    = CSFLE_ERROR_INIT;
  bool             stored = a->offset && strcmp(a->offset, "stored") == 0;
  int              rc;

  if (!a->topic) return fail(EXIT_USAGE, "-t TOPIC is missing");
  if (a->offset && !kafka_offset_valid(a->offset))
    return fail(EXIT_USAGE, "-o %s: an offset is beginning, end, stored, N, or -N for the last N of each partition", a->offset);
  if (stored && !props_get(&a->props, "group.id"))
    return fail(EXIT_USAGE, "-o stored needs the group whose offsets are meant: -X group.id=NAME");
  if ((rc = format_check(a->format)) != 0) return rc;
  if ((conf = kafka_conf(&c->k, a, &c->config, &rc)) == NULL) return rc;
  rd_kafka_conf_set(conf, "enable.partition.eof", "true", NULL, 0);
  if ((rc = props_kafka_default(&a->props, conf, "group.id", "csfle-consume")) != 0 || /* never joined */
      (rc = props_kafka_default(&a->props, conf, "enable.auto.commit", stored ? "true" : "false")) != 0 ||
      (rc = props_kafka_default(&a->props, conf, "fetch.wait.max.ms", "100")) != 0 || /* the end of a partition shows that late */
      (rc = props_kafka_default(&a->props, conf, "auto.offset.reset", "earliest")) != 0) {
    rd_kafka_conf_destroy(conf);
    return rc;
  }
  if ((rc = kafka_open(&c->k, RD_KAFKA_CONSUMER, conf)) != 0) return rc;
  c->client = csfle_client_open(c->config, &err);
  if (c->client && (rc = offline_seed(c->client, a->backup)) != 0) return rc;
  if (c->client) c->serde = csfle_serde_open(c->client, a->topic, NULL, &err);
  if (!c->serde) return fail_with(&err, NULL);
  if ((rc = find_partitions(c)) != 0) return rc;
  rd_kafka_poll_set_consumer(c->k.rk);
  return assign(c);
}

static void close_consumer(consumer *c)
{
  if (c->k.rk) {
    rd_kafka_consumer_close(c->k.rk);
    rd_kafka_destroy(c->k.rk);
  }
  csfle_serde_close(c->serde);
  csfle_client_close(c->client);
  csfle_config_free(c->config);
  csfle__free(c->partitions);
  csfle__free(c->ended);
  csfle_buf_free(&c->value);
  csfle_buf_free(&c->text);
}

/* whether the run is to end: exit code in *stopped */
static bool one_record(consumer *c, const rd_kafka_message_t *m, int *stopped)
{
  csfle_error         err  = CSFLE_ERROR_INIT;
  csfle_info          info = CSFLE_INFO_INIT;
  rd_kafka_headers_t *rh   = NULL;
  csfle_headers       h;
  csfle__bytes        value = CSFLE__NONE;
  char                place[300];

  c->run.records++;
  if (m->payload) {
    if (rd_kafka_message_headers(m, &rh) != RD_KAFKA_RESP_ERR_NO_ERROR) rh = NULL;
    h = kafka_headers(rh);
    csfle_deserialize(c->serde, CSFLE_JSON, m->payload, m->len, rh ? &h : NULL, &c->value, &info, &err);
    value = csfle__view(c->value.ptr ? (const void *)c->value.ptr : "", c->value.len);
  }
  if (err.code != CSFLE_OK) {
    int code = exit_code_of(&err);
    snprintf(place, sizeof place, "%s [%d] at offset %lld", rd_kafka_topic_name(m->rkt), (int)m->partition, (long long)m->offset);
    /* what will stay as it is for all records ends the run: no registry, no credentials, no memory */
    if (CSFLE_CLASS(err.code) == CSFLE_CLASS_WAIT || err.code == CSFLE_E_UNAUTHENTICATED || err.code == CSFLE_E_NOMEM) {
      c->run.failed++;
      *stopped = fail_with(&err, place);
      return true;
    }
    run_failed(&c->run, code == EXIT_DENIED ? code : EXIT_PARTLY, place, err.where, err.msg);
  } else {
    c->run.done++;
    c->run.bytes += m->len;
    c->run.fields += info.decrypted;
    c->run.passed_through += info.passed_through;
    if (!format_record(c->a, m, value, &info, &c->text)) {
      /* a reader that has seen enough closes its end: no failure */
      if (errno != EPIPE) *stopped = fail(EXIT_FAILED, "cannot write to standard output: %s", strerror(errno));
      clearerr(stdout);
      return true;
    }
  }
  return c->a->count >= 0 && c->run.records >= (uint64_t)c->a->count;
}

/* an event that is no record; true: the run is to end */
static bool one_event(consumer *c, const rd_kafka_message_t *m, int *stopped)
{
  int code = kafka_exit_code(m->err);
  if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
    for (size_t i = 0; i < c->count; i++)
      if (c->partitions[i] == m->partition && !c->ended[i]) c->ended[i] = true, c->ended_count++;
    c->k.all_down = false;
    return c->a->at_end && c->ended_count == c->count;
  }
  if (code == EXIT_UNAVAILABLE) return false; /* librdkafka tries again; kafka_lost ends it */
  *stopped = fail(code == EXIT_PARTLY ? EXIT_FAILED : code, "%s [%d]: %s", c->a->topic, (int)m->partition, rd_kafka_message_errstr(m));
  return true;
}

static int read_records(consumer *c)
{
  bool over = c->a->count == 0;
  int  stopped = 0;
  while (!over && !stop_wanted()) {
    rd_kafka_message_t *m = rd_kafka_consumer_poll(c->k.rk, 0);
    if (!m) { /* nothing at hand: what was written is shown before waiting */
      if (fflush(stdout) != 0) {
        if (errno != EPIPE) stopped = fail(EXIT_FAILED, "cannot write to standard output: %s", strerror(errno));
        clearerr(stdout);
        break;
      }
      m = rd_kafka_consumer_poll(c->k.rk, 200);
    }
    if (m && m->err) {
      over = one_event(c, m, &stopped);
    } else if (m) {
      c->k.all_down = false;
      over = one_record(c, m, &stopped);
    }
    if (m) rd_kafka_message_destroy(m);
    if (!over && kafka_lost(&c->k)) {
      stopped = kafka_fail_lost(&c->k);
      over    = true;
    }
    run_tick(&c->run);
  }
  return stopped;
}

static int consume(args *a)
{
  consumer c = { .a = a };
  int      rc;

  csfle_buf_init(&c.value, 0, CSFLE_BUF_WIPE);
  csfle_buf_init(&c.text, 0, CSFLE_BUF_WIPE);
  if ((rc = open_consumer(&c, a)) == 0) {
    run_begin(&c.run, "read", "decrypted", a->quiet, a->verbose);
    rc = read_records(&c);
    if (fflush(stdout) != 0) {
      if (errno != EPIPE && !rc) rc = fail(EXIT_FAILED, "cannot write to standard output: %s", strerror(errno));
      clearerr(stdout);
    }
    rc = run_end(&c.run, rc);
  }
  close_consumer(&c);
  return rc;
}

static const option_row consume_options[] = {
  { 'b', "brokers", OPTION_TEXT, OPTION_AT(brokers), "HOSTS", "Kafka brokers, host:port with commas" },
  { 't', "topic", OPTION_TEXT, OPTION_AT(topic), "TOPIC", "the topic" },
  { 'p', "partition", OPTION_NUMBER, OPTION_AT(partition), "N", "only this partition" },
  { 'o', "offset", OPTION_TEXT, OPTION_AT(offset), "OFFSET", "beginning (the default), end, stored, N, or -N: the last N of each partition" },
  { 'c', "count", OPTION_NUMBER, OPTION_AT(count), "N", "stop after N records" },
  { 'e', "exit", OPTION_FLAG, OPTION_AT(at_end), NULL, "stop at the end of the partitions" },
  { 'K', "key-delim", OPTION_TEXT, OPTION_AT(key_delim), "DELIM", "write the key and DELIM before the value" },
  { 'f', "format", OPTION_TEXT, OPTION_AT(format), "FORMAT", "%s value %S its length %k key %K its length %t topic %p partition %o offset %T time %h headers \\n" },
  OPTION_BACKUP,
  { 'J', "json", OPTION_FLAG, OPTION_AT(envelope), NULL, "an envelope of JSON around each record, with where it lay and what was decrypted" },
  { 'q', "quiet", OPTION_FLAG, OPTION_AT(quiet), NULL, "no progress and no summary" },
  { 'v', "verbose", OPTION_FLAG, OPTION_AT(verbose), NULL, "progress without a terminal, every failed record, librdkafka's log" },
  OPTIONS_COMMON,
};
const command command_consume = {
  "consume", "-b BROKERS -t TOPIC [options]", "read and decrypt records: a line of JSON each",
  "Where the rule lets a reader without the key pass (onFailure NONE) a field stays ciphertext, and the summary counts it; else the\n"
  "record fails, is reported by its place, and the run goes on (exit code 7; 4 when every record was denied). A tombstone is `null`.",
  consume_options, 0, 0, "csfle consume -b localhost:9092 -t customers -o beginning -e", consume,
};
