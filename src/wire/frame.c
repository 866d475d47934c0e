/* Frames over a growing receive buffer, without copying: what was taken stays until room for more
 * is asked for; only then does the rest, usually a part of one frame, move to the front. */
#include "wire/frame.h"

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/limits.h"

enum {
    ROOM_MIN = 4096,
    ROOM_USUAL = 64 * 1024,
    CAPACITY_KEPT_MAX = 1024 * 1024, /* One great frame must not pin its memory for ever. */
};

static const char magic[4] = {'K', 'V', 'R', 'P'};

void prelude_encode(const struct prelude *prelude, struct buf *out)
{
    size_t start = out->size;
    buf_append(out, slice_of(magic, sizeof magic));
    write_u32(out, prelude->protocol | prelude->shard << 16);
    id_write(out, prelude->node);
    write_u64(out, prelude->generation);
    id_write(out, prelude->cluster);
    write_u64(out, checksum64(slice_of(out->data + start, out->size - start), 0));
    ASSERT(out->size - start == PRELUDE_SIZE);
}

size_t frame_begin(struct buf *out)
{
    buf_reserve(out, FRAME_HEADER_SIZE);
    out->size += FRAME_HEADER_SIZE;
    return out->size - FRAME_HEADER_SIZE;
}

int frame_end(struct buf *out, size_t start)
{
    ASSERT(start + FRAME_HEADER_SIZE < out->size);
    size_t size = out->size - start - FRAME_HEADER_SIZE;
    struct slice payload = slice_of(out->data + start + FRAME_HEADER_SIZE, size);
    out->size = start;
    if (size > FRAME_SIZE_MAX)
        return ERR_TOO_LARGE;
    write_u32(out, (uint32_t)size);
    write_u64(out, checksum64(payload, size));
    out->size += size;
    return OK;
}

uint64_t frame_checksum(struct slice frame)
{
    ASSERT(frame.size >= FRAME_HEADER_SIZE);
    struct reader reader = reader_of(slice_of(frame.data + 4, 8));
    return read_u64(&reader);
}

void frames_done(struct frames *frames)
{
    buf_done(&frames->in);
    frames->at = 0;
}

uint8_t *frames_room(struct frames *frames, size_t *ret_size)
{
    struct buf *in = &frames->in;
    buf_consume(in, frames->at);
    frames->at = 0;
    if (in->size == 0 && in->capacity > CAPACITY_KEPT_MAX)
        buf_done(in);
    if (in->capacity - in->size < ROOM_MIN)
        buf_reserve(in, MAX((size_t)ROOM_USUAL, MIN(in->size, (size_t)FRAME_SIZE_MAX)));
    *ret_size = in->capacity - in->size;
    return in->data + in->size;
}

void frames_received(struct frames *frames, size_t size)
{
    ASSERT(size <= frames->in.capacity - frames->in.size);
    frames->in.size += size;
}

static struct slice waiting(const struct frames *frames)
{
    size_t size = frames->in.size - frames->at;
    return size == 0 ? SLICE_NONE : slice_of(frames->in.data + frames->at, size);
}

int frames_prelude(struct frames *frames, struct prelude *ret_prelude)
{
    struct slice bytes = waiting(frames);
    /* A stranger is told apart by his first bytes: he may never send as much as a prelude. */
    size_t seen = MIN(bytes.size, sizeof magic);
    if (!slice_equal(slice_of(bytes.data, seen), slice_of(magic, seen)))
        return ERR_CORRUPT;
    if (bytes.size < PRELUDE_SIZE)
        return 0;
    struct reader reader = reader_of(slice_of(bytes.data + sizeof magic, PRELUDE_SIZE - 4));
    struct prelude prelude = {0};
    uint32_t version = read_u32(&reader);
    prelude.protocol = version & 0xffff;
    prelude.shard = version >> 16;
    prelude.node = id_read(&reader);
    prelude.generation = read_u64(&reader);
    prelude.cluster = id_read(&reader);
    uint64_t checksum = read_u64(&reader);
    if (checksum != checksum64(slice_of(bytes.data, PRELUDE_SIZE - 8), 0) ||
        prelude.protocol == 0 || id_none(prelude.node))
        return ERR_CORRUPT;
    frames->at += PRELUDE_SIZE;
    *ret_prelude = prelude;
    return 1;
}

int frames_next(struct frames *frames, struct slice *ret_payload)
{
    struct slice bytes = waiting(frames);
    if (bytes.size < FRAME_HEADER_SIZE)
        return 0;
    struct reader reader = reader_of(bytes);
    size_t size = read_u32(&reader);
    uint64_t checksum = read_u64(&reader);
    if (size == 0 || size > FRAME_SIZE_MAX)
        return ERR_CORRUPT;
    if (reader_left(&reader) < size)
        return 0;
    struct slice payload = read_bytes(&reader, size);
    if (checksum != checksum64(payload, size))
        return ERR_CORRUPT;
    frames->at += FRAME_HEADER_SIZE + size;
    *ret_payload = payload;
    return 1;
}
