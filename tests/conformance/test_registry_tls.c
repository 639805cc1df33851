/* Where the plain keys of shared KEKs go: over TLS and on this machine, and nowhere else. AB-7. */
#include "core/fetch/fetch.h"
#include "tests/support/fake_kms.h"
#include "tests/support/registry.h"
#include "tests/support/test.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SHARED "{\"name\":\"sh\",\"kmsType\":\"local-kms\",\"kmsKeyId\":\"k\",\"kmsProps\":{\"secret\":\"mysecret\"},\"shared\":true}"
#define DEK    "/dek-registry/v1/keks/sh/deks/s"

static csfle_test_registry r;
static char                address[INET_ADDRSTRLEN]; /* of this machine, not loopback */

static void find_address(void)
{
  struct ifaddrs *all = NULL;
  if (address[0]) return;
  assert_int_equal(getifaddrs(&all), 0);
  for (struct ifaddrs *i = all; i && !address[0]; i = i->ifa_next) {
    if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK)) continue;
    inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr, address, sizeof address);
  }
  freeifaddrs(all);
  if (!address[0]) fail_msg("this machine has no address but loopback: a connection that leaves it cannot be tried");
}

/* ---- requests: one look at the answer ------------------------------------------------------------------------------ */

static void ask(const csfle_test_registry *at, const char *method, const char *path, const char *body, long status, const char *has, const char *lacks)
{
  char             cache[64];
  csfle_test_reply p = csfle_test_http(at, method, path, body);
  if (p.status != status || (has && !strstr(p.body, has)) || (lacks && strstr(p.body, lacks))) fail_msg("%s %s: %ld %s", method, path, p.status, p.body);
  if (strncmp(path, "/dek-registry", 13) == 0) assert_string_equal(csfle_test_reply_header(&p, "Cache-Control", cache, sizeof cache), "no-store");
  csfle_test_reply_free(&p);
}

/* the same registry through the machine's other address */
static csfle_test_registry outside(void)
{
  csfle_test_registry at = r;
  snprintf(at.url, sizeof at.url, "http://%s:%d", address, r.port);
  return at;
}

TEST(AB_7_keys_do_not_leave_over_a_plain_connection)
{
  static const char *const args[] = { "-X", "listeners=http://0.0.0.0:0", "-X", "csfle.anonymous=write", NULL };
  static const char        remedy[] = "csfle.key.material.over=plain";
  find_address();
  csfle_test_registry_start(&r, args);
  csfle_test_registry there = outside();
  ask(&r, "POST", "/dek-registry/v1/keks", SHARED, 200, "\"shared\":true", NULL);
  ask(&there, "POST", DEK, "{}", 403, remedy, "keyMaterial\":\"");
  ask(&r, "GET", DEK "?deleted=true", NULL, 404, "40470", NULL); /* nothing was made */
  ask(&r, "POST", DEK, "{}", 200, "\"keyMaterial\":\"", NULL);
  ask(&there, "GET", DEK, NULL, 403, remedy, "aterial\":");
  ask(&there, "GET", DEK "/versions/latest", NULL, 403, remedy, "aterial\":");
  ask(&there, "GET", DEK "?deleted=true", NULL, 403, remedy, "aterial\":");
  ask(&there, "POST", DEK "?rewrap=true", "{}", 403, remedy, "aterial\":");
  ask(&there, "GET", "/dek-registry/v1/keks/sh/deks/none", NULL, 404, "40470", NULL);
  ask(&r, "GET", DEK, NULL, 200, "\"keyMaterial\":\"", NULL);
  /* what holds no plain key is answered */
  ask(&there, "GET", "/dek-registry/v1/keks/sh/deks", NULL, 200, "[\"s\"]", NULL);
  ask(&there, "POST", "/dek-registry/v1/keks/sh/test", NULL, 200, "\"name\":\"sh\"", NULL);
  ask(&there, "POST", "/dek-registry/v1/keks", "{\"name\":\"n\",\"kmsType\":\"t\",\"kmsKeyId\":\"i\"}", 200, "\"name\":\"n\"", NULL);
  ask(&there, "POST", "/dek-registry/v1/keks/n/deks/s", "{\"encryptedKeyMaterial\":\"YQ==\"}", 200, "\"encryptedKeyMaterial\":\"YQ==\"", "\"keyMaterial\"");
  ask(&there, "DELETE", DEK, NULL, 204, NULL, NULL);
  csfle_test_registry_stop(&r);
}

/* which headers those are: tests/unit/server/http/test_confidential.c */
TEST(AB_7_keys_do_not_leave_through_a_proxy_on_this_machine)
{
  static const char *const headers[] = { "X-Forwarded-For: 127.0.0.1", NULL };
  csfle_test_registry_start(&r, NULL);
  ask(&r, "POST", "/dek-registry/v1/keks", SHARED, 200, "\"shared\":true", NULL);
  ask(&r, "POST", DEK, "{}", 200, "\"keyMaterial\":\"", NULL);
  csfle_test_reply p = csfle_test_http_headers(&r, "GET", DEK, NULL, headers);
  if (p.status != 403 || strstr(p.body, "keyMaterial\":")) fail_msg("%ld %s", p.status, p.body);
  csfle_test_reply_free(&p);
  csfle_test_registry_stop(&r);
}

TEST(keys_leave_over_a_plain_connection_when_the_operator_says_so)
{
  static const char *const args[] = { "-X", "listeners=http://0.0.0.0:0", "-X", "csfle.anonymous=write", "-X", "csfle.key.material.over=plain", NULL };
  csfle_test_registry_start(&r, args);
  csfle_test_registry there = outside();
  ask(&there, "POST", "/dek-registry/v1/keks", SHARED, 200, "\"shared\":true", NULL);
  ask(&there, "POST", DEK, "{}", 200, "\"keyMaterial\":\"", NULL);
  ask(&there, "GET", DEK, NULL, 200, "\"keyMaterial\":\"", NULL);
  csfle_test_registry_stop(&r);
}

/* ---- TLS ------------------------------------------------------------------------------------------------------------ */

static char folder[200], both[256], ca[256], encrypted[256], foreign[256];

static EVP_PKEY *new_key(void)
{
  EVP_PKEY *k = EVP_EC_gen("P-256");
  assert_non_null(k);
  return k;
}

static void write_pem(const char *path, EVP_PKEY *key, X509 *cert, const char *password)
{
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  if (key) assert_int_equal(PEM_write_PKCS8PrivateKey(f, key, password ? EVP_aes_256_cbc() : NULL, password, password ? (int)strlen(password) : 0, NULL, NULL), 1);
  if (cert) assert_int_equal(PEM_write_X509(f, cert), 1);
  fclose(f);
}

static X509 *certificate_of(EVP_PKEY *key)
{
  char            san[80];
  X509           *x = X509_new();
  X509_NAME      *n = X509_get_subject_name(x);
  X509V3_CTX      ctx;
  snprintf(san, sizeof san, "IP:127.0.0.1,IP:%s", address);
  X509_set_version(x, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
  X509_gmtime_adj(X509_getm_notBefore(x), -60);
  X509_gmtime_adj(X509_getm_notAfter(x), 86400);
  X509_set_pubkey(x, key);
  X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const unsigned char *)"csfle-registry test", -1, -1, 0);
  X509_set_issuer_name(x, n);
  X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
  X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, san);
  assert_non_null(e);
  X509_add_ext(x, e, -1);
  X509_EXTENSION_free(e);
  assert_true(X509_sign(x, key, EVP_sha256()) > 0);
  return x;
}

TEST(certificates_are_made)
{
  const char *tmp = getenv("TMPDIR");
  find_address();
  snprintf(folder, sizeof folder, "%s/csfle-tls-XXXXXX", tmp && *tmp ? tmp : "/tmp");
  assert_non_null(mkdtemp(folder));
  snprintf(both, sizeof both, "%s/both.pem", folder), snprintf(ca, sizeof ca, "%s/ca.pem", folder);
  snprintf(encrypted, sizeof encrypted, "%s/encrypted.pem", folder), snprintf(foreign, sizeof foreign, "%s/foreign.pem", folder);
  EVP_PKEY *key = new_key(), *other = new_key();
  X509     *cert = certificate_of(key);
  write_pem(both, key, cert, NULL);
  write_pem(ca, NULL, cert, NULL);
  write_pem(encrypted, key, cert, "mypassword");
  write_pem(foreign, other, cert, NULL);
  X509_free(cert);
  EVP_PKEY_free(key);
  EVP_PKEY_free(other);
}

/* over https, by the project's own transport; 0: no answer. NULL trust: the system's */
static int tls_get(const char *host, const char *path, const char *trust, csfle_buf *body)
{
  csfle__curl         *curl = NULL;
  csfle__curl_options  o = { .connect_timeout_ms = 10000, .timeout_ms = 60000, .max_reply_bytes = 1 << 20, .tls = { .ca_file = trust } };
  csfle__io            io;
  assert_ok(csfle__curl_new(&curl, &o, err));
  csfle__io_init(&io);
  io.request.method = "GET";
  io.request.purpose = "registry";
  assert_ok(csfle__buf_printf(&io.request.url, err, "https://%s:%d%s", host, r.tls_port, path));
  csfle__send(csfle__curl_transport(curl), &io);
  int status = io.reply.status;
  csfle__buf_clear(body);
  assert_ok(csfle__buf_put(body, io.reply.body.ptr, io.reply.body.len, err));
  assert_ok(csfle__buf_putc(body, 0, err));
  csfle__io_free(&io);
  csfle__curl_free(curl);
  return status;
}

static char        listeners_text[160], keystore_text[300];
static void start_tls(const char *file, const char *password)
{
  static const char *args[12];
  static char        password_text[64];
  snprintf(listeners_text, sizeof listeners_text, "listeners=http://127.0.0.1:0,https://0.0.0.0:0");
  snprintf(keystore_text, sizeof keystore_text, "ssl.keystore.location=%s", file);
  snprintf(password_text, sizeof password_text, "ssl.key.password=%s", password ? password : "");
  const char *all[] = { "-X", listeners_text, "-X", keystore_text, "-X", "csfle.anonymous=write", password ? "-X" : NULL, password_text, NULL };
  memcpy(args, all, sizeof all);
  csfle_test_registry_start(&r, args);
}

TEST(AB_7_keys_leave_over_tls)
{
  csfle_buf body;
  csfle_buf_init(&body, 0, 0);
  start_tls(both, NULL);
  assert_true(r.tls_port > 0);
  ask(&r, "POST", "/dek-registry/v1/keks", SHARED, 200, "\"shared\":true", NULL);
  ask(&r, "POST", DEK, "{}", 200, "\"keyMaterial\":\"", NULL);
  assert_int_equal(tls_get(address, DEK, ca, &body), 200);
  assert_non_null(strstr((char *)body.ptr, "\"keyMaterial\":\""));
  assert_int_equal(tls_get("127.0.0.1", "/subjects", ca, &body), 200);
  assert_string_equal((char *)body.ptr, "[]");
  assert_int_equal(tls_get("127.0.0.1", "/subjects", NULL, &body), 0); /* a certificate nobody trusts */
  csfle_test_registry plain = r; /* no TLS, no answer */
  snprintf(plain.url, sizeof plain.url, "http://127.0.0.1:%d", r.tls_port);
  csfle_test_reply p = csfle_test_http(&plain, "GET", "/subjects", NULL);
  assert_int_equal(p.status, 0);
  csfle_test_reply_free(&p);
  csfle_test_registry_stop(&r);
  csfle_buf_free(&body);
}

static csfle_fake_kms kms;
static void *read_over_tls(void *opaque)
{
  csfle_buf body;
  csfle_buf_init(&body, 0, 0);
  bool ok = tls_get("127.0.0.1", DEK, ca, &body) == 200 && strstr((char *)body.ptr, "\"keyMaterial\":\"");
  csfle_buf_free(&body);
  return ok ? opaque : NULL;
}

TEST(a_read_waits_over_tls_as_it_does_without)
{
  pthread_t threads[20];
  char      kek[300], allow[100];
  csfle_fake_kms_start(&kms);
  snprintf(listeners_text, sizeof listeners_text, "listeners=http://127.0.0.1:0,https://127.0.0.1:0");
  snprintf(keystore_text, sizeof keystore_text, "ssl.keystore.location=%s", encrypted); /* an encrypted key, too */
  snprintf(allow, sizeof allow, "csfle.allow.kms.hosts=%s", kms.host);
  const char *args[] = { "-X", listeners_text, "-X", keystore_text, "-X", "ssl.key.password=mypassword", "-X", allow, NULL };
  csfle_test_registry_start(&r, args);
  snprintf(kek, sizeof kek, "{\"name\":\"sh\",\"kmsType\":\"hcvault\",\"kmsKeyId\":\"%s/transit/keys/k0\",\"kmsProps\":{\"token.id\":\"t\"},\"shared\":true}", kms.host);
  ask(&r, "POST", "/dek-registry/v1/keks", kek, 200, NULL, NULL);
  ask(&r, "POST", DEK, "{}", 200, "\"keyMaterial\":\"", NULL);
  csfle_fake_kms_hold(&kms);
  for (size_t i = 0; i < 20; i++) pthread_create(&threads[i], NULL, read_over_tls, &kms);
  csfle_fake_kms_await(&kms, 1);
  nanosleep(&(struct timespec){ 0, 300000000 }, NULL);
  csfle_fake_kms_release(&kms);
  for (size_t i = 0; i < 20; i++) {
    void *ok;
    pthread_join(threads[i], &ok);
    assert_non_null(ok);
  }
  csfle_test_registry_stop(&r);
  csfle_fake_kms_stop(&kms);
}

TEST(a_key_that_does_not_fit_is_refused_at_start)
{
  const struct { const char *file, *more; } cases[] = { { foreign, "" }, { encrypted, "" }, { encrypted, "-X ssl.key.password=wrong" }, { ca, "" } };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char command[1024], text[2048];
    snprintf(command, sizeof command, "timeout 20 '%s/csfle-registry' --dev -X listeners=https://127.0.0.1:0 -X ssl.keystore.location='%s' %s 2>&1", CSFLE_TEST_BINARIES, cases[i].file, cases[i].more);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = 0;
    int status = pclose(f) >> 8;
    if (status != 1 || !strstr(text, i == 3 ? "holds no private key" : "cannot be used")) fail_msg("%s %s: exit %d: %s", cases[i].file, cases[i].more, status, text);
  }
}

TEST(certificates_are_removed)
{
  unlink(both), unlink(ca), unlink(encrypted), unlink(foreign);
  assert_int_equal(rmdir(folder), 0);
}
