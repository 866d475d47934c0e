#include "cli/table.h"

#include <stdarg.h>
#include <stdlib.h>

void table_init(struct table *table, const char *columns)
{
    *table = (struct table){.columns = columns};
}

static struct buf *cell_new(struct table *table)
{
    if (table->count == table->capacity) {
        table->capacity = MAX(64, 2 * table->capacity);
        table->cells = mem_grow(table->cells, table->capacity * sizeof(*table->cells));
    }
    struct buf *cell = &table->cells[table->count++];
    *cell = (struct buf){0};
    return cell;
}

void table_cell(struct table *table, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = NULL;
    int size = vasprintf(&text, format, arguments);
    va_end(arguments);
    ASSERT(size >= 0);
    buf_append(cell_new(table), slice_of(text, (size_t)size));
    free(text);
}

/* How many columns the text takes, counting characters and not their bytes. */
static size_t text_width(const struct buf *cell)
{
    size_t width = 0;
    for (size_t i = 0; i < cell->size; i++) {
        width += (cell->data[i] & 0xc0) != 0x80;
    }
    return width;
}

static void print_blanks(size_t count, FILE *to)
{
    fprintf(to, "%*s", (int)count, "");
}

void table_print(const struct table *table, FILE *to)
{
    size_t columns = strlen(table->columns);
    for (size_t i = 0; i < table->count; i++) {
        size_t column = i % columns;
        size_t width = 0;
        for (size_t j = column; j < table->count; j += columns) {
            width = MAX(width, text_width(&table->cells[j]));
        }
        const struct buf *cell = &table->cells[i];
        size_t fill = width - text_width(cell);
        bool last = column == columns - 1 || i == table->count - 1;
        if (table->columns[column] == 'r') {
            print_blanks(fill, to);
        }
        if (cell->size > 0) {
            fwrite(cell->data, 1, cell->size, to);
        }
        if (table->columns[column] != 'r' && !last) {
            print_blanks(fill, to);
        }
        fputs(last ? "\n" : "  ", to);
    }
}

void table_done(struct table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        buf_done(&table->cells[i]);
    }
    mem_free(table->cells);
    *table = (struct table){0};
}

void format_bytes(uint64_t bytes, char *text, size_t size)
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < ARRAY_SIZE(units)) {
        value /= 1024;
        unit++;
    }
    int digits = unit > 0 && value < 9.95;
    snprintf(text, size, "%.*f %s", digits, value, units[unit]);
}

void format_duration_ms(uint64_t ms, char *text, size_t size)
{
    static const struct {
        uint64_t from_ms;
        uint64_t unit_ms;
        const char *name;
    } units[] = {{172800000, 86400000, "d"},
                 {7200000, 3600000, "h"},
                 {120000, 60000, "min"},
                 {1000, 1000, "s"},
                 {0, 1, "ms"}};
    size_t i = 0;
    while (ms < units[i].from_ms) {
        i++;
    }
    snprintf(text, size, "%llu %s", (unsigned long long)(ms / units[i].unit_ms), units[i].name);
}

void format_count(double count, char *text, size_t size)
{
    static const char *const units[] = {"", "k", "M", "G", "T"};
    size_t unit = 0;
    while (count >= 999.5 && unit + 1 < ARRAY_SIZE(units)) {
        count /= 1000;
        unit++;
    }
    int digits = unit > 0 && count < 9.95;
    snprintf(text, size, "%.*f%s", digits, count, units[unit]);
}

void table_bytes(struct table *table, uint64_t bytes)
{
    char text[32];
    format_bytes(bytes, text, sizeof(text));
    table_cell(table, "%s", text);
}

void table_duration_ms(struct table *table, uint64_t ms)
{
    char text[32];
    format_duration_ms(ms, text, sizeof(text));
    table_cell(table, "%s", text);
}
