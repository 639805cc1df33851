/* Parsing, canonical, normalised and resolved text of Avro: vectors made by the Java registry's own code. */
#include "tests/support/test.h"

#include "core/schema/schema.h"

#include <stdio.h>

static csfle__bytes member(yyjson_val *obj, const char *name) { return csfle__json_member_text(obj, name); }

static size_t references(yyjson_val *c, csfle__reference *refs, size_t cap)
{
  size_t      i, n = 0;
  yyjson_val *r, *list = csfle__json_member(c, "references");
  if (!list) return 0;
  yyjson_arr_foreach(list, i, n, r)
  {
    assert_true(i < cap);
    refs[i] = (csfle__reference){ member(r, "name"), member(r, "schema") };
  }
  return n;
}

static int expect(yyjson_val *c, const char *key, csfle_status rc, const csfle_buf *got, const csfle_error *err)
{
  yyjson_val *want = csfle__json_member(c, key);
  if (!want) return 0;
  if (rc == CSFLE_OK && csfle__eq(csfle__json_text(want), csfle__buf_view(got))) return 0;
  printf("# %s: %s\n#   want %s\n#   got  %.*s %s\n", csfle_test_text(c, "name"), key, yyjson_get_str(want),
         CSFLE__FMT(csfle__buf_view(got)), rc == CSFLE_OK ? "" : err->msg);
  return 1;
}

typedef struct tag_list {
  yyjson_val *want, *entities; /* arrays, objects of vectors */
  size_t      unknown, entity_tags;
  char        seen[32];
} tag_list;

static void note_tag(void *opaque, csfle__bytes path, csfle__bytes tag)
{
  tag_list   *l = opaque;
  size_t      i, n;
  yyjson_val *x, *k;
  bool        known = false;
  yyjson_arr_foreach(l->want, i, n, x)
  {
    if (csfle__eq(csfle__json_text(x), tag)) l->seen[i] = 1, known = true;
  }
  l->unknown += !known;
  yyjson_obj_foreach(l->entities, i, n, k, x)
  {
    size_t      j, m;
    yyjson_val *t;
    const char *entity = strchr(yyjson_get_str(k), ':') + 1;
    yyjson_arr_foreach(x, j, m, t)
    {
      l->entity_tags += csfle__eq_str(path, entity) && csfle__eq(csfle__json_text(t), tag);
    }
  }
}

static int check_tags(yyjson_val *c, const csfle__schema *s)
{
  tag_list    l = { csfle__json_member(c, "inline_tags"), csfle__json_member(c, "tagged_entities"), 0, 0, { 0 } };
  size_t      i, n, entity_tags = 0, missing = 0;
  yyjson_val *k, *x;
  if (!l.want) return 0;
  csfle__schema_format(s)->inline_tags(s, note_tag, &l);
  yyjson_obj_foreach(l.entities, i, n, k, x)
  {
    (void)k, entity_tags += yyjson_arr_size(x);
  }
  for (i = 0; i < yyjson_arr_size(l.want); i++) missing += !l.seen[i];
  if (!l.unknown && !missing && l.entity_tags == entity_tags) return 0;
  printf("# %s: tags differ\n", csfle_test_text(c, "name"));
  return 1;
}

static int run(yyjson_val *c)
{
  csfle__reference refs[8];
  csfle__schema   *s = NULL;
  csfle_error      err = CSFLE_ERROR_INIT;
  csfle_buf        b;
  int              bad = 0;
  unsigned         flags = yyjson_get_bool(csfle__json_member(c, "new")) ? CSFLE__SCHEMA_NEW : 0;
  csfle_status     rc = csfle__schema_parse(&s, member(c, "type"), member(c, "schema"), refs, references(c, refs, 8), flags, &err);
  if ((rc == CSFLE_OK) != yyjson_get_bool(csfle__json_member(c, "valid"))) {
    printf("# %s: %s %s %s\n", csfle_test_text(c, "name"), csfle_status_name(rc), err.where, err.msg);
    bad = 1;
  }
  if (rc != CSFLE_OK) {
    assert_int_equal(rc, CSFLE_E_SCHEMA);
    return bad;
  }
  const csfle__format *f = csfle__schema_format(s);
  csfle_buf_init(&b, 0, 0);
  rc = f->canonical(s, &b, &err);
  bad += expect(c, "canonical", rc, &b, &err);
  b.len = 0;
  rc = f->normalized(s, &b, &err);
  bad += expect(c, "normalized", rc, &b, &err);
  if (!csfle__json_member(c, "normalized") && csfle__json_member(c, "canonical")) bad += rc == CSFLE_OK; /* fails in Java too */
  b.len = 0;
  rc = f->formatted(s, member(c, "format"), &b, &err);
  bad += expect(c, "formatted", rc, &b, &err);
  if (csfle__json_member(c, "schema_name")) bad += !csfle__eq(f->record_name(s), member(c, "schema_name"));
  bad += check_tags(c, s);
  if (!f->equivalent(s, s) || !f->same_layout(s, s)) bad++;
  csfle_buf_free(&b);
  csfle__schema_free(s);
  return bad;
}

TEST(every_avro_vector_of_the_java_registry_gives_the_same_texts)
{
  yyjson_doc *doc = csfle_test_vectors("schema-forms-avro.json");
  yyjson_val *c;
  size_t      i, n, ran = 0, bad = 0;
  yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, c)
  {
    bad += run(c) != 0, ran++;
  }
  printf("# schema-forms-avro.json: %zu cases\n", ran);
  yyjson_doc_free(doc);
  assert_int_equal(bad, 0);
  assert_int_equal(ran, 123);
}
