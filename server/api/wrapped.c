/* GET /csfle/v1/keks/{name}/deks: the data keys under a KEK, all versions, wrapped as they are stored; no KMS is called. */
#include "server/api/api.h"

#include "server/log/must.h"

bool registry_wrapped_list(registry_call *c)
{
  bool   deleted = registry_flag_of(c, "deleted"), first = true;
  size_t offset, limit, seen = 0, shown = 0;

  if (!registry_page(c, (registry_limits){ 1000, 10000 }, &offset, &limit)) return false;
  registry_kek *k = registry_kek_get(c->g, c->param[0], deleted, &c->problem);
  if (!k) return false;
  put(c->out, "[");
  for (size_t i = 0; i < k->count && shown < limit; i++) {
    if ((k->deks[i]->deleted && !deleted) || seen++ < offset) continue;
    if (!first) put(c->out, ",");
    first = false, shown++;
    registry_put_dek(c->out, k->deks[i], CSFLE__NONE);
  }
  put(c->out, "]");
  return true;
}
