/* Damaged records: never served, counted, told to the host, found by the scrub, whole again only
 * with what other slots hold; damage in the log is told apart from a torn tail. */
#include "store/record.h"
#include "store_rig.h"

static uint64_t bad_records(const struct rig *rig)
{
    struct store_stats stats;
    store_stats(rig->store, &stats);
    return stats.bad_records;
}

static uint64_t bad_now(const struct rig *rig)
{
    struct store_stats stats;
    store_stats(rig->store, &stats);
    return stats.bad_now;
}

Test(store_damage, bad_record_is_unreadable_until_it_is_healed)
{
    for (uint64_t bit = 0; bit < 400; bit += 7) {
        struct rig rig;
        struct buf healthy = {0};
        rig_start(&rig, 0);
        cr_assert_eq(rig_put(&rig, "k", "the value", 1), 0);
        buf_append(&healthy, rig.done.object);
        rig_settle(&rig);
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
        op.heals = op.alone = true;
        cr_assert_eq(rig_submit(&rig, op), ERR_UNREADABLE, "nobody else can have anything");
        op.object = buf_slice(&healthy);
        cr_assert_eq(rig_submit(&rig, op), 0);
        cr_assert(rig.done.changed);
        for (int i = 0; i < 2; i++) {
            cr_assert(rig_has(&rig, "k", "the value"));
            cr_assert_eq(rig_verify(&rig), 1);
            cr_assert_eq(store_range_stat(rig.store, op.range).keys, 1u);
            rig_settle(&rig);
        }
        buf_done(&healthy);
        rig_end(&rig);
    }
}

/* What the host heard of. */
struct news {
    struct rig rig;
    uint32_t count;
    uint32_t fresh;
    uint64_t hash;
    char key[700];
};

static void damaged(void *arg, const struct store_damage *damage)
{
    struct news *news = arg;
    news->count++;
    news->fresh += damage->fresh;
    news->hash = damage->hash;
    cr_assert(slice_equal(damage->bucket, slice_string("default")));
    snprintf(news->key, sizeof(news->key), "%.*s", (int)damage->key.size,
             (const char *)damage->key.data);
}

/* The rig comes first in struct news: its callbacks work on either. */
static void news_start(struct news *news)
{
    *news = (struct news){0};
    news->rig.disk = disk_mem_new(&(struct disk_mem_options){0});
    news->rig.options.damaged = damaged;
    cr_assert_eq(rig_open(&news->rig), 0);
}

static void kill_and_reopen(struct rig *rig)
{
    rig_tick(rig);
    disk_mem_power_loss(rig->disk, NULL);
    rig_close(rig);
    cr_assert_eq(rig_open(rig), 0);
}

static struct store_op update_op(const char *key, const char *value, uint64_t actor,
                                 uint64_t counter)
{
    struct store_op op = rig_op(STORE_UPDATE, key);
    op.update = (struct update){.dot = {actor, counter},
                                .hlc = counter << 16,
                                .policy = POLICY_SIBLINGS,
                                .blind = true,
                                .value = slice_string(value)};
    return op;
}

static uint32_t siblings(struct rig *rig, const char *key)
{
    struct object object;
    cr_assert_eq(rig_submit(rig, rig_op(STORE_READ, key)), 0);
    cr_assert_eq(object_read(rig->done.object, UINT64_MAX, 0, &rig->arena, &object), 0);
    return object.count;
}

static void damage_lives_through(const char *key)
{
    struct news news;
    struct rig *rig = &news.rig;
    struct buf past = {0};
    news_start(&news);
    cr_assert_eq(rig_submit(rig, update_op(key, "the past", 1, 1)), 0);
    buf_append(&past, rig->done.object);
    rig_settle(rig);
    cr_assert(disk_mem_flip(rig->disk, DISK_OBJECTS, 0, 8 * 640 + 3));
    /* The actor that may have forgotten what it wrote here writes no more. */
    cr_assert_eq(rig_submit(rig, update_op(key, "newer", 1, 2)), ERR_UNREADABLE);
    struct store_op op = update_op(key, "newer", 2, 1);
    op.renewed = true;
    cr_assert_eq(rig_submit(rig, op), 0);
    cr_assert(rig->done.changed && rig->done.position > 0);
    cr_assert_eq(rig_submit(rig, update_op(key, "newest", 2, 2)), 0, "asked once");
    for (int life = 0; life < 4; life++) {
        uint32_t heard = news.count;
        rig_tick(rig);
        cr_assert_eq(news.count, heard + 1);
        cr_assert_str_eq(news.key, key);
        cr_assert_eq(rig_submit(rig, rig_op(STORE_READ, key)), ERR_UNREADABLE);
        cr_assert_eq(rig->done.object.size, 0u);
        rig_verify(rig);
        if (life % 2 == 0)
            kill_and_reopen(rig);
        else
            rig_settle(rig);
    }
    op = rig_op(STORE_MERGE, key);
    op.object = buf_slice(&past);
    cr_assert_eq(rig_submit(rig, op), 0);
    cr_assert_eq(rig_submit(rig, rig_op(STORE_READ, key)), ERR_UNREADABLE, "others may have more");
    op.heals = true;
    cr_assert_eq(rig_submit(rig, op), 0);
    cr_assert_eq(siblings(rig, key), 3u);
    cr_assert_eq(bad_now(rig), 0u);
    kill_and_reopen(rig);
    cr_assert_eq(siblings(rig, key), 3u);
    rig_settle(rig);
    cr_assert_eq(siblings(rig, key), 3u);
    cr_assert_eq(rig_verify(rig), 1);
    buf_done(&past);
    rig_end(rig);
}

Test(store_damage, what_is_written_to_a_damaged_key_is_kept_but_not_read_until_it_is_healed)
{
    damage_lives_through("k");
    char key[601];
    memset(key, 'l', 600);
    key[600] = 0;
    damage_lives_through(key);
}

Test(store_damage, what_no_other_slot_has_goes)
{
    struct rig rig;
    rig_start(&rig, 0);
    cr_assert_eq(rig_put(&rig, "k", "v", 1), 0);
    cr_assert_eq(rig_put(&rig, "other", "v", 2), 0);
    rig_settle(&rig);
    uint32_t at = key_hash(99, slice_string("default"), slice_string("k")) >
                  key_hash(99, slice_string("default"), slice_string("other"));
    cr_assert(disk_mem_flip(rig.disk, DISK_OBJECTS, at, 70));
    struct store_op op = rig_op(STORE_MERGE, "k");
    op.heals = true;
    cr_assert_eq(rig_submit(&rig, op), 0);
    for (int i = 0; i < 3; i++) {
        cr_assert(rig_has(&rig, "k", NULL));
        cr_assert(rig_has(&rig, "other", "v"));
        cr_assert_eq(rig_verify(&rig), 1);
        cr_assert_eq(bad_now(&rig), 0u);
        if (i == 0)
            kill_and_reopen(&rig);
        else
            rig_settle(&rig);
    }
    cr_assert_eq(disk_mem_count(rig.disk, DISK_OBJECTS), 1u);
    cr_assert_eq(rig_put(&rig, "k", "again", 3), 0);
    rig_settle(&rig);
    cr_assert(rig_has(&rig, "k", "again"));
    cr_assert_eq(rig_verify(&rig), 2);
    rig_end(&rig);
}

Test(store_damage, merges_and_chunks_over_damage_do_not_make_it_whole)
{
    struct rig rig;
    struct buf object = {0};
    rig_start(&rig, 0);
    cr_assert_eq(rig_submit(&rig, update_op("k", "a", 1, 1)), 0);
    cr_assert_eq(rig_submit(&rig, update_op("other", "b", 1, 2)), 0);
    buf_append(&object, rig.done.object);
    rig_settle(&rig);
    cr_assert(disk_mem_flip(rig.disk, DISK_OBJECTS, 0, 70));
    cr_assert(disk_mem_flip(rig.disk, DISK_OBJECTS, 1, 70));
    struct store_op like = rig_op(STORE_MERGE, "k");
    struct entry entry = {like.hash, like.bucket, like.key, buf_slice(&object)};
    struct store_op chunk = {.type = STORE_CHUNK, .range = like.range, .epoch = 1, .sync = true};
    chunk.batch.entries = &entry;
    chunk.batch.entries_count = 1;
    cr_assert_eq(rig_submit(&rig, chunk), 0);
    kill_and_reopen(&rig);
    cr_assert_eq(rig_submit(&rig, rig_op(STORE_READ, "k")), ERR_UNREADABLE);
    like.heals = true;
    cr_assert_eq(rig_submit(&rig, like), 0, "healed by what nobody else has: it stands");
    cr_assert_eq(siblings(&rig, "k"), 1u);
    cr_assert_eq(rig_submit(&rig, rig_op(STORE_READ, "other")), ERR_UNREADABLE);
    buf_done(&object);
    rig_end(&rig);
}

Test(store_damage, dropping_a_range_forgets_its_damage)
{
    struct rig rig;
    rig_start(&rig, 0);
    cr_assert_eq(rig_put(&rig, "k", "v", 1), 0);
    rig_settle(&rig);
    cr_assert(disk_mem_flip(rig.disk, DISK_OBJECTS, 0, 70));
    struct store_op op = update_op("k", "w", 2, 1);
    cr_assert_eq(rig_submit(&rig, op), ERR_UNREADABLE);
    op.renewed = true;
    cr_assert_eq(rig_submit(&rig, op), 0);
    cr_assert_eq(rig_submit(&rig, (struct store_op){.type = STORE_DROP, .range = op.range}), 0);
    cr_assert_eq(bad_now(&rig), 0u);
    for (int i = 0; i < 3; i++) {
        cr_assert(rig_has(&rig, "k", NULL));
        cr_assert_eq(bad_now(&rig), 0u);
        if (i == 0)
            kill_and_reopen(&rig);
        else
            rig_settle(&rig);
    }
    cr_assert_eq(rig_put(&rig, "k", "x", 5), 0);
    cr_assert(rig_has(&rig, "k", "x"));
    rig_end(&rig);
}

Test(store_damage, host_hears_again_until_it_is_healed)
{
    struct news news;
    struct rig *rig = &news.rig;
    struct buf healthy = {0};
    news_start(&news);
    cr_assert_eq(rig_put(rig, "k", "v", 1), 0);
    buf_append(&healthy, rig->done.object);
    rig_settle(rig);
    cr_assert(disk_mem_flip(rig->disk, DISK_OBJECTS, 0, 70));
    rig_tick(rig);
    cr_assert_eq(news.count, 0u, "nobody has looked");
    cr_assert_eq(rig_submit(rig, rig_op(STORE_READ, "k")), ERR_UNREADABLE);
    cr_assert(store_wake_us(rig->store) <= rig->now.us);
    for (uint64_t i = 0; i < 1000; i++) {
        rig->now.us += 1000 * 1000;
        store_poll(rig->store, rig->now);
    }
    cr_assert_eq(news.fresh, 1u);
    cr_assert(news.count > 10 && news.count < 40);
    struct store_op op = rig_op(STORE_MERGE, "k");
    op.object = buf_slice(&healthy);
    op.heals = true;
    cr_assert_eq(rig_submit(rig, op), 0);
    uint32_t count = news.count;
    rig->now.us += 1000 * 1000 * 1000;
    store_poll(rig->store, rig->now);
    cr_assert_eq(news.count, count);
    buf_done(&healthy);
    rig_end(rig);
}

enum { SCRUB_KEYS = 2000 };

/* Poll until the scrub has gone round COUNT times; returns how often. */
static uint32_t scrub(struct rig *rig, uint64_t rounds)
{
    struct store_stats stats;
    for (uint32_t i = 0; i < 100000; i++) {
        store_stats(rig->store, &stats);
        if (stats.scrub_rounds >= rounds)
            return i;
        cr_assert_neq(store_wake_us(rig->store), UINT64_MAX);
        rig->now.us = MAX(rig->now.us + 1, store_wake_us(rig->store));
        store_poll(rig->store, rig->now);
    }
    cr_assert(false, "the scrub does not come round");
    return 0;
}

Test(store_damage, scrub_reads_all_records_once_a_round_and_finds_the_bad_ones)
{
    struct news news;
    struct rig *rig = &news.rig;
    struct store_stats stats;
    char key[32];
    news_start(&news);
    rig->options.scrub_rate = 1 << 20;
    rig->options.scrub_interval_s = 100;
    for (uint64_t i = 0; i < SCRUB_KEYS; i++) {
        snprintf(key, sizeof(key), "key %d", (int)i);
        cr_assert_eq(rig_put(rig, key, "v", i + 1), 0);
    }
    rig_settle(rig);
    uint32_t bad[] = {0, 77, 1000, SCRUB_KEYS - 1};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        cr_assert(disk_mem_flip(rig->disk, DISK_OBJECTS, bad[i], 70));
    uint64_t began_us = rig->now.us;
    uint32_t polls = scrub(rig, 1);
    store_stats(rig->store, &stats);
    cr_assert_eq(stats.scrub_records, (uint64_t)SCRUB_KEYS);
    cr_assert_eq(stats.scrub_bad, ARRAY_SIZE(bad));
    cr_assert_eq(stats.bad_now, ARRAY_SIZE(bad));
    cr_assert_eq(stats.scrub_percent, 100u);
    cr_assert(polls > SCRUB_KEYS / 256, "in small steps");
    cr_assert(rig->now.us - began_us >= stats.scrub_bytes * 1000000 / (1 << 20) / 2, "paced");
    rig->now.us += 1;
    store_poll(rig->store, rig->now);
    cr_assert_eq(news.fresh, ARRAY_SIZE(bad));
    scrub(rig, 2);
    cr_assert(rig->now.us - began_us >= 100 * 1000000ull, "not more often than asked for");
    store_stats(rig->store, &stats);
    cr_assert_eq(stats.scrub_records, 2ull * SCRUB_KEYS);
    cr_assert_eq(stats.bad_records, ARRAY_SIZE(bad));
    rig_end(rig);
}

Test(store_damage, scrub_passes_over_what_is_about_to_be_written_over)
{
    struct news news;
    struct rig *rig = &news.rig;
    struct store_stats stats;
    news_start(&news);
    rig->options.scrub_rate = 1 << 20;
    cr_assert_eq(rig_put(rig, "k", "v", 1), 0);
    rig_settle(rig);
    cr_assert_eq(rig_put(rig, "k", "w", 2), 0);
    cr_assert(disk_mem_flip(rig->disk, DISK_OBJECTS, 0, 70));
    scrub(rig, 1);
    store_stats(rig->store, &stats);
    cr_assert_eq(stats.scrub_bad, 1u);
    cr_assert_eq(stats.bad_now, 0u);
    cr_assert(rig_has(rig, "k", "w"));
    rig_settle(rig);
    scrub(rig, 1);
    store_stats(rig->store, &stats);
    cr_assert_eq(stats.scrub_bad, 0u);
    rig_end(rig);
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
    rig_settle(&rig);
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
        rig_stop(&rig);
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
    rig_stop(&rig);
    rig_close(&rig);
    cr_assert_eq(rig_open(&rig), 0);
    cr_assert(rig_has(&rig, "a", "v"));
    rig_end(&rig);
}
