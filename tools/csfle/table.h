/** Tables for people: rows are collected, then printed with columns as wide as their widest cell; or as CSV (RFC 4180). */
#ifndef CSFLE_TOOLS_TABLE_H
#define CSFLE_TOOLS_TABLE_H

#include "core/base/bytes.h"

#include <stdio.h>

#define TABLE_COLUMNS 12

typedef struct table {
  char   **cells; /**< row after row; owned */
  size_t   count, cap;
  size_t   columns; /**< set by the caller, at most TABLE_COLUMNS */
  unsigned right;   /**< bit i: column i is aligned to the right */
} table;

/** Adds a row of t->columns cells (copied; what would steer a terminal becomes a blank). 0, or an exit code after the complaint. */
int  table_row(table *t, const csfle__bytes *cells);
/** Two blanks between columns, none at the end of a line. */
void table_print(const table *t);
void table_print_to(const table *t, FILE *to);
void table_print_csv(const table *t);
void table_free(table *t);
/** @p text without what would steer a terminal: control characters of ASCII and Latin-1 become blanks. In place. */
void table_tame(char *text);

#endif
