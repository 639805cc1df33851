/** Reading members of JSON objects as Jackson does, for the parsers of this folder. Absent and null are the same. */
#ifndef CSFLE_MODEL_READ_H
#define CSFLE_MODEL_READ_H

#include "core/model/model.h"

/** One object being read: the first failure sticks, later calls do nothing. */
typedef struct reader {
  csfle__arena *arena;
  yyjson_val   *obj;
  csfle_error  *err;
  csfle_status  rc;
} reader;

/** Starts on @p obj, which must be an object; @p what names it in errors. */
reader csfle__read_object(csfle__arena *a, yyjson_val *obj, const char *what, csfle_error *err);
/** A text, number or boolean as text, copied into the arena; absent: {NULL,0}. */
csfle__bytes csfle__read_text(reader *r, const char *name);
/** An integer between @p low and @p high, a fraction cut off, a text of digits taken; absent: @p otherwise. */
int64_t csfle__read_int(reader *r, const char *name, int64_t low, int64_t high, int64_t otherwise);
/** A boolean, also as text or number; absent: false. */
bool csfle__read_bool(reader *r, const char *name);
/** An array of texts as a sorted set. */
csfle__names csfle__read_names(reader *r, const char *name);
/** The same of the array @p v; @p name is for errors. */
csfle__names csfle__read_names_of(reader *r, yyjson_val *v, const char *name);
/** An object of texts, sorted by name, the last of two of a name; members that are null are left out. */
csfle__pairs csfle__read_pairs(reader *r, const char *name);
/** A member of the object kind given, or NULL when absent; another kind is an error. */
yyjson_val *csfle__read_object_member(reader *r, const char *name);
yyjson_val *csfle__read_array(reader *r, const char *name);
/** Zeroed memory of the arena; NULL with r->rc set when there is none. */
void *csfle__read_alloc(reader *r, size_t count, size_t item);
void csfle__read_fail(reader *r, csfle_status code, const char *fmt, ...) CSFLE__PRINTF(3, 4);
/** Sorts @p n names and drops doubles. */
void csfle__names_sort(csfle__names *n);
/** Text of any scalar into the arena; false: not a scalar. */
bool csfle__read_scalar(reader *r, yyjson_val *v, csfle__bytes *out);

#endif
