/* Rule sets: what the registry refuses (schema-registry 6.2) and how it merges (6.3). See model.h. */
#include "core/model/model.h"
#include "core/base/map.h"
#include "core/model/letters.h"

static csfle_status rule_check(const csfle__rule *r, csfle_error *err)
{
  if (!r->name.ptr) return csfle__fail(err, CSFLE_E_RULE, "Missing rule name");
  if (r->name.len == 0) return csfle__fail(err, CSFLE_E_RULE, "Empty rule name");
  switch (csfle__name_check(r->name)) {
  case CSFLE__NAME_LONG: return csfle__fail(err, CSFLE_E_RULE, "Rule name too long");
  case CSFLE__NAME_FIRST:
    return csfle__fail(err, CSFLE_E_RULE, "Illegal initial character in rule name: %.*s", CSFLE__FMT(r->name));
  case CSFLE__NAME_OTHER:
    return csfle__fail(err, CSFLE_E_RULE, "Illegal character in rule name: %.*s", CSFLE__FMT(r->name));
  case CSFLE__NAME_OK: break;
  }
  /* An empty one is not written back (members that are empty are left out), so it would be missing when it is read. */
  if (!r->type.len) return csfle__fail(err, CSFLE_E_RULE, "Missing rule type");
  bool two_ways = r->mode == CSFLE__WRITEREAD || r->mode == CSFLE__UPDOWN;
  if (!two_ways && ((r->on_success.len && memchr(r->on_success.ptr, ',', r->on_success.len)) ||
                    (r->on_failure.len && memchr(r->on_failure.ptr, ',', r->on_failure.len))))
    return csfle__fail(err, CSFLE_E_RULE, "Multiple actions only valid with WRITEREAD and UPDOWN");
  return CSFLE_OK;
}

csfle_status csfle__rule_set_validate(const csfle__rule_set *s, csfle_error *err)
{
  const struct {
    const csfle__rules *rules;
    bool                migration;
    const char         *text;
  } lists[] = {
    { &s->migration, true, "Migration rules can only be UPGRADE, DOWNGRADE, UPDOWN" },
    { &s->domain, false, "Domain rules can only be WRITE, READ, WRITEREAD" },
    { &s->encoding, false, "Encoding rules can only be WRITE, READ, WRITEREAD" },
  };
  csfle__map   seen = CSFLE__MAP_INIT;
  csfle_status rc = CSFLE_OK;
  for (size_t i = 0; i < 3 && rc == CSFLE_OK; i++) {
    for (size_t k = 0; k < lists[i].rules->count && rc == CSFLE_OK; k++) {
      const csfle__rule *r = &lists[i].rules->at[k];
      if (r->name.ptr && csfle__map_get(&seen, r->name))
        rc = csfle__fail(err, CSFLE_E_RULE, "Found rule with duplicate name '%.*s'", CSFLE__FMT(r->name));
      else if (r->name.ptr && csfle__map_put(&seen, r->name, (void *)(uintptr_t)r, NULL))
        rc = csfle__nomem(err);
      if (rc == CSFLE_OK) rc = rule_check(r, err);
      if (rc == CSFLE_OK && (r->mode <= CSFLE__UPDOWN) != lists[i].migration)
        rc = csfle__fail(err, CSFLE_E_RULE, "%s", lists[i].text);
    }
  }
  csfle__map_free(&seen, NULL);
  return rc;
}

/* Two sorted sets become one; for the same name @p y wins. */
static csfle_status merge_pairs(csfle__arena *a, const csfle__pairs *x, const csfle__pairs *y, csfle__pairs *out, csfle_error *err)
{
  size_t i = 0, k = 0;
  out->count = 0;
  out->at = csfle__arena_alloc(a, (x->count + y->count + 1) * sizeof *out->at);
  if (!out->at) return csfle__nomem(err);
  while (i < x->count || k < y->count) {
    int d = i == x->count ? 1 : k == y->count ? -1 : csfle__cmp_utf16(x->at[i].name, y->at[k].name);
    if (d < 0) out->at[out->count++] = x->at[i++];
    else out->at[out->count++] = y->at[k++], i += d == 0;
  }
  return CSFLE_OK;
}

csfle_status csfle__metadata_merge(csfle__arena *a, csfle__metadata *x, csfle__metadata *y, csfle__metadata **out, csfle_error *err)
{
  if (!x || !y) return *out = x ? x : y, CSFLE_OK;
  csfle__metadata *m = csfle__arena_alloc(a, sizeof *m);
  *out = NULL;
  if (!m) return csfle__nomem(err);
  csfle_status rc = merge_pairs(a, &x->properties, &y->properties, &m->properties, err);
  if (rc != CSFLE_OK) return rc;
  m->tags = csfle__arena_alloc(a, (x->tag_count + y->tag_count + 1) * sizeof *m->tags);
  m->sensitive.at = csfle__arena_alloc(a, (x->sensitive.count + y->sensitive.count + 1) * sizeof *m->sensitive.at);
  if (!m->tags || !m->sensitive.at) return csfle__nomem(err);
  for (size_t i = 0, k = 0; i < x->tag_count || k < y->tag_count;) {
    int d = i == x->tag_count   ? 1
            : k == y->tag_count ? -1
                                : csfle__cmp_utf16(x->tags[i].pattern, y->tags[k].pattern);
    if (d < 0) m->tags[m->tag_count++] = x->tags[i++];
    else m->tags[m->tag_count++] = y->tags[k++], i += d == 0;
  }
  for (size_t i = 0, k = 0; i < x->sensitive.count || k < y->sensitive.count;) {
    int d = i == x->sensitive.count   ? 1
            : k == y->sensitive.count ? -1
                                      : csfle__cmp_utf16(x->sensitive.at[i], y->sensitive.at[k]);
    if (d < 0) m->sensitive.at[m->sensitive.count++] = x->sensitive.at[i++];
    else m->sensitive.at[m->sensitive.count++] = y->sensitive.at[k++], i += d == 0;
  }
  *out = m;
  return CSFLE_OK;
}

/* Rules of @p x whose names @p y does not have, then those of @p y. */
static csfle_status merge_rules(csfle__arena *a, const csfle__rules *x, const csfle__rules *y, csfle__rules *out, csfle_error *err)
{
  csfle__map   named = CSFLE__MAP_INIT;
  csfle_status rc = CSFLE_OK;
  out->at = csfle__arena_alloc(a, (x->count + y->count + 1) * sizeof *out->at);
  out->count = 0;
  if (!out->at) return csfle__nomem(err);
  for (size_t i = 0; i < y->count && rc == CSFLE_OK; i++)
    if (csfle__map_put(&named, y->at[i].name, &y->at[i], NULL)) rc = csfle__nomem(err);
  for (size_t i = 0; i < x->count && rc == CSFLE_OK; i++)
    if (!csfle__map_get(&named, x->at[i].name)) out->at[out->count++] = x->at[i];
  for (size_t i = 0; i < y->count && rc == CSFLE_OK; i++) out->at[out->count++] = y->at[i];
  csfle__map_free(&named, NULL);
  return rc;
}

csfle_status csfle__rule_set_merge(csfle__arena *a, csfle__rule_set *x, csfle__rule_set *y, csfle__rule_set **out, csfle_error *err)
{
  if (!x || !y) return *out = x ? x : y, CSFLE_OK;
  csfle__rule_set *s = csfle__arena_alloc(a, sizeof *s);
  *out = NULL;
  if (!s) return csfle__nomem(err);
  csfle_status rc = merge_rules(a, &x->migration, &y->migration, &s->migration, err);
  if (rc == CSFLE_OK) rc = merge_rules(a, &x->domain, &y->domain, &s->domain, err);
  if (rc == CSFLE_OK) rc = merge_rules(a, &x->encoding, &y->encoding, &s->encoding, err);
  s->enable_at = y->enable_at != CSFLE__AT_ABSENT ? y->enable_at : x->enable_at;
  if (rc == CSFLE_OK) *out = s;
  return rc;
}
