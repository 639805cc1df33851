/* Every answer that looked at the state waits for the newest record it may have seen, refusals and figures too. */
#include "server/api/api.h"
#include "tests/unit/server/registry/rig.h"

static const struct { const char *method, *target, *body; int status; } asks[] = {
  { "GET", "/subjects", NULL, 200 },
  { "GET", "/csfle/v1/health", NULL, 200 },
  { "GET", "/metrics", NULL, 200 },
  { "GET", "/csfle/v1/trash", NULL, 200 },
  { "POST", "/csfle/v1/trash/0/restore", NULL, 404 },
  { "GET", "/csfle/v1/keks/k/deks", NULL, 200 },
  { "GET", "/csfle/v1/keks/k/move", NULL, 404 },
  { "POST", "/csfle/v1/keks/k/move/undo", NULL, 404 },
  { "DELETE", "/csfle/v1/keks/k/move", NULL, 404 },
  { "POST", "/csfle/v1/keks/k/move", "{\"kmsType\":\"t\",\"kmsKeyId\":\"j\",\"deks\":[{\"subject\":\"s\",\"version\":1,\"algorithm\":\"AES256_GCM\",\"was\":\"\",\"encryptedKeyMaterial\":\"YQ==\"}]}", 409 },
  { "GET", "/dek-registry/v1/keks/k/deks/s", NULL, 404 },
  { "GET", "/dek-registry/v1/keks/k/deks/s/versions/latest", NULL, 404 },
  { "POST", "/dek-registry/v1/keks/k/test", NULL, 422 },
  { "POST", "/dek-registry/v1/keks/none/test", NULL, 404 },
  { "PUT", "/dek-registry/v1/keks/none?testSharing=true", "{\"shared\":true}", 404 },
  { "PUT", "/dek-registry/v1/keks/k?testSharing=true", "{\"shared\":true}", 500 }, /* no KMS has type t */
};

TEST(an_answer_waits_for_what_it_looked_at)
{
  registry_log     *log;
  registry         *g = rig_open(&log);
  registry_api     *api = registry_api_new(g, REGISTRY_ANONYMOUS_WRITE, -1);
  registry_http_app app = registry_api_app(api);

  assert_true(rig_kek(g, "k", false));
  for (size_t i = 0; i < sizeof asks / sizeof *asks; i++) {
    registry_request rq = { .method = asks[i].method, .content_type = BYTES("application/json"), .may_block = true, .confidential = true };
    registry_reply   reply = { 0 };
    csfle_buf_init(&rq.body, 0, CSFLE_BUF_WIPE);
    csfle_buf_init(&reply.body, 0, 0);
    if (asks[i].body) put(&rq.body, asks[i].body);
    assert_true(registry_target_parse(&rq, asks[i].target));
    app.begin(app.opaque, &rq, &reply);
    assert_int_equal(reply.status, 0);
    assert_int_equal(app.handle(app.opaque, &rq, &reply), REGISTRY_ANSWERED);
    if (reply.status != asks[i].status || rq.position != registry_log_position(log))
      fail_msg("%s %s: %d, waits for %llu of %llu", asks[i].method, asks[i].target, reply.status, (unsigned long long)rq.position, (unsigned long long)registry_log_position(log));
    csfle_buf_free(&rq.body);
    csfle_buf_free(&reply.body);
    csfle__arena_free(&rq.arena);
  }
  registry_api_free(api);
  registry_close(g);
}
