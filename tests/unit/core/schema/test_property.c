/*
 * Random schemas and random values of them, in every legal form of a block and with over-long varints, from a printed
 * seed (CSFLE_TEST_SEED=n repeats a run). The encoder below notes where it put each tagged leaf and what the output has
 * to be once they are replaced: an oracle that shares no code with the plans.
 */
#include "tests/support/test.h"

#include "core/schema/plan.h"
#include "core/schema/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t random_state;
static uint32_t rnd(uint32_t n) /* 0 .. n - 1 */
{
  random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
  return n ? (uint32_t)(random_state >> 20) % n : 0;
}

/* ---- schemas ------------------------------------------------------------------------------------------------------ */

enum { NUL, BOOLEAN, INT, LONG, FLOAT, DOUBLE, BYTES_, STRING, RECORD, ENUM, FIXED, ARRAY, MAP, UNION };
static const char *const words[] = { "null", "boolean", "int", "long", "float", "double", "bytes", "string" };

typedef struct type {
  int          kind, id, count, size;
  struct type *child[10];
  bool         tagged[10];
  bool         written;
} type;
static type types[512];
static int  type_count, record_count, named_count;
static type *records[64];

static type *make(int depth);

static type *make_record(int depth)
{
  type *t = &types[type_count++];
  t->kind = RECORD, t->id = named_count++;
  records[record_count++] = t;
  int n = (int)rnd(6) + (depth == 0 ? 3 : 0);
  for (int i = 0; i < n; i++) t->child[i] = make(depth + 1), t->tagged[i] = rnd(3) == 0, t->count = i + 1;
  return t;
}

static type *make(int depth)
{
  static const int leaves[] = { NUL, BOOLEAN, INT, LONG, FLOAT, DOUBLE, BYTES_, STRING, STRING, STRING, ENUM, FIXED };
  int              kind = leaves[rnd(12)];
  if (depth < 5 && type_count < 400 && record_count < 60) {
    uint32_t r = rnd(7);
    if (r == 0) return make_record(depth);
    if (r == 1) kind = ARRAY;
    if (r == 2) kind = MAP;
    if (r == 3) kind = UNION;
  }
  type *t = &types[type_count++];
  t->kind = kind;
  if (kind == ENUM) t->count = 1 + (int)rnd(200), t->id = named_count++;
  if (kind == FIXED) t->size = (int)rnd(20), t->id = named_count++;
  if (kind == ARRAY || kind == MAP) {
    t->child[0] = rnd(4) == 0 && record_count ? records[rnd((uint32_t)record_count)] : make(depth + 1);
    t->count = 1;
  }
  if (kind == UNION) {
    bool have[UNION + 1] = { false };
    int  n = 1 + (int)rnd(5);
    for (int i = 0; i < n; i++) {
      type *b = i == 0 && rnd(3) ? NULL : i && t->child[0] && t->child[0]->kind == NUL && rnd(3) == 0 ? records[rnd((uint32_t)record_count)] : make(depth + 1);
      if (!b) {
        b = &types[type_count++];
        b->kind = NUL;
      }
      bool twice = b->kind == UNION || (have[b->kind] && b->kind != ENUM && b->kind != FIXED && b->kind != RECORD);
      for (int k = 0; k < t->count; k++) twice |= t->child[k] == b;
      if (twice) continue;
      have[b->kind] = true;
      t->child[t->count++] = b;
    }
    if (t->count == 0) { /* nothing could be taken */
      t->child[t->count++] = &types[type_count++];
      t->child[0]->kind = STRING;
    }
  }
  return t;
}

static void put(csfle_buf *b, const char *text) { assert_ok(csfle__buf_puts(b, text, err)); }

static void write_schema(csfle_buf *b, type *t)
{
  char text[96];
  if (t->kind <= STRING) {
    snprintf(text, sizeof text, "\"%s\"", words[t->kind]);
    put(b, text);
    return;
  }
  if ((t->kind == RECORD || t->kind == ENUM || t->kind == FIXED) && t->written) {
    snprintf(text, sizeof text, "\"n.T%d\"", t->id);
    put(b, text);
    return;
  }
  t->written = true;
  switch (t->kind) {
  case RECORD:
    snprintf(text, sizeof text, "{\"type\":\"record\",\"name\":\"n.T%d\",\"fields\":[", t->id);
    put(b, text);
    for (int i = 0; i < t->count; i++) {
      snprintf(text, sizeof text, "%s{\"name\":\"f%d\",\"type\":", i ? "," : "", i);
      put(b, text);
      write_schema(b, t->child[i]);
      put(b, t->tagged[i] ? ",\"confluent:tags\":[\"X\",\"PII\"]}" : "}");
    }
    put(b, "]}");
    break;
  case ENUM:
    snprintf(text, sizeof text, "{\"type\":\"enum\",\"name\":\"n.T%d\",\"symbols\":[", t->id);
    put(b, text);
    for (int i = 0; i < t->count; i++) snprintf(text, sizeof text, "%s\"S%d\"", i ? "," : "", i), put(b, text);
    put(b, "]}");
    break;
  case FIXED:
    snprintf(text, sizeof text, "{\"type\":\"fixed\",\"name\":\"n.T%d\",\"size\":%d}", t->id, t->size);
    put(b, text);
    break;
  case UNION:
    put(b, "[");
    for (int i = 0; i < t->count; i++) {
      if (i) put(b, ",");
      write_schema(b, t->child[i]);
    }
    put(b, "]");
    break;
  default:
    put(b, t->kind == ARRAY ? "{\"type\":\"array\",\"items\":" : "{\"type\":\"map\",\"values\":");
    write_schema(b, t->child[0]);
    put(b, "}");
  }
}

/* ---- values, and what plans have to find in them -------------------------------------------------------------------- */

typedef struct found {
  size_t head, off, len;
  char   name[32];
  bool   text; /* string or bytes: will be replaced */
} found;
typedef struct chunk { /* an encoding, what it becomes, and its leaves relative to its start */
  csfle_buf in, want;
  found    *leaves;
  size_t    count, cap;
} chunk;

static const char replacement[] = "<replaced by the test>";

static void chunk_init(chunk *c)
{
  memset(c, 0, sizeof *c);
  csfle_buf_init(&c->in, 0, 0), csfle_buf_init(&c->want, 0, 0);
}
static void chunk_free(chunk *c)
{
  csfle_buf_free(&c->in), csfle_buf_free(&c->want);
  free(c->leaves);
}
static void both(chunk *c, const void *p, size_t n)
{
  assert_ok(csfle__buf_put(&c->in, p, n, err));
  assert_ok(csfle__buf_put(&c->want, p, n, err));
}
static size_t varint(uint8_t b[10], int64_t v, unsigned pad)
{
  uint64_t u = ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
  size_t   n = 0;
  do b[n++] = (uint8_t)(u & 0x7F) | 0x80, u >>= 7;
  while (u);
  while (pad-- && n < 5) b[n++] = 0x80;
  b[n - 1] &= 0x7F;
  return n;
}
static void both_long(chunk *c, int64_t v)
{
  uint8_t b[10];
  both(c, b, varint(b, v, rnd(20) == 0 ? 1 + rnd(2) : 0));
}
static void note(chunk *c, size_t head, size_t off, const char *name, bool text)
{
  if (c->count == c->cap) c->leaves = realloc(c->leaves, (c->cap = c->cap * 2 + 16) * sizeof *c->leaves);
  found *f = &c->leaves[c->count++];
  f->head = head, f->off = off, f->len = c->in.len - off, f->text = text;
  snprintf(f->name, sizeof f->name, "%s", name);
}
static void append(chunk *to, chunk *from)
{
  size_t at = to->in.len;
  for (size_t i = 0; i < from->count; i++) {
    note(to, 0, 0, from->leaves[i].name, from->leaves[i].text);
    to->leaves[to->count - 1].head = at + from->leaves[i].head;
    to->leaves[to->count - 1].off = at + from->leaves[i].off;
    to->leaves[to->count - 1].len = from->leaves[i].len;
  }
  assert_ok(csfle__buf_put(&to->in, from->in.ptr, from->in.len, err));
  assert_ok(csfle__buf_put(&to->want, from->want.ptr, from->want.len, err));
}

static int budget;
static void encode(chunk *c, const type *t, const char *field, bool tagged);

static void encode_blocks(chunk *c, const type *t, const char *field, bool tagged)
{
  int blocks = budget > 0 ? (int)rnd(3) : 0, key = 0;
  for (int k = 0; k < blocks; k++) {
    chunk   items;
    uint8_t b[10];
    int     n = 1 + (int)rnd(3);
    chunk_init(&items);
    for (int i = 0; i < n; i++) {
      char name[16];
      snprintf(name, sizeof name, "k%d", key++);
      if (t->kind == MAP) both_long(&items, (int64_t)strlen(name)), both(&items, name, strlen(name));
      encode(&items, t->child[0], field, tagged);
    }
    if (rnd(2)) both_long(c, n);
    else {
      uint8_t size[10];
      size_t  bn = varint(b, -n, 0), sn = varint(size, (int64_t)items.in.len, 0);
      bool    replaced = items.count > 0;
      assert_ok(csfle__buf_put(&c->in, b, bn, err));
      assert_ok(csfle__buf_put(&c->in, size, sn, err));
      if (replaced) assert_ok(csfle__buf_put(&c->want, b, varint(b, n, 0), err));
      else {
        assert_ok(csfle__buf_put(&c->want, b, bn, err));
        assert_ok(csfle__buf_put(&c->want, size, sn, err));
      }
    }
    append(c, &items);
    chunk_free(&items);
  }
  both_long(c, 0);
}

static void encode(chunk *c, const type *t, const char *field, bool tagged)
{
  size_t  head = c->in.len;
  uint8_t raw[32];
  budget--;
  for (size_t i = 0; i < sizeof raw; i++) raw[i] = (uint8_t)rnd(256);
  switch (t->kind) {
  case NUL: return;
  case BOOLEAN: raw[0] &= 1, both(c, raw, 1); break;
  case INT: both_long(c, rnd(3) ? (int64_t)rnd(2000) - 1000 : (int32_t)(rnd(1u << 31) * 2u)); break;
  case LONG: {
    int64_t v;
    memcpy(&v, raw, 8);
    both_long(c, rnd(2) ? v : v >> 40);
    break;
  }
  case FLOAT: both(c, raw, 4); break;
  case DOUBLE: both(c, raw, 8); break;
  case FIXED: both(c, raw, (size_t)t->size); break;
  case ENUM: both_long(c, rnd((uint32_t)t->count)); break;
  case BYTES_:
  case STRING: {
    uint32_t n = rnd(8) ? rnd(20) : rnd(200);
    uint8_t  b[10], data[200];
    for (uint32_t i = 0; i < n; i++) data[i] = (uint8_t)(t->kind == STRING ? 'a' + rnd(26) : rnd(256));
    if (!tagged) {
      both_long(c, n), both(c, data, n);
      return;
    }
    assert_ok(csfle__buf_put(&c->in, b, varint(b, n, rnd(10) == 0), err));
    size_t off = c->in.len;
    assert_ok(csfle__buf_put(&c->in, data, n, err));
    assert_ok(csfle__buf_put(&c->want, b, varint(b, sizeof replacement - 1, 0), err));
    assert_ok(csfle__buf_put(&c->want, replacement, sizeof replacement - 1, err));
    note(c, head, off, field, true);
    return;
  }
  case RECORD:
    for (int i = 0; i < t->count; i++) {
      char name[32];
      snprintf(name, sizeof name, "n.T%d.f%d", t->id, i);
      encode(c, t->child[i], name, t->tagged[i]);
    }
    return;
  case ARRAY:
  case MAP: encode_blocks(c, t, field, tagged); return;
  case UNION: {
    int i = budget > 0 || t->child[0]->kind != NUL ? (int)rnd((uint32_t)t->count) : 0; /* so that recursion ends */
    both_long(c, i);
    encode(c, t->child[i], field, tagged);
    return;
  }
  }
  if (tagged && c->in.len > head) note(c, head, head, field, false);
}

/* ---- the properties --------------------------------------------------------------------------------------------------- */

static void check_value(const csfle__schema *s, const csfle__plan *p, csfle__walk *w, const type *root)
{
  chunk               c;
  csfle_buf           out, text, again;
  csfle__replacement *r;
  size_t              k = 0;
  chunk_init(&c);
  budget = 300;
  encode(&c, root, "", false);
  uint8_t     *exact = malloc(c.in.len + 1);
  csfle__bytes in = csfle__view(exact, c.in.len);
  if (c.in.len) memcpy(exact, c.in.ptr, c.in.len);
  csfle_buf_init(&out, 0, 0), csfle_buf_init(&text, 0, 0), csfle_buf_init(&again, 0, 0);
  assert_ok(csfle__plan_walk(p, in, w, err));
  assert_int_equal(w->consumed, in.len);
  r = calloc(w->count + 1, sizeof *r);
  bool headers = false, any = false;
  for (size_t i = 0; i < w->count; i++) {
    const csfle__span *f = &w->spans[i];
    r[i].keep = true;
    if (f->kind) {
      headers = true;
      continue;
    }
    assert_true(k < c.count);
    assert_int_equal(f->head, c.leaves[k].head);
    assert_int_equal(f->off, c.leaves[k].off);
    assert_int_equal(f->len, c.leaves[k].len);
    assert_true(csfle__eq_str(p->leaves[f->leaf].name, c.leaves[k].name));
    if (c.leaves[k].text) r[i] = (csfle__replacement){ csfle__str(replacement), false }, any = true;
    k++;
  }
  assert_int_equal(k, c.count);
  assert_ok(csfle__plan_splice(p, in, w, r, &out, err));
  if (any) assert_bytes_equal(csfle__buf_view(&out), csfle__buf_view(&c.want));
  (void)headers;
  size_t leaves = k;
  assert_ok(csfle__plan_walk(p, csfle__buf_view(&out), w, err));
  assert_int_equal(w->consumed, out.len);
  k = 0;
  for (size_t i = 0; i < w->count; i++) k += !w->spans[i].kind;
  assert_int_equal(k, leaves);
  /* nothing replaced: nothing changed */
  assert_ok(csfle__plan_walk(p, in, w, err));
  for (size_t i = 0; i < w->count; i++) r[i].keep = true;
  out.len = 0;
  assert_ok(csfle__plan_splice(p, in, w, r, &out, err));
  assert_bytes_equal(csfle__buf_view(&out), in);
  /* text of it, its encoding, and the text of that */
  size_t consumed;
  assert_ok(csfle__value_to_json(s, in, 0, &text, &consumed, err));
  assert_int_equal(consumed, in.len);
  out.len = 0;
  assert_ok(csfle__value_from_json(s, csfle__buf_view(&text), &out, err));
  assert_ok(csfle__value_to_json(s, csfle__buf_view(&out), 0, &again, NULL, err));
  assert_bytes_equal(csfle__buf_view(&again), csfle__buf_view(&text));
  /* cut anywhere: refused, never read past */
  for (int i = 0; i < 3 && in.len; i++) {
    size_t   n = rnd((uint32_t)in.len);
    uint8_t *cut = malloc(n + 1);
    memcpy(cut, exact, n);
    uint8_t *tight = realloc(cut, n ? n : 1);
    csfle_error e;
    assert_int_equal(csfle__plan_walk(p, csfle__view(tight, n), w, &e), CSFLE_E_DATUM);
    free(tight);
  }
  /* one bit flipped: accepted or refused, and text says the same as the walk except for UTF-8 */
  if (in.len) {
    csfle_error e;
    exact[rnd((uint32_t)in.len)] ^= (uint8_t)(1u << rnd(8));
    csfle_status walked = csfle__plan_walk(p, in, w, &e);
    text.len = 0;
    csfle_status said = csfle__value_to_json(s, in, 0, &text, &consumed, &e);
    if (said == CSFLE_OK || walked != CSFLE_OK) assert_int_equal(said, walked);
    else assert_non_null(strstr(e.msg, "UTF-8"));
    if (said == CSFLE_OK) assert_int_equal(consumed, w->consumed);
  }
  csfle_buf_free(&out), csfle_buf_free(&text), csfle_buf_free(&again);
  free(exact), free(r);
  chunk_free(&c);
}

TEST(spans_are_the_tagged_leaves_and_a_splice_changes_nothing_else_in_2000_random_values) /* AB-3 */
{
  const csfle__bytes          pii[] = { BYTES("PII") };
  const csfle__selection_rule rules[] = { { pii, 1 } };
  const csfle__selection      sel = { .rules = rules, .rule_count = 1 };
  const char                 *given = getenv("CSFLE_TEST_SEED");
  uint64_t                    seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
  csfle__walk                 w = CSFLE__WALK_INIT;
  size_t                      leaves = 0, pairs = 0;
  printf("# CSFLE_TEST_SEED=%llu\n", (unsigned long long)seed);
  random_state = seed * 0x9E3779B97F4A7C15u + 1;
  for (int i = 0; i < 200; i++) {
    csfle_buf      text;
    csfle__schema *s = NULL;
    csfle__plan   *p = NULL;
    memset(types, 0, sizeof types);
    type_count = record_count = named_count = 0;
    csfle_buf_init(&text, 0, 0);
    type *root = make_record(0);
    write_schema(&text, root);
    assert_ok(csfle__schema_parse(&s, CSFLE__NONE, csfle__buf_view(&text), NULL, 0, CSFLE__SCHEMA_NEW, err));
    assert_ok(csfle__plan_compile(&p, s, &sel, err));
    leaves += p->leaf_count;
    for (int k = 0; k < 10; k++, pairs++) check_value(s, p, &w, root);
    csfle__plan_free(p), csfle__schema_free(s), csfle_buf_free(&text);
  }
  printf("# %zu pairs of schema and value, %zu leaves in the schemas\n", pairs, leaves);
  csfle__walk_free(&w);
}
