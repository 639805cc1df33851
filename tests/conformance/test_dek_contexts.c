/* spec/dek-registry.md section 15, I and what one node can show of K: contexts, aliases, limits, hooks. */
#include "tests/support/rest.h"

#include <stdio.h>
#include <string.h>

#define W_BODY "{'encryptedKeyMaterial':<W>}"
#define MISSING(name) NO(404, 40470, "Key '" name "' not found")
#define DEK(subject)                                                                                              \
  OK("{'kekName':'k','subject':'" subject                                                                         \
     "','version':1,'algorithm':'AES256_GCM','encryptedKeyMaterial':<W>,'ts':'$ts'}")
#define KEK(name) OK("{'name':'" name "','kmsType':'local-kms','kmsKeyId':'mykey','kmsProps':{},'shared':false,'ts':'$ts'}")
#define CREATE(name) "{'name':'" name "','kmsType':'local-kms','kmsKeyId':'mykey'}"
#define IN(context) "/contexts/" context "/dek-registry/v1"

GROUP(group_i_starts_empty)

ITEM("DEK-151", a_context_in_the_url_qualifies_the_subject,
     { "POST ~/keks", CREATE("k"), OK("{'name':'k','kmsType':'local-kms','kmsKeyId':'mykey','kmsProps':{},'shared':false,'ts':'$ts:kek'}") },
     { "POST " IN(".ctx") "/keks/k/deks/s", W_BODY, DEK(":.ctx:s") })

ITEM("DEK-152", colons_may_be_escaped_or_not,
     { "GET ~/keks/k/deks/%3A.ctx%3As", NULL, DEK(":.ctx:s") }, { "GET ~/keks/k/deks/:.ctx:s", NULL, DEK(":.ctx:s") })

ITEM("DEK-153", keks_belong_to_no_context,
     { "GET " IN(".ctx") "/keks/k", NULL,
       OK("{'name':'k','kmsType':'local-kms','kmsKeyId':'mykey','kmsProps':{},'shared':false,'ts':'$is:kek'}") })

ITEM("DEK-154", qualified_subjects_are_sorted_as_texts,
     { "POST ~/keks/k/deks/b", W_BODY, DEK("b") }, { "GET ~/keks/k/deks", NULL, OK("[':.ctx:s','b']") })

ITEM("DEK-155", a_qualified_subject_wins_over_the_url,
     { "POST ~/keks/k/deks/:.other:s", W_BODY, DEK(":.other:s") },
     { "GET " IN(".ctx") "/keks/k/deks/:.other:s", NULL, DEK(":.other:s") },
     { "GET " IN(".ctx") "/keks/k/deks/:.third:s", NULL, MISSING(":.third:s") })

ITEM("DEK-156", contexts_are_written_in_several_ways,
     { "GET " IN(":.:") "/keks/k/deks/s", NULL, MISSING("s") },
     { "GET " IN(":.:") "/keks/k/deks/b", NULL, DEK("b") },
     { "GET " IN("ctx") "/keks/k/deks/s", NULL, DEK(":.ctx:s") },
     { "GET " IN(":.ctx:") "/keks/k/deks/s", NULL, DEK(":.ctx:s") },
     { "GET " IN("a:b") "/keks/k/deks/s", NULL, NO(400, 400, "Context name 'a:b' cannot contain a colon") })

ITEM("DEK-157", the_parameter_context_is_ignored,
     { "GET ~/keks/k?context=.whatever", NULL,
       OK("{'name':'k','kmsType':'local-kms','kmsKeyId':'mykey','kmsProps':{},'shared':false,'ts':'$is:kek'}") },
     { "POST ~/keks?context=.x", CREATE("second"), KEK("second") })

ITEM("DEK-158", keks_are_found_by_context,
     { "GET ~/keks?subjectPrefix=%3A.ctx%3A", NULL, OK("['k']") },
     { "GET ~/keks?subjectPrefix=%3A.none%3A", NULL, OK("[]") })

ITEM("DEK-159", an_alias_for_deks_is_followed,
     { "POST ~/keks/k/deks/s1", W_BODY, DEK("s1") },
     { "PUT /config/al", "{'aliasForDeks':'s1'}", OK("{'aliasForDeks':'s1'}") },
     { "GET ~/keks/k/deks/al", NULL, DEK("s1") },
     { "GET ~/keks/k/deks/al/versions", NULL, OK("[1]") })

ITEM("DEK-160", an_alias_serves_deks_unless_they_have_their_own,
     { "PUT /config/al2", "{'alias':'s1'}", OK("{'alias':'s1'}") },
     { "GET ~/keks/k/deks/al2", NULL, DEK("s1") },
     { "PUT /config/al2", "{'aliasForDeks':'b'}", OK("{'alias':'s1','aliasForDeks':'b'}") },
     { "GET ~/keks/k/deks/al2", NULL, DEK("b") })

ITEM("DEK-179", rules_of_a_key_id_get_kek_and_type,
     { "PUT /config", "{'compatibility':'NONE'}", OK("{'compatibility':'NONE'}") },
     { "POST /subjects/ten/versions",
       "{'schema':<A1>,'ruleSet':{'domainRules':[{'name':'r','type':'ENCRYPT','tags':['PII'],'params':"
       "{'encrypt.kms.key.id':'arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'}}]}}",
       OK("{'id':'$int','...':1}") },
     { "GET /subjects/ten/versions/1", NULL,
       OK("{'ruleSet':{'domainRules':[{'name':'r','kind':'TRANSFORM','mode':'WRITEREAD','type':'ENCRYPT','tags':['PII'],"
          "'params':{'encrypt.kek.name':'aws-kms-us-west-2-111122223333-key-1234abcd-12ab-34cd-56ef-1234567890ab',"
          "'encrypt.kms.key.id':'arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab',"
          "'encrypt.kms.type':'aws-kms'},'disabled':false}]},'...':1}") })

ITEM("DEK-180", there_is_no_policy, { "GET ~/policy", NULL, NO(404, 404, "HTTP 404 Not Found") })

static void request_id_is_abc(const csfle_test_reply *p)
{
  char value[64];
  assert_string_equal(csfle_test_reply_header(p, "X-Request-ID", value, sizeof value), "abc");
}

static void request_id_is_a_uuid(const csfle_test_reply *p)
{
  char        value[64], json[80];
  csfle_test_reply_header(p, "X-Request-ID", value, sizeof value);
  snprintf(json, sizeof json, "[\"%s\"]", value);
  yyjson_doc *want = yyjson_read("[\"$uuid\"]", 9, 0), *got = yyjson_read(json, strlen(json), 0);
  assert_null(csfle_test_rest_match(yyjson_doc_get_root(want), yyjson_doc_get_root(got)));
  yyjson_doc_free(want);
  yyjson_doc_free(got);
}

ITEM("DEK-181", a_request_id_is_sent_back,
     { "GET ~/keks", NULL, OK("['k','second']"), .header = "X-Request-ID: abc", .check = request_id_is_abc },
     { "GET ~/keks/nope", NULL, MISSING("nope"), .header = "X-Request-ID: abc", .check = request_id_is_abc },
     { "GET ~/keks", NULL, OK("['k','second']"), .check = request_id_is_a_uuid })

GROUP(limits_start_empty, "-X", "dek.registry.max.keys=1")

ITEM("DEK-174", keks_and_deks_are_limited_separately,
     { "POST ~/keks", CREATE("k"), KEK("k") },
     { "POST ~/keks", CREATE("k2"), KEK("k2") },
     { "POST ~/keks", CREATE("k3"), NO(409, 40972, "A maximum of 1 keys already exist") },
     { "POST ~/keks/k/deks/a", W_BODY, DEK("a") },
     { "POST ~/keks/k/deks/b", W_BODY, DEK("b") },
     { "POST ~/keks/k/deks/c", W_BODY, NO(409, 40972, "A maximum of 1 keys already exist") })

ITEM("DEK-175", deleted_keys_count_until_they_are_removed,
     { "DELETE ~/keks/k2", NULL, EMPTY },
     { "POST ~/keks", CREATE("k3"), NO(409, 40972, "A maximum of 1 keys already exist") },
     { "DELETE ~/keks/k2?permanent=true", NULL, EMPTY },
     { "POST ~/keks", CREATE("k3"), KEK("k3") })

THE_END
