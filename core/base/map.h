/**
 * A map from byte strings to pointers: open addressing over an array of entries, XXH3 seeded per process against
 * floods. Keys are copied, unless the map borrows them; values are the caller's. Entries keep their order of insertion until one is removed.
 * One thread at a time (readers may share while nobody writes).
 */
#ifndef CSFLE_BASE_MAP_H
#define CSFLE_BASE_MAP_H

#include "core/base/bytes.h"

typedef struct csfle__map_entry {
  csfle__bytes key;
  void        *value;
  uint64_t     hash;
} csfle__map_entry;

typedef struct csfle__map {
  csfle__map_entry *entries; /**< 0 .. count-1, all live: iterate over them */
  size_t            count, cap;
  uint64_t         *slots; /**< upper half of the hash, index + 1 into entries; 0 free */
  size_t            slot_count;
  bool              borrows; /**< set while empty: keys are the caller's and stay as they are until their entry is gone */
} csfle__map;
#define CSFLE__MAP_INIT { NULL, 0, 0, NULL, 0, false }

/** The value, or NULL when there is none. */
void *csfle__map_get(const csfle__map *m, csfle__bytes key);
/** Adds or replaces; *old (may be NULL) gets the value it replaced or NULL. 0 ok, -1 no memory and nothing changed. */
int csfle__map_put(csfle__map *m, csfle__bytes key, void *value, void **old);
/** Removes; the value it had, or NULL. The last entry takes the place of the removed one. */
void *csfle__map_remove(csfle__map *m, csfle__bytes key);
/** Frees the map and, with @p free_value, every value. Leaves an empty map that copies keys. */
void csfle__map_free(csfle__map *m, void (*free_value)(void *value));

/** The seed of this process's hashes. */
uint64_t csfle__map_seed(void);

#endif
