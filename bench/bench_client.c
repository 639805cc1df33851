/*
 * What one message costs this library, for bench/compare_clients.py, which starts it and its two siblings (compare_client.py,
 * compare_client.js) with the same arguments. Warm messages through csfle_serialize or csfle_deserialize against a real registry; prints
 * one JSON line. Without arguments it does nothing: alone it has nothing to compare with.
 *
 *     bench_client write json|native  URL TOPIC COUNT WARM SCHEMA FILE    FILE: a value in that form; prints its message in hexadecimal
 *     bench_client read  json|native  URL TOPIC COUNT WARM SCHEMA FILE    FILE: a message
 */
#include "bench/bench.h"

#include "include/csfle/csfle.h"

#include <stdlib.h>
#include <string.h>

static void die(const csfle_error *e)
{
  fprintf(stderr, "%s: %s\n", e->where, e->msg);
  exit(2);
}

static size_t load(const char *path, char *buf, size_t cap)
{
  FILE *f = fopen(path, "rb");
  if (!f) {
    perror(path);
    exit(2);
  }
  size_t n = fread(buf, 1, cap, f);
  fclose(f);
  return n;
}

int main(int argc, char **argv)
{
  if (argc == 1) return 0;
  if (argc != 9) return fprintf(stderr, "bench_client write|read json|native URL TOPIC COUNT WARM SCHEMA FILE\n"), 2;
  int         form = strcmp(argv[2], "json") == 0 ? CSFLE_JSON : CSFLE_NATIVE, write = strcmp(argv[1], "write") == 0;
  long        count = atol(argv[5]), warm = atol(argv[6]);
  static char in[1 << 16], schema[1 << 16], properties[1024];
  size_t      len = load(argv[8], in, sizeof in);
  load(argv[7], schema, sizeof schema - 1);
  snprintf(properties, sizeof properties, "schema.registry.url=%s\nauto.register.schemas=false\nsecret=bench%s", argv[3],
           write ? "\nuse.latest.version=true" : "");

  csfle_error      e = CSFLE_ERROR_INIT;
  csfle_config    *c = csfle_config_new(properties);
  csfle_client    *cl = csfle_client_open(c, &e);
  csfle_serde_opts o = { sizeof o, CSFLE_VALUE, NULL, write && form == CSFLE_NATIVE ? schema : NULL, NULL, NULL };
  csfle_serde     *s = cl ? csfle_serde_open(cl, argv[4], &o, &e) : NULL;
  if (!s) die(&e);
  csfle_config_free(c);

  csfle_buf out;
  csfle_buf_init(&out, 0, CSFLE_BUF_WIPE);
  uint64_t from = 0;
  for (long i = -warm; i < count; i++) {
    if (i == 0) from = bench_cpu_ns();
    out.len = 0;
    if ((write ? csfle_serialize : csfle_deserialize)(s, form, in, len, NULL, &out, NULL, &e)) die(&e);
  }
  uint64_t took = bench_cpu_ns() - from;

  printf("{\"ns\":%.0f,\"version\":\"csfle %u.%u.%u\",\"out\":\"", count ? (double)took / (double)count : 0.0, csfle_version() >> 24, csfle_version() >> 16 & 255, csfle_version() >> 8 & 255);
  for (size_t i = 0; i < out.len; i++) printf("%02x", out.ptr[i]);
  printf("\"}\n");
  csfle_buf_free(&out);
  csfle_serde_close(s);
  csfle_client_close(cl);
  return 0;
}
