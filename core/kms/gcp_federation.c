/* Workload identity federation. See gcp_federation.h. */
#include "core/kms/gcp_federation.h"
#include "core/kms/bearer.h"

#include <stdio.h>

#define TIMEOUT_MS 30000
#define LIFE_S     3600
#define ANY_SCOPE  "https://www.googleapis.com/auth/cloud-platform" /* what a token needs that is to become another's */

void csfle__gcp_federation_free(csfle__gcp_federation *f)
{
  csfle__secret_wipe(&f->subject), csfle__secret_wipe(&f->token);
  memset(f, 0, sizeof *f);
}

static csfle__bytes text_of(yyjson_val *o, const char *name) { return csfle__json_member_text(o, name); }
static yyjson_val  *source_of(yyjson_val *root) { return csfle__json_member(root, "credential_source"); }
static csfle__bytes impersonated(yyjson_val *root) { return text_of(root, "service_account_impersonation_url"); }

const char *csfle__gcp_federation_lacks(yyjson_val *root)
{
  yyjson_val *s = source_of(root), *format = csfle__json_member(s, "format");
  if (!text_of(root, "audience").len || !text_of(root, "subject_token_type").len || !text_of(root, "token_url").len) return "lacks audience, subject_token_type or token_url";
  if (csfle__json_member(root, "workforce_pool_user_project") || csfle__json_member(root, "client_secret")) return "is of a workforce pool, which is not supported";
  if (!text_of(s, "file").len && !text_of(s, "url").len) return "has a credential_source that is neither a file nor a URL";
  if (csfle__eq_str(text_of(format, "type"), "json") && !text_of(format, "subject_token_field_name").len) return "lacks subject_token_field_name";
  return NULL;
}

/* The provider's token out of what a file or URL holds. */
static csfle_status take_subject(csfle__gcp_federation *f, yyjson_val *root, csfle__bytes content, csfle_error *err)
{
  yyjson_val  *format = csfle__json_member(source_of(root), "format");
  yyjson_doc  *doc = NULL;
  csfle__bytes token = csfle__trim(content);
  csfle_status rc = CSFLE_OK;
  if (csfle__eq_str(text_of(format, "type"), "json")) {
    char name[128];
    snprintf(name, sizeof name, "%.*s", CSFLE__FMT(text_of(format, "subject_token_field_name")));
    rc = csfle__json_parse_secret(&doc, content, err);
    if (rc == CSFLE_E_NOMEM) return rc;
    token = rc == CSFLE_OK ? text_of(yyjson_doc_get_root(doc), name) : CSFLE__NONE;
  }
  rc = token.len ? csfle__secret_copy(&f->subject, token, err) : csfle__fail(err, CSFLE_E_CONFIG, "gcp-kms: the credential_source has no token of the identity provider");
  yyjson_doc_free(doc);
  return rc;
}

static csfle_status ask_subject(yyjson_val *root, const csfle__hosts *hosts, csfle__kms_call *call, csfle_error *err)
{
  yyjson_val  *s = source_of(root), *headers = csfle__json_member(s, "headers"), *name, *value;
  size_t       i, n;
  csfle__bytes url = text_of(s, "url");
  csfle__http_start(&call->io, "GET", TIMEOUT_MS);
  call->io.request.purpose = "metadata";
  csfle_status rc = csfle__buf_put(&call->io.request.url, url.ptr, url.len, err);
  if (rc == CSFLE_OK) rc = csfle__hosts_check(hosts, CSFLE__HOST_OWN, &call->io.request, err);
  if (!yyjson_is_obj(headers)) return rc;
  yyjson_obj_foreach(headers, i, n, name, value)
  {
    csfle__bytes h = csfle__json_text(name);
    if (rc == CSFLE_OK && (!h.len || !csfle__http_printable(h) || memchr(h.ptr, ':', h.len))) rc = csfle__fail(err, CSFLE_E_CONFIG, "gcp-kms: credential_source has a header without a proper name");
    if (rc == CSFLE_OK) rc = csfle__http_header(&call->io, (const char *)h.ptr, csfle__json_text(value), err);
  }
  return rc;
}

static csfle_status ask_exchange(csfle__gcp_federation *f, yyjson_val *root, const csfle__hosts *hosts, const char *scope, csfle__kms_call *call, csfle_error *err)
{
  csfle__request *r = &call->io.request;
  csfle__bytes    url = text_of(root, "token_url");
  csfle__http_start(&call->io, "POST", TIMEOUT_MS);
  r->purpose = "sts", r->has_body = true;
  csfle_status rc = csfle__buf_put(&r->url, url.ptr, url.len, err);
  if (rc == CSFLE_OK) rc = csfle__hosts_check(hosts, CSFLE__HOST_OWN, r, err);
  if (rc == CSFLE_OK) rc = csfle__http_header(&call->io, "Content-Type", CSFLE__LIT("application/x-www-form-urlencoded"), err);
  if (rc == CSFLE_OK) rc = csfle__http_form(&r->body, "grant_type", CSFLE__LIT("urn:ietf:params:oauth:grant-type:token-exchange"), err);
  if (rc == CSFLE_OK) rc = csfle__http_form(&r->body, "audience", text_of(root, "audience"), err);
  if (rc == CSFLE_OK) rc = csfle__http_form(&r->body, "scope", impersonated(root).len ? CSFLE__LIT(ANY_SCOPE) : csfle__str(scope), err);
  if (rc == CSFLE_OK) rc = csfle__http_form(&r->body, "requested_token_type", CSFLE__LIT("urn:ietf:params:oauth:token-type:access_token"), err);
  if (rc == CSFLE_OK) rc = csfle__http_form(&r->body, "subject_token_type", text_of(root, "subject_token_type"), err);
  return rc == CSFLE_OK ? csfle__http_form(&r->body, "subject_token", csfle__secret_view(&f->subject), err) : rc;
}

static csfle_status ask_impersonation(csfle__gcp_federation *f, yyjson_val *root, const csfle__hosts *hosts, const char *scope, csfle__kms_call *call, csfle_error *err)
{
  csfle__request *r = &call->io.request;
  csfle__bytes    url = impersonated(root);
  int64_t         life;
  csfle_buf       auth;
  if (!csfle__bearer_number(csfle__json_member(root, "service_account_impersonation"), "token_lifetime_seconds", &life)) life = LIFE_S;
  csfle__http_start(&call->io, "POST", TIMEOUT_MS);
  r->purpose = "sts", r->has_body = true;
  csfle_status rc = csfle__buf_put(&r->url, url.ptr, url.len, err);
  if (rc == CSFLE_OK) rc = csfle__hosts_check(hosts, CSFLE__HOST_OWN, r, err);
  csfle_buf_init(&auth, 0, CSFLE_BUF_WIPE);
  if (rc == CSFLE_OK) rc = csfle__buf_printf(&auth, err, "Bearer %.*s", CSFLE__FMT(csfle__secret_view(&f->token)));
  if (rc == CSFLE_OK) rc = csfle__http_header(&call->io, "Authorization", csfle__buf_view(&auth), err);
  csfle_buf_free(&auth);
  if (rc == CSFLE_OK) rc = csfle__http_header(&call->io, "Content-Type", CSFLE__LIT("application/json"), err);
  return rc == CSFLE_OK ? csfle__buf_printf(&r->body, err, "{\"scope\":[\"%s\"],\"lifetime\":\"%llds\"}", scope, (long long)life) : rc;
}

static csfle_status take_token(csfle__gcp_federation *f, const csfle__kms_call *call, const csfle__http_about *about, bool exchanged, csfle_error *err)
{
  yyjson_doc  *doc = NULL;
  int64_t      life;
  csfle_status rc = csfle__json_parse_secret(&doc, csfle__buf_view(&call->io.reply.body), err);
  if (rc == CSFLE_E_NOMEM) return rc;
  yyjson_val  *root = doc ? yyjson_doc_get_root(doc) : NULL;
  csfle__bytes token = text_of(root, exchanged ? "access_token" : "accessToken");
  f->ends_ms = call->now_ms;
  if (exchanged && csfle__bearer_number(root, "expires_in", &life) && life > 0 && life < 100 * 86400) f->ends_ms += life * 1000;
  else if (!exchanged && csfle__time_iso(text_of(root, "expireTime"), &life)) f->ends_ms = life;
  rc = token.len && csfle__http_printable(token) ? csfle__secret_copy(&f->token, token, err) : csfle__http_failf(about, CSFLE_E_UNAVAILABLE, err, "answer has no access token");
  yyjson_doc_free(doc);
  return rc;
}

static csfle__next give_up(csfle__kms_call *call, const csfle__http_about *about, const csfle__http_words *words, csfle_error *err)
{
  csfle__http_fail(about, call, words, err);
  if (err && err->code == CSFLE_E_DECRYPT) err->code = CSFLE_E_UNAUTHENTICATED;
  csfle__io_reset(&call->io);
  return CSFLE__FAIL;
}

csfle__next csfle__gcp_federation_step(csfle__gcp_federation *f, yyjson_val *root, const csfle__hosts *hosts, csfle__bytes key_id, const char *scope, csfle__kms_call *call, csfle_error *err)
{
  csfle__io        *io = &call->io;
  csfle__http_about about = { "gcp-kms", key_id, "subject token" };
  csfle__http_words words = { "", "" };

  CSFLE__BEGIN(f);
  if (text_of(source_of(root), "file").len) {
    int n = snprintf(f->path, sizeof f->path, "%.*s", CSFLE__FMT(text_of(source_of(root), "file")));
    if (n > 0 && (size_t)n < sizeof f->path) CSFLE__KMS_NEED(f, io, CSFLE__NEED_FILE, f->path);
    if (!io->need_value.len) {
      csfle__fail(err, CSFLE_E_CONFIG, "gcp-kms: the file '%.200s' of credential_source cannot be read or is empty", f->path);
      return CSFLE__FAIL;
    }
    if (take_subject(f, root, csfle__secret_view(&io->need_value), err) != CSFLE_OK) return CSFLE__FAIL;
  } else {
  subject:
    if (ask_subject(root, hosts, call, err) != CSFLE_OK) return CSFLE__FAIL;
    CSFLE__STOP(f, CSFLE__SEND);
    if (io->reply.status != 200) {
      if (!csfle__http_again(call, &f->tries, csfle__http_transient(&io->reply))) return give_up(call, &about, &words, err); /* whose words these are nobody knows */
      CSFLE__STOP(f, CSFLE__WAIT);
      goto subject;
    }
    if (take_subject(f, root, csfle__buf_view(&io->reply.body), err) != CSFLE_OK) return CSFLE__FAIL;
  }
  f->tries = 0;
exchange:
  if (ask_exchange(f, root, hosts, scope, call, err) != CSFLE_OK) return CSFLE__FAIL;
  CSFLE__STOP(f, CSFLE__SEND);
  about.operation = "token exchange";
  if (io->reply.status != 200) {
    words = csfle__http_vendor(&io->reply);
    if (!csfle__http_again(call, &f->tries, csfle__http_transient(&io->reply))) return give_up(call, &about, &words, err);
    CSFLE__STOP(f, CSFLE__WAIT);
    goto exchange;
  }
  if (take_token(f, call, &about, true, err) != CSFLE_OK) return CSFLE__FAIL;
  if (impersonated(root).len) {
    f->tries = 0;
  impersonation:
    if (ask_impersonation(f, root, hosts, scope, call, err) != CSFLE_OK) return CSFLE__FAIL;
    CSFLE__STOP(f, CSFLE__SEND);
    about.operation = "generateAccessToken";
    if (io->reply.status != 200) {
      words = csfle__http_vendor(&io->reply);
      if (!csfle__http_again(call, &f->tries, csfle__http_transient(&io->reply))) return give_up(call, &about, &words, err);
      CSFLE__STOP(f, CSFLE__WAIT);
      goto impersonation;
    }
    if (take_token(f, call, &about, false, err) != CSFLE_OK) return CSFLE__FAIL;
  }
  csfle__io_reset(io);
  return CSFLE__DONE;
  CSFLE__END;
  csfle__fail(err, CSFLE_E_INTERNAL, "gcp-kms federation stepped after its end");
  return CSFLE__FAIL;
}
