/* Memory for key material under several threads; see test_locked.c. */
#include "tests/support/test.h"

#include "core/base/locked.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void *use_some(void *opaque)
{
  for (int i = 0; i < 2000; i++) {
    size_t   size = (size_t)((i * 37 + (int)(intptr_t)opaque) % 700) + 1;
    uint8_t *p = csfle__locked_alloc(size);
    if (!p || p[0] || p[size - 1]) abort();
    memset(p, 1, size);
    csfle__locked_free(p, size);
  }
  return NULL;
}

TEST(threads_share_it)
{
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, use_some, (void *)(intptr_t)i);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}
