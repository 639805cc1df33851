/* A csfle-registry process for tests; see registry.h. */
#include "tests/support/registry.h"

#include "tests/support/test.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_TIMEOUT_MS 20000

void csfle_test_registry_prepare(csfle_test_registry *r, const char *const *args)
{
  memset(r, 0, sizeof *r);
  r->out = -1;
  size_t n = 0;
  for (; args && args[n]; n++) {
    assert_true(n < sizeof r->args / sizeof *r->args - 1);
    r->args[n] = args[n];
  }
  const char *tmp = getenv("TMPDIR");
  snprintf(r->dir, sizeof r->dir, "%s/csfle-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
  if (!mkdtemp(r->dir)) fail_msg("mkdtemp: %s", strerror(errno));
  snprintf(r->store, sizeof r->store, "%s/store.db", r->dir);
  snprintf(r->log, sizeof r->log, "%s/stderr.log", r->dir);
}

/* reads stdout up to the line that tells the port */
static void wait_for_port(csfle_test_registry *r)
{
  char   text[512];
  size_t len = 0;
  while (len < sizeof text - 1) {
    struct pollfd p = { .fd = r->out, .events = POLLIN };
    int           n = poll(&p, 1, START_TIMEOUT_MS);
    if (n <= 0) break;
    ssize_t got = read(r->out, text + len, sizeof text - 1 - len);
    if (got <= 0) break;
    len += (size_t)got;
    text[len] = 0;
    char *store = strstr(text, "store "), *plain = strstr(text, "listening on http://"), *tls = strstr(text, "listening on https://");
    if (!store || !strchr(store, '\n')) continue;
    char *metrics = strstr(text, "metrics on http://");
    if (metrics) sscanf(metrics, "metrics on http://%*[^:]:%d", &r->metrics_port);
    if (tls) sscanf(tls, "listening on https://%*[^:]:%d", &r->tls_port);
    if (plain && sscanf(plain, "listening on http://%*[^:]:%d", &r->port) == 1) {
      snprintf(r->url, sizeof r->url, "http://127.0.0.1:%d", r->port);
      return;
    }
    break;
  }
  text[len] = 0;
  char  say[2048] = "";
  FILE *f = fopen(r->log, "r");
  if (f) {
    size_t got = fread(say, 1, sizeof say - 1, f);
    say[got] = 0;
    fclose(f);
  }
  kill(r->pid, SIGKILL);
  waitpid(r->pid, NULL, 0);
  r->pid = 0;
  fail_msg("csfle-registry did not start: %s%s", text, say);
}

void csfle_test_registry_restart(csfle_test_registry *r)
{
  const char *argv[48] = { CSFLE_TEST_BINARIES "/csfle-registry", "--port", "0", "--store", r->store };
  size_t      n = 5;
  for (size_t i = 0; r->args[i]; i++) argv[n++] = r->args[i];
  int fd[2];
  if (pipe(fd) != 0) fail_msg("pipe: %s", strerror(errno));
  fcntl(fd[0], F_SETFD, FD_CLOEXEC);
  pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that dies leaves no server behind */
    dup2(fd[1], 1);
    close(fd[1]);
    int log = open(r->log, O_CREAT | O_WRONLY | O_APPEND, 0600);
    if (log >= 0) dup2(log, 2);
    execv(argv[0], (char *const *)argv);
    fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
  }
  close(fd[1]);
  r->pid = pid;
  r->out = fd[0];
  wait_for_port(r);
}

void csfle_test_registry_start(csfle_test_registry *r, const char *const *args)
{
  csfle_test_registry_prepare(r, args);
  csfle_test_registry_restart(r);
}

static int reap(csfle_test_registry *r)
{
  int status = 0;
  for (int i = 0; waitpid(r->pid, &status, WNOHANG) == 0; i++) {
    if (i > 2000) {
      kill(r->pid, SIGKILL);
      waitpid(r->pid, &status, 0);
      fail_msg("csfle-registry did not end within 20 s");
    }
    nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
  }
  r->pid = 0;
  if (r->out >= 0) close(r->out);
  r->out = -1;
  return status;
}

void csfle_test_registry_kill(csfle_test_registry *r)
{
  if (r->pid <= 0) return;
  kill(r->pid, SIGKILL);
  (void)reap(r);
}

int csfle_test_registry_term(csfle_test_registry *r)
{
  if (r->pid <= 0) return 0;
  kill(r->pid, SIGTERM);
  int status = reap(r);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* what the suites plant as a key and as the secret of a KMS: a server's log never tells it */
static const char *told_in(const char *path)
{
  static const char *const planted[] = { "GiBB5SNMJKak", "41e5234c24a6a4f85b1d", "41E5234C24A6A4F85B1D", "A\xe5#L$\xa6\xa4\xf8[\x1d", "mysecret", "keyMaterial\":\"" };
  FILE       *f = fopen(path, "rb");
  const char *found = NULL;
  char       *line = NULL;
  size_t      size = 0;
  for (ssize_t n; f && (n = getline(&line, &size, f)) > 0;)
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++)
      if (memmem(line, (size_t)n, planted[i], strlen(planted[i]))) found = planted[i];
  free(line);
  if (f) fclose(f);
  return found;
}

void csfle_test_registry_stop(csfle_test_registry *r)
{
  int         status = csfle_test_registry_term(r);
  const char *told = r->dir[0] ? told_in(r->log) : NULL;
  if (r->dir[0]) {
    static const char *names[] = { "store.db", "store.db-wal", "store.db-shm", "store.db-journal", "stderr.log" };
    char path[320];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
      snprintf(path, sizeof path, "%s/%s", r->dir, names[i]);
      unlink(path);
    }
    rmdir(r->dir); /* fails, harmlessly, when the test left files of its own */
  }
  r->dir[0] = 0;
  if (told) fail_msg("the server's log tells a secret: %s", told);
  assert_int_equal(status, 0);
}

/* ---- HTTP --------------------------------------------------------------------------------------------------- */

typedef struct sink {
  char  *ptr;
  size_t len, cap;
} sink;

static size_t take(char *data, size_t size, size_t count, void *opaque)
{
  sink  *s = (sink *)opaque;
  size_t n = size * count;
  if (s->len + n + 1 > s->cap) {
    s->cap = (s->len + n + 1) * 2;
    s->ptr = (char *)realloc(s->ptr, s->cap);
    if (!s->ptr) abort();
  }
  memcpy(s->ptr + s->len, data, n);
  s->len += n;
  s->ptr[s->len] = 0;
  return n;
}

/* one connection a thread, kept between requests, closed when the thread ends */
static pthread_key_t  handles;
static pthread_once_t handles_once = PTHREAD_ONCE_INIT;

static void close_handle(void *p) { curl_easy_cleanup((CURL *)p); }
static void close_own(void) { curl_easy_cleanup((CURL *)pthread_getspecific(handles)); }
static void make_handles(void)
{
  curl_global_init(CURL_GLOBAL_DEFAULT);
  pthread_key_create(&handles, close_handle);
  atexit(close_own); /* the main thread's */
}

static CURL *own_handle(void)
{
  pthread_once(&handles_once, make_handles);
  CURL *c = (CURL *)pthread_getspecific(handles);
  if (c) curl_easy_reset(c);
  else c = curl_easy_init();
  if (!c) abort();
  pthread_setspecific(handles, c);
  return c;
}

csfle_test_reply csfle_test_http_headers(const csfle_test_registry *r, const char *method, const char *path,
                                         const char *body, const char *const *headers)
{
  csfle_test_reply p = { 0 };
  sink             in = { 0 }, head = { 0 };
  char             url[8192];

  take((char *)"", 0, 0, &in);
  take((char *)"", 0, 0, &head);
  in.ptr[0] = head.ptr[0] = 0;
  CURL *handle = own_handle();
  snprintf(url, sizeof url, "%s%s", r->url, path);
  struct curl_slist *list = curl_slist_append(NULL, "Expect:");
  list = curl_slist_append(list, "Content-Type: application/vnd.schemaregistry.v1+json");
  for (size_t i = 0; headers && headers[i]; i++) {
    if (strncasecmp(headers[i], "Content-Type:", 13) == 0) {
      curl_slist_free_all(list);
      list = curl_slist_append(NULL, "Expect:");
    }
  }
  for (size_t i = 0; headers && headers[i]; i++) list = curl_slist_append(list, headers[i]);
  curl_easy_setopt(handle, CURLOPT_URL, url);
  curl_easy_setopt(handle, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, method);
  if (strcmp(method, "HEAD") == 0) curl_easy_setopt(handle, CURLOPT_NOBODY, 1L);
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, list);
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, 30000L);
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, take);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &in);
  curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, take);
  curl_easy_setopt(handle, CURLOPT_HEADERDATA, &head);
  if (body) {
    curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
    curl_easy_setopt(handle, CURLOPT_POSTFIELDS, body);
  }
  if (curl_easy_perform(handle) == CURLE_OK) curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &p.status);
  curl_slist_free_all(list);
  p.body = in.ptr;
  p.len = in.len;
  p.headers = head.ptr;
  return p;
}

csfle_test_reply csfle_test_http(const csfle_test_registry *r, const char *method, const char *path, const char *body)
{
  return csfle_test_http_headers(r, method, path, body, NULL);
}

void csfle_test_reply_free(csfle_test_reply *p)
{
  free(p->body);
  free(p->headers);
  *p = (csfle_test_reply){ 0 };
}

const char *csfle_test_reply_header(const csfle_test_reply *p, const char *name, char *buf, size_t size)
{
  size_t n = strlen(name);
  buf[0] = 0;
  for (const char *line = p->headers; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
    if (strncasecmp(line, name, n) != 0 || line[n] != ':') continue;
    line += n + 1;
    while (*line == ' ') line++;
    snprintf(buf, size, "%.*s", (int)strcspn(line, "\r\n"), line);
  }
  return buf;
}
