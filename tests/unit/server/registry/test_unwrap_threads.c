/* Shared DEKs read by many threads while they are rewrapped, deleted and swept: everyone is woken once and gets the right key. */
#include "server/http/http.h"
#include "server/registry/unwrap.h"
#include "tests/unit/server/registry/rig.h"

#include "core/base/base64.h"

#include <stdatomic.h>
#include <time.h>

#define READERS 6
#define ROUNDS  150

static registry      *g;
static registry_pool *pool;
static atomic_int     answered, gone, parked;
static atomic_bool    stop;
static char           plain[64]; /* keyMaterial as text: rewrapping does not change it */

/* a request as http has it: parked without a thread, tried again on the one that wakes it */
typedef struct request {
  void           *waited;
  pthread_mutex_t lock;
  pthread_cond_t  done;
  bool            finished;
  bool            ok;
} request;

static bool try_read(request *q, registry_caller *who)
{
  registry_dek_request r = { .kek = BYTES("sh"), .subject = BYTES("s"), .algorithm = CSFLE__AES256_GCM, .version = 1, .deleted = false };
  registry_problem     p = { 0 };
  uint64_t             position;
  csfle_buf            out;
  (void)q;
  csfle_buf_init(&out, 0, CSFLE_BUF_WIPE);
  bool ok = registry_dek_read(g, &r, who, &out, &position, &p);
  if (!ok && p.status == REGISTRY_WAITS) {
    csfle_buf_free(&out);
    return false;
  }
  if (ok) {
    csfle__buf_putc(&out, 0, NULL);
    if (!strstr((char *)out.ptr, plain)) abort();
    atomic_fetch_add(&answered, 1);
  } else {
    if (p.code != 40470) abort();
    atomic_fetch_add(&gone, 1);
  }
  csfle_buf_free(&out);
  pthread_mutex_lock(&q->lock);
  q->finished = true;
  pthread_cond_signal(&q->done);
  pthread_mutex_unlock(&q->lock);
  return true;
}

static void park(void *waiter)
{
  (void)waiter;
  atomic_fetch_add(&parked, 1);
}

static void wake(void *waiter)
{
  request        *q = (request *)waiter;
  registry_caller who = { .confidential = true, .waiter = q, .park = park, .wake = wake, .waited = &q->waited };
  atomic_fetch_sub(&parked, 1);
  try_read(q, &who);
}

static void *read_some(void *opaque)
{
  (void)opaque;
  while (!atomic_load(&stop)) {
    request         q = { 0 };
    registry_caller who = { .confidential = true, .waiter = &q, .park = park, .wake = wake, .waited = &q.waited };
    pthread_mutex_init(&q.lock, NULL);
    pthread_cond_init(&q.done, NULL);
    try_read(&q, &who);
    pthread_mutex_lock(&q.lock);
    while (!q.finished) pthread_cond_wait(&q.done, &q.lock);
    pthread_mutex_unlock(&q.lock);
    pthread_cond_destroy(&q.done);
    pthread_mutex_destroy(&q.lock);
  }
  return NULL;
}

static bool run_blocking(void *opaque, void (*fn)(void *arg), void *arg)
{
  return registry_pool_run((registry_pool *)opaque, fn, arg);
}

static void change(int i)
{
  registry_dek_request r = { .kek = BYTES("sh"), .subject = BYTES("s"), .algorithm = CSFLE__AES256_GCM, .version = 1 };
  registry_caller      who = { .may_block = true, .confidential = true };
  registry_problem     p;
  uint64_t             position;
  csfle_buf            out;

  csfle_buf_init(&out, 0, CSFLE_BUF_WIPE);
  switch (i % 4) {
    case 0:
      r.rewrap = true;
      if (!registry_dek_create(g, &r, &who, &out, &position, &p)) abort();
      break;
    case 1:
      registry_begin(g, true);
      if (!registry_dek_delete(g, &r, false, &p)) abort();
      registry_end(g);
      break;
    case 2:
      registry_begin(g, true);
      if (!registry_dek_undelete(g, &r, &p)) abort();
      registry_end(g);
      break;
    default:
      registry_unwraps_sweep(g->unwraps);
      registry_unwraps_forget_all(g->unwraps);
      break;
  }
  csfle_buf_free(&out);
}

static void run(int64_t keep_ms)
{
  registry_log_setup setup = { .clock = &csfle__system_clock, .log = &rig_quiet, .topics = { "_schemas", "_dek_registry_keys", "_csfle" } };
  registry_options   options = rig_options();
  registry_log      *log = NULL;
  pthread_t          threads[READERS];

  atomic_store(&stop, false);
  pool = registry_pool_new(3, 64);
  options.blocking = (registry_executor){ run_blocking, pool };
  options.unwrapped_keep_ms = keep_ms;
  options.unwrapping_max = 100;
  options.unwrapping_wait_ms = 60000;
  assert_ok(registry_log_open(&log, registry_log_driver_find("memory"), &setup, err));
  assert_ok(registry_open(&g, log, &options, &csfle__system_clock, &rig_quiet, NULL, err));
  csfle__pair          props[] = { { BYTES("secret"), BYTES("mysecret") } };
  registry_kek_request k = { .name = BYTES("sh"), .kms_type = BYTES("local-kms"), .kms_key_id = BYTES("k"), .props = { props, 1 }, .has_props = true, .shared = true };
  registry_dek_request d = { .kek = BYTES("sh"), .subject = BYTES("s"), .algorithm = CSFLE__AES256_GCM, .version = 1 };
  registry_caller      who = { .may_block = true, .confidential = true };
  registry_problem     p;
  uint64_t             position;
  csfle_buf            out;
  csfle_buf_init(&out, 0, CSFLE_BUF_WIPE);
  registry_begin(g, true);
  assert_true(registry_kek_create(g, &k, &p));
  registry_end(g);
  assert_true(registry_dek_create(g, &d, &who, &out, &position, &p));
  csfle__buf_putc(&out, 0, NULL);
  const char *at = strstr((char *)out.ptr, "\"keyMaterial\":\"");
  assert_non_null(at);
  snprintf(plain, sizeof plain, "%.40s", at + 15);
  csfle_buf_free(&out);

  for (int i = 0; i < READERS; i++) pthread_create(&threads[i], NULL, read_some, NULL);
  for (int i = 0; i < ROUNDS; i++) {
    change(i);
    nanosleep(&(struct timespec){ 0, 200000 }, NULL);
  }
  atomic_store(&stop, true);
  for (int i = 0; i < READERS; i++) pthread_join(threads[i], NULL);
  assert_int_equal(atomic_load(&parked), 0);
  assert_true(atomic_load(&answered) > READERS);
  registry_pool_free(pool);
  registry_unwraps_figures f = registry_unwraps_look(g->unwraps);
  assert_int_equal(f.waiting, 0);
  registry_close(g);
}

TEST(readers_share_calls_while_the_key_changes)
{
  run(0);
}

TEST(readers_share_what_is_kept_while_the_key_changes)
{
  run(50);
}
