/* Any text as an Avro schema, in both modes: what is accepted has texts that are fixed points, is compatible with itself
   and compiles to a plan or to a clear refusal. Input: one byte (bit 0: strict), text, NUL, text of a reference "R". */
#include "fuzz/fuzz.h"

#include "core/schema/compat.h"
#include "core/schema/plan.h"

static const csfle__bytes          pii[] = { { (const uint8_t *)"PII", 3 } };
static const csfle__selection_rule rules[] = { { pii, 1 }, { NULL, 0 } };
static const csfle__tag_pattern    patterns[] = { { { (const uint8_t *)"**.p", 4 }, pii, 1 } };
static const csfle__selection      sel = { rules, 2, patterns, 1, pii, 1 };

static csfle_status note(void *opaque, const csfle__difference *d, csfle_error *err)
{
  (void)err;
  if (strcmp(d->type, "EXCEPTION") == 0) *(bool *)opaque = true; /* a limit */
  else if (d->incompatible) fprintf(stderr, "%s at %.*s: %.*s\n", d->type, CSFLE__FMT(d->path), CSFLE__FMT(d->info));
  return CSFLE_OK;
}

static csfle_status text_of(const csfle__schema *s, bool normalized, csfle_buf *out)
{
  csfle__buf_clear(out);
  return normalized ? csfle__schema_format(s)->normalized(s, out, NULL) : csfle__schema_format(s)->canonical(s, out, NULL);
}

static void check_text(const csfle__schema *s, bool normalized, const csfle__reference *refs, size_t ref_count, unsigned flags)
{
  csfle_buf      one, two;
  csfle__schema *again = NULL, *third = NULL;
  csfle_buf_init(&one, 0, 0), csfle_buf_init(&two, 0, 0);
  csfle_status rc = text_of(s, normalized, &one);
  if (rc == CSFLE_OK) {
    /* as Java does, an alias in no namespace is written without the dot that says so: it is another one when read again,
       which has another place among sorted ones and stays there */
    bool alias = memmem(one.ptr, one.len, "\"aliases\"", 9);
    MUST_OK(csfle__schema_parse(&again, CSFLE__NONE, csfle__buf_view(&one), refs, ref_count, flags, err));
    MUST_OK(text_of(again, normalized, &two));
    MUST(csfle__schema_format(s)->same_layout(s, again));
    if (alias) {
      MUST_OK(csfle__schema_parse(&third, CSFLE__NONE, csfle__buf_view(&two), refs, ref_count, flags, err));
      MUST_OK(text_of(third, normalized, &one));
    } else if (!normalized) {
      MUST(csfle__schema_format(s)->equivalent(s, again));
    }
    MUST(csfle__eq(csfle__buf_view(&one), csfle__buf_view(&two)));
  } else {
    MUST(rc == CSFLE_E_SCHEMA); /* the text would be too deep */
  }
  csfle__schema_free(again), csfle__schema_free(third);
  csfle_buf_free(&one), csfle_buf_free(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  csfle__bytes     in = csfle__view(data, size);
  unsigned         flags = fuzz_byte(&in) & 1 ? CSFLE__SCHEMA_NEW : 0;
  csfle__bytes     text = fuzz_part(&in, 0);
  csfle__reference ref = { CSFLE__LIT("R"), in };
  size_t           refs = in.len ? 1 : 0;
  csfle__schema   *s = NULL;
  csfle_error      e = CSFLE_ERROR_INIT;

  csfle_status rc = csfle__schema_parse(&s, CSFLE__NONE, text, &ref, refs, flags, &e);
  if (rc != CSFLE_OK) {
    MUST(rc == CSFLE_E_SCHEMA && e.code == rc && e.msg[0] && !s);
    return 0;
  }
  check_text(s, false, &ref, refs, flags);
  check_text(s, true, &ref, refs, flags);

  bool compatible = false, limit = false;
  MUST_OK(csfle__schema_compare(s, s, &compatible, note, &limit, err));
  MUST(compatible || limit);

  csfle__plan *p = NULL;
  rc = csfle__plan_compile(&p, s, &sel, &e);
  MUST(rc == CSFLE_OK || (rc == CSFLE_E_SCHEMA && e.msg[0]));
  if (p) {
    csfle__walk w = CSFLE__WALK_INIT; /* a value that is all zeros, and the text itself as one */
    uint8_t     zeros[64] = { 0 };
    rc = csfle__plan_walk(p, csfle__view(zeros, sizeof zeros), &w, &e);
    MUST(rc == CSFLE_OK ? w.consumed <= sizeof zeros : rc == CSFLE_E_DATUM);
    rc = csfle__plan_walk(p, text, &w, &e);
    MUST(rc == CSFLE_OK ? w.consumed <= text.len : rc == CSFLE_E_DATUM);
    csfle__walk_free(&w);
  }
  csfle__plan_free(p);
  csfle__schema_free(s);
  return 0;
}
