/**
 * The HTTP/1.1 side: listeners, limits, targets cut before they are decoded, negotiation, compression, bounded pools of
 * threads. It knows no JSON but the error body, and nothing of schemas. The only folder that sees libmicrohttpd.
 *
 * One thread polls each listener. A handler that may wait for the store runs on a worker while its connection is
 * suspended, one that waits for a KMS on a pool of its own; a request that waits for what another one has under way is
 * parked and holds no thread. An answer is sent only when the application says that it may leave
 * (registry_http_app.settle).
 */
#ifndef REGISTRY_HTTP_HTTP_H
#define REGISTRY_HTTP_HTTP_H

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/world.h"

#include <stdatomic.h>

typedef struct registry_http registry_http;

typedef struct registry_param {
  csfle__bytes name, value;
} registry_param;

/** One request. Views point into the arena; valid until it is answered. */
typedef struct registry_request {
  const char     *method;   /**< "GET" for HEAD too */
  bool            head;
  csfle__bytes   *segments; /**< path, cut at '/' first, then percent-decoded; no empty last one */
  size_t          segment_count;
  registry_param *query;
  size_t          query_count;
  csfle__bytes    content_type; /**< as sent; ptr NULL: none */
  csfle_buf       body;         /**< decompressed; may hold key material, wiped */
  csfle__arena    arena;
  const void     *route;   /**< the application's, set by begin */
  bool            on_worker; /**< set by begin: handle may wait for the store */
  bool            may_block; /**< handle runs where it may wait for a KMS */
  bool            confidential; /**< the connection is TLS, or does not leave this machine, nor is a proxy's */
  int             listener; /**< its number in registry_http_options */
  void           *waiter;  /**< for registry_http_park, _again and _release */
  void           *parked;  /**< the application's: what it waited for */
  uint64_t        position;  /**< the application's: what settle waits for */
} registry_request;

typedef struct registry_reply {
  int         status;  /**< 0: not answered yet */
  csfle_buf   body;    /**< begin makes it a secret buffer where it may tell keys */
  const char *allow;   /**< value of Allow, or NULL; borrowed from something static */
  const char *type;    /**< media type that needs no negotiation, or NULL; static */
  int         retry_after_s;
  bool        no_store; /**< Cache-Control: no-store; never compressed, for zlib keeps what it has seen */
} registry_reply;

typedef enum registry_handled {
  REGISTRY_ANSWERED,
  REGISTRY_PARKED, /**< after registry_http_park: registry_http_again is called, or has been: nothing of the request may be touched */
  REGISTRY_BLOCKS  /**< handle is to be called again with may_block */
} registry_handled;

/** What http asks of the application. Any thread of the server. */
typedef struct registry_http_app {
  void *opaque;
  /** Target and headers are known. Finds the route, may refuse by setting reply->status. */
  void (*begin)(void *opaque, registry_request *rq, registry_reply *reply);
  /** Answers: must set reply->status when it is ANSWERED. */
  registry_handled (*handle)(void *opaque, registry_request *rq, registry_reply *reply);
  /** Whether the answer may leave now, for certain; asks and arranges nothing. */
  bool (*settled)(void *opaque, const registry_request *rq);
  /**
   * True: the answer may leave now. False: registry_http_release(waiter, ok) will be called exactly once, from any
   * thread, when it may (ok) or when what it tells was not kept (!ok: @p reply is then replaced by 500/50001).
   */
  bool (*settle)(void *opaque, registry_request *rq, void *waiter);
} registry_http_app;

#define REGISTRY_LISTENERS_MAX 8

typedef struct registry_http_listener {
  const char *host; /**< numeric address */
  int         port; /**< 0: a free one */
  bool        tls;
} registry_http_listener;

typedef struct registry_pool registry_pool;

typedef struct registry_http_options {
  registry_http_listener listeners[REGISTRY_LISTENERS_MAX];
  int            listener_count;
  /** PEM texts for those with TLS; borrowed for registry_http_start. One text may hold both. */
  const char    *certificate, *key, *key_password;
  size_t         max_body_bytes;  /**< 413 past it */
  size_t         max_bodies_bytes; /**< of all requests that are coming in or under way; then 503 */
  int            workers;
  size_t         queue;           /**< requests waiting for a worker; then 503 */
  unsigned       connections;     /**< of one listener */
  registry_pool *blocking;        /**< for handlers that wait for a KMS; borrowed until registry_http_stop */
  int64_t        blocking_wait_ms; /**< for a thread of it; then 503 */
  int            idle_timeout_s;
  bool           compress;
} registry_http_options;

/** Binds and starts to answer. CSFLE_E_CONFIG names what cannot be done. */
csfle_status registry_http_start(registry_http **out, const registry_http_options *o, const registry_http_app *app,
                                 const csfle__log *log, csfle_error *err);
int registry_http_port(const registry_http *h, int listener);
/** Takes no new connections, finishes what is under way, ends threads, frees. False: something is still under way after
    @p grace_ms; nothing was freed, and the process has to end without it. */
bool registry_http_stop(registry_http *h, int64_t grace_ms);
void registry_http_release(void *waiter, bool ok);
/** From handle, before anybody may call registry_http_again for it: the request will wait without a thread. */
void registry_http_park(void *waiter);
/** Once for a parked request, from any thread but libmicrohttpd's: handle is called again, here and now. */
void registry_http_again(void *waiter);

/** {"error_code":..,"message":..} as the whole reply (1.2); a missing text is replaced by the generic one (1.3). */
void registry_reply_error(registry_reply *reply, int status, int error_code, const char *message);
/** Value of the first query parameter of that name; ptr NULL when absent. */
csfle__bytes registry_query(const registry_request *rq, const char *name);

/** Up to @p threads threads, started when they are needed, and @p queue tasks that wait for one. NULL: no memory. */
registry_pool *registry_pool_new(int threads, size_t queue);
/** False: the queue is full, the pool ends, or there is no thread. Any thread. */
bool registry_pool_run(registry_pool *p, void (*fn)(void *arg), void *arg);
/** Tasks waiting or running. */
size_t registry_pool_busy(registry_pool *p);
/** Works off what waits, then ends. */
void registry_pool_free(registry_pool *p);

/* ---- between the files of this folder ------------------------------------------------------------------------- */

/** Cuts and decodes a target as received. False: malformed percent-encoding or no absolute path. [SR 1.8] */
bool registry_target_parse(registry_request *rq, const char *target);
/** Index of the produced type for Accept lines, -1 when none fits. [SR 1.1] */
int registry_accept(csfle__bytes accept);
extern const char *const registry_media_types[3];
/** Whether a request of this Content-Type is taken as JSON. */
bool registry_content_type_ok(csfle__bytes type);
/** TLS 1.2 with forward secrecy, and 1.3. */
#define REGISTRY_TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-SHA1"
/** Whether certificate and key of @p o can be used together. CSFLE_E_CONFIG. */
csfle_status registry_tls_check(const registry_http_options *o, csfle_error *err);
struct sockaddr;
/** Whether a peer is this machine. */
bool registry_loopback(const struct sockaddr *a);
/** Replaces *b by its gzip form; false leaves it. */
bool registry_gzip(csfle_buf *b);
/** Replaces *b by its decompressed form of at most @p max bytes: 0, or the HTTP status of the refusal. */
int registry_gunzip(csfle_buf *b, size_t max);

#endif
