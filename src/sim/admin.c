#include "base/error.h"
#include "core/buckets.h"
#include "core/transfer.h"
#include "sim/admin_own.h"
#include "sim/checks.h"
#include "sim/describe.h"
#include "sim/ledger.h"
#include "sim/workload.h"

#include <stdio.h>

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
        .type = order->type,
        .name = buf_slice(&order->name),
        .value = buf_slice(&order->value),
        .node = order->node,
        .accept_loss = order->accept_loss,
        .repair = {.last = UINT32_MAX, .bucket = buf_slice(&order->name)},
    };
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        uint32_t host = (order->host + i) % world->hosts_count;
        if (order->accept_loss && i > 0)
            break; /* An administrator on one side of a partition asks a node of it. */
        if (order->type == COMMAND_REMOVE && id_equal(order->node, host_id(world->hosts[host])))
            continue; /* Who is removed is not asked to say so. */
        if (host_state(world->hosts[host]) == HOST_UP &&
            host_command(world->hosts[host], &order->call, &command))
            return;
    }
    world_at(world, event, world->now_us + 100 * MS);
}

static void place_order(struct world *world, uint32_t host, const struct command *command)
{
    struct admin *admin = world->admin;
    for (uint32_t i = 0; i < ORDERS_MAX; i++) {
        struct order *order = &admin->orders[i];
        if (order->open)
            continue;
        order->open = true;
        order->host = host;
        order->type = command->type;
        order->node = command->node;
        order->accept_loss = command->accept_loss;
        buf_clear(&order->name);
        buf_clear(&order->value);
        buf_append(&order->name, command->name);
        buf_append(&order->value, command->value);
        world_at(world, &order->again, world->now_us);
        return;
    }
}

void admin_set(struct world *world, uint32_t host, struct slice name, struct slice value)
{
    place_order(world, host, &(struct command){.type = COMMAND_SET, .name = name, .value = value});
}

void admin_remove(struct world *world, uint32_t through, uint32_t host)
{
    world->admin->removed[host] = true;
    world->coverage.removals++;
    place_order(world, through,
                &(struct command){.type = COMMAND_REMOVE, .node = host_id(world->hosts[host])});
}

void admin_accept_loss(struct world *world, uint32_t through, uint32_t host)
{
    world->admin->removed[host] = true;
    world->coverage.removals++;
    place_order(world, through,
                &(struct command){.type = COMMAND_REMOVE,
                                  .node = host_id(world->hosts[host]),
                                  .accept_loss = true});
}

void admin_repair(struct world *world, uint32_t host, struct slice bucket)
{
    place_order(world, host, &(struct command){.type = COMMAND_REPAIR, .name = bucket});
}

bool admin_removed(const struct world *world, uint32_t host)
{
    return world->admin->removed[host];
}

bool admin_leaving(const struct world *world, uint32_t host)
{
    return world->admin->leaving[host];
}

bool admin_paused(const struct world *world)
{
    return world->admin->paused;
}

bool admin_idle(const struct world *world)
{
    for (uint32_t i = 0; i < ORDERS_MAX; i++)
        if (world->admin->orders[i].open)
            return false;
    return true;
}

uint32_t admin_any_host(struct world *world)
{
    return (uint32_t)world_draw(world, 0, world->hosts_count - 1);
}

/* ------------------------------------------------------------------------------------- Phases. */

/* The bucket `default` is there from the start, with policy newest and log mode always. */
void admin_create_bucket(struct world *world, enum policy policy)
{
    struct bucket bucket = bucket_default;
    bucket.policy = policy;
    bucket.log_mode = world->options.interval ? LOG_INTERVAL : LOG_ALWAYS;
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
        if (world->options.policies[policy] && (policy != POLICY_NEWEST || world->options.interval))
            admin_create_bucket(world, (enum policy)policy);
    const struct sim_options *options = &world->options;
    uint32_t copies = options->alone_first ? 1 : options->copies - (options->grows_late ? 1 : 0);
    world->admin->moves_count = 0;
    for (uint32_t i = 0; i < world->options.hot_ranges; i++) {
        const struct range_record *record = checks_newest(world, workload_range(world, i));
        if (record != NULL)
            admin_add_learns(world, record, copies);
    }
    if (world->admin->moves_count > 0)
        admin_order_moves(world, 0, PLAN_RUNNING);
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
    world_cancel(world, &admin->leave);
    if (admin->paused)
        admin_order_moves(world, admin_any_host(world), PLAN_RUNNING);
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        if (admin->leaving[i] && !host_retired(world->hosts[i])) {
            admin_plan_leaves(world);
            return;
        }
    }
}

/* A move of CORE's plan that is still to be done, or NULL. What goes to a node that has left for
 * good, or is told to, is not. */
static const struct plan_move *open_move(const struct world *world, const struct core *core,
                                         const struct plan *plan)
{
    for (uint32_t i = 0; plan->state == PLAN_RUNNING && i < plan->count; i++) {
        const struct plan_move *move = &plan->moves[i];
        if (plan_move_fate(move, ring_get(&core->ring, move->range)) != PLAN_MOVE_OPEN)
            continue;
        int to = world_host_of(world, move->to);
        if (to < 0 || !(host_retired(world->hosts[to]) || transfers_overtaken(core, move)))
            return move;
    }
    return NULL;
}

/* The plan that BYTES are, decoded once for all nodes that have the same; NULL for none. */
static const struct plan *plan_of(struct admin *admin, struct slice bytes)
{
    if (slice_equal(bytes, buf_slice(&admin->plan_bytes)))
        return &admin->plan;
    struct plan plan;
    if (plan_decode(bytes, &plan) < 0)
        return NULL;
    plan_done(&admin->plan);
    admin->plan = plan;
    buf_clear(&admin->plan_bytes);
    buf_append(&admin->plan_bytes, bytes);
    return &admin->plan;
}

/* With OUT the move that is open is described. */
static bool plan_finished(const struct world *world, const struct core *core, struct buf *out)
{
    struct slice bytes = setting_value(&core->settings, slice_string("plan"));
    if (bytes.size == 0)
        return true;
    const struct plan *plan = plan_of(world->admin, bytes);
    if (plan == NULL)
        return false;
    const struct plan_move *move = open_move(world, core, plan);
    if (move != NULL && out != NULL) {
        buf_printf(out, " %u.%u %s>%s of", move->range, move->slot, world_name(world, move->from),
                   world_name(world, move->to));
        describe_record(world, ring_get(&core->ring, move->range), out);
    }
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
    admin->next.fire = admin_next;
    admin->leave.fire = admin_leave_late;
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
    plan_done(&admin->plan);
    buf_done(&admin->plan_bytes);
    map_done(&admin->ordered);
    mem_free(admin);
}
