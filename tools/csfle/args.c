/** Parser and help texts over the tables of args.h. */
#include "tools/csfle/args.h"

#include "tools/common/report.h"

#include <getopt.h>
#include <stdlib.h>

#define MAX_OPTIONS 32

static int add_kms_prop(args *a, const option_row *o, const char *value)
{
  const char *equals = strchr(value, '=');
  if (!equals || equals == value) return fail(EXIT_USAGE, "--%s takes NAME=VALUE", o->long_name);
  if (a->kms.count == COMMAND_MAX_PROPS) return fail(EXIT_USAGE, "at most %d KMS properties are taken", COMMAND_MAX_PROPS);
  return props_add(&a->kms, csfle__view(value, (size_t)(equals - value)), csfle__str(equals + 1), "a KMS property");
}

static int set_option(args *a, const option_row *o, char *value)
{
  void   *field = (char *)a + o->at;
  int64_t number;
  int     rc;
  switch (o->kind) {
    case OPTION_FLAG: *(bool *)field = true; return 0;
    case OPTION_JSON:
      if (strcmp(value, "json") != 0 && strcmp(value, "text") != 0)
        return fail(EXIT_USAGE, "--%s takes json or text, not '%s'", o->long_name, value);
      *(const char **)field = value;
      return 0;
    case OPTION_TEXT:
      if (!*value) return fail(EXIT_USAGE, "--%s is empty: give it a %s", o->long_name, o->value);
      *(const char **)field = value;
      return 0;
    case OPTION_SWITCH:
      if (value && strcmp(value, "true") != 0 && strcmp(value, "false") != 0) return fail(EXIT_USAGE, "--%s=%s: it is true or false", o->long_name, value);
      *(int *)field = value && *value == 'f' ? -1 : 1;
      return 0;
    case OPTION_VERSION:
      a->latest = strcmp(value, "latest") == 0;
      if (a->latest) return 0;
      if (!csfle__parse_i64(csfle__str(value), &number) || number < 1 || number > INT32_MAX)
        return fail(EXIT_USAGE, "--%s counts from 1 or is 'latest', not '%s'", o->long_name, value);
      *(int64_t *)field = number;
      return 0;
    case OPTION_MATERIAL:
      a->material = NULL;
      props_free(&a->own);
      rc = props_add(&a->own, csfle__str(o->long_name), csfle__str(value), "the command line");
      if (!rc) a->material = a->own.at[0].value;
      return rc;
    case OPTION_REPORT:
      if (strcmp(value, "json") != 0 && strcmp(value, "csv") != 0 && strcmp(value, "table") != 0 && strcmp(value, "text") != 0)
        return fail(EXIT_USAGE, "--%s takes table, csv or json, not '%s'", o->long_name, value);
      *(const char **)field = value;
      return 0;
    case OPTION_NUMBER:
      if (!csfle__parse_i64(csfle__str(value), &number) || number < 0)
        return fail(EXIT_USAGE, "--%s takes a number from 0 on, not '%s'", o->long_name, value);
      *(int64_t *)field = number;
      return 0;
    case OPTION_KMS_PROP: return add_kms_prop(a, o, value);
    case OPTION_KMS_LIST:
      for (char *at = value, *end; at; at = end) {
        end = strchr(at, ',');
        while (end && memchr(end + 1, '=', strcspn(end + 1, ",")) == NULL) end = strchr(end + 1, ','); /* a comma of the value */
        if (end) *end++ = 0;
        if ((rc = add_kms_prop(a, o, at)) != 0) return rc;
      }
      return 0;
    case OPTION_PROPERTY: return props_add_text(&a->props, value);
    case OPTION_FILE: return props_add_file(&a->props, value);
    case OPTION_URL: return props_add(&a->props, CSFLE__LIT("schema.registry.url"), csfle__str(value), "-r");
  }
  return fail(EXIT_USAGE, "--%s is not known", o->long_name);
}

int args_parse(args *a, const command *c, int argc, char **argv)
{
  struct option longs[MAX_OPTIONS] = { 0 };
  char          shorts[2 * MAX_OPTIONS + 2] = ":";
  size_t        n = 0, s = 1;
  int           got, rc;

  *a         = (args){ 0 };
  a->command = c;
  a->partition = a->count = a->version = -1;
  for (const option_row *o = c->options; o->long_name; o++, n++) {
    longs[n] = (struct option){ o->long_name, o->kind == OPTION_FLAG ? no_argument : o->kind == OPTION_SWITCH ? optional_argument : required_argument, NULL, 256 + (int)n };
    if (!o->short_name) continue;
    shorts[s++] = o->short_name;
    if (o->kind != OPTION_FLAG) shorts[s++] = ':';
  }
  opterr = 0;
  optind = 1;
  while ((got = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
    const option_row *o = NULL;
    if (got >= 256) o = c->options + (got - 256);
    else
      for (const option_row *i = c->options; i->long_name && !o; i++)
        if (i->short_name == got && got != '?' && got != ':') o = i;
    if (!o) {
      const char *given = argv[optind - 1];
      if (got == ':') {
        if (optopt >= 256) return fail(EXIT_USAGE, "--%s needs a %s", c->options[optopt - 256].long_name, c->options[optopt - 256].value);
        return fail(EXIT_USAGE, "-%c needs a value; 'csfle %s --help' lists the options", optopt, c->name);
      }
      if (optopt && optopt < 256) return fail(EXIT_USAGE, "unknown option -%c; 'csfle %s --help' lists the options", optopt, c->name);
      return fail(EXIT_USAGE, "unknown option %.*s; 'csfle %s --help' lists the options", (int)strcspn(given, "="), given, c->name);
    }
    if ((rc = set_option(a, o, optarg)) != 0) return rc;
    if (a->help) return 0;
  }
  a->operands      = argv + optind;
  a->operand_count = argc - optind;
  if (a->operand_count < c->min_operands)
    return fail(EXIT_USAGE, "something is missing; usage: csfle %s %s", c->name, c->synopsis);
  if (c->max_operands >= 0 && a->operand_count > c->max_operands)
    return fail(EXIT_USAGE, "'%s' is one too many; usage: csfle %s %s", a->operands[c->max_operands], c->name, c->synopsis);
  return 0;
}

void args_free(args *a)
{
  props_free(&a->props);
  props_free(&a->own);
  props_free(&a->kms);
}

int args_names(const args *a, const char *given, const char *what, const char **first, const char *given_second, const char *what_second, const char **second)
{
  int at = 0;
  *first = given ? given : at < a->operand_count ? a->operands[at++] : NULL;
  if (!*first) return fail(EXIT_USAGE, "%s is missing; usage: csfle %s %s", what, a->command->name, a->command->synopsis);
  if (second) *second = given_second ? given_second : at < a->operand_count ? a->operands[at++] : NULL;
  if (second && !*second && what_second) return fail(EXIT_USAGE, "%s is missing; usage: csfle %s %s", what_second, a->command->name, a->command->synopsis);
  if (at < a->operand_count) return fail(EXIT_USAGE, "'%s' is one too many; usage: csfle %s %s", a->operands[at], a->command->name, a->command->synopsis);
  if (!**first || (second && *second && !**second)) return fail(EXIT_USAGE, "an empty name names nothing");
  return 0;
}

const command *command_find(int argc, char **argv, int *words)
{
  for (const command *const *c = commands; *c; c++) {
    const char *name = (*c)->name;
    int         i    = 1;
    while (i < argc) {
      size_t len = strcspn(name, " ");
      if (strlen(argv[i]) != len || strncmp(name, argv[i], len) != 0) break;
      name += len;
      i++;
      if (!*name) {
        *words = i - 1;
        return *c;
      }
      name++;
    }
  }
  return NULL;
}

void command_help(const command *c)
{
  printf("Usage: csfle %s %s\n%s\n", c->name, c->synopsis, c->summary);
  if (c->details) printf("\n%s\n", c->details);
  puts("\nOptions:");
  for (const option_row *o = c->options; o->long_name; o++) {
    char left[64], shortened[8] = "    ";
    if (o->short_name) snprintf(shortened, sizeof shortened, "-%c, ", o->short_name);
    snprintf(left, sizeof left, "%s--%s%s%s", shortened, o->long_name, o->value ? " " : "", o->value ? o->value : "");
    printf("  %-28s %s\n", left, o->help);
  }
  printf("\nExample: %s\n", c->example);
}

bool commands_list(FILE *to, const char *group)
{
  bool   any = false;
  size_t len = group ? strlen(group) : 0;
  for (const command *const *c = commands; *c; c++) {
    if (group && (strncmp((*c)->name, group, len) != 0 || (*c)->name[len] != ' ')) continue;
    if (!any && !group) fputs("Usage: csfle COMMAND [options]\nClient-side field level encryption for Apache Kafka.\n\n", to);
    if (!any) fputs("Commands:\n", to);
    any = true;
    fprintf(to, "  %-19s %s\n", (*c)->name, (*c)->summary);
  }
  if (!any || group) return any;
  fputs("  help COMMAND        its options and an example, as COMMAND --help\n\n"
        "Options: --help, --version\n\n"
        "Exit codes: 0 done; 1 failed, or differences found; 2 usage; 3 not found; 4 denied; 5 unavailable or timed out;\n"
        "            6 conflict or incompatible; 7 finished, but some records failed; 8 refused: plaintext would have been written,\n"
        "            or a key asked of a host that is not allowed\n\n"
        "Example: csfle help produce\n", to);
  return true;
}
