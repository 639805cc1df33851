/* See fake_kms.h: one thread a connection, one request a connection. */
#include "tests/support/fake_kms.h"

#include "tests/support/test.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct peer {
  csfle_fake_kms *kms;
  int             fd;
} peer;

static bool read_request(int fd, char *text, size_t size)
{
  size_t n = 0;
  for (;;) {
    ssize_t got = read(fd, text + n, size - 1 - n);
    if (got <= 0) return false;
    n += (size_t)got;
    text[n] = 0;
    char *body = strstr(text, "\r\n\r\n"), *len = strcasestr(text, "content-length:");
    if (body && (!len || (size_t)(text + n - body - 4) >= (size_t)atoi(len + 15))) return true;
    if (n == size - 1) return false;
  }
}

static void answer(int fd, int status, const char *body)
{
  char text[4096];
  int  n = snprintf(text, sizeof text, "HTTP/1.1 %d x\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", status, strlen(body), body);
  for (int at = 0; at < n;) {
    ssize_t sent = send(fd, text + at, (size_t)(n - at), MSG_NOSIGNAL);
    if (sent <= 0) return;
    at += (int)sent;
  }
}

/* the text of a member of the request's JSON object */
static bool member(const char *request, const char *name, char *out, size_t size)
{
  char look[32];
  snprintf(look, sizeof look, "\"%s\":", name);
  const char *at = strstr(request, look);
  if (!at || !(at = strchr(at + strlen(look), '"'))) return false;
  size_t n = strcspn(at + 1, "\"");
  if (n >= size) return false;
  memcpy(out, at + 1, n);
  out[n] = 0;
  return true;
}

static void *serve(void *opaque)
{
  peer           *p = (peer *)opaque;
  csfle_fake_kms *k = p->kms;
  char            request[8192], text[2048], body[2200];

  if (read_request(p->fd, request, sizeof request)) {
    bool  unwrap = strncmp(request, "POST /v1/transit/decrypt/k", 26) == 0 || strncmp(request, "PUT /v1/transit/decrypt/k", 25) == 0;
    char *key = strstr(request, "crypt/k");
    int   number = key ? (key[7] - '0') & 3 : 0;
    atomic_fetch_add(unwrap ? &k->decrypts : &k->encrypts, 1);
    atomic_fetch_add(&k->calls_of_key[number], 1);
    int now = atomic_fetch_add(&k->under_way, 1) + 1, most = atomic_load(&k->most);
    while (now > most && !atomic_compare_exchange_weak(&k->most, &most, now)) {}
    pthread_mutex_lock(&k->lock);
    while (k->held) pthread_cond_wait(&k->open, &k->lock);
    pthread_mutex_unlock(&k->lock);
    int fail = atomic_load(&k->fail) ? atomic_load(&k->fail) : atomic_load(&k->fail_key[number]);
    atomic_fetch_sub(&k->under_way, 1);
    if (fail) {
      answer(p->fd, fail, "{\"errors\":[\"as the test wants it\"]}");
    } else if (member(request, unwrap ? "ciphertext" : "plaintext", text, sizeof text)) {
      const char *inner = unwrap && strncmp(text, "vault:v1:", 9) == 0 ? text + 9 : text;
      if (unwrap && atomic_load(&k->other_key)) text[9 + 12] = text[9 + 12] == 'A' ? 'B' : 'A';
      snprintf(body, sizeof body, unwrap ? "{\"data\":{\"plaintext\":\"%s\"}}" : "{\"data\":{\"ciphertext\":\"vault:v1:%s\"}}", inner);
      answer(p->fd, unwrap && inner == text ? 400 : 200, body);
    } else {
      answer(p->fd, 400, "{\"errors\":[\"not understood\"]}");
    }
  }
  close(p->fd);
  free(p);
  return NULL;
}

static void *listen_on(void *opaque)
{
  csfle_fake_kms *k = (csfle_fake_kms *)opaque;
  for (;;) {
    int fd = accept(k->listener, NULL, NULL);
    if (fd < 0) return NULL;
    peer     *p = (peer *)malloc(sizeof *p);
    pthread_t t;
    if (!p) abort();
    *p = (peer){ k, fd };
    if (pthread_create(&t, NULL, serve, p) != 0) abort();
    pthread_detach(t);
  }
}

void csfle_fake_kms_start(csfle_fake_kms *k)
{
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t          len = sizeof a;

  memset(k, 0, sizeof *k);
  pthread_mutex_init(&k->lock, NULL);
  pthread_cond_init(&k->open, NULL);
  k->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (k->listener < 0 || bind(k->listener, (struct sockaddr *)&a, sizeof a) != 0 || listen(k->listener, 512) != 0 ||
      getsockname(k->listener, (struct sockaddr *)&a, &len) != 0)
    fail_msg("the fake KMS cannot listen");
  k->port = ntohs(a.sin_port);
  snprintf(k->host, sizeof k->host, "http://127.0.0.1:%d", k->port);
  if (pthread_create(&k->thread, NULL, listen_on, k) != 0) fail_msg("no thread for the fake KMS");
}

void csfle_fake_kms_stop(csfle_fake_kms *k)
{
  csfle_fake_kms_release(k);
  shutdown(k->listener, SHUT_RDWR);
  pthread_join(k->thread, NULL);
  close(k->listener);
}

void csfle_fake_kms_hold(csfle_fake_kms *k)
{
  pthread_mutex_lock(&k->lock);
  k->held = true;
  pthread_mutex_unlock(&k->lock);
}

void csfle_fake_kms_release(csfle_fake_kms *k)
{
  pthread_mutex_lock(&k->lock);
  k->held = false;
  pthread_cond_broadcast(&k->open);
  pthread_mutex_unlock(&k->lock);
}

void csfle_fake_kms_await(csfle_fake_kms *k, int n)
{
  for (int i = 0; atomic_load(&k->under_way) < n; i++) {
    if (i == 4000) fail_msg("%d calls of the KMS are under way, expected %d", atomic_load(&k->under_way), n);
    nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
  }
}
