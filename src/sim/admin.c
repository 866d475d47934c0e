#include "sim/admin.h"

#include "base/error.h"
#include "core/buckets.h"
#include "data/plan.h"
#include "sim/checks.h"
#include "sim/describe.h"
#include "sim/host.h"
#include "sim/ledger.h"
#include "sim/workload.h"

#include <stdio.h>

enum { MS = 1000, ORDERS_MAX = 8, MOVES_MAX = 3 * HOT_RANGES_MAX };

/* A setting to be set, through whichever node takes it. */
struct order {
    struct host_call call;
    struct world_event again;
    struct buf name;  /* Owned. */
    struct buf value; /* Owned. */
    uint32_t host;
    bool open;
};

struct admin {
    struct world_event next;
    struct order orders[ORDERS_MAX];
    struct plan_move moves[MOVES_MAX]; /* Of the newest plan made here. */
    uint32_t moves_count;
    bool planned; /* By plan_make, over all ranges. */
    bool paused;
    bool leaving[HOSTS_MAX];
    uint64_t plan_id;
};

/* ------------------------------------------------------------------------------------- Orders. */

static void on_ordered(struct world *world, struct host_call *call, const struct answer *answer)
{
    struct order *order = (struct order *)call;
    if (answer != NULL && answer->error == 0) {
        order->open = false;
        return;
    }
    world_at(world, &order->again, world->now_us + 100 * MS);
}

static void give(struct world *world, struct world_event *event)
{
    struct order *order = (struct order *)((char *)event - offsetof(struct order, again));
    order->call.done = on_ordered;
    struct command command = {
        .type = COMMAND_SET,
        .name = buf_slice(&order->name),
        .value = buf_slice(&order->value),
    };
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        uint32_t host = (order->host + i) % world->hosts_count;
        if (host_state(world->hosts[host]) == HOST_UP &&
            host_command(world->hosts[host], &order->call, &command))
            return;
    }
    world_at(world, event, world->now_us + 100 * MS);
}

void admin_set(struct world *world, uint32_t host, struct slice name, struct slice value)
{
    struct admin *admin = world->admin;
    for (uint32_t i = 0; i < ORDERS_MAX; i++) {
        struct order *order = &admin->orders[i];
        if (order->open)
            continue;
        order->open = true;
        order->host = host;
        buf_clear(&order->name);
        buf_clear(&order->value);
        buf_append(&order->name, name);
        buf_append(&order->value, value);
        world_at(world, &order->again, world->now_us);
        return;
    }
}

bool admin_leaving(const struct world *world, uint32_t host)
{
    return world->admin->leaving[host];
}

bool admin_idle(const struct world *world)
{
    for (uint32_t i = 0; i < ORDERS_MAX; i++)
        if (world->admin->orders[i].open)
            return false;
    return true;
}

static uint32_t any_host(struct world *world)
{
    return (uint32_t)world_draw(world, 0, world->hosts_count - 1);
}

/* -------------------------------------------------------------------------------------- Plans. */

static void order_plan(struct world *world, uint32_t host, const struct plan *plan)
{
    struct buf bytes = {0};
    plan_encode(plan, &bytes);
    admin_set(world, host, slice_string("plan"), buf_slice(&bytes));
    buf_done(&bytes);
    world->admin->plan_id = plan->id;
    world->admin->paused = plan->state == PLAN_PAUSED;
}

static int order_of_moves(const struct plan_move *a, const struct plan_move *b)
{
    if (a->range != b->range)
        return a->range < b->range ? -1 : 1;
    return (a->slot > b->slot) - (a->slot < b->slot);
}

static void order_moves(struct world *world, uint32_t host, enum plan_state state)
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
        .to = host_id(world->hosts[to]),
    };
    order_moves(world, host, PLAN_RUNNING);
}

/* A host that is no member of RECORD, or NODE_NONE. */
static struct node_id stranger(struct world *world, const struct range_record *record)
{
    struct node_id found[HOSTS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        struct node_id id = host_id(world->hosts[i]);
        if (!host_retired(world->hosts[i]) && host_lives(world->hosts[i]) > 0 &&
            !world->admin->leaving[i] && !record_has_member(record, id))
            found[count++] = id;
    }
    return count == 0 ? NODE_NONE : found[world_draw(world, 0, count - 1)];
}

static void add_move(struct admin *admin, uint32_t range, uint8_t number, struct node_id from,
                     struct node_id to)
{
    if (admin->moves_count < MOVES_MAX)
        admin->moves[admin->moves_count++] = (struct plan_move){range, number, from, to};
}

/* New slots until RECORD has n, each at a different stranger. */
static void add_learns(struct world *world, const struct range_record *record)
{
    struct range_record grown = *record;
    for (uint8_t number = 0; number < SLOTS_MAX && grown.slots_count < world->options.copies;
         number++) {
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

static void plan_leaves(struct world *world)
{
    world->admin->moves_count = 0;
    for (uint32_t i = 0; i < world->options.hot_ranges; i++) {
        const struct range_record *record = checks_newest(world, workload_range(world, i));
        if (record != NULL)
            add_leaves(world, record);
    }
    if (world->admin->moves_count > 0)
        order_moves(world, any_host(world), PLAN_RUNNING);
}

void admin_let_leave(struct world *world, uint32_t through, uint32_t host)
{
    world->admin->leaving[host] = true;
    world->coverage.leaves++;
    char name[8 + NODE_ID_TEXT] = "leave/";
    id_format(host_id(world->hosts[host]), name + 6);
    admin_set(world, through, slice_string(name), slice_string("1"));
}

static void let_leave(struct world *world)
{
    struct admin *admin = world->admin;
    uint32_t staying = 0;
    for (uint32_t i = 0; i < world->hosts_count; i++)
        staying +=
            host_lives(world->hosts[i]) > 0 && !host_retired(world->hosts[i]) && !admin->leaving[i];
    uint32_t host = (uint32_t)world_draw(world, 1, MAX(world->hosts_count, 2u) - 1);
    if (world->options.move_all || host >= world->hosts_count || staying <= world->options.copies ||
        staying <= 3 || admin->leaving[host] || host_lives(world->hosts[host]) == 0)
        return;
    admin_let_leave(world, any_host(world), host);
    plan_leaves(world);
}

static void plan_moves(struct world *world)
{
    struct admin *admin = world->admin;
    admin->moves_count = 0;
    for (uint32_t i = 0; i < world->options.hot_ranges; i++) {
        const struct range_record *record = checks_newest(world, workload_range(world, i));
        if (record == NULL || world_chance(world, 300000))
            continue;
        add_learns(world, record);
        add_leaves(world, record);
        uint64_t slot = world_draw(world, 0, record->slots_count - 1);
        struct node_id from = record->slots[slot].owner;
        struct node_id to = stranger(world, record);
        if (!id_none(from) && !id_none(to) && record->slots[slot].stage == STAGE_STABLE)
            add_move(admin, record->range, record->slots[slot].number, from, to);
    }
    if (admin->moves_count > 0)
        order_moves(world, any_host(world),
                    world_chance(world, 50000) ? PLAN_PAUSED : PLAN_RUNNING);
}

/* As `kvadmin rebalance` does: all ranges, from one node's view. */
static void plan_all(struct world *world)
{
    uint32_t host = any_host(world);
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
    world->admin->moves_count = 0;
    order_plan(world, any_host(world), &plan);
}

static void let_join(struct world *world)
{
    for (uint32_t i = world->options.nodes; i < world->hosts_count; i++) {
        if (host_lives(world->hosts[i]) > 0)
            continue;
        world->coverage.joins++;
        host_start(world->hosts[i]);
        return;
    }
}

static void on_next(struct world *world, struct world_event *event)
{
    struct admin *admin = world->admin;
    if (world->calm)
        return;
    uint64_t what = world_draw(world, 0, 99);
    if (what < 10)
        let_join(world);
    else if (what < 15)
        cancel(world);
    else if (what < 18)
        let_leave(world);
    else if (what < 25 && admin->moves_count > 0 && !admin->planned)
        order_moves(world, any_host(world), admin->paused ? PLAN_RUNNING : PLAN_PAUSED);
    else if (world->options.move_all)
        plan_all(world);
    else
        plan_moves(world);
    world_at(world, event, world->now_us + world_pause(world, world->options.admin_interval_us));
}

/* ------------------------------------------------------------------------------------- Phases. */

/* The bucket `default` is there from the start, with policy newest and log mode always. */
static void create_bucket(struct world *world, enum policy policy)
{
    struct bucket bucket = bucket_default;
    bucket.policy = policy;
    bucket.log_mode = world->options.interval ? LOG_INTERVAL : LOG_ALWAYS;
    if (!world->options.policies[policy] || (policy == POLICY_NEWEST && !world->options.interval))
        return;
    char name[BUCKET_SIZE_MAX + 8];
    snprintf(name, sizeof(name), "bucket/%s", (const char *)ledger_bucket(policy).data);
    struct buf value = {0};
    bucket_encode(&bucket, &value);
    admin_set(world, 0, slice_string(name), buf_slice(&value));
    buf_done(&value);
}

void admin_setup(struct world *world)
{
    for (uint32_t policy = 0; policy < ARRAY_SIZE(world->options.policies); policy++)
        create_bucket(world, (enum policy)policy);
    world->admin->moves_count = 0;
    for (uint32_t i = 0; i < world->options.hot_ranges; i++) {
        const struct range_record *record = checks_newest(world, workload_range(world, i));
        if (record != NULL)
            add_learns(world, record);
    }
    if (world->admin->moves_count > 0)
        order_moves(world, 0, PLAN_RUNNING);
}

bool admin_setup_done(struct world *world)
{
    if (!admin_idle(world) || !admin_settled(world))
        return false;
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        const struct node *node = host_node(world->hosts[i]);
        if (node != NULL &&
            node_core(node)->settings.count < node_core(host_node(world->hosts[0]))->settings.count)
            return false;
    }
    return true;
}

void admin_start(struct world *world)
{
    if (world->options.admin_interval_us > 0)
        world_at(world, &world->admin->next,
                 world->now_us + world_pause(world, world->options.admin_interval_us));
}

void admin_stop(struct world *world)
{
    struct admin *admin = world->admin;
    world_cancel(world, &admin->next);
    if (admin->paused)
        order_moves(world, any_host(world), PLAN_RUNNING);
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        if (admin->leaving[i] && !host_retired(world->hosts[i])) {
            plan_leaves(world);
            return;
        }
    }
}

/* A move of CORE's plan that is still to be done, or NULL. What goes to a node that has left for
 * good is not. */
static const struct plan_move *open_move(const struct world *world, const struct core *core,
                                         const struct plan *plan)
{
    for (uint32_t i = 0; plan->state == PLAN_RUNNING && i < plan->count; i++) {
        const struct plan_move *move = &plan->moves[i];
        int to = world_host_of(world, move->to);
        bool gone = to >= 0 && host_retired(world->hosts[to]);
        if (!gone && plan_move_fate(move, ring_get(&core->ring, move->range)) == PLAN_MOVE_OPEN)
            return move;
    }
    return NULL;
}

/* With OUT the move that is open is described. */
static bool plan_finished(const struct world *world, const struct core *core, struct buf *out)
{
    struct plan plan;
    struct slice bytes = setting_value(&core->settings, slice_string("plan"));
    if (bytes.size == 0)
        return true;
    if (plan_decode(bytes, &plan) < 0)
        return false;
    const struct plan_move *move = open_move(world, core, &plan);
    if (move != NULL && out != NULL) {
        buf_printf(out, " %u.%u %s>%s of", move->range, move->slot, world_name(world, move->from),
                   world_name(world, move->to));
        describe_record(world, ring_get(&core->ring, move->range), out);
    }
    plan_done(&plan);
    return move == NULL;
}

static bool all_stable(const struct core *core)
{
    for (uint32_t range = 0; range < ring_ranges(&core->ring); range++)
        for (uint32_t i = 0; i < core->ring.records[range].slots_count; i++)
            if (core->ring.records[range].slots[i].stage != STAGE_STABLE)
                return false;
    return true;
}

bool admin_settled(struct world *world)
{
    if (!admin_idle(world))
        return false;
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        const struct node *node = host_node(world->hosts[i]);
        if (node == NULL)
            continue;
        const struct core *core = node_core(node);
        if (core->holdings == NULL || !all_stable(core) || !plan_finished(world, core, NULL))
            return false;
    }
    return true;
}

void admin_describe(struct world *world, struct buf *out)
{
    for (uint32_t i = 0; i < ORDERS_MAX; i++)
        if (world->admin->orders[i].open)
            buf_printf(out, " order '%.*s' is not taken;", (int)world->admin->orders[i].name.size,
                       (const char *)world->admin->orders[i].name.data);
    for (uint32_t range = 0; range < 1u << world->options.range_bits; range++) {
        const struct range_record *record = checks_newest(world, range);
        bool moving = record == NULL;
        for (uint32_t i = 0; record != NULL && i < record->slots_count; i++)
            moving = moving || record->slots[i].stage != STAGE_STABLE;
        if (moving && record != NULL)
            describe_record(world, record, out);
    }
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        const struct node *node = host_node(world->hosts[i]);
        if (node == NULL || node_core(node)->holdings == NULL)
            buf_printf(out, " %s is no member yet;", world_host_name(i));
        else if (!plan_finished(world, node_core(node), NULL)) {
            buf_printf(out, " %s has moves left:", world_host_name(i));
            plan_finished(world, node_core(node), out);
            return;
        }
    }
}

/* --------------------------------------------------------------------------------- Life cycle. */

struct admin *admin_new(struct world *world)
{
    (void)world;
    struct admin *admin = mem_zero(sizeof(*admin));
    admin->next.fire = on_next;
    for (uint32_t i = 0; i < ORDERS_MAX; i++)
        admin->orders[i].again.fire = give;
    return admin;
}

void admin_free(struct admin *admin)
{
    for (uint32_t i = 0; i < ORDERS_MAX; i++) {
        buf_done(&admin->orders[i].name);
        buf_done(&admin->orders[i].value);
    }
    mem_free(admin);
}
