/* A cluster of gossip and detector machines under one virtual clock, for their tests: messages take
 * 1 to 10 ms and are lost at will, stores are durable after 1 ms, all chance comes from one seed.
 */
#ifndef CORE_CLUSTER_H
#define CORE_CLUSTER_H

#include "core/detector.h"
#include "core/gossip.h"
#include "core_sizes.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { NODES_MAX = 128, SECOND = 1000000 };

/* The effects of a step live until the last of their messages has arrived. */
struct step_memory {
    struct effects effects;
    uint32_t users;
};

struct cell {
    struct buf key, value;
    struct cell *next;
};

struct cluster_node {
    struct core core;
    struct gossip gossip;
    struct detector detector;
    struct cell *disk; /* Survives a crash. */
    char name[16], address[32];
    bool running;
    int64_t skew_ms;            /* Its wall clock less the world's. */
    uint64_t paused_until;      /* Neither timers nor messages before: the process is stalled. */
    struct step_memory *memory; /* Of the present step. */
    bool halted;
    int halt_error;
    char halt_text[512];
    uint32_t replies;
    int reply_error;
    uint32_t signals[SIGNAL_RANGE_READY + 1];
    uint64_t bytes_sent, life, sent[MESSAGE_TYPES];
};

struct arrival {
    struct heap_node heap;
    uint32_t to;
    uint64_t life; /* Of the receiver: a crash drops what was on its way to the disk. */
    struct node_id from;
    const struct message *message; /* NULL: a store completion. */
    uint64_t token;
    struct step_memory *memory;
};

struct cluster_world {
    struct cluster_node nodes[NODES_MAX];
    uint32_t count;
    uint64_t now;
    struct prng prng;
    struct heap arrivals;
    double loss;
    bool detect; /* Use the detector's verdicts; else all that run and are connected are up. */
    /* Pass a message through a codec: returns it as it arrives, in ARENA, and its bytes. NULL: as
     * it is, with an estimate. */
    const struct message *(*wire)(const struct message *message, struct arena *arena,
                                  uint64_t *ret_size);
    bool (*cut)(uint32_t from, uint32_t to); /* Is the way cut? NULL: no. */
    uint8_t range_bits;
};

static struct cluster_world *world; /* The tests run one at a time, each in its own process. */

static inline struct node_id node_of(uint32_t n)
{
    /* Spread over the buckets. */
    return (struct node_id){(n + 1) * 0x9e3779b97f4a7c15u, n + 1};
}

static inline uint32_t index_of(struct node_id id)
{
    return (uint32_t)id.lo - 1;
}

static inline bool reachable(uint32_t a, uint32_t b)
{
    return world->nodes[b].running && !(world->cut && (world->cut(a, b) || world->cut(b, a)));
}

static inline bool plain_is_up(const struct core *core, struct node_id id)
{
    return id_equal(id, core->self) || reachable(index_of(core->self), index_of(id));
}

/* -- Steps. */

static inline void begin_step(struct cluster_node *node)
{
    node->memory = mem_zero(sizeof(*node->memory));
    node->memory->users = 1;
    node->core.out = &node->memory->effects;
    uint64_t wall_ms = 1700000000000u + world->now / 1000;
    core_step_at(
        &node->core,
        (struct moment){.us = world->now, .wall_ms = (uint64_t)((int64_t)wall_ms + node->skew_ms)});
}

static inline void memory_release(struct step_memory *memory)
{
    if (--memory->users > 0)
        return;
    effects_done(&memory->effects);
    mem_free(memory);
}

static inline void disk_write(struct cluster_node *node, const struct meta *meta)
{
    struct cell **at = &node->disk;
    while (*at && !slice_equal(buf_slice(&(*at)->key), meta->key))
        at = &(*at)->next;
    if (!*at) {
        *at = mem_zero(sizeof(**at));
        buf_append(&(*at)->key, meta->key);
    }
    buf_clear(&(*at)->value);
    buf_append(&(*at)->value, meta->value);
}

static inline void schedule(uint32_t to, uint64_t delay, const struct arrival *what)
{
    struct arrival *arrival = mem_alloc(sizeof(*arrival));
    *arrival = *what;
    arrival->heap = (struct heap_node){0};
    arrival->to = to;
    arrival->life = world->nodes[to].life;
    arrival->memory->users++;
    heap_set(&world->arrivals, &arrival->heap, world->now + delay);
}

static inline uint32_t find_address(struct slice address)
{
    for (uint32_t i = 0; i < world->count; i++)
        if (slice_equal(address, slice_string(world->nodes[i].address)))
            return i;
    return UINT32_MAX;
}

static inline void carry_out_send(struct cluster_node *node, const struct effect *effect)
{
    uint32_t from = (uint32_t)(node - world->nodes);
    const struct message *message = effect->send.message;
    uint32_t to =
        id_none(effect->send.to) ? find_address(effect->send.address) : index_of(effect->send.to);
    uint64_t size = message_size(message);
    if (world->wire)
        message = world->wire(message, &node->memory->effects.arena, &size);
    cr_assert(size_allowed(message, size), "type %d of %lu bytes", message->type, size);
    node->bytes_sent += size;
    node->sent[message->type]++;
    bool lost = prng_unit(&world->prng) < world->loss;
    uint64_t delay = 1000 + prng_below(&world->prng, 9000);
    if (to >= world->count || lost || (world->cut && world->cut(from, to)))
        return;
    schedule(
        to, delay,
        &(struct arrival){.from = node->core.self, .message = message, .memory = node->memory});
}

static inline void end_step(struct cluster_node *node)
{
    struct core *core = &node->core;
    for (uint32_t i = 0; i < core->signals_count; i++)
        node->signals[core->signals[i].type]++;
    core->signals_count = 0;
    for (uint32_t i = 0; i < core->out->count; i++) {
        const struct effect *effect = &core->out->items[i];
        switch (effect->type) {
        case EFFECT_SEND:
            carry_out_send(node, effect);
            break;
        case EFFECT_STORE:
            for (uint32_t j = 0; j < effect->store->batch.metas_count; j++)
                disk_write(node, &effect->store->batch.metas[j]);
            schedule((uint32_t)(node - world->nodes), 1000,
                     &(struct arrival){.token = effect->store->token, .memory = node->memory});
            break;
        case EFFECT_REPLY:
            node->replies++;
            node->reply_error = effect->reply.answer->error;
            break;
        case EFFECT_HALT:
            node->halted = true;
            node->halt_error = effect->halt.error;
            snprintf(node->halt_text, sizeof(node->halt_text), "%.*s",
                     (int)effect->halt.detail.size, (const char *)effect->halt.detail.data);
            break;
        }
    }
    struct step_memory *memory = node->memory;
    node->memory = NULL;
    core->out = NULL;
    memory_release(memory);
}

/* -- Nodes. */

static inline void node_stop(uint32_t n)
{
    struct cluster_node *node = &world->nodes[n];
    if (!node->running)
        return;
    node->running = false;
    node->paused_until = 0;
    node->life++;
    gossip_done(&node->gossip);
    detector_done(&node->detector);
    core_done(&node->core);
    node->core = (struct core){0};
}

/* Start with a generation of its own, from what its disk has; it knows its cluster. */
static inline void node_start(uint32_t n, uint64_t generation, const struct slice *seeds,
                              uint32_t seeds_count)
{
    struct cluster_node *node = &world->nodes[n];
    struct core *core = &node->core;
    snprintf(node->name, sizeof(node->name), "node%u", n);
    snprintf(node->address, sizeof(node->address), "10.0.0.%u:7400", n);
    *core = (struct core){.self = node_of(n), .generation = generation, .timing = timing_default};
    core_init(core);
    prng_init(&core->prng, prng_next(&world->prng));
    struct cluster cluster = {
        .id = {77, 77}, .name = slice_string("test"), .range_bits = world->range_bits, .copies = 3};
    core_join(core, &cluster);
    struct member self = {.id = core->self,
                          .capacity = 100,
                          .protocol = 1,
                          .name = slice_string(node->name),
                          .zone = slice_string("z1"),
                          .peer = slice_string(node->address),
                          .client = slice_string("10.0.0.1:7379"),
                          .http = slice_string("10.0.0.1:7380")};
    gossip_init(&node->gossip, &self, seeds, seeds_count);
    detector_init(&node->detector);
    node->running = true;
    node->halted = false;
    begin_step(node);
    core->peer_is_up = plain_is_up;
    for (struct cell *cell = node->disk; cell; cell = cell->next) {
        struct meta meta = {buf_slice(&cell->key), buf_slice(&cell->value)};
        if (meta.value.size > 0)
            cr_assert_eq(gossip_restore(&node->gossip, core, &meta), 0);
    }
    if (world->detect)
        detector_start(&node->detector, core);
    gossip_publish(&node->gossip, core, MEMBER_UP);
    gossip_start(&node->gossip, core);
    end_step(node);
}

/* What a handshake does: N learns of OTHER. */
static inline void introduce(uint32_t n, uint32_t other)
{
    struct cluster_node *node = &world->nodes[n];
    const struct member *member = member_find(&world->nodes[other].core.members, node_of(other));
    begin_step(node);
    gossip_learn(&node->gossip, &node->core,
                 &(struct delta){.members = member, .members_count = 1});
    end_step(node);
}

static inline void world_begin(uint32_t count, uint64_t seed, uint8_t range_bits)
{
    world = mem_zero(sizeof(*world));
    world->count = count;
    world->range_bits = range_bits;
    world->now = 5 * SECOND;
    prng_init(&world->prng, seed);
}

static inline void world_end(void)
{
    for (uint32_t i = 0; i < world->count; i++) {
        node_stop(i);
        for (struct cell *cell = world->nodes[i].disk; cell;) {
            struct cell *next = cell->next;
            buf_done(&cell->key);
            buf_done(&cell->value);
            mem_free(cell);
            cell = next;
        }
    }
    for (struct heap_node *first; (first = heap_peek(&world->arrivals)) != NULL;) {
        struct arrival *arrival = (struct arrival *)first;
        heap_remove(&world->arrivals, first);
        memory_release(arrival->memory);
        mem_free(arrival);
    }
    heap_done(&world->arrivals);
    mem_free(world);
    world = NULL;
}

static inline void arrive(struct arrival *arrival)
{
    struct cluster_node *node = &world->nodes[arrival->to];
    bool same_life = node->life == arrival->life;
    if (node->running && !node->halted && (arrival->message || same_life)) {
        begin_step(node);
        if (arrival->message) {
            if (world->detect)
                detector_heard(&node->detector, &node->core, arrival->from);
            if (arrival->message->type == MESSAGE_PING || arrival->message->type == MESSAGE_PONG)
                detector_message(&node->detector, &node->core, arrival->from, arrival->message);
            else
                gossip_message(&node->gossip, &node->core, arrival->from, arrival->message);
        } else {
            gossip_durable(&node->gossip, &node->core, arrival->token);
        }
        end_step(node);
    }
    memory_release(arrival->memory);
    mem_free(arrival);
}

/* The node whose timer is due first. */
static inline uint32_t next_timer(uint64_t *ret_time)
{
    uint32_t first = UINT32_MAX;
    *ret_time = UINT64_MAX;
    for (uint32_t i = 0; i < world->count; i++) {
        struct heap_node *timer =
            world->nodes[i].running ? heap_peek(&world->nodes[i].core.timers) : NULL;
        uint64_t time = timer ? MAX(timer->time, world->nodes[i].paused_until) : UINT64_MAX;
        if (time < *ret_time) {
            *ret_time = time;
            first = i;
        }
    }
    return first;
}

/* Let the next thing happen, if it does before UNTIL. */
static inline bool world_step(uint64_t until)
{
    uint64_t timer_us;
    uint32_t n = next_timer(&timer_us);
    struct heap_node *first = heap_peek(&world->arrivals);
    uint64_t next = MIN(timer_us, first ? first->time : UINT64_MAX);
    if (next > until) {
        world->now = until;
        return false;
    }
    world->now = MAX(world->now, next);
    if (first && first->time == next) {
        struct arrival *arrival = (struct arrival *)first;
        uint64_t paused_until = world->nodes[arrival->to].paused_until;
        heap_remove(&world->arrivals, first);
        if (paused_until > world->now)
            heap_set(&world->arrivals, first, paused_until + 1); /* Timers come first. */
        else
            arrive(arrival);
        return true;
    }
    struct cluster_node *node = &world->nodes[n];
    struct timer *timer = (struct timer *)heap_peek(&node->core.timers);
    heap_remove(&node->core.timers, &timer->node);
    begin_step(node);
    timer->fire(&node->core, timer->machine, timer);
    end_step(node);
    return true;
}

static inline void world_run(uint64_t us)
{
    for (uint64_t until = world->now + us; world_step(until);) {
    }
}

/* Microseconds until DONE, checked after each event; fails past LIMIT. */
static inline uint64_t world_run_until(bool (*done)(void), uint64_t limit)
{
    uint64_t from = world->now;
    while (!done())
        if (!world_step(from + limit))
            return UINT64_MAX;
    return world->now - from;
}

static inline bool tables_equal(const struct core *a, const struct core *b)
{
    return memcmp(a->members.hashes, b->members.hashes, sizeof(a->members.hashes)) == 0 &&
           memcmp(a->settings.hashes, b->settings.hashes, sizeof(a->settings.hashes)) == 0 &&
           memcmp(a->ring.hashes, b->ring.hashes, sizeof(a->ring.hashes)) == 0;
}

/* All that run know the same. */
static inline bool all_equal(void)
{
    const struct core *first = NULL;
    for (uint32_t i = 0; i < world->count; i++) {
        if (!world->nodes[i].running || world->nodes[i].halted)
            continue;
        if (first && !tables_equal(first, &world->nodes[i].core))
            return false;
        first = first ? first : &world->nodes[i].core;
    }
    return true;
}

/* Everybody runs, and knows everybody. */
static inline void world_start_all(void)
{
    for (uint32_t i = 0; i < world->count; i++)
        node_start(i, 1, NULL, 0);
    for (uint32_t i = 0; i < world->count; i++)
        for (uint32_t j = 0; j < world->count; j++)
            if (i != j)
                introduce(i, j);
}

/* -- What happens to nodes. */

static inline void change_setting(uint32_t n, const char *name, struct slice value)
{
    struct cluster_node *node = &world->nodes[n];
    struct command command = {.type = COMMAND_SET, .name = slice_string(name), .value = value};
    begin_step(node);
    gossip_set(&node->gossip, &node->core, 1, &command);
    end_step(node);
}

static inline void publish(uint32_t n, enum member_status status)
{
    struct cluster_node *node = &world->nodes[n];
    begin_step(node);
    gossip_publish(&node->gossip, &node->core, status);
    end_step(node);
}

static inline struct range_record record_of(uint32_t range, uint64_t epoch, uint32_t owner)
{
    struct range_record record = {.range = range, .epoch = epoch, .slots_count = 1};
    record.slots[0] = (struct slot){0, STAGE_STABLE, node_of(owner), NODE_NONE};
    return record;
}

/* As the register does when a record is chosen. */
static inline void choose_record(uint32_t n, uint32_t range, uint64_t epoch)
{
    struct cluster_node *node = &world->nodes[n];
    struct range_record record = record_of(range, epoch, n);
    begin_step(node);
    cr_assert(ring_merge(&node->core.ring, &record));
    gossip_spread_record(&node->gossip, &node->core, range);
    end_step(node);
}

static inline void declare_departed(uint32_t n, uint32_t who, enum departure_kind kind)
{
    struct cluster_node *node = &world->nodes[n];
    begin_step(node);
    gossip_depart(&node->gossip, &node->core, 2, node_of(who), kind);
    end_step(node);
}

static inline bool all_have_setting(void)
{
    for (uint32_t i = 0; i < world->count; i++)
        if (setting_value(&world->nodes[i].core.settings, slice_string("config/x")).size == 0)
            return false;
    return true;
}

#endif
