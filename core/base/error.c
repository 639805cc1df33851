/* Statuses, their names, and csfle_error. */
#include "core/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *csfle_status_name(csfle_status st)
{
  switch (st) {
#define NAME(x) case CSFLE_E_##x: return #x;
  case CSFLE_OK: return "OK";
  NAME(WOULD_BLOCK) NAME(TIMEOUT) NAME(UNAVAILABLE) NAME(THROTTLED)
  NAME(WIRE) NAME(DATUM) NAME(TYPE) NAME(DECRYPT) NAME(CONDITION)
  NAME(CONFIG) NAME(SCHEMA) NAME(RULE) NAME(SCHEMA_MISMATCH) NAME(POLICY)
  NAME(UNAUTHENTICATED) NAME(FORBIDDEN) NAME(KEY_GONE)
  NAME(NOMEM) NAME(SPACE) NAME(MISUSE) NAME(INTERNAL)
#undef NAME
  default: return "UNKNOWN";
  }
}

csfle_status csfle__fail(csfle_error *err, csfle_status code, const char *fmt, ...)
{
  va_list ap;
  if (!err) return code;
  memset(err, 0, sizeof *err);
  err->code = code;
  va_start(ap, fmt);
  vsnprintf(err->msg, sizeof err->msg, fmt, ap);
  va_end(ap);
  return code;
}

csfle_status csfle__nomem(csfle_error *err) { return csfle__fail(err, CSFLE_E_NOMEM, "out of memory"); }

void csfle__where(csfle_error *err, const char *fmt, ...)
{
  char    inner[sizeof err->where];
  va_list ap;
  if (!err) return;
  memcpy(inner, err->where, sizeof inner);
  va_start(ap, fmt);
  int n = vsnprintf(err->where, sizeof err->where, fmt, ap);
  va_end(ap);
  if (inner[0] && n >= 0 && (size_t)n + 1 < sizeof err->where)
    snprintf(err->where + n, sizeof err->where - (size_t)n, " %s", inner);
}

csfle_status csfle__ok(csfle_error *err)
{
  if (err) err->code = CSFLE_OK;
  return CSFLE_OK;
}
