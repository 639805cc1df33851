/**
 * An SQLite VFS in memory that knows which bytes a power cut may take: what was written since the last sync of a file.
 * After crash_vfs_cut every call fails; crash_vfs_restore drops a random subset of the unsynced writes, tears others
 * at a sector, and makes the rest the content that the next open finds.
 */
#ifndef TESTS_CRASH_VFS_H
#define TESTS_CRASH_VFS_H

#include <sqlite3.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CRASH_FILES 8
#define SECTOR      512

typedef struct crash_write {
  sqlite3_int64 at; /* -1: a truncation to len */
  size_t        len;
  unsigned char *bytes;
} crash_write;

typedef struct crash_disk_file {
  char           name[128];
  int            there;
  unsigned char *now, *synced;
  size_t         now_len, synced_len;
  crash_write   *writes; /* since the last sync */
  size_t         count, cap;
} crash_disk_file;

static struct {
  pthread_mutex_t lock;
  crash_disk_file files[CRASH_FILES];
  int             off;         /* power is cut */
  long            fail_writes; /* this many writes fail, as on a full disk */
  long            syncs;
} disk = { .lock = PTHREAD_MUTEX_INITIALIZER };

typedef struct crash_file {
  sqlite3_file     base;
  crash_disk_file *file;
} crash_file;

static void set_bytes(unsigned char **p, size_t *len, sqlite3_int64 at, const void *from, size_t n)
{
  if ((size_t)at + n > *len) {
    *p = (unsigned char *)realloc(*p, (size_t)at + n);
    if (!*p) abort();
    memset(*p + *len, 0, (size_t)at + n - *len);
    *len = (size_t)at + n;
  }
  memcpy(*p + at, from, n);
}

static void note(crash_disk_file *f, sqlite3_int64 at, const void *bytes, size_t len)
{
  if (f->count == f->cap) {
    f->cap = f->cap ? f->cap * 2 : 64;
    f->writes = (crash_write *)realloc(f->writes, f->cap * sizeof *f->writes);
    if (!f->writes) abort();
  }
  crash_write *w = &f->writes[f->count++];
  *w = (crash_write){ at, len, NULL };
  if (!bytes) return;
  w->bytes = (unsigned char *)malloc(len ? len : 1);
  if (!w->bytes) abort();
  memcpy(w->bytes, bytes, len);
}

static void forget(crash_disk_file *f)
{
  for (size_t i = 0; i < f->count; i++) free(f->writes[i].bytes);
  f->count = 0;
}

static int crash_close(sqlite3_file *f) { return (void)f, SQLITE_OK; }

static int crash_read(sqlite3_file *f, void *out, int n, sqlite3_int64 at)
{
  crash_disk_file *d = ((crash_file *)f)->file;
  int              rc = SQLITE_OK;
  pthread_mutex_lock(&disk.lock);
  if (disk.off) rc = SQLITE_IOERR_READ;
  else {
    size_t have = (size_t)at < d->now_len ? d->now_len - (size_t)at : 0;
    if (have > (size_t)n) have = (size_t)n;
    if (have) memcpy(out, d->now + at, have);
    if (have < (size_t)n) {
      memset((char *)out + have, 0, (size_t)n - have);
      rc = SQLITE_IOERR_SHORT_READ;
    }
  }
  pthread_mutex_unlock(&disk.lock);
  return rc;
}

static int crash_write_bytes(sqlite3_file *f, const void *in, int n, sqlite3_int64 at)
{
  crash_disk_file *d = ((crash_file *)f)->file;
  int              rc = SQLITE_OK;
  pthread_mutex_lock(&disk.lock);
  if (disk.off) rc = SQLITE_IOERR_WRITE;
  else if (disk.fail_writes > 0) disk.fail_writes--, rc = SQLITE_FULL;
  else {
    set_bytes(&d->now, &d->now_len, at, in, (size_t)n);
    note(d, at, in, (size_t)n);
  }
  pthread_mutex_unlock(&disk.lock);
  return rc;
}

static int crash_truncate(sqlite3_file *f, sqlite3_int64 size)
{
  crash_disk_file *d = ((crash_file *)f)->file;
  pthread_mutex_lock(&disk.lock);
  int rc = disk.off ? SQLITE_IOERR_TRUNCATE : SQLITE_OK;
  if (rc == SQLITE_OK && (size_t)size < d->now_len) {
    d->now_len = (size_t)size;
    note(d, -1, NULL, (size_t)size);
  }
  pthread_mutex_unlock(&disk.lock);
  return rc;
}

static int crash_sync(sqlite3_file *f, int flags)
{
  crash_disk_file *d = ((crash_file *)f)->file;
  (void)flags;
  pthread_mutex_lock(&disk.lock);
  int rc = disk.off ? SQLITE_IOERR_FSYNC : SQLITE_OK;
  if (rc == SQLITE_OK) {
    free(d->synced);
    d->synced = (unsigned char *)malloc(d->now_len ? d->now_len : 1);
    if (!d->synced) abort();
    if (d->now_len) memcpy(d->synced, d->now, d->now_len);
    d->synced_len = d->now_len;
    forget(d);
    disk.syncs++;
  }
  pthread_mutex_unlock(&disk.lock);
  return rc;
}

static int crash_size(sqlite3_file *f, sqlite3_int64 *out)
{
  pthread_mutex_lock(&disk.lock);
  *out = (sqlite3_int64)((crash_file *)f)->file->now_len;
  int rc = disk.off ? SQLITE_IOERR_FSTAT : SQLITE_OK;
  pthread_mutex_unlock(&disk.lock);
  return rc;
}

static int crash_lock(sqlite3_file *f, int level) { return (void)f, (void)level, SQLITE_OK; }
static int crash_reserved(sqlite3_file *f, int *out) { return (void)f, *out = 0, SQLITE_OK; }
static int crash_control(sqlite3_file *f, int op, void *arg) { return (void)f, (void)op, (void)arg, SQLITE_NOTFOUND; }
static int crash_sector(sqlite3_file *f) { return (void)f, SECTOR; }
static int crash_device(sqlite3_file *f) { return (void)f, 0; }

/* version 2 with the shared-memory calls missing: WAL works because the lock is exclusive */
static const sqlite3_io_methods crash_methods = { 1, crash_close, crash_read, crash_write_bytes, crash_truncate, crash_sync, crash_size,
                                                  crash_lock, crash_lock, crash_reserved, crash_control, crash_sector, crash_device,
                                                  NULL, NULL, NULL, NULL, NULL, NULL };

static crash_disk_file *disk_file(const char *name, int make)
{
  crash_disk_file *unused = NULL;
  for (int i = 0; i < CRASH_FILES; i++) {
    if (disk.files[i].there && strcmp(disk.files[i].name, name) == 0) return &disk.files[i];
    if (!disk.files[i].there && !unused) unused = &disk.files[i];
  }
  if (!make || !unused) return NULL;
  memset(unused, 0, sizeof *unused);
  strncpy(unused->name, name, sizeof unused->name - 1);
  unused->there = 1;
  return unused;
}

static int crash_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
  (void)v;
  f->pMethods = NULL;
  pthread_mutex_lock(&disk.lock);
  crash_disk_file *d = disk.off || !name ? NULL : disk_file(name, flags & SQLITE_OPEN_CREATE);
  pthread_mutex_unlock(&disk.lock);
  if (!d) return SQLITE_CANTOPEN;
  ((crash_file *)f)->file = d;
  f->pMethods = &crash_methods;
  if (out) *out = flags;
  return SQLITE_OK;
}

static void drop_file(crash_disk_file *d)
{
  forget(d);
  free(d->writes);
  free(d->now);
  free(d->synced);
  memset(d, 0, sizeof *d);
}

static int crash_delete(sqlite3_vfs *v, const char *name, int sync)
{
  (void)v, (void)sync;
  pthread_mutex_lock(&disk.lock);
  int              rc = disk.off ? SQLITE_IOERR_DELETE : SQLITE_OK;
  crash_disk_file *d = disk_file(name, 0);
  if (rc == SQLITE_OK && d) drop_file(d);
  pthread_mutex_unlock(&disk.lock);
  return rc;
}

static int crash_access(sqlite3_vfs *v, const char *name, int flags, int *out)
{
  (void)v, (void)flags;
  pthread_mutex_lock(&disk.lock);
  *out = disk_file(name, 0) != NULL;
  pthread_mutex_unlock(&disk.lock);
  return SQLITE_OK;
}

static int crash_path(sqlite3_vfs *v, const char *name, int n, char *out)
{
  (void)v;
  strncpy(out, name, (size_t)n - 1);
  out[n - 1] = 0;
  return SQLITE_OK;
}

static int crash_random(sqlite3_vfs *v, int n, char *out) { return sqlite3_vfs_find("unix")->xRandomness(v, n, out); }
static int crash_sleep(sqlite3_vfs *v, int us) { return sqlite3_vfs_find("unix")->xSleep(v, us); }
static int crash_time(sqlite3_vfs *v, double *out) { return sqlite3_vfs_find("unix")->xCurrentTime(v, out); }
static int crash_error(sqlite3_vfs *v, int n, char *out) { return (void)v, (void)n, (void)out, 0; }

static inline void crash_vfs_register(void)
{
  static sqlite3_vfs v = { 1, sizeof(crash_file), 120, NULL, "crash", NULL, crash_open, crash_delete, crash_access, crash_path,
                           NULL, NULL, NULL, NULL, crash_random, crash_sleep, crash_time, crash_error };
  sqlite3_vfs_register(&v, 0);
}

/** The power goes. */
static inline void crash_vfs_cut(void)
{
  pthread_mutex_lock(&disk.lock);
  disk.off = 1;
  pthread_mutex_unlock(&disk.lock);
}

/** It comes back: each unsynced write is kept, lost or torn as @p seed decides. */
static inline void crash_vfs_restore(unsigned *seed)
{
  for (int i = 0; i < CRASH_FILES; i++) {
    crash_disk_file *d = &disk.files[i];
    if (!d->there) continue;
    unsigned char *bytes = d->synced;
    size_t         len = d->synced_len;
    d->synced = NULL;
    for (size_t w = 0; w < d->count; w++) {
      int luck = rand_r(seed) % 3;
      if (luck == 0) continue;
      if (d->writes[w].at < 0) {
        if (d->writes[w].len < len) len = d->writes[w].len;
        continue;
      }
      size_t n = d->writes[w].len;
      if (luck == 1 && n > SECTOR) n = SECTOR * (1 + (size_t)rand_r(seed) % (n / SECTOR));
      if (n > d->writes[w].len) n = d->writes[w].len;
      set_bytes(&bytes, &len, d->writes[w].at, d->writes[w].bytes, n);
    }
    forget(d);
    free(d->now);
    d->now = bytes;
    d->now_len = len;
    d->synced = (unsigned char *)malloc(len ? len : 1);
    if (!d->synced) abort();
    if (len) memcpy(d->synced, bytes, len);
    d->synced_len = len;
  }
  disk.off = 0;
}

static inline void crash_vfs_erase(void)
{
  for (int i = 0; i < CRASH_FILES; i++)
    if (disk.files[i].there) drop_file(&disk.files[i]);
  disk.off = 0;
  disk.fail_writes = 0;
  disk.syncs = 0;
}

#endif
