/* See bearer.h. */
#include "core/kms/bearer.h"

#define UNKNOWN_LIFE_S 900
#define MAX_LIFE_S     (10LL * 365 * 86400)

void csfle__bearer_init(csfle__bearer *b)
{
  memset(b, 0, sizeof *b);
  pthread_mutex_init(&b->lock, NULL);
}

void csfle__bearer_free(csfle__bearer *b)
{
  csfle__secret_wipe(&b->token);
  pthread_mutex_destroy(&b->lock);
}

csfle_status csfle__bearer_get(csfle__bearer *b, int64_t now_ms, int64_t margin_ms, csfle__secret *out, bool *have, csfle_error *err)
{
  csfle_status rc = CSFLE_OK;
  pthread_mutex_lock(&b->lock);
  *have = b->token.len && (!b->ends_ms || now_ms < b->ends_ms - margin_ms);
  if (*have) rc = csfle__secret_copy(out, csfle__secret_view(&b->token), err);
  pthread_mutex_unlock(&b->lock);
  return rc;
}

csfle_status csfle__bearer_put(csfle__bearer *b, csfle__bytes token, int64_t ends_ms, csfle_error *err)
{
  pthread_mutex_lock(&b->lock);
  csfle_status rc = csfle__secret_copy(&b->token, token, err);
  if (rc == CSFLE_OK) b->ends_ms = ends_ms;
  pthread_mutex_unlock(&b->lock);
  return rc;
}

void csfle__bearer_drop(csfle__bearer *b, csfle__bytes refused)
{
  pthread_mutex_lock(&b->lock);
  if (csfle__secret_equal(csfle__secret_view(&b->token), refused)) csfle__secret_wipe(&b->token);
  pthread_mutex_unlock(&b->lock);
}

bool csfle__bearer_number(yyjson_val *root, const char *name, int64_t *v)
{
  yyjson_val  *m = csfle__json_member(root, name);
  csfle__bytes t = csfle__json_text(m);
  return t.len ? csfle__parse_i64(t, v) : csfle__json_i64(m, v);
}

csfle_status csfle__bearer_take_oauth(csfle__bearer *b, const csfle__kms_call *call, const csfle__http_about *about, csfle__secret *out, csfle_error *err)
{
  yyjson_doc  *doc = NULL;
  int64_t      life, on;
  csfle_status rc = csfle__json_parse_secret(&doc, csfle__buf_view(&call->io.reply.body), err);
  if (rc == CSFLE_E_NOMEM) return rc;
  yyjson_val  *root = doc ? yyjson_doc_get_root(doc) : NULL;
  csfle__bytes token = csfle__json_member_text(root, "access_token");
  if (!csfle__bearer_number(root, "expires_in", &life))
    life = csfle__bearer_number(root, "expires_on", &on) && on > 0 && on < MAX_LIFE_S * 100 ? on - call->now_ms / 1000 : UNKNOWN_LIFE_S;
  if (life < 0) life = 0;
  if (life > MAX_LIFE_S) life = MAX_LIFE_S;
  if (!token.len || !csfle__http_printable(token)) rc = csfle__http_failf(about, CSFLE_E_UNAVAILABLE, err, "answer has no access_token that fits into a header");
  else {
    rc = csfle__bearer_put(b, token, call->now_ms + life * 1000, err);
    if (rc == CSFLE_OK) rc = csfle__secret_copy(out, token, err);
  }
  yyjson_doc_free(doc);
  return rc;
}
