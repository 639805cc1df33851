/* One Kafka payload back into a record. See serde.h. */
#include "client/serde/turns.h"
#include "client/wire/wire.h"
#include "core/base/alloc.h"

/* ---- which contract */

static csfle_status fetch_by(csfle_serde *s, csfle__schema_by by, const csfle__frame *f, const csfle__use *old, csfle__registered **out, csfle_error *err)
{
  csfle__schema_want w = { .by = by, .subject = csfle__str(s->subject), .id = f->id, .fresh = old != NULL, .held = old ? old->order : 0, .of_record = by != CSFLE__BY_LATEST };
  memcpy(w.guid, f->guid, 16);
  csfle_status rc = csfle__client_schema(s->client, &w, out, err);
  if (rc != CSFLE_OK && rc != CSFLE_E_NOMEM) {
    if (by == CSFLE__BY_ID) csfle__where(err, "%s id %d", s->subject, (int)f->id);
    else csfle__where(err, "%s", s->subject);
  }
  return rc;
}

static bool migrates(const csfle__registered *r) { return r->info->rule_set && r->info->rule_set->migration.count; }

static void upgrade_destroy(csfle__shared *x)
{
  csfle__upgrade *g = (csfle__upgrade *)x;
  csfle__resolution_free(g->resolution);
  if (g->writer) csfle__release(&g->writer->shared);
  csfle__free(g);
}

/* The reader's schema is the latest version: records of another are brought into its layout, then its rules run. [SERDE-69] */
static csfle_status make_upgrade(csfle_serde *s, csfle__registered *writer, csfle__use *reader, csfle_error *err)
{
  const csfle__contract *c = reader->contract;
  csfle__use            *w = NULL;
  csfle_status           rc = CSFLE_OK;
  if (writer->info->id == c->registered->info->id) return CSFLE_OK;
  csfle__upgrade *g = csfle__calloc(1, sizeof *g);
  if (!g) return csfle__nomem(err);
  csfle__shared_init(&g->shared, upgrade_destroy);
  reader->upgrade = g;
  if (migrates(writer) || migrates(c->registered)) rc = csfle__fail(err, CSFLE_E_RULE, "migration rules are not supported yet (use.latest.version on a reader)");
  if (rc == CSFLE_OK) rc = csfle__use_make(s, writer, CSFLE__ON_READ, &w, err);
  if (rc == CSFLE_OK) {
    const csfle__schema *from = w->contract->schema;
    g->writer = w->contract;
    csfle__retain(&g->writer->shared);
    if (from->format != c->schema->format || !from->format->same_layout(from, c->schema)) rc = csfle__resolution_compile(&g->resolution, from, c->schema, err);
    if (rc == CSFLE_OK && w->contract->encrypt_bits && !c->encrypt_bits) /* [SERDE-156] */
      csfle__log_line(&s->client->rc.world.log, 4, "serde", "%s: version %d has no ENCRYPT rule, version %d has one; its records stay encrypted", s->subject,
                      (int)reader->version, (int)w->version);
    csfle__release(&w->shared);
  }
  if (rc != CSFLE_OK && rc != CSFLE_E_NOMEM) csfle__contract_where(c->registered, err);
  return rc;
}

static csfle_status make_use(csfle_serde *s, const csfle__frame *f, csfle__use *old, csfle__use **out, csfle_error *err)
{
  csfle_client      *cl = s->client;
  csfle__registered *writer = NULL, *latest = NULL;
  int64_t            now = csfle__client_mono(cl);
  csfle_status       rc = fetch_by(s, f->by_guid ? CSFLE__BY_GUID : CSFLE__BY_ID, f, NULL, &writer, err);
  if (rc == CSFLE_OK && s->use_latest) {
    rc = fetch_by(s, CSFLE__BY_LATEST, f, old, &latest, err);
    if (rc == CSFLE_OK) rc = csfle__use_make(s, latest, CSFLE__ON_READ, out, err);
    if (rc == CSFLE_OK && (rc = make_upgrade(s, writer, *out, err)) != CSFLE_OK) csfle__release(&(*out)->shared);
    if (rc == CSFLE_OK) {
      (*out)->refresh_mono_ms = now + cl->latest_ttl_ms, (*out)->order = latest->order;
      (*out)->schema_id = writer->info->id, (*out)->version = writer->info->version;
    } else if (old && CSFLE_CLASS(rc) == CSFLE_CLASS_WAIT && now - old->fetched_mono_ms < cl->latest_ttl_ms + cl->max_stale_ms) {
      csfle__meter_tell(&cl->meter, &(csfle__event){ .event = CSFLE_EVENT_STALE, .subject = csfle__str(s->subject), .cause = err });
      rc = csfle__use_over(old->contract, old->fetched_mono_ms, now + CSFLE__RETRY_STALE_MS, true, out, err);
      if (rc == CSFLE_OK) {
        (*out)->schema_id = old->schema_id, (*out)->version = old->version, (*out)->order = old->order;
        if (((*out)->upgrade = old->upgrade)) csfle__retain(&old->upgrade->shared);
      }
    }
  } else if (rc == CSFLE_OK) {
    rc = csfle__use_make(s, writer, CSFLE__ON_READ, out, err);
  }
  if (writer) csfle__release(&writer->shared);
  if (latest) csfle__release(&latest->shared);
  return rc;
}

static csfle_status shared_use(csfle_serde *s, const csfle__frame *f, csfle__use **out, csfle_error *err)
{
  csfle__bytes name = f->by_guid ? csfle__view(f->guid, 16) : csfle__view(&f->id, sizeof f->id);
  int64_t      now = csfle__client_mono(s->client);
  csfle__use  *old = (csfle__use *)csfle__cache_get(&s->readers, name, now);
  if (old && now < old->refresh_mono_ms) {
    *out = old;
    return CSFLE_OK;
  }
  csfle_status rc = make_use(s, f, old, out, err);
  if (rc == CSFLE_OK) csfle__cache_put(&s->readers, name, &(*out)->shared, INT64_MAX);
  if (old) csfle__release(&old->shared);
  return rc;
}

static csfle_status read_use(csfle_serde *s, csfle__scratch *x, const csfle__frame *f, const csfle__use **out, csfle_error *err)
{
  /* mostly the record has the schema of the one before */
  if (!x->read || f->by_guid || x->read_id != f->id || csfle__client_mono(s->client) >= x->read->refresh_mono_ms) {
    csfle__use  *u = NULL;
    csfle_status rc = shared_use(s, f, &u, err);
    if (rc != CSFLE_OK) return rc;
    if (x->read) csfle__release(&x->read->shared);
    x->read = u, x->read_id = f->by_guid ? -1 : f->id;
  }
  *out = x->read;
  return CSFLE_OK;
}

/* ---- one rule */

static csfle_status read_slot(csfle_serde *s, csfle__scratch *x, const csfle__contract *c, uint32_t i, int32_t version, csfle__slot **out, csfle_error *err)
{
  const csfle__contract_rule *r = &c->rules[i];
  csfle_client               *cl = s->client;
  csfle__slot                *t = csfle__slot_find(x, c->uid, i, version);
  int64_t                     mono = csfle__client_mono(cl);
  bool                        alive = t && csfle__slot_alive(t, mono);
  *out = t;
  if (alive && !csfle__slot_ageing(t, mono)) return CSFLE_OK;
  csfle__key_want want = { .params = &r->params, .subject = csfle__str(s->subject), .version = version, .props = &r->props };
  csfle__key_got  got;
  csfle_error     local = CSFLE_ERROR_INIT;
  if (!err) err = &local;
  if (t) want.fresh = true, want.held = t->key->order;
  /* another thread asks: this one goes on */
  if (alive && csfle__ring_going(&cl->ring, &want, &x->tmp)) return CSFLE_OK;
  csfle_status rc = csfle__ring_get(&cl->ring, &want, &got, err);
  if (CSFLE_CLASS(rc) == CSFLE_CLASS_WAIT && alive) {
    csfle__slot_stale(s, t, err);
    return CSFLE_OK;
  }
  if (t && csfle__ring_lasting(rc)) t->key->refused = 1;
  return rc == CSFLE_OK ? csfle__slot_make(s, x, c->uid, i, version, &got, out, err) : rc;
}

static bool opens(const csfle__leaf *l, uint64_t bits)
{
  return l->rules & bits && (l->type == CSFLE__LEAF_STRING || l->type == CSFLE__LEAF_BYTES);
}

static csfle_status open_all(csfle_serde *s, csfle__scratch *x, const csfle__contract *c, uint32_t i, csfle__bytes in, uint32_t *flags, csfle_error *err)
{
  (void)flags;
  const csfle__contract_rule *r = &c->rules[i];
  const csfle__leaf          *leaves = c->plan->leaves;
  size_t                      need = 0, n_open = 0;
  if (r->broken.code) {
    if (err) *err = r->broken;
    return r->broken.code;
  }
  for (size_t k = 0; k < x->walk.count; k++)
    if (!x->walk.spans[k].kind && opens(&leaves[x->walk.spans[k].leaf], r->bit))
      need += 2 * (x->repl[k].keep ? x->walk.spans[k].len : x->repl[k].value.len) + 8;
  csfle_buf *b = &x->pass[i];
  csfle__buf_clear(b);
  csfle_status rc = need ? csfle__buf_reserve(b, need, err) : CSFLE_OK;
  if (rc != CSFLE_OK) return rc;
  for (size_t k = 0; k < x->walk.count; k++) {
    const csfle__span *sp = &x->walk.spans[k];
    const csfle__leaf *l = &leaves[sp->leaf];
    if (sp->kind || !opens(l, r->bit)) continue;
    bool         text = l->type == CSFLE__LEAF_STRING;
    csfle__bytes stored = csfle__current(x, in, k), sealed;
    uint8_t     *raw = b->ptr + b->len, *plain = raw + stored.len + 4;
    int32_t      version;
    size_t       n = 0;
    csfle__slot *t = NULL;
    rc = csfle__field_split(text, r->params.expiry_days > 0, stored, raw, &version, &sealed, err);
    if (rc == CSFLE_OK) rc = read_slot(s, x, c, i, version, &t, err);
    if (rc == CSFLE_OK) rc = csfle__field_open(t->cipher, text, sealed, plain, &n, err);
    if (rc != CSFLE_OK) {
      if (rc != CSFLE_E_NOMEM) csfle__where(err, "%.*s", CSFLE__FMT(l->name));
      if (err) err->offset = sp->off;
      return rc;
    }
    x->repl[k] = (csfle__replacement){ csfle__view(plain, n), false };
    b->len += 2 * stored.len + 8;
    n_open++;
  }
  csfle__tally_add(&x->tally.fields[r->tally][CSFLE__OP_READ][CSFLE__FIELDS_DONE], n_open);
  return CSFLE_OK;
}

/* ---- the call */

/* The payload of top-level bytes has no length: put one before it, as the plan knows values. [SERDE-18] */
static csfle_status with_length(csfle__scratch *x, csfle__bytes payload, csfle__bytes *out, csfle_error *err)
{
  uint64_t n = (uint64_t)payload.len << 1;
  csfle__buf_clear(&x->native);
  csfle_status rc = csfle__buf_reserve(&x->native, payload.len + 10, err);
  if (rc != CSFLE_OK) return rc;
  for (; n >= 0x80; n >>= 7) csfle__buf_putc(&x->native, (uint8_t)(n | 0x80), NULL);
  csfle__buf_putc(&x->native, (uint8_t)n, NULL);
  csfle__buf_put(&x->native, payload.ptr, payload.len, NULL);
  *out = csfle__buf_view(&x->native);
  return CSFLE_OK;
}

csfle_status csfle__scratch_resolve(csfle__scratch *x, const csfle__resolution *r, csfle__bytes in, bool trailing, csfle_buf *to, csfle__bytes *out,
                                    csfle_error *err)
{
  csfle__buf_clear(to);
  csfle_status rc = csfle__resolve(r, in, &x->walk, to, err);
  if (rc == CSFLE_OK && !trailing && x->walk.consumed != in.len) {
    rc = csfle__fail(err, CSFLE_E_DATUM, "%zu bytes follow the value", in.len - x->walk.consumed);
    if (err) err->offset = x->walk.consumed;
  }
  *out = csfle__buf_view(to);
  return rc;
}

/* The record's bytes in the layout of the contract, still encrypted. */
static csfle_status to_contract(csfle_serde *s, csfle__scratch *x, const csfle__use *u, csfle__bytes payload, csfle__bytes *out, csfle_error *err)
{
  const csfle__upgrade *g = u->upgrade;
  csfle_status          rc = CSFLE_OK;
  *out = payload;
  if (g && g->writer ? g->writer->bare_bytes : u->contract->bare_bytes) rc = with_length(x, payload, out, err);
  if (rc == CSFLE_OK && g && g->resolution) rc = csfle__scratch_resolve(x, g->resolution, *out, !s->fail_trailing, &x->resolved, out, err);
  return rc;
}

/* Not with every record: the meter's lock is shared. */
static void tell_passed(const csfle_serde *s, csfle__scratch *x, uint32_t passed)
{
  int64_t now = csfle__client_mono(s->client);
  if (x->told_mono_ms != INT64_MIN && now - x->told_mono_ms < CSFLE__TELL_AGAIN_MS) return;
  x->told_mono_ms = now;
  csfle__meter_tell(&s->client->meter, &(csfle__event){ .event = CSFLE_EVENT_PASSED_THROUGH, .subject = csfle__str(s->subject), .count = passed });
}

static csfle_status read_record(csfle_serde *s, csfle__scratch *x, const csfle__use *u, int form, csfle__bytes payload, csfle_buf *out,
                                csfle_info *info, csfle_error *err)
{
  const csfle__contract *c = u->contract;
  csfle__bytes           native, body;
  uint64_t               failed = 0;
  uint32_t               flags = 0, opened = 0, passed = 0;
  if (c->layout != CSFLE_OK) {
    if (err) *err = c->layout_err, err->where[0] = 0;
    return c->layout;
  }
  csfle_status rc = to_contract(s, x, u, payload, &native, err);
  if (rc == CSFLE_OK) rc = csfle__plan_walk(c->plan, native, &x->walk, err);
  if (rc == CSFLE_OK && s->fail_trailing && x->walk.consumed != native.len) {
    rc = csfle__fail(err, CSFLE_E_DATUM, "%zu bytes follow the value", native.len - x->walk.consumed);
    if (err) err->offset = x->walk.consumed;
  }
  if (rc == CSFLE_OK) rc = csfle__scratch_ready(x, c->rule_count, err);
  if (rc == CSFLE_OK) rc = csfle__run_rules(s, x, c, open_all, &native, &failed, &flags, err);
  if (rc == CSFLE_OK) rc = csfle__scratch_splice(x, c->plan, native, &body, err);
  if (rc != CSFLE_OK) return rc;
  for (size_t k = 0; k < x->walk.count; k++) {
    const csfle__leaf *l = &c->plan->leaves[x->walk.spans[k].leaf];
    if (x->walk.spans[k].kind || !opens(l, c->encrypt_bits)) continue;
    if (l->rules & failed) passed++;
    else opened++;
  }
  /* decrypted in the layout its rules are for, then as the caller wants it [SERDE-70]; `resolved` is free again once it is spliced */
  const csfle__schema *schema = c->schema;
  if (c->resolution) {
    csfle_buf *to = body.ptr == x->resolved.ptr ? &x->native : &x->resolved;
    rc = csfle__scratch_resolve(x, c->resolution, body, true, to, &body, err);
  }
  if (s->caller_schema) schema = s->caller_schema;
  if (rc == CSFLE_OK && form == CSFLE_JSON) {
    csfle__buf_clear(&x->text);
    rc = csfle__value_to_json(schema, body, s->text_flags, &x->text, NULL, err);
    body = csfle__buf_view(&x->text);
  }
  if (rc == CSFLE_OK) rc = csfle__emit(out, CSFLE__NONE, body, err);
  if (rc == CSFLE_OK) csfle__info_fill(info, s, u, 0, opened, passed, flags);
  if (passed) tell_passed(s, x, passed);
  return rc;
}

csfle_status csfle_deserialize(csfle_serde *s, int form, const void *in, size_t len, const csfle_headers *h, csfle_buf *out,
                               csfle_info *info, csfle_error *err)
{
  csfle__scratch   *x;
  const csfle__use *u = NULL;
  csfle__frame      f;
  size_t            n = 0;
  if (!s) return err && err->code ? err->code : CSFLE_E_MISUSE;
  if (!out || (form != CSFLE_JSON && form != CSFLE_NATIVE)) return csfle__fail(err, CSFLE_E_MISUSE, "a buffer and a form are needed");
  csfle__buf_clear(out);
  bool headed = h && h->last && h->last(h->opaque, s->role == CSFLE_KEY ? "__key_schema_id" : "__value_schema_id", &n) && n;
  if (!in || (!len && !headed)) { /* a tombstone [SERDE-32] */
    csfle__info_fill(info, s, NULL, 0, 0, 0, 0);
    return csfle__ok(err);
  }
  csfle_status rc = csfle__wire_split(csfle__view(in, len), s->role == CSFLE_KEY, h, &f, err);
  if (rc != CSFLE_OK) {
    csfle__where(err, "%s", s->subject);
    return csfle__finish(out, rc, err);
  }
  rc = csfle__scratch_take(s, &x, err);
  if (rc != CSFLE_OK) return csfle__finish(out, rc, err);
  rc = read_use(s, x, &f, &u, err);
  if (rc == CSFLE_OK) {
    rc = read_record(s, x, u, form, f.payload, out, info, err);
    if (rc != CSFLE_OK && rc != CSFLE_E_NOMEM) csfle__contract_where(u->contract->registered, err);
  }
  csfle__count_message(x, CSFLE__OP_READ, rc);
  csfle__scratch_give(s, x);
  return csfle__finish(out, rc, err);
}
