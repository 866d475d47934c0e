/* Text in columns, as wide as their widest cell, two blanks apart. The first row is the head. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include "base/buf.h"

#include <stdio.h>

struct table {
    const char *columns; /* Borrowed: 'l' or 'r' for how each column is aligned. */
    struct buf *cells;   /* Owned. */
    size_t count;
    size_t capacity;
};

/* One column for each character of COLUMNS: table_init(&table, "lrr"). */
void table_init(struct table *table, const char *columns);
/* The next cell, row by row. */
void table_cell(struct table *table, const char *format, ...) PRINTF_LIKE(2, 3);
void table_print(const struct table *table, FILE *to);
void table_done(struct table *table);

/* A number of bytes for people, at most 4 figures: "812 B", "41 MB", "1.5 GB" (powers of 1024). */
void table_bytes(struct table *table, uint64_t bytes);
/* A duration for people: "320 ms", "41 s", "6 min", "3 h", "21 d". */
void table_duration_ms(struct table *table, uint64_t ms);
void format_bytes(uint64_t bytes, char *text, size_t size);
void format_duration_ms(uint64_t ms, char *text, size_t size);
/* "812", "8.1k", "12M". */
void format_count(double count, char *text, size_t size);

#endif
