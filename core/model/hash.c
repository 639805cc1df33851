/* Content hash, GUIDs and equality of contents. See model.h; the order of what is hashed is schema-registry 5.4. */
#include "core/model/model.h"
#include "core/crypt/digest.h"

typedef struct hasher {
  csfle__md5  *md5;
  csfle_error *err;
  csfle_status rc;
} hasher;

static void add(hasher *h, csfle__bytes t)
{
  if (h->rc == CSFLE_OK) h->rc = csfle__md5_add(h->md5, t, h->err);
}
static void add_one(hasher *h) { add(h, CSFLE__LIT("\1")); }
static void add_names(hasher *h, const csfle__names *n)
{
  for (size_t i = 0; i < n->count; i++) add(h, n->at[i]);
}
static void add_pairs(hasher *h, const csfle__pairs *p)
{
  for (size_t i = 0; i < p->count; i++) add(h, p->at[i].name), add(h, p->at[i].value);
}
static void add_rules(hasher *h, const csfle__rules *list)
{
  for (size_t i = 0; i < list->count; i++) {
    const csfle__rule *r = &list->at[i];
    add(h, r->name), add(h, r->doc);
    add(h, csfle__str(csfle__rule_kind_name(r->kind)));
    add(h, csfle__str(csfle__rule_mode_name(r->mode)));
    add(h, r->type);
    add_names(h, &r->tags);
    add_pairs(h, &r->params);
    add(h, r->expr), add(h, r->on_success), add(h, r->on_failure);
    if (r->disabled) add_one(h);
  }
}

csfle_status csfle__content_hash(csfle__bytes text, const csfle__schema_ref *refs, size_t ref_count,
                                 const csfle__metadata *m, const csfle__rule_set *r, uint8_t out[16], csfle_error *err)
{
  hasher h = { NULL, err, CSFLE_OK };
  h.rc = csfle__md5_new(&h.md5, err);
  if (h.rc != CSFLE_OK) return h.rc;
  add(&h, text);
  for (size_t i = 0; i < ref_count; i++) {
    uint8_t version[4];
    csfle__put_u32be(version, (uint32_t)refs[i].version);
    add(&h, refs[i].name), add(&h, refs[i].subject), add(&h, csfle__view(version, 4));
  }
  if (m) {
    add_one(&h);
    for (size_t i = 0; i < m->tag_count; i++) add(&h, m->tags[i].pattern), add_names(&h, &m->tags[i].tags);
    add_pairs(&h, &m->properties);
    add_names(&h, &m->sensitive);
  }
  if (r) {
    add_one(&h);
    add_rules(&h, &r->migration), add_rules(&h, &r->domain), add_rules(&h, &r->encoding);
    add(&h, csfle__str(csfle__enable_at_name(r->enable_at)));
  }
  if (h.rc == CSFLE_OK) return csfle__md5_end(h.md5, out, err);
  csfle__md5_free(h.md5);
  return h.rc;
}

void csfle__guid_text(const uint8_t guid[16], char out[37])
{
  static const char hex[] = "0123456789abcdef";
  char             *p = out;
  for (int i = 0; i < 16; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10) *p++ = '-';
    *p++ = hex[guid[i] >> 4], *p++ = hex[guid[i] & 15];
  }
  *p = 0;
}

bool csfle__guid_parse(csfle__bytes t, uint8_t out[16])
{
  size_t n = 0;
  if (t.len != 32 && t.len != 36) return false;
  for (size_t i = 0; i < t.len; i++) {
    uint8_t c = t.ptr[i], v;
    if (t.len == 36 && (i == 8 || i == 13 || i == 18 || i == 23)) {
      if (c != '-') return false;
      continue;
    }
    if (c >= '0' && c <= '9') v = (uint8_t)(c - '0');
    else if ((c | 32) >= 'a' && (c | 32) <= 'f') v = (uint8_t)((c | 32) - 'a' + 10);
    else return false;
    if (n % 2) out[n / 2] = (uint8_t)(out[n / 2] << 4 | v);
    else out[n / 2] = v;
    n++;
  }
  return n == 32;
}

/* ---- equality ----------------------------------------------------------------------------------------------- */

/* "" is stored as absent and hashed as absent, so it is equal to absent */
static bool same_text(csfle__bytes a, csfle__bytes b) { return csfle__eq(a, b); }

static bool same_names(const csfle__names *a, const csfle__names *b)
{
  if (a->count != b->count) return false;
  for (size_t i = 0; i < a->count; i++)
    if (!csfle__eq(a->at[i], b->at[i])) return false;
  return true;
}

static bool same_pairs(const csfle__pairs *a, const csfle__pairs *b)
{
  if (a->count != b->count) return false;
  for (size_t i = 0; i < a->count; i++)
    if (!csfle__eq(a->at[i].name, b->at[i].name) || !csfle__eq(a->at[i].value, b->at[i].value)) return false;
  return true;
}

bool csfle__metadata_equal(const csfle__metadata *a, const csfle__metadata *b)
{
  if (!a || !b) return a == b;
  if (a->tag_count != b->tag_count) return false;
  for (size_t i = 0; i < a->tag_count; i++)
    if (!csfle__eq(a->tags[i].pattern, b->tags[i].pattern) || !same_names(&a->tags[i].tags, &b->tags[i].tags)) return false;
  return same_pairs(&a->properties, &b->properties) && same_names(&a->sensitive, &b->sensitive);
}

static bool same_rules(const csfle__rules *a, const csfle__rules *b)
{
  if (a->count != b->count) return false;
  for (size_t i = 0; i < a->count; i++) {
    const csfle__rule *x = &a->at[i], *y = &b->at[i];
    if (!same_text(x->name, y->name) || !same_text(x->doc, y->doc) || x->kind != y->kind || x->mode != y->mode ||
        !same_text(x->type, y->type) || !same_names(&x->tags, &y->tags) || !same_pairs(&x->params, &y->params) ||
        !same_text(x->expr, y->expr) || !same_text(x->on_success, y->on_success) ||
        !same_text(x->on_failure, y->on_failure) || x->disabled != y->disabled)
      return false;
  }
  return true;
}

bool csfle__rule_set_equal(const csfle__rule_set *a, const csfle__rule_set *b)
{
  if (!a || !b) return a == b;
  return same_rules(&a->migration, &b->migration) && same_rules(&a->domain, &b->domain) &&
         same_rules(&a->encoding, &b->encoding) && a->enable_at == b->enable_at;
}

bool csfle__references_equal(const csfle__schema_ref *a, size_t an, const csfle__schema_ref *b, size_t bn)
{
  if (an != bn) return false;
  for (size_t i = 0; i < an; i++)
    if (!csfle__eq(a[i].name, b[i].name) || !csfle__eq(a[i].subject, b[i].subject) || a[i].version != b[i].version) return false;
  return true;
}
