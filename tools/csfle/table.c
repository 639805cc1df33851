/** Tables. See table.h. */
#include "tools/csfle/table.h"

#include "core/base/alloc.h"
#include "tools/common/report.h"

void table_tame(char *text)
{
  for (unsigned char *p = (unsigned char *)text; *p; p++) {
    if (*p < 0x20 || *p == 0x7f) *p = ' ';
    else if (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) p[0] = p[1] = ' ';
  }
}

int table_row(table *t, const csfle__bytes *cells)
{
  for (size_t i = 0; i < t->columns; i++) {
    if (csfle__grow((void **)&t->cells, &t->cap, t->count + 1, sizeof *t->cells) != 0 ||
        (t->cells[t->count] = csfle__dup(cells[i].ptr, cells[i].len)) == NULL)
      return fail(EXIT_FAILED, "no memory for a table");
    table_tame(t->cells[t->count++]);
  }
  return 0;
}

/* characters, not bytes */
static size_t width_of(const char *text)
{
  size_t n = 0;
  for (; *text; text++) n += ((unsigned char)*text & 0xc0) != 0x80;
  return n;
}

static void blanks(size_t n, FILE *to)
{
  while (n--) fputc(' ', to);
}

void table_print(const table *t) { table_print_to(t, stdout); }

void table_print_to(const table *t, FILE *to)
{
  size_t width[TABLE_COLUMNS] = { 0 };
  for (size_t i = 0; i < t->count; i++)
    if (width_of(t->cells[i]) > width[i % t->columns]) width[i % t->columns] = width_of(t->cells[i]);
  for (size_t i = 0; i < t->count; i++) {
    size_t column = i % t->columns, pad = width[column] - width_of(t->cells[i]);
    bool   last = column + 1 == t->columns, right = i >= t->columns && (t->right >> column & 1);
    if (right) blanks(pad, to);
    fputs(t->cells[i], to);
    if (last) fputc('\n', to);
    else blanks((right ? 0 : pad) + 2, to);
  }
}

void table_print_csv(const table *t)
{
  for (size_t i = 0; i < t->count; i++) {
    const char *cell = t->cells[i];
    /* a spreadsheet takes a cell that begins with one of =+-@ for a formula, and names come from whoever may write to the registry */
    bool formula = strchr("=+-@", *cell) && *cell && cell[1], quoted = formula || strpbrk(cell, ",\"");
    if (quoted) putchar('"');
    if (formula) putchar('\'');
    for (; *cell; cell++) {
      if (*cell == '"') putchar('"');
      putchar(*cell);
    }
    if (quoted) putchar('"');
    fputs((i + 1) % t->columns == 0 ? "\r\n" : ",", stdout);
  }
}

void table_free(table *t)
{
  for (size_t i = 0; i < t->count; i++) csfle__free(t->cells[i]);
  csfle__free(t->cells);
  t->cells = NULL, t->count = t->cap = 0;
}
