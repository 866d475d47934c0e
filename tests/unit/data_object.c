/* The bytes of objects and contexts: layout, bounds, hostile input. Merging as such is tested by
 * data_causality.c. */
#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/prng.h"
#include "data/object.h"
#include "data/vector.h"
#include "object_rig.h"

#include <criterion/criterion.h>

/* The layout of object.h once more, written down independently. */
static void encode(const struct object *object, struct buf *out)
{
    if (object->count == 0)
        return;
    write_u8(out, object->history.size > 0 ? 2 : 1);
    write_varint(out, object->count);
    buf_append(out, object->history);
    for (uint32_t i = 0; i < object->count; i++) {
        const struct sibling *sibling = &object->siblings[i];
        write_u64(out, sibling->dot.actor);
        write_varint(out, sibling->dot.counter);
        buf_append(out, sibling->context);
        write_u64(out, sibling->hlc);
        write_u8(out, (uint8_t)(sibling->policy | sibling->tombstone << 2 |
                                (sibling->expires != 0) << 3 | (sibling->drops != 0) << 4 |
                                (sibling->type.size != 0) << 5));
        if (sibling->expires != 0)
            write_u64(out, sibling->expires);
        if (sibling->drops != 0)
            write_varint(out, sibling->drops);
        if (sibling->type.size != 0)
            write_string(out, sibling->type);
        if (!sibling->tombstone)
            write_string(out, sibling->value);
    }
}

Test(object, the_layout_is_fixed)
{
    struct update update = update_of(0x1122334455667788, 300, POLICY_NEWEST);
    update.hlc = 0x0a0b0c0d0e0f;
    update.drops = 3;
    update.type = text("t");
    update.value = text("vv");
    struct buf object = {0};
    apply(&object, &update);
    static const uint8_t first[] = {1,    1,    0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
                                    0xac, 2,    0,    0x0f, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0,
                                    0,    0x31, 3,    1,    't',  2,    'v',  'v'};
    cr_assert(slice_equal(buf_slice(&object), slice_of(first, sizeof(first))));
    update.dot.counter = 301;
    update.tombstone = true;
    update.drops = 0;
    apply(&object, &update);
    static const uint8_t second[] = {1, 1,    0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0xad,
                                     2, 1,    0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0xac,
                                     2, 0x10, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0,    0,    0x05};
    cr_assert(slice_equal(buf_slice(&object), slice_of(second, sizeof(second))));
    buf_done(&object);
}

Test(object, an_empty_object_is_neutral)
{
    struct buf object = {0};
    struct buf out = {0};
    struct arena arena = {0};
    struct object decoded;
    cr_assert_eq(object_check(SLICE_NONE), 0);
    cr_assert_eq(object_decode(SLICE_NONE, &arena, &decoded), 0);
    cr_assert_eq(decoded.count, 0);
    cr_assert_eq(object_digest(1, text("b"), text("k"), SLICE_NONE), 0);
    cr_assert_eq(object_hlc(SLICE_NONE), 0);
    cr_assert_eq(object_read(SLICE_NONE, 0, 0, &arena, &decoded), ERR_NOT_FOUND);
    cr_assert_eq(object_merge(SLICE_NONE, SLICE_NONE, &out), MERGE_SAME_A | MERGE_SAME_B);
    cr_assert_eq(out.size, 0);
    struct update update = update_of(1, 1, POLICY_LWW);
    apply(&object, &update);
    cr_assert_eq(object_merge(buf_slice(&object), SLICE_NONE, &out), MERGE_SAME_A);
    cr_assert(slice_equal(buf_slice(&out), buf_slice(&object)));
    buf_clear(&out);
    cr_assert_eq(object_merge(SLICE_NONE, buf_slice(&object), &out), MERGE_SAME_B);
    cr_assert(slice_equal(buf_slice(&out), buf_slice(&object)));
    buf_done(&out);
    buf_done(&object);
    arena_done(&arena);
}

/* Z is overwritten by X, which loses by its stamp alone to Y: whoever meets Z later must still
 * know that it is gone. */
Test(object, what_an_lww_loser_had_overwritten_stays_gone)
{
    struct buf z = {0}, x = {0}, y = {0}, out = {0};
    struct update update = update_of(1, 1, POLICY_SIBLINGS);
    apply(&z, &update);
    buf_append(&x, buf_slice(&z));
    update = update_of(2, 10, POLICY_LWW);
    apply(&x, &update);
    update = update_of(3, 20, POLICY_SIBLINGS);
    apply(&y, &update);
    object_merge(buf_slice(&x), buf_slice(&y), &out);
    struct arena arena = {0};
    struct object merged;
    merge_into(&out, buf_slice(&z));
    cr_assert_eq(object_check(buf_slice(&out)), 0);
    cr_assert_eq(object_decode(buf_slice(&out), &arena, &merged), 0);
    cr_assert_eq(merged.count, 1);
    cr_assert_eq(merged.siblings[0].dot.actor, 3);
    cr_assert(vector_covers(merged.history, (struct dot){1, 1}));
    /* The next version takes that over, and nothing is left to write down. */
    update = update_of(3, 21, POLICY_NEWEST);
    apply(&out, &update);
    merge_into(&out, buf_slice(&z));
    cr_assert_eq(object_decode(buf_slice(&out), &arena, &merged), 0);
    cr_assert_eq(merged.count, 1);
    cr_assert_eq(merged.history.size, 0);
    arena_done(&arena);
    buf_done(&z);
    buf_done(&x);
    buf_done(&y);
    buf_done(&out);
}

Test(object, expiry_counts_from_the_final_stamp)
{
    struct buf object = {0};
    struct update update = update_of(1, 1, POLICY_SIBLINGS);
    update.hlc = 500ull << 16;
    apply(&object, &update);
    update.dot.counter = 2;
    update.hlc = 100ull << 16;
    update.ttl_ms = 10;
    struct buf out = {0};
    uint64_t hlc;
    cr_assert_eq(object_update(buf_slice(&object), &update, &out, &hlc), 0);
    cr_assert_eq(hlc, (500ull << 16) + 1);
    struct arena arena = {0};
    struct object read;
    uint64_t expires = hlc + (10ull << 16);
    cr_assert_eq(object_read(buf_slice(&out), expires - 1, 0, &arena, &read), 0);
    cr_assert_eq(read.count, 2);
    cr_assert_eq(read.siblings[0].expires, expires);
    cr_assert_eq(object_read(buf_slice(&out), expires, 0, &arena, &read), 0);
    cr_assert_eq(read.count, 1);
    cr_assert_eq(read.siblings[0].dot.counter, 1);
    /* A drop of the bucket kills both. */
    cr_assert_eq(object_read(buf_slice(&out), 0, 1, &arena, &read), ERR_DELETED);
    /* A time to live beyond all time is for ever. */
    update.dot.counter = 3;
    update.ttl_ms = UINT64_MAX;
    apply(&out, &update);
    cr_assert_eq(object_read(buf_slice(&out), UINT64_MAX - 1, 0, &arena, &read), 0);
    arena_done(&arena);
    buf_done(&out);
    buf_done(&object);
}

Test(object, the_bound_on_siblings_refuses_puts_and_never_merges)
{
    struct buf object = {0};
    struct buf out = {0};
    for (uint32_t i = 1; i <= SIBLINGS_MAX; i++) {
        struct update update = update_of(1, i, POLICY_SIBLINGS);
        apply(&object, &update);
    }
    struct update update = update_of(1, SIBLINGS_MAX + 1, POLICY_SIBLINGS);
    cr_assert_eq(object_update(buf_slice(&object), &update, &out, NULL), ERR_TOO_MANY_SIBLINGS);
    cr_assert_eq(out.size, 0);
    /* Merging another coordinator's share goes beyond, and then a put that adds none succeeds. */
    struct buf other = {0};
    for (uint32_t i = 1; i <= SIBLINGS_MAX; i++) {
        update = update_of(2, i, POLICY_SIBLINGS);
        apply(&other, &update);
    }
    struct buf context = {0};
    uint64_t hlc;
    cr_assert_eq(object_context(buf_slice(&other), 7, text("b"), text("k"), &context), 0);
    cr_assert_eq(context_check(buf_slice(&context), 7, text("b"), text("k"), &hlc), 0);
    merge_into(&object, buf_slice(&other));
    struct arena arena = {0};
    struct object decoded;
    cr_assert_eq(object_decode(buf_slice(&object), &arena, &decoded), 0);
    cr_assert_eq(decoded.count, 2 * SIBLINGS_MAX);
    update = update_of(1, SIBLINGS_MAX + 1, POLICY_SIBLINGS);
    update.blind = false;
    update.context = buf_slice(&context);
    apply(&object, &update);
    cr_assert_eq(object_decode(buf_slice(&object), &arena, &decoded), 0);
    cr_assert_eq(decoded.count, SIBLINGS_MAX + 1);
    arena_done(&arena);
    buf_done(&context);
    buf_done(&other);
    buf_done(&object);
    buf_done(&out);
}

Test(object, newest_is_bounded_without_refusing)
{
    struct buf context = {0};
    struct buf object = {0};
    cr_assert_eq(object_context(SLICE_NONE, 7, text("b"), text("k"), &context), 0);
    struct arena arena = {0};
    struct object decoded;
    for (uint32_t i = 1; i <= 1000; i++) {
        struct update update = update_of(1, i, POLICY_NEWEST);
        update.blind = false;
        update.context = buf_slice(&context);
        apply(&object, &update);
        cr_assert_eq(object_decode(buf_slice(&object), &arena, &decoded), 0);
        cr_assert_leq(decoded.count, SIBLINGS_MAX);
        arena_reset(&arena);
    }
    arena_done(&arena);
    buf_done(&context);
    buf_done(&object);
}

Test(object, updates_refuse_what_would_be_lost)
{
    struct buf object = {0}, context = {0}, out = {0};
    struct update update = update_of(1, 5, POLICY_NEWEST);
    apply(&object, &update);
    update = update_of(1, 5, POLICY_NEWEST);
    cr_assert_eq(object_update(buf_slice(&object), &update, &out, NULL), ERR_CORRUPT);
    update = update_of(1, 4, POLICY_SIBLINGS);
    cr_assert_eq(object_update(buf_slice(&object), &update, &out, NULL), ERR_CORRUPT);
    cr_assert_eq(object_context(buf_slice(&object), 7, text("b"), text("k"), &context), 0);
    update = update_of(1, 5, POLICY_SIBLINGS);
    update.blind = false;
    update.context = buf_slice(&context);
    cr_assert_eq(object_update(SLICE_NONE, &update, &out, NULL), ERR_BAD_CONTEXT);
    cr_assert_eq(object_update(text("rubbish"), &update, &out, NULL), ERR_CORRUPT);
    /* A stamp so high that none is left above it. */
    buf_clear(&object);
    update = update_of(2, 1, POLICY_NEWEST);
    update.hlc = UINT64_MAX >> 1;
    apply(&object, &update);
    update = update_of(2, 2, POLICY_NEWEST);
    cr_assert_eq(object_update(buf_slice(&object), &update, &out, NULL), ERR_CLOCK_SKEW);
    cr_assert_eq(out.size, 0);
    buf_done(&object);
    buf_done(&context);
    buf_done(&out);
}

Test(object, a_context_belongs_to_its_key)
{
    struct buf object = {0}, context = {0}, bad = {0};
    for (uint32_t i = 1; i <= 3; i++) {
        struct update update = update_of(i, i, POLICY_SIBLINGS);
        apply(&object, &update);
    }
    cr_assert_eq(object_context(buf_slice(&object), 7, text("b"), text("k"), &context), 0);
    uint64_t hlc = 0;
    cr_assert_eq(context_check(buf_slice(&context), 7, text("b"), text("k"), &hlc), 0);
    cr_assert_eq(hlc, object_hlc(buf_slice(&object)));
    cr_assert_eq(context_check(buf_slice(&context), 8, text("b"), text("k"), &hlc),
                 ERR_BAD_CONTEXT);
    cr_assert_eq(context_check(buf_slice(&context), 7, text("bk"), text(""), &hlc),
                 ERR_BAD_CONTEXT);
    cr_assert_eq(context_check(buf_slice(&context), 7, text("b"), text("k2"), &hlc),
                 ERR_BAD_CONTEXT);
    for (size_t size = 0; size < context.size; size++)
        cr_assert_eq(context_check(slice_of(context.data, size), 7, text("b"), text("k"), &hlc),
                     ERR_BAD_CONTEXT);
    for (size_t bit = 0; bit < context.size * 8; bit++) {
        buf_clear(&bad);
        buf_append(&bad, buf_slice(&context));
        bad.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_eq(context_check(buf_slice(&bad), 7, text("b"), text("k"), &hlc),
                     ERR_BAD_CONTEXT);
    }
    buf_done(&object);
    buf_done(&context);
    buf_done(&bad);
}

Test(object, a_context_too_large_to_send_is_refused)
{
    struct buf object = {0}, context = {0}, one = {0};
    for (uint32_t i = 1; i <= 2000; i++) {
        struct update update = update_of(i, 1, POLICY_SIBLINGS);
        apply(&one, &update);
        merge_into(&object, buf_slice(&one));
        buf_clear(&one);
    }
    buf_append(&context, text("x"));
    cr_assert_eq(object_context(buf_slice(&object), 7, text("b"), text("k"), &context),
                 ERR_TOO_LARGE);
    cr_assert_eq(context.size, 1);
    buf_done(&object);
    buf_done(&context);
    buf_done(&one);
}

Test(object, hostile_numbers_of_siblings_stay_bounded)
{
    struct buf halves[2] = {{0}, {0}};
    struct buf out = {0};
    for (uint32_t half = 0; half < 2; half++) {
        write_u8(&halves[half], 1);
        write_varint(&halves[half], OBJECT_SIBLINGS_MAX);
        for (uint32_t i = 0; i < OBJECT_SIBLINGS_MAX; i++) {
            write_u64(&halves[half], i * 2 + half);
            write_varint(&halves[half], 1);
            write_varint(&halves[half], 0);
            write_u64(&halves[half], 1 + i);
            write_u8(&halves[half], POLICY_SIBLINGS);
            write_varint(&halves[half], 0);
        }
        cr_assert_eq(object_check(buf_slice(&halves[half])), 0);
    }
    object_merge(buf_slice(&halves[0]), buf_slice(&halves[1]), &out);
    cr_assert_eq(object_check(buf_slice(&out)), 0);
    struct arena arena = {0};
    struct object read;
    cr_assert_eq(object_read(buf_slice(&out), 0, 0, &arena, &read), 0);
    cr_assert_eq(read.count, OBJECT_SIBLINGS_MAX);
    cr_assert_eq(read.siblings[0].hlc, OBJECT_SIBLINGS_MAX);
    cr_assert_eq(read.siblings[read.count - 1].hlc, OBJECT_SIBLINGS_MAX / 2 + 1);
    /* One sibling more than may be read. */
    halves[0].data[1] = 0x81;
    cr_assert_eq(object_check(buf_slice(&halves[0])), ERR_CORRUPT);
    arena_done(&arena);
    buf_done(&halves[0]);
    buf_done(&halves[1]);
    buf_done(&out);
}

/* Versions that cover each other, as only a liar makes them: one of them stays. */
Test(object, a_merge_never_turns_something_into_nothing)
{
    struct buf pair[2] = {{0}, {0}};
    struct buf out = {0};
    for (uint32_t i = 0; i < 2; i++) {
        write_u8(&pair[i], 1);
        write_varint(&pair[i], 1);
        write_u64(&pair[i], i);
        write_varint(&pair[i], 1);
        write_varint(&pair[i], 1);
        write_u64(&pair[i], 1 - i);
        write_varint(&pair[i], 1);
        write_u64(&pair[i], 10 + i);
        write_u8(&pair[i], POLICY_SIBLINGS);
        write_varint(&pair[i], 0);
        cr_assert_eq(object_check(buf_slice(&pair[i])), 0);
    }
    cr_assert_eq(object_merge(buf_slice(&pair[0]), buf_slice(&pair[1]), &out), MERGE_SAME_B);
    cr_assert(slice_equal(buf_slice(&out), buf_slice(&pair[1])));
    buf_done(&pair[0]);
    buf_done(&pair[1]);
    buf_done(&out);
}

/* An object as one of many honest histories leaves it. */
static void draw_object(struct prng *prng, struct buf *object)
{
    buf_clear(object);
    struct buf kept = {0};
    uint64_t steps = 1 + prng_below(prng, 6);
    for (uint64_t i = 1; i <= steps; i++) {
        struct update update = update_of(prng_below(prng, 3), i, (enum policy)prng_below(prng, 3));
        update.hlc = 1 + prng_below(prng, 1000);
        update.tombstone = prng_below(prng, 4) == 0;
        update.drops = (uint32_t)prng_below(prng, 2) * 200;
        update.ttl_ms = prng_below(prng, 2) * 1000;
        update.type = prng_below(prng, 2) == 0 ? text("text/plain") : SLICE_NONE;
        update.value = slice_of("0123456789", prng_below(prng, 10));
        apply(object, &update);
        if (prng_below(prng, 3) == 0) {
            buf_clear(&kept);
            buf_append(&kept, buf_slice(object));
        }
    }
    struct update update = update_of(9, 1, POLICY_SIBLINGS);
    update.hlc = 2000;
    if (prng_below(prng, 2) == 0)
        apply(&kept, &update);
    merge_into(object, buf_slice(&kept));
    buf_done(&kept);
}

/* Whatever passes the check has one encoding only, and nothing done with it fails. */
static bool accept(struct slice bytes, struct slice honest)
{
    struct arena arena = {0};
    struct object object;
    struct buf out = {0}, ahead = {0}, behind = {0}, context = {0};
    int error = object_decode(bytes, &arena, &object);
    cr_assert_eq(error, object_check(bytes));
    if (error == 0) {
        encode(&object, &out);
        cr_assert(slice_equal(buf_slice(&out), bytes));
        object_merge(bytes, honest, &ahead);
        object_merge(honest, bytes, &behind);
        cr_assert(slice_equal(buf_slice(&ahead), buf_slice(&behind)));
        cr_assert_eq(object_check(buf_slice(&ahead)), 0);
        buf_clear(&behind);
        object_merge(buf_slice(&ahead), bytes, &behind);
        cr_assert_eq(object_check(buf_slice(&behind)), 0);
        cr_assert_eq(object_context(bytes, 1, text("b"), text("k"), &context), 0);
        int read_error = object_read(bytes, 5, 1, &arena, &object);
        cr_assert(read_error == 0 || read_error == ERR_DELETED || read_error == ERR_NOT_FOUND);
        struct update update = update_of(77, 1, POLICY_SIBLINGS);
        update.blind = false;
        update.context = buf_slice(&context);
        buf_clear(&out);
        int update_error = object_update(bytes, &update, &out, NULL);
        cr_assert(update_error == 0 || update_error == ERR_CLOCK_SKEW ||
                  update_error == ERR_BAD_CONTEXT);
        cr_assert_eq(object_check(buf_slice(&out)), 0);
    } else {
        cr_assert_eq(error, ERR_CORRUPT);
        cr_assert_eq(object_read(bytes, 0, 0, &arena, &object) == ERR_NOT_FOUND, bytes.size == 0);
    }
    buf_done(&out);
    buf_done(&ahead);
    buf_done(&behind);
    buf_done(&context);
    arena_done(&arena);
    return error == 0;
}

/* The bytes as a block of their own, so that the sanitizer sees a read past their end. */
static bool accept_copy(struct slice bytes, struct slice honest)
{
    uint8_t *copy = mem_alloc(bytes.size);
    memcpy(copy, bytes.data, bytes.size);
    bool accepted = accept(slice_of(copy, bytes.size), honest);
    mem_free(copy);
    return accepted;
}

Test(object, hostile_bytes_are_refused_or_harmless)
{
    struct prng prng;
    prng_init(&prng, 4);
    struct buf object = {0}, honest = {0}, bad = {0};
    uint32_t accepted = 0;
    for (uint32_t round = 0; round < 400; round++) {
        draw_object(&prng, &object);
        draw_object(&prng, &honest);
        cr_assert(accept_copy(buf_slice(&object), buf_slice(&honest)));
        for (size_t size = 1; size < object.size; size++)
            cr_assert(!accept_copy(slice_of(object.data, size), buf_slice(&honest)));
        for (uint32_t i = 0; i < 60; i++) {
            buf_clear(&bad);
            buf_append(&bad, buf_slice(&object));
            for (uint64_t flips = 1 + prng_below(&prng, 3); flips > 0; flips--) {
                uint64_t at = prng_below(&prng, bad.size);
                bad.data[at] = prng_below(&prng, 2) == 0
                                   ? (uint8_t)prng_next(&prng)
                                   : (uint8_t)(bad.data[at] ^ 1u << prng_below(&prng, 8));
            }
            accepted += accept_copy(buf_slice(&bad), buf_slice(&honest));
        }
    }
    cr_assert_gt(accepted, 1000);
    buf_done(&object);
    buf_done(&honest);
    buf_done(&bad);
}

Test(object, random_bytes_are_refused_or_harmless)
{
    struct prng prng;
    prng_init(&prng, 5);
    uint8_t bytes[80];
    for (uint32_t round = 0; round < 100000; round++) {
        size_t size = 1 + prng_below(&prng, sizeof(bytes) - 1);
        for (size_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)(prng_next(&prng) & (prng_below(&prng, 2) == 0 ? 3 : 255));
        bytes[0] = (uint8_t)(1 + prng_below(&prng, 2));
        accept_copy(slice_of(bytes, size), SLICE_NONE);
    }
}

Test(object, digests_tell_keys_and_dots_apart)
{
    struct buf object = {0}, other = {0};
    struct update update = update_of(1, 1, POLICY_SIBLINGS);
    apply(&object, &update);
    update.dot.counter = 2;
    apply(&other, &update);
    uint64_t digest = object_digest(1, text("b"), text("k"), buf_slice(&object));
    cr_assert_neq(digest, 0);
    cr_assert_neq(digest, object_digest(1, text("b"), text("l"), buf_slice(&object)));
    cr_assert_neq(digest, object_digest(2, text("b"), text("k"), buf_slice(&object)));
    cr_assert_neq(digest, object_digest(1, text("b"), text("k"), buf_slice(&other)));
    /* The value is no part of it: a dot names one value. */
    buf_clear(&other);
    update = update_of(1, 1, POLICY_SIBLINGS);
    update.value = text("another");
    apply(&other, &update);
    cr_assert_eq(digest, object_digest(1, text("b"), text("k"), buf_slice(&other)));
    buf_done(&object);
    buf_done(&other);
}

Test(vector, joins_and_covers)
{
    struct buf a = {0}, b = {0}, out = {0};
    struct dot dots[] = {{3, 7}, {1, 2}, {3, 5}};
    vector_union(NULL, 0, dots, 3, &a);
    struct dot more[] = {{2, 9}, {3, 6}};
    vector_union(NULL, 0, more, 2, &b);
    struct slice both[] = {buf_slice(&a), buf_slice(&b), SLICE_NONE};
    struct dot last = {5, 1};
    vector_union(both, 3, &last, 1, &out);
    static const uint64_t counters[] = {0, 2, 9, 7, 0, 1, 0};
    for (uint64_t actor = 0; actor < 7; actor++)
        cr_assert_eq(vector_get(buf_slice(&out), actor), counters[actor]);
    cr_assert(vector_covers(buf_slice(&out), (struct dot){3, 7}));
    cr_assert(!vector_covers(buf_slice(&out), (struct dot){3, 8}));
    cr_assert(!vector_covers(SLICE_NONE, (struct dot){3, 1}));
    for (size_t size = 0; size < out.size; size++) {
        struct reader reader = reader_of(slice_of(out.data, size));
        vector_read(&reader);
        cr_assert(reader.bad);
    }
    struct reader reader = reader_of(buf_slice(&out));
    cr_assert(slice_equal(vector_read(&reader), buf_slice(&out)));
    out.data[1] = 9; /* Actors out of order. */
    reader = reader_of(buf_slice(&out));
    vector_read(&reader);
    cr_assert(reader.bad);
    buf_done(&a);
    buf_done(&b);
    buf_done(&out);
}

Test(vector, a_declared_length_reserves_nothing)
{
    struct buf bytes = {0};
    write_varint(&bytes, UINT64_MAX);
    write_u64(&bytes, 1);
    struct reader reader = reader_of(buf_slice(&bytes));
    vector_read(&reader);
    cr_assert(reader.bad);
    buf_done(&bytes);
}
