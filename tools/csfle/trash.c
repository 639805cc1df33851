/** csfle trash: keys that were deleted for good, and wrapped material that a rewrap replaced, while they can be had back. */
#include "core/base/alloc.h"
#include "tools/common/report.h"
#include "tools/csfle/args.h"
#include "tools/csfle/http.h"
#include "tools/csfle/keyset.h"
#include "tools/csfle/table.h"

#include <stdlib.h>

#define TRASH_PATH "/csfle/v1/trash"

static bool wanted(const args *a, yyjson_val *entry)
{
  if (a->kek_name && !csfle__eq_str(csfle__json_member_text(entry, "kekName"), a->kek_name)) return false;
  return !a->subject || csfle__eq_str(csfle__json_member_text(entry, "subject"), a->subject);
}

static csfle__bytes when(yyjson_val *entry, const char *name, char text[32])
{
  int64_t ms;
  return csfle__json_i64(csfle__json_member(entry, name), &ms) ? csfle__str(time_text(ms, text)) : CSFLE__LIT("-");
}

static csfle__bytes or_dash(csfle__bytes v) { return v.len ? v : CSFLE__LIT("-"); }

static int print_rows(const args *a, yyjson_val *entries)
{
  static const csfle__bytes head[] = { CSFLE__LIT("ID"), CSFLE__LIT("WHAT"), CSFLE__LIT("KEK"), CSFLE__LIT("SUBJECT"), CSFLE__LIT("ALGORITHM"),
                                       CSFLE__LIT("VERSION"), CSFLE__LIT("WHY"), CSFLE__LIT("SINCE"), CSFLE__LIT("UNTIL") };
  table       t = { .columns = 9 };
  size_t      i, n;
  yyjson_val *e;
  int         rc = table_row(&t, head);

  yyjson_arr_foreach(entries, i, n, e)
  {
    char    version[24] = "-", since[32], until[32];
    int64_t number;
    if (rc || !wanted(a, e)) continue;
    if (csfle__json_i64(csfle__json_member(e, "version"), &number)) snprintf(version, sizeof version, "%lld", (long long)number);
    rc = table_row(&t, (csfle__bytes[]){ csfle__json_member_text(e, "id"), csfle__json_member_text(e, "type"), csfle__json_member_text(e, "kekName"),
                                         or_dash(csfle__json_member_text(e, "subject")), or_dash(csfle__json_member_text(e, "algorithm")), csfle__str(version),
                                         csfle__json_member_text(e, "why"), when(e, "since", since), when(e, "expires", until) });
  }
  if (!rc) table_print(&t);
  table_free(&t);
  return rc;
}

static int print_array(const args *a, yyjson_val *entries)
{
  csfle_buf    b;
  csfle_status rc;
  size_t       i, n, told = 0;
  yyjson_val  *e;

  csfle_buf_init(&b, 0, 0);
  rc = csfle__buf_putc(&b, '[', NULL);
  yyjson_arr_foreach(entries, i, n, e)
  {
    if (rc != CSFLE_OK || !wanted(a, e)) continue;
    if (told++) rc = csfle__buf_putc(&b, ',', NULL);
    if (rc == CSFLE_OK) rc = csfle__json_put_value(&b, e, NULL);
  }
  if (rc == CSFLE_OK) printf("%.*s]\n", CSFLE__FMT(csfle__buf_view(&b)));
  csfle_buf_free(&b);
  return rc == CSFLE_OK ? 0 : fail(EXIT_FAILED, "no memory to print the answer");
}

static int add_entry(void *opaque, yyjson_val *item)
{
  csfle_buf *all = opaque;
  if (csfle__buf_putc(all, all->len ? ',' : '[', NULL) == CSFLE_OK && csfle__json_put_value(all, item, NULL) == CSFLE_OK) return 0;
  return fail(EXIT_FAILED, "no memory for the trash");
}

/* the whole trash as one array, owned; EXIT_MISSING becomes a complaint that says why */
static int fetch(registry *r, const args *a, yyjson_doc **entries)
{
  csfle_buf   all;
  csfle_error err = CSFLE_ERROR_INIT;
  yyjson_val *answer;
  int         rc = registry_open(r, &a->props);

  csfle_buf_init(&all, 0, 0);
  if (rc == 0) rc = registry_call(r, "GET", TRASH_PATH "?limit=1", CSFLE__NONE, true, &answer);
  if (rc == EXIT_MISSING) rc = fail(rc, "this registry has no trash: it is not csfle-registry, or an older one");
  if (rc == 0) rc = list_each(r, TRASH_PATH, add_entry, &all);
  if (rc == 0 && csfle__buf_puts(&all, all.len ? "]" : "[]", NULL) != CSFLE_OK) rc = fail(EXIT_FAILED, "no memory for the trash");
  if (rc == 0 && csfle__json_parse(entries, csfle__buf_view(&all), &err) != CSFLE_OK) rc = fail_with(&err, "the registry's answer");
  csfle_buf_free(&all);
  return rc;
}

static int trash_list(args *a)
{
  registry    r = { 0 };
  yyjson_doc *doc = NULL;
  int         rc = fetch(&r, a, &doc);
  yyjson_val *entries = yyjson_doc_get_root(doc);
  if (rc == 0) rc = args_want_json(a) ? print_array(a, entries) : print_rows(a, entries);
  yyjson_doc_free(doc);
  registry_close(&r);
  return rc;
}

/* ---- restore */

static int restore_one(registry *r, const char *id)
{
  csfle_buf   path;
  yyjson_val *entry;
  char       *line = NULL;

  csfle_buf_init(&path, 0, 0);
  int rc = registry_path(&path, TRASH_PATH "/%s/restore", id);
  if (rc == 0) rc = registry_call(r, "POST", csfle__buf_cstr(&path), CSFLE__NONE, false, &entry);
  csfle_buf_free(&path);
  if (rc) return rc;
  csfle__bytes subject = csfle__json_member_text(entry, "subject");
  bool         replaced = csfle__eq_str(csfle__json_member_text(entry, "why"), "replaced");
  if (asprintf(&line, "restored %.*s %.*s%s%.*s%s", CSFLE__FMT(csfle__json_member_text(entry, "type")), CSFLE__FMT(csfle__json_member_text(entry, "kekName")), subject.len ? ", subject " : "",
               CSFLE__FMT(subject), replaced ? ": the material before the rewrap" : ": soft-deleted, as it was; undelete takes that back too") < 0)
    return fail(EXIT_FAILED, "no memory to print the answer");
  table_tame(line);
  puts(line);
  free(line);
  return 0;
}

static bool same_text(yyjson_val *a, yyjson_val *b, const char *name)
{
  return csfle__eq(csfle__json_member_text(a, name), csfle__json_member_text(b, name));
}

static bool same_key(yyjson_val *a, yyjson_val *b)
{
  int64_t x = 0, y = 0;
  csfle__json_i64(csfle__json_member(a, "version"), &x);
  csfle__json_i64(csfle__json_member(b, "version"), &y);
  return x == y && same_text(a, b, "type") && same_text(a, b, "subject") && same_text(a, b, "algorithm");
}

/* ids of what was deleted under a name, the KEK first; of several of one key the newest */
static int pick(const args *a, yyjson_val *entries, char ***ids, size_t *count)
{
  size_t n = yyjson_arr_size(entries), cap = 0;

  for (int deks = 0; deks < 2; deks++)
    for (size_t i = n; i-- > 0;) { /* they come oldest first */
      yyjson_val *e = yyjson_arr_get(entries, i);
      bool        newer = false;
      if (!wanted(a, e) || !csfle__eq_str(csfle__json_member_text(e, "why"), "deleted") || csfle__eq_str(csfle__json_member_text(e, "type"), "DEK") != (deks == 1)) continue;
      for (size_t j = i + 1; j < n && !newer; j++) {
        yyjson_val *other = yyjson_arr_get(entries, j);
        newer = wanted(a, other) && csfle__eq_str(csfle__json_member_text(other, "why"), "deleted") && same_key(e, other);
      }
      if (newer) continue;
      csfle__bytes id = csfle__json_member_text(e, "id");
      if (csfle__grow((void **)ids, &cap, *count + 1, sizeof **ids) != 0 || !((*ids)[*count] = csfle__dup(id.ptr, id.len))) return fail(EXIT_FAILED, "no memory for a list");
      ++*count;
    }
  return *count ? 0 : fail(EXIT_MISSING, "nothing of that name was deleted and is still in the trash; 'csfle trash list' shows what is");
}

static int trash_restore(args *a)
{
  registry    r = { 0 };
  yyjson_doc *doc = NULL;
  char      **ids = NULL;
  size_t      count = 0;
  int         rc;

  if (!a->operand_count == !a->kek_name) return fail(EXIT_USAGE, "what shall be restored? An ID of 'csfle trash list', or --kek-name NAME for all that was deleted under it");
  if (a->operand_count) {
    rc = registry_open(&r, &a->props);
    for (int i = 0; i < a->operand_count && !rc; i++) rc = restore_one(&r, a->operands[i]);
  } else {
    rc = fetch(&r, a, &doc);
    if (rc == 0) rc = pick(a, yyjson_doc_get_root(doc), &ids, &count);
    yyjson_doc_free(doc);
    for (size_t i = 0; i < count && !rc; i++) rc = restore_one(&r, ids[i]);
    for (size_t i = 0; i < count; i++) csfle__free(ids[i]);
    csfle__free(ids);
  }
  registry_close(&r);
  return rc;
}

#define OPTION_OF_KEK                                                                    \
  { 0, "kek-name", OPTION_TEXT, OPTION_AT(kek_name), "NAME", "only what was under this KEK" }, \
  { 0, "subject", OPTION_TEXT, OPTION_AT(subject), "SUBJECT", "only data keys of this subject" }

static const option_row trash_list_options[] = { OPTION_OF_KEK, OPTION_OUTPUT, OPTIONS_COMMON };
const command command_trash_list = {
  "trash list", "[options]", "list deleted keys and replaced material that can be restored",
  "What a permanent delete takes away, and the wrapped material that a rewrap replaces, can be had back for a while (csfle.trash.days of\n"
  "the registry, 7).",
  trash_list_options, 0, 0, "csfle trash list", trash_list,
};

static const option_row trash_restore_options[] = { OPTION_OF_KEK, OPTIONS_COMMON };
const command command_trash_restore = {
  "trash restore", "ID... | --kek-name NAME [--subject SUBJECT]", "take back a permanent delete or a rewrap",
  "A deleted key comes back soft-deleted, as it was; replaced material takes the place of the one that replaced it, which goes into the\n"
  "trash. With --kek-name: the KEK and all data keys that were deleted under it. Where another key has the name by now nothing is changed\n"
  "(exit code 6).",
  trash_restore_options, 0, -1, "csfle trash restore --kek-name scrapped", trash_restore,
};
