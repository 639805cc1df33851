/*
 * local-kms: the KEK is derived from a secret that everybody shares [ENC 4.2]. For tests and demonstrations: there is no
 * stretching, so a secret that can be guessed is a broken key. The key id takes no part.
 */
#include "core/kms/driver.h"
#include "core/base/alloc.h"
#include "core/crypt/cipher.h"
#include "core/crypt/digest.h"

#define KEY_BYTES 16

typedef struct local {
  csfle__kms    base;
  csfle__secret key; /* empty: from LOCAL_SECRET, asked for at every call. Never changes: any thread may step */
} local;

enum { START, ANSWERED };

static csfle_status derive(csfle__bytes secret, csfle__secret *key, csfle_error *err)
{
  /* an empty secret derives a key that everybody knows */
  if (secret.len == 0) return csfle__fail(err, CSFLE_E_CONFIG, "cannot load secret");
  csfle_status rc = csfle__secret_make(key, KEY_BYTES, err);
  return rc == CSFLE_OK ? csfle__hkdf_sha256(secret, key, err) : rc;
}

static csfle_status local_open(csfle__kms **out, const csfle__kms_props *props, csfle__bytes key_id, csfle_error *err)
{
  const char *secret = props && props->get ? props->get(props->opaque, "secret") : NULL;
  (void)key_id;
  local *k = csfle__calloc(1, sizeof *k);
  if (!k) return csfle__nomem(err);
  csfle_status rc = secret ? derive(csfle__str(secret), &k->key, err) : CSFLE_OK;
  if (rc != CSFLE_OK) {
    csfle__secret_wipe(&k->key);
    csfle__free(k);
    return rc;
  }
  *out = &k->base;
  return CSFLE_OK;
}

static void local_close(csfle__kms *kms)
{
  local *k = (local *)kms;
  csfle__secret_wipe(&k->key);
  csfle__free(k);
}

static csfle_status work(const csfle__secret *key, csfle__kms_call *call, csfle_error *err)
{
  size_t          overhead = csfle__algorithm_overhead(CSFLE__AES128_GCM), n;
  csfle__secret   out = CSFLE__SECRET_INIT;
  csfle__cipher  *c;
  csfle_status    rc = csfle__cipher_new(&c, CSFLE__AES128_GCM, key, err);
  if (rc != CSFLE_OK) return rc;
  if (!call->unwrap) {
    rc = csfle__secret_make(&out, call->in.len + overhead, err);
    if (rc == CSFLE_OK) rc = csfle__cipher_seal(c, NULL, call->in, out.ptr, err);
  } else {
    rc = csfle__secret_make(&out, call->in.len > overhead ? call->in.len - overhead : 0, err);
    if (rc == CSFLE_OK) rc = csfle__cipher_open(c, call->in, out.ptr, &n, err);
  }
  if (rc == CSFLE_OK) csfle__secret_move(&call->out, &out);
  csfle__secret_wipe(&out);
  csfle__cipher_free(c);
  return rc;
}

static csfle__next local_step(csfle__kms *kms, csfle__kms_call *call, csfle_error *err)
{
  local        *k = (local *)kms;
  csfle__secret key = CSFLE__SECRET_INIT;
  csfle_status  rc;

  if (k->key.len == 0 && call->state == START) {
    call->state = ANSWERED;
    call->io.need_kind = CSFLE__NEED_VARIABLE;
    call->io.need_name = "LOCAL_SECRET";
    return CSFLE__NEED;
  }
  if (k->key.len) {
    rc = work(&k->key, call, err);
  } else {
    rc = derive(csfle__secret_view(&call->io.need_value), &key, err);
    csfle__secret_wipe(&call->io.need_value);
    if (rc == CSFLE_OK) rc = work(&key, call, err);
    csfle__secret_wipe(&key);
  }
  return rc == CSFLE_OK ? CSFLE__DONE : CSFLE__FAIL;
}

const csfle__kms_driver csfle__kms_driver_local = { "local-kms", local_open, local_step, local_close };
