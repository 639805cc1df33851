/*
 * Contents: text, type, references, metadata and rule set, kept once however many versions hold them. [SR 5.4]
 *
 * At start there may be a hundred thousand, and few are asked for soon. So what is only needed for an answer, the GUID (an MD5)
 * and the text as JSON, is made when it is first asked for, by whichever reader comes first.
 */
#include "server/registry/state.h"

#include "server/log/must.h"

#include <sys/mman.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

typedef struct identity {
  uint8_t key[16];
  bool    md5; /* key is the GUID */
} identity;

static bool has_contract(const csfle__schema_info *info)
{
  return info->reference_count || info->metadata || info->rule_set;
}

static void hash(const csfle__schema_info *info, uint8_t guid[16])
{
  must_ok(csfle__content_hash(info->schema, info->references, info->reference_count, info->metadata, info->rule_set, guid, NULL));
}

/* What contents are found by: of a schema alone a fast hash of its text, else the MD5. */
static identity identify(const csfle__schema_info *info)
{
  identity who = { .md5 = has_contract(info) };
  if (who.md5) hash(info, who.key);
  else XXH128_canonicalFromHash((XXH128_canonical_t *)(void *)who.key, XXH3_128bits_withSeed(info->schema.ptr, info->schema.len, csfle__map_seed()));
  return who;
}

/* key and type; contents of one key that differ all the same ({} is hashed alike in metadata and rule set [SR 5.4]) are
   numbered behind it */
static csfle__bytes key_of(const uint8_t key[16], csfle__bytes type, uint8_t number, uint8_t buf[REGISTRY_CONTENT_KEY])
{
  size_t n = type.len < 32 ? type.len : 32;
  memcpy(buf, key, 16);
  if (n) memcpy(buf + 16, type.ptr, n);
  n += 16;
  if (number) buf[n++] = 0, buf[n++] = number;
  return csfle__view(buf, n);
}

static bool same_content(const csfle__schema_info *a, const csfle__schema_info *b)
{
  return csfle__eq(a->schema, b->schema) && csfle__eq(a->schema_type, b->schema_type) &&
         csfle__references_equal(a->references, a->reference_count, b->references, b->reference_count) &&
         csfle__metadata_equal(a->metadata, b->metadata) && csfle__rule_set_equal(a->rule_set, b->rule_set);
}

/* the one with this content, or NULL with the number a new one gets */
static registry_content *find(const registry_state *s, const csfle__schema_info *info, const identity *who, uint8_t *number)
{
  uint8_t buf[REGISTRY_CONTENT_KEY];
  for (unsigned n = 0; n < 256; n++) {
    registry_content *c = (registry_content *)csfle__map_get(&s->contents, key_of(who->key, info->schema_type, (uint8_t)n, buf));
    *number = (uint8_t)n;
    if (!c || same_content(c->info, info)) return c;
  }
  return NULL;
}

registry_content *registry_state_content(const registry_state *s, const csfle__schema_info *info, registry_content **clash)
{
  identity          who = identify(info);
  uint8_t           number, guid[16];
  registry_content *c = find(s, info, &who, &number);
  if (clash) {
    *clash = NULL;
    if (c) return c;
    if (who.md5) memcpy(guid, who.key, 16);
    else hash(info, guid);
    *clash = registry_state_guid(s, guid, info->schema_type);
  }
  return c;
}

/* ---- what is made when it is asked for ------------------------------------------------------------------------- */

/* gives @p made to whoever asks from now on, unless another was faster */
#define PUBLISH(place, made)                                                                                               \
  do {                                                                                                                     \
    void *none_ = NULL;                                                                                                    \
    if (!atomic_compare_exchange_strong_explicit(place, &none_, made, memory_order_acq_rel, memory_order_acquire)) csfle__free(made); \
  } while (0)

const uint8_t *registry_content_guid(registry_content *c)
{
  if (c->by_md5) return c->key;
  if (!atomic_load_explicit(&c->guid, memory_order_acquire)) {
    uint8_t *guid = (uint8_t *)must_calloc(16);
    hash(c->info, guid);
    PUBLISH(&c->guid, guid);
  }
  return (const uint8_t *)atomic_load_explicit(&c->guid, memory_order_acquire);
}

static void *render(registry_content *c)
{
  const csfle__schema_info *info = c->info;
  char                      text[37];
  csfle_buf                 b;
  registry_rendered         head = { 0, 0 };
  csfle_buf_init(&b, 0, 0);
  must_ok(csfle__buf_reserve(&b, sizeof head + info->schema.len + info->schema.len / 8 + 120, NULL));
  put_bytes(&b, csfle__view(&head, sizeof head));
  csfle__guid_text(registry_content_guid(c), text);
  put(&b, ",\"guid\":\""), put(&b, text), put(&b, "\",\"schemaType\":");
  put_json(&b, info->schema_type);
  if (info->reference_count) {
    put(&b, ",\"references\":");
    must_ok(csfle__references_put(&b, info->references, info->reference_count, NULL));
  }
  if (info->metadata) {
    put(&b, ",\"metadata\":");
    must_ok(csfle__metadata_put(&b, info->metadata, NULL));
  }
  if (info->rule_set) {
    put(&b, ",\"ruleSet\":");
    must_ok(csfle__rule_set_put(&b, info->rule_set, NULL));
  }
  head.schema_at = b.len - sizeof head;
  put(&b, ",\"schema\":");
  put_json(&b, info->schema);
  head.len = b.len - sizeof head;
  memcpy(b.ptr, &head, sizeof head);
  void *made = must(csfle__dup(b.ptr, b.len)); /* to its size */
  csfle_buf_free(&b);
  return made;
}

const registry_rendered *registry_content_rendered(registry_content *c)
{
  if (!atomic_load_explicit(&c->rendered, memory_order_acquire)) {
    void *made = render(c);
    PUBLISH(&c->rendered, made);
  }
  return (const registry_rendered *)atomic_load_explicit(&c->rendered, memory_order_acquire);
}

/* ---- by GUID --------------------------------------------------------------------------------------------------- */

static void index_guid(registry_guids *g, registry_content *c)
{
  uint8_t           buf[REGISTRY_CONTENT_KEY];
  csfle__bytes      key = key_of(registry_content_guid(c), c->info->schema_type, 0, buf);
  registry_content *other = (registry_content *)csfle__map_get(&g->map, key);
  if (other) g->doubles = true;
  if (!other || other->number > c->number) must_map_put(&g->map, key, c);
}

registry_content *registry_state_guid(const registry_state *s, const uint8_t guid[16], csfle__bytes type)
{
  uint8_t         buf[REGISTRY_CONTENT_KEY];
  registry_guids *g = s->guids;
  if (!atomic_load_explicit(&g->ready, memory_order_acquire)) {
    pthread_mutex_lock(&g->lock);
    if (!atomic_load_explicit(&g->ready, memory_order_relaxed)) {
      for (size_t i = 0; i < s->contents.count; i++) index_guid(g, (registry_content *)s->contents.entries[i].value);
      atomic_store_explicit(&g->ready, true, memory_order_release);
    }
    pthread_mutex_unlock(&g->lock);
  }
  return (registry_content *)csfle__map_get(&g->map, key_of(guid, type, 0, buf));
}

registry_guids *registry_guids_new(void)
{
  registry_guids *g = (registry_guids *)must_calloc(sizeof *g);
  if (pthread_mutex_init(&g->lock, NULL) != 0) registry_out_of_memory();
  return g;
}

static void forget_guids(registry_guids *g)
{
  csfle__map_free(&g->map, NULL);
  g->doubles = false;
  atomic_store_explicit(&g->ready, false, memory_order_relaxed);
}

void registry_guids_free(registry_guids *g)
{
  if (!g) return;
  forget_guids(g);
  pthread_mutex_destroy(&g->lock);
  csfle__free(g);
}

/* ---- making and dropping --------------------------------------------------------------------------------------- */

/*
 * Contents that are read at start lie one behind the other in large pages where the system has them: a hundred thousand of 1 KB
 * are 25,000 page faults otherwise, which was a fifth of the start. A slab goes when its last content does.
 */
#define SLAB (2u << 20)
struct registry_slab {
  size_t used, live; /* live: contents, and one while it is being filled */
};

static void slab_release(registry_slab *slab)
{
  if (--slab->live == 0) munmap(slab, SLAB);
}

static registry_slab *slab_new(void)
{
  uint8_t *p = mmap(NULL, 2 * SLAB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return NULL;
  uint8_t *at = (uint8_t *)(((uintptr_t)p + SLAB - 1) & ~(uintptr_t)(SLAB - 1));
  if (at > p) munmap(p, (size_t)(at - p));
  munmap(at + SLAB, (size_t)(p + SLAB - at));
  (void)madvise(at, SLAB, MADV_HUGEPAGE);
  registry_slab *slab = (registry_slab *)(void *)at;
  slab->used = 64, slab->live = 1;
  return slab;
}

void registry_contents_load(registry_state *s, bool begin)
{
  if (s->slab) slab_release(s->slab);
  s->slab = NULL;
  s->loading = begin && !csfle__alloc_replaced();
}

/* zeroed up to its text; NULL: not in a slab */
static registry_content *slab_content(registry_state *s, size_t size)
{
  size = (size + 15) & ~(size_t)15;
  if (!s->loading || size > SLAB / 16) return NULL;
  if (!s->slab || s->slab->used + size > SLAB) {
    if (s->slab) slab_release(s->slab);
    if (!(s->slab = slab_new())) return NULL;
  }
  registry_content *c = (registry_content *)(void *)((uint8_t *)s->slab + s->slab->used);
  s->slab->used += size, s->slab->live++;
  c->slab = s->slab;
  return c;
}

/* A schema alone lies behind its content in one piece of memory; what has a contract or references keeps the arena it was
   parsed into. */
static registry_content *plain_content(registry_state *s, const csfle__schema_info *from)
{
  size_t            type_len = csfle__eq_str(from->schema_type, "AVRO") ? 0 : from->schema_type.len + 1;
  size_t            size = sizeof(registry_content) + from->schema.len + 1 + type_len;
  registry_content *c = slab_content(s, size);
  if (!c) c = (registry_content *)memset(must(csfle__alloc(size)), 0, sizeof *c);
  uint8_t *text = (uint8_t *)(c + 1);
  c->info = &c->own;
  memcpy(text, from->schema.ptr, from->schema.len);
  text[from->schema.len] = 0;
  c->own.schema = csfle__view(text, from->schema.len);
  c->own.schema_type = CSFLE__LIT("AVRO");
  if (type_len) {
    text += from->schema.len + 1;
    memcpy(text, from->schema_type.ptr, type_len - 1);
    text[type_len - 1] = 0;
    c->own.schema_type = csfle__view(text, type_len - 1);
  }
  c->own.id = c->own.version = -1;
  return c;
}

registry_content *registry_content_made(registry_state *s, csfle__schema_info *info, bool owned)
{
  identity          who = identify(info);
  uint8_t           number;
  registry_content *c = find(s, info, &who, &number);

  if (!c) {
    if (has_contract(info)) {
      c = (registry_content *)must_calloc(sizeof *c);
      c->info = info;
    } else {
      c = plain_content(s, info);
    }
    c->by_md5 = who.md5;
    c->number = number;
    must_map_put(&s->contents, key_of(who.key, c->info->schema_type, number, c->key), c);
    if (atomic_load_explicit(&s->guids->ready, memory_order_relaxed)) index_guid(s->guids, c);
  }
  if (owned && c->info != info) csfle__schema_info_free(info);
  return c;
}

void registry_content_drop(registry_state *s, registry_content *c)
{
  uint8_t         buf[REGISTRY_CONTENT_KEY];
  registry_guids *g = s->guids;
  csfle__map_remove(&s->contents, key_of(c->key, c->info->schema_type, c->number, buf));
  if (atomic_load_explicit(&g->ready, memory_order_relaxed)) {
    csfle__bytes key = key_of(registry_content_guid(c), c->info->schema_type, 0, buf);
    if (g->doubles) forget_guids(g); /* another may take its place: found when it is next asked for */
    else if (csfle__map_get(&g->map, key) == c) csfle__map_remove(&g->map, key);
  }
  if (c->parsed) s->parsed_count--;
  registry_content_free(c);
}

void registry_content_unparse(registry_content *c)
{
  if (c->parsed) csfle__schema_free(c->parsed);
  c->parsed = NULL;
}

void registry_content_free(registry_content *c)
{
  registry_content_unparse(c);
  if (c->info != &c->own) csfle__schema_info_free(c->info);
  csfle__free(atomic_load_explicit(&c->rendered, memory_order_relaxed));
  csfle__free(atomic_load_explicit(&c->guid, memory_order_relaxed));
  csfle__free(c->holders);
  if (c->slab) slab_release(c->slab);
  else csfle__free(c);
}
