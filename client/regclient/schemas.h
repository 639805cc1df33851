/**
 * Fetching a registered schema with its metadata, rule set and references: by id, by GUID, the latest version, by
 * content, by registering. A machine over csfle__rc_call. [SERDE-46] .. [SERDE-57] [SERDE-173]
 */
#ifndef CSFLE_REGCLIENT_SCHEMAS_H
#define CSFLE_REGCLIENT_SCHEMAS_H

#include "client/regclient/cache.h"
#include "client/regclient/call.h"
#include "core/model/model.h"

#define CSFLE__MAX_REFERENCES 1000
#define CSFLE__MAX_REFERENCE_DEPTH 64

/** Text of one reference, in the shape that csfle__schema_parse takes. */
typedef struct csfle__resolved_ref {
  csfle__bytes name, text;
} csfle__resolved_ref;

/** A schema as registered under a subject; immutable, shared. */
typedef struct csfle__registered {
  csfle__shared        shared;
  csfle__schema_info  *info; /**< id and subject are always there */
  uint64_t             order; /**< of the client's fetches */
  csfle__resolved_ref *refs; /**< children before parents */
  size_t               ref_count;
  csfle__schema_info **ref_infos; /**< what refs look into */
  size_t               ref_info_count;
} csfle__registered;

typedef enum csfle__schema_by { CSFLE__BY_ID, CSFLE__BY_GUID, CSFLE__BY_LATEST, CSFLE__BY_LOOKUP, CSFLE__BY_REGISTER } csfle__schema_by;

typedef struct csfle__ref_frame {
  csfle__schema_info *node;
  size_t              child;
  csfle__bytes        name; /**< by which it was referred to; empty for the root */
} csfle__ref_frame;

typedef struct csfle__schema_fetch {
  int                line;
  csfle__schema_by   by;
  csfle__bytes       subject, text, type; /**< borrowed: subject; text and type to look up or register */
  bool               normalize;
  int32_t            id;
  uint8_t            guid[16];
  csfle__rc_call     call;
  csfle__registered *result; /**< the caller's after DONE: take it and set NULL */
  csfle__ref_frame   stack[CSFLE__MAX_REFERENCE_DEPTH];
  size_t             depth, infos_cap, refs_cap;
} csfle__schema_fetch;
/** Fill in by, subject and what that needs after this. */
void csfle__schema_fetch_init(csfle__schema_fetch *f);
void csfle__schema_fetch_free(csfle__schema_fetch *f);
csfle__next csfle__schema_fetch_step(csfle__rc *rc, csfle__schema_fetch *f, csfle_error *err);

#endif
