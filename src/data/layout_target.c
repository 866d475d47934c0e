/* How much each node should hold: its share by capacity, as far as that can be had.
 *
 * A node holds a range at most once. With as many zones as slots, a zone does too; with fewer, each
 * zone must hold every range at least once. Shares that these bounds cut off go to the others in
 * proportion (water filling), first over the zones, then over the nodes of each. */
#include "data/layout.h"

static const double tolerance = 0.05;

/* A share of a whole: in proportion to `capacity`, but within bounds. */
struct share {
    double capacity;
    double least;
    double most;
    double got;
};

static double shares_pour(struct share *shares, uint32_t count, double level)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        double got = shares[i].capacity * level;
        shares[i].got = MIN(MAX(got, shares[i].least), shares[i].most);
        sum += shares[i].got;
    }
    return sum;
}

/* Find the level at which the shares sum up to TOTAL, or come as near as their bounds let them. */
static void shares_fill(struct share *shares, uint32_t count, double total)
{
    double low = 0;
    double high = 1;
    for (uint32_t i = 0; i < 200 && shares_pour(shares, count, high) < total; i++)
        high *= 2;
    for (uint32_t i = 0; i < 100; i++) {
        double middle = (low + high) / 2;
        if (shares_pour(shares, count, middle) < total)
            low = middle;
        else
            high = middle;
    }
    shares_pour(shares, count, high);
}

/* Weight of all slots that the planner's nodes will hold, and of all ranges once. */
static void weigh(const struct layout *layout, double *ret_all, double *ret_once)
{
    *ret_all = 0;
    *ret_once = 0;
    for (uint32_t range = 0; range < layout->ranges; range++) {
        const struct seating *seating = &layout->seatings[range];
        uint32_t ours = 0;
        for (uint32_t i = 0; i < seating->count; i++)
            ours += seating->seats[i].owner >= 0;
        if (!seating->fixed)
            ours = MAX(MIN(ours, layout->staying), layout->copies);
        *ret_all += (double)(layout->weights[range] * ours);
        *ret_once += (double)layout->weights[range];
    }
}

static void fill_zones(const struct layout *layout, struct share *zones, uint32_t zones_count,
                       double all, double once)
{
    for (uint32_t i = 0; i < layout->nodes_count; i++) {
        if (layout->nodes[i].node->leaving)
            continue;
        struct share *zone = &zones[layout->nodes[i].zone];
        zone->capacity += layout->nodes[i].node->capacity;
        zone->most += once; /* What its nodes could hold. */
    }
    bool scarce = layout->zones <= layout->copies;
    uint32_t most = scarce ? layout->copies - layout->zones + 1 : 1;
    for (uint32_t i = 0; i < zones_count; i++) {
        zones[i].most = MIN(zones[i].most, most * once);
        zones[i].least = scarce ? MIN(zones[i].most, once) : 0;
    }
    shares_fill(zones, zones_count, all);
}

static void set_bounds(struct layout_node *node, double target)
{
    static const double rounding = 1e-6;
    node->target = MAX(target, rounding);
    uint64_t below = (uint64_t)(target + rounding);
    double above = (double)(uint64_t)(target + 1 - rounding);
    double least = (double)(uint64_t)(target * (1 - tolerance) + 1 - rounding);
    double most = (double)(uint64_t)(target * (1 + tolerance));
    node->low = MIN((double)below, least);
    node->high = MAX(above, most);
}

static void fill_nodes(struct layout *layout, const struct share *zones, uint32_t zones_count,
                       double once)
{
    struct share *shares = mem_zero(layout->nodes_count * sizeof(*shares));
    for (uint32_t zone = 0; zone < zones_count; zone++) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < layout->nodes_count; i++) {
            const struct layout_node *node = &layout->nodes[i];
            if (node->zone == zone && !node->node->leaving)
                shares[count++] = (struct share){.capacity = node->node->capacity, .most = once};
        }
        shares_fill(shares, count, zones[zone].got);
        count = 0;
        for (uint32_t i = 0; i < layout->nodes_count; i++) {
            struct layout_node *node = &layout->nodes[i];
            if (node->zone == zone && !node->node->leaving)
                set_bounds(node, shares[count++].got);
        }
    }
    mem_free(shares);
}

void layout_set_targets(struct layout *layout)
{
    double all;
    double once;
    weigh(layout, &all, &once);
    uint32_t zones_count = 0;
    for (uint32_t i = 0; i < layout->nodes_count; i++)
        zones_count = MAX(zones_count, layout->nodes[i].zone + 1);
    struct share *zones = mem_zero(zones_count * sizeof(*zones));
    fill_zones(layout, zones, zones_count, all, once);
    fill_nodes(layout, zones, zones_count, once);
    for (uint32_t i = 0; i < layout->nodes_count; i++) {
        struct layout_node *node = &layout->nodes[i];
        node->leads_target = all > 0 ? layout->ranges * node->target / all : 0;
    }
    mem_free(zones);
}
