/* The keys of leaves that differ: kept while our own are read, then both lists are walked at once.
 */
#include "core/horizon_state.h"

#include "base/rule.h"

void keys_write(struct buf *out, const struct entry *entries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        write_u64(out, entries[i].hash);
        write_string(out, entries[i].bucket);
        write_string(out, entries[i].key);
        write_string(out, entries[i].object);
    }
}

static bool read_one(struct reader *reader, struct entry *ret_entry)
{
    if (reader_left(reader) == 0)
        return false;
    ret_entry->hash = read_u64(reader);
    ret_entry->bucket = read_string(reader);
    ret_entry->key = read_string(reader);
    ret_entry->object = read_string(reader);
    return !reader->bad;
}

int keys_compare(const struct entry *a, const struct entry *b)
{
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    int order = slice_compare(a->bucket, b->bucket);
    return order != 0 ? order : slice_compare(a->key, b->key);
}

/* Does each side hold what the other holds, stamped at or below the horizon? That one covers what
 * the other holds is not enough: what covers it may be stamped above the horizon, and a third
 * reader may have neither. Comparing replicas makes them equal soon, and then the proof is made. */
static bool both_have(uint64_t horizon, struct slice ours, struct slice theirs)
{
    if (!RULE(HORIZON_HELD_BY_ALL))
        return object_has_all(ours, theirs, horizon) && object_has_all(theirs, ours, horizon);
    return object_holds_all(ours, theirs, horizon) && object_holds_all(theirs, ours, horizon);
}

static bool in_leaves(const struct horizon_wait *wait, uint64_t hash)
{
    const struct tree_node *nodes = (const struct tree_node *)(const void *)wait->nodes.data;
    uint32_t count = (uint32_t)(wait->nodes.size / sizeof(*nodes));
    uint64_t prefix = hash >> (64 - wait->bits);
    uint32_t low = 0;
    for (uint32_t high = count; low < high;) {
        uint32_t middle = low + (high - low) / 2;
        if (nodes[middle].prefix < prefix)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && nodes[low].prefix == prefix;
}

bool keys_agree(const struct horizon_wait *wait, uint64_t horizon, const struct store_done *done,
                uint64_t to)
{
    struct reader reader = reader_of(buf_slice(&wait->bytes));
    struct entry theirs;
    bool more = read_one(&reader, &theirs) && theirs.hash <= to;
    uint32_t i = 0;
    bool agree = true;
    while (agree && (more || (i < done->entries_count && done->entries[i].hash <= to))) {
        const struct entry *ours =
            i < done->entries_count && done->entries[i].hash <= to ? &done->entries[i] : NULL;
        int order = ours == NULL ? 1 : !more ? -1 : keys_compare(ours, &theirs);
        if (order < 0) {
            agree = !in_leaves(wait, ours->hash) || both_have(horizon, ours->object, SLICE_NONE);
        } else {
            agree = both_have(horizon, order == 0 ? ours->object : SLICE_NONE, theirs.object);
            more = read_one(&reader, &theirs) && theirs.hash <= to;
        }
        i += order <= 0;
    }
    return agree;
}
