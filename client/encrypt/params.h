/** The parameters of an ENCRYPT rule: from rule.params, else from the schema's metadata properties. [ENC 3.1] [ENC-45] */
#ifndef CSFLE_ENCRYPT_PARAMS_H
#define CSFLE_ENCRYPT_PARAMS_H

#include "core/model/model.h"

typedef struct csfle__encrypt_params {
  csfle__bytes     kek_name, kms_type, kms_key_id; /**< the latter two may be empty */
  csfle__algorithm algorithm;
  int64_t          expiry_days; /**< 0: no rotation, no version prefix [ENC-47] */
} csfle__encrypt_params;

/** Views into @p r and @p m. CSFLE_E_RULE with the texts of the error catalogue. [ENC-8] [ENC-9] [ENC-58] [ENC-78] */
csfle_status csfle__encrypt_params_read(const csfle__rule *r, const csfle__metadata *m, csfle__encrypt_params *out, csfle_error *err);
/** floor((now - ts) / 1 day) >= days; never when days is 0. [ENC-53] */
bool csfle__dek_expired(int64_t ts_ms, int64_t now_ms, int64_t days);

#endif
