/* Batches of effects, and the queue of what they cause. */
#include "shell/engine.h"

#include <time.h>

#include "wire/frame.h"
#include "wire/peer.h"

enum {
    SPARES_MAX = 8,
    TASKS_MIN = 64,
    HOLDING_LINES = 3, /* What a request reads of one: all but the later slots of its record. */
};

/* The effects of one step; its arena also holds the event, if that had to be copied. */
struct engine_batch {
    struct effects effects;
    struct engine_batch *next; /* In the list of spares. */
};

struct engine_task {
    struct event event;
    struct engine_batch *batch; /* To step into, or NULL. */
};

struct moment engine_clock(void)
{
    struct timespec monotonic, wall;
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    clock_gettime(CLOCK_REALTIME, &wall);
    return (struct moment){
        .us = (uint64_t)monotonic.tv_sec * 1000000 + (uint64_t)monotonic.tv_nsec / 1000,
        .wall_ms = (uint64_t)wall.tv_sec * 1000 + (uint64_t)wall.tv_nsec / 1000000,
        .wall_part = (uint16_t)((uint64_t)wall.tv_nsec % 1000000 * 65536 / 1000000),
    };
}

/* ------------------------------------------------------------------------------ Batches. */

static struct engine_batch *batch_take(struct engine *engine)
{
    struct engine_batch *batch = engine->spares;
    if (batch != NULL) {
        engine->spares = batch->next;
        engine->spares_count--;
    } else {
        batch = mem_zero(sizeof *batch);
    }
    return batch;
}

static void batch_free(struct engine_batch *batch)
{
    effects_done(&batch->effects);
    mem_free(batch);
}

static void batch_release(struct engine *engine, struct engine_batch *batch)
{
    if (engine->spares_count == SPARES_MAX) {
        batch_free(batch);
        return;
    }
    effects_reset(&batch->effects);
    batch->next = engine->spares;
    engine->spares = batch;
    engine->spares_count++;
}

/* -------------------------------------------------------------------------------- Queue. */

static struct engine_task *task_add(struct engine *engine)
{
    if (engine->tasks_count == engine->tasks_capacity) {
        uint32_t capacity = MAX(engine->tasks_capacity * 2, (uint32_t)TASKS_MIN);
        struct engine_task *tasks = mem_alloc(capacity * sizeof *tasks);
        for (uint32_t i = 0; i < engine->tasks_count; i++)
            tasks[i] = engine->tasks[(engine->tasks_first + i) & (engine->tasks_capacity - 1)];
        mem_free(engine->tasks);
        engine->tasks = tasks;
        engine->tasks_first = 0;
        engine->tasks_capacity = capacity;
    }
    uint32_t at = (engine->tasks_first + engine->tasks_count) & (engine->tasks_capacity - 1);
    engine->tasks_count++;
    engine->tasks[at] = (struct engine_task){0};
    return &engine->tasks[at];
}

static struct engine_task task_next(struct engine *engine)
{
    struct engine_task task = engine->tasks[engine->tasks_first];
    engine->tasks_first = (engine->tasks_first + 1) & (engine->tasks_capacity - 1);
    engine->tasks_count--;
    return task;
}

static const struct entry *entries_copy(struct arena *arena, const struct store_done *done)
{
    struct entry *copies = arena_alloc(arena, done->entries_count * sizeof *copies);
    for (uint32_t i = 0; i < done->entries_count; i++) {
        copies[i].hash = done->entries[i].hash;
        copies[i].bucket = arena_copy(arena, done->entries[i].bucket);
        copies[i].key = arena_copy(arena, done->entries[i].key);
        copies[i].object = arena_copy(arena, done->entries[i].object);
    }
    return copies;
}

/* The store calls this in the midst of its work, with bytes that it will change: the event waits
 * its turn with a copy, which is also where the effects of its step may point. */
void engine_done(void *arg, const struct store_done *done)
{
    struct engine *engine = arg;
    if (token_owner(done->token) == 0) {
        engine->hooks.done(engine->hooks.arg, done);
        return;
    }
    struct engine_batch *batch = batch_take(engine);
    struct arena *arena = &batch->effects.arena;
    struct store_done *copy = arena_alloc(arena, sizeof *copy);
    *copy = *done;
    copy->object = arena_copy(arena, done->object);
    copy->earlier = arena_copy(arena, done->earlier);
    copy->entries = done->entries_count == 0 ? NULL : entries_copy(arena, done);
    if (done->entries_slots != NULL)
        copy->entries_slots =
            arena_copy(arena, slice_of(done->entries_slots, done->entries_count)).data;
    struct engine_task *task = task_add(engine);
    task->event.type = EVENT_STORE;
    task->event.store = copy;
    task->batch = batch;
}

void engine_durable(void *arg, uint64_t written, uint64_t synced)
{
    struct engine *engine = arg;
    engine->written = MAX(engine->written, written);
    engine->synced = MAX(engine->synced, synced);
    if (engine->durable_queued)
        return;
    engine->durable_queued = true;
    task_add(engine)->event.type = EVENT_DURABLE;
}

void engine_damaged(void *arg, const struct store_damage *damage)
{
    struct engine *engine = arg;
    struct engine_batch *batch = batch_take(engine);
    struct engine_task *task = task_add(engine);
    task->event.type = EVENT_DAMAGED;
    task->event.damaged.hole = damage->hole;
    task->event.damaged.to = damage->to;
    task->event.damaged.hash = damage->hash;
    task->event.damaged.bucket = arena_copy(&batch->effects.arena, damage->bucket);
    task->event.damaged.key = arena_copy(&batch->effects.arena, damage->key);
    task->event.damaged.number = damage->number;
    task->event.damaged.fresh = damage->fresh;
    task->event.damaged.rested = damage->rested;
    task->batch = batch;
}

void engine_peer_lost(struct engine *engine, struct node_id peer)
{
    struct engine_task *task = task_add(engine);
    task->event.type = EVENT_PEER_LOST;
    task->event.peer = peer;
}

uint32_t engine_ranges_max(const struct engine *engine)
{
    const struct ring *ring = &node_core(engine->node)->ring;
    return ring->bits == 0 ? (uint32_t)RANGES_MAX : ring_ranges(ring);
}

/* A message to self goes through the codec like any other: it is read in a later step, when what
 * it points to may be gone. */
static void queue_to_self(struct engine *engine, const struct effect *effect)
{
    const struct message *message = effect->send.message;
    if (engine->shards > 1 && engine_hand_own(engine, effect))
        return;
    struct engine_batch *batch = batch_take(engine);
    struct arena *arena = &batch->effects.arena;
    struct message *copy = arena_alloc(arena, sizeof *copy);
    buf_clear(&engine->scratch);
    int result = message_encode(message, &engine->scratch);
    if (result == 0) {
        struct slice frame = arena_copy(arena, buf_slice(&engine->scratch));
        struct slice payload =
            slice_of(frame.data + FRAME_HEADER_SIZE, frame.size - FRAME_HEADER_SIZE);
        result = message_decode(payload, arena, engine_ranges_max(engine), copy);
    }
    if (result < 0) {
        /* As on a connection: what does not fit is lost. */
        engine->messages_dropped++;
        batch_release(engine, batch);
        return;
    }
    struct engine_task *task = task_add(engine);
    task->event.type = EVENT_MESSAGE;
    task->event.message.from = engine->self;
    task->event.message.message = copy;
    task->batch = batch;
}

/* -------------------------------------------------------------------------------- Steps. */

static void submit(struct engine *engine, const struct store_op *op)
{
    if (engine->storage != NULL)
        storage_submit(engine->storage, op);
    else
        store_submit(engine->store, op);
}

static void poll(struct engine *engine)
{
    if (engine->storage != NULL)
        storage_poll(engine->storage, engine->now);
    else
        store_poll(engine->store, engine->now);
}

static uint64_t wake_us(const struct engine *engine)
{
    return engine->storage != NULL ? storage_wake_us(engine->storage)
                                   : store_wake_us(engine->store);
}

uint64_t engine_expect(const struct engine *engine, struct slice bucket, struct slice key)
{
    const struct core *core = node_core(engine->node);
    uint64_t hash = key_hash(core->cluster.hash_seed, bucket, key);
    if (core->holdings != NULL)
        fetch_lines(&core->holdings[range_of(hash, core->ring.bits)], HOLDING_LINES);
    if (engine->storage != NULL)
        storage_expect(engine->storage, hash);
    else
        store_expect(engine->store, hash);
    return hash;
}

void engine_expect_next(const struct engine *engine, uint64_t hash)
{
    if (engine->storage != NULL)
        storage_expect_next(engine->storage, hash);
    else
        store_expect_next(engine->store, hash);
}

/* Objects can be kept by range only once the size of the ring is known. */
static void set_ranges(struct engine *engine)
{
    const struct core *core = node_core(engine->node);
    if (id_none(core->cluster.id))
        return;
    if (engine->storage != NULL)
        storage_set_ranges(engine->storage, core->cluster.range_bits, core->cluster.hash_seed);
    else
        store_set_ranges(engine->store, core->cluster.range_bits, core->cluster.hash_seed);
    engine->ranges_set = true;
}

static void carry_out(struct engine *engine, struct engine_batch *batch)
{
    const struct engine_hooks *hooks = &engine->hooks;
    if (!engine->ranges_set)
        set_ranges(engine);
    for (uint32_t i = 0; i < batch->effects.count; i++) {
        const struct effect *effect = &batch->effects.items[i];
        switch (effect->type) {
        case EFFECT_SEND:
            if (id_equal(effect->send.to, engine->self))
                queue_to_self(engine, effect);
            else
                hooks->send(hooks->arg, effect->send.to, effect->send.address,
                            effect->send.message);
            break;
        case EFFECT_STORE:
            submit(engine, effect->store);
            break;
        case EFFECT_REPLY:
            hooks->reply(hooks->arg, effect->reply.client, effect->reply.answer);
            break;
        case EFFECT_HALT:
            hooks->halt(hooks->arg, effect->halt.error, effect->halt.detail);
            break;
        }
    }
}

static void step(struct engine *engine, const struct event *event, struct engine_batch *batch)
{
    if (!engine->stopped || event->type == EVENT_STORE || event->type == EVENT_DURABLE) {
        node_step(engine->node, engine->now, event, &batch->effects);
        carry_out(engine, batch);
    }
    batch_release(engine, batch);
}

static void drain(struct engine *engine)
{
    while (engine->tasks_count > 0) {
        struct engine_task task = task_next(engine);
        if (task.event.type == EVENT_DURABLE) {
            engine->durable_queued = false;
            task.event.durable.written = engine->written;
            task.event.durable.synced = engine->synced;
            task.event.durable.logged =
                engine->storage != NULL ? storage_logged(engine->storage) : engine->synced;
        }
        struct engine_batch *batch = task.batch != NULL ? task.batch : batch_take(engine);
        step(engine, &task.event, batch);
    }
}

static void begin(struct engine *engine)
{
    ASSERT(!engine->busy);
    engine->busy = true;
}

void engine_tick(struct engine *engine)
{
    engine->now = engine_clock();
    if (engine->turn_began_us == 0)
        engine->turn_began_us = engine->now.us;
}

static void end(struct engine *engine)
{
    drain(engine);
    engine->busy = false;
}

void engine_step(struct engine *engine, const struct event *event)
{
    begin(engine);
    step(engine, event, batch_take(engine));
    end(engine);
}

void engine_take(struct engine *engine, struct node_id from, struct slice payload)
{
    struct engine_batch *batch = batch_take(engine);
    struct message *message = arena_alloc(&batch->effects.arena, sizeof *message);
    int result = message_decode(payload, &batch->effects.arena, engine_ranges_max(engine), message);
    ASSERT(result == 0); /* A shard encoded or decoded it before. */
    const struct event event = {
        .type = EVENT_MESSAGE,
        .message = {.from = from, .message = message},
    };
    begin(engine);
    step(engine, &event, batch);
    end(engine);
}

void engine_submit(struct engine *engine, const struct store_op *op)
{
    ASSERT(token_owner(op->token) == 0);
    submit(engine, op);
}

void engine_poll(struct engine *engine)
{
    engine_tick(engine);
    begin(engine);
    poll(engine);
    end(engine);
}

void engine_flush(struct engine *engine)
{
    engine_tick(engine);
    begin(engine);
    drain(engine);
    if (engine->storage != NULL)
        storage_flush(engine->storage);
    else
        store_flush(engine->store);
    end(engine);
}

uint64_t engine_wake_us(const struct engine *engine)
{
    uint64_t store_us = wake_us(engine);
    uint64_t node_us = engine->stopped ? UINT64_MAX : node_wake_us(engine->node);
    return MIN(store_us, node_us);
}

void engine_timer(struct engine *engine)
{
    engine_tick(engine);
    begin(engine);
    if (wake_us(engine) <= engine->now.us)
        poll(engine);
    if (!engine->stopped && node_wake_us(engine->node) <= engine->now.us) {
        const struct event event = {.type = EVENT_TIMER};
        step(engine, &event, batch_take(engine));
    }
    end(engine);
}

/* ----------------------------------------------------------------------------- Lifetime. */

int engine_init(struct engine *engine, const struct node_options *options, struct store *store,
                const struct engine_hooks *hooks)
{
    engine->store = store;
    engine->self = options->self;
    engine->shard = options->shard;
    engine->shards = MAX(options->shards, (uint8_t)1);
    engine->hooks = *hooks;
    engine_tick(engine);
    begin(engine);
    struct engine_batch *batch = batch_take(engine);
    int result = node_new(options, engine->now, &batch->effects, &engine->node);
    if (result == 0)
        carry_out(engine, batch);
    batch_release(engine, batch);
    if (result < 0)
        engine->busy = false;
    else
        end(engine);
    return result;
}

void engine_stop(struct engine *engine)
{
    begin(engine);
    drain(engine);
    struct engine_batch *batch = batch_take(engine);
    node_stop(engine->node, engine->now, &batch->effects);
    engine->stopped = true;
    carry_out(engine, batch);
    batch_release(engine, batch);
    end(engine);
}

void engine_free(struct engine *engine)
{
    while (engine->tasks_count > 0) {
        struct engine_task task = task_next(engine);
        if (task.batch != NULL)
            batch_release(engine, task.batch);
    }
    while (engine->spares != NULL) {
        struct engine_batch *batch = engine->spares;
        engine->spares = batch->next;
        batch_free(batch);
    }
    mem_free(engine->tasks);
    buf_done(&engine->scratch);
    if (engine->node != NULL)
        node_free(engine->node);
    *engine = (struct engine){0};
}
