/*
 * Byte 0 picks a schema, the rest is a value of it. Property: a value that is walked can be spliced with longer leaves,
 * and the output is walked again with as many leaves; what has a JSON text is what is walked, bar invalid UTF-8, and the
 * text encodes to a value with the same text, bar map keys given twice.
 */
#include "core/schema/plan.h"
#include "core/schema/text.h"

#include <stdlib.h>

#define TAG "\"confluent:tags\":[\"PII\"]"
static const char *const texts[] = {
  "{\"type\":\"record\",\"name\":\"n.All\",\"fields\":[{\"name\":\"n\",\"type\":\"null\"," TAG "},{\"name\":\"b\",\"type\":\"boolean\"," TAG "},"
  "{\"name\":\"i\",\"type\":\"int\"," TAG "},{\"name\":\"l\",\"type\":\"long\"," TAG "},{\"name\":\"f\",\"type\":\"float\"," TAG "},"
  "{\"name\":\"d\",\"type\":\"double\"," TAG "},{\"name\":\"y\",\"type\":\"bytes\"," TAG "},{\"name\":\"s\",\"type\":\"string\"," TAG "},"
  "{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\",\"C\"]}," TAG "},"
  "{\"name\":\"x\",\"type\":{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}," TAG "}]}",
  "{\"type\":\"record\",\"name\":\"n.All\",\"fields\":[{\"name\":\"b\",\"type\":\"boolean\"},{\"name\":\"i\",\"type\":\"int\"},{\"name\":\"l\",\"type\":\"long\"},"
  "{\"name\":\"f\",\"type\":\"float\"},{\"name\":\"d\",\"type\":\"double\"},{\"name\":\"y\",\"type\":\"bytes\"},{\"name\":\"s\",\"type\":\"string\"}]}",
  "{\"type\":\"record\",\"name\":\"L\",\"fields\":[{\"name\":\"v\",\"type\":\"string\"," TAG "},{\"name\":\"next\",\"type\":[\"null\",\"L\"]}]}",
  "{\"type\":\"record\",\"name\":\"T\",\"fields\":[{\"name\":\"v\",\"type\":[\"null\",\"string\",\"bytes\",\"int\"]," TAG "},"
  "{\"name\":\"kids\",\"type\":{\"type\":\"array\",\"items\":\"T\"}},{\"name\":\"by\",\"type\":{\"type\":\"map\",\"values\":\"T\"}}]}",
  "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":{\"type\":\"array\",\"items\":\"string\"}," TAG "},"
  "{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":\"bytes\"}," TAG "},"
  "{\"name\":\"aa\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"type\":\"map\",\"values\":\"string\"}}}," TAG "},"
  "{\"name\":\"plain\",\"type\":{\"type\":\"array\",\"items\":\"long\"}}]}",
  "{\"type\":\"record\",\"name\":\"Z\",\"fields\":[{\"name\":\"z\",\"type\":{\"type\":\"array\",\"items\":\"null\"}},"
  "{\"name\":\"e\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"Empty\",\"fields\":[{\"name\":\"n\",\"type\":\"null\"}]}}},"
  "{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":\"Empty\"}},{\"name\":\"s\",\"type\":\"string\"," TAG "}]}",
  "[\"null\",\"string\",{\"type\":\"record\",\"name\":\"U\",\"fields\":[{\"name\":\"a\",\"type\":[\"float\",\"null\",\"double\",\"boolean\"]},"
  "{\"name\":\"b\",\"type\":[\"string\",{\"type\":\"array\",\"items\":[\"null\",\"string\"]},{\"type\":\"map\",\"values\":\"U\"}]," TAG "}]}]",
  "\"bytes\"",
};
#define COUNT (sizeof texts / sizeof *texts)

static csfle__schema *schemas[COUNT];
static csfle__plan   *plans[COUNT];

static void must(bool what)
{
  if (!what) abort();
}

static void prepare(void)
{
  const csfle__bytes          pii[] = { CSFLE__LIT("PII") };
  const csfle__selection_rule rules[] = { { pii, 1 } };
  const csfle__selection      sel = { .rules = rules, .rule_count = 1 };
  for (size_t i = 0; i < COUNT; i++) {
    must(csfle__schema_parse(&schemas[i], CSFLE__NONE, csfle__str(texts[i]), NULL, 0, CSFLE__SCHEMA_NEW, NULL) == CSFLE_OK);
    must(csfle__plan_compile(&plans[i], schemas[i], &sel, NULL) == CSFLE_OK);
  }
}

static size_t leaves(const csfle__walk *w)
{
  size_t n = 0;
  for (size_t i = 0; i < w->count; i++) n += !w->spans[i].kind;
  return n;
}

static void check_text(const csfle__schema *s, csfle__bytes in, csfle_status walked, size_t took)
{
  csfle_buf   text, data, again;
  csfle_error err;
  size_t      consumed = 0;
  csfle_buf_init(&text, 64 << 20, 0), csfle_buf_init(&data, 0, 0), csfle_buf_init(&again, 64 << 20, 0);
  csfle_status rc = csfle__value_to_json(s, in, 0, &text, &consumed, &err);
  if (walked != CSFLE_OK) must(rc != CSFLE_OK);
  if (rc == CSFLE_OK) {
    must(consumed == took);
    if (csfle__value_from_json(s, csfle__buf_view(&text), &data, &err) == CSFLE_OK) {
      must(csfle__value_to_json(s, csfle__buf_view(&data), 0, &again, NULL, &err) == CSFLE_OK);
      must(csfle__eq(csfle__buf_view(&text), csfle__buf_view(&again)));
    } else
      must(strstr(err.msg, "twice") || strstr(err.msg, "deeper"));
  }
  csfle_buf_free(&text), csfle_buf_free(&data), csfle_buf_free(&again);
}

static void check_splice(const csfle__plan *p, csfle__bytes in, csfle__walk *w)
{
  static const csfle__bytes longer = { (const uint8_t *)"a longer value than there was, with its own length prefix of two bytes", 70 };
  csfle__replacement       *r = calloc(w->count + 1, sizeof *r);
  csfle_buf                 out;
  size_t                    before = leaves(w);
  csfle_buf_init(&out, 0, 0);
  must(r != NULL);
  for (size_t i = 0; i < w->count; i++) {
    csfle__leaf_type t = w->spans[i].kind ? CSFLE__LEAF_NULL : p->leaves[w->spans[i].leaf].type;
    if (t == CSFLE__LEAF_STRING || t == CSFLE__LEAF_BYTES) r[i].value = longer;
    else r[i].keep = true;
  }
  must(csfle__plan_splice(p, in, w, r, &out, NULL) == CSFLE_OK);
  must(csfle__plan_walk(p, csfle__buf_view(&out), w, NULL) == CSFLE_OK);
  must(w->consumed == out.len && leaves(w) == before);
  csfle_buf_free(&out);
  free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static csfle__walk w;
  if (!plans[0]) prepare();
  if (size == 0) return 0;
  size_t       i = data[0] % COUNT;
  csfle__bytes in = csfle__view(data + 1, size - 1);
  csfle_status rc = csfle__plan_walk(plans[i], in, &w, NULL);
  must(rc == CSFLE_OK || rc == CSFLE_E_DATUM);
  check_text(schemas[i], in, rc, w.consumed);
  if (rc == CSFLE_OK) check_splice(plans[i], in, &w);
  return 0;
}
