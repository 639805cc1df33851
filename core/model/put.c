/* The model as JSON, in the members' order of the specification; what is empty is left out. See model.h. */
#include "core/model/model.h"

/* Small writer: the first failure sticks. */
typedef struct writer {
  csfle_buf   *b;
  csfle_error *err;
  csfle_status rc;
  bool         more; /* a member was written: a comma goes before the next */
} writer;

static void raw(writer *w, const char *text)
{
  if (w->rc == CSFLE_OK) w->rc = csfle__buf_puts(w->b, text, w->err);
}
static void string(writer *w, csfle__bytes t)
{
  if (w->rc == CSFLE_OK) w->rc = csfle__json_put_string(w->b, t, false, w->err);
}
static void name(writer *w, const char *text)
{
  raw(w, w->more ? ",\"" : "\"");
  raw(w, text);
  raw(w, "\":");
  w->more = true;
}
static void text_member(writer *w, const char *member, csfle__bytes t)
{
  if (t.len == 0) return;
  name(w, member);
  string(w, t);
}
static void literal_member(writer *w, const char *member, const char *t)
{
  name(w, member);
  raw(w, "\""), raw(w, t), raw(w, "\"");
}
static void names_member(writer *w, const char *member, const csfle__names *n)
{
  if (n->count == 0) return;
  name(w, member);
  if (w->rc == CSFLE_OK) w->rc = csfle__names_put(w->b, n, w->err);
}
static void pairs_member(writer *w, const char *member, const csfle__pairs *p)
{
  if (p->count == 0) return;
  name(w, member);
  if (w->rc == CSFLE_OK) w->rc = csfle__pairs_put(w->b, p, w->err);
}

csfle_status csfle__names_put(csfle_buf *b, const csfle__names *n, csfle_error *err)
{
  writer w = { b, err, CSFLE_OK, false };
  raw(&w, "[");
  for (size_t i = 0; i < n->count; i++) {
    if (i) raw(&w, ",");
    string(&w, n->at[i]);
  }
  raw(&w, "]");
  return w.rc;
}

csfle_status csfle__pairs_put(csfle_buf *b, const csfle__pairs *p, csfle_error *err)
{
  writer w = { b, err, CSFLE_OK, false };
  raw(&w, "{");
  for (size_t i = 0; i < p->count; i++) {
    if (i) raw(&w, ",");
    string(&w, p->at[i].name);
    raw(&w, ":");
    string(&w, p->at[i].value);
  }
  raw(&w, "}");
  return w.rc;
}

csfle_status csfle__metadata_put(csfle_buf *b, const csfle__metadata *m, csfle_error *err)
{
  writer w = { b, err, CSFLE_OK, false };
  raw(&w, "{");
  if (m->tag_count) {
    name(&w, "tags");
    raw(&w, "{");
    for (size_t i = 0; i < m->tag_count; i++) {
      if (i) raw(&w, ",");
      string(&w, m->tags[i].pattern);
      raw(&w, ":");
      if (w.rc == CSFLE_OK) w.rc = csfle__names_put(b, &m->tags[i].tags, err);
    }
    raw(&w, "}");
  }
  pairs_member(&w, "properties", &m->properties);
  names_member(&w, "sensitive", &m->sensitive);
  raw(&w, "}");
  return w.rc;
}

csfle_status csfle__rule_put(csfle_buf *b, const csfle__rule *r, csfle_error *err)
{
  writer w = { b, err, CSFLE_OK, false };
  raw(&w, "{");
  text_member(&w, "name", r->name);
  text_member(&w, "doc", r->doc);
  literal_member(&w, "kind", csfle__rule_kind_name(r->kind));
  literal_member(&w, "mode", csfle__rule_mode_name(r->mode));
  text_member(&w, "type", r->type);
  names_member(&w, "tags", &r->tags);
  pairs_member(&w, "params", &r->params);
  text_member(&w, "expr", r->expr);
  text_member(&w, "onSuccess", r->on_success);
  text_member(&w, "onFailure", r->on_failure);
  name(&w, "disabled");
  raw(&w, r->disabled ? "true}" : "false}");
  return w.rc;
}

static void rules_member(writer *w, const char *member, const csfle__rules *list)
{
  if (list->count == 0) return;
  name(w, member);
  raw(w, "[");
  for (size_t i = 0; i < list->count; i++) {
    if (i) raw(w, ",");
    if (w->rc == CSFLE_OK) w->rc = csfle__rule_put(w->b, &list->at[i], w->err);
  }
  raw(w, "]");
}

csfle_status csfle__rule_set_put(csfle_buf *b, const csfle__rule_set *r, csfle_error *err)
{
  writer w = { b, err, CSFLE_OK, false };
  raw(&w, "{");
  rules_member(&w, "migrationRules", &r->migration);
  rules_member(&w, "domainRules", &r->domain);
  rules_member(&w, "encodingRules", &r->encoding);
  if (r->enable_at != CSFLE__AT_ABSENT) literal_member(&w, "enableAt", csfle__enable_at_name(r->enable_at));
  raw(&w, "}");
  return w.rc;
}

csfle_status csfle__references_put(csfle_buf *b, const csfle__schema_ref *r, size_t count, csfle_error *err)
{
  writer w = { b, err, CSFLE_OK, false };
  raw(&w, "[");
  for (size_t i = 0; i < count; i++) {
    raw(&w, i ? ",{\"name\":" : "{\"name\":");
    string(&w, r[i].name);
    raw(&w, ",\"subject\":");
    string(&w, r[i].subject);
    if (w.rc == CSFLE_OK) w.rc = csfle__buf_printf(b, err, ",\"version\":%d}", (int)r[i].version);
  }
  raw(&w, "]");
  return w.rc;
}
