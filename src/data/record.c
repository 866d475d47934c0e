/* One range's replica set: who reads and writes its slots, what may follow it, and its bytes.
 *
 * All loops are over at most SLOTS_MAX slots and FORMER_MAX nodes.
 *
 *   record = range, fork, [nonce u64 if fork > 0], epoch, slot count u8, slots,
 *            [transfer u64 if a slot is on its way], former count u8, former ids
 *   slot   = number and stage in one byte, then the owner and the target that its stage has
 *
 * Numbers without a width are varints. The order of former nodes is kept as it is: it is part of
 * the value that a range's voters agree on. */
#include "data/ring.h"

#include "base/rule.h"

const char *stage_name(enum stage stage)
{
    static const char *const names[STAGE_COUNT] = {"STABLE", "JOINT", "CUT",    "BACK",
                                                   "LEARN",  "FENCE", "REBUILD"};
    ASSERT((unsigned)stage < STAGE_COUNT);
    return names[stage];
}

static bool stage_has_owner(enum stage stage)
{
    return stage != STAGE_LEARN;
}

static bool stage_has_target(enum stage stage)
{
    return stage != STAGE_STABLE && stage != STAGE_FENCE;
}

/* Under a transfer id, at most one slot of a record at a time. */
static bool stage_moving(enum stage stage)
{
    return stage_has_target(stage);
}

/* ------------------------------------------------------------------------------ Who does what. */

struct node_id slot_reader(const struct slot *slot)
{
    switch (slot->stage) {
    case STAGE_STABLE:
    case STAGE_JOINT:
    case STAGE_BACK:
        return slot->owner;
    case STAGE_CUT:
        return slot->target;
    case STAGE_REBUILD:
        return RULE(REBUILD_UNREADABLE) ? NODE_NONE : slot->target;
    case STAGE_LEARN:
    case STAGE_FENCE:
        break;
    }
    return NODE_NONE;
}

uint32_t slot_writers(const struct slot *slot, struct node_id ret_nodes[2])
{
    switch (slot->stage) {
    case STAGE_STABLE:
        ret_nodes[0] = slot->owner;
        return 1;
    case STAGE_JOINT:
    case STAGE_CUT:
    case STAGE_BACK:
        ret_nodes[0] = slot->owner;
        ret_nodes[1] = slot->target;
        return 2;
    case STAGE_LEARN:
    case STAGE_REBUILD:
        ret_nodes[0] = slot->target;
        return 1;
    case STAGE_FENCE:
        break;
    }
    return 0;
}

uint32_t record_counted(const struct range_record *record)
{
    uint32_t counted = 0;
    for (uint32_t i = 0; i < record->slots_count; i++)
        counted += record->slots[i].stage != STAGE_LEARN;
    return counted;
}

uint32_t record_quorum(const struct range_record *record)
{
    return (record_counted(record) - !RULE(QUORUM_GROWS)) / 2 + 1;
}

uint32_t record_fence_quorum(const struct range_record *record)
{
    return record_counted(record) - record_quorum(record) + 1;
}

uint32_t record_sources(const struct range_record *record)
{
    return record_counted(record) / 2 + 1;
}

const struct slot *record_slot(const struct range_record *record, uint32_t number)
{
    for (uint32_t i = 0; i < record->slots_count; i++)
        if (record->slots[i].number == number)
            return &record->slots[i];
    return NULL;
}

const struct slot *record_slot_read_by(const struct range_record *record, struct node_id node)
{
    for (uint32_t i = 0; i < record->slots_count; i++)
        if (!id_none(node) && id_equal(slot_reader(&record->slots[i]), node))
            return &record->slots[i];
    return NULL;
}

const struct slot *record_slot_written_by(const struct range_record *record, struct node_id node)
{
    for (uint32_t i = 0; i < record->slots_count; i++) {
        struct node_id writers[2];
        uint32_t count = slot_writers(&record->slots[i], writers);
        for (uint32_t j = 0; j < count; j++)
            if (id_equal(writers[j], node))
                return &record->slots[i];
    }
    return NULL;
}

bool record_has_member(const struct range_record *record, struct node_id node)
{
    if (id_none(node))
        return false;
    for (uint32_t i = 0; i < record->slots_count; i++)
        if (id_equal(record->slots[i].owner, node) || id_equal(record->slots[i].target, node))
            return true;
    return false;
}

bool record_has_former(const struct range_record *record, struct node_id node)
{
    for (uint32_t i = 0; i < record->former_count; i++)
        if (id_equal(record->former[i], node))
            return true;
    return false;
}

uint32_t record_members(const struct range_record *record, struct node_id *ret_nodes)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        if (!id_none(slot->owner))
            ret_nodes[count++] = slot->owner;
        if (!id_none(slot->target))
            ret_nodes[count++] = slot->target;
    }
    return count;
}

uint32_t record_voters(const struct range_record *record, struct node_id *ret_nodes)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        struct node_id reader = slot_reader(&record->slots[i]);
        if (!id_none(reader))
            ret_nodes[count++] = reader;
    }
    return count;
}

struct node_id record_driver(const struct range_record *record)
{
    for (uint32_t i = 0; i < record->slots_count; i++) {
        struct node_id reader = slot_reader(&record->slots[i]);
        if (!id_none(reader))
            return reader;
    }
    return NODE_NONE;
}

/* --------------------------------------------------------------------- Order, well-formedness. */

int record_compare(const struct range_record *a, const struct range_record *b)
{
    if (a->fork != b->fork)
        return a->fork < b->fork ? -1 : 1;
    if (a->nonce != b->nonce)
        return a->nonce > b->nonce ? -1 : 1;
    return (a->epoch > b->epoch) - (a->epoch < b->epoch);
}

static bool slot_equal(const struct slot *a, const struct slot *b)
{
    return a->number == b->number && a->stage == b->stage && id_equal(a->owner, b->owner) &&
           id_equal(a->target, b->target);
}

static bool former_equal(const struct range_record *a, const struct range_record *b)
{
    if (a->former_count != b->former_count)
        return false;
    for (uint32_t i = 0; i < a->former_count; i++)
        if (!id_equal(a->former[i], b->former[i]))
            return false;
    return true;
}

bool record_equal(const struct range_record *a, const struct range_record *b)
{
    if (a->range != b->range || record_compare(a, b) != 0 || a->transfer != b->transfer ||
        a->slots_count != b->slots_count)
        return false;
    for (uint32_t i = 0; i < a->slots_count; i++)
        if (!slot_equal(&a->slots[i], &b->slots[i]))
            return false;
    return former_equal(a, b);
}

static bool slot_check(const struct slot *slot)
{
    if (slot->number >= SLOTS_MAX || (unsigned)slot->stage >= STAGE_COUNT)
        return false;
    return id_none(slot->owner) != stage_has_owner(slot->stage) &&
           id_none(slot->target) != stage_has_target(slot->stage);
}

/* Distinct over owners, targets and former nodes together; none of them NODE_NONE. */
static bool nodes_distinct(const struct range_record *record)
{
    struct node_id nodes[2 * SLOTS_MAX + FORMER_MAX];
    uint32_t count = record_members(record, nodes);
    for (uint32_t i = 0; i < record->former_count; i++)
        nodes[count++] = record->former[i];
    for (uint32_t i = 0; i < count; i++) {
        if (id_none(nodes[i]))
            return false;
        for (uint32_t j = 0; j < i; j++)
            if (id_equal(nodes[i], nodes[j]))
                return false;
    }
    return true;
}

static uint32_t record_moving(const struct range_record *record)
{
    uint32_t moving = 0;
    for (uint32_t i = 0; i < record->slots_count; i++)
        moving += stage_moving(record->slots[i].stage);
    return moving;
}

bool record_check(const struct range_record *record, uint32_t ranges)
{
    if (record->range >= ranges || record->epoch == 0 || (record->fork == 0 && record->nonce != 0))
        return false;
    if (record->slots_count > SLOTS_MAX || record->former_count > FORMER_MAX)
        return false;
    for (uint32_t i = 0; i < record->slots_count; i++)
        if (!slot_check(&record->slots[i]) ||
            (i > 0 && record->slots[i].number <= record->slots[i - 1].number))
            return false;
    if (record_counted(record) == 0 || !nodes_distinct(record))
        return false;
    uint32_t moving = record_moving(record);
    if (moving > 1 || (moving == 1) != (record->transfer != 0))
        return false;
    /* However a transfer ends, it adds at most one node: an abort must never lack the room. */
    return moving == 0 || record->former_count < FORMER_MAX;
}

/* ----------------------------------------------------------------------- What may follow what. */

/* A step of one slot, and what it does to `former`. */
struct step_facts {
    struct node_id added;    /* Must be in former afterwards; none if the step adds nobody. */
    struct node_id optional; /* May be: an owner that was lost, but perhaps did not depart. */
};

/* Does the slot change from A to B as the stage table says? Both have the same number. */
static bool slot_step(const struct slot *a, const struct slot *b, struct step_facts *ret_facts)
{
    bool same_owner = id_equal(a->owner, b->owner);
    bool same_target = id_equal(a->target, b->target);
    bool target_owns = id_equal(a->target, b->owner);
    enum stage to = b->stage;
    switch (a->stage) {
    case STAGE_STABLE:
        return same_owner && (to == STAGE_JOINT || to == STAGE_FENCE);
    case STAGE_JOINT:
        ret_facts->added = to == STAGE_STABLE ? a->target : NODE_NONE;
        return same_owner && (to == STAGE_STABLE || (to == STAGE_CUT && same_target));
    case STAGE_CUT:
        ret_facts->added = to == STAGE_STABLE ? a->owner : NODE_NONE;
        return (to == STAGE_STABLE && target_owns) ||
               (to == STAGE_BACK && same_owner && same_target);
    case STAGE_BACK:
        ret_facts->added = a->target;
        return to == STAGE_STABLE && same_owner;
    case STAGE_LEARN:
        return to == STAGE_STABLE && target_owns;
    case STAGE_FENCE:
        return same_owner && (to == STAGE_STABLE || to == STAGE_REBUILD);
    case STAGE_REBUILD:
        if (to == STAGE_STABLE) {
            ret_facts->optional = a->owner;
            return target_owns;
        }
        ret_facts->added = a->target;
        return to == STAGE_FENCE && same_owner;
    }
    return false;
}

/* May a slot like this appear, or disappear? */
static bool slot_appears(const struct slot *slot)
{
    return slot->stage == STAGE_LEARN;
}

static bool slot_goes(const struct slot *slot, struct step_facts *ret_facts)
{
    if (slot->stage == STAGE_LEARN)
        ret_facts->added = slot->target;
    else
        ret_facts->optional = slot->owner;
    return slot->stage == STAGE_LEARN || slot->stage == STAGE_FENCE;
}

/* Counts the slots that differ; false if one of them differs in a way that is not in the table. */
static bool slots_follow(const struct range_record *record, const struct range_record *next,
                         uint32_t *ret_changes, struct step_facts *ret_facts)
{
    for (uint32_t number = 0; number < SLOTS_MAX; number++) {
        const struct slot *a = record_slot(record, number);
        const struct slot *b = record_slot(next, number);
        if ((!a && !b) || (a && b && slot_equal(a, b)))
            continue;
        (*ret_changes)++;
        if (a && b ? !slot_step(a, b, ret_facts) : a ? !slot_goes(a, ret_facts) : !slot_appears(b))
            return false;
    }
    return true;
}

/* After a step: former plus whom the step adds, less those who are members again. Nobody else. */
static bool former_follows(const struct range_record *record, const struct range_record *next,
                           const struct step_facts *facts)
{
    if (!id_none(facts->added) && !record_has_former(next, facts->added))
        return false;
    for (uint32_t i = 0; i < record->former_count; i++)
        if (!record_has_former(next, record->former[i]) &&
            !record_has_member(next, record->former[i]))
            return false;
    for (uint32_t i = 0; i < next->former_count; i++) {
        struct node_id node = next->former[i];
        if (!record_has_former(record, node) && !id_equal(node, facts->added) &&
            !id_equal(node, facts->optional))
            return false;
    }
    return true;
}

/* Clean-up done: fewer former nodes, nothing else. */
static bool former_shrinks(const struct range_record *record, const struct range_record *next)
{
    for (uint32_t i = 0; i < next->former_count; i++)
        if (!record_has_former(record, next->former[i]))
            return false;
    return next->former_count < record->former_count;
}

bool record_may_follow(const struct range_record *record, const struct range_record *next)
{
    if (!record_check(record, RANGES_MAX) || !record_check(next, RANGES_MAX))
        return false;
    if (next->range != record->range || next->fork != record->fork ||
        next->nonce != record->nonce || next->epoch - 1 != record->epoch)
        return false;
    /* One transfer keeps its id from its first stage to its last. */
    if (record->transfer != 0 && next->transfer != 0 && record->transfer != next->transfer)
        return false;
    uint32_t changes = 0;
    struct step_facts facts = {NODE_NONE, NODE_NONE};
    if (!slots_follow(record, next, &changes, &facts))
        return false;
    if (changes == 0)
        return former_shrinks(record, next);
    return changes == 1 && former_follows(record, next, &facts);
}

/* ----------------------------------------------------------------------------------- Encoding. */

void record_encode(const struct range_record *record, struct buf *out)
{
    enum { HEAD_SIZE_MAX = 5 + 5 + 8 + 10 + 1 + 8 + 1, SLOT_SIZE_MAX = 1 + 2 * 16, ID_SIZE = 16 };
    buf_reserve(out, HEAD_SIZE_MAX + record->slots_count * (size_t)SLOT_SIZE_MAX +
                         record->former_count * (size_t)ID_SIZE); /* So that it grows once. */
    write_varint(out, record->range);
    write_varint(out, record->fork);
    if (record->fork > 0)
        write_u64(out, record->nonce);
    write_varint(out, record->epoch);
    write_u8(out, record->slots_count);
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        write_u8(out, (uint8_t)(slot->number | (unsigned)slot->stage << 4));
        if (stage_has_owner(slot->stage))
            id_write(out, slot->owner);
        if (stage_has_target(slot->stage))
            id_write(out, slot->target);
    }
    if (record_moving(record) > 0)
        write_u64(out, record->transfer);
    write_u8(out, record->former_count);
    for (uint32_t i = 0; i < record->former_count; i++)
        id_write(out, record->former[i]);
}

static uint32_t read_varint32(struct reader *reader)
{
    uint64_t value = read_varint(reader);
    if (value > UINT32_MAX)
        reader->bad = true;
    return (uint32_t)value;
}

static uint8_t read_count(struct reader *reader, uint8_t max)
{
    uint8_t count = read_u8(reader);
    if (count > max)
        reader->bad = true;
    return reader->bad ? 0 : count;
}

static void slot_decode(struct reader *reader, struct slot *ret_slot)
{
    uint8_t head = read_u8(reader);
    if ((head >> 4) >= STAGE_COUNT) {
        reader->bad = true;
        return;
    }
    ret_slot->number = head & 15;
    ret_slot->stage = (enum stage)(head >> 4);
    if (stage_has_owner(ret_slot->stage))
        ret_slot->owner = id_read(reader);
    if (stage_has_target(ret_slot->stage))
        ret_slot->target = id_read(reader);
}

void record_decode(struct reader *reader, struct range_record *ret_record)
{
    struct range_record record = {0};
    record.range = read_varint32(reader);
    record.fork = read_varint32(reader);
    if (record.fork > 0)
        record.nonce = read_u64(reader);
    record.epoch = read_varint(reader);
    record.slots_count = read_count(reader, SLOTS_MAX);
    for (uint32_t i = 0; i < record.slots_count; i++)
        slot_decode(reader, &record.slots[i]);
    if (record_moving(&record) > 0)
        record.transfer = read_u64(reader);
    record.former_count = read_count(reader, FORMER_MAX);
    for (uint32_t i = 0; i < record.former_count; i++)
        record.former[i] = id_read(reader);
    if (!reader->bad && !record_check(&record, RANGES_MAX))
        reader->bad = true;
    *ret_record = record;
}
