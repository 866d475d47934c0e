/* Addresses as people write them. */
#include "shell/address.h"

#include <criterion/criterion.h>

Test(address, good_ones)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
    } table[] = {
        {"127.0.0.1:7400", "127.0.0.1", 7400},
        {"db1.example.org:1", "db1.example.org", 1},
        {"localhost", "localhost", 9},
        {"[::1]:80", "::1", 80},
        {"[fe80::1%eth0]", "fe80::1%eth0", 9},
        {"h:0", "h", 0},
        {"h:65535", "h", 65535},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct address address;
        cr_assert_eq(address_parse(slice_string(table[i].text), 9, &address), 0, "%s",
                     table[i].text);
        cr_assert_str_eq(address.host, table[i].host);
        cr_assert_eq(address.port, table[i].port);
    }
}

Test(address, bad_ones)
{
    static const char *const table[] = {"",     ":1",     "h:",    "h:65536", "h:-1",
                                        "h:1x", "a b",    "::1:2", "[::1",    "[::1]x",
                                        "[]:1", "[::1]:", "h/:1",  "[h",      "h:000001"};
    struct address address;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        cr_assert_lt(address_parse(slice_string(table[i]), 9, &address), 0, "%s", table[i]);
    cr_assert_lt(address_parse(slice_string("h"), 0, &address), 0);
    char longest[600];
    memset(longest, 'a', sizeof longest);
    cr_assert_lt(address_parse(slice_of(longest, sizeof longest), 9, &address), 0);
}

Test(address, scopes)
{
    cr_assert_eq(address_scope("127.3.2.1"), SCOPE_LOOPBACK);
    cr_assert_eq(address_scope("localhost"), SCOPE_LOOPBACK);
    cr_assert_eq(address_scope("::1"), SCOPE_LOOPBACK);
    cr_assert_eq(address_scope("0.0.0.0"), SCOPE_WILDCARD);
    cr_assert_eq(address_scope("::"), SCOPE_WILDCARD);
    cr_assert_eq(address_scope("10.0.0.1"), SCOPE_OTHER);
    cr_assert_eq(address_scope("example.org"), SCOPE_OTHER);
}

Test(address, printing_brings_brackets_back)
{
    struct buf out = {0};
    address_append("::1", 80, &out);
    buf_append_byte(&out, ' ');
    address_append("h", 80, &out);
    cr_assert(slice_equal(buf_slice(&out), slice_string("[::1]:80 h:80")));
    buf_done(&out);
}
