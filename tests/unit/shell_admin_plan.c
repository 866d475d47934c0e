/* Plans, moves and leaves over tables built by hand: what is shown, what becomes a command, and
 * what is refused in which words. */
#include "shell_admin.h"

TestSuite(admin_plan, .init = set_up, .fini = tear_down);

/* Call apply with what `plan` returned. */
static struct admin_reply apply(struct slice plan)
{
    struct buf params = {0};
    mp_write_map(&params, 3);
    mp_write_text(&params, "moves");
    buf_append(&params, field(plan, "moves"));
    mp_write_text(&params, "counter");
    mp_write_uint(&params, number(plan, "counter"));
    mp_write_text(&params, "rate");
    mp_write_uint(&params, 1000);
    struct admin_reply reply = call_bytes("apply", buf_slice(&params));
    buf_done(&params);
    return reply;
}

/* Make every move of the stored plan, as the cluster would. */
static void carry_out(void)
{
    struct plan plan;
    cr_assert_eq(plan_decode(setting_value(&core.settings, slice_string("plan")), &plan), 0);
    for (uint32_t i = 0; i < plan.count; i++) {
        const struct plan_move *move = &plan.moves[i];
        struct range_record record = *ring_get(&core.ring, move->range);
        struct slot *slot = NULL;
        for (uint32_t j = 0; j < record.slots_count; j++) {
            if (record.slots[j].number == move->slot)
                slot = &record.slots[j];
        }
        if (slot == NULL)
            slot = &record.slots[record.slots_count++];
        *slot = (struct slot){.number = move->slot, .owner = move->to};
        record.epoch++;
        cr_assert(ring_merge(&core.ring, &record));
    }
    plan_done(&plan);
}

static uint64_t plan_field(const char *name)
{
    struct admin_reply reply = call("status", NULL, 0);
    uint64_t value = number(field(result_of(&reply), "plan"), name);
    admin_reply_done(&reply);
    return value;
}

static bool plan_state_is(const char *state)
{
    struct admin_reply reply = call("status", NULL, 0);
    bool is = text_is(field(result_of(&reply), "plan"), "state", state);
    admin_reply_done(&reply);
    return is;
}

Test(admin_plan, a_plan_is_shown_applied_followed_and_done)
{
    struct admin_reply plan = call("plan", NULL, 0);
    struct slice shown = result_of(&plan);
    cr_assert_eq(plan.outcome, ADMIN_DONE);
    cr_assert_eq(number(shown, "moves_count"), 128, "two more copies of 64 ranges");
    cr_assert_eq(number(shown, "learns"), 128);
    cr_assert_gt(number(shown, "bytes"), 0);
    cr_assert_eq(number(shown, "counter"), 0);
    struct admin_reply applied = apply(shown);
    cr_assert(text_is(field(result_of(&applied), "plan"), "state", "running"));
    obey(&applied);
    cr_assert(plan_state_is("running"));
    cr_assert_eq(plan_field("left"), 128);
    cr_assert_eq(plan_field("rate"), 1000);
    refused(apply(shown), ERR_REFUSED, "128 of 128 moves left");
    carry_out();
    cr_assert(plan_state_is("done"));
    cr_assert_eq(plan_field("done"), 128);
    refused(apply(shown), ERR_REFUSED, "plan again");
    admin_reply_done(&plan);
    admin_reply_done(&applied);
    plan = call("plan", NULL, 0);
    cr_assert_eq(number(result_of(&plan), "moves_count"), 0);
    admin_reply_done(&plan);
}

Test(admin_plan, a_plan_rests_on_weights_when_they_are_given)
{
    struct buf params = {0};
    mp_write_map(&params, 2);
    mp_write_text(&params, "by");
    mp_write_text(&params, "bytes");
    mp_write_text(&params, "weights");
    mp_write_array(&params, 64);
    for (uint32_t i = 0; i < 64; i++)
        mp_write_uint(&params, 5);
    struct admin_reply reply = call_bytes("plan", buf_slice(&params));
    cr_assert_eq(number(result_of(&reply), "bytes"), 2 * 64 * 5);
    admin_reply_done(&reply);
    buf_done(&params);
    refused(CALL("plan", {.key = "by", .text = "bytes"}), ERR_BAD_REQUEST, "weights");
    refused(CALL("plan", {.key = "by", .text = "colour"}), ERR_BAD_REQUEST, "count or bytes");
}

Test(admin_plan, a_plan_waits_for_owners_that_are_down_and_passes_over_others)
{
    down[3] = true;
    struct admin_reply reply = call("plan", NULL, 0);
    cr_assert_eq(number(result_of(&reply), "moves_count"), 64, "c takes nothing");
    admin_reply_done(&reply);
    own(0, 2, (const uint64_t[]){1, 3}, 2);
    refused(call("plan", NULL, 0), ERR_UNAVAILABLE, "c owns slots and is down");
}

Test(admin_plan, pause_resume_and_cancel_change_the_plan_under_way)
{
    refused(call("transfers_pause", NULL, 0), ERR_REFUSED, "no plan is under way");
    struct admin_reply plan = call("plan", NULL, 0);
    struct admin_reply reply = apply(result_of(&plan));
    obey(&reply);
    admin_reply_done(&reply);
    reply = CALL("transfers_pause", {.key = "dry_run", .number = 1, .flag = true});
    cr_assert_eq(reply.outcome, ADMIN_DONE);
    cr_assert(text_is(field(result_of(&reply), "plan"), "state", "paused"));
    admin_reply_done(&reply);
    cr_assert(plan_state_is("running"));
    static const struct {
        const char *method;
        const char *state;
    } steps[] = {{"transfers_pause", "paused"},
                 {"transfers_resume", "running"},
                 {"transfers_cancel", "cancelled"}};
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        reply = call(steps[i].method, NULL, 0);
        obey(&reply);
        admin_reply_done(&reply);
        cr_assert(plan_state_is(steps[i].state));
    }
    refused(call("transfers_resume", NULL, 0), ERR_REFUSED, "no plan is under way");
    admin_reply_done(&plan);
}

/* Call apply with the one move that takes SLOT of RANGE from node FROM and gives it to nobody. */
static struct admin_reply give_up(uint32_t range, uint32_t slot, uint64_t from)
{
    struct buf params = {0};
    char text[NODE_ID_TEXT];
    id_format(node_of(from), text);
    mp_write_map(&params, 2);
    mp_write_text(&params, "moves");
    mp_write_array(&params, 1);
    mp_write_array(&params, 4);
    mp_write_uint(&params, range);
    mp_write_uint(&params, slot);
    mp_write_text(&params, text);
    mp_write_nil(&params);
    mp_write_text(&params, "counter");
    mp_write_uint(&params, 0);
    struct admin_reply reply = call_bytes("apply", buf_slice(&params));
    buf_done(&params);
    return reply;
}

Test(admin_plan, the_only_copy_of_a_range_cannot_be_given_up)
{
    refused(give_up(0, 0, 1), ERR_REFUSED, "only copy");
    own(0, 2, (const uint64_t[]){1, 2}, 2);
    struct admin_reply reply = give_up(0, 1, 2);
    cr_assert_eq(reply.outcome, ADMIN_COMMAND, "another copy is left");
    admin_reply_done(&reply);
}

Test(admin_plan, applied_moves_must_fit_the_ring)
{
    struct admin_reply plan = call("plan", NULL, 0);
    own(0, 2, (const uint64_t[]){1, 2, 3}, 3);
    refused(apply(result_of(&plan)), ERR_REFUSED, "plan again");
    admin_reply_done(&plan);
}

Test(admin_plan, a_move_is_a_plan_or_joins_the_one_under_way)
{
    refused(CALL("move", {.key = "range", .number = 3}, {.key = "slot", .number = 0},
                 {.key = "node", .text = "a"}),
            ERR_REFUSED, "a holds a slot of range 3 already");
    refused(CALL("move", {.key = "range", .number = 3}, {.key = "slot", .number = 3},
                 {.key = "node", .text = "b"}),
            ERR_BAD_REQUEST, "0 to 2");
    for (uint64_t range = 0; range < 2; range++) {
        struct admin_reply reply = CALL("move", {.key = "range", .number = 9 - range},
                                        {.key = "slot", .number = 0}, {.key = "node", .text = "b"});
        obey(&reply);
        cr_assert_eq(number(field(result_of(&reply), "plan"), "moves"), range + 1);
        admin_reply_done(&reply);
    }
    struct plan plan;
    cr_assert_eq(plan_decode(setting_value(&core.settings, slice_string("plan")), &plan), 0);
    cr_assert_eq(plan.count, 2);
    cr_assert_eq(plan.moves[0].range, 8);
    cr_assert(id_equal(plan.moves[1].from, node_of(1)));
    cr_assert(id_equal(plan.moves[1].to, node_of(2)));
    plan_done(&plan);
    refused(CALL("move", {.key = "range", .number = 9}, {.key = "slot", .number = 0},
                 {.key = "node", .text = "c"}),
            ERR_REFUSED, "moves slot 9.0 itself");
}

Test(admin_plan, members_are_named_by_name_or_id_and_mistakes_list_them)
{
    refused(CALL("plan", {.key = "leave", .text = "d"}), ERR_NOT_MEMBER,
            "no member is called \"d\"; the members are a (10000000), b (20000000), c (30000000)");
    struct admin_reply reply = CALL("plan", {.key = "leave", .text = "20000000"});
    cr_assert_eq(number(result_of(&reply), "moves_count"), 64, "b takes nothing");
    admin_reply_done(&reply);
}

Test(admin_plan, leave_marks_the_node_and_plans_around_it)
{
    for (uint32_t range = 0; range < 64; range++)
        own(range, 2, (const uint64_t[]){1, 2}, 2);
    struct admin_reply reply = CALL("leave", {.key = "node", .text = "b"});
    cr_assert_eq(number(result_of(&reply), "moves_count"), 64);
    obey(&reply);
    struct admin_reply applied = apply(result_of(&reply));
    obey(&applied);
    admin_reply_done(&applied);
    admin_reply_done(&reply);
    refused(CALL("leave", {.key = "node", .text = "c"}), ERR_REFUSED, "64 of 64 moves left");
    reply = call("members", NULL, 0);
    cr_assert(text_is(item(result_of(&reply), "members", 1), "state", "leaving"));
    admin_reply_done(&reply);
    refused(CALL("move", {.key = "range", .number = 9}, {.key = "slot", .number = 2},
                 {.key = "node", .text = "b"}),
            ERR_REFUSED, "leaving");
    reply =
        CALL("leave", {.key = "node", .text = "b"}, {.key = "cancel", .number = 1, .flag = true});
    obey(&reply);
    admin_reply_done(&reply);
    refused(
        CALL("leave", {.key = "node", .text = "b"}, {.key = "cancel", .number = 1, .flag = true}),
        ERR_REFUSED, "b is not leaving");
}

/* Two administrators at the same moment: one gives a node everything, the other lets it leave. */
Test(admin_plan, moves_to_a_node_that_leaves_are_overtaken)
{
    for (uint32_t range = 0; range < 64; range++)
        own(range, 2, (const uint64_t[]){1, 2}, 2);
    struct admin_reply shown = CALL("plan", {.key = "leave", .text = "b"});
    cr_assert_eq(number(result_of(&shown), "moves_count"), 64);
    struct admin_reply reply = CALL("leave", {.key = "node", .text = "c"});
    obey(&reply);
    admin_reply_done(&reply);
    struct admin_reply applied = apply(result_of(&shown));
    obey(&applied);
    admin_reply_done(&applied);
    admin_reply_done(&shown);
    refused(CALL("leave", {.key = "node", .text = "b"}), ERR_REFUSED, "find no other node");
    reply =
        CALL("leave", {.key = "node", .text = "c"}, {.key = "cancel", .number = 1, .flag = true});
    obey(&reply);
    admin_reply_done(&reply);
    refused(CALL("leave", {.key = "node", .text = "b"}), ERR_REFUSED, "64 of 64 moves left");
}

Test(admin_plan, leave_without_a_place_for_its_slots_is_refused)
{
    for (uint32_t range = 0; range < 64; range++)
        own(range, 2, (const uint64_t[]){1, 2, 3}, 3);
    refused(CALL("leave", {.key = "node", .text = "c"}), ERR_REFUSED, "find no other node");
    struct admin_reply reply = CALL("leave", {.key = "node", .text = "c"},
                                    {.key = "fewer_copies", .number = 1, .flag = true},
                                    {.key = "dry_run", .number = 1, .flag = true});
    cr_assert_eq(number(result_of(&reply), "moves_count"), 64);
    cr_assert_eq(number(result_of(&reply), "copies_worst"), 2);
    cr_assert_eq(reply.outcome, ADMIN_DONE);
    admin_reply_done(&reply);
}
