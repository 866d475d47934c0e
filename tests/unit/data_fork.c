/* Forks: who stays in a range whose majority is lost, in every stage of its slots. */
#include "base/prng.h"
#include "data/fork.h"
#include <criterion/criterion.h>

static struct node_id node(uint64_t n)
{
    return (struct node_id){n, n * 7};
}

static struct slot slot(uint8_t number, enum stage stage, uint64_t owner, uint64_t target)
{
    return (struct slot){number, stage, owner == 0 ? NODE_NONE : node(owner),
                         target == 0 ? NODE_NONE : node(target)};
}

/* Of slots 0, 1 and THIRD. */
static struct range_record record_with(struct slot third)
{
    struct range_record record = {.range = 5, .epoch = 10, .slots_count = 3};
    record.slots[0] = slot(0, STAGE_STABLE, 1, 0);
    record.slots[1] = slot(1, STAGE_STABLE, 2, 0);
    record.slots[2] = third;
    record.transfer = id_none(third.target) ? 0 : 77;
    return record;
}

/* Nodes 1 to COUNT have departed. */
static void depart(struct member_table *table, uint32_t count)
{
    *table = (struct member_table){0};
    for (uint32_t i = 1; i <= count; i++) {
        struct departure departure = {node(i), DEPARTURE_REMOVED, node(9), i};
        cr_assert(departure_merge(table, &departure));
    }
}

Test(fork, is_needed_only_without_a_majority)
{
    struct member_table table;
    struct range_record record = record_with(slot(2, STAGE_STABLE, 3, 0));
    depart(&table, 1);
    cr_assert_not(fork_needed(&record, &(struct lost_nodes){&table, NODE_NONE}));
    cr_assert(fork_needed(&record, &(struct lost_nodes){&table, node(2)}));
    cr_assert_eq(fork_survivors(&record, &(struct lost_nodes){&table, node(2)}), 1u);
    cr_assert_not(fork_needed(&record, &(struct lost_nodes){&table, node(8)}), "is no member");
    record.slots[2].stage = STAGE_FENCE;
    cr_assert(fork_needed(&record, &(struct lost_nodes){&table, NODE_NONE}),
              "a fenced slot has no vote");
    record = (struct range_record){.range = 5};
    cr_assert_not(fork_needed(&record, &(struct lost_nodes){&table, node(2)}), "unknown");
    member_table_done(&table);
}

/* What becomes of a third slot that alone survives, and of the other node in it. */
Test(fork, keeps_what_survives)
{
    static const struct {
        enum stage stage;
        uint64_t owner, target, lost, stays, former;
    } cases[] = {
        {STAGE_STABLE, 3, 0, 0, 3, 0}, {STAGE_JOINT, 3, 4, 0, 3, 4}, {STAGE_JOINT, 3, 4, 3, 4, 0},
        {STAGE_JOINT, 3, 4, 4, 3, 0},  {STAGE_CUT, 3, 4, 0, 4, 3},   {STAGE_CUT, 3, 4, 4, 3, 0},
        {STAGE_CUT, 3, 4, 3, 4, 0},    {STAGE_BACK, 3, 4, 0, 3, 4},  {STAGE_BACK, 3, 4, 3, 4, 0},
        {STAGE_LEARN, 0, 4, 0, 4, 0},  {STAGE_FENCE, 3, 0, 0, 3, 0}, {STAGE_REBUILD, 3, 4, 3, 4, 0},
        {STAGE_STABLE, 3, 0, 3, 8, 0}, {STAGE_LEARN, 0, 4, 4, 8, 0},
    };
    struct member_table table;
    depart(&table, 2);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct range_record record =
            record_with(slot(2, cases[i].stage, cases[i].owner, cases[i].target));
        cr_assert(record_check(&record, 64));
        struct lost_nodes lost = {&table, cases[i].lost == 0 ? NODE_NONE : node(cases[i].lost)};
        struct range_record fork;
        cr_assert(fork_needed(&record, &lost), "%zu", i);
        fork_make(&record, &lost, 5, node(8), &fork);
        cr_assert(record_check(&fork, 64), "%zu", i);
        cr_assert(record_compare(&fork, &record) > 0, "%zu", i);
        cr_assert_eq(fork.slots_count, 1, "%zu", i);
        cr_assert(id_equal(fork.slots[0].owner, node(cases[i].stays)), "%zu", i);
        cr_assert_eq(fork.slots[0].stage, STAGE_STABLE);
        cr_assert_eq(fork.former_count, cases[i].former != 0, "%zu", i);
        if (cases[i].former != 0)
            cr_assert(record_has_former(&fork, node(cases[i].former)), "%zu", i);
    }
    member_table_done(&table);
}

/* Any record that is well formed, any nodes lost: the fork is well formed, later, and without them.
 */
Test(fork, is_well_formed)
{
    struct prng prng;
    prng_init(&prng, 11);
    for (uint32_t round = 0; round < 20000; round++) {
        struct range_record record = {.range = 5, .epoch = 1 + prng_below(&prng, 9)};
        uint64_t next = 1;
        for (uint8_t i = 0; i < SLOTS_MAX; i++) {
            enum stage stage = (enum stage)prng_below(&prng, STAGE_COUNT);
            bool moves = stage != STAGE_STABLE && stage != STAGE_FENCE;
            if (prng_below(&prng, 2) == 0 || (moves && record.transfer != 0))
                continue;
            record.transfer = moves ? 77 : record.transfer;
            uint64_t owner = stage == STAGE_LEARN ? 0 : next++;
            uint64_t target = moves ? next++ : 0;
            record.slots[record.slots_count++] = slot(i, stage, owner, target);
        }
        uint32_t former = (uint32_t)prng_below(&prng, FORMER_MAX + 1);
        for (uint32_t i = 0; i < former; i++)
            record.former[record.former_count++] = node(20 + i);
        if (!record_check(&record, 64))
            continue;
        struct member_table table = {0};
        for (uint64_t n = 1; n < 20 + FORMER_MAX; n++) {
            struct departure departure = {node(n), DEPARTURE_REMOVED, node(9), n};
            if (prng_below(&prng, 2) == 0)
                cr_assert(departure_merge(&table, &departure));
        }
        struct lost_nodes lost = {&table, NODE_NONE};
        struct range_record fork;
        fork_make(&record, &lost, 5, node(40), &fork);
        cr_assert(record_check(&fork, 64));
        cr_assert(record_compare(&fork, &record) > 0);
        cr_assert_eq(fork.slots_count, MAX(fork_survivors(&record, &lost), 1u));
        for (uint32_t i = 0; i < fork.slots_count; i++)
            cr_assert_not(lost_nodes_have(&lost, fork.slots[i].owner));
        for (uint32_t i = 0; i < fork.former_count; i++)
            cr_assert_not(lost_nodes_have(&lost, fork.former[i]));
        member_table_done(&table);
    }
}
