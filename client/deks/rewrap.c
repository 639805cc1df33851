/*
 * Wrapping data keys again. See deks.h.
 *
 * The registry replaces the material of a rewrap without looking at it: a wrong one would make everything under the key
 * unreadable for ever. So the new material is unwrapped once before it is sent, and must give the key that the old one gives.
 */
#include "client/deks/call.h"
#include "client/deks/wrapper.h"

#include <stdio.h>

typedef struct rewrap {
  csfle_client  *cl;
  csfle__bytes   kek_name;
  bool           deleted;
  csfle__deks_fn done;
  void          *opaque;
  csfle__kek    *kek; /* as the context of the subject sees it */
  csfle__wrapper *kms; /* of kek, opened when first needed; NULL: not open */
  size_t         count;
} rewrap;

static csfle_status begin(csfle__rc_call *c, const char *method, const rewrap *w, csfle__bytes subject, csfle_error *err)
{
  csfle__rc_call_init(c, method);
  csfle_status rc = csfle__buf_puts(&c->path, "/dek-registry/v1/keks/", err);
  if (rc == CSFLE_OK) rc = csfle__put_path_segment(&c->path, w->kek_name, err);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&c->path, "/deks", err);
  if (rc == CSFLE_OK && subject.len) rc = csfle__buf_putc(&c->path, '/', err);
  return rc == CSFLE_OK && subject.len ? csfle__put_path_segment(&c->path, subject, err) : rc;
}

static const char *flag(bool b) { return b ? "true" : "false"; }

static csfle_status wrap_again(rewrap *w, const csfle__dek *dek, csfle_buf *base64, csfle_error *err)
{
  csfle__secret plain = CSFLE__SECRET_INIT;
  csfle_status  rc = w->kms ? CSFLE_OK : csfle__wrapper_open(&w->kms, w->cl, w->kek, true, NULL, err);
  if (rc == CSFLE_OK) rc = csfle__wrapper_unwrap(w->kms, dek->encrypted_key_material, &plain, err);
  if (rc == CSFLE_OK) rc = csfle__wrapper_wrap(w->kms, csfle__secret_view(&plain), base64, err);
  csfle__secret_wipe(&plain);
  return rc;
}

/* ---- one key */

static csfle_status get_dek(const rewrap *w, csfle__bytes subject, csfle__algorithm a, int64_t version, csfle__dek **out, csfle_error *err)
{
  csfle__rc_call c;
  csfle__rc_call_init(&c, "GET"); /* begins the request anew */
  csfle_status rc = csfle__dek_get_request(&c, w->kek_name, subject, (int32_t)version, a, w->deleted, err);
  if (rc == CSFLE_OK) rc = csfle__deks_call(w->cl, &c, err);
  if (rc == CSFLE_OK) {
    yyjson_val *root = c.doc ? yyjson_doc_get_root(c.doc) : NULL;
    rc = yyjson_is_obj(root) ? csfle__dek_parse(out, root, err) : csfle__fail(err, CSFLE_E_RULE, "the registry's answer is no DEK");
  }
  if (rc == CSFLE_OK && ((*out)->version != version || (*out)->algorithm != a)) {
    csfle__dek_free(*out);
    *out = NULL;
    rc = csfle__fail(err, CSFLE_E_RULE, "the registry answered with another DEK than the one asked for");
  }
  csfle__rc_call_free(&c);
  return rc;
}

static csfle_status put_dek(const rewrap *w, csfle__bytes subject, const csfle__dek *dek, csfle__bytes base64, csfle_error *err)
{
  csfle__rc_call c;
  csfle_status   rc = begin(&c, "POST", w, subject, err);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&c.path, "?rewrap=true", err);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&c.body, "{\"subject\":", err);
  if (rc == CSFLE_OK) rc = csfle__json_put_string(&c.body, subject, false, err);
  if (rc == CSFLE_OK)
    rc = csfle__buf_printf(&c.body, err, ",\"version\":%d,\"algorithm\":\"%s\"", (int)dek->version, csfle__algorithm_name(dek->algorithm));
  if (rc == CSFLE_OK && base64.len) rc = csfle__buf_printf(&c.body, err, ",\"encryptedKeyMaterial\":\"%.*s\"", CSFLE__FMT(base64));
  if (rc == CSFLE_OK) rc = csfle__buf_printf(&c.body, err, ",\"deleted\":%s}", flag(dek->deleted));
  if (rc == CSFLE_OK) rc = csfle__deks_call(w->cl, &c, err);
  csfle__rc_call_free(&c);
  return rc;
}

static csfle_status one_dek(rewrap *w, csfle__bytes subject, csfle__algorithm a, int64_t version, csfle_error *err)
{
  csfle__dek  *dek = NULL;
  csfle_buf    base64;
  csfle_buf_init(&base64, 0, 0);
  csfle_status rc = get_dek(w, subject, a, version, &dek, err);
  if (rc == CSFLE_OK && !w->kek->shared) rc = wrap_again(w, dek, &base64, err);
  if (rc == CSFLE_OK) rc = put_dek(w, subject, dek, csfle__buf_view(&base64), err);
  if (rc == CSFLE_OK) {
    w->count++;
    csfle__deks_say(w->done, w->opaque, "rewrapped: KEK %.*s, subject %.*s, %s, version %d%s", CSFLE__FMT(w->kek_name), CSFLE__FMT(subject),
                    csfle__algorithm_name(a), (int)version, dek->deleted ? " (deleted)" : "");
  } else if (err && rc != CSFLE_E_NOMEM) {
    csfle__where(err, "%s version %d", csfle__algorithm_name(a), (int)version);
  }
  csfle__dek_free(dek);
  csfle_buf_free(&base64);
  return rc;
}

/* ---- all of them */

static csfle_status list(const rewrap *w, csfle__bytes subject, const csfle__algorithm *a, size_t offset, csfle__rc_call *c, csfle_error *err)
{
  csfle__rc_call_free(c);
  csfle_status rc = begin(c, "GET", w, subject, err);
  if (rc == CSFLE_OK && a) rc = csfle__buf_puts(&c->path, "/versions", err);
  if (rc == CSFLE_OK) rc = csfle__buf_printf(&c->path, err, "?deleted=%s", flag(w->deleted));
  if (rc == CSFLE_OK && a) rc = csfle__buf_printf(&c->path, err, "&algorithm=%s", csfle__algorithm_name(*a));
  if (rc == CSFLE_OK && offset) rc = csfle__buf_printf(&c->path, err, "&offset=%zu", offset);
  if (rc == CSFLE_OK) rc = csfle__deks_call(w->cl, c, err);
  if (rc == CSFLE_OK && !yyjson_is_arr(c->doc ? yyjson_doc_get_root(c->doc) : NULL))
    rc = csfle__fail(err, CSFLE_E_RULE, "the registry's answer is no list");
  return rc;
}

/* Every item of a list, however few the registry hands out at once; one that ignores the offset begins anew: that is the end. */
static csfle_status each(rewrap *w, csfle__bytes subject, const csfle__algorithm *a,
                         csfle_status (*one)(rewrap *w, csfle__bytes subject, const csfle__algorithm *a, yyjson_val *v, csfle_error *err), csfle_error *err)
{
  csfle__rc_call page[2];
  csfle_status   rc = CSFLE_OK;
  size_t         offset = 0, n = 1, i, max;
  yyjson_val    *v, *first = NULL;
  csfle__rc_call_init(&page[0], "GET"), csfle__rc_call_init(&page[1], "GET");
  for (int at = 0; rc == CSFLE_OK && n; at = !at, offset += n) {
    rc = list(w, subject, a, offset, &page[at], err);
    if (rc != CSFLE_OK) break;
    yyjson_val *items = yyjson_doc_get_root(page[at].doc);
    n = yyjson_arr_size(items);
    if (!n || (first && csfle__json_equal(first, yyjson_arr_get_first(items)))) break;
    first = yyjson_arr_get_first(items); /* its document lives until the page after the next */
    yyjson_arr_foreach(items, i, max, v) {
      rc = one(w, subject, a, v, err);
      if (rc != CSFLE_OK) break;
    }
  }
  csfle__rc_call_free(&page[0]), csfle__rc_call_free(&page[1]);
  return rc;
}

static bool same_kms(const csfle__kek *a, const csfle__kek *b)
{
  if (!a || a->shared != b->shared || a->ts != b->ts || !csfle__eq(a->kms_type, b->kms_type) || !csfle__eq(a->kms_key_id, b->kms_key_id) ||
      a->kms_props.count != b->kms_props.count)
    return false;
  for (size_t i = 0; i < a->kms_props.count; i++)
    if (!csfle__eq(a->kms_props.at[i].name, b->kms_props.at[i].name) || !csfle__eq(a->kms_props.at[i].value, b->kms_props.at[i].value)) return false;
  return true;
}

static csfle_status get_kek(rewrap *w, csfle__bytes subject, csfle_error *err)
{
  csfle__rc_call c;
  csfle__rc_call_init(&c, "GET");
  csfle_status rc = csfle__kek_get_request(&c, w->kek_name, w->deleted, csfle__subject_parse(subject).context, err);
  if (rc == CSFLE_OK) rc = csfle__deks_call(w->cl, &c, err);
  if (rc == CSFLE_OK) {
    yyjson_val *root = c.doc ? yyjson_doc_get_root(c.doc) : NULL;
    csfle__kek *kek = NULL;
    rc = yyjson_is_obj(root) ? csfle__kek_parse(&kek, root, err) : csfle__fail(err, CSFLE_E_RULE, "the registry's answer is no KEK");
    if (kek && same_kms(w->kek, kek)) { /* the subject before it was of this KEK too: its wrapper serves on */
      csfle__kek_free(kek);
    } else if (kek) {
      csfle__wrapper_close(w->kms);
      csfle__kek_free(w->kek);
      w->kms = NULL, w->kek = kek;
    }
  }
  csfle__rc_call_free(&c);
  return rc;
}

static csfle_status one_version(rewrap *w, csfle__bytes subject, const csfle__algorithm *a, yyjson_val *v, csfle_error *err)
{
  int64_t version;
  if (!csfle__json_i64(v, &version) || version < 1 || version > INT32_MAX) return csfle__fail(err, CSFLE_E_RULE, "the registry lists a version that is none");
  return one_dek(w, subject, *a, version, err);
}

static csfle_status keys_of(rewrap *w, csfle__bytes subject, csfle_error *err)
{
  csfle_status rc = get_kek(w, subject, err);
  for (int a = 0; rc == CSFLE_OK && a < CSFLE__ALGORITHM_COUNT; a++) rc = each(w, subject, &(csfle__algorithm){ (csfle__algorithm)a }, one_version, err);
  return rc;
}

static csfle_status one_subject(rewrap *w, csfle__bytes subject, csfle_error *err)
{
  csfle_status rc = keys_of(w, subject, err);
  if (rc != CSFLE_OK && rc != CSFLE_E_NOMEM && err) {
    char cause[sizeof err->msg];
    memcpy(cause, err->msg, sizeof cause);
    snprintf(err->msg, sizeof err->msg, "Could not register dek for kek %.*s, subject %.*s: %.250s", w->kek_name.len > 64 ? 64 : (int)w->kek_name.len,
             (const char *)w->kek_name.ptr, subject.len > 100 ? 100 : (int)subject.len, (const char *)subject.ptr, cause);
  }
  return rc;
}

static csfle_status listed_subject(rewrap *w, csfle__bytes none, const csfle__algorithm *a, yyjson_val *v, csfle_error *err)
{
  csfle__bytes subject = csfle__json_text(v);
  (void)none, (void)a;
  return subject.len ? one_subject(w, subject, err) : csfle__fail(err, CSFLE_E_RULE, "the registry lists a subject that is none");
}

csfle_status csfle__deks_rewrap(csfle_client *cl, csfle__bytes kek, csfle__bytes subject, bool deleted, csfle__deks_fn done, void *opaque,
                                csfle_error *err)
{
  rewrap       w = { .cl = cl, .kek_name = kek, .deleted = deleted, .done = done, .opaque = opaque };
  csfle_status rc = subject.len ? one_subject(&w, subject, err) : each(&w, CSFLE__NONE, NULL, listed_subject, err);
  if (rc == CSFLE_OK && !w.count && subject.len)
    rc = csfle__fail(err, CSFLE_E_SCHEMA, "subject '%.*s' has no DEK under KEK '%.*s'", CSFLE__FMT(subject), CSFLE__FMT(kek));
  else if (rc == CSFLE_OK && !w.count)
    csfle__deks_say(done, opaque, "KEK %.*s has no DEKs", CSFLE__FMT(kek));
  csfle__wrapper_close(w.kms);
  csfle__kek_free(w.kek);
  return rc;
}
