/* AWS Signature Version 4. See sigv4.h. */
#include "core/kms/sigv4.h"
#include "core/crypt/digest.h"

#include <stdio.h>

csfle_status csfle__put_hex(csfle_buf *b, const uint8_t *bytes, size_t n, csfle_error *err)
{
  csfle_status rc = csfle__buf_reserve(b, 2 * n, err);
  for (size_t i = 0; rc == CSFLE_OK && i < n; i++)
    b->ptr[b->len++] = (uint8_t)"0123456789abcdef"[bytes[i] >> 4], b->ptr[b->len++] = (uint8_t)"0123456789abcdef"[bytes[i] & 15];
  return rc;
}

csfle__bytes csfle__url_host_header(const csfle__url *u)
{
  if (u->port != (u->tls ? 443u : 80u)) return u->authority;
  return csfle__view(u->authority.ptr, u->host.len + (u->v6 ? 2 : 0));
}

csfle_status csfle__sigv4_key(const csfle__sigv4 *s, const char *date, uint8_t out[32], csfle_error *err)
{
  csfle_buf     first;
  uint8_t       k[32];
  csfle__bytes  steps[] = { s->region, csfle__str(s->service), CSFLE__LIT("aws4_request") };
  csfle_buf_init(&first, 0, CSFLE_BUF_WIPE);
  csfle_status rc = csfle__buf_puts(&first, "AWS4", err);
  if (rc == CSFLE_OK) rc = csfle__buf_put(&first, s->secret.ptr, s->secret.len, err);
  if (rc == CSFLE_OK) rc = csfle__hmac_sha256(csfle__buf_view(&first), csfle__str(date), out, err);
  for (size_t i = 0; rc == CSFLE_OK && i < 3; i++) {
    memcpy(k, out, 32);
    rc = csfle__hmac_sha256(csfle__view(k, 32), steps[i], out, err);
  }
  csfle__wipe(k, sizeof k);
  csfle_buf_free(&first);
  return rc;
}

/* trimmed, runs of blanks as one */
static csfle_status put_value(csfle_buf *b, csfle__bytes v, csfle_error *err)
{
  csfle_status rc = CSFLE_OK;
  v = csfle__trim(v);
  for (size_t i = 0; rc == CSFLE_OK && i < v.len; i++)
    if (v.ptr[i] != ' ' || v.ptr[i - 1] != ' ') rc = csfle__buf_putc(b, v.ptr[i], err);
  return rc;
}

static csfle_status put_header(csfle_buf *b, const char *name, csfle__bytes value, csfle_error *err)
{
  csfle_status rc = csfle__buf_puts(b, name, err);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(b, ": ", err);
  if (rc == CSFLE_OK) rc = csfle__buf_put(b, value.ptr, value.len, err);
  return rc == CSFLE_OK ? csfle__buf_puts(b, "\r\n", err) : rc;
}

csfle_status csfle__sigv4_sign(const csfle__sigv4 *s, int64_t now_ms, csfle__request *r, csfle_buf *canonical, csfle_buf *to_sign, csfle_error *err)
{
  static const char *const signed_names[] = { "content-type", "host", "x-amz-date", "x-amz-security-token", "x-amz-target" };
  csfle__url   u;
  csfle_buf    can, text, names;
  char         date[32], day[16];
  uint8_t      hash[32], key[32];
  csfle_status rc;

  if (!csfle__url_parse(&u, csfle__buf_view(&r->url))) return csfle__fail(err, CSFLE_E_CONFIG, "endpoint is no plain http or https URL");
  if (!csfle__http_printable(s->id) || !csfle__http_printable(s->token))
    return csfle__fail(err, CSFLE_E_CONFIG, "access key id or session token has a control character in it");
  csfle__time_format(date, sizeof date, "%Y%m%dT%H%M%SZ", now_ms);
  snprintf(day, sizeof day, "%.8s", date);
  csfle_buf_init(&can, 0, CSFLE_BUF_WIPE);
  csfle_buf_init(&text, 0, CSFLE_BUF_WIPE);
  csfle_buf_init(&names, 0, 0);

  rc = put_header(&r->headers, "X-Amz-Date", csfle__str(date), err);
  if (rc == CSFLE_OK && s->token.len) rc = put_header(&r->headers, "X-Amz-Security-Token", s->token, err);
  if (rc == CSFLE_OK) rc = csfle__buf_printf(&can, err, "%s\n%.*s\n\n", r->method, u.rest.len ? (int)u.rest.len : 1, u.rest.len ? (const char *)u.rest.ptr : "/");
  for (size_t i = 0; rc == CSFLE_OK && i < sizeof signed_names / sizeof *signed_names; i++) {
    csfle__bytes v = i == 1 ? csfle__url_host_header(&u) : csfle__header(csfle__buf_view(&r->headers), signed_names[i]);
    if (!v.ptr) continue;
    rc = csfle__buf_printf(&can, err, "%s:", signed_names[i]);
    if (rc == CSFLE_OK) rc = put_value(&can, v, err);
    if (rc == CSFLE_OK) rc = csfle__buf_putc(&can, '\n', err);
    if (rc == CSFLE_OK) rc = csfle__buf_printf(&names, err, "%s%s", names.len ? ";" : "", signed_names[i]);
  }
  if (rc == CSFLE_OK) rc = csfle__sha256(csfle__buf_view(&r->body), hash, err);
  if (rc == CSFLE_OK) rc = csfle__buf_printf(&can, err, "\n%.*s\n", CSFLE__FMT(csfle__buf_view(&names)));
  if (rc == CSFLE_OK) rc = csfle__put_hex(&can, hash, 32, err);

  if (rc == CSFLE_OK) rc = csfle__sha256(csfle__buf_view(&can), hash, err);
  if (rc == CSFLE_OK) rc = csfle__buf_printf(&text, err, "AWS4-HMAC-SHA256\n%s\n%s/%.*s/%s/aws4_request\n", date, day, CSFLE__FMT(s->region), s->service);
  if (rc == CSFLE_OK) rc = csfle__put_hex(&text, hash, 32, err);
  if (rc == CSFLE_OK) rc = csfle__sigv4_key(s, day, key, err);
  if (rc == CSFLE_OK) rc = csfle__hmac_sha256(csfle__view(key, 32), csfle__buf_view(&text), hash, err);
  csfle__wipe(key, sizeof key);
  if (rc == CSFLE_OK)
    rc = csfle__buf_printf(&r->headers, err, "Authorization: AWS4-HMAC-SHA256 Credential=%.*s/%s/%.*s/%s/aws4_request, SignedHeaders=%.*s, Signature=",
                           CSFLE__FMT(s->id), day, CSFLE__FMT(s->region), s->service, CSFLE__FMT(csfle__buf_view(&names)));
  if (rc == CSFLE_OK) rc = csfle__put_hex(&r->headers, hash, 32, err);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&r->headers, "\r\n", err);
  if (rc == CSFLE_OK && canonical) rc = csfle__buf_put(canonical, can.ptr, can.len, err);
  if (rc == CSFLE_OK && to_sign) rc = csfle__buf_put(to_sign, text.ptr, text.len, err);
  csfle_buf_free(&can);
  csfle_buf_free(&text);
  csfle_buf_free(&names);
  return rc;
}
