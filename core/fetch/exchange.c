/* Requests, replies, and sending one through any csfle_transport. See fetch.h. */
#include "core/fetch/exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define HEADERS_MAX   (256u << 10)
#define NEED_FILE_MAX (1u << 20)

static const char out_of_memory[] = "out of memory";
static const char takes_no_certificates[] = "the program's own transport takes no certificates of the library's";

void csfle__io_init(csfle__io *io)
{
  memset(io, 0, sizeof *io);
  csfle__buf_init_secret(&io->request.url, 1u << 20);
  csfle__buf_init_secret(&io->request.headers, HEADERS_MAX);
  csfle__buf_init_secret(&io->request.body, 0);
  csfle_buf_init(&io->reply.headers, HEADERS_MAX, CSFLE_BUF_WIPE);
  csfle__buf_init_secret(&io->reply.body, CSFLE__REPLY_MAX);
}

void csfle__io_free(csfle__io *io)
{
  csfle_buf_free(&io->request.url);
  csfle_buf_free(&io->request.headers);
  csfle_buf_free(&io->request.body);
  csfle_buf_free(&io->reply.headers);
  csfle_buf_free(&io->reply.body);
  csfle__secret_wipe(&io->need_value);
  io->need_found = false;
}

static void reply_reset(csfle__reply *r)
{
  csfle__buf_clear(&r->headers);
  csfle__buf_clear(&r->body);
  r->status = 0;
  r->failure[0] = 0;
}

void csfle__io_reset(csfle__io *io)
{
  csfle__buf_clear(&io->request.url);
  csfle__buf_clear(&io->request.headers);
  csfle__buf_clear(&io->request.body);
  io->request.method = io->request.purpose = NULL;
  io->request.has_body = false;
  io->request.timeout_ms = 0;
  io->request.addresses = 0;
  io->request.confirm = false;
  io->request.tls = NULL;
  reply_reset(&io->reply);
  csfle__secret_wipe(&io->need_value);
  io->need_found = false;
  io->need_name = NULL;
  io->bell = NULL;
}

csfle__bytes csfle__header(csfle__bytes lines, const char *name)
{
  csfle__bytes want = csfle__str(name);
  while (lines.len) {
    const uint8_t *end = memchr(lines.ptr, '\n', lines.len);
    size_t         n = end ? (size_t)(end - lines.ptr) : lines.len;
    csfle__bytes   line = csfle__view(lines.ptr, n);
    const uint8_t *colon = n ? memchr(line.ptr, ':', n) : NULL;
    lines = end ? csfle__from(lines, n + 1) : CSFLE__NONE;
    if (colon && csfle__eq_nocase(csfle__view(line.ptr, (size_t)(colon - line.ptr)), want))
      return csfle__trim(csfle__view(colon + 1, n - (size_t)(colon - line.ptr) - 1));
  }
  return CSFLE__NONE;
}

/* ---- the public side of an exchange ------------------------------------------------------------------------- */

const void *csfle_exchange_part(const csfle_exchange *x, int part, size_t *len)
{
  const void *p = NULL;
  size_t      n = 0;
  if (x) {
    const csfle__request *q = x->request;
    switch (part) {
    case CSFLE_X_METHOD: p = q->method, n = strlen(q->method); break;
    case CSFLE_X_URL: p = q->url.ptr, n = q->url.len; break;
    case CSFLE_X_HEADERS: p = q->headers.ptr, n = q->headers.len; break;
    case CSFLE_X_BODY:
      if (q->has_body) p = q->body.ptr, n = q->body.len;
      break;
    case CSFLE_X_PURPOSE: p = q->purpose ? q->purpose : "", n = strlen(p); break;
    case CSFLE_X_TIMEOUT_MS: p = &q->timeout_ms, n = sizeof q->timeout_ms; break;
    default: break;
    }
  }
  if (len) *len = n;
  return p;
}

static void fail(csfle__reply *r, const char *text)
{
  reply_reset(r);
  snprintf(r->failure, sizeof r->failure, "%s", *text ? text : "failed");
}

int csfle_exchange_address(csfle_exchange *x, const void *ip, size_t len)
{
  if (!x) return 1;
  unsigned allowed = x->request->addresses;
  unsigned kind = !ip ? CSFLE__ADDRESS_OTHER : len == 4 ? csfle__address_v4(ip) : len == 16 ? csfle__address_v6(ip) : CSFLE__ADDRESS_GROUP;
  x->asked = true;
#ifdef CSFLE_BREAK_TRANSPORT_UNASKED
  return 0;
#endif
  if (ip && allowed && !(allowed & kind)) x->refused = true;
  return x->refused;
}

void csfle_exchange_done(csfle_exchange *x, int http_status, const char *headers, const void *body, size_t len,
                         const char *failure)
{
  if (!x) return;
  csfle__reply *r = x->reply;
  reply_reset(r);
  if (x->refused) {
    fail(r, CSFLE__REFUSED_ADDRESS);
  } else if (failure) {
    fail(r, failure);
  } else if (x->request->confirm && !x->asked) {
    fail(r, CSFLE__UNASKED_ADDRESS);
  } else if (http_status < 100 || http_status > 999) {
    fail(r, "the transport gave no HTTP status");
  } else {
    csfle_status rc = csfle__buf_puts(&r->headers, headers ? headers : "", NULL);
    if (rc == CSFLE_OK && len) rc = csfle__buf_put(&r->body, body, len, NULL);
    r->status = http_status;
    if (rc == CSFLE_E_SPACE) {
      fail(r, "");
      snprintf(r->failure, sizeof r->failure, "reply of %zu bytes is longer than the %zu allowed", len, r->body.max);
    } else if (rc != CSFLE_OK) {
      fail(r, out_of_memory);
    }
  }
  x->ended(x->opaque);
}

/* ---- waiting for one ---------------------------------------------------------------------------------------- */

static void wake(void *opaque) { csfle__bell_ring(opaque); }

void csfle__send(const csfle_transport *t, csfle__io *io)
{
  csfle__bell    ended;
  csfle_exchange x = { .request = &io->request, .reply = &io->reply, .ended = wake, .opaque = &ended };

  reply_reset(&io->reply);
  if (!t || !t->start) {
    fail(&io->reply, "there is no transport for HTTP requests");
    return;
  }
#ifndef CSFLE_BREAK_TRANSPORT_UNASKED
  if (io->request.confirm && !(t->flags & CSFLE_TRANSPORT_ASKS_ADDRESSES)) {
    fail(&io->reply, CSFLE__UNASKED_ADDRESS);
    return;
  }
#endif
  if (io->request.tls && !csfle__curl_is(t)) {
    fail(&io->reply, takes_no_certificates);
    return;
  }
  /* texts that end with NUL, and a body that is not NULL even when empty */
  if (!csfle__buf_cstr(&io->request.url) || !csfle__buf_cstr(&io->request.headers) || !csfle__buf_cstr(&io->request.body)) {
    fail(&io->reply, out_of_memory);
    return;
  }
  csfle__bell_init(&ended);
  t->start(t->opaque, &x);
  csfle__bell_wait(&ended, -1);
  csfle__bell_free(&ended);
}

csfle_status csfle__reply_failed(const csfle__reply *r, csfle_error *err)
{
  static const struct { const char *text; csfle_status code; } known[] = {
    { "timed out", CSFLE_E_TIMEOUT }, { CSFLE__REFUSED_ADDRESS, CSFLE_E_POLICY }, { CSFLE__UNASKED_ADDRESS, CSFLE_E_POLICY },
    { CSFLE__BAD_CA_FILE, CSFLE_E_CONFIG }, { CSFLE__BAD_CERTIFICATE, CSFLE_E_CONFIG },
    { takes_no_certificates, CSFLE_E_CONFIG },
  };
  csfle_status code = CSFLE_E_UNAVAILABLE;
  if (strcmp(r->failure, out_of_memory) == 0) return csfle__nomem(err);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcmp(r->failure, known[i].text) == 0) code = known[i].code;
  return csfle__fail(err, code, "%s", r->failure[0] ? r->failure : "no reply");
}

/* ---- the other two answers ---------------------------------------------------------------------------------- */

/* What cannot be opened or read, or is longer than anything a driver asks for, is not there. */
static csfle_status read_file(const char *path, csfle__secret *out, bool *found)
{
  csfle_buf    b;
  csfle_status rc = CSFLE_OK;
  int          fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return CSFLE_OK;
  csfle_buf_init(&b, NEED_FILE_MAX + 1, CSFLE_BUF_WIPE);
  while (b.len <= NEED_FILE_MAX) {
    size_t room = NEED_FILE_MAX + 1 - b.len < 4096 ? NEED_FILE_MAX + 1 - b.len : 4096;
    rc = csfle__buf_reserve(&b, room, NULL);
    if (rc != CSFLE_OK) break;
    ssize_t n = read(fd, b.ptr + b.len, room);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) {
      rc = csfle__secret_copy(out, csfle__buf_view(&b), NULL);
      *found = rc == CSFLE_OK;
    }
    if (n <= 0) break;
    b.len += (size_t)n;
  }
  close(fd);
  csfle_buf_free(&b);
  return rc;
}

csfle_status csfle__answer_need(csfle__io *io)
{
  csfle_status rc = CSFLE_OK;
  csfle__secret_wipe(&io->need_value);
  io->need_found = false;
  if (!io->need_name) return CSFLE_OK;
  if (io->need_kind == CSFLE__NEED_FILE) return read_file(io->need_name, &io->need_value, &io->need_found);
  const char *v = getenv(io->need_name);
  if (v) {
    rc = csfle__secret_copy(&io->need_value, csfle__str(v), NULL);
    io->need_found = rc == CSFLE_OK;
  }
  return rc;
}

void csfle__answer_wait(const csfle__clock *clock, csfle__io *io)
{
  const csfle__clock *c = clock ? clock : &csfle__system_clock;
  int64_t             ms = io->wait_until_ms - c->monotonic_ms(c->opaque);
  if (io->bell) csfle__bell_wait(io->bell, ms > 0 ? ms : 0);
  if (io->bell || ms <= 0) return;
  struct timespec left = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };
  while (nanosleep(&left, &left) && errno == EINTR) {
  }
}
