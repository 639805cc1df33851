/* /dek-registry/v1/keks and what is below. [DEK 3] */
#include "server/api/api.h"

#include "server/log/must.h"

#include <stdlib.h>

/* ---- members as Jackson reads them [DEK 2.2] -------------------------------------------------------------------- */

/* a text, number or boolean as text; absent and null: ptr NULL; another kind: false */
static bool take_text(registry_call *c, const char *name, yyjson_val *v, csfle__bytes *out)
{
  *out = CSFLE__NONE;
  if (!v || yyjson_is_null(v)) return true;
  if (yyjson_is_raw(v)) *out = csfle__view(yyjson_get_raw(v), yyjson_get_len(v));
  else if (yyjson_is_str(v)) *out = csfle__json_text(v);
  else if (yyjson_is_bool(v)) *out = csfle__str(yyjson_get_bool(v) ? "true" : "false");
  else return registry_refuse(&c->problem, 400, 400, "Cannot deserialize value of \"%s\": it is no text", name);
  *out = csfle__arena_copy(&c->rq->arena, *out);
  if (!out->ptr) registry_out_of_memory();
  return true;
}

static bool take_bool(registry_call *c, const char *name, bool *out)
{
  yyjson_val  *v = csfle__json_member(c->body, name);
  csfle__bytes text = csfle__json_text(v);
  int64_t      n;

  *out = false;
  if (!v || yyjson_is_null(v)) return true;
  if (yyjson_is_bool(v)) *out = yyjson_get_bool(v);
  else if (yyjson_is_raw(v)) *out = !csfle__json_i64(v, &n) || n != 0;
  else if (csfle__eq_nocase(text, CSFLE__LIT("true")) || csfle__eq_nocase(text, CSFLE__LIT("false"))) *out = csfle__truthy(text);
  else return registry_refuse(&c->problem, 400, 400, "Cannot deserialize value of \"%s\": it is no boolean", name);
  return true;
}

typedef struct numbered {
  csfle__pair pair;
  size_t      at;
} numbered;

static int by_name(const void *a, const void *b)
{
  const numbered *x = (const numbered *)a, *y = (const numbered *)b;
  int             c = csfle__cmp_utf16(x->pair.name, y->pair.name);
  return c ? c : (x->at > y->at) - (x->at < y->at);
}

static bool take_pairs(registry_call *c, yyjson_val *v, csfle__pairs *out)
{
  size_t      i, n;
  yyjson_val *k, *x;

  *out = (csfle__pairs){ NULL, 0 };
  if (!v || yyjson_is_null(v)) return true;
  if (!yyjson_is_obj(v)) return registry_refuse(&c->problem, 400, 400, "Cannot deserialize value of \"kmsProps\": it is no object");
  out->at = (csfle__pair *)must(csfle__arena_alloc(&c->rq->arena, (yyjson_obj_size(v) + 1) * sizeof *out->at));
  numbered *all = (numbered *)must(csfle__calloc(yyjson_obj_size(v) + 1, sizeof *all));
  size_t    count = 0;
  bool      ok = true;
  yyjson_obj_foreach(v, i, n, k, x)
  {
    ok = ok && take_text(c, "kmsProps", x, &all[count].pair.value);
    if (!ok || !all[count].pair.value.ptr) continue;
    all[count].pair.name = registry_copied(&c->rq->arena, csfle__json_text(k));
    all[count].at = count;
    count++;
  }
  if (count) qsort(all, count, sizeof *all, by_name);
  for (i = 0; i < count; i++) /* the last of two of a name counts */
    if (i + 1 == count || !csfle__eq(all[i].pair.name, all[i + 1].pair.name)) out->at[out->count++] = all[i].pair;
  csfle__free(all);
  return ok;
}

static bool read_kek(registry_call *c, registry_kek_request *r)
{
  yyjson_val *props = csfle__json_member(c->body, "kmsProps"), *shared = csfle__json_member(c->body, "shared");

  *r = (registry_kek_request){ .has_props = props != NULL, .has_doc = csfle__json_member(c->body, "doc") != NULL,
                               .has_shared = shared && !yyjson_is_null(shared) };
  return take_text(c, "name", csfle__json_member(c->body, "name"), &r->name) &&
         take_text(c, "kmsType", csfle__json_member(c->body, "kmsType"), &r->kms_type) &&
         take_text(c, "kmsKeyId", csfle__json_member(c->body, "kmsKeyId"), &r->kms_key_id) &&
         take_text(c, "doc", csfle__json_member(c->body, "doc"), &r->doc) && take_pairs(c, props, &r->props) &&
         take_bool(c, "shared", &r->shared) && take_bool(c, "deleted", &r->deleted);
}

static bool bad_field(registry_call *c, const char *field)
{
  return registry_refuse(&c->problem, 422, 42271, "Invalid or missing value for field '%s' of key", field);
}

static bool kek_name(registry_call *c)
{
  return csfle__kek_name_valid(c->param[0]) || bad_field(c, "name");
}

static bool subject_ok(registry_call *c, csfle__bytes subject)
{
  size_t pos = 0;
  if (!subject.len) return bad_field(c, "subject");
  while (pos < subject.len) {
    int32_t u = csfle__utf8_next(subject, &pos);
    if (u < 0x20 || (u >= 0x7f && u <= 0x9f)) return bad_field(c, "subject");
  }
  return true;
}

/* ---- KEKs ------------------------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
  return csfle__cmp_utf16(*(const csfle__bytes *)a, *(const csfle__bytes *)b);
}

/* the prefixes of a request, in order, without those that begin with another one: a target has room for thousands */
typedef struct prefixes {
  csfle__bytes *at;
  size_t        count;
} prefixes;

static int by_bytes(const void *a, const void *b)
{
  csfle__bytes x = *(const csfle__bytes *)a, y = *(const csfle__bytes *)b;
  size_t       n = x.len < y.len ? x.len : y.len;
  int          d = n ? memcmp(x.ptr, y.ptr, n) : 0;
  return d ? d : (x.len > y.len) - (x.len < y.len);
}

static void take_prefixes(registry_call *c, prefixes *p)
{
  size_t n = 0;
  p->at = (csfle__bytes *)must(csfle__calloc(c->rq->query_count + 1, sizeof *p->at));
  for (size_t i = 0; i < c->rq->query_count; i++)
    if (csfle__eq_str(c->rq->query[i].name, "subjectPrefix")) p->at[n++] = c->rq->query[i].value;
  if (n) qsort(p->at, n, sizeof *p->at, by_bytes);
  for (size_t i = 0; i < n; i++)
    if (!p->count || !csfle__starts(p->at[i], p->at[p->count - 1])) p->at[p->count++] = p->at[i];
}

/* only the last one that is not behind the subject can be its beginning */
static bool has_prefix(const prefixes *p, csfle__bytes subject)
{
  size_t lo = 0, hi = p->count;
  while (lo < hi) {
    size_t mid = (lo + hi) / 2;
    if (by_bytes(&p->at[mid], &subject) <= 0) lo = mid + 1;
    else hi = mid;
  }
  return lo && csfle__starts(subject, p->at[lo - 1]);
}

/* whether a DEK of the KEK has a subject with one of the prefixes */
static bool owns_prefix(const prefixes *p, const registry_kek *k, bool deleted)
{
  for (size_t i = 0; i < k->count; i++)
    if ((deleted || !k->deks[i]->deleted) && has_prefix(p, k->deks[i]->subject)) return true;
  return false;
}

bool registry_keks_list(registry_call *c)
{
  const csfle__map *keks = &c->g->state->keks;
  bool              deleted = registry_flag_of(c, "deleted"), by_prefix = registry_query(c->rq, "subjectPrefix").ptr != NULL;
  size_t            offset, limit, n = 0;

  if (!registry_page(c, c->g->options.keks, &offset, &limit)) return false;
  csfle__bytes *names = (csfle__bytes *)must(csfle__calloc(keks->count + 1, sizeof *names));
  prefixes      p = { NULL, 0 };
  if (by_prefix) take_prefixes(c, &p);
  for (size_t i = 0; i < keks->count; i++) {
    const registry_kek *k = (const registry_kek *)keks->entries[i].value;
    if (by_prefix ? owns_prefix(&p, k, deleted) : k->kek && (deleted || !k->kek->deleted)) names[n++] = k->name;
  }
  qsort(names, n, sizeof *names, by_text);
  registry_put_names(c->out, names, n, offset, limit);
  csfle__free(names);
  csfle__free(p.at);
  return true;
}

/* the stored KEK as the answer; the lock is held */
static bool put_stored(registry_call *c, csfle__bytes name)
{
  registry_kek *k = registry_kek_get(c->g, name, true, &c->problem);
  if (k) registry_put_kek(c->out, k->kek);
  return k != NULL;
}

bool registry_kek_create_call(registry_call *c)
{
  registry_kek_request r;
  if (!read_kek(c, &r) || !registry_kek_check(&r, &c->problem)) return false;
  if (r.shared && registry_flag_of(c, "testSharing") && !registry_kek_test_sharing(c->g, &r, &c->caller, "creating", &c->rq->position, &c->problem)) return false;
  registry_begin(c->g, true);
  bool ok = registry_kek_create(c->g, &r, &c->problem) && put_stored(c, r.name);
  c->rq->position = registry_end(c->g);
  return ok;
}

bool registry_kek_get_call(registry_call *c)
{
  if (!kek_name(c)) return false;
  registry_kek *k = registry_kek_get(c->g, c->param[0], registry_flag_of(c, "deleted"), &c->problem);
  if (k) registry_put_kek(c->out, k->kek);
  return k != NULL;
}

bool registry_kek_update_call(registry_call *c)
{
  registry_kek_request r;
  if (!read_kek(c, &r) || !kek_name(c)) return false;
  r.name = c->param[0];
  r.kms_type = r.kms_key_id = CSFLE__NONE; /* ignored in an update */
  if (registry_flag_of(c, "testSharing") && !registry_kek_test_sharing(c->g, &r, &c->caller, "updating", &c->rq->position, &c->problem)) return false;
  registry_begin(c->g, true);
  bool ok = registry_kek_update(c->g, &r, &c->problem) && put_stored(c, r.name);
  c->rq->position = registry_end(c->g);
  return ok;
}

static bool no_content(registry_call *c, bool ok)
{
  if (ok) c->status = 204;
  return ok;
}

bool registry_kek_delete_call(registry_call *c)
{
  return kek_name(c) && no_content(c, registry_kek_delete(c->g, c->param[0], registry_flag_of(c, "permanent"), &c->problem));
}

bool registry_kek_undelete_call(registry_call *c)
{
  return kek_name(c) && no_content(c, registry_kek_undelete(c->g, c->param[0], &c->problem));
}

bool registry_kek_test_call(registry_call *c)
{
  return kek_name(c) && registry_kek_test(c->g, c->param[0], &c->caller, c->out, &c->rq->position, &c->problem);
}

/* ---- DEKs ------------------------------------------------------------------------------------------------------- */

/* KEK, subject, algorithm and deleted from path and query */
static bool dek_target(registry_call *c, registry_dek_request *r)
{
  csfle__bytes a = registry_query(c->rq, "algorithm");

  *r = (registry_dek_request){ .kek = c->param[0], .subject = c->param[1], .algorithm = CSFLE__AES256_GCM, .deleted = registry_flag_of(c, "deleted") };
  if (a.ptr && !csfle__algorithm_parse(a, &r->algorithm)) return registry_not_found(c);
  return kek_name(c) && subject_ok(c, r->subject);
}

static bool dek_version_target(registry_call *c, registry_dek_request *r)
{
  return dek_target(c, r) && registry_version_param(c, c->param[2], &r->version);
}

bool registry_dek_subjects(registry_call *c)
{
  bool   deleted = registry_flag_of(c, "deleted");
  size_t offset, limit, n = 0;

  if (!kek_name(c) || !registry_page(c, c->g->options.dek_subjects, &offset, &limit)) return false;
  registry_kek *k = registry_kek_get(c->g, c->param[0], deleted, &c->problem);
  if (!k) return false;
  csfle__bytes *names = (csfle__bytes *)must(csfle__calloc(k->count + 1, sizeof *names));
  for (size_t i = 0; i < k->count; i++) { /* they are in order of the subject */
    if (k->deks[i]->deleted && !deleted) continue;
    if (!n || !csfle__eq(names[n - 1], k->deks[i]->subject)) names[n++] = k->deks[i]->subject;
  }
  registry_put_names(c->out, names, n, offset, limit);
  csfle__free(names);
  return true;
}

bool registry_dek_versions(registry_call *c)
{
  registry_dek_request r;
  size_t               offset, limit, n = 0;

  if (!dek_target(c, &r) || !registry_page(c, c->g->options.dek_versions, &offset, &limit)) return false;
  registry_kek *k = registry_kek_get(c->g, r.kek, r.deleted, &c->problem);
  if (!k) return false;
  int64_t *numbers = (int64_t *)must(csfle__calloc(k->count + 1, sizeof *numbers));
  for (size_t i = registry_kek_find(k, r.subject, r.algorithm, 1); i < k->count; i++) {
    csfle__dek *d = k->deks[i];
    if (d->algorithm != r.algorithm || !csfle__eq(d->subject, r.subject)) break;
    if ((r.deleted || !d->deleted) && d->version < INT32_MAX) numbers[n++] = d->version;
  }
  registry_put_numbers(c->out, numbers, n, offset, limit);
  csfle__free(numbers);
  return true;
}

bool registry_dek_get(registry_call *c)
{
  registry_dek_request r;
  if (!dek_target(c, &r)) return false;
  r.version = 1; /* not the latest */
  return registry_dek_read(c->g, &r, &c->caller, c->out, &c->rq->position, &c->problem);
}

bool registry_dek_version_get(registry_call *c)
{
  registry_dek_request r;
  return dek_version_target(c, &r) && registry_dek_read(c->g, &r, &c->caller, c->out, &c->rq->position, &c->problem);
}

static bool create(registry_call *c, csfle__bytes subject, bool rewrap)
{
  registry_dek_request r = { .kek = c->param[0], .algorithm = CSFLE__AES256_GCM, .version = 1, .rewrap = rewrap };
  yyjson_val          *version = csfle__json_member(c->body, "version");
  csfle__bytes         a, n;
  int64_t              number = 1;

  if (!take_text(c, "algorithm", csfle__json_member(c->body, "algorithm"), &a) || !take_text(c, "version", version, &n) ||
      !take_text(c, "encryptedKeyMaterial", csfle__json_member(c->body, "encryptedKeyMaterial"), &r.material) || !take_bool(c, "deleted", &r.deleted))
    return false;
  if (a.ptr && !csfle__algorithm_parse(a, &r.algorithm))
    return registry_refuse(&c->problem, 400, 400, "Cannot deserialize value of type `DekFormat` from String \"%.*s\": not one of the values accepted: [AES128_GCM, AES256_GCM, AES256_SIV]", (int)(a.len < 100 ? a.len : 100), (const char *)a.ptr);
  if (n.ptr && !csfle__parse_i64(csfle__view(n.ptr, memchr(n.ptr, '.', n.len) ? (size_t)((const uint8_t *)memchr(n.ptr, '.', n.len) - n.ptr) : n.len), &number))
    return registry_refuse(&c->problem, 400, 400, "Cannot deserialize value of \"version\": it is no number");
  if (!kek_name(c) || !subject_ok(c, subject)) return false;
  if (number < 1 || number > INT32_MAX)
    return registry_refuse(&c->problem, 422, 42202, "The specified version '%lld' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\"", (long long)number);
  r.version = (int32_t)number;
  r.subject = subject;
  return registry_dek_create(c->g, &r, &c->caller, c->out, &c->rq->position, &c->problem);
}

bool registry_dek_create_call(registry_call *c)
{
  return create(c, c->param[1], registry_flag_of(c, "rewrap"));
}

/* the old form: the subject is in the body; neither context nor alias change it, but one subject has one name [DEK 3.13] [AB-5] */
bool registry_dek_create_old(registry_call *c)
{
  csfle__bytes subject;
  return take_text(c, "subject", csfle__json_member(c->body, "subject"), &subject) && create(c, subject.len ? registry_normalized(c, subject) : subject, false);
}

bool registry_dek_delete_all(registry_call *c)
{
  registry_dek_request r;
  return dek_target(c, &r) && no_content(c, registry_dek_delete(c->g, &r, registry_flag_of(c, "permanent"), &c->problem));
}

bool registry_dek_undelete_all(registry_call *c)
{
  registry_dek_request r;
  return dek_target(c, &r) && no_content(c, registry_dek_undelete(c->g, &r, &c->problem));
}

bool registry_dek_version_delete(registry_call *c)
{
  registry_dek_request r;
  return dek_version_target(c, &r) && no_content(c, registry_dek_delete(c->g, &r, registry_flag_of(c, "permanent"), &c->problem));
}

bool registry_dek_version_undelete(registry_call *c)
{
  registry_dek_request r;
  return dek_version_target(c, &r) && no_content(c, registry_dek_undelete(c->g, &r, &c->problem));
}

/* ---- policy ----------------------------------------------------------------------------------------------------- */

bool registry_policy_get(registry_call *c)
{
  if (!c->g->options.policy) return registry_not_found(c);
  put(c->out, "{\"policy\":"), put_json(c->out, csfle__str(c->g->options.policy)), put(c->out, "}");
  return true;
}
