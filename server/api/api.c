/* From a request to its handler and back: route, body, lock, alias, answer, position. See api.h. */
#include "server/api/api.h"

#include "server/log/must.h"

#include <stdio.h>

#define SEGMENTS_MAX 10

static const registry_route routes[] = {
#define REGISTRY_ROUTE(method, path, permission, kind, body, handler) { #method, path, #permission, REGISTRY_##kind, body, registry_##handler },
#include "server/api/routes.def"
#undef REGISTRY_ROUTE
};
#define ROUTES (sizeof routes / sizeof *routes)

/* a route's path cut into segments; a parameter has text.ptr NULL */
typedef struct compiled {
  csfle__bytes segments[SEGMENTS_MAX];
  size_t       count;
  int          subject_at; /* which parameter is an aliased subject, -1 none */
  bool         deks, writes, metrics, health;
} compiled;

struct registry_api {
  registry          *g;
  registry_anonymous anonymous;
  compiled           compiled[ROUTES];
  int                metrics_listener;
  _Atomic uint64_t   requests[ROUTES][6]; /* by hundreds of the status */
};

static void compile(const registry_route *r, compiled *c)
{
  csfle__bytes path = csfle__from(csfle__str(r->path), 1);
  int          params = 0;

  c->subject_at = -1;
  c->deks = csfle__starts(path, CSFLE__LIT("dek-registry/"));
  size_t n = strlen(r->permission);
  c->metrics = strcmp(r->permission, "METRICS_READ") == 0;
  c->health = strcmp(r->permission, "HEALTH_READ") == 0;
  c->writes = n > 5 && strcmp(r->permission + n - 5, "WRITE") == 0;
  while (path.len) {
    const uint8_t *slash = (const uint8_t *)memchr(path.ptr, '/', path.len);
    size_t         len = slash ? (size_t)(slash - path.ptr) : path.len;
    csfle__bytes   s = csfle__view(path.ptr, len);
    if (s.ptr[0] == '{') {
      if (csfle__eq_str(s, "{subject}") && !csfle__starts(csfle__str(r->path), CSFLE__LIT("/associations"))) c->subject_at = params;
      params++;
      s = CSFLE__NONE;
    }
    c->segments[c->count++] = s;
    path = csfle__from(path, len + 1);
  }
}

registry_api *registry_api_new(registry *g, registry_anonymous anonymous, int metrics_listener)
{
  registry_api *a = (registry_api *)must_calloc(sizeof *a);
  a->g = g;
  a->anonymous = anonymous;
  a->metrics_listener = metrics_listener;
  for (size_t i = 0; i < ROUTES; i++) compile(&routes[i], &a->compiled[i]);
  return a;
}

void registry_api_free(registry_api *a)
{
  csfle__free(a);
}

void registry_put_requests(registry_api *a, csfle_buf *out)
{
  put(out, "# HELP csfle_registry_requests_total requests answered\n# TYPE csfle_registry_requests_total counter\n");
  for (size_t i = 0; i < ROUTES; i++)
    for (int s = 1; s < 6; s++) {
      uint64_t n = atomic_load(&a->requests[i][s]);
      if (n) must_ok(csfle__buf_printf(out, NULL, "csfle_registry_requests_total{method=\"%s\",route=\"%s\",code=\"%dxx\"} %llu\n", routes[i].method, routes[i].path, s, (unsigned long long)n));
    }
}

static bool matches(const compiled *c, const registry_request *rq)
{
  if (c->count != rq->segment_count) return false;
  for (size_t i = 0; i < c->count; i++) {
    if (c->segments[i].ptr ? !csfle__eq(c->segments[i], rq->segments[i]) : rq->segments[i].len == 0) return false;
  }
  return true;
}

bool registry_api_metrics_only(const registry_api *a, const registry_request *rq)
{
  return rq->listener == a->metrics_listener;
}

/* a listener for metrics has nothing else, and then no other has them */
static bool served(const registry_api *a, const compiled *c, int listener)
{
  if (a->metrics_listener < 0) return true;
  return listener == a->metrics_listener ? c->metrics || c->health : !c->metrics;
}

static void begin(void *opaque, registry_request *rq, registry_reply *reply)
{
  registry_api         *a = (registry_api *)opaque;
  const registry_route *found = NULL;
  bool                  path = false;
  char                  message[600];

  if (!registry_rewrite_context(rq, message, sizeof message)) {
    registry_reply_error(reply, 400, 400, message);
    return;
  }
  for (size_t i = 0; i < ROUTES && !found; i++) {
    if (!matches(&a->compiled[i], rq) || !served(a, &a->compiled[i], rq->listener)) continue;
    path = true;
    if (strcmp(routes[i].method, rq->method) == 0) found = &routes[i];
  }
  if (!found) {
    if (!path) {
      registry_reply_error(reply, 404, 404, NULL);
      return;
    }
    char *allow = (char *)csfle__arena_alloc(&rq->arena, 64);
    for (size_t i = 0; i < ROUTES && allow; i++) {
      if (!matches(&a->compiled[i], rq)) continue;
      if (*allow) strcat(allow, ", ");
      strcat(allow, routes[i].method);
      if (strcmp(routes[i].method, "GET") == 0) strcat(allow, ", HEAD");
    }
    if (strcmp(rq->method, "OPTIONS") == 0) reply->status = 200;
    else registry_reply_error(reply, 405, 405, NULL);
    reply->allow = allow;
    return;
  }
  rq->route = found;
  if (a->compiled[found - routes].metrics) reply->type = "text/plain; version=0.0.4; charset=utf-8";
  if (a->compiled[found - routes].deks) {
    csfle_buf_free(&reply->body);
    csfle__buf_init_secret(&reply->body, 0);
    reply->no_store = true;
  }
  rq->on_worker = found->kind == REGISTRY_WRITE || found->kind == REGISTRY_SELF;
  if (found->body && !registry_content_type_ok(rq->content_type)) registry_reply_error(reply, 415, 415, NULL);
  else if (a->anonymous == REGISTRY_ANONYMOUS_READ && a->compiled[found - routes].writes)
    registry_reply_error(reply, 403, 403, "This listener serves reads only (csfle.anonymous=read)");
}

static bool missing_body(registry_call *c, const char *name)
{
  return registry_refuse(&c->problem, 422, 422, "%s must not be null (was null)", name);
}

/* the JSON object a route takes */
static bool read_body(registry_call *c, const char *name)
{
  csfle_error err = CSFLE_ERROR_INIT;

  if (csfle__trim(csfle__buf_view(&c->rq->body)).len == 0) return missing_body(c, name);
  if (csfle__json_parse(&c->doc, csfle__buf_view(&c->rq->body), &err) != CSFLE_OK)
    return registry_refuse(&c->problem, 400, 400, "The request body is not well-formed JSON: %s", err.msg);
  c->body = yyjson_doc_get_root(c->doc);
  if (yyjson_is_null(c->body)) return missing_body(c, name);
  return yyjson_is_obj(c->body) || registry_refuse(&c->problem, 400, 400, "The request body is no JSON object");
}

static void take_params(registry_call *c, const compiled *route)
{
  size_t n = 0;
  for (size_t i = 0; i < route->count; i++)
    if (!route->segments[i].ptr) c->param[n++] = c->rq->segments[i];
  if (route->subject_at >= 0) c->param[route->subject_at] = registry_normalized(c, c->param[route->subject_at]);
}

static registry_handled handle(void *opaque, registry_request *rq, registry_reply *reply)
{
  registry_api         *a = (registry_api *)opaque;
  const registry_route *route = (const registry_route *)rq->route;
  const compiled       *path = &a->compiled[route - routes];
  registry_call         c; /* but for the problem's text, which is large and set when it is needed */
  c.g = a->g, c.api = a, c.rq = rq, c.out = &reply->body, c.status = 200;
  c.doc = NULL, c.body = NULL, c.problem.longer = NULL, c.problem.status = 0;
  c.caller = (registry_caller){ rq->may_block, rq->confidential, rq->waiter, registry_http_park, registry_http_again, &rq->parked };
  memset(c.param, 0, sizeof c.param);

  bool ok = !route->body || read_body(&c, route->body);
  if (ok) {
    take_params(&c, path);
    bool locked = route->kind == REGISTRY_READ || route->kind == REGISTRY_WRITE;
    if (locked) registry_begin(a->g, route->kind == REGISTRY_WRITE);
    if (path->subject_at >= 0 && route->kind != REGISTRY_PLAIN) {
      if (!locked) registry_begin(a->g, false);
      c.param[path->subject_at] = registry_follow_alias(&c, c.param[path->subject_at], path->deks);
      if (!locked) registry_end(a->g);
    }
    ok = route->handler(&c);
    if (locked) rq->position = registry_end(a->g);
  }
  yyjson_doc_free(c.doc);
  if (!ok && c.problem.status == REGISTRY_WAITS) return REGISTRY_PARKED;
  if (!ok && c.problem.status == REGISTRY_NEEDS_KMS) return REGISTRY_BLOCKS;
  if (ok) reply->status = c.status;
  else registry_reply_error(reply, c.problem.status, c.problem.code, c.problem.longer ? c.problem.longer : c.problem.text);
  if (reply->status == 503) reply->retry_after_s = 1;
  csfle__free(c.problem.longer);
  atomic_fetch_add_explicit(&a->requests[route - routes][reply->status / 100 % 6], 1, memory_order_relaxed);
  return REGISTRY_ANSWERED;
}

static bool settled(void *opaque, const registry_request *rq)
{
  return registry_log_settled(((registry_api *)opaque)->g->log, rq->position);
}

static bool settle(void *opaque, registry_request *rq, void *waiter)
{
  registry_api *a = (registry_api *)opaque;
  if (!rq->position) return true;
  switch (registry_log_wait(a->g->log, rq->position, registry_http_release, waiter)) {
    case REGISTRY_DURABLE: return true;
    case REGISTRY_PENDING: return false;
    default: registry_http_release(waiter, false); return false;
  }
}

registry_http_app registry_api_app(registry_api *a)
{
  return (registry_http_app){ a, begin, handle, settled, settle };
}
