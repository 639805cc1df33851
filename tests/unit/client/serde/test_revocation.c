/*
 * Proves by the stopwatch that what is taken away is used no longer than csfle.key.max.age.ms, however warm the threads are and
 * whoever cannot be reached; and at once after csfle_client_forget_keys. The clocks are the machine's. [AB-11]
 */
#include "tests/unit/client/rig.h"
#include "tests/support/fake_vault.h"

#include <pthread.h>
#include <unistd.h>

#define VAULT_RULES "{\"domainRules\":[{\"name\":\"r\",\"type\":\"ENCRYPT\",\"tags\":[\"PII\"],\"params\":{\"encrypt.kek.name\":\"kek1\"," \
                    "\"encrypt.kms.type\":\"hcvault\",\"encrypt.kms.key.id\":\"" CSFLE_FAKE_VAULT_KEY "\"}}]}"
#define THREADS     64 /* every other one reads */
#define MAX_AGE_MS  250
#define MAX_AGE     "csfle.key.max.age.ms=250\nlatest.cache.ttl.sec=-1"

static csfle_fake       fake;
static csfle_fake_vault vault;
static csfle_client    *client;
static csfle_serde     *writer, *reader;
static csfle_buf        message;
static _Atomic(int)     stop;
static _Atomic(int64_t) deadline; /* calls that begin after it are `late` */

static int64_t now(void) { return csfle__system_clock.monotonic_ms(NULL); }

typedef struct user {
  bool         reads;
  _Atomic(size_t) ok, late; /* calls that succeeded; that began after the deadline */
  int64_t      last;     /* when the last of them began */
  csfle_status status;   /* of the last call */
  csfle_error  err;
} user;

static void *use(void *arg)
{
  user     *u = arg;
  csfle_buf out;
  csfle_buf_init(&out, 0, 0);
  while (!stop) {
    int64_t began = now();
    u->status = u->reads ? csfle_deserialize(reader, CSFLE_NATIVE, message.ptr, message.len, NULL, &out, NULL, &u->err)
                         : csfle_serialize(writer, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, &u->err);
    if (u->status == CSFLE_OK) u->last = began, u->ok++;
    if (began > deadline) u->late++;
    usleep(1000);
  }
  csfle_buf_free(&out);
  return NULL;
}

/* ---- what is taken away */

static const char *mode;
static int taken(csfle_fake *f, const char *method, const char *path, const char **body)
{
  (void)f;
  bool post = strcmp(method, "POST") == 0, dek = strstr(path, "/deks/") != NULL, live = strstr(path, "deleted=false") != NULL;
  if (!mode) return 0;
  if (strcmp(mode, "down") == 0) return -1;
  if (strcmp(mode, "token") == 0) return *body = "{\"error_code\":40101,\"message\":\"Unauthorized\"}", 401;
  if (strcmp(mode, "right") == 0) return *body = "{\"error_code\":40301,\"message\":\"Forbidden\"}", 403;
  /* soft-deleted: those who ask for live ones do not see it, those who would make it anew are told that it is there */
  if (dek != (strcmp(mode, "dek") == 0)) return 0;
  if (post) return *body = "{\"error_code\":40971,\"message\":\"Key already exists\"}", 409;
  if (live) return *body = "{\"error_code\":40470,\"message\":\"Key not found\"}", 404;
  return 0;
}

static void set(const char *registry, int kms)
{
  pthread_mutex_lock(&fake.lock);
  mode = registry;
  pthread_mutex_unlock(&fake.lock);
  vault.status = kms;
}

/* Until every thread has had a call that counts in `n`. */
static void wait_for(const user *u, bool late)
{
  for (size_t i = 0, tries = 0; i < THREADS; i++)
    while (late ? !u[i].late : !u[i].ok) {
      if (tries++ > 20000) fail_msg("a thread had no turn in 20 s");
      usleep(1000);
    }
}

static void warm_up(pthread_t *t, user *u)
{
  csfle_fake_init(&fake);
  csfle_fake_vault_init(&vault, &fake.transport);
  csfle_fake_add_schema(&fake, "orders-value", 12, 7, CUSTOMER, NULL, VAULT_RULES);
  fake.hook = taken;
  set(NULL, 0);
  client = rig_client_over(&vault.transport, &csfle__system_clock, CSFLE_FAKE_VAULT_PROPS "\n" MAX_AGE);
  writer = rig_serde(client, "orders", CUSTOMER, NULL);
  reader = rig_serde(client, "orders", NULL, (const char *const[]){ "use.latest.version", "false", NULL });
  csfle_buf_init(&message, 0, 0);
  assert_ok(csfle_serialize(writer, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &message, NULL, err));
  stop = 0;
  deadline = INT64_MAX;
  for (size_t i = 0; i < THREADS; i++) {
    memset(&u[i], 0, sizeof u[i]);
    u[i].reads = i % 2;
    assert_int_equal(pthread_create(&t[i], NULL, use, &u[i]), 0);
  }
  wait_for(u, false);
}

static void end(pthread_t *t)
{
  stop = 1;
  for (size_t i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
  csfle_serde_close(writer), csfle_serde_close(reader);
  csfle_client_close(client);
  csfle_buf_free(&message);
  csfle_fake_free(&fake);
}

enum { GOES_ON, DENIED, REFUSED, WAITS };
static void check_end(const char *what, const user *u, int how)
{
  const csfle_status class = CSFLE_CLASS(u->status);
  bool right = how == GOES_ON ? u->status == CSFLE_OK : how == DENIED ? class == CSFLE_CLASS_DENIED : how == WAITS ? class == CSFLE_CLASS_WAIT
             : u->status != CSFLE_OK && class != CSFLE_CLASS_WAIT && class != CSFLE_CLASS_BUG;
  if (!right) fail_msg("%s: %s ends with %s: %s", what, u->reads ? "reader" : "writer", csfle_status_name(u->status), u->err.msg);
}

TEST(what_is_taken_away_is_used_no_longer_than_the_maximum)
{
  const struct { const char *what, *registry; int kms, writes, reads; } cases[] = {
    { "KMS grant removed", NULL, 403, DENIED, DENIED },
    { "KMS key disabled", NULL, 400, REFUSED, REFUSED },
    { "KMS does not answer", NULL, -1, WAITS, WAITS },
    { "registry token revoked", "token", 0, DENIED, DENIED },
    { "registry right removed", "right", 0, DENIED, DENIED },
    { "registry down", "down", 0, WAITS, WAITS },
    { "registry down and KMS grant removed", "down", 403, WAITS, WAITS },
    { "DEK soft-deleted", "dek", 0, REFUSED, GOES_ON },
    { "KEK soft-deleted", "kek", 0, REFUSED, GOES_ON },
    { "KEK soft-deleted and KMS grant removed", "kek", 403, REFUSED, DENIED },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pthread_t t[THREADS];
    user      u[THREADS];
    int64_t   worst = 0;
    warm_up(t, u);
    set(cases[i].registry, cases[i].kms);
    int64_t taken_at = now();
    deadline = taken_at + MAX_AGE_MS;
    wait_for(u, true);
    end(t);
    for (size_t k = 0; k < THREADS; k++) {
      int how = u[k].reads ? cases[i].reads : cases[i].writes;
      check_end(cases[i].what, &u[k], how);
      if (how == GOES_ON) continue;
      if (u[k].last - taken_at > worst) worst = u[k].last - taken_at;
      if (u[k].last > taken_at + MAX_AGE_MS) fail_msg("%s: used %lld ms later, %d are allowed", cases[i].what, (long long)(u[k].last - taken_at), MAX_AGE_MS);
    }
    print_message("# %s: last use %lld ms later\n", cases[i].what, (long long)worst);
  }
}

TEST(forgotten_keys_are_used_no_more_at_all)
{
  for (int down = 0; down < 2; down++) {
    pthread_t t[THREADS];
    user      u[THREADS];
    warm_up(t, u);
    set(down ? "down" : NULL, 403);
    csfle_client_forget_keys(client, down ? NULL : "kek1");
    int64_t forgotten_at = now();
    deadline = forgotten_at;
    wait_for(u, true);
    end(t);
    for (size_t k = 0; k < THREADS; k++) {
      check_end("forgotten", &u[k], down ? WAITS : DENIED);
      if (u[k].last > forgotten_at) fail_msg("used %lld ms after it was forgotten", (long long)(u[k].last - forgotten_at));
    }
  }
}

TEST(in_the_last_fifth_of_its_life_a_key_is_asked_for_again_and_used_until_the_end_if_nobody_answers)
{
  rig         r;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf   in, out;
  csfle_buf_init(&in, 0, 0), csfle_buf_init(&out, 0, 0);
  rig_open(&r, CUSTOMER, NULL, PII_RULES, "csfle.key.max.age.ms=100000\nlatest.cache.ttl.sec=-1");
  r.fake.hook = taken, mode = NULL;
  csfle_serde *rd = rig_serde(r.client, "orders", NULL, (const char *const[]){ "use.latest.version", "false", NULL });
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &in, NULL, err));
  assert_ok(csfle_deserialize(rd, CSFLE_NATIVE, in.ptr, in.len, NULL, &out, NULL, err));
  mode = "down";
  size_t before = csfle_fake_count(&r.fake, "");
  for (int64_t age = 0; age < 100000; age += 500, r.fake.mono_ms += 500) {
    assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
    assert_ok(csfle_deserialize(rd, CSFLE_NATIVE, in.ptr, in.len, NULL, &out, NULL, err));
    if (age < 80000) assert_int_equal(csfle_fake_count(&r.fake, ""), before);
  }
  assert_in_range(csfle_fake_count(&r.fake, "") - before, 4, 8); /* two keys, every five seconds */
  assert_int_equal(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, &e), CSFLE_E_UNAVAILABLE);
  assert_int_equal(csfle_deserialize(rd, CSFLE_NATIVE, in.ptr, in.len, NULL, &out, NULL, &e), CSFLE_E_UNAVAILABLE);
  mode = NULL;
  assert_ok(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &out, NULL, err));
  assert_ok(csfle_deserialize(rd, CSFLE_NATIVE, in.ptr, in.len, NULL, &out, NULL, err));
  csfle_serde_close(rd);
  csfle_buf_free(&in), csfle_buf_free(&out);
  rig_close(&r);
}
