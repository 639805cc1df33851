/* aws-kms: signatures, requests, every source of credentials, errors, retries, clocks. */
#include "core/kms/aws.h"
#include "tests/unit/core/kms/script.h"

#define NOW   1795308912000 /* 2026-11-22T00:55:12Z */
#define ARN   "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
#define BLOB  "{\"CiphertextBlob\":\"QVdTIQ==\",\"KeyId\":\"" ARN "\"}"
#define PLAIN "{\"KeyId\":\"" ARN "\",\"Plaintext\":\"bWF0ZXJpYWw=\"}"
#define STS(id)                                                                                                                                      \
  "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>" id "</AccessKeyId><SecretAccessKey>roleSecretExample</SecretAccessKey>"         \
  "<SessionToken>roleTokenExample</SessionToken><Expiration>2026-11-22T01:55:12Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
#define JSON_KEYS(id) "{\"Code\":\"Success\",\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"boxSecret\",\"Token\":\"boxToken\",\"Expiration\":\"2026-11-22T01:55:12Z\"}"

static const pair keys[] = { { "access.key.id", "AKIDEXAMPLE" }, { "secret.access.key", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" }, { 0 } };
static script     s;

static void fresh(const pair *props, const pair *variables, const pair *files, const answer *answers, size_t count)
{
  memset(&s, 0, sizeof s);
  s.props = props, s.variables = variables, s.files = files, s.answers = answers, s.count = count;
  s.now_ms = NOW, s.mono_ms = 1000;
}
#define FRESH(props, variables, files, ...)                                   \
  const answer answers_[] = { __VA_ARGS__ };                                  \
  fresh(props, variables, files, answers_, sizeof answers_ / sizeof *answers_)

static csfle_status wrap(const char *key_id, csfle_error *err)
{
  csfle__secret out = CSFLE__SECRET_INIT;
  csfle_status  rc = script_once(&s, "aws-kms", key_id, false, BYTES("material"), &out, err);
  if (rc == CSFLE_OK) assert_true(out.len > 0);
  csfle__secret_wipe(&out);
  return rc;
}

/* ENC-81 */
TEST(every_sigv4_vector_is_reproduced)
{
  yyjson_doc *doc = csfle_test_vectors("encryption.json");
  yyjson_val *e;
  size_t      i, n, ran = 0;
  yyjson_arr_foreach(csfle__json_member(yyjson_doc_get_root(doc), "sigv4"), i, n, e)
  {
    csfle__io    io;
    csfle_buf    can, text, url;
    uint8_t      key[32], want[32];
    char         day[9];
    int64_t      at;
    yyjson_val  *h = csfle__json_member(e, "headers_sent");
    const char  *d = csfle_test_text(h, "x-amz-date");
    char         iso[32];
    snprintf(iso, sizeof iso, "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", d, d + 4, d + 6, d + 9, d + 11, d + 13);
    assert_true(csfle__time_iso(csfle__str(iso), &at));
    csfle__io_init(&io);
    csfle_buf_init(&can, 0, 0), csfle_buf_init(&text, 0, 0), csfle_buf_init(&url, 0, 0);
    csfle__http_start(&io, "POST", 0);
    assert_ok(csfle__buf_printf(&io.request.url, err, "https://%s%s", csfle_test_text(e, "host"), csfle_test_text(e, "path")));
    assert_ok(csfle__http_header(&io, "Content-Type", csfle__str(csfle_test_text(h, "content-type")), err));
    if (*csfle_test_text(h, "x-amz-target")) assert_ok(csfle__http_header(&io, "X-Amz-Target", csfle__str(csfle_test_text(h, "x-amz-target")), err));
    assert_ok(csfle__buf_puts(&io.request.body, csfle_test_text(e, "body"), err));
    csfle__sigv4 v = { csfle__str(csfle_test_text(e, "access_key_id")), csfle__str(csfle_test_text(e, "secret_access_key")),
                       csfle__str(csfle_test_text(e, "session_token")), csfle__str(csfle_test_text(e, "region")), csfle_test_text(e, "service") };
    assert_ok(csfle__sigv4_sign(&v, at, &io.request, &can, &text, err));
    assert_bytes_equal(csfle__buf_view(&can), csfle__str(csfle_test_text(e, "canonical_request")));
    assert_bytes_equal(csfle__buf_view(&text), csfle__str(csfle_test_text(e, "string_to_sign")));
    assert_bytes_equal(csfle__header(csfle__buf_view(&io.request.headers), "authorization"), csfle__str(csfle_test_text(e, "authorization")));
    snprintf(day, sizeof day, "%.8s", d);
    assert_ok(csfle__sigv4_key(&v, day, key, err));
    assert_bytes_equal(csfle__view(key, 32), csfle_test_unhex(csfle__str(csfle_test_text(e, "signing_key_hex")), want, sizeof want));
    csfle__io_free(&io);
    csfle_buf_free(&can), csfle_buf_free(&text), csfle_buf_free(&url);
    ran++;
  }
  printf("# sigv4: %zu entries\n", ran);
  assert_int_equal(ran, 5);
  yyjson_doc_free(doc);
}

/* the recorded requests of an entry, replayed: method, URL, body and headers that are not the SDK's own */
static void compare(yyjson_val *want, const char *got, const char *label)
{
  static const char *const ours[] = { "content-type", "x-amz-target", "x-amz-security-token", "x-aws-ec2-metadata-token", "x-aws-ec2-metadata-token-ttl-seconds", NULL };
  char          line[4096];
  const char   *end = strchr(got, '\n'), *body = strstr(got, "\n\n") ? strstr(got, "\n\n") + 2 : strstr(got, "\n") + 1;
  yyjson_val   *h = csfle__json_member(want, "headers");
  csfle__bytes  lines = csfle__view(end + 1, strlen(end + 1));
  snprintf(line, sizeof line, "%s %s", csfle_test_text(want, "method"), csfle_test_text(want, "url"));
  if (strncmp(got, line, strlen(line)) != 0 || got[strlen(line)] != '\n') fail_msg("%s: asked %.*s, expected %s", label, (int)(end - got), got, line);
  /* headers end with "\r\n" and a line feed follows */
  const char *b = strstr(got, "\r\n\n");
  body = b ? b + 3 : body;
  assert_string_equal(body, csfle_test_text(want, "body"));
  for (const char *const *n = ours; *n; n++) assert_bytes_equal(csfle__header(lines, *n), csfle__str(csfle_test_text(h, *n)));
  const char  *auth = csfle_test_text(h, "authorization");
  csfle__bytes mine = csfle__header(lines, "authorization");
  const char  *comma = strchr(auth, ',');
  if (comma) assert_true(csfle__starts(mine, csfle__view(auth, (size_t)(comma - auth)))); /* the scheme and the credential's scope */
  else assert_bytes_equal(mine, csfle__str(auth));
}

/* ENC-82, ENC-83, ENC-85, ENC-86, ENC-87 */
TEST(every_recorded_request_is_sent_in_the_same_form)
{
  static const pair none[] = { { 0 } };
  static const pair role[] = { { "access.key.id", "AKIDEXAMPLE" }, { "secret.access.key", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" },
                               { "role.arn", "arn:aws:iam::111122223333:role/demo" }, { "role.external.id", "ext-1" }, { 0 } };
  static const pair web[] = { { "AWS_WEB_IDENTITY_TOKEN_FILE", "/token" }, { "AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/irsa" }, { "AWS_ROLE_SESSION_NAME", "sess1" }, { 0 } };
  static const pair token[] = { { "/token", "eyJhbGciOiJub25lIn0.e30." }, { "/pod", "podIdentityTokenExample" }, { 0 } };
  static const pair relative[] = { { "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/abc" }, { 0 } };
  static const pair session[] = { { "AWS_ACCESS_KEY_ID", "ASIAENV" }, { "AWS_SECRET_ACCESS_KEY", "envSecret" }, { "AWS_SESSION_TOKEN", "envToken" }, { 0 } };
  static const pair pod[] = { { "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials" }, { "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/pod" }, { 0 } };
  const struct { const char *id; const pair *props, *variables; } cases[] = {
    { "http-1", keys, none }, { "http-2", keys, none }, { "http-3", keys, none }, { "http-4", role, none }, { "http-5", none, web },
    { "http-6", none, relative }, { "http-7", none, none }, { "http-8", none, session }, { "http-9", none, pod },
  };
  yyjson_doc *doc = csfle_test_vectors("encryption.json");
  yyjson_val *e, *x;
  size_t      i, n, j, m, ran = 0;
  yyjson_arr_foreach(csfle__json_member(yyjson_doc_get_root(doc), "kms_http"), i, n, e)
  {
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
      if (strcmp(csfle_test_text(e, "id"), cases[c].id) != 0) continue;
      answer        a[24];
      size_t        count = 0, calls = 0;
      yyjson_val   *list = csfle__json_member(e, "http");
      csfle__kms   *k = NULL;
      char          key[160] = "";
      yyjson_arr_foreach(list, j, m, x)
      {
        yyjson_val *r = csfle__json_member(x, "response");
        a[count++] = (answer){ 200, csfle_test_text(r, "body"), NULL };
      }
      fresh(cases[c].props, cases[c].variables, token, a, count);
      yyjson_arr_foreach(list, j, m, x)
      {
        yyjson_val  *q = csfle__json_member(x, "request");
        const char  *body = csfle_test_text(q, "body"), *id = strstr(body, "\"KeyId\":\"");
        csfle__bytes t = csfle__str(csfle_test_text(csfle__json_member(q, "headers"), "x-amz-target"));
        if (!t.len) continue;
        int          len = (int)strcspn(id + 9, "\"");
        csfle_error  err = CSFLE_ERROR_INIT;
        csfle__secret plain = CSFLE__SECRET_INIT, out = CSFLE__SECRET_INIT;
        csfle_status rc;
        bool         unwrap = csfle__eq_str(t, "TrentService.Decrypt");
        const char  *b64 = strstr(body, unwrap ? "\"CiphertextBlob\":\"" : "\"Plaintext\":\"") + (unwrap ? 18 : 13);
        assert_true(csfle__http_unbase64(csfle__view(b64, strcspn(b64, "\"")), &plain, &rc));
        if (strncmp(key, id + 9, (size_t)len) != 0 || key[len]) {
          csfle__kms_close(k);
          snprintf(key, sizeof key, "%.*s", len, id + 9);
          assert_int_equal(script_open(&s, "aws-kms", key, &k, &err), CSFLE_OK);
        }
        s.now_ms = NOW;
        if (script_run(&s, k, unwrap, csfle__secret_view(&plain), &out, &err) != CSFLE_OK) fail_msg("%s: %s", cases[c].id, err.msg);
        csfle__secret_wipe(&plain), csfle__secret_wipe(&out);
        calls++;
      }
      csfle__kms_close(k);
      assert_true(calls >= 2);
      assert_int_equal(s.sent, count); /* credentials were fetched once, the second call used them */
      yyjson_arr_foreach(list, j, m, x) compare(csfle__json_member(x, "request"), s.log[j], cases[c].id);
      ran++;
    }
  }
  printf("# kms_http: %zu entries\n", ran);
  assert_int_equal(ran, 9);
  yyjson_doc_free(doc);
}

/* ENC-82 */
TEST(only_strict_key_arns_are_opened)
{
  const struct { const char *id; bool ok; } cases[] = {
    { ARN, true }, { "arn:aws:kms:eu-west-1:111122223333:alias/demo", true }, { "arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/a", true },
    { "arn:aws-eusc:kms:eusc-de-east-1:111122223333:key/a", true }, { "", false }, { "1234abcd", false }, { "arn:aws:kms:us-east-1", false },
    { "arn:aws:s3:us-east-1:111122223333:key/a", false }, { "arn:aws:kms:us-east-1.evil.example/:111122223333:key/a", false },
    { "arn:aws:kms:us-east-1@evil.example:111122223333:key/a", false }, { "arn:aws:kms:cn-north-1:111122223333:key/a", false },
    { "arn:aws:kms:xx-east-1:111122223333:key/a", false }, { "arn:aws:kms:us-east-1:111122223333:key/", false },
    { "arn:aws:kms:us-east-1:111122223333:key/a\"b", false }, { "arn:aws:kms:us-east-1:111122223333:grant/a", false }, { "arn:aws:kms:us-east-1::key/a", false },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle__kms *k;
    csfle_error err = CSFLE_ERROR_INIT;
    fresh(keys, NULL, NULL, NULL, 0);
    csfle_status rc = script_open(&s, "aws-kms", cases[i].id, &k, &err);
    if (rc != (cases[i].ok ? CSFLE_OK : CSFLE_E_CONFIG)) fail_msg("%s: %d %s", cases[i].id, rc, err.msg);
    if (rc != CSFLE_OK) assert_non_null(strstr(err.msg, "invalid key URI"));
    csfle__kms_close(k);
  }
}

/* ENC-84 */
TEST(an_answer_for_another_key_is_refused_except_under_an_alias)
{
  csfle_error   err = CSFLE_ERROR_INIT;
  csfle__secret out = CSFLE__SECRET_INIT;
  const answer  other = { 200, "{\"KeyId\":\"arn:aws:kms:us-east-1:111122223333:key/other\",\"Plaintext\":\"bWF0ZXJpYWw=\"}", NULL };
  FRESH(keys, NULL, NULL, other, other, { 200, "{\"Plaintext\":\"bWF0ZXJpYWw=\"}", NULL }, { 200, "{\"KeyId\":\"" ARN "\"}", NULL }, { 200, "junk", NULL });
  assert_int_equal(script_once(&s, "aws-kms", ARN, true, BYTES("AWS!"), &out, &err), CSFLE_E_DECRYPT);
  assert_non_null(strstr(err.msg, "wrong key id"));
  assert_int_equal(script_once(&s, "aws-kms", "arn:aws:kms:us-east-1:111122223333:alias/a", true, BYTES("AWS!"), &out, &err), CSFLE_OK);
  assert_bytes_equal(csfle__secret_view(&out), BYTES("material"));
  csfle__secret_wipe(&out);
  for (int i = 0; i < 3; i++) /* no key id at all is another one; what is no answer says nothing of the record */
    assert_int_equal(script_once(&s, "aws-kms", ARN, true, BYTES("AWS!"), &out, &err), i ? CSFLE_E_UNAVAILABLE : CSFLE_E_DECRYPT);
}

static const pair home[] = { { "HOME", "/h" }, { 0 } };
#define FILES(credentials, config) (const pair[]){ { "/h/.aws/credentials", credentials }, { "/h/.aws/config", config }, { 0 } }

/* 4.3, profiles */
TEST(profile_files_give_keys_and_roles)
{
  const struct { const char *profile, *credentials, *config; size_t sends; const char *last_id, *error; } cases[] = {
    { NULL, "[default]\naws_access_key_id = AKIDDEF\naws_secret_access_key=sec\n", "", 1, "AKIDDEF", NULL },
    { "p", "[default]\naws_access_key_id=X\naws_secret_access_key=Y\n[p]\r\naws_access_key_id=AKIDP # mine\r\naws_secret_access_key=sec\r\n", "", 1, "AKIDP", NULL },
    { "p", "[q]\n", "[profile p]\naws_access_key_id=AKIDCONF\naws_secret_access_key=sec\ns3 =\n  aws_access_key_id = NO\n", 1, "AKIDCONF", NULL },
    { "p", "[q]\naws_access_key_id=AKIDQ\naws_secret_access_key=sec\n", "[profile p]\nrole_arn=arn:aws:iam::1:role/r\nsource_profile=q\nexternal_id=e\n", 2, "ASIAROLE", NULL },
    { "p", "[p]\naws_access_key_id=AKIDP\naws_secret_access_key=sec\n", "[profile p]\nrole_arn=arn:aws:iam::1:role/r\nsource_profile=p\n", 2, "ASIAROLE", NULL },
    { "a", "[c]\naws_access_key_id=AKIDC\naws_secret_access_key=sec\n", "[profile a]\nrole_arn=ra\nsource_profile=b\n[profile b]\nrole_arn=rb\nsource_profile=c\n", 3, "ASIAROLE", NULL },
    { "p", "", "[profile p]\nrole_arn=arn:aws:iam::1:role/r\nweb_identity_token_file=/token\n", 2, "ASIAROLE", NULL },
    { "a", "", "[profile a]\nrole_arn=ra\nsource_profile=b\n[profile b]\nrole_arn=rb\nsource_profile=a\n", 0, NULL, "circle" },
    { "p", "", "[profile p]\ncredential_process=/bin/evil\n", 0, NULL, "credential_process, which is not supported" },
    { "p", "", "[profile p]\nrole_arn=r\nsource_profile=none\n", 0, NULL, "source_profile 'none' has no credentials" },
    { "p", "", "[profile p]\nrole_arn=r\n", 0, NULL, "neither source_profile" },
    { "p", "", "[profile p]\nrole_arn=r\nmfa_serial=x\nsource_profile=p\n", 0, NULL, "mfa_serial" },
    { "nobody", "[p]\n", "", 0, NULL, "profile 'nobody' has no credentials" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle_error err = CSFLE_ERROR_INIT;
    answer      a[3] = { { 200, BLOB, NULL }, { 200, BLOB, NULL }, { 200, BLOB, NULL } };
    pair        props[] = { { cases[i].profile ? "profile" : "none", cases[i].profile }, { 0 } };
    pair        files[] = { { "/h/.aws/credentials", cases[i].credentials }, { "/h/.aws/config", cases[i].config }, { "/token", "jwt" }, { 0 } };
    for (size_t j = 0; j + 1 < cases[i].sends; j++) a[j].body = STS("ASIAROLE");
    fresh(props, home, files, a, cases[i].sends);
    csfle_status rc = wrap(ARN, &err);
    if (rc != (cases[i].error ? CSFLE_E_CONFIG : CSFLE_OK)) fail_msg("%zu: %d %s", i, rc, err.msg);
    assert_int_equal(s.sent, cases[i].sends);
    if (cases[i].error) {
      if (!strstr(err.msg, cases[i].error)) fail_msg("%zu: %s", i, err.msg);
      continue;
    }
    char want[64];
    snprintf(want, sizeof want, "Credential=%s/", cases[i].last_id);
    assert_non_null(strstr(s.log[s.sent - 1], want));
  }
}

/* ENC-86: as Java, a configured role is assumed on top of web identity, the environment's is not */
TEST(web_identity_and_roles_go_together_as_the_specification_says)
{
  static const pair variables[] = { { "AWS_WEB_IDENTITY_TOKEN_FILE", "/token" }, { "AWS_ROLE_ARN", "arn:aws:iam::1:role/web" }, { 0 } };
  static const pair props[] = { { "role.arn", "arn:aws:iam::1:role/top" }, { 0 } };
  static const pair files[] = { { "/token", "jwt\n" }, { 0 } };
  csfle_error       err = CSFLE_ERROR_INIT;
  FRESH(props, variables, files, { 200, STS("ASIAWEB"), NULL }, { 200, STS("ASIATOP"), NULL }, { 200, BLOB, NULL });
  assert_int_equal(wrap(ARN, &err), CSFLE_OK);
  assert_null(strstr(s.log[0], "Authorization"));
  assert_non_null(strstr(s.log[0], "WebIdentityToken=jwt"));
  assert_non_null(strstr(s.log[0], "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fweb"));
  assert_non_null(strstr(s.log[1], "Credential=ASIAWEB/"));
  assert_non_null(strstr(s.log[1], "role%2Ftop&RoleSessionName=confluent-encrypt"));
  assert_non_null(strstr(s.log[2], "Credential=ASIATOP/"));
  static const pair env_role[] = { { "AWS_ROLE_ARN", "arn:aws:iam::1:role/env" }, { 0 } };
  const answer more[] = { { 200, STS("ASIAENVROLE"), NULL }, { 200, BLOB, NULL } };
  fresh(keys, env_role, NULL, more, 2);
  assert_int_equal(wrap(ARN, &err), CSFLE_OK);
  assert_non_null(strstr(s.log[1], "Credential=ASIAENVROLE/"));
  const answer denied[] = { { 400, "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>bad token</Message></Error></ErrorResponse>", NULL } };
  fresh(NULL, variables, files, denied, 1);
  assert_int_equal(wrap(ARN, &err), CSFLE_E_UNAUTHENTICATED);
  assert_non_null(strstr(err.msg, "AssumeRoleWithWebIdentity: HTTP 400 InvalidIdentityToken: bad token"));
}

/* AB-8: where AWS_CONTAINER_CREDENTIALS_FULL_URI may lead */
TEST(container_credentials_come_from_https_or_this_machine_and_link_only)
{
  const struct { const char *uri; unsigned addresses; } cases[] = {
    { "https://creds.example/x", CSFLE__ADDRESS_OTHER | CSFLE__ADDRESS_LOOPBACK | CSFLE__ADDRESS_LINK_LOCAL }, { "http://127.0.0.1:8080/x", CSFLE__ADDRESS_LOOPBACK },
    { "http://localhost/x", CSFLE__ADDRESS_LOOPBACK }, { "http://[::1]/x", CSFLE__ADDRESS_LOOPBACK }, { "http://169.254.170.23/x", CSFLE__ADDRESS_LINK_LOCAL },
    { "http://[fd00:ec2::23]/x", CSFLE__ADDRESS_LINK_LOCAL }, { "http://169.254.169.254/x", 0 }, { "http://creds.example/x", 0 }, { "http://10.0.0.1/x", 0 },
    { "http://localhost@evil.example/x", 0 }, { "http://2852039166/x", 0 }, { "ftp://127.0.0.1/", 0 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle_error  err = CSFLE_ERROR_INIT;
    pair         v[] = { { "AWS_CONTAINER_CREDENTIALS_FULL_URI", cases[i].uri }, { 0 } };
    const answer no[] = { { 404, "", NULL } };
    fresh(NULL, v, NULL, no, 1);
    csfle_status rc = wrap(ARN, &err);
    assert_int_equal(s.sent, cases[i].addresses != 0);
    if (cases[i].addresses) assert_int_equal(s.addresses, cases[i].addresses);
    else assert_true(rc == CSFLE_E_POLICY || rc == CSFLE_E_CONFIG);
  }
}

/* ENC-87: version 2 and nothing else, wherever the environment says that the service is */
TEST(instance_metadata_is_asked_where_the_environment_says_and_in_version_2_only)
{
  const struct { pair variables[3]; const char *at; unsigned addresses; } cases[] = {
    { { { 0 } }, "http://169.254.169.254/latest/", CSFLE__ADDRESS_LINK_LOCAL },
    { { { "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6" }, { 0 } }, "http://[fd00:ec2::254]/latest/", CSFLE__ADDRESS_LINK_LOCAL },
    { { { "AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1338/" }, { "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6" }, { 0 } }, "http://127.0.0.1:1338/latest/",
      CSFLE__ADDRESS_LOOPBACK },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle_error err = CSFLE_ERROR_INIT;
    char        want[128];
    FRESH(NULL, cases[i].variables, NULL, { 200, "v2token", NULL }, { 200, "box-role\n", NULL }, { 200, JSON_KEYS("ASIABOX"), NULL }, { 200, BLOB, NULL });
    assert_int_equal(wrap(ARN, &err), CSFLE_OK);
    snprintf(want, sizeof want, "GET %smeta-data/iam/security-credentials/box-role\n", cases[i].at);
    assert_true(strncmp(s.log[2], want, strlen(want)) == 0);
    assert_non_null(strstr(s.log[2], "X-aws-ec2-metadata-token: v2token\r\n"));
    const answer no_v2[] = { { 403, "", NULL } };
    fresh(NULL, cases[i].variables, NULL, no_v2, 1);
    assert_int_equal(wrap(ARN, &err), CSFLE_E_CONFIG); /* one request: a second one would fail the script */
    assert_int_equal(s.addresses & ~(unsigned)(CSFLE__ADDRESS_LOOPBACK | CSFLE__ADDRESS_LINK_LOCAL), 0);
    assert_true(s.addresses & cases[i].addresses);
  }
  static const pair nothing[] = { { 0 } };
  const struct { answer a[7]; size_t count, waits; csfle_status rc; } ends[] = {
    { { { 503, "", NULL }, { 200, "t", NULL }, { 0, "timed out", NULL }, { 200, "r", NULL }, { 200, JSON_KEYS("ASIABOX"), NULL }, { 200, BLOB, NULL } }, 6, 2, CSFLE_OK },
    { { { 200, "t", NULL }, { 503, "", NULL }, { 503, "", NULL }, { 503, "", NULL } }, 4, 2, CSFLE_E_UNAVAILABLE },
    { { { 0, "timed out", NULL } }, 1, 0, CSFLE_E_CONFIG }, { { { 200, "t", NULL }, { 404, "", NULL } }, 2, 0, CSFLE_E_CONFIG },
    { { { 200, "t", NULL }, { 200, "", NULL } }, 2, 0, CSFLE_E_CONFIG }, { { { 200, "t", NULL }, { 200, "r", NULL }, { 404, "", NULL } }, 3, 0, CSFLE_E_CONFIG },
    { { { 200, "t", NULL }, { 200, "r", NULL }, { 200, "{\"Code\":\"Failed\"}", NULL } }, 3, 0, CSFLE_E_UNAVAILABLE },
  };
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    csfle_error err = CSFLE_ERROR_INIT;
    fresh(NULL, nothing, NULL, ends[i].a, ends[i].count);
    csfle_status rc = wrap(ARN, &err);
    if (rc != ends[i].rc || s.sent != ends[i].count || s.waits != ends[i].waits) fail_msg("%zu: %d after %zu requests, %u waits: %s", i, rc, s.sent, s.waits, err.msg);
  }
  static const pair bad[] = { { "AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://user@host/" }, { 0 } };
  csfle_error       err = CSFLE_ERROR_INIT;
  fresh(NULL, bad, NULL, NULL, 0);
  assert_int_equal(wrap(ARN, &err), CSFLE_E_CONFIG);
}

/* ENC-87 */
TEST(sessions_are_renewed_five_minutes_before_they_end_and_kept_while_they_last)
{
  static const pair v[] = { { "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/c" }, { 0 } };
  csfle__kms       *k;
  csfle_error       err = CSFLE_ERROR_INIT;
  csfle__secret     out = CSFLE__SECRET_INIT;
  FRESH(NULL, v, NULL, { 200, JSON_KEYS("ASIA1"), NULL }, { 200, BLOB, NULL }, { 200, BLOB, NULL }, { 200, JSON_KEYS("ASIA2"), NULL }, { 200, BLOB, NULL },
        { 403, "", NULL }, { 200, BLOB, NULL }, { 400, "{\"__type\":\"ExpiredTokenException\"}", NULL }, { 403, "", NULL });
  assert_int_equal(script_open(&s, "aws-kms", ARN, &k, &err), CSFLE_OK);
  const struct { int64_t at_min; size_t sent; csfle_status rc; } steps[] = { { 0, 2, CSFLE_OK }, { 54, 3, CSFLE_OK }, { 56, 5, CSFLE_OK }, { 57, 7, CSFLE_OK }, { 40, 9, CSFLE_E_FORBIDDEN } };
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    s.now_ms = NOW + steps[i].at_min * 60000;
    assert_int_equal(script_run(&s, k, false, BYTES("m"), &out, &err), steps[i].rc);
    assert_int_equal(s.sent, steps[i].sent);
    csfle__secret_wipe(&out);
  }
  assert_non_null(strstr(s.log[4], "Credential=ASIA2/"));
  assert_non_null(strstr(s.log[6], "Credential=ASIA2/")); /* renewal failed, the old one lives yet */
  csfle__kms_close(k);
}

/* a key that is open for weeks sees its owner replace the access key */
TEST(credentials_that_are_no_longer_known_are_looked_for_once_more)
{
  static const char *const codes[] = { "UnrecognizedClientException", "ExpiredTokenException", "InvalidSignatureException" };
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    csfle__kms   *k;
    csfle_error   err = CSFLE_ERROR_INIT;
    csfle__secret out = CSFLE__SECRET_INIT;
    char          refusal[64];
    pair          files[] = { { "/h/.aws/credentials", "[default]\naws_access_key_id=AKIDOLD\naws_secret_access_key=old\n" }, { 0 } };
    snprintf(refusal, sizeof refusal, "{\"__type\":\"%s\"}", codes[i]);
    FRESH(NULL, home, files, { 200, BLOB, NULL }, { 400, refusal, NULL }, { 200, BLOB, NULL }, { 400, refusal, NULL }, { 400, refusal, NULL });
    assert_int_equal(script_open(&s, "aws-kms", ARN, &k, &err), CSFLE_OK);
    assert_int_equal(script_run(&s, k, false, BYTES("m"), &out, &err), CSFLE_OK);
    files[0].value = "[default]\naws_access_key_id=AKIDNEW\naws_secret_access_key=new\n";
    assert_int_equal(script_run(&s, k, false, BYTES("m"), &out, &err), CSFLE_OK);
    assert_non_null(strstr(s.log[1], "Credential=AKIDOLD/"));
    assert_non_null(strstr(s.log[2], "Credential=AKIDNEW/"));
    csfle__secret_wipe(&out);
    assert_int_equal(script_run(&s, k, false, BYTES("m"), &out, &err), CSFLE_E_UNAUTHENTICATED); /* once */
    assert_int_equal(s.sent, 5);
    csfle__kms_close(k);
  }
}

/* ENC-99, 4.3 errors */
TEST(errors_are_classified_and_only_transient_ones_are_tried_again)
{
  const struct { int status; const char *body, *headers; size_t sends; csfle_status rc; const char *says; } cases[] = {
    { 400, "{\"__type\":\"com.amazonaws.kms#AccessDeniedException\",\"message\":\"not authorized\"}", NULL, 1, CSFLE_E_FORBIDDEN, "HTTP 400 AccessDeniedException: not authorized" },
    { 400, "{\"__type\":\"UnauthorizedOperation\"}", NULL, 1, CSFLE_E_FORBIDDEN, "UnauthorizedOperation" },
    { 400, "{\"__type\":\"NotFoundException\",\"Message\":\"no key\"}", NULL, 1, CSFLE_E_KEY_GONE, "no key" },
    { 400, "{\"__type\":\"DisabledException\"}", NULL, 1, CSFLE_E_KEY_GONE, "DisabledException" },
    { 403, "<?xml version=\"1.0\"?>\n<ErrorResponse><Errors><Error><Code>SignatureDoesNotMatch</Code><Message>wrong\x1b[31m</Message></Error></Errors></ErrorResponse>", NULL, 1,
      CSFLE_E_UNAUTHENTICATED, "HTTP 403 SignatureDoesNotMatch: wrong [31m" },
    { 400, "{\"__type\":\"UnrecognizedClientException\",\"message\":\"The security token included in the request is invalid.\"}", NULL, 1, CSFLE_E_UNAUTHENTICATED,
      "UnrecognizedClientException" },
    { 400, "{\"__type\":\"ExpiredTokenException\"}", NULL, 1, CSFLE_E_UNAUTHENTICATED, "ExpiredTokenException" },
    { 401, "", NULL, 1, CSFLE_E_UNAUTHENTICATED, "HTTP 401" },
    { 400, "", "x-amzn-ErrorType: InvalidCiphertextException:http://x/\r\n", 1, CSFLE_E_DECRYPT, "InvalidCiphertextException" },
    { 307, "", "Location: http://evil.example/\r\n", 1, CSFLE_E_CONFIG, "HTTP 307" }, { 404, "<html>", NULL, 1, CSFLE_E_CONFIG, "HTTP 404" },
    { 501, "", NULL, 1, CSFLE_E_UNAVAILABLE, "HTTP 501" }, { 400, "{\"__type\":\"ValidationException\"}", NULL, 1, CSFLE_E_DECRYPT, "ValidationException" },
    { 400, "{\"__type\":\"ThrottlingException\"}", NULL, 3, CSFLE_E_THROTTLED, "ThrottlingException" },
    { 500, "{\"__type\":\"KMSInternalException\"}", NULL, 3, CSFLE_E_UNAVAILABLE, "KMSInternalException" },
    { 429, "", NULL, 3, CSFLE_E_THROTTLED, "HTTP 429" }, { 503, "", NULL, 3, CSFLE_E_UNAVAILABLE, "HTTP 503" },
    { 503, "", "Retry-After: 3600\r\n", 1, CSFLE_E_UNAVAILABLE, "HTTP 503" },
    { 0, "timed out", NULL, 3, CSFLE_E_TIMEOUT, "timed out" }, { 0, "connection refused", NULL, 3, CSFLE_E_UNAVAILABLE, "connection refused" },
    { 0, CSFLE__REFUSED_ADDRESS, NULL, 1, CSFLE_E_POLICY, "csfle.allow.kms.hosts" }, { 0, "reply is longer than the 9 bytes allowed", NULL, 1, CSFLE_E_UNAVAILABLE, "longer" },
    { 400, "[[[[", NULL, 1, CSFLE_E_CONFIG, "HTTP 400" }, { 200, "", NULL, 1, CSFLE_E_UNAVAILABLE, "not JSON" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    csfle_error err = CSFLE_ERROR_INIT;
    answer      a = { cases[i].status, cases[i].body, cases[i].headers }, all[3] = { a, a, a };
    fresh(keys, NULL, NULL, all, 3);
    csfle_status rc = wrap(ARN, &err);
    if (rc != cases[i].rc || s.sent != cases[i].sends || !strstr(err.msg, cases[i].says)) fail_msg("%zu: %d, %zu requests: %s", i, rc, s.sent, err.msg);
    assert_non_null(strstr(err.msg, "aws-kms key '" ARN "': Encrypt: "));
    assert_int_equal(s.waits, cases[i].sends - 1);
    assert_int_equal(err.http, cases[i].status == 200 ? 0 : cases[i].status);
    assert_null(strstr(err.msg, "wJalr")), assert_null(strstr(err.msg, "\x1b"));
  }
  csfle_error  err = CSFLE_ERROR_INIT;
  const answer later[] = { { 503, "", "Retry-After: 2\r\n" }, { 503, "", "Retry-After: Sun, 22 Nov 2026 00:55:17 GMT\r\n" }, { 200, BLOB, NULL } };
  fresh(keys, NULL, NULL, later, 3);
  assert_int_equal(wrap(ARN, &err), CSFLE_OK);
  assert_int_equal(s.waited_ms, 2000 + 5000);
  const answer at_once[] = { { 503, "", "Retry-After: 0\r\n" }, { 200, BLOB, NULL } };
  fresh(keys, NULL, NULL, at_once, 2);
  assert_int_equal(wrap(ARN, &err), CSFLE_OK); /* script_run: a wait is a wait */
}

/* recorded from LocalStack: what AWS says of keys that cannot be used */
TEST(every_recorded_key_state_has_its_status)
{
  yyjson_doc *doc = csfle_test_vectors("kms-states.json");
  yyjson_val *e, *name, *value;
  size_t      i, n, j, m, ran = 0;
  yyjson_arr_foreach(csfle__json_member(yyjson_doc_get_root(doc), "aws"), i, n, e)
  {
    yyjson_val   *r = csfle__json_member(e, "response");
    const char   *id = csfle_test_text(e, "id"), *key = csfle_test_text(e, "key_id"), *operation = csfle_test_text(e, "operation");
    char          lines[512] = "", said[256];
    csfle_error   err = CSFLE_ERROR_INIT;
    csfle__secret out = CSFLE__SECRET_INIT;
    int64_t       status = 0;
    assert_true(csfle__json_i64(csfle__json_member(r, "status"), &status));
    yyjson_obj_foreach(csfle__json_member(r, "headers"), j, m, name, value)
      snprintf(lines + strlen(lines), sizeof lines - strlen(lines), "%s: %s\r\n", yyjson_get_str(name), yyjson_get_str(value));
    const answer a[] = { { (int)status, csfle_test_text(r, "body"), lines } };
    fresh(keys, NULL, NULL, a, 1); /* none is worth another try */
    csfle_status rc = script_once(&s, "aws-kms", key, strcmp(operation, "Decrypt") == 0, BYTES("material"), &out, &err);
    if (strcmp(csfle_status_name(rc), csfle_test_text(e, "expect")) != 0) fail_msg("%s: %s, %s", id, csfle_status_name(rc), err.msg);
    assert_int_equal(s.sent, 1);
    if (rc != CSFLE_OK) {
      snprintf(said, sizeof said, "aws-kms key '%s': %s: HTTP %d %s", key, operation, (int)status, csfle_test_text(csfle__json_member(r, "headers"), "X-Amzn-Errortype"));
      if (!strstr(err.msg, said)) fail_msg("%s: '%s' does not say %s", id, err.msg, said);
      assert_int_equal(err.http, status);
    }
    csfle__secret_wipe(&out);
    ran++;
  }
  printf("# kms-states: %zu entries\n", ran);
  assert_int_equal(ran, 8);
  yyjson_doc_free(doc);
}

TEST(a_clock_that_is_wrong_is_put_right_once) /* AB-12 */
{
  csfle_error err = CSFLE_ERROR_INIT;
  csfle__kms *k;
  csfle__secret out = CSFLE__SECRET_INIT;
#define SKEWED(date) { 400, "{\"__type\":\"InvalidSignatureException\"}", "Date: " date "\r\n" }
  FRESH(keys, NULL, NULL, SKEWED("Sun, 22 Nov 2026 02:55:12 GMT"), { 200, BLOB, NULL }, { 200, BLOB, NULL });
  assert_int_equal(script_open(&s, "aws-kms", ARN, &k, &err), CSFLE_OK);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(script_run(&s, k, false, BYTES("m"), &out, &err), CSFLE_OK);
    csfle__secret_wipe(&out);
  }
  csfle__kms_close(k);
  assert_non_null(strstr(s.log[0], "X-Amz-Date: 20261122T005512Z"));
  assert_non_null(strstr(s.log[1], "X-Amz-Date: 20261122T025512Z"));
  assert_non_null(strstr(s.log[2], "X-Amz-Date: 20261122T025512Z")); /* it stays right */
  const answer twice[] = { SKEWED("Sun, 22 Nov 2026 02:55:12 GMT"), SKEWED("Sun, 22 Nov 2026 04:55:12 GMT") };
  fresh(keys, NULL, NULL, twice, 2);
  assert_int_equal(wrap(ARN, &err), CSFLE_E_UNAUTHENTICATED);
  const answer right[] = { SKEWED("Sun, 22 Nov 2026 00:55:20 GMT") };
  fresh(keys, NULL, NULL, right, 1);
  assert_int_equal(wrap(ARN, &err), CSFLE_E_UNAUTHENTICATED); /* the clock is not what is wrong */
}

/* AB-8 */
TEST(hosts_and_endpoints_are_those_of_the_operator)
{
  static const pair list[] = { { "csfle.allow.kms.hosts", "kms.eu-central-1.amazonaws.com" }, { 0 } };
  static const pair endpoint[] = { { "AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:5501/" }, { "AWS_ENDPOINT_URL", "https://other.example" }, { 0 } };
  csfle_error       err = CSFLE_ERROR_INIT;
  FRESH(keys, NULL, NULL, { 200, BLOB, NULL });
  s.own = list;
  assert_int_equal(wrap(ARN, &err), CSFLE_E_POLICY);
  assert_non_null(strstr(err.msg, "kms.us-east-1.amazonaws.com"));
  assert_non_null(strstr(err.msg, "csfle.allow.kms.hosts"));
  assert_int_equal(s.sent, 0);
  fresh(keys, endpoint, NULL, answers_, 1);
  assert_int_equal(wrap(ARN, &err), CSFLE_OK);
  assert_non_null(strstr(s.log[0], "POST http://127.0.0.1:5501/\n"));
  const answer none[] = { { 0, "timed out", NULL } };
  fresh(NULL, NULL, NULL, none, 1);
  assert_int_equal(wrap(ARN, &err), CSFLE_E_CONFIG);
  assert_non_null(strstr(err.msg, "no credentials found"));
  static const pair off[] = { { "AWS_EC2_METADATA_DISABLED", "true" }, { 0 } };
  fresh(NULL, off, NULL, NULL, 0);
  assert_int_equal(wrap(ARN, &err), CSFLE_E_CONFIG);
  static const pair half[] = { { "access.key.id", "A" }, { 0 } };
  fresh(half, NULL, NULL, NULL, 0);
  assert_int_equal(wrap(ARN, &err), CSFLE_E_CONFIG);
}

/* found by fuzz_kms_reply */
TEST(credentials_with_control_characters_make_no_header)
{
  static const pair v[] = { { "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/c" }, { 0 } };
  csfle_error       err = CSFLE_ERROR_INIT;
  FRESH(NULL, v, NULL, { 200, "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"b\",\"Token\":\"t\\r\\nX-Evil: 1\"}", NULL });
  assert_int_equal(wrap(ARN, &err), CSFLE_E_CONFIG);
  assert_int_equal(s.sent, 1);
  assert_null(strstr(err.msg, "Evil"));
}

/* ENC-101 */
static csfle_status tortured(const pair *props, const pair *variables, const pair *files, const answer *a, size_t count)
{
  csfle_error err = CSFLE_ERROR_INIT;
  fresh(props, variables, files, a, count);
  return wrap(ARN, &err);
}
TEST(every_failed_allocation_is_survived_and_secrets_are_wiped)
{
  static const pair   role[] = { { "profile", "p" }, { "role.arn", "r" }, { 0 } };
  static const pair   web[] = { { "AWS_WEB_IDENTITY_TOKEN_FILE", "/token" }, { "AWS_ROLE_ARN", "w" }, { 0 } };
  static const pair   box[] = { { "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/c" }, { "AWS_CONTAINER_AUTHORIZATION_TOKEN", "t" }, { 0 } };
  static const pair   token[] = { { "/token", "jwt" }, { 0 } };
  static const answer two[] = { { 200, STS("ASIA1"), NULL }, { 200, BLOB, NULL } };
  static const answer boxed[] = { { 200, JSON_KEYS("ASIA1"), NULL }, { 200, BLOB, NULL } };
  TORTURE(tortured(keys, NULL, NULL, two + 1, 1));
  TORTURE(tortured(role, home, FILES("[p]\naws_access_key_id=AKIDP\naws_secret_access_key=sec\n", "[profile q]\n"), two, 2));
  TORTURE(tortured(NULL, web, token, two, 2));
  TORTURE(tortured(NULL, box, NULL, boxed, 2));
  static const answer imds[] = { { 200, "token", NULL }, { 200, "role", NULL }, { 200, JSON_KEYS("ASIA1"), NULL }, { 200, BLOB, NULL } };
  TORTURE(tortured(NULL, NULL, NULL, imds, 4));
}
