/* Gossip through the real codec: packets keep their bound, and everything still arrives. */
#include "core_cluster.h"

#include "wire/frame.h"
#include "wire/peer.h"

static const struct message *through_codec(const struct message *message, struct arena *arena,
                                           uint64_t *ret_size)
{
    struct buf bytes = {0};
    cr_assert_eq(message_encode(message, &bytes), 0);
    struct slice copy = arena_copy(arena, buf_slice(&bytes));
    buf_done(&bytes);
    struct message *decoded = arena_zero(arena, sizeof(*decoded));
    struct slice payload = slice_of(copy.data + FRAME_HEADER_SIZE, copy.size - FRAME_HEADER_SIZE);
    cr_assert_eq(message_decode(payload, arena, 1u << world->range_bits, decoded), 0);
    *ret_size = copy.size;
    return decoded;
}

static struct range_record full_record_of(uint32_t range, uint32_t owner)
{
    struct range_record record = {.range = range, .epoch = 1 + range % 300, .slots_count = 3};
    for (uint32_t i = 0; i < 3; i++)
        record.slots[i] = (struct slot){(uint8_t)i, STAGE_STABLE, node_of(owner + i), NODE_NONE};
    return record;
}

/* A cluster forms, learns a ring, settings and departures, and idles. */
Test(gossip, packets_keep_their_bound)
{
    world_begin(10, 21, 10);
    world->wire = through_codec;
    world->detect = true;
    for (uint32_t i = 0; i < 10; i++)
        node_start(i, 1, NULL, 0);
    for (uint32_t range = 0; range < 1024; range++) {
        struct range_record record = full_record_of(range, range % 7);
        ring_merge(&world->nodes[0].core.ring, &record);
    }
    for (uint32_t i = 1; i < 10; i++) {
        introduce(i, i / 2);
        introduce(i / 2, i);
    }
    for (uint32_t i = 0; i < 10; i++) {
        struct cluster_node *node = &world->nodes[i];
        struct load load = {.live_bytes = UINT64_MAX,
                            .file_bytes = UINT64_MAX,
                            .free_bytes = UINT64_MAX,
                            .hint_bytes = UINT64_MAX,
                            .hlc_floor = UINT64_MAX};
        char name[SETTING_NAME_SIZE_MAX + 1];
        snprintf(name, sizeof(name), "bucket/%0*u", (int)(10 + 10 * i), i);
        struct command command = {.name = slice_string(name), .value = slice_of(name, 10 * i + 10)};
        gossip_set_load(&node->gossip, &node->core, &load);
        begin_step(node);
        gossip_set(&node->gossip, &node->core, 1, &command);
        end_step(node);
    }
    cr_assert_neq(world_run_until(all_equal, 30 * SECOND), UINT64_MAX);
    struct cluster_node *node = &world->nodes[4];
    begin_step(node);
    gossip_depart(&node->gossip, &node->core, 2, node_of(9), DEPARTURE_REMOVED);
    end_step(node);
    world_run(20 * SECOND);
    cr_assert(world->nodes[9].halted);
    cr_assert(all_equal());
    cr_assert_eq(node->core.settings.count, 10);
    cr_assert_eq(ring_get(&node->core.ring, 1023)->epoch, 1 + 1023 % 300);
    cr_assert_eq(node->gossip.loads.count, 9);

    world->detect = false; /* Pings are counted apart. */
    for (uint32_t i = 0; i < 9; i++)
        core_timer_clear(&world->nodes[i].core, &world->nodes[i].detector.tick);
    world_run(10 * SECOND);
    uint64_t before = 0, after = 0;
    for (uint32_t i = 0; i < 9; i++)
        before += world->nodes[i].bytes_sent;
    world_run(60 * SECOND);
    for (uint32_t i = 0; i < 9; i++)
        after += world->nodes[i].bytes_sent;
    double rate = (double)(after - before) / 60 / 9;
    cr_log_info("an idle node sends %.0f bytes/s", rate);
    cr_assert_leq(rate, 2200, "%f bytes/s", rate);
    world_end();
}
