/* One record, encrypted as the schema's rules say, to stdout. */
#include <csfle/csfle.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
  const char   *json = "{\"id\":1,\"ssn\":\"078-05-1120\"}";
  csfle_error   err = CSFLE_ERROR_INIT;
  csfle_buf     out;
  csfle_config *cfg = csfle_config_new("use.latest.version=true");
  csfle_client *cl;
  csfle_serde  *s;

  csfle_config_set(cfg, "schema.registry.url", argc > 1 ? argv[1] : "http://localhost:8081", &err);
  cl = csfle_client_open(cfg, &err);
  s = csfle_serde_open(cl, "orders", NULL, &err);
  csfle_buf_init(&out, 1 << 20, 0);
  if (csfle_serialize(s, CSFLE_JSON, json, strlen(json), NULL, &out, NULL, &err) != CSFLE_OK)
    fprintf(stderr, "%s: %s\n", err.where, err.msg);
  else
    fwrite(out.ptr, 1, out.len, stdout); /* or rd_kafka_producev(..., RD_KAFKA_V_VALUE(out.ptr, out.len), ...) */
  csfle_buf_free(&out);
  csfle_serde_close(s);
  csfle_client_close(cl);
  csfle_config_free(cfg);
  return err.code == CSFLE_OK ? 0 : 1;
}
