/* Which requests count as this machine's own, over a plain listener: none that a proxy makes for somebody else. AB-7. */
#include "server/http/http.h"
#include "tests/support/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static const csfle__log quiet = { NULL, NULL, 0 };

static void begin(void *opaque, registry_request *rq, registry_reply *reply) { (void)opaque, (void)rq, (void)reply; }
static registry_handled handle(void *opaque, registry_request *rq, registry_reply *reply)
{
  (void)opaque;
  reply->status = rq->confidential ? 200 : 403;
  return REGISTRY_ANSWERED;
}
static bool settled(void *opaque, const registry_request *rq) { return (void)opaque, (void)rq, true; }
static bool settle(void *opaque, registry_request *rq, void *waiter) { return (void)opaque, (void)rq, (void)waiter, true; }

static int status_with(int port, const char *header)
{
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
  char               text[500];
  int                fd = socket(AF_INET, SOCK_STREAM, 0);
  int                n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s%s\r\n", header, *header ? "\r\n" : "");
  assert_int_equal(connect(fd, (struct sockaddr *)(void *)&to, sizeof to), 0);
  assert_int_equal(send(fd, text, (size_t)n, 0), n);
  ssize_t got = recv(fd, text, sizeof text - 1, 0);
  assert_true(got > 12);
  text[got] = 0;
  close(fd);
  return atoi(text + 9);
}

TEST(AB_7_a_proxy_on_this_machine_is_not_this_machine)
{
  static const struct { const char *header; int status; } cases[] = {
    { "", 200 }, { "X-Forward: true", 200 }, { "X-Request-ID: x-forwarded-for", 200 }, { "Accept: */*", 200 },
    { "X-Forwarded-For: 127.0.0.1", 403 }, { "x-forwarded-for:", 403 }, { "X-FORWARDED-PROTO: https", 403 }, { "Forwarded: for=127.0.0.1;proto=https", 403 }, { "Via: 1.1 x", 403 },
    { "X-Real-IP: ::1", 403 }, { "x-forwarded-host: a", 403 }, { "X-Forwarded-Port: 443", 403 },
  };
  registry_http_options o = { .listeners = { { "127.0.0.1", 0, false } }, .listener_count = 1, .max_body_bytes = 1000, .max_bodies_bytes = 1000, .workers = 1, .queue = 4, .connections = 20, .idle_timeout_s = 30 };
  registry_http_app     app = { NULL, begin, handle, settled, settle };
  registry_http        *http = NULL;
  assert_ok(registry_http_start(&http, &o, &app, &quiet, err));
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int status = status_with(registry_http_port(http, 0), cases[i].header);
    if (status != cases[i].status) fail_msg("%s: %d", cases[i].header, status);
  }
  assert_true(registry_http_stop(http, 20000));
}
