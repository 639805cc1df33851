/* What a caller can make large costs what it is worth. AB-14. */
#include "server/api/api.h"
#include "server/registry/trash.h"
#include "tests/unit/server/registry/rig.h"

#include <time.h>

static registry_http_app app;

/* the answer's body, owned; its status to *status */
static csfle_buf ask(const char *method, const char *target, csfle__bytes body, int *status)
{
  registry_request rq = { .method = method, .content_type = BYTES("application/json"), .may_block = true, .confidential = true };
  registry_reply   reply = { 0 };
  csfle_buf_init(&rq.body, 0, CSFLE_BUF_WIPE);
  csfle_buf_init(&reply.body, 0, 0);
  put_bytes(&rq.body, body);
  assert_true(registry_target_parse(&rq, target));
  app.begin(app.opaque, &rq, &reply);
  if (!reply.status) assert_int_equal(app.handle(app.opaque, &rq, &reply), REGISTRY_ANSWERED);
  *status = reply.status;
  csfle_buf_free(&rq.body);
  csfle__arena_free(&rq.arena);
  put_bytes(&reply.body, csfle__view("", 1));
  return reply.body;
}

static double cpu_s(void)
{
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* creates a KEK with so many properties; what it took */
static double with_props(int count)
{
  csfle_buf body;
  int       status;
  csfle_buf_init(&body, 0, 0);
  must_ok(csfle__buf_printf(&body, NULL, "{\"name\":\"k%d\",\"kmsType\":\"t\",\"kmsKeyId\":\"i\",\"kmsProps\":{", count));
  for (int i = 0; i < count; i++) must_ok(csfle__buf_printf(&body, NULL, "%s\"p%d\":\"\"", i ? "," : "", i * 7919 % count));
  put(&body, "}}");
  double    from = cpu_s();
  csfle_buf answer = ask("POST", "/dek-registry/v1/keks", csfle__buf_view(&body), &status);
  double    took = cpu_s() - from;
  assert_int_equal(status, 200);
  csfle_buf_free(&answer);
  csfle_buf_free(&body);
  return took;
}

TEST(AB_14_the_trash_is_told_in_parts)
{
  registry_log *log;
  registry     *g = rig_open(&log);
  registry_api *api = registry_api_new(g, REGISTRY_ANONYMOUS_WRITE, -1);
  int           status;
  char          key[64];
  app = registry_api_app(api);
  for (int i = 0; i < 10005; i++) {
    snprintf(key, sizeof key, "{\"kind\":\"trash\",\"id\":\"%d\"}", i);
    registry_record r = { .topic = REGISTRY_OWN, .key = csfle__str(key), .value = BYTES("{\"why\":\"deleted\",\"since\":9000000000000000,\"key\":\"{}\",\"value\":\"{}\"}") };
    registry_state_apply(g->state, &r);
  }
  static const struct { const char *target; size_t told; } cases[] = {
    { "/csfle/v1/trash", 1000 }, { "/csfle/v1/trash?limit=10000", 10000 }, { "/csfle/v1/trash?limit=2000000000", 1000 }, { "/csfle/v1/trash?offset=10000&limit=2000", 5 }, { "/csfle/v1/trash?offset=2000000000", 0 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle_buf   answer = ask("GET", cases[i].target, CSFLE__NONE, &status);
    yyjson_doc *doc = NULL;
    assert_ok(csfle__json_parse(&doc, csfle__view(answer.ptr, answer.len - 1), err));
    assert_int_equal(yyjson_arr_size(yyjson_doc_get_root(doc)), cases[i].told);
    yyjson_doc_free(doc);
    csfle_buf_free(&answer);
  }
  registry_api_free(api);
  registry_close(g);
}

TEST(AB_14_properties_of_a_kek_cost_no_more_than_sorting_them)
{
  registry_log *log;
  registry     *g = rig_open(&log);
  registry_api *api = registry_api_new(g, REGISTRY_ANONYMOUS_WRITE, -1);
  int           status;
  app = registry_api_app(api);
  csfle_buf answer = ask("POST", "/dek-registry/v1/keks", BYTES("{\"name\":\"k\",\"kmsType\":\"t\",\"kmsKeyId\":\"i\",\"kmsProps\":{\"b\":\"1\",\"a\":1,\"b\":\"2\",\"c\":null,\"a\":null}}"), &status);
  assert_non_null(strstr((const char *)answer.ptr, "\"kmsProps\":{\"a\":\"1\",\"b\":\"2\"}"));
  csfle_buf_free(&answer);
  answer = ask("POST", "/dek-registry/v1/keks", BYTES("{\"name\":\"l\",\"kmsType\":\"t\",\"kmsKeyId\":\"i\",\"kmsProps\":{\"b\":\"1\",\"a\":[],\"c\":\"1\"}}"), &status);
  assert_int_equal(status, 400);
  csfle_buf_free(&answer);
  double few = with_props(8000), many = with_props(64000); /* eight times as many: 8 to 10 times the work, or 64 */
  if (many > 25 * few) fail_msg("8000 took %.3f s, 64000 %.3f s", few, many);
  registry_api_free(api);
  registry_close(g);
}

/* asks for the KEKs of subjects with so many prefixes, the last of which counts; what it took */
static double with_prefixes(int count)
{
  csfle_buf target;
  int       status;
  csfle_buf_init(&target, 0, 0);
  put(&target, "/dek-registry/v1/keks?x=1");
  for (int i = 1; i < count; i++) must_ok(csfle__buf_printf(&target, NULL, "&subjectPrefix=t%d", i));
  put(&target, "&subjectPrefix=s19999");
  double    from = cpu_s();
  csfle_buf answer = ask("GET", csfle__buf_cstr(&target), CSFLE__NONE, &status);
  double    took = cpu_s() - from;
  assert_string_equal((const char *)answer.ptr, "[\"k\"]");
  csfle_buf_free(&answer);
  csfle_buf_free(&target);
  return took;
}

TEST(AB_14_prefixes_of_subjects_cost_no_more_than_looking_each_subject_up)
{
  registry_log *log;
  registry     *g = rig_open(&log);
  registry_api *api = registry_api_new(g, REGISTRY_ANONYMOUS_WRITE, -1);
  char          key[200];
  int           status;
  app = registry_api_app(api);
  assert_true(rig_kek(g, "k", false) && rig_kek(g, "l", false));
  assert_true(rig_dek(g, "l", "tab", 1) && rig_dek(g, "l", "\xc3\xa4", 1));
  for (int i = 0; i < 20000; i++) {
    snprintf(key, sizeof key, "{\"kekName\":\"k\",\"subject\":\"s%05d\",\"algorithm\":\"AES256_GCM\",\"version\":1,\"type\":\"DEK\"}", i);
    registry_record r = { .topic = REGISTRY_KEYS, .key = csfle__str(key), .value = BYTES("{\"encryptedKeyMaterial\":\"YQ==\",\"type\":\"DEK\"}") };
    registry_state_apply(g->state, &r);
  }
  static const struct { const char *query, *found; } cases[] = {
    { "subjectPrefix=", "[\"k\",\"l\"]" }, { "subjectPrefix=t&subjectPrefix=tac", "[\"l\"]" }, { "subjectPrefix=tac&subjectPrefix=ta", "[\"l\"]" }, { "subjectPrefix=tabs", "[]" }, { "subjectPrefix=tab", "[\"l\"]" },
    { "subjectPrefix=ta&subjectPrefix=s1&subjectPrefix=s1", "[\"k\",\"l\"]" }, { "subjectPrefix=a&subjectPrefix=z", "[]" }, { "subjectPrefix=%C3%A4&subjectPrefix=%C3%A5", "[\"l\"]" }, { "subjectPrefix=s20", "[]" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char target[200];
    snprintf(target, sizeof target, "/dek-registry/v1/keks?%s", cases[i].query);
    csfle_buf answer = ask("GET", target, CSFLE__NONE, &status);
    if (strcmp((const char *)answer.ptr, cases[i].found) != 0) fail_msg("%s: %s", cases[i].query, (const char *)answer.ptr);
    csfle_buf_free(&answer);
  }
  double one = with_prefixes(1), many = with_prefixes(1500);
  if (many > 30 * one) fail_msg("1 took %.6f s, 1500 %.6f s", one, many);
  registry_api_free(api);
  registry_close(g);
}

/* a KEK with properties of so many bytes is made and deleted for good; the status of that */
static int scrap(int number, size_t bytes)
{
  csfle_buf body, target, answer;
  int       status;
  csfle_buf_init(&body, 0, 0);
  csfle_buf_init(&target, 0, 0);
  must_ok(csfle__buf_printf(&body, NULL, "{\"name\":\"k%d\",\"kmsType\":\"t\",\"kmsKeyId\":\"i\",\"kmsProps\":{\"p\":\"", number));
  for (size_t i = 0; i < bytes; i++) put(&body, "x");
  put(&body, "\"}}");
  answer = ask("POST", "/dek-registry/v1/keks", csfle__buf_view(&body), &status);
  assert_int_equal(status, 200);
  csfle_buf_free(&answer);
  must_ok(csfle__buf_printf(&target, NULL, "/dek-registry/v1/keks/k%d?permanent=true", number));
  for (int permanent = 0; permanent < 2; permanent++) {
    if (!permanent) target.ptr[target.len - strlen("?permanent=true")] = 0;
    else target.ptr[target.len - strlen("?permanent=true")] = '?';
    answer = ask("DELETE", (const char *)target.ptr, CSFLE__NONE, &status);
    csfle_buf_free(&answer);
  }
  csfle_buf_free(&body);
  csfle_buf_free(&target);
  return status;
}

TEST(AB_14_the_trash_is_bounded_in_bytes_too)
{
  registry_log *log;
  registry     *g = rig_open(&log);
  registry_api *api = registry_api_new(g, REGISTRY_ANONYMOUS_WRITE, -1);
  int           n = 0, status;
  app = registry_api_app(api);
  g->options.trash_max = 100;
  while ((status = scrap(n, 100000)) == 204) n++;
  assert_int_equal(status, 507);
  assert_int_equal(n, 4); /* of 409600 bytes */
  assert_int_equal(scrap(1000, 1), 204); /* a small one has room */
  assert_int_equal(g->state->trash.count, 5);
  while (g->state->trash.count) {
    char      target[100];
    csfle_buf answer;
    snprintf(target, sizeof target, "/csfle/v1/trash/%s/restore", (const char *)((const registry_trash *)g->state->trash.entries[0].value)->id.ptr);
    answer = ask("POST", target, CSFLE__NONE, &status);
    if (status != 200) fail_msg("%s", (const char *)answer.ptr);
    csfle_buf_free(&answer);
  }
  assert_int_equal(g->state->trash_bytes, 0);
  registry_api_free(api);
  registry_close(g);
}
