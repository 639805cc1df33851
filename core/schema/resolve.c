/* Resolutions of any format: the format does the work. See resolve.h. */
#include "core/schema/resolve.h"

csfle_status csfle__resolution_compile(csfle__resolution **out, const csfle__schema *writer, const csfle__schema *reader, csfle_error *err)
{
  *out = NULL;
  if (writer->format != reader->format || !writer->format->resolution_compile)
    return csfle__fail(err, CSFLE_E_SCHEMA_MISMATCH, "a value of a schema of type %s cannot be read with one of type %s", writer->format->type,
                       reader->format->type);
  return writer->format->resolution_compile(out, writer, reader, err);
}

void csfle__resolution_free(csfle__resolution *r)
{
  if (r) r->writer->format->resolution_free(r);
}

csfle_status csfle__resolve(const csfle__resolution *r, csfle__bytes in, csfle__walk *w, csfle_buf *out, csfle_error *err)
{
  return r->writer->format->resolve(r, in, w, out, err);
}
