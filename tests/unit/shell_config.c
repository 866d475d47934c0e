/* Options from the command line and the file: what is accepted, what wins, what is refused. */
#include "shell/config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct config config;
static char error_text[1024];
static char file_name[64];

static int read_options(const char *const *arguments)
{
    struct buf error = {0};
    int count = 0;
    while (arguments[count] != NULL)
        count++;
    int result = config_read(count, (char *const *)arguments, &config, &error);
    snprintf(error_text, sizeof error_text, "%.*s", (int)error.size, (const char *)error.data);
    buf_done(&error);
    return result;
}

#define READ(...) read_options((const char *const[]){__VA_ARGS__, NULL})

/* Options from a file of this content. */
static int read_file(const char *content)
{
    strcpy(file_name, "/tmp/kvring-config-XXXXXX");
    int fd = mkstemp(file_name);
    cr_assert_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    close(fd);
    int result = READ("--data", "/d", "--config", file_name);
    unlink(file_name);
    return result;
}

static void expect_refused(int result, const char *words)
{
    cr_assert_lt(result, 0, "accepted what should say: %s", words);
    cr_assert_not_null(strstr(error_text, words), "`%s` does not say `%s`", error_text, words);
}

TestSuite(config, .fini = NULL);

Test(config, defaults)
{
    cr_assert_eq(READ("--data", "/d"), 0, "%s", error_text);
    cr_assert_str_eq(config.data, "/d");
    cr_assert_str_eq(config.peer, "127.0.0.1:7400");
    cr_assert_str_eq(config.client, "127.0.0.1:7379");
    cr_assert_str_eq(config.http, "127.0.0.1:7380");
    cr_assert_null(config.name);
    cr_assert_eq(config.ranges, 1024);
    cr_assert_eq(config.copies, 3);
    cr_assert_eq(config.capacity, 100);
    cr_assert_eq(config.memory_bytes, 256u << 20);
    cr_assert_eq(config.drain_timeout_ms, 10000);
    cr_assert_eq(config.collect_interval_ms, 60000);
    cr_assert_not(config.create);
    config_done(&config);
}

Test(config, command_line_wins_over_file_wins_over_default)
{
    strcpy(file_name, "/tmp/kvring-config-XXXXXX");
    int fd = mkstemp(file_name);
    const char content[] = "# a node\n[node]\nname = from-file\nzone = z1\n[log]\nlevel = debug\n"
                           "[store]\nmemory = 64M\n[cluster]\nseed = a:1\nseed = b:2\n";
    cr_assert_eq(write(fd, content, sizeof content - 1), sizeof content - 1);
    close(fd);
    cr_assert_eq(READ("--data", "/d", "--name", "given", "--config", file_name), 0, "%s",
                 error_text);
    unlink(file_name);
    cr_assert_str_eq(config.name, "given");
    cr_assert_str_eq(config.zone, "z1");
    cr_assert_eq(config.log_level, LEVEL_DEBUG);
    cr_assert_eq(config.memory_bytes, 64u << 20);
    cr_assert_eq(config.seeds_count, 2);
    cr_assert_str_eq(config.seeds[1], "b:2");
    config_done(&config);
}

Test(config, the_file_is_refused_by_line)
{
    expect_refused(read_file("[node]\nname = a\nnmae = b\n"),
                   ":3: unknown key `nmae` in section [node]");
    expect_refused(read_file("[nodes]\nname = a\n"), ":2: unknown section [nodes]");
    expect_refused(read_file("[node]\nname = a\nname = b\n"), ":3: `name` is given twice");
    expect_refused(read_file("[node]\nwhat is this\n"), ":2: neither [section] nor key = value");
    expect_refused(read_file("\n[limits]\nmax_clients = many\n"), ":3: max-clients: `many` is not");
    expect_refused(read_file("[node]\nwhat is this\n[nodes]\na = b\n"), ":2: neither");
    char longest[400];
    snprintf(longest, sizeof longest, "[node]\nname = %0300d\n", 1);
    expect_refused(read_file(longest), ":2: the line is longer than");
    expect_refused(READ("--data", "/d", "--config", "/nowhere/at/all"), "/nowhere/at/all");
}

Test(config, arguments_are_refused)
{
    expect_refused(READ("--create"), "--data DIR is missing");
    expect_refused(READ("--data", "/d", "--dta", "x"), "unknown option `--dta`");
    expect_refused(READ("--data"), "needs a value");
    expect_refused(READ("--data", "/d", "extra"), "unexpected argument `extra`");
    expect_refused(READ("--data", "/d", "--create", "--seed", "a:1"), "one of them");
    expect_refused(READ("--data", "/d", "--ranges", "1000"), "not a power of two");
    expect_refused(READ("--data", "/d", "--ranges", "32"), "from 64 to 65536");
    expect_refused(READ("--data", "/d", "--copies", "8"), "from 1 to 7");
    expect_refused(READ("--data", "/d", "--copies", "-1"), "from 1 to 7");
    expect_refused(READ("--data", "/d", "--name", "two words"), "space");
    expect_refused(READ("--data", "/d", "--collect-interval", "99ms"), "at least 100");
    expect_refused(READ("--data", "/d", "--log-level", "loud"), "debug, info, warning, error");
    expect_refused(READ("--data", "/d", "--seed", "a:b"), "not HOST:PORT");
    expect_refused(READ("--data", "/d", "--peer", "h:70000"), "not HOST:PORT");
}

Test(config, beyond_loopback_only_by_word)
{
    expect_refused(READ("--data", "/d", "--listen", "10.0.0.1:7379"), "--insecure");
    expect_refused(READ("--data", "/d", "--http", "example.org:1"), "--insecure");
    expect_refused(READ("--data", "/d", "--insecure", "--peer", "0.0.0.0:7400"), "--advertise");
    expect_refused(READ("--data", "/d", "--insecure", "--peer", "[::]:7400"), "--advertise");
    cr_assert_eq(READ("--data", "/d", "--peer", "[::1]:7400", "--listen", "localhost"), 0);
    config_done(&config);
    cr_assert_eq(READ("--data", "/d", "--insecure", "--peer", "0.0.0.0:7400", "--advertise",
                      "db1.example.org"),
                 0, "%s", error_text);
    config_done(&config);
}

Test(config, sizes_and_durations)
{
    uint64_t number = 0;
    cr_assert_eq(config_parse_size("4096", &number), 0);
    cr_assert_eq(number, 4096);
    cr_assert_eq(config_parse_size("3GiB", &number), 0);
    cr_assert_eq(number, UINT64_C(3) << 30);
    cr_assert_eq(config_parse_size("2T", &number), 0);
    cr_assert_eq(number, UINT64_C(2) << 40);
    const char *const bad_sizes[] = {"", "x", "1X", "1Mi", "-1", "1.5G", "99999999999T", " 1"};
    for (size_t i = 0; i < ARRAY_SIZE(bad_sizes); i++)
        cr_assert_lt(config_parse_size(bad_sizes[i], &number), 0, "%s", bad_sizes[i]);
    cr_assert_eq(config_parse_duration("250", &number), 0);
    cr_assert_eq(number, 250);
    cr_assert_eq(config_parse_duration("3s", &number), 0);
    cr_assert_eq(number, 3000);
    cr_assert_eq(config_parse_duration("2m", &number), 0);
    cr_assert_eq(number, 120000);
    cr_assert_eq(config_parse_duration("2h", &number), 0);
    cr_assert_eq(number, 7200000u);
    cr_assert_eq(config_parse_duration("7d", &number), 0);
    cr_assert_eq(number, 604800000u);
    cr_assert_lt(config_parse_duration("2w", &number), 0);
}

Test(config, help_names_every_option_of_the_design)
{
    static const char *const options[] = {"--data",     "--config",     "--name",      "--zone",
                                          "--create",   "--cluster",    "--seed",      "--peer",
                                          "--listen",   "--http",       "--advertise", "--insecure",
                                          "--ranges",   "--copies",     "--capacity",  "--memory",
                                          "--map-size", "--log-format", "--log-level"};
    struct buf help = {0};
    config_help(&help);
    buf_append_byte(&help, '\0');
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        cr_assert_not_null(strstr((char *)help.data, options[i]), "%s", options[i]);
    buf_done(&help);
}
