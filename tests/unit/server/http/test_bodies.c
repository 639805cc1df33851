/* Bodies that many begin and do not end fill no memory: past a bound others are asked to come again. AB-14. */
#include "server/http/http.h"
#include "tests/support/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

static const csfle__log quiet = { NULL, NULL, 0 };
static registry_http   *http;

static void begin(void *opaque, registry_request *rq, registry_reply *reply) { (void)opaque, (void)rq, (void)reply; }
static registry_handled handle(void *opaque, registry_request *rq, registry_reply *reply)
{
  (void)opaque, (void)rq;
  reply->status = 200;
  return REGISTRY_ANSWERED;
}
static bool settled(void *opaque, const registry_request *rq) { return (void)opaque, (void)rq, true; }
static bool settle(void *opaque, registry_request *rq, void *waiter) { return (void)opaque, (void)rq, (void)waiter, true; }

/* a connection on which @p sent of @p len bytes were sent */
static int post(const void *body, size_t len, size_t sent, const char *header)
{
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)registry_http_port(http, 0)), .sin_addr = { htonl(INADDR_LOOPBACK) } };
  char               head[200];
  int                fd = socket(AF_INET, SOCK_STREAM, 0);
  int                n = snprintf(head, sizeof head, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n", header, len);
  assert_int_equal(connect(fd, (struct sockaddr *)(void *)&to, sizeof to), 0);
  assert_int_equal(send(fd, head, (size_t)n, 0), n);
  if (sent) assert_int_equal(send(fd, body, sent, 0), (ssize_t)sent);
  return fd;
}

static int status_of(int fd)
{
  char    answer[1000];
  ssize_t n = recv(fd, answer, sizeof answer - 1, 0);
  assert_true(n > 12);
  answer[n] = 0;
  bool again = strstr(answer, "Retry-After: 1\r\n") != NULL;
  int  status = atoi(answer + 9);
  if (again != (status == 503)) fail_msg("%s", answer);
  close(fd);
  return status;
}

static int whole(const void *body, size_t len, const char *header) { return status_of(post(body, len, len, header)); }

TEST(bodies_of_all_are_bounded)
{
  static char           bytes[900];
  registry_http_options o = { .listeners = { { "127.0.0.1", 0, false } }, .listener_count = 1, .max_body_bytes = 1000, .max_bodies_bytes = 1500, .workers = 1, .queue = 4, .connections = 20, .idle_timeout_s = 30 };
  registry_http_app     app = { NULL, begin, handle, settled, settle };

  assert_ok(registry_http_start(&http, &o, &app, &quiet, err));
  for (int i = 0; i < 20; i++) assert_int_equal(whole(bytes, sizeof bytes, ""), 200); /* one after the other: what is answered counts no more */
  int half = post(bytes, sizeof bytes, 800, "");
  nanosleep(&(struct timespec){ 0, 100000000 }, NULL);
  assert_int_equal(whole(bytes, sizeof bytes, ""), 503);
  assert_int_equal(whole(bytes, 600, ""), 200);
  uint8_t packed[400];
  uLongf  n = sizeof packed;
  z_stream z = { 0 };
  assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY), Z_OK);
  z.next_in = (Bytef *)bytes, z.avail_in = sizeof bytes, z.next_out = packed, z.avail_out = (uInt)n;
  assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
  n = z.total_out;
  deflateEnd(&z);
  assert_int_equal(whole(packed, n, "Content-Encoding: gzip\r\n"), 503); /* as large as it becomes */
  assert_int_equal(send(half, bytes, 100, 0), 100);
  assert_int_equal(status_of(half), 200); /* who began is let end */
  half = post(bytes, sizeof bytes, 800, "");
  nanosleep(&(struct timespec){ 0, 100000000 }, NULL);
  close(half); /* who went holds nothing */
  nanosleep(&(struct timespec){ 0, 100000000 }, NULL);
  assert_int_equal(whole(bytes, sizeof bytes, ""), 200);
  assert_int_equal(whole(packed, n, "Content-Encoding: gzip\r\n"), 200);
  assert_true(registry_http_stop(http, 20000));
}
