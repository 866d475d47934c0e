/* What the tools print and read back: UTF-8, base64, hex, JSON of MessagePack, tables, amounts. */
#include "cli/command.h"
#include "cli/json.h"
#include "cli/table.h"
#include "wire/mp.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static bool utf8(const char *text)
{
    return is_utf8(slice_string(text));
}

Test(text, utf8_is_told_from_other_bytes)
{
    cr_assert(utf8(""));
    cr_assert(utf8("plain"));
    cr_assert(utf8("gr\xc3\xbc\xc3\x9f"));
    cr_assert(utf8("\xe2\x82\xac \xf0\x9f\x98\x80"));
    cr_assert_not(utf8("\xc3"));
    cr_assert_not(utf8("\xc0\xaf"));         /* Overlong. */
    cr_assert_not(utf8("\xed\xa0\x80"));     /* A surrogate. */
    cr_assert_not(utf8("\xf4\x90\x80\x80")); /* Beyond U+10FFFF. */
    cr_assert_not(utf8("\xff"));
}

Test(text, base64_is_that_of_rfc_4648)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        struct buf out = {0};
        base64_encode(slice_string(pairs[i][0]), &out);
        cr_assert(slice_equal(buf_slice(&out), slice_string(pairs[i][1])));
        buf_clear(&out);
        cr_assert_eq(base64_decode(slice_string(pairs[i][1]), &out), 0);
        cr_assert(slice_equal(buf_slice(&out), slice_string(pairs[i][0])));
        buf_done(&out);
    }
}

Test(text, wrong_base64_and_hex_are_refused)
{
    struct buf out = {0};
    cr_assert_neq(base64_decode(slice_string("Zg=a"), &out), 0);
    cr_assert_neq(base64_decode(slice_string("Z"), &out), 0);
    cr_assert_neq(base64_decode(slice_string("Zh=="), &out), 0);
    cr_assert_neq(base64_decode(slice_string("Z g="), &out), 0);
    cr_assert_neq(hex_decode(slice_string("abc"), &out), 0);
    cr_assert_neq(hex_decode(slice_string("ag"), &out), 0);
    buf_clear(&out);
    cr_assert_eq(hex_decode(slice_string("00fFa1"), &out), 0);
    cr_assert(slice_equal(buf_slice(&out), slice_of("\x00\xff\xa1", 3)));
    buf_done(&out);
}

Test(json, msgpack_comes_back_as_it_was)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "null",
        "true",
        "0",
        "-1",
        "-9223372036854775808",
        "9223372036854775807",
        "1.5",
        "\"gr\\u00fc\\u00df\"",
        "{\"a\":[1,{\"b\":null}],\"c\":{\"base64\":\"/wA=\"}}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct buf bytes = {0};
        json_t *value = json_loads(texts[i], JSON_DECODE_ANY, NULL);
        cr_assert_not_null(value, "%s", texts[i]);
        json_to_msgpack(value, &bytes);
        json_t *back = json_of_msgpack(buf_slice(&bytes));
        cr_assert_not_null(back, "%s", texts[i]);
        cr_assert(json_equal(value, back), "%s", texts[i]);
        /* One byte less is never a value. */
        cr_assert_null(json_of_msgpack(slice_of(bytes.data, bytes.size - 1)), "%s", texts[i]);
        json_decref(value);
        json_decref(back);
        buf_done(&bytes);
    }
}

Test(json, what_json_does_not_have_is_refused_or_written_down)
{
    struct buf bytes = {0};
    mp_write_uint(&bytes, UINT64_MAX);
    json_t *value = json_of_msgpack(buf_slice(&bytes));
    cr_assert_str_eq(json_string_value(value), "18446744073709551615");
    json_decref(value);
    buf_clear(&bytes);
    mp_write_map(&bytes, 1);
    mp_write_uint(&bytes, 1);
    mp_write_uint(&bytes, 2);
    cr_assert_null(json_of_msgpack(buf_slice(&bytes)));
    buf_clear(&bytes);
    for (int i = 0; i < 100; i++) {
        mp_write_array(&bytes, 1);
    }
    mp_write_nil(&bytes);
    cr_assert_null(json_of_msgpack(buf_slice(&bytes)));
    buf_done(&bytes);
}

Test(table, columns_are_as_wide_as_their_widest_cell)
{
    struct table table;
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    table_init(&table, "lr");
    table_cell(&table, "NODE");
    table_cell(&table, "SLOTS");
    table_cell(&table, "gr\xc3\xbcn-1");
    table_cell(&table, "%d", 7);
    table_print(&table, file);
    fclose(file);
    cr_assert_str_eq(text, "NODE    SLOTS\ngr\xc3\xbcn-1      7\n");
    free(text);
    table_done(&table);
}

Test(table, amounts_are_short)
{
    static const struct {
        uint64_t value;
        const char *bytes;
        const char *duration;
    } rows[] = {{0, "0 B", "0 ms"},
                {999, "999 B", "999 ms"},
                {1536, "1.5 KB", "1 s"},
                {52428800, "50 MB", "14 h"},
                {UINT64_MAX, "16 EB", "213503982334 d"}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[32];
        format_bytes(rows[i].value, text, sizeof(text));
        cr_assert_str_eq(text, rows[i].bytes);
        format_duration_ms(rows[i].value, text, sizeof(text));
        cr_assert_str_eq(text, rows[i].duration);
    }
    char text[32];
    format_count(8123, text, sizeof(text));
    cr_assert_str_eq(text, "8.1k");
}

/* ------------------------------------------------------------------------------ Options. */

static uint64_t size_seen;
static uint64_t time_seen;
static uint8_t needed_seen;
static int arguments_seen;

static int run_probe(struct cli *cli)
{
    arguments_seen = cli->arguments_count;
    int exit_code = cli_size(cli, "size", &size_seen);
    exit_code = exit_code != 0 ? exit_code : cli_duration_ms(cli, "time", &time_seen);
    return exit_code != 0 ? exit_code : cli_consistency(cli, "w", &needed_seen);
}

static const struct cli_option probe_options[] = {
    {"size", 's', "SIZE", ""}, {"time", 0, "TIME", ""}, {"w", 'w', "N", ""}, {NULL, 0, NULL, NULL}};
static const struct cli_command probe_commands[] = {
    {"probe", "[A]", "probe", NULL, probe_options, 0, 1, run_probe},
    {"probe twice", "A B", "probe", NULL, probe_options, 2, 2, run_probe},
    {NULL, NULL, NULL, NULL, NULL, 0, 0, NULL}};
static const struct cli_program probe = {
    .name = "probe", .summary = "probe", .commands = probe_commands};

static int run(const char *line)
{
    char copy[200];
    char *words[16] = {NULL};
    int count = 0;
    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " ")) {
        words[count++] = word;
    }
    return cli_main(&probe, count, words);
}

Test(options, are_read_wherever_they_stand)
{
    cr_assert_eq(run("probe probe x --size 64K --time=1.5h -w quorum"), 0);
    cr_assert_eq(size_seen, 65536);
    cr_assert_eq(time_seen, 5400000);
    cr_assert_eq(needed_seen, KVR_QUORUM);
    cr_assert_eq(arguments_seen, 1);
    cr_assert_eq(run("probe --json probe -s 10MB -w 3"), 0);
    cr_assert_eq(size_seen, 10 << 20);
    cr_assert_eq(needed_seen, 3);
    cr_assert_eq(run("probe probe twice --time 30 -- --size -w"), 0);
    cr_assert_eq(arguments_seen, 2);
    cr_assert_eq(time_seen, 30000);
}

Test(options, what_is_not_understood_is_exit_2)
{
    static const char *const lines[] = {
        "probe",
        "probe prob",
        "probe probe a b",
        "probe probe twice a",
        "probe probe --sizes 1",
        "probe probe --size",
        "probe probe --size 1X",
        "probe probe --size -1",
        "probe probe --time 5parsecs",
        "probe probe -w 8",
        "probe probe -w most",
        "probe probe --deadline 0",
        "probe probe --deadline 61s",
        "probe -z probe",
    };
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        cr_assert_eq(run(lines[i]), 2, "%s", lines[i]);
    }
}

Test(options, help_and_version_are_no_errors)
{
    cr_assert_eq(run("probe --help"), 0);
    cr_assert_eq(run("probe --version"), 0);
    cr_assert_eq(run("probe probe twice --help"), 0);
}
