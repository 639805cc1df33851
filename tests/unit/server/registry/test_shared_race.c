/* A KEK that changes while the KMS is called for a DEK under it, within the same millisecond. */
#include "tests/unit/server/registry/rig.h"

#define KEY "arn:aws:kms:eu-central-1:111122223333:key/1"

static registry *g;
static char      plain[200]; /* of the last Encrypt */
static int       encrypts;
static int64_t   started;

/* all records have one time */
static int64_t frozen(void *opaque)
{
  if (!started) started = csfle__system_clock.wall_ms(opaque);
  return started;
}

static void change_kek(void)
{
  csfle__pair          props[] = { { BYTES("access.key.id"), BYTES("AKID") }, { BYTES("more"), BYTES("1") }, { BYTES("secret.access.key"), BYTES("key") } };
  registry_kek_request r = { .name = BYTES("sh"), .props = { props, 3 }, .has_props = true };
  registry_problem     p;
  registry_begin(g, true);
  assert_true(registry_kek_update(g, &r, &p));
  registry_end(g);
}

static void start(void *opaque, csfle_exchange *x)
{
  size_t      len = 0;
  char        text[400];
  const char *body = csfle_exchange_part(x, CSFLE_X_BODY, &len);
  (void)opaque;
  if (strstr(csfle_exchange_part(x, CSFLE_X_HEADERS, NULL), "TrentService.Encrypt")) {
    const char *at = strstr(body, "\"Plaintext\":\"");
    if (!at) fail_msg("no Plaintext");
    snprintf(plain, sizeof plain, "%.*s", (int)strcspn(at + 13, "\""), at + 13);
    if (++encrypts == 1) change_kek();
    snprintf(text, sizeof text, "{\"KeyId\":\"" KEY "\",\"CiphertextBlob\":\"bmV3\"}");
  } else {
    snprintf(text, sizeof text, "{\"KeyId\":\"" KEY "\",\"Plaintext\":\"%s\"}", plain);
  }
  csfle_exchange_address(x, "\xc0\0\2\1", 4);
  csfle_exchange_done(x, 200, "", text, strlen(text), NULL);
}
static void cancel(void *opaque, csfle_exchange *x) { (void)opaque, (void)x; }

TEST(a_dek_is_not_stored_under_a_kek_that_changed_since_it_was_wrapped)
{
  const csfle_transport t = { sizeof t, NULL, start, cancel, CSFLE_TRANSPORT_ASKS_ADDRESSES };
  const csfle__clock    clock = { frozen, csfle__system_clock.monotonic_ms, NULL };
  registry_log_setup    setup = { .clock = &clock, .log = &rig_quiet, .topics = { "_schemas", "_dek_registry_keys", "_csfle" } };
  registry_options      options = rig_options();
  registry_log         *log = NULL;
  csfle__pair           props[] = { { BYTES("access.key.id"), BYTES("AKID") }, { BYTES("secret.access.key"), BYTES("key") } };
  registry_kek_request  k = { .name = BYTES("sh"), .kms_type = BYTES("aws-kms"), .kms_key_id = BYTES(KEY), .props = { props, 2 }, .has_props = true, .shared = true };
  registry_dek_request  d = { .kek = BYTES("sh"), .subject = BYTES("s"), .algorithm = CSFLE__AES256_GCM, .version = 1 };
  registry_caller       who = { .may_block = true, .confidential = true };
  registry_problem      p = { 0 };
  uint64_t              position;
  csfle_buf             out;

  assert_ok(registry_log_open(&log, registry_log_driver_find("memory"), &setup, err));
  assert_ok(registry_open(&g, log, &options, &csfle__system_clock, &rig_quiet, &t, err));
  registry_begin(g, true);
  assert_true(registry_kek_create(g, &k, &p));
  registry_end(g);
  csfle_buf_init(&out, 0, CSFLE_BUF_WIPE);
  if (!registry_dek_create(g, &d, &who, &out, &position, &p)) fail_msg("%s", p.text);
  assert_int_equal(encrypts, 2); /* wrapped again, by what the KEK says now */
  csfle_buf_free(&out);
  registry_close(g);
}
