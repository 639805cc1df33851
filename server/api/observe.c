/* /metrics and /csfle/v1/health: what an operator's programs ask. No name of a key or subject is in the metrics. */
#include "server/api/api.h"

#include "server/log/must.h"
#include "server/registry/look.h"

static void figure(csfle_buf *b, const char *name, const char *type, const char *help, uint64_t value)
{
  must_ok(csfle__buf_printf(b, NULL, "# HELP csfle_registry_%s %s\n# TYPE csfle_registry_%s %s\ncsfle_registry_%s %llu\n", name, help, name, type, name, (unsigned long long)value));
}

/* when the store takes no records there is nothing to wait for, and that is what has to be told */
static void wait_for(registry_call *c, const registry_figures *f)
{
  if (f->ready) c->rq->position = f->position;
}

bool registry_metrics(registry_call *c)
{
  registry_warning *list = (registry_warning *)must_calloc(REGISTRY_WARNINGS_MAX * sizeof *list);
  registry_figures  f;
  csfle_buf        *b = c->out;
  int               count = registry_look(c->g, &f, list);

  put(b, "# HELP csfle_registry_info version of this server\n# TYPE csfle_registry_info gauge\ncsfle_registry_info{version=\"" CSFLE_VERSION_TEXT "\"} 1\n");
  figure(b, "ready", "gauge", "1 while the store takes records", f.ready);
  figure(b, "subjects", "gauge", "subjects, soft-deleted ones too", f.subjects);
  figure(b, "keks", "gauge", "KEKs, soft-deleted ones too", f.keks);
  figure(b, "keks_shared", "gauge", "KEKs that this server may use", f.shared_keks);
  figure(b, "deks", "gauge", "DEKs, soft-deleted ones too", f.deks);
  figure(b, "keys_limit", "gauge", "dek.registry.max.keys, for KEKs and for DEKs", (uint64_t)f.max_keys);
  figure(b, "key_limit_refusals_total", "counter", "keys not made because of the limit", f.limit_refusals);
  figure(b, "deks_overdue", "gauge", "DEKs past the period of their rule", f.overdue);
  figure(b, "trash_entries", "gauge", "deleted keys and replaced material that can be restored", f.trash);
  figure(b, "kms_calls_total", "counter", "calls of a KMS", f.kms_calls);
  figure(b, "kms_failures_total", "counter", "calls of a KMS that failed", f.kms_failures);
  figure(b, "unwrap_hits_total", "counter", "reads of shared DEKs answered from memory", f.unwraps.hits);
  figure(b, "unwrap_joined_total", "counter", "reads of shared DEKs that waited for a call another one had made", f.unwraps.joined);
  figure(b, "unwrap_kept", "gauge", "unwrapped DEKs in memory", f.unwraps.kept);
  figure(b, "unwrap_waiting", "gauge", "reads that wait for a KMS", f.unwraps.waiting);
  figure(b, "unwrap_waiting_limit", "gauge", "csfle.kms.waiting.max", f.unwraps.waiting_max);
  put(b, "# HELP csfle_registry_warning what /csfle/v1/health warns of\n# TYPE csfle_registry_warning gauge\n");
  for (int i = 0; i < count; i++)
    if (!i || strcmp(list[i].code, list[i - 1].code) != 0) must_ok(csfle__buf_printf(b, NULL, "csfle_registry_warning{code=\"%s\"} 1\n", list[i].code));
  registry_put_requests(c->api, b);
  wait_for(c, &f);
  csfle__free(list);
  return true;
}

/* 200 while it is ready, warnings or not; 503 otherwise. Whoever may only have the metrics gets no names */
bool registry_health(registry_call *c)
{
  registry_warning *list = (registry_warning *)must_calloc(REGISTRY_WARNINGS_MAX * sizeof *list);
  registry_figures  f;
  csfle_buf        *b = c->out;
  int               count = registry_look(c->g, &f, list);

  put(b, f.ready ? "{\"live\":true,\"ready\":true,\"warnings\":[" : "{\"live\":true,\"ready\":false,\"warnings\":[");
  for (int i = 0; i < count; i++) {
    put(b, i ? ",{\"code\":" : "{\"code\":"), put_json(b, csfle__str(list[i].code));
    if (!registry_api_metrics_only(c->api, c->rq)) put(b, ",\"message\":"), put_json(b, csfle__str(list[i].text));
    put(b, "}");
  }
  put(b, "],\"keks\":"), put_int(b, (int64_t)f.keks), put(b, ",\"deks\":"), put_int(b, (int64_t)f.deks);
  put(b, ",\"maxKeys\":"), put_int(b, f.max_keys), put(b, ",\"overdue\":"), put_int(b, (int64_t)f.overdue);
  put(b, ",\"trash\":"), put_int(b, (int64_t)f.trash), put(b, "}");
  if (!f.ready) c->status = 503;
  wait_for(c, &f);
  csfle__free(list);
  return true;
}
