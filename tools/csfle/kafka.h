/** librdkafka as produce, consume and inspect need it: configuration, reachable brokers, where to start, exit codes. */
#ifndef CSFLE_TOOLS_KAFKA_H
#define CSFLE_TOOLS_KAFKA_H

#include "include/csfle/csfle.h"
#include "tools/csfle/args.h"

#include <librdkafka/rdkafka.h>

#define KAFKA_WAIT_MS 10000 /* how long a broker that is not there is waited for */

/** What the callbacks of a handle tell; they run in the thread that polls it. */
typedef struct kafka {
  rd_kafka_t *rk;
  const args *a;
  bool        all_down;
  int64_t     down_since_ms;   /**< of all_down, monotonic */
  char        last_error[256]; /**< "localhost:1/bootstrap: Connect to ... refused" */
  int         denied;          /**< EXIT_DENIED once a broker refused the credentials, else 0 */
} kafka;

/** Exit code that a Kafka error means; EXIT_PARTLY: only this record cannot pass. */
int  kafka_exit_code(rd_kafka_resp_err_t e);
/** Both configurations of the command line, with our defaults and callbacks; NULL after the complaint (*rc), *config too may be set. */
rd_kafka_conf_t *kafka_conf(kafka *k, const args *a, csfle_config **config, int *rc);
/** Makes the handle from @p conf, which it takes over. 0, or an exit code after the complaint. */
int  kafka_open(kafka *k, rd_kafka_type_t type, rd_kafka_conf_t *conf);
/** Waits until a broker answers, at most KAFKA_WAIT_MS. With @p topic: *partitions (freed with csfle__free) and *count of it. */
int  kafka_reach(kafka *k, const char *topic, int32_t **partitions, size_t *count);
/** Whether all brokers have been unreachable for KAFKA_WAIT_MS. */
bool kafka_lost(const kafka *k);
int  kafka_fail_lost(const kafka *k);
/** The offset that "beginning", "end", "stored", "5" or "-5" names in a partition. 0, or an exit code after the complaint. */
int  kafka_offset(kafka *k, const char *topic, int32_t partition, const char *text, int64_t *offset);
/** Whether @p text is such a name. */
bool kafka_offset_valid(const char *text);
/** A record's headers for the library; @p h may be NULL. */
csfle_headers kafka_headers(rd_kafka_headers_t *h);

#endif
