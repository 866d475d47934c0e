/* Data that is not in memory: who needs it waits for it in order, nobody else waits, there is a
 * bound, and a crash forgets all of it. */
#include "store_rig.h"

static void stop(struct rig *rig)
{
    store_stop(rig->store);
    for (int i = 0; i < 1000 && !store_stopped(rig->store); i++)
        rig_tick(rig);
    cr_assert(store_stopped(rig->store));
}

/* COUNT keys k0.. of one version each, all of them in the engine and none in memory. */
static void begin(struct rig *rig, int count)
{
    char key[16];
    rig_start(rig, 0);
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        cr_assert_eq(rig_put(rig, key, "first", 1), 0);
    }
    stop(rig);
    rig_close(rig);
    cr_assert_eq(rig_open(rig), 0);
    disk_mem_cache(rig->disk, 32);
    disk_mem_hold(rig->disk, true);
}

static void give(struct rig *rig, struct store_op op, uint64_t token)
{
    op.token = token;
    store_submit(rig->store, &op);
}

static void give_put(struct rig *rig, const char *key, uint64_t counter, uint64_t token)
{
    struct store_op op = rig_op(STORE_UPDATE, key);
    op.update = (struct update){.dot = {1, counter},
                                .hlc = counter << 16,
                                .policy = POLICY_NEWEST,
                                .blind = true,
                                .value = slice_string("second")};
    give(rig, op, token);
}

/* One read of the disk comes back. */
static void fetch(struct rig *rig)
{
    cr_assert(disk_mem_step(rig->disk, DISK_MEM_READER));
    rig_tick(rig);
}

static void fetch_all(struct rig *rig)
{
    while (disk_mem_pending(rig->disk, DISK_MEM_READER) > 0)
        fetch(rig);
}

static struct store_stats stats_of(const struct rig *rig)
{
    struct store_stats stats;
    store_stats(rig->store, &stats);
    return stats;
}

static struct slice value_of(struct rig *rig)
{
    struct object object;
    cr_assert_eq(object_read(rig->done.object, UINT64_MAX, 0, &rig->arena, &object), 0);
    return object.siblings[0].value;
}

static void assert_said(const struct rig *rig, uint32_t from, const uint64_t *tokens,
                        uint32_t count)
{
    cr_assert_eq(rig->completions, from + count);
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(rig->tokens[(from + i) % RIG_TOKENS], tokens[i], "completion %u", i);
}

/* The caller's memory is the caller's again at once. */
Test(store_cold, keeps_nobody_else_waiting)
{
    struct rig rig;
    char key[4] = "k1";
    begin(&rig, 3);
    give_put(&rig, "new", 1, 1); /* That there is none is to be seen on the disk as well. */
    fetch(&rig);
    uint32_t before = rig.completions;
    give(&rig, rig_op(STORE_READ, key), 2);
    memset(key, 'x', sizeof(key));
    cr_assert_eq(rig.completions, before, "it waits");
    give(&rig, rig_op(STORE_READ, "new"), 3);
    assert_said(&rig, before, (uint64_t[]){3}, 1);
    cr_assert_eq(stats_of(&rig).cold_waiting, 1u);
    fetch(&rig);
    assert_said(&rig, before, (uint64_t[]){3, 2}, 2);
    cr_assert(slice_equal(value_of(&rig), slice_string("first")));
    cr_assert_eq(stats_of(&rig).cold_waiting, 0u);
    give(&rig, rig_op(STORE_READ, "k1"), 4);
    assert_said(&rig, before, (uint64_t[]){3, 2, 4}, 3);
    rig_end(&rig);
}

/* Without the queue the put of dot 3 could take place before that of dot 2, which would then be
 * refused as an old one. */
Test(store_cold, operations_on_a_key_take_place_in_order)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct rig rig;
        struct prng prng;
        prng_init(&prng, seed);
        begin(&rig, 3);
        uint32_t before = rig.completions;
        give(&rig, rig_op(STORE_READ, "k0"), 1);
        give_put(&rig, "k0", 2, 2);
        give_put(&rig, "k1", 2, 3);
        give_put(&rig, "k0", 3, 4);
        give(&rig, rig_op(STORE_READ, "k0"), 5);
        give_put(&rig, "k1", 3, 6);
        while (disk_mem_pending(rig.disk, DISK_MEM_READER) > 0) {
            disk_mem_shuffle(rig.disk, &prng);
            fetch(&rig);
            cr_assert_eq(rig.done.error, 0);
        }
        uint64_t last_k0 = 0;
        uint64_t last_k1 = 0;
        cr_assert_eq(rig.completions, before + 6);
        for (uint32_t i = before; i < rig.completions; i++) {
            uint64_t token = rig.tokens[i % RIG_TOKENS];
            uint64_t *last = token == 3 || token == 6 ? &last_k1 : &last_k0;
            cr_assert(token > *last);
            *last = token;
        }
        cr_assert(rig_has(&rig, "k0", "second"));
        disk_mem_hold(rig.disk, false);
        rig_end(&rig);
    }
}

Test(store_cold, past_the_bound_is_busy_and_nothing_happens)
{
    struct rig rig;
    begin(&rig, 8);
    rig_close(&rig);
    rig.options.cold_max = 3;
    disk_mem_hold(rig.disk, false);
    cr_assert_eq(rig_open(&rig), 0);
    disk_mem_hold(rig.disk, true);
    give(&rig, rig_op(STORE_READ, "k0"), 1);
    give(&rig, rig_op(STORE_READ, "k0"), 2);
    give(&rig, rig_op(STORE_READ, "k1"), 3);
    uint32_t before = rig.completions;
    give_put(&rig, "k0", 2, 4);
    cr_assert_eq(rig.done.error, ERR_BUSY, "behind others of its key");
    give_put(&rig, "k2", 2, 5);
    cr_assert_eq(rig.done.error, ERR_BUSY, "a key of its own");
    assert_said(&rig, before, (uint64_t[]){4, 5}, 2);
    cr_assert_eq(stats_of(&rig).cold_refused, 2u);
    fetch_all(&rig);
    assert_said(&rig, before, (uint64_t[]){4, 5, 1, 2, 3}, 5);
    give(&rig, rig_op(STORE_READ, "k0"), 6);
    fetch_all(&rig);
    cr_assert(slice_equal(value_of(&rig), slice_string("first")));
    rig_end(&rig);
}

Test(store_cold, large_operations_are_bounded_by_their_bytes)
{
    struct rig rig;
    char *large = mem_zero(300 << 10);
    memset(large, 'v', (300 << 10) - 1);
    begin(&rig, 8);
    rig_close(&rig);
    rig.options.memory_max = 1 << 20; /* A quarter of it for what waits. */
    disk_mem_hold(rig.disk, false);
    cr_assert_eq(rig_open(&rig), 0);
    disk_mem_hold(rig.disk, true);
    struct store_op op = rig_op(STORE_UPDATE, "k0");
    op.update = (struct update){
        .dot = {1, 2}, .policy = POLICY_NEWEST, .blind = true, .value = slice_string(large)};
    uint32_t before = rig.completions;
    give(&rig, op, 1);
    cr_assert_eq(rig.completions, before, "one of any size may wait");
    give(&rig, rig_op(STORE_READ, "k1"), 2);
    cr_assert_eq(rig.done.error, ERR_BUSY);
    disk_mem_hold(rig.disk, false);
    mem_free(large);
    rig_end(&rig);
}

Test(store_cold, a_crash_forgets_what_waited)
{
    struct rig rig;
    begin(&rig, 2);
    uint32_t before = rig.completions;
    give_put(&rig, "k0", 2, 1);
    give_put(&rig, "k0", 3, 2);
    give(&rig, rig_op(STORE_READ, "k1"), 3);
    disk_mem_crash(rig.disk, NULL);
    rig_close(&rig);
    cr_assert_eq(rig.completions, before, "nobody was told anything");
    disk_mem_hold(rig.disk, false);
    disk_mem_cache(rig.disk, 0);
    cr_assert_eq(rig_open(&rig), 0);
    cr_assert(rig_has(&rig, "k0", "first"));
    cr_assert_eq(rig_verify(&rig), 2u);
    rig_end(&rig);
}

/* What became stale while it waited is refused as if it had come later. */
Test(store_cold, is_judged_when_it_takes_place)
{
    struct rig rig;
    begin(&rig, 1);
    give_put(&rig, "k0", 2, 1);
    struct store_op install = {.type = STORE_META, .epoch = 2};
    struct meta meta = {slice_string("r"), slice_string("record")};
    install.range = rig_op(STORE_READ, "k0").range;
    install.batch.metas = &meta;
    install.batch.metas_count = 1;
    install.batch.install = true;
    give(&rig, install, 2);
    cr_assert_eq(rig.done.error, 0);
    fetch_all(&rig);
    cr_assert_eq(rig.done.token, 1u);
    cr_assert_eq(rig.done.error, ERR_WRONG_EPOCH);
    rig_end(&rig);
}

Test(store_cold, a_clean_stop_waits_for_what_waits)
{
    struct rig rig;
    begin(&rig, 1);
    give_put(&rig, "k0", 2, 1);
    store_stop(rig.store);
    for (int i = 0; i < 50; i++) {
        disk_mem_step(rig.disk, DISK_MEM_LOG);
        disk_mem_step(rig.disk, DISK_MEM_ENGINE);
        rig_tick(&rig);
    }
    cr_assert_not(store_stopped(rig.store));
    fetch_all(&rig);
    cr_assert_eq(rig.done.token, 1u);
    cr_assert_eq(rig.done.error, 0);
    disk_mem_hold(rig.disk, false);
    stop(&rig);
    rig_close(&rig);
    disk_mem_cache(rig.disk, 0);
    cr_assert_eq(rig_open(&rig), 0);
    cr_assert(rig.recovered.clean);
    cr_assert(rig_has(&rig, "k0", "second"));
    rig_end(&rig);
}

/* However little the disk can hold, what is of many keys gets through, and is whole. */
Test(store_cold, scans_and_chunks_see_all)
{
    enum { KEYS = 40 };
    for (uint32_t cached = 1; cached <= 32; cached *= 4) {
        struct rig rig;
        begin(&rig, KEYS);
        disk_mem_cache(rig.disk, cached);
        struct store_op scan = {.type = STORE_SCAN};
        scan.scan.to = UINT64_MAX;
        scan.scan.count_max = scan.scan.bytes_max = 100000;
        give(&rig, scan, 1);
        fetch_all(&rig);
        cr_assert_eq(rig.done.token, 1u);
        cr_assert_eq(rig.done.entries_count, (uint32_t)KEYS);
        struct entry entries[KEYS];
        memcpy(entries, rig.done.entries, sizeof(entries));
        struct rig other;
        begin(&other, KEYS / 2);
        disk_mem_cache(other.disk, cached);
        struct store_op chunk = {.type = STORE_CHUNK, .epoch = 1};
        chunk.batch.entries = entries;
        chunk.batch.entries_count = KEYS;
        give(&other, chunk, 2);
        cr_assert_neq(other.done.token, 2u, "some of it waits, and nothing is written");
        fetch_all(&other);
        cr_assert_eq(other.done.token, 2u);
        cr_assert_eq(other.done.error, 0);
        disk_mem_hold(other.disk, false);
        disk_mem_cache(other.disk, 0);
        cr_assert_eq(rig_verify(&other), KEYS);
        rig_end(&other);
        rig_end(&rig);
    }
}

Test(store_cold, hints_wait_as_well)
{
    struct rig rig;
    rig_start(&rig, 0);
    cr_assert_eq(rig_put(&rig, "k", "first", 1), 0);
    struct buf object = {0};
    buf_append(&object, rig.done.object);
    struct store_op hint = rig_op(STORE_HINT_MERGE, "k");
    hint.object = buf_slice(&object);
    hint.slots = 2;
    cr_assert_eq(rig_submit(&rig, hint), 0);
    stop(&rig);
    rig_close(&rig);
    cr_assert_eq(rig_open(&rig), 0);
    disk_mem_cache(rig.disk, 8);
    disk_mem_hold(rig.disk, true);
    uint32_t before = rig.completions;
    give(&rig, rig_op(STORE_HINT_READ, "k"), 1);
    struct store_op settle = rig_op(STORE_HINT_SETTLE, "k");
    settle.slots = 2;
    settle.digest = hint_digest(buf_slice(&object));
    give(&rig, settle, 2);
    give(&rig, rig_op(STORE_READ, "k"), 3);
    cr_assert_eq(rig.completions, before);
    fetch_all(&rig);
    assert_said(&rig, before, (uint64_t[]){1, 2, 3}, 3);
    cr_assert(slice_equal(value_of(&rig), slice_string("first")));
    buf_done(&object);
    rig_end(&rig);
}

static struct store_op collect_op(uint64_t ms)
{
    struct store_op op = rig_op(STORE_COLLECT, "k1");
    op.collect.horizon = ms << 16;
    op.collect.from = range_first(op.range, RIG_RANGE_BITS);
    op.collect.count_max = 8;
    return op;
}

/* A collection waits before it changes anything, on its own copy of what it was told; then it
 * collects: first by a scan, which fills the index, then what the index names. */
Test(store_cold, a_collection_waits_for_its_keys)
{
    struct rig rig;
    rig_start(&rig, 0);
    struct store_op dead = rig_op(STORE_UPDATE, "k1");
    dead.update = (struct update){
        .dot = {1, 9}, .hlc = 9 << 16, .policy = POLICY_NEWEST, .blind = true, .tombstone = true};
    cr_assert_eq(rig_submit(&rig, dead), 0);
    stop(&rig);
    rig_close(&rig);
    cr_assert_eq(rig_open(&rig), 0);
    disk_mem_hold(rig.disk, true);
    for (uint64_t ms = 5; ms <= 9; ms += 4) {
        char bucket[8] = "other";
        struct drop_line line = {slice_string(bucket), 1, 1 << 16};
        struct store_op op = collect_op(ms);
        op.collect.drops = &line;
        op.collect.drops_count = 1;
        disk_mem_cache(rig.disk, 32); /* Nothing is in memory, once more. */
        uint32_t before = rig.completions;
        give(&rig, op, ms);
        memset(bucket, 0xff, sizeof(bucket));
        memset(&line, 0xff, sizeof(line));
        cr_assert_eq(rig.completions, before, "it waits");
        cr_assert_eq(stats_of(&rig).cold_waiting, 1u);
        cr_assert_eq(stats_of(&rig).dead_entries, ms == 5 ? 0u : 1u, "nothing has changed");
        fetch_all(&rig);
        assert_said(&rig, before, (uint64_t[]){ms}, 1);
        cr_assert_eq(rig.done.error, 0);
        cr_assert_eq(rig.done.entries_count, ms == 5 ? 0u : 2u);
        cr_assert_eq(stats_of(&rig).dead_entries, ms == 5 ? 1u : 0u);
        cr_assert_eq(stats_of(&rig).keys, ms == 5 ? 1u : 0u);
    }
    rig_end(&rig);
}

/* What a dropped range left is fetched by a reader before it is deleted. */
Test(store_cold, a_dropped_range_is_fetched_before_it_is_deleted)
{
    struct rig rig;
    begin(&rig, 3);
    struct store_op op = rig_op(STORE_DROP, "k1");
    give(&rig, op, 1);
    cr_assert_eq(rig.done.error, 0);
    uint32_t read = 0;
    for (int i = 0; i < 200; i++) {
        rig_tick(&rig);
        while (disk_mem_step(rig.disk, DISK_MEM_LOG) || disk_mem_step(rig.disk, DISK_MEM_ENGINE))
            rig_tick(&rig);
        read += disk_mem_pending(rig.disk, DISK_MEM_READER) > 0;
        fetch_all(&rig);
    }
    cr_assert(read > 0);
    cr_assert_eq(stats_of(&rig).keys, 2u);
    disk_mem_hold(rig.disk, false);
    stop(&rig);
    rig_close(&rig);
    cr_assert_eq(rig_open(&rig), 0);
    disk_mem_cache(rig.disk, 0);
    cr_assert(rig_has(&rig, "k1", NULL));
    cr_assert(rig_has(&rig, "k2", "first"));
    cr_assert_eq(rig_verify(&rig), 2u);
    rig_end(&rig);
}
