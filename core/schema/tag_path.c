/*
 * Tag patterns as the Java client reads them: the pattern is turned into a regular expression there, with oddities
 * (6.2 of schemas-and-compatibility.md). Here it becomes a list of elements, and the path is run over all positions at
 * once, so no pattern takes more than its length times that of the path. [SERDE-104] .. [SERDE-109]
 */
#include "core/schema/plan.h"

#define MAX_ELEMENTS 1024

typedef enum element_kind { LITERAL, NOT_DOT, NOT_NEWLINE, CLASS } element_kind;
typedef struct element {
  uint8_t  kind;
  bool     optional, repeated;
  uint32_t a, b; /* LITERAL: the code point; CLASS: offset and end in the pattern */
} element;
typedef struct pattern {
  element      list[MAX_ELEMENTS];
  size_t       count;
  csfle__bytes text;
  bool         bad;
} pattern;

static void add(pattern *p, element_kind kind, uint32_t a, uint32_t b, bool star)
{
  if (p->count == MAX_ELEMENTS) p->bad = true;
  else p->list[p->count++] = (element){ (uint8_t)kind, star, star, a, b };
}

static uint32_t next(csfle__bytes t, size_t *i)
{
  int32_t c = csfle__utf8_next(t, i);
  return c < 0 ? 0xFFFD : (uint32_t)c;
}

/* what Java does before anything else: "**.*" means "**" */
static bool starstar_tail(csfle__bytes t, size_t i)
{
  return i + 4 <= t.len && memcmp(t.ptr + i, "**.*", 4) == 0;
}

/* One token of a class at *i: a set (anything but a dot) or a literal. False: a construct that is not understood. */
static bool class_token(csfle__bytes t, size_t *i, size_t end, bool *set, uint32_t *c)
{
  *set = false;
  switch (t.ptr[*i]) {
  case '?': return ++*i, *set = true;
  case '*':
    if (*i + 1 < end && t.ptr[*i + 1] == '*') return false; /* ".*" inside a class */
    return ++*i, *set = true; /* "[^.]*" inside a class: the star adds nothing */
  case '[':
  case '&':
  case '\\': return false;
  default: return *c = next(t, i), true;
  }
}

/* whether the class [from, end) holds c; *understood: whether all of it is a construct known here */
static bool in_class(csfle__bytes t, size_t from, size_t end, uint32_t c, bool *understood)
{
  bool found = false;
  *understood = from < end;
  for (size_t i = from; i < end;) {
    bool     set;
    uint32_t lo = 0, hi;
    if (!class_token(t, &i, end, &set, &lo)) return *understood = false;
    hi = lo;
    if (!set && i + 1 < end && t.ptr[i] == '-') {
      i++;
      if (!class_token(t, &i, end, &set, &hi) || set || hi < lo) return *understood = false;
    }
    found |= set ? c != '.' : c >= lo && c <= hi;
  }
  return found;
}

static void add_class(pattern *p, size_t *i)
{
  const uint8_t *close = memchr(p->text.ptr + *i, ']', p->text.len - *i);
  bool           understood = false;
  size_t         end = close ? (size_t)(close - p->text.ptr) : 0;
  if (close) in_class(p->text, *i, end, 0, &understood);
  if (!understood) {
    p->bad = true; /* in Java an error too, or a construct nobody writes on purpose */
    return;
  }
  add(p, CLASS, (uint32_t)*i, (uint32_t)end, false);
  *i = end + 1;
}

/* after a backslash in the middle of a pattern Java takes the next character as regular expression */
static void after_backslash(pattern *p, size_t *i)
{
  element *slash = &p->list[p->count - 1];
  switch (p->text.ptr[*i]) {
  case '*': ++*i, slash->optional = slash->repeated = true; return;
  case '+': ++*i, slash->repeated = true; return;
  case '?': ++*i, slash->optional = true; return;
  case '.': ++*i, add(p, NOT_NEWLINE, 0, 0, false); return;
  case '[': ++*i, add_class(p, i); return;
  case '\\':
  case '(':
  case ')':
  case '{':
  case '|':
  case '^':
  case '$': p->bad = true; return;
  default: add(p, LITERAL, next(p->text, i), 0, false);
  }
}

static void compile(pattern *p, csfle__bytes text)
{
  p->count = 0, p->text = text, p->bad = text.len > UINT32_MAX;
  for (size_t i = 0; i < text.len && !p->bad;) {
    switch (text.ptr[i]) {
    case '*':
      if (starstar_tail(text, i)) i += 4, add(p, NOT_NEWLINE, 0, 0, true);
      else if (i + 1 < text.len && text.ptr[i + 1] == '*') i += 2, add(p, NOT_NEWLINE, 0, 0, true);
      else i++, add(p, NOT_DOT, 0, 0, true);
      break;
    case '?': i++, add(p, NOT_DOT, 0, 0, false); break;
    case '[': i++, add_class(p, &i); break;
    case '\\':
      i++, add(p, LITERAL, '\\', 0, false);
      if (!p->bad && i + 1 < text.len) after_backslash(p, &i);
      break;
    default: add(p, LITERAL, next(text, &i), 0, false);
    }
  }
}

static bool takes(const pattern *p, const element *e, uint32_t c)
{
  bool understood;
  switch (e->kind) {
  case LITERAL: return c == e->a;
  case NOT_DOT: return c != '.';
  case NOT_NEWLINE: return c != '\n' && c != '\r' && c != 0x85 && c != 0x2028 && c != 0x2029;
  default: return in_class(p->text, e->a, e->b, c, &understood);
  }
}

bool csfle__tag_path_valid(csfle__bytes text)
{
  pattern p;
  compile(&p, text);
  return !p.bad;
}

bool csfle__tag_path_match(csfle__bytes text, csfle__bytes path)
{
  pattern p;
  uint8_t now[MAX_ELEMENTS + 1], then[MAX_ELEMENTS + 1];
  compile(&p, text);
  if (p.bad) return false;
  memset(now, 0, p.count + 1);
  now[0] = 1;
  for (size_t i = 0;;) {
    for (size_t s = 0; s < p.count; s++) now[s + 1] |= now[s] && p.list[s].optional;
    if (i >= path.len) return now[p.count];
    uint32_t c = next(path, &i);
    memset(then, 0, p.count + 1);
    for (size_t s = 0; s < p.count; s++) {
      if (!now[s] || !takes(&p, &p.list[s], c)) continue;
      then[s + 1] = 1;
      if (p.list[s].repeated) then[s] |= 1;
    }
    memcpy(now, then, p.count + 1);
  }
}
