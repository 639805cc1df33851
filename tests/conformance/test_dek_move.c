/* A KEK under another key of another KMS: all its data keys or none, kept until confirmed, back again. And the list of wrapped keys. */
#include "tests/support/rest.h"

#include <string.h>

#define KEK(key)         "{'name':'k','kmsType':'" key "','shared':false,'kmsProps':{'p':'1'},'doc':'d','...':1}"
#define HAS(subject, version, material) \
  { "GET ~/keks/k/deks/" subject "/versions/" version "?deleted=true", NULL, OK("{'encryptedKeyMaterial':'" material "','...':1}") }
#define DEK(subject, material) { "POST ~/keks/k/deks/" subject, "{'encryptedKeyMaterial':'" material "'}", OK("{'subject':'" subject "','...':1}") }
#define WAS_OLD "0c2c6b90f009865444fb94fd08da3bc940988b92da158bad9b3f63901b7c6d1e" /* of b2xk */
#define WAS_NEW "fd9bd588247ac76e2158d9d0e9843e4219c79f9b75098e1d6dcec5e70cf4f0c7" /* of bmV3 */
#define ONE(subject, version, was, material) \
  "{'subject':'" subject "','algorithm':'AES256_GCM','version':" version ",'was':'" was "','encryptedKeyMaterial':'" material "'}"
#define TO(type, id, deks) "{'kmsType':'" type "','kmsKeyId':'" id "','kmsProps':{'q':'2'},'deks':[" deks "]}"
#define ALL ONE("a", "1", WAS_OLD, "bmV3") "," ONE("a", "2", WAS_OLD, "bmV3") "," ONE(":.c:b", "1", WAS_OLD, "bmV3")
#define OPEN "{'kekName':'k','since':'$ts','kmsType':'t','kmsKeyId':'i','kmsProps':{'p':'1'},'deks':3}"
#define MOVE(body, ...) { "POST /csfle/v1/keks/k/move", body, __VA_ARGS__ }
#define NONE_OPEN { "GET /csfle/v1/keks/k/move", NULL, NO(404, 40470, "KEK 'k' has no move to confirm or undo") }
#define OLD_STATE \
  { "GET ~/keks/k", NULL, OK("{'name':'k','kmsType':'t','kmsKeyId':'i','kmsProps':{'p':'1'},'doc':'d','shared':false,'ts':'$ts'}") }, \
  HAS("a", "1", "b2xk"), HAS("a", "2", "b2xk"), HAS(":.c:b", "1", "b2xk")
#define NEW_STATE \
  { "GET ~/keks/k", NULL, OK("{'name':'k','kmsType':'u','kmsKeyId':'j','kmsProps':{'q':'2'},'doc':'d','shared':false,'ts':'$ts'}") }, \
  HAS("a", "1", "bmV3"), HAS("a", "2", "bmV3"), HAS(":.c:b", "1", "bmV3")

static void restart(void)
{
  csfle_test_registry *r = csfle_test_rest_registry();
  csfle_test_registry_kill(r); /* nothing is said beforehand */
  csfle_test_registry_restart(r);
}

GROUP(a_kek_with_three_deks)

ITEM("move", the_wrapped_keys_of_a_kek_are_told_at_once,
     { "POST ~/keks", "{'name':'k','kmsType':'t','kmsKeyId':'i','kmsProps':{'p':'1'},'doc':'d'}", OK("{'name':'k','...':1}") },
     DEK("a", "b2xk"), { "POST ~/keks/k/deks/a", "{'version':2,'encryptedKeyMaterial':'b2xk'}", OK("{'version':2,'...':1}") }, DEK(":.c:b", "b2xk"),
     { "DELETE ~/keks/k/deks/a/versions/2", NULL, EMPTY },
     { "GET /csfle/v1/keks/k/deks", NULL, OK("[{'kekName':'k','subject':':.c:b','version':1,'algorithm':'AES256_GCM','encryptedKeyMaterial':'b2xk','ts':'$ts'},"
                                             "{'kekName':'k','subject':'a','version':1,'algorithm':'AES256_GCM','encryptedKeyMaterial':'b2xk','ts':'$ts'}]") },
     { "GET /csfle/v1/keks/k/deks?deleted=true&offset=2&limit=1", NULL, OK("[{'subject':'a','version':2,'deleted':true,'...':1}]") },
     { "GET /csfle/v1/keks/k/deks?offset=2", NULL, OK("[]") }, { "GET /csfle/v1/keks/nobody/deks", NULL, NO(404, 40470, "Key 'nobody' not found") })

ITEM("move", nothing_moves_unless_all_is_right,
     MOVE(TO("u", "j", ONE("a", "1", WAS_OLD, "bmV3")), NO(409, 409, "KEK 'k' has 3 data keys, the request 1: read them again")),
     MOVE(TO("u", "j", ALL "," ONE("c", "1", WAS_OLD, "bmV3")), NO(409, 409, "KEK 'k' has 3 data keys, the request 4: read them again")),
     MOVE(TO("u", "j", ONE("a", "1", WAS_OLD, "bmV3") "," ONE("a", "1", WAS_OLD, "bmV3") "," ONE("a", "2", WAS_OLD, "bmV3")), NO(409, 409, "*given twice: subject 'a' AES256_GCM version 1")),
     MOVE(TO("u", "j", ONE("a", "1", WAS_OLD, "bmV3") "," ONE("a", "3", WAS_OLD, "bmV3") "," ONE("a", "2", WAS_OLD, "bmV3")), NO(409, 409, "*subject 'a' AES256_GCM version 3")),
     MOVE(TO("u", "j", ONE("a", "1", WAS_NEW, "bmV3") "," ONE("a", "2", WAS_OLD, "bmV3") "," ONE(":.c:b", "1", WAS_OLD, "bmV3")),
          NO(409, 409, "The material of subject 'a' AES256_GCM version 1 changed: read it again")),
     MOVE(TO("u", "j", ONE("a", "1", WAS_OLD, "") "," ONE("a", "2", WAS_OLD, "bmV3") "," ONE(":.c:b", "1", WAS_OLD, "bmV3")),
          NO(422, 42271, "Invalid or missing value for field 'encryptedKeyMaterial' of key")),
     MOVE(TO("u", "j", ONE("a", "1", WAS_OLD, "bm.3") "," ONE("a", "2", WAS_OLD, "bmV3") "," ONE(":.c:b", "1", WAS_OLD, "bmV3")),
          NO(422, 42271, "Invalid or missing value for field 'encryptedKeyMaterial' of key")),
     MOVE(TO("t", "i", ALL), NO(422, 42271, "Invalid or missing value for field 'kmsKeyId' of key")), MOVE(TO("u", "", ALL), NO(422, 42271, "*'kmsKeyId' of key")),
     MOVE(TO("aws-kms", "j", ALL), NO(422, 42271, "*'kmsKeyId' of key")), MOVE("{'kmsKeyId':'j','deks':[]}", NO(422, 42271, "*'kmsType' of key")),
     MOVE("{'kmsType':'u','kmsKeyId':'j'}", NO(422, 42271, "*'deks' of key")), MOVE("{'kmsType':'u','kmsKeyId':'j','deks':[1]}", NO(422, 42271, "*'deks' of key")),
     MOVE("{'kmsType':'u','kmsKeyId':'j','deks':[{'subject':'a','algorithm':'ROT13','version':1,'was':'','encryptedKeyMaterial':''}]}", NO(422, 42271, "*'deks' of key")),
     { "POST /csfle/v1/keks/nobody/move", TO("u", "j", ""), NO(404, 40470, "Key 'nobody' not found") },
     { "POST /csfle/v1/keks/k/move/undo", NULL, NO(404, 40470, "KEK 'k' has no move to confirm or undo") },
     { "DELETE /csfle/v1/keks/k/move", NULL, NO(404, 40470, "KEK 'k' has no move to confirm or undo") }, NONE_OPEN, OLD_STATE)

ITEM("move", kek_and_deks_change_together_and_soft_deleted_ones_stay_so,
     MOVE(TO("u", "j", ALL), OK(OPEN), .then = restart), NEW_STATE, { "GET /csfle/v1/keks/k/move", NULL, OK(OPEN) },
     { "GET ~/keks/k/deks/a/versions/2", NULL, NO(404, 40470, "Key 'a' not found") },
     MOVE(TO("t", "i", ALL), NO(409, 409, "KEK 'k' was moved before: confirm or undo that first")))

ITEM("move", an_undone_move_leaves_no_trace,
     { "POST /csfle/v1/keks/k/move/undo", NULL, EMPTY, .then = restart }, OLD_STATE, NONE_OPEN,
     { "GET ~/keks/k/deks/a/versions/2", NULL, NO(404, 40470, "Key 'a' not found") })

ITEM("move", what_only_the_new_key_unwraps_is_not_undone,
     MOVE(TO("u", "j", ALL), OK(OPEN)), { "POST ~/keks/k/deks/a?rewrap=true", "{'encryptedKeyMaterial':'bmV4'}", OK("{'...':1}") }, DEK("c", "bmV3"),
     { "POST /csfle/v1/keks/k/move/undo", NULL, NO(409, 409, "2 data keys of KEK 'k' were made or wrapped again since the move: only the new key unwraps them. Confirm the move, then move the KEK back"),
       .then = restart },
     { "GET ~/keks/k", NULL, OK("{'kmsType':'u','...':1}") }, HAS("a", "1", "bmV4"), HAS("c", "1", "bmV3"), { "GET /csfle/v1/keks/k/move", NULL, OK(OPEN) },
     { "DELETE ~/keks/k/deks/c", NULL, EMPTY }, { "DELETE ~/keks/k/deks/c?permanent=true", NULL, EMPTY },
     { "POST ~/keks/k/deks/a?rewrap=true", "{'encryptedKeyMaterial':'bmV3'}", OK("{'...':1}") },
     { "POST /csfle/v1/keks/k/move/undo", NULL, EMPTY }, OLD_STATE)

ITEM("move", a_confirmed_move_stays,
     MOVE(TO("u", "j", ALL), OK(OPEN)), { "DELETE /csfle/v1/keks/k/move", NULL, EMPTY, .then = restart }, NEW_STATE, NONE_OPEN,
     { "POST /csfle/v1/keks/k/move/undo", NULL, NO(404, 40470, "*no move") })

ITEM("move", what_goes_for_good_takes_what_it_was_with_it,
     { "POST /csfle/v1/keks/k/move", TO("t", "i", ONE("a", "1", WAS_NEW, "b2xk") "," ONE("a", "2", WAS_NEW, "b2xk") "," ONE(":.c:b", "1", WAS_NEW, "b2xk")), OK("{'deks':3,'...':1}") },
     { "DELETE ~/keks/k/deks/a/versions/2?permanent=true", NULL, EMPTY, .then = restart },
     { "GET /csfle/v1/keks/k/move", NULL, OK("{'kekName':'k','since':'$ts','kmsType':'u','kmsKeyId':'j','kmsProps':{'q':'2'},'deks':2}") },
     { "DELETE ~/keks/k/deks/a", NULL, EMPTY }, { "DELETE ~/keks/k/deks/a?permanent=true", NULL, EMPTY },
     { "DELETE ~/keks/k/deks/:.c:b", NULL, EMPTY }, { "DELETE ~/keks/k/deks/:.c:b?permanent=true", NULL, EMPTY },
     { "GET /csfle/v1/keks/k/move", NULL, OK("{'deks':0,'...':1}") },
     { "DELETE ~/keks/k", NULL, EMPTY }, { "DELETE ~/keks/k?permanent=true", NULL, EMPTY, .then = restart }, NONE_OPEN)

TEST(old_material_is_in_no_record_that_others_read)
{
  yyjson_doc *dump = csfle_test_rest_dump();
  size_t      i, n, own = 0;
  yyjson_val *r;
  yyjson_arr_foreach(yyjson_doc_get_root(dump), i, n, r) {
    const char *key = csfle_test_text(r, "key");
    bool        ours = strstr(key, "\"kind\":\"move") != NULL;
    own += ours;
    if (ours && strcmp(csfle_test_text(r, "topic"), "_dek_registry_keys") == 0) fail_msg("%s", key);
  }
  assert_true(own > 0);
  yyjson_doc_free(dump);
}

THE_END
