/* Counting requests, telling events. See meter.h. */
#include "client/meter/meter.h"
#include "core/base/buf.h"
#include "core/base/json.h"

#include <string.h>

#define MAX_NAME 200 /* of a name in an event, in bytes */

const int64_t csfle__http_bounds_ms[CSFLE__HTTP_BUCKETS - 1] = { 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10000 };

static const char *const names[CSFLE__EVENTS] = {
  [CSFLE_EVENT_DEK_MADE] = "dek_made",
  [CSFLE_EVENT_DEK_ROTATED] = "dek_rotated",
  [CSFLE_EVENT_ROTATION_OVERDUE] = "rotation_overdue",
  [CSFLE_EVENT_DENIED] = "denied",
  [CSFLE_EVENT_STALE] = "stale",
  [CSFLE_EVENT_PASSED_THROUGH] = "passed_through",
  [CSFLE_EVENT_LIMIT_NEAR] = "limit_near",
  [CSFLE_EVENT_POLICY] = "policy",
};

const char *csfle_event_name(int event) { return event > 0 && event < CSFLE__EVENTS ? names[event] : "unknown"; }

void csfle__meter_init(csfle__meter *m, csfle_event_fn fn, void *opaque, const csfle__clock *clock)
{
  memset(m, 0, sizeof *m);
  m->fn = fn, m->opaque = opaque, m->clock = *clock;
  pthread_mutex_init(&m->lock, NULL);
}

void csfle__meter_free(csfle__meter *m) { pthread_mutex_destroy(&m->lock); }

/* ---- requests */

static csfle__peer *find_peer(csfle__meter *m, const char *name)
{
  for (size_t i = 0; i < m->peer_count; i++)
    if (strcmp(m->peers[i].name, name) == 0) return &m->peers[i];
  if (m->peer_count == CSFLE__PEERS) return &m->peers[CSFLE__PEERS - 1];
  csfle__peer *p = &m->peers[m->peer_count++];
  if (m->peer_count == CSFLE__PEERS || strlen(name) >= sizeof p->name) name = "other";
  memcpy(p->name, name, strlen(name) + 1);
  return p;
}

static void count_code(csfle__meter *m, size_t peer, int status)
{
  for (size_t i = 0; i < m->code_count; i++)
    if (m->codes[i].peer == peer && m->codes[i].status == status) {
      m->codes[i].count++;
      return;
    }
  if (m->code_count < CSFLE__HTTP_CODES) m->codes[m->code_count++] = (csfle__http_code){ peer, status, 1 };
}

void csfle__meter_http(csfle__meter *m, const char *purpose, int status, int64_t took_ms)
{
  if (!m) return;
  size_t bucket = 0;
  while (bucket < CSFLE__HTTP_BUCKETS - 1 && took_ms > csfle__http_bounds_ms[bucket]) bucket++;
  pthread_mutex_lock(&m->lock);
  csfle__peer *p = find_peer(m, purpose ? purpose : "other");
  p->count++, p->buckets[bucket]++;
  p->sum_ms += took_ms > 0 ? (uint64_t)took_ms : 0;
  count_code(m, (size_t)(p - m->peers), status);
  pthread_mutex_unlock(&m->lock);
}

/* ---- events */

static uint64_t mix(uint64_t h, const void *ptr, size_t len)
{
  const uint8_t *p = ptr;
  for (size_t i = 0; i < len; i++) h = (h ^ p[i]) * UINT64_C(1099511628211);
  return (h ^ len) * UINT64_C(1099511628211);
}

/* Whether this is news; remembers it. */
static bool is_news(csfle__meter *m, const csfle__event *e)
{
  if (e->event == CSFLE_EVENT_DEK_MADE || e->event == CSFLE_EVENT_DEK_ROTATED || e->event == CSFLE_EVENT_LIMIT_NEAR) return true;
  int32_t  what[4] = { e->event, e->version, e->cause ? e->cause->code : 0, e->cause ? e->cause->http : 0 };
  uint64_t h = mix(UINT64_C(14695981039346656037), what, sizeof what);
  h = mix(h, e->kek.ptr, e->kek.len);
  h = mix(h, e->subject.ptr, e->subject.len);
  if (!h) h = 1;
  int64_t now = m->clock.monotonic_ms(m->clock.opaque);
  size_t  at = h % CSFLE__TOLD;
  pthread_mutex_lock(&m->lock);
  bool news = m->told[at].hash != h || now - m->told[at].at_ms >= CSFLE__TELL_AGAIN_MS;
  if (news) m->told[at].hash = h, m->told[at].at_ms = now;
  pthread_mutex_unlock(&m->lock);
  return news;
}

static void put_text(csfle_buf *b, const char *name, csfle__bytes text, size_t max)
{
  if (!text.len) return;
  if (text.len > max) {
    text.len = max;
    while (text.len && (text.ptr[text.len] & 0xC0) == 0x80) text.len--; /* not in the middle of a character */
  }
  if (!csfle__utf8_valid(text)) return;
  csfle__buf_printf(b, NULL, ",\"%s\":", name);
  csfle__json_put_string(b, text, false, NULL);
}

static void put_number(csfle_buf *b, const char *name, uint64_t n)
{
  if (n) csfle__buf_printf(b, NULL, ",\"%s\":%llu", name, (unsigned long long)n);
}

void csfle__meter_tell(csfle__meter *m, const csfle__event *e)
{
  if (!m) return;
  m->events[e->event]++;
  if (!m->fn || !is_news(m, e)) return;
  /* names are cut, so that it fits whatever has to be escaped */
  uint8_t   text[6 * 2 * MAX_NAME + 6 * sizeof e->cause->msg + 512];
  csfle_buf b = { text, 0, sizeof text, sizeof text, NULL, NULL, 0 };
  csfle__buf_printf(&b, NULL, "{\"event\":\"%s\"", csfle_event_name(e->event));
  put_text(&b, "kek", e->kek, MAX_NAME);
  put_text(&b, "subject", e->subject, MAX_NAME);
  if (e->algorithm) put_text(&b, "algorithm", csfle__str(e->algorithm), MAX_NAME);
  put_number(&b, "version", e->version > 0 ? (uint64_t)e->version : 0);
  put_number(&b, "before", e->before > 0 ? (uint64_t)e->before : 0);
  put_number(&b, "count", e->count);
  if (e->cause && e->cause->code) {
    csfle__buf_printf(&b, NULL, ",\"status\":\"%s\"", csfle_status_name(e->cause->code));
    put_number(&b, "http", e->cause->http > 0 ? (uint64_t)e->cause->http : 0);
    put_text(&b, "message", csfle__str(e->cause->msg), sizeof e->cause->msg);
  }
  csfle__buf_putc(&b, '}', NULL);
  m->fn(m->opaque, e->event, csfle__buf_cstr(&b));
}
