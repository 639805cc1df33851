/*
 * Properties of the comparison over random schemas (CSFLE_TEST_SEED repeats a run), and schemas made to be expensive,
 * compared on a thread of 128 KiB. [S15]
 */
#include "tests/support/test.h"

#include "core/schema/compat.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void put(csfle_buf *b, const char *text) { assert_int_equal(csfle__buf_puts(b, text, NULL), CSFLE_OK); }
#define PUT(b, ...) assert_int_equal(csfle__buf_printf(b, NULL, __VA_ARGS__), CSFLE_OK)

/* ---- random schemas --------------------------------------------------------------------------------------------------- */

/* shape decides what the schema is, change where this version of it differs from the others */
typedef struct random_text {
  csfle_buf b;
  uint64_t  shape, change;
  unsigned  names, rate; /* of changes, in 1000 */
  char      known[64][8];
  unsigned  known_count;
} random_text;

static uint64_t draw(uint64_t *state)
{
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}
static unsigned below(random_text *r, unsigned n) { return (unsigned)(draw(&r->shape) % n); }
static bool     changes(random_text *r) { return draw(&r->change) % 1000 < r->rate; }

static const char *const primitives[] = { "null", "boolean", "int", "long", "float", "double", "bytes", "string" };
static const char *const defaults[] = { "null", "true", "7", "7", "7", "7.5", "\"\\u00ff\"", "\"s\"" };

static void type(random_text *r, unsigned depth);

static void props(random_text *r)
{
  if (below(r, 4) == 0) PUT(&r->b, ",\"x%u\":{\"b\":[1,2.50],\"a\":null}", below(r, 3));
  if (below(r, 6) == 0) put(&r->b, ",\"confluent:tags\":[\"PII\"]");
}

static unsigned primitive(random_text *r)
{
  unsigned p = below(r, 8), q = below(r, 8);
  return changes(r) ? q : p;
}

static void named(random_text *r, unsigned depth, unsigned what)
{
  char     name[8];
  unsigned n = r->names++, count = below(r, 5) + (what == 1);
  bool     known = r->known_count < 64;

  snprintf(name, sizeof name, changes(r) ? "X%u" : "N%u", n);
  if (known) snprintf(r->known[r->known_count], sizeof r->known[0], "%s", name);
  PUT(&r->b, "{\"name\":\"%s\",\"type\":", name);
  if (below(r, 3) == 0) PUT(&r->b, "\"%s\",\"aliases\":[\"N%u\"],\"type\":", what == 0 ? "record" : what == 1 ? "enum" : "fixed", n + 1000);
  if (what == 2) {
    r->known_count += known;
    PUT(&r->b, "\"fixed\",\"size\":%u", 4 + below(r, 9) + (changes(r) ? 1 : 0));
  } else if (what == 1) {
    r->known_count += known;
    put(&r->b, "\"enum\",\"symbols\":[");
    for (unsigned i = 0, written = 0; i < count; i++) {
      if (changes(r)) continue;
      PUT(&r->b, "%s\"S%u\"", written++ ? "," : "", i);
    }
    put(&r->b, "]");
  } else {
    r->known_count += known; /* may refer to itself */
    put(&r->b, "\"record\",\"doc\":\"d\",\"fields\":[");
    for (unsigned i = 0, done = 0; i < count; i++) {
      bool     gone = changes(r), prim = depth == 0 || below(r, 2) == 0, with = below(r, 2) == 0;
      unsigned p = prim ? primitive(r) : 0;
      size_t   start = r->b.len;
      PUT(&r->b, "%s{\"name\":\"f%u\",\"type\":", done ? "," : "", i);
      if (prim) PUT(&r->b, "\"%s\"", primitives[p]);
      else type(r, depth - 1);
      if (prim && with) PUT(&r->b, ",\"default\":%s", defaults[p]);
      if (below(r, 5) == 0) PUT(&r->b, ",\"aliases\":[\"a%u\"]", i);
      props(r);
      put(&r->b, "}");
      if (gone && prim) r->b.len = start; /* a removed field that defines nothing */
      else done++;
    }
    if (changes(r)) PUT(&r->b, "%s{\"name\":\"g\",\"type\":\"int\"%s}", r->b.ptr[r->b.len - 1] == '[' ? "" : ",", changes(r) ? "" : ",\"default\":1");
    put(&r->b, "]");
  }
  props(r);
  put(&r->b, "}");
}

static void type(random_text *r, unsigned depth)
{
  unsigned what = below(r, depth ? 10 : 3);
  if (what < 2) PUT(&r->b, "\"%s\"", primitives[primitive(r)]);
  else if (what == 2 && r->known_count) PUT(&r->b, "\"%s\"", r->known[below(r, r->known_count)]);
  else if (what == 2) put(&r->b, "{\"type\":\"long\",\"logicalType\":\"timestamp-millis\",\"z\":1}");
  else if (what < 6) named(r, depth - 1, what == 3 ? 0 : what == 4 ? 1 : 2);
  else if (what < 8) {
    put(&r->b, what == 6 ? "{\"type\":\"array\",\"items\":" : "{\"type\":\"map\",\"values\":");
    type(r, depth - 1);
    props(r);
    put(&r->b, "}");
  } else {
    unsigned first = below(r, 8), second = (first + 1 + below(r, 7)) % 8;
    bool     one = changes(r);
    if (one) PUT(&r->b, "[\"%s\",", primitives[first]);
    else PUT(&r->b, "[\"%s\",\"%s\",", primitives[first], primitives[second]);
    named(r, depth - 1, below(r, 3));
    put(&r->b, "]");
  }
}

static csfle__schema *made(uint64_t shape, uint64_t change, unsigned rate, csfle_buf *text)
{
  random_text    r = { .shape = shape, .change = change, .rate = rate };
  csfle__schema *s = NULL;
  csfle_error    err = CSFLE_ERROR_INIT;
  csfle_buf_init(&r.b, 0, 0);
  named(&r, 4, 0);
  csfle_status rc = csfle__schema_parse(&s, CSFLE__NONE, csfle__buf_view(&r.b), NULL, 0, CSFLE__SCHEMA_NEW, &err);
  if (rc != CSFLE_OK) fail_msg("%s: %.*s", err.msg, CSFLE__FMT(csfle__buf_view(&r.b)));
  if (text) {
    csfle_buf_init(text, 0, 0);
    assert_int_equal(s->format->canonical(s, text, NULL), CSFLE_OK);
  }
  csfle_buf_free(&r.b);
  return s;
}

static uint64_t seed(void)
{
  const char *given = getenv("CSFLE_TEST_SEED");
  uint64_t    s = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 1000003u;
  printf("# CSFLE_TEST_SEED=%llu\n", (unsigned long long)s);
  return s;
}

static bool reads(const csfle__schema *r, const csfle__schema *w)
{
  bool ok = false;
  assert_ok(csfle__schema_compare(r, w, &ok, NULL, NULL, err));
  return ok;
}

TEST(every_schema_reads_itself_and_its_normalised_form)
{
  enum { COUNT = 3000 };
  uint64_t dice = seed();
  for (int i = 0; i < COUNT; i++) {
    csfle__schema *a = made(draw(&dice), draw(&dice), (unsigned)(draw(&dice) % 2) * 50, NULL), *b = NULL;
    csfle_buf      once, twice;
    csfle_buf_init(&once, 0, 0), csfle_buf_init(&twice, 0, 0);
    assert_true(reads(a, a));
    assert_ok(a->format->normalized(a, &once, err));
    assert_ok(csfle__schema_parse(&b, CSFLE__NONE, csfle__buf_view(&once), NULL, 0, CSFLE__SCHEMA_NEW, err));
    assert_ok(b->format->normalized(b, &twice, err));
    assert_bytes_equal(csfle__buf_view(&once), csfle__buf_view(&twice));
    assert_true(reads(a, b));
    assert_true(reads(b, a));
    csfle_buf_free(&once), csfle_buf_free(&twice);
    csfle__schema_free(a), csfle__schema_free(b);
  }
  printf("# %d schemas\n", COUNT);
}

typedef struct history {
  csfle__compat_version at[5];
  csfle_buf             texts[5];
} history;

static csfle_status from_history(void *opaque, size_t i, csfle__schema **out, csfle_error *err)
{
  const history *h = opaque;
  return csfle__schema_parse(out, CSFLE__NONE, h->at[i].text, NULL, 0, 0, err);
}

static bool follows(const csfle__schema *next, history *h, size_t from, size_t count, csfle__compat_level level)
{
  history             part = *h;
  csfle__messages     m = CSFLE__MESSAGES_INIT;
  csfle__compat_input in = { .level = level, .next = next, .previous = part.at, .count = count, .parse = from_history, .opaque = &part };
  bool                ok = false, again = false;
  for (size_t i = 0; i < count; i++) part.at[i] = h->at[from + i];
  assert_ok(csfle__compatible(&in, &ok, &m, err));
  assert_ok(csfle__compatible(&in, &again, NULL, err));
  assert_int_equal(ok, again);
  assert_int_equal(ok, m.count == 0);
  csfle__messages_free(&m);
  return ok;
}

TEST(verdicts_are_monotone_over_levels_and_history)
{
  enum { COUNT = 600, HISTORY = 4 };
  static const csfle__compat_level plain[] = { CSFLE__COMPAT_BACKWARD, CSFLE__COMPAT_FORWARD, CSFLE__COMPAT_FULL };
  uint64_t dice = seed();
  size_t   yes = 0, all = 0;
  for (int i = 0; i < COUNT; i++) {
    uint64_t       shape = draw(&dice);
    unsigned       rate = (unsigned)(draw(&dice) % 60);
    history        h = { 0 };
    csfle__schema *next = made(shape, draw(&dice), rate, NULL);
    for (size_t v = 0; v < HISTORY; v++) {
      csfle__schema_free(made(shape, draw(&dice), rate, &h.texts[v]));
      h.at[v] = (csfle__compat_version){ .version = (int32_t)v + 1, .text = csfle__buf_view(&h.texts[v]) };
    }
    assert_true(follows(next, &h, 0, HISTORY, CSFLE__COMPAT_NONE));
    bool one[3][HISTORY];
    for (size_t l = 0; l < 3; l++) {
      bool each = true;
      for (size_t n = HISTORY; n-- > 0;) { /* transitive over the newest: all of them one by one */
        one[l][n] = follows(next, &h, n, 1, plain[l]);
        each = each && one[l][n];
        assert_int_equal(follows(next, &h, n, HISTORY - n, plain[l] + 1), each);
        yes += one[l][n], all++;
      }
      assert_int_equal(follows(next, &h, 0, HISTORY, plain[l]), one[l][HISTORY - 1]); /* the plain level: the newest only */
    }
    for (size_t n = 0; n < HISTORY; n++) assert_int_equal(one[2][n], one[0][n] && one[1][n]); /* full is both */
    for (size_t v = 0; v < HISTORY; v++) csfle_buf_free(&h.texts[v]);
    csfle__schema_free(next);
  }
  printf("# %d histories, %zu of %zu verdicts compatible\n", COUNT, yes, all);
  assert_true(yes > all / 20 && yes < all - all / 20);
}

/* ---- expensive schemas --------------------------------------------------------------------------------------------------- */

typedef struct hostile {
  csfle_buf   old, next;
  bool        compatible;
  size_t      min_lines, max_lines;
  const char *line; /* the first one, as far as it is told here */
  csfle__messages m;
  csfle_status    rc;
  csfle_error     err;
  bool            ok;
  double          ms;
} hostile;

static void *compare_small_stack(void *opaque)
{
  hostile        *h = opaque;
  struct timespec a, b;
  clock_gettime(CLOCK_MONOTONIC, &a);
  h->rc = csfle__compatible_texts(CSFLE__COMPAT_BACKWARD, CSFLE__NONE, csfle__buf_view(&h->old), csfle__buf_view(&h->next), &h->ok, &h->m, &h->err);
  clock_gettime(CLOCK_MONOTONIC, &b);
  h->ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
  return NULL;
}

static void on_small_stack(hostile *h)
{
  pthread_attr_t attr;
  pthread_t      thread;
  h->ok = !h->compatible;
  pthread_attr_init(&attr);
  assert_int_equal(pthread_attr_setstacksize(&attr, 128 * 1024), 0);
  assert_int_equal(pthread_create(&thread, &attr, compare_small_stack, h), 0);
  pthread_join(thread, NULL);
  pthread_attr_destroy(&attr);
  printf("# %zu and %zu bytes: %.0f ms with parsing, %zu lines of %zu bytes\n", h->old.len, h->next.len, h->ms, h->m.count, h->m.text.len);
  if (h->rc != CSFLE_OK) fail_msg("%s %s", h->err.where, h->err.msg);
  assert_int_equal(h->ok, h->compatible);
  assert_in_range(h->m.count, h->min_lines, h->max_lines);
  if (h->line) assert_true(csfle__starts(csfle__messages_at(&h->m, 0), csfle__str(h->line)));
  assert_true(h->m.text.len < CSFLE__COMPAT_MAX_TEXT + 20000);
  csfle__messages_free(&h->m);
  csfle_buf_free(&h->old), csfle_buf_free(&h->next);
}

static hostile start(bool compatible, size_t min_lines, size_t max_lines, const char *line)
{
  hostile h = { .compatible = compatible, .min_lines = min_lines, .max_lines = max_lines, .line = line };
  csfle_buf_init(&h.old, 0, 0), csfle_buf_init(&h.next, 0, 0);
  return h;
}

static void wide_union(csfle_buf *b, const char *letter, unsigned branches, unsigned fields)
{
  put(b, "[");
  for (unsigned i = 0; i < branches; i++) {
    PUT(b, "%s{\"type\":\"record\",\"name\":\"%s%u\",\"fields\":[", i ? "," : "", letter, i);
    for (unsigned f = 0; f < fields; f++) PUT(b, "%s{\"name\":\"f%u\",\"type\":\"int\"}", f ? "," : "", f);
    put(b, "]}");
  }
  put(b, "]");
}

TEST(unions_of_300_branches_are_compared)
{
  hostile h = start(false, 301, 301, "{errorType:'MISSING_UNION_BRANCH'");
  wide_union(&h.old, "A", 300, 20), wide_union(&h.next, "B", 300, 20); /* no version number: one line after them */
  on_small_stack(&h);
  h = start(true, 0, 0, NULL);
  wide_union(&h.old, "A", 300, 20), wide_union(&h.next, "A", 300, 20);
  on_small_stack(&h);
}

TEST(past_the_limits_schemas_are_incompatible_and_the_limit_is_named)
{
  hostile h = start(false, 2, 2, "Unexpected exception during compatibility check: more than 250000 pairs of types to compare");
  wide_union(&h.old, "A", 600, 1), wide_union(&h.next, "B", 600, 1);
  on_small_stack(&h);
  h = start(false, 2, 2, "Unexpected exception during compatibility check: more than 20000000 fields, branches and aliases to look at");
  wide_union(&h.old, "A", 300, 250), wide_union(&h.next, "B", 300, 250);
  on_small_stack(&h);
}

/* R0 has two fields of R1, that two of R2 ...: 2^60 differences, were they spelled out */
static void doubling(csfle_buf *b, const char *leaf)
{
  put(b, "[");
  for (int i = 0; i < 60; i++)
    PUT(b, "{\"type\":\"record\",\"name\":\"R%d\",\"fields\":[{\"name\":\"a\",\"type\":\"R%d\"},{\"name\":\"b\",\"type\":\"R%d\"}]},", i, i + 1, i + 1);
  PUT(b, "{\"type\":\"record\",\"name\":\"R60\",\"fields\":[{\"name\":\"a\",\"type\":\"%s\"}]}]", leaf);
}
TEST(a_list_of_differences_that_doubles_60_times_is_cut)
{
  hostile h = start(false, 1000, CSFLE__COMPAT_MAX_LINES + 1, NULL);
  put(&h.next, "{\"type\":\"record\",\"name\":\"Top\",\"fields\":[{\"name\":\"u\",\"type\":");
  put(&h.old, "{\"type\":\"record\",\"name\":\"Top\",\"fields\":[{\"name\":\"u\",\"type\":");
  doubling(&h.old, "int"), doubling(&h.next, "string");
  put(&h.old, "},{\"name\":\"r\",\"type\":\"R0\"}]}"), put(&h.next, "},{\"name\":\"r\",\"type\":\"R0\"}]}");
  on_small_stack(&h);
}

static void nested(csfle_buf *b, unsigned depth, const char *leaf)
{
  for (unsigned i = 0; i < depth; i++) put(b, i % 2 ? "{\"type\":\"map\",\"values\":" : "{\"type\":\"array\",\"items\":");
  put(b, leaf);
  for (unsigned i = 0; i < depth; i++) put(b, "}");
}
TEST(hundreds_of_levels_are_compared)
{
  hostile h = start(false, 2, 2, "{errorType:'TYPE_MISMATCH', description:'The type (path '/items/values/items/");
  nested(&h.old, 450, "\"int\""), nested(&h.next, 450, "\"string\"");
  on_small_stack(&h);
}

static void wide_record(csfle_buf *b, unsigned fields, const char *t, unsigned extra)
{
  put(b, "{\"type\":\"record\",\"name\":\"W\",\"fields\":[");
  for (unsigned i = 0; i < fields; i++) PUT(b, "%s{\"name\":\"field_number_%u\",\"type\":\"%s\"}", i ? "," : "", i * 7919 % fields + extra, t);
  put(b, "]}");
}
TEST(ten_megabytes_are_compared)
{
  hostile h = start(true, 0, 0, NULL);
  wide_record(&h.old, 200003, "int", 0), wide_record(&h.next, 200003, "long", 0);
  on_small_stack(&h);
  h = start(false, CSFLE__COMPAT_MAX_LINES + 1, CSFLE__COMPAT_MAX_LINES + 1, "{errorType:'READER_FIELD_MISSING_DEFAULT_VALUE'");
  wide_record(&h.old, 200003, "int", 0), wide_record(&h.next, 200003, "int", 1000000);
  on_small_stack(&h);
}

/* records that lead to each other in a ring, without end */
static void ring(csfle_buf *b, unsigned count, const char *leaf)
{
  put(b, "[");
  for (unsigned i = 0; i < count; i++)
    PUT(b, "%s{\"type\":\"record\",\"name\":\"R%u\",\"fields\":[{\"name\":\"n\",\"type\":\"R%u\"},{\"name\":\"x\",\"type\":\"%s\"}]}", i ? "," : "", i, (i + 1) % count, leaf);
  put(b, "]");
}
static void ring_record(csfle_buf *b, unsigned count, const char *leaf)
{
  put(b, "{\"type\":\"record\",\"name\":\"T\",\"fields\":[{\"name\":\"r\",\"type\":\"R0\"},{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":");
  ring(b, count, leaf);
  put(b, "}}]}");
}
/* a record in a record in a record ..., the innermost first, in a field only one of two schemas has */
static void chain(csfle_buf *b, unsigned count, const char *field, const char *last)
{
  PUT(b, "{\"type\":\"record\",\"name\":\"T\",\"fields\":[{\"name\":\"%s\",\"default\":null,\"type\":[\"null\"", field);
  PUT(b, ",{\"type\":\"record\",\"name\":\"R%u\",\"fields\":[{\"name\":\"%s\",\"type\":\"int\"}]}", count, last);
  for (unsigned i = count; i-- > 0;)
    PUT(b, ",{\"type\":\"record\",\"name\":\"R%u\",\"fields\":[{\"name\":\"n\",\"type\":\"R%u\"}]}", i, i + 1);
  put(b, "]},{\"name\":\"r\",\"type\":\"R0\"}]}");
}
TEST(recursion_without_end_is_compared)
{
  hostile h = start(true, 0, 0, NULL);
  ring_record(&h.old, 160, "int"), ring_record(&h.next, 160, "int");
  on_small_stack(&h);
  /* rings of coprime lengths meet in all pairs of their records */
  h = start(false, 2, CSFLE__COMPAT_MAX_LINES + 1, NULL);
  ring_record(&h.old, 160, "int"), ring_record(&h.next, 159, "string");
  on_small_stack(&h);
}
TEST(a_path_through_20000_records_is_told)
{
  hostile h = start(false, 2, 2, "{errorType:'READER_FIELD_MISSING_DEFAULT_VALUE', description:'The field 'z' at path '/fields/1/type/fields/0/type/fields/0/");
  chain(&h.old, 20000, "old", "y"), chain(&h.next, 20000, "next", "z");
  on_small_stack(&h);
}
