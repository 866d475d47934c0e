#include "core/route.h"

#include "core/core.h"

/* The shards that there are. */
struct way {
    uint32_t range_bits;
    uint32_t shards;
};

/* One that there is not is shard 0's, which refuses it. */
static uint32_t of_range(uint32_t range, struct way way)
{
    if (range >> way.range_bits != 0)
        return 1;
    return 1u << shard_of_range(range, way.range_bits, way.shards);
}

static uint32_t of_id(uint64_t id, struct way way)
{
    return 1u << (id & (way.shards - 1));
}

/* Coordinators of a range may be another shard's only where they scan, so replies go by the id that
 * names the shard; what hint delivery sends is about ranges of its own shard. */
static uint32_t of_reply(uint64_t id, uint32_t range, struct way way)
{
    return token_owner(id) == OWNER_HINTS ? of_range(range, way) : of_id(id, way);
}

static uint32_t of_roots(const struct message *message, struct way way)
{
    if (message->roots.kind == ROOTS_DIFFER || message->roots.kind == ROOTS_PART)
        return of_id(message->roots.id, way);
    uint32_t mask = 0;
    for (uint32_t i = 0; i < message->roots.nodes_count; i++)
        mask |= of_range((uint32_t)message->roots.nodes[i].prefix, way);
    return mask;
}

uint32_t route_message(const struct message *message, uint32_t range_bits, uint32_t shards)
{
    const struct way way = {range_bits, shards};
    if (shards == 1 || range_bits == 0)
        return 1;
    switch (message->type) {
    case MESSAGE_OFFER:
    case MESSAGE_ACCEPT:
    case MESSAGE_REJECT:
        return of_range(message->offer.range.range, way);
    case MESSAGE_PREPARE:
    case MESSAGE_PROMISE:
    case MESSAGE_PROPOSE:
    case MESSAGE_ACCEPTED:
    case MESSAGE_CHOSEN:
    case MESSAGE_INSTALLED:
        return of_range(message->vote.range.range, way);
    case MESSAGE_CHUNK:
    case MESSAGE_CHUNK_ACK:
    case MESSAGE_COMPLETE:
        return of_range(message->chunk.range.range, way);
    case MESSAGE_FORWARD:
        return of_range(message->forward.range.range, way);
    case MESSAGE_ANSWER:
        return of_id(message->answer.id, way);
    case MESSAGE_WRITE:
    case MESSAGE_READ:
    case MESSAGE_HINT:
        return of_range(message->write.range.range, way);
    case MESSAGE_SCAN:
        return of_range(message->scan.range.range, way);
    case MESSAGE_REPLY:
        return of_reply(message->reply.id, message->reply.range.range, way);
    case MESSAGE_COMPARE:
    case MESSAGE_LEAVES:
    case MESSAGE_OBJECTS:
        return of_range(message->compare.range.range, way);
    case MESSAGE_PROVE:
    case MESSAGE_PROVEN:
    case MESSAGE_HORIZON:
        return of_range(message->horizon.range.range, way);
    case MESSAGE_ROOTS:
        return of_roots(message, way);
    default:
        return 1;
    }
}
