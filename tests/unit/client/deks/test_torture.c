/* Every allocation of making a subject's keys beforehand and of wrapping all keys of a KEK again. */
#include "tests/unit/client/rig.h"

#include "client/deks/deks.h"

static csfle_fake fake;

static int lists(csfle_fake *f, const char *method, const char *path, const char **body)
{
  (void)f;
  if (strcmp(method, "POST") == 0) {
    *body = "{}";
    return strstr(path, "rewrap=true") ? 200 : 0;
  }
  *body = strstr(path, "offset=") || !(strstr(path, "/deks?") || strstr(path, "=AES256_GCM")) ? "[]" : strstr(path, "/deks?") ? "[\"orders-value\"]" : "[1]";
  return strstr(path, "/deks?") || strstr(path, "/versions?") ? 200 : 0;
}

static csfle_status both(void)
{
  csfle_error   e = CSFLE_ERROR_INIT;
  csfle_config *c = csfle_config_new(RIG_PROPS);
  csfle_client *cl = NULL;
  int32_t       made = 0;
  csfle_fake_drop_keys(&fake);
  e.code = CSFLE_E_NOMEM;
  if (c) {
    csfle__config_set_clock(c, &fake.clock);
    if (csfle_config_add_transport(c, &fake.transport, &e) == CSFLE_OK) cl = csfle_client_open(c, &e);
  }
  csfle_config_free(c);
  csfle_status rc = cl ? csfle__deks_register(cl, BYTES("orders-value"), -1, NULL, NULL, &e) : e.code;
  if (rc == CSFLE_OK) rc = csfle__deks_rewrap(cl, BYTES("kek1"), BYTES("orders-value"), false, NULL, NULL, &e);
  if (rc == CSFLE_OK) rc = csfle__deks_rewrap(cl, BYTES("kek1"), CSFLE__NONE, true, NULL, NULL, &e);
  if (rc == CSFLE_OK) rc = csfle__deks_make(cl, BYTES("kek1"), BYTES("orders-value"), CSFLE__AES256_GCM, 0, &made, &e);
  if (rc == CSFLE_OK) rc = csfle__deks_test(cl, BYTES("kek1"), &e);
  if (rc != CSFLE_OK && rc != CSFLE_E_NOMEM) print_message("# %s %s\n", e.where, e.msg);
  csfle_client_close(cl);
  return rc;
}

TEST(making_and_rewrapping_keys_survive_every_failed_allocation) /* DEK-187, ENC-101 */
{
  csfle_fake_init(&fake);
  fake.hook = lists;
  csfle_fake_add_schema(&fake, "orders-value", 12, 7, CUSTOMER, NULL, PII_RULES);
  assert_int_equal(both(), CSFLE_OK);
  assert_int_equal(csfle_fake_count(&fake, "POST /dek-registry/v1/keks/kek1/deks/orders-value?rewrap=true"), 2);
  TORTURE(both());
  csfle_fake_free(&fake);
}
