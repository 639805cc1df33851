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

static int wrap_one(move *m, csfle__wrapper *from, csfle__wrapper *to, const csfle__dek *d, csfle_buf *base64, bool first)
{
  csfle__secret material = CSFLE__SECRET_INIT, raw = CSFLE__SECRET_INIT;
  csfle_error   err = CSFLE_ERROR_INIT;
  const char   *doing = "old key";
  int           rc = 0;

  csfle_status st = csfle__wrapper_unwrap(from, d->encrypted_key_material, &material, &err);
  if (st == CSFLE_OK) st = csfle__dek_decode(d->algorithm, csfle__secret_view(&material), &raw, &err);
  if (st == CSFLE_OK) {
    doing = "new key";
    st = csfle__wrapper_wrap(to, csfle__secret_view(&material), base64, &err);
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

/* every data key under the new key, proved, into the request */
static int wrap_all(move *m)
{
  const keyset_kek *k = &m->keys.at[0];
  csfle_error       err = CSFLE_ERROR_INIT;
  csfle_client     *cl = NULL;
  csfle__wrapper   *from = NULL, *to = NULL;
  csfle_buf         base64;
  int               rc;
  csfle_config     *config = props_config(&m->a->props, NULL, &rc);

  if (!config) return rc;
  csfle_buf_init(&base64, 0, 0);
  if ((cl = csfle_client_open(config, &err)) == NULL || csfle__wrapper_open(&from, cl, k->kek, NULL, &err) != CSFLE_OK ||
      csfle__wrapper_open(&to, cl, &m->to, "_to_", &err) != CSFLE_OK)
    rc = fail_with(&err, NULL);
  else if (put_target(m) != CSFLE_OK) rc = no_memory();
  for (size_t i = 0; i < k->count && !rc; i++) {
    rc = wrap_one(m, from, to, k->deks[i], &base64, i == 0);
    if (!rc && stop_wanted()) rc = fail(EXIT_FAILED, "stopped; nothing was changed");
  }
  if (!rc && csfle__buf_puts(&m->body, "]}", NULL) != CSFLE_OK) rc = no_memory();
  csfle_buf_free(&base64);
  csfle__wrapper_close(from);
  csfle__wrapper_close(to);
  csfle_client_close(cl);
  csfle_config_free(config);
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
  csfle_buf_free(&path);
  if (rc == EXIT_CONFLICT) note("nothing was changed; what was read is no longer so: run it again");
  if (rc) return rc;
  tell(m, "moved");
  if (!args_want_json(m->a)) printf("What they were is kept until 'csfle kek move %s --confirm'; '--undo' puts it back. Keep the old key in the KMS until then.\n", m->name);
  return 0;
}

/* what is open, its end, or its undoing */
static int end_move(move *m, const char *method, const char *pattern, const char *done)
{
  char        when[32];
  csfle_buf   path;
  yyjson_val *answer;
  int64_t     since = 0, deks = 0;
  int         rc;

  csfle_buf_init(&path, 0, 0);
  if ((rc = registry_path(&path, pattern, m->name)) == 0) rc = registry_call(&m->r, method, csfle__buf_cstr(&path), CSFLE__NONE, false, &answer);
  csfle_buf_free(&path);
  if (rc) return rc;
  if (done) {
    printf("%s %s\n", done, m->name);
    return 0;
  }
  csfle__json_i64(csfle__json_member(answer, "since"), &since);
  csfle__json_i64(csfle__json_member(answer, "deks"), &deks);
  if (args_want_json(m->a)) {
    csfle_buf text;
    csfle_buf_init(&text, 0, 0);
    if (csfle__json_put_value(&text, answer, NULL) == CSFLE_OK) printf("%.*s\n", CSFLE__FMT(csfle__buf_view(&text)));
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

static int kek_move(args *a)
{
  move m = { .a = a };
  int  rc;

  if ((rc = args_names(a, a->name, "the NAME of the KEK", &m.name, NULL, NULL, NULL)) != 0) return rc;
  if (!!a->move_to + a->confirm + a->undo > 1) return fail(EXIT_USAGE, "one of --to, --confirm and --undo");
  csfle_buf_init(&m.body, 0, CSFLE_BUF_WIPE); /* a property may be a secret */
  if ((rc = registry_open(&m.r, &a->props)) == 0) {
    if (a->move_to) rc = start_move(&m);
    else if (a->confirm) rc = end_move(&m, "DELETE", MOVE_PATH, "confirmed the move of KEK");
    else if (a->undo) rc = end_move(&m, "POST", MOVE_PATH "/undo", "undone: the move of KEK");
    else rc = end_move(&m, "GET", MOVE_PATH, NULL);
  }
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
  { 0, "confirm", OPTION_FLAG, OPTION_AT(confirm), NULL, "forget what it was before" },
  { 0, "undo", OPTION_FLAG, OPTION_AT(undo), NULL, "put back what it was before" },
  OPTION_FORCE("move though rules name another key, without asking"),
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
