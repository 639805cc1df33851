/* Every allocation of what the HTTP drivers share: the operator's hosts, the parts of a request, tokens that are kept. */
#include "tests/support/test.h"

#include "core/kms/bearer.h"

static const char *own(void *opaque, const char *name)
{
  (void)opaque;
  return strcmp(name, CSFLE__HOSTS_PROPERTY) == 0 ? "kms.example.com,*.vault.azure.net,http://127.0.0.1:8200" : NULL;
}
static const char *none(void *opaque, const char *name) { return (void)opaque, (void)name, NULL; }

static csfle_status request(void)
{
  static const char *const defaults[] = { "*.amazonaws.com", NULL };
  const csfle__kms_props   props = { none, NULL, own };
  csfle__hosts             h = CSFLE__HOSTS_INIT;
  csfle__io                io;
  csfle__secret            raw = CSFLE__SECRET_INIT;
  csfle__io_init(&io);
  csfle_status rc = csfle__hosts_open(&h, &props, defaults, NULL), memory = CSFLE_OK;
  csfle__http_start(&io, "POST", 1000);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&io.request.url, "https://a.vault.azure.net/x?", NULL);
  if (rc == CSFLE_OK) rc = csfle__http_form(&io.request.url, "a", BYTES("b c/\xc3\xa9"), NULL);
  if (rc == CSFLE_OK) rc = csfle__http_header(&io, "X-Name", BYTES("value"), NULL);
  if (rc == CSFLE_OK) rc = csfle__http_encode(&io.request.body, BYTES("a+b"), NULL);
  if (rc == CSFLE_OK) rc = csfle__http_base64(&io.request.body, BYTES("some bytes"), NULL);
  if (rc == CSFLE_OK) rc = csfle__http_base64url(&io.request.body, BYTES("some bytes"), NULL);
  if (rc == CSFLE_OK) rc = csfle__hosts_check(&h, CSFLE__HOST_KMS, &io.request, NULL);
  if (rc == CSFLE_OK && !csfle__http_unbase64(BYTES("c29tZSBieXRlcw=="), &raw, &memory)) rc = memory;
  csfle__secret_wipe(&raw);
  csfle__hosts_close(&h);
  csfle__io_free(&io);
  return rc;
}
TEST(requests_of_the_drivers_survive_every_failed_allocation) { TORTURE(request()); }

static csfle_status token(void)
{
  csfle__http_about about = { "kms", CSFLE__NONE, "Login" };
  csfle__bearer     b;
  csfle__kms_call   call;
  csfle__secret     got = CSFLE__SECRET_INIT, again = CSFLE__SECRET_INIT;
  bool              have = false;
  csfle__bearer_init(&b);
  csfle__kms_call_init(&call, false, CSFLE__NONE);
  csfle_status rc = csfle__bearer_put(&b, BYTES("first"), 1000, NULL);
  if (rc == CSFLE_OK) rc = csfle__bearer_get(&b, 0, 10, &got, &have, NULL);
  if (rc == CSFLE_OK && !have) rc = CSFLE_E_INTERNAL;
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&call.io.reply.body, "{\"access_token\":\"second\",\"expires_in\":\"3599\"}", NULL);
  call.io.reply.status = 200;
  if (rc == CSFLE_OK) rc = csfle__bearer_take_oauth(&b, &call, &about, &again, NULL);
  csfle__secret_wipe(&got), csfle__secret_wipe(&again);
  csfle__kms_call_free(&call);
  csfle__bearer_free(&b);
  return rc;
}
TEST(tokens_that_are_kept_survive_every_failed_allocation) { TORTURE(token()); } /* ENC-101 */

static const char *pem(void *opaque, const char *name)
{
  (void)opaque;
  return strcmp(name, "ca") == 0 ? "/ca.pem" : NULL;
}
static csfle_status certificates(void)
{
  csfle__kms_props p = { pem, NULL, pem };
  csfle__http_tls  t = { .any = false };
  csfle__secret    file = CSFLE__SECRET_INIT;
  csfle_status     rc = csfle__http_own_file(&file, &p, "ca", NULL);
  for (int i = 0; rc == CSFLE_OK && i < 2 * CSFLE__TLS_FILES; i++) rc = csfle__http_tls_set(&t, i % CSFLE__TLS_FILES, csfle__secret_view(&file), NULL);
  if (rc == CSFLE_OK && strcmp(t.tls.key_file, "/ca.pem") != 0) rc = CSFLE_E_INTERNAL;
  csfle__http_tls_free(&t);
  csfle__secret_wipe(&file);
  return rc;
}
TEST(certificates_of_a_driver_survive_every_failed_allocation) { TORTURE(certificates()); }
