#include "data/fork.h"

bool lost_nodes_have(const struct lost_nodes *lost, struct node_id node)
{
    return id_equal(node, lost->also) || member_departed(lost->members, node);
}

bool fork_needed(const struct range_record *record, const struct lost_nodes *lost)
{
    struct node_id voters[SLOTS_MAX];
    uint32_t count = record_voters(record, voters);
    uint32_t left = 0;
    for (uint32_t i = 0; i < count; i++)
        left += !lost_nodes_have(lost, voters[i]);
    return record->epoch > 0 && record->fork < UINT32_MAX && left < record_quorum(record);
}

/* The node that is left with all that SLOT acknowledged, NODE_NONE if there is none: its reader;
 * in CUT the owner too, which still takes its writes, and in BACK the target. */
static struct node_id keeper_of(const struct slot *slot, const struct lost_nodes *lost)
{
    struct node_id reader = slot_reader(slot);
    if (id_none(reader) || !lost_nodes_have(lost, reader))
        return reader;
    struct node_id other = NODE_NONE;
    if (slot->stage == STAGE_CUT)
        other = slot->owner;
    else if (slot->stage == STAGE_BACK)
        other = slot->target;
    return !id_none(other) && !lost_nodes_have(lost, other) ? other : NODE_NONE;
}

uint32_t fork_survivors(const struct range_record *record, const struct lost_nodes *lost)
{
    uint32_t survivors = 0;
    for (uint32_t i = 0; i < record->slots_count; i++)
        survivors += !id_none(keeper_of(&record->slots[i], lost));
    return survivors;
}

/* Where no full copy is left: the node that has most of one. A fenced slot's owner that has not
 * departed had all of it once; after it whoever was being filled. */
static struct slot make_do(const struct range_record *record, const struct lost_nodes *lost,
                           struct node_id heir)
{
    struct slot best = {.number = record->slots[0].number, .owner = heir};
    bool found = false;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        bool fenced = slot->stage == STAGE_FENCE || slot->stage == STAGE_REBUILD;
        struct node_id partial = slot->target;
        if (fenced && !lost_nodes_have(lost, slot->owner)) {
            best = (struct slot){.number = slot->number, .owner = slot->owner};
            return best;
        }
        if (found || id_none(partial) || lost_nodes_have(lost, partial))
            continue;
        found = true;
        best = (struct slot){.number = slot->number, .owner = partial};
    }
    return best;
}

/* Whoever does not fit in hands over what it has all the same. */
static void leave_behind(struct range_record *fork, const struct lost_nodes *lost,
                         struct node_id node)
{
    if (!id_none(node) && !lost_nodes_have(lost, node) && !record_has_member(fork, node) &&
        !record_has_former(fork, node) && fork->former_count < FORMER_MAX)
        record_add_former(fork, node);
}

static uint64_t first_epoch(uint64_t before, uint64_t nonce)
{
    enum { BLOCKS = 1 << 24 };
    if (before >> 62 != 0)
        return before + 1; /* Only a forged record has such a one. */
    return ((before >> FORK_EPOCH_BITS) + 1 + nonce % BLOCKS) << FORK_EPOCH_BITS;
}

void fork_make(const struct range_record *record, const struct lost_nodes *lost, uint64_t nonce,
               struct node_id heir, struct range_record *ret_fork)
{
    ASSERT(nonce != 0 && record->slots_count > 0);
    struct range_record fork = {.range = record->range,
                                .fork = record->fork + 1,
                                .nonce = nonce,
                                .epoch = first_epoch(record->epoch, nonce)};
    for (uint32_t i = 0; i < record->slots_count; i++) {
        struct node_id keeper = keeper_of(&record->slots[i], lost);
        if (!id_none(keeper))
            fork.slots[fork.slots_count++] =
                (struct slot){.number = record->slots[i].number, .owner = keeper};
    }
    if (fork.slots_count == 0)
        fork.slots[fork.slots_count++] = make_do(record, lost, heir);
    for (uint32_t i = 0; i < record->slots_count; i++) {
        leave_behind(&fork, lost, record->slots[i].owner);
        leave_behind(&fork, lost, record->slots[i].target);
    }
    for (uint32_t i = 0; i < record->former_count; i++)
        leave_behind(&fork, lost, record->former[i]);
    *ret_fork = fork;
}
