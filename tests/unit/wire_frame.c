#include "base/error.h"
#include "base/limits.h"
#include "base/prng.h"
#include "wire/frame.h"

#include <criterion/criterion.h>

static const struct prelude prelude = {
    .protocol = PEER_PROTOCOL, .node = {1, 2}, .generation = 3, .cluster = {4, 5}};

static void receive(struct frames *frames, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        size_t room;
        uint8_t *at = frames_room(frames, &room);
        size_t part = size < room ? size : room;
        memcpy(at, bytes, part);
        frames_received(frames, part);
        bytes += part;
        size -= part;
    }
}

/* A payload that can be told from its size. */
static void append_frame(struct buf *out, size_t size)
{
    size_t start = frame_begin(out);
    memset(buf_reserve(out, size), (int)(size % 251), size);
    out->size += size;
    cr_assert_eq(frame_end(out, start), 0);
}

Test(frame, prelude_and_frames_arrive_whole_in_any_portions)
{
    static const size_t sizes[] = {1, 2, 100, 65536, 5, 300000, 7};
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        struct buf sent = {0};
        prelude_encode(&prelude, &sent);
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
            append_frame(&sent, sizes[i]);
        struct frames frames = {0};
        struct prelude got = {0};
        bool introduced = false;
        size_t taken = 0;
        for (size_t at = 0; at < sent.size;) {
            size_t part = 1 + prng_below(&prng, prng_below(&prng, 2) ? 30 : 100000);
            part = part < sent.size - at ? part : sent.size - at;
            receive(&frames, sent.data + at, part);
            at += part;
            if (!introduced)
                introduced = frames_prelude(&frames, &got) == 1;
            struct slice payload;
            while (introduced && frames_next(&frames, &payload) == 1) {
                cr_assert_eq(payload.size, sizes[taken], "seed %lu", seed);
                cr_assert_eq(payload.data[payload.size - 1], sizes[taken] % 251, "seed %lu", seed);
                taken++;
            }
        }
        cr_assert_eq(taken, ARRAY_SIZE(sizes), "seed %lu", seed);
        cr_assert(id_equal(got.node, prelude.node) && id_equal(got.cluster, prelude.cluster));
        cr_assert_eq(got.generation, 3);
        cr_assert_eq(got.protocol, PEER_PROTOCOL);
        frames_done(&frames);
        buf_done(&sent);
    }
}

Test(frame, any_flipped_bit_is_noticed)
{
    struct buf sent = {0};
    prelude_encode(&prelude, &sent);
    append_frame(&sent, 40);
    for (size_t bit = 0; bit < 8 * sent.size; bit++) {
        sent.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        struct frames frames = {0};
        struct prelude got;
        struct slice payload;
        receive(&frames, sent.data, sent.size);
        int status = frames_prelude(&frames, &got);
        if (status == 1)
            status = frames_next(&frames, &payload);
        /* A size that grew waits for the rest, which then fails: never a wrong frame. */
        cr_assert_neq(status, 1, "bit %zu", bit);
        frames_done(&frames);
        sent.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    buf_done(&sent);
}

Test(frame, strangers_are_known_by_their_first_byte)
{
    struct frames frames = {0};
    struct prelude got;
    cr_assert_eq(frames_prelude(&frames, &got), 0);
    receive(&frames, (const uint8_t *)"KV", 2);
    cr_assert_eq(frames_prelude(&frames, &got), 0);
    frames_done(&frames);
    receive(&frames, (const uint8_t *)"G", 1);
    cr_assert_eq(frames_prelude(&frames, &got), ERR_CORRUPT);
    frames_done(&frames);
}

Test(frame, a_size_past_the_bound_or_of_nothing_is_refused_at_once)
{
    static const uint32_t sizes[] = {0, FRAME_SIZE_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct frames frames = {0};
        struct slice payload;
        uint8_t header[12] = {(uint8_t)sizes[i], (uint8_t)(sizes[i] >> 8),
                              (uint8_t)(sizes[i] >> 16), (uint8_t)(sizes[i] >> 24)};
        receive(&frames, header, sizeof header);
        cr_assert_eq(frames_next(&frames, &payload), ERR_CORRUPT);
        frames_done(&frames);
    }
}

Test(frame, a_declared_size_alone_reserves_no_memory)
{
    struct frames frames = {0};
    uint8_t header[12] = {0, 0, 0, 4}; /* 64 MiB to come. */
    struct slice payload;
    size_t room;
    receive(&frames, header, sizeof header);
    cr_assert_eq(frames_next(&frames, &payload), 0);
    frames_room(&frames, &room);
    cr_assert_leq(frames.in.capacity, 256 * 1024);
    frames_done(&frames);
}

Test(frame, a_payload_past_the_bound_is_taken_out_again)
{
    struct buf out = {0};
    append_frame(&out, 10);
    size_t before = out.size, start = frame_begin(&out);
    buf_reserve(&out, FRAME_SIZE_MAX + 1);
    out.size += FRAME_SIZE_MAX + 1;
    cr_assert_eq(frame_end(&out, start), ERR_TOO_LARGE);
    cr_assert_eq(out.size, before);
    buf_done(&out);
}
