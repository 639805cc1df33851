/* Any text as the properties of a client: it opens, or says why not; and no message repeats the value of a secret.
   Files are not read: a text with "include" in it is passed over. Input: the text. */
#include "fuzz/fuzz.h"

#include "client/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  char *text = csfle__dup(data, size);
  if (strstr(text, "include") || strstr(text, "location") || strstr(text, "\nssl.") || strncmp(text, "ssl.", 4) == 0) {
    csfle__free(text);
    return 0;
  }
  csfle_config *c = csfle_config_new(text), *again = csfle_config_new(NULL);
  MUST(c && again);
  for (size_t i = 0; i < c->count; i++) { /* what was taken from a text is taken by itself, too */
    MUST(csfle__config_knows(c->at[i].name));
    MUST_OK(csfle_config_set(again, c->at[i].name, c->at[i].value, err));
    MUST(strcmp(csfle__config_given(again, c->at[i].name), c->at[i].value) == 0);
  }
  csfle_error   e = CSFLE_ERROR_INIT;
  csfle_client *cl = csfle_client_open(c, &e);
  MUST(cl ? e.code == CSFLE_OK : (e.code == CSFLE_E_CONFIG || e.code == CSFLE_E_POLICY) && e.msg[0]);
  if (c->bad.code) MUST(!cl);
  if (!cl)
    for (size_t i = 0; i < c->count; i++)
      if (csfle__config_secret(c->at[i].name) && strlen(c->at[i].value) >= 16) MUST(!strstr(e.msg, c->at[i].value));
  csfle_client_close(cl);
  csfle_config_free(c), csfle_config_free(again);
  csfle__free(text);
  return 0;
}
