/* Metrics as text. See samples.h. */
#include "client/meter/samples.h"
#include "core/base/alloc.h"
#include "core/base/json.h"

#include <math.h>
#include <string.h>

enum { SUM, MAX };
static const struct { const char *name, *kind, *help; int combine; } metrics[CSFLE__METRICS] = {
#define CSFLE_METRIC(id, kind, combine, help) { "csfle_" #id, #kind, help, combine },
#include "client/meter/metrics.def"
#undef CSFLE_METRIC
};

typedef struct sample {
  csfle__metric metric;
  const char   *part;
  size_t        count;
  csfle__label  labels[CSFLE__LABELS]; /* values in the same block */
  double        value;
} sample;

void csfle__samples_init(csfle__samples *s, bool no_subjects)
{
  *s = (csfle__samples){ .at = CSFLE__MAP_INIT, .no_subjects = no_subjects };
}

void csfle__samples_free(csfle__samples *s) { csfle__map_free(&s->at, csfle__free); }

static bool dropped(const csfle__samples *s, const csfle__label *l)
{
  return !*l->name || (s->no_subjects && strcmp(l->name, "subject") == 0);
}

static sample *make(const csfle__samples *s, csfle__metric m, const char *part, const csfle__label *labels, size_t count)
{
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) bytes += labels[i].value.len;
  sample *x = csfle__calloc(1, sizeof *x + bytes);
  if (!x) return NULL;
  uint8_t *to = (uint8_t *)(x + 1);
  x->metric = m, x->part = part;
  for (size_t i = 0; i < count && x->count < CSFLE__LABELS; i++) {
    csfle__bytes v = csfle__utf8_valid(labels[i].value) ? labels[i].value : CSFLE__NONE;
    if (dropped(s, &labels[i])) continue;
    if (v.len) memcpy(to, v.ptr, v.len);
    x->labels[x->count++] = (csfle__label){ labels[i].name, csfle__view(to, v.len) };
    to += v.len;
  }
  return x;
}

static csfle_status name_of(csfle_buf *b, const sample *x)
{
  csfle_status rc = csfle__buf_printf(b, NULL, "%d%s", (int)x->metric, x->part);
  for (size_t i = 0; i < x->count && rc == CSFLE_OK; i++) {
    rc = csfle__buf_printf(b, NULL, "%c%s%c", 0, x->labels[i].name, 0);
    if (rc == CSFLE_OK) rc = csfle__buf_put(b, x->labels[i].value.ptr, x->labels[i].value.len, NULL);
  }
  return rc;
}

void csfle__samples_add(csfle__samples *s, csfle__metric m, const char *part, const csfle__label *labels, size_t count, double value)
{
  csfle_buf name;
  sample   *x = make(s, m, part, labels, count), *same = NULL;
  csfle_buf_init(&name, 0, 0);
  if (x && name_of(&name, x) == CSFLE_OK && (same = csfle__map_get(&s->at, csfle__buf_view(&name))) == NULL) {
    x->value = value;
    if (csfle__map_put(&s->at, csfle__buf_view(&name), x, NULL) == 0) same = x, x = NULL;
  } else if (same) {
    same->value = metrics[m].combine == SUM ? same->value + value : fmax(same->value, value);
  }
  if (!same) s->failed = CSFLE_E_NOMEM;
  csfle__free(x);
  csfle_buf_free(&name);
}

/* ---- writing */

static csfle_status put_number(csfle_buf *b, double v, csfle_error *err)
{
  return v == floor(v) && fabs(v) < 1e15 ? csfle__buf_printf(b, err, "%.0f", v) : csfle__buf_printf(b, err, "%.6g", v);
}

/* a backslash, a quote and a line feed are escaped, nothing else */
static csfle_status put_label(csfle_buf *b, const csfle__label *l, csfle_error *err)
{
  csfle_status rc = csfle__buf_printf(b, err, "%s=\"", l->name);
  for (size_t i = 0; i < l->value.len && rc == CSFLE_OK; i++) {
    uint8_t c = l->value.ptr[i];
    if (c == '\\' || c == '"' || c == '\n') rc = csfle__buf_putc(b, '\\', err);
    if (rc == CSFLE_OK) rc = csfle__buf_putc(b, c == '\n' ? 'n' : c, err);
  }
  return rc == CSFLE_OK ? csfle__buf_putc(b, '"', err) : rc;
}

static csfle_status put_prometheus(csfle_buf *b, const sample *x, csfle_error *err)
{
  csfle_status rc = csfle__buf_printf(b, err, "%s%s", metrics[x->metric].name, x->part);
  for (size_t i = 0; i < x->count && rc == CSFLE_OK; i++) {
    rc = csfle__buf_putc(b, i ? ',' : '{', err);
    if (rc == CSFLE_OK) rc = put_label(b, &x->labels[i], err);
  }
  if (rc == CSFLE_OK) rc = csfle__buf_puts(b, x->count ? "} " : " ", err);
  if (rc == CSFLE_OK) rc = put_number(b, x->value, err);
  return rc == CSFLE_OK ? csfle__buf_putc(b, '\n', err) : rc;
}

static csfle_status put_json(csfle_buf *b, const sample *x, bool first, csfle_error *err)
{
  csfle_status rc = csfle__buf_puts(b, first ? "{" : ",{", err);
  if (rc == CSFLE_OK && *x->part) rc = csfle__buf_printf(b, err, "\"part\":\"%s\",", x->part + 1);
  for (size_t i = 0; i < x->count && rc == CSFLE_OK; i++) {
    rc = csfle__buf_printf(b, err, "\"%s\":", x->labels[i].name);
    if (rc == CSFLE_OK) rc = csfle__json_put_string(b, x->labels[i].value, false, err);
    if (rc == CSFLE_OK) rc = csfle__buf_putc(b, ',', err);
  }
  if (rc == CSFLE_OK) rc = csfle__buf_puts(b, "\"value\":", err);
  if (rc == CSFLE_OK) rc = put_number(b, x->value, err);
  return rc == CSFLE_OK ? csfle__buf_putc(b, '}', err) : rc;
}

static csfle_status put_metric(const csfle__samples *s, csfle__metric m, bool json, csfle_buf *b, csfle_error *err)
{
  csfle_status rc = json ? csfle__buf_printf(b, err, "%s\"%s\":[", m ? "," : "", metrics[m].name)
                         : csfle__buf_printf(b, err, "# HELP %s %s\n# TYPE %s %s\n", metrics[m].name, metrics[m].help, metrics[m].name, metrics[m].kind);
  bool         first = true;
  for (size_t i = 0; i < s->at.count && rc == CSFLE_OK; i++) {
    const sample *x = s->at.entries[i].value;
    if (x->metric != m) continue;
    rc = json ? put_json(b, x, first, err) : put_prometheus(b, x, err);
    first = false;
  }
  return rc == CSFLE_OK && json ? csfle__buf_putc(b, ']', err) : rc;
}

csfle_status csfle__samples_write(const csfle__samples *s, bool json, csfle_buf *out, csfle_error *err)
{
  if (s->failed != CSFLE_OK) return csfle__nomem(err);
  csfle_status rc = json ? csfle__buf_putc(out, '{', err) : CSFLE_OK;
  for (int m = 0; m < CSFLE__METRICS && rc == CSFLE_OK; m++) rc = put_metric(s, (csfle__metric)m, json, out, err);
  return rc == CSFLE_OK && json ? csfle__buf_putc(out, '}', err) : rc;
}
