/*
 * gcp-kms [ENC 4.5]: encrypt and decrypt of Google Cloud KMS over REST, with checksums both ways. Tokens come from a
 * service account's key (a signed JWT used as it is, or exchanged where a token URL is set), a user's refresh token,
 * another identity provider (gcp_federation.c), or the metadata server, and are kept until shortly before they end.
 */
#include "core/base/alloc.h"
#include "core/crypt/sign.h"
#include "core/kms/bearer.h"
#include "core/kms/crc32c.h"
#include "core/kms/gcp_federation.h"

#include <stdio.h>

#define TIMEOUT_MS  30000
#define METADATA_MS 2000
#define MARGIN_MS   (225 * 1000) /* as Google's clients: the metadata server gives out a token until four minutes before its end */
#define LIFE_S      3600
#define UNIVERSE    "googleapis.com"
#define TOKEN_URL   "https://oauth2." UNIVERSE "/token"
#define SCOPE       "https://www.googleapis.com/auth/cloudkms"
#define WELL_KNOWN  "application_default_credentials.json"

enum { TYPE, CLIENT_ID, EMAIL, KEY_ID, KEY, TOKEN_URI, PATH, PROPS };
static const char *const properties[PROPS] = { "account.type", "client.id", "client.email", "private.key.id", "private.key", "token.uri", "credentials.path" };
enum { V_FILE, V_CONFIG, V_HOME, V_METADATA, V_ENDPOINT, V_UNIVERSE, VARIABLES };
static const char *const variables[VARIABLES] = { "GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "HOME", "GCE_METADATA_HOST", "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", "GOOGLE_CLOUD_UNIVERSE_DOMAIN" };
static const char *const own_hosts[] = { "cloudkms.googleapis.com", "oauth2.googleapis.com", NULL };

typedef struct gcp {
  csfle__kms    base;
  csfle__hosts  hosts;
  char         *key_id;
  csfle__secret props[PROPS];
  bool          own_token_url; /* the operator set token.uri, not the registry */
  csfle__bearer session;
} gcp;

/* projects/{p}/locations/{l}/keyRings/{r}/cryptoKeys/{k} */
static bool key_id_valid(csfle__bytes rest)
{
  static const char *const fixed[] = { "projects", "locations", "keyRings", "cryptoKeys" };
  for (size_t i = 0; i < 8; i++) {
    const uint8_t *slash = rest.len ? memchr(rest.ptr, '/', rest.len) : NULL;
    csfle__bytes   s = csfle__view(rest.ptr, slash ? (size_t)(slash - rest.ptr) : rest.len);
    if (!s.len || (i < 7) != (slash != NULL)) return false;
    if (i % 2 == 0 && !csfle__eq_str(s, fixed[i / 2])) return false;
    for (size_t j = 0; j < s.len; j++) {
      uint8_t c = s.ptr[j];
      bool    ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || (i == 1 && (c == '.' || c == ':'));
      if (!ok || (j == 0 && (c == '.' || c == ':'))) return false;
    }
    rest = csfle__from(rest, s.len + 1);
  }
  return true;
}

static void gcp_close(csfle__kms *kms)
{
  gcp *g = (gcp *)kms;
  for (size_t i = 0; i < PROPS; i++) csfle__secret_wipe(&g->props[i]);
  csfle__bearer_free(&g->session);
  csfle__hosts_close(&g->hosts);
  csfle__free(g->key_id);
  csfle__free(g);
}

static csfle_status gcp_open(csfle__kms **out, const csfle__kms_props *props, csfle__bytes key_id, csfle_error *err)
{
  gcp *g = csfle__calloc(1, sizeof *g);
  if (!g) return csfle__nomem(err);
  csfle__bearer_init(&g->session);
  g->key_id = csfle__dup(key_id.ptr ? (const void *)key_id.ptr : "", key_id.len);
  csfle_status rc = g->key_id ? csfle__hosts_open(&g->hosts, props, own_hosts, err) : csfle__nomem(err);
  if (rc == CSFLE_OK && (strlen(g->key_id) != key_id.len || !key_id_valid(key_id)))
    rc = csfle__kms_bad_key_id("gcp-kms", key_id, "projects/<p>/locations/<l>/keyRings/<r>/cryptoKeys/<k>", err);
  for (size_t i = 0; rc == CSFLE_OK && i < PROPS; i++) {
    const char *v = csfle__kms_prop(props, properties[i]), *own = csfle__kms_own_prop(props, properties[i]);
    if (v && *v) rc = csfle__secret_copy(&g->props[i], csfle__str(v), err);
    bool foreign = v && *v && (!own || strcmp(own, v) != 0);
    if (i == TOKEN_URI) g->own_token_url = !foreign;
    if (i == PATH && foreign) rc = csfle__fail(err, CSFLE_E_POLICY, "gcp-kms: only the operator may set credentials.path, not the registry");
  }
  if (rc == CSFLE_OK && g->props[TYPE].len && !csfle__eq_str(csfle__secret_view(&g->props[TYPE]), "service_account"))
    rc = csfle__fail(err, CSFLE_E_CONFIG, "gcp-kms: account.type must be service_account");
  if (rc != CSFLE_OK) gcp_close(&g->base);
  else *out = &g->base;
  return rc;
}

/* ---- credentials */

typedef struct work {
  int           line;
  unsigned      tries;
  size_t        i;
  bool          asked, cached, renewed, metadata, well_known, federated;
  bool          own_token_url; /* the operator named it: any host */
  char          path[1024];
  csfle__secret env[VARIABLES], file, token;
  csfle__gcp_federation federation;
  yyjson_doc   *doc; /* of file */
  csfle__bytes  type, email, key_id, key, token_url, client_id, client_secret, refresh; /* views; token_url empty: no exchange */
} work;

static void forget_file(work *w)
{
  yyjson_doc_free(w->doc);
  w->doc = NULL;
  csfle__secret_wipe(&w->file);
}

static void free_work(void *p)
{
  work *w = p;
  forget_file(w);
  for (size_t i = 0; i < VARIABLES; i++) csfle__secret_wipe(&w->env[i]);
  csfle__secret_wipe(&w->token);
  csfle__gcp_federation_free(&w->federation);
  csfle__free(w);
}

static csfle__bytes env(const work *w, int v) { return csfle__secret_view(&w->env[v]); }
static csfle__bytes prop(const gcp *g, int p) { return csfle__secret_view(&g->props[p]); }
static bool         own_account(const gcp *g) { return prop(g, CLIENT_ID).len && prop(g, EMAIL).len && prop(g, KEY_ID).len && prop(g, KEY).len; }

static bool set_path(const gcp *g, work *w)
{
  int          n = -1;
  csfle__bytes named = prop(g, PATH).len ? prop(g, PATH) : env(w, V_FILE);
  w->well_known = !named.len;
  if (!w->well_known) n = snprintf(w->path, sizeof w->path, "%.*s", CSFLE__FMT(named));
  else if (env(w, V_CONFIG).len) n = snprintf(w->path, sizeof w->path, "%.*s/" WELL_KNOWN, CSFLE__FMT(env(w, V_CONFIG)));
  else if (env(w, V_HOME).len) n = snprintf(w->path, sizeof w->path, "%.*s/.config/gcloud/" WELL_KNOWN, CSFLE__FMT(env(w, V_HOME)));
  return n > 0 && (size_t)n < sizeof w->path;
}

/* The cloud, Google's own or another of the same make, that tokens are for. */
static csfle__bytes universe(const work *w) { return env(w, V_UNIVERSE).len ? env(w, V_UNIVERSE) : CSFLE__LIT(UNIVERSE); }

static bool domain_valid(csfle__bytes d)
{
  for (size_t i = 0; i < d.len; i++) {
    uint8_t c = d.ptr[i];
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || (c == '.' && i && d.ptr[i - 1] != '.'))) return false;
  }
  return d.len < 250;
}

static csfle_status put_service(csfle_buf *b, const work *w, csfle_error *err) { return csfle__buf_printf(b, err, "https://cloudkms.%.*s", CSFLE__FMT(universe(w))); }

/* Whether @p url is where this universe changes assertions for tokens: then the signed JWT itself will do. */
static bool is_login(const work *w, csfle__bytes url)
{
  char text[320];
  int  n = snprintf(text, sizeof text, "https://oauth2.%.*s/token", CSFLE__FMT(universe(w)));
  return n > 0 && (size_t)n < sizeof text && csfle__eq_str(url, text);
}

static csfle_status use_file(work *w, csfle_error *err)
{
  csfle_status rc = csfle__json_parse_secret(&w->doc, csfle__secret_view(&w->file), err);
  if (rc == CSFLE_E_NOMEM) return rc;
  yyjson_val *root = rc == CSFLE_OK ? yyjson_doc_get_root(w->doc) : NULL;
  w->type = csfle__json_member_text(root, "type");
  w->email = csfle__json_member_text(root, "client_email"), w->key_id = csfle__json_member_text(root, "private_key_id"), w->key = csfle__json_member_text(root, "private_key");
  w->client_id = csfle__json_member_text(root, "client_id"), w->client_secret = csfle__json_member_text(root, "client_secret"), w->refresh = csfle__json_member_text(root, "refresh_token");
  w->token_url = csfle__json_member_text(root, "token_uri");
  w->own_token_url = w->token_url.len && !is_login(w, w->token_url);
  csfle__bytes domain = csfle__json_member_text(root, "universe_domain");
  if (!domain.len) domain = CSFLE__LIT(UNIVERSE);
  if (root && !csfle__eq(domain, universe(w)))
    return csfle__fail(err, CSFLE_E_CONFIG, "gcp-kms: credentials file '%.200s' is of the universe domain '%.*s', but keys are asked for in '%.*s': set GOOGLE_CLOUD_UNIVERSE_DOMAIN", w->path,
                       domain.len > 60 ? 60 : (int)domain.len, (const char *)domain.ptr, CSFLE__FMT(universe(w)));
  if (csfle__eq_str(w->type, "service_account")) {
    if (!w->own_token_url) w->token_url = CSFLE__NONE;
    if (w->email.len && w->key_id.len && w->key.len) return CSFLE_OK;
  } else if (csfle__eq_str(w->type, "authorized_user")) {
    if (!w->token_url.len && csfle__eq_str(domain, UNIVERSE)) w->token_url = CSFLE__LIT(TOKEN_URL);
    if (w->client_id.len && w->client_secret.len && w->refresh.len && w->token_url.len) return CSFLE_OK;
  } else if (csfle__eq_str(w->type, "external_account")) {
    const char *lacks = csfle__gcp_federation_lacks(root);
    w->federated = !lacks;
    return lacks ? csfle__fail(err, CSFLE_E_CONFIG, "gcp-kms: credentials file '%.200s' %s", w->path, lacks) : CSFLE_OK;
  } else {
    return csfle__fail(err, CSFLE_E_CONFIG, "gcp-kms: credentials file '%.200s' has the type '%.*s'; service_account, authorized_user and external_account are supported", w->path,
                       w->type.len > 60 ? 60 : (int)w->type.len, w->type.len ? (const char *)w->type.ptr : "");
  }
  return csfle__fail(err, CSFLE_E_CONFIG, "gcp-kms: credentials file '%.200s' lacks members of the type '%.*s'", w->path, CSFLE__FMT(w->type));
}

/* a key that was pasted into a property may have backslash-n for its line breaks [ENC-94] */
static csfle_status line_breaks(csfle__bytes key, csfle__secret *out, csfle_error *err)
{
  size_t       n = 0;
  csfle_status rc = csfle__secret_make(out, key.len, err);
  if (rc != CSFLE_OK) return rc;
  for (size_t i = 0; i < key.len; i++)
    if (key.ptr[i] == '\\' && i + 1 < key.len && key.ptr[i + 1] == 'n') out->ptr[n++] = '\n', i++;
    else out->ptr[n++] = key.ptr[i];
  return CSFLE_OK; /* what is left over is zero, after the last line */
}

/* Appends the signed JWT: an assertion for the token URL, or without one a token for the service itself. [ENC-92] */
static csfle_status put_jwt(csfle_buf *b, const work *w, int64_t now_s, csfle_error *err)
{
  csfle_buf     t;
  csfle__secret pem = CSFLE__SECRET_INIT, sig = CSFLE__SECRET_INIT;
  size_t        from = b->len;
  csfle_buf_init(&t, 0, CSFLE_BUF_WIPE);
  csfle_status rc = csfle__buf_puts(&t, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":", err);
  if (rc == CSFLE_OK) rc = csfle__json_put_string(&t, w->key_id, false, err);
  if (rc == CSFLE_OK) rc = csfle__buf_putc(&t, '}', err);
  if (rc == CSFLE_OK) rc = csfle__http_base64url(b, csfle__buf_view(&t), err);
  if (rc == CSFLE_OK) rc = csfle__buf_putc(b, '.', err);
  csfle__buf_clear(&t);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&t, "{\"iss\":", err);
  if (rc == CSFLE_OK) rc = csfle__json_put_string(&t, w->email, false, err);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&t, w->token_url.len ? ",\"scope\":" : ",\"sub\":", err);
  if (rc == CSFLE_OK) rc = csfle__json_put_string(&t, w->token_url.len ? CSFLE__LIT(SCOPE) : w->email, false, err);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&t, ",\"aud\":", err);
  if (rc == CSFLE_OK && w->token_url.len) rc = csfle__json_put_string(&t, w->token_url, false, err);
  else if (rc == CSFLE_OK) {
    rc = csfle__buf_putc(&t, '"', err);
    if (rc == CSFLE_OK) rc = put_service(&t, w, err);
    if (rc == CSFLE_OK) rc = csfle__buf_puts(&t, "/\"", err);
  }
  if (rc == CSFLE_OK) rc = csfle__buf_printf(&t, err, ",\"iat\":%lld,\"exp\":%lld}", (long long)now_s, (long long)now_s + LIFE_S);
  if (rc == CSFLE_OK) rc = csfle__http_base64url(b, csfle__buf_view(&t), err);
  csfle_buf_free(&t);
  if (rc == CSFLE_OK) rc = line_breaks(w->key, &pem, err);
  if (rc == CSFLE_OK) rc = csfle__sign_rs256(csfle__secret_view(&pem), csfle__from(csfle__buf_view(b), from), &sig, err);
  if (rc == CSFLE_OK) rc = csfle__buf_putc(b, '.', err);
  if (rc == CSFLE_OK) rc = csfle__http_base64url(b, csfle__secret_view(&sig), err);
  csfle__secret_wipe(&pem), csfle__secret_wipe(&sig);
  return rc;
}

static csfle_status self_signed(gcp *g, work *w, const csfle__kms_call *call, csfle_error *err)
{
  csfle_buf b;
  csfle_buf_init(&b, 0, CSFLE_BUF_WIPE);
  csfle_status rc = put_jwt(&b, w, call->now_ms / 1000, err);
  if (rc == CSFLE_OK) rc = csfle__bearer_put(&g->session, csfle__buf_view(&b), call->now_ms + LIFE_S * 1000, err);
  if (rc == CSFLE_OK) rc = csfle__secret_copy(&w->token, csfle__buf_view(&b), err);
  csfle_buf_free(&b);
  return rc;
}

static csfle_status build_login(const gcp *g, const work *w, csfle__kms_call *call, csfle_error *err)
{
  csfle__request *r = &call->io.request;
  csfle_buf       jwt;
  csfle_status    rc;
  if (w->metadata) {
    csfle__bytes host = env(w, V_METADATA).len ? env(w, V_METADATA) : CSFLE__LIT("metadata.google.internal");
    csfle__http_start(&call->io, "GET", METADATA_MS);
    r->purpose = "metadata";
    rc = csfle__buf_printf(&r->url, err, "http://%.*s/computeMetadata/v1/instance/service-accounts/default/token?", CSFLE__FMT(host));
    if (rc == CSFLE_OK) rc = csfle__http_form(&r->url, "scopes", CSFLE__LIT(SCOPE), err);
    if (rc == CSFLE_OK) rc = csfle__hosts_check(&g->hosts, CSFLE__HOST_LOCAL, r, err);
    return rc == CSFLE_OK ? csfle__http_header(&call->io, "Metadata-Flavor", CSFLE__LIT("Google"), err) : rc;
  }
  csfle__http_start(&call->io, "POST", TIMEOUT_MS);
  r->purpose = "oauth", r->has_body = true;
  rc = csfle__buf_put(&r->url, w->token_url.ptr, w->token_url.len, err);
  if (rc == CSFLE_OK) rc = csfle__hosts_check(&g->hosts, w->own_token_url ? CSFLE__HOST_OWN : CSFLE__HOST_LOGIN, r, err);
  if (rc == CSFLE_OK) rc = csfle__http_header(&call->io, "Content-Type", CSFLE__LIT("application/x-www-form-urlencoded"), err);
  if (rc != CSFLE_OK) return rc;
  if (w->refresh.len) {
    rc = csfle__http_form(&r->body, "grant_type", CSFLE__LIT("refresh_token"), err);
    if (rc == CSFLE_OK) rc = csfle__http_form(&r->body, "client_id", w->client_id, err);
    if (rc == CSFLE_OK) rc = csfle__http_form(&r->body, "client_secret", w->client_secret, err);
    return rc == CSFLE_OK ? csfle__http_form(&r->body, "refresh_token", w->refresh, err) : rc;
  }
  csfle_buf_init(&jwt, 0, CSFLE_BUF_WIPE);
  rc = put_jwt(&jwt, w, call->now_ms / 1000, err);
  if (rc == CSFLE_OK) rc = csfle__http_form(&r->body, "grant_type", CSFLE__LIT("urn:ietf:params:oauth:grant-type:jwt-bearer"), err);
  if (rc == CSFLE_OK) rc = csfle__http_form(&r->body, "assertion", csfle__buf_view(&jwt), err);
  csfle_buf_free(&jwt);
  return rc;
}

/* ---- one call */

static csfle_status build(const gcp *g, const work *w, csfle__kms_call *call, csfle_error *err)
{
  csfle__request *r = &call->io.request;
  const char     *name = call->unwrap ? "ciphertext" : "plaintext";
  csfle__bytes    e = env(w, V_ENDPOINT);
  csfle_buf       auth;
  csfle__http_start(&call->io, "POST", TIMEOUT_MS);
  r->has_body = true;
  while (e.len && e.ptr[e.len - 1] == '/') e.len--;
  bool         own = e.len || env(w, V_UNIVERSE).len;
  csfle_status rc = e.len ? csfle__buf_put(&r->url, e.ptr, e.len, err) : put_service(&r->url, w, err);
  if (rc == CSFLE_OK) rc = csfle__buf_printf(&r->url, err, "/v1/%s:%s", g->key_id, call->unwrap ? "decrypt" : "encrypt");
  if (rc == CSFLE_OK) rc = csfle__hosts_check(&g->hosts, own ? CSFLE__HOST_OWN : CSFLE__HOST_KMS, r, err);
  csfle_buf_init(&auth, 0, CSFLE_BUF_WIPE);
  if (rc == CSFLE_OK) rc = csfle__buf_printf(&auth, err, "Bearer %.*s", CSFLE__FMT(csfle__secret_view(&w->token)));
  if (rc == CSFLE_OK) rc = csfle__http_header(&call->io, "Authorization", csfle__buf_view(&auth), err);
  csfle_buf_free(&auth);
  if (rc == CSFLE_OK) rc = csfle__http_header(&call->io, "Content-Type", CSFLE__LIT("application/json"), err);
  if (rc == CSFLE_OK) rc = csfle__buf_printf(&r->body, err, "{\"%s\":\"", name);
  if (rc == CSFLE_OK) rc = csfle__http_base64(&r->body, call->in, err);
  /* 64-bit numbers are texts */
  return rc == CSFLE_OK ? csfle__buf_printf(&r->body, err, "\",\"%sCrc32c\":\"%lu\"}", name, (unsigned long)csfle__crc32c(call->in)) : rc;
}

/* *damaged: a checksum says that something was changed on the way */
static csfle_status take(csfle__kms_call *call, const csfle__http_about *about, bool *damaged, csfle_error *err)
{
  yyjson_doc  *doc = NULL;
  int64_t      crc;
  csfle_status rc = csfle__json_parse_secret(&doc, csfle__buf_view(&call->io.reply.body), err);
  *damaged = false;
  if (rc == CSFLE_E_NOMEM) return rc;
  yyjson_val *root = doc ? yyjson_doc_get_root(doc) : NULL;
  const char *name = call->unwrap ? "plaintext" : "ciphertext";
  if (!csfle__http_unbase64(csfle__json_member_text(root, name), &call->out, &rc)) {
    rc = rc == CSFLE_E_NOMEM ? csfle__nomem(err) : csfle__http_failf(about, CSFLE_E_UNAVAILABLE, err, "answer has no %s in base64", name);
  } else {
    *damaged = !csfle__bearer_number(root, call->unwrap ? "plaintextCrc32c" : "ciphertextCrc32c", &crc) || crc != (int64_t)csfle__crc32c(csfle__secret_view(&call->out)) ||
               (!call->unwrap && !yyjson_is_true(csfle__json_member(root, "verifiedPlaintextCrc32c")));
#ifdef CSFLE_BREAK_CHECKSUM_UNCHECKED
    *damaged = false;
#endif
    if (*damaged) {
      csfle__secret_wipe(&call->out);
      rc = csfle__http_failf(about, CSFLE_E_UNAVAILABLE, err, "checksums do not match: request or answer was damaged on the way");
    }
  }
  yyjson_doc_free(doc);
  return rc;
}

static csfle__next give_up(csfle__kms_call *call, const csfle__http_about *about, const csfle__http_words *w, bool login, csfle_error *err)
{
  int status = call->io.reply.status;
  csfle__http_fail(about, call, w, err);
  if (err && login && err->code == CSFLE_E_DECRYPT) err->code = CSFLE_E_UNAUTHENTICATED;
  /* FAILED_PRECONDITION: the key's version is disabled or destroyed */
  if (err && !login && (status == 404 || (status == 400 && strcmp(w->code, "FAILED_PRECONDITION") == 0))) err->code = CSFLE_E_KEY_GONE;
  csfle__io_reset(&call->io); /* the request has a token and key material in it */
  return CSFLE__FAIL;
}

static csfle__next gcp_step(csfle__kms *kms, csfle__kms_call *call, csfle_error *err)
{
  gcp              *g = (gcp *)kms;
  work             *w = csfle__kms_work(call, sizeof *w, free_work, err);
  csfle__io        *io = &call->io;
  csfle__http_about about = { "gcp-kms", csfle__str(g->key_id), call->unwrap ? "decrypt" : "encrypt" };
  csfle__http_about login_about = { "gcp-kms", csfle__str(g->key_id), "token" };
  csfle__next       next;
  csfle__http_words words;
  csfle_status      rc;

  if (!w) return CSFLE__FAIL;
  CSFLE__BEGIN(w);
  for (w->i = 0; w->i < VARIABLES; w->i++) {
    CSFLE__KMS_NEED(w, io, CSFLE__NEED_VARIABLE, variables[w->i]);
    csfle__secret_move(&w->env[w->i], &io->need_value);
  }
  if (!domain_valid(universe(w))) {
    csfle__fail(err, CSFLE_E_CONFIG, "gcp-kms: GOOGLE_CLOUD_UNIVERSE_DOMAIN is no domain");
    return CSFLE__FAIL;
  }
login:
  CSFLE__KMS_SESSION(w, kms, call, next, csfle__bearer_get(&g->session, call->now_ms, MARGIN_MS, &w->token, &w->cached, err), err);
  if (next == CSFLE__FAIL) return CSFLE__FAIL;
  if (!w->cached) {
    if (own_account(g)) {
      w->email = prop(g, EMAIL), w->key_id = prop(g, KEY_ID), w->key = prop(g, KEY), w->token_url = prop(g, TOKEN_URI);
      w->own_token_url = g->own_token_url && !is_login(w, w->token_url);
    } else if (!w->asked && set_path(g, w)) {
      CSFLE__KMS_NEED(w, io, CSFLE__NEED_FILE, w->path);
      if (io->need_value.len) {
        csfle__secret_move(&w->file, &io->need_value);
        if (use_file(w, err) != CSFLE_OK) return CSFLE__FAIL;
      } else if (!w->well_known) {
        csfle__fail(err, CSFLE_E_CONFIG, "gcp-kms: the file '%.200s' of %s cannot be read or is empty", w->path, prop(g, PATH).len ? "credentials.path" : variables[V_FILE]);
        return CSFLE__FAIL;
      }
    }
    w->asked = true;
    w->metadata = !w->key.len && !w->refresh.len && !w->federated;
    w->tries = 0;
    if (w->federated) {
      csfle__gcp_federation_free(&w->federation);
      CSFLE__AWAIT(w, next, csfle__gcp_federation_step(&w->federation, yyjson_doc_get_root(w->doc), &g->hosts, csfle__str(g->key_id), SCOPE, call, err));
      if (next == CSFLE__FAIL || csfle__bearer_put(&g->session, csfle__secret_view(&w->federation.token), w->federation.ends_ms, err) != CSFLE_OK) return CSFLE__FAIL;
      csfle__secret_move(&w->token, &w->federation.token);
      goto signed_in;
    }
    if (w->key.len && !w->token_url.len) {
      if (self_signed(g, w, call, err) != CSFLE_OK) return CSFLE__FAIL;
      goto signed_in;
    }
  login_again:
    if (build_login(g, w, call, err) != CSFLE_OK) return CSFLE__FAIL;
    CSFLE__STOP(w, CSFLE__SEND);
    if (w->metadata && (!io->reply.status || !csfle__eq_nocase(csfle__header(csfle__buf_view(&io->reply.headers), "Metadata-Flavor"), CSFLE__LIT("Google")))) {
      csfle__fail(err, CSFLE_E_CONFIG, "gcp-kms: no credentials found: client.id, client.email, private.key.id and private.key are not all set, and files and metadata server have none");
      return CSFLE__FAIL;
    }
    if (io->reply.status != 200) {
      words = csfle__http_vendor(&io->reply);
      if (!csfle__http_again(call, &w->tries, csfle__http_transient(&io->reply))) return give_up(call, &login_about, &words, true, err);
      CSFLE__STOP(w, CSFLE__WAIT);
      goto login_again;
    }
    if (csfle__bearer_take_oauth(&g->session, call, &login_about, &w->token, err) != CSFLE_OK) return CSFLE__FAIL;
  }
signed_in:
  csfle__kms_login_end(call, NULL);
  w->tries = 0;
again:
  if (build(g, w, call, err) != CSFLE_OK) return CSFLE__FAIL;
  CSFLE__STOP(w, CSFLE__SEND);
  if (io->reply.status == 200) {
    bool damaged;
    rc = take(call, &about, &damaged, err);
    if (damaged && csfle__http_again(call, &w->tries, true)) {
      CSFLE__STOP(w, CSFLE__WAIT);
      goto again;
    }
    csfle__io_reset(io);
    return rc == CSFLE_OK ? CSFLE__DONE : CSFLE__FAIL;
  }
  if (io->reply.status == 401 && !w->renewed) {
    w->renewed = true;
    csfle__bearer_drop(&g->session, csfle__secret_view(&w->token));
    goto login;
  }
  words = csfle__http_vendor(&io->reply);
  if (csfle__http_again(call, &w->tries, csfle__http_transient(&io->reply))) {
    CSFLE__STOP(w, CSFLE__WAIT);
    goto again;
  }
  return give_up(call, &about, &words, false, err);
  CSFLE__END;
  csfle__fail(err, CSFLE_E_INTERNAL, "gcp-kms call stepped after its end");
  return CSFLE__FAIL;
}

const csfle__kms_driver csfle__kms_driver_gcp = { "gcp-kms", gcp_open, gcp_step, gcp_close };
