/* One exchange: from digests that differ, level by level, to the objects. */
#include "core/repair_state.h"

#include <stdlib.h>

enum {
    LEVEL_BITS = 5,         /* Children of a node that differs: 32. */
    NODES_MAX = 1024,       /* Of a message. */
    OBJECTS_MAX = 2000,     /* Of a message. */
    OBJECTS_BYTES = 262144, /* Of a message. */
};

static const struct tree_node *wait_nodes(const struct repair_wait *wait, uint32_t *ret_count)
{
    *ret_count = (uint32_t)(wait->nodes.size / sizeof(struct tree_node));
    return (const struct tree_node *)(const void *)wait->nodes.data;
}

static struct message *send(struct core *core, const struct repair_wait *wait,
                            enum message_type type)
{
    struct message *message = core_send(core, wait->peer, type);
    message->compare.range = wait->range;
    message->compare.horizon = core->holdings[wait->range.range].stands;
    message->compare.generation = core->generation;
    return message;
}

static bool in_range(const struct core *core, uint32_t range, uint64_t prefix, uint32_t bits)
{
    return bits >= core->ring.bits && bits <= 63 && prefix >> (bits - core->ring.bits) == range;
}

void repair_exchange_compare(struct repairs *repairs, struct core *core, struct node_id from,
                             const struct message *message)
{
    const struct range_epoch *range = &message->compare.range;
    uint32_t bits = message->compare.bits;
    uint32_t count = message->compare.nodes_count;
    if (count == 0) {
        repair_finish(repairs, core, range->range, from, false);
        return;
    }
    if (count > NODES_MAX || bits > message->compare.leaf_bits)
        return;
    for (uint32_t i = 0; i < count; i++) {
        if (!in_range(core, range->range, message->compare.nodes[i].prefix, bits))
            return;
    }
    uint64_t token;
    struct repair_wait *wait = repair_wait_add(repairs, WAIT_NODES, range, from, &token);
    wait->bits = bits;
    wait->leaf_bits = message->compare.leaf_bits;
    uint64_t *prefixes = core_alloc(core, count * sizeof(*prefixes));
    for (uint32_t i = 0; i < count; i++)
        prefixes[i] = message->compare.nodes[i].prefix;
    buf_append(&wait->nodes, slice_of(message->compare.nodes, count * sizeof(struct tree_node)));
    repair_ask_tree(core, token, prefixes, count, bits);
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
                        enum repair_wait_kind kind, const struct tree_node *nodes, uint32_t count,
                        uint64_t to)
{
    uint64_t token;
    struct repair_wait *next = repair_wait_add(repairs, kind, &wait->range, wait->peer, &token);
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
        repair_finish(repairs, core, wait->range.range, wait->peer, false);
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
    struct repair_wait *next =
        repair_wait_add(repairs, WAIT_CHILDREN, &wait->range, wait->peer, &token);
    next->bits = deeper;
    next->leaf_bits = leaf_bits;
    for (uint32_t i = 0; i < differ * children; i++)
        buf_append(&next->nodes,
                   slice_of(&(struct tree_node){prefixes[i], 0}, sizeof(struct tree_node)));
    repair_ask_tree(core, token, prefixes, differ * children, deeper);
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
    return (message->compare.reply || message->compare.nodes_count > 0) &&
           core_entries_of(core, range->range, message->compare.entries,
                           message->compare.entries_count);
}

void repair_exchange_objects(struct repairs *repairs, struct core *core, struct node_id from,
                             const struct message *message)
{
    if (!check_objects(core, message))
        return;
    const struct range_epoch *range = &message->compare.range;
    uint64_t token;
    struct repair_wait *wait = repair_wait_add(repairs, WAIT_MERGED, range, from, &token);
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

static void merged(struct repairs *repairs, struct core *core, const struct repair_wait *wait)
{
    if (wait->reply) {
        /* Both sides have it all now, of this page: look whether there is more. */
        repair_finish(repairs, core, wait->range.range, wait->peer, true);
        return;
    }
    const struct tree_node *nodes = (const struct tree_node *)(const void *)wait->nodes.data;
    uint64_t token;
    struct repair_wait *next = repair_wait_add(repairs, WAIT_OWN, &wait->range, wait->peer, &token);
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
    repair_finish(repairs, core, wait->range.range, wait->peer, true);
}

void repair_exchange_stored(struct repairs *repairs, struct core *core, struct repair_wait *wait,
                            const struct store_done *done)
{
    if (done->error < 0)
        return; /* The next comparison tries again. */
    bool tree = wait->kind == WAIT_ROOT || wait->kind == WAIT_NODES || wait->kind == WAIT_CHILDREN;
    struct reader digests = reader_of(done->object);
    uint32_t leaf_bits = tree ? (uint32_t)read_u64(&digests) : 0;
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
        objects_read(core, wait, done);
        break;
    case WAIT_MERGED:
        merged(repairs, core, wait);
        break;
    case WAIT_OWN:
        own_read(repairs, core, wait, done);
        break;
    }
}
