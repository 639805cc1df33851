/* Stopping while requests come in and wait: none is left suspended, which libmicrohttpd answers by ending the process. */
#include "server/http/http.h"
#include "tests/support/test.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const csfle__log quiet = { NULL, NULL, 0 };
static registry_http   *http;
static bool             hold_begin; /* else handle is held */
static atomic_bool      held, go, stopped;
static atomic_int       handled;
static pthread_t        waker;
static bool             parked;

static void nap(long ms) { nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL); }

static void hold(void)
{
  atomic_store(&held, true);
  while (!atomic_load(&go)) nap(1);
}

static void begin(void *opaque, registry_request *rq, registry_reply *reply)
{
  (void)opaque, (void)rq, (void)reply;
  if (hold_begin) hold();
}

/* the thread that wakes a request is still in here when the answer is long sent */
struct MHD_Connection;
void MHD_resume_connection(struct MHD_Connection *connection);
void MHD_resume_connection(struct MHD_Connection *connection)
{
  void (*real)(struct MHD_Connection *);
  void *found = dlsym(RTLD_NEXT, "MHD_resume_connection");
  memcpy(&real, &found, sizeof real);
  real(connection);
  nap(200);
  if (atomic_load(&stopped)) abort(); /* what it has to do with has been freed */
}

static void *wake(void *waiter)
{
  nap(100);
  registry_http_again(waiter);
  return NULL;
}

static registry_handled handle(void *opaque, registry_request *rq, registry_reply *reply)
{
  (void)opaque;
  if (atomic_fetch_add(&handled, 1) > 0) {
    reply->status = 200;
    return REGISTRY_ANSWERED;
  }
  if (!hold_begin) hold();
  registry_http_park(rq->waiter);
  parked = true;
  pthread_create(&waker, NULL, wake, rq->waiter);
  return REGISTRY_PARKED;
}

static bool settled(void *opaque, const registry_request *rq) { return (void)opaque, (void)rq, true; }
static bool settle(void *opaque, registry_request *rq, void *waiter) { return (void)opaque, (void)rq, (void)waiter, true; }

static void *ask(void *opaque)
{
  static const char  text[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)registry_http_port(http, 0)), .sin_addr = { htonl(INADDR_LOOPBACK) } };
  char               answer[512];
  int                fd = socket(AF_INET, SOCK_STREAM, 0);
  (void)opaque;
  if (connect(fd, (struct sockaddr *)(void *)&to, sizeof to) != 0 || send(fd, text, sizeof text - 1, 0) < 0) abort();
  while (recv(fd, answer, sizeof answer, 0) > 0) continue;
  close(fd);
  return NULL;
}

static void *stop(void *opaque)
{
  (void)opaque;
  if (!registry_http_stop(http, 20000)) abort();
  atomic_store(&stopped, true);
  return NULL;
}

static void stop_while(bool in_begin)
{
  registry_http_options o = { .listeners = { { "127.0.0.1", 0, false } }, .listener_count = 1, .max_body_bytes = 1000, .max_bodies_bytes = 10000, .workers = 1, .queue = 4, .connections = 10, .blocking_wait_ms = 1000, .idle_timeout_s = 30 };
  registry_http_app     app = { NULL, begin, handle, settled, settle };
  pthread_t             client, stopper;

  hold_begin = in_begin;
  atomic_store(&held, false), atomic_store(&go, false), atomic_store(&stopped, false), atomic_store(&handled, 0);
  parked = false;
  assert_ok(registry_http_start(&http, &o, &app, &quiet, err));
  pthread_create(&client, NULL, ask, NULL);
  while (!atomic_load(&held)) nap(1);
  pthread_create(&stopper, NULL, stop, NULL);
  nap(200); /* it waits for who is under way by now, or has seen nobody */
  assert_false(atomic_load(&stopped));
  atomic_store(&go, true);
  pthread_join(client, NULL);
  pthread_join(stopper, NULL);
  if (parked) pthread_join(waker, NULL);
  assert_int_equal(atomic_load(&handled), in_begin ? 0 : 2); /* who comes too late is refused, who was let in is answered */
}

TEST(a_request_that_was_let_in_is_waited_for)
{
  stop_while(false);
}

TEST(a_request_that_comes_in_while_it_stops_does_not_wait)
{
  stop_while(true);
}

TEST(a_stop_that_has_waited_long_enough_says_so)
{
  registry_http_options o = { .listeners = { { "127.0.0.1", 0, false } }, .listener_count = 1, .max_body_bytes = 1000, .max_bodies_bytes = 10000, .workers = 1, .queue = 4, .connections = 10, .blocking_wait_ms = 1000, .idle_timeout_s = 30 };
  registry_http_app     app = { NULL, begin, handle, settled, settle };
  pthread_t             client;

  hold_begin = false;
  atomic_store(&held, false), atomic_store(&go, false), atomic_store(&stopped, false), atomic_store(&handled, 0);
  parked = false;
  assert_ok(registry_http_start(&http, &o, &app, &quiet, err));
  pthread_create(&client, NULL, ask, NULL);
  while (!atomic_load(&held)) nap(1);
  assert_false(registry_http_stop(http, 50));
  atomic_store(&go, true);
  assert_true(registry_http_stop(http, 20000));
  pthread_join(client, NULL);
  pthread_join(waker, NULL);
  assert_int_equal(atomic_load(&handled), 2);
}
