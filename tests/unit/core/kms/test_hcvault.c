/* core/kms/hcvault.c against scripted answers and the recorded requests of other clients. */
#include "tests/unit/core/kms/scripted.h"

#define KEY      "https://vault.bank:8200/transit/keys/cards"
#define ENCRYPT  "https://vault.bank:8200/v1/transit/encrypt/cards"
#define DECRYPT  "https://vault.bank:8200/v1/transit/decrypt/cards"
#define LOGIN    "https://vault.bank:8200/v1/auth/approle/login"
#define WRAPPED  "{\"data\":{\"ciphertext\":\"vault:v1:QUJD\",\"key_version\":1}}"
#define PLAIN    "{\"data\":{\"plaintext\":\"bWF0ZXJpYWw=\"}}"
#define LOGGED(token, lease) "{\"auth\":{\"client_token\":\"" token "\",\"lease_duration\":" lease "}}"
#define HIDDEN   "s.tokenThatIsHidden"

static const pair allow[] = { { CSFLE__HOSTS_PROPERTY, "vault.bank:8200" }, { NULL, NULL } };
static const pair token_props[] = { { "token.id", HIDDEN }, { NULL, NULL } };
static const pair role_env[] = { { "VAULT_APPROLE_ROLE_ID", "role-1" }, { "VAULT_APPROLE_SECRET_ID", "se\"cret" }, { "VAULT_TOKEN", "unused" }, { "VAULT_NAMESPACE", "ns1/team" }, { NULL, NULL } };

static world with_token(const line *script) { return (world){ .script = script, .props = token_props, .own = allow, .now_ms = 1700000000000 }; }
static world with_role(const line *script) { return (world){ .script = script, .env = role_env, .own = allow, .now_ms = 1700000000000 }; }

/* ENC-97 */
TEST(a_token_wraps_and_unwraps_and_what_is_stored_is_vaults_text)
{
  static const line script[] = {
    { "POST", ENCRYPT, "X-Vault-Token: " HIDDEN "\r\nX-Vault-Request: true\r\nContent-Type: application/json\r\n", "{\"plaintext\":\"bWF0ZXJpYWw=\"}", 200, NULL, WRAPPED },
    { "POST", DECRYPT, "X-Vault-Token: " HIDDEN "\r\n", "{\"ciphertext\":\"vault:v1:QUJD\"}", 200, NULL, PLAIN },
    { 0 },
  };
  world         w = with_token(script);
  csfle__secret out = CSFLE__SECRET_INIT;
  assert_int_equal(world_once(&w, "hcvault", KEY, false, BYTES("material"), &out), CSFLE_OK);
  assert_bytes_equal(csfle__secret_view(&out), BYTES("vault:v1:QUJD"));
  assert_int_equal(world_once(&w, "hcvault", "vault.bank:8200/transit/keys/cards", true, BYTES("vault:v1:QUJD"), &out), CSFLE_OK);
  assert_bytes_equal(csfle__secret_view(&out), BYTES("material"));
  assert_int_equal(w.addresses, CSFLE__ADDRESS_OTHER);
  csfle__secret_wipe(&out);
  world_done(&w);
}

/* ENC-95 */
TEST(the_whole_mount_path_is_used_and_other_key_ids_are_refused)
{
  static const struct { const char *key, *url; } cases[] = {
    { "https://vault.bank:8200/team/a/kms/keys/k-1.x/", "https://vault.bank:8200/v1/team/a/kms/encrypt/k-1.x" },
    { "https://vault.bank:8200/keys/keys/keys", "https://vault.bank:8200/v1/keys/encrypt/keys" },
    { "https://vault.bank:8200/keys/cards", NULL }, { "https://vault.bank:8200/transit/cards", NULL }, { "https://vault.bank:8200/", NULL },
    { "https://vault.bank:8200/transit/keys/../keys/x", NULL }, { "https://vault.bank:8200/transit/keys/a%2fb", NULL }, { "https://vault.bank:8200/transit/keys/a?x=1", NULL },
    { "https://vault.bank:8200//keys/cards", NULL }, { "https://me@vault.bank:8200/transit/keys/cards", NULL }, { "ftp://vault.bank/transit/keys/cards", NULL },
    { "", NULL }, { "https://vault.bank:8200/transit/keys/a#b", NULL }, { "https://vault.bank:8200/transit/keys/a b", NULL },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    line          script[] = { { "POST", cases[i].url, NULL, NULL, 200, NULL, WRAPPED }, { 0 } };
    world         w = with_token(script);
    csfle_status  rc = world_once(&w, "hcvault", cases[i].key, false, BYTES("m"), NULL);
    if (rc != (cases[i].url ? CSFLE_OK : CSFLE_E_CONFIG)) fail_msg("%s: %d %s", cases[i].key, rc, w.err.msg);
    if (rc) assert_non_null(strstr(w.err.msg, "invalid key URI: hcvault://"));
  }
}

/* ENC-95, ENC-96 */
TEST(an_approle_logs_in_once_with_its_namespace_and_again_before_the_lease_ends)
{
  static const line script[] = {
    { "POST", LOGIN, "X-Vault-Namespace: ns1/team\r\nX-Vault-Request: true\r\n", "{\"role_id\":\"role-1\",\"secret_id\":\"se\\\"cret\"}", 200, NULL, LOGGED("t1", "3600") },
    { "POST", ENCRYPT, "X-Vault-Namespace: ns1/team\r\nX-Vault-Token: t1\r\n", NULL, 200, NULL, WRAPPED },
    { "POST", DECRYPT, "X-Vault-Namespace: ns1/team\r\nX-Vault-Token: t1\r\n", NULL, 200, NULL, PLAIN },
    { "POST", LOGIN, NULL, NULL, 200, NULL, LOGGED("t2", "3") },
    { "POST", DECRYPT, "X-Vault-Token: t2\r\n", NULL, 200, NULL, PLAIN },
    { "POST", LOGIN, NULL, NULL, 200, NULL, LOGGED("t3", "0") },
    { "POST", DECRYPT, "X-Vault-Token: t3\r\n", NULL, 200, NULL, PLAIN },
    { "POST", DECRYPT, "X-Vault-Token: t3\r\n", NULL, 200, NULL, PLAIN },
    { 0 },
  };
  world       w = with_role(script);
  csfle__kms *k;
  assert_int_equal(world_open(&w, &k, "hcvault", KEY), CSFLE_OK);
  assert_int_equal(world_call(&w, k, false, BYTES("m"), NULL), CSFLE_OK);
  w.now_ms += (3600 - 61) * 1000;
  assert_int_equal(world_call(&w, k, true, BYTES("vault:v1:QUJD"), NULL), CSFLE_OK);
  w.now_ms += 1000;
  assert_int_equal(world_call(&w, k, true, BYTES("vault:v1:QUJD"), NULL), CSFLE_OK);
  w.now_ms += 1500;
  assert_int_equal(world_call(&w, k, true, BYTES("vault:v1:QUJD"), NULL), CSFLE_OK);
  w.now_ms += 1000LL * 86400 * 365;
  assert_int_equal(world_call(&w, k, true, BYTES("vault:v1:QUJD"), NULL), CSFLE_OK);
  csfle__kms_close(k);
  world_done(&w);
}

TEST(an_approle_logs_in_where_its_method_is_mounted)
{
  static const struct { const char *mount, *url; } cases[] = {
    { "corp/ar", "https://vault.bank:8200/v1/auth/corp/ar/login" }, { "approle-2", "https://vault.bank:8200/v1/auth/approle-2/login" }, { "", LOGIN },
    { "/corp", NULL }, { "corp/", NULL }, { "..", NULL }, { "corp/../approle", NULL }, { "a?b", NULL }, { "a%2fb", NULL }, { "a\r\nX: y", NULL }, { "a b", NULL },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    for (int from_env = 0; from_env < 2; from_env++) {
      const pair mount[] = { { from_env ? "VAULT_APPROLE_MOUNT" : "approle.mount", cases[i].mount }, { "VAULT_APPROLE_ROLE_ID", "r" }, { "VAULT_APPROLE_SECRET_ID", HIDDEN }, { NULL, NULL } };
      line       script[] = { { "POST", cases[i].url, NULL, NULL, 200, NULL, LOGGED("t1", "60") }, { "POST", ENCRYPT, "X-Vault-Token: t1\r\n", NULL, 200, NULL, WRAPPED }, { 0 } };
      world      w = { .script = script, .env = from_env ? mount : role_env, .props = mount, .own = allow, .now_ms = 1 };
      csfle_status rc = world_once(&w, "hcvault", KEY, false, BYTES("m"), NULL);
      if (rc != (cases[i].url ? CSFLE_OK : CSFLE_E_CONFIG)) fail_msg("%s: %d %s", cases[i].mount, rc, w.err.msg);
      if (rc) assert_non_null(strstr(w.err.msg, "approle.mount"));
      assert_int_equal(w.at, rc ? 0 : 2);
    }
  }
}

/* ENC-96 */
TEST(a_403_under_an_old_login_logs_in_again_once)
{
  static const line script[] = {
    { "POST", LOGIN, NULL, NULL, 200, NULL, LOGGED("t1", "3600") }, { "POST", ENCRYPT, "X-Vault-Token: t1\r\n", NULL, 200, NULL, WRAPPED },
    { "POST", ENCRYPT, "X-Vault-Token: t1\r\n", NULL, 403, NULL, "{\"errors\":[\"permission denied\"]}" },
    { "POST", LOGIN, NULL, NULL, 200, NULL, LOGGED("t2", "3600") }, { "POST", ENCRYPT, "X-Vault-Token: t2\r\n", NULL, 200, NULL, WRAPPED },
    { "POST", ENCRYPT, "X-Vault-Token: t2\r\n", NULL, 403, NULL, "{\"errors\":[\"permission denied\"]}" },
    { "POST", LOGIN, NULL, NULL, 200, NULL, LOGGED("t3", "3600") },
    { "POST", ENCRYPT, "X-Vault-Token: t3\r\n", NULL, 403, NULL, "{\"errors\":[\"1 error occurred:\\n\\t* permission denied\\n\\n\"]}" },
    { 0 },
  };
  world       w = with_role(script);
  csfle__kms *k;
  assert_int_equal(world_open(&w, &k, "hcvault", KEY), CSFLE_OK);
  assert_int_equal(world_call(&w, k, false, BYTES("m"), NULL), CSFLE_OK);
  assert_int_equal(world_call(&w, k, false, BYTES("m"), NULL), CSFLE_OK);
  assert_int_equal(world_call(&w, k, false, BYTES("m"), NULL), CSFLE_E_FORBIDDEN);
  assert_int_equal(w.err.http, 403);
  assert_int_equal(w.waits, 0);
  csfle__kms_close(k);
  world_done(&w);
}

/* ENC-99 */
TEST(each_answer_has_its_verdict_and_only_transient_ones_are_tried_three_times)
{
  static const struct { int status; const char *body; csfle_status rc; unsigned tries; const char *says; } cases[] = {
    { 400, "{\"errors\":[\"cipher: message authentication failed\"]}", CSFLE_E_DECRYPT, 1, "hcvault key '" KEY "': decrypt: HTTP 400: cipher: message authentication failed" },
    { 400, "{\"errors\":[\"encryption key not found\"]}", CSFLE_E_KEY_GONE, 1, "encryption key not found" },
    { 400, "{\"errors\":[\"ciphertext or signature version is disallowed by policy (too old)\"]}", CSFLE_E_KEY_GONE, 1, "too old" },
    { 400, "{\"errors\":[\"missing 'context' for key derivation; the key was created using a derived key\"]}", CSFLE_E_CONFIG, 1, "derived=true cannot be used" },
    { 403, "{\"errors\":[\"permission denied\"]}", CSFLE_E_FORBIDDEN, 1, "HTTP 403: permission denied" },
    { 404, "{\"errors\":[\"no handler for route\"]}", CSFLE_E_KEY_GONE, 1, "HTTP 404: no handler for route" },
    { 404, "", CSFLE_E_KEY_GONE, 1, "HTTP 404" }, { 301, "<html>", CSFLE_E_CONFIG, 1, "HTTP 301" },
    { 307, "", CSFLE_E_UNAVAILABLE, 3, "HTTP 307: this node is not the active one" },
    { 412, "{\"errors\":[\"required index state not present\"]}", CSFLE_E_UNAVAILABLE, 3, "HTTP 412" },
    { 429, "{\"errors\":[\"request path limited\"]}", CSFLE_E_THROTTLED, 3, "HTTP 429: request path limited" },
    { 500, "{\"errors\":[\"internal error\"]}", CSFLE_E_UNAVAILABLE, 3, "HTTP 500" }, { 502, "bad gateway", CSFLE_E_UNAVAILABLE, 3, "HTTP 502" },
    { 503, "{\"errors\":[\"Vault is sealed\"]}", CSFLE_E_UNAVAILABLE, 3, "HTTP 503: Vault is sealed" }, { 504, "", CSFLE_E_UNAVAILABLE, 3, "HTTP 504" },
    { 0, "connection refused", CSFLE_E_UNAVAILABLE, 3, "connection refused" }, { 0, CSFLE__REFUSED_ADDRESS, CSFLE_E_POLICY, 1, CSFLE__HOSTS_PROPERTY },
    { 200, "", CSFLE_E_UNAVAILABLE, 1, "no data.plaintext" }, { 200, "{\"data\":[]}", CSFLE_E_UNAVAILABLE, 1, "no data.plaintext" },
    { 200, "{\"data\":{\"plaintext\":\"b?\"}}", CSFLE_E_UNAVAILABLE, 1, "in base64" }, { 200, "{\"data\":{\"plaintext\":\"\"}}", CSFLE_E_UNAVAILABLE, 1, "in base64" },
  };
  size_t i;
  for (i = 0; i < sizeof cases / sizeof *cases; i++) {
    line one = { "POST", DECRYPT, NULL, NULL, cases[i].status, NULL, cases[i].body }, script[] = { one, one, one, { 0 } };
    world        w = with_token(script);
    csfle_status rc = world_once(&w, "hcvault", KEY, true, BYTES("vault:v1:QUJD"), NULL);
    if (rc != cases[i].rc || w.at != cases[i].tries || !strstr(w.err.msg, cases[i].says)) fail_msg("case %zu: %d after %zu: %s", i, rc, w.at, w.err.msg);
    assert_null(strstr(w.err.msg, HIDDEN));
    assert_int_equal(w.waits, cases[i].tries - 1);
  }
  printf("# verdicts: %zu\n", i);
  assert_int_equal(i, 21);
}

TEST(a_wrong_secret_id_is_refused_credentials_whatever_status_vault_gives_it)
{
  static const struct { int status; const char *body; csfle_status rc; unsigned tries; } cases[] = {
    { 400, "{\"errors\":[\"invalid secret id\"]}", CSFLE_E_UNAUTHENTICATED, 1 }, { 500, "{\"errors\":[\"invalid secret id\"]}", CSFLE_E_UNAUTHENTICATED, 1 },
    { 400, "{\"errors\":[\"invalid role or secret ID\"]}", CSFLE_E_UNAUTHENTICATED, 1 }, { 403, "{\"errors\":[\"permission denied\"]}", CSFLE_E_UNAUTHENTICATED, 1 },
    { 404, "{\"errors\":[\"no handler for route\"]}", CSFLE_E_UNAUTHENTICATED, 1 }, { 200, LOGGED("a\\r\\nX: y", "60"), CSFLE_E_UNAVAILABLE, 1 },
    { 500, "{\"errors\":[\"storage\"]}", CSFLE_E_UNAVAILABLE, 3 }, { 200, "{\"auth\":null}", CSFLE_E_UNAVAILABLE, 1 }, { 200, "<html>", CSFLE_E_UNAVAILABLE, 1 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    line one = { "POST", LOGIN, NULL, NULL, cases[i].status, NULL, cases[i].body }, script[] = { one, one, one, { 0 } };
    world        w = with_role(script);
    csfle_status rc = world_once(&w, "hcvault", KEY, false, BYTES("m"), NULL);
    if (rc != cases[i].rc || w.at != cases[i].tries) fail_msg("case %zu: %d after %zu: %s", i, rc, w.at, w.err.msg);
    assert_non_null(strstr(w.err.msg, "AppRole login"));
    assert_null(strstr(w.err.msg, "cret\""));
  }
}

/* AB-8 */
TEST(no_host_is_called_that_the_operator_has_not_listed)
{
  static const char *const lists[] = { NULL, "other.bank:8200", "vault.bank", "http://vault.bank:8200", "*.vault.bank:8200" };
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
    pair         own[] = { { CSFLE__HOSTS_PROPERTY, lists[i] }, { NULL, NULL } };
    world        w = { .props = token_props, .own = own, .now_ms = 1 };
    assert_int_equal(world_once(&w, "hcvault", KEY, false, BYTES("m"), NULL), CSFLE_E_POLICY);
    assert_non_null(strstr(w.err.msg, "vault.bank:8200"));
    assert_non_null(strstr(w.err.msg, "hcvault key '" KEY "': encrypt"));
    w.props = NULL, w.env = role_env; /* nor for a login */
    assert_int_equal(world_once(&w, "hcvault", KEY, false, BYTES("m"), NULL), CSFLE_E_POLICY);
    assert_non_null(strstr(w.err.msg, "hcvault key '" KEY "': AppRole login"));
  }
  /* the list is the operator's alone */
  const pair    both[] = { { "token.id", HIDDEN }, { CSFLE__HOSTS_PROPERTY, "vault.bank:8200" }, { NULL, NULL } };
  world         w = { .props = both, .now_ms = 1 };
  assert_int_equal(world_once(&w, "hcvault", KEY, false, BYTES("m"), NULL), CSFLE_E_POLICY);
}

/* ENC-100 */
TEST(certificates_of_the_operators_go_with_every_request_and_empty_ones_change_nothing)
{
  static const line script[] = { { "POST", "https://vault.bank:8200/v1/auth/approle/login", NULL, NULL, 200, NULL, "{\"auth\":{\"client_token\":\"t\"}}" },
                                 { "POST", ENCRYPT, NULL, NULL, 200, NULL, WRAPPED }, { 0 } };
  const struct { const char *own_ca, *own_cert, *own_key, *env_ca, *env_cert, *env_key, *ca, *cert, *key; csfle_status st; } cases[] = {
    { "", "", "", "", "", "", "", "", "", CSFLE_OK },
    { "/ca.pem", "/c.pem", "/k.pem", "", "", "", "/ca.pem", "/c.pem", "/k.pem", CSFLE_OK },
    { "", "", "", "/ca.pem", "/c.pem", "/k.pem", "/ca.pem", "/c.pem", "/k.pem", CSFLE_OK },
    { "/own.pem", "", "", "/ca.pem", "/c.pem", "", "/own.pem", "/c.pem", "", CSFLE_OK },
    { "", "", "/k.pem", "", "", "", "", "", "", CSFLE_E_CONFIG },
    { "", "", "", "", "", "/k.pem", "", "", "", CSFLE_E_CONFIG },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (size_t at = 1; at <= 2; at++) { /* the login alone, and the call after it */
      pair  own_all[] = { { CSFLE__HOSTS_PROPERTY, "vault.bank:8200" }, { "ssl.ca.location", cases[i].own_ca }, { "ssl.certificate.location", cases[i].own_cert },
                          { "ssl.key.location", cases[i].own_key }, { "approle.role.id", "r" }, { "approle.secret.id", HIDDEN }, { NULL, NULL } };
      pair  env[] = { { "VAULT_CACERT", cases[i].env_ca }, { "VAULT_CLIENT_CERT", cases[i].env_cert }, { "VAULT_CLIENT_KEY", cases[i].env_key }, { NULL, NULL } };
      line  failing[] = { script[0], { 0 } };
      failing[0].status = 400;
      world w = { .props = own_all, .own = own_all, .env = env, .script = at == 1 ? failing : script, .now_ms = 1 };
      assert_int_equal(world_once(&w, "hcvault", KEY, false, BYTES("m"), NULL), cases[i].st != CSFLE_OK ? cases[i].st : at == 1 ? CSFLE_E_UNAUTHENTICATED : CSFLE_OK);
      assert_string_equal(w.ca, cases[i].ca);
      assert_string_equal(w.cert, cases[i].cert);
      assert_string_equal(w.key, cases[i].key);
    }
}

TEST(files_of_this_machine_are_not_named_by_a_kek_and_javas_stores_by_nobody) /* AB-8 */
{
  static const char *const names[] = { "ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.keystore.location", "ssl.keystore.password", "ssl.truststore.location" };
  static const line        script[] = { { "POST", ENCRYPT, NULL, NULL, 200, NULL, WRAPPED }, { 0 } };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    pair  props[] = { { "token.id", HIDDEN }, { names[i], "/x.pem" }, { NULL, NULL } };
    world w = { .props = props, .own = allow, .script = script, .now_ms = 1 };
    assert_int_equal(world_once(&w, "hcvault", KEY, false, BYTES("m"), NULL), CSFLE_E_CONFIG);
    assert_non_null(strstr(w.err.msg, names[i]));
    props[1].value = "";
    assert_int_equal(world_once(&w, "hcvault", KEY, false, BYTES("m"), NULL), CSFLE_OK);
  }
  pair  env[] = { { "VAULT_SSL_TRUSTSTORE_LOCATION", "/x.jks" }, { NULL, NULL } };
  world w = { .props = token_props, .env = env, .own = allow, .now_ms = 1 };
  assert_int_equal(world_once(&w, "hcvault", KEY, false, BYTES("m"), NULL), CSFLE_E_CONFIG);
  assert_non_null(strstr(w.err.msg, "VAULT_SSL_TRUSTSTORE_LOCATION"));
}

TEST(missing_credentials_and_foreign_bytes_are_refused_before_anything_is_sent)
{
  static const pair half[] = { { "approle.role.id", "role-1" }, { NULL, NULL } }, bad[] = { { "token.id", "a\r\nX: y" }, { NULL, NULL } };
  world             w = { .own = allow, .now_ms = 1 };
  assert_int_equal(world_once(&w, "hcvault", KEY, false, BYTES("m"), NULL), CSFLE_E_CONFIG);
  w.props = half;
  assert_int_equal(world_once(&w, "hcvault", KEY, false, BYTES("m"), NULL), CSFLE_E_CONFIG);
  assert_non_null(strstr(w.err.msg, "no credentials"));
  w.props = bad;
  assert_int_equal(world_once(&w, "hcvault", KEY, false, BYTES("m"), NULL), CSFLE_E_CONFIG);
  w.props = token_props;
  assert_int_equal(world_once(&w, "hcvault", KEY, true, BYTES("azure:v1:x"), NULL), CSFLE_E_DECRYPT);
  assert_int_equal(world_once(&w, "hcvault", KEY, true, BYTES("vault:v1:\"}"), NULL), CSFLE_E_DECRYPT);
  assert_int_equal(world_once(&w, "hcvault", KEY, true, BYTES(""), NULL), CSFLE_E_DECRYPT);
  line  script[] = { { "POST", ENCRYPT, NULL, NULL, 200, NULL, "{\"data\":{\"ciphertext\":\"plain:v1:x\"}}" }, { 0 } };
  world v = with_token(script);
  assert_int_equal(world_once(&v, "hcvault", KEY, false, BYTES("m"), NULL), CSFLE_E_UNAVAILABLE);
}

/* the recorded member "name" is one client's own */
static const char *without_name(const char *body, char *out)
{
  static const char name[] = "\"name\":\"my-key\",";
  const char       *at = strstr(body, name);
  if (!at) return body;
  sprintf(out, "%.*s%s", (int)(at - body), body, at + sizeof name - 1);
  return out;
}

/* http-10, http-11, http-12 */
TEST(recorded_conversations_of_another_client_are_repeated)
{
  static const pair list[] = { { CSFLE__HOSTS_PROPERTY, "vault.example.com:8200,http://vault.example.com:8201" }, { NULL, NULL } };
  static const struct { const char *id, *key; pair props[4]; } cases[] = {
    { "http-10", "https://vault.example.com:8200/transit/keys/my-key", { { "token.id", "s.tokenExample" } } },
    { "http-11", "http://vault.example.com:8201/transit/keys/my-key", { { "token.id", "s.tokenExample" }, { "namespace", "ns1/team" } } },
    { "http-12", "https://vault.example.com:8200/transit/keys/my-key", { { "approle.role.id", "role-1" }, { "approle.secret.id", "secret-1" } } },
  };
  yyjson_doc *doc = csfle_test_vectors("encryption.json");
  yyjson_val *list_of = csfle__json_member(yyjson_doc_get_root(doc), "kms_http"), *e, *x;
  size_t      i, n, j, m, ran = 0;
  yyjson_arr_foreach(list_of, i, n, e)
  {
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
      if (strcmp(csfle_test_text(e, "id"), cases[c].id) != 0) continue;
      static char   body[8][512], heads[8][256];
      line          script[8] = { { 0 } };
      csfle__secret wrapped = CSFLE__SECRET_INIT, got = CSFLE__SECRET_INIT;
      csfle__kms   *k;
      yyjson_arr_foreach(csfle__json_member(e, "http"), j, m, x)
      {
        yyjson_val *q = csfle__json_member(x, "request"), *r = csfle__json_member(x, "response"), *h = csfle__json_member(q, "headers");
        const char *token = csfle_test_text(h, "x-vault-token"), *ns = csfle_test_text(h, "x-vault-namespace");
        snprintf(heads[j], sizeof heads[j], "%s%s%s%s%s%s", *token ? "X-Vault-Token: " : "", token, *token ? "\r\n" : "", *ns ? "X-Vault-Namespace: " : "", ns, *ns ? "\r\n" : "");
        script[j] = (line){ csfle_test_text(q, "method"), csfle_test_text(q, "url"), heads[j], without_name(csfle_test_text(q, "body"), body[j]), 200, NULL, csfle_test_text(r, "body") };
      }
      world w = { .script = script, .props = cases[c].props, .own = list, .now_ms = 1700000000000 };
      assert_int_equal(world_open(&w, &k, "hcvault", cases[c].key), CSFLE_OK);
      uint8_t      material[34];
      csfle__bytes plain = csfle_test_unhex(BYTES("1a20000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"), material, sizeof material);
      assert_int_equal(world_call(&w, k, false, plain, &wrapped), CSFLE_OK);
      assert_int_equal(wrapped.len, 57);
      assert_int_equal(world_call(&w, k, true, csfle__secret_view(&wrapped), &got), CSFLE_OK);
      assert_bytes_equal(csfle__secret_view(&got), plain);
      world_done(&w);
      csfle__secret_wipe(&wrapped), csfle__secret_wipe(&got);
      csfle__kms_close(k);
      ran++;
    }
  }
  printf("# kms_http of Vault: %zu entries\n", ran);
  assert_int_equal(ran, 3);
  yyjson_doc_free(doc);
}

static csfle_status stormy(void)
{
  static const line script[] = {
    { "POST", LOGIN, NULL, NULL, 500, NULL, "{\"errors\":[\"x\"]}" }, { "POST", LOGIN, NULL, NULL, 200, NULL, LOGGED("t1", "3600") },
    { "POST", ENCRYPT, NULL, NULL, 429, "Retry-After: 1\r\n", "" },   { "POST", ENCRYPT, NULL, NULL, 200, NULL, WRAPPED }, { "POST", DECRYPT, NULL, NULL, 403, NULL, "{\"errors\":[\"permission denied\"]}" },
    { "POST", LOGIN, NULL, NULL, 200, NULL, LOGGED("t2", "3600") },   { "POST", DECRYPT, NULL, NULL, 200, NULL, PLAIN },   { 0 },
  };
  world         w = with_role(script);
  csfle__kms   *k;
  csfle__secret out = CSFLE__SECRET_INIT;
  csfle_status  rc = world_open(&w, &k, "hcvault", KEY);
  if (rc == CSFLE_OK) rc = world_call(&w, k, false, BYTES("material"), &out);
  if (rc == CSFLE_OK) rc = world_call(&w, k, true, csfle__secret_view(&out), &out);
  csfle__secret_wipe(&out);
  csfle__kms_close(k);
  return rc;
}
TEST(every_failed_allocation_is_survived_and_every_secret_wiped)
{
  TORTURE(stormy());
}
