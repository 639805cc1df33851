/* Rewrapping over a KMS that answers as it likes: nothing that does not unwrap to the same key takes the place of what does. */
#include "tests/support/test.h"

#include "client/deks/deks.h"
#include "client/deks/wrapper.h"
#include "core/base/base64.h"

#define KEY   "arn:aws:kms:eu-central-1:111122223333:key/1"
#define PLAIN "GiBB5SNMJKak+FsdgjfpmhLfhyLwwhg3VWrNDset3lhpzw=="
#define OTHER "GiBB5SNMJKak+FsdgjfpmhLfhyLwwhg3VWrNDset3lhpzA=="

/* A registry with one KEK of aws-kms and one DEK, and its KMS. */
static struct {
  const char *unwraps_new; /* what the KMS makes of what it wrapped; NULL: it is down then */
  int         puts, unwraps;
  char        put[512];
} world;

static int answer(const char *method, const char *url, const char *headers, const char *body, const char **text)
{
  if (strstr(url, "amazonaws.com")) {
    bool is_new = body && strstr(body, "\"bmV3\"") != NULL, unwrap = strstr(headers, "TrentService.Decrypt") != NULL;
    world.unwraps += unwrap;
    *text = "{\"__type\":\"AccessDeniedException\",\"message\":\"no\"}";
    if (body && strstr(body, "key/denied")) return 400;
    *text = "{\"__type\":\"DisabledException\",\"message\":\"disabled\"}";
    if (is_new && unwrap && !world.unwraps_new) return 400;
    *text = "{\"KeyId\":\"" KEY "\",\"CiphertextBlob\":\"bmV3\"}";
    if (unwrap) *text = "{\"KeyId\":\"" KEY "\",\"Plaintext\":\"" PLAIN "\"}";
    if (unwrap && is_new && strcmp(world.unwraps_new, PLAIN) != 0) *text = "{\"KeyId\":\"" KEY "\",\"Plaintext\":\"" OTHER "\"}";
    return 200;
  }
  if (strcmp(method, "POST") == 0) {
    world.puts++;
    snprintf(world.put, sizeof world.put, "%s", body);
  }
  if (strstr(url, "/versions/1") || strcmp(method, "POST") == 0)
    *text = "{\"kekName\":\"k\",\"subject\":\"s\",\"version\":1,\"algorithm\":\"AES256_GCM\",\"encryptedKeyMaterial\":\"b2xk\",\"deleted\":true,\"ts\":1}";
  else if (strstr(url, "/versions?")) *text = strstr(url, "AES256_GCM") && !strstr(url, "offset") ? "[1]" : "[]";
  else if (strstr(url, "/deks?")) *text = strstr(url, "offset") ? "[]" : "[\"s\"]";
  else *text = "{\"name\":\"k\",\"kmsType\":\"aws-kms\",\"kmsKeyId\":\"" KEY "\",\"shared\":false,\"ts\":1}";
  return 200;
}

static void start(void *opaque, csfle_exchange *x)
{
  size_t      len = 0;
  char        body[1024] = "";
  const char *text = NULL, *sent = csfle_exchange_part(x, CSFLE_X_BODY, &len);
  (void)opaque;
  if (sent) snprintf(body, sizeof body, "%.*s", (int)len, sent);
  int status = answer(csfle_exchange_part(x, CSFLE_X_METHOD, NULL), csfle_exchange_part(x, CSFLE_X_URL, NULL), csfle_exchange_part(x, CSFLE_X_HEADERS, NULL),
                      body, &text);
  csfle_exchange_address(x, "\xc0\0\2\1", 4);
  csfle_exchange_done(x, status, "", text, strlen(text), NULL);
}
static void cancel(void *opaque, csfle_exchange *x) { (void)opaque, (void)x; }

static csfle_client *open_client(void)
{
  const csfle_transport t = { sizeof t, NULL, start, cancel, CSFLE_TRANSPORT_ASKS_ADDRESSES };
  csfle_error           e = CSFLE_ERROR_INIT;
  csfle_config         *c = csfle_config_new("schema.registry.url=http://registry\nmax.retries=0\nrule.executors._default_.param.access.key.id=AKID\n"
                                             "rule.executors._default_.param.secret.access.key=key");
  assert_int_equal(csfle_config_add_transport(c, &t, &e), CSFLE_OK);
  csfle_client *cl = csfle_client_open(c, &e);
  if (!cl) fail_msg("%s", e.msg);
  csfle_config_free(c);
  memset(&world, 0, sizeof world);
  world.unwraps_new = PLAIN;
  return cl;
}

static csfle_status run(csfle_client *cl, csfle_error *e) { return csfle__deks_rewrap(cl, BYTES("k"), CSFLE__NONE, true, NULL, NULL, e); }

TEST(new_material_is_sent_with_the_deleted_flag_of_the_old) /* DEK-187 DEK-188 */
{
  csfle_error   e = CSFLE_ERROR_INIT;
  csfle_client *cl = open_client();
  if (run(cl, &e) != CSFLE_OK) fail_msg("%s", e.msg);
  assert_int_equal(world.puts, 1);
  assert_int_equal(world.unwraps, 2); /* the old, and the new for proof */
  assert_string_equal(world.put, "{\"subject\":\"s\",\"version\":1,\"algorithm\":\"AES256_GCM\",\"encryptedKeyMaterial\":\"bmV3\",\"deleted\":true}");
  csfle_client_close(cl);
}

TEST(what_unwraps_to_another_key_or_not_at_all_replaces_nothing) /* DEK-187 */
{
  const char *const answers[] = { OTHER, NULL };
  for (size_t i = 0; i < 2; i++) {
    csfle_error   e = CSFLE_ERROR_INIT;
    csfle_client *cl = open_client();
    world.unwraps_new = answers[i];
    assert_int_not_equal(run(cl, &e), CSFLE_OK);
    assert_int_equal(world.puts, 0);
    assert_non_null(strstr(e.msg, "Could not register dek for kek k, subject s: "));
    assert_non_null(strstr(e.where, "AES256_GCM version 1"));
    assert_null(strstr(e.msg, "bmV3"));
    csfle_client_close(cl);
  }
}

static csfle_status run_and_forget(csfle_client *cl)
{
  csfle_status rc = run(cl, NULL);
  csfle_client_forget_keys(cl, NULL); /* the driver that is kept */
  return rc;
}
static csfle_status wrap_under(csfle_client *cl, const char *props, bool alternates)
{
  csfle__pair     pair = { BYTES("encrypt.alternate.kms.key.ids"), csfle__str(props) };
  csfle__kek      kek = { .name = BYTES("k"), .kms_type = BYTES("aws-kms"), .kms_key_id = BYTES("arn:aws:kms:eu-central-1:111122223333:key/denied"), .kms_props = { &pair, 1 } };
  csfle__wrapper *w = NULL;
  csfle_buf       base64;
  uint8_t         material[64];
  csfle_buf_init(&base64, 0, 0);
  size_t       n = 0;
  csfle_status rc = csfle__base64_decode(BYTES(PLAIN), material, &n) ? csfle__wrapper_open(&w, cl, &kek, alternates, NULL, NULL) : CSFLE_E_INTERNAL;
  if (rc == CSFLE_OK) rc = csfle__wrapper_wrap(w, csfle__view(material, n), &base64, NULL);
  if (rc == CSFLE_OK) assert_bytes_equal(csfle__buf_view(&base64), BYTES("bmV3"));
  csfle__wrapper_close(w);
  csfle_buf_free(&base64);
  return rc;
}

TEST(a_wrapper_without_alternates_never_uses_another_key)
{
  csfle_client *cl = open_client();
  assert_int_equal(wrap_under(cl, KEY, true), CSFLE_OK); /* denied, and then the other */
  assert_int_equal(wrap_under(cl, KEY, false), CSFLE_E_FORBIDDEN);
  csfle_client_close(cl);
}

TEST(a_rewrap_survives_every_failed_allocation)
{
  csfle_client *cl = open_client();
  TORTURE(run_and_forget(cl));
  csfle_client_close(cl);
}
