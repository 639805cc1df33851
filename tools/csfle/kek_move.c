/**
 * csfle kek move: a KEK under another key of another KMS. All data keys are unwrapped with the old key, wrapped with the new one and
 * unwrapped once for proof, here; then csfle-registry changes KEK and data keys in one batch, or nothing.
 */
#include "client/deks/wrapper.h"
#include "core/base/alloc.h"
#include "core/crypt/digest.h"
#include "core/crypt/material.h"
#include "tools/common/report.h"
#include "tools/csfle/ask.h"
#include "tools/csfle/keyprint.h"
#include "tools/csfle/table.h"

#define MOVE_PATH "/csfle/v1/keks/%s/move"

static int no_memory(void) { return fail(EXIT_FAILED, "no memory for the keys"); }

typedef struct move {
  args          *a;
  const char    *name;
  registry       r;
  keyset         keys;
  csfle__kek     to; /* views into args and keys */
  csfle__pair    props[COMMAND_MAX_PROPS];
  csfle_buf      body;
  csfle_config  *config;
  csfle_client  *client;
  csfle__wrapper *old_key, *new_key;
} move;

/* ---- what is asked for */

static int take_target(move *m)
{
  const char       *colon = strchr(m->a->move_to, ':');
  const csfle__kek *from = m->keys.at[0].kek;

  if (!colon || colon == m->a->move_to || !colon[1]) return fail(EXIT_USAGE, "--to takes TYPE:ID, the KMS and its key: --to hcvault:https://vault:8200/transit/keys/cards");
  m->to = *from;
  m->to.kms_type = csfle__view(m->a->move_to, (size_t)(colon - m->a->move_to));
  m->to.kms_key_id = csfle__str(colon + 1);
  if (csfle__eq(m->to.kms_type, from->kms_type) && csfle__eq(m->to.kms_key_id, from->kms_key_id))
    return fail(EXIT_CONFLICT, "KEK '%s' has that key already; after it got a new version in the KMS 'csfle kek rotate %s' is what is needed", m->name, m->name);
  if (!csfle__eq(m->to.kms_type, from->kms_type)) m->to.kms_props = (csfle__pairs){ NULL, 0 }; /* those of another kind of KMS mean nothing there */
  for (size_t i = 0; i < m->a->kms.count; i++) m->props[i] = (csfle__pair){ csfle__str(m->a->kms.at[i].name), csfle__str(m->a->kms.at[i].value) };
  if (m->a->kms.count) m->to.kms_props = (csfle__pairs){ m->props, m->a->kms.count };
  return 0;
}

/* clients refuse a KEK whose KMS or key is another than a rule says: who reads by those versions could no longer */
static int check_rules(move *m)
{
  keyset_rules rules = { 0 };
  size_t       count = 0;
  int          rc = keyset_rules_fetch(&rules, &m->r);

  if (rc == EXIT_DENIED) {
    rc = 0;
    fputs("The schemas cannot be read: whether a rule names the old key is not told.\n", stderr);
  }
  for (size_t i = 0; i < rules.count && !rc; i++) {
    const keyset_rule *rule = &rules.at[i];
    bool               type = *rule->kms_type && !csfle__eq_str(m->to.kms_type, rule->kms_type), id = *rule->kms_key_id && !csfle__eq_str(m->to.kms_key_id, rule->kms_key_id);
    if (strcmp(rule->kek, m->name) != 0 || (!type && !id)) continue;
    if (!count++) note("these schemas have a rule that names another KMS or key than the new one:");
    table_tame(rule->subject);
    fprintf(stderr, "  %s version %d%s\n", rule->subject, (int)rule->version, rule->latest ? ", the newest" : "");
  }
  keyset_rules_free(&rules);
  if (rc || !count || m->a->dry_run) return rc;
  fputs("Clients refuse a KEK that differs from the rule (encrypt.kms.type, encrypt.kms.key.id): producers of the newest versions and all consumers\n"
        "of records with these versions, until there is a newer version without them or with the new key, and consumers read by it\n"
        "(use.latest.version=true).\n", stderr);
  return ask_for(m->a, m->name, "move it all the same");
}

/* ---- wrapping */

static csfle_status put_dek(csfle_buf *b, const csfle__dek *d, csfle__bytes material, bool first)
{
  uint8_t      digest[32];
  csfle_status rc = csfle__sha256(d->encrypted_key_material, digest, NULL);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(b, first ? "{\"subject\":" : ",{\"subject\":", NULL);
  if (rc == CSFLE_OK) rc = csfle__json_put_string(b, d->subject, false, NULL);
  if (rc == CSFLE_OK) rc = csfle__buf_printf(b, NULL, ",\"algorithm\":\"%s\",\"version\":%d,\"was\":\"", csfle__algorithm_name(d->algorithm), (int)d->version);
  for (int i = 0; i < 32 && rc == CSFLE_OK; i++) rc = csfle__buf_printf(b, NULL, "%02x", digest[i]);
  return rc == CSFLE_OK ? csfle__buf_printf(b, NULL, "\",\"encryptedKeyMaterial\":\"%.*s\"}", CSFLE__FMT(material)) : rc;
}

static csfle_status put_target(move *m)
{
  csfle_status rc = csfle__buf_puts(&m->body, "{\"kmsType\":", NULL);
  if (rc == CSFLE_OK) rc = csfle__json_put_string(&m->body, m->to.kms_type, false, NULL);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&m->body, ",\"kmsKeyId\":", NULL);
  if (rc == CSFLE_OK) rc = csfle__json_put_string(&m->body, m->to.kms_key_id, false, NULL);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&m->body, ",\"kmsProps\":", NULL);
  if (rc == CSFLE_OK) rc = csfle__pairs_put(&m->body, &m->to.kms_props, NULL);
  return rc == CSFLE_OK ? csfle__buf_puts(&m->body, ",\"deks\":[", NULL) : rc;
}

static int wrap_one(move *m, const csfle__dek *d, csfle_buf *base64, bool first)
{
  csfle__secret material = CSFLE__SECRET_INIT, raw = CSFLE__SECRET_INIT;
  csfle_error   err = CSFLE_ERROR_INIT;
  const char   *doing = "old key";
  int           rc = 0;

  csfle_status st = csfle__wrapper_unwrap(m->old_key, d->encrypted_key_material, &material, &err);
  if (st == CSFLE_OK) st = csfle__dek_decode(d->algorithm, csfle__secret_view(&material), &raw, &err);
  if (st == CSFLE_OK) {
    doing = "new key";
    st = csfle__wrapper_wrap(m->new_key, csfle__secret_view(&material), base64, &err);
  }
  if (st != CSFLE_OK) {
    char what[600];
    snprintf(what, sizeof what, "nothing was changed: %s, subject %.*s, %s, version %d", doing, CSFLE__FMT(d->subject), csfle__algorithm_name(d->algorithm), (int)d->version);
    rc = fail_with(&err, what);
  } else if (put_dek(&m->body, d, csfle__buf_view(base64), first) != CSFLE_OK) {
    rc = no_memory();
  }
  csfle__secret_wipe(&material), csfle__secret_wipe(&raw);
  return rc;
}

/* a KEK without data keys: at least a key that is thrown away shows that the new one can be used */
static int try_new_key(move *m, csfle_buf *base64)
{
  csfle__secret raw = CSFLE__SECRET_INIT, material = CSFLE__SECRET_INIT;
  csfle_error   err = CSFLE_ERROR_INIT;
  csfle_status  st = csfle__dek_generate(CSFLE__AES256_GCM, &raw, &err);
  if (st == CSFLE_OK) st = csfle__dek_encode(CSFLE__AES256_GCM, &raw, &material, &err);
  if (st == CSFLE_OK) st = csfle__wrapper_wrap(m->new_key, csfle__secret_view(&material), base64, &err);
  csfle__secret_wipe(&raw), csfle__secret_wipe(&material);
  return st == CSFLE_OK ? 0 : fail_with(&err, "nothing was changed: new key");
}

/* opens both keys of the KMS; nothing is called yet */
static int open_keys(move *m, const csfle__kek *from, const csfle__kek *to)
{
  csfle_error err = CSFLE_ERROR_INIT;
  int         rc;

  if ((m->config = props_config(&m->a->props, NULL, &rc)) == NULL) return rc;
  if ((m->client = csfle_client_open(m->config, &err)) == NULL || csfle__wrapper_open(&m->old_key, m->client, from, true, NULL, &err) != CSFLE_OK ||
      csfle__wrapper_open(&m->new_key, m->client, to, false, "_to_", &err) != CSFLE_OK)
    return fail_with(&err, NULL);
  return 0;
}

/* every data key under the new key, proved, into the request */
static int wrap_all(move *m)
{
  const keyset_kek *k = &m->keys.at[0];
  csfle_buf         base64;
  int               rc = open_keys(m, k->kek, &m->to);

  if (rc) return rc;
  csfle_buf_init(&base64, 0, 0);
  if (put_target(m) != CSFLE_OK) rc = no_memory();
  else if (!k->count) rc = try_new_key(m, &base64);
  for (size_t i = 0; i < k->count && !rc; i++) {
    rc = wrap_one(m, k->deks[i], &base64, i == 0);
    if (!rc && stop_wanted()) rc = fail(EXIT_FAILED, "stopped; nothing was changed");
  }
  if (!rc && csfle__buf_puts(&m->body, "]}", NULL) != CSFLE_OK) rc = no_memory();
  csfle_buf_free(&base64);
  return rc;
}

/* ---- the command */

static void tell(const move *m, const char *done)
{
  const csfle__kek *from = m->keys.at[0].kek;
  if (args_want_json(m->a)) printf("{\"moved\":%s,\"deks\":%zu}\n", m->a->dry_run ? "false" : "true", m->keys.at[0].count);
  else
    printf("KEK %s: %zu data keys %s from %.*s %.*s to %.*s %.*s\n", m->name, m->keys.at[0].count, done, CSFLE__FMT(from->kms_type), CSFLE__FMT(from->kms_key_id),
           CSFLE__FMT(m->to.kms_type), CSFLE__FMT(m->to.kms_key_id));
}

/* an answer can be lost, and the request that follows it refused: whether the registry has done it shows in the KEK */
static bool done_already(move *m)
{
  csfle__kek *now = NULL;
  csfle_buf   path;
  yyjson_val *answer;
  bool        same = false;

  csfle_buf_init(&path, 0, 0);
  if (registry_path(&path, KEKS_PATH "/%s", m->name) == 0 && registry_call(&m->r, "GET", csfle__buf_cstr(&path), CSFLE__NONE, true, &answer) == 0 &&
      csfle__kek_parse(&now, answer, NULL) == CSFLE_OK)
    same = csfle__eq(now->kms_type, m->to.kms_type) && csfle__eq(now->kms_key_id, m->to.kms_key_id);
  csfle__kek_free(now);
  csfle_buf_free(&path);
  return same;
}

static int start_move(move *m)
{
  csfle_buf   path;
  yyjson_val *answer;
  int         rc;

  if ((rc = keyset_fetch(&m->keys, &m->r, m->name)) != 0) return rc;
  if (m->r.foreign) return fail(EXIT_FAILED, "this registry cannot move a KEK: it is no csfle-registry. Use a new KEK, named by a new version of the schema's rule");
  if (m->keys.at[0].kek->deleted) return fail(EXIT_CONFLICT, "KEK '%s' is deleted; 'csfle kek undelete %s' brings it back", m->name, m->name);
  if ((rc = take_target(m)) != 0 || (rc = check_rules(m)) != 0 || (rc = wrap_all(m)) != 0) return rc;
  if (m->a->dry_run) {
    tell(m, "were unwrapped and wrapped, and would move");
    return 0;
  }
  csfle_buf_init(&path, 0, 0);
  if ((rc = registry_path(&path, MOVE_PATH, m->name)) == 0) rc = registry_call(&m->r, "POST", csfle__buf_cstr(&path), csfle__buf_view(&m->body), false, &answer);
  if ((rc == EXIT_CONFLICT || rc == EXIT_UNAVAILABLE) && done_already(m)) {
    note("it was done all the same; the answer was lost");
    rc = 0;
  } else if (rc == EXIT_CONFLICT) {
    note("nothing was changed; what was read is no longer so: run it again");
  } else if (rc == EXIT_UNAVAILABLE) {
    note("whether it was done is not known; 'csfle kek move %s' tells", m->name);
  }
  if (!rc) tell(m, "moved");
  if (!rc && m->to.shared && (rc = registry_path(&path, KEKS_PATH "/%s/test", m->name)) == 0 &&
      (rc = registry_call(&m->r, "POST", csfle__buf_cstr(&path), CSFLE__NONE, false, &answer)) != 0)
    note("the registry itself cannot use the new key, which this shared KEK needs: 'csfle kek move %s --undo' puts the old one back", m->name);
  csfle_buf_free(&path);
  if (rc) return rc;
  if (!args_want_json(m->a)) printf("What they were is kept until 'csfle kek move %s --confirm'; '--undo' puts it back. Keep the old key in the KMS until then.\n", m->name);
  return 0;
}

/* what is open, as csfle-registry tells it */
static int call_move(move *m, const char *method, const char *pattern, yyjson_val **answer)
{
  csfle_buf path;
  int       rc;
  csfle_buf_init(&path, 0, 0);
  if ((rc = registry_path(&path, pattern, m->name)) == 0) rc = registry_call(&m->r, method, csfle__buf_cstr(&path), CSFLE__NONE, false, answer);
  csfle_buf_free(&path);
  return rc;
}

static int tell_move(move *m)
{
  char        when[32];
  yyjson_val *answer;
  int64_t     since = 0, deks = 0;
  int         rc = call_move(m, "GET", MOVE_PATH, &answer);

  if (rc) return rc;
  csfle__json_i64(csfle__json_member(answer, "since"), &since);
  csfle__json_i64(csfle__json_member(answer, "deks"), &deks);
  if (args_want_json(m->a)) {
    csfle_buf    text;
    csfle_buf_init(&text, 0, 0);
    csfle_status st = csfle__buf_printf(&text, NULL, "{\"since\":%lld,\"deks\":%lld,\"kmsType\":", (long long)since, (long long)deks);
    if (st == CSFLE_OK) st = csfle__json_put_string(&text, csfle__json_member_text(answer, "kmsType"), false, NULL);
    if (st == CSFLE_OK) st = csfle__buf_puts(&text, ",\"kmsKeyId\":", NULL);
    if (st == CSFLE_OK) st = csfle__json_put_string(&text, csfle__json_member_text(answer, "kmsKeyId"), false, NULL);
    if (st == CSFLE_OK) printf("%.*s}\n", CSFLE__FMT(csfle__buf_view(&text)));
    else rc = no_memory();
    csfle_buf_free(&text);
    return rc;
  }
  print_line("moved", csfle__str(time_text(since, when)));
  print_line("kms type was", csfle__json_member_text(answer, "kmsType"));
  print_line("key id was", csfle__json_member_text(answer, "kmsKeyId"));
  printf("%-14s %lld\n", "data keys", (long long)deks);
  return 0;
}

static int undo_move(move *m)
{
  yyjson_val *answer;
  int         rc = call_move(m, "POST", MOVE_PATH "/undo", &answer);
  if (!rc) printf("undone: the move of KEK %s\n", m->name);
  return rc;
}

/* ---- confirming: a producer that held the KEK from before may have made a data key under the old key since */

static int put_again(move *m, const csfle__dek *d, csfle__bytes material)
{
  yyjson_val  *answer;
  csfle_buf    path;
  char        *subject = csfle__dup(d->subject.ptr, d->subject.len);
  int          rc = subject ? 0 : no_memory();

  csfle_buf_init(&path, 0, 0);
  csfle__buf_clear(&m->body);
  csfle_status st = csfle__buf_printf(&m->body, NULL, "{\"version\":%d,\"algorithm\":\"%s\",\"encryptedKeyMaterial\":\"%.*s\",\"deleted\":%s}", (int)d->version,
                                      csfle__algorithm_name(d->algorithm), CSFLE__FMT(material), d->deleted ? "true" : "false");
  if (!rc && st != CSFLE_OK) rc = no_memory();
  if (!rc && (rc = registry_path(&path, KEKS_PATH "/%s/deks/%s?rewrap=true", m->name, subject)) == 0)
    rc = registry_call(&m->r, "POST", csfle__buf_cstr(&path), csfle__buf_view(&m->body), false, &answer);
  csfle_buf_free(&path);
  csfle__free(subject);
  return rc;
}

/* 0: the new key unwraps it, or does now; -1: neither does, which is told; else an exit code */
static int look_at(move *m, const csfle__dek *d, csfle_buf *base64, size_t *again)
{
  csfle__secret material = CSFLE__SECRET_INIT, raw = CSFLE__SECRET_INIT;
  csfle_error   err = CSFLE_ERROR_INIT, why = CSFLE_ERROR_INIT;
  int           rc = 0;

  csfle_status st = csfle__wrapper_unwrap(m->new_key, d->encrypted_key_material, &material, &why);
  if (st != CSFLE_OK) {
    st = csfle__wrapper_unwrap(m->old_key, d->encrypted_key_material, &material, &err);
    if (st == CSFLE_OK) st = csfle__dek_decode(d->algorithm, csfle__secret_view(&material), &raw, &err);
    if (st == CSFLE_OK) st = csfle__wrapper_wrap(m->new_key, csfle__secret_view(&material), base64, &why);
    if (st == CSFLE_OK && (rc = put_again(m, d, csfle__buf_view(base64))) == 0) ++*again;
    if (st != CSFLE_OK) {
      note("the new key does not unwrap subject %.*s, %s, version %d: %s", CSFLE__FMT(d->subject), csfle__algorithm_name(d->algorithm), (int)d->version, why.msg);
      rc = -1;
    }
  }
  csfle__secret_wipe(&material), csfle__secret_wipe(&raw);
  return rc;
}

static int look_at_all(move *m)
{
  csfle__kek *from = NULL;
  csfle_error err = CSFLE_ERROR_INIT;
  yyjson_val *answer;
  csfle_buf   base64;
  size_t      again = 0, bad = 0;
  int         rc;

  csfle_buf_init(&base64, 0, 0);
  if ((rc = call_move(m, "GET", MOVE_PATH, &answer)) != 0) return rc;
  if (csfle__kek_parse(&from, answer, &err) != CSFLE_OK) return fail_with(&err, "the registry's answer");
  if ((rc = keyset_fetch(&m->keys, &m->r, m->name)) == 0) rc = open_keys(m, from, m->keys.at[0].kek);
  for (size_t i = 0; !rc && i < m->keys.at[0].count; i++) {
    rc = look_at(m, m->keys.at[0].deks[i], &base64, &again);
    if (rc == -1) bad++, rc = 0;
    if (!rc && stop_wanted()) rc = fail(EXIT_FAILED, "stopped; the move is not confirmed");
  }
  if (again) note("%zu data keys were made under the old key since the move; they are wrapped with the new one now", again);
  if (!rc && bad) rc = fail(EXIT_PARTLY, "not confirmed: %zu data keys are not unwrapped by the new key; --yes confirms all the same", bad);
  csfle__wrapper_close(m->old_key);
  m->old_key = NULL; /* it borrows what goes now */
  csfle__kek_free(from);
  csfle_buf_free(&base64);
  return rc;
}

static int confirm_move(move *m)
{
  yyjson_val *answer;
  int         rc = m->a->force ? 0 : look_at_all(m);
  if (!rc) rc = call_move(m, "DELETE", MOVE_PATH, &answer);
  if (!rc) printf("confirmed the move of KEK %s\n", m->name);
  return rc;
}

static int kek_move(args *a)
{
  move m = { .a = a };
  int  rc;

  if ((rc = args_names(a, a->name, "the NAME of the KEK", &m.name, NULL, NULL, NULL)) != 0) return rc;
  if (!!a->move_to + a->confirm + a->undo > 1) return fail(EXIT_USAGE, "one of --to, --confirm and --undo");
  csfle_buf_init(&m.body, 0, CSFLE_BUF_WIPE); /* a property may be a secret */
  if ((rc = registry_open(&m.r, &a->props)) == 0) {
    if (a->move_to) rc = start_move(&m);
    else if (a->confirm) rc = confirm_move(&m);
    else if (a->undo) rc = undo_move(&m);
    else rc = tell_move(&m);
  }
  csfle__wrapper_close(m.old_key);
  csfle__wrapper_close(m.new_key);
  csfle_client_close(m.client);
  csfle_config_free(m.config);
  csfle_buf_free(&m.body);
  keyset_free(&m.keys);
  registry_close(&m.r);
  return rc;
}

static const option_row move_options[] = {
  { 0, "name", OPTION_TEXT, OPTION_AT(name), "NAME", "the KEK, instead of the operand" },
  { 0, "to", OPTION_TEXT, OPTION_AT(move_to), "TYPE:ID", "the KMS and its key: hcvault:https://vault:8200/transit/keys/cards" },
  { 0, "kms-properties", OPTION_KMS_LIST, 0, "NAME=VALUE,...", "the KEK's properties there; else it keeps its own when the kind of KMS stays" },
  { 0, "kms-prop", OPTION_KMS_PROP, 0, "NAME=VALUE", "one of them, with commas as they are; again for another" },
  { 0, "dry-run", OPTION_FLAG, OPTION_AT(dry_run), NULL, "unwrap and wrap all of them, and change nothing" },
  { 0, "confirm", OPTION_FLAG, OPTION_AT(confirm), NULL, "see that the new key unwraps all of them, then forget what they were before" },
  { 0, "undo", OPTION_FLAG, OPTION_AT(undo), NULL, "put back what it was before" },
  OPTION_FORCE("move though rules name another key, without asking; confirm without looking"),
  OPTION_OUTPUT,
  OPTIONS_COMMON,
};
const command command_kek_move = {
  "kek move", "NAME [--to TYPE:ID [--dry-run] | --confirm | --undo]", "move a key encryption key to another key of another KMS",
  "Every data key is unwrapped with the old key and wrapped with the new one, and unwrapped once for proof, with the credentials of this\n"
  "command: rule.executors._default_.param.NAME, and for the new key rule.executors._to_.param.NAME before that. Then the registry changes\n"
  "all at once, or nothing. Running clients go on with the keys they hold and ask for the new ones when those are past their age. What was\n"
  "is kept until --confirm; --undo puts it back, as long as no data key was made or rewrapped since. Without --to: the move that is open.",
  move_options, 0, -1, "csfle kek move customers --to local-kms:demo-2 --dry-run", kek_move,
};
