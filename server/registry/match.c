/* Parsing what is asked for and finding the stored version that equals it. [SR 5.5 step 10, 5.6, 5.7, 5.12] */
#include "server/registry/registry.h"

#include "server/log/must.h"

#include <stdio.h>

#define PARSED_MAX 1000
#define DEPTH_MAX  64

/* ---- references ------------------------------------------------------------------------------------------------- */

typedef struct tree {
  csfle__reference *at;
  int32_t          *versions;
  size_t            count, cap, version_cap;
  bool              stored; /* resolving for a version that is stored: what it needs may be soft-deleted by now */
  bool              strict;
} tree;

static void tree_free(tree *t)
{
  csfle__free(t->at);
  csfle__free(t->versions);
}

/* adds what @p info references, children before parents, one text a name */
static bool resolve(registry *g, tree *t, csfle__bytes context, csfle__schema_info *info, int depth, registry_problem *p)
{
  if (depth > DEPTH_MAX) return registry_refuse(p, 422, 42201, "References are nested deeper than %d", DEPTH_MAX);
  for (size_t i = 0; i < info->reference_count; i++) {
    csfle__schema_ref *ref = &info->references[i];
    csfle_buf          name;
    csfle_buf_init(&name, 0, 0);
    registry_put_reference_subject(&name, context, ref->subject);
    registry_subject *subject = registry_state_subject(g->state, csfle__buf_view(&name));
    csfle_buf_free(&name);
    registry_version *v = ref->version == -1 ? registry_subject_latest(subject, false) : registry_subject_version(subject, ref->version);
    if (!v || (v->deleted && !t->stored))
      return registry_refuse(p, 422, 42201, "No schema reference found for subject \"%.*s\" and version %d", CSFLE__FMT(ref->subject), ref->version);
    if (ref->version == -1) ref->version = v->number;
    size_t have = 0;
    while (have < t->count && !csfle__eq(t->at[have].name, ref->name)) have++;
    if (have < t->count) {
      if (t->strict && t->versions[have] != v->number)
        return registry_refuse(p, 422, 42201, "Conflicting reference versions for \"%.*s\": version %d and version %d", CSFLE__FMT(ref->name), t->versions[have], v->number);
      continue;
    }
    if (!resolve(g, t, v->subject->context->name, v->content->info, depth + 1, p)) return false;
    must_grow((void **)&t->at, &t->cap, t->count + 1, sizeof *t->at);
    must_grow((void **)&t->versions, &t->version_cap, t->count + 1, sizeof *t->versions);
    t->versions[t->count] = v->number;
    t->at[t->count++] = (csfle__reference){ ref->name, v->content->info->schema };
  }
  return true;
}

bool registry_resolve(registry *g, csfle__bytes context, csfle__schema_info *info, bool stored, csfle__arena *a,
                      csfle__reference **out, size_t *count, registry_problem *p)
{
  tree t = { .stored = stored, .strict = g->options.strict_reference_versions && !stored };
  bool ok = resolve(g, &t, context, info, 0, p);

  *out = NULL, *count = 0;
  if (ok && t.count) {
    *out = (csfle__reference *)must(csfle__arena_alloc(a, t.count * sizeof **out));
    for (size_t i = 0; i < t.count; i++) {
      (*out)[i] = (csfle__reference){ csfle__arena_copy(a, t.at[i].name), csfle__arena_copy(a, t.at[i].text) };
      if (!(*out)[i].name.ptr || !(*out)[i].text.ptr) registry_out_of_memory();
    }
    *count = t.count;
  }
  tree_free(&t);
  return ok;
}

static bool parse(registry *g, csfle__bytes context, csfle__schema_info *info, unsigned flags, bool stored,
                  csfle__schema **out, registry_problem *p)
{
  tree        t = { .stored = stored, .strict = g->options.strict_reference_versions && !stored };
  csfle_error err = CSFLE_ERROR_INIT;
  bool        ok = resolve(g, &t, context, info, 0, p);

  if (ok) {
    csfle_status rc = csfle__schema_parse(out, info->schema_type, info->schema, t.at, t.count, flags, &err);
    if (rc == CSFLE_E_NOMEM) registry_out_of_memory();
    if (rc != CSFLE_OK) ok = registry_refuse(p, 422, 42201, "Invalid schema of type %.*s, details: %s%s%s", CSFLE__FMT(info->schema_type), err.where, err.where[0] ? ": " : "", err.msg);
  }
  tree_free(&t);
  return ok;
}

/* order and doubles of a normalised list */
static void normalize_references(csfle__schema_info *info)
{
  /* stable: an insertion sort, lists are short */
  for (size_t i = 1; i < info->reference_count; i++) {
    csfle__schema_ref r = info->references[i];
    size_t            j = i;
    for (; j > 0; j--) {
      csfle__schema_ref pair[2] = { info->references[j - 1], r };
      int d = csfle__cmp_utf16(pair[0].subject, pair[1].subject);
      if (!d) d = (pair[0].version > pair[1].version) - (pair[0].version < pair[1].version);
      if (d <= 0) break;
      info->references[j] = info->references[j - 1];
    }
    info->references[j] = r;
  }
  size_t n = 0;
  for (size_t i = 0; i < info->reference_count; i++) {
    bool twice = false;
    for (size_t j = 0; j < n && !twice; j++) {
      csfle__schema_ref *a = &info->references[i], *b = &info->references[j];
      twice = csfle__eq(a->name, b->name) && csfle__eq(a->subject, b->subject) && a->version == b->version;
    }
    if (!twice) info->references[n++] = info->references[i];
  }
  info->reference_count = n;
}

bool registry_type_known(csfle__bytes type, registry_problem *p)
{
  if (csfle__format_find(type)) return true;
  bool other = csfle__eq_str(type, "JSON") || csfle__eq_str(type, "PROTOBUF");
  return registry_refuse(p, 422, 42201, "Invalid schema type %.*s%s", CSFLE__FMT(type), other ? ": this server supports AVRO only" : "");
}

bool registry_canonicalize(registry *g, csfle__bytes subject, csfle__schema_info *info, unsigned flags, bool normalize,
                           csfle__schema **parsed, registry_problem *p)
{
  csfle_buf   text;
  csfle_error err = CSFLE_ERROR_INIT;

  *parsed = NULL;
  if (!registry_type_known(info->schema_type, p)) return false;
  if (!parse(g, registry_context_of(subject), info, flags, false, parsed, p)) return false;
  const csfle__format *f = csfle__schema_format(*parsed);
  csfle_buf_init(&text, 0, 0);
  csfle_status rc = normalize ? f->normalized(*parsed, &text, &err) : f->canonical(*parsed, &text, &err);
  if (rc == CSFLE_E_NOMEM) registry_out_of_memory();
  bool ok = rc == CSFLE_OK;
  if (!ok) registry_refuse(p, 422, 42201, "Invalid schema of type %.*s, details: %s", CSFLE__FMT(info->schema_type), err.msg);
  if (ok) {
    info->schema = csfle__arena_copy(&info->arena, csfle__buf_view(&text));
    if (!info->schema.ptr) registry_out_of_memory();
    if (normalize) normalize_references(info);
  } else {
    csfle__schema_free(*parsed);
    *parsed = NULL;
  }
  csfle_buf_free(&text);
  return ok;
}

/* ---- equivalence ------------------------------------------------------------------------------------------------ */

/* the parsed form of a stored version: kept with its content when it has no references (their meaning depends on the
   context), else the caller's, *own */
static csfle__schema *parsed_of(registry *g, const registry_version *v, bool *own)
{
  registry_content *c = v->content;
  registry_problem  p;
  csfle__schema    *s = NULL;

  *own = false;
  if (c->parsed) return c->parsed;
  if (!parse(g, v->subject->context->name, c->info, 0, true, &s, &p)) return NULL;
  if (c->info->reference_count) {
    *own = true;
    return s;
  }
  if (g->state->parsed_count >= PARSED_MAX) {
    for (size_t i = 0; i < g->state->contents.count; i++) registry_content_unparse((registry_content *)g->state->contents.entries[i].value);
    g->state->parsed_count = 0;
  }
  g->state->parsed_count++;
  c->parsed = s;
  return s;
}

/* the property as a number; false: absent or no decimal integer */
static bool version_property(const csfle__metadata *m, int64_t *out)
{
  if (!m) return false;
  csfle__bytes v = csfle__pairs_get(&m->properties, "confluent:version");
  return v.ptr && csfle__parse_i64(v, out);
}

static const csfle__metadata empty_metadata;

/* a copy of @p m without the property; its list is the caller's to free */
static csfle__metadata without_version(const csfle__metadata *m)
{
  csfle__metadata copy = *m;
  copy.properties.at = (csfle__pair *)must(csfle__calloc(m->properties.count + 1, sizeof(csfle__pair)));
  copy.properties.count = 0;
  for (size_t i = 0; i < m->properties.count; i++)
    if (!csfle__eq_str(m->properties.at[i].name, "confluent:version")) copy.properties.at[copy.properties.count++] = m->properties.at[i];
  return copy;
}

static bool metadata_matches(const csfle__metadata *r, const csfle__metadata *stored, int32_t number)
{
  int64_t asked, kept;
  bool    in_r = version_property(r, &asked), in_p = version_property(stored, &kept);

  if (in_r == in_p) return csfle__metadata_equal(r, stored);
  if (in_r && asked != number) return false;
  csfle__metadata copy = without_version(in_p ? stored : r);
  const csfle__metadata *other = in_p ? r : stored;
  bool same = csfle__metadata_equal(&copy, other ? other : &empty_metadata);
  csfle__free(copy.properties.at);
  return same;
}

bool registry_equivalent(registry *g, const csfle__schema_info *info, const csfle__schema *parsed, const registry_version *v)
{
  const csfle__schema_info *p = v->content->info;
  bool                      own;

  if (!csfle__eq(info->schema_type, p->schema_type)) return false;
  bool same_refs = csfle__references_equal(info->references, info->reference_count, p->references, p->reference_count);
  if (!same_refs && !(info->reference_count == 0 && p->reference_count > 0)) return false;
  if (!csfle__rule_set_equal(info->rule_set, p->rule_set) || !metadata_matches(info->metadata, p->metadata, v->number)) return false;
  if (same_refs && csfle__eq(info->schema, p->schema)) return true;
  csfle__schema *stored = parsed_of(g, v, &own);
  bool           same = stored && csfle__schema_format(stored)->equivalent(parsed, stored);
  if (own) csfle__schema_free(stored);
  return same;
}

registry_version *registry_match(registry *g, csfle__bytes name, const csfle__schema_info *info,
                                 const csfle__schema *parsed, bool deleted, bool *by_hash)
{
  registry_subject *subject = registry_state_subject(g->state, name);
  *by_hash = false;
  if (!subject) return NULL;
  registry_id *id = registry_context_hash(subject->context, registry_state_content(g->state, info, NULL));
  for (size_t i = id ? subject->count : 0; i-- > 0;) {
    registry_version *v = subject->versions[i];
    if (v->id != id->id || (v->deleted && !deleted)) continue;
    *by_hash = true;
    return v;
  }
  for (size_t i = subject->count; i-- > 0;) {
    registry_version *v = subject->versions[i];
    if ((deleted || !v->deleted) && registry_equivalent(g, info, parsed, v)) return v;
  }
  return NULL;
}

bool registry_formatted(registry *g, const registry_version *v, csfle__bytes format, csfle_buf *out, registry_problem *p)
{
  csfle__schema *s = NULL;
  csfle_error    err = CSFLE_ERROR_INIT;

  if (!format.len || !csfle__format_find(v->content->info->schema_type)) {
    put_bytes(out, v->content->info->schema);
    return true;
  }
  if (!parse(g, v->subject->context->name, v->content->info, 0, true, &s, p)) return false;
  csfle_status rc = csfle__schema_format(s)->formatted(s, format, out, &err);
  csfle__schema_free(s);
  if (rc == CSFLE_E_NOMEM) registry_out_of_memory();
  return rc == CSFLE_OK || registry_refuse(p, 500, 500, "Error while formatting the schema: %s", err.msg);
}
