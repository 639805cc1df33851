/* Every allocation of the parsers and writers of parts: metadata, rules, references, pairs and names by themselves. */
#include "tests/support/test.h"

#include "core/model/model.h"

static const char text[] = "{\"tags\":{\"**.ssn\":[\"PII\",\"B\"]},\"properties\":{\"b\":\"2\",\"a\":\"1\"},\"sensitive\":[\"a\"]}";
static const char rules[] = "{\"domainRules\":[{\"name\":\"r\",\"doc\":\"d\",\"kind\":\"CONDITION\",\"mode\":\"WRITE\",\"type\":\"CEL\",\"tags\":[\"B\",\"A\"],\"expr\":\"x\","
                            "\"params\":{\"k\":\"v\"},\"onSuccess\":\"NONE\",\"onFailure\":\"ERROR\"}],\"migrationRules\":[{\"name\":\"m\",\"type\":\"J\"}]}";
static const char refs[] = "[{\"name\":\"n\",\"subject\":\"s\",\"version\":1},{\"name\":\"o\",\"subject\":\":.c:s\",\"version\":2}]";

static csfle_status parts(void)
{
  csfle__arena       a = CSFLE__ARENA_INIT;
  yyjson_doc        *m = NULL, *r = NULL, *f = NULL;
  csfle__metadata   *metadata = NULL;
  csfle__rule_set   *set = NULL;
  csfle__schema_ref *list = NULL;
  size_t             count = 0;
  csfle_buf          b;
  csfle_buf_init(&b, 0, 0);
  csfle_status rc = csfle__json_parse(&m, csfle__str(text), NULL);
  if (rc == CSFLE_OK) rc = csfle__json_parse(&r, csfle__str(rules), NULL);
  if (rc == CSFLE_OK) rc = csfle__json_parse(&f, csfle__str(refs), NULL);
  if (rc == CSFLE_OK) rc = csfle__metadata_parse(&a, yyjson_doc_get_root(m), &metadata, NULL);
  if (rc == CSFLE_OK) rc = csfle__rule_set_parse(&a, yyjson_doc_get_root(r), &set, NULL);
  if (rc == CSFLE_OK) rc = csfle__references_parse(&a, yyjson_doc_get_root(f), &list, &count, NULL);
  if (rc == CSFLE_OK) rc = csfle__rule_put(&b, &set->domain.at[0], NULL);
  if (rc == CSFLE_OK) rc = csfle__pairs_put(&b, &metadata->properties, NULL);
  if (rc == CSFLE_OK) rc = csfle__names_put(&b, &metadata->sensitive, NULL);
  if (rc == CSFLE_OK) rc = csfle__references_put(&b, list, count, NULL);
  if (rc == CSFLE_OK) rc = csfle__put_query_value(&b, BYTES("a b/\xc3\xa9"), NULL);
  csfle_buf_free(&b);
  csfle__arena_free(&a);
  yyjson_doc_free(m), yyjson_doc_free(r), yyjson_doc_free(f);
  return rc;
}
TEST(parts_of_a_contract_survive_every_failed_allocation) { TORTURE(parts()); }
