/**
 * Calls to the registry for the commands that are not about records: one request, one JSON answer.
 * The library's own client is behind its serdes; this one needs neither schema nor keys.
 */
#ifndef CSFLE_TOOLS_HTTP_H
#define CSFLE_TOOLS_HTTP_H

#include "core/base/json.h"
#include "core/fetch/fetch.h"
#include "tools/common/props.h"

typedef struct registry {
  csfle__curl  *curl;
  csfle__io     io;
  csfle_config *config;
  csfle_buf     headers; /**< with credentials: wiped */
  yyjson_doc   *doc;     /**< of the last answer */
  bool          foreign; /**< found out not to be a csfle-registry: it lacks what is ours alone */
} registry;

/** Ready to call; nothing is sent. 0, or an exit code after the complaint. */
int  registry_open(registry *r, const props *p);
void registry_close(registry *r);
/**
 * Sends @p method @p path ("/subjects", already encoded) with a JSON @p body (empty: none) to the first URL that answers.
 * 0 with *answer (borrowed until the next call; NULL for an empty body), or an exit code after a complaint that shows the
 * registry's message. An answer 404 is silent when @p missing_ok: EXIT_MISSING.
 */
int  registry_call(registry *r, const char *method, const char *path, csfle__bytes body, bool missing_ok, yyjson_val **answer);
/** "/subjects/%s/versions/%s": each %s is replaced by the next text, percent-encoded as one segment. */
int  registry_path(csfle_buf *out, const char *pattern, ...);

#endif
