/* What lies on a connection between peers: a prelude once in each direction, then frames.
 *
 *   prelude = "KVRP", version u16, shard u16, node id, generation u64, cluster id, checksum u64 (56
 * bytes) frame   = payload size u32, checksum u64, payload (one message, peer.h)
 *
 * Integers are little-endian; a checksum is XXH3-64, in a frame seeded with the payload's size, so
 * that a damaged size shows too. The prelude gives all frames of a connection their sender. Each
 * side sends its own at once without waiting for the other's. */
#ifndef FRAME_H
#define FRAME_H

#include "base/buf.h"
#include "data/id.h"

enum {
    PEER_PROTOCOL = 1, /* The highest version this program speaks. */
    PRELUDE_SIZE = 4 + 4 + 16 + 8 + 16 + 8,
    FRAME_HEADER_SIZE = 12,
};

struct prelude {
    uint32_t protocol; /* The sender's PEER_PROTOCOL; both then speak the lower one. */
    struct node_id node;
    uint64_t generation;
    struct node_id cluster; /* None while joining. */
    uint32_t shard;         /* Of the sender: whose connection this is. */
};

void prelude_encode(const struct prelude *prelude, struct buf *out);

/* Append a header to be filled in; returns where it starts, for frame_end. */
size_t frame_begin(struct buf *out);
/* The frame that began at START ends where OUT ends now. 0, or ERR_TOO_LARGE for a payload over
 * FRAME_SIZE_MAX, in which case the frame is taken out again. */
int frame_end(struct buf *out, size_t start) CHECK_RESULT;
/* The checksum in the header of FRAME, which is whole. */
uint64_t frame_checksum(struct slice frame);

/* What was received and not yet taken. Zeroed is empty and valid. */
struct frames {
    struct buf in; /* Owned. */
    size_t at;     /* Taken so far. */
};

void frames_done(struct frames *frames);
/* Room to receive into, RET_SIZE bytes, at least 4 KiB: more as a frame under way grows, never more
 * ahead than was received already. Ends the life of slices given out before. */
uint8_t *frames_room(struct frames *frames, size_t *ret_size);
/* SIZE bytes were received into the room. */
void frames_received(struct frames *frames, size_t size);

/* Both take the next piece: 1 when there was one, 0 when more must be received first, ERR_CORRUPT
 * when the connection is to be closed. The payload is valid until frames_room. */
int frames_prelude(struct frames *frames, struct prelude *ret_prelude) CHECK_RESULT;
int frames_next(struct frames *frames, struct slice *ret_payload) CHECK_RESULT;

#endif
