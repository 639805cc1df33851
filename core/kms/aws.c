/*
 * aws-kms [ENC 4.3]: Encrypt and Decrypt of AWS KMS in the region of the key's ARN. Credentials are found by aws_login.c
 * and kept while the key is open, renewed five minutes before they expire.
 */
#include "core/kms/aws.h"
#include "core/base/alloc.h"

#define RENEW_MS   (5 * 60 * 1000)
#define SKEW_MS    (60 * 1000)
#define TIMEOUT_MS 30000

/* ---- verdicts */

static bool one_of(const char *code, const char *const *names)
{
  for (; *names; names++)
    if (strcmp(code, *names) == 0) return true;
  return false;
}

bool csfle__aws_transient(const csfle__reply *r, const csfle__http_words *w)
{
  static const char *const names[] = { "ThrottlingException", "Throttling", "ThrottledException", "TooManyRequestsException", "RequestThrottled",
                                       "RequestLimitExceeded", "LimitExceededException", "SlowDown", "RequestTimeout", "RequestTimeoutException",
                                       "TransactionInProgressException", NULL };
  return csfle__http_transient(r) || one_of(w->code, names);
}

/* 400 in JSON from KMS, 403 in XML from STS: who we say we are is what is wrong */
static const char *const unknown[] = { "ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException",
                                       "SignatureDoesNotMatch", "IncompleteSignatureException", "IncompleteSignature", "MissingAuthenticationTokenException",
                                       "MissingAuthenticationToken", "RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture", NULL };

csfle_status csfle__aws_fail(const csfle__http_about *about, const csfle__kms_call *call, const csfle__http_words *w, csfle_error *err)
{
  static const char *const gone[] = { "NotFoundException", "DisabledException", "KMSInvalidStateException", NULL };
  static const char *const record[] = { "InvalidCiphertextException", "IncorrectKeyException", "ValidationException", NULL };
  csfle_status             rc = csfle__http_fail(about, call, w, err);
  if (call->io.reply.status == 0) return rc;
  if (one_of(w->code, gone)) rc = CSFLE_E_KEY_GONE;
  else if (one_of(w->code, unknown)) rc = CSFLE_E_UNAUTHENTICATED;
  else if (rc == CSFLE_E_DECRYPT && csfle__aws_transient(&call->io.reply, w)) rc = strstr(w->code, "Timeout") ? CSFLE_E_UNAVAILABLE : CSFLE_E_THROTTLED;
  else if (rc != CSFLE_E_UNAUTHENTICATED && (strstr(w->code, "AccessDenied") || strstr(w->code, "Unauthorized"))) rc = CSFLE_E_FORBIDDEN;
  else if (rc == CSFLE_E_DECRYPT && !one_of(w->code, record)) rc = CSFLE_E_CONFIG; /* a 404 of somebody else: nothing that another record could change */
  if (err) err->code = rc;
  return rc;
}

int64_t csfle__aws_now(csfle__aws *a, const csfle__kms_call *call)
{
  pthread_mutex_lock(&a->sessions.lock);
  int64_t skew = a->skew_ms;
  pthread_mutex_unlock(&a->sessions.lock);
  return call->now_ms + skew;
}

bool csfle__aws_skewed(csfle__aws *a, const csfle__kms_call *call, const csfle__http_words *w, bool *tried)
{
  static const char *const names[] = { "RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture", "InvalidSignatureException", "SignatureDoesNotMatch", NULL };
  int64_t                  theirs, off;
  if (*tried || !one_of(w->code, names) || !csfle__time_http(csfle__header(csfle__buf_view(&call->io.reply.headers), "Date"), &theirs)) return false;
  *tried = true;
  off = theirs - csfle__aws_now(a, call);
  if (off > -SKEW_MS && off < SKEW_MS) return false; /* the clock is not what is wrong */
  pthread_mutex_lock(&a->sessions.lock);
  a->skew_ms = theirs - call->now_ms;
  pthread_mutex_unlock(&a->sessions.lock);
  return true;
}

/* ---- key ids */

static const struct {
  const char *region, *partition, *suffix;
} partitions[] = {
  { "us-gov-", "aws-us-gov", "amazonaws.com" }, { "us-iso-", "aws-iso", "c2s.ic.gov" }, { "us-isob-", "aws-iso-b", "sc2s.sgov.gov" },
  { "eu-isoe-", "aws-iso-e", "cloud.adc-e.uk" }, { "us-isof-", "aws-iso-f", "csp.hci.ic.gov" }, { "cn-", "aws-cn", "amazonaws.com.cn" },
  { "eusc-", "aws-eusc", "amazonaws.eu" }, { "us-", "aws", "amazonaws.com" }, { "eu-", "aws", "amazonaws.com" }, { "ap-", "aws", "amazonaws.com" },
  { "sa-", "aws", "amazonaws.com" }, { "ca-", "aws", "amazonaws.com" }, { "me-", "aws", "amazonaws.com" }, { "af-", "aws", "amazonaws.com" },
  { "il-", "aws", "amazonaws.com" }, { "mx-", "aws", "amazonaws.com" },
};
static const char *const own_hosts[] = { "*.amazonaws.com", "*.amazonaws.com.cn", "*.amazonaws.eu", "*.c2s.ic.gov", "*.sc2s.sgov.gov", "*.cloud.adc-e.uk",
                                         "*.csp.hci.ic.gov", NULL };

static bool all(csfle__bytes b, bool (*is)(uint8_t c))
{
  for (size_t i = 0; i < b.len; i++)
    if (!is(b.ptr[i])) return false;
  return b.len != 0;
}
static bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }
static bool is_region(uint8_t c) { return is_digit(c) || (c >= 'a' && c <= 'z') || c == '-'; }
static bool is_id(uint8_t c) { return is_region(c) || (c >= 'A' && c <= 'Z') || c == '_' || c == '/' || c == ':'; }

/* arn:<partition>:kms:<region>:<account>:(key|alias)/<id> */
static bool parse_arn(csfle__aws *a)
{
  csfle__bytes rest = csfle__str(a->key_id), part[6];
  for (size_t i = 0; i < 5; i++) {
    const uint8_t *colon = rest.len ? memchr(rest.ptr, ':', rest.len) : NULL;
    if (!colon) return false;
    part[i] = csfle__view(rest.ptr, (size_t)(colon - rest.ptr));
    rest = csfle__from(rest, part[i].len + 1);
  }
  part[5] = rest;
  a->checks_key = csfle__starts(rest, CSFLE__LIT("key/"));
  if (!csfle__eq_str(part[0], "arn") || !csfle__eq_str(part[2], "kms") || !all(part[3], is_region) || !all(part[4], is_digit) ||
      !all(csfle__from(rest, a->checks_key ? 4 : 6), is_id) || (!a->checks_key && !csfle__starts(rest, CSFLE__LIT("alias/"))))
    return false;
  a->region = part[3];
  for (size_t i = 0; i < sizeof partitions / sizeof *partitions; i++)
    if (csfle__starts(part[3], csfle__str(partitions[i].region))) {
      a->suffix = partitions[i].suffix;
      return csfle__eq_str(part[1], partitions[i].partition);
    }
  return false;
}

static void aws_close(csfle__kms *kms)
{
  csfle__aws *a = (csfle__aws *)kms;
  for (size_t i = 0; i < CSFLE__AWS_PROPS; i++) csfle__secret_wipe(&a->props[i]);
  csfle__hosts_close(&a->hosts);
  csfle__free(a->key_id);
  csfle__sessions_free(&a->sessions);
  csfle__free(a);
}

static csfle_status aws_open(csfle__kms **out, const csfle__kms_props *props, csfle__bytes key_id, csfle_error *err)
{
  static const char *const names[CSFLE__AWS_PROPS] = { "access.key.id", "secret.access.key", "profile", "role.arn", "role.session.name", "role.external.id" };
  csfle__aws              *a = csfle__calloc(1, sizeof *a);
  csfle_status             rc;
  if (!a) return csfle__nomem(err);
  csfle__sessions_init(&a->sessions);
  a->key_id = csfle__dup(key_id.ptr ? (const void *)key_id.ptr : "", key_id.len);
  rc = a->key_id ? csfle__hosts_open(&a->hosts, props, own_hosts, err) : csfle__nomem(err);
  if (rc == CSFLE_OK && (strlen(a->key_id) != key_id.len || !parse_arn(a)))
    rc = csfle__kms_bad_key_id("aws-kms", key_id, "arn:<partition>:kms:<region>:<account>:(key|alias)/<id>", err);
  if (rc == CSFLE_OK) rc = csfle__kms_read_props(a->props, names, CSFLE__AWS_PROPS, props, err);
  if (rc == CSFLE_OK && !a->props[CSFLE__AWS_ID].len != !a->props[CSFLE__AWS_SECRET].len)
    rc = csfle__fail(err, CSFLE_E_CONFIG, "aws-kms: access.key.id and secret.access.key belong together, only one is set");
  if (rc != CSFLE_OK) aws_close(&a->base);
  else *out = &a->base;
  return rc;
}

/* ---- one call */

typedef struct work {
  int                line;
  unsigned           tries;
  bool               skew_tried, renewed, cached;
  csfle__session     session;
  csfle__aws_login   login;
} work;

static void free_work(void *p)
{
  work *w = p;
  csfle__session_wipe(&w->session);
  csfle__aws_login_free(&w->login);
  csfle__free(w);
}

static csfle_status build(csfle__aws *a, work *w, csfle__kms_call *call, csfle_error *err)
{
  csfle__request *r = &call->io.request;
  csfle__sigv4    s = { csfle__secret_view(&w->session.id), csfle__secret_view(&w->session.key), csfle__secret_view(&w->session.token), a->region, "kms" };
  csfle__bytes    e = csfle__secret_view(&w->session.endpoint);
  csfle__http_start(&call->io, "POST", TIMEOUT_MS);
  while (e.len && e.ptr[e.len - 1] == '/') e.len--;
  csfle_status rc = e.len ? csfle__buf_printf(&r->url, err, "%.*s/", CSFLE__FMT(e))
                          : csfle__buf_printf(&r->url, err, "https://kms.%.*s.%s/", CSFLE__FMT(a->region), a->suffix);
  if (rc == CSFLE_OK) rc = csfle__hosts_check(&a->hosts, e.len ? CSFLE__HOST_OWN : CSFLE__HOST_KMS, r, err);
  if (rc == CSFLE_OK) rc = csfle__http_header(&call->io, "Content-Type", CSFLE__LIT("application/x-amz-json-1.1"), err);
  if (rc == CSFLE_OK) rc = csfle__http_header(&call->io, "X-Amz-Target", csfle__str(call->unwrap ? "TrentService.Decrypt" : "TrentService.Encrypt"), err);
  r->has_body = true;
  if (rc == CSFLE_OK) rc = call->unwrap ? csfle__buf_puts(&r->body, "{\"CiphertextBlob\":\"", err) : csfle__buf_printf(&r->body, err, "{\"KeyId\":\"%s\",\"Plaintext\":\"", a->key_id);
  if (rc == CSFLE_OK) rc = csfle__http_base64(&r->body, call->in, err);
  if (rc == CSFLE_OK) rc = call->unwrap ? csfle__buf_printf(&r->body, err, "\",\"KeyId\":\"%s\"}", a->key_id) : csfle__buf_puts(&r->body, "\"}", err);
  return rc == CSFLE_OK ? csfle__sigv4_sign(&s, csfle__aws_now(a, call), r, NULL, NULL, err) : rc;
}

static csfle_status take(const csfle__aws *a, csfle__kms_call *call, const csfle__http_about *about, csfle_error *err)
{
  yyjson_doc  *doc = NULL;
  csfle_status rc = csfle__json_parse_secret(&doc, csfle__buf_view(&call->io.reply.body), err);
  if (rc == CSFLE_E_NOMEM) return rc;
  if (rc != CSFLE_OK) return csfle__http_failf(about, CSFLE_E_UNAVAILABLE, err, "answer is not JSON");
  yyjson_val  *root = yyjson_doc_get_root(doc);
  csfle__bytes text = csfle__json_member_text(root, call->unwrap ? "Plaintext" : "CiphertextBlob");
  bool         other = call->unwrap && a->checks_key && !csfle__eq_str(csfle__json_member_text(root, "KeyId"), a->key_id);
#ifdef CSFLE_BREAK_ANSWERED_KEY_UNCHECKED
  other = false;
#endif
  if (other)
    rc = csfle__http_failf(about, CSFLE_E_DECRYPT, err, "decryption failed: wrong key id"); /* [ENC-84] */
  else if (!csfle__http_unbase64(text, &call->out, &rc))
    rc = rc == CSFLE_E_NOMEM ? csfle__nomem(err) : csfle__http_failf(about, CSFLE_E_UNAVAILABLE, err, "answer has no %s in base64", call->unwrap ? "Plaintext" : "CiphertextBlob");
  yyjson_doc_free(doc);
  return rc;
}

static csfle__next aws_step(csfle__kms *kms, csfle__kms_call *call, csfle_error *err)
{
  csfle__aws              *a = (csfle__aws *)kms;
  work                    *w = csfle__kms_work(call, sizeof *w, free_work, err);
  csfle__http_about        about = { "aws-kms", csfle__str(a->key_id), call->unwrap ? "Decrypt" : "Encrypt" };
  csfle__http_words        words;
  csfle__next              next;

  if (!w) return CSFLE__FAIL;
  CSFLE__BEGIN(w);
login:
  CSFLE__KMS_SESSION(w, kms, call, next, csfle__sessions_get(&a->sessions, csfle__aws_now(a, call), RENEW_MS, &w->session, &w->cached, err), err);
  if (!w->cached) {
    if (next == CSFLE__DONE) CSFLE__AWAIT(w, next, csfle__aws_login_step(a, &w->login, call, err));
    if (next == CSFLE__DONE) {
      if (csfle__sessions_put(&a->sessions, &w->login.got, &w->session, err) != CSFLE_OK) return CSFLE__FAIL;
    } else {
      /* what there is lives for a while yet */
      bool old = !w->renewed && !(err && err->code == CSFLE_E_NOMEM) && csfle__sessions_get(&a->sessions, csfle__aws_now(a, call), 0, &w->session, &w->cached, NULL) == CSFLE_OK;
      if (!old || !w->cached) return CSFLE__FAIL;
      csfle__kms_login_end(call, err);
      csfle__ok(err);
    }
    csfle__aws_login_free(&w->login);
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
  if (csfle__aws_skewed(a, call, &words, &w->skew_tried)) goto again;
  if (!w->renewed && w->cached && one_of(words.code, unknown)) { /* expired, or replaced in the file they came from */
    w->renewed = true;
    csfle__sessions_drop(&a->sessions, &w->session);
    goto login;
  }
  if (csfle__http_again(call, &w->tries, csfle__aws_transient(&call->io.reply, &words))) {
    CSFLE__STOP(w, CSFLE__WAIT);
    goto again;
  }
  csfle__aws_fail(&about, call, &words, err);
  csfle__io_reset(&call->io); /* the request has key material in it */
  return CSFLE__FAIL;
  CSFLE__END;
  csfle__fail(err, CSFLE_E_INTERNAL, "aws-kms call stepped after its end");
  return CSFLE__FAIL;
}

const csfle__kms_driver csfle__kms_driver_aws = { "aws-kms", aws_open, aws_step, aws_close };
