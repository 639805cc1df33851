/**
 * Which keys: csfle.allow.kms.keys, for key ids come from the registry and from rules, and what is done with them is done
 * with the operator's credentials. [AB-8]
 *
 *     csfle.allow.kms.keys=arn:aws:kms:eu-central-1:111122223333:*,azure-kms://https://kv.vault.azure.net/keys/crm
 *
 * An entry is a key id as it stands in a rule or KEK, or "<kms type>://" and one; '*' at its end stands for anything.
 * Without a list every key is allowed. Alternate key ids count like the first.
 */
#ifndef CSFLE_KMS_KEYS_H
#define CSFLE_KMS_KEYS_H

#include "core/kms/driver.h"

#define CSFLE__KEYS_PROPERTY "csfle.allow.kms.keys"

/** CSFLE_E_POLICY names the key and the property; CSFLE_E_CONFIG an entry with '*' before its end. */
csfle_status csfle__keys_check(const csfle__kms_props *props, csfle__bytes type, csfle__bytes key_id, csfle_error *err);

#endif
