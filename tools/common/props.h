/**
 * Properties of one command line: -X, -F and -r. They are split between csfle and librdkafka by who knows the name.
 * Values may be secrets: they come from `@FILE` or `@env:NAME` too, are wiped when freed and never printed.
 */
#ifndef CSFLE_TOOLS_PROPS_H
#define CSFLE_TOOLS_PROPS_H

#include "core/base/bytes.h"
#include "include/csfle/csfle.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>

typedef struct prop {
  char *name, *value;
  char *origin; /**< "-X", "client.properties:7": for complaints */
} prop;

typedef struct props {
  prop  *at;
  size_t count, cap;
} props;

/** All of these: 0, or EXIT_USAGE after a one-line complaint that names the property and never shows its value. */
int props_add(props *p, csfle__bytes name, csfle__bytes value, const char *origin);
/** "NAME=VALUE" of -X. */
int props_add_text(props *p, const char *text);
/**
 * A property file as Java reads it: NAME=VALUE (also NAME:VALUE), '#' and '!' comments, a trailing backslash goes on
 * in the next line, \t \n \r \f \uXXXX and \X escapes. "include=FILE" reads another, relative to the first.
 */
int props_add_file(props *p, const char *path);
/** The value that counts (the last one), or NULL. */
const char *props_get(const props *p, const char *name);
void props_free(props *p);

/** Gives each property to csfle or, when only librdkafka knows its name, to librdkafka. Either may be NULL. */
int props_apply(const props *p, csfle_config *config, rd_kafka_conf_t *kafka);
/**
 * A csfle configuration for the command line: the registry's address of $CSFLE_REGISTRY_URL or http://127.0.0.1:8081, then
 * the properties, checked together. NULL with *rc an exit code after the complaint. Owner frees with csfle_config_free.
 */
csfle_config *props_config(const props *p, rd_kafka_conf_t *kafka, int *rc);
/** Sets a librdkafka property unless the user did. */
int props_kafka_default(const props *p, rd_kafka_conf_t *kafka, const char *name, const char *value);

/**
 * The whole file @p path ("-": standard input), at most @p max bytes, with a NUL after it. Caller frees with
 * csfle__free_secret(*out, *len + 1). 0, or an exit code after the complaint.
 */
int read_file(const char *path, size_t max, char **out, size_t *len);

#endif
