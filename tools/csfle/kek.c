/** csfle kek: key encryption keys, looked after. Key material in clear is never printed. */
#include "client/deks/deks.h"
#include "core/base/alloc.h"
#include "tools/common/report.h"
#include "tools/csfle/ask.h"
#include "tools/csfle/keyprint.h"
#include "tools/csfle/table.h"

#define KEY_COLUMN 48 /* characters of a KMS key id in the table */

static int no_memory(void) { return fail(EXIT_FAILED, "no memory for a request"); }

static int put_text(csfle_buf *b, const char *before, csfle__bytes text)
{
  return csfle__buf_puts(b, before, NULL) == CSFLE_OK && csfle__json_put_string(b, text, false, NULL) == CSFLE_OK ? 0 : EXIT_FAILED;
}

static int put_props(csfle_buf *b, const args *a)
{
  int rc = csfle__buf_puts(b, ",\"kmsProps\":{", NULL) != CSFLE_OK;
  for (size_t i = 0; i < a->kms.count && !rc; i++) rc = put_text(b, i ? "," : "", csfle__str(a->kms.at[i].name)) || put_text(b, ":", csfle__str(a->kms.at[i].value));
  return rc || csfle__buf_putc(b, '}', NULL) != CSFLE_OK;
}

/* sends a KEK's request and prints the KEK of the answer */
static int call_kek(args *a, const char *method, const char *path, csfle__bytes body)
{
  registry    r = { 0 };
  csfle_error err = CSFLE_ERROR_INIT;
  csfle__kek *kek = NULL;
  yyjson_val *answer;
  int         rc;

  if ((rc = registry_open(&r, &a->props)) == 0 && (rc = registry_call(&r, method, path, body, false, &answer)) == 0) {
    if (csfle__kek_parse(&kek, answer, &err) != CSFLE_OK) rc = fail_with(&err, "the registry's answer");
    else rc = print_kek(a, kek);
  }
  csfle__kek_free(kek);
  registry_close(&r);
  return rc;
}

/* ---- create and update */

static int kek_create(args *a)
{
  const char *name;
  csfle_buf   body;
  int         rc;

  if ((rc = args_names(a, a->name, "the NAME of the KEK", &name, NULL, NULL, NULL)) != 0) return rc;
  if (!a->kms_type) return fail(EXIT_USAGE, "--kms-type TYPE is missing: where the key is kept, for example local-kms");
  if (!a->kms_key_id) return fail(EXIT_USAGE, "--kms-key ID is missing: the name of the key in the KMS");
  csfle_buf_init(&body, 0, CSFLE_BUF_WIPE); /* a property may be a secret */
  rc = put_text(&body, "{\"name\":", csfle__str(name)) || put_text(&body, ",\"kmsType\":", csfle__str(a->kms_type)) ||
       put_text(&body, ",\"kmsKeyId\":", csfle__str(a->kms_key_id));
  if (!rc && a->kms.count) rc = put_props(&body, a);
  if (!rc && a->doc) rc = put_text(&body, ",\"doc\":", csfle__str(a->doc));
  if (!rc) rc = csfle__buf_printf(&body, NULL, ",\"shared\":%s,\"deleted\":false}", a->shared > 0 ? "true" : "false") != CSFLE_OK;
  rc = rc ? no_memory() : call_kek(a, "POST", KEKS_PATH, csfle__buf_view(&body));
  csfle_buf_free(&body);
  return rc;
}

static int kek_update(args *a)
{
  const char *name;
  csfle_buf   body, path;
  int         rc;

  if ((rc = args_names(a, a->name, "the NAME of the KEK", &name, NULL, NULL, NULL)) != 0) return rc;
  if (!a->kms.count && !a->doc && !a->shared)
    return fail(EXIT_USAGE, "what shall change? --kms-properties, --doc or --shared; another key of the KMS takes 'csfle kek move'");
  csfle_buf_init(&body, 0, CSFLE_BUF_WIPE); /* a property may be a secret */
  csfle_buf_init(&path, 0, 0);
  rc = put_text(&body, "{\"name\":", csfle__str(name));
  if (!rc && a->kms.count) rc = put_props(&body, a);
  if (!rc && a->doc) rc = put_text(&body, ",\"doc\":", csfle__str(a->doc));
  if (!rc && a->shared) rc = csfle__buf_printf(&body, NULL, ",\"shared\":%s", a->shared > 0 ? "true" : "false") != CSFLE_OK;
  if (!rc) rc = csfle__buf_putc(&body, '}', NULL) != CSFLE_OK;
  if (rc) rc = no_memory();
  else if ((rc = registry_path(&path, KEKS_PATH "/%s", name)) == 0) rc = call_kek(a, "PUT", csfle__buf_cstr(&path), csfle__buf_view(&body));
  csfle_buf_free(&body);
  csfle_buf_free(&path);
  return rc;
}

/* ---- describe and list */

static int kek_describe(args *a)
{
  const char *name;
  csfle_buf   path;
  int         rc;

  if ((rc = args_names(a, a->name, "the NAME of the KEK", &name, NULL, NULL, NULL)) != 0) return rc;
  csfle_buf_init(&path, 0, 0);
  if ((rc = registry_path(&path, a->deleted ? KEKS_PATH "/%s?deleted=true" : KEKS_PATH "/%s", name)) == 0)
    rc = call_kek(a, "GET", csfle__buf_cstr(&path), CSFLE__NONE);
  csfle_buf_free(&path);
  return rc;
}

/* what does not fit ends with two dots */
static csfle__bytes shortened(csfle__bytes text, csfle_buf *room)
{
  size_t pos = 0, cut = 0, n = 0;
  for (; pos < text.len; n++) {
    if (n == KEY_COLUMN - 2) cut = pos;
    csfle__utf8_next(text, &pos);
  }
  if (n <= KEY_COLUMN) return text;
  csfle__buf_clear(room);
  if (csfle__buf_put(room, text.ptr, cut, NULL) != CSFLE_OK || csfle__buf_puts(room, "..", NULL) != CSFLE_OK) return text;
  return csfle__buf_view(room);
}

static int row_of(table *t, const keyset_kek *k, const kek_state *s)
{
  char      subjects[24], deks[24], oldest[24] = "-";
  csfle_buf room;
  int       rc;

  csfle_buf_init(&room, 0, 0);
  snprintf(subjects, sizeof subjects, "%zu", s->subjects);
  snprintf(deks, sizeof deks, "%zu", s->deks);
  if (s->oldest_days >= 0) snprintf(oldest, sizeof oldest, "%lldd", (long long)s->oldest_days);
  rc = table_row(t, (csfle__bytes[]){ k->kek->name, k->kek->kms_type, shortened(k->kek->kms_key_id, &room), csfle__str(k->kek->shared ? "yes" : "no"),
                                      csfle__str(subjects), csfle__str(deks), csfle__str(oldest), csfle__str(s->text) });
  csfle_buf_free(&room);
  return rc;
}

static int json_of(csfle_buf *b, const keyset_kek *k, const kek_state *s)
{
  csfle_status rc = b->len ? csfle__buf_putc(b, ',', NULL) : csfle__buf_putc(b, '[', NULL);
  if (rc == CSFLE_OK) rc = kek_put(b, k->kek);
  if (rc == CSFLE_OK) rc = csfle__buf_printf(b, NULL, ",\"subjects\":%zu,\"deks\":%zu", s->subjects, s->deks);
  if (rc == CSFLE_OK && s->oldest_days >= 0) rc = csfle__buf_printf(b, NULL, ",\"oldestDays\":%lld", (long long)s->oldest_days);
  if (rc == CSFLE_OK && s->overdue_days) rc = csfle__buf_printf(b, NULL, ",\"rotationOverdueDays\":%lld", (long long)s->overdue_days);
  if (rc == CSFLE_OK) rc = csfle__buf_printf(b, NULL, ",\"state\":\"%s\"}", s->text);
  return rc == CSFLE_OK ? 0 : no_memory();
}

static int kek_list(args *a)
{
  static const csfle__bytes head[] = { CSFLE__LIT("NAME"), CSFLE__LIT("KMS"), CSFLE__LIT("KEY"), CSFLE__LIT("SHARED"), CSFLE__LIT("SUBJECTS"),
                                       CSFLE__LIT("DEKS"), CSFLE__LIT("OLDEST"), CSFLE__LIT("STATE") };
  registry     r = { 0 };
  keyset       keys = { 0 };
  keyset_rules rules = { 0 };
  table        t = { .columns = 8, .right = 1u << 4 | 1u << 5 };
  csfle_buf    json;
  int          rc;

  csfle_buf_init(&json, 0, 0);
  if ((rc = registry_open(&r, &a->props)) != 0 || (rc = keyset_fetch(&keys, &r, NULL)) != 0) goto out;
  if (keys.count && (rc = keyset_rules_fetch(&rules, &r)) != 0) {
    if (rc != EXIT_DENIED && rc != EXIT_MISSING) goto out;
    note("the schemas cannot be read: whether a rotation is overdue is not told");
    rc = 0;
  }
  if ((rc = table_row(&t, head)) != 0) goto out;
  for (size_t i = 0; i < keys.count && !rc; i++) {
    kek_state s = kek_state_of(&keys.at[i], &rules);
    if (a->live && keys.at[i].kek->deleted) continue;
    rc = args_want_json(a) ? json_of(&json, &keys.at[i], &s) : row_of(&t, &keys.at[i], &s);
  }
  if (rc) goto out;
  if (!args_want_json(a)) table_print(&t);
  else printf("%.*s]\n", CSFLE__FMT(json.len ? csfle__buf_view(&json) : CSFLE__LIT("[")));
out:
  csfle_buf_free(&json);
  table_free(&t);
  keyset_free(&keys);
  keyset_rules_free(&rules);
  registry_close(&r);
  return rc;
}

/* ---- test and rotate */

static void say(void *opaque, const char *text)
{
  size_t *count = opaque;
  ++*count;
  note("%s", text);
}

static int with_client(args *a, csfle_status (*work)(csfle_client *cl, csfle__bytes kek, size_t *count, csfle_error *err), size_t *count, const char *name)
{
  csfle_error   err = CSFLE_ERROR_INIT;
  csfle_client *cl = NULL;
  int           rc;
  csfle_config *config = props_config(&a->props, NULL, &rc);

  if (!config) return rc;
  if ((cl = csfle_client_open(config, &err)) == NULL || work(cl, csfle__str(name), count, &err) != CSFLE_OK) rc = fail_with(&err, NULL);
  csfle_client_close(cl);
  csfle_config_free(config);
  return rc;
}

static csfle_status try_it(csfle_client *cl, csfle__bytes kek, size_t *count, csfle_error *err)
{
  (void)count;
  return csfle__deks_test(cl, kek, err);
}

static int kek_test(args *a)
{
  const char *name;
  int         rc;

  if ((rc = args_names(a, a->name, "the NAME of the KEK", &name, NULL, NULL, NULL)) != 0 || (rc = with_client(a, try_it, NULL, name)) != 0) return rc;
  if (args_want_json(a)) puts("{\"ok\":true}");
  else printf("KEK %s works: a data key was wrapped and unwrapped\n", name);
  return 0;
}

static csfle_status rewrap(csfle_client *cl, csfle__bytes kek, size_t *count, csfle_error *err)
{
  return csfle__deks_rewrap(cl, kek, CSFLE__NONE, true, say, count, err);
}

static int kek_rotate(args *a)
{
  const char *name;
  size_t      count = 0;
  int         rc;

  if ((rc = args_names(a, a->name, "the NAME of the KEK", &name, NULL, NULL, NULL)) != 0 || (rc = with_client(a, rewrap, &count, name)) != 0) return rc;
  if (args_want_json(a)) printf("{\"rewrapped\":%zu}\n", count);
  else printf("KEK %s: %zu data keys are wrapped with the newest version of its key in the KMS\n", name, count);
  return 0;
}

/* ---- delete and undelete */

/* one request without a body for each name; @p suffix after the name */
static int each_name(args *a, const char *method, const char *suffix, const char *done, bool (*before)(args *a, registry *r, const char *name, int *rc))
{
  registry    r = { 0 };
  csfle_buf   path;
  yyjson_val *answer;
  char       *given[] = { (char *)a->name };
  char      **names = a->name ? given : a->operands;
  int         count = a->name ? 1 : a->operand_count, rc = 0;

  if (a->name && a->operand_count) return fail(EXIT_USAGE, "'%s' is one too many beside --name", a->operands[0]);
  if (!count) return fail(EXIT_USAGE, "the NAME of the KEK is missing; usage: csfle %s %s", a->command->name, a->command->synopsis);
  csfle_buf_init(&path, 0, 0);
  rc = registry_open(&r, &a->props);
  for (int i = 0; i < count && !rc && !stop_wanted(); i++) {
    if (before && !before(a, &r, names[i], &rc)) break;
    if ((rc = registry_path(&path, KEKS_PATH "/%s", names[i])) != 0) break;
    if (csfle__buf_puts(&path, suffix, NULL) != CSFLE_OK || !csfle__buf_cstr(&path)) rc = no_memory();
    else if ((rc = registry_call(&r, method, csfle__buf_cstr(&path), CSFLE__NONE, false, &answer)) == 0) printf("%s KEK %s\n", done, names[i]);
  }
  if (!rc && stop_wanted()) rc = fail(EXIT_FAILED, "stopped before the end");
  csfle_buf_free(&path);
  registry_close(&r);
  return rc;
}

/* one line a subject and algorithm, its versions with commas */
static int list_lost(const keyset_kek *k)
{
  table     t = { .columns = 3 };
  csfle_buf versions;
  int       rc = table_row(&t, (csfle__bytes[]){ CSFLE__LIT("SUBJECT"), CSFLE__LIT("ALGORITHM"), CSFLE__LIT("VERSIONS") });

  csfle_buf_init(&versions, 0, 0);
  for (size_t i = 0, end; i < k->count && !rc; i = end) {
    end = keyset_range(k, i);
    csfle__buf_clear(&versions);
    for (size_t v = i; v < end; v++)
      if (csfle__buf_printf(&versions, NULL, "%s%d", v > i ? ", " : "", (int)k->deks[v]->version) != CSFLE_OK) rc = no_memory();
    if (!rc) rc = table_row(&t, (csfle__bytes[]){ k->deks[i]->subject, csfle__str(csfle__algorithm_name(k->deks[i]->algorithm)), csfle__buf_view(&versions) });
  }
  fflush(stdout);
  if (!rc && t.count > t.columns) table_print_to(&t, stderr);
  csfle_buf_free(&versions);
  table_free(&t);
  return rc;
}

static void list_rules(const keyset_rules *rules, const char *kek)
{
  const char *last = NULL;
  for (size_t i = 0; i < rules->count; i++) {
    const keyset_rule *rule = &rules->at[i];
    if (!rule->latest || strcmp(rule->kek, kek) != 0 || (last && strcmp(last, rule->subject) == 0)) continue;
    if (!last) fputs("\nProducers of these subjects write by a rule that names this KEK; they will fail, or make a new one:\n", stderr);
    last = rule->subject;
    table_tame(rule->subject);
    fprintf(stderr, "  %s version %d\n", rule->subject, (int)rule->version);
  }
}

/* says what will be lost and asks; then the data keys go, which have to before the KEK may */
static bool ask_permanent(args *a, registry *r, const char *name, int *rc)
{
  keyset       keys = { 0 };
  keyset_rules rules = { 0 };
  csfle_buf    path;
  yyjson_val  *answer;

  csfle_buf_init(&path, 0, 0);
  if ((*rc = keyset_fetch(&keys, r, name)) != 0) goto out;
  const keyset_kek *k = &keys.at[0];
  kek_state         s = kek_state_of(k, NULL);
  if (!k->kek->deleted) {
    *rc = fail(EXIT_CONFLICT, "KEK '%s' is in use: delete its data keys and then the KEK without --permanent first; both can be undone", name);
    goto out;
  }
  if ((*rc = keyset_rules_fetch(&rules, r)) != 0) {
    if (*rc != EXIT_DENIED && *rc != EXIT_MISSING) goto out;
    fputs("The schemas cannot be read: which producers use this KEK is not told.\n", stderr);
  }
  note("KEK '%s' (%.*s %.*s) with %zu data keys of %zu subjects goes for good.", name, CSFLE__FMT(k->kek->kms_type), CSFLE__FMT(k->kek->kms_key_id), s.deks, s.subjects);
  if ((*rc = list_lost(k)) != 0) goto out;
  list_rules(&rules, name);
  fputs("\nUnreadable for ever becomes what was encrypted with them: in topics, and wherever it was copied to (other topics, sinks,\n"
        "lakes, backups). Not known here: how many records that are, where they lie, and who still needs them; whether the wrapped\n"
        "keys were saved elsewhere ('csfle keys backup' does that). The key in the KMS stays as it is.\n", stderr);
  if (!r->foreign) fputs("This registry keeps them in its trash until csfle.trash.days are over: 'csfle trash restore --kek-name' takes it back.\n", stderr);
  if ((*rc = ask_for(a, name, "remove it")) != 0) goto out;
  for (size_t i = 0, end; i < k->count && !*rc; i = end) {
    char *subject = csfle__dup(k->deks[i]->subject.ptr, k->deks[i]->subject.len);
    end = keyset_range(k, i);
    if (!subject) *rc = no_memory();
    else if ((*rc = registry_path(&path, KEKS_PATH "/%s/deks/%s?algorithm=%s&permanent=true", name, subject, csfle__algorithm_name(k->deks[i]->algorithm))) == 0)
      *rc = registry_call(r, "DELETE", csfle__buf_cstr(&path), CSFLE__NONE, false, &answer);
    csfle__free(subject);
  }
out:
  csfle_buf_free(&path);
  keyset_free(&keys);
  keyset_rules_free(&rules);
  return *rc == 0;
}

static int kek_delete(args *a)
{
  int rc = each_name(a, "DELETE", a->permanent ? "?permanent=true" : "", a->permanent ? "removed" : "deleted", a->permanent ? ask_permanent : NULL);
  if (rc == EXIT_FAILED && !a->permanent) note("a KEK can be deleted when its data keys are: csfle dek delete --kek-name NAME --subject SUBJECT");
  return rc;
}

static int kek_undelete(args *a) { return each_name(a, "POST", "/undelete", "undeleted", NULL); }

/* ---- tables of options */

#define OPTION_NAME { 0, "name", OPTION_TEXT, OPTION_AT(name), "NAME", "the KEK, instead of the operand" }
#define OPTION_ALL \
  { 0, "all", OPTION_FLAG, OPTION_AT(deleted), NULL, "a soft-deleted one too" }, { 0, "deleted", OPTION_FLAG, OPTION_AT(deleted), NULL, "the same" }
#define OPTION_PROPS \
  { 0, "kms-properties", OPTION_KMS_LIST, 0, "NAME=VALUE,...", "properties for the KMS driver; a VALUE may be @FILE or @env:NAME. All who may read the KEK see them" }, \
  { 0, "kms-prop", OPTION_KMS_PROP, 0, "NAME=VALUE", "one of them, with commas as they are; again for another" }, \
  { 0, "doc", OPTION_TEXT, OPTION_AT(doc), "TEXT", "what it is for" }, \
  { 0, "shared", OPTION_SWITCH, OPTION_AT(shared), NULL, "the registry may use the key on behalf of its clients; --shared=false: not" }

static const option_row kek_create_options[] = {
  OPTION_NAME,
  { 0, "kms-type", OPTION_TEXT, OPTION_AT(kms_type), "TYPE", "the kind of KMS: local-kms, aws-kms, ... (required)" },
  { 0, "kms-key", OPTION_TEXT, OPTION_AT(kms_key_id), "ID", "the name of the key there (required)" },
  { 0, "kms-key-id", OPTION_TEXT, OPTION_AT(kms_key_id), "ID", "the same" },
  OPTION_PROPS,
  OPTION_OUTPUT,
  OPTIONS_COMMON,
};
const command command_kek_create = {
  "kek create", "NAME --kms-type TYPE --kms-key ID [options]", "create a key encryption key", NULL, kek_create_options, 0, -1,
  "csfle kek create customers --kms-type local-kms --kms-key demo --doc 'customer records'", kek_create,
};

static const option_row kek_list_options[] = {
  { 0, "live", OPTION_FLAG, OPTION_AT(live), NULL, "without soft-deleted ones" },
  { 0, "all", OPTION_FLAG, OPTION_AT(deleted), NULL, "with soft-deleted ones, as without this option" },
  { 0, "deleted", OPTION_FLAG, OPTION_AT(deleted), NULL, "the same" },
  OPTION_OUTPUT,
  OPTIONS_COMMON,
};
const command command_kek_list = {
  "kek list", "[options]", "list the key encryption keys and their state",
  "SUBJECTS and DEKS count the data keys under each, soft-deleted ones too. OLDEST is the age of the oldest that producers use now.\n"
  "STATE: ok; deleted and since when; ROTATION OVERDUE and the period of the rule (encrypt.dek.expiry.days) that one is past.",
  kek_list_options, 0, 0, "csfle kek list", kek_list,
};

static const option_row kek_describe_options[] = { OPTION_NAME, OPTION_ALL, OPTION_OUTPUT, OPTIONS_COMMON };
const command command_kek_describe = {
  "kek describe", "NAME [options]", "show one key encryption key", NULL, kek_describe_options, 0, -1, "csfle kek describe customers", kek_describe,
};
const command command_kek_get = {
  "kek get", "NAME [options]", "the same as kek describe", NULL, kek_describe_options, 0, -1, "csfle kek get customers -o json", kek_describe,
};

static const option_row kek_update_options[] = { OPTION_NAME, OPTION_PROPS, OPTION_OUTPUT, OPTIONS_COMMON };
const command command_kek_update = {
  "kek update", "NAME [--kms-properties LIST] [--doc TEXT] [--shared[=false]]", "change what may change of a key encryption key",
  "Properties given replace all of those it had. Its name, KMS and key cannot be changed: 'csfle kek move' takes it to another key.",
  kek_update_options, 0, -1, "csfle kek update customers --doc 'customers of the shop'", kek_update,
};

static const option_row kek_run_options[] = { OPTION_NAME, OPTION_OUTPUT, OPTIONS_COMMON };
const command command_kek_test = {
  "kek test", "NAME [options]", "try whether the key in the KMS can be used",
  "Of a shared KEK the registry is asked to try; else a data key is wrapped and unwrapped here, with the credentials of this command.\n"
  "Nothing is kept.", kek_run_options, 0, -1, "csfle kek test customers", kek_test,
};
const command command_kek_rotate = {
  "kek rotate", "NAME [options]", "wrap all data keys with the newest version of the key in the KMS",
  "After the key got a new version in the KMS: every data key is unwrapped and wrapped again, as rewrap-deks does; records are not\n"
  "touched. The other way, with a new KEK from now on: register a version of the schema whose rule has another encrypt.kek.name (and\n"
  "encrypt.kms.key.id, if it names one); what was written before stays readable as long as the old KEK is there.",
  kek_run_options, 0, -1, "csfle kek rotate customers", kek_rotate,
};

static const option_row kek_delete_options[] = {
  OPTION_NAME,
  { 0, "permanent", OPTION_FLAG, OPTION_AT(permanent), NULL, "remove a soft-deleted KEK and its data keys for good" },
  OPTION_FORCE("do not ask"),
  OPTIONS_COMMON,
};
const command command_kek_delete = {
  "kek delete", "NAME... [--permanent [--yes]]", "delete key encryption keys",
  "Without --permanent it can be undone, and its data keys must have been deleted: producers are refused, consumers go on reading. With\n"
  "--permanent the data keys go too, and what they encrypted can never be read again: what is known about that is said first, and the\n"
  "name has to be typed (--yes for scripts).",
  kek_delete_options, 0, -1, "csfle kek delete customers-old", kek_delete,
};

static const option_row kek_undelete_options[] = { OPTION_NAME, { 0, "force", OPTION_FLAG, OPTION_AT(force), NULL, "accepted; nothing is asked" }, OPTIONS_COMMON };
const command command_kek_undelete = {
  "kek undelete", "NAME...", "take back the deletion of key encryption keys", "Their data keys stay deleted: 'csfle dek undelete' brings those back.",
  kek_undelete_options, 0, -1, "csfle kek undelete customers-old", kek_undelete,
};
