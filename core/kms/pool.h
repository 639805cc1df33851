/**
 * Open drivers of one client or server, kept between calls: whoever asks for the same type and key id with the same
 * properties gets the same driver, and so the session in it (an assumed role, an AppRole login, a token). What counts as the
 * same properties is what the driver asked for when it was opened, nothing else. Any thread; a driver may be in use by several.
 *
 * A driver goes when it was refused (its credentials may be others by now), when keys are forgotten, at the end, and when
 * there are too many: the one that nobody uses and that was used longest ago. Its secrets are wiped then.
 */
#ifndef CSFLE_KMS_POOL_H
#define CSFLE_KMS_POOL_H

#include "core/kms/plugin.h"

#define CSFLE__POOL_MAX 64

struct csfle__pooled;
typedef struct csfle__kms_pool {
  pthread_mutex_t       lock; /**< never held over open or step */
  struct csfle__pooled *first;
  size_t                count;
  uint64_t              ticks;
  const csfle__plugins *plugins; /**< borrowed; may be NULL */
} csfle__kms_pool;
void csfle__kms_pool_init(csfle__kms_pool *p, const csfle__plugins *plugins);
/** Nobody may hold a driver of it. */
void csfle__kms_pool_free(csfle__kms_pool *p);
/** Closes those that nobody uses, the others when they are given back. */
void csfle__kms_pool_forget(csfle__kms_pool *p);
/**
 * The open driver, opened if there is none; for csfle__kms_give. CSFLE_E_CONFIG: no driver of that type, or what open says.
 * CSFLE_E_POLICY: the key id is not among csfle.allow.kms.keys.
 */
csfle_status csfle__kms_take(csfle__kms_pool *p, csfle__kms **out, csfle__bytes type, csfle__bytes key_id, const csfle__kms_props *props, csfle_error *err);
/** Gives it back; @p st is how the call on it ended. NULL is allowed. */
void csfle__kms_give(csfle__kms_pool *p, csfle__kms *k, csfle_status st);

#endif
