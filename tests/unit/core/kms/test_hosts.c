/* AB-8: where credentials may go; and what the drivers share over HTTP. */
#include "core/kms/http.h"
#include "tests/unit/core/kms/script.h"

#include <pthread.h>

static const char *const vendor[] = { "*.vault.azure.net", "cloudkms.googleapis.com", NULL };

static csfle_status check(const char *list, csfle__host_kind kind, const char *url, unsigned *addresses, csfle_error *err)
{
  static script    s;
  const pair       own[] = { { list ? "csfle.allow.kms.hosts" : "none", list }, { 0 } };
  csfle__kms_props p = { script_prop, &s, script_own };
  csfle__hosts     h = CSFLE__HOSTS_INIT;
  csfle__io        io;
  s.own = own;
  csfle_status rc = csfle__hosts_open(&h, &p, vendor, err);
  csfle__io_init(&io);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&io.request.url, url, err);
  if (rc == CSFLE_OK) rc = csfle__hosts_check(&h, kind, &io.request, err);
  *addresses = io.request.addresses;
  csfle__io_free(&io);
  csfle__hosts_close(&h);
  return rc;
}

#define O CSFLE__ADDRESS_OTHER
#define L CSFLE__ADDRESS_LOOPBACK
#define K CSFLE__ADDRESS_LINK_LOCAL

TEST(hosts_are_the_vendors_or_those_on_the_list_however_they_are_spelled)
{
  const struct { const char *list, *url; csfle_status rc; unsigned addresses; } cases[] = {
    { NULL, "https://kv.vault.azure.net/keys/a", CSFLE_OK, O }, { NULL, "https://KV.Vault.AZURE.net", CSFLE_OK, O }, { NULL, "https://kv.vault.azure.net:443/", CSFLE_OK, O },
    { NULL, "https://cloudkms.googleapis.com/v1", CSFLE_OK, O }, { NULL, "https://vault.azure.net/", CSFLE_E_POLICY, 0 }, { NULL, "https://evilvault.azure.net/", CSFLE_E_POLICY, 0 },
    { NULL, "https://kv.vault.azure.net.evil.example/", CSFLE_E_POLICY, 0 }, { NULL, "https://x.cloudkms.googleapis.com/", CSFLE_E_POLICY, 0 },
    { NULL, "http://kv.vault.azure.net/", CSFLE_E_POLICY, 0 }, { NULL, "https://kv.vault.azure.net:8443/", CSFLE_E_POLICY, 0 },
    { NULL, "https://kv.vault.azure.net./", CSFLE_E_CONFIG, 0 }, { NULL, "https://kv.vault.azure.net@evil.example/", CSFLE_E_CONFIG, 0 },
    { NULL, "https://evil.example\\.vault.azure.net/", CSFLE_E_CONFIG, 0 }, { NULL, "https://evil.example#.vault.azure.net/", CSFLE_E_CONFIG, 0 },
    { NULL, "https://evil.example?.vault.azure.net/", CSFLE_E_POLICY, 0 }, { NULL, "https://evil.example/.vault.azure.net/", CSFLE_E_POLICY, 0 },
    { NULL, "https://evil.example%2f.vault.azure.net/", CSFLE_E_CONFIG, 0 }, { NULL, "https://kv.vault.azure.net:443:80/", CSFLE_E_CONFIG, 0 },
    { NULL, "https://kv.vault.azure.net:/", CSFLE_E_CONFIG, 0 }, { NULL, "https://kv.vault.azure.net:0/", CSFLE_E_CONFIG, 0 }, { NULL, "https://kv.vault.azure.net:65536/", CSFLE_E_CONFIG, 0 },
    { NULL, "https://kv.vault.azure.net:443@evil.example:443/", CSFLE_E_CONFIG, 0 }, { NULL, "https:///x", CSFLE_E_CONFIG, 0 }, { NULL, "//kv.vault.azure.net/", CSFLE_E_CONFIG, 0 },
    { NULL, "http+unix://%2fvar/", CSFLE_E_CONFIG, 0 }, { NULL, "file:///etc/passwd", CSFLE_E_CONFIG, 0 }, { NULL, "https://kv..vault.azure.net/", CSFLE_E_CONFIG, 0 },
    { NULL, "https://.vault.azure.net/", CSFLE_E_CONFIG, 0 }, { NULL, "https://a b.vault.azure.net/", CSFLE_E_CONFIG, 0 }, { NULL, "https://a\r\n.vault.azure.net/", CSFLE_E_CONFIG, 0 },
    { NULL, "https://2852039166/", CSFLE_E_CONFIG, 0 }, { NULL, "https://0xa9fea9fe/", CSFLE_E_CONFIG, 0 }, { NULL, "https://0251.0376.0251.0376/", CSFLE_E_CONFIG, 0 },
    { NULL, "https://127.1/", CSFLE_E_CONFIG, 0 }, { NULL, "https://169.254.169.254/", CSFLE_E_POLICY, 0 }, { NULL, "https://[::ffff:169.254.169.254]/", CSFLE_E_POLICY, 0 },
    { NULL, "https://[::1/", CSFLE_E_CONFIG, 0 }, { NULL, "https://[::1]x/", CSFLE_E_CONFIG, 0 }, { NULL, "https://localhost/", CSFLE_E_POLICY, 0 },
    { "vault.bank:8200", "https://vault.bank:8200/v1", CSFLE_OK, O }, { "vault.bank:8200", "https://vault.bank/", CSFLE_E_POLICY, 0 }, { "vault.bank", "https://vault.bank:22/", CSFLE_E_POLICY, 0 },
    { "vault.bank:8200", "http://vault.bank:8200/", CSFLE_E_POLICY, 0 }, { "http://vault.bank:8200", "http://vault.bank:8200/", CSFLE_OK, O },
    { "http://vault.bank:8200", "https://vault.bank:8200/", CSFLE_E_POLICY, 0 }, { " a , https://vault.bank ", "https://VAULT.bank/", CSFLE_OK, O },
    { "vault.bank", "https://kv.vault.azure.net/", CSFLE_E_POLICY, 0 }, { "*.bank:8200", "https://a.b.bank:8200/", CSFLE_OK, O }, { "*.bank:8200", "https://bank:8200/", CSFLE_E_POLICY, 0 },
    { "127.0.0.1:8200", "https://127.0.0.1:8200/", CSFLE_OK, O | L }, { "127.0.0.1:8200", "https://[::ffff:127.0.0.1]:8200/", CSFLE_E_POLICY, 0 },
    { "[::1]:8200", "https://[0:0::1]:8200/", CSFLE_OK, O | L }, { "http://localhost:8200", "http://localhost:8200/", CSFLE_OK, O | L },
    { "http://vault.test:8200,127.0.0.1", "http://vault.test:8200/", CSFLE_OK, O | L }, { "*.test,127.0.0.1", "https://a.test/", CSFLE_OK, O },
    { "169.254.1.1", "https://169.254.1.1/", CSFLE_OK, O | K }, { "localhost@evil", "https://evil/", CSFLE_E_CONFIG, 0 }, { "http://vault.bank", "https://a/", CSFLE_E_CONFIG, 0 },
    { "*", "https://a.b/", CSFLE_E_CONFIG, 0 }, { "*.0.0.1", "https://a/", CSFLE_E_CONFIG, 0 }, { "vault.bank/x", "https://vault.bank/", CSFLE_E_CONFIG, 0 }, { ",,", "https://kv.vault.azure.net/", CSFLE_E_POLICY, 0 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    unsigned     addresses;
    csfle_error  err = CSFLE_ERROR_INIT;
    csfle_status rc = check(cases[i].list, CSFLE__HOST_KMS, cases[i].url, &addresses, &err);
    if (rc != cases[i].rc) fail_msg("%zu %s: %d %s", i, cases[i].url, rc, err.msg);
    if (rc == CSFLE_OK) assert_int_equal(addresses, cases[i].addresses);
    if (rc == CSFLE_E_POLICY) assert_non_null(strstr(err.msg, "csfle.allow.kms.hosts"));
  }
  unsigned a;
  assert_int_equal(check("vault.bank", CSFLE__HOST_LOGIN, "https://kv.vault.azure.net/", &a, NULL), CSFLE_OK);
  assert_int_equal(check("vault.bank", CSFLE__HOST_LOGIN, "https://evil.example/", &a, NULL), CSFLE_E_POLICY);
  assert_int_equal(check(NULL, CSFLE__HOST_OWN, "http://127.0.0.1:1/", &a, NULL), CSFLE_OK);
  assert_int_equal(a, O | L | K);
  assert_int_equal(check(NULL, CSFLE__HOST_LOCAL, "http://169.254.169.254/x", &a, NULL), CSFLE_OK);
  assert_int_equal(a, L | K);
}

TEST(addresses_are_known_in_every_wrapping)
{
  const struct { uint8_t ip[16]; unsigned kind; } v6[] = {
    { { [15] = 1 }, L }, { { 0 }, L }, { { [10] = 0xff, [11] = 0xff, 169, 254, 169, 254 }, K }, { { [12] = 127, [15] = 1 }, L }, { { [10] = 0xff, [11] = 0xff, 10, 0, 0, 1 }, O },
    { { 0, 0x64, 0xff, 0x9b, [12] = 169, 254, 1, 1 }, K }, { { 0x20, 0x02, 127, 0, 0, 1 }, L }, { { 0xfe, 0x80 }, K }, { { 0xfe, 0xbf }, K }, { { 0xfe, 0xc0 }, O },
    { { 0xfd, 0, 0x0e, 0xc2, [14] = 2, 0x54 }, K }, { { 0xfd, 1 }, O }, { { 0xff, 2 }, CSFLE__ADDRESS_GROUP }, { { 0x2a, 0 }, O }, { { [8] = 0xff, 0xff, [12] = 127 }, L },
  };
  const struct { uint8_t ip[4]; unsigned kind; } v4[] = {
    { { 127, 9, 9, 9 }, L }, { { 0, 0, 0, 0 }, L }, { { 169, 254, 170, 2 }, K }, { { 100, 100, 100, 200 }, K }, { { 100, 100, 100, 201 }, O }, { { 10, 1, 1, 1 }, O }, { { 8, 8, 8, 8 }, O },
    { { 224, 0, 0, 1 }, CSFLE__ADDRESS_GROUP }, { { 255, 255, 255, 255 }, CSFLE__ADDRESS_GROUP },
  };
  for (size_t i = 0; i < sizeof v6 / sizeof *v6; i++)
    if (csfle__address_v6(v6[i].ip) != v6[i].kind) fail_msg("v6 %zu", i);
  for (size_t i = 0; i < sizeof v4 / sizeof *v4; i++)
    if (csfle__address_v4(v4[i].ip) != v4[i].kind) fail_msg("v4 %zu", i);
}

/* ---- the connected address: a server of our own on the loopback, which a name or literal leads to */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int  listener;
static int  accepted;
static void *serve(void *opaque)
{
  (void)opaque;
  for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; close(fd)) {
    char buf[4096];
    accepted++;
    for (ssize_t n; (n = read(fd, buf, sizeof buf)) > 0;)
      if (write(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 40) != 40) break;
  }
  return NULL;
}

TEST(a_name_that_leads_to_this_machine_is_not_connected_to_unless_that_is_allowed)
{
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t          n = sizeof a;
  pthread_t          t;
  csfle__curl       *c;
  csfle__io          io;
  listener = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof a), 0);
  assert_int_equal(listen(listener, 4), 0);
  getsockname(listener, (struct sockaddr *)&a, &n);
  pthread_create(&t, NULL, serve, NULL);
  static const char *const proxies[] = { "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" };
  for (size_t i = 0; i < 5; i++) unsetenv(proxies[i]);
  assert_ok(csfle__curl_new(&c, &(csfle__curl_options){ 0 }, err));
  const struct { const char *host; unsigned addresses; bool reaches; } cases[] = {
    { "localhost", O, false }, { "127.0.0.1", O, false }, { "[::ffff:127.0.0.1]", O, false }, { "2130706433", O, false }, { "0", O, false }, { "localhost", K, false },
    { "localhost", O | L, true }, { "localhost", 0, true },
    { "localhost", O, false }, /* the connection that the one before left open is not used either */
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int before = accepted;
    csfle__io_init(&io);
    csfle__http_start(&io, "GET", 3000);
    io.request.addresses = cases[i].addresses;
    assert_ok(csfle__buf_printf(&io.request.url, err, "http://%s:%d/", cases[i].host, ntohs(a.sin_port)));
    csfle__send(csfle__curl_transport(c), &io);
    if (cases[i].reaches) {
      if (io.reply.status != 200) fail_msg("%zu: %s", i, io.reply.failure);
    } else {
      if (strcmp(io.reply.failure, CSFLE__REFUSED_ADDRESS) != 0) fail_msg("%zu %s: %d %s", i, cases[i].host, io.reply.status, io.reply.failure);
      assert_int_equal(io.reply.status, 0);
      assert_int_equal(accepted, before);
      csfle_error err = CSFLE_ERROR_INIT;
      assert_int_equal(csfle__reply_failed(&io.reply, &err), CSFLE_E_POLICY);
    }
    csfle__io_free(&io);
  }
  csfle__curl_free(c);

  /* the operator's proxy may be on this machine; what it connects to is its own affair */
  char proxy[64];
  snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", ntohs(a.sin_port));
  assert_ok(csfle__curl_new(&c, &(csfle__curl_options){ .proxy = proxy }, err));
  csfle__io_init(&io);
  csfle__http_start(&io, "GET", 3000);
  io.request.addresses = O;
  assert_ok(csfle__buf_puts(&io.request.url, "http://kms.example/", err));
  csfle__send(csfle__curl_transport(c), &io);
  if (io.reply.status != 200) fail_msg("%s", io.reply.failure);
  csfle__io_free(&io);
  csfle__curl_free(c);
  shutdown(listener, SHUT_RDWR);
  close(listener);
  pthread_join(t, NULL);
}

/* ---- what the drivers share */

TEST(dates_are_read_and_written)
{
  int64_t ms;
  char    text[64];
  assert_true(csfle__time_iso(BYTES("2026-11-22T00:55:13Z"), &ms));
  assert_true(ms == 1795308913000);
  assert_true(csfle__time_iso(BYTES("2026-11-22T00:55:13.123456Z"), &ms));
  csfle__time_format(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", ms);
  assert_string_equal(text, "2026-11-22T00:55:13Z");
  assert_true(csfle__time_http(BYTES("Sun, 06 Nov 1994 08:49:37 GMT"), &ms));
  assert_true(ms == 784111777000);
  assert_true(csfle__time_iso(BYTES("2024-02-29T12:00:00Z"), &ms) && ms == 1709208000000);
  assert_false(csfle__time_iso(BYTES("2024-13-01T12:00:00Z"), &ms));
  assert_false(csfle__time_iso(BYTES("2024-02-29 12:00:00Z"), &ms));
  assert_false(csfle__time_http(BYTES("Sunday, 06-Nov-94 08:49:37 GMT"), &ms));
  assert_false(csfle__time_http(BYTES("Sun, 06 Xxx 1994 08:49:37 GMT"), &ms));
}

TEST(the_words_of_a_vendor_are_found_in_every_shape)
{
  const struct { const char *body, *code, *message; } cases[] = {
    { "{\"error\":{\"code\":\"Forbidden\",\"message\":\"no\"}}", "Forbidden", "no" }, { "{\"error\":\"invalid_client\",\"error_description\":\"bad secret\"}", "invalid_client", "bad secret" },
    { "{\"errors\":[\"permission denied\"]}", "", "permission denied" }, { "{\"error\":{\"code\":403,\"message\":\"m\",\"status\":\"PERMISSION_DENIED\"}}", "PERMISSION_DENIED", "m" },
    { "{\"Code\":\"Throttling.User\",\"Message\":\"slow\"}", "Throttling.User", "slow" }, { "<Error><Code>A</Code><Message> b\nc </Message></Error>", "A", "b" },
    { "{\"errors\":[\"1 error occurred:\\n\\t* permission denied\\n\\n\"]}", "", "permission denied" }, { "{\"errors\":[\"2 errors occurred:\\n\\t* a\\n\\t* b\"]}", "", "a" },
    { "{\"errors\":[\"occurred:\\n\"]}", "", "" }, { "{\"errors\":[\"\\nx\"]}", "", "" }, { "{\"errors\":[]}", "", "" }, { "{\"errors\":[7]}", "", "" },
    { "", "", "" }, { "[1]", "", "" }, { "{", "", "" }, { "<Code>", "", "" }, { "<", "", "" }, { "{\"message\":\"a\\u0007b\"}", "", "a b" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle__io io;
    csfle__io_init(&io);
    assert_ok(csfle__buf_puts(&io.reply.body, cases[i].body, err));
    csfle__http_words w = csfle__http_vendor(&io.reply);
    assert_string_equal(w.code, cases[i].code);
    assert_string_equal(w.message, cases[i].message);
    csfle__io_free(&io);
  }
}

TEST(headers_take_no_control_characters)
{
  csfle__io   io;
  csfle_error err = CSFLE_ERROR_INIT;
  csfle__io_init(&io);
  assert_int_equal(csfle__http_header(&io, "X", BYTES("a\r\nY: b"), &err), CSFLE_E_CONFIG);
  assert_int_equal(io.request.headers.len, 0);
  csfle__io_free(&io);
}
