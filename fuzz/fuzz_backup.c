/* Any text as a keys backup in a registry's place: what is taken gives answers that are JSON objects, and nothing in clear. Input: one
   byte (bit 0: the text gets its right first and last line), then the text; after a byte 0x1e the paths that are asked for, a line each. */
#include "fuzz/fuzz.h"

#include "client/regclient/seed.h"

static void ask(const csfle__seed *s, csfle__bytes path)
{
  csfle__rc_call c;
  csfle_error    e = CSFLE_ERROR_INIT;
  csfle__rc_call_init(&c, "GET");
  MUST_OK(csfle__buf_put(&c.path, path.ptr, path.len, err));
  if (csfle__seed_answer(s, &c, &e) == CSFLE__DONE) MUST(c.doc && yyjson_is_obj(yyjson_doc_get_root(c.doc)) && !csfle__json_member(yyjson_doc_get_root(c.doc), "keyMaterial"));
  else MUST(e.msg[0] && (e.http == 404 || e.code == CSFLE_E_SCHEMA));
  csfle__rc_call_free(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  csfle__bytes in = csfle__view(data, size);
  unsigned     flags = fuzz_byte(&in);
  csfle__bytes body = fuzz_part(&in, 0x1e), rest = body;
  size_t       counts[CSFLE__BACKUP_KINDS] = { 0 };
  csfle__seed *s = NULL;
  csfle_buf    text;
  csfle_error  e = CSFLE_ERROR_INIT;

  csfle_buf_init(&text, 0, 0);
  if (flags & 1) MUST_OK(csfle__backup_begin(&text, 1, CSFLE__NONE, err));
  MUST_OK(csfle__buf_put(&text, body.ptr, body.len, err));
  if (flags & 1) {
    while (rest.len) {
      csfle__bytes line = fuzz_part(&rest, '\n');
      counts[CSFLE__BACKUP_KEK] += csfle__starts(line, CSFLE__LIT("{\"kek\""));
      counts[CSFLE__BACKUP_DEK] += csfle__starts(line, CSFLE__LIT("{\"dek\""));
      counts[CSFLE__BACKUP_SCHEMA] += csfle__starts(line, CSFLE__LIT("{\"schema\""));
    }
    if (text.ptr[text.len - 1] != '\n') MUST_OK(csfle__buf_putc(&text, '\n', err));
    MUST_OK(csfle__backup_end(&text, counts, err));
  }
  csfle_status rc = csfle__seed_new(&s, csfle__buf_view(&text), &e);
  MUST(rc == CSFLE_OK ? s != NULL : rc == CSFLE_E_CONFIG && e.msg[0] && !s);
  while (s && in.len) ask(s, fuzz_part(&in, '\n'));
  csfle__seed_free(s);
  csfle_buf_free(&text);
  return 0;
}
