/*
 * azure-kms [ENC 4.4]: encrypt and decrypt of Azure Key Vault with RSA-OAEP-256. Tokens come from a client secret, a
 * certificate, a federated token or a managed identity and are kept until five minutes before they end. Key ids without a version are
 * resolved first [ENC-91]; with encrypt.azure.key.version.save the version goes in front of what is stored.
 */
#include "core/base/alloc.h"
#include "core/kms/azure.h"
#include "core/kms/bearer.h"

#include <stdio.h>

#define TIMEOUT_MS   30000
#define METADATA_MS  2000
#define MARGIN_MS    (5 * 60 * 1000)
#define API          "api-version=7.4"
#define HEADER       "azure:v1:"
#define VERSION_LEN  32
#define HEADER_LEN   (sizeof HEADER - 1 + VERSION_LEN + 1)

enum { TENANT, CLIENT, SECRET, CERTIFICATE, PASSWORD, FEDERATED, AUTHORITY, ENDPOINT, ENDPOINT_HEADER, METADATA, SETTINGS };
enum { PROPS = 3 }; /* the first three are properties too */
static const char *const properties[PROPS] = { "tenant.id", "client.id", "client.secret" };
static const char *const variables[SETTINGS] = { "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH",
                                                 "AZURE_CLIENT_CERTIFICATE_PASSWORD",
                                                 "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "AZURE_POD_IDENTITY_AUTHORITY_HOST" };
static const char *const own_hosts[] = { "*.vault.azure.net", "*.vault.azure.cn", "*.vault.usgovcloudapi.net", "*.managedhsm.azure.net", "*.managedhsm.azure.cn",
                                         "*.managedhsm.usgovcloudapi.net", "login.microsoftonline.com", "login.microsoftonline.us", "login.chinacloudapi.cn",
                                         "login.partner.microsoftonline.cn", NULL };

typedef struct azure {
  csfle__kms    base;
  csfle__hosts  hosts;
  char         *key_id;
  csfle__bytes  root, host, name, version; /* views into key_id; version empty: none is pinned */
  bool          save;
  csfle__secret props[PROPS];
  csfle__bearer session;
  csfle__secret resource; /* whose tokens the vault wants, "https://vault.azure.net"; under session.lock */
} azure;

/* ---- key ids */

static bool all(csfle__bytes b, bool (*is)(uint8_t c))
{
  for (size_t i = 0; i < b.len; i++)
    if (!is(b.ptr[i])) return false;
  return b.len != 0;
}
static bool is_hex(uint8_t c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
static bool is_name(uint8_t c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-'; }
static bool is_version(csfle__bytes v) { return v.len == VERSION_LEN && all(v, is_hex); }

/* <url>/keys/<name>[/<version>] of a key; its parts are views */
static bool parse_key_id(csfle__bytes id, csfle__bytes *root, csfle__bytes *host, csfle__bytes *name, csfle__bytes *version)
{
  csfle__url u;
  if (!csfle__url_parse(&u, id) || !csfle__starts(u.rest, CSFLE__LIT("/keys/"))) return false;
  csfle__bytes   rest = csfle__from(u.rest, 6);
  const uint8_t *slash = rest.len ? memchr(rest.ptr, '/', rest.len) : NULL;
  *root = csfle__view(id.ptr, (size_t)(u.rest.ptr - id.ptr));
  *host = u.host;
  *name = slash ? csfle__view(rest.ptr, (size_t)(slash - rest.ptr)) : rest;
  *version = slash ? csfle__from(rest, name->len + 1) : CSFLE__NONE;
  return all(*name, is_name) && (!slash || all(*version, is_name));
}

static void azure_close(csfle__kms *kms)
{
  azure *a = (azure *)kms;
  for (size_t i = 0; i < PROPS; i++) csfle__secret_wipe(&a->props[i]);
  csfle__secret_wipe(&a->resource);
  csfle__bearer_free(&a->session);
  csfle__hosts_close(&a->hosts);
  csfle__free(a->key_id);
  csfle__free(a);
}

/* The resource of the cloud whose vault this is; the public one for any other host until its challenge says another */
static csfle_status guess_resource(azure *a, csfle_error *err)
{
  csfle_buf    b;
  csfle__bytes suffix = CSFLE__LIT("vault.azure.net");
  for (size_t i = 0; i < 6; i++) {
    csfle__bytes s = csfle__str(own_hosts[i] + 1);
    if (a->host.len > s.len && csfle__eq_nocase(csfle__from(a->host, a->host.len - s.len), s)) suffix = csfle__from(s, 1);
  }
  csfle_buf_init(&b, 0, 0);
  csfle_status rc = csfle__buf_printf(&b, err, "https://%.*s", CSFLE__FMT(suffix));
  if (rc == CSFLE_OK) rc = csfle__secret_copy(&a->resource, csfle__buf_view(&b), err);
  csfle_buf_free(&b);
  return rc;
}

static csfle_status azure_open(csfle__kms **out, const csfle__kms_props *props, csfle__bytes key_id, csfle_error *err)
{
  azure *a = csfle__calloc(1, sizeof *a);
  if (!a) return csfle__nomem(err);
  csfle__bearer_init(&a->session);
  a->key_id = csfle__dup(key_id.ptr ? (const void *)key_id.ptr : "", key_id.len);
  csfle_status rc = a->key_id ? csfle__hosts_open(&a->hosts, props, own_hosts, err) : csfle__nomem(err);
  if (rc == CSFLE_OK && (strlen(a->key_id) != key_id.len || !parse_key_id(csfle__str(a->key_id), &a->root, &a->host, &a->name, &a->version)))
    rc = csfle__fail(err, CSFLE_E_CONFIG, "Invalid Azure Key Vault key id: %.*s: expected https://<vault host>/keys/<name>[/<version>]",
                     key_id.len > 120 ? 120 : (int)key_id.len, key_id.len ? (const char *)key_id.ptr : "");
  a->save = csfle__truthy(csfle__str(csfle__kms_prop(props, "encrypt.azure.key.version.save")));
  if (rc == CSFLE_OK) rc = csfle__kms_read_props(a->props, properties, PROPS, props, err);
  if (rc == CSFLE_OK && a->save && a->version.len && !is_version(a->version))
    rc = csfle__fail(err, CSFLE_E_CONFIG, "azure-kms: encrypt.azure.key.version.save needs a version of 32 hex digits, the key id has '%.*s'", (int)(a->version.len > 64 ? 64 : a->version.len), (const char *)a->version.ptr);
  if (rc == CSFLE_OK) rc = guess_resource(a, err);
  if (rc != CSFLE_OK) azure_close(&a->base);
  else *out = &a->base;
  return rc;
}

/* ---- one call */

typedef struct work {
  int           line;
  unsigned      tries;
  size_t        i;
  bool          asked, cached, renewed, local; /* local: the token comes from the metadata service */
  csfle__bytes  version, payload;              /* views: into the key id, the call's input, or `resolved` */
  char          resolved[80], path[1024];
  csfle__secret set[SETTINGS], assertion, token, resource;
} work;

static void free_work(void *p)
{
  work *w = p;
  for (size_t i = 0; i < SETTINGS; i++) csfle__secret_wipe(&w->set[i]);
  csfle__secret_wipe(&w->assertion), csfle__secret_wipe(&w->token), csfle__secret_wipe(&w->resource);
  csfle__free(w);
}

static csfle__bytes set(const work *w, int i) { return csfle__secret_view(&w->set[i]); }

/* Which of them an application has, in the order in which they count: its secret, certificate or federated token; SETTINGS: none */
static int proof(const work *w)
{
  static const int order[] = { SECRET, CERTIFICATE, FEDERATED };
  for (size_t i = 0; i < 3 && set(w, TENANT).len && set(w, CLIENT).len; i++)
    if (set(w, order[i]).len) return order[i];
  return SETTINGS;
}

/* What is in w->assertion is the token itself, or certificate and key to make one with */
static csfle_status put_assertion(const work *w, csfle__kms_call *call, csfle_error *err)
{
  csfle__request *r = &call->io.request;
  csfle_buf       made;
  csfle_status    rc = csfle__http_form(&r->body, "client_assertion_type", CSFLE__LIT("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), err);
  if (rc != CSFLE_OK) return rc;
  if (proof(w) == FEDERATED) return csfle__http_form(&r->body, "client_assertion", csfle__trim(csfle__secret_view(&w->assertion)), err);
  csfle_buf_init(&made, 0, CSFLE_BUF_WIPE);
  rc = csfle__azure_assertion(&made, csfle__secret_view(&w->assertion), set(w, PASSWORD), set(w, CLIENT), csfle__buf_view(&r->url), call->now_ms / 1000, err);
  if (rc == CSFLE_OK) rc = csfle__http_form(&r->body, "client_assertion", csfle__buf_view(&made), err);
  else if (rc == CSFLE_E_CONFIG) csfle__where(err, "azure-kms: %s", w->path);
  csfle_buf_free(&made);
  return rc;
}

static csfle_status put_resource(csfle_buf *b, const char *name, const work *w, const char *more, csfle_error *err)
{
  csfle_status rc = csfle__http_form(b, name, csfle__secret_view(&w->resource), err);
  return rc == CSFLE_OK ? csfle__http_encode(b, csfle__str(more), err) : rc;
}

/* http-13, http-17; http-16, whose host Microsoft's SDKs let AZURE_POD_IDENTITY_AUTHORITY_HOST replace, and App Service */
static csfle_status build_login(const azure *a, work *w, csfle__kms_call *call, csfle_error *err)
{
  csfle__request *r = &call->io.request;
  csfle_buf      *b = &r->body;
  csfle_status    rc;
  bool            env = set(w, ENDPOINT).len && set(w, ENDPOINT_HEADER).len;
  csfle__bytes    base = set(w, METADATA).len ? set(w, METADATA) : CSFLE__LIT("http://169.254.169.254");
  if (proof(w) != SETTINGS) {
    csfle__bytes host = set(w, AUTHORITY);
    bool         scheme = csfle__starts(host, CSFLE__LIT("https://")) || csfle__starts(host, CSFLE__LIT("http://"));
    while (host.len && host.ptr[host.len - 1] == '/') host.len--;
    csfle__http_start(&call->io, "POST", TIMEOUT_MS);
    r->purpose = "oauth", r->has_body = true;
    rc = host.len ? csfle__buf_printf(&r->url, err, "%s%.*s/", scheme ? "" : "https://", CSFLE__FMT(host)) : csfle__buf_puts(&r->url, "https://login.microsoftonline.com/", err);
    if (rc == CSFLE_OK) rc = csfle__http_encode(&r->url, set(w, TENANT), err);
    if (rc == CSFLE_OK) rc = csfle__buf_puts(&r->url, "/oauth2/v2.0/token", err);
    if (rc == CSFLE_OK) rc = csfle__hosts_check(&a->hosts, host.len ? CSFLE__HOST_OWN : CSFLE__HOST_LOGIN, r, err);
    if (rc == CSFLE_OK) rc = csfle__http_header(&call->io, "Content-Type", CSFLE__LIT("application/x-www-form-urlencoded"), err);
    if (rc == CSFLE_OK) rc = csfle__http_form(b, "client_id", set(w, CLIENT), err);
    if (rc == CSFLE_OK) rc = proof(w) == SECRET ? csfle__http_form(b, "client_secret", set(w, SECRET), err) : put_assertion(w, call, err);
    if (rc == CSFLE_OK) rc = put_resource(b, "scope", w, "/.default", err);
    return rc == CSFLE_OK ? csfle__http_form(b, "grant_type", CSFLE__LIT("client_credentials"), err) : rc;
  }
  csfle__http_start(&call->io, "GET", env ? TIMEOUT_MS : METADATA_MS);
  r->purpose = "metadata";
  w->local = !env;
  while (base.ptr[base.len - 1] == '/' && base.len > 1) base.len--;
  rc = env ? csfle__buf_printf(&r->url, err, "%.*s?api-version=2019-08-01", CSFLE__FMT(set(w, ENDPOINT)))
           : csfle__buf_printf(&r->url, err, "%.*s/metadata/identity/oauth2/token?api-version=2018-02-01", CSFLE__FMT(base));
  if (rc == CSFLE_OK) rc = put_resource(&r->url, "resource", w, "", err);
  if (rc == CSFLE_OK && set(w, CLIENT).len) rc = csfle__http_form(&r->url, "client_id", set(w, CLIENT), err);
  if (rc == CSFLE_OK) rc = csfle__hosts_check(&a->hosts, env || set(w, METADATA).len ? CSFLE__HOST_OWN : CSFLE__HOST_LOCAL, r, err);
  if (rc != CSFLE_OK) return rc;
  return env ? csfle__http_header(&call->io, "X-IDENTITY-HEADER", set(w, ENDPOINT_HEADER), err) : csfle__http_header(&call->io, "Metadata", CSFLE__LIT("true"), err);
}

/* Asks for the key as long as its version is not known, else encrypts or decrypts */
static csfle_status build(const azure *a, const work *w, csfle__kms_call *call, csfle_error *err)
{
  csfle__request *r = &call->io.request;
  bool            get = !w->version.len;
  csfle_buf       auth;
  csfle__http_start(&call->io, get ? "GET" : "POST", TIMEOUT_MS);
  r->has_body = !get;
  csfle_status rc = csfle__buf_printf(&r->url, err, "%.*s/keys/%.*s", CSFLE__FMT(a->root), CSFLE__FMT(a->name));
  if (rc == CSFLE_OK && !get) rc = csfle__buf_printf(&r->url, err, "/%.*s/%s", CSFLE__FMT(w->version), call->unwrap ? "decrypt" : "encrypt");
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&r->url, "?" API, err);
  if (rc == CSFLE_OK) rc = csfle__hosts_check(&a->hosts, CSFLE__HOST_KMS, r, err);
  csfle_buf_init(&auth, 0, CSFLE_BUF_WIPE);
  if (rc == CSFLE_OK) rc = csfle__buf_printf(&auth, err, "Bearer %.*s", CSFLE__FMT(csfle__secret_view(&w->token)));
  if (rc == CSFLE_OK) rc = csfle__http_header(&call->io, "Authorization", csfle__buf_view(&auth), err);
  csfle_buf_free(&auth);
  if (rc != CSFLE_OK || get) return rc;
  rc = csfle__http_header(&call->io, "Content-Type", CSFLE__LIT("application/json"), err);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&r->body, "{\"alg\":\"RSA-OAEP-256\",\"value\":\"", err);
  if (rc == CSFLE_OK) rc = csfle__http_base64url(&r->body, w->payload, err);
  return rc == CSFLE_OK ? csfle__buf_puts(&r->body, "\"}", err) : rc;
}

static csfle_status take_version(work *w, const csfle__kms_call *call, const csfle__http_about *about, csfle_error *err)
{
  yyjson_doc  *doc = NULL;
  csfle__bytes root, host, name, version = CSFLE__NONE;
  csfle_status rc = csfle__json_parse(&doc, csfle__buf_view(&call->io.reply.body), err);
  if (rc == CSFLE_E_NOMEM) return rc;
  csfle__bytes kid = csfle__json_member_text(csfle__json_member(doc ? yyjson_doc_get_root(doc) : NULL, "key"), "kid");
  rc = CSFLE_OK;
  if (!parse_key_id(kid, &root, &host, &name, &version) || !is_version(version)) rc = csfle__http_failf(about, CSFLE_E_UNAVAILABLE, err, "answer has no key.kid with a version of 32 hex digits");
  else memcpy(w->resolved, version.ptr, version.len), w->version = csfle__view(w->resolved, version.len);
  yyjson_doc_free(doc);
  return rc;
}

static csfle_status take(const azure *a, const work *w, csfle__kms_call *call, const csfle__http_about *about, csfle_error *err)
{
  yyjson_doc   *doc = NULL;
  csfle__secret text = CSFLE__SECRET_INIT, value = CSFLE__SECRET_INIT;
  csfle_status  rc = csfle__json_parse_secret(&doc, csfle__buf_view(&call->io.reply.body), err);
  if (rc == CSFLE_E_NOMEM) return rc;
  rc = csfle__secret_copy(&text, csfle__json_member_text(doc ? yyjson_doc_get_root(doc) : NULL, "value"), err);
  yyjson_doc_free(doc);
  for (size_t i = 0; i < text.len; i++) text.ptr[i] = text.ptr[i] == '-' ? '+' : text.ptr[i] == '_' ? '/' : text.ptr[i];
  if (rc == CSFLE_OK && !csfle__http_unbase64(csfle__secret_view(&text), &value, &rc))
    rc = rc == CSFLE_E_NOMEM ? csfle__nomem(err) : csfle__http_failf(about, CSFLE_E_UNAVAILABLE, err, "answer has no value in base64url");
  if (rc == CSFLE_OK && !call->unwrap && a->save) {
    rc = csfle__secret_make(&call->out, HEADER_LEN + value.len, err);
    if (rc == CSFLE_OK) {
      memcpy(call->out.ptr, HEADER, sizeof HEADER - 1);
      memcpy(call->out.ptr + sizeof HEADER - 1, w->version.ptr, VERSION_LEN);
      call->out.ptr[HEADER_LEN - 1] = ':';
      memcpy(call->out.ptr + HEADER_LEN, value.ptr, value.len);
    }
  } else if (rc == CSFLE_OK) {
    csfle__secret_move(&call->out, &value);
  }
  csfle__secret_wipe(&text), csfle__secret_wipe(&value);
  return rc;
}

/* Which version and which bytes: the header says so whatever the setting; its version goes into a URL, unauthenticated */
static csfle_status choose(const azure *a, work *w, const csfle__kms_call *call, const csfle__http_about *about, csfle_error *err)
{
  csfle__bytes in = call->in;
  w->version = a->version, w->payload = in;
  if (!call->unwrap || in.len < HEADER_LEN || !csfle__starts(in, CSFLE__LIT(HEADER)) || in.ptr[HEADER_LEN - 1] != ':') return CSFLE_OK;
  w->version = csfle__view(in.ptr + sizeof HEADER - 1, VERSION_LEN);
  w->payload = csfle__from(in, HEADER_LEN);
  return is_version(w->version) ? CSFLE_OK : csfle__http_failf(about, CSFLE_E_DECRYPT, err, "the key version in front of the wrapped key material is not 32 hex digits");
}

/* Before anything is sent: for a vault that may not be called no token is asked for either [AB-8] */
static csfle_status check_vault(const azure *a, csfle__kms_call *call, csfle_error *err)
{
  csfle__http_start(&call->io, "GET", TIMEOUT_MS);
  csfle_status rc = csfle__buf_put(&call->io.request.url, a->root.ptr, a->root.len, err);
  return rc == CSFLE_OK ? csfle__hosts_check(&a->hosts, CSFLE__HOST_KMS, &call->io.request, err) : rc;
}

/* name="..." of a Bearer challenge */
static csfle__bytes challenge(csfle__bytes h, const char *name)
{
  size_t n = strlen(name);
  for (size_t i = 0; i + n + 2 <= h.len; i++) {
    if (memcmp(h.ptr + i, name, n) != 0 || h.ptr[i + n] != '=' || h.ptr[i + n + 1] != '"' || (i && h.ptr[i - 1] != ' ' && h.ptr[i - 1] != ',')) continue;
    csfle__bytes   v = csfle__from(h, i + n + 2);
    const uint8_t *end = v.len ? memchr(v.ptr, '"', v.len) : NULL;
    return end ? csfle__view(v.ptr, (size_t)(end - v.ptr)) : CSFLE__NONE;
  }
  return CSFLE__NONE;
}

/* After a 401: the resource that the challenge names, if the vault belongs to it. A vault that names another would get its tokens. */
static csfle_status follow(azure *a, work *w, const csfle__kms_call *call, const csfle__http_about *about, csfle_error *err)
{
  csfle__bytes h = csfle__header(csfle__buf_view(&call->io.reply.headers), "WWW-Authenticate"), r = challenge(h, "resource");
  csfle__url   u;
  if (!r.len) r = challenge(h, "scope");
  if (r.len > 9 && csfle__eq_str(csfle__from(r, r.len - 9), "/.default")) r.len -= 9;
  while (r.len && r.ptr[r.len - 1] == '/') r.len--;
  if (!r.len || csfle__eq(r, csfle__secret_view(&w->resource))) return CSFLE_OK;
  bool ok = csfle__url_parse(&u, r) && u.tls && !u.rest.len && a->host.len >= u.host.len && csfle__eq_nocase(csfle__from(a->host, a->host.len - u.host.len), u.host) &&
            (a->host.len == u.host.len || a->host.ptr[a->host.len - u.host.len - 1] == '.') && memchr(u.host.ptr, '.', u.host.len);
#ifdef CSFLE_BREAK_CHALLENGE_UNCHECKED
  ok = true;
#endif
  if (!ok) return csfle__http_failf(about, CSFLE_E_POLICY, err, "the vault asks for a token of '%.*s', to which it does not belong", r.len > 120 ? 120 : (int)r.len, (const char *)r.ptr);
  csfle_status rc = csfle__secret_copy(&w->resource, r, err);
  pthread_mutex_lock(&a->session.lock);
  if (rc == CSFLE_OK) rc = csfle__secret_copy(&a->resource, r, err);
  pthread_mutex_unlock(&a->session.lock);
  return rc;
}

/* A 403 that is not about who asks: the key is disabled, or it is not its time */
static bool key_asleep(const csfle__reply *r)
{
  static const char *const codes[] = { "KeyDisabled", "KeyNotYetValid", "KeyExpired" };
  yyjson_doc *doc = NULL;
  bool        is = false;
  if (r->status != 403 || csfle__json_parse(&doc, csfle__buf_view(&r->body), NULL) != CSFLE_OK) return false;
  csfle__bytes code = csfle__json_member_text(csfle__json_member(csfle__json_member(yyjson_doc_get_root(doc), "error"), "innererror"), "code");
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) is = is || csfle__eq_str(code, codes[i]);
  yyjson_doc_free(doc);
  return is;
}

static csfle__next give_up(csfle__kms_call *call, const csfle__http_about *about, const csfle__http_words *w, bool login, csfle_error *err)
{
  int status = call->io.reply.status;
  csfle__http_fail(about, call, w, err);
  if (err && login && err->code == CSFLE_E_DECRYPT) err->code = CSFLE_E_UNAUTHENTICATED;
  if (err && !login && (status == 404 || key_asleep(&call->io.reply))) err->code = CSFLE_E_KEY_GONE;
  csfle__io_reset(&call->io); /* the request has a token and key material in it */
  return CSFLE__FAIL;
}

static csfle__next azure_step(csfle__kms *kms, csfle__kms_call *call, csfle_error *err)
{
  azure            *a = (azure *)kms;
  work             *w = csfle__kms_work(call, sizeof *w, free_work, err);
  csfle__io        *io = &call->io;
  csfle__http_about about = { "azure-kms", csfle__str(a->key_id), w && !w->version.len ? "get key" : call->unwrap ? "decrypt" : "encrypt" };
  csfle__http_about login_about = { "azure-kms", csfle__str(a->key_id), "token" };
  csfle__next       next;
  csfle__http_words words;
  csfle_status      rc;

  if (!w) return CSFLE__FAIL;
  CSFLE__BEGIN(w);
  if (choose(a, w, call, &about, err) != CSFLE_OK || check_vault(a, call, err) != CSFLE_OK) return CSFLE__FAIL;
  pthread_mutex_lock(&a->session.lock);
  rc = csfle__secret_copy(&w->resource, csfle__secret_view(&a->resource), err);
  pthread_mutex_unlock(&a->session.lock);
  if (rc != CSFLE_OK) return CSFLE__FAIL;
login:
  CSFLE__KMS_SESSION(w, kms, call, next, csfle__bearer_get(&a->session, call->now_ms, MARGIN_MS, &w->token, &w->cached, err), err);
  if (next == CSFLE__FAIL) return CSFLE__FAIL;
  if (!w->cached) {
    for (w->i = w->asked ? SETTINGS : 0; w->i < SETTINGS; w->i++) {
      bool own = a->props[TENANT].len && a->props[CLIENT].len && a->props[SECRET].len;
      if (w->i < PROPS && (own || w->i == CLIENT) && a->props[w->i].len) {
        if (csfle__secret_copy(&w->set[w->i], csfle__secret_view(&a->props[w->i]), err) != CSFLE_OK) return CSFLE__FAIL;
        continue;
      }
      CSFLE__KMS_NEED(w, io, CSFLE__NEED_VARIABLE, variables[w->i]);
      csfle__secret_move(&w->set[w->i], &io->need_value);
    }
    w->asked = true;
    if (proof(w) == CERTIFICATE || proof(w) == FEDERATED) {
      snprintf(w->path, sizeof w->path, "%.*s", CSFLE__FMT(set(w, proof(w))));
      CSFLE__KMS_NEED(w, io, CSFLE__NEED_FILE, w->path);
      if (!csfle__trim(csfle__secret_view(&io->need_value)).len) {
        csfle__fail(err, CSFLE_E_CONFIG, "azure-kms: %s '%.200s' cannot be read or is empty", proof(w) == FEDERATED ? "federated token file" : "certificate file", w->path);
        return CSFLE__FAIL;
      }
      csfle__secret_move(&w->assertion, &io->need_value);
    }
    w->tries = 0;
  login_again:
    if (build_login(a, w, call, err) != CSFLE_OK) return CSFLE__FAIL;
    CSFLE__STOP(w, CSFLE__SEND);
    if (io->reply.status != 200) {
      if (w->local && !io->reply.status) {
        csfle__fail(err, CSFLE_E_CONFIG, "azure-kms: no credentials found: tenant.id, client.id and client.secret are not all set, and environment, workload identity and managed identity have none");
        return CSFLE__FAIL;
      }
      words = csfle__http_vendor(&io->reply);
      bool updating = w->local && (io->reply.status == 404 || io->reply.status == 410); /* what metadata says while it is */
      if (!csfle__http_again(call, &w->tries, updating || csfle__http_transient(&io->reply))) return give_up(call, &login_about, &words, true, err);
      CSFLE__STOP(w, CSFLE__WAIT);
      goto login_again;
    }
    if (csfle__bearer_take_oauth(&a->session, call, &login_about, &w->token, err) != CSFLE_OK) return CSFLE__FAIL;
    csfle__kms_login_end(call, NULL);
  }
  w->tries = 0;
again:
  if (build(a, w, call, err) != CSFLE_OK) return CSFLE__FAIL;
  CSFLE__STOP(w, CSFLE__SEND);
  if (io->reply.status == 200) {
    bool got = !w->version.len;
    rc = got ? take_version(w, call, &about, err) : take(a, w, call, &about, err);
    csfle__io_reset(io);
    if (rc != CSFLE_OK) return CSFLE__FAIL;
    if (!got) return CSFLE__DONE;
    w->tries = 0;
    goto again;
  }
  if (io->reply.status == 401 && !w->renewed) {
    w->renewed = true;
    if (follow(a, w, call, &about, err) != CSFLE_OK) return CSFLE__FAIL;
    csfle__bearer_drop(&a->session, csfle__secret_view(&w->token));
    goto login;
  }
  words = csfle__http_vendor(&io->reply);
  if (csfle__http_again(call, &w->tries, csfle__http_transient(&io->reply))) {
    CSFLE__STOP(w, CSFLE__WAIT);
    goto again;
  }
  return give_up(call, &about, &words, false, err);
  CSFLE__END;
  csfle__fail(err, CSFLE_E_INTERNAL, "azure-kms call stepped after its end");
  return CSFLE__FAIL;
}

const csfle__kms_driver csfle__kms_driver_azure = { "azure-kms", azure_open, azure_step, azure_close };
