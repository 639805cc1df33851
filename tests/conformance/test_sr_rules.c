/* Sentences of spec/schema-registry.md sections 1 to 6 that no item of its checklist asks about. */
#include "tests/support/rest.h"

#define NONE { "PUT /config", "{'compatibility':'NONE'}", OK("{'compatibility':'NONE'}") }
#define POST(subject, members) "POST /subjects/" subject "/versions", "{" members "}"
#define NO_SUBJECT(name) NO(404, 40401, "Subject '" name "' not found.")

/* ---- sections 1 and 2 --------------------------------------------------------------------------------------- */

GROUP(http_rules_start_empty)

ITEM("SR 1.3", wrong_shapes_are_bad_requests, NONE,
     { POST("q", "'schema':{}"), NO(400, 400, NULL) },
     { POST("q", "'schema':<A1>,'references':{}"), NO(400, 400, NULL) },
     { POST("q", "'schema':<A1>,'metadata':[]"), NO(400, 400, NULL) },
     { POST("q", "'schema':<A1>,'ruleSet':{'domainRules':[{'name':'a','type':'X','tags':'PII'}]}"), NO(400, 400, NULL) },
     { POST("q", "'schema':<A1>,'ruleSet':{'enableAt':'NOWHERE'}"), NO(400, 400, NULL) },
     { POST("q", "'schema':<A1>,'version':'x'"), NO(400, 400, NULL) },
     { "PUT /config", "[]", NO(400, 400, NULL) },
     { "PUT /mode", "'x'", NO(400, 400, NULL) },
     { "PUT /config", NULL, NO(422, 422, "*must not be null") },
     { "PUT /mode", NULL, NO(422, 422, "*must not be null") },
     { "POST /subjects/q", NULL, NO(422, 422, "*must not be null") },
     { "GET /subjects?deleted=true", NULL, OK("[]") })

ITEM("SR 1.3", numbers_of_queries_and_paths_are_read_strictly,
     { "GET /subjects?limit=1.5", NULL, NO(404, 404, "HTTP 404 Not Found") },
     { "GET /schemas/ids/2147483648", NULL, NO(404, 404, "HTTP 404 Not Found") },
     { "GET /schemas?offset=2147483648", NULL, NO(404, 404, "HTTP 404 Not Found") })

ITEM("SR 1.4", digits_in_a_text_are_a_number,
     { POST("num", "'schema':<A1>,'version':'1'"), OK("{'version':1,'metadata':{'properties':{'confluent:version':'1'}},'...':1}") })

ITEM("SR 1.8", subjects_may_hold_anything,
     { POST("a+b", "'schema':<B1>"), OK("{'version':1,'...':1}") },
     { POST("a%20b", "'schema':<B1>"), OK("{'version':1,'...':1}") },
     { POST("100%25", "'schema':<B1>"), OK("{'version':1,'...':1}") },
     { POST("%22q%22", "'schema':<B1>"), OK("{'version':1,'...':1}") },
     { POST("%F0%9F%98%80", "'schema':<B1>"), OK("{'version':1,'...':1}") },
     { "GET /subjects", NULL, OK("['\\\"q\\\"','100%','a b','a+b','num','😀']") },
     { "GET /subjects?subjectPrefix=a+", NULL, OK("['a b']") },
     { "GET /subjects?subjectPrefix=a%2B", NULL, OK("['a+b']") },
     { "GET /subjects/100%25/versions/latest", NULL, OK("{'subject':'100%','...':1}") })

ITEM("SR 4.5.3", versions_are_trimmed_and_may_have_a_sign,
     { "GET /subjects/num/versions/%201%20", NULL, OK("{'version':1,'...':1}") },
     { "GET /subjects/num/versions/+1", NULL, OK("{'version':1,'...':1}") },
     { "GET /subjects/num/versions/001", NULL, OK("{'version':1,'...':1}") },
     { "GET /subjects/num/versions/%20Latest", NULL, OK("{'version':1,'...':1}") },
     { "GET /subjects/num/versions/1.5", NULL, NO(422, 42202, "^The specified version '1.5' is not a valid version id.") })

/* ---- section 3 ---------------------------------------------------------------------------------------------- */

GROUP(names_start_empty)

ITEM("SR 3.3", every_call_works_behind_a_context,
     { "PUT /contexts/.c/config", "{'compatibility':'NONE'}", OK("{'compatibility':'NONE'}") },
     { "POST /contexts/.c/subjects/s/versions", "{'schema':<A1>}", OK("{'id':1,'version':1,'...':1}") },
     { "POST /contexts/.c/subjects/s", "{'schema':<A1>}", OK("{'subject':':.c:s','version':1,'...':1}") },
     { "GET /contexts/.c/subjects/s/versions/latest", NULL, OK("{'subject':':.c:s','...':1}") },
     { "GET /contexts/.c/schemas/ids/1?subject=s", NULL, OK("{'subject':':.c:s','...':1}") },
     { "GET /contexts/.c/schemas/ids/1/schema", NULL, RAW(REST_A1) },
     { "GET /contexts/.c/schemas/ids/1/subjects", NULL, OK("[':.c:s']") },
     { "GET /contexts/.c/schemas/ids/1/versions", NULL, OK("[{'subject':':.c:s','version':1}]") },
     { "GET /contexts/.c/schemas/guids/" REST_A1_GUID, NULL, OK("{'schema':<A1>,'...':1}") },
     { "GET /contexts/.c/subjects?subjectPrefix=s", NULL, OK("[':.c:s']") },
     { "GET /contexts/.c/subjects?subjectPrefix=x", NULL, OK("[]") },
     { "PUT /contexts/.c/config/s", "{'normalize':true}", OK("{'normalize':true}") },
     { "GET /config/:.c:s", NULL, OK("{'normalize':true,'compatibilityLevel':'BACKWARD'}") },
     { "PUT /contexts/.c/mode/s", "{'mode':'READWRITE'}", OK("{'mode':'READWRITE'}") },
     { "GET /mode/:.c:s", NULL, OK("{'mode':'READWRITE'}") },
     { "GET /contexts/.c/contexts", NULL, OK("['.','.c']") },
     { "GET /contexts/", NULL, OK("['.','.c']") },
     { "GET /schemas/ids/1", NULL, NO(404, 40403, "Schema 1 not found") },
     { "DELETE /contexts/.c/subjects/s", NULL, OK("[1]") })

ITEM("SR 4.9", contexts_are_only_listed_and_deleted,
     { "GET /contexts/.c", NULL, NO(405, 405, "HTTP 405 Method Not Allowed") },
     { "DELETE /contexts/.", NULL, NO(405, 405, "HTTP 405 Method Not Allowed") },
     { "DELETE /contexts/.unknown", NULL, EMPTY })

ITEM("SR 3.4", only_one_alias_is_followed,
     { "PUT /config/one", "{'alias':'two'}", OK("{'alias':'two'}") },
     { "PUT /config/two", "{'alias':'three'}", OK("{'alias':'three'}") },
     { POST("one", "'schema':<B1>"), OK("{'version':1,'...':1}") },
     { "GET /subjects", NULL, OK("['two']") },
     { "GET /subjects/one/versions", NULL, OK("[1]") },
     { "GET /schemas/ids/1?subject=one", NULL, OK("{'subject':'two','...':1}") })

/* ---- sections 4 and 5 --------------------------------------------------------------------------------------- */

GROUP(semantics_start_empty)

ITEM("SR 5.5", the_latest_is_compared_with_when_version_is_minus_1, NONE,
     { POST("s", "'schema':<A1>"), OK("{'id':1,'version':1,'...':1}") },
     { POST("s", "'schema':<A2>"), OK("{'id':2,'version':2,'...':1}") },
     { POST("s", "'schema':<A1>,'version':-1"), OK("{'id':3,'version':3,'metadata':{'properties':{'confluent:version':'3'}},'...':1}") },
     { POST("s", "'schema':<A2>,'version':9"), NO(422, 42201, "Version is not one more than previous version") },
     { POST("s", "'schema':<A1>,'version':1,'id':1"), OK("{'id':1,'version':1,'...':1}") })

ITEM("SR 5.6", the_contract_of_the_latest_is_tried_in_a_lookup,
     { POST("l", "'schema':<A1>,'metadata':{'properties':{'a':'b'}}"), OK("{'id':'$int:l','version':1,'...':1}") },
     { "POST /subjects/l", "{'schema':<A1>}", OK("{'id':'$is:l','version':1,'metadata':{'properties':{'a':'b'}},'...':1}") },
     { "POST /subjects/l", "{'schema':<A1>,'metadata':{'properties':{'a':'c'}}}", NO(404, 40403, "Schema not found") },
     { "POST /subjects/l", "{}", NO(404, 40403, "Schema not found") },
     { "POST /subjects/none", "{}", NO_SUBJECT("none") })

/* contents are equal as parsed schemas, so a missing list of references is no difference */
ITEM("SR 5.7", references_may_be_sent_inlined,
     { POST("user", "'schema':<A1>"), OK("{'version':1,'...':1}") },
     { POST("wrap", "'schema':<W1>,'references':[{'name':'User','subject':'user','version':1}]"), OK("{'id':'$int:w','version':1,'...':1}") },
     { POST("wrap", "'schema':'{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"Wrap\\\",\\\"fields\\\":[{\\\"name\\\":\\\"u\\\",\\\"type\\\":"
                    "{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"User\\\",\\\"fields\\\":[{\\\"name\\\":\\\"f1\\\",\\\"type\\\":\\\"string\\\"}]}}]}'"),
       OK("{'id':'$is:w','version':1,'references':[{'name':'User','subject':'user','version':1}],'schema':<W1>,'...':1}") },
     { "POST /subjects/wrap", "{'schema':<W1>,'references':[{'name':'User','subject':'user','version':-1}]}", OK("{'id':'$is:w','version':1,'...':1}") })

ITEM("SR 4.5.1", deleted_only_of_a_subject_without_deleted_versions_is_empty,
     { "GET /subjects/s/versions?deletedOnly=true", NULL, OK("[]") },
     { "DELETE /subjects/l", NULL, OK("[1]") },
     { "GET /subjects/l/versions?deletedAsNegative=true", NULL, NO_SUBJECT("l") },
     { "GET /subjects/l/versions?deletedAsNegative=true&deleted=true", NULL, OK("[-1]") },
     { "GET /subjects?deletedOnly=true&deleted=false", NULL, OK("['l']") })

ITEM("SR 4.5.6", removing_latest_means_the_latest_live_one,
     { "DELETE /subjects/s/versions/latest?permanent=true", NULL,
       NO(404, 40407, "Subject 's' Version 3 was not deleted first before being permanently deleted") },
     { "DELETE /subjects/l/versions/latest?permanent=true", NULL, NO(404, 40402, "Version -1 not found.") },
     { "DELETE /subjects/none/versions/latest?permanent=true", NULL, NO_SUBJECT("none") })

ITEM("SR 4.7", config_of_special_names,
     { "GET /config/:.__GLOBAL:", NULL, OK("{'compatibilityLevel':'BACKWARD'}") },
     { "DELETE /config/:.__GLOBAL:", NULL, NO(404, 40401, "Subject ':.__GLOBAL:' not found.") },
     { "PUT /config/:.c", "{'compatibility':'FULL'}", OK("{'compatibility':'FULL'}") },
     { "GET /config/:.c:", NULL, OK("{'compatibilityLevel':'FULL'}") },
     { "GET /config/:.:", NULL, OK("{'compatibilityLevel':'NONE'}") },
     { "PUT /config/s%01", "{'compatibility':'FULL'}", NO(422, 42208, "^The specified subject 's") },
     { "PUT /mode/__EMPTY", "{'mode':'READONLY'}", NO(422, 42208, "The specified subject '__EMPTY' is not a valid.") })

/* 5.10: unset members of a subject's record come from the global one, its level does not */
ITEM("SR 5.10", some_members_are_taken_from_the_global_record,
     { "PUT /config", "{'normalize':true}", OK("{'compatibility':'NONE','normalize':true}") },
     { "PUT /config/n", "{'compatibility':'NONE'}", OK("{'compatibility':'NONE'}") },
     { POST("n", "'schema':<N>"), OK("{'schema':<N_SORTED>,'...':1}") },
     { "PUT /config/n2", "{'normalize':false}", OK("{'normalize':false}") },
     { POST("n2", "'schema':<N>"), OK("{'schema':<N>,'...':1}") },
     { "PUT /config", "{'normalize':null}", OK("{'compatibility':'NONE'}") })

ITEM("SR 5.11", import_in_an_unused_scope_only,
     { "PUT /mode", "{'mode':'IMPORT'}", NO(422, 42205, "Cannot import since found existing subjects") },
     { "PUT /mode/:.imp:", "{'mode':'IMPORT'}", OK("{'mode':'IMPORT'}") },
     { POST(":.imp:s", "'schema':<A1>,'id':9,'version':4"), OK("{'id':9,'version':4,'...':1}") },
     { POST(":.imp:s", "'schema':<A2>"), NO(422, 42205, "Subject :.imp:s in context :.imp: is not in read-write mode") },
     { POST(":.imp:s", "'schema':<A2>,'id':9,'version':5"), NO(422, 42205, "Overwrite new schema with id 9 in context :.imp: is not permitted.") },
     { "PUT /mode/:.imp:", "{'mode':'IMPORT'}", OK("{'mode':'IMPORT'}") },
     { POST(":.imp:s", "'schema':'','id':10"), NO(422, 42201, NULL) },
     { "DELETE /mode/:.imp:", NULL, OK("{'mode':'IMPORT'}") },
     { "DELETE /mode/:.imp:", NULL, NO(404, 40401, "Subject ':.imp:' not found.") })

/* ---- section 6 ---------------------------------------------------------------------------------------------- */

ITEM("SR 6.2", the_first_mistake_is_reported,
     { POST("r", "'schema':<A1>,'ruleSet':{'migrationRules':[{'name':'a','type':'X','mode':'READ'}],'domainRules':[{'type':'X'}]}"),
       NO(422, 42210, "Migration rules can only be UPGRADE, DOWNGRADE, UPDOWN") },
     { POST("r", "'schema':<A1>,'ruleSet':{'domainRules':[{'name':'a','type':'X'},{'name':'a'}]}"), NO(422, 42210, "Found rule with duplicate name 'a'") },
     { POST("r", "'schema':<A1>,'ruleSet':{'domainRules':[{'name':'clé_9','type':'X'}]}"), OK("{'version':1,'...':1}") })

ITEM("SR 6.2", two_actions_are_for_two_way_rules_of_both_kinds,
     { POST("r3", "'schema':<A1>,'ruleSet':{'migrationRules':[{'name':'a','type':'X','mode':'UPGRADE','onSuccess':'NONE,NONE'}]}"),
       NO(422, 42210, "Multiple actions only valid with WRITEREAD and UPDOWN") },
     { POST("r3", "'schema':<A1>,'ruleSet':{'migrationRules':[{'name':'a','type':'X','mode':'UPDOWN','onSuccess':'NONE,NONE'}]}"),
       OK("{'version':1,'...':1}") })

ITEM("SR 2.4", enable_at_is_kept,
     { POST("e", "'schema':<A1>,'ruleSet':{'domainRules':[{'name':'a','type':'X','doc':'why','params':{'z':'1','a':'2'},'tags':['b','a'],'disabled':true}],'enableAt':'CLIENT'}"),
       OK("{'ruleSet':{'domainRules':[{'name':'a','doc':'why','kind':'TRANSFORM','mode':'WRITEREAD','type':'X','tags':['a','b'],"
          "'params':{'a':'2','z':'1'},'disabled':true}],'enableAt':'CLIENT'},'...':1}") },
     { "GET /subjects/e/versions/1", NULL, OK("{'ruleSet':{'enableAt':'CLIENT','domainRules':'$any'},'...':1}") })

THE_END
