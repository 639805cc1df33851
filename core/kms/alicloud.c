/*
 * alicloud-kms [ENC 4.7]: Encrypt and Decrypt of Alibaba Cloud KMS, signed with ACS3. Credentials are found by
 * alicloud_login.c and kept while the key is open, renewed five minutes before they expire.
 */
#include "core/kms/alicloud.h"
#include "core/base/alloc.h"
#include "core/crypt/digest.h"
#include "core/crypt/random.h"
#include "core/kms/sigv4.h"

#include <stdio.h>

#define RENEW_MS   (5 * 60 * 1000)
#define TIMEOUT_MS 30000

bool csfle__alicloud_transient(const csfle__reply *r, const csfle__http_words *w) { return csfle__http_transient(r) || strncmp(w->code, "Throttling", 10) == 0; }

static bool code_is(const csfle__http_words *w, const char *const *names)
{
  for (; *names; names++)
    if (strstr(w->code, *names)) return true;
  return false;
}

csfle_status csfle__alicloud_fail(const csfle__http_about *about, const csfle__kms_call *call, const csfle__http_words *w, csfle_error *err)
{
  static const char *const gone[] = { "KeyNotFound", "AliasNotFound", "Rejected.Disabled", "Rejected.PendingDeletion", "Rejected.Unavailable", NULL };
  static const char *const denied[] = { "AccessDenied", "Unauthorized", NULL };
  static const char *const nobody[] = { "InvalidAccessKeyId", "InvalidSecurityToken", "Signature", "InvalidTimeStamp", NULL }; /* with 400 and 404 */
  csfle__http_words words = *w;
  char             *quote = strstr(words.message, "server "); /* "... server string to sign is:": the request, and in it token and key material */
  if (quote && strncmp(w->code, "Signature", 9) == 0) *quote = 0;
  csfle_status rc = csfle__http_fail(about, call, &words, err);
  if (call->io.reply.status == 0) return rc;
  if (code_is(w, gone)) rc = CSFLE_E_KEY_GONE;
  else if (code_is(w, denied)) rc = CSFLE_E_FORBIDDEN;
  else if (code_is(w, nobody)) rc = CSFLE_E_UNAUTHENTICATED;
  else if (strncmp(w->code, "Throttling", 10) == 0) rc = CSFLE_E_THROTTLED;
  if (err) err->code = rc;
  return rc;
}

csfle_status csfle__alicloud_nonce(char out[33], csfle_error *err)
{
  uint8_t raw[16];
  if (csfle__random_fill(raw, sizeof raw) != 1) return csfle__fail(err, CSFLE_E_INTERNAL, "no random bytes");
  for (size_t i = 0; i < sizeof raw; i++) snprintf(out + 2 * i, 3, "%02x", raw[i]);
  return CSFLE_OK;
}

/* ---- opening */

static int hex(uint8_t c) { return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1; }

/* <region>/<percent-encoded key> */
static bool parse_id(csfle__alicloud *a)
{
  char  *slash = strchr(a->id, '/');
  size_t n = slash ? (size_t)(slash - a->id) : 0, out = 0;
  if (n == 0 || n > 40 || !slash[1]) return false;
  for (size_t i = 0; i < n; i++)
    if (!((a->id[i] >= 'a' && a->id[i] <= 'z') || (a->id[i] >= '0' && a->id[i] <= '9') || a->id[i] == '-')) return false;
  for (const char *p = slash + 1; *p; p++) {
    int c = (uint8_t)*p;
    if (c == '%') {
      int h = hex((uint8_t)p[1]), l = h < 0 ? -1 : hex((uint8_t)p[2]);
      if (l < 0) return false;
      c = h * 16 + l, p += 2;
    }
    if (c <= ' ' || c >= 0x7f) return false;
    a->key[out++] = (char)c;
  }
  a->key[out] = 0;
  snprintf(a->host[0], sizeof a->host[0], "kms.%.*s.aliyuncs.com", (int)n, a->id);
  snprintf(a->host[1], sizeof a->host[1], "kms-vpc.%.*s.aliyuncs.com", (int)n, a->id);
  snprintf(a->sts, sizeof a->sts, "sts.%.*s.aliyuncs.com", (int)n, a->id);
  return true;
}

static void ali_close(csfle__kms *kms)
{
  csfle__alicloud *a = (csfle__alicloud *)kms;
  for (size_t i = 0; i < CSFLE__ALI_PROPS; i++) csfle__secret_wipe(&a->props[i]);
  csfle__hosts_close(&a->hosts);
  csfle__free(a->id), csfle__free(a->key);
  csfle__sessions_free(&a->sessions);
  csfle__free(a);
}

static csfle_status read_props(csfle__alicloud *a, const csfle__kms_props *props, csfle_error *err)
{
  static const char *const names[CSFLE__ALI_PROPS] = { "endpoint", "caFile", "credentialType", "accessKeyId", "accessKeySecret", "securityToken", "roleArn", "roleSessionName",
                                                       "roleSessionExpiration", "policy", "stsEndpoint", "externalId" };
  static const char *const prefixes[] = { "alicloud.kms.", "rule.executors._default_.param.alicloud.kms." };
  csfle_status             rc = CSFLE_OK;
  for (size_t i = 0; rc == CSFLE_OK && i < CSFLE__ALI_PROPS; i++)
    for (size_t j = 0; rc == CSFLE_OK && j < 2 && !a->props[i].len; j++) {
      char name[96];
      snprintf(name, sizeof name, "%s%s", prefixes[j], names[i]);
      const char *v = csfle__kms_prop(props, name), *own = csfle__kms_own_prop(props, name);
      if (!v || !*v) v = own;
      if (!v || !*v) continue;
      a->own[i] = own && strcmp(own, v) == 0;
      rc = csfle__secret_copy(&a->props[i], csfle__str(v), err);
    }
  return rc;
}

static csfle_status ali_open(csfle__kms **out, const csfle__kms_props *props, csfle__bytes key_id, csfle_error *err)
{
  csfle__alicloud  *a = csfle__calloc(1, sizeof *a);
  csfle_status rc;
  if (!a) return csfle__nomem(err);
  csfle__sessions_init(&a->sessions);
  a->id = csfle__dup(key_id.len ? (const void *)key_id.ptr : "", key_id.len);
  a->key = csfle__alloc(key_id.len + 1);
  rc = a->id && a->key ? CSFLE_OK : csfle__nomem(err);
  if (rc == CSFLE_OK && (strlen(a->id) != key_id.len || !parse_id(a)))
    rc = csfle__kms_bad_key_id("alicloud-kms", key_id, "<region>/<key id, alias or ARN, percent-encoded>", err);
  a->defaults[0] = a->host[0], a->defaults[1] = a->host[1], a->defaults[2] = "sts.aliyuncs.com", a->defaults[3] = a->sts;
  if (rc == CSFLE_OK) rc = csfle__hosts_open(&a->hosts, props, a->defaults, err);
  if (rc == CSFLE_OK) rc = read_props(a, props, err);
  if (rc != CSFLE_OK) ali_close(&a->base);
  else *out = &a->base;
  return rc;
}

/* ---- one call */

typedef struct work {
  int                line;
  unsigned           tries;
  bool               cached, renewed;
  csfle__session     session;
  csfle__alicloud_login   login;
  csfle__http_tls         tls;
} work;

static void free_work(void *p)
{
  work *w = p;
  csfle__session_wipe(&w->session);
  csfle__alicloud_login_free(&w->login);
  csfle__http_tls_free(&w->tls);
  csfle__free(w);
}

static csfle_status sign(work *w, csfle__kms_call *call, csfle_error *err)
{
  csfle__io   *io = &call->io;
  char         date[32], nonce[33], body[65] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"; /* SHA-256 of nothing */
  csfle__bytes id = csfle__secret_view(&w->session.id), token = csfle__secret_view(&w->session.token);
  csfle_status rc = csfle__alicloud_nonce(nonce, err);
  csfle__time_format(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", call->now_ms);
  if (rc == CSFLE_OK) rc = csfle__http_header(io, "x-acs-action", csfle__str(call->unwrap ? "Decrypt" : "Encrypt"), err);
  if (rc == CSFLE_OK) rc = csfle__http_header(io, "x-acs-version", CSFLE__LIT("2016-01-20"), err);
  if (rc == CSFLE_OK) rc = csfle__http_header(io, "x-acs-date", csfle__str(date), err);
  if (rc == CSFLE_OK) rc = csfle__http_header(io, "x-acs-signature-nonce", csfle__str(nonce), err);
  if (rc == CSFLE_OK) rc = csfle__http_header(io, "x-acs-content-sha256", csfle__str(body), err);
  if (rc == CSFLE_OK && token.len) rc = csfle__http_header(io, "x-acs-accesskey-id", id, err);
  if (rc == CSFLE_OK && token.len) rc = csfle__http_header(io, "x-acs-security-token", token, err);
  return rc == CSFLE_OK ? csfle__acs3_sign(id, csfle__secret_view(&w->session.key), &io->request, NULL, NULL, err) : rc;
}

static csfle_status build(csfle__alicloud *a, work *w, csfle__kms_call *call, csfle_error *err)
{
  csfle__request *r = &call->io.request;
  csfle__bytes    e = csfle__secret_view(&w->session.endpoint);
  csfle_buf       b64;
  csfle__http_start(&call->io, "POST", TIMEOUT_MS);
  csfle_status rc = csfle__http_tls_set(&w->tls, CSFLE__TLS_CA, csfle__secret_view(&w->session.ca_file), err);
  if (rc != CSFLE_OK) return rc;
  r->has_body = true; /* an empty one */
  r->tls = w->tls.any ? &w->tls.tls : NULL;
  while (e.len && e.ptr[e.len - 1] == '/') e.len--;
  bool         plain = e.len > 7 && (csfle__starts(e, CSFLE__LIT("http://")) || csfle__starts(e, CSFLE__LIT("https://")));
  rc = e.len ? csfle__buf_printf(&r->url, err, "%s%.*s/?", plain ? "" : "https://", CSFLE__FMT(e)) : csfle__buf_printf(&r->url, err, "https://%s/?", a->host[0]);
  if (rc == CSFLE_OK) rc = csfle__hosts_check(&a->hosts, e.len && w->session.own_endpoint ? CSFLE__HOST_OWN : CSFLE__HOST_KMS, r, err);
  if (rc == CSFLE_OK && call->unwrap) rc = csfle__http_form(&r->url, "CiphertextBlob", call->in, err); /* the vendor's text, as it gave it */
  else if (rc == CSFLE_OK) {
    csfle_buf_init(&b64, 0, CSFLE_BUF_WIPE);
    rc = csfle__http_base64(&b64, call->in, err);
    if (rc == CSFLE_OK) rc = csfle__http_form(&r->url, "KeyId", csfle__str(a->key), err);
    if (rc == CSFLE_OK) rc = csfle__http_form(&r->url, "Plaintext", csfle__buf_view(&b64), err);
    csfle_buf_free(&b64);
  }
  return rc == CSFLE_OK ? sign(w, call, err) : rc;
}

/* An alias names a key of another id; else it is the id itself, or what an ARN ends with. [ENC-98] */
static bool right_key(const csfle__alicloud *a, csfle__bytes answered)
{
  const char *last = a->key, *at;
  if (strncmp(a->key, "alias/", 6) == 0 || strstr(a->key, ":alias/")) return true;
  while ((at = strstr(last, ":key/"))) last = at + 5;
  return csfle__eq_str(answered, a->key) || csfle__eq_str(answered, last);
}

static csfle_status take(const csfle__alicloud *a, csfle__kms_call *call, const csfle__http_about *about, csfle_error *err)
{
  yyjson_doc  *doc = NULL;
  csfle_status rc = csfle__json_parse_secret(&doc, csfle__buf_view(&call->io.reply.body), err);
  if (rc == CSFLE_E_NOMEM) return rc;
  if (rc != CSFLE_OK) return csfle__http_failf(about, CSFLE_E_UNAVAILABLE, err, "answer is not JSON");
  yyjson_val  *root = yyjson_doc_get_root(doc);
  csfle__bytes text = csfle__json_member_text(root, call->unwrap ? "Plaintext" : "CiphertextBlob");
  if (!call->unwrap) rc = text.len ? csfle__secret_copy(&call->out, text, err) : csfle__http_failf(about, CSFLE_E_UNAVAILABLE, err, "answer has no CiphertextBlob");
  else if (!right_key(a, csfle__json_member_text(root, "KeyId"))) rc = csfle__http_failf(about, CSFLE_E_DECRYPT, err, "decryption failed: wrong key id");
  else if (!csfle__http_unbase64(text, &call->out, &rc))
    rc = rc == CSFLE_E_NOMEM ? csfle__nomem(err) : csfle__http_failf(about, CSFLE_E_UNAVAILABLE, err, "answer has no Plaintext in base64");
  yyjson_doc_free(doc);
  return rc;
}

static csfle__next ali_step(csfle__kms *kms, csfle__kms_call *call, csfle_error *err)
{
  csfle__alicloud       *a = (csfle__alicloud *)kms;
  work             *w = csfle__kms_work(call, sizeof *w, free_work, err);
  csfle__http_about about = { "alicloud-kms", csfle__str(a->id), call->unwrap ? "Decrypt" : "Encrypt" };
  csfle__http_words words;
  csfle__next       next;

  if (!w) return CSFLE__FAIL;
  CSFLE__BEGIN(w);
login:
  CSFLE__KMS_SESSION(w, kms, call, next, csfle__sessions_get(&a->sessions, call->now_ms, RENEW_MS, &w->session, &w->cached, err), err);
  if (!w->cached) {
    if (next == CSFLE__DONE) CSFLE__AWAIT(w, next, csfle__alicloud_login_step(a, &w->login, call, err));
    if (next == CSFLE__DONE) {
      if (csfle__sessions_put(&a->sessions, &w->login.got, &w->session, err) != CSFLE_OK) return CSFLE__FAIL;
    } else {
      bool old = !w->renewed && !(err && err->code == CSFLE_E_NOMEM) && csfle__sessions_get(&a->sessions, call->now_ms, 0, &w->session, &w->cached, NULL) == CSFLE_OK;
      if (!old || !w->cached) return CSFLE__FAIL;
      csfle__kms_login_end(call, err);
      csfle__ok(err);
    }
    csfle__alicloud_login_free(&w->login);
    csfle__kms_login_end(call, NULL);
  }
again:
  if (build(a, w, call, err) != CSFLE_OK) return CSFLE__FAIL;
  CSFLE__STOP(w, CSFLE__SEND);
  if (call->io.reply.status == 200) {
    csfle_status rc = take(a, call, &about, err);
    csfle__io_reset(&call->io);
    return rc == CSFLE_OK ? CSFLE__DONE : CSFLE__FAIL;
  }
  words = csfle__http_vendor(&call->io.reply);
  if (!w->renewed && w->cached && strncmp(words.code, "InvalidSecurityToken", 20) == 0) {
    w->renewed = true;
    csfle__sessions_drop(&a->sessions, &w->session);
    goto login;
  }
  if (csfle__http_again(call, &w->tries, csfle__alicloud_transient(&call->io.reply, &words))) {
    CSFLE__STOP(w, CSFLE__WAIT);
    goto again;
  }
  csfle__alicloud_fail(&about, call, &words, err);
  csfle__io_reset(&call->io); /* the request has key material in it */
  return CSFLE__FAIL;
  CSFLE__END;
  csfle__fail(err, CSFLE_E_INTERNAL, "alicloud-kms call stepped after its end");
  return CSFLE__FAIL;
}

const csfle__kms_driver csfle__kms_driver_alicloud = { "alicloud-kms", ali_open, ali_step, ali_close };
