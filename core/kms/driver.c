/* Finding, opening and running KMS drivers. See driver.h. */
#include "core/kms/driver.h"
#include "core/base/alloc.h"
#include "core/kms/keys.h"
#include "core/kms/plugin.h"

#define CSFLE_KMS_DRIVER(file) extern const csfle__kms_driver csfle__kms_driver_##file;
#include "core/kms/drivers.def"
#undef CSFLE_KMS_DRIVER

static const csfle__kms_driver *const drivers[] = {
#define CSFLE_KMS_DRIVER(file) &csfle__kms_driver_##file,
#include "core/kms/drivers.def"
#undef CSFLE_KMS_DRIVER
};

const char *csfle__kms_prop(const csfle__kms_props *p, const char *name) { return p && p->get ? p->get(p->opaque, name) : NULL; }
const char *csfle__kms_own_prop(const csfle__kms_props *p, const char *name) { return p && p->own ? p->own(p->opaque, name) : NULL; }

csfle_status csfle__kms_read_props(csfle__secret *values, const char *const *names, size_t count, const csfle__kms_props *p, csfle_error *err)
{
  csfle_status rc = CSFLE_OK;
  for (size_t i = 0; rc == CSFLE_OK && i < count; i++) {
    const char *v = csfle__kms_prop(p, names[i]);
    if (v && *v) rc = csfle__secret_copy(&values[i], csfle__str(v), err);
  }
  return rc;
}

csfle_status csfle__kms_bad_key_id(const char *type, csfle__bytes key_id, const char *expected, csfle_error *err)
{
  return csfle__fail(err, CSFLE_E_CONFIG, "invalid key URI: %s://%.*s: expected %s", type, key_id.len > 120 ? 120 : (int)key_id.len,
                     key_id.len ? (const char *)key_id.ptr : "", expected);
}

const csfle__kms_driver *csfle__kms_driver_find(csfle__bytes type)
{
  for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
    if (csfle__eq_nocase(type, csfle__str(drivers[i]->type))) return drivers[i];
  return NULL;
}

csfle_status csfle__kms_open_any(csfle__kms **out, const csfle__plugins *plugins, csfle__bytes type, csfle__bytes key_id,
                                 const csfle__kms_props *props, csfle_error *err)
{
  const csfle__plugin     *plugin = csfle__plugins_find(plugins, type);
  const csfle__kms_driver *d = plugin ? NULL : csfle__kms_driver_find(type);
  *out = NULL;
  if (!plugin && !d)
    return csfle__fail(err, CSFLE_E_CONFIG, "no KMS driver supports: %.*s://%.*s", CSFLE__FMT(type), CSFLE__FMT(key_id));
  csfle_status rc = csfle__keys_check(props, type, key_id, err);
  if (rc != CSFLE_OK) return rc;
  rc = plugin ? csfle__plugin_open(out, plugin, props, key_id, err) : d->open(out, props, key_id, err);
  if (rc != CSFLE_OK) return rc;
  if (d) (*out)->driver = d;
  pthread_mutex_init(&(*out)->lock, NULL);
  return CSFLE_OK;
}

csfle_status csfle__kms_open(csfle__kms **out, csfle__bytes type, csfle__bytes key_id, const csfle__kms_props *props, csfle_error *err)
{
  return csfle__kms_open_any(out, NULL, type, key_id, props, err);
}

void csfle__kms_close(csfle__kms *k)
{
  if (!k) return;
  pthread_mutex_destroy(&k->lock);
  k->driver->close(k);
}

void csfle__kms_call_init(csfle__kms_call *c, bool unwrap, csfle__bytes in)
{
  memset(c, 0, sizeof *c);
  c->unwrap = unwrap;
  c->in = in;
  csfle__io_init(&c->io);
}

void *csfle__kms_work(csfle__kms_call *c, size_t size, void (*free_work)(void *work), csfle_error *err)
{
  if (!c->work) {
    c->work = csfle__calloc(1, size);
    c->free_work = free_work;
    if (!c->work) csfle__nomem(err);
  }
  return c->work;
}

/* ---- turns */

#define LOOK_MS 20

csfle__next csfle__kms_login_turn(csfle__kms *k, csfle__kms_call *call, csfle_error *err)
{
  csfle__next next = CSFLE__WAIT;
  pthread_mutex_lock(&k->lock);
  if (call->waited && k->failed_turn == call->waited) {
    if (err) *err = k->failed;
    next = CSFLE__FAIL;
  } else if (!k->busy) {
    k->busy = true;
    k->turn++;
    call->login_of = k;
    next = CSFLE__DONE;
  } else {
    call->waited = k->turn;
    csfle__io_reset(&call->io);
    call->io.wait_until_ms = call->mono_ms + LOOK_MS;
  }
  pthread_mutex_unlock(&k->lock);
  return next;
}

void csfle__kms_login_end(csfle__kms_call *call, const csfle_error *failed)
{
  csfle__kms *k = call->login_of;
  if (!k) return;
  pthread_mutex_lock(&k->lock);
  k->busy = false;
  if (failed) k->failed_turn = k->turn, k->failed = *failed;
  pthread_mutex_unlock(&k->lock);
  call->login_of = NULL;
}

void csfle__kms_call_free(csfle__kms_call *c)
{
  csfle__kms_login_end(c, NULL); /* given up: the next in turn */
  if (c->work) c->free_work(c->work);
  c->work = NULL;
  csfle__secret_wipe(&c->out);
  csfle__io_free(&c->io);
}

csfle__next csfle__kms_step(csfle__kms *k, csfle__kms_call *call, csfle_error *err)
{
  csfle__next     next = k->driver->step(k, call, err);
  csfle__request *r = &call->io.request;
  if (next == CSFLE__SEND && call->timeout_ms && (!r->timeout_ms || r->timeout_ms > call->timeout_ms)) r->timeout_ms = call->timeout_ms;
  if (next == CSFLE__FAIL) csfle__kms_login_end(call, err && CSFLE_CLASS(err->code) != CSFLE_CLASS_LIMIT ? err : NULL);
  return next;
}

csfle_status csfle__kms_run(csfle__kms *k, csfle__kms_call *call, const csfle_transport *t, const csfle__clock *clock,
                            csfle_error *err)
{
  const csfle__clock *c = clock ? clock : &csfle__system_clock;
  csfle_error         own = CSFLE_ERROR_INIT;
  if (!err) err = &own;
  for (;;) {
    call->now_ms = c->wall_ms(c->opaque);
    call->mono_ms = c->monotonic_ms(c->opaque);
    switch (csfle__kms_step(k, call, err)) {
    case CSFLE__SEND: csfle__send(t, &call->io); break;
    case CSFLE__WAIT: csfle__answer_wait(c, &call->io); break;
    case CSFLE__NEED:
      if (csfle__answer_need(&call->io) != CSFLE_OK) return csfle__nomem(err);
      break;
    case CSFLE__DONE: return CSFLE_OK;
    case CSFLE__FAIL: return err->code;
    }
  }
}
