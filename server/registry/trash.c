/* Wrapped material that a permanent delete or a rewrap takes away stays in records of our own for a while. [AB-7]

   key    {"kind":"trash","id":"0123456789abcdef"}
   value  {"why":"deleted"|"replaced","since":ms,"kmsType":"..","kmsKeyId":"..","key":"<key of the record>","value":"<its value>"}

   A replaced material becomes a deleted one when its DEK is deleted for good: who then makes a key of that name has another one. */
#include "server/registry/trash.h"

#include "core/crypt/random.h"
#include "server/log/must.h"

#include <stdio.h>
#include <stdlib.h>

#define ENTRY_BYTES 4096 /* on the average: a KEK can have properties of megabytes, and the trash is in memory */
#define OF_ONE_KEY 100 /* entries: nobody rewraps one key more often in a week, and one who does leaves the others room */
#define SINCE_MAX (INT64_MAX / 2) /* so that the days of the trash can be added */

/* ---- state ------------------------------------------------------------------------------------------------------ */

void registry_trash_free(registry_trash *t)
{
  csfle__arena_free(&t->arena);
  csfle__free(t);
}

static void unlink_entry(registry_state *s, registry_trash *t)
{
  registry_trash *head = (registry_trash *)csfle__map_get(&s->trash_by_key, t->key);
  s->trash_bytes -= t->key.len + t->value.len;
  csfle__map_remove(&s->trash, t->id);
  if (head == t) {
    if (t->next) must_map_put(&s->trash_by_key, t->key, t->next);
    else csfle__map_remove(&s->trash_by_key, t->key);
  } else {
    while (head && head->next != t) head = head->next;
    if (head) head->next = t->next;
  }
  registry_trash_free(t);
}

void registry_apply_trash(registry_state *s, const registry_record *r, yyjson_val *key, yyjson_val *value)
{
  csfle__bytes    id = csfle__json_member_text(key, "id");
  registry_trash *t = (registry_trash *)csfle__map_get(&s->trash, id);

  if (!id.len) return;
  if (t) unlink_entry(s, t);
  if (!value) return;
  csfle__bytes record = csfle__json_member_text(value, "key"), body = csfle__json_member_text(value, "value");
  if (!record.len || !body.len) return;
  t = (registry_trash *)must_calloc(sizeof *t);
  t->offset = r->offset;
  t->id = registry_copied(&t->arena, id);
  t->key = registry_copied(&t->arena, record);
  t->value = registry_copied(&t->arena, body);
  t->kms_type = registry_copied(&t->arena, csfle__json_member_text(value, "kmsType"));
  t->kms_key_id = registry_copied(&t->arena, csfle__json_member_text(value, "kmsKeyId"));
  t->replaced = csfle__eq_str(csfle__json_member_text(value, "why"), "replaced");
  if (!csfle__json_i64(csfle__json_member(value, "since"), &t->since) || t->since < 0) t->since = 0;
  if (t->since > SINCE_MAX) t->since = SINCE_MAX;
  s->trash_bytes += t->key.len + t->value.len;
  must_map_put(&s->trash, t->id, t);
  t->next = (registry_trash *)csfle__map_get(&s->trash_by_key, t->key);
  must_map_put(&s->trash_by_key, t->key, t);
}

/* ---- into the trash ---------------------------------------------------------------------------------------------- */

static int64_t now_ms(const registry *g) { return g->clock->wall_ms(g->clock->opaque); }

static void put_trash_key(csfle_buf *b, csfle__bytes id)
{
  put(b, "{\"kind\":\"trash\",\"id\":"), put_json(b, id), put(b, "}");
}

static void add_entry(registry_change *change, const registry_trash *t)
{
  csfle_buf key, value;
  csfle_buf_init(&key, 0, 0);
  csfle_buf_init(&value, 0, CSFLE_BUF_WIPE); /* kmsProps of a KEK */
  put_trash_key(&key, t->id);
  put(&value, t->replaced ? "{\"why\":\"replaced\",\"since\":" : "{\"why\":\"deleted\",\"since\":"), put_int(&value, t->since);
  if (t->kms_type.ptr) put(&value, ",\"kmsType\":"), put_json(&value, t->kms_type);
  if (t->kms_key_id.ptr) put(&value, ",\"kmsKeyId\":"), put_json(&value, t->kms_key_id);
  put(&value, ",\"key\":"), put_json(&value, t->key);
  put(&value, ",\"value\":"), put_json(&value, t->value), put(&value, "}");
  registry_change_add(change, REGISTRY_OWN, csfle__buf_view(&key), csfle__buf_view(&value));
  csfle_buf_free(&key);
  csfle_buf_free(&value);
}

static void add_gone(registry_change *change, csfle__bytes id)
{
  csfle_buf key;
  csfle_buf_init(&key, 0, 0);
  put_trash_key(&key, id);
  registry_change_add(change, REGISTRY_OWN, csfle__buf_view(&key), CSFLE__NONE);
  csfle_buf_free(&key);
}

bool registry_trash_put(registry *g, registry_change *change, const csfle__kek *kek, csfle__bytes key, csfle__bytes value, bool replaced, registry_problem *p)
{
  char           text[17];
  uint8_t        random[8];
  int64_t        same = change->trashed < 0 ? change->trashed : 0; /* what a restore takes out is one of this key */
  registry_trash t = { .key = key, .value = value, .replaced = replaced, .since = now_ms(g), .kms_type = kek->kms_type, .kms_key_id = kek->kms_key_id };

  for (registry_trash *old = (registry_trash *)csfle__map_get(&g->state->trash_by_key, key); old; old = old->next) {
    same++;
    if (replaced || !old->replaced) continue;
    registry_trash now = *old;
    now.replaced = false;
    add_entry(change, &now);
  }
#ifdef CSFLE_BREAK_NO_TRASH
  return true;
#endif
  if (!g->options.trash_ms) return true;
  if (same >= OF_ONE_KEY)
    return registry_refuse(p, 507, 507, "The trash holds %lld entries of this key already. When the oldest expire (csfle.trash.days) it can be deleted permanently or rewrapped again", (long long)same);
  if ((int64_t)g->state->trash.count + change->trashed >= (int64_t)g->options.trash_max)
    return registry_refuse(p, 507, 507, "The trash is full: %zu wrapped keys, csfle.trash.max. What expires makes room; until then nothing is deleted permanently and nothing rewrapped, unless csfle.trash.days=0", g->state->trash.count);
  if ((g->state->trash_bytes + change->trashed_bytes + key.len + value.len) / ENTRY_BYTES >= g->options.trash_max)
    return registry_refuse(p, 507, 507, "The trash is full: it has room for csfle.trash.max times %d bytes. What expires makes room; until then nothing of this size is deleted permanently or rewrapped, unless csfle.trash.days=0", ENTRY_BYTES);
  if (csfle__random_fill(random, sizeof random) != 1) return registry_refuse(p, 500, 500, "Error while deleting key: no random bytes");
  for (size_t i = 0; i < sizeof random; i++) snprintf(text + 2 * i, 3, "%02x", random[i]);
  t.id = csfle__str(text);
  add_entry(change, &t);
  change->trashed++;
  change->trashed_bytes += key.len + value.len;
  return true;
}

/* ---- out of the trash --------------------------------------------------------------------------------------------- */

static bool taken(csfle__bytes name, registry_problem *p)
{
  return registry_refuse(p, 409, 40971, "Key '%.*s' already exists; use a different value", CSFLE__FMT(name));
}

static bool unusable(const registry_trash *t, registry_problem *p)
{
  return registry_refuse(p, 500, 500, "Trash entry '%.*s' cannot be read", CSFLE__FMT(t->id));
}

static bool restore_kek(registry *g, const registry_trash *t, const csfle__kek *kek, registry_change *change, registry_problem *p)
{
  registry_kek *k = registry_state_kek(g->state, kek->name);
  if (k && k->kek) return taken(kek->name, p);
  if (!registry_keys_left(g, g->state->kek_count, p)) return false;
  registry_change_add(change, REGISTRY_KEYS, t->key, t->value);
  return true;
}

static bool restore_dek(registry *g, const registry_trash *t, csfle__dek *dek, registry_change *change, registry_problem *p)
{
  registry_kek *k = registry_kek_get(g, dek->kek_name, true, p);
  if (!k) return false;
  csfle__dek *now = registry_kek_dek(k, dek->subject, dek->algorithm, dek->version);
  if (!csfle__eq(k->kek->kms_type, t->kms_type) || !csfle__eq(k->kek->kms_key_id, t->kms_key_id))
    return registry_refuse(p, 409, 40971, "Key '%.*s' already exists; the KEK of this name is another one than wrapped this key", CSFLE__FMT(dek->kek_name));
  if (now && (!t->replaced || csfle__eq(now->encrypted_key_material, dek->encrypted_key_material))) return taken(dek->subject, p);
  if (!now && !registry_keys_left(g, g->state->dek_count, p)) return false;
  csfle_buf value;
  bool      ok = true;
  csfle_buf_init(&value, 0, 0);
  if (now) { /* the other material takes its place */
    registry_put_dek_value(&value, now);
    ok = registry_trash_put(g, change, k->kek, t->key, csfle__buf_view(&value), true, p);
    csfle__buf_clear(&value);
  }
  dek->deleted = !now || now->deleted; /* what a rewrap replaced was not, when its DEK was deleted later */
  registry_put_dek_value(&value, dek);
  registry_change_add(change, REGISTRY_KEYS, t->key, csfle__buf_view(&value));
  csfle_buf_free(&value);
  return ok;
}

bool registry_trash_restore(registry *g, csfle__bytes id, csfle_buf *out, registry_problem *p)
{
  registry_trash *t = (registry_trash *)csfle__map_get(&g->state->trash, id);
  registry_change change = { 0 };
  yyjson_doc     *doc = NULL;
  csfle__kek     *kek = NULL;
  csfle__dek     *dek = NULL;
  bool            ok = false;

  change.trashed = -1;
  if (!t || t->since + g->options.trash_ms <= now_ms(g)) return registry_refuse(p, 404, 40470, "Trash entry '%.*s' not found", CSFLE__FMT(id));
  if (csfle__json_parse(&doc, t->value, NULL) != CSFLE_OK) return unusable(t, p);
  yyjson_val *v = yyjson_doc_get_root(doc);
  if (csfle__eq_str(csfle__json_member_text(v, "type"), "KEK")) {
    ok = csfle__kek_parse(&kek, v, NULL) == CSFLE_OK ? restore_kek(g, t, kek, &change, p) : unusable(t, p);
  } else {
    ok = csfle__dek_parse(&dek, v, NULL) == CSFLE_OK ? restore_dek(g, t, dek, &change, p) : unusable(t, p);
  }
  if (ok) {
    registry_put_trash(g, out, t);
    add_gone(&change, t->id);
    ok = registry_change_commit(g, &change, p); /* frees t */
    if (ok) csfle__log_line(g->out, 5, "audit", "trash entry %.*s restored: %s \"%.*s\"", CSFLE__FMT(id), kek ? "KEK" : "a DEK of KEK", CSFLE__FMT(kek ? kek->name : dek->kek_name));
  } else {
    registry_change_drop(&change);
  }
  csfle__kek_free(kek);
  csfle__dek_free(dek);
  yyjson_doc_free(doc);
  return ok;
}

size_t registry_trash_expire(registry *g)
{
  registry_change  change = { 0 };
  registry_problem p;
  int64_t          now = now_ms(g);

  registry_begin(g, true);
  for (size_t i = 0; i < g->state->trash.count && change.count < 4000; i++) {
    const registry_trash *t = (const registry_trash *)g->state->trash.entries[i].value;
    if (t->since + g->options.trash_ms <= now) add_gone(&change, t->id);
  }
  size_t n = change.count;
  if (!registry_change_commit(g, &change, &p)) n = 0; /* at the next turn again */
  registry_end(g);
  return n;
}

/* ---- telling ------------------------------------------------------------------------------------------------------ */

void registry_put_trash(const registry *g, csfle_buf *out, const registry_trash *t)
{
  yyjson_doc *doc = NULL;
  int64_t     version;

  put(out, "{\"id\":"), put_json(out, t->id);
  if (csfle__json_parse(&doc, t->key, NULL) == CSFLE_OK) {
    yyjson_val *k = yyjson_doc_get_root(doc);
    bool        kek = csfle__eq_str(csfle__json_member_text(k, "type"), "KEK");
    put(out, ",\"type\":"), put_json(out, csfle__json_member_text(k, "type"));
    put(out, ",\"kekName\":"), put_json(out, csfle__json_member_text(k, kek ? "name" : "kekName"));
    if (!kek) {
      put(out, ",\"subject\":"), put_json(out, csfle__json_member_text(k, "subject"));
      put(out, ",\"algorithm\":"), put_json(out, csfle__json_member_text(k, "algorithm"));
      if (csfle__json_i64(csfle__json_member(k, "version"), &version)) put(out, ",\"version\":"), put_int(out, version);
    }
  }
  yyjson_doc_free(doc);
  put(out, ",\"kmsType\":"), put_json(out, t->kms_type);
  put(out, ",\"kmsKeyId\":"), put_json(out, t->kms_key_id);
  put(out, t->replaced ? ",\"why\":\"replaced\"" : ",\"why\":\"deleted\"");
  put(out, ",\"since\":"), put_int(out, t->since);
  put(out, ",\"expires\":"), put_int(out, t->since + g->options.trash_ms), put(out, "}");
}

static int by_since(const void *a, const void *b)
{
  const registry_trash *x = *(registry_trash *const *)a, *y = *(registry_trash *const *)b;
  return x->since != y->since ? (x->since > y->since) - (x->since < y->since) : (x->offset > y->offset) - (x->offset < y->offset);
}

void registry_put_trash_list(const registry *g, csfle_buf *out, size_t offset, size_t limit)
{
  const csfle__map *all = &g->state->trash;
  registry_trash  **at = (registry_trash **)must(csfle__calloc(all->count + 1, sizeof *at));
  int64_t           now = now_ms(g);
  size_t            n = 0, told = 0;

  for (size_t i = 0; i < all->count; i++) {
    registry_trash *t = (registry_trash *)all->entries[i].value;
    if (t->since + g->options.trash_ms > now) at[n++] = t;
  }
  if (n) qsort(at, n, sizeof *at, by_since);
  put(out, "[");
  for (size_t i = offset; i < n && told < limit; i++, told++) {
    if (told) put(out, ",");
    registry_put_trash(g, out, at[i]);
  }
  put(out, "]");
  csfle__free(at);
}
