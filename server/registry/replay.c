/*
 * Reading the log at start, in two threads: one reads records and parses their JSON, which needs no state, the other
 * applies them in order. They hand batches to and fro; what was parsed is freed by the thread that made it, so that
 * neither waits for the other's memory.
 */
#include "server/registry/registry.h"

#include "server/log/must.h"

enum { BATCH = 256, BATCHES = 4 };

typedef struct batch {
  registry_parsed records[BATCH];
  size_t          count;
} batch;

typedef struct pipe {
  pthread_mutex_t lock;
  pthread_cond_t  changed;
  batch           batches[BATCHES];
  size_t          filled, emptied; /* batches so far; filled - emptied <= BATCHES */
  bool            end;
  batch          *filling;
  size_t          count;           /* of records */
  registry_log   *log;
  csfle_status    rc;
  csfle_error     err;
} pipe;

static void clear(batch *b)
{
  for (size_t i = 0; i < b->count; i++) registry_parsed_free(&b->records[i]);
  b->count = 0;
}

static void hand_over(pipe *p)
{
  pthread_mutex_lock(&p->lock);
  p->filled++;
  pthread_cond_broadcast(&p->changed);
  while (p->filled - p->emptied == BATCHES) pthread_cond_wait(&p->changed, &p->lock);
  pthread_mutex_unlock(&p->lock);
  p->filling = &p->batches[p->filled % BATCHES];
  clear(p->filling);
}

static void read_one(void *opaque, const registry_record *r)
{
  pipe *p = (pipe *)opaque;
  p->count++;
  registry_record_parse(r, &p->filling->records[p->filling->count++]);
  if (p->filling->count == BATCH) hand_over(p);
}

static void *read_all(void *opaque)
{
  pipe *p = (pipe *)opaque;
  p->rc = registry_log_replay(p->log, read_one, p, &p->err);
  if (p->filling->count) hand_over(p);
  pthread_mutex_lock(&p->lock);
  p->end = true;
  pthread_cond_broadcast(&p->changed);
  pthread_mutex_unlock(&p->lock);
  return NULL;
}

static void apply_all(pipe *p, registry_state *s)
{
  for (;;) {
    pthread_mutex_lock(&p->lock);
    while (p->filled == p->emptied && !p->end) pthread_cond_wait(&p->changed, &p->lock);
    bool more = p->filled != p->emptied;
    pthread_mutex_unlock(&p->lock);
    if (!more) return;
    const batch *b = &p->batches[p->emptied % BATCHES];
    for (size_t i = 0; i < b->count; i++) registry_state_apply_parsed(s, &b->records[i]);
    pthread_mutex_lock(&p->lock);
    p->emptied++;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
  }
}

csfle_status registry_replay(registry_log *log, registry_state *s, size_t *count, csfle_error *err)
{
  pipe     *p = (pipe *)must_calloc(sizeof *p);
  pthread_t reader;
  p->log = log;
  p->filling = &p->batches[0];
  p->err = (csfle_error)CSFLE_ERROR_INIT;
  if (pthread_mutex_init(&p->lock, NULL) != 0 || pthread_cond_init(&p->changed, NULL) != 0) registry_out_of_memory();
  csfle_status rc;
  if (pthread_create(&reader, NULL, read_all, p) == 0) {
    apply_all(p, s);
    pthread_join(reader, NULL);
    rc = p->rc;
    if (err && rc != CSFLE_OK) *err = p->err;
  } else {
    rc = csfle__fail(err, CSFLE_E_NOMEM, "no thread to read the log with");
  }
  for (size_t i = 0; i < BATCHES; i++) clear(&p->batches[i]);
  if (count) *count = p->count;
  pthread_cond_destroy(&p->changed);
  pthread_mutex_destroy(&p->lock);
  csfle__free(p);
  return rc;
}
