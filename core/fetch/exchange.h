/** What a csfle_exchange is inside: one request on its way, and the place where its answer goes. */
#ifndef CSFLE_FETCH_EXCHANGE_H
#define CSFLE_FETCH_EXCHANGE_H

#include "core/fetch/fetch.h"

struct csfle_exchange {
  csfle__request *request; /**< its texts end with NUL while the exchange lasts */
  csfle__reply   *reply;
  /** Called once, as the last thing csfle_exchange_done does, in its thread; the exchange may be gone afterwards. */
  void (*ended)(void *opaque);
  void *opaque;
  bool  asked, refused; /**< by csfle_exchange_address */
};

/** Default of the most bytes a reply may have. */
#define CSFLE__REPLY_MAX (16u << 20)

#endif
