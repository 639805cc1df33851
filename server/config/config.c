/* See config.h. */
#include "server/config/config.h"

#include "core/base/alloc.h"
#include "core/base/secret.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct { const char *name, *value, *help; } table[] = {
#define REGISTRY_PROPERTY(name, value, help) { name, value, help },
#include "server/config/properties.def"
#undef REGISTRY_PROPERTY
};
#define COUNT (sizeof table / sizeof *table)

/* what a Java registry knows and this server does not do: silently going on without it would be worse than not starting */
static const struct { const char *prefix, *why; } refused[] = {
  { "authentication.", "authentication is not supported yet" },
  { "ssl.client.", "client certificates are not supported yet" },
  { "ssl.truststore.", "client certificates are not supported yet" },
  { "ssl.keystore.password", "a key store is a PEM file, which has none; the password of its key is ssl.key.password" },
  { "ssl.", "this setting of TLS is not supported: versions are 1.2 and 1.3, ciphers GnuTLS's own choice" },
  { "listener.name.", "settings of one listener are not supported yet" },
  { "confluent.", "plug-ins of the Java server are not supported" },
  { "kafkastore.", "a store on Kafka is not supported yet, use csfle.store=embedded" },
  { "kafkacache.", "a store on Kafka is not supported yet, use csfle.store=embedded" },
  { "metadata.encoder.", "encrypting sensitive metadata is not supported yet" },
  { "access.control.", "CORS is not supported yet" },
};

#define NAME_SHOWN 24 /* bytes of what has no dot */

struct registry_properties {
  char *values[COUNT];
};

registry_properties *registry_properties_new(void)
{
  return (registry_properties *)csfle__calloc(1, sizeof(registry_properties));
}

/* a value may be a private key or its password */
static void free_value(char *value)
{
  if (value) csfle__free_secret(value, strlen(value));
}

void registry_properties_free(registry_properties *p)
{
  if (!p) return;
  for (size_t i = 0; i < COUNT; i++) free_value(p->values[i]);
  csfle__free(p);
}

static size_t find(csfle__bytes name)
{
  for (size_t i = 0; i < COUNT; i++)
    if (csfle__eq_str(name, table[i].name)) return i;
  return COUNT;
}

csfle_status registry_properties_set(registry_properties *p, csfle__bytes name, csfle__bytes value, csfle_error *err)
{
  size_t at = find(name);
  bool   off = csfle__eq_nocase(value, CSFLE__LIT("none")) || csfle__eq_nocase(value, CSFLE__LIT("false")) || value.len == 0;

  if (at == COUNT) {
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
      if (csfle__starts(name, csfle__str(refused[i].prefix))) {
        if (off) return CSFLE_OK; /* what is switched off need not be there */
        return csfle__fail(err, CSFLE_E_CONFIG, "property \"%.*s\": %s", CSFLE__FMT(name), refused[i].why);
      }
    if (name.len > NAME_SHOWN && !memchr(name.ptr, '.', name.len)) /* not a name: a line of a key, perhaps */
      return csfle__fail(err, CSFLE_E_CONFIG, "this is no property; a value of several lines, a key say, has \\n for each line break, and a backslash where the line goes on in the next");
    return csfle__fail(err, CSFLE_E_CONFIG, "unknown property \"%.*s\"", CSFLE__FMT(name));
  }
  char *copy = csfle__dup(value.ptr, value.len);
  if (!copy) return csfle__nomem(err);
  free_value(p->values[at]);
  p->values[at] = copy;
  return CSFLE_OK;
}

csfle_status registry_properties_set_line(registry_properties *p, const char *line, csfle_error *err)
{
  const char *eq = strchr(line, '=');
  if (!eq || eq == line) {
    size_t shown = strcspn(line, ": \t"); /* behind a slip of the finger may stand a password */
    return csfle__fail(err, CSFLE_E_CONFIG, "\"%.*s%s\" is not of the form name=value", (int)(shown < 100 ? shown : 100), line, line[shown] ? "..." : "");
  }
  return registry_properties_set(p, csfle__trim(csfle__view(line, (size_t)(eq - line))), csfle__str(eq + 1), err);
}

/* one logical line, unescaped, cut at the first '=' or ':' outside an escape (or at white space) */
static csfle_status take_line(registry_properties *p, const char *text, size_t len, csfle_error *err)
{
  char  *out = (char *)csfle__alloc(len + 1);
  size_t n = 0, i = 0, name_len = 0;
  bool   value = false;

  if (!out) return csfle__nomem(err);
  while (i < len) {
    char c = text[i++];
    bool escaped = c == '\\' && i < len;
    if (escaped) {
      c = text[i++];
      if (c == 't') c = '\t';
      else if (c == 'n') c = '\n';
      else if (c == 'r') c = '\r';
    }
    if (!value && !escaped && (c == '=' || c == ':' || c == ' ' || c == '\t')) {
      while (i < len && (text[i] == ' ' || text[i] == '\t')) i++;
      if (c != '=' && c != ':' && i < len && (text[i] == '=' || text[i] == ':')) i++;
      while (i < len && (text[i] == ' ' || text[i] == '\t')) i++;
      name_len = n;
      value = true;
      continue;
    }
    out[n++] = c;
  }
  if (!value) name_len = n;
  csfle_status rc = registry_properties_set(p, csfle__view(out, name_len), csfle__view(out + name_len, n - name_len), err);
  csfle__free_secret(out, len + 1);
  return rc;
}

csfle_status registry_properties_load(registry_properties *p, const char *path, csfle_error *err)
{
  FILE        *f = fopen(path, "r");
  char        *line = NULL, read_ahead[4096];
  size_t       cap = 0;
  int          number = 0;
  csfle_buf    logical;
  csfle_status rc = CSFLE_OK;

  if (!f) return csfle__fail(err, CSFLE_E_CONFIG, "cannot read %s: %s", path, strerror(errno));
  setvbuf(f, read_ahead, _IOFBF, sizeof read_ahead); /* where it can be wiped */
  csfle_buf_init(&logical, 1 << 20, CSFLE_BUF_WIPE);
  for (ssize_t got; rc == CSFLE_OK && (got = getline(&line, &cap, f)) >= 0;) {
    number++;
    while (got > 0 && (line[got - 1] == '\n' || line[got - 1] == '\r')) got--;
    const char *text = line;
    while (got > 0 && isspace((unsigned char)*text)) text++, got--;
    if (!logical.len && (got == 0 || *text == '#' || *text == '!')) continue;
    size_t slashes = 0;
    while (slashes < (size_t)got && text[(size_t)got - 1 - slashes] == '\\') slashes++;
    bool more = slashes % 2 == 1;
    rc = csfle__buf_put(&logical, text, (size_t)got - (more ? 1 : 0), err);
    if (rc != CSFLE_OK || more) continue;
    rc = take_line(p, (const char *)logical.ptr, logical.len, err);
    csfle__buf_clear(&logical);
  }
  if (rc == CSFLE_OK && logical.len) rc = take_line(p, (const char *)logical.ptr, logical.len, err);
  if (rc != CSFLE_OK) csfle__where(err, "%s:%d", path, number);
  if (line) csfle__wipe(line, cap);
  free(line);
  fclose(f);
  csfle__wipe(read_ahead, sizeof read_ahead);
  csfle_buf_free(&logical);
  return rc;
}

const char *registry_property(const registry_properties *p, const char *name)
{
  size_t at = find(csfle__str(name));
  return at == COUNT ? "" : p->values[at] ? p->values[at] : table[at].value;
}

bool registry_property_given(const registry_properties *p, const char *name)
{
  size_t at = find(csfle__str(name));
  return at < COUNT && p->values[at];
}

csfle_status registry_property_int(const registry_properties *p, const char *name, int64_t low, int64_t high, int64_t *out, csfle_error *err)
{
  const char *text = registry_property(p, name);
  if (csfle__parse_i64(csfle__trim(csfle__str(text)), out) && *out >= low && *out <= high) return CSFLE_OK;
  return csfle__fail(err, CSFLE_E_CONFIG, "property \"%s\" is \"%s\", expected a number from %lld to %lld", name, text, (long long)low, (long long)high);
}

csfle_status registry_property_bool(const registry_properties *p, const char *name, bool *out, csfle_error *err)
{
  csfle__bytes text = csfle__trim(csfle__str(registry_property(p, name)));
  *out = csfle__truthy(text);
  if (*out || csfle__eq_nocase(text, CSFLE__LIT("false"))) return CSFLE_OK;
  return csfle__fail(err, CSFLE_E_CONFIG, "property \"%s\" is \"%.*s\", expected true or false", name, CSFLE__FMT(text));
}

void registry_properties_help(csfle_buf *out)
{
  for (size_t i = 0; i < COUNT; i++) {
    (void)csfle__buf_printf(out, NULL, "  %s%s%s\n", table[i].name, *table[i].value ? "=" : "", table[i].value);
    if (*table[i].help) (void)csfle__buf_printf(out, NULL, "      %s\n", table[i].help);
  }
}

csfle_status registry_listener_parse(registry_listener *out, csfle__bytes text, csfle_error *err)
{
  csfle__bytes t = csfle__trim(text);
  char         copy[128];
  int64_t      port;

  memset(out, 0, sizeof *out);
  out->tls = csfle__starts(t, CSFLE__LIT("https://"));
  if ((!out->tls && !csfle__starts(t, CSFLE__LIT("http://"))) || t.len >= sizeof copy)
    return csfle__fail(err, CSFLE_E_CONFIG, "listeners: \"%.*s\" is not of the form http://ADDRESS:PORT or https://ADDRESS:PORT", CSFLE__FMT(t));
  snprintf(copy, sizeof copy, "%.*s", CSFLE__FMT(csfle__from(t, out->tls ? 8 : 7)));
  char *colon = strrchr(copy, ':'), *host = copy;
  if (!colon || !csfle__parse_i64(csfle__str(colon + 1), &port) || port < 0 || port > 65535)
    return csfle__fail(err, CSFLE_E_CONFIG, "listeners: \"%.*s\" names no port", CSFLE__FMT(t));
  *colon = 0;
  if (host[0] == '[' && colon[-1] == ']') colon[-1] = 0, host++;
  if (strcmp(host, "localhost") == 0) host = (char *)"127.0.0.1";
  if (!*host) host = (char *)"0.0.0.0";
  struct in_addr  v4;
  struct in6_addr v6;
  if (inet_pton(AF_INET, host, &v4) == 1) out->loopback = (ntohl(v4.s_addr) >> 24) == 127;
  else if (inet_pton(AF_INET6, host, &v6) == 1) out->loopback = IN6_IS_ADDR_LOOPBACK(&v6);
  else return csfle__fail(err, CSFLE_E_CONFIG, "listeners: \"%s\" is no numeric address", host);
  snprintf(out->host, sizeof out->host, "%s", host);
  out->port = (int)port;
  return CSFLE_OK;
}

csfle_status registry_listeners_parse(registry_listener *out, int max, int *count, const char *text, csfle_error *err)
{
  csfle__bytes left = csfle__str(text);
  csfle_status rc = CSFLE_OK;

  *count = 0;
  do {
    const uint8_t *comma = left.len ? (const uint8_t *)memchr(left.ptr, ',', left.len) : NULL;
    size_t         n = comma ? (size_t)(comma - left.ptr) : left.len;
    if (*count == max) return csfle__fail(err, CSFLE_E_CONFIG, "listeners: more than %d of them", max);
    rc = registry_listener_parse(&out[*count], csfle__view(left.ptr, n), err);
    ++*count;
    left = csfle__from(left, n + 1);
    if (comma && !left.len) rc = registry_listener_parse(&out[0], left, err); /* nothing behind the last comma */
  } while (rc == CSFLE_OK && left.len);
  return rc;
}
