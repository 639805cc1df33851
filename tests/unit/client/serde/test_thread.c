/* Proves that one serde serves many threads: no data race (under TSan), and one key for all of them. */
#include "tests/unit/client/rig.h"

#include <pthread.h>
#include <unistd.h>

#define THREADS 8
#define ROTATING_RULES "{\"domainRules\":[{\"name\":\"r\",\"type\":\"ENCRYPT\",\"tags\":[\"PII\"],\"params\":{" RULE_PARAMS ",\"encrypt.dek.expiry.days\":\"1\"}}]}"

static rig               shared;
static pthread_barrier_t start;
static _Atomic(int)      failures;
static int               rounds;

static void *work(void *arg)
{
  csfle_buf   out, back;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf_init(&out, 0, 0), csfle_buf_init(&back, 0, CSFLE_BUF_WIPE);
  pthread_barrier_wait(&start);
  for (int i = 0; i < rounds; i++) {
    if (csfle_serialize(shared.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, &e) != CSFLE_OK ||
        csfle_deserialize(shared.serde, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, NULL, &e) != CSFLE_OK ||
        !csfle__eq(csfle__buf_view(&back), BYTES(CUSTOMER_VALUE))) {
      fprintf(stderr, "# %s %s\n", e.where, e.msg);
      failures++;
    }
    if (arg && i % 50 == 25) csfle_client_forget_keys(shared.client, NULL);
  }
  csfle_buf_free(&out), csfle_buf_free(&back);
  return NULL;
}

static void run(const char *rules, int n, bool forget)
{
  pthread_t t[THREADS];
  rig_open(&shared, CUSTOMER, NULL, rules, NULL);
  rounds = n, failures = 0;
  pthread_barrier_init(&start, NULL, THREADS);
  for (size_t i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&t[i], NULL, work, forget && i == 0 ? &shared : NULL), 0);
  for (size_t i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
  pthread_barrier_destroy(&start);
  assert_int_equal(failures, 0);
}

TEST(first_writers_in_one_thread_each_make_one_key_together) /* ENC-77 */
{
  run(PII_RULES, 20, false);
  assert_int_equal(shared.fake.dek_creates, 1);
  assert_int_equal(csfle_fake_count(&shared.fake, "POST /dek-registry/v1/keks {"), 1);
  rig_close(&shared);
  run(ROTATING_RULES, 20, false);
  assert_int_equal(shared.fake.dek_creates, 1);
  rig_close(&shared);
}

TEST(a_key_that_expires_under_threads_gets_one_successor) /* AB-12 */
{
  pthread_t t[THREADS];
  run(ROTATING_RULES, 5, false);
  shared.fake.now_ms += 86400000;
  shared.fake.mono_ms += 86400000;
  pthread_barrier_init(&start, NULL, THREADS);
  for (size_t i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&t[i], NULL, work, NULL), 0);
  for (size_t i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
  pthread_barrier_destroy(&start);
  assert_int_equal(failures, 0);
  assert_int_equal(shared.fake.dek_creates, 2);
  rig_close(&shared);
}

TEST(keys_can_be_forgotten_while_threads_use_them)
{
  run(PII_RULES, 200, true);
  assert_int_equal(shared.fake.dek_creates, 1);
  rig_close(&shared);
}

/* ---- rotation while others write */

static _Atomic(int) in_post, go_on;
static int wait_in_post(csfle_fake *f, const char *method, const char *path, const char **body)
{
  (void)f, (void)body;
  if (strcmp(method, "POST") != 0 || !strstr(path, "/deks/")) return 0;
  in_post = 1;
  while (!go_on) usleep(1000);
  return 0;
}

static void *rotate(void *arg)
{
  csfle_buf out;
  csfle_buf_init(&out, 0, 0);
  csfle_error e = CSFLE_ERROR_INIT;
  *(int *)arg = csfle_serialize(shared.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, &e) == CSFLE_OK ? 1 : -1;
  csfle_buf_free(&out);
  return NULL;
}

TEST(while_one_thread_makes_the_next_version_others_go_on_with_the_old_one)
{
  pthread_t   t;
  int         done = 0;
  csfle_buf   out;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf_init(&out, 0, 0);
  rig_open(&shared, CUSTOMER, NULL, ROTATING_RULES, "latest.cache.ttl.sec=-1\ncsfle.key.max.age.ms=999999999");
  assert_int_equal(csfle_serialize(shared.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, &e), CSFLE_OK);
  shared.fake.now_ms += 86400000;
  shared.fake.mono_ms += 86400000;
  shared.fake.hook = wait_in_post, in_post = go_on = 0;
  csfle__scratch *mine; /* this thread's scratch has the old key; the other thread must not find it */
  assert_int_equal(csfle__scratch_take(shared.serde, &mine, &e), CSFLE_OK);
  assert_int_equal(pthread_create(&t, NULL, rotate, &done), 0);
  while (!in_post) usleep(1000);
  csfle__scratch_give(shared.serde, mine);
  assert_int_equal(csfle_serialize(shared.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, &e), CSFLE_OK);
  assert_int_equal(done, 0);
  assert_memory_equal(out.ptr + 7, "AAAAAA", 6); /* 00 00 00 00 01 */
  assert_int_equal(out.ptr[13] >= 'E' && out.ptr[13] <= 'H', 1);
  go_on = 1;
  pthread_join(t, NULL);
  assert_int_equal(done, 1);
  assert_int_equal(csfle_serialize(shared.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, &e), CSFLE_OK);
  assert_int_equal(shared.fake.dek_creates, 2);
  csfle_buf_free(&out);
  rig_close(&shared);
}
