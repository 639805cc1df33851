/* Schema and selection to plan: which leaves are taken, which tags can have no effect, and the instructions. */
#include "core/schema/avro/plan.h"

#include "core/base/alloc.h"
#include "core/base/map.h"

/* the rules and the requirement that name one tag */
typedef struct mask {
  uint64_t rules;
  bool     required;
} mask;

typedef struct nest {
  const csfle__avro_type *t;
  uint32_t                op;    /* of the union, array or map */
  uint32_t                jumps; /* 1 + last jump to the end of the union, chained through their targets */
  size_t                  next;
} nest;

/* of each field, parallel to the plan's names */
typedef struct field_info {
  const csfle__avro_type  *rec;
  const csfle__avro_field *f;
  mask                     tags;
  bool                     taken; /* has leaves of its own that are taken */
} field_info;
/* a record inside the type of a field */
typedef struct edge {
  uint32_t                field;
  const csfle__avro_type *to;
} edge;

typedef struct compiler {
  avro_plan                *p;
  const csfle__avro_schema *s;
  const csfle__selection   *sel;
  csfle_error              *err;
  csfle__map                tags; /* tag -> mask */
  mask                     *masks;
  mask                     *patterns;
  uint64_t                  every; /* rules without tags */
  const uint8_t            *zero;
  uint32_t                 *entry; /* by id: 1 + first instruction of a record, 0 not yet */
  uint32_t                 *first; /* by id: name of a record's first field */
  uint8_t                  *queued, *reported;
  const csfle__avro_type  **queue;
  size_t                    queue_count, queue_cap;
  size_t                    op_count, op_cap, field_cap, target_count, target_cap, name_count, name_cap, leaf_count, leaf_cap,
    problem_count, problem_cap;
  csfle__leaf              *leaves;
  csfle__plan_problem      *problems;
  nest                     *nests;
  size_t                    nest_count, nest_cap, barrier; /* no run of skips reaches across this instruction */
  field_info               *infos;
  size_t                    info_cap;
  edge                     *edges;
  size_t                    edge_count, edge_cap;
  const csfle__avro_type  **inner; /* by id: see only_inner */
  /* the field at hand */
  uint32_t name;
  mask     field;
  int64_t  leaf_of[CSFLE__LEAF_FIXED + 1];
} compiler;

#define NOMEM(c) csfle__nomem((c)->err)

/* ---- types without bytes ------------------------------------------------------------------------------------------ */

bool csfle__avro_takes_nothing(const csfle__avro_type *t, const uint8_t *zero)
{
  return t->kind == AVRO_NULL || (t->kind == AVRO_FIXED && t->size == 0) || (t->kind == AVRO_RECORD && zero[t->id] == 1);
}

typedef struct visit {
  const csfle__avro_type *t;
  size_t                  next;
  bool                    direct; /* every step from the record above is a field of record type */
} visit;

/*
 * Depth first over all types. A record that holds itself directly has no finite value: it counts as taking bytes, and a
 * walk ends at its depth limit.
 */
bool csfle__avro_zero_table(const csfle__avro_type *root, uint32_t named_count, uint8_t *zero)
{
  visit *list = NULL;
  size_t count = 0, cap = 0;
  memset(zero, 2, named_count);
  if (csfle__grow((void **)&list, &cap, 1, sizeof *list) != 0) return false;
  list[count++] = (visit){ root, 0, false };
  while (count) {
    visit                  *v = &list[count - 1];
    const csfle__avro_type *t = v->t, *into = NULL;
    size_t                  i = v->next++, n = t->kind == AVRO_RECORD || t->kind == AVRO_UNION ? t->count : t->item ? 1 : 0;
    if (i == 0 && t->kind == AVRO_RECORD) {
      if (zero[t->id] != 2) {
        count--;
        continue;
      }
      zero[t->id] = 3; /* being worked on: not nothing, as far as its own fields are concerned */
    }
    if (i == n) {
      if (t->kind == AVRO_RECORD) {
        uint8_t none = 1;
        for (size_t k = 0; k < t->count; k++) none &= csfle__avro_takes_nothing(t->fields[k].type, zero);
        zero[t->id] = none;
      }
      count--;
      continue;
    }
    into = t->kind == AVRO_RECORD ? t->fields[i].type : t->kind == AVRO_UNION ? t->branches[i] : t->item;
    if (into->kind <= AVRO_STRING || into->kind == AVRO_ENUM || into->kind == AVRO_FIXED) continue;
    if (csfle__grow((void **)&list, &cap, count + 1, sizeof *list) != 0) {
      csfle__free(list);
      return false;
    }
    list[count++] = (visit){ into, 0, false };
  }
  csfle__free(list);
  return true;
}

/* ---- tags --------------------------------------------------------------------------------------------------------- */

static csfle_status name_tag(compiler *c, csfle__bytes tag, uint64_t rules, bool required, size_t *used)
{
  mask *m = csfle__map_get(&c->tags, tag);
  if (!m) {
    m = &c->masks[(*used)++];
    if (csfle__map_put(&c->tags, tag, m, NULL) != 0) return NOMEM(c);
  }
  m->rules |= rules, m->required |= required;
  return CSFLE_OK;
}

static csfle_status learn_selection(compiler *c)
{
  const csfle__selection *sel = c->sel;
  size_t                  most = sel->required_count, used = 0;
  if (sel->rule_count > CSFLE__PLAN_MAX_RULES)
    return csfle__fail(c->err, CSFLE_E_RULE, "%zu rules on fields, at most %d", sel->rule_count, CSFLE__PLAN_MAX_RULES);
  for (size_t i = 0; i < sel->rule_count; i++) most += sel->rules[i].tag_count;
  c->masks = csfle__calloc(most + 1, sizeof *c->masks);
  c->patterns = csfle__calloc(sel->pattern_count + 1, sizeof *c->patterns);
  if (!c->masks || !c->patterns) return NOMEM(c);
  for (size_t i = 0; i < sel->rule_count; i++) {
    if (!sel->rules[i].tag_count) c->every |= 1ull << i;
    for (size_t j = 0; j < sel->rules[i].tag_count; j++) {
      csfle_status rc = name_tag(c, sel->rules[i].tags[j], 1ull << i, false, &used);
      if (rc != CSFLE_OK) return rc;
    }
  }
  for (size_t i = 0; i < sel->required_count; i++) {
    csfle_status rc = name_tag(c, sel->required[i], 0, true, &used);
    if (rc != CSFLE_OK) return rc;
  }
  for (size_t i = 0; i < sel->pattern_count; i++) {
    const csfle__tag_pattern *p = &sel->patterns[i];
    for (size_t j = 0; j < p->tag_count; j++) {
      const mask *m = csfle__map_get(&c->tags, p->tags[j]);
      if (m) c->patterns[i].rules |= m->rules, c->patterns[i].required |= m->required;
    }
    if ((c->patterns[i].rules || c->patterns[i].required) && !csfle__tag_path_valid(p->pattern))
      return csfle__fail(c->err, CSFLE_E_RULE, "metadata tag pattern \"%.*s\" cannot be understood", CSFLE__FMT(p->pattern));
  }
  return CSFLE_OK;
}

static csfle_status problem(compiler *c, csfle__plan_problem_kind kind, csfle__bytes path, csfle__bytes tag, size_t rule)
{
  if (csfle__grow((void **)&c->problems, &c->problem_cap, c->problem_count + 1, sizeof *c->problems) != 0) return NOMEM(c);
  path = csfle__arena_copy(&c->p->arena, path), tag = csfle__arena_copy(&c->p->arena, tag);
  if (!path.ptr || !tag.ptr) return NOMEM(c);
  c->problems[c->problem_count++] = (csfle__plan_problem){ kind, path, tag, rule };
  return CSFLE_OK;
}

/* inline tags of @p props; with @p out their masks are united, else each that matters beyond @p covered is a problem */
static csfle_status inline_tags(compiler *c, const csfle__avro_props *props, csfle__bytes path, mask *out, const mask *covered,
                                csfle__plan_problem_kind kind)
{
  size_t       i, n;
  yyjson_val  *x, *tags = csfle__avro_prop_find(props, "confluent:tags");
  csfle_status rc = CSFLE_OK;
  if (!tags || !c->tags.count) return CSFLE_OK;
  if (!yyjson_is_arr(tags)) {
    csfle__fail(c->err, CSFLE_E_SCHEMA, "confluent:tags is no array");
    csfle__where(c->err, "%.*s", CSFLE__FMT(path));
    return CSFLE_E_SCHEMA;
  }
  yyjson_arr_foreach(tags, i, n, x)
  {
    const mask *m = csfle__map_get(&c->tags, csfle__json_text(x));
    if (!m || rc != CSFLE_OK) continue;
    if (out) out->rules |= m->rules, out->required |= m->required;
    else if (!covered || (m->rules & ~covered->rules) || (m->required && !covered->required))
      rc = problem(c, kind, path, csfle__json_text(x), SIZE_MAX);
  }
  return rc;
}

static csfle_status field_mask(compiler *c, const csfle__avro_field *f, csfle__bytes name, mask *out)
{
  *out = (mask){ 0, false };
  csfle_status rc = inline_tags(c, &f->props, name, out, NULL, 0);
  for (size_t i = 0; i < c->sel->pattern_count && rc == CSFLE_OK; i++) {
    const mask *m = &c->patterns[i];
    if ((!m->rules && !m->required) || ((out->rules | m->rules) == out->rules && out->required >= m->required)) continue;
    if (csfle__tag_path_match(c->sel->patterns[i].pattern, name)) out->rules |= m->rules, out->required |= m->required;
  }
  return rc;
}

static csfle__bytes field_name(compiler *c, const csfle__avro_type *rec, const csfle__avro_field *f)
{
  uint8_t *t = csfle__arena_alloc(&c->p->arena, rec->full.len + f->name.len + 2);
  if (!t) return CSFLE__NONE;
  memcpy(t, rec->full.ptr, rec->full.len), t[rec->full.len] = '.';
  memcpy(t + rec->full.len + 1, f->name.ptr, f->name.len);
  return csfle__view(t, rec->full.len + 1 + f->name.len);
}

/* ---- instructions ------------------------------------------------------------------------------------------------- */

static csfle_status emit(compiler *c, uint32_t code, uint32_t a, uint32_t b)
{
  if (code == OP_SKIP && c->op_count > c->barrier && c->p->ops[c->op_count - 1].code == OP_SKIP && c->p->ops[c->op_count - 1].b == 0 &&
      c->p->ops[c->op_count - 1].a <= UINT32_MAX - a && b == 0) {
    c->p->ops[c->op_count - 1].a += a; /* a run */
    return CSFLE_OK;
  }
  if (c->op_count >= UINT32_MAX / 2) return csfle__fail(c->err, CSFLE_E_SCHEMA, "schema is too large for a plan");
  if (csfle__grow((void **)&c->p->ops, &c->op_cap, c->op_count + 1, sizeof *c->p->ops) != 0 ||
      csfle__grow((void **)&c->p->fields, &c->field_cap, c->op_count + 1, sizeof *c->p->fields) != 0)
    return NOMEM(c);
  c->p->fields[c->op_count] = c->name;
  c->p->ops[c->op_count++] = (avro_op){ code, a, b };
  return CSFLE_OK;
}

static csfle_status enqueue(compiler *c, const csfle__avro_type *rec)
{
  if (c->queued[rec->id]) return CSFLE_OK;
  if (csfle__grow((void **)&c->queue, &c->queue_cap, c->queue_count + 1, sizeof *c->queue) != 0) return NOMEM(c);
  c->queued[rec->id] = 1;
  c->queue[c->queue_count++] = rec;
  return CSFLE_OK;
}

/* a record whose values are those of its only field that takes bytes, itself a record, needs no code of its own:
   without this a chain of 1,000 such records would cost 1,000 calls for one byte */
static const csfle__avro_type *only_inner(compiler *c, const csfle__avro_type *rec)
{
  const csfle__avro_type *at = rec, *next = NULL;
  for (uint32_t steps = 0; steps < c->s->named_count && !c->inner[at->id]; steps++, at = next) {
    size_t n = 0;
    next = NULL;
    for (size_t i = 0; i < at->count; i++) {
      if (csfle__avro_takes_nothing(at->fields[i].type, c->zero)) continue;
      n++, next = at->fields[i].type;
    }
    if (n != 1 || next->kind != AVRO_RECORD) break;
  }
  if (c->inner[at->id]) at = c->inner[at->id];
  for (const csfle__avro_type *r = rec; r != at && !c->inner[r->id]; r = next) { /* all on the way learn it */
    c->inner[r->id] = at;
    for (size_t i = 0; i < r->count; i++) {
      if (!csfle__avro_takes_nothing(r->fields[i].type, c->zero)) next = r->fields[i].type;
    }
  }
  return c->inner[rec->id] = at;
}

static csfle_status leaf(compiler *c, csfle__leaf_type type, int64_t *out)
{
  uint64_t rules = c->every | c->field.rules;
  *out = -1;
  if (c->name == 0) { /* outside any field */
    if (!c->sel->rule_count && !c->sel->required_count) return CSFLE_OK;
    return problem(c, CSFLE__NO_FIELDS, csfle__str(csfle__leaf_type_name(type)), CSFLE__NONE, SIZE_MAX);
  }
  if (!rules && !c->field.required) return CSFLE_OK;
  c->infos[c->name].taken = true;
  if (c->leaf_of[type] < 0) {
    if (csfle__grow((void **)&c->leaves, &c->leaf_cap, c->leaf_count + 1, sizeof *c->leaves) != 0) return NOMEM(c);
    c->leaves[c->leaf_count] = (csfle__leaf){ c->p->names[c->name], type, rules, c->field.required };
    c->leaf_of[type] = (int64_t)c->leaf_count++;
  }
  *out = c->leaf_of[type];
  return CSFLE_OK;
}

static csfle_status scalar(compiler *c, const csfle__avro_type *t)
{
  static const struct {
    uint8_t code, leaf;
  } how[] = {
    [AVRO_BOOLEAN] = { OP_BOOLEAN, CSFLE__LEAF_BOOLEAN }, [AVRO_INT] = { OP_INT, CSFLE__LEAF_INT },
    [AVRO_LONG] = { OP_LONG, CSFLE__LEAF_LONG },          [AVRO_FLOAT] = { OP_SKIP, CSFLE__LEAF_FLOAT },
    [AVRO_DOUBLE] = { OP_SKIP, CSFLE__LEAF_DOUBLE },      [AVRO_BYTES] = { OP_BYTES, CSFLE__LEAF_BYTES },
    [AVRO_STRING] = { OP_BYTES, CSFLE__LEAF_STRING },     [AVRO_ENUM] = { OP_ENUM, CSFLE__LEAF_ENUM },
    [AVRO_FIXED] = { OP_SKIP, CSFLE__LEAF_FIXED },
  };
  int64_t      at;
  uint32_t     a = t->kind == AVRO_FLOAT ? 4 : t->kind == AVRO_DOUBLE ? 8 : t->kind == AVRO_FIXED ? (uint32_t)t->size
                 : t->kind == AVRO_ENUM ? (uint32_t)t->count : 0;
  csfle_status rc;
  if (t->kind == AVRO_NULL) return CSFLE_OK;
  if ((rc = leaf(c, how[t->kind].leaf, &at)) != CSFLE_OK) return rc;
  if (t->kind == AVRO_FIXED && t->size == 0) return CSFLE_OK;
  if (at < 0) return emit(c, how[t->kind].code, a, 0);
  if (how[t->kind].code == OP_BYTES) return emit(c, OP_LEAF, (uint32_t)at, 0);
  if ((rc = emit(c, OP_MARK, 0, 0)) != CSFLE_OK) return rc;
  if ((rc = emit(c, how[t->kind].code, a, 1)) != CSFLE_OK) return rc; /* b: no run goes on behind a mark */
  return emit(c, OP_MARKED, (uint32_t)at, 0);
}

/* a type begins: code for it, or a level to be gone through */
static csfle_status begin(compiler *c, const csfle__avro_type *t)
{
  csfle_status rc;
  csfle__bytes where = c->name ? c->p->names[c->name] : CSFLE__NONE;
  if (csfle__avro_named(t->kind)) {
    if (!c->reported[t->id]) {
      c->reported[t->id] = 1;
      if ((rc = inline_tags(c, &t->props, t->full, NULL, NULL, CSFLE__TAG_UNREACHABLE)) != CSFLE_OK) return rc;
    }
  } else if ((rc = inline_tags(c, &t->props, where, NULL, c->name ? &c->field : NULL, CSFLE__TAG_UNREACHABLE)) != CSFLE_OK)
    return rc;
  switch (t->kind) {
  case AVRO_RECORD:
    if (c->name) {
      if (csfle__grow((void **)&c->edges, &c->edge_cap, c->edge_count + 1, sizeof *c->edges) != 0) return NOMEM(c);
      c->edges[c->edge_count++] = (edge){ c->name, t };
    }
    if ((rc = enqueue(c, t)) != CSFLE_OK) return rc; /* its leaves and problems count even when it needs no code */
    if (c->zero[t->id] == 1) return CSFLE_OK;
    t = only_inner(c, t);
    if ((rc = enqueue(c, t)) != CSFLE_OK) return rc;
    return emit(c, OP_CALL, t->id, 0);
  case AVRO_ARRAY:
    if (csfle__avro_takes_nothing(t->item, c->zero)) {
      if ((rc = begin(c, t->item)) != CSFLE_OK) return rc; /* its tags and problems count; it becomes no code, and is no array */
      return emit(c, OP_EMPTIES, 0, 0);
    }
    break;
  case AVRO_MAP:
  case AVRO_UNION: break;
  default: return scalar(c, t);
  }
  if (csfle__grow((void **)&c->nests, &c->nest_cap, c->nest_count + 1, sizeof *c->nests) != 0) return NOMEM(c);
  c->nests[c->nest_count++] = (nest){ t, (uint32_t)c->op_count, 0, 0 };
  if (t->kind != AVRO_UNION) return emit(c, t->kind == AVRO_MAP ? OP_MAP : OP_ARRAY, 0, 0);
  if (csfle__grow((void **)&c->p->targets, &c->target_cap, c->target_count + t->count, sizeof *c->p->targets) != 0) return NOMEM(c);
  rc = emit(c, OP_UNION, (uint32_t)c->target_count, (uint32_t)t->count);
  c->target_count += t->count;
  return rc;
}

static csfle_status step(compiler *c)
{
  nest                   *n = &c->nests[c->nest_count - 1];
  const csfle__avro_type *t = n->t;
  size_t                  i = n->next++;
  csfle_status            rc;
  if (t->kind != AVRO_UNION) {
    if (i == 0) return begin(c, t->item);
    if ((rc = emit(c, OP_NEXT, n->op, 0)) != CSFLE_OK) return rc;
    c->p->ops[n->op].a = (uint32_t)c->op_count;
    c->nest_count--;
    return CSFLE_OK;
  }
  if (i && i < t->count && !csfle__avro_takes_nothing(t->branches[i - 1], c->zero)) {
    if ((rc = emit(c, OP_JUMP, n->jumps, 0)) != CSFLE_OK) return rc;
    n->jumps = (uint32_t)c->op_count;
  }
  if (i < t->count) {
    c->p->targets[c->p->ops[n->op].a + i] = (uint32_t)c->op_count;
    /* a branch of nothing goes to the end: remember it by a target that is no instruction */
    if (csfle__avro_takes_nothing(t->branches[i], c->zero)) {
      rc = begin(c, t->branches[i]);
      c->p->targets[c->p->ops[n->op].a + i] = UINT32_MAX;
      return rc;
    }
    return begin(c, t->branches[i]);
  }
  uint32_t end = (uint32_t)c->op_count;
  c->barrier = c->op_count;
  for (uint32_t j = n->jumps; j;) {
    uint32_t before = c->p->ops[j - 1].a;
    c->p->ops[j - 1].a = end, j = before;
  }
  for (size_t k = 0; k < t->count; k++) {
    uint32_t *target = &c->p->targets[c->p->ops[n->op].a + k];
    if (*target == UINT32_MAX) *target = end;
  }
  c->nest_count--;
  return CSFLE_OK;
}

static csfle_status type(compiler *c, const csfle__avro_type *t)
{
  csfle_status rc = begin(c, t);
  while (rc == CSFLE_OK && c->nest_count) rc = step(c);
  return rc;
}

static csfle_status add_name(compiler *c, csfle__bytes name, field_info info)
{
  if (csfle__grow((void **)&c->p->names, &c->name_cap, c->name_count + 1, sizeof *c->p->names) != 0 ||
      csfle__grow((void **)&c->infos, &c->info_cap, c->name_count + 1, sizeof *c->infos) != 0 || !name.ptr)
    return NOMEM(c);
  c->name = (uint32_t)c->name_count;
  c->infos[c->name_count] = info;
  c->p->names[c->name_count++] = name;
  return CSFLE_OK;
}

static csfle_status record(compiler *c, const csfle__avro_type *rec)
{
  csfle_status rc = CSFLE_OK;
  c->first[rec->id] = (uint32_t)c->name_count;
  for (size_t i = 0; i < rec->count && rc == CSFLE_OK; i++) {
    const csfle__avro_field *f = &rec->fields[i];
    rc = add_name(c, field_name(c, rec, f), (field_info){ rec, f, { 0, false }, false });
    for (size_t k = 0; k < sizeof c->leaf_of / sizeof *c->leaf_of; k++) c->leaf_of[k] = -1;
    if (rc == CSFLE_OK) rc = field_mask(c, f, c->p->names[c->name], &c->field);
    if (rc != CSFLE_OK) break;
    c->infos[c->name].tags = c->field;
    rc = type(c, f->type);
  }
  return rc == CSFLE_OK ? emit(c, OP_END, 0, 0) : rc;
}

/* ---- tags on containers (S20) -------------------------------------------------------------------------------------- */

static void unite(mask *to, const mask *from)
{
  to->rules |= from->rules, to->required |= from->required;
}

/* what the leaves of each record and of the records inside it carry */
static void spread(const compiler *c, mask *carried)
{
  for (size_t i = 1; i < c->name_count; i++) {
    if (c->infos[i].taken) unite(&carried[c->infos[i].rec->id], &c->infos[i].tags);
  }
  for (bool more = true; more;) {
    more = false;
    for (size_t i = c->edge_count; i--;) {
      mask *to = &carried[c->infos[c->edges[i].field].rec->id], before = *to;
      unite(to, &carried[c->edges[i].to->id]);
      more |= to->rules != before.rules || to->required != before.required;
    }
  }
}

static void cover(mask *covered, const mask *by)
{
  covered->rules &= by->rules, covered->required = covered->required && by->required;
}

static csfle_status container(compiler *c, const edge *e, const mask *carried)
{
  const field_info *on = &c->infos[e->field];
  mask              covered = carried[e->to->id];
  csfle__bytes      name = c->p->names[e->field];
  csfle_status      rc;
  for (size_t i = 0; i < e->to->count; i++) { /* the fields that would inherit in Java */
    const csfle__avro_field *f = &e->to->fields[i];
    if (f->type->kind == AVRO_NULL || f->type->kind > AVRO_STRING) continue;
    cover(&covered, &c->infos[c->first[e->to->id] + i].tags);
  }
  if (!(on->tags.rules & ~covered.rules) && !(on->tags.required && !covered.required)) return CSFLE_OK;
  if ((rc = inline_tags(c, &on->f->props, name, NULL, &covered, CSFLE__TAG_ON_CONTAINER)) != CSFLE_OK) return rc;
  for (size_t i = 0; i < c->sel->pattern_count; i++) {
    const csfle__tag_pattern *p = &c->sel->patterns[i];
    if ((!c->patterns[i].rules && !c->patterns[i].required) || !csfle__tag_path_match(p->pattern, name)) continue;
    for (size_t j = 0; j < p->tag_count; j++) {
      const mask *m = csfle__map_get(&c->tags, p->tags[j]);
      if (!m || (!(m->rules & ~covered.rules) && !(m->required && !covered.required))) continue;
      if ((rc = problem(c, CSFLE__TAG_ON_CONTAINER, name, p->tags[j], SIZE_MAX)) != CSFLE_OK) return rc;
    }
  }
  return CSFLE_OK;
}

static csfle_status check_reach(compiler *c)
{
  csfle_status rc = CSFLE_OK;
  uint64_t     reached = 0;
  mask        *carried = csfle__calloc(c->s->named_count + 1, sizeof *carried);
  if (!carried) return NOMEM(c);
  spread(c, carried);
  for (size_t i = 0; i < c->edge_count && rc == CSFLE_OK; i++) {
    const field_info *on = &c->infos[c->edges[i].field];
    if (on->tags.rules || on->tags.required) rc = container(c, &c->edges[i], carried);
  }
  csfle__free(carried);
  for (size_t i = 0; i < c->leaf_count; i++) reached |= c->leaves[i].rules;
  for (size_t i = 0; i < c->sel->rule_count && rc == CSFLE_OK; i++) {
    if (!(reached >> i & 1)) rc = problem(c, CSFLE__RULE_REACHES_NOTHING, CSFLE__NONE, CSFLE__NONE, i);
  }
  return rc;
}

/* ---- the whole ----------------------------------------------------------------------------------------------------- */

static csfle_status compile(compiler *c)
{
  size_t       n = c->s->named_count + 1;
  csfle_status rc;
  c->zero = c->s->zero, c->entry = csfle__calloc(n, sizeof *c->entry), c->queued = csfle__calloc(n, 1);
  c->reported = csfle__calloc(n, 1), c->first = csfle__calloc(n, sizeof *c->first), c->inner = csfle__calloc(n, sizeof *c->inner);
  if (!c->entry || !c->queued || !c->reported || !c->first || !c->inner) return NOMEM(c);
  if ((rc = learn_selection(c)) != CSFLE_OK) return rc;
  if ((rc = add_name(c, CSFLE__LIT(""), (field_info){ NULL, NULL, { 0, false }, false })) != CSFLE_OK) return rc;
  if ((rc = type(c, c->s->root)) != CSFLE_OK) return rc;
  c->name = 0;
  if ((rc = emit(c, OP_END, 0, 0)) != CSFLE_OK) return rc;
  for (size_t i = 0; i < c->queue_count && rc == CSFLE_OK; i++) {
    c->entry[c->queue[i]->id] = (uint32_t)c->op_count + 1;
    rc = record(c, c->queue[i]);
  }
  if (rc != CSFLE_OK) return rc;
  for (size_t i = 0; i < c->op_count; i++) {
    if (c->p->ops[i].code == OP_CALL) c->p->ops[i].a = c->entry[c->p->ops[i].a] - 1;
  }
  /* a root that is a record needs no call */
  if (c->p->ops[0].code == OP_CALL && c->p->ops[1].code == OP_END) c->p->ops[0].code = OP_JUMP;
  return check_reach(c);
}

static bool leaves_inside(const compiler *c, size_t from, size_t to)
{
  for (size_t i = from; i < to; i++) {
    uint32_t code = c->p->ops[i].code;
    if (code == OP_LEAF || code == OP_MARKED || code == OP_CALL) return true;
  }
  return false;
}

csfle_status csfle__avro_plan_compile(csfle__plan **out, const csfle__schema *s, const csfle__selection *sel, csfle_error *err)
{
  static const csfle__selection nothing = { 0 };
  compiler                      c = { .s = csfle__avro(s), .sel = sel ? sel : &nothing, .err = err, .tags = CSFLE__MAP_INIT };
  *out = NULL;
  if (!(c.p = csfle__calloc(1, sizeof *c.p))) return csfle__nomem(err);
  c.p->base.schema = s;
  csfle_status rc = compile(&c);
  /* a block header matters to a splice only where leaves may be behind it; a call may lead to some */
  for (size_t i = 0; rc == CSFLE_OK && c.leaf_count && i < c.op_count; i++) {
    avro_op *o = &c.p->ops[i];
    if (o->code == OP_ARRAY || o->code == OP_MAP) o->b = leaves_inside(&c, i + 1, o->a);
  }
  c.p->base.leaves = c.leaves, c.p->base.leaf_count = c.leaf_count;
  c.p->base.problems = c.problems, c.p->base.problem_count = c.problem_count;
  csfle__map_free(&c.tags, NULL);
  csfle__free(c.masks), csfle__free(c.patterns), csfle__free(c.entry), csfle__free(c.queued);
  csfle__free(c.reported), csfle__free(c.first), csfle__free(c.inner), csfle__free(c.queue), csfle__free(c.nests), csfle__free(c.infos);
  csfle__free(c.edges);
  if (rc == CSFLE_OK) *out = &c.p->base;
  else csfle__avro_plan_free(&c.p->base);
  return rc;
}

void csfle__avro_plan_free(csfle__plan *base)
{
  avro_plan *p = (avro_plan *)(void *)base;
  if (!p) return;
  csfle__free((void *)(uintptr_t)base->leaves), csfle__free((void *)(uintptr_t)base->problems);
  csfle__free(p->ops), csfle__free(p->targets), csfle__free(p->fields), csfle__free(p->names);
  csfle__arena_free(&p->arena);
  csfle__free(p);
}
