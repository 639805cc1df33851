/* The request target, and which media types go in and out. Paths are cut at '/' first and decoded afterwards, so that
   a subject may hold "/" as %2F; '+' is a blank in query values only. [SR 1.1, 1.8] */
#include "server/http/http.h"

const char *const registry_media_types[3] = { "application/vnd.schemaregistry.v1+json",
                                              "application/vnd.schemaregistry+json", "application/json" };

static int hex_digit(uint8_t c)
{
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode(csfle__arena *a, csfle__bytes in, bool plus, csfle__bytes *out)
{
  uint8_t *p = (uint8_t *)csfle__arena_alloc(a, in.len + 1);
  size_t   n = 0;
  if (!p) return false;
  for (size_t i = 0; i < in.len; i++) {
    uint8_t c = in.ptr[i];
    if (c == '%') {
      if (i + 2 >= in.len) return false;
      int hi = hex_digit(in.ptr[i + 1]), lo = hex_digit(in.ptr[i + 2]);
      if (hi < 0 || lo < 0) return false;
      c = (uint8_t)(hi << 4 | lo);
      i += 2;
    } else if (c == '+' && plus) {
      c = ' ';
    } else if (c <= 0x20 || c == 0x7f) {
      return false;
    }
    p[n++] = c;
  }
  *out = csfle__view(p, n);
  return csfle__utf8_valid(*out);
}

static size_t count_of(csfle__bytes in, uint8_t c)
{
  size_t n = 0;
  for (size_t i = 0; i < in.len; i++) n += in.ptr[i] == c;
  return n;
}

static size_t find(csfle__bytes in, uint8_t c)
{
  const uint8_t *p = in.len ? (const uint8_t *)memchr(in.ptr, c, in.len) : NULL;
  return p ? (size_t)(p - in.ptr) : in.len;
}

bool registry_target_parse(registry_request *rq, const char *target)
{
  csfle__bytes all = csfle__str(target);
  if (all.len == 0 || all.ptr[0] != '/') return false;
  size_t       cut = find(all, '?');
  csfle__bytes path = csfle__view(all.ptr + 1, cut - 1), query = csfle__from(all, cut + 1);

  rq->segments = (csfle__bytes *)csfle__arena_alloc(&rq->arena, (count_of(path, '/') + 1) * sizeof *rq->segments);
  rq->query = (registry_param *)csfle__arena_alloc(&rq->arena, (count_of(query, '&') + 1) * sizeof *rq->query);
  if (!rq->segments || !rq->query) return false;
  while (path.len) {
    size_t n = find(path, '/');
    if (!decode(&rq->arena, csfle__view(path.ptr, n), false, &rq->segments[rq->segment_count++])) return false;
    path = csfle__from(path, n + 1);
  }
  while (query.len) {
    size_t       n = find(query, '&');
    csfle__bytes item = csfle__view(query.ptr, n);
    size_t       eq = find(item, '=');
    if (n) {
      registry_param *p = &rq->query[rq->query_count++];
      if (!decode(&rq->arena, csfle__view(item.ptr, eq), true, &p->name)) return false;
      if (!decode(&rq->arena, csfle__from(item, eq + 1), true, &p->value)) return false;
    }
    query = csfle__from(query, n + 1);
  }
  return true;
}

csfle__bytes registry_query(const registry_request *rq, const char *name)
{
  for (size_t i = 0; i < rq->query_count; i++)
    if (csfle__eq_str(rq->query[i].name, name)) return rq->query[i].value;
  return CSFLE__NONE;
}

/* "q=0.5" among the parameters after ';', in thousandths */
static int quality(csfle__bytes params)
{
  while (params.len) {
    size_t       n = find(params, ';');
    csfle__bytes p = csfle__trim(csfle__view(params.ptr, n));
    if (p.len > 2 && (p.ptr[0] | 0x20) == 'q' && p.ptr[1] == '=') {
      int q = p.ptr[2] == '1' ? 1000 : 0, scale = 100;
      for (size_t i = 4; i < p.len && i < 7 && q < 1000; i++, scale /= 10) q += (p.ptr[i] - '0') * scale;
      return q;
    }
    params = csfle__from(params, n + 1);
  }
  return 1000;
}

int registry_accept(csfle__bytes accept)
{
  static const int preference[3] = { 1000, 900, 500 };
  int              best = -1, best_q = 0, best_own = 0;

  accept = csfle__trim(accept);
  if (accept.len == 0 || csfle__eq_str(accept, registry_media_types[0]) || csfle__eq_str(accept, "*/*")) return 0;
  while (accept.len) {
    size_t       n = find(accept, ',');
    csfle__bytes item = csfle__view(accept.ptr, n);
    size_t       semi = find(item, ';');
    csfle__bytes type = csfle__trim(csfle__view(item.ptr, semi));
    int          q = quality(csfle__from(item, semi + 1));
    bool         any = csfle__eq_str(type, "*/*") || csfle__eq_nocase(type, CSFLE__LIT("application/*"));
    for (int i = 0; i < 3; i++) {
      if (!any && !csfle__eq_nocase(type, csfle__str(registry_media_types[i]))) continue;
      if (q > best_q || (q == best_q && q > 0 && preference[i] > best_own)) best = i, best_q = q, best_own = preference[i];
    }
    accept = csfle__from(accept, n + 1);
  }
  return best;
}

bool registry_content_type_ok(csfle__bytes type)
{
  if (!type.ptr) return true; /* counts as octet-stream */
  type = csfle__trim(csfle__view(type.ptr, find(type, ';')));
  if (csfle__eq_nocase(type, CSFLE__LIT("application/octet-stream"))) return true;
  for (int i = 0; i < 3; i++)
    if (csfle__eq_nocase(type, csfle__str(registry_media_types[i]))) return true;
  return false;
}
