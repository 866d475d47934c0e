/* A bit of a key of the engine flips: the key that was lost is never taken for missing, whatever
 * the flip does to the order of keys, and all others are found; a crash forgets nothing of it; and
 * once it is filled in with what others have, tree and figures are those of the data. */
#include "store/record.h"
#include "store_rig.h"

enum { KEYS = 24 };

/* The rig comes first: its callbacks work on either. */
struct news {
    struct rig rig;
    uint32_t holes;
    uint64_t from, to, number;
};

static void damaged(void *arg, const struct store_damage *damage)
{
    struct news *news = arg;
    if (!damage->hole)
        return;
    news->holes++;
    news->from = damage->hash;
    news->to = damage->to;
    news->number = damage->number;
}

static void begin(struct news *news)
{
    *news = (struct news){0};
    news->rig.disk = disk_mem_new(&(struct disk_mem_options){0});
    news->rig.options.damaged = damaged;
    cr_assert_eq(rig_open(&news->rig), 0);
}

static void lose_power(struct rig *rig)
{
    disk_mem_power_loss(rig->disk, NULL);
    rig_close(rig);
    cr_assert_eq(rig_open(rig), 0);
}

static const char *key_of(int i)
{
    static char text[16];
    snprintf(text, sizeof(text), "key-%d", i);
    return text;
}

static void fill(struct rig *rig)
{
    for (int i = 0; i < KEYS; i++)
        cr_assert_eq(rig_put(rig, key_of(i), key_of(i), 1), 0);
}

/* The number of the key whose record is number INDEX of the engine. */
static int number_at(const struct rig *rig, uint32_t index)
{
    struct slice path = disk_mem_key(rig->disk, DISK_OBJECTS, index);
    uint64_t hash;
    struct slice bucket, key;
    char text[16];
    cr_assert(key_parse(path, &hash, &bucket, &key));
    snprintf(text, sizeof(text), "%.*s", (int)key.size, (const char *)key.data);
    return atoi(text + 4);
}

static struct store_stats stats_of(const struct rig *rig)
{
    struct store_stats stats;
    store_stats(rig->store, &stats);
    return stats;
}

/* All keys but LOST have their values, and LOST is not known. */
static void assert_known_but(struct rig *rig, int lost)
{
    for (int i = 0; i < KEYS; i++) {
        if (i == lost)
            cr_assert_eq(rig_submit(rig, rig_op(STORE_READ, key_of(i))), ERR_UNREADABLE);
        else
            cr_assert(rig_has(rig, key_of(i), key_of(i)), "key %d", i);
    }
}

static int whole(struct news *news, uint64_t from, uint64_t to)
{
    struct store_op op = {.type = STORE_WHOLE, .epoch = 1, .sync = true, .loss = news->number};
    op.range = range_of(from, RIG_RANGE_BITS);
    op.scan.from = from;
    op.scan.to = to;
    return rig_submit(&news->rig, op);
}

/* What another replica has of LOST. */
static struct buf object_of(int lost)
{
    struct rig other;
    struct buf object = {0};
    rig_start(&other, 0);
    cr_assert_eq(rig_put(&other, key_of(lost), key_of(lost), 1), 0);
    buf_append(&object, other.done.object);
    rig_end(&other);
    return object;
}

static void fill_in(struct news *news, int lost)
{
    struct rig *rig = &news->rig;
    struct buf object = object_of(lost);
    for (int rounds = 0; stats_of(rig).holes_now > 0; rounds++) {
        cr_assert(rounds < 100);
        news->holes = 0;
        for (int i = 0; i < 100 && news->holes == 0; i++) {
            rig->now.us += 1000 * 1000;
            rig_tick(rig);
        }
        struct store_op op = rig_op(STORE_MERGE, key_of(lost));
        op.heals = true;
        op.loss = news->number;
        op.object = buf_slice(&object);
        if (news->from <= op.hash && op.hash <= news->to)
            cr_assert_eq(rig_submit(rig, op), 0);
        cr_assert_eq(whole(news, news->from, news->to), 0);
    }
    buf_done(&object);
}

/* The record at INDEX rots at BIT of its key. */
static void check_bit(uint32_t index, uint64_t bit, bool read_first)
{
    struct news news;
    struct rig *rig = &news.rig;
    begin(&news);
    fill(rig);
    rig_settle(rig);
    int lost = number_at(rig, index);
    cr_assert(disk_mem_flip_key(rig->disk, DISK_OBJECTS, index, bit));
    for (int i = 0; i < KEYS && !read_first; i++) /* Checkpoints come by first. */
        if (i != lost && i % 5 == 0) {
            cr_assert_eq(rig_put(rig, key_of(i), key_of(i), 2), 0);
            rig_settle(rig);
        }
    assert_known_but(rig, lost);
    rig_ticks(rig, 10);
    assert_known_but(rig, lost);
    cr_assert_eq(disk_mem_count(rig->disk, DISK_OBJECTS), KEYS - 1u, "the bad record is gone");
    lose_power(rig);
    assert_known_but(rig, lost);
    cr_assert_eq(rig_put(rig, key_of(lost), "newer", 3), ERR_UNREADABLE);
    cr_assert_eq(whole(&news, 0, 1), ERR_NOT_FOUND, "there is no such hole");
    fill_in(&news, lost);
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < KEYS; k++)
            cr_assert(rig_has(rig, key_of(k), key_of(k)));
        cr_assert_eq(rig_verify(rig), (uint64_t)KEYS);
        rig_settle(rig);
    }
    rig_end(rig);
}

Test(store_holes, any_bit_of_a_key_in_the_middle)
{
    for (uint64_t bit = 0; bit < 8 * 16; bit++)
        check_bit(KEYS / 2, bit, true);
}

Test(store_holes, the_first_and_the_last_key)
{
    for (uint64_t bit = 0; bit < 64; bit += 3) {
        check_bit(0, bit, true);
        check_bit(KEYS - 1, bit, true);
    }
}

Test(store_holes, a_checkpoint_does_not_write_among_keys_out_of_order)
{
    for (uint64_t bit = 0; bit < 12; bit++)
        check_bit(KEYS / 2, bit, false);
}

Test(store_holes, a_scan_ends_before_it)
{
    struct news news;
    struct rig *rig = &news.rig;
    begin(&news);
    fill(rig);
    rig_settle(rig);
    uint64_t before = load_u64_be(disk_mem_key(rig->disk, DISK_OBJECTS, 7).data);
    cr_assert(disk_mem_flip_key(rig->disk, DISK_OBJECTS, 8, 0));
    struct store_op scan = {.type = STORE_SCAN};
    scan.scan.to = UINT64_MAX;
    scan.scan.count_max = 1000;
    scan.scan.bytes_max = 1 << 20;
    cr_assert_eq(rig_submit(rig, scan), 0);
    cr_assert(rig->done.more);
    cr_assert(rig->done.entries_count > 0 && rig->done.entries_count <= 8);
    cr_assert(rig->done.entries[rig->done.entries_count - 1].hash <= before);
    scan.scan.from = before;
    cr_assert_eq(rig_submit(rig, scan), ERR_UNREADABLE);
    rig_end(rig);
}

Test(store_holes, what_is_written_meanwhile_is_kept_and_lacks_its_past)
{
    struct news news;
    struct rig *rig = &news.rig;
    begin(&news);
    fill(rig);
    rig_settle(rig);
    int lost = number_at(rig, 5);
    cr_assert(disk_mem_flip_key(rig->disk, DISK_OBJECTS, 5, 3));
    cr_assert_eq(rig_submit(rig, rig_op(STORE_READ, key_of(lost))), ERR_UNREADABLE);
    struct store_op op = rig_op(STORE_UPDATE, key_of(lost));
    op.update = (struct update){.dot = {2, 1},
                                .hlc = 9 << 16,
                                .policy = POLICY_NEWEST,
                                .blind = true,
                                .value = slice_string("newer")};
    op.renewed = true;
    cr_assert_eq(rig_submit(rig, op), 0);
    cr_assert_eq(rig_submit(rig, rig_op(STORE_READ, key_of(lost))), ERR_UNREADABLE);
    rig_ticks(rig, 10);
    lose_power(rig);
    cr_assert_eq(rig_submit(rig, rig_op(STORE_READ, key_of(lost))), ERR_UNREADABLE);
    struct buf object = object_of(lost);
    struct store_op merge = rig_op(STORE_MERGE, key_of(lost));
    merge.heals = true;
    merge.object = buf_slice(&object);
    cr_assert_eq(rig_submit(rig, merge), 0);
    buf_done(&object);
    cr_assert(rig_has(rig, key_of(lost), "newer"));
    fill_in(&news, lost);
    cr_assert(rig_has(rig, key_of(lost), "newer"));
    cr_assert_eq(rig_verify(rig), (uint64_t)KEYS);
    rig_end(rig);
}

Test(store_holes, what_was_fetched_for_an_earlier_loss_heals_no_later_one)
{
    struct news news;
    struct rig *rig = &news.rig;
    begin(&news);
    fill(rig);
    rig_settle(rig);
    cr_assert(disk_mem_flip_key(rig->disk, DISK_OBJECTS, 10, 3));
    int lost = number_at(rig, 9);
    cr_assert_eq(stats_of(rig).holes_now, 0u);
    struct store_op verify = {.type = STORE_VERIFY};
    for (verify.range = 0; verify.range < 1u << RIG_RANGE_BITS; verify.range++)
        cr_assert_eq(rig_submit(rig, verify), 0);
    cr_assert(stats_of(rig).holes_now > 0);
    rig_ticks(rig, 10);
    uint64_t from = news.from, to = news.to;
    /* The neighbour is lost too: one hole, of another number. */
    for (uint32_t i = 8; i < 11; i++)
        if (number_at(rig, i) == lost)
            cr_assert(disk_mem_flip_key(rig->disk, DISK_OBJECTS, i, 3));
    cr_assert_eq(rig_submit(rig, rig_op(STORE_READ, key_of(lost))), ERR_UNREADABLE);
    rig_ticks(rig, 10);
    news.number--;
    cr_assert_neq(whole(&news, from, to), 0);
    rig_end(rig);
}

static void fill_a_range(struct rig *rig, int records)
{
    for (int i = 0, count = 0; count < records; i++) {
        if (range_of(rig_op(STORE_READ, key_of(i)).hash, RIG_RANGE_BITS) != 0)
            continue;
        cr_assert_eq(rig_put(rig, key_of(i), key_of(i), 1), 0);
        count++;
    }
}

Test(store_holes, one_that_is_noticed_at_the_end_of_its_neighbour_keeps_both)
{
    struct news news;
    struct rig *rig = &news.rig;
    begin(&news);
    fill_a_range(rig, 4);
    rig_settle(rig);
    int lost = number_at(rig, 1);
    int next = number_at(rig, 2);
    cr_assert(disk_mem_flip_key(rig->disk, DISK_OBJECTS, 1, 0));
    cr_assert_eq(rig_submit(rig, rig_op(STORE_READ, key_of(lost))), ERR_UNREADABLE);
    rig_ticks(rig, 10);
    cr_assert_eq(disk_mem_count(rig->disk, DISK_OBJECTS), 3u);
    cr_assert(disk_mem_flip_key(rig->disk, DISK_OBJECTS, 1, 0));
    cr_assert_eq(whole(&news, news.from, news.to), ERR_UNREADABLE);
    cr_assert_eq(rig_submit(rig, rig_op(STORE_READ, key_of(lost))), ERR_UNREADABLE);
    cr_assert_eq(rig_submit(rig, rig_op(STORE_READ, key_of(next))), ERR_UNREADABLE);
    rig_end(rig);
}

Test(store_holes, the_next_of_a_range_is_told_when_one_is_filled_in)
{
    struct news news;
    struct rig *rig = &news.rig;
    begin(&news);
    fill_a_range(rig, 8);
    rig_settle(rig);
    for (uint32_t i = 1; i < 7; i += 3) {
        int lost = number_at(rig, i);
        cr_assert(
            disk_mem_flip_key(rig->disk, DISK_OBJECTS, i, 70)); /* Within the bucket's name. */
        cr_assert_eq(rig_submit(rig, rig_op(STORE_READ, key_of(lost))), ERR_UNREADABLE);
    }
    for (int second = 0; second < 100; second++) {
        rig->now.us += 1000 * 1000;
        rig_tick(rig);
    }
    uint32_t known = stats_of(rig).holes_now;
    cr_assert_gt(known, 1);
    cr_assert_eq(whole(&news, news.from, news.to), 0);
    cr_assert_eq(stats_of(rig).holes_now, known - 1);
    news.holes = 0;
    rig->now.us += 100 * 1000;
    rig_tick(rig);
    cr_assert_gt(news.holes, 0);
    rig_end(rig);
}

/* Whoever takes on a few at a time would else hear of the same ones first for ever. */
Test(store_holes, those_of_a_range_are_not_told_of_in_the_same_order_each_time)
{
    struct news news;
    struct rig *rig = &news.rig;
    uint32_t again[2] = {0}; /* How often the upper, or the lower one, came twice in a row. */
    int last = -1;
    begin(&news);
    fill_a_range(rig, 8);
    rig_settle(rig);
    uint64_t middle = load_u64_be(disk_mem_key(rig->disk, DISK_OBJECTS, 3).data);
    for (uint32_t i = 1; i < 7; i += 4) {
        int lost = number_at(rig, i);
        cr_assert(disk_mem_flip_key(rig->disk, DISK_OBJECTS, i, 70));
        cr_assert_eq(rig_submit(rig, rig_op(STORE_READ, key_of(lost))), ERR_UNREADABLE);
    }
    rig_tick(rig);
    for (int round = 0; round < 80; round++) {
        news.holes = 0;
        for (int i = 0; i < 300 && news.holes == 0; i++) {
            rig->now.us += 100 * 1000;
            rig_tick(rig);
        }
        cr_assert_gt(news.holes, 0);
        int lower = news.from < middle;
        again[lower] += news.holes == 1 && lower == last;
        last = news.holes == 1 ? lower : -1;
    }
    cr_assert_gt(again[0], 0);
    cr_assert_gt(again[1], 0);
    rig_end(rig);
}

Test(store_holes, a_copy_that_has_one_is_not_filled)
{
    struct news news;
    struct rig *rig = &news.rig;
    begin(&news);
    fill_a_range(rig, 4);
    rig_settle(rig);
    int lost = number_at(rig, 1);
    cr_assert(disk_mem_flip_key(rig->disk, DISK_OBJECTS, 1, 0));
    cr_assert_eq(rig_submit(rig, rig_op(STORE_READ, key_of(lost))), ERR_UNREADABLE);
    rig_ticks(rig, 10);
    struct meta meta = {slice_string("m"), slice_string("filled")};
    struct store_op chunk = {.type = STORE_CHUNK, .range = 0, .epoch = 1, .sync = true};
    chunk.batch.metas = &meta;
    chunk.batch.metas_count = 1;
    cr_assert_eq(rig_submit(rig, chunk), 0, "there is more to come");
    chunk.batch.fills = true;
    cr_assert_eq(rig_submit(rig, chunk), ERR_UNREADABLE);
    fill_in(&news, lost);
    cr_assert_eq(rig_submit(rig, chunk), 0);
    rig_end(rig);
}

Test(store_holes, a_dropped_range_has_none)
{
    struct news news;
    struct rig *rig = &news.rig;
    begin(&news);
    fill(rig);
    rig_settle(rig);
    uint32_t range =
        range_of(load_u64_be(disk_mem_key(rig->disk, DISK_OBJECTS, 5).data), RIG_RANGE_BITS);
    cr_assert(disk_mem_flip_key(rig->disk, DISK_OBJECTS, 5, 0));
    struct store_op drop = {.type = STORE_DROP, .range = range};
    cr_assert_eq(rig_submit(rig, drop), 0);
    rig_settle(rig);
    for (uint32_t i = 0; i < disk_mem_count(rig->disk, DISK_OBJECTS); i++)
        cr_assert(
            !disk_mem_rotten(rig->disk, DISK_OBJECTS, disk_mem_key(rig->disk, DISK_OBJECTS, i)));
    struct store_op verify = {.type = STORE_VERIFY, .range = range};
    cr_assert_eq(rig_submit(rig, verify), 0);
    cr_assert_eq(rig->done.verified.bad, 0u);
    cr_assert_eq(rig->done.verified.keys, 0u);
    rig_end(rig);
}

/* A key past the engine's limit lies there by digest; the whole of it is in the value. */
Test(store_holes, a_long_key)
{
    for (uint64_t bit = 0; bit < 200; bit += 5) {
        struct news news;
        struct rig *rig = &news.rig;
        char key[601];
        begin(&news);
        fill(rig);
        memset(key, 'k', 600);
        key[600] = 0;
        cr_assert_eq(rig_put(rig, key, "the value", 1), 0);
        rig_settle(rig);
        for (uint32_t i = 0; i <= KEYS; i++)
            if (disk_mem_key(rig->disk, DISK_OBJECTS, i).data[8] == 0) {
                cr_assert(disk_mem_flip_key(rig->disk, DISK_OBJECTS, i, bit));
                break;
            }
        cr_assert_eq(rig_submit(rig, rig_op(STORE_READ, key)), ERR_UNREADABLE);
        for (int i = 0; i < KEYS; i++)
            cr_assert(rig_has(rig, key_of(i), key_of(i)));
        rig_end(rig);
    }
}

/* A key to be written that lies between what the record at INDEX has for a key once BIT of it
 * flipped, and what it had, while that is in order all the same; false if there is none. */
static bool find_between(const struct rig *rig, uint32_t index, uint64_t bit, char ret_key[16])
{
    uint64_t was = load_u64_be(disk_mem_key(rig->disk, DISK_OBJECTS, index).data);
    uint64_t is = was ^ (1ull << bit);
    if (is <= load_u64_be(disk_mem_key(rig->disk, DISK_OBJECTS, index - 1).data) ||
        is >= load_u64_be(disk_mem_key(rig->disk, DISK_OBJECTS, index + 1).data))
        return false;
    for (int i = KEYS; i < 10000; i++) {
        snprintf(ret_key, 16, "key-%d", i);
        uint64_t hash = rig_op(STORE_READ, ret_key).hash;
        if (MIN(was, is) < hash && hash < MAX(was, is))
            return true;
    }
    return false;
}

/* It was put when all was well, and comes to the engine when its neighbour's key has rotted: were
 * it written beside that one, the key that was lost would lie beyond what is taken for a neighbour
 * of the bad record. */
Test(store_holes, what_is_written_beside_it_does_not_narrow_it)
{
    uint32_t found = 0;
    for (uint32_t index = 1; index + 1 < KEYS; index++) {
        for (uint64_t bit = 40; bit < 64; bit++) {
            struct news news;
            struct rig *rig = &news.rig;
            char key[16];
            begin(&news);
            fill(rig);
            rig_settle(rig);
            if (find_between(rig, index, bit, key)) {
                found++;
                int lost = number_at(rig, index);
                cr_assert_eq(rig_put(rig, key, "later", 1), 0);
                cr_assert(
                    disk_mem_flip_key(rig->disk, DISK_OBJECTS, index, bit % 8 + 8 * (7 - bit / 8)));
                rig_settle(rig);
                assert_known_but(rig, lost);
                cr_assert(rig_has(rig, key, "later"));
            }
            rig_end(rig);
        }
    }
    cr_assert(found > KEYS);
}
