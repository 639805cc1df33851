/**
 * The program that brings Avro data from one layout into another, private to this folder.
 *
 * Every pair of types that is no scalar is a block of instructions, compiled once whatever refers to it; recursive
 * schemas are blocks that call themselves. A block reads the writer's fields in the writer's order. Where the reader's
 * order is another, RES_MARK notes where the output of each field begins, and RES_ORDER puts the pieces in order.
 */
#ifndef CSFLE_SCHEMA_AVRO_RESOLVE_H
#define CSFLE_SCHEMA_AVRO_RESOLVE_H

#include "core/schema/avro/plan.h"
#include "core/schema/resolve.h"

typedef enum res_code {
  RES_END,   /* of a block */
  RES_CALL,  /* a: block */
  RES_JUMP,  /* a: target */
  RES_UNION, /* of the writer. a: first entry in numbers, b: branches */
  RES_FAIL,  /* the value has what the reader has no place for */
  RES_PUT,   /* a: offset in bytes, b: length: a reader's default or the index of its branch */
  RES_MARK,  /* the output of a field begins */
  RES_ORDER, /* a: first entry in numbers, b: pieces since their marks, put in that order */
  RES_ARRAY, RES_MAP, /* a: block of the items, b: 1 when the writer's items take no bytes */
  RES_ENUM,  /* a: first entry in numbers, b: symbols; the entry is the reader's index or UINT32_MAX */
  RES_BOOLEAN, RES_INT, RES_LONG, RES_BYTES,
  RES_FIXED, /* a: bytes, also float and double */
  RES_INT_FLOAT, RES_INT_DOUBLE, RES_LONG_FLOAT, RES_LONG_DOUBLE, RES_FLOAT_DOUBLE,
  /* what the reader has no field for: checked, not written */
  RES_SKIP_ARRAY, RES_SKIP_MAP, RES_SKIP_ENUM, RES_SKIP_BOOLEAN, RES_SKIP_INT, RES_SKIP_LONG, RES_SKIP_BYTES, RES_SKIP_FIXED
} res_code;

typedef struct res_op {
  uint32_t code, a, b;
  uint32_t field; /* index into names, for errors */
} res_op;

typedef struct avro_resolution {
  csfle__resolution base;
  csfle__arena      arena;
  res_op           *ops;
  uint32_t         *numbers;
  uint8_t          *bytes;
  csfle__bytes     *names; /* full names of the writer's fields; 0 is "" */
} avro_resolution;

/* what csfle__format_avro does for core/schema/resolve.h: see there */
csfle_status csfle__avro_resolution_compile(csfle__resolution **out, const csfle__schema *writer, const csfle__schema *reader,
                                            csfle_error *err);
void         csfle__avro_resolution_free(csfle__resolution *r);
csfle_status csfle__avro_resolve(const csfle__resolution *r, csfle__bytes in, csfle__walk *w, csfle_buf *out, csfle_error *err);

#endif
