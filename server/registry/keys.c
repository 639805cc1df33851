/* KEK and DEK records. [DEK 5] */
#include "server/registry/state.h"

#include "server/log/must.h"

size_t registry_kek_find(const registry_kek *k, csfle__bytes subject, csfle__algorithm a, int32_t version)
{
  size_t lo = 0, hi = k ? k->count : 0;
  while (lo < hi) {
    size_t            mid = (lo + hi) / 2;
    const csfle__dek *d = k->deks[mid];
    int               c = csfle__cmp_utf16(d->subject, subject);
    if (c == 0) c = (int)d->algorithm - (int)a;
    if (c == 0) c = (d->version > version) - (d->version < version);
    if (c < 0) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}

csfle__dek *registry_kek_dek(const registry_kek *k, csfle__bytes subject, csfle__algorithm a, int32_t version)
{
  size_t at = registry_kek_find(k, subject, a, version);
  if (!k || at >= k->count) return NULL;
  csfle__dek *d = k->deks[at];
  return d->version == version && d->algorithm == a && csfle__eq(d->subject, subject) ? d : NULL;
}

static registry_kek *kek_made(registry_state *s, csfle__bytes name)
{
  registry_kek *k = registry_state_kek(s, name);
  if (k) return k;
  k = (registry_kek *)must_calloc(sizeof *k);
  k->name = must_copy(name);
  must_map_put(&s->keks, name, k);
  return k;
}

static void drop_if_empty(registry_state *s, registry_kek *k)
{
  if (k->kek || k->count) return;
  csfle__map_remove(&s->keks, k->name);
  csfle__free(k->deks);
  csfle__free((void *)k->name.ptr);
  csfle__free(k);
}

static void apply_kek(registry_state *s, const registry_record *r, csfle__bytes name, yyjson_val *value)
{
  csfle__kek *made = NULL;

  if (value && csfle__kek_parse(&made, value, NULL) != CSFLE_OK) {
    csfle__log_line(s->log, 4, "registry", "KEK record at offset %lld skipped: its value is not usable", (long long)r->offset);
    return;
  }
  if (!made && !registry_state_kek(s, name)) return;
  registry_kek *k = kek_made(s, name);
  s->kek_count += (size_t)(made != NULL) - (size_t)(k->kek != NULL);
  csfle__kek_free(k->kek);
  k->kek = made;
  if (made) made->ts = r->ts, made->offset = r->offset, made->name = k->name; /* the key names it, whatever the value says */
  drop_if_empty(s, k);
}

static void apply_dek(registry_state *s, const registry_record *r, csfle__bytes name, yyjson_val *key, yyjson_val *value)
{
  csfle__bytes     subject = csfle__json_member_text(key, "subject");
  csfle__algorithm a;
  int64_t          version;
  csfle__dek      *made = NULL;

  if (!subject.ptr || !csfle__algorithm_parse(csfle__json_member_text(key, "algorithm"), &a) ||
      !csfle__json_i64(csfle__json_member(key, "version"), &version) || version < INT32_MIN || version > INT32_MAX ||
      (value && csfle__dek_parse(&made, value, NULL) != CSFLE_OK)) {
    csfle__log_line(s->log, 4, "registry", "DEK record at offset %lld skipped: it is not usable", (long long)r->offset);
    return;
  }
  registry_kek *k = made ? kek_made(s, name) : registry_state_kek(s, name);
  if (!k) return;
  csfle__dek *old = registry_kek_dek(k, subject, a, (int32_t)version);
  size_t      at = registry_kek_find(k, subject, a, (int32_t)version);
  if (made) {
    made->subject = csfle__arena_copy(&made->arena, subject);
    if (!made->subject.ptr) registry_out_of_memory();
    made->kek_name = k->name;
    made->algorithm = a;
    made->version = (int32_t)version;
    made->ts = r->ts, made->offset = r->offset;
    csfle__secret_wipe(&made->key_material); /* never stored; not believed either */
  }
  if (old && made) {
    k->deks[at] = made;
  } else if (made) {
    must_grow((void **)&k->deks, &k->cap, k->count + 1, sizeof *k->deks);
    memmove(k->deks + at + 1, k->deks + at, (k->count - at) * sizeof *k->deks);
    k->deks[at] = made;
    k->count++, s->dek_count++;
  } else if (old) {
    k->count--, s->dek_count--;
    memmove(k->deks + at, k->deks + at + 1, (k->count - at) * sizeof *k->deks);
  }
  csfle__dek_free(old);
  drop_if_empty(s, k);
}

void registry_apply_key(registry_state *s, const registry_record *r, yyjson_val *key, yyjson_val *value)
{
  csfle__bytes type = csfle__json_member_text(key, "type");

  if (csfle__eq_str(type, "KEK")) {
    csfle__bytes name = csfle__json_member_text(key, "name");
    if (name.len) apply_kek(s, r, name, value);
  } else if (csfle__eq_str(type, "DEK")) {
    csfle__bytes name = csfle__json_member_text(key, "kekName");
    if (name.len) apply_dek(s, r, name, key, value);
  } else {
    csfle__log_line(s->log, 4, "registry", "key record at offset %lld skipped: its type is not known", (long long)r->offset);
  }
}
