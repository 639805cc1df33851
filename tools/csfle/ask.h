/** Asking before what cannot be undone. */
#ifndef CSFLE_TOOLS_ASK_H
#define CSFLE_TOOLS_ASK_H

#include "tools/csfle/args.h"

/**
 * 0 when --yes (--force) was given, or @p word was typed on the terminal after "Type WORD to GO_ON: ". Else an exit code after the complaint:
 * EXIT_USAGE without a terminal, EXIT_FAILED when something else was typed.
 */
int ask_for(const args *a, const char *word, const char *go_on);

#endif
