/* Records in memory, for tests and trials: gone with the process. */
#include "server/log/log.h"

#include "server/log/must.h"

#include <pthread.h>

typedef struct memory {
  registry_record *records;
  size_t           count, cap;
} memory;

static csfle_status memory_open(void **store, const registry_log_setup *setup, csfle_error *err)
{
  (void)setup;
  *store = csfle__calloc(1, sizeof(memory));
  return *store ? CSFLE_OK : csfle__nomem(err);
}

static csfle_status memory_replay(void *store, registry_record_fn fn, void *opaque, csfle_error *err)
{
  memory *m = (memory *)store;
  (void)err;
  for (size_t i = 0; i < m->count; i++) fn(opaque, &m->records[i]);
  return CSFLE_OK;
}

static csfle_status memory_commit(void *store, const registry_record *records, size_t count, csfle_error *err)
{
  memory *m = (memory *)store;
  (void)err;
  must_grow((void **)&m->records, &m->cap, m->count + count, sizeof *m->records);
  for (size_t i = 0; i < count; i++) {
    registry_record *r = &m->records[m->count++];
    *r = records[i];
    r->key = must_copy(r->key);
    if (r->value.ptr) r->value = must_copy(r->value);
  }
  return CSFLE_OK;
}

static csfle_status memory_compact(void *store, size_t *removed, csfle_error *err)
{
  (void)store, (void)err;
  if (removed) *removed = 0;
  return CSFLE_OK;
}

static void memory_close(void *store)
{
  memory *m = (memory *)store;
  for (size_t i = 0; i < m->count; i++) {
    csfle__free((void *)m->records[i].key.ptr);
    csfle__free((void *)m->records[i].value.ptr);
  }
  csfle__free(m->records);
  csfle__free(m);
}

const registry_log_driver registry_log_memory = { "memory", memory_open, memory_replay, memory_commit, memory_compact,
                                                  memory_close };
