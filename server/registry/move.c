/* Moving a KEK. See move.h. Records of our own topic:

   key    {"kind":"move","kek":"<name>"}                                             value  {"since":ms,"from":<the KEK before>}
   key    {"kind":"moved","kek":"<name>","subject":..,"algorithm":..,"version":n}    value  {"encryptedKeyMaterial":"<before>","became":"<SHA-256>"}

   Undoing compares `became` with what is there: a DEK that was made, rewrapped or replaced since has no material under the old key. */
#include "server/registry/move.h"

#include "core/base/base64.h"
#include "core/crypt/digest.h"
#include "server/log/must.h"

#include <stdio.h>

typedef struct kept {
  csfle__bytes material, became; /* in the move's arena */
} kept;

struct registry_moving {
  csfle__arena arena;
  csfle__kek  *from;
  int64_t      since;
  csfle__map   deks; /* name_of -> kept * in the arena */
};

/* ---- state ------------------------------------------------------------------------------------------------------ */

void registry_moving_free(registry_moving *m)
{
  csfle__map_free(&m->deks, NULL);
  csfle__kek_free(m->from);
  csfle__arena_free(&m->arena);
  csfle__free(m);
}

static void drop(registry_state *s, csfle__bytes name)
{
  registry_moving *m = (registry_moving *)csfle__map_remove(&s->moves, name);
  if (!m) return;
  s->kept_count -= 1 + m->deks.count;
  registry_moving_free(m);
}

static void name_of(csfle_buf *b, csfle__bytes subject, csfle__algorithm a, int32_t version)
{
  csfle__buf_clear(b);
  put_bytes(b, subject);
  must_ok(csfle__buf_printf(b, NULL, "%c%d%c%d", 0, (int)a, 0, (int)version));
}

static void apply_kept(registry_state *s, yyjson_val *key, yyjson_val *value)
{
  registry_moving *m = (registry_moving *)csfle__map_get(&s->moves, csfle__json_member_text(key, "kek"));
  csfle__algorithm a;
  int64_t          version;
  csfle_buf        name;

  if (!m || !csfle__algorithm_parse(csfle__json_member_text(key, "algorithm"), &a) || !csfle__json_i64(csfle__json_member(key, "version"), &version)) return;
  csfle_buf_init(&name, 0, 0);
  name_of(&name, csfle__json_member_text(key, "subject"), a, (int32_t)version);
  size_t before = m->deks.count;
  if (value) {
    kept *k = (kept *)must(csfle__arena_alloc(&m->arena, sizeof *k));
    k->material = registry_copied(&m->arena, csfle__json_member_text(value, "encryptedKeyMaterial"));
    k->became = registry_copied(&m->arena, csfle__json_member_text(value, "became"));
    must_map_put(&m->deks, csfle__buf_view(&name), k);
  } else {
    csfle__map_remove(&m->deks, csfle__buf_view(&name));
  }
  s->kept_count += m->deks.count - before;
  csfle_buf_free(&name);
}

void registry_apply_move(registry_state *s, yyjson_val *key, yyjson_val *value)
{
  csfle__bytes name = csfle__json_member_text(key, "kek");

  if (csfle__eq_str(csfle__json_member_text(key, "kind"), "moved")) {
    apply_kept(s, key, value);
    return;
  }
  drop(s, name);
  if (!name.len || !value) return;
  registry_moving *m = (registry_moving *)must_calloc(sizeof *m);
  if (!csfle__json_i64(csfle__json_member(value, "since"), &m->since)) m->since = 0;
  if (csfle__kek_parse(&m->from, csfle__json_member(value, "from"), NULL) != CSFLE_OK) {
    registry_moving_free(m);
    return;
  }
  must_map_put(&s->moves, name, m);
  s->kept_count++;
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

static void digest_of(csfle__bytes material, char out[65])
{
  uint8_t raw[32];
  must_ok(csfle__sha256(material, raw, NULL));
  for (int i = 0; i < 32; i++) snprintf(out + 2 * i, 3, "%02x", raw[i]);
}

/* the DEK with another material */
static void add_dek(registry_change *change, const csfle__dek *d, csfle__bytes material)
{
  csfle__dek made = *d;
  csfle_buf  key, value;
  made.encrypted_key_material = material;
  csfle_buf_init(&key, 0, 0);
  csfle_buf_init(&value, 0, 0);
  registry_put_dek_key(&key, &made);
  registry_put_dek_value(&value, &made);
  registry_change_add(change, REGISTRY_KEYS, csfle__buf_view(&key), csfle__buf_view(&value));
  csfle_buf_free(&key);
  csfle_buf_free(&value);
}

static void put_kept_key(csfle_buf *b, csfle__bytes kek, csfle__bytes subject, const char *algorithm, int32_t version)
{
  csfle__buf_clear(b);
  put(b, "{\"kind\":\"moved\",\"kek\":"), put_json(b, kek), put(b, ",\"subject\":"), put_json(b, subject);
  put(b, ",\"algorithm\":\""), put(b, algorithm), put(b, "\",\"version\":"), put_int(b, version), put(b, "}");
}

static void add_kept(registry_change *change, const csfle__dek *d, csfle__bytes material)
{
  csfle_buf key, value;
  char      became[65];
  csfle_buf_init(&key, 0, 0);
  csfle_buf_init(&value, 0, 0);
  digest_of(material, became);
  put_kept_key(&key, d->kek_name, d->subject, csfle__algorithm_name(d->algorithm), d->version);
  put(&value, "{\"encryptedKeyMaterial\":"), put_json(&value, d->encrypted_key_material), put(&value, ",\"became\":\""), put(&value, became), put(&value, "\"}");
  registry_change_add(change, REGISTRY_OWN, csfle__buf_view(&key), csfle__buf_view(&value));
  csfle_buf_free(&key);
  csfle_buf_free(&value);
}

/* @p from NULL: the move is over */
static void add_move(registry *g, registry_change *change, csfle__bytes name, const csfle__kek *from)
{
  csfle_buf key, value;
  csfle_buf_init(&key, 0, 0);
  csfle_buf_init(&value, 0, CSFLE_BUF_WIPE);
  put(&key, "{\"kind\":\"move\",\"kek\":"), put_json(&key, name), put(&key, "}");
  if (from) put(&value, "{\"since\":"), put_int(&value, g->clock->wall_ms(g->clock->opaque)), put(&value, ",\"from\":"), registry_put_kek_value(&value, from), put(&value, "}");
  registry_change_add(change, REGISTRY_OWN, csfle__buf_view(&key), from ? csfle__buf_view(&value) : CSFLE__NONE);
  csfle_buf_free(&key);
  csfle_buf_free(&value);
}

/* no more of a move is kept */
static void add_over(registry *g, registry_change *change, csfle__bytes name, const registry_moving *m)
{
  csfle_buf key;
  csfle_buf_init(&key, 0, 0);
  for (size_t i = 0; i < m->deks.count; i++) { /* subject, NUL, algorithm, NUL, version */
    csfle__bytes   whole = m->deks.entries[i].key;
    const uint8_t *nul = (const uint8_t *)memchr(whole.ptr, 0, whole.len);
    csfle__bytes   subject = csfle__view(whole.ptr, (size_t)(nul - whole.ptr)), rest = csfle__from(whole, subject.len + 1);
    int64_t        algorithm = 0, version = 0;
    nul = (const uint8_t *)memchr(rest.ptr, 0, rest.len);
    csfle__parse_i64(csfle__view(rest.ptr, (size_t)(nul - rest.ptr)), &algorithm);
    csfle__parse_i64(csfle__from(rest, (size_t)(nul - rest.ptr) + 1), &version);
    put_kept_key(&key, name, subject, csfle__algorithm_name((csfle__algorithm)algorithm), (int32_t)version);
    registry_change_add(change, REGISTRY_OWN, csfle__buf_view(&key), CSFLE__NONE);
  }
  csfle_buf_free(&key);
  add_move(g, change, name, NULL);
}

void registry_move_forget(registry *g, registry_change *change, csfle__bytes kek, const csfle__dek *d)
{
  const registry_moving *m = (const registry_moving *)csfle__map_get(&g->state->moves, kek);
  csfle_buf              at;

  if (m && !d) add_over(g, change, kek, m);
  if (!m || !d) return;
  csfle_buf_init(&at, 0, 0);
  name_of(&at, d->subject, d->algorithm, d->version);
  if (csfle__map_get(&m->deks, csfle__buf_view(&at))) {
    put_kept_key(&at, kek, d->subject, csfle__algorithm_name(d->algorithm), d->version);
    registry_change_add(change, REGISTRY_OWN, csfle__buf_view(&at), CSFLE__NONE);
  }
  csfle_buf_free(&at);
}

/* ---- commands --------------------------------------------------------------------------------------------------- */

static bool bad_field(registry_problem *p, const char *field)
{
  return registry_refuse(p, 422, 42271, "Invalid or missing value for field '%s' of key", field);
}

static bool is_material(csfle__bytes text)
{
  size_t   n = 0;
  uint8_t *raw = (uint8_t *)must(csfle__alloc(text.len / 4 * 3 + 6));
  bool     ok = text.len && csfle__base64_decode(text, raw, &n) && n;
  csfle__free(raw);
  return ok;
}

/* each DEK of the KEK once, as the mover read it; then *change has them as they shall be */
static bool take_deks(const registry_kek *k, const registry_move_request *r, registry_change *change, registry_problem *p)
{
  bool *seen = (bool *)must(csfle__calloc(k->count + 1, sizeof *seen)), ok = true;

  if (r->count != k->count)
    ok = registry_refuse(p, 409, 409, "KEK '%.*s' has %zu data keys, the request %zu: read them again", CSFLE__FMT(r->name), k->count, r->count);
  for (size_t i = 0; i < r->count && ok; i++) {
    const registry_moved_dek *d = &r->deks[i];
    size_t                    at = registry_kek_find(k, d->subject, d->algorithm, d->version);
    csfle__dek               *now = registry_kek_dek(k, d->subject, d->algorithm, d->version);
    char                      digest[65];
    if (!now || seen[at]) {
      ok = registry_refuse(p, 409, 409, "KEK '%.*s' has no such data key, or it is given twice: subject '%.*s' %s version %d", CSFLE__FMT(r->name), CSFLE__FMT(d->subject),
                           csfle__algorithm_name(d->algorithm), (int)d->version);
      break;
    }
    seen[at] = true;
    digest_of(now->encrypted_key_material, digest);
    if (!is_material(d->material)) ok = bad_field(p, "encryptedKeyMaterial");
    else if (!csfle__eq_str(d->was, digest))
      ok = registry_refuse(p, 409, 409, "The material of subject '%.*s' %s version %d changed: read it again", CSFLE__FMT(d->subject), csfle__algorithm_name(d->algorithm),
                           (int)d->version);
    if (!ok) break;
    add_dek(change, now, d->material);
    add_kept(change, now, d->material);
  }
  csfle__free(seen);
  return ok;
}

bool registry_move(registry *g, const registry_move_request *r, registry_problem *p)
{
  registry_change      change = { 0 };
  registry_kek_request to = { .name = r->name, .kms_type = r->kms_type, .kms_key_id = r->kms_key_id, .props = r->props };
  registry_kek        *k = registry_kek_get(g, r->name, false, p);

  if (!k || !registry_kek_check(&to, p)) return false;
  if (csfle__map_get(&g->state->moves, r->name))
    return registry_refuse(p, 409, 409, "KEK '%.*s' was moved before: confirm or undo that first", CSFLE__FMT(r->name));
  if (csfle__eq(to.kms_type, k->kek->kms_type) && csfle__eq(to.kms_key_id, k->kek->kms_key_id)) return bad_field(p, "kmsKeyId");
  csfle__kek made = *k->kek;
  made.kms_type = to.kms_type, made.kms_key_id = to.kms_key_id, made.kms_props = to.props;
  registry_change_add_kek(&change, &made);
  add_move(g, &change, r->name, k->kek);
  if (!take_deks(k, r, &change, p)) return registry_change_drop(&change);
  size_t count = k->count;
  bool   ok = registry_change_commit(g, &change, p);
  if (ok) csfle__log_line(g->out, 5, "audit", "KEK \"%.*s\" moved to another key, with %zu DEKs", CSFLE__FMT(r->name), count);
  return ok;
}

static registry_moving *moving(registry *g, csfle__bytes name, registry_problem *p)
{
  registry_moving *m = (registry_moving *)csfle__map_get(&g->state->moves, name);
  if (!m) registry_refuse(p, 404, 40470, "KEK '%.*s' has no move to confirm or undo", CSFLE__FMT(name));
  return m;
}

bool registry_move_undo(registry *g, csfle__bytes name, registry_problem *p)
{
  registry_change  change = { 0 };
  registry_moving *m = moving(g, name, p);
  registry_kek    *k = m ? registry_kek_get(g, name, true, p) : NULL;
  csfle_buf        at;
  size_t           others = 0;

  if (!k) return false;
  csfle__kek made = *k->kek;
  made.kms_type = m->from->kms_type, made.kms_key_id = m->from->kms_key_id, made.kms_props = m->from->kms_props;
  registry_change_add_kek(&change, &made);
  csfle_buf_init(&at, 0, 0);
  for (size_t i = 0; i < k->count; i++) {
    char digest[65];
    name_of(&at, k->deks[i]->subject, k->deks[i]->algorithm, k->deks[i]->version);
    const kept *before = (const kept *)csfle__map_get(&m->deks, csfle__buf_view(&at));
    digest_of(k->deks[i]->encrypted_key_material, digest);
    if (!before || !before->material.len || !csfle__eq_str(before->became, digest)) others++;
    else add_dek(&change, k->deks[i], before->material);
  }
  csfle_buf_free(&at);
#ifndef CSFLE_BREAK_MOVE_UNDO_BLIND
  if (others) {
    registry_change_drop(&change);
    return registry_refuse(p, 409, 409, "%zu data keys of KEK '%.*s' were made or wrapped again since the move: only the new key unwraps them. Confirm the move, then move the KEK back", others,
                           CSFLE__FMT(name));
  }
#endif
  add_over(g, &change, name, m);
  bool ok = registry_change_commit(g, &change, p);
  if (ok) csfle__log_line(g->out, 5, "audit", "move of KEK \"%.*s\" undone", CSFLE__FMT(name));
  return ok;
}

bool registry_move_confirm(registry *g, csfle__bytes name, registry_problem *p)
{
  registry_change  change = { 0 };
  registry_moving *m = moving(g, name, p);
  if (!m) return false;
  add_over(g, &change, name, m);
  bool ok = registry_change_commit(g, &change, p);
  if (ok) csfle__log_line(g->out, 5, "audit", "move of KEK \"%.*s\" confirmed", CSFLE__FMT(name));
  return ok;
}

bool registry_move_tell(registry *g, csfle__bytes name, csfle_buf *out, registry_problem *p)
{
  const registry_moving *m = moving(g, name, p);
  if (!m) return false;
  put(out, "{\"kekName\":"), put_json(out, name);
  put(out, ",\"since\":"), put_int(out, m->since);
  put(out, ",\"kmsType\":"), put_json(out, m->from->kms_type);
  put(out, ",\"kmsKeyId\":"), put_json(out, m->from->kms_key_id);
  put(out, ",\"kmsProps\":"), must_ok(csfle__pairs_put(out, &m->from->kms_props, NULL));
  put(out, ",\"deks\":"), put_int(out, (int64_t)m->deks.count), put(out, "}");
  return true;
}
