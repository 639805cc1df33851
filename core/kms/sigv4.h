/** AWS Signature Version 4 of a request without query. [ENC-81] */
#ifndef CSFLE_KMS_SIGV4_H
#define CSFLE_KMS_SIGV4_H

#include "core/kms/http.h"

/** Credentials and where they are good for; borrowed. */
typedef struct csfle__sigv4 {
  csfle__bytes id, secret, token; /**< token empty: none */
  csfle__bytes region;
  const char  *service; /**< "kms", "sts" */
} csfle__sigv4;

/**
 * Adds X-Amz-Date, X-Amz-Security-Token and Authorization to a request whose URL, other headers and body are complete.
 * Signs content-type, host, x-amz-date, x-amz-security-token and x-amz-target, as far as they are there.
 * @p canonical and @p to_sign (may be NULL) get the texts that were hashed, for tests.
 */
csfle_status csfle__sigv4_sign(const csfle__sigv4 *s, int64_t now_ms, csfle__request *r, csfle_buf *canonical, csfle_buf *to_sign, csfle_error *err);
/** The key of a day, region and service; the caller wipes it. @p date is "yyyymmdd". */
csfle_status csfle__sigv4_key(const csfle__sigv4 *s, const char *date, uint8_t out[32], csfle_error *err);
/** Appends lower case hex digits. */
csfle_status csfle__put_hex(csfle_buf *b, const uint8_t *bytes, size_t n, csfle_error *err);
/** The Host header that a client sends for @p u: without the scheme's own port. */
csfle__bytes csfle__url_host_header(const csfle__url *u);

#endif
