/* What a permanent delete and a rewrap take away can be had back for csfle.trash.days. AB-7. */
#include "tests/support/rest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TAKEN(name)   NO(409, 40971, "Key '" name "' already exists; use a different value")
#define MISSING(name) NO(404, 40470, "Key '" name "' not found")
#define KEK(name)     { "POST ~/keks", "{'name':'" name "','kmsType':'t','kmsKeyId':'i','kmsProps':{'a':'b'},'doc':'d'}", OK("{'name':'" name "','...':1}") }
#define DEK(subject, material) \
  { "POST ~/keks/k/deks/" subject, "{'encryptedKeyMaterial':'" material "'}", OK("{'subject':'" subject "','...':1}") }
#define DEK_HAS(subject, material) \
  { "GET ~/keks/k/deks/" subject, NULL, OK("{'subject':'" subject "','encryptedKeyMaterial':'" material "','...':1}") }
#define GONE(subject) \
  { "DELETE ~/keks/k/deks/" subject, NULL, EMPTY }, { "DELETE ~/keks/k/deks/" subject "?permanent=true", NULL, EMPTY }, { "GET ~/keks/k/deks/" subject "?deleted=true", NULL, MISSING(subject) }
#define ENTRY(subject, why, id)                                                                                                        \
  "{'id':'$any:" id "','type':'DEK','kekName':'k','subject':'" subject "','algorithm':'AES256_GCM','version':1,'kmsType':'t','kmsKeyId':'i','why':'" why \
  "','since':'$ts','expires':'$ts'}"
#define TRASH(...) { "GET /csfle/v1/trash", NULL, OK("[" __VA_ARGS__ "]") }

static void restart(void)
{
  csfle_test_registry *r = csfle_test_rest_registry();
  csfle_test_registry_kill(r); /* nothing is said beforehand */
  csfle_test_registry_restart(r);
}

GROUP(trash_starts_empty)

ITEM("AB-7", a_dek_deleted_for_good_comes_back_as_it_was,
     TRASH(), KEK("k"), DEK("s", "bTE="), GONE("s"), TRASH(ENTRY("s", "deleted", "id")),
     { "GET ~/keks/k/deks?deleted=true", NULL, OK("[]") },
     { "POST /csfle/v1/trash/<id>/restore", NULL, OK(ENTRY("s", "deleted", "id")) },
     { "GET ~/keks/k/deks/s", NULL, MISSING("s") }, /* soft-deleted, as before the permanent delete */
     { "GET ~/keks/k/deks/s?deleted=true", NULL, OK("{'encryptedKeyMaterial':'bTE=','deleted':true,'...':1}") },
     { "POST ~/keks/k/deks/s/undelete", NULL, EMPTY }, DEK_HAS("s", "bTE="), TRASH(),
     { "POST /csfle/v1/trash/<id>/restore", NULL, NO(404, 40470, "*not found") })

ITEM("AB-7", a_kek_deleted_for_good_comes_back_with_its_deks,
     GONE("s"), { "DELETE ~/keks/k", NULL, EMPTY }, { "DELETE ~/keks/k?permanent=true", NULL, EMPTY }, { "GET ~/keks/k?deleted=true", NULL, MISSING("k") },
     TRASH(ENTRY("s", "deleted", "dek") ",{'id':'$any:kek','type':'KEK','kekName':'k','kmsType':'t','kmsKeyId':'i','why':'deleted','since':'$ts','expires':'$ts'}"),
     { "POST /csfle/v1/trash/<dek>/restore", NULL, MISSING("k") }, /* the KEK first */
     { "POST /csfle/v1/trash/<kek>/restore", NULL, OK("{'type':'KEK','...':1}") },
     { "GET ~/keks/k?deleted=true", NULL, OK("{'name':'k','kmsType':'t','kmsKeyId':'i','kmsProps':{'a':'b'},'doc':'d','shared':false,'deleted':true,'ts':'$ts'}") },
     { "POST /csfle/v1/trash/<dek>/restore", NULL, OK("{'type':'DEK','...':1}") }, TRASH(),
     { "POST ~/keks/k/undelete", NULL, EMPTY }, { "POST ~/keks/k/deks/s/undelete", NULL, EMPTY }, DEK_HAS("s", "bTE="))

ITEM("AB-7", what_a_rewrap_replaced_takes_its_place_again,
     { "POST ~/keks/k/deks/s?rewrap=true", "{'encryptedKeyMaterial':'anVuaw=='}", OK("{'encryptedKeyMaterial':'anVuaw==','...':1}") },
     TRASH(ENTRY("s", "replaced", "id")),
     { "POST /csfle/v1/trash/<id>/restore", NULL, OK("{'why':'replaced','...':1}") }, DEK_HAS("s", "bTE="),
     TRASH(ENTRY("s", "replaced", "other")), /* and the other way round */
     { "POST /csfle/v1/trash/<other>/restore", NULL, OK("{'...':1}") }, DEK_HAS("s", "anVuaw=="),
     TRASH(ENTRY("s", "replaced", "id")), { "DELETE ~/keks/k/deks/s", NULL, EMPTY },
     { "POST /csfle/v1/trash/<id>/restore", NULL, OK("{'...':1}") }, /* the mark stays the DEK's own */
     { "GET ~/keks/k/deks/s?deleted=true", NULL, OK("{'encryptedKeyMaterial':'bTE=','deleted':true,'...':1}") },
     { "POST ~/keks/k/deks/s/undelete", NULL, EMPTY },
     { "POST ~/keks/k/deks/s?rewrap=true", "{'encryptedKeyMaterial':'bTE='}", OK("{'...':1}") }, /* the same material: nothing is replaced */
     TRASH(ENTRY("s", "replaced", "id")))

ITEM("AB-7", what_has_another_owner_now_is_not_overwritten,
     GONE("s"), TRASH(ENTRY("s", "deleted", "first") "," ENTRY("s", "deleted", "second")), /* the replaced one is a deleted one now */
     DEK("s", "bmV3"),
     { "POST /csfle/v1/trash/<first>/restore", NULL, TAKEN("s") }, { "POST /csfle/v1/trash/<second>/restore", NULL, TAKEN("s") },
     DEK_HAS("s", "bmV3"), TRASH(ENTRY("s", "deleted", "first") "," ENTRY("s", "deleted", "second")),
     GONE("s"), { "DELETE ~/keks/k", NULL, EMPTY }, { "DELETE ~/keks/k?permanent=true", NULL, EMPTY },
     { "POST ~/keks", "{'name':'k','kmsType':'t','kmsKeyId':'another'}", OK("{'...':1}") },
     { "GET /csfle/v1/trash?offset=3", NULL, OK("[{'id':'$any:kek','type':'KEK','...':1}]") },
     { "POST /csfle/v1/trash/<kek>/restore", NULL, TAKEN("k") },
     { "POST /csfle/v1/trash/<first>/restore", NULL, NO(409, 40971, "*another one than wrapped this key") },
     { "GET ~/keks/k/deks?deleted=true", NULL, OK("[]") }, { "GET /csfle/v1/trash?limit=1", NULL, OK("[{'type':'DEK','...':1}]") })

TEST(the_trash_survives_a_kill)
{
  csfle_test_reply before = csfle_test_http(csfle_test_rest_registry(), "GET", "/csfle/v1/trash", NULL);
  assert_true(before.status == 200 && before.len > 100);
  restart();
  csfle_test_reply after = csfle_test_http(csfle_test_rest_registry(), "GET", "/csfle/v1/trash", NULL);
  assert_string_equal(after.body, before.body);
  csfle_test_reply_free(&before);
  csfle_test_reply_free(&after);
}

ITEM("AB-7", the_trash_is_no_part_of_the_dek_registry,
     { "GET ~/keks?deleted=true&subjectPrefix=", NULL, OK("[]") }, { "GET ~/keks?deleted=true", NULL, OK("['k']") },
     { "POST /csfle/v1/trash/nothing/restore", NULL, NO(404, 40470, "Trash entry 'nothing' not found") })

GROUP(rewrapped_and_deleted)

ITEM("AB-7", material_from_before_a_rewrap_of_a_deleted_dek_comes_back_soft_deleted,
     KEK("k"), DEK("again", "bTE="), { "POST ~/keks/k/deks/again?rewrap=true", "{'encryptedKeyMaterial':'anVuaw=='}", OK("{'...':1}") }, GONE("again"),
     { "GET /csfle/v1/trash", NULL, OK("[" ENTRY("again", "deleted", "first") "," ENTRY("again", "deleted", "second") "]") },
     { "POST /csfle/v1/trash/<first>/restore", NULL, OK(ENTRY("again", "deleted", "first")) }, { "GET ~/keks/k/deks/again", NULL, MISSING("again") },
     { "GET ~/keks/k/deks/again?deleted=true", NULL, OK("{'encryptedKeyMaterial':'bTE=','deleted':true,'...':1}") })

GROUP(without_a_trash, "-X", "csfle.trash.days=0")

ITEM("AB-7", nothing_is_kept_when_it_is_off, KEK("k"), DEK("s", "bTE="), GONE("s"), TRASH(), DEK("s", "bTE="),
     { "POST ~/keks/k/deks/s?rewrap=true", "{'encryptedKeyMaterial':'anVuaw=='}", OK("{'...':1}") }, TRASH())

GROUP(a_small_trash, "-X", "csfle.trash.max=2")

ITEM("AB-14", a_full_trash_refuses_rather_than_forgets, KEK("k"), DEK("a", "bTE="), DEK("b", "bTI="), DEK("c", "bTM="), GONE("a"), GONE("b"),
     { "DELETE ~/keks/k/deks/c", NULL, EMPTY }, { "DELETE ~/keks/k/deks/c?permanent=true", NULL, NO(507, 507, "^The trash is full") },
     { "GET ~/keks/k/deks/c?deleted=true", NULL, OK("{'encryptedKeyMaterial':'bTM=','...':1}") },
     { "POST ~/keks/k/deks/c?rewrap=true", "{'encryptedKeyMaterial':'anVuaw=='}", NO(507, 507, "^The trash is full") },
     { "GET /csfle/v1/health", NULL, OK("{'ready':true,'warnings':[{'code':'trash-full','message':'$has:csfle.trash.max'}],'...':1}") })

GROUP(a_trash_for_two, "-X", "csfle.trash.max=2")

ITEM("AB-14", one_command_does_not_overfill_the_trash, KEK("k"), DEK("s", "bTE="),
     { "POST ~/keks/k/deks/s", "{'version':2,'encryptedKeyMaterial':'bTI='}", OK("{'...':1}") }, { "POST ~/keks/k/deks/s", "{'version':3,'encryptedKeyMaterial':'bTM='}", OK("{'...':1}") },
     { "DELETE ~/keks/k/deks/s", NULL, EMPTY }, { "DELETE ~/keks/k/deks/s?permanent=true", NULL, NO(507, 507, "^The trash is full") }, TRASH(),
     { "GET ~/keks/k/deks/s/versions?deleted=true", NULL, OK("[1,2,3]") })

GROUP(a_full_trash_for_two, "-X", "csfle.trash.max=2")

ITEM("AB-7", a_full_trash_gives_back_what_it_has, KEK("k"), DEK("s", "bTE="), { "POST ~/keks/k/deks/s?rewrap=true", "{'encryptedKeyMaterial':'anVuaw=='}", OK("{'...':1}") },
     { "GET /csfle/v1/trash", NULL, OK("[{'id':'$any:id','...':1}]") }, { "POST ~/keks/k/deks/s?rewrap=true", "{'encryptedKeyMaterial':'bW9yZQ=='}", OK("{'...':1}") },
     { "POST ~/keks/k/deks/s?rewrap=true", "{'encryptedKeyMaterial':'bW9yZTI='}", NO(507, 507, "^The trash is full") },
     { "POST /csfle/v1/trash/<id>/restore", NULL, OK("{'why':'replaced','...':1}") }, DEK_HAS("s", "bTE="),
     { "GET /csfle/v1/trash", NULL, OK("[{'why':'replaced','...':1},{'why':'replaced','...':1}]") })

GROUP(rewrapped_without_end)

/* whoever may rewrap one key cannot keep others from deleting and rewrapping theirs */
TEST(AB_14_one_key_does_not_fill_the_trash)
{
  char                  body[100];
  const csfle_test_step made[] = { KEK("k"), DEK("s", "bTE="), DEK("other", "bTE=") };
  const csfle_test_step after[] = {
    { "POST ~/keks/k/deks/s?rewrap=true", "{'encryptedKeyMaterial':'bTI='}", NO(507, 507, "*entries of this key already") }, { "GET /csfle/v1/trash", NULL, OK("['$holds',{'id':'$any:id','...':1}]") },
    { "POST /csfle/v1/trash/<id>/restore", NULL, OK("{'why':'replaced','...':1}") }, { "POST ~/keks/k/deks/other?rewrap=true", "{'encryptedKeyMaterial':'bTI='}", OK("{'...':1}") },
  };
  csfle_test_steps("making keys", made, sizeof made / sizeof *made);
  for (int i = 0; i < 100; i++) {
    snprintf(body, sizeof body, "{\"encryptedKeyMaterial\":\"%04d\"}", 1000 + i);
    csfle_test_reply p = csfle_test_http(csfle_test_rest_registry(), "POST", "/dek-registry/v1/keks/k/deks/s?rewrap=true", body);
    if (p.status != 200) fail_msg("%d: %ld %s", i, p.status, p.body);
    csfle_test_reply_free(&p);
  }
  csfle_test_steps("one key too often", after, sizeof after / sizeof *after);
}

/* ---- time ----------------------------------------------------------------------------------------------------------- */

#define Q "\\\""
#define QQ "\\\\\\\""
#define LINE(topic, ts, key, value) "{'topic':'" topic "','offset':0,'ts':" ts ",'key':'" key "','value':" value "}\n"
#define OLD_DEK "{" QQ "kekName" QQ ":" QQ "k" QQ "," QQ "subject" QQ ":" QQ "s" QQ "," QQ "algorithm" QQ ":" QQ "AES256_GCM" QQ "," QQ "version" QQ ":%d," QQ "encryptedKeyMaterial" QQ ":" QQ "%s" QQ "," QQ "deleted" QQ ":true," QQ "type" QQ ":" QQ "DEK" QQ "}"
#define OLD_KEY "{" QQ "tenant" QQ ":" QQ "default" QQ "," QQ "kekName" QQ ":" QQ "k" QQ "," QQ "subject" QQ ":" QQ "s" QQ "," QQ "algorithm" QQ ":" QQ "AES256_GCM" QQ "," QQ "version" QQ ":%d," QQ "type" QQ ":" QQ "DEK" QQ "}"

static bool store_has(const char *text)
{
  static char all[1 << 20];
  char        path[320];
  bool        found = false;
  static const char *const suffixes[] = { "", "-wal" };
  for (size_t i = 0; i < 2; i++) {
    snprintf(path, sizeof path, "%s%s", csfle_test_rest_registry()->store, suffixes[i]);
    FILE *f = fopen(path, "rb");
    if (!f) continue;
    size_t n = fread(all, 1, sizeof all, f);
    fclose(f);
    found = found || memmem(all, n, text, strlen(text)) != NULL;
  }
  return found;
}

/* entries of eight days and of one day ago; a week's trash */
TEST(what_is_past_its_time_is_gone_from_state_and_store)
{
  static const char *const args[] = { "-X", "csfle.housekeeping.ms=20", "-X", "csfle.store.tidy.ms=50", NULL };
  static char              lines[8192], one[2048];
  long long                now = (long long)time(NULL) * 1000;

  lines[0] = 0;
  for (int i = 1; i <= 2; i++) {
    const char *material = i == 1 ? "T0xETUFURVJJQUw=" : "WU9VTkdNQVRFUklBTA==";
    snprintf(one, sizeof one, LINE("_csfle", "1700000000000", "{" Q "kind" Q ":" Q "trash" Q "," Q "id" Q ":" Q "%d" Q "}",
                                   "'{" Q "why" Q ":" Q "deleted" Q "," Q "since" Q ":%lld," Q "kmsType" Q ":" Q "t" Q "," Q "kmsKeyId" Q ":" Q "i" Q "," Q "key" Q ":" Q OLD_KEY Q "," Q "value" Q ":" Q OLD_DEK Q "}'"),
             i, now - (i == 1 ? 8 : 1) * 86400000LL, i, i, material);
    strcat(lines, one);
  }
  csfle_test_rest_load(lines, args);
  bool gone = false;
  for (int i = 0; i < 400 && !gone; i++) {
    nanosleep(&(struct timespec){ 0, 25000000 }, NULL);
    gone = !store_has("T0xETUFURVJJQUw=");
  }
  assert_true(gone);
  assert_true(store_has("WU9VTkdNQVRFUklBTA=="));
  const csfle_test_step steps[] = { { "GET /csfle/v1/trash", NULL, OK("[{'id':'2','version':2,'...':1}]") }, { "POST /csfle/v1/trash/1/restore", NULL, NO(404, 40470, "*not found") } };
  csfle_test_steps("AB-7", steps, 2);
}

/* a key deleted for good leaves the store too, once the store is tidied and the trash does not keep it */
TEST(what_is_deleted_for_good_leaves_the_store)
{
  static const char *const args[] = { "-X", "csfle.trash.days=0", "-X", "csfle.housekeeping.ms=20", "-X", "csfle.store.tidy.ms=50", NULL };
  csfle_test_rest_fresh(args);
  const csfle_test_step steps[] = { KEK("k"), DEK("s", "RE9PTUVETUFURVJJQUw="), GONE("s"), KEK("later") };
  csfle_test_steps("AB-7", steps, sizeof steps / sizeof *steps);
  bool gone = false;
  for (int i = 0; i < 400 && !gone; i++) {
    nanosleep(&(struct timespec){ 0, 25000000 }, NULL);
    gone = !store_has("RE9PTUVETUFURVJJQUw=");
  }
  assert_true(gone);
  restart();
  const csfle_test_step after[] = { { "GET ~/keks?deleted=true", NULL, OK("['k','later']") }, { "GET ~/keks/k/deks?deleted=true", NULL, OK("[]") } };
  csfle_test_steps("AB-7", after, 2);
}

THE_END
