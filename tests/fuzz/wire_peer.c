/* What decodes, encodes; and its encoding decodes to the same. */
#include "base/arena.h"
#include "base/error.h"
#include "wire/frame.h"
#include "wire/peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice payload_of(const struct buf *frame)
{
    return slice_of(frame->data + FRAME_HEADER_SIZE, frame->size - FRAME_HEADER_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena arena;
    struct message message, again;
    struct buf first = {0}, second = {0};
    arena_reset(&arena);
    if (message_decode(slice_of(data, size), &arena, 1024, &message) == 0) {
        ASSERT(message_encode(&message, &first) == 0);
        ASSERT(message_decode(payload_of(&first), &arena, 1024, &again) == 0);
        ASSERT(message_encode(&again, &second) == 0);
        ASSERT(slice_equal(buf_slice(&first), buf_slice(&second)));
    }
    /* Lists cost what their bytes announce, not what their counts do. */
    ASSERT(arena.used <= 1024 * size + 65536);
    buf_done(&first);
    buf_done(&second);
    return 0;
}
