/**
 * A Vault transit engine in memory, in front of another transport: what goes to http://vault.test:8200 is answered here, all else
 * is passed on. Counts wraps and unwraps, can refuse, fail, or take its time. Keys are http://vault.test:8200/transit/keys/NAME.
 */
#ifndef CSFLE_TESTS_SUPPORT_FAKE_VAULT_H
#define CSFLE_TESTS_SUPPORT_FAKE_VAULT_H

#include "core/base/bytes.h"
#include "include/csfle/csfle.h"

#define CSFLE_FAKE_VAULT      "http://vault.test:8200"
#define CSFLE_FAKE_VAULT_KEY  CSFLE_FAKE_VAULT "/transit/keys/k"
/** Properties of a client that uses it. */
#define CSFLE_FAKE_VAULT_PROPS "csfle.allow.kms.hosts=" CSFLE_FAKE_VAULT "\nrule.executors._default_.param.token.id=t0ken"

typedef struct csfle_fake_vault {
  csfle_transport        transport;
  const csfle_transport *next;
  _Atomic(size_t)        wraps, unwraps;
  _Atomic(int)           status;   /**< 0: it works; 400 key disabled, 403 grant removed; -1: no reply */
  _Atomic(int)           wrap_status; /**< the same for wraps alone */
  _Atomic(unsigned)      delay_us; /**< before an answer */
} csfle_fake_vault;
void csfle_fake_vault_init(csfle_fake_vault *v, const csfle_transport *next);

#endif
