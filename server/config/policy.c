/* What an operator must apply at the cloud provider so that this server may use a key. [DEK 3.18] */
#include "server/config/config.h"

#include "core/base/json.h"

csfle_status registry_policy_text(const registry_properties *p, csfle_buf *out, csfle_error *err)
{
  const char *text = registry_property(p, "csfle.policy.text"), *principal = registry_property(p, "csfle.policy.aws.principal");
  const char *tenant = registry_property(p, "csfle.policy.aws.tenant.id");
  csfle_status rc;

  if (*text && *principal) return csfle__fail(err, CSFLE_E_CONFIG, "csfle.policy.text and csfle.policy.aws.principal are both set: which of them counts?");
  if (*text) return csfle__buf_puts(out, text, err);
  if (!*principal) return CSFLE_OK;
  if (!csfle__starts(csfle__str(principal), CSFLE__LIT("arn:aws"))) return csfle__fail(err, CSFLE_E_CONFIG, "csfle.policy.aws.principal is \"%s\", which is no ARN", principal);
  if (!*tenant) tenant = registry_property(p, "schema.registry.group.id");
  if ((rc = csfle__buf_puts(out, "{\"Sid\":\"Allow the schema registry to use the key\",\"Effect\":\"Allow\",\"Principal\":{\"AWS\":", err)) != CSFLE_OK ||
      (rc = csfle__json_put_string(out, csfle__str(principal), false, err)) != CSFLE_OK ||
      (rc = csfle__buf_puts(out, "},\"Action\":[\"kms:Encrypt\",\"kms:Decrypt\"],\"Resource\":\"*\"", err)) != CSFLE_OK)
    return rc;
  if (strcmp(tenant, "none") != 0 &&
      ((rc = csfle__buf_puts(out, ",\"Condition\":{\"StringEquals\":{\"aws:PrincipalTag/TenantID\":", err)) != CSFLE_OK ||
       (rc = csfle__json_put_string(out, csfle__str(tenant), false, err)) != CSFLE_OK || (rc = csfle__buf_puts(out, "}}", err)) != CSFLE_OK))
    return rc;
  return csfle__buf_putc(out, '}', err);
}
