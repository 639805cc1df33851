/*
 * Rules in turn: one record through the rules of its contract. Field rules turn spans into replacements that the next
 * rule sees; a rule that needs the whole message splices those, gets text, and its answer is walked anew.
 */
#include "client/serde/turns.h"
#include "client/wire/wire.h"
#include "core/base/alloc.h"

/* ENCRYPT has no callbacks: seal_all of write.c and open_all of read.c run it over all fields of a record at once. */
const csfle__executor_ops csfle__encrypt_executor = { .level = CSFLE__LEVEL_FIELD };

/* ---- tags of leaves, for executors that ask */

typedef struct tag_list {
  csfle__bytes         leaf;
  csfle__arena        *arena;
  csfle__bytes        *at; /* NULL: only count */
  size_t               count, cap;
  bool                 failed;
} tag_list;

static void take_tag(void *opaque, csfle__bytes path, csfle__bytes tag)
{
  tag_list *l = opaque;
  if (!csfle__eq(path, l->leaf)) return;
  if (l->at && l->count < l->cap) {
    char *copy = csfle__arena_alloc(l->arena, tag.len + 1);
    if (!copy) l->failed = true;
    else memcpy(copy, tag.ptr, tag.len), l->at[l->count] = csfle__view(copy, tag.len);
  }
  l->count++;
}

static void all_tags(const csfle__contract *c, tag_list *l)
{
  const csfle__metadata *m = c->registered->info->metadata;
  const csfle__format   *f = csfle__schema_format(c->schema);
  l->count = 0;
  if (f->inline_tags) f->inline_tags(c->schema, take_tag, l);
  for (size_t i = 0; m && i < m->tag_count; i++)
    if (csfle__tag_path_match(m->tags[i].pattern, l->leaf))
      for (size_t k = 0; k < m->tags[i].tags.count; k++) take_tag(l, l->leaf, m->tags[i].tags.at[k]);
}

static void make_set(csfle__names *n)
{
  size_t out = 0;
  for (size_t i = 1; i < n->count; i++)
    for (size_t k = i; k && csfle__cmp(n->at[k], n->at[k - 1]) < 0; k--) {
      csfle__bytes t = n->at[k];
      n->at[k] = n->at[k - 1], n->at[k - 1] = t;
    }
  for (size_t i = 0; i < n->count; i++)
    if (!i || !csfle__eq(n->at[i], n->at[out - 1])) n->at[out++] = n->at[i];
  n->count = out;
}

csfle_status csfle__leaf_tags(csfle__contract *c, csfle_error *err)
{
  csfle__names *all;
  bool          asked = false;
  for (size_t i = 0; i < c->rule_count; i++) asked |= c->rules[i].active.ops && c->rules[i].active.ops->field;
  if (!asked) return CSFLE_OK;
  all = csfle__arena_alloc(&c->arena, (c->plan->leaf_count + 1) * sizeof *all);
  if (!all) return csfle__nomem(err);
  for (size_t i = 0; i < c->plan->leaf_count; i++) {
    tag_list l = { .leaf = c->plan->leaves[i].name, .arena = &c->arena };
    all_tags(c, &l);
    l.cap = l.count;
    l.at = csfle__arena_alloc(&c->arena, (l.cap + 1) * sizeof *l.at);
    if (!l.at) return csfle__nomem(err);
    all_tags(c, &l);
    if (l.failed || l.count != l.cap) return csfle__nomem(err); /* the format's walk says less without memory */
    all[i] = (csfle__names){ l.at, l.cap };
    make_set(&all[i]);
  }
  c->leaf_tags = all;
  return CSFLE_OK;
}

/* ---- one rule */

typedef struct turn {
  csfle_serde           *s;
  csfle__scratch        *x;
  const csfle__contract *c;
  uint32_t               i;
  csfle__bytes           in; /* what the walk is of */
} turn;

/* [SERDE-91] [SERDE-92] */
static csfle_status condition_failed(const csfle__rule *r, csfle_error *err)
{
  if (r->doc.len) return csfle__fail(err, CSFLE_E_CONDITION, "%.*s", CSFLE__FMT(r->doc));
  if (r->expr.ptr) return csfle__fail(err, CSFLE_E_CONDITION, "Expr failed: '%.*s'", CSFLE__FMT(r->expr));
  return csfle__fail(err, CSFLE_E_CONDITION, "Condition failed: '%.*s'", CSFLE__FMT(r->name));
}

/* What an executor came back with; *changed when its bytes count. */
static csfle_status take_answer(const csfle__rule *r, csfle_status rc, csfle__answer a, bool *changed, csfle_error *err)
{
  *changed = false;
  if (rc == CSFLE_E_NOMEM || CSFLE_CLASS(rc) == CSFLE_CLASS_WAIT) return rc;
  if (rc != CSFLE_OK) return err && err->code == rc ? rc : csfle__fail(err, CSFLE_E_RULE, "the executor failed without saying why");
  if (r->kind == CSFLE__CONDITION) return a == CSFLE__ANSWER_FALSE ? condition_failed(r, err) : CSFLE_OK;
  if (a == CSFLE__ANSWER_FALSE) return csfle__fail(err, CSFLE_E_RULE, "the executor of a TRANSFORM rule answered false");
  *changed = a == CSFLE__ANSWER_CHANGED;
  return CSFLE_OK;
}

static csfle_status check_value(const csfle__leaf *l, size_t old_len, csfle__bytes v, csfle_error *err)
{
  if (l->type == CSFLE__LEAF_BYTES || (l->type == CSFLE__LEAF_FIXED && v.len == old_len)) return CSFLE_OK;
  if (l->type != CSFLE__LEAF_STRING)
    return csfle__fail(err, CSFLE_E_TYPE, "a value of type %s cannot be replaced by %zu bytes", csfle__leaf_type_name(l->type), v.len);
  return csfle__utf8_valid(v) ? CSFLE_OK : csfle__fail(err, CSFLE_E_RULE, "the executor's text is not valid UTF-8");
}

static csfle_status run_field(const turn *t, csfle_error *err)
{
  csfle__scratch             *x = t->x;
  const csfle__contract_rule *r = &t->c->rules[t->i];
  csfle__rule_call            call = { r->active.rule, t->c->registered->info->metadata, t->c->direction, t->s->subject };
  csfle_buf                  *b = &x->pass[t->i];
  csfle__buf_clear(b);
  csfle_status rc = csfle__buf_reserve(b, 1, err);
  for (size_t k = 0; k < x->walk.count && rc == CSFLE_OK; k++) {
    const csfle__span *sp = &x->walk.spans[k];
    const csfle__leaf *l = &t->c->plan->leaves[sp->leaf];
    if (sp->kind || !(l->rules & r->bit) || l->type == CSFLE__LEAF_NULL) continue;
    csfle__rule_field f = { l->name, l->type, &t->c->leaf_tags[sp->leaf] };
    csfle__answer     a = CSFLE__ANSWER_SAME;
    bool              changed;
    csfle__buf_clear(&x->answer);
    rc = r->active.ops->field(r->active.opaque, &call, &f, csfle__current(x, t->in, k), &x->answer, &a, err);
    rc = take_answer(r->active.rule, rc, a, &changed, err);
    if (rc == CSFLE_OK && changed) {
      rc = check_value(l, sp->len, csfle__buf_view(&x->answer), err);
      if (rc == CSFLE_OK) rc = csfle__buf_put(b, x->answer.ptr, x->answer.len, err);
      if (rc == CSFLE_OK) x->repl[k] = (csfle__replacement){ csfle__view(NULL, x->answer.len), false }, x->state[k] = CSFLE__SPAN_PENDING;
    }
    if (rc != CSFLE_OK) {
      if (rc != CSFLE_E_NOMEM) csfle__where(err, "%.*s", CSFLE__FMT(l->name));
      if (err) err->offset = sp->off;
    }
  }
  size_t at = 0; /* only now does the buffer stay where it is */
  for (size_t k = 0; k < x->walk.count && rc == CSFLE_OK; k++) {
    if (x->state[k] != CSFLE__SPAN_PENDING) continue;
    x->repl[k].value.ptr = b->ptr + at;
    at += x->repl[k].value.len;
    x->state[k] = CSFLE__SPAN_CLEAR; /* the executor's own bytes: nobody knows what they tell */
  }
  return rc;
}

/* ---- which values of a new message are ciphertexts of the old one */

static uint64_t hash(csfle__bytes v)
{
  uint64_t h = UINT64_C(14695981039346656037) ^ v.len;
  for (size_t i = 0; i < v.len; i++) h = (h ^ v.ptr[i]) * UINT64_C(1099511628211);
  return h ^ h >> 29;
}

static csfle__bytes old_value(const csfle__scratch *x, csfle__bytes in, size_t k)
{
  return x->saved[k].keep ? csfle__view(in.ptr + x->other.spans[k].off, x->other.spans[k].len) : x->saved[k].value;
}

/* x->other, x->saved, x->saved_state are of the old message @p in; x->walk of the new one, all kept. */
static csfle_status find_sealed(csfle__scratch *x, csfle__bytes in, csfle__bytes fresh, csfle_error *err)
{
  size_t n = 0, size = 8;
  for (size_t k = 0; k < x->other.count; k++) n += x->saved_state[k] == CSFLE__SPAN_SEALED;
  if (!n) return CSFLE_OK;
  while (size < 2 * n) size *= 2;
  if (csfle__grow((void **)&x->table, &x->table_cap, size, sizeof *x->table)) return csfle__nomem(err);
  memset(x->table, 0, size * sizeof *x->table);
  for (size_t k = 0; k < x->other.count; k++) {
    if (x->saved_state[k] != CSFLE__SPAN_SEALED) continue;
    size_t at = hash(old_value(x, in, k)) & (size - 1);
    while (x->table[at]) at = (at + 1) & (size - 1);
    x->table[at] = k + 1;
  }
  for (size_t k = 0; k < x->walk.count; k++) {
    if (x->walk.spans[k].kind) continue;
    csfle__bytes v = csfle__view(fresh.ptr + x->walk.spans[k].off, x->walk.spans[k].len);
    for (size_t at = hash(v) & (size - 1); x->table[at]; at = (at + 1) & (size - 1))
      if (csfle__eq(old_value(x, in, x->table[at] - 1), v)) {
        x->state[k] = CSFLE__SPAN_SEALED;
        break;
      }
  }
  return CSFLE_OK;
}

/* The message as the rules before left it goes out as text; a changed one comes back, is walked, and becomes t->in. */
static csfle_status run_message(turn *t, csfle_error *err)
{
  csfle__scratch             *x = t->x;
  const csfle__contract      *c = t->c;
  const csfle__contract_rule *r = &c->rules[t->i];
  csfle__rule_call            call = { r->active.rule, c->registered->info->metadata, c->direction, t->s->subject };
  csfle__answer               a = CSFLE__ANSWER_SAME;
  csfle__bytes                now;
  bool                        changed;
  csfle__buf_clear(&x->answer);
  csfle__buf_clear(&x->text);
  csfle_status rc = csfle__scratch_splice(x, c->plan, t->in, &now, err);
  if (rc == CSFLE_OK) rc = csfle__value_to_json(c->schema, now, r->active.ops->text_flags, &x->text, NULL, err);
  if (rc != CSFLE_OK) return rc;
  rc = r->active.ops->message(r->active.opaque, &call, csfle__buf_view(&x->text), &x->answer, &a, err);
  rc = take_answer(r->active.rule, rc, a, &changed, err);
  if (rc != CSFLE_OK || !changed) return rc;
  csfle_buf *b = &x->turns[x->next_turn]; /* not the one that t->in may be in */
  csfle__buf_clear(b);
  rc = csfle__value_from_json(c->schema, csfle__buf_view(&x->answer), b, err);
  if (rc == CSFLE_OK) rc = csfle__plan_walk(c->plan, csfle__buf_view(b), &x->other, err);
  if (rc != CSFLE_OK) {
    csfle__buf_clear(b);
    if (rc == CSFLE_E_NOMEM) return rc;
    csfle_error why = err ? *err : (csfle_error)CSFLE_ERROR_INIT;
    if (err) err->where[0] = 0;
    rc = csfle__fail(err, CSFLE_E_RULE, "the executor's answer does not fit the schema: %s%s%s", why.where, *why.where ? ": " : "", why.msg);
    return rc;
  }
  csfle__walk old = x->walk;
  x->walk = x->other, x->other = old;
  x->next_turn ^= 1;
  rc = csfle__scratch_ready(x, 0, err);
  if (rc == CSFLE_OK) rc = find_sealed(x, t->in, csfle__buf_view(b), err);
  t->in = csfle__buf_view(b);
  return rc;
}

/* ---- all of them */

static csfle_status run_one(turn *t, csfle__run_encrypt encrypt, uint32_t *flags, csfle_error *err)
{
  const csfle__active_rule *r = &t->c->rules[t->i].active;
  if (!r->ops) return csfle__executor_missing(r->rule->type, err);
  if (csfle__rule_encrypts(r)) return encrypt(t->s, t->x, t->c, t->i, t->in, flags, err);
  return r->ops->level == CSFLE__LEVEL_FIELD ? run_field(t, err) : run_message(t, err);
}

/* fields of this record that the rule is for */
static uint64_t count_fields(const turn *t)
{
  uint64_t n = 0;
  for (size_t k = 0; k < t->x->walk.count; k++) {
    const csfle__leaf *l = &t->c->plan->leaves[t->x->walk.spans[k].leaf];
    n += !t->x->walk.spans[k].kind && l->rules & t->c->rules[t->i].bit && l->type != CSFLE__LEAF_NULL;
  }
  return n;
}

static void save(csfle__scratch *x)
{
  if (!x->walk.count) return;
  memcpy(x->saved, x->repl, x->walk.count * sizeof *x->repl);
  memcpy(x->saved_state, x->state, x->walk.count);
}

static void restore(csfle__scratch *x)
{
  if (!x->walk.count) return;
  memcpy(x->repl, x->saved, x->walk.count * sizeof *x->repl);
  memcpy(x->state, x->saved_state, x->walk.count);
}

csfle_status csfle__run_rules(csfle_serde *s, csfle__scratch *x, const csfle__contract *c, csfle__run_encrypt encrypt,
                              csfle__bytes *in, uint64_t *failed, uint32_t *flags, csfle_error *err)
{
  turn t = { s, x, c, 0, *in };
  int  op = c->direction == CSFLE__ON_WRITE ? CSFLE__OP_WRITE : CSFLE__OP_READ;
  for (uint32_t n = 0; n < c->rule_count; n++) {
    t.i = c->direction == CSFLE__ON_WRITE ? n : (uint32_t)c->rule_count - 1 - n; /* [SERDE-62] */
    const csfle__contract_rule *r = &c->rules[t.i];
    save(x);
    csfle_status rc = run_one(&t, encrypt, flags, err);
    bool         ran = rc == CSFLE_OK;
    if (ran && r->active.on_success == CSFLE__ACTION_ERROR) {
      rc = csfle__fail(err, CSFLE_E_RULE, "rule succeeded and its onSuccess is ERROR");
    } else if (ran) {
      continue;
    }
    /* a message that a rule changed and then forbade is gone, as nothing would come out of it */
    if (!ran && r->active.on_failure == CSFLE__ACTION_NONE && rc != CSFLE_E_NOMEM && CSFLE_CLASS(rc) != CSFLE_CLASS_WAIT) {
      restore(x); /* this rule's fields are as they were, none half done [SERDE-98] */
      *failed |= r->bit;
      *flags |= CSFLE_INFO_RULE_SKIPPED;
      if (csfle__rule_encrypts(&r->active)) csfle__tally_add(&x->tally.fields[r->tally][op][CSFLE__FIELDS_PASSED], count_fields(&t));
      if (c->direction == CSFLE__ON_WRITE)
        csfle__log_line(&s->client->rc.world.log, 4, "serde", "%s: rule %.*s failed and its onFailure is NONE%s", s->subject,
                        CSFLE__FMT(r->active.rule->name), csfle__rule_encrypts(&r->active) ? ": fields are written in clear" : "");
      continue;
    }
    if (csfle__rule_encrypts(&r->active)) csfle__tally_add(&x->tally.fields[r->tally][op][CSFLE__FIELDS_REFUSED], count_fields(&t));
    if (rc != CSFLE_E_NOMEM) csfle__where(err, "%.*s", CSFLE__FMT(r->active.rule->name));
    return rc;
  }
  *in = t.in;
  return CSFLE_OK;
}
