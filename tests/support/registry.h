/**
 * A real csfle-registry process for tests: started on a free port of 127.0.0.1 with a store of its own in a temporary
 * folder, talked to over HTTP by libcurl. Nothing here knows what the server does.
 */
#ifndef CSFLE_TESTS_SUPPORT_REGISTRY_H
#define CSFLE_TESTS_SUPPORT_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct csfle_test_registry {
  pid_t pid;
  int   port;       /**< of the first plain listener */
  int   tls_port;   /**< of the first https listener, 0: none */
  int   metrics_port; /**< of csfle.metrics.listener, 0: none */
  char  url[64];    /**< "http://127.0.0.1:40001" */
  char  dir[256];   /**< temporary folder, removed by csfle_test_registry_stop */
  char  store[288];/**< dir/store.db, or "memory" */
  char  log[288];  /**< dir/stderr.log: what the process wrote to stderr */
  const char *args[32]; /**< extra arguments, kept for a restart; NULL ends */
  int   out;        /**< its stdout */
} csfle_test_registry;

/**
 * Starts the process with `--port 0 --store <temporary file>` and @p args (NULL-terminated, may be NULL; borrowed
 * until stop). Waits until it says where it listens. Fails the test when it does not within 20 s. Give
 * {"--store", "memory", NULL} for one without a file.
 */
void csfle_test_registry_start(csfle_test_registry *r, const char *const *args);
/** The same on a store that is there already: after csfle_test_registry_kill, or a file put there by the test. */
void csfle_test_registry_restart(csfle_test_registry *r);
/** Makes the folder and the names without starting anything; csfle_test_registry_restart starts. */
void csfle_test_registry_prepare(csfle_test_registry *r, const char *const *args);
/** SIGKILL, and waits; the store stays. */
void csfle_test_registry_kill(csfle_test_registry *r);
/** SIGTERM, waits; exit status; the store stays. */
int csfle_test_registry_term(csfle_test_registry *r);
/** SIGTERM if it still runs, then removes the folder. Fails the test when a running one does not exit with 0, or when what
    it wrote to stderr tells a key or a secret that the suites plant. */
void csfle_test_registry_stop(csfle_test_registry *r);

typedef struct csfle_test_reply {
  long   status;  /**< 0: no reply */
  char  *body;    /**< NUL-terminated, never NULL; owned */
  size_t len;
  char  *headers; /**< lines as received; owned */
} csfle_test_reply;

/**
 * One request; @p path begins with '/' and is sent as it is. @p body NULL: none; sent as
 * application/vnd.schemaregistry.v1+json. Owner frees the reply with csfle_test_reply_free. Any thread.
 */
csfle_test_reply csfle_test_http(const csfle_test_registry *r, const char *method, const char *path, const char *body);
/** The same with header lines of its own (NULL-terminated "Name: value"; "Name:" removes a default one). */
csfle_test_reply csfle_test_http_headers(const csfle_test_registry *r, const char *method, const char *path,
                                         const char *body, const char *const *headers);
void csfle_test_reply_free(csfle_test_reply *p);
/** Value of a reply header in @p buf; "" when absent. */
const char *csfle_test_reply_header(const csfle_test_reply *p, const char *name, char *buf, size_t size);

#endif
