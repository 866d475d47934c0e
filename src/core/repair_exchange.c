/* One exchange: from digests that differ, level by level, to the keys, and to the objects. */
#include "core/repair_state.h"

#include <stdlib.h>

enum {
    LEVEL_BITS = 4,           /* Children of a node that differs: 16. */
    NODES_MAX = 1024,         /* Of a message. */
    KEYS_MAX = 2000,          /* Of a message. */
    KEYS_BYTES = 1024 * 1024, /* Of their objects, which are read for it. */
    OBJECTS_BYTES = 262144,   /* Of a message. */
};

static struct slice bucket_of(const struct repair_wait *wait)
{
    return slice_of(wait->walk.bucket, wait->walk.bucket_size);
}

static struct message *send(struct core *core, const struct repair_wait *wait,
                            enum message_type type)
{
    struct message *message = core_send(core, wait->peer, type);
    message->compare.range = wait->range;
    message->compare.horizon = core->holdings[wait->range.range].stands;
    message->compare.generation = core->generation;
    message->compare.walk = wait->walk.id;
    message->compare.bucket = core_copy(core, bucket_of(wait));
    message->compare.from = wait->from;
    message->compare.to = wait->to;
    return message;
}

static bool in_range(const struct core *core, uint32_t range, uint64_t prefix, uint32_t bits)
{
    return bits >= core->ring.bits && bits <= 63 && prefix >> (bits - core->ring.bits) == range;
}

/* For an answer to MESSAGE, about the same hashes and bucket. */
static struct repair_wait *wait_answer(struct repairs *repairs, enum repair_wait_kind kind,
                                       struct node_id from, const struct message *message,
                                       uint64_t *ret_token)
{
    struct repair_wait *wait =
        repair_wait_add(repairs, kind, &message->compare.range, from, ret_token);
    wait->from = message->compare.from;
    wait->to = message->compare.to;
    wait->walk.id = message->compare.walk;
    wait->walk.bucket_size = (uint8_t)message->compare.bucket.size;
    if (wait->walk.bucket_size > 0)
        memcpy(wait->walk.bucket, message->compare.bucket.data, wait->walk.bucket_size);
    return wait;
}

void repair_exchange_compare(struct repairs *repairs, struct core *core, struct node_id from,
                             const struct message *message)
{
    const struct range_epoch *range = &message->compare.range;
    uint32_t bits = message->compare.bits;
    uint32_t count = message->compare.nodes_count;
    if (count == 0) {
        repair_finish(repairs, core, range->range, from, message->compare.walk);
        return;
    }
    if (count > NODES_MAX || bits > message->compare.leaf_bits)
        return;
    for (uint32_t i = 0; i < count; i++) {
        if (!in_range(core, range->range, message->compare.nodes[i].prefix, bits))
            return;
    }
    uint64_t token;
    struct repair_wait *wait = wait_answer(repairs, WAIT_NODES, from, message, &token);
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

/* What follows WAIT, about the same hashes and bucket. */
static struct repair_wait *wait_next(struct repairs *repairs, enum repair_wait_kind kind,
                                     const struct repair_wait *wait, uint64_t *ret_token)
{
    struct repair_wait *next = repair_wait_add(repairs, kind, &wait->range, wait->peer, ret_token);
    next->from = wait->from;
    next->to = wait->to;
    next->walk = wait->walk;
    return next;
}

/* The token value under which the same keys are being read for NEXT's peer already, 0 if none. */
static uint64_t scan_under_way(const struct repairs *repairs, const struct core *core,
                               const struct repair_wait *next)
{
    const struct range_record *record = &core->holdings[next->range.range].record;
    const struct repair_wait *wait;
    size_t cursor = 0;
    uint64_t value;
    while ((wait = map_next(&repairs->waits, &cursor, &value)) != NULL)
        if (wait != next && wait->kind == next->kind && id_equal(wait->peer, next->peer) &&
            wait->range.range == record->range && range_epoch_compare(&wait->range, record) == 0 &&
            wait->walk.id == next->walk.id && wait->read_from == next->read_from &&
            wait->read_to == next->read_to)
            return value;
    return 0;
}

/* Read what we hold between FROM and TO, for NEXT. What was asked for before, and is asked for once
 * more since the other side was not that patient, is answered by the scan that is under way: there
 * would be more and more of them otherwise, where the disk is slow. */
static void read_keys(struct repairs *repairs, struct core *core, struct repair_wait *next,
                      uint64_t token, uint64_t from, uint64_t to)
{
    next->read_from = from;
    next->read_to = to;
    uint64_t earlier = scan_under_way(repairs, core, next);
    if (earlier != 0) {
        map_remove(&repairs->waits, token_value(token));
        repair_wait_free(map_put(&repairs->waits, earlier, next));
        return;
    }
    struct store_op *op = core_store(core, STORE_SCAN, token);
    op->range = next->range.range;
    op->scan.from = from;
    op->scan.to = to;
    op->scan.count_max = KEYS_MAX;
    op->scan.bytes_max = KEYS_BYTES;
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
    const struct tree_node *theirs = repair_nodes(&wait->nodes, &count);
    struct tree_node *differing = core_alloc(core, count * sizeof(*differing));
    uint32_t differ = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool same = read_u64(digests) == theirs[i].digest;
        if (!same && last_of(theirs[i].prefix, wait->bits) >= wait->from)
            differing[differ++] = theirs[i];
    }
    if (differ == 0) {
        send(core, wait, MESSAGE_COMPARE);
        repair_finish(repairs, core, wait->range.range, wait->peer, wait->walk.id);
        return;
    }
    uint32_t leaf_bits = MIN(tree_bits, wait->leaf_bits);
    if (wait->bits >= leaf_bits) {
        uint64_t token;
        struct repair_wait *next = wait_next(repairs, WAIT_LEAVES, wait, &token);
        next->bits = wait->bits;
        next->from = MAX(differing[0].prefix << (64 - wait->bits), wait->from);
        next->to = last_of(differing[differ - 1].prefix, wait->bits);
        buf_append(&next->nodes, slice_of(differing, differ * sizeof(*differing)));
        read_keys(repairs, core, next, token, next->from, next->to);
        return;
    }
    uint32_t deeper = MIN(wait->bits + LEVEL_BITS, leaf_bits);
    uint32_t children = 1u << (deeper - wait->bits);
    differ = MIN(differ, (uint32_t)NODES_MAX / children);
    uint64_t *prefixes = core_alloc(core, differ * children * sizeof(*prefixes));
    for (uint32_t i = 0; i < differ * children; i++)
        prefixes[i] = differing[i / children].prefix << (deeper - wait->bits) | i % children;
    uint64_t token;
    struct repair_wait *next = wait_next(repairs, WAIT_CHILDREN, wait, &token);
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
    const struct tree_node *nodes = repair_nodes(&wait->nodes, &count);
    uint64_t *prefixes = core_alloc(core, count * sizeof(*prefixes));
    for (uint32_t i = 0; i < count; i++)
        prefixes[i] = nodes[i].prefix;
    send_nodes(core, wait, wait->leaf_bits, prefixes, digests, count);
}

/* -------------------------------------------------------------------------- LEAVES, OBJECTS. */

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

/* Is that very version among NODES, which rise by hash? *AT: where to look, and where to next. */
static bool has_same(const struct tree_node *nodes, uint32_t count, struct tree_node key,
                     uint32_t *at)
{
    while (*at < count && nodes[*at].prefix < key.prefix)
        (*at)++;
    for (uint32_t i = *at; i < count && nodes[i].prefix == key.prefix; i++)
        if (nodes[i].digest == key.digest)
            return true;
    return false;
}

static struct tree_node key_of(const struct entry *entry)
{
    return (struct tree_node){entry->hash,
                              object_digest(entry->hash, entry->bucket, entry->key, entry->object)};
}

static size_t entry_bytes(const struct entry *entry)
{
    return entry->bucket.size + entry->key.size + entry->object.size;
}

/* Is the key in one of these leaves, and of the bucket that is walked through? */
static bool is_spoken_of(const struct repair_wait *wait, const struct tree_node *leaves,
                         uint32_t count, const struct entry *entry)
{
    return has_prefix(leaves, count, entry->hash >> (64 - wait->bits)) &&
           (wait->walk.id == 0 || slice_equal(entry->bucket, bucket_of(wait)));
}

/* What we have in the leaves that differ. */
static void leaves_read(struct repairs *repairs, struct core *core, const struct repair_wait *wait,
                        const struct store_done *done)
{
    uint32_t count;
    const struct tree_node *nodes = repair_nodes(&wait->nodes, &count);
    struct message *message = send(core, wait, MESSAGE_LEAVES);
    struct tree_node *leaves = core_alloc(core, count * sizeof(*leaves));
    struct tree_node *keys = core_alloc(core, (done->entries_count + 1) * sizeof(*keys));
    for (uint32_t i = 0; i < count; i++)
        leaves[i] = (struct tree_node){nodes[i].prefix, 0};
    for (uint32_t i = 0; i < done->entries_count; i++)
        if (is_spoken_of(wait, nodes, count, &done->entries[i]))
            keys[message->compare.keys_count++] = key_of(&done->entries[i]);
    message->compare.bits = (uint8_t)wait->bits;
    message->compare.nodes = leaves;
    message->compare.nodes_count = count;
    message->compare.keys = keys;
    message->compare.to = done->more ? done->entries[done->entries_count - 1].hash : wait->to;
    repair_charge(repairs, core, wait->peer, message);
}

/* Are these hashes of RANGE, in order? */
static bool check_keys(const struct core *core, uint32_t range, const struct tree_node *keys,
                       uint32_t count)
{
    if (count > KEYS_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (range_of(keys[i].prefix, core->ring.bits) != range ||
            (i > 0 && keys[i].prefix < keys[i - 1].prefix))
            return false;
    return true;
}

void repair_exchange_leaves(struct repairs *repairs, struct core *core, struct node_id from,
                            const struct message *message)
{
    const struct range_epoch *range = &message->compare.range;
    uint32_t count = message->compare.nodes_count;
    bool good = count > 0 && count <= NODES_MAX && message->compare.from <= message->compare.to &&
                range_of(message->compare.from, core->ring.bits) == range->range &&
                range_of(message->compare.to, core->ring.bits) == range->range &&
                check_keys(core, range->range, message->compare.keys, message->compare.keys_count);
    for (uint32_t i = 0; good && i < count; i++)
        good =
            in_range(core, range->range, message->compare.nodes[i].prefix, message->compare.bits) &&
            (i == 0 || message->compare.nodes[i].prefix > message->compare.nodes[i - 1].prefix);
    if (!good)
        return;
    uint64_t token;
    struct repair_wait *wait = wait_answer(repairs, WAIT_KEYS, from, message, &token);
    wait->bits = message->compare.bits;
    buf_append(&wait->nodes, slice_of(message->compare.nodes, count * sizeof(struct tree_node)));
    buf_append(&wait->keys, slice_of(message->compare.keys,
                                     message->compare.keys_count * sizeof(struct tree_node)));
    read_keys(repairs, core, wait, token, wait->from, wait->to);
}

/* What we have in those leaves and the other side has not, or not so, as far as it goes into one
 * message, and what we want of it up to there. */
static void keys_read(struct repairs *repairs, struct core *core, const struct repair_wait *wait,
                      const struct store_done *done)
{
    uint32_t nodes_count, keys_count;
    const struct tree_node *nodes = repair_nodes(&wait->nodes, &nodes_count);
    const struct tree_node *keys = repair_nodes(&wait->keys, &keys_count);
    struct message *message = send(core, wait, MESSAGE_OBJECTS);
    struct entry *entries = core_alloc(core, (done->entries_count + 1) * sizeof(*entries));
    struct tree_node *own = core_alloc(core, (done->entries_count + 1) * sizeof(*own));
    struct tree_node *wanted = core_alloc(core, (keys_count + 1) * sizeof(*wanted));
    uint64_t to = done->more ? done->entries[done->entries_count - 1].hash : wait->to;
    size_t bytes = 0;
    uint32_t own_count = 0, at = 0;
    for (uint32_t i = 0; i < done->entries_count && done->entries[i].hash <= to; i++) {
        const struct entry *entry = &done->entries[i];
        if (!is_spoken_of(wait, nodes, nodes_count, entry))
            continue;
        own[own_count++] = key_of(entry);
        if (has_same(keys, keys_count, own[own_count - 1], &at))
            continue;
        entries[message->compare.entries_count++] = *entry;
        bytes += entry_bytes(entry);
        if (bytes >= OBJECTS_BYTES)
            to = entry->hash;
    }
    at = 0;
    for (uint32_t i = 0; i < keys_count && keys[i].prefix <= to; i++)
        if (!has_same(own, own_count, keys[i], &at))
            wanted[message->compare.keys_count++] = (struct tree_node){keys[i].prefix, 0};
    message->compare.entries = entries;
    message->compare.keys = wanted;
    message->compare.to = to;
    core->counters.repaired_out += message->compare.entries_count;
    repair_charge(repairs, core, wait->peer, message);
}

void repair_exchange_objects(struct repairs *repairs, struct core *core, struct node_id from,
                             const struct message *message)
{
    const struct range_epoch *range = &message->compare.range;
    if (!core_entries_of(core, range->range, message->compare.entries,
                         message->compare.entries_count) ||
        !check_keys(core, range->range, message->compare.keys, message->compare.keys_count))
        return;
    uint64_t token;
    struct repair_wait *wait = wait_answer(repairs, WAIT_MERGED, from, message, &token);
    wait->reply = message->compare.reply;
    buf_append(&wait->keys, slice_of(message->compare.keys,
                                     message->compare.keys_count * sizeof(struct tree_node)));
    /* What came, to tell whether the other side lacks what it makes here. */
    for (uint32_t i = 0; i < message->compare.entries_count; i++) {
        struct tree_node came = key_of(&message->compare.entries[i]);
        buf_append(&wait->nodes, slice_of(&came, sizeof(came)));
    }
    core->counters.repaired_in += message->compare.entries_count;
    struct store_op *op = core_store_under(core, STORE_CHUNK, token, *range);
    op->sync = true;
    op->batch.entries = message->compare.entries;
    op->batch.entries_count = message->compare.entries_count;
    op->batch.stands = message->compare.horizon; /* And ours: repairs_message() has looked. */
}

static void merged(struct repairs *repairs, struct core *core, struct repair_wait *wait)
{
    uint32_t count;
    const struct tree_node *wanted = repair_nodes(&wait->keys, &count);
    if (wait->nodes.size > 0)
        repair_news(repairs, core, wait->range.range, wait->peer);
    if (!wait->reply && count > 0) {
        uint64_t token;
        struct repair_wait *next = wait_next(repairs, WAIT_WANTED, wait, &token);
        buf_append(&next->nodes, buf_slice(&wait->nodes));
        buf_append(&next->keys, buf_slice(&wait->keys));
        read_keys(repairs, core, next, token, wanted[0].prefix, wanted[count - 1].prefix);
        return;
    }
    if (!wait->reply)
        send(core, wait, MESSAGE_OBJECTS)->compare.reply = true;
    /* Both sides have it all now, of this page: look whether there is more. */
    repair_turn(repairs, core, wait);
}

/* What the other side wants. */
static void wanted_read(struct repairs *repairs, struct core *core, const struct repair_wait *wait,
                        const struct store_done *done)
{
    uint32_t wanted_count, came_count;
    const struct tree_node *wanted = repair_nodes(&wait->keys, &wanted_count);
    const struct tree_node *came = repair_nodes(&wait->nodes, &came_count);
    struct message *message = send(core, wait, MESSAGE_OBJECTS);
    struct entry *entries = core_alloc(core, (done->entries_count + 1) * sizeof(*entries));
    size_t bytes = 0;
    uint32_t at = 0;
    for (uint32_t i = 0; i < done->entries_count && bytes < OBJECTS_BYTES; i++) {
        const struct entry *entry = &done->entries[i];
        if (!has_prefix(wanted, wanted_count, entry->hash) ||
            has_same(came, came_count, key_of(entry), &at))
            continue;
        entries[message->compare.entries_count++] = *entry;
        bytes += entry_bytes(entry);
    }
    message->compare.entries = entries;
    message->compare.reply = true;
    core->counters.repaired_out += message->compare.entries_count;
    repair_charge(repairs, core, wait->peer, message);
    repair_turn(repairs, core, wait);
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
    case WAIT_LEAVES:
        leaves_read(repairs, core, wait, done);
        break;
    case WAIT_KEYS:
        keys_read(repairs, core, wait, done);
        break;
    case WAIT_MERGED:
        merged(repairs, core, wait);
        break;
    case WAIT_WANTED:
        wanted_read(repairs, core, wait, done);
        break;
    case WAIT_ROOTS: /* repair_roots.c */
    case WAIT_ROOTS_ANSWER:
        break;
    }
}
