#include "base/buf.h"
#include "base/checksum.h"
#include "data/id.h"

#include <criterion/criterion.h>

Test(id, text_and_id_match_both_ways)
{
    struct node_id id = {0x0123456789abcdefu, 0xfedcba9876543210u}, parsed;
    char text[NODE_ID_TEXT];
    id_format(id, text);
    cr_assert_str_eq(text, "0123456789abcdeffedcba9876543210");
    cr_assert_eq(id_parse(slice_string(text), &parsed), 0);
    cr_assert(id_equal(id, parsed));
    cr_assert_neq(id_parse(slice_string("0123456789abcdeffedcba987654321"), &parsed), 0);
    cr_assert_neq(id_parse(slice_string("0123456789abcdeffedcba987654321g"), &parsed), 0);
}

Test(id, key_hash_is_the_hash_of_bucket_zero_key_at_any_length)
{
    struct buf key = {0}, joined = {0};
    for (int size = 0; size < 2000; size++) {
        buf_clear(&joined);
        buf_append(&joined, slice_of("bucket\0", 7));
        buf_append(&joined, buf_slice(&key));
        cr_assert_eq(key_hash(99, slice_string("bucket"), buf_slice(&key)),
                     checksum64(buf_slice(&joined), 99), "size %d", size);
        buf_append_byte(&key, (uint8_t)(size * 7));
    }
    buf_done(&key);
    buf_done(&joined);
}

Test(id, actors_differ_by_node_and_tenure)
{
    struct node_id a = {1, 2}, b = {2, 1};
    cr_assert_neq(actor_of(a, 1), actor_of(a, 2));
    cr_assert_neq(actor_of(a, 1), actor_of(b, 1));
}
