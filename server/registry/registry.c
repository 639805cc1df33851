/* Opening, the lock, committing a command's records, scopes. See registry.h. */
#include "server/registry/unwrap.h"

#include "server/log/must.h"

#include <stdarg.h>
#include <stdio.h>

#define COMPACT_FROM 2000 /* records */

/* a commit failed: what memory says may never have happened */
static bool on_lost(void *opaque)
{
  registry    *g = (registry *)opaque;
  csfle_error  err = CSFLE_ERROR_INIT;

  pthread_rwlock_wrlock(&g->lock);
  registry_unwraps_forget_all(g->unwraps); /* offsets are given out again */
  registry_state_free(g->state);
  g->state = registry_state_new(g->out);
  csfle_status rc = registry_replay(g->log, g->state, NULL, &err);
  atomic_store(&g->counters.untidy, true); /* a tidying may be among what is lost */
  pthread_rwlock_unlock(&g->lock);
  if (rc != CSFLE_OK) csfle__log_line(g->out, 2, "registry", "replay failed: %s", err.msg);
  return rc == CSFLE_OK;
}

/* the highest ids: an id whose schema is gone for good is not given out again */
static void add_ids(const registry_state *s, registry_change *change)
{
  for (size_t i = 0; i < s->contexts.count; i++) {
    const registry_context *c = (const registry_context *)s->contexts.entries[i].value;
    csfle_buf key, value;
    csfle_buf_init(&key, 0, 0);
    csfle_buf_init(&value, 0, 0);
    put(&key, "{\"kind\":\"ids\",\"context\":"), put_json(&key, c->name), put(&key, "}");
    put(&value, "{\"max\":"), put_int(&value, c->max_id), put(&value, "}");
    registry_change_add(change, REGISTRY_OWN, csfle__buf_view(&key), csfle__buf_view(&value));
    csfle_buf_free(&key);
    csfle_buf_free(&value);
  }
}

/* at the start, when most of the log is superseded */
static csfle_status compact(registry *g, size_t records, csfle_error *err)
{
  const registry_state *s = g->state;
  registry_change       change = { 0 };
  size_t                live = s->configs.count + s->modes.count + 2 * s->contexts.count + s->kek_count + s->dek_count + s->trash.count + s->kept_count, removed = 0;

  for (size_t i = 0; i < s->subjects.count; i++) live += ((const registry_subject *)s->subjects.entries[i].value)->count;
  if (records < COMPACT_FROM || records / 2 < live) return CSFLE_OK;
  add_ids(s, &change);
  csfle_status rc = registry_log_compact(g->log, change.records, change.count, &removed, err);
  registry_change_drop(&change);
  if (rc == CSFLE_OK) csfle__log_line(g->out, 6, "registry", "%zu of %zu records were superseded and are removed", removed, records);
  return rc;
}

void registry_tidy(registry *g)
{
  registry_change  change = { 0 };
  registry_problem p;

  if (!atomic_exchange(&g->counters.untidy, false)) return;
  registry_begin(g, true);
  add_ids(g->state, &change);
  bool     ok = registry_change_commit(g, &change, &p);
  uint64_t position = registry_end(g);
  if (ok) registry_log_tidy(g->log, position); /* ids that are given out after it are not in the marks */
  else atomic_store(&g->counters.untidy, true);
}

csfle_status registry_open(registry **out, registry_log *log, const registry_options *options, const csfle__clock *clock,
                           const csfle__log *lines, const csfle_transport *transport, csfle_error *err)
{
  registry            *g = (registry *)must_calloc(sizeof *g);
  pthread_rwlockattr_t attr;

  *g = (registry){ .log = log, .options = *options, .clock = clock, .out = lines, .transport = transport };
  csfle__kms_pool_init(&g->kms, NULL);
  g->state = registry_state_new(lines);
  registry_unwraps_options unwraps = { options->unwrapped_keep_ms, options->unwrapping_max, options->unwrapping_wait_ms, options->blocking, options->unwrapping_of_one };
  g->unwraps = registry_unwraps_new(g, &unwraps);
  pthread_rwlockattr_init(&attr);
  pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  pthread_rwlock_init(&g->lock, &attr);
  pthread_rwlockattr_destroy(&attr);
  size_t       count = 0;
  csfle_status rc = registry_replay(log, g->state, &count, err);
  if (rc == CSFLE_OK) rc = compact(g, count, err);
  atomic_store(&g->counters.untidy, count > 0); /* nobody knows */
  if (rc == CSFLE_OK) rc = registry_log_start(log, on_lost, g, err);
  if (rc != CSFLE_OK) {
    registry_close(g);
    return rc;
  }
  *out = g;
  return CSFLE_OK;
}

void registry_close(registry *g)
{
  if (!g) return;
  registry_log_close(g->log);
  registry_unwraps_free(g->unwraps);
  registry_state_free(g->state);
  pthread_rwlock_destroy(&g->lock);
  csfle__kms_pool_free(&g->kms);
  csfle__free(g);
}

void registry_begin(registry *g, bool write)
{
  if (write) pthread_rwlock_wrlock(&g->lock);
  else pthread_rwlock_rdlock(&g->lock);
}

uint64_t registry_end(registry *g)
{
  uint64_t position = registry_log_position(g->log);
  pthread_rwlock_unlock(&g->lock);
  return position;
}

bool registry_refuse(registry_problem *p, int status, int code, const char *fmt, ...)
{
  va_list args;
  p->status = status;
  p->code = code;
  va_start(args, fmt);
  int n = vsnprintf(p->text, sizeof p->text, fmt, args);
  va_end(args);
  if (n < 0) p->text[0] = 0;
  if ((size_t)n >= sizeof p->text) { /* never half a character */
    size_t end = sizeof p->text - 1;
    while (end > 0 && ((uint8_t)p->text[end - 1] & 0xc0) == 0x80) end--;
    if (end > 0) end--;
    p->text[end] = 0;
  }
  return false;
}

void registry_change_add(registry_change *c, registry_topic topic, csfle__bytes key, csfle__bytes value)
{
  must_grow((void **)&c->records, &c->cap, c->count + 1, sizeof *c->records);
  registry_record *r = &c->records[c->count++];
  *r = (registry_record){ .topic = topic, .key = csfle__arena_copy(&c->arena, key) };
  if (!r->key.ptr) registry_out_of_memory();
  if (!value.ptr) return;
  r->value = csfle__arena_copy(&c->arena, value);
  if (!r->value.ptr) registry_out_of_memory();
}

bool registry_change_commit(registry *g, registry_change *c, registry_problem *p)
{
  csfle_error err = CSFLE_ERROR_INIT;
  bool        ok = true;

  if (c->count && registry_log_append(g->log, c->records, c->count, &err) != CSFLE_OK)
    ok = registry_refuse(p, 500, 50001, "%s", err.msg);
  for (size_t i = 0; ok && i < c->count; i++) {
    if (c->records[i].topic == REGISTRY_KEYS) registry_unwraps_forget(g->unwraps, c->records[i].key);
    if (!c->records[i].value.ptr || c->records[i].topic == REGISTRY_KEYS) atomic_store(&g->counters.untidy, true);
    registry_state_apply(g->state, &c->records[i]);
  }
  registry_change_drop(c);
  return ok;
}

bool registry_change_drop(registry_change *c)
{
  csfle__free(c->records);
  csfle__arena_free(&c->arena);
  *c = (registry_change){ 0 };
  return false;
}

/* ---- names and scopes ------------------------------------------------------------------------------------------- */

csfle__bytes registry_context_of(csfle__bytes name)
{
  return csfle__subject_parse(name).context;
}

bool registry_subject_valid(csfle__bytes name, bool settings)
{
  csfle__subject q = csfle__subject_parse(name);
  size_t         pos = 0;

  while (pos < name.len) {
    int32_t c = csfle__utf8_next(name, &pos);
    if (c < 0x20 || (c >= 0x7f && c <= 0x9f)) return false;
  }
  if (csfle__eq_str(q.name, "__GLOBAL") || csfle__eq_str(q.name, "__EMPTY")) return false;
  return settings || !csfle__eq_str(q.context, ".__GLOBAL");
}

/* name of the context's own record: "" for the default context, else ":.ctx:" */
static csfle__bytes scope_name(csfle__bytes context, char *buf, size_t size)
{
  if (context.len <= 1 || context.len + 3 > size) return CSFLE__LIT("");
  snprintf(buf, size, ":%.*s:", CSFLE__FMT(context));
  return csfle__str(buf);
}

#define FLAG(member, fallback) (c && c->member != REGISTRY_UNSET ? c->member == REGISTRY_TRUE \
                                : own && global && global->member != REGISTRY_UNSET ? global->member == REGISTRY_TRUE : (fallback))

registry_scope registry_scope_of(const registry *g, csfle__bytes subject)
{
  char                   buf[512];
  const registry_config *global = registry_state_config(g->state, CSFLE__LIT(""));
  const registry_config *c = registry_state_config(g->state, subject);
  bool                   own = c != NULL;

  if (!c) c = registry_state_config(g->state, scope_name(registry_context_of(subject), buf, sizeof buf));
  if (!c) c = registry_state_config(g->state, CSFLE__LIT(":.__GLOBAL:"));
  registry_scope s = { .config = c };
  s.level = c && c->level ? c->level : g->options.level;
  s.normalize = FLAG(normalize, false);
  s.validate_fields = FLAG(validate_fields, g->options.validate_fields);
  s.validate_new_schemas = FLAG(validate_new_schemas, g->options.validate_new_schemas);
  s.group = c && c->group.ptr ? c->group : own && global ? global->group : CSFLE__NONE;
  s.policy = c && c->policy.ptr ? c->policy : own && global ? global->policy : CSFLE__NONE;
  return s;
}

registry_mode registry_mode_of(const registry *g, csfle__bytes subject)
{
  char          buf[512];
  registry_mode m = registry_state_mode(g->state, subject);
  if (!m) m = registry_state_mode(g->state, scope_name(registry_context_of(subject), buf, sizeof buf));
  if (!m) m = registry_state_mode(g->state, CSFLE__LIT(":.__GLOBAL:"));
  return m ? m : REGISTRY_READWRITE;
}

bool registry_writable(const registry *g, csfle__bytes subject, registry_problem *p)
{
  char          buf[512];
  registry_mode m = registry_mode_of(g, subject);
  if (m != REGISTRY_READONLY && m != REGISTRY_READONLY_OVERRIDE) return true;
  return registry_refuse(p, 422, 42205, "Subject %.*s in context %.*s is in read-only mode", CSFLE__FMT(subject),
                         CSFLE__FMT(scope_name(registry_context_of(subject), buf, sizeof buf)));
}
