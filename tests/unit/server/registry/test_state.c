/* State is a fold: the same records give the same state, whatever the order of topics to each other and whatever was compacted. */
#include "server/registry/trash.h"
#include "tests/unit/server/registry/rig.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

/* ---- a state as text ------------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* sorted lines: one a version, config, mode, KEK, DEK, context; @p times: with the records' times */
static char *picture(const registry_state *s)
{
  char  *lines[4096], text[2048];
  size_t n = 0;
#define LINE(...) do { snprintf(text, sizeof text, __VA_ARGS__); lines[n++] = strdup(text); } while (0)
  for (size_t i = 0; i < s->subjects.count; i++) {
    const registry_subject *subject = (const registry_subject *)s->subjects.entries[i].value;
    for (size_t j = 0; j < subject->count; j++) {
      const registry_version *v = subject->versions[j];
      const registry_rendered *shown = registry_content_rendered(v->content);
      LINE("version %.*s %d id %d %s guid %.*s ts %lld", CSFLE__FMT(subject->name), v->number, v->id, v->deleted ? "deleted" : "live", (int)shown->len, (const char *)shown->text, (long long)v->ts);
      registry_refs *refs = registry_state_referrers(s, subject->name, v->number);
      LINE("referrers %.*s %d: %zu", CSFLE__FMT(subject->name), v->number, refs ? refs->count : 0);
    }
  }
  for (size_t i = 0; i < s->contexts.count; i++) {
    const registry_context *c = (const registry_context *)s->contexts.entries[i].value;
    LINE("context %.*s ids %zu max %d %d", CSFLE__FMT(c->name), c->ids.count, c->max_id, c->known);
  }
  for (size_t i = 0; i < s->configs.count; i++) {
    const registry_config *c = (const registry_config *)s->configs.entries[i].value;
    LINE("config %.*s %d %d %.*s", CSFLE__FMT(s->configs.entries[i].key), c->level, c->normalize, CSFLE__FMT(c->alias));
  }
  for (size_t i = 0; i < s->modes.count; i++) LINE("mode %.*s %d", CSFLE__FMT(s->modes.entries[i].key), (int)(uintptr_t)s->modes.entries[i].value);
  for (size_t i = 0; i < s->keks.count; i++) {
    const registry_kek *k = (const registry_kek *)s->keks.entries[i].value;
    LINE("kek %.*s %s", CSFLE__FMT(k->name), !k->kek ? "only keys" : k->kek->deleted ? "deleted" : "live");
    for (size_t j = 0; j < k->count; j++) LINE("dek %.*s %.*s %d %d %s", CSFLE__FMT(k->name), CSFLE__FMT(k->deks[j]->subject), k->deks[j]->algorithm, k->deks[j]->version, k->deks[j]->deleted ? "deleted" : "live");
  }
  for (size_t i = 0; i < s->trash.count; i++) {
    const registry_trash *t = (const registry_trash *)s->trash.entries[i].value;
    LINE("trash %.*s %s %.*s %.*s", CSFLE__FMT(t->id), t->replaced ? "replaced" : "deleted", CSFLE__FMT(t->key), CSFLE__FMT(t->value));
  }
  for (size_t i = 0; i < s->trash_by_key.count; i++) {
    size_t count = 0;
    for (const registry_trash *t = (const registry_trash *)s->trash_by_key.entries[i].value; t; t = t->next) count++;
    LINE("trash of %.*s: %zu", CSFLE__FMT(s->trash_by_key.entries[i].key), count);
  }
  LINE("keys %zu %zu", s->kek_count, s->dek_count);
  qsort(lines, n, sizeof *lines, by_text);
  size_t len = 1;
  for (size_t i = 0; i < n; i++) len += strlen(lines[i]) + 1;
  char *all = (char *)calloc(1, len);
  for (size_t i = 0; i < n; i++) strcat(strcat(all, lines[i]), "\n"), free(lines[i]);
  return all;
}

/* ---- records --------------------------------------------------------------------------------------------------- */

static registry_record *records;
static size_t           record_count, record_cap;

static void collect(void *opaque, const registry_record *r)
{
  (void)opaque;
  must_grow((void **)&records, &record_cap, record_count + 1, sizeof *records);
  registry_record *mine = &records[record_count++];
  *mine = *r;
  mine->key = must_copy(r->key);
  if (r->value.ptr) mine->value = must_copy(r->value);
}

static atomic_int known;

static void told(void *waiter, bool ok)
{
  (void)waiter;
  assert_true(ok);
  atomic_store(&known, 1);
}

/* what the log holds, once the committer is through with it */
static void all_records(registry_log *log)
{
  atomic_store(&known, 0);
  if (registry_log_wait(log, registry_log_position(log), told, NULL) == REGISTRY_PENDING)
    while (!atomic_load(&known)) nanosleep(&(struct timespec){ 0, 100000 }, NULL);
  assert_ok(registry_log_replay(log, collect, NULL, err));
}

static void forget(void)
{
  for (size_t i = 0; i < record_count; i++) {
    csfle__free((void *)records[i].key.ptr);
    csfle__free((void *)records[i].value.ptr);
  }
  csfle__free(records);
  records = NULL, record_count = record_cap = 0;
}

#define S(n) "{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"R" #n "\\\",\\\"fields\\\":[]}\"}"

/* a life of a registry: every kind of record */
static void live_a_while(registry *g)
{
  static const char *const bodies[] = { S(1), S(2), S(3), S(4), S(5) };
  registry_problem p;
  csfle_buf        out;
  int32_t          deleted, *numbers;
  size_t           count;

  csfle_buf_init(&out, 0, 0);
  for (int i = 0; i < 5; i++) assert_true(rig_register(g, "a", bodies[i]) > 0);
  for (int i = 0; i < 5; i++) assert_true(rig_register(g, ":.ctx:b", bodies[i]) > 0);
  assert_true(rig_register(g, "c", bodies[0]) == 1);
  assert_true(rig_kek(g, "k1", false) && rig_kek(g, "k2", false) && rig_kek(g, "k3", true));
  for (int i = 1; i < 5; i++) assert_true(rig_dek(g, "k1", "a", i) && rig_dek(g, "k2", ":.ctx:b", i));
  assert_true(rig_register(g, "refs", "{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"W\\\",\\\"fields\\\":[{\\\"name\\\":\\\"u\\\",\\\"type\\\":\\\"R1\\\"}]}\",\"references\":[{\"name\":\"R1\",\"subject\":\"c\",\"version\":1}]}") > 0);
  registry_begin(g, true);
  yyjson_doc *doc = NULL;
  assert_ok(csfle__json_parse(&doc, BYTES("{\"compatibility\":\"NONE\",\"normalize\":true,\"alias\":\"a\"}"), err));
  assert_true(registry_config_put(g, BYTES("nick"), yyjson_doc_get_root(doc), &out, &p));
  assert_true(registry_config_put(g, BYTES(""), yyjson_doc_get_root(doc), &out, &p));
  assert_true(registry_config_delete(g, BYTES(""), &out, &p));
  yyjson_doc_free(doc);
  assert_true(registry_mode_put(g, BYTES("frozen"), REGISTRY_READONLY, false, &p));
  assert_true(registry_delete_version(g, BYTES("a"), 2, false, &deleted, &p));
  assert_true(registry_delete_version(g, BYTES("a"), 2, true, &deleted, &p));
  assert_true(registry_delete_version(g, BYTES("a"), 5, false, &deleted, &p));
  assert_true(registry_delete_subject(g, BYTES(":.ctx:b"), false, &numbers, &count, &p));
  csfle__free(numbers);
  registry_dek_request d = { .kek = BYTES("k1"), .subject = BYTES("a"), .algorithm = CSFLE__AES256_GCM, .version = 3, .rewrap = true };
  registry_caller      who = { .may_block = true, .confidential = true };
  uint64_t             position;
  registry_end(g);
  for (int i = 0; i < 2; i++) {
    d.material = i ? BYTES("dHdv") : BYTES("b25l");
    assert_true(registry_dek_create(g, &d, &who, &out, &position, &p));
  }
  registry_begin(g, true);
  assert_true(registry_dek_delete(g, &d, false, &p));
  assert_true(registry_dek_delete(g, &d, true, &p)); /* the trash has what the rewraps replaced, and this */
  assert_int_equal(g->state->trash.count, 3);
  csfle__bytes one = ((const registry_trash *)g->state->trash.entries[1].value)->id;
  assert_true(registry_trash_restore(g, one, &out, &p));
  assert_int_equal(g->state->trash.count, 2);
  d.version = 2;
  assert_true(registry_dek_delete(g, &d, false, &p));
  registry_end(g);
  assert_true(rig_register(g, ":.ctx:b", bodies[1]) > 0); /* purges the soft-deleted version of this content */
  assert_true(rig_register(g, "a", bodies[4]) > 0);
  csfle_buf_free(&out);
}

TEST(replays_in_any_order_of_the_topics_give_the_same_state)
{
  registry_log *log;
  registry     *g = rig_open(&log);
  unsigned      seed = 42;

  live_a_while(g);
  char *want = picture(g->state);
  assert_non_null(strstr(want, "version a 1 id 1 live"));
  assert_non_null(strstr(want, "referrers c 1: 1"));
  all_records(log);
  assert_true(record_count > 30);
  for (int round = 0; round < 50; round++) {
    registry_state *s = registry_state_new(&rig_quiet);
    size_t          at[REGISTRY_TOPICS] = { 0 }, applied = 0;
    while (applied < record_count) {
      registry_topic t = (registry_topic)(rand_r(&seed) % REGISTRY_TOPICS);
      while (at[t] < record_count && records[at[t]].topic != t) at[t]++;
      if (at[t] == record_count) continue;
      registry_state_apply(s, &records[at[t]++]);
      applied++;
    }
    char *got = picture(s);
    assert_string_equal(got, want);
    free(got);
    registry_state_free(s);
  }
  free(want);
  forget();
  registry_close(g);
}

TEST(what_compaction_leaves_gives_the_same_state)
{
  registry_log *log;
  registry     *g = rig_open(&log);

  live_a_while(g);
  char *want = picture(g->state);
  all_records(log);
  registry_state *s = registry_state_new(&rig_quiet);
  for (size_t i = 0; i < record_count; i++) { /* the newest of each topic and key, in their order */
    bool superseded = false;
    for (size_t j = i + 1; j < record_count && !superseded; j++) superseded = records[j].topic == records[i].topic && csfle__eq(records[j].key, records[i].key);
    if (!superseded) registry_state_apply(s, &records[i]);
  }
  char *got = picture(s);
  /* the highest id is what the compaction's own record is for */
  assert_string_equal(got, want);
  free(got);
  free(want);
  registry_state_free(s);
  forget();
  registry_close(g);
}

/* SR 7.2, 7.3, 7.5, DEK-167 to DEK-170: records of other writers */
TEST(records_of_other_writers_are_read)
{
  static const struct { registry_topic topic; const char *key, *value; } foreign[] = {
    { REGISTRY_SCHEMAS, "{\"keytype\":\"NOOP\",\"magic\":0}", NULL },
    { REGISTRY_SCHEMAS, "{\"magic\":0,\"version\":1,\"subject\":\"old\",\"keytype\":\"SCHEMA\",\"more\":1}", "{\"id\":7,\"schema\":\"\\\"string\\\"\",\"version\":1,\"subject\":\"old\",\"unknown\":{}}" },
    { REGISTRY_SCHEMAS, "{\"keytype\":\"CONFIG\",\"subject\":null,\"magic\":0}", "{\"compatibilityLevel\":\"FULL\"}" },
    { REGISTRY_SCHEMAS, "{\"keytype\":\"MODE\",\"subject\":null,\"magic\":0}", "{\"mode\":\"READONLY\"}" },
    { REGISTRY_SCHEMAS, "{\"keytype\":\"ODD\",\"magic\":0}", "{}" },
    { REGISTRY_SCHEMAS, "garbage", "{}" },
    { REGISTRY_SCHEMAS, "{\"keytype\":\"SCHEMA\",\"subject\":\"bad\",\"version\":1,\"magic\":9}", "{\"id\":9,\"schema\":\"x\"}" },
    { REGISTRY_SCHEMAS, "{\"keytype\":\"SCHEMA\",\"subject\":\"js\",\"version\":1,\"magic\":1}", "{\"id\":8,\"schemaType\":\"JSON\",\"schema\":\"{}\",\"version\":1,\"subject\":\"js\"}" },
    { REGISTRY_SCHEMAS, "{\"keytype\":\"SCHEMA\",\"subject\":\"clash\",\"version\":1,\"magic\":1}", "{\"id\":7,\"schema\":\"\\\"int\\\"\",\"version\":1,\"subject\":\"clash\"}" },
    { REGISTRY_KEYS, "garbage", "{}" },
    { REGISTRY_KEYS, "{\"type\":\"KEK\",\"name\":\"k\",\"tenant\":\"default\"}", "{\"shared\":false,\"offset\":5,\"ts\":6,\"kmsKeyId\":\"i\",\"kmsType\":\"t\",\"name\":\"k\",\"kmsProps\":{},\"deleted\":false,\"type\":\"KEK\",\"x\":[]}" },
    { REGISTRY_KEYS, "{\"tenant\":\"default\",\"kekName\":\"nokek\",\"subject\":\"s\",\"algorithm\":\"AES256_SIV\",\"version\":1,\"type\":\"DEK\"}", "{\"kekName\":\"nokek\",\"subject\":\"s\",\"algorithm\":\"AES256_SIV\",\"version\":1,\"encryptedKeyMaterial\":\"ZQ==\",\"deleted\":false,\"type\":\"DEK\"}" },
  };
  registry_state *s = registry_state_new(&rig_quiet);
  for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
    registry_record r = { .topic = foreign[i].topic, .offset = (int64_t)i, .ts = 1000 + (int64_t)i, .key = csfle__str(foreign[i].key),
                          .value = foreign[i].value ? csfle__str(foreign[i].value) : CSFLE__NONE };
    registry_state_apply(s, &r);
  }
  registry_version *v = registry_subject_latest(registry_state_subject(s, BYTES("old")), false);
  assert_non_null(v);
  assert_int_equal(v->id, 7);
  assert_int_equal(v->ts, 1001);
  assert_bytes_equal(v->content->info->schema_type, BYTES("AVRO"));
  assert_int_equal(registry_state_config(s, BYTES(""))->level, REGISTRY_FULL);
  assert_int_equal(registry_state_mode(s, BYTES("")), REGISTRY_READONLY);
  assert_null(registry_state_subject(s, BYTES("bad")));
  assert_null(registry_state_subject(s, BYTES("clash")));
  assert_non_null(registry_state_subject(s, BYTES("js")));
  assert_int_equal(registry_state_context(s, BYTES("."))->max_id, 8);
  registry_kek *k = registry_state_kek(s, BYTES("k"));
  assert_non_null(k);
  assert_int_equal(k->kek->ts, 1010); /* the record's, not the value's */
  assert_int_equal(s->kek_count, 1);
  assert_int_equal(s->dek_count, 1);
  registry_state_free(s);
}

/* Two writers can give one id to the same text with different metadata [SR 7.2]; the id outlives whichever goes first. */
TEST(an_id_shared_by_two_contents_outlives_the_first)
{
  static const struct { const char *key, *value; } steps[] = {
    { "{\"keytype\":\"SCHEMA\",\"subject\":\"a\",\"version\":1,\"magic\":1}", "{\"id\":7,\"schema\":\"\\\"int\\\"\",\"metadata\":{\"properties\":{\"k\":\"a\"}},\"version\":1,\"subject\":\"a\"}" },
    { "{\"keytype\":\"SCHEMA\",\"subject\":\"b\",\"version\":1,\"magic\":1}", "{\"id\":7,\"schema\":\"\\\"int\\\"\",\"metadata\":{\"properties\":{\"k\":\"b\"}},\"version\":1,\"subject\":\"b\"}" },
    { "{\"keytype\":\"SCHEMA\",\"subject\":\"a\",\"version\":1,\"magic\":1}", NULL },
    { "{\"keytype\":\"SCHEMA\",\"subject\":\"c\",\"version\":1,\"magic\":1}", "{\"id\":7,\"schema\":\"\\\"int\\\"\",\"version\":1,\"subject\":\"c\"}" },
  };
  registry_state *s = registry_state_new(&rig_quiet);
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    registry_record r = { .topic = REGISTRY_SCHEMAS, .offset = (int64_t)i, .ts = 1, .key = csfle__str(steps[i].key),
                          .value = steps[i].value ? csfle__str(steps[i].value) : CSFLE__NONE };
    registry_state_apply(s, &r);
  }
  registry_context *ctx = registry_state_context(s, BYTES("."));
  registry_id      *id = registry_context_id(ctx, 7);
  assert_non_null(id);
  assert_int_equal(id->versions, 2);
  assert_int_equal(ctx->hashes.count, 2);
  assert_ptr_equal(id->content, registry_subject_latest(registry_state_subject(s, BYTES("b")), false)->content);
  assert_ptr_equal(registry_context_hash(ctx, id->content), id);
  registry_state_free(s);
}

TEST(an_id_is_not_given_out_again_after_compaction)
{
  registry_state *s = registry_state_new(&rig_quiet);
  registry_record r = { .topic = REGISTRY_OWN, .key = BYTES("{\"kind\":\"ids\",\"context\":\".x\"}"), .value = BYTES("{\"max\":41}") };
  registry_state_apply(s, &r);
  assert_int_equal(registry_state_context(s, BYTES(".x"))->max_id, 41);
  assert_false(registry_state_context(s, BYTES(".x"))->known);
  r.value = BYTES("{\"max\":3}"); /* a mark never goes down */
  registry_state_apply(s, &r);
  assert_int_equal(registry_state_context(s, BYTES(".x"))->max_id, 41);
  registry_state_free(s);
}
