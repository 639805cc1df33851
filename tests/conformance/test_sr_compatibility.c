/* spec/schema-registry.md section 14.8: the compatibility endpoints. Verdicts of levels and histories: test_sr_compat.c. */
#include "tests/support/rest.h"

#define CHECK(where) "POST /compatibility/subjects/" where
#define A2_BODY "{'schema':<A2>}"
#define A3_BODY "{'schema':<A3>}"
#define YES OK("{'is_compatible':true}")
#define NOT OK("{'is_compatible':false}")

/* quotes stand inside these texts: no table can hold them */
static void reasons(const csfle_test_reply *p)
{
  static const char *const want[] = {
    "{errorType:'READER_FIELD_MISSING_DEFAULT_VALUE', description:'The field 'f2' at path '/fields/1' in the new schema has no default value and is missing in the old schema', additionalInfo:'f2'}",
    "{oldSchemaVersion: 1}", "{oldSchema: '" REST_A1 "'}", "{validateFields: 'false', compatibility: 'BACKWARD'}",
  };
  yyjson_doc *doc = yyjson_read(p->body, p->len, 0);
  yyjson_val *got = yyjson_obj_get(yyjson_doc_get_root(doc), "messages");
  assert_int_equal(yyjson_arr_size(got), 4);
  for (size_t i = 0; i < 4; i++) assert_string_equal(yyjson_get_str(yyjson_arr_get(got, i)), want[i]);
  yyjson_doc_free(doc);
}

GROUP(compatibility_starts_empty)

ITEM("SR-142", a_compatible_schema_is_told, { "POST /subjects/c1/versions", "{'schema':<A1>}", OK("{'version':1,'...':1}") },
     { CHECK("c1/versions/latest"), A2_BODY, YES })

ITEM("SR-143", an_incompatible_schema_is_told_without_reasons, { CHECK("c1/versions/latest"), A3_BODY, NOT },
     { CHECK("c1/versions/latest?verbose=false"), A3_BODY, NOT })

ITEM("SR-144", verbose_tells_the_reasons, { CHECK("c1/versions/latest?verbose=true"), A3_BODY, OK("{'is_compatible':false,'messages':['$text','$text','$text','$text']}"), .check = reasons })

ITEM("SR-145", verbose_has_no_reasons_against_a_compatible_schema,
     { CHECK("c1/versions/latest?verbose=true"), A2_BODY, OK("{'is_compatible':true,'messages':[]}") })

ITEM("SR-146", one_version_is_compared, { CHECK("c1/versions/1"), A2_BODY, YES }, { CHECK("c1/versions/1"), A3_BODY, NOT })

ITEM("SR-147", an_unknown_version_is_not_found,
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

ITEM("SR-153", all_versions_are_compared, { CHECK("c1/versions"), A3_BODY, NOT }, { CHECK("c1/versions"), A2_BODY, YES })

ITEM("SR 4.6", normalising_changes_no_verdict, { CHECK("c1/versions?normalize=true"), A3_BODY, NOT }, { CHECK("c1/versions/1?normalize=true"), A2_BODY, YES })

ITEM("SR-154", everything_goes_under_none,
     { "PUT /config/c1", "{'compatibility':'NONE'}", OK("{'compatibility':'NONE'}") },
     { CHECK("c1/versions/latest"), "{'schema':<A3>}", YES },
     { CHECK("c1/versions/latest?verbose=true"), "{'schema':<A3>}", OK("{'is_compatible':true,'messages':[]}") },
     { CHECK("c1/versions"), "{'schema':<A3>}", YES })

ITEM("SR-155", the_old_schema_may_read_the_new_one,
     { "PUT /config/c1", "{'compatibility':'FORWARD'}", OK("{'compatibility':'FORWARD'}") },
     { CHECK("c1/versions/latest"), A3_BODY, YES })

ITEM("SR-156", checking_registers_nothing, { "GET /subjects/c1/versions", NULL, OK("[1]") }, { "GET /subjects", NULL, OK("['c1']") })

THE_END
