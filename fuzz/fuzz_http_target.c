/* What a stranger's request may hold: target, Accept, Content-Type, a compressed body. What is cut from a target and
   encoded again is cut alike; gunzip stays within its limit and gives back what gzip took.
   Input: target, line feed, Accept, line feed, Content-Type, line feed, body. */
#include "fuzz/fuzz.h"

#include "core/model/model.h"
#include "server/http/http.h"

static void check_target(csfle__bytes text)
{
  registry_request a, b;
  csfle_buf        out;
  char            *target = csfle__dup(text.ptr, text.len);
  memset(&a, 0, sizeof a), memset(&b, 0, sizeof b);
  csfle_buf_init(&out, 0, 0);
  if (registry_target_parse(&a, target)) {
    bool empty = a.segment_count == 0;
    for (size_t i = 0; i < a.segment_count; i++) {
      MUST(csfle__utf8_valid(a.segments[i]));
      MUST_OK(csfle__buf_putc(&out, '/', err));
      MUST_OK(csfle__put_path_segment(&out, a.segments[i], err));
    }
    MUST_OK(csfle__buf_puts(&out, empty ? "/?" : a.segments[a.segment_count - 1].len ? "?" : "/?", err));
    for (size_t i = 0; i < a.query_count; i++) {
      MUST_OK(csfle__put_query_value(&out, a.query[i].name, err));
      MUST_OK(csfle__buf_putc(&out, '=', err));
      MUST_OK(csfle__put_query_value(&out, a.query[i].value, err));
      MUST_OK(csfle__buf_putc(&out, '&', err));
    }
    MUST(registry_target_parse(&b, csfle__buf_cstr(&out)));
    MUST(a.segment_count == b.segment_count && a.query_count == b.query_count);
    for (size_t i = 0; i < a.segment_count; i++) MUST(csfle__eq(a.segments[i], b.segments[i]));
    for (size_t i = 0; i < a.query_count; i++) MUST(csfle__eq(a.query[i].name, b.query[i].name) && csfle__eq(a.query[i].value, b.query[i].value));
  }
  csfle__arena_free(&a.arena), csfle__arena_free(&b.arena);
  csfle_buf_free(&out);
  csfle__free(target);
}

static void check_body(csfle__bytes body)
{
  csfle_buf b;
  csfle_buf_init(&b, 0, CSFLE_BUF_WIPE);
  MUST_OK(csfle__buf_put(&b, body.ptr, body.len, err));
  int status = registry_gunzip(&b, 65536);
  MUST(status ? status >= 400 && status < 500 : b.len <= 65536);
  b.len = 0;
  MUST_OK(csfle__buf_put(&b, body.ptr, body.len, err));
  if (registry_gzip(&b)) {
    MUST(registry_gunzip(&b, body.len ? body.len : 1) == 0);
    MUST(csfle__eq(csfle__buf_view(&b), body));
  }
  csfle_buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  csfle__bytes body = csfle__view(data, size), target = fuzz_part(&body, '\n'), accept = fuzz_part(&body, '\n'), type = fuzz_part(&body, '\n');
  check_target(target);
  int at = registry_accept(accept);
  MUST(at >= -1 && at <= 2);
  registry_content_type_ok(type);
  check_body(body);
  return 0;
}
