/* core/crypt/random.c: no two users of one nonce, whoever forks and however many threads there are. */
#include "core/crypt/random.h"
#include "tests/support/test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COUNT = 2000, SIZE = 12 };

static void draw_all(csfle__nonces *p, uint8_t *out)
{
  for (size_t i = 0; i < COUNT; i++)
    if (csfle__nonces_draw(p, out + i * SIZE, SIZE, NULL) != CSFLE_OK) abort();
}

static int by_bytes(const void *a, const void *b) { return memcmp(a, b, SIZE); }
static void assert_unique(uint8_t *all, size_t count)
{
  qsort(all, count, SIZE, by_bytes);
  for (size_t i = 1; i < count; i++)
    if (memcmp(all + (i - 1) * SIZE, all + i * SIZE, SIZE) == 0) fail_msg("a nonce was drawn twice");
}

TEST(parent_and_forked_child_draw_different_nonces)
{
  static uint8_t all[2 * COUNT * SIZE];
  csfle__nonces *p;
  int            ends[2];
  assert_ok(csfle__nonces_new(&p, err));
  assert_ok(csfle__nonces_draw(p, all, SIZE, err)); /* the pool is full when the child comes */
  assert_int_equal(pipe(ends), 0);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    static uint8_t mine[COUNT * SIZE];
    draw_all(p, mine);
    for (size_t at = 0; at < sizeof mine;) {
      ssize_t n = write(ends[1], mine + at, sizeof mine - at);
      if (n <= 0) _exit(1);
      at += (size_t)n;
    }
    _exit(0);
  }
  close(ends[1]);
  draw_all(p, all);
  for (size_t at = COUNT * SIZE; at < sizeof all;) {
    ssize_t n = read(ends[0], all + at, sizeof all - at);
    assert_true(n > 0);
    at += (size_t)n;
  }
  close(ends[0]);
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  assert_unique(all, 2 * COUNT);
  csfle__nonces_free(p);
}

static void *draw_thread(void *out)
{
  csfle__nonces *p;
  if (csfle__nonces_new(&p, NULL) != CSFLE_OK) return NULL;
  draw_all(p, out);
  csfle__nonces_free(p);
  return out;
}
TEST(pools_of_two_threads_draw_different_nonces)
{
  static uint8_t all[2 * COUNT * SIZE];
  pthread_t      t[2];
  void          *done;
  for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&t[i], NULL, draw_thread, all + i * COUNT * SIZE), 0);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(pthread_join(t[i], &done), 0);
    assert_non_null(done);
  }
  assert_unique(all, 2 * COUNT);
}

TEST(draws_of_every_size_up_to_64_are_not_zero)
{
  csfle__nonces *p;
  assert_ok(csfle__nonces_new(&p, err));
  for (int round = 0; round < 40; round++)
    for (size_t n = 8; n <= 64; n++) {
      uint8_t out[64] = { 0 }, zero[64] = { 0 };
      assert_ok(csfle__nonces_draw(p, out, n, err));
      assert_true(memcmp(out, zero, n) != 0);
      assert_memory_equal(out + n, zero, 64 - n);
    }
  csfle__nonces_free(p);
}

static int fill_sevens(void *opaque, uint8_t *out, size_t len)
{
  *(int *)opaque += 1;
  memset(out, 7, len);
  return 1;
}
static int fill_half(void *opaque, uint8_t *out, size_t len)
{
  (void)opaque;
  memset(out, 7, len / 2);
  return 0;
}
TEST(a_new_source_empties_the_pools_and_a_failing_one_fills_none)
{
  csfle__nonces *p;
  uint8_t        out[12], sevens[12], zero[12] = { 0 };
  int            calls = 0;
  memset(sevens, 7, sizeof sevens);
  assert_ok(csfle__nonces_new(&p, err));
  assert_ok(csfle__nonces_draw(p, out, 12, err));
  csfle__random_set(fill_sevens, &calls);
  assert_ok(csfle__nonces_draw(p, out, 12, err));
  assert_memory_equal(out, sevens, 12);
  assert_ok(csfle__nonces_draw(p, out, 12, err));
  assert_int_equal(calls, 1); /* pooled */
  csfle__random_set(fill_half, NULL);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(csfle__nonces_draw(p, out, 12, NULL), CSFLE_E_INTERNAL);
    assert_memory_equal(out, zero, 12);
  }
  csfle__random_set(NULL, NULL);
  assert_ok(csfle__nonces_draw(p, out, 12, err));
  assert_true(memcmp(out, sevens, 12) != 0);
  csfle__nonces_free(p);
}

static csfle_status make_pool(void)
{
  csfle__nonces *p;
  csfle_status   rc = csfle__nonces_new(&p, NULL);
  csfle__nonces_free(p);
  return rc;
}
TEST(pools_survive_every_failed_allocation) { TORTURE(make_pool()); }
