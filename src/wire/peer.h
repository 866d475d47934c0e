/* Messages between peers on the wire: MessagePack arrays [type, fields...] in frames (frame.h).
 *
 * Decoding checks all that message.h promises of a decoded message; whether it makes sense is the
 * receiver's to decide. Costs one pass over the bytes, and object_check for objects. */
#ifndef PEER_H
#define PEER_H

#include "core/message.h"

/* Append MESSAGE to OUT as one whole frame. 0, or ERR_TOO_LARGE past a list's bound or
 * FRAME_SIZE_MAX; OUT is then as before. */
int message_encode(const struct message *message, struct buf *out) CHECK_RESULT;

/* Decode a frame's payload. Untrusted input. Slices borrow from PAYLOAD, lists lie in ARENA.
 * Numbers of ranges are below RANGES_MAX, the receiver's number of ranges (limits.h's bound while
 * it does not know). 0, ERR_CORRUPT, or ERR_UNKNOWN_METHOD for a type of a later version, to be
 * ignored. */
int message_decode(struct slice payload, struct arena *arena, uint32_t ranges_max,
                   struct message *ret_message) CHECK_RESULT;

/* "WRITE" and so on, for traces; "?" for what is no type. */
const char *message_name(enum message_type type);

#endif
