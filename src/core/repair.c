#include "core/repair.h"

#include <stdlib.h>

enum {
    LEVEL_BITS = 5,         /* Children of a node that differs: 32. */
    NODES_MAX = 1024,       /* Of a message. */
    OBJECTS_MAX = 2000,     /* Of a message. */
    OBJECTS_BYTES = 262144, /* Of a message. */
    TICK_US = 50000,        /* Between looks for work while a range is dirty. */
    SLOW_US = 500000,       /* Between comparisons of the slow round. */
    LOOKS_MAX = 1024,       /* At ranges, in one go. */
    ROUNDS_MAX = 1000,      /* Pages of one range in a row, before others have their turn. */
};

/* What a store operation is for. */
enum wait_kind { WAIT_ROOT = 1, WAIT_NODES, WAIT_CHILDREN, WAIT_OBJECTS, WAIT_MERGED, WAIT_OWN };

struct repair_wait {
    enum wait_kind kind;
    struct range_epoch range;
    struct node_id peer;
    uint32_t bits;
    uint32_t leaf_bits;
    uint64_t to;
    struct buf nodes; /* Owned. Array of struct tree_node. */
    bool reply;
};

static const struct tree_node *wait_nodes(const struct repair_wait *wait, uint32_t *ret_count)
{
    *ret_count = (uint32_t)(wait->nodes.size / sizeof(struct tree_node));
    return (const struct tree_node *)(const void *)wait->nodes.data;
}

static void wait_free(struct repair_wait *wait)
{
    buf_done(&wait->nodes);
    mem_free(wait);
}

static struct repair_wait *wait_add(struct repairs *repairs, enum wait_kind kind,
                                    const struct range_epoch *range, struct node_id peer,
                                    uint64_t *ret_token)
{
    struct repair_wait *wait = mem_zero(sizeof(*wait));
    wait->kind = kind;
    wait->range = *range;
    wait->peer = peer;
    uint64_t value = ++repairs->waits_next;
    map_put(&repairs->waits, value, wait);
    *ret_token = token_of(OWNER_REPAIR, value);
    return wait;
}

/* ------------------------------------------------------------------------------- What to compare.
 */

/* May this node and PEER compare RANGE now: both read it, under the record that both have
 * installed? */
static bool may_compare(const struct core *core, const struct range_epoch *range,
                        struct node_id peer)
{
    if (range->range >= ring_ranges(&core->ring))
        return false;
    const struct holding *holding = &core->holdings[range->range];
    return holding->ready && range_epoch_compare(range, &holding->record) == 0 &&
           record_slot_read_by(&holding->record, core->self) != NULL &&
           record_slot_read_by(&holding->record, peer) != NULL;
}

static bool is_comparer(const struct core *core, uint32_t range)
{
    const struct holding *holding = &core->holdings[range];
    return holding->record.epoch > 0 && holding->ready &&
           id_equal(record_driver(&holding->record), core->self);
}

static void set_dirty(struct repairs *repairs, uint32_t range, uint8_t bits)
{
    repairs->dirty_count += repairs->dirty[range] == 0 && bits != 0;
    repairs->dirty[range] |= bits;
}

static void clear_dirty(struct repairs *repairs, uint32_t range, uint8_t bits)
{
    bool was = repairs->dirty[range] != 0;
    repairs->dirty[range] &= (uint8_t)~bits;
    repairs->dirty_count -= was && repairs->dirty[range] == 0;
}

static void schedule(struct repairs *repairs, struct core *core)
{
    bool busy = repairs->dirty_count > 0;
    for (uint32_t i = 0; i < COMPARING_MAX; i++)
        busy = busy || !id_none(repairs->comparing[i].peer);
    core_timer_set(core, &repairs->timer, core->now.us + (busy ? TICK_US : SLOW_US));
}

void repairs_dirty(struct repairs *repairs, struct core *core, uint32_t range)
{
    if (repairs->dirty == NULL || !is_comparer(core, range))
        return;
    if (repairs->dirty_count == 0)
        core_timer_set(core, &repairs->timer, core->now.us + TICK_US);
    set_dirty(repairs, range, (1u << SLOTS_MAX) - 1);
}

void repairs_peer_up(struct repairs *repairs, struct core *core, struct node_id node)
{
    for (uint32_t range = 0; repairs->dirty != NULL && range < ring_ranges(&core->ring); range++) {
        const struct slot *slot = is_comparer(core, range)
                                      ? record_slot_read_by(&core->holdings[range].record, node)
                                      : NULL;
        if (slot != NULL)
            set_dirty(repairs, range, (uint8_t)(1u << slot->number));
    }
    if (repairs->dirty_count > 0)
        core_timer_set(core, &repairs->timer, core->now.us + TICK_US);
}

static struct comparing *comparing_find(struct repairs *repairs, uint32_t range,
                                        struct node_id peer)
{
    for (uint32_t i = 0; i < COMPARING_MAX; i++) {
        struct comparing *comparing = &repairs->comparing[i];
        if (id_equal(comparing->peer, peer) && comparing->range == range)
            return comparing;
    }
    return NULL;
}

static void ask_tree(struct core *core, uint64_t token, const uint64_t *prefixes, uint32_t count,
                     uint32_t bits)
{
    struct store_op *op = core_store(core, STORE_TREE, token);
    op->tree.prefixes = prefixes;
    op->tree.prefixes_count = count;
    op->tree.bits = bits;
}

/* Compare RANGE with the reader of slot NUMBER. False if there is none to compare with now. */
static bool begin(struct repairs *repairs, struct core *core, struct comparing *unused,
                  uint32_t range, uint8_t number)
{
    const struct range_record *record = &core->holdings[range].record;
    const struct slot *slot = record_slot(record, number);
    struct node_id peer = slot == NULL ? NODE_NONE : slot_reader(slot);
    if (id_none(peer) || id_equal(peer, core->self) || !core_is_up(core, peer))
        return false;
    *unused = (struct comparing){.peer = peer, .range = range, .touched_us = core->now.us};
    struct range_epoch epoch = range_epoch_of(record);
    uint64_t token;
    wait_add(repairs, WAIT_ROOT, &epoch, peer, &token);
    uint64_t *prefix = core_alloc(core, sizeof(*prefix));
    *prefix = range;
    ask_tree(core, token, prefix, 1, core->ring.bits);
    return true;
}

/* Compare a dirty slot of RANGE whose reader is up, if there is one. Those whose reader is down
 * stay dirty. */
static bool begin_range(struct repairs *repairs, struct core *core, struct comparing *unused,
                        uint32_t range)
{
    for (uint32_t number = 0; number < SLOTS_MAX; number++) {
        uint8_t bit = (uint8_t)(1u << number);
        if (!(repairs->dirty[range] & bit))
            continue;
        const struct slot *slot = record_slot(&core->holdings[range].record, number);
        struct node_id reader = slot == NULL ? NODE_NONE : slot_reader(slot);
        if (id_none(reader) || id_equal(reader, core->self)) {
            clear_dirty(repairs, range, bit);
        } else if (comparing_find(repairs, range, reader) == NULL &&
                   begin(repairs, core, unused, range, (uint8_t)number)) {
            clear_dirty(repairs, range, bit);
            return true;
        }
    }
    return false;
}

/* The next dirty range with a reader that is up. False if none was found in a bounded look. */
static bool begin_dirty(struct repairs *repairs, struct core *core, struct comparing *unused)
{
    uint32_t ranges = ring_ranges(&core->ring);
    uint32_t looks = MIN(ranges, (uint32_t)LOOKS_MAX);
    for (uint32_t looked = 0; looked < looks && repairs->dirty_count > 0; looked++) {
        uint32_t range = repairs->dirty_cursor++ % ranges;
        if (repairs->dirty[range] != 0 && !is_comparer(core, range))
            clear_dirty(repairs, range, repairs->dirty[range]);
        if (repairs->dirty[range] != 0 && begin_range(repairs, core, unused, range))
            return true;
    }
    return false;
}

/* One step of the slow round. */
static void begin_slow(struct repairs *repairs, struct core *core, struct comparing *unused)
{
    for (uint32_t looked = 0; looked < LOOKS_MAX; looked++) {
        if (++repairs->slot >= SLOTS_MAX) {
            repairs->slot = 0;
            repairs->cursor = (repairs->cursor + 1) % ring_ranges(&core->ring);
        }
        if (is_comparer(core, repairs->cursor) &&
            begin(repairs, core, unused, repairs->cursor, repairs->slot))
            return;
    }
}

static void tick(struct core *core, void *machine, struct timer *timer)
{
    (void)timer;
    struct repairs *repairs = machine;
    for (uint32_t i = 0; i < COMPARING_MAX; i++) {
        struct comparing *comparing = &repairs->comparing[i];
        if (!id_none(comparing->peer) &&
            core->now.us - comparing->touched_us > 5 * core->timing.retry_us) {
            /* No answer: a message was lost, or the epochs differ. Later again. */
            set_dirty(repairs, comparing->range, (1u << SLOTS_MAX) - 1);
            comparing->peer = NODE_NONE;
        }
        if (!id_none(comparing->peer))
            continue;
        if (begin_dirty(repairs, core, comparing))
            continue;
        if (core->now.us >= repairs->slow_at_us) {
            repairs->slow_at_us = core->now.us + SLOW_US;
            begin_slow(repairs, core, comparing);
        }
    }
    schedule(repairs, core);
}

/* The comparison of RANGE with PEER is over, or has come as far as one page goes. */
static void finish(struct repairs *repairs, struct core *core, uint32_t range, struct node_id peer,
                   bool again)
{
    struct comparing *comparing = comparing_find(repairs, range, peer);
    if (comparing == NULL)
        return;
    uint32_t rounds = comparing->rounds + 1;
    const struct slot *slot = record_slot_read_by(&core->holdings[range].record, peer);
    comparing->peer = NODE_NONE;
    if (again && slot != NULL && rounds < ROUNDS_MAX &&
        begin(repairs, core, comparing, range, slot->number))
        comparing->rounds = rounds;
    else
        begin_dirty(repairs, core, comparing);
}

static void touch(struct repairs *repairs, struct core *core, uint32_t range, struct node_id peer)
{
    struct comparing *comparing = comparing_find(repairs, range, peer);
    if (comparing != NULL)
        comparing->touched_us = core->now.us;
}

/* ------------------------------------------------------------------------------------ COMPARE. */

static struct message *send(struct core *core, const struct repair_wait *wait,
                            enum message_type type)
{
    struct message *message = core_send(core, wait->peer, type);
    message->compare.range = wait->range;
    return message;
}

static bool in_range(const struct core *core, uint32_t range, uint64_t prefix, uint32_t bits)
{
    return bits >= core->ring.bits && bits <= 63 && prefix >> (bits - core->ring.bits) == range;
}

static void on_compare(struct repairs *repairs, struct core *core, struct node_id from,
                       const struct message *message)
{
    const struct range_epoch *range = &message->compare.range;
    uint32_t bits = message->compare.bits;
    uint32_t count = message->compare.nodes_count;
    if (count == 0) {
        finish(repairs, core, range->range, from, false);
        return;
    }
    if (count > NODES_MAX || bits > message->compare.leaf_bits)
        return;
    for (uint32_t i = 0; i < count; i++) {
        if (!in_range(core, range->range, message->compare.nodes[i].prefix, bits))
            return;
    }
    uint64_t token;
    struct repair_wait *wait = wait_add(repairs, WAIT_NODES, range, from, &token);
    wait->bits = bits;
    wait->leaf_bits = message->compare.leaf_bits;
    uint64_t *prefixes = core_alloc(core, count * sizeof(*prefixes));
    for (uint32_t i = 0; i < count; i++)
        prefixes[i] = message->compare.nodes[i].prefix;
    buf_append(&wait->nodes, slice_of(message->compare.nodes, count * sizeof(struct tree_node)));
    ask_tree(core, token, prefixes, count, bits);
}

/* Send our digests of the COUNT nodes in WAIT, as the store gave them. */
static void send_nodes(struct core *core, const struct repair_wait *wait, uint32_t leaf_bits,
                       const uint64_t *prefixes, struct reader *digests, uint32_t count)
{
    struct message *message = send(core, wait, MESSAGE_COMPARE);
    struct tree_node *nodes = core_alloc(core, count * sizeof(*nodes));
    for (uint32_t i = 0; i < count; i++)
        nodes[i] = (struct tree_node){prefixes[i], read_u64(digests)};
    message->compare.bits = (uint8_t)wait->bits;
    message->compare.leaf_bits = (uint8_t)leaf_bits;
    message->compare.nodes = nodes;
    message->compare.nodes_count = count;
}

static void root_read(struct core *core, const struct repair_wait *wait, struct reader *digests,
                      uint32_t leaf_bits)
{
    struct repair_wait root = *wait;
    root.bits = core->ring.bits;
    uint64_t prefix = wait->range.range;
    send_nodes(core, &root, leaf_bits, &prefix, digests, 1);
}

/* Ask for what we hold in the leaves of NODES. */
static void scan_leaves(struct repairs *repairs, struct core *core, const struct repair_wait *wait,
                        enum wait_kind kind, const struct tree_node *nodes, uint32_t count,
                        uint64_t to)
{
    uint64_t token;
    struct repair_wait *next = wait_add(repairs, kind, &wait->range, wait->peer, &token);
    next->bits = wait->bits;
    next->to = to;
    buf_append(&next->nodes, slice_of(nodes, count * sizeof(*nodes)));
    struct store_op *op = core_store(core, STORE_SCAN, token);
    op->range = wait->range.range;
    op->scan.from = nodes[0].prefix << (64 - wait->bits);
    op->scan.to = to;
    op->scan.count_max = OBJECTS_MAX;
    op->scan.bytes_max = OBJECTS_BYTES;
}

static uint64_t last_of(uint64_t prefix, uint32_t bits)
{
    return prefix << (64 - bits) | (bits == 64 ? 0 : UINT64_MAX >> bits);
}

/* Our digests of the nodes that the other side sent: go down where they differ. */
static void nodes_read(struct repairs *repairs, struct core *core, struct repair_wait *wait,
                       struct reader *digests, uint32_t tree_bits)
{
    uint32_t count;
    const struct tree_node *theirs = wait_nodes(wait, &count);
    struct tree_node *differing = core_alloc(core, count * sizeof(*differing));
    uint32_t differ = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (read_u64(digests) != theirs[i].digest)
            differing[differ++] = theirs[i];
    }
    if (differ == 0) {
        send(core, wait, MESSAGE_COMPARE);
        finish(repairs, core, wait->range.range, wait->peer, false);
        return;
    }
    uint32_t leaf_bits = MIN(tree_bits, wait->leaf_bits);
    if (wait->bits >= leaf_bits) {
        scan_leaves(repairs, core, wait, WAIT_OBJECTS, differing, differ,
                    last_of(differing[differ - 1].prefix, wait->bits));
        return;
    }
    uint32_t deeper = MIN(wait->bits + LEVEL_BITS, leaf_bits);
    uint32_t children = 1u << (deeper - wait->bits);
    differ = MIN(differ, (uint32_t)NODES_MAX / children);
    uint64_t *prefixes = core_alloc(core, differ * children * sizeof(*prefixes));
    for (uint32_t i = 0; i < differ * children; i++)
        prefixes[i] = differing[i / children].prefix << (deeper - wait->bits) | i % children;
    uint64_t token;
    struct repair_wait *next = wait_add(repairs, WAIT_CHILDREN, &wait->range, wait->peer, &token);
    next->bits = deeper;
    next->leaf_bits = leaf_bits;
    for (uint32_t i = 0; i < differ * children; i++)
        buf_append(&next->nodes,
                   slice_of(&(struct tree_node){prefixes[i], 0}, sizeof(struct tree_node)));
    ask_tree(core, token, prefixes, differ * children, deeper);
}

static void children_read(struct core *core, const struct repair_wait *wait, struct reader *digests)
{
    uint32_t count;
    const struct tree_node *nodes = wait_nodes(wait, &count);
    uint64_t *prefixes = core_alloc(core, count * sizeof(*prefixes));
    for (uint32_t i = 0; i < count; i++)
        prefixes[i] = nodes[i].prefix;
    send_nodes(core, wait, wait->leaf_bits, prefixes, digests, count);
}

/* ------------------------------------------------------------------------------------ OBJECTS. */

static int node_compare(const void *a, const void *b)
{
    uint64_t x = ((const struct tree_node *)a)->prefix;
    uint64_t y = ((const struct tree_node *)b)->prefix;
    return (x > y) - (x < y);
}

static bool has_prefix(const struct tree_node *nodes, uint32_t count, uint64_t prefix)
{
    struct tree_node wanted = {prefix, 0};
    return count > 0 && bsearch(&wanted, nodes, count, sizeof(wanted), node_compare) != NULL;
}

/* Our objects in the leaves that differ, for the other side to merge. */
static void objects_read(struct core *core, const struct repair_wait *wait,
                         const struct store_done *done)
{
    uint32_t count;
    const struct tree_node *nodes = wait_nodes(wait, &count);
    struct message *message = send(core, wait, MESSAGE_OBJECTS);
    struct entry *entries = core_alloc(core, (done->entries_count + 1) * sizeof(*entries));
    for (uint32_t i = 0; i < done->entries_count; i++) {
        if (has_prefix(nodes, count, done->entries[i].hash >> (64 - wait->bits)))
            entries[message->compare.entries_count++] = done->entries[i];
    }
    struct tree_node *leaves = core_alloc(core, count * sizeof(*leaves));
    memcpy(leaves, nodes, count * sizeof(*leaves));
    message->compare.bits = (uint8_t)wait->bits;
    message->compare.nodes = leaves;
    message->compare.nodes_count = count;
    message->compare.entries = entries;
    message->compare.to = done->more ? done->entries[done->entries_count - 1].hash : wait->to;
}

static bool check_objects(const struct core *core, const struct message *message)
{
    const struct range_epoch *range = &message->compare.range;
    if (message->compare.nodes_count > NODES_MAX)
        return false;
    for (uint32_t i = 0; i < message->compare.nodes_count; i++) {
        uint64_t prefix = message->compare.nodes[i].prefix;
        if (!in_range(core, range->range, prefix, message->compare.bits) ||
            (i > 0 && prefix <= message->compare.nodes[i - 1].prefix))
            return false;
    }
    for (uint32_t i = 0; i < message->compare.entries_count; i++) {
        const struct entry *entry = &message->compare.entries[i];
        if (range_of(entry->hash, core->ring.bits) != range->range ||
            entry->hash != key_hash(core->cluster.hash_seed, entry->bucket, entry->key))
            return false;
    }
    return message->compare.reply || message->compare.nodes_count > 0;
}

static void on_objects(struct repairs *repairs, struct core *core, struct node_id from,
                       const struct message *message)
{
    if (!check_objects(core, message))
        return;
    const struct range_epoch *range = &message->compare.range;
    uint64_t token;
    struct repair_wait *wait = wait_add(repairs, WAIT_MERGED, range, from, &token);
    wait->reply = message->compare.reply;
    wait->bits = message->compare.bits;
    wait->to = message->compare.to;
    /* Behind the leaves: what came, as (hash, digest), to tell what the other side lacks. */
    wait->leaf_bits = message->compare.nodes_count;
    buf_append(&wait->nodes, slice_of(message->compare.nodes,
                                      message->compare.nodes_count * sizeof(struct tree_node)));
    for (uint32_t i = 0; i < message->compare.entries_count; i++) {
        const struct entry *entry = &message->compare.entries[i];
        struct tree_node came = {
            entry->hash, object_digest(entry->hash, entry->bucket, entry->key, entry->object)};
        buf_append(&wait->nodes, slice_of(&came, sizeof(came)));
    }
    core->counters.repaired_in += message->compare.entries_count;
    struct store_op *op = core_store(core, STORE_CHUNK, token);
    op->range = range->range;
    op->fork = range->fork;
    op->epoch = range->epoch;
    op->sync = true;
    op->batch.entries = message->compare.entries;
    op->batch.entries_count = message->compare.entries_count;
}

static void merged(struct repairs *repairs, struct core *core, const struct repair_wait *wait,
                   const struct store_done *done)
{
    if (done->error < 0)
        return;
    if (wait->reply) {
        /* Both sides have it all now, of this page: look whether there is more. */
        finish(repairs, core, wait->range.range, wait->peer, true);
        return;
    }
    const struct tree_node *nodes = (const struct tree_node *)(const void *)wait->nodes.data;
    uint64_t token;
    struct repair_wait *next = wait_add(repairs, WAIT_OWN, &wait->range, wait->peer, &token);
    next->bits = wait->bits;
    next->leaf_bits = wait->leaf_bits;
    buf_append(&next->nodes, buf_slice(&wait->nodes));
    struct store_op *op = core_store(core, STORE_SCAN, token);
    op->range = wait->range.range;
    op->scan.from = nodes[0].prefix << (64 - wait->bits);
    op->scan.to = MAX(wait->to, op->scan.from);
    op->scan.count_max = OBJECTS_MAX;
    op->scan.bytes_max = OBJECTS_BYTES;
}

/* What we have in those leaves and the other side does not, or not so. */
static void own_read(struct repairs *repairs, struct core *core, const struct repair_wait *wait,
                     const struct store_done *done)
{
    uint32_t count;
    const struct tree_node *nodes = wait_nodes(wait, &count);
    const struct tree_node *came = nodes + wait->leaf_bits;
    uint32_t came_count = count - wait->leaf_bits;
    struct message *message = send(core, wait, MESSAGE_OBJECTS);
    struct entry *entries = core_alloc(core, (done->entries_count + 1) * sizeof(*entries));
    uint32_t at = 0;
    for (uint32_t i = 0; i < done->entries_count; i++) {
        const struct entry *entry = &done->entries[i];
        if (!has_prefix(nodes, wait->leaf_bits, entry->hash >> (64 - wait->bits)))
            continue;
        uint64_t digest = object_digest(entry->hash, entry->bucket, entry->key, entry->object);
        while (at < came_count && came[at].prefix < entry->hash)
            at++;
        bool same = false;
        for (uint32_t k = at; k < came_count && came[k].prefix == entry->hash; k++)
            same = same || came[k].digest == digest;
        if (!same)
            entries[message->compare.entries_count++] = *entry;
    }
    message->compare.bits = (uint8_t)wait->bits;
    message->compare.entries = entries;
    message->compare.reply = true;
    core->counters.repaired_out += message->compare.entries_count;
    finish(repairs, core, wait->range.range, wait->peer, true);
}

/* ------------------------------------------------------------------------------------- Events. */

void repairs_message(struct repairs *repairs, struct core *core, struct node_id from,
                     const struct message *message)
{
    if (repairs->dirty == NULL || !may_compare(core, &message->compare.range, from))
        return;
    touch(repairs, core, message->compare.range.range, from);
    if (message->type == MESSAGE_COMPARE)
        on_compare(repairs, core, from, message);
    else
        on_objects(repairs, core, from, message);
}

void repairs_stored(struct repairs *repairs, struct core *core, const struct store_done *done)
{
    struct repair_wait *wait = map_remove(&repairs->waits, done->token & 0x00ffffffffffffffu);
    ASSERT(wait != NULL);
    struct reader digests = reader_of(done->object);
    bool tree = wait->kind == WAIT_ROOT || wait->kind == WAIT_NODES || wait->kind == WAIT_CHILDREN;
    uint32_t leaf_bits = tree ? (uint32_t)read_u64(&digests) : 0;
    if (may_compare(core, &wait->range, wait->peer) && (done->error == 0 || !tree)) {
        switch (wait->kind) {
        case WAIT_ROOT:
            root_read(core, wait, &digests, leaf_bits);
            break;
        case WAIT_NODES:
            nodes_read(repairs, core, wait, &digests, leaf_bits);
            break;
        case WAIT_CHILDREN:
            children_read(core, wait, &digests);
            break;
        case WAIT_OBJECTS:
            if (done->error == 0)
                objects_read(core, wait, done);
            break;
        case WAIT_MERGED:
            merged(repairs, core, wait, done);
            break;
        case WAIT_OWN:
            if (done->error == 0)
                own_read(repairs, core, wait, done);
            break;
        }
    }
    wait_free(wait);
}

void repairs_init(struct repairs *repairs)
{
    *repairs = (struct repairs){0};
    repairs->timer.fire = tick;
    repairs->timer.machine = repairs;
}

void repairs_start(struct repairs *repairs, struct core *core)
{
    repairs->dirty = mem_zero(ring_ranges(&core->ring));
    /* What was written while this node was away is missing here. */
    for (uint32_t range = 0; range < ring_ranges(&core->ring); range++)
        repairs_dirty(repairs, core, range);
    core_timer_set(core, &repairs->timer, core->now.us + TICK_US);
}

void repairs_done(struct repairs *repairs, struct core *core)
{
    size_t cursor = 0;
    struct repair_wait *wait;
    while ((wait = map_next(&repairs->waits, &cursor, NULL)) != NULL)
        wait_free(wait);
    map_done(&repairs->waits);
    mem_free(repairs->dirty);
    core_timer_clear(core, &repairs->timer);
}
