/* Every allocation of a resolution: two schemas that differ in everything, compiled, and a value taken over. */
#include "tests/support/test.h"

#include "core/schema/resolve.h"
#include "core/schema/text.h"

static const char writer[] =
  "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"},{\"name\":\"gone\",\"type\":\"string\"},"
  "{\"name\":\"u\",\"type\":[\"null\",\"string\",\"R\"]},{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":{\"type\":\"array\",\"items\":\"float\"}}},"
  "{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}}]}";
static const char reader[] =
  "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"Z\",\"B\"],\"default\":\"Z\"}},"
  "{\"name\":\"new\",\"type\":{\"type\":\"array\",\"items\":\"string\"},\"default\":[\"x\",\"y\"]},{\"name\":\"u\",\"type\":[\"R\",\"bytes\",\"null\"]},"
  "{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":{\"type\":\"array\",\"items\":\"double\"}}},{\"name\":\"b\",\"aliases\":[\"a\"],\"type\":\"long\"}]}";
static const char value[] = "{\"a\":7,\"gone\":\"g\",\"u\":{\"R\":{\"a\":1,\"gone\":\"\",\"u\":{\"string\":\"s\"},\"m\":{},\"e\":\"B\"}},\"m\":{\"k\":[1.5,2.5]},\"e\":\"A\"}";

static csfle_status resolve(void)
{
  csfle__schema     *from = NULL, *to = NULL;
  csfle__resolution *r = NULL;
  csfle__walk        w = CSFLE__WALK_INIT;
  csfle_buf          in, out;
  csfle_error        e = CSFLE_ERROR_INIT;
  csfle_buf_init(&in, 0, CSFLE_BUF_WIPE), csfle_buf_init(&out, 0, CSFLE_BUF_WIPE);
  csfle_status rc = csfle__schema_parse(&from, CSFLE__NONE, csfle__str(writer), NULL, 0, 0, &e);
  if (rc == CSFLE_OK) rc = csfle__schema_parse(&to, CSFLE__NONE, csfle__str(reader), NULL, 0, 0, &e);
  if (rc == CSFLE_OK) rc = csfle__value_from_json(from, csfle__str(value), &in, &e);
  if (rc == CSFLE_OK) rc = csfle__resolution_compile(&r, from, to, &e);
  if (rc == CSFLE_OK) rc = csfle__resolve(r, csfle__buf_view(&in), &w, &out, &e);
  if (rc != CSFLE_OK && rc != CSFLE_E_NOMEM) print_message("# %s %s\n", e.where, e.msg);
  csfle_buf_free(&in), csfle_buf_free(&out);
  csfle__walk_free(&w);
  csfle__resolution_free(r);
  csfle__schema_free(from), csfle__schema_free(to);
  return rc;
}
TEST(resolving_survives_every_failed_allocation)
{
  assert_int_equal(resolve(), CSFLE_OK);
  TORTURE(resolve());
}
