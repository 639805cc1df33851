/** Backups as files. See offline.h. */
#include "tools/csfle/offline.h"

#include "core/base/alloc.h"
#include "core/base/buf.h"
#include "tools/common/props.h"
#include "tools/common/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int offline_seed(csfle_client *cl, const char *path)
{
  csfle_error err = CSFLE_ERROR_INIT;
  char       *text;
  size_t      len;
  int         rc;

  if (!path) return 0;
  if ((rc = read_file(path, BACKUP_MAX_BYTES, &text, &len)) != 0) return rc;
  if (csfle_client_seed(cl, text, len, &err) != CSFLE_OK) rc = fail(EXIT_FAILED, "%s: %s", path, err.msg);
  csfle__free_secret(text, len + 1);
  return rc;
}

static bool write_all(int fd, csfle__bytes text)
{
  while (text.len) {
    ssize_t n = write(fd, text.ptr, text.len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    text = csfle__from(text, (size_t)n);
  }
  return true;
}

int offline_write(const char *path, csfle__bytes text)
{
  csfle_buf name;
  int       fd = -1, rc = 0;

  if (strcmp(path, "-") == 0) return fwrite(text.ptr, 1, text.len, stdout) == text.len ? 0 : fail(EXIT_FAILED, "cannot write to standard output: %s", strerror(errno));
  csfle_buf_init(&name, 0, 0);
  if (csfle__buf_printf(&name, NULL, "%s.XXXXXX", path) != CSFLE_OK || !csfle__buf_cstr(&name)) rc = fail(EXIT_FAILED, "no memory to write %s", path);
  else if ((fd = mkstemp((char *)name.ptr)) < 0) rc = fail(EXIT_FAILED, "cannot write beside %s: %s", path, strerror(errno)); /* mode 0600 */
  if (!rc) {
    bool ok = write_all(fd, text) && fsync(fd) == 0;
    if (close(fd) != 0) ok = false;
    if (!ok || rename((char *)name.ptr, path) != 0) {
      rc = fail(EXIT_FAILED, "cannot write %s: %s", path, strerror(errno));
      unlink((char *)name.ptr);
    }
  }
  csfle_buf_free(&name);
  return rc;
}
