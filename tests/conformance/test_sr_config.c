/* spec/schema-registry.md sections 14.9 and 14.10: config and modes. */
#include "tests/support/rest.h"

#define LEVEL(level) OK("{'compatibilityLevel':'" level "'}")
#define PUT_LEVEL(path, level) { "PUT /config" path, "{'compatibility':'" level "'}", OK("{'compatibility':'" level "'}") }
#define A1_UNDER(subject) { "POST /subjects/" subject "/versions", "{'schema':<A1>}", OK("{'id':'$int','schema':<A1>,'...':1}") }

/* ---- 14.9 config -------------------------------------------------------------------------------------------- */

GROUP(config_starts_empty)

ITEM("SR-157", the_default_level_is_backward, { "GET /config", NULL, LEVEL("BACKWARD") })

ITEM("SR-158", the_level_is_put, PUT_LEVEL("", "FULL"), { "GET /config", NULL, LEVEL("FULL") })

ITEM("SR-159", levels_are_read_in_any_case,
     { "PUT /config", "{'compatibility':'full_transitive'}", OK("{'compatibility':'FULL_TRANSITIVE'}") },
     { "GET /config", NULL, LEVEL("FULL_TRANSITIVE") })

ITEM("SR-160", an_unknown_level_is_refused,
     { "PUT /config", "{'compatibility':'BAD'}",
       NO(422, 42203, "Invalid compatibility level. Valid values are none, backward, forward, full, backward_transitive, "
                      "forward_transitive, and full_transitive") },
     { "GET /config", NULL, LEVEL("FULL_TRANSITIVE") })

ITEM("SR-161", deleting_answers_what_was_in_force,
     { "DELETE /config", NULL, LEVEL("FULL_TRANSITIVE") }, { "GET /config", NULL, LEVEL("BACKWARD") },
     { "DELETE /config", NULL, LEVEL("BACKWARD") })

ITEM("SR-162", a_subject_without_config_says_so,
     { "GET /config/nosuch", NULL, NO(404, 40408, "Subject 'nosuch' does not have subject-level compatibility configured") })

ITEM("SR-163", the_effective_config_is_told_when_asked_for,
     { "GET /config/nosuch?defaultToGlobal=true", NULL, LEVEL("BACKWARD") }, PUT_LEVEL("", "FORWARD"),
     { "GET /config/nosuch?defaultToGlobal=true", NULL, LEVEL("FORWARD") }, { "DELETE /config", NULL, LEVEL("FORWARD") })

ITEM("SR-164", a_subject_need_not_exist_to_be_configured, PUT_LEVEL("/cf1", "NONE"),
     { "GET /config/cf1", NULL, LEVEL("NONE") }, { "GET /subjects", NULL, OK("[]") })

ITEM("SR-165", deleting_the_config_of_a_subject_twice_is_not_found,
     { "DELETE /config/cf1", NULL, LEVEL("NONE") },
     { "DELETE /config/cf1", NULL, NO(404, 40401, "Subject 'cf1' not found.") })

ITEM("SR-166", members_not_put_are_kept,
     { "PUT /config/cf2", "{'alias':'x','compatibility':'FULL'}", OK("{'alias':'x','compatibility':'FULL'}") },
     { "PUT /config/cf2", "{'normalize':true}", OK("{'alias':'x','normalize':true,'compatibility':'FULL'}") })

ITEM("SR-167", null_clears_a_member,
     { "PUT /config/cf2", "{'alias':null}", OK("{'normalize':true,'compatibility':'FULL'}") },
     { "GET /config/cf2", NULL, OK("{'normalize':true,'compatibilityLevel':'FULL'}") })

ITEM("SR-168", a_subject_record_hides_the_global_level, PUT_LEVEL("", "FULL"),
     { "PUT /config/cf3", "{'normalize':true}", OK("{'normalize':true}") },
     { "GET /config/cf3", NULL, OK("{'normalize':true,'compatibilityLevel':'BACKWARD'}") },
     { "DELETE /config", NULL, LEVEL("FULL") })

ITEM("SR-169", the_global_context_is_the_last_fallback, PUT_LEVEL("/:.__GLOBAL:", "NONE"),
     { "GET /config", NULL, LEVEL("BACKWARD") },
     { "GET /config?defaultToGlobal=true", NULL, LEVEL("NONE") },
     A1_UNDER("cf4"),
     { "POST /subjects/cf4/versions", "{'schema':<A3>}", OK("{'version':2,'schema':<A3>,'...':1}") },
     { "DELETE /config/:.__GLOBAL:", NULL, LEVEL("NONE") })

ITEM("SR-170", the_default_context_is_the_global_record, PUT_LEVEL("/:.:", "FORWARD"), { "GET /config", NULL, LEVEL("FORWARD") })

ITEM("SR-171", contexts_have_configs_of_their_own, PUT_LEVEL("", "FULL"), PUT_LEVEL("/:.cx:", "NONE"),
     { "GET /config/:.cx:s?defaultToGlobal=true", NULL, LEVEL("NONE") },
     { "GET /config/:.cy:s?defaultToGlobal=true", NULL, LEVEL("BACKWARD") })

ITEM("SR-172", an_invalid_subject_is_not_configured,
     { "PUT /config/__GLOBAL", "{'compatibility':'FULL'}", NO(422, 42208, "The specified subject '__GLOBAL' is not a valid.") })

ITEM("SR-174", null_clears_the_compatibility_group,
     { "PUT /config", "{'compatibilityGroup':'app.major'}", OK("{'compatibility':'FULL','compatibilityGroup':'app.major'}") },
     { "GET /config", NULL, OK("{'compatibilityLevel':'FULL','compatibilityGroup':'app.major'}") },
     { "PUT /config", "{'compatibilityGroup':null}", OK("{'compatibility':'FULL'}") })

ITEM("SR-175", a_reserved_field_is_not_used,
     { "PUT /config/vf", "{'validateFields':true,'compatibility':'NONE'}", OK("{'validateFields':true,'compatibility':'NONE'}") },
     { "POST /subjects/vf/versions", "{'schema':<A1>,'metadata':{'properties':{'confluent:reserved':'f1'}}}",
       NO(409, 40901, "*conflicts with the reserved field f1") })

ITEM("SR-176", a_reserved_field_stays_reserved,
     { "POST /subjects/vf/versions", "{'schema':<A1>,'metadata':{'properties':{'confluent:reserved':'zz'}}}", OK("{'version':1,'...':1}") },
     { "POST /subjects/vf/versions", "{'schema':<A2>,'metadata':{'properties':{'a':'b'}}}",
       NO(409, 40901, "*reserved field zz removed") })

ITEM("SR-177", an_unknown_policy_is_unset,
     { "PUT /config/pol", "{'compatibilityPolicy':'lenient'}", OK("{'compatibilityPolicy':'LENIENT'}") },
     { "GET /config/pol", NULL, OK("{'compatibilityLevel':'BACKWARD','compatibilityPolicy':'LENIENT'}") },
     { "PUT /config/pol", "{'compatibilityPolicy':'junk'}", OK("{}") },
     { "GET /config/pol", NULL, OK("{'compatibilityLevel':'BACKWARD'}") })

/* ---- 14.10 modes -------------------------------------------------------------------------------------------- */

#define MODE(mode) OK("{'mode':'" mode "'}")
#define PUT_MODE(path, mode) { "PUT /mode" path, "{'mode':'" mode "'}", MODE(mode) }
#define READ_ONLY(subject) NO(422, 42205, "Subject " subject " in context  is in read-only mode")
#define REGISTER_B1(subject) "POST /subjects/" subject "/versions", "{'schema':<B1>}"

GROUP(modes_start_empty)

ITEM("SR-178", the_default_mode_is_readwrite, { "GET /mode", NULL, MODE("READWRITE") })

ITEM("SR-179", nothing_is_registered_in_mode_readonly, A1_UNDER("m0"), PUT_MODE("", "READONLY"),
     { "POST /subjects/m1/versions", "{'schema':<B1>}", READ_ONLY("m1") },
     { "GET /mode", NULL, MODE("READONLY") })

ITEM("SR-180", what_is_there_is_returned_in_mode_readonly,
     { "POST /subjects/m0/versions", "{'schema':<A1>}", OK("{'id':1,'version':1,'...':1}") },
     { "GET /subjects/m0/versions/1", NULL, OK("{'id':1,'schema':<A1>,'...':1}") },
     { "GET /subjects", NULL, OK("['m0']") })

ITEM("SR-181", nothing_is_deleted_or_configured_in_mode_readonly,
     { "DELETE /subjects/m0", NULL, READ_ONLY("m0") },
     { "DELETE /subjects/m0/versions/1", NULL, READ_ONLY("m0") },
     { "PUT /config/m0", "{'compatibility':'NONE'}", NO(422, 42205, "*is in read-only mode") },
     { "DELETE /config", NULL, NO(422, 42205, "*is in read-only mode") },
     { "GET /subjects/m0/versions", NULL, OK("[1]") },
     { "GET /config", NULL, LEVEL("BACKWARD") })

ITEM("SR-182", readonly_override_is_read_only_too, PUT_MODE("", "READONLY_OVERRIDE"),
     { REGISTER_B1("m1"), READ_ONLY("m1") }, PUT_MODE("", "READWRITE"), { REGISTER_B1("m1"), OK("{'version':1,'...':1}") })

ITEM("SR-183", an_unknown_mode_is_refused,
     { "PUT /mode", "{'mode':'BAD'}", NO(422, 42204, "Invalid mode. Valid values are READWRITE, READONLY, IMPORT and FORWARD.") },
     { "PUT /mode", "{}", NO(422, 42204, "Invalid mode. Valid values are READWRITE, READONLY, IMPORT and FORWARD.") })

ITEM("SR-184", modes_are_read_in_any_case,
     { "PUT /mode", "{'mode':'readonly'}", OK("{'mode':'readonly'}") }, { "GET /mode", NULL, MODE("READONLY") })

ITEM("SR-185", null_unsets_the_mode,
     { "PUT /mode", "{'mode':null}", OK("{'mode':null}") }, { "GET /mode", NULL, MODE("READWRITE") })

ITEM("SR-186", a_subject_without_mode_says_so,
     { "GET /mode/m2", NULL, NO(404, 40409, "Subject 'm2' does not have subject-level mode configured") },
     { "GET /mode/m2?defaultToGlobal=true", NULL, MODE("READWRITE") })

ITEM("SR-187", a_mode_holds_for_its_subject, PUT_MODE("/m2", "READONLY"),
     { "POST /subjects/m2/versions", "{'schema':<A2>}", READ_ONLY("m2") },
     { "POST /subjects/m3/versions", "{'schema':<A2>}", OK("{'version':1,'...':1}") })

ITEM("SR-188", deleting_the_mode_of_a_subject_twice_is_not_found,
     { "DELETE /mode/m2", NULL, MODE("READONLY") }, { "DELETE /mode/m2", NULL, NO(404, 40401, "Subject 'm2' not found.") })

ITEM("SR-189", the_global_mode_is_always_deleted, { "DELETE /mode", NULL, MODE("READWRITE") })

ITEM("SR-190", forward_is_for_the_global_context_only,
     { "PUT /mode/m4", "{'mode':'FORWARD'}", NO(422, 42204, "Forward mode only supported on global level") },
     { "PUT /mode", "{'mode':'FORWARD'}", NO(422, 42204, "Forward mode only supported on global level") },
     PUT_MODE("/:.__GLOBAL:", "FORWARD"),
     { "DELETE /mode/:.__GLOBAL:", NULL, MODE("FORWARD") })

ITEM("SR-191", the_global_context_is_the_last_fallback_for_modes, PUT_MODE("/:.__GLOBAL:", "READONLY"),
     { "GET /mode", NULL, MODE("READWRITE") },
     { "GET /mode?defaultToGlobal=true", NULL, MODE("READONLY") },
     { "POST /subjects/m9/versions", "{'schema':<A4>}", READ_ONLY("m9") },
     { "DELETE /mode/:.__GLOBAL:", NULL, MODE("READONLY") },
     { "POST /subjects/m9/versions", "{'schema':<A4>}", OK("{'version':1,'...':1}") })

ITEM("SR-192", import_wants_an_empty_subject, A1_UNDER("m5"),
     { "PUT /mode/m5", "{'mode':'IMPORT'}", NO(422, 42205, "Cannot import since found existing subjects") },
     { "GET /mode/m5", NULL, NO(404, 40409, "Subject 'm5' does not have subject-level mode configured") },
     { "PUT /mode/m5?force=true", "{'mode':'IMPORT'}", MODE("IMPORT") },
     { "GET /mode/m5", NULL, MODE("IMPORT") })

ITEM("SR-193", import_takes_ids_and_versions_as_given, PUT_MODE("/m6", "IMPORT"),
     { "POST /subjects/m6/versions", "{'schema':<A1>}", NO(422, 42205, "Subject m6 in context  is not in read-write mode") },
     { "POST /subjects/m6/versions", "{'schema':<A1>,'id':4711,'version':7}",
       OK("{'id':4711,'version':7,'guid':<GUID>,'schema':<A1>,'metadata':'$absent','...':1}") },
     { "GET /subjects/m6/versions", NULL, OK("[7]") })

ITEM("SR-194", what_was_imported_is_found,
     { "POST /subjects/m6/versions", "{'schema':<A1>}", 
       OK("{'id':4711,'version':7,'guid':<GUID>,'schemaType':'AVRO','schema':<A1>}") })

ITEM("SR-195", an_id_is_not_overwritten,
     { "POST /subjects/m6/versions", "{'schema':<B1>,'id':4711,'version':8}",
       NO(422, 42205, "Overwrite new schema with id 4711 in context  is not permitted.") },
     { "GET /subjects/m6/versions", NULL, OK("[7]") })

ITEM("SR-196", the_same_content_may_have_several_ids,
     { "POST /subjects/m6/versions", "{'schema':<A1>,'id':4712,'version':8}", OK("{'id':4712,'version':8,'guid':<GUID>,'schemaType':'AVRO','schema':<A1>}") },
     { "GET /subjects/m6/versions/8", NULL, OK("{'id':4712,'guid':<GUID>,'schema':<A1>,'...':1}") })

ITEM("SR-197", import_compares_nothing, PUT_MODE("/m10", "IMPORT"),
     { "POST /subjects/m10/versions", "{'schema':<A1>,'id':5001,'version':1}", OK("{'id':5001,'version':1,'...':1}") },
     { "POST /subjects/m10/versions", "{'schema':<A3>,'id':5002,'version':2}", OK("{'id':5002,'version':2,'schema':<A3>,'...':1}") })

ITEM("SR-198", import_normalises_nothing,
     { "POST /subjects/m10/versions?normalize=true", "{'schema':<N>,'id':5003,'version':3}", OK("{'id':5003,'version':3,'guid':'$uuid','schemaType':'AVRO','schema':<N>}") },
     { "GET /subjects/m10/versions/3", NULL, OK("{'id':5003,'schema':<N>,'...':1}") })

#define B2 "'{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"Another\\\",\\\"fields\\\":[]}'"

ITEM("SR-199", new_ids_are_above_all_imported_ones, PUT_MODE("/m6", "READWRITE"),
     { "POST /subjects/m11/versions", "{'schema':" B2 "}", OK("{'id':5004,'version':1,'...':1}") })

ITEM("SR-200", import_clears_what_was_deleted, A1_UNDER("m7"),
     { "DELETE /subjects/m7", NULL, OK("[1]") },
     PUT_MODE("/m7", "IMPORT"),
     { "GET /subjects/m7/versions?deleted=true", NULL, NO(404, 40401, "Subject 'm7' not found.") },
     { "POST /subjects/m7/versions", "{'schema':<A1>,'id':6001,'version':1}", OK("{'id':6001,'version':1,'...':1}") })

ITEM("SR-201", modes_below_a_context_are_deleted_with_it, PUT_MODE("/:.mx:", "READONLY"), PUT_MODE("/:.mx:s", "READWRITE"),
     { "DELETE /mode/:.mx:?recursive=true", NULL, MODE("READONLY") },
     { "GET /mode/:.mx:s", NULL, NO(404, 40409, "Subject ':.mx:s' does not have subject-level mode configured") })

ITEM("SR-202", a_context_without_mode_answers_nothing, PUT_MODE("/:.my:s", "READONLY"),
     { "DELETE /mode/:.my:?recursive=true", NULL, OK("{}") },
     { "GET /mode/:.my:s", NULL, NO(404, 40409, "Subject ':.my:s' does not have subject-level mode configured") })

THE_END
