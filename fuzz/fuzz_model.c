/* Any JSON as an answer of the registry: what is accepted is written as JSON that gives an equal object, and what the
   merges and hashes say of it fits together. Input: one byte (the kind), JSON. */
#include "fuzz/fuzz.h"

#include "core/model/model.h"
#include "server/registry/registry.h"

static yyjson_doc *parsed(csfle_buf *b)
{
  yyjson_doc *doc = NULL;
  MUST_OK(csfle__json_parse(&doc, csfle__buf_view(b), err));
  return doc;
}

static void check_schema(yyjson_val *v)
{
  csfle__schema_info *s = NULL;
  csfle_error         e = CSFLE_ERROR_INIT;
  csfle_status        rc = csfle__schema_info_parse(&s, v, &e);
  if (rc != CSFLE_OK) {
    MUST((rc == CSFLE_E_SCHEMA || rc == CSFLE_E_RULE) && e.msg[0] && !s);
    return;
  }
  csfle_buf    b;
  csfle__arena a = CSFLE__ARENA_INIT;
  csfle_buf_init(&b, 0, 0);
  if (s->metadata) {
    csfle__metadata *m = NULL, *merged = NULL;
    MUST_OK(csfle__metadata_put(&b, s->metadata, err));
    yyjson_doc *doc = parsed(&b);
    MUST_OK(csfle__metadata_parse(&a, yyjson_doc_get_root(doc), &m, err));
    MUST(csfle__metadata_equal(s->metadata, m));
    MUST_OK(csfle__metadata_merge(&a, m, s->metadata, &merged, err));
    MUST_OK(csfle__metadata_merge(&a, m, NULL, &merged, err));
    MUST(csfle__metadata_equal(m, merged));
    yyjson_doc_free(doc);
  }
  if (s->rule_set) {
    csfle__rule_set *r = NULL, *merged = NULL;
    b.len = 0;
    MUST_OK(csfle__rule_set_put(&b, s->rule_set, err));
    yyjson_doc *doc = parsed(&b);
    MUST_OK(csfle__rule_set_parse(&a, yyjson_doc_get_root(doc), &r, err));
    MUST(csfle__rule_set_equal(s->rule_set, r));
    csfle_status valid = csfle__rule_set_validate(s->rule_set, &e);
    MUST(valid == CSFLE_OK || (valid == CSFLE_E_RULE && e.msg[0]));
    MUST(valid == csfle__rule_set_validate(r, NULL));
    MUST_OK(csfle__rule_set_merge(&a, r, s->rule_set, &merged, err));
    MUST_OK(csfle__rule_set_merge(&a, r, NULL, &merged, err));
    MUST(csfle__rule_set_equal(r, merged));
    yyjson_doc_free(doc);
  }
  if (s->reference_count) {
    csfle__schema_ref *refs = NULL;
    size_t             count = 0;
    b.len = 0;
    MUST_OK(csfle__references_put(&b, s->references, s->reference_count, err));
    yyjson_doc *doc = parsed(&b);
    MUST_OK(csfle__references_parse(&a, yyjson_doc_get_root(doc), &refs, &count, err));
    MUST(csfle__references_equal(s->references, s->reference_count, refs, count));
    yyjson_doc_free(doc);
  }
  uint8_t one[16], two[16];
  char    text[37];
  MUST_OK(csfle__content_hash(s->schema, s->references, s->reference_count, s->metadata, s->rule_set, one, err));
  csfle__guid_text(one, text);
  MUST(csfle__guid_parse(csfle__str(text), two) && memcmp(one, two, 16) == 0);
  csfle__subject sub = csfle__subject_parse(s->subject), sub2;
  b.len = 0;
  MUST_OK(csfle__subject_put(&b, sub, err));
  sub2 = csfle__subject_parse(csfle__buf_view(&b));
  if (!csfle__starts(sub.name, CSFLE__LIT(":"))) /* ":.::.c:s" is normalised to ":.c:s", another subject, as Java does */
    MUST(csfle__eq(sub.context, sub2.context) && csfle__eq(sub.name, sub2.name));
  csfle__arena_free(&a);
  csfle_buf_free(&b);
  csfle__schema_info_free(s);
}

static bool same_pairs(const csfle__pairs *a, const csfle__pairs *b)
{
  bool same = a->count == b->count;
  for (size_t i = 0; same && i < a->count; i++) same = csfle__eq(a->at[i].name, b->at[i].name) && csfle__eq(a->at[i].value, b->at[i].value);
  return same;
}

static void check_kek(yyjson_val *v)
{
  csfle__kek  *k = NULL, *l = NULL;
  csfle_buf    b;
  csfle_status rc = csfle__kek_parse(&k, v, NULL);
  MUST(rc == CSFLE_OK || (rc == CSFLE_E_SCHEMA && !k));
  if (!k) return;
  csfle_buf_init(&b, 0, 0);
  registry_put_kek(&b, k);
  yyjson_doc *doc = parsed(&b);
  MUST_OK(csfle__kek_parse(&l, yyjson_doc_get_root(doc), err));
  MUST(csfle__eq(k->name, l->name) && csfle__eq(k->kms_type, l->kms_type) && csfle__eq(k->kms_key_id, l->kms_key_id));
  MUST(csfle__eq(k->doc, l->doc) && k->shared == l->shared && same_pairs(&k->kms_props, &l->kms_props));
  csfle__kek_name_valid(k->name);
  yyjson_doc_free(doc);
  csfle_buf_free(&b);
  csfle__kek_free(k), csfle__kek_free(l);
}

static void check_dek(yyjson_val *v)
{
  csfle__dek  *k = NULL, *l = NULL;
  csfle_buf    b;
  csfle_status rc = csfle__dek_parse(&k, v, NULL);
  MUST(rc == CSFLE_OK || (rc == CSFLE_E_SCHEMA && !k));
  if (!k) return;
  csfle_buf_init(&b, 0, CSFLE_BUF_WIPE);
  registry_put_dek(&b, k, csfle__secret_view(&k->key_material));
  yyjson_doc *doc = parsed(&b);
  MUST_OK(csfle__dek_parse(&l, yyjson_doc_get_root(doc), err));
  MUST(csfle__eq(k->kek_name, l->kek_name) && csfle__eq(k->subject, l->subject) && k->version == l->version && k->algorithm == l->algorithm);
  MUST(csfle__eq(k->encrypted_key_material, l->encrypted_key_material));
  MUST(csfle__eq(csfle__secret_view(&k->key_material), csfle__secret_view(&l->key_material)));
  yyjson_doc_free(doc);
  csfle_buf_free(&b);
  csfle__dek_free(k), csfle__dek_free(l);
}

static void check_json(yyjson_val *v)
{
  csfle_buf b;
  csfle_buf_init(&b, 0, 0);
  MUST_OK(csfle__json_put_value(&b, v, err));
  yyjson_doc *doc = parsed(&b);
  MUST(csfle__json_equal(v, yyjson_doc_get_root(doc)));
  yyjson_doc_free(doc);
  csfle_buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  csfle__bytes in = csfle__view(data, size);
  unsigned     kind = fuzz_byte(&in) % 4;
  yyjson_doc  *doc = NULL;
  if (csfle__json_parse(&doc, in, NULL) != CSFLE_OK) {
    MUST(!doc);
    return 0;
  }
  static void (*const checks[4])(yyjson_val *) = { check_schema, check_kek, check_dek, check_json };
  checks[kind](yyjson_doc_get_root(doc));
  yyjson_doc_free(doc);
  return 0;
}
