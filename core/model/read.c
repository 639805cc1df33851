/* See read.h. */
#include "core/model/read.h"
#include "core/base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void csfle__read_fail(reader *r, csfle_status code, const char *fmt, ...)
{
  char    text[300];
  va_list ap;
  if (r->rc != CSFLE_OK) return;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  r->rc = code == CSFLE_E_NOMEM ? csfle__nomem(r->err) : csfle__fail(r->err, code, "%s", text);
}

reader csfle__read_object(csfle__arena *a, yyjson_val *obj, const char *what, csfle_error *err)
{
  reader r = { a, obj, err, CSFLE_OK };
  if (!yyjson_is_obj(obj)) csfle__read_fail(&r, CSFLE_E_SCHEMA, "%s is not a JSON object", what);
  return r;
}

void *csfle__read_alloc(reader *r, size_t count, size_t item)
{
  void *p = count <= SIZE_MAX / item ? csfle__arena_alloc(r->arena, count * item) : NULL;
  if (!p) csfle__read_fail(r, CSFLE_E_NOMEM, "%s", "");
  return p;
}

static yyjson_val *member(reader *r, const char *name)
{
  yyjson_val *v = r->rc == CSFLE_OK ? csfle__json_member(r->obj, name) : NULL;
  return yyjson_is_null(v) ? NULL : v;
}

bool csfle__read_scalar(reader *r, yyjson_val *v, csfle__bytes *out)
{
  csfle__bytes t;
  if (yyjson_is_str(v)) t = csfle__json_text(v);
  else if (yyjson_is_raw(v)) t = csfle__view(yyjson_get_raw(v), yyjson_get_len(v));
  else if (yyjson_is_bool(v)) t = csfle__str(yyjson_get_bool(v) ? "true" : "false");
  else return false;
  *out = csfle__arena_copy(r->arena, t);
  if (!out->ptr) csfle__read_fail(r, CSFLE_E_NOMEM, "%s", "");
  return true;
}

csfle__bytes csfle__read_text(reader *r, const char *name)
{
  csfle__bytes t = CSFLE__NONE;
  yyjson_val  *v = member(r, name);
  if (v && !csfle__read_scalar(r, v, &t)) csfle__read_fail(r, CSFLE_E_SCHEMA, "\"%s\" is not a text", name);
  return t;
}

int64_t csfle__read_int(reader *r, const char *name, int64_t low, int64_t high, int64_t otherwise)
{
  yyjson_val  *v = member(r, name);
  int64_t      n;
  csfle__bytes t;
  if (!v) return otherwise;
  t = yyjson_is_raw(v) ? csfle__view(yyjson_get_raw(v), yyjson_get_len(v)) : csfle__trim(csfle__json_text(v));
  if (yyjson_is_raw(v) && memchr(t.ptr, '.', t.len) && !memchr(t.ptr, 'e', t.len) && !memchr(t.ptr, 'E', t.len))
    t.len = (size_t)((const uint8_t *)memchr(t.ptr, '.', t.len) - t.ptr);
  if (!csfle__parse_i64(t, &n)) {
    csfle__read_fail(r, CSFLE_E_SCHEMA, "\"%s\" is not an integer", name);
    return otherwise;
  }
  if (n < low || n > high) {
    csfle__read_fail(r, CSFLE_E_SCHEMA, "\"%s\" is %lld, expected %lld to %lld", name, (long long)n, (long long)low,
                     (long long)high);
    return otherwise;
  }
  return n;
}

bool csfle__read_bool(reader *r, const char *name)
{
  yyjson_val *v = member(r, name);
  int64_t     n;
  if (!v) return false;
  if (yyjson_is_bool(v)) return yyjson_get_bool(v);
  if (yyjson_is_raw(v) && csfle__json_i64(v, &n)) return n != 0;
  csfle__bytes t = csfle__json_text(v);
  if (csfle__eq_str(t, "true") || csfle__eq_str(t, "True") || csfle__eq_str(t, "TRUE")) return true;
  if (csfle__eq_str(t, "false") || csfle__eq_str(t, "False") || csfle__eq_str(t, "FALSE")) return false;
  csfle__read_fail(r, CSFLE_E_SCHEMA, "\"%s\" is neither true nor false", name);
  return false;
}

yyjson_val *csfle__read_object_member(reader *r, const char *name)
{
  yyjson_val *v = member(r, name);
  if (v && !yyjson_is_obj(v)) {
    csfle__read_fail(r, CSFLE_E_SCHEMA, "\"%s\" is not a JSON object", name);
    return NULL;
  }
  return v;
}

yyjson_val *csfle__read_array(reader *r, const char *name)
{
  yyjson_val *v = member(r, name);
  if (v && !yyjson_is_arr(v)) {
    csfle__read_fail(r, CSFLE_E_SCHEMA, "\"%s\" is not an array", name);
    return NULL;
  }
  return v;
}

static int by_utf16(const void *a, const void *b)
{
  return csfle__cmp_utf16(*(const csfle__bytes *)a, *(const csfle__bytes *)b);
}

void csfle__names_sort(csfle__names *n)
{
  size_t kept = 0;
  if (n->count > 1) qsort(n->at, n->count, sizeof *n->at, by_utf16);
  for (size_t i = 0; i < n->count; i++)
    if (kept == 0 || !csfle__eq(n->at[kept - 1], n->at[i])) n->at[kept++] = n->at[i];
  n->count = kept;
}

csfle__names csfle__read_names_of(reader *r, yyjson_val *v, const char *name)
{
  csfle__names n = { NULL, 0 };
  yyjson_val  *x;
  size_t       i, count;
  if (!yyjson_is_arr(v)) {
    csfle__read_fail(r, CSFLE_E_SCHEMA, "\"%s\" is not an array", name);
    return n;
  }
  if (yyjson_arr_size(v) == 0) return n;
  n.at = csfle__read_alloc(r, yyjson_arr_size(v), sizeof *n.at);
  if (!n.at) return n;
  yyjson_arr_foreach(v, i, count, x)
  {
    if (!csfle__read_scalar(r, x, &n.at[i])) csfle__read_fail(r, CSFLE_E_SCHEMA, "\"%s\" holds what is not a text", name);
    if (r->rc != CSFLE_OK) return n;
  }
  n.count = count;
  csfle__names_sort(&n);
  return n;
}

csfle__names csfle__read_names(reader *r, const char *name)
{
  yyjson_val *v = member(r, name);
  return v ? csfle__read_names_of(r, v, name) : (csfle__names){ NULL, 0 };
}

typedef struct numbered {
  csfle__pair pair;
  size_t      index;
} numbered;
static int by_name(const void *a, const void *b)
{
  const numbered *x = a, *y = b;
  int             d = csfle__cmp_utf16(x->pair.name, y->pair.name);
  return d ? d : (x->index > y->index) - (x->index < y->index);
}

csfle__pairs csfle__read_pairs(reader *r, const char *name)
{
  csfle__pairs p = { NULL, 0 };
  yyjson_val  *v = csfle__read_object_member(r, name), *k, *x;
  size_t       i, count, n = 0;
  if (!v || yyjson_obj_size(v) == 0) return p;
  p.at = csfle__read_alloc(r, yyjson_obj_size(v), sizeof *p.at);
  numbered *all = csfle__calloc(yyjson_obj_size(v), sizeof *all);
  if (!all) csfle__read_fail(r, CSFLE_E_NOMEM, "%s", "");
  if (r->rc != CSFLE_OK) goto out;
  yyjson_obj_foreach(v, i, count, k, x)
  {
    all[n].index = i;
    csfle__read_scalar(r, k, &all[n].pair.name);
    /* null takes away what an earlier member of the name said */
    if (!yyjson_is_null(x) && !csfle__read_scalar(r, x, &all[n].pair.value))
      csfle__read_fail(r, CSFLE_E_SCHEMA, "\"%s\" holds what is not a text", name);
    if (r->rc != CSFLE_OK) goto out;
    n++;
  }
  qsort(all, n, sizeof *all, by_name);
  for (i = 0; i < n; i++) {
    if (i + 1 < n && csfle__eq(all[i].pair.name, all[i + 1].pair.name)) continue;
    if (all[i].pair.value.ptr) p.at[p.count++] = all[i].pair;
  }
out:
  csfle__free(all);
  return p;
}

csfle__bytes csfle__pairs_get(const csfle__pairs *p, const char *name)
{
  csfle__bytes want = csfle__str(name);
  for (size_t i = 0; i < p->count; i++)
    if (csfle__eq(p->at[i].name, want)) return p->at[i].value;
  return CSFLE__NONE;
}
