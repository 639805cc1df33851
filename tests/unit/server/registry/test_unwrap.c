/* Shared DEKs: one call for all who wait, a bound on them, and no key to who may not have it. The thread for the KMS is the
   test's: calls are made when it says so. */
#include "server/registry/unwrap.h"
#include "tests/unit/server/registry/rig.h"

static registry *g;
static struct { void (*fn)(void *arg); void *arg; } calls[16];
static size_t call_count, room;
static int    parked, woken;

static bool later(void *opaque, void (*fn)(void *arg), void *arg)
{
  (void)opaque;
  if (call_count >= room) return false;
  calls[call_count].fn = fn, calls[call_count++].arg = arg;
  return true;
}

static void make_calls(void)
{
  size_t n = call_count;
  call_count = 0;
  for (size_t i = 0; i < n; i++) calls[i].fn(calls[i].arg);
}

static void park(void *waiter) { (void)waiter, parked++; }

typedef struct reader {
  void *waited;
  bool  confidential, ok, finished;
  int   status;
  char  body[600];
} reader;

static void wake(void *waiter);

static const char *asked_kek = "sh";

static void ask(reader *q, const char *subject)
{
  registry_dek_request r = { .kek = csfle__str(asked_kek), .subject = csfle__str(subject), .algorithm = CSFLE__AES256_GCM, .version = 1 };
  registry_caller      who = { .confidential = q->confidential, .waiter = q, .park = park, .wake = wake, .waited = &q->waited };
  registry_problem     p = { 0 };
  uint64_t             position;
  csfle_buf            out;
  csfle_buf_init(&out, 0, CSFLE_BUF_WIPE);
  q->ok = registry_dek_read(g, &r, &who, &out, &position, &p);
  q->finished = q->ok || p.status != REGISTRY_WAITS;
  q->status = p.status;
  snprintf(q->body, sizeof q->body, "%.*s", q->ok ? (int)out.len : (int)strlen(p.text), q->ok ? (const char *)out.ptr : p.text);
  csfle_buf_free(&out);
}

static void wake(void *waiter)
{
  woken++;
  ask((reader *)waiter, "s0");
}

static size_t of_one; /* calls for one KEK */

static void begin(int64_t keep_ms, size_t waiting_max, int64_t wait_ms)
{
  registry_log_setup setup = { .clock = &csfle__system_clock, .log = &rig_quiet, .topics = { "_schemas", "_dek_registry_keys", "_csfle" } };
  registry_options   options = rig_options();
  registry_log      *log = NULL;
  options.blocking = (registry_executor){ later, NULL };
  options.unwrapped_keep_ms = keep_ms, options.unwrapping_max = waiting_max, options.unwrapping_wait_ms = wait_ms, options.unwrapping_of_one = of_one;
  call_count = 0, room = 16, parked = woken = 0;
  assert_ok(registry_log_open(&log, registry_log_driver_find("memory"), &setup, err));
  assert_ok(registry_open(&g, log, &options, &csfle__system_clock, &rig_quiet, NULL, err));
  csfle__pair          props[] = { { BYTES("secret"), BYTES("mysecret") } };
  registry_kek_request k = { .name = BYTES("sh"), .kms_type = BYTES("local-kms"), .kms_key_id = BYTES("k"), .props = { props, 1 }, .has_props = true, .shared = true };
  registry_caller      who = { .may_block = true, .confidential = true };
  registry_problem     p;
  registry_begin(g, true);
  assert_true(registry_kek_create(g, &k, &p));
  registry_end(g);
  for (int i = 0; i < 3; i++) {
    char                 subject[8];
    registry_dek_request d = { .kek = BYTES("sh"), .algorithm = CSFLE__AES256_GCM, .version = 1 };
    uint64_t             position;
    csfle_buf            out;
    snprintf(subject, sizeof subject, "s%d", i);
    d.subject = csfle__str(subject);
    csfle_buf_init(&out, 0, CSFLE_BUF_WIPE);
    assert_true(registry_dek_create(g, &d, &who, &out, &position, &p));
    csfle_buf_free(&out);
  }
  atomic_store(&g->counters.kms_calls, 0);
}

static uint64_t kms_calls(void) { return atomic_load(&g->counters.kms_calls); }

TEST(all_who_wait_for_one_key_are_one_call)
{
  reader readers[100] = { 0 };
  begin(0, 1000, 60000);
  for (size_t i = 0; i < 100; i++) {
    readers[i].confidential = true;
    ask(&readers[i], "s0");
    assert_false(readers[i].finished);
  }
  assert_int_equal(call_count, 1);
  assert_int_equal(parked, 100);
  make_calls();
  assert_int_equal(woken, 100);
  assert_int_equal(kms_calls(), 1);
  for (size_t i = 0; i < 100; i++) {
    assert_true(readers[i].ok && !readers[i].waited);
    assert_non_null(strstr(readers[i].body, "\"keyMaterial\":\""));
    assert_string_equal(readers[i].body, readers[0].body);
  }
  reader again = { .confidential = true }; /* nothing is kept */
  ask(&again, "s0");
  assert_false(again.finished);
  make_calls();
  assert_true(again.ok);
  assert_int_equal(kms_calls(), 2);
  registry_close(g);
}

TEST(what_is_kept_answers_at_once)
{
  reader first = { .confidential = true }, second = { .confidential = true };
  begin(60000, 1000, 60000);
  ask(&first, "s0");
  make_calls();
  ask(&second, "s0");
  assert_true(first.ok && second.ok && woken == 1);
  assert_int_equal(kms_calls(), 1);
  assert_int_equal(registry_unwraps_look(g->unwraps).kept, 1);
  registry_unwraps_forget_all(g->unwraps);
  assert_int_equal(registry_unwraps_look(g->unwraps).kept, 0);
  registry_close(g);
}

/* AB-7 */
TEST(who_may_not_have_a_key_costs_no_call)
{
  reader q = { .confidential = false };
  begin(60000, 1000, 60000);
  ask(&q, "s0");
  assert_true(q.finished && !q.ok && q.status == 403);
  assert_non_null(strstr(q.body, "csfle.key.material.over=plain"));
  assert_int_equal(call_count, 0);
  assert_int_equal(parked, 0);
  registry_close(g);
}

/* AB-14 */
TEST(those_who_wait_and_those_calls_are_bounded)
{
  reader readers[4] = { 0 };
  begin(0, 3, 60000);
  room = 2;
  for (size_t i = 0; i < 4; i++) readers[i].confidential = true;
  ask(&readers[0], "s0");
  ask(&readers[1], "s1");
  ask(&readers[2], "s2"); /* no room for its call */
  assert_true(readers[2].finished && readers[2].status == 503 && !readers[2].waited);
  ask(&readers[2], "s0");
  ask(&readers[3], "s0"); /* three wait */
  assert_true(readers[3].finished && readers[3].status == 503);
  assert_int_equal(registry_unwraps_look(g->unwraps).waiting, 3);
  make_calls();
  assert_true(readers[0].ok && readers[2].ok);
  make_calls(); /* s1's reader asks for s0 when it is woken */
  assert_int_equal(registry_unwraps_look(g->unwraps).waiting, 0);
  registry_close(g);
}

TEST(a_call_that_waited_too_long_is_not_made)
{
  reader q = { .confidential = true };
  begin(0, 3, 0);
  ask(&q, "s0");
  int64_t from = csfle__system_clock.monotonic_ms(csfle__system_clock.opaque);
  while (csfle__system_clock.monotonic_ms(csfle__system_clock.opaque) <= from + 1) {}
  make_calls();
  assert_true(q.finished && !q.ok && q.status == 503);
  assert_int_equal(kms_calls(), 0);
  registry_close(g);
}

TEST(a_key_that_goes_while_one_waits_for_it_is_not_told)
{
  reader               q = { .confidential = true };
  registry_dek_request d = { .kek = BYTES("sh"), .subject = BYTES("s0"), .algorithm = CSFLE__AES256_GCM, .version = 1 };
  registry_problem     p;
  begin(60000, 3, 60000);
  ask(&q, "s0");
  registry_begin(g, true);
  assert_true(registry_dek_delete(g, &d, false, &p));
  registry_end(g);
  make_calls();
  assert_true(q.finished && !q.ok && q.status == 404 && !q.waited);
  registry_close(g);
}

TEST(the_end_answers_those_who_wait)
{
  reader before = { .confidential = true }, q = { .confidential = true }, after = { .confidential = true };
  begin(60000, 3, 60000);
  ask(&before, "s0");
  registry_unwraps_forget_all(g->unwraps); /* a call that nobody can join any more */
  ask(&q, "s0");
  assert_int_equal(call_count, 2);
  registry_unwraps_end(g->unwraps);
  assert_true(before.finished && q.finished && before.status == 503 && q.status == 503 && woken == 2);
  ask(&after, "s1");
  assert_true(after.finished && after.status == 503);
  assert_int_equal(call_count, 2);
  make_calls(); /* the KMS answers late: nobody is told, nothing is kept */
  assert_int_equal(woken, 2);
  assert_int_equal(registry_unwraps_look(g->unwraps).kept, 0);
  registry_close(g);
}

TEST(a_wrapped_key_that_is_none_is_not_sent_to_the_kms)
{
  static char          big[100001];
  reader               q = { .confidential = true };
  registry_kek_request k = { .name = BYTES("sh"), .has_shared = true, .shared = false };
  registry_dek_request d = { .kek = BYTES("sh"), .subject = BYTES("s0"), .algorithm = CSFLE__AES256_GCM, .version = 1, .rewrap = true };
  registry_caller      who = { .may_block = true, .confidential = true };
  registry_problem     p;
  uint64_t             position;
  csfle_buf            out;
  begin(0, 3, 60000);
  memset(big, 'A', sizeof big - 1);
  csfle_buf_init(&out, 0, 0);
  registry_begin(g, true);
  assert_true(registry_kek_update(g, &k, &p));
  registry_end(g);
  d.material = csfle__str(big);
  assert_true(registry_dek_create(g, &d, &who, &out, &position, &p));
  k.shared = true;
  registry_begin(g, true);
  assert_true(registry_kek_update(g, &k, &p));
  registry_end(g);
  ask(&q, "s0");
  assert_true(q.finished && q.status == 500);
  assert_non_null(strstr(q.body, "longer than any KMS makes one"));
  assert_int_equal(call_count, 0);
  csfle_buf_free(&out);
  registry_close(g);
}

/* what "keyMaterial" is in an answer */
static const char *material_in(const reader *q)
{
  const char *at = strstr(q->body, "\"keyMaterial\":\"");
  if (!at) fail_msg("%s", q->body);
  return at + 15;
}

/* A commit failed while one waits: offsets are given out again, and the key that is there now may have the one it had. */
TEST(an_offset_that_is_given_out_again_is_another_key)
{
  reader q = { .confidential = true }, other = { .confidential = true };
  begin(0, 3, 60000);
  ask(&q, "s0");
  csfle__dek *d = registry_kek_dek(registry_state_kek(g->state, BYTES("sh")), BYTES("s0"), CSFLE__AES256_GCM, 1);
  registry_unwraps_forget_all(g->unwraps);
  d->encrypted_key_material = registry_kek_dek(registry_state_kek(g->state, BYTES("sh")), BYTES("s1"), CSFLE__AES256_GCM, 1)->encrypted_key_material;
  make_calls();
  assert_false(q.finished);
  make_calls();
  assert_true(q.ok);
  ask(&other, "s1");
  make_calls(); /* it asks for s0 when it is woken: the same material now */
  make_calls();
  assert_true(other.ok);
  assert_memory_equal(material_in(&q), material_in(&other), 44);
  registry_close(g);
}

/* AB-14: a KMS that does not answer holds the threads of its own KEKs' share, not all */
TEST(calls_for_one_kek_wait_for_each_other)
{
  reader               first = { .confidential = true }, second = { .confidential = true }, third = { .confidential = true }, other = { .confidential = true };
  csfle__pair          props[] = { { BYTES("secret"), BYTES("mysecret") } };
  registry_kek_request k = { .name = BYTES("sh2"), .kms_type = BYTES("local-kms"), .kms_key_id = BYTES("k"), .props = { props, 1 }, .has_props = true, .shared = true };
  registry_dek_request d = { .kek = BYTES("sh2"), .subject = BYTES("s0"), .algorithm = CSFLE__AES256_GCM, .version = 1 };
  registry_caller      who = { .may_block = true, .confidential = true };
  registry_problem     p;
  uint64_t             position;
  csfle_buf            out;

  of_one = 1;
  begin(60000, 10, 60000);
  of_one = 0;
  csfle_buf_init(&out, 0, CSFLE_BUF_WIPE);
  registry_begin(g, true);
  assert_true(registry_kek_create(g, &k, &p));
  registry_end(g);
  assert_true(registry_dek_create(g, &d, &who, &out, &position, &p));
  csfle_buf_free(&out);
  atomic_store(&g->counters.kms_calls, 0);
  ask(&first, "s1");
  ask(&second, "s2");
  ask(&third, "s0");
  assert_int_equal(call_count, 1);
  asked_kek = "sh2";
  ask(&other, "s0");
  asked_kek = "sh";
  assert_int_equal(call_count, 2); /* another KEK's is not behind them */
  assert_int_equal(parked, 4);
  calls[1].fn(calls[1].arg); /* its reader asks for s0 of sh when it is woken, and joins the third */
  calls[0].fn(calls[0].arg); /* s2's call takes its place, at the end */
  assert_int_equal(call_count, 3);
  for (size_t i = 2; i < call_count; i++) calls[i].fn(calls[i].arg);
  assert_true(third.ok && other.ok);
  assert_true(first.ok && second.ok);
  assert_int_equal(registry_unwraps_look(g->unwraps).waiting, 0);
  registry_close(g);
}

TEST(the_end_answers_those_whose_call_waits_for_another)
{
  reader first = { .confidential = true }, second = { .confidential = true };
  of_one = 1;
  begin(0, 10, 60000);
  of_one = 0;
  ask(&first, "s0");
  ask(&second, "s1");
  assert_int_equal(call_count, 1);
  registry_unwraps_end(g->unwraps);
  assert_true(first.finished && first.status == 503 && second.finished && second.status == 503);
  make_calls();
  make_calls(); /* neither is made any more, and both are forgotten */
  assert_int_equal(kms_calls(), 0);
  registry_close(g);
}
