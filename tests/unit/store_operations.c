/* Operations of a store over a disk in memory. */
#include "store_rig.h"

Test(store_operations, update_then_read)
{
    struct rig rig;
    rig_start(&rig, 0);
    cr_assert(rig.recovered.clean);
    cr_assert_eq(rig.recovered.metas_count, 0u);
    cr_assert(rig_has(&rig, "a", NULL));
    cr_assert_eq(rig_put(&rig, "a", "one", 1), 0);
    uint64_t position = rig.done.position;
    cr_assert(position > rig.recovered.position);
    cr_assert_eq(rig.done.hlc, 1u << 16);
    cr_assert(rig_has(&rig, "a", "one"));
    cr_assert(rig.synced < position, "nothing is durable before the flush");
    rig_tick(&rig);
    cr_assert(rig.synced >= position);
    cr_assert_eq(rig_put(&rig, "a", "two", 2), 0);
    cr_assert(rig_has(&rig, "a", "two"));
    cr_assert_eq(rig_verify(&rig), 1);
    rig_end(&rig);
}

Test(store_operations, merge_takes_what_is_new_and_says_so)
{
    struct rig rig, other;
    rig_start(&rig, 0);
    rig_start(&other, 0);
    cr_assert_eq(rig_put(&other, "k", "v1", 1), 0);
    struct store_op op = rig_op(STORE_MERGE, "k");
    op.object = other.done.object;
    cr_assert_eq(rig_submit(&rig, op), 0);
    cr_assert(rig.done.changed);
    uint64_t position = rig.done.position;
    cr_assert(slice_equal(rig.done.object, op.object));
    cr_assert_eq(rig_submit(&rig, op), 0);
    cr_assert(!rig.done.changed);
    cr_assert_eq(rig.done.position, position, "an unchanged object lies where it lay");
    cr_assert(slice_equal(rig.done.object, op.object));
    cr_assert(rig_has(&rig, "k", "v1"));
    cr_assert_eq(rig_verify(&rig), 1);
    rig_end(&rig);
    rig_end(&other);
}

Test(store_operations, too_many_siblings_change_nothing)
{
    struct rig rig;
    rig_start(&rig, 0);
    struct store_op op = rig_op(STORE_UPDATE, "k");
    op.update = (struct update){.policy = POLICY_SIBLINGS, .blind = true};
    op.update.value = slice_string("x");
    for (uint64_t i = 1; i <= SIBLINGS_MAX; i++) {
        op.update.dot = (struct dot){i, 1};
        op.update.hlc = i;
        cr_assert_eq(rig_submit(&rig, op), 0);
    }
    uint64_t position = rig.done.position;
    op.update.dot = (struct dot){SIBLINGS_MAX + 1, 1};
    cr_assert_eq(rig_submit(&rig, op), ERR_TOO_MANY_SIBLINGS);
    cr_assert_eq(rig_put(&rig, "other", "v", 1), 0);
    cr_assert_eq(rig.done.position, position + 1, "the refused one left no record");
    rig_tick(&rig);
    cr_assert_eq(rig_verify(&rig), 2);
    rig_end(&rig);
}

Test(store_operations, scan_is_in_order_and_resumes)
{
    struct rig rig;
    char key[16];
    rig_start(&rig, 0);
    for (int i = 0; i < 300; i++) {
        snprintf(key, sizeof(key), "key%d", i);
        cr_assert_eq(rig_put(&rig, key, "v", 1), 0);
    }
    struct store_op op = {.type = STORE_SCAN};
    op.scan.to = UINT64_MAX;
    op.scan.count_max = 7;
    op.scan.bytes_max = 1 << 20;
    char last[16] = "";
    uint32_t seen = 0;
    uint64_t hash = 0;
    do {
        op.bucket = slice_string(seen > 0 ? "default" : "");
        op.key = slice_string(last);
        cr_assert_eq(rig_submit(&rig, op), 0);
        cr_assert(rig.done.entries_count > 0);
        for (uint32_t i = 0; i < rig.done.entries_count; i++, seen++) {
            cr_assert(rig.done.entries[i].hash >= hash);
            hash = rig.done.entries[i].hash;
            struct slice at = rig.done.entries[i].key;
            snprintf(last, sizeof(last), "%.*s", (int)at.size, (const char *)at.data);
        }
        op.scan.from = hash;
    } while (rig.done.more);
    cr_assert_eq(seen, 300u);
    op = (struct store_op){.type = STORE_SCAN};
    op.scan.to = UINT64_MAX;
    op.scan.count_max = 1000;
    op.scan.bytes_max = 1; /* One entry all the same. */
    cr_assert_eq(rig_submit(&rig, op), 0);
    cr_assert_eq(rig.done.entries_count, 1u);
    cr_assert(rig.done.more);
    op.scan.scan_bucket = slice_string("nobody");
    cr_assert_eq(rig_submit(&rig, op), 0);
    cr_assert_eq(rig.done.entries_count, 0u);
    cr_assert(!rig.done.more);
    rig_end(&rig);
}

static int install(struct rig *rig, uint32_t range, uint32_t fork, uint64_t nonce, uint64_t epoch)
{
    struct meta meta = {slice_string("rX"), slice_string("record")};
    struct store_op op = {
        .type = STORE_META, .range = range, .fork = fork, .nonce = nonce, .epoch = epoch};
    op.batch.metas = &meta;
    op.batch.metas_count = 1;
    op.batch.install = true;
    return rig_submit(rig, op);
}

Test(store_operations, older_epochs_are_refused_after_an_install)
{
    struct rig rig;
    rig_start(&rig, 0);
    struct store_op op = rig_op(STORE_UPDATE, "k");
    op.update = (struct update){.dot = {1, 1}, .hlc = 1, .blind = true};
    op.epoch = 4;
    cr_assert_eq(rig_submit(&rig, op), 0);
    cr_assert_eq(install(&rig, op.range, 0, 0, 5), 0);
    op.update.dot.counter++;
    cr_assert_eq(rig_submit(&rig, op), ERR_WRONG_EPOCH);
    op.epoch = 5;
    cr_assert_eq(rig_submit(&rig, op), 0);
    cr_assert_eq(install(&rig, op.range, 1, 9, 2), 0);
    cr_assert_eq(rig_submit(&rig, op), ERR_WRONG_EPOCH, "a fork beats every epoch before it");
    op.fork = 1;
    op.nonce = 9;
    op.update.dot.counter++;
    cr_assert_eq(rig_submit(&rig, op), 0);
    cr_assert_eq(install(&rig, op.range, 1, 8, 1), 0);
    cr_assert_eq(rig_submit(&rig, op), ERR_WRONG_EPOCH, "the lower nonce beats the higher one");
    rig_tick(&rig);
    rig_close(&rig);
    cr_assert_eq(rig_open(&rig), 0);
    cr_assert_eq(rig_submit(&rig, op), ERR_WRONG_EPOCH, "a restart forgets no install");
    op.nonce = 8;
    op.epoch = 1;
    op.update.dot.counter++;
    cr_assert_eq(rig_submit(&rig, op), 0);
    op.fork = 0;
    op.nonce = 0;
    op.epoch = 100;
    cr_assert_eq(rig_submit(&rig, op), ERR_WRONG_EPOCH);
    struct store_op other = rig_op(STORE_UPDATE, "elsewhere");
    cr_assert_neq(other.range, op.range);
    other.update = op.update;
    cr_assert_eq(rig_submit(&rig, other), 0);
    rig_end(&rig);
}

Test(store_operations, metas_come_back_without_the_deleted)
{
    struct rig rig;
    rig_start(&rig, 0);
    struct meta metas[3] = {{slice_string("n"), slice_string("node")},
                            {slice_string("c"), slice_string("1")},
                            {slice_string("v1"), slice_string("vote")}};
    struct store_op op = {.type = STORE_META};
    op.batch.metas = metas;
    op.batch.metas_count = 3;
    cr_assert_eq(rig_submit(&rig, op), 0);
    metas[1].value = slice_string("2");
    metas[2].value = SLICE_NONE;
    op.batch.metas = &metas[1];
    op.batch.metas_count = 2;
    cr_assert_eq(rig_submit(&rig, op), 0);
    uint64_t position = rig.done.position;
    rig_tick(&rig);
    cr_assert(rig.synced >= position);
    rig_close(&rig);
    cr_assert_eq(rig_open(&rig), 0);
    cr_assert_eq(rig.recovered.metas_count, 2u);
    cr_assert(slice_equal(rig.recovered.metas[0].key, slice_string("c")));
    cr_assert(slice_equal(rig.recovered.metas[0].value, slice_string("2")));
    cr_assert(slice_equal(rig.recovered.metas[1].key, slice_string("n")));
    cr_assert(rig.recovered.position > position);
    rig_end(&rig);
}

Test(store_operations, chunk_is_all_or_nothing)
{
    struct rig rig;
    rig_start(&rig, 4096);
    struct rig source;
    rig_start(&source, 0);
    char key[16];
    struct entry entries[40];
    struct slice objects[40];
    struct buf bytes[40] = {0};
    uint32_t range = rig_op(STORE_READ, "c0").range;
    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof(key), "c%d", i);
        cr_assert_eq(rig_put(&source, key, "some value of middling length", 1), 0);
        buf_append(&bytes[i], source.done.object);
        objects[i] = buf_slice(&bytes[i]);
        struct store_op op = rig_op(STORE_READ, key);
        entries[i] = (struct entry){op.hash, slice_string("default"), SLICE_NONE, objects[i]};
    }
    char keys[40][16];
    for (int i = 0; i < 40; i++) {
        snprintf(keys[i], sizeof(keys[i]), "c%d", i);
        entries[i].key = slice_string(keys[i]);
    }
    struct meta meta = {slice_string("t1"), slice_string("cursor")};
    struct store_op op = {.type = STORE_CHUNK, .range = range, .epoch = 1};
    op.batch.entries = entries;
    op.batch.entries_count = 40;
    op.batch.metas = &meta;
    op.batch.metas_count = 1;
    cr_assert_eq(rig_submit(&rig, op), 0);
    cr_assert(rig_has(&rig, "c39", "some value of middling length"));
    /* Only the first segments reach the disk: the chunk spans more than one. */
    disk_mem_hold(rig.disk, true);
    store_flush(rig.store);
    disk_mem_crash(rig.disk, NULL);
    rig_close(&rig);
    disk_mem_hold(rig.disk, false);
    cr_assert_eq(rig_open(&rig), 0);
    cr_assert_eq(rig.recovered.metas_count, 0u);
    cr_assert_eq(rig_verify(&rig), 0);
    cr_assert_eq(rig_submit(&rig, op), 0);
    rig_ticks(&rig, 3);
    cr_assert(rig.synced >= rig.done.position);
    rig_close(&rig);
    cr_assert_eq(rig_open(&rig), 0);
    cr_assert_eq(rig.recovered.metas_count, 1u);
    cr_assert_eq(rig_verify(&rig), 40);
    cr_assert(rig_has(&rig, "c0", "some value of middling length"));
    for (int i = 0; i < 40; i++)
        buf_done(&bytes[i]);
    rig_end(&rig);
    rig_end(&source);
}

Test(store_operations, drop_forgets_a_range_and_lets_it_come_back)
{
    struct rig rig;
    rig_start(&rig, 0);
    cr_assert_eq(rig_put(&rig, "a", "old", 1), 0);
    uint32_t range = rig_op(STORE_READ, "a").range;
    const char *elsewhere = "b";
    cr_assert_neq(rig_op(STORE_READ, elsewhere).range, range);
    cr_assert_eq(rig_put(&rig, elsewhere, "stays", 1), 0);
    cr_assert_eq(rig_submit(&rig, (struct store_op){.type = STORE_DROP, .range = range}), 0);
    cr_assert(rig_has(&rig, "a", NULL));
    cr_assert(rig_has(&rig, elsewhere, "stays"));
    cr_assert_eq(rig_verify(&rig), 1);
    cr_assert_eq(rig_put(&rig, "a", "new", 5), 0);
    rig_tick(&rig);
    for (int restart = 0; restart < 2; restart++) {
        cr_assert(rig_has(&rig, "a", "new"));
        cr_assert_eq(rig_verify(&rig), 2);
        rig_close(&rig);
        cr_assert_eq(rig_open(&rig), 0);
    }
    rig_end(&rig);
}

Test(store_operations, interval_mode_syncs_after_a_while)
{
    struct rig rig;
    rig_start(&rig, 0);
    rig_tick(&rig);
    struct store_op op = rig_op(STORE_UPDATE, "k");
    op.sync = false;
    op.update = (struct update){.dot = {1, 1}, .hlc = 1, .blind = true};
    cr_assert_eq(rig_submit(&rig, op), 0);
    uint64_t position = rig.done.position;
    rig_tick(&rig);
    cr_assert(rig.written >= position);
    cr_assert(rig.synced < position);
    uint64_t wake = store_wake_us(rig.store);
    cr_assert(wake > rig.now.us && wake <= rig.now.us + 200 * 1000);
    rig.now.us = wake;
    store_poll(rig.store, rig.now);
    store_poll(rig.store, rig.now);
    cr_assert(rig.synced >= position);
    rig_end(&rig);
}

Test(store_operations, nothing_is_served_before_the_ranges_are_known)
{
    struct rig rig = {0};
    rig.disk = disk_mem_new(&(struct disk_mem_options){0});
    rig.options = (struct store_options){
        .done = rig_done, .durable = rig_durable, .failed = rig_failed, .arg = &rig};
    cr_assert_eq(store_open(&rig.options, rig.disk, &rig.store, &rig.recovered, &rig.error_text),
                 0);
    cr_assert_eq(rig_put(&rig, "a", "x", 1), ERR_NOT_READY);
    cr_assert_eq(rig_submit(&rig, rig_op(STORE_READ, "a")), ERR_NOT_READY);
    struct meta meta = {slice_string("n"), slice_string("node")};
    struct store_op op = {.type = STORE_META};
    op.batch.metas = &meta;
    op.batch.metas_count = 1;
    cr_assert_eq(rig_submit(&rig, op), 0);
    store_set_ranges(rig.store, RIG_RANGE_BITS, RIG_SEED);
    cr_assert_eq(rig_put(&rig, "a", "x", 1), 0);
    rig_tick(&rig);
    store_close(rig.store);
    cr_assert_eq(store_open(&rig.options, rig.disk, &rig.store, &rig.recovered, &rig.error_text),
                 0);
    cr_assert(rig_has(&rig, "a", "x"), "the number of ranges is remembered");
    rig_end(&rig);
}

/* Replicas that cannot become equal yet send each other the same again and again. */
Test(store_operations, chunk_that_brings_nothing_writes_nothing)
{
    struct rig rig;
    struct store_stats stats;
    rig_start(&rig, 0);
    cr_assert_eq(rig_put(&rig, "k", "v", 1), 0);
    uint64_t position = rig.done.position;
    struct store_op like = rig_op(STORE_MERGE, "k");
    struct buf object = {0};
    buf_append(&object, rig.done.object);
    struct entry entry = {like.hash, like.bucket, like.key, buf_slice(&object)};
    struct store_op op = {.type = STORE_CHUNK, .range = like.range, .epoch = 1, .sync = true};
    op.batch.entries = &entry;
    op.batch.entries_count = 1;
    cr_assert_eq(rig_submit(&rig, op), 0);
    cr_assert(!rig.done.changed);
    cr_assert_eq(rig.done.position, position, "it is durable once the put is");
    store_stats(rig.store, &stats);
    cr_assert_eq(stats.position, position);
    struct meta meta = {slice_string("key"), slice_string("value")};
    op.batch.metas = &meta;
    op.batch.metas_count = 1;
    cr_assert_eq(rig_submit(&rig, op), 0);
    cr_assert(rig.done.position > position, "metas are written all the same");
    buf_done(&object);
    rig_end(&rig);
}
