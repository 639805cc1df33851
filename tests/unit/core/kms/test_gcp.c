/* core/kms/gcp.c against scripted answers, the signed tokens of the vectors and the recorded requests of other clients. */
#include "core/kms/crc32c.h"
#include "tests/unit/core/kms/scripted.h"

#define KEY      "projects/p1/locations/global/keyRings/r1/cryptoKeys/k1"
#define BASE     "https://cloudkms.googleapis.com/v1/" KEY
#define ENCRYPT  BASE ":encrypt"
#define DECRYPT  BASE ":decrypt"
#define TOKEN    "https://oauth2.googleapis.com/token"
#define META     "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token?scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloudkms"
#define OAUTH(t) "{\"access_token\":\"" t "\",\"expires_in\":3599,\"token_type\":\"Bearer\"}"
#define FLAVOR   "Metadata-Flavor: Google\r\n"
/* 3808858755 is the CRC-32C of 123456789 (crc-2) */
#define DIGITS   "MTIzNDU2Nzg5"
#define WRAPPED  "{\"name\":\"" KEY "/cryptoKeyVersions/1\",\"ciphertext\":\"" DIGITS "\",\"ciphertextCrc32c\":\"3808858755\",\"verifiedPlaintextCrc32c\":true}"
#define PLAIN    "{\"plaintext\":\"" DIGITS "\",\"plaintextCrc32c\":\"3808858755\",\"usedPrimary\":true}"
#define START    1704164645000 /* the moment of the vectors' tokens */

static const pair meta_env[] = { { NULL, NULL } };
static const line meta_line = { "GET", META, FLAVOR, NULL, 200, FLAVOR, OAUTH("M1") };
static world      with_meta(const line *script) { return (world){ .script = script, .env = meta_env, .now_ms = START }; }

/* The vectors' key in PEM, its line breaks written as @p eol */
static const char *pem(yyjson_doc *doc, const char *eol, char *out, size_t size)
{
  const char *b = csfle_test_text(csfle__json_member(yyjson_doc_get_root(doc), "jwt_key"), "pkcs8_der_base64");
  size_t      n = (size_t)snprintf(out, size, "-----BEGIN %s KEY-----%s", "PRIVATE", eol);
  for (size_t i = 0, len = strlen(b); i < len; i += 64) n += (size_t)snprintf(out + n, size - n, "%.64s%s", b + i, eol);
  snprintf(out + n, size - n, "-----END %s KEY-----%s", "PRIVATE", eol);
  return out;
}

/* ENC-93 */
TEST(checksums_are_those_of_the_vectors)
{
  yyjson_doc *doc = csfle_test_vectors("encryption.json");
  yyjson_val *e;
  size_t      i, n, ran = 0;
  yyjson_arr_foreach(csfle__json_member(yyjson_doc_get_root(doc), "crc32c"), i, n, e)
  {
    uint8_t room[128];
    int64_t want;
    assert_true(csfle__json_i64(csfle__json_member(e, "crc32c_decimal"), &want));
    assert_int_equal(csfle__crc32c(csfle_test_unhex(csfle__str(csfle_test_text(e, "data_hex")), room, sizeof room)), want);
    ran++;
  }
  printf("# crc32c: %zu entries\n", ran);
  assert_int_equal(ran, 3);
  yyjson_doc_free(doc);
}

/* ENC-92, ENC-94 */
TEST(a_service_account_signs_the_vectors_tokens_whatever_its_line_breaks)
{
  yyjson_doc *doc = csfle_test_vectors("encryption.json");
  yyjson_val *e;
  size_t      i, n, ran = 0;
  yyjson_arr_foreach(csfle__json_member(yyjson_doc_get_root(doc), "jwt_rs256"), i, n, e)
  {
    bool        exchange = strcmp(csfle_test_text(e, "id"), "jwt-1") == 0;
    const char *jwt = csfle_test_text(e, "jwt");
    for (int eol = 0; eol < 2; eol++) {
      char       key[4096], body[2000], head[2000];
      const pair props[] = { { "account.type", "service_account" }, { "client.id", "1" }, { "client.email", "sa@p1.iam.gserviceaccount.com" }, { "private.key.id", "kid1" },
                             { "private.key", pem(doc, eol ? "\\n" : "\n", key, sizeof key) }, { "token.uri", exchange ? TOKEN : NULL }, { NULL, NULL } };
      snprintf(body, sizeof body, "grant_type=urn%%3Aietf%%3Aparams%%3Aoauth%%3Agrant-type%%3Ajwt-bearer&assertion=%s", jwt);
      snprintf(head, sizeof head, "Authorization: Bearer %s\r\n", exchange ? "G1" : jwt);
      const line  script[] = { { "POST", TOKEN, "Content-Type: application/x-www-form-urlencoded\r\n", body, 200, NULL, OAUTH("G1") },
                               { "POST", ENCRYPT, head, NULL, 200, NULL, WRAPPED }, { "POST", DECRYPT, head, NULL, 200, NULL, PLAIN }, { 0 } };
      world       w = { .script = script + (exchange ? 0 : 1), .props = props, .now_ms = START };
      csfle__kms *k;
      assert_int_equal(world_open(&w, &k, "gcp-kms", KEY), CSFLE_OK);
      assert_int_equal(world_call(&w, k, false, BYTES("m"), NULL), CSFLE_OK);
      assert_int_equal(world_call(&w, k, true, BYTES("m"), NULL), CSFLE_OK); /* with the token that is kept */
      csfle__kms_close(k);
      world_done(&w);
    }
    ran++;
  }
  printf("# jwt_rs256: %zu entries\n", ran);
  assert_int_equal(ran, 2);
  const pair bad[] = { { "client.id", "1" }, { "client.email", "e" }, { "private.key.id", "k" }, { "private.key", "hidden text" }, { NULL, NULL } };
  world      w = { .props = bad, .now_ms = START };
  assert_int_equal(world_once(&w, "gcp-kms", KEY, false, BYTES("m"), NULL), CSFLE_E_CONFIG);
  assert_null(strstr(w.err.msg, "hidden"));
  yyjson_doc_free(doc);
}

/* ENC-93 */
TEST(checksums_go_out_as_texts_and_damage_is_tried_again)
{
  static const struct { bool unwrap; const char *reply; } damaged[] = {
    { false, "{\"ciphertext\":\"" DIGITS "\",\"ciphertextCrc32c\":\"3808858755\"}" },
    { false, "{\"ciphertext\":\"" DIGITS "\",\"ciphertextCrc32c\":\"3808858755\",\"verifiedPlaintextCrc32c\":false}" },
    { false, "{\"ciphertext\":\"" DIGITS "\",\"ciphertextCrc32c\":\"3808858754\",\"verifiedPlaintextCrc32c\":true}" },
    { true, "{\"plaintext\":\"" DIGITS "\",\"plaintextCrc32c\":\"0\"}" }, { true, "{\"plaintext\":\"" DIGITS "\"}" }, { true, "{\"plaintext\":\"" DIGITS "\",\"plaintextCrc32c\":\"x\"}" },
  };
  for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
    bool       u = damaged[i].unwrap;
    const line bad = { "POST", u ? DECRYPT : ENCRYPT, "Authorization: Bearer M1\r\n",
                       u ? "{\"ciphertext\":\"" DIGITS "\",\"ciphertextCrc32c\":\"3808858755\"}" : "{\"plaintext\":\"" DIGITS "\",\"plaintextCrc32c\":\"3808858755\"}", 200, NULL, damaged[i].reply };
    line       good = bad;
    good.reply = u ? PLAIN : WRAPPED;
    const line    once[] = { meta_line, bad, good, { 0 } }, always[] = { meta_line, bad, bad, bad, { 0 } };
    world         w = with_meta(once), v = with_meta(always);
    csfle__secret out = CSFLE__SECRET_INIT;
    assert_int_equal(world_once(&w, "gcp-kms", KEY, u, BYTES("123456789"), &out), CSFLE_OK);
    assert_bytes_equal(csfle__secret_view(&out), BYTES("123456789"));
    csfle__secret_wipe(&out);
    world_done(&w);
    assert_int_equal(world_once(&v, "gcp-kms", KEY, u, BYTES("123456789"), NULL), CSFLE_E_UNAVAILABLE);
    assert_non_null(strstr(v.err.msg, "checksums do not match"));
    world_done(&v);
  }
}

/* an external_account's file */
#define POOL(more)   "{\"type\":\"external_account\",\"audience\":\"//pool\",\"subject_token_type\":\"urn:jwt\",\"token_url\":\"https://sts.example/token\"" more "}"
#define EXCHANGE(scope) \
  "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&audience=%2F%2Fpool&scope=https%3A%2F%2Fwww.googleapis.com%2Fauth%2F" scope \
  "&requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token&subject_token_type=urn%3Ajwt&subject_token=S%2F1"
#define BECOME       ",\"service_account_impersonation_url\":\"https://sts.example/sa:generateAccessToken\""
#define BECAME       "{\"accessToken\":\"SA\",\"expireTime\":\"2024-01-02T04:04:05Z\"}"

TEST(another_providers_token_is_exchanged_and_may_become_a_service_account)
{
  const struct { const char *file; line script[5]; int sends; } cases[] = {
    { POOL(",\"credential_source\":{\"file\":\"/t\"}"), { { "POST", "https://sts.example/token", NULL, EXCHANGE("cloudkms"), 200, NULL, OAUTH("X") }, { "POST", ENCRYPT, "Authorization: Bearer X\r\n", NULL, 200, NULL, WRAPPED } }, 2 },
    { POOL(",\"credential_source\":{\"file\":\"/j\",\"format\":{\"type\":\"json\",\"subject_token_field_name\":\"v\"}}" BECOME),
      { { "POST", "https://sts.example/token", NULL, EXCHANGE("cloud-platform"), 200, NULL, OAUTH("X") },
        { "POST", "https://sts.example/sa:generateAccessToken", "Authorization: Bearer X\r\n", "{\"scope\":[\"https://www.googleapis.com/auth/cloudkms\"],\"lifetime\":\"3600s\"}", 200, NULL, BECAME },
        { "POST", ENCRYPT, "Authorization: Bearer SA\r\n", NULL, 200, NULL, WRAPPED } }, 3 },
    { POOL(",\"credential_source\":{\"url\":\"http://169.254.169.254/t\",\"headers\":{\"Metadata\":\"True\"}}"),
      { { "GET", "http://169.254.169.254/t", "Metadata: True\r\n", NULL, 503, NULL, "" }, { "GET", "http://169.254.169.254/t", "Metadata: True\r\n", NULL, 200, NULL, "S/1\n" },
        { "POST", "https://sts.example/token", NULL, EXCHANGE("cloudkms"), 200, NULL, OAUTH("X") }, { "POST", ENCRYPT, "Authorization: Bearer X\r\n", NULL, 200, NULL, WRAPPED } }, 4 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const pair env[] = { { "GOOGLE_APPLICATION_CREDENTIALS", "/a.json" }, { NULL, NULL } };
    const pair files[] = { { "/a.json", cases[i].file }, { "/t", "S/1\n" }, { "/j", "{\"v\":\"S/1\"}" }, { NULL, NULL } };
    world      w = { .script = cases[i].script, .env = env, .files = files, .now_ms = START };
    if (world_once(&w, "gcp-kms", KEY, false, BYTES("m"), NULL) != CSFLE_OK) fail_msg("case %zu: %s", i, w.err.msg);
    assert_int_equal(w.at, cases[i].sends);
  }
}

TEST(default_credentials_are_found_in_their_order)
{
  static const char user[] = "{\"type\":\"authorized_user\",\"client_id\":\"c\",\"client_secret\":\"s/1\",\"refresh_token\":\"r\"}";
  static const char refresh[] = "grant_type=refresh_token&client_id=c&client_secret=s%2F1&refresh_token=r";
  static const struct { pair env[3], files[2]; line ask; } cases[] = {
    { { { "GOOGLE_APPLICATION_CREDENTIALS", "/a.json" }, { "HOME", "/h" } }, { { "/a.json", user } }, { "POST", TOKEN, NULL, refresh, 200, NULL, OAUTH("T") } },
    { { { "CLOUDSDK_CONFIG", "/c" }, { "HOME", "/h" } }, { { "/c/application_default_credentials.json", user } }, { "POST", TOKEN, NULL, refresh, 200, NULL, OAUTH("T") } },
    { { { "HOME", "/h" } }, { { "/h/.config/gcloud/application_default_credentials.json", user } }, { "POST", TOKEN, NULL, refresh, 200, NULL, OAUTH("T") } },
    { { { "HOME", "/h" } }, { { NULL, NULL } }, { "GET", META, FLAVOR, NULL, 200, FLAVOR, OAUTH("T") } },
    { { { "GCE_METADATA_HOST", "127.0.0.1:8181" } }, { { NULL, NULL } },
      { "GET", "http://127.0.0.1:8181/computeMetadata/v1/instance/service-accounts/default/token?scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloudkms", FLAVOR, NULL, 200, FLAVOR, OAUTH("T") } },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const line script[] = { cases[i].ask, { "POST", ENCRYPT, "Authorization: Bearer T\r\n", NULL, 200, NULL, WRAPPED }, { 0 } };
    world      w = { .script = script, .env = cases[i].env, .files = cases[i].files, .now_ms = START };
    if (world_once(&w, "gcp-kms", KEY, false, BYTES("m"), NULL) != CSFLE_OK) fail_msg("case %zu: %s", i, w.err.msg);
    world_done(&w);
  }
  static const struct { const char *file, *says; } bad[] = {
    { "{\"type\":\"gdch_service_account\"}", "the type 'gdch_service_account'" }, { "{\"type\":\"external_account\"}", "lacks audience" },
    { POOL(",\"credential_source\":{\"environment_id\":\"aws1\"}"), "neither a file nor a URL" }, { POOL(",\"credential_source\":{\"file\":\"/t\"},\"client_secret\":\"x\""), "workforce" },
    { POOL(",\"credential_source\":{\"file\":\"/t\",\"format\":{\"type\":\"json\"}}"), "subject_token_field_name" }, { POOL(",\"credential_source\":{\"file\":\"/none\"}"), "'/none' of credential_source" }, { "{\"type\":\"authorized_user\",\"client_id\":\"c\"}", "lacks members" }, { "{\"type\":\"service_account\"}", "lacks members" },
    { "no json", "'/a.json' has the type ''" }, { NULL, "cannot be read" },
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const pair env[] = { { "GOOGLE_APPLICATION_CREDENTIALS", "/a.json" }, { NULL, NULL } }, files[] = { { "/a.json", bad[i].file }, { NULL, NULL } };
    world      w = { .env = env, .files = files, .now_ms = START };
    assert_int_equal(world_once(&w, "gcp-kms", KEY, false, BYTES("m"), NULL), CSFLE_E_CONFIG);
    if (!strstr(w.err.msg, bad[i].says)) fail_msg("%s", w.err.msg);
  }
  /* not the metadata server, or none */
  const line liar[] = { { "GET", META, NULL, NULL, 200, NULL, OAUTH("T") }, { 0 } }, none[] = { { "GET", META, NULL, NULL, 0, NULL, "timed out" }, { 0 } };
  world      w = with_meta(liar), v = with_meta(none);
  assert_int_equal(world_once(&w, "gcp-kms", KEY, false, BYTES("m"), NULL), CSFLE_E_CONFIG);
  assert_int_equal(world_once(&v, "gcp-kms", KEY, false, BYTES("m"), NULL), CSFLE_E_CONFIG);
  assert_non_null(strstr(v.err.msg, "no credentials found"));
}

/* ENC-94: a file's key exchanges where the file names a token URL of its own */
TEST(a_service_account_file_signs_for_itself_or_exchanges_at_its_token_url)
{
  yyjson_doc *doc = csfle_test_vectors("encryption.json");
  char        key[4096], file[6000];
  for (int own = 0; own < 2; own++) {
    snprintf(file, sizeof file, "{\"type\":\"service_account\",\"client_email\":\"sa@p1.iam.gserviceaccount.com\",\"private_key_id\":\"kid1\",\"private_key\":\"%s\",\"token_uri\":\"%s\"}",
             pem(doc, "\\n", key, sizeof key), own ? "http://127.0.0.1:9/token" : TOKEN);
    const pair env[] = { { "GOOGLE_APPLICATION_CREDENTIALS", "/a.json" }, { "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", "http://127.0.0.1:8/" }, { NULL, NULL } }, files[] = { { "/a.json", file }, { NULL, NULL } };
    const line script[] = { { "POST", "http://127.0.0.1:9/token", NULL, NULL, 200, NULL, OAUTH("T") }, { "POST", "http://127.0.0.1:8/v1/" KEY ":encrypt", own ? "Authorization: Bearer T\r\n" : NULL, NULL, 200, NULL, WRAPPED }, { 0 } };
    world      w = { .script = script + (own ? 0 : 1), .env = env, .files = files, .now_ms = START };
    assert_int_equal(world_once(&w, "gcp-kms", KEY, false, BYTES("m"), NULL), CSFLE_OK);
    world_done(&w);
  }
  yyjson_doc_free(doc);
}

TEST(key_ids_and_settings_of_other_forms_and_foreign_hosts_are_refused)
{
  static const char *const keys[] = { "", "projects/p1", (KEY "/cryptoKeyVersions/1"), (KEY "/"), ("/" KEY), "projects//locations/l/keyRings/r/cryptoKeys/k", "projects/p/locations/l/keyRings/r/cryptoKeys/..",
                                      "projects/p/locations/l/keyRings/r/cryptoKeys/k?x", "projects/p/locations/l/keyrings/r/cryptoKeys/k", "projects/../locations/l/keyRings/r/cryptoKeys/k" };
  static const pair        type[] = { { "account.type", "user" }, { NULL, NULL } }, path[] = { { "credentials.path", "/x" }, { NULL, NULL } };
  static const pair        listed[] = { { CSFLE__HOSTS_PROPERTY, "vault.bank" }, { NULL, NULL } };
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    world w = { .now_ms = START };
    assert_int_equal(world_once(&w, "gcp-kms", keys[i], false, BYTES("m"), NULL), CSFLE_E_CONFIG);
    assert_non_null(strstr(w.err.msg, "invalid key URI: gcp-kms://"));
  }
  world w = { .props = type, .now_ms = START };
  assert_int_equal(world_once(&w, "gcp-kms", KEY, false, BYTES("m"), NULL), CSFLE_E_CONFIG);
  w.props = path; /* AB-8: what the registry may not have read */
  assert_int_equal(world_once(&w, "gcp-kms", KEY, false, BYTES("m"), NULL), CSFLE_E_POLICY);
  /* AB-8: a list without the vendor's host forbids it; a token URL from elsewhere gets no assertion */
  const line only_meta[] = { meta_line, { 0 } };
  world      v = { .script = only_meta, .env = meta_env, .own = listed, .now_ms = START };
  assert_int_equal(world_once(&v, "gcp-kms", KEY, false, BYTES("m"), NULL), CSFLE_E_POLICY);
  yyjson_doc *doc = csfle_test_vectors("encryption.json");
  char        key[4096];
  const pair  steered[] = { { "client.id", "1" }, { "client.email", "e" }, { "private.key.id", "k" }, { "private.key", pem(doc, "\n", key, sizeof key) }, { "token.uri", "https://evil.example/token" }, { NULL, NULL } };
  world       s = { .props = steered, .now_ms = START };
  assert_int_equal(world_once(&s, "gcp-kms", KEY, false, BYTES("m"), NULL), CSFLE_E_POLICY);
  yyjson_doc_free(doc);
}

/* AB-8: credentials of one cloud are not for another, whatever a file says */
TEST(a_universe_domain_is_the_operators_and_that_of_the_credentials)
{
#define USER(more) "{\"type\":\"authorized_user\",\"client_id\":\"c\",\"client_secret\":\"s\",\"refresh_token\":\"r\"" more "}"
  static const struct { const char *domain, *file, *says; } cases[] = {
    { NULL, USER(",\"universe_domain\":\"googleapis.com\""), NULL },
    { "", USER(""), NULL },
    { "cloud.example", USER(",\"universe_domain\":\"cloud.example\",\"token_uri\":\"https://t/\""), NULL },
    { NULL, USER(",\"universe_domain\":\"cloud.example\""), "'cloud.example', but keys are asked for in 'googleapis.com'" },
    { "cloud.example", USER(""), "'googleapis.com', but keys are asked for in 'cloud.example'" },
    { "cloud.example", USER(",\"universe_domain\":\"cloud.example\""), "lacks members" }, /* Google's token URL is not that cloud's */
    { "cloud.example/x", USER(""), "is no domain" }, { "a..b", USER(""), "is no domain" }, { ".b", USER(""), "is no domain" }, { "u@evil.example", USER(""), "is no domain" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const bool there = cases[i].domain && *cases[i].domain;
    const pair env[] = { { "GOOGLE_APPLICATION_CREDENTIALS", "/a.json" }, { cases[i].domain ? "GOOGLE_CLOUD_UNIVERSE_DOMAIN" : NULL, cases[i].domain }, { NULL, NULL } };
    const pair files[] = { { "/a.json", cases[i].file }, { NULL, NULL } };
    const line script[] = { { "POST", there ? "https://t/" : TOKEN, NULL, NULL, 200, NULL, OAUTH("T") },
                            { "POST", there ? "https://cloudkms.cloud.example/v1/" KEY ":encrypt" : ENCRYPT, "Authorization: Bearer T\r\n", NULL, 200, NULL, WRAPPED }, { 0 } };
    world      w = { .script = script, .env = env, .files = files, .now_ms = START };
    csfle_status rc = world_once(&w, "gcp-kms", KEY, false, BYTES("m"), NULL);
    if (rc != (cases[i].says ? CSFLE_E_CONFIG : CSFLE_OK) || (cases[i].says && !strstr(w.err.msg, cases[i].says))) fail_msg("case %zu: %d %s", i, rc, w.err.msg);
    if (!cases[i].says) world_done(&w);
  }
}

/* ENC-99 */
TEST(each_answer_has_its_verdict_and_only_transient_ones_are_tried_three_times)
{
#define ERROR(code, status, text) "{\"error\":{\"code\":" code ",\"message\":\"" text "\",\"status\":\"" status "\"}}"
  static const struct { bool login; int status; const char *body; csfle_status rc; unsigned tries; const char *says; } cases[] = {
    { false, 400, ERROR("400", "INVALID_ARGUMENT", "Decryption failed"), CSFLE_E_DECRYPT, 1, "gcp-kms key '" KEY "': decrypt: HTTP 400 INVALID_ARGUMENT: Decryption failed" },
    { false, 400, ERROR("400", "FAILED_PRECONDITION", "not enabled"), CSFLE_E_KEY_GONE, 1, "FAILED_PRECONDITION: not enabled" },
    { false, 403, ERROR("403", "PERMISSION_DENIED", "no"), CSFLE_E_FORBIDDEN, 1, "HTTP 403 PERMISSION_DENIED: no" }, { false, 404, ERROR("404", "NOT_FOUND", "gone"), CSFLE_E_KEY_GONE, 1, "NOT_FOUND" },
    { false, 429, ERROR("429", "RESOURCE_EXHAUSTED", "quota"), CSFLE_E_THROTTLED, 3, "RESOURCE_EXHAUSTED: quota" }, { false, 500, "", CSFLE_E_UNAVAILABLE, 3, "HTTP 500" },
    { false, 502, "", CSFLE_E_UNAVAILABLE, 3, "HTTP 502" }, { false, 503, ERROR("503", "UNAVAILABLE", "x"), CSFLE_E_UNAVAILABLE, 3, "HTTP 503 UNAVAILABLE" }, { false, 504, "", CSFLE_E_UNAVAILABLE, 3, "HTTP 504" },
    { false, 0, "timed out", CSFLE_E_TIMEOUT, 3, "timed out" }, { false, 0, CSFLE__REFUSED_ADDRESS, CSFLE_E_POLICY, 1, CSFLE__HOSTS_PROPERTY }, { false, 302, "", CSFLE_E_CONFIG, 1, "HTTP 302" },
    { false, 200, "", CSFLE_E_UNAVAILABLE, 1, "no plaintext in base64" }, { false, 200, "{\"plaintext\":7}", CSFLE_E_UNAVAILABLE, 1, "no plaintext in base64" }, { false, 200, "<html>", CSFLE_E_UNAVAILABLE, 1, "no plaintext" },
    { true, 400, "{\"error\":\"invalid_scope\"}", CSFLE_E_UNAUTHENTICATED, 1, "token: HTTP 400 invalid_scope" }, { true, 404, "", CSFLE_E_UNAUTHENTICATED, 1, "token: HTTP 404" },
    { true, 503, "", CSFLE_E_UNAVAILABLE, 3, "token: HTTP 503" }, { true, 200, "{}", CSFLE_E_UNAVAILABLE, 1, "no access_token" }, { true, 200, "", CSFLE_E_UNAVAILABLE, 1, "no access_token" },
  };
  size_t i;
  for (i = 0; i < sizeof cases / sizeof *cases; i++) {
    const line   one = { cases[i].login ? "GET" : "POST", cases[i].login ? META : DECRYPT, NULL, NULL, cases[i].status, FLAVOR, cases[i].body }, after[] = { meta_line, one, one, one, { 0 } };
    world        w = with_meta(after + (cases[i].login ? 1 : 0));
    csfle_status rc = world_once(&w, "gcp-kms", KEY, true, BYTES("ABC"), NULL);
    if (rc != cases[i].rc || w.at != cases[i].tries + (cases[i].login ? 0 : 1) || !strstr(w.err.msg, cases[i].says)) fail_msg("case %zu: %d after %zu: %s", i, rc, w.at, w.err.msg);
  }
  printf("# verdicts: %zu\n", i);
  assert_int_equal(i, 20);
  /* a 401 renews the token once */
  const line no = { "POST", DECRYPT, NULL, NULL, 401, NULL, ERROR("401", "UNAUTHENTICATED", "old") }, fresh = { "GET", META, NULL, NULL, 200, FLAVOR, OAUTH("M2") };
  const line renewed[] = { meta_line, no, fresh, { "POST", DECRYPT, "Authorization: Bearer M2\r\n", NULL, 200, NULL, PLAIN }, { 0 } }, twice[] = { meta_line, no, fresh, no, { 0 } };
  world      w = with_meta(renewed), v = with_meta(twice);
  assert_int_equal(world_once(&w, "gcp-kms", KEY, true, BYTES("ABC"), NULL), CSFLE_OK);
  assert_int_equal(world_once(&v, "gcp-kms", KEY, true, BYTES("ABC"), NULL), CSFLE_E_UNAUTHENTICATED);
  world_done(&v);
}

/* http-18 to http-20 */
TEST(recorded_requests_of_other_clients_agree)
{
  yyjson_doc *doc = csfle_test_vectors("encryption.json");
  yyjson_val *e, *x;
  size_t      i, n, j, m, ran = 0;
  yyjson_arr_foreach(csfle__json_member(yyjson_doc_get_root(doc), "kms_http"), i, n, e)
  {
    const char *id = csfle_test_text(e, "id");
    if (strcmp(id, "http-18") != 0 && strcmp(id, "http-19") != 0 && strcmp(id, "http-20") != 0) continue;
    yyjson_arr_foreach(csfle__json_member(e, "http"), j, m, x)
    {
      yyjson_val *q = csfle__json_member(x, "request");
      const char *url = csfle_test_text(q, "url"), *body = csfle_test_text(q, "body");
      if (id[6] == '8') assert_string_equal(url, META);
      if (id[6] == '9') { /* the same address and member; checksums are ours in addition */
        assert_true(strncmp(url, j ? DECRYPT : ENCRYPT, sizeof ENCRYPT - 1) == 0);
        assert_non_null(strstr(body, j ? "{\"ciphertext\":\"" : "{\"plaintext\":\""));
      }
      if (id[5] == '2') {
        assert_string_equal(url, TOKEN);
        assert_true(strncmp(body, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=", 75) == 0);
      }
    }
    ran++;
  }
  printf("# kms_http of Google: %zu entries\n", ran);
  assert_int_equal(ran, 3);
  yyjson_doc_free(doc);
}

static const char *torture_pem;
static csfle_status stormy(bool exchange)
{
  const pair  props[] = { { "client.id", "1" }, { "client.email", "e" }, { "private.key.id", "k" }, { "private.key", torture_pem }, { "token.uri", exchange ? TOKEN : NULL }, { NULL, NULL } };
  const line  script[] = { { "POST", TOKEN, NULL, NULL, 503, NULL, "" }, { "POST", TOKEN, NULL, NULL, 200, NULL, OAUTH("T") }, { "POST", ENCRYPT, NULL, NULL, 429, NULL, "" },
                           { "POST", ENCRYPT, NULL, NULL, 200, NULL, WRAPPED }, { "POST", DECRYPT, NULL, NULL, 200, NULL, PLAIN }, { 0 } };
  world       w = { .script = script + (exchange ? 0 : 2), .props = props, .now_ms = START };
  csfle__kms *k;
  csfle_status rc = world_open(&w, &k, "gcp-kms", KEY);
  if (rc == CSFLE_OK) rc = world_call(&w, k, false, BYTES("material"), NULL);
  if (rc == CSFLE_OK) rc = world_call(&w, k, true, BYTES("wrapped"), NULL);
  csfle__kms_close(k);
  return rc;
}
static csfle_status stormy_file(void)
{
  const pair env[] = { { "GOOGLE_APPLICATION_CREDENTIALS", "/a.json" }, { NULL, NULL } }, files[] = { { "/a.json", "{\"type\":\"authorized_user\",\"client_id\":\"c\",\"client_secret\":\"s\",\"refresh_token\":\"r\"}" }, { NULL, NULL } };
  const line script[] = { { "POST", TOKEN, NULL, NULL, 200, NULL, OAUTH("T") }, { "POST", DECRYPT, NULL, NULL, 200, NULL, PLAIN }, { 0 } };
  world      w = { .script = script, .env = env, .files = files, .now_ms = START };
  return world_once(&w, "gcp-kms", KEY, true, BYTES("wrapped"), NULL);
}
static csfle_status stormy_pool(void)
{
  const pair env[] = { { "GOOGLE_APPLICATION_CREDENTIALS", "/a.json" }, { NULL, NULL } };
  const pair files[] = { { "/a.json", POOL(",\"credential_source\":{\"url\":\"http://169.254.9.9/t\",\"headers\":{\"A\":\"b\"},\"format\":{\"type\":\"json\",\"subject_token_field_name\":\"v\"}}" BECOME) }, { NULL, NULL } };
  const line script[] = { { "GET", "http://169.254.9.9/t", NULL, NULL, 200, NULL, "{\"v\":\"S\"}" }, { "POST", "https://sts.example/token", NULL, NULL, 200, NULL, OAUTH("X") },
                          { "POST", "https://sts.example/sa:generateAccessToken", NULL, NULL, 200, NULL, BECAME }, { "POST", DECRYPT, NULL, NULL, 200, NULL, PLAIN }, { 0 } };
  world      w = { .script = script, .env = env, .files = files, .now_ms = START };
  return world_once(&w, "gcp-kms", KEY, true, BYTES("wrapped"), NULL);
}
TEST(every_failed_allocation_is_survived_and_every_secret_wiped)
{
  static char key[4096];
  yyjson_doc *doc = csfle_test_vectors("encryption.json");
  torture_pem = pem(doc, "\\n", key, sizeof key);
  yyjson_doc_free(doc);
  TORTURE(stormy(false));
  TORTURE(stormy(true));
  TORTURE(stormy_file());
  TORTURE(stormy_pool());
}
