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

static void drop(registry_record *r)
{
  csfle__free_secret((void *)r->value.ptr, r->value.len); /* wiped: it may be a wrapped key */
  csfle__free((void *)r->key.ptr);
}

static csfle_status memory_compact(void *store, int64_t before, size_t *removed, csfle_error *err)
{
  memory    *m = (memory *)store;
  csfle__map newest = CSFLE__MAP_INIT; /* topic and key -> index + 1 */
  csfle_buf  name;
  size_t     kept = 0;

  (void)err;
  csfle_buf_init(&name, 0, 0);
  for (int pass = 0; pass < 2; pass++) {
    size_t count = m->count;
    for (size_t i = 0; i < count; i++) {
      registry_record *r = &m->records[i];
      csfle__buf_clear(&name);
      must_ok(csfle__buf_putc(&name, (char)('0' + r->topic), NULL));
      put_bytes(&name, r->key);
      if (pass == 0) {
        must_map_put(&newest, csfle__buf_view(&name), (void *)(uintptr_t)(i + 1));
      } else if (i + 1 == count || r->offset >= before || (r->value.ptr && (uintptr_t)csfle__map_get(&newest, csfle__buf_view(&name)) == i + 1)) {
        m->records[kept++] = *r;
      } else {
        drop(r);
      }
    }
  }
  if (removed) *removed = m->count - kept;
  m->count = kept;
  csfle__map_free(&newest, NULL);
  csfle_buf_free(&name);
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
