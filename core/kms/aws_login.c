/*
 * AWS credentials as one machine [ENC 4.3]: static keys, a profile, or the chain environment, web identity, shared files,
 * container, instance metadata; then the roles to assume on top. It asks for every variable first; what it reads is
 * wiped with it.
 */
#include "core/kms/aws.h"

#include <stdio.h>

#define TIMEOUT_MS      30000
#define METADATA_MS     1000
#define UNKNOWN_LIFE_MS (15 * 60 * 1000)
#define SESSION_NAME    "confluent-encrypt"

enum {
  V_ID, V_SECRET, V_TOKEN, V_PROFILE, V_ROLE, V_ROLE_SESSION, V_ROLE_EXTERNAL, V_WEB_FILE, V_CREDENTIALS, V_CONFIG, V_HOME, V_RELATIVE, V_FULL, V_AUTH,
  V_AUTH_FILE, V_NO_METADATA, V_METADATA, V_METADATA_MODE, V_ENDPOINT, V_ENDPOINT_KMS, V_ENDPOINT_STS
};
static const char *const variables[CSFLE__AWS_VARIABLES] = {
  "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_ROLE_EXTERNAL_ID",
  "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "HOME", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
  "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_EC2_METADATA_DISABLED",
  "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL_STS",
};
enum { NOTHING, KEYS, WEB, CONTAINER, METADATA };

void csfle__aws_login_free(csfle__aws_login *l)
{
  for (size_t i = 0; i < CSFLE__AWS_VARIABLES; i++) csfle__secret_wipe(&l->env[i]);
  csfle__secret_wipe(&l->files[0]), csfle__secret_wipe(&l->files[1]), csfle__secret_wipe(&l->text);
  csfle__session_wipe(&l->got);
  memset(l, 0, sizeof *l);
}

static csfle__bytes env(const csfle__aws_login *l, int v) { return csfle__secret_view(&l->env[v]); }
static csfle__bytes prop(const csfle__aws *a, int p) { return csfle__secret_view(&a->props[p]); }
static csfle__bytes either(csfle__bytes a, csfle__bytes b) { return a.len ? a : b; }

static csfle_status push_role(csfle__aws_login *l, csfle__bytes arn, csfle__bytes session, csfle__bytes external, csfle_error *err)
{
  if (l->role_count == CSFLE__AWS_MAX_ROLES) return csfle__fail(err, CSFLE_E_CONFIG, "aws-kms: more than %d roles to assume one on the other: a source_profile leads in a circle?", CSFLE__AWS_MAX_ROLES - 1);
  l->roles[l->role_count++] = (csfle__aws_role){ arn, either(session, CSFLE__LIT(SESSION_NAME)), external };
  return CSFLE_OK;
}

/* ---- profiles */

static csfle__bytes member(const csfle__aws_login *l, csfle__bytes profile, const char *name)
{
  csfle__bytes v = csfle__aws_profile_get(csfle__secret_view(&l->files[0]), false, profile, name);
  return v.len ? v : csfle__aws_profile_get(csfle__secret_view(&l->files[1]), true, profile, name);
}

static csfle_status use_profile(csfle__aws_login *l, csfle__bytes profile, csfle_error *err)
{
  static const char *const refused[] = { "credential_process", "sso_session", "sso_account_id", NULL };
  for (bool self = false, pointed = false;; pointed = true) {
    csfle__bytes role = self ? CSFLE__NONE : member(l, profile, "role_arn"), source = member(l, profile, "source_profile");
    csfle__bytes id = member(l, profile, "aws_access_key_id"), key = member(l, profile, "aws_secret_access_key");
    if (!role.len) {
      if (id.len && key.len) {
        l->source = KEYS;
        return csfle__session_set(&l->got, id, key, member(l, profile, "aws_session_token"), 0, err);
      }
      for (const char *const *n = refused; *n; n++)
        if (member(l, profile, *n).len) return csfle__fail(err, CSFLE_E_CONFIG, "aws-kms: profile '%.*s' uses %s, which is not supported", CSFLE__FMT(profile), *n);
      if (pointed) return csfle__fail(err, CSFLE_E_CONFIG, "aws-kms: source_profile '%.*s' has no credentials", CSFLE__FMT(profile));
      return CSFLE_OK;
    }
    if (member(l, profile, "mfa_serial").len) return csfle__fail(err, CSFLE_E_CONFIG, "aws-kms: profile '%.*s' uses mfa_serial, which is not supported", CSFLE__FMT(profile));
    csfle__bytes web = member(l, profile, "web_identity_token_file"), from = member(l, profile, "credential_source");
    if (web.len) {
      l->source = WEB, l->web_file = web, l->web_role = role;
      l->web_session = either(member(l, profile, "role_session_name"), CSFLE__LIT(SESSION_NAME));
      return CSFLE_OK;
    }
    csfle_status rc = push_role(l, role, member(l, profile, "role_session_name"), member(l, profile, "external_id"), err);
    if (rc != CSFLE_OK) return rc;
    if (source.len) {
      self = csfle__eq(source, profile);
      profile = source;
    } else if (csfle__eq_str(from, "Environment") && env(l, V_ID).len && env(l, V_SECRET).len) {
      l->source = KEYS;
      return csfle__session_set(&l->got, env(l, V_ID), env(l, V_SECRET), env(l, V_TOKEN), 0, err);
    } else if (csfle__eq_str(from, "EcsContainer")) {
      l->source = CONTAINER;
      return CSFLE_OK;
    } else if (csfle__eq_str(from, "Ec2InstanceMetadata")) {
      l->source = METADATA;
      return CSFLE_OK;
    } else {
      return csfle__fail(err, CSFLE_E_CONFIG, "aws-kms: profile '%.*s' has a role_arn and neither source_profile, web_identity_token_file nor a usable credential_source", CSFLE__FMT(profile));
    }
  }
}

static bool set_path(csfle__aws_login *l, csfle__bytes given, const char *below_home)
{
  csfle__bytes home = env(l, V_HOME);
  int          n;
  if (given.len) n = snprintf(l->path, sizeof l->path, "%.*s", CSFLE__FMT(given));
  else if (home.len) n = snprintf(l->path, sizeof l->path, "%.*s%s", CSFLE__FMT(home), below_home);
  else return false;
  return n > 0 && (size_t)n < sizeof l->path;
}

/* ---- requests */

static csfle_status sts_request(csfle__aws *a, csfle__aws_login *l, csfle__kms_call *call, const char *action, csfle__bytes role, csfle__bytes session,
                                csfle__bytes external, csfle__bytes web_token, csfle_error *err)
{
  csfle__request *r = &call->io.request;
  csfle__bytes    e = either(env(l, V_ENDPOINT_STS), env(l, V_ENDPOINT));
  csfle__http_start(&call->io, "POST", TIMEOUT_MS);
  r->purpose = "sts";
  while (e.len && e.ptr[e.len - 1] == '/') e.len--;
  csfle_status rc = e.len ? csfle__buf_printf(&r->url, err, "%.*s/", CSFLE__FMT(e)) : csfle__buf_printf(&r->url, err, "https://sts.%.*s.%s/", CSFLE__FMT(a->region), a->suffix);
  if (rc == CSFLE_OK) rc = csfle__hosts_check(&a->hosts, e.len ? CSFLE__HOST_OWN : CSFLE__HOST_LOGIN, r, err);
  if (rc == CSFLE_OK) rc = csfle__http_header(&call->io, "Content-Type", CSFLE__LIT("application/x-www-form-urlencoded"), err);
  r->has_body = true;
  if (rc == CSFLE_OK) rc = csfle__http_form(&r->body, "Action", csfle__str(action), err);
  if (rc == CSFLE_OK) rc = csfle__http_form(&r->body, "Version", CSFLE__LIT("2011-06-15"), err);
  if (rc == CSFLE_OK) rc = csfle__http_form(&r->body, "RoleArn", role, err);
  if (rc == CSFLE_OK) rc = csfle__http_form(&r->body, "RoleSessionName", session, err);
  if (rc == CSFLE_OK && external.len) rc = csfle__http_form(&r->body, "ExternalId", external, err);
  if (rc == CSFLE_OK && web_token.len) rc = csfle__http_form(&r->body, "WebIdentityToken", web_token, err);
  if (rc != CSFLE_OK || web_token.len) return rc;
  csfle__sigv4 s = { csfle__secret_view(&l->got.id), csfle__secret_view(&l->got.key), csfle__secret_view(&l->got.token), a->region, "sts" };
  return csfle__sigv4_sign(&s, csfle__aws_now(a, call), r, NULL, NULL, err);
}

static csfle_status container_request(csfle__aws *a, const csfle__aws_login *l, csfle__kms_call *call, csfle__bytes token, csfle_error *err)
{
  csfle__request *r = &call->io.request;
  csfle__bytes    relative = env(l, V_RELATIVE), uri = either(relative, env(l, V_FULL));
  csfle__url      u;
  if (relative.len && relative.ptr[0] != '/') return csfle__fail(err, CSFLE_E_CONFIG, "aws-kms: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with '/'");
  csfle__http_start(&call->io, "GET", METADATA_MS);
  r->purpose = "metadata";
  csfle_status rc = csfle__buf_printf(&r->url, err, "%s%.*s", relative.len ? "http://169.254.170.2" : "", CSFLE__FMT(uri));
  if (rc == CSFLE_OK && !csfle__url_parse(&u, csfle__buf_view(&r->url)))
    rc = csfle__fail(err, CSFLE_E_CONFIG, "aws-kms: the URI for container credentials is no plain http or https URL");
  if (rc == CSFLE_OK && token.len) rc = csfle__http_header(&call->io, "Authorization", token, err);
  if (rc != CSFLE_OK) return rc;
  if (u.tls) return csfle__hosts_check(&a->hosts, CSFLE__HOST_OWN, r, err);
  /* http only to this machine and to the addresses that container platforms use */
  static const uint8_t ecs[4] = { 169, 254, 170, 2 }, eks[4] = { 169, 254, 170, 23 };
  static const uint8_t eks6[16] = { 0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x23 };
  bool                 loop = u.v4 ? csfle__address_v4(u.ip) == CSFLE__ADDRESS_LOOPBACK : u.v6 ? csfle__address_v6(u.ip) == CSFLE__ADDRESS_LOOPBACK : csfle__eq_nocase(u.host, CSFLE__LIT("localhost"));
  bool                 fixed = (u.v4 && (memcmp(u.ip, ecs, 4) == 0 || memcmp(u.ip, eks, 4) == 0)) || (u.v6 && memcmp(u.ip, eks6, 16) == 0);
  if (!loop && !fixed)
    return csfle__fail(err, CSFLE_E_POLICY, "aws-kms: AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, loopback or a container address, its host is '%.*s'", CSFLE__FMT(u.host));
  rc = csfle__hosts_check(&a->hosts, CSFLE__HOST_LOCAL, r, err);
  r->addresses = loop ? CSFLE__ADDRESS_LOOPBACK : CSFLE__ADDRESS_LINK_LOCAL;
  return rc;
}

/* Instance metadata, version 2. Version 1, which any request that somebody else steers can read, is never asked. */
enum { METADATA_TOKEN, METADATA_ROLE, METADATA_KEYS, METADATA_END };
static csfle_status metadata_request(csfle__aws *a, const csfle__aws_login *l, csfle__kms_call *call, csfle_error *err)
{
  csfle__request *r = &call->io.request;
  bool            v6 = csfle__eq_nocase(env(l, V_METADATA_MODE), CSFLE__LIT("ipv6"));
  csfle__bytes    e = either(env(l, V_METADATA), csfle__str(v6 ? "http://[fd00:ec2::254]" : "http://169.254.169.254"));
  csfle__http_start(&call->io, l->i == METADATA_TOKEN ? "PUT" : "GET", METADATA_MS);
  r->purpose = "metadata";
  while (e.len && e.ptr[e.len - 1] == '/') e.len--;
  csfle_status rc = csfle__buf_printf(&r->url, err, "%.*s/latest/%s%s", CSFLE__FMT(e), l->i == METADATA_TOKEN ? "api/token" : "meta-data/iam/security-credentials/",
                                      l->i == METADATA_KEYS ? l->path : "");
  if (rc == CSFLE_OK) rc = csfle__hosts_check(&a->hosts, CSFLE__HOST_LOCAL, r, err);
  if (rc != CSFLE_OK) return rc;
  return l->i == METADATA_TOKEN ? csfle__http_header(&call->io, "X-aws-ec2-metadata-token-ttl-seconds", CSFLE__LIT("21600"), err)
                                : csfle__http_header(&call->io, "X-aws-ec2-metadata-token", csfle__secret_view(&l->text), err);
}

/* ---- answers */

static csfle__bytes first_line(csfle__bytes text)
{
  const uint8_t *end = text.len ? memchr(text.ptr, '\n', text.len) : NULL;
  return end ? csfle__trim(csfle__view(text.ptr, (size_t)(end - text.ptr))) : text;
}

static int64_t life(csfle__bytes expiration, int64_t now_ms)
{
  int64_t ms;
  return csfle__time_iso(expiration, &ms) ? ms : now_ms + UNKNOWN_LIFE_MS;
}

static csfle_status take_xml(csfle__aws_login *l, const csfle__kms_call *call, const csfle__http_about *about, csfle_error *err)
{
  csfle__bytes c = csfle__xml_text(csfle__buf_view(&call->io.reply.body), "Credentials");
  csfle__bytes id = csfle__xml_text(c, "AccessKeyId"), key = csfle__xml_text(c, "SecretAccessKey"), token = csfle__xml_text(c, "SessionToken");
  csfle__bytes all[] = { id, key, token };
  for (size_t i = 0; i < 3; i++) {
    bool bad = all[i].len == 0;
    for (size_t j = 0; j < all[i].len; j++) bad = bad || all[i].ptr[j] <= ' ' || all[i].ptr[j] >= 0x7f || strchr("<>&\"", all[i].ptr[j]);
    if (bad) return csfle__http_failf(about, CSFLE_E_UNAVAILABLE, err, "answer has no credentials that can be used");
  }
  return csfle__session_set(&l->got, id, key, token, life(csfle__xml_text(c, "Expiration"), call->now_ms), err);
}

static csfle_status take_json(csfle__aws_login *l, const csfle__kms_call *call, const csfle__http_about *about, csfle_error *err)
{
  yyjson_doc  *doc = NULL;
  csfle_status rc = csfle__json_parse_secret(&doc, csfle__buf_view(&call->io.reply.body), err);
  if (rc == CSFLE_E_NOMEM) return rc;
  yyjson_val  *root = doc ? yyjson_doc_get_root(doc) : NULL;
  csfle__bytes code = csfle__json_member_text(root, "Code"), id = csfle__json_member_text(root, "AccessKeyId"), key = csfle__json_member_text(root, "SecretAccessKey");
  if ((code.len && !csfle__eq_str(code, "Success")) || !id.len || !key.len) rc = csfle__http_failf(about, CSFLE_E_UNAVAILABLE, err, "answer has no credentials that can be used");
  else rc = csfle__session_set(&l->got, id, key, csfle__json_member_text(root, "Token"), life(csfle__json_member_text(root, "Expiration"), call->now_ms), err);
  yyjson_doc_free(doc);
  return rc;
}

static csfle__next give_up(csfle__kms_call *call, const csfle__http_about *about, const csfle__http_words *w, csfle_error *err)
{
  csfle__aws_fail(about, call, w, err);
  /* a login service that says 400 refuses this identity */
  if (err && call->io.reply.status == 400 && (err->code == CSFLE_E_DECRYPT || err->code == CSFLE_E_CONFIG)) err->code = CSFLE_E_UNAUTHENTICATED;
  csfle__io_reset(&call->io);
  return CSFLE__FAIL;
}

static csfle_status start(csfle__aws *a, csfle__aws_login *l, csfle_error *err)
{
  bool         web = env(l, V_WEB_FILE).len != 0;
  csfle__bytes role = prop(a, CSFLE__AWS_ROLE), e = either(env(l, V_ENDPOINT_KMS), env(l, V_ENDPOINT));
  csfle_status rc = e.len ? csfle__secret_copy(&l->got.endpoint, e, err) : CSFLE_OK;
  /* with web identity the environment's role belongs to that exchange [ENC-86] */
  if (!role.len && !web) role = env(l, V_ROLE);
  if (rc == CSFLE_OK && role.len)
    rc = push_role(l, role, either(prop(a, CSFLE__AWS_ROLE_SESSION), env(l, V_ROLE_SESSION)), either(prop(a, CSFLE__AWS_ROLE_EXTERNAL), env(l, V_ROLE_EXTERNAL)), err);
  if (rc != CSFLE_OK) return rc;
  if (prop(a, CSFLE__AWS_ID).len) {
    l->source = KEYS;
    return csfle__session_set(&l->got, prop(a, CSFLE__AWS_ID), prop(a, CSFLE__AWS_SECRET), CSFLE__NONE, 0, err);
  }
  if (prop(a, CSFLE__AWS_PROFILE).len) return CSFLE_OK;
  if (env(l, V_ID).len && env(l, V_SECRET).len) {
    l->source = KEYS;
    return csfle__session_set(&l->got, env(l, V_ID), env(l, V_SECRET), env(l, V_TOKEN), 0, err);
  }
  if (web) {
    if (!env(l, V_ROLE).len) return csfle__fail(err, CSFLE_E_CONFIG, "aws-kms: AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not");
    l->source = WEB, l->web_file = env(l, V_WEB_FILE), l->web_role = env(l, V_ROLE);
    l->web_session = either(either(prop(a, CSFLE__AWS_ROLE_SESSION), env(l, V_ROLE_SESSION)), CSFLE__LIT(SESSION_NAME));
  }
  return CSFLE_OK;
}

/* the chain ends here; want of memory is another matter */
static csfle__next no_credentials(const csfle__io *io, csfle_error *err)
{
  if (io->reply.failure[0] && csfle__reply_failed(&io->reply, NULL) == CSFLE_E_NOMEM) {
    csfle__nomem(err);
    return CSFLE__FAIL;
  }
  csfle__fail(err, CSFLE_E_CONFIG, "aws-kms: no credentials found: neither access.key.id nor profile is set, and environment, web identity, profile files, container and instance metadata have none");
  return CSFLE__FAIL;
}

csfle__next csfle__aws_login_step(csfle__aws *a, csfle__aws_login *l, csfle__kms_call *call, csfle_error *err)
{
  csfle__io        *io = &call->io;
  csfle__http_about about = { "aws-kms", csfle__str(a->key_id), "AssumeRole" };
  csfle__http_words words;
  csfle__bytes      profile, line;
  csfle__aws_role  *role;

  CSFLE__BEGIN(l);
  for (l->i = 0; l->i < CSFLE__AWS_VARIABLES; l->i++) {
    CSFLE__KMS_NEED(l, io, CSFLE__NEED_VARIABLE, variables[l->i]);
    csfle__secret_move(&l->env[l->i], &io->need_value);
  }
  if (start(a, l, err) != CSFLE_OK) return CSFLE__FAIL;

  if (l->source == NOTHING) {
    for (l->i = 0; l->i < 2; l->i++) {
      if (!set_path(l, env(l, l->i ? V_CONFIG : V_CREDENTIALS), l->i ? "/.aws/config" : "/.aws/credentials")) continue;
      CSFLE__KMS_NEED(l, io, CSFLE__NEED_FILE, l->path);
      csfle__secret_move(&l->files[l->i], &io->need_value);
    }
    profile = either(either(prop(a, CSFLE__AWS_PROFILE), env(l, V_PROFILE)), CSFLE__LIT("default"));
    if (use_profile(l, profile, err) != CSFLE_OK) return CSFLE__FAIL;
    if (l->source == NOTHING && (prop(a, CSFLE__AWS_PROFILE).len || env(l, V_PROFILE).len)) {
      csfle__fail(err, CSFLE_E_CONFIG, "aws-kms: profile '%.*s' has no credentials in the files of profiles", CSFLE__FMT(profile));
      return CSFLE__FAIL;
    }
  }

  if (l->source == WEB) {
    if (!set_path(l, l->web_file, "")) return no_credentials(io, err);
    CSFLE__KMS_NEED(l, io, CSFLE__NEED_FILE, l->path);
    if (!io->need_value.len) {
      csfle__fail(err, CSFLE_E_CONFIG, "aws-kms: web identity token file '%.200s' cannot be read or is empty", l->path);
      return CSFLE__FAIL;
    }
    csfle__secret_move(&l->text, &io->need_value);
    l->tries = 0;
  web:
    if (sts_request(a, l, call, "AssumeRoleWithWebIdentity", l->web_role, l->web_session, CSFLE__NONE, csfle__trim(csfle__secret_view(&l->text)), err) != CSFLE_OK)
      return CSFLE__FAIL;
    CSFLE__STOP(l, CSFLE__SEND);
    about.operation = "AssumeRoleWithWebIdentity";
    if (io->reply.status != 200) {
      words = csfle__http_vendor(&io->reply);
      if (!csfle__http_again(call, &l->tries, csfle__aws_transient(&io->reply, &words))) return give_up(call, &about, &words, err);
      CSFLE__STOP(l, CSFLE__WAIT);
      goto web;
    }
    if (take_xml(l, call, &about, err) != CSFLE_OK) return CSFLE__FAIL;
  }

  if (l->source == CONTAINER || (l->source == NOTHING && (env(l, V_RELATIVE).len || env(l, V_FULL).len))) {
    l->source = CONTAINER;
    if (!env(l, V_RELATIVE).len && !env(l, V_FULL).len) return no_credentials(io, err);
    if (env(l, V_AUTH_FILE).len) {
      if (!set_path(l, env(l, V_AUTH_FILE), "")) return no_credentials(io, err);
      CSFLE__KMS_NEED(l, io, CSFLE__NEED_FILE, l->path);
      csfle__secret_move(&l->text, &io->need_value);
    }
    l->tries = 0;
  container:
    if (container_request(a, l, call, csfle__trim(l->text.len ? csfle__secret_view(&l->text) : env(l, V_AUTH)), err) != CSFLE_OK) return CSFLE__FAIL;
    CSFLE__STOP(l, CSFLE__SEND);
    about.operation = "container credentials";
    if (io->reply.status != 200) {
      words = csfle__http_vendor(&io->reply);
      if (!csfle__http_again(call, &l->tries, csfle__http_transient(&io->reply))) return give_up(call, &about, &words, err);
      CSFLE__STOP(l, CSFLE__WAIT);
      goto container;
    }
    if (take_json(l, call, &about, err) != CSFLE_OK) return CSFLE__FAIL;
  }

  if (l->source == METADATA || l->source == NOTHING) {
    if (csfle__truthy(env(l, V_NO_METADATA))) return no_credentials(io, err);
    l->tries = 0;
    for (l->i = METADATA_TOKEN; l->i < METADATA_END;) {
      if (metadata_request(a, l, call, err) != CSFLE_OK) return CSFLE__FAIL;
      CSFLE__STOP(l, CSFLE__SEND);
      if (io->reply.status != 200) {
        /* nobody there, no version 2, no role: the end of the chain. What answers and is out of breath is there */
        bool there = csfle__http_transient(&io->reply) && (io->reply.status || l->i != METADATA_TOKEN);
        if (csfle__http_again(call, &l->tries, there)) {
          CSFLE__STOP(l, CSFLE__WAIT);
          continue;
        }
        if (!there && l->i != METADATA_KEYS) return no_credentials(io, err);
        about.operation = "instance metadata", words = (csfle__http_words){ "", "" };
        return give_up(call, &about, &words, err);
      }
      about.operation = "instance metadata";
      line = csfle__trim(csfle__buf_view(&io->reply.body));
      if (l->i == METADATA_KEYS) {
        if (take_json(l, call, &about, err) != CSFLE_OK) return CSFLE__FAIL;
      } else if (l->i == METADATA_TOKEN) {
        if (!line.len) return no_credentials(io, err);
        if (csfle__secret_copy(&l->text, line, err) != CSFLE_OK) return CSFLE__FAIL;
      } else {
        line = first_line(line);
        if (!line.len || line.len > 128) return no_credentials(io, err);
        snprintf(l->path, sizeof l->path, "%.*s", CSFLE__FMT(line));
      }
      l->i++;
    }
  }

  while (l->role_count) {
    l->tries = 0;
  assume:
    role = &l->roles[l->role_count - 1];
    if (sts_request(a, l, call, "AssumeRole", role->arn, role->session, role->external, CSFLE__NONE, err) != CSFLE_OK) return CSFLE__FAIL;
    CSFLE__STOP(l, CSFLE__SEND);
    if (io->reply.status != 200) {
      bool tried = l->tries > 0;
      words = csfle__http_vendor(&io->reply);
      if (csfle__aws_skewed(a, call, &words, &tried)) {
        l->tries++;
        goto assume;
      }
      if (!csfle__http_again(call, &l->tries, csfle__aws_transient(&io->reply, &words))) return give_up(call, &about, &words, err);
      CSFLE__STOP(l, CSFLE__WAIT);
      goto assume;
    }
    if (take_xml(l, call, &about, err) != CSFLE_OK) return CSFLE__FAIL;
    l->role_count--;
  }
  csfle__io_reset(io);
  return CSFLE__DONE;
  CSFLE__END;
  csfle__fail(err, CSFLE_E_INTERNAL, "aws-kms login stepped after its end");
  return CSFLE__FAIL;
}
