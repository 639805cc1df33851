/**
 * csfle_client inside: configuration, the registry, its schemas, the ring of keys. Any thread. Lock order: a client's
 * `lock`, then a serde's; neither is held over I/O.
 */
#ifndef CSFLE_SERDE_CLIENT_H
#define CSFLE_SERDE_CLIENT_H

#include "client/config/config.h"
#include "client/encrypt/ring.h"
#include "client/regclient/schemas.h"
#include "client/serde/tally.h"

struct csfle_client {
  csfle_config   *config;
  csfle__curl    *curl; /**< NULL with a transport of the caller's */
  csfle__meter    meter;
  csfle__rc       rc;
  csfle__ring     ring;
  csfle__cache    schemas, missing;
  csfle__flights  flights; /**< of schemas */
  _Atomic(uint64_t) fetches; /**< of schemas */
  int64_t         latest_ttl_ms, max_stale_ms, grace_ms, max_age_ms, key_expiry_ms, max_overdue_ms; /**< max_overdue_ms -1: no limit */
  bool            allow_overused;
  pthread_mutex_t lock;
  csfle_serde    *serdes;
  csfle__ledger  *ledgers; /**< one a subject, under `lock` */
};

/** What to fetch; as csfle__schema_fetch. */
typedef struct csfle__schema_want {
  csfle__schema_by by;
  csfle__bytes     subject, text;
  bool             normalize;
  int32_t          id;
  uint8_t          guid[16];
  bool             fresh;     /**< what is cached will not do */
  uint64_t         held;      /**< with `fresh`: one that was fetched after the one of this order will do; 0: none will */
  bool             of_record; /**< the id or GUID came from a record */
} csfle__schema_want;
/**
 * The schema, retained for the caller; waits for the network. Of many threads one fetches. An id or GUID that the
 * registry does not know is CSFLE_E_WIRE: it came from a record. [SERDE-168] [SERDE-169] [AB-14]
 */
csfle_status csfle__client_schema(csfle_client *cl, const csfle__schema_want *w, csfle__registered **out, csfle_error *err);

/** The ledger of @p subject, made when there is none; one for all with csfle.metrics.subject=false. NULL: no memory. */
csfle__ledger *csfle__client_ledger(csfle_client *cl, const char *subject);

/** The clocks of the client's world, in milliseconds. */
static inline int64_t csfle__client_mono(const csfle_client *cl) { return csfle__mono_ms(&cl->rc.world); }
static inline int64_t csfle__client_wall(const csfle_client *cl) { return csfle__wall_ms(&cl->rc.world); }

#endif
