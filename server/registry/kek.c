/* Commands on KEKs. [DEK 3.2 to 3.7, 4.4] */
#include "server/registry/move.h"
#include "server/registry/trash.h"

#include "server/log/must.h"

/* what answers and records have alike */
static void put_members(csfle_buf *b, const csfle__kek *k)
{
  put(b, "{\"name\":"), put_json(b, k->name);
  put(b, ",\"kmsType\":"), put_json(b, k->kms_type);
  put(b, ",\"kmsKeyId\":"), put_json(b, k->kms_key_id);
  put(b, ",\"kmsProps\":"), must_ok(csfle__pairs_put(b, &k->kms_props, NULL));
  if (k->doc.ptr) put(b, ",\"doc\":"), put_json(b, k->doc);
  put(b, k->shared ? ",\"shared\":true" : ",\"shared\":false");
}

void registry_put_kek(csfle_buf *b, const csfle__kek *k)
{
  put_members(b, k);
  put(b, ",\"ts\":"), put_int(b, k->ts);
  put(b, k->deleted ? ",\"deleted\":true}" : "}");
}

void registry_put_kek_key(csfle_buf *b, csfle__bytes name)
{
  put(b, "{\"tenant\":\"default\",\"name\":");
  must_ok(csfle__json_put_string(b, name, true, NULL));
  put(b, ",\"type\":\"KEK\"}");
}

void registry_put_kek_value(csfle_buf *b, const csfle__kek *k)
{
  put_members(b, k);
  put(b, k->deleted ? ",\"deleted\":true" : ",\"deleted\":false");
  put(b, ",\"type\":\"KEK\"}");
}

void registry_change_add_kek(registry_change *change, const csfle__kek *k)
{
  csfle_buf key, value;
  csfle_buf_init(&key, 0, 0);
  csfle_buf_init(&value, 0, CSFLE_BUF_WIPE);
  registry_put_kek_key(&key, k->name);
  registry_put_kek_value(&value, k);
  registry_change_add(change, REGISTRY_KEYS, csfle__buf_view(&key), csfle__buf_view(&value));
  csfle_buf_free(&key);
  csfle_buf_free(&value);
}

bool registry_keys_left(registry *g, size_t count, registry_problem *p)
{
  if ((int64_t)count <= g->options.max_keys) return true;
  atomic_fetch_add(&g->counters.limit_refusals, 1);
  return registry_refuse(p, 409, 40972, "A maximum of %lld keys already exist", (long long)g->options.max_keys);
}

static bool bad_field(registry_problem *p, const char *field)
{
  return registry_refuse(p, 422, 42271, "Invalid or missing value for field '%s' of key", field);
}

static bool exists(registry_problem *p, csfle__bytes name)
{
  return registry_refuse(p, 409, 40971, "Key '%.*s' already exists; use a different value", CSFLE__FMT(name));
}

static bool starts_nocase(csfle__bytes a, const char *prefix)
{
  csfle__bytes b = csfle__str(prefix);
  return a.len >= b.len && csfle__eq_nocase(csfle__view(a.ptr, b.len), b);
}

bool registry_kek_check(registry_kek_request *r, registry_problem *p)
{
  static const struct { const char *type, *prefix, *other; } prefixes[] = {
    { "aws-kms", "arn:aws:kms:", "arn:aws-" }, { "azure-kms", "https://", "https://" },
    { "gcp-kms", "projects/", "projects/" }, { "hcvault", "https://", "http://" },
  };
  static const char *const families[] = { "aws", "azure", "gcp" };
  static const char *const normal[] = { "aws-kms", "azure-kms", "gcp-kms" };

  if (!csfle__kek_name_valid(r->name)) return bad_field(p, "name");
  if (!r->kms_key_id.len) return bad_field(p, "kmsKeyId");
  if (!r->kms_type.ptr) return bad_field(p, "kmsType");
  for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
    if (csfle__eq_str(r->kms_type, prefixes[i].type) && !csfle__starts(r->kms_key_id, csfle__str(prefixes[i].prefix)) &&
        !csfle__starts(r->kms_key_id, csfle__str(prefixes[i].other)))
      return bad_field(p, "kmsKeyId");
  for (size_t i = 0; i < 3; i++)
    if (starts_nocase(r->kms_type, families[i])) {
      r->kms_type = csfle__str(normal[i]);
      break;
    }
  return true;
}

static bool same_pairs(const csfle__pairs *a, const csfle__pairs *b)
{
  if (a->count != b->count) return false;
  for (size_t i = 0; i < a->count; i++)
    if (!csfle__eq(a->at[i].name, b->at[i].name) || !csfle__eq(a->at[i].value, b->at[i].value)) return false;
  return true;
}

static bool same_doc(csfle__bytes a, csfle__bytes b)
{
  return (a.ptr == NULL) == (b.ptr == NULL) && csfle__eq(a, b);
}

bool registry_kek_create(registry *g, const registry_kek_request *r, registry_problem *p)
{
  registry_change change = { 0 };
  registry_kek   *k = registry_state_kek(g->state, r->name);
  csfle__kek     *old = k ? k->kek : NULL;
  csfle__kek      made = { .name = r->name, .kms_type = r->kms_type, .kms_key_id = r->kms_key_id, .doc = r->doc,
                           .kms_props = r->props, .shared = r->shared, .deleted = r->deleted };

  if (!registry_keys_left(g, g->state->kek_count, p)) return false;
  if (old && (old->deleted == r->deleted || !csfle__eq(old->kms_type, made.kms_type) || !csfle__eq(old->kms_key_id, made.kms_key_id) ||
              !same_pairs(&old->kms_props, &made.kms_props) || !same_doc(old->doc, made.doc) || old->shared != made.shared))
    return exists(p, r->name);
  registry_change_add_kek(&change, &made);
  return registry_change_commit(g, &change, p);
}

registry_kek *registry_kek_get(const registry *g, csfle__bytes name, bool deleted, registry_problem *p)
{
  registry_kek *k = registry_state_kek(g->state, name);
  if (k && k->kek && (deleted || !k->kek->deleted)) return k;
  registry_refuse(p, 404, 40470, "Key '%.*s' not found", CSFLE__FMT(name));
  return NULL;
}

bool registry_kek_update(registry *g, const registry_kek_request *r, registry_problem *p)
{
  registry_change change = { 0 };
  registry_kek   *k = registry_kek_get(g, r->name, false, p);
  if (!k) return false;
  csfle__kek made = *k->kek;
  if (r->has_props) made.kms_props = r->props;
  if (r->has_doc) made.doc = r->doc;
  if (r->has_shared) made.shared = r->shared;
  if (same_pairs(&made.kms_props, &k->kek->kms_props) && same_doc(made.doc, k->kek->doc) && made.shared == k->kek->shared) return true;
  registry_change_add_kek(&change, &made);
  if (made.shared != k->kek->shared || !same_pairs(&made.kms_props, &k->kek->kms_props)) /* who may have the keys, and whose credentials are used [AB-7] */
    csfle__log_line(g->out, 5, "audit", "KEK \"%.*s\": shared %s%s", CSFLE__FMT(r->name), made.shared == k->kek->shared ? "unchanged" : made.shared ? "switched on" : "switched off",
                    same_pairs(&made.kms_props, &k->kek->kms_props) ? "" : ", kmsProps changed");
  return registry_change_commit(g, &change, p);
}

bool registry_kek_delete(registry *g, csfle__bytes name, bool permanent, registry_problem *p)
{
  registry_change change = { 0 };
  registry_kek   *k = registry_kek_get(g, name, true, p);
  if (!k) return false;
  for (size_t i = 0; i < k->count; i++)
    if (permanent || !k->deks[i]->deleted) return registry_refuse(p, 422, 42272, "One or more references exist to the key '%.*s'", CSFLE__FMT(name));
  if (permanent && !k->kek->deleted)
    return registry_refuse(p, 404, 40471, "Key '%.*s' was not deleted first before being permanently deleted", CSFLE__FMT(name));
  if (permanent) {
    csfle_buf key, value;
    csfle_buf_init(&key, 0, 0);
    csfle_buf_init(&value, 0, CSFLE_BUF_WIPE);
    registry_put_kek_key(&key, name);
    registry_put_kek_value(&value, k->kek);
    bool kept = registry_trash_put(g, &change, k->kek, csfle__buf_view(&key), csfle__buf_view(&value), false, p);
    if (kept) registry_change_add(&change, REGISTRY_KEYS, csfle__buf_view(&key), CSFLE__NONE);
    if (kept) registry_move_forget(g, &change, name, NULL);
    csfle_buf_free(&key);
    csfle_buf_free(&value);
    if (!kept) return registry_change_drop(&change);
  } else if (!k->kek->deleted) {
    csfle__kek made = *k->kek;
    made.deleted = true;
    registry_change_add_kek(&change, &made);
  }
  return registry_change_commit(g, &change, p);
}

bool registry_kek_undelete(registry *g, csfle__bytes name, registry_problem *p)
{
  registry_change change = { 0 };
  registry_kek   *k = registry_kek_get(g, name, true, p);
  if (!k) return false;
  if (k->kek->deleted) {
    csfle__kek made = *k->kek;
    made.deleted = false;
    registry_change_add_kek(&change, &made);
  }
  return registry_change_commit(g, &change, p);
}
