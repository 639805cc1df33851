/* Plans of any format: the format does the work. See plan.h and text.h. */
#include "core/schema/plan.h"

#include "core/base/alloc.h"
#include "core/schema/text.h"

const char *csfle__leaf_type_name(csfle__leaf_type t)
{
  static const char *const names[] = { "STRING", "BYTES", "INT", "LONG", "FLOAT", "DOUBLE", "BOOLEAN", "NULL", "ENUM", "FIXED" };
  return (size_t)t < sizeof names / sizeof *names ? names[t] : "UNKNOWN";
}

void csfle__walk_free(csfle__walk *w)
{
  if (!w) return;
  csfle__free(w->spans), csfle__free(w->stack);
  *w = (csfle__walk)CSFLE__WALK_INIT;
}

csfle_status csfle__plan_compile(csfle__plan **out, const csfle__schema *s, const csfle__selection *sel, csfle_error *err)
{
  *out = NULL;
  return s->format->plan_compile(out, s, sel, err);
}

void csfle__plan_free(csfle__plan *p)
{
  if (p) p->schema->format->plan_free(p);
}

csfle_status csfle__plan_walk(const csfle__plan *p, csfle__bytes in, csfle__walk *w, csfle_error *err)
{
  return p->schema->format->walk(p, in, w, err);
}

csfle_status csfle__plan_splice(const csfle__plan *p, csfle__bytes in, const csfle__walk *w, const csfle__replacement *r,
                                csfle_buf *out, csfle_error *err)
{
  return p->schema->format->splice(p, in, w, r, out, err);
}

csfle_status csfle__value_to_json(const csfle__schema *s, csfle__bytes in, unsigned flags, csfle_buf *out,
                                  size_t *consumed, csfle_error *err)
{
  return s->format->to_json(s, in, flags, out, consumed, err);
}

csfle_status csfle__value_from_json(const csfle__schema *s, csfle__bytes json, csfle_buf *out, csfle_error *err)
{
  return s->format->from_json(s, json, out, err);
}
