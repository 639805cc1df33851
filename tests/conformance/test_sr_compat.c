/*
 * spec/schema-registry.md 4.6, 5.10 and the compatibility parts of 14.2 and 14.9; every history of
 * vectors/compat-avro.json through the registry, its verdict and its lines; registrations that race.
 */
#include "tests/support/rest.h"

#include <pthread.h>
#include <stdio.h>

#define CHECK(where) "POST /compatibility/subjects/" where
#define REGISTER(subject) "POST /subjects/" subject "/versions"
#define FORCED(subject) REGISTER(subject) "?force=true"
#define PUT(path, config) { "PUT /config" path, config, 200, 0, config }
#define REFUSED NO(409, 40901, "^Schema being registered is incompatible with an earlier schema for subject \"")
#define DONE OK("{'id':'$int','...':1}")

/* ---- 14.2, 14.9 and 5.10 -------------------------------------------------------------------------------------------- */

GROUP(levels_start_empty)

ITEM("SR-54", every_schema_follows_under_none, PUT("/r13", "{'compatibility':'NONE'}"),
     { REGISTER("r13"), "{'schema':<A1>}", DONE }, { REGISTER("r13"), "{'schema':<B1>}", DONE }, { REGISTER("r13"), "{'schema':<A3>}", DONE },
     { "GET /subjects/r13/versions", NULL, OK("[1,2,3]") })

ITEM("SR-173", versions_of_another_group_do_not_count, PUT("", "{'compatibilityGroup':'app.major'}"),
     { REGISTER("cg1"), "{'schema':<A1>,'metadata':{'properties':{'app.major':'1'}}}", DONE },
     { REGISTER("cg1"), "{'schema':<A3>,'metadata':{'properties':{'app.major':'1'}}}", REFUSED },
     { REGISTER("cg1"), "{'schema':<A3>,'metadata':{'properties':{'app.major':'2'}}}", OK("{'version':2,'...':1}") },
     { CHECK("cg1/versions"), "{'schema':<B1>,'metadata':{'properties':{'app.major':'3'}}}", OK("{'is_compatible':true}") },
     { CHECK("cg1/versions/1"), "{'schema':<A3>,'metadata':{'properties':{'app.major':'2'}}}", OK("{'is_compatible':true}") },
     { CHECK("cg1/versions/1"), "{'schema':<A3>,'metadata':{'properties':{'app.major':'1'}}}", OK("{'is_compatible':false}") },
     { "PUT /config", "{'compatibilityGroup':null}", OK("{}") })

ITEM("SR-175", a_reserved_field_is_not_used, PUT("/vf", "{'validateFields':true}"),
     { REGISTER("vf"), "{'schema':<A1>,'metadata':{'properties':{'confluent:reserved':'f1'}}}",
       NO(409, 40901, "Schema being registered is incompatible with an earlier schema for subject \"vf\", details: [The new schema has field that "
                      "conflicts with the reserved field f1., {validateFields: 'true', compatibility: 'BACKWARD'}]") },
     { CHECK("vf/versions?verbose=true"), "{'schema':<A1>,'metadata':{'properties':{'confluent:reserved':'f1'}}}",
       OK("{'is_compatible':false,'messages':['$has:conflicts with the reserved field f1','$has:validateFields']}") },
     { "GET /subjects", NULL, OK("['$lacks','vf']") })

ITEM("SR-176", a_reserved_field_stays_reserved,
     { REGISTER("vf"), "{'schema':<A1>,'metadata':{'properties':{'confluent:reserved':'zz'}}}", DONE },
     { REGISTER("vf"), "{'schema':<A2>,'metadata':{'properties':{'a':'b'}}}", NO(409, 40901, "*reserved field zz removed from its metadata") },
     { REGISTER("vf"), "{'schema':<A2>,'metadata':{'properties':{'confluent:reserved':'zz,yy'}}}", OK("{'version':2,'...':1}") },
     { FORCED("vf"), "{'schema':<A1>,'metadata':{'properties':{'confluent:reserved':'f1'}}}", OK("{'version':3,'...':1}") },
     { "PUT /config/vf", "{'compatibility':'NONE'}", OK("{'validateFields':true,'compatibility':'NONE'}") },
     { REGISTER("vf"), "{'schema':<B1>,'metadata':{'properties':{'a':'b'}}}", NO(409, 40901, "*reserved field f1 removed from its metadata") })

ITEM("SR 5.10", the_level_of_the_subject_counts_then_the_global_one, PUT("", "{'compatibility':'FORWARD'}"),
     { REGISTER("lv"), "{'schema':<A1>}", DONE }, { REGISTER("lv"), "{'schema':<A3>}", OK("{'version':2,'...':1}") },
     PUT("/lv", "{'compatibility':'BACKWARD_TRANSITIVE'}"), /* new against version 2 and version 1 */
     { REGISTER("lv"), "{'schema':<A4>}", OK("{'version':3,'...':1}") },
     { "DELETE /config/lv", NULL, OK("{'compatibilityLevel':'BACKWARD_TRANSITIVE'}") },
     { REGISTER("lv"), "{'schema':<B1>}", REFUSED }, { "DELETE /config", NULL, OK("{'compatibilityLevel':'FORWARD'}") })

ITEM("SR 5.10", deleted_versions_do_not_count, { REGISTER("dl"), "{'schema':<B1>}", DONE },
     { FORCED("dl"), "{'schema':<A1>}", DONE }, PUT("/dl", "{'compatibility':'FULL_TRANSITIVE'}"),
     { REGISTER("dl"), "{'schema':<A2>}", REFUSED }, { "DELETE /subjects/dl/versions/1", NULL, OK("1") },
     { REGISTER("dl"), "{'schema':<A2>}", OK("{'version':3,'...':1}") }, { CHECK("dl/versions/1"), "{'schema':<A2>}", NO(404, 40402, "Version 1 not found.") })

ITEM("SR 4.6", a_check_needs_a_schema_of_a_known_type, { CHECK("dl/versions"), "{}", NO(422, 42201, "Empty schema") },
     { CHECK("dl/versions?verbose=true"), "{'schema':' '}", OK("{'is_compatible':false,'messages':['Empty schema']}") },
     { CHECK("dl/versions"), "{'schema':'{}','schemaType':'JSON'}", NO(422, 42201, "*AVRO") },
     { CHECK("dl/versions"), "{'schema':<W1>}", NO(422, 42201, "^Invalid schema of type AVRO") },
     { CHECK("dl/versions"), "{'schema':<W1>,'references':[{'name':'User','subject':'gone','version':1}]}",
       NO(422, 42201, "No schema reference found for subject \"gone\" and version 1") })

ITEM("SR 4.6", referenced_schemas_are_compared, { REGISTER("user"), "{'schema':<A1>}", DONE }, { FORCED("user"), "{'schema':<A3>}", DONE },
     { REGISTER("wrap"), "{'schema':<W1>,'references':[{'name':'User','subject':'user','version':1}]}", DONE },
     { CHECK("wrap/versions/latest"), "{'schema':<W1>,'references':[{'name':'User','subject':'user','version':1}]}", OK("{'is_compatible':true}") },
     { REGISTER("wrap"), "{'schema':<W1>,'references':[{'name':'User','subject':'user','version':2}]}", REFUSED },
     { "DELETE /subjects/user", NULL, NO(422, 42206, NULL) })

ITEM("SR 4.6", strict_parsing_of_new_schemas_counts_in_checks,
     { CHECK("dl/versions"), "{'schema':'{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"User\\\",\\\"fields\\\":[{\\\"name\\\":\\\"f1\\\",\\\"type\\\":\\\"string\\\",\\\"default\\\":1}]}'}",
       NO(422, 42201, NULL) },
     { "PUT /config/dl", "{'validateNewSchemas':false}", OK("{'validateNewSchemas':false,'compatibility':'FULL_TRANSITIVE'}") },
     { CHECK("dl/versions"), "{'schema':'{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"User\\\",\\\"fields\\\":[{\\\"name\\\":\\\"f1\\\",\\\"type\\\":\\\"string\\\",\\\"default\\\":1}]}'}",
       OK("{'is_compatible':true}") })

ITEM("SR 3.4", the_alias_of_a_subject_is_compared, PUT("/nick", "{'alias':'r9'}"), { REGISTER("r9"), "{'schema':<A1>}", DONE },
     { REGISTER("nick"), "{'schema':<A3>}", NO(409, 40901, "*earlier schema for subject \"r9\"") },
     { CHECK("nick/versions"), "{'schema':<A3>}", OK("{'is_compatible':false}") })

ITEM("SR 5.10", the_policy_that_is_not_there_is_refused_by_name, PUT("/r9", "{'compatibilityPolicy':'LOGICAL'}"),
     { CHECK("r9/versions"), "{'schema':<A2>}", NO(501, 501, "compatibilityPolicy LOGICAL is not supported yet by this server") },
     { REGISTER("r9"), "{'schema':<A2>}", NO(501, 501, "compatibilityPolicy LOGICAL is not supported yet by this server") },
     { REGISTER("r9"), "{'schema':<A1>}", OK("{'version':1,'...':1}") })

/* ---- the vectors ------------------------------------------------------------------------------------------------------- */

GROUP(vectors_start_empty)

static yyjson_doc *call(const char *method, const char *path, const csfle_buf *body, long *status)
{
  csfle_test_reply p = csfle_test_http(csfle_test_rest_registry(), method, path, body ? (const char *)body->ptr : NULL);
  yyjson_doc      *doc = yyjson_read(p.body, p.len, 0);
  *status = p.status;
  if (!doc) fail_msg("%s %s: %ld %s", method, path, p.status, p.body);
  csfle_test_reply_free(&p);
  return doc;
}

static void put_text(csfle_buf *b, const char *before, csfle__bytes text)
{
  assert_int_equal(csfle__buf_puts(b, before, NULL), CSFLE_OK);
  assert_int_equal(csfle__json_put_string(b, text, false, NULL), CSFLE_OK);
}

static void request(csfle_buf *b, csfle__bytes schema, yyjson_val *references, const char *subject)
{
  size_t      i, n;
  yyjson_val *r;
  csfle__buf_clear(b);
  put_text(b, "{\"schema\":", schema);
  if (yyjson_arr_size(references)) assert_int_equal(csfle__buf_puts(b, ",\"references\":[", NULL), CSFLE_OK);
  yyjson_arr_foreach(references, i, n, r)
  {
    int64_t version = 0;
    assert_true(csfle__json_i64(csfle__json_member(r, "version"), &version));
    put_text(b, i ? ",{\"name\":" : "{\"name\":", csfle__json_member_text(r, "name"));
    assert_int_equal(csfle__buf_printf(b, NULL, ",\"subject\":\"%s-%s\",\"version\":%d}%s", subject, csfle_test_text(r, "subject"), (int)version, i + 1 == n ? "]" : ""), CSFLE_OK);
  }
  assert_int_equal(csfle__buf_putc(b, '}', NULL), CSFLE_OK);
  assert_non_null(csfle__buf_cstr(b));
}

/* the schemas a list of references names, under subjects of their own; versions come in order */
static void register_references(csfle_buf *b, yyjson_val *references, const char *subject)
{
  size_t      i, n;
  yyjson_val *r;
  yyjson_arr_foreach(references, i, n, r)
  {
    char path[200];
    long status;
    request(b, csfle__json_member_text(r, "schema"), NULL, subject);
    snprintf(path, sizeof path, "/subjects/%s-%s/versions?force=true", subject, csfle_test_text(r, "subject"));
    yyjson_doc_free(call("POST", path, b, &status));
    assert_int_equal(status, 200);
  }
}

static int one_case(yyjson_val *c, int number, int *lines)
{
  char        path[200], subject[32];
  csfle_buf   b;
  long        status;
  size_t      i, n;
  yyjson_val *text, *want = csfle__json_member(c, "messages");
  bool        compatible = yyjson_get_bool(csfle__json_member(c, "compatible")), wrong = false;

  if (csfle__json_member(c, "previous_types")) return 0; /* an older schema of a type this server does not take */
  csfle_buf_init(&b, 0, 0);
  snprintf(subject, sizeof subject, "v%d", number);
  yyjson_arr_foreach(csfle__json_member(c, "previous"), i, n, text)
  {
    yyjson_val *references = yyjson_arr_get(csfle__json_member(c, "previous_references"), i);
    register_references(&b, references, subject);
    request(&b, csfle__json_text(text), references, subject);
    snprintf(path, sizeof path, "/subjects/%s/versions?force=true", subject);
    yyjson_doc_free(call("POST", path, &b, &status));
    assert_int_equal(status, 200);
  }
  csfle__buf_clear(&b);
  assert_int_equal(csfle__buf_printf(&b, NULL, "{\"compatibility\":\"%s\"}", csfle_test_text(c, "level")), CSFLE_OK);
  assert_non_null(csfle__buf_cstr(&b));
  snprintf(path, sizeof path, "/config/%s", subject);
  yyjson_doc_free(call("PUT", path, &b, &status));
  register_references(&b, csfle__json_member(c, "references"), subject);
  request(&b, csfle__json_member_text(c, "next"), csfle__json_member(c, "references"), subject);

  snprintf(path, sizeof path, "/compatibility/subjects/%s/versions?verbose=true", subject);
  yyjson_doc *answer = call("POST", path, &b, &status);
  yyjson_val *root = yyjson_doc_get_root(answer), *got = yyjson_obj_get(root, "messages");
  wrong = status != 200 || yyjson_get_bool(yyjson_obj_get(root, "is_compatible")) != compatible;
  wrong = wrong || yyjson_arr_size(got) != yyjson_arr_size(want) + !compatible;
  yyjson_arr_foreach(want, i, n, text) wrong = wrong || !csfle__eq(csfle__json_text(text), csfle__json_text(yyjson_arr_get(got, i)));
  *lines += (int)yyjson_arr_size(want);
  csfle_buf all; /* the text of the refusal is made of the same lines */
  csfle_buf_init(&all, 0, 0);
  assert_int_equal(csfle__buf_printf(&all, NULL, "Schema being registered is incompatible with an earlier schema for subject \"%s\", details: [", subject), CSFLE_OK);
  yyjson_arr_foreach(got, i, n, text)
  {
    if (i) assert_int_equal(csfle__buf_puts(&all, ", ", NULL), CSFLE_OK);
    assert_int_equal(csfle__buf_put(&all, yyjson_get_str(text), yyjson_get_len(text), NULL), CSFLE_OK);
  }
  assert_int_equal(csfle__buf_puts(&all, "]", NULL), CSFLE_OK);
  yyjson_doc_free(answer);

  snprintf(path, sizeof path, "/subjects/%s/versions", subject);
  answer = call("POST", path, &b, &status);
  root = yyjson_doc_get_root(answer);
  bool again = false; /* a history may hold the next schema already: it is answered, not compared */
  yyjson_arr_foreach(csfle__json_member(c, "previous"), i, n, text) again = again || csfle__eq(csfle__json_text(text), csfle__json_member_text(c, "next"));
  if (again && !csfle__json_member(c, "references")) compatible = true;
  wrong = wrong || status != (compatible ? 200 : 409) || (!compatible && yyjson_get_int(yyjson_obj_get(root, "error_code")) != 40901);
  if (!compatible) wrong = wrong || !csfle__eq(csfle__json_member_text(root, "message"), csfle__buf_view(&all));
  if (wrong) printf("# %s: %ld %s\n", csfle_test_text(c, "name"), status, csfle_test_text(root, "message"));
  yyjson_doc_free(answer);
  csfle_buf_free(&all);
  csfle_buf_free(&b);
  return wrong ? -1 : 1;
}

TEST(histories_get_the_verdicts_and_lines_of_the_java_registry)
{
  yyjson_doc *doc = csfle_test_vectors("compat-avro.json");
  size_t      i, n;
  yyjson_val *c;
  int         ran = 0, wrong = 0, lines = 0;
  yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, c)
  {
    int r = one_case(c, (int)i, &lines);
    ran += r != 0, wrong += r < 0;
  }
  printf("# compat-avro.json over HTTP: %d of %zu cases (one needs a type this server does not take), %d lines\n", ran, n, lines);
  assert_int_equal(ran, 120);
  assert_int_equal(wrong, 0);
  yyjson_doc_free(doc);
}

/* ---- races ------------------------------------------------------------------------------------------------------------- */

enum { WRITERS = 6, EACH = 15 };

/* a field of its own without default, so that under BACKWARD nobody's schema may follow another's */
static void *registers(void *opaque)
{
  int me = *(int *)opaque, done = 0;
  for (int i = 0; i < EACH; i++) {
    char body[300];
    snprintf(body, sizeof body, "{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"User\\\",\\\"fields\\\":[{\\\"name\\\":\\\"x%d_%d\\\",\\\"type\\\":\\\"int\\\"}]}\"}", me, i);
    csfle_test_reply p = csfle_test_http(csfle_test_rest_registry(), "POST", "/subjects/race/versions", body);
    done += p.status == 200;
    if (p.status != 200 && p.status != 409) done += 1000;
    csfle_test_reply_free(&p);
  }
  *(int *)opaque = done;
  return NULL;
}

TEST(of_incompatible_schemas_registered_at_once_one_gets_in)
{
  pthread_t t[WRITERS];
  int       n[WRITERS], done = 0;
  for (int i = 0; i < WRITERS; i++) n[i] = i;
  for (int i = 0; i < WRITERS; i++) assert_int_equal(pthread_create(&t[i], NULL, registers, &n[i]), 0);
  for (int i = 0; i < WRITERS; i++) pthread_join(t[i], NULL), done += n[i];
  assert_int_equal(done, 1);
  csfle_test_reply p = csfle_test_http(csfle_test_rest_registry(), "GET", "/subjects/race/versions", NULL);
  assert_string_equal(p.body, "[1]");
  csfle_test_reply_free(&p);
}

/* each adds a field with default to the one before: some lose races, none gets in that does not fit */
static void *evolves(void *opaque)
{
  int me = *(int *)opaque, bad = 0;
  for (int i = 0; i < EACH; i++) {
    char body[400];
    snprintf(body, sizeof body, "{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"User\\\",\\\"fields\\\":[{\\\"name\\\":\\\"y%d_%d\\\",\\\"type\\\":\\\"int\\\",\\\"default\\\":0}]}\"}", me, i);
    csfle_test_reply p = csfle_test_http(csfle_test_rest_registry(), "POST", "/subjects/grow/versions", body);
    bad += p.status != 200;
    csfle_test_reply_free(&p);
  }
  *(int *)opaque = bad;
  return NULL;
}

TEST(compatible_schemas_registered_at_once_all_get_in)
{
  pthread_t t[WRITERS];
  int       n[WRITERS], bad = 0;
  char      list[2000] = "[1";
  csfle_test_reply p = csfle_test_http(csfle_test_rest_registry(), "PUT", "/config/grow", "{\"compatibility\":\"FULL_TRANSITIVE\"}");
  csfle_test_reply_free(&p);
  for (int i = 0; i < WRITERS; i++) n[i] = i;
  for (int i = 0; i < WRITERS; i++) assert_int_equal(pthread_create(&t[i], NULL, evolves, &n[i]), 0);
  for (int i = 0; i < WRITERS; i++) pthread_join(t[i], NULL), bad += n[i];
  assert_int_equal(bad, 0);
  for (int i = 2; i <= WRITERS * EACH; i++) snprintf(list + strlen(list), sizeof list - strlen(list), ",%d", i);
  strcat(list, "]");
  p = csfle_test_http(csfle_test_rest_registry(), "GET", "/subjects/grow/versions", NULL);
  assert_string_equal(p.body, list);
  csfle_test_reply_free(&p);
}

/* ---- comparisons that take long ------------------------------------------------------------------------------------------ */

static csfle_buf     long_body;
static volatile bool long_done;
static const char   *long_path;
static long          long_status;

static void wide_union(csfle_buf *b, char letter)
{
  csfle__buf_clear(b);
  assert_int_equal(csfle__buf_puts(b, "{\"schema\":\"[", NULL), CSFLE_OK);
  for (int i = 0; i < 300; i++) {
    assert_int_equal(csfle__buf_printf(b, NULL, "%s{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"%c%d\\\",\\\"fields\\\":[", i ? "," : "", letter, i), CSFLE_OK);
    for (int f = 0; f < 60; f++)
      assert_int_equal(csfle__buf_printf(b, NULL, "%s{\\\"name\\\":\\\"f%d\\\",\\\"type\\\":\\\"int\\\"}", f ? "," : "", f), CSFLE_OK);
    assert_int_equal(csfle__buf_puts(b, "]}", NULL), CSFLE_OK);
  }
  assert_int_equal(csfle__buf_puts(b, "]\"}", NULL), CSFLE_OK);
  assert_non_null(csfle__buf_cstr(b));
}

static void *compares(void *opaque)
{
  csfle_test_reply p = csfle_test_http(csfle_test_rest_registry(), "POST", long_path, (const char *)long_body.ptr);
  long_status = p.status;
  csfle_test_reply_free(&p);
  long_done = true;
  return opaque;
}

static int reads_meanwhile(const char *path)
{
  pthread_t t;
  int       reads = 0;
  long_path = path, long_done = false;
  assert_int_equal(pthread_create(&t, NULL, compares, NULL), 0);
  while (!long_done) {
    csfle_test_reply p = csfle_test_http(csfle_test_rest_registry(), "GET", "/subjects/grow/versions/1", NULL);
    assert_int_equal(p.status, 200);
    csfle_test_reply_free(&p);
    reads++;
  }
  pthread_join(t, NULL);
  return reads;
}

TEST(comparing_for_long_stops_nobody)
{
  csfle_buf_init(&long_body, 0, 0);
  wide_union(&long_body, 'A');
  csfle_test_reply p = csfle_test_http(csfle_test_rest_registry(), "POST", "/subjects/wide/versions", (const char *)long_body.ptr);
  assert_int_equal(p.status, 200);
  csfle_test_reply_free(&p);
  wide_union(&long_body, 'B'); /* 90,000 pairs of records, 5.4 million pairs of fields */
  int checks = reads_meanwhile("/compatibility/subjects/wide/versions/latest");
  assert_int_equal(long_status, 200);
  int registrations = reads_meanwhile("/subjects/wide/versions");
  assert_int_equal(long_status, 409);
  printf("# %d and %d reads while 600 records were compared\n", checks, registrations);
  assert_true(checks > 3 && registrations > 3);
  csfle_buf_free(&long_body);
}

THE_END
