/**
 * Moving a KEK to another key of another KMS: whoever may use both keys wraps all data keys anew, and one batch of the log changes
 * KEK and DEKs together. What they were before stays in records of our own until the move is confirmed or undone.
 */
#ifndef REGISTRY_REGISTRY_MOVE_H
#define REGISTRY_REGISTRY_MOVE_H

#include "server/registry/registry.h"

/** One DEK as the mover read it and as it shall be. Texts; `was`: SHA-256 of the material it read, 64 hex digits. */
typedef struct registry_moved_dek {
  csfle__bytes     subject, was, material;
  csfle__algorithm algorithm;
  int32_t          version;
} registry_moved_dek;

typedef struct registry_move_request {
  csfle__bytes        name, kms_type, kms_key_id;
  csfle__pairs        props;
  registry_moved_dek *deks;
  size_t              count;
} registry_move_request;

/**
 * All of it or nothing, under the write lock. 409 when the DEKs are not exactly those given, soft-deleted ones included, or one has
 * other material by now, or an earlier move is open; 422/42271 for a key id or material that cannot be, or the key it has.
 */
bool registry_move(registry *g, const registry_move_request *r, registry_problem *p);
/** As it was before. 404: no move is open; 409: a DEK was made or changed since, which only the new key unwraps. */
bool registry_move_undo(registry *g, csfle__bytes name, registry_problem *p);
/** Forgets what it was before. */
bool registry_move_confirm(registry *g, csfle__bytes name, registry_problem *p);
/** The open move: since when, from which key and properties, how many DEKs were kept. 404: none. */
bool registry_move_tell(registry *g, csfle__bytes name, csfle_buf *out, registry_problem *p);
/** What goes for good takes what it was before a move with it: one DEK, or with @p d NULL the whole KEK. */
void registry_move_forget(registry *g, registry_change *change, csfle__bytes kek, const csfle__dek *d);

#endif
