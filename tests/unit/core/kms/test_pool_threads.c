/* Proves that drivers stay open: who shares one, when it goes, that logins are not done again, and that nothing is lost without memory. */
#include "tests/unit/core/kms/scripted.h"

#include "core/kms/pool.h"

#include <time.h>

#define KEY   "https://vault.bank:8200/transit/keys/cards"
#define LOGIN { "POST", "https://vault.bank:8200/v1/auth/approle/login", NULL, "{\"role_id\":\"r0le\",\"secret_id\":\"s3cret\"}", 200, NULL, \
                "{\"auth\":{\"client_token\":\"t0ken\",\"lease_duration\":3600}}" }
#define WRAP(status, reply) { "POST", "https://vault.bank:8200/v1/transit/encrypt/cards", "X-Vault-Token: t0ken\r\n", "{\"plaintext\":\"a2V5\"}", status, NULL, reply }
#define WRAPPED WRAP(200, "{\"data\":{\"ciphertext\":\"vault:v1:AAAA\"}}")
#define DENIED  WRAP(403, "{\"errors\":[\"permission denied\"]}")

static const pair own[] = { { "csfle.allow.kms.hosts", "vault.bank:8200" }, { NULL, NULL } };
static const pair approle[] = { { "approle.role.id", "r0le" }, { "approle.secret.id", "s3cret" }, { NULL, NULL } };

static csfle_status use(csfle__kms_pool *p, world *w, const char *key_id, csfle__kms **was)
{
  csfle__kms_props props = world_props(w);
  csfle__kms      *k;
  csfle_status     rc = csfle__kms_take(p, &k, BYTES("hcvault"), csfle__str(key_id), &props, &w->err);
  if (rc != CSFLE_OK) return rc;
  rc = world_call(w, k, false, BYTES("key"), NULL);
  csfle__kms_give(p, k, rc);
  if (was) *was = k;
  return rc;
}

TEST(one_login_serves_many_calls)
{
  static const line script[] = { LOGIN, WRAPPED, WRAPPED, WRAPPED, { 0 } };
  world             w = { .script = script, .props = approle, .own = own };
  csfle__kms_pool   p;
  csfle__kms_pool_init(&p, NULL);
  for (int i = 0; i < 3; i++)
    if (use(&p, &w, KEY, NULL) != CSFLE_OK) fail_msg("%s", w.err.msg);
  assert_int_equal(p.count, 1);
  world_done(&w);
  csfle__kms_pool_free(&p);
}

TEST(other_credentials_or_another_key_or_other_hosts_are_another_session)
{
  static const pair  other[] = { { "approle.role.id", "r0le" }, { "approle.secret.id", "an0ther" }, { NULL, NULL } };
  static const pair  token[] = { { "approle.role.id", "r0le" }, { "approle.secret.id", "s3cret" }, { "namespace", "n" }, { NULL, NULL } };
  static const pair  irrelevant[] = { { "approle.role.id", "r0le" }, { "approle.secret.id", "s3cret" }, { "of.no.interest", "x" }, { NULL, NULL } };
  static const pair  hosts[] = { { "csfle.allow.kms.hosts", "vault.bank:8200,vault.bank:8201" }, { NULL, NULL } };
  const struct { const char *key; const pair *props, *own; bool shared; } cases[] = {
    { KEY, approle, own, true }, { KEY "s", approle, own, false }, { KEY, other, own, false }, { KEY, token, own, false },
    { KEY, irrelevant, own, true }, { KEY, approle, hosts, false },
  };
  csfle__kms_pool p;
  csfle__kms_pool_init(&p, NULL);
  world            w = { .props = approle, .own = own };
  csfle__kms_props first_props = world_props(&w);
  csfle__kms      *first, *k;
  assert_ok(csfle__kms_take(&p, &first, BYTES("hcvault"), BYTES(KEY), &first_props, err));
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    world            other_world = { .props = cases[i].props, .own = cases[i].own };
    csfle__kms_props props = world_props(&other_world);
    assert_ok(csfle__kms_take(&p, &k, BYTES("HCVault"), csfle__str(cases[i].key), &props, err));
    assert_int_equal(k == first, cases[i].shared);
    csfle__kms_give(&p, k, CSFLE_OK);
  }
  csfle__kms_give(&p, first, CSFLE_OK);
  csfle__kms_pool_free(&p);
}

TEST(a_session_that_is_refused_is_fetched_again_once_and_then_dropped)
{
  static const line script[] = { LOGIN, WRAPPED, DENIED, LOGIN, WRAPPED, /* expired at the server: once more in the same call */
                                 DENIED, LOGIN, DENIED, LOGIN, WRAPPED, { 0 } };
  world             w = { .script = script, .props = approle, .own = own };
  csfle__kms_pool   p;
  csfle__kms_pool_init(&p, NULL);
  assert_int_equal(use(&p, &w, KEY, NULL), CSFLE_OK);
  assert_int_equal(use(&p, &w, KEY, NULL), CSFLE_OK);
  assert_int_equal(p.count, 1);
  assert_int_equal(use(&p, &w, KEY, NULL), CSFLE_E_FORBIDDEN);
  assert_int_equal(p.count, 0);
  assert_int_equal(use(&p, &w, KEY, NULL), CSFLE_OK); /* with nothing of the old one */
  world_done(&w);
  csfle__kms_pool_free(&p);
}

TEST(a_session_that_has_ended_is_fetched_again)
{
  static const line script[] = { LOGIN, WRAPPED, LOGIN, WRAPPED, { 0 } };
  world             w = { .script = script, .props = approle, .own = own };
  csfle__kms_pool   p;
  csfle__kms_pool_init(&p, NULL);
  assert_int_equal(use(&p, &w, KEY, NULL), CSFLE_OK);
  w.now_ms += 3600 * 1000;
  assert_int_equal(use(&p, &w, KEY, NULL), CSFLE_OK);
  world_done(&w);
  csfle__kms_pool_free(&p);
}

TEST(forgetting_ends_sessions_also_those_in_use)
{
  static const line script[] = { LOGIN, WRAPPED, LOGIN, WRAPPED, { 0 } };
  world             w = { .script = script, .props = approle, .own = own };
  csfle__kms_props  props = world_props(&w);
  csfle__kms_pool   p;
  csfle__kms       *k, *again;
  csfle__kms_pool_init(&p, NULL);
  assert_ok(csfle__kms_take(&p, &k, BYTES("hcvault"), BYTES(KEY), &props, err));
  csfle__kms_pool_forget(&p);
  assert_int_equal(world_call(&w, k, false, BYTES("key"), NULL), CSFLE_OK); /* it still works for who holds it */
  assert_ok(csfle__kms_take(&p, &again, BYTES("hcvault"), BYTES(KEY), &props, err));
  assert_ptr_not_equal(k, again);
  csfle__kms_give(&p, k, CSFLE_OK);
  assert_int_equal(p.count, 1);
  assert_int_equal(world_call(&w, again, false, BYTES("key"), NULL), CSFLE_OK);
  csfle__kms_give(&p, again, CSFLE_OK);
  csfle__kms_pool_forget(&p);
  assert_int_equal(p.count, 0);
  csfle__kms_give(&p, NULL, CSFLE_OK);
  world_done(&w);
  csfle__kms_pool_free(&p);
}

TEST(the_one_used_longest_ago_makes_room)
{
  world            w = { .props = approle, .own = own };
  csfle__kms_props props = world_props(&w);
  csfle__kms_pool  p;
  csfle__kms      *k, *held, *second;
  char             key[128];
  csfle__kms_pool_init(&p, NULL);
  assert_ok(csfle__kms_take(&p, &held, BYTES("hcvault"), BYTES(KEY), &props, err)); /* in use all the time */
  assert_ok(csfle__kms_take(&p, &second, BYTES("hcvault"), BYTES(KEY "second"), &props, err));
  csfle__kms_give(&p, second, CSFLE_OK);
  for (int i = 0; i < 3 * CSFLE__POOL_MAX; i++) {
    snprintf(key, sizeof key, KEY "%d", i);
    assert_ok(csfle__kms_take(&p, &k, BYTES("hcvault"), csfle__str(key), &props, err));
    csfle__kms_give(&p, k, CSFLE_OK);
    assert_ok(csfle__kms_take(&p, &k, BYTES("hcvault"), BYTES(KEY "second"), &props, err));
    assert_ptr_equal(k, second);
    csfle__kms_give(&p, k, CSFLE_OK);
    assert_true(p.count <= CSFLE__POOL_MAX);
  }
  assert_ok(csfle__kms_take(&p, &k, BYTES("hcvault"), BYTES(KEY), &props, err));
  assert_ptr_equal(k, held);
  csfle__kms_give(&p, k, CSFLE_OK), csfle__kms_give(&p, held, CSFLE_OK);
  csfle__kms_pool_free(&p);
}

/* ---- threads: drivers are opened, shared, refused and forgotten all at once */

#define THREADS 8
static csfle__kms_pool   busy;
static pthread_barrier_t start;

static void *turn(void *arg)
{
  static const pair secret[] = { { "secret", "mysecret" }, { NULL, NULL } };
  world             w = { .props = secret };
  csfle__kms_props  props = world_props(&w);
  size_t            me = (size_t)arg;
  pthread_barrier_wait(&start);
  for (size_t i = 0; i < 200; i++) {
    char          key[16];
    csfle__kms   *k;
    csfle__secret out = CSFLE__SECRET_INIT, back = CSFLE__SECRET_INIT;
    snprintf(key, sizeof key, "key-%zu", i % 5);
    assert_int_equal(csfle__kms_take(&busy, &k, BYTES("local-kms"), csfle__str(key), &props, &w.err), CSFLE_OK);
    assert_int_equal(world_call(&w, k, false, BYTES("key"), &out), CSFLE_OK);
    assert_int_equal(world_call(&w, k, true, csfle__secret_view(&out), &back), CSFLE_OK);
    assert_bytes_equal(csfle__secret_view(&back), BYTES("key"));
    csfle__secret_wipe(&out), csfle__secret_wipe(&back);
    csfle__kms_give(&busy, k, me == 1 && i % 7 == 0 ? CSFLE_E_FORBIDDEN : CSFLE_OK);
    if (me == 0 && i % 20 == 0) csfle__kms_pool_forget(&busy);
  }
  return NULL;
}

TEST(threads_open_share_and_drop_drivers_at_once)
{
  pthread_t t[THREADS];
  csfle__kms_pool_init(&busy, NULL);
  pthread_barrier_init(&start, NULL, THREADS);
  for (size_t i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&t[i], NULL, turn, (void *)i), 0);
  for (size_t i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
  pthread_barrier_destroy(&start);
  assert_true(busy.count <= 5);
  csfle__kms_pool_free(&busy);
}

/* ---- without memory */

static csfle_status pooled(void)
{
  static const line script[] = { LOGIN, WRAPPED, { 0 } };
  world             w = { .script = script, .props = approle, .own = own };
  csfle__kms_pool   p;
  csfle__kms_pool_init(&p, NULL);
  csfle_status rc = use(&p, &w, KEY, NULL);
  csfle__kms_pool_free(&p);
  return rc;
}
TEST(taking_a_driver_survives_every_failed_allocation) { TORTURE(pooled()); }

static void *echo_open(const char *key_id, const char *(*prop)(void *, const char *), void *ctx, csfle_error *err)
{
  (void)key_id, (void)err;
  return (void *)prop(ctx, "approle.role.id");
}
static void echo(void *kms, csfle_kms_call *call, const void *in, size_t len)
{
  (void)kms;
  csfle_kms_done(call, CSFLE_OK, in, len, NULL);
}
static void echo_close(void *kms) { (void)kms; }

static csfle_status plugged(void)
{
  world            w = { .props = approle };
  csfle__kms_props props = world_props(&w);
  csfle__plugins   plugins = { 0 };
  csfle_kms        kms = { sizeof kms, "echo", echo_open, echo, echo, echo_close };
  csfle__kms_pool  p;
  csfle__kms      *k = NULL, *other = NULL;
  csfle__secret    out = CSFLE__SECRET_INIT;
  csfle_status     rc = csfle__plugins_add(&plugins, &kms, NULL);
  csfle__kms_pool_init(&p, &plugins);
  if (rc == CSFLE_OK) rc = csfle__kms_take(&p, &k, BYTES("echo"), BYTES("id"), &props, &w.err);
  if (rc == CSFLE_OK) rc = world_call(&w, k, true, BYTES("in"), &out);
  if (rc == CSFLE_OK && !csfle__eq(csfle__secret_view(&out), BYTES("in"))) rc = CSFLE_E_INTERNAL;
  csfle__secret_wipe(&out);
  csfle__kms_give(&p, k, rc);
  csfle__kms_pool_free(&p);
  if (rc == CSFLE_OK) rc = csfle__kms_open_any(&other, &plugins, BYTES("echo"), BYTES("id"), &props, &w.err); /* csfle__plugin_open */
  csfle__kms_close(other);
  return rc;
}
TEST(a_plug_in_survives_every_failed_allocation) { TORTURE(plugged()); }

/* ---- one login for all that need one at once */

/* Steps @p c once, answering variables; SEND and WAIT come back. */
static csfle__next step_on(csfle__kms *k, csfle__kms_call *c, csfle_error *err)
{
  for (;;) {
    c->now_ms = c->mono_ms = 1000;
    csfle__next next = csfle__kms_step(k, c, err);
    if (next != CSFLE__NEED) return next;
    c->io.need_found = false;
  }
}
static void reply(csfle__kms_call *c, int status, const char *body)
{
  csfle__buf_clear(&c->io.reply.headers), csfle__buf_clear(&c->io.reply.body);
  c->io.reply.status = status;
  assert_ok(csfle__buf_puts(&c->io.reply.body, body, err));
}

TEST(calls_at_once_log_in_once_and_fail_together)
{
  world       w = { .props = approle, .own = own };
  csfle_error e = CSFLE_ERROR_INIT, other = CSFLE_ERROR_INIT;
  csfle__kms *k;
  for (int good = 0; good < 2; good++) {
    csfle__kms_call a, b, late;
    assert_int_equal(world_open(&w, &k, "hcvault", KEY), CSFLE_OK);
    csfle__kms_call_init(&a, false, BYTES("key")), csfle__kms_call_init(&b, false, BYTES("key")), csfle__kms_call_init(&late, false, BYTES("key"));
    assert_int_equal(step_on(k, &a, &e), CSFLE__SEND); /* the login */
    assert_int_equal(step_on(k, &b, &other), CSFLE__WAIT);
    assert_true(b.io.wait_until_ms > b.mono_ms);
    assert_int_equal(step_on(k, &b, &other), CSFLE__WAIT);
    if (good) {
      reply(&a, 200, "{\"auth\":{\"client_token\":\"t0ken\",\"lease_duration\":3600}}");
      assert_int_equal(step_on(k, &a, &e), CSFLE__SEND); /* the wrap */
      assert_int_equal(step_on(k, &b, &other), CSFLE__SEND);
      assert_true(csfle__starts(csfle__buf_view(&b.io.request.url), BYTES("https://vault.bank:8200/v1/transit/encrypt/")));
    } else {
      reply(&a, 400, "{\"errors\":[\"invalid role or secret ID\"]}");
      assert_int_equal(step_on(k, &a, &e), CSFLE__FAIL);
      assert_int_equal(step_on(k, &b, &other), CSFLE__FAIL); /* nothing sent */
      assert_int_equal(other.code, CSFLE_E_UNAUTHENTICATED);
      assert_string_equal(other.msg, e.msg);
      assert_int_equal(step_on(k, &late, &other), CSFLE__SEND); /* who comes later tries for himself */
    }
    csfle__kms_call_free(&a), csfle__kms_call_free(&b), csfle__kms_call_free(&late);
    csfle__kms_close(k);
  }
}

TEST(a_login_that_is_given_up_gives_its_turn_away)
{
  world           w = { .props = approle, .own = own };
  csfle_error     e = CSFLE_ERROR_INIT;
  csfle__kms     *k;
  csfle__kms_call a, b;
  assert_int_equal(world_open(&w, &k, "hcvault", KEY), CSFLE_OK);
  csfle__kms_call_init(&a, false, BYTES("key")), csfle__kms_call_init(&b, false, BYTES("key"));
  assert_int_equal(step_on(k, &a, &e), CSFLE__SEND);
  assert_int_equal(step_on(k, &b, &e), CSFLE__WAIT);
  csfle__kms_call_free(&a);
  assert_int_equal(step_on(k, &b, &e), CSFLE__SEND);
  csfle__kms_call_free(&b);
  csfle__kms_close(k);
}

static _Atomic(int) logins, wraps;
static void slow_vault(void *opaque, csfle_exchange *x)
{
  const char *url = csfle_exchange_part(x, CSFLE_X_URL, NULL);
  bool        login = strstr(url, "/auth/approle/login") != NULL;
  (void)opaque;
  csfle_exchange_address(x, "\xc0\0\2\1", 4);
  nanosleep(&(struct timespec){ 0, 30 * 1000000 }, NULL);
  if (login) logins++;
  else wraps++;
  const char *body = login ? "{\"auth\":{\"client_token\":\"t0ken\",\"lease_duration\":3600}}" : "{\"data\":{\"ciphertext\":\"vault:v1:AAAA\"}}";
  csfle_exchange_done(x, 200, "", body, strlen(body), NULL);
}
static void cancel(void *opaque, csfle_exchange *x) { (void)opaque, (void)x; }

static void *first_call(void *unused)
{
  static const csfle_transport t = { sizeof t, NULL, slow_vault, cancel, CSFLE_TRANSPORT_ASKS_ADDRESSES };
  world                        w = { .props = approle, .own = own };
  csfle__kms_props             props = world_props(&w);
  csfle__kms                  *k;
  csfle__kms_call              c;
  (void)unused;
  pthread_barrier_wait(&start);
  assert_int_equal(csfle__kms_take(&busy, &k, BYTES("hcvault"), BYTES(KEY), &props, &w.err), CSFLE_OK);
  csfle__kms_call_init(&c, false, BYTES("key"));
  if (csfle__kms_run(k, &c, &t, NULL, &w.err) != CSFLE_OK) fail_msg("%s", w.err.msg);
  csfle__kms_call_free(&c);
  csfle__kms_give(&busy, k, CSFLE_OK);
  return NULL;
}
TEST(threads_that_start_together_log_in_once)
{
  pthread_t t[THREADS];
  csfle__kms_pool_init(&busy, NULL);
  pthread_barrier_init(&start, NULL, THREADS);
  for (size_t i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&t[i], NULL, first_call, NULL), 0);
  for (size_t i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
  pthread_barrier_destroy(&start);
  assert_int_equal(logins, 1);
  assert_int_equal(wraps, THREADS);
  csfle__kms_pool_free(&busy);
}

TEST(an_assumed_role_lasts_over_calls_and_is_assumed_again_when_it_ends_or_is_refused)
{
#define ROLE { "POST", "https://sts.eu-central-1.amazonaws.com/", NULL, NULL, 200, NULL, \
               "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>" \
               "<Expiration>2026-11-22T01:55:12Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>" }
#define AWS(status, body) { "POST", "https://kms.eu-central-1.amazonaws.com/", NULL, NULL, status, NULL, body }
  static const pair props[] = { { "access.key.id", "AKID" }, { "secret.access.key", "x" }, { "role.arn", "arn:aws:iam::111122223333:role/r" }, { NULL, NULL } };
  static const line script[] = { ROLE, AWS(200, "{\"CiphertextBlob\":\"QUJD\"}"), AWS(200, "{\"CiphertextBlob\":\"QUJD\"}"), /* one AssumeRole for both */
                                 AWS(400, "{\"__type\":\"ExpiredTokenException\"}"), ROLE, AWS(200, "{\"CiphertextBlob\":\"QUJD\"}"),
                                 ROLE, AWS(200, "{\"CiphertextBlob\":\"QUJD\"}"), { 0 } };
  world            w = { .script = script, .props = props, .now_ms = 1795308912000 }; /* 00:55:12 */
  csfle__kms_props p = world_props(&w);
  csfle__kms_pool  pool;
  csfle__kms_pool_init(&pool, NULL);
  for (int i = 0; i < 4; i++) {
    csfle__kms *k;
    if (i == 3) w.now_ms += 3600 * 1000; /* past its end */
    assert_ok(csfle__kms_take(&pool, &k, BYTES("aws-kms"), BYTES("arn:aws:kms:eu-central-1:111122223333:key/x"), &p, err));
    csfle_status rc = world_call(&w, k, false, BYTES("key"), NULL);
    if (rc != CSFLE_OK) fail_msg("%d: %s", i, w.err.msg);
    csfle__kms_give(&pool, k, rc);
  }
  world_done(&w);
  csfle__kms_pool_free(&pool);
}

TEST(while_a_session_still_lives_a_login_that_fails_stops_nobody)
{
  static const pair role[] = { { "access.key.id", "AKID" }, { "secret.access.key", "x" }, { "role.arn", "arn:aws:iam::111122223333:role/r" }, { NULL, NULL } };
  static const line script[] = { ROLE, AWS(200, "{\"CiphertextBlob\":\"QUJD\"}"), { 0 } };
  world             w = { .script = script, .props = role, .now_ms = 1795308912000 };
  csfle_error       e = CSFLE_ERROR_INIT;
  csfle__kms       *k;
  csfle__kms_call   c[2];
  csfle__next       next[2] = { CSFLE__WAIT, CSFLE__WAIT };
  assert_int_equal(world_open(&w, &k, "aws-kms", "arn:aws:kms:eu-central-1:111122223333:key/x"), CSFLE_OK);
  assert_int_equal(world_call(&w, k, false, BYTES("key"), NULL), CSFLE_OK);
  for (int round = 0; round < 2; round++)
    for (int i = 0; i < 2; i++) {
      if (round == 0) csfle__kms_call_init(&c[i], false, BYTES("key"));
      else if (i == 0) reply(&c[0], 400, "<ErrorResponse><Error><Code>Oops</Code></Error></ErrorResponse>");
      do {
        c[i].now_ms = c[i].mono_ms = 1795308912000 + 58 * 60 * 1000; /* it ends in two minutes */
        next[i] = csfle__kms_step(k, &c[i], &e);
      } while (next[i] == CSFLE__NEED);
      csfle__bytes url = csfle__buf_view(&c[i].io.request.url);
      if (round == 0) assert_int_equal(next[i], i == 0 ? CSFLE__SEND : CSFLE__WAIT); /* one asks STS */
      else if (next[i] != CSFLE__SEND || !csfle__starts(url, BYTES("https://kms."))) fail_msg("%d: %s", i, e.msg);
    }
  csfle__kms_call_free(&c[0]), csfle__kms_call_free(&c[1]);
  csfle__kms_close(k);
}
