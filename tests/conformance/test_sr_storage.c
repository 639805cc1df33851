/*
 * spec/schema-registry.md section 14.14, what one node with an embedded store can show: the records byte for byte,
 * stores that others have written, restarts, and server properties.
 */
#include "tests/support/rest.h"

#include <stdio.h>
#include <string.h>

#define TOPIC "_schemas"
#define S_KEY(subject, version) "{\"keytype\":\"SCHEMA\",\"subject\":\"" subject "\",\"version\":" version ",\"magic\":1}"
#define NONE { "PUT /config", "{'compatibility':'NONE'}", OK("{'compatibility':'NONE'}") }

#define RUN(...)                                                                                  \
  do {                                                                                            \
    const csfle_test_step steps_[] = { __VA_ARGS__ };                                             \
    csfle_test_steps("setting up", steps_, sizeof steps_ / sizeof *steps_);                       \
  } while (0)

/* the newest records of the schemas, newest first: key, value, key, value, NULL */
static void newest_are(const char *const *pairs)
{
  yyjson_doc *dump = csfle_test_rest_dump();
  for (size_t i = 0; pairs[2 * i]; i++) csfle_test_rest_record_is(csfle_test_rest_record(dump, TOPIC, i), pairs[2 * i], pairs[2 * i + 1]);
  yyjson_doc_free(dump);
}
#define NEWEST(...) newest_are((const char *const[]){ __VA_ARGS__, NULL })

GROUP(storage_starts_empty)

TEST(SR_288_the_record_of_a_schema_is_exact)
{
  RUN({ "POST /subjects/s/versions", "{'schema':<A1>}", OK("{'id':1,'version':1,'...':1}") });
  NEWEST(S_KEY("s", "1"), "{'subject':'s','version':1,'id':1,'schemaType':'AVRO','schema':<A1>,'deleted':false}");
}

TEST(SR_289_deleting_marks_and_removing_writes_a_tombstone)
{
  RUN({ "DELETE /subjects/s/versions/1", NULL, OK("1") });
  NEWEST(S_KEY("s", "1"), "{'subject':'s','version':1,'id':1,'schemaType':'AVRO','schema':<A1>,'deleted':true}");
  RUN({ "DELETE /subjects/s/versions/1?permanent=true", NULL, OK("1") });
  NEWEST(S_KEY("s", "1"), NULL);
}

TEST(SR_290_deleting_a_subject_is_one_record)
{
  RUN({ "PUT /config/s", "{'compatibility':'NONE'}", OK("{'compatibility':'NONE'}") },
      { "POST /subjects/s/versions", "{'schema':<A1>}", OK("{'version':1,'...':1}") },
      { "POST /subjects/s/versions", "{'schema':<A2>}", OK("{'version':2,'...':1}") }, { "DELETE /subjects/s", NULL, OK("[1,2]") });
  NEWEST("{\"keytype\":\"DELETE_SUBJECT\",\"subject\":\"s\",\"magic\":0}", "{'subject':'s','version':2}",
         S_KEY("s", "2"), "{'version':2,'schema':<A2>,'deleted':false,'...':1}");
}

TEST(SR_291_config_is_one_record_a_change)
{
  RUN({ "PUT /config", "{'compatibility':'FULL'}", OK("{'compatibility':'FULL'}") });
  NEWEST("{\"keytype\":\"CONFIG\",\"magic\":0}", "{'compatibilityLevel':'FULL'}");
  RUN({ "DELETE /config", NULL, OK("{'compatibilityLevel':'FULL'}") });
  NEWEST("{\"keytype\":\"CONFIG\",\"magic\":0}", NULL);
}

TEST(SR_292_a_mode_is_one_record)
{
  RUN({ "PUT /mode/s", "{'mode':'READONLY'}", OK("{'mode':'READONLY'}") });
  NEWEST("{\"keytype\":\"MODE\",\"subject\":\"s\",\"magic\":0}", "{'subject':'s','mode':'READONLY'}");
}

TEST(SR_293_a_context_comes_before_its_first_schema)
{
  RUN({ "POST /subjects/:.c:s/versions", "{'schema':<A1>}", OK("{'id':1,'version':1,'...':1}") });
  NEWEST(S_KEY(":.c:s", "1"), "{'subject':':.c:s','version':1,'id':1,'schemaType':'AVRO','schema':<A1>,'deleted':false}",
         "{\"keytype\":\"CONTEXT\",\"tenant\":\"default\",\"context\":\".c\",\"magic\":0}", "{'tenant':'default','context':'.c'}");
}

#define CONFIG_KEY(subject) "{\"keytype\":\"CONFIG\",\"subject\":\"" subject "\",\"magic\":0}"
#define MODE_KEY(subject) "{\"keytype\":\"MODE\",\"subject\":\"" subject "\",\"magic\":0}"

/* SR 7.4: what each operation writes, in order */

TEST(SR_7_4_removing_a_subject_removes_versions_downwards_then_mode_and_config)
{
  RUN({ "PUT /config/p", "{'compatibility':'NONE'}", OK("{'compatibility':'NONE'}") },
      { "POST /subjects/p/versions", "{'schema':<A1>}", OK("{'version':1,'...':1}") },
      { "POST /subjects/p/versions", "{'schema':<A2>}", OK("{'version':2,'...':1}") },
      { "PUT /mode/p", "{'mode':'READWRITE'}", OK("{'mode':'READWRITE'}") }, { "DELETE /subjects/p", NULL, OK("[1,2]") },
      { "DELETE /subjects/p?permanent=true", NULL, OK("[1,2]") });
  NEWEST(CONFIG_KEY("p"), NULL, MODE_KEY("p"), NULL, S_KEY("p", "1"), NULL, S_KEY("p", "2"), NULL);
}

TEST(SR_7_4_removing_the_last_version_removes_mode_and_config)
{
  RUN({ "PUT /config/p", "{'compatibility':'NONE'}", OK("{'compatibility':'NONE'}") },
      { "POST /subjects/p/versions", "{'schema':<A1>}", OK("{'version':1,'...':1}") }, { "DELETE /subjects/p/versions/1", NULL, OK("1") },
      { "DELETE /subjects/p/versions/1?permanent=true", NULL, OK("1") });
  NEWEST(CONFIG_KEY("p"), NULL, S_KEY("p", "1"), NULL, S_KEY("p", "1"), "{'deleted':true,'...':1}");
}

TEST(SR_7_4_registering_deleted_content_removes_its_old_version)
{
  RUN({ "POST /subjects/t/versions", "{'schema':<B1>}", OK("{'version':1,'...':1}") }, { "DELETE /subjects/t", NULL, OK("[1]") },
      { "POST /subjects/t/versions", "{'schema':<B1>}", OK("{'version':2,'...':1}") });
  NEWEST(S_KEY("t", "2"), "{'version':2,'schema':<B1>,'deleted':false,'...':1}", S_KEY("t", "1"), NULL);
}

TEST(SR_7_4_import_removes_what_was_deleted)
{
  RUN({ "DELETE /subjects/t", NULL, OK("[2]") }, { "PUT /mode/t", "{'mode':'IMPORT'}", OK("{'mode':'IMPORT'}") });
  NEWEST(MODE_KEY("t"), "{'subject':'t','mode':'IMPORT'}", "{\"keytype\":\"CLEAR_SUBJECT\",\"subject\":\"t\",\"magic\":0}", "{'subject':'t'}",
         S_KEY("t", "2"), NULL);
}

TEST(SR_7_4_what_changes_nothing_writes_nothing)
{
  RUN({ "POST /subjects/:.c:s/versions", "{'schema':<A1>}", OK("{'id':1,'version':1,'...':1}") },
      { "POST /subjects/:.c:s", "{'schema':<A1>}", OK("{'version':1,'...':1}") });
  NEWEST(MODE_KEY("t"), "{'subject':'t','mode':'IMPORT'}");
}

TEST(SR_7_4_deleting_a_context_is_a_tombstone)
{
  RUN({ "DELETE /subjects/:.c:s", NULL, OK("[1]") }, { "DELETE /subjects/:.c:s?permanent=true", NULL, OK("[1]") },
      { "DELETE /contexts/.c", NULL, EMPTY });
  NEWEST("{\"keytype\":\"CONTEXT\",\"tenant\":\"default\",\"context\":\".c\",\"magic\":0}", NULL, S_KEY(":.c:s", "1"), NULL);
}

TEST(SR_7_3_a_contract_is_stored_complete)
{
  RUN({ "POST /subjects/contract/versions",
        "{'schema':<A1>,'metadata':{'tags':{'**.f1':['PII']},'properties':{'owner':'x'},'sensitive':['owner']},'ruleSet':{'domainRules':"
        "[{'name':'r','type':'ENCRYPT','tags':['PII'],'params':{'encrypt.kek.name':'k'},'onFailure':'ERROR,NONE'}]}}",
        OK("{'version':1,'...':1}") });
  NEWEST(S_KEY("contract", "1"),
         "{'subject':'contract','version':1,'id':'$int','schemaType':'AVRO',"
         "'metadata':{'tags':{'**.f1':['PII']},'properties':{'owner':'x'},'sensitive':['owner']},'ruleSet':{'domainRules':"
         "[{'name':'r','kind':'TRANSFORM','mode':'WRITEREAD','type':'ENCRYPT','tags':['PII'],'params':{'encrypt.kek.name':'k'},"
         "'onFailure':'ERROR,NONE','disabled':false}]},'schema':<A1>,'deleted':false}");
}

/* ---- stores that others have written ------------------------------------------------------------------------ */

#define LINE(offset, ts, key, value) \
  "{'topic':'" TOPIC "','offset':" offset ",'ts':" ts ",'key':'" key "','value':" value "}\n"
#define Q "\\\""
#define M(name, value) Q name Q ":" value
#define T(text) Q text Q
#define SCHEMA_VALUE(subject, id) \
  "'{" M("subject", T(subject)) "," M("version", "1") "," M("id", id) "," M("schema", "\\\"\\\\\\\"string\\\\\\\"\\\"") "," M("deleted", "false") "}'"

TEST(a_store_written_by_others_is_loaded)
{
  csfle_test_rest_load(
    LINE("0", "1700000000001", "{" M("keytype", T("NOOP")) "," M("magic", "0") "}", "null")
    /* old forms: a subject that is null, magic 0, no schemaType */
    LINE("1", "1700000000002", "{" M("keytype", T("CONFIG")) "," M("subject", "null") "," M("magic", "0") "}", "'{" M("compatibilityLevel", T("NONE")) "}'")
    LINE("2", "1700000000003", "{" M("keytype", T("SCHEMA")) "," M("subject", T("old")) "," M("version", "1") "," M("magic", "0") "}", SCHEMA_VALUE("old", "7"))
    LINE("3", "1700000000004", "not json", "'{}'")
    LINE("4", "1700000000005", "{" M("keytype", T("CONFIG")) "," M("subject", T("bad")) "," M("magic", "0") "}", "'not json'")
    LINE("5", "1700000000006", "{" M("keytype", T("FOO")) "," M("magic", "0") "}", "'{}'")
    /* magic 2 is of a future version: skipped */
    LINE("6", "1700000000007", "{" M("keytype", T("SCHEMA")) "," M("subject", T("future")) "," M("version", "1") "," M("magic", "2") "}", SCHEMA_VALUE("future", "8"))
    LINE("7", "1700000000008", "{" M("magic", "1") "," M("version", "1") "," M("subject", T("last")) "," M("keytype", T("SCHEMA")) "}", SCHEMA_VALUE("last", "7")),
    NULL);
}

ITEM("SR-294", old_forms_of_records_are_read,
     { "GET /config", NULL, OK("{'compatibilityLevel':'NONE'}") },
     { "GET /subjects/old/versions/1", NULL,
       OK("{'subject':'old','version':1,'id':7,'guid':'095d71cf-1255-6b9d-5e33-0ad575b3df5d','schemaType':'AVRO',"
          "'schema':'\\\"string\\\"','ts':1700000000003,'deleted':false}") })

ITEM("SR-295", what_cannot_be_read_is_skipped,
     { "GET /subjects", NULL, OK("['last','old']") },
     { "GET /subjects/last/versions/1", NULL, OK("{'id':7,'schema':'\\\"string\\\"','ts':1700000000008,'...':1}") },
     { "GET /config/bad", NULL, NO(404, 40408, "Subject 'bad' does not have subject-level compatibility configured") },
     { "POST /subjects/new/versions", "{'schema':<A1>}", OK("{'id':8,'version':1,'...':1}") })

/* ---- restarts ----------------------------------------------------------------------------------------------- */

GROUP(restart_starts_empty)

static void restart_after_kill(void)
{
  csfle_test_registry_kill(csfle_test_rest_registry());
  csfle_test_registry_restart(csfle_test_rest_registry());
}

ITEM("SR-296", everything_is_there_after_a_restart, NONE,
     { "POST /subjects/a/versions", "{'schema':<A1>}", OK("{'id':1,'version':1,'...':1}") },
     { "POST /subjects/a/versions", "{'schema':<A2>}", OK("{'id':2,'version':2,'guid':'$uuid:guid2','...':1}") },
     { "POST /subjects/b/versions", "{'schema':<B1>}", OK("{'id':3,'version':1,'...':1}") },
     { "POST /subjects/:.c:a/versions", "{'schema':<A4>}", OK("{'id':1,'version':1,'...':1}") },
     { "DELETE /subjects/a/versions/1", NULL, OK("1") },
     { "DELETE /subjects/b", NULL, OK("[1]") },
     { "PUT /config/a", "{'compatibility':'FULL'}", OK("{'compatibility':'FULL'}") },
     { "PUT /mode/b", "{'mode':'READONLY'}", OK("{'mode':'READONLY'}") },
     { "GET /subjects/a/versions/1?deleted=true", NULL, OK("{'ts':'$ts:ts1','...':1}") },
     { "GET /subjects/b/versions/1?deleted=true", NULL, OK("{'ts':'$ts:tsb','...':1}") },
     { "GET /subjects/a/versions/2", NULL, OK("{'ts':'$ts:ts2','...':1}"), .then = restart_after_kill },
     { "GET /subjects/a/versions?deletedAsNegative=true", NULL, OK("[-1,2]") },
     { "GET /subjects/a/versions/1?deleted=true", NULL,
       OK("{'subject':'a','version':1,'id':1,'guid':<GUID>,'schemaType':'AVRO','schema':<A1>,'ts':'$is:ts1','deleted':true}") },
     { "GET /subjects/a/versions/2", NULL,
       OK("{'subject':'a','version':2,'id':2,'guid':'$is:guid2','schemaType':'AVRO','schema':<A2>,'ts':'$is:ts2','deleted':false}") },
     { "GET /subjects/b/versions/1?deleted=true", NULL, OK("{'id':3,'ts':'$is:tsb','deleted':true,'...':1}") },
     { "GET /subjects?deletedOnly=true", NULL, OK("['b']") },
     { "GET /contexts", NULL, OK("['.','.c']") },
     { "GET /config", NULL, OK("{'compatibilityLevel':'NONE'}") },
     { "GET /config/a", NULL, OK("{'compatibilityLevel':'FULL'}") },
     { "GET /mode/b", NULL, OK("{'mode':'READONLY'}") },
     { "POST /subjects/new/versions", "{'schema':<A3>}", OK("{'id':4,'version':1,'...':1}") })

/* ---- properties --------------------------------------------------------------------------------------------- */

GROUP(modes_are_fixed, "-X", "mode.mutability=false")

ITEM("SR-305", modes_can_be_fixed,
     { "PUT /mode", "{'mode':'READONLY'}", NO(422, 42205, "Mode changes are not allowed") },
     { "PUT /mode/s", "{'mode':'READONLY'}", NO(422, 42205, "Mode changes are not allowed") },
     { "GET /mode", NULL, OK("{'mode':'READWRITE'}") })

GROUP(empty_subjects_are_refused, "-X", "schema.reject.empty.subject=true")

ITEM("SR-306", empty_subjects_can_be_refused,
     { "POST /subjects/*/versions", "{'schema':<A1>}", NO(422, 42208, "The specified subject '*' is not a valid.") },
     { "POST /subjects/:.c:/versions", "{'schema':<A1>}", NO(422, 42208, "The specified subject ':.c:' is not a valid.") },
     { "POST /subjects/s/versions", "{'schema':<A1>}", OK("{'version':1,'...':1}") })

THE_END
