/* The pool: threads when they are needed, a bounded queue, everything taken is done. */
#include "server/http/http.h"
#include "tests/support/test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static atomic_int      ran, running, most;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t  open_ = PTHREAD_COND_INITIALIZER;
static bool            held;

static void task(void *arg)
{
  (void)arg;
  int now = atomic_fetch_add(&running, 1) + 1, before = atomic_load(&most);
  while (now > before && !atomic_compare_exchange_weak(&most, &before, now)) {}
  pthread_mutex_lock(&lock);
  while (held) pthread_cond_wait(&open_, &lock);
  pthread_mutex_unlock(&lock);
  atomic_fetch_sub(&running, 1);
  atomic_fetch_add(&ran, 1);
}

static void hold(bool yes)
{
  pthread_mutex_lock(&lock);
  held = yes;
  pthread_cond_broadcast(&open_);
  pthread_mutex_unlock(&lock);
}

static void until_running(int n)
{
  for (int i = 0; atomic_load(&running) != n; i++) {
    if (i == 20000) fail_msg("%d tasks run, expected %d", atomic_load(&running), n);
    nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
  }
}

TEST(a_pool_is_bounded_in_threads_and_in_tasks)
{
  registry_pool *p = registry_pool_new(3, 5);
  assert_non_null(p);
  assert_int_equal(registry_pool_busy(p), 0);
  hold(true);
  for (int i = 0; i < 3; i++) assert_true(registry_pool_run(p, task, NULL));
  until_running(3);
  for (int i = 0; i < 5; i++) assert_true(registry_pool_run(p, task, NULL));
  assert_false(registry_pool_run(p, task, NULL));
  assert_int_equal(registry_pool_busy(p), 8);
  hold(false);
  registry_pool_free(p); /* works off what waits */
  assert_int_equal(atomic_load(&ran), 8);
  assert_int_equal(atomic_load(&most), 3);
}

static registry_pool *shared;
static atomic_int     refused;
static void *give(void *arg)
{
  (void)arg;
  for (int i = 0; i < 500; i++)
    while (!registry_pool_run(shared, task, NULL)) atomic_fetch_add(&refused, 1), nanosleep(&(struct timespec){ 0, 100000 }, NULL);
  return NULL;
}

TEST(what_many_threads_give_a_pool_is_done)
{
  pthread_t threads[4];
  atomic_store(&ran, 0);
  shared = registry_pool_new(4, 16);
  assert_non_null(shared);
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, give, NULL);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  registry_pool_free(shared);
  assert_int_equal(atomic_load(&ran), 2000);
}
