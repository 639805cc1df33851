/* Which hosts. See hosts.h. */
#include "core/kms/hosts.h"
#include "core/base/alloc.h"

#include <arpa/inet.h>
#include <stdio.h>

/* ---- URLs */

static bool digit(uint8_t c) { return c >= '0' && c <= '9'; }
static bool name_char(uint8_t c) { return digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_'; }

/* Labels of letters, digits, - and _; neither empty nor a final dot. A name whose last label looks like a number is what
   resolvers read as an address in an odd spelling (2852039166, 0x7f.1): only the plain four-part form passes. */
static bool host_valid(csfle__url *u)
{
  char         text[64];
  csfle__bytes h = u->host;
  size_t       label = 0, i;
  if (h.len == 0 || h.len > 253) return false;
  for (i = 0; i < h.len; i++) {
    if (h.ptr[i] == '.') {
      if (i == label) return false;
      label = i + 1;
    } else if (!name_char(h.ptr[i])) return false;
  }
  if (label == h.len) return false;
  if (!digit(h.ptr[label])) return true;
  bool decimal = true;
  for (i = label; i < h.len; i++) decimal = decimal && digit(h.ptr[i]);
  bool hex = h.len - label >= 2 && h.ptr[label] == '0' && (h.ptr[label + 1] | 32) == 'x';
  if (!decimal && !hex) return true;
  if (h.len >= sizeof text) return false;
  memcpy(text, h.ptr, h.len), text[h.len] = 0;
  u->v4 = inet_pton(AF_INET, text, u->ip) == 1;
  return u->v4;
}

bool csfle__url_parse(csfle__url *u, csfle__bytes url)
{
  char         text[64];
  csfle__bytes a;
  size_t       n;
  memset(u, 0, sizeof *u);
  for (size_t i = 0; i < url.len; i++)
    if (url.ptr[i] <= ' ' || url.ptr[i] >= 0x7f || url.ptr[i] == '\\') return false;
  if (url.len > 8 && csfle__eq_nocase(csfle__view(url.ptr, 8), CSFLE__LIT("https://"))) u->tls = true, url = csfle__from(url, 8);
  else if (url.len > 7 && csfle__eq_nocase(csfle__view(url.ptr, 7), CSFLE__LIT("http://"))) url = csfle__from(url, 7);
  else return false;
  for (n = 0; n < url.len && url.ptr[n] != '/' && url.ptr[n] != '?' && url.ptr[n] != '#';) n++;
  a = u->authority = csfle__view(url.ptr, n);
  u->rest = csfle__from(url, n);
  if (u->rest.len && memchr(u->rest.ptr, '#', u->rest.len)) return false;
  u->port = u->tls ? 443 : 80;
  if (a.len && a.ptr[0] == '[') {
    const uint8_t *end = memchr(a.ptr, ']', a.len);
    if (!end) return false;
    n = (size_t)(end - a.ptr);
    u->host = csfle__view(a.ptr + 1, n - 1);
    if (n - 1 >= sizeof text) return false;
    memcpy(text, u->host.ptr, n - 1), text[n - 1] = 0;
    u->v6 = inet_pton(AF_INET6, text, u->ip) == 1;
    if (!u->v6) return false;
    a = csfle__from(a, n + 1);
  } else {
    for (n = 0; n < a.len && a.ptr[n] != ':';) n++;
    u->host = csfle__view(a.ptr, n);
    if (!host_valid(u)) return false;
    a = csfle__from(a, n);
  }
  if (a.len == 0) return true;
  if (a.ptr[0] != ':' || a.len < 2 || a.len > 6) return false;
  u->port = 0;
  for (size_t i = 1; i < a.len; i++) {
    if (!digit(a.ptr[i])) return false;
    u->port = u->port * 10 + (a.ptr[i] - (unsigned)'0');
  }
  return u->port >= 1 && u->port <= 65535;
}

/* ---- entries of the list */

static bool next_entry(csfle__bytes *list, csfle__bytes *entry)
{
  while (list->len) {
    const uint8_t *comma = memchr(list->ptr, ',', list->len);
    size_t         n = comma ? (size_t)(comma - list->ptr) : list->len;
    *entry = csfle__trim(csfle__view(list->ptr, n));
    *list = csfle__from(*list, n + 1);
    if (entry->len) return true;
  }
  return false;
}

/* "*.suffix" gives the suffix as host and *wild */
static bool parse_entry(csfle__url *u, bool *wild, csfle__bytes entry)
{
  char   text[320];
  bool   http = entry.len > 7 && csfle__eq_nocase(csfle__view(entry.ptr, 7), CSFLE__LIT("http://"));
  size_t skip = http ? 7 : entry.len > 8 && csfle__eq_nocase(csfle__view(entry.ptr, 8), CSFLE__LIT("https://")) ? 8 : 0;
  entry = csfle__from(entry, skip);
  *wild = csfle__starts(entry, CSFLE__LIT("*."));
  if (*wild) entry = csfle__from(entry, 2);
  if (entry.len > 300) return false;
  int n = snprintf(text, sizeof text, "%s://%.*s", http ? "http" : "https", CSFLE__FMT(entry));
  if (!csfle__url_parse(u, csfle__view(text, (size_t)n)) || u->rest.len) return false;
  /* views into the entry, not into the text that is gone */
  u->authority = entry;
  u->host = csfle__view(entry.ptr + (u->v6 ? 1 : 0), u->host.len);
  return !(*wild && (u->v4 || u->v6)) && (!http || (!*wild && u->authority.len > u->host.len + (u->v6 ? 2 : 0)));
}

static unsigned kind_of(const csfle__url *u)
{
  if (u->v4) return csfle__address_v4(u->ip);
  if (u->v6) return csfle__address_v6(u->ip);
  csfle__bytes h = u->host, local = CSFLE__LIT("localhost");
  bool         is = h.len >= local.len && csfle__eq_nocase(csfle__from(h, h.len - local.len), local) && (h.len == local.len || h.ptr[h.len - local.len - 1] == '.');
  return is ? CSFLE__ADDRESS_LOOPBACK : CSFLE__ADDRESS_OTHER;
}

static bool same_host(const csfle__url *a, const csfle__url *b)
{
  if (a->v4 || b->v4) return a->v4 && b->v4 && memcmp(a->ip, b->ip, 4) == 0;
  if (a->v6 || b->v6) return a->v6 && b->v6 && memcmp(a->ip, b->ip, 16) == 0;
  return csfle__eq_nocase(a->host, b->host);
}

static bool below(csfle__bytes host, csfle__bytes suffix)
{
  return host.len > suffix.len + 1 && host.ptr[host.len - suffix.len - 1] == '.' &&
         csfle__eq_nocase(csfle__from(host, host.len - suffix.len), suffix);
}

/* Whether @p u is covered, and by an entry that names exactly this host */
static bool covered(const csfle__url *u, csfle__bytes entry, bool *exact)
{
  csfle__url e;
  bool       wild;
  if (!parse_entry(&e, &wild, entry)) return false;
  bool http = entry.len > 7 && csfle__eq_nocase(csfle__view(entry.ptr, 7), CSFLE__LIT("http://"));
  if (http == u->tls || e.port != u->port) return false;
  if (wild ? u->v4 || u->v6 || !below(u->host, e.host) : !same_host(u, &e)) return false;
  *exact = !wild;
  return true;
}

/* Addresses that the list names: a listed name may lead to them. */
static unsigned named_addresses(csfle__bytes list)
{
  unsigned     bits = CSFLE__ADDRESS_OTHER;
  csfle__bytes entry;
  while (next_entry(&list, &entry)) {
    csfle__url e;
    bool       wild;
    if (parse_entry(&e, &wild, entry) && !wild) bits |= kind_of(&e);
  }
  return bits;
}

csfle_status csfle__hosts_open(csfle__hosts *h, const csfle__kms_props *props, const char *const *defaults, csfle_error *err)
{
  csfle__bytes text = csfle__trim(csfle__str(csfle__kms_own_prop(props, CSFLE__HOSTS_PROPERTY))), list = text, entry;
  const char  *transport = csfle__kms_own_prop(props, CSFLE__TRANSPORT_PROPERTY);
  h->list = NULL;
  h->defaults = defaults;
  h->unchecked = transport && strcmp(transport, "unchecked") == 0;
  while (next_entry(&list, &entry)) {
    csfle__url u;
    bool       wild;
    if (!parse_entry(&u, &wild, entry))
      return csfle__fail(err, CSFLE_E_CONFIG, CSFLE__HOSTS_PROPERTY ": '%.*s' is neither host, host:port, *.suffix nor http://host:port",
                         entry.len > 120 ? 120 : (int)entry.len, (const char *)entry.ptr);
  }
  if (!text.len) return CSFLE_OK;
  h->list = csfle__dup(text.ptr, text.len);
  return h->list ? CSFLE_OK : csfle__nomem(err);
}

void csfle__hosts_close(csfle__hosts *h)
{
  csfle__free(h->list);
  h->list = NULL;
}

static csfle_status refuse(const csfle__url *u, csfle_error *err)
{
  return csfle__fail(err, CSFLE_E_POLICY, "%s host '%.*s' is not among those that may be called: set " CSFLE__HOSTS_PROPERTY, u->tls ? "https" : "http",
                     u->authority.len > 120 ? 120 : (int)u->authority.len, (const char *)u->authority.ptr);
}

csfle_status csfle__hosts_check(const csfle__hosts *h, csfle__host_kind kind, csfle__request *r, csfle_error *err)
{
  csfle__url   u;
  csfle__bytes list = csfle__str(h->list), entry;
  bool         ok = false, exact = false;
  if (!csfle__url_parse(&u, csfle__buf_view(&r->url)))
    return csfle__fail(err, CSFLE_E_CONFIG, "the address of a KMS request is no plain http or https URL");
  switch (kind) {
  case CSFLE__HOST_OWN:
    r->addresses = CSFLE__ADDRESS_OTHER | CSFLE__ADDRESS_LOOPBACK | CSFLE__ADDRESS_LINK_LOCAL;
    return CSFLE_OK;
  case CSFLE__HOST_LOCAL:
    r->addresses = CSFLE__ADDRESS_LOOPBACK | CSFLE__ADDRESS_LINK_LOCAL;
    return CSFLE_OK;
  default: break;
  }
#ifdef CSFLE_BREAK_EGRESS_UNCHECKED
  r->addresses = 0;
  return CSFLE_OK;
#endif
  while (!ok && next_entry(&list, &entry)) ok = covered(&u, entry, &exact);
  r->addresses = ok && exact ? named_addresses(csfle__str(h->list)) : CSFLE__ADDRESS_OTHER;
  if (!ok && (!h->list || kind == CSFLE__HOST_LOGIN))
    for (const char *const *d = h->defaults; !ok && d && *d; d++) ok = covered(&u, csfle__str(*d), &exact);
  if (!ok || !((u.v4 || u.v6 ? kind_of(&u) : CSFLE__ADDRESS_OTHER) & r->addresses)) return refuse(&u, err);
  r->confirm = !u.v4 && !u.v6 && !h->unchecked; /* an address was looked at here */
  return CSFLE_OK;
}
