/** csfle doctor: asks a registry whether all is well, and says what to do where it is not. */
#include "tools/common/report.h"
#include "tools/csfle/args.h"
#include "tools/csfle/http.h"
#include "tools/csfle/table.h"

#include <stdlib.h>

static int print_json(yyjson_val *health)
{
  csfle_buf b;
  csfle_buf_init(&b, 0, 0);
  csfle_status rc = csfle__json_put_value(&b, health, NULL);
  if (rc == CSFLE_OK) printf("%.*s\n", CSFLE__FMT(csfle__buf_view(&b)));
  csfle_buf_free(&b);
  return rc == CSFLE_OK ? 0 : fail(EXIT_FAILED, "no memory to print the answer");
}

/* "key-limit: there are ..." as one line */
static int print_warning(yyjson_val *w)
{
  csfle__bytes code = csfle__json_member_text(w, "code"), message = csfle__json_member_text(w, "message");
  char        *line = NULL;
  if (asprintf(&line, "%.*s: %.*s", CSFLE__FMT(code), CSFLE__FMT(message)) < 0) return fail(EXIT_FAILED, "no memory to print the answer");
  table_tame(line);
  puts(line);
  free(line);
  return 0;
}

static int report_health(const args *a, yyjson_val *health)
{
  yyjson_val *warnings = csfle__json_member(health, "warnings"), *w;
  int64_t     keks = 0, deks = 0, trash = 0;
  size_t      i, n;
  bool        ready = yyjson_is_true(csfle__json_member(health, "ready")), well = ready && yyjson_arr_size(warnings) == 0;
  int         rc = 0;

  if (!yyjson_is_arr(warnings)) return fail(EXIT_FAILED, "the registry's answer is no account of its health");
  if (args_want_json(a)) {
    rc = print_json(health);
  } else {
    csfle__json_i64(csfle__json_member(health, "keks"), &keks);
    csfle__json_i64(csfle__json_member(health, "deks"), &deks);
    csfle__json_i64(csfle__json_member(health, "trash"), &trash);
    yyjson_arr_foreach(warnings, i, n, w) if (!rc) rc = print_warning(w);
    printf("%s: %lld KEKs, %lld DEKs, %lld entries of the trash\n", well ? "nothing is wrong" : ready ? "ready, but see above" : "NOT READY", (long long)keks, (long long)deks, (long long)trash);
  }
  return rc ? rc : well ? 0 : EXIT_FAILED;
}

static int doctor(args *a)
{
  registry    r = { 0 };
  yyjson_val *health;
  csfle_error err = CSFLE_ERROR_INIT;
  int         rc = registry_open(&r, &a->props);

  if (rc == 0) rc = registry_call(&r, "GET", "/csfle/v1/health", CSFLE__NONE, true, &health);
  if (rc == 0) {
    rc = report_health(a, health);
  } else if (rc == EXIT_MISSING) {
    rc = fail(EXIT_FAILED, "the registry answers, but tells nothing of its health: it is not csfle-registry, or an older one");
  } else if (rc == EXIT_UNAVAILABLE && r.io.reply.status == 503) { /* not ready: the reasons are in the answer */
    yyjson_doc *doc = NULL;
    if (csfle__json_parse(&doc, csfle__buf_view(&r.io.reply.body), &err) == CSFLE_OK && csfle__json_member(yyjson_doc_get_root(doc), "warnings"))
      rc = report_health(a, yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
  }
  registry_close(&r);
  return rc;
}

static const option_row doctor_options[] = { OPTION_OUTPUT, OPTIONS_COMMON };
const command command_doctor = {
  "doctor", "[options]", "ask the registry whether all is well, and what to do where it is not",
  "Told are: a limit of keys that is near or reached, data keys past their period, a rotation that cannot be, a KMS that fails, a trash\n"
  "that is full, a store that takes no records. Exit code 1 when anything is.",
  doctor_options, 0, 0, "csfle doctor", doctor,
};
