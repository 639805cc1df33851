/* Commands on DEKs. [DEK 3.9 to 3.17, 4.5] */
#include "server/registry/registry.h"

#include "core/base/base64.h"
#include "core/crypt/material.h"
#include "server/log/must.h"
#include "server/registry/move.h"
#include "server/registry/trash.h"
#include "server/registry/unwrap.h"

void registry_put_dek(csfle_buf *b, const csfle__dek *d, csfle__bytes material)
{
  put(b, "{\"kekName\":"), put_json(b, d->kek_name);
  put(b, ",\"subject\":"), put_json(b, d->subject);
  put(b, ",\"version\":"), put_int(b, d->version);
  put(b, ",\"algorithm\":\""), put(b, csfle__algorithm_name(d->algorithm)), put(b, "\"");
  if (d->encrypted_key_material.ptr) put(b, ",\"encryptedKeyMaterial\":"), put_json(b, d->encrypted_key_material);
  if (material.len) {
    size_t n = csfle__base64_len(material.len);
    put(b, ",\"keyMaterial\":\"");
    must_ok(csfle__buf_reserve(b, n, NULL));
    csfle__base64_encode(material, (char *)b->ptr + b->len);
    b->len += n;
    put(b, "\"");
  }
  put(b, ",\"ts\":"), put_int(b, d->ts);
  put(b, d->deleted ? ",\"deleted\":true}" : "}");
}

void registry_put_dek_key(csfle_buf *b, const csfle__dek *d)
{
  put(b, "{\"tenant\":\"default\",\"kekName\":");
  must_ok(csfle__json_put_string(b, d->kek_name, true, NULL));
  put(b, ",\"subject\":");
  must_ok(csfle__json_put_string(b, d->subject, true, NULL));
  put(b, ",\"algorithm\":\""), put(b, csfle__algorithm_name(d->algorithm));
  put(b, "\",\"version\":"), put_int(b, d->version), put(b, ",\"type\":\"DEK\"}");
}

void registry_put_dek_value(csfle_buf *b, const csfle__dek *d)
{
  put(b, "{\"kekName\":"), put_json(b, d->kek_name);
  put(b, ",\"subject\":"), put_json(b, d->subject);
  put(b, ",\"algorithm\":\""), put(b, csfle__algorithm_name(d->algorithm)), put(b, "\"");
  put(b, ",\"version\":"), put_int(b, d->version);
  if (d->encrypted_key_material.ptr) put(b, ",\"encryptedKeyMaterial\":"), put_json(b, d->encrypted_key_material);
  put(b, d->deleted ? ",\"deleted\":true,\"type\":\"DEK\"}" : ",\"deleted\":false,\"type\":\"DEK\"}");
}

/* key and value of a DEK record [DEK 5.3, 5.4] */
static void add_dek(registry_change *change, const csfle__dek *d)
{
  csfle_buf key, value;
  csfle_buf_init(&key, 0, 0);
  csfle_buf_init(&value, 0, 0);
  registry_put_dek_key(&key, d);
  registry_put_dek_value(&value, d);
  registry_change_add(change, REGISTRY_KEYS, csfle__buf_view(&key), csfle__buf_view(&value));
  csfle_buf_free(&key);
  csfle_buf_free(&value);
}

/* what is taken from the DEK goes into the trash */
static bool keep(registry *g, registry_change *change, const registry_kek *k, const csfle__dek *d, bool replaced, registry_problem *p)
{
  csfle_buf key, value;
  csfle_buf_init(&key, 0, 0);
  csfle_buf_init(&value, 0, 0);
  registry_put_dek_key(&key, d);
  registry_put_dek_value(&value, d);
  bool ok = registry_trash_put(g, change, k->kek, csfle__buf_view(&key), csfle__buf_view(&value), replaced, p);
  csfle_buf_free(&key);
  csfle_buf_free(&value);
  return ok;
}

static void add_gone(registry_change *change, const csfle__dek *d)
{
  csfle_buf key;
  csfle_buf_init(&key, 0, 0);
  registry_put_dek_key(&key, d);
  registry_change_add(change, REGISTRY_KEYS, csfle__buf_view(&key), CSFLE__NONE);
  csfle_buf_free(&key);
}

static bool missing(registry_problem *p, csfle__bytes subject)
{
  return registry_refuse(p, 404, 40470, "Key '%.*s' not found", CSFLE__FMT(subject));
}

static bool exists(registry_problem *p, csfle__bytes subject)
{
  return registry_refuse(p, 409, 40971, "Key '%.*s' already exists; use a different value", CSFLE__FMT(subject));
}

csfle__dek *registry_dek_latest(const registry_kek *k, csfle__bytes subject, csfle__algorithm a, bool deleted)
{
  size_t at = registry_kek_find(k, subject, a, INT32_MIN);
  csfle__dek *best = NULL;
  for (; at < k->count; at++) {
    csfle__dek *d = k->deks[at];
    if (d->algorithm != a || !csfle__eq(d->subject, subject)) break;
    if ((deleted || !d->deleted) && d->version >= 1) best = d;
  }
  return best;
}

/* ---- create and rewrap ------------------------------------------------------------------------------------------ */

/* what the state says about a request; copied, so that it outlives the lock */
typedef struct plan {
  csfle__arena     arena;
  bool             shared, old, import;
  int64_t          kek_offset, old_offset; /* not their times: two records can have one */
  csfle__bytes     old_material;
  registry_kms_key key;
} plan;

csfle__bytes registry_copied(csfle__arena *a, csfle__bytes v)
{
  if (!v.ptr) return v;
  v = csfle__arena_copy(a, v);
  if (!v.ptr) registry_out_of_memory();
  return v;
}

/* what may not be told here is not made either: a client that finds no keyMaterial would ask a KMS it has no rights at */
static bool may_tell(registry *g, const registry_caller *who, registry_problem *p)
{
  if (who->confidential || g->options.keys_over_plain) return true;
  return registry_refuse(p, 403, 403, "The keys of a shared KEK are not sent over a connection that others can read. Use an https listener of this registry; "
                         "where TLS ends in front of it, set csfle.key.material.over=plain");
}

/* steps 1 to 5 of [DEK 4.5], under the lock */
static bool decide(registry *g, const registry_dek_request *r, plan *d, registry_problem *p)
{
  registry_kek *k = registry_kek_get(g, r->kek, r->deleted, p);
  if (!k) return false;
  csfle__dek *old = registry_kek_dek(k, r->subject, r->algorithm, r->version);
  *d = (plan){ .shared = k->kek->shared, .old = old != NULL, .kek_offset = k->kek->offset, .old_offset = old ? old->offset : 0 };
  d->import = registry_mode_of(g, r->subject) == REGISTRY_IMPORT;
  if (!registry_keys_left(g, g->state->dek_count, p)) return false;
  if (!r->rewrap && old) {
    bool same = (old->encrypted_key_material.ptr != NULL) == (r->material.ptr != NULL) && csfle__eq(old->encrypted_key_material, r->material);
    if (old->deleted == r->deleted || !same) return exists(p, r->subject);
  }
  if (r->material.ptr && d->shared && old) return exists(p, r->subject);
  if (!r->material.ptr && !d->shared) return registry_refuse(p, 422, 42271, "Invalid or missing value for field 'encryptedKeyMaterial' of key");
  if (!d->shared) return true;
  if (r->material.ptr) {
    size_t   n;
    uint8_t *raw = (uint8_t *)must(csfle__arena_alloc(&d->arena, r->material.len / 4 * 3 + 6));
    if (!csfle__base64_decode(r->material, raw, &n)) return registry_refuse(p, 422, 42271, "Invalid or missing value for field 'encryptedKeyMaterial' of key");
  }
  d->key = registry_kms_key_copied(&d->arena, k->kek);
  if (old) d->old_material = registry_copied(&d->arena, old->encrypted_key_material);
  return true;
}

static bool decode(csfle__arena *a, csfle__bytes text, csfle__bytes subject, csfle__bytes *out, registry_problem *p)
{
  size_t   n = 0;
  uint8_t *raw = (uint8_t *)must(csfle__arena_alloc(a, text.len / 4 * 3 + 6));
  if (!csfle__base64_decode(text, raw, &n))
    return registry_refuse(p, 500, 50070, "Could not generate raw dek for %.*s: the wrapped key is not base64", CSFLE__FMT(subject)); /* a stored one */
  *out = csfle__view(raw, n);
  return true;
}

/* steps 4 and 6 for a shared KEK, without the lock: the text to store, and the key material to tell */
static bool make_material(registry *g, const registry_dek_request *r, plan *d, csfle__bytes *text, csfle__secret *material, registry_problem *p)
{
  csfle__secret raw = CSFLE__SECRET_INIT, clear = CSFLE__SECRET_INIT, wrapped = CSFLE__SECRET_INIT;
  csfle__bytes  bytes = CSFLE__NONE;
  bool          ok = true;

  *text = r->material;
  if (!r->material.ptr) {
    if (d->old) {
      ok = decode(&d->arena, d->old_material, r->subject, &bytes, p) && registry_kms_unwrap(g, &d->key, r->subject, bytes, &clear, p);
    } else if (csfle__dek_generate(r->algorithm, &raw, NULL) != CSFLE_OK || csfle__dek_encode(r->algorithm, &raw, &clear, NULL) != CSFLE_OK) {
      ok = registry_refuse(p, 500, 500, "Error while creating key: no random bytes");
    }
    ok = ok && registry_kms_wrap(g, &d->key, r->subject, csfle__secret_view(&clear), &wrapped, p);
    if (ok) {
      size_t n = csfle__base64_len(wrapped.len);
      char  *b64 = (char *)must(csfle__arena_alloc(&d->arena, n + 1));
      csfle__base64_encode(csfle__secret_view(&wrapped), b64);
      *text = csfle__view(b64, n);
    }
  }
  if (ok && (!d->import || d->old)) {
    ok = decode(&d->arena, *text, r->subject, &bytes, p) && registry_kms_unwrap(g, &d->key, r->subject, bytes, material, p);
  }
  if (ok && clear.len && material->len && !csfle__secret_equal(csfle__secret_view(&clear), csfle__secret_view(material)))
    ok = registry_refuse(p, 500, 50070, "Could not generate encrypted dek for %.*s: the KMS gave another key back than it was given", CSFLE__FMT(r->subject));
  if (d->import) csfle__secret_wipe(material);
  csfle__secret_wipe(&raw);
  csfle__secret_wipe(&clear);
  csfle__secret_wipe(&wrapped);
  return ok;
}

static bool store(registry *g, const registry_dek_request *r, csfle__bytes text, const csfle__secret *material, csfle_buf *out, registry_problem *p)
{
  registry_change change = { 0 };
  csfle__dek      made = { .kek_name = r->kek, .subject = r->subject, .encrypted_key_material = text, .algorithm = r->algorithm,
                           .version = r->version, .deleted = r->deleted };
  const registry_kek *k = registry_state_kek(g->state, r->kek);
  const csfle__dek   *old = registry_kek_dek(k, r->subject, r->algorithm, r->version);
  if (old && !csfle__eq(old->encrypted_key_material, text) && !keep(g, &change, k, old, true, p)) return registry_change_drop(&change);
  add_dek(&change, &made);
  if (!registry_change_commit(g, &change, p)) return false;
  csfle__dek *stored = registry_kek_dek(registry_state_kek(g->state, r->kek), r->subject, r->algorithm, r->version);
  if (!stored) return registry_refuse(p, 500, 500, "Internal Server Error");
  registry_put_dek(out, stored, csfle__secret_view(material));
  return true;
}

bool registry_dek_create(registry *g, const registry_dek_request *r, registry_caller *who, csfle_buf *out, uint64_t *position, registry_problem *p)
{
  for (int attempt = 0; attempt < 4; attempt++) {
    csfle__secret material = CSFLE__SECRET_INIT;
    csfle__bytes  text = r->material;
    plan          before = { 0 }, now = { 0 };
    bool          again = false;

    registry_begin(g, true);
    bool ok = decide(g, r, &before, p);
    if (ok && before.shared) {
      *position = registry_end(g); /* never a lock across a call of the KMS */
      ok = before.import || may_tell(g, who, p);
      if (ok && !who->may_block) p->status = REGISTRY_NEEDS_KMS, ok = false;
      ok = ok && make_material(g, r, &before, &text, &material, p);
      if (ok) {
        registry_begin(g, true);
        ok = decide(g, r, &now, p);
        again = ok && (now.shared != before.shared || now.old != before.old || now.kek_offset != before.kek_offset || now.old_offset != before.old_offset);
        if (ok && !again) ok = store(g, r, text, &material, out, p);
        *position = registry_end(g);
      }
    } else {
      ok = ok && store(g, r, text, &material, out, p);
      *position = registry_end(g);
    }
    csfle__secret_wipe(&material);
    csfle__arena_free(&before.arena);
    csfle__arena_free(&now.arena);
    if (!again) return ok;
  }
  return registry_refuse(p, 500, 500, "Error while creating key: the KEK changes too often");
}

/* ---- read ------------------------------------------------------------------------------------------------------- */

bool registry_dek_read(registry *g, const registry_dek_request *r, registry_caller *who, csfle_buf *out, uint64_t *position, registry_problem *p)
{
  csfle__secret material = CSFLE__SECRET_INIT;

  registry_begin(g, false);
  *position = registry_log_position(g->log);
  registry_kek *k = registry_kek_get(g, r->kek, r->deleted, p);
  csfle__dek   *d = !k ? NULL : r->version == -1 ? registry_dek_latest(k, r->subject, r->algorithm, r->deleted)
                                                 : registry_kek_dek(k, r->subject, r->algorithm, r->version);
  bool          ok = k != NULL;
  if (ok && (!d || (d->deleted && !r->deleted))) ok = missing(p, r->subject);
  if (ok && k->kek->shared && may_tell(g, who, p)) {
    registry_unwrapped u = registry_unwrap(g, k->kek, d, who, &material, p);
    if (u == REGISTRY_UNWRAP_PARKED) p->status = REGISTRY_WAITS; /* p is not the request's */
    ok = u == REGISTRY_UNWRAPPED;
  } else {
    ok = ok && !k->kek->shared;
    registry_unwrap_leave(g, who);
  }
  if (ok) registry_put_dek(out, d, csfle__secret_view(&material));
  registry_end(g);
  csfle__secret_wipe(&material);
  return ok;
}

/* ---- test ------------------------------------------------------------------------------------------------------- */

static bool try_key(registry *g, const registry_kms_key *key, registry_problem *p)
{
  csfle__secret raw = CSFLE__SECRET_INIT, clear = CSFLE__SECRET_INIT, wrapped = CSFLE__SECRET_INIT;
  bool ok = csfle__dek_generate(CSFLE__AES256_GCM, &raw, NULL) == CSFLE_OK && csfle__dek_encode(CSFLE__AES256_GCM, &raw, &clear, NULL) == CSFLE_OK;
  if (!ok) registry_refuse(p, 500, 500, "Error while testing key");
  ok = ok && registry_kms_wrap(g, key, CSFLE__LIT("__TEST"), csfle__secret_view(&clear), &wrapped, p);
  csfle__secret_wipe(&raw);
  csfle__secret_wipe(&clear);
  csfle__secret_wipe(&wrapped);
  return ok;
}

bool registry_kek_test(registry *g, csfle__bytes name, registry_caller *who, csfle_buf *out, uint64_t *position, registry_problem *p)
{
  csfle__arena     arena = CSFLE__ARENA_INIT;
  registry_kms_key key = { 0 };

  registry_begin(g, false);
  registry_kek *k = registry_kek_get(g, name, false, p);
  bool          ok = k != NULL;
  if (ok && !k->kek->shared) ok = registry_refuse(p, 422, 42271, "Invalid or missing value for field 'shared' of key");
  if (ok) {
    key = registry_kms_key_copied(&arena, k->kek);
    if (who->may_block) registry_put_kek(out, k->kek);
  }
  *position = registry_end(g);
  if (ok && !who->may_block) p->status = REGISTRY_NEEDS_KMS, ok = false;
  ok = ok && try_key(g, &key, p);
  csfle__arena_free(&arena);
  return ok;
}

bool registry_kek_test_sharing(registry *g, const registry_kek_request *r, registry_caller *who, const char *doing, uint64_t *position, registry_problem *p)
{
  registry_problem why;
  csfle__arena     arena = CSFLE__ARENA_INIT;
  registry_kms_key key = { r->kms_type, r->kms_key_id, r->props };
  bool             shared = r->shared;

  if (!r->kms_type.ptr) { /* an update: what is not given is as stored */
    registry_begin(g, false);
    registry_kek *k = registry_kek_get(g, r->name, false, p);
    if (k) {
      key = registry_kms_key_copied(&arena, k->kek);
      if (r->has_props) key.props = r->props;
      if (!r->has_shared) shared = k->kek->shared;
    }
    *position = registry_end(g);
    if (!k) return false;
  }
  if (shared && !who->may_block) {
    csfle__arena_free(&arena);
    p->status = REGISTRY_NEEDS_KMS;
    return false;
  }
  bool ok = !shared || try_key(g, &key, &why) || registry_refuse(p, 500, 500, "Error while %s key: %.3000s", doing, why.text);
  csfle__arena_free(&arena);
  return ok;
}

/* ---- delete and undelete ---------------------------------------------------------------------------------------- */

/* range of (subject, algorithm) in k->deks */
static size_t range(const registry_kek *k, const registry_dek_request *r, size_t *end)
{
  size_t from = registry_kek_find(k, r->subject, r->algorithm, INT32_MIN);
  for (*end = from; *end < k->count && k->deks[*end]->algorithm == r->algorithm && csfle__eq(k->deks[*end]->subject, r->subject);) ++*end;
  return from;
}

/* the keys a delete or undelete is about; "latest" is the highest live one, else the highest */
static bool targets(registry *g, const registry_dek_request *r, bool live_first, registry_kek **k, size_t *from, size_t *end, registry_problem *p)
{
  int32_t version = r->version;

  *k = registry_kek_get(g, r->kek, true, p);
  if (!*k) return false;
  *from = range(*k, r, end);
  if (version == -1) {
    csfle__dek *d = live_first ? registry_dek_latest(*k, r->subject, r->algorithm, false) : NULL;
    if (!d) d = registry_dek_latest(*k, r->subject, r->algorithm, true);
    if (!d) return missing(p, r->subject);
    version = d->version;
  }
  if (version > 0) {
    if (!registry_kek_dek(*k, r->subject, r->algorithm, version)) return missing(p, r->subject);
    *from = registry_kek_find(*k, r->subject, r->algorithm, version);
    *end = *from + 1;
  }
  return *from < *end || missing(p, r->subject);
}

bool registry_dek_delete(registry *g, const registry_dek_request *r, bool permanent, registry_problem *p)
{
  registry_change change = { 0 };
  registry_kek   *k;
  size_t          from, end;

  if (!targets(g, r, !permanent, &k, &from, &end, p)) return false;
  for (size_t i = from; permanent && i < end; i++)
    if (!k->deks[i]->deleted) return registry_refuse(p, 404, 40471, "Key '%.*s' was not deleted first before being permanently deleted", CSFLE__FMT(r->subject));
  for (size_t i = from; i < end; i++) {
    csfle__dek made = *k->deks[i];
    if (permanent) {
      if (!keep(g, &change, k, &made, false, p)) return registry_change_drop(&change);
      add_gone(&change, &made);
      registry_move_forget(g, &change, r->kek, &made);
    } else if (!made.deleted) {
      made.deleted = true;
      add_dek(&change, &made);
    }
  }
  return registry_change_commit(g, &change, p);
}

bool registry_dek_undelete(registry *g, const registry_dek_request *r, registry_problem *p)
{
  registry_change change = { 0 };
  registry_kek   *k;
  size_t          from, end;

  if (!targets(g, r, false, &k, &from, &end, p)) return false;
  if (k->kek->deleted) return registry_refuse(p, 404, 40472, "Key '%.*s' must be undeleted first", CSFLE__FMT(r->kek));
  for (size_t i = from; i < end; i++) {
    csfle__dek made = *k->deks[i];
    if (!made.deleted) continue;
    made.deleted = false;
    add_dek(&change, &made);
  }
  return registry_change_commit(g, &change, p);
}
