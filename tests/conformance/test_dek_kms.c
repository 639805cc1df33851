/* Shared KEKs of a KMS that counts, waits and fails: one call however many ask, and nobody else waits for it.
   spec/dek-registry.md 4.2, 4.3; AB-7, AB-14. */
#include "tests/support/fake_kms.h"
#include "tests/support/rest.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static csfle_fake_kms kms;
static char           allow[80], key_id[80], keep[64], bound[64];

#define CASE(cite, ...)                                                     \
  do {                                                                      \
    const csfle_test_step steps_[] = { __VA_ARGS__ };                       \
    csfle_test_steps(cite, steps_, sizeof steps_ / sizeof *steps_);         \
  } while (0)
#define RUN(...) CASE("a step", __VA_ARGS__)

/* a registry whose cache lives that long and lets so many wait, with the shared KEK v */
static void fresh_with(int keep_ms, int waiting_max, const char *more, const char *and_more)
{
  static const char *args[12];
  if (!kms.port) csfle_fake_kms_start(&kms);
  csfle_fake_kms_release(&kms); /* a test before may have failed */
  snprintf(allow, sizeof allow, "csfle.allow.kms.hosts=%s", kms.host);
  snprintf(keep, sizeof keep, "csfle.shared.dek.cache.ms=%d", keep_ms);
  snprintf(bound, sizeof bound, "csfle.kms.waiting.max=%d", waiting_max);
  const char *all[] = { "-X", allow, "-X", keep, "-X", bound, more ? "-X" : NULL, more, and_more ? "-X" : NULL, and_more, NULL };
  memcpy(args, all, sizeof all);
  csfle_test_rest_fresh(args);
  snprintf(key_id, sizeof key_id, "\"%s/transit/keys/k0\"", kms.host);
  csfle_test_rest_keep("key", key_id);
  RUN({ "POST ~/keks", "{'name':'v','kmsType':'hcvault','kmsKeyId':<key>,'kmsProps':{'token.id':'t'},'shared':true}", OK("{'shared':true,'...':1}") });
}

static void fresh(int keep_ms, int waiting_max) { fresh_with(keep_ms, waiting_max, NULL, NULL); }

static void made(const char *subject)
{
  char path[64];
  snprintf(path, sizeof path, "POST ~/keks/v/deks/%s", subject);
  RUN({ path, "{}", OK("{'keyMaterial':'$b64:34:1a20:plain','...':1}") });
}

/* ---- many clients without a thread each ------------------------------------------------------------------------- */

typedef struct storm {
  int *fds;
  int  count;
} storm;

/* connects that many clients and lets each ask for one of `subjects` subjects from the first on */
static storm storm_send_from(int count, int subjects, int from)
{
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  storm s = { (int *)calloc((size_t)count, sizeof(int)), count };
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)csfle_test_rest_registry()->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  for (int i = 0; i < count; i++) {
    s.fds[i] = socket(AF_INET, SOCK_STREAM, 0);
    if (s.fds[i] < 0 || connect(s.fds[i], (struct sockaddr *)&a, sizeof a) != 0) fail_msg("client %d: %s", i, strerror(errno));
  }
  for (int i = 0; i < count; i++) {
    char text[200];
    int  n = snprintf(text, sizeof text, "GET /dek-registry/v1/keks/v/deks/s%d HTTP/1.1\r\nHost: x\r\n\r\n", from + i % subjects);
    if (send(s.fds[i], text, (size_t)n, MSG_NOSIGNAL) != n) fail_msg("client %d cannot send", i);
  }
  return s;
}

static storm storm_send(int count, int subjects) { return storm_send_from(count, subjects, 0); }

/* reads every answer; how many have the status, and of them a keyMaterial or, with 503, Retry-After */
static int storm_read(storm *s, const char *status)
{
  int good = 0;
  for (int i = 0; i < s->count; i++) {
    char   text[2048];
    size_t n = 0;
    for (;;) {
      struct pollfd p = { .fd = s->fds[i], .events = POLLIN };
      if (poll(&p, 1, 60000) <= 0) fail_msg("client %d of %d has no answer", i, s->count);
      ssize_t got = read(s->fds[i], text + n, sizeof text - 1 - n);
      if (got <= 0) fail_msg("client %d: the connection ended", i);
      n += (size_t)got;
      text[n] = 0;
      char *body = strstr(text, "\r\n\r\n"), *len = strstr(text, "Content-Length: ");
      if (body && len && (size_t)(text + n - body - 4) >= (size_t)atoi(len + 16)) break;
    }
    if (strncmp(text, "HTTP/1.1 ", 9) == 0 && strncmp(text + 9, status, 3) == 0 && strstr(text, strcmp(status, "503") ? "\"keyMaterial\":\"" : "Retry-After: ")) good++;
    close(s->fds[i]);
  }
  free(s->fds);
  return good;
}

static void wait_until_waiting(void)
{
  nanosleep(&(struct timespec){ 0, 300000000 }, NULL); /* the rest of the requests arrive; what is asserted does not depend on it */
}

/* ---- one call ---------------------------------------------------------------------------------------------------- */

TEST(five_thousand_consumers_that_start_at_once_are_one_call)
{
  fresh(5000, 10000);
  made("s0");
  int before = csfle_fake_kms_calls(&kms);
  csfle_fake_kms_hold(&kms);
  storm s = storm_send(5000, 1);
  csfle_fake_kms_await(&kms, 1);
  wait_until_waiting();
  csfle_fake_kms_release(&kms);
  assert_int_equal(storm_read(&s, "200"), 5000);
  assert_int_equal(csfle_fake_kms_calls(&kms) - before, 1);
}

TEST(reads_that_wait_together_are_one_call_without_a_cache_too)
{
  fresh(0, 10000);
  made("s0");
  int before = csfle_fake_kms_calls(&kms);
  csfle_fake_kms_hold(&kms);
  storm s = storm_send(300, 1);
  csfle_fake_kms_await(&kms, 1);
  RUN({ "GET /subjects", NULL, OK("[]") }); /* the poller has seen those before it */
  wait_until_waiting();
  csfle_fake_kms_release(&kms);
  assert_int_equal(storm_read(&s, "200"), 300);
  int calls = csfle_fake_kms_calls(&kms) - before;
  if (calls > 5) fail_msg("%d calls of the KMS for 300 readers", calls); /* one, but for clients that came after its end */
  before = csfle_fake_kms_calls(&kms);
  RUN({ "GET ~/keks/v/deks/s0", NULL, OK("{'keyMaterial':'$any','...':1}") }, { "GET ~/keks/v/deks/s0", NULL, OK("{'keyMaterial':'$any','...':1}") });
  assert_int_equal(csfle_fake_kms_calls(&kms) - before, 2); /* off is off */
}

TEST(what_is_kept_ends_with_the_record_it_was_made_from)
{
  fresh(3600000, 100);
  made("s0");
  int before = csfle_fake_kms_calls(&kms);
#define READ     { "GET ~/keks/v/deks/s0", NULL, OK("{'keyMaterial':'$is:plain','...':1}") }
#define CALLS(n) assert_int_equal(csfle_fake_kms_calls(&kms) - before, n)
  RUN(READ, READ, { "GET ~/keks/v/deks/s0/versions/latest", NULL, OK("{'keyMaterial':'$is:plain','...':1}") });
  CALLS(1);
  RUN({ "POST ~/keks/v/deks/s0?rewrap=true", "{}", OK("{'keyMaterial':'$is:plain','...':1}") });
  CALLS(4); /* unwrap, wrap, unwrap */
  RUN(READ, READ);
  CALLS(5);
  RUN({ "DELETE ~/keks/v/deks/s0", NULL, EMPTY }, { "GET ~/keks/v/deks/s0", NULL, NO(404, 40470, "Key 's0' not found") });
  CALLS(5);
  RUN({ "POST ~/keks/v/deks/s0/undelete", NULL, EMPTY }, READ, READ);
  CALLS(6);
  RUN({ "PUT ~/keks/v", "{'kmsProps':{'token.id':'u'}}", OK("{'...':1}") }, READ, READ);
  CALLS(7);
  RUN({ "PUT ~/keks/v", "{'shared':false}", OK("{'...':1}") }, { "GET ~/keks/v/deks/s0", NULL, OK("{'keyMaterial':'$absent','...':1}") });
  CALLS(7);
  RUN({ "PUT ~/keks/v", "{'shared':true}", OK("{'...':1}") }, READ);
  CALLS(8);
}

TEST(what_is_kept_ends_with_its_time)
{
  fresh(1, 100);
  made("s0");
  int before = csfle_fake_kms_calls(&kms);
  RUN(READ);
  nanosleep(&(struct timespec){ 0, 20000000 }, NULL);
  RUN(READ);
  CALLS(2);
}

/* ---- nobody else waits -------------------------------------------------------------------------------------------- */

TEST(others_are_answered_while_a_thousand_reads_wait)
{
  fresh(0, 10000);
  char subject[16];
  for (int i = 0; i < 40; i++) { /* more than there are threads for the KMS */
    snprintf(subject, sizeof subject, "s%d", i);
    made(subject);
  }
  RUN({ "POST ~/keks", "{'name':'n','kmsType':'t','kmsKeyId':'i'}", OK("{'...':1}") }, { "POST ~/keks/n/deks/s", "{'encryptedKeyMaterial':<W>}", OK("{'...':1}") },
      { "POST ~/keks", "{'name':'o','kmsType':'local-kms','kmsKeyId':'i','kmsProps':{'secret':'s'},'shared':true}", OK("{'...':1}") }, { "POST ~/keks/o/deks/s", "{}", OK("{'...':1}") });
  csfle_fake_kms_hold(&kms);
  storm s = storm_send(1000, 40);
  csfle_fake_kms_await(&kms, 12); /* of sixteen: one KEK does not get all */
  wait_until_waiting();
  /* not one of these could be answered if the thousand held threads or locks: nothing releases the KMS before */
  for (int i = 0; i < 20; i++)
    RUN({ "GET ~/keks/n/deks/s", NULL, OK("{'encryptedKeyMaterial':<W>,'...':1}") }, { "GET ~/keks", NULL, OK("['n','o','v']") }, { "GET ~/keks/o/deks/s", NULL, OK("{'keyMaterial':'$any','...':1}") }, { "GET ~/keks/v/deks/s0/versions", NULL, OK("[1]") },
        { "GET /subjects", NULL, OK("[]") }, { "PUT ~/keks/n", i % 2 ? "{'doc':'a'}" : "{'doc':'b'}", OK("{'...':1}") }, { "PUT /config", "{'compatibility':'NONE'}", OK("{'...':1}") });
  assert_int_equal(atomic_load(&kms.under_way), 12); /* and the calls of the KMS are bounded */
  csfle_fake_kms_release(&kms);
  assert_int_equal(storm_read(&s, "200"), 1000);
  assert_int_equal(atomic_load(&kms.most), 12);
}

static void *create_one(void *opaque)
{
  char path[80];
  snprintf(path, sizeof path, "/dek-registry/v1/keks/v/deks/c%d", (int)(intptr_t)opaque);
  csfle_test_reply p = csfle_test_http(csfle_test_rest_registry(), "POST", path, "{}");
  bool             ok = p.status == 200 && strstr(p.body, "\"keyMaterial\"");
  csfle_test_reply_free(&p);
  return ok ? opaque : NULL;
}

TEST(writes_that_wait_for_the_kms_hold_up_no_others)
{
  pthread_t threads[40];
  fresh(0, 100);
  csfle_fake_kms_hold(&kms);
  for (int i = 0; i < 40; i++) pthread_create(&threads[i], NULL, create_one, (void *)(intptr_t)(i + 1));
  csfle_fake_kms_await(&kms, 16);
  wait_until_waiting();
  RUN({ "POST /subjects/x/versions", "{'schema':<A1>}", OK("{'id':1,'...':1}") }, { "POST ~/keks", "{'name':'n','kmsType':'t','kmsKeyId':'i'}", OK("{'...':1}") },
      { "POST ~/keks/n/deks/s", "{'encryptedKeyMaterial':<W>}", OK("{'...':1}") });
  csfle_fake_kms_release(&kms);
  for (int i = 0; i < 40; i++) {
    void *ok;
    pthread_join(threads[i], &ok);
    if (!ok) fail_msg("the DEK of c%d was not made", i + 1);
  }
}

/* AB-14 */
TEST(those_who_wait_are_bounded)
{
  fresh(0, 50);
  made("s0");
  csfle_fake_kms_hold(&kms);
  storm first = storm_send(50, 1);
  csfle_fake_kms_await(&kms, 1);
  wait_until_waiting();
  storm more = storm_send(10, 1);
  int   refused = storm_read(&more, "503");
  csfle_fake_kms_release(&kms);
  int answered = storm_read(&first, "200");
  assert_int_equal(refused, 10);
  assert_int_equal(answered, 50);
  RUN({ "GET ~/keks/v/deks/s0", NULL, OK("{'keyMaterial':'$any','...':1}") }); /* there is room again */
}

/* AB-14: who has waited too long for a turn does not keep others waiting */
TEST(calls_that_waited_too_long_are_not_made)
{
  pthread_t thread;
  void     *ok;
  fresh_with(0, 100, "csfle.kms.threads=1", "csfle.kms.wait.ms=100");
  made("s0");
  made("s1");
  csfle_fake_kms_hold(&kms);
  storm first = storm_send(1, 1);
  csfle_fake_kms_await(&kms, 1);
  storm second = storm_send_from(1, 1, 1);
  pthread_create(&thread, NULL, create_one, (void *)1);
  nanosleep(&(struct timespec){ 0, 500000000 }, NULL);
  csfle_fake_kms_release(&kms);
  assert_int_equal(storm_read(&first, "200"), 1);
  assert_int_equal(storm_read(&second, "503"), 1);
  pthread_join(thread, &ok);
  assert_null(ok);
  RUN({ "GET ~/keks/v/deks/c1?deleted=true", NULL, NO(404, 40470, NULL) }, { "GET ~/keks/v/deks/s1", NULL, OK("{'keyMaterial':'$any','...':1}") });
}

TEST(the_end_does_not_wait_for_the_kms)
{
  pthread_t thread;
  void     *ok;
  fresh_with(0, 100, "csfle.stop.grace.ms=300", NULL);
  made("s0");
  csfle_fake_kms_hold(&kms);
  storm s = storm_send(20, 1);
  csfle_fake_kms_await(&kms, 1);
  wait_until_waiting();
  kill(csfle_test_rest_registry()->pid, SIGTERM);
  assert_int_equal(storm_read(&s, "503"), 20); /* at once */
  assert_int_equal(csfle_test_registry_term(csfle_test_rest_registry()), 0);
  csfle_test_registry_restart(csfle_test_rest_registry());
  pthread_create(&thread, NULL, create_one, (void *)1); /* on a thread of the KMS's pool */
  csfle_fake_kms_await(&kms, 2);
  assert_int_equal(csfle_test_registry_term(csfle_test_rest_registry()), 0);
  pthread_join(thread, &ok);
  assert_null(ok);
  csfle_fake_kms_release(&kms);
  csfle_test_registry_restart(csfle_test_rest_registry());
  RUN({ "GET ~/keks/v/deks?deleted=true", NULL, OK("['s0']") }, { "GET ~/keks/v/deks/s0", NULL, OK("{'keyMaterial':'$is:plain','...':1}") });
}

TEST(a_deletion_counts_for_those_who_wait)
{
  fresh(5000, 100);
  made("s0");
  csfle_fake_kms_hold(&kms);
  storm s = storm_send(20, 1);
  csfle_fake_kms_await(&kms, 1);
  wait_until_waiting();
  RUN({ "DELETE ~/keks/v/deks/s0", NULL, EMPTY });
  csfle_fake_kms_release(&kms);
  assert_int_equal(storm_read(&s, "200"), 0);
}

/* ---- failures ------------------------------------------------------------------------------------------------------ */

TEST(DEK_140_a_refusal_of_the_kms_is_403)
{
  static const int refusals[] = { 401, 403 };
  fresh(0, 100);
  made("s0");
  for (int i = 0; i < 2; i++) {
    atomic_store(&kms.fail, refusals[i]);
    CASE("DEK-140", { "POST ~/keks/v/deks/new", "{}", NO(403, 40370, "^Could not generate encrypted dek for new: ") },
        { "GET ~/keks/v/deks/s0", NULL, NO(403, 40370, "^Could not generate raw dek for s0: ") },
        { "GET ~/keks/v/deks/s0/versions/1", NULL, NO(403, 40370, "^Could not generate raw dek for s0: ") },
        { "POST ~/keks/v/test", NULL, NO(403, 40370, "^Could not generate encrypted dek for __TEST: ") });
  }
  atomic_store(&kms.fail, 400);
  CASE("DEK-140", { "GET ~/keks/v/deks/s0", NULL, NO(500, 50070, "^Could not generate raw dek for s0: ") }, { "POST ~/keks/v/deks/new", "{}", NO(500, 50070, "^Could not generate encrypted dek for new: ") });
  atomic_store(&kms.fail, 0);
  CASE("DEK-140", { "GET ~/keks/v/deks/new?deleted=true", NULL, NO(404, 40470, "Key 'new' not found") }, { "GET ~/keks/v/deks/s0", NULL, OK("{'keyMaterial':'$any','...':1}") });
}

TEST(DEK_142_alternate_keys_are_tried_after_the_main_one_failed)
{
  char ids[200];
  fresh(0, 100);
  snprintf(ids, sizeof ids, "\"%s/transit/keys/k2, %s/transit/keys/k3\"", kms.host, kms.host);
  csfle_test_rest_keep("ids", ids);
  for (int i = 0; i < 4; i++) atomic_store(&kms.calls_of_key[i], 0);
#define CALLS_OF(k, n) assert_int_equal(atomic_load(&kms.calls_of_key[k]), n)
  RUN({ "POST ~/keks", "{'name':'alt','kmsType':'hcvault','kmsKeyId':<key>,'kmsProps':{'token.id':'t','encrypt.alternate.kms.key.ids':<ids>},'shared':true}", OK("{'...':1}") },
      { "POST ~/keks/alt/deks/a", "{}", OK("{'keyMaterial':'$b64:34:1a20:alt','encryptedKeyMaterial':'$text:wrapped','...':1}") });
  CALLS_OF(0, 2), CALLS_OF(2, 0), CALLS_OF(3, 0);
  atomic_store(&kms.fail_key[0], 400);
  CASE("DEK-142", { "GET ~/keks/alt/deks/a", NULL,
                    OK("{'kekName':'alt','subject':'a','version':1,'algorithm':'AES256_GCM','encryptedKeyMaterial':'$is:wrapped','keyMaterial':'$is:alt','ts':'$ts'}") });
  CALLS_OF(0, 3), CALLS_OF(2, 1), CALLS_OF(3, 0);
  atomic_store(&kms.fail_key[2], 403);
  RUN({ "POST ~/keks/alt/deks/b", "{}", OK("{'keyMaterial':'$b64:34:1a20','...':1}") });
  CALLS_OF(0, 5), CALLS_OF(2, 3), CALLS_OF(3, 2);
  atomic_store(&kms.fail_key[3], 400);
  CASE("DEK-142", { "GET ~/keks/alt/deks/a", NULL, NO(403, 40370, "^Could not generate raw dek for a: ") }); /* a refusal wins over what came after it */
  for (int i = 0; i < 4; i++) atomic_store(&kms.fail_key[i], 0);
}

/* AB-7: what a rewrap stores opens to the same key, or nothing is stored */
TEST(AB_7_a_rewrap_that_gives_another_key_is_refused)
{
  fresh(0, 100);
  made("s0");
  RUN({ "GET ~/keks/v/deks/s0", NULL, OK("{'ts':'$ts:made','...':1}") });
  atomic_store(&kms.other_key, true);
  RUN({ "POST ~/keks/v/deks/s0?rewrap=true", "{}", NO(500, 50070, "*gave another key back") }, { "POST ~/keks/v/deks/new", "{}", NO(500, 50070, "*gave another key back") });
  atomic_store(&kms.other_key, false);
  RUN({ "GET ~/keks/v/deks/s0", NULL, OK("{'ts':'$is:made','keyMaterial':'$is:plain','...':1}") }, { "GET ~/keks/v/deks/new?deleted=true", NULL, NO(404, 40470, "Key 'new' not found") });
}

TEST(the_registry_and_the_kms_stop)
{
  csfle_test_rest_stop();
  csfle_fake_kms_stop(&kms);
}
