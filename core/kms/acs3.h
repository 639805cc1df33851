/** Alibaba Cloud's two request signatures: ACS3-HMAC-SHA256, and the older RPC one with HMAC-SHA1. [ENC-98] */
#ifndef CSFLE_KMS_ACS3_H
#define CSFLE_KMS_ACS3_H

#include "core/kms/http.h"

/**
 * Adds Authorization. Signs host, content-type and every x-acs-* header of the request, whose query is sorted already.
 * @p canonical and @p to_sign (may be NULL) get the texts that were hashed, for tests.
 */
csfle_status csfle__acs3_sign(csfle__bytes id, csfle__bytes secret, csfle__request *r, csfle_buf *canonical, csfle_buf *to_sign, csfle_error *err);
/**
 * Appends &Signature=... to the URL of a POST whose query and form body are encoded already. @p to_sign may be NULL.
 */
csfle_status csfle__rpc1_sign(csfle__bytes secret, csfle__request *r, csfle_buf *to_sign, csfle_error *err);

#endif
