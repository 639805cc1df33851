/**
 * The command line as tables: a command is a name, its options, an example and a function. The tables give the
 * parser, every --help and the list of commands. Nothing here knows Kafka or the registry.
 */
#ifndef CSFLE_TOOLS_ARGS_H
#define CSFLE_TOOLS_ARGS_H

#include "tools/common/props.h"

#define COMMAND_MAX_PROPS 32 /* of a KEK */

/** What the options of all commands fill in; zeroed, then args_defaults. Texts are borrowed from argv. */
typedef struct args {
  const struct command *command;
  props       props; /**< -X, -F and -r in the order given: a later one wins */
  props       own;   /**< the value of an OPTION_MATERIAL */
  props       kms;   /**< --kms-prop, --kms-properties */
  const char *brokers, *topic, *offset, *output, *key_delim, *format;
  const char *schema_file, *rules_file, *metadata_file, *type, *level;
  const char *kms_type, *kms_key_id, *doc, *algorithm;
  const char *name, *kek_name, *subject, *material, *move_to, *backup;
  int64_t     partition, count, version; /**< -1: not given */
  int         shared;                    /**< 1 or -1; 0: not given */
  bool        quiet, verbose, at_end, envelope, deleted, live, values, raw, help;
  bool        permanent, force, latest, dry_run, confirm, undo;
  char      **operands;
  int         operand_count;
} args;

typedef enum option_kind {
  OPTION_FLAG,     /**< bool */
  OPTION_TEXT,     /**< const char * */
  OPTION_NUMBER,   /**< int64_t, not negative */
  OPTION_SWITCH,   /**< int: 1, or as =true and =false say */
  OPTION_VERSION,  /**< int64_t from 1 on; "latest" sets args.latest */
  OPTION_MATERIAL, /**< args.material: text, @FILE or @env:NAME */
  OPTION_JSON,     /**< const char *: only "json" or "text" */
  OPTION_REPORT,   /**< const char *: "table" (or "text"), "csv" or "json" */
  OPTION_KMS_PROP, /**< NAME=VALUE into kms; VALUE may be @FILE or @env:NAME */
  OPTION_KMS_LIST, /**< the same, what stands between commas */
  OPTION_PROPERTY, /**< NAME=VALUE into props */
  OPTION_FILE,     /**< a property file into props */
  OPTION_URL       /**< schema.registry.url into props */
} option_kind;

typedef struct option_row {
  char        short_name; /**< 0: none */
  const char *long_name;
  option_kind kind;
  size_t      at;    /**< offset of the field in args */
  const char *value; /**< name of its value in --help; NULL for a flag */
  const char *help;
} option_row;

typedef struct command {
  const char       *name;     /**< "schema register" */
  const char       *synopsis; /**< required options and operands, as --help shows them */
  const char       *summary;  /**< one line for the list */
  const char       *details;  /**< paragraphs for --help; NULL: none */
  const option_row *options;  /**< ends with long_name NULL */
  int               min_operands, max_operands; /**< max -1: no limit */
  const char       *example; /**< a command line that works; a test runs it */
  int (*run)(args *a);       /**< exit code */
} command;

#define OPTION_AT(field) offsetof(args, field)
#define OPTIONS_COMMON                                                                                             \
  { 'r', "registry", OPTION_URL, 0, "URL", "the registry; else CSFLE_REGISTRY_URL, else http://127.0.0.1:8081" },  \
  { 'X', "property", OPTION_PROPERTY, 0, "NAME=VALUE", "a property of csfle or librdkafka; VALUE may be @FILE or @env:NAME" }, \
  { 'F', "config", OPTION_FILE, 0, "FILE", "properties from a file, a line each" },                                \
  { 0, "help", OPTION_FLAG, OPTION_AT(help), NULL, "this text" },                                                  \
  { 0, NULL, OPTION_FLAG, 0, NULL, NULL }
#define OPTION_BACKUP \
  { 0, "backup", OPTION_TEXT, OPTION_AT(backup), "FILE", "keys and schemas from a keys backup; no registry is asked" }
#define OPTION_FORCE(what) \
  { 0, "yes", OPTION_FLAG, OPTION_AT(force), NULL, what }, { 0, "force", OPTION_FLAG, OPTION_AT(force), NULL, "the same" }
#define OPTION_OUTPUT \
  { 'o', "output", OPTION_JSON, OPTION_AT(output), "json|text", "text for people (the default) or JSON for programs" }

/** Parses argv[0 .. argc-1] (argv[0] is skipped) for @p c. 0, or an exit code after the complaint. */
int  args_parse(args *a, const command *c, int argc, char **argv);
void args_free(args *a);
/**
 * One or two names, each given by its option or else as the next operand. @p second NULL: there is one; @p what_second NULL: the
 * second may be left out (NULL then). 0, or EXIT_USAGE after the complaint.
 */
int  args_names(const args *a, const char *given, const char *what, const char **first, const char *given_second, const char *what_second,
                const char **second);
static inline bool args_want_json(const args *a) { return a->output && strcmp(a->output, "json") == 0; }

/** The command whose words argv[1 ..] begin with; *words gets how many. NULL: none. */
const command *command_find(int argc, char **argv, int *words);
void command_help(const command *c);
/** `csfle --help`, or with @p group the commands that begin with it; false when there is none. */
bool commands_list(FILE *to, const char *group);

/** Every command, ends with NULL. */
extern const command *const commands[];

#endif
