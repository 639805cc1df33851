/* Any requests to a registry, one after the other: each is answered, errors as JSON; none waits for more than there is; no key
   leaves for one who may not have it; and the log gives the state again. Input: a byte of flags, then lines. A line is
   "METHOD target body", body and its blank may be missing, '@' in a target stands for the id of an entry of the trash; or a
   record as in fuzz_records: "topic digit, key, tab, value". */
#include "fuzz/fuzz.h"

#include "server/api/api.h"
#include "server/log/must.h"
#include "server/registry/move.h"
#include "server/registry/trash.h"

#include <sched.h>

static registry *g;

/* no request leaves this process */
static void start(void *opaque, csfle_exchange *x) { (void)opaque, csfle_exchange_done(x, 0, NULL, NULL, 0, "no network here"); }
static void cancel(void *opaque, csfle_exchange *x) { (void)opaque, (void)x; }

static void add_record(csfle__bytes line)
{
  registry_change  change = { 0 };
  registry_problem p;
  unsigned         topic = fuzz_byte(&line) - '0';
  bool             tombstone = !line.len || !memchr(line.ptr, '\t', line.len);
  csfle__bytes     key = fuzz_part(&line, '\t');
  if (!line.ptr) line = CSFLE__LIT("");
  if (!key.ptr) key = CSFLE__LIT("");
  registry_begin(g, true);
  registry_change_add(&change, (registry_topic)(topic % REGISTRY_TOPICS), key, tombstone ? CSFLE__NONE : line);
  MUST(registry_change_commit(g, &change, &p));
  registry_end(g);
}

/* NUL-terminated, '@' replaced */
static char *target_of(csfle__bytes text)
{
  csfle_buf b;
  csfle__bytes id = g->state->trash.count ? ((const registry_trash *)g->state->trash.entries[0].value)->id : CSFLE__LIT("@");
  csfle_buf_init(&b, 0, 0);
  for (size_t i = 0; i < text.len; i++)
    if (text.ptr[i] == '@') put_bytes(&b, id);
    else put_bytes(&b, csfle__view(text.ptr + i, 1));
  char *made = (char *)must(csfle__dup(csfle__buf_cstr(&b), strlen(csfle__buf_cstr(&b))));
  csfle_buf_free(&b);
  return made;
}

static void ask(const registry_http_app *app, csfle__bytes line, bool confidential)
{
  csfle__bytes     method = fuzz_part(&line, ' '), target = fuzz_part(&line, ' ');
  char             verb[8];
  char            *path = target_of(target);
  registry_request rq = { .method = verb, .content_type = CSFLE__LIT("application/json"), .may_block = true, .confidential = confidential };
  registry_reply   reply = { 0 };

  snprintf(verb, sizeof verb, "%.*s", (int)(method.len < 7 ? method.len : 7), method.len ? (const char *)method.ptr : "");
  csfle_buf_init(&rq.body, 0, CSFLE_BUF_WIPE);
  csfle_buf_init(&reply.body, 0, 0);
  put_bytes(&rq.body, line);
  if (registry_target_parse(&rq, path)) {
    app->begin(app->opaque, &rq, &reply);
    if (!reply.status) MUST(app->handle(app->opaque, &rq, &reply) == REGISTRY_ANSWERED);
    MUST(reply.status >= 200 && reply.status < 600);
    MUST(rq.position <= registry_log_position(g->log));
    if (reply.status >= 400) {
      yyjson_doc *doc = NULL;
      MUST(csfle__json_parse(&doc, csfle__buf_view(&reply.body), NULL) == CSFLE_OK);
      MUST(reply.status == 503 || yyjson_obj_size(yyjson_doc_get_root(doc)) == 2);
      yyjson_doc_free(doc);
    }
    if (!confidential && reply.body.len) MUST(!memmem(reply.body.ptr, reply.body.len, ",\"keyMaterial\":", 15));
  }
  csfle_buf_free(&rq.body);
  csfle_buf_free(&reply.body);
  csfle__arena_free(&rq.arena);
  csfle__free(path);
}

/* the log again, from its beginning */
static void check(void)
{
  registry_state *now = g->state, *again = registry_state_new(NULL);
  while (!registry_log_settled(g->log, registry_log_position(g->log))) sched_yield();
  MUST_OK(registry_replay(g->log, again, NULL, err));
  MUST(now->kek_count == again->kek_count && now->dek_count == again->dek_count && now->kept_count == again->kept_count && now->moves.count == again->moves.count);
  MUST(now->subjects.count == again->subjects.count && now->contents.count == again->contents.count && now->configs.count == again->configs.count && now->modes.count == again->modes.count);
  MUST(now->trash.count == again->trash.count && now->trash_by_key.count == again->trash_by_key.count);
  for (size_t i = 0; i < now->keks.count; i++) {
    const registry_kek *k = (const registry_kek *)now->keks.entries[i].value, *other = registry_state_kek(again, k->name);
    MUST(other && other->count == k->count && !other->kek == !k->kek);
    for (size_t n = 0; n < k->count; n++) MUST(csfle__eq(k->deks[n]->encrypted_key_material, other->deks[n]->encrypted_key_material) && k->deks[n]->deleted == other->deks[n]->deleted);
  }
  registry_state_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static const csfle__log      quiet = { NULL, NULL, 0 };
  static const csfle_transport nowhere = { sizeof nowhere, NULL, start, cancel, CSFLE_TRANSPORT_ASKS_ADDRESSES };
  csfle__bytes       in = csfle__view(data, size);
  unsigned           flags = fuzz_byte(&in);
  registry_limits    all = { INT32_MAX, INT32_MAX };
  registry_options   options = { .level = REGISTRY_NONE, .validate_new_schemas = true, .mode_mutability = true, .max_keys = flags & 4 ? 2 : 20000, .trash_ms = flags & 2 ? 0 : 86400000, .trash_max = flags & 4 ? 2 : 1000,
                                 .group_id = "g", .kms_hosts = "none.invalid", .kms_keys = "", .schemas = all, .subjects = all, .subject_versions = all, .contexts = all, .keks = all, .dek_subjects = all, .dek_versions = all };
  registry_log_setup setup = { .clock = &csfle__system_clock, .log = &quiet, .topics = { "_schemas", "_dek_registry_keys", "_csfle" } };
  registry_log      *log = NULL;

  MUST_OK(registry_log_open(&log, registry_log_driver_find("memory"), &setup, err));
  MUST_OK(registry_open(&g, log, &options, &csfle__system_clock, &quiet, &nowhere, err));
  registry_api     *api = registry_api_new(g, flags & 8 ? REGISTRY_ANONYMOUS_READ : REGISTRY_ANONYMOUS_WRITE, -1);
  registry_http_app app = registry_api_app(api);
  for (int i = 0; in.len && i < 40; i++) {
    csfle__bytes line = fuzz_part(&in, '\n');
    if (!line.len) continue;
    if (line.ptr[0] >= '0' && line.ptr[0] <= '9') add_record(line);
    else ask(&app, line, flags & 1);
  }
  registry_trash_expire(g);
  check();
  registry_api_free(api);
  registry_close(g);
  return 0;
}
