/* /csfle/v1/keks/{name}/move: a KEK under another key of a KMS, all its data keys at once. Ours, not the Java registry's. */
#include "server/api/api.h"

#include "server/log/must.h"
#include "server/registry/move.h"

static bool bad_deks(registry_call *c)
{
  return registry_refuse(&c->problem, 422, 42271, "Invalid or missing value for field 'deks' of key");
}

static bool no_content(registry_call *c, bool ok)
{
  if (ok) c->status = 204;
  return ok;
}

/* views into the request's document */
static bool read_dek(registry_call *c, yyjson_val *v, registry_moved_dek *d)
{
  int64_t version;
  d->subject = csfle__json_member_text(v, "subject");
  d->was = csfle__json_member_text(v, "was");
  d->material = csfle__json_member_text(v, "encryptedKeyMaterial");
  if (!d->subject.ptr || !d->was.ptr || !d->material.ptr || !csfle__algorithm_parse(csfle__json_member_text(v, "algorithm"), &d->algorithm) ||
      !csfle__json_i64(csfle__json_member(v, "version"), &version) || version < INT32_MIN || version > INT32_MAX)
    return bad_deks(c);
  d->version = (int32_t)version;
  return true;
}

bool registry_kek_move(registry_call *c)
{
  registry_move_request r = { .name = c->param[0] };
  csfle__kek           *to = NULL;
  csfle_error           err = CSFLE_ERROR_INIT;
  yyjson_val           *deks = csfle__json_member(c->body, "deks"), *v;
  size_t                i, n;
  bool                  ok = true;

  if (!yyjson_is_arr(deks)) return bad_deks(c);
  if (csfle__kek_parse(&to, c->body, &err) != CSFLE_OK) return registry_refuse(&c->problem, 400, 400, "%s", err.msg);
  r.kms_type = to->kms_type, r.kms_key_id = to->kms_key_id, r.props = to->kms_props;
  r.deks = (registry_moved_dek *)must(csfle__calloc(yyjson_arr_size(deks) + 1, sizeof *r.deks));
  yyjson_arr_foreach(deks, i, n, v)
  {
    ok = read_dek(c, v, &r.deks[r.count++]);
    if (!ok) break;
  }
  if (ok) ok = registry_move(c->g, &r, &c->problem) && registry_move_tell(c->g, r.name, c->out, &c->problem);
  csfle__free(r.deks);
  csfle__kek_free(to);
  return ok;
}

bool registry_kek_move_get(registry_call *c) { return registry_move_tell(c->g, c->param[0], c->out, &c->problem); }
bool registry_kek_move_confirm(registry_call *c) { return no_content(c, registry_move_confirm(c->g, c->param[0], &c->problem)); }
bool registry_kek_move_undo(registry_call *c) { return no_content(c, registry_move_undo(c->g, c->param[0], &c->problem)); }
