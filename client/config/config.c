/* Properties: setting, checking, reading. See config.h; the table is properties.def. */
#include "client/config/config.h"
#include "core/base/alloc.h"
#include "core/base/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE    (1024 * 1024)
#define MAX_INCLUDE 8

#define CSFLE_PROPERTY(name, kind, scope, def, help) \
  { name, CSFLE__PROPERTY_##kind, CSFLE__PROPERTY_##scope, def, help, CSFLE__PROPERTY_##kind == CSFLE__PROPERTY_SECRET },
#define CSFLE_PROPERTY_CHOICE(name, values)
#define CSFLE_PROPERTY_REFUSED(name, why)
const csfle__property csfle__properties[] = {
#include "client/config/properties.def"
};
const size_t csfle__property_count = sizeof csfle__properties / sizeof *csfle__properties;
#undef CSFLE_PROPERTY
#undef CSFLE_PROPERTY_CHOICE
#undef CSFLE_PROPERTY_REFUSED

typedef struct pair {
  const char *name, *text;
} pair;
#define CSFLE_PROPERTY(name, kind, scope, def, help)
#define CSFLE_PROPERTY_CHOICE(name, values) { name, values },
#define CSFLE_PROPERTY_REFUSED(name, why)
static const pair choices[] = {
#include "client/config/properties.def"
};
#undef CSFLE_PROPERTY_CHOICE
#undef CSFLE_PROPERTY_REFUSED
#define CSFLE_PROPERTY_CHOICE(name, values)
#define CSFLE_PROPERTY_REFUSED(name, why) { name, why },
static const pair refused[] = {
#include "client/config/properties.def"
};

/* "a.*" stands for every longer name that begins with "a." */
static bool matches(const char *pattern, const char *name)
{
  size_t n = strlen(pattern);
  if (n > 2 && pattern[n - 1] == '*') return strncmp(pattern, name, n - 1) == 0 && name[n - 1];
  return strcmp(pattern, name) == 0;
}

static const csfle__property *find(const char *name)
{
  for (size_t i = 0; i < csfle__property_count; i++)
    if (matches(csfle__properties[i].name, name)) return &csfle__properties[i];
  return NULL;
}

static const pair *find_pair(const pair *at, size_t count, const char *name)
{
  for (size_t i = 0; i < count; i++)
    if (matches(at[i].name, name)) return &at[i];
  return NULL;
}
#define FIND_PAIR(table, name) find_pair(table, sizeof table / sizeof *table, name)

/* The registry client's properties are taken with and without "schema.registry." [3.4]. */
static const char *plain_name(const char *name)
{
  static const char prefix[] = "schema.registry.";
  if (strncmp(name, prefix, sizeof prefix - 1) != 0 || find(name) || FIND_PAIR(refused, name)) return name;
  const char            *rest = name + sizeof prefix - 1;
  const csfle__property *p = find(rest);
  return (p && p->scope == CSFLE__PROPERTY_CLIENT && strncmp(rest, "csfle.", 6) != 0) || FIND_PAIR(refused, rest) ? rest : name;
}

bool csfle__config_knows(const char *name)
{
  const char *plain = plain_name(name);
  return find(plain) || FIND_PAIR(refused, plain) || strncmp(plain, "csfle.", 6) == 0;
}

bool csfle__config_secret(const char *name)
{
  const char            *plain = plain_name(name);
  const csfle__property *p = find(plain);
  if (p && p->secret) return true;
  /* executor parameters and headers may carry credentials: show none of them */
  return strstr(plain, ".param.") != NULL || strncmp(plain, "request.header.", 15) == 0;
}

static size_t distance(const char *a, const char *b)
{
  size_t row[128], n = strlen(b);
  if (n >= sizeof row / sizeof *row) return SIZE_MAX;
  for (size_t j = 0; j <= n; j++) row[j] = j;
  for (size_t i = 1; a[i - 1]; i++) {
    size_t diag = row[0];
    row[0] = i;
    for (size_t j = 1; j <= n; j++) {
      size_t up = row[j], best = diag + (a[i - 1] != b[j - 1]);
      if (up + 1 < best) best = up + 1;
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      row[j] = best, diag = up;
    }
  }
  return row[n];
}

static csfle_status unknown(const char *name, csfle_error *err)
{
  const char *near = NULL;
  size_t      best = SIZE_MAX;
  for (size_t i = 0; i < csfle__property_count; i++) {
    size_t d = distance(name, csfle__properties[i].name);
    if (d < best) best = d, near = csfle__properties[i].name;
  }
  return csfle__fail(err, CSFLE_E_CONFIG, "unknown property '%.80s'; the nearest known one is '%s'", name, near);
}

bool csfle__list_next(csfle__bytes *rest, csfle__bytes *item)
{
  while (rest->len) {
    const uint8_t *comma = memchr(rest->ptr, ',', rest->len);
    size_t         n = comma ? (size_t)(comma - rest->ptr) : rest->len;
    *item = csfle__trim(csfle__view(rest->ptr, n));
    *rest = csfle__from(*rest, n + 1);
    if (item->len) return true;
  }
  return false;
}

bool csfle__list_has(csfle__bytes list, csfle__bytes item)
{
  csfle__bytes one;
  while (csfle__list_next(&list, &one))
    if (csfle__eq(one, item)) return true;
  return false;
}

static bool is_choice(const char *values, csfle__bytes value)
{
  while (*values) {
    size_t n = strcspn(values, "|");
    if (csfle__eq(csfle__view(values, n), value)) return true;
    values += n + (values[n] == '|');
  }
  return false;
}

static csfle_status check_value(const csfle__property *p, const char *name, const char *value, csfle_error *err)
{
  csfle__bytes v = csfle__trim(csfle__str(value));
  const pair  *choice = FIND_PAIR(choices, name);
  int64_t      n;
  switch (p->kind) {
  case CSFLE__PROPERTY_BOOL:
    if (csfle__eq_nocase(v, CSFLE__LIT("true")) || csfle__eq_nocase(v, CSFLE__LIT("false"))) return CSFLE_OK;
    return csfle__fail(err, CSFLE_E_CONFIG, "'%s' must be true or false", name);
  case CSFLE__PROPERTY_INT:
  case CSFLE__PROPERTY_SIGNED:
    if (csfle__parse_i64(v, &n) && n >= (p->kind == CSFLE__PROPERTY_INT ? 0 : -1) && n <= INT64_C(1) << 53) return CSFLE_OK;
    return csfle__fail(err, CSFLE_E_CONFIG, "'%s' must be a whole number of at least %d", name,
                       p->kind == CSFLE__PROPERTY_INT ? 0 : -1);
  case CSFLE__PROPERTY_CHOICE:
    if (is_choice(choice->text, v)) return CSFLE_OK;
    return csfle__fail(err, CSFLE_E_CONFIG, "'%s' may be %s, not '%.60s'; other values are not supported", name, choice->text, value);
  case CSFLE__PROPERTY_LIST:
    for (csfle__bytes item; choice && csfle__list_next(&v, &item);)
      if (!is_choice(choice->text, item))
        return csfle__fail(err, CSFLE_E_CONFIG, "'%s' is a list of %s, not '%.*s'", name, choice->text,
                           item.len > 60 ? 60 : (int)item.len, (const char *)item.ptr);
    return CSFLE_OK;
  default: return CSFLE_OK;
  }
}

/* rule.executors.NAME.{param.P|disabled|onFailure|onSuccess}; NAME may contain dots (a subject:rule does) */
static csfle_status check_executor(const char *name, const char *value, csfle_error *err)
{
  const char *rest = name + strlen("rule.executors."), *param = strstr(rest, ".param."), *dot = strrchr(rest, '.');
  if (param && param > rest && param[7]) return CSFLE_OK;
  if (!dot || dot == rest) return csfle__fail(err, CSFLE_E_CONFIG, "'%.100s' lacks what it sets: .param.NAME, .disabled, .onFailure or .onSuccess", name);
  if (strcmp(dot, ".class") == 0)
    return csfle__fail(err, CSFLE_E_CONFIG, "'%.100s': executors of one's own are not supported", name);
  if (strcmp(dot, ".onFailure") == 0 || strcmp(dot, ".onSuccess") == 0) return CSFLE_OK;
  if (strcmp(dot, ".disabled") == 0) {
    csfle__bytes v = csfle__str(value);
    if (csfle__eq_nocase(v, CSFLE__LIT("true")) || csfle__eq_nocase(v, CSFLE__LIT("false"))) return CSFLE_OK;
    return csfle__fail(err, CSFLE_E_CONFIG, "'%.100s' must be true or false", name);
  }
  return csfle__fail(err, CSFLE_E_CONFIG, "'%.100s': an executor has .param.NAME, .disabled, .onFailure and .onSuccess", name);
}

static bool has_line_break(const char *text) { return strpbrk(text, "\r\n") != NULL; }

csfle_status csfle__config_put(csfle_config *c, const char *name, const char *value, bool serde, csfle_error *err)
{
  const char            *plain = plain_name(name);
  const csfle__property *p = find(plain);
  const pair            *no = FIND_PAIR(refused, plain);
  if (no && !p)
    return csfle__fail(err, CSFLE_E_CONFIG, "'%.100s' is not supported%s%s", plain, no->text ? ": " : " yet", no->text ? no->text : "");
  if (!p) return unknown(plain, err);
  if (serde && p->scope != CSFLE__PROPERTY_SERDE)
    return csfle__fail(err, CSFLE_E_CONFIG, "'%.100s' belongs to the client, not to a serde", plain);
  csfle_status rc = check_value(p, plain, value, err);
  if (rc == CSFLE_OK && strncmp(plain, "rule.executors.", 15) == 0) rc = check_executor(plain, value, err);
  if (rc == CSFLE_OK && (strncmp(plain, "request.header.", 15) == 0 || strcmp(plain, "schema.registry.url") == 0 ||
                         strncmp(plain, "bearer.auth.", 12) == 0 || strncmp(plain, "basic.auth.", 11) == 0) &&
      (has_line_break(value) || has_line_break(plain)))
    rc = csfle__fail(err, CSFLE_E_CONFIG, "'%.80s' may not contain a line break", plain);
  if (rc == CSFLE_OK && strcmp(plain, "schema.registry.url") == 0) {
    csfle__bytes rest = csfle__str(value), url;
    while (rc == CSFLE_OK && csfle__list_next(&rest, &url)) {
      if (csfle__starts(url, CSFLE__LIT("mock://")))
        rc = csfle__fail(err, CSFLE_E_CONFIG, "'schema.registry.url': mock:// is a transport of libcsfle-testing, which this program does not use");
      else if (!csfle__starts(url, CSFLE__LIT("http://")) && !csfle__starts(url, CSFLE__LIT("https://")))
        rc = csfle__fail(err, CSFLE_E_CONFIG, "'schema.registry.url' must begin with http:// or https://");
    }
  }
  if (rc != CSFLE_OK) return rc;
  size_t i = 0;
  while (i < c->count && strcmp(c->at[i].name, plain) != 0) i++;
  char *copy = csfle__dup(value, strlen(value)), *key = i < c->count ? c->at[i].name : csfle__dup(plain, strlen(plain));
  if (!copy || !key || csfle__grow((void **)&c->at, &c->cap, i + 1, sizeof *c->at)) {
    csfle__free_secret(copy, copy ? strlen(copy) : 0);
    if (i >= c->count) csfle__free(key);
    return csfle__nomem(err);
  }
  if (i < c->count) csfle__free_secret(c->at[i].value, strlen(c->at[i].value));
  else c->count++;
  c->at[i] = (csfle__config_entry){ key, copy };
  return CSFLE_OK;
}

static csfle_status read_text(csfle_config *c, char *text, int depth, csfle_error *err);

static csfle_status read_file(csfle_config *c, const char *path, int depth, csfle_error *err)
{
  if (depth > MAX_INCLUDE) return csfle__fail(err, CSFLE_E_CONFIG, "include=%.100s: files include each other more than %d deep", path, MAX_INCLUDE);
  FILE *f = fopen(path, "rb");
  if (!f) return csfle__fail(err, CSFLE_E_CONFIG, "include=%.200s: cannot be opened", path);
  char        *text = csfle__calloc(1, MAX_FILE + 1);
  size_t       n = text ? fread(text, 1, MAX_FILE, f) : 0;
  csfle_status rc = !text ? csfle__nomem(err) : n == MAX_FILE ? csfle__fail(err, CSFLE_E_CONFIG, "include=%.200s: longer than 1 MiB", path)
                                                              : read_text(c, text, depth, err);
  fclose(f);
  csfle__free_secret(text, MAX_FILE + 1);
  return rc;
}

/* Changes @p text: lines are cut in place. */
static csfle_status read_text(csfle_config *c, char *text, int depth, csfle_error *err)
{
  int number = 0;
  for (char *line = text; line && *line;) {
    char *next = strchr(line, '\n');
    if (next) *next++ = 0;
    number++;
    csfle__bytes l = csfle__trim(csfle__str(line));
    if (l.len && l.ptr[0] != '#' && l.ptr[0] != '!') {
      char *start = line + (l.ptr - (const uint8_t *)line), *eq;
      start[l.len] = 0;
      eq = strchr(start, '=');
      if (!eq) {
        csfle__fail(err, CSFLE_E_CONFIG, "no '=' in this line");
        csfle__where(err, "line %d", number);
        return CSFLE_E_CONFIG;
      }
      *eq = 0;
      csfle__bytes name = csfle__trim(csfle__str(start)), value = csfle__trim(csfle__str(eq + 1));
      char        *n = start + (name.len ? name.ptr - (const uint8_t *)start : 0), *v = value.len ? (char *)value.ptr : eq + 1 + strlen(eq + 1);
      n[name.len] = 0;
      csfle_status rc = strcmp(n, "include") == 0 ? read_file(c, v, depth + 1, err) : csfle__config_put(c, n, v, false, err);
      if (rc != CSFLE_OK) {
        if (rc != CSFLE_E_NOMEM) csfle__where(err, "line %d", number);
        return rc;
      }
    }
    line = next;
  }
  return CSFLE_OK;
}

csfle_config *csfle_config_new(const char *properties_text)
{
  csfle_config *c = csfle__calloc(1, sizeof *c);
  if (!c) return NULL;
  c->clock = csfle__system_clock;
  if (properties_text) {
    size_t n = strlen(properties_text);
    char  *copy = csfle__dup(properties_text, n);
    csfle_status rc = copy ? read_text(c, copy, 0, &c->bad) : CSFLE_E_NOMEM;
    csfle__free_secret(copy, n);
    if (rc == CSFLE_E_NOMEM) {
      csfle_config_free(c);
      return NULL;
    }
  }
  return c;
}

csfle_status csfle_config_set(csfle_config *c, const char *name, const char *value, csfle_error *err)
{
  if (!c) return err && err->code ? err->code : CSFLE_E_MISUSE;
  if (!name || !value) return csfle__fail(err, CSFLE_E_MISUSE, "a property needs a name and a value");
  csfle_status rc = csfle__config_put(c, name, value, false, err);
  return rc == CSFLE_OK ? csfle__ok(err) : rc;
}

void csfle_config_on_log(csfle_config *c, int max_level, csfle_log_fn fn, void *opaque)
{
  if (c) c->log = (csfle__log){ fn, opaque, max_level };
}

void csfle_config_on_event(csfle_config *c, csfle_event_fn fn, void *opaque)
{
  if (c) c->event = fn, c->event_opaque = opaque;
}

csfle_status csfle_config_add_transport(csfle_config *c, const csfle_transport *t, csfle_error *err)
{
  if (!c) return err && err->code ? err->code : CSFLE_E_MISUSE;
  size_t first = offsetof(csfle_transport, cancel) + sizeof t->cancel; /* the struct as it once was */
  if (!t || t->size < first || !t->start || !t->cancel)
    return csfle__fail(err, CSFLE_E_MISUSE, "a transport needs its size, start and cancel");
  c->transport = (csfle_transport){ 0 };
  memcpy(&c->transport, t, t->size < sizeof *t ? first : sizeof *t);
  return csfle__ok(err);
}

csfle_status csfle_config_add_kms(csfle_config *c, const csfle_kms *k, csfle_error *err)
{
  if (!c) return err && err->code ? err->code : CSFLE_E_MISUSE;
  csfle_status rc = csfle__plugins_add(&c->plugins, k, err);
  return rc == CSFLE_OK ? csfle__ok(err) : rc;
}

void csfle_config_free(csfle_config *c)
{
  if (!c) return;
  for (size_t i = 0; i < c->count; i++) {
    csfle__free(c->at[i].name);
    csfle__free_secret(c->at[i].value, strlen(c->at[i].value));
  }
  csfle__free(c->at);
  csfle__free(c);
}

csfle_config *csfle__config_copy(const csfle_config *from)
{
  csfle_config *c = csfle__calloc(1, sizeof *c);
  if (!c) return NULL;
  *c = *from;
  c->at = NULL, c->count = c->cap = 0;
  if (csfle__grow((void **)&c->at, &c->cap, from->count, sizeof *c->at)) goto fail;
  for (size_t i = 0; i < from->count; i++) {
    char *name = csfle__dup(from->at[i].name, strlen(from->at[i].name)), *value = csfle__dup(from->at[i].value, strlen(from->at[i].value));
    if (!name || !value) {
      csfle__free(name);
      csfle__free_secret(value, value ? strlen(value) : 0);
      goto fail;
    }
    c->at[c->count++] = (csfle__config_entry){ name, value };
  }
  return c;
fail:
  csfle_config_free(c);
  return NULL;
}

const csfle__config_executor *csfle__config_executor_find(const csfle_config *c, csfle__bytes type)
{
  for (size_t i = 0; i < c->executor_count; i++)
    if (csfle__eq_nocase(type, csfle__str(c->executors[i].type))) return &c->executors[i];
  return NULL;
}

csfle_status csfle__config_add_executor(csfle_config *c, const char *type, const struct csfle__executor_ops *ops, void *opaque, csfle_error *err)
{
  csfle__bytes t = csfle__str(type ? type : "");
  if (!c || !ops || !t.len || t.len >= sizeof c->executors->type)
    return csfle__fail(err, CSFLE_E_MISUSE, "an executor and a rule type of 1 to 63 characters are needed");
  if (csfle__eq_nocase(t, CSFLE__LIT("ENCRYPT")) || csfle__eq_nocase(t, CSFLE__LIT("ENCRYPT_PAYLOAD")))
    return csfle__fail(err, CSFLE_E_MISUSE, "rules of type %s are the library's own", type);
  if (csfle__config_executor_find(c, t)) return csfle__fail(err, CSFLE_E_MISUSE, "rule type %s has an executor already", type);
  if (c->executor_count == CSFLE__MAX_EXECUTORS) return csfle__fail(err, CSFLE_E_MISUSE, "more than %d executors", CSFLE__MAX_EXECUTORS);
  csfle__config_executor *x = &c->executors[c->executor_count++];
  memcpy(x->type, t.ptr, t.len + 1);
  x->ops = ops, x->opaque = opaque;
  return CSFLE_OK;
}

void csfle__config_set_clock(csfle_config *c, const csfle__clock *clock) { c->clock = *clock; }

const char *csfle__config_given(const csfle_config *c, const char *name)
{
  for (size_t i = 0; i < c->count; i++)
    if (strcmp(c->at[i].name, name) == 0) return c->at[i].value;
  return NULL;
}

const char *csfle__config_text(const csfle_config *c, const char *name)
{
  const char            *v = csfle__config_given(c, name);
  const csfle__property *p = v ? NULL : find(name);
  if (v || !p || strcmp(p->name, name) != 0) return v;
  return p->def;
}

bool csfle__config_bool(const csfle_config *c, const char *name)
{
  return csfle__truthy(csfle__trim(csfle__str(csfle__config_text(c, name))));
}

int64_t csfle__config_int(const csfle_config *c, const char *name)
{
  int64_t v = 0;
  csfle__parse_i64(csfle__trim(csfle__str(csfle__config_text(c, name))), &v);
  return v;
}

csfle_status csfle__config_check(const csfle_config *c, csfle_error *err)
{
  csfle__bytes rest = csfle__str(csfle__config_text(c, "schema.registry.url")), url;
  const char  *basic = csfle__config_given(c, "basic.auth.user.info");
  bool         user_info = strcmp(csfle__config_text(c, "basic.auth.credentials.source"), "USER_INFO") == 0;
  if (!csfle__list_next(&rest, &url)) return csfle__fail(err, CSFLE_E_CONFIG, "'schema.registry.url' is not set");
  if (csfle__config_given(c, "bearer.auth.token") && (basic || csfle__config_given(c, "basic.auth.credentials.source")))
    return csfle__fail(err, CSFLE_E_CONFIG, "only one of 'basic.auth.user.info' and 'bearer.auth.token' may be specified");
  if (user_info && (!basic || !strchr(basic, ':')))
    return csfle__fail(err, CSFLE_E_CONFIG, "'basic.auth.user.info' must be user:password");
  if (basic && !user_info)
    return csfle__fail(err, CSFLE_E_CONFIG, "'basic.auth.user.info' is used only with basic.auth.credentials.source=USER_INFO");
  if (csfle__config_given(c, "bearer.auth.credentials.source") && !csfle__config_given(c, "bearer.auth.token"))
    return csfle__fail(err, CSFLE_E_CONFIG, "'bearer.auth.token' is not set");
  if (csfle__config_bool(c, "auto.register.schemas") && (csfle__config_bool(c, "use.latest.version") || csfle__config_int(c, "use.schema.id") >= 0))
    return csfle__fail(err, CSFLE_E_CONFIG, "'auto.register.schemas' cannot be combined with 'use.latest.version' or 'use.schema.id'");
  return CSFLE_OK;
}
