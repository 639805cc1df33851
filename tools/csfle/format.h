/** How consume writes a record: a line of JSON, an envelope (-J), or a format string with the letters of kcat (-f). */
#ifndef CSFLE_TOOLS_FORMAT_H
#define CSFLE_TOOLS_FORMAT_H

#include "include/csfle/csfle.h"
#include "tools/csfle/args.h"

#include <librdkafka/rdkafka.h>

/** EXIT_USAGE after a complaint when -f holds a letter that is none. */
int  format_check(const char *format);
/**
 * Writes a record to stdout. @p value: its JSON text; {NULL,0} for a tombstone. False when stdout takes no more.
 * @p out is scratch, wiped when freed.
 */
bool format_record(const args *a, const rd_kafka_message_t *m, csfle__bytes value, const csfle_info *info, csfle_buf *out);

/** Appends @p text as a JSON string; bytes that are no UTF-8 become U+FFFD. */
csfle_status format_json_text(csfle_buf *out, csfle__bytes text);
/** "create", "logappend" or "unknown"; *ms gets the time or -1. */
const char *format_timestamp(const rd_kafka_message_t *m, int64_t *ms);

#endif
