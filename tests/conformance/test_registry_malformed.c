/* Requests no client would send: each gets a clear status or a closed connection, and the server goes on. */
#include "tests/support/registry.h"
#include "tests/support/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static csfle_test_registry r;

/* sends bytes as they are; the answer's status, 0: closed or silent without one */
static int raw(const void *bytes, size_t len, char *answer, size_t size)
{
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)r.port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
  int                fd = socket(AF_INET, SOCK_STREAM, 0), status = 0;
  size_t             got = 0, sent = 0;

  assert_true(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
  while (sent < len) {
    ssize_t n = send(fd, (const char *)bytes + sent, len - sent, MSG_NOSIGNAL);
    if (n <= 0) break;
    sent += (size_t)n;
  }
  shutdown(fd, SHUT_WR);
  while (got < size - 1) {
    struct pollfd p = { .fd = fd, .events = POLLIN };
    if (poll(&p, 1, len > 10000 ? 8000 : 800) <= 0) break;
    ssize_t n = recv(fd, answer + got, size - 1 - got, 0);
    if (n <= 0) break;
    got += (size_t)n;
  }
  answer[got] = 0;
  close(fd);
  sscanf(answer, "HTTP/1.%*d %d", &status);
  return status;
}

static void still_alive(void)
{
  csfle_test_reply p = csfle_test_http(&r, "GET", "/subjects", NULL);
  assert_int_equal(p.status, 200);
  csfle_test_reply_free(&p);
}

TEST(registry_starts) { csfle_test_registry_start(&r, NULL); }

TEST(malformed_requests_are_refused)
{
  static char answer[65536];
  const struct { const char *what; csfle__bytes bytes; int low, high; } cases[] = {
    { "no HTTP at all", BYTES("\x16\x03\x01\x02\x00garbage\r\n\r\n"), 0, 499 },
    { "a lone word", BYTES("HELLO\r\n\r\n"), 0, 499 },
    { "no absolute path", BYTES("GET subjects HTTP/1.1\r\nHost: x\r\n\r\n"), 400, 499 },
    { "half an escape", BYTES("GET /subjects/%4 HTTP/1.1\r\nHost: x\r\n\r\n"), 400, 400 },
    { "a wrong escape", BYTES("GET /subjects/%zz/versions HTTP/1.1\r\nHost: x\r\n\r\n"), 400, 400 },
    { "a wrong escape in the query", BYTES("GET /subjects?subjectPrefix=%g HTTP/1.1\r\nHost: x\r\n\r\n"), 400, 400 },
    { "no UTF-8", BYTES("GET /subjects/%ff%fe/versions HTTP/1.1\r\nHost: x\r\n\r\n"), 400, 400 },
    { "two lengths", BYTES("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"), 0, 400 },
    { "the same length twice", BYTES("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}"), 0, 400 },
    { "length and chunks", BYTES("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"), 0, 400 },
    { "a negative length", BYTES("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -2\r\n\r\n{}"), 0, 400 },
    { "a signed length", BYTES("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n{}"), 0, 400 },
    { "a CR in a value", BYTES("GET /subjects HTTP/1.1\r\nHost: x\r\nX-Request-ID: a\rb\r\n\r\n"), 0, 400 },
    { "a blank before the colon", BYTES("POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 2\r\n\r\n{}"), 0, 400 },
    { "a chunk size that is none", BYTES("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"), 0, 400 },
    { "an endless chunk size", BYTES("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}\r\n"), 0, 413 },
    { "an unknown coding", BYTES("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"), 0, 499 },
    { "a body cut short", BYTES("POST /subjects/s HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\n\r\n{\"schema\":"), 0, 499 },
    { "a body that is announced as huge", BYTES("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{}"), 0, 413 },
    { "an unknown content coding", BYTES("POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}"), 415, 415 },
    { "gzip that is none", BYTES("POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"), 400, 400 },
    { "an unknown method", BYTES("BREW /subjects HTTP/1.1\r\nHost: x\r\n\r\n"), 405, 501 },
    { "a control character in the target", BYTES("GET /subjects/a\x01z HTTP/1.1\r\nHost: x\r\n\r\n"), 0, 400 },
    { "an escaped NUL in a name nobody has", BYTES("GET /subjects/a%00b/versions HTTP/1.1\r\nHost: x\r\n\r\n"), 404, 404 },
    { "a NUL in the target", BYTES("GET /subjects\0x HTTP/1.1\r\nHost: x\r\n\r\n"), 0, 400 },
    { "a NUL in a value", BYTES("GET /subjects HTTP/1.1\r\nHost: x\r\nX-Request-ID: a\0b\r\n\r\n"), 0, 400 },
    { "a NUL in the length", BYTES("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\0005\r\n\r\n{}"), 0, 400 },
    { "a NUL in the last value", BYTES("GET /subjects HTTP/1.1\r\nHost: x\0y\r\n\r\n"), 0, 400 },
    { "lines that end in LF", BYTES("GET /subjects HTTP/1.1\nHost: x\nAccept: */*\n\n"), 0, 400 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int status = raw(cases[i].bytes.ptr, cases[i].bytes.len, answer, sizeof answer);
    if (status < cases[i].low || status > cases[i].high || (status >= 200 && status < 300))
      fail_msg("%s: answered %d, expected %d to %d\n%.300s", cases[i].what, status, cases[i].low, cases[i].high, answer);
    /* nothing of the body may be taken for a second request */
    if (strstr(answer, "HTTP/1.1 2")) fail_msg("%s: something was answered\n%.600s", cases[i].what, answer);
    still_alive();
  }
}

TEST(huge_headers_are_refused)
{
  static char request[300000], answer[65536];
  size_t      n = (size_t)snprintf(request, sizeof request, "GET /subjects HTTP/1.1\r\nHost: x\r\nX-Long: ");
  memset(request + n, 'a', 100000);
  n += 100000;
  n += (size_t)snprintf(request + n, sizeof request - n, "\r\n\r\n");
  int status = raw(request, n, answer, sizeof answer);
  assert_true(status == 0 || status == 431 || status == 413 || status == 400);
  n = (size_t)snprintf(request, sizeof request, "GET /subjects HTTP/1.1\r\nHost: x\r\n");
  for (int i = 0; i < 5000; i++) n += (size_t)snprintf(request + n, sizeof request - n, "X-H%d: v\r\n", i);
  n += (size_t)snprintf(request + n, sizeof request - n, "\r\n");
  status = raw(request, n, answer, sizeof answer);
  assert_true(status == 0 || status == 431 || status == 413 || status == 400);
  n = (size_t)snprintf(request, sizeof request, "GET /subjects/");
  memset(request + n, 'b', 200000);
  n += 200000;
  n += (size_t)snprintf(request + n, sizeof request - n, " HTTP/1.1\r\nHost: x\r\n\r\n");
  status = raw(request, n, answer, sizeof answer);
  assert_true(status == 0 || (status >= 400 && status < 500));
  still_alive();
}

TEST(deep_and_broken_json_is_a_bad_request)
{
  static char body[400001];
  memset(body, '[', 200000);
  memset(body + 200000, ']', 200000);
  const char *bodies[] = { body, "{", "{\"schema\":}", "[]", "\"x\"", "1", "{\"schema\":\"\\ud800\"}", "{\"schema\":{}}", "nul", "{} {}" };
  for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
    csfle_test_reply p = csfle_test_http(&r, "POST", "/subjects/deep/versions", bodies[i]);
    if (p.status != 400) fail_msg("body %zu: %ld %s", i, p.status, p.body);
    assert_non_null(strstr(p.body, "\"error_code\":400"));
    csfle_test_reply_free(&p);
  }
  /* a schema nested as deep, as text inside a small body */
  size_t n = 0;
  n += (size_t)snprintf(body, sizeof body, "{\"schema\":\"");
  for (int i = 0; i < 5000; i++) n += (size_t)snprintf(body + n, sizeof body - n, "{\\\"type\\\":\\\"array\\\",\\\"items\\\":");
  snprintf(body + n, sizeof body - n, "\"}");
  csfle_test_reply p = csfle_test_http(&r, "POST", "/subjects/deep/versions", body);
  assert_int_equal(p.status, 422);
  csfle_test_reply_free(&p);
  still_alive();
}

TEST(a_gzip_bomb_stops_at_the_limit)
{
  /* 40 MB of zeros is 40 KB of gzip; made by the command every machine has */
  char command[600], path[300];
  snprintf(path, sizeof path, "%s/bomb.gz", r.dir);
  snprintf(command, sizeof command, "head -c 40000000 /dev/zero | gzip -9 > '%s'", path);
  assert_int_equal(system(command), 0);
  FILE *f = fopen(path, "rb");
  static char request[100000], answer[4096];
  assert_non_null(f);
  static char packed[90000];
  size_t len = fread(packed, 1, sizeof packed, f);
  fclose(f);
  unlink(path);
  size_t n = (size_t)snprintf(request, sizeof request, "POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n", len);
  memcpy(request + n, packed, len);
  assert_int_equal(raw(request, n + len, answer, sizeof answer), 413);
  still_alive();
}

TEST(a_body_past_the_limit_is_413)
{
  size_t size = (17u << 20) + 200;
  char  *request = (char *)malloc(size);
  static char answer[65536];
  assert_non_null(request);
  size_t n = (size_t)snprintf(request, size, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", 17u << 20);
  memset(request + n, ' ', 17u << 20);
  n += 17u << 20;
  n += (size_t)snprintf(request + n, size - n, "\r\n0\r\n\r\n");
  assert_int_equal(raw(request, n, answer, sizeof answer), 413);
  free(request);
  still_alive();
}

TEST(pipelined_requests_are_answered_one_by_one)
{
  static char answer[65536];
  const char *both = "GET /schemas/types HTTP/1.1\r\nHost: x\r\n\r\nGET /contexts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  assert_int_equal(raw(both, strlen(both), answer, sizeof answer), 200);
  char *first = strstr(answer, "[\"AVRO\"]"), *second = strstr(answer, "[\".\"]");
  assert_true(first && second && first < second);
}

TEST(registry_stops) { csfle_test_registry_stop(&r); }
