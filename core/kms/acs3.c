/* Signatures of Alibaba Cloud. See acs3.h. */
#include "core/kms/acs3.h"
#include "core/crypt/digest.h"
#include "core/kms/sigv4.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_PARTS 32

typedef struct part { char name[48]; csfle__bytes value; } part;

static int by_name(const void *a, const void *b) { return strcmp(((const part *)a)->name, ((const part *)b)->name); }
static int by_bytes(const void *a, const void *b) { return csfle__cmp(*(const csfle__bytes *)a, *(const csfle__bytes *)b); }

/* lower-case names of what is signed, sorted */
static size_t signed_headers(csfle__bytes lines, csfle__bytes host, part *out)
{
  size_t n = 1;
  snprintf(out[0].name, sizeof out[0].name, "host"), out[0].value = host;
  while (lines.len && n < MAX_PARTS) {
    const uint8_t *end = memchr(lines.ptr, '\n', lines.len);
    size_t         len = end ? (size_t)(end - lines.ptr) : lines.len;
    const uint8_t *colon = len ? memchr(lines.ptr, ':', len) : NULL;
    if (colon && (size_t)(colon - lines.ptr) < sizeof out[n].name) {
      size_t k = (size_t)(colon - lines.ptr);
      for (size_t i = 0; i < k; i++) out[n].name[i] = (char)(lines.ptr[i] >= 'A' && lines.ptr[i] <= 'Z' ? lines.ptr[i] + 32 : lines.ptr[i]);
      out[n].name[k] = 0;
      out[n].value = csfle__trim(csfle__view(colon + 1, len - k - 1));
      if (strncmp(out[n].name, "x-acs-", 6) == 0 || strcmp(out[n].name, "content-type") == 0) n++;
    }
    lines = end ? csfle__from(lines, len + 1) : CSFLE__NONE;
  }
  qsort(out, n, sizeof *out, by_name);
  return n;
}

csfle_status csfle__acs3_sign(csfle__bytes id, csfle__bytes secret, csfle__request *r, csfle_buf *canonical, csfle_buf *to_sign, csfle_error *err)
{
  csfle__url   u;
  csfle_buf    can, names, text;
  part         parts[MAX_PARTS];
  uint8_t      hash[32];
  csfle__bytes path = CSFLE__LIT("/"), query = CSFLE__NONE;
  csfle_status rc;
  if (!csfle__url_parse(&u, csfle__buf_view(&r->url))) return csfle__fail(err, CSFLE_E_CONFIG, "endpoint is no plain http or https URL");
  if (!csfle__http_printable(id)) return csfle__fail(err, CSFLE_E_CONFIG, "access key id has a control character in it");
  const uint8_t *mark = u.rest.len ? memchr(u.rest.ptr, '?', u.rest.len) : NULL;
  if (mark) query = csfle__view(mark + 1, u.rest.len - (size_t)(mark - u.rest.ptr) - 1), u.rest.len = (size_t)(mark - u.rest.ptr);
  if (u.rest.len) path = u.rest;
  csfle_buf_init(&can, 0, CSFLE_BUF_WIPE), csfle_buf_init(&names, 0, 0), csfle_buf_init(&text, 0, 0);
  size_t n = signed_headers(csfle__buf_view(&r->headers), csfle__url_host_header(&u), parts);
  rc = csfle__buf_printf(&can, err, "%s\n%.*s\n", r->method, CSFLE__FMT(path));
  if (rc == CSFLE_OK) rc = csfle__buf_put(&can, query.ptr, query.len, err);
  if (rc == CSFLE_OK) rc = csfle__buf_putc(&can, '\n', err);
  for (size_t i = 0; rc == CSFLE_OK && i < n; i++) {
    rc = csfle__buf_printf(&can, err, "%s:%.*s\n", parts[i].name, CSFLE__FMT(parts[i].value));
    if (rc == CSFLE_OK) rc = csfle__buf_printf(&names, err, "%s%s", i ? ";" : "", parts[i].name);
  }
  if (rc == CSFLE_OK)
    rc = csfle__buf_printf(&can, err, "\n%.*s\n%.*s", CSFLE__FMT(csfle__buf_view(&names)), CSFLE__FMT(csfle__header(csfle__buf_view(&r->headers), "x-acs-content-sha256")));
  if (rc == CSFLE_OK) rc = csfle__sha256(csfle__buf_view(&can), hash, err);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&text, "ACS3-HMAC-SHA256\n", err);
  if (rc == CSFLE_OK) rc = csfle__put_hex(&text, hash, 32, err);
  if (rc == CSFLE_OK) rc = csfle__hmac_sha256(secret, csfle__buf_view(&text), hash, err);
  if (rc == CSFLE_OK)
    rc = csfle__buf_printf(&r->headers, err, "Authorization: ACS3-HMAC-SHA256 Credential=%.*s,SignedHeaders=%.*s,Signature=", CSFLE__FMT(id), CSFLE__FMT(csfle__buf_view(&names)));
  if (rc == CSFLE_OK) rc = csfle__put_hex(&r->headers, hash, 32, err);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&r->headers, "\r\n", err);
  if (rc == CSFLE_OK && canonical) rc = csfle__buf_put(canonical, can.ptr, can.len, err);
  if (rc == CSFLE_OK && to_sign) rc = csfle__buf_put(to_sign, text.ptr, text.len, err);
  csfle_buf_free(&can), csfle_buf_free(&names), csfle_buf_free(&text);
  return rc;
}

csfle_status csfle__rpc1_sign(csfle__bytes secret, csfle__request *r, csfle_buf *to_sign, csfle_error *err)
{
  csfle__bytes   url = csfle__buf_view(&r->url), sources[2] = { CSFLE__NONE, csfle__buf_view(&r->body) }, pairs[MAX_PARTS];
  const uint8_t *mark = memchr(url.ptr, '?', url.len);
  csfle_buf      joined, text, key;
  uint8_t        mac[20];
  size_t         n = 0;
  csfle_status   rc = CSFLE_OK;
  if (mark) sources[0] = csfle__from(url, (size_t)(mark - url.ptr) + 1);
  for (size_t i = 0; i < 2; i++)
    while (sources[i].len && n < MAX_PARTS) {
      const uint8_t *amp = memchr(sources[i].ptr, '&', sources[i].len);
      size_t         len = amp ? (size_t)(amp - sources[i].ptr) : sources[i].len;
      pairs[n++] = csfle__view(sources[i].ptr, len);
      sources[i] = csfle__from(sources[i], len + 1);
    }
  qsort(pairs, n, sizeof *pairs, by_bytes);
  csfle_buf_init(&joined, 0, CSFLE_BUF_WIPE), csfle_buf_init(&text, 0, CSFLE_BUF_WIPE), csfle_buf_init(&key, 0, CSFLE_BUF_WIPE);
  for (size_t i = 0; rc == CSFLE_OK && i < n; i++) {
    if (i) rc = csfle__buf_putc(&joined, '&', err);
    if (rc == CSFLE_OK) rc = csfle__buf_put(&joined, pairs[i].ptr, pairs[i].len, err);
  }
  if (rc == CSFLE_OK) rc = csfle__buf_printf(&text, err, "%s&%%2F&", r->method);
  if (rc == CSFLE_OK) rc = csfle__http_encode(&text, csfle__buf_view(&joined), err);
  if (rc == CSFLE_OK) rc = csfle__buf_put(&key, secret.ptr, secret.len, err);
  if (rc == CSFLE_OK) rc = csfle__buf_putc(&key, '&', err);
  if (rc == CSFLE_OK) rc = csfle__hmac_sha1(csfle__buf_view(&key), csfle__buf_view(&text), mac, err);
  if (rc == CSFLE_OK) {
    char b64[28];
    csfle_buf b;
    csfle_buf_init(&b, 0, 0);
    rc = csfle__http_base64(&b, csfle__view(mac, sizeof mac), err);
    if (rc == CSFLE_OK && b.len == sizeof b64) {
      memcpy(b64, b.ptr, sizeof b64);
      rc = csfle__http_form(&r->url, "Signature", csfle__view(b64, sizeof b64), err);
    }
    csfle_buf_free(&b);
  }
  if (rc == CSFLE_OK && to_sign) rc = csfle__buf_put(to_sign, text.ptr, text.len, err);
  csfle_buf_free(&joined), csfle_buf_free(&text), csfle_buf_free(&key);
  return rc;
}
