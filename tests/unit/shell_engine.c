/* The engine over a disk in memory: one node, founded, asked, stopped. */
#include "shell/engine.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "base/error.h"
#include "store/disk_mem.h"

static struct engine engine;
static struct disk *disk;
static struct store *store;
static struct store_recovered recovered;

/* What the hooks saw last. */
static struct {
    uint64_t client;
    int error;
    uint32_t replies;
    uint8_t object[4096];
    size_t object_size;
    uint32_t sent;
    uint32_t done;
    bool halted;
} seen;

static void on_send(void *arg, struct node_id to, struct slice address,
                    const struct message *message)
{
    (void)arg, (void)to, (void)address, (void)message;
    seen.sent++;
}

static void on_reply(void *arg, uint64_t client, const struct answer *answer)
{
    (void)arg;
    seen.client = client;
    seen.error = answer->error;
    seen.replies++;
    seen.object_size = MIN(answer->object.size, sizeof seen.object);
    if (seen.object_size > 0)
        memcpy(seen.object, answer->object.data, seen.object_size);
}

static void on_done(void *arg, const struct store_done *done)
{
    (void)arg;
    cr_assert_eq(done->type, STORE_VERIFY);
    cr_assert_eq(done->error, 0);
    cr_assert_eq(done->verified.digest_tree, done->verified.digest_data);
    seen.done++;
}

static void on_halt(void *arg, int error, struct slice detail)
{
    (void)arg, (void)error, (void)detail;
    seen.halted = true;
}

static void on_failed(void *arg, const char *text)
{
    (void)arg;
    cr_assert_fail("%s", text);
}

static void open_node(void)
{
    const struct store_options store_options = {
        .done = engine_done, .durable = engine_durable, .failed = on_failed, .arg = &engine};
    const struct engine_hooks hooks = {
        .send = on_send, .reply = on_reply, .done = on_done, .halt = on_halt};
    struct buf error = {0};
    engine = (struct engine){0};
    cr_assert_eq(store_open(&store_options, disk, &store, &recovered, &error), 0, "%.*s",
                 (int)error.size, (char *)error.data);
    const struct node_options options = {
        .self = {1, 2},
        .name = slice_string("a"),
        .peer = slice_string("h:1"),
        .client = slice_string("h:2"),
        .http = slice_string("h:3"),
        .create = true,
        .cluster = {.id = {3, 4}, .name = slice_string("t"), .range_bits = 6, .copies = 3},
        .timing = timing_default,
        .seed = 7,
        .metas = recovered.metas,
        .metas_count = recovered.metas_count,
        .found = recovered.found,
        .position = recovered.position,
        .clean = recovered.clean,
    };
    cr_assert_eq(engine_init(&engine, &options, store, &hooks), 0);
}

/* The disk in memory completes when it is asked to, so that a few turns bring everything. */
static void turn(void)
{
    for (int i = 0; i < 20; i++) {
        engine_flush(&engine);
        engine_poll(&engine);
        engine_timer(&engine);
    }
}

static void setup(void)
{
    const struct disk_mem_options options = {0};
    memset(&seen, 0, sizeof seen);
    disk = disk_mem_new(&options);
    open_node();
    turn();
    cr_assert_eq(node_state(engine.node), NODE_READY);
}

static void teardown(void)
{
    engine_free(&engine);
    store_close(store);
    disk_close(disk);
}

static void ask(uint64_t client, enum method method, const char *key, const char *value)
{
    const struct request request = {
        .method = method,
        .bucket = slice_string("default"),
        .key = slice_string(key),
        .value = slice_string(value),
    };
    const struct event event = {.type = EVENT_REQUEST,
                                .request = {.client = client, .request = &request}};
    engine_tick(&engine);
    engine_step(&engine, &event);
    turn();
}

static struct slice value_seen(struct arena *arena)
{
    struct object object;
    cr_assert_eq(object_decode(slice_of(seen.object, seen.object_size), arena, &object), 0);
    cr_assert_eq(object.count, 1);
    return object.siblings[0].value;
}

TestSuite(engine, .init = setup, .fini = teardown);

Test(engine, a_put_is_answered_once_it_is_durable)
{
    struct arena arena = {0};
    disk_mem_hold(disk, true);
    ask(11, METHOD_PUT, "k", "v");
    cr_assert_eq(seen.replies, 0);
    disk_mem_hold(disk, false);
    turn();
    cr_assert_eq(seen.replies, 1);
    cr_assert_eq(seen.client, 11);
    cr_assert_eq(seen.error, 0);
    ask(12, METHOD_GET, "k", "");
    cr_assert_eq(seen.client, 12);
    cr_assert(slice_equal(value_seen(&arena), slice_string("v")));
    ask(13, METHOD_GET, "other", "");
    cr_assert_eq(seen.replies, 3);
    arena_done(&arena);
}

Test(engine, a_scan_passes_through_messages_to_self)
{
    for (int i = 0; i < 30; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%d", i);
        ask(100, METHOD_PUT, key, "v");
    }
    const struct request request = {
        .method = METHOD_SCAN, .bucket = slice_string("default"), .limit = 100};
    const struct event event = {.type = EVENT_REQUEST,
                                .request = {.client = 5, .request = &request}};
    engine_step(&engine, &event);
    turn();
    cr_assert_eq(seen.client, 5);
    cr_assert_eq(seen.error, 0);
    cr_assert_eq(seen.sent, 0, "nobody else is there to send to");
    cr_assert_eq(engine.messages_dropped, 0);
}

Test(engine, own_operations_end_in_the_hook)
{
    ask(1, METHOD_PUT, "k", "v");
    for (uint32_t range = 0; range < 64; range++) {
        const struct store_op op = {.type = STORE_VERIFY, .token = range, .range = range};
        engine_submit(&engine, &op);
    }
    turn();
    cr_assert_eq(seen.done, 64);
}

Test(engine, a_lost_peer_that_nobody_knows_is_no_harm)
{
    engine_peer_lost(&engine, (struct node_id){9, 9});
    cr_assert(engine_pending(&engine));
    turn();
    cr_assert_not(engine_pending(&engine));
    cr_assert_not(seen.halted);
}

Test(engine, what_was_answered_survives_a_stop_and_a_start)
{
    struct arena arena = {0};
    ask(1, METHOD_PUT, "k", "v");
    engine_stop(&engine);
    store_stop(store);
    for (int i = 0; i < 100 && !store_stopped(store); i++)
        turn();
    cr_assert(store_stopped(store));
    uint64_t generation = node_core(engine.node)->generation;
    engine_free(&engine);
    store_close(store);
    open_node();
    cr_assert(recovered.clean);
    turn();
    cr_assert_eq(node_core(engine.node)->generation, generation + 1);
    ask(2, METHOD_GET, "k", "");
    cr_assert_eq(seen.client, 2);
    cr_assert(slice_equal(value_seen(&arena), slice_string("v")));
    arena_done(&arena);
}
