/**
 * The KMS of one KEK, for many data keys one after another. Blocks; one thread at a time. Key ids and their alternates are
 * tried as producers and consumers do. [ENC-79] [ENC-80]
 */
#ifndef CSFLE_DEKS_WRAPPER_H
#define CSFLE_DEKS_WRAPPER_H

#include "core/model/model.h"

typedef struct csfle__wrapper csfle__wrapper;
/**
 * @p kek is borrowed until csfle__wrapper_close. @p alternates false: its own key id alone, never one of encrypt.alternate.kms.key.ids, for
 * whoever has to know which key it was. Parameters are rule.executors.<executor>.param.NAME (@p executor NULL: none),
 * then rule.executors._default_.param.NAME, then the plain property: there is no rule here. CSFLE_E_NOMEM.
 */
csfle_status csfle__wrapper_open(csfle__wrapper **out, csfle_client *cl, const csfle__kek *kek, bool alternates, const char *executor,
                                csfle_error *err);
void csfle__wrapper_close(csfle__wrapper *w);
/** The key material (as csfle__dek_decode reads it) in @p base64, or in what @p base64 lacks: CSFLE_E_DECRYPT. */
csfle_status csfle__wrapper_unwrap(csfle__wrapper *w, csfle__bytes base64, csfle__secret *material, csfle_error *err);
/** Wraps @p material into @p base64 (replaced), and unwraps it once: what does not give the same key is CSFLE_E_DECRYPT. */
csfle_status csfle__wrapper_wrap(csfle__wrapper *w, csfle__bytes material, csfle_buf *base64, csfle_error *err);

#endif
