/** Filling in csfle_error. Texts name things of schema, rule and configuration; never data, keys or tokens. */
#ifndef CSFLE_BASE_ERROR_H
#define CSFLE_BASE_ERROR_H

#include "include/csfle/csfle.h"

#if defined(__GNUC__)
#define CSFLE__PRINTF(a, b) __attribute__((format(printf, a, b)))
#define CSFLE__NODISCARD    __attribute__((warn_unused_result))
#else
#define CSFLE__PRINTF(a, b)
#define CSFLE__NODISCARD
#endif

/** Sets code and msg, clears the rest, returns @p code: `return csfle__fail(err, CSFLE_E_WIRE, "...")`. @p err may be NULL. */
csfle_status csfle__fail(csfle_error *err, csfle_status code, const char *fmt, ...) CSFLE__PRINTF(3, 4);
/** csfle__fail for CSFLE_E_NOMEM. */
csfle_status csfle__nomem(csfle_error *err);
/** Puts "text" and a blank before what err->where already says (outermost first); cut at the end. Keeps the code. */
void csfle__where(csfle_error *err, const char *fmt, ...) CSFLE__PRINTF(2, 3);
/** Success: code 0. Returns CSFLE_OK. */
csfle_status csfle__ok(csfle_error *err);

#endif
