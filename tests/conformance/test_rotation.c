/*
 * Producers of several processes whose data key expires at one moment make one new version, and every message stays readable;
 * keys deleted, rotated by hand and wrapped anew under running clients. Against a real csfle-registry.
 */
#include "client/config/config.h"
#include "client/deks/deks.h"
#include "core/base/base64.h"
#include "include/csfle/csfle.h"
#include "tests/support/registry.h"
#include "tests/support/test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SCHEMA "{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"Customer\\\",\\\"fields\\\":[{\\\"name\\\":\\\"ssn\\\",\\\"type\\\":\\\"string\\\",\\\"confluent:tags\\\":[\\\"PII\\\"]}]}"
#define CONTRACT(more) "{\"schema\":\"" SCHEMA "\",\"ruleSet\":{\"domainRules\":[{\"name\":\"r\",\"kind\":\"TRANSFORM\",\"mode\":\"WRITEREAD\",\"type\":\"ENCRYPT\"," \
                       "\"tags\":[\"PII\"],\"params\":{" more "}}]}}"
#define RECORD "{\"ssn\":\"078-05-1120\"}"
#define KEK(name, id) "\"encrypt.kek.name\":\"" name "\",\"encrypt.kms.type\":\"local-kms\",\"encrypt.kms.key.id\":\"" id "\""
/* a key wrapped under the secret "mysecret" */
#define WRAPPED "07V2ndh02DA73p+dTybwZFm7DKQSZN1tEwQh+FoX1DZLk4Yj2LLu4omYjp/84tAg3BYlkfGSz+zZacJHIE4="

static csfle_test_registry registry;

static char *http(const char *method, const char *path, const char *body, long status)
{
  csfle_test_reply reply = csfle_test_http(&registry, method, path, body);
  if (reply.status != status) fail_msg("%s %s: %ld %s", method, path, reply.status, reply.body);
  char *text = strdup(reply.body);
  csfle_test_reply_free(&reply);
  return text;
}
static void ask(const char *method, const char *path, const char *body, long status) { free(http(method, path, body, status)); }

static csfle_client *open_client(const csfle__clock *clock, const char *more)
{
  char        props[768];
  csfle_error e = CSFLE_ERROR_INIT;
  snprintf(props, sizeof props, "schema.registry.url=%s\nuse.latest.version=true\nmax.retries=3\nretries.wait.ms=20\nsecret=mysecret\n%s", registry.url, more);
  csfle_config *c = csfle_config_new(props);
  if (clock) csfle__config_set_clock(c, clock);
  csfle_client *cl = csfle_client_open(c, &e);
  if (!cl) fail_msg("%s", e.msg);
  csfle_config_free(c);
  return cl;
}

static int64_t wall_now(void) { return csfle__system_clock.wall_ms(NULL); }

/* Every record of the store becomes so old; times in a log do not go back. The registry gets another port. */
static void age_all(int64_t age_ms)
{
  char  command[512], *text = NULL, ts[40];
  size_t len = 0, n = 0;
  assert_int_equal(csfle_test_registry_term(&registry), 0);
  snprintf(command, sizeof command, "%s/csfle-registry dump --store %s", CSFLE_TEST_BINARIES, registry.store);
  FILE *in = popen(command, "r");
  assert_non_null(in);
  FILE *edited = open_memstream(&text, &len);
  snprintf(ts, sizeof ts, "%lld", (long long)(wall_now() - age_ms));
  char *line = NULL;
  while (getline(&line, &n, in) > 0) {
    char *at = strstr(line, "\"ts\":");
    assert_non_null(at);
    fprintf(edited, "%.*s%s%s", (int)(at + 5 - line), line, ts, at + 5 + strspn(at + 5, "0123456789"));
  }
  free(line);
  assert_int_equal(pclose(in), 0);
  fclose(edited);
  snprintf(command, sizeof command, "rm -f %s*; %s/csfle-registry load --store %s", registry.store, CSFLE_TEST_BINARIES, registry.store);
  FILE *out = popen(command, "w");
  assert_non_null(out);
  fwrite(text, 1, len, out);
  assert_int_equal(pclose(out), 0);
  free(text);
  csfle_test_registry_restart(&registry);
}

/* ---- 200 producers */

#define PROCESSES 4
#define PRODUCERS 50  /* of a process, each a client of its own */
#define MESSAGES  4   /* of a producer: half of them before the key expires */
#define DAY_MS    INT64_C(86400000)

typedef struct message {
  uint32_t len;
  uint8_t  bytes[124];
} message;

/* shared by the processes */
typedef struct stage {
  pthread_barrier_t barrier;
  _Atomic(int64_t)  ahead_ms; /* of all producers' clocks */
  _Atomic(int)      failures;
  char              why[256];
  message           messages[PROCESSES * PRODUCERS][MESSAGES];
} stage;
static stage *all;

static int64_t wall(void *o) { return (void)o, wall_now() + all->ahead_ms; }
static int64_t mono(void *o) { return (void)o, csfle__system_clock.monotonic_ms(NULL) + all->ahead_ms; }
static const csfle__clock producers_clock = { wall, mono, NULL };

static void produce(csfle_serde *s, message *m)
{
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf   out = { m->bytes, 0, sizeof m->bytes, sizeof m->bytes, NULL, NULL, 0 };
  if (csfle_serialize(s, CSFLE_JSON, RECORD, sizeof RECORD - 1, NULL, &out, NULL, &e) != CSFLE_OK) {
    if (!all->failures++) snprintf(all->why, sizeof all->why, "%.100s %.150s", e.where, e.msg);
    return;
  }
  m->len = (uint32_t)out.len;
}

static void *producer(void *arg)
{
  message      *m = arg;
  csfle_error   e = CSFLE_ERROR_INIT;
  csfle_client *cl = open_client(&producers_clock, "");
  csfle_serde  *s = csfle_serde_open(cl, "orders", NULL, &e);
  for (int i = 0; i < MESSAGES / 2; i++) produce(s, &m[i]);
  if (pthread_barrier_wait(&all->barrier) == PTHREAD_BARRIER_SERIAL_THREAD) all->ahead_ms += 120000; /* now it is over for everybody */
  pthread_barrier_wait(&all->barrier);
  for (int i = MESSAGES / 2; i < MESSAGES; i++) produce(s, &m[i]);
  csfle_serde_close(s);
  csfle_client_close(cl);
  return NULL;
}

static void process(size_t number)
{
  pthread_t t[PRODUCERS];
  for (size_t i = 0; i < PRODUCERS; i++)
    if (pthread_create(&t[i], NULL, producer, all->messages[number * PRODUCERS + i]) != 0) _exit(1);
  for (size_t i = 0; i < PRODUCERS; i++) pthread_join(t[i], NULL);
}

static int32_t version_of(const message *m)
{
  uint8_t raw[16];
  size_t  n;
  assert_true(m->len > 16);
  assert_true(csfle__base64_decode(csfle__view(m->bytes + 6, 8), raw, &n)); /* behind prefix and length */
  assert_int_equal(raw[0], 0);
  return (int32_t)csfle__get_u32be(raw + 1);
}

static void run_period(int32_t version)
{
  pthread_barrierattr_t attr;
  pid_t                 pid[PROCESSES];
  all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(all != MAP_FAILED);
  pthread_barrierattr_init(&attr);
  pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
  pthread_barrier_init(&all->barrier, &attr, PROCESSES * PRODUCERS);
  for (size_t i = 0; i < PROCESSES; i++) {
    pid[i] = fork();
    if (pid[i] == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      process(i);
      _exit(0);
    }
  }
  for (size_t i = 0; i < PROCESSES; i++) {
    int status = -1;
    waitpid(pid[i], &status, 0);
    assert_int_equal(status, 0);
  }
  if (all->failures) fail_msg("%d messages could not be written: %s", (int)all->failures, all->why);
  char want[64] = "[1", *versions = http("GET", "/dek-registry/v1/keks/k1/deks/orders-value/versions", NULL, 200);
  for (int v = 2; v <= version; v++) snprintf(want + strlen(want), sizeof want - strlen(want), ",%d", v);
  strcat(want, "]");
  assert_string_equal(versions, want);
  free(versions);
  csfle_error   e = CSFLE_ERROR_INIT;
  csfle_client *cl = open_client(NULL, "");
  csfle_serde  *s = csfle_serde_open(cl, "orders", NULL, &e);
  csfle_buf     back;
  csfle_buf_init(&back, 0, CSFLE_BUF_WIPE);
  for (size_t i = 0; i < PROCESSES * PRODUCERS; i++)
    for (size_t k = 0; k < MESSAGES; k++) {
      const message *m = &all->messages[i][k];
      assert_int_equal(version_of(m), k < MESSAGES / 2 ? version - 1 : version);
      if (csfle_deserialize(s, CSFLE_JSON, m->bytes, m->len, NULL, &back, NULL, &e)) fail_msg("%s %s", e.where, e.msg);
      assert_bytes_equal(csfle__view(back.ptr, back.len), BYTES(RECORD));
    }
  csfle_buf_free(&back);
  csfle_serde_close(s);
  csfle_client_close(cl);
  munmap(all, sizeof *all);
}

TEST(two_hundred_producers_make_one_version_a_period_and_every_message_stays_readable) /* AB-12 ENC-57 ENC-67 */
{
  csfle_test_registry_start(&registry, NULL);
  ask("POST", "/subjects/orders-value/versions", CONTRACT(KEK("k1", "i") ",\"encrypt.dek.expiry.days\":\"1\""), 200);
  ask("POST", "/dek-registry/v1/keks", "{\"name\":\"k1\",\"kmsType\":\"local-kms\",\"kmsKeyId\":\"i\"}", 200);
  ask("POST", "/dek-registry/v1/keks/k1/deks/orders-value", "{\"algorithm\":\"AES256_GCM\",\"encryptedKeyMaterial\":\"" WRAPPED "\"}", 200);
  for (int32_t version = 2; version <= 4; version++) {
    age_all(DAY_MS - 60000); /* a minute to go */
    run_period(version);
  }
  csfle_test_registry_stop(&registry);
}

/* ---- keys taken away, given back, changed under running clients; each waits for csfle.key.max.age.ms by the stopwatch */

#define MAX_AGE_MS 300
#define MAX_AGE    "csfle.key.max.age.ms=300\n"
#define DEK_PATH   "/dek-registry/v1/keks/k1/deks/orders-value"

typedef struct pair {
  csfle_client *wc, *rc;
  csfle_serde  *w, *r;
  csfle_buf     sent, back;
  csfle_error   err;
} pair;

static void pair_open(pair *p, const char *more)
{
  csfle_serde_opts o = { sizeof o, CSFLE_VALUE, NULL, NULL, NULL, (const char *const[]){ "use.latest.version", "false", NULL } };
  memset(p, 0, sizeof *p);
  p->wc = open_client(NULL, more), p->rc = open_client(NULL, more);
  p->w = csfle_serde_open(p->wc, "orders", NULL, &p->err), p->r = csfle_serde_open(p->rc, "orders", &o, &p->err);
  csfle_buf_init(&p->sent, 0, 0), csfle_buf_init(&p->back, 0, CSFLE_BUF_WIPE);
}
static void pair_close(pair *p)
{
  csfle_serde_close(p->w), csfle_serde_close(p->r);
  csfle_client_close(p->wc), csfle_client_close(p->rc);
  csfle_buf_free(&p->sent), csfle_buf_free(&p->back);
}

static csfle_status send(pair *p, csfle_buf *out) { return csfle_serialize(p->w, CSFLE_JSON, RECORD, sizeof RECORD - 1, NULL, out, NULL, &p->err); }
static csfle_status receive(pair *p, const csfle_buf *in)
{
  csfle_status rc = csfle_deserialize(p->r, CSFLE_JSON, in->ptr, in->len, NULL, &p->back, NULL, &p->err);
  if (rc == CSFLE_OK) assert_bytes_equal(csfle__view(p->back.ptr, p->back.len), BYTES(RECORD));
  return rc;
}
static void send_ok(pair *p, csfle_buf *out)
{
  if (send(p, out) != CSFLE_OK) fail_msg("%s %s", p->err.where, p->err.msg);
}
static void receive_ok(pair *p, const csfle_buf *in)
{
  if (receive(p, in) != CSFLE_OK) fail_msg("%s %s", p->err.where, p->err.msg);
}

/* Writes or reads until it is refused: the last that succeeded began no later than the maximum after @p since. */
static void refused_in_time(pair *p, bool writes, int64_t since, csfle_status want, const char *text)
{
  csfle_buf    out;
  csfle_status rc;
  int64_t      began, last = since;
  csfle_buf_init(&out, 0, 0);
  for (;;) {
    began = csfle__system_clock.monotonic_ms(NULL);
    rc = writes ? send(p, &out) : receive(p, &p->sent);
    if (rc != CSFLE_OK) break;
    last = began;
    if (last > since + MAX_AGE_MS) fail_msg("%s %lld ms after it was taken away", writes ? "written" : "read", (long long)(last - since));
    usleep(2000);
  }
  if (rc != want || !strstr(p->err.msg, text)) fail_msg("%s: %s", csfle_status_name(rc), p->err.msg);
  csfle_buf_free(&out);
}

static int64_t now(void) { return csfle__system_clock.monotonic_ms(NULL); }
static void    grow_old(void) { usleep((MAX_AGE_MS + 20) * 1000); }

TEST(a_soft_deleted_key_refuses_producers_and_serves_consumers_a_removed_one_serves_nobody) /* AB-11 */
{
  pair p;
  csfle_test_registry_start(&registry, NULL);
  ask("POST", "/subjects/orders-value/versions", CONTRACT(KEK("k1", "i")), 200);
  pair_open(&p, MAX_AGE);
  send_ok(&p, &p.sent);
  receive_ok(&p, &p.sent);
  ask("DELETE", DEK_PATH, NULL, 204);
  refused_in_time(&p, true, now(), CSFLE_E_RULE, "No dek found for k1 during produce");
  grow_old();
  receive_ok(&p, &p.sent);
  /* given back */
  ask("POST", DEK_PATH "/undelete", NULL, 204);
  csfle_buf later;
  csfle_buf_init(&later, 0, 0);
  send_ok(&p, &later);
  receive_ok(&p, &later);
  /* the KEK too: its producers would have it back by registering it, but not its DEK */
  ask("DELETE", DEK_PATH, NULL, 204);
  ask("DELETE", "/dek-registry/v1/keks/k1", NULL, 204);
  refused_in_time(&p, true, now(), CSFLE_E_RULE, "No dek found for k1 during produce");
  grow_old();
  receive_ok(&p, &p.sent);
  /* removed */
  ask("DELETE", DEK_PATH "?permanent=true", NULL, 204);
  refused_in_time(&p, false, now(), CSFLE_E_KEY_GONE, "No dek found for k1 during consume");
  csfle_buf_free(&later);
  pair_close(&p);
  csfle_test_registry_stop(&registry);
}

TEST(forgotten_keys_notice_a_deletion_at_once) /* AB-11 */
{
  pair p;
  csfle_test_registry_start(&registry, NULL);
  ask("POST", "/subjects/orders-value/versions", CONTRACT(KEK("k1", "i")), 200);
  pair_open(&p, "");
  send_ok(&p, &p.sent);
  receive_ok(&p, &p.sent);
  ask("DELETE", DEK_PATH, NULL, 204);
  send_ok(&p, &p.sent);
  csfle_client_forget_keys(p.wc, "k1");
  assert_int_equal(send(&p, &p.back), CSFLE_E_RULE);
  ask("DELETE", DEK_PATH "?permanent=true", NULL, 204);
  csfle_client_forget_keys(p.rc, NULL);
  assert_int_equal(receive(&p, &p.sent), CSFLE_E_KEY_GONE);
  pair_close(&p);
  csfle_test_registry_stop(&registry);
}

static int32_t version_sent(const csfle_buf *b)
{
  message m = { .len = (uint32_t)b->len };
  memcpy(m.bytes, b->ptr, b->len < sizeof m.bytes ? b->len : sizeof m.bytes);
  return version_of(&m);
}

TEST(a_version_made_by_hand_and_material_wrapped_anew_are_taken_up_by_running_clients)
{
  pair    p;
  int32_t made = 0;
  csfle_test_registry_start(&registry, NULL);
  ask("POST", "/subjects/orders-value/versions", CONTRACT(KEK("k1", "i") ",\"encrypt.dek.expiry.days\":\"30\""), 200);
  pair_open(&p, MAX_AGE);
  csfle_buf second;
  csfle_buf_init(&second, 0, 0);
  send_ok(&p, &p.sent);
  assert_int_equal(version_sent(&p.sent), 1);
  receive_ok(&p, &p.sent);
  csfle_client *tool = open_client(NULL, "");
  assert_ok(csfle__deks_make(tool, BYTES("k1"), BYTES("orders-value"), CSFLE__AES256_GCM, 0, &made, err));
  assert_int_equal(made, 2);
  grow_old();
  send_ok(&p, &second);
  assert_int_equal(version_sent(&second), 2);
  receive_ok(&p, &second);
  receive_ok(&p, &p.sent);
  /* the KMS key got a new version: every DEK is wrapped again, none changes */
  char *before = http("GET", DEK_PATH "/versions/2", NULL, 200);
  assert_ok(csfle__deks_rewrap(tool, BYTES("k1"), CSFLE__NONE, false, NULL, NULL, err));
  char *after = http("GET", DEK_PATH "/versions/2", NULL, 200);
  assert_string_not_equal(before, after);
  for (int round = 0; round < 2; round++) {
    receive_ok(&p, &p.sent);
    receive_ok(&p, &second);
    csfle_buf third;
    csfle_buf_init(&third, 0, 0);
    send_ok(&p, &third);
    assert_int_equal(version_sent(&third), 2);
    receive_ok(&p, &third);
    csfle_buf_free(&third);
    grow_old();
  }
  free(before), free(after);
  csfle_client_close(tool);
  csfle_buf_free(&second);
  pair_close(&p);
  csfle_test_registry_stop(&registry);
}

TEST(a_schema_version_with_another_kek_changes_keys_and_old_messages_stay_readable)
{
  pair p;
  csfle_test_registry_start(&registry, NULL);
  ask("POST", "/subjects/orders-value/versions", CONTRACT(KEK("k1", "i")), 200);
  pair_open(&p, "latest.cache.ttl.sec=0\n");
  csfle_buf second, third;
  csfle_buf_init(&second, 0, 0), csfle_buf_init(&third, 0, 0);
  send_ok(&p, &p.sent);
  ask("POST", "/subjects/orders-value/versions", CONTRACT(KEK("k2", "i")), 200); /* another DEK */
  send_ok(&p, &second);
  ask("POST", "/subjects/orders-value/versions", CONTRACT(KEK("k3", "another")), 200); /* and another KMS key */
  send_ok(&p, &third);
  char *keks = http("GET", "/dek-registry/v1/keks", NULL, 200), *deks = http("GET", "/dek-registry/v1/keks/k3/deks", NULL, 200);
  assert_string_equal(keks, "[\"k1\",\"k2\",\"k3\"]");
  assert_string_equal(deks, "[\"orders-value\"]");
  receive_ok(&p, &p.sent), receive_ok(&p, &second), receive_ok(&p, &third);
  free(keks), free(deks);
  csfle_buf_free(&second), csfle_buf_free(&third);
  pair_close(&p);
  csfle_test_registry_stop(&registry);
}

TEST(a_registry_that_takes_no_more_keys_leaves_the_old_version_in_use_and_says_so) /* AB-12 */
{
  pair p;
  /* the limit may be passed by one */
  csfle_test_registry_start(&registry, (const char *const[]){ "-X", "dek.registry.max.keys=0", NULL });
  ask("POST", "/subjects/orders-value/versions", CONTRACT(KEK("k1", "i") ",\"encrypt.dek.expiry.days\":\"1\""), 200);
  pair_open(&p, "");
  send_ok(&p, &p.sent);
  csfle_serde_close(p.w), csfle_client_close(p.wc);
  age_all(2 * DAY_MS);
  p.wc = open_client(NULL, "");
  p.w = csfle_serde_open(p.wc, "orders", NULL, &p.err);
  csfle_buf later;
  csfle_buf_init(&later, 0, 0);
  for (int i = 0; i < 3; i++) send_ok(&p, &later);
  assert_int_equal(version_sent(&later), 1);
  assert_ok(csfle_client_stats(p.wc, CSFLE_STATS_PROMETHEUS, &later, err));
  csfle__buf_cstr(&later);
  if (!strstr((char *)later.ptr, "csfle_rotation_overdue{kek=\"k1\",subject=\"orders-value\"} 1\n") || !strstr((char *)later.ptr, "csfle_events_total{event=\"rotation_overdue\"} 1\n"))
    fail_msg("%s", (char *)later.ptr);
  csfle_buf_free(&later);
  pair_close(&p);
  csfle_test_registry_stop(&registry);
}
