/* spec/schema-registry.md section 14.12: metadata, rule sets, data contracts. */
#include "tests/support/rest.h"

#include <stdio.h>
#include <string.h>

#define NONE { "PUT /config", "{'compatibility':'NONE'}", OK("{'compatibility':'NONE'}") }
#define POST(subject, members) "POST /subjects/" subject "/versions", "{" members "}"
#define BAD_RULES(message) NO(422, 42210, message)
#define PROPS(list) "'metadata':{'properties':{" list "}}"
#define DOMAIN(list) "'ruleSet':{'domainRules':[" list "]}"
#define MIGRATION(list) "'ruleSet':{'migrationRules':[" list "]}"
#define ENCODING(list) "'ruleSet':{'encodingRules':[" list "]}"
/* RULE_W and RULE_U of the checklist as they are stored */
#define R1 "{'name':'r1','kind':'CONDITION','mode':'WRITE','type':'CEL','expr':'true','disabled':false}"
#define M1 "{'name':'m1','kind':'TRANSFORM','mode':'UPGRADE','type':'JSONATA','expr':'$','disabled':false}"

GROUP(contracts_start_empty)

#define OWNED "'metadata':{'properties':{'owner':'x'},'tags':{'**.f1':['PII','A']},'sensitive':['owner']}"
#define OWNED_IS "'metadata':{'properties':{'owner':'x'},'tags':{'**.f1':['A','PII']},'sensitive':['owner']}"

ITEM("SR-229", metadata_is_stored_sorted, NONE,
     { POST("k1", "'schema':<A1>," OWNED),
       OK("{'id':'$int:x','version':1,'guid':'$uuid:gx','schemaType':'AVRO','schema':<A1>," OWNED_IS ",'...':1}") },
     { "GET /subjects/k1/versions/1", NULL,
       OK("{'subject':'k1','version':1,'id':'$is:x','guid':'$is:gx','schemaType':'AVRO','schema':<A1>," OWNED_IS
          ",'ts':'$ts','deleted':false}") })

ITEM("SR-230", other_metadata_is_other_content,
     { POST("k1", "'schema':<A1>,'metadata':{'properties':{'owner':'y'},'tags':{'**.f1':['PII','A']},'sensitive':['owner']}"),
       OK("{'id':'$gt:x','version':2,'guid':'$not:gx','...':1}") },
     { "GET /subjects/k1/versions/2", NULL, OK("{'id':'$int:y','metadata':{'properties':{'owner':'y'},'...':1},'...':1}") })

ITEM("SR-231", the_contract_of_the_latest_is_inherited,
     { POST("k1", "'schema':<A1>"), OK("{'id':'$is:y','version':2,'...':1}") },
     { "GET /subjects/k1/versions", NULL, OK("[1,2]") })

ITEM("SR-232", an_old_contract_gives_the_old_version,
     { POST("k1", "'schema':<A1>," OWNED),
       OK("{'id':'$is:x','version':1,'guid':'$uuid','schemaType':'AVRO'," OWNED_IS ",'schema':<A1>}") })

ITEM("SR-233", metadata_alone_is_added_to_the_latest_schema,
     { POST("k2", "'schema':<A1>"), OK("{'id':'$int:a1','version':1,'...':1}") },
     { POST("k2", PROPS("'k':'v'")), OK("{'id':'$not:a1','version':2,'guid':'$uuid','schemaType':'AVRO','schema':<A1>," PROPS("'k':'v'") "}") })

ITEM("SR-234", rules_alone_are_added_to_the_latest_schema,
     { POST("k3", "'schema':<A1>"), OK("{'id':'$is:a1','version':1,'...':1}") },
     { POST("k3", DOMAIN("<RULE_W>")), OK("{'id':'$not:a1','version':2,'guid':'$uuid','schemaType':'AVRO','schema':<A1>," DOMAIN(R1) "}") },
     { "GET /subjects/k3/versions/2", NULL, OK("{'schema':<A1>,'metadata':'$absent'," DOMAIN(R1) ",'...':1}") })

ITEM("SR-235", rules_are_inherited,
     { POST("k3", "'schema':<A2>"), OK("{'id':'$int','version':3,'guid':'$uuid','schemaType':'AVRO','schema':<A2>," DOMAIN(R1) "}") },
     { "GET /subjects/k3/versions/3", NULL, OK("{'schema':<A2>," DOMAIN(R1) ",'...':1}") })

ITEM("SR-236", an_empty_rule_set_ends_the_inheritance,
     { POST("k3", "'schema':<A2>,'ruleSet':{}"), OK("{'id':'$int','version':4,'guid':'$uuid','schemaType':'AVRO','schema':<A2>,'ruleSet':{}}") },
     { "GET /subjects/k3/versions/4", NULL, OK("{'schema':<A2>,'ruleSet':{},'...':1}") })

ITEM("SR-237", defaults_of_a_rule_are_stored,
     { POST("k4", "'schema':<A1>," MIGRATION("<RULE_U>")), OK("{'id':'$int','version':1,'guid':'$uuid','schemaType':'AVRO','schema':<A1>," MIGRATION(M1) "}") },
     { "GET /subjects/k4/versions/1", NULL, OK("{" MIGRATION(M1) ",'...':1}") })

ITEM("SR-238", encoding_rules_are_stored,
     { POST("k5", "'schema':<A1>," ENCODING("{'name':'e','mode':'WRITEREAD','type':'ENCRYPT','tags':['PII']}")), OK("{'version':1,'...':1}") },
     { "GET /subjects/k5/versions/1", NULL,
       OK("{'subject':'k5','version':1,'id':'$int','guid':'$uuid','schemaType':'AVRO','schema':<A1>,"
          ENCODING("{'name':'e','kind':'TRANSFORM','mode':'WRITEREAD','type':'ENCRYPT','tags':['PII'],'disabled':false}") ",'ts':'$ts','deleted':false}") })

#define N64 "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijkl"

ITEM("SR-239", a_rule_needs_a_name,
     { POST("kb", "'schema':<A1>," DOMAIN("{'type':'CEL'}")), BAD_RULES("Missing rule name") },
     { POST("kb", "'schema':<A1>," DOMAIN("{'name':'','type':'CEL'}")), BAD_RULES("Empty rule name") },
     { POST("kb", "'schema':<A1>," DOMAIN("{'name':'" N64 N64 N64 N64 "x','type':'CEL'}")), BAD_RULES("Rule name too long") },
     { "GET /subjects/kb/versions", NULL, NO(404, 40401, "Subject 'kb' not found.") })

ITEM("SR-240", rule_names_are_checked,
     { POST("kb", "'schema':<A1>," DOMAIN("{'name':'1x','type':'CEL'}")), BAD_RULES("Illegal initial character in rule name: 1x") },
     { POST("kb", "'schema':<A1>," DOMAIN("{'name':'a b','type':'CEL'}")), BAD_RULES("Illegal character in rule name: a b") },
     { POST("kn", "'schema':<A1>," DOMAIN("{'name':'_a-1','type':'CEL'}")), OK("{'version':1,'...':1}") })

ITEM("SR-241", a_rule_needs_a_type, { POST("kb", "'schema':<A1>," DOMAIN("{'name':'a'}")), BAD_RULES("Missing rule type") })

ITEM("SR-242", domain_rules_do_not_migrate,
     { POST("kb", "'schema':<A1>," DOMAIN("{'name':'a','type':'CEL','mode':'UPGRADE'}")),
       BAD_RULES("Domain rules can only be WRITE, READ, WRITEREAD") })

ITEM("SR-243", migration_rules_do_not_write_or_read,
     { POST("kb", "'schema':<A1>," MIGRATION("{'name':'a','type':'CEL','mode':'READ'}")),
       BAD_RULES("Migration rules can only be UPGRADE, DOWNGRADE, UPDOWN") },
     { POST("kb", "'schema':<A1>," MIGRATION("{'name':'a','type':'CEL'}")),
       BAD_RULES("Migration rules can only be UPGRADE, DOWNGRADE, UPDOWN") })

ITEM("SR-244", encoding_rules_do_not_migrate,
     { POST("kb", "'schema':<A1>," ENCODING("{'name':'a','type':'CEL','mode':'UPDOWN'}")),
       BAD_RULES("Encoding rules can only be WRITE, READ, WRITEREAD") })

ITEM("SR-245", rule_names_are_used_once,
     { POST("kb", "'schema':<A1>,'ruleSet':{'domainRules':[{'name':'foo','type':'CEL'}],'migrationRules':[{'name':'foo','type':'X','mode':'UPGRADE'}]}"),
       BAD_RULES("Found rule with duplicate name 'foo'") })

ITEM("SR-246", two_actions_are_for_two_way_rules,
     { POST("kb", "'schema':<A1>," DOMAIN("{'name':'a','type':'CEL','mode':'WRITE','onFailure':'ERROR,NONE'}")),
       BAD_RULES("Multiple actions only valid with WRITEREAD and UPDOWN") },
     { POST("k6", "'schema':<A1>," DOMAIN("{'name':'a','type':'CEL','mode':'WRITEREAD','onFailure':'ERROR,NONE'}")),
       OK("{'version':1," DOMAIN("{'name':'a','kind':'TRANSFORM','mode':'WRITEREAD','type':'CEL','onFailure':'ERROR,NONE','disabled':false}") ",'...':1}") })

ITEM("SR-247", unknown_kinds_and_modes_are_bad_requests,
     { POST("kb", "'schema':<A1>," DOMAIN("{'name':'a','type':'CEL','kind':'FOO'}")), NO(400, 400, NULL) },
     { POST("kb", "'schema':<A1>," DOMAIN("{'name':'a','type':'CEL','mode':'FOO'}")), NO(400, 400, NULL) })

ITEM("SR-248", rule_sets_in_config_are_checked,
     { "PUT /config", "{'defaultRuleSet':{'migrationRules':[{'name':'foo','mode':'READ','type':'X'}]}}",
       BAD_RULES("Migration rules can only be UPGRADE, DOWNGRADE, UPDOWN") },
     { "GET /config", NULL, OK("{'compatibilityLevel':'NONE'}") })

#define DC1 "'defaultMetadata':{'properties':{'a':'1','b':'1'}},'overrideMetadata':{'properties':{'b':'3'}}"

ITEM("SR-249", default_and_override_metadata_are_merged,
     { "PUT /config/dc1", "{" DC1 "}", OK("{" DC1 "}") },
     { POST("dc1", "'schema':<A1>," PROPS("'a':'2','c':'2'")),
       OK("{'id':'$int:dc1','version':1," PROPS("'a':'2','b':'3','c':'2'") ",'...':1}") },
     { "GET /subjects/dc1/versions/1", NULL, OK("{" PROPS("'a':'2','b':'3','c':'2'") ",'...':1}") })

ITEM("SR-250", merging_again_gives_the_same,
     { POST("dc1", "'schema':<A1>," PROPS("'a':'2','c':'2'")), OK("{'id':'$is:dc1','version':1,'...':1}") },
     { "GET /subjects/dc1/versions", NULL, OK("[1]") })

ITEM("SR-251", merged_metadata_is_looked_up,
     { "POST /subjects/dc1", "{'schema':<A1>," PROPS("'a':'2','b':'3','c':'2'") "}", 
       OK("{'subject':'dc1','version':1,'id':'$is:dc1','guid':'$uuid','schemaType':'AVRO'," PROPS("'a':'2','b':'3','c':'2'") ",'schema':<A1>}") })

#define FOO "{'name':'foo','kind':'TRANSFORM','mode':'UPGRADE','type':'IGNORE','disabled':false}"
#define NAMED(name) "{'name':'" name "','kind':'TRANSFORM','mode':'UPGRADE','type':'IGNORE','disabled':false}"
#define SENT(name) "{'name':'" name "','mode':'UPGRADE','type':'IGNORE'}"

ITEM("SR-252", default_rules_come_first,
     { "PUT /config/dc2", "{'compatibility':'NONE','defaultRuleSet':{'migrationRules':[" SENT("foo") "]}}",
       OK("{'compatibility':'NONE','defaultRuleSet':{'migrationRules':[" FOO "]}}") },
     { POST("dc2", "'schema':<A1>," MIGRATION(SENT("bar"))), OK("{'version':1," MIGRATION(FOO "," NAMED("bar")) ",'...':1}") })

ITEM("SR-253", default_rules_are_merged_with_inherited_ones,
     { POST("dc2", "'schema':<A2>"), OK("{'version':2," MIGRATION(FOO "," NAMED("bar")) ",'...':1}") },
     { POST("dc2", "'schema':<A4>," MIGRATION(SENT("zap"))), OK("{'version':3," MIGRATION(FOO "," NAMED("zap")) ",'...':1}") })

ITEM("SR-254", override_rules_replace_by_name,
     { "PUT /config/dc3", "{'compatibility':'NONE','overrideRuleSet':{'domainRules':[{'name':'r1','type':'NEW'}]}}",
       OK("{'compatibility':'NONE','overrideRuleSet':{'domainRules':[{'name':'r1','kind':'TRANSFORM','mode':'WRITEREAD','type':'NEW','disabled':false}]}}") },
     { POST("dc3", "'schema':<A1>," DOMAIN("{'name':'r1','type':'OLD'},{'name':'r2','type':'OLD'}")),
       OK("{'version':1," DOMAIN("{'name':'r2','kind':'TRANSFORM','mode':'WRITEREAD','type':'OLD','disabled':false},"
                                 "{'name':'r1','kind':'TRANSFORM','mode':'WRITEREAD','type':'NEW','disabled':false}") ",'...':1}") })

ITEM("SR-255", schemas_are_found_by_rule_type,
     { "GET /schemas?subjectPrefix=dc2&ruleType=IGNORE", NULL, OK("[{'version':1,'...':1},{'version':2,'...':1},{'version':3,'...':1}]") },
     { POST("dc2x", "'schema':<A1>," MIGRATION(SENT("one"))), OK("{'version':1,'...':1}") },
     { POST("dc2x", "'schema':<A1>,'ruleSet':{}"), OK("{'version':2,'...':1}") },
     { "GET /schemas?subjectPrefix=dc2x&ruleType=IGNORE", NULL, OK("[{'subject':'dc2x','version':1,'...':1}]") },
     { "GET /schemas?subjectPrefix=dc2x&ruleType=IGNORE&latestOnly=true", NULL, OK("[]") },
     { "GET /schemas?subjectPrefix=dc2&ruleType=IGNORE&latestOnly=true", NULL, OK("[{'subject':'dc2','version':3,'...':1}]") },
     { "GET /schemas?subjectPrefix=dc2&ruleType=OTHER", NULL, OK("[]") })

ITEM("SR-256", versions_are_found_by_a_property,
     { POST("dcm", "'schema':<A1>," PROPS("'owner':'x'")), OK("{'version':1,'...':1}") },
     { POST("dcm", "'schema':<A2>," PROPS("'owner':'y'")), OK("{'version':2,'...':1}") },
     { "GET /subjects/dcm/metadata?key=owner&value=x", NULL, OK("{'subject':'dcm','version':1,'schema':<A1>," PROPS("'owner':'x'") ",'...':1}") },
     { "GET /subjects/dcm/metadata?key=owner&value=y", NULL, OK("{'subject':'dcm','version':2,'schema':<A2>," PROPS("'owner':'y'") ",'...':1}") },
     { "GET /subjects/dcm/metadata?key=owner&value=z", NULL, NO(404, 40403, "Schema not found") },
     { "GET /subjects/nosuch/metadata?key=owner&value=z", NULL, NO(404, 40401, "Subject 'nosuch' not found.") })

ITEM("SR-257", all_pairs_must_be_there,
     { POST("dcp", "'schema':<A1>," PROPS("'a':'1','b':'2'")), OK("{'version':1,'...':1}") },
     { POST("dcp", "'schema':<A1>," PROPS("'a':'1','b':'3'")), OK("{'version':2,'...':1}") },
     { "GET /subjects/dcp/metadata?key=a&value=1&key=b&value=2", NULL, OK("{'version':1,'...':1}") },
     { "GET /subjects/dcp/metadata?key=a&value=1", NULL, OK("{'version':2,'...':1}") },
     { "GET /subjects/dcp/metadata?key=a&value=2&key=b&value=2", NULL, NO(404, 40403, "Schema not found") })

ITEM("SR-259", version_minus_1_on_an_empty_subject_is_version_1,
     { POST("cv1", "'schema':<A1>,'version':-1"), OK("{'id':'$int','version':1,'guid':'$uuid','schemaType':'AVRO','schema':<A1>," PROPS("'confluent:version':'1'") "}") })

ITEM("SR-260", the_version_property_is_set_not_believed,
     { POST("cv2", "'schema':<A1>," PROPS("'confluent:version':'7'")), OK("{'id':'$int','version':1,'guid':'$uuid','schemaType':'AVRO','schema':<A1>," PROPS("'confluent:version':'1'") "}") },
     { "GET /subjects/cv2/versions/1", NULL, OK("{" PROPS("'confluent:version':'1'") ",'...':1}") })

ITEM("SR-269", sensitive_metadata_is_returned_in_clear,
     { "GET /subjects/k1/versions/1", NULL, OK("{" OWNED_IS ",'...':1}") },
     { "GET /schemas/ids/<x>", NULL, OK("{" OWNED_IS ",'...':1}") },
     { "GET /schemas/guids/<gx>", NULL, OK("{" OWNED_IS ",'...':1}") },
     { "GET /schemas?subjectPrefix=k1&latestOnly=true", NULL, OK("[{'metadata':{'properties':{'owner':'y'},'...':1},'...':1}]") },
     { "POST /subjects/k1", "{'schema':<A1>," OWNED "}", OK("{'version':1," OWNED_IS ",'...':1}") },
     { "GET /subjects/k1/metadata?key=owner&value=x", NULL, OK("{'version':1," OWNED_IS ",'...':1}") })

/* ---- guids of section 5.4 ----------------------------------------------------------------------------------- */

GROUP(guids_start_empty)

#define WRAP "'schema':<W1>,'references':[{'name':'User','subject':'user-value','version':1}]"

ITEM("SR-270", guids_are_those_of_the_vectors, NONE,
     { POST("g1", "'schema':'\\\"string\\\"'"), OK("{'guid':'095d71cf-1255-6b9d-5e33-0ad575b3df5d','...':1}") },
     { POST("user-value", "'schema':<A1>"), OK("{'version':1,'guid':'6dcd1ea2-5ae7-e905-bdc3-fe09476b0799','...':1}") },
     { POST("g3", "'schema':<A1>,'metadata':{}"), OK("{'guid':'910841ef-d845-c439-9360-29e8f4b096c4','metadata':{},'...':1}") },
     { POST("g4", "'schema':<A2>"), OK("{'version':1,'...':1}") },
     { POST("g4", "'schema':<A1>,'version':2"), OK("{'version':2,'guid':'db0f1f6f-5919-66d6-2925-e5b6008800a8'," PROPS("'confluent:version':'2'") ",'...':1}") },
     { POST("g5", "'schema':<A1>," DOMAIN("<RULE_W>")), OK("{'guid':'4d59171b-afb7-072b-fd7c-28c6f3b0d7d5','...':1}") },
     { POST("g6", WRAP), OK("{'guid':'a940a2de-3d54-df5f-1f25-dd4a3a337b04','...':1}") },
     { POST("g7", WRAP ",'metadata':{'tags':{'**.u':['PII']},'properties':{'owner':'x'},'sensitive':['owner']},"
                  DOMAIN("{'name':'r1','type':'ENCRYPT','tags':['PII'],'params':{'encrypt.kek.name':'k'},'onFailure':'ERROR,NONE','disabled':true}")),
       OK("{'guid':'c3147186-e6e2-2f30-e6de-c7c752b4dd4b','...':1}") },
     { "GET /schemas/guids/c3147186-e6e2-2f30-e6de-c7c752b4dd4b", NULL,
       OK("{'guid':'c3147186-e6e2-2f30-e6de-c7c752b4dd4b','schema':<W1>,'...':1}") })

/* step 17: contents that share a hash share no id */
ITEM("SR 5.5", content_with_the_hash_of_another_is_refused,
     { "GET /subjects/g3/versions/1", NULL, OK("{'id':3,'metadata':{},'...':1}") },
     { POST("g3b", "'schema':<A1>,'ruleSet':{}"), NO(422, 42205, "Overwrite new schema with id 3 in context  is not permitted.") })

GROUP(guids_start_empty_again)

ITEM("SR-270", an_empty_rule_set_has_the_guid_of_empty_metadata,
     { POST("g3", "'schema':<A1>,'ruleSet':{}"),
       OK("{'id':1,'version':1,'guid':'910841ef-d845-c439-9360-29e8f4b096c4','schemaType':'AVRO','schema':<A1>,'ruleSet':{}}") })

/* ---- the sequence of section 6.4 ---------------------------------------------------------------------------- */

GROUP(the_version_property_starts_empty)

#define CV(n) PROPS("'confluent:version':'" n "'")
#define X "'schema':<A1>"
#define NO_METADATA "'metadata':'$absent'"

ITEM("SR-258", the_version_property_follows_its_table, NONE,
     { POST("x", X), OK("{'id':1,'version':1," NO_METADATA ",'...':1}") },                                     /* 1 */
     { POST("x", X ",'version':-1"), OK("{'id':1,'version':1,'...':1}") },
     { POST("x", X ",'version':2"), OK("{'id':2,'version':2," CV("2") ",'...':1}") },
     { POST("x", X ",'version':-1"), OK("{'id':2,'version':2,'...':1}") },
     { "POST /subjects/x", "{" X "}", OK("{'version':1," NO_METADATA ",'...':1}") },                           /* 5 */
     { "POST /subjects/x", "{" X "," CV("1") "}", OK("{'version':1," NO_METADATA ",'...':1}") },
     { "POST /subjects/x", "{" X "," CV("2") "}", OK("{'version':2,'...':1}") },
     { "DELETE /subjects/x/versions/1", NULL, OK("1") },
     { "POST /subjects/x", "{" X "}", OK("{'version':2,'...':1}") },
     { POST("x", X), OK("{'id':2,'version':2,'...':1}") },                                                     /* 9 */
     { POST("x", X ",'version':3"), OK("{'id':3,'version':3,'...':1}") },
     { POST("x", X ",'version':-1"), OK("{'id':3,'version':3,'...':1}") },
     { POST("x", X ",'version':-1"), OK("{'id':3,'version':3,'...':1}") },
     { POST("x", X ",'version':3"), NO(422, 42201, "Version is not one more than previous version") },         /* 12 */
     { POST("x", X ",'version':4"), OK("{'id':4,'version':4,'...':1}") },
     { "POST /subjects/x", "{" X "}", OK("{'version':4,'...':1}") },
     { POST("x", X "," CV("-1")), OK("{'id':5,'version':5," CV("5") ",'...':1}") },                            /* 15 */
     { POST("x", X "," CV("2")), OK("{'id':2,'version':2,'...':1}") },
     { POST("x", X "," CV("3")), OK("{'id':3,'version':3,'...':1}") },
     { POST("x", X "," CV("0")), OK("{'id':6,'version':6," CV("6") ",'...':1}") },
     { POST("x", X ",'metadata':{}"), OK("{'id':6,'version':6,'...':1}") },                                    /* 18 */
     { POST("x", X "," PROPS("'mykey':'myvalue'")), OK("{'id':7,'version':7," PROPS("'mykey':'myvalue'") ",'...':1}") },
     { POST("x", X ",'version':-1"),
       OK("{'id':8,'version':8," PROPS("'mykey':'myvalue','confluent:version':'8'") ",'...':1}") },            /* 20 */
     { "POST /subjects/x", "{" X "," PROPS("'mykey':'myvalue'") "}", OK("{'version':7,'...':1}") },
     { "DELETE /subjects/x/versions/7", NULL, OK("7") },
     { "POST /subjects/x", "{" X "," PROPS("'mykey':'myvalue'") "}", OK("{'version':8,'...':1}") })

/* ---- tags --------------------------------------------------------------------------------------------------- */

/* editing, finding and copying inline tags is not there yet: nothing of it is done in silence */
ITEM("SR 6.7", inline_tags_are_refused_loudly,
     { "POST /subjects/x/versions/8/tags", "{'newVersion':9}", NO(501, 501, "*not supported yet by this server") },
     { "GET /subjects/x/versions/8?findTags=*", NULL, NO(501, 501, "*not supported yet by this server") },
     { POST("tg", X ",'propagateSchemaTags':true"), NO(501, 501, "*not supported yet by this server") },
     { POST("tg", X ",'schemaTagsToAdd':[{'schemaEntity':{'entityPath':'User.f1','entityType':'sr_field'},'tags':['PII']}]"),
       NO(501, 501, "*not supported yet by this server") },
     { "GET /subjects/tg/versions", NULL, NO(404, 40401, "Subject 'tg' not found.") })

THE_END
