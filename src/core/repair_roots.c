/* Many ranges with one message: which of them differ at all (repair.h). */
#include "core/repair_state.h"

#include "base/checksum.h"

enum { LOOKS_MAX = 4096 /* At ranges, in one go. */ };

/* Equal only where records and horizons are, too: elsewhere two replicas may not be compared. */
static uint64_t state_of(const struct core *core, uint32_t range, uint64_t digest)
{
    const struct holding *holding = &core->holdings[range];
    const struct range_record *record = &holding->record;
    uint64_t words[] = {digest, record->fork, record->nonce, record->epoch, holding->stands};
    return checksum64(slice_of(words, sizeof(words)), range);
}

static struct message *send_roots(struct core *core, struct node_id to, enum roots_kind kind,
                                  uint64_t id, const struct tree_node *nodes, uint32_t count)
{
    struct message *message = core_send(core, to, MESSAGE_ROOTS);
    struct tree_node *copy = core_alloc(core, (count + 1) * sizeof(*copy));
    if (count > 0)
        memcpy(copy, nodes, count * sizeof(*copy));
    message->roots.kind = (uint8_t)kind;
    message->roots.id = id;
    message->roots.nodes = copy;
    message->roots.nodes_count = count;
    return message;
}

static uint64_t cost_of(uint32_t count)
{
    return PACE_MESSAGE_COST + (uint64_t)count * PACE_RANGE_COST;
}

/* ------------------------------------------------------------------------------------ Asking. */

/* The reader of a dirty slot of RANGE that is up. */
static struct node_id dirty_reader(struct repairs *repairs, struct core *core, uint32_t range)
{
    const struct range_record *record = &core->holdings[range].record;
    struct repair_set *dirty = &repairs->dirty;
    uint8_t others = repair_others(core, range);
    if (dirty->bits[range] & (uint8_t)~others) { /* Gone, or ours; or another compares it now. */
        repair_unask(repairs, range, (uint8_t)(dirty->bits[range] & ~others));
        repair_set_remove(dirty, range, (uint8_t)~others);
    }
    for (uint32_t i = 0; repair_stands(core, range) && i < record->slots_count; i++) {
        struct node_id reader = slot_reader(&record->slots[i]);
        if (dirty->bits[range] >> record->slots[i].number & 1 && core_is_up(core, reader))
            return reader;
    }
    return NODE_NONE;
}

/* The next dirty range, and who reads it; false if there is none in a bounded look. */
static bool find_first(struct repairs *repairs, struct core *core, struct node_id *ret_reader)
{
    struct repair_set *dirty = &repairs->dirty;
    uint32_t ranges = ring_ranges(&core->ring);
    uint32_t looks = MIN(ranges, (uint32_t)LOOKS_MAX);
    for (uint32_t looked = 0; looked < looks && dirty->count > 0; looked++) {
        uint32_t range = dirty->cursor % ranges;
        *ret_reader = dirty->bits[range] == 0 ? NODE_NONE : dirty_reader(repairs, core, range);
        if (!id_none(*ret_reader))
            return true;
        dirty->cursor++;
    }
    return false;
}

/* Gather from there on the dirty ranges that the same peer reads. */
static void gather(struct repairs *repairs, struct core *core, struct repair_batch *batch)
{
    uint32_t ranges = ring_ranges(&core->ring);
    batch->count = 0;
    if (!find_first(repairs, core, &batch->peer))
        return;
    uint32_t looks = MIN(ranges, (uint32_t)LOOKS_MAX);
    for (uint32_t looked = 0; looked < looks && batch->count < ROOTS_MAX; looked++) {
        uint32_t range = (repairs->dirty.cursor + looked) % ranges;
        uint8_t dirty = repairs->dirty.bits[range];
        uint8_t bit = dirty == 0 ? 0 : dirty & repair_bit_of(core, range, batch->peer);
        if (bit == 0 || !(repair_others(core, range) & bit) || !repair_stands(core, range))
            continue;
        repair_set_remove(&repairs->dirty, range, bit);
        batch->ranges[batch->count++] = range;
    }
}

static void begin(struct repairs *repairs, struct core *core, struct repair_batch *batch)
{
    uint64_t token;
    struct range_epoch none = {0};
    batch->id = ++repairs->batches_next * core->shards + core->shard;
    batch->sent_us = core->now.us;
    struct repair_wait *wait = repair_wait_add(repairs, WAIT_ROOTS, &none, batch->peer, &token);
    wait->batch = batch->id;
    uint64_t *prefixes = core_alloc(core, batch->count * sizeof(*prefixes));
    for (uint32_t i = 0; i < batch->count; i++) {
        struct tree_node node = {batch->ranges[i], 0};
        prefixes[i] = node.prefix;
        buf_append(&wait->nodes, slice_of(&node, sizeof(node)));
    }
    pace_take(&core->pace, core->now.us, batch->peer, cost_of(batch->count));
    repair_ask_tree(core, token, prefixes, batch->count, core->ring.bits);
}

/* Tell the peer of the first such range of all that it compares and we know to lack something. */
static void tell(struct repairs *repairs, struct core *core)
{
    struct tree_node nodes[ROOTS_MAX];
    struct repair_set *told = &repairs->told;
    struct node_id peer = NODE_NONE;
    uint32_t ranges = ring_ranges(&core->ring);
    uint32_t count = 0;
    for (uint32_t looked = 0; looked < ranges && count < ROOTS_MAX && told->count > 0; looked++) {
        uint32_t range = told->cursor++ % ranges;
        if (told->bits[range] == 0)
            continue;
        struct node_id comparer = repair_comparer(core, range, NODE_NONE);
        if (id_equal(comparer, core->self))
            repair_set_add(&repairs->dirty, range, repair_others(core, range));
        else if (!id_none(comparer) && !id_none(peer) && !id_equal(comparer, peer))
            continue; /* The next message. */
        else if (!id_none(comparer))
            nodes[count++] = (struct tree_node){range, 0};
        if (!id_none(comparer) && !id_equal(comparer, core->self))
            peer = comparer;
        repair_set_remove(told, range, UINT8_MAX);
    }
    if (count > 0)
        send_roots(core, peer, ROOTS_DIRTY, 0, nodes, count);
}

/* Nobody has answered: its ranges are dirty once more. */
static void give_up(struct repairs *repairs, struct core *core, struct repair_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++)
        repair_set_add(&repairs->dirty, batch->ranges[i],
                       repair_bit_of(core, batch->ranges[i], batch->peer));
    batch->id = 0;
}

void repair_roots_look(struct repairs *repairs, struct core *core)
{
    if (repairs->told.count > 0)
        tell(repairs, core);
    for (uint32_t i = 0; i < BATCHES_MAX; i++) {
        struct repair_batch *batch = &repairs->batches[i];
        if (batch->id != 0 && core->now.us - batch->sent_us > 5 * core->timing.retry_us)
            give_up(repairs, core, batch);
        if (batch->id != 0 || repairs->dirty.count == 0 || !pace_free(&core->pace, core->now.us))
            continue;
        gather(repairs, core, batch);
        if (batch->count > 0)
            begin(repairs, core, batch);
    }
}

/* --------------------------------------------------------------------------------- Answering. */

/* Digests came: ask the store for ours. */
static void asked(struct repairs *repairs, struct core *core, struct node_id from,
                  const struct message *message)
{
    uint32_t count = message->roots.nodes_count;
    uint64_t token;
    struct range_epoch none = {0};
    if (count == 0 || count > ROOTS_MAX)
        return;
    uint64_t *prefixes = core_alloc(core, count * sizeof(*prefixes));
    uint32_t own = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t range = message->roots.nodes[i].prefix;
        if (range >= ring_ranges(&core->ring))
            return;
        if (core_owns(core, (uint32_t)range))
            prefixes[own++] = range;
    }
    if (own == 0)
        return;
    struct repair_wait *wait = repair_wait_add(repairs, WAIT_ROOTS_ANSWER, &none, from, &token);
    wait->batch = message->roots.id;
    wait->part = own < count;
    for (uint32_t i = 0; i < count; i++)
        if (core_owns(core, (uint32_t)message->roots.nodes[i].prefix))
            buf_append(&wait->nodes, slice_of(&message->roots.nodes[i], sizeof(struct tree_node)));
    repair_ask_tree(core, token, prefixes, own, core->ring.bits);
}

static const struct tree_node *find_node(const struct message *message, uint32_t range)
{
    for (uint32_t i = 0; i < message->roots.nodes_count; i++)
        if (message->roots.nodes[i].prefix == range)
            return &message->roots.nodes[i];
    return NULL;
}

/* What differs is compared level by level. */
static void answered(struct repairs *repairs, struct core *core, struct node_id from,
                     const struct message *message)
{
    struct repair_batch *batch = NULL;
    for (uint32_t i = 0; i < BATCHES_MAX; i++)
        if (repairs->batches[i].id == message->roots.id && repairs->batches[i].id != 0)
            batch = &repairs->batches[i];
    if (batch == NULL || !id_equal(batch->peer, from) || message->roots.nodes_count > ROOTS_MAX)
        return;
    bool part = message->roots.kind == ROOTS_PART;
    uint32_t left = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        uint32_t range = batch->ranges[i];
        uint8_t bit = repair_bit_of(core, range, from);
        const struct tree_node *node = find_node(message, range);
        if (part && node == NULL)
            batch->ranges[left++] = range; /* Another shard of the peer speaks of it. */
        else if (node != NULL && (!part || node->digest != 0))
            repair_set_add(&repairs->differs, range, bit);
        else
            repair_unask(repairs, range, bit);
    }
    batch->count = left;
    if (left > 0)
        return;
    batch->id = 0;
    core_timer_set(core, &repairs->timer, MAX(core->now.us, core->pace.free_us));
}

void repair_roots_message(struct repairs *repairs, struct core *core, struct node_id from,
                          const struct message *message)
{
    switch ((enum roots_kind)message->roots.kind) {
    case ROOTS_ASK:
        asked(repairs, core, from, message);
        break;
    case ROOTS_DIFFER:
    case ROOTS_PART:
        answered(repairs, core, from, message);
        break;
    case ROOTS_DIRTY:
        for (uint32_t i = 0; i < message->roots.nodes_count && i < ROOTS_MAX; i++) {
            uint64_t range = message->roots.nodes[i].prefix;
            if (range < ring_ranges(&core->ring) && repair_shared(core, (uint32_t)range, from) &&
                repair_is_comparer(core, (uint32_t)range))
                repairs_dirty(repairs, core, (uint32_t)range);
        }
        break;
    }
}

void repair_roots_stored(struct repairs *repairs, struct core *core, const struct repair_wait *wait,
                         const struct store_done *done)
{
    uint32_t count;
    const struct tree_node *nodes = repair_nodes(&wait->nodes, &count);
    struct tree_node *out = core_alloc(core, (count + 1) * sizeof(*out));
    uint32_t out_count = 0;
    (void)repairs;
    if (done->error < 0)
        return; /* The batch is given up after a while. */
    struct reader digests = reader_of(done->object);
    (void)read_u64(&digests); /* The depth of the leaves. */
    bool asks = wait->kind == WAIT_ROOTS;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t range = (uint32_t)nodes[i].prefix;
        uint64_t state = state_of(core, range, read_u64(&digests));
        bool same = repair_shared(core, range, wait->peer) && state == nodes[i].digest;
        if (asks || wait->part || !same)
            out[out_count++] = (struct tree_node){range, asks ? state : wait->part && !same};
    }
    enum roots_kind kind = asks ? ROOTS_ASK : wait->part ? ROOTS_PART : ROOTS_DIFFER;
    send_roots(core, wait->peer, kind, wait->batch, out, out_count);
}
