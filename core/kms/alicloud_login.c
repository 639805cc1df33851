/*
 * Alibaba Cloud credentials as one machine [ENC 4.7]: access key, STS token, or the chain environment, OIDC, the command
 * line's configuration, credentials file, ECS RAM role, credentials URI; then the role to assume on top.
 */
#include "core/kms/alicloud.h"
#include "core/kms/aws.h" /* the credentials file has the same form */

#include <stdio.h>

#define TIMEOUT_MS      30000
#define METADATA_MS     1000
#define UNKNOWN_LIFE_MS (15 * 60 * 1000)
#define SESSION_NAME    CSFLE__LIT("alicloud-kms-csfle")
#define METADATA        "http://100.100.100.200"
#define RAM             METADATA "/latest/meta-data/ram/security-credentials/"

enum {
  V_ENDPOINT, V_CA, V_TYPE, V_ID, V_SECRET, V_TOKEN, V_ROLE, V_ROLE2, V_SESSION, V_SESSION2, V_SECONDS, V_POLICY, V_STS, V_EXTERNAL, V_OIDC_ARN, V_OIDC_FILE, V_FILE, V_PROFILE, V_HOME,
  V_URI, V_ECS_ROLE, V_ECS_OFF
};
static const char *const variables[CSFLE__ALI_VARIABLES] = {
  "ALICLOUD_KMS_ENDPOINT", "ALICLOUD_KMS_CA_FILE", "ALICLOUD_KMS_CREDENTIAL_TYPE", "ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
  "ALIBABA_CLOUD_SECURITY_TOKEN", "ALICLOUD_KMS_ROLE_ARN", "ALIBABA_CLOUD_ROLE_ARN", "ALICLOUD_KMS_ROLE_SESSION_NAME", "ALIBABA_CLOUD_ROLE_SESSION_NAME",
  "ALICLOUD_KMS_ROLE_SESSION_EXPIRATION", "ALICLOUD_KMS_ROLE_POLICY", "ALICLOUD_KMS_STS_ENDPOINT", "ALICLOUD_KMS_EXTERNAL_ID", "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
  "ALIBABA_CLOUD_OIDC_TOKEN_FILE", "ALIBABA_CLOUD_CREDENTIALS_FILE", "ALIBABA_CLOUD_PROFILE", "HOME", "ALIBABA_CLOUD_CREDENTIALS_URI", "ALIBABA_CLOUD_ECS_METADATA",
  "ALIBABA_CLOUD_ECS_METADATA_DISABLED",
};
enum { NOTHING, KEYS, OIDC, ECS, URI };

void csfle__alicloud_login_free(csfle__alicloud_login *l)
{
  for (size_t i = 0; i < CSFLE__ALI_VARIABLES; i++) csfle__secret_wipe(&l->env[i]);
  csfle__secret_wipe(&l->file), csfle__secret_wipe(&l->text), csfle__secret_wipe(&l->role), csfle__secret_wipe(&l->role_session);
  csfle__session_wipe(&l->got);
  memset(l, 0, sizeof *l);
}

static csfle__bytes env(const csfle__alicloud_login *l, int v) { return csfle__secret_view(&l->env[v]); }
static csfle__bytes either(csfle__bytes a, csfle__bytes b) { return a.len ? a : b; }
static csfle__bytes setting(const csfle__alicloud *a, const csfle__alicloud_login *l, int p, int v) { return either(csfle__secret_view(&a->props[p]), env(l, v)); }

static csfle_status need(csfle__bytes v, const char *type, const char *what, csfle_error *err)
{
  return v.len ? CSFLE_OK : csfle__fail(err, CSFLE_E_CONFIG, "alicloud-kms: credential type %s needs %s", type, what);
}

/* "sts", "STS", "RAM-ROLE-ARN" */
static bool is_type(csfle__bytes given, const char *name)
{
  if (given.len != strlen(name)) return false;
  for (size_t i = 0; i < given.len; i++) {
    char c = (char)(given.ptr[i] == '-' ? '_' : given.ptr[i] >= 'A' && given.ptr[i] <= 'Z' ? given.ptr[i] + 32 : given.ptr[i]);
    if (c != name[i]) return false;
  }
  return true;
}

static csfle_status start(csfle__alicloud *a, csfle__alicloud_login *l, csfle_error *err)
{
  csfle__bytes id = setting(a, l, CSFLE__ALI_ID, V_ID), secret = setting(a, l, CSFLE__ALI_SECRET, V_SECRET), token = setting(a, l, CSFLE__ALI_TOKEN, V_TOKEN);
  csfle__bytes role = setting(a, l, CSFLE__ALI_ROLE, V_ROLE), type = setting(a, l, CSFLE__ALI_TYPE, V_TYPE), endpoint = setting(a, l, CSFLE__ALI_ENDPOINT, V_ENDPOINT);
  int64_t      seconds;
  csfle_status rc = CSFLE_OK;
  if (a->props[CSFLE__ALI_CA].len && !a->own[CSFLE__ALI_CA])
    return csfle__fail(err, CSFLE_E_CONFIG, "alicloud-kms: alicloud.kms.caFile names a file of this machine: the operator may set it, a KEK may not");
  rc = csfle__secret_copy(&l->got.ca_file, setting(a, l, CSFLE__ALI_CA, V_CA), err);
  if (rc == CSFLE_OK && endpoint.len) rc = csfle__secret_copy(&l->got.endpoint, endpoint, err);
  l->got.own_endpoint = !a->props[CSFLE__ALI_ENDPOINT].len || a->own[CSFLE__ALI_ENDPOINT];
  role = either(role, env(l, V_ROLE2));
  csfle__bytes expiration = setting(a, l, CSFLE__ALI_SECONDS, V_SECONDS);
  if (rc == CSFLE_OK && expiration.len && (!csfle__parse_i64(expiration, &seconds) || seconds < 900))
    rc = csfle__fail(err, CSFLE_E_CONFIG, "alicloud-kms: role session expiration must be a number of seconds, at least 900");
  if (rc != CSFLE_OK) return rc;
  bool access = is_type(type, "access_key"), sts = is_type(type, "sts"), ram = is_type(type, "ram_role_arn");
  if (type.len && !access && !sts && !ram && !is_type(type, "default"))
    return csfle__fail(err, CSFLE_E_CONFIG, "alicloud-kms: unknown credential type: expected default, access_key, sts or ram_role_arn");
  if (!type.len) ram = role.len != 0, sts = !ram && token.len, access = !ram && !sts && id.len && secret.len;
  if (access || sts) {
    rc = need(id, sts ? "sts" : "access_key", "accessKeyId", err);
    if (rc == CSFLE_OK) rc = need(secret, sts ? "sts" : "access_key", "accessKeySecret", err);
    if (rc == CSFLE_OK && sts) rc = need(token, "sts", "securityToken", err);
    l->source = KEYS;
    return rc == CSFLE_OK ? csfle__session_set(&l->got, id, secret, sts ? token : CSFLE__NONE, 0, err) : rc;
  }
  if (ram) {
    rc = need(role, "ram_role_arn", "roleArn", err);
    l->assume = true;
    if (rc == CSFLE_OK) rc = csfle__secret_copy(&l->role, role, err);
    if (rc == CSFLE_OK && id.len && secret.len) {
      l->source = KEYS;
      return csfle__session_set(&l->got, id, secret, token, 0, err);
    }
  } else if (env(l, V_ID).len && env(l, V_SECRET).len) {
    l->source = KEYS;
    return csfle__session_set(&l->got, env(l, V_ID), env(l, V_SECRET), env(l, V_TOKEN), 0, err);
  }
  csfle__bytes own_role = either(env(l, V_ROLE2), env(l, V_ROLE));
  if (rc == CSFLE_OK && env(l, V_OIDC_ARN).len && env(l, V_OIDC_FILE).len && own_role.len) {
    l->source = OIDC;
    if (!a->props[CSFLE__ALI_ROLE].len) l->assume = false; /* the environment's role belongs to this exchange */
  }
  return rc;
}

static csfle_status push_role(csfle__alicloud_login *l, csfle__bytes role, csfle__bytes session, csfle_error *err)
{
  if (l->assume) return csfle__fail(err, CSFLE_E_CONFIG, "alicloud-kms: the profile assumes a role and so does the configuration: set one of them");
  l->assume = true;
  csfle_status rc = csfle__secret_copy(&l->role, role, err);
  return rc == CSFLE_OK && session.len ? csfle__secret_copy(&l->role_session, session, err) : rc;
}

/* A profile that says what the environment may say too. */
static csfle_status use_oidc(csfle__alicloud_login *l, csfle__bytes profile, csfle__bytes provider, csfle__bytes file, csfle__bytes role, csfle__bytes session, csfle_error *err)
{
  if (!provider.len || !file.len || !role.len)
    return csfle__fail(err, CSFLE_E_CONFIG, "alicloud-kms: profile '%.*s' has no provider, token file or role for OIDC", profile.len > 60 ? 60 : (int)profile.len, (const char *)profile.ptr);
  l->source = OIDC;
  csfle_status rc = csfle__secret_copy(&l->env[V_OIDC_ARN], provider, err);
  if (rc == CSFLE_OK) rc = csfle__secret_copy(&l->env[V_OIDC_FILE], file, err);
  if (rc == CSFLE_OK) rc = csfle__secret_copy(&l->env[V_ROLE2], role, err);
  return rc == CSFLE_OK && session.len && !l->assume ? csfle__secret_copy(&l->role_session, session, err) : rc;
}

/* ~/.aliyun/config.json */
static csfle_status use_config(csfle__alicloud_login *l, csfle_error *err)
{
  yyjson_doc  *doc = NULL;
  yyjson_val  *p;
  size_t       i, n;
  csfle_status rc = csfle__json_parse_secret(&doc, csfle__secret_view(&l->file), err);
  if (rc == CSFLE_E_NOMEM) return rc;
  if (rc != CSFLE_OK) return csfle__fail(err, CSFLE_E_CONFIG, "alicloud-kms: %.200s is not JSON", l->path);
  yyjson_val  *root = yyjson_doc_get_root(doc);
  csfle__bytes name = either(env(l, V_PROFILE), either(csfle__json_member_text(root, "current"), CSFLE__LIT("default")));
  yyjson_arr_foreach(csfle__json_member(root, "profiles"), i, n, p)
  {
    csfle__bytes mode = csfle__json_member_text(p, "mode"), id = csfle__json_member_text(p, "access_key_id"), key = csfle__json_member_text(p, "access_key_secret");
    bool         arn = csfle__eq_str(mode, "RamRoleArn");
    if (!csfle__eq(csfle__json_member_text(p, "name"), name)) continue;
    if (csfle__eq_str(mode, "EcsRamRole")) l->source = ECS;
    else if (csfle__eq_str(mode, "OIDC"))
      rc = use_oidc(l, name, csfle__json_member_text(p, "oidc_provider_arn"), csfle__json_member_text(p, "oidc_token_file"), csfle__json_member_text(p, "ram_role_arn"),
                    csfle__json_member_text(p, "role_session_name"), err);
    else if (csfle__eq_str(mode, "AK") || csfle__eq_str(mode, "StsToken") || arn) {
      if (!id.len || !key.len) continue;
      l->source = KEYS;
      rc = csfle__session_set(&l->got, id, key, csfle__json_member_text(p, "sts_token"), 0, err);
      if (rc == CSFLE_OK && arn) rc = push_role(l, csfle__json_member_text(p, "ram_role_arn"), csfle__json_member_text(p, "ram_session_name"), err);
    } else rc = csfle__fail(err, CSFLE_E_CONFIG, "alicloud-kms: mode '%.*s' of profile '%.*s' is not supported", mode.len > 40 ? 40 : (int)mode.len, (const char *)mode.ptr, CSFLE__FMT(name));
    break;
  }
  yyjson_doc_free(doc);
  return rc;
}

static csfle_status use_file(csfle__alicloud_login *l, csfle_error *err)
{
  csfle__bytes f = csfle__secret_view(&l->file), name = either(env(l, V_PROFILE), CSFLE__LIT("default"));
  csfle__bytes type = csfle__aws_profile_get(f, false, name, "type"), id = csfle__aws_profile_get(f, false, name, "access_key_id");
  csfle__bytes key = csfle__aws_profile_get(f, false, name, "access_key_secret");
  bool         arn = csfle__eq_str(type, "ram_role_arn");
  if (!type.len) return CSFLE_OK;
  if (csfle__eq_str(type, "ecs_ram_role")) {
    l->source = ECS;
    return CSFLE_OK;
  }
  if (csfle__eq_str(type, "oidc_role_arn"))
    return use_oidc(l, name, csfle__aws_profile_get(f, false, name, "oidc_provider_arn"), csfle__aws_profile_get(f, false, name, "oidc_token_file_path"),
                    csfle__aws_profile_get(f, false, name, "role_arn"), csfle__aws_profile_get(f, false, name, "role_session_name"), err);
  if (!arn && !csfle__eq_str(type, "access_key") && !csfle__eq_str(type, "sts"))
    return csfle__fail(err, CSFLE_E_CONFIG, "alicloud-kms: type '%.*s' of profile '%.*s' is not supported", type.len > 40 ? 40 : (int)type.len, (const char *)type.ptr, CSFLE__FMT(name));
  if (!id.len || !key.len) return csfle__fail(err, CSFLE_E_CONFIG, "alicloud-kms: profile '%.*s' has no access_key_id or access_key_secret", CSFLE__FMT(name));
  l->source = KEYS;
  csfle_status rc = csfle__session_set(&l->got, id, key, csfle__aws_profile_get(f, false, name, "security_token"), 0, err);
  return rc == CSFLE_OK && arn ? push_role(l, csfle__aws_profile_get(f, false, name, "role_arn"), csfle__aws_profile_get(f, false, name, "role_session_name"), err) : rc;
}

/* ---- requests */

static csfle_status sts_request(csfle__alicloud *a, csfle__alicloud_login *l, csfle__kms_call *call, const char *action, csfle_error *err)
{
  csfle__request *r = &call->io.request;
  csfle__bytes    e = setting(a, l, CSFLE__ALI_STS, V_STS), oidc = csfle__trim(csfle__secret_view(&l->text)), v;
  bool            own = e.len && (!a->props[CSFLE__ALI_STS].len || a->own[CSFLE__ALI_STS]), web = strcmp(action, "AssumeRole") != 0;
  char            date[32], nonce[33];
  csfle__http_start(&call->io, "POST", TIMEOUT_MS);
  r->purpose = "sts", r->has_body = true;
  while (e.len && e.ptr[e.len - 1] == '/') e.len--;
  bool         plain = csfle__starts(e, CSFLE__LIT("http://")) || csfle__starts(e, CSFLE__LIT("https://"));
  csfle_status rc = e.len ? csfle__buf_printf(&r->url, err, "%s%.*s/?", plain ? "" : "https://", CSFLE__FMT(e)) : csfle__buf_puts(&r->url, "https://sts.aliyuncs.com/?", err);
  if (rc == CSFLE_OK) rc = csfle__hosts_check(&a->hosts, own ? CSFLE__HOST_OWN : CSFLE__HOST_LOGIN, r, err);
  if (rc == CSFLE_OK) rc = csfle__http_header(&call->io, "Content-Type", CSFLE__LIT("application/x-www-form-urlencoded"), err);
  if (rc == CSFLE_OK) rc = csfle__alicloud_nonce(nonce, err);
  csfle__time_format(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", call->now_ms);
  if (rc == CSFLE_OK) rc = csfle__http_form(&r->url, "Version", CSFLE__LIT("2015-04-01"), err);
  if (rc == CSFLE_OK) rc = csfle__http_form(&r->url, "Action", csfle__str(action), err);
  if (rc == CSFLE_OK) rc = csfle__http_form(&r->url, "Format", CSFLE__LIT("JSON"), err);
  if (rc == CSFLE_OK) rc = csfle__http_form(&r->url, "Timestamp", csfle__str(date), err);
  if (rc == CSFLE_OK && !web) rc = csfle__http_form(&r->url, "SignatureMethod", CSFLE__LIT("HMAC-SHA1"), err);
  if (rc == CSFLE_OK && !web) rc = csfle__http_form(&r->url, "SignatureVersion", CSFLE__LIT("1.0"), err);
  if (rc == CSFLE_OK) rc = csfle__http_form(&r->url, "SignatureNonce", csfle__str(nonce), err);
  if (rc == CSFLE_OK && !web) rc = csfle__http_form(&r->url, "AccessKeyId", csfle__secret_view(&l->got.id), err);
  if (rc == CSFLE_OK && !web && l->got.token.len) rc = csfle__http_form(&r->url, "SecurityToken", csfle__secret_view(&l->got.token), err);
  if (rc == CSFLE_OK) rc = csfle__http_form(&r->body, "RoleArn", web ? either(env(l, V_ROLE2), env(l, V_ROLE)) : csfle__secret_view(&l->role), err);
  if (rc == CSFLE_OK && web) rc = csfle__http_form(&r->body, "OIDCProviderArn", env(l, V_OIDC_ARN), err);
  if (rc == CSFLE_OK && web) rc = csfle__http_form(&r->body, "OIDCToken", oidc, err);
  v = either(csfle__secret_view(&l->role_session), either(setting(a, l, CSFLE__ALI_SESSION, V_SESSION), either(env(l, V_SESSION2), SESSION_NAME)));
  if (rc == CSFLE_OK) rc = csfle__http_form(&r->body, "RoleSessionName", v, err);
  if (rc == CSFLE_OK) rc = csfle__http_form(&r->body, "DurationSeconds", either(setting(a, l, CSFLE__ALI_SECONDS, V_SECONDS), CSFLE__LIT("3600")), err);
  v = setting(a, l, CSFLE__ALI_POLICY, V_POLICY);
  if (rc == CSFLE_OK && !web && v.len) rc = csfle__http_form(&r->body, "Policy", v, err);
  v = setting(a, l, CSFLE__ALI_EXTERNAL, V_EXTERNAL);
  if (rc == CSFLE_OK && !web && v.len) rc = csfle__http_form(&r->body, "ExternalId", v, err);
  return rc == CSFLE_OK && !web ? csfle__rpc1_sign(csfle__secret_view(&l->got.key), r, NULL, err) : rc;
}

static csfle_status get_request(csfle__alicloud *a, csfle__kms_call *call, const char *method, const char *base, csfle__bytes rest, csfle__host_kind kind, csfle_error *err)
{
  csfle__http_start(&call->io, method, kind == CSFLE__HOST_LOCAL ? METADATA_MS : TIMEOUT_MS);
  call->io.request.purpose = "metadata";
  csfle_status rc = csfle__buf_printf(&call->io.request.url, err, "%s%.*s", base, CSFLE__FMT(rest));
  return rc == CSFLE_OK ? csfle__hosts_check(&a->hosts, kind, &call->io.request, err) : rc;
}

static csfle_status take(csfle__alicloud_login *l, const csfle__kms_call *call, const csfle__http_about *about, csfle_error *err)
{
  yyjson_doc  *doc = NULL;
  int64_t      until;
  csfle_status rc = csfle__json_parse_secret(&doc, csfle__buf_view(&call->io.reply.body), err);
  if (rc == CSFLE_E_NOMEM) return rc;
  yyjson_val *root = doc ? yyjson_doc_get_root(doc) : NULL, *inner = csfle__json_member(root, "Credentials");
  csfle__bytes code = csfle__json_member_text(root, "Code");
  if (inner) root = inner;
  csfle__bytes id = csfle__json_member_text(root, "AccessKeyId"), key = csfle__json_member_text(root, "AccessKeySecret");
  if ((code.len && !csfle__eq_str(code, "Success")) || !id.len || !key.len) rc = csfle__http_failf(about, CSFLE_E_UNAVAILABLE, err, "answer has no credentials that can be used");
  else {
    if (!csfle__time_iso(csfle__json_member_text(root, "Expiration"), &until)) until = call->now_ms + UNKNOWN_LIFE_MS;
    rc = csfle__session_set(&l->got, id, key, csfle__json_member_text(root, "SecurityToken"), until, err);
  }
  yyjson_doc_free(doc);
  return rc;
}

static csfle__next give_up(csfle__kms_call *call, const csfle__http_about *about, const csfle__http_words *w, csfle_error *err)
{
  csfle__alicloud_fail(about, call, w, err);
  if (err && err->code == CSFLE_E_DECRYPT) err->code = CSFLE_E_UNAUTHENTICATED;
  csfle__io_reset(&call->io);
  return CSFLE__FAIL;
}

static bool no_memory(const csfle__io *io) { return io->reply.failure[0] && csfle__reply_failed(&io->reply, NULL) == CSFLE_E_NOMEM; }

static csfle__next out_of_memory(csfle_error *err)
{
  csfle__nomem(err);
  return CSFLE__FAIL;
}

static csfle__next no_credentials(csfle_error *err)
{
  csfle__fail(err, CSFLE_E_CONFIG, "alicloud-kms: no credentials found: none are set, and environment, OIDC, configuration files, ECS metadata and ALIBABA_CLOUD_CREDENTIALS_URI have none");
  return CSFLE__FAIL;
}

static bool set_path(csfle__alicloud_login *l, csfle__bytes given, const char *below_home)
{
  csfle__bytes home = env(l, V_HOME);
  if (!given.len && !home.len) return false;
  int n = given.len ? snprintf(l->path, sizeof l->path, "%.*s", CSFLE__FMT(given)) : snprintf(l->path, sizeof l->path, "%.*s%s", CSFLE__FMT(home), below_home);
  return n > 0 && (size_t)n < sizeof l->path;
}

csfle__next csfle__alicloud_login_step(csfle__alicloud *a, csfle__alicloud_login *l, csfle__kms_call *call, csfle_error *err)
{
  csfle__io        *io = &call->io;
  csfle__http_about about = { "alicloud-kms", csfle__str(a->id), "AssumeRole" };
  csfle__http_words words;
  csfle__bytes      line;

  CSFLE__BEGIN(l);
  for (l->i = 0; l->i < CSFLE__ALI_VARIABLES; l->i++) {
    CSFLE__KMS_NEED(l, io, CSFLE__NEED_VARIABLE, variables[l->i]);
    csfle__secret_move(&l->env[l->i], &io->need_value);
  }
  if (start(a, l, err) != CSFLE_OK) return CSFLE__FAIL;

  if (l->source == NOTHING && set_path(l, CSFLE__NONE, "/.aliyun/config.json")) {
    CSFLE__KMS_NEED(l, io, CSFLE__NEED_FILE, l->path);
    csfle__secret_move(&l->file, &io->need_value);
    if (l->file.len && use_config(l, err) != CSFLE_OK) return CSFLE__FAIL;
  }
  /* the vendor's libraries for Java and Python look for the first name, that for Go for the second */
  if (l->source == NOTHING && set_path(l, env(l, V_FILE), "/.alibabacloud/credentials.ini")) {
    CSFLE__KMS_NEED(l, io, CSFLE__NEED_FILE, l->path);
    if (!io->need_value.len && !env(l, V_FILE).len && set_path(l, CSFLE__NONE, "/.alibabacloud/credentials")) CSFLE__KMS_NEED(l, io, CSFLE__NEED_FILE, l->path);
    csfle__secret_move(&l->file, &io->need_value);
    if (l->file.len && use_file(l, err) != CSFLE_OK) return CSFLE__FAIL;
  }
  if (l->source == OIDC) {
    if (!set_path(l, env(l, V_OIDC_FILE), "")) return no_credentials(err);
    CSFLE__KMS_NEED(l, io, CSFLE__NEED_FILE, l->path);
    if (!io->need_value.len) {
      csfle__fail(err, CSFLE_E_CONFIG, "alicloud-kms: OIDC token file '%.200s' cannot be read or is empty", l->path);
      return CSFLE__FAIL;
    }
    csfle__secret_move(&l->text, &io->need_value);
    l->tries = 0;
  oidc:
    if (sts_request(a, l, call, "AssumeRoleWithOIDC", err) != CSFLE_OK) return CSFLE__FAIL;
    CSFLE__STOP(l, CSFLE__SEND);
    about.operation = "AssumeRoleWithOIDC";
    if (io->reply.status != 200) {
      words = csfle__http_vendor(&io->reply);
      if (!csfle__http_again(call, &l->tries, csfle__alicloud_transient(&io->reply, &words))) return give_up(call, &about, &words, err);
      CSFLE__STOP(l, CSFLE__WAIT);
      goto oidc;
    }
    if (take(l, call, &about, err) != CSFLE_OK) return CSFLE__FAIL;
  }
  if ((l->source == NOTHING || l->source == ECS) && !csfle__truthy(env(l, V_ECS_OFF))) {
    if (get_request(a, call, "PUT", METADATA "/latest/api/token", CSFLE__NONE, CSFLE__HOST_LOCAL, err) != CSFLE_OK ||
        csfle__http_header(io, "X-aliyun-ecs-metadata-token-ttl-seconds", CSFLE__LIT("21600"), err) != CSFLE_OK)
      return CSFLE__FAIL;
    CSFLE__STOP(l, CSFLE__SEND);
    if (no_memory(io)) return out_of_memory(err);
    line = csfle__trim(csfle__buf_view(&io->reply.body));
    if (io->reply.status == 200 && line.len) {
      if (csfle__secret_copy(&l->text, line, err) != CSFLE_OK) return CSFLE__FAIL;
      if (get_request(a, call, "GET", RAM, CSFLE__NONE, CSFLE__HOST_LOCAL, err) != CSFLE_OK ||
          csfle__http_header(io, "X-aliyun-ecs-metadata-token", csfle__secret_view(&l->text), err) != CSFLE_OK)
        return CSFLE__FAIL;
      CSFLE__STOP(l, CSFLE__SEND);
      if (no_memory(io)) return out_of_memory(err);
      line = either(env(l, V_ECS_ROLE), csfle__trim(csfle__buf_view(&io->reply.body)));
      if (io->reply.status == 200 && line.len && line.len < 128) {
        snprintf(l->path, sizeof l->path, "%.*s", CSFLE__FMT(line));
        if (get_request(a, call, "GET", RAM, csfle__str(l->path), CSFLE__HOST_LOCAL, err) != CSFLE_OK ||
            csfle__http_header(io, "X-aliyun-ecs-metadata-token", csfle__secret_view(&l->text), err) != CSFLE_OK)
          return CSFLE__FAIL;
        CSFLE__STOP(l, CSFLE__SEND);
        about.operation = "ECS metadata";
        words = (csfle__http_words){ "", "" };
        if (io->reply.status != 200) return give_up(call, &about, &words, err);
        if (take(l, call, &about, err) != CSFLE_OK) return CSFLE__FAIL;
        l->source = ECS;
      }
    }
    if (l->source == ECS && !l->got.id.len) return no_credentials(err);
  }
  if (l->source == NOTHING && env(l, V_URI).len) {
    l->tries = 0;
  uri:
    if (get_request(a, call, "GET", "", env(l, V_URI), CSFLE__HOST_OWN, err) != CSFLE_OK) return CSFLE__FAIL;
    CSFLE__STOP(l, CSFLE__SEND);
    about.operation = "credentials URI";
    if (io->reply.status != 200) {
      words = csfle__http_vendor(&io->reply);
      if (!csfle__http_again(call, &l->tries, csfle__http_transient(&io->reply))) return give_up(call, &about, &words, err);
      CSFLE__STOP(l, CSFLE__WAIT);
      goto uri;
    }
    if (take(l, call, &about, err) != CSFLE_OK) return CSFLE__FAIL;
    l->source = URI;
  }
  if (!l->got.id.len) return no_credentials(err);

  if (l->assume) {
    l->tries = 0;
  assume:
    if (sts_request(a, l, call, "AssumeRole", err) != CSFLE_OK) return CSFLE__FAIL;
    CSFLE__STOP(l, CSFLE__SEND);
    if (io->reply.status != 200) {
      words = csfle__http_vendor(&io->reply);
      if (!csfle__http_again(call, &l->tries, csfle__alicloud_transient(&io->reply, &words))) return give_up(call, &about, &words, err);
      CSFLE__STOP(l, CSFLE__WAIT);
      goto assume;
    }
    if (take(l, call, &about, err) != CSFLE_OK) return CSFLE__FAIL;
  }
  csfle__io_reset(io);
  return CSFLE__DONE;
  CSFLE__END;
  csfle__fail(err, CSFLE_E_INTERNAL, "alicloud-kms login stepped after its end");
  return CSFLE__FAIL;
}
