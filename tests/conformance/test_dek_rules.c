/* Sentences of spec/dek-registry.md sections 2 to 4 that no item of its checklist asks about. */
#include "tests/support/rest.h"

#define FIELD(name) NO(422, 42271, "Invalid or missing value for field '" name "' of key")
#define TAKEN(name) NO(409, 40971, "Key '" name "' already exists; use a different value")
#define MISSING(name) NO(404, 40470, "Key '" name "' not found")
#define BAD_VERSION(text)                                                                                        \
  NO(422, 42202, "The specified version '" text                                                                  \
                 "' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\"")
#define KEK(name) OK("{'name':'" name "','kmsType':'t','kmsKeyId':'i','kmsProps':{},'shared':false,'ts':'$ts'}")
#define DEK(subject, version)                                                                                    \
  OK("{'kekName':'k','subject':'" subject "','version':" version                                                 \
     ",'algorithm':'AES256_GCM','encryptedKeyMaterial':<W>,'ts':'$ts'}")

GROUP(rules_start_empty)

ITEM("DEK 2.2", wrong_shapes_are_bad_requests,
     { "POST ~/keks", "'text'", NO(400, 400, NULL) }, { "POST ~/keks", "5", NO(400, 400, NULL) },
     { "POST ~/keks", "{'name':'x','kmsType':'t','kmsKeyId':'i','kmsProps':[]}", NO(400, 400, NULL) },
     { "POST ~/keks", "{'name':{},'kmsType':'t','kmsKeyId':'i'}", NO(400, 400, NULL) },
     { "POST ~/keks", "{'name':'x','kmsType':'t','kmsKeyId':'i','shared':'maybe'}", NO(400, 400, NULL) },
     { "GET ~/keks?deleted=true", NULL, OK("[]") })

ITEM("DEK 2.1", values_are_read_leniently,
     { "POST ~/keks", "{'name':'lenient','kmsType':'t','kmsKeyId':7,'shared':'False','doc':true}",
       OK("{'name':'lenient','kmsType':'t','kmsKeyId':'7','kmsProps':{},'doc':'true','shared':false,'ts':'$ts'}") },
     { "POST ~/keks", "{'name':'nulls','kmsType':'t','kmsKeyId':'i','kmsProps':null,'doc':null,'shared':null,'deleted':null}", KEK("nulls") })

ITEM("DEK 2.5", queries_are_read_leniently,
     { "POST ~/keks", "{'name':'k','kmsType':'t','kmsKeyId':'i'}", KEK("k") },
     { "DELETE ~/keks/nulls", NULL, EMPTY },
     { "GET ~/keks?deleted=1", NULL, OK("['k','lenient']") },
     { "GET ~/keks?deleted=TRUE&frobnicate=x", NULL, OK("['k','lenient','nulls']") },
     { "GET ~/keks/", NULL, OK("['k','lenient']") },
     { "GET ~/keks?offset=abc", NULL, NO(404, 404, "HTTP 404 Not Found") },
     { "GET ~/keks?limit=2147483648", NULL, NO(404, 404, "HTTP 404 Not Found") },
     { "GET ~/keks?offset=-1", NULL, OK("['k','lenient']") }) /* D5: Java answers 500 */

ITEM("DEK 2.5", paths_are_decoded_by_segment,
     { "POST ~/keks/k/deks/a%25b", "{'encryptedKeyMaterial':<W>}", DEK("a%b", "1") },
     { "POST ~/keks/k/deks/a+b", "{'encryptedKeyMaterial':<W>}", DEK("a+b", "1") },
     { "GET ~/keks/k/deks/a+b/", NULL, DEK("a+b", "1") },
     { "GET ~/keks/k/deks", NULL, OK("['a%b','a+b']") })

ITEM("DEK 2.6", names_outside_the_bmp_are_refused,
     { "POST ~/keks", "{'name':'a\\ud801\\udc00','kmsType':'t','kmsKeyId':'i'}", FIELD("name") },
     { "POST ~/keks", "{'name':'a\\u0663','kmsType':'t','kmsKeyId':'i'}", KEK("a\\u0663") },
     { "POST ~/keks", "{'name':'\\u0663','kmsType':'t','kmsKeyId':'i'}", FIELD("name") })

ITEM("DEK 2.6", versions_are_trimmed_and_may_have_a_sign,
     { "GET ~/keks/k/deks/a+b/versions/%201%20", NULL, DEK("a+b", "1") },
     { "GET ~/keks/k/deks/a+b/versions/+1", NULL, DEK("a+b", "1") },
     { "GET ~/keks/k/deks/a+b/versions/0001", NULL, DEK("a+b", "1") },
     { "GET ~/keks/k/deks/a+b/versions/-0", NULL,
       BAD_VERSION("0") },
     { "GET ~/keks/k/deks/a+b/versions/1.0", NULL,
       BAD_VERSION("1.0") })

ITEM("DEK 3.1", a_prefix_selects_by_live_deks,
     { "POST ~/keks", "{'name':'p','kmsType':'t','kmsKeyId':'i'}", KEK("p") },
     { "POST ~/keks/p/deks/zed", "{'encryptedKeyMaterial':<W>}", OK("{'kekName':'p','...':1}") },
     { "GET ~/keks?subjectPrefix=z", NULL, OK("['p']") },
     { "DELETE ~/keks/p/deks/zed", NULL, EMPTY },
     { "GET ~/keks?subjectPrefix=z", NULL, OK("[]") },
     { "GET ~/keks?subjectPrefix=z&deleted=true", NULL, OK("['p']") },
     { "DELETE ~/keks/p", NULL, EMPTY },
     { "GET ~/keks?subjectPrefix=z&deleted=true", NULL, OK("['p']") })

/* D7: Java stores keys that no path can address */
ITEM("DEK 4.1", versions_of_a_body_are_checked_as_those_of_paths,
     { "POST ~/keks/k/deks/v", "{'version':0,'encryptedKeyMaterial':<W>}", BAD_VERSION("0") },
     { "POST ~/keks/k/deks/v", "{'version':-7,'encryptedKeyMaterial':<W>}", BAD_VERSION("-7") },
     { "POST ~/keks/k/deks/v", "{'version':3,'encryptedKeyMaterial':<W>}", DEK("v", "3") },
     { "GET ~/keks/k/deks/v/versions", NULL, OK("[3]") },
     { "GET ~/keks/k/deks/v", NULL, MISSING("v") },
     { "GET ~/keks/k/deks/v/versions/latest", NULL, DEK("v", "3") })

ITEM("DEK 4.4", creating_deleted_deletes_softly,
     { "POST ~/keks", "{'name':'soft','kmsType':'t','kmsKeyId':'i'}", KEK("soft") },
     { "POST ~/keks", "{'name':'soft','kmsType':'t','kmsKeyId':'other','deleted':true}", TAKEN("soft") },
     { "POST ~/keks", "{'name':'soft','kmsType':'t','kmsKeyId':'i','deleted':true}", OK("{'name':'soft','deleted':true,'...':1}") },
     { "GET ~/keks/soft", NULL, MISSING("soft") },
     { "POST ~/keks", "{'name':'soft','kmsType':'t','kmsKeyId':'i','deleted':true}", TAKEN("soft") })

ITEM("DEK 4.5", creating_a_dek_deleted_deletes_softly,
     { "POST ~/keks/k/deks/d", "{'encryptedKeyMaterial':<W>}", DEK("d", "1") },
     { "POST ~/keks/k/deks/d", "{'encryptedKeyMaterial':'eA==','deleted':true}", TAKEN("d") },
     { "POST ~/keks/k/deks/d", "{'encryptedKeyMaterial':<W>,'deleted':true}", OK("{'subject':'d','deleted':true,'...':1}") },
     { "GET ~/keks/k/deks/d", NULL, MISSING("d") },
     { "GET ~/keks/k/deks/d/versions/latest?deleted=true", NULL, OK("{'subject':'d','version':1,'deleted':true,'...':1}") })

ITEM("DEK 2.2", methods_that_are_not_there,
     { "PUT ~/keks/k/deks/d", "{}", NO(405, 405, "HTTP 405 Method Not Allowed") },
     { "DELETE ~/keks", NULL, NO(405, 405, "HTTP 405 Method Not Allowed") },
     { "GET ~/nosuch", NULL, NO(404, 404, "HTTP 404 Not Found") },
     { "GET ~/keks/k/nosuch", NULL, NO(404, 404, "HTTP 404 Not Found") })

ITEM("DEK 3.4", updating_a_shared_kek_can_be_tested,
     { "POST ~/keks", "{'name':'upd','kmsType':'local-kms','kmsKeyId':'i'}", OK("{'name':'upd','...':1}") },
     { "PUT ~/keks/upd?testSharing=true", "{'shared':true,'kmsProps':{'secret':'mysecret'}}",
       OK("{'name':'upd','kmsType':'local-kms','kmsKeyId':'i','kmsProps':{'secret':'mysecret'},'shared':true,'ts':'$ts'}") },
     { "POST ~/keks", "{'name':'upd2','kmsType':'unknown','kmsKeyId':'i'}", OK("{'name':'upd2','...':1}") },
     { "PUT ~/keks/upd2?testSharing=true", "{'shared':true,'kmsProps':{'a':'b'}}",
       NO(500, 500, "^Error while updating key: Could not generate encrypted dek for __TEST: ") },
     { "GET ~/keks/upd2", NULL, OK("{'name':'upd2','kmsType':'unknown','kmsKeyId':'i','kmsProps':{},'shared':false,'ts':'$ts'}") })

/* ---- section 13: where Java's behaviour looks wrong, ours ---------------------------------------------------- */

#define SECRET(text) "'kmsProps':{'secret':'" text "'}"
#define SHARED(more) OK("{'name':'sh','kmsType':'local-kms','kmsKeyId':'i'," more ",'shared':true,'ts':'$ts'}")

GROUP(defects_start_empty)

ITEM("DEK D2", deleting_a_version_asks_no_kms,
     { "POST ~/keks", "{'name':'sh','kmsType':'local-kms','kmsKeyId':'i','shared':true," SECRET("mysecret") "}", SHARED(SECRET("mysecret")) },
     { "POST ~/keks/sh/deks/s", "{'encryptedKeyMaterial':<W>}", OK("{'keyMaterial':<R>,'...':1}") },
     { "PUT ~/keks/sh", "{" SECRET("wrong") "}", SHARED(SECRET("wrong")) },
     { "GET ~/keks/sh/deks/s", NULL, NO(500, 50070, "^Could not generate raw dek for s: ") },
     { "DELETE ~/keks/sh/deks/s/versions/1", NULL, EMPTY },
     { "POST ~/keks/sh/deks/s/versions/1/undelete", NULL, EMPTY })

ITEM("DEK D15", new_kms_props_are_used_at_once,
     { "PUT ~/keks/sh", "{" SECRET("mysecret") "}", SHARED(SECRET("mysecret")) },
     { "GET ~/keks/sh/deks/s", NULL, OK("{'keyMaterial':<R>,'...':1}") })

ITEM("DEK D1", latest_can_be_deleted_and_undeleted,
     { "POST ~/keks/sh/deks/s", "{'version':2}", OK("{'version':2,'...':1}") },
     { "DELETE ~/keks/sh/deks/s/versions/latest", NULL, EMPTY },
     { "GET ~/keks/sh/deks/s/versions", NULL, OK("[1]") },
     { "POST ~/keks/sh/deks/s/versions/latest/undelete", NULL, EMPTY },
     { "GET ~/keks/sh/deks/s/versions", NULL, OK("[1,2]") })

ITEM("DEK D3", sharing_is_tested_without_kms_props_too,
     { "POST ~/keks?testSharing=true", "{'name':'w','kmsType':'local-kms','kmsKeyId':'i','shared':true}",
       NO(500, 500, "^Error while creating key: Could not generate encrypted dek for __TEST: ") },
     { "GET ~/keks/w?deleted=true", NULL, MISSING("w") })

ITEM("DEK D4", shared_null_is_absent,
     { "PUT ~/keks/sh", "{'shared':null}", SHARED(SECRET("mysecret")) })

ITEM("DEK D6", material_that_is_no_base64_is_refused_when_it_must_be_opened,
     { "POST ~/keks/sh/deks/no", "{'encryptedKeyMaterial':'!!!'}", FIELD("encryptedKeyMaterial") },
     { "GET ~/keks/sh/deks/no?deleted=true", NULL, MISSING("no") })

ITEM("DEK D9", other_partitions_of_aws_are_known,
     { "POST ~/keks", "{'name':'gov','kmsType':'aws-kms','kmsKeyId':'arn:aws-us-gov:kms:us-gov-west-1:1:key/k'}", OK("{'name':'gov','kmsType':'aws-kms','...':1}") },
     { "POST ~/keks", "{'name':'gov2','kmsType':'aws-kms','kmsKeyId':'arn:awsx'}", FIELD("kmsKeyId") })

ITEM("DEK D11", subjects_of_the_wildcard_context_count,
     { "POST ~/keks", "{'name':'k','kmsType':'t','kmsKeyId':'i'}", KEK("k") },
     { "POST ~/keks/k/deks/:*:x", "{'encryptedKeyMaterial':<W>}", DEK(":*:x", "1") },
     { "GET ~/keks/k/deks", NULL, OK("[':*:x']") },
     { "DELETE ~/keks/k", NULL, NO(422, 42272, "One or more references exist to the key 'k'") })

ITEM("DEK D12", a_context_lists_all_keks,
     { "GET /contexts/.ctx/dek-registry/v1/keks", NULL, OK("['gov','k','sh']") })

THE_END
