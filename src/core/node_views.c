/* Read-only views of a node for status pages, and the walk over its invariants. */
#include "core/node_private.h"

void node_check(const struct node *node)
{
    const struct core *core = &node->core;
    ASSERT(core->signals_count == 0);
    ASSERT(core->written >= core->synced);
    pace_check(&core->pace);
    for (uint32_t range = 0; core->holdings != NULL && range < ring_ranges(&core->ring); range++) {
        const struct holding *holding = &core->holdings[range];
        const struct range_record *record = ring_get(&core->ring, range);
        if (holding->record.epoch == 0)
            continue;
        ASSERT(record_check(&holding->record, ring_ranges(&core->ring)));
        ASSERT(record_compare(&holding->record, record) <= 0);
        bool reads = record_slot_read_by(&holding->record, core->self) != NULL;
        ASSERT(!reads || holding->tenure != 0);
    }
}

const struct core *node_core(const struct node *node)
{
    return &node->core;
}

enum node_state node_state(const struct node *node)
{
    return node->state;
}

const struct node_counters *node_counters(const struct node *node)
{
    return &node->core.counters;
}

bool node_range_ready(const struct node *node, uint32_t range)
{
    return node->core.holdings != NULL && node->core.holdings[range].ready;
}

void node_set_load(struct node *node, const struct load *load)
{
    struct load full = *load;
    full.hint_bytes = node->core.hinted.bytes;
    full.hint_oldest = hinted_oldest(&node->core.hinted);
    if (node->core.shard == 0) {
        shards_load(&node->shards, &full);
        node->core.forks_differ = shards_forks_differ(&node->shards, node->core.ring.forks);
    }
    gossip_set_load(&node->gossip, &node->core, &full);
    const struct load *own = loads_find(&node->gossip.loads, node->core.self);
    if (own != NULL)
        detector_set_load(&node->detector, own);
}

uint32_t node_peers(const struct node *node, struct peer_status *ret, uint32_t cap)
{
    const struct core *core = &node->core;
    uint32_t count = 0;
    for (uint32_t i = 0; i < core->members.count && count < cap; i++) {
        struct node_id id = core->members.members[i]->id;
        struct detector_status status;
        if (id_equal(id, core->self) || !detector_status(&node->detector, core, id, &status))
            continue;
        struct peer_status *peer = &ret[count++];
        memset(peer, 0, sizeof(*peer));
        peer->id = id;
        peer->up = status.up;
        peer->phi = status.phi;
        peer->heard_us = status.heard_us;
        peer->since_us = status.since_us;
        peer->generation = status.generation;
        peer->position = status.position;
        const struct load *load = loads_find(&node->gossip.loads, id);
        if (load != NULL)
            peer->load = *load;
    }
    return count;
}

uint32_t node_transfers(const struct node *node, struct transfer_status *ret, uint32_t cap)
{
    if (node->core.holdings == NULL)
        return 0;
    return transfers_status(&node->transfers, &node->core, ret, cap);
}

uint32_t node_hints(const struct node *node, struct hint_target *ret, uint32_t cap)
{
    const struct core *core = &node->core;
    size_t cursor = 0;
    uint32_t count = 0;
    const struct hinted_range *range;
    while ((range = map_next(&core->hinted.ranges, &cursor, NULL)) != NULL) {
        for (uint32_t i = 0; i < SLOTS_MAX; i++) {
            if (range->keys_of[i] == 0)
                continue;
            if (count < cap) {
                ret[count] = (struct hint_target){.range = range->range,
                                                  .slot = (uint8_t)i,
                                                  .keys = range->keys_of[i],
                                                  .bytes = range->bytes_of[i],
                                                  .oldest = range->oldest};
                hints_hold(core, range, i, &ret[count]);
            }
            count++;
        }
    }
    return count;
}

bool node_has_rift(const struct node *node, struct node_id *ret_node)
{
    return rift_shows(&node->gossip.rift, node->core.now.us, ret_node);
}

void node_repair(const struct node *node, struct repair_status *ret_status)
{
    const struct core *core = &node->core;
    const struct repairs *repairs = &node->repairs;
    *ret_status = (struct repair_status){.dirty_ranges = repairs_left(repairs),
                                         .rate = pace_rate(&core->pace),
                                         .move_rate = pace_move_rate(&core->pace),
                                         .p99_us = core->pace.p99_us,
                                         .limit_us = core->pace.limit_us,
                                         .bytes = core->pace.total,
                                         .slowed = core->pace.slowed};
    repairs_asked(repairs, core, &ret_status->asked, &ret_status->unreachable);
    ret_status->bucket = repairs_bucket(repairs);
}

uint32_t node_repair_preview(const struct node *node, const struct repair_choice *choice)
{
    return repairs_count(&node->repairs, &node->core, choice);
}
