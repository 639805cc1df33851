/* Memory for key material under several threads; see test_locked.c. */
#include "tests/support/test.h"

#include "tests/unit/core/base/locked_use.h"

#include <pthread.h>

TEST(threads_share_it)
{
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, use_some, (void *)(intptr_t)i);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}
