/* What core/fetch/curl.c and libcurl leave in this process's memory of a request and its reply: nothing. [ENC-101] */
#include "core/fetch/fetch.h"
#include "tests/support/test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A sanitizer's own functions leave what they copied on the stack; under one the requests are made, for what else it finds. */
#ifdef __SANITIZE_ADDRESS__
#define LOOKS false
#else
#define LOOKS true
#endif

#define SECRET_LEN 48

/* Character i of secret number which. They are never kept, so that only copies of what was sent can be found. */
static uint8_t secret_at(unsigned which, size_t i) { return (uint8_t)('A' + (i * i * 3 + i * 5 + which * 7) % 26); }

static csfle_status put_secret(csfle_buf *b, unsigned which)
{
  csfle_status rc = CSFLE_OK;
  for (size_t i = 0; rc == CSFLE_OK && i < SECRET_LEN; i++) rc = csfle__buf_putc(b, (char)secret_at(which, i), NULL);
  return rc;
}

/* Places in writable memory that hold sixteen characters in a row of a secret. */
static unsigned copies(unsigned which)
{
  static uint8_t page[1 << 16];
  const uint8_t  first[] = { secret_at(which, 8), secret_at(which, 16), secret_at(which, 24) }; /* not the whole: an allocator may have written over an end */
  unsigned       found = 0;
  char           line[512];
  FILE          *maps = fopen("/proc/self/maps", "r");
  int            mem = open("/proc/self/mem", O_RDONLY);
  assert_non_null(maps);
  assert_true(mem >= 0);
  while (fgets(line, sizeof line, maps)) {
    unsigned long from, to;
    char          rights[8];
    if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || rights[1] != 'w' || to - from > 64ul << 20) continue; /* a sanitizer's shadow is huge */
    for (unsigned long at = from; at < to; at += sizeof page - SECRET_LEN) {
      size_t  want = to - at < sizeof page ? to - at : sizeof page;
      ssize_t n = at <= (unsigned long)(uintptr_t)page && (unsigned long)(uintptr_t)page < at + want ? 0 : pread(mem, page, want, (off_t)at);
      for (ssize_t j = 0; j + 16 <= n; j++)
        for (size_t k = 0; k < 3; k++) {
          if (page[j] != first[k]) continue;
          size_t i = 1;
          while (i < 16 && page[j + (ssize_t)i] == secret_at(which, 8 * (k + 1) + i)) i++;
          found += i == 16;
        }
    }
  }
  csfle__wipe(page, sizeof page);
  fclose(maps);
  close(mem);
  return found;
}

/* In a process of its own: answers each request with secret 3. */
static pid_t serve(int *port)
{
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t          len = sizeof a;
  int                listener = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof a), 0);
  assert_int_equal(listen(listener, 4), 0);
  assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &len), 0);
  *port = ntohs(a.sin_port);
  pid_t child = fork();
  if (child) return close(listener), child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (;;) {
    char in[4096], out[512];
    int  fd = accept(listener, NULL, NULL);
    for (size_t n = 0; fd >= 0;) {
      ssize_t got = recv(fd, in + n, sizeof in - 1 - n, 0);
      if (got <= 0) break;
      n += (size_t)got;
      in[n] = 0;
      char *end = strstr(in, "\r\n\r\n");
      if (!end || n < (size_t)(end + 4 - in) + SECRET_LEN) continue;
      int m = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", SECRET_LEN);
      for (size_t i = 0; i < SECRET_LEN; i++) out[m++] = (char)secret_at(3, i);
      if (send(fd, out, (size_t)m, 0) != m) break;
      n = 0;
    }
    close(fd);
  }
}

static void send_secrets(csfle__curl *c, int port, csfle__io *io)
{
  csfle__request *r = &io->request;
  csfle__io_init(io);
  r->method = "POST", r->purpose = "kms", r->has_body = true, r->addresses = CSFLE__ADDRESS_LOOPBACK;
  assert_ok(csfle__buf_printf(&r->url, err, "http://127.0.0.1:%d/?KeyId=k&Plaintext=", port));
  assert_int_equal(put_secret(&r->url, 0), CSFLE_OK);
  assert_ok(csfle__buf_puts(&r->headers, "Authorization: Bearer ", err));
  assert_int_equal(put_secret(&r->headers, 1), CSFLE_OK);
  assert_ok(csfle__buf_puts(&r->headers, "\r\n", err));
  assert_int_equal(put_secret(&r->body, 2), CSFLE_OK);
  csfle__send(csfle__curl_transport(c), io);
  if (io->reply.status != 200) fail_msg("%d %s", io->reply.status, io->reply.failure);
  assert_int_equal(io->reply.body.len, SECRET_LEN);
}

/* ENC-101, and for keys in the URL of Alibaba's KMS. The last line of a reply's head stays in libcurl's handle: no KMS has secrets there. */
TEST(neither_url_nor_headers_nor_bodies_stay_in_memory_after_a_request)
{
  static const char *const what[] = { "URL", "header", "body", "body of the reply" };
  csfle__curl_options      options = { 0 };
  csfle__curl             *c;
  csfle__io                io;
  int                      port;
  pid_t                    server = serve(&port);
  assert_ok(csfle__curl_new(&c, &options, err));
  /* The first request goes over a new connection, the others over the same. It is not looked at, except that the search works: when a
     function is first called the dynamic linker saves registers on the stack, with what memcpy left in them. */
  for (int round = 0; round < 3; round++) {
    send_secrets(c, port, &io);
    for (unsigned i = 0; LOOKS && round == 0 && i < 4; i++)
      if (copies(i) == 0) fail_msg("the search does not find the %s where it is", what[i]);
    csfle__io_free(&io);
  }
  for (unsigned i = 0; LOOKS && i < 4; i++) {
    unsigned n = copies(i);
    if (n) fail_msg("%u pieces of the %s are left", n, what[i]);
  }
  csfle__curl_free(c);
  for (unsigned i = 0; LOOKS && i < 4; i++) assert_int_equal(copies(i), 0);
  kill(server, SIGKILL);
  waitpid(server, NULL, 0);
}
