/**
 * Looking after the data keys of a subject or a KEK as a whole: making those that a contract needs before the first
 * record, and wrapping what is there again after the KMS key got a new version. Both block, for tools. Every thread may
 * call them. [DEK 9.1] [DEK 9.2]
 */
#ifndef CSFLE_DEKS_DEKS_H
#define CSFLE_DEKS_DEKS_H

#include "core/crypt/algorithm.h"

/** Hears of every key that is done, one line without key material. */
typedef void (*csfle__deks_fn)(void *opaque, const char *text);

/**
 * Gets or makes KEK and DEK of every enabled ENCRYPT rule of domainRules and then ENCRYPT_PAYLOAD rule of encodingRules, as a
 * producer would; an expired DEK of a rotating rule gets its successor. @p version below 0: the latest. The schema may be
 * of any type: its text is not looked at. The first error ends it; keys made before stay. A successor that cannot be made is an
 * error here, though a producer would go on with the old key. err->where names subject, version and rule. [DEK-183] .. [DEK-185]
 */
csfle_status csfle__deks_register(csfle_client *cl, csfle__bytes subject, int32_t version, csfle__deks_fn done, void *opaque, csfle_error *err);

/**
 * Unwraps and wraps again every DEK of @p kek, all algorithms and versions; @p subject empty: of all subjects. Soft-deleted
 * ones are included with @p deleted and stay so. The KMS is called here, or by the registry when the KEK is shared. What is
 * put in place of the old material was unwrapped before and gave the same key. A subject that was named and has no DEK is
 * CSFLE_E_SCHEMA; no subjects at all is CSFLE_OK. The first error ends it; running it again is safe. [DEK-187] .. [DEK-190]
 */
csfle_status csfle__deks_rewrap(csfle_client *cl, csfle__bytes kek, csfle__bytes subject, bool deleted, csfle__deks_fn done, void *opaque,
                                csfle_error *err);

/**
 * Makes one DEK under a live KEK: @p version, or with 0 the one after the highest there is (soft-deleted ones count), or 1. The key
 * is generated and wrapped here, and was unwrapped once, or by the registry when the KEK is shared. *made gets its version. What
 * the registry refuses is told with err->http, 409 when that version exists.
 */
csfle_status csfle__deks_make(csfle_client *cl, csfle__bytes kek, csfle__bytes subject, csfle__algorithm a, int32_t version, int32_t *made,
                              csfle_error *err);
/** Whether the KEK can be used: the registry tries it when it is shared, else a key is wrapped and unwrapped here. Nothing is kept. */
csfle_status csfle__deks_test(csfle_client *cl, csfle__bytes kek, csfle_error *err);

#endif
