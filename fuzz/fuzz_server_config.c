/* Any text as the server's properties file: taken, or refused with a reason; what was taken can be read back by name.
   Input: the file. */
#include "fuzz/fuzz.h"

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
    registry_listener l;
    MUST(registry_property(p, "listeners"));
    rc = registry_listener_parse(&l, registry_property(p, "listeners"), &e);
    MUST(rc == CSFLE_OK ? l.port >= 0 && l.port <= 65535 && memchr(l.host, 0, sizeof l.host) : rc == CSFLE_E_CONFIG && e.msg[0]);
  }
  registry_properties_free(p);
  return 0;
}
