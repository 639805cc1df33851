/** Records on stdout. */
#include "tools/csfle/format.h"

#include "core/base/json.h"
#include "tools/common/report.h"

#include <errno.h>
#include <stdarg.h>

csfle_status format_json_text(csfle_buf *out, csfle__bytes text)
{
  csfle_buf    fixed;
  csfle_status rc = CSFLE_OK;
  size_t       pos = 0;

  if (csfle__utf8_valid(text)) return csfle__json_put_string(out, text, false, NULL);
  csfle_buf_init(&fixed, 0, CSFLE_BUF_WIPE);
  while (pos < text.len && rc == CSFLE_OK) {
    size_t start = pos;
    if (csfle__utf8_next(text, &pos) < 0) rc = csfle__buf_puts(&fixed, "\xef\xbf\xbd", NULL);
    else rc = csfle__buf_put(&fixed, text.ptr + start, pos - start, NULL);
  }
  if (rc == CSFLE_OK) rc = csfle__json_put_string(out, csfle__buf_view(&fixed), false, NULL);
  csfle_buf_free(&fixed);
  return rc;
}

const char *format_timestamp(const rd_kafka_message_t *m, int64_t *ms)
{
  rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
  *ms = rd_kafka_message_timestamp(m, &type);
  if (type == RD_KAFKA_TIMESTAMP_CREATE_TIME) return "create";
  if (type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME) return "logappend";
  *ms = -1;
  return "unknown";
}

int format_check(const char *format)
{
  for (const char *p = format; p && *p; p++) {
    if (*p != '%') continue;
    p++;
    if (!*p || !strchr("stpokSKhT%", *p))
      return fail(EXIT_USAGE, "-f: there is no %%%c; there are %%s value, %%S its length, %%k key, %%K its length, %%t %%p %%o %%T %%h and %%%%", *p ? *p : ' ');
  }
  return 0;
}

/* the first failure stays */
typedef struct writer {
  csfle_buf   *out;
  csfle_status rc;
} writer;

static void put(writer *w, const void *ptr, size_t len)
{
  if (w->rc == CSFLE_OK) w->rc = csfle__buf_put(w->out, ptr, len, NULL);
}

static void put_text(writer *w, const char *text) { put(w, text, strlen(text)); }

static void put_char(writer *w, uint8_t c) { put(w, &c, 1); }

static void put_json(writer *w, csfle__bytes text)
{
  if (w->rc == CSFLE_OK) w->rc = format_json_text(w->out, text);
}

static CSFLE__PRINTF(2, 3) void put_printf(writer *w, const char *fmt, ...)
{
  char    text[512];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  put_text(w, text);
}

static void put_headers(writer *w, const rd_kafka_message_t *m, bool json)
{
  rd_kafka_headers_t *headers = NULL;
  const char         *name;
  const void         *value;
  size_t              len;

  if (rd_kafka_message_headers(m, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
  for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &len) == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
    if (i) put_char(w, ',');
    if (!json) {
      put_text(w, name);
      put_char(w, '=');
      put(w, value, len);
      continue;
    }
    put_json(w, csfle__str(name));
    put_char(w, ',');
    if (value) put_json(w, csfle__view(value, len));
    else put_text(w, "null");
  }
}

static void put_format(writer *w, const char *format, const rd_kafka_message_t *m, csfle__bytes value)
{
  for (const char *p = format; *p; p++) {
    int64_t ms;
    if (*p == '\\' && p[1]) {
      p++;
      put_char(w, *p == 'n' ? '\n' : *p == 't' ? '\t' : *p == 'r' ? '\r' : (uint8_t)*p);
      continue;
    }
    if (*p != '%') {
      put_char(w, (uint8_t)*p);
      continue;
    }
    switch (*++p) {
      case 's': put(w, value.ptr, value.len); break;
      case 'S': put_printf(w, "%lld", value.ptr ? (long long)value.len : -1); break;
      case 'k': put(w, m->key, m->key_len); break;
      case 'K': put_printf(w, "%lld", m->key ? (long long)m->key_len : -1); break;
      case 't': put_text(w, rd_kafka_topic_name(m->rkt)); break;
      case 'p': put_printf(w, "%d", (int)m->partition); break;
      case 'o': put_printf(w, "%lld", (long long)m->offset); break;
      case 'T':
        format_timestamp(m, &ms);
        put_printf(w, "%lld", (long long)ms);
        break;
      case 'h': put_headers(w, m, false); break;
      default: put_char(w, '%'); break;
    }
  }
}

static void put_envelope(writer *w, const rd_kafka_message_t *m, csfle__bytes value, const csfle_info *info)
{
  int64_t     ms;
  const char *type = format_timestamp(m, &ms);
  put_text(w, "{\"topic\":");
  put_json(w, csfle__str(rd_kafka_topic_name(m->rkt)));
  put_printf(w, ",\"partition\":%d,\"offset\":%lld,\"tstype\":\"%s\",\"ts\":%lld,\"headers\":[", (int)m->partition,
                    (long long)m->offset, type, (long long)ms);
  put_headers(w, m, true);
  put_text(w, "],\"key\":");
  if (m->key) put_json(w, csfle__view(m->key, m->key_len));
  else put_text(w, "null");
  if (value.ptr) put_printf(w, ",\"schema_id\":%d", (int)info->schema_id);
  put_printf(w, ",\"encrypted\":{\"decrypted\":%u,\"passed_through\":%u},\"payload\":", info->decrypted, info->passed_through);
  if (value.ptr) put(w, value.ptr, value.len);
  else put_text(w, "null");
  put_text(w, "}\n");
}

bool format_record(const args *a, const rd_kafka_message_t *m, csfle__bytes value, const csfle_info *info, csfle_buf *out)
{
  writer scratch = { out, CSFLE_OK }, *w = &scratch;
  csfle__buf_clear(out);
  if (a->envelope) {
    put_envelope(w, m, value, info);
  } else if (a->format) {
    put_format(w, a->format, m, value);
  } else {
    if (a->key_delim) {
      put(w, m->key, m->key_len);
      put_text(w, strcmp(a->key_delim, "\\t") == 0 ? "\t" : a->key_delim);
    }
    if (value.ptr) put(w, value.ptr, value.len);
    else put_text(w, "null");
    put_char(w, '\n');
  }
  if (w->rc != CSFLE_OK) errno = ENOMEM; /* nothing is written half */
  return w->rc == CSFLE_OK && fwrite(out->ptr, 1, out->len, stdout) == out->len;
}
