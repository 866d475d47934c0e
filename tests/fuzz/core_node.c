/* A whole node with a store in memory, among peers that say whatever the input makes of them: each
 * message is well formed (it goes through the codec), and none may trip an assertion, touch memory
 * that is gone, or make the node busy with itself for ever.
 *
 * Node 0 holds ranges in several ways: as an owner of three, not at all, as the target of a move,
 * alone. Of its six peers the last two never answer; the others answer greetings and pings. */
#include "answers.h"
#include "core/node.h"
#include "draw.h"
#include "store/disk_mem.h"
#include "store/store.h"
#include "wire/frame.h"
#include "wire/peer.h"

enum {
    RANGE_BITS = 2,
    PEERS_ALIVE = 4,
    SENT = 16,
    STEPS_MAX = 20000, /* That one piece of input may cause. */
    WAKES_MAX = 200,   /* Timers that are let fire one by one; past that, time jumps. */
    DEADLINE_MS = 5000,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An event that waits for its step, with all it points to. */
struct item {
    struct item *next;
    struct arena arena;
    struct event event;
    struct store_done done;
    struct message message;
    struct slice frame; /* Of a message from self or an answering peer. */
};

/* What the node sent last, to be answered. */
struct sent {
    struct node_id to;
    struct buf frame;
};

struct rig {
    struct draw draw;
    struct disk *disk;
    struct store *store;
    struct node *node;
    struct effects effects;
    struct moment now;
    struct item *first;
    struct item **last;
    struct sent sent[SENT];
    uint32_t sent_next;
    uint64_t client;
    bool halted;
};

/* ------------------------------------------------------------------------------ The queue. */

static struct item *enqueue(struct rig *rig, enum event_type type)
{
    struct item *item = mem_zero(sizeof(*item));
    item->event.type = type;
    *rig->last = item;
    rig->last = &item->next;
    return item;
}

static void on_done(void *arg, const struct store_done *done)
{
    struct item *item = enqueue(arg, EVENT_STORE);
    struct arena *arena = &item->arena;
    item->done = *done;
    item->event.store = &item->done;
    item->done.object = arena_copy(arena, done->object);
    item->done.earlier = arena_copy(arena, done->earlier);
    struct entry *entries = arena_alloc(arena, (done->entries_count + 1) * sizeof(*entries));
    for (uint32_t i = 0; i < done->entries_count; i++)
        entries[i] = (struct entry){
            done->entries[i].hash, arena_copy(arena, done->entries[i].bucket),
            arena_copy(arena, done->entries[i].key), arena_copy(arena, done->entries[i].object)};
    item->done.entries = entries;
    if (done->entries_slots != NULL)
        item->done.entries_slots =
            arena_copy(arena, slice_of(done->entries_slots, done->entries_count)).data;
}

static void on_durable(void *arg, uint64_t written, uint64_t synced)
{
    struct item *item = enqueue(arg, EVENT_DURABLE);
    item->event.durable.written = written;
    item->event.durable.synced = item->event.durable.logged = synced;
}

static void on_failed(void *arg, const char *text)
{
    (void)arg;
    (void)text;
    ASSERT(!"the store failed, and its disk did not");
}

static void enqueue_message(struct rig *rig, struct node_id from, const struct message *message)
{
    struct buf frame = {0};
    if (message_encode(message, &frame) == 0) {
        struct item *item = enqueue(rig, EVENT_MESSAGE);
        item->event.message.from = from;
        item->event.message.message = &item->message;
        item->frame = arena_copy(
            &item->arena, slice_of(frame.data + FRAME_HEADER_SIZE, frame.size - FRAME_HEADER_SIZE));
    }
    buf_done(&frame);
}

/* ---------------------------------------------------------------------------- The node's peers. */

static struct member member_of(uint32_t number)
{
    static const char *const addresses[] = {"n0", "n1", "n2", "n3", "n4", "n5", "n6"};
    struct slice address = slice_string(addresses[number]);
    return (struct member){.id = draw_node_of(number),
                           .generation = 1,
                           .version = 1,
                           .capacity = 100,
                           .protocol = 1,
                           .name = address,
                           .zone = slice_string("z"),
                           .peer = address,
                           .client = address,
                           .http = address};
}

/* Peers that live greet, and answer pings. */
static void peer_takes(struct rig *rig, uint32_t peer, const struct message *message)
{
    const struct core *core = node_core(rig->node);
    struct message answer = {0};
    if (message->type == MESSAGE_HELLO) {
        answer.type = MESSAGE_WELCOME;
        answer.welcome.cluster = core->cluster;
        answer.welcome.self = member_of(peer);
        answer.welcome.nonce = message->hello.nonce;
    } else if (message->type == MESSAGE_PING) {
        answer = *message;
        answer.type = MESSAGE_PONG;
        answer.ping.generation = 1;
        answer.ping.wall_ms = rig->now.wall_ms;
        answer.ping.load = (struct load){.id = draw_node_of(peer), .generation = 1};
    } else {
        return;
    }
    enqueue_message(rig, draw_node_of(peer), &answer);
}

static void carry_send(struct rig *rig, const struct effect *effect)
{
    const struct message *message = effect->send.message;
    if (id_equal(effect->send.to, draw_node_of(0))) {
        enqueue_message(rig, effect->send.to, message);
        return;
    }
    draw_note(&rig->draw, message);
    struct sent *sent = &rig->sent[rig->sent_next++ % SENT];
    sent->to = effect->send.to;
    buf_clear(&sent->frame);
    ASSERT(message_encode(message, &sent->frame) == 0);
    for (uint32_t peer = 1; peer <= PEERS_ALIVE; peer++)
        if (id_equal(effect->send.to, draw_node_of(peer)))
            peer_takes(rig, peer, message);
}

/* ------------------------------------------------------------------------------ Stepping. */

static void carry_out(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->effects.count; i++) {
        const struct effect *effect = &rig->effects.items[i];
        if (effect->type == EFFECT_SEND)
            carry_send(rig, effect);
        else if (effect->type == EFFECT_HALT)
            rig->halted = true;
    }
    for (uint32_t i = 0; i < rig->effects.count; i++)
        if (rig->effects.items[i].type == EFFECT_STORE)
            store_submit(rig->store, rig->effects.items[i].store);
}

static void step(struct rig *rig, const struct event *event)
{
    if (rig->halted)
        return;
    effects_reset(&rig->effects);
    node_step(rig->node, rig->now, event, &rig->effects);
    node_check(rig->node);
    carry_out(rig);
}

static void step_item(struct rig *rig, struct item *item)
{
    bool good = item->event.type != EVENT_MESSAGE ||
                message_decode(item->frame, &item->arena, 1u << RANGE_BITS, &item->message) == 0;
    if (good)
        step(rig, &item->event);
    arena_done(&item->arena);
    mem_free(item);
}

/* Until nothing is left to be done now. */
static void pump(struct rig *rig)
{
    for (uint32_t steps = 0;; steps++) {
        ASSERT(steps < STEPS_MAX);
        if (rig->first == NULL) {
            store_flush(rig->store);
            store_poll(rig->store, rig->now);
        }
        struct item *item = rig->first;
        if (item == NULL)
            return;
        rig->first = item->next;
        if (rig->first == NULL)
            rig->last = &rig->first;
        step_item(rig, item);
    }
}

static void wait_us(struct rig *rig, uint64_t us)
{
    uint64_t until = rig->now.us + us;
    for (uint32_t wakes = 0; !rig->halted && rig->now.us < until; wakes++) {
        uint64_t next = wakes < WAKES_MAX ? node_wake_us(rig->node) : until;
        next = MAX(MIN(next, until), rig->now.us);
        rig->now.wall_ms += next / 1000 - rig->now.us / 1000;
        rig->now.us = next;
        rig->draw.wall_ms = rig->now.wall_ms;
        step(rig, &(struct event){.type = EVENT_TIMER});
        pump(rig);
    }
}

/* ------------------------------------------------------------------------------ Its beginning. */

static struct slot stable(uint8_t number, uint32_t owner)
{
    return (struct slot){.number = number, .owner = draw_node_of(owner)};
}

static void introduce(struct rig *rig)
{
    struct member members[DRAWN_NODES];
    for (uint32_t i = 0; i < DRAWN_NODES; i++)
        members[i] = member_of(i);
    const struct range_record records[] = {
        {.range = 0,
         .epoch = 5,
         .slots_count = 3,
         .slots = {stable(0, 0), stable(1, 1), stable(2, 2)}},
        {.range = 1,
         .epoch = 5,
         .slots_count = 3,
         .slots = {stable(0, 1), stable(1, 5), stable(2, 6)}},
        {.range = 2,
         .epoch = 5,
         .transfer = 7,
         .slots_count = 3,
         .slots = {{.number = 0,
                    .stage = STAGE_JOINT,
                    .owner = draw_node_of(3),
                    .target = draw_node_of(0)},
                   stable(1, 1),
                   stable(2, 2)}},
    };
    struct message message = {.type = MESSAGE_BULK};
    message.bulk.delta.members = members + 1;
    message.bulk.delta.members_count = DRAWN_NODES - 1;
    message.bulk.delta.records = records;
    message.bulk.delta.records_count = ARRAY_SIZE(records);
    enqueue_message(rig, draw_node_of(1), &message);
    pump(rig);
    wait_us(rig, 12000000);
}

static void begin(struct rig *rig, const uint8_t *data, size_t size)
{
    *rig = (struct rig){.draw = {.data = data, .size = size, .ranges = 1u << RANGE_BITS},
                        .now = {.us = 1000000, .wall_ms = 1700000000000u}};
    rig->last = &rig->first;
    rig->draw.wall_ms = rig->now.wall_ms;
    rig->disk = disk_mem_new(&(struct disk_mem_options){0});
    struct store_options store_options = {.memory_max = 64 * 1024,
                                          .log_interval_ms = 200,
                                          .tree_bits = 8,
                                          .done = on_done,
                                          .durable = on_durable,
                                          .failed = on_failed,
                                          .arg = rig};
    struct store_recovered recovered;
    struct buf text = {0};
    ASSERT(store_open(&store_options, rig->disk, &rig->store, &recovered, &text) == 0);
    buf_done(&text);
    struct member self = member_of(0);
    struct node_options options = {
        .self = self.id,
        .name = self.name,
        .zone = self.zone,
        .peer = self.peer,
        .client = self.client,
        .http = self.http,
        .capacity = 100,
        .create = true,
        .cluster = {{7, 7}, slice_string("fuzz"), 1, RANGE_BITS, 3},
        .timing = timing_default,
        .seed = 1,
        .hints_max = 4096,
        .requests_max = 64,
        .found = recovered.found,
        .position = recovered.position,
        .clean = true,
    };
    store_set_ranges(rig->store, RANGE_BITS, options.cluster.hash_seed);
    ASSERT(node_new(&options, rig->now, &rig->effects, &rig->node) == 0);
    rig->draw.ring = &node_core(rig->node)->ring;
    carry_out(rig);
    pump(rig);
    introduce(rig);
    ASSERT(!rig->halted && node_state(rig->node) == NODE_READY);
}

static void end(struct rig *rig)
{
    node_free(rig->node);
    store_close(rig->store);
    disk_close(rig->disk);
    while (rig->first != NULL) {
        struct item *item = rig->first;
        rig->first = item->next;
        arena_done(&item->arena);
        mem_free(item);
    }
    for (uint32_t i = 0; i < SENT; i++)
        buf_done(&rig->sent[i].frame);
    effects_done(&rig->effects);
    arena_done(&rig->draw.arena);
}

/* --------------------------------------------------------------------------- What peers say. */

static struct range_epoch *epoch_in(struct message *message)
{
    switch (message->type) {
    case MESSAGE_OFFER:
    case MESSAGE_ACCEPT:
    case MESSAGE_REJECT:
        return &message->offer.range;
    case MESSAGE_PREPARE:
    case MESSAGE_PROMISE:
    case MESSAGE_PROPOSE:
    case MESSAGE_ACCEPTED:
    case MESSAGE_CHOSEN:
    case MESSAGE_INSTALLED:
        return &message->vote.range;
    case MESSAGE_CHUNK:
    case MESSAGE_CHUNK_ACK:
    case MESSAGE_COMPLETE:
        return &message->chunk.range;
    case MESSAGE_FORWARD:
        return &message->forward.range;
    case MESSAGE_WRITE:
    case MESSAGE_READ:
    case MESSAGE_HINT:
        return &message->write.range;
    case MESSAGE_SCAN:
        return &message->scan.range;
    case MESSAGE_REPLY:
        return &message->reply.range;
    case MESSAGE_COMPARE:
    case MESSAGE_LEAVES:
    case MESSAGE_OBJECTS:
        return &message->compare.range;
    default:
        return NULL;
    }
}

/* What a request needs to be looked at, mostly. */
static void make_sense(struct rig *rig, struct message *message)
{
    struct draw *draw = &rig->draw;
    const struct core *core = node_core(rig->node);
    struct range_epoch *range = epoch_in(message);
    uint64_t deadline = hlc_at(rig->now.wall_ms + DEADLINE_MS);
    uint8_t ways = draw_byte(draw);
    bool write = message->type == MESSAGE_WRITE || message->type == MESSAGE_READ ||
                 message->type == MESSAGE_HINT;
    if (message->type == MESSAGE_REFUSED && (ways & 15) != 1)
        message->refused.nonce = 0;
    if (write && (ways & 15) != 1) {
        message->write.target = core->self;
        message->write.deadline = deadline;
        message->write.bucket = slice_string("default");
        message->write.key = draw_key(draw);
        if ((ways & 15) != 2)
            message->write.range.range = range_of(
                key_hash(core->cluster.hash_seed, message->write.bucket, message->write.key),
                RANGE_BITS);
    }
    if (message->type == MESSAGE_FORWARD && (ways & 15) != 1) {
        message->forward.deadline = deadline;
        message->forward.hops = (uint8_t)(message->forward.hops % 4);
        message->forward.request.bucket = slice_string("default");
        message->forward.request.key = draw_key(draw);
    }
    if (range != NULL && ways >> 4 != 0) {
        const struct range_record *record = ring_get(&core->ring, range->range);
        *range = range_epoch_of(record);
        if (message->type >= MESSAGE_PREPARE && message->type <= MESSAGE_INSTALLED)
            message->vote.record.range = range->range;
        if (write)
            message->write.record.range = range->range;
        if (message->type == MESSAGE_REPLY)
            message->reply.record.range = range->range;
    }
}

static void say(struct rig *rig)
{
    struct draw *draw = &rig->draw;
    struct message message = {0};
    struct node_id from = draw_node_of(1 + draw_below(draw, DRAWN_NODES - 1));
    message.type = (enum message_type)(1 + draw_below(draw, MESSAGE_TYPES - 1));
    draw_shape(draw, message_shapes[message.type], &message);
    make_sense(rig, &message);
    enqueue_message(rig, from, &message);
}

static void answer(struct rig *rig)
{
    struct draw *draw = &rig->draw;
    const struct sent *sent = &rig->sent[draw_below(draw, SENT)];
    uint32_t way = draw_below(draw, 4);
    struct message asked;
    struct message message = {0};
    struct slice frame = buf_slice(&sent->frame);
    if (frame.size == 0)
        return;
    frame = arena_copy(&draw->arena,
                       slice_of(frame.data + FRAME_HEADER_SIZE, frame.size - FRAME_HEADER_SIZE));
    if (message_decode(frame, &draw->arena, draw->ranges, &asked) < 0)
        return;
    message.type = answer_to(asked.type, way);
    draw_shape(draw, message_shapes[message.type], &message);
    match(&message, &asked, way);
    enqueue_message(rig, sent->to, &message);
}

/* --------------------------------------------------------------------- What clients ask. */

static void ask(struct rig *rig)
{
    struct draw *draw = &rig->draw;
    struct message message = {.type = MESSAGE_FORWARD};
    draw_shape(draw, message_shapes[MESSAGE_FORWARD], &message);
    struct request *request = &message.forward.request;
    request->bucket = slice_string("default");
    if (draw_below(draw, 8) > 0)
        request->key = draw_key(draw);
    if (draw_below(draw, 8) > 0)
        request->context = SLICE_NONE;
    if (draw_below(draw, 4) > 0)
        request->strict = false;
    if (request->method != METHOD_SCAN && request->key.size == 0)
        return; /* The client's port refuses these. */
    request->limit = MAX(request->limit, 1u);
    step(rig, &(struct event){.type = EVENT_REQUEST, .request = {++rig->client, request}});
}

static void command(struct rig *rig)
{
    struct draw *draw = &rig->draw;
    struct command command = {.type = (enum command_type)(1 + draw_below(draw, 4))};
    struct setting setting = draw_setting(draw);
    command.name = setting.name;
    command.value = setting.value;
    command.node = draw_node(draw);
    if (command.type == COMMAND_DRAIN && draw_below(draw, 4) > 0)
        return;
    step(rig, &(struct event){.type = EVENT_COMMAND, .command = {++rig->client, &command}});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t waits_us[] = {1000, 50000, 200000, 1000000, 5000000, 31000000};
    struct rig rig;
    begin(&rig, data, size);
    while (draw_more(&rig.draw) && !rig.halted) {
        arena_reset(&rig.draw.arena);
        uint8_t what = draw_byte(&rig.draw) % 16;
        if (what < 5)
            say(&rig);
        else if (what < 10)
            answer(&rig);
        else if (what < 12)
            ask(&rig);
        else if (what < 14)
            wait_us(&rig, waits_us[draw_below(&rig.draw, ARRAY_SIZE(waits_us))]);
        else if (what == 14)
            command(&rig);
        else
            step(&rig, &(struct event){.type = EVENT_PEER_LOST, .peer = draw_node(&rig.draw)});
        pump(&rig);
    }
    end(&rig);
    return 0;
}
