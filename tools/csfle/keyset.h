/** KEKs with all their data keys, as the registry has them, wrapped; and which rules of registered schemas use them. */
#ifndef CSFLE_TOOLS_KEYSET_H
#define CSFLE_TOOLS_KEYSET_H

#include "core/base/map.h"
#include "core/model/model.h"
#include "tools/csfle/http.h"

#define KEKS_PATH "/dek-registry/v1/keks"

typedef struct keyset_kek {
  csfle__kek  *kek;
  csfle__dek **deks; /**< by subject, algorithm, version */
  size_t       count, cap;
} keyset_kek;

typedef struct keyset {
  keyset_kek *at;
  size_t      count, cap;
} keyset;

/**
 * Soft-deleted ones too. @p only: that KEK alone (a missing one is EXIT_MISSING after the complaint), NULL: all. Of a
 * csfle-registry a KEK's data keys are read by the thousand and no KMS is called; another registry is asked for each.
 */
int  keyset_fetch(keyset *s, registry *r, const char *only);
void keyset_free(keyset *s);

/** An ENCRYPT or ENCRYPT_PAYLOAD rule of a registered schema. */
typedef struct keyset_rule {
  char            *subject, *kek, *kms_type, *kms_key_id; /**< the latter two "" when the rule does not say */
  int32_t          version;
  csfle__algorithm algorithm;
  int64_t          days;    /**< encrypt.dek.expiry.days, 0: no rotation */
  bool             latest;  /**< of the newest live version of its subject: producers write by it */
  bool             deleted, disabled;
} keyset_rule;

typedef struct keyset_rules {
  keyset_rule *at;
  size_t       count, cap;
  csfle__map   days; /**< KEK, subject and algorithm of rules that producers write by -> keyset_rule * with the shortest period */
} keyset_rules;

/** The rules of all registered schemas of all contexts, soft-deleted versions too. */
int  keyset_rules_fetch(keyset_rules *s, registry *r);
void keyset_rules_free(keyset_rules *s);
/** The expiry in days of a data key by the rules that producers write by now; 0: it does not expire, -1: no rule uses it. */
int64_t keyset_days(const keyset_rules *s, const csfle__dek *d);

/** Calls @p one for every registered schema version, soft-deleted ones too, as the registry tells it, until it answers not 0. */
int schemas_each(registry *r, int (*one)(void *opaque, yyjson_val *schema), void *opaque);
/** Calls @p one for every item of the list at @p path, however few the registry hands out at once. */
int list_each(registry *r, const char *path, int (*one)(void *opaque, yyjson_val *item), void *opaque);

/** Index after the last of the versions of the subject and algorithm of k->deks[i]. */
size_t keyset_range(const keyset_kek *k, size_t i);
/** Whether k->deks[i] is the newest live version of its subject and algorithm (of a deleted KEK: the newest): producers use it. */
bool keyset_in_use(const keyset_kek *k, size_t i);

/** Whole days from @p ts_ms to now, not below 0. */
int64_t days_since(int64_t ts_ms);
/** "2025-01-31T12:00:00Z", or "-" for 0. */
const char *time_text(int64_t ts_ms, char out[32]);
/** Whether a property of this name may hold a secret: such a value is never printed. */
bool kms_prop_secret(csfle__bytes name);

#endif
