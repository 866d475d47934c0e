/* Changes made at one node: when they are told, what the disk has of them, what a restart finds. */
#include "core_cluster.h"

#include "base/error.h"

Test(gossip, a_small_cluster_knows_a_change_at_once)
{
    world_begin(4, 18, 6);
    world_start_all();
    world_run(30 * SECOND);
    uint8_t *large = mem_zero(100000);
    change_setting(0, "config/x", slice_string("1"));
    change_setting(0, "plan", slice_of(large, 100000));
    publish(2, MEMBER_MAINTENANCE);
    world_run(SECOND / 10);
    cr_assert(all_equal());
    cr_assert(all_have_setting());
    cr_assert_eq(setting_value(&world->nodes[3].core.settings, slice_string("plan")).size, 100000);
    cr_assert_eq(member_find(&world->nodes[0].core.members, node_of(2))->status,
                 MEMBER_MAINTENANCE);
    mem_free(large);
    world_end();
}

Test(gossip, a_setting_is_told_only_once_it_is_on_the_disk)
{
    world_begin(2, 12, 6);
    world_start_all();
    world_run(5 * SECOND);
    struct cluster_node *node = &world->nodes[0];
    change_setting(0, "config/x", slice_string("1"));
    cr_assert_eq(node->replies, 0);
    cr_assert_eq(setting_value(&node->core.settings, slice_string("config/x")).size, 0);
    change_setting(0, "config/x", slice_string("2"));
    cr_assert_eq(node->reply_error, ERR_BUSY, "one change at a time");
    world_run(2000);
    cr_assert_eq(node->replies, 2);
    cr_assert_eq(node->reply_error, 0);
    cr_assert(slice_equal(setting_value(&node->core.settings, slice_string("config/x")),
                          slice_string("1")));

    /* A conditional change fails when another came first. */
    struct command command = {.type = COMMAND_SET,
                              .name = slice_string("config/x"),
                              .value = slice_string("3"),
                              .conditional = true,
                              .counter = 0};
    begin_step(node);
    gossip_set(&node->gossip, &node->core, 1, &command);
    end_step(node);
    cr_assert_eq(node->reply_error, ERR_CONFLICT);
    command.counter = 1;
    begin_step(node);
    gossip_set(&node->gossip, &node->core, 1, &command);
    end_step(node);
    world_run(2000);
    cr_assert_eq(node->reply_error, 0);

    /* A refused store changes nothing. */
    command.value = slice_string("4");
    command.conditional = false;
    begin_step(node);
    gossip_set(&node->gossip, &node->core, 1, &command);
    struct store_done done = {
        .type = STORE_META, .token = node->core.out->items[0].store->token, .error = ERR_DISK_FULL};
    gossip_refused(&node->gossip, &node->core, &done);
    end_step(node);
    cr_assert_eq(node->reply_error, ERR_DISK_FULL);
    world_run(5 * SECOND);
    for (uint32_t i = 0; i < 2; i++)
        cr_assert(slice_equal(setting_value(&world->nodes[i].core.settings, command.name),
                              slice_string("3")));
    world_end();
}

/* An older value that comes in while ours is on its way to the disk must not be what the disk has
 * in the end. */
Test(gossip, the_disk_ends_with_the_newest_setting)
{
    for (uint32_t writer = 0; writer < 3; writer += 2) {
        world_begin(3, 13, 6);
        world_start_all();
        world_run(5 * SECOND);
        struct cluster_node *node = &world->nodes[1];
        change_setting(1, "config/x", slice_string("ours"));
        struct setting theirs = {.name = slice_string("config/x"),
                                 .counter = 1,
                                 .writer = node_of(writer),
                                 .value = slice_string("theirs")};
        bool ours_wins = id_compare(node_of(1), node_of(writer)) > 0;
        begin_step(node);
        gossip_learn(&node->gossip, &node->core,
                     &(struct delta){.settings = &theirs, .settings_count = 1});
        end_step(node);
        world_run(10000);
        cr_assert_eq(node->replies, 1);
        cr_assert_eq(node->reply_error, ours_wins ? 0 : ERR_CONFLICT);
        node_stop(1);
        node_start(1, 2, NULL, 0);
        cr_assert(slice_equal(setting_value(&node->core.settings, theirs.name),
                              slice_string(ours_wins ? "ours" : "theirs")));
        world_end();
    }
}

Test(gossip, a_restarted_node_knows_what_it_knew)
{
    world_begin(4, 14, 6);
    world_start_all();
    change_setting(0, "config/x", slice_string("1"));
    choose_record(1, 5, 3);
    declare_departed(2, 3, DEPARTURE_LEFT);
    world_run(20 * SECOND);
    node_stop(3);
    uint64_t settings =
        world->nodes[0].core.settings.hashes[setting_bucket(slice_string("config/x"))];
    node_stop(0);
    node_start(0, 2, NULL, 0);
    const struct core *core = &world->nodes[0].core;
    cr_assert_eq(core->members.count, 3);
    cr_assert(member_departed(&core->members, node_of(3)));
    cr_assert_eq(core->settings.hashes[setting_bucket(slice_string("config/x"))], settings);
    cr_assert_eq(ring_get(&core->ring, 5)->epoch, 3);
    struct meta bad = {slice_string("m0123456789abcdef"), slice_string("junk")};
    world->nodes[0].gossip.started = false;
    cr_assert_eq(gossip_restore(&world->nodes[0].gossip, &world->nodes[0].core, &bad), ERR_CORRUPT);
    world->nodes[0].gossip.started = true;
    world_end();
}

/* Who left stops when it hears of it, and counts on others to remember. */
Test(gossip, who_departs_is_told_once_that_is_stored)
{
    world_begin(3, 16, 6);
    world_start_all();
    world_run(20 * SECOND);
    struct cluster_node *node = &world->nodes[1];
    struct departure departure = {node_of(2), DEPARTURE_LEFT, node_of(2), 1};
    struct message good_bye = {.type = MESSAGE_BULK};
    good_bye.bulk.delta.departures = &departure;
    good_bye.bulk.delta.departures_count = 1;
    struct message syn = {.type = MESSAGE_SYN};
    uint64_t before = node->sent[MESSAGE_BULK];
    begin_step(node);
    gossip_message(&node->gossip, &node->core, node_of(2), &good_bye);
    gossip_message(&node->gossip, &node->core, node_of(2), &syn);
    end_step(node);
    cr_assert_eq(node->sent[MESSAGE_BULK], before);
    world_run(2000);
    before = node->sent[MESSAGE_BULK];
    begin_step(node);
    gossip_message(&node->gossip, &node->core, node_of(2), &syn);
    end_step(node);
    cr_assert_eq(node->sent[MESSAGE_BULK], before + 1);
    world_end();
}

/* Who leaves has done what it was told; who comes back after that has not: scripts go by the code
 * that the process exits with, whichever peer is the first to tell. */
Test(gossip, who_comes_back_after_it_left_is_no_member)
{
    world_begin(2, 17, 6);
    world_start_all();
    world_run(SECOND);
    for (uint64_t life = 8; life <= 9; life++) {
        struct cluster_node *node = &world->nodes[1];
        node_stop(1);
        node_start(1, 9, NULL, 0);
        struct departure departure = {node_of(1), DEPARTURE_LEFT, node_of(1), life};
        struct message news = {.type = MESSAGE_BULK};
        news.bulk.delta.departures = &departure;
        news.bulk.delta.departures_count = 1;
        begin_step(node);
        gossip_message(&node->gossip, &node->core, node_of(0), &news);
        end_step(node);
        cr_assert(node->halted);
        cr_assert_eq(node->halt_error, life == 9 ? OK : ERR_NOT_MEMBER);
        cr_assert_not_null(strstr(node->halt_text, "has left"), "%s", node->halt_text);
        cr_assert_not_null(strstr(node->halt_text, "empty data directory"), "%s", node->halt_text);
    }
    world_end();
}

static bool all_have_plan(void)
{
    for (uint32_t i = 0; i < world->count; i++)
        if (setting_value(&world->nodes[i].core.settings, slice_string("plan")).size != 1 << 20)
            return false;
    return true;
}

Test(gossip, a_large_setting_spreads_without_rumours)
{
    world_begin(5, 15, 6);
    world_start_all();
    world_run(10 * SECOND);
    uint8_t *plan = mem_zero(1 << 20);
    /* It is rumoured while it is small; growing must not hold up other rumours. */
    change_setting(0, "plan", slice_string("small"));
    world_run(SECOND / 10);
    change_setting(0, "plan", slice_of(plan, 1 << 20));
    world_run(SECOND / 10);
    change_setting(0, "config/x", slice_string("1"));
    cr_assert_neq(world_run_until(all_have_setting, 10 * SECOND), UINT64_MAX);
    cr_assert_neq(world_run_until(all_have_plan, 10 * SECOND), UINT64_MAX);
    uint64_t before = 0, after = 0;
    for (uint32_t i = 0; i < 5; i++)
        before += world->nodes[i].bytes_sent;
    world_run(20 * SECOND);
    for (uint32_t i = 0; i < 5; i++)
        after += world->nodes[i].bytes_sent;
    cr_assert_lt(after - before, 1 << 20, "it is not sent again");
    mem_free(plan);
    world_end();
}
