/* Transfers: who ordered them, what their chunks were read from, and whose chunks count. */
#include "base/checksum.h"
#include "core/transfer.h"
#include "sim/admin.h"
#include "sim/checks_own.h"
#include "sim/host.h"

/* What was sent of one transfer to its target. */
struct stream {
    uint64_t sent; /* Highest sequence of a chunk. */
    bool last;     /* The last chunk was among them. */
};

static struct stream *stream_of(struct checks *checks, uint64_t transfer, uint32_t target)
{
    uint64_t name = checksum_pair(checksum_pair(8, transfer), target);
    struct stream *stream = map_get(&checks->streams, name);
    if (stream == NULL) {
        stream = arena_zero(&checks->arena, sizeof(*stream));
        map_put(&checks->streams, name, stream);
    }
    return stream;
}

/* A chunk is of a snapshot that FROM took under a record that names it a source of TO's. */
static void check_chunk(struct world *world, uint32_t from, uint32_t to,
                        const struct message *message)
{
    const struct range_epoch *range = &message->chunk.range;
    const struct install *install = install_of(world->checks, from, range->range);
    if (checks_compare(&install->durable, range) < 0)
        world_violate(world, "SnapshotAfterJoint",
                      "%s sends chunk %llu of range %u under epoch %llu, and has installed %llu",
                      world_host_name(from), (unsigned long long)message->chunk.sequence,
                      range->range, (unsigned long long)range->epoch,
                      (unsigned long long)install->durable.epoch);
    struct stream *stream = stream_of(world->checks, message->chunk.transfer, to);
    stream->sent = MAX(stream->sent, message->chunk.sequence);
    stream->last = stream->last || message->chunk.last;
}

/* FROM asks for a chunk, or says that it has all: is it one of at most INBOUND_MAX transfers? One
 * that was not asked for in so long has given its place up. */
static void check_inbound(struct world *world, uint32_t from, const struct message *message)
{
    enum { RESERVED_US = 10000000 };
    struct checks *checks = world->checks;
    struct inbound *all = &checks->inbound[(size_t)from * checks->ranges];
    struct inbound *mine = &all[message->chunk.range.range];
    bool asks = message->type == MESSAGE_CHUNK_ACK;
    *mine = (struct inbound){asks ? message->chunk.transfer : 0, world->now_us};
    uint32_t count = 0;
    for (uint32_t range = 0; range < checks->ranges; range++) {
        const struct range_record *record =
            checks_find(checks, &install_of(checks, from, range)->submitted);
        count += all[range].transfer != 0 && record != NULL &&
                 record->transfer == all[range].transfer &&
                 world->now_us < all[range].asked_us + RESERVED_US;
    }
    if (count > MAX((uint32_t)INBOUND_MAX, host_shards(world->hosts[from])))
        world_violate(world, "ReservationBound", "%u transfers come in to %s", count,
                      world_host_name(from));
}

void checks_chunk(struct world *world, uint32_t from, uint32_t to, const struct message *message)
{
    if (message->chunk.transfer == 0 || message->chunk.range.range >= world->checks->ranges)
        return;
    if (message->type == MESSAGE_CHUNK) {
        check_chunk(world, from, to, message);
        return;
    }
    check_inbound(world, from, message);
    const struct stream *stream = stream_of(world->checks, message->chunk.transfer, from);
    bool told =
        message->type == MESSAGE_COMPLETE ? stream->last : message->chunk.sequence <= stream->sent;
    if (!told)
        world_violate(world, "TransferIdMatch",
                      "%s counts chunk %llu of range %u, which nobody sent it for that transfer",
                      world_host_name(from), (unsigned long long)message->chunk.sequence,
                      message->chunk.range.range);
}

void checks_ordered(struct world *world, uint32_t speaker, const struct range_record *base,
                    const struct range_record *record)
{
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        const struct slot *before = base == NULL ? NULL : record_slot(base, slot->number);
        bool begins = slot->stage == STAGE_JOINT || slot->stage == STAGE_LEARN;
        if (!begins || (before != NULL && before->stage == slot->stage) ||
            admin_ordered(world, record->range, slot->number, slot->target))
            continue;
        world_violate(world, "NoOwnershipByDetector",
                      "%s speaks of slot %u of range %u on its way to %s, which nobody ordered",
                      world_host_name(speaker), slot->number, record->range,
                      world_name(world, slot->target));
    }
}
