/* SCHEMA, DELETE_SUBJECT and CLEAR_SUBJECT records: versions, ids, contents, who references whom. [SR 7.5] */
#include "server/registry/state.h"

#include "server/log/must.h"

#include <stdio.h>

/* ---- contents -------------------------------------------------------------------------------------------------- */

void registry_content_unparse(registry_content *c)
{
  if (c->parsed) csfle__schema_free(c->parsed);
  c->parsed = NULL;
}

void registry_content_free(registry_content *c)
{
  registry_content_unparse(c);
  csfle__schema_info_free(c->info);
  csfle__free((void *)c->rendered.ptr);
  csfle__free(c->holders);
  csfle__free(c);
}

/* guid and type; contents of one hash that differ all the same ({} is hashed alike in metadata and rule set [SR 5.4])
   are numbered behind it */
static csfle__bytes content_key(const csfle__schema_info *info, const uint8_t guid[16], uint8_t number, uint8_t buf[64])
{
  size_t n = info->schema_type.len < 32 ? info->schema_type.len : 32;
  memcpy(buf, guid, 16);
  if (n) memcpy(buf + 16, info->schema_type.ptr, n);
  n += 16;
  if (number) buf[n++] = 0, buf[n++] = number;
  return csfle__view(buf, n);
}

static bool same_content(const csfle__schema_info *a, const csfle__schema_info *b)
{
  return csfle__eq(a->schema, b->schema) && csfle__eq(a->schema_type, b->schema_type) &&
         csfle__references_equal(a->references, a->reference_count, b->references, b->reference_count) &&
         csfle__metadata_equal(a->metadata, b->metadata) && csfle__rule_set_equal(a->rule_set, b->rule_set);
}

/* the one with this content, or NULL with the number a new one gets */
static registry_content *find_content(const registry_state *s, const csfle__schema_info *info, uint8_t guid[16], uint8_t *number)
{
  uint8_t buf[64];
  must_ok(csfle__content_hash(info->schema, info->references, info->reference_count, info->metadata, info->rule_set, guid, NULL));
  for (unsigned n = 0; n < 256; n++) {
    registry_content *c = (registry_content *)csfle__map_get(&s->contents, content_key(info, guid, (uint8_t)n, buf));
    *number = (uint8_t)n;
    if (!c || same_content(c->info, info)) return c;
  }
  return NULL;
}

registry_content *registry_state_content(const registry_state *s, const csfle__schema_info *info, registry_content **clash)
{
  uint8_t           guid[16], number, buf[64];
  registry_content *c = find_content(s, info, guid, &number);
  if (clash) *clash = c || !number ? NULL : (registry_content *)csfle__map_get(&s->contents, content_key(info, guid, 0, buf));
  return c;
}

/* the same schema in as little memory as it needs; most have no contract and no references */
static csfle__schema_info *packed(csfle__schema_info *info)
{
  if (info->reference_count || info->metadata || info->rule_set) return info;
  csfle__schema_info *p = (csfle__schema_info *)must_calloc(sizeof *p);
  bool avro = csfle__eq_str(info->schema_type, "AVRO");
  uint8_t *text = (uint8_t *)must(csfle__arena_alloc(&p->arena, info->schema.len + 1 + (avro ? 0 : info->schema_type.len + 1)));
  memcpy(text, info->schema.ptr, info->schema.len);
  p->schema = csfle__view(text, info->schema.len);
  p->schema_type = CSFLE__LIT("AVRO");
  if (!avro) {
    memcpy(text + info->schema.len + 1, info->schema_type.ptr, info->schema_type.len);
    p->schema_type = csfle__view(text + info->schema.len + 1, info->schema_type.len);
  }
  p->id = p->version = -1;
  csfle__schema_info_free(info);
  return p;
}

static registry_content *content_made(registry_state *s, csfle__schema_info *info)
{
  uint8_t           guid[16], buf[64], number;
  registry_content *c = find_content(s, info, guid, &number);
  char              text[37];
  csfle_buf        *b = &s->scratch;

  if (c) {
    csfle__schema_info_free(info);
    return c;
  }
  c = (registry_content *)must_calloc(sizeof *c);
  memcpy(c->guid, guid, 16);
  c->info = info = packed(info);
  c->number = number;
  csfle__buf_clear(b);
  csfle__guid_text(guid, text);
  put(b, ",\"guid\":\""), put(b, text), put(b, "\",\"schemaType\":");
  put_json(b, info->schema_type);
  if (info->reference_count) {
    put(b, ",\"references\":");
    must_ok(csfle__references_put(b, info->references, info->reference_count, NULL));
  }
  if (info->metadata) {
    put(b, ",\"metadata\":");
    must_ok(csfle__metadata_put(b, info->metadata, NULL));
  }
  if (info->rule_set) {
    put(b, ",\"ruleSet\":");
    must_ok(csfle__rule_set_put(b, info->rule_set, NULL));
  }
  c->schema_at = b->len;
  put(b, ",\"schema\":");
  put_json(b, info->schema);
  c->rendered = must_copy(csfle__buf_view(b));
  must_map_put(&s->contents, content_key(info, guid, number, buf), c);
  return c;
}

static void content_drop(registry_state *s, registry_content *c)
{
  uint8_t buf[64];
  csfle__map_remove(&s->contents, content_key(c->info, c->guid, c->number, buf));
  if (c->parsed) s->parsed_count--;
  registry_content_free(c);
}

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
    uint8_t key[4];
    csfle__put_u32be(key, (uint32_t)v->id);
    csfle__map_remove(&ctx->ids, csfle__view(key, sizeof key));
    csfle__free(id);
  }
  if (c->holder_count == 0) content_drop(s, c);
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
  must_map_put(&s->subjects, name, subject);
  return subject;
}

static void hook(registry_state *s, registry_version *v)
{
  registry_context *ctx = v->subject->context;
  registry_content *c = v->content;
  registry_id      *id = registry_context_id(ctx, v->id);

  if (!id) {
    uint8_t key[4];
    csfle__put_u32be(key, (uint32_t)v->id);
    id = (registry_id *)must_calloc(sizeof *id);
    id->id = v->id;
    id->content = c;
    must_map_put(&ctx->ids, csfle__view(key, sizeof key), id);
  }
  id->versions++;
  must_map_put(&ctx->hashes, csfle__view(&c, sizeof c), id);
  c->holders = (registry_version **)room_for_one(c->holders, &c->holder_cap, c->holder_count);
  c->holders[c->holder_count++] = v;
  change_references(s, v, true);
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
  csfle__schema_info *info = NULL;
  csfle_status        rc = csfle__schema_info_parse(&info, value, &err);
  if (rc == CSFLE_E_NOMEM) registry_out_of_memory();
  if (rc != CSFLE_OK || info->id < 0 || !info->schema.ptr) {
    csfle__log_line(s->log, 4, "registry", "schema record at offset %lld skipped: %s", (long long)r->offset,
                    rc != CSFLE_OK ? err.msg : "it has no id or no schema");
    csfle__schema_info_free(info);
    csfle_buf_free(&b);
    return;
  }
  registry_context *ctx = registry_state_context_made(s, csfle__subject_parse(name).context);
  registry_id      *id = registry_context_id(ctx, info->id);
  if (id && !csfle__eq(id->content->info->schema, info->schema)) {
    csfle__log_line(s->log, 4, "registry", "schema record at offset %lld skipped: id %d belongs to another schema", (long long)r->offset, info->id);
    csfle__schema_info_free(info);
    csfle_buf_free(&b);
    return;
  }
  int32_t new_id = info->id;
  bool    deleted = info->deleted;
  subject = subject_made(s, name);
  registry_content *content = content_made(s, info); /* takes info */
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
