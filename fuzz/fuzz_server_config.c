/* Any text as the server's properties file: taken, or refused with a reason; what was taken can be read back by name.
   Input: the file. */
#include "fuzz/fuzz.h"

#include "core/base/json.h"
#include "server/config/config.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static int           file = -1;
  char                 path[64];
  csfle_error          e = CSFLE_ERROR_INIT;
  registry_properties *p = registry_properties_new();
  if (file < 0) file = memfd_create("properties", 0);
  MUST(file >= 0 && p && ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  csfle_status rc = registry_properties_load(p, path, &e);
  MUST(rc == CSFLE_OK || (rc == CSFLE_E_CONFIG && e.msg[0]));
  if (rc == CSFLE_OK) {
    csfle_buf policy;
    csfle_buf_init(&policy, 0, 0);
    csfle_status made = registry_policy_text(p, &policy, &e);
    MUST(made == CSFLE_OK || (made == CSFLE_E_CONFIG && e.msg[0]));
    if (made == CSFLE_OK && policy.len && !*registry_property(p, "csfle.policy.text") && csfle__utf8_valid(csfle__view(data, size))) {
      yyjson_doc *doc = NULL; /* a statement that was made is JSON */
      MUST(csfle__json_parse(&doc, csfle__buf_view(&policy), NULL) == CSFLE_OK);
      yyjson_doc_free(doc);
    }
    csfle_buf_free(&policy);
  }
  if (rc == CSFLE_OK) {
    registry_listener l[3];
    int               count;
    MUST(registry_property(p, "listeners"));
    rc = registry_listeners_parse(l, 3, &count, registry_property(p, "listeners"), &e);
    MUST(rc == CSFLE_OK ? count >= 1 && count <= 3 : rc == CSFLE_E_CONFIG && e.msg[0]);
    for (int i = 0; rc == CSFLE_OK && i < count; i++) MUST(l[i].port >= 0 && l[i].port <= 65535 && memchr(l[i].host, 0, sizeof l[i].host));
  }
  registry_properties_free(p);
  return 0;
}
