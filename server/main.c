/* csfle-registry: wiring only. Flags, then log, registry, api, http; and down again in the other order. */
#include "core/base/alloc.h"
#include "server/api/api.h"
#include "server/config/config.h"
#include "server/http/http.h"
#include "server/log/must.h"
#include "server/registry/look.h"
#include "server/store.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MAX_BODY_BYTES   (16u << 20)
#define MAX_BODIES_BYTES (16u * MAX_BODY_BYTES) /* connections are thousands, and anybody may begin a large body on each */

static void write_line(void *opaque, int level, const char *facility, const char *text)
{
  static const char *const levels[] = { "EMERG", "ALERT", "CRIT", "ERROR", "WARN", "NOTICE", "INFO", "DEBUG" };
  char      when[32];
  time_t    now = time(NULL);
  struct tm tm;

  (void)opaque;
  strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
  fprintf(stderr, "%s %s %s: %s\n", when, levels[level & 7], facility, text);
}

static const csfle__log lines = { write_line, NULL, 6 };

/* keys pass through this process: no core file, no reading of its memory by others */
static void no_core_dumps(void)
{
  struct rlimit none = { 0, 0 };
#ifndef __SANITIZE_ADDRESS__ /* whose search for leaks looks at the process from outside */
  prctl(PR_SET_DUMPABLE, 0);
#endif
  setrlimit(RLIMIT_CORE, &none);
}

static void print_help(void)
{
  csfle_buf b;
  puts("csfle-registry [--dev] [--config FILE] [--port N] [--store memory|FILE] [-X name=value]... [--version] [--help]\n"
       "csfle-registry dump --store FILE        prints the store's records as JSON lines\n"
       "csfle-registry load --store FILE        reads such lines from stdin into an empty store\n"
       "\n"
       "A schema registry and DEK registry. --dev keeps its store in a temporary file that is removed at the end.\n"
       "The first line on stdout says where it listens. SIGTERM ends it.\n"
       "\n"
       "Properties (-X, or lines of the file given with --config):");
  csfle_buf_init(&b, 0, 0);
  registry_properties_help(&b);
  fwrite(b.ptr, 1, b.len, stdout);
  csfle_buf_free(&b);
  puts("\nExample:\n  csfle-registry --dev --port 8081 -X schema.compatibility.level=none");
}

#define ENDING -1 /* instead of an exit code */

typedef struct doors {
  registry_listener at[REGISTRY_LISTENERS_MAX];
  int               count, metrics; /* metrics: which is for those alone, -1 none */
} doors;

/* ---- the server ------------------------------------------------------------------------------------------------- */

static csfle_status read_limits(const registry_properties *p, const char *family, registry_limits *out, csfle_error *err)
{
  char name[96];
  snprintf(name, sizeof name, "%s.search.default.limit", family);
  csfle_status rc = registry_property_int(p, name, 1, INT32_MAX, &out->otherwise, err);
  if (rc != CSFLE_OK) return rc;
  snprintf(name, sizeof name, "%s.search.max.limit", family);
  return registry_property_int(p, name, 1, INT32_MAX, &out->max, err);
}

static csfle_status read_options(const registry_properties *p, registry_options *o, registry_http_options *http, csfle_error *err)
{
  csfle_status rc;
  int64_t      workers, queue, idle_ms, connections, waiting, trash_days, trash_max;
  const char  *over = registry_property(p, "csfle.key.material.over");
  const char  *level = registry_property(p, "schema.compatibility.level");

  if (!registry_level_parse(csfle__str(level), &o->level))
    return csfle__fail(err, CSFLE_E_CONFIG, "property \"schema.compatibility.level\" is \"%s\", which is no level", level);
  o->keys_over_plain = strcmp(over, "plain") == 0;
  if (!o->keys_over_plain && strcmp(over, "tls") != 0)
    return csfle__fail(err, CSFLE_E_CONFIG, "property \"csfle.key.material.over\" is \"%s\", expected tls or plain", over);
  o->group_id = registry_property(p, "schema.registry.group.id");
  o->kms_hosts = registry_property(p, "csfle.allow.kms.hosts");
  o->kms_keys = registry_property(p, "csfle.allow.kms.keys");
  if ((rc = registry_property_bool(p, "schema.validate.fields", &o->validate_fields, err)) != CSFLE_OK ||
      (rc = registry_property_bool(p, "schema.validate.new.schemas", &o->validate_new_schemas, err)) != CSFLE_OK ||
      (rc = registry_property_bool(p, "schema.reject.empty.subject", &o->reject_empty_subject, err)) != CSFLE_OK ||
      (rc = registry_property_bool(p, "schema.providers.reference.versions.strict", &o->strict_reference_versions, err)) != CSFLE_OK ||
      (rc = registry_property_bool(p, "mode.mutability", &o->mode_mutability, err)) != CSFLE_OK ||
      (rc = registry_property_bool(p, "compression.enable", &http->compress, err)) != CSFLE_OK ||
      (rc = registry_property_int(p, "csfle.kms.timeout.ms", 1, INT32_MAX, &o->kms_timeout_ms, err)) != CSFLE_OK ||
      (rc = registry_property_int(p, "dek.registry.max.keys", 0, INT32_MAX, &o->max_keys, err)) != CSFLE_OK ||
      (rc = registry_property_int(p, "csfle.shared.dek.cache.ms", 0, 3600000, &o->unwrapped_keep_ms, err)) != CSFLE_OK ||
      (rc = registry_property_int(p, "csfle.kms.wait.ms", 1, 3600000, &o->unwrapping_wait_ms, err)) != CSFLE_OK ||
      (rc = registry_property_int(p, "csfle.kms.waiting.max", 1, 1 << 20, &waiting, err)) != CSFLE_OK ||
      (rc = registry_property_int(p, "csfle.trash.days", 0, 36500, &trash_days, err)) != CSFLE_OK ||
      (rc = registry_property_int(p, "csfle.trash.max", 1, INT32_MAX, &trash_max, err)) != CSFLE_OK ||
      (rc = registry_property_int(p, "csfle.connections.max", 10, 1 << 20, &connections, err)) != CSFLE_OK ||
      (rc = registry_property_int(p, "csfle.workers", 1, 256, &workers, err)) != CSFLE_OK ||
      (rc = registry_property_int(p, "csfle.queue", 1, 1 << 20, &queue, err)) != CSFLE_OK ||
      (rc = registry_property_int(p, "idle.timeout.ms", 1, INT32_MAX, &idle_ms, err)) != CSFLE_OK ||
      (rc = read_limits(p, "schema", &o->schemas, err)) != CSFLE_OK ||
      (rc = read_limits(p, "subject", &o->subjects, err)) != CSFLE_OK ||
      (rc = read_limits(p, "subject.version", &o->subject_versions, err)) != CSFLE_OK ||
      (rc = read_limits(p, "context", &o->contexts, err)) != CSFLE_OK ||
      (rc = read_limits(p, "kek", &o->keks, err)) != CSFLE_OK ||
      (rc = read_limits(p, "dek.subject", &o->dek_subjects, err)) != CSFLE_OK ||
      (rc = read_limits(p, "dek.version", &o->dek_versions, err)) != CSFLE_OK)
    return rc;
  o->unwrapping_max = (size_t)waiting;
  http->blocking_wait_ms = o->unwrapping_wait_ms;
  o->trash_ms = trash_days * 86400000;
  o->trash_max = (size_t)trash_max;
  http->connections = (unsigned)connections;
  http->workers = (int)workers;
  http->queue = (size_t)queue;
  http->idle_timeout_s = (int)((idle_ms + 999) / 1000);
  http->max_body_bytes = MAX_BODY_BYTES;
  http->max_bodies_bytes = MAX_BODIES_BYTES;
  return CSFLE_OK;
}

static csfle_status read_anonymous(const registry_properties *p, const doors *d, registry_anonymous *out, csfle_error *err)
{
  const char *text = registry_property(p, "csfle.anonymous");

  *out = REGISTRY_ANONYMOUS_WRITE;
  if (strcmp(text, "read") == 0) *out = REGISTRY_ANONYMOUS_READ;
  else if (*text && strcmp(text, "write") != 0) return csfle__fail(err, CSFLE_E_CONFIG, "property \"csfle.anonymous\" is \"%s\", expected read or write", text);
  for (int i = 0; i < d->count && !*text; i++)
    if (!d->at[i].loopback && i != d->metrics)
      return csfle__fail(err, CSFLE_E_CONFIG, "listener %s can be reached by others and nobody is authenticated; to allow that add the line csfle.anonymous=read or csfle.anonymous=write", d->at[i].host);
  return CSFLE_OK;
}

/* as many open files as we may have: connections are many */
static void raise_file_limit(void)
{
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

static bool run_blocking(void *opaque, void (*fn)(void *arg), void *arg)
{
  return registry_pool_run((registry_pool *)opaque, fn, arg);
}

/* the pool for calls of a KMS, and what the properties say of listeners */
static csfle_status prepare(const registry_properties *p, const doors *d, registry_options *options, registry_http_options *http,
                            registry_tls *tls, csfle_buf *policy, csfle_error *err)
{
  int64_t      threads, queue;
  csfle_status rc;

  if ((rc = registry_property_int(p, "csfle.kms.threads", 1, 256, &threads, err)) != CSFLE_OK ||
      (rc = registry_property_int(p, "csfle.kms.queue", 1, 1 << 20, &queue, err)) != CSFLE_OK ||
      (rc = registry_policy_text(p, policy, err)) != CSFLE_OK)
    return rc;
  options->policy = policy->len ? csfle__buf_cstr(policy) : NULL;
  for (int i = 0; i < d->count; i++) {
    http->listeners[i] = (registry_http_listener){ d->at[i].host, d->at[i].port, d->at[i].tls };
    if (!d->at[i].tls || tls->key.len) continue;
    if ((rc = registry_tls_load(tls, p, err)) != CSFLE_OK) return rc;
    http->certificate = (const char *)tls->certificate.ptr, http->key = (const char *)tls->key.ptr;
    if (*registry_property(p, "ssl.key.password")) http->key_password = registry_property(p, "ssl.key.password");
  }
  http->listener_count = d->count;
  http->blocking = registry_pool_new((int)threads, (size_t)queue);
  if (!http->blocking) return csfle__nomem(err);
  options->blocking = (registry_executor){ run_blocking, http->blocking };
  options->unwrapping_of_one = (size_t)(threads - threads / 4);
  return CSFLE_OK;
}

static void say_where(const doors *d, const registry_http *http, const registry_log_setup *setup)
{
  for (int i = 0; i < d->count; i++) {
    bool v6 = strchr(d->at[i].host, ':') != NULL;
    printf("%s %s://%s%s%s:%d\n", i == d->metrics ? "metrics on" : "listening on", d->at[i].tls ? "https" : "http", v6 ? "[" : "", d->at[i].host, v6 ? "]" : "", registry_http_port(http, i));
  }
  printf("store %s\n", setup->path ? setup->path : "memory");
  fflush(stdout);
}

static int serve(registry_properties *p, registry_log_setup *setup, const char *driver, const doors *d, bool dev)
{
  registry_options      options = { 0 };
  registry_http_options http_options = { 0 };
  registry_anonymous    anonymous;
  registry_tls          tls = { 0 };
  csfle_buf             policy;
  registry_log         *log = NULL;
  registry             *g = NULL;
  registry_api         *api = NULL;
  registry_http        *http = NULL;
  registry_keeper      *keeper = NULL;
  csfle__curl          *curl = NULL;
  csfle_error           err = CSFLE_ERROR_INIT;
  sigset_t              signals;
  int64_t               every_ms, tidy_ms, grace_ms = 0;
  int                   caught = 0, rc = 1;

  /* before any thread: they inherit the mask, and this one waits for the signals */
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, NULL);
  signal(SIGPIPE, SIG_IGN);
  raise_file_limit();

  csfle_buf_init(&policy, 0, 0);
  csfle__curl_options curl_options = { .connect_timeout_ms = 5000, .timeout_ms = 15000, .max_reply_bytes = 1 << 20,
                                       .kms_tls = { registry_property(p, "csfle.kms.ssl.ca.location"), registry_property(p, "csfle.kms.ssl.certificate.location"),
                                                    registry_property(p, "csfle.kms.ssl.key.location"), registry_property(p, "csfle.kms.ssl.key.password") } };
  if (read_options(p, &options, &http_options, &err) != CSFLE_OK || read_anonymous(p, d, &anonymous, &err) != CSFLE_OK ||
      prepare(p, d, &options, &http_options, &tls, &policy, &err) != CSFLE_OK || csfle__curl_new(&curl, &curl_options, &err) != CSFLE_OK ||
      registry_log_open(&log, registry_log_driver_find(driver), setup, &err) != CSFLE_OK)
    goto out;
  if (registry_open(&g, log, &options, &csfle__system_clock, &lines, csfle__curl_transport(curl), &err) != CSFLE_OK) goto out;
  api = registry_api_new(g, anonymous, d->metrics);
  registry_http_app app = registry_api_app(api);
  if (registry_property_int(p, "csfle.housekeeping.ms", 10, 86400000, &every_ms, &err) != CSFLE_OK ||
      registry_property_int(p, "csfle.stop.grace.ms", 0, 3600000, &grace_ms, &err) != CSFLE_OK ||
      registry_property_int(p, "csfle.store.tidy.ms", 10, 7 * 86400000, &tidy_ms, &err) != CSFLE_OK)
    goto out;
  keeper = registry_keeper_start(g, every_ms, tidy_ms);
  if (!keeper) {
    csfle__fail(&err, CSFLE_E_UNAVAILABLE, "cannot start the thread that keeps house");
    goto out;
  }
  if (registry_http_start(&http, &http_options, &app, &lines, &err) != CSFLE_OK) goto out;
  registry_tls_free(&tls); /* libmicrohttpd has made its own of it */
  say_where(d, http, setup);
  if (options.keys_over_plain) csfle__log_line(&lines, 4, "server", "csfle.key.material.over=plain: the keys of shared KEKs are sent over plain connections too");
  if (dev) csfle__log_line(&lines, 5, "server", "development mode: the store is removed at the end");
  sigwait(&signals, &caught);
  csfle__log_line(&lines, 6, "server", "ending on signal %d", caught);
  registry_unwraps_end(g->unwraps);
  rc = 0;
out:
  if (err.msg[0]) fprintf(stderr, "csfle-registry: %s%s%s\n", err.where, err.where[0] ? ": " : "", err.msg);
  if (!registry_http_stop(http, grace_ms)) { /* what was answered is durable: the rest is as if it had never come */
    csfle__log_line(&lines, 4, "server", "requests still wait for a KMS after csfle.stop.grace.ms: ending without them");
    return ENDING;
  }
  if (http_options.blocking && registry_pool_busy(http_options.blocking)) return ENDING; /* calls of a KMS that nobody waits for */
  registry_pool_free(http_options.blocking);
  registry_keeper_stop(keeper);
  registry_api_free(api);
  registry_close(g);
  csfle__curl_free(curl);
  registry_tls_free(&tls);
  csfle_buf_free(&policy);
  return rc;
}

static void remove_store(const char *dir, const char *path)
{
  static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
  char file[320];
  for (size_t i = 0; i < 4; i++) {
    snprintf(file, sizeof file, "%s%s", path, suffixes[i]);
    unlink(file);
  }
  rmdir(dir);
}

int main(int argc, char **argv)
{
  static const struct option options[] = { { "dev", no_argument, NULL, 'd' },       { "config", required_argument, NULL, 'c' },
                                           { "port", required_argument, NULL, 'p' }, { "store", required_argument, NULL, 's' },
                                           { "version", no_argument, NULL, 'v' },    { "help", no_argument, NULL, 'h' },
                                           { NULL, 0, NULL, 0 } };
  const char          *tool = NULL, *store = NULL, *port = NULL, *config = NULL, *driver;
  registry_properties *p = registry_properties_new();
  doors                listeners;
  csfle_error          err = CSFLE_ERROR_INIT;
  char                 dir[256] = "", path[288];
  bool                 dev = false;
  int                  rc = 2, option;
  csfle_status         st = CSFLE_OK;

  if (!p) registry_out_of_memory();
  no_core_dumps();
  if (argc > 1 && (strcmp(argv[1], "dump") == 0 || strcmp(argv[1], "load") == 0)) tool = argv[1], argc--, argv++;
  while (st == CSFLE_OK && (option = getopt_long(argc, argv, "X:h", options, NULL)) != -1) {
    switch (option) {
      case 'd': dev = true; break;
      case 'c': config = optarg; st = registry_properties_load(p, config, &err); break;
      case 'p': port = optarg; break;
      case 's': store = optarg; break;
      case 'X': st = registry_properties_set_line(p, optarg, &err); break;
      case 'v': puts("csfle-registry " CSFLE_VERSION_TEXT); rc = 0; goto out;
      case 'h': print_help(); rc = 0; goto out;
      default: goto out;
    }
  }
  if (st != CSFLE_OK) goto out;
  if (optind < argc) {
    st = csfle__fail(&err, CSFLE_E_CONFIG, "\"%s\" is not understood; see --help", argv[optind]);
    goto out;
  }
  if ((st = registry_listeners_parse(listeners.at, REGISTRY_LISTENERS_MAX - 1, &listeners.count, registry_property(p, "listeners"), &err)) != CSFLE_OK) goto out;
  if (port) {
    int64_t n;
    if (!csfle__parse_i64(csfle__str(port), &n) || n < 0 || n > 65535) {
      st = csfle__fail(&err, CSFLE_E_CONFIG, "--port \"%s\" is no port", port);
      goto out;
    }
    listeners.at[0].port = (int)n;
  }
  listeners.metrics = -1;
  if (*registry_property(p, "csfle.metrics.listener")) {
    listeners.metrics = listeners.count++;
    if ((st = registry_listener_parse(&listeners.at[listeners.metrics], csfle__str(registry_property(p, "csfle.metrics.listener")), &err)) != CSFLE_OK) goto out;
  }
  driver = registry_property(p, "csfle.store");
  if (store && strcmp(store, "memory") == 0) driver = "memory", store = NULL;
  else if (store) driver = "embedded";
  else if (*registry_property(p, "csfle.store.path")) store = registry_property(p, "csfle.store.path");
  if (!registry_log_driver_find(driver)) {
    st = csfle__fail(&err, CSFLE_E_CONFIG, "property \"csfle.store\" is \"%s\", expected memory or embedded", driver);
    goto out;
  }
  if (dev && !store && strcmp(driver, "embedded") == 0) {
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/csfle-registry-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) {
      st = csfle__fail(&err, CSFLE_E_CONFIG, "cannot make %s: %s", dir, strerror(errno));
      dir[0] = 0;
      goto out;
    }
    snprintf(path, sizeof path, "%s/store.db", dir);
    store = path;
  }
  if (!tool && !store && strcmp(driver, "embedded") == 0) {
    st = csfle__fail(&err, CSFLE_E_CONFIG, "no store: give --store FILE, csfle.store.path=FILE, --store memory or --dev");
    goto out;
  }
  registry_log_setup setup = { .path = strcmp(driver, "embedded") == 0 ? store : NULL, .clock = &csfle__system_clock, .log = &lines,
                               .topics = { registry_property(p, "kafkastore.topic"), registry_property(p, "dek.registry.topic"), "_csfle" } };
  rc = tool ? registry_store_tool(tool, &setup) : serve(p, &setup, driver, &listeners, dev);
  if (dir[0]) remove_store(dir, path);
  if (rc == ENDING) _exit(0); /* threads are still at work with what would be freed */
out:
  if (st != CSFLE_OK) fprintf(stderr, "csfle-registry: %s%s%s\n", err.where, err.where[0] ? ": " : "", err.msg);
  registry_properties_free(p);
  return rc;
}
