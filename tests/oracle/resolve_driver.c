/*
 * oracle_resolve_driver: resolves values for test_resolution.py, one case a line, and judges nothing.
 *
 *     in   {"writer","reader","in":hex}                      texts hold JSON
 *     out  {"status","msg","where","out":hex,"consumed","walked":bool,"compatible":bool}
 */
#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/schema/compat.h"
#include "core/schema/resolve.h"

#include <stdio.h>
#include <stdlib.h>

static csfle__bytes unhex(csfle__bytes hex, uint8_t *to)
{
  for (size_t i = 0; i + 1 < hex.len; i += 2) to[i / 2] = (uint8_t)strtoul((const char[3]){ (char)hex.ptr[i], (char)hex.ptr[i + 1], 0 }, NULL, 16);
  return csfle__view(to, hex.len / 2);
}

static void answer(yyjson_val *q)
{
  csfle__bytes       hex = csfle__json_member_text(q, "in");
  uint8_t           *in = malloc(hex.len + 1);
  csfle__schema     *w = NULL, *t = NULL;
  csfle__resolution *r = NULL;
  csfle__plan       *p = NULL;
  csfle__walk        memory = CSFLE__WALK_INIT;
  csfle_error        e = CSFLE_ERROR_INIT;
  csfle_buf          out;
  size_t             consumed = 0;
  bool               walked = false, compatible = false;
  csfle_buf_init(&out, 0, CSFLE_BUF_WIPE);
  csfle_status rc = csfle__schema_parse(&w, CSFLE__NONE, csfle__json_member_text(q, "writer"), NULL, 0, CSFLE__SCHEMA_NEW, &e);
  if (rc == CSFLE_OK) rc = csfle__schema_parse(&t, CSFLE__NONE, csfle__json_member_text(q, "reader"), NULL, 0, CSFLE__SCHEMA_NEW, &e);
  if (rc == CSFLE_OK && w->format->compare(t, w, &compatible, NULL, NULL, &e) != CSFLE_OK) exit(1);
  if (rc == CSFLE_OK) rc = csfle__resolution_compile(&r, w, t, &e);
  if (rc == CSFLE_OK) rc = csfle__resolve(r, unhex(hex, in), &memory, &out, &e);
  if (rc == CSFLE_OK) {
    consumed = memory.consumed;
    if (csfle__plan_compile(&p, t, NULL, NULL) != CSFLE_OK) exit(1);
    walked = csfle__plan_walk(p, csfle__buf_view(&out), &memory, &e) == CSFLE_OK && memory.consumed == out.len;
    csfle__plan_free(p);
  }
  printf("{\"status\":%d,\"consumed\":%zu,\"walked\":%s,\"compatible\":%s,\"out\":\"", (int)rc, consumed, walked ? "true" : "false", compatible ? "true" : "false");
  for (size_t i = 0; i < out.len; i++) printf("%02x", out.ptr[i]);
  csfle__buf_clear(&out);
  if (csfle__json_put_string(&out, csfle__str(e.msg), false, NULL) != CSFLE_OK) exit(1);
  printf("\",\"msg\":%.*s}\n", CSFLE__FMT(csfle__buf_view(&out)));
  fflush(stdout);
  csfle_buf_free(&out);
  csfle__walk_free(&memory);
  csfle__resolution_free(r);
  csfle__schema_free(w), csfle__schema_free(t);
  free(in);
}

int main(void)
{
  char  *line = NULL;
  size_t cap = 0;
  for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;) {
    yyjson_doc *doc = NULL;
    if (csfle__json_parse(&doc, csfle__view(line, (size_t)n), NULL) != CSFLE_OK) return 1;
    answer(yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
  }
  free(line);
  return 0;
}
