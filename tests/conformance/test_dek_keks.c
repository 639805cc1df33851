/*
 * spec/dek-registry.md section 15, A to C: creating, updating and deleting KEKs, and the HTTP habits all of the DEK
 * Registry shares.
 */
#include "tests/support/rest.h"

#include <stdio.h>
#include <string.h>

#define FIELD(name) NO(422, 42271, "Invalid or missing value for field '" name "' of key")
#define TAKEN(name) NO(409, 40971, "Key '" name "' already exists; use a different value")
#define MISSING(name) NO(404, 40470, "Key '" name "' not found")
#define KEK1 "{'name':'kek1','kmsType':'test-kms','kmsKeyId':'myid'}"
#define LETTERS64 "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijkl"
#define LETTERS256 LETTERS64 LETTERS64 LETTERS64 LETTERS64
/* what a KEK without extras looks like */
#define KEK(name, type, id) \
  OK("{'name':'" name "','kmsType':'" type "','kmsKeyId':'" id "','kmsProps':{},'shared':false,'ts':'$ts'}")

/* ---- A. creation and validation ----------------------------------------------------------------------------- */

GROUP(group_a_starts_empty)

ITEM("DEK-1", an_empty_registry_lists_no_keks, { "GET ~/keks", NULL, OK("[]") })

ITEM("DEK-2", a_new_kek_has_exactly_these_members,
     { "POST ~/keks", KEK1,
       OK("{'name':'kek1','kmsType':'test-kms','kmsKeyId':'myid','kmsProps':{},'shared':false,'ts':'$ts:ts'}") })

ITEM("DEK-3", creating_a_kek_twice_conflicts, { "POST ~/keks", KEK1, TAKEN("kek1") })

ITEM("DEK-4", creating_it_with_another_doc_conflicts,
     { "POST ~/keks", "{'name':'kek1','kmsType':'test-kms','kmsKeyId':'myid','doc':'x'}", TAKEN("kek1") })

ITEM("DEK-5", keks_are_listed_by_name, { "GET ~/keks", NULL, OK("['kek1']") })

ITEM("DEK-6", reading_gives_what_creating_gave,
     { "GET ~/keks/kek1", NULL,
       OK("{'name':'kek1','kmsType':'test-kms','kmsKeyId':'myid','kmsProps':{},'shared':false,'ts':'$is:ts'}") })

ITEM("DEK-7", an_unknown_kek_is_not_found, { "GET ~/keks/nope", NULL, MISSING("nope") })

ITEM("DEK-8", a_kek_needs_a_name, { "POST ~/keks", "{'kmsType':'t','kmsKeyId':'i'}", FIELD("name") })

ITEM("DEK-9", a_name_does_not_begin_with_a_digit,
     { "POST ~/keks", "{'name':'1abc','kmsType':'t','kmsKeyId':'i'}", FIELD("name") })

ITEM("DEK-10", a_name_does_not_begin_with_a_dash,
     { "POST ~/keks", "{'name':'-abc','kmsType':'t','kmsKeyId':'i'}", FIELD("name") })

ITEM("DEK-11", names_hold_no_dot_blank_or_slash_and_are_not_empty,
     { "POST ~/keks", "{'name':'a.b','kmsType':'t','kmsKeyId':'i'}", FIELD("name") },
     { "POST ~/keks", "{'name':'a b','kmsType':'t','kmsKeyId':'i'}", FIELD("name") },
     { "POST ~/keks", "{'name':'a/b','kmsType':'t','kmsKeyId':'i'}", FIELD("name") },
     { "POST ~/keks", "{'name':'','kmsType':'t','kmsKeyId':'i'}", FIELD("name") })

ITEM("DEK-12", underscore_dash_and_digits_are_fine,
     { "POST ~/keks", "{'name':'_x-9','kmsType':'t','kmsKeyId':'i'}", KEK("_x-9", "t", "i") })

ITEM("DEK-13", names_have_at_most_256_characters,
     { "POST ~/keks", "{'name':'" LETTERS256 "','kmsType':'t','kmsKeyId':'i'}", KEK(LETTERS256, "t", "i") },
     { "POST ~/keks", "{'name':'" LETTERS256 "x','kmsType':'t','kmsKeyId':'i'}", FIELD("name") })

ITEM("DEK-14", letters_outside_ascii_are_letters,
     { "POST ~/keks", "{'name':'clé','kmsType':'t','kmsKeyId':'i'}", KEK("clé", "t", "i") },
     { "GET ~/keks/cl%C3%A9", NULL, KEK("clé", "t", "i") })

ITEM("DEK-15", names_in_paths_are_validated_too, { "GET ~/keks/a.b", NULL, FIELD("name") })

ITEM("DEK-16", a_kek_needs_a_key_id,
     { "POST ~/keks", "{'name':'k16','kmsType':'t'}", FIELD("kmsKeyId") },
     { "POST ~/keks", "{'name':'k16','kmsType':'t','kmsKeyId':''}", FIELD("kmsKeyId") })

ITEM("DEK-17", a_kek_needs_a_kms_type, { "POST ~/keks", "{'name':'k17','kmsKeyId':'i'}", FIELD("kmsType") })

ITEM("DEK-18", the_key_id_is_complained_about_first, { "POST ~/keks", "{'name':'k18'}", FIELD("kmsKeyId") })

ITEM("DEK-19", an_aws_key_id_is_an_arn,
     { "POST ~/keks", "{'name':'k19','kmsType':'aws-kms','kmsKeyId':'bad key id'}", FIELD("kmsKeyId") },
     { "POST ~/keks", "{'name':'k19','kmsType':'aws-kms','kmsKeyId':'arn:aws:kms:us-east-1:123456789012:key/k'}",
       KEK("k19", "aws-kms", "arn:aws:kms:us-east-1:123456789012:key/k") })

ITEM("DEK-20", an_azure_key_id_is_a_url,
     { "POST ~/keks", "{'name':'k20','kmsType':'azure-kms','kmsKeyId':'bad'}", FIELD("kmsKeyId") },
     { "POST ~/keks", "{'name':'k20','kmsType':'azure-kms','kmsKeyId':'https://v.vault.azure.net/keys/k/1'}",
       KEK("k20", "azure-kms", "https://v.vault.azure.net/keys/k/1") })

ITEM("DEK-21", a_gcp_key_id_is_a_resource_name,
     { "POST ~/keks", "{'name':'k21','kmsType':'gcp-kms','kmsKeyId':'bad'}", FIELD("kmsKeyId") },
     { "POST ~/keks", "{'name':'k21','kmsType':'gcp-kms','kmsKeyId':'projects/p/locations/global/keyRings/r/cryptoKeys/k'}",
       KEK("k21", "gcp-kms", "projects/p/locations/global/keyRings/r/cryptoKeys/k") })

ITEM("DEK-22", a_vault_key_id_is_a_url,
     { "POST ~/keks", "{'name':'k22','kmsType':'hcvault','kmsKeyId':'transit/keys/k'}", FIELD("kmsKeyId") },
     { "POST ~/keks", "{'name':'k22','kmsType':'hcvault','kmsKeyId':'http://localhost:8200/transit/keys/k'}",
       KEK("k22", "hcvault", "http://localhost:8200/transit/keys/k") })

ITEM("DEK-23", unknown_kms_types_are_kept,
     { "POST ~/keks", "{'name':'k23','kmsType':'unknown-kms','kmsKeyId':'anything'}",
       KEK("k23", "unknown-kms", "anything") })

ITEM("DEK-24", aws_in_capitals_is_normalised_after_the_prefix_check,
     { "POST ~/keks", "{'name':'k24','kmsType':'AWS','kmsKeyId':'anything'}", KEK("k24", "aws-kms", "anything") })

ITEM("DEK-25", only_the_three_clouds_are_normalised,
     { "POST ~/keks", "{'name':'k25a','kmsType':'GCP-something','kmsKeyId':'i'}", KEK("k25a", "gcp-kms", "i") },
     { "POST ~/keks", "{'name':'k25b','kmsType':'HCVault','kmsKeyId':'i'}", KEK("k25b", "HCVault", "i") },
     { "GET ~/keks/k25a", NULL, KEK("k25a", "gcp-kms", "i") })

static void props_sorted(const csfle_test_reply *p)
{
  assert_non_null(strstr(p->body, "\"kmsProps\":{\"a\":\"1\",\"b\":\"2\"}"));
}

ITEM("DEK-26", kms_props_come_back_sorted,
     { "POST ~/keks", "{'name':'k26','kmsType':'t','kmsKeyId':'i','kmsProps':{'b':'2','a':'1'}}",
       OK("{'name':'k26','kmsType':'t','kmsKeyId':'i','kmsProps':{'a':'1','b':'2'},'shared':false,'ts':'$ts'}"),
       .check = props_sorted },
     { "GET ~/keks/k26", NULL, OK("{'kmsProps':{'a':'1','b':'2'},'...':1}"), .check = props_sorted })

ITEM("DEK-27", unknown_members_are_ignored,
     { "POST ~/keks", "{'name':'k27','kmsType':'t','kmsKeyId':'i','frobnicate':{'a':[1,2]}}", KEK("k27", "t", "i") })

ITEM("DEK-28", numbers_are_accepted_for_texts,
     { "POST ~/keks", "{'name':'k28','kmsType':'t','kmsKeyId':'i','kmsProps':{'a':1}}",
       OK("{'name':'k28','kmsType':'t','kmsKeyId':'i','kmsProps':{'a':'1'},'shared':false,'ts':'$ts'}") })

ITEM("DEK-29", a_body_that_is_no_json_is_refused, { "POST ~/keks", "{bad", NO(400, 400, NULL) })

ITEM("DEK-30", a_body_that_is_an_array_is_refused, { "POST ~/keks", "[]", NO(400, 400, NULL) })

ITEM("DEK-31", a_missing_body_is_refused,
     { "POST ~/keks", NULL, NO(422, 422, "createKek.arg3 must not be null (was null)") },
     { "POST ~/keks", "null", NO(422, 422, "createKek.arg3 must not be null (was null)") })

ITEM("DEK-32", other_request_types_are_refused,
     { "POST ~/keks", "{'name':'k32','kmsType':'t','kmsKeyId':'i'}", NO(415, 415, "HTTP 415 Unsupported Media Type"),
       .header = "Content-Type: text/plain" },
     { "GET ~/keks/k32", NULL, MISSING("k32") })

ITEM("DEK-33", json_and_octet_stream_are_accepted,
     { "POST ~/keks", "{'name':'k33a','kmsType':'t','kmsKeyId':'i'}", KEK("k33a", "t", "i"),
       .header = "Content-Type: application/json" },
     { "POST ~/keks", "{'name':'k33b','kmsType':'t','kmsKeyId':'i'}", KEK("k33b", "t", "i"),
       .header = "Content-Type: application/octet-stream" })

ITEM("DEK-34", the_answer_type_follows_accept,
     { "GET ~/keks", NULL, OK("['$holds','kek1']"), .header = "Accept: application/json", .type = "application/json" },
     { "GET ~/keks", NULL, NO(406, 406, "HTTP 406 Not Acceptable"), .header = "Accept: text/csv" })

ITEM("DEK-35", the_list_cannot_be_put,
     { "PUT ~/keks", "{}", NO(405, 405, "HTTP 405 Method Not Allowed") })

ITEM("DEK-36", a_kek_may_be_created_deleted,
     { "POST ~/keks", "{'name':'k36','kmsType':'t','kmsKeyId':'i','deleted':true}",
       OK("{'name':'k36','kmsType':'t','kmsKeyId':'i','kmsProps':{},'shared':false,'ts':'$ts','deleted':true}") },
     { "GET ~/keks", NULL, OK("['$lacks','k36']") },
     { "GET ~/keks?deleted=true", NULL, OK("['$holds','k36','kek1']") })

/* ---- B. update ---------------------------------------------------------------------------------------------- */

#define KEK1_IS(more) \
  OK("{'name':'kek1','kmsType':'test-kms','kmsKeyId':'myid'," more "}")

GROUP(group_b_starts_empty)

ITEM("DEK-37", putting_a_doc_sets_it,
     { "POST ~/keks", KEK1, KEK1_IS("'kmsProps':{},'shared':false,'ts':'$ts:before'") },
     { "PUT ~/keks/kek1", "{'doc':'d1'}", KEK1_IS("'kmsProps':{},'doc':'d1','shared':false,'ts':'$ge:before'") },
     { "GET ~/keks/kek1", NULL, KEK1_IS("'kmsProps':{},'doc':'d1','shared':false,'ts':'$ts:put'") })

ITEM("DEK-38", putting_nothing_writes_nothing,
     { "PUT ~/keks/kek1", "{}", KEK1_IS("'kmsProps':{},'doc':'d1','shared':false,'ts':'$is:put'") })

ITEM("DEK-39", null_removes_the_doc,
     { "PUT ~/keks/kek1", "{'doc':null}", KEK1_IS("'kmsProps':{},'shared':false,'ts':'$ge:put'") },
     { "GET ~/keks/kek1", NULL, KEK1_IS("'kmsProps':{},'shared':false,'ts':'$ts'") })

ITEM("DEK-40", kms_props_are_replaced_not_merged,
     { "PUT ~/keks/kek1", "{'kmsProps':{'hi':'there'}}", KEK1_IS("'kmsProps':{'hi':'there'},'shared':false,'ts':'$ts'") },
     { "PUT ~/keks/kek1", "{'kmsProps':{'x':'y'}}", KEK1_IS("'kmsProps':{'x':'y'},'shared':false,'ts':'$ts'") },
     { "GET ~/keks/kek1", NULL, KEK1_IS("'kmsProps':{'x':'y'},'shared':false,'ts':'$ts'") })

ITEM("DEK-41", null_empties_the_kms_props,
     { "PUT ~/keks/kek1", "{'kmsProps':null}", KEK1_IS("'kmsProps':{},'shared':false,'ts':'$ts'") })

ITEM("DEK-42", what_identifies_the_key_cannot_be_put,
     { "PUT ~/keks/kek1", "{'kmsType':'aws-kms','kmsKeyId':'z','name':'q'}",
       KEK1_IS("'kmsProps':{},'shared':false,'ts':'$ts'") },
     { "GET ~/keks/q", NULL, MISSING("q") })

ITEM("DEK-43", shared_can_be_switched_both_ways,
     { "PUT ~/keks/kek1", "{'shared':true}", KEK1_IS("'kmsProps':{},'shared':true,'ts':'$ts'") },
     { "PUT ~/keks/kek1", "{'shared':false}", KEK1_IS("'kmsProps':{},'shared':false,'ts':'$ts'") })

ITEM("DEK-44", an_unknown_kek_cannot_be_put, { "PUT ~/keks/nope", "{}", MISSING("nope") })

ITEM("DEK-45", putting_needs_a_body,
     { "PUT ~/keks/kek1", NULL, NO(422, 422, "putKek.arg4 must not be null (was null)") })

ITEM("DEK-46", a_deleted_kek_cannot_be_put,
     { "DELETE ~/keks/kek1", NULL, EMPTY }, { "PUT ~/keks/kek1", "{'doc':'z'}", MISSING("kek1") })

/* ---- C. deletion -------------------------------------------------------------------------------------------- */

GROUP(group_c_starts_empty)

ITEM("DEK-47", deleting_answers_204_and_nothing,
     { "POST ~/keks", KEK1, KEK("kek1", "test-kms", "myid") }, { "DELETE ~/keks/kek1", NULL, EMPTY })

ITEM("DEK-48", a_deleted_kek_shows_only_when_asked_for,
     { "GET ~/keks/kek1", NULL, MISSING("kek1") },
     { "GET ~/keks/kek1?deleted=true", NULL, KEK1_IS("'kmsProps':{},'shared':false,'ts':'$ts:deleted','deleted':true") },
     { "GET ~/keks/kek1?deleted=True", NULL, KEK1_IS("'kmsProps':{},'shared':false,'ts':'$is:deleted','deleted':true") })

ITEM("DEK-49", a_deleted_kek_is_listed_only_when_asked_for,
     { "GET ~/keks", NULL, OK("[]") }, { "GET ~/keks?deleted=true", NULL, OK("['kek1']") })

ITEM("DEK-50", deleting_again_is_fine, { "DELETE ~/keks/kek1", NULL, EMPTY },
     { "GET ~/keks/kek1?deleted=true", NULL, KEK1_IS("'kmsProps':{},'shared':false,'ts':'$is:deleted','deleted':true") })

ITEM("DEK-51", creating_the_same_again_undeletes,
     { "POST ~/keks", KEK1, KEK("kek1", "test-kms", "myid") }, { "GET ~/keks", NULL, OK("['kek1']") })

ITEM("DEK-52", creating_a_deleted_one_with_another_doc_conflicts,
     { "DELETE ~/keks/kek1", NULL, EMPTY },
     { "POST ~/keks", "{'name':'kek1','kmsType':'test-kms','kmsKeyId':'myid','doc':'other'}", TAKEN("kek1") })

ITEM("DEK-53", undelete_brings_it_back,
     { "POST ~/keks/kek1/undelete", NULL, EMPTY }, { "GET ~/keks/kek1", NULL, KEK("kek1", "test-kms", "myid") })

ITEM("DEK-54", undeleting_a_live_one_is_fine, { "POST ~/keks/kek1/undelete", NULL, EMPTY },
     { "GET ~/keks", NULL, OK("['kek1']") })

ITEM("DEK-55", a_live_kek_is_not_removed_for_good,
     { "DELETE ~/keks/kek1?permanent=true", NULL,
       NO(404, 40471, "Key 'kek1' was not deleted first before being permanently deleted") },
     { "GET ~/keks/kek1", NULL, KEK("kek1", "test-kms", "myid") })

ITEM("DEK-56", deleting_twice_removes_for_good,
     { "DELETE ~/keks/kek1", NULL, EMPTY }, { "DELETE ~/keks/kek1?permanent=true", NULL, EMPTY },
     { "GET ~/keks/kek1?deleted=true", NULL, MISSING("kek1") })

ITEM("DEK-57", nothing_is_left_to_delete_or_undelete,
     { "DELETE ~/keks/kek1?permanent=true", NULL, MISSING("kek1") },
     { "POST ~/keks/kek1/undelete", NULL, MISSING("kek1") })

ITEM("DEK-58", the_name_can_be_used_again, { "POST ~/keks", KEK1, KEK("kek1", "test-kms", "myid") })

THE_END
