#include "sim/checks.h"
#include "sim/faults.h"
#include "sim/host_own.h"
#include "sim/rots.h"
#include "wire/frame.h"
#include "wire/peer.h"

struct item *host_enqueue(struct host *host, enum item_type type)
{
    struct item *item = arena_alloc(&host->memory, sizeof(*item));
    item->type = type;
    item->next = NULL;
    *host->last = item;
    host->last = &item->next;
    return item;
}

void host_queue_clear(struct host *host)
{
    host->first = NULL;
    host->last = &host->first;
    arena_reset(&host->memory);
}

void host_pump_later(struct host *host)
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
    done->earlier = keep(host, done->earlier);
    if (done->entries_count == 0)
        return;
    struct entry *entries = arena_alloc(&host->memory, done->entries_count * sizeof(*entries));
    for (uint32_t i = 0; i < done->entries_count; i++) {
        entries[i] = done->entries[i];
        entries[i].bucket = keep(host, entries[i].bucket);
        entries[i].key = keep(host, entries[i].key);
        entries[i].object = keep(host, entries[i].object);
    }
    done->entries = entries;
    if (done->entries_slots != NULL)
        done->entries_slots = keep(host, slice_of(done->entries_slots, done->entries_count)).data;
}

void host_on_done(void *arg, const struct store_done *done)
{
    struct host *host = arg;
    struct item *item = host_enqueue(host, ITEM_STORE);
    item->done = *done;
    keep_done(host, &item->done);
}

void host_on_durable(void *arg, uint64_t written, uint64_t synced)
{
    struct host *host = arg;
    struct item *item = host_enqueue(host, ITEM_DURABLE);
    item->durable.written = written;
    item->durable.synced = synced;
}

void host_on_failed(void *arg, const char *text)
{
    struct host *host = arg;
    world_violate(host->world, "StoreServes", "the store of %s failed without a fault: %s",
                  world_host_name(host->index), text);
}

void host_on_damaged(void *arg, const struct store_damage *damage)
{
    struct host *host = arg;
    rots_told(host->world, host->index, damage);
    struct item *item = host_enqueue(host, ITEM_DAMAGED);
    item->damage = *damage;
    item->damage.bucket = keep(host, damage->bucket);
    item->damage.key = keep(host, damage->key);
}

void host_receive(struct host *host, uint32_t from, uint32_t shard, struct slice frame)
{
    host = host->each[shard & (host->shards - 1)];
    if (host->state == HOST_DOWN)
        return;
    struct item *item = host_enqueue(host, ITEM_MESSAGE);
    item->from = from;
    item->frame = keep(host, frame);
    host_pump(host);
}

void host_lose_peer(struct host *host, uint32_t other)
{
    for (uint32_t shard = 0; shard < host->shards && host->state != HOST_DOWN; shard++) {
        host_enqueue(host->each[shard], ITEM_LOST)->from = other;
        host_pump_later(host->each[shard]);
    }
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

struct host_call *host_call_close(struct host *host, uint64_t id)
{
    host = host->machine;
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
        host_call_close(host, call->id);
}

bool host_request(struct host *host, struct host_call *call, const struct request *request)
{
    if (!call_open(host, call))
        return false;
    if (host->shards > 1) /* Its connection is anywhere. */
        host = host->each[world_draw(host->world, 0, host->shards - 1)];
    struct item *item = host_enqueue(host, ITEM_REQUEST);
    item->client = call->id;
    item->request = *request;
    item->request.bucket = keep(host, request->bucket);
    item->request.key = keep(host, request->key);
    item->request.value = keep(host, request->value);
    item->request.type = keep(host, request->type);
    item->request.context = keep(host, request->context);
    host_pump_later(host);
    return true;
}

bool host_command(struct host *host, struct host_call *call, const struct command *command)
{
    if (!call_open(host, call))
        return false;
    struct item *item = host_enqueue(host, ITEM_COMMAND);
    item->client = call->id;
    item->command = *command;
    item->command.name = keep(host, command->name);
    item->command.value = keep(host, command->value);
    item->command.repair.bucket = keep(host, command->repair.bucket);
    host_pump_later(host);
    return true;
}

bool host_probe(struct host *host, struct host_probe *probe, const struct store_op *op)
{
    host = host_shard_of(host, op->range);
    if (host->state != HOST_UP || host->probes_count == ARRAY_SIZE(host->probes))
        return false;
    probe->id = ++host->next_id;
    host->probes[host->probes_count++] = probe;
    struct store_op mine = *op;
    mine.token = (uint64_t)OWNER_PROBE << 56 | probe->id;
    store_look(host->store, &mine);
    host_pump_later(host);
    return true;
}

static void probe_done(struct host *host, const struct store_done *done)
{
    uint64_t id = token_value(done->token);
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
        /* There is one log, whoever writes it. */
        struct host *of = i == DISK_MEM_LOG ? host->machine : host;
        struct disk_event_timer *timer = &of->disk_timers[i];
        if (timer->event.node.index > 0 || disk_mem_pending(host->disk, timer->queue) == 0)
            continue;
        /* The reader draws nothing where all is in memory, so that worlds differ by what they are
         * told to only. */
        uint64_t least = world->options.disk_us_min;
        uint64_t delay = timer->queue == DISK_MEM_READER && world->options.cold_cache == 0
                             ? least
                             : world_draw(world, least, world->options.disk_us_max);
        world_at(world, &timer->event, world->now_us + delay * host->machine->slowness);
    }
}

void host_on_disk(struct world *world, struct world_event *event)
{
    struct disk_event_timer *timer = (struct disk_event_timer *)event;
    struct host *host = timer->host;
    if (host->state == HOST_DOWN)
        return;
    if (timer->queue == DISK_MEM_READER && world->options.cold_cache > 0)
        disk_mem_shuffle(host->disk, &world->prng);
    disk_mem_step(host->disk, timer->queue);
    if (host->state == HOST_UP)
        store_poll(host->store, host_now(host));
    if (timer->queue == DISK_MEM_READER && world->options.cold_cache > 0 && !host->flush_due) {
        host->flush_due = true; /* Operations that waited may have written. */
        host_flush_later(host);
    }
    host_pump(host);
}

void host_flush_later(struct host *host)
{
    if (host->flush.event.node.index == 0)
        world_at(host->world, &host->flush.event,
                 host->world->now_us + host->world->options.tick_us);
}

void host_on_flush(struct world *world, struct world_event *event)
{
    (void)world;
    struct host *host = ((struct host_timer *)event)->host;
    if (host->state != HOST_UP)
        return;
    host->flush_due = false;
    store_flush(host->store);
    host_pump(host);
}

static void wake_schedule(struct host *host)
{
    uint64_t at = MIN(node_wake_us(host->node), store_wake_us(host->store));
    if (at == UINT64_MAX)
        world_cancel(host->world, &host->wake.event);
    else
        world_at(host->world, &host->wake.event,
                 at > host->machine->clock_us ? at - host->machine->clock_us : 0);
}

void host_on_pump(struct world *world, struct world_event *event)
{
    (void)world;
    struct host *host = ((struct host_timer *)event)->host;
    if (host->shards > 1 && host->state == HOST_UP)
        store_poll(host->store, host_now(host));
    host_pump(host);
}

/* What one shard did may be news to the stores of others. */
static void wake_others(const struct host *host)
{
    const struct host *machine = host->machine;
    for (uint32_t shard = 0; shard < machine->shards && machine->shards > 1; shard++)
        if (disk_mem_due(machine->each[shard]->disk))
            host_pump_later(machine->each[shard]);
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
    if (item->type == ITEM_MESSAGE && !host_mail_on(host, item, &message))
        return;
    struct event event = {
        .type = EVENT_MESSAGE,
        .message = {.from = host_id(world->hosts[item->from]), .message = &message},
    };
    checks_handling(world, host->index, item->from, &message);
    host_step(host, &event);
    checks_handled(world, host->index);
}

static void checks_done(struct host *host, const struct store_done *done)
{
    struct store_done seen = *done;
    seen.token = host_token(host, done->token);
    checks_store_done(host->world, host->index, &seen);
}

static void take(struct host *host, struct item *item)
{
    struct event event = {0};
    switch (item->type) {
    case ITEM_MESSAGE:
    case ITEM_INSIDE:
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
        checks_done(host, &item->done);
        event.type = EVENT_STORE;
        event.store = &item->done;
        break;
    case ITEM_DURABLE:
        trace_mix(&host->world->trace, 300, item->durable.synced);
        checks_durable(host->world, host->index, host->shard, item->durable.synced);
        event.type = EVENT_DURABLE;
        event.durable.written = item->durable.written;
        event.durable.synced = item->durable.synced;
        event.durable.logged = item->durable.synced;
        break;
    case ITEM_DAMAGED:
        event.type = EVENT_DAMAGED;
        event.damaged.hole = item->damage.hole;
        event.damaged.to = item->damage.to;
        event.damaged.hash = item->damage.hash;
        event.damaged.bucket = item->damage.bucket;
        event.damaged.key = item->damage.key;
        event.damaged.number = item->damage.number;
        event.damaged.fresh = item->damage.fresh;
        event.damaged.rested = item->damage.rested;
        break;
    case ITEM_LOST:
        event.type = EVENT_PEER_LOST;
        event.peer = host_id(host->world->hosts[item->from]);
        break;
    }
    host_step(host, &event);
}

void host_pump(struct host *host)
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
        host_crash(host->machine, host->died_power);
        faults_restart_later(host->world, host->index);
        return;
    }
    if (host->first == NULL)
        arena_reset(&host->memory);
    disk_schedule(host);
    wake_schedule(host);
    wake_others(host);
}

void host_on_wake(struct world *world, struct world_event *event)
{
    struct host *host = ((struct host_timer *)event)->host;
    if (host->state != HOST_UP)
        return;
    struct moment now = host_now(host);
    (void)world;
    if (store_wake_us(host->store) <= now.us)
        store_poll(host->store, now);
    if (node_wake_us(host->node) <= now.us)
        host_step(host, &(struct event){.type = EVENT_TIMER});
    host_pump(host);
}
