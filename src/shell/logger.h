/* Structured logs on standard error: one line an event, as text or as JSON.
 *
 *   2026-03-01T10:00:00.123Z info  listening peer=127.0.0.1:7400 client=127.0.0.1:7379
 *   {"time":"2026-03-01T10:00:00.123Z","level":"info","event":"listening","peer":"127.0.0.1:7400"}
 *
 * A line is written by one system call, so lines of several threads never mix. Field values may be
 * hostile bytes: what is not printable UTF-8 is escaped. Level and format may change at any time.
 */
#ifndef LOGGER_H
#define LOGGER_H

#include "base/buf.h"

enum log_level { LEVEL_DEBUG = 0, LEVEL_INFO, LEVEL_WARNING, LEVEL_ERROR };
enum log_format { FORMAT_TEXT = 0, FORMAT_JSON };

enum log_field_kind { LOG_FIELD_END = 0, LOG_FIELD_TEXT, LOG_FIELD_NUMBER };

struct log_field {
    enum log_field_kind kind;
    const char *name;
    struct slice text; /* Borrowed for the call. */
    uint64_t number;
};

/* The fields of a log line: log_info("peer lost", LOG(log_text("node", id))). */
#define LOG(...)                                                                                   \
    (const struct log_field[])                                                                     \
    {                                                                                              \
        __VA_ARGS__,                                                                               \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }

static inline struct log_field log_slice(const char *name, struct slice text)
{
    return (struct log_field){.kind = LOG_FIELD_TEXT, .name = name, .text = text};
}

static inline struct log_field log_text(const char *name, const char *text)
{
    return log_slice(name, slice_string(text));
}

static inline struct log_field log_number(const char *name, uint64_t number)
{
    return (struct log_field){.kind = LOG_FIELD_NUMBER, .name = name, .number = number};
}

void logger_set(enum log_level level, enum log_format format);
bool logger_enabled(enum log_level level);

/* FIELDS may be NULL. */
void logger_write(enum log_level level, const char *event, const struct log_field *fields);
#define log_debug(event, fields) logger_write(LEVEL_DEBUG, event, fields)
#define log_info(event, fields) logger_write(LEVEL_INFO, event, fields)
#define log_warning(event, fields) logger_write(LEVEL_WARNING, event, fields)
#define log_error(event, fields) logger_write(LEVEL_ERROR, event, fields)

/* Append the line with its newline to OUT: what logger_write writes. WALL_MS since 1970. */
void logger_format_line(enum log_format format, uint64_t wall_ms, enum log_level level,
                        const char *event, const struct log_field *fields, struct buf *out);

/* Append TEXT as a JSON string with its quotes; bytes that are no UTF-8 become U+FFFD. */
void logger_json_string(struct slice text, struct buf *out);

/* The level of its name ("debug", "info", "warning", "error"): 0 or ERR_BAD_REQUEST. */
int logger_level_parse(struct slice name, enum log_level *ret_level) CHECK_RESULT;

/* For events that a stranger can cause at will: at most 5 lines in 10 s from one place. */
struct logger_limit {
    uint64_t since_us;
    uint32_t written;
    uint64_t suppressed;
};

/* May a line be written now? RET_SUPPRESSED says how many were left out before this one. */
bool logger_limit_pass(struct logger_limit *limit, uint64_t now_us, uint64_t *ret_suppressed);

#endif
