/**
 * csfle_config: properties and hooks, before a client is opened. The table of properties is properties.def; a name that
 * is not in it is an error, never ignored. Copied into clients and serdes; a copy is read by any thread.
 */
#ifndef CSFLE_CONFIG_CONFIG_H
#define CSFLE_CONFIG_CONFIG_H

#include "core/base/bytes.h"
#include "core/base/world.h"
#include "core/kms/plugin.h"

typedef enum csfle__property_kind {
  CSFLE__PROPERTY_TEXT, CSFLE__PROPERTY_LIST, CSFLE__PROPERTY_BOOL, CSFLE__PROPERTY_INT, CSFLE__PROPERTY_SIGNED,
  CSFLE__PROPERTY_SECRET, CSFLE__PROPERTY_CHOICE
} csfle__property_kind;
enum { CSFLE__PROPERTY_CLIENT, CSFLE__PROPERTY_SERDE };

/** One line of properties.def. */
typedef struct csfle__property {
  const char          *name;
  csfle__property_kind kind;
  int                  scope;
  const char          *def, *help;
  bool                 secret; /**< its value is never shown */
} csfle__property;
/** The supported properties, in the order of the table: for help and documentation. */
extern const csfle__property csfle__properties[];
extern const size_t          csfle__property_count;

/** Whether @p name is a csfle property (one that is refused counts): the command line sends all others to librdkafka. */
bool csfle__config_knows(const char *name);
/** Whether the value of @p name must not be shown. */
bool csfle__config_secret(const char *name);

typedef struct csfle__config_entry {
  char *name, *value; /**< owned; value wiped when freed */
} csfle__config_entry;

/** A rule executor that the application brought. */
typedef struct csfle__config_executor {
  char                             type[64];
  const struct csfle__executor_ops *ops;
  void                             *opaque;
} csfle__config_executor;
#define CSFLE__MAX_EXECUTORS 16

struct csfle_config {
  csfle__config_entry *at;
  size_t               count, cap;
  csfle_error          bad;  /**< first bad line of the text given to csfle_config_new */
  csfle__log           log;
  csfle_event_fn       event; /**< NULL: nobody listens */
  void                *event_opaque;
  csfle_transport      transport; /**< start NULL: libcurl */
  csfle__clock         clock;     /**< tests replace it */
  csfle__config_executor executors[CSFLE__MAX_EXECUTORS];
  size_t                 executor_count;
  csfle__plugins         plugins; /**< KMS */
};

/** Deep copy; NULL: no memory. */
csfle_config *csfle__config_copy(const csfle_config *c);
/** As csfle_config_set; @p serde: only properties of scope SERDE. */
csfle_status csfle__config_put(csfle_config *c, const char *name, const char *value, bool serde, csfle_error *err);
/** Replaces the clock of clients opened with @p c: for tests. */
void csfle__config_set_clock(csfle_config *c, const csfle__clock *clock);

/**
 * Rules of @p type (compared without case) are run by @p ops (client/rule/executor.h; it and @p opaque must outlive every
 * client of the config). CSFLE_E_MISUSE: no type, one given twice, one of the library's own, or too many.
 */
csfle_status csfle__config_add_executor(csfle_config *c, const char *type, const struct csfle__executor_ops *ops, void *opaque, csfle_error *err);
/** NULL when there is none. */
const csfle__config_executor *csfle__config_executor_find(const csfle_config *c, csfle__bytes type);

/** Value set, or the default of the table; NULL for a name that matches a ".*" line and is not set. */
const char *csfle__config_text(const csfle_config *c, const char *name);
/** Value set, or NULL. */
const char *csfle__config_given(const csfle_config *c, const char *name);
bool        csfle__config_bool(const csfle_config *c, const char *name);
int64_t     csfle__config_int(const csfle_config *c, const char *name);
/** Next item of a comma separated list, trimmed, empty ones skipped; false at the end. @p *rest moves on. */
bool csfle__list_next(csfle__bytes *rest, csfle__bytes *item);
/** Whether @p item is in the list @p list. */
bool csfle__list_has(csfle__bytes list, csfle__bytes item);
/** Checks what concerns several properties at once: credentials, selectors, URLs. CSFLE_E_CONFIG. [SERDE-49] [SERDE-165] */
csfle_status csfle__config_check(const csfle_config *c, csfle_error *err);

#endif
