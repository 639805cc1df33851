/* What a client tells of itself: events to stderr as they happen, its metrics to stdout as Prometheus reads them. */
#include <csfle/csfle.h>
#include <stdio.h>
#include <string.h>

/* Of those that a person has to act on, at least: rotation_overdue, denied, policy, limit_near. */
static void on_event(void *opaque, int event, const char *json)
{
  (void)opaque;
  fprintf(stderr, "%s: %s\n", event == CSFLE_EVENT_DEK_MADE || event == CSFLE_EVENT_DEK_ROTATED ? "info" : "WARNING", json);
}

int main(int argc, char **argv)
{
  const char   *json = "{\"id\":1,\"ssn\":\"078-05-1120\"}";
  csfle_error   err = CSFLE_ERROR_INIT;
  csfle_buf     out, page;
  csfle_config *cfg = csfle_config_new("use.latest.version=true");
  csfle_client *cl;
  csfle_serde  *s;
  int           i, failed = 0;

  csfle_config_set(cfg, "schema.registry.url", argc > 1 ? argv[1] : "http://localhost:8081", &err);
  csfle_config_on_event(cfg, on_event, NULL);
  cl = csfle_client_open(cfg, &err);
  s = csfle_serde_open(cl, "orders", NULL, &err);
  csfle_buf_init(&out, 1 << 20, 0);
  csfle_buf_init(&page, 1 << 20, 0);
  for (i = 0; i < 3 && !failed; i++) {
    failed = csfle_serialize(s, CSFLE_JSON, json, strlen(json), NULL, &out, NULL, &err) != CSFLE_OK;
    if (failed) fprintf(stderr, "%s: %s\n", err.where, err.msg);
  }
  /* in the program's own handler of GET /metrics */
  if (csfle_client_stats(cl, CSFLE_STATS_PROMETHEUS, &page, &err) == CSFLE_OK) fwrite(page.ptr, 1, page.len, stdout);
  csfle_buf_free(&page);
  csfle_buf_free(&out);
  csfle_serde_close(s);
  csfle_client_close(cl);
  csfle_config_free(cfg);
  return failed;
}
