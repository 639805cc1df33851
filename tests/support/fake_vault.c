/* A transit engine. See fake_vault.h. */
#include "tests/support/fake_vault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

/* "vault:v1:" and the Base64 text backwards: not a cipher, but not the plain text either */
static char *turn(const char *text)
{
  size_t n = strlen(text);
  char  *out = malloc(n + 1);
  for (size_t i = 0; i < n; i++) out[i] = text[n - 1 - i];
  out[n] = 0;
  return out;
}

static void start(void *opaque, csfle_exchange *x)
{
  csfle_fake_vault *v = opaque;
  size_t            n;
  const char       *url = csfle_exchange_part(x, CSFLE_X_URL, NULL), *body = csfle_exchange_part(x, CSFLE_X_BODY, &n);
  char              out[1024] = "";
  int               status = v->status;
  if (strncmp(url, CSFLE_FAKE_VAULT "/", sizeof CSFLE_FAKE_VAULT) != 0) {
    v->next->start(v->next->opaque, x);
    return;
  }
  bool wrap = strstr(url, "/encrypt/") != NULL;
  if (wrap && v->wrap_status) status = v->wrap_status;
  if (wrap) v->wraps++;
  else v->unwraps++;
  if (v->delay_us) usleep(v->delay_us);
  yyjson_doc *d = body ? yyjson_read(body, n, 0) : NULL;
  const char *text = yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(d), wrap ? "plaintext" : "ciphertext"));
  if (status == 403) {
    snprintf(out, sizeof out, "{\"errors\":[\"1 error occurred:\\n\\t* permission denied\\n\\n\"]}");
  } else if (status || !text || (!wrap && strncmp(text, "vault:v1:", 9) != 0)) {
    status = status ? status : 400;
    snprintf(out, sizeof out, "{\"errors\":[\"key is disabled or ciphertext is wrong\"]}");
  } else {
    char *turned = turn(wrap ? text : text + 9);
    snprintf(out, sizeof out, wrap ? "{\"data\":{\"ciphertext\":\"vault:v1:%s\",\"key_version\":1}}" : "{\"data\":{\"plaintext\":\"%s\"}}", turned);
    free(turned);
    status = 200;
  }
  yyjson_doc_free(d);
  csfle_exchange_address(x, "\xc0\0\2\1", 4);
  csfle_exchange_done(x, status < 0 ? 0 : status, "", out, strlen(out), status < 0 ? "connection refused" : NULL);
}

static void cancel(void *opaque, csfle_exchange *x) { (void)opaque, (void)x; }

void csfle_fake_vault_init(csfle_fake_vault *v, const csfle_transport *next)
{
  memset(v, 0, sizeof *v);
  v->transport = (csfle_transport){ sizeof v->transport, v, start, cancel, CSFLE_TRANSPORT_ASKS_ADDRESSES };
  v->next = next;
}
