/* spec/schema-registry.md section 14.11: contexts and aliases. */
#include "tests/support/rest.h"

#define REGISTER(path, schema, want) { "POST " path "/versions", "{'schema':" schema "}", OK("{" want ",'...':1}") }

GROUP(contexts_start_empty)

ITEM("SR-203", there_is_always_the_default_context, { "GET /contexts", NULL, OK("['.']") })

ITEM("SR-204", contexts_count_ids_for_themselves,
     { "POST /subjects/:.c1:s/versions", "{'schema':<A1>}",
       OK("{'id':1,'version':1,'guid':<GUID>,'schemaType':'AVRO','schema':<A1>}") }, REGISTER("/subjects/s", "<B1>", "'id':1,'version':1"))

ITEM("SR-205", a_context_shows_once_it_holds_a_schema, { "GET /contexts", NULL, OK("['.','.c1']") })

ITEM("SR-206", subjects_are_listed_by_context,
     { "GET /subjects", NULL, OK("[':.c1:s','s']") },
     { "GET /subjects?subjectPrefix=", NULL, OK("['s']") },
     { "GET /subjects?subjectPrefix=:.c1:", NULL, OK("[':.c1:s']") },
     { "GET /subjects?subjectPrefix=:*:s", NULL, OK("[':.c1:s','s']") })

ITEM("SR-207", the_url_names_the_context, { "GET /contexts/.c1/subjects", NULL, OK("[':.c1:s']") })

ITEM("SR-208", ids_are_read_in_their_context,
     { "GET /schemas/ids/1", NULL, OK("{'subject':'s','version':1,'guid':'$uuid','schemaType':'AVRO','schema':<B1>,'ts':'$ts','deleted':false}") },
     { "GET /contexts/.c1/schemas/ids/1", NULL, OK("{'subject':':.c1:s','schema':<A1>,'...':1}") },
     { "GET /schemas/ids/1?subject=:.c1:", NULL, OK("{'subject':':.c1:s','schema':<A1>,'...':1}") },
     { "GET /schemas/ids/1?subject=:.c1:s", NULL, OK("{'subject':':.c1:s','schema':<A1>,'...':1}") })

ITEM("SR-209", subjects_are_answered_qualified,
     { "GET /contexts/.c1/subjects/s/versions/1", NULL,
       OK("{'subject':':.c1:s','version':1,'id':1,'guid':<GUID>,'schemaType':'AVRO','schema':<A1>,'ts':'$ts','deleted':false}") })

ITEM("SR-210", contexts_are_written_in_several_ways,
     { "GET /contexts/c1/subjects/s/versions", NULL, OK("[1]") },
     { "GET /contexts/:.c1:/subjects/s/versions", NULL, OK("[1]") })

ITEM("SR-211", a_qualified_subject_wins_over_the_url,
     { "GET /contexts/.c1/subjects/:.c2:t/versions", NULL, NO(404, 40401, "Subject ':.c2:t' not found.") })

ITEM("SR-212", a_context_holds_no_colon,
     { "GET /contexts/.a:b/subjects", NULL, NO(400, 400, "Context name '.a:b' cannot contain a colon") })

ITEM("SR-213", the_default_context_may_be_named, { "GET /subjects/:.:s/versions", NULL, OK("[1]") })

ITEM("SR-214", a_version_is_looked_for_in_all_contexts,
     REGISTER("/subjects/:.c1:only", "<A2>", "'id':2,'version':1"),
     { "GET /subjects/only/versions/latest", NULL, OK("{'subject':':.c1:only','version':1,'schema':<A2>,'...':1}") },
     { "GET /subjects/only/versions", NULL, NO(404, 40401, "Subject 'only' not found.") })

ITEM("SR-215", a_schema_is_looked_up_in_all_contexts,
     { "POST /subjects/only", "{'schema':<A2>}", OK("{'subject':':.c1:only','version':1,'id':2,'guid':'$uuid','schemaType':'AVRO','schema':<A2>}") })

ITEM("SR-216", schemas_are_listed_by_context,
     { "GET /schemas", NULL, OK("[{'subject':'s','schema':<B1>,'...':1}]") },
     { "GET /schemas?subjectPrefix=:*:", NULL,
       OK("['$set',{'subject':'s','...':1},{'subject':':.c1:s','...':1},{'subject':':.c1:only','...':1}]") },
     { "GET /contexts/.c1/schemas", NULL, OK("[{'subject':':.c1:only','...':1},{'subject':':.c1:s','...':1}]") })

ITEM("SR-217", contexts_share_guids,
     REGISTER("/subjects/s217", "<A1>", "'id':'$int:id','guid':<GUID>"),
     { "GET /schemas/guids/" REST_A1_GUID "/ids", NULL, OK("[{'context':'.','id':'$is:id'},{'context':'.c1','id':1}]") })

ITEM("SR-218", a_context_is_configured_through_the_url,
     { "PUT /contexts/.c1/config", "{'compatibility':'NONE'}", OK("{'compatibility':'NONE'}") },
     { "GET /config/:.c1:", NULL, OK("{'compatibilityLevel':'NONE'}") },
     { "GET /config", NULL, OK("{'compatibilityLevel':'BACKWARD'}") },
     { "GET /contexts/.c1/config", NULL, OK("{'compatibilityLevel':'NONE'}") })

ITEM("SR-219", a_context_has_a_mode,
     { "PUT /contexts/.c1/mode", "{'mode':'READONLY'}", OK("{'mode':'READONLY'}") },
     { "POST /subjects/:.c1:ro/versions", "{'schema':<B1>}", NO(422, 42205, "Subject :.c1:ro in context :.c1: is in read-only mode") },
     REGISTER("/subjects/ro", "<A4>", "'version':1"),
     { "DELETE /contexts/.c1/mode", NULL, OK("{'mode':'READONLY'}") },
     REGISTER("/subjects/:.c1:ro", "<B1>", "'version':1"))

ITEM("SR-220", compatibility_is_asked_behind_a_context,
     { "POST /contexts/.c1/compatibility/subjects/s/versions/latest", "{'schema':<A2>}", OK("{'is_compatible':true}") },
     { "POST /contexts/.c1/compatibility/subjects/s/versions/9", "{'schema':<A2>}", NO(404, 40402, "Version 9 not found.") },
     { "POST /compatibility/subjects/:.c1:s/versions/1", "{'schema':<A2>}", OK("{'is_compatible':true}") })

#define TO_USER(subject) "'references':[{'name':'User','subject':'" subject "','version':1}]"

ITEM("SR-221", an_unqualified_reference_stays_in_its_context,
     REGISTER("/subjects/:.c3:user", "<A1>", "'id':1,'version':1"),
     { "POST /subjects/:.c3:wrap/versions", "{'schema':<W1>," TO_USER("user") "}", OK("{'id':2,'version':1,'guid':'$uuid','schemaType':'AVRO','schema':<W1>," TO_USER("user") "}") },
     { "GET /subjects/:.c3:wrap/versions/1", NULL, OK("{'schema':<W1>," TO_USER("user") ",'...':1}") },
     { "GET /subjects/:.c3:wrap/versions/1?referenceFormat=qualified", NULL, OK("{'schema':<W1>," TO_USER(":.c3:user") ",'...':1}") })

ITEM("SR-222", only_an_empty_context_is_deleted,
     { "DELETE /contexts/.c3", NULL, NO(422, 42211, "The specified context ':.c3:' is not empty.") },
     { "DELETE /subjects/:.c3:wrap", NULL, OK("[1]") },
     { "DELETE /subjects/:.c3:user", NULL, OK("[1]") },
     { "DELETE /contexts/.c3", NULL, NO(422, 42211, "The specified context ':.c3:' is not empty.") },
     { "DELETE /subjects/:.c3:wrap?permanent=true", NULL, OK("[1]") },
     { "DELETE /subjects/:.c3:user?permanent=true", NULL, OK("[1]") },
     { "GET /contexts", NULL, OK("['.','.c1','.c3']") },
     { "DELETE /contexts/.c3", NULL, EMPTY },
     { "GET /contexts", NULL, OK("['.','.c1']") })

ITEM("SR-223", contexts_are_found_by_prefix_and_paged,
     REGISTER("/subjects/:.d:s", "<A1>", "'id':1"),
     { "GET /contexts?contextPrefix=.c", NULL, OK("['.c1']") },
     { "GET /contexts?offset=1&limit=1", NULL, OK("['.c1']") },
     { "GET /contexts", NULL, OK("['.','.c1','.d']") })

ITEM("SR-224", an_alias_is_followed,
     REGISTER("/subjects/target", "<A1>", "'version':1"),
     { "PUT /config/nick", "{'alias':'target'}", OK("{'alias':'target'}") },
     { "GET /subjects/nick/versions/1", NULL, OK("{'subject':'target','version':1,'schema':<A1>,'...':1}") },
     { "GET /config/nick", NULL, OK("{'alias':'target','compatibilityLevel':'BACKWARD'}") })

ITEM("SR-225", registering_under_an_alias_registers_the_target,
     { "PUT /config/target", "{'compatibility':'NONE'}", OK("{'compatibility':'NONE'}") },
     REGISTER("/subjects/nick", "<A2>", "'version':2,'schema':<A2>"),
     { "GET /subjects/target/versions", NULL, OK("[1,2]") },
     { "GET /subjects?subjectPrefix=nick", NULL, OK("[]") })

ITEM("SR-226", a_global_alias_is_never_used,
     { "PUT /config", "{'alias':'zz'}", OK("{'alias':'zz'}") },
     { "GET /subjects/target/versions", NULL, OK("[1,2]") },
     { "GET /subjects/unknown/versions", NULL, NO(404, 40401, "Subject 'unknown' not found.") },
     { "DELETE /config", NULL, OK("{'alias':'zz','compatibilityLevel':'BACKWARD'}") })

ITEM("SR-227", an_alias_may_lead_to_another_context,
     { "PUT /config/:.c2:nick", "{'alias':':.c1:s'}", OK("{'alias':':.c1:s'}") },
     { "GET /contexts/.c2/subjects/nick/versions/1", NULL, OK("{'subject':':.c1:s','version':1,'schema':<A1>,'...':1}") })

ITEM("SR-228", schemas_are_listed_by_alias_when_asked_for,
     { "GET /schemas?subjectPrefix=nick&aliases=true", NULL,
       OK("[{'subject':'target','version':1,'aliases':['nick'],'...':1},{'subject':'target','version':2,'aliases':['nick'],'...':1}]") },
     { "GET /schemas?subjectPrefix=nick", NULL, OK("[]") })

THE_END
