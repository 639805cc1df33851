/* The text of a backup. See backup.h. */
#include "core/model/backup.h"

#include "core/crypt/digest.h"

#include <stdio.h>

#define FORMAT 1
static const char *const names[CSFLE__BACKUP_KINDS] = { "kek", "dek", "schema" };

static void hex_of(const uint8_t in[32], char out[65])
{
  for (int i = 0; i < 32; i++) snprintf(out + 2 * i, 3, "%02x", in[i]);
}

static csfle__bytes take_line(csfle__bytes *rest)
{
  const uint8_t *nl = rest->len ? memchr(rest->ptr, '\n', rest->len) : NULL;
  csfle__bytes   line = csfle__view(rest->ptr, nl ? (size_t)(nl - rest->ptr) : rest->len);
  *rest = csfle__from(*rest, line.len + 1);
  return line;
}

static csfle_status parse_line(csfle__bytes line, size_t number, yyjson_doc **doc, csfle_error *err)
{
  csfle_status rc = csfle__json_parse(doc, line, err);
  if (rc == CSFLE_E_NOMEM) return rc;
  if (rc == CSFLE_OK && yyjson_is_obj(yyjson_doc_get_root(*doc))) return CSFLE_OK;
  yyjson_doc_free(*doc);
  *doc = NULL;
  return csfle__fail(err, CSFLE_E_CONFIG, "line %zu is no JSON object: this is no keys backup, or it was changed", number);
}

/* the last line against all before it; *body gets those */
static csfle_status check_end(csfle__bytes text, csfle__bytes *body, size_t counts[CSFLE__BACKUP_KINDS], csfle_error *err)
{
  yyjson_doc  *doc = NULL;
  uint8_t      digest[32];
  char         hex[65];
  size_t       len = text.len;

  while (len && text.ptr[len - 1] == '\n') len--;
  size_t at = len;
  while (at && text.ptr[at - 1] != '\n') at--;
  csfle_status rc = len ? csfle__json_parse(&doc, csfle__view(text.ptr + at, len - at), err) : CSFLE_E_CONFIG;
  if (rc == CSFLE_E_NOMEM) return rc;
  yyjson_val *end = rc == CSFLE_OK ? csfle__json_member(yyjson_doc_get_root(doc), "end") : NULL;
  rc = end ? csfle__sha256(csfle__view(text.ptr, at), digest, err)
           : csfle__fail(err, CSFLE_E_CONFIG, "it does not end with an \"end\" line: this is no keys backup, or its end is missing");
  if (rc == CSFLE_OK) {
    hex_of(digest, hex);
    if (!csfle__eq_str(csfle__json_member_text(end, "sha256"), hex))
      rc = csfle__fail(err, CSFLE_E_CONFIG, "its SHA-256 is not the one of its last line: it was changed, or damaged");
  }
  for (int i = 0; rc == CSFLE_OK && i < CSFLE__BACKUP_KINDS; i++) {
    char    member[16];
    int64_t n;
    snprintf(member, sizeof member, "%ss", names[i]);
    if (!csfle__json_i64(csfle__json_member(end, member), &n) || n < 0)
      rc = csfle__fail(err, CSFLE_E_CONFIG, "its last line does not say how many %s there are", member);
    else counts[i] = (size_t)n;
  }
  yyjson_doc_free(doc);
  *body = csfle__view(text.ptr, at);
  return rc;
}

static csfle_status check_begin(csfle__bytes line, csfle_error *err)
{
  yyjson_doc  *doc = NULL;
  int64_t      format;
  csfle_status rc = parse_line(line, 1, &doc, err);
  if (rc != CSFLE_OK) return rc;
  yyjson_val *root = yyjson_doc_get_root(doc);
  if (!csfle__eq_str(csfle__json_member_text(root, "csfle"), "keys backup") || !csfle__json_i64(csfle__json_member(root, "format"), &format))
    rc = csfle__fail(err, CSFLE_E_CONFIG, "line 1 does not begin a keys backup");
  else if (format != FORMAT)
    rc = csfle__fail(err, CSFLE_E_CONFIG, "it is a keys backup of format %lld; this program reads format %d", (long long)format, FORMAT);
  yyjson_doc_free(doc);
  return rc;
}

/* {"kek":OBJECT}: the object's text is what stands between the first colon and the last brace */
static csfle_status one_line(csfle__bytes line, size_t number, csfle__backup_fn fn, void *opaque, size_t seen[CSFLE__BACKUP_KINDS], csfle_error *err)
{
  yyjson_doc  *doc = NULL;
  csfle_status rc = parse_line(line, number, &doc, err);
  if (rc != CSFLE_OK) return rc;
  yyjson_val    *root = yyjson_doc_get_root(doc);
  const uint8_t *colon = memchr(line.ptr, ':', line.len);
  csfle__bytes   text = CSFLE__NONE;
  int            kind = 0;
  while (kind < CSFLE__BACKUP_KINDS && !yyjson_is_obj(csfle__json_member(root, names[kind]))) kind++;
  if (colon) text = csfle__trim(csfle__from(line, (size_t)(colon - line.ptr) + 1));
  while (text.len && text.ptr[text.len - 1] != '}') text.len--;
  if (text.len) text = csfle__trim(csfle__view(text.ptr, text.len - 1));
  if (kind == CSFLE__BACKUP_KINDS || yyjson_obj_size(root) != 1 || !text.len || text.ptr[0] != '{') {
    rc = csfle__fail(err, CSFLE_E_CONFIG, "line %zu is neither a KEK nor a DEK nor a schema", number);
  } else if (kind == CSFLE__BACKUP_DEK && csfle__json_member(csfle__json_member(root, names[kind]), "keyMaterial")) {
    rc = csfle__fail(err, CSFLE_E_CONFIG, "line %zu holds a data key in clear", number);
  } else {
    seen[kind]++;
    rc = fn(opaque, (csfle__backup_kind)kind, text, csfle__json_member(root, names[kind]), err);
  }
  yyjson_doc_free(doc);
  return rc;
}

csfle_status csfle__backup_read(csfle__bytes text, csfle__backup_fn fn, void *opaque, csfle_error *err)
{
  csfle__bytes rest;
  size_t       counts[CSFLE__BACKUP_KINDS] = { 0 }, seen[CSFLE__BACKUP_KINDS] = { 0 }, number = 1;
  csfle_status rc = check_end(text, &rest, counts, err);
  if (rc == CSFLE_OK) rc = check_begin(take_line(&rest), err);
  while (rc == CSFLE_OK && rest.len) {
    csfle__bytes line = take_line(&rest);
    number++;
    if (csfle__trim(line).len) rc = one_line(line, number, fn, opaque, seen, err);
  }
  for (int i = 0; rc == CSFLE_OK && i < CSFLE__BACKUP_KINDS; i++)
    if (seen[i] != counts[i]) rc = csfle__fail(err, CSFLE_E_CONFIG, "it has %zu %ss, its last line says %zu", seen[i], names[i], counts[i]);
  return rc;
}

/* ---- writing */

csfle_status csfle__backup_begin(csfle_buf *b, int64_t created_ms, csfle__bytes registry, csfle_error *err)
{
  csfle_status rc = csfle__buf_printf(b, err, "{\"csfle\":\"keys backup\",\"format\":%d,\"created\":%lld,\"registry\":", FORMAT, (long long)created_ms);
  if (rc == CSFLE_OK) rc = csfle__json_put_string(b, registry, false, err);
  return rc == CSFLE_OK ? csfle__buf_puts(b, "}\n", err) : rc;
}

csfle_status csfle__backup_add(csfle_buf *b, csfle__backup_kind kind, csfle__bytes json, csfle_error *err)
{
  csfle_status rc = csfle__buf_printf(b, err, "{\"%s\":", names[kind]);
  if (rc == CSFLE_OK) rc = csfle__buf_put(b, json.ptr, json.len, err);
  return rc == CSFLE_OK ? csfle__buf_puts(b, "}\n", err) : rc;
}

csfle_status csfle__backup_end(csfle_buf *b, const size_t counts[CSFLE__BACKUP_KINDS], csfle_error *err)
{
  uint8_t      digest[32];
  char         hex[65];
  csfle_status rc = csfle__sha256(csfle__buf_view(b), digest, err);
  if (rc != CSFLE_OK) return rc;
  hex_of(digest, hex);
  return csfle__buf_printf(b, err, "{\"end\":{\"keks\":%zu,\"deks\":%zu,\"schemas\":%zu,\"sha256\":\"%s\"}}\n", counts[CSFLE__BACKUP_KEK],
                           counts[CSFLE__BACKUP_DEK], counts[CSFLE__BACKUP_SCHEMA], hex);
}
