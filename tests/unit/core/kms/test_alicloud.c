/* alicloud-kms: signatures, requests, every source of credentials, errors. */
#include "core/crypt/random.h"
#include "core/kms/alicloud.h"
#include "tests/unit/core/kms/script.h"

#define NOW   1795308913000 /* 2026-11-22T00:55:13Z */
#define ID    "cn-hangzhou/08ec3bb9-034f-485b-b1cd-3459baa81234"
#define BLOB  "{\"CiphertextBlob\":\"QUxJ\",\"KeyId\":\"08ec3bb9-034f-485b-b1cd-3459baa81234\"}"
#define KEYS(id) "{\"Credentials\":{\"AccessKeyId\":\"" id "\",\"AccessKeySecret\":\"stsSecret\",\"SecurityToken\":\"stsToken\",\"Expiration\":\"2026-11-22T01:55:13Z\"}}"
#define BOX(id)  "{\"Code\":\"Success\",\"AccessKeyId\":\"" id "\",\"AccessKeySecret\":\"boxSecret\",\"SecurityToken\":\"boxToken\",\"Expiration\":\"2026-11-22T01:55:13Z\"}"

static const pair keys[] = { { "alicloud.kms.accessKeyId", "LTAIEXAMPLE" }, { "alicloud.kms.accessKeySecret", "aliSecretExample" }, { 0 } };
static script     s;

static void fresh(const pair *props, const pair *variables, const pair *files, const answer *answers, size_t count)
{
  memset(&s, 0, sizeof s);
  s.props = s.own = props, s.variables = variables, s.files = files, s.answers = answers, s.count = count;
  s.now_ms = NOW, s.mono_ms = 1000;
}

static csfle_status wrap(const char *id, csfle_error *err)
{
  csfle__secret out = CSFLE__SECRET_INIT;
  csfle_status  rc = script_once(&s, "alicloud-kms", id, false, BYTES("material"), &out, err);
  if (rc == CSFLE_OK) assert_bytes_equal(csfle__secret_view(&out), BYTES("QUxJ"));
  csfle__secret_wipe(&out);
  return rc;
}

/* ENC-98 */
TEST(every_acs3_vector_is_reproduced)
{
  yyjson_doc *doc = csfle_test_vectors("encryption.json");
  yyjson_val *e, *k, *v;
  size_t      i, n, j, m, ran = 0;
  yyjson_arr_foreach(csfle__json_member(yyjson_doc_get_root(doc), "acs3"), i, n, e)
  {
    csfle__io io;
    csfle_buf can, text;
    csfle__io_init(&io);
    csfle_buf_init(&can, 0, 0), csfle_buf_init(&text, 0, 0);
    csfle__http_start(&io, "POST", 0);
    assert_ok(csfle__buf_puts(&io.request.url, csfle_test_text(e, "url"), err));
    yyjson_obj_foreach(csfle__json_member(e, "headers"), j, m, k, v)
      if (!yyjson_equals_str(k, "host")) assert_ok(csfle__http_header(&io, yyjson_get_str(k), csfle__json_text(v), err));
    assert_ok(csfle__acs3_sign(csfle__str(csfle_test_text(e, "access_key_id")), csfle__str(csfle_test_text(e, "access_key_secret")), &io.request, &can, &text, err));
    assert_bytes_equal(csfle__buf_view(&can), csfle__str(csfle_test_text(e, "canonical_request")));
    assert_bytes_equal(csfle__buf_view(&text), csfle__str(csfle_test_text(e, "string_to_sign")));
    assert_bytes_equal(csfle__header(csfle__buf_view(&io.request.headers), "authorization"), csfle__str(csfle_test_text(e, "authorization")));
    csfle__io_free(&io);
    csfle_buf_free(&can), csfle_buf_free(&text);
    ran++;
  }
  printf("# acs3: %zu entries\n", ran);
  assert_int_equal(ran, 3);
  ran = 0;
  yyjson_arr_foreach(csfle__json_member(yyjson_doc_get_root(doc), "alibaba_rpc_v1"), i, n, e)
  {
    csfle__io   io;
    csfle_buf   text;
    const char *url = csfle_test_text(e, "url"), *end = strstr(url, "&Signature=");
    csfle__io_init(&io);
    csfle_buf_init(&text, 0, 0);
    csfle__http_start(&io, "POST", 0);
    assert_ok(csfle__buf_put(&io.request.url, url, (size_t)(end - url), err));
    assert_ok(csfle__buf_puts(&io.request.body, csfle_test_text(e, "body"), err));
    assert_ok(csfle__rpc1_sign(csfle__str(csfle_test_text(e, "access_key_secret")), &io.request, &text, err));
    assert_bytes_equal(csfle__buf_view(&text), csfle__str(csfle_test_text(e, "string_to_sign")));
    assert_bytes_equal(csfle__buf_view(&io.request.url), csfle__str(url));
    csfle__io_free(&io);
    csfle_buf_free(&text);
    ran++;
  }
  printf("# alibaba_rpc_v1: %zu entries\n", ran);
  assert_int_equal(ran, 1);
  yyjson_doc_free(doc);
}

static uint8_t nonce[16];
static int fill(void *opaque, uint8_t *out, size_t len)
{
  (void)opaque;
  for (size_t i = 0; i < len; i++) out[i] = nonce[i % 16];
  return 1;
}
static void set_nonce(const char *hex) { csfle_test_unhex(csfle__str(hex), nonce, sizeof nonce); }

/* The driver's own requests against the recordings: URL, and the headers that are not telemetry. */
TEST(every_recorded_request_is_sent_in_the_same_form)
{
  static const pair sts[] = { { "alicloud.kms.accessKeyId", "LTAIEXAMPLE" }, { "alicloud.kms.accessKeySecret", "aliSecretExample" }, { "alicloud.kms.securityToken", "aliStsToken" }, { 0 } };
  static const pair role[] = { { "alicloud.kms.accessKeyId", "LTAIEXAMPLE" }, { "alicloud.kms.accessKeySecret", "aliSecretExample" },
                               { "alicloud.kms.roleArn", "acs:ram::1234567890:role/demo" }, { 0 } };
  static const char *const ours[] = { "x-acs-version", "x-acs-action", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256", "x-acs-accesskey-id", "x-acs-security-token", "content-type", NULL };
  const struct { const char *id; const pair *props; const char *key; } cases[] = { { "http-21", keys, "cn-hangzhou/alias%2Fcsfle" }, { "http-22", sts, ID }, { "http-23", role, ID } };
  yyjson_doc *doc = csfle_test_vectors("encryption.json");
  yyjson_val *e, *x;
  size_t      i, n, j, m, ran = 0;
  csfle__random_set(fill, NULL);
  yyjson_arr_foreach(csfle__json_member(yyjson_doc_get_root(doc), "kms_http"), i, n, e)
    for (size_t c = 0; c < 3; c++) {
      if (strcmp(csfle_test_text(e, "id"), cases[c].id) != 0) continue;
      yyjson_arr_foreach(csfle__json_member(e, "http"), j, m, x)
      {
        yyjson_val  *q = csfle__json_member(x, "request"), *h = csfle__json_member(q, "headers");
        const char  *url = csfle_test_text(q, "url"), *nonce_text = csfle_test_text(h, "x-acs-signature-nonce"), *in_url = strstr(url, "SignatureNonce=");
        bool         unwrap = strcmp(csfle_test_text(h, "x-acs-action"), "Decrypt") == 0;
        const answer a[] = { { 200, csfle_test_text(csfle__json_member(x, "response"), "body"), NULL }, { 200, BLOB, NULL } };
        csfle_error  err = CSFLE_ERROR_INIT;
        csfle__secret out = CSFLE__SECRET_INIT, in = CSFLE__SECRET_INIT;
        char         line[1024], digits[33];
        csfle_status rc;
        snprintf(digits, sizeof digits, "%.32s", in_url ? in_url + 15 : nonce_text);
        set_nonce(digits);
        assert_true(csfle__http_unbase64(BYTES("GiAAAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHw=="), &in, &rc));
        fresh(cases[c].props, NULL, NULL, a, in_url ? 2 : 1);
        rc = script_once(&s, "alicloud-kms", cases[c].key, unwrap, unwrap ? BYTES("QUxJ") : csfle__secret_view(&in), &out, &err);
        if (rc != CSFLE_OK) fail_msg("%s: %s", cases[c].id, err.msg);
        assert_bytes_equal(csfle__secret_view(&out), unwrap ? BYTES("example dek bytes") : BYTES("QUxJ"));
        csfle__secret_wipe(&out), csfle__secret_wipe(&in);
        snprintf(line, sizeof line, "POST %s\n", url);
        if (strncmp(s.log[0], line, strlen(line)) != 0) fail_msg("%s: %s expected %s", cases[c].id, s.log[0], line);
        csfle__bytes got = csfle__str(s.log[0] + strlen(line));
        for (const char *const *name = ours; *name; name++) assert_bytes_equal(csfle__header(got, *name), csfle__str(csfle_test_text(h, *name)));
        if (in_url) assert_string_equal(strstr(s.log[0], "\r\n\n") + 3, csfle_test_text(q, "body"));
      }
      ran++;
    }
  csfle__random_set(NULL, NULL);
  printf("# kms_http: %zu entries\n", ran);
  assert_int_equal(ran, 3);
  yyjson_doc_free(doc);
}

/* ENC-98 */
TEST(the_key_of_an_answer_is_checked_except_under_an_alias)
{
  const struct { const char *id, *answered; bool ok; } cases[] = {
    { ID, "08ec3bb9-034f-485b-b1cd-3459baa81234", true }, { ID, "other", false }, { ID, "", false }, { "cn-hangzhou/alias%2Fa", "any", true }, { "cn-hangzhou/alias/a", "any", true },
    { "cn-hangzhou/acs%3akms%3acn-hangzhou%3a1%3akey/k1", "k1", true }, { "cn-hangzhou/acs:kms:cn-hangzhou:1:key/k1", "acs:kms:cn-hangzhou:1:key/k1", true },
    { "cn-hangzhou/acs:kms:cn-hangzhou:1:key/k1", "k2", false }, { "cn-hangzhou/acs:kms:cn-hangzhou:1:alias/a", "k2", true },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char          body[200];
    csfle_error   err = CSFLE_ERROR_INIT;
    csfle__secret out = CSFLE__SECRET_INIT;
    snprintf(body, sizeof body, "{\"KeyId\":\"%s\",\"Plaintext\":\"bWF0ZXJpYWw=\"}", cases[i].answered);
    const answer a[] = { { 200, body, NULL } };
    fresh(keys, NULL, NULL, a, 1);
    csfle_status rc = script_once(&s, "alicloud-kms", cases[i].id, true, BYTES("QUxJ"), &out, &err);
    if (rc != (cases[i].ok ? CSFLE_OK : CSFLE_E_DECRYPT)) fail_msg("%zu: %d %s", i, rc, err.msg);
    if (!cases[i].ok) assert_non_null(strstr(err.msg, "wrong key id"));
    csfle__secret_wipe(&out);
  }
  const char *const bad[] = { "", "cn-hangzhou", "cn-hangzhou/", "/key", "cn.evil.example/key", "cn-hangzhou/%zz", "CN/key", "cn@evil/key", "cn/%00" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    csfle_error err = CSFLE_ERROR_INIT;
    fresh(keys, NULL, NULL, NULL, 0);
    assert_int_equal(wrap(bad[i], &err), CSFLE_E_CONFIG);
    assert_non_null(strstr(err.msg, "invalid key URI"));
  }
}

TEST(credentials_come_from_every_source_of_the_chain)
{
#define P(...) (const pair[]){ __VA_ARGS__, { 0 } }
#define A(...) (const answer[]){ __VA_ARGS__ }
  const answer ok = { 200, BLOB, NULL };
  const struct { const char *what; const pair *props, *variables, *files; const answer *answers; size_t sends; const char *credential; csfle_status rc; const char *says; } cases[] = {
    { "prefixed", P({ "rule.executors._default_.param.alicloud.kms.accessKeyId", "PRE" }, { "rule.executors._default_.param.alicloud.kms.accessKeySecret", "x" }), NULL, NULL, A(ok), 1, "PRE", CSFLE_OK, NULL },
    { "environment", NULL, P({ "ALIBABA_CLOUD_ACCESS_KEY_ID", "ENV" }, { "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "x" }, { "ALIBABA_CLOUD_SECURITY_TOKEN", "t" }), NULL, A(ok), 1, "ENV", CSFLE_OK, NULL },
    { "default", P({ "alicloud.kms.credentialType", "DEFAULT" }), P({ "ALIBABA_CLOUD_ACCESS_KEY_ID", "ENV" }, { "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "x" }), NULL, A(ok), 1, "ENV", CSFLE_OK, NULL },
    { "OIDC", NULL, P({ "ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "p" }, { "ALIBABA_CLOUD_OIDC_TOKEN_FILE", "/t" }, { "ALIBABA_CLOUD_ROLE_ARN", "r" }), P({ "/t", "jwt" }), A({ 200, KEYS("OIDC"), NULL }, ok), 2, "OIDC", CSFLE_OK, NULL },
    { "config", NULL, P({ "HOME", "/h" }), P({ "/h/.aliyun/config.json", "{\"current\":\"b\",\"profiles\":[{\"name\":\"a\",\"mode\":\"AK\"},{\"name\":\"b\",\"mode\":\"AK\",\"access_key_id\":\"CFG\",\"access_key_secret\":\"x\"}]}" }), A(ok), 1, "CFG", CSFLE_OK, NULL },
    { "config role", NULL, P({ "HOME", "/h" }, { "ALIBABA_CLOUD_PROFILE", "b" }), P({ "/h/.aliyun/config.json", "{\"profiles\":[{\"name\":\"b\",\"mode\":\"RamRoleArn\",\"access_key_id\":\"CFG\",\"access_key_secret\":\"x\",\"ram_role_arn\":\"r\"}]}" }), A({ 200, KEYS("ROLE"), NULL }, ok), 2, "ROLE", CSFLE_OK, NULL },
    { "config OIDC", NULL, P({ "HOME", "/h" }), P({ "/t", "jwt" }, { "/h/.aliyun/config.json", "{\"current\":\"b\",\"profiles\":[{\"name\":\"b\",\"mode\":\"OIDC\",\"oidc_provider_arn\":\"p\",\"oidc_token_file\":\"/t\",\"ram_role_arn\":\"r\"}]}" }), A({ 200, KEYS("OIDC"), NULL }, ok), 2, "OIDC", CSFLE_OK, NULL },
    { "file OIDC", NULL, P({ "ALIBABA_CLOUD_CREDENTIALS_FILE", "/f" }), P({ "/f", "[default]\ntype=oidc_role_arn\nrole_arn=r\n" }), NULL, 0, NULL, CSFLE_E_CONFIG, "no provider, token file or role" },
    { "config mode", NULL, P({ "HOME", "/h" }), P({ "/h/.aliyun/config.json", "{\"current\":\"b\",\"profiles\":[{\"name\":\"b\",\"mode\":\"External\"}]}" }), NULL, 0, NULL, CSFLE_E_CONFIG, "mode 'External'" },
    { "file", NULL, P({ "HOME", "/h" }), P({ "/h/.alibabacloud/credentials", "[default]\ntype = sts\naccess_key_id = FILE\naccess_key_secret = x\nsecurity_token = t\n" }), A(ok), 1, "FILE", CSFLE_OK, NULL },
    { "file of Java", NULL, P({ "HOME", "/h" }), P({ "/h/.alibabacloud/credentials.ini", "[default]\ntype=access_key\naccess_key_id=INI\naccess_key_secret=x\n" }, { "/h/.alibabacloud/credentials", "" }), A(ok), 1, "INI", CSFLE_OK, NULL },
    { "file elsewhere", NULL, P({ "ALIBABA_CLOUD_CREDENTIALS_FILE", "/f" }, { "ALIBABA_CLOUD_PROFILE", "p" }), P({ "/f", "[p]\ntype=access_key\naccess_key_id=FILE\naccess_key_secret=x\n" }), A(ok), 1, "FILE", CSFLE_OK, NULL },
    { "file type", NULL, P({ "ALIBABA_CLOUD_CREDENTIALS_FILE", "/f" }), P({ "/f", "[default]\ntype=rsa_key_pair\n" }), NULL, 0, NULL, CSFLE_E_CONFIG, "type 'rsa_key_pair'" },
    { "ECS", NULL, NULL, NULL, A({ 200, "ecstoken", NULL }, { 200, "role", NULL }, { 200, BOX("ECS"), NULL }, ok), 4, "ECS", CSFLE_OK, NULL },
    { "URI", NULL, P({ "ALIBABA_CLOUD_CREDENTIALS_URI", "http://127.0.0.1:9/c" }), NULL, A({ 0, "timed out", NULL }, { 200, BOX("URI"), NULL }, ok), 3, "URI", CSFLE_OK, NULL },
    { "role over chain", P({ "alicloud.kms.roleArn", "r" }), NULL, NULL, A({ 200, "ecstoken", NULL }, { 200, "role", NULL }, { 200, BOX("ECS"), NULL }, { 200, KEYS("TOP"), NULL }, ok), 5, "TOP", CSFLE_OK, NULL },
    { "nothing", NULL, P({ "ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true" }), NULL, NULL, 0, NULL, CSFLE_E_CONFIG, "no credentials found" },
    { "sts without token", P({ "alicloud.kms.credentialType", "sts" }, { "alicloud.kms.accessKeyId", "a" }, { "alicloud.kms.accessKeySecret", "b" }), NULL, NULL, NULL, 0, NULL, CSFLE_E_CONFIG, "sts needs securityToken" },
    { "role without arn", P({ "alicloud.kms.credentialType", "RAM-role-ARN" }), NULL, NULL, NULL, 0, NULL, CSFLE_E_CONFIG, "needs roleArn" },
    { "odd type", P({ "alicloud.kms.credentialType", "magic" }), NULL, NULL, NULL, 0, NULL, CSFLE_E_CONFIG, "unknown credential type" },
    { "short session", P({ "alicloud.kms.roleSessionExpiration", "60" }), NULL, NULL, NULL, 0, NULL, CSFLE_E_CONFIG, "at least 900" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle_error err = CSFLE_ERROR_INIT;
    fresh(cases[i].props, cases[i].variables, cases[i].files, cases[i].answers, cases[i].sends);
    csfle_status rc = wrap(ID, &err);
    if (rc != cases[i].rc || s.sent != cases[i].sends) fail_msg("%s: %d after %zu: %s", cases[i].what, rc, s.sent, err.msg);
    if (cases[i].says && !strstr(err.msg, cases[i].says)) fail_msg("%s: %s", cases[i].what, err.msg);
    if (!cases[i].credential) continue;
    char want[64];
    snprintf(want, sizeof want, "Credential=%s,", cases[i].credential);
    if (!strstr(s.log[s.sent - 1], want)) fail_msg("%s: %s", cases[i].what, s.log[s.sent - 1]);
  }
}

/* ENC-99 */
TEST(errors_are_classified_and_only_transient_ones_are_tried_again)
{
  const struct { int status; const char *body; size_t sends; csfle_status rc; const char *says; } cases[] = {
    { 403, "{\"Code\":\"Forbidden.NoPermission\",\"Message\":\"no\"}", 1, CSFLE_E_FORBIDDEN, "HTTP 403 Forbidden.NoPermission: no" },
    { 400, "{\"Code\":\"UnauthorizedOperation\"}", 1, CSFLE_E_FORBIDDEN, "UnauthorizedOperation" }, { 404, "{\"Code\":\"Forbidden.KeyNotFound\"}", 1, CSFLE_E_KEY_GONE, "KeyNotFound" },
    { 404, "{\"Code\":\"Forbidden.AliasNotFound\"}", 1, CSFLE_E_KEY_GONE, "AliasNotFound" }, { 409, "{\"Code\":\"Rejected.Unavailable\"}", 1, CSFLE_E_KEY_GONE, "Rejected.Unavailable" },
    { 400, "{\"Code\":\"SignatureDoesNotMatch\"}", 1, CSFLE_E_UNAUTHENTICATED, "SignatureDoesNotMatch" }, { 404, "{\"Code\":\"InvalidAccessKeyId.NotFound\"}", 1, CSFLE_E_UNAUTHENTICATED, "NotFound" },
    { 400, "{\"Code\":\"Throttling.User\"}", 3, CSFLE_E_THROTTLED, "Throttling" }, { 503, "", 3, CSFLE_E_UNAVAILABLE, "503" }, { 429, "", 3, CSFLE_E_THROTTLED, "429" },
    { 400, "{\"Code\":\"InvalidParameter\"}", 1, CSFLE_E_DECRYPT, "InvalidParameter" }, { 200, "{}", 1, CSFLE_E_UNAVAILABLE, "no CiphertextBlob" }, { 200, "{\"CiphertextBlob\":\"\"}", 1, CSFLE_E_UNAVAILABLE, "no CiphertextBlob" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle_error  err = CSFLE_ERROR_INIT;
    const answer a = { cases[i].status, cases[i].body, NULL }, all[] = { a, a, a };
    fresh(keys, NULL, NULL, all, 3);
    csfle_status rc = wrap(ID, &err);
    if (rc != cases[i].rc || s.sent != cases[i].sends || !strstr(err.msg, cases[i].says)) fail_msg("%zu: %d, %zu requests: %s", i, rc, s.sent, err.msg);
    assert_non_null(strstr(err.msg, "alicloud-kms key '" ID "': Encrypt: "));
  }
}

/* ENC-102: a vendor's words may be the request, which has key material and a token in it */
TEST(what_repeats_the_request_is_left_out_of_errors)
{
  static const pair with_token[] = { { "alicloud.kms.accessKeyId", "a" }, { "alicloud.kms.accessKeySecret", "b" }, { "alicloud.kms.securityToken", "CAIStoken/of+session=" }, { 0 } };
  /* the material is "material?>material", bWF0ZXJpYWw/Pm1hdGVyaWFs */
  const struct { const char *code, *message, *left; } cases[] = {
    { "InvalidParameter", "not valid: bWF0ZXJpYWw/Pm1hdGVyaWFs", NULL }, { "InvalidParameter", "Plaintext=bWF0ZXJpYWw%2FPm1hdGVyaWFs", NULL }, { "InvalidParameter", "x%3DbWF0ZXJpYWw%252FPm1hdGVyaWFs", NULL },
    { "InvalidParameter", "pYWw_Pm1hdGVyaWF", NULL }, { "InvalidParameter", "not material?>materi", NULL }, { "InvalidParameter", "CAIStoken/of+s", NULL }, { "InvalidParameter", "CAIStoken%2Fof%2Bs", NULL },
    { "InvalidParameter", "bWF0ZXJpYWw", "bWF0ZXJpYWw" }, { "InvalidParameter", "a word of the vendor", "a word of the vendor" }, { "InvalidParameter", "50%", "50%" },
    { "SignatureDoesNotMatch", "no match. server string to sign is:POST&Plaintext", "no match. " },
  };
  size_t i;
  for (i = 0; i < sizeof cases / sizeof *cases; i++) {
    char          body[400];
    csfle_error   err = CSFLE_ERROR_INIT;
    csfle__secret out = CSFLE__SECRET_INIT;
    snprintf(body, sizeof body, "{\"Code\":\"%s\",\"Message\":\"%s\"}", cases[i].code, cases[i].message);
    const answer a[] = { { 400, body, NULL } };
    fresh(with_token, NULL, NULL, a, 1);
    assert_int_not_equal(script_once(&s, "alicloud-kms", ID, false, BYTES("material?>material"), &out, &err), CSFLE_OK);
    const char *after = strstr(err.msg, cases[i].code);
    assert_non_null(after);
    after += strlen(cases[i].code) + 2;
    if (strcmp(after, cases[i].left ? cases[i].left : "(what the KMS says repeats secrets of the request)") != 0) fail_msg("%zu: %s", i, err.msg);
  }
  printf("# echoes: %zu\n", i);
  assert_int_equal(i, 11);
}

/* AB-8 */
TEST(an_endpoint_that_the_registry_names_is_not_trusted)
{
  static const pair evil[] = { { "alicloud.kms.accessKeyId", "a" }, { "alicloud.kms.accessKeySecret", "b" }, { "alicloud.kms.endpoint", "bucket.oss-cn-hangzhou.aliyuncs.com" }, { 0 } };
  static const pair vpc[] = { { "alicloud.kms.accessKeyId", "a" }, { "alicloud.kms.accessKeySecret", "b" }, { "alicloud.kms.endpoint", "kms-vpc.cn-hangzhou.aliyuncs.com" }, { 0 } };
  const answer      a[] = { { 200, BLOB, NULL } };
  csfle_error       err = CSFLE_ERROR_INIT;
  fresh(evil, NULL, NULL, a, 1);
  s.own = NULL;
  assert_int_equal(wrap(ID, &err), CSFLE_E_POLICY);
  assert_int_equal(s.sent, 0);
  fresh(vpc, NULL, NULL, a, 1);
  s.own = NULL;
  assert_int_equal(wrap(ID, &err), CSFLE_OK);
  fresh(evil, NULL, NULL, a, 1); /* the operator's own: as he says */
  assert_int_equal(wrap(ID, &err), CSFLE_OK);
  assert_non_null(strstr(s.log[0], "https://bucket.oss-cn-hangzhou.aliyuncs.com/?"));
}

TEST(certificates_that_the_operator_names_are_trusted_and_a_kek_names_none) /* AB-8 */
{
  static const pair file[] = { { "alicloud.kms.accessKeyId", "a" }, { "alicloud.kms.accessKeySecret", "b" }, { "alicloud.kms.caFile", "/ca.pem" }, { 0 } };
  static const pair variable[] = { { "ALICLOUD_KMS_CA_FILE", "/env.pem" }, { 0 } };
  const answer      a[] = { { 200, BLOB, NULL } };
  csfle_error       err = CSFLE_ERROR_INIT;
  fresh(file, variable, NULL, a, 1);
  assert_int_equal(wrap(ID, &err), CSFLE_OK);
  assert_string_equal(s.ca, "/ca.pem");
  fresh(keys, variable, NULL, a, 1);
  assert_int_equal(wrap(ID, &err), CSFLE_OK);
  assert_string_equal(s.ca, "/env.pem");
  fresh(file, NULL, NULL, a, 1);
  s.own = NULL;
  assert_int_equal(wrap(ID, &err), CSFLE_E_CONFIG);
  assert_non_null(strstr(err.msg, "a KEK may not"));
  assert_int_equal(s.sent, 0);
}

/* ENC-101 */
static csfle_status tortured(const pair *props, const pair *variables, const pair *files, const answer *a, size_t count)
{
  fresh(props, variables, files, a, count);
  return wrap(ID, NULL);
}
TEST(every_failed_allocation_is_survived_and_secrets_are_wiped)
{
  const answer two[] = { { 200, KEYS("R"), NULL }, { 200, BLOB, NULL } }, ecs[] = { { 200, "t", NULL }, { 200, "role", NULL }, { 200, BOX("E"), NULL }, { 200, BLOB, NULL } };
  TORTURE(tortured(keys, NULL, NULL, two + 1, 1));
  TORTURE(tortured(keys, P({ "ALICLOUD_KMS_CA_FILE", "/env.pem" }), NULL, two + 1, 1));
  TORTURE(tortured(P({ "alicloud.kms.accessKeyId", "a" }, { "alicloud.kms.accessKeySecret", "b" }, { "alicloud.kms.roleArn", "r" }), NULL, NULL, two, 2));
  TORTURE(tortured(NULL, P({ "HOME", "/h" }), P({ "/h/.alibabacloud/credentials", "[default]\ntype=access_key\naccess_key_id=FILE\naccess_key_secret=x\n" }), two + 1, 1));
  TORTURE(tortured(NULL, NULL, NULL, ecs, 4));
  TORTURE(tortured(NULL, P({ "HOME", "/h" }), P({ "/t", "jwt" }, { "/h/.aliyun/config.json", "{\"current\":\"b\",\"profiles\":[{\"name\":\"b\",\"mode\":\"OIDC\",\"oidc_provider_arn\":\"p\",\"oidc_token_file\":\"/t\",\"ram_role_arn\":\"r\",\"role_session_name\":\"s\"}]}" }), two, 2));
}
