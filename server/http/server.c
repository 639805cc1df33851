/*
 * libmicrohttpd behind registry_http. What it gets wrong by itself is refused here: Content-Length beside
 * Transfer-Encoding, two of either, CR or NUL in a value. Its unescaping is switched off (it would turn %2F into '/'
 * and cut at %00): the raw target comes by the URI callback. No answer is queued in the first call for a request,
 * because that closes the connection; only a body that is announced as too large is refused there.
 */
#include "server/http/http.h"

#include "core/base/alloc.h"
#include "core/base/json.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* The parser of 0.9.75 (Debian 12) cuts targets and values at a NUL; that of 1.0 (Debian 13) refuses them, and bare LF. */
#define REGISTRY_MHD_CUTS_AT_NUL (MHD_VERSION < 0x00097700)

#define HEADER_BYTES (32 * 1024)
#define BACKLOG      4096
#define GZIP_FROM    1024

/* one address that is listened on */
typedef struct door {
  registry_http     *http;
  struct MHD_Daemon *daemon;
  int                number, port;
  bool               tls;
} door;

struct registry_http {
  door                  doors[REGISTRY_LISTENERS_MAX];
  registry_http_options options;
  registry_http_app     app;
  const csfle__log     *log;
  registry_pool        *pool;
  pthread_mutex_t       lock; /* of in_flight and stopping */
  pthread_cond_t        idle;
  long                  in_flight; /* requests that were let in and whose answer is not sent yet, and calls that resume one */
  bool                  stopping;
  _Atomic size_t        bodies; /* bytes of all */
};

/* a request and what http alone knows of it */
typedef struct exchange {
  registry_request       rq;
  registry_reply         reply;
  registry_http         *http;
  struct MHD_Connection *connection;
  const char            *target; /* copy in the arena */
  char                   request_id[128];
  int64_t                queued_ms; /* when it was sent to the pool for calls that block */
  int                    accept; /* index of the produced type, -1 none */
  size_t                 declared; /* Content-Length */
  size_t                 held;     /* bytes of its body, among registry_http.bodies */
  int                    lengths, encodings, ids;
  bool                   seen, started, let_in, suspended, ready, gzip_ok, gzip_body, bad, bad_coding, has_accept;
} exchange;

static const struct { int status; const char *text; } generic[] = {
  { 400, "HTTP 400 Bad Request" },          { 404, "HTTP 404 Not Found" },
  { 405, "HTTP 405 Method Not Allowed" },   { 406, "HTTP 406 Not Acceptable" },
  { 413, "HTTP 413 Request Entity Too Large" }, { 415, "HTTP 415 Unsupported Media Type" },
  { 503, "too many requests are waiting, try again later" }, { 500, "Internal Server Error" },
};

void registry_reply_error(registry_reply *reply, int status, int error_code, const char *message)
{
  if (!message || !*message) {
    message = "Internal Server Error";
    for (size_t i = 0; i < sizeof generic / sizeof *generic; i++)
      if (generic[i].status == status) message = generic[i].text;
  }
  csfle__buf_clear(&reply->body);
  reply->status = status;
  if (csfle__buf_printf(&reply->body, NULL, "{\"error_code\":%d,\"message\":", error_code) != CSFLE_OK ||
      csfle__json_put_string(&reply->body, csfle__str(message), false, NULL) != CSFLE_OK ||
      csfle__buf_putc(&reply->body, '}', NULL) != CSFLE_OK) {
    csfle__buf_clear(&reply->body); /* no memory: the status alone */
    reply->status = 500;
  }
}

/* Before anything that may suspend: libmicrohttpd ends the process when it is stopped with a suspended connection, so the
   stop waits for all that were let in here. False: it has begun. */
static bool let_in(registry_http *h)
{
  pthread_mutex_lock(&h->lock);
  bool ok = !h->stopping;
  if (ok) h->in_flight++;
  pthread_mutex_unlock(&h->lock);
  return ok;
}

static void let_out(registry_http *h)
{
  pthread_mutex_lock(&h->lock);
  if (--h->in_flight == 0) pthread_cond_broadcast(&h->idle);
  pthread_mutex_unlock(&h->lock);
}

/* whether there is room for @p more bytes of a body */
static bool hold(exchange *x, size_t more)
{
  size_t before = atomic_fetch_add(&x->http->bodies, more);
  x->held += more;
#ifdef CSFLE_BREAK_BODIES_UNBOUNDED
  return true;
#endif
  return before + more <= x->http->options.max_bodies_bytes;
}

static void let_go(exchange *x)
{
  csfle_buf_free(&x->rq.body);
  atomic_fetch_sub(&x->http->bodies, x->held);
  x->held = 0;
}

/* ---- one request's life ---------------------------------------------------------------------------------------- */

/* whether what is sent cannot be seen on a network */
static bool confidential(const door *d, struct MHD_Connection *connection)
{
  if (d->tls) return true;
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  return info && info->client_addr && registry_loopback(info->client_addr);
}

static void *on_target(void *opaque, const char *target, struct MHD_Connection *connection)
{
  const door *d = (const door *)opaque;
  exchange   *x = (exchange *)csfle__calloc(1, sizeof *x);
  if (!x) return NULL;
  x->http = d->http;
  x->connection = connection;
  x->rq.waiter = x;
  x->rq.listener = d->number;
  x->rq.confidential = confidential(d, connection);
  csfle_buf_init(&x->rq.body, x->http->options.max_body_bytes, CSFLE_BUF_WIPE);
  csfle_buf_init(&x->reply.body, 0, 0);
  x->target = (const char *)csfle__arena_copy(&x->rq.arena, csfle__str(target)).ptr;
#if REGISTRY_MHD_CUTS_AT_NUL
  /* the target ends where libmicrohttpd put a NUL over the blank before the version, unless it held a NUL itself */
  if (strncmp(target + strlen(target) + 1, "HTTP/", 5) != 0) x->bad = true;
#endif
  return x;
}

static void on_completed(void *opaque, struct MHD_Connection *connection, void **con_cls,
                         enum MHD_RequestTerminationCode why)
{
  (void)opaque, (void)connection, (void)why;
  exchange *x = (exchange *)*con_cls;
  if (!x) return;
  let_go(x);
  if (x->let_in) let_out(x->http);
  csfle_buf_free(&x->reply.body);
  csfle__arena_free(&x->rq.arena);
  csfle__free(x);
  *con_cls = NULL;
}

/* Whether a header says that a proxy asks for somebody else: then the peer's address says nothing of who sees the answer.
   What it says of that somebody is not believed either. */
static bool of_proxy(csfle__bytes name)
{
  static const char *const names[] = { "via", "forwarded", "x-real-ip", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port" };
#ifdef CSFLE_BREAK_PROXIES_CONFIDENTIAL
  return false;
#endif
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (csfle__eq_nocase(name, csfle__str(names[i]))) return true;
  return false;
}

static enum MHD_Result on_header(void *opaque, enum MHD_ValueKind kind, const char *name, size_t name_len,
                                 const char *value, size_t value_len)
{
  exchange    *x = (exchange *)opaque;
  csfle__bytes n = csfle__view(name, name_len), v = csfle__view(value ? value : "", value ? value_len : 0);
  (void)kind;

  for (size_t i = 0; i < v.len; i++)
    if (v.ptr[i] == '\r' || v.ptr[i] == '\n' || v.ptr[i] == 0) x->bad = true;
#if REGISTRY_MHD_CUTS_AT_NUL
  /* libmicrohttpd cuts a value at its first NUL and puts NULs over CR LF: only those may follow. A line that ends in a
     bare LF is refused with it. */
  if (value && value[value_len + 1] != 0) x->bad = true;
#endif
  for (size_t i = 0; i < n.len; i++)
    if (n.ptr[i] <= ' ' || n.ptr[i] >= 0x7f) x->bad = true;
  if (x->rq.confidential && !x->http->doors[x->rq.listener].tls && of_proxy(n)) x->rq.confidential = false;
  switch (n.len) {
    case 6:
      if (csfle__eq_nocase(n, CSFLE__LIT("accept"))) {
        int best = registry_accept(v);
        if (!x->has_accept || (best >= 0 && (x->accept < 0 || best < x->accept))) x->accept = best;
        x->has_accept = true;
      }
      break;
    case 12:
      if (csfle__eq_nocase(n, CSFLE__LIT("content-type"))) x->rq.content_type = csfle__arena_copy(&x->rq.arena, v);
      if (csfle__eq_nocase(n, CSFLE__LIT("x-request-id"))) {
        csfle__bytes id = csfle__trim(v);
        x->ids++;
        if (id.len && id.len < sizeof x->request_id) snprintf(x->request_id, sizeof x->request_id, "%.*s", CSFLE__FMT(id));
      }
      break;
    case 14:
      if (csfle__eq_nocase(n, CSFLE__LIT("content-length"))) {
        int64_t len;
        x->lengths++;
        if (!csfle__parse_i64(v, &len) || len < 0) x->bad = true;
        else x->declared = (size_t)len;
      }
      break;
    case 15:
      if (csfle__eq_nocase(n, CSFLE__LIT("accept-encoding")) && v.len < 1000) {
        char text[1001];
        snprintf(text, sizeof text, "%.*s", CSFLE__FMT(v));
        const char *at = strcasestr(text, "gzip");
        x->gzip_ok = at && !strstr(at, "gzip;q=0,") && strcmp(at, "gzip;q=0") != 0;
      }
      break;
    case 16:
      if (csfle__eq_nocase(n, CSFLE__LIT("content-encoding"))) {
        if (csfle__eq_nocase(v, CSFLE__LIT("gzip"))) x->gzip_body = true;
        else if (!csfle__eq_nocase(v, CSFLE__LIT("identity"))) x->bad_coding = true;
      }
      break;
    case 17:
      if (csfle__eq_nocase(n, CSFLE__LIT("transfer-encoding"))) x->encodings++;
      break;
    default: break;
  }
  return MHD_YES;
}

/* a random UUID of version 4; the system call is made for 64 of them at once */
static void put_uuid(char out[37])
{
  static __thread uint8_t pool[1024];
  static __thread size_t  left;
  static const char       digits[] = "0123456789abcdef";

  if (left < 16) {
    if (getrandom(pool, sizeof pool, 0) != (ssize_t)sizeof pool) memset(pool, 0, sizeof pool);
    left = sizeof pool;
  }
  left -= 16;
  uint8_t *u = pool + left;
  u[6] = (uint8_t)((u[6] & 0x0f) | 0x40);
  u[8] = (uint8_t)((u[8] & 0x3f) | 0x80);
  for (int i = 0; i < 16; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10) *out++ = '-';
    *out++ = digits[u[i] >> 4];
    *out++ = digits[u[i] & 15];
  }
  *out = 0;
}

static enum MHD_Result send_reply(exchange *x)
{
  bool empty = x->reply.status == 204;
  bool zip = x->http->options.compress && x->gzip_ok && !empty && !x->reply.no_store && /* keys stay in memory that is wiped */
             !x->reply.no_store && x->reply.body.len >= GZIP_FROM && registry_gzip(&x->reply.body);
  /* the buffer lives in the exchange until MHD says that the request is completed */
  struct MHD_Response *r = MHD_create_response_from_buffer(x->reply.body.len, x->reply.body.ptr, MHD_RESPMEM_PERSISTENT);
  if (!r) return MHD_NO;
  if (x->ids != 1 || !x->request_id[0]) put_uuid(x->request_id);
  MHD_add_response_header(r, "X-Request-ID", x->request_id);
  if (!empty) MHD_add_response_header(r, "Content-Type", x->reply.type ? x->reply.type : registry_media_types[x->accept < 0 ? 0 : x->accept]);
  if (x->reply.no_store) MHD_add_response_header(r, "Cache-Control", "no-store");
  if (zip) MHD_add_response_header(r, "Content-Encoding", "gzip");
  if (x->http->options.compress && !x->reply.no_store && x->reply.body.len >= GZIP_FROM) MHD_add_response_header(r, "Vary", "Accept-Encoding");
  if (x->reply.allow) MHD_add_response_header(r, "Allow", x->reply.allow);
  if (x->reply.retry_after_s) {
    char text[16];
    snprintf(text, sizeof text, "%d", x->reply.retry_after_s);
    MHD_add_response_header(r, "Retry-After", text);
  }
  enum MHD_Result ok = MHD_queue_response(x->connection, (unsigned)x->reply.status, r);
  MHD_destroy_response(r);
  return ok;
}

static void suspend(exchange *x)
{
  x->suspended = true;
  MHD_suspend_connection(x->connection);
}

static void resume(exchange *x)
{
  registry_http *h = x->http; /* x may be gone, and the answer sent, before the call below is through with the daemon */
  pthread_mutex_lock(&h->lock);
  h->in_flight++;
  pthread_mutex_unlock(&h->lock);
  x->ready = true;
  MHD_resume_connection(x->connection);
  let_out(h);
}

void registry_http_release(void *waiter, bool ok)
{
  exchange *x = (exchange *)waiter;
  if (!ok) registry_reply_error(&x->reply, 500, 50001, "the store could not keep the change; what this answer tells was undone");
  resume(x);
}

void registry_http_park(void *waiter)
{
  exchange *x = (exchange *)waiter;
  if (!x->suspended) suspend(x);
}

static int64_t now_ms(void) { return csfle__system_clock.monotonic_ms(csfle__system_clock.opaque); }

static void refuse_busy(exchange *x)
{
  registry_reply_error(&x->reply, 503, 503, NULL);
  x->reply.retry_after_s = 1;
}

/* handles a suspended request on this thread, or sends it to the one that may wait longer */
static void on_thread(void *arg)
{
  exchange        *x = (exchange *)arg;
  registry_http   *h = x->http;
  registry_handled handled = REGISTRY_ANSWERED;

  if (x->rq.may_block && now_ms() - x->queued_ms > h->options.blocking_wait_ms) refuse_busy(x); /* who asked may be gone */
  else handled = h->app.handle(h->app.opaque, &x->rq, &x->reply);
  if (handled == REGISTRY_PARKED) return;
  if (handled == REGISTRY_BLOCKS) {
    x->rq.may_block = true;
    x->queued_ms = now_ms();
    if (registry_pool_run(h->options.blocking, on_thread, x)) return;
    refuse_busy(x);
  }
  if (h->app.settle(h->app.opaque, &x->rq, x)) resume(x);
}

void registry_http_again(void *waiter)
{
  on_thread(waiter);
}

/* the whole request is here */
static enum MHD_Result start(exchange *x)
{
  registry_http *h = x->http;

  x->started = true;
  if (!x->reply.status) h->app.begin(h->app.opaque, &x->rq, &x->reply);
  if (!x->reply.status && x->accept < 0 && !x->reply.type) registry_reply_error(&x->reply, 406, 406, NULL);
  if (!x->reply.status && x->gzip_body) {
    size_t packed = x->rq.body.len;
    int    status = registry_gunzip(&x->rq.body, h->options.max_body_bytes);
    if (!status && x->rq.body.len > packed && !hold(x, x->rq.body.len - packed)) status = 503;
    if (status == 503) refuse_busy(x);
    else if (status) registry_reply_error(&x->reply, status, status, status == 400 ? "the gzip body is damaged" : NULL);
  }
  if (!x->reply.status) {
    x->let_in = let_in(h);
    if (!x->let_in) refuse_busy(x);
  }
  if (x->reply.status) return send_reply(x);
  if (x->rq.on_worker) {
    suspend(x);
    if (!registry_pool_run(h->pool, on_thread, x)) {
      refuse_busy(x);
      resume(x);
    }
    return MHD_YES;
  }
  if (h->app.handle(h->app.opaque, &x->rq, &x->reply) != REGISTRY_ANSWERED) return MHD_YES; /* parked; on a worker alone it may block */
  if (h->app.settled(h->app.opaque, &x->rq)) return send_reply(x); /* the usual case: suspending costs system calls */
  suspend(x);
  if (h->app.settle(h->app.opaque, &x->rq, x)) resume(x);
  return MHD_YES;
}

static void refuse(exchange *x, int status, const char *message)
{
  if (!x->reply.status) registry_reply_error(&x->reply, status, status, message);
}

static enum MHD_Result on_request(void *opaque, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_len, void **con_cls)
{
  exchange *x = (exchange *)*con_cls;
  (void)opaque, (void)url, (void)version;

  if (!x) return MHD_NO; /* no memory when the target came in */
  if (!x->seen) {
    x->seen = true;
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, on_header, x);
    x->rq.head = strcmp(method, "HEAD") == 0;
    x->rq.method = x->rq.head ? "GET" : (const char *)csfle__arena_copy(&x->rq.arena, csfle__str(method)).ptr;
    if (!x->target || !x->rq.method) return MHD_NO;
    if (x->bad || x->lengths > 1 || x->encodings > 1 || (x->lengths && x->encodings)) {
      refuse(x, 400, "the request's header fields are ambiguous or malformed");
      x->reply.allow = NULL;
      return send_reply(x); /* and the connection ends: where the body ends is not known */
    }
    if (x->declared > x->http->options.max_body_bytes) {
      refuse(x, 413, NULL);
      return send_reply(x);
    }
    if (!registry_target_parse(&x->rq, x->target)) refuse(x, 400, "the request target is malformed");
    if (x->bad_coding) refuse(x, 415, NULL);
    return MHD_YES;
  }
  if (*upload_len) {
    if (!x->reply.status) {
      if (x->rq.body.len + *upload_len > x->http->options.max_body_bytes) {
        let_go(x);
        refuse(x, 413, NULL);
      } else if (!hold(x, *upload_len)) {
        let_go(x);
        refuse_busy(x);
      } else if (csfle__buf_put(&x->rq.body, upload, *upload_len, NULL) != CSFLE_OK) {
        refuse(x, 500, NULL);
      }
    }
    *upload_len = 0;
    return MHD_YES;
  }
  if (!x->started) return start(x);
  return x->ready ? send_reply(x) : MHD_YES;
}

/* ---- the listeners --------------------------------------------------------------------------------------------- */

static size_t leave_escaped(void *opaque, struct MHD_Connection *connection, char *text)
{
  (void)opaque, (void)connection;
  return strlen(text);
}

static void on_mhd_log(void *opaque, const char *fmt, va_list args)
{
  char           text[256];
  registry_http *h = (registry_http *)opaque;
  vsnprintf(text, sizeof text, fmt, args);
  text[strcspn(text, "\r\n")] = 0;
  csfle__log_line(h->log, 7, "http", "%s", text);
}

static csfle_status open_door(registry_http *h, door *d, const registry_http_listener *l, csfle_error *err)
{
  union { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; } address = { 0 };
  struct MHD_OptionItem tls[5] = { { MHD_OPTION_END, 0, NULL } };
  unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;

  if (inet_pton(AF_INET, l->host, &address.v4.sin_addr) == 1) {
    address.v4.sin_family = AF_INET;
    address.v4.sin_port = htons((uint16_t)l->port);
  } else if (inet_pton(AF_INET6, l->host, &address.v6.sin6_addr) == 1) {
    address.v6.sin6_family = AF_INET6;
    address.v6.sin6_port = htons((uint16_t)l->port);
    flags |= MHD_USE_IPv6;
  } else {
    return csfle__fail(err, CSFLE_E_CONFIG, "listener host \"%s\" is no numeric address", l->host);
  }
  if (l->tls) {
    csfle_status rc = registry_tls_check(&h->options, err); /* libmicrohttpd does not tell what is wrong with them */
    if (rc != CSFLE_OK) return rc;
    size_t n = 0;
    flags |= MHD_USE_TLS;
    tls[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)h->options.certificate };
    tls[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)h->options.key };
    if (h->options.key_password) tls[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_KEY_PASSWORD, 0, (void *)h->options.key_password };
    tls[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)REGISTRY_TLS_PRIORITIES };
    tls[n] = (struct MHD_OptionItem){ MHD_OPTION_END, 0, NULL };
  }
  d->http = h;
  d->tls = l->tls;
  d->daemon = MHD_start_daemon(
    flags, (uint16_t)l->port, NULL, NULL, on_request, h, MHD_OPTION_SOCK_ADDR, &address.any,
    MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, h, MHD_OPTION_URI_LOG_CALLBACK, on_target, d,
    MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_BYTES, /* cleared between requests: no larger than it must be */
    MHD_OPTION_CONNECTION_LIMIT, h->options.connections, MHD_OPTION_CONNECTION_TIMEOUT,
    (unsigned)h->options.idle_timeout_s, MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_LISTEN_BACKLOG_SIZE, (unsigned)BACKLOG,
    MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
  if (!d->daemon) return csfle__fail(err, CSFLE_E_CONFIG, "cannot listen on %s port %d", l->host, l->port);
  const union MHD_DaemonInfo *info = MHD_get_daemon_info(d->daemon, MHD_DAEMON_INFO_BIND_PORT);
  d->port = info ? info->port : l->port;
  return CSFLE_OK;
}

csfle_status registry_http_start(registry_http **out, const registry_http_options *o, const registry_http_app *app,
                                 const csfle__log *log, csfle_error *err)
{
  registry_http *h = (registry_http *)csfle__calloc(1, sizeof *h);
  if (!h) return csfle__nomem(err);
  h->options = *o;
  h->app = *app;
  h->log = log;
  pthread_mutex_init(&h->lock, NULL);
  pthread_cond_init(&h->idle, NULL);
  h->pool = registry_pool_new(o->workers, o->queue);
  csfle_status rc = h->pool ? CSFLE_OK : csfle__nomem(err);
  for (int i = 0; rc == CSFLE_OK && i < o->listener_count; i++) {
    h->doors[i].number = i;
    rc = open_door(h, &h->doors[i], &o->listeners[i], err);
  }
  h->options.certificate = h->options.key = h->options.key_password = NULL; /* the caller's again */
  if (rc != CSFLE_OK) (void)registry_http_stop(h, 0); /* no request has come */
  else *out = h;
  return rc;
}

int registry_http_port(const registry_http *h, int listener)
{
  return h->doors[listener].port;
}

bool registry_http_stop(registry_http *h, int64_t grace_ms)
{
  struct timespec until;

  if (!h) return true;
  pthread_mutex_lock(&h->lock);
  h->stopping = true;
  pthread_mutex_unlock(&h->lock);
  for (int i = 0; i < REGISTRY_LISTENERS_MAX; i++) {
    if (!h->doors[i].daemon) continue;
    MHD_socket fd = MHD_quiesce_daemon(h->doors[i].daemon);
    if (fd != MHD_INVALID_SOCKET) close(fd);
  }
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += grace_ms / 1000, until.tv_nsec += grace_ms % 1000 * 1000000;
  until.tv_sec += until.tv_nsec / 1000000000, until.tv_nsec %= 1000000000;
  pthread_mutex_lock(&h->lock);
  while (h->in_flight > 0 && pthread_cond_clockwait(&h->idle, &h->lock, CLOCK_MONOTONIC, &until) == 0) {}
  bool idle = h->in_flight == 0;
  pthread_mutex_unlock(&h->lock);
  if (!idle) return false;
  for (int i = 0; i < REGISTRY_LISTENERS_MAX; i++)
    if (h->doors[i].daemon) MHD_stop_daemon(h->doors[i].daemon);
  registry_pool_free(h->pool);
  pthread_cond_destroy(&h->idle);
  pthread_mutex_destroy(&h->lock);
  csfle__free(h);
  return true;
}
