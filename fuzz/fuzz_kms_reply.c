/*
 * Any replies (and profile files, and tokens) to the HTTP drivers of core/kms. Input: one byte picks driver and sort of
 * credentials, one says wrap or unwrap; then parts ended by 0x1e, one for each file or reply asked for: of a reply the
 * first character is the status (2: 200, ...), then headers and 0x1f if it has any, then the body. Property: a call ends
 * after few steps, with a result or an error that has a text without a secret; requests go only where they may.
 */
#include "fuzz/fuzz.h"

#include "core/kms/driver.h"

#define SECRET "TOPSECRETVALUE"
#define ARN    "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

typedef struct pair { const char *name, *value; } pair;
static const struct {
  const char *type, *key_id;
  pair        props[5], variables[5];
} opened[] = {
  { "aws-kms", ARN, { { "access.key.id", "AKID" }, { "secret.access.key", SECRET } }, { { 0 } } },
  { "aws-kms", "arn:aws:kms:us-east-1:111122223333:alias/a", { { "access.key.id", "AKID" }, { "secret.access.key", SECRET }, { "role.arn", "r" } }, { { 0 } } },
  { "aws-kms", ARN, { { "profile", "p" } }, { { "HOME", "/h" } } },
  { "aws-kms", ARN, { { 0 } }, { { "AWS_WEB_IDENTITY_TOKEN_FILE", "/t" }, { "AWS_ROLE_ARN", "r" } } },
  { "aws-kms", ARN, { { 0 } }, { { "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/c" }, { "AWS_CONTAINER_AUTHORIZATION_TOKEN", SECRET } } },
  { "aws-kms", ARN, { { 0 } }, { { 0 } } },
  { "alicloud-kms", "cn-hangzhou/08ec3bb9", { { "alicloud.kms.accessKeyId", "AKID" }, { "alicloud.kms.accessKeySecret", SECRET } }, { { 0 } } },
  { "alicloud-kms", "cn-hangzhou/alias%2Fa", { { "alicloud.kms.accessKeyId", "AKID" }, { "alicloud.kms.accessKeySecret", SECRET }, { "alicloud.kms.roleArn", "r" } }, { { 0 } } },
  { "alicloud-kms", "cn-hangzhou/08ec3bb9", { { 0 } }, { { "HOME", "/h" } } },
  { "alicloud-kms", "cn-hangzhou/08ec3bb9", { { 0 } }, { { "ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "p" }, { "ALIBABA_CLOUD_OIDC_TOKEN_FILE", "/t" }, { "ALIBABA_CLOUD_ROLE_ARN", "r" } } },
  { "azure-kms", "https://kv.vault.azure.net/keys/k", { { "tenant.id", "t" }, { "client.id", "c" }, { "client.secret", SECRET } }, { { 0 } } },
  { "azure-kms", "https://kv.vault.azure.net/keys/k", { { "encrypt.azure.key.version.save", "true" } }, { { "AZURE_FEDERATED_TOKEN_FILE", "/t" }, { "AZURE_CLIENT_ID", "c" }, { "AZURE_TENANT_ID", "t" } } },
  { "azure-kms", "https://kv.vault.azure.net/keys/k/0123456789abcdef0123456789abcdef", { { 0 } }, { { 0 } } },
  { "gcp-kms", "projects/p/locations/global/keyRings/r/cryptoKeys/k", { { 0 } }, { { "HOME", "/h" } } },
  { "gcp-kms", "projects/p/locations/global/keyRings/r/cryptoKeys/k", { { 0 } }, { { "GOOGLE_APPLICATION_CREDENTIALS", "/f" } } },
  { "hcvault", "https://vault.bank:8200/transit/keys/k", { { "token.id", SECRET } }, { { 0 } } },
  { "hcvault", "https://vault.bank:8200/team/a/kms/keys/k", { { "approle.role.id", "r" }, { "approle.secret.id", SECRET } }, { { "VAULT_NAMESPACE", "n" } } },
};
enum { OPENED = sizeof opened / sizeof *opened };

static const char *pair_get(const pair *p, const char *name)
{
  for (size_t i = 0; i < 5 && p[i].name; i++)
    if (strcmp(p[i].name, name) == 0) return p[i].value;
  return NULL;
}
static const char *get_prop(void *opaque, const char *name) { return pair_get(opaque, name); }
static const char *own_prop(void *opaque, const char *name)
{
  (void)opaque;
  return strcmp(name, "csfle.allow.kms.hosts") == 0 ? "vault.bank:8200,*.vault.azure.net,cloudkms.googleapis.com,kms.us-east-1.amazonaws.com,kms.cn-hangzhou.aliyuncs.com" : NULL;
}

static void answer(csfle__io *io, csfle__bytes part)
{
  unsigned       c = fuzz_byte(&part);
  const uint8_t *cut = part.len ? memchr(part.ptr, 0x1f, part.len) : NULL;
  csfle__buf_clear(&io->reply.headers), csfle__buf_clear(&io->reply.body);
  io->reply.failure[0] = 0;
  io->reply.status = c == '2' ? 200 : c == '1' ? 401 : c == '3' ? 403 : c == '4' ? 400 : c == '5' ? 503 : c == '7' ? 307 : c == '9' ? 429 : 0;
  if (io->reply.status == 0) {
    snprintf(io->reply.failure, sizeof io->reply.failure, "timed out");
    return;
  }
  if (cut) {
    size_t n = (size_t)(cut - part.ptr);
    MUST_OK(csfle__buf_put(&io->reply.headers, part.ptr, n, err));
    part = csfle__from(part, n + 1);
  }
  MUST_OK(csfle__buf_put(&io->reply.body, part.ptr, part.len, err));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  csfle__bytes     in = csfle__view(data, size);
  unsigned         which = fuzz_byte(&in) % OPENED;
  bool             unwrap = fuzz_byte(&in) & 1;
  csfle__kms      *k = NULL;
  csfle__kms_call  call;
  csfle_error      e = CSFLE_ERROR_INIT;
  csfle__kms_props props = { get_prop, (void *)(uintptr_t)opened[which].props, own_prop };
  csfle__next      next;
  bool             told = size && memmem(data, size, SECRET, strlen(SECRET)); /* a vendor that says it itself */

  MUST_OK(csfle__kms_open(&k, csfle__str(opened[which].type), csfle__str(opened[which].key_id), &props, err));
  csfle__kms_call_init(&call, unwrap, csfle__str(unwrap ? "vault:v1:AAAA" : "material"));
  call.now_ms = 1795308912000, call.mono_ms = 1000;
  for (int steps = 0; (next = csfle__kms_step(k, &call, &e)) != CSFLE__DONE && next != CSFLE__FAIL; steps++) {
    MUST(steps < 200);
    if (next == CSFLE__WAIT) {
      MUST(call.io.wait_until_ms > call.mono_ms && call.io.wait_until_ms <= call.mono_ms + 60000);
      call.mono_ms = call.io.wait_until_ms;
    } else if (next == CSFLE__NEED) {
      if (call.io.need_kind == CSFLE__NEED_FILE) {
        csfle__bytes part = fuzz_part(&in, 0x1e);
        MUST_OK(csfle__secret_copy(&call.io.need_value, part, err));
        call.io.need_found = true;
      } else {
        const char *v = pair_get(opened[which].variables, call.io.need_name);
        if (v) MUST_OK(csfle__secret_copy(&call.io.need_value, csfle__str(v), err));
        call.io.need_found = v != NULL;
      }
    } else {
      csfle__bytes h = csfle__buf_view(&call.io.request.headers);
      MUST(call.io.request.addresses != 0 && call.io.request.method && call.io.request.url.len);
      for (size_t i = 0; i < h.len; i++) MUST(h.ptr[i] >= ' ' || h.ptr[i] == '\r' || h.ptr[i] == '\n' || h.ptr[i] == '\t');
      for (size_t i = 0; i < call.io.request.url.len; i++) MUST(call.io.request.url.ptr[i] > ' ');
      answer(&call.io, fuzz_part(&in, 0x1e));
    }
  }
  if (next == CSFLE__DONE) MUST(call.out.len != 0);
  else MUST(e.code != CSFLE_OK && e.msg[0] && call.out.len == 0 && (told || !strstr(e.msg, SECRET)));
  csfle__kms_call_free(&call);
  csfle__kms_close(k);
  return 0;
}
