/* The examples are compiled and run: against a real registry that has, and has not, what they ask for. */
#define main simple_main
#include "examples/simple.c"
#undef main
#define main observe_main
#include "examples/observe.c"
#undef main

#include "tests/support/registry.h"
#include "tests/support/test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define FAILED "csfle_messages_total{op=\"serialize\",subject=\"orders-value\",result=\"SCHEMA\"} 1\n"
#define WORKED "csfle_messages_total{op=\"serialize\",subject=\"orders-value\",result=\"OK\"} 3\n"

/* What the example wrote to stdout, and its exit status. */
static int run(int (*example)(int, char **), csfle_test_registry *r, char *text, size_t size, size_t *len)
{
  char  path[] = "/tmp/csfle-example-XXXXXX";
  char *argv[] = { (char *)"example", r->url, NULL };
  int   file = mkstemp(path), old = dup(1);
  fflush(stdout);
  dup2(file, 1);
  int status = example(2, argv);
  fflush(stdout);
  dup2(old, 1);
  close(old);
  ssize_t n = pread(file, text, size, 0);
  *len = n > 0 ? (size_t)n : 0;
  close(file);
  unlink(path);
  return status;
}

TEST(the_examples_encrypt_records_and_say_what_they_did)
{
  csfle_test_registry r;
  char                text[16384];
  size_t              len;
  setenv("LOCAL_SECRET", "example", 1);
  csfle_test_registry_start(&r, (const char *const[]){ "--store", "memory", NULL });
  assert_int_equal(run(simple_main, &r, text, sizeof text, &len), 1); /* no such subject */
  assert_int_equal(len, 0);
  assert_int_equal(run(observe_main, &r, text, sizeof text, &len), 1);
  assert_non_null(memmem(text, len, FAILED, sizeof FAILED - 1));
  csfle_test_reply reply = csfle_test_http(&r, "POST", "/subjects/orders-value/versions",
    "{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"Order\\\",\\\"fields\\\":[{\\\"name\\\":\\\"id\\\",\\\"type\\\":\\\"long\\\"},"
    "{\\\"name\\\":\\\"ssn\\\",\\\"type\\\":\\\"string\\\",\\\"confluent:tags\\\":[\\\"PII\\\"]}]}\",\"ruleSet\":{\"domainRules\":[{\"name\":\"encryptPII\","
    "\"kind\":\"TRANSFORM\",\"mode\":\"WRITEREAD\",\"type\":\"ENCRYPT\",\"tags\":[\"PII\"],\"params\":{\"encrypt.kek.name\":\"k\","
    "\"encrypt.kms.type\":\"local-kms\",\"encrypt.kms.key.id\":\"x\"}}]}}");
  assert_int_equal(reply.status, 200);
  csfle_test_reply_free(&reply);
  assert_int_equal(run(simple_main, &r, text, sizeof text, &len), 0);
  assert_int_equal(len, 5 + 1 + 1 + 52);
  assert_null(memmem(text, len, "078-05-1120", 11));
  assert_int_equal(run(observe_main, &r, text, sizeof text, &len), 0);
  assert_non_null(memmem(text, len, WORKED, sizeof WORKED - 1));
  assert_null(memmem(text, len, "078-05-1120", 11));
  csfle_test_registry_stop(&r);
}
