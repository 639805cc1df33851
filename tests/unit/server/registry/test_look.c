/* What an operator is told of keys, with a clock of the test's own. */
#include "server/registry/look.h"
#include "server/registry/trash.h"
#include "tests/unit/server/registry/rig.h"

static int64_t ahead; /* of the registry's wall clock; its log has the right one */
static int64_t wall_ms(void *opaque) { return csfle__system_clock.wall_ms(opaque) + ahead; }
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
    ahead = 400 * DAY;
    int n = registry_look(g, &f, list);
    ahead = 0;
    assert_int_equal(n, 1);
    assert_string_equal(list[0].code, "rotation-overdue");
    assert_non_null(strstr(list[0].text, "its rule says 1. Producers"));
    for (size_t pos = 0; pos < strlen(list[0].text);) assert_int_not_equal(csfle__utf8_next(csfle__str(list[0].text), &pos), -1);
    registry_close(g);
  }
}
