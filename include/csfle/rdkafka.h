/**
 * csfle with librdkafka: headers of a record as csfle_headers. Inline code only; libcsfle does not link librdkafka.
 */
#ifndef CSFLE_RDKAFKA_H
#define CSFLE_RDKAFKA_H

#include <csfle/csfle.h>
#include <librdkafka/rdkafka.h>

#ifdef __cplusplus
extern "C" {
#endif

/** csfle_headers.add over rd_kafka_headers_t: 0, or -1 when it could not be added. */
static inline int csfle_rk_header_add(void *opaque, const char *name, const void *v, size_t n)
{
  return rd_kafka_header_add((rd_kafka_headers_t *)opaque, name, -1, v, (ssize_t)n) == RD_KAFKA_RESP_ERR_NO_ERROR ? 0 : -1;
}

/** csfle_headers.last: the last header of that name, or NULL. Borrowed from the headers. */
static inline const void *csfle_rk_header_last(void *opaque, const char *name, size_t *n)
{
  const void *v = NULL;
  if (rd_kafka_header_get_last((const rd_kafka_headers_t *)opaque, name, &v, n) != RD_KAFKA_RESP_ERR_NO_ERROR) return NULL;
  return v;
}

/** @p headers is borrowed for as long as the result is used. */
static inline csfle_headers csfle_rk_headers(rd_kafka_headers_t *headers)
{
  csfle_headers h;
  h.opaque = headers;
  h.add = csfle_rk_header_add;
  h.last = csfle_rk_header_last;
  return h;
}

#ifdef __cplusplus
}
#endif
#endif
