/* spec/schema-registry.md sections 14.3 to 14.5: reading by subject and version, by id and GUID, and looking up. */
#include "tests/support/rest.h"

#define NO_SUBJECT(name) NO(404, 40401, "Subject '" name "' not found.")
#define NO_VERSION(n) NO(404, 40402, "Version " n " not found.")
#define VERSION(text)                                                                                             \
  NO(422, 42202, "The specified version '" text                                                                   \
                 "' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\"")
#define STORED(subject, version, id, guid, schema)                                                                \
  OK("{'subject':'" subject "','version':" version ",'id':" id ",'guid':" guid                                    \
     ",'schemaType':'AVRO','schema':" schema ",'ts':'$ts','deleted':false}")

/* ---- 14.3 reads by subject and version ---------------------------------------------------------------------- */

GROUP(reads_start_empty)

ITEM("SR-56", versions_are_listed,
     { "PUT /config", "{'compatibility':'NONE'}", OK("{'compatibility':'NONE'}") },
     { "POST /subjects/v1/versions", "{'schema':<A1>}", OK("{'id':'$int:a1','...':1}") },
     { "POST /subjects/v1/versions", "{'schema':<A2>}", OK("{'id':'$int:a2','guid':'$uuid:guid2','...':1}") },
     { "GET /subjects/v1/versions", NULL, OK("[1,2]") })

ITEM("SR-57", a_version_has_exactly_these_members,
     { "GET /subjects/v1/versions/1", NULL, STORED("v1", "1", "'$is:a1'", "<GUID>", "<A1>") })

ITEM("SR-58", latest_is_the_highest_version,
     { "GET /subjects/v1/versions/latest", NULL, STORED("v1", "2", "'$is:a2'", "'$is:guid2'", "<A2>") },
     { "GET /subjects/v1/versions/LATEST", NULL, STORED("v1", "2", "'$is:a2'", "'$is:guid2'", "<A2>") })

ITEM("SR-59", minus_1_is_latest,
     { "GET /subjects/v1/versions/-1", NULL, STORED("v1", "2", "'$is:a2'", "'$is:guid2'", "<A2>") })

ITEM("SR-60", version_0_is_invalid, { "GET /subjects/v1/versions/0", NULL, VERSION("0") })

ITEM("SR-61", other_texts_are_no_versions,
     { "GET /subjects/v1/versions/-2", NULL, VERSION("-2") },
     { "GET /subjects/v1/versions/abc", NULL, VERSION("abc") },
     { "GET /subjects/v1/versions/2147483648", NULL, VERSION("2147483648") })

ITEM("SR-62", an_unknown_version_is_not_found, { "GET /subjects/v1/versions/3", NULL, NO_VERSION("3") })

ITEM("SR-63", an_unknown_subject_is_not_found, { "GET /subjects/nosuch/versions/1", NULL, NO_SUBJECT("nosuch") })

ITEM("SR-64", latest_of_an_unknown_subject_is_not_found, { "GET /subjects/nosuch/versions/latest", NULL, NO_SUBJECT("nosuch") })

ITEM("SR-65", versions_of_an_unknown_subject_are_not_found, { "GET /subjects/nosuch/versions", NULL, NO_SUBJECT("nosuch") })

ITEM("SR-66", the_bare_schema_can_be_read, { "GET /subjects/v1/versions/1/schema", NULL, RAW(REST_A1) })

ITEM("SR-67", the_bare_latest_schema_can_be_read, { "GET /subjects/v1/versions/latest/schema", NULL, RAW(REST_A2) })

ITEM("SR-68", the_bare_schema_of_nothing_is_not_found,
     { "GET /subjects/v1/versions/9/schema", NULL, NO_VERSION("9") },
     { "GET /subjects/nosuch/versions/1/schema", NULL, NO_SUBJECT("nosuch") })

ITEM("SR-69", versions_are_paged,
     { "GET /subjects/v1/versions?offset=1&limit=1", NULL, OK("[2]") },
     { "GET /subjects/v1/versions?offset=5", NULL, OK("[]") },
     { "GET /subjects/v1/versions?limit=0", NULL, OK("[1,2]") })

ITEM("SR-70", an_unknown_format_is_the_plain_text,
     { "GET /subjects/v1/versions/1?format=nosuchformat", NULL, STORED("v1", "1", "'$is:a1'", "<GUID>", "<A1>") })

ITEM("SR-71", subjects_are_found_by_prefix,
     { "POST /subjects/v2/versions", "{'schema':<B1>}", OK("{'id':'$int:b1','...':1}") },
     { "POST /subjects/w/versions", "{'schema':<B1>}", OK("{'id':'$is:b1','...':1}") },
     { "GET /subjects?subjectPrefix=v", NULL, OK("['v1','v2']") })

ITEM("SR-72", an_unknown_prefix_finds_nothing, { "GET /subjects?subjectPrefix=zzz", NULL, OK("[]") })

ITEM("SR-73", subjects_are_paged,
     { "GET /subjects?subjectPrefix=v&limit=1", NULL, OK("['v1']") },
     { "GET /subjects?subjectPrefix=v&offset=1&limit=1", NULL, OK("['v2']") })

/* ---- 14.4 reads by id and GUID ------------------------------------------------------------------------------ */

/* which subject is named, when several hold the id, is left open */
ITEM("SR-74", an_id_gives_the_schema,
     { "GET /schemas/ids/<a1>", NULL,
       OK("{'subject':'v1','version':1,'guid':<GUID>,'schemaType':'AVRO','schema':<A1>,'ts':'$ts','deleted':false}") })

ITEM("SR-75", the_highest_id_is_told_when_asked_for,
     { "GET /schemas/ids/<a1>?fetchMaxId=true", NULL,
       OK("{'subject':'v1','version':1,'guid':<GUID>,'schemaType':'AVRO','schema':<A1>,'maxId':'$is:b1','ts':'$ts','deleted':false}") })

ITEM("SR-76", an_unknown_id_is_not_found, { "GET /schemas/ids/999999", NULL, NO(404, 40403, "Schema 999999 not found") })

ITEM("SR-77", a_subject_is_preferred,
     { "POST /subjects/v0/versions", "{'schema':<A1>}", OK("{'id':'$is:a1','...':1}") },
     { "GET /schemas/ids/<a1>?subject=v1", NULL, OK("{'subject':'v1','version':1,'guid':<GUID>,'schemaType':'AVRO','schema':<A1>,'ts':'$ts','deleted':false}") },
     { "GET /schemas/ids/<a1>?subject=v0", NULL, OK("{'subject':'v0','version':1,'guid':<GUID>,'schemaType':'AVRO','schema':<A1>,'ts':'$ts','deleted':false}") })

ITEM("SR-78", an_unknown_subject_falls_back, { "GET /schemas/ids/<a1>?subject=nosuch", NULL, OK("{'subject':'v1','version':1,'guid':<GUID>,'schemaType':'AVRO','schema':<A1>,'ts':'$ts','deleted':false}") })

ITEM("SR-79", an_id_gives_the_bare_schema, { "GET /schemas/ids/<a1>/schema", NULL, RAW(REST_A1) })

ITEM("SR-80", the_bare_schema_of_an_unknown_id_is_not_found,
     { "GET /schemas/ids/999999/schema", NULL, NO(404, 40403, "Schema 999999 not found") })

ITEM("SR-81", all_holders_of_an_id_are_told,
     { "POST /subjects/i2/versions", "{'schema':<A1>}", OK("{'id':'$is:a1','...':1}") },
     { "POST /subjects/i1/versions", "{'schema':<A1>}", OK("{'id':'$is:a1','...':1}") },
     { "GET /schemas/ids/<a1>/subjects", NULL, OK("['i1','i2','v0','v1']") },
     { "GET /schemas/ids/<a1>/versions", NULL,
       OK("['$set',{'subject':'i1','version':1},{'subject':'i2','version':1},{'subject':'v0','version':1},{'subject':'v1','version':1}]") })

ITEM("SR-82", holders_are_paged, 
     { "GET /schemas/ids/<a1>/subjects", NULL, OK("['$text:first','$text','$text','$text']") },
     { "GET /schemas/ids/<a1>/subjects?limit=1", NULL, OK("['$is:first']") })

ITEM("SR-83", holders_of_an_unknown_id_are_not_found,
     { "GET /schemas/ids/999999/subjects", NULL, NO(404, 40403, "Schema not found") },
     { "GET /schemas/ids/999999/versions", NULL, NO(404, 40403, "Schema not found") })

#define BY_GUID \
  OK("{'guid':<GUID>,'schemaType':'AVRO','schema':<A1>,'subject':'$absent','version':'$absent','id':'$absent','ts':'$ts','deleted':false}")

ITEM("SR-84", a_guid_gives_the_schema, { "GET /schemas/guids/" REST_A1_GUID, NULL, BY_GUID })

ITEM("SR-85", a_guid_may_have_no_dashes, { "GET /schemas/guids/6dcd1ea25ae7e905bdc3fe09476b0799", NULL, BY_GUID })

ITEM("SR-86", an_unknown_guid_is_not_found,
     { "GET /schemas/guids/00000000-0000-0000-0000-000000000000", NULL,
       NO(404, 40403, "Schema 00000000-0000-0000-0000-000000000000 not found") },
     { "GET /schemas/guids/xyz", NULL, NO(404, 40403, "Schema xyz not found") })

ITEM("SR-87", the_ids_of_a_guid_are_told,
     { "GET /schemas/guids/" REST_A1_GUID "/ids", NULL, OK("[{'context':'.','id':'$is:a1'}]") })

ITEM("SR-88", an_unknown_guid_has_no_ids, { "GET /schemas/guids/00000000-0000-0000-0000-000000000000/ids", NULL, OK("[]") })

#define LISTED(version, id, guid, schema)                                                                         \
  "{'subject':'v1','version':" version ",'id':" id ",'guid':" guid ",'schemaType':'AVRO','schema':" schema        \
  ",'ts':'$ts','deleted':false}"

ITEM("SR-90", schemas_are_listed_by_prefix,
     { "GET /schemas?subjectPrefix=v1", NULL,
       OK("[" LISTED("1", "'$is:a1'", "<GUID>", "<A1>") "," LISTED("2", "'$is:a2'", "'$is:guid2'", "<A2>") "]") })

ITEM("SR-91", only_the_latest_is_listed_when_asked_for,
     { "GET /schemas?subjectPrefix=v1&latestOnly=true", NULL, OK("[" LISTED("2", "'$is:a2'", "'$is:guid2'", "<A2>") "]") })

ITEM("SR-92", schemas_are_paged,
     { "GET /schemas?subjectPrefix=v1&offset=1&limit=1", NULL, OK("[" LISTED("2", "'$is:a2'", "'$is:guid2'", "<A2>") "]") })

ITEM("SR-93", an_unknown_prefix_lists_nothing, { "GET /schemas?subjectPrefix=nosuch", NULL, OK("[]") })

/* ---- 14.5 lookup -------------------------------------------------------------------------------------------- */

GROUP(lookup_starts_empty)

ITEM("SR-94", a_schema_is_looked_up,
     { "PUT /config", "{'compatibility':'NONE'}", OK("{'compatibility':'NONE'}") },
     { "POST /subjects/l1/versions", "{'schema':<A1>}", OK("{'id':'$int:a1','...':1}") },
     { "POST /subjects/l1/versions", "{'schema':<A2>}", OK("{'id':'$int:a2','...':1}") },
     { "POST /subjects/l1", "{'schema':<A1>}",
       OK("{'subject':'l1','version':1,'id':'$is:a1','guid':<GUID>,'schemaType':'AVRO','schema':<A1>}") })

ITEM("SR-95", an_unknown_schema_is_not_found, { "POST /subjects/l1", "{'schema':<B1>}", NO(404, 40403, "Schema not found") })

ITEM("SR-96", looking_up_in_an_unknown_subject_finds_no_subject, { "POST /subjects/nosuch", "{'schema':<A1>}", NO_SUBJECT("nosuch") })

ITEM("SR-97", what_does_not_parse_is_not_looked_up, { "POST /subjects/l1", "{'schema':<BAD>}", NO(422, 42201, NULL) })

ITEM("SR-98", white_space_does_not_matter,
     { "POST /subjects/l1", "{'schema':<A1_SPACED>}", OK("{'subject':'l1','version':1,'id':'$is:a1','guid':<GUID>,'schemaType':'AVRO','schema':<A1>}") })

ITEM("SR-99", a_deleted_version_is_found_only_when_asked_for,
     { "DELETE /subjects/l1/versions/1", NULL, OK("1") },
     { "POST /subjects/l1", "{'schema':<A1>}", NO(404, 40403, "Schema not found") },
     { "POST /subjects/l1?deleted=true", "{'schema':<A1>}", OK("{'subject':'l1','version':1,'id':'$is:a1','...':1}") })

ITEM("SR-100", a_deleted_subject_is_found_only_when_asked_for,
     { "DELETE /subjects/l1", NULL, OK("[2]") },
     { "POST /subjects/l1", "{'schema':<A2>}", NO_SUBJECT("l1") },
     { "POST /subjects/l1?deleted=true", "{'schema':<A2>}", OK("{'subject':'l1','version':2,'id':'$is:a2','...':1}") })

ITEM("SR-101", normalising_sorts_properties,
     { "POST /subjects/l2/versions?normalize=true", "{'schema':<N>}",
       OK("{'id':'$int:sorted','version':1,'guid':'$uuid:guid_sorted','schemaType':'AVRO','schema':<N_SORTED>}") },
     { "GET /subjects/l2/versions/1", NULL, OK("{'schema':<N_SORTED>,'guid':'$is:guid_sorted','...':1}") },
     { "POST /subjects/l3/versions", "{'schema':<N>}", OK("{'id':'$not:sorted','version':1,'guid':'$not:guid_sorted','schemaType':'AVRO','schema':<N>}") },
     { "GET /subjects/l3/versions/1", NULL, OK("{'schema':<N>,'guid':'$not:guid_sorted','...':1}") })

ITEM("SR-102", the_order_of_properties_does_not_matter_for_a_lookup,
     { "POST /subjects/l2", "{'schema':<N>}", OK("{'subject':'l2','version':1,'id':'$is:sorted','...':1}") },
     { "PUT /config/l4", "{'normalize':true}", OK("{'normalize':true}") },
     { "POST /subjects/l4/versions", "{'schema':<N>}", OK("{'id':'$is:sorted','version':1,'schema':<N_SORTED>,'...':1}") })

THE_END
