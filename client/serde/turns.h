/** Rules in turn: one record through the rules of its contract, in contract order or back. See turns.c. */
#ifndef CSFLE_SERDE_TURNS_H
#define CSFLE_SERDE_TURNS_H

#include "client/serde/serde.h"

/** Runs ENCRYPT rule @p i over the walk of @p in: sets x->repl and x->state, keeps the bytes in x->pass[i]. */
typedef csfle_status (*csfle__run_encrypt)(csfle_serde *s, csfle__scratch *x, const csfle__contract *c, uint32_t i, csfle__bytes in,
                                           uint32_t *flags, csfle_error *err);

/**
 * Runs the rules of @p c over x->walk of *in (scratch_ready before). Afterwards *in and x->walk are those of the last
 * message rule that changed something, x->repl what is to be spliced in. *failed gets the bits of rules that failed and
 * are tolerated, *flags CSFLE_INFO_*. err->where names the rule. Allocates nothing once warm. [SERDE-62] [SERDE-89] .. [SERDE-98]
 */
csfle_status csfle__run_rules(csfle_serde *s, csfle__scratch *x, const csfle__contract *c, csfle__run_encrypt encrypt,
                              csfle__bytes *in, uint64_t *failed, uint32_t *flags, csfle_error *err);

/** Sets c->leaf_tags when an executor will ask for them. CSFLE_E_NOMEM. */
csfle_status csfle__leaf_tags(csfle__contract *c, csfle_error *err);

/** Content of span @p k as the rules so far left it. */
static inline csfle__bytes csfle__current(const csfle__scratch *x, csfle__bytes in, size_t k)
{
  const csfle__span *sp = &x->walk.spans[k];
  return x->repl[k].keep ? csfle__view(in.ptr + sp->off, sp->len) : x->repl[k].value;
}

#endif
