/* spec/dek-registry.md section 15, J: the records of the DEK Registry, byte for byte, and what is read back from a store. */
#include "tests/support/rest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOPIC "_dek_registry_keys"
#define KEK1 "{'name':'kek1','kmsType':'test-kms','kmsKeyId':'myid'}"
#define KEK1_KEY "{\"tenant\":\"default\",\"name\":\"kek1\",\"type\":\"KEK\"}"
#define DEK_KEY(subject) \
  "{\"tenant\":\"default\",\"kekName\":\"k\",\"subject\":\"" subject "\",\"algorithm\":\"AES256_GCM\",\"version\":1,\"type\":\"DEK\"}"

/* the newest record of the keys, checked; its time is kept as record_ts, its offset as record_offset */
static void newest_is(const char *key, const char *value)
{
  yyjson_doc *dump = csfle_test_rest_dump();
  yyjson_val *r = csfle_test_rest_record(dump, TOPIC, 0);
  csfle_test_rest_record_is(r, key, value);
  csfle_test_rest_expect("times", "{'ts':'$ts:record_ts','offset':'$int:record_offset','...':1}", r);
  yyjson_doc_free(dump);
}

/* requests, then one look at the store */
#define RUN(...)                                                                                  \
  do {                                                                                            \
    const csfle_test_step steps_[] = { __VA_ARGS__ };                                             \
    csfle_test_steps("setting up", steps_, sizeof steps_ / sizeof *steps_);                       \
  } while (0)

GROUP(storage_starts_empty)

TEST(DEK_161_the_record_of_a_kek_is_exact)
{
  RUN({ "POST ~/keks", KEK1, OK("{'ts':'$ts:answer_ts','...':1}") });
  newest_is(KEK1_KEY, "{'name':'kek1','kmsType':'test-kms','kmsKeyId':'myid','kmsProps':{},'shared':false,'deleted':false,'type':'KEK'}");
}

TEST(DEK_164_times_are_those_of_the_records)
{
  assert_string_equal(csfle_test_rest_kept("record_ts"), csfle_test_rest_kept("answer_ts"));
  RUN({ "GET ~/keks/kek1", NULL, OK("{'ts':'$is:record_ts','...':1}") },
      { "PUT ~/keks/kek1", "{'doc':'d'}", OK("{'ts':'$ts:answer_ts','...':1}") });
  newest_is(KEK1_KEY, "{'doc':'d','...':1}");
  assert_string_equal(csfle_test_rest_kept("record_ts"), csfle_test_rest_kept("answer_ts"));
}

TEST(DEK_162_the_record_of_a_dek_is_exact)
{
  RUN({ "POST ~/keks", "{'name':'k','kmsType':'local-kms','kmsKeyId':'mykey'}", OK("{'name':'k','...':1}") },
      { "POST ~/keks/k/deks/s1", "{'algorithm':'AES256_GCM','encryptedKeyMaterial':<W>}", OK("{'subject':'s1','...':1}") });
  newest_is(DEK_KEY("s1"), "{'kekName':'k','subject':'s1','algorithm':'AES256_GCM','version':1,'encryptedKeyMaterial':<W>,"
                           "'deleted':false,'type':'DEK'}");
}

TEST(DEK_163_deleting_marks_and_removing_writes_a_tombstone)
{
  RUN({ "DELETE ~/keks/k/deks/s1", NULL, EMPTY });
  newest_is(DEK_KEY("s1"), "{'kekName':'k','subject':'s1','algorithm':'AES256_GCM','version':1,'encryptedKeyMaterial':<W>,"
                           "'deleted':true,'type':'DEK'}");
  RUN({ "DELETE ~/keks/k/deks/s1?permanent=true", NULL, EMPTY });
  newest_is(DEK_KEY("s1"), NULL);
  RUN({ "DELETE ~/keks/kek1", NULL, EMPTY });
  newest_is(KEK1_KEY, "{'name':'kek1','kmsType':'test-kms','kmsKeyId':'myid','kmsProps':{},'doc':'d','shared':false,'deleted':true,'type':'KEK'}");
  RUN({ "DELETE ~/keks/kek1?permanent=true", NULL, EMPTY });
  newest_is(KEK1_KEY, NULL);
}

TEST(DEK_165_keys_escape_as_java_does)
{
  RUN({ "POST ~/keks/k/deks", "{'subject':'a\\\"b\\\\c/d','encryptedKeyMaterial':<W>}", OK("{'subject':'a\\\"b\\\\c/d','...':1}") });
  newest_is(DEK_KEY("a\\\"b\\\\c/d"), "{'subject':'a\\\"b\\\\c/d','...':1}");
  RUN({ "POST ~/keks/k/deks", "{'subject':'é中','encryptedKeyMaterial':<W>}", OK("{'subject':'é中','...':1}") });
  newest_is(DEK_KEY("é中"), "{'subject':'é中','...':1}");
  RUN({ "POST ~/keks/k/deks", "{'subject':'\\ud83d\\ude00','encryptedKeyMaterial':<W>}", OK("{'subject':'😀','...':1}") });
  newest_is(DEK_KEY("\\uD83D\\uDE00"), "{'subject':'😀','...':1}");
}

TEST(DEK_171_what_changes_nothing_writes_nothing)
{
  RUN({ "POST ~/keks", KEK1, OK("{'name':'kek1','...':1}") });
  newest_is(KEK1_KEY, "{'deleted':false,'...':1}");
  char *before = strdup(csfle_test_rest_kept("record_offset"));
  RUN({ "PUT ~/keks/kek1", "{}", OK("{'ts':'$is:record_ts','...':1}") }, { "POST ~/keks/kek1/undelete", NULL, EMPTY },
      { "PUT ~/keks/kek1", "{'shared':false,'kmsProps':{}}", OK("{'ts':'$is:record_ts','...':1}") });
  newest_is(KEK1_KEY, "{'deleted':false,'...':1}");
  assert_string_equal(csfle_test_rest_kept("record_offset"), before);
  free(before);
  RUN({ "DELETE ~/keks/kek1", NULL, EMPTY });
  newest_is(KEK1_KEY, "{'deleted':true,'...':1}");
  before = strdup(csfle_test_rest_kept("record_offset"));
  RUN({ "DELETE ~/keks/kek1", NULL, EMPTY });
  newest_is(KEK1_KEY, "{'deleted':true,'...':1}");
  assert_string_equal(csfle_test_rest_kept("record_offset"), before);
  free(before);
}

TEST(DEK_172_no_record_holds_the_opened_key)
{
  RUN({ "POST ~/keks", "{'name':'sh','kmsType':'local-kms','kmsKeyId':'k','kmsProps':{'secret':'mysecret'},'shared':true}",
        OK("{'shared':true,'...':1}") },
      { "POST ~/keks/sh/deks/a", "{}", OK("{'keyMaterial':'$b64:34:1a20:plain','encryptedKeyMaterial':'$text','...':1}") },
      { "POST ~/keks/sh/deks/b", "{'encryptedKeyMaterial':<W>}", OK("{'keyMaterial':<R>,'...':1}") },
      { "POST ~/keks/sh/deks/a?rewrap=true", "{}", OK("{'keyMaterial':'$is:plain','...':1}") });
  char plain[128];
  snprintf(plain, sizeof plain, "%s", csfle_test_rest_kept("plain") + 1);
  plain[strlen(plain) - 1] = 0;
  yyjson_doc *dump = csfle_test_rest_dump();
  char       *all = yyjson_write(dump, YYJSON_WRITE_NOFLAG, NULL);
  assert_non_null(strstr(all, REST_W)); /* the search finds what is there */
  assert_null(strstr(all, plain));
  assert_null(strstr(all, REST_R));
  assert_null(strstr(all, "keyMaterial\\\":"));
  free(all);
  yyjson_doc_free(dump);
}

/* ---- stores that others have written ------------------------------------------------------------------------ */

#define LINE(offset, ts, key, value) \
  "{'topic':'" TOPIC "','offset':" offset ",'ts':" ts ",'key':'" key "','value':" value "}\n"
#define Q "\\\""
#define KEK_KEY(name) "{" Q "tenant" Q ":" Q "default" Q "," Q "name" Q ":" Q name Q "," Q "type" Q ":" Q "KEK" Q "}"
#define KEK_VALUE(name, deleted)                                                                                  \
  "'{" Q "name" Q ":" Q name Q "," Q "kmsType" Q ":" Q "t" Q "," Q "kmsKeyId" Q ":" Q "i" Q "," Q "kmsProps" Q    \
  ":{}," Q "shared" Q ":false," Q "deleted" Q ":" deleted "," Q "type" Q ":" Q "KEK" Q "}'"

TEST(a_store_written_by_others_is_loaded)
{
  csfle_test_rest_load(
    /* members in another order, one unknown */
    LINE("0", "1700000000001", "{" Q "type" Q ":" Q "KEK" Q "," Q "extra" Q ":1," Q "name" Q ":" Q "odd" Q "," Q "tenant" Q ":" Q "default" Q "}",
         "'{" Q "type" Q ":" Q "KEK" Q "," Q "future" Q ":[1]," Q "shared" Q ":false," Q "kmsKeyId" Q ":" Q "i" Q "," Q "kmsType" Q ":" Q "t" Q
         "," Q "doc" Q ":" Q "d" Q "," Q "name" Q ":" Q "odd" Q "," Q "kmsProps" Q ":{" Q "a" Q ":" Q "1" Q "}," Q "deleted" Q ":false}'")
    LINE("1", "1700000000002", "garbage", "'{}'")
    LINE("2", "1700000000003", KEK_KEY("badvalue"), "'garbage'")
    /* offset and ts of the value are not the record's */
    LINE("3", "1700000000004", KEK_KEY("timed"),
         "'{" Q "name" Q ":" Q "timed" Q "," Q "kmsType" Q ":" Q "t" Q "," Q "kmsKeyId" Q ":" Q "i" Q "," Q "kmsProps" Q ":{},"
         Q "shared" Q ":false," Q "deleted" Q ":false," Q "type" Q ":" Q "KEK" Q "," Q "offset" Q ":5," Q "ts" Q ":6}'")
    LINE("4", "1700000000005", KEK_KEY("gone"), KEK_VALUE("gone", "false"))
    LINE("5", "1700000000006", KEK_KEY("gone"), KEK_VALUE("gone", "true"))
    LINE("6", "1700000000007", KEK_KEY("gone"), "null"),
    NULL);
}

ITEM("DEK-167", members_may_come_in_any_order,
     { "GET ~/keks/odd", NULL,
       OK("{'name':'odd','kmsType':'t','kmsKeyId':'i','kmsProps':{'a':'1'},'doc':'d','shared':false,'ts':1700000000001}") })

ITEM("DEK-168", a_key_that_is_garbage_is_skipped, { "GET ~/keks?deleted=true", NULL, OK("['odd','timed']") })

ITEM("DEK-169", the_time_is_that_of_the_record,
     { "GET ~/keks/timed", NULL, OK("{'name':'timed','kmsType':'t','kmsKeyId':'i','kmsProps':{},'shared':false,'ts':1700000000004}") })

ITEM("DEK-170", a_tombstone_removes, { "GET ~/keks/gone?deleted=true", NULL, NO(404, 40470, "Key 'gone' not found") },
     { "POST ~/keks", "{'name':'gone','kmsType':'other','kmsKeyId':'i'}", OK("{'kmsType':'other','...':1}") })

THE_END
