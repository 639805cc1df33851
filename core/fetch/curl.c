/* libcurl as a transport. See fetch.h. */
#include "core/base/alloc.h"
#include "core/fetch/exchange.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define IDLE_MAX        16
#define CONNECT_DEFAULT 5000
#define TIMEOUT_DEFAULT 30000
#define HEADERS_MAX     (256u << 10)

/*
 * A handle keeps its connections, so handles are reused: last in, first out, whoever comes. Sharing one connection
 * cache between threads (CURLSH) is unsupported by curl and loses ten of eleven connections besides.
 */
struct csfle__curl {
  csfle_transport transport;
  uint32_t        connect_timeout_ms, timeout_ms;
  size_t          max_reply_bytes;
  csfle__tls      tls, kms_tls; /* owned texts */
  const char     *proxy;
  pthread_mutex_t lock;
  CURL           *idle[IDLE_MAX];
  int             idle_count;
  pid_t           pid; /* whose connections they are */
};

typedef struct transfer {
  csfle_buf    headers, body;
  const char  *failure; /* why a callback stopped the transfer */
  csfle__curl *curl;
  unsigned     addresses; /* what may be connected to; 0: anything */
  bool         headed;    /* the head has come to its end */
} transfer;

/* ---- which addresses [AB-8] */

/* Whether this is where a proxy of the operator's listens: its address is no business of the request's. */
static bool is_proxy(const char *proxy, const char *ip, unsigned port)
{
  CURLU *u = proxy && *proxy ? curl_url() : NULL;
  char  *host = NULL, *number = NULL;
  bool   same = u && curl_url_set(u, CURLUPART_URL, proxy, CURLU_GUESS_SCHEME | CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK;
  if (same) {
    /* without a port curl takes 1080 for a proxy, 443 for one that speaks TLS */
    bool has_port = curl_url_get(u, CURLUPART_PORT, &number, 0) == CURLUE_OK;
    same = has_port ? (unsigned)atoi(number) == port : port == 1080 || port == 443;
    uint8_t raw[16];
    size_t  n = strlen(host);
    if (n > 2 && host[0] == '[') host[n - 1] = 0;
    const char *plain = host[0] == '[' ? host + 1 : host;
    if (inet_pton(AF_INET, plain, raw) == 1 || inet_pton(AF_INET6, plain, raw) == 1) same = same && strcmp(plain, ip) == 0;
  }
  curl_free(host), curl_free(number);
  curl_url_cleanup(u);
  return same;
}

static bool through_proxy(const csfle__curl *c, const char *ip, unsigned port)
{
  /* http_proxy in capitals is not read by curl: a CGI program would get it from the peer */
  static const char *const names[] = { "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" };
  if (c->proxy) return is_proxy(c->proxy, ip, port);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (is_proxy(getenv(names[i]), ip, port)) return true;
  return false;
}

static bool may_connect(transfer *t, int family, const void *raw, unsigned port)
{
  char     ip[INET6_ADDRSTRLEN] = "";
  unsigned kind = family == AF_INET ? csfle__address_v4(raw) : family == AF_INET6 ? csfle__address_v6(raw) : CSFLE__ADDRESS_GROUP;
#ifdef CSFLE_BREAK_CONNECTED_UNCHECKED
  return true;
#endif
  if (!t->addresses || t->addresses & kind) return true;
  if (inet_ntop(family, raw, ip, sizeof ip) && through_proxy(t->curl, ip, port)) return true;
  t->failure = CSFLE__REFUSED_ADDRESS;
  return false;
}

static curl_socket_t on_socket(void *opaque, curlsocktype purpose, struct curl_sockaddr *a)
{
  const struct sockaddr_in  *v4 = (const void *)&a->addr;
  const struct sockaddr_in6 *v6 = (const void *)&a->addr;
  bool                       four = a->family == AF_INET;
  if (purpose != CURLSOCKTYPE_IPCXN ||
      !may_connect(opaque, a->family, four ? (const void *)&v4->sin_addr : (const void *)&v6->sin6_addr, ntohs(four ? v4->sin_port : v6->sin6_port)))
    return CURL_SOCKET_BAD;
  return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

#if LIBCURL_VERSION_NUM >= 0x075000
/* A connection that an earlier request has left open is looked at as well. */
static int on_connection(void *opaque, char *ip, char *local_ip, int port, int local_port)
{
  uint8_t raw[16];
  int     family = strchr(ip, ':') ? AF_INET6 : AF_INET;
  (void)local_ip, (void)local_port;
  if (inet_pton(family, ip, raw) != 1) raw[0] = 0, family = AF_UNSPEC;
  return may_connect(opaque, family, raw, (unsigned)port) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}
#endif

static size_t on_body(char *ptr, size_t size, size_t count, void *opaque)
{
  transfer    *t = opaque;
  csfle_status rc = csfle__buf_put(&t->body, ptr, size * count, NULL);
  csfle__wipe(ptr, size * count); /* libcurl's receive buffer, which nobody else would wipe */
  if (rc == CSFLE_OK) return size * count;
  t->failure = rc == CSFLE_E_SPACE ? "too long" : "out of memory";
  return 0;
}

static size_t on_header(char *ptr, size_t size, size_t count, void *opaque)
{
  transfer    *t = opaque;
  csfle__bytes line = csfle__view(ptr, size * count);
  /* a new status line: what came before was "100 Continue" */
  if (csfle__starts(line, CSFLE__LIT("HTTP/"))) csfle__buf_clear(&t->headers), t->headed = false;
  else if (!csfle__trim(line).len) t->headed = true;
  else {
    csfle_status rc = csfle__buf_put(&t->headers, line.ptr, line.len, NULL);
    if (rc != CSFLE_OK) {
      t->failure = rc == CSFLE_E_SPACE ? "reply headers are too long" : "out of memory";
      return 0;
    }
  }
  return size * count;
}

static CURL *take_handle(csfle__curl *c)
{
  CURL *h = NULL;
  pthread_mutex_lock(&c->lock);
  if (c->pid != getpid()) {
    /* a forked child: these sockets are the parent's. Closing would say goodbye on its connections, so they are left */
    c->idle_count = 0;
    c->pid = getpid();
  }
  if (c->idle_count) h = c->idle[--c->idle_count];
  pthread_mutex_unlock(&c->lock);
  return h ? h : curl_easy_init();
}

static void give_handle(csfle__curl *c, CURL *h)
{
  curl_easy_reset(h); /* keeps connections and TLS sessions, drops pointers into this request */
  /* but also the parts of its URL, until another one is looked at: this one goes nowhere */
  curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
  if (curl_easy_setopt(h, CURLOPT_URL, "http://") == CURLE_OK) curl_easy_perform(h);
  curl_easy_reset(h);
  pthread_mutex_lock(&c->lock);
  bool kept = c->idle_count < IDLE_MAX && c->pid == getpid();
  if (kept) c->idle[c->idle_count++] = h;
  pthread_mutex_unlock(&c->lock);
  if (!kept) curl_easy_cleanup(h);
}

/* "Name: value\r\n" lines as curl wants them; false: no memory */
static bool make_list(csfle__bytes lines, struct curl_slist **out)
{
  bool              typed = csfle__header(lines, "Content-Type").ptr != NULL;
  struct curl_slist *list = curl_slist_append(NULL, "Expect:"); /* no round trip before a body */
  bool               ok = list != NULL;
  if (ok && !typed) ok = curl_slist_append(list, "Content-Type:") != NULL;
  while (ok && lines.len) {
    const uint8_t *end = memchr(lines.ptr, '\n', lines.len);
    size_t         n = end ? (size_t)(end - lines.ptr) : lines.len;
    csfle__bytes   line = csfle__trim(csfle__view(lines.ptr, n));
    lines = end ? csfle__from(lines, n + 1) : CSFLE__NONE;
    if (line.len == 0) continue;
    char *text = csfle__dup(line.ptr, line.len);
    ok = text && curl_slist_append(list, text);
    if (text) csfle__free_secret(text, line.len + 1);
  }
  *out = list;
  return ok;
}

static void free_list(struct curl_slist *list)
{
  for (struct curl_slist *l = list; l; l = l->next) csfle__wipe(l->data, strlen(l->data)); /* Authorization is in there */
  curl_slist_free_all(list);
}

/* Short words without the URL, which may carry credentials; "timed out" is what callers look for. */
static void explain(CURL *h, CURLcode code, const transfer *t, size_t max, char *out, size_t size)
{
  long        number = 0;
  const char *text = curl_easy_strerror(code);
  if (t->failure && strcmp(t->failure, "too long") == 0) {
    snprintf(out, size, "reply is longer than the %zu bytes allowed", max);
    return;
  }
  if (t->failure) text = t->failure;
  else switch ((int)code) {
  case CURLE_COULDNT_CONNECT:
    curl_easy_getinfo(h, CURLINFO_OS_ERRNO, &number);
    text = number == ECONNREFUSED ? "connection refused" : number == ENETUNREACH || number == EHOSTUNREACH ? "host unreachable"
                                                                                                       : "cannot connect";
    break;
  case CURLE_COULDNT_RESOLVE_HOST: text = "host name not found"; break;
  case CURLE_COULDNT_RESOLVE_PROXY: text = "name of the proxy not found"; break;
  case CURLE_OPERATION_TIMEDOUT: text = "timed out"; break;
  case CURLE_GOT_NOTHING:
  case CURLE_SEND_ERROR:
  case CURLE_RECV_ERROR: text = "connection closed before the reply"; break;
  case CURLE_PARTIAL_FILE: text = "connection closed inside the reply"; break;
  case CURLE_UNSUPPORTED_PROTOCOL: text = "URL is neither http nor https"; break;
  case CURLE_URL_MALFORMAT: text = "malformed URL"; break;
  case CURLE_PEER_FAILED_VERIFICATION: text = CSFLE__UNTRUSTED; break;
  case CURLE_SSL_CONNECT_ERROR: text = "TLS handshake failed"; break;
  case CURLE_SSL_CACERT_BADFILE: text = CSFLE__BAD_CA_FILE; break;
  case CURLE_SSL_CERTPROBLEM: text = CSFLE__BAD_CERTIFICATE; break;
  case CURLE_OUT_OF_MEMORY: text = "out of memory"; break;
  default: break;
  }
  snprintf(out, size, "%s", text);
}

#define SET(option, value)                                                       \
  do {                                                                           \
    if (code == CURLE_OK) code = curl_easy_setopt(h, option, value);             \
  } while (0)
#define SET_TEXT(option, text)                                                   \
  do {                                                                           \
    if ((text) && *(text)) SET(option, text);                                    \
  } while (0)

static CURLcode set_up(csfle__curl *c, CURL *h, const csfle_exchange *x, struct curl_slist *list, transfer *t)
{
  const char *method = csfle_exchange_part(x, CSFLE_X_METHOD, NULL);
  size_t      body_len;
  const void *body = csfle_exchange_part(x, CSFLE_X_BODY, &body_len);
  uint32_t    timeout = *(const uint32_t *)csfle_exchange_part(x, CSFLE_X_TIMEOUT_MS, NULL);
  bool        registry = strcmp(csfle_exchange_part(x, CSFLE_X_PURPOSE, NULL), "registry") == 0; /* all else is to a KMS, or on the way to one */
  CURLcode    code = CURLE_OK;
  const csfle__tls *tls = x->request->tls ? x->request->tls : registry ? &c->tls : &c->kms_tls;

  SET(CURLOPT_URL, (const char *)csfle_exchange_part(x, CSFLE_X_URL, NULL));
  SET(CURLOPT_PATH_AS_IS, 1L);
  SET(CURLOPT_HTTPHEADER, list);
  SET(CURLOPT_USERAGENT, "csfle/" CSFLE_VERSION_TEXT);
  if (strcmp(method, "GET") == 0 && !body) {
    SET(CURLOPT_HTTPGET, 1L);
  } else if (strcmp(method, "HEAD") == 0) {
    SET(CURLOPT_NOBODY, 1L);
  } else {
    if (body || strcmp(method, "POST") == 0) {
      SET(CURLOPT_POST, 1L);
      SET(CURLOPT_POSTFIELDS, body ? (const char *)body : "");
      SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_len);
    }
    SET(CURLOPT_CUSTOMREQUEST, method);
  }
#if LIBCURL_VERSION_NUM >= 0x075500
  SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else
  SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
#ifdef CSFLE_BREAK_REDIRECTS_FOLLOWED
  SET(CURLOPT_FOLLOWLOCATION, 1L);
#else
  SET(CURLOPT_FOLLOWLOCATION, 0L);
#endif
  SET(CURLOPT_NOSIGNAL, 1L);
  SET(CURLOPT_TCP_KEEPALIVE, 1L);
  SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  SET(CURLOPT_CONNECTTIMEOUT_MS, (long)c->connect_timeout_ms);
  SET(CURLOPT_TIMEOUT_MS, (long)(timeout ? timeout : c->timeout_ms));
  /* said aloud, for nothing may turn it off: an empty CA setting least of all [ENC-100] */
  SET(CURLOPT_SSL_VERIFYPEER, 1L);
  SET(CURLOPT_SSL_VERIFYHOST, 2L);
  SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
  if (tls->ca_file && *tls->ca_file) {
    SET(CURLOPT_CAINFO, tls->ca_file);
    SET(CURLOPT_CAPATH, NULL); /* these alone, not the system's beside them */
  }
  SET_TEXT(CURLOPT_SSLCERT, tls->cert_file);
  SET_TEXT(CURLOPT_SSLKEY, tls->key_file);
  SET_TEXT(CURLOPT_KEYPASSWD, tls->key_password);
  SET_TEXT(CURLOPT_PROXY, c->proxy);
  SET(CURLOPT_WRITEFUNCTION, on_body);
  SET(CURLOPT_WRITEDATA, t);
  SET(CURLOPT_HEADERFUNCTION, on_header);
  SET(CURLOPT_HEADERDATA, t);
  if (t->addresses) {
    SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
    SET(CURLOPT_OPENSOCKETDATA, t);
#if LIBCURL_VERSION_NUM >= 0x075000
    SET(CURLOPT_PREREQFUNCTION, on_connection);
    SET(CURLOPT_PREREQDATA, t);
#else
    SET(CURLOPT_FRESH_CONNECT, 1L);
#endif
    /* addresses of this machine and this link mean nothing to a proxy */
    if (!(t->addresses & CSFLE__ADDRESS_OTHER)) SET(CURLOPT_NOPROXY, "*");
  }
  return code;
}

static void start(void *opaque, csfle_exchange *x)
{
  csfle__curl       *c = opaque;
  transfer           t = { .curl = c, .addresses = x->request->addresses };
  struct curl_slist *list = NULL;
  char               why[128];
  size_t             n;
  const uint8_t     *lines = csfle_exchange_part(x, CSFLE_X_HEADERS, &n);

  x->asked = true; /* on_socket and on_connection look at the address */
  CURL *h = take_handle(c);
  if (!h || !make_list(csfle__view(lines, n), &list)) {
    if (h) give_handle(c, h);
    free_list(list);
    csfle_exchange_done(x, 0, NULL, NULL, 0, "out of memory");
    return;
  }
  csfle_buf_init(&t.headers, HEADERS_MAX, CSFLE_BUF_WIPE);
  csfle__buf_init_secret(&t.body, c->max_reply_bytes);
  CURLcode code = set_up(c, h, x, list, &t);
  if (code == CURLE_OK) code = curl_easy_perform(h);
  if (code == CURLE_OK && !t.headed) code = CURLE_PARTIAL_FILE; /* curl takes a head that was cut off for a reply without a body */
  long status = 0;
  curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
  if (code != CURLE_OK) explain(h, code, &t, c->max_reply_bytes, why, sizeof why);
  give_handle(c, h);
  free_list(list);
  const char *headers = csfle__buf_cstr(&t.headers);
  csfle_exchange_done(x, (int)status, headers, t.body.ptr, t.body.len,
                      code != CURLE_OK ? why
                      : headers        ? NULL
                                       : "out of memory");
  csfle_buf_free(&t.headers);
  csfle_buf_free(&t.body);
}

static void cancel(void *opaque, csfle_exchange *x) { (void)opaque, (void)x; /* start has ended it already */ }

/*
 * libcurl copies what it is given, the URL six times, and gives memory back as it is. Keys and tokens are in there, in
 * Alibaba's case in the URL, so it gets memory that is wiped before it goes back. A program that has called
 * curl_global_init before us keeps the functions it has. [ENC-101]
 */
static void give_back(void *ptr)
{
#ifndef CSFLE_BREAK_CURL_UNWIPED
  if (ptr) csfle__wipe(ptr, malloc_usable_size(ptr));
#endif
  free(ptr);
}

static void *resize(void *ptr, size_t size)
{
  size_t had = ptr ? malloc_usable_size(ptr) : 0;
  if (had >= size && had / 2 <= size) return ptr;
  void *new = malloc(size);
  if (!new) return NULL;
  if (ptr) memcpy(new, ptr, had < size ? had : size);
  give_back(ptr);
  return new;
}

static void global_init(void) { curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, give_back, resize, strdup, calloc); }

static bool copy_text(const char **to, const char *from)
{
  *to = NULL;
  if (!from || !*from) return true;
  *to = csfle__dup(from, strlen(from));
  return *to != NULL;
}

static bool copy_tls(csfle__tls *to, const csfle__tls *from)
{
  return copy_text(&to->ca_file, from->ca_file) && copy_text(&to->cert_file, from->cert_file) && copy_text(&to->key_file, from->key_file) &&
         copy_text(&to->key_password, from->key_password);
}

static void free_tls(csfle__tls *t)
{
  csfle__free((char *)t->ca_file), csfle__free((char *)t->cert_file), csfle__free((char *)t->key_file);
  if (t->key_password) csfle__free_secret((char *)t->key_password, strlen(t->key_password));
}

csfle_status csfle__curl_new(csfle__curl **out, const csfle__curl_options *o, csfle_error *err)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, global_init);
  *out = NULL;
  csfle__curl *c = csfle__calloc(1, sizeof *c);
  if (!c) return csfle__nomem(err);
  pthread_mutex_init(&c->lock, NULL);
  c->pid = getpid();
  c->transport = (csfle_transport){ sizeof c->transport, c, start, cancel, CSFLE_TRANSPORT_ASKS_ADDRESSES };
  c->connect_timeout_ms = o->connect_timeout_ms ? o->connect_timeout_ms : CONNECT_DEFAULT;
  c->timeout_ms = o->timeout_ms ? o->timeout_ms : TIMEOUT_DEFAULT;
  c->max_reply_bytes = o->max_reply_bytes ? o->max_reply_bytes : CSFLE__REPLY_MAX;
  if (!copy_tls(&c->tls, &o->tls) || !copy_tls(&c->kms_tls, &o->kms_tls) || !copy_text(&c->proxy, o->proxy)) {
    csfle__curl_free(c);
    return csfle__nomem(err);
  }
  *out = c;
  return CSFLE_OK;
}

void csfle__curl_free(csfle__curl *c)
{
  if (!c) return;
  if (c->pid == getpid())
    while (c->idle_count) curl_easy_cleanup(c->idle[--c->idle_count]);
  pthread_mutex_destroy(&c->lock);
  free_tls(&c->tls), free_tls(&c->kms_tls);
  if (c->proxy) csfle__free_secret((char *)c->proxy, strlen(c->proxy)); /* http://user:password@proxy */
  csfle__free(c);
}

const csfle_transport *csfle__curl_transport(csfle__curl *c) { return &c->transport; }
bool csfle__curl_is(const csfle_transport *t) { return t && t->start == start; }
