#include "base/error.h"
#include "sim/checks.h"
#include "sim/faults.h"
#include "sim/host_own.h"

#include <stdio.h>

/* A round over the little that a simulated disk holds takes a moment. */
enum { SCRUB_RATE = 1 << 20, SCRUB_INTERVAL_S = 3 };

/* Longer than clients here wait for an answer, however wrong the clocks are by which a request that
 * is handed on is dropped. */
enum { REST_US = 4 * 1000 * 1000 };

uint32_t host_index(const struct host *host)
{
    return host->index;
}

struct node_id host_id(const struct host *host)
{
    return host->id;
}

enum host_state host_state(const struct host *host)
{
    return host->state;
}

uint32_t host_lives(const struct host *host)
{
    return host->lives;
}

bool host_retired(const struct host *host)
{
    return host->retired;
}

bool host_restored(const struct host *host)
{
    return host->restored;
}

bool host_backed_up(const struct host *host)
{
    return host->backup != NULL;
}

const struct node *host_node(const struct host *host)
{
    return host->node;
}

enum { SKEW_RIGHT_MS = 200 }; /* Of a clock that is kept right. */

struct moment host_now(const struct host *host)
{
    uint64_t us = host->world->now_us;
    host = host->machine;
    uint64_t wall_ms = (uint64_t)WORLD_EPOCH_S * 1000 + us / 1000;
    return (struct moment){
        .us = us + host->clock_us,
        .wall_ms = (uint64_t)((int64_t)wall_ms + host->skew_ms),
    };
}

int64_t host_skew_ms_max(const struct world *world, uint32_t index)
{
    int64_t most = world->options.skew_ms_max;
    return index % 8 == world->options.skewed ? most : MIN(most, (int64_t)SKEW_RIGHT_MS);
}

static void prepare(struct host *host)
{
    const struct disk_mem_options options = {.segment_size = host->world->options.segment_size,
                                             .stores = host->shards};
    host->disk =
        host->shard == 0 ? disk_mem_new(&options) : disk_of_store(host->machine->disk, host->shard);
    host->last = &host->first;
    host->wake = (struct host_timer){{.fire = host_on_wake}, host};
    host->flush = (struct host_timer){{.fire = host_on_flush}, host};
    host->pump = (struct host_timer){{.fire = host_on_pump}, host};
    for (uint32_t i = 0; i < ARRAY_SIZE(host->disk_timers); i++)
        host->disk_timers[i] =
            (struct disk_event_timer){{.fire = host_on_disk}, host, (enum disk_mem_queue)i};
}

struct host *host_new(struct world *world, uint32_t index)
{
    struct host *host = mem_zero(sizeof(*host));
    host->world = world;
    host->index = index;
    host->id = (struct node_id){prng_next(&world->prng) | 1, prng_next(&world->prng)};
    snprintf(host->address, sizeof(host->address), "n%u", index);
    host->founder = index == 0;
    host->clock_us = world_draw(world, 1, 1000000000);
    int64_t most = host_skew_ms_max(world, index);
    host->skew_ms = (int64_t)world_draw(world, 0, (uint64_t)(2 * most)) - most;
    host->slowness = 1;
    host_make_shards(host);
    for (uint32_t shard = 0; shard < host->shards; shard++)
        prepare(host->each[shard]);
    return host;
}

static void count_cold(const struct host *host)
{
    struct coverage *coverage = &host->world->coverage;
    struct store_stats stats;
    store_stats(host->store, &stats);
    coverage->cold_reads += stats.reads_cold;
    coverage->cold_waited += stats.cold_waited;
    coverage->cold_refused += stats.cold_refused;
    coverage->cold_lost += stats.cold_waiting;
}

/* End the process, if any, without a word to anybody. */
static void stop_shard(struct host *host)
{
    struct world *world = host->world;
    world_cancel(world, &host->wake.event);
    world_cancel(world, &host->flush.event);
    world_cancel(world, &host->pump.event);
    for (uint32_t i = 0; i < ARRAY_SIZE(host->disk_timers); i++)
        world_cancel(world, &host->disk_timers[i].event);
    if (host->node != NULL)
        node_free(host->node);
    if (host->store != NULL) {
        count_cold(host);
        store_close(host->store);
    }
    host->node = NULL;
    host->store = NULL;
    host->state = HOST_DOWN;
    host->died = false;
    host->flush_due = false;
    host->probes_count = 0;
    host_queue_clear(host);
}

static void stop(struct host *host)
{
    for (uint32_t shard = 0; shard < host->shards; shard++)
        stop_shard(host->each[shard]);
    host_mails_clear(host);
}

static void free_shard(struct host *host)
{
    arena_done(&host->memory);
    arena_done(&host->decoded);
    effects_done(&host->effects);
    buf_done(&host->frame);
    mem_free(host);
}

void host_free(struct host *host)
{
    if (host->state != HOST_DOWN)
        disk_mem_crash(host->disk, NULL);
    stop(host);
    disk_close(host->disk);
    if (host->backup != NULL)
        disk_close(host->backup);
    for (uint32_t shard = host->shards; shard-- > 0;)
        free_shard(host->each[shard]);
}

/* Make the shard's node of what RECOVERED says: the cells of all stores, positions of its own. */
static bool make_node(struct host *host, const struct store_recovered *recovered)
{
    struct world *world = host->world;
    struct timing timing = timing_default;
    timing.cleanup_us = world->options.cleanup_us;
    timing.gossip_us = world->options.gossip_us;
    timing.abort_us = world->options.abort_us;
    timing.repair_us = world->options.repair_us;
    timing.hint_us = world->options.gossip_us;
    timing.chunk_objects = world->options.chunk_objects;
    timing.horizon_us = world->options.horizon_us;
    timing.deadline_ms = world->options.deadline_ms;
    struct slice seeds[2] = {slice_string("n0"), slice_string("n1")};
    struct slice address = slice_string(host->address);
    bool fresh = recovered->metas_count == 0;
    struct node_options options = {
        .self = host->id,
        .name = slice_string(world_host_name(host->index)),
        .zone = slice_string(host->index % 2 == 0 ? "even" : "odd"),
        .peer = address,
        .client = address,
        .http = address,
        .capacity = 100,
        .seeds = seeds,
        .seeds_count = host->machine->founder ? 0 : ARRAY_SIZE(seeds),
        .create = host->machine->founder && fresh,
        .cluster = world->cluster,
        .timing = timing,
        .seed = prng_next(&world->prng),
        .hints_max = world->options.hints_max,
        .requests_max = HOST_REQUESTS_MAX,
        .shard = (uint8_t)host->shard,
        .shards = (uint8_t)host->shards,
        .metas = recovered->metas,
        .metas_count = recovered->metas_count,
        .found = recovered->found,
        .position = recovered->position,
        .clean = recovered->clean,
    };
    effects_reset(&host->effects);
    if (node_new(&options, host_now(host), &host->effects, &host->node) < 0) {
        world_violate(world, "RecoversWhatItWrote", "%s cannot read its own meta entries",
                      world_host_name(host->index));
        return false;
    }
    host_set_ranges(host);
    return true;
}

static void make_nodes(struct host *host, const struct store_recovered *recovered)
{
    struct store_recovered all = {0};
    for (uint32_t shard = 0; shard < host->shards; shard++) {
        all.metas_count += recovered[shard].metas_count;
        all.found += recovered[shard].found;
    }
    struct meta *metas = mem_alloc((all.metas_count + 1) * sizeof(*metas));
    uint32_t count = 0;
    for (uint32_t shard = 0; shard < host->shards; shard++)
        for (uint32_t i = 0; i < recovered[shard].metas_count; i++)
            metas[count++] = recovered[shard].metas[i];
    bool made = true;
    for (uint32_t shard = 0; shard < host->shards && made; shard++) {
        struct store_recovered own = recovered[shard];
        own.metas = metas;
        own.metas_count = all.metas_count;
        own.found = shard == 0 ? all.found : own.found;
        made = make_node(host->each[shard], &own);
        host->each[shard]->state = HOST_UP;
    }
    mem_free(metas);
    if (!made)
        return;
    checks_start(host->world, host->index);
    for (uint32_t shard = 0; shard < host->shards; shard++)
        host_carry_out(host->each[shard]);
    for (uint32_t shard = 0; shard < host->shards && host->state == HOST_UP; shard++)
        host_pump(host->each[shard]);
}

static struct store_options store_options(struct host *host)
{
    const struct world *world = host->world;
    return (struct store_options){
        .memory_max = world->options.memory_max,
        .log_interval_ms = 200,
        .tree_bits = world->options.tree_bits,
        .cold_max = world->options.cold_max,
        .scrub_rate = world->options.scrub ? SCRUB_RATE : 0,
        .scrub_interval_s = SCRUB_INTERVAL_S,
        .rest_us = REST_US,
        .reserve_bytes = host_reserve(world),
        .done = host_on_done,
        .durable = host_on_durable,
        .failed = host_on_failed,
        .damaged = host_on_damaged,
        .arg = host,
    };
}

/* 0, or why they cannot be opened, also in TEXT. */
static int open_stores(struct host *host, struct store_recovered *ret_recovered, struct buf *text)
{
    struct store_options options[SHARDS_MAX];
    struct store *stores[SHARDS_MAX];
    for (uint32_t shard = 0; shard < host->shards; shard++) {
        struct host *each = host->each[shard];
        each->ranges_set = false;
        each->node_state = NODE_STARTING;
        disk_mem_cache(each->disk, host->world->options.cold_cache);
        options[shard] = store_options(each);
    }
    disk_mem_hold(host->disk, false);
    int error = stores_open(options, host->disk, stores, ret_recovered, text);
    disk_mem_hold(host->disk, true);
    for (uint32_t shard = 0; shard < host->shards && error == 0; shard++)
        host->each[shard]->store = stores[shard];
    return error;
}

void host_start(struct host *host)
{
    struct world *world = host->world;
    if (host->state != HOST_DOWN || host->retired || world_broken(world))
        return;
    host->lives++;
    trace_mix(&world->trace, 400, host->index);
    if (world->trace.text)
        trace_line(&world->trace, world->now_us, "%s starts", world_host_name(host->index));
    struct store_recovered recovered[SHARDS_MAX];
    struct buf text = {0};
    int error = open_stores(host, recovered, &text);
    if (error == ERR_DISK_FULL && host->full)
        faults_restart_later(world, host->index); /* As a supervisor does. */
    else if (error < 0)
        world_violate(world, "StoreRecovers", "%s: %s: %.*s", world_host_name(host->index),
                      error_word(error), (int)text.size, (const char *)text.data);
    else
        make_nodes(host, recovered);
    buf_done(&text);
}

/* The power goes while the tail of the log is being written: a bit of it may come out wrong. */
static void rot_tail(struct host *host)
{
    struct world *world = host->world;
    if (world->options.rots == 0 || !world_chance(world, 500000))
        return;
    disk_mem_crash(host->disk, &world->prng);
    world->coverage.rotten_tails += disk_mem_rot_tail(host->disk, &world->prng);
}

void host_crash(struct host *host, bool power)
{
    struct world *world = host->world;
    if (host->state == HOST_DOWN)
        return;
    trace_mix(&world->trace, 500 + power, host->index);
    if (world->trace.text)
        trace_line(&world->trace, world->now_us, "%s %s", world_host_name(host->index),
                   power ? "loses power" : "is killed");
    if (power)
        rot_tail(host);
    if (power)
        disk_mem_power_loss(host->disk, &world->prng);
    else
        disk_mem_crash(host->disk, &world->prng);
    stop(host);
    checks_crash(world, host->index);
    for (uint32_t i = 0; i < world->hosts_count; i++)
        if (i != host->index && world_chance(world, 500000))
            host_lose_peer(world->hosts[i], host->index);
    while (host->calls_count > 0) {
        struct host_call *call = host->calls[--host->calls_count];
        call->id = 0;
        call->done(world, call, NULL);
    }
}

void host_lose_disk(struct host *host)
{
    host_crash(host, false);
    host->retired = true;
    if (host->world->trace.text)
        trace_line(&host->world->trace, host->world->now_us, "%s has lost its disk",
                   world_host_name(host->index));
}

void host_back_up(struct host *host)
{
    if (host->backup != NULL)
        disk_close(host->backup);
    host->backup = disk_mem_copy(host->disk);
}

bool host_rot(struct host *host, bool in_key, struct buf *ret_was, struct buf *ret_is)
{
    struct world *world = host->world;
    if (host->shards > 1)
        host = host->each[world_draw(world, 0, host->shards - 1)];
    uint32_t count = disk_mem_count(host->disk, DISK_OBJECTS);
    uint32_t index = count == 0 ? 0 : (uint32_t)world_draw(world, 0, count - 1);
    if (count == 0)
        return false;
    struct slice key = disk_mem_key(host->disk, DISK_OBJECTS, index);
    if (disk_mem_rotten(host->disk, DISK_OBJECTS, key))
        return false;
    buf_append(ret_was, key);
    uint64_t bit = prng_next(&world->prng);
    if (in_key && world->options.rot_key_bytes > 0)
        bit %= 8ull * world->options.rot_key_bytes;
    bool flipped = in_key ? disk_mem_flip_key(host->disk, DISK_OBJECTS, index, bit)
                          : disk_mem_flip(host->disk, DISK_OBJECTS, index, bit);
    buf_append(ret_is, disk_mem_key(host->disk, DISK_OBJECTS, index));
    return flipped;
}

bool host_rot_record(struct host *host, uint64_t hash, struct buf *ret_was)
{
    uint32_t range = range_of(hash, host->world->options.range_bits);
    struct disk *disk = host_shard_of(host, range)->disk;
    for (uint32_t i = 0; i < disk_mem_count(disk, DISK_OBJECTS); i++) {
        struct slice key = disk_mem_key(disk, DISK_OBJECTS, i);
        if (load_u64_be(key.data) != hash || disk_mem_rotten(disk, DISK_OBJECTS, key))
            continue;
        buf_append(ret_was, key);
        return disk_mem_flip(disk, DISK_OBJECTS, i, 0);
    }
    return false;
}

bool host_rotten(const struct host *host, struct slice key)
{
    bool rotten = false;
    for (uint32_t shard = 0; shard < host->shards; shard++)
        rotten = rotten || disk_mem_rotten(host->each[shard]->disk, DISK_OBJECTS, key);
    return rotten;
}

bool host_lost(const struct host *host, struct slice key)
{
    uint32_t range = range_of(load_u64_be(key.data), host->world->options.range_bits);
    return store_lost(host_shard_of(host, range)->store, key);
}

void host_restore(struct host *host)
{
    ASSERT(host->state == HOST_DOWN && host->backup != NULL);
    disk_close(host->disk);
    for (uint32_t shard = 0; shard < host->shards; shard++)
        host->each[shard]->disk = disk_of_store(host->backup, shard);
    host->backup = NULL;
    host->restored = true;
    if (host->world->trace.text)
        trace_line(&host->world->trace, host->world->now_us, "%s has an old copy of its disk",
                   world_host_name(host->index));
}

void host_pause(struct host *host)
{
    if (host->state != HOST_UP)
        return;
    for (uint32_t shard = 0; shard < host->shards; shard++)
        host->each[shard]->state = HOST_PAUSED;
    if (host->world->trace.text)
        trace_line(&host->world->trace, host->world->now_us, "%s stands still",
                   world_host_name(host->index));
}

void host_resume(struct host *host)
{
    if (host->state != HOST_PAUSED)
        return;
    for (uint32_t shard = 0; shard < host->shards; shard++)
        host->each[shard]->state = HOST_UP;
    if (host->world->trace.text)
        trace_line(&host->world->trace, host->world->now_us, "%s goes on",
                   world_host_name(host->index));
    for (uint32_t shard = 0; shard < host->shards; shard++) {
        struct host *each = host->each[shard];
        if (each->flush_due)
            host_flush_later(each);
        store_poll(each->store, host_now(host));
        host_pump_later(each);
        world_at(host->world, &each->wake.event, host->world->now_us);
    }
}

void host_slow_disk(struct host *host, uint64_t factor)
{
    host->slowness = factor;
}

uint64_t host_reserve(const struct world *world)
{
    return world->options.faults[FAULT_FULL] > 0 ? 4 * world->options.segment_size : 0;
}

void host_fill_disk(struct host *host, uint64_t left)
{
    struct disk_space space;
    disk_mem_set_total(host->disk, 0);
    disk_space(host->disk, &space);
    host->full = left != UINT64_MAX;
    if (host->full)
        disk_mem_set_total(host->disk, MAX(space.total - space.free + left, 1ull));
}

int64_t host_skew_ms(const struct host *host)
{
    return host->skew_ms;
}

void host_set_skew(struct host *host, int64_t skew_ms)
{
    host->skew_ms = skew_ms;
}
