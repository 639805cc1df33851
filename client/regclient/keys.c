/* The DEK Registry's requests. See keys.h. */
#include "client/regclient/keys.h"

static csfle_status begin(csfle__rc_call *c, const char *method, csfle_error *err)
{
  csfle__rc_call_free(c);
  csfle__rc_call_init(c, method);
  return csfle__buf_puts(&c->path, "/dek-registry/v1/keks", err);
}

static csfle_status put_segment(csfle_buf *b, const char *before, csfle__bytes text, csfle_error *err)
{
  csfle_status rc = csfle__buf_puts(b, before, err);
  return rc == CSFLE_OK ? csfle__put_path_segment(b, text, err) : rc;
}

static csfle_status put_context(csfle_buf *b, char before, csfle__bytes context, csfle_error *err)
{
  if (!context.len || csfle__eq_str(context, ".")) return CSFLE_OK;
  csfle_status rc = csfle__buf_printf(b, err, "%ccontext=", before);
  return rc == CSFLE_OK ? csfle__put_query_value(b, context, err) : rc;
}

static csfle_status put_member(csfle_buf *b, const char *name, csfle__bytes value, csfle_error *err)
{
  csfle_status rc = csfle__buf_printf(b, err, "%s\"%s\":", b->len ? "," : "{", name);
  return rc == CSFLE_OK ? csfle__json_put_string(b, value, false, err) : rc;
}

csfle_status csfle__kek_get_request(csfle__rc_call *c, csfle__bytes name, bool deleted, csfle__bytes context, csfle_error *err)
{
  csfle_status rc = begin(c, "GET", err);
  if (rc == CSFLE_OK) rc = put_segment(&c->path, "/", name, err);
  if (rc == CSFLE_OK) rc = csfle__buf_printf(&c->path, err, "?deleted=%s", deleted ? "true" : "false");
  if (rc == CSFLE_OK) rc = put_context(&c->path, '&', context, err);
  return rc;
}

csfle_status csfle__kek_create_request(csfle__rc_call *c, csfle__bytes name, csfle__bytes kms_type, csfle__bytes key_id,
                                       csfle__bytes context, csfle_error *err)
{
  csfle_status rc = begin(c, "POST", err);
  if (rc == CSFLE_OK) rc = put_context(&c->path, '?', context, err);
  if (rc == CSFLE_OK) rc = put_member(&c->body, "name", name, err);
  if (rc == CSFLE_OK) rc = put_member(&c->body, "kmsType", kms_type, err);
  if (rc == CSFLE_OK) rc = put_member(&c->body, "kmsKeyId", key_id, err);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&c->body, ",\"shared\":false}", err);
  return rc;
}

csfle_status csfle__dek_get_request(csfle__rc_call *c, csfle__bytes kek, csfle__bytes subject, int32_t version,
                                    csfle__algorithm a, bool deleted, csfle_error *err)
{
  csfle_status rc = begin(c, "GET", err);
  if (rc == CSFLE_OK) rc = put_segment(&c->path, "/", kek, err);
  if (rc == CSFLE_OK) rc = put_segment(&c->path, "/deks/", subject, err);
  if (rc == CSFLE_OK)
    rc = csfle__buf_printf(&c->path, err, "/versions/%d?algorithm=%s&deleted=%s", (int)version, csfle__algorithm_name(a), deleted ? "true" : "false");
  return rc;
}

csfle_status csfle__dek_create_request(csfle__rc_call *c, csfle__bytes kek, csfle__bytes subject, int32_t version,
                                       csfle__algorithm a, csfle__bytes wrapped_base64, bool old_path, csfle_error *err)
{
  csfle_status rc = begin(c, "POST", err);
  if (rc == CSFLE_OK) rc = put_segment(&c->path, "/", kek, err);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&c->path, "/deks", err);
  if (rc == CSFLE_OK && !old_path) rc = put_segment(&c->path, "/", subject, err);
  if (rc == CSFLE_OK) rc = put_member(&c->body, "subject", subject, err);
  if (rc == CSFLE_OK) rc = csfle__buf_printf(&c->body, err, ",\"version\":%d", (int)version);
  if (rc == CSFLE_OK) rc = put_member(&c->body, "algorithm", csfle__str(csfle__algorithm_name(a)), err);
  if (rc == CSFLE_OK && wrapped_base64.len) rc = put_member(&c->body, "encryptedKeyMaterial", wrapped_base64, err);
  if (rc == CSFLE_OK) rc = csfle__buf_putc(&c->body, '}', err);
  return rc;
}
