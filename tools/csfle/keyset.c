/** Reading all keys and rules of a registry. See keyset.h. */
#include "tools/csfle/keyset.h"

#include "core/base/alloc.h"
#include "core/base/world.h"
#include "tools/common/report.h"

#include <stdlib.h>
#include <time.h>

#define PAGE     1000
#define DAYS_MAX 36500000 /* of a rule: so that milliseconds can be reckoned with */

static int no_memory(void) { return fail(EXIT_FAILED, "no memory for the keys"); }

int64_t days_since(int64_t ts_ms)
{
  int64_t age = csfle__system_clock.wall_ms(csfle__system_clock.opaque) - (ts_ms > 0 ? ts_ms : 0);
  return age > 0 ? age / 86400000 : 0;
}

const char *time_text(int64_t ts_ms, char out[32])
{
  time_t    t = (time_t)(ts_ms / 1000);
  struct tm tm;
  if (ts_ms <= 0 || !gmtime_r(&t, &tm) || !strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm)) return "-";
  return out;
}

bool kms_prop_secret(csfle__bytes name)
{
  static const char *const parts[] = { "secret", "password", "token", "private", "credential", "account.key" };
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    size_t n = strlen(parts[i]);
    for (size_t at = 0; at + n <= name.len; at++)
      if (csfle__eq_nocase(csfle__view(name.ptr + at, n), csfle__str(parts[i]))) return true;
  }
  return false;
}

/* ---- lists */

/* what was read by then is not all there is: nobody may go on with it */
static int stopped(void) { return stop_wanted() ? fail(EXIT_FAILED, "stopped") : 0; }

/* the list was another one when its next part was asked for */
#define LIST_CHANGED (-1)
#define LIST_TRIES   5

/* one item as text, for comparing */
static int put_item(csfle_buf *b, yyjson_val *item)
{
  csfle__buf_clear(b);
  return !item || csfle__json_put_value(b, item, NULL) == CSFLE_OK ? 0 : no_memory();
}

/* Each part begins with the last item of the one before: when it is another, something was taken out or put in before it,
   and an item would be missed or told twice. */
static int read_parts(registry *r, const char *path, int (*one)(void *opaque, yyjson_val *item), void *opaque)
{
  csfle_buf   text, first, last;
  yyjson_val *answer, *item;
  size_t      i, n, offset = 0, overlap = 0;
  int         rc = 0;

  csfle_buf_init(&text, 0, 0);
  csfle_buf_init(&first, 0, 0);
  csfle_buf_init(&last, 0, 0);
  for (bool more = true; more && !rc && !stop_wanted();) {
    csfle__buf_clear(&text);
    if (csfle__buf_printf(&text, NULL, "%s%coffset=%zu&limit=%d", path, strchr(path, '?') ? '&' : '?', offset - overlap, PAGE) != CSFLE_OK || !csfle__buf_cstr(&text))
      rc = no_memory();
    else rc = registry_call(r, "GET", csfle__buf_cstr(&text), CSFLE__NONE, false, &answer);
    if (rc) break;
    if (!yyjson_is_arr(answer)) {
      rc = fail(EXIT_FAILED, "GET %s: the registry's answer is no list", path);
      break;
    }
    if ((rc = put_item(&text, yyjson_arr_get_first(answer))) != 0) break;
    if (overlap && !csfle__eq(csfle__buf_view(&text), csfle__buf_view(&last))) {
      rc = csfle__eq(csfle__buf_view(&text), csfle__buf_view(&first)) ? 0 : LIST_CHANGED; /* a registry that knows no offset answers the same again: that was all */
      break;
    }
    if (offset && !overlap && csfle__eq(csfle__buf_view(&text), csfle__buf_view(&first))) break;
    csfle__buf_clear(&first);
    if (csfle__buf_put(&first, text.ptr, text.len, NULL) != CSFLE_OK) rc = no_memory();
    yyjson_arr_foreach(answer, i, n, item)
      if (!rc && i >= overlap) rc = one(opaque, item);
    n = yyjson_arr_size(answer);
    more = n > overlap;
    offset += n - (n ? overlap : 0);
    overlap = n > 1; /* parts of one item each: as many as there are */
    if (!rc) rc = put_item(&last, yyjson_arr_get_last(answer));
  }
  csfle_buf_free(&text);
  csfle_buf_free(&first);
  csfle_buf_free(&last);
  return rc ? rc : stopped();
}

int list_each(registry *r, const char *path, int (*one)(void *opaque, yyjson_val *item), void *opaque)
{
  int rc = read_parts(r, path, one, opaque);
  return rc == LIST_CHANGED ? fail(EXIT_FAILED, "GET %s: the list changed while it was read; run it again", path) : rc;
}

int schemas_each(registry *r, int (*one)(void *opaque, yyjson_val *schema), void *opaque)
{
  return list_each(r, "/schemas?subjectPrefix=:*:&deleted=true", one, opaque);
}

/* names (or numbers) of a list, copied */
typedef struct names {
  char **at;
  size_t count, cap;
} names;

static int add_name(void *opaque, yyjson_val *item)
{
  names       *t    = opaque;
  csfle__bytes text = yyjson_is_raw(item) ? csfle__view(yyjson_get_raw(item), yyjson_get_len(item)) : csfle__json_text(item);
  if (csfle__grow((void **)&t->at, &t->cap, t->count + 1, sizeof *t->at) != 0 || (t->at[t->count] = csfle__dup(text.ptr, text.len)) == NULL)
    return no_memory();
  t->count++;
  return 0;
}

static void names_free(names *t)
{
  for (size_t i = 0; i < t->count; i++) csfle__free(t->at[i]);
  csfle__free(t->at);
}

/* ---- data keys */

static int add_dek(void *opaque, yyjson_val *item)
{
  keyset_kek *k   = opaque;
  csfle__dek *dek = NULL;
  csfle_error err = CSFLE_ERROR_INIT;

  if (csfle__grow((void **)&k->deks, &k->cap, k->count + 1, sizeof *k->deks) != 0) return no_memory();
  if (csfle__dek_parse(&dek, item, &err) != CSFLE_OK) return fail_with(&err, "the registry's answer");
  csfle__secret_wipe(&dek->key_material); /* a shared KEK's key in clear; nothing here wants it */
  k->deks[k->count++] = dek;
  return 0;
}

static int by_subject(const void *a, const void *b)
{
  const csfle__dek *x = *(csfle__dek *const *)a, *y = *(csfle__dek *const *)b;
  int               c = csfle__cmp_utf16(x->subject, y->subject);
  if (c == 0) c = (int)x->algorithm - (int)y->algorithm;
  return c ? c : (x->version > y->version) - (x->version < y->version);
}

/* as every registry can: lists of names and versions, then key by key */
static int deks_one_by_one(keyset_kek *k, registry *r, const char *kek)
{
  csfle_buf   path;
  names       subjects = { 0 };
  yyjson_val *answer;
  int         rc;

  csfle_buf_init(&path, 0, 0);
  if ((rc = registry_path(&path, KEKS_PATH "/%s/deks?deleted=true", kek)) == 0) rc = list_each(r, csfle__buf_cstr(&path), add_name, &subjects);
  for (size_t i = 0; i < subjects.count && !rc; i++)
    for (int a = 0; a < CSFLE__ALGORITHM_COUNT && !rc; a++) {
      const char *algorithm = csfle__algorithm_name((csfle__algorithm)a);
      names       versions  = { 0 };
      if ((rc = registry_path(&path, KEKS_PATH "/%s/deks/%s/versions?algorithm=%s&deleted=true", kek, subjects.at[i], algorithm)) == 0)
        rc = list_each(r, csfle__buf_cstr(&path), add_name, &versions);
      for (size_t v = 0; v < versions.count && !rc && !stop_wanted(); v++) {
        if ((rc = registry_path(&path, KEKS_PATH "/%s/deks/%s/versions/%s?algorithm=%s&deleted=true", kek, subjects.at[i], versions.at[v], algorithm)) != 0)
          break;
        rc = registry_call(r, "GET", csfle__buf_cstr(&path), CSFLE__NONE, true, &answer);
        if (rc == EXIT_MISSING) rc = 0; /* gone since it was listed */
        else if (!rc) rc = add_dek(k, answer);
      }
      names_free(&versions);
    }
  names_free(&subjects);
  csfle_buf_free(&path);
  return rc ? rc : stopped();
}

static void drop_deks(keyset_kek *k)
{
  for (size_t i = 0; i < k->count; i++) csfle__dek_free(k->deks[i]);
  k->count = 0;
}

static int fetch_deks(keyset_kek *k, registry *r, const char *kek)
{
  csfle_buf   path;
  yyjson_val *answer;
  int         rc;

  csfle_buf_init(&path, 0, 0);
  if ((rc = registry_path(&path, "/csfle/v1/keks/%s/deks?deleted=true&limit=1", kek)) == 0)
    rc = r->foreign ? EXIT_MISSING : registry_call(r, "GET", csfle__buf_cstr(&path), CSFLE__NONE, true, &answer);
  if (rc == EXIT_MISSING) {
    r->foreign = true; /* no csfle-registry */
    rc = deks_one_by_one(k, r, kek);
  } else if (!rc && (rc = registry_path(&path, "/csfle/v1/keks/%s/deks?deleted=true", kek)) == 0) {
    for (int i = 0; i < LIST_TRIES && (i == 0 || rc == LIST_CHANGED); i++) { /* producers make data keys while we read */
      drop_deks(k);
      rc = read_parts(r, csfle__buf_cstr(&path), add_dek, k);
    }
    if (rc == LIST_CHANGED) rc = fail(EXIT_FAILED, "the data keys of KEK '%s' change too often to be read; run it again", kek);
  }
  csfle_buf_free(&path);
  if (k->count) qsort(k->deks, k->count, sizeof *k->deks, by_subject);
  return rc;
}

static int add_kek(keyset *s, registry *r, const char *name, bool missing_ok)
{
  csfle_buf   path;
  csfle_error err = CSFLE_ERROR_INIT;
  yyjson_val *answer;
  int         rc;

  if (csfle__grow((void **)&s->at, &s->cap, s->count + 1, sizeof *s->at) != 0) return no_memory();
  s->at[s->count] = (keyset_kek){ 0 };
  csfle_buf_init(&path, 0, 0);
  if ((rc = registry_path(&path, KEKS_PATH "/%s?deleted=true", name)) == 0)
    rc = registry_call(r, "GET", csfle__buf_cstr(&path), CSFLE__NONE, missing_ok, &answer);
  csfle_buf_free(&path);
  if (rc == EXIT_MISSING && missing_ok) return 0; /* gone since it was listed */
  if (rc) return rc;
  if (csfle__kek_parse(&s->at[s->count].kek, answer, &err) != CSFLE_OK) return fail_with(&err, "the registry's answer");
  s->count++;
  return fetch_deks(&s->at[s->count - 1], r, name);
}

int keyset_fetch(keyset *s, registry *r, const char *only)
{
  names keks = { 0 };
  int   rc;

  if (only) return add_kek(s, r, only, false);
  rc = list_each(r, KEKS_PATH "?deleted=true", add_name, &keks);
  for (size_t i = 0; i < keks.count && !rc && !stop_wanted(); i++) rc = add_kek(s, r, keks.at[i], true);
  names_free(&keks);
  return rc ? rc : stopped();
}

void keyset_free(keyset *s)
{
  for (size_t i = 0; i < s->count; i++) {
    drop_deks(&s->at[i]);
    csfle__free(s->at[i].deks);
    csfle__kek_free(s->at[i].kek);
  }
  csfle__free(s->at);
  *s = (keyset){ 0 };
}

size_t keyset_range(const keyset_kek *k, size_t i)
{
  const csfle__dek *d = k->deks[i];
  while (i < k->count && k->deks[i]->algorithm == d->algorithm && csfle__eq(k->deks[i]->subject, d->subject)) i++;
  return i;
}

bool keyset_in_use(const keyset_kek *k, size_t i)
{
  if (k->deks[i]->deleted && !k->kek->deleted) return false;
  for (size_t next = i + 1; next < keyset_range(k, i); next++)
    if (!k->deks[next]->deleted || k->kek->deleted) return false;
  return true;
}

/* ---- rules */

static const char *text_of(csfle__bytes from) { return csfle__dup(from.ptr, from.len); }

static csfle__bytes param(const csfle__rule *r, const csfle__metadata *m, const char *name)
{
  csfle__bytes v = csfle__pairs_get(&r->params, name);
  return v.ptr || !m ? v : csfle__pairs_get(&m->properties, name);
}

static int add_rule(keyset_rules *s, const csfle__schema_info *info, const csfle__rule *rule)
{
  csfle__bytes kek = param(rule, info->metadata, "encrypt.kek.name");
  keyset_rule  made = { .version = info->version, .algorithm = CSFLE__AES256_GCM, .deleted = info->deleted, .disabled = rule->disabled };

  if (!kek.len || (!csfle__eq_nocase(rule->type, CSFLE__LIT("ENCRYPT")) && !csfle__eq_nocase(rule->type, CSFLE__LIT("ENCRYPT_PAYLOAD")))) return 0;
  csfle__algorithm_parse(param(rule, info->metadata, "encrypt.dek.algorithm"), &made.algorithm);
  if (!csfle__parse_i64(param(rule, info->metadata, "encrypt.dek.expiry.days"), &made.days) || made.days < 0) made.days = 0;
  if (made.days > DAYS_MAX) made.days = DAYS_MAX;
  made.subject    = (char *)text_of(info->subject);
  made.kek        = (char *)text_of(kek);
  made.kms_type   = (char *)text_of(param(rule, info->metadata, "encrypt.kms.type"));
  made.kms_key_id = (char *)text_of(param(rule, info->metadata, "encrypt.kms.key.id"));
  if (!made.subject || !made.kek || !made.kms_type || !made.kms_key_id ||
      csfle__grow((void **)&s->at, &s->cap, s->count + 1, sizeof *s->at) != 0) {
    csfle__free(made.subject), csfle__free(made.kek), csfle__free(made.kms_type), csfle__free(made.kms_key_id);
    return no_memory();
  }
  s->at[s->count++] = made;
  return 0;
}

static int add_rules(void *opaque, yyjson_val *schema)
{
  keyset_rules       *s    = opaque;
  csfle__schema_info *info = NULL;
  csfle_error         err  = CSFLE_ERROR_INIT;
  int                 rc   = 0;

  if (csfle__schema_info_parse(&info, schema, &err) != CSFLE_OK) return fail_with(&err, "the registry's answer");
  for (size_t i = s->count; i-- > 0 && !info->deleted;) { /* versions ascend: an earlier one is not the newest */
    if (strlen(s->at[i].subject) != info->subject.len || memcmp(s->at[i].subject, info->subject.ptr, info->subject.len) != 0) break;
    s->at[i].latest = false;
  }
  size_t before = s->count;
  for (size_t i = 0; info->rule_set && i < info->rule_set->domain.count && !rc; i++) rc = add_rule(s, info, &info->rule_set->domain.at[i]);
  for (size_t i = 0; info->rule_set && i < info->rule_set->encoding.count && !rc; i++) rc = add_rule(s, info, &info->rule_set->encoding.at[i]);
  for (size_t i = before; i < s->count; i++) s->at[i].latest = !info->deleted;
  csfle__schema_info_free(info);
  return rc;
}

static csfle_status name_of(csfle_buf *b, csfle__bytes kek, csfle__bytes subject, csfle__algorithm a)
{
  csfle__buf_clear(b);
  csfle_status rc = csfle__buf_putc(b, (uint8_t)a, NULL);
  if (rc == CSFLE_OK) rc = csfle__buf_put(b, kek.ptr, kek.len, NULL);
  if (rc == CSFLE_OK) rc = csfle__buf_putc(b, 0, NULL);
  return rc == CSFLE_OK ? csfle__buf_put(b, subject.ptr, subject.len, NULL) : rc;
}

int keyset_rules_fetch(keyset_rules *s, registry *r)
{
  csfle_buf name;
  int       rc = schemas_each(r, add_rules, s);

  csfle_buf_init(&name, 0, 0);
  for (size_t i = 0; i < s->count && !rc; i++) {
    keyset_rule *rule = &s->at[i];
    if (!rule->latest || rule->disabled) continue;
    if (name_of(&name, csfle__str(rule->kek), csfle__str(rule->subject), rule->algorithm) != CSFLE_OK) rc = no_memory();
    const keyset_rule *other = csfle__map_get(&s->days, csfle__buf_view(&name));
    if (!rc && (!other || (rule->days && (!other->days || rule->days < other->days))) && csfle__map_put(&s->days, csfle__buf_view(&name), rule, NULL) != 0)
      rc = no_memory();
  }
  csfle_buf_free(&name);
  return rc;
}

void keyset_rules_free(keyset_rules *s)
{
  for (size_t i = 0; i < s->count; i++) {
    csfle__free(s->at[i].subject), csfle__free(s->at[i].kek);
    csfle__free(s->at[i].kms_type), csfle__free(s->at[i].kms_key_id);
  }
  csfle__free(s->at);
  csfle__map_free(&s->days, NULL);
  *s = (keyset_rules){ 0 };
}

int64_t keyset_days(const keyset_rules *s, const csfle__dek *d)
{
  csfle_buf          name;
  const keyset_rule *rule = NULL;
  csfle_buf_init(&name, 0, 0);
  if (name_of(&name, d->kek_name, d->subject, d->algorithm) == CSFLE_OK) rule = csfle__map_get(&s->days, csfle__buf_view(&name));
  csfle_buf_free(&name);
  return rule ? rule->days : -1;
}
