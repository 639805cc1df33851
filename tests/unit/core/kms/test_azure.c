/* core/kms/azure.c against scripted answers, the wrapped keys of the vectors and the recorded requests of other clients. */
#include "core/base/base64.h"
#include "core/crypt/sign.h"
#include "core/kms/azure.h"
#include "tests/support/certificate.h"
#include "tests/unit/core/kms/scripted.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#define V        "0123456789abcdef0123456789abcdef"
#define V2       "fedcba9876543210fedcba9876543210"
#define KEY      "https://kv-crm.vault.azure.net/keys/crm"
#define PINNED   KEY "/" V
#define GET      KEY "?api-version=7.4"
#define ENCRYPT  PINNED "/encrypt?api-version=7.4"
#define DECRYPT  PINNED "/decrypt?api-version=7.4"
#define TOKEN    "https://login.microsoftonline.com/t-1/oauth2/v2.0/token"
#define OAUTH(token) "{\"token_type\":\"Bearer\",\"expires_in\":3599,\"access_token\":\"" token "\"}"
#define VALUE(v) "{\"kid\":\"" PINNED "\",\"value\":\"" v "\"}"
#define KEY_IS(v) "{\"key\":{\"kid\":\"" KEY "/" v "\",\"kty\":\"RSA\"}}"
#define MSI_PATH "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net"
#define MSI      "http://169.254.169.254" MSI_PATH
#define START    1700000000000

static const pair secret_props[] = { { "tenant.id", "t-1" }, { "client.id", "c-1" }, { "client.secret", "hid/den" }, { NULL, NULL } };
static const line token_line = { "POST", TOKEN, "Content-Type: application/x-www-form-urlencoded\r\n",
  "client_id=c-1&client_secret=hid%2Fden&scope=https%3A%2F%2Fvault.azure.net%2F.default&grant_type=client_credentials", 200, NULL, OAUTH("A1") };
static world with_secret(const line *script) { return (world){ .script = script, .props = secret_props, .now_ms = START }; }

/* ENC-88, ENC-89 */
TEST(a_client_secret_gets_a_token_that_is_kept_until_five_minutes_before_its_end)
{
  const line script[] = {
    token_line,
    { "POST", ENCRYPT, "Authorization: Bearer A1\r\nContent-Type: application/json\r\n", "{\"alg\":\"RSA-OAEP-256\",\"value\":\"-_8\"}", 200, NULL, VALUE("_-8A") },
    { "POST", DECRYPT, "Authorization: Bearer A1\r\n", "{\"alg\":\"RSA-OAEP-256\",\"value\":\"_-8A\"}", 200, NULL, VALUE("-_8") },
    { "POST", TOKEN, NULL, NULL, 200, NULL, OAUTH("A2") }, { "POST", DECRYPT, "Authorization: Bearer A2\r\n", NULL, 200, NULL, VALUE("-_8") }, { 0 },
  };
  world         w = with_secret(script);
  csfle__kms   *k;
  csfle__secret out = CSFLE__SECRET_INIT;
  assert_int_equal(world_open(&w, &k, "azure-kms", PINNED), CSFLE_OK);
  assert_int_equal(world_call(&w, k, false, BYTES("\xfb\xff"), &out), CSFLE_OK);
  assert_bytes_equal(csfle__secret_view(&out), BYTES("\xff\xef\x00"));
  w.now_ms += (3599 - 301) * 1000;
  assert_int_equal(world_call(&w, k, true, csfle__secret_view(&out), &out), CSFLE_OK);
  assert_bytes_equal(csfle__secret_view(&out), BYTES("\xfb\xff"));
  w.now_ms += 2000;
  assert_int_equal(world_call(&w, k, true, BYTES("\xff\xef\x00"), NULL), CSFLE_OK);
  csfle__secret_wipe(&out);
  csfle__kms_close(k);
  world_done(&w);
}

/* ENC-91 */
TEST(a_key_id_without_a_version_is_resolved_first_and_the_version_saved_on_request)
{
  const pair    save[] = { secret_props[0], secret_props[1], secret_props[2], { "encrypt.azure.key.version.save", "TRUE" }, { NULL, NULL } };
  const line    script[] = { token_line, { "GET", GET, "Authorization: Bearer A1\r\n", NULL, 200, NULL, KEY_IS(V) }, { "POST", ENCRYPT, NULL, NULL, 200, NULL, VALUE("QUJD") },
                             { "POST", KEY "/" V "/decrypt?api-version=7.4", NULL, "{\"alg\":\"RSA-OAEP-256\",\"value\":\"QUJD\"}", 200, NULL, VALUE("eA") },
                             { "GET", GET, NULL, NULL, 200, NULL, KEY_IS(V2) }, { "POST", KEY "/" V2 "/decrypt?api-version=7.4", NULL, NULL, 200, NULL, VALUE("eA") }, { 0 } };
  const line    plain[] = { token_line, { "GET", GET, NULL, NULL, 200, NULL, KEY_IS(V) }, { "POST", ENCRYPT, NULL, NULL, 200, NULL, VALUE("QUJD") }, { 0 } };
  world         w = { .script = script, .props = save, .now_ms = START }, v = with_secret(plain);
  csfle__kms   *k;
  csfle__secret out = CSFLE__SECRET_INIT;
  assert_int_equal(world_open(&w, &k, "azure-kms", KEY), CSFLE_OK);
  assert_int_equal(world_call(&w, k, false, BYTES("m"), &out), CSFLE_OK);
  assert_bytes_equal(csfle__secret_view(&out), BYTES("azure:v1:" V ":ABC"));
  assert_int_equal(world_call(&w, k, true, csfle__secret_view(&out), NULL), CSFLE_OK);
  assert_int_equal(world_call(&w, k, true, BYTES("ABC"), NULL), CSFLE_OK);
  csfle__kms_close(k);
  world_done(&w);
  assert_int_equal(world_once(&v, "azure-kms", KEY, false, BYTES("m"), &out), CSFLE_OK);
  assert_bytes_equal(csfle__secret_view(&out), BYTES("ABC"));
  csfle__secret_wipe(&out);
  const line bad[] = { token_line, { "GET", GET, NULL, NULL, 200, NULL, KEY_IS("../../x") }, { 0 } };
  world      b = with_secret(bad);
  assert_int_equal(world_once(&b, "azure-kms", KEY, false, BYTES("m"), NULL), CSFLE_E_UNAVAILABLE);
}

/* RSA-OAEP-256 with the vectors' key: what the driver sends is the ciphertext and nothing else */
static csfle__bytes rsa_open(csfle__bytes key_base64, csfle__bytes sealed, uint8_t *out, size_t cap)
{
  static uint8_t der[4096];
  size_t         n = 0, len = cap;
  assert_true(key_base64.len < sizeof der && csfle__base64_decode(key_base64, der, &n));
  const unsigned char *p = der;
  EVP_PKEY            *key = d2i_AutoPrivateKey(NULL, &p, (long)n);
  EVP_PKEY_CTX        *ctx = EVP_PKEY_CTX_new(key, NULL);
  assert_true(EVP_PKEY_decrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
              EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 && EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1);
  assert_int_equal(EVP_PKEY_decrypt(ctx, out, &len, sealed.ptr, sealed.len), 1);
  EVP_PKEY_CTX_free(ctx);
  EVP_PKEY_free(key);
  return csfle__view(out, len);
}

static void base64url(csfle__bytes in, char *out)
{
  csfle__base64_encode(in, out);
  out[csfle__base64_len(in.len)] = 0;
  for (char *c = out; *c; c++) *c = *c == '+' ? '-' : *c == '/' ? '_' : *c == '=' ? 0 : *c;
}

/* ENC-90 */
TEST(every_wrapped_key_of_the_vectors_is_sent_as_it_must_be)
{
  yyjson_doc  *doc = csfle_test_vectors("encryption.json");
  yyjson_val  *list = csfle__json_member(yyjson_doc_get_root(doc), "azure_wrapped"), *e;
  size_t       i, n, ran = 0, opened = 0;
  csfle__bytes key = csfle__json_member_text(yyjson_arr_get_first(list), "rsa_private_key_pkcs8_der_base64");
  yyjson_arr_foreach(list, i, n, e)
  {
    uint8_t      w[512], m[128], room[512];
    char         text[800], body[900], answer[300], reply[400];
    csfle__bytes wrapped = csfle_test_unhex(csfle__str(csfle_test_text(e, "wrapped_hex")), w, sizeof w);
    csfle__bytes plain = csfle_test_unhex(csfle__str(csfle_test_text(e, "plaintext_hex")), m, sizeof m);
    bool         header = strcmp(csfle_test_text(e, "id"), "azure-2") == 0, refused = strcmp(csfle_test_text(e, "expect"), "reject") == 0;
    csfle__bytes payload = header ? csfle__from(wrapped, 42) : wrapped;
    if (plain.len) {
      assert_bytes_equal(rsa_open(key, payload, room, sizeof room), plain);
      opened++;
    }
    base64url(payload, text);
    base64url(plain.len ? plain : BYTES("x"), answer);
    snprintf(body, sizeof body, "{\"alg\":\"RSA-OAEP-256\",\"value\":\"%s\"}", text);
    snprintf(reply, sizeof reply, "{\"value\":\"%s\"}", answer);
    const line    script[] = { token_line, { "POST", header ? DECRYPT : KEY "/" V2 "/decrypt?api-version=7.4", NULL, body, 200, NULL, reply }, { 0 } };
    world         u = with_secret(script);
    csfle__secret out = CSFLE__SECRET_INIT;
    csfle_status  rc = world_once(&u, "azure-kms", KEY "/" V2, true, wrapped, &out);
    assert_int_equal(rc, refused ? CSFLE_E_DECRYPT : CSFLE_OK);
    assert_int_equal(u.at, refused ? 0 : 2);
    if (plain.len) assert_bytes_equal(csfle__secret_view(&out), plain);
    csfle__secret_wipe(&out);
    ran++;
  }
  printf("# azure_wrapped: %zu entries, %zu opened with their RSA key\n", ran, opened);
  assert_int_equal(ran, 5);
  assert_int_equal(opened, 2);
  yyjson_doc_free(doc);
}

TEST(key_ids_of_other_forms_and_foreign_hosts_are_refused)
{
  static const struct { const char *key; csfle_status rc; } cases[] = {
    { "https://kv.vault.azure.net/keys", CSFLE_E_CONFIG }, { "https://kv.vault.azure.net/keys/", CSFLE_E_CONFIG }, { "https://kv.vault.azure.net/secrets/a", CSFLE_E_CONFIG },
    { "https://kv.vault.azure.net/keys/a/" V "/x", CSFLE_E_CONFIG }, { "https://kv.vault.azure.net/keys/a/", CSFLE_E_CONFIG }, { "https://kv.vault.azure.net/keys/a/..", CSFLE_E_CONFIG },
    { "https://kv.vault.azure.net/keys/a?x", CSFLE_E_CONFIG }, { "kv.vault.azure.net/keys/a", CSFLE_E_CONFIG }, { "", CSFLE_E_CONFIG },
    { "https://evil.example/keys/a/" V, CSFLE_E_POLICY }, { "http://kv.vault.azure.net/keys/a/" V, CSFLE_E_POLICY }, { "https://vault.azure.net.evil/keys/a/" V, CSFLE_E_POLICY },
    { "https://127.0.0.1/keys/a/" V, CSFLE_E_POLICY }, { "https://kv.vault.azure.net:8443/keys/a/" V, CSFLE_E_POLICY },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    world        w = with_secret((const line[]){ { 0 } }); /* no token is asked for either */
    csfle_status rc = world_once(&w, "azure-kms", cases[i].key, false, BYTES("m"), NULL);
    if (rc != cases[i].rc) fail_msg("%s: %d %s", cases[i].key, rc, w.err.msg);
    if (rc == CSFLE_E_CONFIG) assert_non_null(strstr(w.err.msg, "Invalid Azure Key Vault key id"));
  }
}

TEST(each_source_of_credentials_asks_for_its_token_in_its_way)
{
  static const char oauth[] = OAUTH("A1"), msi[] = "{\"access_token\":\"A1\",\"expires_in\":\"86399\",\"expires_on\":\"4070908800\"}", app[] = "{\"access_token\":\"A1\",\"expires_on\":\"1700086400\"}";
  static const struct { pair env[6]; line ask; } cases[] = {
    { { { "AZURE_TENANT_ID", "t-1" }, { "AZURE_CLIENT_ID", "c-1" }, { "AZURE_CLIENT_SECRET", "s" }, { "AZURE_AUTHORITY_HOST", "login.microsoftonline.us/" } },
      { "POST", "https://login.microsoftonline.us/t-1/oauth2/v2.0/token", NULL, "client_id=c-1&client_secret=s&scope=https%3A%2F%2Fvault.azure.net%2F.default&grant_type=client_credentials", 200, NULL, oauth } },
    { { { "AZURE_TENANT_ID", "t-1" }, { "AZURE_CLIENT_ID", "c-1" }, { "AZURE_FEDERATED_TOKEN_FILE", "/var/token" } },
      { "POST", TOKEN, NULL, "client_id=c-1&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=federated.token&scope=https%3A%2F%2Fvault.azure.net%2F.default&grant_type=client_credentials", 200, NULL, oauth } },
    { { { NULL, NULL } }, { "GET", MSI, "Metadata: true\r\n", NULL, 200, NULL, msi } },
    { { { "AZURE_CLIENT_ID", "u-1" } }, { "GET", MSI "&client_id=u-1", "Metadata: true\r\n", NULL, 200, NULL, msi } },
    { { { "AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:40342/" } }, { "GET", "http://127.0.0.1:40342" MSI_PATH, "Metadata: true\r\n", NULL, 200, NULL, msi } },
    { { { "IDENTITY_ENDPOINT", "http://127.0.0.1:41741/msi/token" }, { "IDENTITY_HEADER", "h-1" } },
      { "GET", "http://127.0.0.1:41741/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fvault.azure.net", "X-IDENTITY-HEADER: h-1\r\n", NULL, 200, NULL, app } },
  };
  static const pair files[] = { { "/var/token", "federated.token\n" }, { NULL, NULL } };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const line  script[] = { cases[i].ask, { "POST", ENCRYPT, "Authorization: Bearer A1\r\n", NULL, 200, NULL, VALUE("QUJD") }, { "POST", ENCRYPT, NULL, NULL, 200, NULL, VALUE("QUJD") }, { 0 } };
    world       w = { .script = script, .env = cases[i].env, .files = files, .now_ms = START };
    csfle__kms *k;
    assert_int_equal(world_open(&w, &k, "azure-kms", PINNED), CSFLE_OK);
    assert_int_equal(world_call(&w, k, false, BYTES("m"), NULL), CSFLE_OK);
    assert_int_equal(world_call(&w, k, false, BYTES("m"), NULL), CSFLE_OK); /* with the token that is kept */
    csfle__kms_close(k);
    world_done(&w);
  }
  static const pair none[] = { { NULL, NULL } };
  for (int status = 404; status <= 410; status += 6) { /* metadata that is being updated */
    const line busy = { "GET", MSI, NULL, NULL, status, NULL, "" }, again[] = { busy, { "GET", MSI, NULL, NULL, 200, NULL, msi }, { "POST", ENCRYPT, NULL, NULL, 200, NULL, VALUE("QUJD") }, { 0 } };
    world      u = { .script = again, .env = none, .now_ms = START };
    assert_int_equal(world_once(&u, "azure-kms", PINNED, false, BYTES("m"), NULL), CSFLE_OK);
    world_done(&u);
  }
  const line        nobody[] = { { "GET", MSI, NULL, NULL, 0, NULL, "timed out" }, { 0 } };
  world             w = { .script = nobody, .now_ms = START };
  assert_int_equal(world_once(&w, "azure-kms", PINNED, false, BYTES("m"), NULL), CSFLE_E_CONFIG);
  assert_non_null(strstr(w.err.msg, "no credentials found"));
  world f = { .env = cases[1].env, .now_ms = START };
  assert_int_equal(world_once(&f, "azure-kms", PINNED, false, BYTES("m"), NULL), CSFLE_E_CONFIG);
  assert_non_null(strstr(f.err.msg, "/var/token"));
}

/* The part of a JWT up to its next dot, decoded; NUL behind it */
static csfle__bytes next_part(csfle__bytes *jwt, char *out, size_t size)
{
  const uint8_t *dot = memchr(jwt->ptr, '.', jwt->len);
  csfle__bytes   part = csfle__view(jwt->ptr, dot ? (size_t)(dot - jwt->ptr) : jwt->len);
  size_t         n = 0;
  char           text[2048];
  assert_true(part.len < sizeof text && part.len < size);
  for (size_t i = 0; i < part.len; i++) text[i] = part.ptr[i] == '-' ? '+' : part.ptr[i] == '_' ? '/' : (char)part.ptr[i];
  assert_true(csfle__base64_decode(csfle__view(text, part.len), (uint8_t *)out, &n));
  out[n] = 0;
  *jwt = csfle__from(*jwt, part.len + (dot != NULL));
  return csfle__view(out, n);
}

TEST(a_certificate_signs_an_assertion_of_its_own_for_each_token)
{
  static char  pem[16384], password_pem[16384];
  char         head[256], expected[256], claims[1024], sig[1024], thumb[60], id[40] = "", before[40] = "";
  uint8_t      sum[32];
  EVP_PKEY    *key = EVP_RSA_gen(2048);
  X509        *x = csfle_test_certificate(key);
  csfle__bytes file = csfle_test_pem(key, NULL, (X509 *[]){ x, NULL }, pem, sizeof pem), locked = csfle_test_pem(key, "pass", (X509 *[]){ x, NULL }, password_pem, sizeof password_pem);
  pem[file.len] = 0, password_pem[locked.len] = 0;
  assert_ok(csfle__certificate_sha256(file, sum, err));
  base64url(csfle__view(sum, sizeof sum), thumb);
  for (int round = 0; round < 2; round++) {
    csfle_buf b;
    csfle_buf_init(&b, 0, CSFLE_BUF_WIPE);
    assert_ok(csfle__azure_assertion(&b, file, CSFLE__NONE, BYTES("c\"1"), BYTES(TOKEN), 1700000000, err));
    csfle__bytes rest = csfle__buf_view(&b);
    snprintf(expected, sizeof expected, "{\"alg\":\"PS256\",\"typ\":\"JWT\",\"x5t#S256\":\"%s\"}", thumb);
    assert_string_equal((const char *)next_part(&rest, head, sizeof head).ptr, expected);
    csfle__bytes c = next_part(&rest, claims, sizeof claims), sealed = csfle__view(b.ptr, b.len - rest.len - 1), s = next_part(&rest, sig, sizeof sig);
    yyjson_doc  *doc = NULL;
    int64_t      n = 0;
    assert_ok(csfle__json_parse(&doc, c, err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    assert_true(csfle__eq_str(csfle__json_member_text(root, "aud"), TOKEN) && csfle__eq_str(csfle__json_member_text(root, "iss"), "c\"1") && csfle__eq_str(csfle__json_member_text(root, "sub"), "c\"1"));
    assert_true(csfle__json_i64(csfle__json_member(root, "iat"), &n) && n == 1700000000 && csfle__json_i64(csfle__json_member(root, "exp"), &n) && n == 1700000600);
    snprintf(id, sizeof id, "%.*s", CSFLE__FMT(csfle__json_member_text(root, "jti")));
    assert_int_equal(strlen(id), 22);
    assert_string_not_equal(id, before); /* the service takes each once */
    snprintf(before, sizeof before, "%s", id);
    EVP_PKEY_CTX *how;
    EVP_MD_CTX   *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(ctx, &how, EVP_sha256(), NULL, key), 1);
    assert_true(EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) == 1 && EVP_PKEY_CTX_set_rsa_pss_saltlen(how, 32) == 1);
    assert_int_equal(EVP_DigestVerify(ctx, s.ptr, s.len, sealed.ptr, sealed.len), 1);
    EVP_MD_CTX_free(ctx);
    yyjson_doc_free(doc);
    csfle_buf_free(&b);
  }
  const pair env[] = { { "AZURE_TENANT_ID", "t-1" }, { "AZURE_CLIENT_ID", "c-1" }, { "AZURE_CLIENT_CERTIFICATE_PATH", "/app.pem" }, { "AZURE_FEDERATED_TOKEN_FILE", "/other" }, { NULL, NULL } };
  const pair with[] = { env[0], env[1], env[2], { "AZURE_CLIENT_CERTIFICATE_PASSWORD", "pass" }, { NULL, NULL } };
  const pair plain_file[] = { { "/app.pem", pem }, { NULL, NULL } }, locked_file[] = { { "/app.pem", password_pem }, { NULL, NULL } };
  const line script[] = { { "POST", TOKEN, NULL, NULL, 200, NULL, OAUTH("A1") }, { "POST", ENCRYPT, "Authorization: Bearer A1\r\n", NULL, 200, NULL, VALUE("QUJD") }, { 0 } };
  const struct { const pair *env, *files; const char *says; } cases[] = {
    { env, plain_file, NULL }, { with, locked_file, NULL }, { env, locked_file, "its password is another" }, { env, NULL, "certificate file '/app.pem' cannot be read" },
    { env, (const pair[]){ { "/app.pem", "no PEM" }, { NULL, NULL } }, "there is no certificate in PEM" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    world w = { .script = cases[i].says ? NULL : script, .env = cases[i].env, .files = cases[i].files, .now_ms = START };
    assert_int_equal(world_once(&w, "azure-kms", PINNED, false, BYTES("m"), NULL), cases[i].says ? CSFLE_E_CONFIG : CSFLE_OK);
    if (cases[i].says) assert_non_null(strstr(w.err.msg, cases[i].says));
    else world_done(&w);
  }
  world again = { .script = script, .env = with, .files = locked_file, .now_ms = START };
  TORTURE((again.at = 0, world_once(&again, "azure-kms", PINNED, false, BYTES("m"), NULL)));
  X509_free(x), EVP_PKEY_free(key);
}

#define CHALLENGE(res) "WWW-Authenticate: Bearer authorization=\"https://login.microsoftonline.com/t-1\", " res "\r\n"
TEST(a_401_renews_the_token_once_and_follows_a_challenge_only_to_where_the_vault_belongs)
{
  static const struct { const char *head, *scope; csfle_status rc; } cases[] = {
    { "", "scope=https%3A%2F%2Fvault.azure.net%2F.default", CSFLE_OK }, { CHALLENGE("resource=\"https://vault.azure.net\""), "scope=https%3A%2F%2Fvault.azure.net%2F.default", CSFLE_OK },
    { CHALLENGE("resource=\"https://kv-crm.vault.azure.net/\""), "scope=https%3A%2F%2Fkv-crm.vault.azure.net%2F.default", CSFLE_OK },
    { CHALLENGE("scope=\"https://azure.net/.default\""), "scope=https%3A%2F%2Fazure.net%2F.default", CSFLE_OK },
    { CHALLENGE("resource=\"https://management.azure.com\""), NULL, CSFLE_E_POLICY }, { CHALLENGE("resource=\"https://ault.azure.net\""), NULL, CSFLE_E_POLICY },
    { CHALLENGE("resource=\"https://net\""), NULL, CSFLE_E_POLICY }, { CHALLENGE("resource=\"graph\""), NULL, CSFLE_E_POLICY },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char body[200];
    snprintf(body, sizeof body, "client_id=c-1&client_secret=hid%%2Fden&%s&grant_type=client_credentials", cases[i].scope ? cases[i].scope : "");
    const line   script[] = { token_line, { "POST", ENCRYPT, NULL, NULL, 401, cases[i].head, "{\"error\":{\"code\":\"Unauthorized\",\"message\":\"expired\"}}" },
                              { "POST", TOKEN, NULL, body, 200, NULL, OAUTH("A2") }, { "POST", ENCRYPT, "Authorization: Bearer A2\r\n", NULL, 200, NULL, VALUE("QUJD") }, { 0 } };
    world        w = with_secret(script);
    csfle_status rc = world_once(&w, "azure-kms", PINNED, false, BYTES("m"), NULL);
    if (rc != cases[i].rc || w.at != (rc ? 2u : 4u)) fail_msg("case %zu: %d %s", i, rc, w.err.msg);
  }
  const line refused = { "POST", ENCRYPT, NULL, NULL, 401, NULL, "{\"error\":{\"code\":\"Unauthorized\",\"message\":\"no\"}}" }, script[] = { token_line, refused, token_line, refused, { 0 } };
  world      w = with_secret(script);
  assert_int_equal(world_once(&w, "azure-kms", PINNED, false, BYTES("m"), NULL), CSFLE_E_UNAUTHENTICATED);
  world_done(&w);
}

/* ENC-102 */
TEST(what_the_token_service_repeats_of_a_secret_is_not_told)
{
  static const char long_secret[] = "begin~0123456789abcdefghijklmnopqrstuvwxyz/+=&%end";
  static const struct { const char *secret, *body; bool told; } cases[] = {
    { long_secret, "{\"error\":\"invalid_client\",\"error_description\":\"cannot read abcdefghijkl\"}", false },
    { long_secret, "{\"error\":\"invalid_client\",\"error_description\":\"cannot read wxyz%2F%2B%3D%26%25end\"}", false },
    { long_secret, "{\"error\":\"wxyz/+=&%end\",\"error_description\":\"cannot read\"}", false },
    { long_secret, "{\"error\":\"invalid_client\",\"error_description\":\"cannot read abcdefghijk\"}", true },
    { long_secret, "{\"error\":\"invalid_client\",\"error_description\":\"application c-1 of t-1 has no grant client_credentials\"}", true },
    { "hunter", "{\"error\":\"invalid_client\",\"error_description\":\"cannot read hunter\"}", false },
    { "hunter", "{\"error\":\"invalid_client\",\"error_description\":\"cannot read hunte\"}", true },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const pair p[] = { secret_props[0], secret_props[1], { "client.secret", cases[i].secret }, { NULL, NULL } };
    const line script[] = { { "POST", TOKEN, NULL, NULL, 400, NULL, cases[i].body }, { 0 } };
    world      w = { .script = script, .props = p, .now_ms = START };
    assert_int_equal(world_once(&w, "azure-kms", PINNED, false, BYTES("m"), NULL), CSFLE_E_UNAUTHENTICATED);
    bool told = strstr(w.err.msg, strstr(cases[i].body, "\"error\":\"wxyz") ? "wxyz" : strstr(cases[i].body, "cannot") ? "cannot" : "has no grant") != NULL;
    if (told != cases[i].told) fail_msg("case %zu: %s", i, w.err.msg);
  }
}

/* ENC-99 */
TEST(each_answer_has_its_verdict_and_only_transient_ones_are_tried_three_times)
{
  static const struct { bool login; int status; const char *body; csfle_status rc; unsigned tries; const char *says; } cases[] = {
    { false, 400, "{\"error\":{\"code\":\"BadParameter\",\"message\":\"bad length\"}}", CSFLE_E_DECRYPT, 1, "azure-kms key '" PINNED "': decrypt: HTTP 400 BadParameter: bad length" },
    { false, 403, "{\"error\":{\"code\":\"Forbidden\",\"message\":\"no permission\",\"innererror\":{\"code\":\"AccessDenied\"}}}", CSFLE_E_FORBIDDEN, 1, "HTTP 403 Forbidden" },
    { false, 403, "{\"error\":{\"code\":\"Forbidden\",\"message\":\"not on a disabled key\",\"innererror\":{\"code\":\"KeyDisabled\"}}}", CSFLE_E_KEY_GONE, 1, "HTTP 403 Forbidden: not on" },
    { true, 403, "{\"error\":{\"innererror\":{\"code\":\"KeyDisabled\"}}}", CSFLE_E_FORBIDDEN, 1, "HTTP 403" },
    { false, 404, "{\"error\":{\"code\":\"KeyNotFound\",\"message\":\"gone\"}}", CSFLE_E_KEY_GONE, 1, "KeyNotFound: gone" }, { false, 302, "", CSFLE_E_CONFIG, 1, "HTTP 302" },
    { false, 408, "", CSFLE_E_UNAVAILABLE, 3, "HTTP 408" }, { false, 429, "{\"error\":{\"code\":\"Throttled\",\"message\":\"slow\"}}", CSFLE_E_THROTTLED, 3, "Throttled: slow" },
    { false, 500, "", CSFLE_E_UNAVAILABLE, 3, "HTTP 500" }, { false, 502, "", CSFLE_E_UNAVAILABLE, 3, "HTTP 502" }, { false, 503, "", CSFLE_E_UNAVAILABLE, 3, "HTTP 503" },
    { false, 504, "", CSFLE_E_UNAVAILABLE, 3, "HTTP 504" }, { false, 0, "connection refused", CSFLE_E_UNAVAILABLE, 3, "connection refused" }, { false, 0, CSFLE__REFUSED_ADDRESS, CSFLE_E_POLICY, 1, CSFLE__HOSTS_PROPERTY },
    { false, 200, "", CSFLE_E_UNAVAILABLE, 1, "no value in base64url" }, { false, 200, "{\"value\":\"a b\"}", CSFLE_E_UNAVAILABLE, 1, "no value in base64url" }, { false, 200, "[", CSFLE_E_UNAVAILABLE, 1, "no value" },
    { true, 400, "{\"error\":\"invalid_request\",\"error_description\":\"AADSTS90002: no tenant\"}", CSFLE_E_UNAUTHENTICATED, 1, "token: HTTP 400 invalid_request: AADSTS90002: no tenant" },
    { true, 401, "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: wrong\"}", CSFLE_E_UNAUTHENTICATED, 1, "HTTP 401 invalid_client" },
    { true, 503, "", CSFLE_E_UNAVAILABLE, 3, "token: HTTP 503" }, { true, 200, "{}", CSFLE_E_UNAVAILABLE, 1, "no access_token" }, { true, 200, "<html>", CSFLE_E_UNAVAILABLE, 1, "no access_token" },
  };
  size_t i;
  for (i = 0; i < sizeof cases / sizeof *cases; i++) {
    const line   one = { "POST", cases[i].login ? TOKEN : DECRYPT, NULL, NULL, cases[i].status, NULL, cases[i].body }, after[] = { token_line, one, one, one, { 0 } };
    world        w = with_secret(after + (cases[i].login ? 1 : 0));
    csfle_status rc = world_once(&w, "azure-kms", PINNED, true, BYTES("ABC"), NULL);
    if (rc != cases[i].rc || w.at != cases[i].tries + (cases[i].login ? 0 : 1) || !strstr(w.err.msg, cases[i].says)) fail_msg("case %zu: %d after %zu: %s", i, rc, w.at, w.err.msg);
    assert_null(strstr(w.err.msg, "hid"));
  }
  printf("# verdicts: %zu\n", i);
  assert_int_equal(i, 22);
}

/* http-13 to http-17: the crypt requests and token members as recorded; those clients ask for the key and the challenge first */
TEST(recorded_requests_of_other_clients_agree)
{
  yyjson_doc *doc = csfle_test_vectors("encryption.json");
  yyjson_val *list = csfle__json_member(yyjson_doc_get_root(doc), "kms_http"), *e, *x;
  size_t      i, n, j, m, ran = 0, crypt = 0;
  static const char *const props[][2] = { { "http-13", "false" }, { "http-14", "false" }, { "http-15", "true" } };
  yyjson_arr_foreach(list, i, n, e)
  {
    const char *id = csfle_test_text(e, "id");
    yyjson_arr_foreach(csfle__json_member(e, "http"), j, m, x)
    {
      yyjson_val *q = csfle__json_member(x, "request");
      const char *url = csfle_test_text(q, "url"), *body = csfle_test_text(q, "body");
      if (strcmp(id, "http-16") == 0) assert_string_equal(url, MSI), ran++;
      if (strcmp(id, "http-17") == 0) {
        assert_non_null(strstr(body, "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"));
        assert_non_null(strstr(body, "scope=https%3A%2F%2Fvault.azure.net%2F.default&grant_type=client_credentials")), ran++;
      }
      for (size_t c = 0; c < 3; c++) {
        if (strcmp(id, props[c][0]) != 0) continue;
        bool enc = strstr(url, "/encrypt?") != NULL;
        if (!enc && !strstr(url, "/decrypt?")) continue;
        static char  key[200], path[300];
        csfle__bytes value;
        yyjson_doc  *b = NULL;
        assert_ok(csfle__json_parse(&b, csfle__str(body), err));
        value = csfle__json_member_text(yyjson_doc_get_root(b), "value");
        char         text[800];
        uint8_t      in[600];
        size_t       len;
        snprintf(text, sizeof text, "%.*s", CSFLE__FMT(value));
        for (char *p = text; *p; p++) *p = *p == '-' ? '+' : *p == '_' ? '/' : *p;
        assert_true(csfle__base64_decode(csfle__str(text), in, &len));
        snprintf(key, sizeof key, "https://myvault.vault.azure.net/keys/mykey/" V);
        snprintf(path, sizeof path, "%s/%s?api-version=7.4", key, enc ? "encrypt" : "decrypt");
        const line script[] = { token_line, { "POST", path, NULL, body, 200, NULL, csfle_test_text(csfle__json_member(x, "response"), "body") }, { 0 } };
        const pair p[] = { secret_props[0], secret_props[1], secret_props[2], { "encrypt.azure.key.version.save", props[c][1] }, { NULL, NULL } };
        world      w = { .script = script, .props = p, .now_ms = START };
        csfle__secret out = CSFLE__SECRET_INIT;
        assert_int_equal(world_once(&w, "azure-kms", key, !enc, csfle__view(in, len), &out), CSFLE_OK);
        if (enc) assert_int_equal(out.len, c == 2 ? 298 : 256);
        else assert_int_equal(out.len, 34);
        csfle__secret_wipe(&out);
        yyjson_doc_free(b);
        crypt++, ran += enc;
      }
    }
  }
  printf("# kms_http of Azure: %zu entries, %zu encrypt and decrypt requests\n", ran, crypt);
  assert_int_equal(ran, 5);
  assert_int_equal(crypt, 6);
  yyjson_doc_free(doc);
}

static csfle_status stormy(void)
{
  const pair    save[] = { secret_props[0], secret_props[1], secret_props[2], { "encrypt.azure.key.version.save", "true" }, { NULL, NULL } };
  const line    script[] = { { "POST", TOKEN, NULL, NULL, 503, "Retry-After: 1\r\n", "" }, token_line, { "GET", GET, NULL, NULL, 200, NULL, KEY_IS(V) },
                             { "POST", ENCRYPT, NULL, NULL, 401, CHALLENGE("resource=\"https://azure.net\""), "{}" }, { "POST", TOKEN, NULL, NULL, 200, NULL, OAUTH("A2") },
                             { "POST", ENCRYPT, NULL, NULL, 429, NULL, "" }, { "POST", ENCRYPT, NULL, NULL, 200, NULL, VALUE("QUJD") }, { "POST", DECRYPT, NULL, NULL, 200, NULL, VALUE("eA") }, { 0 } };
  world         w = { .script = script, .props = save, .now_ms = START };
  csfle__kms   *k;
  csfle__secret out = CSFLE__SECRET_INIT;
  csfle_status  rc = world_open(&w, &k, "azure-kms", KEY);
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
