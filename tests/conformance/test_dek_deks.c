/* spec/dek-registry.md section 15, D to F and H: creating, reading, deleting and rewrapping DEKs of a KEK that is not shared. */
#include "tests/support/rest.h"

#include <string.h>
#include <time.h>

#define FIELD(name) NO(422, 42271, "Invalid or missing value for field '" name "' of key")
#define TAKEN(name) NO(409, 40971, "Key '" name "' already exists; use a different value")
#define MISSING(name) NO(404, 40470, "Key '" name "' not found")
#define VERSION(text)                                                                                              \
  NO(422, 42202, "The specified version '" text                                                                    \
                 "' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\"")
#define LIVE(name) NO(404, 40471, "Key '" name "' was not deleted first before being permanently deleted")
#define CREATE_K "{'name':'k','kmsType':'local-kms','kmsKeyId':'mykey'}"
#define KEK(name) "{'name':'" name "','kmsType':'local-kms','kmsKeyId':'mykey','kmsProps':{},'shared':false,'ts':'$ts'}"
#define WITH(material) "{'encryptedKeyMaterial':" material "}"
#define DEK_IS(subject, version, algorithm, material)                                                              \
  "{'kekName':'k','subject':'" subject "','version':" version ",'algorithm':'" algorithm                           \
  "','encryptedKeyMaterial':" material ",'ts':'$ts'}"
#define DELETED_DEK(subject, version, algorithm, material)                                                         \
  "{'kekName':'k','subject':'" subject "','version':" version ",'algorithm':'" algorithm                           \
  "','encryptedKeyMaterial':" material ",'ts':'$ts','deleted':true}"
#define DEK(subject, version, algorithm) OK(DEK_IS(subject, version, algorithm, "<W>"))
#define GCM "AES256_GCM"

/* ---- D. creation -------------------------------------------------------------------------------------------- */

GROUP(group_d_starts_empty)

ITEM("DEK-59", a_new_dek_has_exactly_these_members,
     { "POST ~/keks", CREATE_K, OK(KEK("k")) },
     { "POST ~/keks/k/deks/s1", "{'algorithm':'AES256_GCM','encryptedKeyMaterial':<W>}", DEK("s1", "1", GCM) })

ITEM("DEK-60", algorithm_and_version_have_defaults,
     { "POST ~/keks/k/deks/s2", WITH("<W>"), DEK("s2", "1", GCM) })

ITEM("DEK-61", a_kek_that_is_not_shared_needs_the_material,
     { "POST ~/keks/k/deks/s3", "{}", FIELD("encryptedKeyMaterial") }, { "GET ~/keks/k/deks/s3", NULL, MISSING("s3") })

ITEM("DEK-62", creating_a_dek_twice_conflicts,
     { "POST ~/keks/k/deks/s1", "{'algorithm':'AES256_GCM','encryptedKeyMaterial':<W>}", TAKEN("s1") })

ITEM("DEK-63", creating_it_with_other_material_conflicts,
     { "POST ~/keks/k/deks/s1", "{'algorithm':'AES256_GCM','encryptedKeyMaterial':'bmV3'}", TAKEN("s1") },
     { "GET ~/keks/k/deks/s1", NULL, DEK("s1", "1", GCM) })

ITEM("DEK-64", another_version_is_another_key,
     { "POST ~/keks/k/deks/s1", "{'algorithm':'AES256_GCM','version':2,'encryptedKeyMaterial':<W>}", DEK("s1", "2", GCM) })

ITEM("DEK-65", another_algorithm_counts_for_itself,
     { "POST ~/keks/k/deks/s1", "{'algorithm':'AES128_GCM','encryptedKeyMaterial':<W>}", DEK("s1", "1", "AES128_GCM") })

ITEM("DEK-66", versions_may_have_gaps,
     { "POST ~/keks/k/deks/s1", "{'version':5,'encryptedKeyMaterial':<W>}", DEK("s1", "5", GCM) },
     { "GET ~/keks/k/deks/s1/versions", NULL, OK("[1,2,5]") })

ITEM("DEK-67", the_old_form_takes_the_subject_from_the_body,
     { "POST ~/keks/k/deks", "{'subject':'s4','encryptedKeyMaterial':<W>}", DEK("s4", "1", GCM) },
     { "GET ~/keks/k/deks/s4", NULL, DEK("s4", "1", GCM) })

ITEM("DEK-68", the_old_form_needs_a_subject, { "POST ~/keks/k/deks", WITH("<W>"), FIELD("subject") })

ITEM("DEK-69", the_subject_of_the_path_wins,
     { "POST ~/keks/k/deks/s5", "{'subject':'other','encryptedKeyMaterial':<W>}", DEK("s5", "1", GCM) },
     { "GET ~/keks/k/deks/other", NULL, MISSING("other") })

ITEM("DEK-70", an_unknown_algorithm_in_a_body_is_a_bad_request,
     { "POST ~/keks/k/deks/s70", "{'algorithm':'NOPE','encryptedKeyMaterial':<W>}",
       NO(400, 400, "^Cannot deserialize value of type `DekFormat` from String \"NOPE\"") },
     { "GET ~/keks/k/deks/s70", NULL, MISSING("s70") })

ITEM("DEK-71", algorithms_are_case_sensitive,
     { "POST ~/keks/k/deks/s71", "{'algorithm':'aes256_gcm','encryptedKeyMaterial':<W>}", NO(400, 400, NULL) })

ITEM("DEK-72", null_means_the_default,
     { "POST ~/keks/k/deks/s6", "{'version':null,'algorithm':null,'encryptedKeyMaterial':<W>,'deleted':false}",
       DEK("s6", "1", GCM) })

ITEM("DEK-73", digits_in_a_text_are_a_version,
     { "POST ~/keks/k/deks/s6", "{'version':'2','encryptedKeyMaterial':<W>}", DEK("s6", "2", GCM) })

ITEM("DEK-74", a_dek_needs_its_kek, { "POST ~/keks/nope/deks/s", WITH("<W>"), MISSING("nope") })

ITEM("DEK-75", creating_a_dek_needs_a_body,
     { "POST ~/keks/k/deks/s7", NULL, NO(422, 422, "createDekWithSubject.arg5 must not be null (was null)") },
     { "POST ~/keks/k/deks", NULL, NO(422, 422, "createDek.arg3 must not be null (was null)") })

ITEM("DEK-76", material_is_stored_as_it_is,
     { "POST ~/keks/k/deks/s8", WITH("'!!! not base64'"), OK(DEK_IS("s8", "1", GCM, "'!!! not base64'")) },
     { "GET ~/keks/k/deks/s8", NULL, OK(DEK_IS("s8", "1", GCM, "'!!! not base64'")) })

ITEM("DEK-77", an_escaped_slash_belongs_to_the_subject,
     { "POST ~/keks/k/deks/a%2Fb", WITH("<W>"), DEK("a/b", "1", GCM) },
     { "GET ~/keks/k/deks/a%2Fb", NULL, DEK("a/b", "1", GCM) })

static void refused_as_subject(const csfle_test_reply *p)
{
  assert_true((p->status == 422 && strstr(p->body, "\"error_code\":42271") && strstr(p->body, "field 'subject' of key")) ||
              (p->status == 400 && strstr(p->body, "\"error_code\":400,")));
}

ITEM("DEK-78", subjects_hold_no_control_characters,
     { "POST ~/keks/k/deks", "{'subject':'a\\u0001b','encryptedKeyMaterial':<W>}", FIELD("subject") },
     { "POST ~/keks/k/deks", "{'subject':'','encryptedKeyMaterial':<W>}", FIELD("subject") },
     { "POST ~/keks/k/deks/a%01b", WITH("<W>"), 0, 0, NULL, .check = refused_as_subject })

ITEM("DEK-79", a_blank_belongs_to_the_subject,
     { "POST ~/keks/k/deks/a%20b", WITH("<W>"), DEK("a b", "1", GCM) })

ITEM("DEK-80", a_dek_may_be_created_deleted,
     { "POST ~/keks/k/deks/s9", "{'encryptedKeyMaterial':<W>,'deleted':true}", OK(DELETED_DEK("s9", "1", GCM, "<W>")) },
     { "GET ~/keks/k/deks/s9", NULL, MISSING("s9") })

ITEM("DEK-81", under_a_deleted_kek_only_deleted_deks_are_created,
     { "POST ~/keks", "{'name':'g','kmsType':'local-kms','kmsKeyId':'mykey'}", OK(KEK("g")) },
     { "DELETE ~/keks/g", NULL, EMPTY },
     { "POST ~/keks/g/deks/s", WITH("<W>"), MISSING("g") },
     { "POST ~/keks/g/deks/s", "{'encryptedKeyMaterial':<W>,'deleted':true}",
       OK("{'kekName':'g','subject':'s','version':1,'algorithm':'AES256_GCM','encryptedKeyMaterial':<W>,'ts':'$ts','deleted':true}") })

/* ---- E. reading --------------------------------------------------------------------------------------------- */

GROUP(group_e_starts_empty)

ITEM("DEK E", keys_of_the_group_are_there,
     { "POST ~/keks", CREATE_K, OK(KEK("k")) },
     { "POST ~/keks/k/deks/s2", WITH("<W>"), DEK("s2", "1", GCM) },
     { "POST ~/keks/k/deks/s1", "{'version':2,'encryptedKeyMaterial':<W>}", DEK("s1", "2", GCM) },
     { "POST ~/keks/k/deks/s1", WITH("<W>"), DEK("s1", "1", GCM) },
     { "POST ~/keks/k/deks/s1", "{'algorithm':'AES128_GCM','encryptedKeyMaterial':<W>}", DEK("s1", "1", "AES128_GCM") })

ITEM("DEK-82", subjects_are_listed_sorted, { "GET ~/keks/k/deks", NULL, OK("['s1','s2']") })

ITEM("DEK-83", without_a_version_version_1_is_read, { "GET ~/keks/k/deks/s1", NULL, DEK("s1", "1", GCM) })

ITEM("DEK-84", the_algorithm_is_part_of_the_address,
     { "GET ~/keks/k/deks/s1?algorithm=AES128_GCM", NULL, DEK("s1", "1", "AES128_GCM") })

ITEM("DEK-85", versions_are_listed_for_one_algorithm,
     { "GET ~/keks/k/deks/s1/versions", NULL, OK("[1,2]") },
     { "GET ~/keks/k/deks/s1/versions?algorithm=AES128_GCM", NULL, OK("[1]") },
     { "GET ~/keks/k/deks/s1/versions?algorithm=AES256_SIV", NULL, OK("[]") })

ITEM("DEK-86", latest_is_the_highest_version,
     { "GET ~/keks/k/deks/s1/versions/latest", NULL, DEK("s1", "2", GCM) },
     { "GET ~/keks/k/deks/s1/versions/-1", NULL, DEK("s1", "2", GCM) },
     { "GET ~/keks/k/deks/s1/versions/LATEST", NULL, DEK("s1", "2", GCM) })

ITEM("DEK-87", a_version_is_read_by_its_number,
     { "GET ~/keks/k/deks/s1/versions/2", NULL, DEK("s1", "2", GCM) },
     { "GET ~/keks/k/deks/s1/versions/99", NULL, MISSING("s1") })

ITEM("DEK-88", version_0_is_invalid, { "GET ~/keks/k/deks/s1/versions/0", NULL, VERSION("0") })

ITEM("DEK-89", other_texts_are_no_versions,
     { "GET ~/keks/k/deks/s1/versions/abc", NULL, VERSION("abc") },
     { "GET ~/keks/k/deks/s1/versions/-2", NULL, VERSION("-2") },
     { "GET ~/keks/k/deks/s1/versions/2147483648", NULL, VERSION("2147483648") })

ITEM("DEK-90", the_version_is_looked_at_before_the_kek,
     { "GET ~/keks/nope/deks/s1/versions/abc", NULL, VERSION("abc") },
     { "GET ~/keks/nope/deks/s1/versions/1", NULL, MISSING("nope") })

ITEM("DEK-91", an_unknown_subject_has_no_versions,
     { "GET ~/keks/k/deks/none", NULL, MISSING("none") },
     { "GET ~/keks/k/deks/none/versions", NULL, OK("[]") },
     { "GET ~/keks/k/deks/none/versions/latest", NULL, MISSING("none") })

ITEM("DEK-92", lists_of_an_unknown_kek_are_not_found,
     { "GET ~/keks/nope/deks", NULL, MISSING("nope") }, { "GET ~/keks/nope/deks/s1/versions", NULL, MISSING("nope") })

ITEM("DEK-93", an_unknown_algorithm_in_a_query_is_not_found,
     { "GET ~/keks/k/deks/s1?algorithm=FOO", NULL, NO(404, 404, "HTTP 404 Not Found") })

ITEM("DEK-94", a_limit_that_is_no_number_is_not_found,
     { "GET ~/keks?limit=abc", NULL, NO(404, 404, "HTTP 404 Not Found") })

ITEM("DEK-97", lists_of_subjects_and_versions_are_paged,
     { "GET ~/keks/k/deks?offset=1&limit=1", NULL, OK("['s2']") },
     { "GET ~/keks/k/deks/s1/versions?offset=1&limit=1", NULL, OK("[2]") })

ITEM("DEK-99", keks_are_found_by_the_subjects_of_their_deks,
     { "POST ~/keks", "{'name':'empty','kmsType':'local-kms','kmsKeyId':'mykey'}", OK(KEK("empty")) },
     { "GET ~/keks?subjectPrefix=s", NULL, OK("['k']") },
     { "GET ~/keks?subjectPrefix=zzz", NULL, OK("[]") },
     { "GET ~/keks?subjectPrefix=", NULL, OK("['k']") })

ITEM("DEK-100", several_prefixes_add_up,
     { "POST ~/keks", "{'name':'j','kmsType':'local-kms','kmsKeyId':'mykey'}", OK(KEK("j")) },
     { "POST ~/keks/j/deks/foo1", WITH("<W>"),
       OK("{'kekName':'j','subject':'foo1','version':1,'algorithm':'AES256_GCM','encryptedKeyMaterial':<W>,'ts':'$ts'}") },
     { "GET ~/keks?subjectPrefix=foo&subjectPrefix=s1", NULL, OK("['j','k']") },
     { "GET ~/keks?subjectPrefix=foo&subjectPrefix=s1&offset=1&limit=1", NULL, OK("['k']") })

GROUP(paging_starts_empty)

ITEM("DEK-95", keks_are_paged,
     { "POST ~/keks", "{'name':'c','kmsType':'local-kms','kmsKeyId':'mykey'}", OK(KEK("c")) },
     { "POST ~/keks", "{'name':'a','kmsType':'local-kms','kmsKeyId':'mykey'}", OK(KEK("a")) },
     { "POST ~/keks", "{'name':'b','kmsType':'local-kms','kmsKeyId':'mykey'}", OK(KEK("b")) },
     { "GET ~/keks?offset=0&limit=2", NULL, OK("['a','b']") },
     { "GET ~/keks?offset=2&limit=2", NULL, OK("['c']") },
     { "GET ~/keks?offset=9", NULL, OK("[]") })

ITEM("DEK-96", a_limit_out_of_range_is_the_default,
     { "GET ~/keks?limit=0", NULL, OK("['a','b','c']") },
     { "GET ~/keks?limit=-5", NULL, OK("['a','b','c']") },
     { "GET ~/keks", NULL, OK("['a','b','c']") })

GROUP(limits_start_empty, "-X", "kek.search.max.limit=2", "-X", "kek.search.default.limit=1")

ITEM("DEK-98", limits_are_configured,
     { "POST ~/keks", "{'name':'c','kmsType':'local-kms','kmsKeyId':'mykey'}", OK(KEK("c")) },
     { "POST ~/keks", "{'name':'a','kmsType':'local-kms','kmsKeyId':'mykey'}", OK(KEK("a")) },
     { "POST ~/keks", "{'name':'b','kmsType':'local-kms','kmsKeyId':'mykey'}", OK(KEK("b")) },
     { "GET ~/keks?limit=2", NULL, OK("['a','b']") },
     { "GET ~/keks?limit=3", NULL, OK("['a']") })

GROUP(order_starts_empty)

ITEM("DEK-101", names_are_sorted_by_code_unit,
     { "POST ~/keks", "{'name':'b','kmsType':'local-kms','kmsKeyId':'mykey'}", OK(KEK("b")) },
     { "POST ~/keks", "{'name':'B','kmsType':'local-kms','kmsKeyId':'mykey'}", OK(KEK("B")) },
     { "POST ~/keks", "{'name':'_a','kmsType':'local-kms','kmsKeyId':'mykey'}", OK(KEK("_a")) },
     { "GET ~/keks", NULL, OK("['B','_a','b']") })

/* ---- F. deleting -------------------------------------------------------------------------------------------- */

GROUP(group_f_starts_empty)

ITEM("DEK F", keys_of_the_group_are_there_again,
     { "POST ~/keks", CREATE_K, OK(KEK("k")) },
     { "POST ~/keks/k/deks/s1", WITH("<W>"), DEK("s1", "1", GCM) },
     { "POST ~/keks/k/deks/s1", "{'version':2,'encryptedKeyMaterial':<W>}", DEK("s1", "2", GCM) },
     { "POST ~/keks/k/deks/s1", "{'algorithm':'AES128_GCM','encryptedKeyMaterial':<W>}", DEK("s1", "1", "AES128_GCM") },
     { "POST ~/keks/k/deks/s2", WITH("<W>"), DEK("s2", "1", GCM) })

ITEM("DEK-102", a_kek_with_deks_stays,
     { "DELETE ~/keks/k", NULL, NO(422, 42272, "One or more references exist to the key 'k'") },
     { "GET ~/keks/k", NULL, OK(KEK("k")) })

ITEM("DEK-103", live_deks_are_not_removed_for_good,
     { "DELETE ~/keks/k/deks/s1?permanent=true", NULL, LIVE("s1") },
     { "GET ~/keks/k/deks/s1/versions", NULL, OK("[1,2]") })

ITEM("DEK-104", deleting_a_subject_hides_its_deks,
     { "DELETE ~/keks/k/deks/s1", NULL, EMPTY },
     { "GET ~/keks/k/deks/s1", NULL, MISSING("s1") },
     { "GET ~/keks/k/deks/s1?deleted=true", NULL, OK(DELETED_DEK("s1", "1", GCM, "<W>")) })

ITEM("DEK-105", only_one_algorithm_is_deleted,
     { "GET ~/keks/k/deks/s1/versions", NULL, OK("[]") },
     { "GET ~/keks/k/deks/s1/versions?deleted=true", NULL, OK("[1,2]") },
     { "GET ~/keks/k/deks/s1/versions?algorithm=AES128_GCM", NULL, OK("[1]") })

ITEM("DEK-106", a_subject_is_listed_while_one_dek_lives,
     { "GET ~/keks/k/deks", NULL, OK("['s1','s2']") },
     { "DELETE ~/keks/k/deks/s1?algorithm=AES128_GCM", NULL, EMPTY },
     { "GET ~/keks/k/deks", NULL, OK("['s2']") },
     { "GET ~/keks/k/deks?deleted=true", NULL, OK("['s1','s2']") })

ITEM("DEK-107", creating_with_the_same_material_undeletes_one_version,
     { "POST ~/keks/k/deks/s1", WITH("<W>"), DEK("s1", "1", GCM) },
     { "GET ~/keks/k/deks/s1/versions", NULL, OK("[1]") },
     { "GET ~/keks/k/deks/s1/versions/2", NULL, MISSING("s1") })

ITEM("DEK-108", creating_a_deleted_one_with_other_material_conflicts,
     { "POST ~/keks/k/deks/s1", "{'version':2,'encryptedKeyMaterial':'bmV3'}", TAKEN("s1") })

ITEM("DEK-109", a_version_is_undeleted,
     { "POST ~/keks/k/deks/s1/versions/2/undelete", NULL, EMPTY },
     { "GET ~/keks/k/deks/s1/versions", NULL, OK("[1,2]") })

ITEM("DEK-110", deleting_a_version_twice_is_fine,
     { "DELETE ~/keks/k/deks/s1/versions/2", NULL, EMPTY },
     { "DELETE ~/keks/k/deks/s1/versions/2", NULL, EMPTY },
     { "GET ~/keks/k/deks/s1/versions", NULL, OK("[1]") })

ITEM("DEK-111", a_live_version_is_not_removed_for_good,
     { "DELETE ~/keks/k/deks/s1/versions/1?permanent=true", NULL, LIVE("s1") },
     { "GET ~/keks/k/deks/s1/versions/1", NULL, DEK("s1", "1", GCM) })

ITEM("DEK-112", a_deleted_version_is_removed_for_good,
     { "DELETE ~/keks/k/deks/s1/versions/2?permanent=true", NULL, EMPTY },
     { "GET ~/keks/k/deks/s1/versions?deleted=true", NULL, OK("[1]") },
     { "DELETE ~/keks/k/deks/s1/versions/2?permanent=true", NULL, MISSING("s1") })

ITEM("DEK-113", deleting_what_is_not_there_is_not_found,
     { "DELETE ~/keks/k/deks/none", NULL, MISSING("none") }, { "DELETE ~/keks/nope/deks/s1", NULL, MISSING("nope") })

ITEM("DEK-114", deleting_and_undeleting_check_the_version,
     { "DELETE ~/keks/k/deks/s1/versions/abc", NULL, VERSION("abc") },
     { "POST ~/keks/k/deks/s1/versions/0/undelete", NULL, VERSION("0") })

ITEM("DEK-115", undeleting_what_is_not_there_is_not_found,
     { "POST ~/keks/k/deks/none/undelete", NULL, MISSING("none") },
     { "POST ~/keks/nope/deks/s1/undelete", NULL, MISSING("nope") })

/* Java answers 204 and deletes nothing (its defect D1); ours deletes what it says */
ITEM("DEK-116", deleting_latest_answers_204,
     { "DELETE ~/keks/k/deks/s1/versions/latest", NULL, EMPTY },
     { "GET ~/keks/k/deks/s1/versions", NULL, OK("[]") },
     { "GET ~/keks/k/deks/s1/versions?deleted=true", NULL, OK("[1]") })

ITEM("DEK-117", a_kek_whose_deks_are_deleted_is_deleted,
     { "DELETE ~/keks/k/deks/s1", NULL, EMPTY },
     { "DELETE ~/keks/k/deks/s1?algorithm=AES128_GCM", NULL, EMPTY },
     { "DELETE ~/keks/k/deks/s2", NULL, EMPTY },
     { "DELETE ~/keks/k", NULL, EMPTY })

ITEM("DEK-118", deks_of_a_deleted_kek_show_only_when_asked_for,
     { "GET ~/keks/k/deks", NULL, MISSING("k") }, { "GET ~/keks/k/deks?deleted=true", NULL, OK("['s1','s2']") })

ITEM("DEK-119", the_kek_is_undeleted_first,
     { "POST ~/keks/k/deks/s1/undelete", NULL, NO(404, 40472, "Key 'k' must be undeleted first") },
     { "POST ~/keks/k/deks/s1/versions/1/undelete", NULL, NO(404, 40472, "Key 'k' must be undeleted first") })

ITEM("DEK-120", deleted_deks_keep_their_kek_from_being_removed,
     { "DELETE ~/keks/k?permanent=true", NULL, NO(422, 42272, "One or more references exist to the key 'k'") },
     { "GET ~/keks/k?deleted=true", NULL, OK("{'name':'k','deleted':true,'...':1}") })

ITEM("DEK-121", undeleting_a_kek_leaves_its_deks_deleted,
     { "POST ~/keks/k/undelete", NULL, EMPTY }, { "GET ~/keks/k/deks", NULL, OK("[]") })

static void pause_a_little(void)
{
  nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
}

ITEM("DEK-124", undeleting_gives_a_new_time,
     { "GET ~/keks/k/deks/s1?deleted=true", NULL, OK("{'ts':'$ts:before','deleted':true,'...':1}"), .then = pause_a_little },
     { "POST ~/keks/k/deks/s1/undelete", NULL, EMPTY },
     { "GET ~/keks/k/deks/s1", NULL, 
       OK("{'kekName':'k','subject':'s1','version':1,'algorithm':'AES256_GCM','encryptedKeyMaterial':<W>,'ts':'$gt:before'}") },
     { "DELETE ~/keks/k/deks/s1", NULL, EMPTY })

ITEM("DEK-122", undeleting_a_subject_brings_back_its_deks,
     { "POST ~/keks/k/deks/s1/undelete", NULL, EMPTY },
     { "GET ~/keks/k/deks", NULL, OK("['s1']") },
     { "POST ~/keks/k/deks/s1/undelete", NULL, EMPTY })

ITEM("DEK-123", everything_can_be_removed_for_good,
     { "DELETE ~/keks/k/deks/s1", NULL, EMPTY },
     { "DELETE ~/keks/k/deks/s1?permanent=true", NULL, EMPTY },
     { "DELETE ~/keks/k/deks/s1?algorithm=AES128_GCM&permanent=true", NULL, EMPTY },
     { "DELETE ~/keks/k/deks/s2?permanent=true", NULL, EMPTY },
     { "DELETE ~/keks/k", NULL, EMPTY },
     { "DELETE ~/keks/k?permanent=true", NULL, EMPTY },
     { "GET ~/keks?deleted=true", NULL, OK("[]") })

/* ---- H. rewrap ---------------------------------------------------------------------------------------------- */

GROUP(group_h_starts_empty)

ITEM("DEK-143", rewrapping_replaces_the_material,
     { "POST ~/keks", CREATE_K, OK(KEK("k")) },
     { "POST ~/keks/k/deks/s1", WITH("<W>"),
       OK("{'kekName':'k','subject':'s1','version':1,'algorithm':'AES256_GCM','encryptedKeyMaterial':<W>,'ts':'$ts:before'}"),
       .then = pause_a_little },
     { "POST ~/keks/k/deks/s1?rewrap=true", "{'version':1,'encryptedKeyMaterial':'bmV3'}",
       OK(DEK_IS("s1", "1", GCM, "'bmV3'")) },
     { "GET ~/keks/k/deks/s1", NULL,
       OK("{'kekName':'k','subject':'s1','version':1,'algorithm':'AES256_GCM','encryptedKeyMaterial':'bmV3','ts':'$gt:before'}") })

ITEM("DEK-144", rewrapping_needs_the_material,
     { "POST ~/keks/k/deks/s1?rewrap=true", "{'version':1}", FIELD("encryptedKeyMaterial") },
     { "GET ~/keks/k/deks/s1", NULL, OK(DEK_IS("s1", "1", GCM, "'bmV3'")) })

ITEM("DEK-145", rewrapping_creates_what_is_missing,
     { "POST ~/keks/k/deks/s2?rewrap=true", WITH("<W>"), DEK("s2", "1", GCM) },
     { "GET ~/keks/k/deks/s2", NULL, DEK("s2", "1", GCM) })

ITEM("DEK-146", rewrapping_sets_the_mark_from_the_request,
     { "DELETE ~/keks/k/deks/s2", NULL, EMPTY },
     { "POST ~/keks/k/deks/s2?rewrap=true", "{'encryptedKeyMaterial':'bmV3','deleted':true}",
       OK(DELETED_DEK("s2", "1", GCM, "'bmV3'")) },
     { "GET ~/keks/k/deks/s2", NULL, MISSING("s2") },
     { "POST ~/keks/k/deks/s2?rewrap=true", "{'encryptedKeyMaterial':'bmV3','deleted':false}",
       OK(DEK_IS("s2", "1", GCM, "'bmV3'")) },
     { "GET ~/keks/k/deks/s2", NULL, OK(DEK_IS("s2", "1", GCM, "'bmV3'")) })

ITEM("DEK-149", the_old_form_does_not_rewrap,
     { "POST ~/keks/k/deks?rewrap=true", "{'subject':'s1','encryptedKeyMaterial':'eA=='}", TAKEN("s1") },
     { "GET ~/keks/k/deks/s1", NULL, OK(DEK_IS("s1", "1", GCM, "'bmV3'")) })

ITEM("DEK-150", rewrap_false_is_an_ordinary_create,
     { "POST ~/keks/k/deks/s1?rewrap=false", WITH("'eA=='"), TAKEN("s1") },
     { "POST ~/keks/k/deks/s1?rewrap=false", WITH("'bmV3'"), TAKEN("s1") })

THE_END
