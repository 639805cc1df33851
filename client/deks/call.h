/** What register.c and rewrap.c share: one blocking request to the registry, and the progress line. */
#ifndef CSFLE_DEKS_CALL_H
#define CSFLE_DEKS_CALL_H

#include "client/deks/deks.h"
#include "client/serde/client.h"

/** Sends the request in @p c and waits. CSFLE_OK: c->doc. */
csfle_status csfle__deks_call(csfle_client *cl, csfle__rc_call *c, csfle_error *err);
/** Tells @p done, which may be NULL. */
void csfle__deks_say(csfle__deks_fn done, void *opaque, const char *fmt, ...) CSFLE__PRINTF(3, 4);

#endif
