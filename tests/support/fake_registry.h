/**
 * A Schema Registry and DEK Registry in memory behind a csfle_transport: for tests of the client that own every answer,
 * the clock included. Any thread. Its memory is malloc's, not the library's, so that counting allocators see only the library.
 */
#ifndef CSFLE_TESTS_SUPPORT_FAKE_REGISTRY_H
#define CSFLE_TESTS_SUPPORT_FAKE_REGISTRY_H

#include "core/base/world.h"

#include <pthread.h>
#include <yyjson.h>

typedef struct csfle_fake csfle_fake;

typedef struct csfle_fake_schema {
  int   id, version;
  char *subject, *json; /**< members of the answer after subject, version, id */
} csfle_fake_schema;
typedef struct csfle_fake_key {
  char *kek, *subject, *json; /**< subject NULL: a KEK */
  char *algorithm;
  int   version;
} csfle_fake_key;
/** One expected request and its answer: while there are any they are answered in order instead of the state. */
typedef struct csfle_fake_line {
  char *method, *path, *body;
  int   status;
} csfle_fake_line;

struct csfle_fake {
  csfle_transport    transport;
  csfle__clock       clock;      /**< wall and monotonic: now_ms and mono_ms */
  _Atomic(int64_t)   now_ms, mono_ms;
  int64_t            behind_ms;  /**< the registry's clock is that far behind the client's */
  bool               says_date;  /**< answers have a Date header, by the registry's clock */
  pthread_mutex_t    lock;
  csfle_fake_schema *schemas;
  csfle_fake_key    *keys;
  size_t             schema_count, key_count;
  char             **requests;   /**< "GET /path body" */
  size_t             request_count;
  char             **headers;    /**< of each */
  size_t             dek_creates;
  csfle_fake_line   *script;
  size_t             script_count, script_at;
  /** Before the state: return an HTTP status to answer with *body (static text), 0 to go on, -1 for no reply. */
  int (*hook)(csfle_fake *f, const char *method, const char *path, const char **body);
  void *opaque;
};
/** Starts at 2023-11-14 (1700000000000). */
void csfle_fake_init(csfle_fake *f);
void csfle_fake_free(csfle_fake *f);
/** @p metadata and @p rules are JSON objects or NULL. */
void csfle_fake_add_schema(csfle_fake *f, const char *subject, int id, int version, const char *schema, const char *metadata, const char *rules);
void csfle_fake_add_schema_type(csfle_fake *f, const char *subject, int id, int version, const char *type, const char *schema, const char *metadata, const char *rules);
/** As the registry answers them: a KEK's or DEK's JSON object. Replaces one of the same identity. */
void csfle_fake_add_kek(csfle_fake *f, const char *json);
void csfle_fake_add_dek(csfle_fake *f, const char *json);
void csfle_fake_drop_keys(csfle_fake *f);
/** One expected answer more; texts are copied. */
void csfle_fake_script(csfle_fake *f, const char *method, const char *path, int status, const char *body);
/** Requests so far whose text begins with @p prefix ("" all). */
size_t csfle_fake_count(csfle_fake *f, const char *prefix);
/** Percent-decoded, for comparing. Caller frees. */
char *csfle_fake_decode(const char *text, size_t len);

#endif
