/**
 * What was deleted or replaced and can still be had back: KEKs and DEKs of a permanent delete, wrapped material of a
 * rewrap. Records of our own topic, never told by the DEK Registry's calls; gone after csfle.trash.days.
 */
#ifndef REGISTRY_REGISTRY_TRASH_H
#define REGISTRY_REGISTRY_TRASH_H

#include "server/registry/registry.h"

struct registry_trash {
  csfle__arena    arena;
  csfle__bytes    id, key, value; /**< of the record as it was */
  csfle__bytes    kms_type, kms_key_id; /**< of the KEK then: what unwraps the material */
  bool            replaced; /**< by a rewrap, and its DEK was not deleted since */
  int64_t         since, offset; /**< offset: of its record, which orders those of one moment */
  registry_trash *next; /**< another one of the same key */
};

/** Adds what a command takes away, under the write lock; @p kek wraps it, or is it. 507 when there is no room. */
bool registry_trash_put(registry *g, registry_change *change, const csfle__kek *kek, csfle__bytes key, csfle__bytes value, bool replaced, registry_problem *p);
/**
 * Puts an entry back as it was: a deleted key soft-deleted, a replaced material in the place of the one that replaced it,
 * which goes into the trash. Under the write lock. 40470: no such entry, or no KEK for a DEK; 40971: something else has
 * the name. The entry is appended to @p out.
 */
bool registry_trash_restore(registry *g, csfle__bytes id, csfle_buf *out, registry_problem *p);
/** Removes what is past its time; how many. Takes the lock. */
size_t registry_trash_expire(registry *g);
void registry_put_trash(const registry *g, csfle_buf *out, const registry_trash *t);
/** Oldest first. */
void registry_put_trash_list(const registry *g, csfle_buf *out, size_t offset, size_t limit);

#endif
