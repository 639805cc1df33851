/* See map.h. Linear probing; a removal closes its gap by moving later entries back, so there are no tombstones. */
#include "core/base/map.h"
#include "core/base/alloc.h"

#define XXH_INLINE_ALL
#include <openssl/rand.h>
#include <pthread.h>
#include <xxhash.h>

static uint64_t       seed;
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void make_seed(void)
{
  if (RAND_bytes((unsigned char *)&seed, sizeof seed) != 1) seed = (uint64_t)(uintptr_t)&seed;
}

uint64_t csfle__map_seed(void)
{
  pthread_once(&seed_once, make_seed);
  return seed;
}

static uint64_t hash_of(csfle__bytes key)
{
  return XXH3_64bits_withSeed(key.len ? (const void *)key.ptr : "", key.len, csfle__map_seed());
}

/* A slot holds half of the hash beside the index, so that a walk past other keys' slots stays in one line of the cache. */
static uint64_t slot_of(uint64_t hash, size_t index) { return (hash & 0xffffffff00000000) | (uint32_t)(index + 1); }
static size_t index_in(uint64_t slot) { return (size_t)(uint32_t)slot - 1; }
static bool half_equal(uint64_t slot, uint64_t hash) { return (slot ^ hash) >> 32 == 0; }

/* the slot that holds the key, or the free slot where it would go */
static size_t find(const csfle__map *m, csfle__bytes key, uint64_t hash)
{
  size_t mask = m->slot_count - 1, s = (size_t)hash & mask;
  for (; m->slots[s]; s = (s + 1) & mask)
    if (half_equal(m->slots[s], hash) && csfle__eq(m->entries[index_in(m->slots[s])].key, key)) break;
  return s;
}

static size_t slot_of_index(const csfle__map *m, size_t index)
{
  size_t mask = m->slot_count - 1, s = (size_t)m->entries[index].hash & mask;
  while (index_in(m->slots[s]) != index) s = (s + 1) & mask;
  return s;
}

void *csfle__map_get(const csfle__map *m, csfle__bytes key)
{
  if (!m->count) return NULL;
  size_t s = find(m, key, hash_of(key));
  return m->slots[s] ? m->entries[index_in(m->slots[s])].value : NULL;
}

static int rehash(csfle__map *m, size_t slot_count)
{
  uint64_t *slots = csfle__calloc(slot_count, sizeof *slots);
  if (!slots) return -1;
  for (size_t i = 0; i < m->count; i++) {
    size_t s = (size_t)m->entries[i].hash & (slot_count - 1);
    while (slots[s]) s = (s + 1) & (slot_count - 1);
    slots[s] = slot_of(m->entries[i].hash, i);
  }
  csfle__free(m->slots);
  m->slots = slots, m->slot_count = slot_count;
  return 0;
}

int csfle__map_put(csfle__map *m, csfle__bytes key, void *value, void **old)
{
  uint64_t hash = hash_of(key);
  size_t   s = 0;
  if (old) *old = NULL;
  if (m->slot_count) {
    s = find(m, key, hash);
    if (m->slots[s]) {
      csfle__map_entry *e = &m->entries[index_in(m->slots[s])];
      if (old) *old = e->value;
      e->value = value;
      if (m->borrows) e->key = key;
      return 0;
    }
  }
  if (m->count >= UINT32_MAX - 1) return -1;
  if ((m->count + 1) * 4 > m->slot_count * 3) {
    if (rehash(m, m->slot_count ? m->slot_count * 2 : 16) != 0) return -1;
    s = find(m, key, hash);
  }
  if (csfle__grow((void **)&m->entries, &m->cap, m->count + 1, sizeof *m->entries) != 0) return -1;
  if (!m->borrows) {
    char *copy = csfle__dup(key.ptr, key.len);
    if (!copy) return -1;
    key = csfle__view(copy, key.len);
  }
  m->entries[m->count] = (csfle__map_entry){ key, value, hash };
  m->slots[s] = slot_of(hash, m->count++);
  return 0;
}

void *csfle__map_remove(csfle__map *m, csfle__bytes key)
{
  if (!m->count) return NULL;
  size_t s = find(m, key, hash_of(key)), mask = m->slot_count - 1;
  if (!m->slots[s]) return NULL;
  size_t index = index_in(m->slots[s]);
  void  *value = m->entries[index].value;
  if (!m->borrows) csfle__free((void *)m->entries[index].key.ptr);

  size_t last = m->count - 1;
  if (index != last) m->slots[slot_of_index(m, last)] = slot_of(m->entries[last].hash, index);
  m->slots[s] = 0;
  m->entries[index] = m->entries[last];
  m->count--;
  /* entries after the gap that would no longer be found move into it */
  for (size_t gap = s, i = (s + 1) & mask; m->slots[i]; i = (i + 1) & mask) {
    size_t home = (size_t)m->entries[index_in(m->slots[i])].hash & mask;
    if (((i - home) & mask) >= ((i - gap) & mask)) m->slots[gap] = m->slots[i], m->slots[i] = 0, gap = i;
  }
  return value;
}

void csfle__map_free(csfle__map *m, void (*free_value)(void *value))
{
  for (size_t i = 0; i < m->count; i++) {
    if (!m->borrows) csfle__free((void *)m->entries[i].key.ptr);
    if (free_value) free_value(m->entries[i].value);
  }
  csfle__free(m->entries), csfle__free(m->slots);
  *m = (csfle__map)CSFLE__MAP_INIT;
}
