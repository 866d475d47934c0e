/* Which holes are filled in at a time, and whom that takes: the others are asked, and nobody
 * answers. */
#include <criterion/criterion.h>

#include "core/coord.h"
#include "core/core.h"

enum { RANGE_BITS = 2, SLOTS = 3, ASKED = 2, AT_ONCE = 8, WIDTH = 1000 };

static struct core core;
static struct coord coord;
static struct effects effects;

static struct node_id node_of(uint64_t n)
{
    return (struct node_id){n + 1, n + 1};
}

static bool all_up(const struct core *of, struct node_id id)
{
    (void)of, (void)id;
    return true;
}

static void begin(void)
{
    struct cluster cluster = {
        .id = {77, 77}, .name = slice_string("test"), .range_bits = RANGE_BITS, .copies = SLOTS};
    core = (struct core){.self = node_of(0), .generation = 1, .timing = timing_default};
    core_init(&core);
    core_join(&core, &cluster);
    prng_init(&core.prng, 1);
    core.peer_is_up = all_up;
    core.out = &effects;
    for (uint32_t range = 0; range < 1u << RANGE_BITS; range++) {
        struct range_record record = {.range = range, .epoch = 1, .slots_count = SLOTS};
        for (uint8_t i = 0; i < SLOTS; i++)
            record.slots[i] = (struct slot){i, STAGE_STABLE, node_of(i), NODE_NONE};
        ring_merge(&core.ring, &record);
    }
    coord_init(&coord, 100, &core);
}

static void end(void)
{
    coord_done(&coord, &core);
    core_done(&core);
    effects_done(&effects);
}

/* The store tells of hole INDEX of RANGE. How many are asked for what is there? */
static uint32_t asked(uint32_t range, uint32_t index)
{
    uint32_t count = 0;
    uint64_t from = range_first(range, RANGE_BITS) + (uint64_t)index * 2 * WIDTH;
    effects_reset(&effects);
    coord_hole(&coord, &core, from, from + WIDTH - 1, index + 1);
    for (uint32_t i = 0; i < effects.count; i++)
        count += effects.items[i].type == EFFECT_SEND &&
                 effects.items[i].send.message->type == MESSAGE_SCAN;
    return count;
}

Test(core_hole, one_that_nobody_answers_for_does_not_keep_others_of_its_range_out)
{
    begin();
    cr_assert_eq(asked(1, 0), ASKED);
    cr_assert_eq(asked(1, 1), ASKED);
    cr_assert_eq(asked(2, 0), ASKED);
    end();
}

Test(core_hole, one_that_is_told_of_again_is_filled_in_once)
{
    for (int i = 0; i < 20; i++) { /* Some are begun behind their beginning. */
        begin();
        prng_init(&core.prng, (uint64_t)i);
        cr_assert_eq(asked(1, 0), ASKED);
        cr_assert_eq(asked(1, 0), 0);
        end();
    }
}

Test(core_hole, few_are_filled_in_at_a_time)
{
    begin();
    for (uint32_t i = 0; i < AT_ONCE; i++)
        cr_assert_eq(asked(i % 2, i), ASKED);
    cr_assert_eq(asked(0, AT_ONCE), 0);
    cr_assert_eq(asked(3, AT_ONCE), 0);
    end();
}
