/* One request to the registry. See call.h. */
#include "client/regclient/call.h"
#include "client/regclient/seed.h"
#include "core/base/alloc.h"
#include "core/base/base64.h"

#include <stdlib.h>
#include <string.h>

#define MAX_BODY_TEXT 160

static int hex(uint8_t c)
{
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static csfle_status take_url(csfle__rc *rc, csfle__bytes url, csfle_error *err)
{
  csfle__rc_url *u = &rc->urls[rc->url_count];
  const uint8_t *slashes = memchr(url.ptr, '/', url.len);
  size_t         scheme = slashes ? (size_t)(slashes - url.ptr) + 2 : 0;
  csfle__bytes   rest = csfle__from(url, scheme), user = CSFLE__NONE;
  size_t         authority = 0;
  while (authority < rest.len && rest.ptr[authority] != '/' && rest.ptr[authority] != '?') authority++;
  for (size_t i = authority; i-- > 0;)
    if (rest.ptr[i] == '@') {
      user = csfle__view(rest.ptr, i), rest = csfle__from(rest, i + 1);
      break;
    }
  while (rest.len && rest.ptr[rest.len - 1] == '/') rest.len--;
  if (!rest.len) return csfle__fail(err, CSFLE_E_CONFIG, "'schema.registry.url' has a URL without a host");
  u->base = csfle__alloc(scheme + rest.len + 1);
  if (!u->base) return csfle__nomem(err);
  memcpy(u->base, url.ptr, scheme);
  memcpy(u->base + scheme, rest.ptr, rest.len);
  u->base[scheme + rest.len] = 0;
  rc->url_count++;
  if (!user.len) return CSFLE_OK;
  csfle_status st = csfle__secret_make(&u->basic, user.len, err);
  if (st != CSFLE_OK) return st;
  size_t n = 0;
  for (size_t i = 0; i < user.len; i++) {
    int hi = i + 2 < user.len ? hex(user.ptr[i + 1]) : -1, lo = hi >= 0 ? hex(user.ptr[i + 2]) : -1;
    if (user.ptr[i] == '%' && lo >= 0) u->basic.ptr[n++] = (uint8_t)(hi << 4 | lo), i += 2;
    else u->basic.ptr[n++] = user.ptr[i];
  }
  csfle__secret cut = CSFLE__SECRET_INIT;
  st = csfle__secret_copy(&cut, csfle__view(u->basic.ptr, n), err);
  if (st == CSFLE_OK) csfle__secret_move(&u->basic, &cut);
  return st;
}

static csfle_status put_basic(csfle_buf *b, csfle__bytes pair, csfle_error *err)
{
  csfle_status rc = csfle__buf_puts(b, "Authorization: Basic ", err);
  if (rc == CSFLE_OK) rc = csfle__buf_reserve(b, csfle__base64_len(pair.len), err);
  if (rc != CSFLE_OK) return rc;
  csfle__base64_encode(pair, (char *)b->ptr + b->len);
  b->len += csfle__base64_len(pair.len);
  return csfle__buf_puts(b, "\r\n", err);
}

csfle_status csfle__rc_init(csfle__rc *rc, const csfle__world *w, csfle__bytes urls, const char *user_info,
                            csfle__bytes headers, csfle_error *err)
{
  size_t count = 1;
  for (size_t i = 0; i < urls.len; i++) count += urls.ptr[i] == ',';
  *rc = (csfle__rc){ .max_retries = 3, .wait_ms = 1000, .max_wait_ms = 20000, .timeout_ms = 60000, .world = *w };
  csfle_buf_init(&rc->headers, 0, CSFLE_BUF_WIPE);
  rc->urls = csfle__calloc(count, sizeof *rc->urls);
  csfle_status st = rc->urls ? CSFLE_OK : csfle__nomem(err);
  while (st == CSFLE_OK && urls.len) {
    const uint8_t *comma = memchr(urls.ptr, ',', urls.len);
    size_t         n = comma ? (size_t)(comma - urls.ptr) : urls.len;
    csfle__bytes   one = csfle__trim(csfle__view(urls.ptr, n));
    if (one.len) st = take_url(rc, one, err);
    urls = csfle__from(urls, n + 1);
  }
  if (st == CSFLE_OK)
    st = csfle__buf_puts(&rc->headers,
                         "Content-Type: application/vnd.schemaregistry.v1+json\r\n"
                         "Accept: application/vnd.schemaregistry.v1+json\r\n"
                         "Confluent-Accept-Unknown-Properties: true\r\n"
                         "Confluent-Client-Version: c/" CSFLE_VERSION_TEXT "\r\n",
                         err);
  if (st == CSFLE_OK && user_info) st = put_basic(&rc->headers, csfle__str(user_info), err);
  if (st == CSFLE_OK) st = csfle__buf_put(&rc->headers, headers.ptr, headers.len, err);
  if (st != CSFLE_OK) csfle__rc_free(rc);
  return st;
}

void csfle__rc_free(csfle__rc *rc)
{
  for (size_t i = 0; i < rc->url_count; i++) {
    csfle__free(rc->urls[i].base);
    csfle__secret_wipe(&rc->urls[i].basic);
  }
  csfle__free(rc->urls);
  csfle_buf_free(&rc->headers);
  csfle__seed_free(rc->seed);
  rc->urls = NULL, rc->url_count = 0, rc->seed = NULL;
}

void csfle__rc_call_init(csfle__rc_call *c, const char *method)
{
  *c = (csfle__rc_call){ .method = method };
  csfle__io_init(&c->io);
  csfle_buf_init(&c->path, 0, 0);
  csfle_buf_init(&c->body, 0, 0);
}

void csfle__rc_call_free(csfle__rc_call *c)
{
  csfle__io_free(&c->io);
  csfle_buf_free(&c->path);
  csfle_buf_free(&c->body);
  yyjson_doc_free(c->doc);
  c->doc = NULL;
}

static csfle_status build(csfle__rc *rc, csfle__rc_call *c, csfle_error *err)
{
  const csfle__rc_url *u = &rc->urls[(c->first + c->tried) % rc->url_count];
  csfle__io_reset(&c->io);
  csfle__request *q = &c->io.request;
  q->method = c->method, q->purpose = "registry", q->timeout_ms = rc->timeout_ms, q->has_body = c->body.len > 0;
  csfle_status st = csfle__buf_puts(&q->url, u->base, err);
  if (st == CSFLE_OK) st = csfle__buf_put(&q->url, c->path.ptr, c->path.len, err);
  if (st == CSFLE_OK) st = csfle__buf_put(&q->headers, rc->headers.ptr, rc->headers.len, err);
  if (st == CSFLE_OK && u->basic.len) st = put_basic(&q->headers, csfle__secret_view(&u->basic), err);
  if (st == CSFLE_OK) st = csfle__buf_put(&q->body, c->body.ptr, c->body.len, err);
  return st;
}

static bool retriable(int status)
{
  return status == 0 || status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

static csfle_status class_of(int status)
{
  switch (status) {
  case 401: return CSFLE_E_UNAUTHENTICATED;
  case 403: return CSFLE_E_FORBIDDEN;
  case 429: return CSFLE_E_THROTTLED;
  case 408: case 500: case 502: case 503: case 504: return CSFLE_E_UNAVAILABLE;
  default: return CSFLE_E_SCHEMA;
  }
}

/* The registry's sentence in one line without control characters. */
static void clean(csfle__bytes text, char *out, size_t size)
{
  size_t n = 0;
  for (size_t i = 0; i < text.len && n + 1 < size; i++) out[n++] = text.ptr[i] < 0x20 || text.ptr[i] == 0x7f ? ' ' : (char)text.ptr[i];
  out[n] = 0;
}

static void fail_call(const csfle__rc *rc, const csfle__rc_call *c, csfle_error *err)
{
  const csfle__reply *r = &c->io.reply;
  csfle_status        code = class_of(r->status);
  const char         *base = rc->urls[(c->first + c->tried) % rc->url_count].base;
  char                text[MAX_BODY_TEXT + 1];
  if (r->status == 0) {
    code = csfle__reply_failed(r, NULL);
    if (code == CSFLE_E_NOMEM) csfle__nomem(err);
    else csfle__fail(err, code, "no reply from %.120s: %s", base, r->failure[0] ? r->failure : "unknown failure");
    return;
  }
  yyjson_doc  *doc = NULL;
  csfle_error  ignored = CSFLE_ERROR_INIT;
  int64_t      remote = 0;
  csfle_status parsed = csfle__json_parse(&doc, csfle__buf_view(&r->body), &ignored);
  yyjson_val  *root = parsed == CSFLE_OK ? yyjson_doc_get_root(doc) : NULL;
  if (parsed == CSFLE_E_NOMEM) {
    csfle__nomem(err);
    return;
  }
  if (root && csfle__json_i64(csfle__json_member(root, "error_code"), &remote)) {
    clean(csfle__json_member_text(root, "message"), text, sizeof text);
    csfle__fail(err, code, "registry %.120s answered %d: %s; error code: %lld", base, r->status, text, (long long)remote);
  } else {
    /* the body is not repeated: a proxy's page may hold anything */
    remote = 50005;
    csfle__fail(err, code, "registry %.120s answered %d with a body that is no registry error; error code: 50005", base, r->status);
  }
  yyjson_doc_free(doc);
  if (err) {
    csfle__bytes after = csfle__header(csfle__buf_view(&r->headers), "Retry-After");
    int64_t      s;
    err->http = r->status, err->remote_code = (int32_t)remote;
    if (CSFLE_CLASS(code) == CSFLE_CLASS_WAIT && csfle__parse_i64(csfle__trim(after), &s) && s > 0 && s < 86400)
      err->retry_after_ms = (uint32_t)s * 1000;
  }
}

csfle__next csfle__rc_step(csfle__rc *rc, csfle__rc_call *c, csfle_error *err)
{
  if (rc->seed) return csfle__seed_answer(rc->seed, c, err);
  CSFLE__BEGIN(c);
  c->first = rc->last;
  for (c->tried = 0;;) {
    for (c->attempt = 0;; c->attempt++) {
      if (build(rc, c, err) != CSFLE_OK) return CSFLE__FAIL;
      CSFLE__STOP(c, CSFLE__SEND);
      c->status = c->io.reply.status;
      if (!retriable(c->status)) goto answered;
      if (!c->status && csfle__reply_failed(&c->io.reply, NULL) == CSFLE_E_NOMEM) {
        csfle__nomem(err);
        return CSFLE__FAIL;
      }
      if (c->attempt >= rc->max_retries) break;
      {
        /* full jitter: 1 .. min(wait * 2^n, max) */
        uint64_t bound = (uint64_t)rc->wait_ms << (c->attempt < 20 ? c->attempt : 20);
        if (bound > rc->max_wait_ms) bound = rc->max_wait_ms;
        c->io.wait_until_ms = csfle__mono_ms(&rc->world) + (bound ? 1 + (int64_t)rc->world.random((uint32_t)bound) : 0);
      }
      csfle__log_line(&rc->world.log, 6, "registry", "%s answered %d, retry %u of %u", rc->urls[(c->first + c->tried) % rc->url_count].base,
                      c->status, c->attempt + 1, rc->max_retries);
      CSFLE__STOP(c, CSFLE__WAIT);
    }
    if (c->tried + 1 >= rc->url_count) {
      fail_call(rc, c, err);
      return CSFLE__FAIL;
    }
    c->tried++;
  }
answered:
  rc->last = (c->first + c->tried) % rc->url_count;
  if (c->status < 200 || c->status > 299) {
    fail_call(rc, c, err);
    return CSFLE__FAIL;
  }
  yyjson_doc_free(c->doc);
  c->doc = NULL;
  if (c->status == 204) return CSFLE__DONE;
  if (csfle__json_parse(&c->doc, csfle__buf_view(&c->io.reply.body), err) != CSFLE_OK) {
    if (err && err->code != CSFLE_E_NOMEM) {
      csfle__fail(err, CSFLE_E_SCHEMA, "registry %.120s answered %d with a body that is not JSON",
                  rc->urls[(c->first + c->tried) % rc->url_count].base, c->status);
      err->http = c->status;
    }
    return CSFLE__FAIL;
  }
  return CSFLE__DONE;
  CSFLE__END;
  csfle__fail(err, CSFLE_E_INTERNAL, "request stepped after its end");
  return CSFLE__FAIL;
}
