/* Whether a default fits its type (3.4). Recursion goes down the default, which nests at most CSFLE__AVRO_MAX_NESTED. */
#include "core/schema/avro/avro.h"

bool csfle__avro_shallow(yyjson_val *v)
{
  /* values lie in order of the text; a container knows where it ends */
  yyjson_val *ends[CSFLE__AVRO_MAX_NESTED], *last = unsafe_yyjson_get_next(v);
  size_t      depth = 0;
  for (; v < last; v++) {
    while (depth && v >= ends[depth - 1]) depth--;
    if (!yyjson_is_ctn(v)) continue;
    if (depth == CSFLE__AVRO_MAX_NESTED) return false;
    ends[depth++] = unsafe_yyjson_get_next(v);
  }
  return true;
}

static bool fits_all(const csfle__avro_type *item, yyjson_val *v, size_t *budget)
{
  size_t      i, n;
  yyjson_val *k, *x;
  if (yyjson_is_arr(v)) {
    yyjson_arr_foreach(v, i, n, x)
    {
      if (!csfle__avro_default_fits(item, x, budget)) return false;
    }
    return true;
  }
  yyjson_obj_foreach(v, i, n, k, x)
  {
    if (!csfle__avro_default_fits(item, x, budget)) return false;
  }
  return true;
}

/* a field that is missing takes its own default, which is checked where that field is: no need to follow it here */
static bool fits_record(const csfle__avro_type *t, yyjson_val *v, size_t *budget)
{
  size_t      i, n, found = 0, needed = 0;
  yyjson_val *k, *x;
  if (!yyjson_is_obj(v)) return false;
  for (i = 0; i < t->count; i++) needed += t->fields[i].def == NULL;
  if (*budget < t->count) return *budget = 0, false;
  *budget -= t->count;
  yyjson_obj_foreach(v, i, n, k, x)
  {
    int64_t pos = csfle__avro_index_find(t->index, t->count, csfle__json_text(k));
    if (pos < 0) continue;
    if (yyjson_obj_getn(v, yyjson_get_str(k), yyjson_get_len(k)) == x) found += t->fields[pos].def == NULL; /* not twice */
    if (!csfle__avro_default_fits(t->fields[pos].type, x, budget)) return false;
  }
  return found == needed;
}

bool csfle__avro_default_fits(const csfle__avro_type *t, yyjson_val *v, size_t *budget)
{
  int64_t i;
  double  d;
  if (*budget == 0) return false;
  --*budget;
  switch (t->kind) {
  case AVRO_NULL: return yyjson_is_null(v);
  case AVRO_BOOLEAN: return yyjson_is_bool(v);
  case AVRO_INT: return csfle__avro_integer(v) && csfle__json_i64(v, &i) && i == (int32_t)i;
  case AVRO_LONG: return csfle__avro_integer(v) && csfle__json_i64(v, &i);
  case AVRO_FLOAT:
  case AVRO_DOUBLE:
    return csfle__avro_double(v, &d) || (yyjson_is_str(v) && csfle__avro_java_double(csfle__json_text(v), &d));
  case AVRO_BYTES:
  case AVRO_STRING:
  case AVRO_ENUM:
  case AVRO_FIXED: return yyjson_is_str(v);
  case AVRO_ARRAY: return yyjson_is_arr(v) && fits_all(t->item, v, budget);
  case AVRO_MAP: return yyjson_is_obj(v) && fits_all(t->item, v, budget);
  case AVRO_RECORD: return fits_record(t, v, budget);
  case AVRO_UNION:
    for (size_t b = 0; b < t->count; b++) {
      if (csfle__avro_default_fits(t->branches[b], v, budget)) return true;
    }
  }
  return false;
}
