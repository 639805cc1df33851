/*
 * Shared DEKs through csfle-registry: reads a second that unwrap each time (local-kms, csfle.shared.dek.cache.ms=0), that
 * find the key in memory, and of a DEK that is not shared; and the memory that 20,000 DEKs take. No budget: figures.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 32
#define REQUESTS    20000
#define ROUNDS      3
#define DEKS        20000
#define WAITING     1000

static void die(const char *what)
{
  fprintf(stderr, "bench_unwrap: %s: %s\n", what, strerror(errno));
  exit(2);
}

static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

typedef struct server {
  pid_t pid;
  int   port;
} server;

/* a KMS that takes every request and answers none: what comes in stays in the queue of the socket */
static int silent_kms(int *port)
{
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
  socklen_t          len = sizeof a;
  int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 512) != 0 || getsockname(fd, (struct sockaddr *)&a, &len) != 0) die("listen");
  *port = ntohs(a.sin_port);
  return fd;
}

static server start(const char *path, const char *store, const char *cache, int kms_port)
{
  server s;
  char   hosts[80];
  snprintf(hosts, sizeof hosts, "csfle.allow.kms.hosts=http://127.0.0.1:%d", kms_port);
  int    fd[2];
  char   line[256];
  if (pipe(fd) != 0) die("pipe");
  s.pid = fork();
  if (s.pid < 0) die("fork");
  if (s.pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(fd[1], 1);
    close(fd[0]), close(fd[1]);
    execl(path, path, "--port", "0", "--store", store, "-X", hosts, "-X", cache, "-X", "dek.registry.max.keys=100000", (char *)NULL);
    _exit(127);
  }
  close(fd[1]);
  FILE *f = fdopen(fd[0], "r");
  if (!f || !fgets(line, sizeof line, f) || sscanf(line, "listening on http://127.0.0.1:%d", &s.port) != 1) die(path);
  return s;
}

static void stop(server s)
{
  kill(s.pid, SIGTERM);
  waitpid(s.pid, NULL, 0);
}

static int dial(int port)
{
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
  int                fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) die("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

static void send_request(int fd, const char *method, const char *path, const char *body)
{
  char text[1024];
  int  n = body ? snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", method, path, strlen(body), body)
                : snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: x\r\n\r\n", method, path);
  if (send(fd, text, (size_t)n, MSG_NOSIGNAL) != n) die("send");
}

static void read_answer(int fd, const char *has)
{
  char   buf[8192];
  size_t got = 0;
  for (;;) {
    ssize_t n = recv(fd, buf + got, sizeof buf - 1 - got, 0);
    if (n <= 0) die("recv");
    got += (size_t)n;
    buf[got] = 0;
    char *end = strstr(buf, "\r\n\r\n"), *length = strcasestr(buf, "Content-Length:");
    if (!end || !length || got < (size_t)(end + 4 - buf) + (size_t)atol(length + 15)) continue;
    if (strncmp(buf, "HTTP/1.1 200", 12) != 0 || (has && !strstr(end, has))) {
      errno = 0;
      die(buf);
    }
    return;
  }
}

static void call(int fd, const char *method, const char *path, const char *body)
{
  send_request(fd, method, path, body);
  read_answer(fd, NULL);
}

/* answers a second of the best of some rounds, each connection with one request under way */
static double reads(server s, const char *path, const char *has)
{
  int    fds[CONNECTIONS];
  double best = 0;
  for (int i = 0; i < CONNECTIONS; i++) fds[i] = dial(s.port);
  for (int round = 0; round < ROUNDS; round++) {
    double from = now();
    for (int i = 0; i < CONNECTIONS; i++) send_request(fds[i], "GET", path, NULL);
    for (int n = 0; n < REQUESTS; n++) {
      int fd = fds[n % CONNECTIONS];
      read_answer(fd, has);
      if (n + CONNECTIONS < REQUESTS) send_request(fd, "GET", path, NULL);
    }
    double rate = REQUESTS / (now() - from);
    if (rate > best) best = rate;
  }
  for (int i = 0; i < CONNECTIONS; i++) close(fds[i]);
  return best;
}

/* the same with a subject for each connection, so that no call is shared */
static double reads_of_many(server s, const char *has)
{
  int    fds[CONNECTIONS];
  char   path[100];
  double best = 0;
  for (int i = 0; i < CONNECTIONS; i++) {
    fds[i] = dial(s.port);
    snprintf(path, sizeof path, "/dek-registry/v1/keks/sh/deks/s%d", i);
    call(fds[i], "POST", path, "{}");
  }
  for (int round = 0; round < ROUNDS; round++) {
    double from = now();
    for (int n = 0; n < REQUESTS + CONNECTIONS; n++) {
      int i = n % CONNECTIONS;
      if (n >= CONNECTIONS) read_answer(fds[i], has);
      snprintf(path, sizeof path, "/dek-registry/v1/keks/sh/deks/s%d", i);
      if (n < REQUESTS) send_request(fds[i], "GET", path, NULL);
    }
    double rate = REQUESTS / (now() - from);
    if (rate > best) best = rate;
  }
  for (int i = 0; i < CONNECTIONS; i++) close(fds[i]);
  return best;
}

static long resident_kib(pid_t pid)
{
  char path[64], line[256];
  long kib = 0;
  snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
  FILE *f = fopen(path, "r");
  if (!f) die(path);
  while (fgets(line, sizeof line, f))
    if (sscanf(line, "VmRSS: %ld", &kib) == 1) break;
  fclose(f);
  return kib;
}

#define SHARED "{\"name\":\"sh\",\"kmsType\":\"local-kms\",\"kmsKeyId\":\"k\",\"kmsProps\":{\"secret\":\"mysecret\"},\"shared\":true}"
#define PLAIN  "{\"name\":\"k\",\"kmsType\":\"t\",\"kmsKeyId\":\"i\"}"
#define W      "07V2ndh02DA73p+dTybwZFm7DKQSZN1tEwQh+FoX1DZLk4Yj2LLu4omYjp/84tAg3BYlkfGSz+zZacJHIE4="

static void memory(const char *program, const char *store)
{
  int    fds[CONNECTIONS];
  char   path[128];
  server s = start(program, store, "csfle.shared.dek.cache.ms=0", 1);
  for (int i = 0; i < CONNECTIONS; i++) fds[i] = dial(s.port);
  call(fds[0], "POST", "/dek-registry/v1/keks", PLAIN);
  for (int i = 0; i < CONNECTIONS; i++) call(fds[i], "GET", "/dek-registry/v1/keks", NULL); /* connections have their memory */
  long before = resident_kib(s.pid);
  for (int i = 0; i < DEKS + CONNECTIONS; i++) {
    int fd = fds[i % CONNECTIONS];
    if (i >= CONNECTIONS) read_answer(fd, NULL);
    snprintf(path, sizeof path, "/dek-registry/v1/keks/k/deks/orders-%d-value", i);
    if (i < DEKS) send_request(fd, "POST", path, "{\"encryptedKeyMaterial\":\"" W "\"}");
  }
  long after = resident_kib(s.pid);
  printf("memory of %d DEKs, %s: %ld KiB, %ld bytes a DEK\n", DEKS, strcmp(store, "memory") == 0 ? "memory store (with its records)" : "embedded store", after - before, (after - before) * 1024 / DEKS);
  for (int i = 0; i < CONNECTIONS; i++) close(fds[i]);
  stop(s);
}

int main(int argc, char **argv)
{
  char here[512], body[256], path[128];

  signal(SIGPIPE, SIG_IGN);
  snprintf(here, sizeof here, "%s", argv[0]);
  char *slash = strrchr(here, '/');
  snprintf(slash ? slash + 1 : here, (size_t)(here + sizeof here - (slash ? slash + 1 : here)), "csfle-registry");
  const char *program = argc > 1 ? argv[1] : here;

  int    kms_port, kms = silent_kms(&kms_port);
  server s = start(program, "memory", "csfle.shared.dek.cache.ms=0", kms_port);
  int    fd = dial(s.port);
  call(fd, "POST", "/dek-registry/v1/keks", SHARED);
  call(fd, "POST", "/dek-registry/v1/keks", PLAIN);
  call(fd, "POST", "/dek-registry/v1/keks/k/deks/s0", "{\"encryptedKeyMaterial\":\"" W "\"}");
  printf("reads a second, %d connections:\n", CONNECTIONS);
  printf("  not shared                              %8.0f\n", reads(s, "/dek-registry/v1/keks/k/deks/s0", W));
  int  waiting[WAITING];
  char kek[400];
  snprintf(kek, sizeof kek, "{\"name\":\"slow\",\"kmsType\":\"hcvault\",\"kmsKeyId\":\"http://127.0.0.1:%d/transit/keys/k\",\"kmsProps\":{\"token.id\":\"t\"}}", kms_port);
  call(fd, "POST", "/dek-registry/v1/keks", kek);
  for (int i = 0; i < 50; i++) {
    snprintf(path, sizeof path, "/dek-registry/v1/keks/slow/deks/s%d", i);
    call(fd, "POST", path, "{\"encryptedKeyMaterial\":\"dmF1bHQ6djE6YWJjZA==\"}"); /* "vault:v1:abcd" */
  }
  call(fd, "PUT", "/dek-registry/v1/keks/slow", "{\"shared\":true}");
  for (int i = 0; i < WAITING; i++) {
    waiting[i] = dial(s.port);
    snprintf(path, sizeof path, "/dek-registry/v1/keks/slow/deks/s%d", i % 50);
    send_request(waiting[i], "GET", path, NULL);
  }
  printf("  not shared, while %d wait for a KMS    %8.0f\n", WAITING, reads(s, "/dek-registry/v1/keks/k/deks/s0", W));
  for (int i = 0; i < WAITING; i++) { /* they do wait: nothing has come back */
    char one;
    if (recv(waiting[i], &one, 1, MSG_DONTWAIT | MSG_PEEK) >= 0) die("a read of a shared DEK was answered without its KMS");
    close(waiting[i]);
  }
  close(kms); /* what waits is reset */
  printf("  unwrapped each time, a key a connection %8.0f\n", reads_of_many(s, "\"keyMaterial\":\""));
  printf("  unwrapped each time, one key for all    %8.0f\n", reads(s, "/dek-registry/v1/keks/sh/deks/s0", "\"keyMaterial\":\""));
  close(fd);
  stop(s);

  s = start(program, "memory", "csfle.shared.dek.cache.ms=3600000", 1);
  fd = dial(s.port);
  call(fd, "POST", "/dek-registry/v1/keks", SHARED);
  call(fd, "POST", "/dek-registry/v1/keks/sh/deks/s0", "{}");
  printf("  found in memory                         %8.0f\n", reads(s, "/dek-registry/v1/keks/sh/deks/s0", "\"keyMaterial\":\""));
  close(fd);
  stop(s);

  memory(program, "memory");
  snprintf(path, sizeof path, "%s/bench_unwrap-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
  if (!mkdtemp(path)) die(path);
  snprintf(body, sizeof body, "%s/store.db", path);
  memory(program, body);
  static const char *const suffixes[] = { "", "-wal", "-shm" };
  for (size_t i = 0; i < 3; i++) {
    char file[300];
    snprintf(file, sizeof file, "%s%s", body, suffixes[i]);
    unlink(file);
  }
  rmdir(path);
  return 0;
}
