/** csfle mock-broker: librdkafka's in-process cluster, for demonstrations and tests without Kafka. */
#include "tools/csfle/args.h"
#include "tools/common/report.h"

#include <librdkafka/rdkafka_mock.h>
#include <poll.h>
#include <unistd.h>

static void quiet_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
  (void)rk, (void)level, (void)facility, (void)text;
}

static int mock_broker(args *a)
{
  rd_kafka_conf_t         *conf = rd_kafka_conf_new();
  rd_kafka_mock_cluster_t *cluster;
  rd_kafka_t              *rk;
  char                     why[256], rest[256];
  int                      rc = props_apply(&a->props, NULL, conf);

  rd_kafka_conf_set_log_cb(conf, quiet_log);
  rk = rc ? NULL : rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
  if (!rk) {
    rd_kafka_conf_destroy(conf);
    return rc ? rc : fail(EXIT_FAILED, "librdkafka: %s", why);
  }
  cluster = rd_kafka_mock_cluster_new(rk, 1);
  if (!cluster) {
    rc = fail(EXIT_FAILED, "librdkafka could not start its mock cluster");
  } else {
    printf("%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
    fflush(stdout);
    for (bool open = true; open && !stop_wanted();) {
      struct pollfd in = { STDIN_FILENO, POLLIN, 0 };
      if (poll(&in, 1, 1000) > 0) open = read(STDIN_FILENO, rest, sizeof rest) > 0;
    }
    rd_kafka_mock_cluster_destroy(cluster);
  }
  rd_kafka_destroy(rk);
  return rc;
}

static const option_row mock_options[] = { OPTIONS_COMMON };
const command command_mock_broker = {
  "mock-broker", "[options]", "run librdkafka's in-process test broker and print its address",
  "It keeps everything in memory (5 MB a partition, the oldest go first), makes topics of four partitions as they are named, and runs\n"
  "until standard input closes or SIGTERM. Not Kafka: for tests and demonstrations only.",
  mock_options, 0, 0, "csfle mock-broker </dev/null", mock_broker,
};
