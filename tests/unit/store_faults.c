/* The store under crashes, power loss and failing calls, against a naive model.
 *
 * One seed draws a store (small segments, small memtables, so that everything happens often) and
 * several lives of it: random operations while the disk carries out its work step by step, then an
 * end at a random moment. After each recovery the store must hold exactly the operations up to one
 * position, which is at least what had been acknowledged: the model replays its own list of
 * operations up to there and compares all of it, tree, figures, metas and epochs included.
 *
 * KVRING_SEED=n runs one seed, KVRING_SEEDS=n as many. */
#include <signal.h>
#include <stdlib.h>

#include "store_trial.h"

enum { SEEDS = 1000 };

static char key_names[KEYS][640]; /* Found once. */
static uint64_t lives_total, checkpoints_total, partial_total, failures_total;

/* Open again; the model follows to where the log ended, which is at LEAST or after. */
static void recover(struct trial *trial, uint64_t least)
{
    struct rig *rig = &trial->rig;
    rig_close(rig);
    disk_mem_hold(rig->disk, false);
    for (uint32_t call = 0; call < DISK_MEM_CALLS; call++)
        disk_mem_fail(rig->disk, (enum disk_mem_call)call, 0, 0);
    int error = rig_open(rig);
    if (error == ERR_DISK_FULL) {
        disk_mem_set_total(rig->disk, 0);
        error = rig_open(rig);
    }
    cr_assert_eq(error, 0);
    trial_recovered(trial, least);
    lives_total++;
}

/* ----------------------------------------------------------------------------------- Lives. */

static void note_checkpoints(struct trial *trial)
{
    struct store_stats stats;
    store_stats(trial->rig.store, &stats);
    checkpoints_total += stats.checkpoints;
    partial_total += stats.checkpoint_transactions > stats.checkpoints;
}

static void one_life(struct trial *trial)
{
    struct rig *rig = &trial->rig;
    disk_mem_hold(rig->disk, draw(trial, 4) != 0);
    uint64_t steps = draw(trial, 180);
    if (draw(trial, 3) == 0) {
        enum disk_mem_call call = (enum disk_mem_call)draw(trial, DISK_MEM_CALLS);
        bool full = call >= DISK_MEM_PREPARE && draw(trial, 2) == 0;
        disk_mem_fail(rig->disk, call, 1 + (uint32_t)draw(trial, 12),
                      full ? ERR_DISK_FULL : ERR_IO);
    }
    while (steps-- > 0 && !rig->failed && trial->changes_count < OPS_MAX - CHUNK_MAX - 2)
        one_step(trial);
    failures_total += rig->failed;
    note_checkpoints(trial);
    bool power_loss = draw(trial, 2) == 0;
    uint64_t least = power_loss ? rig->synced : rig->written;
    struct prng *prng = draw(trial, 8) == 0 ? NULL : &trial->prng;
    if (power_loss)
        disk_mem_power_loss(rig->disk, prng);
    else
        disk_mem_crash(rig->disk, prng);
    recover(trial, least);
}

/* Stop cleanly; the next start replays nothing and finds all of it in the engine. */
static void clean_stop(struct trial *trial)
{
    struct rig *rig = &trial->rig;
    disk_mem_set_total(rig->disk, 0);
    store_stop(rig->store);
    for (int i = 0; i < 2000 && !store_stopped(rig->store); i++) {
        rig->now.us += 1000 * 1000;
        store_flush(rig->store);
        store_poll(rig->store, rig->now);
    }
    cr_assert(store_stopped(rig->store));
    check_all(trial);
    uint64_t least = rig->synced;
    disk_mem_power_loss(rig->disk, &trial->prng);
    recover(trial, least);
    cr_assert(rig->recovered.clean);
    cr_assert(rig->recovered.replayed_bytes < 1024, "only marks of starts and this stop");
}

static void trial_start(struct trial *trial, uint64_t seed)
{
    *trial = (struct trial){.seed = seed};
    prng_init(&trial->prng, seed);
    memcpy(trial->keys, key_names, sizeof(trial->keys));
    struct disk_mem_options options = {.segment_size = 4096 << draw(trial, 3)};
    if (draw(trial, 8) == 0)
        options.total_bytes = options.segment_size * (3 + draw(trial, 12));
    trial->rig.disk = disk_mem_new(&options);
    trial->rig.options.memory_max = 4096 << draw(trial, 6);
    trial->rig.options.reserve_bytes = options.total_bytes ? options.segment_size : 0;
    cr_assert_eq(rig_open(&trial->rig), 0);
}

static void run(uint64_t seed)
{
    struct trial *trial = malloc(sizeof(*trial));
    seed_running = seed;
    trial_start(trial, seed);
    for (uint64_t lives = 1 + draw(trial, 5); lives > 0; lives--)
        one_life(trial);
    clean_stop(trial);
    trial_done(trial);
    rig_end(&trial->rig);
    free(trial);
    seed_running = 0;
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

Test(store_faults, every_acknowledged_write_survives, .fini = tell_seed)
{
    uint64_t one = from_environment("KVRING_SEED", 0);
    uint64_t seeds = one ? 1 : from_environment("KVRING_SEEDS", SEEDS);
    signal(SIGABRT, tell_seed_at);
    struct trial *names = calloc(1, sizeof(*names));
    trial_name_keys(names, 0, 1);
    memcpy(key_names, names->keys, sizeof(key_names));
    free(names);
    for (uint64_t i = 0; i < seeds; i++)
        run(one ? one : i + 1);
    fprintf(stderr, "%llu lives, %llu checkpoints, %llu of many transactions, %llu failures\n",
            (unsigned long long)lives_total, (unsigned long long)checkpoints_total,
            (unsigned long long)partial_total, (unsigned long long)failures_total);
    cr_assert(one || seeds < SEEDS || (checkpoints_total > seeds && failures_total > seeds / 10));
}
