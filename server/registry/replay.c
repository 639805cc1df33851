/*
 * Reading the log at start, in two threads: one reads records and parses their JSON, which needs no state, the other
 * applies them in order. They hand batches to and fro.
 */
#include "server/registry/registry.h"

#include "server/log/must.h"

enum { BATCH = 256, BATCHES = 4 };

/* A batch's documents lie one behind the other in blocks that are used again: asking malloc for each, and giving it back in
   another order, was a fifth of a start. */
#define BLOCK (256u << 10)
typedef struct block {
  struct block *next;
  size_t        used, size;
  max_align_t   bytes[];
} block;

typedef struct batch {
  registry_parsed records[BATCH];
  size_t          count;
  block          *blocks; /* the one in use first */
} batch;

static void *block_alloc(void *ctx, size_t size)
{
  batch *b = (batch *)ctx;
  size = (size + 15) & ~(size_t)15;
  if (!b->blocks || b->blocks->size - b->blocks->used < size) {
    size_t room = size > BLOCK ? size : BLOCK;
    block *made = (block *)csfle__alloc(sizeof *made + room);
    if (!made) return NULL;
    made->next = b->blocks, made->used = 0, made->size = room;
    b->blocks = made;
  }
  void *p = (uint8_t *)b->blocks->bytes + b->blocks->used;
  b->blocks->used += size;
  return p;
}

static void *block_resize(void *ctx, void *ptr, size_t old, size_t size)
{
  if (size <= old) return ptr;
  void *p = block_alloc(ctx, size);
  if (p && ptr) memcpy(p, ptr, old);
  return p;
}

static void block_free(void *ctx, void *ptr) { (void)ctx, (void)ptr; }

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

/* keeps one block of the usual size */
static void clear(batch *b)
{
  block *kept = NULL;
  for (block *at = b->blocks, *next; at; at = next) {
    next = at->next;
    if (!kept && at->size == BLOCK) kept = at, at->next = NULL, at->used = 0;
    else csfle__free(at);
  }
  b->blocks = kept;
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
  yyjson_alc alc = { block_alloc, block_resize, block_free, p->filling };
  registry_record_parse(r, &alc, &p->filling->records[p->filling->count++]);
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
    registry_contents_load(s, true);
    apply_all(p, s);
    registry_contents_load(s, false);
    pthread_join(reader, NULL);
    rc = p->rc;
    if (err && rc != CSFLE_OK) *err = p->err;
  } else {
    rc = csfle__fail(err, CSFLE_E_NOMEM, "no thread to read the log with");
  }
  for (size_t i = 0; i < BATCHES; i++) clear(&p->batches[i]), csfle__free(p->batches[i].blocks);
  if (count) *count = p->count;
  pthread_cond_destroy(&p->changed);
  pthread_mutex_destroy(&p->lock);
  csfle__free(p);
  return rc;
}
