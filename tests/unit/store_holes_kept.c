/* A key of the engine rots while the checkpoint that wrote it is under way: the frozen memtable has
 * it still, so nobody misses it, and the hole may end before the checkpoint does. */
#include "store/record.h"
#include "store_rig.h"

enum {
    KEYS = 24,                /* All of range 0. */
    MEMORY = 16 * (16 << 10), /* Of which a transaction takes 16 of them. */
    PAUSE_US = 100 * 1000,
};

struct news {
    struct rig rig; /* First: its callbacks work on either. */
    uint64_t from, to, number;
};

static void damaged(void *arg, const struct store_damage *damage)
{
    struct news *news = arg;
    news->from = damage->hash;
    news->to = damage->to;
    news->number = damage->number;
}

static void put_keys(struct rig *rig)
{
    char key[16];
    for (int i = 0, count = 0; count < KEYS; i++) {
        snprintf(key, sizeof(key), "key-%d", i);
        if (rig_op(STORE_READ, key).range != 0)
            continue;
        cr_assert_eq(rig_put(rig, key, key, 1), 0);
        count++;
    }
}

static void key_at(const struct rig *rig, uint32_t index, char ret_key[16])
{
    uint64_t hash;
    struct slice bucket, key;
    cr_assert(key_parse(disk_mem_key(rig->disk, DISK_OBJECTS, index), &hash, &bucket, &key));
    snprintf(ret_key, 16, "%.*s", (int)key.size, (const char *)key.data);
}

/* Tick until the one transaction that comes next has changed the count of records. */
static void transaction(struct rig *rig)
{
    uint32_t before = disk_mem_count(rig->disk, DISK_OBJECTS);
    for (int i = 0; disk_mem_count(rig->disk, DISK_OBJECTS) == before; i++) {
        cr_assert(i < 100);
        rig->now.us += PAUSE_US;
        rig_tick(rig);
        while (disk_mem_step(rig->disk, DISK_MEM_LOG))
            continue;
        disk_mem_step(rig->disk, DISK_MEM_ENGINE);
    }
    rig_tick(rig);
}

static struct store_stats stats_of(const struct rig *rig)
{
    struct store_stats stats;
    store_stats(rig->store, &stats);
    return stats;
}

static int whole(struct news *news)
{
    struct store_op op = {.type = STORE_WHOLE, .epoch = 1, .sync = true, .loss = news->number};
    op.scan.from = news->from;
    op.scan.to = news->to;
    return rig_submit(&news->rig, op);
}

/* Part of the keys are in the engine; of these LOST rots, and its record is taken out. */
static void lose_one(struct news *news, char ret_lost[16])
{
    struct rig *rig = &news->rig;
    struct store_op drop = {.type = STORE_DROP, .range = 5}; /* It is empty: a checkpoint begins. */
    struct store_op verify = {.type = STORE_VERIFY, .range = 0};
    *news = (struct news){0};
    rig->disk = disk_mem_new(&(struct disk_mem_options){0});
    rig->options.damaged = damaged;
    rig->options.memory_max = MEMORY;
    cr_assert_eq(rig_open(rig), 0);
    put_keys(rig);
    cr_assert_eq(rig_submit(rig, drop), 0);
    disk_mem_hold(rig->disk, true);
    transaction(rig);
    uint32_t applied = disk_mem_count(rig->disk, DISK_OBJECTS);
    cr_assert(applied > 6 && applied < KEYS);
    key_at(rig, 5, ret_lost);
    cr_assert(disk_mem_flip_key(rig->disk, DISK_OBJECTS, 5, 3));
    cr_assert_eq(rig_submit(rig, verify), 0);
    cr_assert_eq(stats_of(rig).holes_now, 1u);
    transaction(rig);
    cr_assert_eq(disk_mem_count(rig->disk, DISK_OBJECTS), applied - 1);
    cr_assert(rig_has(rig, ret_lost, ret_lost));
    cr_assert_eq(stats_of(rig).checkpoints, 0u);
}

static void assert_whole(struct rig *rig, const char *lost)
{
    cr_assert_eq(stats_of(rig).holes_now, 0u);
    cr_assert(rig_has(rig, lost, lost));
    cr_assert_eq(rig_verify(rig), (uint64_t)KEYS);
}

static void lose_power(struct rig *rig)
{
    disk_mem_power_loss(rig->disk, NULL);
    disk_mem_hold(rig->disk, false);
    rig_close(rig);
    cr_assert_eq(rig_open(rig), 0);
}

Test(store_holes_kept, what_memory_had_outlives_the_checkpoint)
{
    struct news news;
    struct rig *rig = &news.rig;
    char lost[16];
    lose_one(&news, lost);
    cr_assert_eq(whole(&news), 0);
    disk_mem_hold(rig->disk, false);
    for (int i = 0; i < 100; i++) {
        rig->now.us += PAUSE_US;
        rig_tick(rig);
    }
    cr_assert_gt(stats_of(rig).checkpoints, 0u);
    assert_whole(rig, lost);
    lose_power(rig);
    assert_whole(rig, lost);
    rig_settle(rig);
    assert_whole(rig, lost);
    rig_end(rig);
}

/* The checkpoint goes on after a crash, and passes over what it had written. */
Test(store_holes_kept, what_memory_had_outlives_a_crash)
{
    struct news news;
    struct rig *rig = &news.rig;
    char lost[16];
    lose_one(&news, lost);
    lose_power(rig);
    cr_assert(rig_has(rig, lost, lost));
    rig_tick(rig);
    cr_assert_eq(whole(&news), 0);
    assert_whole(rig, lost);
    rig_settle(rig);
    assert_whole(rig, lost);
    rig_end(rig);
}
