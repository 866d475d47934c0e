#include "sim/run.h"

#include "sim/accepts.h"
#include "sim/admin.h"
#include "sim/checks.h"
#include "sim/checks_end.h"
#include "sim/edits.h"
#include "sim/faults.h"
#include "sim/host.h"
#include "sim/last_reads.h"
#include "sim/losses.h"
#include "sim/rots.h"
#include "sim/trips.h"
#include "sim/workload.h"

#include <stdio.h>

enum { MS = 1000, SECOND = 1000000 };

static void trace_phase(struct world *world, const char *name)
{
    if (world->trace.text)
        trace_line(&world->trace, world->now_us, "----- %s", name);
}

/* -------------------------------------------------------------------------------------- Found. */

static bool all_ready(struct world *world)
{
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        const struct node *node = host_node(world->hosts[i]);
        if (node == NULL)
            continue;
        if (node_state(node) != NODE_READY || node_core(node)->members.count < world->options.nodes)
            return false;
    }
    return true;
}

/* How far the slowest node is, for the message. */
static void describe_states(const struct world *world, struct buf *out)
{
    static const char *const names[] = {"starting", "joining",  "syncing",
                                        "ready",    "draining", "halted"};
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        const struct node *node = host_node(world->hosts[i]);
        buf_printf(out, " %s %s %u members", world_host_name(i),
                   node == NULL ? "down" : names[node_state(node)],
                   node == NULL ? 0 : node_core(node)->members.count);
    }
}

bool run_found(struct world *world)
{
    trace_phase(world, "founding");
    for (uint32_t i = 0; i < world->options.nodes; i++)
        host_start(world->hosts[i]);
    if (!world_run(world, world->now_us + 60 * SECOND, all_ready)) {
        struct buf text = {0};
        describe_states(world, &text);
        world_violate(world, "ClusterForms", "after 60 s without a fault:%.*s", (int)text.size,
                      (const char *)text.data);
        buf_done(&text);
    }
    return !world_broken(world);
}

static bool grow(struct world *world)
{
    trace_phase(world, "growing");
    admin_setup(world);
    if (!world_run(world, world->now_us + 120 * SECOND, admin_setup_done)) {
        struct buf text = {0};
        admin_describe(world, &text);
        world_violate(world, "TransferTerminates", "after 120 s without a fault:%.*s",
                      (int)text.size, (const char *)text.data);
        buf_done(&text);
    }
    return !world_broken(world);
}

/* --------------------------------------------------------------------------------------- Calm. */

enum { SWARM_OPERATIONS = 300, SWARM_FAULTS = 5, SWARM_MOVES = 1 };

/* A swarm world is to have seen something before it is judged. As drawn: one that is made smaller
 * is what it is. */
static bool must_be_busy(const struct world *world)
{
    const struct sim_options *options = &world->options;
    struct sim_options drawn;
    options_draw(options->seed, options->profile, &drawn);
    return options->profile == PROFILE_SWARM && options->operations == drawn.operations &&
           options->fault_interval_us == drawn.fault_interval_us &&
           options->admin_interval_us == drawn.admin_interval_us &&
           memcmp(options->faults, drawn.faults, sizeof(drawn.faults)) == 0 &&
           options->nodes == drawn.nodes;
}

static uint64_t faults_seen(const struct world *world)
{
    uint64_t sum = world->coverage.step_crashes;
    for (uint32_t i = 0; i < FAULT_COUNT; i++)
        sum += world->coverage.faults[i];
    return sum;
}

/* Is there a node that a slot could move to? Not once so many have left that all own one. */
static bool can_move(const struct world *world)
{
    uint32_t stay = 0;
    for (uint32_t i = 0; i < world->hosts_count; i++)
        stay +=
            host_lives(world->hosts[i]) > 0 && !admin_leaving(world, i) && !admin_removed(world, i);
    return stay > world->options.copies;
}

static bool is_busy(const struct world *world)
{
    return world->coverage.operations >= SWARM_OPERATIONS && faults_seen(world) >= SWARM_FAULTS &&
           (world->coverage.moves_done >= SWARM_MOVES || !can_move(world));
}

static bool issued(struct world *world)
{
    return workload_issued(world) && edits_issued(world) &&
           (world->options.profile != PROFILE_SWARM || is_busy(world));
}

static void judge_busy(struct world *world)
{
    if (must_be_busy(world) && !is_busy(world))
        world_violate(world, "WorldIsBusy", "%llu requests, %llu faults and %llu moves are too few",
                      (unsigned long long)world->coverage.operations,
                      (unsigned long long)faults_seen(world),
                      (unsigned long long)world->coverage.moves_done);
}

static bool tables_equal(const struct core *a, const struct core *b)
{
    return memcmp(a->ring.hashes, b->ring.hashes, sizeof(a->ring.hashes)) == 0 &&
           memcmp(a->members.hashes, b->members.hashes, sizeof(a->members.hashes)) == 0 &&
           memcmp(a->settings.hashes, b->settings.hashes, sizeof(a->settings.hashes)) == 0;
}

static bool rings_equal(struct world *world)
{
    const struct core *first = NULL;
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        for (uint32_t shard = 0; shard < host_shards(world->hosts[i]); shard++) {
            const struct node *node = host_shard(world->hosts[i], shard);
            if (node == NULL)
                continue;
            const struct core *core = node_core(node);
            if (core->holdings == NULL || node_state(node) != NODE_READY)
                return false;
            if (first == NULL)
                first = core;
            else if (!tables_equal(first, core))
                return false;
        }
    }
    return true;
}

/* The digest of what HOST has of RANGE. */
static uint64_t digest_of(const struct world *world, uint32_t host, uint32_t range)
{
    const struct store *store = host_store_of(world->hosts[host], range);
    return tree_digest(store_tree(store), range, world->options.range_bits);
}

/* Do all readers of the hot ranges hold the same? With OUT it says who does not. */
static bool replicas_equal(const struct world *world, struct buf *out)
{
    bool equal = true;
    for (uint32_t i = 0; i < world->options.hot_ranges; i++) {
        uint32_t range = workload_range(world, i);
        const struct range_record *record = checks_newest(world, range);
        uint64_t first = 0;
        for (uint32_t k = 0; record != NULL && k < record->slots_count; k++) {
            int host = world_host_of(world, record->slots[k].owner);
            if (host < 0 || host_store_of(world->hosts[host], range) == NULL)
                return false;
            uint64_t digest = digest_of(world, (uint32_t)host, range);
            if (k == 0)
                first = digest;
            equal = equal && digest == first;
            if (!equal && out == NULL)
                return false;
            if (out != NULL)
                buf_printf(out, " range %u at %s: %04llx", range, world_host_name((uint32_t)host),
                           (unsigned long long)digest & 0xffff);
        }
    }
    return equal;
}

/* All nodes are up: every hint has somewhere to go. With OUT it says who holds some. */
static bool hints_delivered(const struct world *world, struct buf *out)
{
    bool none = true;
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        for (uint32_t shard = 0; shard < host_shards(world->hosts[i]); shard++) {
            const struct node *node = host_shard(world->hosts[i], shard);
            const struct hinted *hinted = node == NULL ? NULL : &node_core(node)->hinted;
            if (hinted == NULL || (hinted->counted && hinted->keys == 0))
                continue;
            none = false;
            if (out != NULL)
                buf_printf(out, " %s holds %llu hints%s", world_host_name(i),
                           (unsigned long long)hinted->keys, hinted->counted ? "" : " and counts");
        }
    }
    return none;
}

/* Is what was dead before the faults stopped collected, as far as the readers of the lowest slots
 * know? They are the ones who have it collected. */
static bool horizons_advanced(const struct world *world)
{
    uint64_t healed = hlc_at((uint64_t)WORLD_EPOCH_S * 1000 + world->healed_us / 1000);
    for (uint32_t i = 0; world->options.horizon_us > 0 && i < world->options.hot_ranges; i++) {
        uint32_t range = workload_range(world, i);
        const struct range_record *record = checks_newest(world, range);
        if (record == NULL)
            continue; /* A node alone never spoke of it. */
        int host = world_host_of(world, record->slots[0].owner);
        if (host < 0 || host_store_of(world->hosts[host], range) == NULL ||
            store_dead_earliest(host_store_of(world->hosts[host], range), range) <= healed)
            return false;
    }
    return true;
}

static bool converged(struct world *world)
{
    return horizons_advanced(world) && workload_idle(world) && edits_idle(world) &&
           losses_over(world) && rots_over(world) && admin_settled(world) && rings_equal(world) &&
           hints_delivered(world, NULL) && replicas_equal(world, NULL);
}

static bool read_all_done(struct world *world)
{
    return last_reads_done(world) && edits_read_all_done(world);
}

static void judge_convergence(struct world *world, const char *when)
{
    struct buf text = {0};
    admin_describe(world, &text);
    workload_describe(world, &text);
    last_reads_describe(world, &text);
    rots_describe(world, &text);
    describe_states(world, &text);
    bool settled = losses_over(world) && admin_settled(world);
    const char *invariant = !settled                         ? "TransferTerminates"
                            : !rings_equal(world)            ? "RingConverges"
                            : !workload_idle(world)          ? "RequestsAnswered"
                            : !edits_idle(world)             ? "RequestsAnswered"
                            : !hints_delivered(world, &text) ? "HintResolves"
                            : !rots_over(world)              ? "DamageHeals"
                            : !replicas_equal(world, &text)  ? "ReplicasConverge"
                            : !horizons_advanced(world)      ? "HorizonAdvances"
                                                             : "Available";
    world_violate(world, invariant, "%s, %llu s after healing:%.*s", when,
                  (unsigned long long)world->options.liveness_us_max / SECOND, (int)text.size,
                  (const char *)text.data);
    buf_done(&text);
}

/* -------------------------------------------------------------------------------------- World. */

static void checks_end_or_say(struct world *world)
{
    if (!checks_end(world) && !world_broken(world))
        world_violate(world, "TreeEqualsData", "the last look at the stores did not end");
}

static bool half_issued(struct world *world)
{
    return workload_half_issued(world);
}

/* Faults stop, and all comes to rest. */
static bool come_to_rest(struct world *world)
{
    trace_phase(world, "liveness");
    world->healed_us = world->now_us;
    workload_stop(world);
    edits_stop(world);
    admin_stop(world);
    faults_stop(world);
    if (world_run(world, world->now_us + world->options.liveness_us_max, converged))
        return true;
    judge_convergence(world, "not converged");
    return false;
}

/* A majority is lost, that is accepted, and the world goes on. */
static bool second_half(struct world *world)
{
    trace_phase(world, "accepting");
    if (!accepts_run(world))
        return false;
    if (!world_run(world, world->now_us + world->options.liveness_us_max, converged)) {
        judge_convergence(world, "not converged once a loss was accepted");
        return false;
    }
    trace_phase(world, "safety");
    world->calm = false;
    workload_resume(world);
    faults_start(world);
    admin_start(world);
    world_run(world, world->now_us + world->options.safety_us_max, issued);
    return !world_broken(world) && come_to_rest(world);
}

static void live(struct world *world)
{
    if (!run_found(world) || !grow(world))
        return;
    trace_phase(world, "safety");
    if (!world->options.accepts_all)
        workload_start(world);
    edits_start(world);
    faults_start(world);
    admin_start(world);
    losses_start(world);
    rots_start(world);
    trips_start(world);
    world_run(world, world->now_us + world->options.safety_us_max,
              world->options.accepts ? half_issued : issued);
    if (must_be_busy(world) && !is_busy(world) && !world_broken(world)) {
        faults_rest(world); /* They have not left any move the time that it takes. */
        world_run(world, world->now_us + world->options.safety_us_max, issued);
    }
    if (world_broken(world) || !come_to_rest(world) ||
        (world->options.accepts && !second_half(world)))
        return;
    trace_phase(world, "last reads");
    last_reads_start(world);
    edits_read_all(world);
    if (!world_run(world, world->now_us + 30 * SECOND, read_all_done))
        judge_convergence(world, "keys cannot be read");
    else
        checks_end_or_say(world);
    judge_busy(world);
    for (uint32_t i = 0; i < world->hosts_count && !world_broken(world); i++)
        for (uint32_t shard = 0; shard < host_shards(world->hosts[i]); shard++)
            if (host_shard(world->hosts[i], shard) != NULL)
                node_check(host_shard(world->hosts[i], shard));
}

void run_world(const struct sim_options *options, bool text, bool print,
               struct run_result *ret_result)
{
    struct world world;
    world_init(&world, options, text, print);
    live(&world);
    *ret_result = (struct run_result){
        .hash = world.trace.hash,
        .virtual_us = world.now_us,
        .coverage = world.coverage,
    };
    if (world_broken(&world)) {
        memcpy(ret_result->invariant, world.violation.invariant, sizeof(ret_result->invariant));
        snprintf(ret_result->text, sizeof(ret_result->text), "%.*s", (int)world.violation.text.size,
                 (const char *)world.violation.text.data);
        if (text && !print)
            trace_dump(&world.trace);
    }
    world_done(&world);
}
