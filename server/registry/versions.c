/* SCHEMA, DELETE_SUBJECT and CLEAR_SUBJECT records: versions, ids, contents, who references whom. [SR 7.5] */
#include "server/registry/state.h"

#include "server/log/must.h"

#include <stdio.h>

/* ---- references ------------------------------------------------------------------------------------------------ */

void registry_put_reference_subject(csfle_buf *b, csfle__bytes context, csfle__bytes subject)
{
  csfle__subject q = csfle__subject_parse(subject);
  bool qualified = subject.len > 1 && subject.ptr[0] == ':' && (subject.ptr[1] == '.' || subject.ptr[1] == '*');
  if (!qualified) q.context = context;
  must_ok(csfle__subject_put(b, q, NULL));
}

static void refs_key(csfle_buf *b, csfle__bytes subject, int32_t version)
{
  put_bytes(b, subject);
  must_ok(csfle__buf_putc(b, 0, NULL));
  put_int(b, version);
}

registry_refs *registry_state_referrers(const registry_state *s, csfle__bytes subject, int32_t version)
{
  csfle_buf b;
  csfle_buf_init(&b, 0, 0);
  refs_key(&b, subject, version);
  registry_refs *r = (registry_refs *)csfle__map_get(&s->referrers, csfle__buf_view(&b));
  csfle_buf_free(&b);
  return r;
}

static void change_references(registry_state *s, registry_version *v, bool add)
{
  const csfle__schema_info *info = v->content->info;
  csfle_buf                 key, name;

  csfle_buf_init(&key, 0, 0);
  csfle_buf_init(&name, 0, 0);
  for (size_t i = 0; i < info->reference_count; i++) {
    csfle__buf_clear(&name), csfle__buf_clear(&key);
    registry_put_reference_subject(&name, v->subject->context->name, info->references[i].subject);
    refs_key(&key, csfle__buf_view(&name), info->references[i].version);
    registry_refs *r = (registry_refs *)csfle__map_get(&s->referrers, csfle__buf_view(&key));
    if (add) {
      if (!r) {
        r = (registry_refs *)must_calloc(sizeof *r);
        must_map_put(&s->referrers, csfle__buf_view(&key), r);
      }
      must_grow((void **)&r->at, &r->cap, r->count + 1, sizeof *r->at);
      r->at[r->count++] = v;
      continue;
    }
    for (size_t j = 0; r && j < r->count; j++) {
      if (r->at[j] != v) continue;
      r->at[j] = r->at[--r->count];
      break;
    }
    if (r && r->count == 0) {
      csfle__map_remove(&s->referrers, csfle__buf_view(&key));
      csfle__free(r->at);
      csfle__free(r);
    }
  }
  csfle_buf_free(&key);
  csfle_buf_free(&name);
}

/* ---- versions -------------------------------------------------------------------------------------------------- */

static bool holds(const registry_content *c, const registry_context *ctx, int32_t id)
{
  for (size_t i = 0; i < c->holder_count; i++)
    if (c->holders[i]->id == id && c->holders[i]->subject->context == ctx) return true;
  return false;
}

/* What a version of the context that is not @p gone has under this id; looked for only where one id has several contents,
   which only foreign writers make. */
static registry_content *other_content(const registry_state *s, const registry_context *ctx, int32_t id, const registry_version *gone)
{
  for (size_t i = 0; i < s->subjects.count; i++) {
    const registry_subject *subject = (const registry_subject *)s->subjects.entries[i].value;
    for (size_t n = 0; subject && subject->context == ctx && n < subject->count; n++)
      if (subject->versions[n] != gone && subject->versions[n]->id == id) return subject->versions[n]->content;
  }
  return gone->content;
}

/* unhooks from everything but the subject's list */
static void unhook(registry_state *s, registry_version *v)
{
  registry_context *ctx = v->subject->context;
  registry_content *c = v->content;

  change_references(s, v, false);
  for (size_t i = 0; i < c->holder_count; i++) {
    if (c->holders[i] != v) continue;
    c->holder_count--;
    memmove(c->holders + i, c->holders + i + 1, (c->holder_count - i) * sizeof(registry_version *)); /* order of arrival */
    break;
  }
  registry_id *id = registry_context_id(ctx, v->id);
  if (id && !holds(c, ctx, id->id)) { /* the last with this content and id here; others may hold the id with another content */
    if (registry_context_hash(ctx, c) == id) {
      csfle__map_remove(&ctx->hashes, csfle__view(&c, sizeof c));
      for (size_t i = c->holder_count; i-- > 0;) { /* an older id of the same content takes its place */
        if (c->holders[i]->subject->context != ctx) continue;
        must_map_put(&ctx->hashes, csfle__view(&c, sizeof c), registry_context_id(ctx, c->holders[i]->id));
        break;
      }
    }
    if (id->content == c && id->versions > 1) id->content = other_content(s, ctx, id->id, v);
  }
  if (id && --id->versions == 0) {
    csfle__map_remove(&ctx->ids, csfle__view(id->key, sizeof id->key));
    csfle__free(id);
  }
  if (c->holder_count == 0) registry_content_drop(s, c);
}

void registry_version_remove(registry_state *s, registry_version *v)
{
  registry_subject *subject = v->subject;

  unhook(s, v);
  for (size_t i = 0; i < subject->count; i++) {
    if (subject->versions[i] != v) continue;
    subject->count--;
    memmove(subject->versions + i, subject->versions + i + 1, (subject->count - i) * sizeof(registry_version *));
    break;
  }
  csfle__free(v);
  if (subject->count) return;
  csfle__map_remove(&s->subjects, subject->name);
  csfle__free(subject->versions);
  csfle__free((void *)subject->name.ptr);
  csfle__free(subject);
}

/* arrays of pointers that mostly hold one: begin with one */
static void *room_for_one(void *p, size_t *cap, size_t count)
{
  if (count < *cap) return p;
  *cap = *cap ? *cap * 2 : 1;
  return must(csfle__realloc(p, *cap * sizeof(void *)));
}

static registry_subject *subject_made(registry_state *s, csfle__bytes name)
{
  registry_subject *subject = registry_state_subject(s, name);
  if (subject) return subject;
  subject = (registry_subject *)must_calloc(sizeof *subject);
  subject->name = must_copy(name);
  subject->context = registry_state_context_made(s, csfle__subject_parse(name).context);
  must_map_put(&s->subjects, subject->name, subject);
  return subject;
}

static void hook(registry_state *s, registry_version *v)
{
  registry_context *ctx = v->subject->context;
  registry_content *c = v->content;
  registry_id      *id = registry_context_id(ctx, v->id);

  if (!id) {
    id = (registry_id *)must_calloc(sizeof *id);
    id->id = v->id;
    id->content = c;
    csfle__put_u32be(id->key, (uint32_t)v->id);
    must_map_put(&ctx->ids, csfle__view(id->key, sizeof id->key), id);
  }
  id->versions++;
  must_map_put(&ctx->hashes, csfle__view(&c, sizeof c), id);
  c->holders = (registry_version **)room_for_one(c->holders, &c->holder_cap, c->holder_count);
  c->holders[c->holder_count++] = v;
  change_references(s, v, true);
}

/* A schema without references and contract as views into its record, which is nearly all of them; false: it is not, or
   written in another way than usual. */
static bool plain_schema(yyjson_val *value, csfle__schema_info *out)
{
  size_t      i, n;
  yyjson_val *k, *v;
  int64_t     number;
  *out = (csfle__schema_info){ .schema_type = CSFLE__LIT("AVRO"), .id = -1, .ts = -1 };
  yyjson_obj_foreach(value, i, n, k, v)
  {
    csfle__bytes name = csfle__json_text(k);
    if (csfle__eq_str(name, "schema") && yyjson_is_str(v)) out->schema = csfle__json_text(v);
    else if (csfle__eq_str(name, "schemaType") && yyjson_is_str(v)) out->schema_type = csfle__json_text(v);
    else if (csfle__eq_str(name, "deleted") && yyjson_is_bool(v)) out->deleted = yyjson_get_bool(v);
    else if (csfle__eq_str(name, "id") && csfle__json_i64(v, &number) && number >= INT32_MIN && number <= INT32_MAX) out->id = (int32_t)number;
    else if (!csfle__eq_str(name, "subject") && !csfle__eq_str(name, "version") && !csfle__eq_str(name, "guid") && !csfle__eq_str(name, "ts")) return false;
  }
  return out->schema.ptr != NULL;
}

void registry_apply_schema(registry_state *s, const registry_record *r, yyjson_val *key, yyjson_val *value)
{
  int64_t      number, magic = 1;
  csfle__bytes raw = csfle__json_member_text(key, "subject");
  csfle_error  err = CSFLE_ERROR_INIT;

  (void)csfle__json_i64(csfle__json_member(key, "magic"), &magic);
  if (!raw.ptr || !csfle__json_i64(csfle__json_member(key, "version"), &number) || number < 1 || number > INT32_MAX || magic < 0 || magic > 1) {
    csfle__log_line(s->log, 4, "registry", "schema record at offset %lld skipped: its key is not usable", (long long)r->offset);
    return;
  }
  csfle_buf b;
  csfle_buf_init(&b, 0, 0);
  must_ok(csfle__subject_put(&b, csfle__subject_parse(raw), NULL));
  csfle__bytes      name = csfle__buf_view(&b);
  registry_subject *subject = registry_state_subject(s, name);
  registry_version *old = registry_subject_version(subject, (int32_t)number);
  if (!value) {
    if (old) registry_version_remove(s, old);
    csfle_buf_free(&b);
    return;
  }
  csfle__schema_info  plain, *info = &plain;
  bool                owned = !plain_schema(value, &plain);
  csfle_status        rc = owned ? csfle__schema_info_parse(&info, value, &err) : CSFLE_OK;
  if (rc == CSFLE_E_NOMEM) registry_out_of_memory();
  if (rc != CSFLE_OK || info->id < 0 || !info->schema.ptr) {
    csfle__log_line(s->log, 4, "registry", "schema record at offset %lld skipped: %s", (long long)r->offset,
                    rc != CSFLE_OK ? err.msg : "it has no id or no schema");
    if (owned) csfle__schema_info_free(info);
    csfle_buf_free(&b);
    return;
  }
  registry_context *ctx = registry_state_context_made(s, csfle__subject_parse(name).context);
  registry_id      *id = registry_context_id(ctx, info->id);
  if (id && !csfle__eq(id->content->info->schema, info->schema)) {
    csfle__log_line(s->log, 4, "registry", "schema record at offset %lld skipped: id %d belongs to another schema", (long long)r->offset, info->id);
    if (owned) csfle__schema_info_free(info);
    csfle_buf_free(&b);
    return;
  }
  int32_t new_id = info->id;
  bool    deleted = info->deleted;
  subject = subject_made(s, name);
  registry_content *content = registry_content_made(s, info, owned);
  if (old && old->id == new_id && old->content == content) {
    old->deleted = deleted, old->ts = r->ts, old->offset = r->offset;
  } else {
    registry_version *v = (registry_version *)must_calloc(sizeof *v);
    *v = (registry_version){ subject, content, (int32_t)number, new_id, deleted, r->ts, r->offset };
    if (old) {
      size_t i = 0;
      while (subject->versions[i] != old) i++;
      subject->versions[i] = v;
      hook(s, v);
      unhook(s, old);
      csfle__free(old);
    } else {
      size_t at = subject->count;
      subject->versions = (registry_version **)room_for_one(subject->versions, &subject->cap, subject->count);
      for (; at > 0 && subject->versions[at - 1]->number > v->number; at--) subject->versions[at] = subject->versions[at - 1];
      subject->versions[at] = v;
      subject->count++;
      hook(s, v);
    }
  }
  if (new_id > ctx->max_id) ctx->max_id = new_id;
  if (ctx->max_id < 1) ctx->max_id = 1;
  ctx->known = true;
  csfle_buf_free(&b);
}

void registry_apply_delete_subject(registry_state *s, yyjson_val *value)
{
  int64_t      bound;
  csfle__bytes raw = csfle__json_member_text(value, "subject");
  csfle_buf    b;

  if (!raw.ptr || !csfle__json_i64(csfle__json_member(value, "version"), &bound)) return; /* its tombstone does nothing */
  csfle_buf_init(&b, 0, 0);
  must_ok(csfle__subject_put(&b, csfle__subject_parse(raw), NULL));
  registry_subject *subject = registry_state_subject(s, csfle__buf_view(&b));
  for (size_t i = 0; subject && i < subject->count; i++)
    if (subject->versions[i]->number <= bound) subject->versions[i]->deleted = true;
  csfle_buf_free(&b);
}

void registry_apply_clear_subject(registry_state *s, yyjson_val *key)
{
  csfle__bytes   scope = csfle__json_member_text(key, "subject");
  csfle__subject q = csfle__subject_parse(scope);

  for (size_t i = s->subjects.count; i-- > 0;) {
    registry_subject *subject = (registry_subject *)s->subjects.entries[i].value;
    csfle__subject    own = csfle__subject_parse(subject->name);
    bool in = !scope.len || (csfle__eq(own.context, q.context) && (!q.name.len || csfle__eq(own.name, q.name)));
    if (!in) continue;
    for (size_t n = subject->count; n-- > 0;) {
      bool last = subject->count == 1;
      if (!subject->versions[n]->deleted) continue;
      registry_version_remove(s, subject->versions[n]);
      if (last) break; /* the subject is gone */
    }
  }
}
