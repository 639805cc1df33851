/* spec/schema-registry.md section 14.2: registering Avro schemas. Verdicts of compatibility: test_sr_compat.c. */
#include "tests/support/rest.h"

#define REGISTERED(id, version, guid, schema) \
  OK("{'id':" id ",'version':" version ",'guid':" guid ",'schemaType':'AVRO','schema':" schema "}")
#define A1_AS(id, version) \
  OK("{'id':" id ",'version':" version ",'guid':<GUID>,'schemaType':'AVRO','schema':<A1>}")

GROUP(registration_starts_empty)

ITEM("SR-26", the_first_schema_gets_id_1_and_its_guid,
     { "POST /subjects/r1/versions", "{'schema':<A1>}",
       OK("{'id':1,'version':1,'guid':<GUID>,'schemaType':'AVRO','schema':<A1>,'metadata':'$absent',"
          "'ruleSet':'$absent','references':'$absent','ts':'$absent','deleted':'$absent'}") })

ITEM("SR-27", registering_again_changes_nothing,
     { "POST /subjects/r1/versions", "{'schema':<A1>}", A1_AS("1", "1") },
     { "GET /subjects/r1/versions", NULL, OK("[1]") })

ITEM("SR-28", subjects_share_ids,
     { "POST /subjects/r2/versions", "{'schema':<A1>}", A1_AS("1", "1") },
     { "GET /subjects/r2/versions/1", NULL, OK("{'subject':'r2','version':1,'id':1,'guid':<GUID>,'schemaType':'AVRO','schema':<A1>,'ts':'$ts','deleted':false}") })

ITEM("SR-29", another_schema_gets_the_next_id_and_version,
     { "POST /subjects/r1/versions", "{'schema':<A2>}", REGISTERED("2", "2", "'$uuid'", "<A2>") })

ITEM("SR-30", registering_an_old_version_gives_the_old_one,
     { "POST /subjects/r1/versions", "{'schema':<A1>}", A1_AS("1", "1") },
     { "GET /subjects/r1/versions", NULL, OK("[1,2]") })

ITEM("SR-31", a_primitive_has_two_spellings,
     { "POST /subjects/r3/versions", "{'schema':'\\\"string\\\"'}",
       REGISTERED("'$int:string'", "1", "'095d71cf-1255-6b9d-5e33-0ad575b3df5d'", "'\\\"string\\\"'") },
     { "POST /subjects/r3/versions", "{'schema':'{\\\"type\\\":\\\"string\\\"}'}",
       REGISTERED("'$is:string'", "1", "'095d71cf-1255-6b9d-5e33-0ad575b3df5d'", "'\\\"string\\\"'") },
     { "GET /subjects/r3/versions", NULL, OK("[1]") })

ITEM("SR-32", white_space_does_not_matter, { "POST /subjects/r4/versions", "{'schema':<A1_SPACED>}", A1_AS("1", "1") })

ITEM("SR-33", avro_may_be_named, { "POST /subjects/r5/versions", "{'schema':<A1>,'schemaType':'AVRO'}", A1_AS("1", "1") })

ITEM("SR-36", an_unknown_schema_type_is_refused,
     { "POST /subjects/r8/versions", "{'schema':<A1>,'schemaType':'XML'}", NO(422, 42201, "*Invalid schema type XML") })

ITEM("SR-37", a_schema_that_does_not_parse_is_refused,
     { "POST /subjects/r8/versions", "{'schema':<BAD>}", NO(422, 42201, "*Invalid schema of type AVRO") })

ITEM("SR-38", a_first_schema_is_not_left_out, { "POST /subjects/r8/versions", "{}", NO(422, 42201, "Empty schema") })

ITEM("SR-39", an_empty_schema_is_refused, { "POST /subjects/r8/versions", "{'schema':''}", NO(422, 42201, "Empty schema") })

ITEM("SR-40", refused_schemas_leave_no_subject,
     { "GET /subjects/r8/versions", NULL, NO(404, 40401, "Subject 'r8' not found.") },
     { "GET /subjects?deleted=true", NULL, OK("['$lacks','r8']") })

ITEM("SR-41", an_incompatible_schema_is_refused,
     { "POST /subjects/r9/versions", "{'schema':<A1>}", A1_AS("1", "1") },
     { "POST /subjects/r9/versions", "{'schema':<A3>}",
       NO(409, 40901, "^Schema being registered is incompatible with an earlier schema for subject \"r9\", details: [") },
     { "GET /subjects/r9/versions", NULL, OK("[1]") })

ITEM("SR-42", the_refusal_names_the_level, { "POST /subjects/r9/versions", "{'schema':<A3>}", NO(409, 40901, "*compatibility: 'BACKWARD'}]") })

ITEM("SR-43", force_skips_the_comparison,
     { "POST /subjects/r9/versions?force=true", "{'schema':<A3>}", REGISTERED("'$int'", "2", "'$uuid'", "<A3>") })

ITEM("SR 5.5", a_contract_makes_a_version_of_its_own,
     { "POST /subjects/r9b/versions", "{'schema':<A1>}", A1_AS("1", "1") },
     { "POST /subjects/r9b/versions", "{'schema':<A1>,'metadata':{'properties':{'a':'b'}}}",
       OK("{'id':'$int','version':2,'guid':'$not:GUID','schemaType':'AVRO','schema':<A1>,"
          "'metadata':{'properties':{'a':'b'}}}") })

ITEM("SR 1.2", the_other_schema_types_are_refused_by_name,
     { "POST /subjects/r7/versions", "{'schema':'{}','schemaType':'JSON'}", NO(422, 42201, "*AVRO") },
     { "POST /subjects/r7/versions", "{'schema':'{}','schemaType':'PROTOBUF'}", NO(422, 42201, "*AVRO") },
     { "GET /subjects/r7/versions", NULL, NO(404, 40401, "Subject 'r7' not found.") })

ITEM("SR-44", ids_are_chosen_only_in_mode_import,
     { "POST /subjects/r10/versions", "{'schema':<A1>,'id':77}", NO(422, 42205, "Subject r10 in context  is not in import mode") },
     { "POST /subjects/r1/versions", "{'schema':<A1>,'id':1}", A1_AS("1", "1") })

ITEM("SR-45", versions_follow_each_other,
     { "POST /subjects/r11/versions", "{'schema':<A1>,'version':5}",
       NO(422, 42201, "Version is not one more than previous version") })

ITEM("SR-46", a_version_that_is_asked_for_is_written_down,
     { "POST /subjects/r11/versions", "{'schema':<A1>,'version':1}",
       OK("{'id':'$int','version':1,'guid':'$not:GUID','schemaType':'AVRO','schema':<A1>,"
          "'metadata':{'properties':{'confluent:version':'1'}}}") })

ITEM("SR-47", an_escaped_slash_belongs_to_the_subject,
     { "POST /subjects/a%2Fb/versions", "{'schema':<A1>}", A1_AS("1", "1") },
     { "GET /subjects", NULL, OK("['$holds','a/b']") },
     { "GET /subjects/a%2Fb/versions", NULL, OK("[1]") })

ITEM("SR-48", global_is_no_subject,
     { "POST /subjects/__GLOBAL/versions", "{'schema':<A1>}", NO(422, 42208, "The specified subject '__GLOBAL' is not a valid.") })

ITEM("SR-49", empty_is_no_subject,
     { "POST /subjects/__EMPTY/versions", "{'schema':<A1>}", NO(422, 42208, "The specified subject '__EMPTY' is not a valid.") })

ITEM("SR-50", the_global_context_holds_no_subject,
     { "POST /subjects/:.__GLOBAL:x/versions", "{'schema':<A1>}",
       NO(422, 42208, "The specified subject ':.__GLOBAL:x' is not a valid.") })

ITEM("SR-51", control_characters_are_refused,
     { "POST /subjects/%0Dbad%0Aname%09/versions", "{'schema':<A1>}", NO(422, 42208, "^The specified subject '") })

ITEM("SR-52", a_star_is_a_subject, { "POST /subjects/*/versions", "{'schema':<A1>}", A1_AS("1", "1") })

#define BAD_DEFAULT \
  "'{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"User\\\",\\\"fields\\\":[{\\\"name\\\":\\\"n\\\",\\\"type\\\":\\\"int\\\",\\\"default\\\":\\\"foo\\\"}]}'"

ITEM("SR-53", a_bad_default_is_refused_unless_configured,
     { "POST /subjects/r12/versions", "{'schema':" BAD_DEFAULT "}", NO(422, 42201, NULL) },
     { "PUT /config/r12", "{'validateNewSchemas':false}", OK("{'validateNewSchemas':false}") },
     { "POST /subjects/r12/versions", "{'schema':" BAD_DEFAULT "}", REGISTERED("'$int'", "1", "'$uuid'", BAD_DEFAULT) })

THE_END
