/* AB-5: however a subject or KEK is spelled, what the router takes for S acts on S, and what it does not leaves S alone.
   Random spellings from a printed seed; every call of the DEK Registry that names a subject. */
#include "tests/support/rest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 120

static unsigned seed;

static unsigned pick(unsigned n)
{
  seed = seed * 1103515245u + 12345u;
  return (seed >> 16) % n;
}

/* percent-encodes what must be and some of what need not */
static void encode(char *out, size_t size, const char *text)
{
  size_t n = 0;
  for (const unsigned char *p = (const unsigned char *)text; *p && n + 4 < size; p++) {
    bool must = *p <= ' ' || *p >= 0x7f || strchr("/%?#", *p);
    if (must || pick(4) == 0) n += (size_t)snprintf(out + n, size - n, pick(2) ? "%%%02x" : "%%%02X", *p);
    else out[n++] = (char)*p;
  }
  out[n] = 0;
}

/* a base path and a segment that the router takes for the subject `name` of the context ("" the default one) */
static void spell(char *base, size_t base_size, char *segment, size_t size, const char *context, const char *name)
{
  static const char *const defaults[] = { ".", ":.:", "%2e", "%3A.%3A", ":.", ".:" };
  char plain[256], encoded[600];
  unsigned how = pick(3);

  snprintf(base, base_size, "/dek-registry/v1");
  if (!*context) {
    if (how == 0) snprintf(base, base_size, "/contexts/%s/dek-registry/v1", defaults[pick(sizeof defaults / sizeof *defaults)]);
    if (how == 1) snprintf(base, base_size, "/contexts/.elsewhere/dek-registry/v1");
    snprintf(plain, sizeof plain, "%s%s", how == 1 || pick(2) ? ":.:" : "", name);
  } else if (how == 0) {
    snprintf(plain, sizeof plain, pick(2) ? ":.%s:" : pick(2) ? ".%s" : "%s", context);
    encode(encoded, sizeof encoded, plain);
    snprintf(base, base_size, "/contexts/%s/dek-registry/v1", encoded);
    snprintf(plain, sizeof plain, "%s", name);
  } else {
    if (how == 1) snprintf(base, base_size, "/contexts/.elsewhere/dek-registry/v1");
    snprintf(plain, sizeof plain, ":.%s:%s", context, name);
  }
  encode(segment, size, plain);
}

static csfle_test_reply call(const char *method, const char *path, const char *body)
{
  return csfle_test_http(csfle_test_rest_registry(), method, path, body);
}

static void is(const char *method, const char *path, const char *body, long status, const char *has)
{
  csfle_test_reply p = call(method, path, body);
  if (p.status != status || (has && !strstr(p.body, has))) fail_msg("seed %u: %s %s %s: %ld %s, expected %ld %s", seed, method, path, body ? body : "", p.status, p.body, status, has ? has : "");
  csfle_test_reply_free(&p);
}

/* the DEK as its own name tells it, always spelled in the same way */
static void canonical_is(const char *canonical, int version, const char *material, bool deleted)
{
  char path[700], has[300];
  snprintf(path, sizeof path, "/dek-registry/v1/keks/kek_1/deks/%s/versions/%d?deleted=true", canonical, version);
  snprintf(has, sizeof has, "\"encryptedKeyMaterial\":\"%s\"", material);
  is("GET", path, NULL, 200, has);
  snprintf(path, sizeof path, "/dek-registry/v1/keks/kek_1/deks/%s/versions/%d", canonical, version);
  is("GET", path, NULL, deleted ? 404 : 200, deleted ? "40470" : has);
}

static void all_calls(const char *context, const char *name, const char *canonical, const char *stored_json)
{
  char base[300], segment[700], kek[64], path[1400], body[200], subject[300], body_subject[700];
  int  version = 0;

  snprintf(subject, sizeof subject, "\"subject\":%s", stored_json);
#define SPELL() (spell(base, sizeof base, segment, sizeof segment, context, name), encode(kek, sizeof kek, "kek_1"))
#define PATH(fmt, ...) (SPELL(), snprintf(path, sizeof path, "%s/keks/%s/deks" fmt "%s", base, kek __VA_OPT__(,) __VA_ARGS__, pick(3) ? "" : "/"), path)
#define QUERY(fmt, ...) (SPELL(), snprintf(path, sizeof path, "%s/keks/%s/deks" fmt, base, kek __VA_OPT__(,) __VA_ARGS__), path)
  for (int round = 0; round < ROUNDS; round++) {
    version++;
    snprintf(body, sizeof body, "{\"version\":%d,\"encryptedKeyMaterial\":\"bTE=\"}", version);
    is("POST", PATH("/%s", segment), body, 200, subject);
    canonical_is(canonical, version, "bTE=", false);
    is("GET", PATH("/%s/versions/%d", segment, version), NULL, 200, subject);
    is("GET", PATH("/%s/versions/latest", segment), NULL, 200, subject);
    is("GET", PATH("/%s/versions", segment), NULL, 200, NULL);
    is("POST", PATH("/%s", segment), body, 409, "40971");
    snprintf(body, sizeof body, "{\"version\":%d,\"encryptedKeyMaterial\":\"bTI=\"}", version);
    is("POST", QUERY("/%s?rewrap=true", segment), body, 200, subject);
    canonical_is(canonical, version, "bTI=", false);
    is("DELETE", PATH("/%s/versions/%d", segment, version), NULL, 204, NULL);
    canonical_is(canonical, version, "bTI=", true);
    is("POST", PATH("/%s/versions/%d/undelete", segment, version), NULL, 204, NULL);
    canonical_is(canonical, version, "bTI=", false);
    is("DELETE", PATH("/%s", segment), NULL, 204, NULL);
    canonical_is(canonical, version, "bTI=", true);
    is("POST", PATH("/%s/undelete", segment), NULL, 204, NULL);
    canonical_is(canonical, version, "bTI=", false);
    /* the old form: the subject in the body, escaped at will */
    size_t n = 0;
    char   full[300];
    snprintf(full, sizeof full, "%s%s%s%s", *context ? ":." : pick(2) ? ":.:" : "", context, *context ? ":" : "", name);
    for (const unsigned char *p = (const unsigned char *)full; *p && n + 8 < sizeof body_subject; p++) {
      if (*p == '"' || *p == '\\') body_subject[n++] = '\\';
      if (*p < 0x80 && *p != '"' && *p != '\\' && pick(4) == 0) n += (size_t)snprintf(body_subject + n, 7, "\\u%04x", *p);
      else body_subject[n++] = (char)*p;
    }
    body_subject[n] = 0;
    version++;
    char old[1000];
    snprintf(old, sizeof old, "{\"subject\":\"%s\",\"version\":%d,\"encryptedKeyMaterial\":\"bTM=\"}", body_subject, version);
    is("POST", PATH(""), old, 200, subject);
    canonical_is(canonical, version, "bTM=", false);
    is("DELETE", PATH("/%s/versions/%d", segment, version), NULL, 204, NULL);
    is("DELETE", QUERY("/%s/versions/%d?permanent=true", segment, version), NULL, 204, NULL);
    snprintf(path, sizeof path, "/dek-registry/v1/keks/kek_1/deks/%s/versions/%d?deleted=true", canonical, version);
    is("GET", path, NULL, 404, "40470");
    version--; /* every second one is gone again */
  }
}

static void begin(void)
{
  static const char *const args[] = { "--store", "memory", "-X", "csfle.trash.days=0", NULL };
  csfle_test_rest_fresh(args);
  seed = (unsigned)time(NULL) ^ (unsigned)getpid();
  printf("# seed %u\n", seed);
  is("POST", "/dek-registry/v1/keks", "{\"name\":\"kek_1\",\"kmsType\":\"t\",\"kmsKeyId\":\"i\"}", 200, NULL);
}

TEST(AB_5_every_spelling_of_a_subject_is_that_subject)
{
  begin();
  all_calls("", "payroll", "payroll", "\"payroll\"");
  all_calls("ctx", "payroll", "%3A.ctx%3Apayroll", "\":.ctx:payroll\"");
  all_calls("", "a/b c;x%41", "a%2Fb%20c%3Bx%2541", "\"a/b c;x%41\"");
  all_calls("ctx", "\xc3\xa9..\xe4\xb8\xad", "%3A.ctx%3A%C3%A9..%E4%B8%AD", "\":.ctx:\xc3\xa9..\xe4\xb8\xad\"");
  /* and nothing else came to be */
  is("GET", "/dek-registry/v1/keks/kek_1/deks?deleted=true", NULL, 200, "[\":.ctx:payroll\",\":.ctx:\xc3\xa9..\xe4\xb8\xad\",\"a/b c;x%41\",\"payroll\"]");
}

TEST(AB_5_an_alias_leads_where_it_says_however_it_is_spelled)
{
  char base[300], segment[700], path[1400];
  begin();
  is("PUT", "/config/nick", "{\"aliasForDeks\":\"payroll\"}", 200, NULL);
  is("PUT", "/config/%3A.ctx%3Anick", "{\"alias\":\"payroll\"}", 200, NULL);
  for (int round = 1; round <= ROUNDS; round++) {
    bool ctx = pick(2);
    char body[100];
    spell(base, sizeof base, segment, sizeof segment, ctx ? "ctx" : "", "nick");
    snprintf(path, sizeof path, "%s/keks/kek_1/deks/%s", base, segment);
    snprintf(body, sizeof body, "{\"version\":%d,\"encryptedKeyMaterial\":\"bTE=\"}", round);
    is("POST", path, body, 200, ctx ? "\"subject\":\":.ctx:payroll\"" : "\"subject\":\"payroll\"");
    canonical_is(ctx ? "%3A.ctx%3Apayroll" : "payroll", round, "bTE=", false);
    spell(base, sizeof base, segment, sizeof segment, ctx ? "ctx" : "", "nick");
    snprintf(path, sizeof path, "%s/keks/kek_1/deks/%s/versions/%d", base, segment, round);
    is("DELETE", path, NULL, 204, NULL);
    canonical_is(ctx ? "%3A.ctx%3Apayroll" : "payroll", round, "bTE=", true);
  }
  is("GET", "/dek-registry/v1/keks/kek_1/deks?deleted=true", NULL, 200, "[\":.ctx:payroll\",\"payroll\"]");
}

/* what is not S is itself, or is refused; never S */
TEST(AB_5_what_looks_like_a_subject_is_not_it)
{
  static const struct { const char *segment, *subject; long status; } cases[] = {
    { "payroll;x", "\"payroll;x\"", 200 },
    { "payroll;x=1", "\"payroll;x=1\"", 200 },
    { "pay%2572oll", "\"pay%72oll\"", 200 }, /* decoded once */
    { "pay%25%372oll", "\"pay%72oll\"", 200 },
    { "Payroll", "\"Payroll\"", 200 },
    { "payroll%20", "\"payroll \"", 200 },
    { "+payroll", "\"+payroll\"", 200 },
    { "..%2Fpayroll", "\"../payroll\"", 200 },
    { "%2e%2e", "\"..\"", 200 },
    { ".", "\".\"", 200 },
    { "x%2F..%2Fpayroll", "\"x/../payroll\"", 200 },
    { ":*:payroll", "\":*:payroll\"", 200 },
    { "cafe%CC%81", "\"cafe\xcc\x81\"", 200 }, /* NFD beside the NFC below: two subjects, as in every registry */
    { "caf%C3%A9", "\"caf\xc3\xa9\"", 200 },
    { "payroll%00", NULL, 422 },
    { "payroll%0A", NULL, 422 },
    { "payroll%C0%AF", NULL, 400 }, /* an overlong slash */
    { "payroll%", NULL, 400 },
    { "payroll%2", NULL, 400 },
    { "payroll%ZZ", NULL, 400 },
    { "x/../payroll", NULL, 404 },
    { "/payroll", NULL, 404 },
    { "payroll//versions/1", NULL, 404 },
  };
  begin();
  is("POST", "/dek-registry/v1/keks/kek_1/deks/payroll", "{\"encryptedKeyMaterial\":\"bTE=\"}", 200, NULL);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char path[300], subject[200] = "";
    snprintf(path, sizeof path, "/dek-registry/v1/keks/kek_1/deks/%s", cases[i].segment);
    if (cases[i].subject) snprintf(subject, sizeof subject, "\"subject\":%s", cases[i].subject);
    csfle_test_reply p = call("POST", path, "{\"encryptedKeyMaterial\":\"bTI=\"}");
    bool known = p.status == cases[i].status || (p.status == 409 && cases[i].subject); /* two spellings of one name */
    if (!known || (p.status == 200 && !strstr(p.body, subject))) fail_msg("%s: %ld %s", path, p.status, p.body);
    csfle_test_reply_free(&p);
    p = call("DELETE", path, NULL);
    csfle_test_reply_free(&p);
    canonical_is("payroll", 1, "bTE=", false);
  }
}

/* the same of KEK names */
TEST(AB_5_every_spelling_of_a_kek_is_that_kek)
{
  char name[200], path[400], body[100];
  begin();
  is("POST", "/dek-registry/v1/keks", "{\"name\":\"cl\xc3\xa9\",\"kmsType\":\"t\",\"kmsKeyId\":\"i\"}", 200, NULL);
  for (int round = 0; round < ROUNDS; round++) {
    static const char *const bases[] = { "/dek-registry/v1", "/contexts/.ctx/dek-registry/v1", "/contexts/:.:/dek-registry/v1" };
    encode(name, sizeof name, "cl\xc3\xa9");
    snprintf(path, sizeof path, "%s/keks/%s%s", bases[pick(3)], name, pick(2) ? "/" : "");
    snprintf(body, sizeof body, "{\"doc\":\"d%d\"}", round);
    is("PUT", path, body, 200, "\"name\":\"cl\xc3\xa9\"");
    snprintf(body, sizeof body, "\"doc\":\"d%d\"", round);
    is("GET", "/dek-registry/v1/keks/cl%C3%A9", NULL, 200, body);
  }
  static const char *const others[] = { "cle%CC%81", "cl%25C3%25A9", "Cl%C3%A9", "cl%C3%A9;x", "cl%C3%A9%20" };
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    snprintf(path, sizeof path, "/dek-registry/v1/keks/%s", others[i]);
    csfle_test_reply p = call("PUT", path, "{\"doc\":\"wrong\"}");
    if (p.status != 404 && p.status != 422) fail_msg("%s: %ld %s", path, p.status, p.body);
    csfle_test_reply_free(&p);
  }
  is("GET", "/dek-registry/v1/keks?deleted=true", NULL, 200, "[\"cl\xc3\xa9\",\"kek_1\"]");
}

THE_END
