/* Making a plan: what must move first, then what should.
 *
 * 1. Slots of leaving nodes go to others, or are dropped. 2. Ranges with too few slots get new
 * ones.
 * 3. Slots that share a zone while another zone has none go there. 4. What is left over or under
 * its share moves (layout_balance.c). Each time the node that is emptiest beside its share is
 * chosen, so that the last step has little to do. */
#include "data/layout.h"

#include "base/error.h"

static bool may_take(const struct layout *layout, const struct layout_node *node)
{
    struct node_id heir = layout->input->heir;
    return id_none(heir) || id_equal(heir, node->node->id);
}

/* The best node to take SEAT (NULL: a new slot) of RANGE: one whose zone has no slot of it yet,
 * then the emptiest; NODE_FOREIGN if there is none. */
static int32_t choose_node(const struct layout *layout, uint32_t range, const struct seat *seat)
{
    uint32_t others = layout_zones(layout, range, seat, NODE_FOREIGN);
    bool zones_left = others < layout->zones;
    int32_t best = NODE_FOREIGN;
    bool best_zone = false;
    double best_fill = 0;
    double best_leads = 0;
    for (int32_t i = 0; i < (int32_t)layout->nodes_count; i++) {
        const struct layout_node *node = &layout->nodes[i];
        double fill = (double)(node->load + layout->weights[range]) / node->target;
        double leads = node->leads / MAX(node->leads_target, 1e-6);
        bool better =
            best == NODE_FOREIGN || fill < best_fill || (fill <= best_fill && leads < best_leads);
        if (node->node->leaving || (!better && (best_zone || !zones_left)))
            continue;
        if (layout_holds(layout, range, i) || node->node->down || !may_take(layout, node))
            continue;
        bool zone = zones_left;
        const struct seating *seating = &layout->seatings[range];
        for (uint32_t j = 0; j < seating->count && zone; j++) {
            const struct seat *other = &seating->seats[j];
            zone =
                other == seat || other->owner < 0 || layout->nodes[other->owner].zone != node->zone;
        }
        if (best != NODE_FOREIGN && (zone != best_zone ? best_zone : !better))
            continue;
        best = i;
        best_zone = zone;
        best_fill = fill;
        best_leads = leads;
    }
    return best;
}

/* How many copies RANGE would have without its leaving nodes and what was dropped. */
static uint32_t staying_copies(const struct layout *layout, uint32_t range)
{
    const struct seating *seating = &layout->seatings[range];
    uint32_t staying = 0;
    for (uint32_t i = 0; i < seating->count; i++) {
        int32_t owner = seating->seats[i].owner;
        staying += owner >= 0 && !layout->nodes[owner].node->leaving;
    }
    return staying;
}

static int empty_leaving(struct layout *layout)
{
    bool fewer_copies = layout->input->fewer_copies;
    for (uint32_t range = 0; range < layout->ranges; range++) {
        struct seating *seating = &layout->seatings[range];
        for (uint32_t i = 0; i < seating->count && !seating->fixed; i++) {
            struct seat *seat = &seating->seats[i];
            if (seat->owner < 0 || !layout->nodes[seat->owner].node->leaving)
                continue;
            int32_t node = choose_node(layout, range, seat);
            bool kept = !fewer_copies || staying_copies(layout, range) == 0;
            if (node == NODE_FOREIGN && kept && layout->input->homeless_wait)
                continue;
            if (node == NODE_FOREIGN && kept)
                return ERR_REFUSED;
            layout_give(layout, range, seat, node == NODE_FOREIGN ? NODE_DROPPED : node);
        }
    }
    return OK;
}

/* Of the slots that share their zone with another one, the one whose node is fullest. */
static struct seat *choose_crowded(const struct layout *layout, uint32_t range)
{
    struct seating *seating = &layout->seatings[range];
    uint32_t zones = layout_zones(layout, range, NULL, NODE_FOREIGN);
    struct seat *best = NULL;
    double best_fill = 0;
    for (uint32_t i = 0; i < seating->count; i++) {
        struct seat *seat = &seating->seats[i];
        if (seat->owner < 0 || layout_zones(layout, range, seat, NODE_FOREIGN) < zones)
            continue;
        const struct layout_node *node = &layout->nodes[seat->owner];
        double fill = (double)node->load / node->target;
        if (best == NULL || fill > best_fill) {
            best = seat;
            best_fill = fill;
        }
    }
    return best;
}

static void spread_zones(struct layout *layout)
{
    for (uint32_t range = 0; range < layout->ranges; range++) {
        while (!layout->seatings[range].fixed && layout_zones_missing(layout, range) > 0) {
            uint32_t zones = layout_zones(layout, range, NULL, NODE_FOREIGN);
            struct seat *seat = choose_crowded(layout, range);
            int32_t node = seat == NULL ? NODE_FOREIGN : choose_node(layout, range, seat);
            if (node == NODE_FOREIGN || layout_zones(layout, range, seat, node) <= zones)
                break;
            layout_give(layout, range, seat, node);
        }
    }
}

static void add_copies(struct layout *layout)
{
    bool forked_only = layout->input->leaving_only;
    for (uint32_t range = 0; range < layout->ranges; range++) {
        const struct seating *seating = &layout->seatings[range];
        if (seating->fixed || (forked_only && ring_get(layout->input->ring, range)->fork == 0))
            continue;
        uint32_t held = 0;
        for (uint32_t i = 0; i < seating->count; i++)
            held += seating->seats[i].owner != NODE_DROPPED;
        for (; held < layout->copies && seating->count < SLOTS_MAX; held++) {
            int32_t node = choose_node(layout, range, NULL);
            if (node == NODE_FOREIGN)
                break;
            layout_add(layout, range, node);
        }
    }
}

/* ---------------------------------------------------------------------------- Writing it down. */

static struct node_id node_name(const struct layout *layout, int32_t node)
{
    return node >= 0 ? layout->nodes[node].node->id : NODE_NONE;
}

/* In the order in which they are made: first those that add a copy, last those that take one away.
 */
enum kind { KIND_LEARN, KIND_MOVE, KIND_DROP, KINDS };

static bool seat_is(const struct seat *seat, enum kind kind)
{
    if (seat->learned)
        return kind == KIND_LEARN;
    if (seat->owner == NODE_DROPPED)
        return kind == KIND_DROP;
    return kind == KIND_MOVE && seat->owner != seat->from;
}

static void write_moves(const struct layout *layout, struct plan *plan,
                        struct plan_figures *figures)
{
    uint32_t capacity = 0;
    for (uint32_t range = 0; range < layout->ranges; range++) {
        const struct seating *seating = &layout->seatings[range];
        for (uint32_t i = 0; i < seating->count; i++)
            capacity +=
                seating->seats[i].learned || seating->seats[i].owner != seating->seats[i].from;
    }
    plan->moves = mem_zero(capacity * sizeof(*plan->moves));
    for (uint32_t range = 0; range < layout->ranges; range++) {
        const struct seating *seating = &layout->seatings[range];
        for (int kind = 0; kind < KINDS; kind++) {
            for (uint32_t i = 0; i < seating->count; i++) {
                const struct seat *seat = &seating->seats[i];
                if (!seat_is(seat, (enum kind)kind))
                    continue;
                plan->moves[plan->count++] = (struct plan_move){
                    .range = range,
                    .slot = seat->number,
                    .from = node_name(layout, seat->from),
                    .to = node_name(layout, seat->owner),
                };
                figures->learns += kind == KIND_LEARN;
                figures->weight_moved += kind == KIND_DROP ? 0 : layout->weights[range];
            }
        }
    }
    figures->moves = plan->count;
}

/* Full copies of RANGE at the worst moment: those it has now, less those that are dropped or lost.
 * Seats lie as the slots do, and behind them the new ones. */
static uint32_t copies_meanwhile(const struct layout *layout, uint32_t range)
{
    const struct range_record *record = ring_get(layout->input->ring, range);
    const struct seating *seating = &layout->seatings[range];
    struct node_id voters[SLOTS_MAX];
    uint32_t copies = record_voters(record, voters);
    for (uint32_t i = 0; i < seating->count; i++) {
        const struct seat *seat = &seating->seats[i];
        bool lost = seat->from >= 0 && layout->nodes[seat->from].node->lost;
        if (lost) /* One that is fenced or on its way is no full copy now either. */
            copies -= i < record->slots_count && record->slots[i].stage == STAGE_STABLE;
        else
            copies -= seat->owner == NODE_DROPPED;
    }
    return copies;
}

static void write_figures(const struct layout *layout, struct plan_figures *figures)
{
    figures->spread_after = layout_spread(layout, false);
    figures->copies_worst = UINT32_MAX;
    for (uint32_t range = 0; range < layout->ranges; range++) {
        if (ring_get(layout->input->ring, range)->epoch == 0)
            continue;
        figures->copies_worst = MIN(figures->copies_worst, copies_meanwhile(layout, range));
        figures->same_zone_after += layout_zones_missing(layout, range) > 0;
    }
    if (figures->copies_worst == UINT32_MAX)
        figures->copies_worst = 0;
}

int plan_make(const struct plan_input *input, struct plan *ret_plan,
              struct plan_figures *ret_figures)
{
    ASSERT(input->copies > 0 && input->copies <= SLOTS_MAX);
    struct layout layout;
    struct plan plan = {.state = PLAN_RUNNING};
    struct plan_figures figures = {0};
    layout_init(&layout, input);
    layout_set_targets(&layout);
    figures.spread_before = layout_spread(&layout, true);
    int error = empty_leaving(&layout);
    if (error == 0 && layout.staying > 0)
        add_copies(&layout);
    if (error == 0 && layout.staying > 0 && !input->leaving_only) {
        spread_zones(&layout);
        layout_balance(&layout);
    }
    if (error == 0) {
        write_moves(&layout, &plan, &figures);
        write_figures(&layout, &figures);
        *ret_plan = plan;
        *ret_figures = figures;
    }
    layout_done(&layout);
    return error;
}
