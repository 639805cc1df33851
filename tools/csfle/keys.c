/** csfle kek create|list|get, csfle dek list|get: what the DEK Registry holds. Key material in clear is never printed. */
#include "core/base/alloc.h"
#include "core/model/model.h"
#include "tools/csfle/args.h"
#include "tools/csfle/http.h"
#include "tools/common/report.h"

#include <time.h>

#define BASE "/dek-registry/v1/keks"

/* ---- printing */

static const char *when_text(yyjson_val *obj, char out[32])
{
  int64_t   ts;
  time_t    t;
  struct tm tm;
  if (!csfle__json_i64(csfle__json_member(obj, "ts"), &ts)) return "-";
  t = (time_t)(ts / 1000);
  gmtime_r(&t, &tm);
  strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
  return out;
}

static bool is_true(yyjson_val *obj, const char *name) { return yyjson_is_true(csfle__json_member(obj, name)); }

/* the object without keyMaterial, which a shared KEK's DEK carries in clear */
static int print_json(yyjson_val *obj, const char *before, const char *after)
{
  csfle_buf   b;
  bool        first = true;
  size_t      i, n;
  yyjson_val *name, *value;
  csfle_status rc = CSFLE_OK;

  csfle_buf_init(&b, 0, 0);
  rc = csfle__buf_putc(&b, '{', NULL);
  yyjson_obj_foreach(obj, i, n, name, value)
  {
    if (yyjson_equals_str(name, "keyMaterial")) continue;
    if (rc == CSFLE_OK && !first) rc = csfle__buf_putc(&b, ',', NULL);
    first = false;
    if (rc == CSFLE_OK) rc = csfle__json_put_string(&b, csfle__json_text(name), false, NULL);
    if (rc == CSFLE_OK) rc = csfle__buf_putc(&b, ':', NULL);
    if (rc == CSFLE_OK) rc = csfle__json_put_value(&b, value, NULL);
  }
  if (rc == CSFLE_OK) rc = csfle__buf_putc(&b, '}', NULL);
  if (rc == CSFLE_OK) printf("%s%.*s%s", before, CSFLE__FMT(csfle__buf_view(&b)), after);
  csfle_buf_free(&b);
  return rc == CSFLE_OK ? 0 : fail(EXIT_FAILED, "no memory to print the answer");
}

static void print_field(const char *label, yyjson_val *obj, const char *name)
{
  csfle__bytes text = csfle__json_member_text(obj, name);
  if (text.ptr) printf("%-14s %.*s\n", label, CSFLE__FMT(text));
}

static int print_kek(const args *a, yyjson_val *kek)
{
  char        when[32];
  size_t      i, n;
  yyjson_val *name, *value;

  if (args_want_json(a)) return print_json(kek, "", "\n");
  print_field("name", kek, "name");
  print_field("kms type", kek, "kmsType");
  print_field("kms key id", kek, "kmsKeyId");
  yyjson_obj_foreach(csfle__json_member(kek, "kmsProps"), i, n, name, value)
    printf("%-14s %.*s=%.*s\n", "kms property", CSFLE__FMT(csfle__json_text(name)), CSFLE__FMT(csfle__json_text(value)));
  print_field("doc", kek, "doc");
  printf("%-14s %s\n", "shared", is_true(kek, "shared") ? "yes: the registry wraps and unwraps data keys" : "no");
  printf("%-14s %s\n", "changed", when_text(kek, when));
  if (is_true(kek, "deleted")) printf("%-14s yes\n", "deleted");
  return 0;
}

static int print_dek(const args *a, yyjson_val *dek)
{
  char    when[32];
  int64_t version = 0;

  if (csfle__json_member(dek, "keyMaterial")) note("the registry sent the key in clear (shared KEK); it is not shown");
  if (args_want_json(a)) return print_json(dek, "", "\n");
  csfle__json_i64(csfle__json_member(dek, "version"), &version);
  print_field("kek", dek, "kekName");
  print_field("subject", dek, "subject");
  print_field("algorithm", dek, "algorithm");
  printf("%-14s %lld\n", "version", (long long)version);
  print_field("wrapped key", dek, "encryptedKeyMaterial");
  printf("%-14s %s\n", "created", when_text(dek, when));
  if (is_true(dek, "deleted")) printf("%-14s yes\n", "deleted");
  return 0;
}

/* ---- tables: rows are collected, then printed with columns as wide as their widest cell */

#define TABLE_COLUMNS 6
typedef struct table {
  char  **cells;
  size_t  count, cap, columns;
} table;

static int table_cell(table *t, csfle__bytes text)
{
  if (csfle__grow((void **)&t->cells, &t->cap, t->count + 1, sizeof *t->cells) != 0) return fail(EXIT_FAILED, "no memory for a table");
  if ((t->cells[t->count] = csfle__dup(text.ptr, text.len)) == NULL) return fail(EXIT_FAILED, "no memory for a table");
  t->count++;
  return 0;
}

static void table_print(const table *t)
{
  size_t width[TABLE_COLUMNS] = { 0 };
  for (size_t i = 0; i < t->count; i++)
    if (strlen(t->cells[i]) > width[i % t->columns]) width[i % t->columns] = strlen(t->cells[i]);
  for (size_t i = 0; i < t->count; i++) {
    bool last = (i + 1) % t->columns == 0;
    printf("%-*s%s", last ? 0 : (int)width[i % t->columns], t->cells[i], last ? "\n" : "  ");
  }
}

static void table_free(table *t)
{
  for (size_t i = 0; i < t->count; i++) csfle__free(t->cells[i]);
  csfle__free(t->cells);
}

static int table_row(table *t, const csfle__bytes *cells)
{
  int rc = 0;
  for (size_t i = 0; i < t->columns && !rc; i++) rc = table_cell(t, cells[i]);
  return rc;
}

/* texts of an answer that is an array, kept after the next call */
typedef struct texts {
  char **at;
  size_t count, cap;
} texts;

static void texts_free(texts *t)
{
  for (size_t i = 0; i < t->count; i++) csfle__free(t->at[i]);
  csfle__free(t->at);
}

/* the names (or version numbers) that the registry lists at `path` */
static int fetch_names(registry *r, const char *path, bool deleted, texts *out)
{
  yyjson_val *answer, *item;
  size_t      i, n;
  csfle_buf   full;
  int         rc = 0;

  csfle_buf_init(&full, 0, 0);
  if (csfle__buf_printf(&full, NULL, "%s%s", path, deleted ? "?deleted=true" : "") != CSFLE_OK || !csfle__buf_cstr(&full))
    rc = fail(EXIT_FAILED, "no memory for a request");
  else rc = registry_call(r, "GET", csfle__buf_cstr(&full), CSFLE__NONE, false, &answer);
  csfle_buf_free(&full);
  if (rc) return rc;
  yyjson_arr_foreach(answer, i, n, item)
  {
    csfle__bytes text = csfle__json_text(item);
    if (!text.ptr && yyjson_is_raw(item)) text = csfle__str(yyjson_get_raw(item)); /* versions are numbers */
    if (csfle__grow((void **)&out->at, &out->cap, out->count + 1, sizeof *out->at) != 0 ||
        (out->at[out->count] = csfle__dup(text.ptr, text.len)) == NULL)
      return fail(EXIT_FAILED, "no memory for a list");
    out->count++;
  }
  return 0;
}

/* ---- KEKs */

static int put_text(csfle_buf *b, const char *before, csfle__bytes text)
{
  return csfle__buf_puts(b, before, NULL) == CSFLE_OK && csfle__json_put_string(b, text, false, NULL) == CSFLE_OK ? 0 : EXIT_FAILED;
}

static int kek_create(args *a)
{
  registry    r = { 0 };
  csfle_buf   body;
  yyjson_val *answer;
  int         rc;

  if (!a->kms_type) return fail(EXIT_USAGE, "--kms-type TYPE is missing: where the key is kept, for example local-kms");
  if (!a->kms_key_id) return fail(EXIT_USAGE, "--kms-key-id ID is missing: the name of the key in the KMS");
  csfle_buf_init(&body, 0, 0);
  rc = put_text(&body, "{\"name\":", csfle__str(a->operands[0])) || put_text(&body, ",\"kmsType\":", csfle__str(a->kms_type)) ||
       put_text(&body, ",\"kmsKeyId\":", csfle__str(a->kms_key_id));
  for (size_t i = 0; i < a->kms_prop_count && !rc; i++) {
    const char *equals = strchr(a->kms_props[i], '=');
    rc = put_text(&body, i ? "," : ",\"kmsProps\":{", csfle__view(a->kms_props[i], (size_t)(equals - a->kms_props[i]))) ||
         put_text(&body, ":", csfle__str(equals + 1));
  }
  if (!rc && a->kms_prop_count) rc = csfle__buf_putc(&body, '}', NULL) != CSFLE_OK;
  if (!rc && a->doc) rc = put_text(&body, ",\"doc\":", csfle__str(a->doc));
  if (!rc) rc = csfle__buf_printf(&body, NULL, ",\"shared\":%s,\"deleted\":false}", a->shared ? "true" : "false") != CSFLE_OK;
  if (rc) rc = fail(EXIT_FAILED, "no memory for a request");
  else if ((rc = registry_open(&r, &a->props)) == 0 && (rc = registry_call(&r, "POST", BASE, csfle__buf_view(&body), false, &answer)) == 0)
    rc = print_kek(a, answer);
  csfle_buf_free(&body);
  registry_close(&r);
  return rc;
}

static int kek_get(args *a)
{
  registry    r = { 0 };
  csfle_buf   path;
  yyjson_val *answer;
  int         rc;

  csfle_buf_init(&path, 0, 0);
  if ((rc = registry_open(&r, &a->props)) == 0 &&
      (rc = registry_path(&path, a->deleted ? BASE "/%s?deleted=true" : BASE "/%s", a->operands[0])) == 0 &&
      (rc = registry_call(&r, "GET", csfle__buf_cstr(&path), CSFLE__NONE, false, &answer)) == 0)
    rc = print_kek(a, answer);
  csfle_buf_free(&path);
  registry_close(&r);
  return rc;
}

static int kek_list(args *a)
{
  static const csfle__bytes head[] = { CSFLE__LIT("NAME"), CSFLE__LIT("KMS TYPE"), CSFLE__LIT("KMS KEY ID"), CSFLE__LIT("SHARED"), CSFLE__LIT("STATE") };
  registry    r     = { 0 };
  texts       names = { 0 };
  table       t     = { .columns = 5 };
  csfle_buf   path;
  yyjson_val *kek;
  size_t      shown = 0;
  bool        json  = args_want_json(a);
  int         rc;

  csfle_buf_init(&path, 0, 0);
  if ((rc = registry_open(&r, &a->props)) != 0 || (rc = fetch_names(&r, BASE, a->deleted, &names)) != 0) goto out;
  if (json) fputs("[", stdout);
  else if ((rc = table_row(&t, head)) != 0) goto out;
  for (size_t i = 0; i < names.count && !rc && !stop_wanted(); i++) {
    if ((rc = registry_path(&path, a->deleted ? BASE "/%s?deleted=true" : BASE "/%s", names.at[i])) != 0) break;
    rc = registry_call(&r, "GET", csfle__buf_cstr(&path), CSFLE__NONE, true, &kek);
    if (rc == EXIT_MISSING) { /* deleted since it was listed */
      rc = 0;
      continue;
    }
    if (rc) break;
    if (json) {
      rc = print_json(kek, shown++ ? "," : "", "");
      continue;
    }
    rc = table_row(&t, (csfle__bytes[]){ csfle__json_member_text(kek, "name"), csfle__json_member_text(kek, "kmsType"),
                                         csfle__json_member_text(kek, "kmsKeyId"), csfle__str(is_true(kek, "shared") ? "yes" : "no"),
                                         csfle__str(is_true(kek, "deleted") ? "deleted" : "live") });
  }
  if (json) fputs("]\n", stdout);
  else if (!rc) table_print(&t);
out:
  texts_free(&names);
  table_free(&t);
  csfle_buf_free(&path);
  registry_close(&r);
  return rc;
}

/* ---- DEKs */

static int dek_get(args *a)
{
  registry         r = { 0 };
  csfle_buf        path;
  char             version[24];
  const char      *name = a->algorithm ? a->algorithm : "AES256_GCM";
  csfle__algorithm algorithm;
  yyjson_val      *answer;
  int              rc;

  if (!csfle__algorithm_parse(csfle__str(name), &algorithm))
    return fail(EXIT_USAGE, "--algorithm '%s' is none; there are AES128_GCM, AES256_GCM, AES256_SIV", name);
  if (a->version == 0) return fail(EXIT_USAGE, "--version counts from 1");
  snprintf(version, sizeof version, "%lld", (long long)a->version); /* -1: the latest */
  csfle_buf_init(&path, 0, 0);
  if ((rc = registry_open(&r, &a->props)) == 0 &&
      (rc = registry_path(&path, a->deleted ? BASE "/%s/deks/%s/versions/%s?algorithm=%s&deleted=true" : BASE "/%s/deks/%s/versions/%s?algorithm=%s",
                          a->operands[0], a->operands[1], version, name)) == 0 &&
      (rc = registry_call(&r, "GET", csfle__buf_cstr(&path), CSFLE__NONE, false, &answer)) == 0)
    rc = print_dek(a, answer);
  csfle_buf_free(&path);
  registry_close(&r);
  return rc;
}

/* all versions of one subject and algorithm */
static int list_versions(args *a, registry *r, const char *subject, const char *algorithm, table *t, size_t *shown)
{
  csfle_buf   path;
  texts       versions = { 0 };
  yyjson_val *dek;
  char        when[32];
  int         rc;

  csfle_buf_init(&path, 0, 0);
  if ((rc = registry_path(&path, BASE "/%s/deks/%s/versions?algorithm=%s", a->operands[0], subject, algorithm)) == 0 &&
      (!a->deleted || (rc = csfle__buf_puts(&path, "&deleted=true", NULL) == CSFLE_OK && csfle__buf_cstr(&path) ? 0 : fail(EXIT_FAILED, "no memory for a request")) == 0))
    rc = fetch_names(r, csfle__buf_cstr(&path), false, &versions);
  for (size_t i = 0; !rc && i < versions.count && !stop_wanted(); i++) {
    if ((rc = registry_path(&path, a->deleted ? BASE "/%s/deks/%s/versions/%s?algorithm=%s&deleted=true" : BASE "/%s/deks/%s/versions/%s?algorithm=%s",
                            a->operands[0], subject, versions.at[i], algorithm)) != 0)
      break;
    rc = registry_call(r, "GET", csfle__buf_cstr(&path), CSFLE__NONE, true, &dek);
    if (rc == EXIT_MISSING) {
      rc = 0;
      continue;
    }
    if (rc) break;
    if (args_want_json(a)) rc = print_json(dek, (*shown)++ ? "," : "[", "");
    else
      rc = table_row(t, (csfle__bytes[]){ csfle__str(subject), csfle__str(algorithm), csfle__str(versions.at[i]), csfle__str(when_text(dek, when)),
                                          csfle__str(is_true(dek, "deleted") ? "deleted" : "live") });
  }
  texts_free(&versions);
  csfle_buf_free(&path);
  return rc;
}

static int dek_list(args *a)
{
  static const csfle__bytes head[] = { CSFLE__LIT("SUBJECT"), CSFLE__LIT("ALGORITHM"), CSFLE__LIT("VERSION"), CSFLE__LIT("CREATED"), CSFLE__LIT("STATE") };
  registry  r        = { 0 };
  texts     subjects = { 0 };
  table     t        = { .columns = 5 };
  csfle_buf path;
  size_t    shown = 0;
  bool      json  = args_want_json(a), found = false;
  int       rc;

  csfle_buf_init(&path, 0, 0);
  if ((rc = registry_open(&r, &a->props)) != 0 || (rc = registry_path(&path, BASE "/%s/deks", a->operands[0])) != 0 ||
      (rc = fetch_names(&r, csfle__buf_cstr(&path), a->deleted, &subjects)) != 0)
    goto out;
  if (!json && (rc = table_row(&t, head)) != 0) goto out;
  for (size_t i = 0; i < subjects.count && !rc; i++) {
    if (a->operand_count > 1 && strcmp(a->operands[1], subjects.at[i]) != 0) continue;
    found = true;
    for (int algorithm = 0; algorithm < CSFLE__ALGORITHM_COUNT && !rc; algorithm++)
      rc = list_versions(a, &r, subjects.at[i], csfle__algorithm_name((csfle__algorithm)algorithm), &t, &shown);
  }
  if (!rc && a->operand_count > 1 && !found)
    rc = fail(EXIT_MISSING, "KEK '%s' has no data key for subject '%s'; 'csfle dek list %s' lists those it has", a->operands[0], a->operands[1], a->operands[0]);
  else if (json) fputs(shown ? "]\n" : "[]\n", stdout);
  else if (!rc) table_print(&t);
out:
  texts_free(&subjects);
  table_free(&t);
  csfle_buf_free(&path);
  registry_close(&r);
  return rc;
}

/* ---- tables of options */

#define OPTION_DELETED { 0, "deleted", OPTION_FLAG, OPTION_AT(deleted), NULL, "soft-deleted ones too" }

static const option_row kek_create_options[] = {
  { 0, "kms-type", OPTION_TEXT, OPTION_AT(kms_type), "TYPE", "the kind of KMS: local-kms, aws-kms, ... (required)" },
  { 0, "kms-key-id", OPTION_TEXT, OPTION_AT(kms_key_id), "ID", "the name of the key there (required)" },
  { 0, "kms-prop", OPTION_KMS_PROP, 0, "NAME=VALUE", "a property for the KMS driver; again for another. No secrets: all readers see it" },
  { 0, "doc", OPTION_TEXT, OPTION_AT(doc), "TEXT", "what it is for" },
  { 0, "shared", OPTION_FLAG, OPTION_AT(shared), NULL, "the registry may use the key on behalf of its clients" },
  OPTION_OUTPUT,
  OPTIONS_COMMON,
};
const command command_kek_create = {
  "kek create", "NAME --kms-type TYPE --kms-key-id ID [options]", "create a key encryption key", NULL, kek_create_options, 1, 1,
  "csfle kek create customers --kms-type local-kms --kms-key-id demo --doc 'customer records'", kek_create,
};

static const option_row keys_options[] = { OPTION_DELETED, OPTION_OUTPUT, OPTIONS_COMMON };
const command command_kek_list = {
  "kek list", "[options]", "list the key encryption keys", NULL, keys_options, 0, 0, "csfle kek list", kek_list,
};
const command command_kek_get = {
  "kek get", "NAME [options]", "show one key encryption key", NULL, keys_options, 1, 1, "csfle kek get customers -o json", kek_get,
};
const command command_dek_list = {
  "dek list", "KEK [SUBJECT] [options]", "list the data keys under a key encryption key", NULL, keys_options, 1, 2,
  "csfle dek list customers", dek_list,
};

static const option_row dek_get_options[] = {
  { 0, "algorithm", OPTION_TEXT, OPTION_AT(algorithm), "NAME", "AES128_GCM, AES256_GCM (the default) or AES256_SIV" },
  { 0, "version", OPTION_NUMBER, OPTION_AT(version), "N", "the version; else the latest" },
  OPTION_DELETED,
  OPTION_OUTPUT,
  OPTIONS_COMMON,
};
const command command_dek_get = {
  "dek get", "KEK SUBJECT [options]", "show one data key (wrapped, never in clear)", NULL, dek_get_options, 2, 2,
  "csfle dek get customers customers-value -o json", dek_get,
};
