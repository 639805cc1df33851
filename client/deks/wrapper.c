/* Wrapping and unwrapping over one open KMS. See wrapper.h. */
#include "client/deks/wrapper.h"

#include "client/serde/client.h"
#include "core/base/alloc.h"
#include "core/base/base64.h"

#include <stdio.h>

#define ALTERNATES "encrypt.alternate.kms.key.ids"

struct csfle__wrapper {
  csfle_client         *cl;
  const char           *executor;
  bool                  alternates;
  csfle__kek            own; /* the caller's, with `pairs` for properties */
  csfle__pair          *pairs;
  csfle__shared_kek     kek; /* borrows own; never retained */
  csfle__encrypt_params params;
  csfle__kms_props      props;
  csfle__key_want       want;
  csfle__key_fetch      fetch;
};

static const char *get_prop(void *opaque, const char *name)
{
  const csfle__wrapper *w = opaque;
  char                  full[256];
  const char           *executors[] = { w->executor, "_default_" }, *v;
  if (!w->alternates && strcmp(name, ALTERNATES) == 0) return NULL;
  for (size_t i = 0; i < 2; i++) {
    if (!executors[i]) continue;
    snprintf(full, sizeof full, "rule.executors.%s.param.%s", executors[i], name);
    if ((v = csfle__config_given(w->cl->config, full))) return v;
  }
  return csfle__config_given(w->cl->config, name);
}

csfle_status csfle__wrapper_open(csfle__wrapper **out, csfle_client *cl, const csfle__kek *kek, bool alternates, const char *executor, csfle_error *err)
{
  csfle__wrapper *w = csfle__calloc(1, sizeof *w);
  *out = NULL;
  if (w) w->pairs = csfle__calloc(kek->kms_props.count + 1, sizeof *w->pairs);
  if (!w || !w->pairs) {
    csfle__free(w);
    return csfle__nomem(err);
  }
  w->cl = cl, w->executor = executor, w->alternates = alternates;
  w->own = *kek;
  w->own.kms_props = (csfle__pairs){ w->pairs, 0 };
  for (size_t i = 0; i < kek->kms_props.count; i++)
    if (alternates || !csfle__eq_str(kek->kms_props.at[i].name, ALTERNATES)) w->pairs[w->own.kms_props.count++] = kek->kms_props.at[i];
  w->kek.kek = &w->own;
  w->params = (csfle__encrypt_params){ .kek_name = kek->name };
  w->props = (csfle__kms_props){ .get = get_prop, .opaque = w };
  w->want = (csfle__key_want){ .params = &w->params, .write = true, .props = &w->props };
  csfle__key_fetch_init(&w->fetch, &cl->ring, &w->want);
  w->fetch.kek = &w->kek;
  *out = w;
  return CSFLE_OK;
}

void csfle__wrapper_close(csfle__wrapper *w)
{
  if (!w) return;
  w->fetch.kek = NULL; /* borrowed */
  csfle__key_fetch_free(&w->fetch);
  csfle__free(w->pairs);
  csfle__free(w);
}

static csfle__io  *io_of(void *self) { return ((csfle__key_fetch *)self)->io; }
static csfle__next step(void *self, csfle_error *err) { return csfle__key_fetch_kms(self, err); }

static csfle_status run(csfle__wrapper *w, bool unwrap, csfle__bytes in, csfle__secret *out, csfle_error *err)
{
  csfle__key_fetch *f = &w->fetch;
  f->unwrap = unwrap, f->kms_in = in, f->kms_line = 0;
  csfle_status rc = csfle__drive(&w->cl->rc.world, (csfle__machine){ step, io_of, f }, err);
  if (rc == CSFLE_OK) csfle__secret_move(out, &f->kms_call.out);
  return rc;
}

csfle_status csfle__wrapper_unwrap(csfle__wrapper *w, csfle__bytes base64, csfle__secret *material, csfle_error *err)
{
  csfle__secret wrapped = CSFLE__SECRET_INIT;
  size_t        n = 0;
  csfle_status  rc = csfle__secret_make(&wrapped, base64.len / 4 * 3 + 3, err);
  if (rc == CSFLE_OK && (!base64.len || !csfle__base64_decode(base64, wrapped.ptr, &n)))
    rc = csfle__fail(err, CSFLE_E_DECRYPT, "encryptedKeyMaterial is %s", base64.len ? "not base64" : "missing");
  if (rc == CSFLE_OK) rc = run(w, true, csfle__view(wrapped.ptr, n), material, err);
  csfle__secret_wipe(&wrapped);
  return rc;
}

csfle_status csfle__wrapper_wrap(csfle__wrapper *w, csfle__bytes material, csfle_buf *base64, csfle_error *err)
{
  csfle__secret wrapped = CSFLE__SECRET_INIT, check = CSFLE__SECRET_INIT;
  csfle_status  rc = run(w, false, material, &wrapped, err);
  if (rc == CSFLE_OK) rc = run(w, true, csfle__secret_view(&wrapped), &check, err);
  if (rc == CSFLE_OK && !csfle__secret_equal(material, csfle__secret_view(&check)))
    rc = csfle__fail(err, CSFLE_E_DECRYPT, "what the KMS wrapped does not unwrap to the same key; the old material is kept");
  csfle__buf_clear(base64);
  if (rc == CSFLE_OK) rc = csfle__buf_reserve(base64, csfle__base64_len(wrapped.len), err);
  if (rc == CSFLE_OK) {
    csfle__base64_encode(csfle__secret_view(&wrapped), (char *)base64->ptr);
    base64->len = csfle__base64_len(wrapped.len);
  }
  csfle__secret_wipe(&wrapped), csfle__secret_wipe(&check);
  return rc;
}
