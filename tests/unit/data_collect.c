/* What horizons do to objects. */
#include <criterion/criterion.h>

#include "data/object.h"

static struct buf put(struct slice local, uint64_t actor, uint64_t hlc, enum policy policy,
                      bool tombstone, uint64_t ttl_ms, uint32_t drops)
{
    struct update update = {
        .dot = {actor, hlc},
        .hlc = hlc << 16,
        .policy = policy,
        .tombstone = tombstone,
        .blind = true,
        .ttl_ms = ttl_ms,
        .drops = drops,
        .value = tombstone ? SLICE_NONE : slice_string("value"),
    };
    struct buf object = {0};
    cr_assert_eq(object_update(local, &update, &object, NULL), 0);
    return object;
}

static struct buf merge(const struct buf *a, const struct buf *b)
{
    struct buf merged = {0};
    (void)object_merge(buf_slice(a), buf_slice(b), &merged);
    return merged;
}

static uint64_t at(uint64_t ms)
{
    return ms << 16;
}

/* How many siblings collecting up to MS leaves; UINT32_MAX: nothing goes. */
static uint32_t left_at(struct slice object, uint64_t ms, uint32_t drops, uint64_t dropped_ms)
{
    struct collection collection = {at(ms), drops, at(dropped_ms)};
    struct arena arena = {0};
    struct buf left = {0};
    struct object decoded = {0};
    uint32_t count = UINT32_MAX;
    if (object_collect(object, &collection, &left)) {
        cr_assert_eq(object_check(buf_slice(&left)), 0, "what is left is canonical");
        cr_assert_eq(object_decode(buf_slice(&left), &arena, &decoded), 0);
        count = decoded.count;
    }
    buf_done(&left);
    arena_done(&arena);
    return count;
}

Test(data_collect, a_tombstone_goes_once_the_horizon_reaches_it)
{
    struct buf object = put(SLICE_NONE, 1, 100, POLICY_NEWEST, true, 0, 0);
    cr_assert_eq(object_dead_from(buf_slice(&object)), at(100));
    cr_assert_eq(left_at(buf_slice(&object), 99, 0, 0), UINT32_MAX);
    cr_assert_eq(left_at(buf_slice(&object), 100, 0, 0), 0u);
    buf_done(&object);
}

Test(data_collect, what_lives_stays)
{
    struct buf object = put(SLICE_NONE, 1, 100, POLICY_NEWEST, false, 0, 0);
    cr_assert_eq(object_dead_from(buf_slice(&object)), UINT64_MAX);
    cr_assert_eq(left_at(buf_slice(&object), 100000, 0, 0), UINT32_MAX);
    buf_done(&object);
}

Test(data_collect, an_expired_version_is_stamped_with_its_expiry)
{
    struct buf object = put(SLICE_NONE, 1, 100, POLICY_NEWEST, false, 50, 0);
    cr_assert_eq(object_dead_from(buf_slice(&object)), at(150));
    cr_assert_eq(left_at(buf_slice(&object), 149, 0, 0), UINT32_MAX);
    cr_assert_eq(left_at(buf_slice(&object), 150, 0, 0), 0u);
    buf_done(&object);
}

Test(data_collect, a_dropped_version_is_stamped_with_the_drop)
{
    struct buf object = put(SLICE_NONE, 1, 100, POLICY_NEWEST, false, 0, 1);
    cr_assert_eq(left_at(buf_slice(&object), 300, 2, 200), 0u);
    cr_assert_eq(left_at(buf_slice(&object), 199, 2, 200), UINT32_MAX);
    cr_assert_eq(left_at(buf_slice(&object), 300, 1, 200), UINT32_MAX, "written after that drop");
    buf_done(&object);
}

Test(data_collect, a_dead_newest_takes_what_it_hid_along)
{
    struct buf older = put(SLICE_NONE, 1, 100, POLICY_NEWEST, false, 0, 0);
    struct buf dead = put(SLICE_NONE, 2, 200, POLICY_NEWEST, true, 0, 0);
    struct buf later = put(SLICE_NONE, 3, 300, POLICY_NEWEST, false, 0, 0);
    struct buf two = merge(&older, &dead);
    struct buf three = merge(&two, &later);
    cr_assert_eq(left_at(buf_slice(&two), 250, 0, 0), 0u);
    cr_assert_eq(left_at(buf_slice(&three), 250, 0, 0), 1u, "the later one stays");
    buf_done(&older);
    buf_done(&dead);
    buf_done(&later);
    buf_done(&two);
    buf_done(&three);
}

Test(data_collect, siblings_stay_beside_a_dead_one)
{
    struct buf lives = put(SLICE_NONE, 1, 100, POLICY_SIBLINGS, false, 0, 0);
    struct buf dead = put(SLICE_NONE, 2, 200, POLICY_SIBLINGS, true, 0, 0);
    struct buf both = merge(&lives, &dead);
    cr_assert_eq(left_at(buf_slice(&both), 250, 0, 0), 1u);
    buf_done(&lives);
    buf_done(&dead);
    buf_done(&both);
}

Test(data_collect, what_was_collected_is_not_taken_in_again)
{
    struct buf old = put(SLICE_NONE, 1, 100, POLICY_SIBLINGS, true, 0, 0);
    struct buf held = put(SLICE_NONE, 2, 150, POLICY_SIBLINGS, false, 0, 0);
    struct buf late = put(SLICE_NONE, 3, 250, POLICY_SIBLINGS, false, 0, 0);
    struct buf came = merge(&old, &late);
    struct buf merged = merge(&held, &came);
    struct buf expected = merge(&held, &late);
    struct buf left = {0};
    cr_assert(
        object_admit(buf_slice(&held), buf_slice(&came), buf_slice(&merged), at(200), 0, &left));
    cr_assert(slice_equal(buf_slice(&left), buf_slice(&expected)));
    buf_clear(&left);
    cr_assert_not(
        object_admit(buf_slice(&held), buf_slice(&late), buf_slice(&expected), at(200), 0, &left),
        "what is held, and what is later, is welcome");
    buf_done(&old);
    buf_done(&held);
    buf_done(&late);
    buf_done(&came);
    buf_done(&merged);
    buf_done(&expected);
    buf_done(&left);
}

/* A tombstone hid a version that it had not seen, and a later one had seen the tombstone alone. Who
 * collects before that comes has it only; who collects after it still has the hidden one. */
Test(data_collect, what_another_has_collected_goes_from_behind_a_later_version)
{
    struct buf hidden = put(SLICE_NONE, 1, 100, POLICY_NEWEST, false, 0, 0);
    struct buf later = put(SLICE_NONE, 2, 250, POLICY_NEWEST, true, 0, 0);
    struct buf both = merge(&hidden, &later);
    struct slice mine = buf_slice(&both);
    struct slice theirs = buf_slice(&later);
    struct buf left = {0};
    cr_assert_eq(left_at(mine, 200, 0, 0), UINT32_MAX, "nothing says that it was deleted");
    cr_assert_not(object_admit(mine, theirs, mine, at(200), 0, &left), "the other may be behind");
    cr_assert_not(object_admit(mine, theirs, mine, at(200), at(99), &left), "or stand below it");
    cr_assert_not(object_admit(mine, mine, mine, at(200), at(200), &left), "or have it as well");
    cr_assert_not(object_admit(mine, SLICE_NONE, mine, at(200), at(200), &left), "or say nothing");
    cr_assert(object_admit(mine, theirs, mine, at(200), at(200), &left));
    cr_assert(slice_equal(buf_slice(&left), theirs));
    buf_done(&hidden);
    buf_done(&later);
    buf_done(&both);
    buf_done(&left);
}

Test(data_collect, what_is_read_and_siblings_stay_whoever_lacks_them)
{
    struct buf sibling = put(SLICE_NONE, 1, 100, POLICY_SIBLINGS, false, 0, 0);
    struct buf older = put(SLICE_NONE, 2, 120, POLICY_NEWEST, false, 0, 0);
    struct buf latest = put(SLICE_NONE, 3, 150, POLICY_NEWEST, false, 0, 0);
    struct buf held = merge(&sibling, &latest);
    struct buf merged = merge(&held, &older);
    struct buf left = {0};
    cr_assert(object_admit(buf_slice(&held), buf_slice(&older), buf_slice(&merged), at(200),
                           at(200), &left));
    cr_assert(slice_equal(buf_slice(&left), buf_slice(&held)));
    buf_done(&sibling);
    buf_done(&older);
    buf_done(&latest);
    buf_done(&held);
    buf_done(&merged);
    buf_done(&left);
}

enum { REPLICAS = 3 };

/* TO takes in what FROM has, as replicas that stand at MS do. */
static void repair(struct buf *to, const struct buf *from, uint64_t ms)
{
    struct buf merged = merge(to, from);
    struct buf left = {0};
    if (object_admit(buf_slice(to), buf_slice(from), buf_slice(&merged), at(ms), at(ms), &left)) {
        buf_done(&merged);
        merged = left;
    }
    buf_done(to);
    *to = merged;
}

/* Each replica collects before or after the later versions come to it, which come in any order, to
 * some by repair only: in the end all have the same, and what was hidden is not among it. */
Test(data_collect, replicas_agree_on_what_was_collected_whatever_the_order)
{
    struct buf hidden = put(SLICE_NONE, 1, 100, POLICY_NEWEST, false, 0, 0);
    struct buf dead = put(SLICE_NONE, 2, 150, POLICY_NEWEST, true, 0, 0);
    struct buf proven = merge(&hidden, &dead);
    struct buf news[2] = {put(buf_slice(&dead), 3, 250, POLICY_NEWEST, false, 0, 0)};
    news[1] = put(buf_slice(&news[0]), 4, 300, POLICY_NEWEST, true, 0, 0);
    for (uint32_t order = 0; order < 4096; order++) {
        struct buf replicas[REPLICAS];
        for (uint32_t i = 0; i < REPLICAS; i++) {
            uint32_t draw = order >> 4 * i & 15;
            replicas[i] = merge(&proven, &(struct buf){0});
            for (uint32_t step = 0; step < 3; step++) {
                struct buf *replica = &replicas[i];
                struct buf left = {0};
                struct collection collection = {.horizon = at(200)};
                if (step == draw % 3) {
                    if (object_collect(buf_slice(replica), &collection, &left)) {
                        buf_done(replica);
                        *replica = left;
                    }
                } else if (draw >> (2 + step % 2) & 1) {
                    struct buf merged = merge(replica, &news[step % 2]);
                    buf_done(replica);
                    *replica = merged;
                }
            }
        }
        for (uint32_t round = 0; round < 3; round++) /* Equal ones are not compared. */
            for (uint32_t i = 0; i < REPLICAS; i++)
                for (uint32_t k = 0; k < REPLICAS; k++)
                    if (!slice_equal(buf_slice(&replicas[i]), buf_slice(&replicas[k])) &&
                        replicas[k].size > 0)
                        repair(&replicas[i], &replicas[k], 200);
        for (uint32_t i = 0; i < REPLICAS; i++) {
            cr_assert(slice_equal(buf_slice(&replicas[i]), buf_slice(&replicas[0])));
            cr_assert_eq(object_check(buf_slice(&replicas[i])), 0);
        }
        struct arena arena = {0};
        struct object object;
        cr_assert_eq(object_decode(buf_slice(&replicas[0]), &arena, &object), 0);
        bool news_came = object.count > 0;
        bool all_late = object.count == 2; /* Each had the news before it collected. */
        cr_assert(!news_came || all_late || object.siblings[0].hlc > at(200));
        arena_done(&arena);
        for (uint32_t i = 0; i < REPLICAS; i++)
            buf_done(&replicas[i]);
    }
    buf_done(&hidden);
    buf_done(&dead);
    buf_done(&proven);
    buf_done(&news[0]);
    buf_done(&news[1]);
}

Test(data_collect, has_all_up_to_a_horizon)
{
    struct buf first = put(SLICE_NONE, 1, 100, POLICY_NEWEST, false, 0, 0);
    struct buf follows = put(buf_slice(&first), 2, 200, POLICY_NEWEST, false, 0, 0);
    struct slice one = buf_slice(&first);
    struct slice other = buf_slice(&follows);
    cr_assert(object_has_all(other, one, UINT64_MAX), "what it covers it has");
    cr_assert_not(object_has_all(one, other, UINT64_MAX));
    cr_assert(object_has_all(one, other, at(199)), "what is later is not asked for");
    cr_assert_not(object_has_all(SLICE_NONE, one, at(100)));
    cr_assert(object_has_all(SLICE_NONE, SLICE_NONE, UINT64_MAX));
    buf_done(&first);
    buf_done(&follows);
}
