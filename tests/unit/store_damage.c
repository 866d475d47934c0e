/* Damaged records: never served, counted, healed by a merge; damage in the log is told apart from a
 * torn tail. */
#include "store/record.h"
#include "store_rig.h"

static void stop(struct rig *rig)
{
    store_stop(rig->store);
    for (int i = 0; i < 1000 && !store_stopped(rig->store); i++) {
        rig->now.us += 1000 * 1000;
        store_flush(rig->store);
        store_poll(rig->store, rig->now);
    }
    cr_assert(store_stopped(rig->store));
}

/* Bring everything to the engine and come back with an empty memtable. */
static void settle(struct rig *rig)
{
    stop(rig);
    rig_close(rig);
    cr_assert_eq(rig_open(rig), 0);
}

static uint64_t bad_records(const struct rig *rig)
{
    struct store_stats stats;
    store_stats(rig->store, &stats);
    return stats.bad_records;
}

Test(store_damage, bad_record_is_unreadable_until_a_merge_heals_it)
{
    for (uint64_t bit = 0; bit < 400; bit += 7) {
        struct rig rig;
        struct buf healthy = {0};
        rig_start(&rig, 0);
        cr_assert_eq(rig_put(&rig, "k", "the value", 1), 0);
        buf_append(&healthy, rig.done.object);
        settle(&rig);
        cr_assert(disk_mem_flip(rig.disk, DISK_OBJECTS, 0, bit));
        cr_assert_eq(rig_submit(&rig, rig_op(STORE_READ, "k")), ERR_UNREADABLE);
        cr_assert_eq(rig.done.object.size, 0u);
        cr_assert(bad_records(&rig) > 0);
        cr_assert_eq(rig_put(&rig, "k", "newer", 2), ERR_UNREADABLE);
        struct store_op scan = {.type = STORE_SCAN};
        scan.scan.to = UINT64_MAX;
        scan.scan.count_max = scan.scan.bytes_max = 1000;
        cr_assert_eq(rig_submit(&rig, scan), ERR_UNREADABLE);
        struct store_op op = rig_op(STORE_MERGE, "k");
        struct store_op verify = {.type = STORE_VERIFY, .range = op.range};
        cr_assert_eq(rig_submit(&rig, verify), 0);
        cr_assert_eq(rig.done.verified.bad, 1u);
        cr_assert_eq(rig.done.verified.keys, 0u);
        op.object = buf_slice(&healthy);
        cr_assert_eq(rig_submit(&rig, op), 0);
        cr_assert(rig.done.changed);
        for (int i = 0; i < 2; i++) {
            cr_assert(rig_has(&rig, "k", "the value"));
            cr_assert_eq(rig_verify(&rig), 1);
            cr_assert_eq(store_range_stat(rig.store, op.range).keys, 1u);
            settle(&rig);
        }
        buf_done(&healthy);
        rig_end(&rig);
    }
}

Test(store_damage, scan_stops_before_a_bad_record)
{
    struct rig rig;
    rig_start(&rig, 0);
    char key[16];
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        cr_assert_eq(rig_put(&rig, key, "v", 1), 0);
    }
    settle(&rig);
    cr_assert(disk_mem_flip(rig.disk, DISK_OBJECTS, 5, 99));
    struct store_op scan = {.type = STORE_SCAN};
    scan.scan.to = UINT64_MAX;
    scan.scan.count_max = scan.scan.bytes_max = 10000;
    cr_assert_eq(rig_submit(&rig, scan), 0);
    cr_assert_eq(rig.done.entries_count, 5u);
    cr_assert(rig.done.more);
    struct entry last = rig.done.entries[4];
    char last_key[16];
    snprintf(last_key, sizeof(last_key), "%.*s", (int)last.key.size, (const char *)last.key.data);
    scan.scan.from = last.hash;
    scan.bucket = slice_string("default");
    scan.key = slice_string(last_key);
    cr_assert_eq(rig_submit(&rig, scan), ERR_UNREADABLE);
    rig_end(&rig);
}

Test(store_damage, bad_state_is_refused_with_words)
{
    for (enum disk_table table = DISK_METAS; table <= DISK_STATE; table++) {
        struct rig rig;
        rig_start(&rig, 0);
        struct meta meta = {slice_string("n"), slice_string("identity")};
        struct store_op op = {.type = STORE_META};
        op.batch.metas = &meta;
        op.batch.metas_count = 1;
        cr_assert_eq(rig_submit(&rig, op), 0);
        cr_assert_eq(rig_put(&rig, "k", "v", 1), 0);
        stop(&rig);
        rig_close(&rig);
        uint32_t count = disk_mem_count(rig.disk, table);
        cr_assert(count > 0);
        for (uint32_t i = 0; i < count; i++) {
            cr_assert(disk_mem_flip(rig.disk, table, i, 77));
            cr_assert_eq(rig_open(&rig), ERR_CORRUPT);
            cr_assert(rig.error_text.size > 10);
            cr_assert(disk_mem_flip(rig.disk, table, i, 77));
        }
        cr_assert_eq(rig_open(&rig), 0);
        rig_end(&rig);
    }
}

/* Find the bytes TEXT in slot 0. */
static uint64_t find(struct rig *rig, const char *text)
{
    static uint8_t bytes[64 * 1024];
    cr_assert_eq(disk_log_read(rig->disk, 0, 0, bytes, sizeof(bytes)), 0);
    uint8_t *at = memmem(bytes, sizeof(bytes), text, strlen(text));
    cr_assert(at);
    return (uint64_t)(at - bytes);
}

Test(store_damage, log_damaged_before_its_end_is_refused)
{
    struct rig rig;
    rig_start(&rig, 0);
    const char *values[] = {"first value", "second value", "third value", "fourth value"};
    const char *keys[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(rig_put(&rig, keys[i], values[i], 1), 0);
        rig_tick(&rig);
    }
    rig_close(&rig);
    for (int i = 0; i < 3; i++) {
        uint64_t offset = find(&rig, values[i]);
        disk_mem_flip_log(rig.disk, 0, offset, 3);
        cr_assert_eq(rig_open(&rig), ERR_CORRUPT, "record %d was synced before the last", i);
        disk_mem_flip_log(rig.disk, 0, offset, 3);
    }
    disk_mem_flip_log(rig.disk, 0, find(&rig, values[3]), 3);
    cr_assert_eq(rig_open(&rig), 0, "the last record may be a torn tail");
    cr_assert(!rig.recovered.clean);
    cr_assert(rig_has(&rig, "c", values[2]));
    cr_assert(rig_has(&rig, "d", NULL));
    cr_assert_eq(rig_verify(&rig), 3);
    rig_end(&rig);
}

/* Good records behind a bad one never come back, however often the place before is written anew. */
Test(store_damage, records_behind_a_torn_one_are_gone_for_good)
{
    struct rig rig;
    rig_start(&rig, 0);
    rig_tick(&rig);
    disk_mem_hold(rig.disk, true);
    const char *keys[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        struct store_op op = rig_op(STORE_UPDATE, keys[i]);
        op.sync = false;
        op.update = (struct update){.dot = {1, 1}, .hlc = 1, .blind = true, .value = op.key};
        op.update.value = slice_string("same size");
        cr_assert_eq(rig_submit(&rig, op), 0);
    }
    store_flush(rig.store);
    cr_assert(disk_mem_step(rig.disk, DISK_MEM_LOG)); /* In the kernel, not synced. */
    rig_close(&rig);
    disk_mem_hold(rig.disk, false);
    disk_mem_flip_log(rig.disk, 0, find(&rig, "same size"), 0);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(rig_open(&rig), 0);
        for (int k = 0; k < 3; k++)
            cr_assert(rig_has(&rig, keys[k], NULL));
        cr_assert_eq(rig_verify(&rig), i == 0 ? 0 : 1);
        if (i == 0)
            cr_assert_eq(rig_put(&rig, "z", "same size", 1), 0);
        rig_tick(&rig);
        rig_close(&rig);
    }
    rig_end(&rig);
}

Test(store_damage, failed_sync_is_the_end)
{
    struct rig rig;
    rig_start(&rig, 0);
    cr_assert_eq(rig_put(&rig, "a", "v", 1), 0);
    uint64_t position = rig.done.position;
    disk_mem_fail(rig.disk, DISK_MEM_SYNC, 1, ERR_IO);
    rig_tick(&rig);
    cr_assert(rig.failed);
    cr_assert_str_eq(rig.failed_text, "injected failure");
    cr_assert(rig.synced < position);
    cr_assert_eq(rig_put(&rig, "b", "v", 1), ERR_IO);
    cr_assert_eq(rig_submit(&rig, rig_op(STORE_READ, "a")), ERR_IO);
    rig_ticks(&rig, 3);
    cr_assert(rig.synced < position, "nothing is acknowledged after a failed sync");
    cr_assert_eq(store_wake_us(rig.store), UINT64_MAX);
    rig_end(&rig);
}

static int put_tombstone(struct rig *rig, const char *key, uint64_t counter)
{
    struct store_op op = rig_op(STORE_UPDATE, key);
    op.update = (struct update){
        .dot = {1, counter}, .hlc = counter << 16, .policy = POLICY_NEWEST, .blind = true};
    op.update.tombstone = true;
    return rig_submit(rig, op);
}

Test(store_damage, full_disk_refuses_writes_and_recovers_by_itself)
{
    struct rig rig = {0};
    rig.disk = disk_mem_new(&(struct disk_mem_options){.total_bytes = 2 << 20});
    rig.options.reserve_bytes = 512 * 1024;
    rig.options.memory_max = 256 * 1024;
    cr_assert_eq(rig_open(&rig), 0);
    char key[16], value[1001];
    memset(value, 'v', 1000);
    value[1000] = 0;
    int count = 0;
    int error = 0;
    for (; error == 0 && count < 10000; count++) {
        snprintf(key, sizeof(key), "k%d", count);
        error = rig_put(&rig, key, value, 1);
        rig.now.us += 500 * 1000;
        rig_ticks(&rig, 2);
    }
    cr_assert_eq(error, ERR_DISK_FULL);
    cr_assert(count > 500);
    struct store_stats stats;
    store_stats(rig.store, &stats);
    cr_assert(stats.full);
    cr_assert(rig_has(&rig, "k0", value), "reads go on");
    cr_assert_eq(put_tombstone(&rig, "k1", 2), 0);
    struct store_op merge = rig_op(STORE_MERGE, "k2");
    struct buf tombstone = {0};
    struct update update = {.dot = {7, 1}, .hlc = 9, .blind = true, .tombstone = true};
    cr_assert_eq(object_update(SLICE_NONE, &update, &tombstone, NULL), 0);
    merge.object = buf_slice(&tombstone);
    cr_assert_eq(rig_submit(&rig, merge), 0, "a delete from elsewhere is taken too");
    struct meta meta = {slice_string("v1"), slice_string("vote")};
    struct store_op op = {.type = STORE_META};
    op.batch.metas = &meta;
    op.batch.metas_count = 1;
    cr_assert_eq(rig_submit(&rig, op), 0);
    uint64_t position = rig.done.position;
    rig_ticks(&rig, 3);
    cr_assert(rig.synced >= position);
    disk_mem_set_total(rig.disk, 8 << 20);
    rig.now.us += 2000 * 1000;
    rig_ticks(&rig, 2);
    cr_assert_eq(rig_put(&rig, "again", value, 1), 0);
    rig_ticks(&rig, 3);
    cr_assert(!rig.failed);
    rig_verify(&rig);
    buf_done(&tombstone);
    rig_end(&rig);
}

/* The engine has no room though the reserve said there was: the checkpoint waits and goes on. */
Test(store_damage, checkpoint_waits_for_room)
{
    struct rig rig;
    rig_start(&rig, 0);
    cr_assert_eq(rig_put(&rig, "a", "v", 1), 0);
    disk_mem_fail(rig.disk, DISK_MEM_APPLY, 1, ERR_DISK_FULL);
    store_stop(rig.store);
    rig_ticks(&rig, 5);
    cr_assert(!store_stopped(rig.store));
    cr_assert(!rig.failed);
    stop(&rig);
    rig_close(&rig);
    cr_assert_eq(rig_open(&rig), 0);
    cr_assert(rig_has(&rig, "a", "v"));
    rig_end(&rig);
}

Test(store_damage, rot_strikes_one_record_and_names_it)
{
    struct rig rig;
    struct prng prng;
    struct slice key;
    char name[16];
    prng_init(&prng, 5);
    rig_start(&rig, 0);
    cr_assert(!disk_mem_rot(rig.disk, &prng, &key));
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "k%d", i);
        cr_assert_eq(rig_put(&rig, name, "v", 1), 0);
    }
    settle(&rig);
    cr_assert(disk_mem_rot(rig.disk, &prng, &key));
    uint64_t hash;
    struct slice bucket;
    struct slice client_key;
    cr_assert(key_parse(key, &hash, &bucket, &client_key));
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "k%d", i);
        bool struck = slice_equal(client_key, slice_string(name));
        cr_assert_eq(rig_submit(&rig, rig_op(STORE_READ, name)), struck ? ERR_UNREADABLE : 0);
    }
    rig_end(&rig);
}
