/**
 * csfle produce: JSON lines in, encrypted records out. A bad line is counted and the run goes on; what would fail for every
 * line (rules, policy, registry, broker) ends the run, and nothing further is written.
 */
#include "core/base/alloc.h"
#include "tools/csfle/kafka.h"
#include "tools/csfle/lines.h"
#include "tools/common/report.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct producer {
  const args       *a;
  kafka             k;
  rd_kafka_topic_t *topic;
  csfle_config     *config;
  csfle_client     *client;
  csfle_serde      *serde;
  csfle__bytes      delim;
  const char       *input; /* name of the file being read */
  run               run;
  int               stopped; /* exit code that ends the run, 0 none */
} producer;

/* what the user types as the delimiter: \t is a tab */
static csfle__bytes delimiter(const char *text)
{
  if (text && strcmp(text, "\\t") == 0) return CSFLE__LIT("\t");
  return csfle__str(text);
}

/* the delivery report of one record; its opaque is its line number */
static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
  producer *p = (producer *)((char *)opaque - offsetof(producer, k));
  int       code;
  char      place[64];
  (void)rk;
  if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
    p->run.done++;
    p->run.bytes += m->len;
    p->k.all_down = false;
    return;
  }
  code = kafka_exit_code(m->err);
  snprintf(place, sizeof place, "line %llu", (unsigned long long)(uintptr_t)m->_private);
  run_failed(&p->run, code, place, NULL, rd_kafka_err2str(m->err));
  if (code == EXIT_PARTLY || p->stopped) return;
  p->stopped = p->k.denied ? p->k.denied : code;
  if (p->k.denied) kafka_fail_lost(&p->k);
  else note("the broker does not take records: %s%s%s", rd_kafka_err2str(m->err), *p->k.last_error ? "; " : "", p->k.last_error);
}

static void line_failed(producer *p, uint64_t line, const char *where, const char *why)
{
  char place[300];
  snprintf(place, sizeof place, "%s line %llu", p->input, (unsigned long long)line);
  run_failed(&p->run, EXIT_PARTLY, place, where, why);
}

/* hands the record over, waiting while the queue is full; takes `value` in every case */
static void send_record(producer *p, uint64_t line, csfle__bytes key, rd_kafka_headers_t *headers, void *value, size_t len)
{
  rd_kafka_resp_err_t e;
  int                 flags = value ? RD_KAFKA_MSG_F_FREE : 0; /* librdkafka frees the block the library filled: no copy in between */
  int32_t             partition = p->a->partition < 0 ? RD_KAFKA_PARTITION_UA : (int32_t)p->a->partition;
  do {
    e = rd_kafka_producev(p->k.rk, RD_KAFKA_V_RKT(p->topic), RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_KEY(key.ptr, key.len),
                          RD_KAFKA_V_VALUE(value, len), RD_KAFKA_V_HEADERS(headers),
                          RD_KAFKA_V_MSGFLAGS(flags), RD_KAFKA_V_OPAQUE((void *)(uintptr_t)line), RD_KAFKA_V_END);
    if (e == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
      rd_kafka_poll(p->k.rk, 100);
      run_tick(&p->run);
    }
  } while (e == RD_KAFKA_RESP_ERR__QUEUE_FULL && !p->stopped);
  if (e == RD_KAFKA_RESP_ERR_NO_ERROR) return;
  free(value);
  rd_kafka_headers_destroy(headers);
  if (p->stopped) {
    p->run.failed++;
    return;
  }
  if (kafka_exit_code(e) == EXIT_PARTLY) {
    line_failed(p, line, NULL, rd_kafka_err2str(e));
  } else {
    p->run.failed++;
    p->stopped = fail(kafka_exit_code(e), "%s: %s", p->a->topic, rd_kafka_err2str(e));
  }
}

static void one_line(producer *p, uint64_t number, csfle__bytes line)
{
  csfle_error         err  = CSFLE_ERROR_INIT;
  csfle_info          info = CSFLE_INFO_INIT;
  csfle__bytes        key  = CSFLE__NONE, value = line, trimmed;
  rd_kafka_headers_t *headers;
  csfle_headers       h;
  csfle_buf           out;
  size_t              len = 0;
  void               *bytes;

  p->run.records++;
  if (p->delim.len) {
    const uint8_t *at = memmem(line.ptr, line.len, p->delim.ptr, p->delim.len);
    if (!at) {
      line_failed(p, number, NULL, "there is no key: the -K delimiter does not occur");
      return;
    }
    key   = csfle__view(line.ptr, (size_t)(at - line.ptr));
    value = csfle__from(line, key.len + p->delim.len);
  }
  trimmed = csfle__trim(value);
  headers = rd_kafka_headers_new(1);
  h       = kafka_headers(headers);
  csfle_buf_init(&out, 0, 0);
  if (csfle__eq_str(trimmed, "null")) { /* a tombstone */
    send_record(p, number, key, headers, NULL, 0);
    return;
  }
  if (csfle_serialize(p->serde, CSFLE_JSON, value.ptr ? (const void *)value.ptr : "", value.len, &h, &out, &info, &err) == CSFLE_OK) {
    p->run.fields += info.encrypted;
    bytes = csfle_buf_take(&out, &len);
    send_record(p, number, key, headers, bytes, len);
    return;
  }
  rd_kafka_headers_destroy(headers);
  csfle_buf_free(&out);
  if (CSFLE_CLASS(err.code) == CSFLE_CLASS_RECORD || err.code == CSFLE_E_SPACE) {
    line_failed(p, number, err.where, err.msg);
  } else {
    char place[300];
    p->run.failed++;
    snprintf(place, sizeof place, "%s line %llu", p->input, (unsigned long long)number);
    p->stopped = fail_with(&err, place);
  }
}

/* serves delivery reports and errors; true: the run is to end */
static bool serve(void *opaque)
{
  producer *p = opaque;
  rd_kafka_poll(p->k.rk, 0);
  if (!p->stopped && kafka_lost(&p->k)) p->stopped = kafka_fail_lost(&p->k);
  run_tick(&p->run);
  return p->stopped != 0;
}

static int read_input(producer *p, const char *path)
{
  lines        l;
  lines_next   next = LINES_END;
  csfle__bytes line;
  int          rc = lines_open(&l, path);

  p->input = rc ? path : l.name;
  l.idle   = serve;
  l.opaque = p;
  while (!rc && !p->stopped && (next = lines_read(&l, &line)) != LINES_END) {
    if (next == LINES_STOPPED) {
      if (stop_wanted() && l.fd != STDIN_FILENO) rc = EXIT_FAILED; /* a file was not read to its end; standard input has none */
      break;
    }
    if (next == LINES_FAILED) rc = fail(EXIT_FAILED, "cannot read %s: %s", p->input, strerror(errno));
    else if (next == LINES_TOO_LONG) p->run.records++, line_failed(p, l.number, NULL, "the line is longer than 16 MiB");
    else if (csfle__trim(line).len) one_line(p, l.number, line);
    if ((p->run.records & 63) == 0) serve(p);
  }
  lines_close(&l);
  return rc;
}

/* waits until every record handed over has its delivery report; message.timeout.ms bounds it */
static void drain(producer *p)
{
  while (rd_kafka_outq_len(p->k.rk) > 0) {
    if (p->stopped == EXIT_UNAVAILABLE || p->stopped == EXIT_DENIED) rd_kafka_purge(p->k.rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(p->k.rk, 200);
    if (!p->stopped && kafka_lost(&p->k)) p->stopped = kafka_fail_lost(&p->k);
    run_tick(&p->run);
  }
}

static int open_producer(producer *p, const args *a)
{
  rd_kafka_conf_t *conf;
  csfle_error      err = CSFLE_ERROR_INIT;
  int              rc;

  if (!a->topic) return fail(EXIT_USAGE, "-t TOPIC is missing");
  if (a->partition > INT32_MAX) return fail(EXIT_USAGE, "-p: there is no partition %lld", (long long)a->partition);
  if ((conf = kafka_conf(&p->k, a, &p->config, &rc)) == NULL) return rc;
  rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
  if ((rc = props_kafka_default(&a->props, conf, "message.timeout.ms", "15000")) != 0 ||
      (rc = props_kafka_default(&a->props, conf, "topic.metadata.propagation.max.ms", "10000")) != 0) { /* before the timeout: a missing topic is named */
    rd_kafka_conf_destroy(conf);
    return rc;
  }
  if (!props_get(&a->props, "use.latest.version") && !props_get(&a->props, "use.schema.id") && !props_get(&a->props, "auto.register.schemas"))
    csfle_config_set(p->config, "use.latest.version", "true", &err);
  if ((rc = kafka_open(&p->k, RD_KAFKA_PRODUCER, conf)) != 0) return rc;
  p->client = csfle_client_open(p->config, &err);
  if (p->client) p->serde = csfle_serde_open(p->client, a->topic, NULL, &err);
  if (!p->serde) return fail_with(&err, NULL);
  if (csfle_serde_prepare(p->serde, NULL, NULL, &err) != CSFLE_OK) return fail_with(&err, NULL);
  if ((rc = kafka_reach(&p->k, NULL, NULL, NULL)) != 0) return rc;
  p->topic = rd_kafka_topic_new(p->k.rk, a->topic, NULL);
  return p->topic ? 0 : fail(EXIT_USAGE, "topic '%s': %s", a->topic, rd_kafka_err2str(rd_kafka_last_error()));
}

static void close_producer(producer *p)
{
  if (p->topic) rd_kafka_topic_destroy(p->topic);
  if (p->k.rk) rd_kafka_destroy(p->k.rk);
  csfle_serde_close(p->serde);
  csfle_client_close(p->client);
  csfle_config_free(p->config);
}

static int produce(args *a)
{
  static char  dash[]           = "-";
  static char *standard_input[] = { dash };
  producer     p     = { .a = a, .delim = delimiter(a->key_delim) };
  char       **files = a->operand_count ? a->operands : standard_input;
  int          count = a->operand_count ? a->operand_count : 1;
  int          rc    = open_producer(&p, a);

  if (!rc) {
    run_begin(&p.run, "sent", "encrypted", a->quiet, a->verbose);
    for (int i = 0; i < count && !rc && !p.stopped; i++) rc = read_input(&p, files[i]);
    drain(&p);
    if (args_want_json(a))
      printf("{\"records\":%llu,\"sent\":%llu,\"failed\":%llu,\"fields_encrypted\":%llu,\"bytes\":%llu,\"seconds\":%.3f}\n",
             (unsigned long long)p.run.records, (unsigned long long)p.run.done, (unsigned long long)p.run.failed,
             (unsigned long long)p.run.fields, (unsigned long long)p.run.bytes, run_seconds(&p.run));
    if (stop_wanted() && !a->quiet) note("stopped by a signal; what was read before is written");
    rc = run_end(&p.run, p.stopped ? p.stopped : rc);
  }
  close_producer(&p);
  return rc;
}

static const option_row produce_options[] = {
  { 'b', "brokers", OPTION_TEXT, OPTION_AT(brokers), "HOSTS", "Kafka brokers, host:port with commas" },
  { 't', "topic", OPTION_TEXT, OPTION_AT(topic), "TOPIC", "the topic; its subject is TOPIC-value" },
  { 'p', "partition", OPTION_NUMBER, OPTION_AT(partition), "N", "the partition; else by key, or any" },
  { 'K', "key-delim", OPTION_TEXT, OPTION_AT(key_delim), "DELIM", "what stands before DELIM is the key, sent as it is and not encrypted" },
  { 'q', "quiet", OPTION_FLAG, OPTION_AT(quiet), NULL, "no progress and no summary" },
  { 'v', "verbose", OPTION_FLAG, OPTION_AT(verbose), NULL, "progress without a terminal, every failed record, librdkafka's log" },
  OPTION_OUTPUT,
  OPTIONS_COMMON,
};
const command command_produce = {
  "produce", "-b BROKERS -t TOPIC [options] [FILE...]", "encrypt and send records: a line of JSON is one",
  "Each line of the FILEs, or of standard input, is the JSON text of one value; `null` is a tombstone, empty lines are skipped.\n"
  "The latest schema of the subject says which fields are encrypted. A line that does not fit is reported by its number and the\n"
  "run goes on (exit code 7); what concerns every line ends it. The secret of a local-kms key: environment LOCAL_SECRET, or\n"
  "-X secret=@FILE or @env:NAME.",
  produce_options, 0, -1, "csfle produce -b localhost:9092 -t customers -K '|' customers.jsonl", produce,
};
