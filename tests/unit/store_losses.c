/* Losses of a record: when it may be healed, and by what; and what the disk in memory does to its
 * records and to the tail of its log. */
#include "store/record.h"
#include "store_rig.h"

struct news {
    struct rig rig; /* First: its callbacks work on either. */
    uint32_t count;
    uint32_t fresh;
    uint32_t rested;
    uint64_t number;
};

static void damaged(void *arg, const struct store_damage *damage)
{
    struct news *news = arg;
    news->count++;
    news->fresh += damage->fresh;
    news->rested += damage->rested;
    news->number = damage->number;
}

static void news_start(struct news *news)
{
    *news = (struct news){0};
    news->rig.disk = disk_mem_new(&(struct disk_mem_options){0});
    news->rig.options.damaged = damaged;
    cr_assert_eq(rig_open(&news->rig), 0);
}

static uint64_t bad_now(const struct rig *rig)
{
    struct store_stats stats;
    store_stats(rig->store, &stats);
    return stats.bad_now;
}

Test(store_losses, damage_rests_before_it_is_healed)
{
    struct news news;
    struct rig *rig = &news.rig;
    news_start(&news);
    rig->options.rest_us = 5 * 1000 * 1000;
    cr_assert_eq(rig_put(rig, "k", "v", 1), 0);
    rig_settle(rig);
    cr_assert(disk_mem_flip(rig->disk, DISK_OBJECTS, 0, 70));
    cr_assert_eq(rig_submit(rig, rig_op(STORE_READ, "k")), ERR_UNREADABLE);
    rig_tick(rig);
    cr_assert_eq(news.fresh, 1u, "told at once: the tenure has to change");
    cr_assert_eq(news.rested, 0u);
    uint64_t told_us = rig->now.us;
    rig->now.us = told_us + rig->options.rest_us - 1;
    store_poll(rig->store, rig->now);
    cr_assert_eq(news.count, 1u);
    rig->now.us++;
    store_poll(rig->store, rig->now);
    cr_assert_eq(news.rested, 1u);
    cr_assert_eq(news.fresh, 1u);
    /* What was brought to the database so long ago need not. */
    cr_assert_eq(rig_put(rig, "l", "v", 1), 0);
    rig_settle(rig);
    rig_tick(rig);
    rig->now.us += rig->options.rest_us;
    uint32_t fresh = news.fresh;
    uint32_t rested = news.rested;
    uint32_t l = key_hash(99, slice_string("default"), slice_string("l")) >
                 key_hash(99, slice_string("default"), slice_string("k"));
    cr_assert(disk_mem_flip(rig->disk, DISK_OBJECTS, l, 70));
    cr_assert_eq(rig_submit(rig, rig_op(STORE_READ, "l")), ERR_UNREADABLE);
    store_poll(rig->store, rig->now);
    cr_assert_eq(news.fresh, fresh + 1);
    cr_assert(news.rested > rested);
    rig_end(rig);
}

/* A record is lost, written over, and lost once more: what was fetched for the first loss may lack
 * what was written in between. */
Test(store_losses, what_was_fetched_for_one_loss_does_not_heal_the_next)
{
    struct news news;
    struct rig *rig = &news.rig;
    struct buf past = {0};
    news_start(&news);
    cr_assert_eq(rig_put(rig, "k", "v", 1), 0);
    buf_append(&past, rig->done.object);
    rig_settle(rig);
    cr_assert(disk_mem_flip(rig->disk, DISK_OBJECTS, 0, 70));
    struct store_op op = rig_op(STORE_MERGE, "k");
    op.object = buf_slice(&past);
    cr_assert_eq(rig_submit(rig, op), 0, "kept, but the key lacks its past");
    rig_settle(rig);
    rig_tick(rig);
    uint64_t first = news.number;
    uint32_t fresh = news.fresh;
    cr_assert(disk_mem_flip(rig->disk, DISK_OBJECTS, 0, 70));
    cr_assert_eq(rig_submit(rig, rig_op(STORE_READ, "k")), ERR_UNREADABLE);
    rig_tick(rig);
    cr_assert_neq(news.number, first);
    cr_assert_eq(news.fresh, fresh + 1, "told at once, again");
    op.heals = true;
    op.loss = first;
    cr_assert_eq(rig_submit(rig, op), 0);
    cr_assert_eq(rig_submit(rig, rig_op(STORE_READ, "k")), ERR_UNREADABLE);
    op.loss = news.number;
    cr_assert_eq(rig_submit(rig, op), 0);
    cr_assert(rig_has(rig, "k", "v"));
    cr_assert_eq(bad_now(rig), 0u);
    buf_done(&past);
    rig_end(rig);
}

Test(store_losses, rot_strikes_one_record_until_that_is_written_anew)
{
    struct rig rig;
    char name[16];
    rig_start(&rig, 0);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "k%d", i);
        cr_assert_eq(rig_put(&rig, name, "v", 1), 0);
    }
    rig_settle(&rig);
    struct buf key = {0};
    buf_append(&key, disk_mem_key(rig.disk, DISK_OBJECTS, 7));
    cr_assert(!disk_mem_rotten(rig.disk, DISK_OBJECTS, buf_slice(&key)));
    cr_assert(disk_mem_flip(rig.disk, DISK_OBJECTS, 7, 100));
    cr_assert(disk_mem_rotten(rig.disk, DISK_OBJECTS, buf_slice(&key)));
    uint64_t hash;
    struct slice bucket;
    struct slice client_key;
    cr_assert(key_parse(buf_slice(&key), &hash, &bucket, &client_key));
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "k%d", i);
        bool struck = slice_equal(client_key, slice_string(name));
        cr_assert_eq(rig_submit(&rig, rig_op(STORE_READ, name)), struck ? ERR_UNREADABLE : 0);
        struct store_op op = rig_op(STORE_MERGE, name);
        op.heals = true;
        if (struck)
            cr_assert_eq(rig_submit(&rig, op), 0);
    }
    rig_settle(&rig);
    cr_assert(!disk_mem_rotten(rig.disk, DISK_OBJECTS, buf_slice(&key)));
    buf_done(&key);
    rig_end(&rig);
}

Test(store_losses, rot_of_a_tail_that_was_not_synced_is_forgiven)
{
    for (uint64_t seed = 1; seed < 200; seed++) {
        struct rig rig;
        struct prng prng;
        prng_init(&prng, seed);
        rig_start(&rig, 0);
        cr_assert_eq(rig_put(&rig, "a", "v", 1), 0);
        rig_ticks(&rig, 3);
        cr_assert(!disk_mem_rot_tail(rig.disk, &prng));
        disk_mem_hold(rig.disk, true);
        cr_assert_eq(rig_put(&rig, "b", "w", 2), 0);
        store_flush(rig.store);
        disk_mem_crash(rig.disk, &prng);
        (void)disk_mem_rot_tail(rig.disk, &prng);
        disk_mem_power_loss(rig.disk, &prng);
        disk_mem_hold(rig.disk, false);
        rig_close(&rig);
        cr_assert_eq(rig_open(&rig), 0);
        cr_assert(rig_has(&rig, "a", "v"));
        rig_end(&rig);
    }
}
