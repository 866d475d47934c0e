/* Hints seen from outside: none disappears before its slot has it, none leaves with its node, and a
 * node keeps no more of them than it may. */
#include "base/checksum.h"
#include "sim/checks_own.h"
#include "sim/host.h"

enum { SLACK = 2 * 1024 }; /* What may be on its way past the check, and what a merge adds. */

/* Did all writers of that slot acknowledge the version, under EPOCH (0: any one)? */
static bool has(const struct checks *checks, uint32_t range, uint64_t epoch, uint32_t slot,
                struct dot dot)
{
    for (const struct slot_ack *ack = checks->complete[range]; ack != NULL; ack = ack->next)
        if (ack->complete && ack->slot == slot && dot_equal(ack->dot, dot) &&
            (epoch == 0 || ack->epoch == epoch))
            return true;
    return false;
}

/* The slot is gone: do all slots of a record without it have the version? */
static bool all_have(const struct checks *checks, uint32_t range, uint32_t slot, struct dot dot)
{
    const struct record_list *list = &checks->lists[range];
    for (uint32_t i = 0; i < list->count; i++) {
        const struct range_record *record = &list->records[i];
        bool all = record_counted(record) > 0;
        for (uint32_t k = 0; k < record->slots_count; k++) {
            const struct slot *one = &record->slots[k];
            if (one->stage == STAGE_LEARN)
                continue;
            all = all && one->number != slot && has(checks, range, record->epoch, one->number, dot);
        }
        if (all)
            return true;
    }
    return false;
}

void checks_hint_settled(struct world *world, uint32_t host, const struct store_done *done)
{
    struct checks *checks = world->checks;
    struct object object;
    uint8_t gone = done->hint.slots_before & (uint8_t)~done->hint.slots;
    if (object_decode(done->object, &checks->arena, &object) < 0)
        return;
    world->coverage.hints_settled++;
    for (uint32_t slot = 0; slot < SLOTS_MAX; slot++) {
        for (uint32_t i = 0; gone >> slot & 1 && i < object.count; i++) {
            struct dot dot = object.siblings[i].dot;
            if (has(checks, done->range, 0, slot, dot) || all_have(checks, done->range, slot, dot))
                continue;
            world_violate(world, "HintResolves",
                          "%s forgets a hint for slot %u of range %u, whose writers have not all "
                          "acknowledged version %llx.%llu",
                          world_host_name(host), slot, done->range,
                          (unsigned long long)dot.actor & 0xffff, (unsigned long long)dot.counter);
            return;
        }
    }
}

/* ------------------------------------------------------------------------------- Acknowledging. */

static uint64_t taken_name(const struct world *world, uint32_t host, uint32_t range, struct dot dot)
{
    uint64_t life = checksum_pair(host, host_lives(world->hosts[host]));
    return checksum_pair(checksum_pair(life, range), checksum_pair(dot.actor, dot.counter));
}

void checks_hint_brought(struct world *world, const struct store_op *op, struct flight *flight)
{
    struct checks *checks = world->checks;
    struct object object;
    if (object_decode(op->object, &checks->arena, &object) < 0)
        return;
    struct dot *dots = arena_alloc(&checks->arena, (object.count + 1) * sizeof(*dots));
    for (uint32_t i = 0; i < object.count; i++)
        dots[i] = object.siblings[i].dot;
    flight->dots = dots;
    flight->dots_count = object.count;
}

/* Remember where DOT was taken first, unless that is known. */
static void take_at(struct world *world, uint32_t host, uint32_t range, struct dot dot,
                    uint64_t position)
{
    struct checks *checks = world->checks;
    uint64_t name = taken_name(world, host, range, dot);
    if (map_get(&checks->hints_taken, name) == NULL)
        map_put(&checks->hints_taken, name, (void *)(uintptr_t)MAX(position, (uint64_t)1));
}

/* A version that the hint covers already is taken with what covers it. It may come again when the
 * hint is delivered and gone, and is written then: the first acknowledgement is not of that. */
void checks_hint_taken(struct world *world, uint32_t host, const struct flight *flight,
                       const struct store_done *done)
{
    struct checks *checks = world->checks;
    struct object object;
    if (object_decode(done->object, &checks->arena, &object) < 0)
        return;
    uint64_t position = done->changed ? done->position : 0;
    for (uint32_t i = 0; i < object.count; i++) {
        struct dot dot = object.siblings[i].dot;
        uint64_t name = taken_name(world, host, done->range, dot);
        if (done->changed)
            take_at(world, host, done->range, dot, position);
        else
            position = MAX(position, (uintptr_t)map_get(&checks->hints_taken, name));
    }
    for (uint32_t i = 0; i < flight->dots_count; i++)
        take_at(world, host, done->range, flight->dots[i], position);
}

void checks_hint_acknowledged(struct world *world, uint32_t host, uint32_t range,
                              const struct write_sent *sent)
{
    struct checks *checks = world->checks;
    for (uint32_t i = 0; i < sent->dots_count && !world->options.interval; i++) {
        uint64_t name = taken_name(world, host, range, sent->dots[i]);
        uint64_t position = (uintptr_t)map_get(&checks->hints_taken, name);
        uint64_t synced = checks_handed_of(world, host, range)->synced;
        if (position > synced)
            world_violate(world, "HintAckSynced",
                          "%s acknowledges a hint of range %u that it has not synced: it is at "
                          "%llu, synced is %llu",
                          world_host_name(host), range, (unsigned long long)position,
                          (unsigned long long)synced);
    }
}

void checks_hints_bounded(struct world *world, uint32_t host)
{
    uint32_t shards = host_shards(world->hosts[host]);
    uint64_t bytes = 0;
    for (uint32_t shard = 0; shard < shards; shard++)
        bytes += node_core(host_shard(world->hosts[host], shard))->hinted.bytes;
    if (bytes > world->options.hints_max + shards * SLACK)
        world_violate(world, "HintsBounded", "%s keeps %llu bytes of hints, and may %llu",
                      world_host_name(host), (unsigned long long)bytes,
                      (unsigned long long)world->options.hints_max);
}

void checks_hints_left(struct world *world, uint32_t host)
{
    for (uint32_t shard = 0; shard < host_shards(world->hosts[host]); shard++) {
        const struct node *node = host_shard(world->hosts[host], shard);
        if (node != NULL && node_core(node)->hinted.keys > 0)
            world_violate(world, "HintResolves", "%s departs with %llu hints",
                          world_host_name(host), (unsigned long long)node_core(node)->hinted.keys);
    }
}

uint32_t checks_holders(const struct world *world, uint32_t range, uint64_t epoch, struct dot dot,
                        uint32_t hosts)
{
    const struct checks *checks = world->checks;
    if (range >= checks->ranges)
        return 0;
    for (const struct slot_ack *ack = checks->complete[range]; ack != NULL; ack = ack->next)
        if (ack->epoch == epoch && dot_equal(ack->dot, dot))
            hosts |= ack->hosts;
    return (uint32_t)__builtin_popcount(hosts);
}
