/* The blocking driver of machines: one loop. */
#include "client/regclient/step.h"

static void exchange(const csfle__world *w, csfle__io *io)
{
  int64_t from = csfle__mono_ms(w);
  csfle__send(w->transport, io);
  csfle__meter_http(w->meter, io->request.purpose, io->reply.status, csfle__mono_ms(w) - from);
}

csfle_status csfle__drive(const csfle__world *w, csfle__machine m, csfle_error *err)
{
  csfle_error local = CSFLE_ERROR_INIT;
  if (!err) err = &local;
  for (;;) {
    switch (m.step(m.self, err)) {
    case CSFLE__SEND: exchange(w, m.io(m.self)); break;
    case CSFLE__WAIT: csfle__answer_wait(&w->clock, m.io(m.self)); break;
    case CSFLE__NEED:
      if (csfle__answer_need(m.io(m.self)) != CSFLE_OK) return csfle__nomem(err);
      break;
    case CSFLE__DONE: return CSFLE_OK;
    case CSFLE__FAIL: return err->code ? err->code : csfle__fail(err, CSFLE_E_INTERNAL, "a step failed without saying why");
    }
  }
}
