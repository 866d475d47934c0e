#include <criterion/criterion.h>

#include "core/core.h"
#include "core/route.h"

/* Each shard has an equal part of the ring, by the top bits of a range. */
Test(core_route, by_range)
{
    struct message write = {.type = MESSAGE_WRITE};
    for (uint32_t range = 0; range < 16; range++) {
        write.write.range.range = range;
        cr_assert_eq(route_message(&write, 4, 4), 1u << range / 4, "range %u", range);
        cr_assert_eq(route_message(&write, 4, 1), 1u);
    }
}

/* What names a range that there is not is refused by shard 0, as by a node of one shard. */
Test(core_route, no_such_range)
{
    static const uint32_t ranges[] = {16, 4096, 65535, UINT32_MAX};
    for (uint32_t i = 0; i < ARRAY_SIZE(ranges); i++) {
        struct message scan = {.type = MESSAGE_SCAN};
        scan.scan.range.range = ranges[i];
        cr_assert_eq(route_message(&scan, 4, 16), 1u, "range %u", ranges[i]);
        struct tree_node node = {.prefix = ranges[i]};
        struct message roots = {.type = MESSAGE_ROOTS};
        roots.roots.kind = ROOTS_ASK;
        roots.roots.nodes = &node;
        roots.roots.nodes_count = 1;
        cr_assert_eq(route_message(&roots, 4, 16), 1u, "range %u", ranges[i]);
    }
}

/* Answers go to the shard that asked, whose number is in their id. */
Test(core_route, by_id)
{
    struct message answer = {.type = MESSAGE_ANSWER};
    for (uint32_t shard = 0; shard < 8; shard++) {
        answer.answer.id = 0x1230 + shard;
        cr_assert_eq(route_message(&answer, 4, 8), 1u << shard, "shard %u", shard);
    }
}

/* All without a range is shard 0's, and everything before the node is a member. */
Test(core_route, the_rest)
{
    const struct message ping = {.type = MESSAGE_PING};
    cr_assert_eq(route_message(&ping, 4, 8), 1u);
    struct message read = {.type = MESSAGE_READ};
    read.write.range.range = 3;
    cr_assert_eq(route_message(&read, 0, 8), 1u);
}
