/* Context prefixes, aliases, versions, paging: what several resources read from a request. [SR 1.5, 1.6, 3] */
#include "server/api/api.h"

#include "server/log/must.h"

#include <stdio.h>

/* ---- /contexts/{ctx}/... ---------------------------------------------------------------------------------------- */

static csfle__bytes joined(csfle__arena *a, csfle__bytes x, csfle__bytes y)
{
  uint8_t *p = (uint8_t *)must(csfle__arena_alloc(a, x.len + y.len + 1));
  if (x.len) memcpy(p, x.ptr, x.len);
  if (y.len) memcpy(p + x.len, y.ptr, y.len);
  return csfle__view(p, x.len + y.len);
}

static bool qualified(csfle__bytes name)
{
  return csfle__starts(name, CSFLE__LIT(":.")) || csfle__starts(name, CSFLE__LIT(":*:"));
}

static void prefix_query(registry_request *rq, csfle__bytes prefix, const char *name)
{
  bool seen = false;
  for (size_t i = 0; i < rq->query_count; i++) {
    registry_param *q = &rq->query[i];
    if (!csfle__eq_str(q->name, name)) continue;
    seen = true;
    if (!qualified(q->value)) q->value = joined(&rq->arena, prefix, q->value);
  }
  if (seen) return;
  registry_param *more = (registry_param *)must(csfle__arena_alloc(&rq->arena, (rq->query_count + 1) * sizeof *more));
  if (rq->query_count) memcpy(more, rq->query, rq->query_count * sizeof *more);
  more[rq->query_count++] = (registry_param){ csfle__str(name), prefix };
  rq->query = more;
}

bool registry_rewrite_context(registry_request *rq, char *message, size_t size)
{
  if (rq->segment_count < 2 || !csfle__eq_str(rq->segments[0], "contexts")) return true;
  csfle__bytes asked = rq->segments[1], name = asked, prefix = CSFLE__NONE;
  if (name.len && name.ptr[0] == ':') name = csfle__from(name, 1);
  if (name.len && name.ptr[name.len - 1] == ':') name.len--;
  if (name.len && memchr(name.ptr, ':', name.len)) {
    snprintf(message, size, "Context name '%.*s' cannot contain a colon", (int)(asked.len < 500 ? asked.len : 500), (const char *)asked.ptr);
    return false;
  }
  if (!name.len || name.ptr[0] != '.') name = joined(&rq->arena, CSFLE__LIT("."), name);
  if (name.len > 1) prefix = joined(&rq->arena, joined(&rq->arena, CSFLE__LIT(":"), name), CSFLE__LIT(":"));

  size_t        n = 0;
  csfle__bytes *s = (csfle__bytes *)must(csfle__arena_alloc(&rq->arena, rq->segment_count * sizeof *s));
  for (size_t i = 2; i < rq->segment_count; i++) s[n++] = rq->segments[i];
  rq->segments = s;
  rq->segment_count = n;
  if (!prefix.len) return true; /* the default context; nothing may remain: then it is "/" */
  if (n == 0) {
    s[0] = CSFLE__LIT("contexts"), s[1] = prefix;
    rq->segment_count = 2;
    return true;
  }
  bool settings = csfle__eq_str(s[0], "config") || csfle__eq_str(s[0], "mode");
  bool keys = csfle__eq_str(s[0], "dek-registry");
  if (settings && n == 1) {
    s[rq->segment_count++] = prefix;
    return true;
  }
  for (size_t i = 0; i + 1 < n; i++) {
    bool named = keys ? i == 4 && csfle__eq_str(s[i], "deks") : csfle__eq_str(s[i], "subjects") || (settings && i == 0);
    if (!named) continue;
    if (!qualified(s[i + 1])) s[i + 1] = joined(&rq->arena, prefix, s[i + 1]);
    break;
  }
  if (n >= 2 && csfle__eq_str(s[0], "schemas") && csfle__eq_str(s[1], "ids")) prefix_query(rq, prefix, "subject");
  if (n == 1 && (csfle__eq_str(s[0], "schemas") || csfle__eq_str(s[0], "subjects"))) prefix_query(rq, prefix, "subjectPrefix");
  return true;
}

csfle__bytes registry_normalized(registry_call *c, csfle__bytes subject)
{
  csfle_buf b;
  csfle_buf_init(&b, 0, 0);
  must_ok(csfle__subject_put(&b, csfle__subject_parse(subject), NULL));
  csfle__bytes out = csfle__arena_copy(&c->rq->arena, csfle__buf_view(&b));
  if (!out.ptr) registry_out_of_memory();
  csfle_buf_free(&b);
  return out;
}

csfle__bytes registry_follow_alias(registry_call *c, csfle__bytes subject, bool deks)
{
  csfle__subject q = csfle__subject_parse(subject);
  if (!q.name.len) return subject; /* global and context aliases are never used */
  const registry_config *config = registry_state_config(c->g->state, subject);
  csfle__bytes target = !config ? CSFLE__NONE : deks && config->alias_for_deks.len ? config->alias_for_deks : config->alias;
  if (!target.len) return subject;
  if (!qualified(target) && q.context.len > 1) {
    target = joined(&c->rq->arena, joined(&c->rq->arena, CSFLE__LIT(":"), q.context), joined(&c->rq->arena, CSFLE__LIT(":"), target));
  }
  return registry_normalized(c, target);
}

/* ---- parameters ------------------------------------------------------------------------------------------------- */

bool registry_flag_of(const registry_call *c, const char *name)
{
  return csfle__truthy(registry_query(c->rq, name));
}

bool registry_not_found(registry_call *c)
{
  return registry_refuse(&c->problem, 404, 404, "HTTP 404 Not Found");
}

bool registry_unsupported(registry_call *c, const char *what)
{
  return registry_refuse(&c->problem, 501, 501, "%s: not supported yet by this server", what);
}

bool registry_int_param(registry_call *c, csfle__bytes text, int32_t *out)
{
  int64_t n;
  if (!csfle__parse_i64(text, &n) || n < INT32_MIN || n > INT32_MAX) return registry_not_found(c);
  *out = (int32_t)n;
  return true;
}

bool registry_page(registry_call *c, registry_limits limits, size_t *offset, size_t *limit)
{
  csfle__bytes o = registry_query(c->rq, "offset"), l = registry_query(c->rq, "limit");
  int32_t      from = 0, max = -1;
  if (o.ptr && !registry_int_param(c, o, &from)) return false;
  if (l.ptr && !registry_int_param(c, l, &max)) return false;
  *offset = from > 0 ? (size_t)from : 0;
  *limit = (size_t)(max > 0 && max <= limits.max ? max : limits.otherwise);
  return true;
}

bool registry_version_param(registry_call *c, csfle__bytes text, int32_t *out)
{
  int64_t      n = 0;
  csfle__bytes t = csfle__trim(text);
  char         shown[128];

  if (csfle__eq_nocase(t, CSFLE__LIT("latest"))) {
    *out = -1;
    return true;
  }
  bool number = csfle__parse_i64(t, &n);
  if (number && (n == -1 || (n >= 1 && n <= INT32_MAX))) {
    *out = (int32_t)n;
    return true;
  }
  if (number) snprintf(shown, sizeof shown, "%lld", (long long)n);
  else snprintf(shown, sizeof shown, "%.*s", (int)(t.len < 100 ? t.len : 100), t.len ? (const char *)t.ptr : "");
  return registry_refuse(&c->problem, 422, 42202, "The specified version '%s' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\"", shown);
}

bool registry_prefix_matches(csfle__bytes prefix, csfle__bytes subject)
{
  csfle__subject p = csfle__subject_parse(prefix), s = csfle__subject_parse(subject);
  return (csfle__eq_str(p.context, "*") || csfle__eq(p.context, s.context)) && csfle__starts(s.name, p.name);
}

void registry_put_names(csfle_buf *b, const csfle__bytes *names, size_t count, size_t offset, size_t limit)
{
  put(b, "[");
  for (size_t i = offset, n = 0; i < count && n < limit; i++, n++) {
    if (n) put(b, ",");
    put_json(b, names[i]);
  }
  put(b, "]");
}

void registry_put_numbers(csfle_buf *b, const int64_t *numbers, size_t count, size_t offset, size_t limit)
{
  put(b, "[");
  for (size_t i = offset, n = 0; i < count && n < limit; i++, n++) {
    if (n) put(b, ",");
    put_int(b, numbers[i]);
  }
  put(b, "]");
}
