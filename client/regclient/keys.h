/**
 * The DEK Registry's requests: each function makes @p c into one, csfle__rc_step does it, the answer is parsed with
 * csfle__kek_parse or csfle__dek_parse. Names are percent-encoded; `context` belongs to KEK calls only. [ENC-63] .. [ENC-73]
 */
#ifndef CSFLE_REGCLIENT_KEYS_H
#define CSFLE_REGCLIENT_KEYS_H

#include "client/regclient/call.h"
#include "core/model/model.h"

/** @p context "." or empty: not sent. */
csfle_status csfle__kek_get_request(csfle__rc_call *c, csfle__bytes name, bool deleted, csfle__bytes context, csfle_error *err);
csfle_status csfle__kek_create_request(csfle__rc_call *c, csfle__bytes name, csfle__bytes kms_type, csfle__bytes key_id,
                                       csfle__bytes context, csfle_error *err);
/** @p version -1: the latest. */
csfle_status csfle__dek_get_request(csfle__rc_call *c, csfle__bytes kek, csfle__bytes subject, int32_t version,
                                    csfle__algorithm a, bool deleted, csfle_error *err);
/** @p wrapped_base64 empty: the registry generates the key. @p old_path: without the subject, for servers that answer 405. */
csfle_status csfle__dek_create_request(csfle__rc_call *c, csfle__bytes kek, csfle__bytes subject, int32_t version,
                                       csfle__algorithm a, csfle__bytes wrapped_base64, bool old_path, csfle_error *err);

#endif
