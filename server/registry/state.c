/* Making, freeing and finding; which record goes where. See state.h. */
#include "server/registry/state.h"

#include "server/log/must.h"

#include <stdlib.h>
#include <strings.h>

static const char *const levels[REGISTRY_LEVELS] = { NULL, "NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD",
                                                     "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE" };
static const char *const modes[REGISTRY_MODES] = { NULL, "READWRITE", "READONLY", "READONLY_OVERRIDE", "IMPORT", "FORWARD" };

static int find_name(csfle__bytes text, const char *const *names, int count)
{
  for (int i = 1; i < count; i++)
    if (csfle__eq_nocase(text, csfle__str(names[i]))) return i;
  return 0;
}

const char *registry_level_name(registry_level l) { return levels[l]; }
const char *registry_mode_name(registry_mode m) { return modes[m]; }

bool registry_level_parse(csfle__bytes text, registry_level *out)
{
  *out = (registry_level)find_name(text, levels, REGISTRY_LEVELS);
  return *out != REGISTRY_LEVEL_UNSET;
}

bool registry_mode_parse(csfle__bytes text, registry_mode *out)
{
  *out = (registry_mode)find_name(text, modes, REGISTRY_MODES);
  return *out != REGISTRY_MODE_UNSET;
}

registry_state *registry_state_new(const csfle__log *log)
{
  registry_state *s = (registry_state *)must_calloc(sizeof *s);
  s->log = log;
  s->subjects.borrows = s->contents.borrows = true; /* from what they lead to */
  s->guids = registry_guids_new();
  registry_state_context_made(s, CSFLE__LIT("."))->known = true;
  return s;
}

static void free_subject(void *p)
{
  registry_subject *subject = (registry_subject *)p;
  for (size_t i = 0; i < subject->count; i++) csfle__free(subject->versions[i]);
  csfle__free(subject->versions);
  csfle__free((void *)subject->name.ptr);
  csfle__free(subject);
}

static void free_context(void *p)
{
  registry_context *c = (registry_context *)p;
  csfle__map_free(&c->ids, csfle__free);
  csfle__map_free(&c->hashes, NULL);
  csfle__free((void *)c->name.ptr);
  csfle__free(c);
}

static void free_content(void *p) { registry_content_free((registry_content *)p); }
static void free_config(void *p) { registry_config_free((registry_config *)p); }

static void free_refs(void *p)
{
  csfle__free(((registry_refs *)p)->at);
  csfle__free(p);
}

static void free_trash(void *p) { registry_trash_free((registry_trash *)p); }
static void free_moving(void *p) { registry_moving_free((registry_moving *)p); }

static void free_kek(void *p)
{
  registry_kek *k = (registry_kek *)p;
  for (size_t i = 0; i < k->count; i++) csfle__dek_free(k->deks[i]);
  csfle__free(k->deks);
  csfle__kek_free(k->kek);
  csfle__free((void *)k->name.ptr);
  csfle__free(k);
}

void registry_state_free(registry_state *s)
{
  if (!s) return;
  csfle__map_free(&s->subjects, free_subject);
  csfle__map_free(&s->contents, free_content);
  csfle__map_free(&s->contexts, free_context);
  csfle__map_free(&s->configs, free_config);
  csfle__map_free(&s->modes, NULL);
  csfle__map_free(&s->referrers, free_refs);
  csfle__map_free(&s->keks, free_kek);
  csfle__map_free(&s->trash_by_key, NULL);
  csfle__map_free(&s->trash, free_trash);
  csfle__map_free(&s->moves, free_moving);
  registry_guids_free(s->guids);
  csfle__free(s);
}

registry_context *registry_state_context_made(registry_state *s, csfle__bytes name)
{
  registry_context *c = (registry_context *)csfle__map_get(&s->contexts, name);
  if (c) return c;
  c = (registry_context *)must_calloc(sizeof *c);
  c->name = must_copy(name);
  c->ids.borrows = true;
  must_map_put(&s->contexts, name, c);
  return c;
}

static void skipped(registry_state *s, const registry_record *r, const char *why)
{
  csfle__log_line(s->log, 4, "registry", "record at offset %lld skipped: %s", (long long)r->offset, why);
}

/* a record of our own topic: {"kind":"ids","context":"."} -> {"max":n}, so that no id is given out twice after its
   schema was permanently deleted and compacted away; or what is in the trash, or was before a move */
static void apply_own(registry_state *s, const registry_record *r, yyjson_val *key, yyjson_val *value)
{
  int64_t      max;
  csfle__bytes kind = csfle__json_member_text(key, "kind");
  if (csfle__eq_str(kind, "trash")) registry_apply_trash(s, r, key, value);
  if (csfle__eq_str(kind, "move") || csfle__eq_str(kind, "moved")) registry_apply_move(s, key, value);
  if (!csfle__eq_str(kind, "ids")) return;
  csfle__bytes context = csfle__json_member_text(key, "context");
  if (!context.len || !csfle__json_i64(csfle__json_member(value, "max"), &max) || max < 0 || max > INT32_MAX) return;
  registry_context *c = registry_state_context_made(s, context);
  if (max > c->max_id) c->max_id = (int32_t)max;
}

void registry_record_parse(const registry_record *r, const yyjson_alc *alc, registry_parsed *out)
{
  csfle_status key = CSFLE_OK, value = CSFLE_OK;

  *out = (registry_parsed){ .r = { r->topic, r->offset, r->ts, CSFLE__NONE, CSFLE__NONE } };
  if (r->topic >= REGISTRY_TOPICS) return;
  key = csfle__json_parse_into(&out->key, r->key, alc, NULL);
  if (r->value.ptr) value = csfle__json_parse_into(&out->value, r->value, alc, NULL);
  if (key == CSFLE_E_NOMEM || value == CSFLE_E_NOMEM) registry_out_of_memory();
  if (key != CSFLE_OK || !yyjson_is_obj(yyjson_doc_get_root(out->key))) out->wrong = "its key is no JSON object";
  else if (value != CSFLE_OK) out->wrong = "its value is no JSON";
  else if (out->value && !yyjson_is_null(yyjson_doc_get_root(out->value)) && !yyjson_is_obj(yyjson_doc_get_root(out->value)))
    out->wrong = "its value is no JSON object";
}

void registry_parsed_free(registry_parsed *p)
{
  yyjson_doc_free(p->key);
  yyjson_doc_free(p->value);
  p->key = p->value = NULL;
}

void registry_state_apply_parsed(registry_state *s, const registry_parsed *p)
{
  const registry_record *r = &p->r;

  if (r->topic >= REGISTRY_TOPICS) return;
  if (p->wrong) {
    skipped(s, r, p->wrong);
    return;
  }
  yyjson_val *k = yyjson_doc_get_root(p->key), *v = p->value ? yyjson_doc_get_root(p->value) : NULL;
  if (v && yyjson_is_null(v)) v = NULL;
  if (r->topic == REGISTRY_KEYS) {
    registry_apply_key(s, r, k, v);
  } else if (r->topic == REGISTRY_OWN) {
    apply_own(s, r, k, v);
  } else {
    csfle__bytes type = csfle__json_member_text(k, "keytype");
    if (csfle__eq_str(type, "SCHEMA")) registry_apply_schema(s, r, k, v);
    else if (csfle__eq_str(type, "CONFIG")) registry_apply_config(s, k, v);
    else if (csfle__eq_str(type, "MODE")) registry_apply_mode(s, k, v);
    else if (csfle__eq_str(type, "DELETE_SUBJECT")) registry_apply_delete_subject(s, v);
    else if (csfle__eq_str(type, "CLEAR_SUBJECT")) registry_apply_clear_subject(s, k);
    else if (csfle__eq_str(type, "CONTEXT")) registry_apply_context(s, k, v);
    else if (!csfle__eq_str(type, "NOOP")) skipped(s, r, "its key type is not known");
  }
}

void registry_state_apply(registry_state *s, const registry_record *r)
{
  registry_parsed p;
  registry_record_parse(r, csfle__json_alc(), &p);
  registry_state_apply_parsed(s, &p);
  registry_parsed_free(&p);
}

void registry_apply_context(registry_state *s, yyjson_val *key, yyjson_val *value)
{
  csfle__bytes name = csfle__json_member_text(key, "context");
  if (!name.len) return;
  if (value) {
    registry_state_context_made(s, name)->known = true;
  } else if (!csfle__eq_str(name, ".")) {
    registry_context *c = registry_state_context(s, name);
    if (c) c->known = false; /* the marks stay: ids are not given out again */
  }
}

/* ---- finding --------------------------------------------------------------------------------------------------- */

registry_context *registry_state_context(const registry_state *s, csfle__bytes name)
{
  return (registry_context *)csfle__map_get(&s->contexts, name);
}

registry_subject *registry_state_subject(const registry_state *s, csfle__bytes name)
{
  return (registry_subject *)csfle__map_get(&s->subjects, name);
}

registry_version *registry_subject_version(const registry_subject *subject, int32_t number)
{
  size_t lo = 0, hi = subject ? subject->count : 0;
  while (lo < hi) {
    size_t mid = (lo + hi) / 2;
    if (subject->versions[mid]->number < number) lo = mid + 1;
    else hi = mid;
  }
  return subject && lo < subject->count && subject->versions[lo]->number == number ? subject->versions[lo] : NULL;
}

registry_version *registry_subject_latest(const registry_subject *subject, bool deleted)
{
  for (size_t i = subject ? subject->count : 0; i-- > 0;)
    if (deleted || !subject->versions[i]->deleted) return subject->versions[i];
  return NULL;
}

bool registry_subject_live(const registry_subject *subject, bool deleted)
{
  return registry_subject_latest(subject, deleted) != NULL;
}

registry_id *registry_context_id(const registry_context *c, int32_t id)
{
  uint8_t key[4];
  if (!c || id < 0) return NULL;
  csfle__put_u32be(key, (uint32_t)id);
  return (registry_id *)csfle__map_get(&c->ids, csfle__view(key, sizeof key));
}

registry_id *registry_context_hash(const registry_context *c, const registry_content *content)
{
  return c && content ? (registry_id *)csfle__map_get(&c->hashes, csfle__view(&content, sizeof content)) : NULL;
}

registry_config *registry_state_config(const registry_state *s, csfle__bytes name)
{
  return (registry_config *)csfle__map_get(&s->configs, name);
}

registry_mode registry_state_mode(const registry_state *s, csfle__bytes name)
{
  return (registry_mode)(uintptr_t)csfle__map_get(&s->modes, name);
}

registry_kek *registry_state_kek(const registry_state *s, csfle__bytes name)
{
  return (registry_kek *)csfle__map_get(&s->keks, name);
}

static int by_context(const void *a, const void *b)
{
  csfle__bytes x = *(const csfle__bytes *)a, y = *(const csfle__bytes *)b;
  if (x.len == 1 || y.len == 1) return (int)(x.len != 1) - (int)(y.len != 1); /* "." first */
  return csfle__cmp_utf16(x, y);
}

size_t registry_state_context_names(const registry_state *s, csfle__bytes **out)
{
  csfle__bytes *names = (csfle__bytes *)must(csfle__calloc(s->contexts.count + 1, sizeof *names));
  size_t        n = 0;
  for (size_t i = 0; i < s->contexts.count; i++) {
    registry_context *c = (registry_context *)s->contexts.entries[i].value;
    if (c->known) names[n++] = c->name;
  }
  qsort(names, n, sizeof *names, by_context);
  *out = names;
  return n;
}

static int by_subject(const void *a, const void *b)
{
  return csfle__cmp_utf16((*(registry_subject *const *)a)->name, (*(registry_subject *const *)b)->name);
}

size_t registry_state_subjects(const registry_state *s, registry_subject ***out)
{
  size_t n = s->subjects.count;
  *out = (registry_subject **)must(csfle__calloc(n + 1, sizeof **out));
  for (size_t i = 0; i < n; i++) (*out)[i] = (registry_subject *)s->subjects.entries[i].value;
  qsort(*out, n, sizeof **out, by_subject);
  return n;
}
