/**
 * May a schema follow the ones before it? Levels, the order of checks and the lines of text are those of
 * spec/schemas-and-compatibility.md section 2; what one schema can read of another is the format's (csfle__format:
 * compare, difference_line, top_field). Everything here may be called from any thread, on schemas others read too.
 */
#ifndef CSFLE_SCHEMA_COMPAT_H
#define CSFLE_SCHEMA_COMPAT_H

#include "core/schema/schema.h"

/** One way in which a reader schema and a writer schema differ. Views live for the length of the call that shows it. */
typedef struct csfle__difference {
  const char  *type;         /**< "TYPE_MISMATCH": the format's word */
  csfle__bytes path;         /**< "/fields/0/type" */
  csfle__bytes info;         /**< what the type needs told: "reader type: INT not compatible with writer type: LONG" */
  bool         incompatible; /**< else told for completeness only */
} csfle__difference;
/** Takes one difference; anything but CSFLE_OK ends the comparison and is what it returns: stop a list that gets too long. */
typedef csfle_status (*csfle__difference_fn)(void *opaque, const csfle__difference *d, csfle_error *err);

#define CSFLE__COMPAT_MAX_LINES 10000   /**< messages of one verdict */
#define CSFLE__COMPAT_MAX_TEXT  4194304 /**< bytes of them */

/**
 * Differences between what @p writer wrote and what @p reader expects, in the format's order; *compatible is the
 * verdict, set before the first is shown. @p each may be NULL. Both of one format, else CSFLE_E_SCHEMA.
 */
csfle_status csfle__schema_compare(const csfle__schema *reader, const csfle__schema *writer, bool *compatible,
                                   csfle__difference_fn each, void *opaque, csfle_error *err);

typedef enum csfle__compat_level {
  CSFLE__COMPAT_NONE,
  CSFLE__COMPAT_BACKWARD,
  CSFLE__COMPAT_BACKWARD_TRANSITIVE,
  CSFLE__COMPAT_FORWARD,
  CSFLE__COMPAT_FORWARD_TRANSITIVE,
  CSFLE__COMPAT_FULL,
  CSFLE__COMPAT_FULL_TRANSITIVE
} csfle__compat_level;
/** In any case of letters; false for other words. */
bool        csfle__compat_level_find(csfle__bytes name, csfle__compat_level *out);
const char *csfle__compat_level_name(csfle__compat_level level);

/** Lines of text; zero state is empty. */
typedef struct csfle__messages {
  csfle_buf text; /**< the lines one after another */
  size_t   *ends; /**< where each ends */
  size_t    count, cap;
} csfle__messages;
#define CSFLE__MESSAGES_INIT { CSFLE__BUF_INIT, NULL, 0, 0 }
/** Line @p i, borrowed until the next change. */
csfle__bytes csfle__messages_at(const csfle__messages *m, size_t i);
/** Adds one line (copied). On failure nothing is added. */
csfle_status csfle__messages_add(csfle__messages *m, csfle__bytes line, csfle_error *err);
void         csfle__messages_free(csfle__messages *m);

/** A version that is already there. */
typedef struct csfle__compat_version {
  int32_t      version;  /**< 0: not known */
  csfle__bytes type;     /**< schemaType; empty is AVRO */
  csfle__bytes text;     /**< canonical */
  csfle__bytes group;    /**< value of the metadata property that compatibilityGroup names; ptr NULL: none */
  csfle__bytes reserved; /**< value of confluent:reserved */
} csfle__compat_version;

typedef struct csfle__compat_input {
  csfle__compat_level  level;
  bool                 grouped;         /**< compatibilityGroup is set [2.2] */
  bool                 validate_fields; /**< [1.7] */
  const csfle__schema *next;            /**< the schema that would follow */
  csfle__bytes         next_group, next_reserved;
  const csfle__compat_version *previous; /**< live versions, oldest first */
  size_t                       count;
  /** Parses previous[i]; the caller of this function frees *out. Called for those the level looks at, newest first. */
  csfle_status (*parse)(void *opaque, size_t i, csfle__schema **out, csfle_error *err);
  void *opaque;
} csfle__compat_input;

/**
 * The verdict of section 2, with the verbose lines appended to @p out (may be NULL) but for the registry's last one.
 * What parse returns other than CSFLE_OK comes out as it is. A list past CSFLE__COMPAT_MAX_LINES or
 * CSFLE__COMPAT_MAX_TEXT ends with a line that says so; the verdict stands.
 */
csfle_status csfle__compatible(const csfle__compat_input *in, bool *ok, csfle__messages *out, csfle_error *err);
/** The registry's last line, when there is any other: {validateFields: 'false', compatibility: 'BACKWARD'}. */
csfle_status csfle__compat_last_line(const csfle__compat_input *in, csfle__messages *out, csfle_error *err);

/** One text against one other, without references: what `csfle schema check` asks. */
csfle_status csfle__compatible_texts(csfle__compat_level level, csfle__bytes type, csfle__bytes before, csfle__bytes next,
                                     bool *ok, csfle__messages *out, csfle_error *err);

#endif
