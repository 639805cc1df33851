/**
 * A KMS that the application brought, as one more driver: csfle_kms of the public interface, called from a machine that waits
 * for csfle_kms_done without knowing whether it comes at once, later, from another thread, or never.
 */
#ifndef CSFLE_KMS_PLUGIN_H
#define CSFLE_KMS_PLUGIN_H

#include "core/kms/driver.h"

#define CSFLE__MAX_PLUGINS 16

typedef struct csfle__plugin {
  char      type[64];
  csfle_kms kms; /**< its own `type` is not looked at */
} csfle__plugin;

/** Those of one configuration; zero state: none. Copied by value. */
typedef struct csfle__plugins {
  csfle__plugin at[CSFLE__MAX_PLUGINS];
  size_t        count;
} csfle__plugins;

/** CSFLE_E_MISUSE: a part is missing, the type has a driver already (of the library's own or another plug-in), or too many. */
csfle_status csfle__plugins_add(csfle__plugins *p, const csfle_kms *k, csfle_error *err);
/** By type, compared without case; NULL when there is none. @p p may be NULL. */
const csfle__plugin *csfle__plugins_find(const csfle__plugins *p, csfle__bytes type);
/** As csfle__kms_driver.open. The plug-in is told its properties through @p props, for the call only. */
csfle_status csfle__plugin_open(csfle__kms **out, const csfle__plugin *p, const csfle__kms_props *props, csfle__bytes key_id, csfle_error *err);

#endif
