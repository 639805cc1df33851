/* Parameters of an ENCRYPT rule. See params.h. */
#include "client/encrypt/params.h"

#define DAY_MS INT64_C(86400000)

static csfle__bytes param(const csfle__rule *r, const csfle__metadata *m, const char *name)
{
  csfle__bytes v = csfle__pairs_get(&r->params, name);
  return v.ptr || !m ? v : csfle__pairs_get(&m->properties, name);
}

bool csfle__dek_expired(int64_t ts_ms, int64_t now_ms, int64_t days)
{
  return days > 0 && (now_ms - ts_ms) / DAY_MS >= days;
}

csfle_status csfle__encrypt_params_read(const csfle__rule *r, const csfle__metadata *m, csfle__encrypt_params *out, csfle_error *err)
{
  csfle__bytes algorithm = param(r, m, "encrypt.dek.algorithm"), days = param(r, m, "encrypt.dek.expiry.days");
  *out = (csfle__encrypt_params){ .kek_name = param(r, m, "encrypt.kek.name"), .kms_type = param(r, m, "encrypt.kms.type"),
                                  .kms_key_id = param(r, m, "encrypt.kms.key.id"), .algorithm = CSFLE__AES256_GCM };
  if (!out->kek_name.ptr) return csfle__fail(err, CSFLE_E_RULE, "No kek name found");
  if (!out->kek_name.len) return csfle__fail(err, CSFLE_E_RULE, "Empty kek name");
  if (!csfle__kek_name_valid(out->kek_name)) return csfle__fail(err, CSFLE_E_RULE, "Illegal character in kek name: %.*s", CSFLE__FMT(out->kek_name));
  if (algorithm.len && !csfle__algorithm_parse(algorithm, &out->algorithm))
    return csfle__fail(err, CSFLE_E_RULE, "unknown encrypt.dek.algorithm '%.*s'", CSFLE__FMT(algorithm));
  if (days.len && (!csfle__parse_i64(days, &out->expiry_days) || out->expiry_days < 0 || out->expiry_days > INT64_MAX / DAY_MS / 4))
    return csfle__fail(err, CSFLE_E_RULE, "Invalid value for encrypt.dek.expiry.days: %.*s", CSFLE__FMT(days));
  return CSFLE_OK;
}
