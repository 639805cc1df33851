/* Tables of requests and expected answers; see rest.h. */
#include "tests/support/rest.h"

#include "core/base/base64.h"
#include "tests/support/mutants.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT_MAX 16384

static csfle_test_registry registry;
typedef struct kept_value {
  char  name[24];
  char *json;
} kept_value;
static kept_value kept[128];
static size_t     kept_count;
static void       end_of_trial(void); /* of a mutant, see check_tells */
static char   why[TEXT_MAX];

/* ---- kept values -------------------------------------------------------------------------------------------- */

void csfle_test_rest_keep(const char *name, const char *json)
{
  size_t i = 0;
  while (i < kept_count && strcmp(kept[i].name, name) != 0) i++;
  if (i == kept_count) {
    if (kept_count == sizeof kept / sizeof *kept) abort();
    snprintf(kept[kept_count++].name, sizeof kept[0].name, "%s", name);
  }
  free(kept[i].json);
  kept[i].json = json ? strdup(json) : NULL;
}

static const char *find(const char *name, size_t len)
{
  for (size_t i = 0; i < kept_count; i++) {
    if (strlen(kept[i].name) == len && memcmp(kept[i].name, name, len) == 0) return kept[i].json;
  }
  return NULL;
}

const char *csfle_test_rest_kept(const char *name)
{
  const char *json = find(name, strlen(name));
  if (!json) fail_msg("no value is kept as \"%s\"", name);
  return json;
}

static void keep_text(const char *name, const char *text)
{
  yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
  yyjson_mut_doc_set_root(doc, yyjson_mut_str(doc, text));
  char *json = yyjson_mut_write(doc, 0, NULL);
  csfle_test_rest_keep(name, json);
  free(json);
  yyjson_mut_doc_free(doc);
}

static void keep_value(const char *name, yyjson_val *v)
{
  char *json = yyjson_val_write(v, 0, NULL);
  csfle_test_rest_keep(name, json);
  free(json);
}

/* ---- the registry of a group -------------------------------------------------------------------------------- */

csfle_test_registry *csfle_test_rest_registry(void)
{
  return &registry;
}

void csfle_test_rest_stop(void)
{
  end_of_trial();
  if (registry.dir[0]) csfle_test_registry_stop(&registry);
}

void csfle_test_rest_fresh(const char *const *args)
{
  csfle_test_rest_stop();
  for (size_t i = 0; i < kept_count; i++) {
    free(kept[i].json);
    kept[i].json = NULL;
  }
  kept_count = 0;
  keep_text("A1", REST_A1);
  keep_text("A2", REST_A2);
  keep_text("A3", REST_A3);
  keep_text("A4", REST_A4);
  keep_text("B1", REST_B1);
  keep_text("W1", REST_W1);
  keep_text("BAD", REST_BAD);
  keep_text("A1_SPACED", "{ \"type\" : \"record\",\n  \"name\": \"User\",\n\n  \"fields\" : [ {\"name\":\"f1\" ,\t\"type\":\"string\"} ]\n}\n");
  keep_text("N", "{\"type\":\"record\",\"name\":\"User\",\"fields\":[{\"name\":\"f1\",\"type\":\"string\",\"zprop\":\"z\",\"aprop\":\"a\"}]}");
  keep_text("N_SORTED",
            "{\"type\":\"record\",\"name\":\"User\",\"fields\":[{\"name\":\"f1\",\"type\":\"string\",\"aprop\":\"a\",\"zprop\":\"z\"}]}");
  keep_text("GUID", REST_A1_GUID);
  keep_text("W", REST_W);
  keep_text("R", REST_R);
  csfle_test_rest_keep("RULE_W", "{\"name\":\"r1\",\"kind\":\"CONDITION\",\"mode\":\"WRITE\",\"type\":\"CEL\",\"expr\":\"true\"}");
  csfle_test_rest_keep("RULE_U", "{\"name\":\"m1\",\"mode\":\"UPGRADE\",\"type\":\"JSONATA\",\"expr\":\"$\"}");
  csfle_test_registry_start(&registry, args);
}

/* ---- texts of a table --------------------------------------------------------------------------------------- */

/* <name> becomes what is kept, ' becomes " in JSON */
static void expand(const char *text, bool path, char *out)
{
  size_t n = 0;
  bool   json = !path && (text[0] == '{' || text[0] == '[');
  for (const char *p = text; *p; p++) {
    const char *end = *p == '<' && (path || json) ? strchr(p, '>') : NULL;
    if (end) {
      const char *value = find(p + 1, (size_t)(end - p - 1));
      if (!value) fail_msg("no value is kept as %.*s", (int)(end - p + 1), p);
      size_t len = strlen(value);
      bool   bare = path && value[0] == '"';
      if (n + len >= TEXT_MAX) fail_msg("text too long");
      memcpy(out + n, value + bare, len - 2 * bare);
      n += len - 2 * bare;
      p = end;
    } else {
      if (n + 1 >= TEXT_MAX) fail_msg("text too long");
      out[n++] = json && *p == '\'' ? '"' : *p;
    }
  }
  out[n] = 0;
}

/* ---- matching ----------------------------------------------------------------------------------------------- */

static const char *wrong(const char *rule, yyjson_val *got)
{
  char *text = got ? yyjson_val_write(got, 0, NULL) : NULL;
  snprintf(why, sizeof why, "expected %.6000s, got %.6000s", rule, text ? text : "nothing");
  free(text);
  return why;
}

static bool rule_is(const char *rule, const char *name, const char **arg)
{
  size_t n = strlen(name);
  if (strncmp(rule, name, n) != 0 || (rule[n] != ':' && rule[n] != 0)) return false;
  *arg = rule[n] ? rule + n + 1 : "";
  return true;
}

static bool is_uuid(const char *s)
{
  if (strlen(s) != 36) return false;
  for (int i = 0; i < 36; i++) {
    bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? s[i] != '-' : !strchr("0123456789abcdef", s[i])) return false;
  }
  return true;
}

static bool base64_is(const char *text, const char *arg)
{
  char          name[24] = "", hex[64] = "";
  unsigned long want = strtoul(arg, (char **)&arg, 10);
  uint8_t       raw[512];
  char          got[1025];
  if (*arg == ':') {
    size_t n = strcspn(++arg, ":");
    snprintf(hex, sizeof hex, "%.*s", (int)n, arg);
    arg += n;
    if (*arg == ':') snprintf(name, sizeof name, "%s", arg + 1);
  }
  size_t len = 0;
  if (strlen(text) > 600 || strlen(text) % 4 != 0) return false;
  if (!csfle__base64_decode(csfle__view(text, strlen(text)), raw, &len) || len != want) return false;
  got[0] = 0;
  for (size_t i = 0; i < len; i++) snprintf(got + 2 * i, 3, "%02x", raw[i]);
  if (strncmp(got, hex, strlen(hex)) != 0) return false;
  if (name[0]) keep_text(name, text);
  return true;
}

static const char *match_rule(const char *rule, yyjson_val *got)
{
  const char *arg = "", *text = yyjson_get_str(got);
  bool        ok = false, keep = true;
  if (rule_is(rule, "$any", &arg)) {
    ok = got != NULL;
  } else if (rule_is(rule, "$int", &arg)) {
    ok = yyjson_is_int(got);
  } else if (rule_is(rule, "$ts", &arg)) {
    ok = yyjson_is_int(got) && yyjson_get_sint(got) >= 1000000000000 && yyjson_get_sint(got) <= 9999999999999;
  } else if (rule_is(rule, "$text", &arg)) {
    ok = text && *text;
  } else if (rule_is(rule, "$uuid", &arg)) {
    ok = text && is_uuid(text);
  } else {
    keep = false;
    if (rule_is(rule, "$starts", &arg)) {
      ok = text && strncmp(text, arg, strlen(arg)) == 0;
    } else if (rule_is(rule, "$has", &arg)) {
      ok = text && strstr(text, arg);
    } else if (rule_is(rule, "$lacks", &arg)) {
      ok = text && !strstr(text, arg);
    } else if (rule_is(rule, "$b64", &arg)) {
      ok = text && base64_is(text, arg);
    } else if (rule_is(rule, "$is", &arg) || rule_is(rule, "$not", &arg) || rule_is(rule, "$ge", &arg) ||
               rule_is(rule, "$gt", &arg)) {
      const char *json = csfle_test_rest_kept(arg);
      yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
      yyjson_val *old = yyjson_doc_get_root(doc);
      ok = got && (rule[1] == 'i'                      ? yyjson_equals(old, got)
                   : rule[1] == 'n'                    ? !yyjson_equals(old, got)
                   : !yyjson_is_int(got)               ? false
                   : strncmp(rule, "$ge", 3) == 0      ? yyjson_get_sint(got) >= yyjson_get_sint(old)
                                                       : yyjson_get_sint(got) > yyjson_get_sint(old));
      if (!ok) {
        char both[TEXT_MAX];
        snprintf(both, sizeof both, "%s (%s)", rule, json);
        yyjson_doc_free(doc);
        return wrong(both, got);
      }
      yyjson_doc_free(doc);
    } else {
      fail_msg("no such rule: %s", rule);
    }
  }
  if (!ok) return wrong(rule, got);
  if (keep && *arg) keep_value(arg, got);
  return NULL;
}

static bool array_has(yyjson_val *got, yyjson_val *item)
{
  size_t      i, n;
  yyjson_val *v;
  yyjson_arr_foreach(got, i, n, v) if (!csfle_test_rest_match(item, v)) return true;
  return false;
}

static const char *match_array(yyjson_val *want, yyjson_val *got)
{
  char       *text = yyjson_val_write(want, 0, NULL);
  const char *said = NULL, *first = yyjson_get_str(yyjson_arr_get_first(want));
  bool        holds = first && strcmp(first, "$holds") == 0, lacks = first && strcmp(first, "$lacks") == 0,
       set = first && strcmp(first, "$set") == 0;
  size_t      i, n;
  yyjson_val *v;
  if (!yyjson_is_arr(got)) said = wrong(text, got);
  if (!said && set && yyjson_arr_size(got) != yyjson_arr_size(want) - 1) said = wrong(text, got);
  if (!said && !holds && !lacks && !set && yyjson_arr_size(got) != yyjson_arr_size(want)) said = wrong(text, got);
  yyjson_arr_foreach(want, i, n, v)
  {
    if (said || ((holds || lacks || set) && i == 0)) continue;
    if (holds || set) {
      if (!array_has(got, v)) said = wrong(text, got);
    } else if (lacks) {
      if (array_has(got, v)) said = wrong(text, got);
    } else {
      said = csfle_test_rest_match(v, yyjson_arr_get(got, i));
    }
  }
  free(text);
  return said;
}

static const char *match_object(yyjson_val *want, yyjson_val *got)
{
  size_t      i, n;
  yyjson_val *k, *v;
  char       *text = yyjson_val_write(want, 0, NULL);
  const char *said = yyjson_is_obj(got) ? NULL : wrong(text, got);
  free(text);
  if (said) return said;
  yyjson_obj_foreach(want, i, n, k, v)
  {
    const char *name = yyjson_get_str(k), *rule = yyjson_get_str(v);
    if (strcmp(name, "...") == 0) continue;
    yyjson_val *there = yyjson_obj_get(got, name);
    if (rule && strcmp(rule, "$absent") == 0) {
      said = there ? wrong("nothing", there) : NULL;
    } else {
      said = there ? csfle_test_rest_match(v, there) : "it is missing";
    }
    if (said) {
      static char at[TEXT_MAX];
      snprintf(at, sizeof at, "member \"%s\": %.12000s", name, said);
      memcpy(why, at, sizeof why);
      return why;
    }
  }
  if (yyjson_obj_get(want, "...")) return NULL;
  yyjson_obj_foreach(got, i, n, k, v)
  {
    if (yyjson_obj_get(want, yyjson_get_str(k))) continue;
    snprintf(why, sizeof why, "member \"%s\" is not expected", yyjson_get_str(k));
    return why;
  }
  return NULL;
}

const char *csfle_test_rest_match(yyjson_val *want, yyjson_val *got)
{
  if (yyjson_is_obj(want)) return match_object(want, got);
  if (yyjson_is_arr(want)) return match_array(want, got);
  const char *rule = yyjson_get_str(want);
  if (rule && rule[0] == '$' && rule[1]) return match_rule(rule, got);
  if (yyjson_equals(want, got)) return NULL;
  char       *text = yyjson_val_write(want, 0, NULL);
  const char *said = wrong(text, got);
  free(text);
  return said;
}

/* ---- one step ----------------------------------------------------------------------------------------------- */

static const char *check_error(const csfle_test_step *s, yyjson_val *got)
{
  yyjson_val *code = yyjson_obj_get(got, "error_code");
  const char *message = yyjson_get_str(yyjson_obj_get(got, "message"));
  if (yyjson_obj_size(got) != 2 || !code || !message) return "an error body has exactly error_code and message";
  if (!yyjson_is_int(code) || yyjson_get_sint(code) != s->code) {
    snprintf(why, sizeof why, "expected error_code %d", s->code);
    return why;
  }
  bool ok = !s->want           ? *message != 0
            : s->want[0] == '^' ? strncmp(message, s->want + 1, strlen(s->want + 1)) == 0
            : s->want[0] == '*' ? strstr(message, s->want + 1) != NULL
                                : strcmp(message, s->want) == 0;
  if (ok) return NULL;
  snprintf(why, sizeof why, "expected message %s", s->want);
  return why;
}

static const char *check_reply(const csfle_test_step *s, const csfle_test_reply *p)
{
  char        value[512], want[TEXT_MAX];
  const char *type = s->type ? s->type : "application/vnd.schemaregistry.v1+json", *said = NULL;
  if (p->status == 0) return "no answer";
  if (s->status && p->status != s->status) {
    snprintf(why, sizeof why, "expected status %d%s%s", s->status, s->want ? " and " : "", s->want ? s->want : "");
    return why;
  }
  if (!*csfle_test_reply_header(p, "X-Request-ID", value, sizeof value)) return "X-Request-ID is missing";
  if (p->status == 204) return p->len ? "204 has no body" : NULL;
  csfle_test_reply_header(p, "Content-Type", value, sizeof value);
  size_t n = strlen(type);
  if (strncmp(value, type, n) != 0 || (value[n] && value[n] != ';')) {
    snprintf(why, sizeof why, "Content-Type is \"%s\", expected %s", value, type);
    return why;
  }
  if (s->text) return strcmp(p->body, s->text) == 0 ? NULL : "the text differs";
  if (strncmp(s->request, "HEAD", 4) == 0) return p->len ? "HEAD has no body" : NULL;
  yyjson_doc *doc = yyjson_read(p->body, p->len, 0);
  if (!doc) return "the answer is no JSON";
  if (s->code) {
    said = check_error(s, yyjson_doc_get_root(doc));
  } else if (s->want) {
    expand(s->want, false, want);
    yyjson_doc *w = yyjson_read(want, strlen(want), 0);
    if (!w) fail_msg("no JSON in the table: %s", want);
    said = csfle_test_rest_match(yyjson_doc_get_root(w), yyjson_doc_get_root(doc));
    yyjson_doc_free(w);
  }
  yyjson_doc_free(doc);
  return said;
}

/* ---- mutants ------------------------------------------------------------------------------------------------ */

typedef struct verdicts {
  size_t made[CSFLE_TEST_MUTATIONS], told[CSFLE_TEST_MUTATIONS];
} verdicts;
static bool trial; /* a process of check_tells: it ends where the case would go on */

/* Whether s->check fails on a mutant, found out in a process of its own: a failing assertion leaves the case and arrives
   at the next one. */
static bool check_tells(const csfle_test_step *s, const csfle_test_reply *p)
{
  fflush(NULL);
  pid_t pid = fork();
  if (pid == 0) {
    trial = true;
    int null = open("/dev/null", O_WRONLY);
    dup2(null, 1), dup2(null, 2);
    s->check(p);
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static void end_of_trial(void)
{
  if (trial) _exit(1);
}

static void try_mutants(const char *cite, size_t step, const csfle_test_step *s, const csfle_test_reply *p, verdicts *v)
{
  bool                report = getenv("CSFLE_TEST_MUTANTS") != NULL;
  kept_value          before[sizeof kept / sizeof *kept];
  size_t              before_count = kept_count;
  csfle_test_reply    m;
  for (size_t i = 0; i < kept_count; i++) before[i] = kept[i], before[i].json = kept[i].json ? strdup(kept[i].json) : NULL;
  for (int kind = 0; kind < CSFLE_TEST_MUTATIONS; kind++) {
    bool asked_check = false;
    for (size_t n = 0; csfle_test_mutant(p, (csfle_test_mutation)kind, n, &m); n++) {
      bool told = check_reply(s, &m) != NULL;
      /* a look of its own is asked once a kind, when nothing else would tell */
      if (!told && s->check && !asked_check && v->told[kind] == 0) told = check_tells(s, &m), asked_check = true;
      v->made[kind]++, v->told[kind] += told;
      if (!told && report) print_message("# %s step %zu: passes with %s: %ld %.300s\n", cite, step, csfle_test_mutation_name((csfle_test_mutation)kind), m.status, m.body);
      free(m.body);
      for (size_t i = 0; i < kept_count; i++) free(kept[i].json), kept[i].json = NULL;
      kept_count = before_count;
      for (size_t i = 0; i < kept_count; i++) kept[i] = before[i], kept[i].json = before[i].json ? strdup(before[i].json) : NULL;
    }
  }
  for (size_t i = 0; i < before_count; i++) free(before[i].json);
}

/* The kind of change that the case does not see in any of its answers; -1 when it sees them all. */
static int blind_to(const verdicts *v)
{
  for (int kind = 0; kind < CSFLE_TEST_MUTATIONS; kind++)
    if (v->made[kind] && !v->told[kind]) return kind;
  return -1;
}

static void judge_mutants(const char *cite, const verdicts *v)
{
  int    blind = blind_to(v);
  size_t made = 0, told = 0;
  if (!strchr(cite, '-')) return; /* not an item: a step on the way to some */
  for (int kind = 0; kind < CSFLE_TEST_MUTATIONS; kind++) made += v->made[kind], told += v->told[kind];
  if (getenv("CSFLE_TEST_MUTANTS")) print_message("# mutants of %s: %zu made, %zu told%s\n", cite, made, told, blind < 0 ? "" : ", not covered");
  if (blind >= 0) fail_msg("%s is not covered: with %s in any of its answers the case still passes", cite, csfle_test_mutation_name((csfle_test_mutation)blind));
}

const char *csfle_test_rest_blind(const csfle_test_step *s, const csfle_test_reply *p)
{
  verdicts v = { 0 };
  try_mutants("a case", 1, s, p, &v);
  return blind_to(&v) < 0 ? NULL : csfle_test_mutation_name((csfle_test_mutation)blind_to(&v));
}

void csfle_test_steps(const char *cite, const csfle_test_step *steps, size_t count)
{
  static char plain[TEXT_MAX], path[TEXT_MAX + 32], body[TEXT_MAX], lines[1024];
  verdicts    v = { 0 };
  end_of_trial();
  for (size_t i = 0; i < count; i++) {
    const csfle_test_step *s = &steps[i];
    char                   method[16];
    const char            *headers[8] = { 0 };
    size_t                 n = strcspn(s->request, " "), count_headers = 0;
    snprintf(method, sizeof method, "%.*s", (int)n, s->request);
    expand(s->request + n + 1, true, plain);
    snprintf(path, sizeof path, "%s%s", plain[0] == '~' ? "/dek-registry/v1" : "", plain + (plain[0] == '~'));
    if (s->body) expand(s->body, false, body);
    snprintf(lines, sizeof lines, "%s", s->header ? s->header : "");
    for (char *save = NULL, *line = strtok_r(lines, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
      headers[count_headers++] = line;
    }
    csfle_test_reply p = csfle_test_http_headers(&registry, method, path, s->body ? body : NULL, headers);
    try_mutants(cite, i + 1, s, &p, &v);
    const char *said = check_reply(s, &p);
    if (said) {
      print_error("# %s step %zu: %s %s %s\n#   answered %ld %.2000s\n#   %s\n", cite, i + 1, method, path,
                  s->body ? body : "", p.status, p.body, said);
      csfle_test_reply_free(&p);
      fail_msg("%s step %zu", cite, i + 1);
    }
    if (s->check) s->check(&p);
    if (s->then) s->then();
    csfle_test_reply_free(&p);
  }
  judge_mutants(cite, &v);
}

/* ---- the store ---------------------------------------------------------------------------------------------- */

void csfle_test_rest_expect(const char *what, const char *want, yyjson_val *got)
{
  char text[TEXT_MAX];
  expand(want, false, text);
  yyjson_doc *doc = yyjson_read(text, strlen(text), 0);
  if (!doc) fail_msg("no JSON in the table: %s", text);
  const char *said = csfle_test_rest_match(yyjson_doc_get_root(doc), got);
  yyjson_doc_free(doc);
  if (said) {
    print_error("# %s: %s\n", what, said);
    fail_msg("%s", what);
  }
}

yyjson_doc *csfle_test_rest_dump(void)
{
  char   command[1024], *line = NULL, *all = strdup("[");
  size_t size = 0, len = 1;
  assert_int_equal(csfle_test_registry_term(&registry), 0);
  snprintf(command, sizeof command, "%s/csfle-registry dump --store %s", CSFLE_TEST_BINARIES, registry.store);
  FILE *in = popen(command, "r");
  assert_non_null(in);
  for (ssize_t n; (n = getline(&line, &size, in)) > 0;) {
    all = realloc(all, len + (size_t)n + 3);
    if (len > 1) all[len++] = ',';
    memcpy(all + len, line, (size_t)n);
    len += (size_t)n;
  }
  free(line);
  assert_int_equal(pclose(in), 0);
  all[len++] = ']';
  yyjson_doc *doc = yyjson_read(all, len, 0);
  free(all);
  if (!doc) fail_msg("dump wrote something that is no JSON");
  csfle_test_registry_restart(&registry);
  return doc;
}

void csfle_test_rest_load(const char *lines, const char *const *args)
{
  char command[1024];
  csfle_test_rest_stop();
  csfle_test_registry_prepare(&registry, args);
  snprintf(command, sizeof command, "%s/csfle-registry load --store %s", CSFLE_TEST_BINARIES, registry.store);
  FILE *out = popen(command, "w");
  assert_non_null(out);
  for (const char *p = lines; *p; p++) fputc(*p == '\'' ? '"' : *p, out);
  assert_int_equal(pclose(out), 0);
  csfle_test_registry_restart(&registry);
}

yyjson_val *csfle_test_rest_record(yyjson_doc *dump, const char *topic, size_t back)
{
  yyjson_val *all = yyjson_doc_get_root(dump);
  for (size_t i = yyjson_arr_size(all); i-- > 0;) {
    yyjson_val *r = yyjson_arr_get(all, i);
    if (strcmp(csfle_test_text(r, "topic"), topic) == 0 && back-- == 0) return r;
  }
  return NULL;
}

void csfle_test_rest_record_is(yyjson_val *record, const char *key, const char *value)
{
  assert_non_null(record);
  assert_string_equal(csfle_test_text(record, "key"), key);
  if (!value) {
    assert_true(yyjson_is_null(yyjson_obj_get(record, "value")));
    return;
  }
  const char *text = csfle_test_text(record, "value");
  yyjson_doc *doc = yyjson_read(text, strlen(text), 0);
  if (!doc) fail_msg("value of %s is no JSON: %s", key, text);
  csfle_test_rest_expect(key, value, yyjson_doc_get_root(doc));
  yyjson_doc_free(doc);
}
