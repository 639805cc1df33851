/* Every allocation of the requests to the DEK Registry. */
#include "tests/support/test.h"

#include "client/regclient/keys.h"

static csfle_status requests(void)
{
  csfle__rc_call c[4];
  for (int i = 0; i < 4; i++) csfle__rc_call_init(&c[i], "GET");
  csfle_status rc = csfle__kek_get_request(&c[0], BYTES("a/b"), true, BYTES(".ctx"), NULL);
  if (rc == CSFLE_OK) rc = csfle__kek_create_request(&c[1], BYTES("kek1"), BYTES("aws-kms"), BYTES("arn:\"x\""), BYTES(".ctx"), NULL);
  if (rc == CSFLE_OK) rc = csfle__dek_get_request(&c[2], BYTES("kek1"), BYTES(":.ctx:orders value"), -1, CSFLE__AES256_SIV, true, NULL);
  if (rc == CSFLE_OK) rc = csfle__dek_create_request(&c[3], BYTES("kek1"), BYTES("s"), 2, CSFLE__AES128_GCM, BYTES("AAEC"), false, NULL);
  for (int i = 0; i < 4; i++) csfle__rc_call_free(&c[i]);
  return rc;
}
TEST(requests_survive_every_failed_allocation) { TORTURE(requests()); }
