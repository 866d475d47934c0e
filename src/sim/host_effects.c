#include "sim/checks.h"
#include "sim/describe.h"
#include "sim/faults.h"
#include "sim/host_own.h"
#include "sim/network.h"
#include "sim/rots.h"
#include "sim/trips.h"
#include "wire/frame.h"
#include "wire/peer.h"

static void send_to(struct host *host, uint32_t to, const struct effect *effect)
{
    struct world *world = host->world;
    const struct message *message = effect->send.message;
    bool inside = message_is_inside(message->type);
    buf_clear(&host->frame);
    if (message_encode(message, &host->frame) < 0) {
        world_violate(world, "PacketBound", "%s cannot encode a message %s to %s",
                      world_host_name(host->index), message_name(message->type),
                      world_host_name(to));
        return;
    }
    world->coverage.messages[message->type]++;
    struct slice frame = buf_slice(&host->frame);
    trace_mix(&world->trace, message->type,
              frame_checksum(frame) ^ ((uint64_t)host->index << 8 | to));
    bool dropped = !inside && network_drops(world, host->index, to, message->type);
    if (world->trace.text) {
        struct buf text = {0};
        describe_message(world, message, &text);
        trace_line(&world->trace, world->now_us, "%s -> %s %.*s%s", world_host_name(host->index),
                   world_host_name(to), (int)text.size, (const char *)text.data,
                   dropped ? " (lost)" : "");
        buf_done(&text);
    }
    if (!inside)
        checks_message(world, host->index, to, message, frame.size - FRAME_HEADER_SIZE);
    bool lost;
    enum tripped tripped = trips_at(world, host->index, message, &lost);
    host->died = host->died || tripped != TRIPPED_NOT;
    host->died_power = host->died_power || tripped == TRIPPED_POWER;
    if ((dropped || lost) && !inside)
        return;
    if (to != host->index || !host_mail_own(host, effect))
        network_send(world, host->index, host->shard, to, message->type, frame);
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
    send_to(host, (uint32_t)to, effect);
}

/* A durable step of the protocol is where a crash matters most. */
static bool dies_before(struct host *host, const struct store_op *op)
{
    if (op->type != STORE_META && op->type != STORE_CHUNK && op->type != STORE_DROP)
        return false;
    enum step_crash crash = faults_at_step(host->world, host->index);
    host->died = crash != STEP_LIVES;
    host->died_power = crash == STEP_POWER;
    host->world->coverage.step_deaths[op->type] += host->died;
    return crash == STEP_NEVER || (host->died && world_chance(host->world, 500000));
}

static void count_store_op(struct coverage *coverage, const struct store_op *op)
{
    coverage->stores[op->type]++;
    if (op->type != STORE_META && op->type != STORE_CHUNK)
        return;
    coverage->installs += op->type == STORE_META && op->batch.install;
    for (uint32_t i = 0; i < op->batch.metas_count; i++) {
        uint8_t letter = op->batch.metas[i].key.size > 0 ? op->batch.metas[i].key.data[0] : 0;
        if (letter >= 'a' && letter <= 'z')
            coverage->metas[letter - 'a']++;
    }
}

/* What becomes of a bad record takes two records of the log. */
static bool writes_over_rot(const struct world *world, const struct host *host,
                            const struct store_op *op)
{
    bool one = op->type == STORE_UPDATE || op->type == STORE_MERGE;
    if (one)
        return rots_has(world, host->index, op->hash);
    for (uint32_t i = 0; op->type == STORE_CHUNK && i < op->batch.entries_count; i++)
        if (rots_has(world, host->index, op->batch.entries[i].hash))
            return true;
    return false;
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
    count_store_op(&world->coverage, op);
    struct store_op seen = *op;
    seen.token = host_token(host, op->token);
    checks_store_op(world, host->index, &seen);
    store_submit(host->store, op);
    if (world->options.rot_crash_ppm > 0 && !world->calm && writes_over_rot(world, host, op) &&
        world_chance(world, world->options.rot_crash_ppm))
        faults_die_soon(world, host->index, !world->options.interval);
    if (!host->flush_due) {
        host->flush_due = true;
        host_flush_later(host);
    }
}

static void carry_reply(struct host *host, const struct effect *effect)
{
    struct host_call *call = host_call_close(host, effect->reply.client);
    if (call == NULL)
        return; /* Forgotten by its caller. */
    trace_mix(&host->world->trace, 200, (uint64_t)effect->reply.answer->error);
    call->done(host->world, call, effect->reply.answer);
}

static void carry_halt(struct host *host, const struct effect *effect)
{
    host->machine->retired = true;
    host->died = true;
    if (host->world->trace.text)
        trace_line(&host->world->trace, host->world->now_us, "%s halts: %.*s",
                   world_host_name(host->index), (int)effect->halt.detail.size,
                   (const char *)effect->halt.detail.data);
    checks_halt(host->world, host->index, effect->halt.error);
}

void host_carry_out(struct host *host)
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
void host_set_ranges(struct host *host)
{
    const struct core *core = node_core(host->node);
    if (host->ranges_set || id_none(core->cluster.id))
        return;
    host->ranges_set = true;
    store_set_ranges(host->store, core->cluster.range_bits, core->cluster.hash_seed);
}

static void watch_state(struct host *host)
{
    static const char *const names[] = {"starting", "joining",  "syncing",
                                        "ready",    "draining", "halted"};
    enum node_state state = node_state(host->node);
    if (state == host->node_state || host->shard != 0)
        return;
    host->node_state = state;
    if (host->world->trace.text)
        trace_line(&host->world->trace, host->world->now_us, "%s is %s",
                   world_host_name(host->index), names[state]);
}

void host_step(struct host *host, const struct event *event)
{
    struct world *world = host->world;
    effects_reset(&host->effects);
    node_step(host->node, host_now(host), event, &host->effects);
    world->coverage.steps++;
    if (++host->steps % world->options.check_every == 0)
        node_check(host->node);
    host_set_ranges(host);
    host_carry_out(host);
    watch_state(host);
    checks_step(world, host->index);
}
