/* kill -9 under concurrent writers: whatever was answered is there after the next start, and no id belongs to two schemas. */
#include "tests/support/registry.h"
#include "tests/support/test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS  20
#define WRITERS 8
#define ANSWERS 20000

#define WRAPPED "07V2ndh02DA73p+dTybwZFm7DKQSZN1tEwQh+FoX1DZLk4Yj2LLu4omYjp/84tAg3BYlkfGSz+zZacJHIE4="

/* one answered write: a schema (id > 0) or a DEK */
typedef struct answer {
  int writer, number, id;
} answer;

static csfle_test_registry r;
static answer              answers[ANSWERS];
static atomic_int          answered, refused;
static atomic_bool         stop;
static int                 next_number[WRITERS];

static void schema_text(char *out, size_t size, int writer, int number)
{
  snprintf(out, size, "{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"W%d\\\",\\\"fields\\\":[{\\\"name\\\":\\\"f%d\\\",\\\"type\\\":\\\"string\\\"}]}", writer, number);
}

static void *write_on(void *opaque)
{
  int writer = (int)(intptr_t)opaque;
  while (!atomic_load(&stop)) {
    char body[512], path[96], schema[300];
    int  number = next_number[writer]++, id = 0;
    if (writer % 2) {
      snprintf(path, sizeof path, "/dek-registry/v1/keks/k/deks/w%d", writer);
      snprintf(body, sizeof body, "{\"version\":%d,\"encryptedKeyMaterial\":\"%s\"}", number, WRAPPED);
    } else {
      snprintf(path, sizeof path, "/subjects/w%d/versions", writer);
      schema_text(schema, sizeof schema, writer, number);
      snprintf(body, sizeof body, "{\"schema\":\"%s\"}", schema);
    }
    csfle_test_reply p = csfle_test_http(&r, "POST", path, body);
    if (p.status == 200) {
      if (writer % 2 == 0) sscanf(p.body, "{\"id\":%d,", &id);
      int at = atomic_fetch_add(&answered, 1);
      if (at < ANSWERS) answers[at] = (answer){ writer, number, id };
    } else if (p.status != 0) {
      atomic_fetch_add(&refused, 1);
    }
    bool gone = p.status == 0;
    csfle_test_reply_free(&p);
    if (gone) break;
  }
  return NULL;
}

static void check_answers(int from)
{
  int count = atomic_load(&answered);
  assert_true(count <= ANSWERS);
  for (int i = from; i < count; i++) {
    const answer *a = &answers[i];
    char          path[128], want[300];
    if (a->id) {
      snprintf(path, sizeof path, "/schemas/ids/%d?subject=w%d", a->id, a->writer);
      schema_text(want, sizeof want, a->writer, a->number);
    } else {
      snprintf(path, sizeof path, "/dek-registry/v1/keks/k/deks/w%d/versions/%d", a->writer, a->number);
      snprintf(want, sizeof want, "\"encryptedKeyMaterial\":\"%s\"", WRAPPED);
    }
    csfle_test_reply p = csfle_test_http(&r, "GET", path, NULL);
    if (p.status != 200 || !strstr(p.body, want)) fail_msg("answered write %d is not there: %s answered %ld %s", i, path, p.status, p.body);
    csfle_test_reply_free(&p);
  }
}

TEST(twenty_kills_under_writers_lose_no_answered_write)
{
  static const char *const args[] = { "-X", "schema.compatibility.level=none", NULL };
  unsigned seed = 20;

  csfle_test_registry_start(&r, args);
  for (int w = 0; w < WRITERS; w++) next_number[w] = 1;
  csfle_test_reply p = csfle_test_http(&r, "POST", "/dek-registry/v1/keks", "{\"name\":\"k\",\"kmsType\":\"local-kms\",\"kmsKeyId\":\"i\"}");
  assert_int_equal(p.status, 200);
  csfle_test_reply_free(&p);
  int before = 0;
  for (int round = 0; round < ROUNDS; round++) {
    pthread_t threads[WRITERS];
    atomic_store(&stop, false);
    for (int w = 0; w < WRITERS; w++) pthread_create(&threads[w], NULL, write_on, (void *)(intptr_t)w);
    nanosleep(&(struct timespec){ 0, 20000000 + rand_r(&seed) % 100000000 }, NULL);
    csfle_test_registry_kill(&r);
    atomic_store(&stop, true);
    for (int w = 0; w < WRITERS; w++) pthread_join(threads[w], NULL);
    csfle_test_registry_restart(&r);
    check_answers(before);
    before = atomic_load(&answered);
  }
  check_answers(0);
  int count = atomic_load(&answered);
  for (int i = 0; i < count; i++)
    for (int j = i + 1; answers[i].id && j < count; j++)
      if (answers[j].id == answers[i].id) fail_msg("id %d was given to two schemas", answers[i].id);
  print_message("# %d kills, %d answered writes, %d refused\n", ROUNDS, count, atomic_load(&refused));
  assert_true(count > 200);
  assert_int_equal(atomic_load(&refused), 0);
  csfle_test_registry_stop(&r);
}

TEST(a_clean_stop_ends_with_exit_code_0_and_a_second_server_is_refused)
{
  csfle_test_registry first;
  csfle_test_registry_start(&first, NULL);
  char command[700];
  snprintf(command, sizeof command, "'%s/csfle-registry' --port 0 --store '%s' >/dev/null 2>&1", CSFLE_TEST_BINARIES, first.store);
  int status = system(command);
  assert_true(status != 0); /* the store belongs to the running one */
  assert_int_equal(csfle_test_registry_term(&first), 0);
  csfle_test_registry_stop(&first);
}
