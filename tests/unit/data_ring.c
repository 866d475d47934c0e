/* The ring: whatever order records come in, the outcome is the same. */
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

Test(ring, merge_in_any_order)
{
    enum { RECORDS = 400 };
    struct range_record records[RECORDS];
    struct prng prng;
    prng_init(&prng, 7);
    for (uint32_t i = 0; i < RECORDS; i++) {
        records[i] = record_in(STAGE_STABLE);
        records[i].range = (uint32_t)prng_below(&prng, 64);
        records[i].fork = (uint32_t)prng_below(&prng, 3);
        records[i].nonce = records[i].fork ? 1 + prng_below(&prng, 2) : 0;
        records[i].epoch = 1 + prng_below(&prng, 5);
    }
    struct ring first;
    ring_init(&first, 6);
    for (uint32_t i = 0; i < RECORDS; i++)
        ring_merge(&first, &records[i]);
    for (uint32_t round = 0; round < 20; round++) {
        for (uint32_t i = RECORDS - 1; i > 0; i--) {
            uint32_t j = (uint32_t)prng_below(&prng, i + 1);
            struct range_record swap = records[i];
            records[i] = records[j];
            records[j] = swap;
        }
        struct ring ring;
        ring_init(&ring, 6);
        for (uint32_t i = 0; i < RECORDS; i++) {
            bool news = record_compare(&records[i], ring_get(&ring, records[i].range)) > 0;
            cr_assert_eq(ring_merge(&ring, &records[i]), news);
            cr_assert_not(ring_merge(&ring, &records[i]), "twice is no news");
        }
        for (uint32_t range = 0; range < 64; range++)
            cr_assert(record_equal(ring_get(&first, range), ring_get(&ring, range)));
        cr_assert_arr_eq(first.hashes, ring.hashes, sizeof(ring.hashes));
        ring_done(&ring);
    }
    ring_done(&first);
}

Test(ring, readers_and_counts)
{
    struct ring ring;
    ring_init(&ring, 6);
    struct node_id readers[SLOTS_MAX];
    cr_assert_eq(ring_readers(&ring, 5, readers, SLOTS_MAX), 0, "nothing is known yet");
    struct range_record record = record_in(STAGE_CUT);
    cr_assert(ring_merge(&ring, &record));
    cr_assert_eq(ring_readers(&ring, 5, readers, SLOTS_MAX), 3);
    cr_assert(id_equal(readers[0], node(1)) && id_equal(readers[2], node(4)));
    cr_assert_eq(ring_readers(&ring, 5, readers, 2), 2);
    cr_assert_eq(ring_slots_of(&ring, node(4)), 1);
    cr_assert_eq(ring_slots_of(&ring, node(3)), 0, "it gives its slot away");
    cr_assert_eq(ring_slots_of(&ring, node(1)), 1);
    ring_done(&ring);
}
