/* The readers' part in a proof: compare what the raiser shows with what is here, and answer with
 * the keys of leaves that differ. Nothing is kept from question to question. */
#include "core/horizon_state.h"

#include <stdlib.h>

#include "base/rule.h"
#include "core/buckets.h"

static struct message *answer(struct core *core, const struct range_epoch *range,
                              struct node_id peer, uint64_t nonce)
{
    const struct holding *holding = &core->holdings[range->range];
    struct message *message = core_send(core, peer, MESSAGE_PROVEN);
    message->horizon.range = *range;
    message->horizon.nonce = nonce;
    message->horizon.generation = core->generation;
    message->horizon.horizon = holding->horizon;
    message->horizon.stands = holding->stands;
    return message;
}

static bool nodes_fit(const struct core *core, const struct message *message)
{
    uint32_t bits = message->horizon.bits;
    uint32_t count = message->horizon.nodes_count;
    if (count > PROVE_NODES_MAX || bits < core->ring.bits || bits > message->horizon.leaf_bits)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t prefix = message->horizon.nodes[i].prefix;
        if (prefix >> (bits - core->ring.bits) != message->horizon.range.range ||
            (i > 0 && prefix != message->horizon.nodes[i - 1].prefix + 1))
            return false;
    }
    return true;
}

void prove_asked(struct horizons *horizons, struct core *core, struct node_id from,
                 const struct message *message)
{
    const struct range_epoch *range = &message->horizon.range;
    const struct range_record *record = horizon_record(core, range);
    /* Until gossip has brought the same lives to both: the raiser asks again. */
    bool same_lives = record != NULL && message->horizon.lives == horizon_lives(core, record);
    if (!same_lives || record_slot_read_by(record, from) == NULL || !nodes_fit(core, message))
        return;
    const struct holding *holding = &core->holdings[range->range];
    bool equal = holding->horizon == holding->stands && message->horizon.stands == holding->stands;
    bool drops = message->horizon.drops == buckets_drops_digest(&core->settings);
    if (!equal || !drops) {
        answer(core, range, from, message->horizon.nonce)->horizon.refused = true;
        return;
    }
    uint32_t count = message->horizon.nodes_count;
    uint64_t token;
    struct horizon_wait *wait = horizon_wait_add(
        horizons, count > 0 ? HORIZON_WAIT_ASKED : HORIZON_WAIT_SYNCED, range, from, &token);
    wait->nonce = message->horizon.nonce;
    wait->bits = message->horizon.bits;
    wait->leaf_bits = message->horizon.leaf_bits;
    wait->from = message->horizon.from;
    uint64_t *prefixes = core_alloc(core, (count + 1) * sizeof(*prefixes));
    for (uint32_t i = 0; i < count; i++)
        prefixes[i] = message->horizon.nodes[i].prefix;
    if (count > 0)
        buf_append(&wait->nodes,
                   slice_of(message->horizon.nodes, count * sizeof(struct tree_node)));
    struct store_op *op = core_store(core, STORE_TREE, token);
    op->tree.prefixes = prefixes;
    op->tree.prefixes_count = count;
    op->tree.bits = wait->bits;
}

static struct tree_node *wait_nodes(const struct horizon_wait *wait, uint32_t *ret_count)
{
    *ret_count = (uint32_t)(wait->nodes.size / sizeof(struct tree_node));
    return (struct tree_node *)(void *)wait->nodes.data;
}

static uint64_t last_of(uint64_t prefix, uint32_t bits)
{
    return prefix << (64 - bits) | UINT64_MAX >> bits;
}

/* The wait for the keys from FROM to TO that PEER has asked for before, if they are still being
 * read. */
static struct horizon_wait *scan_under_way(struct horizons *horizons, const struct core *core,
                                           const struct horizon_wait *question, uint64_t from,
                                           uint64_t to)
{
    const struct range_record *record = &core->holdings[question->range.range].record;
    size_t cursor = 0;
    for (struct horizon_wait *wait; (wait = map_next(&horizons->waits, &cursor, NULL)) != NULL;)
        if (wait->kind == HORIZON_WAIT_LEAVES && id_equal(wait->peer, question->peer) &&
            wait->range.range == record->range && range_epoch_compare(&wait->range, record) == 0 &&
            wait->from == from && wait->scan_to == to)
            return wait;
    return NULL;
}

/* The first DIFFER nodes of QUESTION are leaves that differ: read their keys. A question that is
 * asked again while they are being read is answered by the same scan, instead of the one before:
 * the raiser may be less patient than the disk is fast, and more and more scans would wait for it.
 */
static void show_leaves(struct horizons *horizons, struct core *core,
                        const struct horizon_wait *question, uint32_t differ, uint32_t leaf_bits,
                        uint64_t end)
{
    const struct tree_node *nodes = (const struct tree_node *)(const void *)question->nodes.data;
    uint64_t from = MAX(question->from, nodes[0].prefix << (64 - question->bits));
    uint64_t to = last_of(nodes[differ - 1].prefix, question->bits);
    struct horizon_wait *wait = scan_under_way(horizons, core, question, from, to);
    if (wait == NULL) {
        uint64_t token;
        wait = horizon_wait_add(horizons, HORIZON_WAIT_LEAVES, &question->range, question->peer,
                                &token);
        struct store_op *op = core_store(core, STORE_SCAN, token);
        op->range = question->range.range;
        op->scan.from = from;
        op->scan.to = to;
        op->scan.count_max = PROVE_OBJECTS_MAX;
        op->scan.bytes_max = PROVE_OBJECTS_BYTES;
    }
    wait->nonce = question->nonce;
    wait->bits = question->bits;
    wait->leaf_bits = leaf_bits;
    wait->from = from;
    wait->scan_to = to;
    wait->to = end;
    buf_clear(&wait->nodes);
    buf_append(&wait->nodes, slice_of(nodes, differ * sizeof(*nodes)));
}

/* Our digests are here. */
static void compare(struct horizons *horizons, struct core *core, struct horizon_wait *wait,
                    const struct store_done *done)
{
    uint32_t count;
    struct tree_node *nodes = wait_nodes(wait, &count);
    struct reader digests = reader_of(done->object);
    uint32_t leaf_bits = (uint32_t)read_u64(&digests);
    uint64_t end = last_of(nodes[count - 1].prefix, wait->bits);
    uint32_t differ = 0;
    for (uint32_t i = 0; i < count; i++)
        if (read_u64(&digests) != nodes[i].digest)
            nodes[differ++] = nodes[i];
    bool leaves = wait->bits >= MIN(leaf_bits, wait->leaf_bits);
    if (differ == 0 || !leaves) {
        struct message *message = answer(core, &wait->range, wait->peer, wait->nonce);
        struct tree_node *copy = core_alloc(core, (differ + 1) * sizeof(*copy));
        memcpy(copy, nodes, differ * sizeof(*copy));
        message->horizon.leaf_bits = (uint8_t)leaf_bits;
        message->horizon.bits = (uint8_t)wait->bits;
        message->horizon.nodes = copy;
        message->horizon.nodes_count = differ;
        message->horizon.to = end;
        return;
    }
    show_leaves(horizons, core, wait, differ, leaf_bits, end);
}

static int node_compare(const void *a, const void *b)
{
    uint64_t x = ((const struct tree_node *)a)->prefix;
    uint64_t y = ((const struct tree_node *)b)->prefix;
    return (x > y) - (x < y);
}

/* What we have in the leaves that differ. A page may end between two keys of one hash: that one
 * then counts as not spoken of, unless it is alone. */
static void show(struct core *core, struct horizon_wait *wait, const struct store_done *done)
{
    uint32_t count;
    struct tree_node *nodes = wait_nodes(wait, &count);
    struct message *message = answer(core, &wait->range, wait->peer, wait->nonce);
    uint64_t to = wait->to;
    if (done->more) {
        uint64_t last = done->entries[done->entries_count - 1].hash;
        to = last > done->entries[0].hash ? last - 1 : last;
    }
    struct entry *entries = core_alloc(core, (done->entries_count + 1) * sizeof(*entries));
    for (uint32_t i = 0; i < done->entries_count; i++) {
        struct tree_node leaf = {done->entries[i].hash >> (64 - wait->bits), 0};
        if (done->entries[i].hash <= to &&
            bsearch(&leaf, nodes, count, sizeof(leaf), node_compare) != NULL)
            entries[message->horizon.entries_count++] = done->entries[i];
    }
    struct tree_node *copy = core_alloc(core, count * sizeof(*copy));
    memcpy(copy, nodes, count * sizeof(*copy));
    message->horizon.bits = (uint8_t)wait->bits;
    message->horizon.leaf_bits = (uint8_t)wait->leaf_bits;
    message->horizon.nodes = copy;
    message->horizon.nodes_count = count;
    message->horizon.entries = entries;
    message->horizon.to = to;
}

void prove_stored(struct horizons *horizons, struct core *core, struct horizon_wait *wait,
                  const struct store_done *done)
{
    if (done->error < 0 || horizon_record(core, &wait->range) == NULL)
        return; /* The raiser asks again, or gives up. */
    if (wait->kind == HORIZON_WAIT_ASKED)
        compare(horizons, core, wait, done);
    else
        show(core, wait, done);
}

void prove_synced(struct core *core, const struct horizon_wait *wait)
{
    if (horizon_record(core, &wait->range) != NULL)
        answer(core, &wait->range, wait->peer, wait->nonce);
}
