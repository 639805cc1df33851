/* csfle-registry dump and load: the store's records as JSON lines, out of a store that nobody has open and into an empty one. */
#include "server/store.h"

#include "server/log/must.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void put_optional(csfle_buf *b, csfle__bytes v)
{
  if (!v.ptr) put(b, "null");
  else put_json(b, v);
}

static void dump_record(void *opaque, const registry_record *r)
{
  registry_log *log = *(registry_log **)opaque;
  csfle_buf     b;

  if (r->topic >= REGISTRY_TOPICS) return;
  csfle_buf_init(&b, 0, CSFLE_BUF_WIPE);
  put(&b, "{\"topic\":"), put_json(&b, csfle__str(registry_log_topic_name(log, r->topic)));
  put(&b, ",\"offset\":"), put_int(&b, r->offset);
  put(&b, ",\"ts\":"), put_int(&b, r->ts);
  put(&b, ",\"key\":"), put_optional(&b, r->key);
  put(&b, ",\"value\":"), put_optional(&b, r->value);
  put(&b, "}\n");
  fwrite(b.ptr, 1, b.len, stdout);
  csfle_buf_free(&b);
}

/* time of a loaded record: the line's, so that ages survive */
static int64_t line_ts;
static int64_t wall_of_line(void *opaque)
{
  (void)opaque;
  return line_ts;
}

typedef struct waiting {
  sem_t known;
  bool  ok;
} waiting;

static void on_known(void *opaque, bool ok)
{
  waiting *w = (waiting *)opaque;
  w->ok = ok;
  sem_post(&w->known);
}

/* until all that was appended is on the disk; false: it is not */
static bool kept(registry_log *log)
{
  waiting       w = { .ok = false };
  registry_wait rc;
  sem_init(&w.known, 0, 0);
  rc = registry_log_wait(log, registry_log_position(log), on_known, &w);
  while (rc == REGISTRY_PENDING && sem_wait(&w.known) != 0 && errno == EINTR) {}
  sem_destroy(&w.known);
  return rc == REGISTRY_DURABLE || (rc == REGISTRY_PENDING && w.ok);
}

static int load(registry_log *log, registry_log_setup *setup)
{
  char       *line = NULL;
  size_t      cap = 0, n = 0;
  csfle_error err = CSFLE_ERROR_INIT;
  int         rc = 0;

  for (ssize_t got; rc == 0 && (got = getline(&line, &cap, stdin)) >= 0; n++) {
    yyjson_doc *doc = NULL;
    if (csfle__json_parse(&doc, csfle__view(line, (size_t)got), &err) != CSFLE_OK) {
      fprintf(stderr, "csfle-registry: line %zu: %s\n", n + 1, err.msg);
      rc = 1;
      break;
    }
    yyjson_val     *v = yyjson_doc_get_root(doc);
    csfle__bytes    topic = csfle__json_member_text(v, "topic");
    registry_record r = { .topic = REGISTRY_TOPICS, .key = csfle__json_member_text(v, "key"), .value = csfle__json_member_text(v, "value") };
    for (int t = 0; t < REGISTRY_TOPICS; t++)
      if (csfle__eq_str(topic, setup->topics[t])) r.topic = (registry_topic)t;
    if (!csfle__json_i64(csfle__json_member(v, "ts"), &line_ts)) line_ts = 0;
    if (r.topic == REGISTRY_TOPICS || !r.key.ptr) {
      fprintf(stderr, "csfle-registry: line %zu: its topic or key is not usable\n", n + 1);
      rc = 1;
    } else if (registry_log_append(log, &r, 1, &err) != CSFLE_OK) {
      fprintf(stderr, "csfle-registry: line %zu: %s\n", n + 1, err.msg);
      rc = 1;
    }
    yyjson_doc_free(doc);
  }
  free(line);
  if (rc == 0 && ferror(stdin)) {
    fprintf(stderr, "csfle-registry: cannot read after line %zu: %s\n", n, strerror(errno));
    rc = 1;
  }
  if (rc == 0 && !kept(log)) {
    fprintf(stderr, "csfle-registry: the records were not kept: see above. The store is not whole, remove it\n");
    rc = 1;
  }
  return rc;
}

static void count_record(void *opaque, const registry_record *r)
{
  (void)r;
  ++*(size_t *)opaque;
}

static bool lost(void *opaque)
{
  (void)opaque;
  return false;
}

int registry_store_tool(const char *name, registry_log_setup *setup)
{
  static const csfle__clock line_clock = { wall_of_line, NULL, NULL };
  registry_log *log = NULL;
  csfle_error   err = CSFLE_ERROR_INIT;
  size_t        count = 0;
  int           rc = 0;

  if (!setup->path || access(setup->path, strcmp(name, "dump") == 0 ? R_OK : F_OK) != 0) {
    if (!setup->path || strcmp(name, "dump") == 0) {
      fprintf(stderr, "csfle-registry %s: --store FILE is needed\n", name);
      return 2;
    }
  }
  if (strcmp(name, "load") == 0) setup->clock = &line_clock;
  if (registry_log_open(&log, registry_log_driver_find("embedded"), setup, &err) != CSFLE_OK) {
    fprintf(stderr, "csfle-registry: %s\n", err.msg);
    return 1;
  }
  if (strcmp(name, "dump") == 0) {
    if (registry_log_replay(log, dump_record, &log, &err) != CSFLE_OK) rc = 1;
    if (fflush(stdout) != 0 || ferror(stdout)) {
      fprintf(stderr, "csfle-registry: cannot write all records to standard output\n");
      rc = 1;
    }
  } else {
    if (registry_log_replay(log, count_record, &count, &err) != CSFLE_OK) rc = 1;
    else if (count) {
      csfle__fail(&err, CSFLE_E_CONFIG, "the store holds %zu records, load needs an empty one", count);
      rc = 1;
    } else if (registry_log_start(log, lost, NULL, &err) != CSFLE_OK) rc = 1;
    else rc = load(log, setup);
  }
  if (rc && err.msg[0]) fprintf(stderr, "csfle-registry: %s\n", err.msg);
  registry_log_close(log);
  return rc;
}
