/* One put or get after another through three whole nodes in one process, for counting instructions.
 *
 * All of kvring between the bytes of a request and the bytes of its answer is in it: the client
 * port's codec, the core, messages between nodes in their frames, the store and its log, on disks
 * in memory. Sockets, threads and the kernel are not. Time is virtual and stands still while
 * it is counted, so that the same instructions run every time.
 *
 * usage: guard_scenario put|get DEPTH [COUNT]    DEPTH requests reach a node at once */
#include "base/error.h"
#include "core/node.h"
#include "shell/engine.h"
#include "store/disk_mem.h"
#include "wire/frame.h"
#include "wire/peer.h"
#include "wire/rpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <valgrind/callgrind.h>

enum { NODES = 3, KEYS = 4000, VALUE_SIZE = 64, CALLS = 256, CLUSTER_WAIT_S = 600 };

struct peer_queue {
    struct buf out;
    struct frames frames;
};

static struct machine {
    struct engine engine;
    struct disk *disk;
    struct store *store;
    struct node_id id;
    char address[8];
    struct peer_queue from[NODES]; /* What the others sent, and this node has not read. */
    struct mp_scan scan;
    struct arena request;
    struct arena answer;
    struct arena message;
    struct rpc_asked asked[CALLS];
    uint32_t calls;
    struct buf out; /* To the client. */
} machines[NODES];

static uint64_t now_us = 1000000;
static uint64_t answered;
static uint64_t failed;
static bool loud; /* A failed request ends the program. */

/* The clock that the engine reads. */
int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    uint64_t us = now_us + (clock == CLOCK_REALTIME ? UINT64_C(1700000000000000) : 0);
    ret_time->tv_sec = (time_t)(us / 1000000);
    ret_time->tv_nsec = (long)(us % 1000000) * 1000;
    return 0;
}

static _Noreturn void give_up(const char *why)
{
    fprintf(stderr, "guard_scenario: %s\n", why);
    exit(1);
}

/* ------------------------------------------------------------------------------- Hooks. */

static void on_send(void *arg, struct node_id to, struct slice address,
                    const struct message *message)
{
    const struct machine *self = arg;
    for (uint32_t i = 0; i < NODES; i++) {
        bool is_it = id_none(to) ? slice_equal(address, slice_string(machines[i].address))
                                 : id_equal(to, machines[i].id);
        if (is_it && message_encode(message, &machines[i].from[self - machines].out) != 0)
            give_up("a message does not fit into a frame");
    }
}

static void on_reply(void *arg, uint64_t client, const struct answer *answer)
{
    struct machine *self = arg;
    answered++;
    failed += answer->error != 0;
    if (loud && answer->error != 0)
        give_up(error_word(answer->error));
    if (!loud)
        return;
    arena_reset(&self->answer);
    rpc_answer((uint32_t)client, &self->asked[client % CALLS], answer, &self->answer, &self->out);
}

static void on_done(void *arg, const struct store_done *done)
{
    (void)arg;
    (void)done;
}

static void on_halt(void *arg, int error, struct slice detail)
{
    (void)arg;
    (void)detail;
    give_up(error_word(error));
}

static void on_failed(void *arg, const char *text)
{
    (void)arg;
    give_up(text);
}

/* ------------------------------------------------------------------------------- Nodes. */

static void machine_open(uint32_t i)
{
    struct machine *self = &machines[i];
    self->id = (struct node_id){i + 1, i + 1};
    (void)snprintf(self->address, sizeof(self->address), "n%u:1", i);
    self->scan = rpc_scan();
    self->disk = disk_mem_new(&(struct disk_mem_options){.segment_size = 1 << 24});
    const struct store_options store_options = {
        .done = engine_done, .durable = engine_durable, .failed = on_failed, .arg = &self->engine};
    const struct engine_hooks hooks = {
        .send = on_send, .reply = on_reply, .done = on_done, .halt = on_halt, .arg = self};
    struct store_recovered recovered;
    struct buf text = {0};
    if (store_open(&store_options, self->disk, &self->store, &recovered, &text) != 0)
        give_up("the store does not open");
    struct slice seed = slice_string("n0:1");
    struct slice address = slice_string(self->address);
    const struct node_options options = {
        .self = self->id,
        .name = slice_string((const char *[]){"a", "b", "c"}[i]),
        .peer = address,
        .client = address,
        .http = address,
        .capacity = 100,
        .seeds = &seed,
        .seeds_count = i > 0,
        .create = i == 0,
        .cluster = {.id = {3, 4}, .name = slice_string("t"), .range_bits = 6, .copies = NODES},
        .timing = timing_default,
        .seed = 7 + i,
        .metas = recovered.metas,
        .metas_count = recovered.metas_count,
        .position = recovered.position,
        .clean = recovered.clean,
    };
    if (engine_init(&self->engine, &options, self->store, &hooks) != 0)
        give_up("the node does not start");
    buf_done(&text);
}

static void machine_close(struct machine *self)
{
    engine_free(&self->engine);
    store_close(self->store);
    disk_close(self->disk);
    for (uint32_t i = 0; i < NODES; i++) {
        buf_done(&self->from[i].out);
        frames_done(&self->from[i].frames);
    }
    arena_done(&self->request);
    arena_done(&self->answer);
    arena_done(&self->message);
    buf_done(&self->out);
}

/* Let SELF read what SENDER sent. */
static void machine_read(struct machine *self, uint32_t sender)
{
    struct peer_queue *queue = &self->from[sender];
    struct slice payload;
    size_t at = 0;
    while (at < queue->out.size) {
        size_t room = 0;
        uint8_t *to = frames_room(&queue->frames, &room);
        size_t size = MIN(room, queue->out.size - at);
        memcpy(to, queue->out.data + at, size);
        frames_received(&queue->frames, size);
        at += size;
        while (frames_next(&queue->frames, &payload) == 1) {
            struct message message;
            arena_reset(&self->message);
            if (message_decode(payload, &self->message, engine_ranges_max(&self->engine),
                               &message) != 0)
                give_up("a message does not decode");
            const struct event event = {
                .type = EVENT_MESSAGE,
                .message = {.from = machines[sender].id, .message = &message},
            };
            engine_step(&self->engine, &event);
        }
    }
    buf_clear(&queue->out);
}

static bool machine_turn(struct machine *self)
{
    bool busy = false;
    engine_tick(&self->engine);
    for (uint32_t i = 0; i < NODES; i++) {
        if (self->from[i].out.size > 0) {
            machine_read(self, i);
            busy = true;
        }
    }
    engine_flush(&self->engine);
    engine_poll(&self->engine);
    return busy || engine_pending(&self->engine);
}

/* Until nobody has anything more to say. */
static void settle(void)
{
    bool busy = true;
    while (busy) {
        busy = false;
        for (uint32_t i = 0; i < NODES; i++)
            busy |= machine_turn(&machines[i]);
    }
}

static void pass(uint64_t us)
{
    now_us += us;
    for (uint32_t i = 0; i < NODES; i++)
        engine_timer(&machines[i].engine);
    settle();
}

/* ----------------------------------------------------------------------------- Cluster. */

static bool all_ready(void)
{
    for (uint32_t i = 0; i < NODES; i++) {
        if (node_state(machines[i].engine.node) != NODE_READY ||
            node_core(machines[i].engine.node)->members.count != NODES)
            return false;
    }
    return true;
}

static bool all_copied(void)
{
    for (uint32_t i = 0; i < NODES; i++) {
        const struct ring *ring = &node_core(machines[i].engine.node)->ring;
        for (uint32_t range = 0; range < ring_ranges(ring); range++) {
            const struct range_record *record = ring_get(ring, range);
            if (record->slots_count != NODES)
                return false;
            for (uint32_t k = 0; k < NODES; k++) {
                if (record->slots[k].stage != STAGE_STABLE)
                    return false;
            }
        }
    }
    return true;
}

static void wait_for(bool (*condition)(void), const char *what)
{
    for (int i = 0; i < CLUSTER_WAIT_S * 100; i++) {
        if (condition())
            return;
        pass(10000);
    }
    give_up(what);
}

static void order_copies(void)
{
    const struct ring *ring = &node_core(machines[0].engine.node)->ring;
    struct plan_node nodes[NODES];
    for (uint32_t i = 0; i < NODES; i++)
        nodes[i] = (struct plan_node){.id = machines[i].id, .capacity = 100};
    const struct plan_input input = {
        .ring = ring, .nodes = nodes, .nodes_count = NODES, .copies = NODES};
    struct plan plan;
    struct plan_figures figures;
    struct buf bytes = {0};
    if (plan_make(&input, &plan, &figures) != 0)
        give_up("there is no plan");
    plan.id = 1;
    plan_encode(&plan, &bytes);
    const struct command command = {
        .type = COMMAND_SET, .name = slice_string("plan"), .value = buf_slice(&bytes)};
    const struct event event = {.type = EVENT_COMMAND, .command = {.command = &command}};
    engine_step(&machines[0].engine, &event);
    plan_done(&plan);
    buf_done(&bytes);
}

/* ---------------------------------------------------------------------------- Requests. */

static void request_write(struct buf *out, uint32_t id, bool put, uint32_t key)
{
    char name[32];
    uint8_t value[VALUE_SIZE];
    (void)snprintf(name, sizeof(name), "key%010u", key);
    memset(value, (int)(id & 255), sizeof(value));
    mp_write_array(out, 4);
    mp_write_uint(out, 0);
    mp_write_uint(out, id);
    mp_write_text(out, put ? "put" : "get");
    mp_write_map(out, put ? 3 : 2);
    mp_write_text(out, "bucket");
    mp_write_text(out, "default");
    mp_write_text(out, "key");
    mp_write_binary(out, slice_string(name));
    if (put) {
        mp_write_text(out, "value");
        mp_write_binary(out, slice_of(value, sizeof(value)));
    }
}

static void machine_request(struct machine *self, struct slice bytes)
{
    struct rpc_request request;
    arena_reset(&self->request);
    if (rpc_decode(bytes, &self->request, 1 << 20, &request) != 0)
        give_up("a request does not decode");
    const struct request *what = &request.requests[0];
    const struct event event = {.type = EVENT_REQUEST,
                                .request = {.client = request.id, .request = what}};
    self->asked[request.id % CALLS] =
        (struct rpc_asked){.method = what->method, .bucket = what->bucket, .key = what->key};
    engine_step(&self->engine, &event);
}

/* Requests DEPTH at a time to each node in turn, and all that they cause. */
static void pass_on(const struct buf *requests, uint32_t depth)
{
    size_t at = 0;
    for (uint32_t turn = 0; at < requests->size; turn++) {
        struct machine *self = &machines[turn % NODES];
        engine_tick(&self->engine);
        for (uint32_t i = 0; i < depth && at < requests->size; i++) {
            size_t more = 0;
            struct slice left = slice_of(requests->data + at, requests->size - at);
            if (mp_scan(&self->scan, left, &more) != 0 || more > 0)
                give_up("a request is not whole");
            size_t size = self->scan.at;
            self->scan = rpc_scan();
            machine_request(self, slice_of(left.data, size));
            at += size;
        }
        settle();
        buf_clear(&self->out);
    }
}

static void run(bool put, uint32_t depth, uint32_t count, uint32_t first, bool counted)
{
    struct buf requests = {0};
    for (uint32_t i = 0; i < count; i++)
        request_write(&requests, first + i, put, (first + i) % KEYS);
    uint64_t before = answered;
    if (counted)
        CALLGRIND_TOGGLE_COLLECT;
    pass_on(&requests, depth);
    if (counted)
        CALLGRIND_TOGGLE_COLLECT;
    if (answered - before != count)
        give_up("a request was not answered");
    buf_done(&requests);
}

int main(int argc, char **argv)
{
    uint32_t depth = argc > 2 ? (uint32_t)atoi(argv[2]) : 0;
    uint32_t count = argc > 3 ? (uint32_t)atoi(argv[3]) : 2000;
    bool put = argc > 2 && strcmp(argv[1], "put") == 0;
    if ((!put && (argc < 3 || strcmp(argv[1], "get") != 0)) || depth == 0 || depth > CALLS)
        give_up("usage: guard_scenario put|get DEPTH [COUNT]");
    for (uint32_t i = 0; i < NODES; i++)
        machine_open(i);
    settle();
    wait_for(all_ready, "the nodes do not find each other");
    order_copies();
    wait_for(all_copied, "the copies are not made");
    loud = true;
    run(true, 16, KEYS, 0, false); /* Not counted: memory grows to its size, keys are there. */
    pass(3000000);                 /* What waits for late answers is let go. */
    run(put, depth, count, KEYS, true);
    printf("%s %u: %u requests, %llu failed\n", put ? "put" : "get", depth, count,
           (unsigned long long)failed);
    for (uint32_t i = 0; i < NODES; i++)
        machine_close(&machines[i]);
    return 0;
}
