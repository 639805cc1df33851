/** A world for a KMS driver: variables, files and replies from tables; what the driver asked is kept as text. */
#ifndef CSFLE_TESTS_KMS_SCRIPT_H
#define CSFLE_TESTS_KMS_SCRIPT_H

#include "core/kms/http.h"
#include "tests/support/test.h"

#include <stdio.h>

typedef struct answer {
  int         status; /* 0: no reply, body is the failure */
  const char *body, *headers;
} answer;
typedef struct pair { const char *name, *value; } pair;

typedef struct script {
  const pair   *props, *own, *variables, *files; /* each ended by {NULL,NULL}; may be NULL */
  const answer *answers;
  size_t        count, sent;
  int64_t       now_ms, mono_ms, waited_ms;
  unsigned      waits;
  unsigned      addresses; /* of the last request */
  char          ca[64];    /* file of trusted certificates of its own, likewise */
  char          log[24][8192]; /* "METHOD url\nheaders\nbody" of each request */
} script;

static const char *pair_get(const pair *p, const char *name)
{
  for (; p && p->name; p++)
    if (strcmp(p->name, name) == 0) return p->value;
  return NULL;
}
static const char *script_prop(void *opaque, const char *name) { return pair_get(((script *)opaque)->props, name); }
static const char *script_own(void *opaque, const char *name) { return pair_get(((script *)opaque)->own, name); }

/* Steps a call to its end. */
static csfle_status script_run(script *s, csfle__kms *k, bool unwrap, csfle__bytes in, csfle__secret *out, csfle_error *err)
{
  csfle__kms_call c;
  csfle_error     own = CSFLE_ERROR_INIT;
  if (!err) err = &own;
  csfle__kms_call_init(&c, unwrap, in);
  for (int steps = 0;; steps++) {
    assert_true(steps < 500);
    c.now_ms = s->now_ms, c.mono_ms = s->mono_ms;
    csfle__next next = csfle__kms_step(k, &c, err);
    if (next == CSFLE__DONE || next == CSFLE__FAIL) {
      csfle_status rc = next == CSFLE__DONE ? CSFLE_OK : err->code;
      if (next == CSFLE__FAIL) {
        assert_int_not_equal(err->code, CSFLE_OK);
        assert_null(c.out.ptr);
      } else csfle__secret_move(out, &c.out);
      csfle__kms_call_free(&c);
      return rc;
    }
    if (next == CSFLE__NEED) {
      const char *v = pair_get(c.io.need_kind == CSFLE__NEED_FILE ? s->files : s->variables, c.io.need_name);
      if (v && csfle__secret_copy(&c.io.need_value, csfle__str(v), NULL) == CSFLE_OK) c.io.need_found = true;
      else if (v) {
        csfle__kms_call_free(&c);
        return CSFLE_E_NOMEM;
      }
    } else if (next == CSFLE__WAIT) {
      assert_true(c.io.wait_until_ms > s->mono_ms);
      s->waited_ms += c.io.wait_until_ms - s->mono_ms;
      s->waits++;
      s->mono_ms = c.io.wait_until_ms;
    } else {
      assert_true(s->sent < 24);
      csfle__bytes u = csfle__buf_view(&c.io.request.url), h = csfle__buf_view(&c.io.request.headers), b = csfle__buf_view(&c.io.request.body);
      snprintf(s->log[s->sent], sizeof s->log[0], "%s %.*s\n%.*s\n%.*s", c.io.request.method, CSFLE__FMT(u), CSFLE__FMT(h), CSFLE__FMT(b));
      assert_int_not_equal(c.io.request.addresses, 0); /* AB-8: no request goes out unlooked at */
      s->addresses = c.io.request.addresses;
      snprintf(s->ca, sizeof s->ca, "%s", c.io.request.tls && c.io.request.tls->ca_file ? c.io.request.tls->ca_file : "");
      if (s->sent >= s->count) fail_msg("one request too many: %s", s->log[s->sent]);
      const answer *a = &s->answers[s->sent++];
      csfle__buf_clear(&c.io.reply.headers), csfle__buf_clear(&c.io.reply.body);
      c.io.reply.status = a->status, c.io.reply.failure[0] = 0;
      if (a->status == 0) snprintf(c.io.reply.failure, sizeof c.io.reply.failure, "%s", a->body);
      else if ((a->headers && csfle__buf_puts(&c.io.reply.headers, a->headers, NULL) != CSFLE_OK) || csfle__buf_puts(&c.io.reply.body, a->body, NULL) != CSFLE_OK) {
        csfle__buf_clear(&c.io.reply.body);
        c.io.reply.status = 0;
        snprintf(c.io.reply.failure, sizeof c.io.reply.failure, "out of memory");
      }
    }
  }
}

static csfle_status script_open(script *s, const char *type, const char *key_id, csfle__kms **k, csfle_error *err)
{
  csfle__kms_props p = { script_prop, s, script_own };
  *k = NULL;
  return csfle__kms_open(k, csfle__str(type), csfle__str(key_id), &p, err);
}

/* Opens, does one call, closes. */
static inline csfle_status script_once(script *s, const char *type, const char *key_id, bool unwrap, csfle__bytes in, csfle__secret *out, csfle_error *err)
{
  csfle__kms  *k;
  csfle_status rc = script_open(s, type, key_id, &k, err);
  if (rc != CSFLE_OK) return rc;
  rc = script_run(s, k, unwrap, in, out, err);
  csfle__kms_close(k);
  return rc;
}

#endif
