/* Slots of a range as a put sees them: who is up, which have it, are there enough. */
#include "core/coord_op.h"

#include "base/rule.h"

enum { HINTED_BYTES = 64 }; /* What a hint takes beside key and value, about. */

static uint8_t whole(const struct slot *slot)
{
    struct node_id writers[2];
    return (uint8_t)((1u << slot_writers(slot, writers)) - 1);
}

static bool slot_acked(const struct coord_op *op, uint32_t index, const struct slot *slot)
{
    return RULE(BOTH_WRITERS_ACK) ? op->acked[index] == whole(slot) : op->acked[index] != 0;
}

/* Does the slot count, and are all its writers believed to be up? */
static bool slot_is_up(const struct core *core, const struct slot *slot)
{
    struct node_id writers[2];
    uint32_t count = slot_writers(slot, writers);
    bool all = count > 0 && slot->stage != STAGE_LEARN;
    for (uint32_t k = 0; k < count; k++)
        all = all && core_is_up(core, writers[k]);
    return all;
}

static uint32_t slots_up(const struct core *core, const struct range_record *record)
{
    uint32_t up = 0;
    for (uint32_t i = 0; i < record->slots_count; i++)
        up += slot_is_up(core, &record->slots[i]);
    return up;
}

/* Did all writers of the slot, or whoever stands in for one, acknowledge? */
static bool slot_acked_by_any(const struct coord_op *op, uint32_t index, const struct slot *slot)
{
    struct node_id writers[2];
    uint32_t count = MAX(slot_writers(slot, writers), 1u);
    for (uint32_t k = 0; k < count; k++)
        if (!(op->acked[index] & 1u << k) && !stands_have(op, index, k))
            return false;
    return true;
}

uint32_t put_got(const struct core *core, const struct coord_op *op, uint32_t *ret_strict)
{
    const struct range_record *record = op_record(core, op);
    uint32_t got = 0;
    *ret_strict = 0;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        bool strict = whole(slot) != 0 && slot_acked(op, i, slot);
        if (slot->stage == STAGE_LEARN)
            continue;
        *ret_strict += strict;
        got += strict || slot_acked_by_any(op, i, slot);
    }
    return got;
}

uint8_t put_needed(const struct core *core, const struct coord_op *op)
{
    const struct range_record *record = op_record(core, op);
    uint8_t level = op_needed(op->request.w, op->bucket.w, record_counted(record));
    if (op->request.method != METHOD_EDIT)
        return level;
    if (op->state == OP_WRITING && !op->made && !RULE(EDIT_WRITES_WHAT_IT_SAW))
        return 0;
    return MAX(level, (uint8_t)record_quorum(record));
}

uint32_t put_first_missing(const struct core *core, const struct coord_op *op)
{
    const struct range_record *record = op_record(core, op);
    for (uint32_t i = 0; i < record->slots_count; i++)
        if (record->slots[i].stage != STAGE_LEARN && !slot_is_up(core, &record->slots[i]))
            return i;
    return 0;
}

bool put_enough(struct core *core, struct coord_op *op)
{
    uint32_t up = slots_up(core, op_record(core, op));
    if (op->fallback) {
        int error = hinted_room(&core->hinted, op->range,
                                HINTED_BYTES + op->request.key.size + op->request.value.size);
        if (error < 0) {
            op_fail(core, op, error,
                    slice_string("this node has no room for more hints of the range"));
            return false;
        }
    }
    if (up >= op->needed)
        return true;
    uint32_t fallbacks = stands_possible(core, op);
    if (up + fallbacks >= op->needed)
        return true;
    const char *why = op->request.strict ? "the request is strict: only the range's own nodes count"
                                         : "too few other nodes are up to stand in";
    op_fail(core, op, ERR_UNAVAILABLE,
            core_printf(core, "%u of %u needed copies of range %u can be reached; %s",
                        up + fallbacks, op->needed, op->range, why));
    return false;
}
