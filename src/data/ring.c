/* The table of range records. See record.c for what one record says. */
#include "data/ring.h"
#include "base/checksum.h"

#include "base/rule.h"

void ring_init(struct ring *ring, uint32_t bits)
{
    ASSERT(bits <= 16);
    *ring = (struct ring){.bits = bits};
    ring->records = mem_zero(sizeof(*ring->records) << bits);
}

void ring_done(struct ring *ring)
{
    mem_free(ring->records);
    *ring = (struct ring){0};
}

/* Of the record's name; 0 for "no record", so that an empty ring has empty hashes. */
static uint64_t record_hash(const struct range_record *record)
{
    if (record->epoch == 0)
        return 0;
    uint64_t range_fork = (uint64_t)record->range << 32 | record->fork;
    return checksum_pair(checksum_pair(range_fork, record->nonce), record->epoch);
}

/* Of its fork's name; 0 where there was none. */
static uint64_t fork_hash(const struct range_record *record)
{
    uint64_t range_fork = (uint64_t)record->range << 32 | record->fork;
    return record->fork == 0 ? 0 : checksum_pair(range_fork, record->nonce);
}

bool ring_merge(struct ring *ring, const struct range_record *record)
{
    ASSERT(ring->records && record->range < ring_ranges(ring));
    struct range_record *known = &ring->records[record->range];
    int order = known->epoch == 0 ? 1 : record_compare(record, known);
    if (order == 0 || (order < 0 && RULE(RECORDS_RISE)))
        return false;
    ring->hashes[record->range % RING_BUCKETS] ^= record_hash(known) ^ record_hash(record);
    if (record->fork != 0 || known->fork != 0)
        ring->forks ^= fork_hash(known) ^ fork_hash(record);
    *known = *record;
    return true;
}

uint32_t ring_readers(const struct ring *ring, uint32_t range, struct node_id *ret_nodes,
                      uint32_t cap)
{
    struct node_id voters[SLOTS_MAX];
    uint32_t count = MIN(record_voters(ring_get(ring, range), voters), cap);
    for (uint32_t i = 0; i < count; i++)
        ret_nodes[i] = voters[i];
    return count;
}

uint32_t ring_slots_of(const struct ring *ring, struct node_id node)
{
    ASSERT(!id_none(node));
    uint32_t slots = 0;
    for (uint32_t range = 0; range < ring_ranges(ring); range++) {
        const struct range_record *record = ring_get(ring, range);
        for (uint32_t i = 0; i < record->slots_count; i++)
            slots += id_equal(slot_reader(&record->slots[i]), node) ||
                     id_equal(record->slots[i].target, node);
    }
    return slots;
}
