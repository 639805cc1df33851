/* Answers out of a backup. See seed.h. */
#include "client/regclient/seed.h"

#include "core/base/alloc.h"
#include "core/base/map.h"

#include <stdio.h>

#define MAX_SEGMENTS 9

typedef struct entry {
  csfle__bytes text; /* the answer */
  int32_t      version;
} entry;

/*
 * What it holds, by name. The first byte tells: k KEK, K a deleted one; d one DEK, D a deleted one, l the latest live, m the latest;
 * i schema by context and id, g by GUID, v by subject and version, V a deleted one, s the subject's latest live. Further parts
 * follow, each after a NUL.
 */
struct csfle__seed {
  csfle__arena arena;
  csfle__map   map;
};

/* the parts of a name are views; ends with a part whose ptr is NULL */
static csfle_status put_name(csfle_buf *b, csfle_error *err, char kind, const csfle__bytes *parts)
{
  csfle__buf_clear(b);
  csfle_status rc = csfle__buf_putc(b, (uint8_t)kind, err);
  for (; parts->ptr && rc == CSFLE_OK; parts++) {
    rc = csfle__buf_putc(b, 0, err);
    if (rc == CSFLE_OK) rc = csfle__buf_put(b, parts->ptr, parts->len, err);
  }
  return rc;
}

typedef struct maker {
  csfle__seed *seed;
  csfle_buf    name, text;
} maker;

/* keeps the text of @p m under a name; of two the one with the higher version */
static csfle_status keep(maker *m, csfle_error *err, csfle__bytes text, int32_t version, char kind, const csfle__bytes *parts)
{
  csfle_status rc = put_name(&m->name, err, kind, parts);
  if (rc != CSFLE_OK) return rc;
  entry *e = csfle__map_get(&m->seed->map, csfle__buf_view(&m->name));
  if (e && e->version > version) return CSFLE_OK;
  if (!e) {
    e = csfle__arena_alloc(&m->seed->arena, sizeof *e);
    if (!e || csfle__map_put(&m->seed->map, csfle__buf_view(&m->name), e, NULL) != 0) return csfle__nomem(err);
  }
  *e = (entry){ text, version };
  return CSFLE_OK;
}

static csfle_status normal(csfle_buf *b, csfle__bytes subject, csfle_error *err)
{
  csfle__buf_clear(b);
  return csfle__subject_put(b, csfle__subject_parse(subject), err);
}

static csfle_status copied(maker *m, csfle__bytes text, csfle__bytes *out, csfle_error *err)
{
  *out = csfle__arena_copy(&m->seed->arena, text);
  return out->ptr ? CSFLE_OK : csfle__nomem(err);
}

static csfle_status add_kek(maker *m, csfle__bytes text, yyjson_val *obj, csfle_error *err)
{
  csfle__kek  *k = NULL;
  csfle_status rc = csfle__kek_parse(&k, obj, err);
  if (rc == CSFLE_OK && !k->name.len) rc = csfle__fail(err, CSFLE_E_CONFIG, "a KEK has no name");
  if (rc == CSFLE_OK) rc = copied(m, text, &text, err);
  if (rc == CSFLE_OK) rc = keep(m, err, text, 0, k->deleted ? 'K' : 'k', (csfle__bytes[]){ k->name, CSFLE__NONE });
  csfle__kek_free(k);
  return rc;
}

static csfle_status add_dek(maker *m, csfle__bytes text, yyjson_val *obj, csfle_error *err)
{
  csfle__dek  *d = NULL;
  char         version[16];
  csfle_status rc = csfle__dek_parse(&d, obj, err);
  if (rc == CSFLE_OK && (!d->kek_name.len || !d->subject.len || d->version < 1)) rc = csfle__fail(err, CSFLE_E_CONFIG, "a DEK lacks KEK, subject or version");
  if (rc == CSFLE_OK) rc = copied(m, text, &text, err);
  if (rc == CSFLE_OK) rc = normal(&m->text, d->subject, err);
  if (rc == CSFLE_OK) {
    csfle__bytes algorithm = csfle__str(csfle__algorithm_name(d->algorithm)), subject = csfle__buf_view(&m->text);
    snprintf(version, sizeof version, "%d", (int)d->version);
    csfle__bytes all[] = { d->kek_name, subject, algorithm, csfle__str(version), CSFLE__NONE }, latest[] = { d->kek_name, subject, algorithm, CSFLE__NONE };
    rc = keep(m, err, text, d->version, d->deleted ? 'D' : 'd', all);
    if (rc == CSFLE_OK && !d->deleted) rc = keep(m, err, text, d->version, 'l', latest);
    if (rc == CSFLE_OK) rc = keep(m, err, text, d->version, 'm', latest);
  }
  csfle__dek_free(d);
  return rc;
}

/* as an answer by id or GUID: a record's subject is its topic's, not the one that the schema was saved under */
static csfle_status without_subject(maker *m, yyjson_val *obj, csfle__bytes *out, csfle_error *err)
{
  size_t       i, n;
  yyjson_val  *name, *value;
  bool         first = true;
  csfle__buf_clear(&m->text);
  csfle_status rc = csfle__buf_putc(&m->text, '{', err);
  yyjson_obj_foreach(obj, i, n, name, value) {
    if (yyjson_equals_str(name, "subject") || yyjson_equals_str(name, "version") || yyjson_equals_str(name, "id")) continue;
    if (rc == CSFLE_OK && !first) rc = csfle__buf_putc(&m->text, ',', err);
    if (rc == CSFLE_OK) rc = csfle__json_put_string(&m->text, csfle__json_text(name), false, err);
    if (rc == CSFLE_OK) rc = csfle__buf_putc(&m->text, ':', err);
    if (rc == CSFLE_OK) rc = csfle__json_put_value(&m->text, value, err);
    first = false;
  }
  if (rc == CSFLE_OK) rc = csfle__buf_putc(&m->text, '}', err);
  return rc == CSFLE_OK ? copied(m, csfle__buf_view(&m->text), out, err) : rc;
}

static csfle_status add_schema(maker *m, csfle__bytes text, yyjson_val *obj, csfle_error *err)
{
  csfle__schema_info *s = NULL;
  csfle__bytes        bare = CSFLE__NONE;
  char                id[16] = "", version[16] = "";
  csfle_status        rc = csfle__schema_info_parse(&s, obj, err);
  if (rc != CSFLE_OK) return rc;
  if (!s->subject.ptr || s->version < 1 || s->id < 0 || !s->schema.ptr) rc = csfle__fail(err, CSFLE_E_CONFIG, "a schema lacks subject, version, id or text");
  if (rc == CSFLE_OK) rc = copied(m, text, &text, err);
  if (rc == CSFLE_OK) rc = without_subject(m, obj, &bare, err);
  if (rc == CSFLE_OK) rc = normal(&m->text, s->subject, err);
  snprintf(id, sizeof id, "%d", (int)s->id);
  snprintf(version, sizeof version, "%d", (int)s->version);
  csfle__bytes context = csfle__subject_parse(s->subject).context, subject = csfle__buf_view(&m->text);
  if (rc == CSFLE_OK) rc = keep(m, err, bare, 0, 'i', (csfle__bytes[]){ context, csfle__str(id), CSFLE__NONE });
  if (rc == CSFLE_OK && s->guid.len) rc = keep(m, err, bare, 0, 'g', (csfle__bytes[]){ s->guid, CSFLE__NONE });
  if (rc == CSFLE_OK) rc = keep(m, err, text, 0, s->deleted ? 'V' : 'v', (csfle__bytes[]){ subject, csfle__str(version), CSFLE__NONE });
  if (rc == CSFLE_OK && !s->deleted) rc = keep(m, err, text, s->version, 's', (csfle__bytes[]){ subject, CSFLE__NONE });
  csfle__schema_info_free(s);
  return rc;
}

static csfle_status add(void *opaque, csfle__backup_kind kind, csfle__bytes text, yyjson_val *obj, csfle_error *err)
{
  csfle_status rc = kind == CSFLE__BACKUP_KEK ? add_kek(opaque, text, obj, err) : kind == CSFLE__BACKUP_DEK ? add_dek(opaque, text, obj, err) : add_schema(opaque, text, obj, err);
  if (rc != CSFLE_OK && rc != CSFLE_E_NOMEM && err) err->code = rc = CSFLE_E_CONFIG;
  return rc;
}

csfle_status csfle__seed_new(csfle__seed **out, csfle__bytes text, csfle_error *err)
{
  maker m = { .seed = csfle__calloc(1, sizeof *m.seed) };
  *out = NULL;
  if (!m.seed) return csfle__nomem(err);
  csfle_buf_init(&m.name, 0, 0);
  csfle_buf_init(&m.text, 0, 0);
  csfle_status rc = csfle__backup_read(text, add, &m, err);
  csfle_buf_free(&m.name);
  csfle_buf_free(&m.text);
  if (rc == CSFLE_OK) *out = m.seed;
  else csfle__seed_free(m.seed);
  return rc;
}

void csfle__seed_free(csfle__seed *s)
{
  if (!s) return;
  csfle__map_free(&s->map, NULL);
  csfle__arena_free(&s->arena);
  csfle__free(s);
}

/* ---- requests */

/* a request's path, cut and then decoded; in an arena of its own */
typedef struct target {
  csfle__arena arena;
  csfle__bytes segments[MAX_SEGMENTS], query;
  size_t       count;
} target;

static int hex(uint8_t c)
{
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static csfle_status decoded(csfle__arena *a, csfle__bytes in, csfle__bytes *out, csfle_error *err)
{
  uint8_t *p = csfle__arena_alloc(a, in.len + 1);
  size_t   n = 0;
  if (!p) return csfle__nomem(err);
  for (size_t i = 0; i < in.len; i++) {
    int hi = in.ptr[i] == '%' && i + 2 < in.len ? hex(in.ptr[i + 1]) : -1, lo = hi >= 0 ? hex(in.ptr[i + 2]) : -1;
    if (lo >= 0) p[n++] = (uint8_t)(hi << 4 | lo), i += 2;
    else p[n++] = in.ptr[i];
  }
  *out = csfle__view(p, n);
  return CSFLE_OK;
}

static csfle_status cut(target *t, csfle__bytes path, csfle_error *err)
{
  const uint8_t *mark = path.len ? memchr(path.ptr, '?', path.len) : NULL;
  csfle_status   rc = CSFLE_OK;
  if (mark) {
    size_t n = (size_t)(mark - path.ptr);
    t->query = csfle__from(path, n + 1);
    path = csfle__view(path.ptr, n);
  }
  path = csfle__from(path, 1);
  while (path.len && rc == CSFLE_OK && t->count < MAX_SEGMENTS) {
    const uint8_t *slash = memchr(path.ptr, '/', path.len);
    size_t         n = slash ? (size_t)(slash - path.ptr) : path.len;
    rc = decoded(&t->arena, csfle__view(path.ptr, n), &t->segments[t->count++], err);
    path = csfle__from(path, n + 1);
  }
  return rc;
}

/* a query parameter; empty when there is none */
static csfle_status parameter(target *t, const char *name, csfle__bytes *out, csfle_error *err)
{
  csfle__bytes rest = t->query, want = csfle__str(name);
  *out = csfle__view("", 0);
  while (rest.len) {
    const uint8_t *amp = memchr(rest.ptr, '&', rest.len);
    csfle__bytes   one = csfle__view(rest.ptr, amp ? (size_t)(amp - rest.ptr) : rest.len);
    rest = csfle__from(rest, one.len + 1);
    if (one.len > want.len && one.ptr[want.len] == '=' && csfle__starts(one, want)) return decoded(&t->arena, csfle__from(one, want.len + 1), out, err);
  }
  return CSFLE_OK;
}

static bool is(const target *t, size_t at, const char *text) { return csfle__eq_str(t->segments[at], text); }

/* what is asked for: up to two names, the first that is there counts */
static csfle_status find(const csfle__seed *s, target *t, csfle_buf *name, const entry **out, csfle_error *err)
{
  csfle__bytes deleted, algorithm, subject;
  csfle_buf    plain;
  char         kinds[3] = "";
  csfle__bytes parts[5] = { CSFLE__NONE };

  csfle_buf_init(&plain, 0, 0);
  csfle_status rc = parameter(t, "deleted", &deleted, err);
  if (rc == CSFLE_OK) rc = parameter(t, "algorithm", &algorithm, err);
  if (rc == CSFLE_OK) rc = parameter(t, "subject", &subject, err);
  bool all = csfle__truthy(deleted);
  if (rc == CSFLE_OK && t->count == 3 && is(t, 0, "schemas") && is(t, 1, "ids")) {
    strcpy(kinds, "i");
    parts[0] = csfle__subject_parse(subject).context, parts[1] = t->segments[2];
  } else if (rc == CSFLE_OK && t->count == 3 && is(t, 0, "schemas") && is(t, 1, "guids")) {
    strcpy(kinds, "g");
    parts[0] = t->segments[2];
  } else if (rc == CSFLE_OK && t->count == 4 && is(t, 0, "subjects") && is(t, 2, "versions")) {
    bool latest = is(t, 3, "latest");
    strcpy(kinds, latest ? "s" : all ? "vV" : "v");
    rc = normal(&plain, t->segments[1], err);
    parts[0] = csfle__buf_view(&plain);
    if (!latest) parts[1] = t->segments[3];
  } else if (rc == CSFLE_OK && t->count >= 4 && is(t, 0, "dek-registry") && is(t, 1, "v1") && is(t, 2, "keks")) {
    parts[0] = t->segments[3];
    if (t->count == 4) {
      strcpy(kinds, all ? "kK" : "k");
    } else if (t->count == 8 && is(t, 4, "deks") && is(t, 6, "versions")) {
      bool latest = is(t, 7, "-1") || is(t, 7, "latest");
      strcpy(kinds, latest ? (all ? "m" : "l") : all ? "dD" : "d");
      rc = normal(&plain, t->segments[5], err);
      parts[1] = csfle__buf_view(&plain), parts[2] = algorithm.len ? algorithm : CSFLE__LIT("AES256_GCM");
      if (!latest) parts[3] = t->segments[7];
    }
  }
  for (const char *k = kinds; *k && !*out && rc == CSFLE_OK; k++) {
    rc = put_name(name, err, *k, parts);
    if (rc == CSFLE_OK) *out = csfle__map_get(&s->map, csfle__buf_view(name));
  }
  csfle_buf_free(&plain);
  return rc;
}

static csfle__next refuse(csfle_error *err, int http, const char *what)
{
  csfle__fail(err, CSFLE_E_SCHEMA, "the keys backup that takes the registry's place %s", what);
  if (err) err->http = http;
  return CSFLE__FAIL;
}

csfle__next csfle__seed_answer(const csfle__seed *s, csfle__rc_call *c, csfle_error *err)
{
  target       t = { .arena = CSFLE__ARENA_INIT };
  csfle_buf    name;
  const entry *found = NULL;

  if (strcmp(c->method, "GET") != 0) return refuse(err, 405, "cannot be written to");
  csfle_buf_init(&name, 0, 0);
  csfle_status rc = cut(&t, csfle__buf_view(&c->path), err);
  if (rc == CSFLE_OK) rc = find(s, &t, &name, &found, err);
  yyjson_doc_free(c->doc);
  c->doc = NULL;
  if (rc == CSFLE_OK && found) rc = csfle__json_parse(&c->doc, found->text, err);
  csfle_buf_free(&name);
  csfle__arena_free(&t.arena);
  if (rc != CSFLE_OK) return CSFLE__FAIL;
  c->status = found ? 200 : 404;
  return found ? CSFLE__DONE : refuse(err, 404, "has none of that name");
}
