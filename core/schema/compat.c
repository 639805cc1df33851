/* Levels, history and lines of text; see compat.h. Section numbers are those of spec/schemas-and-compatibility.md. */
#include "core/schema/compat.h"

#include "core/base/alloc.h"

#define OLD_SCHEMA_MAX 10240 /* UTF-16 units of {oldSchema}, the unit of the Java registry */

static const char *const level_names[] = { "NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE" };

bool csfle__compat_level_find(csfle__bytes name, csfle__compat_level *out)
{
  for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++) {
    if (csfle__eq_nocase(name, csfle__str(level_names[i]))) return *out = (csfle__compat_level)i, true;
  }
  return false;
}

const char *csfle__compat_level_name(csfle__compat_level level) { return level_names[level]; }

csfle_status csfle__schema_compare(const csfle__schema *reader, const csfle__schema *writer, bool *compatible,
                                   csfle__difference_fn each, void *opaque, csfle_error *err)
{
  *compatible = false;
  if (reader->format != writer->format)
    return csfle__fail(err, CSFLE_E_SCHEMA, "reader schema is %s, writer schema is %s", reader->format->type, writer->format->type);
  if (!reader->format->compare)
    return csfle__fail(err, CSFLE_E_SCHEMA, "schemas of type %s cannot be compared by this build", reader->format->type);
  return reader->format->compare(reader, writer, compatible, each, opaque, err);
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

csfle__bytes csfle__messages_at(const csfle__messages *m, size_t i)
{
  size_t from = i ? m->ends[i - 1] : 0;
  return csfle__view(m->text.ptr + from, m->ends[i] - from);
}

static void ready(csfle__messages *m)
{
  if (m && !m->text.grow) csfle_buf_init(&m->text, 0, 0);
}

/* the line is what was appended to m->text since the last one */
static csfle_status end_line(csfle__messages *m, csfle_status rc, csfle_error *err)
{
  if (rc == CSFLE_OK && csfle__grow((void **)&m->ends, &m->cap, m->count + 1, sizeof *m->ends) != 0) rc = csfle__nomem(err);
  if (rc == CSFLE_OK) m->ends[m->count++] = m->text.len;
  else m->text.len = m->count ? m->ends[m->count - 1] : 0;
  return rc;
}

csfle_status csfle__messages_add(csfle__messages *m, csfle__bytes line, csfle_error *err)
{
  ready(m);
  return end_line(m, csfle__buf_put(&m->text, line.ptr, line.len, err), err);
}

void csfle__messages_free(csfle__messages *m)
{
  csfle_buf_free(&m->text);
  csfle__free(m->ends);
  *m = (csfle__messages)CSFLE__MESSAGES_INIT;
}

/* ---- one version -------------------------------------------------------------------------------------------------- */

typedef struct check {
  const csfle__compat_input *in;
  csfle__messages           *out; /* NULL: only the verdict is asked for */
  bool                       failed, cut;
  const csfle__format       *format;
  const char                *reader, *writer; /* the words */
} check;

/* a line was appended: the one that is too much makes room for the words that say so */
static csfle_status line_done(check *c, csfle_status rc, csfle_error *err)
{
  csfle__messages *m = c->out;
  if (rc == CSFLE_OK && (m->text.len > CSFLE__COMPAT_MAX_TEXT || m->count >= CSFLE__COMPAT_MAX_LINES)) {
    c->cut = true;
    m->text.len = m->count ? m->ends[m->count - 1] : 0;
    rc = csfle__buf_puts(&m->text, "{truncated: 'there are more differences than can be told'}", err);
  }
  return end_line(m, rc, err);
}

static csfle_status show(void *opaque, const csfle__difference *d, csfle_error *err)
{
  check *c = opaque;
  if (c->cut) return CSFLE_E_SPACE; /* the verdict is known */
  if (!d->incompatible) return CSFLE_OK;
  return line_done(c, c->format->difference_line(d, c->reader, c->writer, &c->out->text, err), err);
}

static csfle_status say(check *c, csfle__bytes text, csfle_error *err)
{
  c->failed = true;
  if (!c->out || c->cut) return CSFLE_OK;
  return line_done(c, csfle__buf_put(&c->out->text, text.ptr, text.len, err), err);
}

/* at most OLD_SCHEMA_MAX UTF-16 units, never half a character */
static csfle__bytes first_units(csfle__bytes text)
{
  size_t pos = 0, units = 0;
  while (pos < text.len) {
    size_t  next = pos;
    int32_t cp = csfle__utf8_next(text, &next);
    units += cp > 0xffff ? 2 : 1;
    if (units > OLD_SCHEMA_MAX) break;
    pos = next;
  }
  return csfle__view(text.ptr, pos);
}

static csfle_status say_old(check *c, const csfle__compat_version *v, csfle_error *err)
{
  csfle__bytes head = first_units(v->text);
  csfle_status rc = CSFLE_OK;
  csfle_buf   *b;
  if (!c->out || c->cut) return CSFLE_OK;
  b = &c->out->text;
  if (v->version > 0) {
    rc = csfle__buf_printf(b, err, "{oldSchemaVersion: %d}", v->version);
    rc = line_done(c, rc, err);
    if (rc != CSFLE_OK || c->cut) return rc;
  }
  bool whole = head.len == v->text.len;
  rc = csfle__buf_puts(b, whole ? "{oldSchema: '" : "{oldSchema: <truncated> '", err);
  if (rc == CSFLE_OK) rc = csfle__buf_put(b, head.ptr, head.len, err);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(b, whole ? "'}" : "...'}", err);
  return line_done(c, rc, err);
}

static csfle_status direction(check *c, const csfle__schema *old, bool forward, bool *clean, csfle_error *err)
{
  c->format = old->format;
  c->reader = forward ? "old" : "new", c->writer = forward ? "new" : "old";
  csfle_status rc = csfle__schema_compare(forward ? old : c->in->next, forward ? c->in->next : old, clean,
                                          c->out && !c->cut ? show : NULL, c, err);
  if (rc == CSFLE_E_SPACE && c->cut) rc = CSFLE_OK;
  if (rc == CSFLE_OK && !*clean) c->failed = true;
  return rc;
}

static csfle_status one_version(check *c, size_t i, csfle_error *err)
{
  const csfle__compat_version *v = &c->in->previous[i];
  csfle__compat_level          level = c->in->level;
  csfle__schema               *old = NULL;
  bool full = level >= CSFLE__COMPAT_FULL, forward = full || level >= CSFLE__COMPAT_FORWARD, clean = true;

  if (!csfle__eq_str(v->type.len ? v->type : CSFLE__LIT("AVRO"), c->in->next->format->type))
    return say(c, CSFLE__LIT("Incompatible because of different schema type"), err);
  csfle_status rc = c->in->parse(c->in->opaque, i, &old, err);
  if (rc == CSFLE_OK && forward) rc = direction(c, old, true, &clean, err);
  if (rc == CSFLE_OK && (full || !forward)) rc = direction(c, old, false, &clean, err);
  if (rc == CSFLE_OK && !clean) rc = say_old(c, v, err); /* FULL: says what the second direction did, as the Java registry */
  csfle__schema_free(old);
  return rc;
}

/* ---- reserved fields [1.7] ----------------------------------------------------------------------------------------- */

/* next name of a comma-separated list, trimmed; false at its end */
static bool next_name(csfle__bytes *list, csfle__bytes *name)
{
  while (list->len) {
    size_t n = 0;
    while (n < list->len && list->ptr[n] != ',') n++;
    *name = csfle__trim(csfle__view(list->ptr, n));
    *list = csfle__from(*list, n + 1);
    if (name->len) return true;
  }
  return false;
}

static bool listed(csfle__bytes list, csfle__bytes name, size_t before)
{
  csfle__bytes rest = list, x;
  while (next_name(&rest, &x)) {
    if (x.ptr >= list.ptr + before) return false;
    if (csfle__eq(x, name)) return true;
  }
  return false;
}

static csfle_status reserved(check *c, csfle_error *err)
{
  const csfle__compat_input *in = c->in;
  csfle__bytes               was = in->count ? in->previous[in->count - 1].reserved : CSFLE__NONE, rest, name;
  csfle_status               rc = CSFLE_OK;
  csfle_buf                  text;

  csfle_buf_init(&text, 0, 0);

  for (rest = was; rc == CSFLE_OK && next_name(&rest, &name);) {
    if (listed(was, name, (size_t)(name.ptr - was.ptr)) || listed(in->next_reserved, name, in->next_reserved.len)) continue;
    csfle__buf_clear(&text);
    rc = csfle__buf_printf(&text, err, "The new schema has reserved field %.*s removed from its metadata which is present in the old schema's metadata.", CSFLE__FMT(name));
    if (rc == CSFLE_OK) rc = say(c, csfle__buf_view(&text), err);
  }
  for (rest = in->next_reserved; rc == CSFLE_OK && next_name(&rest, &name);) {
    if (listed(in->next_reserved, name, (size_t)(name.ptr - in->next_reserved.ptr))) continue;
    if (!in->next->format->top_field || !in->next->format->top_field(in->next, name)) continue;
    csfle__buf_clear(&text);
    rc = csfle__buf_printf(&text, err, "The new schema has field that conflicts with the reserved field %.*s.", CSFLE__FMT(name));
    if (rc == CSFLE_OK) rc = say(c, csfle__buf_view(&text), err);
  }
  csfle_buf_free(&text);
  return rc;
}

/* ---- the driver ---------------------------------------------------------------------------------------------------- */

static bool same_group(const csfle__compat_input *in, const csfle__compat_version *v)
{
  if (!in->grouped) return true;
  return !in->next_group.ptr == !v->group.ptr && csfle__eq(in->next_group, v->group);
}

csfle_status csfle__compatible(const csfle__compat_input *in, bool *ok, csfle__messages *out, csfle_error *err)
{
  check c = { .in = in, .out = out };
  ready(out);
  csfle_status rc = in->validate_fields ? reserved(&c, err) : CSFLE_OK;
  bool transitive = in->level == CSFLE__COMPAT_BACKWARD_TRANSITIVE || in->level == CSFLE__COMPAT_FORWARD_TRANSITIVE ||
                    in->level == CSFLE__COMPAT_FULL_TRANSITIVE;
  bool wrong = c.failed;

  *ok = false;
  c.failed = false;
  for (size_t i = in->level == CSFLE__COMPAT_NONE ? 0 : in->count; rc == CSFLE_OK && !c.failed && i-- > 0;) {
    if (!same_group(in, &in->previous[i])) continue;
    rc = one_version(&c, i, err);
    if (!transitive) break;
  }
  *ok = rc == CSFLE_OK && !c.failed && !wrong;
  return rc;
}

csfle_status csfle__compat_last_line(const csfle__compat_input *in, csfle__messages *out, csfle_error *err)
{
  if (!out->count) return CSFLE_OK;
  csfle_status rc = csfle__buf_printf(&out->text, err, "{validateFields: '%s', compatibility: '%s'}",
                                      in->validate_fields ? "true" : "false", csfle__compat_level_name(in->level));
  return end_line(out, rc, err);
}

/* ---- two texts ----------------------------------------------------------------------------------------------------- */

static csfle_status hand_over(void *opaque, size_t i, csfle__schema **out, csfle_error *err)
{
  csfle__schema **old = opaque;
  (void)i, (void)err;
  *out = *old, *old = NULL;
  return CSFLE_OK;
}

csfle_status csfle__compatible_texts(csfle__compat_level level, csfle__bytes type, csfle__bytes before, csfle__bytes next,
                                     bool *ok, csfle__messages *out, csfle_error *err)
{
  csfle__schema *schema = NULL, *old = NULL;
  csfle_buf      text;
  *ok = false;
  csfle_buf_init(&text, 0, 0);
  csfle_status rc = csfle__schema_parse(&old, type, before, NULL, 0, 0, err);
  if (rc == CSFLE_OK) rc = old->format->canonical(old, &text, err);
  if (rc != CSFLE_OK) csfle__where(err, "old schema");
  if (rc == CSFLE_OK) {
    rc = csfle__schema_parse(&schema, type, next, NULL, 0, CSFLE__SCHEMA_NEW, err);
    if (rc != CSFLE_OK) csfle__where(err, "new schema");
  }
  if (rc == CSFLE_OK) {
    csfle__compat_version v = { .type = type, .text = csfle__buf_view(&text) };
    csfle__compat_input   in = { .level = level, .next = schema, .previous = &v, .count = 1, .parse = hand_over, .opaque = &old };
    rc = csfle__compatible(&in, ok, out, err);
  }
  csfle__schema_free(old);
  csfle__schema_free(schema);
  csfle_buf_free(&text);
  return rc;
}
