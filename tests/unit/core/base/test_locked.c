/* Memory for key material: zero when new, wiped when given back, not in core dumps, locked as far as the limit lets. */
#include "tests/support/test.h"

#include "core/base/secret.h"
#include "tests/unit/core/base/locked_use.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* sanitizers make mlock do nothing and succeed */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LOCKS false
#else
#define LOCKS true
#endif

/* VmFlags of the mapping that holds @p p, " rd wr ..." */
static void flags_of(const void *p, char *out, size_t size)
{
  FILE *f = fopen("/proc/self/smaps", "r");
  char  line[512];
  bool  here = false;
  out[0] = 0;
  assert_non_null(f);
  while (fgets(line, sizeof line, f)) {
    unsigned long from, to;
    if (sscanf(line, "%lx-%lx ", &from, &to) == 2) here = (unsigned long)p >= from && (unsigned long)p < to;
    else if (here && strncmp(line, "VmFlags:", 8) == 0) snprintf(out, size, "%.*s ", (int)strcspn(line + 8, "\n"), line + 8);
  }
  fclose(f);
}

/* AB-13 */
TEST(secrets_are_left_out_of_core_dumps)
{
  static const size_t sizes[] = { 1, 32, 64, 65, 1000, 4096, 4097, 100000 };
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    char          flags[256];
    csfle__secret s = CSFLE__SECRET_INIT;
    size_t        locked, unlocked;
    assert_ok(csfle__secret_make(&s, sizes[i], err));
    flags_of(s.ptr, flags, sizeof flags);
    csfle__locked_amounts(&locked, &unlocked);
    if (!strstr(flags, " dd ")) fail_msg("a secret of %zu bytes lies in memory with the flags%s", sizes[i], flags);
    if (LOCKS && !unlocked && !strstr(flags, " lo ")) fail_msg("a secret of %zu bytes is not locked:%s", sizes[i], flags);
    csfle__secret_wipe(&s);
  }
}

TEST(what_is_given_back_is_wiped_and_what_is_new_is_zero)
{
  enum { COUNT = 300 };
  uint8_t *all[COUNT];
  size_t   size[COUNT], before, after, other;
  csfle__locked_amounts(&before, &other);
  before += other;
  srand(7);
  for (int round = 0; round < 40; round++) {
    for (int i = 0; i < COUNT; i++) {
      size[i] = (size_t)(rand() % (i % 10 == 0 ? 9000 : 300)) + 1;
      all[i] = csfle__locked_alloc(size[i]);
      assert_non_null(all[i]);
      for (size_t k = 0; k < size[i]; k++) assert_int_equal(all[i][k], 0);
      memset(all[i], i & 0xff ? i & 0xff : 1, size[i]);
    }
    for (int i = 0; i < COUNT; i++) /* nobody wrote into a neighbour */
      for (size_t k = 0; k < size[i]; k++) assert_int_equal(all[i][k], i & 0xff ? i & 0xff : 1);
    uint8_t *kept = csfle__locked_alloc(200); /* keeps its chunk, so that the next can be looked at after it is given back */
    uint8_t *gone = csfle__locked_alloc(200);
    memset(gone, 0xaa, 200);
    csfle__locked_free(gone, 200);
    for (int k = 8; k < 200; k++) assert_int_equal(gone[k], 0);
    csfle__locked_free(kept, 200);
    for (int i = 0; i < COUNT; i++) csfle__locked_free(all[(i * 7) % COUNT], size[(i * 7) % COUNT]);
  }
  csfle__locked_amounts(&after, &other);
  after += other;
  assert_true(after <= before + 7 * 65536); /* one chunk of each size stays */
}

TEST(a_limit_on_locked_memory_is_no_failure)
{
  pid_t pid = fork();
  if (pid == 0) {
    struct rlimit none = { 0, 0 };
    size_t        locked, unlocked, before;
    setrlimit(RLIMIT_MEMLOCK, &none);
    if (getuid() == 0 && setresuid(65534, 65534, 65534) != 0) _exit(9); /* root has no limit */
    csfle__locked_amounts(&locked, &before);
    void *p = csfle__locked_alloc(20000);
    csfle__locked_amounts(&locked, &unlocked);
    _exit(!p ? 1 : LOCKS && unlocked <= before ? 2 : 0);
  }
  int status;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
}

TEST(children_forked_under_threads_use_it)
{
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, use_some, (void *)(intptr_t)i);
  for (int i = 0; i < 20; i++) {
    pid_t pid = fork(); /* while the others are in there */
    if (pid == 0) {
      void *p = csfle__locked_alloc(40);
      csfle__locked_free(p, 40);
      _exit(p ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
  }
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}

TEST(a_tests_allocator_is_used_while_it_is_there)
{
  uint8_t *before = csfle__locked_alloc(64);
  csfle_test_memory_on();
  uint8_t *during = csfle__locked_alloc(64);
  assert_int_equal(csfle_test_mem.live, 1);
  csfle__locked_free(before, 64);
  csfle__locked_free(during, 64);
  assert_int_equal(csfle_test_mem.live, 0);
  assert_int_equal(csfle_test_mem.dirty_secrets, 0);
  csfle_test_memory_off();
}
