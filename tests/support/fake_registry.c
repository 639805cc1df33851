/* A registry in memory. See fake_registry.h. */
#include "tests/support/fake_registry.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char *copy(const char *s) { return s ? strdup(s) : NULL; }

static int hex(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

char *csfle_fake_decode(const char *text, size_t len)
{
  char  *out = malloc(len + 1);
  size_t n = 0;
  for (size_t i = 0; i < len; i++) {
    if (text[i] == '%' && i + 2 < len && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) out[n++] = (char)(hex(text[i + 1]) << 4 | hex(text[i + 2])), i += 2;
    else out[n++] = text[i];
  }
  out[n] = 0;
  return out;
}

static void put_json(FILE *f, const char *s)
{
  putc('"', f);
  for (; *s; s++) {
    if (*s == '"' || *s == '\\') putc('\\', f), putc(*s, f);
    else if ((unsigned char)*s < 0x20) fprintf(f, "\\u%04x", *s);
    else putc(*s, f);
  }
  putc('"', f);
}

void csfle_fake_add_schema_type(csfle_fake *f, const char *subject, int id, int version, const char *type, const char *schema, const char *metadata, const char *rules)
{
  char  *text;
  size_t n;
  FILE  *o = open_memstream(&text, &n);
  fprintf(o, "\"guid\":\"00000000-0000-4000-8000-%012x\",\"schema\":", (unsigned)id);
  put_json(o, schema);
  if (type) fprintf(o, ",\"schemaType\":\"%s\"", type);
  if (metadata) fprintf(o, ",\"metadata\":%s", metadata);
  if (rules) fprintf(o, ",\"ruleSet\":%s", rules);
  fclose(o);
  pthread_mutex_lock(&f->lock);
  f->schemas = realloc(f->schemas, (f->schema_count + 1) * sizeof *f->schemas);
  f->schemas[f->schema_count++] = (csfle_fake_schema){ id, version, copy(subject), text };
  pthread_mutex_unlock(&f->lock);
}

void csfle_fake_add_schema(csfle_fake *f, const char *subject, int id, int version, const char *schema, const char *metadata, const char *rules)
{
  csfle_fake_add_schema_type(f, subject, id, version, NULL, schema, metadata, rules);
}

static void key_free(csfle_fake_key *k) { free(k->kek), free(k->subject), free(k->json), free(k->algorithm); }

static bool same(const char *a, const char *b) { return (!a && !b) || (a && b && strcmp(a, b) == 0); }

static csfle_fake_key *find_key(csfle_fake *f, const char *kek, const char *subject, const char *algorithm, int version)
{
  csfle_fake_key *best = NULL;
  for (size_t i = 0; i < f->key_count; i++) {
    csfle_fake_key *k = &f->keys[i];
    if (!same(k->kek, kek) || !same(k->subject, subject) || (subject && !same(k->algorithm, algorithm))) continue;
    if (!subject || k->version == version) return k;
    if (version == -1 && (!best || k->version > best->version)) best = k;
  }
  return best;
}

static const char *text_of(yyjson_val *o, const char *name) { return yyjson_get_str(yyjson_obj_get(o, name)); }

static void add_key(csfle_fake *f, const char *json, bool dek)
{
  yyjson_doc    *d = yyjson_read(json, strlen(json), 0);
  yyjson_val    *o = yyjson_doc_get_root(d);
  const char    *algorithm = text_of(o, "algorithm");
  csfle_fake_key k = { copy(text_of(o, dek ? "kekName" : "name")), dek ? copy(text_of(o, "subject")) : NULL, copy(json),
                       dek ? copy(algorithm ? algorithm : "AES256_GCM") : NULL, dek ? (int)yyjson_get_int(yyjson_obj_get(o, "version")) : 0 };
  yyjson_doc_free(d);
  csfle_fake_key *old = find_key(f, k.kek, k.subject, k.algorithm, k.version);
  if (old) {
    key_free(old);
    *old = k;
    return;
  }
  f->keys = realloc(f->keys, (f->key_count + 1) * sizeof *f->keys);
  f->keys[f->key_count++] = k;
}

void csfle_fake_add_kek(csfle_fake *f, const char *json)
{
  pthread_mutex_lock(&f->lock);
  add_key(f, json, false);
  pthread_mutex_unlock(&f->lock);
}

void csfle_fake_add_dek(csfle_fake *f, const char *json)
{
  pthread_mutex_lock(&f->lock);
  add_key(f, json, true);
  pthread_mutex_unlock(&f->lock);
}

void csfle_fake_drop_keys(csfle_fake *f)
{
  pthread_mutex_lock(&f->lock);
  for (size_t i = 0; i < f->key_count; i++) key_free(&f->keys[i]);
  f->key_count = 0;
  pthread_mutex_unlock(&f->lock);
}

void csfle_fake_script(csfle_fake *f, const char *method, const char *path, int status, const char *body)
{
  f->script = realloc(f->script, (f->script_count + 1) * sizeof *f->script);
  f->script[f->script_count++] = (csfle_fake_line){ copy(method), copy(path), copy(body), status };
}

size_t csfle_fake_count(csfle_fake *f, const char *prefix)
{
  size_t n = 0;
  pthread_mutex_lock(&f->lock);
  for (size_t i = 0; i < f->request_count; i++) n += strncmp(f->requests[i], prefix, strlen(prefix)) == 0;
  pthread_mutex_unlock(&f->lock);
  return n;
}

/* An answer under way. */
typedef struct answer {
  int   status;
  char *body; /* malloc */
} answer;

static answer say(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static answer say(int status, const char *fmt, ...)
{
  answer  a = { status, NULL };
  va_list ap;
  va_start(ap, fmt);
  if (vasprintf(&a.body, fmt, ap) < 0) abort();
  va_end(ap);
  return a;
}

static answer not_found(int code) { return say(404, "{\"error_code\":%d,\"message\":\"not found\"}", code); }

static answer schema_answer(const csfle_fake_schema *s, bool with_id)
{
  if (with_id) return say(200, "{\"subject\":\"%s\",\"version\":%d,\"id\":%d,%s}", s->subject, s->version, s->id, s->json);
  return say(200, "{%s,\"subject\":\"%s\",\"version\":%d,\"maxId\":100}", s->json, s->subject, s->version);
}

static answer on_schemas(csfle_fake *f, const char *method, char **seg, size_t n, const char *body)
{
  if (n >= 3 && strcmp(seg[0], "schemas") == 0) {
    for (size_t i = 0; i < f->schema_count; i++)
      if (strcmp(seg[1], "ids") == 0 ? f->schemas[i].id == atoi(seg[2]) : strstr(f->schemas[i].json, seg[2]) != NULL)
        return schema_answer(&f->schemas[i], strcmp(seg[1], "guids") == 0);
    return not_found(40403);
  }
  const csfle_fake_schema *best = NULL;
  bool                     post = strcmp(method, "POST") == 0;
  for (size_t i = 0; i < f->schema_count; i++) {
    const csfle_fake_schema *s = &f->schemas[i];
    if (strcmp(s->subject, seg[1]) != 0) continue;
    if (post) {
      /* by content: the schema text as it was added */
      yyjson_doc *d = yyjson_read(body, strlen(body), 0), *e;
      char       *whole;
      if (asprintf(&whole, "{%s}", s->json) < 0) abort();
      e = yyjson_read(whole, strlen(whole), 0);
      bool equal = same(text_of(yyjson_doc_get_root(d), "schema"), text_of(yyjson_doc_get_root(e), "schema"));
      yyjson_doc_free(d), yyjson_doc_free(e), free(whole);
      if (equal && n == 3) return say(200, "{\"id\":%d}", s->id);
      if (equal) return schema_answer(s, true);
    } else if (n == 4 && (strcmp(seg[3], "latest") == 0 ? !best || s->version > best->version : s->version == atoi(seg[3]))) {
      best = s;
    }
  }
  if (post && n == 3) {
    yyjson_doc *d = yyjson_read(body, strlen(body), 0);
    const char *text = text_of(yyjson_doc_get_root(d), "schema");
    int         id = 1000 + (int)f->schema_count, version = 1;
    for (size_t i = 0; i < f->schema_count; i++) version += strcmp(f->schemas[i].subject, seg[1]) == 0;
    pthread_mutex_unlock(&f->lock);
    csfle_fake_add_schema(f, seg[1], id, version, text, NULL, NULL);
    pthread_mutex_lock(&f->lock);
    yyjson_doc_free(d);
    return say(200, "{\"id\":%d}", id);
  }
  return best ? schema_answer(best, true) : not_found(post ? 40403 : 40401);
}

static const char *query(const char *q, const char *name, char *buf, size_t size)
{
  size_t n = strlen(name);
  while (q && *q) {
    const char *end = strchr(q, '&');
    size_t      len = end ? (size_t)(end - q) : strlen(q);
    if (len > n && strncmp(q, name, n) == 0 && q[n] == '=') return snprintf(buf, size, "%.*s", (int)(len - n - 1), q + n + 1), buf;
    q = end ? end + 1 : NULL;
  }
  return "";
}

static answer on_keys(csfle_fake *f, const char *method, char **seg, size_t n, const char *q, const char *body)
{
  char            buf[64];
  csfle_fake_key *k;
  bool            post = strcmp(method, "POST") == 0;
  yyjson_doc     *d = post ? yyjson_read(body, strlen(body), 0) : NULL;
  yyjson_val     *o = yyjson_doc_get_root(d);
  answer          a = { 0, NULL };
  if (n == 3 && post) {
    k = find_key(f, text_of(o, "name"), NULL, NULL, 0);
    if (k) {
      a = say(409, "{\"error_code\":40971,\"message\":\"Key already exists\"}");
    } else {
      char *json;
      if (asprintf(&json, "{\"name\":\"%s\",\"kmsType\":\"%s\",\"kmsKeyId\":\"%s\",\"kmsProps\":{},\"shared\":false,\"ts\":%lld}", text_of(o, "name"),
                   text_of(o, "kmsType"), text_of(o, "kmsKeyId"), (long long)(f->now_ms - f->behind_ms)) < 0) abort();
      add_key(f, json, false);
      a = (answer){ 200, json };
    }
  } else if (n == 4 && !post) {
    k = find_key(f, seg[3], NULL, NULL, 0);
    if (k) a = say(200, "%s", k->json);
  } else if (n == 8 && !post) {
    k = find_key(f, seg[3], seg[5], query(q, "algorithm", buf, sizeof buf), atoi(seg[7]));
    if (k) a = say(200, "%s", k->json);
  } else if (n >= 5 && post) {
    const char *subject = n == 6 ? seg[5] : text_of(o, "subject"), *algorithm = text_of(o, "algorithm"), *wrapped = text_of(o, "encryptedKeyMaterial");
    int         version = (int)yyjson_get_int(yyjson_obj_get(o, "version"));
    k = find_key(f, seg[3], subject, algorithm, version ? version : 1);
    if (k) {
      a = say(409, "{\"error_code\":40971,\"message\":\"Key already exists\"}");
    } else {
      char *json;
      f->dek_creates++;
      if (asprintf(&json, "{\"kekName\":\"%s\",\"subject\":\"%s\",\"version\":%d,\"algorithm\":\"%s\",\"encryptedKeyMaterial\":\"%s\",\"ts\":%lld}", seg[3], subject,
                   version ? version : 1, algorithm, wrapped ? wrapped : "", (long long)(f->now_ms - f->behind_ms)) < 0) abort();
      add_key(f, json, true);
      a = (answer){ 200, json };
    }
  }
  yyjson_doc_free(d);
  return a.status ? a : not_found(40470);
}

static answer on_state(csfle_fake *f, const char *method, const char *path, const char *body)
{
  char       *seg[10];
  size_t      n = 0;
  const char *q = strchr(path, '?'), *end = q ? q : path + strlen(path), *p = path + 1;
  while (p <= end && n < 10) {
    const char *slash = memchr(p, '/', (size_t)(end - p)), *stop = slash ? slash : end;
    seg[n++] = csfle_fake_decode(p, (size_t)(stop - p));
    p = stop + 1;
  }
  answer a = n >= 3 && strcmp(seg[0], "dek-registry") == 0 ? on_keys(f, method, seg, n, q ? q + 1 : NULL, body) : n >= 2 ? on_schemas(f, method, seg, n, body) : not_found(404);
  while (n) free(seg[--n]);
  return a;
}

static void start(void *opaque, csfle_exchange *x)
{
  csfle_fake *f = opaque;
  size_t      n;
  const char *method = csfle_exchange_part(x, CSFLE_X_METHOD, NULL), *url = csfle_exchange_part(x, CSFLE_X_URL, NULL);
  const char *body = csfle_exchange_part(x, CSFLE_X_BODY, &n), *host = strstr(url, "//"), *path = host ? strchr(host + 2, '/') : NULL;
  const char *text = NULL;
  answer      a = { 0, NULL };
  char       *line, *sent = body ? strndup(body, n) : strdup("");
  if (!path) path = "/";
  if (asprintf(&line, "%s %s %s", method, path, sent) < 0) abort();
  pthread_mutex_lock(&f->lock);
  f->requests = realloc(f->requests, (f->request_count + 1) * sizeof *f->requests);
  f->headers = realloc(f->headers, (f->request_count + 1) * sizeof *f->headers);
  f->requests[f->request_count] = line;
  f->headers[f->request_count++] = strdup(csfle_exchange_part(x, CSFLE_X_HEADERS, NULL));
  int status = f->hook ? f->hook(f, method, path, &text) : 0;
  if (status > 0) a = say(status, "%s", text ? text : "");
  else if (!f->hook && f->script_at < f->script_count) a = say(f->script[f->script_at].status, "%s", f->script[f->script_at].body), f->script_at++;
  else if (status == 0) a = on_state(f, method, path, sent);
  char date[64] = "";
  if (f->says_date) {
    time_t    now = (f->now_ms - f->behind_ms) / 1000;
    struct tm tm;
    strftime(date, sizeof date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime_r(&now, &tm));
  }
  pthread_mutex_unlock(&f->lock);
  csfle_exchange_address(x, "\xc0\0\2\1", 4);
  csfle_exchange_done(x, a.status, date, a.body, a.body ? strlen(a.body) : 0, status < 0 ? "connection refused" : NULL);
  free(a.body);
  free(sent);
}

static void cancel(void *opaque, csfle_exchange *x) { (void)opaque, (void)x; }

static int64_t fake_wall(void *opaque) { return ((csfle_fake *)opaque)->now_ms; }
static int64_t fake_mono(void *opaque) { return ((csfle_fake *)opaque)->mono_ms; }

void csfle_fake_init(csfle_fake *f)
{
  memset(f, 0, sizeof *f);
  f->transport = (csfle_transport){ sizeof f->transport, f, start, cancel, CSFLE_TRANSPORT_ASKS_ADDRESSES };
  f->clock = (csfle__clock){ fake_wall, fake_mono, f };
  f->now_ms = 1700000000000;
  f->mono_ms = 1000000;
  pthread_mutex_init(&f->lock, NULL);
}

void csfle_fake_free(csfle_fake *f)
{
  for (size_t i = 0; i < f->schema_count; i++) free(f->schemas[i].subject), free(f->schemas[i].json);
  for (size_t i = 0; i < f->key_count; i++) key_free(&f->keys[i]);
  for (size_t i = 0; i < f->request_count; i++) free(f->requests[i]), free(f->headers[i]);
  for (size_t i = 0; i < f->script_count; i++) free(f->script[i].method), free(f->script[i].path), free(f->script[i].body);
  free(f->schemas), free(f->keys), free(f->requests), free(f->headers), free(f->script);
  pthread_mutex_destroy(&f->lock);
}
