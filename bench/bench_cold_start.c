/*
 * What a start costs: the first record of a producer and of a consumer, and how many requests it makes, against a csfle-registry of
 * its own with keys under local-kms (whose calls cost no request). Requests are what csfle_client_stats counted. Exits 1 when they
 * are more than the protocol needs.
 *
 *     bench_cold_start [path of csfle-registry]
 */
#include "bench/bench.h"

#include "include/csfle/csfle.h"

#include <curl/curl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 200
#define RECORD "{\"id\":1,\"ssn\":\"078-05-1120\"}"

static void die(const char *what, const char *why)
{
  fprintf(stderr, "bench_cold_start: %s: %s\n", what, why);
  exit(2);
}

static pid_t start_registry(const char *path, int *port)
{
  int fd[2];
  if (pipe(fd) != 0) die("pipe", "failed");
  pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(fd[1], 1);
    close(fd[1]);
    execl(path, path, "--port", "0", "--store", "memory", (char *)NULL);
    _exit(127);
  }
  close(fd[1]);
  FILE *f = fdopen(fd[0], "r");
  char  line[256];
  if (pid < 0 || !f || !fgets(line, sizeof line, f) || sscanf(line, "listening on http://127.0.0.1:%d", port) != 1) die(path, "did not start");
  return pid; /* the pipe stays open */
}

static void post(int port, const char *path, const char *body)
{
  char               url[128];
  long               status = 0;
  struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
  CURL              *c = curl_easy_init();
  snprintf(url, sizeof url, "http://127.0.0.1:%d%s", port, path);
  curl_easy_setopt(c, CURLOPT_URL, url);
  curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
  FILE *null = fopen("/dev/null", "w");
  curl_easy_setopt(c, CURLOPT_WRITEDATA, null);
  if (curl_easy_perform(c) != CURLE_OK || curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK || status != 200) die(path, "refused");
  fclose(null);
  curl_easy_cleanup(c);
  curl_slist_free_all(headers);
}

static double requests(csfle_client *cl)
{
  csfle_buf   b;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf_init(&b, 0, 0);
  if (csfle_client_stats(cl, CSFLE_STATS_PROMETHEUS, &b, &e)) die("stats", e.msg);
  static const char name[] = "csfle_http_seconds_count{peer=\"registry\"} ";
  const char       *at = memmem(b.ptr, b.len, name, sizeof name - 1);
  double            n = at ? atof(at + sizeof name - 1) : 0;
  csfle_buf_free(&b);
  return n;
}

typedef struct cost {
  double us, requests;
} cost;

/* A client that does one record and goes. */
static cost one(int port, const char *topic, int write, csfle_buf *message)
{
  char        props[256];
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf   out;
  snprintf(props, sizeof props, "schema.registry.url=http://127.0.0.1:%d\nsecret=bench%s", port, write ? "\nuse.latest.version=true" : "");
  csfle_buf_init(&out, 0, CSFLE_BUF_WIPE);
  uint64_t      from = bench_now_ns();
  csfle_config *c = csfle_config_new(props);
  csfle_client *cl = csfle_client_open(c, &e);
  csfle_serde  *s = csfle_serde_open(cl, topic, NULL, &e);
  csfle_status  rc = write ? csfle_serialize(s, CSFLE_JSON, RECORD, sizeof RECORD - 1, NULL, message, NULL, &e)
                           : csfle_deserialize(s, CSFLE_JSON, message->ptr, message->len, NULL, &out, NULL, &e);
  cost          k = { (double)(bench_now_ns() - from) / 1000, 0 };
  if (rc) die(e.where, e.msg);
  k.requests = requests(cl);
  csfle_buf_free(&out);
  csfle_serde_close(s);
  csfle_client_close(cl);
  csfle_config_free(c);
  return k;
}

static int by_us(const void *a, const void *b)
{
  double x = ((const cost *)a)->us, y = ((const cost *)b)->us;
  return x < y ? -1 : x > y;
}

static int print(const char *what, cost *all, double limit)
{
  char name[96];
  qsort(all, ROUNDS, sizeof *all, by_us);
  snprintf(name, sizeof name, "%s, median of %d", what, ROUNDS);
  bench_print(name, all[ROUNDS / 2].us, "us");
  for (int i = 0; i < ROUNDS; i++)
    if (all[i].requests != limit) {
      printf("%s: %.0f requests, expected %.0f  MISSED\n", what, all[i].requests, limit);
      return 1;
    }
  snprintf(name, sizeof name, "%s, requests of the registry", what);
  bench_print(name, limit, "");
  return 0;
}

int main(int argc, char **argv)
{
  static cost first[ROUNDS], again[ROUNDS], reader[ROUNDS];
  char        path[512], topic[32], to[64];
  int         port, missed = 0;
  csfle_buf   message;
  snprintf(path, sizeof path, "%s", argc > 1 ? argv[1] : "");
  if (argc < 2) {
    const char *slash = strrchr(argv[0], '/');
    snprintf(path, sizeof path, "%.*scsfle-registry", slash ? (int)(slash - argv[0]) + 1 : 0, argv[0]);
  }
  pid_t pid = start_registry(path, &port);
  csfle_buf_init(&message, 0, 0);
  for (int i = 0; i < ROUNDS; i++) {
    snprintf(topic, sizeof topic, "t%d", i), snprintf(to, sizeof to, "/subjects/%s-value/versions", topic);
    post(port, to, "{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"R\\\",\\\"fields\\\":[{\\\"name\\\":\\\"id\\\",\\\"type\\\":\\\"long\\\"},"
                   "{\\\"name\\\":\\\"ssn\\\",\\\"type\\\":\\\"string\\\",\\\"confluent:tags\\\":[\\\"PII\\\"]}]}\",\"ruleSet\":{\"domainRules\":[{\"name\":\"r\","
                   "\"type\":\"ENCRYPT\",\"mode\":\"WRITEREAD\",\"kind\":\"TRANSFORM\",\"tags\":[\"PII\"],\"params\":{\"encrypt.kek.name\":\"k\",\"encrypt.kms.type\":\"local-kms\","
                   "\"encrypt.kms.key.id\":\"i\"}}]}}");
    if (i == 0) post(port, "/dek-registry/v1/keks", "{\"name\":\"k\",\"kmsType\":\"local-kms\",\"kmsKeyId\":\"i\"}");
    first[i] = one(port, topic, 1, &message);
    again[i] = one(port, topic, 1, &message);
    reader[i] = one(port, topic, 0, &message);
  }
  missed += print("first record of a producer that makes its DEK", first, 4);
  missed += print("first record of a producer whose DEK is there", again, 3);
  missed += print("first record of a consumer", reader, 3);
  csfle_buf_free(&message);
  kill(pid, SIGTERM);
  waitpid(pid, NULL, 0);
  return missed ? 1 : 0;
}
