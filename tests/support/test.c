/* main() of every C test program, its list of tests, vectors and the failing allocator. See test.h. */
#include "tests/support/test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static struct CMUnitTest tests[512];
static size_t            test_count;

void csfle_test_add(const char *name, void (*fn)(void **state))
{
  if (test_count == sizeof tests / sizeof *tests) abort();
  tests[test_count++] = (struct CMUnitTest){ name, fn, NULL, NULL, NULL };
}

static csfle__bytes read_file(const char *path)
{
  FILE *f = fopen(path, "rb");
  if (!f) fail_msg("cannot open %s", path);
  fseek(f, 0, SEEK_END);
  long n = ftell(f);
  rewind(f);
  char *p = malloc((size_t)n + 1);
  assert_int_equal(fread(p, 1, (size_t)n, f), n);
  fclose(f);
  return csfle__view(p, (size_t)n);
}

yyjson_doc *csfle_test_vectors(const char *name)
{
  char path[512];
  snprintf(path, sizeof path, "%s/%s", CSFLE_TEST_VECTORS, name);
  csfle__bytes text = read_file(path);
  yyjson_doc  *doc = yyjson_read((const char *)text.ptr, text.len, YYJSON_READ_NUMBER_AS_RAW);
  free((void *)(uintptr_t)text.ptr);
  assert_non_null(doc);
  return doc;
}

csfle__bytes csfle_test_unhex(csfle__bytes hex, uint8_t *buf, size_t cap)
{
  size_t n = hex.len / 2;
  assert_true(n <= cap);
  for (size_t i = 0; i < n; i++) {
    unsigned v;
    assert_int_equal(sscanf((const char *)hex.ptr + 2 * i, "%2x", &v), 1);
    buf[i] = (uint8_t)v;
  }
  return csfle__view(buf, n);
}

const char *csfle_test_text(yyjson_val *obj, const char *name)
{
  const char *s = yyjson_get_str(csfle__json_member(obj, name));
  return s ? s : "";
}

csfle_test_memory      csfle_test_mem;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int refuse(void)
{
  csfle_test_mem.total++;
  return csfle_test_mem.fail_at && csfle_test_mem.total == csfle_test_mem.fail_at;
}

static void *mem_alloc(void *opaque, size_t size)
{
  (void)opaque;
  pthread_mutex_lock(&lock);
  void *p = refuse() ? NULL : malloc(size ? size : 1);
  if (p) csfle_test_mem.live++;
  pthread_mutex_unlock(&lock);
  return p;
}

static void *mem_resize(void *opaque, void *ptr, size_t size)
{
  (void)opaque;
  pthread_mutex_lock(&lock);
  void *p = refuse() ? NULL : realloc(ptr, size ? size : 1);
  if (p && !ptr) csfle_test_mem.live++;
  pthread_mutex_unlock(&lock);
  return p;
}

static void mem_release(void *opaque, void *ptr)
{
  (void)opaque;
  if (!ptr) return;
  pthread_mutex_lock(&lock);
  csfle_test_mem.live--;
  pthread_mutex_unlock(&lock);
  free(ptr);
}

static void mem_secret(void *opaque, const void *ptr, size_t size)
{
  (void)opaque;
  for (size_t i = 0; i < size; i++)
    if (((const uint8_t *)ptr)[i]) {
      csfle_test_mem.dirty_secrets++;
      fprintf(stderr, "# secret memory of %zu bytes was released without a wipe\n", size);
      break;
    }
}

void csfle_test_memory_on(void)
{
  static const csfle__alloc_hooks hooks = { mem_alloc, mem_resize, mem_release, mem_secret, NULL };
  csfle_test_mem = (csfle_test_memory){ 0, 0, 0, 0 };
  csfle__alloc_set(&hooks);
}

void csfle_test_memory_off(void) { csfle__alloc_set(NULL); }

int main(int argc, char **argv)
{
  if (argc > 1) cmocka_set_test_filter(argv[1]);
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return _cmocka_run_group_tests(argv[0], tests, test_count, NULL, NULL);
}
