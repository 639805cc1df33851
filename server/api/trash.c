/* /csfle/v1/trash: what was deleted or replaced and can still be had back. Ours, not the Java registry's. */
#include "server/api/api.h"

#include "server/registry/trash.h"

bool registry_trash_list(registry_call *c)
{
  size_t offset, limit;
  if (!registry_page(c, (registry_limits){ 1000, 10000 }, &offset, &limit)) return false;
  registry_begin(c->g, false);
  registry_put_trash_list(c->g, c->out, offset, limit); /* it may be long: not on the thread that polls */
  c->rq->position = registry_end(c->g);
  return true;
}

bool registry_trash_restore_call(registry_call *c)
{
  return registry_trash_restore(c->g, c->param[0], c->out, &c->problem);
}
