/**
 * csfle: client-side field level encryption for Apache Kafka.
 *
 * Four things: a client, a serde for each topic and role, a buffer, an error. Bytes in, bytes out; nothing here
 * knows a broker. Compiles as C99 and as C++11.
 *
 * Rules for every function: any NULL handle is accepted and answers the code already in *err, else
 * CSFLE_E_MISUSE, leaving *err alone; `err` may be NULL; success sets err->code to 0; arguments are borrowed for
 * the call and copied if kept; structs handed in start with their size. Unless a comment says otherwise a
 * function may be called from any thread at any time.
 */
#ifndef CSFLE_CSFLE_H
#define CSFLE_CSFLE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CSFLE_EXPORT __attribute__((visibility("default")))
#else
#define CSFLE_EXPORT
#endif

/* ---- version ------------------------------------------------------------------------------------------------ */

#define CSFLE_VERSION 0x00010000 /**< 0xMMmmrrpp of this header, as RD_KAFKA_VERSION */

/** Version of the library that was loaded, in the form of CSFLE_VERSION. */
CSFLE_EXPORT uint32_t csfle_version(void);
/** What this build can do, comma separated: "avro,curl,local-kms". Static text. */
CSFLE_EXPORT const char *csfle_features(void);

/* ---- errors ------------------------------------------------------------------------------------------------- */

typedef int csfle_status; /**< one of CSFLE_E_*; numbers never change; the hundreds are the class */

/** What a program does with a record that met an error of this class. */
enum {
  CSFLE_OK           = 0,
  CSFLE_CLASS_WAIT   = 1, /**< nothing is wrong with the record: offer it again later */
  CSFLE_CLASS_RECORD = 2, /**< this record can never pass: set it aside, go on with the next */
  CSFLE_CLASS_SETUP  = 3, /**< configuration, schema, rule, policy: all will fail until a person acts */
  CSFLE_CLASS_DENIED = 4, /**< registry or KMS refused this identity; key disabled or deleted */
  CSFLE_CLASS_LIMIT  = 5, /**< memory, a configured ceiling, a buffer */
  CSFLE_CLASS_BUG    = 9  /**< ours, or the caller's */
};

enum {
  CSFLE_E_WOULD_BLOCK     = 101,
  CSFLE_E_TIMEOUT         = 102,
  CSFLE_E_UNAVAILABLE     = 103,
  CSFLE_E_THROTTLED       = 104,
  CSFLE_E_WIRE            = 201,
  CSFLE_E_DATUM           = 202,
  CSFLE_E_TYPE            = 203,
  CSFLE_E_DECRYPT         = 204,
  CSFLE_E_CONDITION       = 205,
  CSFLE_E_CONFIG          = 301,
  CSFLE_E_SCHEMA          = 302,
  CSFLE_E_RULE            = 303,
  CSFLE_E_SCHEMA_MISMATCH = 304,
  CSFLE_E_POLICY          = 305,
  CSFLE_E_UNAUTHENTICATED = 401,
  CSFLE_E_FORBIDDEN       = 402,
  CSFLE_E_KEY_GONE        = 403,
  CSFLE_E_NOMEM           = 501,
  CSFLE_E_SPACE           = 502,
  CSFLE_E_MISUSE          = 901,
  CSFLE_E_INTERNAL        = 902
};
#define CSFLE_CLASS(st) ((st) / 100)

/** Name of a status without its prefix ("WOULD_BLOCK"), for logs and metric labels; "UNKNOWN" for other numbers. */
CSFLE_EXPORT const char *csfle_status_name(csfle_status st);

/** What went wrong. The caller owns it; reporting never allocates. Neither text ever holds data, keys or tokens. */
typedef struct csfle_error {
  csfle_status code;
  int32_t      http;           /**< status of the reply that caused it, 0 none */
  int32_t      remote_code;    /**< the registry's error_code (40470), 0 none */
  uint32_t     retry_after_ms; /**< class WAIT: a hint, 0 none */
  uint64_t     offset;         /**< byte in the input */
  char         where[160];     /**< names from schema and rule only: "orders-value v7 encryptPII Customer.ssn" */
  char         msg[352];       /**< the sentence */
  uint64_t     reserved[8];
} csfle_error;
#define CSFLE_ERROR_INIT { 0, 0, 0, 0, 0, { 0 }, { 0 }, { 0 } }

/* ---- buffers ------------------------------------------------------------------------------------------------ */

/**
 * Output bytes: growing, fixed, or from the caller's allocator. A fixed buffer (grow NULL) that is too small gives
 * CSFLE_E_SPACE with the needed size in len. One thread at a time.
 */
typedef struct csfle_buf {
  uint8_t *ptr;
  size_t   len, cap, max; /**< bytes used, bytes there, most bytes it may grow to (0: no limit) */
  void    *(*grow)(struct csfle_buf *b, size_t need); /**< new block of at least need bytes with len bytes kept, or NULL */
  void    *opaque;
  uint32_t flags;
} csfle_buf;
#define CSFLE_BUF_WIPE 1u /**< zeroed when grown and when freed: for plaintext */

/** Makes an empty buffer that grows with malloc(3) up to @p max_bytes (0: no limit). No allocation yet. */
CSFLE_EXPORT void  csfle_buf_init(csfle_buf *b, size_t max_bytes, uint32_t flags);
/** Hands the bytes over, for free(3); the buffer is empty afterwards. @p len may be NULL. NULL when it held none. */
CSFLE_EXPORT void *csfle_buf_take(csfle_buf *b, size_t *len);
/** Frees the bytes (wiped first with CSFLE_BUF_WIPE); the buffer is empty and may be used again. */
CSFLE_EXPORT void  csfle_buf_free(csfle_buf *b);

/* ---- configuration and hooks -------------------------------------------------------------------------------- */

typedef struct csfle_config    csfle_config;
typedef struct csfle_client    csfle_client;
typedef struct csfle_serde     csfle_serde;
typedef struct csfle_transport csfle_transport;
typedef struct csfle_kms       csfle_kms;

/** One log line, at most @p syslog_level (3 error .. 7 debug). Called from the thread that did the work. */
typedef void (*csfle_log_fn)(void *opaque, int syslog_level, const char *facility, const char *text);

/** What a client tells the application as it happens. Numbers never change; new ones may come. */
enum {
  CSFLE_EVENT_DEK_MADE         = 1, /**< the first version of a data key was made by this client */
  CSFLE_EVENT_DEK_ROTATED      = 2, /**< this client made the next version */
  CSFLE_EVENT_ROTATION_OVERDUE = 3, /**< a data key is past its period or used up and no successor could be made: a person has to act */
  CSFLE_EVENT_DENIED           = 4, /**< registry or KMS refused: no right, key disabled or deleted */
  CSFLE_EVENT_STALE            = 5, /**< the registry cannot be reached; going on with what was known */
  CSFLE_EVENT_PASSED_THROUGH   = 6, /**< a reader got ciphertext, for a rule failed and its onFailure is NONE */
  CSFLE_EVENT_LIMIT_NEAR       = 7, /**< a data key has encrypted 2^31 values here; AES-GCM allows 2^32 */
  CSFLE_EVENT_POLICY           = 8  /**< the local policy (csfle.require.*, csfle.allow.*) refused a record: nothing was written */
};
/** "dek_made" for CSFLE_EVENT_DEK_MADE; "unknown" for other numbers. */
CSFLE_EXPORT const char *csfle_event_name(int event);
/**
 * One event. @p json: {"event":"dek_rotated","kek":"orders-pii","subject":"orders-value","algorithm":"AES256_GCM","version":4,"before":3},
 * with "status", "http" and "message" of the error that caused it and "count" where there are some; names of schema and configuration
 * only, never data, keys or tokens. Called from the thread that did the work, which waits for it: it may ask for statistics, but must
 * not serialize or deserialize with the same client. Events that could come with every record come once a minute for each cause.
 */
typedef void (*csfle_event_fn)(void *opaque, int event, const char *json);

/**
 * A configuration from lines "name=value" ('#' comments, "include=FILE"), or empty for NULL. Names are those of the
 * Java serdes where they exist; ours begin with "csfle.". A bad line is reported by csfle_client_open. NULL: no memory.
 */
CSFLE_EXPORT csfle_config *csfle_config_new(const char *properties_text);
/** Sets one property. CSFLE_E_CONFIG names an unknown property or a value it cannot have; nothing is changed then. */
CSFLE_EXPORT csfle_status  csfle_config_set(csfle_config *c, const char *name, const char *value, csfle_error *err);
CSFLE_EXPORT void          csfle_config_on_log(csfle_config *c, int max_level, csfle_log_fn fn, void *opaque);
CSFLE_EXPORT void          csfle_config_on_event(csfle_config *c, csfle_event_fn fn, void *opaque);
/** Sends the library's HTTP requests through @p t instead of libcurl. The struct is copied, opaque is not. */
CSFLE_EXPORT csfle_status  csfle_config_add_transport(csfle_config *c, const csfle_transport *t, csfle_error *err);
/**
 * Has keys of k->type wrapped and unwrapped by @p k. The struct and the type are copied. CSFLE_E_MISUSE: a part is missing, or the
 * type has a driver: the library's own are never replaced.
 */
CSFLE_EXPORT csfle_status  csfle_config_add_kms(csfle_config *c, const csfle_kms *k, csfle_error *err);
CSFLE_EXPORT void          csfle_config_free(csfle_config *c);

/* ---- client: one a process is usual ------------------------------------------------------------------------- */

/** Copies @p c. No I/O, no thread. NULL with @p err set when the configuration cannot be used. */
CSFLE_EXPORT csfle_client *csfle_client_open(const csfle_config *c, csfle_error *err);
/**
 * From now on the registry is not asked: @p registry_json, the text of a `csfle keys backup` (docs/usage/cli.md), answers. Records can be
 * read, as far as the KMS gives its keys; nothing can be registered. Before the first serde is opened. CSFLE_E_CONFIG: the text is
 * damaged or none; CSFLE_E_MISUSE: there is a serde.
 */
CSFLE_EXPORT csfle_status  csfle_client_seed(csfle_client *cl, const void *registry_json, size_t len, csfle_error *err);
enum { CSFLE_STATS_JSON = 0, CSFLE_STATS_PROMETHEUS = 1 };
/**
 * What the client has counted since it was opened, into @p out (replaced): Prometheus text (exposition format 0.0.4), or a JSON object of
 * metric names with arrays of samples. Label values are names of schema and configuration; csfle.metrics.subject=false leaves subjects out.
 */
CSFLE_EXPORT csfle_status  csfle_client_stats(csfle_client *cl, int as, csfle_buf *out, csfle_error *err);
/** Wipes plain data keys of the KEK named (NULL: of all) now; they are fetched again when next needed. */
CSFLE_EXPORT void          csfle_client_forget_keys(csfle_client *cl, const char *kek);
/** Frees it and wipes its keys. Serdes of it must be closed before. */
CSFLE_EXPORT void          csfle_client_close(csfle_client *cl);

/* ---- serde: one for each topic and role --------------------------------------------------------------------- */

enum { CSFLE_VALUE = 0, CSFLE_KEY = 1 };
enum { CSFLE_JSON = 0, CSFLE_NATIVE = 1 }; /**< JSON text of the record; or the format's own bytes (Avro binary) */

typedef struct csfle_serde_opts {
  size_t      size;         /**< sizeof(csfle_serde_opts) */
  int         role;
  const char *subject;      /**< instead of the subject name strategy */
  /** Text of the schema of the caller's NATIVE bytes. Writing (required for Avro NATIVE): what they were written with; resolved
   *  into the registered schema by Avro's rules, then encrypted. Reading: what output, JSON text too, shall be; decrypted by
   *  the rules of the writer's schema (or the latest version's), then resolved. Not resolvable: CSFLE_E_SCHEMA_MISMATCH. */
  const char *schema;
  const char *message;      /**< Protobuf: full name */
  const char *const *props; /**< "use.schema.id", "42", ..., NULL: serde properties over the client's */
} csfle_serde_opts;

/** Kafka headers of the record, as the caller has them. */
typedef struct csfle_headers {
  void *opaque;
  int         (*add)(void *opaque, const char *name, const void *v, size_t n);
  const void *(*last)(void *opaque, const char *name, size_t *n);
} csfle_headers;

/** What happened to one record. */
typedef struct csfle_info {
  size_t      size;                                 /**< sizeof(csfle_info) */
  int32_t     schema_id, version;
  uint8_t     guid[16];
  const char *subject, *schema_type;                /**< borrowed from the serde */
  uint32_t    encrypted, decrypted, passed_through; /**< fields; passed_through > 0: the reader got ciphertext */
  uint32_t    flags;                                /**< CSFLE_INFO_* */
} csfle_info;
#define CSFLE_INFO_INIT { sizeof(csfle_info), 0, 0, { 0 }, 0, 0, 0, 0, 0, 0 }
#define CSFLE_INFO_STALE_SCHEMA 1u
#define CSFLE_INFO_STALE_KEY    2u
#define CSFLE_INFO_RULE_SKIPPED 4u

/** Opens a serde; no I/O. @p o may be NULL: value role, topic name strategy. NULL with @p err set on failure. */
CSFLE_EXPORT csfle_serde *csfle_serde_open(csfle_client *cl, const char *topic, const csfle_serde_opts *o,
                                           csfle_error *err);
typedef void (*csfle_ready_fn)(void *opaque, csfle_status st, const csfle_error *err);
/** Fetches what the first csfle_serialize would: schema, rules, keys. @p fn NULL: waits for it and answers. */
CSFLE_EXPORT csfle_status csfle_serde_prepare(csfle_serde *s, csfle_ready_fn fn, void *opaque, csfle_error *err);
/**
 * One record into a Kafka payload: rules applied, tagged fields encrypted, framed with the schema id.
 *
 * @param form  CSFLE_JSON or CSFLE_NATIVE: what @p in is
 * @param in    NULL gives an empty @p out and CSFLE_OK: a tombstone, no request made [SERDE-31]
 * @param h     the record's headers, or NULL
 * @param out   replaced, never appended to; len 0 on failure (the need with CSFLE_E_SPACE); grown at most once
 * @param info  filled up to its size, or NULL
 */
CSFLE_EXPORT csfle_status csfle_serialize(csfle_serde *s, int form, const void *in, size_t len, const csfle_headers *h,
                                          csfle_buf *out, csfle_info *info, csfle_error *err);
/** The reverse. @p out holds plaintext: make it with CSFLE_BUF_WIPE. Parameters as for csfle_serialize. */
CSFLE_EXPORT csfle_status csfle_deserialize(csfle_serde *s, int form, const void *in, size_t len,
                                            const csfle_headers *h, csfle_buf *out, csfle_info *info,
                                            csfle_error *err);
CSFLE_EXPORT void csfle_serde_close(csfle_serde *s);

/* ---- plug-ins ----------------------------------------------------------------------------------------------- */

typedef struct csfle_exchange csfle_exchange; /**< one HTTP request and, later, its reply */

#define CSFLE_TRANSPORT_ASKS_ADDRESSES 1u /**< calls csfle_exchange_address for every exchange that makes a connection */

struct csfle_transport {
  size_t size; /**< sizeof(csfle_transport) */
  void  *opaque;
  /** Does @p x; may call csfle_exchange_done before it returns (blocking code, coroutines) or later, from any thread. */
  void (*start)(void *opaque, csfle_exchange *x);
  /** The answer is no longer wanted; csfle_exchange_done is still called exactly once. */
  void (*cancel)(void *opaque, csfle_exchange *x);
  /**
   * CSFLE_TRANSPORT_*, or 0. Key ids come from the registry, and so do the host names that KMS credentials are sent to: without
   * CSFLE_TRANSPORT_ASKS_ADDRESSES no request to such a name goes through this transport (CSFLE_E_POLICY), unless
   * csfle.allow.kms.transport=unchecked. It must verify TLS certificates and follow no redirect either way.
   */
  uint32_t flags;
};

enum {
  CSFLE_X_METHOD,  /**< text */
  CSFLE_X_URL,     /**< text */
  CSFLE_X_HEADERS, /**< text, "Name: value\r\n" lines */
  CSFLE_X_BODY,    /**< bytes, or NULL */
  CSFLE_X_PURPOSE, /**< text: "registry", "kms"; for credentials of a KMS "sts", "oauth", "metadata"; more may come */
  CSFLE_X_TIMEOUT_MS /**< const uint32_t * */
};
/** A part of the request, valid until csfle_exchange_done. @p len may be NULL; texts end with NUL. */
CSFLE_EXPORT const void *csfle_exchange_part(const csfle_exchange *x, int part, size_t *len);
/** Ends @p x: the reply (copied), or @p failure not NULL when there was none. Any thread, exactly once. */
CSFLE_EXPORT void csfle_exchange_done(csfle_exchange *x, int http_status, const char *headers, const void *body,
                                      size_t len, const char *failure);

/**
 * Asks whether @p x may go to the address its host has led to, 4 or 16 bytes in network order, after resolving and before
 * anything is sent, for a kept connection too; NULL: to a proxy that the program's operator has set. 0: go on. Not 0: send nothing
 * and call csfle_exchange_done; whatever it says then, the exchange has failed.
 */
CSFLE_EXPORT int csfle_exchange_address(csfle_exchange *x, const void *ip, size_t len);

typedef struct csfle_kms_call csfle_kms_call; /**< one wrap or unwrap, finished now or later, from any thread */

/**
 * A KMS of the application's own. A key stays open between calls with the same key id and properties, and is opened anew after
 * csfle_client_forget_keys or a refusal. All four functions may be called by several threads at once, wrap and unwrap also on
 * one open key.
 */
struct csfle_kms {
  size_t      size; /**< sizeof(csfle_kms) */
  const char *type; /**< the value of encrypt.kms.type: "pkcs11-kms" */
  /**
   * Opens the key. @p prop(ctx, name) is a property: rule.executors.*.param.<name> of the configuration, or what a KEK's
   * kmsProps say where csfle.allow.kms.props lists the name; NULL when unset; borrowed until open returns. @p key_id is from
   * the registry or a rule: do not trust it (csfle.allow.kms.keys limits it). NULL with err->code and err->msg set on
   * failure; no secret in it.
   */
  void *(*open)(const char *key_id, const char *(*prop)(void *ctx, const char *name), void *ctx, csfle_error *err);
  /** Starts to wrap @p in; csfle_kms_done ends it, before this returns or later. @p in is there until then and is secret. */
  void (*wrap)(void *kms, csfle_kms_call *call, const void *in, size_t len);
  /** The reverse: @p in are bytes that wrap made, or that somebody forged. */
  void (*unwrap)(void *kms, csfle_kms_call *call, const void *in, size_t len);
  /**
   * After the last call on it has ended. A call that was given up because it took longer than csfle.kms.timeout.ms counts as
   * well: close may then come late, from inside its csfle_kms_done, in that thread.
   */
  void (*close)(void *kms);
};
/**
 * Ends @p call: CSFLE_OK and the bytes (copied; the caller wipes its own, the library its copy), or another CSFLE_E_* and
 * @p failure, a sentence without secrets. Exactly once, also for a call that was given up, from any thread. What a status
 * leads to: class WAIT is tried again with a later record, CSFLE_E_UNAUTHENTICATED and CSFLE_E_FORBIDDEN close and reopen the
 * key, CSFLE_E_DECRYPT for bytes that this key has not wrapped.
 */
CSFLE_EXPORT void csfle_kms_done(csfle_kms_call *call, csfle_status st, const void *out, size_t len, const char *failure);

#ifdef __cplusplus
}
#endif
#endif
