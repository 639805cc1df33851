/*
 * csfle-registry over a store of 100,000 distinct schemas of 1 KB: how long it takes to listen, against `SELECT *` over
 * the same file, and how much memory it then holds, against twice the bytes of content plus 500 bytes a version.
 * The least of several starts; exits 1 when a budget of DESIGN.md section 5 is missed by more than a quarter.
 */
#include "bench/bench.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SCHEMAS = 100000, ROUNDS = 5 };

static void die(const char *what)
{
  fprintf(stderr, "bench_start: %s failed\n", what);
  exit(2);
}

/* the file as the registry writes it; returns the bytes of content */
static double fill(const char *store)
{
  static char   schema[2048], value[4096], key[128];
  sqlite3      *db;
  sqlite3_stmt *s;
  double        bytes = 0;
  if (sqlite3_open(store, &db) != SQLITE_OK ||
      sqlite3_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; CREATE TABLE log(offset INTEGER PRIMARY KEY, topic TEXT NOT NULL,"
                       " ts INTEGER NOT NULL, headers BLOB, key BLOB NOT NULL, value BLOB); PRAGMA user_version=1; BEGIN", NULL, NULL, NULL) != SQLITE_OK ||
      sqlite3_prepare_v2(db, "INSERT INTO log(offset, topic, ts, key, value) VALUES(?, '_schemas', 1700000000000, ?, ?)", -1, &s, NULL) != SQLITE_OK)
    die("making the store");
  for (int i = 0; i < SCHEMAS; i++) {
    int n = snprintf(schema, sizeof schema, "{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"R%06d\\\",\\\"doc\\\":\\\"%0560d\\\",\\\"fields\\\":[", i, i), quotes = 0;
    for (int f = 0; f < 11; f++) n += snprintf(schema + n, sizeof schema - (size_t)n, "%s{\\\"name\\\":\\\"field_%02d\\\",\\\"type\\\":\\\"string\\\"}", f ? "," : "", f);
    n += snprintf(schema + n, sizeof schema - (size_t)n, "]}");
    for (int j = 0; j < n; j++) quotes += schema[j] == '\\';
    bytes += n - quotes;
    int k = snprintf(key, sizeof key, "{\"keytype\":\"SCHEMA\",\"subject\":\"s%d-value\",\"version\":1,\"magic\":1}", i);
    int v = snprintf(value, sizeof value, "{\"subject\":\"s%d-value\",\"version\":1,\"id\":%d,\"schemaType\":\"AVRO\",\"schema\":\"%s\",\"deleted\":false}", i, i + 1, schema);
    sqlite3_bind_int(s, 1, i);
    sqlite3_bind_blob(s, 2, key, k, SQLITE_STATIC);
    sqlite3_bind_blob(s, 3, value, v, SQLITE_STATIC);
    if (sqlite3_step(s) != SQLITE_DONE) die("filling the store");
    sqlite3_reset(s);
  }
  sqlite3_finalize(s);
  if (sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) die("filling the store");
  sqlite3_close(db);
  return bytes;
}

static double select_all(const char *store)
{
  sqlite3      *db;
  sqlite3_stmt *s = NULL;
  uint64_t      from = bench_now_ns();
  if (sqlite3_open(store, &db) != SQLITE_OK || sqlite3_prepare_v2(db, "SELECT * FROM log", -1, &s, NULL) != SQLITE_OK) die("SELECT");
  while (sqlite3_step(s) == SQLITE_ROW)
    for (int c = 0; c < 6; c++) bench_use(sqlite3_column_blob(s, c));
  sqlite3_finalize(s);
  sqlite3_close(db);
  return (double)(bench_now_ns() - from) / 1e6;
}

/* ms until it says that it listens; *kb what it holds then */
static double start(const char *path, const char *store, double *kb)
{
  int      fd[2];
  char     line[256], name[64];
  uint64_t from = bench_now_ns();
  if (pipe(fd) != 0) die("pipe");
  pid_t pid = fork();
  if (pid < 0) die("fork");
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(fd[1], 1);
    close(fd[0]), close(fd[1]);
    if (!freopen("/dev/null", "w", stderr)) _exit(127);
    execl(path, path, "--port", "0", "--store", store, (char *)NULL);
    _exit(127);
  }
  close(fd[1]);
  if (read(fd[0], line, sizeof line) <= 0) die("starting csfle-registry");
  double ms = (double)(bench_now_ns() - from) / 1e6;
  snprintf(name, sizeof name, "/proc/%d/status", (int)pid);
  FILE *f = fopen(name, "r");
  while (f && fgets(line, sizeof line, f))
    if (strncmp(line, "VmRSS:", 6) == 0) *kb = strtod(line + 6, NULL);
  if (f) fclose(f);
  kill(pid, SIGTERM), waitpid(pid, NULL, 0);
  close(fd[0]);
  return ms;
}

int main(int argc, char **argv)
{
  char        path[4096], dir[256], store[300], side[320];
  const char *tmp = getenv("TMPDIR");
  ssize_t     n = readlink("/proc/self/exe", path, sizeof path - 32);
  double      read_ms = 1e12, start_ms = 1e12, kb = 0;
  if (n <= 0) die("readlink");
  path[n] = 0;
  strcpy(strrchr(path, '/'), "/csfle-registry");
  if (argc > 1) snprintf(path, sizeof path, "%s", argv[1]);
  snprintf(dir, sizeof dir, "%s/csfle-bench-XXXXXX", tmp && *tmp ? tmp : "/tmp");
  if (!mkdtemp(dir)) die("mkdtemp");
  snprintf(store, sizeof store, "%s/store.db", dir);
  double content = fill(store);
  for (int i = 0; i < ROUNDS; i++) {
    double ms = select_all(store);
    read_ms = ms < read_ms ? ms : read_ms;
    ms = start(path, store, &kb);
    start_ms = ms < start_ms ? ms : start_ms;
  }
  unlink(store);
  snprintf(side, sizeof side, "%s-wal", store), unlink(side);
  snprintf(side, sizeof side, "%s-shm", store), unlink(side);
  rmdir(dir);
  printf("%d schemas, %.0f bytes each\n", SCHEMAS, content / SCHEMAS);
  bench_print("SELECT * over the store", read_ms, "ms");
  bench_print("start of csfle-registry", start_ms, "ms");
  bench_print("resident after start", kb / 1024, "MB");
  int missed = bench_budget("start / SELECT *", start_ms / read_ms, 4, "x");
  missed += bench_budget("resident / (2 x content + 500 bytes a version)", kb * 1024 / (2 * content + 500.0 * SCHEMAS), 1, "x");
  return missed != 0;
}
