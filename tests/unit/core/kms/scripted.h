/**
 * A scripted world for KMS drivers: expected requests with their answers in order, an environment, files, a clock. What
 * a driver asks for beyond the script fails the test.
 */
#ifndef CSFLE_TESTS_UNIT_CORE_KMS_SCRIPTED_H
#define CSFLE_TESTS_UNIT_CORE_KMS_SCRIPTED_H

#include "core/kms/http.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct line {
  const char *method, *url;
  const char *headers; /**< lines that must be among those sent, each "Name: value\r\n"; NULL: any */
  const char *body;    /**< exactly; NULL: any */
  int         status;
  const char *reply_headers, *reply;
} line;
typedef struct pair { const char *name, *value; } pair;

typedef struct world {
  const line *script;
  const pair *env, *files; /**< ended by a NULL name; NULL: none */
  const pair *props, *own;
  int64_t     now_ms;      /**< moves with waits */
  size_t      at, waits;
  unsigned    addresses;   /**< of the last request */
  char        ca[64], cert[64], key[64]; /**< files of its own, likewise */
  csfle_error err;
} world;

static const char *pair_of(const pair *p, const char *name)
{
  for (; p && p->name; p++)
    if (strcmp(p->name, name) == 0) return p->value;
  return NULL;
}
static const char *world_prop(void *opaque, const char *name) { return pair_of(((world *)opaque)->props, name); }
static const char *world_own(void *opaque, const char *name) { return pair_of(((world *)opaque)->own, name); }
static csfle__kms_props world_props(world *w) { return (csfle__kms_props){ world_prop, w, world_own }; }

static void lines_among(const char *wanted, csfle__bytes sent)
{
  for (const char *l = wanted; l && *l;) {
    const char *end = strstr(l, "\r\n") + 2;
    bool        found = false;
    for (size_t i = 0; i + (size_t)(end - l) <= sent.len; i++) found = found || ((!i || sent.ptr[i - 1] == '\n') && memcmp(sent.ptr + i, l, (size_t)(end - l)) == 0);
    if (!found) fail_msg("header not sent: %.*s among\n%.*s", (int)(end - l), l, CSFLE__FMT(sent));
    l = end;
  }
}

/* What the URLs of the suites are for: metrics tell requests apart by it. */
static const char *purpose_of(csfle__bytes url)
{
  static const struct { const char *in, *purpose; } all[] = {
    { "://169.254.", "metadata" }, { "://[fd00:ec2::254]", "metadata" }, { "://100.100.100.200/", "metadata" }, { "/computeMetadata/", "metadata" }, { "/msi/token", "metadata" }, { "/metadata/identity/", "metadata" },
    { "://sts.", "sts" }, { "/oauth2/v2.0/token", "oauth" }, { "://oauth2.googleapis.com/", "oauth" }, { "/token", "oauth" }, { "https://t/", "oauth" },
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (memmem(url.ptr, url.len, all[i].in, strlen(all[i].in))) return all[i].purpose;
  return "kms";
}

/** Steps @p c to its end. CSFLE_E_NOMEM when the script itself had no memory. */
static csfle_status world_run(world *w, csfle__kms *k, csfle__kms_call *c)
{
  for (unsigned n = 0;; n++) {
    assert_true(n < 200);
    c->now_ms = w->now_ms, c->mono_ms = w->now_ms;
    switch (csfle__kms_step(k, c, &w->err)) {
    case CSFLE__SEND: {
      const line     *l = w->script ? &w->script[w->at] : NULL;
      csfle__request *r = &c->io.request;
      if (!l || !l->method) fail_msg("not in the script: %s %.*s", r->method, CSFLE__FMT(csfle__buf_view(&r->url)));
      w->at++;
      w->addresses = r->addresses;
      snprintf(w->ca, sizeof w->ca, "%s", r->tls && r->tls->ca_file ? r->tls->ca_file : "");
      snprintf(w->cert, sizeof w->cert, "%s", r->tls && r->tls->cert_file ? r->tls->cert_file : "");
      snprintf(w->key, sizeof w->key, "%s", r->tls && r->tls->key_file ? r->tls->key_file : "");
      assert_string_equal(r->method, l->method);
      assert_string_equal(r->purpose, purpose_of(csfle__buf_view(&r->url)));
      if (!csfle__eq_str(csfle__buf_view(&r->url), l->url)) fail_msg("sent to %.*s, not %s", CSFLE__FMT(csfle__buf_view(&r->url)), l->url);
      lines_among(l->headers, csfle__buf_view(&r->headers));
      assert_int_equal(r->has_body, strcmp(l->method, "GET") != 0);
      if (l->body && !csfle__eq_str(csfle__buf_view(&r->body), l->body)) fail_msg("sent %.*s, not %s", CSFLE__FMT(csfle__buf_view(&r->body)), l->body);
      csfle__buf_clear(&c->io.reply.body), csfle__buf_clear(&c->io.reply.headers);
      c->io.reply.status = l->status;
      snprintf(c->io.reply.failure, sizeof c->io.reply.failure, "%s", l->status ? "" : l->reply);
      if (!l->status) break;
      if (l->reply && csfle__buf_puts(&c->io.reply.body, l->reply, NULL) != CSFLE_OK) return CSFLE_E_NOMEM;
      if (l->reply_headers && csfle__buf_puts(&c->io.reply.headers, l->reply_headers, NULL) != CSFLE_OK) return CSFLE_E_NOMEM;
      break;
    }
    case CSFLE__WAIT:
      assert_true(c->io.wait_until_ms > w->now_ms);
      w->now_ms = c->io.wait_until_ms;
      w->waits++;
      break;
    case CSFLE__NEED: {
      const char *v = pair_of(c->io.need_kind == CSFLE__NEED_FILE ? w->files : w->env, c->io.need_name);
      c->io.need_found = v != NULL;
      if (v && csfle__secret_copy(&c->io.need_value, csfle__str(v), NULL) != CSFLE_OK) return CSFLE_E_NOMEM;
      break;
    }
    case CSFLE__DONE:
      assert_int_equal(c->io.request.body.len, 0); /* nothing secret stays behind */
      assert_int_equal(c->io.reply.body.len, 0);
      return CSFLE_OK;
    case CSFLE__FAIL: return w->err.code;
    }
  }
}

static csfle_status world_open(world *w, csfle__kms **k, const char *type, const char *key_id)
{
  csfle__kms_props p = world_props(w);
  *k = NULL;
  return csfle__kms_open(k, csfle__str(type), csfle__str(key_id), &p, &w->err);
}

/** One call with an open key; *out (may be NULL) gets the result. */
static csfle_status world_call(world *w, csfle__kms *k, bool unwrap, csfle__bytes in, csfle__secret *out)
{
  csfle__kms_call c;
  csfle__kms_call_init(&c, unwrap, in);
  csfle_status rc = world_run(w, k, &c);
  if (rc == CSFLE_OK && out) csfle__secret_move(out, &c.out);
  csfle__kms_call_free(&c);
  return rc;
}

/** Opens, calls once, closes. */
__attribute__((unused)) static csfle_status world_once(world *w, const char *type, const char *key_id, bool unwrap, csfle__bytes in, csfle__secret *out)
{
  csfle__kms  *k;
  csfle_status rc = world_open(w, &k, type, key_id);
  if (rc == CSFLE_OK) rc = world_call(w, k, unwrap, in, out);
  csfle__kms_close(k);
  return rc;
}

/** The whole script was used. */
__attribute__((unused)) static void world_done(const world *w) { assert_null(w->script[w->at].method); }

#endif
