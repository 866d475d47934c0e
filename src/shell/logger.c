/* Formatting and writing of log lines. */
#include "shell/logger.h"

#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

enum { LIMIT_LINES = 5, LIMIT_WINDOW_US = 10 * 1000 * 1000 };

/* The only state of the process that is global: there is one standard error. */
static _Atomic int current_level = LEVEL_INFO;
static _Atomic int current_format = FORMAT_TEXT;

static const char *const level_names[] = {"debug", "info", "warning", "error"};

void logger_set(enum log_level level, enum log_format format)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
    atomic_store_explicit(&current_format, (int)format, memory_order_relaxed);
}

bool logger_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&current_level, memory_order_relaxed);
}

int logger_level_parse(struct slice name, enum log_level *ret_level)
{
    for (size_t i = 0; i < ARRAY_SIZE(level_names); i++) {
        if (slice_equal(name, slice_string(level_names[i]))) {
            *ret_level = (enum log_level)i;
            return 0;
        }
    }
    return ERR_BAD_REQUEST;
}

/* Length of the well-formed UTF-8 sequence at the start of TEXT, 0 if there is none. */
static size_t utf8_length(struct slice text)
{
    uint8_t lead = text.data[0];
    size_t length = lead < 0x80                    ? 1
                    : lead >= 0xc2 && lead <= 0xdf ? 2
                    : (lead & 0xf0) == 0xe0        ? 3
                    : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                   : 0;
    if (length == 0 || length > text.size)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((text.data[i] & 0xc0) != 0x80)
            return 0;
    /* Overlong forms, surrogates and what lies beyond U+10FFFF. */
    if ((lead == 0xe0 && text.data[1] < 0xa0) || (lead == 0xed && text.data[1] > 0x9f) ||
        (lead == 0xf0 && text.data[1] < 0x90) || (lead == 0xf4 && text.data[1] > 0x8f))
        return 0;
    return length;
}

void logger_json_string(struct slice text, struct buf *out)
{
    buf_append_byte(out, '"');
    while (text.size > 0) {
        size_t length = utf8_length(text);
        uint8_t byte = text.data[0];
        if (length == 0)
            buf_append(out, slice_string("\\ufffd"));
        else if (byte == '"' || byte == '\\')
            buf_printf(out, "\\%c", byte);
        else if (byte == '\n')
            buf_append(out, slice_string("\\n"));
        else if (byte < 0x20 || byte == 0x7f)
            buf_printf(out, "\\u%04x", byte);
        else
            buf_append(out, slice_of(text.data, length));
        length = MAX(length, (size_t)1);
        text = slice_of(text.data + length, text.size - length);
    }
    buf_append_byte(out, '"');
}

/* A word stays bare; anything else is quoted as in JSON, so that a line can be split by machines.
 */
static void append_text_value(struct slice text, struct buf *out)
{
    bool bare = text.size > 0;
    for (size_t i = 0; bare && i < text.size; i++) {
        uint8_t byte = text.data[i];
        bare = byte > ' ' && byte < 0x7f && byte != '"' && byte != '=' && byte != '\\';
    }
    if (bare)
        buf_append(out, text);
    else
        logger_json_string(text, out);
}

static void append_time(uint64_t wall_ms, struct buf *out)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    char text[32];
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    buf_printf(out, "%s.%03uZ", text, (unsigned)(wall_ms % 1000));
}

static void format_text(uint64_t wall_ms, enum log_level level, const char *event,
                        const struct log_field *fields, struct buf *out)
{
    append_time(wall_ms, out);
    buf_printf(out, " %-7s %s", level_names[level], event);
    for (const struct log_field *field = fields; field != NULL && field->kind != LOG_FIELD_END;
         field++) {
        buf_printf(out, " %s=", field->name);
        if (field->kind == LOG_FIELD_NUMBER)
            buf_printf(out, "%llu", (unsigned long long)field->number);
        else
            append_text_value(field->text, out);
    }
}

static void format_json(uint64_t wall_ms, enum log_level level, const char *event,
                        const struct log_field *fields, struct buf *out)
{
    buf_append(out, slice_string("{\"time\":\""));
    append_time(wall_ms, out);
    buf_printf(out, "\",\"level\":\"%s\",\"event\":", level_names[level]);
    logger_json_string(slice_string(event), out);
    for (const struct log_field *field = fields; field != NULL && field->kind != LOG_FIELD_END;
         field++) {
        buf_append_byte(out, ',');
        logger_json_string(slice_string(field->name), out);
        buf_append_byte(out, ':');
        if (field->kind == LOG_FIELD_NUMBER)
            buf_printf(out, "%llu", (unsigned long long)field->number);
        else
            logger_json_string(field->text, out);
    }
    buf_append_byte(out, '}');
}

void logger_format_line(enum log_format format, uint64_t wall_ms, enum log_level level,
                        const char *event, const struct log_field *fields, struct buf *out)
{
    if (format == FORMAT_JSON)
        format_json(wall_ms, level, event, fields, out);
    else
        format_text(wall_ms, level, event, fields, out);
    buf_append_byte(out, '\n');
}

void logger_write(enum log_level level, const char *event, const struct log_field *fields)
{
    if (!logger_enabled(level))
        return;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t wall_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    enum log_format format = (enum log_format)atomic_load(&current_format);
    struct buf line = {0};
    logger_format_line(format, wall_ms, level, event, fields, &line);
    /* Where standard error is gone or full there is nobody to tell. */
    ssize_t ignored = write(STDERR_FILENO, line.data, line.size);
    (void)ignored;
    buf_done(&line);
}

bool logger_limit_pass(struct logger_limit *limit, uint64_t now_us, uint64_t *ret_suppressed)
{
    if (limit->since_us == 0 || now_us - limit->since_us >= LIMIT_WINDOW_US) {
        limit->since_us = MAX(now_us, (uint64_t)1);
        limit->written = 0;
    }
    if (limit->written >= LIMIT_LINES) {
        limit->suppressed++;
        return false;
    }
    limit->written++;
    *ret_suppressed = limit->suppressed;
    limit->suppressed = 0;
    return true;
}
