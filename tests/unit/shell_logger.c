/* What a log line looks like, whatever bytes come in. */
#include "shell/logger.h"

#include <criterion/criterion.h>
#include <jansson.h>

static void format(enum log_format form, const struct log_field *fields, struct buf *out)
{
    logger_format_line(form, 1767261600123u, LEVEL_WARNING, "peer lost", fields, out);
    buf_append_byte(out, '\0');
}

Test(logger, text_line_quotes_only_what_needs_it)
{
    struct buf out = {0};
    format(FORMAT_TEXT,
           LOG(log_text("node", "a"), log_text("why", "broken pipe"), log_text("empty", ""),
               log_number("bytes", UINT64_MAX)),
           &out);
    cr_assert_str_eq((char *)out.data,
                     "2026-01-01T10:00:00.123Z warning peer lost node=a why=\"broken pipe\" "
                     "empty=\"\" bytes=18446744073709551615\n");
    buf_done(&out);
}

Test(logger, a_line_without_fields)
{
    struct buf out = {0};
    format(FORMAT_TEXT, NULL, &out);
    cr_assert_str_eq((char *)out.data, "2026-01-01T10:00:00.123Z warning peer lost\n");
    buf_done(&out);
}

Test(logger, hostile_bytes_neither_break_the_line_nor_the_json)
{
    static const char hostile[] = "a\n\"b\\\xff\xc0\x80\xed\xa0\x80 caf\xc3\xa9\x01";
    const struct log_field fields[] = {log_slice("v", slice_of(hostile, sizeof hostile - 1)), {0}};
    struct buf text = {0}, json = {0};
    format(FORMAT_TEXT, fields, &text);
    cr_assert_eq(strchr((char *)text.data, '\n'), (char *)text.data + text.size - 2);

    format(FORMAT_JSON, fields, &json);
    json_error_t error;
    json_t *root = json_loads((char *)json.data, 0, &error);
    cr_assert_not_null(root, "%s in %s", error.text, (char *)json.data);
    cr_assert_str_eq(json_string_value(json_object_get(root, "level")), "warning");
    cr_assert_str_eq(json_string_value(json_object_get(root, "event")), "peer lost");
    cr_assert_str_eq(json_string_value(json_object_get(root, "time")), "2026-01-01T10:00:00.123Z");
    const char *value = json_string_value(json_object_get(root, "v"));
    cr_assert_not_null(strstr(value, "caf\xc3\xa9"));
    cr_assert_not_null(strstr(value, "a\n\"b\\\xef\xbf\xbd"));
    json_decref(root);
    buf_done(&text);
    buf_done(&json);
}

Test(logger, levels_have_names)
{
    enum log_level level;
    cr_assert_eq(logger_level_parse(slice_string("debug"), &level), 0);
    cr_assert_eq(level, LEVEL_DEBUG);
    cr_assert_eq(logger_level_parse(slice_string("error"), &level), 0);
    cr_assert_eq(level, LEVEL_ERROR);
    cr_assert_lt(logger_level_parse(slice_string("loud"), &level), 0);
}

Test(logger, a_stranger_gets_five_lines_in_ten_seconds)
{
    struct logger_limit limit = {0};
    uint64_t suppressed = 0;
    int passed = 0;
    for (int i = 0; i < 100; i++)
        passed += logger_limit_pass(&limit, 1000000, &suppressed);
    cr_assert_eq(passed, 5);
    cr_assert_eq(suppressed, 0);
    cr_assert(logger_limit_pass(&limit, 11000000, &suppressed));
    cr_assert_eq(suppressed, 95);
}
