/** What this program takes from csfle and register-deks: a tool is built from the files of its own folder. */
#include "tools/csfle/props.c"
#include "tools/csfle/report.c"
#include "tools/register-deks/cli.c"
