/* Proves csfle_config_add_kms: a KMS of the application's own, answering at once, later, from another thread, never, or wrongly. */
#include "tests/unit/client/rig.h"

#include "client/deks/deks.h"

#include <pthread.h>
#include <unistd.h>

#define TOY_RULES(more) "{\"domainRules\":[{\"name\":\"r\",\"type\":\"ENCRYPT\",\"tags\":[\"PII\"],\"params\":{\"encrypt.kek.name\":\"kek1\"," \
                        "\"encrypt.kms.type\":\"toy-kms\",\"encrypt.kms.key.id\":\"slot-1\"" more "}}]}"

/* ---- the plug-in: XOR, and whatever misbehaviour a test wants */

enum { INLINE, THREAD, NEVER, FAILS, EMPTY, HUGE, UNKNOWN, BLOCKS };
typedef struct toy {
  _Atomic(int)        mode, opened, closed, calls, ended;
  csfle_status        fail_with;
  char                key_id[64], pin[64];
  _Atomic(int64_t)   *clock;  /* moved on when a call is not answered */
  csfle_kms_call     *held;   /* the call that was not answered */
  uint8_t             held_in[64];
  size_t              held_len;
  const void         *held_ptr;
  pthread_t           thread[64];
  _Atomic(int)        threads;
} toy;
static toy the;

typedef struct job { csfle_kms_call *call; const uint8_t *in; size_t len; } job;

static void answer(csfle_kms_call *call, const uint8_t *in, size_t len)
{
  uint8_t out[256];
  for (size_t i = 0; i < len; i++) out[i] = in[i] ^ 0x5a;
  the.ended++;
  csfle_kms_done(call, CSFLE_OK, out, len, NULL);
  csfle__wipe(out, sizeof out);
}

static void *later(void *arg)
{
  job *j = arg;
  usleep(2000);
  answer(j->call, j->in, j->len); /* what came in is still there */
  free(j);
  return NULL;
}

/* A thread that has answered may still be inside csfle_kms_done, and be the one that closes. */
static void join_all(void)
{
  for (int i = 0; i < the.threads; i++) pthread_join(the.thread[i], NULL);
  the.threads = 0;
}

static void toy_run(void *kms, csfle_kms_call *call, const void *in, size_t len)
{
  static uint8_t huge[65537];
  assert_ptr_equal(kms, &the);
  the.calls++;
  switch ((int)the.mode) {
  case INLINE: answer(call, in, len); break;
  case THREAD: {
    job *j = malloc(sizeof *j);
    *j = (job){ call, in, len };
    assert_int_equal(pthread_create(&the.thread[the.threads++], NULL, later, j), 0);
    break;
  }
  case NEVER:
    the.held = call, the.held_ptr = in, the.held_len = len;
    memcpy(the.held_in, in, len < sizeof the.held_in ? len : sizeof the.held_in);
    *the.clock += 60000;
    break;
  case FAILS: csfle_kms_done(call, the.fail_with, NULL, 0, "the token\nhas been pulled out"); break;
  case EMPTY: csfle_kms_done(call, CSFLE_OK, in, 0, NULL); break;
  case HUGE: csfle_kms_done(call, CSFLE_OK, huge, sizeof huge, NULL); break;
  case UNKNOWN: csfle_kms_done(call, 4711, NULL, 0, NULL); break;
  default: csfle_kms_done(call, CSFLE_E_WOULD_BLOCK, NULL, 0, NULL); break;
  }
}

static void *toy_open(const char *key_id, const char *(*prop)(void *, const char *), void *ctx, csfle_error *err)
{
  const char *pin = prop(ctx, "toy.pin");
  assert_null(prop(ctx, "toy.unset"));
  assert_null(prop(ctx, NULL));
  if (!pin || strcmp(pin, "1234") != 0) {
    if (pin) {
      err->code = CSFLE_E_UNAUTHENTICATED;
      snprintf(err->msg, sizeof err->msg, "the PIN is refused");
    }
    return NULL;
  }
  the.opened++;
  snprintf(the.key_id, sizeof the.key_id, "%s", key_id);
  snprintf(the.pin, sizeof the.pin, "%s", pin);
  return &the;
}

static void toy_close(void *kms)
{
  assert_ptr_equal(kms, &the);
  the.closed++;
}

static csfle_kms toy_kms(const char *type) { return (csfle_kms){ sizeof(csfle_kms), type, toy_open, toy_run, toy_run, toy_close }; }

static void toy_rig(rig *r, int mode, const char *more)
{
  csfle_error   err = CSFLE_ERROR_INIT;
  csfle_config *c = csfle_config_new(RIG_PROPS);
  csfle_kms     k = toy_kms("toy-kms");
  memset(&the, 0, sizeof the);
  csfle_fake_init(&r->fake);
  the.mode = mode;
  the.clock = &r->fake.mono_ms;
  csfle_fake_add_schema(&r->fake, "orders-value", 12, 7, CUSTOMER, NULL, TOY_RULES(""));
  csfle__config_set_clock(c, &r->fake.clock);
  csfle_config_on_log(c, 7, rig_log, NULL);
  assert_int_equal(csfle_config_set(c, "rule.executors._default_.param.toy.pin", "1234", &err), CSFLE_OK);
  for (const char *at = more; at && *at;) { /* "name=value" */
    char name[128];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(at, "="), at);
    at += strcspn(at, "=") + 1;
    assert_int_equal(csfle_config_set(c, name, at, &err), CSFLE_OK);
    at += strlen(at);
  }
  assert_int_equal(csfle_config_add_transport(c, &r->fake.transport, &err), CSFLE_OK);
  err.code = CSFLE_E_MISUSE;
  if (csfle_config_add_kms(c, &k, &err) != CSFLE_OK || err.code) fail_msg("%s", err.msg);
  k = toy_kms("gone"); /* the struct is copied */
  r->client = csfle_client_open(c, &err);
  if (!r->client) fail_msg("%s", err.msg);
  csfle_config_free(c);
  r->serde = rig_serde(r->client, "orders", CUSTOMER, NULL);
}

static csfle_status send_one(rig *r, csfle_buf *out, csfle_error *e)
{
  return csfle_serialize(r->serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, out, NULL, e);
}

TEST(a_plug_in_wraps_and_unwraps_the_data_key_at_once_or_from_another_thread)
{
  for (int mode = INLINE; mode <= THREAD; mode++) {
    rig         r;
    csfle_error e = CSFLE_ERROR_INIT;
    csfle_buf   out, back;
    csfle_buf_init(&out, 0, 0), csfle_buf_init(&back, 0, CSFLE_BUF_WIPE);
    toy_rig(&r, mode, NULL);
    if (csfle_serde_prepare(r.serde, NULL, NULL, &e) != CSFLE_OK) fail_msg("%s %s", e.where, e.msg);
    assert_int_equal(the.calls, 2); /* wrap, and unwrap of what the registry keeps */
    assert_int_equal(the.opened, 1);
    assert_string_equal(the.key_id, "slot-1");
    if (send_one(&r, &out, &e) != CSFLE_OK) fail_msg("%s %s", e.where, e.msg);
    assert_int_equal(csfle_deserialize(r.serde, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, NULL, &e), CSFLE_OK);
    assert_bytes_equal(csfle__buf_view(&back), BYTES(CUSTOMER_VALUE));
    assert_int_equal(the.opened, 1); /* kept open */
    assert_int_equal(the.closed, 0);
    csfle_client_forget_keys(r.client, NULL);
    join_all();
    assert_int_equal(the.closed, 1);
    assert_int_equal(send_one(&r, &out, &e), CSFLE_OK);
    assert_int_equal(the.opened, 2);
    csfle_buf_free(&out), csfle_buf_free(&back);
    rig_close(&r);
    join_all();
    assert_int_equal(the.closed, 2);
    assert_int_equal(the.calls, the.ended);
  }
}

static void said(void *opaque, const char *text)
{
  (void)text;
  ++*(int *)opaque;
}

TEST(tools_that_make_and_rewrap_keys_use_the_plug_in_too)
{
  rig         r;
  csfle_error e = CSFLE_ERROR_INIT;
  int         lines = 0;
  toy_rig(&r, THREAD, NULL);
  if (csfle__deks_register(r.client, BYTES("orders-value"), -1, said, &lines, &e) != CSFLE_OK) fail_msg("%s %s", e.where, e.msg);
  assert_int_equal(lines, 1);
  assert_int_equal(the.calls, 2);
  assert_int_equal(the.opened, 1);
  for (int i = 0; i < the.threads; i++) pthread_join(the.thread[i], NULL);
  rig_close(&r);
  assert_int_equal(the.closed, 1);
}

TEST(what_a_plug_in_does_wrong_is_an_error_that_names_it)
{
  static const struct {
    int          mode;
    csfle_status with, st;
    const char  *says;
  } cases[] = {
    { FAILS, CSFLE_E_UNAVAILABLE, CSFLE_E_UNAVAILABLE, "toy-kms key 'slot-1': wrap: the token" },
    { FAILS, CSFLE_E_FORBIDDEN, CSFLE_E_FORBIDDEN, "toy-kms key 'slot-1': wrap: the token" },
    { FAILS, CSFLE_E_KEY_GONE, CSFLE_E_KEY_GONE, "the token" },
    { EMPTY, 0, CSFLE_E_DECRYPT, "its answer is empty" },
    { HUGE, 0, CSFLE_E_DECRYPT, "its answer is longer than 64 KiB" },
    { UNKNOWN, 0, CSFLE_E_INTERNAL, "failed without saying why" },
    { BLOCKS, 0, CSFLE_E_UNAVAILABLE, "failed without saying why" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rig         r;
    csfle_error e = CSFLE_ERROR_INIT;
    csfle_buf   out;
    csfle_buf_init(&out, 0, 0);
    toy_rig(&r, cases[i].mode, NULL);
    the.fail_with = cases[i].with;
    assert_int_equal(send_one(&r, &out, &e), cases[i].st);
    assert_int_equal(out.len, 0);
    if (!strstr(e.msg, cases[i].says)) fail_msg("%s", e.msg);
    assert_null(strpbrk(e.msg, "\n"));
    assert_null(strstr(e.msg, "pulled")); /* its first line alone */
    assert_int_equal(the.closed, cases[i].with == CSFLE_E_FORBIDDEN); /* refused: opened anew next time */
    the.mode = INLINE;
    assert_int_equal(send_one(&r, &out, &e), CSFLE_OK);
    assert_int_equal(the.opened, 1 + (cases[i].with == CSFLE_E_FORBIDDEN));
    csfle_buf_free(&out);
    rig_close(&r);
    assert_int_equal(the.opened, the.closed);
  }
}

TEST(a_key_that_a_plug_in_cannot_open_is_an_error_and_is_never_closed)
{
  static const struct { const char *pin; csfle_status st; const char *says; } cases[] = {
    { "rule.executors._default_.param.toy.pin=0000", CSFLE_E_UNAUTHENTICATED, "toy-kms key 'slot-1': open: the PIN is refused" },
    { "csfle.allow.kms.keys=aws-kms://*", CSFLE_E_POLICY, "csfle.allow.kms.keys" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rig         r;
    csfle_error e = CSFLE_ERROR_INIT;
    csfle_buf   out;
    csfle_buf_init(&out, 0, 0);
    toy_rig(&r, INLINE, cases[i].pin);
    assert_int_equal(send_one(&r, &out, &e), cases[i].st);
    if (!strstr(e.msg, cases[i].says)) fail_msg("%s", e.msg);
    csfle_buf_free(&out);
    rig_close(&r);
    assert_int_equal(the.opened + the.closed + the.calls, 0);
  }
}

TEST(a_plug_in_that_never_answers_costs_a_timeout_and_its_late_answer_is_harmless)
{
  rig         r;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf   out;
  csfle_buf_init(&out, 0, 0);
  toy_rig(&r, NEVER, "csfle.kms.timeout.ms=50");
  assert_int_equal(send_one(&r, &out, &e), CSFLE_E_TIMEOUT);
  assert_non_null(strstr(e.msg, "toy-kms key 'slot-1': wrap: no answer in time"));
  assert_int_equal(CSFLE_CLASS(e.code), CSFLE_CLASS_WAIT);
  csfle_kms_call *first = the.held;
  the.mode = INLINE; /* the next call does not suffer from it */
  assert_int_equal(send_one(&r, &out, &e), CSFLE_OK);
  csfle_buf_free(&out);
  rig_close(&r);
  /* the client is gone; the call is not, nor the key it is on, and what it was given is untouched */
  assert_int_equal(the.opened, 1);
  assert_int_equal(the.closed, 0);
  assert_memory_equal(the.held_ptr, the.held_in, the.held_len < sizeof the.held_in ? the.held_len : sizeof the.held_in);
  job      *j = malloc(sizeof *j);
  pthread_t t;
  *j = (job){ first, the.held_ptr, the.held_len };
  assert_int_equal(pthread_create(&t, NULL, later, j), 0);
  pthread_join(t, NULL);
  assert_int_equal(the.closed, 1);
}

#define USERS 8
static rig               shared;
static pthread_barrier_t together;
static _Atomic(int)      failures;
static void *user(void *arg)
{
  csfle_buf   out, back;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf_init(&out, 0, 0), csfle_buf_init(&back, 0, CSFLE_BUF_WIPE);
  pthread_barrier_wait(&together);
  for (int i = 0; i < 6; i++) {
    if (send_one(&shared, &out, &e) != CSFLE_OK ||
        csfle_deserialize(shared.serde, CSFLE_NATIVE, out.ptr, out.len, NULL, &back, NULL, &e) != CSFLE_OK)
      failures++;
    if (arg) csfle_client_forget_keys(shared.client, NULL); /* while others hold the open key */
  }
  csfle_buf_free(&out), csfle_buf_free(&back);
  return NULL;
}
TEST(threads_share_an_open_key_that_is_forgotten_under_them)
{
  pthread_t t[USERS];
  toy_rig(&shared, INLINE, NULL);
  failures = 0;
  pthread_barrier_init(&together, NULL, USERS);
  for (size_t i = 0; i < USERS; i++) assert_int_equal(pthread_create(&t[i], NULL, user, i == 0 ? &shared : NULL), 0);
  for (size_t i = 0; i < USERS; i++) pthread_join(t[i], NULL);
  pthread_barrier_destroy(&together);
  assert_int_equal(failures, 0);
  rig_close(&shared);
  assert_true(the.opened > 1);
  assert_int_equal(the.opened, the.closed);
}

TEST(a_type_that_has_a_driver_is_not_taken_over)
{
  csfle_config *c = csfle_config_new(NULL);
  csfle_error   e = CSFLE_ERROR_INIT;
  csfle_kms     k = toy_kms("toy-kms"), bad;
  static const char *const own[] = { "aws-kms", "azure-kms", "gcp-kms", "hcvault", "alicloud-kms", "local-kms", "AWS-KMS" };
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
    bad = toy_kms(own[i]);
    assert_int_equal(csfle_config_add_kms(c, &bad, &e), CSFLE_E_MISUSE);
    assert_non_null(strstr(e.msg, "is the library's own"));
  }
  assert_int_equal(csfle_config_add_kms(c, &k, &e), CSFLE_OK);
  bad = toy_kms("TOY-kms");
  assert_int_equal(csfle_config_add_kms(c, &bad, &e), CSFLE_E_MISUSE);
  assert_non_null(strstr(e.msg, "has a plug-in already"));
  csfle_config_free(c);
}

TEST(a_struct_of_another_size_or_with_parts_missing_is_looked_at_as_far_as_it_goes)
{
  csfle_config *c = csfle_config_new(NULL);
  csfle_error   e = CSFLE_ERROR_INIT;
  struct { csfle_kms k; void *newer; } larger = { toy_kms("larger-kms"), &larger };
  for (int i = 0; i < 7; i++) {
    csfle_kms k = toy_kms("toy-kms");
    if (i == 0) k.size--;
    if (i == 1) k.type = NULL;
    if (i == 2) k.type = "";
    if (i == 3) k.open = NULL;
    if (i == 4) k.wrap = NULL;
    if (i == 5) k.unwrap = NULL;
    if (i == 6) k.close = NULL;
    assert_int_equal(csfle_config_add_kms(c, &k, &e), CSFLE_E_MISUSE);
  }
  char long_type[80];
  memset(long_type, 'x', sizeof long_type - 1), long_type[sizeof long_type - 1] = 0;
  csfle_kms long_one = toy_kms(long_type);
  assert_int_equal(csfle_config_add_kms(c, &long_one, &e), CSFLE_E_MISUSE);
  assert_int_equal(csfle_config_add_kms(c, NULL, &e), CSFLE_E_MISUSE);
  e.code = CSFLE_OK;
  assert_int_equal(csfle_config_add_kms(NULL, &larger.k, &e), CSFLE_E_MISUSE);
  assert_int_equal(e.code, CSFLE_OK);
  larger.k.size = sizeof larger; /* of a newer header */
  assert_int_equal(csfle_config_add_kms(c, &larger.k, &e), CSFLE_OK);
  for (int i = 1; i < CSFLE__MAX_PLUGINS; i++) {
    char type[16];
    snprintf(type, sizeof type, "kms-%d", i);
    csfle_kms k = toy_kms(type);
    assert_int_equal(csfle_config_add_kms(c, &k, &e), CSFLE_OK);
  }
  csfle_kms one_more = toy_kms("one-more");
  assert_int_equal(csfle_config_add_kms(c, &one_more, &e), CSFLE_E_MISUSE);
  csfle_config_free(c);
  csfle_kms_done(NULL, CSFLE_OK, "x", 1, NULL);
}

static csfle_status configured(void)
{
  csfle_kms     k = toy_kms("toy-kms");
  csfle_config *c = csfle_config_new(NULL);
  csfle_status  rc = c ? csfle_config_add_kms(c, &k, NULL) : CSFLE_E_NOMEM;
  csfle_config_free(c);
  return rc;
}
TEST(adding_a_plug_in_survives_every_failed_allocation) { TORTURE(configured()); }
