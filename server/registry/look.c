/* See look.h. */
#include "server/registry/look.h"

#include "server/log/must.h"

#include <stdarg.h>
#include <stdio.h>

#define DAY_MS        (24 * 3600 * 1000LL)
#define KMS_FAILS_ROW 3

static csfle__bytes param(const csfle__rule *r, const csfle__metadata *m, const char *name)
{
  csfle__bytes v = csfle__pairs_get(&r->params, name);
  return v.ptr || !m ? v : csfle__pairs_get(&m->properties, name);
}

/* at most @p max bytes of a text that is cut off, whole characters */
static int part(csfle__bytes v, size_t max)
{
  if (v.len <= max) return (int)v.len;
  while (max > 0 && (v.ptr[max] & 0xc0) == 0x80) max--;
  return (int)max;
}

/* the DEK that the rule would have replaced by now, or NULL. [DEK 8.4] */
static const csfle__dek *past_period(const registry *g, const registry_subject *subject, const csfle__metadata *m, const csfle__rule *r, int64_t now, int64_t *days)
{
  csfle__bytes     period = param(r, m, "encrypt.dek.expiry.days"), algorithm = param(r, m, "encrypt.dek.algorithm");
  csfle__algorithm a = CSFLE__AES256_GCM;

  if (r->disabled || !csfle__parse_i64(period, days) || *days <= 0 || (algorithm.len && !csfle__algorithm_parse(algorithm, &a))) return NULL;
  registry_kek *k = registry_state_kek(g->state, param(r, m, "encrypt.kek.name"));
  if (!k || !k->kek || k->kek->deleted) return NULL;
  const csfle__dek *d = registry_dek_latest(k, subject->name, a, false);
  return d && (now - d->ts) / DAY_MS >= *days ? d : NULL;
}

static size_t count_overdue(const registry *g, registry_warning *w)
{
  int64_t now = g->clock->wall_ms(g->clock->opaque), days;
  size_t  n = 0;

  for (size_t i = 0; i < g->state->subjects.count; i++) {
    const registry_subject   *subject = (const registry_subject *)g->state->subjects.entries[i].value;
    const registry_version   *v = registry_subject_latest(subject, false);
    const csfle__schema_info *info = v ? v->content->info : NULL;
    if (!info || !info->rule_set) continue;
    const csfle__rules *sets[] = { &info->rule_set->domain, &info->rule_set->encoding };
    const char         *types[] = { "ENCRYPT", "ENCRYPT_PAYLOAD" };
    const csfle__dek   *before = NULL; /* rules of one subject mostly share a key */
    for (int set = 0; set < 2; set++)
      for (size_t j = 0; j < sets[set]->count; j++) {
        const csfle__rule *r = &sets[set]->at[j];
        const csfle__dek  *d = csfle__eq_str(r->type, types[set]) ? past_period(g, subject, info->metadata, r, now, &days) : NULL;
        if (!d || d == before) continue;
        before = d;
        if (n++ || !w) continue;
        snprintf(w->text, sizeof w->text, "KEK \"%.*s\", subject \"%.*s\", version %d is %lld days old, its rule says %lld", part(d->kek_name, 100), (const char *)d->kek_name.ptr,
                 part(d->subject, 150), (const char *)d->subject.ptr, d->version, (long long)((now - d->ts) / DAY_MS), (long long)days);
      }
  }
  return n;
}

static registry_warning *add(registry_warning *list, int *count, const char *code, const char *fmt, ...) CSFLE__PRINTF(4, 5);
static registry_warning *add(registry_warning *list, int *count, const char *code, const char *fmt, ...)
{
  va_list args;
  if (!list) return NULL;
  registry_warning *w = &list[(*count)++];
  w->code = code;
  va_start(args, fmt);
  vsnprintf(w->text, sizeof w->text, fmt, args);
  va_end(args);
  return w;
}

/* true when none can be made any more */
static bool limit(registry_warning *list, int *count, const char *what, size_t have, int64_t max)
{
  if ((int64_t)have > max)
    add(list, count, "key-limit", "there are %zu %ss and dek.registry.max.keys is %lld: no %s can be made; raise it, or delete for good those that nothing needs", have, what, (long long)max, what);
  else if ((int64_t)have * 10 >= max * 9)
    add(list, count, "key-limit", "there are %zu %ss of at most %lld (dek.registry.max.keys): raise it before no %s can be made", have, what, (long long)max + 1, what);
  return (int64_t)have > max;
}

int registry_look(registry *g, registry_figures *f, registry_warning *list)
{
  registry_warning first = { 0 };
  int              count = 0;
  const csfle__map *keks;

  *f = (registry_figures){ .max_keys = g->options.max_keys };
  registry_begin(g, false);
  keks = &g->state->keks;
  f->keks = g->state->kek_count, f->deks = g->state->dek_count;
  f->subjects = g->state->subjects.count, f->trash = g->state->trash.count;
  for (size_t i = 0; i < keks->count; i++) {
    const registry_kek *k = (const registry_kek *)keks->entries[i].value;
    f->shared_keks += k->kek && k->kek->shared;
  }
  f->overdue = count_overdue(g, &first);
  f->position = registry_end(g);
  f->kms_calls = atomic_load(&g->counters.kms_calls);
  f->kms_failures = atomic_load(&g->counters.kms_failures);
  f->limit_refusals = atomic_load(&g->counters.limit_refusals);
  f->unwraps = registry_unwraps_look(g->unwraps);
  f->ready = registry_log_healthy(g->log);

  if (!f->ready) add(list, &count, "store", "the store takes no records: a write to it failed. See the log; when the disk is well again, restart");
  else if (registry_log_failing(g->log)) add(list, &count, "store", "the last write to the store failed: who waited for it was answered 500, and it was undone. See the log; is the disk full?");
  limit(list, &count, "KEK", f->keks, f->max_keys);
  bool full = limit(list, &count, "DEK", f->deks, f->max_keys);
  if (f->overdue && full)
    add(list, &count, "rotation-impossible", "%zu DEKs are past their period and cannot be replaced, dek.registry.max.keys is reached; the first: %s", f->overdue, first.text);
  else if (f->overdue)
    add(list, &count, "rotation-overdue", "%zu DEKs are past their period, the first: %s. Producers replace them when they write next; register-deks does it at once", f->overdue, first.text);
  if (g->options.trash_ms && f->trash * 10 >= g->options.trash_max * 9)
    add(list, &count, "trash-full", "the trash holds %zu of %zu entries (csfle.trash.max): when it is full nothing is deleted for good and nothing rewrapped", f->trash, g->options.trash_max);
  uint64_t row = atomic_load(&g->counters.kms_row);
  if (row >= KMS_FAILS_ROW) add(list, &count, "kms-failing", "the last %llu calls of a KMS failed: look at the answers of reads of shared DEKs, and at csfle.allow.kms.hosts", (unsigned long long)row);
  return count;
}
