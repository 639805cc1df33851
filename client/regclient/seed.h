/**
 * A registry that is not there: its answers from a keys backup (core/model/backup.h). It is read only; what it lacks is answered as a
 * registry answers what it does not have (404). Immutable once made: any thread.
 */
#ifndef CSFLE_REGCLIENT_SEED_H
#define CSFLE_REGCLIENT_SEED_H

#include "client/regclient/call.h"
#include "core/model/backup.h"

/** CSFLE_E_CONFIG says what is wrong with @p text, which is not kept. Owner frees with csfle__seed_free. */
csfle_status csfle__seed_new(csfle__seed **out, csfle__bytes text, csfle_error *err);
void csfle__seed_free(csfle__seed *s);
/** Answers @p c as csfle__rc_step does, without a request: DONE or FAIL. */
csfle__next csfle__seed_answer(const csfle__seed *s, csfle__rc_call *c, csfle_error *err);

#endif
