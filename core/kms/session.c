/* See session.h. */
#include "core/kms/session.h"

void csfle__session_wipe(csfle__session *s)
{
  csfle__secret_wipe(&s->id), csfle__secret_wipe(&s->key), csfle__secret_wipe(&s->token), csfle__secret_wipe(&s->endpoint), csfle__secret_wipe(&s->ca_file);
  s->expires_ms = 0, s->own_endpoint = false;
}

csfle_status csfle__session_set(csfle__session *s, csfle__bytes id, csfle__bytes key, csfle__bytes token, int64_t expires_ms, csfle_error *err)
{
  csfle_status rc = csfle__secret_copy(&s->id, id, err);
  if (rc == CSFLE_OK) rc = csfle__secret_copy(&s->key, key, err);
  csfle__secret_wipe(&s->token);
  if (rc == CSFLE_OK && token.len) rc = csfle__secret_copy(&s->token, token, err);
  s->expires_ms = expires_ms;
  return rc;
}

static csfle_status copy(csfle__session *to, const csfle__session *from, csfle_error *err)
{
  csfle__session_wipe(to);
  csfle_status rc = csfle__session_set(to, csfle__secret_view(&from->id), csfle__secret_view(&from->key), csfle__secret_view(&from->token), from->expires_ms, err);
  if (rc == CSFLE_OK && from->endpoint.len) rc = csfle__secret_copy(&to->endpoint, csfle__secret_view(&from->endpoint), err);
  if (rc == CSFLE_OK && from->ca_file.len) rc = csfle__secret_copy(&to->ca_file, csfle__secret_view(&from->ca_file), err);
  to->own_endpoint = from->own_endpoint;
  if (rc != CSFLE_OK) csfle__session_wipe(to);
  return rc;
}

void csfle__sessions_init(csfle__sessions *s)
{
  memset(s, 0, sizeof *s);
  pthread_mutex_init(&s->lock, NULL);
}

void csfle__sessions_free(csfle__sessions *s)
{
  csfle__session_wipe(&s->kept);
  pthread_mutex_destroy(&s->lock);
}

csfle_status csfle__sessions_get(csfle__sessions *s, int64_t now_ms, int64_t margin_ms, csfle__session *out, bool *have, csfle_error *err)
{
  csfle_status rc = CSFLE_OK;
  pthread_mutex_lock(&s->lock);
  *have = s->kept.id.len && (!s->kept.expires_ms || now_ms < s->kept.expires_ms - margin_ms);
  if (*have) rc = copy(out, &s->kept, err);
  pthread_mutex_unlock(&s->lock);
  return rc;
}

csfle_status csfle__sessions_put(csfle__sessions *s, const csfle__session *got, csfle__session *out, csfle_error *err)
{
  pthread_mutex_lock(&s->lock);
  csfle_status rc = copy(&s->kept, got, err);
  pthread_mutex_unlock(&s->lock);
  return rc == CSFLE_OK ? copy(out, got, err) : rc;
}

void csfle__sessions_drop(csfle__sessions *s, const csfle__session *refused)
{
  pthread_mutex_lock(&s->lock);
  if (csfle__secret_equal(csfle__secret_view(&s->kept.id), csfle__secret_view(&refused->id)) &&
      csfle__secret_equal(csfle__secret_view(&s->kept.key), csfle__secret_view(&refused->key)))
    csfle__session_wipe(&s->kept);
  pthread_mutex_unlock(&s->lock);
}
