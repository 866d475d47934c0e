#include "sim/accepts.h"

#include "sim/admin.h"
#include "sim/admin_own.h"
#include "sim/checks.h"
#include "sim/faults.h"
#include "sim/network.h"
#include "sim/workload.h"

enum { SECOND = 1000000 };

struct accepts {
    uint32_t victims[HOSTS_MAX];
    uint32_t victims_count;
    uint32_t others[HOSTS_MAX];
    uint32_t others_count;
    bool is_victim[HOSTS_MAX];
    bool burnt[HOSTS_MAX]; /* Its disk is gone: it never comes back. */
    bool split;
    bool left[HOSTS_MAX]; /* On which side of the split. */
};

void accepts_draw(struct sim_options *options)
{
    if (options->profile != PROFILE_FORKS)
        return;
    options->accepts = true;
    options->edits = 0;
    options->losses = 0;
    options->rots = 0;
    options->held_type = 0;
    options->grows_late = false;
    options->leave_ppm = 0;
    options->operations *= 2;
    options->nodes = MAX(options->nodes, 3u);
    options->spares = 2;
    options->copies = MAX(options->copies, 2u);
    /* What is written later on another side of a split is to be stamped later. */
    options->skew_ms_max = 0;
    options->faults[FAULT_CLOCK] = 0;
    struct prng prng;
    prng_init(&prng, options->seed ^ 0x666f726b73u);
    if (prng_below(&prng, 100) < 30) {
        options->shards = 2;
        options->range_bits = 2;
        options->hot_ranges = 2;
        options->shard_us_max = prng_below(&prng, 20000);
        options->mailbox_max = 256;
    }
    if (prng_below(&prng, 100) < 30)
        options->sloppy_ppm = 500000;
    options->accepts_all = prng_below(&prng, 100) < 25;
}

static bool never(struct world *world)
{
    (void)world;
    return false;
}

static bool pause_up_to(struct world *world, uint64_t most_us)
{
    world_run(world, world->now_us + world_draw(world, 0, most_us), never);
    return !world_broken(world);
}

/* ------------------------------------------------------------------------------- Striking. */

static bool takes_part(const struct world *world, uint32_t host)
{
    return host_state(world->hosts[host]) == HOST_UP && !host_retired(world->hosts[host]) &&
           !admin_removed(world, host) && !admin_leaving(world, host);
}

static void add_victim(struct world *world, struct accepts *accepts, uint32_t host)
{
    accepts->is_victim[host] = true;
    accepts->burnt[host] = world_chance(world, 500000);
    accepts->victims[accepts->victims_count++] = host;
}

/* Owners of RECORD's slots until at most half are left, and perhaps somebody else. Two nodes stay
 * at least: of a fork that it alone knows a node need not speak, so that no checker hears of it. */
static void choose_owners(struct world *world, struct accepts *accepts,
                          const struct range_record *record)
{
    uint32_t staying = 0;
    for (uint32_t i = 0; i < world->hosts_count; i++)
        staying += takes_part(world, i);
    uint32_t slots = record->slots_count;
    uint32_t survive = slots < 2 ? slots : (uint32_t)world_draw(world, 1, slots / 2);
    if (world->options.accepts_all)
        survive = 0;
    if (survive == slots || staying < slots - survive + 2)
        return;
    uint32_t first = (uint32_t)world_draw(world, 0, slots - 1);
    for (uint32_t i = 0; i < slots - survive; i++) {
        int owner = world_host_of(world, record->slots[(first + i) % slots].owner);
        add_victim(world, accepts, (uint32_t)owner);
        staying--;
    }
    uint32_t host = (uint32_t)world_draw(world, 0, world->hosts_count - 1);
    if (staying > 2 && takes_part(world, host) && !accepts->is_victim[host] &&
        !record_has_member(record, host_id(world->hosts[host])))
        add_victim(world, accepts, host);
}

/* Of each hot range a copy is left; and where a majority is, somebody to rebuild the others at. */
static bool is_fair(const struct world *world, const struct accepts *accepts)
{
    uint32_t staying = 0;
    for (uint32_t i = 0; i < world->hosts_count; i++)
        staying += takes_part(world, i) && !accepts->is_victim[i];
    for (uint32_t i = 0; i < world->options.hot_ranges; i++) {
        const struct range_record *record = checks_newest(world, workload_range(world, i));
        uint32_t lost = 0;
        for (uint32_t k = 0; record != NULL && k < record->slots_count; k++) {
            int owner = world_host_of(world, record->slots[k].owner);
            lost += owner >= 0 && accepts->is_victim[owner];
        }
        bool emptied = record == NULL || lost == record->slots_count;
        if ((emptied && !world->options.accepts_all) ||
            (lost > 0 && lost <= (record->slots_count - 1u) / 2 && staying < record->slots_count))
            return false;
    }
    return true;
}

static void choose(struct world *world, struct accepts *accepts)
{
    const struct range_record *record = checks_newest(world, workload_range(world, 0));
    if (record != NULL)
        choose_owners(world, accepts, record);
    if (!is_fair(world, accepts))
        *accepts = (struct accepts){0};
    for (uint32_t i = 0; i < world->hosts_count; i++)
        if (takes_part(world, i) && !accepts->is_victim[i])
            accepts->others[accepts->others_count++] = i;
    accepts->split = accepts->others_count > 1 && world_chance(world, 500000);
    for (uint32_t i = 0; i < accepts->others_count; i++)
        accepts->left[accepts->others[i]] =
            i == 0 || (i + 1 < accepts->others_count && world_chance(world, 500000));
}

/* All who run, and they know of each other: who knows only those who are about to be lost would be
 * found by nobody. */
static bool all_joined(struct world *world)
{
    const struct core *first = NULL;
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        const struct host *host = world->hosts[i];
        if (host_lives(host) == 0 || host_retired(host))
            continue;
        if (host_node(host) == NULL || node_state(host_node(host)) != NODE_READY)
            return false;
        const struct core *core = node_core(host_node(host));
        if (first == NULL)
            first = core;
        if (memcmp(first->members.hashes, core->members.hashes, sizeof(core->members.hashes)) != 0)
            return false;
    }
    return true;
}

/* Replicas are equal by what is in memory. What a slow disk has not written yet is acknowledged by
 * nobody, and goes with its process: if that dies once the others are given up, they alone had it,
 * and it is lost as decision 37 says. */
static bool all_synced(const struct world *world)
{
    for (uint32_t i = 0; i < world->hosts_count; i++)
        if (!host_synced(world->hosts[i]))
            return false;
    return true;
}

static bool may_strike(struct world *world)
{
    return all_joined(world) && all_synced(world);
}

static void strike(struct world *world, const struct accepts *accepts)
{
    for (uint32_t i = 0; i < accepts->victims_count; i++) {
        struct host *host = world->hosts[accepts->victims[i]];
        if (accepts->burnt[accepts->victims[i]])
            host_lose_disk(host);
        else
            host_crash(host, world_chance(world, 500000));
    }
    for (uint32_t i = 0; i < accepts->others_count && accepts->split; i++)
        for (uint32_t k = 0; k < accepts->others_count; k++)
            if (accepts->left[accepts->others[i]] != accepts->left[accepts->others[k]])
                network_cut(world, accepts->others[i], accepts->others[k], true);
}

/* ------------------------------------------------------------------------------ Accepting. */

static uint32_t somebody(struct world *world, const struct accepts *accepts, bool left)
{
    uint32_t host;
    do
        host = accepts->others[world_draw(world, 0, accepts->others_count - 1)];
    while (accepts->split && accepts->left[host] != left);
    return host;
}

static bool orders_done(struct world *world)
{
    return admin_idle(world);
}

/* One administrator, or one on each side; any node may die at a durable step of what follows. */
static bool accept(struct world *world, const struct accepts *accepts)
{
    for (uint32_t i = 0; i < accepts->victims_count; i++) {
        for (uint32_t side = 0; side < (accepts->split ? 2u : 1u); side++) {
            uint32_t through = somebody(world, accepts, side == 0);
            if (world_chance(world, 400000))
                faults_die_at(world, through, (uint32_t)world_draw(world, 1, 4));
            admin_accept_loss(world, through, accepts->victims[i]);
        }
        if (!world_run(world, world->now_us + 30 * SECOND, orders_done)) {
            if (!world_broken(world))
                world_violate(world, "LossAccepted", "a removal was not carried out in 30 s");
            return false;
        }
        if (world_chance(world, 300000))
            faults_die_at(world, somebody(world, accepts, true), (uint32_t)world_draw(world, 1, 4));
        if (!pause_up_to(world, 500 * MS))
            return false;
    }
    return true;
}

static bool is_idle(struct world *world)
{
    return workload_idle(world);
}

/* Both sides take writes. Nobody reads: what the other side has acknowledged does not show yet. */
static bool write_apart(struct world *world)
{
    struct sim_options *options = &world->options;
    const struct sim_options before = *options;
    options->scan_ppm = 0;
    options->delete_ppm = 200000;
    options->put_ppm = 1000000 - options->delete_ppm;
    workload_resume(world);
    bool lives = pause_up_to(world, 2 * SECOND);
    workload_stop(world);
    if (lives && !world_run(world, world->now_us + 60 * SECOND, is_idle) && !world_broken(world))
        world_violate(world, "RequestsAnswered", "60 s after the last one was asked");
    *options = before;
    return !world_broken(world);
}

static void plan_copies(struct world *world, uint32_t through)
{
    world->admin->moves_count = 0;
    for (uint32_t i = 0; i < world->options.hot_ranges; i++) {
        const struct range_record *record = checks_newest(world, workload_range(world, i));
        if (record != NULL)
            admin_add_learns(world, record, world->options.copies);
    }
    if (world->admin->moves_count > 0)
        admin_order_moves(world, through, PLAN_RUNNING);
}

/* Has a hot range a slot of somebody who was removed? And is no majority of it left? */
static bool has_lost(const struct world *world, bool *ret_headless)
{
    bool lost = false;
    *ret_headless = false;
    for (uint32_t i = 0; i < world->options.hot_ranges; i++) {
        const struct range_record *record = checks_newest(world, workload_range(world, i));
        uint32_t gone = 0;
        for (uint32_t k = 0; record != NULL && k < record->slots_count; k++) {
            int owner = world_host_of(world, record->slots[k].owner);
            gone += owner >= 0 && admin_removed(world, (uint32_t)owner);
        }
        lost = lost || gone > 0;
        *ret_headless = *ret_headless || (record != NULL && gone > (record->slots_count - 1u) / 2);
    }
    return lost;
}

/* Two administrators may each have removed a node while the other one's removal was not known to
 * whom they asked: status says so, and that it is to be accepted yet. First what was lost where a
 * majority is left, then what a fork has no slot for any more. */
static bool rebuild(struct world *world, const struct accepts *accepts)
{
    bool headless;
    for (uint32_t i = 0; i < 60 && has_lost(world, &headless); i++) {
        if (headless)
            admin_accept_loss(world, somebody(world, accepts, true), accepts->victims[0]);
        else
            admin_plan_rebuilds(world);
        world_run(world, world->now_us + 2 * SECOND, never);
        if (world_broken(world))
            return false;
    }
    plan_copies(world, somebody(world, accepts, true));
    return true;
}

/* Is everybody up who is not lost, and do those who came back know that they are? */
static bool is_level(struct world *world)
{
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        const struct host *host = world->hosts[i];
        bool zombie = admin_removed(world, i) && host_state(host) == HOST_UP;
        if (zombie || (host_lives(host) > 0 && !admin_removed(world, i) && !host_retired(host) &&
                       host_state(host) != HOST_UP))
            return false;
    }
    return admin_idle(world);
}

bool accepts_run(struct world *world)
{
    struct accepts accepts = {0};
    /* While those are there whom they ask. */
    for (uint32_t i = 0; i < world->options.spares; i++)
        admin_join_one(world);
    if (!world_run(world, world->now_us + 60 * SECOND, may_strike))
        return !world_broken(world); /* Perhaps who was to let it in has left. */
    choose(world, &accepts);
    if (accepts.victims_count == 0 || accepts.others_count == 0)
        return true;
    strike(world, &accepts);
    if (!pause_up_to(world, 2 * SECOND) || !accept(world, &accepts))
        return false;
    /* A plan on one side only, before the two know of each other. */
    if (world_chance(world, 500000))
        plan_copies(world, somebody(world, &accepts, true));
    if (accepts.split && world_chance(world, 700000) && !write_apart(world))
        return false;
    if (!pause_up_to(world, 2 * SECOND))
        return false;
    network_heal(world);
    /* In so young a world a lost one's disk need not know of those who joined last, and nobody whom
     * it could ask is left. */
    for (uint32_t i = 0; i < accepts.victims_count && !world->options.accepts_all; i++)
        if (!accepts.burnt[accepts.victims[i]] && world_chance(world, 700000))
            host_start(world->hosts[accepts.victims[i]]);
    if (!world_run(world, world->now_us + 60 * SECOND, is_level)) {
        if (!world_broken(world))
            world_violate(world, "LossAccepted", "who was removed runs, or who was not is down");
        return false;
    }
    if (!pause_up_to(world, 3 * SECOND))
        return false;
    return rebuild(world, &accepts);
}
