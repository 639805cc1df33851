/**
 * A KMS of the shape of Vault's transit engine on a port of 127.0.0.1, for tests that count its calls, hold them back
 * or let them fail. Its wrapping hides nothing: "vault:v1:" before the Base64 it was given.
 */
#ifndef CSFLE_TESTS_SUPPORT_FAKE_KMS_H
#define CSFLE_TESTS_SUPPORT_FAKE_KMS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

typedef struct csfle_fake_kms {
  int             port, listener;
  char            host[40];  /**< "http://127.0.0.1:40001", for csfle.allow.kms.hosts */
  atomic_int      encrypts, decrypts, under_way, most;
  atomic_int      calls_of_key[4]; /**< of the keys k0, k1, k2, k3 */
  atomic_int      fail_key[4];     /**< HTTP status for calls of that key, 0: none */
  atomic_int      fail;            /**< for all */
  atomic_bool     other_key;       /**< decrypts give another key than was wrapped */
  pthread_mutex_t lock;
  pthread_cond_t  open;
  bool            held;      /**< calls wait until it is released */
  bool            ending;
  pthread_t       thread;
} csfle_fake_kms;

void csfle_fake_kms_start(csfle_fake_kms *k);
void csfle_fake_kms_stop(csfle_fake_kms *k);
/** Calls from now on are not answered until they are released. */
void csfle_fake_kms_hold(csfle_fake_kms *k);
void csfle_fake_kms_release(csfle_fake_kms *k);
/** Waits up to 20 s until @p n calls are under way; fails the test otherwise. */
void csfle_fake_kms_await(csfle_fake_kms *k, int n);
static inline int csfle_fake_kms_calls(csfle_fake_kms *k) { return atomic_load(&k->encrypts) + atomic_load(&k->decrypts); }

#endif
