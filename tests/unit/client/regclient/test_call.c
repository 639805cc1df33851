/* Proves requests to the registry: headers, credentials, URLs, retries, error bodies, references, single flight. */
#include "client/regclient/schemas.h"
#include "tests/support/fake_registry.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>

static uint32_t bounds[32];
static size_t   bound_count;
static uint32_t highest(uint32_t bound)
{
  if (bound_count < 32) bounds[bound_count++] = bound;
  return bound - 1;
}
static int64_t zero(void *opaque) { return (void)opaque, 0; }

static csfle__rc rc;
static void      open_rc(const char *urls, const char *user, const char *headers)
{
  csfle__world w = { { zero, zero, NULL }, { NULL, NULL, 0 }, NULL, highest, NULL };
  assert_ok(csfle__rc_init(&rc, &w, csfle__str(urls), user, csfle__str(headers), err));
  bound_count = 0;
}

/* Steps @p c; answers every SEND with the next status; returns what came last, *sends and the URL asked last. */
static csfle__next play(csfle__rc_call *c, const int *statuses, size_t count, const char *body, size_t *sends, char *url, csfle_error *e)
{
  *sends = 0;
  for (;;) {
    csfle__next n = csfle__rc_step(&rc, c, e);
    if (n == CSFLE__SEND) {
      if (url) snprintf(url, 256, "%.*s", (int)c->io.request.url.len, (char *)c->io.request.url.ptr);
      int st = statuses[*sends < count ? *sends : count - 1];
      c->io.reply.status = st;
      csfle__buf_clear(&c->io.reply.body);
      if (st) assert_ok(csfle__buf_puts(&c->io.reply.body, body, err));
      else snprintf(c->io.reply.failure, sizeof c->io.reply.failure, "connection refused");
      (*sends)++;
    } else if (n != CSFLE__WAIT) {
      return n;
    }
  }
}

static csfle__next get(const char *path, const int *statuses, size_t count, const char *body, size_t *sends, char *url, csfle_error *e)
{
  csfle__rc_call c;
  csfle__rc_call_init(&c, "GET");
  assert_ok(csfle__buf_puts(&c.path, path, err));
  csfle__next n = play(&c, statuses, count, body, sends, url, e);
  csfle__rc_call_free(&c);
  return n;
}

TEST(transient_answers_are_tried_again_and_no_others) /* SERDE-157 SERDE-158 SERDE-159 */
{
  const struct { int status; size_t sends; csfle_status code; } cases[] = {
    { 503, 4, CSFLE_E_UNAVAILABLE }, { 500, 4, CSFLE_E_UNAVAILABLE }, { 502, 4, CSFLE_E_UNAVAILABLE }, { 504, 4, CSFLE_E_UNAVAILABLE }, { 408, 4, CSFLE_E_UNAVAILABLE },
    { 429, 4, CSFLE_E_THROTTLED }, { 0, 4, CSFLE_E_UNAVAILABLE }, { 400, 1, CSFLE_E_SCHEMA }, { 401, 1, CSFLE_E_UNAUTHENTICATED }, { 403, 1, CSFLE_E_FORBIDDEN },
    { 404, 1, CSFLE_E_SCHEMA }, { 409, 1, CSFLE_E_SCHEMA }, { 422, 1, CSFLE_E_SCHEMA }, { 302, 1, CSFLE_E_SCHEMA },
  };
  open_rc("http://a", NULL, "");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle_error e = CSFLE_ERROR_INIT;
    size_t      sends;
    bound_count = 0;
    assert_int_equal(get("/x", &cases[i].status, 1, "{\"error_code\":40403,\"message\":\"Schema not found\"}", &sends, NULL, &e), CSFLE__FAIL);
    assert_int_equal(sends, cases[i].sends);
    assert_int_equal(e.code, cases[i].code);
    assert_int_equal(e.http, cases[i].status);
    if (cases[i].sends == 4) { /* full jitter: 1 .. wait * 2^n */
      assert_int_equal(bound_count, 3);
      assert_int_equal(bounds[0], 1000), assert_int_equal(bounds[1], 2000), assert_int_equal(bounds[2], 4000);
    }
    if (cases[i].status) assert_int_equal(e.remote_code, 40403), assert_non_null(strstr(e.msg, "Schema not found; error code: 40403")); /* SERDE-162 */
  }
  rc.max_retries = 8, bound_count = 0;
  csfle_error e = CSFLE_ERROR_INIT;
  size_t      sends;
  get("/x", &cases[0].status, 1, "{}", &sends, NULL, &e);
  assert_int_equal(bounds[7], 20000); /* never longer than retries.max.wait.ms */
  assert_int_equal(e.remote_code, 50005); /* SERDE-161 */
  const int then_good[] = { 503, 0, 200 };
  assert_int_equal(get("/x", then_good, 3, "{}", &sends, NULL, &e), CSFLE__DONE);
  assert_int_equal(sends, 3);
  csfle__rc_free(&rc);
}

TEST(the_body_of_an_error_is_not_repeated_when_it_is_none)
{
  csfle_error e = CSFLE_ERROR_INIT;
  size_t      sends;
  int         st = 404;
  open_rc("http://a", NULL, "");
  get("/x", &st, 1, "<html>078-05-1120</html>", &sends, NULL, &e);
  assert_string_equal(e.msg, "registry http://a answered 404 with a body that is no registry error; error code: 50005");
  get("/x", &st, 1, "{\"error_code\":1,\"message\":\"two\\nlines\\u001b\"}", &sends, NULL, &e);
  assert_string_equal(e.msg, "registry http://a answered 404: two lines ; error code: 1");
  st = 200;
  assert_int_equal(get("/x", &st, 1, "not json", &sends, NULL, &e), CSFLE__FAIL);
  assert_string_equal(e.msg, "registry http://a answered 200 with a body that is not JSON");
  csfle__rc_free(&rc);
}

TEST(the_next_url_is_tried_and_the_good_one_remembered) /* SERDE-160 */
{
  csfle_error e = CSFLE_ERROR_INIT;
  size_t      sends;
  char        url[256];
  const int   first_down[] = { 0, 0, 200 };
  open_rc("http://a/ , http://b:8081/sr//,", NULL, "");
  rc.max_retries = 1;
  assert_int_equal(rc.url_count, 2);
  assert_int_equal(get("/x", first_down, 3, "{}", &sends, url, &e), CSFLE__DONE);
  assert_string_equal(url, "http://b:8081/sr/x");
  assert_int_equal(get("/y", first_down + 2, 1, "{}", &sends, url, &e), CSFLE__DONE);
  assert_string_equal(url, "http://b:8081/sr/y");
  assert_int_equal(sends, 1);
  const int refused = 403;
  assert_int_equal(get("/y", &refused, 1, "{}", &sends, url, &e), CSFLE__FAIL); /* final, whichever node says so */
  assert_int_equal(sends, 1);
  csfle__rc_free(&rc);
}

TEST(headers_and_credentials_are_sent) /* SERDE-163 SERDE-164 SERDE-167 */
{
  const struct { const char *urls, *user, *more, *want; } cases[] = {
    { "http://a", NULL, "", "Confluent-Accept-Unknown-Properties: true\r\n" },
    { "http://a", NULL, "", "Content-Type: application/vnd.schemaregistry.v1+json\r\nAccept: application/vnd.schemaregistry.v1+json\r\n" },
    { "http://a", NULL, "", "Confluent-Client-Version: c/" CSFLE_VERSION_TEXT "\r\n" },
    { "http://a", "user:pass:word", "", "Authorization: Basic dXNlcjpwYXNzOndvcmQ=\r\n" },
    { "http://us%65r:p%40ss@a", NULL, "", "Authorization: Basic dXNlcjpwQHNz\r\n" },
    { "http://a", NULL, "target-sr-cluster: lsrc-1\r\n", "target-sr-cluster: lsrc-1\r\n" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle_error    e = CSFLE_ERROR_INIT;
    csfle__rc_call c;
    open_rc(cases[i].urls, cases[i].user, cases[i].more);
    csfle__rc_call_init(&c, "GET");
    assert_ok(csfle__buf_puts(&c.path, "/subjects", err));
    assert_int_equal(csfle__rc_step(&rc, &c, &e), CSFLE__SEND);
    const char *headers = csfle__buf_cstr(&c.io.request.headers), *url = csfle__buf_cstr(&c.io.request.url);
    if (!strstr(headers, cases[i].want)) fail_msg("%zu: %s", i, headers);
    assert_string_equal(url, "http://a/subjects");
    csfle__rc_call_free(&c);
    csfle__rc_free(&rc);
  }
}

/* ---- references */

static csfle_status fetch_latest(csfle_fake *f, const char *subject, csfle__registered **out, csfle_error *e)
{
  csfle__world        w = { f->clock, { NULL, NULL, 0 }, &f->transport, highest, NULL };
  csfle__schema_fetch fetch;
  csfle_status        st = csfle__rc_init(&rc, &w, CSFLE__LIT("http://fake"), NULL, CSFLE__NONE, e);
  if (st != CSFLE_OK) return st;
  rc.max_retries = 0;
  csfle__schema_fetch_init(&fetch);
  fetch.by = CSFLE__BY_LATEST, fetch.subject = csfle__str(subject);
  csfle__next n;
  while ((n = csfle__schema_fetch_step(&rc, &fetch, e)) == CSFLE__SEND) csfle__send(&f->transport, &fetch.call.io);
  *out = n == CSFLE__DONE ? fetch.result : NULL;
  if (*out) fetch.result = NULL;
  csfle__schema_fetch_free(&fetch);
  csfle__rc_free(&rc);
  return n == CSFLE__DONE ? CSFLE_OK : e->code;
}

static void add(csfle_fake *f, const char *subject, int id, const char *refs)
{
  char more[512];
  snprintf(more, sizeof more, "{},\"references\":[%s]", refs);
  csfle_fake_add_schema(f, subject, id, 1, "\"string\"", more, NULL);
}
#define REF(n) "{\"name\":\"" n "\",\"subject\":\"" n "\",\"version\":1}"

static csfle_fake reference_fake;
static csfle_status fetch_once(void)
{
  csfle__registered *r = NULL;
  csfle_error        e = CSFLE_ERROR_INIT;
  csfle_status       st = fetch_latest(&reference_fake, "top", &r, &e);
  if (r) csfle__release(&r->shared);
  return st;
}

TEST(references_come_children_first_and_each_once) /* SERDE-173 */
{
  csfle__registered *r = NULL;
  csfle_error        e = CSFLE_ERROR_INIT;
  csfle_fake_init(&reference_fake);
  add(&reference_fake, "top", 1, REF("a") "," REF("b")), add(&reference_fake, "a", 2, REF("c")), add(&reference_fake, "b", 3, REF("c") "," REF("a")), add(&reference_fake, "c", 4, "");
  assert_int_equal(fetch_latest(&reference_fake, "top", &r, &e), CSFLE_OK);
  assert_int_equal(r->ref_count, 3);
  assert_true(csfle__eq_str(r->refs[0].name, "c") && csfle__eq_str(r->refs[1].name, "a") && csfle__eq_str(r->refs[2].name, "b"));
  assert_int_equal(csfle_fake_count(&reference_fake, "GET /subjects/c/versions/1?deleted=true"), 1);
  csfle__release(&r->shared);
  TORTURE(fetch_once());
  csfle_fake_free(&reference_fake);
  csfle_fake_init(&reference_fake);
  add(&reference_fake, "top", 1, REF("a")), add(&reference_fake, "a", 2, REF("b")), add(&reference_fake, "b", 3, REF("a"));
  assert_int_equal(fetch_latest(&reference_fake, "top", &r, &e), CSFLE_E_SCHEMA);
  assert_string_equal(e.msg, "schema references go round in a circle at 'a'");
  csfle_fake_free(&reference_fake);
}

TEST(a_bounded_cache_drops_the_oldest_and_the_expired)
{
  typedef struct thing { csfle__shared shared; } thing;
  static thing  things[4];
  csfle__cache  c;
  csfle__bytes  names[] = { BYTES("a"), BYTES("b"), BYTES("c"), BYTES("d") };
  csfle__cache_init(&c, 2);
  for (size_t i = 0; i < 4; i++) {
    things[i].shared.refs = 1;
    csfle__cache_put(&c, names[i], &things[i].shared, i == 3 ? 100 : INT64_MAX);
  }
  assert_null(csfle__cache_get(&c, names[0], 0));
  assert_null(csfle__cache_get(&c, names[1], 0));
  assert_ptr_equal(csfle__cache_get(&c, names[2], 0), &things[2]);
  assert_ptr_equal(csfle__cache_get(&c, names[3], 99), &things[3]);
  assert_null(csfle__cache_get(&c, names[3], 100));
  assert_int_equal(things[0].shared.refs, 1);
  assert_int_equal(things[3].shared.refs, 2); /* what get handed out */
  csfle__cache_free(&c);
  assert_int_equal(things[2].shared.refs, 2);
}
