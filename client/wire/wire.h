/**
 * Framing: how a message says which schema it was written with.
 *
 *     V0   00 | schema id, 4 bytes big-endian | payload          written and read
 *     V1   01 | schema GUID, 16 bytes         | payload          read; also as value of a header
 *
 * Header names: __value_schema_id, __key_schema_id. The header wins over the prefix; the message is all payload then.
 * [SERDE-1] .. [SERDE-17]
 */
#ifndef CSFLE_WIRE_WIRE_H
#define CSFLE_WIRE_WIRE_H

#include "core/base/bytes.h"
#include "core/base/error.h"

#define CSFLE__WIRE_V0_BYTES 5
#define CSFLE__WIRE_V1_BYTES 17

typedef struct csfle__frame {
  bool         by_guid;
  int32_t      id;       /**< when not by_guid */
  uint8_t      guid[16]; /**< when by_guid: RFC 4122 order */
  bool         in_header;
  csfle__bytes payload;  /**< view into the message */
} csfle__frame;

/** Writes 00 and @p id to @p out. */
void csfle__wire_prefix(int32_t id, uint8_t out[CSFLE__WIRE_V0_BYTES]);
/** Splits a message that is not empty. @p h may be NULL. CSFLE_E_WIRE: unknown magic byte, too short, malformed header. */
csfle_status csfle__wire_split(csfle__bytes msg, bool key, const csfle_headers *h, csfle__frame *out, csfle_error *err);

#endif
