/* A keys backup in a registry's place: what it answers, what it refuses, and records that are read from it. */
#include "tests/unit/client/rig.h"

#include "client/regclient/keys.h"
#include "client/regclient/schemas.h"
#include "client/regclient/seed.h"

#define KEK(name, more)  "{\"name\":\"" name "\",\"kmsType\":\"local-kms\",\"kmsKeyId\":\"mykey\",\"shared\":false,\"ts\":1" more "}"
#define DEK(subject, version, text, more) \
  "{\"kekName\":\"kek1\",\"subject\":\"" subject "\",\"version\":" #version ",\"algorithm\":\"AES256_GCM\",\"encryptedKeyMaterial\":\"" text "\",\"ts\":1" more "}"
#define SCHEMA(subject, version, id, text, more) \
  "{\"subject\":\"" subject "\",\"version\":" #version ",\"id\":" #id ",\"schemaType\":\"AVRO\",\"schema\":\"" text "\"" more "}"

typedef struct item {
  csfle__backup_kind kind;
  const char        *json;
} item;

static const item items[] = {
  { CSFLE__BACKUP_KEK, KEK("kek1", "") }, { CSFLE__BACKUP_KEK, KEK("gone", ",\"deleted\":true") },
  { CSFLE__BACKUP_DEK, DEK("a-value", 1, "YTE=", "") }, { CSFLE__BACKUP_DEK, DEK("a-value", 3, "YTM=", ",\"deleted\":true") },
  { CSFLE__BACKUP_DEK, DEK("a-value", 2, "YTI=", "") }, { CSFLE__BACKUP_DEK, DEK(":.c:b/x %", 1, "YjE=", "") },
  { CSFLE__BACKUP_SCHEMA, SCHEMA("a-value", 1, 7, "\\\"string\\\"", "") },
  { CSFLE__BACKUP_SCHEMA, SCHEMA("a-value", 2, 8, "\\\"long\\\"", ",\"guid\":\"66e9e3a7-3b0c-4bd4-b2d3-cc7a8f1a1a11\",\"references\":[{\"name\":\"r\",\"subject\":\"r\",\"version\":4}]") },
  { CSFLE__BACKUP_SCHEMA, SCHEMA("a-value", 3, 9, "\\\"int\\\"", ",\"deleted\":true") },
  { CSFLE__BACKUP_SCHEMA, SCHEMA("r", 4, 10, "\\\"bytes\\\"", ",\"deleted\":true") }, { CSFLE__BACKUP_SCHEMA, SCHEMA(":.c:r", 1, 7, "\\\"float\\\"", "") },
};

static csfle_status write_items(csfle_buf *b, const item *at, size_t count, csfle_error *err)
{
  size_t       counts[CSFLE__BACKUP_KINDS] = { 0 };
  csfle_status rc = csfle__backup_begin(b, 1, BYTES("http://r"), err);
  for (size_t i = 0; i < count && rc == CSFLE_OK; i++) {
    rc = csfle__backup_add(b, at[i].kind, csfle__str(at[i].json), err);
    counts[at[i].kind]++;
  }
  return rc == CSFLE_OK ? csfle__backup_end(b, counts, err) : rc;
}

static csfle__seed *seed_of(const item *at, size_t count)
{
  csfle__seed *s = NULL;
  csfle_buf    b;
  csfle_buf_init(&b, 0, 0);
  assert_ok(write_items(&b, at, count, err));
  assert_ok(csfle__seed_new(&s, csfle__buf_view(&b), err));
  csfle_buf_free(&b); /* the text is not kept */
  return s;
}

TEST(each_request_is_answered_from_the_backup)
{
  static const struct { const char *path, *member, *value; } cases[] = { /* value NULL: 404 */
    { "/dek-registry/v1/keks/kek1?deleted=false", "name", "kek1" }, { "/dek-registry/v1/keks/kek2?deleted=true", "", NULL },
    { "/dek-registry/v1/keks/gone?deleted=false", "", NULL }, { "/dek-registry/v1/keks/gone?deleted=true&context=.c", "name", "gone" },
    { "/dek-registry/v1/keks/kek1/deks/a-value/versions/1?algorithm=AES256_GCM&deleted=true", "encryptedKeyMaterial", "YTE=" },
    { "/dek-registry/v1/keks/kek1/deks/a-value/versions/3?algorithm=AES256_GCM&deleted=true", "encryptedKeyMaterial", "YTM=" },
    { "/dek-registry/v1/keks/kek1/deks/a-value/versions/3?algorithm=AES256_GCM&deleted=false", "", NULL },
    { "/dek-registry/v1/keks/kek1/deks/a-value/versions/-1?algorithm=AES256_GCM&deleted=false", "encryptedKeyMaterial", "YTI=" },
    { "/dek-registry/v1/keks/kek1/deks/a-value/versions/-1?algorithm=AES256_GCM&deleted=true", "encryptedKeyMaterial", "YTM=" },
    { "/dek-registry/v1/keks/kek1/deks/a-value/versions/1?algorithm=AES256_SIV&deleted=true", "", NULL },
    { "/dek-registry/v1/keks/kek1/deks/:.c:b%2Fx%20%25/versions/1?algorithm=AES256_GCM", "encryptedKeyMaterial", "YjE=" },
    { "/dek-registry/v1/keks/kek1/deks/b%2Fx%20%25/versions/1?algorithm=AES256_GCM", "", NULL },
    { "/schemas/ids/7?subject=a-value", "schema", "\"string\"" }, { "/schemas/ids/7?subject=%3A.c%3Aother", "schema", "\"float\"" }, { "/schemas/ids/77?subject=a-value", "", NULL },
    { "/schemas/ids/9?subject=a-value", "schema", "\"int\"" }, { "/schemas/guids/66e9e3a7-3b0c-4bd4-b2d3-cc7a8f1a1a11", "schema", "\"long\"" },
    { "/subjects/a-value/versions/latest", "schema", "\"long\"" }, { "/subjects/a-value/versions/3", "", NULL }, { "/subjects/a-value/versions/3?deleted=true", "schema", "\"int\"" },
    { "/subjects/r/versions/4?deleted=true", "schema", "\"bytes\"" }, { "/subjects/nobody/versions/latest", "", NULL },
    { "/subjects/a-value/versions", "", NULL }, { "/", "", NULL }, { "", "", NULL }, { "/a/b/c/d/e/f/g/h/i/j/k", "", NULL }, { "/dek-registry/v1/keks", "", NULL },
  };
  csfle__seed *s = seed_of(items, sizeof items / sizeof *items);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle__rc_call c;
    csfle_error    e = CSFLE_ERROR_INIT;
    csfle__rc_call_init(&c, "GET");
    assert_ok(csfle__buf_puts(&c.path, cases[i].path, err));
    csfle__next next = csfle__seed_answer(s, &c, &e);
    if (next != (cases[i].value ? CSFLE__DONE : CSFLE__FAIL)) fail_msg("%s: %s", cases[i].path, e.msg);
    if (cases[i].value) assert_bytes_equal(csfle__json_member_text(yyjson_doc_get_root(c.doc), cases[i].member), csfle__str(cases[i].value));
    else assert_true(e.http == 404 && e.code == CSFLE_E_SCHEMA && strstr(e.msg, "has none of that name"));
    csfle__rc_call_free(&c);
  }
  csfle__seed_free(s);
}

TEST(nothing_is_written_to_a_backup)
{
  csfle__seed   *s = seed_of(items, 1);
  csfle__rc_call c;
  csfle_error    e = CSFLE_ERROR_INIT;
  csfle__rc_call_init(&c, "POST");
  assert_ok(csfle__buf_puts(&c.path, "/dek-registry/v1/keks", err));
  assert_int_equal(csfle__seed_answer(s, &c, &e), CSFLE__FAIL);
  assert_int_equal(e.http, 405);
  csfle__rc_call_free(&c);
  csfle__seed_free(s);
}

TEST(an_answer_by_id_names_no_subject)
{
  csfle__seed   *s = seed_of(items, sizeof items / sizeof *items);
  csfle__rc_call c;
  csfle__rc_call_init(&c, "GET");
  assert_ok(csfle__buf_puts(&c.path, "/schemas/ids/7?subject=other-value", err));
  assert_int_equal(csfle__seed_answer(s, &c, NULL), CSFLE__DONE);
  assert_null(csfle__json_member(yyjson_doc_get_root(c.doc), "subject"));
  assert_null(csfle__json_member(yyjson_doc_get_root(c.doc), "version"));
  csfle__rc_call_free(&c);
  csfle__seed_free(s);
}

TEST(what_is_no_key_or_schema_is_refused)
{
  static const item bad[] = {
    { CSFLE__BACKUP_KEK, "{\"kmsType\":\"t\"}" }, { CSFLE__BACKUP_DEK, DEK("", 1, "YTE=", "") }, { CSFLE__BACKUP_DEK, DEK("s", 0, "YTE=", "") },
    { CSFLE__BACKUP_DEK, DEK("s", 1, "YTE=", ",\"keyMaterial\":\"YTE=\"") }, { CSFLE__BACKUP_DEK, "{\"kekName\":\"k\",\"subject\":\"s\",\"version\":1,\"algorithm\":\"ROT13\"}" },
    { CSFLE__BACKUP_SCHEMA, "{\"subject\":\"s\",\"version\":1,\"schema\":\"x\"}" }, { CSFLE__BACKUP_SCHEMA, "{\"subject\":\"s\",\"id\":1,\"schema\":\"x\"}" },
    { CSFLE__BACKUP_SCHEMA, "{\"subject\":\"s\",\"id\":1,\"version\":1,\"schema\":\"x\",\"ruleSet\":{\"domainRules\":[{\"mode\":\"SIDEWAYS\"}]}}" },
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    csfle__seed *s = NULL;
    csfle_buf    b;
    csfle_error  e = CSFLE_ERROR_INIT;
    csfle_buf_init(&b, 0, 0);
    assert_ok(write_items(&b, &bad[i], 1, err));
    if (csfle__seed_new(&s, csfle__buf_view(&b), &e) != CSFLE_E_CONFIG || s || !*e.msg) fail_msg("%s: %s", bad[i].json, e.msg);
    csfle_buf_free(&b);
  }
}

TEST(a_changed_byte_anywhere_is_noticed)
{
  csfle_buf    b;
  csfle__seed *none = NULL;
  assert_int_equal(csfle__seed_new(&none, CSFLE__NONE, NULL), CSFLE_E_CONFIG);
  assert_int_equal(csfle__seed_new(&none, BYTES("\n\n"), NULL), CSFLE_E_CONFIG);
  csfle_buf_init(&b, 0, 0);
  assert_ok(write_items(&b, items, 3, err));
  for (size_t i = 0; i < b.len - 1; i++) { /* the last byte is a line end */
    csfle__seed *s = NULL;
    uint8_t      was = b.ptr[i];
    b.ptr[i] ^= 1;
    if (csfle__seed_new(&s, csfle__buf_view(&b), NULL) == CSFLE_OK) {
      csfle__seed_free(s);
      fail_msg("byte %zu", i);
    }
    if (csfle__seed_new(&s, csfle__view(b.ptr, i), NULL) == CSFLE_OK) fail_msg("cut at %zu", i);
    b.ptr[i] = was;
  }
  csfle_buf_free(&b);
}

/* everything that the fake registry has of topic "orders", as a backup */
static void save(csfle_fake *f, csfle_buf *b)
{
  char      schema[2000];
  item      all[3] = { { CSFLE__BACKUP_KEK, NULL }, { CSFLE__BACKUP_DEK, NULL }, { CSFLE__BACKUP_SCHEMA, schema } };
  csfle_buf quoted;
  for (size_t i = 0; i < f->key_count; i++) all[f->keys[i].subject != NULL].json = f->keys[i].json;
  assert_non_null(all[0].json);
  assert_non_null(all[1].json);
  csfle_buf_init(&quoted, 0, 0);
  assert_ok(csfle__json_put_string(&quoted, BYTES(CUSTOMER), false, err));
  snprintf(schema, sizeof schema, "{\"subject\":\"orders-value\",\"version\":7,\"id\":12,\"schemaType\":\"AVRO\",\"schema\":%.*s,\"ruleSet\":" PII_RULES "}", (int)quoted.len,
           (const char *)quoted.ptr);
  assert_ok(write_items(b, all, 3, err));
  csfle_buf_free(&quoted);
}

static csfle_status read_seeded(csfle_fake *f, csfle__bytes backup, csfle__bytes record, csfle_buf *out)
{
  csfle_error   e = CSFLE_ERROR_INIT;
  csfle_config *c = csfle_config_new(RIG_PROPS);
  csfle_client *cl = NULL;
  csfle_serde  *s = NULL;
  e.code = CSFLE_E_NOMEM;
  if (c && csfle_config_add_transport(c, &f->transport, &e) == CSFLE_OK) cl = csfle_client_open(c, &e);
  csfle_config_free(c);
  csfle_status rc = cl ? csfle_client_seed(cl, backup.ptr, backup.len, &e) : e.code;
  if (rc == CSFLE_OK && !(s = csfle_serde_open(cl, "orders", NULL, &e))) rc = e.code;
  if (rc == CSFLE_OK) rc = csfle_deserialize(s, CSFLE_JSON, record.ptr, record.len, NULL, out, NULL, &e);
  if (rc != CSFLE_OK && rc != CSFLE_E_NOMEM) print_message("# %s %s\n", e.where, e.msg);
  csfle_serde_close(s);
  csfle_client_close(cl);
  return rc;
}

TEST(records_are_read_without_a_request_to_a_registry)
{
  rig         r;
  csfle_buf   record, out, backup;
  csfle_error e = CSFLE_ERROR_INIT;
  csfle_buf_init(&record, 0, 0), csfle_buf_init(&out, 0, CSFLE_BUF_WIPE), csfle_buf_init(&backup, 0, 0);
  rig_open(&r, CUSTOMER, NULL, PII_RULES, NULL);
  assert_int_equal(csfle_serialize(r.serde, CSFLE_NATIVE, CUSTOMER_VALUE, sizeof CUSTOMER_VALUE - 1, NULL, &record, NULL, &e), CSFLE_OK);
  save(&r.fake, &backup);
  assert_int_equal(csfle_client_seed(r.client, backup.ptr, backup.len, &e), CSFLE_E_MISUSE); /* there is a serde */
  assert_int_equal(csfle_client_seed(NULL, backup.ptr, backup.len, NULL), CSFLE_E_MISUSE);
  size_t before = csfle_fake_count(&r.fake, "");
  assert_int_equal(read_seeded(&r.fake, csfle__buf_view(&backup), csfle__buf_view(&record), &out), CSFLE_OK);
  assert_bytes_equal(csfle__buf_view(&out), BYTES("{\"id\":1,\"ssn\":\"078-05-1120\",\"note\":\"plain\"}"));
  assert_int_equal(csfle_fake_count(&r.fake, ""), before);
  TORTURE(read_seeded(&r.fake, csfle__buf_view(&backup), csfle__buf_view(&record), &out));
  csfle_buf_free(&record), csfle_buf_free(&out), csfle_buf_free(&backup);
  rig_close(&r);
}

static csfle_status whole(void)
{
  csfle__seed   *s = NULL;
  csfle__rc_call c;
  csfle_buf      b;
  csfle_error    e = CSFLE_ERROR_INIT;
  csfle_buf_init(&b, 0, 0);
  csfle__rc_call_init(&c, "GET");
  csfle_status rc = write_items(&b, items, sizeof items / sizeof *items, &e);
  if (rc == CSFLE_OK) rc = csfle__seed_new(&s, csfle__buf_view(&b), &e);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&c.path, "/dek-registry/v1/keks/kek1/deks/:.c:b%2Fx%20%25/versions/1?algorithm=AES256_GCM", &e);
  if (rc == CSFLE_OK && csfle__seed_answer(s, &c, &e) != CSFLE__DONE) rc = e.code;
  csfle__rc_call_free(&c);
  csfle__seed_free(s);
  csfle_buf_free(&b);
  return rc;
}

TEST(writing_reading_and_answering_survive_every_failed_allocation) { TORTURE(whole()); } /* csfle__backup_read too */
