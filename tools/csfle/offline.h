/** Keys backups on disk, and clients that read them instead of asking a registry. */
#ifndef CSFLE_TOOLS_OFFLINE_H
#define CSFLE_TOOLS_OFFLINE_H

#include "core/base/bytes.h"
#include "include/csfle/csfle.h"

#define BACKUP_MAX_BYTES (1u << 30)

/** Seeds @p cl from the backup at @p path; nothing when that is NULL. 0, or an exit code after the complaint. */
int offline_seed(csfle_client *cl, const char *path);
/** Writes @p text beside @p path (readable by the owner alone), then puts it in its place, so that there is never half a file; "-": standard output. */
int offline_write(const char *path, csfle__bytes text);

#endif
