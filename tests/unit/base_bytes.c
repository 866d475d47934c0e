#include "base/bytes.h"

#include <criterion/criterion.h>

Test(bytes, values_come_back)
{
    static const uint64_t values[] = {
        0,          1,         127,        128,        16383,
        16384,      0xffff,    0xffffffff, 1ull << 62, (1ull << 63) - 1,
        1ull << 63, UINT64_MAX};
    struct buf buf = {0};
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        write_u8(&buf, (uint8_t)values[i]);
        write_u16(&buf, (uint16_t)values[i]);
        write_u32(&buf, (uint32_t)values[i]);
        write_u64(&buf, values[i]);
        write_varint(&buf, values[i]);
        write_string(&buf, slice_of("0123456789ab", i));
    }
    struct reader reader = reader_of(buf_slice(&buf));
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        cr_assert_eq(read_u8(&reader), (uint8_t)values[i]);
        cr_assert_eq(read_u16(&reader), (uint16_t)values[i]);
        cr_assert_eq(read_u32(&reader), (uint32_t)values[i]);
        cr_assert_eq(read_u64(&reader), values[i]);
        cr_assert_eq(read_varint(&reader), values[i]);
        cr_assert(slice_equal(read_string(&reader), slice_of("0123456789ab", i)));
    }
    cr_assert(reader_finished(&reader));
    buf_done(&buf);
}

Test(bytes, fixed_integers_are_little_endian_but_for_sorting_keys)
{
    struct buf buf = {0};
    write_u32(&buf, 0x01020304);
    cr_assert_arr_eq(buf.data, "\4\3\2\1", 4);
    buf_clear(&buf);
    write_u64_be(&buf, 0x0102030405060708u);
    cr_assert_arr_eq(buf.data, "\1\2\3\4\5\6\7\10", 8);
    cr_assert_eq(load_u64_be(buf.data), 0x0102030405060708u);
    buf_done(&buf);
}

Test(bytes, a_short_read_sets_bad_and_everything_after_is_zero)
{
    struct reader reader = reader_of(slice_of("\1\2\3", 3));
    cr_assert_eq(read_u32(&reader), 0);
    cr_assert(reader.bad);
    cr_assert_eq(read_u8(&reader), 0);
    cr_assert_eq(read_bytes(&reader, 1).size, 0);
    cr_assert_not(reader_finished(&reader));
}

Test(bytes, leftover_bytes_are_not_finished)
{
    struct reader reader = reader_of(slice_of("\1\2", 2));
    cr_assert_eq(read_u8(&reader), 1);
    cr_assert_not(reader_finished(&reader));
    cr_assert_eq(reader_left(&reader), 1);
}

Test(bytes, an_empty_reader_is_finished)
{
    struct reader reader = reader_of(SLICE_NONE);
    cr_assert(reader_finished(&reader));
    cr_assert_eq(read_varint(&reader), 0);
    cr_assert(reader.bad);
}

Test(bytes, varints_that_are_not_shortest_are_refused)
{
    static const char *const texts[] = {
        "\x80\x00",                                 /* Zero in two bytes. */
        "\xff\x80\x00",                             /* A useless last byte. */
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", /* Past 64 bits. */
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        "\x80", /* No end. */
    };
    static const size_t sizes[] = {2, 3, 10, 11, 1};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct reader reader = reader_of(slice_of(texts[i], sizes[i]));
        cr_assert_eq(read_varint(&reader), 0, "text %zu", i);
        cr_assert(reader.bad, "text %zu", i);
    }
}

Test(bytes, a_string_longer_than_what_is_left_is_bad)
{
    struct reader reader = reader_of(slice_of("\5abcd", 5));
    cr_assert_eq(read_string(&reader).size, 0);
    cr_assert(reader.bad);
    struct buf buf = {0};
    write_varint(&buf, UINT64_MAX);
    reader = reader_of(buf_slice(&buf));
    read_string(&reader);
    cr_assert(reader.bad);
    buf_done(&buf);
}
