/* One blocking request, one progress line. See call.h. */
#include "client/deks/call.h"

#include <stdarg.h>
#include <stdio.h>

typedef struct machine {
  csfle__rc      *rc;
  csfle__rc_call *call;
} machine;

static csfle__io  *io_of(void *self) { return &((machine *)self)->call->io; }
static csfle__next step(void *self, csfle_error *err)
{
  machine *m = self;
  return csfle__rc_step(m->rc, m->call, err);
}

csfle_status csfle__deks_call(csfle_client *cl, csfle__rc_call *c, csfle_error *err)
{
  machine m = { &cl->rc, c };
  return csfle__drive(&cl->rc.world, (csfle__machine){ step, io_of, &m }, err);
}

void csfle__deks_say(csfle__deks_fn done, void *opaque, const char *fmt, ...)
{
  char    text[1024];
  va_list ap;
  if (!done) return;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  done(opaque, text);
}
