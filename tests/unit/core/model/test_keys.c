/* core/model/keys.c, subject.c, letters.c: KEKs, DEKs, names and URLs. */
#include "core/model/letters.h"
#include "core/model/model.h"
#include "tests/support/test.h"

#include <stdio.h>

static yyjson_doc *json(const char *text)
{
  yyjson_doc *doc = NULL;
  assert_ok(csfle__json_parse(&doc, csfle__str(text), err));
  return doc;
}

/* ENC-78, DEK registry 2.6 */
TEST(every_kek_name_vector_is_judged_as_it_should)
{
  yyjson_doc *doc = csfle_test_vectors("encryption.json");
  yyjson_val *list = csfle__json_member(yyjson_doc_get_root(doc), "kek_name"), *e;
  size_t      i, n, ran = 0;
  yyjson_arr_foreach(list, i, n, e)
  {
    bool valid = csfle__kek_name_valid(csfle__str(csfle_test_text(e, "name")));
    if (valid != yyjson_is_true(csfle__json_member(e, "expect_valid"))) fail_msg("%s", csfle_test_text(e, "id"));
    ran++;
  }
  printf("# kek_name: %zu entries\n", ran);
  assert_int_equal(ran, 12);
  yyjson_doc_free(doc);
}

TEST(kek_names_may_have_letters_of_any_script_in_the_bmp)
{
  const struct {
    const char *name;
    bool        valid;
  } cases[] = {
    { "schl\xC3\xBCssel", true },        /* u umlaut */
    { "\xD0\xBA\xD0\xBB\xD1\x8E\xD1\x87", true }, /* Cyrillic */
    { "\xE9\x8D\xB5", true },            /* CJK */
    { "k\xD9\xA3", true },               /* Arabic-Indic digit, not first */
    { "\xD9\xA3k", false },
    { "k\xC2\xB2", false },              /* superscript two is no decimal digit */
    { "k\xE2\x85\xA8", false },          /* Roman numeral: category Nl */
    { "k\xF0\x9D\x94\xB8", false },      /* a letter beyond the BMP */
    { "\xF0\x90\x90\x80", false },
    { "k\xF0\x9F\x94\x91", false },
    { "k\xC3", false },                  /* broken UTF-8 */
    { "k\x01", false },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (csfle__kek_name_valid(csfle__str(cases[i].name)) != cases[i].valid) fail_msg("case %zu", i);
  char     wide[3 * 257];
  unsigned units;
  for (units = 0; units < 257; units++) memcpy(wide + 3 * units, "\xE9\x8D\xB5", 3);
  assert_true(csfle__kek_name_valid(csfle__view(wide, 3 * 256)));
  assert_false(csfle__kek_name_valid(csfle__view(wide, 3 * 257)));
}

TEST(context_of_subject_vectors_give_their_context)
{
  yyjson_doc *doc = csfle_test_vectors("encryption.json");
  yyjson_val *list = csfle__json_member(yyjson_doc_get_root(doc), "context_of_subject"), *e;
  size_t      i, n, ran = 0;
  yyjson_arr_foreach(list, i, n, e)
  {
    csfle__subject s = csfle__subject_parse(csfle__str(csfle_test_text(e, "subject")));
    const char    *want = csfle_test_text(e, "expect_context");
    if (!csfle__eq_str(s.context, *want ? want : ".")) fail_msg("%s", csfle_test_text(e, "id"));
    ran++;
  }
  printf("# context_of_subject: %zu entries\n", ran);
  assert_int_equal(ran, 8);
  yyjson_doc_free(doc);
}

/* schema-registry 3.1 */
TEST(subjects_are_normalised)
{
  const struct {
    const char *in, *context, *name, *out;
  } cases[] = {
    { "orders-value", ".", "orders-value", "orders-value" },
    { ":.:foo", ".", "foo", "foo" },
    { ":.ctx", ".ctx", "", ":.ctx:" },
    { ":.ctx:", ".ctx", "", ":.ctx:" },
    { ":.ctx:a:b", ".ctx", "a:b", ":.ctx:a:b" },
    { ":*:a", "*", "a", ":*:a" },
    { ":ctx:a", ".", ":ctx:a", ":ctx:a" },
    { "", ".", "", "" },
    { ":", ".", ":", ":" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle_buf      b;
    csfle__subject s = csfle__subject_parse(csfle__str(cases[i].in));
    csfle_buf_init(&b, 0, 0);
    assert_bytes_equal(s.context, csfle__str(cases[i].context));
    assert_bytes_equal(s.name, csfle__str(cases[i].name));
    assert_ok(csfle__subject_put(&b, s, err));
    assert_bytes_equal(csfle__buf_view(&b), csfle__str(cases[i].out));
    csfle_buf_free(&b);
  }
}

/* SERDE-47, ENC-72 */
TEST(path_segments_and_query_values_are_percent_encoded)
{
  const struct {
    csfle__bytes in;
    const char  *path, *query;
  } cases[] = {
    { BYTES("a/b c%d"), "a%2Fb%20c%25d", "a%2Fb%20c%25d" },
    { BYTES(":.ctx:a"), ":.ctx:a", "%3A.ctx%3Aa" },
    { BYTES("a+b&c=d?e#f"), "a+b&c=d%3Fe%23f", "a%2Bb%26c%3Dd%3Fe%23f" },
    { BYTES("\xC3\xA9\0z"), "%C3%A9%00z", "%C3%A9%00z" },
    { BYTES(".."), "%2E%2E", ".." },
    { BYTES("."), "%2E", "." },
    { BYTES("..."), "...", "..." },
    { BYTES(""), "", "" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle_buf b;
    csfle_buf_init(&b, 0, 0);
    assert_ok(csfle__put_path_segment(&b, cases[i].in, err));
    assert_bytes_equal(csfle__buf_view(&b), csfle__str(cases[i].path));
    csfle__buf_clear(&b);
    assert_ok(csfle__put_query_value(&b, cases[i].in, err));
    assert_bytes_equal(csfle__buf_view(&b), csfle__str(cases[i].query));
    csfle_buf_free(&b);
  }
}

TEST(a_kek_is_read_with_its_properties_in_order)
{
  yyjson_doc *doc = json("{\"name\":\"k\",\"kmsType\":\"local-kms\",\"kmsKeyId\":\"id\",\"kmsProps\":{\"b\":\"2\",\"a\":1,\"b\":\"3\",\"c\":null},"
                         "\"shared\":\"True\",\"ts\":17,\"deleted\":true,\"unknown\":[{}]}");
  csfle__kek *k;
  assert_ok(csfle__kek_parse(&k, yyjson_doc_get_root(doc), err));
  yyjson_doc_free(doc);
  assert_bytes_equal(k->name, BYTES("k"));
  assert_bytes_equal(k->kms_type, BYTES("local-kms"));
  assert_null(k->doc.ptr);
  assert_true(k->shared && k->deleted);
  assert_int_equal(k->ts, 17);
  assert_int_equal(k->kms_props.count, 2);
  assert_bytes_equal(k->kms_props.at[0].name, BYTES("a"));
  assert_bytes_equal(csfle__pairs_get(&k->kms_props, "a"), BYTES("1"));
  assert_bytes_equal(csfle__pairs_get(&k->kms_props, "b"), BYTES("3"));
  assert_null(csfle__pairs_get(&k->kms_props, "c").ptr);
  csfle__kek_free(k);
}

/* dek-registry 2.1: what Jackson takes */
TEST(a_dek_is_read_as_leniently_as_jackson_does)
{
  const struct {
    const char      *text;
    csfle__algorithm algorithm;
    int32_t          version;
    bool             deleted;
    const char      *subject;
  } cases[] = {
    { "{\"kekName\":\"k\",\"subject\":5,\"version\":\"3\",\"deleted\":1}", CSFLE__AES256_GCM, 3, true, "5" },
    { "{\"kekName\":\"k\",\"subject\":true,\"version\":2.9,\"algorithm\":\"AES128_GCM\",\"deleted\":null}", CSFLE__AES128_GCM, 2, false, "true" },
    { "{\"kekName\":\"k\",\"subject\":\"s\",\"algorithm\":2,\"version\":null}", CSFLE__AES256_SIV, 0, false, "s" },
    { "{\"kekName\":\"k\",\"subject\":\"s\",\"algorithm\":null,\"deleted\":\"FALSE\"}", CSFLE__AES256_GCM, 0, false, "s" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    yyjson_doc *doc = json(cases[i].text);
    csfle__dek *d;
    assert_ok(csfle__dek_parse(&d, yyjson_doc_get_root(doc), err));
    assert_int_equal(d->algorithm, cases[i].algorithm);
    assert_int_equal(d->version, cases[i].version);
    assert_int_equal(d->deleted, cases[i].deleted);
    assert_bytes_equal(d->subject, csfle__str(cases[i].subject));
    assert_null(d->encrypted_key_material.ptr);
    csfle__dek_free(d);
    yyjson_doc_free(doc);
  }
}

TEST(what_is_no_key_is_refused_with_the_name_of_the_member)
{
  const struct {
    bool        kek;
    const char *text, *why;
  } cases[] = {
    { true, "[]", "KEK is not a JSON object" },
    { true, "{\"name\":[]}", "\"name\" is not a text" },
    { true, "{\"shared\":\"yes\"}", "\"shared\" is neither true nor false" },
    { true, "{\"kmsProps\":[]}", "\"kmsProps\" is not a JSON object" },
    { true, "{\"kmsProps\":{\"a\":{}}}", "\"kmsProps\" holds what is not a text" },
    { false, "{\"version\":\"x\"}", "\"version\" is not an integer" },
    { false, "{\"version\":3000000000}", "\"version\" is 3000000000, expected -2147483648 to 2147483647" },
    { false, "{\"algorithm\":\"AES\"}", "unknown DEK algorithm \"AES\"" },
    { false, "{\"algorithm\":\"\"}", "unknown DEK algorithm \"\"" },
    { false, "{\"algorithm\":3}", "unknown DEK algorithm \"\"" },
    { false, "{\"keyMaterial\":\"??secret??\"}", "\"keyMaterial\" is not Base64" },
    { false, "{\"keyMaterial\":7}", "\"keyMaterial\" is not Base64" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    yyjson_doc *doc = json(cases[i].text);
    csfle__kek *k = NULL;
    csfle__dek *d = NULL;
    csfle_error err = CSFLE_ERROR_INIT;
    yyjson_val *root = yyjson_doc_get_root(doc);
    assert_int_equal(cases[i].kek ? csfle__kek_parse(&k, root, &err) : csfle__dek_parse(&d, root, &err), CSFLE_E_SCHEMA);
    assert_string_equal(err.msg, cases[i].why);
    assert_true(!k && !d);
    yyjson_doc_free(doc);
  }
}

static const char dek_text[] = "{\"kekName\":\"k\",\"subject\":\"s\",\"version\":1,\"encryptedKeyMaterial\":\"AAAA\","
                               "\"keyMaterial\":\"GhAAAQIDBAUGBwgJCgsMDQ4P\",\"ts\":9}";

/* ENC-101: not even the document keeps the key */
TEST(key_material_is_decoded_and_blotted_out_of_the_document)
{
  yyjson_doc *doc = json(dek_text);
  csfle__dek *d;
  uint8_t     want[18];
  assert_ok(csfle__dek_parse(&d, yyjson_doc_get_root(doc), err));
  csfle_test_unhex(BYTES("1a10000102030405060708090a0b0c0d0e0f"), want, sizeof want);
  assert_bytes_equal(csfle__secret_view(&d->key_material), csfle__view(want, sizeof want));
  csfle__bytes text = csfle__json_member_text(yyjson_doc_get_root(doc), "keyMaterial");
  assert_int_equal(text.len, 24);
  for (size_t i = 0; i < text.len; i++) assert_int_equal(text.ptr[i], 0);
  csfle__dek_free(d);
  yyjson_doc_free(doc);
}

static csfle_status parse_both(void)
{
  yyjson_doc  *doc = NULL;
  csfle__dek  *d = NULL;
  csfle__kek  *k = NULL;
  csfle_status rc = csfle__json_parse(&doc, csfle__str(dek_text), NULL);
  if (rc == CSFLE_OK) rc = csfle__dek_parse(&d, yyjson_doc_get_root(doc), NULL);
  csfle__dek_free(d);
  yyjson_doc_free(doc);
  doc = NULL;
  if (rc == CSFLE_OK) rc = csfle__json_parse(&doc, BYTES("{\"name\":\"k\",\"kmsProps\":{\"a\":\"1\",\"b\":\"2\"},\"doc\":\"\"}"), NULL);
  if (rc == CSFLE_OK) rc = csfle__kek_parse(&k, yyjson_doc_get_root(doc), NULL);
  csfle__kek_free(k);
  yyjson_doc_free(doc);
  return rc;
}
TEST(keys_survive_every_failed_allocation) { TORTURE(parse_both()); }
