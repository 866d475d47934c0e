/* What an administrator asks to be compared, and how much of it is left. */
#include "core/repair_state.h"

/* Of RANGE, the slots that this node is to compare with its own for CHOICE. */
static uint8_t chosen(const struct core *core, const struct repair_choice *choice, uint32_t range)
{
    uint8_t bits = repair_others(core, range);
    bool all = id_none(choice->node) || id_equal(choice->node, core->self);
    return all ? bits : bits & repair_bit_of(core, range, choice->node);
}

/* The same of a range that another shard of the node runs, as far as its record tells. */
static uint8_t chosen_elsewhere(const struct core *core, const struct repair_choice *choice,
                                uint32_t range)
{
    const struct range_record *record = ring_get(&core->ring, range);
    bool all = id_none(choice->node) || id_equal(choice->node, core->self);
    bool compares = false, met = false;
    uint8_t bits = 0;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        struct node_id reader = slot_reader(&record->slots[i]);
        if (id_none(reader))
            continue;
        bool self = id_equal(reader, core->self);
        compares = compares || (!met && self);
        met = met || core_is_up(core, reader);
        if (!self && (all || id_equal(reader, choice->node)))
            bits |= (uint8_t)(1u << record->slots[i].number);
    }
    return compares ? bits : 0;
}

/* Behind the last range of CHOICE. */
static uint32_t end_of(const struct repairs *repairs, const struct core *core,
                       const struct repair_choice *choice)
{
    uint32_t ranges = repairs->dirty.bits == NULL ? 0 : ring_ranges(&core->ring);
    return choice->last < ranges ? choice->last + 1 : ranges;
}

/* Another bucket, or the same once more from the beginning. */
static void walk_anew(struct repairs *repairs, struct core *core, struct slice bucket)
{
    struct repair_walk *walk = &repairs->walk;
    bool same = slice_equal(bucket, slice_of(walk->bucket, walk->bucket_size));
    ASSERT(bucket.size <= sizeof(walk->bucket));
    for (uint32_t i = 0; i < COMPARING_MAX; i++) {
        struct comparing *comparing = &repairs->comparing[i];
        if (id_none(comparing->peer) || !comparing->walks)
            continue;
        uint8_t bit = repair_bit_of(core, comparing->range, comparing->peer);
        repair_set_add(&repairs->dirty, comparing->range, bit);
        comparing->peer = NODE_NONE;
    }
    for (uint32_t range = 0; !same && range < ring_ranges(&core->ring); range++)
        repair_set_remove(&repairs->walked, range, UINT8_MAX);
    walk->id = ++repairs->walks_next;
    walk->bucket_size = (uint8_t)bucket.size;
    memcpy(walk->bucket, bucket.data, bucket.size);
}

void repairs_ask(struct repairs *repairs, struct core *core, const struct repair_choice *choice)
{
    uint32_t end = end_of(repairs, core, choice);
    if (choice->first >= end)
        return;
    if (choice->bucket.size > 0)
        walk_anew(repairs, core, choice->bucket);
    struct repair_set *asked = choice->bucket.size > 0 ? &repairs->walked : &repairs->asked;
    for (uint32_t range = choice->first; range < end; range++) {
        uint8_t bits = chosen(core, choice, range);
        repair_set_add(asked, range, bits);
        repair_set_add(&repairs->dirty, range, bits);
    }
    repair_schedule(repairs, core);
}

void repair_unask(struct repairs *repairs, uint32_t range, uint8_t bits)
{
    repair_set_remove(&repairs->asked, range, bits);
    repair_set_remove(&repairs->walked, range, bits);
}

uint32_t repairs_count(const struct repairs *repairs, const struct core *core,
                       const struct repair_choice *choice)
{
    uint32_t count = 0;
    uint32_t end = end_of(repairs, core, choice);
    for (uint32_t range = choice->first; range < end; range++)
        count += (uint32_t)__builtin_popcount(core_owns(core, range)
                                                  ? chosen(core, choice, range)
                                                  : chosen_elsewhere(core, choice, range));
    return count;
}

void repairs_asked(const struct repairs *repairs, const struct core *core, uint32_t *ret_left,
                   uint32_t *ret_unreachable)
{
    *ret_left = *ret_unreachable = 0;
    if (repairs->asked.count + repairs->walked.count == 0)
        return;
    for (uint32_t range = 0; range < ring_ranges(&core->ring); range++) {
        const struct range_record *record = &core->holdings[range].record;
        uint8_t bits = repairs->asked.bits[range] | repairs->walked.bits[range];
        bits &= bits == 0 ? 0 : repair_others(core, range);
        for (uint32_t i = 0; bits != 0 && i < record->slots_count; i++) {
            bool left = bits >> record->slots[i].number & 1;
            *ret_left += left;
            *ret_unreachable += left && !core_is_up(core, slot_reader(&record->slots[i]));
        }
    }
}

struct slice repairs_bucket(const struct repairs *repairs)
{
    const struct repair_walk *walk = &repairs->walk;
    return repairs->walked.count > 0 ? slice_of(walk->bucket, walk->bucket_size) : SLICE_NONE;
}
