/** Properties: parsing, @ values, and who gets which. */
#include "tools/common/props.h"

#include "client/config/config.h"
#include "core/base/alloc.h"
#include "core/base/buf.h"
#include "tools/common/report.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_VALUE_BYTES (1u << 20)
#define MAX_FILE_BYTES  (4u << 20)
#define MAX_INCLUDES    8

int read_file(const char *path, size_t max, char **out, size_t *len)
{
  int       fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
  csfle_buf b;
  ssize_t   n  = 0;
  int       rc = 0;

  *out = NULL;
  *len = 0;
  if (fd < 0) return fail(errno == ENOENT ? EXIT_MISSING : EXIT_FAILED, "cannot read %s: %s", path, strerror(errno));
  csfle_buf_init(&b, 0, CSFLE_BUF_WIPE);
  do {
    if (b.len > max) rc = fail(EXIT_FAILED, "%s is larger than the %zu bytes that are read", path, max);
    else if (csfle__buf_reserve(&b, 65536, NULL) != CSFLE_OK) rc = fail(EXIT_FAILED, "no memory to read %s", path);
    else if ((n = read(fd, b.ptr + b.len, 65536)) > 0) b.len += (size_t)n;
    else if (n < 0 && errno != EINTR) rc = fail(EXIT_FAILED, "cannot read %s: %s", path, strerror(errno));
  } while (!rc && n != 0 && !stop_wanted());
  if (fd != STDIN_FILENO) close(fd);
  if (!rc && (*out = csfle__dup(b.ptr, b.len)) == NULL) rc = fail(EXIT_FAILED, "no memory to read %s", path);
  if (!rc) *len = b.len;
  csfle_buf_free(&b);
  return rc;
}

static void wipe_text(char *text)
{
  if (text) csfle__free_secret(text, strlen(text) + 1);
}

/* "@FILE", "@env:NAME", "@@text" or the text itself, as a copy in *out */
static int resolve(const char *name, csfle__bytes value, const char *origin, char **out)
{
  if (!csfle__starts(value, CSFLE__LIT("@"))) {
    *out = csfle__dup(value.ptr, value.len);
  } else if (csfle__starts(value, CSFLE__LIT("@@"))) {
    *out = csfle__dup(value.ptr + 1, value.len - 1);
  } else if (csfle__starts(value, CSFLE__LIT("@env:"))) {
    char       *variable = csfle__dup(value.ptr + 5, value.len - 5);
    const char *text     = variable ? getenv(variable) : NULL;
    int         rc       = 0;
    if (variable && !text)
      rc = fail(EXIT_USAGE, "%s: %s wants the environment variable %s, which is not set", origin, name, variable);
    *out = text ? csfle__dup(text, strlen(text)) : NULL;
    csfle__free(variable);
    if (rc) return rc;
  } else {
    char  *path = csfle__dup(value.ptr + 1, value.len - 1), *text = NULL;
    size_t len = 0, used;
    int    rc = path ? read_file(path, MAX_VALUE_BYTES, &text, &len) : 0;
    if (!rc && text) {
      used = len;
      if (used && text[used - 1] == '\n') used--;
      if (used && text[used - 1] == '\r') used--;
      if (memchr(text, 0, used)) rc = fail(EXIT_USAGE, "%s: %s: %s holds a zero byte, no text", origin, name, path);
      else *out = csfle__dup(text, used);
    }
    csfle__free(path);
    csfle__free_secret(text, len + 1);
    if (rc) return EXIT_USAGE;
  }
  return *out ? 0 : fail(EXIT_FAILED, "no memory for properties");
}

int props_add(props *p, csfle__bytes name, csfle__bytes value, const char *origin)
{
  prop item = { 0 };
  int  rc;

  item.name   = csfle__dup(name.ptr, name.len);
  item.origin = csfle__dup(origin, strlen(origin));
  if (!item.name || !item.origin || csfle__grow((void **)&p->at, &p->cap, p->count + 1, sizeof *p->at) != 0) {
    rc = fail(EXIT_FAILED, "no memory for properties");
  } else {
    rc = resolve(item.name, value, origin, &item.value);
  }
  if (rc) {
    csfle__free(item.name);
    csfle__free(item.origin);
    return rc;
  }
  p->at[p->count++] = item;
  return 0;
}

int props_add_text(props *p, const char *text)
{
  const char  *equals = strchr(text, '=');
  csfle__bytes name   = csfle__trim(csfle__view(text, equals ? (size_t)(equals - text) : strlen(text)));
  if (!equals || name.len == 0) return fail(EXIT_USAGE, "-X takes NAME=VALUE; there is no '=' after a name");
  return props_add(p, name, csfle__str(equals + 1), "-X");
}

static int hex_digit(uint8_t c)
{
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* undoes the escapes of line[0 .. len) in place; false for a \u without four digits or of a surrogate */
static bool unescape(csfle__bytes from, char *to, size_t *len)
{
  size_t n = 0;
  for (size_t i = 0; i < from.len; i++) {
    uint8_t c = from.ptr[i];
    if (c != '\\' || i + 1 == from.len) {
      to[n++] = (char)c;
      continue;
    }
    c = from.ptr[++i];
    if (c == 'u') {
      unsigned v = 0;
      for (int k = 0; k < 4; k++) {
        int d = ++i < from.len ? hex_digit(from.ptr[i]) : -1;
        if (d < 0) return false;
        v = v << 4 | (unsigned)d;
      }
      if (v == 0 || (v >= 0xd800 && v < 0xe000)) return false;
      if (v < 0x80) to[n++] = (char)v;
      else if (v < 0x800) to[n++] = (char)(0xc0 | v >> 6), to[n++] = (char)(0x80 | (v & 63));
      else to[n++] = (char)(0xe0 | v >> 12), to[n++] = (char)(0x80 | (v >> 6 & 63)), to[n++] = (char)(0x80 | (v & 63));
      continue;
    }
    to[n++] = c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c == 'f' ? '\f' : (char)c;
  }
  *len = n;
  return true;
}

static int add_file(props *p, const char *path, int depth);

static int add_line(props *p, csfle__bytes line, const char *path, int number, int depth)
{
  char         origin[300];
  csfle__bytes name, value;
  size_t       i = 0, len = 0;
  char        *text;
  int          rc;

  snprintf(origin, sizeof origin, "%s:%d", path, number);
  while (i < line.len && line.ptr[i] != '=' && line.ptr[i] != ':' && line.ptr[i] != ' ' && line.ptr[i] != '\t')
    i += line.ptr[i] == '\\' ? 2 : 1;
  if (i > line.len) i = line.len;
  name  = csfle__view(line.ptr, i);
  value = csfle__trim(csfle__from(line, i));
  if (value.len == 0 || (value.ptr[0] != '=' && value.ptr[0] != ':') || name.len == 0)
    return fail(EXIT_USAGE, "%s: a line is NAME=VALUE or a '#' comment; there is no '=' here", origin);
  value = csfle__trim(csfle__from(value, 1));
  if ((text = csfle__alloc(value.len + 1)) == NULL) return fail(EXIT_FAILED, "no memory for properties");
  if (!unescape(value, text, &len)) {
    rc = fail(EXIT_USAGE, "%s: the value of %.*s has a \\u that is not followed by four hexadecimal digits", origin, CSFLE__FMT(name));
  } else if (csfle__eq_str(name, "include")) {
    char *own = csfle__dup(path, strlen(path)), target[1024];
    text[len] = 0;
    if (text[0] == '/' || !own) snprintf(target, sizeof target, "%s", text);
    else snprintf(target, sizeof target, "%s/%s", dirname(own), text);
    csfle__free(own);
    rc = depth < MAX_INCLUDES ? add_file(p, target, depth + 1) : fail(EXIT_USAGE, "%s: files include each other more than %d deep", origin, MAX_INCLUDES);
  } else {
    rc = props_add(p, name, csfle__view(text, len), origin);
  }
  csfle__free_secret(text, value.len + 1);
  return rc;
}

static int add_file(props *p, const char *path, int depth)
{
  char     *text = NULL;
  size_t    len = 0, pos = 0;
  int       number = 0, rc = read_file(path, MAX_FILE_BYTES, &text, &len);
  csfle_buf whole; /* a logical line */

  if (rc) return rc == EXIT_MISSING ? EXIT_USAGE : rc;
  csfle_buf_init(&whole, 0, CSFLE_BUF_WIPE);
  if (memchr(text, 0, len)) rc = fail(EXIT_USAGE, "%s holds a zero byte: it is no property file", path);
  while (!rc && pos < len) {
    int first = number + 1;
    csfle__buf_clear(&whole);
    for (bool more = true; more && pos < len && !rc;) {
      const char  *nl   = memchr(text + pos, '\n', len - pos);
      size_t       end  = nl ? (size_t)(nl - text) : len, slashes = 0;
      csfle__bytes line = csfle__trim(csfle__view(text + pos, end - pos));
      pos = end + 1;
      number++;
      if (whole.len == 0 && line.len && (line.ptr[0] == '#' || line.ptr[0] == '!')) break;
      while (slashes < line.len && line.ptr[line.len - 1 - slashes] == '\\') slashes++;
      more = slashes % 2 == 1;
      if (csfle__buf_put(&whole, line.ptr, line.len - (more ? 1 : 0), NULL) != CSFLE_OK) rc = fail(EXIT_FAILED, "no memory for properties");
    }
    if (!rc && whole.len) rc = add_line(p, csfle__buf_view(&whole), path, first, depth);
  }
  csfle_buf_free(&whole);
  csfle__free_secret(text, len + 1);
  return rc;
}

int props_add_file(props *p, const char *path) { return add_file(p, path, 0); }

const char *props_get(const props *p, const char *name)
{
  for (size_t i = p->count; i-- > 0;)
    if (strcmp(p->at[i].name, name) == 0) return p->at[i].value;
  return NULL;
}

void props_free(props *p)
{
  for (size_t i = 0; i < p->count; i++) {
    csfle__free(p->at[i].name);
    csfle__free(p->at[i].origin);
    wipe_text(p->at[i].value);
  }
  csfle__free(p->at);
  *p = (props){ 0 };
}

int props_apply(const props *p, csfle_config *config, rd_kafka_conf_t *kafka)
{
  rd_kafka_conf_t *scratch = NULL;
  int              rc      = 0;
  if (!kafka) kafka = scratch = rd_kafka_conf_new();
  for (size_t i = 0; i < p->count && !rc; i++) {
    const prop         *item = &p->at[i];
    char                why[256];
    bool                ours = csfle__config_knows(item->name);
    rd_kafka_conf_res_t res  = ours ? RD_KAFKA_CONF_UNKNOWN : rd_kafka_conf_set(kafka, item->name, item->value, why, sizeof why);
    csfle_error         err  = CSFLE_ERROR_INIT;
    if (res == RD_KAFKA_CONF_INVALID) /* librdkafka's text may quote the value, which may be a secret */
      rc = fail(EXIT_USAGE, "%s: librdkafka does not take this value for '%s'; its CONFIGURATION.md says what it takes", item->origin, item->name);
    if (res != RD_KAFKA_CONF_UNKNOWN) continue;
    if (!config && !ours) rc = fail(EXIT_USAGE, "%s: unknown property '%s'", item->origin, item->name);
    else if (config && csfle_config_set(config, item->name, item->value, &err) != CSFLE_OK)
      rc = fail(EXIT_USAGE, "%s: %s%s", item->origin, err.msg, ours ? "" : "; librdkafka does not know it either");
  }
  if (scratch) rd_kafka_conf_destroy(scratch);
  return rc;
}

csfle_config *props_config(const props *p, rd_kafka_conf_t *kafka, int *rc)
{
  csfle_config *c   = csfle_config_new(NULL);
  csfle_error   err = CSFLE_ERROR_INIT;
  const char   *url = getenv("CSFLE_REGISTRY_URL");
  const char   *from = url && *url ? "CSFLE_REGISTRY_URL" : "-r";

  *rc = c ? 0 : fail(EXIT_FAILED, "no memory for the configuration");
  if (c && (csfle_config_set(c, "schema.registry.url", url && *url ? url : "http://127.0.0.1:8081", &err) != CSFLE_OK ||
            csfle_config_set(c, "http.connect.timeout.ms", "5000", &err) != CSFLE_OK))
    *rc = fail(EXIT_USAGE, "%s: %s", from, err.msg);
  if (!*rc) *rc = props_apply(p, c, kafka);
  if (!*rc && csfle__config_check(c, &err) != CSFLE_OK) *rc = fail(EXIT_USAGE, "%s", err.msg);
  if (!*rc) return c;
  csfle_config_free(c);
  return NULL;
}

int props_kafka_default(const props *p, rd_kafka_conf_t *kafka, const char *name, const char *value)
{
  char why[256];
  if (props_get(p, name)) return 0;
  if (rd_kafka_conf_set(kafka, name, value, why, sizeof why) != RD_KAFKA_CONF_OK)
    return fail(EXIT_FAILED, "librdkafka: %s: %s", name, why);
  return 0;
}
