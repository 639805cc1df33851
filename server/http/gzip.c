/* gzip of answers and of request bodies; decompression stops at a limit while it grows. */
#include "server/http/http.h"

#include <zlib.h>

#define GZIP_WINDOW (15 + 16)

bool registry_gzip(csfle_buf *b)
{
  z_stream z = { 0 };
  csfle_buf out;

  if (b->len > UINT32_MAX / 2 || deflateInit2(&z, 5, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK) return false;
  csfle_buf_init(&out, 0, b->flags);
  bool ok = csfle__buf_reserve(&out, deflateBound(&z, (uLong)b->len), NULL) == CSFLE_OK;
  if (ok) {
    z.next_in = b->ptr, z.avail_in = (uInt)b->len;
    z.next_out = out.ptr, z.avail_out = (uInt)out.cap;
    ok = deflate(&z, Z_FINISH) == Z_STREAM_END;
    out.len = (size_t)z.total_out;
  }
  deflateEnd(&z);
  if (ok) {
    csfle_buf_free(b);
    *b = out;
  } else {
    csfle_buf_free(&out);
  }
  return ok;
}

int registry_gunzip(csfle_buf *b, size_t max)
{
  z_stream  z = { 0 };
  csfle_buf out;
  int       status = 0, rc = Z_OK;

  if (b->len > UINT32_MAX / 2 || inflateInit2(&z, GZIP_WINDOW) != Z_OK) return 400;
  csfle_buf_init(&out, max, b->flags);
  z.next_in = b->ptr, z.avail_in = (uInt)b->len;
  while (rc != Z_STREAM_END && !status) {
    if (out.len >= max || csfle__buf_reserve(&out, max - out.len < 16384 ? max - out.len : 16384, NULL) != CSFLE_OK) {
      status = 413;
      break;
    }
    z.next_out = out.ptr + out.len;
    z.avail_out = (uInt)(out.cap - out.len);
    rc = inflate(&z, Z_NO_FLUSH);
    out.len = (size_t)z.total_out;
    if (rc != Z_OK && rc != Z_STREAM_END) status = 400;
  }
  inflateEnd(&z);
  if (status) {
    csfle_buf_free(&out);
    return status;
  }
  csfle_buf_free(b);
  *b = out;
  return 0;
}
