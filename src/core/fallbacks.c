#include "core/fallbacks.h"

enum {
    WALK_MAX = 256
}; /* Ranges. Nodes that are not met on the way follow in order of their ids. */

static bool leaves(const struct core *core, struct node_id node)
{
    char name[8 + NODE_ID_TEXT] = "leave/";
    id_format(node, name + 6);
    return setting_value(&core->settings, slice_string(name)).size > 0;
}

bool fallback_may_be(const struct core *core, const struct range_record *record,
                     struct node_id node)
{
    const struct member *member = member_find(&core->members, node);
    return member != NULL && member->status == MEMBER_UP && core_is_up(core, node) &&
           !record_has_member(record, node) && !leaves(core, node);
}

static struct slice zone_of(const struct core *core, struct node_id node)
{
    const struct member *member = member_find(&core->members, node);
    return member == NULL ? SLICE_NONE : member->zone;
}

struct walk {
    const struct core *core;
    const struct range_record *record;
    struct node_id members[2 * SLOTS_MAX]; /* Of the range. */
    uint32_t members_count;
    bool other_zones; /* The first round: only these. */
    struct node_id *found;
    uint32_t count, cap;
};

static bool has_zone(const struct walk *walk, struct slice zone)
{
    for (uint32_t i = 0; i < walk->members_count; i++)
        if (slice_equal(zone_of(walk->core, walk->members[i]), zone))
            return true;
    return false;
}

static void meet(struct walk *walk, struct node_id node)
{
    for (uint32_t i = 0; i < walk->count; i++)
        if (id_equal(walk->found[i], node))
            return;
    if (walk->count == walk->cap || !fallback_may_be(walk->core, walk->record, node) ||
        (walk->other_zones && has_zone(walk, zone_of(walk->core, node))))
        return;
    walk->found[walk->count++] = node;
}

static void go_round(struct walk *walk)
{
    const struct core *core = walk->core;
    uint32_t ranges = ring_ranges(&core->ring);
    uint32_t steps = MIN(ranges, (uint32_t)WALK_MAX);
    for (uint32_t i = 1; i < steps && walk->count < walk->cap; i++) {
        const struct range_record *record =
            ring_get(&core->ring, (walk->record->range + i) & (ranges - 1));
        for (uint32_t k = 0; k < record->slots_count; k++) {
            struct node_id reader = slot_reader(&record->slots[k]);
            if (!id_none(reader))
                meet(walk, reader);
        }
    }
    /* From a place that the range decides: else one node would stand in for all. */
    uint32_t count = core->members.count;
    for (uint32_t i = 0; i < count && walk->count < walk->cap; i++)
        meet(walk, core->members.members[(walk->record->range + i) % count]->id);
}

uint32_t fallbacks(const struct core *core, uint32_t range, struct node_id *ret, uint32_t cap)
{
    struct walk walk = {.core = core,
                        .record = ring_get(&core->ring, range),
                        .other_zones = true,
                        .found = ret,
                        .cap = cap};
    if (walk.record->epoch == 0)
        return 0;
    walk.members_count = record_members(walk.record, walk.members);
    go_round(&walk);
    walk.other_zones = false;
    go_round(&walk);
    return walk.count;
}
