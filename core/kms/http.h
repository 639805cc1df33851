/**
 * What the HTTP drivers share: building a request, reading a reply, the vendor's words in an error, and when to try
 * again. Machines are written straight on:
 *
 *     static csfle__next step(..., work *w, csfle__kms_call *call, csfle_error *err) {
 *       CSFLE__BEGIN(w);                         // w->line is 0 at first; what lives over a stop is in *w
 *       ...
 *       w->tries = 0;
 *     again:
 *       rc = build(...);                             // csfle__http_start, _url, _header, _body, csfle__hosts_check
 *       CSFLE__STOP(w, CSFLE__SEND);
 *       if (!ok(&call->io.reply)) {
 *         csfle__http_words words = csfle__http_vendor(&call->io.reply);
 *         if (csfle__http_again(call, &w->tries, transient)) { CSFLE__STOP(w, CSFLE__WAIT); goto again; }
 *         csfle__http_fail(&about, &call->io.reply, &words, err);
 *         return CSFLE__FAIL;
 *       }
 *       CSFLE__END;
 *     }
 */
#ifndef CSFLE_KMS_HTTP_H
#define CSFLE_KMS_HTTP_H

#include "core/base/json.h"
#include "core/fetch/step.h"
#include "core/kms/hosts.h"

/** Asks for the file or variable @p name (borrowed until answered); io->need_value and need_found afterwards. */
#define CSFLE__KMS_NEED(m, io, kind, name)     \
  do {                                         \
    csfle__io_reset(io);                       \
    (io)->need_kind = (kind);                  \
    (io)->need_name = (name);                  \
    CSFLE__STOP(m, CSFLE__NEED);           \
  } while (0)

/**
 * Looks for a session of the open key with @p look, which sets m->cached; if there is none waits for this call's turn to log in.
 * Afterwards: m->cached; or @p next is DONE, log in and call csfle__kms_login_end; or FAIL, another's login has failed.
 */
#define CSFLE__KMS_SESSION(m, kms, call, next, look, err)                             \
  do {                                                                                 \
    (m)->line = __LINE__;                                                              \
    __attribute__((fallthrough));                                                      \
  case __LINE__:                                                                       \
    if ((look) != CSFLE_OK) return CSFLE__FAIL;                                        \
    (next) = (m)->cached ? CSFLE__DONE : csfle__kms_login_turn(kms, call, err);        \
    if ((next) == CSFLE__WAIT) return (next);                                          \
  } while (0)

/* ---- requests */

/** Empties io and begins a request. @p method static. */
void csfle__http_start(csfle__io *io, const char *method, uint32_t timeout_ms);
/** Appends "Name: value\r\n". CSFLE_E_CONFIG when @p value has a control character in it. */
csfle_status csfle__http_header(csfle__io *io, const char *name, csfle__bytes value, csfle_error *err);
/** False when @p value has a control character in it, which no header may have. */
bool csfle__http_printable(csfle__bytes value);
/** Appends with all but A-Z a-z 0-9 - _ . ~ percent-encoded (RFC 3986). */
csfle_status csfle__http_encode(csfle_buf *b, csfle__bytes text, csfle_error *err);
/** Appends "name=value" encoded, with '&' before it unless @p b is empty or ends with '?'. */
csfle_status csfle__http_form(csfle_buf *b, const char *name, csfle__bytes value, csfle_error *err);
/** Appends base64 of @p in. */
csfle_status csfle__http_base64(csfle_buf *b, csfle__bytes in, csfle_error *err);
/** Appends base64url of @p in, without padding. */
csfle_status csfle__http_base64url(csfle_buf *b, csfle__bytes in, csfle_error *err);
/** base64 with or without padding into *out. False, *out empty: it is empty or not base64. rc is NOMEM in *rc. */
bool csfle__http_unbase64(csfle__bytes text, csfle__secret *out, csfle_status *rc);

/** Certificates of a driver's own, for request.tls: owned texts. Zero state: none. */
typedef struct csfle__http_tls {
  csfle__tls tls;
  bool       any;
} csfle__http_tls;
enum { CSFLE__TLS_CA, CSFLE__TLS_CERT, CSFLE__TLS_KEY, CSFLE__TLS_FILES };
/** Sets one of CSFLE__TLS_* to a copy of @p path; an empty one changes nothing. */
csfle_status csfle__http_tls_set(csfle__http_tls *t, int which, csfle__bytes path, csfle_error *err);
void csfle__http_tls_free(csfle__http_tls *t);
/**
 * A property that names a file of this machine: what the operator has set, never what the registry says. *out is empty when it is
 * not set. CSFLE_E_CONFIG: the registry has set it.
 */
csfle_status csfle__http_own_file(csfle__secret *out, const csfle__kms_props *props, const char *name, csfle_error *err);

/* ---- replies */

/** What the vendor says went wrong; texts are cut to their first line and these sizes, control characters are blanks. */
typedef struct csfle__http_words {
  char code[96];     /**< "AccessDeniedException", "" unknown */
  char message[200];
} csfle__http_words;
/**
 * Reads the usual JSON shapes ({"__type"|"code"|"Code"|"status", "message"|"Message"|"error_description"}, the same
 * below "error", {"errors":["..."]}, the first where several are in one text) and XML (<Code>, <Message>). A prefix up to
 * '#' and a suffix from ':' of a code are dropped. Never fails: what is neither has no words. Give it no reply that may hold a secret.
 */
csfle__http_words csfle__http_vendor(const csfle__reply *r);
/** The first line of @p from, cut to @p size with its NUL, control characters as blanks: what may be shown of foreign text. */
void csfle__http_line(char *out, size_t size, csfle__bytes from);
/** Text between <name> and </name>, trimmed and not unescaped; {NULL,0} when absent. */
csfle__bytes csfle__xml_text(csfle__bytes xml, const char *name);

/** A reply that is worth another try whatever the vendor: none (unless refused), 408, 429, 500, 502, 503, 504. */
bool csfle__http_transient(const csfle__reply *r);
/**
 * Whether to try again: @p transient and fewer than 3 tries so far. Counts *tries and sets io.wait_until_ms: Retry-After
 * (seconds or date) if there is one, else full jitter over 100 ms doubled a try. A Retry-After beyond 30 s is no wait
 * inside a call: false. Reads call->mono_ms, now_ms. [ENC-99]
 */
bool csfle__http_again(csfle__kms_call *call, unsigned *tries, bool transient);

/** What was being done, for errors. */
typedef struct csfle__http_about {
  const char  *kms;       /**< "aws-kms" */
  csfle__bytes key_id;
  const char  *operation; /**< "Decrypt", "AssumeRole" */
} csfle__http_about;
/**
 * "aws-kms key 'arn:...': Decrypt: HTTP 400 AccessDeniedException: not authorized". Code: 401 UNAUTHENTICATED, 403
 * FORBIDDEN, 429 THROTTLED, other transient and 5xx UNAVAILABLE or TIMEOUT, a refused address POLICY, a redirect CONFIG, else DECRYPT; err->http and
 * retry_after_ms are set. The driver may change err->code to what it knows better. A message that repeats key material
 * or a token of the request is left out. [ENC-102]
 */
csfle_status csfle__http_fail(const csfle__http_about *a, const csfle__kms_call *call, const csfle__http_words *w, csfle_error *err);
/** The same beginning, for failures of other kinds: "aws-kms key '...': Decrypt: <text>". */
csfle_status csfle__http_failf(const csfle__http_about *a, csfle_status code, csfle_error *err, const char *fmt, ...) CSFLE__PRINTF(4, 5);

/* ---- time */

/** ISO 8601 UTC "2026-11-22T00:55:13Z", fraction allowed; false when it is none. Milliseconds since 1970. */
bool csfle__time_iso(csfle__bytes text, int64_t *ms);
/** RFC 9110 date "Sun, 06 Nov 1994 08:49:37 GMT". */
bool csfle__time_http(csfle__bytes text, int64_t *ms);
/** With strftime(3). @p size of @p out. */
void csfle__time_format(char *out, size_t size, const char *format, int64_t ms);

#endif
