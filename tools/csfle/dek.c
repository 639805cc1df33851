/** csfle dek: the data keys under a KEK, looked after. They are shown wrapped, never in clear. */
#include "client/deks/deks.h"
#include "core/base/alloc.h"
#include "tools/common/report.h"
#include "tools/csfle/ask.h"
#include "tools/csfle/keyprint.h"
#include "tools/csfle/table.h"

static int no_memory(void) { return fail(EXIT_FAILED, "no memory for a request"); }

/* what a command is about */
typedef struct target {
  const char      *kek, *subject, *algorithm_name; /* subject NULL: not given */
  csfle__algorithm algorithm;
  char             version[24]; /* "" when not given; "-1" the latest */
} target;

static int target_of(const args *a, bool subject_needed, target *t)
{
  int rc;
  *t = (target){ .algorithm_name = a->algorithm ? a->algorithm : "AES256_GCM" };
  if (!csfle__algorithm_parse(csfle__str(t->algorithm_name), &t->algorithm))
    return fail(EXIT_USAGE, "--algorithm '%s' is none; there are AES128_GCM, AES256_GCM, AES256_SIV", t->algorithm_name);
  if ((rc = args_names(a, a->kek_name, "the name of the KEK", &t->kek, a->subject, subject_needed ? "the SUBJECT" : NULL, &t->subject)) != 0) return rc;
  if (a->latest) snprintf(t->version, sizeof t->version, "-1");
  else if (a->version > 0) snprintf(t->version, sizeof t->version, "%lld", (long long)a->version);
  return 0;
}

/* sends a DEK's request and prints the DEK of the answer */
static int call_dek(args *a, const char *method, const char *path, csfle__bytes body)
{
  registry    r = { 0 };
  csfle_error err = CSFLE_ERROR_INIT;
  csfle__dek *dek = NULL;
  yyjson_val *answer;
  int         rc;

  if ((rc = registry_open(&r, &a->props)) == 0 && (rc = registry_call(&r, method, path, body, false, &answer)) == 0) {
    if (csfle__dek_parse(&dek, answer, &err) != CSFLE_OK) rc = fail_with(&err, "the registry's answer");
    else rc = print_dek(a, dek);
  }
  csfle__dek_free(dek);
  registry_close(&r);
  return rc;
}

static int dek_describe(args *a)
{
  target    t;
  csfle_buf path;
  int       rc;

  if ((rc = target_of(a, true, &t)) != 0) return rc;
  csfle_buf_init(&path, 0, 0);
  if ((rc = registry_path(&path, a->deleted ? KEKS_PATH "/%s/deks/%s/versions/%s?algorithm=%s&deleted=true" : KEKS_PATH "/%s/deks/%s/versions/%s?algorithm=%s",
                          t.kek, t.subject, *t.version ? t.version : "-1", t.algorithm_name)) == 0)
    rc = call_dek(a, "GET", csfle__buf_cstr(&path), CSFLE__NONE);
  csfle_buf_free(&path);
  return rc;
}

/* ---- create and rotate */

/* makes one here, or lets the registry make it, and shows what the registry has then */
static int make(args *a, target *t, int32_t version)
{
  csfle_error   err = CSFLE_ERROR_INIT;
  csfle_client *cl = NULL;
  csfle_buf     path;
  int32_t       made = 0;
  int           rc;
  csfle_config *config = props_config(&a->props, NULL, &rc);

  if (!config) return rc;
  csfle_buf_init(&path, 0, 0);
  if ((cl = csfle_client_open(config, &err)) == NULL ||
      csfle__deks_make(cl, csfle__str(t->kek), csfle__str(t->subject), t->algorithm, version, &made, &err) != CSFLE_OK)
    rc = fail_with(&err, NULL);
  csfle_client_close(cl);
  csfle_config_free(config);
  snprintf(t->version, sizeof t->version, "%d", (int)made);
  if (!rc && (rc = registry_path(&path, KEKS_PATH "/%s/deks/%s/versions/%s?algorithm=%s", t->kek, t->subject, t->version, t->algorithm_name)) == 0)
    rc = call_dek(a, "GET", csfle__buf_cstr(&path), CSFLE__NONE);
  csfle_buf_free(&path);
  return rc;
}

static int dek_create(args *a)
{
  target    t;
  csfle_buf body, path;
  int       rc;

  if ((rc = target_of(a, true, &t)) != 0) return rc;
  if (a->latest) return fail(EXIT_USAGE, "--version latest cannot be made; 'csfle dek rotate' makes the next");
  if (!a->material) return make(a, &t, a->version > 0 ? (int32_t)a->version : 1);
  csfle_buf_init(&body, 0, 0);
  csfle_buf_init(&path, 0, 0);
  csfle_status st = csfle__buf_puts(&body, "{\"subject\":", NULL);
  if (st == CSFLE_OK) st = csfle__json_put_string(&body, csfle__str(t.subject), false, NULL);
  if (st == CSFLE_OK)
    st = csfle__buf_printf(&body, NULL, ",\"version\":%s,\"algorithm\":\"%s\",\"encryptedKeyMaterial\":", *t.version ? t.version : "1", t.algorithm_name);
  if (st == CSFLE_OK) st = csfle__json_put_string(&body, csfle__str(a->material), false, NULL);
  if (st == CSFLE_OK) st = csfle__buf_putc(&body, '}', NULL);
  if (st != CSFLE_OK) rc = no_memory();
  else if ((rc = registry_path(&path, KEKS_PATH "/%s/deks/%s", t.kek, t.subject)) == 0)
    rc = call_dek(a, "POST", csfle__buf_cstr(&path), csfle__buf_view(&body));
  csfle_buf_free(&body);
  csfle_buf_free(&path);
  return rc;
}

static int dek_rotate(args *a)
{
  target t;
  int    rc = target_of(a, true, &t);
  return rc ? rc : make(a, &t, 0);
}

/* ---- register */

static void say(void *opaque, const char *text)
{
  *(size_t *)opaque += strncmp(text, "rule ", 5) == 0;
  note("%s", text);
}

typedef struct subjects {
  const char **at; /* borrowed */
  size_t       count, cap;
} subjects;

static int add_subject(subjects *s, const char *name)
{
  if (s->count && strcmp(s->at[s->count - 1], name) == 0) return 0; /* another rule of the same schema */
  if (csfle__grow((void **)&s->at, &s->cap, s->count + 1, sizeof *s->at) != 0) return no_memory();
  s->at[s->count++] = name;
  return 0;
}

static int dek_register(args *a)
{
  registry      r = { 0 };
  keyset_rules  rules = { 0 };
  subjects      s = { 0 };
  csfle_error   err = CSFLE_ERROR_INIT;
  csfle_client *cl = NULL;
  size_t        keys = 0, failed = 0, done = 0;
  int           rc, why = 0; /* the exit code that all failures have */
  csfle_config *config = props_config(&a->props, NULL, &rc);

  if (!config) return rc;
  if (!a->operand_count == !a->deleted) {
    rc = fail(EXIT_USAGE, "which subjects? Their names, or --all for those with a rule that encrypts");
    goto out;
  }
  for (int i = 0; i < a->operand_count && !rc; i++) rc = add_subject(&s, a->operands[i]);
  if (a->deleted && (rc = registry_open(&r, &a->props)) == 0) rc = keyset_rules_fetch(&rules, &r);
  for (size_t i = 0; i < rules.count && !rc; i++)
    if (rules.at[i].latest && !rules.at[i].disabled) rc = add_subject(&s, rules.at[i].subject);
  if (!rc && (cl = csfle_client_open(config, &err)) == NULL) rc = fail_with(&err, NULL);
  for (; done < s.count && !rc && !stop_wanted(); done++) {
    if (csfle__deks_register(cl, csfle__str(s.at[done]), -1, say, &keys, &err) == CSFLE_OK) continue;
    if (CSFLE_CLASS(err.code) == CSFLE_CLASS_WAIT || err.code == CSFLE_E_UNAUTHENTICATED || err.code == CSFLE_E_NOMEM) rc = fail_with(&err, s.at[done]); /* so would the next */
    else note("%s: %s%s%s", s.at[done], err.where, *err.where ? ": " : "", err.msg);
    int code = exit_code_of(&err);
    why = failed++ && why != code ? EXIT_FAILED : code;
  }
  if (!rc) printf("%zu subjects, %zu data keys are there, %zu subjects failed\n", done, keys, failed);
  if (!rc && stop_wanted()) rc = fail(EXIT_FAILED, "stopped before the end");
  if (!rc && failed) rc = failed == done ? why : EXIT_PARTLY;
out:
  csfle__free(s.at);
  keyset_rules_free(&rules);
  csfle_client_close(cl);
  csfle_config_free(config);
  registry_close(&r);
  return rc;
}

/* ---- lists */

static bool wanted(const args *a, const target *t, const csfle__dek *d)
{
  return (a->deleted || !d->deleted) && (!t->subject || csfle__eq_str(d->subject, t->subject)) && (!a->algorithm || d->algorithm == t->algorithm);
}

static int put_item(csfle_buf *json, csfle_status (*put)(csfle_buf *b, const csfle__dek *d), const csfle__dek *d)
{
  csfle_status rc = csfle__buf_putc(json, json->len ? ',' : '[', NULL);
  if (rc == CSFLE_OK) rc = put(json, d);
  return rc == CSFLE_OK ? 0 : no_memory();
}

static csfle_status put_whole(csfle_buf *b, const csfle__dek *d)
{
  csfle_status rc = dek_put(b, d);
  return rc == CSFLE_OK ? csfle__buf_putc(b, '}', NULL) : rc;
}
static csfle_status put_subject(csfle_buf *b, const csfle__dek *d) { return csfle__json_put_string(b, d->subject, false, NULL); }
static csfle_status put_version(csfle_buf *b, const csfle__dek *d) { return csfle__buf_printf(b, NULL, "%d", (int)d->version); }

static int whole_row(table *t, const csfle__dek *d)
{
  char when[32], version[16];
  snprintf(version, sizeof version, "%d", (int)d->version);
  return table_row(t, (csfle__bytes[]){ d->subject, csfle__str(csfle__algorithm_name(d->algorithm)), csfle__str(version), csfle__str(time_text(d->ts, when)),
                                        csfle__str(d->deleted ? "deleted" : "live") });
}
static int subject_row(table *t, const csfle__dek *d) { return table_row(t, &d->subject); }
static int version_row(table *t, const csfle__dek *d)
{
  char version[16];
  snprintf(version, sizeof version, "%d", (int)d->version);
  return table_row(t, (csfle__bytes[]){ csfle__str(version) });
}

/* what a list shows of each data key */
typedef struct view {
  csfle__bytes head[5];
  size_t       columns;
  bool         subjects, one_algorithm; /* each subject once; only the algorithm that is asked for */
  int        (*row)(table *t, const csfle__dek *d);
  csfle_status (*put)(csfle_buf *b, const csfle__dek *d);
} view;

static int list(args *a, const view *v, bool subject_needed)
{
  target    t;
  registry  r = { 0 };
  keyset    keys = { 0 };
  table     rows = { .columns = v->columns };
  csfle_buf json;
  bool      found = false;
  int       rc;

  if ((rc = target_of(a, subject_needed, &t)) != 0) return rc;
  csfle_buf_init(&json, 0, 0);
  if (v->one_algorithm && !a->algorithm) a->algorithm = t.algorithm_name;
  if ((rc = registry_open(&r, &a->props)) != 0 || (rc = keyset_fetch(&keys, &r, t.kek)) != 0 || (rc = table_row(&rows, v->head)) != 0) goto out;
  const keyset_kek *k = &keys.at[0];
  if (k->kek->deleted && !a->deleted) {
    rc = fail(EXIT_MISSING, "KEK '%s' is deleted; --all shows its data keys, 'csfle kek undelete %s' brings it back", t.kek, t.kek);
    goto out;
  }
  csfle__bytes last = CSFLE__NONE;
  for (size_t i = 0; i < k->count && !rc; i++) {
    const csfle__dek *d = k->deks[i];
    if (!wanted(a, &t, d)) continue;
    found = true;
    if (v->subjects && last.ptr && csfle__eq(last, d->subject)) continue;
    last = d->subject;
    rc = args_want_json(a) ? put_item(&json, v->put, d) : v->row(&rows, d);
  }
  if (!rc && t.subject && !found)
    rc = fail(EXIT_MISSING, "KEK '%s' has no data key for subject '%s'; 'csfle dek list %s' lists those it has", t.kek, t.subject, t.kek);
  else if (!rc && args_want_json(a)) printf("%.*s]\n", CSFLE__FMT(json.len ? csfle__buf_view(&json) : CSFLE__LIT("[")));
  else if (!rc) table_print(&rows);
out:
  csfle_buf_free(&json);
  table_free(&rows);
  keyset_free(&keys);
  registry_close(&r);
  return rc;
}

static int dek_list(args *a)
{
  static const view v = { { CSFLE__LIT("SUBJECT"), CSFLE__LIT("ALGORITHM"), CSFLE__LIT("VERSION"), CSFLE__LIT("CREATED"), CSFLE__LIT("STATE") }, 5, false, false,
                          whole_row, put_whole };
  return list(a, &v, false);
}

static int dek_subjects(args *a)
{
  static const view v = { { CSFLE__LIT("SUBJECT") }, 1, true, false, subject_row, put_subject };
  return list(a, &v, false);
}

static int dek_versions(args *a)
{
  static const view v = { { CSFLE__LIT("VERSION") }, 1, false, true, version_row, put_version };
  return list(a, &v, true);
}

/* ---- delete and undelete */

static int change(args *a, const target *t, const char *method, const char *after, const char *query, const char *done)
{
  registry    r = { 0 };
  csfle_buf   path;
  yyjson_val *answer;
  int         rc;

  csfle_buf_init(&path, 0, 0);
  rc = *t->version ? registry_path(&path, KEKS_PATH "/%s/deks/%s/versions/%s", t->kek, t->subject, t->version)
                   : registry_path(&path, KEKS_PATH "/%s/deks/%s", t->kek, t->subject);
  if (!rc && (csfle__buf_printf(&path, NULL, "%s?algorithm=%s%s", after, t->algorithm_name, query) != CSFLE_OK || !csfle__buf_cstr(&path))) rc = no_memory();
  if (!rc && (rc = registry_open(&r, &a->props)) == 0 && (rc = registry_call(&r, method, csfle__buf_cstr(&path), CSFLE__NONE, false, &answer)) == 0)
    printf("%s KEK %s subject %s %s %s%s\n", done, t->kek, t->subject, t->algorithm_name, *t->version ? "version " : "all versions",
           strcmp(t->version, "-1") == 0 ? "latest" : t->version);
  csfle_buf_free(&path);
  registry_close(&r);
  return rc;
}

static int dek_delete(args *a)
{
  target t;
  int    rc = target_of(a, true, &t);
  if (rc) return rc;
  if (!a->permanent) return change(a, &t, "DELETE", "", "", "deleted");
  note("KEK '%s', subject '%s', %s, %s%s go for good.", t.kek, t.subject, t.algorithm_name, *t.version ? "version " : "all versions",
       a->latest ? "latest" : t.version);
  fputs("\nUnreadable for ever becomes what was encrypted with them: in topics, and wherever it was copied to. Not known here: how many\n"
        "records that are, where they lie, and who still needs them. A csfle-registry keeps them in its trash until csfle.trash.days are over.\n", stderr);
  if ((rc = ask_for(a, t.subject, "remove them")) != 0) return rc;
  return change(a, &t, "DELETE", "", "&permanent=true", "removed");
}

static int dek_undelete(args *a)
{
  target t;
  int    rc = target_of(a, true, &t);
  return rc ? rc : change(a, &t, "POST", "/undelete", "", "undeleted");
}

/* ---- tables of options */

#define OPTION_KEK       { 0, "kek-name", OPTION_TEXT, OPTION_AT(kek_name), "NAME", "the KEK, instead of the operand" }
#define OPTION_SUBJECT   { 0, "subject", OPTION_TEXT, OPTION_AT(subject), "SUBJECT", "the subject, instead of the operand" }
#define OPTION_ALGORITHM { 0, "algorithm", OPTION_TEXT, OPTION_AT(algorithm), "NAME", "AES128_GCM, AES256_GCM (the default) or AES256_SIV" }
#define OPTION_ALL \
  { 0, "all", OPTION_FLAG, OPTION_AT(deleted), NULL, "soft-deleted ones too" }, { 0, "deleted", OPTION_FLAG, OPTION_AT(deleted), NULL, "the same" }
#define OPTION_WHICH(help) { 0, "version", OPTION_VERSION, OPTION_AT(version), "N", help }

static const option_row dek_create_options[] = {
  OPTION_KEK, OPTION_SUBJECT, OPTION_ALGORITHM, OPTION_WHICH("the version; else 1"),
  { 0, "encrypted-key-material", OPTION_MATERIAL, 0, "BASE64", "a wrapped key that was made elsewhere (@FILE reads it); else one is made" },
  OPTION_OUTPUT, OPTIONS_COMMON,
};
const command command_dek_create = {
  "dek create", "KEK SUBJECT [--algorithm NAME] [--version N] [options]", "make a data key",
  "Under a shared KEK the registry makes it; else it is made and wrapped here, with the credentials of this command. Producers make the\n"
  "keys that they need themselves: this is for keys that are to be there before.",
  dek_create_options, 0, -1, "csfle dek create customers orders-value", dek_create,
};

static const option_row dek_register_options[] = {
  { 0, "all", OPTION_FLAG, OPTION_AT(deleted), NULL, "every subject whose newest schema has a rule that encrypts" }, OPTIONS_COMMON,
};
const command command_dek_register = {
  "dek register", "(SUBJECT... | --all) [options]", "make the data keys that the rules of subjects need",
  "As register-deks, for many subjects: one client, its connections and its sessions with the KMS serve them all. Keys that are there and not\n"
  "past their age stay; one that is past it gets its successor. A subject that fails is told and the next goes on (exit code 7).",
  dek_register_options, 0, -1, "csfle dek register customers-value", dek_register,
};

static const option_row dek_list_options[] = {
  OPTION_KEK, OPTION_SUBJECT, { 0, "algorithm", OPTION_TEXT, OPTION_AT(algorithm), "NAME", "only AES128_GCM, AES256_GCM or AES256_SIV" }, OPTION_ALL,
  OPTION_OUTPUT, OPTIONS_COMMON,
};
const command command_dek_list = {
  "dek list", "KEK [SUBJECT] [options]", "list the data keys under a key encryption key", NULL, dek_list_options, 0, -1, "csfle dek list customers", dek_list,
};
const command command_dek_subject_list = {
  "dek subject list", "KEK [options]", "list the subjects with data keys under a KEK", NULL, dek_list_options, 0, -1,
  "csfle dek subject list --kek-name customers", dek_subjects,
};

static const option_row dek_version_options[] = { OPTION_KEK, OPTION_SUBJECT, OPTION_ALGORITHM, OPTION_ALL, OPTION_OUTPUT, OPTIONS_COMMON };
const command command_dek_version_list = {
  "dek version list", "KEK SUBJECT [options]", "list the versions of a data key", NULL, dek_version_options, 0, -1,
  "csfle dek version list --kek-name customers --subject customers-value", dek_versions,
};

static const option_row dek_describe_options[] = {
  OPTION_KEK, OPTION_SUBJECT, OPTION_ALGORITHM, OPTION_WHICH("the version; else the latest"), OPTION_ALL, OPTION_OUTPUT, OPTIONS_COMMON,
};
const command command_dek_describe = {
  "dek describe", "KEK SUBJECT [options]", "show one data key (wrapped, never in clear)", NULL, dek_describe_options, 0, -1,
  "csfle dek describe customers customers-value", dek_describe,
};
const command command_dek_get = {
  "dek get", "KEK SUBJECT [options]", "the same as dek describe", NULL, dek_describe_options, 0, -1, "csfle dek get customers customers-value -o json", dek_describe,
};

static const option_row dek_rotate_options[] = { OPTION_KEK, OPTION_SUBJECT, OPTION_ALGORITHM, OPTION_OUTPUT, OPTIONS_COMMON };
const command command_dek_rotate = {
  "dek rotate", "KEK SUBJECT [options]", "make the next version of a data key",
  "Producers whose rule rotates (encrypt.dek.expiry.days) take it when their cached key is past its age or they start anew; the versions\n"
  "before stay, for consumers. Producers of a rule that does not rotate go on with version 1.",
  dek_rotate_options, 0, -1, "csfle dek rotate customers orders-value", dek_rotate,
};

static const option_row dek_delete_options[] = {
  OPTION_KEK, OPTION_SUBJECT, OPTION_ALGORITHM, OPTION_WHICH("only this version"),
  { 0, "permanent", OPTION_FLAG, OPTION_AT(permanent), NULL, "remove soft-deleted ones for good" },
  OPTION_FORCE("do not ask"), OPTIONS_COMMON,
};
const command command_dek_delete = {
  "dek delete", "KEK SUBJECT [--version N] [--permanent [--yes]]", "delete all versions of a data key, or one",
  "Without --permanent it can be undone: producers are refused, consumers go on reading. With --permanent what they encrypted can never be\n"
  "read again; the subject has to be typed (--yes for scripts).",
  dek_delete_options, 0, -1, "csfle dek delete customers orders-value", dek_delete,
};

static const option_row dek_undelete_options[] = {
  OPTION_KEK, OPTION_SUBJECT, OPTION_ALGORITHM, OPTION_WHICH("only this version"), { 0, "force", OPTION_FLAG, OPTION_AT(force), NULL, "accepted; nothing is asked" },
  OPTIONS_COMMON,
};
const command command_dek_undelete = {
  "dek undelete", "KEK SUBJECT [--version N]", "take back the deletion of a data key", NULL, dek_undelete_options, 0, -1,
  "csfle dek undelete customers orders-value", dek_undelete,
};
