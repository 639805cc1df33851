/* What every kind of storage must do: order, replay, tombstones, compaction, shared syncs. */
#include "server/log/log.h"
#include "tests/support/test.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const csfle__log quiet = { NULL, NULL, 0 };
static char path[256];

static registry_log *open_log(const char *driver)
{
  registry_log_setup setup = { .path = path, .clock = &csfle__system_clock, .log = &quiet, .topics = { "_schemas", "keys", "_csfle" } };
  registry_log *l = NULL;
  assert_ok(registry_log_open(&l, registry_log_driver_find(driver), &setup, err));
  return l;
}

static void fresh_path(void)
{
  const char *tmp = getenv("TMPDIR");
  snprintf(path, sizeof path, "%s/csfle-log-XXXXXX", tmp && *tmp ? tmp : "/tmp");
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  close(fd);
}

static void remove_path(void)
{
  char side[300];
  unlink(path);
  snprintf(side, sizeof side, "%s-wal", path);
  unlink(side);
}

static bool no_loss(void *opaque)
{
  (void)opaque;
  fail_msg("a commit failed");
  return false;
}

typedef struct listing {
  char   text[4096];
  size_t len, count;
} listing;

static void list(void *opaque, const registry_record *r)
{
  listing *l = (listing *)opaque;
  l->count++;
  l->len += (size_t)snprintf(l->text + l->len, sizeof l->text - l->len, "%d/%lld/%.*s=%.*s ", (int)r->topic, (long long)r->offset, CSFLE__FMT(r->key),
                             r->value.ptr ? (int)r->value.len : 4, r->value.ptr ? (const char *)r->value.ptr : "null");
}

static void append(registry_log *l, registry_topic topic, const char *key, const char *value)
{
  registry_record r = { .topic = topic, .key = csfle__str(key), .value = value ? csfle__str(value) : CSFLE__NONE };
  assert_ok(registry_log_append(l, &r, 1, err));
}

static atomic_int released;
static void on_release(void *waiter, bool ok)
{
  (void)waiter;
  assert_true(ok);
  atomic_fetch_add(&released, 1);
}

static void flush(registry_log *l)
{
  atomic_store(&released, 0);
  if (registry_log_wait(l, registry_log_position(l), on_release, NULL) == REGISTRY_PENDING)
    while (!atomic_load(&released)) nanosleep(&(struct timespec){ 0, 100000 }, NULL);
}

TEST(every_driver_replays_what_was_appended_in_order)
{
  static const char *const names[] = {
#define REGISTRY_LOG(name) #name,
#include "server/log/logs.def"
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    listing seen = { .len = 0 };
    fresh_path();
    registry_log *l = open_log(names[i]);
    assert_ok(registry_log_replay(l, list, &seen, err));
    assert_int_equal(seen.count, 0);
    assert_int_equal(registry_log_position(l), 0); /* nothing appended: nothing to wait for */
    assert_ok(registry_log_start(l, no_loss, NULL, err));
    append(l, REGISTRY_SCHEMAS, "a", "1");
    append(l, REGISTRY_KEYS, "a", "2");
    append(l, REGISTRY_SCHEMAS, "a", NULL);
    append(l, REGISTRY_OWN, "b", "");
    flush(l);
    if (strcmp(names[i], "memory") != 0) {
      registry_log_close(l);
      l = open_log(names[i]);
    }
    assert_ok(registry_log_replay(l, list, &seen, err));
    assert_string_equal(seen.text, "0/0/a=1 1/1/a=2 0/2/a=null 2/3/b= ");
    registry_log_close(l);
    remove_path();
  }
}

TEST(compaction_keeps_the_newest_of_each_topic_and_key_and_the_order)
{
  listing seen = { .len = 0 };
  fresh_path();
  registry_log *l = open_log("embedded");
  assert_ok(registry_log_replay(l, NULL, NULL, err));
  assert_ok(registry_log_start(l, no_loss, NULL, err));
  append(l, REGISTRY_SCHEMAS, "a", "1");
  append(l, REGISTRY_SCHEMAS, "b", "1");
  append(l, REGISTRY_KEYS, "a", "1");
  append(l, REGISTRY_SCHEMAS, "a", "2");
  append(l, REGISTRY_SCHEMAS, "gone", "1");
  append(l, REGISTRY_SCHEMAS, "gone", NULL);
  append(l, REGISTRY_SCHEMAS, "last", "1");
  append(l, REGISTRY_SCHEMAS, "last", NULL);
  registry_log_close(l);

  l = open_log("embedded");
  size_t          removed = 0;
  registry_record mark = { .topic = REGISTRY_OWN, .key = BYTES("ids"), .value = BYTES("7") };
  assert_ok(registry_log_replay(l, NULL, NULL, err));
  assert_ok(registry_log_compact(l, &mark, 1, &removed, err));
  assert_int_equal(removed, 5);
  assert_ok(registry_log_replay(l, list, &seen, err));
  assert_string_equal(seen.text, "0/1/b=1 1/2/a=1 0/3/a=2 2/8/ids=7 ");
  assert_ok(registry_log_start(l, no_loss, NULL, err));
  append(l, REGISTRY_SCHEMAS, "c", "1");
  flush(l);
  registry_log_close(l);
  memset(&seen, 0, sizeof seen);
  l = open_log("embedded");
  assert_ok(registry_log_replay(l, list, &seen, err));
  assert_string_equal(seen.text, "0/1/b=1 1/2/a=1 0/3/a=2 2/8/ids=7 0/9/c=1 "); /* offsets go on, none twice */
  registry_log_close(l);
  remove_path();
}

TEST(every_driver_compacts_alike)
{
  static const char *const drivers[] = { "memory", "embedded" };
  for (size_t d = 0; d < 2; d++) {
    const registry_log_driver *driver = registry_log_driver_find(drivers[d]);
    registry_log_setup         setup = { .path = path, .clock = &csfle__system_clock, .log = &quiet, .topics = { "_schemas", "keys", "_csfle" } };
    registry_record records[] = { { REGISTRY_SCHEMAS, 0, 5, BYTES("a"), BYTES("1") }, { REGISTRY_KEYS, 1, 5, BYTES("a"), BYTES("1") },
                                  { REGISTRY_SCHEMAS, 2, 5, BYTES("gone"), BYTES("1") }, { REGISTRY_SCHEMAS, 3, 5, BYTES("a"), BYTES("2") },
                                  { REGISTRY_SCHEMAS, 4, 5, BYTES("gone"), CSFLE__NONE }, { REGISTRY_SCHEMAS, 5, 5, BYTES("last"), BYTES("1") },
                                  { REGISTRY_SCHEMAS, 6, 5, BYTES("last"), CSFLE__NONE } };
    listing seen = { .len = 0 };
    void   *store = NULL;
    size_t  removed = 0;
    fresh_path();
    assert_ok(driver->open(&store, &setup, err));
    assert_ok(driver->commit(store, records, sizeof records / sizeof *records, err));
    assert_ok(driver->compact(store, 2, &removed, err));
    assert_int_equal(removed, 1);
    assert_ok(driver->compact(store, 7, &removed, err));
    assert_int_equal(removed, 3);
    assert_ok(driver->replay(store, list, &seen, err));
    assert_string_equal(seen.text, "1/1/a=1 0/3/a=2 0/6/last=null "); /* never the newest of all */
    assert_ok(driver->compact(store, 7, &removed, err));
    assert_int_equal(removed, 0);
    driver->close(store);
    remove_path();
  }
}

static atomic_int lines;
static void count_line(void *opaque, int level, const char *facility, const char *text)
{
  (void)opaque, (void)level, (void)facility;
  if (strstr(text, "superseded")) atomic_fetch_add(&lines, 1);
}

/* marks of what was given out are written before it is tidied: what comes after is not in them */
TEST(tidying_leaves_what_was_appended_after_its_position)
{
  static const csfle__log told = { count_line, NULL, 7 };
  listing            seen = { .len = 0 };
  registry_log      *l = NULL;
  fresh_path();
  registry_log_setup setup = { .path = path, .clock = &csfle__system_clock, .log = &told, .topics = { "_schemas", "keys", "_csfle" } };
  assert_ok(registry_log_open(&l, registry_log_driver_find("embedded"), &setup, err));
  assert_ok(registry_log_replay(l, NULL, NULL, err));
  assert_ok(registry_log_start(l, no_loss, NULL, err));
  append(l, REGISTRY_SCHEMAS, "a", "1");
  append(l, REGISTRY_SCHEMAS, "a", "2");
  append(l, REGISTRY_OWN, "ids", "1");
  uint64_t marks = registry_log_position(l);
  append(l, REGISTRY_SCHEMAS, "b", "1");
  append(l, REGISTRY_SCHEMAS, "b", NULL);
  append(l, REGISTRY_SCHEMAS, "c", "1");
  flush(l);
  registry_log_tidy(l, marks);
  while (!atomic_load(&lines)) nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
  registry_log_close(l);
  l = open_log("embedded");
  assert_ok(registry_log_replay(l, list, &seen, err));
  assert_string_equal(seen.text, "0/1/a=2 2/2/ids=1 0/3/b=1 0/4/b=null 0/5/c=1 ");
  registry_log_close(l);
  remove_path();
}

/* while records are appended; what nobody needs is gone without a restart, what is newest is not */
TEST(a_log_is_tidied_while_it_is_written)
{
  listing     seen = { .len = 0 };
  static char value[8], all[1 << 20];
  fresh_path();
  registry_log *l = open_log("embedded");
  assert_ok(registry_log_replay(l, NULL, NULL, err));
  assert_ok(registry_log_start(l, no_loss, NULL, err));
  append(l, REGISTRY_OWN, "trash", "OLDMATERIAL");
  append(l, REGISTRY_OWN, "trash", NULL);
  for (int i = 0; i < 200; i++) {
    snprintf(value, sizeof value, "%d", i);
    append(l, REGISTRY_KEYS, i % 2 ? "a" : "b", value);
    if (i % 20 == 0) registry_log_tidy(l, registry_log_position(l));
  }
  flush(l);
  assert_true(registry_log_healthy(l));
  registry_log_tidy(l, registry_log_position(l));
  append(l, REGISTRY_KEYS, "c", "1");
  registry_log_close(l); /* with or without the last turn */
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  size_t n = fread(all, 1, sizeof all, f);
  fclose(f);
  assert_true(n > 0 && n < sizeof all);
  assert_null(memmem(all, n, "OLDMATERIAL", 11)); /* overwritten, not only unlinked */
  l = open_log("embedded");
  size_t removed;
  assert_ok(registry_log_replay(l, NULL, NULL, err));
  assert_ok(registry_log_compact(l, NULL, 0, &removed, err));
  assert_ok(registry_log_replay(l, list, &seen, err));
  assert_string_equal(seen.text, "1/200/b=198 1/201/a=199 1/202/c=1 ");
  registry_log_close(l);
  remove_path();
}

TEST(a_second_process_cannot_open_the_store)
{
  csfle_error        err = CSFLE_ERROR_INIT;
  registry_log_setup setup = { .path = path, .clock = &csfle__system_clock, .log = &quiet, .topics = { "_schemas", "keys", "_csfle" } };
  registry_log      *l, *other = NULL;
  fresh_path();
  l = open_log("embedded");
  assert_int_equal(registry_log_open(&other, registry_log_driver_find("embedded"), &setup, &err), CSFLE_E_CONFIG);
  assert_non_null(strstr(err.msg, "does another process have it open"));
  registry_log_close(l);
  remove_path();
}

TEST(a_file_that_is_no_store_is_refused)
{
  csfle_error        err = CSFLE_ERROR_INIT;
  registry_log_setup setup = { .path = path, .clock = &csfle__system_clock, .log = &quiet, .topics = { "_schemas", "keys", "_csfle" } };
  registry_log      *l = NULL;
  fresh_path();
  FILE *f = fopen(path, "w");
  for (int i = 0; i < 500; i++) fputs("this is a letter, not a store\n", f);
  fclose(f);
  assert_int_equal(registry_log_open(&l, registry_log_driver_find("embedded"), &setup, &err), CSFLE_E_CONFIG);
  remove_path();
}

TEST(times_of_records_never_go_back)
{
  registry_record r = { .topic = REGISTRY_KEYS, .key = BYTES("k"), .value = BYTES("v") };
  int64_t         last = 0;
  registry_log   *l = open_log("memory");
  assert_ok(registry_log_replay(l, NULL, NULL, err));
  assert_ok(registry_log_start(l, no_loss, NULL, err));
  for (int i = 0; i < 100; i++) {
    assert_ok(registry_log_append(l, &r, 1, err));
    assert_true(r.ts >= last);
    assert_int_equal(r.offset, i);
    last = r.ts;
  }
  flush(l);
  registry_log_close(l);
}
