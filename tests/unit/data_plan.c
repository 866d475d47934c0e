/* The planner: its plans are carried out on a ring, stage by stage, and the outcome judged. */
#include "base/error.h"
#include "base/prng.h"
#include "data/plan.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { NODES_MAX = 512 };

struct cluster {
    struct ring ring;
    struct plan_node nodes[NODES_MAX];
    uint32_t nodes_count;
    uint64_t nodes_ever;
    uint32_t copies;
    uint64_t *weights; /* Owned; NULL for count. */
};

static struct node_id node(uint64_t n)
{
    /* Spread, so that the order of ids is not the order of joining. */
    return (struct node_id){n * 0x9e3779b97f4a7c15u | 1, n};
}

static void cluster_join(struct cluster *cluster, uint32_t count, const char *zone,
                         uint32_t capacity)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t n = ++cluster->nodes_ever;
        cluster->nodes[cluster->nodes_count++] =
            (struct plan_node){.id = node(n), .zone = slice_string(zone), .capacity = capacity};
    }
}

/* One node that owns all. */
static void cluster_found(struct cluster *cluster, uint32_t bits, uint32_t copies, const char *zone)
{
    *cluster = (struct cluster){.copies = copies};
    ring_init(&cluster->ring, bits);
    for (uint32_t range = 0; range < 1u << bits; range++) {
        struct range_record record = {.range = range, .epoch = 1, .slots_count = 1};
        record.slots[0].owner = node(1);
        ring_merge(&cluster->ring, &record);
    }
    cluster_join(cluster, 1, zone, 100);
}

static void cluster_done(struct cluster *cluster)
{
    ring_done(&cluster->ring);
    mem_free(cluster->weights);
}

static int cluster_plan(const struct cluster *cluster, bool fewer_copies, struct plan *plan,
                        struct plan_figures *figures)
{
    struct plan_input input = {
        .ring = &cluster->ring,
        .nodes = cluster->nodes,
        .nodes_count = cluster->nodes_count,
        .copies = cluster->copies,
        .weights = cluster->weights,
        .fewer_copies = fewer_copies,
    };
    return plan_make(&input, plan, figures);
}

/* ------------------------------------------------------------------------- Carrying plans out. */

static struct slot *slot_of(struct range_record *record, uint32_t number)
{
    return (struct slot *)(uintptr_t)record_slot(record, number);
}

static void insert_slot(struct range_record *record, struct slot slot)
{
    uint32_t at = record->slots_count++;
    for (; at > 0 && record->slots[at - 1].number > slot.number; at--)
        record->slots[at] = record->slots[at - 1];
    record->slots[at] = slot;
}

static void remove_slot(struct range_record *record, struct slot *slot)
{
    record->slots_count--;
    for (uint32_t i = (uint32_t)(slot - record->slots); i < record->slots_count; i++)
        record->slots[i] = record->slots[i + 1];
}

static void drop_former(struct range_record *record, struct node_id id)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < record->former_count; i++)
        if (!id_equal(record->former[i], id))
            record->former[kept++] = record->former[i];
    record->former_count = (uint8_t)kept;
}

/* The next record on the way of MOVE. */
static struct range_record step_move(const struct range_record *record,
                                     const struct plan_move *move)
{
    struct range_record next = *record;
    struct slot *slot = slot_of(&next, move->slot);
    next.epoch++;
    if (slot == NULL) {
        cr_assert(id_none(move->from));
        insert_slot(&next, (struct slot){move->slot, STAGE_LEARN, NODE_NONE, move->to});
        drop_former(&next, move->to);
        next.transfer = 1;
    } else if (id_none(move->to) && slot->stage == STAGE_STABLE) {
        slot->stage = STAGE_FENCE;
    } else if (id_none(move->to)) {
        remove_slot(&next, slot);
    } else if (slot->stage == STAGE_STABLE) {
        slot->stage = STAGE_JOINT;
        slot->target = move->to;
        drop_former(&next, move->to);
        next.transfer = 1;
    } else if (slot->stage == STAGE_JOINT) {
        slot->stage = STAGE_CUT;
    } else {
        if (slot->stage == STAGE_CUT)
            next.former[next.former_count++] = slot->owner;
        *slot = (struct slot){slot->number, STAGE_STABLE, slot->target, NODE_NONE};
        next.transfer = 0;
    }
    return next;
}

/* Make all moves of the plan; what the stage table forbids fails. Returns how many were made. */
static uint32_t carry_out(struct cluster *cluster, const struct plan *plan)
{
    uint32_t made = 0;
    /* In whatever order a range's moves are made, none finds its target in the range already. */
    for (uint32_t i = 0; i < plan->count; i++)
        cr_assert(
            !record_has_member(ring_get(&cluster->ring, plan->moves[i].range), plan->moves[i].to));
    for (uint32_t range = 0; range < ring_ranges(&cluster->ring); range++) {
        const struct plan_move *move;
        const struct plan_move *last = NULL;
        while ((move = plan_next_move(plan, &cluster->ring, range)) != NULL) {
            made += move != last;
            last = move;
            const struct range_record *record = ring_get(&cluster->ring, range);
            struct range_record next = step_move(record, move);
            cr_assert(record_may_follow(record, &next), "range %u", range);
            cr_assert(ring_merge(&cluster->ring, &next));
        }
        struct range_record clean = *ring_get(&cluster->ring, range);
        if (clean.former_count > 0) {
            clean.former_count = 0;
            clean.epoch++;
            ring_merge(&cluster->ring, &clean);
        }
    }
    return made;
}

static uint32_t slots_of(const struct cluster *cluster, uint32_t index)
{
    return ring_slots_of(&cluster->ring, cluster->nodes[index].id);
}

static uint32_t leads_of(const struct cluster *cluster, uint32_t index)
{
    uint32_t leads = 0;
    for (uint32_t range = 0; range < ring_ranges(&cluster->ring); range++)
        leads += id_equal(record_driver(ring_get(&cluster->ring, range)), cluster->nodes[index].id);
    return leads;
}

static const struct plan_node *find_node(const struct cluster *cluster, struct node_id id)
{
    for (uint32_t i = 0; i < cluster->nodes_count; i++)
        if (id_equal(cluster->nodes[i].id, id))
            return &cluster->nodes[i];
    return NULL;
}

/* Ranges with two slots in one zone though another zone, in which a node stays, has none. */
static uint32_t crowded_ranges(const struct cluster *cluster)
{
    uint32_t crowded = 0;
    for (uint32_t range = 0; range < ring_ranges(&cluster->ring); range++) {
        const struct range_record *record = ring_get(&cluster->ring, range);
        bool shared = false;
        bool unused = false;
        for (uint32_t i = 0; i < record->slots_count; i++)
            for (uint32_t j = 0; j < i; j++)
                shared = shared || slice_equal(find_node(cluster, record->slots[i].owner)->zone,
                                               find_node(cluster, record->slots[j].owner)->zone);
        for (uint32_t n = 0; n < cluster->nodes_count; n++) {
            bool used = cluster->nodes[n].leaving;
            for (uint32_t i = 0; i < record->slots_count; i++)
                used = used || slice_equal(find_node(cluster, record->slots[i].owner)->zone,
                                           cluster->nodes[n].zone);
            unused = unused || !used;
        }
        crowded += shared && unused;
    }
    return crowded;
}

static bool by_weight(const struct cluster *cluster)
{
    for (uint32_t range = 0; cluster->weights != NULL && range < ring_ranges(&cluster->ring);
         range++)
        if (cluster->weights[range] > 0)
            return true;
    return false;
}

static uint64_t load_of(const struct cluster *cluster, uint32_t index)
{
    uint64_t load = 0;
    bool weigh = by_weight(cluster);
    for (uint32_t range = 0; range < ring_ranges(&cluster->ring); range++)
        if (record_has_member(ring_get(&cluster->ring, range), cluster->nodes[index].id))
            load += weigh ? cluster->weights[range] : 1;
    return load;
}

/* Highest load over the capacity-weighted mean, minus 1, recounted from the ring. */
static double spread_of(const struct cluster *cluster)
{
    double all = 0, capacity = 0, highest = 0;
    for (uint32_t i = 0; i < cluster->nodes_count; i++) {
        if (cluster->nodes[i].leaving)
            continue;
        double load = (double)load_of(cluster, i);
        all += load;
        capacity += cluster->nodes[i].capacity;
        highest = MAX(highest, load / cluster->nodes[i].capacity);
    }
    return all > 0 ? highest * capacity / all - 1 : 0;
}

/* Plan, carry out, and check what every plan promises. Returns the figures. */
static struct plan_figures rebalance(struct cluster *cluster)
{
    struct plan plan;
    struct plan_figures figures;
    cr_assert_eq(cluster_plan(cluster, false, &plan, &figures), 0);
    cr_assert_eq(figures.moves, plan.count);
    cr_assert_eq(carry_out(cluster, &plan), plan.count);
    uint32_t staying = 0;
    for (uint32_t i = 0; i < cluster->nodes_count; i++) {
        staying += !cluster->nodes[i].leaving;
        if (cluster->nodes[i].leaving)
            cr_assert_eq(slots_of(cluster, i), 0);
    }
    for (uint32_t range = 0; range < ring_ranges(&cluster->ring); range++)
        cr_assert_geq(ring_get(&cluster->ring, range)->slots_count, MIN(staying, cluster->copies));
    cr_assert_float_eq(figures.spread_after, spread_of(cluster), 1e-9);
    cr_assert_eq(figures.same_zone_after, crowded_ranges(cluster));
    plan_done(&plan);
    /* A plan that was carried out leaves next to nothing to plan. */
    struct plan_figures again;
    cr_assert_eq(cluster_plan(cluster, false, &plan, &again), 0);
    cr_assert_leq(plan.count, (figures.moves + 19) / 20);
    plan_done(&plan);
    return figures;
}

static void leave(struct cluster *cluster, uint32_t index)
{
    cluster->nodes[index].leaving = true;
}

static void gone(struct cluster *cluster, uint32_t index)
{
    cluster->nodes[index] = cluster->nodes[--cluster->nodes_count];
}

/* -------------------------------------------------------------------------------------- Tests. */

Test(plan, a_cluster_grows_from_one_to_five_and_shrinks)
{
    struct cluster cluster;
    cluster_found(&cluster, 10, 3, "");
    struct plan_figures figures = rebalance(&cluster);
    cr_assert_eq(figures.moves, 0);
    cr_assert_eq(figures.copies_worst, 1);

    cluster_join(&cluster, 2, "", 100);
    figures = rebalance(&cluster);
    cr_assert_eq(figures.learns, 2048);
    cr_assert_eq(figures.moves, 2048);
    cr_assert_eq(figures.weight_moved, 2048);
    cr_assert_float_eq(figures.spread_before, 2, 1e-9);
    cr_assert_float_eq(figures.spread_after, 0, 1e-9);

    cluster_join(&cluster, 2, "", 100);
    figures = rebalance(&cluster);
    cr_assert_eq(figures.learns, 0);
    cr_assert_eq(figures.copies_worst, 3);
    /* Two fifths of 3,072 slots, less what a spread of 5 % saves. */
    cr_assert_eq(figures.moves, 2 * 584);
    cr_assert_leq(figures.spread_after, 0.05 + 1e-9);
    figures = rebalance(&cluster);
    cr_assert_eq(figures.moves, 0);

    uint32_t held = slots_of(&cluster, 1);
    leave(&cluster, 1);
    figures = rebalance(&cluster);
    cr_assert_eq(figures.moves, held);
    cr_assert_leq(figures.spread_after, 0.05 + 1e-9);
    gone(&cluster, 1);
    leave(&cluster, 0);
    figures = rebalance(&cluster);
    cr_assert_leq(figures.spread_after, 0.05 + 1e-9);
    cluster_done(&cluster);
}

Test(plan, a_leave_without_a_target_is_refused_or_drops_copies)
{
    struct cluster cluster;
    cluster_found(&cluster, 6, 3, "");
    cluster_join(&cluster, 2, "", 100);
    rebalance(&cluster);
    leave(&cluster, 0);
    struct plan plan = {0};
    struct plan_figures figures;
    cr_assert_eq(cluster_plan(&cluster, false, &plan, &figures), ERR_REFUSED);
    cr_assert_null(plan.moves);
    cr_assert_eq(cluster_plan(&cluster, true, &plan, &figures), 0);
    cr_assert_eq(figures.moves, 64);
    cr_assert_eq(figures.weight_moved, 0);
    cr_assert_eq(figures.copies_worst, 2);
    for (uint32_t i = 0; i < plan.count; i++)
        cr_assert(id_none(plan.moves[i].to) && id_equal(plan.moves[i].from, node(1)));
    cr_assert_eq(carry_out(&cluster, &plan), 64);
    cr_assert_eq(slots_of(&cluster, 0), 0);
    plan_done(&plan);
    /* Grown again, the slots have their old numbers. */
    struct cluster grown = cluster;
    cluster_join(&grown, 1, "", 100);
    cr_assert_eq(cluster_plan(&grown, false, &plan, &figures), 0);
    cr_assert_eq(figures.learns, 64);
    for (uint32_t i = 0; i < plan.count; i++)
        cr_assert_eq(plan.moves[i].slot, 0);
    plan_done(&plan);
    /* The last copy stays whatever is asked for. */
    leave(&cluster, 1);
    leave(&cluster, 2);
    cr_assert_eq(cluster_plan(&cluster, true, &plan, &figures), ERR_REFUSED);
    cluster_done(&cluster);
}

Test(plan, zones_come_before_balance)
{
    struct cluster cluster;
    cluster_found(&cluster, 8, 3, "z1");
    cluster_join(&cluster, 3, "z1", 100);
    struct plan_figures figures = rebalance(&cluster);
    cr_assert_eq(figures.same_zone_after, 0); /* There is one zone only. */
    cluster_join(&cluster, 1, "z2", 100);
    figures = rebalance(&cluster);
    cr_assert_eq(figures.same_zone_after, 0);
    cr_assert_eq(slots_of(&cluster, 4), 256); /* Every range has a slot in the second zone. */
    cluster_join(&cluster, 2, "z3", 100);
    figures = rebalance(&cluster);
    cr_assert_eq(figures.same_zone_after, 0);
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_leq(slots_of(&cluster, i), 68); /* A quarter of its zone's 256, and 5 %. */
    cr_assert_leq(slots_of(&cluster, 5), 135);
    cr_assert_leq(slots_of(&cluster, 6), 135);
    cluster_done(&cluster);
}

Test(plan, capacity_weighs)
{
    struct cluster cluster;
    cluster_found(&cluster, 10, 2, "");
    cluster_join(&cluster, 3, "", 100);
    cluster_join(&cluster, 2, "", 300);
    struct plan_figures figures = rebalance(&cluster);
    cr_assert_leq(figures.spread_after, 0.05 + 1e-9);
    cr_assert_geq(slots_of(&cluster, 4), 583); /* 3/10 of 2,048 is 614. */
    /* No node can hold more than all ranges once, so the others share what is left. */
    cluster_join(&cluster, 1, "", 10000);
    rebalance(&cluster);
    cr_assert_geq(slots_of(&cluster, 6), 972);
    cr_assert_leq(slots_of(&cluster, 0), 108);
    cluster_done(&cluster);
}

Test(plan, who_drives_is_balanced_where_it_is_free)
{
    struct cluster cluster;
    cluster_found(&cluster, 10, 3, "");
    cluster_join(&cluster, 2, "", 100);
    rebalance(&cluster);
    cr_assert_eq(leads_of(&cluster, 0), 1024);
    cluster_join(&cluster, 3, "", 100);
    rebalance(&cluster);
    /* The founder gave away what it must, and all of that leads. */
    cr_assert_leq(leads_of(&cluster, 0), 540);
    cluster_join(&cluster, 6, "", 100);
    rebalance(&cluster);
    cr_assert_leq(leads_of(&cluster, 0), 270);
    /* What it gave away in two steps is shared evenly by the nine that came since. */
    for (uint32_t i = 3; i < 12; i++) {
        cr_assert_geq(leads_of(&cluster, i), 75);
        cr_assert_leq(leads_of(&cluster, i), 95);
    }
    cluster_done(&cluster);
}

Test(plan, by_bytes)
{
    struct cluster cluster;
    struct prng prng;
    prng_init(&prng, 3);
    cluster_found(&cluster, 9, 3, "");
    cluster.weights = mem_zero(512 * sizeof(*cluster.weights));
    /* Nothing stored yet: as by count. */
    cluster_join(&cluster, 3, "", 100);
    rebalance(&cluster);
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_leq(slots_of(&cluster, i), 404);
    for (uint32_t range = 0; range < 512; range++)
        cluster.weights[range] = prng_below(&prng, 1000) * prng_below(&prng, 1000);
    cluster_join(&cluster, 2, "", 100);
    struct plan_figures figures = rebalance(&cluster);
    cr_assert_leq(figures.spread_after, 0.05 + 1e-9);
    cr_assert_lt(figures.moves, 600);
    /* A range that outweighs all others sets the bound, and nothing fails. */
    cluster.weights[7] = 1000u * 1000 * 1000;
    rebalance(&cluster);
    cluster_done(&cluster);
}

Test(plan, transfers_under_way_are_left_alone)
{
    struct cluster cluster;
    cluster_found(&cluster, 6, 3, "");
    cluster_join(&cluster, 3, "", 100);
    rebalance(&cluster);
    struct range_record record = *ring_get(&cluster.ring, 5);
    struct node_id target = NODE_NONE;
    for (uint32_t i = 0; i < 4; i++)
        if (!record_has_member(&record, cluster.nodes[i].id))
            target = cluster.nodes[i].id;
    struct node_id source = record.slots[0].owner;
    record.slots[0].stage = STAGE_JOINT;
    record.slots[0].target = target;
    record.transfer = 9;
    record.epoch++;
    ring_merge(&cluster.ring, &record);
    for (uint32_t i = 0; i < 4; i++)
        cluster.nodes[i].leaving = id_equal(cluster.nodes[i].id, source);
    struct plan plan;
    struct plan_figures figures;
    cr_assert_eq(cluster_plan(&cluster, false, &plan, &figures), 0);
    for (uint32_t i = 0; i < plan.count; i++)
        cr_assert_neq(plan.moves[i].range, 5);
    cr_assert_geq(plan.count, 40);
    plan_done(&plan);
    cluster_done(&cluster);
}

static void check_same_plan(const struct cluster *cluster, const struct cluster *shuffled)
{
    struct plan plans[2];
    struct plan_figures figures;
    struct buf bytes[2] = {{0}, {0}};
    cr_assert_eq(cluster_plan(cluster, false, &plans[0], &figures), 0);
    cr_assert_eq(cluster_plan(shuffled, false, &plans[1], &figures), 0);
    for (uint32_t i = 0; i < 2; i++) {
        plan_encode(&plans[i], &bytes[i]);
        plan_done(&plans[i]);
    }
    cr_assert(slice_equal(buf_slice(&bytes[0]), buf_slice(&bytes[1])));
    buf_done(&bytes[0]);
    buf_done(&bytes[1]);
}

static const char *zone_name(uint64_t zone)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    return names[zone];
}

/* Clusters of any shape, growing and shrinking: every plan keeps its promises (see rebalance). */
Test(plan, random_clusters)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        struct cluster cluster;
        uint64_t zones = 1 + prng_below(&prng, 6);
        uint32_t bits = 6 + (uint32_t)prng_below(&prng, 4);
        bool even = prng_below(&prng, 2) == 0;
        cluster_found(&cluster, bits, 1 + (uint32_t)prng_below(&prng, 7), zone_name(0));
        if (prng_below(&prng, 3) == 0) {
            cluster.weights = mem_alloc(sizeof(*cluster.weights) << bits);
            for (uint32_t range = 0; range < 1u << bits; range++)
                cluster.weights[range] = prng_below(&prng, 100);
        }
        for (uint32_t step = 0; step < 6; step++) {
            uint64_t joining = prng_below(&prng, 8);
            for (uint64_t i = 0; i < joining; i++)
                cluster_join(&cluster, 1, zone_name(prng_below(&prng, zones)),
                             even ? 100 : 50 + (uint32_t)prng_below(&prng, 200));
            uint64_t leaving = prng_below(&prng, cluster.nodes_count);
            bool leaves = cluster.nodes_count > cluster.copies && prng_below(&prng, 3) == 0;
            if (leaves)
                leave(&cluster, (uint32_t)leaving);
            struct cluster shuffled = cluster;
            for (uint32_t i = 1; i < shuffled.nodes_count; i++) {
                uint64_t other = prng_below(&prng, i + 1);
                struct plan_node swap = shuffled.nodes[i];
                shuffled.nodes[i] = shuffled.nodes[other];
                shuffled.nodes[other] = swap;
            }
            check_same_plan(&cluster, &shuffled);
            struct plan_figures figures = rebalance(&cluster);
            cr_assert_eq(figures.same_zone_after, 0, "seed %d", (int)seed);
            /* Where nothing but the number of ranges limits it, the goal is met. */
            double mean = (double)MIN(cluster.copies, cluster.nodes_count - leaves) *
                          (double)ring_ranges(&cluster.ring) / (cluster.nodes_count - leaves);
            if (zones == 1 && even && cluster.weights == NULL)
                cr_assert_leq(figures.spread_after, MAX(0.05, 1 / mean) + 1e-9, "seed %d",
                              (int)seed);
            if (leaves)
                gone(&cluster, (uint32_t)leaving);
        }
        cluster_done(&cluster);
    }
}

Test(plan, the_largest_ring)
{
    struct cluster cluster;
    cluster_found(&cluster, 16, 3, "a");
    for (uint32_t i = 0; i < 199; i++)
        cluster_join(&cluster, 1, zone_name((i + 1) % 5), 100);
    struct plan plan;
    struct plan_figures figures;
    struct buf bytes = {0};
    cr_assert_eq(cluster_plan(&cluster, false, &plan, &figures), 0);
    plan_encode(&plan, &bytes);
    cr_assert_lt(bytes.size, SETTING_VALUE_SIZE_MAX);
    cr_assert_leq(figures.spread_after, 0.05 + 1e-9);
    cr_assert_eq(figures.same_zone_after, 0);
    carry_out(&cluster, &plan);
    plan_done(&plan);
    cluster_join(&cluster, 100, "f", 100);
    cr_assert_eq(cluster_plan(&cluster, false, &plan, &figures), 0);
    cr_assert_leq(figures.spread_after, 0.05 + 1e-9);
    cr_assert_leq(figures.moves, 65536 + 1000);
    plan_done(&plan);
    buf_done(&bytes);
    cluster_done(&cluster);
}

Test(plan, moves_of_a_plan_use_all_nodes_at_once)
{
    struct cluster cluster;
    cluster_found(&cluster, 10, 3, "");
    cluster_join(&cluster, 5, "", 100);
    rebalance(&cluster);
    cluster_join(&cluster, 3, "", 100);
    struct plan plan;
    struct plan_figures figures;
    cr_assert_eq(cluster_plan(&cluster, false, &plan, &figures), 0);
    /* Hardly a range with two moves, which would have to wait for each other; and every run of
     * thirty moves has work for each of the three new nodes. */
    uint32_t doubles = 0;
    for (uint32_t i = 0; i < plan.count; i++) {
        doubles += i > 0 && plan.moves[i].range == plan.moves[i - 1].range;
        uint32_t seen = 0;
        for (uint32_t j = i; j < plan.count && j < i + 30; j++)
            for (uint32_t n = 0; n < 3; n++)
                seen |= (uint32_t)id_equal(plan.moves[j].to, cluster.nodes[6 + n].id) << n;
        cr_assert(i + 30 > plan.count || seen == 7);
    }
    cr_assert_leq(doubles, plan.count / 10);
    plan_done(&plan);
    cluster_done(&cluster);
}

Test(plan, moves_are_done_open_or_overtaken)
{
    struct ring ring;
    ring_init(&ring, 6);
    struct range_record record = {.range = 3, .epoch = 1, .slots_count = 2};
    record.slots[0] = (struct slot){0, STAGE_STABLE, node(1), NODE_NONE};
    record.slots[1] = (struct slot){1, STAGE_STABLE, node(2), NODE_NONE};
    ring_merge(&ring, &record);
    struct plan_move moves[] = {
        {3, 2, NODE_NONE, node(3)},
        {3, 0, node(1), node(4)},
        {3, 1, node(2), NODE_NONE},
    };
    struct plan plan = {.id = 1, .count = 3, .moves = moves};
    cr_assert_null(plan_next_move(&plan, &ring, 2));
    cr_assert_null(plan_next_move(&plan, &ring, 4));
    cr_assert_null(plan_next_move(&plan, &ring, 64));
    cr_assert_eq(plan_next_move(&plan, &ring, 3), &moves[0]);
    /* Under way is not done; STABLE at its target is. */
    insert_slot(&record, (struct slot){2, STAGE_LEARN, NODE_NONE, node(3)});
    record.transfer = 5;
    cr_assert_eq(plan_move_fate(&moves[0], &record), PLAN_MOVE_OPEN);
    record.slots[2].target = node(9);
    cr_assert_eq(plan_move_fate(&moves[0], &record), PLAN_MOVE_OVERTAKEN);
    record.slots[2] = (struct slot){2, STAGE_STABLE, node(3), NODE_NONE};
    record.transfer = 0;
    record.epoch++;
    ring_merge(&ring, &record);
    cr_assert_eq(plan_next_move(&plan, &ring, 3), &moves[1]);
    static const enum stage stages[] = {STAGE_JOINT, STAGE_CUT, STAGE_BACK};
    for (uint32_t i = 0; i < 3; i++) {
        record.slots[0] = (struct slot){0, stages[i], node(1), node(4)};
        cr_assert_eq(plan_move_fate(&moves[1], &record), PLAN_MOVE_OPEN);
    }
    /* Somebody else moved it: no longer ours to move. */
    record.slots[0] = (struct slot){0, STAGE_STABLE, node(8), NODE_NONE};
    record.epoch++;
    ring_merge(&ring, &record);
    cr_assert_eq(plan_move_fate(&moves[1], &record), PLAN_MOVE_OVERTAKEN);
    cr_assert_eq(plan_next_move(&plan, &ring, 3), &moves[2]);
    record.slots[1].stage = STAGE_FENCE;
    cr_assert_eq(plan_move_fate(&moves[2], &record), PLAN_MOVE_OPEN);
    remove_slot(&record, &record.slots[1]);
    cr_assert_eq(plan_move_fate(&moves[2], &record), PLAN_MOVE_DONE);
    record.epoch++;
    ring_merge(&ring, &record);
    cr_assert_null(plan_next_move(&plan, &ring, 3));
    /* The target of a move took another slot of the range meanwhile. */
    struct plan_move blocked = {3, 0, node(8), node(3)};
    cr_assert_eq(plan_move_fate(&blocked, &record), PLAN_MOVE_OVERTAKEN);
    ring_done(&ring);
}

static void check_bytes(struct slice bytes)
{
    struct plan plan;
    struct buf out = {0};
    uint8_t *copy = mem_alloc(bytes.size);
    if (bytes.size > 0)
        memcpy(copy, bytes.data, bytes.size);
    int error = plan_decode(slice_of(copy, bytes.size), &plan);
    if (error == 0) {
        struct plan again;
        plan_encode(&plan, &out);
        cr_assert_eq(plan_decode(buf_slice(&out), &again), 0);
        cr_assert_eq(again.count, plan.count);
        for (uint32_t i = 0; i < plan.count; i++) {
            cr_assert_lt(plan.moves[i].range, RANGES_MAX);
            cr_assert_lt(plan.moves[i].slot, SLOTS_MAX);
            cr_assert(id_equal(plan.moves[i].from, again.moves[i].from));
            cr_assert(id_equal(plan.moves[i].to, again.moves[i].to));
        }
        plan_done(&again);
        plan_done(&plan);
    } else {
        cr_assert_eq(error, ERR_CORRUPT);
    }
    buf_done(&out);
    mem_free(copy);
}

Test(plan, encoding)
{
    struct plan_move moves[] = {
        {0, 6, node(1), node(2)},
        {0, 1, NODE_NONE, node(3)},
        {700, 0, node(2), NODE_NONE},
        {65535, 2, node(3), node(1)},
    };
    struct plan plan = {
        .id = 0x1234567890, .state = PLAN_PAUSED, .rate = 5000000, .count = 4, .moves = moves};
    struct buf out = {0};
    plan_encode(&plan, &out);
    struct plan decoded;
    cr_assert_eq(plan_decode(buf_slice(&out), &decoded), 0);
    cr_assert_eq(decoded.id, plan.id);
    cr_assert_eq(decoded.state, plan.state);
    cr_assert_eq(decoded.rate, plan.rate);
    cr_assert_eq(decoded.count, plan.count);
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(decoded.moves[i].range, moves[i].range);
        cr_assert_eq(decoded.moves[i].slot, moves[i].slot);
        cr_assert(id_equal(decoded.moves[i].from, moves[i].from));
        cr_assert(id_equal(decoded.moves[i].to, moves[i].to));
    }
    plan_done(&decoded);
    for (size_t size = 0; size < out.size; size++) {
        cr_assert_eq(plan_decode(slice_of(out.data, size), &decoded), ERR_CORRUPT);
        check_bytes(slice_of(out.data, size));
    }
    struct prng prng;
    prng_init(&prng, 11);
    struct buf bad = {0};
    for (uint32_t i = 0; i < 20000; i++) {
        buf_clear(&bad);
        buf_append(&bad, buf_slice(&out));
        for (uint64_t flips = 1 + prng_below(&prng, 3); flips > 0; flips--)
            bad.data[prng_below(&prng, bad.size)] ^= (uint8_t)(1u << prng_below(&prng, 8));
        check_bytes(buf_slice(&bad));
    }
    buf_done(&bad);
    buf_done(&out);
}

Test(plan, no_nodes_and_no_records_give_no_moves)
{
    struct cluster cluster = {.copies = 3};
    ring_init(&cluster.ring, 6);
    struct plan plan;
    struct plan_figures figures;
    cr_assert_eq(cluster_plan(&cluster, false, &plan, &figures), 0);
    cr_assert_eq(plan.count, 0);
    cr_assert_eq(figures.copies_worst, 0);
    plan_done(&plan);
    cluster_join(&cluster, 3, "", 100);
    cr_assert_eq(cluster_plan(&cluster, false, &plan, &figures), 0);
    cr_assert_eq(plan.count, 0);
    plan_done(&plan);
    cluster_done(&cluster);
}
