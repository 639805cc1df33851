/*
 * Records in one SQLite file: WAL, synchronous=FULL, exclusive lock (a second process is refused at start).
 *
 *     log(offset INTEGER PRIMARY KEY, topic TEXT, ts INTEGER, headers BLOB, key BLOB, value BLOB)
 *
 * A tombstone has value NULL. Offsets only grow: the newest row is never removed, so they are not given out twice.
 */
#include "server/log/log.h"

#include "server/log/must.h"

#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>

#define SCHEMA_VERSION 1

typedef struct embedded {
  sqlite3      *db;
  sqlite3_stmt *insert;
  const char   *topics[REGISTRY_TOPICS];
  const csfle__log *log;
} embedded;

static csfle_status fail(embedded *e, const char *what, csfle_error *err)
{
  return csfle__fail(err, CSFLE_E_CONFIG, "%s: %s", what, e->db ? sqlite3_errmsg(e->db) : "out of memory");
}

static csfle_status run(embedded *e, const char *sql, csfle_error *err)
{
  return sqlite3_exec(e->db, sql, NULL, NULL, NULL) == SQLITE_OK ? CSFLE_OK : fail(e, sql, err);
}

static void embedded_close(void *store)
{
  embedded *e = (embedded *)store;
  sqlite3_finalize(e->insert);
  sqlite3_close_v2(e->db);
  csfle__free(e);
}

static int64_t pragma(embedded *e, const char *sql)
{
  sqlite3_stmt *s = NULL;
  int64_t       n = -1;
  if (sqlite3_prepare_v2(e->db, sql, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW) n = sqlite3_column_int64(s, 0);
  sqlite3_finalize(s);
  return n;
}

static csfle_status embedded_open(void **store, const registry_log_setup *setup, csfle_error *err)
{
  embedded    *e = (embedded *)csfle__calloc(1, sizeof *e);
  csfle_status rc;

  if (!e) return csfle__nomem(err);
  memcpy(e->topics, setup->topics, sizeof e->topics);
  e->log = setup->log;
  mode_t mask = umask(0077); /* the store holds wrapped keys: for its owner only */
  int    opened = sqlite3_open_v2(setup->path, &e->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, setup->vfs);
  if (opened != SQLITE_OK) {
    rc = fail(e, setup->path, err);
    goto out;
  }
  sqlite3_busy_timeout(e->db, 2000);
  if ((rc = run(e, "PRAGMA locking_mode=EXCLUSIVE", err)) != CSFLE_OK) goto out;
  if (sqlite3_exec(e->db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL) != SQLITE_OK) {
    rc = csfle__fail(err, CSFLE_E_CONFIG, "store %s: %s (does another process have it open?)", setup->path, sqlite3_errmsg(e->db));
    goto out;
  }
  int64_t version = pragma(e, "PRAGMA user_version");
  if (version != 0 && version != SCHEMA_VERSION) {
    rc = csfle__fail(err, CSFLE_E_CONFIG, "store %s has layout %lld, this program knows layout %d", setup->path, (long long)version, SCHEMA_VERSION);
    goto out;
  }
#ifdef CSFLE_BREAK_NO_SYNC
  const char *sync = "PRAGMA synchronous=OFF";
#else
  const char *sync = "PRAGMA synchronous=FULL";
#endif
  if ((rc = run(e, sync, err)) != CSFLE_OK) goto out;
  if ((rc = run(e, "PRAGMA secure_delete=ON", err)) != CSFLE_OK) goto out; /* what is removed is overwritten: wrapped keys */
  if ((rc = run(e, "BEGIN IMMEDIATE;"
                   "CREATE TABLE IF NOT EXISTS log(offset INTEGER PRIMARY KEY, topic TEXT NOT NULL, ts INTEGER NOT NULL,"
                   " headers BLOB, key BLOB NOT NULL, value BLOB);"
                   "PRAGMA user_version=1;"
                   "COMMIT", err)) != CSFLE_OK) goto out;
  if (sqlite3_prepare_v2(e->db, "INSERT INTO log(offset, topic, ts, key, value) VALUES(?,?,?,?,?)", -1, &e->insert, NULL) != SQLITE_OK)
    rc = fail(e, "prepare", err);
out:
  umask(mask);
  if (rc != CSFLE_OK) embedded_close(e);
  else *store = e;
  return rc;
}

static csfle_status embedded_replay(void *store, registry_record_fn fn, void *opaque, csfle_error *err)
{
  embedded     *e = (embedded *)store;
  sqlite3_stmt *s = NULL;
  int           step;

  if (sqlite3_prepare_v2(e->db, "SELECT offset, topic, ts, key, value FROM log ORDER BY offset", -1, &s, NULL) != SQLITE_OK)
    return fail(e, "replay", err);
  while ((step = sqlite3_step(s)) == SQLITE_ROW) {
    const char     *topic = (const char *)sqlite3_column_text(s, 1);
    registry_record r = { REGISTRY_TOPICS, sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 2), CSFLE__NONE, CSFLE__NONE };
    for (int t = 0; t < REGISTRY_TOPICS; t++)
      if (topic && strcmp(topic, e->topics[t]) == 0) r.topic = (registry_topic)t;
    r.key = csfle__view(sqlite3_column_blob(s, 3), (size_t)sqlite3_column_bytes(s, 3));
    if (sqlite3_column_type(s, 4) != SQLITE_NULL) {
      r.value = csfle__view(sqlite3_column_blob(s, 4), (size_t)sqlite3_column_bytes(s, 4));
      if (!r.value.ptr) r.value.ptr = (const uint8_t *)"";
    }
    fn(opaque, &r); /* a topic of another name counts for the offset only */
  }
  csfle_status rc = step == SQLITE_DONE ? CSFLE_OK : fail(e, "replay", err);
  sqlite3_finalize(s);
  return rc;
}

static csfle_status embedded_commit(void *store, const registry_record *records, size_t count, csfle_error *err)
{
  embedded    *e = (embedded *)store;
  csfle_status rc = run(e, "BEGIN IMMEDIATE", err);

  for (size_t i = 0; i < count && rc == CSFLE_OK; i++) {
    const registry_record *r = &records[i];
    sqlite3_bind_int64(e->insert, 1, r->offset);
    sqlite3_bind_text(e->insert, 2, e->topics[r->topic], -1, SQLITE_STATIC);
    sqlite3_bind_int64(e->insert, 3, r->ts);
    sqlite3_bind_blob64(e->insert, 4, r->key.ptr, r->key.len, SQLITE_STATIC);
    if (r->value.ptr) sqlite3_bind_blob64(e->insert, 5, r->value.ptr, r->value.len, SQLITE_STATIC);
    else sqlite3_bind_null(e->insert, 5);
    if (sqlite3_step(e->insert) != SQLITE_DONE) rc = fail(e, "append", err);
    sqlite3_reset(e->insert);
  }
  if (rc == CSFLE_OK) rc = run(e, "COMMIT", err);
  if (rc != CSFLE_OK) sqlite3_exec(e->db, "ROLLBACK", NULL, NULL, NULL);
  return rc;
}

static csfle_status embedded_compact(void *store, int64_t before, size_t *removed, csfle_error *err)
{
  embedded *e = (embedded *)store;
  char      sql[240];
  snprintf(sql, sizeof sql, "DELETE FROM log WHERE (value IS NULL OR offset NOT IN (SELECT max(offset) FROM log GROUP BY topic, key))"
                            " AND offset < (SELECT max(offset) FROM log) AND offset < %lld", (long long)before);
  csfle_status rc = run(e, sql, err);
  if (rc != CSFLE_OK) return rc;
  if (removed) *removed = (size_t)sqlite3_changes(e->db);
  return run(e, "PRAGMA wal_checkpoint(TRUNCATE)", err); /* nor does the write-ahead log keep what is gone */
}

const registry_log_driver registry_log_embedded = { "embedded", embedded_open, embedded_replay, embedded_commit,
                                                    embedded_compact, embedded_close };
