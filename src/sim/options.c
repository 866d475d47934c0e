#include "sim/options.h"

#include "core/core.h"
#include "core/message.h"
#include "sim/accepts.h"
#include "sim/draw.h"
#include "sim/rules.h"
#include "wire/peer.h"

static const char *const profile_names[PROFILE_COUNT] = {
    [PROFILE_MOVES] = "moves",   [PROFILE_CAUSAL] = "causal",     [PROFILE_DISK] = "disk",
    [PROFILE_GOSSIP] = "gossip", [PROFILE_SWARM] = "swarm",       [PROFILE_HINTS] = "hints",
    [PROFILE_ROT] = "rot",       [PROFILE_TRANSFER] = "transfer", [PROFILE_RULES] = "rules",
    [PROFILE_SHARDS] = "shards", [PROFILE_FORKS] = "forks",
};

static const char *const fault_names[FAULT_COUNT] = {
    [FAULT_CRASH] = "crash",
    [FAULT_POWER] = "power",
    [FAULT_PAUSE] = "pause",
    [FAULT_SPLIT] = "split",
    [FAULT_ONEWAY] = "oneway",
    [FAULT_SLOW_LINK] = "slow-link",
    [FAULT_SLOW_DISK] = "slow-disk",
    [FAULT_CLOCK] = "clock",
    [FAULT_LOST_DISK] = "lost-disk",
    [FAULT_RESTORED] = "restored",
    [FAULT_REMOVED] = "removed",
    [FAULT_FULL] = "full",
    [FAULT_ROT] = "rot",
};

const char *profile_name(enum profile profile)
{
    return profile_names[profile];
}

bool profile_find(const char *name, enum profile *ret_profile)
{
    for (uint32_t i = 0; i < PROFILE_COUNT; i++) {
        if (strcmp(name, profile_names[i]) != 0)
            continue;
        *ret_profile = (enum profile)i;
        return true;
    }
    return false;
}

const char *fault_name(enum fault fault)
{
    return fault_names[fault];
}

/* Of the profiles when a draw began to depend on them: what others draw stays as it is. */
enum { PROFILES_FIRST = 5, PROFILES_SIX = 6, PROFILES_SEVEN = 7, PROFILES_EIGHT = 8 };
enum { MS = 1000, SECOND = 1000000, HINTS_ROOM = 1 << 30 };

static void draw_network(struct prng *prng, struct sim_options *o)
{
    o->delay_us_min = between(prng, 50, 500);
    o->delay_us_max =
        o->delay_us_min + (chance(prng, 30) ? between(prng, 0, 40 * MS) : between(prng, 0, 3 * MS));
    o->jitter_us = chance(prng, 50) ? between(prng, 0, 10 * MS) : between(prng, 0, 500);
    o->loss_ppm = chance(prng, 50) ? between32(prng, 0, 100000) : 0;
    o->duplicate_ppm = chance(prng, 40) ? between32(prng, 0, 100000) : 0;
    o->reorder_ppm = chance(prng, 40) ? between32(prng, 0, 200000) : 0;
}

static void draw_disk(struct prng *prng, struct sim_options *o)
{
    o->disk_us_min = between(prng, 50, 400);
    o->disk_us_max =
        o->disk_us_min + (chance(prng, 30) ? between(prng, 0, 50 * MS) : between(prng, 0, 2 * MS));
    o->tick_us = chance(prng, 50) ? 0 : between(prng, 1, 500);
    o->memory_max = 1 << 20;
    o->segment_size = 64 << 10;
}

static void draw_workload(struct prng *prng, struct sim_options *o)
{
    o->clients = between32(prng, 1, 5);
    o->keys = between32(prng, 1, 8);
    o->operations = between32(prng, 40, 80);
    o->think_us = between(prng, 1 * MS, 200 * MS);
    o->value_size_max = between32(prng, 16, 200);
    o->put_ppm = between32(prng, 300000, 600000);
    o->delete_ppm = between32(prng, 0, 150000);
    o->context_ppm = between32(prng, 0, 1000000);
    o->weak_ppm = chance(prng, 30) ? between32(prng, 0, 300000) : 0;
    o->ttl_ppm = chance(prng, 40) ? between32(prng, 0, 500000) : 0;
    o->ttl_ms_max = between(prng, 1, 5000);
    o->scan_ppm = chance(prng, 40) ? between32(prng, 0, 100000) : 0;
    o->batch_ppm = chance(prng, 30) ? between32(prng, 0, 300000) : 0;
    for (uint32_t i = 0; i < ARRAY_SIZE(o->policies); i++)
        o->policies[i] = chance(prng, 50);
    o->policies[1] |= !o->policies[0] && !o->policies[2];
}

/* Each kind of fault is in the mix or not, so that worlds differ in kind and not only in number
 * (swarm testing: Groce et al., ISSTA 2012). */
static void draw_faults(struct prng *prng, struct sim_options *o)
{
    for (uint32_t i = 0; i <= FAULT_FULL; i++)
        o->faults[i] = chance(prng, 50) ? between32(prng, 1, 10) : 0;
    o->faults[FAULT_CRASH] += 1;
    o->fault_interval_us = chance(prng, 85) ? between(prng, 100 * MS, 3 * SECOND) : 0;
    o->crash_step_ppm = chance(prng, 40) ? between32(prng, 0, 20000) : 0;
    o->skew_ms_max = chance(prng, 50) ? (int64_t)between(prng, 0, 200) : 0;
}

static void draw_common(struct prng *prng, struct sim_options *o)
{
    o->nodes = between32(prng, 3, 5);
    o->spares = between32(prng, 0, 1);
    o->copies = 3;
    o->range_bits = 6;
    o->tree_bits = 8;
    o->hot_ranges = between32(prng, 1, 2);
    o->range = -1;
    draw_workload(prng, o);
    draw_network(prng, o);
    draw_disk(prng, o);
    draw_faults(prng, o);
    o->admin_interval_us = between(prng, 300 * MS, 5 * SECOND);
    o->cleanup_us = between(prng, 100 * MS, 5 * SECOND);
    o->gossip_us = chance(prng, 50) ? SECOND : between(prng, 200 * MS, SECOND);
    o->abort_us = chance(prng, 30) ? 30 * SECOND : between(prng, 200 * MS, 5 * SECOND);
    o->safety_us_max = 60 * SECOND;
    o->liveness_us_max = 180 * SECOND;
    o->check_every = 16;
    o->chunk_objects = timing_default.chunk_objects;
    o->fault_us_max = 8 * SECOND;
    o->repair_us = timing_default.repair_us;
}

static void lean(struct prng *prng, struct sim_options *o)
{
    switch (o->profile) {
    case PROFILE_MOVES:
    case PROFILE_TRANSFER:
    case PROFILE_RULES:
    case PROFILE_SHARDS:
    case PROFILE_FORKS:
        o->hot_ranges = 1;
        o->range_bits = 1;
        o->tree_bits = 4;
        o->segment_size = 32 << 10;
        o->crash_step_ppm = chance(prng, 50) ? between32(prng, 1000, 50000) : 0;
        o->copies = chance(prng, 80) ? 3 : between32(prng, 1, 5);
        break;
    case PROFILE_CAUSAL:
        o->nodes = between32(prng, 1, 4);
        o->spares = 0;
        o->keys = between32(prng, 1, 2);
        o->clients = between32(prng, 2, 6);
        o->operations = between32(prng, 60, 150);
        o->context_ppm = between32(prng, 300000, 900000);
        o->admin_interval_us = chance(prng, 50) ? o->admin_interval_us : 0;
        break;
    case PROFILE_DISK:
        o->nodes = between32(prng, 1, 3);
        o->spares = 0;
        o->operations = between32(prng, 100, 400);
        o->think_us = between(prng, 100, 20 * MS);
        o->keys = between32(prng, 1, 64);
        o->value_size_max = between32(prng, 16, 4000);
        o->memory_max = between(prng, 8, 64) << 10;
        o->faults[FAULT_POWER] += 10;
        o->faults[FAULT_SLOW_DISK] += 5;
        o->fault_interval_us = between(prng, 50 * MS, 1 * SECOND);
        o->admin_interval_us = chance(prng, 30) ? o->admin_interval_us : 0;
        break;
    case PROFILE_GOSSIP:
        o->nodes = between32(prng, 6, 20);
        o->spares = between32(prng, 0, 4);
        o->operations = between32(prng, 0, 20);
        break;
    case PROFILE_SWARM:
        o->copies = chance(prng, 70) ? 3 : between32(prng, 2, 5);
        o->nodes = between32(prng, o->copies + 1, 7); /* There is somewhere to move to. */
        o->spares = between32(prng, 0, 3);
        o->hot_ranges = between32(prng, 1, HOT_RANGES_MAX);
        o->move_all = chance(prng, 10);
        o->keys = between32(prng, 4, 40);
        o->clients = between32(prng, 2, CLIENTS_MAX);
        o->operations = between32(prng, 300, 500);
        o->fault_interval_us = between(prng, 200 * MS, 3 * SECOND);
        o->admin_interval_us = between(prng, 300 * MS, 3 * SECOND);
        o->safety_us_max = 300 * SECOND;
        break;
    case PROFILE_HINTS:
        o->nodes = between32(prng, 4, 7);
        o->keys = between32(prng, 1, 6);
        o->clients = between32(prng, 2, 6);
        o->operations = between32(prng, 80, 200);
        o->faults[FAULT_CRASH] += 3;
        o->faults[FAULT_SPLIT] += 5;
        o->fault_interval_us = between(prng, 100 * MS, 2 * SECOND);
        o->admin_interval_us = chance(prng, 50) ? o->admin_interval_us : 0;
        o->safety_us_max = 120 * SECOND;
        break;
    case PROFILE_ROT:
        o->hot_ranges = 1;
        o->range_bits = 1;
        o->tree_bits = 4;
        o->segment_size = 32 << 10;
        o->keys = between32(prng, 1, 3);
        o->clients = between32(prng, 2, 5);
        o->operations = between32(prng, 80, 200);
        o->think_us = between(prng, 1 * MS, 50 * MS);
        o->weak_ppm = 0;
        o->admin_interval_us = chance(prng, 50) ? o->admin_interval_us : 0;
        break;
    }
}

/* Faults that the failure detector sees, for a fallback stands in only for who is known to be down,
 * or silent for a while; and little room, so that the bounds are met. Drawn last: other profiles
 * keep their worlds. */
static void draw_hints(struct prng *prng, struct sim_options *o)
{
    o->hints_max = HINTS_ROOM;
    if (o->profile != PROFILE_HINTS && (o->profile != PROFILE_SWARM || chance(prng, 50)))
        return;
    o->sloppy_ppm = between32(prng, 300000, 1000000);
    o->fault_us_max = between(prng, 4 * SECOND, 30 * SECOND);
    if (chance(prng, 40))
        o->hints_max = between(prng, 300, 3000);
    o->cut_off_ppm = between32(prng, 0, 1000000);
}

/* Under log mode interval what is acknowledged is in the kernel only: a crash of the process must
 * not lose it, a loss of power may, so there is none. */
static void draw_log_mode(struct prng *prng, struct sim_options *o)
{
    o->interval = chance(prng, 20);
    if (o->interval)
        o->faults[FAULT_POWER] = 0;
}

/* Many things at once, all of them short: what meets by chance in other worlds once in thousands
 * happens in these all the time. */
static void hurry(struct prng *prng, struct sim_options *o)
{
    o->think_us = between(prng, 10 * MS, 60 * MS) * o->clients;
    o->admin_interval_us = between(prng, 30 * MS, 300 * MS);
    o->fault_interval_us = between(prng, 50 * MS, 400 * MS);
    o->fault_us_max = between(prng, 100 * MS, 2 * SECOND);
    o->abort_us = between(prng, 1 * MS, 100 * MS);
    o->cleanup_us = between(prng, 10 * MS, 500 * MS);
}

/* Transfers of a few chunks, and haste. */
static void draw_haste(struct prng *prng, struct sim_options *o)
{
    if (chance(prng, 50))
        o->chunk_objects = between32(prng, 1, 3);
    o->retries = chance(prng, 50) ? between32(prng, 1, 3) : 0;
    /* What comparing trees mends at once, nobody sees missing. */
    if (o->hot_ranges <= 2 && chance(prng, 50))
        o->repair_us = between(prng, 100 * MS, 1 * SECOND);
    if (o->profile != PROFILE_MOVES || chance(prng, 65))
        return;
    hurry(prng, o);
}

/* Clocks that are plainly wrong. */
static void draw_skew(struct prng *prng, struct sim_options *o)
{
    if (o->nodes >= 3 && chance(prng, 10))
        o->skew_ms_max = (int64_t)between(prng, CLOCK_SKEW_MS, 6000);
}

/* Drawn last: what worlds were before they could be so is what they are when they are not. */
static void draw_store(struct prng *prng, struct sim_options *o)
{
    o->scrub = chance(prng, 50);
}

/* Data that is not in memory. From a generator of its own, as what follows. The memtables are then
 * small, for what lies in them is never cold. */
static void draw_cold(uint64_t seed, struct sim_options *o)
{
    struct prng prng;
    prng_init(&prng, (seed * PROFILES_EIGHT + o->profile) ^ 0x636f6c64u);
    if (!chance(&prng, o->profile == PROFILE_DISK ? 60 : 30))
        return;
    o->cold_cache = between32(&prng, 2, 16);
    o->cold_max = chance(&prng, 30) ? between32(&prng, 8, 24) : 0;
    o->memory_max = MIN(o->memory_max, between(&prng, 8, 32) << 10);
}

/* From a generator of its own, so that what is drawn elsewhere stays as it is. Ranges with two
 * slots cannot lose one, and the planner that moves all ranges leaves some so for a while. */
static void draw_losses(uint64_t seed, struct sim_options *o)
{
    struct prng prng;
    prng_init(&prng, (seed * PROFILES_SIX + o->profile) ^ 0x6c6f7373u);
    static const uint32_t percent[PROFILE_COUNT] = {[PROFILE_MOVES] = 40,
                                                    [PROFILE_SWARM] = 40,
                                                    [PROFILE_GOSSIP] = 20,
                                                    [PROFILE_TRANSFER] = 30,
                                                    [PROFILE_SHARDS] = 30};
    if (o->copies >= 3 && o->nodes >= 3 && !o->move_all && chance(&prng, percent[o->profile]))
        o->losses = between32(&prng, 1, 3);
}

/* What rots lies in the database, not in memory: stores with little memory, so that all is there
 * soon. A range with one copy has nobody to be healed from. From a generator of its own, under a
 * number by which no world of tests/seeds/core.seeds was struck that was not when it failed. */
static void draw_rots(uint64_t seed, struct sim_options *o)
{
    struct prng prng;
    prng_init(&prng, (seed * PROFILES_SEVEN + o->profile) ^ 0x7271c8u);
    static const uint32_t percent[PROFILE_COUNT] = {
        [PROFILE_MOVES] = 20,    [PROFILE_CAUSAL] = 20, [PROFILE_DISK] = 40,
        [PROFILE_SWARM] = 30,    [PROFILE_HINTS] = 20,  [PROFILE_ROT] = 100,
        [PROFILE_TRANSFER] = 20, [PROFILE_SHARDS] = 20};
    if (o->copies < 2 || o->nodes < 2 || o->move_all || !chance(&prng, percent[o->profile]))
        return;
    o->rots = between32(&prng, 1, 20);
    o->rot_us = between(&prng, 50 * MS, 1 * SECOND);
    o->memory_max = MIN(o->memory_max, between(&prng, 1, 8) << 10);
}

/* In half of those worlds keys rot as well. From a stream of its own, so that the others stay what
 * they were. */
static void draw_rot_keys(uint64_t seed, struct sim_options *o)
{
    struct prng prng;
    prng_init(&prng, (seed * PROFILES_SEVEN + o->profile) ^ 0x6b657973u);
    if (o->rots > 0 && chance(&prng, 50))
        o->rot_key_ppm = between32(&prng, 200000, 1000000);
}

static void draw_edits(struct prng *prng, struct sim_options *o)
{
    bool any = o->profile != PROFILE_GOSSIP && chance(prng, 50);
    o->edits = any ? between32(prng, o->operations / 2, o->operations * 2) : 0;
}

/* Deletes are collected in two worlds of five, soon enough to be seen. From a stream of its own, so
 * that the other worlds stay what they were. */
static void draw_horizons(struct sim_options *o)
{
    struct prng prng;
    prng_init(&prng, o->seed * PROFILES_SIX + o->profile + 0x68726e7a00000000u);
    o->deadline_ms = 3000;
    o->edit_deadline_ms = 2000;
    if (!chance(&prng, 40))
        return;
    o->horizon_us = between(&prng, 50 * MS, 2 * SECOND);
    o->deadline_ms = chance(&prng, 80) ? between32(&prng, 100, 500) : 3000;
    o->operations *= 3;
    o->delete_ppm = between32(&prng, 100000, 400000);
}

/* What the protocol must survive of late messages depends on what they say, so one kind is late. */
static void draw_held(struct prng *prng, struct sim_options *o)
{
    static const enum message_type types[] = {
        MESSAGE_PROPOSE, MESSAGE_ACCEPTED, MESSAGE_CHOSEN, MESSAGE_CHUNK,   MESSAGE_CHUNK_ACK,
        MESSAGE_OFFER,   MESSAGE_COMPLETE, MESSAGE_WRITE,  MESSAGE_REPLY,   MESSAGE_FORWARD,
        MESSAGE_READ,    MESSAGE_OBJECTS,  MESSAGE_PROVEN, MESSAGE_HORIZON, MESSAGE_INSTALLED};
    if (chance(prng, 50))
        return;
    o->held_type = types[prng_below(prng, ARRAY_SIZE(types))];
    o->held_ppm = between32(prng, 20000, 500000);
    o->held_us_max = between(prng, 10 * MS, 1 * SECOND);
}

/* A short world: at most five nodes, about sixty requests, and little time in which nothing
 * happens. What it leaves out, longer times and longer histories, profile moves has. */
static void draw_short(struct prng *prng, struct sim_options *o)
{
    bool collects = o->horizon_us > 0;
    uint32_t requests = between32(prng, 35, 65);
    o->spares = MIN(o->spares, 5 - o->nodes);
    o->losses = MIN(o->losses, 1u);
    o->keys = between32(prng, 1, 4);
    o->edits = o->edits > 0 ? between32(prng, requests / 4, requests / 2) : 0;
    o->operations = requests - o->edits;
    hurry(prng, o);
    o->think_us /= 2;
    o->deadline_ms = collects ? between32(prng, 100, 400) : between32(prng, 200, 1000);
    if (collects)
        o->horizon_us = between(prng, 200 * MS, 800 * MS);
    o->gossip_us = between(prng, 200 * MS, 500 * MS);
    draw_held(prng, o);
    o->back_ppm = chance(prng, 50) ? 500000 : 0;
    o->grows_late = chance(prng, 30);
    if (o->grows_late && o->nodes >= 4 && chance(prng, 50))
        o->copies = 4;
}

/* Several hot ranges, so that all shards have work, and nodes of which some have one shard. */
static void draw_shards(struct prng *prng, struct sim_options *o)
{
    o->shards = chance(prng, 80) ? 2 : 4;
    o->single_hosts = chance(prng, 40) ? between32(prng, 0, 63) : 0;
    o->range_bits = between32(prng, 2, 3);
    o->tree_bits = 5;
    o->hot_ranges = between32(prng, 2, 4);
    o->shard_us_max = chance(prng, 60) ? between(prng, 0, 200) : between(prng, 0, 20 * MS);
    o->mailbox_max = chance(prng, 20) ? between32(prng, 2, 8) : 256;
    if (chance(prng, 40))
        o->sloppy_ppm = between32(prng, 300000, 1000000);
}

void options_draw(uint64_t seed, enum profile profile, struct sim_options *ret_options)
{
    struct prng prng;
    *ret_options = (struct sim_options){.seed = seed, .profile = profile, .shards = 1, .skewed = 1};
    prng_init(&prng, seed * PROFILES_FIRST + profile);
    draw_common(&prng, ret_options);
    lean(&prng, ret_options);
    draw_log_mode(&prng, ret_options);
    draw_haste(&prng, ret_options);
    draw_skew(&prng, ret_options);
    draw_store(&prng, ret_options);
    draw_losses(seed, ret_options);
    draw_cold(seed, ret_options);
    draw_hints(&prng, ret_options);
    draw_edits(&prng, ret_options);
    draw_horizons(ret_options);
    draw_rots(seed, ret_options);
    if (profile >= PROFILE_TRANSFER)
        draw_short(&prng, ret_options);
    if (profile == PROFILE_SHARDS)
        draw_shards(&prng, ret_options);
    if (profile == PROFILE_RULES)
        rules_draw(ret_options);
    accepts_draw(ret_options);
    draw_rot_keys(seed, ret_options);
}

static void format_policies(const struct sim_options *o, struct buf *out)
{
    static const char letters[] = "snl";
    buf_printf(out, " policies=");
    for (uint32_t i = 0; i < ARRAY_SIZE(o->policies); i++)
        if (o->policies[i])
            buf_printf(out, "%c", letters[i]);
    buf_printf(out, " log=%s", o->interval ? "interval" : "always");
}

void options_format(const struct sim_options *o, struct buf *out)
{
    buf_printf(out, "profile=%s nodes=%u+%u copies=%u hot=%u%s", profile_name(o->profile), o->nodes,
               o->spares, o->copies, o->hot_ranges, o->move_all ? " move=all" : "");
    if (o->profile == PROFILE_RULES)
        rules_format(o, out);
    if (o->shards > 1)
        buf_printf(out, " ranges=%u shards=%u single=%x apart=%lluus mailbox=%u",
                   1u << o->range_bits, o->shards, o->single_hosts,
                   (unsigned long long)o->shard_us_max, o->mailbox_max);
    buf_printf(out, " clients=%u keys=%u ops=%u edits=%u think=%lluus", o->clients, o->keys,
               o->operations, o->edits, (unsigned long long)o->think_us);
    if (o->plain_ppm > 0)
        buf_printf(out, " plain=%u%%", o->plain_ppm / 10000);
    buf_printf(out, " value=%u put=%u%% delete=%u%% context=%u%% weak=%u%% retries=%u",
               o->value_size_max, o->put_ppm / 10000, o->delete_ppm / 10000, o->context_ppm / 10000,
               o->weak_ppm / 10000, o->retries);
    buf_printf(out, " ttl=%u%%,%llums scan=%.1f%% batch=%.1f%%", o->ttl_ppm / 10000,
               (unsigned long long)o->ttl_ms_max, o->scan_ppm / 1e4, o->batch_ppm / 1e4);
    if (o->sloppy_ppm > 0)
        buf_printf(out, " sloppy=%u%% room=%llu", o->sloppy_ppm / 10000,
                   (unsigned long long)o->hints_max);
    format_policies(o, out);
    buf_printf(out, " delay=%llu..%lluus jitter=%lluus loss=%.1f%% dup=%.1f%% reorder=%.1f%%",
               (unsigned long long)o->delay_us_min, (unsigned long long)o->delay_us_max,
               (unsigned long long)o->jitter_us, o->loss_ppm / 1e4, o->duplicate_ppm / 1e4,
               o->reorder_ppm / 1e4);
    if (o->held_type != 0)
        buf_printf(out, " held=%s:%.1f%%,%llums", message_name((enum message_type)o->held_type),
                   o->held_ppm / 1e4, (unsigned long long)o->held_us_max / MS);
    buf_printf(out, " disk=%llu..%lluus tick=%lluus skew=%lldms memory=%lluk scrub=%u",
               (unsigned long long)o->disk_us_min, (unsigned long long)o->disk_us_max,
               (unsigned long long)o->tick_us, (long long)o->skew_ms_max,
               (unsigned long long)(o->memory_max >> 10), o->scrub);
    if (o->cold_cache > 0)
        buf_printf(out, " cached=%u waiting=%u", o->cold_cache, o->cold_max);
    buf_printf(out, " chunk=%u abort=%llums cleanup=%llums repair=%llums", o->chunk_objects,
               (unsigned long long)o->abort_us / MS, (unsigned long long)o->cleanup_us / MS,
               (unsigned long long)o->repair_us / MS);
    buf_printf(out, " deadline=%ums horizon=%llums", o->deadline_ms,
               (unsigned long long)o->horizon_us / MS);
    buf_printf(out, " admin=%llums faults=%llums", (unsigned long long)o->admin_interval_us / MS,
               (unsigned long long)o->fault_interval_us / MS);
    for (uint32_t i = 0; i < FAULT_COUNT && o->fault_interval_us > 0; i++)
        if (o->faults[i] > 0)
            buf_printf(out, "%c%s:%u", i == 0 ? '=' : ',', fault_name((enum fault)i), o->faults[i]);
    if (o->losses > 0)
        buf_printf(out, " losses=%u%s", o->losses, o->to_old_copies ? ",to-old-copies" : "");
    if (o->rots > 0)
        buf_printf(out, " rots=%u,%llums keys=%u%%", o->rots, (unsigned long long)o->rot_us / MS,
                   o->rot_key_ppm / 10000);
    if (o->crash_step_ppm > 0)
        buf_printf(out, " crash-step=%.2f%%", o->crash_step_ppm / 1e4);
}
