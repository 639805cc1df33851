/* Answers with one thing changed; see mutants.h. */
#include "tests/support/mutants.h"

#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#define NODES_MAX 200 /* of one answer; those behind are more of the same */

const char *csfle_test_mutation_name(csfle_test_mutation kind)
{
  static const char *const names[] = { "another status", "another error_code", "a member added", "a member removed", "a member altered" };
  return names[kind];
}

typedef struct walk {
  yyjson_mut_doc     *doc;
  csfle_test_mutation kind;
  size_t              left, seen; /* places before the wanted one; nodes looked at */
  bool                done;
} walk;

/* whether this is the wanted place */
static bool here(walk *w)
{
  if (w->left--) return false;
  return w->done = true;
}

static yyjson_mut_val *another(yyjson_mut_doc *doc, yyjson_mut_val *v)
{
  if (yyjson_mut_is_str(v)) return yyjson_mut_str(doc, strcmp(yyjson_mut_get_str(v), "mutant") ? "mutant" : "another mutant");
  if (yyjson_mut_is_bool(v)) return yyjson_mut_bool(doc, !yyjson_mut_get_bool(v));
  if (yyjson_mut_is_int(v)) return yyjson_mut_sint(doc, yyjson_mut_get_sint(v) + 1);
  return yyjson_mut_sint(doc, 7);
}

static void change(walk *w, yyjson_mut_val *v)
{
  size_t          i, n;
  yyjson_mut_val *key, *member;
  bool            object = yyjson_mut_is_obj(v), array = yyjson_mut_is_arr(v);
  if (w->done || ++w->seen > NODES_MAX) return;
  if (!object && !array) {
    if (w->kind == CSFLE_TEST_ALTERED && here(w)) {
      yyjson_mut_val *new = another(w->doc, v);
      v->tag = new->tag, v->uni = new->uni;
    }
    return;
  }
  if (w->kind == CSFLE_TEST_ADDED && here(w)) {
    if (object) yyjson_mut_obj_add_int(w->doc, v, "mutant", 7);
    else yyjson_mut_arr_add_str(w->doc, v, "mutant");
    return;
  }
  if (w->kind == CSFLE_TEST_REMOVED) {
    n = object ? yyjson_mut_obj_size(v) : yyjson_mut_arr_size(v);
    for (i = 0; i < n; i++) {
      if (!here(w)) continue;
      if (array) yyjson_mut_arr_remove(v, i);
      else {
        yyjson_mut_obj_iter it = yyjson_mut_obj_iter_with(v);
        for (size_t k = 0; k <= i; k++) key = yyjson_mut_obj_iter_next(&it);
        yyjson_mut_obj_iter_remove(&it);
      }
      return;
    }
  }
  if (object) {
    yyjson_mut_obj_foreach(v, i, n, key, member) change(w, member);
  } else {
    yyjson_mut_arr_foreach(v, i, n, member) change(w, member);
  }
}

static bool with_body(csfle_test_reply *out, char *body)
{
  if (!body) abort();
  out->body = body;
  out->len = strlen(body);
  return true;
}

bool csfle_test_mutant(const csfle_test_reply *p, csfle_test_mutation kind, size_t number, csfle_test_reply *out)
{
  *out = *p;
  if (kind == CSFLE_TEST_STATUS) {
    out->status = p->status + 1;
    return number == 0 && with_body(out, strdup(p->body));
  }
  if (p->len == 0) return kind == CSFLE_TEST_ADDED && number == 0 && with_body(out, strdup("{\"mutant\":7}"));
  yyjson_doc *doc = yyjson_read(p->body, p->len, 0);
  if (!doc) return kind == CSFLE_TEST_ALTERED && number == 0 && with_body(out, strdup("mutant"));
  walk w = { yyjson_doc_mut_copy(doc, NULL), kind, number, 0, false };
  yyjson_doc_free(doc);
  yyjson_mut_val *root = yyjson_mut_doc_get_root(w.doc);
  if (kind == CSFLE_TEST_ERROR_CODE) {
    yyjson_mut_val *code = yyjson_mut_obj_get(root, "error_code");
    w.done = code && number == 0;
    if (w.done) yyjson_mut_set_sint(code, yyjson_mut_get_sint(code) + 1);
  } else {
    change(&w, root);
  }
  if (w.done) with_body(out, yyjson_mut_write(w.doc, 0, NULL));
  yyjson_mut_doc_free(w.doc);
  return w.done;
}
