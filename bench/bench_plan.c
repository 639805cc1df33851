/* Compiling the plan for the record of DESIGN.md section 5 (10 fields, 3 of them tagged strings of 12 to 20 bytes), walking and splicing it. */
#include "bench/bench.h"

#include "core/schema/plan.h"
#include "core/schema/text.h"

#include <stdlib.h>

#define SCHEMA(tag)                                                                                                   \
  "{\"type\":\"record\",\"name\":\"Customer\",\"namespace\":\"com.acme\",\"fields\":["                                 \
  "{\"name\":\"id\",\"type\":\"long\"},{\"name\":\"name\",\"type\":\"string\"" tag "},{\"name\":\"ssn\",\"type\":\"string\"" tag "}," \
  "{\"name\":\"active\",\"type\":\"boolean\"},{\"name\":\"score\",\"type\":\"double\"},"                               \
  "{\"name\":\"email\",\"type\":[\"null\",\"string\"]" tag "},{\"name\":\"count\",\"type\":\"int\"},"                  \
  "{\"name\":\"state\",\"type\":{\"type\":\"enum\",\"name\":\"State\",\"symbols\":[\"NEW\",\"OLD\"]}},"                \
  "{\"name\":\"note\",\"type\":\"bytes\"},{\"name\":\"city\",\"type\":\"string\"}]}"
#define TAGGED SCHEMA(",\"confluent:tags\":[\"PII\"]")
static const char json[] = "{\"id\":1234567,\"name\":\"Ada Lovelace\",\"ssn\":\"078-05-1120-9999\",\"active\":true,\"score\":0.75,"
                           "\"email\":{\"string\":\"ada@lovelace.example\"},\"count\":42,\"state\":\"OLD\",\"note\":\"abcdef\",\"city\":\"London\"}";

typedef struct run {
  csfle__schema     *s;
  csfle__plan       *p;
  csfle__walk        w;
  csfle__replacement r[3];
  csfle_buf          data, out;
} run;

static void check(csfle_status rc, const csfle_error *err)
{
  if (rc == CSFLE_OK) return;
  fprintf(stderr, "%s %s\n", err->where, err->msg);
  exit(2);
}

static void walk(void *arg)
{
  run        *b = arg;
  csfle_error err;
  check(csfle__plan_walk(b->p, csfle__buf_view(&b->data), &b->w, &err), &err);
}
static void walk_and_splice(void *arg)
{
  run        *b = arg;
  csfle_error err;
  walk(arg);
  b->out.len = 0;
  check(csfle__plan_splice(b->p, csfle__buf_view(&b->data), &b->w, b->r, &b->out, &err), &err);
  bench_use(b->out.ptr);
}
static void copy(void *arg)
{
  run *b = arg;
  memcpy(b->out.ptr, b->data.ptr, b->data.len);
  bench_use(b->out.ptr);
}
static const csfle__bytes          tags[] = { CSFLE__LIT("PII") };
static const csfle__selection_rule rules[] = { { tags, 1 } };
static const csfle__selection      selection = { .rules = rules, .rule_count = 1 };

static void compile(void *arg)
{
  run         *b = arg;
  csfle__plan *p;
  csfle_error  err;
  check(csfle__plan_compile(&p, b->s, &selection, &err), &err);
  csfle__plan_free(p);
}
static void parse_and_compile(void *arg)
{
  const char    *text = arg;
  csfle__schema *s;
  csfle__plan   *p;
  csfle_error    err;
  check(csfle__schema_parse(&s, CSFLE__NONE, csfle__str(text), NULL, 0, 0, &err), &err);
  check(csfle__plan_compile(&p, s, &selection, &err), &err);
  csfle__plan_free(p);
  csfle__schema_free(s);
}
static void to_json(void *arg)
{
  run        *b = arg;
  csfle_error err;
  b->out.len = 0;
  check(csfle__value_to_json(b->s, csfle__buf_view(&b->data), 0, &b->out, NULL, &err), &err);
}
static void from_json(void *arg)
{
  run        *b = arg;
  csfle_error err;
  b->out.len = 0;
  check(csfle__value_from_json(b->s, csfle__str(json), &b->out, &err), &err);
}

static void setup(run *b, const char *schema)
{
  csfle_error err;
  *b = (run){ .w = CSFLE__WALK_INIT };
  csfle_buf_init(&b->data, 0, 0), csfle_buf_init(&b->out, 0, 0);
  check(csfle__schema_parse(&b->s, CSFLE__NONE, csfle__str(schema), NULL, 0, 0, &err), &err);
  check(csfle__plan_compile(&b->p, b->s, &selection, &err), &err);
  check(csfle__value_from_json(b->s, csfle__str(json), &b->data, &err), &err);
  check(csfle__buf_reserve(&b->out, 4096, &err), &err);
  for (int i = 0; i < 3; i++) b->r[i].value = CSFLE__LIT("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9w");
}

static void done(run *b)
{
  csfle_buf_free(&b->data), csfle_buf_free(&b->out), csfle__walk_free(&b->w);
  csfle__plan_free(b->p), csfle__schema_free(b->s);
}

int main(void)
{
  run tagged, plain;
  int missed = 0;
  setup(&tagged, TAGGED);
  setup(&plain, SCHEMA(""));
  double memory = bench_ns(copy, &plain), bare = bench_ns(walk, &plain), leaves = bench_ns(walk, &tagged);
  printf("record of %zu bytes, 10 fields, %zu leaves\n", plain.data.len, tagged.p->leaf_count);
  bench_print("memcpy", memory, "ns");
  bench_print("walk, nothing tagged", bare, "ns");
  bench_print("walk, 3 fields tagged", leaves, "ns");
  bench_print("walk and splice, 3 fields tagged", bench_ns(walk_and_splice, &tagged), "ns");
  bench_print("walk / memcpy", bare / memory, "x");
  bench_print("plan: compile and free", bench_ns(compile, &tagged), "ns");
  bench_print("plan: parse the schema, compile, free both", bench_ns(parse_and_compile, (char *)TAGGED), "ns");
  bench_print("to JSON text", bench_ns(to_json, &plain), "ns");
  bench_print("from JSON text", bench_ns(from_json, &plain), "ns");
  missed += bench_budget("untagged walk over memcpy", bare - memory, 150, "ns");
  done(&tagged), done(&plain);
  return missed != 0;
}
