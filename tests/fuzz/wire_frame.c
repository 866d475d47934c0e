/* Whatever is received, in whatever portions: no frame but those that were sent. The first half of
 * the input is received as it is; the second is cut into payloads that must arrive whole. */
#include "wire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void receive(struct frames *frames, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        size_t room;
        uint8_t *at = frames_room(frames, &room);
        size_t part = MIN(size, room);
        memcpy(at, bytes, part);
        frames_received(frames, part);
        bytes += part;
        size -= part;
    }
}

static void receive_raw(const uint8_t *data, size_t size)
{
    struct frames frames = {0};
    struct prelude prelude;
    struct slice payload;
    receive(&frames, data, size);
    if (frames_prelude(&frames, &prelude) == 1)
        ASSERT(prelude.protocol > 0 && !id_none(prelude.node));
    while (frames_next(&frames, &payload) == 1)
        ASSERT(payload.size > 0);
    frames_done(&frames);
}

/* The first byte is how large payloads and portions are. */
static void receive_sent(const uint8_t *data, size_t size)
{
    if (size < 2)
        return;
    size_t step = 1u + (data[0] & 15u), portion = 1u + (data[0] >> 4) * 7u;
    struct buf sent = {0};
    for (size_t at = 0; at < size; at += step) {
        size_t start = frame_begin(&sent);
        buf_append(&sent, slice_of(data + at, MIN(step, size - at)));
        ASSERT(frame_end(&sent, start) == 0);
    }
    struct frames frames = {0};
    size_t got = 0;
    for (size_t at = 0; at < sent.size; at += portion) {
        struct slice payload;
        receive(&frames, sent.data + at, MIN(portion, sent.size - at));
        while (frames_next(&frames, &payload) == 1) {
            ASSERT(slice_equal(payload, slice_of(data + got, MIN(step, size - got))));
            got += payload.size;
        }
    }
    ASSERT(got == size);
    frames_done(&frames);
    buf_done(&sent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    receive_raw(data, size / 2);
    receive_sent(data + size / 2, size - size / 2);
    return 0;
}
