/* Making one data key by hand, and trying whether a KEK can be used. See deks.h. */
#include "client/deks/call.h"
#include "client/deks/wrapper.h"
#include "core/crypt/material.h"

/* the registry's answer to @p c as an object; *root lives as long as c->doc */
static csfle_status ask(csfle_client *cl, csfle__rc_call *c, yyjson_val **root, csfle_error *err)
{
  csfle_status rc = csfle__deks_call(cl, c, err);
  if (rc != CSFLE_OK) return rc;
  *root = c->doc ? yyjson_doc_get_root(c->doc) : NULL;
  return yyjson_is_obj(*root) ? CSFLE_OK : csfle__fail(err, CSFLE_E_RULE, "the registry's answer is no key");
}

/* its version; a shared KEK's answer holds the key in clear, which parsing blots out */
static csfle_status ask_dek(csfle_client *cl, csfle__rc_call *c, int32_t *version, csfle_error *err)
{
  yyjson_val  *root = NULL;
  csfle__dek  *dek = NULL;
  csfle_status rc = ask(cl, c, &root, err);
  if (rc == CSFLE_OK) rc = csfle__dek_parse(&dek, root, err);
  if (rc == CSFLE_OK && dek->version < 1) rc = csfle__fail(err, CSFLE_E_RULE, "the registry's answer is no DEK");
  if (rc == CSFLE_OK) *version = dek->version;
  csfle__dek_free(dek);
  return rc;
}

static csfle_status get_kek(csfle_client *cl, csfle__bytes name, csfle__kek **out, csfle_error *err)
{
  csfle__rc_call c;
  yyjson_val    *root = NULL;
  csfle__rc_call_init(&c, "GET");
  csfle_status rc = csfle__kek_get_request(&c, name, false, CSFLE__NONE, err);
  if (rc == CSFLE_OK) rc = ask(cl, &c, &root, err);
  if (rc == CSFLE_OK) rc = csfle__kek_parse(out, root, err);
  csfle__rc_call_free(&c);
  return rc;
}

/* the highest version there is, soft-deleted ones too: their numbers are taken; 0: none */
static csfle_status latest(csfle_client *cl, csfle__bytes kek, csfle__bytes subject, csfle__algorithm a, int32_t *version, csfle_error *err)
{
  csfle__rc_call c;
  csfle_error    local = CSFLE_ERROR_INIT;
  *version = 0;
  csfle__rc_call_init(&c, "GET");
  csfle_status rc = csfle__dek_get_request(&c, kek, subject, -1, a, true, &local);
  if (rc == CSFLE_OK) rc = ask_dek(cl, &c, version, &local);
  if (rc != CSFLE_OK && local.http == 404) rc = CSFLE_OK;
  else if (rc != CSFLE_OK && err) *err = local;
  csfle__rc_call_free(&c);
  return rc;
}

/* a new key, wrapped: Base64 */
static csfle_status fresh(csfle_client *cl, const csfle__kek *kek, csfle__algorithm a, csfle_buf *base64, csfle_error *err)
{
  csfle__wrapper *w = NULL;
  csfle__secret   raw = CSFLE__SECRET_INIT, material = CSFLE__SECRET_INIT;
  csfle_status    rc = csfle__wrapper_open(&w, cl, kek, true, NULL, err);
  if (rc == CSFLE_OK) rc = csfle__dek_generate(a, &raw, err);
  if (rc == CSFLE_OK) rc = csfle__dek_encode(a, &raw, &material, err);
  if (rc == CSFLE_OK) rc = csfle__wrapper_wrap(w, csfle__secret_view(&material), base64, err);
  csfle__secret_wipe(&raw), csfle__secret_wipe(&material);
  csfle__wrapper_close(w);
  return rc;
}

csfle_status csfle__deks_make(csfle_client *cl, csfle__bytes kek_name, csfle__bytes subject, csfle__algorithm a, int32_t version, int32_t *made,
                              csfle_error *err)
{
  csfle__kek    *kek = NULL;
  csfle__rc_call c;
  csfle_buf      base64;
  int32_t        last = 0;
  csfle_buf_init(&base64, 0, 0);
  csfle__rc_call_init(&c, "POST");
  csfle_status rc = get_kek(cl, kek_name, &kek, err);
  if (rc == CSFLE_OK && !version) rc = latest(cl, kek_name, subject, a, &last, err);
  if (rc == CSFLE_OK && last == INT32_MAX) rc = csfle__fail(err, CSFLE_E_RULE, "there is no version after %d", (int)last);
  if (rc == CSFLE_OK && !kek->shared) rc = fresh(cl, kek, a, &base64, err);
  if (rc == CSFLE_OK)
    rc = csfle__dek_create_request(&c, kek_name, subject, version ? version : last + 1, a, csfle__buf_view(&base64), false, err);
  if (rc == CSFLE_OK) rc = ask_dek(cl, &c, made, err);
  csfle__rc_call_free(&c);
  csfle__kek_free(kek);
  csfle_buf_free(&base64);
  return rc;
}

csfle_status csfle__deks_test(csfle_client *cl, csfle__bytes kek_name, csfle_error *err)
{
  csfle__kek    *kek = NULL;
  csfle__rc_call c;
  csfle_buf      base64;
  yyjson_val    *root = NULL;
  csfle_buf_init(&base64, 0, 0);
  csfle__rc_call_init(&c, "POST");
  csfle_status rc = get_kek(cl, kek_name, &kek, err);
  if (rc == CSFLE_OK && !kek->shared) {
    rc = fresh(cl, kek, CSFLE__AES256_GCM, &base64, err);
  } else if (rc == CSFLE_OK) {
    rc = csfle__buf_puts(&c.path, "/dek-registry/v1/keks/", err);
    if (rc == CSFLE_OK) rc = csfle__put_path_segment(&c.path, kek_name, err);
    if (rc == CSFLE_OK) rc = csfle__buf_puts(&c.path, "/test", err);
    if (rc == CSFLE_OK) rc = ask(cl, &c, &root, err);
  }
  csfle__rc_call_free(&c);
  csfle__kek_free(kek);
  csfle_buf_free(&base64);
  return rc;
}
