/* msgpack-c is the reference: what we write it must read, what it writes we must read. */
#include "base/error.h"
#include "base/prng.h"
#include "wire/mp.h"

#include <criterion/criterion.h>
#include <msgpack.h>

static const struct mp_limits limits = {.depth_max = 8, .elements_max = 10000, .size_max = 1 << 20};

/* A number that lies near the borders between encodings as often as not. */
static uint64_t number_of(struct prng *prng)
{
    uint64_t number = prng_next(prng) >> prng_below(prng, 64);
    return prng_below(prng, 2) == 0 ? number
                                    : ((uint64_t)1 << prng_below(prng, 64)) - prng_below(prng, 2);
}

static struct slice text_of(struct prng *prng)
{
    static char text[70000];
    static const uint32_t sizes[] = {0, 1, 31, 32, 255, 256, 65535, 65536};
    size_t size = prng_below(prng, 4) == 0 ? sizes[prng_below(prng, 8)] : prng_below(prng, 40);
    memset(text, 'a' + (int)prng_below(prng, 26), size);
    return slice_of(text, size);
}

/* Write one random value with both encoders. */
static void write_both(struct prng *prng, uint32_t depth, struct buf *ours, msgpack_packer *theirs)
{
    uint64_t number = number_of(prng);
    struct slice text;
    switch (prng_below(prng, depth < 6 ? 9 : 7)) {
    case 0:
        mp_write_nil(ours);
        msgpack_pack_nil(theirs);
        break;
    case 1:
        mp_write_bool(ours, number & 1);
        (number & 1) ? msgpack_pack_true(theirs) : msgpack_pack_false(theirs);
        break;
    case 2:
        mp_write_uint(ours, number);
        msgpack_pack_uint64(theirs, number);
        break;
    case 3:
        mp_write_int(ours, (int64_t)(0 - number));
        msgpack_pack_int64(theirs, (int64_t)(0 - number));
        break;
    case 4:
        mp_write_double(ours, (double)number / 3);
        msgpack_pack_double(theirs, (double)number / 3);
        break;
    case 5:
        text = text_of(prng);
        mp_write_string(ours, text);
        msgpack_pack_str_with_body(theirs, text.data, text.size);
        break;
    case 6:
        text = text_of(prng);
        mp_write_binary(ours, text);
        msgpack_pack_bin_with_body(theirs, text.data, text.size);
        break;
    case 7: {
        uint32_t count = (uint32_t)prng_below(prng, 20);
        mp_write_array(ours, count);
        msgpack_pack_array(theirs, count);
        while (count-- > 0)
            write_both(prng, depth + 1 + (prng_below(prng, 2) ? 0 : 3), ours, theirs);
        break;
    }
    default: {
        uint32_t pairs = (uint32_t)prng_below(prng, 18);
        mp_write_map(ours, pairs);
        msgpack_pack_map(theirs, pairs);
        while (pairs-- > 0) {
            mp_write_text(ours, "key");
            msgpack_pack_str_with_body(theirs, "key", 3);
            write_both(prng, depth + 1 + (prng_below(prng, 2) ? 0 : 3), ours, theirs);
        }
    }
    }
}

/* Does our cursor read what their decoder read? */
static void compare(struct mp_reader *reader, const msgpack_object *object)
{
    uint32_t count;
    struct slice bytes;
    int8_t type;
    switch (object->type) {
    case MSGPACK_OBJECT_NIL:
        cr_assert(mp_take_nil(reader));
        break;
    case MSGPACK_OBJECT_BOOLEAN:
        cr_assert_eq(mp_peek(reader), MP_BOOL);
        cr_assert_eq(mp_read_bool(reader), object->via.boolean);
        break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        cr_assert_eq(mp_peek(reader), MP_UINT);
        cr_assert_eq(mp_read_uint(reader), object->via.u64);
        break;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        cr_assert_eq(mp_peek(reader), MP_INT);
        cr_assert_eq(mp_read_int(reader), object->via.i64);
        break;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64: {
        double value = mp_read_double(reader);
        cr_assert(memcmp(&value, &object->via.f64, sizeof value) == 0 ||
                  (value != value && object->via.f64 != object->via.f64));
        break;
    }
    case MSGPACK_OBJECT_STR:
    case MSGPACK_OBJECT_BIN:
        cr_assert_eq(mp_peek(reader), object->type == MSGPACK_OBJECT_STR ? MP_STRING : MP_BINARY);
        bytes = mp_read_bytes(reader);
        cr_assert(slice_equal(bytes, slice_of(object->via.bin.ptr, object->via.bin.size)));
        break;
    case MSGPACK_OBJECT_EXT:
        bytes = mp_read_extension(reader, &type);
        cr_assert_eq(type, object->via.ext.type);
        cr_assert(slice_equal(bytes, slice_of(object->via.ext.ptr, object->via.ext.size)));
        break;
    case MSGPACK_OBJECT_ARRAY:
        count = mp_read_array(reader);
        cr_assert_eq(count, object->via.array.size);
        for (uint32_t i = 0; i < count; i++)
            compare(reader, &object->via.array.ptr[i]);
        break;
    case MSGPACK_OBJECT_MAP:
        count = mp_read_map(reader);
        cr_assert_eq(count, object->via.map.size);
        for (uint32_t i = 0; i < count; i++) {
            compare(reader, &object->via.map.ptr[i].key);
            compare(reader, &object->via.map.ptr[i].val);
        }
        break;
    }
    cr_assert_not(reader->bad);
}

/* Scan in random portions; the promise of `more` must hold, and nothing may be said too early. */
static void scan_in_portions(struct prng *prng, struct slice bytes, uint64_t seed)
{
    struct mp_scan scan = {.limits = limits};
    size_t have = 0, more;
    for (;;) {
        cr_assert_eq(mp_scan(&scan, slice_of(bytes.data, have), &more), 0, "seed %lu", seed);
        if (more == 0)
            break;
        cr_assert_leq(have + more, bytes.size, "seed %lu: %zu + %zu", seed, have, more);
        have += 1 + prng_below(prng, more);
    }
    cr_assert_eq(have, bytes.size, "seed %lu", seed);
    cr_assert_eq(scan.at, bytes.size, "seed %lu", seed);
}

Test(mp, agrees_with_msgpack_c)
{
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        struct buf ours = {0};
        msgpack_sbuffer theirs;
        msgpack_packer packer;
        msgpack_sbuffer_init(&theirs);
        msgpack_packer_init(&packer, &theirs, msgpack_sbuffer_write);
        write_both(&prng, 0, &ours, &packer);
        cr_assert(slice_equal(buf_slice(&ours), slice_of(theirs.data, theirs.size)),
                  "seed %lu: the encoders differ", seed);

        msgpack_unpacked unpacked;
        msgpack_unpacked_init(&unpacked);
        cr_assert_eq(msgpack_unpack_next(&unpacked, (const char *)ours.data, ours.size, NULL),
                     MSGPACK_UNPACK_SUCCESS);
        struct mp_reader reader = mp_reader_of(buf_slice(&ours));
        compare(&reader, &unpacked.data);
        cr_assert(mp_finished(&reader), "seed %lu", seed);
        reader = mp_reader_of(buf_slice(&ours));
        cr_assert_eq(mp_skip(&reader).size, ours.size);
        if (ours.size < 20000)
            scan_in_portions(&prng, buf_slice(&ours), seed);
        msgpack_unpacked_destroy(&unpacked);
        msgpack_sbuffer_destroy(&theirs);
        buf_done(&ours);
    }
}

/* Random bytes: both must agree on what is a value, and on where it ends. */
Test(mp, agrees_with_msgpack_c_on_random_bytes)
{
    uint32_t values = 0;
    for (uint64_t seed = 1; seed <= 30000; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        uint8_t bytes[24];
        for (size_t i = 0; i < sizeof bytes; i++) {
            /* Mostly first bytes of the longer forms; short numbers else. */
            bytes[i] = (uint8_t)(prng_below(&prng, 3) == 0 ? 0x90 + prng_below(&prng, 0x50)
                                                           : prng_below(&prng, 8));
        }
        struct mp_reader reader = mp_reader_of(slice_of(bytes, sizeof bytes));
        struct slice value = mp_skip(&reader);
        struct mp_scan scan = {.limits = limits};
        size_t more;
        int status = mp_scan(&scan, slice_of(bytes, sizeof bytes), &more);
        if (status == ERR_TOO_LARGE)
            continue;
        cr_assert_eq(!reader.bad, status == 0 && more == 0, "seed %lu", seed);
        if (reader.bad)
            continue;
        values++;
        cr_assert_eq(scan.at, value.size, "seed %lu", seed);
        msgpack_unpacked unpacked;
        msgpack_unpacked_init(&unpacked);
        size_t end = 0;
        cr_assert_eq(msgpack_unpack_next(&unpacked, (const char *)bytes, sizeof bytes, &end),
                     MSGPACK_UNPACK_SUCCESS, "seed %lu", seed);
        cr_assert_eq(end, value.size, "seed %lu", seed);
        reader = mp_reader_of(value);
        compare(&reader, &unpacked.data);
        msgpack_unpacked_destroy(&unpacked);
    }
    cr_assert_gt(values, 5000);
}

static int scan_of(const char *bytes, size_t size, struct mp_limits bound)
{
    struct mp_scan scan = {.limits = bound};
    size_t more;
    return mp_scan(&scan, slice_of(bytes, size), &more);
}

Test(mp, scan_refuses_what_passes_a_limit_from_its_header_alone)
{
    cr_assert_eq(scan_of("\xdd\x10\x00\x00\x00", 5, limits), ERR_TOO_LARGE);
    cr_assert_eq(scan_of("\xdf\xff\xff\xff\xff", 5, limits), ERR_TOO_LARGE);
    cr_assert_eq(scan_of("\xdb\xff\xff\xff\xff", 5, limits), ERR_TOO_LARGE);
    cr_assert_eq(scan_of("\xc6\x00\x10\x00\x00", 5, limits), ERR_TOO_LARGE);
    cr_assert_eq(scan_of("\xc6\x00\x0f\xff\xfb", 5, limits), 0);
    cr_assert_eq(scan_of("\xc6\x00\x0f\xff\xfc", 5, limits), ERR_TOO_LARGE);
    cr_assert_eq(scan_of("\xdc\x27\x0f", 3, limits), 0);
    cr_assert_eq(scan_of("\xdc\x27\x10", 3, limits), ERR_TOO_LARGE);
    cr_assert_eq(scan_of("\x91\x91\x91\x91\x91\x91\x91\x90", 8, limits), 0);
    cr_assert_eq(scan_of("\x91\x91\x91\x91\x91\x91\x91\x91\x90", 9, limits), ERR_TOO_LARGE);
    /* The depth of containers that have ended does not count. */
    cr_assert_eq(
        scan_of("\x92\x91\x91\x91\x91\x91\x91\x01\x91\x91\x91\x91\x91\x91\x02", 15, limits), 0);
}

Test(mp, scan_finds_the_one_byte_that_never_was_messagepack)
{
    cr_assert_eq(scan_of("\xc1", 1, limits), ERR_CORRUPT);
    cr_assert_eq(scan_of("\x92\x01\xc1", 3, limits), ERR_CORRUPT);
}

Test(mp, cursor_refuses_the_wrong_type_and_stays_bad)
{
    struct mp_reader reader = mp_reader_of(slice_of("\x92\xa1\x61\x05", 4));
    cr_assert_eq(mp_read_array(&reader), 2);
    cr_assert_eq(mp_read_uint(&reader), 0);
    cr_assert(reader.bad);
    cr_assert_eq(mp_read_bytes(&reader).size, 0);
    cr_assert_eq(mp_peek(&reader), MP_END);
    cr_assert_not(mp_finished(&reader));
}

Test(mp, cursor_never_promises_more_values_than_bytes)
{
    struct mp_reader reader = mp_reader_of(slice_of("\xdd\x10\x00\x00\x00\x01", 6));
    cr_assert_eq(mp_read_array(&reader), 0);
    cr_assert(reader.bad);
    reader = mp_reader_of(slice_of("\x82\x01\x01\x01", 4));
    cr_assert_eq(mp_read_map(&reader), 0);
    cr_assert(reader.bad);
}

Test(mp, integers_past_a_signed_one_are_refused_as_such)
{
    struct buf buf = {0};
    mp_write_uint(&buf, (uint64_t)INT64_MAX + 1);
    struct mp_reader reader = mp_reader_of(buf_slice(&buf));
    mp_read_int(&reader);
    cr_assert(reader.bad);
    buf_done(&buf);
}
