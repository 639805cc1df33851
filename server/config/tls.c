/* What the https listeners show: the PEM texts that ssl.keystore.* names. See config.h. */
#include "server/config/config.h"

#include "core/base/secret.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PEM_BYTES_MAX (1 << 20)
#define CONVERT \
  "keytool -importkeystore -srckeystore OLD -destkeystore s.p12 -deststoretype PKCS12 && openssl pkcs12 -in s.p12 -out s.pem -nodes, then ssl.keystore.location=s.pem"

static csfle_status read_file(csfle_buf *out, const char *path, csfle_error *err)
{
  FILE *f = fopen(path, "rb");
  char  part[4096];

  if (!f) return csfle__fail(err, CSFLE_E_CONFIG, "ssl.keystore.location: cannot read %s: %s", path, strerror(errno));
  csfle_status rc = CSFLE_OK;
  for (size_t n; rc == CSFLE_OK && (n = fread(part, 1, sizeof part, f)) > 0;) rc = csfle__buf_put(out, part, n, err);
  if (rc == CSFLE_OK && ferror(f)) rc = csfle__fail(err, CSFLE_E_CONFIG, "ssl.keystore.location: cannot read %s", path);
  fclose(f);
  csfle__wipe(part, sizeof part);
  return rc;
}

static bool has(const csfle_buf *b, const char *text)
{
  return b->len && memmem(b->ptr, b->len, text, strlen(text)) != NULL;
}

csfle_status registry_tls_load(registry_tls *out, const registry_properties *p, csfle_error *err)
{
  const char *type = registry_property(p, "ssl.keystore.type"), *path = registry_property(p, "ssl.keystore.location");
  const char *chain = registry_property(p, "ssl.keystore.certificate.chain"), *key = registry_property(p, "ssl.keystore.key");
  csfle_status rc = CSFLE_OK;

  csfle_buf_init(&out->certificate, PEM_BYTES_MAX, CSFLE_BUF_WIPE);
  csfle_buf_init(&out->key, PEM_BYTES_MAX, CSFLE_BUF_WIPE);
  if (strcasecmp(type, "PEM") != 0)
    return csfle__fail(err, CSFLE_E_CONFIG, "ssl.keystore.type is \"%.20s\", only PEM is read; " CONVERT " and ssl.keystore.type=PEM", type);
  if (!*path && (!*chain || !*key))
    return csfle__fail(err, CSFLE_E_CONFIG, "an https listener needs a certificate and its key: ssl.keystore.location names a PEM file with both, or ssl.keystore.certificate.chain and ssl.keystore.key hold them");
  if (*path && (*chain || *key))
    return csfle__fail(err, CSFLE_E_CONFIG, "ssl.keystore.location and ssl.keystore.certificate.chain or ssl.keystore.key are both set: which of them counts?");
  if (*path) {
    rc = read_file(&out->certificate, path, err);
    if (rc == CSFLE_OK && !has(&out->certificate, "-----BEGIN "))
      rc = csfle__fail(err, CSFLE_E_CONFIG, "ssl.keystore.location: %.60s is no PEM file; for JKS or PKCS12: " CONVERT, path);
    if (rc == CSFLE_OK) rc = csfle__buf_put(&out->key, out->certificate.ptr, out->certificate.len, err);
  } else {
    rc = csfle__buf_puts(&out->certificate, chain, err);
    if (rc == CSFLE_OK) rc = csfle__buf_puts(&out->key, key, err);
  }
  if (rc == CSFLE_OK && !has(&out->certificate, "-----BEGIN CERTIFICATE")) rc = csfle__fail(err, CSFLE_E_CONFIG, "%s holds no certificate", *path ? path : "ssl.keystore.certificate.chain");
  if (rc == CSFLE_OK && !has(&out->key, "PRIVATE KEY-----")) rc = csfle__fail(err, CSFLE_E_CONFIG, "%s holds no private key", *path ? path : "ssl.keystore.key");
  if (rc == CSFLE_OK) rc = csfle__buf_putc(&out->certificate, 0, err);
  if (rc == CSFLE_OK) rc = csfle__buf_putc(&out->key, 0, err);
  return rc;
}

void registry_tls_free(registry_tls *t)
{
  csfle_buf_free(&t->certificate);
  csfle_buf_free(&t->key);
}
