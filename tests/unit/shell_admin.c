/* Cluster methods over tables built by hand: parameters, status, tables, buckets. */
#include "shell_admin.h"

TestSuite(admin, .init = set_up, .fini = tear_down);

/* --------------------------------------------------------------------------------- Parameters. */

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

/* ------------------------------------------------------------------------------------- Status. */

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
    cr_assert(item_has(status, "advice", 0, "start c, or `kvadmin replace c NEW`"));
    admin_reply_done(&reply);
    down[2] = true;
    reply = call("status", NULL, 0);
    status = result_of(&reply);
    cr_assert(text_is(status, "verdict", "UNAVAILABLE"));
    cr_assert(item_has(status, "reasons", 0, "64 of 64 ranges have no majority"));
    admin_reply_done(&reply);
}

Test(admin, status_tells_holes_that_fill_in_from_those_that_do_not)
{
    for (uint32_t range = 0; range < 64; range++)
        own(range, 2, (const uint64_t[]){1, 2, 3}, 3);
    stats.holes_now = 1;
    hole_from = 5ull << 58;
    hole_to = hole_from + 99;
    struct admin_reply reply = call("status", NULL, 0);
    struct slice status = result_of(&reply);
    cr_assert(text_is(status, "verdict", "DEGRADED"));
    cr_assert(item_has(status, "reasons", 0, "1 intervals of keys are unreadable on this node"));
    cr_assert(item_has(status, "advice", 0, "other copies are up"));
    cr_assert_eq(number(field(status, "store"), "holes"), 1);
    admin_reply_done(&reply);
    own(5, 3, (const uint64_t[]){1}, 1);
    reply = call("status", NULL, 0);
    status = result_of(&reply);
    cr_assert(item_has(status, "reasons", 1, "unreadable for good"));
    admin_reply_done(&reply);
    stats.holes_now = 0;
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

/* ------------------------------------------------------------------------------------- Tables. */

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

/* ------------------------------------------------------------------------------------ Buckets. */

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
