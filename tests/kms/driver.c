/*
 * kms_driver: one open KMS key at the command line, for the suites of tests/kms. What core/kms does with it goes over the
 * transport that client and server use, with this process's environment and files.
 *
 *     kms_driver [-t MS] [-c N] [-p MS] [-a FILE] wrap|unwrap TYPE KEY-ID [NAME=VALUE ...]      stdin -> stdout
 *
 *     -t MS     most milliseconds a call may take        -c N      so many calls through the one open key; prints the last result
 *     -p MS     pause before each further call           -a FILE   certificates to trust instead of the system's
 *     NAME=VALUE            the operator's own property
 *     registry:NAME=VALUE   one that came from the registry, as far as its reader let it pass; it goes before the operator's
 *
 * Exit code 0, or 1 and one line on stderr: STATUS http=NNN where: message
 */
#include "core/kms/driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct settings {
  char **pairs;
  int    count;
} settings;

static const char *find(const settings *s, const char *prefix, const char *name)
{
  for (int i = s->count - 1; i >= 0; i--) {
    const char *p = s->pairs[i];
    size_t      n = strlen(prefix), m = strlen(name);
    if (strncmp(p, prefix, n) == 0 && strncmp(p + n, name, m) == 0 && p[n + m] == '=') return p + n + m + 1;
  }
  return NULL;
}
static const char *own(void *opaque, const char *name) { return find(opaque, "", name); }
static const char *get(void *opaque, const char *name)
{
  const char *v = find(opaque, "registry:", name);
  return v ? v : own(opaque, name);
}

static int usage(void)
{
  fputs("usage: kms_driver [-t MS] [-c N] [-p MS] [-a FILE] wrap|unwrap TYPE KEY-ID [NAME=VALUE ...]\n", stderr);
  return 2;
}

static int report(const csfle_error *err)
{
  fprintf(stderr, "%s http=%03d %s%s%s\n", csfle_status_name(err->code), err->http, err->where, err->where[0] ? ": " : "", err->msg);
  return 1;
}

/* csfle__kms_run with an end */
static csfle_status run(csfle__kms *kms, csfle__kms_call *call, const csfle_transport *t, int64_t most_ms, csfle_error *err)
{
  const csfle__clock *c = &csfle__system_clock;
  int64_t             end = most_ms ? c->monotonic_ms(c->opaque) + most_ms : INT64_MAX;
  for (;;) {
    call->now_ms = c->wall_ms(c->opaque);
    call->mono_ms = c->monotonic_ms(c->opaque);
    switch (csfle__kms_step(kms, call, err)) {
    case CSFLE__SEND:
      if (call->mono_ms >= end) return csfle__fail(err, CSFLE_E_TIMEOUT, "no time left");
      if (most_ms && (call->io.request.timeout_ms == 0 || call->io.request.timeout_ms > end - call->mono_ms))
        call->io.request.timeout_ms = (uint32_t)(end - call->mono_ms);
      csfle__send(t, &call->io);
      break;
    case CSFLE__WAIT:
      if (call->io.wait_until_ms >= end) return csfle__fail(err, CSFLE_E_TIMEOUT, "no time left to try again");
      csfle__answer_wait(c, &call->io);
      break;
    case CSFLE__NEED:
      if (csfle__answer_need(&call->io) != CSFLE_OK) return csfle__nomem(err);
      break;
    case CSFLE__DONE: return CSFLE_OK;
    case CSFLE__FAIL: return err->code;
    }
  }
}

int main(int argc, char **argv)
{
  csfle__curl_options options = { 0 };
  csfle__curl        *curl = NULL;
  csfle__kms         *kms = NULL;
  csfle_error         err = CSFLE_ERROR_INIT;
  uint8_t             in[65536];
  size_t              in_len;
  long                count = 1, pause_ms = 0, most_ms = 0;
  int                 c, code = 0;

  while ((c = getopt(argc, argv, "+t:c:p:a:")) != -1) {
    if (c == 't') most_ms = atol(optarg);
    else if (c == 'c') count = atol(optarg);
    else if (c == 'p') pause_ms = atol(optarg);
    else if (c == 'a') options.kms_tls.ca_file = optarg;
    else return usage();
  }
  argc -= optind, argv += optind;
  if (argc < 3 || count < 1 || most_ms < 0 || pause_ms < 0) return usage();
  bool unwrap = strcmp(argv[0], "unwrap") == 0;
  if (!unwrap && strcmp(argv[0], "wrap") != 0) return usage();

  settings         s = { argv + 3, argc - 3 };
  csfle__kms_props props = { get, &s, own };
  in_len = fread(in, 1, sizeof in, stdin);
  if (csfle__curl_new(&curl, &options, &err) != CSFLE_OK || csfle__kms_open(&kms, csfle__str(argv[1]), csfle__str(argv[2]), &props, &err) != CSFLE_OK)
    code = report(&err);
  for (long i = 0; code == 0 && i < count; i++) {
    csfle__kms_call call;
    if (i && pause_ms) usleep((useconds_t)pause_ms * 1000);
    csfle__kms_call_init(&call, unwrap, csfle__view(in, in_len));
    if (run(kms, &call, csfle__curl_transport(curl), most_ms, &err) != CSFLE_OK) code = report(&err);
    else if (i == count - 1 && fwrite(call.out.ptr, 1, call.out.len, stdout) != call.out.len) code = 1;
    csfle__kms_call_free(&call);
  }
  csfle__kms_close(kms);
  csfle__curl_free(curl);
  csfle__wipe(in, sizeof in);
  return code;
}
