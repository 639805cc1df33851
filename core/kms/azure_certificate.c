/* A certificate as credential of an application. See azure.h. */
#include "core/crypt/random.h"
#include "core/crypt/sign.h"
#include "core/kms/azure.h"

#define LIFE_S 600

static csfle_status put_claims(csfle_buf *t, csfle__bytes client, csfle__bytes audience, int64_t now_s, csfle_error *err)
{
  uint8_t id[16];
  if (csfle__random_fill(id, sizeof id) != 1) return csfle__fail(err, CSFLE_E_INTERNAL, "no random bytes");
  csfle_status rc = csfle__buf_puts(t, "{\"aud\":", err);
  if (rc == CSFLE_OK) rc = csfle__json_put_string(t, audience, false, err);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(t, ",\"iss\":", err);
  if (rc == CSFLE_OK) rc = csfle__json_put_string(t, client, false, err);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(t, ",\"sub\":", err);
  if (rc == CSFLE_OK) rc = csfle__json_put_string(t, client, false, err);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(t, ",\"jti\":\"", err);
  if (rc == CSFLE_OK) rc = csfle__http_base64url(t, csfle__view(id, sizeof id), err);
  return rc == CSFLE_OK ? csfle__buf_printf(t, err, "\",\"iat\":%lld,\"exp\":%lld}", (long long)now_s, (long long)now_s + LIFE_S) : rc;
}

csfle_status csfle__azure_assertion(csfle_buf *b, csfle__bytes pem, csfle__bytes password, csfle__bytes client, csfle__bytes audience, int64_t now_s, csfle_error *err)
{
  csfle_buf     t;
  csfle__secret sig = CSFLE__SECRET_INIT;
  uint8_t       thumb[32];
  size_t        from = b->len;
  csfle_status  rc = csfle__certificate_sha256(pem, thumb, err);
  csfle_buf_init(&t, 0, 0);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&t, "{\"alg\":\"PS256\",\"typ\":\"JWT\",\"x5t#S256\":\"", err);
  if (rc == CSFLE_OK) rc = csfle__http_base64url(&t, csfle__view(thumb, sizeof thumb), err);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&t, "\"}", err);
  if (rc == CSFLE_OK) rc = csfle__http_base64url(b, csfle__buf_view(&t), err);
  if (rc == CSFLE_OK) rc = csfle__buf_putc(b, '.', err);
  csfle__buf_clear(&t);
  if (rc == CSFLE_OK) rc = put_claims(&t, client, audience, now_s, err);
  if (rc == CSFLE_OK) rc = csfle__http_base64url(b, csfle__buf_view(&t), err);
  if (rc == CSFLE_OK) rc = csfle__sign_ps256(pem, password, csfle__from(csfle__buf_view(b), from), &sig, err);
  if (rc == CSFLE_OK) rc = csfle__buf_putc(b, '.', err);
  if (rc == CSFLE_OK) rc = csfle__http_base64url(b, csfle__secret_view(&sig), err);
  csfle__secret_wipe(&sig);
  csfle_buf_free(&t);
  return rc;
}
