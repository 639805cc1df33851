/* A registry whose store fails in the middle: nothing it told is undone, nothing it could not keep is told. */
#include "tests/unit/server/log/crash_vfs.h"
#include "server/registry/look.h"
#include "tests/unit/server/registry/rig.h"

#include <stdatomic.h>
#include <time.h>

static registry     *g;
static registry_log *file;

static atomic_int known, kept;

static void told(void *waiter, bool ok)
{
  (void)waiter;
  atomic_store(&kept, ok);
  atomic_store(&known, 1);
}

/* whether what was looked at became durable */
static bool wait_for(uint64_t position)
{
  atomic_store(&known, 0);
  registry_wait w = registry_log_wait(file, position, told, NULL);
  if (w != REGISTRY_PENDING) return w == REGISTRY_DURABLE;
  while (!atomic_load(&known)) nanosleep(&(struct timespec){ 0, 100000 }, NULL);
  return atomic_load(&kept);
}

#define S(n) "{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"L" #n "\\\",\\\"fields\\\":[]}\"}"

TEST(state_goes_back_to_what_the_store_holds)
{
  registry_log_setup setup = { .path = "lost", .vfs = "crash", .clock = &csfle__system_clock, .log = &rig_quiet, .topics = { "_schemas", "_dek_registry_keys", "_csfle" } };
  registry_options   options = rig_options();

  rig_track = true;
  crash_vfs_register();
  crash_vfs_erase();
  assert_ok(registry_log_open(&file, registry_log_driver_find("embedded"), &setup, err));
  assert_ok(registry_open(&g, file, &options, &csfle__system_clock, &rig_quiet, NULL, err));
  assert_int_equal(rig_register(g, "s", S(1)), 1);
  assert_true(wait_for(rig_position));
  disk.fail_writes = 1;
  assert_int_equal(rig_register(g, "s", S(2)), 2); /* accepted, but not to be told yet */
  assert_false(wait_for(rig_position));
  /* the committer replays under the write lock: from here on the state is the store's */
  bool back = false;
  for (int i = 0; i < 2000 && !back; i++) {
    registry_begin(g, false);
    registry_subject *s = registry_state_subject(g->state, BYTES("s"));
    back = s && s->count == 1;
    registry_end(g);
    nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
  }
  assert_true(back);
  registry_figures f;
  registry_warning list[REGISTRY_WARNINGS_MAX];
  assert_int_equal(registry_look(g, &f, list), 1);
  assert_string_equal(list[0].code, "store");
  int id = -1;
  for (int i = 0; i < 1000 && id < 0; i++) {
    id = rig_register(g, "s", S(3));
    if (id < 0) assert_int_equal(id, -50001); /* while it is replaying */
    nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
  }
  assert_int_equal(id, 2); /* nobody was told of the other 2 */
  assert_true(wait_for(rig_position));
  assert_int_equal(registry_look(g, &f, list), 0);
  assert_true(f.ready);
  registry_close(g);
  crash_vfs_erase();
}

/* until it takes registrations again; the new id */
static int register_when_back(const char *subject, const char *body)
{
  int id = -1;
  for (int i = 0; i < 2000 && id < 0; i++) {
    id = rig_register(g, subject, body);
    if (id >= 0) break;
    assert_int_equal(id, -50001);
    nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
  }
  return id;
}

/* the marks of the highest ids come before what lets the records of those ids go */
TEST(nothing_is_tidied_when_the_marks_before_it_are_lost)
{
  registry_log_setup setup = { .path = "lost", .vfs = "crash", .clock = &csfle__system_clock, .log = &rig_quiet, .topics = { "_schemas", "_dek_registry_keys", "_csfle" } };
  registry_options   options = rig_options();
  registry_problem   p;
  int32_t            number;

  rig_track = true;
  crash_vfs_register();
  crash_vfs_erase();
  assert_ok(registry_log_open(&file, registry_log_driver_find("embedded"), &setup, err));
  assert_ok(registry_open(&g, file, &options, &csfle__system_clock, &rig_quiet, NULL, err));
  assert_int_equal(rig_register(g, "s", S(1)), 1);
  assert_int_equal(rig_register(g, "gone", S(2)), 2);
  registry_begin(g, true);
  assert_true(registry_delete_version(g, BYTES("gone"), 1, false, &number, &p));
  assert_true(registry_delete_version(g, BYTES("gone"), 1, true, &number, &p));
  assert_true(wait_for(registry_end(g)));
  disk.fail_writes = 1;
  registry_tidy(g);
  for (int i = 0; i < 5000 && !registry_log_failing(file); i++) nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
  while (!registry_log_healthy(file)) nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
  nanosleep(&(struct timespec){ 0, 50000000 }, NULL); /* time to tidy in */
  registry_close(g);
  assert_ok(registry_log_open(&file, registry_log_driver_find("embedded"), &setup, err));
  assert_ok(registry_open(&g, file, &options, &csfle__system_clock, &rig_quiet, NULL, err));
  assert_int_equal(register_when_back("other", S(3)), 3);
  registry_close(g);
  crash_vfs_erase();
}
