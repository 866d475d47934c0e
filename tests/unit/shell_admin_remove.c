/* Removing a node: when it is refused, and in which words; what is planned for what it had. */
#include "shell_admin.h"

#define FLAG(name)                                                                                 \
    {                                                                                              \
        .key = name, .number = 1, .flag = true                                                     \
    }

/* Members a to d; a, b and c own a copy of every range each, and c is down. */
static void set_up_lost(void)
{
    set_up();
    member_add(4, "d", "z3");
    for (uint32_t range = 0; range < 64; range++)
        own(range, 2, (const uint64_t[]){1, 2, 3}, 3);
    down[3] = true;
}

TestSuite(admin_remove, .init = set_up_lost, .fini = tear_down);

static void depart(uint64_t digit)
{
    struct departure departure = {node_of(digit), DEPARTURE_REMOVED, node_of(1), 7};
    cr_assert(departure_merge(&core.members, &departure));
}

Test(admin_remove, a_lost_node_is_removed_and_its_slots_go_to_whoever_has_none)
{
    struct admin_reply reply = CALL("remove", {.key = "node", .text = "c"}, FLAG("dry_run"));
    cr_assert_eq(reply.outcome, ADMIN_DONE);
    cr_assert_eq(number(result_of(&reply), "moves_count"), 64);
    cr_assert_eq(number(result_of(&reply), "copies_worst"), 2);
    cr_assert_eq(number(result_of(&reply), "ranges_below"), 64);
    cr_assert(text_is(result_of(&reply), "ranges_below_list", "0-63"));
    admin_reply_done(&reply);
    reply = CALL("remove", {.key = "node", .text = "c"});
    cr_assert_eq(reply.outcome, ADMIN_COMMAND);
    cr_assert_eq(reply.command.type, COMMAND_REMOVE);
    cr_assert(id_equal(reply.command.node, node_of(3)));
    admin_reply_done(&reply);
}

Test(admin_remove, what_a_removed_node_had_is_planned_for_by_rebuild_and_by_rebalance)
{
    depart(3);
    for (uint32_t range = 0; range < 32; range++) { /* Half of them are fenced already. */
        struct range_record record = *ring_get(&core.ring, range);
        record.epoch++;
        record.slots[2].stage = STAGE_FENCE;
        cr_assert(ring_merge(&core.ring, &record));
    }
    struct admin_reply reply = CALL("plan", FLAG("rebuild"));
    cr_assert_eq(number(result_of(&reply), "moves_count"), 64);
    admin_reply_done(&reply);
    reply = call("plan", NULL, 0);
    cr_assert_geq(number(result_of(&reply), "moves_count"), 64);
    admin_reply_done(&reply);
    reply = call("status", NULL, 0);
    cr_assert(item_has(result_of(&reply), "reasons", 1, "had a copy at a removed node"));
    cr_assert(item_has(result_of(&reply), "advice", 0, "kvadmin rebalance"));
    admin_reply_done(&reply);
}

Test(admin_remove, who_answers_is_not_removed_unless_told_so)
{
    down[3] = false;
    refused(CALL("remove", {.key = "node", .text = "c"}), ERR_REFUSED, "use `kvadmin leave c`");
    struct admin_reply reply = CALL("remove", {.key = "node", .text = "c"}, FLAG("even_if_alive"));
    cr_assert_eq(reply.outcome, ADMIN_COMMAND);
    admin_reply_done(&reply);
    refused(CALL("remove", {.key = "node", .text = "a"}, FLAG("even_if_alive")), ERR_REFUSED,
            "ask another one");
}

Test(admin_remove, ranges_that_would_lack_a_majority_are_named)
{
    own(5, 3, (const uint64_t[]){1, 3}, 2);
    own(6, 3, (const uint64_t[]){3}, 1);
    refused(CALL("remove", {.key = "node", .text = "c"}), ERR_UNAVAILABLE, "2 ranges (5-6)");
    down[2] = true;
    refused(CALL("remove", {.key = "node", .text = "c"}), ERR_UNAVAILABLE, "64 ranges (0-63)");
}

Test(admin_remove, without_a_place_it_is_refused_unless_copies_are_given_up)
{
    down[4] = true;
    refused(CALL("remove", {.key = "node", .text = "c"}), ERR_REFUSED, "find no other node");
    struct admin_reply reply = CALL("remove", {.key = "node", .text = "c"}, FLAG("fewer_copies"));
    cr_assert_eq(reply.outcome, ADMIN_COMMAND);
    cr_assert_eq(number(result_of(&reply), "moves_count"), 64);
    admin_reply_done(&reply);
}

Test(admin_remove, a_heir_takes_all_or_is_refused)
{
    struct admin_reply reply =
        CALL("remove", {.key = "node", .text = "c"}, {.key = "onto", .text = "d"});
    cr_assert_eq(number(result_of(&reply), "moves_count"), 64);
    admin_reply_done(&reply);
    refused(CALL("remove", {.key = "node", .text = "c"}, {.key = "onto", .text = "b"}), ERR_REFUSED,
            "have a copy at the new node already");
    down[4] = true;
    refused(CALL("remove", {.key = "node", .text = "c"}, {.key = "onto", .text = "d"}), ERR_REFUSED,
            "d cannot take its place: it is down");
}

Test(admin_remove, a_loss_is_accepted_only_where_there_is_one)
{
    refused(CALL("remove", {.key = "node", .text = "c"}, FLAG("accept_loss")), ERR_REFUSED,
            "leave --accept-loss out");
    down[3] = false;
    refused(CALL("remove", {.key = "node", .text = "c"}, FLAG("accept_loss")), ERR_REFUSED,
            "use `kvadmin leave c`");
}

Test(admin_remove, ranges_that_wait_for_somebody_are_not_forked)
{
    down[2] = true;
    struct admin_reply reply =
        CALL("remove", {.key = "node", .text = "c"}, FLAG("accept_loss"), FLAG("dry_run"));
    cr_assert_eq(number(result_of(&reply), "forked"), 0);
    cr_assert_eq(number(result_of(&reply), "waiting"), 64);
    cr_assert(text_is(result_of(&reply), "awaited", "b"));
    admin_reply_done(&reply);
}

Test(admin_remove, what_no_majority_is_left_of_is_forked)
{
    depart(2);
    own(7, 3, (const uint64_t[]){3}, 1);
    own(8, 3, (const uint64_t[]){1, 2, 4}, 3);
    struct admin_reply reply =
        CALL("remove", {.key = "node", .text = "c"}, FLAG("accept_loss"), FLAG("dry_run"));
    cr_assert_eq(reply.outcome, ADMIN_DONE);
    cr_assert_eq(number(result_of(&reply), "forked"), 63);
    cr_assert(text_is(result_of(&reply), "forked_list", "0-7, 9-63"));
    cr_assert_eq(number(result_of(&reply), "emptied"), 1);
    cr_assert(text_is(result_of(&reply), "emptied_list", "7"));
    cr_assert_eq(number(result_of(&reply), "waiting"), 0);
    cr_assert_geq(number(result_of(&reply), "learns"), 63);
    admin_reply_done(&reply);
    reply = CALL("remove", {.key = "node", .text = "c"}, FLAG("accept_loss"));
    cr_assert_eq(reply.outcome, ADMIN_COMMAND);
    cr_assert(reply.command.accept_loss);
    admin_reply_done(&reply);
}

Test(admin_remove, two_clusters_that_have_come_of_one_are_reported)
{
    down[3] = false;
    rift = true;
    struct admin_reply reply = call("status", NULL, 0);
    rift = false;
    cr_assert(text_is(result_of(&reply), "verdict", "DEGRADED"));
    cr_assert(item_has(result_of(&reply), "reasons", 0, "node abcdef01 was removed"));
    cr_assert(item_has(result_of(&reply), "advice", 0, "which of the two stays"));
    admin_reply_done(&reply);
}

Test(admin_remove, only_the_loss_that_was_shown_is_accepted)
{
    depart(2);
    own(8, 3, (const uint64_t[]){3, 4}, 2);
    struct admin_reply reply =
        CALL("remove", {.key = "node", .text = "c"}, FLAG("accept_loss"), FLAG("dry_run"));
    char loss[17] = "";
    memcpy(loss, field(result_of(&reply), "loss").data + 1, 16);
    admin_reply_done(&reply);
    reply = CALL("remove", {.key = "node", .text = "c"}, FLAG("accept_loss"),
                 {.key = "loss", .text = loss});
    cr_assert_eq(reply.outcome, ADMIN_COMMAND);
    admin_reply_done(&reply);
    depart(4); /* The last copy of a range. */
    refused(CALL("remove", {.key = "node", .text = "c"}, FLAG("accept_loss"),
                 {.key = "loss", .text = loss}),
            ERR_REFUSED, "is not what was shown");
}

Test(admin_remove, what_was_lost_with_who_is_removed_already_is_accepted_yet)
{
    depart(2);
    depart(3);
    char text[NODE_ID_TEXT];
    id_format(node_of(3), text);
    refused(CALL("remove", {.key = "node", .text = text}), ERR_NOT_MEMBER, "no member is called");
    struct admin_reply reply = call("status", NULL, 0);
    cr_assert(item_has(result_of(&reply), "advice", 0, "--accept-loss`: 64 ranges lost"));
    admin_reply_done(&reply);
    reply = CALL("remove", {.key = "node", .text = text}, FLAG("accept_loss"));
    cr_assert_eq(number(result_of(&reply), "forked"), 64);
    cr_assert_eq(reply.outcome, ADMIN_COMMAND);
    cr_assert(id_equal(reply.command.node, node_of(3)));
    admin_reply_done(&reply);
}
