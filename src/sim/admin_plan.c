/* What the operator wants moved, and when. */
#include "base/checksum.h"
#include "sim/admin_own.h"
#include "sim/checks.h"
#include "sim/ledger.h"
#include "sim/losses.h"
#include "sim/workload.h"

#include <stdio.h>

static uint64_t order_name(uint32_t range, uint8_t number, struct node_id to)
{
    return checksum_pair((uint64_t)range << 8 | number, checksum_pair(to.hi, to.lo));
}

bool admin_ordered(const struct world *world, uint32_t range, uint8_t number, struct node_id to)
{
    return map_get(&world->admin->ordered, order_name(range, number, to)) != NULL;
}

static void order_plan(struct world *world, uint32_t host, const struct plan *plan)
{
    struct buf bytes = {0};
    plan_encode(plan, &bytes);
    admin_set(world, host, slice_string("plan"), buf_slice(&bytes));
    buf_done(&bytes);
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct plan_move *move = &plan->moves[i];
        map_put(&world->admin->ordered, order_name(move->range, move->slot, move->to), world);
    }
    world->admin->plan_id = plan->id;
    world->admin->paused = plan->state == PLAN_PAUSED;
}

static int order_of_moves(const struct plan_move *a, const struct plan_move *b)
{
    if (a->range != b->range)
        return a->range < b->range ? -1 : 1;
    return (a->slot > b->slot) - (a->slot < b->slot);
}

void admin_order_moves(struct world *world, uint32_t host, enum plan_state state)
{
    struct admin *admin = world->admin;
    for (uint32_t i = 1; i < admin->moves_count; i++) {
        for (uint32_t k = i; k > 0 && order_of_moves(&admin->moves[k - 1], &admin->moves[k]) > 0;
             k--) {
            struct plan_move move = admin->moves[k];
            admin->moves[k] = admin->moves[k - 1];
            admin->moves[k - 1] = move;
        }
    }
    struct plan plan = {
        .id = prng_next(&world->prng) | 1,
        .state = state,
        .count = admin->moves_count,
        .moves = admin->moves,
    };
    admin->planned = false;
    order_plan(world, host, &plan);
}

void admin_move(struct world *world, uint32_t host, uint32_t range, uint8_t number, int from,
                int to)
{
    struct admin *admin = world->admin;
    admin->moves_count = 1;
    admin->moves[0] = (struct plan_move){
        .range = range,
        .slot = number,
        .from = from < 0 ? NODE_NONE : host_id(world->hosts[from]),
        .to = to < 0 ? NODE_NONE : host_id(world->hosts[to]),
    };
    admin_order_moves(world, host, PLAN_RUNNING);
}

/* A host that is no member of RECORD, or NODE_NONE. One that was may be preferred: it is still to
 * clean up, or does. */
static struct node_id stranger(struct world *world, const struct range_record *record)
{
    struct node_id found[HOSTS_MAX];
    uint32_t count = 0;
    bool back = world_chance(world, world->options.back_ppm);
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        struct node_id id = host_id(world->hosts[i]);
        if (!host_retired(world->hosts[i]) && host_lives(world->hosts[i]) > 0 &&
            !world->admin->leaving[i] && !world->admin->removed[i] &&
            !record_has_member(record, id))
            found[count++] = id;
    }
    for (uint32_t i = 0; back && i < count; i++)
        if (record_has_former(record, found[i]))
            return found[i];
    for (uint32_t i = 0; world->options.target > 0 && i < count; i++)
        if (id_equal(found[i], world->admin->favourite))
            return found[i];
    return count == 0 ? NODE_NONE : found[world_draw(world, 0, count - 1)];
}

static void add_move(struct admin *admin, uint32_t range, uint8_t number, struct node_id from,
                     struct node_id to)
{
    if (admin->moves_count < MOVES_MAX)
        admin->moves[admin->moves_count++] = (struct plan_move){range, number, from, to};
}

void admin_add_learns(struct world *world, const struct range_record *record, uint32_t copies)
{
    struct range_record grown = *record;
    for (uint8_t number = 0; number < SLOTS_MAX && grown.slots_count < copies; number++) {
        if (record_slot(&grown, number) != NULL)
            continue;
        struct node_id to = stranger(world, &grown);
        if (id_none(to))
            return;
        add_move(world->admin, record->range, number, NODE_NONE, to);
        grown.slots[grown.slots_count++] =
            (struct slot){.number = number, .stage = STAGE_LEARN, .target = to};
    }
}

/* Every slot that a leaving node holds in the hot ranges, to somebody else. Only those: the
 * founder, which holds all the others, is never told to leave. */
static void add_leaves(struct world *world, const struct range_record *record)
{
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        int owner = world_host_of(world, slot->owner);
        struct node_id to = stranger(world, record);
        if (slot->stage == STAGE_STABLE && owner >= 0 && world->admin->leaving[owner] &&
            !id_none(to)) {
            add_move(world->admin, record->range, slot->number, slot->owner, to);
            return;
        }
    }
}

/* Every slot that a removed node held in RECORD, to somebody else, each to another one. */
static void add_rebuilds(struct world *world, const struct range_record *record)
{
    struct range_record rebuilt = *record;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        int owner = world_host_of(world, slot->owner);
        struct node_id to = stranger(world, &rebuilt);
        bool waits = slot->stage == STAGE_STABLE || slot->stage == STAGE_FENCE;
        if (!waits || owner < 0 || !world->admin->removed[owner] || id_none(to))
            continue;
        add_move(world->admin, record->range, slot->number, slot->owner, to);
        rebuilt.slots[i].target = to;
    }
}

void admin_plan_rebuilds(struct world *world)
{
    world->admin->moves_count = 0;
    for (uint32_t i = 0; i < world->options.hot_ranges; i++) {
        const struct range_record *record = checks_newest(world, workload_range(world, i));
        if (record != NULL)
            add_rebuilds(world, record);
    }
    if (world->admin->moves_count > 0)
        admin_order_moves(world, admin_any_host(world), PLAN_RUNNING);
}

void admin_plan_leaves(struct world *world)
{
    world->admin->moves_count = 0;
    for (uint32_t i = 0; i < world->options.hot_ranges; i++) {
        const struct range_record *record = checks_newest(world, workload_range(world, i));
        if (record != NULL)
            add_leaves(world, record);
    }
    if (world->admin->moves_count > 0)
        admin_order_moves(world, admin_any_host(world), PLAN_RUNNING);
}

void admin_plan_to(struct world *world, uint32_t host)
{
    struct node_id to = host_id(world->hosts[host]);
    world->admin->moves_count = 0;
    for (uint32_t i = 0; i < world->options.hot_ranges; i++) {
        const struct range_record *record = checks_newest(world, workload_range(world, i));
        if (record == NULL || record_has_member(record, to))
            continue;
        const struct slot *slot = &record->slots[world_draw(world, 0, record->slots_count - 1)];
        if (slot->stage == STAGE_STABLE)
            add_move(world->admin, record->range, slot->number, slot->owner, to);
    }
    if (world->admin->moves_count > 0)
        admin_order_moves(world, admin_any_host(world), PLAN_RUNNING);
}

void admin_let_leave(struct world *world, uint32_t through, uint32_t host)
{
    world->admin->leaving[host] = true;
    world->coverage.leaves++;
    char name[8 + NODE_ID_TEXT] = "leave/";
    id_format(host_id(world->hosts[host]), name + 6);
    admin_set(world, through, slice_string(name), slice_string("1"));
}

void admin_may_leave(struct world *world, uint32_t through, uint32_t host)
{
    struct admin *admin = world->admin;
    uint32_t staying = 0;
    for (uint32_t i = 0; i < world->hosts_count; i++)
        staying += host_lives(world->hosts[i]) > 0 && !host_retired(world->hosts[i]) &&
                   !admin->leaving[i] && !admin->removed[i];
    if (world->options.alone_first && host == 1)
        return; /* The founder goes, and one of the two seeds has to stay (host.c). */
    if (world->options.move_all || host >= world->hosts_count || staying <= world->options.copies ||
        staying <= 3 || admin->leaving[host] || admin->removed[host] || !losses_over(world) ||
        host_lives(world->hosts[host]) == 0)
        return;
    admin_let_leave(world, through == HOSTS_MAX ? admin_any_host(world) : through, host);
    admin_plan_leaves(world);
}

/* The target of a move is to leave, and hears so first. */
void admin_leave_late(struct world *world, struct world_event *event)
{
    (void)event;
    int host = world->admin->leaves_next;
    if (host > 0 && !world->calm)
        admin_may_leave(world, (uint32_t)host, (uint32_t)host);
}

static void plan_moves(struct world *world)
{
    struct admin *admin = world->admin;
    admin->moves_count = 0;
    uint32_t target = world->options.target;
    if (target > 0)
        admin->favourite =
            host_id(world->hosts[target == HOSTS_MAX ? admin_any_host(world) : target]);
    for (uint32_t i = 0; i < world->options.hot_ranges; i++) {
        const struct range_record *record = checks_newest(world, workload_range(world, i));
        if (record == NULL || world_chance(world, 300000))
            continue;
        admin_add_learns(world, record, world->options.copies);
        add_leaves(world, record);
        add_rebuilds(world, record);
        uint64_t slot = world_draw(world, 0, record->slots_count - 1);
        if (world_chance(world, world->options.lowest_ppm))
            slot = 0;
        struct node_id from = record->slots[slot].owner;
        struct node_id to = stranger(world, record);
        bool stays = world->options.alone_first && record->slots_count == 1;
        if (!id_none(from) && !id_none(to) && !stays && record->slots[slot].stage == STAGE_STABLE)
            add_move(admin, record->range, record->slots[slot].number, from, to);
    }
    if (admin->moves_count == 0)
        return;
    admin_order_moves(world, admin_any_host(world),
                      world_chance(world, 50000) ? PLAN_PAUSED : PLAN_RUNNING);
    if (world_chance(world, world->options.leave_ppm)) {
        admin->leaves_next = world_host_of(world, admin->moves[0].to);
        world_at(world, &admin->leave, world->now_us + world_draw(world, 0, 200 * MS));
    }
}

/* As `kvadmin rebalance` does: all ranges, from one node's view. */
static void plan_all(struct world *world)
{
    uint32_t host = admin_any_host(world);
    const struct node *node = host_node(world->hosts[host]);
    if (node == NULL || node_core(node)->holdings == NULL)
        return;
    const struct core *core = node_core(node);
    struct plan_node nodes[HOSTS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < core->members.count && count < HOSTS_MAX; i++) {
        const struct member *member = core->members.members[i];
        nodes[count++] = (struct plan_node){
            .id = member->id, .zone = member->zone, .capacity = member->capacity};
    }
    struct plan_input input = {
        .ring = &core->ring,
        .nodes = nodes,
        .nodes_count = count,
        .copies = core->cluster.copies,
    };
    struct plan plan;
    struct plan_figures figures;
    if (plan_make(&input, &plan, &figures) < 0)
        return;
    if (plan.count > 0) {
        plan.id = prng_next(&world->prng) | 1;
        world->admin->planned = true;
        order_plan(world, host, &plan);
    }
    plan_done(&plan);
}

static void cancel(struct world *world)
{
    struct plan plan = {.id = prng_next(&world->prng) | 1, .state = PLAN_CANCELLED};
    if (world->admin->planned)
        world->admin->moves_count = 0;
    order_plan(world, admin_any_host(world), &plan);
    world->admin->paused = true; /* Perhaps the same moves are wanted after all. */
}

void admin_join_one(struct world *world)
{
    for (uint32_t i = world->options.nodes; i < world->hosts_count; i++) {
        if (host_lives(world->hosts[i]) > 0)
            continue;
        world->coverage.joins++;
        host_start(world->hosts[i]);
        return;
    }
}

/* Copies are compared; half of the times of one bucket alone. */
static void repair(struct world *world)
{
    enum policy policy = (enum policy)world_draw(world, 0, ARRAY_SIZE(world->options.policies) - 1);
    bool one = world->options.policies[policy] && world_chance(world, 500000);
    admin_repair(world, admin_any_host(world), one ? ledger_bucket(policy) : SLICE_NONE);
}

static void meddle(struct world *world)
{
    struct admin *admin = world->admin;
    uint64_t what = world_draw(world, 0, 99);
    if (world_chance(world, world->options.cancel_ppm))
        cancel(world);
    else if (what < 10)
        admin_join_one(world);
    else if (what < 20)
        cancel(world);
    else if (what < 24)
        admin_may_leave(world, HOSTS_MAX,
                        (uint32_t)world_draw(world, 1, MAX(world->hosts_count, 2u) - 1));
    else if (what < 40 && admin->moves_count > 0 && !admin->planned)
        admin_order_moves(world, admin_any_host(world), admin->paused ? PLAN_RUNNING : PLAN_PAUSED);
    else if (what >= 97)
        repair(world);
    else if (world->options.move_all)
        plan_all(world);
    else
        plan_moves(world);
}

void admin_next(struct world *world, struct world_event *event)
{
    if (world->calm)
        return;
    if (!losses_deaf(world))
        meddle(world);
    world_at(world, event, world->now_us + world_pause(world, world->options.admin_interval_us));
}
