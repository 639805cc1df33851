/** One request to the registry and its answer. */
#include "tools/csfle/http.h"

#include "client/config/config.h"
#include "core/base/alloc.h"
#include "core/base/base64.h"
#include "core/model/model.h"
#include "tools/common/report.h"

#include <stdarg.h>

#define MEDIA_TYPE      "application/vnd.schemaregistry.v1+json"
#define MAX_REPLY_BYTES (64u << 20)

static int add_basic(csfle_buf *headers, csfle__bytes user_info)
{
  size_t    n    = csfle__base64_len(user_info.len);
  char     *text = csfle__alloc(n + 1);
  csfle_status rc = CSFLE_E_NOMEM;
  if (text) {
    csfle__base64_encode(user_info, text);
    text[n] = 0;
    rc = csfle__buf_printf(headers, NULL, "Authorization: Basic %s\r\n", text);
    csfle__free_secret(text, n + 1);
  }
  return rc == CSFLE_OK ? 0 : fail(EXIT_FAILED, "no memory for a request");
}

/* headers of request.header.NAME and of the bearer properties */
static csfle_status add_configured(registry *r)
{
  static const struct { const char *property, *header; } bearer[] = {
    { "bearer.auth.token", "Authorization: Bearer " }, { "bearer.auth.logical.cluster", "target-sr-cluster: " },
    { "bearer.auth.identity.pool.id", "Confluent-Identity-Pool-Id: " },
  };
  csfle_status rc = CSFLE_OK;
  for (size_t i = 0; i < sizeof bearer / sizeof *bearer && rc == CSFLE_OK; i++) {
    const char *value = csfle__config_given(r->config, bearer[i].property);
    if (value) rc = csfle__buf_printf(&r->headers, NULL, "%s%s\r\n", bearer[i].header, value);
  }
  for (size_t i = 0; i < r->config->count && rc == CSFLE_OK; i++)
    if (strncmp(r->config->at[i].name, "request.header.", 15) == 0)
      rc = csfle__buf_printf(&r->headers, NULL, "%s: %s\r\n", r->config->at[i].name + 15, r->config->at[i].value);
  return rc;
}

static const char *text_of(const csfle_config *c, const char *name)
{
  const char *value = csfle__config_text(c, name);
  return value && *value ? value : NULL;
}

int registry_open(registry *r, const props *p)
{
  csfle__curl_options o   = { .max_reply_bytes = MAX_REPLY_BYTES };
  csfle_error         err = CSFLE_ERROR_INIT;
  char                proxy[300];
  int                 rc;

  *r = (registry){ 0 };
  csfle__io_init(&r->io);
  csfle_buf_init(&r->headers, 65536, CSFLE_BUF_WIPE);
  if ((r->config = props_config(p, NULL, &rc)) == NULL) return rc;
  o.connect_timeout_ms = (uint32_t)csfle__config_int(r->config, "http.connect.timeout.ms");
  o.timeout_ms         = (uint32_t)csfle__config_int(r->config, "http.read.timeout.ms");
  o.tls.ca_file        = text_of(r->config, "schema.registry.ssl.ca.location");
  o.tls.cert_file      = text_of(r->config, "schema.registry.ssl.certificate.location");
  o.tls.key_file       = text_of(r->config, "schema.registry.ssl.key.location");
  o.tls.key_password   = text_of(r->config, "schema.registry.ssl.key.password");
  if (text_of(r->config, "proxy.host")) {
    snprintf(proxy, sizeof proxy, "http://%s:%lld", text_of(r->config, "proxy.host"), (long long)csfle__config_int(r->config, "proxy.port"));
    o.proxy = proxy;
  }
  if (csfle__buf_puts(&r->headers, "Content-Type: " MEDIA_TYPE "\r\nAccept: " MEDIA_TYPE ", application/json\r\n"
                      "Confluent-Accept-Unknown-Properties: true\r\nConfluent-Client-Version: c/" CSFLE_VERSION_TEXT "\r\n", NULL) != CSFLE_OK ||
      add_configured(r) != CSFLE_OK)
    return fail(EXIT_FAILED, "no memory for a request");
  if (text_of(r->config, "basic.auth.user.info")) rc = add_basic(&r->headers, csfle__str(text_of(r->config, "basic.auth.user.info")));
  if (!rc && csfle__curl_new(&r->curl, &o, &err) != CSFLE_OK) rc = fail_with(&err, NULL);
  return rc;
}

void registry_close(registry *r)
{
  if (r->doc) yyjson_doc_free(r->doc);
  csfle__io_free(&r->io);
  csfle_buf_free(&r->headers);
  csfle_config_free(r->config);
  csfle__curl_free(r->curl);
  *r = (registry){ 0 };
}

/* "http://user:password@host/" -> "http://host/" for people, and its user:password for the header */
static csfle__bytes split_user(csfle__bytes url, csfle_buf *shown)
{
  csfle__bytes user = CSFLE__NONE;
  size_t       start = 0, end;
  for (size_t i = 0; i + 2 < url.len && !start; i++)
    if (memcmp(url.ptr + i, "://", 3) == 0) start = i + 3;
  for (end = start; end < url.len && url.ptr[end] != '/'; end++) { }
  for (size_t i = end; i-- > start;)
    if (url.ptr[i] == '@') {
      user = csfle__view(url.ptr + start, i - start);
      break;
    }
  csfle__buf_put(shown, url.ptr, start, NULL);
  csfle__buf_put(shown, url.ptr + start + (user.ptr ? user.len + 1 : 0), url.len - start - (user.ptr ? user.len + 1 : 0), NULL);
  while (shown->len && shown->ptr[shown->len - 1] == '/') shown->len--;
  return user;
}

static int complain(const registry *r, const char *method, const char *path, yyjson_val *body, bool missing_ok)
{
  csfle__bytes message = csfle__json_member_text(body, "message");
  int64_t      code    = 0;
  csfle_error  err     = { .code = CSFLE_E_CONFIG, .http = r->io.reply.status };
  int          rc      = exit_code_of(&err);

  if (rc == EXIT_MISSING && missing_ok) return rc;
  csfle__json_i64(csfle__json_member(body, "error_code"), &code);
  if (message.len && code) return fail(rc, "the registry answers: %.*s (%lld)", CSFLE__FMT(message), (long long)code);
  if (message.len) return fail(rc, "the registry answers: %.*s (status %d)", CSFLE__FMT(message), err.http);
  return fail(rc, "%s %s: the registry answers status %d without a message; is this the address of a schema registry?", method, path, err.http);
}

int registry_call(registry *r, const char *method, const char *path, csfle__bytes body, bool missing_ok, yyjson_val **answer)
{
  csfle__bytes urls = csfle__str(csfle__config_text(r->config, "schema.registry.url")), url;
  char         failure[512] = "";
  csfle_error  err = CSFLE_ERROR_INIT;
  csfle_buf    shown = CSFLE__BUF_INIT;
  int          rc = EXIT_UNAVAILABLE, status = 0;

  *answer = NULL;
  if (r->doc) yyjson_doc_free(r->doc);
  r->doc = NULL;
  csfle_buf_init(&shown, 8192, 0);
  while (rc == EXIT_UNAVAILABLE && csfle__list_next(&urls, &url)) {
    csfle__bytes user;

    csfle__buf_clear(&shown);
    user = split_user(url, &shown);
    csfle__io_reset(&r->io);
    r->io.request.method  = method;
    r->io.request.purpose = "registry";
    r->io.request.has_body = body.ptr != NULL;
    if (csfle__buf_put(&r->io.request.url, shown.ptr, shown.len, &err) != CSFLE_OK || csfle__buf_puts(&r->io.request.url, path, &err) != CSFLE_OK ||
        csfle__buf_put(&r->io.request.headers, r->headers.ptr, r->headers.len, &err) != CSFLE_OK ||
        csfle__buf_put(&r->io.request.body, body.ptr, body.len, &err) != CSFLE_OK || csfle__buf_cstr(&shown) == NULL) {
      rc = fail_with(&err, method);
      goto out;
    }
    if (user.len && (rc = add_basic(&r->io.request.headers, user)) != 0) goto out;
    csfle__send(csfle__curl_transport(r->curl), &r->io);
    status = r->io.reply.status;
    if (status == 0) snprintf(failure, sizeof failure, "%s: %s", csfle__buf_cstr(&shown), r->io.reply.failure);
    else if (status == 502 || status == 503 || status == 504) snprintf(failure, sizeof failure, "%s answers status %d", csfle__buf_cstr(&shown), status);
    else rc = 0;
    if (stop_wanted()) break;
  }
  if (rc) {
    rc = fail(EXIT_UNAVAILABLE, "%s; check that the registry runs there, or name it with -r URL or CSFLE_REGISTRY_URL",
              *failure ? failure : "no registry address");
    goto out;
  }
  if (r->io.reply.body.len) {
    if (csfle__json_parse_secret(&r->doc, csfle__buf_view(&r->io.reply.body), &err) == CSFLE_OK) *answer = yyjson_doc_get_root(r->doc);
    else if (status / 100 == 2) {
      rc = fail(EXIT_FAILED, "%s %s: the answer is no JSON; is %s the address of a schema registry?", method, path, csfle__buf_cstr(&shown));
      goto out;
    }
  }
  if (status / 100 != 2) rc = complain(r, method, path, *answer, missing_ok);
out:
  csfle_buf_free(&shown);
  return rc;
}

int registry_path(csfle_buf *out, const char *pattern, ...)
{
  va_list      ap;
  csfle_status rc = CSFLE_OK;

  csfle__buf_clear(out);
  va_start(ap, pattern);
  for (const char *p = pattern; *p && rc == CSFLE_OK; p++) {
    if (p[0] == '%' && p[1] == 's') {
      rc = csfle__put_path_segment(out, csfle__str(va_arg(ap, const char *)), NULL);
      p++;
    } else {
      rc = csfle__buf_putc(out, (uint8_t)*p, NULL);
    }
  }
  va_end(ap);
  return rc == CSFLE_OK && csfle__buf_cstr(out) ? 0 : fail(EXIT_FAILED, "no memory for a request");
}
