/* The shared part of the core: timers, the way out, stamps, and waiting for durability. */
#include "core/core.h"

#include "base/rule.h"

#include <stdarg.h>
#include <stdio.h>

enum { UNSURE_MS = 1000 }; /* Left to a request by a clock that cannot be judged. */

const struct timing timing_default = {
    .gossip_us = 1000000,
    .ping_us = 1000000,
    .retry_us = 200000,
    .hedge_us = 50000,
    .cleanup_us = 3600000000,
    .repair_us = 50000,
    .hint_us = 1000000,
    .abort_us = 30000000,
    .horizon_us = 60000000,
    .clock_skew_ms = CLOCK_SKEW_MS,
    .chunk_objects = 2000,
    .deadline_ms = REQUEST_MS_MAX,
};

/* Tokens in the order of their log positions, one first-in first-out queue for each kind of wait:
 * positions are handed out in rising order, so the head is always due first. */
struct durable_wait {
    uint64_t position;
    uint64_t token;
};

struct wait_queue {
    struct durable_wait *waits; /* Owned ring buffer. */
    size_t head;
    size_t count;
    size_t capacity; /* 0 or a power of two. */
};

struct durable_queue {
    struct wait_queue written;
    struct wait_queue synced;
};

void core_init(struct core *core)
{
    core->durable = mem_zero(sizeof(*core->durable));
    core->shards = 1;
    core->floor_others = UINT64_MAX;
    member_table_init(&core->members);
    pace_init(&core->pace);
    setting_table_init(&core->settings);
}

void core_join(struct core *core, const struct cluster *cluster)
{
    ASSERT(id_none(core->cluster.id) && !id_none(cluster->id));
    uint8_t *name = mem_alloc(cluster->name.size + 1);
    if (cluster->name.size > 0)
        memcpy(name, cluster->name.data, cluster->name.size);
    core->cluster = *cluster;
    core->cluster.name = slice_of(name, cluster->name.size);
    ring_init(&core->ring, cluster->range_bits);
    core->holdings = mem_zero(ring_ranges(&core->ring) * sizeof(*core->holdings));
    for (uint32_t range = 0; range < ring_ranges(&core->ring); range++)
        core->holdings[range].record.range = range;
}

void core_done(struct core *core)
{
    if (core->holdings != NULL) {
        ring_done(&core->ring);
        mem_free((void *)(uintptr_t)core->cluster.name.data);
    }
    mem_free(core->holdings);
    hinted_done(&core->hinted);
    member_table_done(&core->members);
    setting_table_done(&core->settings);
    heap_done(&core->timers);
    mem_free(core->durable->written.waits);
    mem_free(core->durable->synced.waits);
    mem_free(core->durable);
    mem_free(core->signals);
}

void core_timer_set(struct core *core, struct timer *timer, uint64_t at_us)
{
    heap_set(&core->timers, &timer->node, at_us);
}

void core_timer_by(struct core *core, struct timer *timer, uint64_t at_us)
{
    if (!timer_is_set(timer) || timer->node.time > at_us)
        core_timer_set(core, timer, at_us);
}

void core_timer_clear(struct core *core, struct timer *timer)
{
    heap_remove(&core->timers, &timer->node);
}

void *core_alloc(struct core *core, size_t size)
{
    return arena_alloc(&core->out->arena, size);
}

struct slice core_copy(struct core *core, struct slice bytes)
{
    return arena_copy(&core->out->arena, bytes);
}

struct slice core_printf(struct core *core, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    ASSERT(length >= 0);
    return core_copy(core, slice_of(text, MIN((size_t)length, sizeof(text) - 1)));
}

struct message *core_send(struct core *core, struct node_id to, enum message_type type)
{
    struct message *message = arena_zero(&core->out->arena, sizeof(*message));
    message->type = type;
    struct effect *effect = effects_add(core->out, EFFECT_SEND);
    effect->send.to = to;
    effect->send.message = message;
    core->counters.messages_out++;
    return message;
}

struct message *core_send_address(struct core *core, struct slice address, enum message_type type)
{
    struct message *message = core_send(core, NODE_NONE, type);
    core->out->items[core->out->count - 1].send.address = core_copy(core, address);
    return message;
}

struct store_op *core_store(struct core *core, enum store_op_type type, uint64_t token)
{
    struct store_op *op = arena_zero(&core->out->arena, sizeof(*op));
    op->type = type;
    op->token = token;
    effects_add(core->out, EFFECT_STORE)->store = op;
    return op;
}

struct store_op *core_store_under(struct core *core, enum store_op_type type, uint64_t token,
                                  struct range_epoch under)
{
    struct store_op *op = core_store(core, type, token);
    op->range = under.range;
    op->fork = under.fork;
    op->nonce = under.nonce;
    op->epoch = under.epoch;
    return op;
}

struct message *core_send_inside(struct core *core, uint8_t shard, enum message_type type)
{
    ASSERT(message_is_inside(type));
    struct message *message = core_send(core, core->self, type);
    core->out->items[core->out->count - 1].send.shard = shard;
    return message;
}

static struct answer *reply_here(struct core *core, uint64_t client)
{
    struct answer *answer = arena_zero(&core->out->arena, sizeof(*answer));
    struct effect *effect = effects_add(core->out, EFFECT_REPLY);
    effect->reply.client = client;
    effect->reply.answer = answer;
    return answer;
}

static struct answer *reply_there(struct core *core, uint64_t client)
{
    uint8_t shard = (uint8_t)((client >> (CLIENT_BITS + 1)) - 1);
    struct message *message = core_send_inside(core, shard, MESSAGE_ANSWERED);
    message->answer.id = client & (2 * CLIENT_READS - 1);
    return &message->answer.answer;
}

struct answer *core_reply(struct core *core, uint64_t client)
{
    bool here = client >> CLIENT_BITS == 0;
    struct answer *answer = here ? reply_here(core, client) : reply_there(core, client);
    answer->copies = core->cluster.copies;
    answer->coordinator = core->self;
    return answer;
}

struct signal *core_signal(struct core *core, enum signal_type type)
{
    if (core->signals_count == core->signals_capacity) {
        core->signals_capacity = MAX(16u, core->signals_capacity * 2);
        core->signals = mem_grow(core->signals, core->signals_capacity * sizeof(*core->signals));
    }
    struct signal *signal = &core->signals[core->signals_count++];
    *signal = (struct signal){.type = type};
    return signal;
}

static void wait_push(struct wait_queue *queue, struct durable_wait wait)
{
    if (queue->count == queue->capacity) {
        size_t capacity = MAX((size_t)64, queue->capacity * 2);
        struct durable_wait *waits = mem_alloc(capacity * sizeof(*waits));
        for (size_t i = 0; i < queue->count; i++)
            waits[i] = queue->waits[(queue->head + i) & (queue->capacity - 1)];
        mem_free(queue->waits);
        queue->waits = waits;
        queue->head = 0;
        queue->capacity = capacity;
    }
    queue->waits[(queue->head + queue->count++) & (queue->capacity - 1)] = wait;
}

static uint64_t wait_pop(struct wait_queue *queue, uint64_t durable)
{
    if (queue->count == 0 || queue->waits[queue->head].position > durable)
        return 0;
    uint64_t token = queue->waits[queue->head].token;
    queue->head = (queue->head + 1) & (queue->capacity - 1);
    queue->count--;
    return token;
}

void core_when_durable(struct core *core, uint64_t position, bool sync, uint64_t token)
{
    ASSERT(token != 0);
    wait_push(sync ? &core->durable->synced : &core->durable->written,
              (struct durable_wait){position, token});
}

uint64_t core_durable_next(struct core *core)
{
    uint64_t token = wait_pop(&core->durable->synced, core->synced);
    return token != 0 ? token : wait_pop(&core->durable->written, core->written);
}

int range_epoch_compare(const struct range_epoch *a, const struct range_record *b)
{
    if (a->fork != b->fork)
        return a->fork < b->fork ? -1 : 1;
    if (a->nonce != b->nonce)
        return a->nonce > b->nonce ? -1 : 1; /* The lower nonce wins. */
    return (a->epoch > b->epoch) - (a->epoch < b->epoch);
}

static int64_t clock_off_ms(const struct core *core)
{
    return peer_clocks_off_ms(&core->peers,
                              (int64_t)core->own_wall_ms - (int64_t)(core->now.us / 1000));
}

int64_t core_skew_ms(const struct core *core)
{
    int64_t off = clock_off_ms(core);
    int64_t most = core->timing.clock_skew_ms;
    return off > most || off < -most ? off : 0;
}

bool core_entries_of(const struct core *core, uint32_t range, const struct entry *entries,
                     uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct entry *entry = &entries[i];
        if (range_of(entry->hash, core->ring.bits) != range ||
            entry->hash != key_hash(core->cluster.hash_seed, entry->bucket, entry->key))
            return false;
    }
    return true;
}

uint64_t core_left_ms(const struct core *core, uint64_t deadline, bool writes)
{
    uint64_t at_ms = hlc_ms(deadline);
    uint64_t left_ms = at_ms > core->now.wall_ms ? at_ms - core->now.wall_ms : 0;
    return core->peers.known || writes ? left_ms : MAX(left_ms, (uint64_t)UNSURE_MS);
}

void core_step_at(struct core *core, struct moment now)
{
    core->now.us = MAX(core->now.us, now.us);
    core->own_wall_ms = now.wall_ms;
    int64_t off = clock_off_ms(core);
    bool corrected = off > 0 || core_skew_ms(core) != 0;
    core->now.wall_ms = corrected ? (uint64_t)((int64_t)now.wall_ms - off) : now.wall_ms;
    core->now.wall_part = now.wall_part;
}

static uint64_t wall_stamp(const struct core *core)
{
    return hlc_at(core->now.wall_ms) | core->now.wall_part;
}

uint64_t core_hlc(struct core *core)
{
    core->hlc = hlc_next(core->hlc, wall_stamp(core));
    return core->hlc;
}

uint64_t core_hlc_now(struct core *core)
{
    core->hlc = MAX(core->hlc, wall_stamp(core));
    return core->hlc;
}

static void note_ready(struct core *core, struct holding *holding,
                       const struct range_record *record)
{
    bool reads = record_slot_read_by(record, core->self) != NULL;
    bool read_before = record_slot_read_by(&holding->record, core->self) != NULL;
    /* Who was no member has no past to have forgotten. But nobody reads before it was filled: who
     * was so in a life that its old disk does not know of is not welcome, as others will tell. */
    if ((reads && !read_before) || !record_has_member(&holding->record, core->self))
        holding->ready = !reads || record->epoch == 1 || core_is_welcome(core, record) ||
                         !RULE(READERS_WERE_FILLED);
    /* The only voter of a range has asked nobody whether its disk is an old one. */
    else if (reads && record_quorum(&holding->record) == 1 && RULE(SOLE_VOTER_ASKS))
        holding->ready = holding->ready && core_is_welcome(core, record);
}

void core_note_install(struct core *core, const struct range_record *record)
{
    struct holding *holding = &core->holdings[record->range];
    note_ready(core, holding, record);
    const struct range_record *before = &holding->record;
    bool led = before->epoch + 1 == record->epoch && before->fork == record->fork &&
               before->nonce == record->nonce && id_equal(record_driver(before), core->self);
    if (led || !id_equal(record_driver(record), core->self))
        return;
    holding->leads_us = core->now.us;
    /* What others may lack was noted by whoever led before, who may be gone. */
    core_signal(core, SIGNAL_DIRTY)->range = record->range;
}

int core_edit_stamp(struct core *core, uint64_t stamp)
{
    bool founded = core->generation == 1; /* No earlier life. */
    if (!founded && core->now.us < core->started_us + core_stamps_settle_us(core))
        return ERR_NOT_READY;
    return core_hlc_seen(core, stamp) ? 0 : ERR_CLOCK_SKEW;
}

bool core_is_ahead(const struct core *core, uint64_t hlc)
{
    return hlc_ms(hlc) > core->now.wall_ms + core->timing.clock_skew_ms;
}

bool core_is_welcome(const struct core *core, const struct range_record *record)
{
    struct node_id voters[SLOTS_MAX];
    uint32_t count = record_voters(record, voters);
    uint32_t welcomed = 0;
    for (uint32_t i = 0; i < count; i++)
        welcomed += id_equal(voters[i], core->self) || core->peer_welcomed == NULL ||
                    core->peer_welcomed(core, voters[i]);
    return welcomed >= record_quorum(record) || !RULE(READY_BY_MAJORITY);
}

bool core_hlc_seen(struct core *core, uint64_t hlc)
{
    if (core_is_ahead(core, hlc))
        return false;
    core->hlc = MAX(core->hlc, hlc);
    return true;
}

bool core_take(struct core *core, uint64_t stamp, uint8_t *ret_side)
{
    if (core->floor_kept != 0 && stamp <= core->floor_kept && RULE(FLOOR_TAKES_NOTHING))
        return false;
    *ret_side = core->taking_side;
    core->taking[*ret_side]++;
    return true;
}

struct meta horizon_cell(struct core *core, uint32_t range, uint64_t horizon, uint64_t stands)
{
    struct buf key = {0};
    struct buf value = {0};
    write_u8(&key, META_HORIZON);
    for (int shift = 24; shift >= 0; shift -= 8)
        write_u8(&key, (uint8_t)(range >> shift));
    if (horizon != 0) {
        write_u64(&value, horizon);
        write_u64(&value, stands);
    }
    struct meta meta = {core_copy(core, buf_slice(&key)), core_copy(core, buf_slice(&value))};
    buf_done(&key);
    buf_done(&value);
    return meta;
}
