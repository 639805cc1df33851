/* What the HTTP drivers share. See http.h. */
#include "core/kms/http.h"
#include "core/base/alloc.h"
#include "core/base/base64.h"
#include "core/crypt/random.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#define MAX_TRIES    3
#define BACKOFF_MS   100
#define MAX_WAIT_MS  30000

/* ---- requests */

void csfle__http_start(csfle__io *io, const char *method, uint32_t timeout_ms)
{
  csfle__io_reset(io);
  io->request.method = method;
  io->request.purpose = "kms";
  io->request.timeout_ms = timeout_ms;
}

bool csfle__http_printable(csfle__bytes value)
{
  for (size_t i = 0; i < value.len; i++)
    if (value.ptr[i] < ' ' || value.ptr[i] == 0x7f) return false;
  return true;
}

csfle_status csfle__http_header(csfle__io *io, const char *name, csfle__bytes value, csfle_error *err)
{
  if (!csfle__http_printable(value)) return csfle__fail(err, CSFLE_E_CONFIG, "value of the header %s has a control character in it", name);
  csfle_buf   *b = &io->request.headers;
  csfle_status rc = csfle__buf_puts(b, name, err);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(b, ": ", err);
  if (rc == CSFLE_OK) rc = csfle__buf_put(b, value.ptr, value.len, err);
  return rc == CSFLE_OK ? csfle__buf_puts(b, "\r\n", err) : rc;
}

csfle_status csfle__http_encode(csfle_buf *b, csfle__bytes text, csfle_error *err)
{
  static const char hex[] = "0123456789ABCDEF";
  csfle_status      rc = csfle__buf_reserve(b, text.len * 3, err);
  for (size_t i = 0; rc == CSFLE_OK && i < text.len; i++) {
    uint8_t c = text.ptr[i];
    bool    plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) b->ptr[b->len++] = c;
    else b->ptr[b->len++] = '%', b->ptr[b->len++] = (uint8_t)hex[c >> 4], b->ptr[b->len++] = (uint8_t)hex[c & 15];
  }
  return rc;
}

csfle_status csfle__http_form(csfle_buf *b, const char *name, csfle__bytes value, csfle_error *err)
{
  csfle_status rc = b->len && b->ptr[b->len - 1] != '?' ? csfle__buf_putc(b, '&', err) : CSFLE_OK;
  if (rc == CSFLE_OK) rc = csfle__http_encode(b, csfle__str(name), err);
  if (rc == CSFLE_OK) rc = csfle__buf_putc(b, '=', err);
  return rc == CSFLE_OK ? csfle__http_encode(b, value, err) : rc;
}

csfle_status csfle__http_base64(csfle_buf *b, csfle__bytes in, csfle_error *err)
{
  size_t       n = csfle__base64_len(in.len);
  csfle_status rc = csfle__buf_reserve(b, n, err);
  if (rc != CSFLE_OK) return rc;
  csfle__base64_encode(in, (char *)b->ptr + b->len);
  b->len += n;
  return CSFLE_OK;
}

csfle_status csfle__http_base64url(csfle_buf *b, csfle__bytes in, csfle_error *err)
{
  size_t       from = b->len;
  csfle_status rc = csfle__http_base64(b, in, err);
  while (b->len > from && b->ptr[b->len - 1] == '=') b->len--;
  for (size_t i = from; i < b->len; i++) b->ptr[i] = b->ptr[i] == '+' ? '-' : b->ptr[i] == '/' ? '_' : b->ptr[i];
  return rc;
}

bool csfle__http_unbase64(csfle__bytes text, csfle__secret *out, csfle_status *rc)
{
  csfle__secret room = CSFLE__SECRET_INIT;
  size_t        n = 0;
  csfle__secret_wipe(out);
  *rc = CSFLE_OK;
  if (!text.len) return false;
  *rc = csfle__secret_make(&room, text.len / 4 * 3 + 3, NULL);
  if (*rc == CSFLE_OK && csfle__base64_decode(text, room.ptr, &n) && n) *rc = csfle__secret_copy(out, csfle__view(room.ptr, n), NULL);
  csfle__secret_wipe(&room);
  return *rc == CSFLE_OK && n != 0;
}

csfle_status csfle__http_tls_set(csfle__http_tls *t, int which, csfle__bytes path, csfle_error *err)
{
  const char **to = which == CSFLE__TLS_CA ? &t->tls.ca_file : which == CSFLE__TLS_CERT ? &t->tls.cert_file : &t->tls.key_file;
  if (!path.len) return CSFLE_OK;
  csfle__free((char *)*to);
  *to = csfle__dup(path.ptr, path.len);
  t->any = true;
  return *to ? CSFLE_OK : csfle__nomem(err);
}

void csfle__http_tls_free(csfle__http_tls *t)
{
  csfle__free((char *)t->tls.ca_file), csfle__free((char *)t->tls.cert_file), csfle__free((char *)t->tls.key_file);
  *t = (csfle__http_tls){ .any = false };
}

csfle_status csfle__http_own_file(csfle__secret *out, const csfle__kms_props *props, const char *name, csfle_error *err)
{
  const char *v = csfle__kms_prop(props, name), *own = csfle__kms_own_prop(props, name);
#ifdef CSFLE_BREAK_KEK_NAMES_FILES
  own = v;
#endif
  if (v && *v && (!own || strcmp(v, own) != 0)) return csfle__fail(err, CSFLE_E_CONFIG, "'%s' names a file of this machine: the operator may set it, a KEK may not", name);
  return own && *own ? csfle__secret_copy(out, csfle__str(own), err) : CSFLE_OK;
}

/* ---- replies */

/* The first line only: what follows it may be the canonical request, with a session token in it. */
void csfle__http_line(char *out, size_t size, csfle__bytes from)
{
  const uint8_t *line = from.len ? memchr(from.ptr, '\n', from.len) : NULL;
  if (line) from.len = (size_t)(line - from.ptr);
  size_t n = from.len < size - 1 ? from.len : size - 1;
  while (n && n < from.len && (from.ptr[n] & 0xc0) == 0x80) n--; /* not inside a character */
  for (size_t i = 0; i < n; i++) out[i] = (char)(from.ptr[i] < ' ' || from.ptr[i] == 0x7f ? ' ' : from.ptr[i]);
  out[n] = 0;
}

csfle__bytes csfle__xml_text(csfle__bytes xml, const char *name)
{
  size_t n = strlen(name);
  for (size_t i = 0; i + n + 2 <= xml.len; i++) {
    if (xml.ptr[i] != '<' || memcmp(xml.ptr + i + 1, name, n) != 0 || xml.ptr[i + 1 + n] != '>') continue;
    size_t from = i + n + 2;
    for (size_t j = from; j + n + 3 <= xml.len; j++)
      if (xml.ptr[j] == '<' && xml.ptr[j + 1] == '/' && memcmp(xml.ptr + j + 2, name, n) == 0 && xml.ptr[j + 2 + n] == '>')
        return csfle__trim(csfle__view(xml.ptr + from, j - from));
    break;
  }
  return CSFLE__NONE;
}

static csfle__bytes first_text(yyjson_val *o, const char *const *names)
{
  for (; *names; names++) {
    csfle__bytes t = csfle__json_member_text(o, *names);
    if (t.len) return t;
  }
  return CSFLE__NONE;
}

/* "com.amazonaws.kms#AccessDeniedException:http://..." */
static csfle__bytes bare_code(csfle__bytes c)
{
  for (size_t i = 0; i < c.len; i++)
    if (c.ptr[i] == '#') {
      c = csfle__from(c, i + 1);
      break;
    }
  for (size_t i = 0; i < c.len; i++)
    if (c.ptr[i] == ':') return csfle__view(c.ptr, i);
  return c;
}

/* Vault's "2 errors occurred:\n\t* permission denied\n\t* ...": the first of them */
static csfle__bytes first_of_several(csfle__bytes t)
{
  const uint8_t *line = t.len ? memchr(t.ptr, '\n', t.len) : NULL;
  size_t         n = line ? (size_t)(line - t.ptr) : 0;
  if (n < 9 || memcmp(line - 9, "occurred:", 9) != 0) return t;
  for (n++; n < t.len && (t.ptr[n] == '\t' || t.ptr[n] == ' ' || t.ptr[n] == '*'); n++) {}
  return csfle__from(t, n);
}

csfle__http_words csfle__http_vendor(const csfle__reply *r)
{
  static const char *const codes[] = { "__type", "code", "Code", "status", "error", NULL };
  static const char *const messages[] = { "message", "Message", "error_description", "errorMessage", NULL };
  csfle__http_words        w = { "", "" };
  csfle__bytes             body = csfle__trim(csfle__buf_view(&r->body));
  yyjson_doc              *doc = NULL;
  csfle__bytes             type = csfle__header(csfle__buf_view(&r->headers), "x-amzn-ErrorType");
  if (body.len && body.ptr[0] == '<') {
    csfle__http_line(w.code, sizeof w.code, bare_code(csfle__xml_text(body, "Code")));
    csfle__http_line(w.message, sizeof w.message, csfle__xml_text(body, "Message"));
  } else if (body.len && body.ptr[0] == '{' && csfle__json_parse(&doc, body, NULL) == CSFLE_OK) {
    yyjson_val *root = yyjson_doc_get_root(doc), *inner = csfle__json_member(root, "error"), *list = csfle__json_member(root, "errors");
    if (yyjson_is_obj(inner)) root = inner;
    csfle__http_line(w.code, sizeof w.code, bare_code(first_text(root, codes)));
    csfle__http_line(w.message, sizeof w.message, yyjson_is_arr(list) ? first_of_several(csfle__json_text(yyjson_arr_get_first(list))) : first_text(root, messages));
    yyjson_doc_free(doc);
  }
  if (!w.code[0] && type.len) csfle__http_line(w.code, sizeof w.code, bare_code(type));
  return w;
}

static bool never_came(const csfle__reply *r, const char *why) { return r->status == 0 && strncmp(r->failure, why, strlen(why)) == 0; }

bool csfle__http_transient(const csfle__reply *r)
{
  switch (r->status) {
  case 0: {
    csfle_status code = csfle__reply_failed(r, NULL);
    return code == CSFLE_E_TIMEOUT || (code == CSFLE_E_UNAVAILABLE && !never_came(r, "reply ") && !never_came(r, "there is no transport") && !never_came(r, CSFLE__UNTRUSTED));
  }
  case 408: case 429: case 500: case 502: case 503: case 504: return true;
  default: return false;
  }
}

/* milliseconds that the server asks for; -1: it does not say */
static int64_t retry_after(const csfle__kms_call *call)
{
  csfle__bytes h = csfle__header(csfle__buf_view(&call->io.reply.headers), "Retry-After");
  int64_t      v;
  if (!h.len) return -1;
  if (csfle__parse_i64(h, &v)) return v < 0 ? -1 : v > 86400 ? 86400000 : v * 1000;
  if (!csfle__time_http(h, &v)) return -1;
  return v <= call->now_ms ? 0 : v - call->now_ms > 86400000 ? 86400000 : v - call->now_ms;
}

bool csfle__http_again(csfle__kms_call *call, unsigned *tries, bool transient)
{
  int64_t  asked = retry_after(call), wait = BACKOFF_MS << *tries;
  uint32_t random = 0;
  ++*tries;
  if (!transient || *tries >= MAX_TRIES || asked > MAX_WAIT_MS) return false;
  if (csfle__random_fill((uint8_t *)&random, sizeof random) != 1) random = UINT32_MAX; /* no jitter then, but a wait */
  call->io.wait_until_ms = call->mono_ms + (asked > 0 ? asked : 1 + (int64_t)(random % (uint32_t)wait));
  return true;
}

csfle_status csfle__http_failf(const csfle__http_about *a, csfle_status code, csfle_error *err, const char *fmt, ...)
{
  char    text[352];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  return csfle__fail(err, code, "%s key '%.*s': %s: %s", a->kms, a->key_id.len > 110 ? 110 : (int)a->key_id.len, (const char *)a->key_id.ptr, a->operation, text);
}

/* ---- what a vendor says of the request, without the request */

static int hex_of(uint8_t c) { return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1; }

/* the one spelling of what may be written as base64, base64url and with percent signs */
static size_t plain_spelling(char *text, size_t len)
{
  size_t n = 0;
  for (size_t i = 0; i < len; i++) {
    int h = text[i] == '%' && i + 2 < len ? hex_of((uint8_t)text[i + 1]) : -1, l = h < 0 ? -1 : hex_of((uint8_t)text[i + 2]);
    text[n] = l < 0 ? text[i] : (char)(h * 16 + l);
    if (l >= 0) i += 2;
    if (text[n] == '-') text[n] = '+';
    if (text[n] == '_') text[n] = '/';
    n++;
  }
  return n;
}

/* whether twelve characters of @p secret in a row are in @p text: more than words share with a key or token by chance; all of a short one */
static bool shares(csfle__bytes text, csfle__bytes secret)
{
  const size_t window = secret.len < 12 ? secret.len : 12;
  if (window < 4) return false;
  for (size_t i = 0; i + window <= secret.len; i++)
    for (size_t j = 0; j + window <= text.len; j++)
      if (text.ptr[j] == secret.ptr[i] && memcmp(text.ptr + j, secret.ptr + i, window) == 0) return true;
  return false;
}

static bool shares_spelled(csfle__bytes text, csfle__bytes secret)
{
  char         piece[1024];
  const size_t overlap = 128; /* more than twelve characters in any spelling */
  bool         found = false;
  for (size_t from = 0; !found && (!from || from + overlap < secret.len); from += sizeof piece - overlap) {
    size_t n = secret.len - from < sizeof piece ? secret.len - from : sizeof piece;
    memcpy(piece, secret.ptr + from, n);
    found = shares(text, csfle__view(piece, plain_spelling(piece, n)));
  }
  csfle__wipe(piece, sizeof piece);
  return found;
}

static bool ends(csfle__bytes name, const char *with)
{
  size_t n = strlen(with);
  return name.len >= n && csfle__eq_str(csfle__from(name, name.len - n), with);
}

/* The members of a form by which somebody proves who they are: client_secret, client_assertion, assertion, refresh_token */
static bool repeats_form(csfle__bytes text, csfle__bytes form)
{
  while (form.len) {
    const uint8_t *amp = memchr(form.ptr, '&', form.len);
    csfle__bytes   pair = csfle__view(form.ptr, amp ? (size_t)(amp - form.ptr) : form.len), name = pair;
    const uint8_t *equals = pair.len ? memchr(pair.ptr, '=', pair.len) : NULL;
    if (equals) name.len = (size_t)(equals - pair.ptr);
    if (equals && (ends(name, "secret") || ends(name, "assertion") || ends(name, "token")) && shares_spelled(text, csfle__from(pair, name.len + 1))) return true;
    form = csfle__from(form, pair.len + 1);
  }
  return false;
}

/* Services quote what they were sent: the text they computed a signature over, a parameter they did not like. */
static bool repeats_secret(const csfle__kms_call *call, const char *message)
{
  char         said[2 * sizeof((csfle__http_words *)0)->message], b64[1408];
  csfle__bytes in = call->unwrap ? CSFLE__NONE : csfle__view(call->in.ptr, call->in.len < 1024 ? call->in.len : 1024);
  csfle__bytes lines = csfle__buf_view(&call->io.request.headers), text;
  size_t       n = strlen(message);
  bool         found;
#ifdef CSFLE_BREAK_ERRORS_REPEAT
  return false;
#endif
  if (n > sizeof said) n = sizeof said;
  memcpy(said, message, n);
  n = plain_spelling(said, plain_spelling(said, n)); /* a text to be signed has it encoded twice */
  text = csfle__view(said, n);
  csfle__base64_encode(in, b64);
  found = shares(text, csfle__view(b64, csfle__base64_len(in.len))) || shares(text, in) || repeats_form(text, csfle__buf_view(&call->io.request.body));
  while (!found && lines.len) {
    const uint8_t *end = memchr(lines.ptr, '\n', lines.len), *colon = memchr(lines.ptr, ':', lines.len);
    size_t         len = end ? (size_t)(end - lines.ptr) : lines.len;
    csfle__bytes   name = colon && colon < lines.ptr + len ? csfle__view(lines.ptr, (size_t)(colon - lines.ptr)) : CSFLE__NONE;
    bool           token = csfle__eq_nocase(name, CSFLE__LIT("Authorization")) || csfle__eq_nocase(name, CSFLE__LIT("X-IDENTITY-HEADER"));
    for (size_t i = 0; !token && i + 5 <= name.len; i++) token = csfle__eq_nocase(csfle__view(name.ptr + i, 5), CSFLE__LIT("token"));
    if (token) found = shares_spelled(text, csfle__trim(csfle__view(colon + 1, len - name.len - 1)));
    lines = csfle__from(lines, len + 1);
  }
  csfle__wipe(b64, sizeof b64), csfle__wipe(said, sizeof said);
  return found;
}

csfle_status csfle__http_fail(const csfle__http_about *a, const csfle__kms_call *call, const csfle__http_words *w, csfle_error *err)
{
  const csfle__reply *r = &call->io.reply;
  csfle_status        code;
  int64_t             after = retry_after(call);
  if (r->status == 0) {
    code = csfle__reply_failed(r, NULL);
    if (code == CSFLE_E_NOMEM) return csfle__nomem(err);
    return csfle__http_failf(a, code, err, "%s%s", r->failure, never_came(r, CSFLE__REFUSED_ADDRESS) ? ": list it in " CSFLE__HOSTS_PROPERTY
                                                             : never_came(r, CSFLE__UNASKED_ADDRESS) ? ": see " CSFLE__TRANSPORT_PROPERTY : "");
  }
  code = r->status == 401 ? CSFLE_E_UNAUTHENTICATED
       : r->status == 403 ? CSFLE_E_FORBIDDEN
       : r->status == 429 ? CSFLE_E_THROTTLED
       : csfle__http_transient(r) || r->status >= 500 ? CSFLE_E_UNAVAILABLE
       : r->status < 400 ? CSFLE_E_CONFIG /* a redirect: something else than a KMS is at this address, whatever the record */
                         : CSFLE_E_DECRYPT;
  csfle__http_failf(a, code, err, "HTTP %d%s%s%s%s", r->status, w->code[0] ? " " : "", repeats_secret(call, w->code) ? "" : w->code, w->message[0] ? ": " : "",
                    repeats_secret(call, w->message) ? "(what the KMS says repeats secrets of the request)" : w->message);
  if (err) {
    err->http = r->status;
    if (after > 0 && CSFLE_CLASS(code) == CSFLE_CLASS_WAIT) err->retry_after_ms = (uint32_t)after;
  }
  return code;
}

/* ---- time */

/* days since 1970-01-01 of a date of the Gregorian calendar */
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
  y -= m <= 2;
  int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400, doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
  return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static bool number(const uint8_t *p, size_t n, int64_t *v)
{
  for (*v = 0; n; n--, p++) {
    if (*p < '0' || *p > '9') return false;
    *v = *v * 10 + (*p - '0');
  }
  return true;
}

static bool put_together(int64_t y, int64_t mon, int64_t d, int64_t h, int64_t min, int64_t s, int64_t *ms)
{
  if (y < 1970 || mon < 1 || mon > 12 || d < 1 || d > 31 || h > 23 || min > 59 || s > 60) return false;
  *ms = (((days_of(y, mon, d) * 24 + h) * 60 + min) * 60 + s) * 1000;
  return true;
}

bool csfle__time_iso(csfle__bytes t, int64_t *ms)
{
  int64_t y, mon, d, h, min, s;
  if (t.len < 20 || t.ptr[4] != '-' || t.ptr[7] != '-' || t.ptr[10] != 'T' || t.ptr[13] != ':' || t.ptr[16] != ':' || t.ptr[t.len - 1] != 'Z') return false;
  if (t.len > 20 && t.ptr[19] != '.') return false;
  return number(t.ptr, 4, &y) && number(t.ptr + 5, 2, &mon) && number(t.ptr + 8, 2, &d) && number(t.ptr + 11, 2, &h) && number(t.ptr + 14, 2, &min) &&
         number(t.ptr + 17, 2, &s) && put_together(y, mon, d, h, min, s, ms);
}

bool csfle__time_http(csfle__bytes t, int64_t *ms)
{
  static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  int64_t           y, d, h, min, s;
  if (t.len != 29 || t.ptr[3] != ',' || memcmp(t.ptr + 25, " GMT", 4) != 0) return false;
  for (int64_t m = 0; m < 12; m++)
    if (memcmp(t.ptr + 8, months + 3 * m, 3) == 0)
      return number(t.ptr + 5, 2, &d) && number(t.ptr + 12, 4, &y) && number(t.ptr + 17, 2, &h) && number(t.ptr + 20, 2, &min) && number(t.ptr + 23, 2, &s) &&
             put_together(y, m + 1, d, h, min, s, ms);
  return false;
}

void csfle__time_format(char *out, size_t size, const char *format, int64_t ms)
{
  time_t    t = (time_t)(ms / 1000);
  struct tm tm;
  if (!gmtime_r(&t, &tm) || strftime(out, size, format, &tm) == 0) out[0] = 0;
}
