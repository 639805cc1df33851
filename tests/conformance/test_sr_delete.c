/* spec/schema-registry.md sections 14.6 and 14.7: deleting, and schemas that refer to others. */
#include "tests/support/rest.h"

#define NO_SUBJECT(name) NO(404, 40401, "Subject '" name "' not found.")
#define NO_VERSION(n) NO(404, 40402, "Version " n " not found.")
#define REGISTERED(id, version) OK("{'id':" id ",'version':" version ",'guid':'$uuid','schemaType':'AVRO','schema':'$text','...':1}")
#define REGISTER(subject, schema, id, version) \
  { "POST /subjects/" subject "/versions", "{'schema':" schema "}", REGISTERED(id, version) }
#define NONE { "PUT /config", "{'compatibility':'NONE'}", OK("{'compatibility':'NONE'}") }

/* ---- 14.6 deletion ------------------------------------------------------------------------------------------ */

GROUP(deletion_starts_empty)

ITEM("SR-103", deleting_a_version_answers_its_number, NONE,
     REGISTER("d1", "<A1>", "'$int:a1'", "1"), REGISTER("d1", "<A2>", "'$int:a2'", "2"),
     { "DELETE /subjects/d1/versions/1", NULL, OK("1") })

ITEM("SR-104", deleted_versions_are_listed_when_asked_for,
     { "GET /subjects/d1/versions", NULL, OK("[2]") },
     { "GET /subjects/d1/versions?deleted=true", NULL, OK("[1,2]") },
     { "GET /subjects/d1/versions?deletedOnly=true", NULL, OK("[1]") },
     { "GET /subjects/d1/versions?deletedAsNegative=true", NULL, OK("[-1,2]") })

ITEM("SR-105", a_deleted_version_is_read_when_asked_for,
     { "GET /subjects/d1/versions/1", NULL, NO_VERSION("1") },
     { "GET /subjects/d1/versions/1?deleted=true", NULL,
       OK("{'subject':'d1','version':1,'id':'$is:a1','guid':<GUID>,'schemaType':'AVRO','schema':<A1>,'ts':'$ts','deleted':true}") })

ITEM("SR-106", the_id_of_a_deleted_version_is_read,
     { "GET /schemas/ids/<a1>", NULL, 
       OK("{'subject':'d1','version':1,'guid':<GUID>,'schemaType':'AVRO','schema':<A1>,'ts':'$ts','deleted':true}") })

ITEM("SR-107", a_deleted_version_is_not_deleted_again,
     { "DELETE /subjects/d1/versions/1", NULL,
       NO(404, 40406, "Subject 'd1' Version 1 was soft deleted.Set permanent=true to delete permanently") })

ITEM("SR-108", a_live_version_is_not_removed_for_good,
     { "DELETE /subjects/d1/versions/2?permanent=true", NULL,
       NO(404, 40407, "Subject 'd1' Version 2 was not deleted first before being permanently deleted") },
     { "GET /subjects/d1/versions", NULL, OK("[2]") })

ITEM("SR-109", a_deleted_version_is_removed_for_good,
     { "DELETE /subjects/d1/versions/1?permanent=true", NULL, OK("1") },
     { "GET /subjects/d1/versions?deleted=true", NULL, OK("[2]") })

ITEM("SR-110", deleting_what_is_not_there_is_not_found,
     { "DELETE /subjects/d1/versions/9", NULL, NO_VERSION("9") },
     { "DELETE /subjects/nosuch/versions/1", NULL, NO_SUBJECT("nosuch") },
     { "DELETE /subjects/d1/versions/0", NULL,
       NO(422, 42202, "The specified version '0' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\"") })

ITEM("SR-111", latest_is_deleted_by_its_number,
     REGISTER("d2", "<A1>", "'$any'", "1"), REGISTER("d2", "<A2>", "'$is:a2'", "2"),
     { "DELETE /subjects/d2/versions/latest", NULL, OK("2") },
     { "GET /subjects/d2/versions/latest", NULL, 
       OK("{'subject':'d2','version':1,'id':'$int','guid':<GUID>,'schemaType':'AVRO','schema':<A1>,'ts':'$ts','deleted':false}") })

ITEM("SR-112", deleting_the_last_version_hides_the_subject,
     { "DELETE /subjects/d2/versions/latest", NULL, OK("1") },
     { "GET /subjects/d2/versions", NULL, NO_SUBJECT("d2") },
     { "GET /subjects/d2/versions/latest", NULL, NO_SUBJECT("d2") })

ITEM("SR-113", latest_is_never_a_deleted_version,
     { "GET /subjects/d2/versions/latest?deleted=true", NULL, NO_VERSION("-1") })

ITEM("SR-127", deleted_schemas_are_listed_when_asked_for,
     { "GET /schemas?subjectPrefix=d2&deleted=true", NULL,
       OK("[{'subject':'d2','version':1,'schema':<A1>,'deleted':true,'...':1},{'subject':'d2','version':2,'schema':<A2>,'deleted':true,'...':1}]") },
     { "GET /schemas?subjectPrefix=d2", NULL, OK("[]") })

ITEM("SR-114", deleting_a_subject_answers_its_versions,
     REGISTER("d3", "<A1>", "'$any'", "1"), REGISTER("d3", "<A2>", "'$is:a2'", "2"),
     { "DELETE /subjects/d3", NULL, OK("[1,2]") })

ITEM("SR-115", a_deleted_subject_is_listed_when_asked_for,
     { "GET /subjects", NULL, OK("['d1']") },
     { "GET /subjects?deleted=true", NULL, OK("['d1','d2','d3']") },
     { "GET /subjects?deletedOnly=true", NULL, OK("['d2','d3']") })

ITEM("SR-116", a_deleted_subject_is_not_deleted_again,
     { "DELETE /subjects/d3", NULL, NO(404, 40404, "Subject 'd3' was soft deleted.Set permanent=true to delete permanently") })

ITEM("SR-117", a_deleted_subject_is_removed_for_good,
     { "DELETE /subjects/d3?permanent=true", NULL, OK("[1,2]") },
     { "GET /subjects?deleted=true", NULL, OK("['d1','d2']") },
     { "DELETE /subjects/d3?permanent=true", NULL, NO_SUBJECT("d3") })

ITEM("SR-118", a_live_subject_is_not_removed_for_good,
     REGISTER("d4", "<A1>", "'$any'", "1"),
     { "DELETE /subjects/d4?permanent=true", NULL,
       NO(404, 40405, "Subject 'd4' was not deleted first before being permanently deleted") },
     { "GET /subjects/d4/versions", NULL, OK("[1]") })

ITEM("SR-119", an_unknown_subject_is_not_deleted,
     { "DELETE /subjects/nosuch", NULL, NO_SUBJECT("nosuch") },
     { "DELETE /subjects/nosuch?permanent=true", NULL, NO_SUBJECT("nosuch") })

ITEM("SR-120", registering_deleted_content_gives_the_old_id_and_a_new_version,
     REGISTER("d5", "<A1>", "'$int:id1'", "1"), REGISTER("d5", "<A2>", "'$int:id2'", "2"),
     { "DELETE /subjects/d5", NULL, OK("[1,2]") },
     REGISTER("d5", "<A1>", "'$is:id1'", "3"), REGISTER("d5", "<A2>", "'$is:id2'", "4"),
     { "GET /subjects/d5/versions", NULL, OK("[3,4]") })

ITEM("SR-121", old_versions_of_the_same_id_are_gone, { "GET /subjects/d5/versions?deleted=true", NULL, OK("[3,4]") })

ITEM("SR-122", ids_are_not_used_again_but_guids_are,
     { "POST /subjects/d6/versions", "{'schema':<B1>}", OK("{'id':'$int:before','version':1,'guid':'$uuid:guid','...':1}") },
     { "DELETE /subjects/d6", NULL, OK("[1]") },
     { "DELETE /subjects/d6?permanent=true", NULL, OK("[1]") },
     { "POST /subjects/d6/versions", "{'schema':<B1>}", OK("{'id':'$gt:before','version':1,'guid':'$is:guid','...':1}") })

ITEM("SR-123", deleted_versions_are_not_compared_with,
     { "PUT /config/d7", "{'compatibility':'BACKWARD'}", OK("{'compatibility':'BACKWARD'}") },
     REGISTER("d7", "<A1>", "'$any'", "1"),
     { "DELETE /subjects/d7", NULL, OK("[1]") },
     REGISTER("d7", "<A3>", "'$int'", "2"))

ITEM("SR-124", numbers_of_deleted_versions_are_not_used_again,
     REGISTER("d8", "<A1>", "'$any'", "1"), REGISTER("d8", "<A2>", "'$any'", "2"),
     { "DELETE /subjects/d8/versions/2", NULL, OK("2") },
     { "POST /subjects/d8/versions", "{'schema':<A4>}",
       OK("{'id':'$int','version':3,'guid':'$uuid','schemaType':'AVRO','schema':<A4>}") })

ITEM("SR-125", deleting_a_subject_keeps_its_config,
     { "PUT /config/d9", "{'compatibility':'FULL'}", OK("{'compatibility':'FULL'}") },
     REGISTER("d9", "<A1>", "'$any'", "1"),
     { "DELETE /subjects/d9", NULL, OK("[1]") },
     { "GET /config/d9", NULL, OK("{'compatibilityLevel':'FULL'}") })

ITEM("SR-126", removing_a_subject_for_good_removes_its_config,
     { "DELETE /subjects/d9?permanent=true", NULL, OK("[1]") },
     { "GET /config/d9", NULL, NO(404, 40408, "Subject 'd9' does not have subject-level compatibility configured") })

GROUP(holders_start_empty)

ITEM("SR-128", deleted_holders_of_an_id_are_told_when_asked_for,
     REGISTER("d10", "<A1>", "'$int:id'", "1"),
     { "DELETE /subjects/d10", NULL, OK("[1]") },
     { "GET /schemas/ids/<id>/subjects?deleted=true", NULL, OK("['d10']") },
     { "GET /schemas/ids/<id>/subjects", NULL, OK("[]") })

/* ---- 14.7 references ---------------------------------------------------------------------------------------- */

#define TO(subject, version) "'references':[{'name':'User','subject':'" subject "','version':" version "}]"

GROUP(references_start_empty)

ITEM("SR-129", a_reference_is_stored_and_not_inlined, NONE,
     REGISTER("ref1", "<A1>", "'$int:a1'", "1"),
     { "POST /subjects/ref2/versions", "{'schema':<W1>," TO("ref1", "1") "}",
       OK("{'id':'$int:w1','version':1,'guid':'$uuid:guid','schemaType':'AVRO','schema':<W1>," TO("ref1", "1") ",'...':1}") },
     { "GET /subjects/ref2/versions/1", NULL,
       OK("{'subject':'ref2','version':1,'id':'$is:w1','guid':'$is:guid','schemaType':'AVRO','schema':<W1>," TO("ref1", "1")
          ",'ts':'$ts','deleted':false}") })

ITEM("SR-130", referrers_are_told,
     { "GET /subjects/ref1/versions/1/referencedby", NULL, OK("['$is:w1']") },
     { "GET /subjects/ref2/versions/1/referencedby", NULL, OK("[]") })

ITEM("SR-131", a_referenced_version_is_not_deleted,
     { "DELETE /subjects/ref1/versions/1", NULL,
       NO(422, 42206, "One or more references exist to the schema {magic=1,keytype=SCHEMA,subject=ref1,version=1}.") })

ITEM("SR-132", a_referenced_subject_is_not_deleted,
     { "DELETE /subjects/ref1", NULL,
       NO(422, 42206, "One or more references exist to the schema {magic=1,keytype=SCHEMA,subject=ref1,version=1}.") },
     { "GET /subjects/ref1/versions", NULL, OK("[1]") })

ITEM("SR-133", a_deleted_referrer_still_counts_for_removing,
     { "DELETE /subjects/ref2", NULL, OK("[1]") },
     { "GET /subjects/ref1/versions/1/referencedby", NULL, OK("[]") },
     { "GET /subjects/ref1/versions/1/referencedby?deleted=true", NULL, OK("['$is:w1']") },
     { "DELETE /subjects/ref1", NULL, OK("[1]") },
     { "DELETE /subjects/ref1?permanent=true", NULL,
       NO(422, 42206, "One or more references exist to the schema {magic=1,keytype=SCHEMA,subject=ref1,version=1}.") })

ITEM("SR-134", without_referrers_a_subject_is_removed,
     { "DELETE /subjects/ref2?permanent=true", NULL, OK("[1]") },
     { "DELETE /subjects/ref1?permanent=true", NULL, OK("[1]") })

ITEM("SR-135", a_reference_to_nothing_is_refused,
     { "POST /subjects/ref4/versions", "{'schema':<W1>," TO("nosuch", "1") "}",
       NO(422, 42201, "*No schema reference found for subject \"nosuch\" and version 1") })

ITEM("SR-136", a_reference_to_a_deleted_version_is_refused,
     REGISTER("gone", "<A1>", "'$int'", "1"), REGISTER("gone", "<A2>", "'$int'", "2"),
     { "DELETE /subjects/gone/versions/1", NULL, OK("1") },
     { "POST /subjects/ref4/versions", "{'schema':<W1>," TO("gone", "1") "}",
       NO(422, 42201, "*No schema reference found for subject \"gone\" and version 1") })

ITEM("SR-137", a_reference_to_latest_becomes_a_number,
     { "POST /subjects/ref5/versions", "{'schema':<W1>," TO("gone", "-1") "}",
       OK("{'id':'$int','version':1,'guid':'$uuid','schemaType':'AVRO','schema':<W1>," TO("gone", "2") "}") },
     { "GET /subjects/ref5/versions/1", NULL, OK("{'subject':'ref5','version':1,'id':'$int','guid':'$uuid','schemaType':'AVRO','schema':<W1>," TO("gone", "2") ",'ts':'$ts','deleted':false}") })

ITEM("SR-138", an_unknown_name_is_refused, { "POST /subjects/ref6/versions", "{'schema':<W1>}", NO(422, 42201, "*Invalid schema of type AVRO") })

#define USES_OTHER "'{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"Wrap\\\",\\\"fields\\\":[{\\\"name\\\":\\\"o\\\",\\\"type\\\":\\\"Other\\\"}]}'"

ITEM("SR-139", references_within_a_subject_do_not_count,
     REGISTER("ref3", "<B1>", "'$int'", "1"),
     { "POST /subjects/ref3/versions",
       "{'schema':" USES_OTHER ",'references':[{'name':'Other','subject':'ref3','version':1}]}", REGISTERED("'$int'", "2") },
     { "DELETE /subjects/ref3", NULL, OK("[1,2]") },
     { "DELETE /subjects/ref3?permanent=true", NULL, OK("[1,2]") })

ITEM("SR-140", referrers_of_nothing_are_not_found,
     { "GET /subjects/nosuch/versions/1/referencedby", NULL, NO_SUBJECT("nosuch") },
     { "GET /subjects/gone/versions/99/referencedby", NULL, NO_VERSION("99") })

/* the text must be one schema: User where it is first used, W1's fields around it */
#define RESOLVED                                                                                                   \
  "'{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"Wrap\\\",\\\"fields\\\":[{\\\"name\\\":\\\"u\\\",\\\"type\\\":"  \
  "{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"User\\\",\\\"fields\\\":[{\\\"name\\\":\\\"f1\\\",\\\"type\\\":"  \
  "\\\"string\\\"}]}}]}'"

ITEM("SR-141", references_are_resolved_when_asked_for,
     REGISTER("r", "<A1>", "'$int'", "1"),
     { "POST /subjects/s/versions", "{'schema':<W1>," TO("r", "1") "}", OK("{'version':1,'guid':'$uuid:plain','...':1}") },
     { "GET /subjects/s/versions/1?format=resolved", NULL,
       OK("{'subject':'s','version':1,'id':'$int','guid':'$is:plain','schemaType':'AVRO','schema':" RESOLVED "," TO("r", "1")
          ",'ts':'$ts','deleted':false}") })

THE_END
