/* Commands of Redis clients: however they are cut, and whatever is wrong with them. */
#include "base/error.h"
#include "wire/resp.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct arena arena;

/* Scan TEXT byte by byte as it would come from a slow sender; its size when whole, 0 while not. */
static size_t scan_slowly(const char *text, size_t size, struct resp_scan *scan, int *ret_error)
{
    size_t more = 1;
    *ret_error = 0;
    for (size_t have = 0; have <= size; have++) {
        /* A copy of exactly so many bytes: a read beyond them is found. */
        uint8_t *bytes = mem_alloc(have + 1);
        memcpy(bytes, text, have);
        *ret_error = resp_scan(scan, slice_of(bytes, have), &more);
        mem_free(bytes);
        if (*ret_error != 0)
            return 0;
        if (more == 0) {
            cr_assert_eq(have, scan->at, "whole only with its last byte");
            return scan->at;
        }
    }
    return 0;
}

static struct resp_command words_of(const char *text, size_t size)
{
    struct resp_command command;
    cr_assert_eq(resp_decode(slice_of(text, size), &arena, &command), 0);
    return command;
}

static void expect_words(const char *text, uint32_t count, const char *const *words)
{
    struct resp_scan scan = {0};
    int error;
    size_t size = scan_slowly(text, strlen(text), &scan, &error);
    cr_assert_eq(size, strlen(text), "%s", text);
    struct resp_command command = words_of(text, size);
    cr_assert_eq(command.count, count, "%s", text);
    for (uint32_t i = 0; i < count; i++)
        cr_assert(slice_equal(command.words[i], slice_string(words[i])), "%s: word %u", text, i);
}

#define WORDS(...)                                                                                 \
    ARRAY_SIZE(((const char *[]){__VA_ARGS__})), (const char *[])                                  \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

Test(wire_resp, arrays_are_whole_with_their_last_byte)
{
    expect_words("*1\r\n$4\r\nPING\r\n", WORDS("PING"));
    expect_words("*3\r\n$3\r\nSET\r\n$0\r\n\r\n$6\r\na\r\nb\n!\r\n", WORDS("SET", "", "a\r\nb\n!"));
    expect_words("*0\r\n", 0, NULL);
    expect_words("*-1\r\n", 0, NULL);
}

Test(wire_resp, lines_are_cut_as_redis_cuts_them)
{
    expect_words("PING\r\n", WORDS("PING"));
    expect_words("  SET  a\tb \n", WORDS("SET", "a", "b"));
    expect_words("\r\n", 0, NULL);
    expect_words("SET \"a b\" 'it\\'s' \"\\x41\\n\\q\\\"\"\r\n",
                 WORDS("SET", "a b", "it's", "A\nq\""));
    expect_words("ECHO ''\r\n", WORDS("ECHO", ""));
    static const char *const unbalanced[] = {"SET \"a\r\n", "SET 'a\r\n", "SET \"a\"b\r\n",
                                             "SET 'a'b\r\n"};
    for (size_t i = 0; i < ARRAY_SIZE(unbalanced); i++) {
        struct resp_command command;
        cr_assert_eq(resp_decode(slice_string(unbalanced[i]), &arena, &command), ERR_CORRUPT, "%s",
                     unbalanced[i]);
    }
}

Test(wire_resp, what_is_wrong_is_said_in_redis_words)
{
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        {"*x\r\n", "Protocol error: invalid multibulk length"},
        {"*\r\n", "Protocol error: invalid multibulk length"},
        {"*20000000\r\n", "Protocol error: invalid multibulk length"},
        {"*99999999999999999999\r\n", "Protocol error: invalid multibulk length"},
        {"*1\r\nfoo\r\n", "Protocol error: expected '$', got 'f'"},
        {"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", "Protocol error: expected '$', got 'f'"},
        {"*1\r\n\x01\r\n", "Protocol error: expected '$', got ' '"},
        {"*1\r\n$blabla\r\n", "Protocol error: invalid bulk length"},
        {"*1\r\n$-10\r\n", "Protocol error: invalid bulk length"},
        {"*1\r\n$2000000000\r\n", "Protocol error: invalid bulk length"},
        {"*3\r\n$16777216\r\n", NULL}, /* Allowed, and none of it has come. */
        {"*1\r\n$1\r\nabc", "Protocol error: expected a line's end after a bulk"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct resp_scan scan = {0};
        int error;
        cr_assert_eq(scan_slowly(cases[i].text, strlen(cases[i].text), &scan, &error), 0);
        cr_assert_eq(error, cases[i].sentence == NULL ? 0 : ERR_CORRUPT, "%s", cases[i].text);
        if (cases[i].sentence != NULL)
            cr_assert_str_eq(scan.error, cases[i].sentence);
    }
}

/* Lines without an end, and commands that never stop, are refused at a bound. */
static void expect_bound(const char *start, const char *repeat, size_t most, const char *sentence)
{
    struct buf text = {0};
    struct resp_scan scan = {0};
    size_t more = 1;
    int error = 0;
    buf_append(&text, slice_string(start));
    while (error == 0 && text.size <= most) {
        for (int i = 0; i < 1000; i++)
            buf_append(&text, slice_string(repeat));
        error = resp_scan(&scan, buf_slice(&text), &more);
        cr_assert_gt(more, 0);
    }
    cr_assert_eq(error, ERR_CORRUPT, "%s is never refused", start);
    cr_assert_str_eq(scan.error, sentence);
    buf_done(&text);
}

Test(wire_resp, endless_lines_are_refused)
{
    size_t most = RESP_INLINE_MAX + 10000;
    expect_bound("x", "x", most, "Protocol error: too big inline request");
    expect_bound("*1", "0", most, "Protocol error: too big mbulk count string");
    expect_bound("*1\r\n$1", "0", most, "Protocol error: too big bulk count string");
}

Test(wire_resp, large_commands_are_refused)
{
    struct buf text = {0};
    struct resp_scan scan = {0};
    size_t more;
    resp_array(3, &text);
    for (int i = 0; i < 2; i++) {
        buf_append(&text, slice_string("$12582912\r\n"));
        memset(buf_reserve(&text, 12582914), 'x', 12582912);
        text.size += 12582912;
        buf_append(&text, slice_string("\r\n"));
    }
    cr_assert_eq(resp_scan(&scan, buf_slice(&text), &more), ERR_CORRUPT);
    cr_assert_str_eq(scan.error, "Protocol error: too big command");
    buf_done(&text);
}

Test(wire_resp, a_pipeline_is_taken_command_by_command)
{
    static const char text[] = "*1\r\n$4\r\nPING\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n";
    static const uint32_t counts[] = {1, 1, 2};
    size_t at = 0, more;
    for (int i = 0; i < 3; i++) {
        struct resp_scan scan = {0};
        cr_assert_eq(resp_scan(&scan, slice_of(text + at, sizeof text - 1 - at), &more), 0);
        cr_assert_eq(more, 0);
        cr_assert_eq(words_of(text + at, scan.at).count, counts[i]);
        at += scan.at;
    }
    cr_assert_eq(at, sizeof text - 1);
}

Test(wire_resp, numbers)
{
    static const struct {
        const char *text;
        bool good;
        int64_t number;
    } cases[] = {
        {"0", true, 0},
        {"-1", true, -1},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"007", false, 0},
        {"-0", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1x", false, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int64_t number = 0;
        cr_assert_eq(resp_number(slice_string(cases[i].text), &number), cases[i].good, "%s",
                     cases[i].text);
        cr_assert_eq(number, cases[i].number);
    }
}

Test(wire_resp, globs)
{
    static const struct {
        const char *pattern, *text;
        bool match;
    } cases[] = {
        {"*", "", true},
        {"*", "abc", true},
        {"", "", true},
        {"", "a", false},
        {"a*c", "abbc", true},
        {"a*c", "abcd", false},
        {"a?c", "abc", true},
        {"a?c", "ac", false},
        {"[a-c]x", "bx", true},
        {"[a-c]x", "dx", false},
        {"[^a-c]x", "dx", true},
        {"[c-a]x", "bx", true},
        {"\\*", "*", true},
        {"\\*", "a", false},
        {"[\\]]", "]", true},
        {"[a", "a", true},
        {"a\\", "a\\", true},
        {"*ab*cd*", "xxabyycdzz", true},
        {"*ab*cd", "abcdx", false},
        {"h*llo", "hello", true},
        {"A", "a", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        cr_assert_eq(resp_match(slice_string(cases[i].pattern), slice_string(cases[i].text), false),
                     cases[i].match, "%s %s", cases[i].pattern, cases[i].text);
    cr_assert(resp_match(slice_string("MAX*"), slice_string("maxmemory"), true));
}

/* The classic bomb takes years where every star is tried with every other. */
Test(wire_resp, globs_of_many_stars_end, .timeout = 10)
{
    char pattern[401], text[2001];
    for (int i = 0; i < 400; i++)
        pattern[i] = i % 2 == 0 ? 'a' : '*';
    pattern[400] = '\0';
    memset(text, 'a', 2000);
    text[2000] = '\0';
    pattern[399] = 'b';
    cr_assert_not(resp_match(slice_string(pattern), slice_string(text), false));
}

static void expect_written(struct buf *out, const char *text)
{
    cr_assert(slice_equal(buf_slice(out), slice_string(text)), "%.*s", (int)out->size,
              (const char *)out->data);
    buf_clear(out);
}

Test(wire_resp, replies_of_both_protocols)
{
    struct buf out = {0};
    resp_status("OK", &out);
    expect_written(&out, "+OK\r\n");
    resp_error("ERR", slice_string("two\r\nlines"), &out);
    expect_written(&out, "-ERR two  lines\r\n");
    resp_integer(INT64_MIN, &out);
    expect_written(&out, ":-9223372036854775808\r\n");
    resp_text("", &out);
    expect_written(&out, "$0\r\n\r\n");
    resp_null(RESP2, &out);
    resp_null(RESP3, &out);
    expect_written(&out, "$-1\r\n_\r\n");
    resp_null_array(RESP2, &out);
    resp_null_array(RESP3, &out);
    expect_written(&out, "*-1\r\n_\r\n");
    resp_map(2, RESP2, &out);
    resp_map(2, RESP3, &out);
    expect_written(&out, "*4\r\n%2\r\n");
    resp_verbatim(slice_string("hi"), RESP2, &out);
    resp_verbatim(slice_string("hi"), RESP3, &out);
    expect_written(&out, "$2\r\nhi\r\n=6\r\ntxt:hi\r\n");
    buf_done(&out);
}
