/* Any JSON text as a value of some schemas: bytes that come out of it are a whole value for the plan, and their own text
   gives the same bytes again. Input: one byte (the schema), JSON. */
#include "fuzz/fuzz.h"

#include "core/schema/plan.h"
#include "core/schema/text.h"

static const char *const texts[] = {
  "{\"type\":\"record\",\"name\":\"Customer\",\"fields\":[{\"name\":\"id\",\"type\":\"long\"},{\"name\":\"ssn\",\"type\":\"string\",\"confluent:tags\":[\"PII\"]},"
  "{\"name\":\"note\",\"type\":[\"null\",\"string\"],\"default\":null}]}",
  "{\"type\":\"record\",\"name\":\"All\",\"fields\":[{\"name\":\"b\",\"type\":\"boolean\",\"default\":true},{\"name\":\"i\",\"type\":\"int\",\"default\":-1},"
  "{\"name\":\"l\",\"type\":\"long\",\"default\":9},{\"name\":\"f\",\"type\":\"float\",\"default\":1.5},{\"name\":\"d\",\"type\":\"double\",\"default\":1e300},"
  "{\"name\":\"y\",\"type\":\"bytes\",\"default\":\"\\u00ff\"},{\"name\":\"s\",\"type\":\"string\",\"default\":\"x\",\"confluent:tags\":[\"PII\"]},"
  "{\"name\":\"x\",\"type\":{\"type\":\"fixed\",\"name\":\"F\",\"size\":2},\"default\":\"ab\"},"
  "{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]},\"default\":\"A\"},"
  "{\"name\":\"a\",\"type\":{\"type\":\"array\",\"items\":\"int\"},\"default\":[1]},{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":\"string\"},\"default\":{},\"confluent:tags\":[\"PII\"]}]}",
  "{\"type\":\"record\",\"name\":\"T\",\"fields\":[{\"name\":\"p\",\"type\":[\"null\",\"int\",\"string\",\"bytes\",\"T\",{\"type\":\"array\",\"items\":[\"null\",\"T\",\"double\"]},"
  "{\"type\":\"map\",\"values\":[\"string\",\"T\"]}],\"default\":null}]}",
  "[\"null\",\"long\",\"double\",\"string\",{\"type\":\"enum\",\"name\":\"n.E\",\"symbols\":[\"A\"]},{\"type\":\"record\",\"name\":\"n.R\",\"fields\":[{\"name\":\"a\",\"type\":[\"int\",\"null\"]}]}]",
  "{\"type\":\"array\",\"items\":{\"type\":\"map\",\"values\":[\"boolean\",\"float\",{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}]}}",
  "\"string\"", "\"double\"", "\"long\"", "\"bytes\"",
};
#define COUNT (sizeof texts / sizeof *texts)

static const csfle__bytes          pii[] = { { (const uint8_t *)"PII", 3 } };
static const csfle__selection_rule rules[] = { { pii, 1 } };
static const csfle__selection      sel = { rules, 1, NULL, 0, NULL, 0 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static csfle__schema *schemas[COUNT];
  static csfle__plan   *plans[COUNT];
  csfle__bytes          in = csfle__view(data, size);
  size_t                at = fuzz_byte(&in) % COUNT;
  csfle_buf             bytes, text, again;
  csfle__walk           w = CSFLE__WALK_INIT;
  csfle_error           e = CSFLE_ERROR_INIT;

  if (!schemas[at]) {
    MUST_OK(csfle__schema_parse(&schemas[at], CSFLE__NONE, csfle__str(texts[at]), NULL, 0, CSFLE__SCHEMA_NEW, err));
    MUST_OK(csfle__plan_compile(&plans[at], schemas[at], &sel, err));
  }
  csfle_buf_init(&bytes, 0, CSFLE_BUF_WIPE), csfle_buf_init(&text, 0, CSFLE_BUF_WIPE), csfle_buf_init(&again, 0, CSFLE_BUF_WIPE);
  csfle_status rc = csfle__value_from_json(schemas[at], in, &bytes, &e);
  if (rc == CSFLE_OK) {
    size_t consumed = 0;
    MUST_OK(csfle__plan_walk(plans[at], csfle__buf_view(&bytes), &w, err));
    MUST(w.consumed == bytes.len);
    MUST_OK(csfle__value_to_json(schemas[at], csfle__buf_view(&bytes), 0, &text, &consumed, err));
    MUST(consumed == bytes.len);
    MUST_OK(csfle__value_from_json(schemas[at], csfle__buf_view(&text), &again, err));
    MUST(csfle__eq(csfle__buf_view(&bytes), csfle__buf_view(&again)));
    csfle__buf_clear(&text);
    MUST_OK(csfle__value_to_json(schemas[at], csfle__buf_view(&bytes), CSFLE__TEXT_PLAIN_UNIONS, &text, &consumed, err));
  } else {
    MUST(rc == CSFLE_E_DATUM && e.msg[0]);
  }
  csfle__walk_free(&w);
  csfle_buf_free(&bytes), csfle_buf_free(&text), csfle_buf_free(&again);
  return 0;
}
