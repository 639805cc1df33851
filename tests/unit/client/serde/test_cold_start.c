/* Proves how many requests a start costs, of registry and KMS, for one thread and for 64 that start at once. */
#include "tests/unit/client/rig.h"
#include "tests/support/fake_vault.h"

#include <pthread.h>
#include <unistd.h>

#define VAULT_RULES(more) "{\"domainRules\":[{\"name\":\"r\",\"type\":\"ENCRYPT\",\"tags\":[\"PII\"],\"params\":{\"encrypt.kek.name\":\"kek1\"," \
                          "\"encrypt.kms.type\":\"hcvault\",\"encrypt.kms.key.id\":\"" CSFLE_FAKE_VAULT_KEY "\"" more "}}]}"
#define THREADS 64

typedef struct costs {
  size_t schemas, keys, wraps, unwraps;
} costs;

static csfle_fake       fake;
static csfle_fake_vault vault;
static costs spent(void)
{
  size_t keys = csfle_fake_count(&fake, "GET /dek-registry/") + csfle_fake_count(&fake, "POST /dek-registry/");
  return (costs){ csfle_fake_count(&fake, "") - keys, keys, vault.wraps, vault.unwraps };
}
#define assert_spent(since, a, b, c, d)                                                                                                         \
  do {                                                                                                                                          \
    costs n_ = spent();                                                                                                                         \
    if (n_.schemas - since.schemas != a || n_.keys - since.keys != b || n_.wraps - since.wraps != c || n_.unwraps - since.unwraps != d)         \
      fail_msg("line %d: %zu requests for schemas, %zu for keys, %zu wraps, %zu unwraps", __LINE__, n_.schemas - since.schemas, n_.keys - since.keys, \
               n_.wraps - since.wraps, n_.unwraps - since.unwraps);                                                                             \
  } while (0)

static void begin(const char *rules)
{
  csfle_fake_init(&fake);
  csfle_fake_vault_init(&vault, &fake.transport);
  csfle_fake_add_schema(&fake, "orders-value", 12, 7, CUSTOMER, NULL, rules);
}
static csfle_client *client(void) { return rig_client_over(&vault.transport, &fake.clock, CSFLE_FAKE_VAULT_PROPS); }
static csfle_serde  *serde(csfle_client *cl, bool write)
{
  return rig_serde(cl, "orders", write ? CUSTOMER : NULL, write ? NULL : (const char *const[]){ "use.latest.version", "false", NULL });
}

static csfle_status put(csfle_serde *s, csfle_buf *out, csfle_error *e)
{
  return csfle_serialize(s, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, out, NULL, e);
}
static csfle_status get(csfle_serde *s, const csfle_buf *in, csfle_buf *out, csfle_error *e)
{
  csfle_status rc = csfle_deserialize(s, CSFLE_NATIVE, in->ptr, in->len, NULL, out, NULL, e);
  return rc == CSFLE_OK && !csfle__eq(csfle__buf_view(out), BYTES(CUSTOMER_VALUE)) ? CSFLE_E_INTERNAL : rc;
}

TEST(the_first_write_costs_five_requests_and_two_of_the_kms_the_first_read_three_and_one) /* ENC-63 */
{
  const char *const rules[] = { VAULT_RULES(""), VAULT_RULES(",\"encrypt.dek.expiry.days\":\"30\"") };
  for (size_t i = 0; i < 2; i++) {
    csfle_buf out, back;
    csfle_buf_init(&out, 0, 0), csfle_buf_init(&back, 0, 0);
    begin(rules[i]);
    costs         none = { 0 };
    csfle_client *writer = client(), *again = client(), *reader = client();
    csfle_serde  *w = serde(writer, true), *a = serde(again, true), *r = serde(reader, false);
    assert_spent(none, 0, 0, 0, 0); /* opening does no I/O */
    assert_ok(put(w, &out, err));
    assert_spent(none, 1, 4, 1, 1);
    costs before = spent();
    for (int k = 0; k < 100; k++) assert_ok(put(w, &out, err));
    assert_spent(before, 0, 0, 0, 0); /* warm */
    /* where the key is there already */
    assert_ok(put(a, &out, err));
    assert_spent(before, 1, 2, 0, 1);
    before = spent();
    assert_ok(get(r, &out, &back, err));
    assert_spent(before, 1, 2, 0, 1);
    before = spent();
    for (int k = 0; k < 100; k++) assert_ok(get(r, &out, &back, err));
    assert_spent(before, 0, 0, 0, 0);
    csfle_serde_close(w), csfle_serde_close(a), csfle_serde_close(r);
    csfle_client_close(writer), csfle_client_close(again), csfle_client_close(reader);
    csfle_buf_free(&out), csfle_buf_free(&back);
    csfle_fake_free(&fake);
  }
}

/* ---- many threads */

static csfle_serde      *serdes[4];
static csfle_buf         message;
static pthread_barrier_t start;
static _Atomic(int)      failures;
static void *write_one(void *arg)
{
  csfle_buf   out;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf_init(&out, 0, 0);
  pthread_barrier_wait(&start);
  if (put(serdes[(size_t)arg], &out, &e) != CSFLE_OK) failures++;
  csfle_buf_free(&out);
  return NULL;
}
static void *read_one(void *arg)
{
  csfle_buf   out;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf_init(&out, 0, 0);
  pthread_barrier_wait(&start);
  if (get(serdes[(size_t)arg], &message, &out, &e) != CSFLE_OK) failures++;
  csfle_buf_free(&out);
  return NULL;
}

static void all_at_once(void *(*work)(void *), size_t serde_count)
{
  pthread_t t[THREADS];
  failures = 0;
  pthread_barrier_init(&start, NULL, THREADS);
  for (size_t i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&t[i], NULL, work, (void *)(i % serde_count)), 0);
  for (size_t i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
  pthread_barrier_destroy(&start);
  assert_int_equal(failures, 0);
}

TEST(threads_that_start_at_once_cost_what_one_costs) /* ENC-77 AB-14 */
{
  const char *const rules[] = { VAULT_RULES(""), VAULT_RULES(",\"encrypt.dek.expiry.days\":\"30\"") };
  for (size_t i = 0; i < 2; i++)
    for (int round = 0; round < 8; round++) {
      begin(rules[i]);
      vault.delay_us = round % 2 ? 3000 : 0;
      costs         none = { 0 };
      csfle_client *writer = client(), *reader = client();
      serdes[0] = serde(writer, true);
      all_at_once(write_one, 1);
      assert_spent(none, 1, 4, 1, 1);
      csfle_buf_init(&message, 0, 0);
      assert_ok(put(serdes[0], &message, err));
      csfle_serde_close(serdes[0]);
      costs before = spent();
      for (size_t k = 0; k < 4; k++) serdes[k] = serde(reader, false);
      all_at_once(read_one, 4);
      assert_spent(before, 1, 2, 0, 1);
      for (size_t k = 0; k < 4; k++) csfle_serde_close(serdes[k]);
      csfle_client_close(writer), csfle_client_close(reader);
      csfle_buf_free(&message);
      csfle_fake_free(&fake);
    }
}

TEST(threads_whose_keys_grow_old_at_once_cost_what_one_costs)
{
  begin(VAULT_RULES(""));
  csfle_client *writer = client(), *reader = client();
  serdes[0] = serde(writer, true);
  csfle_buf_init(&message, 0, 0);
  assert_ok(put(serdes[0], &message, err));
  all_at_once(write_one, 1);
  csfle_serde *w = serdes[0];
  serdes[0] = serde(reader, false);
  all_at_once(read_one, 1);
  for (int round = 0; round < 4; round++) {
    /* in its last fifth, and beyond its end; latest.cache.ttl.sec has passed too */
    int64_t step = round % 2 ? INT64_C(90000000) : INT64_C(75000000);
    fake.mono_ms += step;
    fake.now_ms += step;
    costs        before = spent();
    csfle_serde *r = serdes[0];
    all_at_once(read_one, 1);
    assert_spent(before, 0, 2, 0, 1);
    before = spent(), serdes[0] = w;
    all_at_once(write_one, 1);
    assert_spent(before, 1, 2, 0, 1);
    serdes[0] = r;
  }
  csfle_serde_close(w), csfle_serde_close(serdes[0]);
  csfle_client_close(writer), csfle_client_close(reader);
  csfle_buf_free(&message);
  csfle_fake_free(&fake);
}

/* ---- one thread stops in the middle while another does all of it */

static _Thread_local int looks;       /* at the clock, of this thread */
static _Thread_local int stops_at;    /* 0: never */
static _Atomic(int)      stopped, go; /* one waits; it may go on */
static int64_t mono(void *opaque)
{
  if (stops_at && ++looks == stops_at) {
    stopped = 1;
    while (!go) usleep(100);
  }
  return ((csfle_fake *)opaque)->mono_ms;
}
static int64_t wall(void *opaque) { return ((csfle_fake *)opaque)->now_ms; }

static void *stop_and_read(void *arg)
{
  csfle_buf   out;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf_init(&out, 0, 0);
  stops_at = *(int *)arg, looks = 0;
  if (get(serdes[0], &message, &out, &e) != CSFLE_OK) failures++;
  *(int *)arg = looks;
  csfle_buf_free(&out);
  stopped = 1;
  return NULL;
}

TEST(a_thread_overtaken_by_another_before_it_asks_uses_what_that_one_got)
{
  const csfle__clock clock = { wall, mono, &fake };
  csfle_buf          out;
  csfle_buf_init(&out, 0, 0);
  begin(VAULT_RULES(""));
  csfle_client *writer = client();
  serdes[0] = serde(writer, true);
  csfle_buf_init(&message, 0, 0);
  assert_ok(put(serdes[0], &message, err));
  csfle_serde_close(serdes[0]), csfle_client_close(writer);
  int overtaken = 0;
  /* wherever it looks at the clock before it asks for a key it stops once */
  for (int at = 1;; at++) {
    pthread_t     t;
    int           n = at;
    costs         before = spent();
    csfle_client *reader = rig_client_over(&vault.transport, &clock, CSFLE_FAKE_VAULT_PROPS);
    serdes[0] = serde(reader, false);
    stopped = go = failures = 0;
    assert_int_equal(pthread_create(&t, NULL, stop_and_read, &n), 0);
    while (!stopped) usleep(100);
    costs so_far = spent();
    bool  asked = so_far.keys != before.keys, leads = reader->flights.head || reader->ring.flights.head; /* others would wait for it */
    if (!asked && !leads && n == at) {
      assert_ok(get(serdes[0], &message, &out, err));
      overtaken++;
    }
    go = 1;
    pthread_join(t, NULL);
    assert_int_equal(failures, 0);
    if (!asked) assert_spent(before, 1, 2, 0, 1);
    csfle_serde_close(serdes[0]), csfle_client_close(reader);
    if (asked) break;
  }
  assert_true(overtaken > 1);
  csfle_buf_free(&message), csfle_buf_free(&out);
  csfle_fake_free(&fake);
}
