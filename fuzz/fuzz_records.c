/* Any records in the registry's log: applying them never fails, keeps what belongs together, and gives the same state
   when done twice. Input: lines "topic digit, key, tab, value"; without a tab the record is a tombstone. */
#include "fuzz/fuzz.h"

#include "server/registry/trash.h"

static registry_state *replay(csfle__bytes in)
{
  registry_state *s = registry_state_new(NULL);
  int64_t         offset = 0;
  while (in.len) {
    csfle__bytes    value = fuzz_part(&in, '\n');
    bool            tombstone = !value.len || !memchr(value.ptr, '\t', value.len);
    unsigned        topic = fuzz_byte(&value) - '0';
    csfle__bytes    key = fuzz_part(&value, '\t');
    registry_record r = { (registry_topic)(topic % REGISTRY_TOPICS), offset, 1700000000000 + offset, key, value };
    if (tombstone) r.value = CSFLE__NONE;
    else if (!r.value.ptr) r.value.ptr = (const uint8_t *)"";
    registry_state_apply(s, &r);
    offset++;
  }
  return s;
}

static void check(const registry_state *s)
{
  size_t versions = 0, held = 0, deks = 0, keks = 0;
  for (size_t i = 0; i < s->subjects.count; i++) {
    const registry_subject *subject = (const registry_subject *)s->subjects.entries[i].value;
    MUST(csfle__eq(subject->name, s->subjects.entries[i].key) && registry_state_subject(s, subject->name) == subject);
    for (size_t n = 0; n < subject->count; n++) {
      const registry_version *v = subject->versions[n];
      MUST(v->subject == subject && v->content && (n == 0 || subject->versions[n - 1]->number < v->number));
      MUST(registry_subject_version(subject, v->number) == v && subject->context->max_id >= v->id);
      registry_id *id = registry_context_id(subject->context, v->id);
      MUST(id && id->versions > 0 && csfle__eq(id->content->info->schema, v->content->info->schema));
      MUST(registry_context_hash(subject->context, v->content));
      bool among = false;
      for (size_t h = 0; h < v->content->holder_count; h++) among = among || v->content->holders[h] == v;
      MUST(among);
      versions++;
    }
  }
  for (size_t i = 0; i < s->contents.count; i++) {
    const registry_content *c = (const registry_content *)s->contents.entries[i].value;
    MUST(c->holder_count > 0);
    held += c->holder_count;
  }
  MUST(held == versions);
  held = 0;
  for (size_t i = 0; i < s->contexts.count; i++) {
    const registry_context *ctx = (const registry_context *)s->contexts.entries[i].value;
    for (size_t n = 0; n < ctx->ids.count; n++) {
      const registry_id *id = (const registry_id *)ctx->ids.entries[n].value;
      bool               alive = false;
      for (size_t k = 0; k < s->contents.count; k++) alive = alive || s->contents.entries[k].value == id->content;
      MUST(alive);
      held += id->versions;
    }
    for (size_t n = 0; n < ctx->hashes.count; n++) {
      const registry_id *id = (const registry_id *)ctx->hashes.entries[n].value;
      MUST(registry_context_id(ctx, id->id) == id);
    }
  }
  MUST(held == versions);
  for (size_t i = 0; i < s->keks.count; i++) {
    const registry_kek *k = (const registry_kek *)s->keks.entries[i].value;
    MUST(k->kek || k->count);
    keks += k->kek != NULL, deks += k->count;
    for (size_t n = 0; n < k->count; n++)
      MUST(registry_kek_dek(k, k->deks[n]->subject, k->deks[n]->algorithm, k->deks[n]->version) == k->deks[n]);
  }
  MUST(keks == s->kek_count && deks == s->dek_count);
  size_t linked = 0, bytes = 0;
  for (size_t i = 0; i < s->trash_by_key.count; i++)
    for (const registry_trash *t = (const registry_trash *)s->trash_by_key.entries[i].value; t; t = t->next, linked++)
      MUST(csfle__eq(t->key, s->trash_by_key.entries[i].key) && csfle__map_get(&s->trash, t->id) == t);
  MUST(linked == s->trash.count);
  for (size_t i = 0; i < s->trash.count; i++) bytes += ((const registry_trash *)s->trash.entries[i].value)->key.len + ((const registry_trash *)s->trash.entries[i].value)->value.len;
  MUST(bytes == s->trash_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  registry_state *a = replay(csfle__view(data, size)), *b = replay(csfle__view(data, size));
  check(a);
  MUST(a->subjects.count == b->subjects.count && a->contents.count == b->contents.count && a->configs.count == b->configs.count);
  for (size_t i = 0; i < a->contexts.count; i++) {
    const registry_context *c = (const registry_context *)a->contexts.entries[i].value, *d = registry_state_context(b, c->name);
    MUST(d && c->max_id == d->max_id && c->known == d->known && c->ids.count == d->ids.count);
  }
  csfle__bytes *names = NULL;
  MUST(registry_state_context_names(a, &names) > 0);
  csfle__free(names);
  registry_state_free(a), registry_state_free(b);
  return 0;
}
