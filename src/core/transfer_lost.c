/* Slots whose owner is gone for good: fenced, then rebuilt elsewhere from the other slots, or given
 * up (protocol.md, "Stages of a slot").
 *
 * - STABLE{A} to FENCE: A has departed, which is known for ever once it is known anywhere.
 * - FENCE to REBUILD{B}: K other slots have FENCE durably, so no quorum is left that A is part of.
 * The plan names B, and B has accepted an offer, as for any move.
 * - REBUILD{B} to STABLE{B}: B has merged the copies of enough other slots (transfer_target.c).
 * - REBUILD{B} to FENCE: B is lost, departs, or the plan was cancelled (transfer_drive.c).
 * - FENCE to gone: the plan says so, and K other slots have FENCE durably.
 * - FENCE to STABLE{A}: A has not departed, and the plan that was to give its slot up is no more.
 *
 * A new slot (LEARN) goes first when the reader of the lowest slot departs: it is filled from that
 * one in any case, which does not answer any more, and one slot is on its way at a time, so the two
 * would wait for each other for ever. It is added anew once the lost slot is rebuilt.
 *
 * A crash of the driver loses nothing: the record says how far it is, and the next voter asks anew
 * who has it installed. Lost messages are repeated by the drive's timer, repeated ones change
 * nothing.
 *
 * The last step takes care: an owner that this node believes to be there may have been removed, and
 * its slot rebuilt for a while and fenced again, with news of the removal still on the way to here.
 * What the slot acknowledged meanwhile A never had. So only the driver that fenced the slot itself,
 * in the very epoch that it made so, gives it back; any other one lets it go, after a while. */
#include "core/transfer_state.h"

#include "base/rule.h"

const struct slot *lost_slot(const struct core *core, const struct range_record *record)
{
    if (core->members.departures_count == 0)
        return NULL;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        if (slot->stage == STAGE_STABLE && member_departed(&core->members, slot->owner))
            return slot;
    }
    return NULL;
}

bool lost_teacher(const struct core *core, struct drive *drive, const struct range_record *record)
{
    if (!member_departed(&core->members, record_driver(record)) || !RULE(LEARN_GIVES_WAY))
        return false;
    drive_note(drive, "taken back: the node that was to fill it has left the cluster");
    return true;
}

void lost_fence(struct transfers *transfers, struct core *core, uint32_t range,
                const struct slot *slot)
{
    /* The last copy is beyond repair by others: to fence it would only hide that. */
    if (transfers->fences_left == 0 || record_counted(held_record(core, range)) == 1)
        return;
    transfers->fences_left--;
    drive_propose_stage(core, range, slot, STAGE_FENCE);
}

/* The plan's open move of SLOT, whatever else it moves in the range before that; NULL for none. */
static const struct plan_move *move_of(const struct transfers *transfers, const struct core *core,
                                       const struct range_record *record, const struct slot *slot)
{
    const struct plan *plan = &transfers->plan;
    if (plan->id == 0 || plan->state != PLAN_RUNNING)
        return NULL;
    const struct plan_move *end = plan->moves + plan->count;
    const struct plan_move *move = plan_next_move(plan, &core->ring, record->range);
    for (; move != NULL && move < end && move->range == record->range; move++) {
        if (move->slot == slot->number && plan_move_fate(move, record) == PLAN_MOVE_OPEN)
            return transfers_overtaken(core, move) ? NULL : move;
    }
    return NULL;
}

/* The owner lives and its slot is in FENCE, but nobody wants it to go any more. */
static bool take_back(struct core *core, struct drive *drive, const struct slot *slot)
{
    const struct range_record *record = held_record(core, drive->range);
    if (drive->given_up == record->epoch) {
        drive_propose_stage(core, drive->range, slot, STAGE_STABLE);
        return true;
    }
    drive_note(drive, "fenced, by a plan that is no more");
    if (core->now.us - drive->since_us <= core->timing.abort_us || record_counted(record) == 1 ||
        !drive_fenced(core, drive, NODE_NONE, slot))
        return false;
    drive_propose_drop(core, drive->range, slot);
    return true;
}

static bool step(struct transfers *transfers, struct core *core, struct drive *drive,
                 const struct slot *slot)
{
    const struct range_record *record = held_record(core, drive->range);
    const struct plan_move *move = move_of(transfers, core, record, slot);
    bool goes = move != NULL && id_none(move->to);
    if (!goes && !member_departed(&core->members, slot->owner))
        return take_back(core, drive, slot);
    if (move == NULL) {
        drive_note(drive, "its owner was removed: waits for a plan, run `kvadmin rebalance`");
        return false;
    }
    bool fenced = drive_fenced(core, drive, NODE_NONE, slot);
    if (goes && fenced && record_counted(record) > 1)
        drive_propose_drop(core, drive->range, slot);
    else if (!goes && (fenced || !RULE(FENCE_BEFORE_REBUILD)))
        drive_start(transfers, core, drive, move);
    return true;
}

bool lost_step(struct transfers *transfers, struct core *core, struct drive *drive)
{
    const struct range_record *record = held_record(core, drive->range);
    for (uint32_t i = 0; i < record->slots_count; i++) {
        if (record->slots[i].stage == STAGE_FENCE &&
            step(transfers, core, drive, &record->slots[i]))
            return true;
    }
    return false;
}
