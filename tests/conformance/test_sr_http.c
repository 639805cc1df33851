/* spec/schema-registry.md section 14.1: HTTP basics. */
#include "tests/support/rest.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REGISTERED(id) \
  OK("{'id':" id ",'version':1,'guid':<GUID>,'schemaType':'AVRO','schema':<A1>}")

GROUP(http_starts_empty)

ITEM("SR-1", the_root_is_an_empty_object, { "GET /", NULL, OK("{}") })

ITEM("SR-2", the_root_takes_any_object, { "POST /", "{'a':'b'}", OK("{}") })

ITEM("SR-3", the_newest_media_type_is_the_default, { "GET /config", NULL, OK("{'compatibilityLevel':'BACKWARD'}") })

ITEM("SR-4", plain_json_is_sent_when_asked_for,
     { "GET /config", NULL, OK("{'compatibilityLevel':'BACKWARD'}"), .header = "Accept: application/json",
       .type = "application/json" })

ITEM("SR-5", the_type_without_version_is_sent_when_asked_for,
     { "GET /config", NULL, OK("{'compatibilityLevel':'BACKWARD'}"),
       .header = "Accept: application/vnd.schemaregistry+json", .type = "application/vnd.schemaregistry+json" })

ITEM("SR-6", among_several_the_newest_is_sent,
     { "GET /config", NULL, OK("{'compatibilityLevel':'BACKWARD'}"),
       .header = "Accept: application/vnd.schemaregistry.v1+json, application/json" },
     { "GET /config", NULL, OK("{'compatibilityLevel':'BACKWARD'}"),
       .header = "Accept: application/json, application/vnd.schemaregistry.v1+json" })

ITEM("SR-7", other_types_are_not_acceptable,
     { "GET /config", NULL, NO(406, 406, "HTTP 406 Not Acceptable"), .header = "Accept: text/html" })

ITEM("SR-8", errors_have_exactly_two_members,
     { "GET /subjects/none/versions/1", NULL, NO(404, 40401, "Subject 'none' not found.") })

ITEM("SR-9", plain_json_is_accepted,
     { "POST /subjects/h1/versions", "{'schema':<A1>}", REGISTERED("'$int:id'"), .header = "Content-Type: application/json" })

ITEM("SR-10", octet_stream_is_taken_as_json,
     { "POST /subjects/h1/versions", "{'schema':<A1>}", REGISTERED("'$is:id'"),
       .header = "Content-Type: application/octet-stream" })

ITEM("SR-11", other_request_types_are_refused,
     { "POST /subjects/h1/versions", "{'schema':<A1>}", NO(415, 415, "HTTP 415 Unsupported Media Type"),
       .header = "Content-Type: text/plain" })

ITEM("SR-12", a_body_that_is_no_json_is_refused, { "POST /subjects/h1/versions", "{", NO(400, 400, NULL) })

ITEM("SR-13", a_body_that_is_an_array_is_refused, { "POST /subjects/h1/versions", "[]", NO(400, 400, NULL) })

ITEM("SR-14", a_missing_body_is_refused, { "POST /subjects/h1/versions", NULL, NO(422, 422, "*must not be null") },
     { "POST /subjects/h1/versions", "", NO(422, 422, "*must not be null") })

ITEM("SR-15", unknown_members_are_ignored, { "POST /subjects/h1/versions", "{'schema':<A1>,'foo':1}", REGISTERED("'$is:id'") })

ITEM("SR-16", unknown_paths_are_not_found, { "GET /nosuchpath", NULL, NO(404, 404, "HTTP 404 Not Found") })

ITEM("SR-17", an_id_that_is_no_number_is_not_found, { "GET /schemas/ids/abc", NULL, NO(404, 404, "HTTP 404 Not Found") })

ITEM("SR-18", an_offset_that_is_no_number_is_not_found,
     { "GET /subjects?offset=abc", NULL, NO(404, 404, "HTTP 404 Not Found") })

ITEM("SR-19", types_cannot_be_deleted, { "DELETE /schemas/types", NULL, NO(405, 405, "HTTP 405 Method Not Allowed") })

ITEM("SR-20", versions_cannot_be_put, { "PUT /subjects/h1/versions/1", "{}", NO(405, 405, "HTTP 405 Method Not Allowed") })

static void request_id_is_sent_back(const csfle_test_reply *p)
{
  char value[64];
  assert_string_equal(csfle_test_reply_header(p, "X-Request-ID", value, sizeof value), "abc-1");
}

ITEM("SR-21", a_request_id_is_sent_back,
     { "GET /config", NULL, OK("{'compatibilityLevel':'BACKWARD'}"), .header = "X-Request-ID: abc-1",
       .check = request_id_is_sent_back })

/* every step of every suite looks for it; here it must also differ between requests */
static char first_id[64];
static void request_id_is_kept(const csfle_test_reply *p)
{
  csfle_test_reply_header(p, "X-Request-ID", first_id, sizeof first_id);
  assert_int_equal(strlen(first_id), 36);
}
static void request_id_differs(const csfle_test_reply *p)
{
  char value[64];
  assert_string_not_equal(csfle_test_reply_header(p, "X-Request-ID", value, sizeof value), first_id);
  assert_int_equal(strlen(value), 36);
}

ITEM("SR-22", a_request_without_id_gets_one,
     { "GET /config", NULL, OK("{'compatibilityLevel':'BACKWARD'}"), .check = request_id_is_kept },
     { "GET /config", NULL, OK("{'compatibilityLevel':'BACKWARD'}"), .check = request_id_differs })

ITEM("SR-23", only_true_is_true,
     { "POST /subjects/h2/versions", "{'schema':<A1>}", REGISTERED("'$is:id'") },
     { "DELETE /subjects/h2", NULL, OK("[1]") },
     { "GET /subjects?deleted=yes", NULL, OK("['h1']") },
     { "GET /subjects?deleted=TRUE", NULL, OK("['h1','h2']") })

/* enough subjects that compressing pays; the compressed answer is opened by gzip itself */
TEST(SR_24_answers_are_compressed_when_asked_for)
{
  const char *gzip[] = { "Accept-Encoding: gzip", NULL };
  char        path[320], text[8192], encoding[32];
  for (int i = 0; i < 200; i++) {
    snprintf(path, sizeof path, "/subjects/h1-subject-%d/versions", i);
    csfle_test_reply p = csfle_test_http(csfle_test_rest_registry(), "POST", path, "{\"schema\":\"\\\"string\\\"\"}");
    assert_int_equal(p.status, 200);
    csfle_test_reply_free(&p);
  }
  csfle_test_reply plain = csfle_test_http(csfle_test_rest_registry(), "GET", "/subjects", NULL);
  csfle_test_reply p = csfle_test_http_headers(csfle_test_rest_registry(), "GET", "/subjects", NULL, gzip);
  assert_int_equal(p.status, 200);
  assert_string_equal(csfle_test_reply_header(&plain, "Content-Encoding", encoding, sizeof encoding), "");
  assert_string_equal(csfle_test_reply_header(&p, "Content-Encoding", encoding, sizeof encoding), "gzip");
  assert_true(p.len < plain.len);
  snprintf(path, sizeof path, "%s/answer.gz", csfle_test_rest_registry()->dir);
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(p.body, 1, p.len, f), p.len);
  fclose(f);
  char command[400];
  snprintf(command, sizeof command, "gzip -dc %s", path);
  f = popen(command, "r");
  assert_non_null(f);
  size_t n = fread(text, 1, sizeof text - 1, f);
  text[n] = 0;
  assert_int_equal(pclose(f), 0);
  unlink(path);
  assert_string_equal(text, plain.body);
  csfle_test_reply_free(&p);
  csfle_test_reply_free(&plain);
}

GROUP(an_empty_registry_again)

ITEM("SR-9", a_subject_is_there_again, { "POST /subjects/h1/versions", "{'schema':<A1>}", REGISTERED("'$int:id'") })

ITEM("SR-25", a_trailing_slash_is_accepted, { "GET /subjects/", NULL, OK("['h1']") })

/* 1.1: parameters of a media type are tolerated; 4.1: HEAD is GET without the body */
ITEM("SR 1.1", parameters_of_media_types_are_tolerated,
     { "POST /subjects/h1/versions", "{'schema':<A1>}", REGISTERED("'$is:id'"),
       .header = "Content-Type: application/vnd.schemaregistry.v1+json;charset=utf-8" },
     { "GET /config", NULL, OK("{'compatibilityLevel':'BACKWARD'}"),
       .header = "Accept: application/json;q=0.5, text/html", .type = "application/json" },
     { "GET /config", NULL, OK("{'compatibilityLevel':'BACKWARD'}"), .header = "Accept: application/*" },
     { "HEAD /config", NULL, OK(NULL) })

/* ---- 14.13, what a node without associations can answer ------------------------------------------------------ */

ITEM("SR-271", the_cluster_is_named,
     { "GET /v1/metadata/id", NULL,
       OK("{'id':'','scope':{'path':[],'clusters':{'kafka-cluster':'$text','schema-registry-cluster':'schema-registry'}}}") })

ITEM("SR-272", the_version_is_told, { "GET /v1/metadata/version", NULL, OK("{'version':'8.1.1','commitId':'$starts:csfle-registry '}") })

ITEM("SR-273", a_deployment_has_no_attributes, { "GET /v1/metadata/deployment", NULL, OK("{'attributes':[]}") })

ITEM("SR-274", a_subject_without_associations_has_none,
     { "GET /associations/subjects/nosuch", NULL, OK("[]") },
     { "GET /associations/resources/-/nosuch?resourceType=topic&associationType=value", NULL, OK("[]") })

ITEM("SR-284", an_unknown_association_is_not_deleted,
     { "DELETE /associations/resources/nosuch", NULL, NO(404, 40410, "Association for 'nosuch' not found.") })

ITEM("SR 4.13", making_an_association_is_refused_loudly,
     { "POST /associations", "{'resourceName':'t1','resourceNamespace':'default','resourceId':'id1','associations':[{'subject':'h1','associationType':'key','lifecycle':'WEAK'}]}",
       NO(501, 501, "*not supported yet by this server") })

GROUP(another_cluster, "-X", "schema.registry.group.id=another")

ITEM("SR-271", the_cluster_is_configured,
     { "GET /v1/metadata/id", NULL, 
       OK("{'id':'','scope':{'path':[],'clusters':{'kafka-cluster':'$text','schema-registry-cluster':'another'}}}") })

THE_END
