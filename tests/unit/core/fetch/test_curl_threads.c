/* core/fetch/curl.c against a small HTTP server inside the test. */
#include "core/fetch/fetch.h"
#include "tests/support/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int         listener, port;
static atomic_int  connections;
static char        last[8192]; /* the newest request as received */
static pthread_mutex_t last_lock = PTHREAD_MUTEX_INITIALIZER;

static void say(int fd, const char *text, size_t len)
{
  while (len) {
    ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
    if (n <= 0) return;
    text += n, len -= (size_t)n;
  }
}

#define SAY(fd, text) say(fd, text, sizeof(text) - 1)

/* Answers by path until the client hangs up. */
static void *serve_one(void *opaque)
{
  int    fd = (int)(intptr_t)opaque;
  char   in[8192];
  size_t n = 0;
  for (;;) {
    char *end;
    in[n] = 0;
    while (!(end = strstr(in, "\r\n\r\n"))) {
      ssize_t got = n < sizeof in - 1 ? recv(fd, in + n, sizeof in - 1 - n, 0) : 0;
      if (got <= 0) return close(fd), NULL;
      n += (size_t)got;
      in[n] = 0;
    }
    const char *length = strcasestr(in, "\r\nContent-Length:");
    size_t      body = length && length < end ? (size_t)atoi(length + 17) : 0, whole = (size_t)(end + 4 - in) + body;
    while (n < whole) {
      ssize_t got = recv(fd, in + n, sizeof in - 1 - n, 0);
      if (got <= 0) return close(fd), NULL;
      n += (size_t)got;
    }
    pthread_mutex_lock(&last_lock);
    memcpy(last, in, whole);
    last[whole] = 0;
    pthread_mutex_unlock(&last_lock);
    char path[200] = "";
    sscanf(in, "%*s %199s", path);
    if (strcmp(path, "/500") == 0) {
      SAY(fd, "HTTP/1.1 500 Oops\r\nContent-Length: 15\r\nX-One: two\r\n\r\n{\"error_code\":1");
    } else if (strcmp(path, "/big") == 0 || strcmp(path, "/chunks") == 0) {
      static char piece[1000];
      bool        chunked = path[1] == 'c';
      SAY(fd, "HTTP/1.1 200 OK\r\n");
      if (chunked) SAY(fd, "Transfer-Encoding: chunked\r\n\r\n");
      else SAY(fd, "Content-Length: 100000\r\n\r\n");
      for (int i = 0; i < 100; i++) {
        if (chunked) SAY(fd, "3e8\r\n");
        say(fd, piece, sizeof piece);
        if (chunked) SAY(fd, "\r\n");
      }
      if (chunked) SAY(fd, "0\r\n\r\n");
    } else if (strcmp(path, "/slow") == 0) {
      nanosleep(&(struct timespec){ 0, 900 * 1000000 }, NULL);
      SAY(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    } else if (strcmp(path, "/moved") == 0) {
      SAY(fd, "HTTP/1.1 302 Found\r\nLocation: /500\r\nContent-Length: 0\r\n\r\n");
    } else if (strcmp(path, "/cut") == 0) {
      SAY(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
      return close(fd), NULL;
    } else if (strcmp(path, "/cuthead") == 0) {
      SAY(fd, "HTTP/1.1 200 OK\r\nContent-Type: application/js");
      return close(fd), NULL;
    } else if (strcmp(path, "/none") == 0) {
      return close(fd), NULL;
    } else if (strcmp(path, "/continue") == 0) {
      SAY(fd, "HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\nHTTP/1.1 201 Created\r\nX-Late: 1\r\nContent-Length: 2\r\n\r\nok");
    } else {
      SAY(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
    n -= whole;
    memmove(in, in + whole, n);
  }
}

static void *serve(void *opaque)
{
  for (;;) {
    int       fd = accept(listener, NULL, NULL);
    pthread_t t;
    if (fd < 0) return opaque;
    atomic_fetch_add(&connections, 1);
    if (pthread_create(&t, NULL, serve_one, (void *)(intptr_t)fd)) abort();
    pthread_detach(t);
  }
}

static csfle__curl *set_up(size_t max, uint32_t timeout)
{
  static pthread_t    thread;
  csfle__curl        *c;
  csfle__curl_options o = { .max_reply_bytes = max, .timeout_ms = timeout, .tls = { .ca_file = "" }, .proxy = "" };
  if (!port) {
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t          n = sizeof a;
    unsetenv("http_proxy"), unsetenv("HTTP_PROXY"), unsetenv("all_proxy"), unsetenv("ALL_PROXY");
    listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(listener, 64), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &n), 0);
    port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&thread, NULL, serve, NULL), 0);
    pthread_detach(thread);
  }
  assert_ok(csfle__curl_new(&c, &o, err));
  return c;
}

static void ask(csfle__curl *c, csfle__io *io, const char *method, const char *path, const char *body)
{
  csfle__io_reset(io);
  io->request.method = method, io->request.purpose = "registry";
  if (csfle__buf_printf(&io->request.url, NULL, "http://127.0.0.1:%d%s", port, path) != CSFLE_OK) abort();
  if (csfle__buf_puts(&io->request.headers, "Authorization: Bearer t\r\nAccept: a/b\r\n", NULL) != CSFLE_OK) abort();
  if (body) {
    if (csfle__buf_puts(&io->request.headers, "Content-Type: x/y\r\n", NULL) != CSFLE_OK) abort();
    if (csfle__buf_puts(&io->request.body, body, NULL) != CSFLE_OK) abort();
    io->request.has_body = true;
  }
  csfle__send(csfle__curl_transport(c), io);
}

static bool last_has(const char *text)
{
  pthread_mutex_lock(&last_lock);
  bool found = strstr(last, text) != NULL;
  pthread_mutex_unlock(&last_lock);
  return found;
}

TEST(every_method_arrives_with_its_headers_and_body_on_one_connection)
{
  csfle__curl *c = set_up(0, 0);
  csfle__io    io;
  int          before = atomic_load(&connections);
  const struct {
    const char *method, *path, *body, *first;
  } cases[] = {
    { "GET", "/a%2Fb/%2E%2E/c?q=%20", NULL, "GET /a%2Fb/%2E%2E/c?q=%20 HTTP/1.1\r\n" },
    { "POST", "/p", "{\"a\":1}", "POST /p HTTP/1.1\r\n" },
    { "POST", "/p", NULL, "POST /p HTTP/1.1\r\n" },
    { "PUT", "/p", "x", "PUT /p HTTP/1.1\r\n" },
    { "DELETE", "/p", NULL, "DELETE /p HTTP/1.1\r\n" },
    { "GET", "/a/../b", NULL, "GET /a/../b HTTP/1.1\r\n" },
  };
  csfle__io_init(&io);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ask(c, &io, cases[i].method, cases[i].path, cases[i].body);
    assert_int_equal(io.reply.status, 200);
    assert_bytes_equal(csfle__buf_view(&io.reply.body), BYTES("ok"));
    assert_true(last_has(cases[i].first));
    assert_true(last_has("\r\nAuthorization: Bearer t\r\n"));
    assert_true(last_has("\r\nUser-Agent: csfle/"));
    assert_true(last_has("Content-Type: x/y\r\n") == (cases[i].body != NULL));
    assert_false(last_has("Expect:"));
    assert_false(last_has("x-www-form-urlencoded"));
    if (cases[i].body) assert_true(last_has(cases[i].body));
  }
  assert_int_equal(atomic_load(&connections) - before, 1);
  csfle__io_free(&io);
  csfle__curl_free(c);
}

TEST(answers_of_every_status_come_back_and_redirects_are_not_followed)
{
  csfle__curl *c = set_up(0, 0);
  csfle__io    io;
  csfle__io_init(&io);
  ask(c, &io, "GET", "/500", NULL);
  assert_int_equal(io.reply.status, 500);
  assert_bytes_equal(csfle__buf_view(&io.reply.body), BYTES("{\"error_code\":1"));
  assert_bytes_equal(csfle__header(csfle__buf_view(&io.reply.headers), "x-one"), BYTES("two"));
  ask(c, &io, "GET", "/moved", NULL);
  assert_int_equal(io.reply.status, 302);
  assert_true(last_has("GET /moved "));
  ask(c, &io, "POST", "/continue", "x");
  assert_int_equal(io.reply.status, 201);
  assert_null(csfle__header(csfle__buf_view(&io.reply.headers), "X-Early").ptr);
  assert_bytes_equal(csfle__header(csfle__buf_view(&io.reply.headers), "X-Late"), BYTES("1"));
  csfle__io_free(&io);
  csfle__curl_free(c);
}

TEST(a_reply_longer_than_allowed_is_cut_off_while_it_grows)
{
  csfle__curl *c = set_up(50000, 0);
  csfle__io    io;
  const char  *paths[] = { "/big", "/chunks" };
  csfle__io_init(&io);
  for (int i = 0; i < 2; i++) {
    ask(c, &io, "GET", paths[i], NULL);
    assert_int_equal(io.reply.status, 0);
    assert_int_equal(io.reply.body.len, 0);
    assert_string_equal(io.reply.failure, "reply is longer than the 50000 bytes allowed");
  }
  csfle__curl_free(c);
  c = set_up(0, 0);
  ask(c, &io, "GET", "/chunks", NULL);
  assert_int_equal(io.reply.body.len, 100000);
  csfle__io_free(&io);
  csfle__curl_free(c);
}

TEST(failures_are_said_in_words_without_the_url)
{
  csfle__curl *c = set_up(0, 200);
  csfle__io    io;
  const struct {
    const char *url, *why;
  } cases[] = {
    { "http://user:hidden@127.0.0.1:1/", "connection refused" },
    { "ftp://user:hidden@127.0.0.1/", "URL is neither http nor https" },
    { "file:///etc/hostname", "URL is neither http nor https" },
    { "http://[hidden", "malformed URL" },
    { "", "malformed URL" },
  };
  csfle__io_init(&io);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle__io_reset(&io);
    io.request.method = "GET";
    assert_ok(csfle__buf_puts(&io.request.url, cases[i].url, err));
    csfle__send(csfle__curl_transport(c), &io);
    assert_int_equal(io.reply.status, 0);
    assert_string_equal(io.reply.failure, cases[i].why);
  }
  ask(c, &io, "GET", "/slow", NULL);
  assert_string_equal(io.reply.failure, "timed out");
  assert_int_equal(csfle__reply_failed(&io.reply, NULL), CSFLE_E_TIMEOUT);
  ask(c, &io, "GET", "/cut", NULL);
  assert_string_equal(io.reply.failure, "connection closed inside the reply");
  assert_int_equal(io.reply.body.len, 0);
  ask(c, &io, "GET", "/cuthead", NULL);
  assert_string_equal(io.reply.failure, "connection closed inside the reply");
  ask(c, &io, "GET", "/none", NULL);
  assert_string_equal(io.reply.failure, "connection closed before the reply");
  csfle__io_free(&io);
  csfle__curl_free(c);
}

static void *many(void *opaque)
{
  csfle__io io;
  intptr_t  good = 0;
  csfle__io_init(&io);
  for (int i = 0; i < 50; i++) {
    ask(opaque, &io, i % 2 ? "POST" : "GET", "/ok", i % 2 ? "b" : NULL);
    good += io.reply.status == 200 && io.reply.body.len == 2;
  }
  csfle__io_free(&io);
  return (void *)good;
}
TEST(threads_share_the_pool_and_connections_are_reused)
{
  csfle__curl *c = set_up(0, 0);
  pthread_t    t[4];
  void        *good;
  int          before = atomic_load(&connections);
  for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&t[i], NULL, many, c), 0);
  for (int i = 0; i < 4; i++) {
    assert_int_equal(pthread_join(t[i], &good), 0);
    assert_int_equal((intptr_t)good, 50);
  }
  assert_true(atomic_load(&connections) - before <= 4);
  csfle__curl_free(c);
}

/* Two processes on one connection would read each other's answers. */
TEST(a_forked_child_opens_its_own_connection)
{
  csfle__curl *c = set_up(0, 0);
  csfle__io    io;
  int          before = atomic_load(&connections), status;
  csfle__io_init(&io);
  ask(c, &io, "GET", "/ok", NULL);
  assert_int_equal(atomic_load(&connections) - before, 1);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    ask(c, &io, "GET", "/500", NULL);
    _exit(io.reply.status == 500 ? 0 : 1);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  assert_int_equal(atomic_load(&connections) - before, 2);
  ask(c, &io, "GET", "/ok", NULL);
  assert_int_equal(io.reply.status, 200);
  assert_int_equal(atomic_load(&connections) - before, 2);
  csfle__io_free(&io);
  csfle__curl_free(c);
}

static csfle_status whole(void)
{
  csfle__curl        *c;
  csfle__io           io;
  csfle__curl_options o = { .proxy = "", .tls = { .key_password = "p" }, .kms_tls = { .ca_file = "c" }, .timeout_ms = 2000 };
  csfle_status        rc = csfle__curl_new(&c, &o, NULL);
  if (rc != CSFLE_OK) return rc;
  csfle__io_init(&io);
  io.request.method = "GET";
  rc = csfle__buf_printf(&io.request.url, NULL, "http://127.0.0.1:%d/500", port);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&io.request.headers, "Authorization: Bearer t\r\n", NULL);
  if (rc == CSFLE_OK) {
    csfle__send(csfle__curl_transport(c), &io);
    if (io.reply.status == 0) rc = csfle__reply_failed(&io.reply, NULL);
  }
  csfle__io_free(&io);
  csfle__curl_free(c);
  return rc;
}
TEST(curl_survives_every_failed_allocation)
{
  csfle__curl_free(set_up(0, 0)); /* the server is up */
  TORTURE(whole());
}
