/* Several stores over one log: crashes, power loss, failing calls and full disks against a naive
 * model of each, and what they owe one another: segments, bounds, words.
 *
 * KVRING_SEED=n runs one seed, KVRING_SEEDS=n as many. */
#include <signal.h>
#include <stdlib.h>

#include "store_trial.h"

enum { SEEDS = 700, STORES_TESTED = 4, SEGMENT = 8 << 10, TICK_US = 1000 };

/* ------------------------------------------------------------------------- Opening them. */

struct several {
    uint32_t count;
    struct disk *disk; /* Of store 0. */
    struct rig *rigs[STORES_TESTED];
    struct buf error_text;
};

/* 0 or the error of stores_open. */
static int several_open(struct several *several)
{
    struct store_options options[STORES_TESTED];
    struct store *stores[STORES_TESTED] = {0};
    struct store_recovered recovered[STORES_TESTED];
    buf_clear(&several->error_text);
    for (uint32_t i = 0; i < several->count; i++) {
        struct rig *rig = several->rigs[i];
        rig->disk = disk_of_store(several->disk, i);
        rig_options(rig);
        options[i] = rig->options;
    }
    int error = stores_open(options, several->disk, stores, recovered, &several->error_text);
    for (uint32_t i = 0; i < several->count; i++) {
        struct rig *rig = several->rigs[i];
        rig->store = stores[i];
        if (error)
            continue;
        rig->recovered = recovered[i];
        rig->written = rig->synced = recovered[i].position;
    }
    return error;
}

static void several_close(struct several *several)
{
    for (uint32_t i = 0; i < several->count; i++)
        rig_close(several->rigs[i]);
}

static void several_end(struct several *several)
{
    several_close(several);
    for (uint32_t i = 0; i < several->count; i++)
        arena_done(&several->rigs[i]->arena);
    disk_close(several->disk);
    buf_done(&several->error_text);
}

static bool says(const struct several *several, const char *text)
{
    return several->error_text.size > 0 &&
           memmem(several->error_text.data, several->error_text.size, text, strlen(text)) != NULL;
}

/* All stores stop, and are polled until all have. */
static void several_stop(struct several *several)
{
    bool stopped = false;
    for (uint32_t i = 0; i < several->count; i++)
        store_stop(several->rigs[i]->store);
    for (int turn = 0; turn < 4000 && !stopped; turn++) {
        stopped = true;
        for (uint32_t i = 0; i < several->count; i++) {
            several->rigs[i]->now.us += 1000 * 1000;
            store_flush(several->rigs[i]->store);
            store_poll(several->rigs[i]->store, several->rigs[i]->now);
            stopped = stopped && store_stopped(several->rigs[i]->store);
        }
    }
    cr_assert(stopped);
}

/* ------------------------------------------------------------------------ Against a model. */

struct world {
    struct prng prng;
    struct several several;
    struct trial *trials[STORES_TESTED];
};

static uint64_t lives_total, checkpoints_total, partial_total, failures_total, full_total;
static struct trial *names[STORES_TESTED + 1][STORES_TESTED]; /* By the number of stores. */

static uint64_t chance(struct world *world, uint64_t bound)
{
    return prng_below(&world->prng, bound);
}

static void reopen(struct world *world, const uint64_t *least)
{
    struct several *several = &world->several;
    several_close(several);
    disk_mem_hold(several->disk, false);
    for (uint32_t call = 0; call < DISK_MEM_CALLS; call++)
        disk_mem_fail(several->disk, (enum disk_mem_call)call, 0, 0);
    struct disk *disk = several->disk;
    several->disk = disk_mem_copy(disk); /* An attempt leaves marks of starts behind. */
    int error = several_open(several);
    several_close(several);
    disk_close(several->disk);
    several->disk = disk;
    if (error == ERR_DISK_FULL) {
        full_total++;
        disk_mem_set_total(disk, 0);
        error = 0;
    }
    if (error == 0)
        error = several_open(several);
    cr_assert_eq(error, 0, "%.*s", (int)several->error_text.size,
                 (const char *)several->error_text.data);
    for (uint32_t i = 0; i < several->count; i++)
        trial_recovered(world->trials[i], least[i]);
    lives_total++;
}

static bool has_failed(const struct several *several)
{
    for (uint32_t i = 0; i < several->count; i++)
        if (several->rigs[i]->failed)
            return true;
    return false;
}

/* In a third of all lives a store takes no operations. */
static void one_life(struct world *world)
{
    struct several *several = &world->several;
    disk_mem_hold(several->disk, chance(world, 4) != 0);
    if (chance(world, 3) == 0) {
        enum disk_mem_call call = (enum disk_mem_call)chance(world, DISK_MEM_CALLS);
        bool full = call >= DISK_MEM_PREPARE && chance(world, 2) == 0;
        disk_mem_fail(several->disk, call, 1 + (uint32_t)chance(world, 12),
                      full ? ERR_DISK_FULL : ERR_IO);
    }
    uint32_t idle = (uint32_t)chance(world, 3 * several->count);
    for (uint64_t steps = chance(world, 300); steps > 0 && !has_failed(several); steps--) {
        uint32_t which = (uint32_t)chance(world, several->count);
        struct trial *trial = world->trials[which];
        if (which == idle || trial->changes_count >= OPS_MAX - CHUNK_MAX - 2)
            do_disk(trial);
        else
            one_step(trial);
    }
    failures_total += has_failed(several);
    bool power_loss = chance(world, 2) == 0;
    uint64_t least[STORES_TESTED];
    for (uint32_t i = 0; i < several->count; i++) {
        struct store_stats stats;
        store_stats(several->rigs[i]->store, &stats);
        checkpoints_total += stats.checkpoints;
        partial_total += stats.checkpoint_transactions > stats.checkpoints;
        least[i] = power_loss ? several->rigs[i]->synced : several->rigs[i]->written;
    }
    struct prng *prng = chance(world, 8) == 0 ? NULL : &world->prng;
    if (power_loss)
        disk_mem_power_loss(several->disk, prng);
    else
        disk_mem_crash(several->disk, prng);
    reopen(world, least);
}

static void clean_stop(struct world *world)
{
    struct several *several = &world->several;
    uint64_t least[STORES_TESTED];
    disk_mem_set_total(several->disk, 0);
    several_stop(several);
    for (uint32_t i = 0; i < several->count; i++) {
        check_all(world->trials[i]);
        least[i] = several->rigs[i]->synced;
    }
    disk_mem_power_loss(several->disk, &world->prng);
    reopen(world, least);
    for (uint32_t i = 0; i < several->count; i++) {
        cr_assert(several->rigs[i]->recovered.clean);
        cr_assert_lt(several->rigs[i]->recovered.replayed_bytes, 1024);
    }
}

static void world_start(struct world *world, uint64_t seed)
{
    *world = (struct world){0};
    prng_init(&world->prng, seed);
    struct several *several = &world->several;
    several->count = 1u << chance(world, 3);
    struct disk_mem_options options = {.segment_size = 4096 << chance(world, 3),
                                       .stores = several->count};
    if (chance(world, 8) == 0)
        options.total_bytes = options.segment_size * (3 + several->count + chance(world, 12));
    several->disk = disk_mem_new(&options);
    uint64_t memory_max = 4096 << chance(world, 6);
    for (uint32_t i = 0; i < several->count; i++) {
        struct trial *trial = calloc(1, sizeof(*trial));
        memcpy(trial->keys, names[several->count][i]->keys, sizeof(trial->keys));
        prng_init(&trial->prng, seed * STORES_TESTED + i);
        trial->rig.options.memory_max = memory_max;
        trial->rig.options.reserve_bytes = options.total_bytes ? options.segment_size : 0;
        world->trials[i] = trial;
        several->rigs[i] = &trial->rig;
    }
    cr_assert_eq(several_open(several), 0);
}

static void run(uint64_t seed)
{
    struct world world;
    seed_running = seed;
    world_start(&world, seed);
    for (uint64_t lives = 1 + chance(&world, 5); lives > 0; lives--)
        one_life(&world);
    clean_stop(&world);
    several_end(&world.several);
    for (uint32_t i = 0; i < world.several.count; i++) {
        trial_done(world.trials[i]);
        free(world.trials[i]);
    }
    seed_running = 0;
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

Test(store_several, every_acknowledged_write_survives, .fini = tell_seed)
{
    uint64_t one = from_environment("KVRING_SEED", 0);
    uint64_t seeds = one ? 1 : from_environment("KVRING_SEEDS", SEEDS);
    signal(SIGABRT, tell_seed_at);
    for (uint32_t count = 1; count <= STORES_TESTED; count *= 2) {
        for (uint32_t i = 0; i < count; i++) {
            names[count][i] = calloc(1, sizeof(struct trial));
            trial_name_keys(names[count][i], i, count);
        }
    }
    for (uint64_t i = 0; i < seeds; i++)
        run(one ? one : i + 1);
    fprintf(stderr,
            "%llu lives, %llu checkpoints, %llu of many transactions, %llu failures, %llu full\n",
            (unsigned long long)lives_total, (unsigned long long)checkpoints_total,
            (unsigned long long)partial_total, (unsigned long long)failures_total,
            (unsigned long long)full_total);
    cr_assert(one || seeds < SEEDS || (checkpoints_total > seeds && failures_total > seeds / 10));
    for (uint32_t count = 1; count <= STORES_TESTED; count *= 2)
        for (uint32_t i = 0; i < count; i++)
            free(names[count][i]);
}

/* ------------------------------------------------------------- What they owe one another. */

struct group {
    struct several several;
    struct rig rigs[STORES_TESTED];
    uint64_t counter;
};

static void group_start(struct group *group, uint32_t stores, uint64_t total_bytes)
{
    *group = (struct group){.several.count = stores};
    for (uint32_t i = 0; i < stores; i++) {
        group->several.rigs[i] = &group->rigs[i];
        group->rigs[i].options.reserve_bytes = total_bytes ? SEGMENT : 0;
    }
    group->several.disk = disk_mem_new(&(struct disk_mem_options){
        .segment_size = SEGMENT, .total_bytes = total_bytes, .stores = stores});
    cr_assert_eq(several_open(&group->several), 0);
}

/* The key number NUMBER of STORE. */
static const char *key_of(const struct group *group, uint32_t store, uint32_t number, char key[32])
{
    uint32_t suffix = 0;
    do
        snprintf(key, 32, "key%u.%u", number, suffix++);
    while (store_of_hash(rig_op(STORE_READ, key).hash, group->several.count) != store);
    return key;
}

static int put(struct group *group, uint32_t store, uint32_t number)
{
    char key[32];
    char value[200];
    memset(value, 'v', sizeof(value));
    snprintf(value, sizeof(value), "%u", number);
    value[strlen(value)] = '.';
    value[sizeof(value) - 1] = 0;
    return rig_put(&group->rigs[store], key_of(group, store, number, key), value, ++group->counter);
}

static bool has(struct group *group, uint32_t store, uint32_t number)
{
    char key[32];
    struct slice value = rig_get(&group->rigs[store], key_of(group, store, number, key));
    char text[16];
    int size = snprintf(text, sizeof(text), "%u.", number);
    return value.size > (size_t)size && memcmp(value.data, text, (size_t)size) == 0;
}

Test(store_several, a_store_that_writes_nothing_holds_no_segment)
{
    struct group group;
    group_start(&group, 2, 0);
    for (uint32_t i = 0; i < 2000; i++) {
        cr_assert_eq(put(&group, 0, i % 100), 0, "put %u", i);
        rig_tick(&group.rigs[0]);
        rig_tick(&group.rigs[1]);
    }
    cr_assert_lt(group.several.disk->slots, 10, "%u segments", group.several.disk->slots);
    struct store_stats stats;
    store_stats(group.rigs[1].store, &stats);
    cr_assert_gt(stats.checkpoints, 3);
    cr_assert_eq(stats.position, group.rigs[1].recovered.position, "it has written nothing");
    for (uint32_t i = 0; i < 100; i++)
        cr_assert(has(&group, 0, i));
    several_end(&group.several);
}

/* Until it is polled again. What it needs of the log is never written over. */
Test(store_several, a_store_that_stands_still_bounds_the_log_of_all)
{
    struct group group;
    group_start(&group, 2, 0);
    cr_assert_eq(put(&group, 1, 7), 0);
    store_flush(group.rigs[1].store);
    uint32_t puts = 0;
    for (int error = 0; error == 0 && puts < 5000; puts++) {
        error = put(&group, 0, puts % 100);
        cr_assert(error == 0 || error == ERR_BUSY);
        rig_tick(&group.rigs[0]);
    }
    cr_assert_lt(puts, 5000, "nothing bounds it");
    cr_assert_lt(group.several.disk->slots, 20, "%u segments", group.several.disk->slots);
    struct disk *copy = disk_mem_copy(group.several.disk);
    rig_ticks(&group.rigs[1], 10);
    rig_ticks(&group.rigs[0], 3);
    cr_assert_eq(put(&group, 0, 1), 0, "the other one has moved on");
    several_close(&group.several);
    disk_close(group.several.disk);
    group.several.disk = copy;
    cr_assert_eq(several_open(&group.several), 0);
    cr_assert(has(&group, 1, 7), "it lay in the oldest segment");
    several_end(&group.several);
}

Test(store_several, what_all_flush_in_a_tick_lies_side_by_side)
{
    struct group group;
    group_start(&group, 4, 0);
    disk_mem_hold(group.several.disk, true);
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_eq(put(&group, i, i), 0);
    for (uint32_t i = 0; i < 4; i++)
        store_flush(group.rigs[3 - i].store);
    cr_assert_eq(disk_mem_pending(group.several.disk, DISK_MEM_LOG), 4);
    /* Each learns of its own. */
    for (uint32_t done = 0; done < 4; done++) {
        cr_assert(disk_mem_step(group.several.disk, DISK_MEM_LOG));
        for (uint32_t i = 0; i < 4; i++) {
            store_poll(group.rigs[i].store, group.rigs[i].now);
            bool is_synced = group.rigs[i].synced == group.rigs[i].done.position;
            cr_assert_eq(is_synced, 3 - i <= done, "store %u after %u", i, done);
        }
    }
    disk_mem_hold(group.several.disk, false);
    several_end(&group.several);
}

Test(store_several, a_full_disk_refuses_writes_and_loses_nothing)
{
    struct group group;
    group_start(&group, 2, 30 * SEGMENT);
    bool acknowledged[2][2000] = {0};
    uint32_t refused = 0;
    for (uint32_t i = 0; i < 2000; i++) {
        for (uint32_t store = 0; store < 2; store++) {
            int error = put(&group, store, i);
            cr_assert(error == 0 || error == ERR_DISK_FULL || error == ERR_BUSY);
            refused += error == ERR_DISK_FULL;
            uint64_t position = group.rigs[store].done.position;
            group.rigs[store].now.us += 300 * 1000;
            rig_ticks(&group.rigs[0], 2);
            rig_ticks(&group.rigs[1], 2);
            acknowledged[store][i] = error == 0 && group.rigs[store].synced >= position;
        }
    }
    cr_assert_gt(refused, 0);
    cr_assert(!group.rigs[0].failed && !group.rigs[1].failed);
    disk_mem_power_loss(group.several.disk, NULL);
    several_close(&group.several);
    disk_mem_set_total(group.several.disk, 0);
    cr_assert_eq(several_open(&group.several), 0);
    for (uint32_t i = 0; i < 2000; i++)
        for (uint32_t store = 0; store < 2; store++)
            cr_assert(!acknowledged[store][i] || has(&group, store, i), "store %u, %u", store, i);
    for (uint32_t store = 0; store < 2; store++) {
        rig_ticks(&group.rigs[store], 20);
        cr_assert_eq(put(&group, store, 1), 0, "it takes writes again");
    }
    several_end(&group.several);
}

Test(store_several, a_damaged_database_is_named_by_its_store)
{
    struct group group;
    group_start(&group, 4, 0);
    several_stop(&group.several);
    several_close(&group.several);
    struct disk *disk = disk_of_store(group.several.disk, 2);
    uint32_t last = disk_mem_count(disk, DISK_STATE) - 1;
    cr_assert(disk_mem_flip(disk, DISK_STATE, last, 77));
    cr_assert_eq(several_open(&group.several), ERR_CORRUPT);
    cr_assert(says(&group.several, "store 2: "));
    cr_assert(says(&group.several, "watermark"));
    several_end(&group.several);
}

/* Bits of the log, synced long ago, are not taken for a torn tail by any of the stores. */
Test(store_several, damage_of_the_log_is_noticed)
{
    struct group group;
    group_start(&group, 2, 0);
    for (uint32_t i = 0; i < 20; i++) {
        cr_assert_eq(put(&group, i % 2, i), 0);
        rig_tick(&group.rigs[0]);
        rig_tick(&group.rigs[1]);
    }
    several_close(&group.several);
    uint32_t noticed = 0;
    for (uint64_t offset = 64; offset < 5000; offset += 37) {
        struct several *several = &group.several;
        struct disk *kept = several->disk;
        several->disk = disk_mem_copy(kept);
        disk_mem_flip_log(several->disk, 0, offset, (uint8_t)offset);
        int error = several_open(several);
        cr_assert(error == ERR_CORRUPT || error == 0);
        noticed += error == ERR_CORRUPT;
        if (error == 0) /* Where nothing of weight lies. */
            for (uint32_t i = 0; i < 18; i++)
                cr_assert(has(&group, i % 2, i), "offset %llu", (unsigned long long)offset);
        several_close(several);
        disk_close(several->disk);
        several->disk = kept;
    }
    cr_assert_gt(noticed, 50);
    several_end(&group.several);
}
