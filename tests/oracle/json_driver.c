/*
 * oracle_json_driver: values to JSON text and back for test_json.py, one case a line; judges nothing.
 *
 *     in   {"schema","in":hex,"texts":[...]}     texts to encode
 *     out  {"wrapped":text,"plain":text,"encoded":[hex or null, ...]}
 */
#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/schema/text.h"

#include <stdio.h>
#include <stdlib.h>

static csfle__bytes unhex(csfle__bytes hex, uint8_t *to)
{
  for (size_t i = 0; i + 1 < hex.len; i += 2) to[i / 2] = (uint8_t)strtoul((const char[3]){ (char)hex.ptr[i], (char)hex.ptr[i + 1], 0 }, NULL, 16);
  return csfle__view(to, hex.len / 2);
}

static void put_text(const char *name, const csfle__schema *s, csfle__bytes in, unsigned flags)
{
  csfle_buf text, quoted;
  csfle_buf_init(&text, 0, 0), csfle_buf_init(&quoted, 0, 0);
  if (csfle__value_to_json(s, in, flags, &text, NULL, NULL) == CSFLE_OK && csfle__json_put_string(&quoted, csfle__buf_view(&text), false, NULL) == CSFLE_OK)
    printf("\"%s\":%.*s,", name, CSFLE__FMT(csfle__buf_view(&quoted)));
  else
    printf("\"%s\":null,", name);
  csfle_buf_free(&text), csfle_buf_free(&quoted);
}

static void answer(yyjson_val *q)
{
  csfle__bytes   hex = csfle__json_member_text(q, "in");
  uint8_t       *in = malloc(hex.len + 1);
  csfle__schema *s = NULL;
  size_t         i, n;
  yyjson_val    *text;
  if (!in || csfle__schema_parse(&s, CSFLE__NONE, csfle__json_member_text(q, "schema"), NULL, 0, CSFLE__SCHEMA_NEW, NULL) != CSFLE_OK) exit(1);
  csfle__bytes value = unhex(hex, in);
  putchar('{');
  put_text("wrapped", s, value, 0);
  put_text("plain", s, value, CSFLE__TEXT_PLAIN_UNIONS);
  printf("\"encoded\":[");
  yyjson_arr_foreach(csfle__json_member(q, "texts"), i, n, text)
  {
    csfle_buf out;
    csfle_buf_init(&out, 0, 0);
    if (i) putchar(',');
    if (csfle__value_from_json(s, csfle__json_text(text), &out, NULL) == CSFLE_OK) {
      putchar('"');
      for (size_t k = 0; k < out.len; k++) printf("%02x", out.ptr[k]);
      putchar('"');
    } else {
      printf("null");
    }
    csfle_buf_free(&out);
  }
  printf("]}\n");
  fflush(stdout);
  csfle__schema_free(s);
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
