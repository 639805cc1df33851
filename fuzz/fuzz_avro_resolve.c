/*
 * Byte 0 picks a pair of writer and reader schema, the rest is a value of the writer's. Property: a walk of the writer's
 * layout and a resolution agree which values are whole, bar what only the reader's side refuses; what is resolved is
 * a whole value of the reader's layout, and a pair of one schema twice gives back what a splice would: the same value.
 */
#include "core/schema/resolve.h"
#include "core/schema/text.h"

#include <stdlib.h>

#define REC(fields) "{\"type\":\"record\",\"name\":\"n.R\",\"fields\":[" fields "]}"
#define F(name, type) "{\"name\":\"" name "\",\"type\":" type "}"
#define DEF(name, type, def) "{\"name\":\"" name "\",\"type\":" type ",\"default\":" def "}"
#define ENUM(symbols) "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[" symbols "]}"
#define ALL F("n", "\"null\"") "," F("b", "\"boolean\"") "," F("i", "\"int\"") "," F("l", "\"long\"") "," F("f", "\"float\"") "," F("d", "\"double\"") "," \
  F("y", "\"bytes\"") "," F("s", "\"string\"") "," F("e", ENUM("\"A\",\"B\",\"C\"")) "," F("x", "{\"type\":\"fixed\",\"name\":\"X\",\"size\":3}")
#define EMPTY "{\"type\":\"record\",\"name\":\"Z\",\"fields\":[]}"

static const struct { const char *writer, *reader; } texts[] = {
  { REC(ALL), REC(ALL) },
  { REC(ALL), REC(F("x", "{\"type\":\"fixed\",\"name\":\"X\",\"size\":3}") "," F("e", ENUM("\"C\",\"A\"")) "," F("s", "\"bytes\"") "," F("y", "[\"null\",\"string\"]") "," F("f", "\"double\"") ","
               F("l", "\"float\"") "," F("i", "\"double\"") "," DEF("new", "\"string\"", "\"default\"") "," F("b", "[\"int\",\"boolean\"]")) },
  { REC(ALL), REC("") },
  { REC(F("next", "[\"null\",\"n.R\"]") "," F("v", "\"string\"")), REC(F("v", "\"string\"") "," F("next", "[\"n.R\",\"null\"]")) },
  { REC(F("kids", "{\"type\":\"array\",\"items\":\"n.R\"}") "," F("by", "{\"type\":\"map\",\"values\":\"n.R\"}") "," F("u", "[\"null\",\"int\",\"string\",\"n.R\"]")),
    REC(F("u", "[\"n.R\",\"double\",\"null\"]") "," F("by", "{\"type\":\"map\",\"values\":\"n.R\"}") "," F("kids", "{\"type\":\"array\",\"items\":\"n.R\"}")) },
  { REC(F("a", "{\"type\":\"array\",\"items\":" EMPTY "}") "," F("m", "{\"type\":\"map\",\"values\":\"n.Z\"}") "," F("z", "{\"type\":\"array\",\"items\":\"null\"}")),
    REC(F("z", "{\"type\":\"array\",\"items\":[\"int\",\"null\"]}") "," F("a", "{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"Z\",\"fields\":[" DEF("d", "\"int\"", "7") "]}}")) },
  { "{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"type\":\"map\",\"values\":[\"null\",\"int\"]}}}",
    "{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"type\":\"map\",\"values\":\"long\"}}}" },
  { REC(F("gone", "{\"type\":\"array\",\"items\":[\"null\",\"n.R\"]}") "," F("m", "{\"type\":\"map\",\"values\":{\"type\":\"array\",\"items\":\"null\"}}") "," F("v", "\"int\"")), REC(F("v", "\"long\"")) },
};
#define COUNT (sizeof texts / sizeof *texts)

static csfle__schema     *writers[COUNT], *readers[COUNT];
static csfle__plan       *from[COUNT], *to[COUNT];
static csfle__resolution *resolutions[COUNT];

static void must(bool what)
{
  if (!what) abort();
}

static void prepare(void)
{
  for (size_t i = 0; i < COUNT; i++) {
    must(csfle__schema_parse(&writers[i], CSFLE__NONE, csfle__str(texts[i].writer), NULL, 0, CSFLE__SCHEMA_NEW, NULL) == CSFLE_OK);
    must(csfle__schema_parse(&readers[i], CSFLE__NONE, csfle__str(texts[i].reader), NULL, 0, CSFLE__SCHEMA_NEW, NULL) == CSFLE_OK);
    must(csfle__plan_compile(&from[i], writers[i], NULL, NULL) == CSFLE_OK && csfle__plan_compile(&to[i], readers[i], NULL, NULL) == CSFLE_OK);
    must(csfle__resolution_compile(&resolutions[i], writers[i], readers[i], NULL) == CSFLE_OK);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static csfle__walk walk = CSFLE__WALK_INIT, work = CSFLE__WALK_INIT;
  static csfle_buf   out, again;
  if (!resolutions[0]) {
    prepare();
    csfle_buf_init(&out, 0, CSFLE_BUF_WIPE), csfle_buf_init(&again, 0, CSFLE_BUF_WIPE);
  }
  if (size < 1) return 0;
  size_t       k = data[0] % COUNT;
  csfle__bytes in = csfle__view(data + 1, size - 1);
  csfle_error  e = CSFLE_ERROR_INIT;
  csfle__buf_clear(&out), csfle__buf_clear(&again);
  csfle_status walked = csfle__plan_walk(from[k], in, &walk, NULL);
  csfle_status resolved = csfle__resolve(resolutions[k], in, &work, &out, &e);
  if (resolved != CSFLE_OK) {
    must(resolved == CSFLE_E_DATUM && out.len == 0 && e.offset <= in.len);
    /* the reader's side may refuse a branch or a symbol; a pair of one schema twice refuses what a walk refuses */
    if (k == 0) must(walked != CSFLE_OK);
    return 0;
  }
  must(walked == CSFLE_OK && work.consumed == walk.consumed);
  must(csfle__plan_walk(to[k], csfle__buf_view(&out), &walk, NULL) == CSFLE_OK && walk.consumed == out.len);
  if (k == 0) { /* in its shortest form already: once more changes nothing */
    must(csfle__resolve(resolutions[k], csfle__buf_view(&out), &work, &again, NULL) == CSFLE_OK);
    must(csfle__eq(csfle__buf_view(&out), csfle__buf_view(&again)));
  }
  return 0;
}
