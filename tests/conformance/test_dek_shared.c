/* spec/dek-registry.md section 15, G and the shared part of H: KEKs the registry itself may use, here of local-kms. */
#include "tests/support/rest.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define TAKEN(name) NO(409, 40971, "Key '" name "' already exists; use a different value")
#define MISSING(name) NO(404, 40470, "Key '" name "' not found")
#define SHARED(name) "{'name':'" name "','kmsType':'local-kms','kmsKeyId':'k','kmsProps':{'secret':'mysecret'},'shared':true}"
#define SHARED_IS(name) \
  OK("{'name':'" name "','kmsType':'local-kms','kmsKeyId':'k','kmsProps':{'secret':'mysecret'},'shared':true,'ts':'$ts'}")
#define DEK_IS(kek, subject, algorithm, more) \
  OK("{'kekName':'" kek "','subject':'" subject "','version':1,'algorithm':'" algorithm "'," more ",'ts':'$ts'}")
#define GCM "AES256_GCM"

GROUP(group_g_starts_empty)

ITEM("DEK-125", the_server_makes_and_opens_the_key,
     { "POST ~/keks", SHARED("sh"), SHARED_IS("sh") },
     { "POST ~/keks/sh/deks/a", "{}",
       DEK_IS("sh", "a", GCM, "'encryptedKeyMaterial':'$b64:62::wrapped','keyMaterial':'$b64:34:1a20:plain'") })

ITEM("DEK-126", every_algorithm_has_its_layout,
     { "POST ~/keks/sh/deks/a", "{'algorithm':'AES128_GCM'}",
       DEK_IS("sh", "a", "AES128_GCM", "'encryptedKeyMaterial':'$b64:46','keyMaterial':'$b64:18:1a10'") },
     { "POST ~/keks/sh/deks/a", "{'algorithm':'AES256_SIV'}",
       DEK_IS("sh", "a", "AES256_SIV", "'encryptedKeyMaterial':'$b64:94','keyMaterial':'$b64:66:1240'") })

ITEM("DEK-127", reading_opens_the_key_again,
     { "GET ~/keks/sh/deks/a", NULL,
       DEK_IS("sh", "a", GCM, "'encryptedKeyMaterial':'$is:wrapped','keyMaterial':'$is:plain'") },
     { "GET ~/keks/sh/deks/a/versions/1", NULL,
       DEK_IS("sh", "a", GCM, "'encryptedKeyMaterial':'$is:wrapped','keyMaterial':'$is:plain'") },
     { "GET ~/keks/sh/deks/a/versions/latest", NULL,
       DEK_IS("sh", "a", GCM, "'encryptedKeyMaterial':'$is:wrapped','keyMaterial':'$is:plain'") })

ITEM("DEK-128", creating_a_dek_twice_conflicts, { "POST ~/keks/sh/deks/a", "{}", TAKEN("a") })

ITEM("DEK-129", given_material_is_opened,
     { "POST ~/keks/sh/deks/b", "{'encryptedKeyMaterial':<W>}",
       DEK_IS("sh", "b", GCM, "'encryptedKeyMaterial':<W>,'keyMaterial':<R>") })

ITEM("DEK-130", a_deleted_dek_of_a_shared_kek_is_only_undeleted,
     { "DELETE ~/keks/sh/deks/b", NULL, EMPTY },
     { "POST ~/keks/sh/deks/b", "{'encryptedKeyMaterial':<W>}", TAKEN("b") },
     { "POST ~/keks/sh/deks/b", "{}", TAKEN("b") },
     { "POST ~/keks/sh/deks/b/undelete", NULL, EMPTY },
     { "GET ~/keks/sh/deks/b", NULL, DEK_IS("sh", "b", GCM, "'encryptedKeyMaterial':<W>,'keyMaterial':<R>") })

ITEM("DEK-131", material_that_does_not_open_is_not_stored,
     { "POST ~/keks/sh/deks/c", "{'encryptedKeyMaterial':'AAAA'}", NO(500, 50070, "^Could not generate raw dek for c: ") },
     { "GET ~/keks/sh/deks/c?deleted=true", NULL, MISSING("c") },
     { "GET ~/keks/sh/deks", NULL, OK("['a','b']") },
     { "POST ~/keks/sh/deks/c", "{'encryptedKeyMaterial':'AAAA'}", NO(500, 50070, "^Could not generate raw dek for c: ") })

ITEM("DEK-132", empty_material_does_not_open,
     { "POST ~/keks/sh/deks/c", "{'encryptedKeyMaterial':''}", NO(500, 50070, "^Could not generate raw dek for c: ") },
     { "GET ~/keks/sh/deks/c?deleted=true", NULL, MISSING("c") })

ITEM("DEK-133", the_key_shows_only_while_the_kek_is_shared,
     { "PUT ~/keks/sh", "{'shared':false}", OK("{'shared':false,'...':1}") },
     { "GET ~/keks/sh/deks/a", NULL, DEK_IS("sh", "a", GCM, "'encryptedKeyMaterial':'$is:wrapped'") },
     { "PUT ~/keks/sh", "{'shared':true}", SHARED_IS("sh") },
     { "GET ~/keks/sh/deks/a", NULL,
       DEK_IS("sh", "a", GCM, "'encryptedKeyMaterial':'$is:wrapped','keyMaterial':'$is:plain'") })

ITEM("DEK-134", sharing_a_kek_later_opens_its_deks,
     { "POST ~/keks", "{'name':'n','kmsType':'local-kms','kmsKeyId':'k','kmsProps':{'secret':'mysecret'}}",
       OK("{'name':'n','kmsType':'local-kms','kmsKeyId':'k','kmsProps':{'secret':'mysecret'},'shared':false,'ts':'$ts'}") },
     { "POST ~/keks/n/deks/s", "{'encryptedKeyMaterial':<W>}", DEK_IS("n", "s", GCM, "'encryptedKeyMaterial':<W>") },
     { "PUT ~/keks/n", "{'shared':true}", SHARED_IS("n") },
     { "GET ~/keks/n/deks/s", NULL, DEK_IS("n", "s", GCM, "'encryptedKeyMaterial':<W>,'keyMaterial':<R>") })

ITEM("DEK-135", a_deleted_dek_of_a_shared_kek_is_opened_too,
     { "DELETE ~/keks/n/deks/s", NULL, EMPTY },
     { "GET ~/keks/n/deks/s?deleted=true", NULL,
       DEK_IS("n", "s", GCM, "'encryptedKeyMaterial':<W>,'keyMaterial':<R>,'deleted':true") })

/* the answer is the KEK; Java adds type, offset and deleted, which no client reads (section 3.7) */
ITEM("DEK-136", a_kek_is_tested_when_it_is_shared_and_live,
     { "POST ~/keks/sh/test", NULL,
       OK("{'name':'sh','kmsType':'local-kms','kmsKeyId':'k','kmsProps':{'secret':'mysecret'},'shared':true,'...':1}") },
     { "POST ~/keks", "{'name':'plain','kmsType':'local-kms','kmsKeyId':'k'}", OK("{'shared':false,'...':1}") },
     { "POST ~/keks/plain/test", NULL, NO(422, 42271, "Invalid or missing value for field 'shared' of key") },
     { "POST ~/keks/nope/test", NULL, MISSING("nope") },
     { "DELETE ~/keks/plain", NULL, EMPTY },
     { "POST ~/keks/plain/test", NULL, MISSING("plain") })

ITEM("DEK-137", a_kms_without_driver_is_named,
     { "POST ~/keks", "{'name':'u','kmsType':'unknown-kms','kmsKeyId':'some-id','shared':true}",
       OK("{'name':'u','kmsType':'unknown-kms','kmsKeyId':'some-id','kmsProps':{},'shared':true,'ts':'$ts'}") },
     { "POST ~/keks/u/test", NULL,
       NO(500, 50070, "Could not generate encrypted dek for __TEST: No KMS driver supports: unknown-kms://some-id") },
     { "POST ~/keks/u/deks/s", "{}", NO(500, 50070, "^Could not generate encrypted dek for s: ") },
     { "GET ~/keks/u/deks?deleted=true", NULL, OK("[]") })

ITEM("DEK-138", sharing_a_kek_of_an_unknown_kms_shows_on_reading,
     { "POST ~/keks", "{'name':'u2','kmsType':'unknown-kms','kmsKeyId':'i'}", OK("{'name':'u2','...':1}") },
     { "POST ~/keks/u2/deks/s", "{'encryptedKeyMaterial':<W>}", DEK_IS("u2", "s", GCM, "'encryptedKeyMaterial':<W>") },
     { "PUT ~/keks/u2", "{'shared':true}", OK("{'name':'u2','shared':true,'...':1}") },
     { "GET ~/keks/u2/deks/s", NULL, NO(500, 50070, "^Could not generate raw dek for s: ") })

ITEM("DEK-139", in_mode_import_the_new_key_is_not_opened,
     { "PUT /mode?force=true", "{'mode':'IMPORT'}", OK("{'mode':'IMPORT'}") },
     { "POST ~/keks/sh/deks/imp", "{}", DEK_IS("sh", "imp", GCM, "'encryptedKeyMaterial':'$b64:62::imported'") },
     { "GET ~/keks/sh/deks/imp", NULL,
       DEK_IS("sh", "imp", GCM, "'encryptedKeyMaterial':'$is:imported','keyMaterial':'$b64:34:1a20'") },
     { "DELETE /mode", NULL, OK("{'mode':'IMPORT'}") })

ITEM("DEK-141", sharing_can_be_tested_before_it_is_stored,
     { "POST ~/keks?testSharing=true", SHARED("tested"), SHARED_IS("tested") },
     { "GET ~/keks/tested", NULL, SHARED_IS("tested") },
     { "POST ~/keks?testSharing=true",
       "{'name':'wrong','kmsType':'unknown-kms','kmsKeyId':'i','kmsProps':{'a':'b'},'shared':true}",
       NO(500, 500, "^Error while creating key: Could not generate encrypted dek for __TEST: ") },
     { "GET ~/keks/wrong?deleted=true", NULL, MISSING("wrong") })

ITEM("DEK 4.3", alternate_key_ids_do_no_harm,
     { "POST ~/keks",
       "{'name':'alt','kmsType':'local-kms','kmsKeyId':'k','shared':true,"
       "'kmsProps':{'secret':'mysecret','encrypt.alternate.kms.key.ids':'k2, k3'}}",
       OK("{'name':'alt','shared':true,'...':1}") },
     { "POST ~/keks/alt/deks/s", "{'encryptedKeyMaterial':<W>}",
       DEK_IS("alt", "s", GCM, "'encryptedKeyMaterial':<W>,'keyMaterial':<R>") },
     { "POST ~/keks/alt/deks/t", "{}",
       DEK_IS("alt", "t", GCM, "'encryptedKeyMaterial':'$b64:62','keyMaterial':'$b64:34:1a20'") })

ITEM("DEK-147", rewrapping_wraps_the_same_key_anew,
     { "POST ~/keks/sh/deks/a?rewrap=true", "{}",
       DEK_IS("sh", "a", GCM, "'encryptedKeyMaterial':'$not:wrapped','keyMaterial':'$is:plain'") },
     { "GET ~/keks/sh/deks/a", NULL,
       DEK_IS("sh", "a", GCM, "'encryptedKeyMaterial':'$not:wrapped','keyMaterial':'$is:plain'") })

ITEM("DEK-148", rewrapping_a_shared_dek_takes_no_material,
     { "POST ~/keks/sh/deks/a?rewrap=true", "{'encryptedKeyMaterial':<W>}", TAKEN("a") })

THE_END
