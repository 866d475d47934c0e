/* Gossip among nodes under a virtual clock: what one knows, all know soon. Every run is determined
 * by its seed, which a failure names. */
#include "core_cluster.h"

#include "base/error.h"

/* The seconds that the change took, which are rounds, at the worst of several seeds. */
static double worst_rounds(uint32_t nodes, double loss, uint32_t seeds)
{
    uint64_t worst = 0;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        world_begin(nodes, seed, 6);
        world->loss = loss;
        world_start_all();
        world_run(20 * SECOND);
        change_setting((uint32_t)prng_below(&world->prng, nodes), "config/x", slice_string("1"));
        uint64_t us = world_run_until(all_have_setting, 60 * SECOND);
        cr_assert_neq(us, UINT64_MAX, "seed %lu: not all know it after a minute", seed);
        worst = MAX(worst, us);
        world_end();
    }
    return (double)worst / SECOND;
}

/* The goals of docs/protocol.md, "Gossip" for 99 of 100 runs. */
Test(gossip, converges_in_few_rounds)
{
    double ten = worst_rounds(10, 0, 50), ten_lossy = worst_rounds(10, 0.1, 50);
    cr_log_info("10 nodes: %.1f, with loss %.1f", ten, ten_lossy);
    cr_assert_leq(ten, 5.0, "%f rounds", ten);
    cr_assert_leq(ten_lossy, 7.0, "%f rounds", ten_lossy);
    double hundred = worst_rounds(100, 0, 4), hundred_lossy = worst_rounds(100, 0.1, 4);
    cr_log_info("100 nodes: %.1f, with loss %.1f", hundred, hundred_lossy);
    cr_assert_leq(hundred, 8.0, "%f rounds", hundred);
    cr_assert_leq(hundred_lossy, 10.0, "%f rounds", hundred_lossy);
}

/* Nodes that know one other each, and of a ring that one of them has. */
static void bootstrap(uint32_t nodes, double loss, uint64_t seed, uint64_t limit)
{
    world_begin(nodes, seed, 8);
    world->loss = loss;
    for (uint32_t i = 0; i < nodes; i++)
        node_start(i, 1, NULL, 0);
    for (uint32_t range = 0; range < 256; range++)
        choose_record(0, range, 1 + range % 3);
    for (uint32_t i = 1; i < nodes; i++) {
        uint32_t other = (uint32_t)prng_below(&world->prng, i);
        introduce(i, other);
        introduce(other, i);
    }
    uint64_t us = world_run_until(all_equal, limit);
    cr_assert_neq(us, UINT64_MAX, "seed %lu, %u nodes", seed, nodes);
    for (uint32_t i = 0; i < nodes; i++) {
        cr_assert_eq(world->nodes[i].core.members.count, nodes);
        for (uint32_t range = 0; range < 256; range++)
            cr_assert_eq(ring_get(&world->nodes[i].core.ring, range)->epoch, 1 + range % 3);
    }
    cr_log_info("%u nodes knew all after %.1f s", nodes, (double)us / SECOND);
    world_end();
}

Test(gossip, strangers_find_each_other)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        bootstrap(10, 0, seed, 15 * SECOND);
        bootstrap(10, 0.1, seed, 20 * SECOND);
    }
    bootstrap(100, 0, 1, 20 * SECOND);
    bootstrap(100, 0.1, 2, 25 * SECOND);
}

static void assert_idle_bytes(uint32_t nodes)
{
    world_begin(nodes, 3, 10);
    for (uint32_t i = 0; i < nodes; i++) {
        node_start(i, 1, NULL, 0);
        for (uint32_t range = 0; range < 1024; range++) {
            struct range_record record = record_of(range, 1, range % nodes);
            ring_merge(&world->nodes[i].core.ring, &record);
        }
    }
    for (uint32_t i = 0; i < nodes; i++)
        for (uint32_t j = 0; j < nodes; j++)
            if (i != j)
                introduce(i, j);
    for (uint32_t i = 0; i < nodes; i++)
        gossip_set_load(&world->nodes[i].gossip, &world->nodes[i].core,
                        &(struct load){.ops_per_s = 8000,
                                       .live_bytes = 1ull << 36,
                                       .file_bytes = 1ull << 37,
                                       .free_bytes = 1ull << 38,
                                       .hlc_floor = hlc_at(1700000000000)});
    world_run(30 * SECOND);
    cr_assert(all_equal());
    uint64_t before = 0, after = 0;
    for (uint32_t i = 0; i < nodes; i++)
        before += world->nodes[i].bytes_sent;
    world_run(60 * SECOND);
    for (uint32_t i = 0; i < nodes; i++)
        after += world->nodes[i].bytes_sent;
    double rate = (double)(after - before) / 60 / nodes;
    cr_log_info("%u idle nodes send %.0f bytes/s each", nodes, rate);
    cr_assert_leq(rate, 2200, "%f bytes/s", rate);
    cr_assert_geq(rate, 500, "somebody must still compare");
    for (uint32_t i = 0; i < nodes; i++)
        cr_assert_eq(world->nodes[i].gossip.loads.count, nodes, "loads travel too");
    world_end();
}

Test(gossip, an_idle_cluster_costs_little_at_any_size)
{
    assert_idle_bytes(3);
    assert_idle_bytes(10);
    assert_idle_bytes(100);
}

static bool nobody_knows_3(void)
{
    for (uint32_t i = 0; i < world->count; i++)
        if (i != 3 && !member_departed(&world->nodes[i].core.members, node_of(3)))
            return false;
    return true;
}

Test(gossip, every_kind_of_news_spreads_and_is_signalled)
{
    world_begin(8, 11, 6);
    world_start_all();
    world_run(20 * SECOND);
    cr_assert(all_equal());
    for (uint32_t i = 0; i < 8; i++)
        memset(world->nodes[i].signals, 0, sizeof(world->nodes[i].signals));
    publish(1, MEMBER_LEAVING);
    cr_assert_neq(world_run_until(all_equal, 10 * SECOND), UINT64_MAX);
    change_setting(2, "bucket/b", slice_string("value"));
    world_run(SECOND / 100);
    cr_assert_eq(world->nodes[2].replies, 1);
    cr_assert_eq(world->nodes[2].reply_error, 0);
    cr_assert_neq(world_run_until(all_equal, 10 * SECOND), UINT64_MAX);
    choose_record(4, 17, 1);
    cr_assert_neq(world_run_until(all_equal, 10 * SECOND), UINT64_MAX);
    for (uint32_t i = 0; i < 8; i++) {
        const struct cluster_node *node = &world->nodes[i];
        cr_assert_eq(member_find(&node->core.members, node_of(1))->status, MEMBER_LEAVING);
        cr_assert(slice_equal(setting_value(&node->core.settings, slice_string("bucket/b")),
                              slice_string("value")));
        cr_assert_eq(ring_get(&node->core.ring, 17)->epoch, 1);
        cr_assert_eq(node->signals[SIGNAL_MEMBERS], 1, "node %u", i);
        cr_assert_eq(node->signals[SIGNAL_SETTINGS], 1, "node %u", i);
        cr_assert_eq(node->signals[SIGNAL_RECORD], i == 4 ? 0 : 1, "node %u", i);
    }
    declare_departed(5, 3, DEPARTURE_REMOVED);
    cr_assert_neq(world_run_until(nobody_knows_3, 10 * SECOND), UINT64_MAX);
    world_end();
}

Test(gossip, a_removed_node_stops_and_its_records_stay_away)
{
    world_begin(6, 5, 6);
    world_start_all();
    world_run(10 * SECOND);
    declare_departed(0, 3, DEPARTURE_REMOVED);
    world_run(20 * SECOND);
    cr_assert(nobody_knows_3());
    struct cluster_node *removed = &world->nodes[3];
    cr_assert(removed->halted, "it hears of it from the others");
    cr_assert_eq(removed->halt_error, ERR_NOT_MEMBER);
    cr_assert_not_null(strstr(removed->halt_text, "was removed"), "%s", removed->halt_text);

    /* It comes back with a disk that does not know. */
    node_stop(3);
    node_start(3, 9, NULL, 0);
    for (uint32_t i = 0; i < 6; i++)
        if (i != 3)
            introduce(3, i);
    world_run(20 * SECOND);
    cr_assert(removed->halted);
    for (uint32_t i = 0; i < 6; i++)
        cr_assert(i == 3 || !member_find(&world->nodes[i].core.members, node_of(3)), "%u", i);
    world_end();
}

Test(gossip, a_restart_with_a_higher_generation_replaces_the_old_record)
{
    world_begin(5, 6, 6);
    world_start_all();
    world_run(10 * SECOND);
    for (uint32_t i = 0; i < 5; i++)
        publish(2, MEMBER_UP);
    world_run(10 * SECOND);
    cr_assert_gt(member_find(&world->nodes[0].core.members, node_of(2))->version, 5);
    node_stop(2);
    world_run(2 * SECOND);
    node_start(2, 2, NULL, 0);
    cr_assert_eq(world->nodes[2].core.members.count, 5, "it remembers all it ever knew");
    world_run(20 * SECOND);
    for (uint32_t i = 0; i < 5; i++) {
        const struct member *member = member_find(&world->nodes[i].core.members, node_of(2));
        cr_assert_eq(member->generation, 2);
        cr_assert_eq(member->version, 1);
    }
    cr_assert_not(world->nodes[2].halted);
    world_end();
}

Test(gossip, an_id_that_lives_twice_stops)
{
    world_begin(3, 7, 6);
    world_start_all();
    world_run(5 * SECOND);
    struct cluster_node *node = &world->nodes[1];
    struct member twin = *member_find(&node->core.members, node_of(1));
    twin.generation++;
    twin.peer = slice_string("10.0.0.99:7400");
    begin_step(node);
    gossip_learn(&node->gossip, &node->core, &(struct delta){.members = &twin, .members_count = 1});
    end_step(node);
    cr_assert(node->halted);
    cr_assert_eq(node->halt_error, ERR_REFUSED);
    cr_assert_not_null(strstr(node->halt_text, "10.0.0.99:7400"), "%s", node->halt_text);
    cr_assert_eq(member_find(&node->core.members, node_of(1))->generation, 1);
    world_end();
}

static bool halves(uint32_t from, uint32_t to)
{
    return (from < 5) != (to < 5);
}

Test(gossip, partitions_heal)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        world_begin(10, seed, 6);
        world_start_all();
        world_run(10 * SECOND);
        world->cut = halves;
        change_setting(0, "config/x", slice_string("left"));
        change_setting(9, "config/x", slice_string("right"));
        change_setting(9, "config/y", slice_string("right"));
        publish(2, MEMBER_LEAVING);
        declare_departed(7, 8, DEPARTURE_LEFT);
        world_run(30 * SECOND);
        cr_assert_not(all_equal());
        cr_assert(member_find(&world->nodes[1].core.members, node_of(8)));
        /* Verdicts lag: at first each half still thinks the other down. */
        world->cut = NULL;
        cr_assert_neq(world_run_until(all_equal, 15 * SECOND), UINT64_MAX, "seed %lu", seed);
        struct slice x = setting_value(&world->nodes[3].core.settings, slice_string("config/x"));
        cr_assert(slice_equal(
            x, slice_string(id_compare(node_of(0), node_of(9)) > 0 ? "left" : "right")));
        cr_assert(member_departed(&world->nodes[1].core.members, node_of(8)));
        world_end();
    }
}

Test(gossip, sides_that_removed_each_other_are_two_clusters_and_say_so)
{
    world_begin(10, 3, 6);
    world_start_all();
    world_run(10 * SECOND);
    struct slice seed = slice_string("10.0.0.0:7400");
    node_stop(7);
    node_start(7, 2, &seed, 1);
    world->cut = halves;
    for (uint32_t i = 0; i < 5; i++) {
        declare_departed(0, 5 + i, DEPARTURE_REMOVED);
        declare_departed(7, i, DEPARTURE_REMOVED);
    }
    world_run(30 * SECOND);
    world->cut = NULL;
    world_run(60 * SECOND);
    struct node_id other;
    for (uint32_t i = 0; i < 10; i++) {
        const struct cluster_node *node = &world->nodes[i];
        cr_assert_not(node->halted, "%u: %s", i, node->halt_text);
        cr_assert_eq(node->core.members.count, 5);
        cr_assert_eq(rift_shows(&node->gossip.rift, node->core.now.us, &other), i == 0 || i == 7,
                     "%u", i);
        if (i == 0 || i == 7)
            cr_assert(id_equal(other, node_of(7 - i)));
    }
    for (uint32_t i = 5; i < 10; i++)
        node_stop(i);
    world_run(70 * SECOND);
    cr_assert_not(rift_shows(&world->nodes[0].gossip.rift, world->nodes[0].core.now.us, &other));
    world_end();
}

static bool never_up(const struct core *core, struct node_id id)
{
    return id_equal(id, core->self);
}

Test(gossip, nodes_that_all_seem_down_are_still_tried)
{
    world_begin(4, 8, 6);
    world_start_all();
    world_run(5 * SECOND);
    for (uint32_t i = 0; i < 4; i++)
        world->nodes[i].core.peer_is_up = never_up;
    change_setting(0, "config/x", slice_string("1"));
    cr_assert_neq(world_run_until(all_have_setting, 30 * SECOND), UINT64_MAX);
    world_end();
}

Test(gossip, seeds_join_halves_that_do_not_know_each_other)
{
    world_begin(6, 9, 6);
    struct slice seed = slice_string("10.0.0.0:7400");
    for (uint32_t i = 0; i < 6; i++)
        node_start(i, 1, &seed, 1);
    for (uint32_t i = 1; i < 6; i++)
        introduce(i, i < 3 ? 0 : 3 + (i - 2) % 3);
    cr_assert_neq(world_run_until(all_equal, 60 * SECOND), UINT64_MAX);
    cr_assert_eq(world->nodes[5].core.members.count, 6);
    world_end();
}

/* The seconds that a new node takes to know a whole ring. */
static double joining_rounds(uint8_t range_bits)
{
    world_begin(3, 10, range_bits);
    for (uint32_t i = 0; i < 2; i++) {
        node_start(i, 1, NULL, 0);
        for (uint32_t range = 0; range < 1u << range_bits; range++) {
            struct range_record record = record_of(range, 1, i);
            record.slots[0].owner = node_of(range % 2);
            ring_merge(&world->nodes[i].core.ring, &record);
        }
    }
    introduce(0, 1);
    introduce(1, 0);
    world_run(10 * SECOND);
    cr_assert(all_equal());
    node_start(2, 1, NULL, 0);
    introduce(2, 0);
    introduce(0, 2);
    uint64_t us = world_run_until(all_equal, 60 * SECOND);
    world_end();
    return (double)us / SECOND;
}

Test(gossip, a_joining_node_gets_the_whole_ring_in_a_few_rounds)
{
    double usual = joining_rounds(10), large = joining_rounds(13);
    cr_assert_leq(usual, 2.0, "%f", usual);
    cr_assert_leq(large, 5.0, "%f", large);
}

Test(gossip, tables_too_large_for_a_page_converge)
{
    world_begin(2, 16, 6);
    world_start_all();
    char name[SETTING_NAME_SIZE_MAX + 1];
    for (uint32_t n = 0; n < 2; n++) {
        struct cluster_node *node = &world->nodes[n];
        for (uint32_t i = 0; i < 3000; i++) {
            snprintf(name, sizeof(name), "config/%0120u", i); /* More than one answer lists. */
            struct setting setting = {.name = slice_string(name),
                                      .counter = i % 100 == 17 * n ? 2 : 1,
                                      .writer = node_of(0),
                                      .value = slice_string("v")};
            if (i % 100 != 50 + n)
                setting_merge(&node->core.settings, &setting);
        }
    }
    cr_assert_neq(world_run_until(all_equal, 120 * SECOND), UINT64_MAX);
    cr_assert_eq(world->nodes[0].core.settings.count, 3000);
    world_end();
}

static void deliver(struct cluster_node *node, struct node_id from, const struct message *message)
{
    begin_step(node);
    gossip_message(&node->gossip, &node->core, from, message);
    end_step(node);
}

Test(gossip, strange_messages_do_no_harm)
{
    world_begin(2, 17, 6);
    world_start_all();
    world_run(5 * SECOND);
    struct cluster_node *node = &world->nodes[0];
    struct member stranger = {.id = node_of(50), .generation = 1, .version = 1};
    struct message late = {.type = MESSAGE_ACK2};
    late.ack2.nonce = 12345;
    late.ack2.delta = (struct delta){.members = &stranger, .members_count = 1};
    uint64_t stale = node->gossip.counters.stale;
    deliver(node, node_of(1), &late);
    struct message bulk = {.type = MESSAGE_BULK};
    bulk.bulk.nonce = 12345;
    bulk.bulk.delta = late.ack2.delta;
    deliver(node, node_of(1), &bulk);
    struct message ack = {.type = MESSAGE_ACK};
    ack.ack.nonce = 12345;
    deliver(node, node_of(1), &ack);
    cr_assert_eq(node->gossip.counters.stale, stale + 3);
    cr_assert_null(member_find(&node->core.members, stranger.id), "no round of ours");

    /* Records of ranges beyond the ring, loads of nobody, digests of all kinds. */
    struct range_record record = record_of(4000, 1, 0);
    bulk.bulk.nonce = 0;
    bulk.bulk.delta = (struct delta){.records = &record, .records_count = 1};
    deliver(node, node_of(1), &bulk);
    struct digest digests[1000];
    for (uint32_t i = 0; i < 1000; i++)
        digests[i] = (struct digest){.kind = (enum digest_kind)(1 + i % 4),
                                     .id = node_of(i),
                                     .name = slice_string("x"),
                                     .range = i * 7919,
                                     .major = i,
                                     .minor = i};
    struct load load = {.id = node_of(50), .generation = 1};
    struct message syn = {.type = MESSAGE_SYN};
    syn.syn.nonce = 99;
    syn.syn.tables[3] = 5;
    syn.syn.loads = &load;
    syn.syn.loads_count = 1;
    deliver(node, node_of(1), &syn);
    cr_assert_eq(node->gossip.loads.count, 0);
    struct message ack2 = {.type = MESSAGE_ACK2};
    ack2.ack2.nonce = 99;
    ack2.ack2.wants = digests;
    ack2.ack2.wants_count = 1000;
    deliver(node, node_of(1), &ack2);
    for (uint32_t i = 0; i < ROUNDS_MAX; i++) {
        ack.ack.nonce = node->gossip.rounds[i].nonce;
        ack.ack.tables = UINT16_MAX;
        ack.ack.ranges = UINT64_MAX;
        ack.ack.complete = true;
        ack.ack.digests = digests;
        ack.ack.digests_count = 1000;
        deliver(node, node_of(1), &ack);
    }
    world_run(10 * SECOND);
    cr_assert(all_equal());
    cr_assert_eq(node->core.members.count, 2);
    world_end();
}
