/* A bounded queue and the threads that work it off, in the order of arrival; threads are started when none is idle. */
#include "server/http/http.h"

#include "core/base/alloc.h"

#include <pthread.h>

typedef struct task {
  void (*fn)(void *arg);
  void *arg;
} task;

struct registry_pool {
  pthread_mutex_t lock;
  pthread_cond_t  more;
  task           *ring;
  size_t          cap, head, count;
  bool            ending;
  pthread_t      *threads;
  int             thread_count, thread_max, idle;
};

static void *work(void *opaque)
{
  registry_pool *p = (registry_pool *)opaque;
  for (;;) {
    pthread_mutex_lock(&p->lock);
    p->idle++;
    while (p->count == 0 && !p->ending) pthread_cond_wait(&p->more, &p->lock);
    p->idle--;
    if (p->count == 0) {
      pthread_mutex_unlock(&p->lock);
      return NULL;
    }
    task t = p->ring[p->head];
    p->head = (p->head + 1) % p->cap;
    p->count--;
    pthread_mutex_unlock(&p->lock);
    t.fn(t.arg);
  }
}

registry_pool *registry_pool_new(int threads, size_t queue)
{
  registry_pool *p = (registry_pool *)csfle__calloc(1, sizeof *p);
  if (!p) return NULL;
  p->ring = (task *)csfle__calloc(queue, sizeof *p->ring);
  p->threads = (pthread_t *)csfle__calloc((size_t)threads, sizeof *p->threads);
  p->cap = queue;
  p->thread_max = threads;
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->more, NULL);
  if (p->ring && p->threads) return p;
  registry_pool_free(p);
  return NULL;
}

/* the lock is held; whether somebody will take what is in the queue */
static bool staffed(registry_pool *p)
{
  if ((size_t)p->idle < p->count && p->thread_count < p->thread_max && pthread_create(&p->threads[p->thread_count], NULL, work, p) == 0)
    p->thread_count++;
  return p->thread_count > 0;
}

bool registry_pool_run(registry_pool *p, void (*fn)(void *arg), void *arg)
{
  pthread_mutex_lock(&p->lock);
  bool ok = p->count < p->cap && !p->ending;
  if (ok) {
    p->ring[(p->head + p->count) % p->cap] = (task){ fn, arg };
    p->count++;
    ok = staffed(p);
    if (ok) pthread_cond_signal(&p->more);
    else p->count--;
  }
  pthread_mutex_unlock(&p->lock);
  return ok;
}

size_t registry_pool_busy(registry_pool *p)
{
  pthread_mutex_lock(&p->lock);
  size_t n = p->count + (size_t)(p->thread_count - p->idle);
  pthread_mutex_unlock(&p->lock);
  return n;
}

void registry_pool_free(registry_pool *p)
{
  if (!p) return;
  pthread_mutex_lock(&p->lock);
  p->ending = true;
  pthread_cond_broadcast(&p->more);
  pthread_mutex_unlock(&p->lock);
  for (int i = 0; i < p->thread_count; i++) pthread_join(p->threads[i], NULL);
  pthread_cond_destroy(&p->more);
  pthread_mutex_destroy(&p->lock);
  csfle__free(p->ring);
  csfle__free(p->threads);
  csfle__free(p);
}
