/* Many threads at one registry: writers, readers and those who wait for the log. */
#include "tests/unit/server/registry/rig.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define WRITERS 3
#define EACH    60

static registry   *g;
static registry_log *rig_log;
static atomic_bool stop;
static atomic_int  pending, kept;

static void told(void *waiter, bool ok)
{
  (void)waiter;
  if (ok) atomic_fetch_add(&kept, 1);
  atomic_fetch_sub(&pending, 1);
}

static void wait_for(uint64_t position)
{
  atomic_fetch_add(&pending, 1);
  registry_wait w = registry_log_wait(rig_log, position, told, NULL);
  if (w != REGISTRY_PENDING) told(NULL, w == REGISTRY_DURABLE);
}

static void *write_some(void *opaque)
{
  long me = (long)(intptr_t)opaque;
  char body[300], subject[32];
  for (int i = 0; i < EACH; i++) {
    snprintf(subject, sizeof subject, "s%ld", me);
    snprintf(body, sizeof body, "{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"N%d\\\",\\\"fields\\\":[]}\"}", i);
    if (rig_register(g, subject, body) <= 0) abort();
    if (!rig_dek(g, "k", subject, i + 1)) abort();
    registry_begin(g, false);
    wait_for(registry_end(g));
  }
  return NULL;
}

static void *read_some(void *opaque)
{
  (void)opaque;
  while (!atomic_load(&stop)) {
    registry_begin(g, false);
    registry_subject *s = registry_state_subject(g->state, BYTES("s1"));
    size_t            n = s ? s->count : 0, total = 0;
    for (size_t i = 0; i < n; i++) { /* what is made when it is asked for, by several at once */
      registry_content *c = s->versions[i]->content;
      total += registry_content_rendered(c)->len;
      if (registry_state_guid(g->state, registry_content_guid(c), BYTES("AVRO")) != c) abort();
    }
    registry_kek *k = registry_state_kek(g->state, BYTES("k"));
    for (size_t i = 0; k && i < k->count; i++) total += k->deks[i]->encrypted_key_material.len;
    wait_for(registry_end(g));
    nanosleep(&(struct timespec){ 0, 100000 + (long)(total % 7) }, NULL);
  }
  return NULL;
}

TEST(writers_and_readers_share_a_registry)
{
  pthread_t threads[WRITERS + 2];
  g = rig_open(&rig_log);
  assert_true(rig_kek(g, "k", false));
  for (int i = 0; i < WRITERS; i++) pthread_create(&threads[i], NULL, write_some, (void *)(intptr_t)(i + 1));
  for (int i = WRITERS; i < WRITERS + 2; i++) pthread_create(&threads[i], NULL, read_some, NULL);
  for (int i = 0; i < WRITERS; i++) pthread_join(threads[i], NULL);
  atomic_store(&stop, true);
  for (int i = WRITERS; i < WRITERS + 2; i++) pthread_join(threads[i], NULL);
  for (int i = 0; atomic_load(&pending) && i < 5000; i++) nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
  assert_int_equal(atomic_load(&pending), 0);
  assert_true(atomic_load(&kept) >= WRITERS * EACH);
  registry_begin(g, false);
  for (int i = 1; i <= WRITERS; i++) {
    char name[8];
    snprintf(name, sizeof name, "s%d", i);
    assert_int_equal(registry_state_subject(g->state, csfle__str(name))->count, EACH);
  }
  assert_int_equal(g->state->dek_count, WRITERS * EACH);
  assert_int_equal(registry_state_context(g->state, BYTES("."))->max_id, EACH); /* the same content has the same id everywhere */
  registry_end(g);
  registry_close(g);
}
