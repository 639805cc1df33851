/* Plug-ins as drivers. See plugin.h. */
#include "core/kms/plugin.h"
#include "core/base/alloc.h"
#include "core/kms/http.h"

#include <stdatomic.h>

#define OUT_MAX (64u << 10)

/* An open key of a plug-in. It lives until the last call on it has ended, also one that nobody waits for any more. */
typedef struct plugin {
  csfle__kms    base;
  _Atomic(long) refs; /* who has it open, and every call */
  csfle_kms     kms;
  void         *handle;
  char         *key_id;
  char          type[64];
} plugin;

/* One call: its machine has it, and the plug-in until csfle_kms_done. */
struct csfle_kms_call {
  _Atomic(long) refs;
  plugin       *owner;
  csfle__bell   ended;
  atomic_flag   done;
  int64_t       deadline_ms;
  csfle__secret in, out;
  csfle_status  status; /* these three are written before `ended` rings, read after it */
  char          failure[200];
};

static void plugin_release(plugin *p)
{
  if (--p->refs) return;
  if (p->handle) p->kms.close(p->handle);
  csfle__free(p->key_id);
  csfle__free(p);
}

static void call_release(void *opaque)
{
  csfle_kms_call *c = opaque;
  if (--c->refs) return;
  csfle__secret_wipe(&c->in), csfle__secret_wipe(&c->out);
  csfle__bell_free(&c->ended);
  plugin_release(c->owner);
  csfle__free(c);
}

void csfle_kms_done(csfle_kms_call *c, csfle_status st, const void *out, size_t len, const char *failure)
{
  if (!c || atomic_flag_test_and_set(&c->done)) return;
  if (st == CSFLE_OK && (!out || !len || len > OUT_MAX)) {
    st = CSFLE_E_DECRYPT;
    failure = len > OUT_MAX ? "its answer is longer than 64 KiB" : "its answer is empty";
  } else if (st == CSFLE_OK) {
    st = csfle__secret_copy(&c->out, csfle__view(out, len), NULL);
  } else if (st == CSFLE_E_WOULD_BLOCK || strcmp(csfle_status_name(st), "UNKNOWN") == 0) {
    st = st == CSFLE_E_WOULD_BLOCK ? CSFLE_E_UNAVAILABLE : CSFLE_E_INTERNAL;
  }
  csfle__http_line(c->failure, sizeof c->failure, csfle__str(failure && *failure ? failure : "failed without saying why"));
  c->status = st;
  csfle__secret_wipe(&c->in);
  csfle__bell_ring(&c->ended);
  call_release(c);
}

static csfle_kms_call *call_new(plugin *p, const csfle__kms_call *call, csfle_error *err)
{
  csfle_kms_call *c = csfle__calloc(1, sizeof *c);
  if (!c || csfle__secret_copy(&c->in, call->in, NULL) != CSFLE_OK) {
    csfle__free(c);
    csfle__nomem(err);
    return NULL;
  }
  csfle__bell_init(&c->ended);
  atomic_flag_clear(&c->done);
  c->refs = 2;
  c->owner = p;
  p->refs++;
  c->deadline_ms = call->mono_ms + (call->timeout_ms ? call->timeout_ms : CSFLE__KMS_TIMEOUT_MS);
  return c;
}

static csfle__next plugin_step(csfle__kms *kms, csfle__kms_call *call, csfle_error *err)
{
  plugin           *p = (plugin *)kms;
  csfle_kms_call   *c = call->work;
  csfle__http_about about = { p->type, csfle__str(p->key_id), call->unwrap ? "unwrap" : "wrap" };
  if (!c) {
    c = call->work = call_new(p, call, err);
    call->free_work = call_release;
    if (!c) return CSFLE__FAIL;
    (call->unwrap ? p->kms.unwrap : p->kms.wrap)(p->handle, c, c->in.ptr, c->in.len);
  }
  if (csfle__bell_rung(&c->ended)) {
    if (c->status == CSFLE_OK) {
      csfle__secret_move(&call->out, &c->out);
      return CSFLE__DONE;
    }
    if (c->status == CSFLE_E_NOMEM) csfle__nomem(err);
    else csfle__http_failf(&about, c->status, err, "%s", c->failure);
    return CSFLE__FAIL;
  }
  if (call->mono_ms >= c->deadline_ms) {
    csfle__http_failf(&about, CSFLE_E_TIMEOUT, err, "no answer in time");
    return CSFLE__FAIL;
  }
  call->io.bell = &c->ended;
  call->io.wait_until_ms = c->deadline_ms;
  return CSFLE__WAIT;
}

static void plugin_close(csfle__kms *kms) { plugin_release((plugin *)kms); }

static const char *get_prop(void *ctx, const char *name) { return name ? csfle__kms_prop(ctx, name) : NULL; }

csfle_status csfle__plugin_open(csfle__kms **out, const csfle__plugin *from, const csfle__kms_props *props, csfle__bytes key_id, csfle_error *err)
{
  static const csfle__kms_driver driver = { "plug-in", NULL, plugin_step, plugin_close };
  csfle_error                    theirs = CSFLE_ERROR_INIT;
  csfle__kms_props               given = props ? *props : (csfle__kms_props){ 0 };
  char                           why[sizeof theirs.msg];
  plugin                        *p = csfle__calloc(1, sizeof *p);
  *out = NULL;
  if (!p) return csfle__nomem(err);
  p->base.driver = &driver;
  p->kms = from->kms;
  p->refs = 1;
  memcpy(p->type, from->type, sizeof p->type);
  p->key_id = csfle__dup(key_id.len ? (const void *)key_id.ptr : "", key_id.len);
  if (!p->key_id) {
    plugin_release(p);
    return csfle__nomem(err);
  }
  if (strlen(p->key_id) == key_id.len) p->handle = p->kms.open(p->key_id, get_prop, &given, &theirs);
  else csfle__fail(&theirs, CSFLE_E_CONFIG, "a NUL inside the key id");
  if (p->handle) {
    *out = &p->base;
    return CSFLE_OK;
  }
  csfle_status code = strcmp(csfle_status_name(theirs.code), "UNKNOWN") != 0 && theirs.code != CSFLE_OK && theirs.code != CSFLE_E_WOULD_BLOCK ? theirs.code : CSFLE_E_CONFIG;
  csfle__http_line(why, sizeof why, csfle__view(theirs.msg, strnlen(theirs.msg, sizeof theirs.msg)));
  csfle__http_about about = { p->type, csfle__str(p->key_id), "open" };
  if (code == CSFLE_E_NOMEM) csfle__nomem(err);
  else csfle__http_failf(&about, code, err, "%s", why[0] ? why : "failed without saying why");
  plugin_release(p);
  return code;
}

/* ---- those of a configuration */

const csfle__plugin *csfle__plugins_find(const csfle__plugins *p, csfle__bytes type)
{
  for (size_t i = 0; p && i < p->count; i++)
    if (csfle__eq_nocase(type, csfle__str(p->at[i].type))) return &p->at[i];
  return NULL;
}

csfle_status csfle__plugins_add(csfle__plugins *p, const csfle_kms *k, csfle_error *err)
{
  if (!k || k->size < offsetof(csfle_kms, close) + sizeof k->close || !k->type || !k->open || !k->wrap || !k->unwrap || !k->close)
    return csfle__fail(err, CSFLE_E_MISUSE, "a KMS needs its size, type, open, wrap, unwrap and close");
  csfle__bytes type = csfle__str(k->type);
  if (!type.len || type.len >= sizeof p->at->type || !csfle__http_printable(type))
    return csfle__fail(err, CSFLE_E_MISUSE, "the type of a KMS has 1 to 63 printable characters");
  if (csfle__kms_driver_find(type)) return csfle__fail(err, CSFLE_E_MISUSE, "the KMS type '%s' is the library's own: choose another", k->type);
  if (csfle__plugins_find(p, type)) return csfle__fail(err, CSFLE_E_MISUSE, "the KMS type '%s' has a plug-in already", k->type);
  if (p->count == CSFLE__MAX_PLUGINS) return csfle__fail(err, CSFLE_E_MISUSE, "more than %d KMS plug-ins", CSFLE__MAX_PLUGINS);
  csfle__plugin *to = &p->at[p->count++];
  memcpy(to->type, type.ptr, type.len);
  to->type[type.len] = 0;
  to->kms = *k;
  to->kms.type = NULL;
  return CSFLE_OK;
}
