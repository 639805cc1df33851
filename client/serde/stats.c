/* csfle_client_stats: what the client has counted, gathered from where it is counted. */
#include "client/meter/samples.h"
#include "client/serde/serde.h"
#include "core/base/locked.h"

#include <stdio.h>

#define ADD(s, metric, value, ...)                                                                      \
  do {                                                                                                  \
    const csfle__label labels_[] = { __VA_ARGS__ };                                                     \
    csfle__samples_add(s, CSFLE__METRIC_##metric, "", labels_, sizeof labels_ / sizeof *labels_, value); \
  } while (0)

static csfle__bytes op_name(size_t op) { return op == CSFLE__OP_WRITE ? CSFLE__LIT("serialize") : CSFLE__LIT("deserialize"); }

/* ---- records */

static void add_records(csfle__samples *out, const csfle__ledger *l, const csfle__tally *t)
{
  csfle__bytes subject = csfle__str(l->subject);
  for (size_t op = 0; op < 2; op++) {
    for (size_t i = 0; i < CSFLE__STATUSES; i++)
      if (t->messages[op][i])
        ADD(out, messages_total, (double)t->messages[op][i], { "op", op_name(op) }, { "subject", subject },
            { "result", csfle__str(csfle_status_name(csfle__tally_status_at(i))) });
    for (size_t r = 0; r < l->rule_count; r++)
      for (size_t i = 0; i < CSFLE__FIELDS; i++) {
        const char *result = i == CSFLE__FIELDS_PASSED ? "passed_through" : i == CSFLE__FIELDS_REFUSED ? "refused" : op == CSFLE__OP_WRITE ? "encrypted" : "decrypted";
        if (t->fields[r][op][i])
          ADD(out, fields_total, (double)t->fields[r][op][i], { "op", op_name(op) }, { "subject", subject }, { "rule", csfle__str(l->rules[r]) },
              { "result", csfle__str(result) });
      }
  }
}

/* ---- keys */

static void add_use(csfle__samples *out, csfle_client *cl, csfle_serde *s)
{
  pthread_mutex_lock(&s->lock);
  if (s->write)
    ADD(out, schema_stale_seconds, s->write->stale ? (double)(csfle__client_mono(cl) - s->write->fetched_mono_ms) / 1000 : 0, { "subject", csfle__str(s->subject) });
  for (size_t i = 0; i < CSFLE__PLAN_MAX_RULES; i++) {
    const csfle__key *k = s->write_keys[i].got.key;
    if (!k) continue;
    char version[16];
    snprintf(version, sizeof version, "%d", (int)k->version);
    ADD(out, dek_age_seconds, (double)(csfle__ring_now(&cl->ring) - k->ts_ms) / 1000, { "kek", k->kek_name }, { "subject", k->subject },
        { "algorithm", csfle__str(csfle__algorithm_name(k->algorithm)) }, { "version", csfle__str(version) });
    if (s->write_keys[i].got.due.period_end_ms != INT64_MAX) ADD(out, rotation_overdue, k->track->overdue, { "kek", k->kek_name }, { "subject", k->subject });
  }
  pthread_mutex_unlock(&s->lock);
}

static void add_tracks(csfle__samples *out, csfle__ring *r)
{
  pthread_mutex_lock(&r->lock);
  for (size_t i = 0; i < r->tracks.count; i++) {
    const csfle__track *t = r->tracks.entries[i].value;
    char                version[16];
    uint64_t            uses = t->uses;
    snprintf(version, sizeof version, "%d", (int)t->version);
    if (uses)
      ADD(out, dek_encryptions_total, (double)uses, { "kek", t->kek }, { "subject", t->subject }, { "algorithm", csfle__str(csfle__algorithm_name(t->algorithm)) },
          { "version", csfle__str(version) });
  }
  pthread_mutex_unlock(&r->lock);
}

/* ---- the rest */

static void add_peer(csfle__samples *out, const csfle__peer *p)
{
  csfle__label labels[] = { { "peer", csfle__str(p->name) }, { "", CSFLE__NONE } };
  uint64_t     sum = 0;
  for (size_t i = 0; i < CSFLE__HTTP_BUCKETS; i++) {
    char le[32] = "+Inf";
    if (i < CSFLE__HTTP_BUCKETS - 1) snprintf(le, sizeof le, "%g", (double)csfle__http_bounds_ms[i] / 1000);
    sum += p->buckets[i];
    labels[1] = (csfle__label){ "le", csfle__str(le) };
    csfle__samples_add(out, CSFLE__METRIC_http_seconds, "_bucket", labels, 2, (double)sum);
  }
  csfle__samples_add(out, CSFLE__METRIC_http_seconds, "_sum", labels, 1, (double)p->sum_ms / 1000);
  csfle__samples_add(out, CSFLE__METRIC_http_seconds, "_count", labels, 1, (double)p->count);
}

static void add_meter(csfle__samples *out, csfle__meter *m)
{
  pthread_mutex_lock(&m->lock);
  for (size_t i = 0; i < m->code_count; i++) {
    char code[16] = "none";
    if (m->codes[i].status) snprintf(code, sizeof code, "%d", m->codes[i].status);
    ADD(out, http_requests_total, (double)m->codes[i].count, { "peer", csfle__str(m->peers[m->codes[i].peer].name) }, { "code", csfle__str(code) });
  }
  for (size_t i = 0; i < m->peer_count; i++) add_peer(out, &m->peers[i]);
  pthread_mutex_unlock(&m->lock);
  for (int e = 1; e < CSFLE__EVENTS; e++)
    if (m->events[e]) ADD(out, events_total, (double)m->events[e], { "event", csfle__str(csfle_event_name(e)) });
}

static void add_cache(csfle__samples *out, csfle__cache *c, const char *name)
{
  size_t count, bytes;
  csfle__cache_size(c, &count, &bytes);
  ADD(out, cache_entries, (double)count, { "cache", csfle__str(name) });
  ADD(out, cache_bytes, (double)bytes, { "cache", csfle__str(name) });
}

static void add_secrets(csfle__samples *out)
{
  size_t locked, unlocked;
  csfle__locked_amounts(&locked, &unlocked);
  ADD(out, secret_locked_bytes, (double)locked, { "locked", CSFLE__LIT("true") });
  ADD(out, secret_locked_bytes, (double)unlocked, { "locked", CSFLE__LIT("false") });
}

/* Each allows something that is refused otherwise. */
static void add_exceptions(csfle__samples *out, const csfle_config *c)
{
  static const char *const names[] = { "csfle.allow.plaintext", "csfle.allow.kms.props", "csfle.allow.overused.keys" };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    csfle__bytes rest = csfle__str(csfle__config_text(c, names[i])), item;
    double       n = 0;
    while (csfle__list_next(&rest, &item)) n += !csfle__eq_nocase(item, CSFLE__LIT("false"));
    ADD(out, policy_exceptions, n, { "property", csfle__str(names[i]) });
  }
}

static void gather(csfle_client *cl, csfle__samples *out)
{
  pthread_mutex_lock(&cl->lock);
  for (csfle_serde *s = cl->serdes; s; s = s->next) csfle__serde_settle(s);
  for (csfle__ledger *l = cl->ledgers; l; l = l->next) {
    csfle__tally sum = { 0 };
    csfle__tally_sum(&sum, &l->closed);
    for (csfle_serde *s = cl->serdes; s; s = s->next)
      if (s->ledger == l) csfle__serde_tally(s, &sum);
    add_records(out, l, &sum);
  }
  for (csfle_serde *s = cl->serdes; s; s = s->next) {
    add_use(out, cl, s);
    add_exceptions(out, s->config);
  }
  pthread_mutex_unlock(&cl->lock);
  add_exceptions(out, cl->config);
  add_tracks(out, &cl->ring);
  add_meter(out, &cl->meter);
  add_cache(out, &cl->schemas, "schemas");
  add_cache(out, &cl->ring.keks, "keks");
  add_cache(out, &cl->ring.deks, "deks");
  add_secrets(out);
}

csfle_status csfle_client_stats(csfle_client *cl, int as, csfle_buf *out, csfle_error *err)
{
  csfle__samples s;
  csfle_buf      text;
  if (!cl) return err && err->code ? err->code : CSFLE_E_MISUSE;
  if (!out || (as != CSFLE_STATS_JSON && as != CSFLE_STATS_PROMETHEUS)) return csfle__fail(err, CSFLE_E_MISUSE, "a buffer is needed, and CSFLE_STATS_JSON or CSFLE_STATS_PROMETHEUS");
  csfle__buf_clear(out);
  csfle__samples_init(&s, !csfle__config_bool(cl->config, "csfle.metrics.subject"));
  csfle_buf_init(&text, 0, 0);
  gather(cl, &s);
  csfle_status rc = csfle__samples_write(&s, as == CSFLE_STATS_JSON, &text, err);
  if (rc == CSFLE_OK) rc = csfle__emit(out, CSFLE__NONE, csfle__buf_view(&text), err);
  csfle_buf_free(&text);
  csfle__samples_free(&s);
  return csfle__finish(out, rc, err);
}
