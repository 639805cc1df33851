/* KEKs and DEKs from JSON. See model.h. */
#include "core/base/alloc.h"
#include "core/base/base64.h"
#include "core/model/letters.h"
#include "core/model/read.h"

csfle_status csfle__kek_parse(csfle__kek **out, yyjson_val *obj, csfle_error *err)
{
  *out = NULL;
  csfle__kek *k = csfle__calloc(1, sizeof *k);
  if (!k) return csfle__nomem(err);
  reader r = csfle__read_object(&k->arena, obj, "KEK", err);
  k->name = csfle__read_text(&r, "name");
  k->kms_type = csfle__read_text(&r, "kmsType");
  k->kms_key_id = csfle__read_text(&r, "kmsKeyId");
  k->kms_props = csfle__read_pairs(&r, "kmsProps");
  k->doc = csfle__read_text(&r, "doc");
  k->shared = csfle__read_bool(&r, "shared");
  k->ts = csfle__read_int(&r, "ts", INT64_MIN, INT64_MAX, 0);
  k->deleted = csfle__read_bool(&r, "deleted");
  if (r.rc == CSFLE_OK) *out = k;
  else csfle__kek_free(k);
  return r.rc;
}

void csfle__kek_free(csfle__kek *k)
{
  if (!k) return;
  csfle__arena_free(&k->arena);
  csfle__free(k);
}

static csfle__algorithm read_algorithm(reader *r)
{
  csfle__algorithm a = CSFLE__AES256_GCM;
  yyjson_val      *v = csfle__json_member(r->obj, "algorithm");
  int64_t          n;
  if (r->rc != CSFLE_OK || !v || yyjson_is_null(v)) return a;
  if (yyjson_is_raw(v) && csfle__json_i64(v, &n) && n >= 0 && n < CSFLE__ALGORITHM_COUNT) return (csfle__algorithm)n;
  csfle__bytes t = csfle__json_text(v);
  if (!csfle__algorithm_parse(t, &a))
    csfle__read_fail(r, CSFLE_E_SCHEMA, "unknown DEK algorithm \"%.*s\"", (int)(t.len < 64 ? t.len : 64),
                     t.len ? (const char *)t.ptr : "");
  return a;
}

/* Decodes and then blots out the text: the document's memory is not wiped by whoever frees it. */
static void read_key_material(reader *r, csfle__secret *out)
{
  yyjson_val *v = csfle__json_member(r->obj, "keyMaterial");
  if (r->rc != CSFLE_OK || !v || yyjson_is_null(v)) return;
  csfle__bytes  t = csfle__json_text(v);
  csfle__secret room = CSFLE__SECRET_INIT;
  size_t        n = 0;
  r->rc = csfle__secret_make(&room, t.len / 4 * 3 + 3, r->err);
  if (r->rc != CSFLE_OK) return;
  if (!yyjson_is_str(v) || !csfle__base64_decode(t, room.ptr, &n))
    csfle__read_fail(r, CSFLE_E_SCHEMA, "\"keyMaterial\" is not Base64");
  else if (n)
    r->rc = csfle__secret_copy(out, csfle__view(room.ptr, n), r->err);
  if (t.len) csfle__wipe((void *)(uintptr_t)t.ptr, t.len);
  csfle__secret_wipe(&room);
}

csfle_status csfle__dek_parse(csfle__dek **out, yyjson_val *obj, csfle_error *err)
{
  *out = NULL;
  csfle__dek *d = csfle__calloc(1, sizeof *d);
  if (!d) return csfle__nomem(err);
  reader r = csfle__read_object(&d->arena, obj, "DEK", err);
  d->kek_name = csfle__read_text(&r, "kekName");
  d->subject = csfle__read_text(&r, "subject");
  d->version = (int32_t)csfle__read_int(&r, "version", INT32_MIN, INT32_MAX, 0);
  d->algorithm = read_algorithm(&r);
  d->encrypted_key_material = csfle__read_text(&r, "encryptedKeyMaterial");
  d->ts = csfle__read_int(&r, "ts", INT64_MIN, INT64_MAX, 0);
  d->deleted = csfle__read_bool(&r, "deleted");
  read_key_material(&r, &d->key_material);
  if (r.rc == CSFLE_OK) *out = d;
  else csfle__dek_free(d);
  return r.rc;
}

void csfle__dek_free(csfle__dek *d)
{
  if (!d) return;
  csfle__secret_wipe(&d->key_material);
  csfle__arena_free(&d->arena);
  csfle__free(d);
}

bool csfle__kek_name_valid(csfle__bytes name) { return name.len && csfle__name_check(name) == CSFLE__NAME_OK; }
