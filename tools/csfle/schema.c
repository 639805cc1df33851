/** csfle schema register, csfle schema get, csfle schema check. */
#include "core/base/alloc.h"
#include "core/schema/compat.h"
#include "tools/csfle/args.h"
#include "tools/csfle/http.h"
#include "tools/common/report.h"

#define MAX_SCHEMA_BYTES (16u << 20)

/* ,"member": and the JSON object in the file, when one is named; the object itself, or the one below `member` in it */
static int put_document(csfle_buf *body, const char *member, const char *path)
{
  char        *text = NULL;
  size_t       len  = 0;
  yyjson_doc  *doc  = NULL;
  csfle_error  err  = CSFLE_ERROR_INIT;
  int          rc;

  if (!path) return 0;
  if ((rc = read_file(path, MAX_SCHEMA_BYTES, &text, &len)) != 0) return rc;
  if (csfle__json_parse(&doc, csfle__view(text, len), &err) != CSFLE_OK) {
    rc = fail(EXIT_FAILED, "%s: byte %llu: %s; the file is to hold one JSON object", path, (unsigned long long)err.offset, err.msg);
  } else {
    yyjson_val *root = yyjson_doc_get_root(doc), *inner = csfle__json_member(root, member);
    if (yyjson_is_obj(inner)) root = inner;
    if (!yyjson_is_obj(root)) rc = fail(EXIT_FAILED, "%s: expected a JSON object (%s)", path, member);
    else if (csfle__buf_printf(body, &err, ",\"%s\":", member) != CSFLE_OK || csfle__json_put_value(body, root, &err) != CSFLE_OK)
      rc = fail_with(&err, path);
  }
  yyjson_doc_free(doc);
  csfle__free_secret(text, len + 1);
  return rc;
}

static int put_member(csfle_buf *body, const char *before, csfle__bytes text)
{
  return csfle__buf_puts(body, before, NULL) == CSFLE_OK && csfle__json_put_string(body, text, false, NULL) == CSFLE_OK
           ? 0 : fail(EXIT_FAILED, "no memory for a request");
}

static int print_value(yyjson_val *v)
{
  csfle_buf b;
  int       rc = 0;
  csfle_buf_init(&b, 0, 0);
  if (csfle__json_put_value(&b, v, NULL) != CSFLE_OK) rc = fail(EXIT_FAILED, "no memory to print the answer");
  else printf("%.*s\n", CSFLE__FMT(csfle__buf_view(&b)));
  csfle_buf_free(&b);
  return rc;
}

static int schema_register(args *a)
{
  registry    r = { 0 };
  csfle_buf   path, body;
  char       *text = NULL;
  size_t      len  = 0;
  yyjson_val *answer;
  int64_t     id;
  int         rc;

  if (!a->schema_file) return fail(EXIT_USAGE, "--schema FILE is missing: the file with the schema to register");
  csfle_buf_init(&path, 0, 0);
  csfle_buf_init(&body, 0, 0);
  if ((rc = read_file(a->schema_file, MAX_SCHEMA_BYTES, &text, &len)) != 0) goto out;
  if (!csfle__utf8_valid(csfle__view(text, len))) {
    rc = fail(EXIT_FAILED, "%s is not UTF-8 text", a->schema_file);
    goto out;
  }
  if ((rc = put_member(&body, "{\"schema\":", csfle__view(text, len))) != 0 ||
      (a->type && (rc = put_member(&body, ",\"schemaType\":", csfle__str(a->type))) != 0) ||
      (rc = put_document(&body, "metadata", a->metadata_file)) != 0 || (rc = put_document(&body, "ruleSet", a->rules_file)) != 0)
    goto out;
  if (csfle__buf_putc(&body, '}', NULL) != CSFLE_OK) {
    rc = fail(EXIT_FAILED, "no memory for a request");
    goto out;
  }
  if ((rc = registry_open(&r, &a->props)) != 0 || (rc = registry_path(&path, "/subjects/%s/versions", a->operands[0])) != 0 ||
      (rc = registry_call(&r, "POST", csfle__buf_cstr(&path), csfle__buf_view(&body), false, &answer)) != 0)
    goto out;
  if (!csfle__json_i64(csfle__json_member(answer, "id"), &id)) rc = fail(EXIT_FAILED, "the registry's answer holds no id");
  else if (args_want_json(a)) rc = print_value(answer);
  else printf("%lld\n", (long long)id);
out:
  csfle__free_secret(text, text ? len + 1 : 0);
  csfle_buf_free(&path);
  csfle_buf_free(&body);
  registry_close(&r);
  return rc;
}

static int schema_get(args *a)
{
  registry    r = { 0 };
  csfle_buf   path;
  yyjson_val *answer;
  int         rc;

  csfle_buf_init(&path, 0, 0);
  if ((rc = registry_open(&r, &a->props)) == 0 &&
      (rc = registry_path(&path, "/subjects/%s/versions/%s", a->operands[0], a->operand_count > 1 ? a->operands[1] : "latest")) == 0 &&
      (rc = registry_call(&r, "GET", csfle__buf_cstr(&path), CSFLE__NONE, false, &answer)) == 0) {
    csfle__bytes text = csfle__json_member_text(answer, "schema");
    if (!text.ptr) rc = fail(EXIT_FAILED, "the registry's answer holds no schema");
    else if (args_want_json(a)) rc = print_value(answer);
    else printf("%.*s\n", CSFLE__FMT(text));
  }
  csfle_buf_free(&path);
  registry_close(&r);
  return rc;
}

static int print_verdict(const args *a, bool ok, const csfle__messages *m)
{
  csfle_buf    b;
  csfle_status rc = CSFLE_OK;

  if (!args_want_json(a)) {
    if (ok) puts("compatible");
    for (size_t i = 0; i < m->count; i++) printf("%.*s\n", CSFLE__FMT(csfle__messages_at(m, i)));
    return ok ? 0 : EXIT_CONFLICT;
  }
  csfle_buf_init(&b, 0, 0);
  rc = csfle__buf_printf(&b, NULL, "{\"is_compatible\":%s,\"messages\":[", ok ? "true" : "false");
  for (size_t i = 0; i < m->count && rc == CSFLE_OK; i++) {
    if (i) rc = csfle__buf_putc(&b, ',', NULL);
    if (rc == CSFLE_OK) rc = csfle__json_put_string(&b, csfle__messages_at(m, i), false, NULL);
  }
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&b, "]}", NULL);
  if (rc == CSFLE_OK) printf("%.*s\n", CSFLE__FMT(csfle__buf_view(&b)));
  csfle_buf_free(&b);
  if (rc != CSFLE_OK) return fail(EXIT_FAILED, "no memory to print the verdict");
  return ok ? 0 : EXIT_CONFLICT;
}

static int schema_check(args *a)
{
  csfle__messages     m     = CSFLE__MESSAGES_INIT;
  csfle__compat_level level = CSFLE__COMPAT_BACKWARD;
  csfle_error         err   = CSFLE_ERROR_INIT;
  char               *text[2] = { NULL, NULL };
  size_t              len[2]  = { 0, 0 };
  bool                ok      = false;
  int                 rc      = 0;

  if (a->level && !csfle__compat_level_find(csfle__str(a->level), &level))
    return fail(EXIT_USAGE, "--level takes NONE, BACKWARD, FORWARD, FULL or one of these with _TRANSITIVE, not '%s'", a->level);
  for (int i = 0; i < 2 && rc == 0; i++) {
    rc = read_file(a->operands[i], MAX_SCHEMA_BYTES, &text[i], &len[i]);
    if (rc == 0 && !csfle__utf8_valid(csfle__view(text[i], len[i]))) rc = fail(EXIT_FAILED, "%s is not UTF-8 text", a->operands[i]);
  }
  if (rc == 0) {
    csfle_status st = csfle__compatible_texts(level, csfle__str(a->type), csfle__view(text[0], len[0]), csfle__view(text[1], len[1]), &ok, &m, &err);
    rc = st == CSFLE_OK ? print_verdict(a, ok, &m) : fail_with(&err, NULL);
  }
  csfle__messages_free(&m);
  for (int i = 0; i < 2; i++) csfle__free_secret(text[i], text[i] ? len[i] + 1 : 0);
  return rc;
}

static const option_row register_options[] = {
  { 0, "schema", OPTION_TEXT, OPTION_AT(schema_file), "FILE", "the schema (required)" },
  { 0, "type", OPTION_TEXT, OPTION_AT(type), "TYPE", "AVRO (the default) or another type the registry knows" },
  { 0, "rules", OPTION_TEXT, OPTION_AT(rules_file), "FILE", "the rule set, a JSON object {\"domainRules\": [...]}" },
  { 0, "metadata", OPTION_TEXT, OPTION_AT(metadata_file), "FILE", "metadata, a JSON object {\"properties\": {...}, \"tags\": {...}}" },
  OPTION_OUTPUT,
  OPTIONS_COMMON,
};
const command command_schema_register = {
  "schema register", "SUBJECT --schema FILE [options]", "register a schema, with rules and metadata, and print its id", NULL, register_options, 1, 1,
  "csfle schema register customers-value --schema customer.avsc --rules rules.json", schema_register,
};

static const option_row get_options[] = { OPTION_OUTPUT, OPTIONS_COMMON };
const command command_schema_get = {
  "schema get", "SUBJECT [VERSION|latest] [options]", "print a schema, or with -o json all the registry knows of it", NULL, get_options, 1, 2,
  "csfle schema get customers-value latest -o json", schema_get,
};

static const option_row check_options[] = {
  { 0, "level", OPTION_TEXT, OPTION_AT(level), "LEVEL", "BACKWARD (the default): NEW reads what OLD wrote; FORWARD: OLD reads NEW; FULL: both" },
  { 0, "type", OPTION_TEXT, OPTION_AT(type), "TYPE", "AVRO (the default)" },
  OPTION_OUTPUT,
  { 0, "help", OPTION_FLAG, OPTION_AT(help), NULL, "this text" },
  { 0, NULL, OPTION_FLAG, 0, NULL, NULL },
};
const command command_schema_check = {
  "schema check", "OLD NEW [--level LEVEL] [options]", "tell whether the schema in file NEW may follow the one in OLD; needs no registry",
  "Prints \"compatible\", or the differences as the registry tells them and ends with exit code 6.", check_options, 2, 2,
  "csfle schema check customer.avsc customer-next.avsc --level FULL", schema_check,
};
