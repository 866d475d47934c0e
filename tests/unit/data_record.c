/* Range records: the stage table, what a record may look like, its bytes. */
#include "base/prng.h"
#include "data/ring.h"
#include <criterion/criterion.h>
#include <stdio.h>

static struct node_id node(uint64_t n)
{
    return (struct node_id){n, n * 7};
}

/* Slots 0 and 1 stable on nodes 1 and 2; slot 2 in STAGE with owner 3 and target 4 as it needs. */
static struct range_record record_in(enum stage stage)
{
    struct range_record record = {.range = 5, .epoch = 10, .slots_count = 3};
    bool owner = stage != STAGE_LEARN;
    bool target = stage != STAGE_STABLE && stage != STAGE_FENCE;
    record.slots[0] = (struct slot){0, STAGE_STABLE, node(1), NODE_NONE};
    record.slots[1] = (struct slot){1, STAGE_STABLE, node(2), NODE_NONE};
    record.slots[2] =
        (struct slot){2, stage, owner ? node(3) : NODE_NONE, target ? node(4) : NODE_NONE};
    record.transfer = target ? 77 : 0;
    return record;
}

static struct range_record after(const struct range_record *record)
{
    struct range_record next = *record;
    next.epoch++;
    return next;
}

static void add_former(struct range_record *record, struct node_id id)
{
    record->former[record->former_count++] = id;
}

static void remove_slot(struct range_record *record, uint32_t index)
{
    record->slots_count--;
    for (uint32_t i = index; i < record->slots_count; i++)
        record->slots[i] = record->slots[i + 1];
}

Test(record, founding_record)
{
    struct range_record record = {.range = 0, .epoch = 1, .slots_count = 1};
    record.slots[0] = (struct slot){0, STAGE_STABLE, node(1), NODE_NONE};
    cr_assert(record_check(&record, 64));
    cr_assert_eq(record_counted(&record), 1);
    cr_assert_eq(record_quorum(&record), 1);
    cr_assert_eq(record_fence_quorum(&record), 1);
    cr_assert(id_equal(record_driver(&record), node(1)));
}

Test(record, quorums_by_size)
{
    static const uint32_t quorum[] = {0, 1, 2, 2, 3, 3, 4, 4};
    for (uint32_t s = 1; s <= SLOTS_MAX; s++) {
        struct range_record record = {.epoch = 1, .slots_count = (uint8_t)s};
        for (uint32_t i = 0; i < s; i++)
            record.slots[i] = (struct slot){(uint8_t)i, STAGE_STABLE, node(i + 1), NODE_NONE};
        cr_assert(record_check(&record, 64));
        cr_assert_eq(record_quorum(&record), quorum[s]);
        /* Any quorum and any K slots share one. */
        cr_assert_eq(record_fence_quorum(&record) + quorum[s], s + 1);
    }
}

Test(record, who_reads_and_writes)
{
    static const struct {
        enum stage stage;
        uint64_t reader;
        uint64_t writers[2];
        bool counted;
    } rows[] = {
        {STAGE_STABLE, 3, {3, 0}, true},  {STAGE_JOINT, 3, {3, 4}, true},
        {STAGE_CUT, 4, {3, 4}, true},     {STAGE_BACK, 3, {3, 4}, true},
        {STAGE_LEARN, 0, {4, 0}, false},  {STAGE_FENCE, 0, {0, 0}, true},
        {STAGE_REBUILD, 0, {4, 0}, true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct range_record record = record_in(rows[i].stage);
        const struct slot *slot = record_slot(&record, 2);
        const char *name = stage_name(rows[i].stage);
        cr_assert(record_check(&record, 64), "%s", name);
        cr_assert(id_equal(slot_reader(slot), node(rows[i].reader)), "%s", name);
        struct node_id writers[2] = {NODE_NONE, NODE_NONE};
        uint32_t count = slot_writers(slot, writers);
        cr_assert_eq(count, (rows[i].writers[0] != 0) + (rows[i].writers[1] != 0), "%s", name);
        for (uint32_t j = 0; j < count; j++)
            cr_assert(id_equal(writers[j], node(rows[i].writers[j])), "%s", name);
        cr_assert_eq(record_counted(&record), rows[i].counted ? 3 : 2, "%s", name);
        struct node_id voters[SLOTS_MAX];
        cr_assert_eq(record_voters(&record, voters), rows[i].reader ? 3 : 2, "%s", name);
    }
}

Test(record, driver_is_the_lowest_reader)
{
    struct range_record record = record_in(STAGE_STABLE);
    cr_assert(id_equal(record_driver(&record), node(1)));
    record.slots[0].stage = STAGE_FENCE;
    cr_assert(id_equal(record_driver(&record), node(2)));
    remove_slot(&record, 0);
    cr_assert(id_equal(record_driver(&record), node(2)));
}

/* What slot 2 becomes when it goes from stage A to stage B as the table would have it. */
static struct range_record step(enum stage a, enum stage b, const struct range_record *from)
{
    struct range_record next = after(from);
    struct slot *slot = &next.slots[2];
    const struct slot old = from->slots[2];
    slot->stage = b;
    bool target = b != STAGE_STABLE && b != STAGE_FENCE;
    slot->target = !target ? NODE_NONE : id_none(old.target) ? node(4) : old.target;
    slot->owner = b == STAGE_LEARN ? NODE_NONE : id_none(old.owner) ? node(3) : old.owner;
    next.transfer = !target ? 0 : from->transfer ? from->transfer : 88;
    if (b == STAGE_STABLE && (a == STAGE_CUT || a == STAGE_LEARN || a == STAGE_REBUILD))
        slot->owner = old.target;
    if (a == STAGE_CUT && b == STAGE_STABLE)
        add_former(&next, old.owner);
    if ((a == STAGE_JOINT || a == STAGE_BACK) && b == STAGE_STABLE)
        add_former(&next, old.target);
    if (a == STAGE_REBUILD && b == STAGE_FENCE)
        add_former(&next, old.target);
    return next;
}

Test(record, stage_table)
{
    static const char *const allowed[STAGE_COUNT] = {
        [STAGE_STABLE] = "JOINT FENCE",  [STAGE_JOINT] = "STABLE CUT",
        [STAGE_CUT] = "STABLE BACK",     [STAGE_BACK] = "STABLE",
        [STAGE_LEARN] = "STABLE",        [STAGE_FENCE] = "STABLE REBUILD",
        [STAGE_REBUILD] = "STABLE FENCE"};
    for (int a = 0; a < STAGE_COUNT; a++)
        for (int b = 0; b < STAGE_COUNT; b++) {
            struct range_record from = record_in((enum stage)a);
            struct range_record next = step((enum stage)a, (enum stage)b, &from);
            cr_assert(record_check(&next, 64), "%s %s", stage_name(a), stage_name(b));
            cr_assert_eq(record_may_follow(&from, &next),
                         strstr(allowed[a], stage_name((enum stage)b)) != NULL, "%s to %s",
                         stage_name((enum stage)a), stage_name((enum stage)b));
        }
}

Test(record, one_slot_at_a_time)
{
    struct range_record from = record_in(STAGE_STABLE);
    struct range_record next = step(STAGE_STABLE, STAGE_JOINT, &from);
    cr_assert(record_may_follow(&from, &next));
    next.slots[1].stage = STAGE_FENCE;
    cr_assert(record_check(&next, 64));
    cr_assert_not(record_may_follow(&from, &next), "two slots changed");

    /* Another slot may be fenced while one moves, but only one may move. */
    struct range_record joint = record_in(STAGE_JOINT);
    next = after(&joint);
    next.slots[1].stage = STAGE_FENCE;
    cr_assert(record_may_follow(&joint, &next));
    next.slots[1].stage = STAGE_JOINT;
    next.slots[1].target = node(9);
    cr_assert_not(record_check(&next, 64), "two transfers");
}

Test(record, epochs_forks_and_ranges_are_kept)
{
    struct range_record from = record_in(STAGE_STABLE);
    struct range_record good = step(STAGE_STABLE, STAGE_FENCE, &from);
    cr_assert(record_may_follow(&from, &good));
    struct range_record bad = good;
    bad.epoch++;
    cr_assert_not(record_may_follow(&from, &bad));
    bad = good;
    bad.epoch--;
    cr_assert_not(record_may_follow(&from, &bad));
    bad = good;
    bad.range++;
    cr_assert_not(record_may_follow(&from, &bad));
    bad = good;
    bad.fork++;
    cr_assert_not(record_may_follow(&from, &bad));
    bad = from;
    cr_assert_not(record_may_follow(&from, &bad), "nothing changed");
    bad.epoch++;
    cr_assert_not(record_may_follow(&from, &bad), "nothing changed but the epoch");
    from.epoch = UINT64_MAX;
    bad = good;
    bad.epoch = 0;
    cr_assert_not(record_may_follow(&from, &bad), "wrapped around");
}

Test(record, a_transfer_keeps_its_id_and_nodes)
{
    struct range_record joint = record_in(STAGE_JOINT);
    struct range_record cut = step(STAGE_JOINT, STAGE_CUT, &joint);
    cr_assert(record_may_follow(&joint, &cut));
    struct range_record bad = cut;
    bad.transfer++;
    cr_assert_not(record_may_follow(&joint, &bad));
    bad = cut;
    bad.slots[2].target = node(9);
    cr_assert_not(record_may_follow(&joint, &bad));
    bad = cut;
    bad.slots[2].owner = node(9);
    cr_assert_not(record_may_follow(&joint, &bad));
    bad = cut;
    bad.transfer = 0;
    cr_assert_not(record_check(&bad, 64));
    struct range_record stable = record_in(STAGE_STABLE);
    stable.transfer = 5;
    cr_assert_not(record_check(&stable, 64));
}

Test(record, former_grows_with_the_step_alone)
{
    struct range_record cut = record_in(STAGE_CUT);
    struct range_record next = step(STAGE_CUT, STAGE_STABLE, &cut);
    cr_assert(record_may_follow(&cut, &next));
    cr_assert(record_has_former(&next, node(3)));
    struct range_record bad = next;
    bad.former_count = 0;
    cr_assert_not(record_may_follow(&cut, &bad), "the old owner must not be forgotten");
    bad = next;
    add_former(&bad, node(50));
    cr_assert_not(record_may_follow(&cut, &bad), "a stranger");

    /* Others in former stay, unless they become members again. */
    struct range_record from = record_in(STAGE_STABLE);
    add_former(&from, node(4));
    add_former(&from, node(6));
    next = step(STAGE_STABLE, STAGE_JOINT, &from);
    cr_assert_not(record_check(&next, 64), "member and former at once");
    next.former[0] = node(6);
    next.former_count = 1;
    cr_assert(record_may_follow(&from, &next));
    next.former_count = 0;
    cr_assert_not(record_may_follow(&from, &next), "6 was dropped without a record of its own");

    /* Clean-up done. */
    next = after(&from);
    next.former_count = 1;
    cr_assert(record_may_follow(&from, &next));
    next.former[0] = node(6);
    cr_assert(record_may_follow(&from, &next));
    next.former[0] = node(8);
    cr_assert_not(record_may_follow(&from, &next));
}

Test(record, slots_come_as_learn_and_go_from_learn_or_fence)
{
    struct range_record from = record_in(STAGE_STABLE);
    struct range_record next = after(&from);
    next.slots[next.slots_count++] = (struct slot){3, STAGE_LEARN, NODE_NONE, node(9)};
    next.transfer = 5;
    cr_assert(record_may_follow(&from, &next));
    cr_assert_eq(record_counted(&next), 3);
    struct range_record last = after(&next);
    last.slots[3] = (struct slot){3, STAGE_STABLE, node(9), NODE_NONE};
    last.transfer = 0;
    cr_assert(record_may_follow(&next, &last));
    cr_assert_eq(record_counted(&last), 4);

    struct range_record gone = after(&next);
    gone.slots_count--;
    gone.transfer = 0;
    cr_assert_not(record_may_follow(&next, &gone), "its target holds partial data");
    add_former(&gone, node(9));
    cr_assert(record_may_follow(&next, &gone));

    struct range_record new_stable = after(&from);
    new_stable.slots[new_stable.slots_count++] = (struct slot){3, STAGE_STABLE, node(9), NODE_NONE};
    cr_assert_not(record_may_follow(&from, &new_stable));

    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        struct range_record full = record_in((enum stage)stage);
        struct range_record less = after(&full);
        less.slots_count--;
        less.transfer = 0;
        if (stage == STAGE_LEARN)
            add_former(&less, node(4));
        cr_assert_eq(record_may_follow(&full, &less), stage == STAGE_LEARN || stage == STAGE_FENCE,
                     "%s", stage_name(stage));
    }
}

Test(record, an_abort_always_has_room_in_former)
{
    struct range_record record = record_in(STAGE_JOINT);
    for (uint64_t i = 0; i < FORMER_MAX - 1; i++)
        add_former(&record, node(100 + i));
    cr_assert(record_check(&record, 64));
    struct range_record next = step(STAGE_JOINT, STAGE_STABLE, &record);
    cr_assert(record_may_follow(&record, &next));
    cr_assert_eq(next.former_count, FORMER_MAX);
    struct range_record again = step(STAGE_STABLE, STAGE_JOINT, &next);
    again.slots[2].target = node(60);
    cr_assert_not(record_may_follow(&next, &again), "no move before some clean-up is done");
}

Test(record, ill_formed_records_are_refused)
{
    struct range_record good = record_in(STAGE_JOINT);
    cr_assert(record_check(&good, 64));
    cr_assert_not(record_check(&good, 5), "range 5 of 5");
    struct range_record bad = good;
    bad.slots[1].owner = node(1);
    cr_assert_not(record_check(&bad, 64), "one node in two slots");
    bad = good;
    bad.slots[2].target = node(3);
    cr_assert_not(record_check(&bad, 64), "owner is target");
    bad = good;
    bad.slots[1].number = 0;
    cr_assert_not(record_check(&bad, 64), "number twice");
    bad = good;
    bad.slots[2].number = SLOTS_MAX;
    cr_assert_not(record_check(&bad, 64));
    bad = good;
    bad.slots[2].target = NODE_NONE;
    cr_assert_not(record_check(&bad, 64));
    bad = good;
    bad.slots[0].target = node(9);
    cr_assert_not(record_check(&bad, 64));
    bad = good;
    bad.epoch = 0;
    cr_assert_not(record_check(&bad, 64));
    bad = good;
    bad.nonce = 1;
    cr_assert_not(record_check(&bad, 64), "a nonce without a fork");
    bad = good;
    bad.slots_count = 0;
    bad.transfer = 0;
    cr_assert_not(record_check(&bad, 64));
    bad = good;
    add_former(&bad, node(9));
    add_former(&bad, node(9));
    cr_assert_not(record_check(&bad, 64));
}

Test(record, order_of_records)
{
    struct range_record a = record_in(STAGE_STABLE);
    struct range_record b = a;
    b.epoch = 11;
    cr_assert_lt(record_compare(&a, &b), 0);
    a.fork = 1;
    a.nonce = 9;
    cr_assert_gt(record_compare(&a, &b), 0, "a higher fork is newer whatever its epoch");
    b = a;
    b.nonce = 8;
    b.epoch = 1;
    cr_assert_lt(record_compare(&a, &b), 0, "of two forks with one number the lower nonce wins");
    cr_assert_eq(record_compare(&a, &a), 0);
}

/* A random legal step of RECORD, or false if the drawn one is not possible. */
static bool random_step(struct prng *prng, const struct range_record *record,
                        struct range_record *ret_next)
{
    struct range_record next = after(record);
    uint64_t kind = prng_below(prng, 10);
    struct node_id stranger = node(1 + prng_below(prng, 30));
    if (kind == 0 && next.former_count > 0) {
        next.former_count--;
    } else if (kind == 1 && next.slots_count < SLOTS_MAX && next.transfer == 0) {
        next.slots[next.slots_count] =
            (struct slot){(uint8_t)(next.slots[next.slots_count - 1].number + 1), STAGE_LEARN,
                          NODE_NONE, stranger};
        next.slots_count++;
        next.transfer = prng_next(prng) | 1;
    } else {
        struct slot *slot = &next.slots[prng_below(prng, next.slots_count)];
        struct slot old = *slot;
        slot->stage = (enum stage)prng_below(prng, STAGE_COUNT);
        bool target = slot->stage != STAGE_STABLE && slot->stage != STAGE_FENCE;
        slot->target = !target ? NODE_NONE : id_none(old.target) ? stranger : old.target;
        if (target && next.transfer == 0)
            next.transfer = prng_next(prng) | 1;
        if (!target && !id_none(old.target))
            next.transfer = 0;
        if (slot->stage == STAGE_STABLE &&
            (old.stage == STAGE_CUT || old.stage == STAGE_LEARN || old.stage == STAGE_REBUILD))
            slot->owner = old.target;
        struct node_id left = old.stage == STAGE_CUT ? old.owner : old.target;
        if (!id_none(left) && !target && !id_equal(slot->owner, left))
            add_former(&next, left);
    }
    for (uint32_t i = 0; i < next.former_count; i++)
        if (record_has_member(&next, next.former[i]))
            next.former[i--] = next.former[--next.former_count];
    *ret_next = next;
    return record_may_follow(record, &next);
}

static void assert_encodes(const struct range_record *record, struct buf *buf)
{
    buf_clear(buf);
    record_encode(record, buf);
    struct reader reader = reader_of(buf_slice(buf));
    struct range_record back;
    record_decode(&reader, &back);
    cr_assert(reader_finished(&reader));
    cr_assert(record_equal(record, &back));
    for (size_t size = 0; size < buf->size; size++) {
        reader = reader_of(slice_of(buf->data, size));
        record_decode(&reader, &back);
        cr_assert(reader.bad, "truncated to %zu", size);
    }
}

/* Long histories of legal steps stay well formed, and pass through their bytes unchanged. */
Test(record, random_histories)
{
    struct buf buf = {0};
    uint64_t steps = 0, seen[STAGE_COUNT] = {0};
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        struct range_record record = {.range = 3, .epoch = 1, .slots_count = 1};
        record.slots[0] = (struct slot){0, STAGE_STABLE, node(1), NODE_NONE};
        for (uint32_t i = 0; i < 500; i++) {
            struct range_record next;
            if (!random_step(&prng, &record, &next))
                continue;
            cr_assert(record_check(&next, 64), "seed %lu", seed);
            cr_assert_gt(record_compare(&next, &record), 0);
            cr_assert(id_none(record_driver(&next)) ||
                      record_slot_read_by(&next, record_driver(&next)));
            record = next;
            steps++;
            for (uint32_t j = 0; j < record.slots_count; j++)
                seen[record.slots[j].stage]++;
        }
        assert_encodes(&record, &buf);
    }
    cr_assert_gt(steps, 5000);
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        cr_assert_gt(seen[stage], 100, "%s", stage_name(stage));
    buf_done(&buf);
}

/* Whatever decodes has one form: it encodes to the very bytes it came from. */
Test(record, hostile_bytes)
{
    struct buf buf = {0}, again = {0};
    uint64_t decoded = 0;
    struct prng prng;
    prng_init(&prng, 42);
    for (uint32_t i = 0; i < 200000; i++) {
        struct range_record record = record_in((enum stage)prng_below(&prng, STAGE_COUNT));
        record.fork = (uint32_t)prng_below(&prng, 2);
        buf_clear(&buf);
        record_encode(&record, &buf);
        for (uint64_t flips = 1 + prng_below(&prng, 3); flips > 0; flips--)
            buf.data[prng_below(&prng, buf.size)] ^= (uint8_t)(1u << prng_below(&prng, 8));
        struct reader reader = reader_of(buf_slice(&buf));
        struct range_record back;
        record_decode(&reader, &back);
        if (reader.bad)
            continue;
        decoded++;
        cr_assert(record_check(&back, RANGES_MAX));
        buf_clear(&again);
        record_encode(&back, &again);
        cr_assert(
            slice_equal(buf_slice(&again), slice_of(buf.data, buf.size - reader_left(&reader))));
    }
    cr_assert_gt(decoded, 1000);
    buf_done(&buf);
    buf_done(&again);
}
