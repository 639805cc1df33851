/*
 * A client whose memory somebody else looks at: memory_holder URL TOPIC RECORD, properties from the environment's
 * HOLDER_PROPERTIES. It writes and reads RECORD, says "used", and goes on when a line comes in: "forgotten" after
 * csfle_client_forget_keys, "used" again, "closed" after csfle_client_close.
 */
#include <csfle/csfle.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say(const char *word)
{
  char line[16];
  printf("%s\n", word);
  fflush(stdout);
  if (!fgets(line, sizeof line, stdin)) exit(0);
}

static void use(csfle_serde *s, const char *record)
{
  csfle_error err = CSFLE_ERROR_INIT;
  csfle_buf   out, back;
  csfle_info  info = CSFLE_INFO_INIT;
  csfle_buf_init(&out, 1 << 20, 0);
  csfle_buf_init(&back, 1 << 20, CSFLE_BUF_WIPE);
  for (int i = 0; i < 20; i++) {
    if (csfle_serialize(s, CSFLE_JSON, record, strlen(record), NULL, &out, &info, &err) != CSFLE_OK || info.encrypted == 0 ||
        csfle_deserialize(s, CSFLE_JSON, out.ptr, out.len, NULL, &back, &info, &err) != CSFLE_OK || info.decrypted == 0) {
      fprintf(stderr, "holder: %s %s\n", err.where, err.msg);
      exit(1);
    }
  }
  csfle_buf_free(&out);
  csfle_buf_free(&back);
}

int main(int argc, char **argv)
{
  csfle_error   err = CSFLE_ERROR_INIT;
  csfle_config *cfg = csfle_config_new(getenv("HOLDER_PROPERTIES"));
  if (argc != 4 || csfle_config_set(cfg, "schema.registry.url", argv[1], &err) != CSFLE_OK ||
      csfle_config_set(cfg, "use.latest.version", "true", &err) != CSFLE_OK) {
    fprintf(stderr, "holder: %s\n", err.msg);
    return 2;
  }
  csfle_client *cl = csfle_client_open(cfg, &err);
  csfle_serde  *s = csfle_serde_open(cl, argv[2], NULL, &err);
  csfle_config_free(cfg);
  if (!s) {
    fprintf(stderr, "holder: %s\n", err.msg);
    return 2;
  }
  use(s, argv[3]);
  say("used");
  csfle_client_forget_keys(cl, NULL);
  say("forgotten");
  use(s, argv[3]);
  say("used");
  csfle_serde_close(s);
  csfle_client_close(cl);
  say("closed");
  return 0;
}
