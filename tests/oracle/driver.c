/*
 * oracle_driver: runs the library for test_oracle.py, one case a line. A case is a schema with rules and keys, which a
 * registry in memory serves, and a datum; the answer is what csfle_serialize and csfle_deserialize made of it, and what
 * the warm calls allocated. It judges nothing: that is the oracle's work, which shares no code with the library.
 *
 *     in   {"schema","caller"?,"metadata"?,"rules"?,"keks":[],"deks":[],"in":hex,"apart":bool}   texts hold JSON
 *     out  {"status","msg","left","out":hex,"again":hex,"read","back":hex,"encrypted","decrypted","passed",
 *           "allocs":[serialize, deserialize],"mallocs":[same, of the whole process],"live","dirty","deks":[]}
 *
 * "apart": a second client with caches of its own reads. "left": bytes in the buffer of a failed call.
 */
#include "client/config/config.h"
#include "core/base/alloc.h"
#include "tests/support/fake_registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUBJECT "oracle-value"

/* ---- counting -------------------------------------------------------------------------------------------------- */

static long library_allocs, library_live, dirty_secrets, process_mallocs = -1;

static void *count_alloc(void *opaque, size_t size)
{
  (void)opaque;
  library_allocs++, library_live++;
  return malloc(size ? size : 1);
}

static void *count_resize(void *opaque, void *ptr, size_t size)
{
  (void)opaque;
  library_allocs++, library_live += !ptr;
  return realloc(ptr, size ? size : 1);
}

static void count_release(void *opaque, void *ptr)
{
  (void)opaque;
  library_live -= ptr != NULL;
  free(ptr);
}

static void look_at_secret(void *opaque, const void *ptr, size_t size)
{
  (void)opaque;
  for (size_t i = 0; i < size; i++)
    if (((const uint8_t *)ptr)[i]) {
      dirty_secrets++;
      return;
    }
}

/* malloc(3) itself, so that what OpenSSL and the C library ask for counts too; a sanitizer has its own */
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *ptr, size_t size);
void *malloc(size_t size) { return process_mallocs += process_mallocs >= 0, __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return process_mallocs += process_mallocs >= 0, __libc_calloc(count, size); }
void *realloc(void *ptr, size_t size) { return process_mallocs += process_mallocs >= 0, __libc_realloc(ptr, size); }
#endif

typedef struct meter {
  long allocs, mallocs;
} meter;
static void meter_start(void) { library_allocs = 0, process_mallocs = 0; }
static meter meter_stop(void)
{
  meter m = { library_allocs, process_mallocs };
  process_mallocs = -1;
  return m;
}

/* ---- a case ---------------------------------------------------------------------------------------------------- */

static const char *text(yyjson_val *o, const char *name) { return yyjson_get_str(yyjson_obj_get(o, name)); }

static void put_hex(const char *name, csfle__bytes b)
{
  static const char digits[] = "0123456789abcdef";
  printf(",\"%s\":\"", name);
  for (size_t i = 0; i < b.len; i++) putchar(digits[b.ptr[i] >> 4]), putchar(digits[b.ptr[i] & 15]);
  putchar('"');
}

static void put_text(const char *name, const char *t)
{
  printf(",\"%s\":\"", name);
  for (; *t; t++) {
    if (*t == '"' || *t == '\\') putchar('\\');
    if ((unsigned char)*t >= ' ') putchar(*t);
  }
  putchar('"');
}

static unsigned digit(char c) { return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10); }

static uint8_t *from_hex(const char *t, size_t *len)
{
  *len = strlen(t) / 2;
  uint8_t *p = malloc(*len + 1); /* exact, so that a sanitizer sees a read past the end */
  p = realloc(p, *len ? *len : 1);
  for (size_t i = 0; i < *len; i++) p[i] = (uint8_t)(digit(t[2 * i]) << 4 | digit(t[2 * i + 1]));
  return p;
}

static csfle_client *open_client(csfle_fake *f, csfle_error *err)
{
  csfle_config *c = csfle_config_new("schema.registry.url=http://fake\nuse.latest.version=true\nmax.retries=0\n"
                                     "rule.executors._default_.param.secret=oracle secret\n");
  csfle_client *cl = NULL;
  if (c && csfle_config_add_transport(c, &f->transport, err) == CSFLE_OK) {
    csfle__config_set_clock(c, &f->clock);
    cl = csfle_client_open(c, err);
  }
  csfle_config_free(c);
  return cl;
}

static csfle_serde *open_serde(csfle_client *cl, const char *caller, csfle_error *err)
{
  csfle_serde_opts o = { sizeof o, CSFLE_VALUE, NULL, caller, NULL, NULL };
  return csfle_serde_open(cl, "oracle", &o, err);
}

static csfle_status reads(csfle_serde *s, csfle__bytes message, csfle_buf *back, csfle_info *info, meter *warm, csfle_error *err)
{
  csfle_status rc = csfle_deserialize(s, CSFLE_NATIVE, message.ptr, message.len, NULL, back, info, err);
  if (rc != CSFLE_OK) return rc;
  meter_start();
  rc = csfle_deserialize(s, CSFLE_NATIVE, message.ptr, message.len, NULL, back, info, err);
  *warm = meter_stop();
  return rc;
}

static void run(csfle_fake *f, yyjson_val *c)
{
  csfle_error   err = CSFLE_ERROR_INIT;
  csfle_info    info = CSFLE_INFO_INIT, read_info = CSFLE_INFO_INIT;
  csfle_buf     out, back;
  meter         write = { 0, 0 }, read = { 0, 0 };
  const char   *caller = text(c, "caller") ? text(c, "caller") : text(c, "schema");
  size_t        len;
  uint8_t      *in = from_hex(text(c, "in"), &len);
  csfle_client *cl = open_client(f, &err), *reader = NULL;
  csfle_serde  *s = open_serde(cl, caller, &err), *rs = s;
  csfle_buf_init(&out, 0, 0), csfle_buf_init(&back, 0, CSFLE_BUF_WIPE);

  csfle_status rc = csfle_serialize(s, CSFLE_NATIVE, in, len, NULL, &out, &info, &err);
  printf("{\"left\":%zu", rc == CSFLE_OK ? (size_t)0 : out.len);
  if (rc == CSFLE_OK) {
    put_hex("out", csfle__view(out.ptr, out.len));
    meter_start();
    rc = csfle_serialize(s, CSFLE_NATIVE, in, len, NULL, &out, &info, &err);
    write = meter_stop();
  }
  printf(",\"status\":%d", rc);
  if (rc == CSFLE_OK) {
    put_hex("again", csfle__view(out.ptr, out.len));
    if (yyjson_get_bool(yyjson_obj_get(c, "apart"))) {
      reader = open_client(f, &err);
      rs = open_serde(reader, caller, &err);
    }
    csfle_status read_rc = reads(rs, csfle__view(out.ptr, out.len), &back, &read_info, &read, &err);
    printf(",\"read\":%d", read_rc);
    put_hex("back", csfle__view(back.ptr, back.len));
  }
  put_text("msg", err.code ? err.msg : "");
  put_text("where", err.code ? err.where : "");
  printf(",\"encrypted\":%u,\"decrypted\":%u,\"passed\":%u,\"allocs\":[%ld,%ld],\"mallocs\":[%ld,%ld]", info.encrypted, read_info.decrypted,
         info.passed_through + read_info.passed_through, write.allocs, read.allocs, write.mallocs, read.mallocs);
  free(in);
  csfle_buf_free(&out), csfle_buf_free(&back);
  if (rs != s) csfle_serde_close(rs);
  csfle_client_close(reader);
  csfle_serde_close(s);
  csfle_client_close(cl);
}

static void serve(csfle_fake *f, yyjson_val *c)
{
  size_t      i, n;
  yyjson_val *x;
  csfle_fake_init(f);
  csfle_fake_add_schema(f, SUBJECT, (int)yyjson_get_int(yyjson_obj_get(c, "id")), (int)yyjson_get_int(yyjson_obj_get(c, "version")), text(c, "schema"),
                        text(c, "metadata"), text(c, "rules"));
  yyjson_arr_foreach(yyjson_obj_get(c, "keks"), i, n, x) csfle_fake_add_kek(f, yyjson_get_str(x));
  yyjson_arr_foreach(yyjson_obj_get(c, "deks"), i, n, x) csfle_fake_add_dek(f, yyjson_get_str(x));
}

int main(void)
{
  static const csfle__alloc_hooks hooks = { count_alloc, count_resize, count_release, look_at_secret, NULL };
  char                           *line = NULL;
  size_t                          cap = 0;
  csfle__alloc_set(&hooks);
  while (getline(&line, &cap, stdin) > 0) {
    csfle_fake  f;
    yyjson_doc *d = yyjson_read(line, strlen(line), 0);
    long        before = library_live;
    if (!d) return 2;
    dirty_secrets = 0;
    serve(&f, yyjson_doc_get_root(d));
    run(&f, yyjson_doc_get_root(d));
    printf(",\"live\":%ld,\"dirty\":%ld,\"deks\":[", library_live - before, dirty_secrets);
    for (size_t i = 0, n = 0; i < f.key_count; i++)
      if (f.keys[i].subject) printf("%s%s", n++ ? "," : "", f.keys[i].json);
    puts("]}");
    fflush(stdout);
    csfle_fake_free(&f);
    yyjson_doc_free(d);
  }
  free(line);
  return 0;
}
