/* The table of formats. See schema.h. */
#include "core/schema/schema.h"

#define CSFLE_FORMAT(folder) extern const csfle__format csfle__format_##folder;
#include "core/schema/formats.def"
#undef CSFLE_FORMAT

static const csfle__format *const formats[] = {
#define CSFLE_FORMAT(folder) &csfle__format_##folder,
#include "core/schema/formats.def"
#undef CSFLE_FORMAT
};

const csfle__format *csfle__format_find(csfle__bytes type)
{
  if (type.len == 0) type = CSFLE__LIT("AVRO");
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
    if (csfle__eq_str(type, formats[i]->type)) return formats[i];
  }
  return NULL;
}

csfle_status csfle__schema_parse(csfle__schema **out, csfle__bytes type, csfle__bytes text, const csfle__reference *refs,
                                 size_t ref_count, unsigned flags, csfle_error *err)
{
  const csfle__format *f = csfle__format_find(type);
  *out = NULL;
  if (!f) return csfle__fail(err, CSFLE_E_SCHEMA, "schema type \"%.*s\" is not supported by this build", CSFLE__FMT(type));
  return f->parse(out, text, refs, ref_count, flags, err);
}

void csfle__schema_free(csfle__schema *s)
{
  if (s) s->format->free(s);
}

const csfle__format *csfle__schema_format(const csfle__schema *s) { return s->format; }
