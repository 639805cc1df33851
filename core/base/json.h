/**
 * JSON control documents (schemas, rules, registry bodies) through yyjson: numbers kept as written, own depth limit.
 * Message bytes of JSON schemas are not for this: they must keep every byte.
 */
#ifndef CSFLE_BASE_JSON_H
#define CSFLE_BASE_JSON_H

#include "core/base/buf.h"

#include <yyjson.h>

#define CSFLE__JSON_MAX_DEPTH 500

/**
 * Parses @p text; numbers are raw (yyjson_get_raw). Deeper than CSFLE__JSON_MAX_DEPTH is refused. Failure is
 * CSFLE_E_SCHEMA with the byte offset; the caller changes the code when it means something else.
 * Owner frees with yyjson_doc_free. Memory comes from core/base/alloc.h.
 */
csfle_status csfle__json_parse(yyjson_doc **out, csfle__bytes text, csfle_error *err);
/** As csfle__json_parse, with memory from @p alc. */
csfle_status csfle__json_parse_into(yyjson_doc **out, csfle__bytes text, const yyjson_alc *alc, csfle_error *err);
/** As csfle__json_parse, with comments and trailing content rules of Avro texts: comments allowed [schemas 3.1]. */
csfle_status csfle__json_parse_comments(yyjson_doc **out, csfle__bytes text, csfle_error *err);
/** As csfle__json_parse for a text that holds plaintext: the document's memory is wiped before it is released. */
csfle_status csfle__json_parse_secret(yyjson_doc **out, csfle__bytes text, csfle_error *err);
/** yyjson's allocator over core/base/alloc.h. */
const yyjson_alc *csfle__json_alc(void);

/** Member of an object, the last one when given twice (Jackson, Java); NULL when absent or @p obj is no object. */
yyjson_val *csfle__json_member(yyjson_val *obj, const char *name);
yyjson_val *csfle__json_member_n(yyjson_val *obj, csfle__bytes name);
/** Text of a string; a view into the document. {NULL,0} when @p v is absent or no string. */
csfle__bytes csfle__json_text(yyjson_val *v);
/** Text of a member that is a string. */
csfle__bytes csfle__json_member_text(yyjson_val *obj, const char *name);
/** Integer of a raw or parsed number without fraction; false when it is none or does not fit. */
bool csfle__json_i64(yyjson_val *v, int64_t *out);

/**
 * Appends a quoted string as Jackson writes it: \" \\ \b \f \n \r \t, other controls \u00XX in upper case, the rest
 * raw UTF-8. With @p surrogates characters beyond the BMP become two \uXXXX escapes (record keys, DEK-165).
 */
csfle_status csfle__json_put_string(csfle_buf *b, csfle__bytes text, bool surrogates, csfle_error *err);
/** Appends a value compactly, member order and number spelling kept. */
csfle_status csfle__json_put_value(csfle_buf *b, yyjson_val *v, csfle_error *err);
/** Equal as JSON values: member order does not matter, numbers by their text or value. */
bool csfle__json_equal(yyjson_val *a, yyjson_val *b);

#endif
