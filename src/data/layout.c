/* Who holds which slot: taken from the ring, changed by the planner. */
#include "data/layout.h"

#include <stdlib.h>

static int node_order(const void *a, const void *b)
{
    const struct layout_node *x = a;
    const struct layout_node *y = b;
    return id_compare(x->node->id, y->node->id);
}

static int32_t node_find(const struct layout *layout, struct node_id id)
{
    uint32_t low = 0;
    uint32_t high = layout->nodes_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = id_compare(layout->nodes[middle].node->id, id);
        if (order == 0)
            return (int32_t)middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NODE_FOREIGN;
}

/* ------------------------------------------------------------------------------------ Books. */

static bool stays(const struct layout *layout, int32_t owner)
{
    return owner >= 0 && !layout->nodes[owner].node->leaving;
}

struct seat *layout_lead(const struct layout *layout, uint32_t range)
{
    struct seating *seating = &layout->seatings[range];
    struct seat *lead = NULL;
    for (uint32_t i = 0; i < seating->count; i++) {
        struct seat *seat = &seating->seats[i];
        if (seat->owner != NODE_DROPPED && (lead == NULL || seat->number < lead->number))
            lead = seat;
    }
    return lead;
}

static void count_lead(struct layout *layout, uint32_t range, int change)
{
    const struct seat *lead = layout_lead(layout, range);
    if (lead != NULL && lead->owner >= 0)
        layout->nodes[lead->owner].leads += (uint32_t)change;
}

void layout_give(struct layout *layout, uint32_t range, struct seat *seat, int32_t node)
{
    count_lead(layout, range, -1);
    if (seat->owner >= 0)
        layout->nodes[seat->owner].load -= layout->weights[range];
    seat->owner = node;
    if (seat->owner >= 0)
        layout->nodes[seat->owner].load += layout->weights[range];
    count_lead(layout, range, 1);
}

void layout_add(struct layout *layout, uint32_t range, int32_t node)
{
    struct seating *seating = &layout->seatings[range];
    uint32_t used = 0;
    for (uint32_t i = 0; i < seating->count; i++)
        used |= 1u << seating->seats[i].number;
    uint8_t number = 0;
    while ((used >> number & 1) != 0)
        number++;
    ASSERT(seating->count < SLOTS_MAX && number < SLOTS_MAX);
    count_lead(layout, range, -1);
    seating->seats[seating->count++] = (struct seat){NODE_FOREIGN, node, number, true};
    layout->nodes[node].load += layout->weights[range];
    count_lead(layout, range, 1);
}

bool layout_holds(const struct layout *layout, uint32_t range, int32_t node)
{
    const struct seating *seating = &layout->seatings[range];
    for (uint32_t i = 0; i < seating->count; i++)
        if (seating->seats[i].owner == node || seating->seats[i].from == node)
            return true;
    return false;
}

uint32_t layout_zones(const struct layout *layout, uint32_t range, const struct seat *seat,
                      int32_t node)
{
    const struct seating *seating = &layout->seatings[range];
    uint32_t seen[SLOTS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < seating->count; i++) {
        int32_t owner = &seating->seats[i] == seat ? node : seating->seats[i].owner;
        if (!stays(layout, owner))
            continue;
        uint32_t at = 0;
        while (at < count && seen[at] != layout->nodes[owner].zone)
            at++;
        if (at == count)
            seen[count++] = layout->nodes[owner].zone;
    }
    return count;
}

uint32_t layout_zones_missing(const struct layout *layout, uint32_t range)
{
    const struct seating *seating = &layout->seatings[range];
    uint32_t held = 0;
    for (uint32_t i = 0; i < seating->count; i++)
        held += stays(layout, seating->seats[i].owner);
    uint32_t wanted = MIN(held, layout->zones);
    uint32_t zones = layout_zones(layout, range, NULL, NODE_FOREIGN);
    return zones < wanted ? wanted - zones : 0;
}

double layout_spread(const struct layout *layout, bool with_leaving)
{
    double load = 0;
    double capacity = 0;
    double highest = 0;
    for (uint32_t i = 0; i < layout->nodes_count; i++) {
        const struct layout_node *node = &layout->nodes[i];
        if (node->node->leaving && !with_leaving)
            continue;
        load += (double)node->load;
        capacity += node->node->capacity;
        highest = MAX(highest, (double)node->load / node->node->capacity);
    }
    return load > 0 ? highest * capacity / load - 1 : 0;
}

/* --------------------------------------------------------------------------------- Taking in. */

static int by_zone(const void *a, const void *b)
{
    const struct layout_node *const *x = a;
    const struct layout_node *const *y = b;
    return slice_compare((*x)->node->zone, (*y)->node->zone);
}

static void take_zones(struct layout *layout)
{
    struct layout_node **sorted = mem_alloc(layout->nodes_count * sizeof(struct layout_node *));
    for (uint32_t i = 0; i < layout->nodes_count; i++)
        sorted[i] = &layout->nodes[i];
    qsort(sorted, layout->nodes_count, sizeof(struct layout_node *), by_zone);
    uint32_t zone = 0;
    bool stays = false;
    for (uint32_t i = 0; i < layout->nodes_count; i++) {
        if (i > 0 && by_zone(&sorted[i - 1], &sorted[i]) != 0) {
            layout->zones += stays;
            stays = false;
            zone++;
        }
        sorted[i]->zone = zone;
        stays = stays || !sorted[i]->node->leaving;
    }
    layout->zones += stays;
    mem_free(sorted);
}

static void take_nodes(struct layout *layout, const struct plan_input *input)
{
    layout->nodes_count = input->nodes_count;
    layout->nodes = mem_zero(input->nodes_count * sizeof(*layout->nodes));
    for (uint32_t i = 0; i < input->nodes_count; i++) {
        ASSERT(input->nodes[i].capacity > 0 && !id_none(input->nodes[i].id));
        layout->nodes[i].node = &input->nodes[i];
        layout->staying += !input->nodes[i].leaving;
    }
    qsort(layout->nodes, layout->nodes_count, sizeof(*layout->nodes), node_order);
    for (uint32_t i = 1; i < layout->nodes_count; i++)
        ASSERT(node_order(&layout->nodes[i - 1], &layout->nodes[i]) < 0);
    take_zones(layout);
}

static void take_weights(struct layout *layout, const struct plan_input *input)
{
    layout->weights = mem_alloc(layout->ranges * sizeof(*layout->weights));
    uint64_t total = 0;
    for (uint32_t range = 0; range < layout->ranges && input->weights != NULL; range++)
        total += input->weights[range];
    /* With nothing stored yet, every range weighs the same. */
    layout->uniform = total == 0;
    for (uint32_t range = 0; range < layout->ranges; range++)
        layout->weights[range] = layout->uniform ? 1 : input->weights[range];
}

/* Who has the slot once what is under way has ended. */
static struct node_id slot_heir(const struct slot *slot)
{
    bool goes_back = slot->stage == STAGE_BACK;
    return id_none(slot->target) || goes_back ? slot->owner : slot->target;
}

static void take_record(struct layout *layout, const struct range_record *record, uint32_t range)
{
    struct seating *seating = &layout->seatings[range];
    seating->fixed = record->epoch == 0 || record->transfer != 0;
    seating->count = record->slots_count;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        int32_t node = node_find(layout, slot_heir(slot));
        bool waits = slot->stage == STAGE_FENCE && node >= 0 && layout->nodes[node].node->lost;
        seating->fixed = seating->fixed || (slot->stage != STAGE_STABLE && !waits);
        seating->seats[i] = (struct seat){node, node, slot->number, false};
        if (node >= 0)
            layout->nodes[node].load += layout->weights[range];
    }
    count_lead(layout, range, 1);
}

void layout_init(struct layout *layout, const struct plan_input *input)
{
    *layout = (struct layout){.input = input, .ranges = ring_ranges(input->ring)};
    take_nodes(layout, input);
    take_weights(layout, input);
    layout->copies = MIN(MIN(input->copies, layout->staying), (uint32_t)SLOTS_MAX);
    layout->seatings = mem_zero(layout->ranges * sizeof(*layout->seatings));
    for (uint32_t range = 0; range < layout->ranges; range++)
        take_record(layout, ring_get(input->ring, range), range);
}

void layout_done(struct layout *layout)
{
    mem_free(layout->nodes);
    mem_free(layout->seatings);
    mem_free(layout->weights);
    *layout = (struct layout){0};
}
