#include "base/buf.h"

#include <criterion/criterion.h>

Test(buf, appended_bytes_stay_in_order)
{
    struct buf buf = {0};
    for (int i = 0; i < 1000; i++)
        buf_append_byte(&buf, (uint8_t)i);
    buf_append(&buf, slice_string("tail"));
    buf_append(&buf, SLICE_NONE);
    cr_assert_eq(buf.size, 1004);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(buf.data[i], (uint8_t)i);
    cr_assert_arr_eq(buf.data + 1000, "tail", 4);
    buf_done(&buf);
}

Test(buf, reserve_leaves_the_size_alone)
{
    struct buf buf = {0};
    buf_append(&buf, slice_string("ab"));
    memset(buf_reserve(&buf, 100), 'x', 100);
    cr_assert_eq(buf.size, 2);
    cr_assert_geq(buf.capacity, 102);
    cr_assert_not_null(buf_reserve(&buf, 0));
    buf_done(&buf);
}

Test(buf, printf_appends_without_the_zero)
{
    struct buf buf = {0};
    buf_append(&buf, slice_string("n="));
    buf_printf(&buf, "%d %s", 42,
               "and a text that is longer than the smallest capacity of a buffer");
    cr_assert(slice_equal(
        buf_slice(&buf),
        slice_string("n=42 and a text that is longer than the smallest capacity of a buffer")));
    buf_done(&buf);
}

Test(buf, consume_drops_the_front)
{
    struct buf buf = {0};
    buf_append(&buf, slice_string("abcdef"));
    buf_consume(&buf, 2);
    cr_assert(slice_equal(buf_slice(&buf), slice_string("cdef")));
    buf_consume(&buf, 4);
    cr_assert_eq(buf.size, 0);
    buf_consume(&buf, 0);
    buf_clear(&buf);
    cr_assert_eq(buf.size, 0);
    buf_done(&buf);
    cr_assert_null(buf.data);
}
