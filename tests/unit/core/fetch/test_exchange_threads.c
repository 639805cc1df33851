/* core/fetch/exchange.c: any transport, inline or later from another thread; files, variables, headers. */
#include "core/fetch/fetch.h"
#include "tests/support/test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* What the transports below answer, and what they saw. */
typedef struct answer {
  int         status;
  const char *headers, *body, *failure;
  size_t      len;
  bool        later;
  pthread_t   thread;
  char        seen[512];
} answer;
typedef struct job {
  answer         *a;
  csfle_exchange *x;
} job;

static void *finish(void *opaque)
{
  job    j = *(job *)opaque;
  size_t n;
  free(opaque);
  if (j.a->later) nanosleep(&(struct timespec){ 0, 20 * 1000000 }, NULL);
  const char *body = csfle_exchange_part(j.x, CSFLE_X_BODY, &n);
  snprintf(j.a->seen, sizeof j.a->seen, "%s %s [%s] %s %zu %s %u", (const char *)csfle_exchange_part(j.x, CSFLE_X_METHOD, NULL),
           (const char *)csfle_exchange_part(j.x, CSFLE_X_URL, NULL), (const char *)csfle_exchange_part(j.x, CSFLE_X_HEADERS, NULL),
           body ? body : "(none)", n, (const char *)csfle_exchange_part(j.x, CSFLE_X_PURPOSE, NULL),
           *(const uint32_t *)csfle_exchange_part(j.x, CSFLE_X_TIMEOUT_MS, NULL));
  csfle_exchange_done(j.x, j.a->status, j.a->headers, j.a->body, j.a->len, j.a->failure);
  return NULL;
}

static void start(void *opaque, csfle_exchange *x)
{
  answer *a = opaque;
  job    *j = malloc(sizeof *j);
  *j = (job){ a, x };
  if (!a->later) finish(j);
  else if (pthread_create(&a->thread, NULL, finish, j)) abort();
}
static void cancel(void *opaque, csfle_exchange *x) { (void)opaque, (void)x; }

static void send_through(answer *a, csfle__io *io)
{
  csfle_transport t = { sizeof t, a, start, cancel };
  csfle__send(&t, io);
  if (a->later) pthread_join(a->thread, NULL);
}

static void put(csfle_buf *b, const char *text) { assert_ok(csfle__buf_puts(b, text, err)); }

TEST(a_request_goes_out_whole_and_its_answer_comes_back_now_or_from_another_thread)
{
  for (int later = 0; later < 2; later++) {
    csfle__io io;
    answer    a = { .status = 200, .headers = "Content-Type: a/b\r\nX:  y \r\n", .body = "he\0lo", .len = 5, .later = later };
    csfle__io_init(&io);
    for (int round = 0; round < 3; round++) {
      csfle__io_reset(&io);
      io.request.method = "POST", io.request.purpose = "kms", io.request.timeout_ms = 77;
      put(&io.request.url, "http://h/p");
      put(&io.request.headers, "A: b\r\n");
      put(&io.request.body, "body");
      io.request.has_body = true;
      send_through(&a, &io);
      assert_string_equal(a.seen, "POST http://h/p [A: b\r\n] body 4 kms 77");
      assert_int_equal(io.reply.status, 200);
      assert_bytes_equal(csfle__buf_view(&io.reply.body), BYTES("he\0lo"));
      assert_bytes_equal(csfle__header(csfle__buf_view(&io.reply.headers), "content-TYPE"), BYTES("a/b"));
      assert_bytes_equal(csfle__header(csfle__buf_view(&io.reply.headers), "x"), BYTES("y"));
      assert_null(csfle__header(csfle__buf_view(&io.reply.headers), "Content").ptr);
      assert_string_equal(io.reply.failure, "");
    }
    csfle__io_free(&io);
  }
}

TEST(a_body_that_is_empty_is_told_from_none)
{
  csfle__io io;
  answer    a = { .status = 204 };
  csfle__io_init(&io);
  io.request.method = "GET";
  put(&io.request.url, "http://h/");
  send_through(&a, &io);
  assert_string_equal(a.seen, "GET http://h/ [] (none) 0  0");
  assert_int_equal(io.reply.status, 204);
  assert_int_equal(io.reply.body.len, 0);
  io.request.has_body = true;
  send_through(&a, &io);
  assert_string_equal(a.seen, "GET http://h/ []  0  0");
  csfle__io_free(&io);
}

TEST(no_answer_is_status_0_with_words_and_becomes_an_error_of_the_right_class)
{
  static char big[2000];
  const struct {
    answer       a;
    const char  *failure;
    csfle_status code;
  } cases[] = {
    { { .failure = "connection refused" }, "connection refused", CSFLE_E_UNAVAILABLE },
    { { .failure = "timed out", .status = 200 }, "timed out", CSFLE_E_TIMEOUT },
    { { .failure = "out of memory" }, "out of memory", CSFLE_E_NOMEM },
    { { .failure = "" }, "failed", CSFLE_E_UNAVAILABLE },
    { { .status = 0 }, "the transport gave no HTTP status", CSFLE_E_UNAVAILABLE },
    { { .status = 200, .body = big, .len = sizeof big }, "reply of 2000 bytes is longer than the 1000 allowed", CSFLE_E_UNAVAILABLE },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle__io   io;
    answer      a = cases[i].a;
    csfle_error err = CSFLE_ERROR_INIT;
    csfle__io_init(&io);
    io.reply.body.max = 1000;
    io.request.method = "GET";
    send_through(&a, &io);
    assert_int_equal(io.reply.status, 0);
    assert_int_equal(io.reply.body.len, 0);
    assert_string_equal(io.reply.failure, cases[i].failure);
    assert_int_equal(csfle__reply_failed(&io.reply, &err), cases[i].code);
    csfle__io_free(&io);
  }
  csfle__io io;
  csfle__io_init(&io);
  csfle__send(NULL, &io);
  assert_string_equal(io.reply.failure, "there is no transport for HTTP requests");
  csfle__io_free(&io);
}

TEST(public_functions_accept_nothing)
{
  size_t n = 7;
  assert_null(csfle_exchange_part(NULL, CSFLE_X_URL, &n));
  assert_int_equal(n, 0);
  csfle_exchange_done(NULL, 200, NULL, NULL, 0, NULL);
}

TEST(a_request_with_certificates_goes_through_no_transport_that_does_not_take_them)
{
  answer     a = { .status = 200, .body = "x" };
  csfle__tls tls = { .ca_file = "/ca" };
  csfle__io  io;
  csfle__io_init(&io);
  io.request.method = "GET", io.request.purpose = "kms";
  put(&io.request.url, "https://h/");
  io.request.tls = &tls;
  send_through(&a, &io);
  assert_int_equal(io.reply.status, 0);
  assert_non_null(strstr(io.reply.failure, "certificates"));
  csfle_error e = CSFLE_ERROR_INIT;
  assert_int_equal(csfle__reply_failed(&io.reply, &e), CSFLE_E_CONFIG);
  csfle__io_free(&io);
}

/* ---- a transport of the program's own, and where it connects [AB-8] */

typedef struct asker {
  const char *ip; /* NULL: a proxy */
  size_t      len;
  bool        asks, obeys;
  int         told, sent;
} asker;
static void ask_and_send(void *opaque, csfle_exchange *x)
{
  asker *a = opaque;
  a->told = a->asks ? csfle_exchange_address(x, a->ip, a->len) : 0;
  if (a->told && a->obeys) {
    csfle_exchange_done(x, 0, NULL, NULL, 0, "as I was told");
    return;
  }
  a->sent++;
  csfle_exchange_done(x, 200, "", "secret answer", 13, NULL);
}

TEST(a_transport_of_the_programs_own_says_where_it_connects_or_gets_no_name_from_outside) /* AB-8 */
{
  enum { O = CSFLE__ADDRESS_OTHER, K = CSFLE__ADDRESS_LINK_LOCAL };
  const struct { unsigned addresses; bool confirm; uint32_t flags; asker a; int sent; const char *failure; } cases[] = {
    { O, true, 0, { .asks = false }, 0, CSFLE__UNASKED_ADDRESS }, /* not even started */
    { O, true, 1, { .asks = false }, 1, CSFLE__UNASKED_ADDRESS }, /* it promised to ask: its answer is worth nothing */
    { O, false, 0, { .asks = false }, 1, "" },                     /* nothing from outside in it */
    { 0, false, 0, { .asks = false }, 1, "" },
    { O, true, 1, { "\xcb\0\x71\5", 4, true, true, 0, 0 }, 1, "" },
    { O, true, 1, { "\x7f\0\0\1", 4, true, true, 0, 0 }, 0, CSFLE__REFUSED_ADDRESS },
    { O, true, 1, { "\x7f\0\0\1", 4, true, false, 0, 0 }, 1, CSFLE__REFUSED_ADDRESS }, /* sent anyway: the answer is not used */
    { O, true, 1, { "\xa9\xfe\xa9\xfe", 4, true, true, 0, 0 }, 0, CSFLE__REFUSED_ADDRESS },
    { O | K, true, 1, { "\xa9\xfe\xa9\xfe", 4, true, true, 0, 0 }, 1, "" },
    { O, true, 1, { "\0\0\0\0\0\0\0\0\0\0\xff\xff\xa9\xfe\xa9\xfe", 16, true, true, 0, 0 }, 0, CSFLE__REFUSED_ADDRESS },
    { O, true, 1, { "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16, true, true, 0, 0 }, 1, "" },
    { O, true, 1, { "\x7f\0\0", 3, true, true, 0, 0 }, 0, CSFLE__REFUSED_ADDRESS },
    { O, true, 1, { NULL, 0, true, true, 0, 0 }, 1, "" }, /* through the operator's proxy */
    { 0, false, 1, { "\x7f\0\0\1", 4, true, true, 0, 0 }, 1, "" },
    { O, false, 1, { "\x7f\0\0\1", 4, true, true, 0, 0 }, 0, CSFLE__REFUSED_ADDRESS },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    asker           a = cases[i].a;
    csfle_transport t = { sizeof t, &a, ask_and_send, cancel, cases[i].flags };
    csfle_error     e = CSFLE_ERROR_INIT;
    csfle__io       io;
    csfle__io_init(&io);
    io.request.method = "GET", io.request.purpose = "kms";
    io.request.addresses = cases[i].addresses, io.request.confirm = cases[i].confirm;
    put(&io.request.url, "https://kms.example/");
    csfle__send(&t, &io);
    if (strcmp(io.reply.failure, cases[i].failure) != 0) fail_msg("%zu: %s", i, io.reply.failure);
    assert_int_equal(a.sent, cases[i].sent);
    assert_int_equal(a.told != 0, strcmp(cases[i].failure, CSFLE__REFUSED_ADDRESS) == 0);
    assert_int_equal(io.reply.status, *cases[i].failure ? 0 : 200);
    if (*cases[i].failure) {
      assert_int_equal(io.reply.body.len, 0);
      assert_int_equal(csfle__reply_failed(&io.reply, &e), CSFLE_E_POLICY);
    }
    csfle__io_free(&io);
  }
  assert_int_not_equal(csfle_exchange_address(NULL, "\1\1\1\1", 4), 0);
}

TEST(headers_are_found_by_their_whole_name)
{
  csfle__bytes lines = BYTES("HTTP/1.1 200 OK\r\nRetry-After: 3\r\nempty:\r\nbroken\r\nlast: x");
  assert_bytes_equal(csfle__header(lines, "retry-after"), BYTES("3"));
  assert_bytes_equal(csfle__header(lines, "LAST"), BYTES("x"));
  assert_int_equal(csfle__header(lines, "empty").len, 0);
  assert_null(csfle__header(lines, "broken").ptr);
  assert_null(csfle__header(lines, "Retry").ptr);
  assert_null(csfle__header(CSFLE__NONE, "a").ptr);
}

TEST(files_and_variables_are_found_or_not)
{
  char      path[] = "/tmp/csfle-need-XXXXXX";
  int       fd = mkstemp(path);
  csfle__io io;
  csfle__io_init(&io);
  assert_int_equal(write(fd, "token\n", 6), 6);
  io.need_kind = CSFLE__NEED_FILE, io.need_name = path;
  assert_int_equal(csfle__answer_need(&io), CSFLE_OK);
  assert_true(io.need_found);
  assert_bytes_equal(csfle__secret_view(&io.need_value), BYTES("token\n"));
  assert_int_equal(ftruncate(fd, (1 << 20) + 1), 0);
  assert_int_equal(csfle__answer_need(&io), CSFLE_OK);
  assert_false(io.need_found);
  assert_int_equal(ftruncate(fd, 1 << 20), 0);
  assert_int_equal(csfle__answer_need(&io), CSFLE_OK);
  assert_int_equal(io.need_value.len, 1 << 20);
  unlink(path);
  close(fd);
  assert_int_equal(csfle__answer_need(&io), CSFLE_OK);
  assert_false(io.need_found);
  assert_null(io.need_value.ptr);
  io.need_name = "/";
  assert_int_equal(csfle__answer_need(&io), CSFLE_OK);
  assert_false(io.need_found);
  setenv("CSFLE_TEST_VARIABLE", "", 1);
  io.need_kind = CSFLE__NEED_VARIABLE, io.need_name = "CSFLE_TEST_VARIABLE";
  assert_int_equal(csfle__answer_need(&io), CSFLE_OK);
  assert_true(io.need_found);
  unsetenv("CSFLE_TEST_VARIABLE");
  assert_int_equal(csfle__answer_need(&io), CSFLE_OK);
  assert_false(io.need_found);
  csfle__io_free(&io);
}

TEST(waiting_ends_at_its_time_and_not_before)
{
  csfle__io     io;
  const int64_t from = csfle__system_clock.monotonic_ms(csfle__system_clock.opaque);
  csfle__io_init(&io);
  io.wait_until_ms = from - 1000;
  csfle__answer_wait(NULL, &io);
  io.wait_until_ms = from + 30;
  csfle__answer_wait(&csfle__system_clock, &io);
  assert_true(csfle__system_clock.monotonic_ms(csfle__system_clock.opaque) >= from + 30);
  csfle__io_free(&io);
}

/* ENC-101: tokens and keys are gone from what is freed; and no allocation that fails is fatal */
static void *ring(void *bell)
{
  nanosleep(&(struct timespec){ 0, 20 * 1000000 }, NULL);
  csfle__bell_ring(bell);
  return NULL;
}
TEST(a_bell_ends_a_wait_that_would_not_end)
{
  csfle__bell b;
  csfle__io   io;
  pthread_t   t;
  csfle__io_init(&io);
  csfle__bell_init(&b);
  io.bell = &b;
  io.wait_until_ms = 0; /* past: not waited for */
  csfle__answer_wait(NULL, &io);
  assert_false(csfle__bell_rung(&b));
  io.wait_until_ms = INT64_MAX / 2;
  assert_int_equal(pthread_create(&t, NULL, ring, &b), 0);
  csfle__answer_wait(NULL, &io);
  assert_true(csfle__bell_rung(&b));
  pthread_join(t, NULL);
  csfle__io_reset(&io);
  assert_null(io.bell);
  csfle__io_free(&io);
  csfle__bell_free(&b);
}

static csfle_status exchange_once(void)
{
  csfle__io       io;
  answer          a = { .status = 200, .headers = "A: secret\r\n", .body = "secret", .len = 6 };
  csfle_transport t = { sizeof t, &a, start, cancel };
  csfle__io_init(&io);
  io.request.method = "PUT", io.request.has_body = true;
  csfle_status rc = csfle__buf_puts(&io.request.url, "http://user:secret@h/", NULL);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&io.request.headers, "Authorization: Bearer secret\r\n", NULL);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&io.request.body, "secret", NULL);
  if (rc == CSFLE_OK) {
    csfle__send(&t, &io);
    if (io.reply.status == 0) rc = csfle__reply_failed(&io.reply, NULL);
  }
  csfle__io_free(&io);
  return rc;
}
TEST(an_exchange_survives_every_failed_allocation) { TORTURE(exchange_once()); }
