/* Cluster methods over tables built by hand: what an administrator is shown, what becomes a
 * command, and what is refused in which words. */
#include "shell/admin.h"

#include "base/error.h"
#include "core/buckets.h"
#include "wire/mp.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* ---------------------------------------------------------------- A node without its machines. */

static struct core core;
static struct node_counters counters;
static struct store_stats stats;
static bool down[16]; /* By the last digit of the id. */

const struct core *node_core(const struct node *node)
{
    (void)node;
    return &core;
}

const struct node_counters *node_counters(const struct node *node)
{
    (void)node;
    return &counters;
}

enum node_state node_state(const struct node *node)
{
    (void)node;
    return NODE_READY;
}

uint32_t node_peers(const struct node *node, struct peer_status *ret, uint32_t cap)
{
    (void)node;
    uint32_t count = 0;
    for (uint32_t i = 0; i < core.members.count && count < cap; i++) {
        struct node_id id = core.members.members[i]->id;
        if (id_equal(id, core.self))
            continue;
        ret[count++] = (struct peer_status){.id = id,
                                            .up = !down[id.lo],
                                            .phi = 0.5,
                                            .heard_us = 900000,
                                            .since_us = 1000000,
                                            .load = {.generation = 1, .live_bytes = 1000}};
    }
    return count;
}

uint32_t node_transfers(const struct node *node, struct transfer_status *ret, uint32_t cap)
{
    (void)node;
    cr_assert(cap > 0);
    ret[0] = (struct transfer_status){.role = TRANSFER_SOURCE,
                                      .id = 0xabc,
                                      .range = 3,
                                      .slot = 1,
                                      .stage = STAGE_JOINT,
                                      .note = slice_string("waits")};
    return 1;
}

void store_stats(const struct store *store, struct store_stats *ret_stats)
{
    (void)store;
    *ret_stats = stats;
}

struct range_stat store_range_stat(const struct store *store, uint32_t range)
{
    (void)store;
    return (struct range_stat){.keys = range, .bytes = 10 * range};
}

static bool is_up(const struct core *of, struct node_id id)
{
    return id_equal(id, of->self) || !down[id.lo];
}

static struct node_id node_of(uint64_t digit)
{
    return (struct node_id){0x1000000000000000u * digit, digit};
}

static void member_add(uint64_t digit, const char *name, const char *zone)
{
    struct member member = {.id = node_of(digit),
                            .generation = 1,
                            .version = 1,
                            .capacity = 100,
                            .name = slice_string(name),
                            .zone = slice_string(zone),
                            .peer = slice_string("127.0.0.1:7400"),
                            .client = slice_string("127.0.0.1:7379"),
                            .http = slice_string("127.0.0.1:7380")};
    cr_assert(member_merge(&core.members, &member));
}

/* Give RANGE to OWNERS, slot 0 first. */
static void own(uint32_t range, uint64_t epoch, const uint64_t *owners, uint32_t count)
{
    struct range_record record = {.range = range, .epoch = epoch, .slots_count = (uint8_t)count};
    for (uint32_t i = 0; i < count; i++)
        record.slots[i] = (struct slot){.number = (uint8_t)i, .owner = node_of(owners[i])};
    cr_assert(ring_merge(&core.ring, &record));
}

static struct admin admin = {.now_us = 61000000,
                             .started_us = 1000000,
                             .version = {(const uint8_t *)"1", 1},
                             .ops_per_s = 7};

/* Members a, b and c; a owns everything alone. */
static void set_up(void)
{
    core = (struct core){.self = node_of(1), .generation = 5, .peer_is_up = is_up};
    core.cluster = (struct cluster){
        .id = node_of(9), .name = slice_string("prod"), .range_bits = 6, .copies = 3};
    member_table_init(&core.members);
    setting_table_init(&core.settings);
    ring_init(&core.ring, 6);
    memset(down, 0, sizeof(down));
    stats = (struct store_stats){.bytes = 64000, .file_bytes = 90000, .disk_free_bytes = 5000000};
    member_add(1, "a", "z1");
    member_add(2, "b", "z2");
    member_add(3, "c", "z3");
    for (uint32_t range = 0; range < 64; range++)
        own(range, 1, (const uint64_t[]){1}, 1);
}

static void tear_down(void)
{
    member_table_done(&core.members);
    setting_table_done(&core.settings);
    ring_done(&core.ring);
}

TestSuite(admin, .init = set_up, .fini = tear_down);

/* -------------------------------------------------------------------------- Calls and answers. */

struct pair {
    const char *key;
    const char *text; /* NULL: `number`. */
    uint64_t number;
    bool flag; /* `number` is a flag. */
};

static struct buf params_of(const struct pair *pairs, uint32_t count)
{
    struct buf params = {0};
    mp_write_map(&params, count);
    for (uint32_t i = 0; i < count; i++) {
        mp_write_text(&params, pairs[i].key);
        if (pairs[i].text != NULL)
            mp_write_text(&params, pairs[i].text);
        else if (pairs[i].flag)
            mp_write_bool(&params, pairs[i].number != 0);
        else
            mp_write_uint(&params, pairs[i].number);
    }
    return params;
}

static struct admin_reply call_bytes(const char *method, struct slice params)
{
    struct admin_reply reply;
    admin_call(&admin, slice_string(method), params, &reply);
    return reply;
}

static struct admin_reply call(const char *method, const struct pair *pairs, uint32_t count)
{
    struct buf params = params_of(pairs, count);
    struct admin_reply reply = call_bytes(method, buf_slice(&params));
    buf_done(&params);
    return reply;
}

#define CALL(method, ...)                                                                          \
    call(method, (const struct pair[]){__VA_ARGS__},                                               \
         (uint32_t)ARRAY_SIZE(((const struct pair[]){__VA_ARGS__})))

/* The value of KEY in the map MAP: its MessagePack. Fails when it is not there. */
static struct slice field(struct slice map, const char *key)
{
    struct mp_reader reader = mp_reader_of(map);
    uint32_t pairs = mp_read_map(&reader);
    for (uint32_t i = 0; i < pairs; i++) {
        struct slice name = mp_read_bytes(&reader);
        struct slice value = mp_skip(&reader);
        cr_assert(!reader.bad);
        if (slice_equal(name, slice_string(key)))
            return value;
    }
    cr_assert_fail("no field %s", key);
    return SLICE_NONE;
}

static uint64_t number(struct slice map, const char *key)
{
    struct mp_reader reader = mp_reader_of(field(map, key));
    uint64_t value = mp_read_uint(&reader);
    cr_assert(mp_finished(&reader), "%s is no number", key);
    return value;
}

static bool text_is(struct slice map, const char *key, const char *wanted)
{
    struct mp_reader reader = mp_reader_of(field(map, key));
    return slice_equal(mp_read_bytes(&reader), slice_string(wanted));
}

/* Item I of the array at KEY. */
static struct slice item(struct slice map, const char *key, uint32_t i)
{
    struct mp_reader reader = mp_reader_of(field(map, key));
    uint32_t count = mp_read_array(&reader);
    cr_assert_lt(i, count);
    struct slice value = SLICE_NONE;
    for (uint32_t j = 0; j <= i; j++)
        value = mp_skip(&reader);
    return value;
}

static uint32_t items(struct slice map, const char *key)
{
    struct mp_reader reader = mp_reader_of(field(map, key));
    return mp_read_array(&reader);
}

static bool item_has(struct slice map, const char *key, uint32_t i, const char *part)
{
    struct slice value = item(map, key, i);
    return memmem(value.data, value.size, part, strlen(part)) != NULL;
}

/* The reply is a whole map and no error. */
static struct slice result_of(const struct admin_reply *reply)
{
    cr_assert_eq(reply->error, 0, "%.*s", (int)reply->text.size, (const char *)reply->text.data);
    struct mp_reader reader = mp_reader_of(buf_slice(&reply->result));
    cr_assert_eq(mp_peek(&reader), MP_MAP);
    (void)mp_skip(&reader);
    cr_assert(mp_finished(&reader));
    return buf_slice(&reply->result);
}

static void refused(struct admin_reply reply, int error, const char *part)
{
    cr_assert_eq(reply.outcome, ADMIN_DONE);
    cr_assert_eq(reply.error, error, "got %s", error_word(reply.error));
    cr_assert(memmem(reply.text.data, reply.text.size, part, strlen(part)) != NULL,
              "\"%.*s\" does not say \"%s\"", (int)reply.text.size, (const char *)reply.text.data,
              part);
    cr_assert_eq(reply.result.size, 0);
    admin_reply_done(&reply);
}

/* What the core does with a command: its setting takes effect. */
static void obey(const struct admin_reply *reply)
{
    cr_assert_eq(reply->outcome, ADMIN_COMMAND);
    cr_assert_eq(reply->command.type, COMMAND_SET);
    cr_assert(reply->command.conditional);
    const struct setting *known = setting_find(&core.settings, reply->command.name);
    cr_assert_eq(reply->command.counter, known == NULL ? 0 : known->counter);
    struct setting setting = {.name = reply->command.name,
                              .counter = reply->command.counter + 1,
                              .writer = core.self,
                              .value = reply->command.value};
    cr_assert(setting_merge(&core.settings, &setting));
}

/* ---------------------------------------------------------------------------------- Parameters. */

Test(admin, unknown_method_is_left_to_others)
{
    struct admin_reply reply = call("get", NULL, 0);
    cr_assert_eq(reply.outcome, ADMIN_UNKNOWN);
    admin_reply_done(&reply);
}

Test(admin, misspelt_and_mistyped_parameters_are_refused)
{
    refused(CALL("ring", {.key = "form", .number = 1}), ERR_BAD_REQUEST, "from, count");
    refused(CALL("status", {.key = "x", .number = 1}), ERR_BAD_REQUEST, "it takes: none");
    refused(CALL("ring", {.key = "from", .text = "a"}), ERR_BAD_REQUEST, "whole number");
    refused(CALL("move", {.key = "range", .number = 1}), ERR_BAD_REQUEST, "slot, node");
    refused(CALL("leave", {.key = "node", .text = "b"}, {.key = "cancel", .number = 1}),
            ERR_BAD_REQUEST, "true or false");
}

Test(admin, any_bytes_as_parameters_give_an_answer)
{
    static const char *const methods[] = {"status", "ring",          "plan",  "apply",
                                          "move",   "bucket_create", "leave", "verify"};
    uint64_t state = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[48];
        size_t size = i % sizeof(bytes);
        for (size_t j = 0; j < size; j++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes[j] = (uint8_t)state;
        }
        if (size > 0)
            bytes[0] = (uint8_t)(0x80 | (bytes[0] & 3));
        struct admin_reply reply =
            call_bytes(methods[i % ARRAY_SIZE(methods)], slice_of(bytes, size));
        cr_assert(reply.outcome != ADMIN_UNKNOWN);
        admin_reply_done(&reply);
    }
}

/* -------------------------------------------------------------------------------------- Status. */

Test(admin, status_of_a_node_alone_asks_for_a_rebalance)
{
    struct admin_reply reply = call("status", NULL, 0);
    struct slice status = result_of(&reply);
    cr_assert(text_is(status, "verdict", "DEGRADED"));
    cr_assert(item_has(status, "reasons", 0, "64 of 64 ranges have 1 of 3 copies"));
    cr_assert(item_has(status, "advice", 0, "kvadmin rebalance"));
    cr_assert_eq(items(status, "members"), 3);
    struct slice a = item(status, "members", 0);
    cr_assert(text_is(a, "name", "a"));
    cr_assert_eq(number(a, "slots"), 64);
    cr_assert_eq(number(a, "live_bytes"), 64000);
    cr_assert_eq(number(item(status, "members", 1), "live_bytes"), 1000);
    cr_assert(text_is(field(status, "plan"), "state", "none"));
    cr_assert_eq(number(field(status, "stages"), "STABLE"), 64);
    admin_reply_done(&reply);
}

Test(admin, status_of_a_whole_cluster_is_ok)
{
    for (uint32_t range = 0; range < 64; range++)
        own(range, 2, (const uint64_t[]){1, 2, 3}, 3);
    struct admin_reply reply = call("status", NULL, 0);
    struct slice status = result_of(&reply);
    cr_assert(text_is(status, "verdict", "OK"));
    cr_assert_eq(items(status, "reasons"), 0);
    cr_assert_eq(items(status, "advice"), 0);
    struct mp_reader copies = mp_reader_of(item(status, "copies", 3));
    cr_assert_eq(mp_read_uint(&copies), 64);
    admin_reply_done(&reply);
}

Test(admin, status_names_who_is_down_and_what_has_no_majority)
{
    for (uint32_t range = 0; range < 64; range++)
        own(range, 2, (const uint64_t[]){1, 2, 3}, 3);
    down[3] = true;
    struct admin_reply reply = call("status", NULL, 0);
    struct slice status = result_of(&reply);
    cr_assert(text_is(status, "verdict", "DEGRADED"));
    cr_assert(item_has(status, "reasons", 0, "64 of 64 ranges have 2 of 3 copies"));
    cr_assert(item_has(status, "reasons", 1, "c down 60s"));
    cr_assert(item_has(status, "advice", 0, "start c"));
    admin_reply_done(&reply);
    down[2] = true;
    reply = call("status", NULL, 0);
    status = result_of(&reply);
    cr_assert(text_is(status, "verdict", "UNAVAILABLE"));
    cr_assert(item_has(status, "reasons", 0, "64 of 64 ranges have no majority"));
    admin_reply_done(&reply);
}

Test(admin, a_node_that_has_not_joined_says_so)
{
    ring_done(&core.ring);
    ring_init(&core.ring, 0);
    core.cluster.id = NODE_NONE;
    struct admin_reply reply = call("status", NULL, 0);
    cr_assert(text_is(result_of(&reply), "verdict", "UNAVAILABLE"));
    admin_reply_done(&reply);
    refused(call("ring", NULL, 0), ERR_NOT_READY, "has not joined");
    refused(call("plan", NULL, 0), ERR_NOT_READY, "has not joined");
}

/* -------------------------------------------------------------------------------------- Tables. */

Test(admin, ring_comes_in_pages)
{
    struct admin_reply reply =
        CALL("ring", {.key = "from", .number = 10}, {.key = "count", .number = 4});
    struct slice ring = result_of(&reply);
    cr_assert_eq(number(ring, "ranges"), 64);
    cr_assert_eq(number(ring, "next"), 14);
    cr_assert_eq(items(ring, "records"), 4);
    struct slice record = item(ring, "records", 0);
    cr_assert_eq(number(record, "range"), 10);
    cr_assert(text_is(item(record, "slots", 0), "owner", "10000000000000000000000000000001"));
    cr_assert(text_is(item(record, "slots", 0), "stage", "STABLE"));
    admin_reply_done(&reply);
    refused(CALL("ring", {.key = "from", .number = 64}), ERR_BAD_REQUEST, "below 64");
}

Test(admin, ranges_transfers_gossip_and_stats_are_whole)
{
    struct admin_reply reply = call("ranges", NULL, 0);
    struct slice ranges = result_of(&reply);
    cr_assert_eq(items(ranges, "bytes"), 64);
    struct mp_reader bytes = mp_reader_of(item(ranges, "bytes", 5));
    cr_assert_eq(mp_read_uint(&bytes), 50);
    admin_reply_done(&reply);
    reply = call("transfers", NULL, 0);
    struct slice transfer = item(result_of(&reply), "transfers", 0);
    cr_assert(text_is(transfer, "id", "0000000000000abc"));
    cr_assert(text_is(transfer, "role", "source"));
    cr_assert(text_is(transfer, "note", "waits"));
    admin_reply_done(&reply);
    reply = call("gossip", NULL, 0);
    cr_assert_eq(items(result_of(&reply), "peers"), 2);
    admin_reply_done(&reply);
    counters.gets = 41;
    reply = call("stats", NULL, 0);
    cr_assert_eq(number(field(result_of(&reply), "requests"), "gets"), 41);
    admin_reply_done(&reply);
}

Test(admin, verify_and_drain_are_for_the_session)
{
    struct admin_reply reply = CALL("verify", {.key = "from", .number = 3});
    cr_assert_eq(reply.outcome, ADMIN_VERIFY);
    cr_assert_eq(reply.verify_first, 3);
    cr_assert_eq(reply.verify_last, 63);
    admin_reply_done(&reply);
    refused(CALL("verify", {.key = "to", .number = 64}), ERR_BAD_REQUEST, "0 to 63");
    struct admin_range range = {.range = 3, .verified = {.keys = 7, .digest_tree = 0xff}};
    struct buf result = {0};
    admin_verified(&admin, &range, 1, &result);
    struct slice shown = item(buf_slice(&result), "ranges", 0);
    cr_assert_eq(number(shown, "slot"), 0);
    cr_assert_eq(number(shown, "keys"), 7);
    cr_assert(text_is(shown, "digest", "00000000000000ff"));
    buf_done(&result);
    reply = CALL("drain", {.key = "dry_run", .number = 1, .flag = true});
    cr_assert_eq(reply.outcome, ADMIN_DONE);
    admin_reply_done(&reply);
    reply = call("drain", NULL, 0);
    cr_assert_eq(reply.outcome, ADMIN_STOP);
    admin_reply_done(&reply);
}

/* --------------------------------------------------------------------------------------- Plans. */

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

Test(admin, a_plan_is_shown_applied_followed_and_done)
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

Test(admin, a_plan_rests_on_weights_when_they_are_given)
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

Test(admin, a_plan_waits_for_owners_that_are_down_and_passes_over_others)
{
    down[3] = true;
    struct admin_reply reply = call("plan", NULL, 0);
    cr_assert_eq(number(result_of(&reply), "moves_count"), 64, "c takes nothing");
    admin_reply_done(&reply);
    own(0, 2, (const uint64_t[]){1, 3}, 2);
    refused(call("plan", NULL, 0), ERR_UNAVAILABLE, "c owns slots and is down");
}

Test(admin, pause_resume_and_cancel_change_the_plan_under_way)
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

Test(admin, applied_moves_must_fit_the_ring)
{
    struct admin_reply plan = call("plan", NULL, 0);
    own(0, 2, (const uint64_t[]){1, 2, 3}, 3);
    refused(apply(result_of(&plan)), ERR_REFUSED, "plan again");
    admin_reply_done(&plan);
}

Test(admin, a_move_is_a_plan_or_joins_the_one_under_way)
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

Test(admin, members_are_named_by_name_or_id_and_mistakes_list_them)
{
    refused(CALL("plan", {.key = "leave", .text = "d"}), ERR_NOT_MEMBER,
            "no member is called \"d\"; the members are a (10000000), b (20000000), c (30000000)");
    struct admin_reply reply = CALL("plan", {.key = "leave", .text = "20000000"});
    cr_assert_eq(number(result_of(&reply), "moves_count"), 64, "b takes nothing");
    admin_reply_done(&reply);
}

Test(admin, leave_marks_the_node_and_plans_around_it)
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

Test(admin, leave_without_a_place_for_its_slots_is_refused)
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

/* ------------------------------------------------------------------------------------- Buckets. */

Test(admin, buckets_are_created_changed_and_listed)
{
    struct admin_reply reply = CALL(
        "bucket_create", {.key = "name", .text = "carts"}, {.key = "policy", .text = "siblings"},
        {.key = "w", .text = "all"}, {.key = "r", .number = 1}, {.key = "dw", .number = 0},
        {.key = "ttl_ms", .number = 5000}, {.key = "log_mode", .text = "interval"});
    obey(&reply);
    admin_reply_done(&reply);
    struct bucket bucket;
    cr_assert_eq(bucket_find(&core.settings, slice_string("carts"), &bucket), 0);
    cr_assert_eq(bucket.policy, POLICY_SIBLINGS);
    cr_assert_eq(bucket.w, CONSISTENCY_ALL);
    cr_assert_eq(bucket.r, 1);
    cr_assert_eq(bucket.ttl_ms, 5000);
    cr_assert_eq(bucket.log_mode, LOG_INTERVAL);
    refused(CALL("bucket_create", {.key = "name", .text = "carts"}), ERR_REFUSED, "exists");
    reply = CALL("bucket_set", {.key = "name", .text = "carts"}, {.key = "r", .text = "quorum"});
    obey(&reply);
    admin_reply_done(&reply);
    reply = CALL("bucket_describe", {.key = "name", .text = "carts"});
    struct slice shown = field(result_of(&reply), "bucket");
    cr_assert(text_is(shown, "r", "quorum"));
    cr_assert(text_is(shown, "w", "all"));
    cr_assert(text_is(shown, "policy", "siblings"));
    cr_assert_eq(number(shown, "counter"), 2);
    admin_reply_done(&reply);
    reply = call("bucket_list", NULL, 0);
    cr_assert_eq(items(result_of(&reply), "buckets"), 2);
    cr_assert(text_is(item(result_of(&reply), "buckets", 0), "name", "default"));
    admin_reply_done(&reply);
}

Test(admin, buckets_with_mistakes_are_refused)
{
    refused(CALL("bucket_create", {.key = "name", .text = "a b"}), ERR_BAD_REQUEST, "letters");
    refused(CALL("bucket_create", {.key = "name", .text = "a"}, {.key = "policy", .text = "best"}),
            ERR_BAD_REQUEST, "newest, siblings or lww");
    refused(CALL("bucket_create", {.key = "name", .text = "a"}, {.key = "r", .number = 8}),
            ERR_BAD_REQUEST, "1 to 7");
    refused(CALL("bucket_set", {.key = "name", .text = "a"}, {.key = "r", .number = 1}),
            ERR_UNKNOWN_BUCKET, "no bucket \"a\"");
    refused(CALL("bucket_set", {.key = "name", .text = "default"}), ERR_BAD_REQUEST, "nothing");
    refused(CALL("bucket_describe", {.key = "name", .text = "a"}), ERR_UNKNOWN_BUCKET, "\"a\"");
}
