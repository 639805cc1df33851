/** CRC-32C (Castagnoli, reflected): what Google Cloud KMS checks transport with. [ENC-93] */
#ifndef CSFLE_KMS_CRC32C_H
#define CSFLE_KMS_CRC32C_H

#include "core/base/bytes.h"

/** Of the whole of @p in. No table is indexed by the data. */
uint32_t csfle__crc32c(csfle__bytes in);

#endif
