/**
 * JSON to command and result to JSON: one file a resource, one line a route (routes.def). No state of its own.
 */
#ifndef REGISTRY_API_API_H
#define REGISTRY_API_API_H

#include "server/http/http.h"
#include "server/registry/registry.h"

typedef struct registry_api registry_api;

/** One request being answered. */
typedef struct registry_call {
  registry         *g;
  registry_api     *api;
  registry_request *rq;
  csfle_buf        *out;     /**< the answer's body */
  int               status;  /**< 200 unless the handler changes it */
  csfle__bytes      param[3]; /**< path parameters in order; subjects normalised, aliases followed */
  yyjson_doc       *doc;
  yyjson_val       *body;    /**< the request object */
  registry_caller   caller;
  registry_problem  problem;
} registry_call;

/** False: c->problem tells what to answer. */
typedef bool (*registry_handler)(registry_call *c);

typedef enum {
  REGISTRY_PLAIN, /**< needs no state */
  REGISTRY_READ,  /**< read lock, on the thread that polls: may not wait */
  REGISTRY_WRITE, /**< the one writer, on a worker (also what parses schemas into the shared cache) */
  REGISTRY_SELF,  /**< on a worker; takes the lock itself around what waits, and sets rq->position */
  REGISTRY_PARK   /**< the same on the thread that polls: where it would wait it is parked */
} registry_kind;

typedef struct registry_route {
  const char      *method, *path, *permission;
  registry_kind    kind;
  const char      *body; /**< NULL: takes none; else how a missing one is called [DEK 2.2] */
  registry_handler handler;
} registry_route;

typedef enum { REGISTRY_ANONYMOUS_WRITE, REGISTRY_ANONYMOUS_READ } registry_anonymous;

/** @p metrics_listener: the number of the listener that /metrics is asked at, and only there; -1: at any. */
registry_api *registry_api_new(registry *g, registry_anonymous anonymous, int metrics_listener);
void registry_api_free(registry_api *a);
/** What http calls; opaque is @p a. */
registry_http_app registry_api_app(registry_api *a);

/** Requests by route and class of status, as Prometheus reads them. */
void registry_put_requests(registry_api *a, csfle_buf *out);

/** Whether it came to the listener that is for metrics alone. */
bool registry_api_metrics_only(const registry_api *a, const registry_request *rq);

/* ---- for the handlers ------------------------------------------------------------------------------------------ */

/** /contexts/{ctx} taken out of the target and put into names. False: *message says why not. [SR 3.3] */
bool registry_rewrite_context(registry_request *rq, char *message, size_t size);
/** The target of an alias of @p subject, or @p subject; the lock is held. @p deks: aliasForDeks first. [SR 3.4] */
csfle__bytes registry_follow_alias(registry_call *c, csfle__bytes subject, bool deks);
/** Normalised form, in the request's arena. */
csfle__bytes registry_normalized(registry_call *c, csfle__bytes subject);
bool registry_flag_of(const registry_call *c, const char *name);
/** offset and limit [SR 1.6]; 404/404 when one is no int32. */
bool registry_page(registry_call *c, registry_limits limits, size_t *offset, size_t *limit);
/** A version of a path; -1 latest; 42202. [SR 4.5.3] [DEK 2.6] */
bool registry_version_param(registry_call *c, csfle__bytes text, int32_t *out);
/** An int32 of the path or query; 404/404. */
bool registry_int_param(registry_call *c, csfle__bytes text, int32_t *out);
bool registry_not_found(registry_call *c);
/** What this build does not do: 501/501. */
bool registry_unsupported(registry_call *c, const char *what);

/** A version as subject-version view (2.5), or id view without "id" (2.6). @p from_store: ts and deleted are told. */
typedef struct registry_view {
  bool no_id, no_subject, from_store;
  csfle__bytes format;
  bool qualified; /**< referenceFormat=qualified */
} registry_view;
/** Up to the closing brace, which the caller puts. */
bool registry_put_version(registry_call *c, const registry_version *v, registry_view view);

/** "[" names "]" after paging. */
void registry_put_names(csfle_buf *b, const csfle__bytes *names, size_t count, size_t offset, size_t limit);
void registry_put_numbers(csfle_buf *b, const int64_t *numbers, size_t count, size_t offset, size_t limit);
/** A schema request from c->body, normalize and friends from the query. Owner frees r->info. */
bool registry_schema_request_read(registry_call *c, registry_schema_request *r);
/** Whether a subject's name matches a subjectPrefix. [SR 4.2] */
bool registry_prefix_matches(csfle__bytes prefix, csfle__bytes subject);
/** Finds the version a read is about, other contexts searched for unqualified names; 40401, 40402. [SR 3.5, 4.5.3] */
registry_version *registry_read_version(registry_call *c, csfle__bytes subject, int32_t number, bool deleted, bool search);

#define REGISTRY_ROUTE(method, path, permission, kind, body, handler) bool registry_##handler(registry_call *c);
#include "server/api/routes.def"
#undef REGISTRY_ROUTE

#endif
