/* Hints in a store: beside the data, merged by key, forgotten slot by slot, kept across
 * checkpoints, crashes and drops. */
#include "store_rig.h"

static int hint(struct rig *rig, const char *key, uint8_t slots, struct slice object)
{
    struct store_op op = rig_op(STORE_HINT_MERGE, key);
    op.slots = slots;
    op.object = object;
    return rig_submit(rig, op);
}

/* What a coordinator would send: a version of KEY, in ARENA. */
static struct slice version(struct arena *arena, const char *value, uint64_t actor,
                            uint64_t counter)
{
    struct buf bytes = {0};
    struct update update = {.dot = {actor, counter},
                            .hlc = counter << 16,
                            .policy = POLICY_SIBLINGS,
                            .blind = true,
                            .value = slice_string(value)};
    cr_assert_eq(object_update(SLICE_NONE, &update, &bytes, NULL), 0);
    struct slice object = arena_copy(arena, buf_slice(&bytes));
    buf_done(&bytes);
    return object;
}

static struct slice read_hint(struct rig *rig, const char *key)
{
    cr_assert_eq(rig_submit(rig, rig_op(STORE_HINT_READ, key)), 0);
    return rig->done.object;
}

static int settle(struct rig *rig, const char *key, uint8_t slots, struct slice object)
{
    struct store_op op = rig_op(STORE_HINT_SETTLE, key);
    op.slots = slots;
    op.digest = hint_digest(object);
    return rig_submit(rig, op);
}

/* How many hints a scan shows, CAP at a time. */
static uint32_t count(struct rig *rig, uint32_t cap)
{
    uint32_t found = 0;
    struct store_op op = {.type = STORE_HINT_SCAN};
    struct buf name = {0};
    op.scan.to = UINT64_MAX;
    op.scan.count_max = cap;
    op.scan.bytes_max = 1000000;
    do {
        cr_assert_eq(rig_submit(rig, op), 0);
        found += rig->done.entries_count;
        if (rig->done.entries_count == 0)
            break;
        const struct entry *last = &rig->done.entries[rig->done.entries_count - 1];
        buf_clear(&name);
        buf_append(&name, last->bucket);
        buf_append(&name, last->key);
        op.scan.from = last->hash;
        op.bucket = slice_of(name.data, last->bucket.size);
        op.key = slice_of(name.data + last->bucket.size, last->key.size);
    } while (rig->done.more);
    buf_done(&name);
    return found;
}

static void reopen(struct rig *rig, bool checkpoint)
{
    if (checkpoint) {
        store_stop(rig->store);
        for (int i = 0; i < 1000 && !store_stopped(rig->store); i++) {
            rig->now.us += 1000 * 1000;
            rig_tick(rig);
        }
        cr_assert(store_stopped(rig->store));
    } else {
        rig_ticks(rig, 3);
    }
    rig_close(rig);
    cr_assert_eq(rig_open(rig), 0);
}

Test(store_hints, lie_beside_the_data_and_merge)
{
    struct rig rig;
    struct arena arena = {0};
    rig_start(&rig, 0);
    struct slice one = version(&arena, "one", 1, 1);
    struct slice two = version(&arena, "two", 2, 1);
    cr_assert_eq(hint(&rig, "k", 1, one), 0);
    cr_assert_eq(rig.done.hint.bytes_before, 0u);
    cr_assert(rig.done.hint.bytes > one.size);
    cr_assert(rig_has(&rig, "k", NULL), "a hint is not data");
    cr_assert_eq(rig_verify(&rig), 0);
    cr_assert_eq(hint(&rig, "k", 1, one), 0);
    cr_assert_not(rig.done.changed);
    cr_assert_eq(hint(&rig, "k", 4, one), 0);
    cr_assert(rig.done.changed, "another slot");
    cr_assert_eq(rig.done.hint.slots, 5);
    cr_assert_eq(hint(&rig, "k", 4, two), 0);
    struct object object;
    cr_assert_eq(object_decode(read_hint(&rig, "k"), &arena, &object), 0);
    cr_assert_eq(object.count, 2u);
    rig_end(&rig);
    arena_done(&arena);
}

Test(store_hints, a_version_is_made_on_top_of_what_is_kept)
{
    struct rig rig;
    struct arena arena = {0};
    rig_start(&rig, 0);
    cr_assert_eq(hint(&rig, "k", 1, version(&arena, "one", 1, 1)), 0);
    struct store_op op = rig_op(STORE_HINT_UPDATE, "k");
    op.slots = 2;
    op.update = (struct update){.dot = {7, 1},
                                .hlc = 9 << 16,
                                .policy = POLICY_NEWEST,
                                .blind = true,
                                .value = slice_string("mine")};
    cr_assert_eq(rig_submit(&rig, op), 0);
    cr_assert_eq(rig.done.hint.slots, 3);
    struct object object;
    cr_assert_eq(object_decode(rig.done.object, &arena, &object), 0);
    cr_assert_eq(object.count, 1u, "it follows what it was made on");
    rig_end(&rig);
    arena_done(&arena);
}

Test(store_hints, are_forgotten_slot_by_slot_and_never_what_came_later)
{
    struct rig rig;
    struct arena arena = {0};
    rig_start(&rig, 0);
    struct slice one = version(&arena, "one", 1, 1);
    cr_assert_eq(hint(&rig, "k", 3, one), 0);
    cr_assert_eq(settle(&rig, "k", 1, one), 0);
    cr_assert_eq(rig.done.hint.slots, 2);
    cr_assert_eq(hint(&rig, "k", 2, version(&arena, "two", 2, 1)), 0);
    cr_assert_eq(settle(&rig, "k", 2, one), 0);
    cr_assert_not(rig.done.changed, "what was delivered is not what is kept");
    struct slice both = arena_copy(&arena, read_hint(&rig, "k"));
    cr_assert_eq(settle(&rig, "k", 2, both), 0);
    cr_assert(rig.done.changed);
    cr_assert_eq(rig.done.hint.bytes, 0u);
    cr_assert_eq(read_hint(&rig, "k").size, 0u);
    cr_assert_eq(count(&rig, 10), 0u);
    for (int i = 0; i < 2; i++) {
        reopen(&rig, i == 0);
        cr_assert_eq(read_hint(&rig, "k").size, 0u, "and stay so");
    }
    rig_end(&rig);
    arena_done(&arena);
}

Test(store_hints, outlive_checkpoints_restarts_and_drops)
{
    enum { KEYS = 300 };
    static char long_key[2000];
    struct rig rig;
    struct arena arena = {0};
    rig_start(&rig, 0);
    memset(long_key, 'x', sizeof(long_key) - 1);
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        cr_assert_eq(hint(&rig, key, 1, version(&arena, "v", 1, (uint64_t)i + 1)), 0);
        if (i == KEYS / 2)
            reopen(&rig, true);
    }
    cr_assert_eq(hint(&rig, long_key, 2, version(&arena, "long", 1, 1000)), 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(count(&rig, 7), KEYS + 1u);
        cr_assert(read_hint(&rig, long_key).size > 0, "past the engine's limit for keys");
        reopen(&rig, i == 1);
    }
    struct store_op drop = {.type = STORE_DROP};
    for (drop.range = 0; drop.range < 1u << RIG_RANGE_BITS; drop.range++)
        cr_assert_eq(rig_submit(&rig, drop), 0);
    reopen(&rig, true);
    cr_assert_eq(count(&rig, 1000), KEYS + 1u, "no drop of a range touches them");
    struct slice kept = arena_copy(&arena, read_hint(&rig, long_key));
    cr_assert_eq(settle(&rig, long_key, 2, kept), 0);
    reopen(&rig, true);
    cr_assert_eq(read_hint(&rig, long_key).size, 0u);
    cr_assert_eq(count(&rig, 1000), (uint32_t)KEYS);
    rig_end(&rig);
    arena_done(&arena);
}

Test(store_hints, a_damaged_one_is_told_and_takes_no_version)
{
    struct rig rig;
    struct arena arena = {0};
    rig_start(&rig, 0);
    struct slice one = version(&arena, "one", 1, 1);
    cr_assert_eq(hint(&rig, "k", 1, one), 0);
    reopen(&rig, true);
    cr_assert(disk_mem_flip(rig.disk, DISK_HINTS, 0, 77));
    cr_assert_eq(rig_submit(&rig, rig_op(STORE_HINT_READ, "k")), ERR_UNREADABLE);
    cr_assert_eq(count(&rig, 10), 1u, "it is listed, for no slot");
    cr_assert_eq(rig.done.bad, 1u);
    struct store_op op = rig_op(STORE_HINT_UPDATE, "k");
    op.update = (struct update){.dot = {1, 2}, .hlc = 1 << 20, .blind = true};
    cr_assert_eq(rig_submit(&rig, op), ERR_UNREADABLE);
    cr_assert_eq(hint(&rig, "k", 1, one), 0);
    cr_assert_eq(count(&rig, 10), 1u, "the next hint puts it right");
    rig_end(&rig);
    arena_done(&arena);
}

Test(store_hints, a_damaged_one_is_forgotten_for_good_and_a_whole_one_is_not)
{
    struct rig rig;
    struct arena arena = {0};
    rig_start(&rig, 0);
    struct slice one = version(&arena, "one", 1, 1);
    struct store_op discard = rig_op(STORE_HINT_SETTLE, "k");
    discard.heals = true;
    cr_assert_eq(hint(&rig, "k", 1, one), 0);
    cr_assert_eq(rig_submit(&rig, discard), 0);
    cr_assert(!rig.done.changed);
    reopen(&rig, true);
    cr_assert(disk_mem_flip(rig.disk, DISK_HINTS, 0, 77));
    cr_assert_eq(rig_submit(&rig, discard), 0);
    cr_assert(rig.done.changed);
    cr_assert_eq(count(&rig, 10), 0u);
    cr_assert_eq(rig.done.bad, 0u);
    reopen(&rig, true);
    cr_assert_eq(count(&rig, 10), 0u);
    cr_assert_eq(rig.done.bad, 0u);
    rig_end(&rig);
    arena_done(&arena);
}
