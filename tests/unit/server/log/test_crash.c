/* Power cuts. A file system in memory takes away what was not synced; what was acknowledged or read must be there. */
#include "server/log/log.h"
#include "tests/support/test.h"
#include "tests/unit/server/log/crash_vfs.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define ROUNDS  60
#define WRITERS 4
#define OFFSETS 200000

static const csfle__log quiet = { NULL, NULL, 0 };

static registry_log *open_log(void)
{
  registry_log_setup setup = { .path = "store", .vfs = "crash", .clock = &csfle__system_clock, .log = &quiet,
                               .topics = { "_schemas", "_dek_registry_keys", "_csfle" } };
  registry_log *l = NULL;
  assert_ok(registry_log_open(&l, registry_log_driver_find("embedded"), &setup, err));
  return l;
}

static struct {
  registry_log    *log;
  pthread_mutex_t  append; /* the caller serialises appends */
  atomic_bool      stop;
  atomic_int       pending;
  atomic_bool      acknowledged[OFFSETS]; /* a writer was told, or a reader looked at it */
  int64_t          seen[OFFSETS];         /* replay: the number in the value */
  unsigned         seed;
} run;

typedef struct ticket {
  int64_t from, to; /* offsets acknowledged by it */
} ticket;

static void acknowledge(const ticket *t)
{
  for (int64_t i = t->from; i < t->to; i++) atomic_store(&run.acknowledged[i], true);
}

static void released(void *waiter, bool ok)
{
  ticket *t = (ticket *)waiter;
  if (ok) acknowledge(t);
  free(t);
  atomic_fetch_sub(&run.pending, 1);
}

static void wait_for(uint64_t position, int64_t from, int64_t to)
{
  ticket *t = (ticket *)malloc(sizeof *t);
  assert_non_null(t);
  *t = (ticket){ from, to };
  atomic_fetch_add(&run.pending, 1);
  switch (registry_log_wait(run.log, position, released, t)) {
    case REGISTRY_DURABLE: released(t, true); break;
    case REGISTRY_LOST: released(t, false); break;
    default: break;
  }
}

static atomic_llong appended;

static void *writer(void *opaque)
{
  unsigned seed = run.seed + (unsigned)(uintptr_t)opaque;
  char     key[32], value[600];
  while (!atomic_load(&run.stop)) {
    registry_record r[3];
    size_t          n = 1 + (size_t)rand_r(&seed) % 3, len = 20 + (size_t)rand_r(&seed) % 500;
    memset(value, 'v', sizeof value);
    snprintf(key, sizeof key, "{\"k\":%d}", rand_r(&seed) % 50);
    for (size_t i = 0; i < n; i++) r[i] = (registry_record){ .topic = REGISTRY_SCHEMAS, .key = csfle__str(key), .value = csfle__view(value, len) };
    pthread_mutex_lock(&run.append);
    bool     ok = atomic_load(&appended) + 3 < OFFSETS && registry_log_append(run.log, r, n, NULL) == CSFLE_OK;
    uint64_t position = registry_log_position(run.log);
    if (ok) atomic_store(&appended, r[n - 1].offset + 1);
    pthread_mutex_unlock(&run.append);
    if (!ok) break;
    wait_for(position, r[0].offset, r[0].offset + (int64_t)n);
    nanosleep(&(struct timespec){ 0, 20000 }, NULL);
  }
  return NULL;
}

/* looks at everything there is, as GET /subjects does, and may tell only what is durable */
static void *reader(void *opaque)
{
  (void)opaque;
  while (!atomic_load(&run.stop)) {
    pthread_mutex_lock(&run.append);
    int64_t  to = (int64_t)atomic_load(&appended);
    uint64_t position = registry_log_position(run.log);
    pthread_mutex_unlock(&run.append);
    wait_for(position, to > 5 ? to - 5 : 0, to);
    nanosleep(&(struct timespec){ 0, 50000 }, NULL);
  }
  return NULL;
}

static bool never_again(void *opaque)
{
  (void)opaque;
  return false;
}

static void look(void *opaque, const registry_record *r)
{
  int64_t *count = (int64_t *)opaque;
  assert_true(r->offset < OFFSETS);
  assert_int_equal(r->offset, *count); /* no holes: what follows a lost record is lost too */
  assert_true(r->value.len >= 20 && r->value.ptr[0] == 'v' && r->value.ptr[r->value.len - 1] == 'v');
  ++*count;
}

TEST(a_power_cut_takes_nothing_that_was_acknowledged_or_read)
{
  long lost_unacknowledged = 0, kept = 0;
  crash_vfs_register();
  for (unsigned round = 1; round <= ROUNDS; round++) {
    pthread_t threads[WRITERS + 1];
    int64_t   count = 0;
    unsigned  seed = round * 7919;

    crash_vfs_erase();
    memset(run.acknowledged, 0, sizeof run.acknowledged);
    atomic_store(&run.stop, false);
    atomic_store(&appended, 0);
    run.seed = seed;
    run.log = open_log();
    assert_ok(registry_log_replay(run.log, look, &count, err));
    assert_ok(registry_log_start(run.log, never_again, NULL, err));
    for (size_t i = 0; i < WRITERS; i++) pthread_create(&threads[i], NULL, writer, (void *)(i + 1));
    pthread_create(&threads[WRITERS], NULL, reader, NULL);
    nanosleep(&(struct timespec){ 0, 1000000 + rand_r(&seed) % 12000000 }, NULL);
    crash_vfs_cut();
    atomic_store(&run.stop, true);
    for (size_t i = 0; i <= WRITERS; i++) pthread_join(threads[i], NULL);
    registry_log_close(run.log);
    for (int i = 0; atomic_load(&run.pending) > 0 && i < 1000; i++) nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    assert_int_equal(atomic_load(&run.pending), 0);

    crash_vfs_restore(&seed);
    run.log = open_log();
    count = 0;
    assert_ok(registry_log_replay(run.log, look, &count, err));
    for (int64_t i = 0; i < (int64_t)atomic_load(&appended); i++) {
      if (atomic_load(&run.acknowledged[i]) && i >= count) fail_msg("round %u: record %lld was acknowledged or read, %lld are left", round, (long long)i, (long long)count);
    }
    kept += (long)count;
    lost_unacknowledged += (long)atomic_load(&appended) - (long)count;
    registry_log_close(run.log);
  }
  print_message("# %d power cuts: %ld records kept, %ld that nobody was told of lost\n", ROUNDS, kept, lost_unacknowledged);
  crash_vfs_erase();
}

/* ---- a commit that fails --------------------------------------------------------------------------------------- */

static int64_t     replayed;
static atomic_int  losses;

static void count_one(void *opaque, const registry_record *r)
{
  (void)opaque, (void)r;
  replayed++;
}

static bool replay_again(void *opaque)
{
  (void)opaque;
  replayed = 0;
  bool ok = registry_log_replay(run.log, count_one, NULL, NULL) == CSFLE_OK;
  atomic_fetch_add(&losses, 1);
  return ok;
}

typedef struct outcome {
  atomic_int known, ok;
} outcome;

static void told(void *waiter, bool ok)
{
  outcome *o = (outcome *)waiter;
  atomic_store(&o->ok, ok);
  atomic_store(&o->known, 1);
}

/* appends and waits; whether it was kept */
static bool append_one(void)
{
  registry_record r = { .topic = REGISTRY_KEYS, .key = BYTES("{\"k\":1}"), .value = BYTES("{}") };
  outcome         o = { 0 };
  csfle_error     err = CSFLE_ERROR_INIT;
  if (registry_log_append(run.log, &r, 1, &err) != CSFLE_OK) return false;
  registry_wait w = registry_log_wait(run.log, registry_log_position(run.log), told, &o);
  if (w != REGISTRY_PENDING) return w == REGISTRY_DURABLE;
  while (!atomic_load(&o.known)) nanosleep(&(struct timespec){ 0, 100000 }, NULL);
  return atomic_load(&o.ok);
}

TEST(a_failed_commit_refuses_what_waited_and_the_log_goes_on_from_what_is_there)
{
  crash_vfs_register();
  crash_vfs_erase();
  run.log = open_log();
  assert_ok(registry_log_replay(run.log, count_one, NULL, err));
  assert_ok(registry_log_start(run.log, replay_again, NULL, err));
  for (int i = 0; i < 5; i++) assert_true(append_one());
  uint64_t before = registry_log_position(run.log);
  disk.fail_writes = 1;
  assert_false(append_one());
  for (int i = 0; atomic_load(&losses) == 0 && i < 5000; i++) nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
  assert_int_equal(atomic_load(&losses), 1);
  assert_int_equal(replayed, 5);
  assert_int_equal(registry_log_wait(run.log, before, told, NULL), REGISTRY_LOST); /* handed out before: not believed */
  bool ok = false;
  for (int i = 0; !ok && i < 100; i++) ok = append_one();
  assert_true(ok);
  registry_log_close(run.log);
  crash_vfs_erase();
}
