/* Proves csfle.allow.kms.keys: which key ids may be used at all, whoever named them. */
#include "tests/support/test.h"

#include "core/kms/keys.h"

static const char *own(void *opaque, const char *name) { return strcmp(name, CSFLE__KEYS_PROPERTY) == 0 ? opaque : NULL; }

#define ARN "arn:aws:kms:eu-central-1:111122223333:key/1234"

TEST(a_key_is_used_when_the_operator_lists_it_or_lists_nothing) /* AB-8 */
{
  static const struct { const char *list, *type, *key; csfle_status st; } cases[] = {
    { NULL, "aws-kms", ARN, CSFLE_OK },
    { " ", "aws-kms", ARN, CSFLE_OK },
    { ARN, "aws-kms", ARN, CSFLE_OK },
    { ARN, "aws-kms", ARN "5", CSFLE_E_POLICY },
    { ARN "5", "aws-kms", ARN, CSFLE_E_POLICY },
    { "arn:aws:kms:eu-central-1:111122223333:*", "aws-kms", ARN, CSFLE_OK },
    { "arn:aws:kms:eu-central-1:111122223333:*", "aws-kms", "arn:aws:kms:eu-central-1:999922223333:key/1234", CSFLE_E_POLICY },
    { "x, aws-kms://arn:aws:kms:eu-central-1:111122223333:* ,", "aws-kms", ARN, CSFLE_OK },
    { "AWS-KMS://arn:*", "aws-kms", ARN, CSFLE_OK },
    { "gcp-kms://arn:*", "aws-kms", ARN, CSFLE_E_POLICY },
    { "aws-kms://*", "aws-kms", ARN, CSFLE_OK },
    { "aws-kms://*", "local-kms", "x", CSFLE_E_POLICY },
    { "*", "local-kms", "x", CSFLE_OK },
    { "https://vault.bank:8200/transit/keys/*", "hcvault", "https://vault.bank:8200/transit/keys/cards", CSFLE_OK },
    { "https://vault.bank:8200/transit/keys/*", "hcvault", "https://vault.bank:8200/other/keys/cards", CSFLE_E_POLICY },
    { "https://vault.bank:8200/transit/keys/*", "hcvault", "https://vault.bank.evil/transit/keys/cards", CSFLE_E_POLICY },
    { "hcvault://https://vault.bank:8200/*", "hcvault", "https://vault.bank:8200/transit/keys/cards", CSFLE_OK },
    { "azure-kms://https://vault.bank:8200/*", "hcvault", "https://vault.bank:8200/transit/keys/cards", CSFLE_E_POLICY },
    { ARN, "aws-kms", "", CSFLE_E_POLICY },
    { "arn:aws:kms:*:111122223333:*", "aws-kms", ARN, CSFLE_E_CONFIG },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle__kms_props props = { NULL, (void *)cases[i].list, own };
    csfle_error      e = CSFLE_ERROR_INIT;
    csfle_status     rc = csfle__keys_check(&props, csfle__str(cases[i].type), csfle__str(cases[i].key), &e);
    if (rc != cases[i].st) fail_msg("%s with %s: %s", cases[i].key, cases[i].list, csfle_status_name(rc));
    if (rc != CSFLE_OK && !strstr(e.msg, CSFLE__KEYS_PROPERTY)) fail_msg("%s", e.msg);
  }
}

TEST(no_driver_is_opened_for_a_key_that_is_not_listed) /* AB-8 */
{
  csfle__kms_props props = { NULL, (void *)"local-kms://mine*", own };
  csfle_error      e = CSFLE_ERROR_INIT;
  csfle__kms      *k;
  assert_int_equal(csfle__kms_open(&k, BYTES("local-kms"), BYTES("theirs"), &props, &e), CSFLE_E_POLICY);
  assert_null(k);
  assert_int_equal(csfle__kms_open(&k, BYTES("local-kms"), BYTES("mine/1"), &props, &e), CSFLE_OK);
  csfle__kms_close(k);
}

static csfle_status checked(void)
{
  csfle__kms_props props = { NULL, (void *)"a,b*", own };
  return csfle__keys_check(&props, BYTES("t"), BYTES("bc"), NULL);
}
TEST(checking_a_key_needs_no_memory) { TORTURE(checked()); }
