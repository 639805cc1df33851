/** The Kafka side of the commands. */
#include "tools/csfle/kafka.h"

#include "core/base/alloc.h"
#include "tools/common/report.h"

#include <syslog.h>

int kafka_exit_code(rd_kafka_resp_err_t e)
{
  switch (e) {
    case RD_KAFKA_RESP_ERR_NO_ERROR: return EXIT_DONE;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC: case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION: case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION: return EXIT_MISSING;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION: case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED: case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED: case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED: return EXIT_DENIED;
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT: case RD_KAFKA_RESP_ERR__TIMED_OUT: case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN: case RD_KAFKA_RESP_ERR__RESOLVE: case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE: case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION: case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS: case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND: case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE: case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT: return EXIT_UNAVAILABLE;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE: case RD_KAFKA_RESP_ERR_INVALID_MSG: case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD: return EXIT_PARTLY;
    default: return EXIT_FAILED;
  }
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
  kafka *k = opaque;
  char   fatal[sizeof k->last_error];
  if (code == RD_KAFKA_RESP_ERR__FATAL) rd_kafka_fatal_error(rk, fatal, sizeof fatal), reason = fatal;
  if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
    if (!k->all_down) k->down_since_ms = now_ms();
    k->all_down = true;
    return; /* its text only counts brokers; the one before says why */
  }
  if (kafka_exit_code((rd_kafka_resp_err_t)code) == EXIT_DENIED) k->denied = EXIT_DENIED;
  snprintf(k->last_error, sizeof k->last_error, "%s", reason);
  if (k->a->verbose) note("librdkafka: %s", reason);
}

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
  const kafka *k = rd_kafka_opaque(rk);
  if (k && k->a->verbose) fprintf(stderr, "librdkafka %d %s %s\n", level, facility, text);
}

rd_kafka_conf_t *kafka_conf(kafka *k, const args *a, csfle_config **config, int *rc)
{
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  char             why[256];

  *k      = (kafka){ .a = a };
  *config = props_config(&a->props, conf, rc);
  if (!*rc && a->brokers && rd_kafka_conf_set(conf, "bootstrap.servers", a->brokers, why, sizeof why) != RD_KAFKA_CONF_OK)
    *rc = fail(EXIT_USAGE, "-b %s: %s", a->brokers, why);
  if (!*rc && !a->brokers && !props_get(&a->props, "bootstrap.servers") && !props_get(&a->props, "metadata.broker.list"))
    *rc = fail(EXIT_USAGE, "-b BROKERS is missing: the address of a Kafka broker, for example localhost:9092");
  if (!*rc) *rc = props_kafka_default(&a->props, conf, "client.id", "csfle");
  if (!*rc) *rc = props_kafka_default(&a->props, conf, "socket.timeout.ms", "10000");
  if (*rc) {
    rd_kafka_conf_destroy(conf);
    return NULL;
  }
  rd_kafka_conf_set_opaque(conf, k);
  rd_kafka_conf_set_error_cb(conf, on_error);
  rd_kafka_conf_set_log_cb(conf, on_log);
  return conf;
}

int kafka_open(kafka *k, rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
  char why[256];
  k->rk = rd_kafka_new(type, conf, why, sizeof why);
  if (k->rk) return 0;
  rd_kafka_conf_destroy(conf);
  return fail(EXIT_USAGE, "librdkafka: %s", why);
}

bool kafka_lost(const kafka *k) { return k->denied || (k->all_down && now_ms() - k->down_since_ms >= KAFKA_WAIT_MS); }

int kafka_fail_lost(const kafka *k)
{
  if (k->denied) return fail(EXIT_DENIED, "the broker refuses these credentials: %s; check security.protocol and sasl.*", k->last_error);
  return fail(EXIT_UNAVAILABLE, "no Kafka broker answers: %s; check -b %s and that it runs", *k->last_error ? k->last_error : "no connection within 10 s",
              k->a->brokers ? k->a->brokers : "(bootstrap.servers)");
}

int kafka_reach(kafka *k, const char *topic, int32_t **partitions, size_t *count)
{
  int64_t             until = now_ms() + KAFKA_WAIT_MS;
  rd_kafka_resp_err_t e     = RD_KAFKA_RESP_ERR__TIMED_OUT;
  rd_kafka_topic_t   *rkt   = topic ? rd_kafka_topic_new(k->rk, topic, NULL) : NULL;
  int                 rc    = 0;

  if (topic && !rkt) return fail(EXIT_USAGE, "topic '%s': %s", topic, rd_kafka_err2str(rd_kafka_last_error()));
  do {
    const rd_kafka_metadata_t *md = NULL;
    int64_t                    left = until - now_ms();
    e = rd_kafka_metadata(k->rk, 0, rkt, &md, left > 1000 ? 1000 : left > 1 ? (int)left : 1);
    if (e == RD_KAFKA_RESP_ERR_NO_ERROR && rkt) {
      e = md->topic_cnt == 1 ? md->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
      if (e == RD_KAFKA_RESP_ERR_NO_ERROR && md->topics[0].partition_cnt == 0) e = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
      if (e == RD_KAFKA_RESP_ERR_NO_ERROR && partitions) {
        *count      = (size_t)md->topics[0].partition_cnt;
        *partitions = csfle__calloc(*count, sizeof **partitions);
        for (size_t i = 0; *partitions && i < *count; i++) (*partitions)[i] = md->topics[0].partitions[i].id;
        if (!*partitions) rc = fail(EXIT_FAILED, "no memory for %zu partitions", *count);
      }
    }
    if (md) rd_kafka_metadata_destroy(md);
    rd_kafka_poll(k->rk, e ? 50 : 0); /* error callbacks; and a pause */
  } while (e && kafka_exit_code(e) == EXIT_UNAVAILABLE && !k->denied && now_ms() < until && !stop_wanted());
  if (rkt) rd_kafka_topic_destroy(rkt);
  if (e == RD_KAFKA_RESP_ERR_NO_ERROR) {
    k->all_down = false;
    return rc;
  }
  if (e == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || e == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC)
    return fail(EXIT_MISSING, "topic '%s' does not exist on this broker", topic);
  if (kafka_exit_code(e) == EXIT_UNAVAILABLE) return kafka_fail_lost(k);
  return fail(kafka_exit_code(e), "%s%s%s", topic ? topic : "", topic ? ": " : "", rd_kafka_err2str(e));
}

bool kafka_offset_valid(const char *text)
{
  int64_t n;
  return strcmp(text, "beginning") == 0 || strcmp(text, "end") == 0 || strcmp(text, "stored") == 0 || csfle__parse_i64(csfle__str(text), &n);
}

int kafka_offset(kafka *k, const char *topic, int32_t partition, const char *text, int64_t *offset)
{
  int64_t             n, low, high;
  rd_kafka_resp_err_t e;

  if (strcmp(text, "stored") == 0) {
    *offset = RD_KAFKA_OFFSET_STORED;
    return 0;
  }
  e = rd_kafka_query_watermark_offsets(k->rk, topic, partition, &low, &high, KAFKA_WAIT_MS);
  if (e) return fail(kafka_exit_code(e), "%s [%d]: cannot ask for its offsets: %s", topic, (int)partition, rd_kafka_err2str(e));
  if (strcmp(text, "beginning") == 0) *offset = low;
  else if (strcmp(text, "end") == 0) *offset = high;
  else {
    csfle__parse_i64(csfle__str(text), &n);
    if (text[0] == '-') n = high + n;
    *offset = n < low ? low : n > high ? high : n;
  }
  return 0;
}

static int header_add(void *opaque, const char *name, const void *v, size_t n)
{
  return opaque && rd_kafka_header_add(opaque, name, -1, v, (ssize_t)n) == RD_KAFKA_RESP_ERR_NO_ERROR ? 0 : -1;
}

static const void *header_last(void *opaque, const char *name, size_t *n)
{
  const void *value = NULL;
  size_t      len   = 0;
  *n = 0;
  if (!opaque || rd_kafka_header_get_last(opaque, name, &value, &len) != RD_KAFKA_RESP_ERR_NO_ERROR) return NULL;
  *n = len;
  return value;
}

csfle_headers kafka_headers(rd_kafka_headers_t *h) { return (csfle_headers){ h, header_add, header_last }; }
