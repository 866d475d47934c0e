/* Collection: dead versions leave the store, and what was collected stays away. */
#include "store_rig.h"

static int put_dead(struct rig *rig, const char *key, uint64_t counter)
{
    struct store_op op = rig_op(STORE_UPDATE, key);
    op.update = (struct update){.dot = {1, counter},
                                .hlc = counter << 16,
                                .policy = POLICY_NEWEST,
                                .blind = true,
                                .tombstone = true};
    return rig_submit(rig, op);
}

/* Collect in the range of KEY until nothing is left to do; how many keys changed. */
static uint32_t collect(struct rig *rig, const char *key, uint64_t ms, bool scan)
{
    struct store_op op = rig_op(STORE_COLLECT, key);
    op.collect.horizon = ms << 16;
    op.collect.scan = scan;
    op.collect.from = range_first(op.range, RIG_RANGE_BITS);
    op.collect.count_max = 2;
    uint32_t changed = 0;
    do {
        cr_assert_eq(rig_submit(rig, op), 0);
        changed += rig->done.entries_count / 2;
        if (rig->done.next != 0)
            op.collect.from = rig->done.next;
    } while (rig->done.more);
    return changed;
}

static void checkpoint(struct rig *rig)
{
    store_stop(rig->store);
    while (!store_stopped(rig->store))
        rig_tick(rig);
    rig_close(rig);
    cr_assert_eq(rig_open(rig), 0);
}

static void crash(struct rig *rig)
{
    rig_ticks(rig, 2);
    disk_mem_crash(rig->disk, NULL);
    rig_close(rig);
    cr_assert_eq(rig_open(rig), 0);
}

static uint64_t keys(const struct rig *rig)
{
    struct store_stats stats;
    store_stats(rig->store, &stats);
    return stats.keys;
}

Test(store_collect, a_dead_key_goes_and_stays_gone)
{
    struct rig rig;
    rig_start(&rig, 0);
    cr_assert_eq(rig_put(&rig, "k", "v", 1), 0);
    cr_assert_eq(put_dead(&rig, "k", 5), 0);
    checkpoint(&rig);
    cr_assert_eq(collect(&rig, "k", 4, false), 0u, "it is not dead at that horizon yet");
    cr_assert_eq(keys(&rig), 1u);
    cr_assert_eq(collect(&rig, "k", 5, false), 1u);
    cr_assert_eq(keys(&rig), 0u);
    cr_assert(rig_has(&rig, "k", NULL));
    cr_assert_eq(rig_verify(&rig), 0);
    crash(&rig);
    cr_assert_eq(keys(&rig), 0u, "replay takes it out again");
    cr_assert_eq(rig_verify(&rig), 0);
    checkpoint(&rig);
    cr_assert_eq(keys(&rig), 0u, "and so does the checkpoint");
    cr_assert_eq(rig_verify(&rig), 0);
    cr_assert_eq(rig_put(&rig, "k", "again", 9), 0);
    checkpoint(&rig);
    cr_assert(rig_has(&rig, "k", "again"));
    cr_assert_eq(keys(&rig), 1u);
    cr_assert_eq(rig_verify(&rig), 1);
    rig_end(&rig);
}

Test(store_collect, an_index_names_what_is_dead_until_it_is_lost)
{
    struct rig rig;
    rig_start(&rig, 0);
    struct store_op op = rig_op(STORE_COLLECT, "k");
    cr_assert_eq(rig_submit(&rig, op), 0);
    cr_assert_eq(rig.done.earliest, 0u, "nobody has looked yet");
    cr_assert_eq(collect(&rig, "k", 1, false), 0u);
    cr_assert_eq(rig.done.earliest, UINT64_MAX, "the first look makes it complete");
    cr_assert_eq(put_dead(&rig, "k", 7), 0);
    cr_assert_eq(rig_submit(&rig, op), 0);
    cr_assert_eq(rig.done.earliest, 7u << 16);
    crash(&rig);
    cr_assert_eq(collect(&rig, "k", 6, false), 0u);
    cr_assert_eq(rig.done.earliest, 7u << 16, "found again by a scan");
    cr_assert_eq(collect(&rig, "k", 7, false), 1u);
    cr_assert_eq(rig.done.earliest, UINT64_MAX);
    rig_end(&rig);
}

Test(store_collect, a_scan_goes_page_by_page_through_the_whole_range)
{
    struct rig rig;
    rig_start(&rig, 0);
    uint32_t range = rig_op(STORE_READ, "k").range;
    uint32_t dead = 0;
    for (uint32_t i = 0; dead < 20; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%u", i);
        if (rig_op(STORE_READ, key).range != range)
            continue;
        cr_assert_eq(i % 2 == 0 ? put_dead(&rig, key, i + 1) : rig_put(&rig, key, "v", i + 1), 0);
        dead += i % 2 == 0;
    }
    uint64_t all = keys(&rig);
    cr_assert_eq(collect(&rig, "k", 1000000, true), dead);
    cr_assert_eq(keys(&rig), all - dead);
    cr_assert_eq(rig_verify(&rig), (int)(all - dead));
    rig_end(&rig);
}

/* Two versions that have not seen each other: the earlier one is hidden. */
Test(store_collect, what_another_reader_has_collected_goes_here)
{
    struct rig rig, other;
    rig_start(&rig, 0);
    rig_start(&other, 0);
    cr_assert_eq(rig_put(&rig, "k", "hidden", 5), 0);
    cr_assert_eq(put_dead(&other, "k", 9), 0);
    struct store_op merge = rig_op(STORE_MERGE, "k");
    merge.object = other.done.object;
    cr_assert_eq(rig_submit(&rig, merge), 0);
    struct store_op raise = rig_op(STORE_META, "k");
    raise.batch.horizon = 5u << 16;
    cr_assert_eq(rig_submit(&rig, raise), 0);
    struct entry entry = {merge.hash, merge.bucket, merge.key, other.done.object};
    struct store_op chunk = rig_op(STORE_CHUNK, "k");
    chunk.batch.entries = &entry;
    chunk.batch.entries_count = 1;
    cr_assert_eq(rig_submit(&rig, chunk), 0);
    cr_assert_not(rig.done.changed, "of a transfer, the sender may be behind");
    chunk.batch.stands = 5u << 16;
    cr_assert_eq(rig_submit(&rig, chunk), 0);
    cr_assert(rig.done.changed);
    cr_assert_eq(rig_submit(&rig, rig_op(STORE_READ, "k")), 0);
    cr_assert(slice_equal(rig.done.object, other.done.object));
    cr_assert_eq(rig_submit(&rig, chunk), 0);
    cr_assert_not(rig.done.changed);
    cr_assert_eq(rig_verify(&rig), 1, "the tree knows");
    rig_end(&rig);
    rig_end(&other);
}

Test(store_collect, what_is_at_or_below_the_horizon_and_not_held_stays_out)
{
    struct rig rig, other;
    rig_start(&rig, 0);
    rig_start(&other, 0);
    cr_assert_eq(rig_put(&other, "k", "old", 5), 0);
    struct store_op old = rig_op(STORE_MERGE, "k");
    old.object = other.done.object;
    struct store_op raise = rig_op(STORE_META, "k");
    raise.batch.horizon = 5u << 16;
    cr_assert_eq(rig_submit(&rig, raise), 0);
    cr_assert_eq(rig_submit(&rig, old), 0);
    cr_assert(!rig.done.changed);
    cr_assert(rig_has(&rig, "k", NULL));
    crash(&rig);
    cr_assert_eq(rig_submit(&rig, old), 0);
    cr_assert(!rig.done.changed, "the horizon is durable");
    checkpoint(&rig);
    cr_assert_eq(rig_submit(&rig, old), 0);
    cr_assert(!rig.done.changed, "in the engine too");
    cr_assert_eq(rig_verify(&rig), 0);

    struct store_op drop = rig_op(STORE_DROP, "k");
    cr_assert_eq(rig_submit(&rig, drop), 0);
    crash(&rig);
    cr_assert_eq(rig_submit(&rig, old), 0);
    cr_assert(rig.done.changed, "a copy that begins anew takes all");
    cr_assert(rig_has(&rig, "k", "old"));
    rig_end(&rig);
    rig_end(&other);
}

Test(store_collect, a_dropped_bucket_goes_by_a_scan)
{
    struct rig rig;
    rig_start(&rig, 0);
    cr_assert_eq(rig_put(&rig, "k", "v", 3), 0);
    struct drop_line line = {slice_string("default"), 1, 10u << 16};
    struct store_op op = rig_op(STORE_COLLECT, "k");
    op.collect.from = range_first(op.range, RIG_RANGE_BITS);
    op.collect.count_max = 100;
    op.collect.scan = true;
    op.collect.drops = &line;
    op.collect.drops_count = 1;
    op.collect.horizon = 9u << 16;
    cr_assert_eq(rig_submit(&rig, op), 0);
    cr_assert_eq(keys(&rig), 1u, "the drop is stamped later");
    op.collect.horizon = 10u << 16;
    cr_assert_eq(rig_submit(&rig, op), 0);
    cr_assert_eq(keys(&rig), 0u);
    rig_end(&rig);
}

/* A collection passes a damaged key over, whatever was written to it since. */
Test(store_collect, what_was_passed_over_goes_when_the_key_is_healed)
{
    struct rig rig;
    rig_start(&rig, 0);
    cr_assert_eq(rig_put(&rig, "k", "v", 1), 0);
    checkpoint(&rig);
    cr_assert(disk_mem_flip(rig.disk, DISK_OBJECTS, 0, 70));
    struct store_op op = rig_op(STORE_UPDATE, "k");
    op.update = (struct update){
        .dot = {2, 5}, .hlc = 5u << 16, .policy = POLICY_NEWEST, .blind = true, .tombstone = true};
    op.renewed = true;
    cr_assert_eq(rig_submit(&rig, op), 0);
    struct store_op raise = rig_op(STORE_META, "k");
    raise.batch.horizon = 7u << 16;
    cr_assert_eq(rig_submit(&rig, raise), 0);
    cr_assert_eq(collect(&rig, "k", 7, false), 0u);
    cr_assert_eq(keys(&rig), 1u);
    struct store_op heal = rig_op(STORE_MERGE, "k");
    heal.heals = true;
    cr_assert_eq(rig_submit(&rig, heal), 0, "the others have collected it");
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(keys(&rig), 0u);
        cr_assert(rig_has(&rig, "k", NULL));
        cr_assert_eq(rig_verify(&rig), 0);
        crash(&rig);
    }
    rig_end(&rig);
}

/* What is not dead yet when the key is healed is found by the next collection. */
Test(store_collect, a_healed_key_is_in_the_index_again)
{
    struct rig rig;
    rig_start(&rig, 0);
    cr_assert_eq(rig_put(&rig, "k", "v", 1), 0);
    checkpoint(&rig);
    cr_assert(disk_mem_flip(rig.disk, DISK_OBJECTS, 0, 70));
    struct store_op op = rig_op(STORE_MERGE, "k");
    struct rig other;
    rig_start(&other, 0);
    cr_assert_eq(put_dead(&other, "k", 9), 0);
    op.object = other.done.object;
    cr_assert_eq(rig_submit(&rig, op), 0);
    crash(&rig);
    cr_assert_eq(collect(&rig, "k", 7, true), 0u);
    op.heals = true;
    cr_assert_eq(rig_submit(&rig, op), 0);
    cr_assert_eq(collect(&rig, "k", 9, false), 1u);
    cr_assert_eq(keys(&rig), 0u);
    rig_end(&other);
    rig_end(&rig);
}
