/* Compatibility levels and the Avro comparison: the Java registry's own verdicts, differences and lines; the driver. */
#include "tests/support/test.h"

#include "core/schema/compat.h"

#include <stdio.h>

#define MAX_PREVIOUS 8

static csfle__bytes member(yyjson_val *obj, const char *name) { return csfle__json_member_text(obj, name); }

static csfle__schema *parse(csfle__bytes text, yyjson_val *references, unsigned flags)
{
  csfle__reference refs[8];
  size_t           i, n = 0, max;
  yyjson_val      *r;
  csfle__schema   *s = NULL;
  yyjson_arr_foreach(references, i, max, r) refs[n++] = (csfle__reference){ member(r, "name"), member(r, "schema") };
  assert_ok(csfle__schema_parse(&s, CSFLE__NONE, text, refs, n, flags, err));
  return s;
}

/* ---- the vectors ---------------------------------------------------------------------------------------------------- */

static csfle_status parse_previous(void *opaque, size_t i, csfle__schema **out, csfle_error *err)
{
  yyjson_val *c = opaque;
  (void)err;
  *out = parse(csfle__json_text(yyjson_arr_get(csfle__json_member(c, "previous"), i)),
               yyjson_arr_get(csfle__json_member(c, "previous_references"), i), 0);
  return CSFLE_OK;
}

typedef struct found {
  yyjson_val *want;      /* expected_differences */
  char        used[128]; /* of want */
  const char *direction;
  size_t      against, wrong;
} found;

static csfle_status match(void *opaque, const csfle__difference *d, csfle_error *err)
{
  found      *f = opaque;
  size_t      i, n;
  yyjson_val *w;
  (void)err;
  yyjson_arr_foreach(f->want, i, n, w)
  {
    int64_t against = 0;
    assert_true(i < sizeof f->used);
    if (f->used[i] || !csfle__eq_str(member(w, "type"), d->type) || !csfle__eq_str(member(w, "direction"), f->direction)) continue;
    if (!csfle__json_i64(csfle__json_member(w, "against"), &against) || (size_t)against != f->against) continue;
    if (member(w, "path").ptr && !csfle__eq(member(w, "path"), d->path)) continue;
    if (member(w, "info").ptr && !csfle__eq(member(w, "info"), d->info)) continue;
    if (yyjson_get_bool(csfle__json_member(w, "incompatible")) != d->incompatible) continue;
    f->used[i] = 1;
    return CSFLE_OK;
  }
  printf("# unexpected %s at %.*s: %.*s\n", d->type, CSFLE__FMT(d->path), CSFLE__FMT(d->info));
  f->wrong++;
  return CSFLE_OK;
}

/* the differences of every version the level looks at, each once and no others; how many */
static size_t differences(yyjson_val *c, const csfle__schema *next, csfle__compat_level level, size_t *wrong)
{
  found  f = { .want = csfle__json_member(c, "expected_differences") };
  size_t count = yyjson_arr_size(csfle__json_member(c, "previous")), all = 0;
  bool   forward = level >= CSFLE__COMPAT_FORWARD, backward = level < CSFLE__COMPAT_FORWARD || level >= CSFLE__COMPAT_FULL;
  bool   transitive = level == CSFLE__COMPAT_BACKWARD_TRANSITIVE || level == CSFLE__COMPAT_FORWARD_TRANSITIVE || level == CSFLE__COMPAT_FULL_TRANSITIVE;
  for (size_t i = level == CSFLE__COMPAT_NONE || csfle__json_member(c, "previous_types") ? 0 : count; i-- > 0;) {
    csfle__schema *old;
    bool           ok = true, clean;
    parse_previous(c, i, &old, NULL);
    f.against = i + 1;
    if (forward) {
      f.direction = "forward";
      assert_ok(csfle__schema_compare(old, next, &clean, match, &f, err));
      ok = clean;
    }
    if (backward) {
      f.direction = "backward";
      assert_ok(csfle__schema_compare(next, old, &clean, match, &f, err));
      ok = ok && clean;
    }
    csfle__schema_free(old);
    if (!transitive || !ok) break;
  }
  for (size_t i = 0; i < yyjson_arr_size(f.want); i++) f.wrong += !f.used[i], all++;
  *wrong += f.wrong;
  return all;
}

typedef struct counts {
  size_t cases, incompatible, differences, lines, wrong;
} counts;

static void one_case(yyjson_val *c, counts *n)
{
  yyjson_val           *previous = csfle__json_member(c, "previous"), *lines = csfle__json_member(c, "messages");
  csfle__compat_version history[MAX_PREVIOUS];
  csfle_buf             texts[MAX_PREVIOUS];
  csfle__messages       out = CSFLE__MESSAGES_INIT;
  size_t                count = yyjson_arr_size(previous), wrong = 0;
  csfle__compat_level   level;
  bool                  ok;

  assert_true(count <= MAX_PREVIOUS);
  assert_true(csfle__compat_level_find(member(c, "level"), &level));
  csfle__schema *next = parse(member(c, "next"), csfle__json_member(c, "references"), CSFLE__SCHEMA_NEW);
  for (size_t i = 0; i < count; i++) {
    csfle__bytes type = csfle__json_text(yyjson_arr_get(csfle__json_member(c, "previous_types"), i));
    csfle_buf_init(&texts[i], 0, 0);
    if (!type.len) {
      csfle__schema *old;
      parse_previous(c, i, &old, NULL);
      assert_ok(old->format->canonical(old, &texts[i], err));
      csfle__schema_free(old);
    }
    history[i] = (csfle__compat_version){ .version = (int32_t)i + 1, .type = type, .text = csfle__buf_view(&texts[i]) };
  }
  csfle__compat_input in = { .level = level, .next = next, .previous = history, .count = count, .parse = parse_previous, .opaque = c };
  assert_ok(csfle__compatible(&in, &ok, &out, err));
  wrong += ok != yyjson_get_bool(csfle__json_member(c, "compatible"));
  n->differences += differences(c, next, level, &wrong);
  wrong += ok ? out.count != 0 : out.count == 0;
  if (lines) {
    wrong += out.count != yyjson_arr_size(lines);
    for (size_t i = 0; i < out.count; i++) {
      csfle__bytes want = csfle__json_text(yyjson_arr_get(lines, i));
      if (csfle__eq(want, csfle__messages_at(&out, i))) continue;
      printf("# want %.*s\n# got  %.*s\n", CSFLE__FMT(want), CSFLE__FMT(csfle__messages_at(&out, i)));
      wrong++;
    }
    n->lines += out.count;
  }
  if (wrong) printf("# %s: %zu wrong\n", csfle_test_text(c, "name"), wrong), n->wrong++;
  n->cases++, n->incompatible += !ok;
  csfle__messages_free(&out);
  csfle__schema_free(next);
  for (size_t i = 0; i < count; i++) csfle_buf_free(&texts[i]);
}

TEST(avro_verdicts_differences_and_lines_are_those_of_the_java_registry)
{
  yyjson_doc *doc = csfle_test_vectors("compat-avro.json");
  size_t      i, max;
  yyjson_val *c;
  counts      n = { 0 };
  yyjson_arr_foreach(yyjson_doc_get_root(doc), i, max, c) one_case(c, &n);
  printf("# compat-avro.json: %zu cases, %zu incompatible, %zu differences, %zu lines\n", n.cases, n.incompatible, n.differences, n.lines);
  assert_int_equal(n.wrong, 0);
  assert_int_equal(n.cases, 121);
  assert_int_equal(n.incompatible, 65);
  assert_int_equal(n.differences, 73);
  yyjson_doc_free(doc);
}

/* ---- the driver ------------------------------------------------------------------------------------------------------ */

#define INT_A   "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"}]}"
#define LONG_A  "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":\"long\"}]}"
#define STR_A   "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":\"string\"}]}"

typedef struct history {
  csfle__compat_version at[4];
  size_t                parsed; /* how often the driver asked */
} history;

static csfle_status from_history(void *opaque, size_t i, csfle__schema **out, csfle_error *err)
{
  history *h = opaque;
  h->parsed++;
  return csfle__schema_parse(out, h->at[i].type, h->at[i].text, NULL, 0, 0, err);
}

static bool verdict(history *h, size_t count, csfle__compat_input in, csfle__bytes next, csfle__messages *out)
{
  bool ok = false;
  h->parsed = 0;
  csfle__schema *s = parse(next, NULL, CSFLE__SCHEMA_NEW);
  in.next = s, in.previous = h->at, in.count = count, in.parse = from_history, in.opaque = h;
  assert_ok(csfle__compatible(&in, &ok, out, err));
  if (out) assert_ok(csfle__compat_last_line(&in, out, err));
  csfle__schema_free(s);
  return ok;
}

static bool has_line(const csfle__messages *m, size_t i, const char *text)
{
  bool same = i < m->count && csfle__eq_str(csfle__messages_at(m, i), text);
  for (size_t k = 0; !same && k < m->count; k++) printf("# %zu: %.*s\n", k, CSFLE__FMT(csfle__messages_at(m, k)));
  return same;
}

TEST(levels_are_read_in_any_case)
{
  csfle__compat_level l;
  assert_true(csfle__compat_level_find(BYTES("full_Transitive"), &l));
  assert_string_equal(csfle__compat_level_name(l), "FULL_TRANSITIVE");
  assert_false(csfle__compat_level_find(BYTES("FULLY"), &l));
  assert_false(csfle__compat_level_find(CSFLE__NONE, &l));
}

TEST(only_the_versions_a_level_looks_at_are_parsed)
{
  history h = { .at = { { 1, BYTES("AVRO"), BYTES(INT_A), CSFLE__NONE, CSFLE__NONE },
                        { 2, CSFLE__NONE, BYTES(STR_A), CSFLE__NONE, CSFLE__NONE },
                        { 4, CSFLE__NONE, BYTES(LONG_A), CSFLE__NONE, CSFLE__NONE } } };
  assert_true(verdict(&h, 3, (csfle__compat_input){ .level = CSFLE__COMPAT_NONE }, BYTES(STR_A), NULL));
  assert_int_equal(h.parsed, 0);
  assert_true(verdict(&h, 3, (csfle__compat_input){ .level = CSFLE__COMPAT_BACKWARD }, BYTES(LONG_A), NULL));
  assert_int_equal(h.parsed, 1);
  assert_false(verdict(&h, 3, (csfle__compat_input){ .level = CSFLE__COMPAT_BACKWARD_TRANSITIVE }, BYTES(LONG_A), NULL));
  assert_int_equal(h.parsed, 2); /* stops at the first that fails */
  assert_true(verdict(&h, 0, (csfle__compat_input){ .level = CSFLE__COMPAT_FULL_TRANSITIVE }, BYTES(LONG_A), NULL));
}

TEST(versions_of_other_compatibility_groups_do_not_count)
{
  history h = { .at = { { 1, CSFLE__NONE, BYTES(INT_A), BYTES("1"), CSFLE__NONE },
                        { 2, CSFLE__NONE, BYTES(STR_A), BYTES("2"), CSFLE__NONE },
                        { 3, CSFLE__NONE, BYTES(STR_A), CSFLE__NONE, CSFLE__NONE } } };
  csfle__compat_input in = { .level = CSFLE__COMPAT_BACKWARD_TRANSITIVE, .grouped = true, .next_group = BYTES("1") };
  assert_true(verdict(&h, 3, in, BYTES(LONG_A), NULL));
  in.level = CSFLE__COMPAT_BACKWARD; /* the newest of the group */
  assert_true(verdict(&h, 3, in, BYTES(LONG_A), NULL));
  assert_int_equal(h.parsed, 1);
  in.next_group = BYTES("3");
  assert_true(verdict(&h, 3, in, BYTES(LONG_A), NULL));
  assert_int_equal(h.parsed, 0);
  in.next_group = CSFLE__NONE; /* none is equal to none, not to an empty text */
  assert_false(verdict(&h, 3, in, BYTES(LONG_A), NULL));
  in.next_group = BYTES("");
  assert_true(verdict(&h, 3, in, BYTES(LONG_A), NULL));
}

TEST(reserved_fields_are_refused_at_every_level)
{
  csfle__messages m = CSFLE__MESSAGES_INIT;
  history         h = { .at = { { 1, CSFLE__NONE, BYTES(INT_A), BYTES("other"), BYTES(" b , a,, b ,keep") } } };
  csfle__compat_input in = { .level = CSFLE__COMPAT_NONE, .validate_fields = true, .grouped = true, .next_reserved = BYTES("keep,a , a") };
  assert_false(verdict(&h, 1, in, BYTES(INT_A), &m));
  assert_int_equal(m.count, 3);
  assert_true(has_line(&m, 0, "The new schema has reserved field b removed from its metadata which is present in the old schema's metadata."));
  assert_true(has_line(&m, 1, "The new schema has field that conflicts with the reserved field a."));
  assert_true(has_line(&m, 2, "{validateFields: 'true', compatibility: 'NONE'}"));
  csfle__messages_free(&m);
  in.validate_fields = false;
  assert_true(verdict(&h, 1, in, BYTES(INT_A), &m));
  assert_int_equal(m.count, 0);
  in.validate_fields = true, in.level = CSFLE__COMPAT_BACKWARD, in.grouped = false;
  assert_false(verdict(&h, 1, in, BYTES(STR_A), &m)); /* both kinds of message */
  assert_int_equal(m.count, 6);
  csfle__messages_free(&m);
}

TEST(a_long_old_schema_is_cut_at_10240_characters)
{
  csfle__messages m = CSFLE__MESSAGES_INIT;
  csfle_buf       text;
  history         h = { 0 };
  for (int over = 0; over < 2; over++) {
    csfle_buf_init(&text, 0, 0);
    csfle__buf_puts(&text, "{\"type\":\"int\",\"x\":\"", NULL); /* 19 characters, 2 at the end */
    for (int i = 0; i < (10240 - 21) / 2; i++) csfle__buf_puts(&text, "\xf0\x9f\x98\x80", NULL); /* two units each */
    csfle__buf_puts(&text, over ? "yz\"}" : "y\"}", NULL);
    h.at[0] = (csfle__compat_version){ .version = 7, .text = csfle__buf_view(&text) };
    assert_false(verdict(&h, 1, (csfle__compat_input){ .level = CSFLE__COMPAT_BACKWARD }, BYTES("\"null\""), &m));
    assert_int_equal(m.count, 4);
    assert_true(has_line(&m, 1, "{oldSchemaVersion: 7}"));
    csfle__bytes line = csfle__messages_at(&m, 2);
    assert_true(csfle__starts(line, over ? BYTES("{oldSchema: <truncated> '{") : BYTES("{oldSchema: '{")));
    const char *end = over ? "yz\"...'}" : "y\"}'}";
    assert_true(csfle__eq_str(csfle__from(line, line.len - strlen(end)), end));
    csfle__messages_free(&m);
    csfle_buf_free(&text);
  }
}

TEST(an_old_schema_that_cannot_be_read_is_an_error_not_a_verdict)
{
  bool           ok = true;
  csfle_error    err = CSFLE_ERROR_INIT;
  history        h = { .at = { { .version = 1, .text = BYTES("{") } } };
  csfle__schema *s = parse(BYTES(INT_A), NULL, 0);
  csfle__compat_input in = { .level = CSFLE__COMPAT_FULL, .next = s, .previous = h.at, .count = 1, .parse = from_history, .opaque = &h };
  assert_int_equal(csfle__compatible(&in, &ok, NULL, &err), CSFLE_E_SCHEMA);
  assert_false(ok);
  csfle__schema_free(s);
}

TEST(two_texts_are_compared_without_a_registry)
{
  csfle__messages m = CSFLE__MESSAGES_INIT;
  csfle_error     e = CSFLE_ERROR_INIT;
  bool            ok = false;
  assert_ok(csfle__compatible_texts(CSFLE__COMPAT_BACKWARD, BYTES("AVRO"), BYTES(INT_A), BYTES(LONG_A), &ok, &m, err));
  assert_true(ok);
  assert_int_equal(m.count, 0);
  assert_ok(csfle__compatible_texts(CSFLE__COMPAT_FULL, CSFLE__NONE, BYTES(LONG_A), BYTES("/* c */" STR_A), &ok, &m, err));
  assert_false(ok);
  assert_int_equal(m.count, 3);
  assert_true(has_line(&m, 0, "{errorType:'TYPE_MISMATCH', description:'The type (path '/fields/0/type') of a field in the old schema does not match with the new schema', additionalInfo:'reader type: LONG not compatible with writer type: STRING'}"));
  assert_true(has_line(&m, 2, "{oldSchema: '" LONG_A "'}"));
  csfle__messages_free(&m);
  assert_int_equal(csfle__compatible_texts(CSFLE__COMPAT_FULL, CSFLE__NONE, BYTES("\"x\""), BYTES(STR_A), &ok, NULL, &e), CSFLE_E_SCHEMA);
  assert_string_equal(e.where, "old schema");
  assert_int_equal(csfle__compatible_texts(CSFLE__COMPAT_FULL, CSFLE__NONE, BYTES("\"int\""), BYTES("\"x\""), &ok, NULL, &e), CSFLE_E_SCHEMA);
  assert_string_equal(e.where, "new schema");
  assert_int_equal(csfle__compatible_texts(CSFLE__COMPAT_FULL, BYTES("THRIFT"), BYTES("\"int\""), BYTES("\"int\""), &ok, NULL, &e), CSFLE_E_SCHEMA);
}

/* every kind of difference, both directions, a reader union, a shared record, reserved fields */
static csfle_status tortured(void)
{
  static const char before[] =
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}},"
    "{\"name\":\"f\",\"type\":{\"type\":\"fixed\",\"name\":\"F\",\"size\":4}},{\"name\":\"s\",\"type\":{\"type\":\"record\",\"name\":\"S\","
    "\"fields\":[{\"name\":\"x\",\"type\":\"int\"}]}},{\"name\":\"t\",\"type\":\"S\"},{\"name\":\"u\",\"type\":[\"null\",\"int\"]},"
    "{\"name\":\"v\",\"type\":{\"type\":\"array\",\"items\":[\"null\",\"R\"]}}]}";
  static const char next[] =
    "{\"type\":\"record\",\"name\":\"Q\",\"fields\":[{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"]}},"
    "{\"name\":\"f\",\"type\":{\"type\":\"fixed\",\"name\":\"G\",\"size\":5}},{\"name\":\"s\",\"type\":{\"type\":\"record\",\"name\":\"S\","
    "\"fields\":[{\"name\":\"x\",\"type\":\"string\"},{\"name\":\"y\",\"type\":\"int\"}]}},{\"name\":\"t\",\"type\":\"S\"},"
    "{\"name\":\"u\",\"type\":\"string\"},{\"name\":\"v\",\"type\":{\"type\":\"array\",\"items\":[\"string\",\"Q\"]}}]}";
  csfle__messages m = CSFLE__MESSAGES_INIT;
  csfle_error     err = CSFLE_ERROR_INIT;
  bool            ok = true;
  csfle_status    rc = csfle__compatible_texts(CSFLE__COMPAT_FULL, CSFLE__NONE, csfle__str(before), csfle__str(next), &ok, &m, &err);
  if (rc == CSFLE_OK) assert_true(!ok && m.count > 15);
  else assert_false(ok);
  csfle__messages_free(&m);
  return rc;
}
TEST(comparing_survives_every_failed_allocation) { TORTURE(tortured()); }
