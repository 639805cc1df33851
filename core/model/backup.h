/**
 * Keys and schemas of a registry as text: JSON, a line each. Key material is in it as the KMS wrapped it, never in clear.
 *
 *     {"csfle":"keys backup","format":1,"created":1790000000000,"registry":"https://registry:8081"}
 *     {"kek":{"name":"orders-pii","kmsType":"aws-kms",...}}           as GET /dek-registry/v1/keks/{name} answers
 *     {"dek":{"kekName":"orders-pii","subject":"orders-value",...}}   as GET .../deks/{subject}/versions/{version}
 *     {"schema":{"subject":"orders-value","version":1,"id":7,...}}    as GET /schemas
 *     {"end":{"keks":1,"deks":1,"schemas":1,"sha256":"<hex of all bytes before this line>"}}
 */
#ifndef CSFLE_MODEL_BACKUP_H
#define CSFLE_MODEL_BACKUP_H

#include "core/model/model.h"

typedef enum csfle__backup_kind { CSFLE__BACKUP_KEK, CSFLE__BACKUP_DEK, CSFLE__BACKUP_SCHEMA, CSFLE__BACKUP_KINDS } csfle__backup_kind;

/** Hears of every line between the first and the last; @p text is the object, @p obj the same parsed. Both borrowed. */
typedef csfle_status (*csfle__backup_fn)(void *opaque, csfle__backup_kind kind, csfle__bytes text, yyjson_val *obj, csfle_error *err);
/**
 * Reads @p text. That it is whole and unchanged is looked at before @p fn hears of anything: CSFLE_E_CONFIG with the line. Objects are
 * not looked into, but that a DEK holds no key in clear.
 */
csfle_status csfle__backup_read(csfle__bytes text, csfle__backup_fn fn, void *opaque, csfle_error *err);

/** Writing: begin, a line an object (@p json is without line ends), end. What is appended to @p b from its start on is the backup. */
csfle_status csfle__backup_begin(csfle_buf *b, int64_t created_ms, csfle__bytes registry, csfle_error *err);
csfle_status csfle__backup_add(csfle_buf *b, csfle__backup_kind kind, csfle__bytes json, csfle_error *err);
csfle_status csfle__backup_end(csfle_buf *b, const size_t counts[CSFLE__BACKUP_KINDS], csfle_error *err);

#endif
