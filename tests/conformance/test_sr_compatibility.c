/*
 * spec/schema-registry.md section 14.8 as far as nothing has to be compared: what is answered without looking at both
 * schemas, and that the comparison that is not there yet is refused.
 */
#include "tests/support/rest.h"

#define CHECK(where) "POST /compatibility/subjects/" where
#define A2_BODY "{'schema':<A2>}"
#define YES OK("{'is_compatible':true}")

GROUP(compatibility_starts_empty)

ITEM("SR-147", an_unknown_version_is_not_found,
     { "POST /subjects/c1/versions", "{'schema':<A1>}", OK("{'version':1,'...':1}") },
     { CHECK("c1/versions/99"), A2_BODY, NO(404, 40402, "Version 99 not found.") })

ITEM("SR-148", a_version_of_an_unknown_subject_is_not_found,
     { CHECK("nosuch/versions/1"), A2_BODY, NO(404, 40402, "Version 1 not found.") })

ITEM("SR-149", everything_goes_with_the_latest_of_nothing, { CHECK("nosuch/versions/latest"), A2_BODY, YES })

ITEM("SR-150", everything_goes_with_all_of_nothing, { CHECK("nosuch/versions"), A2_BODY, YES },
     { CHECK("nosuch/versions?verbose=true"), A2_BODY, OK("{'is_compatible':true,'messages':[]}") })

ITEM("SR-151", texts_are_no_versions,
     { CHECK("c1/versions/abc"), A2_BODY,
       NO(422, 42202, "The specified version 'abc' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\"") })

ITEM("SR-152", what_does_not_parse_is_not_compared,
     { CHECK("c1/versions/latest"), "{'schema':<BAD>}", NO(422, 42201, NULL) },
     { CHECK("c1/versions/latest?verbose=true"), "{'schema':<BAD>}", OK("{'is_compatible':false,'messages':['$text']}") })

ITEM("SR 4.6", a_schema_goes_with_itself, { CHECK("c1/versions/latest"), "{'schema':<A1>}", YES },
     { CHECK("c1/versions/1?verbose=true"), "{'schema':<A1_SPACED>}", OK("{'is_compatible':true,'messages':[]}") })

ITEM("SR 4.6", comparing_is_refused_loudly,
     { CHECK("c1/versions/latest"), A2_BODY, NO(501, 501, "*not supported yet by this server") })

ITEM("SR-154", everything_goes_under_none,
     { "PUT /config/c1", "{'compatibility':'NONE'}", OK("{'compatibility':'NONE'}") },
     { CHECK("c1/versions/latest"), "{'schema':<A3>}", YES },
     { CHECK("c1/versions/latest?verbose=true"), "{'schema':<A3>}", OK("{'is_compatible':true,'messages':[]}") },
     { CHECK("c1/versions"), "{'schema':<A3>}", YES })

ITEM("SR-156", checking_registers_nothing, { "GET /subjects/c1/versions", NULL, OK("[1]") }, { "GET /subjects", NULL, OK("['c1']") })

THE_END
