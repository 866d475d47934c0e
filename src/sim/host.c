#include "sim/host.h"

#include "base/checksum.h"
#include "sim/checks.h"
#include "sim/describe.h"
#include "sim/faults.h"
#include "sim/network.h"
#include "store/disk_mem.h"
#include "wire/frame.h"
#include "wire/peer.h"

#include <stdio.h>

/* Completion tokens of the checkers' own store operations; no machine of the core has this byte. */
enum { OWNER_PROBE = 0xfe };

enum item_type { ITEM_MESSAGE, ITEM_REQUEST, ITEM_COMMAND, ITEM_STORE, ITEM_DURABLE, ITEM_LOST };

/* What waits to be taken by the node; all its memory lies in the queue's arena. */
struct item {
    enum item_type type;
    struct item *next;
    uint32_t from;      /* MESSAGE, LOST */
    struct slice frame; /* MESSAGE */
    uint64_t client;    /* REQUEST, COMMAND */
    struct request request;
    struct command command;
    struct store_done done;
    uint64_t written, synced;
};

/* Work of the disk that completes a while later, one queue of the disk each. */
struct disk_event_timer {
    struct world_event event;
    struct host *host;
    enum disk_mem_queue queue;
};

struct host_timer {
    struct world_event event;
    struct host *host;
};

struct host {
    struct world *world; /* Borrowed. */
    uint32_t index;
    struct node_id id;
    char address[8];
    enum host_state state;
    uint32_t lives;
    bool retired;
    bool founder;
    uint64_t clock_us; /* The monotonic clock began so far from the world's. */
    int64_t skew_ms;
    uint64_t slowness; /* Factor of the disk. */

    struct disk *disk;          /* Owned. */
    struct store *store;        /* Owned while up. */
    struct node *node;          /* Owned while up. */
    enum node_state node_state; /* As last traced. */
    bool ranges_set;
    bool died; /* The process is to die as soon as the present effect is carried out. */
    bool died_power;
    uint64_t steps;

    struct item *first, **last; /* Queue, in `memory`. */
    struct arena memory;
    struct arena decoded; /* The message being taken. */
    struct effects effects;
    struct buf frame;

    struct host_call *calls[64]; /* Open, in no order. */
    uint32_t calls_count;
    struct host_probe *probes[512];
    uint32_t probes_count;
    uint64_t next_id;

    struct host_timer wake, flush, pump;
    bool flush_due;
    struct disk_event_timer disk_timers[2];
};

static void pump(struct host *host);

uint32_t host_index(const struct host *host)
{
    return host->index;
}

struct node_id host_id(const struct host *host)
{
    return host->id;
}

enum host_state host_state(const struct host *host)
{
    return host->state;
}

uint32_t host_lives(const struct host *host)
{
    return host->lives;
}

bool host_retired(const struct host *host)
{
    return host->retired;
}

const struct node *host_node(const struct host *host)
{
    return host->node;
}

const struct store *host_store(const struct host *host)
{
    return host->store;
}

struct moment host_now(const struct host *host)
{
    uint64_t us = host->world->now_us;
    uint64_t wall_ms = (uint64_t)WORLD_EPOCH_S * 1000 + us / 1000;
    return (struct moment){
        .us = us + host->clock_us,
        .wall_ms = (uint64_t)((int64_t)wall_ms + host->skew_ms),
    };
}

/* ------------------------------------------------------------------------ The queue of events. */

static struct item *enqueue(struct host *host, enum item_type type)
{
    struct item *item = arena_zero(&host->memory, sizeof(*item));
    item->type = type;
    *host->last = item;
    host->last = &item->next;
    return item;
}

static void queue_clear(struct host *host)
{
    host->first = NULL;
    host->last = &host->first;
    arena_reset(&host->memory);
}

static void pump_later(struct host *host)
{
    if (host->pump.event.node.index == 0)
        world_at(host->world, &host->pump.event, host->world->now_us);
}

static struct slice keep(struct host *host, struct slice bytes)
{
    return arena_copy(&host->memory, bytes);
}

/* Completions point to what lives during the call only. */
static void keep_done(struct host *host, struct store_done *done)
{
    done->object = keep(host, done->object);
    struct entry *entries =
        arena_alloc(&host->memory, (done->entries_count + 1) * sizeof(*entries));
    for (uint32_t i = 0; i < done->entries_count; i++) {
        entries[i] = done->entries[i];
        entries[i].bucket = keep(host, entries[i].bucket);
        entries[i].key = keep(host, entries[i].key);
        entries[i].object = keep(host, entries[i].object);
    }
    done->entries = entries;
}

static void on_done(void *arg, const struct store_done *done)
{
    struct host *host = arg;
    struct item *item = enqueue(host, ITEM_STORE);
    item->done = *done;
    keep_done(host, &item->done);
}

static void on_durable(void *arg, uint64_t written, uint64_t synced)
{
    struct host *host = arg;
    struct item *item = enqueue(host, ITEM_DURABLE);
    item->written = written;
    item->synced = synced;
}

static void on_failed(void *arg, const char *text)
{
    struct host *host = arg;
    world_violate(host->world, "StoreServes", "the store of %s failed without a fault: %s",
                  world_host_name(host->index), text);
}

void host_receive(struct host *host, uint32_t from, struct slice frame)
{
    if (host->state == HOST_DOWN)
        return;
    struct item *item = enqueue(host, ITEM_MESSAGE);
    item->from = from;
    item->frame = keep(host, frame);
    pump(host);
}

void host_lose_peer(struct host *host, uint32_t other)
{
    if (host->state == HOST_DOWN)
        return;
    enqueue(host, ITEM_LOST)->from = other;
    pump_later(host);
}

static bool call_open(struct host *host, struct host_call *call)
{
    if (host->state == HOST_DOWN || host->calls_count == ARRAY_SIZE(host->calls))
        return false;
    call->id = ++host->next_id;
    call->host = host->index;
    host->calls[host->calls_count++] = call;
    return true;
}

static struct host_call *call_close(struct host *host, uint64_t id)
{
    for (uint32_t i = 0; i < host->calls_count; i++) {
        struct host_call *call = host->calls[i];
        if (call->id != id)
            continue;
        host->calls[i] = host->calls[--host->calls_count];
        call->id = 0;
        return call;
    }
    return NULL;
}

void host_forget(struct host *host, struct host_call *call)
{
    if (call->id != 0)
        call_close(host, call->id);
}

bool host_request(struct host *host, struct host_call *call, const struct request *request)
{
    if (!call_open(host, call))
        return false;
    struct item *item = enqueue(host, ITEM_REQUEST);
    item->client = call->id;
    item->request = *request;
    item->request.bucket = keep(host, request->bucket);
    item->request.key = keep(host, request->key);
    item->request.value = keep(host, request->value);
    item->request.type = keep(host, request->type);
    item->request.context = keep(host, request->context);
    pump_later(host);
    return true;
}

bool host_command(struct host *host, struct host_call *call, const struct command *command)
{
    if (!call_open(host, call))
        return false;
    struct item *item = enqueue(host, ITEM_COMMAND);
    item->client = call->id;
    item->command = *command;
    item->command.name = keep(host, command->name);
    item->command.value = keep(host, command->value);
    pump_later(host);
    return true;
}

bool host_probe(struct host *host, struct host_probe *probe, const struct store_op *op)
{
    if (host->state != HOST_UP || host->probes_count == ARRAY_SIZE(host->probes))
        return false;
    probe->id = ++host->next_id;
    host->probes[host->probes_count++] = probe;
    struct store_op mine = *op;
    mine.token = (uint64_t)OWNER_PROBE << 56 | probe->id;
    store_submit(host->store, &mine);
    pump_later(host);
    return true;
}

static void probe_done(struct host *host, const struct store_done *done)
{
    uint64_t id = done->token & 0x00ffffffffffffffu;
    for (uint32_t i = 0; i < host->probes_count; i++) {
        struct host_probe *probe = host->probes[i];
        if (probe->id != id)
            continue;
        host->probes[i] = host->probes[--host->probes_count];
        probe->done(host->world, probe, done);
        return;
    }
}

/* ---------------------------------------------------------------------------- Disk and timers. */

static void disk_schedule(struct host *host)
{
    struct world *world = host->world;
    for (uint32_t i = 0; i < ARRAY_SIZE(host->disk_timers); i++) {
        struct disk_event_timer *timer = &host->disk_timers[i];
        if (timer->event.node.index > 0 || disk_mem_pending(host->disk, timer->queue) == 0)
            continue;
        uint64_t delay = world_draw(world, world->options.disk_us_min, world->options.disk_us_max);
        world_at(world, &timer->event, world->now_us + delay * host->slowness);
    }
}

static void on_disk(struct world *world, struct world_event *event)
{
    (void)world;
    struct disk_event_timer *timer = (struct disk_event_timer *)event;
    struct host *host = timer->host;
    if (host->state == HOST_DOWN)
        return;
    disk_mem_step(host->disk, timer->queue);
    if (host->state == HOST_UP)
        store_poll(host->store, host_now(host));
    pump(host);
}

static void flush_later(struct host *host)
{
    if (host->flush.event.node.index == 0)
        world_at(host->world, &host->flush.event,
                 host->world->now_us + host->world->options.tick_us);
}

static void on_flush(struct world *world, struct world_event *event)
{
    (void)world;
    struct host *host = ((struct host_timer *)event)->host;
    if (host->state != HOST_UP)
        return;
    host->flush_due = false;
    store_flush(host->store);
    pump(host);
}

static void wake_schedule(struct host *host)
{
    uint64_t at = MIN(node_wake_us(host->node), store_wake_us(host->store));
    if (at == UINT64_MAX)
        world_cancel(host->world, &host->wake.event);
    else
        world_at(host->world, &host->wake.event, at > host->clock_us ? at - host->clock_us : 0);
}

static void on_pump(struct world *world, struct world_event *event)
{
    (void)world;
    pump(((struct host_timer *)event)->host);
}

/* ------------------------------------------------------------------------------------ Effects. */

static void send_to(struct host *host, uint32_t to, const struct message *message)
{
    struct world *world = host->world;
    buf_clear(&host->frame);
    if (message_encode(message, &host->frame) < 0) {
        world_violate(world, "PacketBound", "%s cannot encode a message %s to %s",
                      world_host_name(host->index), message_name(message->type),
                      world_host_name(to));
        return;
    }
    world->coverage.messages[message->type]++;
    struct slice frame = buf_slice(&host->frame);
    trace_mix(&world->trace, message->type, checksum64(frame, (uint64_t)host->index << 8 | to));
    bool dropped = network_drops(world, host->index, to, message->type);
    if (world->trace.text) {
        struct buf text = {0};
        describe_message(world, message, &text);
        trace_line(&world->trace, world->now_us, "%s -> %s %.*s%s", world_host_name(host->index),
                   world_host_name(to), (int)text.size, (const char *)text.data,
                   dropped ? " (lost)" : "");
        buf_done(&text);
    }
    checks_message(world, host->index, to, message, frame.size - FRAME_HEADER_SIZE);
    if (!dropped)
        network_send(world, host->index, to, frame);
}

static void carry_send(struct host *host, const struct effect *effect)
{
    int to = id_none(effect->send.to) ? network_resolve(host->world, effect->send.address)
                                      : world_host_of(host->world, effect->send.to);
    if (to < 0) {
        world_violate(host->world, "SendsToMembers", "%s sends %s to nobody's address '%.*s'",
                      world_host_name(host->index), message_name(effect->send.message->type),
                      (int)effect->send.address.size, (const char *)effect->send.address.data);
        return;
    }
    send_to(host, (uint32_t)to, effect->send.message);
}

/* A durable step of the protocol is where a crash matters most. */
static bool dies_before(struct host *host, const struct store_op *op)
{
    if (op->type != STORE_META && op->type != STORE_CHUNK && op->type != STORE_DROP)
        return false;
    enum step_crash crash = faults_at_step(host->world, host->index);
    host->died = crash != STEP_LIVES;
    host->died_power = crash == STEP_POWER;
    return crash == STEP_NEVER || (host->died && world_chance(host->world, 500000));
}

static void carry_store(struct host *host, const struct store_op *op)
{
    struct world *world = host->world;
    trace_mix(&world->trace, 100 + op->type, op->hash ^ op->range);
    if (world->trace.text) {
        struct buf text = {0};
        describe_store_op(world, op, &text);
        trace_line(&world->trace, world->now_us, "%s stores %.*s", world_host_name(host->index),
                   (int)text.size, (const char *)text.data);
        buf_done(&text);
    }
    if (dies_before(host, op))
        return;
    checks_store_op(world, host->index, op);
    store_submit(host->store, op);
    if (!host->flush_due) {
        host->flush_due = true;
        flush_later(host);
    }
}

static void carry_reply(struct host *host, const struct effect *effect)
{
    struct host_call *call = call_close(host, effect->reply.client);
    if (call == NULL)
        return; /* Forgotten by its caller. */
    trace_mix(&host->world->trace, 200, (uint64_t)effect->reply.answer->error);
    call->done(host->world, call, effect->reply.answer);
}

static void carry_halt(struct host *host, const struct effect *effect)
{
    host->retired = true;
    host->died = true;
    if (host->world->trace.text)
        trace_line(&host->world->trace, host->world->now_us, "%s halts: %.*s",
                   world_host_name(host->index), (int)effect->halt.detail.size,
                   (const char *)effect->halt.detail.data);
    checks_halt(host->world, host->index, effect->halt.error);
}

static void carry_out(struct host *host)
{
    for (uint32_t i = 0; i < host->effects.count && !host->died; i++) {
        const struct effect *effect = &host->effects.items[i];
        switch (effect->type) {
        case EFFECT_SEND:
            carry_send(host, effect);
            break;
        case EFFECT_STORE:
            carry_store(host, effect->store);
            break;
        case EFFECT_REPLY:
            carry_reply(host, effect);
            break;
        case EFFECT_HALT:
            carry_halt(host, effect);
            break;
        }
    }
}

/* Before any store operation of a node that has just joined. */
static void set_ranges(struct host *host)
{
    const struct core *core = node_core(host->node);
    if (host->ranges_set || id_none(core->cluster.id))
        return;
    host->ranges_set = true;
    store_set_ranges(host->store, core->cluster.range_bits);
}

static void watch_state(struct host *host)
{
    static const char *const names[] = {"starting", "joining",  "syncing",
                                        "ready",    "draining", "halted"};
    enum node_state state = node_state(host->node);
    if (state == host->node_state)
        return;
    host->node_state = state;
    if (host->world->trace.text)
        trace_line(&host->world->trace, host->world->now_us, "%s is %s",
                   world_host_name(host->index), names[state]);
}

static void step(struct host *host, const struct event *event)
{
    struct world *world = host->world;
    effects_reset(&host->effects);
    node_step(host->node, host_now(host), event, &host->effects);
    world->coverage.steps++;
    if (++host->steps % world->options.check_every == 0)
        node_check(host->node);
    set_ranges(host);
    carry_out(host);
    watch_state(host);
    checks_step(world, host->index);
}

/* --------------------------------------------------------------------------- Taking the queue. */

static void take_message(struct host *host, const struct item *item)
{
    struct world *world = host->world;
    struct message message;
    arena_reset(&host->decoded);
    const struct core *core = node_core(host->node);
    uint32_t ranges = core->holdings == NULL ? RANGES_MAX : ring_ranges(&core->ring);
    struct slice payload =
        slice_of(item->frame.data + FRAME_HEADER_SIZE, item->frame.size - FRAME_HEADER_SIZE);
    if (message_decode(payload, &host->decoded, ranges, &message) < 0) {
        world_violate(world, "CodecRoundTrip", "%s cannot decode what %s sent",
                      world_host_name(host->index), world_host_name(item->from));
        return;
    }
    struct event event = {
        .type = EVENT_MESSAGE,
        .message = {.from = host_id(world->hosts[item->from]), .message = &message},
    };
    step(host, &event);
}

static void take(struct host *host, struct item *item)
{
    struct event event = {0};
    switch (item->type) {
    case ITEM_MESSAGE:
        take_message(host, item);
        return;
    case ITEM_REQUEST:
        event.type = EVENT_REQUEST;
        event.request.client = item->client;
        event.request.request = &item->request;
        break;
    case ITEM_COMMAND:
        event.type = EVENT_COMMAND;
        event.command.client = item->client;
        event.command.command = &item->command;
        break;
    case ITEM_STORE:
        if (item->done.token >> 56 == OWNER_PROBE) {
            probe_done(host, &item->done);
            return;
        }
        checks_store_done(host->world, host->index, &item->done);
        event.type = EVENT_STORE;
        event.store = &item->done;
        break;
    case ITEM_DURABLE:
        trace_mix(&host->world->trace, 300, item->synced);
        checks_durable(host->world, host->index, item->synced);
        event.type = EVENT_DURABLE;
        event.durable.written = item->written;
        event.durable.synced = item->synced;
        break;
    case ITEM_LOST:
        event.type = EVENT_PEER_LOST;
        event.peer = host_id(host->world->hosts[item->from]);
        break;
    }
    step(host, &event);
}

/* Take all that waits, until the process dies of it. */
static void pump(struct host *host)
{
    if (host->state != HOST_UP)
        return;
    while (host->first != NULL && !host->died && !world_broken(host->world)) {
        struct item *item = host->first;
        host->first = item->next;
        if (host->first == NULL)
            host->last = &host->first;
        take(host, item);
    }
    if (host->died) {
        host_crash(host, host->died_power);
        faults_restart_later(host->world, host->index);
        return;
    }
    if (host->first == NULL)
        arena_reset(&host->memory);
    disk_schedule(host);
    wake_schedule(host);
}

static void on_wake(struct world *world, struct world_event *event)
{
    struct host *host = ((struct host_timer *)event)->host;
    if (host->state != HOST_UP)
        return;
    struct moment now = host_now(host);
    (void)world;
    if (store_wake_us(host->store) <= now.us)
        store_poll(host->store, now);
    if (node_wake_us(host->node) <= now.us)
        step(host, &(struct event){.type = EVENT_TIMER});
    pump(host);
}

/* --------------------------------------------------------------------------------- Life cycle. */

struct host *host_new(struct world *world, uint32_t index)
{
    struct host *host = mem_zero(sizeof(*host));
    host->world = world;
    host->index = index;
    host->id = (struct node_id){prng_next(&world->prng) | 1, prng_next(&world->prng)};
    snprintf(host->address, sizeof(host->address), "n%u", index);
    host->founder = index == 0;
    host->clock_us = world_draw(world, 1, 1000000000);
    int64_t most = world->options.skew_ms_max;
    host->skew_ms = (int64_t)world_draw(world, 0, (uint64_t)(2 * most)) - most;
    host->slowness = 1;
    host->disk = disk_mem_new(&(struct disk_mem_options){0});
    host->last = &host->first;
    host->wake = (struct host_timer){{.fire = on_wake}, host};
    host->flush = (struct host_timer){{.fire = on_flush}, host};
    host->pump = (struct host_timer){{.fire = on_pump}, host};
    for (uint32_t i = 0; i < ARRAY_SIZE(host->disk_timers); i++)
        host->disk_timers[i] = (struct disk_event_timer){
            {.fire = on_disk}, host, i == 0 ? DISK_MEM_LOG : DISK_MEM_ENGINE};
    return host;
}

/* End the process, if any, without a word to anybody. */
static void stop(struct host *host)
{
    struct world *world = host->world;
    world_cancel(world, &host->wake.event);
    world_cancel(world, &host->flush.event);
    world_cancel(world, &host->pump.event);
    for (uint32_t i = 0; i < ARRAY_SIZE(host->disk_timers); i++)
        world_cancel(world, &host->disk_timers[i].event);
    if (host->node != NULL)
        node_free(host->node);
    if (host->store != NULL)
        store_close(host->store);
    host->node = NULL;
    host->store = NULL;
    host->state = HOST_DOWN;
    host->died = false;
    host->flush_due = false;
    host->probes_count = 0;
    queue_clear(host);
}

void host_free(struct host *host)
{
    if (host->state != HOST_DOWN)
        disk_mem_crash(host->disk, NULL);
    stop(host);
    disk_close(host->disk);
    arena_done(&host->memory);
    arena_done(&host->decoded);
    effects_done(&host->effects);
    buf_done(&host->frame);
    mem_free(host);
}

static void make_node(struct host *host, const struct store_recovered *recovered)
{
    struct world *world = host->world;
    struct timing timing = timing_default;
    timing.cleanup_us = world->options.cleanup_us;
    timing.gossip_us = world->options.gossip_us;
    timing.abort_us = world->options.abort_us;
    struct slice seeds[2] = {slice_string("n0"), slice_string("n1")};
    struct slice address = slice_string(host->address);
    bool fresh = recovered->metas_count == 0;
    struct node_options options = {
        .self = host->id,
        .name = slice_string(world_host_name(host->index)),
        .zone = slice_string(host->index % 2 == 0 ? "even" : "odd"),
        .peer = address,
        .client = address,
        .http = address,
        .capacity = 100,
        .seeds = seeds,
        .seeds_count = host->founder ? 0 : ARRAY_SIZE(seeds),
        .create = host->founder && fresh,
        .cluster = world->cluster,
        .timing = timing,
        .seed = prng_next(&world->prng),
        .requests_max = 64,
        .metas = recovered->metas,
        .metas_count = recovered->metas_count,
        .position = recovered->position,
        .clean = recovered->clean,
    };
    effects_reset(&host->effects);
    if (node_new(&options, host_now(host), &host->effects, &host->node) < 0) {
        world_violate(world, "RecoversWhatItWrote", "%s cannot read its own meta entries",
                      world_host_name(host->index));
        return;
    }
    set_ranges(host);
    host->state = HOST_UP;
    checks_start(world, host->index);
    carry_out(host);
    pump(host);
}

void host_start(struct host *host)
{
    struct world *world = host->world;
    if (host->state != HOST_DOWN || host->retired || world_broken(world))
        return;
    host->lives++;
    host->ranges_set = false;
    host->node_state = NODE_STARTING;
    trace_mix(&world->trace, 400, host->index);
    if (world->trace.text)
        trace_line(&world->trace, world->now_us, "%s starts", world_host_name(host->index));
    struct store_options options = {
        .memory_max = world->options.memory_max,
        .log_interval_ms = 200,
        .tree_bits = world->options.tree_bits,
        .done = on_done,
        .durable = on_durable,
        .failed = on_failed,
        .arg = host,
    };
    struct store_recovered recovered;
    struct buf text = {0};
    disk_mem_hold(host->disk, false);
    int error = store_open(&options, host->disk, &host->store, &recovered, &text);
    disk_mem_hold(host->disk, true);
    if (error < 0)
        world_violate(world, "StoreRecovers", "%s: %s: %.*s", world_host_name(host->index),
                      error_word(error), (int)text.size, (const char *)text.data);
    else
        make_node(host, &recovered);
    buf_done(&text);
}

void host_crash(struct host *host, bool power)
{
    struct world *world = host->world;
    if (host->state == HOST_DOWN)
        return;
    trace_mix(&world->trace, 500 + power, host->index);
    if (world->trace.text)
        trace_line(&world->trace, world->now_us, "%s %s", world_host_name(host->index),
                   power ? "loses power" : "is killed");
    if (power)
        disk_mem_power_loss(host->disk, &world->prng);
    else
        disk_mem_crash(host->disk, &world->prng);
    stop(host);
    checks_crash(world, host->index);
    for (uint32_t i = 0; i < world->hosts_count; i++)
        if (i != host->index && world_chance(world, 500000))
            host_lose_peer(world->hosts[i], host->index);
    while (host->calls_count > 0) {
        struct host_call *call = host->calls[--host->calls_count];
        call->id = 0;
        call->done(world, call, NULL);
    }
}

void host_pause(struct host *host)
{
    if (host->state != HOST_UP)
        return;
    host->state = HOST_PAUSED;
    if (host->world->trace.text)
        trace_line(&host->world->trace, host->world->now_us, "%s stands still",
                   world_host_name(host->index));
}

void host_resume(struct host *host)
{
    if (host->state != HOST_PAUSED)
        return;
    host->state = HOST_UP;
    if (host->world->trace.text)
        trace_line(&host->world->trace, host->world->now_us, "%s goes on",
                   world_host_name(host->index));
    if (host->flush_due)
        flush_later(host);
    store_poll(host->store, host_now(host));
    pump_later(host);
    world_at(host->world, &host->wake.event, host->world->now_us);
}

void host_slow_disk(struct host *host, uint64_t factor)
{
    host->slowness = factor;
}

void host_set_skew(struct host *host, int64_t skew_ms)
{
    host->skew_ms = skew_ms;
}
