/*
 * A KMS that is not HTTP: data keys are wrapped by an AES key that stays inside a PKCS#11 token (an HSM, a smart card, SoftHSM).
 *
 *     pkcs11 encrypt|decrypt REGISTRY-URL MODULE TOKEN-LABEL     one record of topic "orders", stdin to stdout; PIN in $PKCS11_PIN
 *
 * The rule says encrypt.kms.type = pkcs11-kms and encrypt.kms.key.id = the label of the key. What is stored as wrapped key is
 *
 *     offset  size  field
 *     0       12    IV, from the token's random numbers
 *     12      n+16  AES-GCM ciphertext and tag
 *
 * The second half of this file, from main() on, is what a program needs to use a plug-in; the first is the plug-in.
 * Build: cc pkcs11.c $(pkg-config --cflags --libs csfle p11-kit-1) -ldl
 */
#include <csfle/csfle.h>
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IV_LEN  12
#define TAG_LEN 16
#define KEY_MAX 1024 /* of the bytes wrapped at once; a data key has about 70 */

/* ---- the plug-in */

typedef struct hsm {
  CK_FUNCTION_LIST *f;
  CK_SLOT_ID        slot;
  CK_SESSION_HANDLE login; /* a token stays logged in while a session is open */
  CK_OBJECT_HANDLE  key;
} hsm;

/* A module is initialised once for the process, whoever opens how many keys. A PIN that was refused is not tried again: after a
   few times the token would be locked. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int             pin_refused;

static void fail(csfle_error *err, csfle_status code, const char *what, unsigned long rv)
{
  err->code = code;
  if (rv) snprintf(err->msg, sizeof err->msg, "%s: PKCS#11 error 0x%lx", what, rv);
  else snprintf(err->msg, sizeof err->msg, "%s", what);
}

/* What a return value means for the record. */
static csfle_status status_of(CK_RV rv, int unwrap)
{
  switch (rv) {
  case CKR_OK: return CSFLE_OK;
  case CKR_PIN_INCORRECT: case CKR_PIN_EXPIRED: case CKR_PIN_LOCKED: case CKR_USER_NOT_LOGGED_IN: return CSFLE_E_UNAUTHENTICATED;
  case CKR_KEY_FUNCTION_NOT_PERMITTED: return CSFLE_E_FORBIDDEN;
  case CKR_KEY_HANDLE_INVALID: case CKR_OBJECT_HANDLE_INVALID: return CSFLE_E_KEY_GONE;
  case CKR_HOST_MEMORY: return CSFLE_E_NOMEM;
  case CKR_ENCRYPTED_DATA_INVALID: case CKR_ENCRYPTED_DATA_LEN_RANGE: return CSFLE_E_DECRYPT;
  case CKR_GENERAL_ERROR: return unwrap ? CSFLE_E_DECRYPT : CSFLE_E_UNAVAILABLE; /* what SoftHSM says of a tag that is wrong */
  default: return CSFLE_E_UNAVAILABLE; /* pulled out, busy, broken: it may come back */
  }
}

static int label_is(const CK_UTF8CHAR *padded, size_t size, const char *label)
{
  size_t n = strlen(label);
  if (n > size || memcmp(padded, label, n) != 0) return 0;
  for (; n < size; n++)
    if (padded[n] != ' ') return 0;
  return 1;
}

static CK_RV find_token(hsm *h, const char *label, int *found)
{
  CK_SLOT_ID slots[64];
  CK_ULONG   count = sizeof slots / sizeof *slots;
  CK_RV      rv = h->f->C_GetSlotList(CK_TRUE, slots, &count);
  *found = 0;
  for (CK_ULONG i = 0; rv == CKR_OK && i < count && !*found; i++) {
    CK_TOKEN_INFO info;
    if (h->f->C_GetTokenInfo(slots[i], &info) != CKR_OK || !label_is(info.label, sizeof info.label, label)) continue;
    h->slot = slots[i];
    *found = 1;
  }
  return rv;
}

static CK_RV find_key(hsm *h, const char *label, CK_ULONG *count)
{
  CK_OBJECT_CLASS  kind = CKO_SECRET_KEY;
  CK_ATTRIBUTE     wanted[] = { { CKA_CLASS, &kind, sizeof kind }, { CKA_LABEL, (void *)label, strlen(label) } };
  CK_OBJECT_HANDLE two[2];
  CK_RV            rv = h->f->C_FindObjectsInit(h->login, wanted, 2);
  *count = 0;
  if (rv != CKR_OK) return rv;
  rv = h->f->C_FindObjects(h->login, two, 2, count);
  h->f->C_FindObjectsFinal(h->login);
  if (rv == CKR_OK && *count) h->key = two[0];
  return rv;
}

/* Loads the module, finds the token, logs in, finds the key. Called with the lock. */
static int connect_to(hsm *h, const char *module, const char *token, const char *pin, const char *key, csfle_error *err)
{
  CK_RV (*list)(CK_FUNCTION_LIST **);
  CK_C_INITIALIZE_ARGS args;
  CK_ULONG             count;
  int                  found;
  void                *library = dlopen(module, RTLD_NOW | RTLD_LOCAL); /* never unloaded: other keys may use it */
  if (!library || !(*(void **)&list = dlsym(library, "C_GetFunctionList")) || list(&h->f) != CKR_OK) {
    fail(err, CSFLE_E_CONFIG, "the PKCS#11 module cannot be loaded", 0);
    return 0;
  }
  memset(&args, 0, sizeof args);
  args.flags = CKF_OS_LOCKING_OK;
  CK_RV rv = h->f->C_Initialize(&args);
  if (rv != CKR_OK && rv != CKR_CRYPTOKI_ALREADY_INITIALIZED) {
    fail(err, CSFLE_E_UNAVAILABLE, "the PKCS#11 module does not start", rv);
    return 0;
  }
  rv = find_token(h, token, &found);
  if (rv != CKR_OK || !found) {
    fail(err, CSFLE_E_UNAVAILABLE, "there is no token with the label of pkcs11.token", rv);
    return 0;
  }
  rv = h->f->C_OpenSession(h->slot, CKF_SERIAL_SESSION, NULL, NULL, &h->login);
  if (rv != CKR_OK) {
    fail(err, CSFLE_E_UNAVAILABLE, "the token opens no session", rv);
    return 0;
  }
  rv = h->f->C_Login(h->login, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin));
  if (rv == CKR_USER_ALREADY_LOGGED_IN) rv = CKR_OK; /* by another key of the same token */
  if (rv != CKR_OK) {
    pin_refused = rv == CKR_PIN_INCORRECT || rv == CKR_PIN_LOCKED || rv == CKR_PIN_EXPIRED;
    fail(err, status_of(rv, 0), "the token refuses the PIN", rv);
  } else {
    rv = find_key(h, key, &count);
    if (rv == CKR_OK && count == 1) return 1;
    fail(err, rv != CKR_OK ? CSFLE_E_UNAVAILABLE : count ? CSFLE_E_CONFIG : CSFLE_E_KEY_GONE,
         rv != CKR_OK ? "the token does not list its keys" : count ? "several keys in the token have that label" : "no key in the token has that label", rv);
  }
  h->f->C_CloseSession(h->login);
  return 0;
}

static void *p11_open(const char *key_id, const char *(*prop)(void *ctx, const char *name), void *ctx, csfle_error *err)
{
  const char *module = prop(ctx, "pkcs11.module"), *token = prop(ctx, "pkcs11.token"), *pin = prop(ctx, "pkcs11.pin");
  hsm        *h = calloc(1, sizeof *h);
  int         ok = 0;
  if (!h) {
    fail(err, CSFLE_E_NOMEM, "out of memory", 0);
    return NULL;
  }
  if (!module || !token || !pin) fail(err, CSFLE_E_CONFIG, "pkcs11.module, pkcs11.token and pkcs11.pin have to be set", 0);
  else {
    pthread_mutex_lock(&lock);
    if (pin_refused) fail(err, CSFLE_E_UNAUTHENTICATED, "the token has refused the PIN before: it is not tried again, for that would lock the token", 0);
    else ok = connect_to(h, module, token, pin, key_id, err);
    pthread_mutex_unlock(&lock);
  }
  if (ok) return h;
  free(h);
  return NULL;
}

static void p11_close(void *kms)
{
  hsm *h = kms;
  h->f->C_CloseSession(h->login);
  free(h);
}

/* The compiler does not leave this out, as it may memset. */
static void wipe(void *p, size_t n)
{
  for (volatile unsigned char *at = p; n; n--) *at++ = 0;
}

/* A session of its own for each call: threads may be in here at once, and a session does one thing at a time. */
static CK_RV crypt_it(hsm *h, int unwrap, const unsigned char *in, size_t len, unsigned char *out, CK_ULONG *out_len)
{
  CK_SESSION_HANDLE s;
  CK_GCM_PARAMS     gcm;
  CK_MECHANISM      m = { CKM_AES_GCM, &gcm, sizeof gcm };
  unsigned char     iv[IV_LEN];
  CK_RV             rv = h->f->C_OpenSession(h->slot, CKF_SERIAL_SESSION, NULL, NULL, &s);
  if (rv != CKR_OK) return rv;
  memset(&gcm, 0, sizeof gcm);
  gcm.iv_ptr = iv, gcm.iv_len = IV_LEN, gcm.iv_bits = IV_LEN * 8, gcm.tag_bits = TAG_LEN * 8;
  if (unwrap) memcpy(iv, in, IV_LEN);
  else rv = h->f->C_GenerateRandom(s, iv, IV_LEN);
  if (rv == CKR_OK) rv = unwrap ? h->f->C_DecryptInit(s, &m, h->key) : h->f->C_EncryptInit(s, &m, h->key);
  if (rv == CKR_OK && unwrap) {
    rv = h->f->C_Decrypt(s, (unsigned char *)in + IV_LEN, len - IV_LEN, out, out_len);
  } else if (rv == CKR_OK) {
    memcpy(out, iv, IV_LEN);
    *out_len -= IV_LEN;
    rv = h->f->C_Encrypt(s, (unsigned char *)in, len, out + IV_LEN, out_len);
    *out_len += IV_LEN;
  }
  h->f->C_CloseSession(s);
  return rv;
}

static void p11_run(hsm *h, int unwrap, csfle_kms_call *call, const void *in, size_t len)
{
  unsigned char out[KEY_MAX + IV_LEN + TAG_LEN];
  CK_ULONG      n = sizeof out;
  char          why[64];
  if (unwrap ? len < IV_LEN + TAG_LEN + 1 || len > sizeof out : len > KEY_MAX) {
    csfle_kms_done(call, CSFLE_E_DECRYPT, NULL, 0, "these bytes have no length that a wrapped key can have");
    return;
  }
  CK_RV rv = crypt_it(h, unwrap, in, len, out, &n);
  snprintf(why, sizeof why, "PKCS#11 error 0x%lx", (unsigned long)rv);
  csfle_kms_done(call, status_of(rv, unwrap), out, n, why); /* copies */
  wipe(out, sizeof out);
}

static void p11_wrap(void *kms, csfle_kms_call *call, const void *in, size_t len) { p11_run(kms, 0, call, in, len); }
static void p11_unwrap(void *kms, csfle_kms_call *call, const void *in, size_t len) { p11_run(kms, 1, call, in, len); }

/* ---- a program that uses it */

int main(int argc, char **argv)
{
  static char   in[1 << 20];
  csfle_error   err = CSFLE_ERROR_INIT;
  csfle_kms     pkcs11 = { sizeof pkcs11, "pkcs11-kms", p11_open, p11_wrap, p11_unwrap, p11_close };
  const char   *pin = getenv("PKCS11_PIN");
  csfle_config *cfg;
  csfle_client *cl;
  csfle_serde  *s;
  csfle_buf     out;
  size_t        len;

  if (argc != 5 || !pin || (strcmp(argv[1], "encrypt") != 0 && strcmp(argv[1], "decrypt") != 0)) {
    fprintf(stderr, "usage: PKCS11_PIN=... %s encrypt|decrypt REGISTRY-URL MODULE TOKEN-LABEL < record\n", argv[0]);
    return 2;
  }
  cfg = csfle_config_new("use.latest.version=true");
  csfle_config_set(cfg, "schema.registry.url", argv[2], &err);
  csfle_config_set(cfg, "rule.executors._default_.param.pkcs11.module", argv[3], &err);
  csfle_config_set(cfg, "rule.executors._default_.param.pkcs11.token", argv[4], &err);
  csfle_config_set(cfg, "rule.executors._default_.param.pkcs11.pin", pin, &err);
  csfle_config_add_kms(cfg, &pkcs11, &err);
  cl = csfle_client_open(cfg, &err);
  s = csfle_serde_open(cl, "orders", NULL, &err);

  len = fread(in, 1, sizeof in, stdin);
  csfle_buf_init(&out, 1 << 20, CSFLE_BUF_WIPE);
  if ((argv[1][0] == 'e' ? csfle_serialize(s, CSFLE_JSON, in, len, NULL, &out, NULL, &err) : csfle_deserialize(s, CSFLE_JSON, in, len, NULL, &out, NULL, &err)) != CSFLE_OK)
    fprintf(stderr, "%s: %s: %s\n", csfle_status_name(err.code), err.where, err.msg);
  else
    fwrite(out.ptr, 1, out.len, stdout);
  wipe(in, len);
  csfle_buf_free(&out);
  csfle_serde_close(s);
  csfle_client_close(cl);
  csfle_config_free(cfg);
  return err.code == CSFLE_OK ? 0 : 1;
}
