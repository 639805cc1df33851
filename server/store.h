/** What csfle-registry does with a store besides serving it. */
#ifndef REGISTRY_STORE_H
#define REGISTRY_STORE_H

#include "server/log/log.h"

/** @p name "dump": records to stdout, a line each; "load": such lines from stdin into an empty store. The exit code. */
int registry_store_tool(const char *name, registry_log_setup *setup);

#endif
