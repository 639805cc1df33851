/* Fetching registered schemas. See schemas.h. */
#include "client/regclient/schemas.h"
#include "core/base/alloc.h"

static void destroy(csfle__shared *s)
{
  csfle__registered *r = (csfle__registered *)s;
  csfle__schema_info_free(r->info);
  for (size_t i = 0; i < r->ref_info_count; i++) csfle__schema_info_free(r->ref_infos[i]);
  csfle__free(r->ref_infos);
  csfle__free(r->refs);
  csfle__free(r);
}

void csfle__schema_fetch_init(csfle__schema_fetch *f)
{
  memset(f, 0, sizeof *f);
  csfle__rc_call_init(&f->call, "GET");
}

void csfle__schema_fetch_free(csfle__schema_fetch *f)
{
  csfle__rc_call_free(&f->call);
  if (f->result) csfle__release(&f->result->shared);
  f->result = NULL;
}

static void again(csfle__rc_call *c, const char *method)
{
  csfle__rc_call_free(c);
  csfle__rc_call_init(c, method);
}

static csfle_status put_subject(csfle_buf *b, csfle__bytes subject, csfle_error *err)
{
  csfle_status rc = csfle__buf_puts(b, "/subjects/", err);
  return rc == CSFLE_OK ? csfle__put_path_segment(b, subject, err) : rc;
}

static csfle_status first_request(csfle__schema_fetch *f, csfle_error *err)
{
  csfle__rc_call *c = &f->call;
  char            guid[37];
  csfle_status    rc = CSFLE_OK;
  bool            post = f->by == CSFLE__BY_LOOKUP || f->by == CSFLE__BY_REGISTER;
  again(c, post ? "POST" : "GET");
  switch (f->by) {
  case CSFLE__BY_ID:
    rc = csfle__buf_printf(&c->path, err, "/schemas/ids/%d?subject=", (int)f->id);
    if (rc == CSFLE_OK) rc = csfle__put_query_value(&c->path, f->subject, err);
    return rc;
  case CSFLE__BY_GUID:
    csfle__guid_text(f->guid, guid);
    return csfle__buf_printf(&c->path, err, "/schemas/guids/%s", guid);
  case CSFLE__BY_LATEST:
    rc = put_subject(&c->path, f->subject, err);
    if (rc == CSFLE_OK) rc = csfle__buf_puts(&c->path, "/versions/latest", err);
    return rc;
  default: break;
  }
  rc = put_subject(&c->path, f->subject, err);
  if (rc == CSFLE_OK)
    rc = csfle__buf_printf(&c->path, err, "%s?normalize=%s", f->by == CSFLE__BY_REGISTER ? "/versions" : "", f->normalize ? "true" : "false");
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&c->body, "{\"schema\":", err);
  if (rc == CSFLE_OK) rc = csfle__json_put_string(&c->body, f->text, false, err);
  if (rc == CSFLE_OK && f->type.len && !csfle__eq_str(f->type, "AVRO")) {
    rc = csfle__buf_puts(&c->body, ",\"schemaType\":", err);
    if (rc == CSFLE_OK) rc = csfle__json_put_string(&c->body, f->type, false, err);
  }
  if (rc == CSFLE_OK) rc = csfle__buf_putc(&c->body, '}', err);
  return rc;
}

static csfle_status parse(csfle__schema_fetch *f, csfle__schema_info **out, csfle_error *err)
{
  yyjson_val *root = f->call.doc ? yyjson_doc_get_root(f->call.doc) : NULL;
  if (!yyjson_is_obj(root)) return csfle__fail(err, CSFLE_E_SCHEMA, "the registry's answer is no schema");
  csfle_status rc = csfle__schema_info_parse(out, root, err);
  if (rc == CSFLE_OK && !(*out)->schema.ptr) {
    csfle__schema_info_free(*out);
    *out = NULL;
    rc = csfle__fail(err, CSFLE_E_SCHEMA, "the registry's answer has no schema text");
  }
  return rc;
}

/* Takes @p info into the result in every case. */
static csfle_status keep_ref(csfle__schema_fetch *f, csfle__schema_info *info, csfle_error *err)
{
  csfle__registered *r = f->result;
  if (r->ref_info_count >= CSFLE__MAX_REFERENCES || csfle__grow((void **)&r->ref_infos, &f->infos_cap, r->ref_info_count + 1, sizeof *r->ref_infos)) {
    bool many = r->ref_info_count >= CSFLE__MAX_REFERENCES;
    csfle__schema_info_free(info);
    return many ? csfle__fail(err, CSFLE_E_SCHEMA, "schema has more than %d references", CSFLE__MAX_REFERENCES) : csfle__nomem(err);
  }
  r->ref_infos[r->ref_info_count++] = info;
  return CSFLE_OK;
}

static bool ref_done(const csfle__registered *r, csfle__bytes name)
{
  for (size_t i = 0; i < r->ref_count; i++)
    if (csfle__eq(r->refs[i].name, name)) return true;
  return false;
}

/* Pops the top of the stack; what is no root becomes a resolved reference, after all it refers to. */
static csfle_status pop(csfle__schema_fetch *f, csfle_error *err)
{
  csfle__ref_frame *top = &f->stack[--f->depth];
  if (f->depth == 0) return CSFLE_OK;
  if (csfle__grow((void **)&f->result->refs, &f->refs_cap, f->result->ref_count + 1, sizeof *f->result->refs)) return csfle__nomem(err);
  f->result->refs[f->result->ref_count++] = (csfle__resolved_ref){ top->name, top->node->schema };
  return CSFLE_OK;
}

static csfle_status ref_request(csfle__schema_fetch *f, const csfle__schema_ref *ref, csfle_error *err)
{
  again(&f->call, "GET");
  csfle_status rc = put_subject(&f->call.path, ref->subject, err);
  return rc == CSFLE_OK ? csfle__buf_printf(&f->call.path, err, "/versions/%d?deleted=true", (int)ref->version) : rc;
}

static csfle_status push_ref(csfle__schema_fetch *f, csfle_error *err)
{
  csfle__ref_frame        *top = &f->stack[f->depth - 1];
  const csfle__schema_ref *ref = &top->node->references[top->child - 1];
  csfle__schema_info      *info = NULL;
  csfle_status             rc = parse(f, &info, err);
  if (rc == CSFLE_OK) rc = keep_ref(f, info, err);
  if (rc != CSFLE_OK) return rc;
  f->stack[f->depth++] = (csfle__ref_frame){ info, 0, ref->name };
  return CSFLE_OK;
}

/* The next reference that has to be fetched, or NULL when all are done; pops finished ones. */
static csfle_status next_ref(csfle__schema_fetch *f, const csfle__schema_ref **out, csfle_error *err)
{
  *out = NULL;
  while (f->depth) {
    csfle__ref_frame *top = &f->stack[f->depth - 1];
    if (top->child >= top->node->reference_count) {
      csfle_status rc = pop(f, err);
      if (rc != CSFLE_OK) return rc;
      continue;
    }
    const csfle__schema_ref *ref = &top->node->references[top->child++];
    if (ref_done(f->result, ref->name)) continue;
    for (size_t i = 1; i < f->depth; i++)
      if (csfle__eq(f->stack[i].name, ref->name))
        return csfle__fail(err, CSFLE_E_SCHEMA, "schema references go round in a circle at '%.*s'", CSFLE__FMT(ref->name));
    if (f->depth == CSFLE__MAX_REFERENCE_DEPTH)
      return csfle__fail(err, CSFLE_E_SCHEMA, "schema references are more than %d deep", CSFLE__MAX_REFERENCE_DEPTH);
    *out = ref;
    return CSFLE_OK;
  }
  return CSFLE_OK;
}

/* The root of the answer becomes the result. */
static csfle_status begin_result(csfle__schema_fetch *f, csfle_error *err)
{
  csfle__registered *r = csfle__calloc(1, sizeof *r);
  if (!r) return csfle__nomem(err);
  csfle__shared_init(&r->shared, destroy);
  f->result = r;
  csfle_status rc = parse(f, &r->info, err);
  if (rc != CSFLE_OK) return rc;
  if (f->by == CSFLE__BY_ID) r->info->id = f->id;
  if (r->info->id < 0) {
    if (f->by != CSFLE__BY_GUID) return csfle__fail(err, CSFLE_E_SCHEMA, "the registry's answer has no schema id");
    r->info->id = 0;
  }
  if (!r->info->subject.ptr) {
    r->info->subject = csfle__arena_copy(&r->info->arena, f->subject);
    if (!r->info->subject.ptr) return csfle__nomem(err);
  }
  f->stack[0] = (csfle__ref_frame){ r->info, 0, CSFLE__NONE };
  f->depth = 1;
  return CSFLE_OK;
}

csfle__next csfle__schema_fetch_step(csfle__rc *rc, csfle__schema_fetch *f, csfle_error *err)
{
  csfle__next              next;
  const csfle__schema_ref *ref;
  CSFLE__BEGIN(f);
  if (first_request(f, err) != CSFLE_OK) return CSFLE__FAIL;
  CSFLE__AWAIT(f, next, csfle__rc_step(rc, &f->call, err));
  if (next == CSFLE__FAIL) return CSFLE__FAIL;
  if (f->by == CSFLE__BY_LOOKUP || f->by == CSFLE__BY_REGISTER) {
    /* answers may lack the rules: they are those of the registered version, however it was found [SERDE-57] */
    yyjson_val *root = f->call.doc ? yyjson_doc_get_root(f->call.doc) : NULL;
    int64_t     id = -1;
    if (!csfle__json_i64(csfle__json_member(root, "id"), &id) || id < 0 || id > INT32_MAX) {
      csfle__fail(err, CSFLE_E_SCHEMA, "the registry's answer has no schema id");
      return CSFLE__FAIL;
    }
    f->id = (int32_t)id, f->by = CSFLE__BY_ID;
    if (first_request(f, err) != CSFLE_OK) return CSFLE__FAIL;
    CSFLE__AWAIT(f, next, csfle__rc_step(rc, &f->call, err));
    if (next == CSFLE__FAIL) return CSFLE__FAIL;
  }
  if (begin_result(f, err) != CSFLE_OK) return CSFLE__FAIL;
  for (;;) {
    if (next_ref(f, &ref, err) != CSFLE_OK) return CSFLE__FAIL;
    if (!ref) return CSFLE__DONE;
    if (ref_request(f, ref, err) != CSFLE_OK) return CSFLE__FAIL;
    CSFLE__AWAIT(f, next, csfle__rc_step(rc, &f->call, err));
    if (next == CSFLE__FAIL) return CSFLE__FAIL;
    if (push_ref(f, err) != CSFLE_OK) return CSFLE__FAIL;
  }
  CSFLE__END;
  csfle__fail(err, CSFLE_E_INTERNAL, "schema fetch stepped after its end");
  return CSFLE__FAIL;
}
