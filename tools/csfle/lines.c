/** Reading lines from a descriptor, so that a signal ends a wait. */
#include "tools/csfle/lines.h"

#include "core/base/secret.h"
#include "tools/common/report.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#define CHUNK_BYTES 262144

int lines_open(lines *l, const char *path)
{
  *l      = (lines){ 0 };
  l->name = strcmp(path, "-") == 0 ? "standard input" : path;
  l->fd   = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
  csfle_buf_init(&l->buf, 0, CSFLE_BUF_WIPE);
  if (l->fd < 0) return fail(errno == ENOENT ? EXIT_MISSING : EXIT_FAILED, "cannot read %s: %s", path, strerror(errno));
  return 0;
}

#define IDLE_MS 200

/* waits until there is something to read; false: asked to stop */
static bool wait_readable(const lines *l)
{
  struct pollfd in = { l->fd, POLLIN, 0 };
  while (!stop_wanted()) {
    if (poll(&in, 1, l->idle ? IDLE_MS : -1) != 0) {
      if (in.revents) return true;
    } else if (l->idle(l->opaque)) {
      return false;
    }
  }
  return false;
}

/* 1 bytes came, 0 the end, -1 failed, -2 stopped */
static int fill(lines *l)
{
  ssize_t n;
  if (l->pos) {
    memmove(l->buf.ptr, l->buf.ptr + l->pos, l->buf.len - l->pos);
    l->buf.len -= l->pos;
    l->pos = 0;
  }
  if (csfle__buf_reserve(&l->buf, CHUNK_BYTES, NULL) != CSFLE_OK) {
    errno = ENOMEM;
    return -1;
  }
  do {
    if (!wait_readable(l)) return -2;
    n = read(l->fd, l->buf.ptr + l->buf.len, CHUNK_BYTES);
  } while (n < 0 && errno == EINTR);
  if (n > 0) l->buf.len += (size_t)n;
  return n > 0 ? 1 : n == 0 ? 0 : -1;
}

lines_next lines_read(lines *l, csfle__bytes *line)
{
  size_t seen     = 0; /* bytes from pos on without a line end */
  bool   too_long = false;
  for (;;) {
    size_t         have = l->buf.len - l->pos;
    const uint8_t *nl   = have > seen ? memchr(l->buf.ptr + l->pos + seen, '\n', have - seen) : NULL;
    size_t         len  = nl ? (size_t)(nl - (l->buf.ptr + l->pos)) : have;
    int            got;

    if (nl || l->ended) {
      if (!nl && len == 0 && !too_long) return LINES_END;
      *line = csfle__view(l->buf.ptr + l->pos, len);
      l->pos += len + (nl ? 1 : 0);
      l->number++;
      if (line->len && line->ptr[line->len - 1] == '\r') line->len--;
      return too_long || len > LINES_MAX_BYTES ? LINES_TOO_LONG : LINES_LINE;
    }
    seen = have;
    if (have > LINES_MAX_BYTES) { /* drop what there is, keep looking for its end */
      too_long = true;
      csfle__wipe(l->buf.ptr, l->buf.len);
      l->buf.len = l->pos = seen = 0;
    }
    got = fill(l);
    if (got == 0) l->ended = true;
    if (got < 0) return got == -2 ? LINES_STOPPED : LINES_FAILED;
  }
}

void lines_close(lines *l)
{
  if (l->fd > STDIN_FILENO) close(l->fd);
  csfle_buf_free(&l->buf);
}
