/*
 * hcvault [ENC 4.6]: encrypt and decrypt of the transit engine of HashiCorp Vault and OpenBao. The key id is the URL of
 * the key, its whole mount path is honoured; a host of one's own is all there is, so csfle.allow.kms.hosts must name it.
 * A token is used as it is; an AppRole logs in, again shortly before the lease ends and once after a 403. [ENC-96]
 *
 * OpenBao kept paths, the headers X-Vault-*, error bodies and the ciphertext's "vault:v1:". What differs, by its
 * documentation: namespaces are part of the free edition, so that the header acts there; encrypt need not create an unknown
 * key (disable_upsert); the BAO_* variables are its command line's own and not read here.
 */
#include "core/base/alloc.h"
#include "core/kms/bearer.h"

#define TIMEOUT_MS 30000
#define MARGIN_MS  (60 * 1000)

/* The mount of the AppRole method is ours alone: other clients log in at "approle" only. */
enum { TOKEN, NAMESPACE, ROLE, SECRET, MOUNT, SETTINGS };
static const char *const properties[SETTINGS] = { "token.id", "namespace", "approle.role.id", "approle.secret.id", "approle.mount" };
static const char *const variables[SETTINGS] = { "VAULT_TOKEN", "VAULT_NAMESPACE", "VAULT_APPROLE_ROLE_ID", "VAULT_APPROLE_SECRET_ID", "VAULT_APPROLE_MOUNT" };

/* Certificates: CSFLE__TLS_*. What is in Java's own format cannot be honoured and is not ignored. Empty means the default trust. [ENC-100] */
static const char *const tls_properties[CSFLE__TLS_FILES] = { "ssl.ca.location", "ssl.certificate.location", "ssl.key.location" };
static const char *const tls_variables[CSFLE__TLS_FILES] = { "VAULT_CACERT", "VAULT_CLIENT_CERT", "VAULT_CLIENT_KEY" };
static const char *const jks_properties[] = { "ssl.keystore.location", "ssl.keystore.password", "ssl.truststore.location", NULL };
static const char *const jks_variables[] = { "VAULT_SSL_KEYSTORE_LOCATION", "VAULT_SSL_KEYSTORE_PASSWORD", "VAULT_SSL_TRUSTSTORE_LOCATION", NULL };

typedef struct hcvault {
  csfle__kms    base;
  csfle__hosts  hosts;
  char         *key_id;            /* with its scheme */
  csfle__bytes  root, mount, name; /* views: "https://host:8200", "team/a/transit", "cards" */
  csfle__secret props[SETTINGS], files[CSFLE__TLS_FILES];
  csfle__bearer session;
} hcvault;

/* ---- key ids */

static bool segment_valid(csfle__bytes s)
{
  for (size_t i = 0; i < s.len; i++) {
    uint8_t c = s.ptr[i];
    bool    ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-_.~@:+!$&'()*,;=", c);
    if (!ok || !c) return false;
  }
  return s.len && !csfle__eq_str(s, ".") && !csfle__eq_str(s, "..");
}

/* The last two segments of a path and how many there are; 0: one of them is not valid. */
static size_t split(csfle__bytes path, csfle__bytes *before, csfle__bytes *last)
{
  *before = *last = CSFLE__NONE;
  for (size_t count = 1;; count++) {
    const uint8_t *slash = path.len ? memchr(path.ptr, '/', path.len) : NULL;
    *before = *last;
    *last = csfle__view(path.ptr, slash ? (size_t)(slash - path.ptr) : path.len);
    if (!segment_valid(*last)) return 0;
    if (!slash) return count;
    path = csfle__from(path, last->len + 1);
  }
}

/* /{mount}/keys/{name}, the mount of one segment or more [ENC-95] */
static bool parse_key_id(hcvault *h)
{
  csfle__url   u;
  csfle__bytes path, before;
  if (!csfle__url_parse(&u, csfle__str(h->key_id)) || !u.rest.len || u.rest.ptr[0] != '/') return false;
  h->root = csfle__view(h->key_id, (size_t)(u.rest.ptr - (const uint8_t *)h->key_id));
  path = csfle__from(u.rest, 1);
  while (path.len && path.ptr[path.len - 1] == '/') path.len--;
  if (split(path, &before, &h->name) < 3 || !csfle__eq_str(before, "keys")) return false;
  h->mount = csfle__view(path.ptr, (size_t)(before.ptr - path.ptr) - 1);
  return true;
}

static csfle_status refuse_jks(const char *name, csfle_error *err)
{
  return csfle__fail(err, CSFLE_E_CONFIG, "hcvault: '%s' is not supported: give PEM files: ssl.ca.location, ssl.certificate.location, ssl.key.location", name);
}

static void hcvault_close(csfle__kms *kms)
{
  hcvault *h = (hcvault *)kms;
  for (size_t i = 0; i < SETTINGS; i++) csfle__secret_wipe(&h->props[i]);
  for (size_t i = 0; i < CSFLE__TLS_FILES; i++) csfle__secret_wipe(&h->files[i]);
  csfle__bearer_free(&h->session);
  csfle__hosts_close(&h->hosts);
  csfle__free(h->key_id);
  csfle__free(h);
}

static csfle_status hcvault_open(csfle__kms **out, const csfle__kms_props *props, csfle__bytes key_id, csfle_error *err)
{
  static const char *const none[] = { NULL };
  hcvault                 *h = csfle__calloc(1, sizeof *h);
  csfle_buf                text;
  bool                     scheme = false;
  if (!h) return csfle__nomem(err);
  csfle__bearer_init(&h->session);
  csfle_buf_init(&text, 0, 0);
  for (size_t i = 0; i + 3 <= key_id.len; i++) scheme = scheme || memcmp(key_id.ptr + i, "://", 3) == 0;
  csfle_status rc = csfle__buf_printf(&text, err, "%s%.*s", scheme ? "" : "https://", CSFLE__FMT(key_id));
  if (rc == CSFLE_OK && !(h->key_id = csfle__dup(text.ptr, text.len))) rc = csfle__nomem(err);
  if (rc == CSFLE_OK) rc = csfle__hosts_open(&h->hosts, props, none, err);
  if (rc == CSFLE_OK && (strlen(h->key_id) != text.len || !parse_key_id(h)))
    rc = csfle__kms_bad_key_id("hcvault", key_id, "https://<host>[:<port>]/<mount>/keys/<name>", err);
  csfle_buf_free(&text);
  if (rc == CSFLE_OK) rc = csfle__kms_read_props(h->props, properties, SETTINGS, props, err);
  for (size_t i = 0; rc == CSFLE_OK && i < CSFLE__TLS_FILES; i++) rc = csfle__http_own_file(&h->files[i], props, tls_properties[i], err);
  for (const char *const *n = jks_properties; rc == CSFLE_OK && *n; n++) {
    const char *v = csfle__kms_prop(props, *n);
    if (v && *v) rc = refuse_jks(*n, err);
  }
  if (rc != CSFLE_OK) hcvault_close(&h->base);
  else *out = &h->base;
  return rc;
}

/* ---- one call */

typedef struct work {
  int           line;
  unsigned      tries;
  size_t        i;
  bool          renewed, cached;
  csfle__secret set[SETTINGS], token;
  csfle__http_tls tls;
} work;

static void free_work(void *p)
{
  work *w = p;
  for (size_t i = 0; i < SETTINGS; i++) csfle__secret_wipe(&w->set[i]);
  csfle__http_tls_free(&w->tls);
  csfle__secret_wipe(&w->token);
  csfle__free(w);
}

static bool approle(const work *w) { return w->set[ROLE].len && w->set[SECRET].len; }

/* A request to {a}/{b}/{c} */
static csfle_status start(const hcvault *h, const work *w, csfle__kms_call *call, csfle_error *err, csfle__bytes a, csfle__bytes b, csfle__bytes c)
{
  csfle__request *r = &call->io.request;
  csfle__http_start(&call->io, "POST", TIMEOUT_MS);
  r->has_body = true;
  r->tls = w->tls.any ? &w->tls.tls : NULL;
  csfle_status rc = csfle__buf_printf(&r->url, err, "%.*s/v1/%.*s/%.*s/%.*s", CSFLE__FMT(h->root), CSFLE__FMT(a), CSFLE__FMT(b), CSFLE__FMT(c));
  if (rc == CSFLE_OK) rc = csfle__hosts_check(&h->hosts, CSFLE__HOST_KMS, r, err);
  if (rc == CSFLE_OK && w->set[NAMESPACE].len) rc = csfle__http_header(&call->io, "X-Vault-Namespace", csfle__secret_view(&w->set[NAMESPACE]), err);
  if (rc == CSFLE_OK) rc = csfle__http_header(&call->io, "X-Vault-Request", CSFLE__LIT("true"), err);
  return rc == CSFLE_OK ? csfle__http_header(&call->io, "Content-Type", CSFLE__LIT("application/json"), err) : rc;
}

static csfle_status build_login(const hcvault *h, const work *w, csfle__kms_call *call, csfle_error *err)
{
  csfle_buf   *b = &call->io.request.body;
  csfle__bytes mount = w->set[MOUNT].len ? csfle__secret_view(&w->set[MOUNT]) : CSFLE__LIT("approle"), before, last;
  if (!split(mount, &before, &last))
    return csfle__fail(err, CSFLE_E_CONFIG, "approle.mount is no path: expected the mount below auth/, as in approle or team/approle");
  csfle_status rc = start(h, w, call, err, CSFLE__LIT("auth"), mount, CSFLE__LIT("login"));
  if (rc == CSFLE_OK) rc = csfle__buf_puts(b, "{\"role_id\":", err);
  if (rc == CSFLE_OK) rc = csfle__json_put_string(b, csfle__secret_view(&w->set[ROLE]), false, err);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(b, ",\"secret_id\":", err);
  if (rc == CSFLE_OK) rc = csfle__json_put_string(b, csfle__secret_view(&w->set[SECRET]), false, err);
  return rc == CSFLE_OK ? csfle__buf_putc(b, '}', err) : rc;
}

static csfle_status build(const hcvault *h, const work *w, csfle__kms_call *call, csfle_error *err)
{
  csfle_buf   *b = &call->io.request.body;
  csfle_status rc = start(h, w, call, err, h->mount, csfle__str(call->unwrap ? "decrypt" : "encrypt"), h->name);
  if (rc == CSFLE_OK) rc = csfle__http_header(&call->io, "X-Vault-Token", csfle__secret_view(&w->token), err);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(b, call->unwrap ? "{\"ciphertext\":\"" : "{\"plaintext\":\"", err);
  if (rc == CSFLE_OK) rc = call->unwrap ? csfle__buf_put(b, call->in.ptr, call->in.len, err) : csfle__http_base64(b, call->in, err);
  return rc == CSFLE_OK ? csfle__buf_puts(b, "\"}", err) : rc;
}

/* The lease of a login; seconds, 0 for ever. What is shorter than twice the margin is used for half its time. */
static csfle_status take_login(hcvault *h, work *w, const csfle__kms_call *call, const csfle__http_about *about, csfle_error *err)
{
  yyjson_doc  *doc = NULL;
  int64_t      lease = 0;
  csfle_status rc = csfle__json_parse_secret(&doc, csfle__buf_view(&call->io.reply.body), err);
  if (rc == CSFLE_E_NOMEM) return rc;
  yyjson_val  *auth = csfle__json_member(doc ? yyjson_doc_get_root(doc) : NULL, "auth");
  csfle__bytes token = csfle__json_member_text(auth, "client_token");
  csfle__bearer_number(auth, "lease_duration", &lease);
  if (lease < 0 || lease > INT32_MAX) lease = 0;
  int64_t ms = lease * 1000, margin = ms < 2 * MARGIN_MS ? ms / 2 : MARGIN_MS;
  if (!token.len || !csfle__http_printable(token)) rc = csfle__http_failf(about, CSFLE_E_UNAVAILABLE, err, "answer has no auth.client_token");
  else {
    rc = csfle__bearer_put(&h->session, token, ms ? call->now_ms + ms - margin : 0, err);
    if (rc == CSFLE_OK) rc = csfle__secret_copy(&w->token, token, err);
  }
  yyjson_doc_free(doc);
  return rc;
}

/* "vault:v1:" and base64: nothing that would have to be escaped */
static bool is_wrapped(csfle__bytes c)
{
  for (size_t i = 0; i < c.len; i++)
    if (c.ptr[i] <= ' ' || c.ptr[i] >= 0x7f || c.ptr[i] == '"' || c.ptr[i] == '\\') return false;
  return csfle__starts(c, CSFLE__LIT("vault:v")) && c.len > 9;
}

static csfle_status take(csfle__kms_call *call, const csfle__http_about *about, csfle_error *err)
{
  yyjson_doc  *doc = NULL;
  csfle_status rc = csfle__json_parse_secret(&doc, csfle__buf_view(&call->io.reply.body), err);
  if (rc == CSFLE_E_NOMEM) return rc;
  yyjson_val  *data = csfle__json_member(doc ? yyjson_doc_get_root(doc) : NULL, "data");
  csfle__bytes text = csfle__json_member_text(data, call->unwrap ? "plaintext" : "ciphertext");
  rc = CSFLE_OK;
  if (!call->unwrap) {
    /* the literal text is what is stored [ENC-97] */
    rc = is_wrapped(text) ? csfle__secret_copy(&call->out, text, err) : csfle__http_failf(about, CSFLE_E_UNAVAILABLE, err, "answer has no data.ciphertext that begins with vault:v");
  } else if (!csfle__http_unbase64(text, &call->out, &rc)) {
    rc = rc == CSFLE_E_NOMEM ? csfle__nomem(err) : csfle__http_failf(about, CSFLE_E_UNAVAILABLE, err, "answer has no data.plaintext in base64");
  }
  yyjson_doc_free(doc);
  return rc;
}

/* 307: a standby node that cannot forward to the active one, as during a change of leader */
static bool transient(const csfle__reply *r) { return r->status == 412 || r->status == 307 || csfle__http_transient(r); }
/* Vault 1.13 answers a wrong or used-up secret_id with 500, later ones with 400 */
static bool bad_secret(const csfle__http_words *w) { return strstr(w->message, "invalid secret id") || strstr(w->message, "invalid role or secret"); }

static csfle__next give_up(csfle__kms_call *call, const csfle__http_about *about, const csfle__http_words *w, bool login, csfle_error *err)
{
  int          status = call->io.reply.status;
  csfle_status code = csfle__http_fail(about, call, w, err);
  if (login && (status == 400 || status == 403 || status == 404 || bad_secret(w))) code = CSFLE_E_UNAUTHENTICATED;
  else if (status == 412) code = CSFLE_E_UNAVAILABLE;
  else if (status == 307)
    code = csfle__http_failf(about, CSFLE_E_UNAVAILABLE, err, "HTTP 307: this node is not the active one, and redirects are not followed");
  else if (status == 404 || (status == 400 && (strstr(w->message, "encryption key not found") || strstr(w->message, "disallowed by policy")))) code = CSFLE_E_KEY_GONE;
  else if (status == 400 && strstr(w->message, "key derivation"))
    /* a derived key needs a context with every call, and there is none to give */
    code = csfle__http_failf(about, CSFLE_E_CONFIG, err, "keys with derived=true cannot be used: HTTP 400: %s", w->message);
  if (err) {
    err->code = code;
    if (status) err->http = status;
  }
  csfle__io_reset(&call->io); /* the request has a token and key material in it */
  return CSFLE__FAIL;
}

/* What was refused before it was sent says of which key as well. */
static csfle__next not_built(const csfle__http_about *a, csfle_error *err)
{
  if (err && err->code != CSFLE_E_NOMEM) {
    csfle_error why = *err;
    csfle__http_failf(a, why.code, err, "%s", why.msg);
  }
  return CSFLE__FAIL;
}

static csfle__next hcvault_step(csfle__kms *kms, csfle__kms_call *call, csfle_error *err)
{
  hcvault          *h = (hcvault *)kms;
  work             *w = csfle__kms_work(call, sizeof *w, free_work, err);
  csfle__io        *io = &call->io;
  csfle__http_about about = { "hcvault", csfle__str(h->key_id), call->unwrap ? "decrypt" : "encrypt" };
  csfle__http_about login_about = { "hcvault", csfle__str(h->key_id), "AppRole login" };
  csfle__next       next;
  csfle__http_words words;

  if (!w) return CSFLE__FAIL;
  CSFLE__BEGIN(w);
  if (call->unwrap && !is_wrapped(call->in)) {
    csfle__http_failf(&about, CSFLE_E_DECRYPT, err, "wrapped key material does not begin with vault:v");
    return CSFLE__FAIL;
  }
  for (w->i = 0; w->i < SETTINGS; w->i++) {
    if (h->props[w->i].len) {
      if (csfle__secret_copy(&w->set[w->i], csfle__secret_view(&h->props[w->i]), err) != CSFLE_OK) return CSFLE__FAIL;
      continue;
    }
    CSFLE__KMS_NEED(w, io, CSFLE__NEED_VARIABLE, variables[w->i]);
    csfle__secret_move(&w->set[w->i], &io->need_value);
  }
  for (w->i = 0; w->i < CSFLE__TLS_FILES; w->i++) {
    if (!h->files[w->i].len) CSFLE__KMS_NEED(w, io, CSFLE__NEED_VARIABLE, tls_variables[w->i]);
    if (csfle__http_tls_set(&w->tls, (int)w->i, h->files[w->i].len ? csfle__secret_view(&h->files[w->i]) : csfle__secret_view(&io->need_value), err) != CSFLE_OK)
      return CSFLE__FAIL;
  }
  if (w->tls.tls.key_file && !w->tls.tls.cert_file) {
    csfle__fail(err, CSFLE_E_CONFIG, "hcvault: a key of a client certificate and no certificate: set ssl.certificate.location or VAULT_CLIENT_CERT");
    return CSFLE__FAIL;
  }
  for (w->i = 0; jks_variables[w->i]; w->i++) {
    CSFLE__KMS_NEED(w, io, CSFLE__NEED_VARIABLE, jks_variables[w->i]);
    if (io->need_value.len) {
      refuse_jks(jks_variables[w->i], err);
      return CSFLE__FAIL;
    }
  }
login:
  if (approle(w)) {
    CSFLE__KMS_SESSION(w, kms, call, next, csfle__bearer_get(&h->session, call->now_ms, 0, &w->token, &w->cached, err), err);
    if (next == CSFLE__FAIL) return CSFLE__FAIL;
    w->tries = 0;
  login_again:
    if (!w->cached) {
      if (build_login(h, w, call, err) != CSFLE_OK) return not_built(&login_about, err);
      CSFLE__STOP(w, CSFLE__SEND);
      if (io->reply.status != 200) {
        words = csfle__http_vendor(&io->reply);
        if (!csfle__http_again(call, &w->tries, transient(&io->reply) && !bad_secret(&words))) return give_up(call, &login_about, &words, true, err);
        CSFLE__STOP(w, CSFLE__WAIT);
        goto login_again;
      }
      if (take_login(h, w, call, &login_about, err) != CSFLE_OK) return CSFLE__FAIL;
      csfle__kms_login_end(call, NULL);
    }
  } else if (!w->set[TOKEN].len) {
    csfle__fail(err, CSFLE_E_CONFIG, "hcvault key '%.120s': no credentials: set token.id, or approle.role.id and approle.secret.id, or VAULT_TOKEN", h->key_id);
    return CSFLE__FAIL;
  } else if (csfle__secret_copy(&w->token, csfle__secret_view(&w->set[TOKEN]), err) != CSFLE_OK) {
    return CSFLE__FAIL;
  }
  w->tries = 0;
again:
  if (build(h, w, call, err) != CSFLE_OK) return not_built(&about, err);
  CSFLE__STOP(w, CSFLE__SEND);
  if (io->reply.status == 200) {
    csfle_status rc = take(call, &about, err);
    csfle__io_reset(io);
    return rc == CSFLE_OK ? CSFLE__DONE : CSFLE__FAIL;
  }
  words = csfle__http_vendor(&io->reply);
  if (io->reply.status == 403 && approle(w) && w->cached && !w->renewed) {
    w->renewed = true;
    csfle__bearer_drop(&h->session, csfle__secret_view(&w->token));
    goto login;
  }
  if (csfle__http_again(call, &w->tries, transient(&io->reply))) {
    CSFLE__STOP(w, CSFLE__WAIT);
    goto again;
  }
  return give_up(call, &about, &words, false, err);
  CSFLE__END;
  csfle__fail(err, CSFLE_E_INTERNAL, "hcvault call stepped after its end");
  return CSFLE__FAIL;
}

const csfle__kms_driver csfle__kms_driver_hcvault = { "hcvault", hcvault_open, hcvault_step, hcvault_close };
