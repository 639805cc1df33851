/* What an operator is told of keys, with a clock of the test's own. */
#include "server/registry/look.h"
#include "server/registry/trash.h"
#include "tests/unit/server/registry/rig.h"

#include <stdatomic.h>
#include <time.h>

static _Atomic int64_t ahead; /* of the registry's wall clock; its log has the right one */
static int64_t wall_ms(void *opaque) { return csfle__system_clock.wall_ms(opaque) + atomic_load(&ahead); }
static int64_t monotonic_ms(void *opaque) { return csfle__system_clock.monotonic_ms(opaque); }
static const csfle__clock shifted = { wall_ms, monotonic_ms, NULL };

static registry *open_shifted(registry_log **log)
{
  registry_log_setup setup = { .clock = &csfle__system_clock, .log = &rig_quiet, .topics = { "_schemas", "_dek_registry_keys", "_csfle" } };
  registry_options   options = rig_options();
  registry          *g = NULL;
  assert_ok(registry_log_open(log, registry_log_driver_find("memory"), &setup, err));
  assert_ok(registry_open(&g, *log, &options, &shifted, &rig_quiet, NULL, err));
  return g;
}

#define DAY 86400000LL

TEST(a_warning_never_has_half_a_character)
{
  static const char rule[] = "{\"schema\":\"\\\"string\\\"\",\"ruleSet\":{\"domainRules\":[{\"name\":\"r\",\"kind\":\"TRANSFORM\",\"type\":\"ENCRYPT\",\"mode\":\"WRITEREAD\","
                             "\"params\":{\"encrypt.kek.name\":\"k\",\"encrypt.dek.expiry.days\":\"1\"}}]}}";
  char             subject[400] = "";
  registry_log    *log;
  registry_figures f;
  registry_warning list[REGISTRY_WARNINGS_MAX];

  for (size_t shift = 0; shift < 4; shift++) { /* characters of four bytes, wherever they are cut */
    registry *g = open_shifted(&log);
    memset(subject, 'a', shift);
    for (size_t i = 0; i < 60; i++) memcpy(subject + shift + 4 * i, "\xf0\x9f\x94\x91", 5);
    assert_true(rig_kek(g, "k", false));
    assert_true(rig_dek(g, "k", subject, 1));
    assert_true(rig_register(g, subject, rule) > 0);
    atomic_store(&ahead, 400 * DAY);
    int n = registry_look(g, &f, list);
    atomic_store(&ahead, 0);
    assert_int_equal(n, 1);
    assert_string_equal(list[0].code, "rotation-overdue");
    assert_non_null(strstr(list[0].text, "its rule says 1. Producers"));
    for (size_t pos = 0; pos < strlen(list[0].text);) assert_int_not_equal(csfle__utf8_next(csfle__str(list[0].text), &pos), -1);
    registry_close(g);
  }
}

TEST(a_time_past_all_bounds_in_the_trash_is_brought_into_them)
{
  static const struct { const char *since, *expires; } cases[] = { { "9223372036854775807", "\"expires\":4611686019032187903" }, { "-9223372036854775808", NULL }, { "\"x\"", NULL } };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    registry_log   *log;
    registry       *g = open_shifted(&log);
    char            value[200];
    csfle_buf       out;
    registry_record r = { .topic = REGISTRY_OWN, .key = BYTES("{\"kind\":\"trash\",\"id\":\"1\"}") };
    snprintf(value, sizeof value, "{\"why\":\"deleted\",\"since\":%s,\"key\":\"{}\",\"value\":\"{}\"}", cases[i].since);
    r.value = csfle__str(value);
    registry_state_apply(g->state, &r);
    csfle_buf_init(&out, 0, 0);
    registry_put_trash_list(g, &out, 0, 10);
    if (cases[i].expires ? !strstr(csfle__buf_cstr(&out), cases[i].expires) : strcmp(csfle__buf_cstr(&out), "[]") != 0) fail_msg("%s: %s", cases[i].since, csfle__buf_cstr(&out));
    assert_int_equal(registry_trash_expire(g), cases[i].expires ? 0 : 1);
    csfle_buf_free(&out);
    registry_close(g);
  }
}

static size_t in_trash(registry *g)
{
  registry_begin(g, false);
  size_t n = g->state->trash.count;
  registry_end(g);
  return n;
}

static void scrap(registry *g)
{
  registry_problem p;
  assert_true(rig_kek(g, "k", false));
  registry_begin(g, true);
  assert_true(registry_kek_delete(g, BYTES("k"), false, &p));
  assert_true(registry_kek_delete(g, BYTES("k"), true, &p));
  registry_end(g);
  assert_int_equal(in_trash(g), 1);
}

static void nap_ms(long ms) { nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL); }

/* AB-12: a clock that is set wrong for a while must not take what is in the trash with it */
TEST(AB_12_a_clock_that_jumps_empties_no_trash)
{
  registry_log    *log;
  registry        *g = open_shifted(&log);
  scrap(g);
  registry_keeper *k = registry_keeper_start(g, 10, 3600000);
  assert_non_null(k);
  nap_ms(100);
  atomic_store(&ahead, 400 * DAY);
  nap_ms(200);
  assert_int_equal(in_trash(g), 1);
  atomic_store(&ahead, 0);
  nap_ms(100);
  registry_keeper_stop(k);
  assert_int_equal(in_trash(g), 1);

  atomic_store(&ahead, 400 * DAY); /* nobody saw it jump: it is that late */
  k = registry_keeper_start(g, 10, 3600000);
  for (int i = 0; i < 500 && in_trash(g); i++) nap_ms(10);
  registry_keeper_stop(k);
  atomic_store(&ahead, 0);
  assert_int_equal(in_trash(g), 0);
  registry_close(g);
}
